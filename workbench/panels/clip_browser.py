"""Clips of a dataset to look through and to listen to, a page at a time, else the first of them.

The page is given the clips that it shows, and asks the kernel for others when it is turned. Units:
seconds; a wave is drawn by the greatest sample of each part of a clip.
"""

from collections.abc import Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from IPython.display import display
from numpy.typing import NDArray

from workbench.errors import SpeechError
from workbench.panels.look import program, sheet, still
from workbench.panels.speech import Players, flac_bytes, told_clip
from workbench.speech.published import Clip

PEAKS = 120  # of a wave


class ClipBrowser(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types
    """Shows clips page by page and plays them; a cell displays it.

    Where no page runs it, in a saved or printed notebook, players of the first clips stay.

    Attributes:
        clips: Those of the page that is shown, as the browser needs them.
        page: Which, from 0; the reader turns it, and so does who assigns it.
        pages: How many there are, at least 1.
        count: Of all clips.
    """

    _esm = program("clip_browser")
    _css = sheet("clip_browser")

    clips = traitlets.List().tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)
    pages = traitlets.Int(1).tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        page_clips: int = 5,
        kept: int = 3,
        kept_seconds: float = 1.2,
    ):
        """Show the first page.

        Args:
            clips: Of the dataset; those of other pages are taken when they are wanted.
            page_clips: Clips of a page.
            kept: How many the saved notebook keeps.
            kept_seconds: How much of each, at most.

        Raises:
            SpeechError: A page would be empty.
        """
        if page_clips < 1:
            raise SpeechError(f"{page_clips} clips a page; give 1 or more")
        self._all, self._page_clips = clips, page_clips
        self._kept = Players(clips[:kept], seconds=kept_seconds)
        super().__init__(
            clips=[_packed(clip) for clip in clips[:page_clips]],
            pages=max(-(-len(clips) // page_clips), 1),
            count=len(clips),
        )
        self.observe(self._turned, "page")

    def still(self) -> str:
        """Return what is shown as text, for a saved notebook whose widgets open empty."""
        return f"{self.count} clips, {self.pages} pages"

    def kept(self) -> Players:
        """Return the players that a saved notebook keeps."""
        return self._kept

    def __repr__(self) -> str:
        return self.still()

    def _ipython_display_(self) -> None:
        """Show the clips, and behind them what a saved notebook keeps, which the page hides."""
        data, metadata = super()._repr_mimebundle_()
        display({**data, "text/plain": self.still()}, metadata=metadata, raw=True)
        page = still(self._kept._repr_html_())
        display({"text/html": page, "text/plain": repr(self._kept)}, raw=True)

    def _turned(self, change: Any) -> None:
        """Send the clips of a page; one that is not there is the first or the last."""
        page = min(max(change["new"], 0), self.pages - 1)
        if page != change["new"]:
            self.page = page
            return
        first = page * self._page_clips
        self.clips = [_packed(clip) for clip in self._all[first : first + self._page_clips]]


def peaks(samples: NDArray[np.float32], count: int) -> NDArray[np.uint8]:
    """Return the greatest sample of each part of a clip, 255 for the greatest of them.

    Args:
        samples: `(n,)`, of any sign.
        count: How many parts; fewer where there are fewer samples.

    Returns:
        `(min(n, count),)`.
    """
    parts = min(len(samples), count)
    if not parts:
        return np.zeros(0, np.uint8)
    begins = np.arange(parts) * len(samples) // parts
    most = np.maximum.reduceat(np.abs(samples.astype(np.float64)), begins)
    whole: NDArray[np.uint8] = np.rint(255 * most / (most.max() or 1.0)).astype(np.uint8)
    return whole


def _packed(clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.id,
        "told": told_clip(clip),
        "seconds": clip.seconds,
        "peaks": peaks(clip.samples, PEAKS).tobytes(),
        "audio": flac_bytes(clip),
    }
