"""A map over its sound, played: mel, notes and a play head in a browser, else a picture.

The page draws with one canvas and asks nothing of the kernel while it plays. It is given all at
once: the sound as bytes of 0 to 255, the objects as rows of float32, the map of times as its
pieces, the audio file as it is. Units: the axis is beats of the viewer's own map of times, to
which charts of other maps of times are brought; seconds are of the audio.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anywidget
import numpy as np
import traitlets
from IPython.display import display
from numpy.typing import NDArray

from workbench.beatmap.maps.level import Level
from workbench.beatmap.maps.objects import Arcs, Bombs, Chains, Notes, Objects
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.pictures import busiest_beat, song_with_notes
from workbench.beatmap.writer.mel import FLOOR_DB
from workbench.beatmap.writer.options import MelSpec
from workbench.errors import BeatmapError
from workbench.figures import Picture
from workbench.panels.beatmap import SmallPicture
from workbench.panels.look import program, sheet

_LANES, _LAYERS = 4, 3
_EXTENDED = 1000  # from here on Mapping Extensions count thousandths of a cell
_LOUD_ONSETS = 99.5  # percentile of the onsets that is drawn at full height
_PICTURE_BEATS = 32.0

_Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChart:
    """One chart that a viewer can show.

    Attributes:
        name: What the reader chooses it by, as `Expert`.
        objects: What is played.
        time_map: When its beats sound; the viewer's own where None.
        told: Further measurements by name, told behind the counts.
    """

    name: str
    objects: Objects
    time_map: TimeMap | None = None
    told: Mapping[str, float | str] = field(default_factory=dict)


class MapViewer(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types
    """Shows charts over the sound that they are of, and plays them; a cell displays it.

    Where no page runs it, in a saved or printed notebook, a picture of it stays.

    Attributes:
        seconds: Where the play head rests; the page tells it whenever it comes to rest, and goes
            to what is assigned.
        chart: Which of the charts is shown, from 0; likewise.
    """

    _esm = program("map_viewer")
    _css = sheet("map_viewer")

    title = traitlets.Unicode().tag(sync=True)
    sound = traitlets.Dict().tag(sync=True)
    mel = traitlets.Bytes().tag(sync=True)
    tempo = traitlets.Dict().tag(sync=True)
    bar_beats = traitlets.Int(4).tag(sync=True)
    audio = traitlets.Bytes().tag(sync=True)
    charts = traitlets.List().tag(sync=True)
    chart = traitlets.Int(0).tag(sync=True)
    seconds = traitlets.Float(0.0).tag(sync=True)
    download = traitlets.Bytes().tag(sync=True)
    download_name = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        charts: Sequence[ShownChart],
        *,
        time_map: TimeMap,
        features: NDArray[np.float16],
        spec: MelSpec,
        audio: bytes = b"",
        title: str = "",
        chart: int = 0,
        bar_beats: int = 4,
    ):
        """Make a viewer of one song.

        Args:
            charts: Of the song, each with a name of its own.
            time_map: Which beat sounds when; the features are aligned to it.
            features: `(columns, channels)`, the sound as the writer's room gives it.
            spec: What they are.
            audio: A whole audio file of a kind that browsers play, as Vorbis or WAV; none is a
                viewer that cannot play.
            title: Of the song.
            chart: Which is shown at first.
            bar_beats: Beats from one bar line to the next.

        Raises:
            BeatmapError: The features are not what the spec says, or there is no such chart.
        """
        if features.ndim != 2 or features.shape[1] != spec.channels:
            raise BeatmapError(
                f"features of shape {features.shape}; the spec says (columns, {spec.channels})",
                "bad_features",
            )
        self._features, self._spec, self._time_map = features, spec, time_map
        self._shown: tuple[ShownChart, ...] = tuple(charts)
        if not 0 <= chart < max(len(self._shown), 1):
            raise BeatmapError(f"chart {chart} of {len(self._shown)}; count from 0", "no_chart")
        super().__init__(
            title=title,
            sound={
                "columns": len(features),
                "bands": spec.n_mels,
                "has_onsets": spec.onset,
                "columns_a_beat": spec.columns_a_beat,
            },
            mel=_loudness(features, spec).tobytes(),
            tempo=time_map.as_json(),
            bar_beats=bar_beats,
            audio=audio,
            charts=[_packed(each, time_map) for each in self._shown],
            chart=chart,
        )

    def show(self, charts: Sequence[ShownChart]) -> None:
        """Show other charts of the same song; where the reader is stays as it was."""
        self._shown = tuple(charts)
        with self.hold_sync():
            self.chart = min(self.chart, max(len(self._shown) - 1, 0))
            self.charts = [_packed(each, self._time_map) for each in self._shown]

    def offer(self, content: bytes, name: str) -> None:
        """Show a link that saves a file, as the map's zip, under a name."""
        with self.hold_sync():
            self.download_name = name
            self.download = content

    def picture(self) -> Picture:
        """Return the busiest stretch of the chart that is shown, over its sound."""
        chosen = self._chosen()
        notes = chosen.objects.notes
        notes = replace(notes, beat=_beats(chosen, notes.beat, self._time_map))
        notes = notes.take(np.isfinite(notes.beat))
        return song_with_notes(
            self._features,
            self._spec,
            self._time_map,
            notes,
            first_beat=busiest_beat(notes, _PICTURE_BEATS),
            beats=_PICTURE_BEATS,
        )

    def still(self) -> str:
        """Return what is shown as text, for a saved notebook whose widgets open empty."""
        if not self._shown:
            return f"{self.title or 'a song'}: no chart"
        chosen = self._chosen()
        return f"{self.title or 'a song'}, {chosen.name}: {told_line(chosen, self._time_map)}"

    def __repr__(self) -> str:
        return self.still()

    def _ipython_display_(self) -> None:
        """Show the viewer, and behind it the picture, which the page hides while it runs.

        One output with both would do for all but JupyterLab: of a saved notebook it shows the
        view alone, as a model that is not found.
        """
        picture = SmallPicture(self.picture())
        png = base64.b64encode(picture._repr_png_()).decode("ascii")
        data, metadata = super()._repr_mimebundle_()
        display({**data, "text/plain": self.still()}, metadata=metadata, raw=True)
        display({"image/png": png, "text/plain": repr(picture)}, raw=True)

    def _chosen(self) -> ShownChart:
        if not self._shown:
            return ShownChart(name="", objects=Objects.none())
        number: int = min(max(self.chart, 0), len(self._shown) - 1)
        return self._shown[number]


def charts_of(level: Level) -> tuple[ShownChart, ...]:
    """Return the charts of a level that could be read, by the names that its mapper gave them."""
    return tuple(
        ShownChart(
            name=" ".join(
                word
                for word in (
                    beatmap.characteristic.replace("Standard", ""),
                    beatmap.difficulty,
                    f"({beatmap.label})" if beatmap.label else "",
                )
                if word
            ),
            objects=beatmap.objects,
            time_map=beatmap.time_map,
        )
        for beatmap in level.beatmaps
        if beatmap.is_readable
    )


def told_line(chart: ShownChart, time_map: TimeMap) -> str:
    """Return how much of everything a chart has, how dense it is, and what else is told of it.

    Args:
        chart: Which.
        time_map: When its beats sound, where it has no map of times of its own.
    """
    objects = chart.objects
    seconds = (chart.time_map or time_map).seconds_at(objects.notes.beat)
    seconds = seconds[np.isfinite(seconds)]
    lasts = float(seconds[-1] - seconds[0]) if len(seconds) > 1 else 0.0
    pace = len(seconds) / lasts if lasts > 0 else 0.0
    parts = [_counted(len(objects.notes), "note"), f"{pace:.2f} notes a second"]
    for kind in ("bomb", "wall", "arc", "chain"):
        if count := len(getattr(objects, f"{kind}s")):
            parts.append(_counted(count, kind))
    if outside := _outside(objects.notes) + _outside(objects.bombs):
        parts.append(f"{outside:,} outside the grid")
    parts += [f"{name} {_told(value)}" for name, value in chart.told.items()]
    return ", ".join(parts)


def _beats(chart: ShownChart, beats: _Numbers, time_map: TimeMap) -> NDArray[np.float64]:
    """Return beats of a chart as beats of another map of times, those that sound at their times."""
    if chart.time_map is None or chart.time_map == time_map:
        return beats
    return time_map.beats_at(chart.time_map.seconds_at(beats))


def _packed(chart: ShownChart, time_map: TimeMap) -> dict[str, Any]:
    """Return a chart as a page reads it: rows of float32, sorted by beat."""

    def at(beats: _Numbers) -> NDArray[np.float64]:
        return _beats(chart, beats, time_map)

    def links(kind: Arcs | Chains) -> tuple[_Numbers, ...]:
        ends = _places(kind.tail_lane, kind.tail_layer)
        return at(kind.beat), *_places(kind.lane, kind.layer), kind.color, at(kind.tail_beat), *ends

    objects = chart.objects
    notes, bombs, walls = objects.notes, objects.bombs, objects.walls
    shape = (walls.lane, walls.layer, walls.width, walls.height)
    cuts = (notes.color, notes.direction, notes.angle)
    return {
        "name": chart.name,
        "line": told_line(chart, time_map),
        "notes": _rows(at(notes.beat), *_places(notes.lane, notes.layer), *cuts),
        "bombs": _rows(at(bombs.beat), *_places(bombs.lane, bombs.layer)),
        "walls": _rows(at(walls.beat), at(walls.beat + walls.duration) - at(walls.beat), *shape),
        "arcs": _rows(*links(objects.arcs)),
        "chains": _rows(*links(objects.chains), objects.chains.slices),
    }


def _places(lane: _Numbers, layer: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Return lanes and layers for drawing: what is outside stands at the edge."""
    return np.clip(_cells(lane), 0, _LANES - 1), np.clip(_cells(layer), 0, _LAYERS - 1)


def _cells(places: _Numbers) -> NDArray[np.float64]:
    """Return lanes or layers in cells, also those of Mapping Extensions."""
    cells = places.astype(np.float64)
    extended = (cells - np.sign(cells) * _EXTENDED) / _EXTENDED
    return np.where(np.abs(cells) >= _EXTENDED, extended, cells)


def _outside(objects: Notes | Bombs) -> int:
    lane, layer = _cells(objects.lane), _cells(objects.layer)
    is_within = (lane >= 0) & (lane <= _LANES - 1) & (layer >= 0) & (layer <= _LAYERS - 1)
    return int(np.count_nonzero(~is_within))


def _rows(*columns: _Numbers) -> bytes:
    """Return columns as rows, without those that stand at no beat."""
    table = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    return table[np.isfinite(table).all(axis=1)].astype("<f4").tobytes()


def _loudness(features: NDArray[np.float16], spec: MelSpec) -> NDArray[np.uint8]:
    """Return features as 0 (silent) to 255 (the loudest of the song), `(columns, channels)`."""
    share = features.astype(np.float32)
    share[:, : spec.n_mels] = 1 - share[:, : spec.n_mels] / FLOOR_DB
    if spec.onset and len(features):
        most = float(np.percentile(share[:, -1], _LOUD_ONSETS))
        share[:, -1] /= max(most, 1e-3)
    whole: NDArray[np.uint8] = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return whole


def _counted(count: int, kind: str) -> str:
    return f"{count:,} {kind}{'s' * (count != 1)}"


def _told(value: float | str) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
