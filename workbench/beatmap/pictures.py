"""Pictures of a corpus of maps, and of one song's sound with its notes over it.

Red is drawn as orange and blue as blue, as the two hands are told apart so by every eye; dark is
more in all heat maps.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from workbench.beatmap.maps.objects import Notes
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.statistics import (
    DEGREES,
    LANES,
    LAYERS,
    CorpusStatistics,
    DifficultyStatistics,
    LeftOut,
    chart_notes,
)
from workbench.beatmap.writer.cache import FeatureCache
from workbench.beatmap.writer.corpus import ChosenChart
from workbench.beatmap.writer.mel import FLOOR_DB
from workbench.beatmap.writer.options import MelSpec
from workbench.beatmap.writer.tokens import DIRECTION_NAMES
from workbench.figures import (
    BLUE,
    GREY,
    GRID,
    INK,
    LARGE,
    ORANGE,
    PAPER,
    SMALL,
    Picture,
    digest_of,
    new_figure,
    quiet,
)

_HANDS = (ORANGE, BLUE)
_HAND_NAMES = ("red, left hand", "blue, right hand")
_LOST, _ODD = INK, "#b9c2cb"
_SHADES = tuple(
    LinearSegmentedColormap.from_list(f"hand {number}", [PAPER, color, dark])
    for number, (color, dark) in enumerate(zip(_HANDS, ("#6d2506", "#0d3562"), strict=True))
)
_GREYS = 16  # levels of the sound, few, so that a picture in a notebook stays small
_MOST_DOTS = 400  # of a difficulty
_MOST_BPM = 400.0  # drawn as it is; a damaged one would make a bar for every tempo up to it
_BAR = 4  # beats; a window's bar, whatever the metre


def densities(statistics: CorpusStatistics) -> Picture:
    """Return how dense the beatmaps of each difficulty are, and how their tempi spread."""
    figure = new_figure(height=3.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_densities(left, statistics.difficulties)
    _draw_tempi(right, statistics)
    caption = f"density of {statistics.beatmaps:,} beatmaps, tempo of {statistics.songs:,} songs"
    paces = [difficulty.nps for difficulty in statistics.difficulties]
    return Picture(figure, caption, digest_of(*paces, statistics.bpm, statistics.is_changing))


def cells_and_directions(statistics: CorpusStatistics) -> Picture:
    """Return where each hand's notes stand and which way they are cut."""
    figure = new_figure(height=5.4)
    top, bottom = figure.subfigures(2, 1, height_ratios=(2, 3), squeeze=False)[:, 0]
    grids = top.subplots(1, 2)
    for hand, axes in enumerate(grids):
        _draw_cells(axes, statistics.cells[hand], hand)
    roses = bottom.subplots(1, 2, subplot_kw={"projection": "polar"})
    most = max(float(_share(statistics.directions[hand])[:-1].max()) for hand in (0, 1))
    for hand, axes in enumerate(roses):
        _draw_rose(axes, statistics.directions[hand], hand, most)
    caption = f"cells and directions of {int(statistics.cells.sum()):,} notes"
    return Picture(figure, caption, digest_of(statistics.cells, statistics.directions))


def versions_and_reasons(statistics: CorpusStatistics, reasons: Sequence[LeftOut]) -> Picture:
    """Return which formats the beatmaps have, and what was left out or odd, for which reason."""
    figure = new_figure(height=max(2.6, 0.9 + 0.24 * len(reasons)))
    left, right = figure.subplots(1, 2, width_ratios=(1, 3))
    versions = statistics.versions
    left.bar(list(versions), list(versions.values()), color=GREY, width=0.6)
    for place, count in enumerate(versions.values()):
        left.text(place, count, f"{count:,}", ha="center", va="bottom", fontsize=SMALL, color=INK)
    left.margins(y=0.15)
    left.set_xlabel("format version", color=INK, fontsize=SMALL)
    left.set_ylabel("beatmaps", color=INK, fontsize=SMALL)
    _draw_reasons(right, reasons)
    quiet(left)
    numbers = [(reason.maps, reason.difficulties, reason.odd) for reason in reasons]
    caption = f"{len(versions)} formats, {len(reasons)} reasons"
    return Picture(figure, caption, digest_of(list(versions.values()), numbers))


def song_with_notes(
    features: NDArray[np.float16],
    spec: MelSpec,
    time_map: TimeMap,
    notes: Notes,
    *,
    first_beat: float = 0.0,
    beats: float = 32.0,
) -> Picture:
    """Return the mel spectrogram of a stretch of a song, its notes over it, its onsets below.

    Notes stand in four rows, one a lane, higher in a row where their layer is higher, and point
    where they are cut; a dot is cut in any direction.

    Args:
        features: `(columns, channels)`, as the cache gives them.
        spec: What they are.
        time_map: Which beat sounds when.
        notes: Of one beatmap.
        first_beat: Where the picture begins.
        beats: How long it is.
    """
    figure = new_figure(width=11.5, height=5.0 if spec.onset else 4.2)
    if spec.onset:
        sound, onset = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        _draw_onsets(onset, features, spec)
    else:
        sound = onset = figure.subplots()
    _draw_mel(sound, features, spec)
    is_shown = (notes.beat >= first_beat) & (notes.beat < first_beat + beats)
    shown = notes.take(is_shown)
    _draw_notes(sound, shown, spec)
    last = min(first_beat + beats, len(features) / spec.columns_a_beat)
    for axes in {sound, onset}:
        _draw_beats(axes, first_beat, last)
    sound.set_xlim(first_beat, last)
    sound.set_ylim(0, spec.n_mels)
    onset.set_xlabel("beat", color=INK, fontsize=SMALL)
    seconds = sound.secondary_xaxis("top", functions=(time_map.seconds_at, time_map.beats_at))
    seconds.set_xlabel("seconds", color=INK, fontsize=SMALL)
    seconds.tick_params(labelsize=SMALL, colors=INK)
    figure.legend(frameon=False, fontsize=SMALL, loc="outside upper right", ncols=2)
    caption = f"beats {first_beat:g} to {last:g} with {len(shown):,} notes"
    stretch = features[int(first_beat * spec.columns_a_beat) : int(last * spec.columns_a_beat)]
    rows = (shown.beat, shown.lane, shown.layer, shown.direction)
    return Picture(figure, caption, digest_of(*rows, _loudness(stretch)))


def charts_over_sound(
    features: NDArray[np.float16],
    spec: MelSpec,
    time_map: TimeMap,
    charts: Mapping[str, Notes],
    *,
    first_beat: float = 0.0,
    beats: float = 32.0,
) -> Picture:
    """Return a stretch of a song once for each of some charts, one below the other.

    Args:
        features: `(columns, channels)`, as the cache gives them.
        spec: What they are.
        time_map: Which beat sounds when.
        charts: Their notes by name; at least one.
        first_beat: Where the picture begins.
        beats: How long it is.
    """
    figure = new_figure(width=11.5, height=0.6 + 2.6 * len(charts))
    panes = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
    last = min(first_beat + beats, len(features) / spec.columns_a_beat)
    shown = {}
    for axes, (name, notes) in zip(panes, charts.items(), strict=True):
        shown[name] = notes.take((notes.beat >= first_beat) & (notes.beat < first_beat + beats))
        _draw_mel(axes, features, spec)
        _draw_notes(axes, shown[name], spec)
        _draw_beats(axes, first_beat, last)
        axes.set_xlim(first_beat, last)
        axes.set_ylim(0, spec.n_mels)
        axes.set_title(f"{name}: {len(shown[name]):,} notes", loc="left", color=INK, fontsize=LARGE)
        axes.set_ylabel("mel band", color=INK, fontsize=SMALL)
    panes[-1].set_xlabel("beat", color=INK, fontsize=SMALL)
    seconds = panes[0].secondary_xaxis("top", functions=(time_map.seconds_at, time_map.beats_at))
    seconds.set_xlabel("seconds", color=INK, fontsize=SMALL)
    seconds.tick_params(labelsize=SMALL, colors=INK)
    handles, labels = panes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, frameon=False, fontsize=SMALL, loc="outside upper right", ncols=2
    )
    told = ", ".join(f"{len(notes):,} {name}" for name, notes in shown.items())
    numbers = [values for n in shown.values() for values in (n.beat, n.lane, n.layer, n.direction)]
    caption = f"beats {first_beat:g} to {last:g} with notes: {told}"
    return Picture(figure, caption, digest_of(*numbers))


def chart_with_notes(store: Store, cache: FeatureCache, chart: ChosenChart) -> Picture:
    """Return the busiest stretch of a chart over its sound; see `song_with_notes`.

    Args:
        store: Where its notes are.
        cache: Where its sound is.
        chart: Which.

    Raises:
        BeatmapError: It has no features, or the store cannot be read.
    """
    notes = chart_notes(store, chart.song, chart.number)
    features, start = cache.features(chart.feature_key), busiest_beat(notes)
    time_map = chart.beatmap.time_map
    return song_with_notes(features, cache.spec, time_map, notes, first_beat=start)


def busiest_beat(notes: Notes, beats: float = 32.0) -> float:
    """Return the beginning of a bar from which most notes follow within so many beats."""
    if not len(notes):
        return 0.0
    starts = np.arange(0, max(float(notes.beat[-1]), 0.0) + 1, _BAR)
    counts = np.searchsorted(notes.beat, starts + beats) - np.searchsorted(notes.beat, starts)
    return float(starts[int(np.argmax(counts))])


def _draw_densities(axes: Axes, difficulties: Sequence[DifficultyStatistics]) -> None:
    """Draw a box a difficulty and a dot a beatmap, the dots aside so that all are seen."""
    shown = [difficulty for difficulty in difficulties if len(difficulty.nps)]
    places = np.arange(len(shown))
    if shown:
        axes.boxplot(
            [difficulty.nps for difficulty in shown],
            positions=places,
            widths=0.5,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 2},
            boxprops={"color": GREY},
            whiskerprops={"color": GREY},
            capprops={"color": GREY},
        )
    for place, difficulty in zip(places, shown, strict=True):
        step = -(-len(difficulty.nps) // _MOST_DOTS)
        dots = np.sort(difficulty.nps)[::step]
        aside = 0.34 * (np.arange(len(dots)) * 0.618 % 1 - 0.5)  # even, and the same every time
        axes.plot(place + aside, dots, ".", color=_HANDS[1], markersize=5, alpha=0.7)
    names = [f"{difficulty.name}\n{difficulty.beatmaps:,}" for difficulty in shown]
    axes.set_xticks(places, names)
    axes.set_xlabel("difficulty and its beatmaps", color=INK, fontsize=SMALL)
    axes.set_ylabel("notes a second", color=INK, fontsize=SMALL)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    quiet(axes)


def _draw_tempi(axes: Axes, statistics: CorpusStatistics, width: float = 10.0) -> None:
    """Draw a histogram of tempi, songs whose tempo changes on top of the others."""
    bpm, changes = np.minimum(statistics.bpm, _MOST_BPM), statistics.is_changing
    above = int((statistics.bpm > _MOST_BPM).sum())
    told = f"; {above:,} above {_MOST_BPM:g} at the end" if above else ""
    low, high = (bpm.min(), bpm.max()) if len(bpm) else (60.0, 180.0)
    edges = np.arange(width * np.floor(low / width), high + width, width)
    axes.hist(
        [bpm[~changes], bpm[changes]],
        edges.tolist(),
        stacked=True,
        color=[_ODD, _HANDS[0]],
        label=["steady", "changes (its first)"],
    )
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.set_xlabel(f"tempo, beats a minute{told}", color=INK, fontsize=SMALL)
    axes.set_ylabel("songs", color=INK, fontsize=SMALL)
    axes.margins(y=0.25)
    axes.legend(frameon=False, fontsize=SMALL, loc="upper left", ncols=2)
    quiet(axes)


def _draw_cells(axes: Axes, cells: NDArray[np.int64], hand: int) -> None:
    """Draw a share a cell, as it is seen from behind the hands."""
    share = _share(cells)
    axes.pcolormesh(
        share, cmap=_SHADES[hand], vmin=0, vmax=max(float(share.max()), 0.01), edgecolors=GRID
    )
    for layer in range(LAYERS):
        for lane in range(LANES):
            is_dark = share[layer, lane] > 0.55 * share.max() > 0
            axes.text(
                lane + 0.5,
                layer + 0.5,
                f"{100 * share[layer, lane]:.1f} %",
                ha="center",
                va="center",
                fontsize=SMALL,
                color=PAPER if is_dark else INK,
            )
    axes.set_xticks(np.arange(LANES) + 0.5, [f"lane {lane}" for lane in range(LANES)])
    axes.set_yticks(np.arange(LAYERS) + 0.5, ["bottom", "middle", "top"])
    axes.tick_params(length=0)
    title = f"{_HAND_NAMES[hand]}: {int(cells.sum()):,} notes"
    axes.set_title(title, loc="left", color=_HANDS[hand], fontsize=LARGE)
    quiet(axes)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_rose(axes: Axes, directions: NDArray[np.int64], hand: int, most: float) -> None:
    """Draw a petal a direction, its area the share, and tell of notes without one."""
    share = _share(directions)
    axes.bar(
        np.deg2rad(DEGREES),
        np.sqrt(share[:-1]),
        width=np.deg2rad(40),
        color=_HANDS[hand],
        edgecolor=PAPER,
    )
    axes.set_xticks(
        np.deg2rad(DEGREES),
        [f"{n}\n{100 * s:.1f} %" for n, s in zip(DIRECTION_NAMES[:-1], share[:-1], strict=True)],
    )
    axes.set_ylim(0, 1.05 * np.sqrt(max(most, 0.01)))
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, colors=INK, pad=6)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines["polar"].set_color(GRID)
    axes.set_xlabel(f"any direction {100 * share[-1]:.1f} %", color=INK, fontsize=SMALL)


def _draw_reasons(axes: Axes, reasons: Sequence[LeftOut]) -> None:
    """Draw a bar a reason, the worst on top."""
    names = [reason.reason.replace("_", " ") for reason in reasons][::-1]
    lost = np.array([reason.maps + reason.difficulties for reason in reasons][::-1])
    odd = np.array([reason.odd for reason in reasons][::-1])
    places = np.arange(len(names))
    axes.barh(places, lost, color=_LOST, label="left out: maps and difficulties")
    axes.barh(places, odd, left=lost, color=_ODD, label="odd, and in the store")
    for place, count in zip(places, lost + odd, strict=True):
        axes.text(float(count), float(place), f" {count:,}", va="center", fontsize=SMALL, color=INK)
    axes.set_yticks(places, names)
    axes.set_xlabel("times found", color=INK, fontsize=SMALL)
    axes.margins(x=0.1, y=0.02)
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.legend(frameon=False, fontsize=SMALL, loc="lower right")
    quiet(axes)


def _draw_mel(axes: Axes, features: NDArray[np.float16], spec: MelSpec) -> None:
    """Draw the bands in grey, the loudest dark, so that notes stand out in colour."""
    mel = features[:, : spec.n_mels].astype(np.float32).T
    end = len(features) / spec.columns_a_beat
    axes.imshow(
        mel,
        cmap=colormaps["Greys"].resampled(_GREYS),
        interpolation="nearest",
        vmin=FLOOR_DB,
        vmax=20.0,  # the loudest stays grey
        origin="lower",
        aspect="auto",
        extent=(0.0, end, 0.0, float(spec.n_mels)),
    )
    axes.set_ylabel("mel band; rows of notes are lanes", color=INK, fontsize=SMALL)
    quiet(axes)


def _draw_notes(axes: Axes, notes: Notes, spec: MelSpec) -> None:
    """Draw a marker a note, turned to where it is cut."""
    height = (notes.lane + 0.5 + 0.27 * (notes.layer - 1)) * spec.n_mels / LANES
    is_known = (notes.direction >= 0) & (notes.direction < len(DEGREES))
    way = np.where(is_known, notes.direction, len(DEGREES))
    for hand, color in enumerate(_HANDS):
        for direction in range(len(DIRECTION_NAMES)):
            chosen = (notes.color == hand) & (way == direction)
            axes.plot(
                notes.beat[chosen],
                height[chosen],
                linestyle="none",
                marker=_marker(direction),
                markersize=10,
                color=color,
                markeredgecolor=PAPER,
                markeredgewidth=0.9,
                label=_HAND_NAMES[hand] if direction == 1 else None,
            )


def _marker(direction: int) -> MarkerStyle | str:
    """Return a slim arrow head that points where a note is cut, or a dot."""
    if direction >= len(DEGREES):
        return "o"
    turn = Affine2D().scale(0.75, 1.0).rotate_deg(DEGREES[direction] - 90)
    return MarkerStyle("^", transform=turn)


def _draw_onsets(axes: Axes, features: NDArray[np.float16], spec: MelSpec) -> None:
    onset = features[:, -1].astype(np.float32)
    beat = np.arange(len(onset)) / spec.columns_a_beat
    axes.fill_between(beat, onset, color=GREY, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("onset, dB", color=INK, fontsize=SMALL)
    axes.locator_params(axis="y", nbins=3)
    quiet(axes)


def _draw_beats(axes: Axes, first: float, last: float) -> None:
    for beat in np.arange(np.ceil(first), last):
        is_bar = beat % _BAR == 0
        axes.axvline(beat, color=INK, linewidth=0.8 if is_bar else 0.3, alpha=0.5)
    axes.set_xticks(np.arange(_BAR * np.ceil(first / _BAR), last, _BAR))


def _loudness(features: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the mean of each channel in whole decibels, which are the same on every machine."""
    mean = features.sum(axis=0, dtype=np.float64) / max(len(features), 1)
    whole: NDArray[np.float64] = np.round(mean) + 0.0  # no -0, whose bytes are others than 0's
    return whole


def _share(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = counts / max(int(counts.sum()), 1)
    return share
