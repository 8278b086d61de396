"""A groove on its grid with a play head that goes with its sound, else a picture and a player.

The page is given all at once and asks nothing of the kernel while it plays. Units: seconds from
the start of the groove; steps of the grid.
"""

from typing import Any

import anywidget
import numpy as np
import traitlets
from IPython.display import Audio, display

from workbench.figures import Picture
from workbench.groove.drums import CLASSES
from workbench.groove.pictures import drum_grid, velocities_on_grid
from workbench.groove.sample import Sample
from workbench.music.synthesiser import render_drums
from workbench.music.vorbis import vorbis_bytes
from workbench.panels.groove import sound
from workbench.panels.look import program, sheet, still

_SAMPLE_RATE = 22_050  # Hz, of what the page plays
_MOST_SECONDS = 600.0  # of a groove that a page is given


class GroovePlayer(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types
    """Shows a groove and plays it; a cell displays it.

    Where no page runs it, in a saved or printed notebook, a player of its beginning stays.

    Attributes:
        grid: What the page draws by: names of rows, bars, steps of a bar and of a beat, seconds.
        velocities: 0..127, a byte a step, row after row.
        audio: The whole sound, Ogg Vorbis.
        seconds: Where the play head rests; the page tells it whenever it comes to rest.
    """

    _esm = program("groove_player")
    _css = sheet("groove_player")

    grid = traitlets.Dict().tag(sync=True)
    velocities = traitlets.Bytes().tag(sync=True)
    audio = traitlets.Bytes().tag(sync=True)
    seconds = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, sample: Sample, *, kept_seconds: float | None = None):
        """Make a player of a groove; its drums are made by the small synthesiser.

        Args:
            sample: What is seen and heard.
            kept_seconds: How much of its sound the saved notebook keeps; all when None.
        """
        self._sample, self._kept_seconds = sample, kept_seconds
        told = _told(sample)
        velocities = np.rint(velocities_on_grid(sample, told["bars"])).astype(np.uint8)
        # High sounds above, as in the pictures; rows that never sound are left out
        rows = [row for row in range(len(CLASSES))[::-1] if velocities[row].any()]
        super().__init__(
            grid=told | {"rows": [CLASSES[row].replace("_", " ") for row in rows]},
            velocities=velocities[rows].tobytes(),
            audio=_sound(sample, told["seconds"]),
        )

    def picture(self) -> Picture:
        """Return the first bars on the grid."""
        return drum_grid(self._sample)

    def still(self) -> str:
        """Return what is shown as text, for a saved notebook whose widgets open empty."""
        return f"{self.grid['title']}, {len(self._sample.bar)} notes"

    def kept(self) -> Audio:
        """Return the player of its beginning that a saved notebook keeps."""
        return sound(self._sample, seconds=self._kept_seconds)

    def __repr__(self) -> str:
        return self.still()

    def _ipython_display_(self) -> None:
        """Show the player, and behind it what a saved notebook keeps, which the page hides."""
        data, metadata = super()._repr_mimebundle_()
        display({**data, "text/plain": self.still()}, metadata=metadata, raw=True)
        page = still(self.kept()._repr_html_())
        display({"text/html": page, "text/plain": "its beginning, to listen to"}, raw=True)


def _told(sample: Sample) -> dict[str, Any]:
    """Return what the page draws by; of a very long groove the bars that are shown."""
    step_seconds = 60.0 / sample.bpm / sample.resolution
    most = max(int(_MOST_SECONDS / (sample.bar_steps * step_seconds)), 1)
    bars = min(sample.bars, most)
    return {
        "title": f"{sample.bars} bars, {sample.bpm:g} bpm",
        "bars": bars,
        "bar_steps": sample.bar_steps,
        "beat_steps": sample.resolution,
        "step_seconds": step_seconds,
        "seconds": bars * sample.bar_steps * step_seconds,
    }


def _sound(sample: Sample, seconds: float) -> bytes:
    """Return as much of its sound as it has bars, so that it can begin again in time."""
    track = sample.track
    samples = render_drums(
        sample.onset_seconds,
        track.pitch,
        track.velocity,
        sample_rate=_SAMPLE_RATE,
        seconds=seconds,
    )
    return vorbis_bytes(samples, _SAMPLE_RATE)
