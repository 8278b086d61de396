"""Pictures of a map beside a human one: onsets, density, directions and cells.

The human map is light grey everywhere; what is judged is dark, or in its hand's colour: red is
drawn as orange and blue as blue. Where the two disagree is plum.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import SubFigure

from workbench.beatmap.maps.swings import cuts
from workbench.beatmap.writer.evaluation import ChartPair
from workbench.beatmap.writer.metrics import LANES, LAYERS, Floats, Ints, profile_of
from workbench.beatmap.writer.metrics_onsets import WINDOWS, matched_onsets
from workbench.beatmap.writer.tokens import DIRECTION_NAMES
from workbench.figures import (
    BLUE,
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

_HANDS = (("red, left hand", ORANGE), ("blue, right hand", BLUE))
_HUMAN, _WRONG = "#b9c2cb", "#9c2f5f"
_NEAR = "#6b7d8f"
_MOST_BINS = 90  # along a song
_PETAL = 19  # degrees

_CUTS = cuts(np.arange(len(DIRECTION_NAMES) - 1, dtype=np.int32), np.zeros(8))
_WAYS = np.arctan2(_CUTS[:, 1], _CUTS[:, 0]) % (2 * np.pi)  # counter-clockwise from right


def comparison(pair: ChartPair) -> Picture:
    """Return a page on how two charts agree.

    On top stand the human onsets upwards, found or missed, and downwards those that only the chart
    has, beside how far apart those are that agree; then how many notes a second both have along
    the song; below, by hand, which way their notes are cut and where they stand.
    """
    figure = new_figure(height=11.6)
    boxes = figure.subfigures(3, 1, height_ratios=(2.8, 2.2, 6.4), squeeze=False)[:, 0]
    _draw_onsets(boxes[0], pair)
    _draw_density(boxes[1], pair)
    _draw_hands(boxes[2], pair)
    numbers = digest_of(
        pair.found_onsets(), pair.wanted_onsets(), *_histograms(pair, 0), *_histograms(pair, 1)
    )
    counts = f"{len(pair.found.notes):,} notes beside {len(pair.wanted.notes):,} of a human map"
    return Picture(figure, f"comparison of {pair.name or 'a chart'}: {counts}", numbers)


def _histograms(pair: ChartPair, which: int) -> tuple[Ints, Ints]:
    """Return directions and cells of the chart that is judged (0), or of the human one (1)."""
    sides = ((pair.found, pair.found_times), (pair.wanted, pair.wanted_times))
    profile = profile_of(*sides[which])
    return profile.directions, profile.cells


def _edges(pair: ChartPair) -> Floats:
    """Return the ends of bins along both charts, a second or longer, from the song's start."""
    both = np.concatenate([pair.found_seconds(), pair.wanted_seconds()])
    low, high = np.floor(min(float(both.min(initial=0.0)), 0.0)), float(both.max(initial=1.0))
    width = max(np.ceil((high - low) / _MOST_BINS), 1.0)
    edges: Floats = low + width * np.arange(np.ceil((high - low) / width) + 1)
    return edges


def _draw_onsets(box: SubFigure, pair: ChartPair) -> None:
    along, apart = box.subplots(1, 2, width_ratios=(4, 1))
    wanted, found = pair.wanted_onsets(), pair.found_onsets()
    wide, narrow = (matched_onsets(wanted, found, window) for window in WINDOWS)
    _draw_agreement(along, _edges(pair), (wanted, found), narrow[0], wide)
    _draw_lags(apart, 1000 * (found[wide[1]] - wanted[wide[0]]))
    both = len(found) + len(wanted)
    told = [
        f"{1000 * window:g} ms: {2 * len(pairs[0]) / both if both else 0.0:.3f}"
        for window, pairs in zip(WINDOWS, (wide, narrow), strict=True)
    ]
    along.set_title(f"onset F1 within {', '.join(told)}", loc="left", color=INK, fontsize=LARGE)


def _draw_agreement(
    axes: Axes,
    edges: Floats,
    onsets: tuple[Floats, Floats],
    near: Ints,
    wide: tuple[Ints, Ints],
) -> None:
    """Draw a bar a stretch: what was wanted upwards, what was not downwards."""
    wanted, found = onsets
    is_near = np.isin(np.arange(len(wanted)), near)
    is_matched = np.isin(np.arange(len(wanted)), wide[0]) | is_near
    is_extra = ~np.isin(np.arange(len(found)), wide[1])
    width = float(edges[1] - edges[0])
    stacks = (
        (wanted[is_near], INK, f"found within {1000 * WINDOWS[1]:g} ms"),
        (wanted[is_matched & ~is_near], _NEAR, f"within {1000 * WINDOWS[0]:g} ms"),
        (wanted[~is_matched], _WRONG, "missed"),
    )
    bottom = np.zeros(len(edges) - 1)
    for seconds, color, name in stacks:
        heights = np.histogram(seconds, edges)[0] / width
        axes.bar(edges[:-1], heights, width * 0.9, bottom, align="edge", color=color, label=name)
        bottom += heights
    extra = np.histogram(found[is_extra], edges)[0] / width
    axes.bar(
        edges[:-1],
        -extra,
        width * 0.9,
        align="edge",
        facecolor=PAPER,
        edgecolor=_WRONG,
        hatch="////",
        linewidth=0.8,
        label="not wanted",
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylim(-1.15 * max(extra.max(), 0.5), 1.35 * max(bottom.max(), 0.5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.locator_params(axis="y", nbins=5, integer=True)
    axes.legend(frameon=False, fontsize=SMALL, loc="upper left", ncols=4, columnspacing=1.2)
    _along_the_song(axes, edges, "onsets a second")


def _draw_lags(axes: Axes, lags: Floats) -> None:
    """Draw how much later than wanted the paired onsets are."""
    limit = 1000 * WINDOWS[0]
    axes.hist(np.clip(lags, -limit, limit), np.linspace(-limit, limit, 26).tolist(), color=INK)
    axes.axvspan(-1000 * WINDOWS[1], 1000 * WINDOWS[1], color=GRID, alpha=0.5, zorder=0)
    middle = f"median {np.median(lags):+.1f} ms" if len(lags) else "none agree"
    axes.set_title(middle, loc="left", color=INK, fontsize=SMALL)
    axes.set_xticks([-limit, 0, limit])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("found later by, ms", color=INK, fontsize=SMALL)
    axes.locator_params(axis="y", nbins=4, integer=True)
    quiet(axes)


def _draw_density(box: SubFigure, pair: ChartPair) -> None:
    axes = box.subplots()
    edges = _edges(pair)
    width = edges[1] - edges[0]
    human = np.histogram(pair.wanted_seconds(), edges)[0] / width
    ours = np.histogram(pair.found_seconds(), edges)[0] / width
    axes.stairs(human, edges, fill=True, color=_HUMAN, label="human map")
    axes.stairs(ours, edges, color=INK, linewidth=1.6, label="found")
    axes.set_ylim(0, 1.3 * max(human.max(), ours.max(), 0.5))
    axes.legend(frameon=False, fontsize=SMALL, loc="upper left", ncols=2)
    _along_the_song(axes, edges, "notes a second")


def _along_the_song(axes: Axes, edges: Floats, counted: str) -> None:
    """Let axes go over the song from left to right."""
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("seconds", color=INK, fontsize=SMALL)
    axes.set_ylabel(counted, color=INK, fontsize=SMALL)
    quiet(axes)


def _draw_hands(box: SubFigure, pair: ChartPair) -> None:
    """Draw a row a hand: a rose, and a grid."""
    sides = _histograms(pair, 0), _histograms(pair, 1)
    rows = box.subfigures(2, 1, squeeze=False)[:, 0]
    shares = [[_share(side[0][hand]) for side in sides] for hand in range(len(_HANDS))]
    most = max(float(share[:-1].max()) for both in shares for share in both)
    for hand, row in enumerate(rows):
        left, right = row.subfigures(1, 2, width_ratios=(4, 5))
        _draw_rose(left.subplots(subplot_kw={"projection": "polar"}), shares[hand], hand, most)
        left.legend(frameon=False, fontsize=SMALL, loc="outside upper left", ncols=2)
        counts = [int(side[1][hand].sum()) for side in sides]
        cells = [_share(side[1][hand]) for side in sides]
        _draw_cells(right.subplots(), cells, hand, counts)


def _draw_rose(axes: Axes, shares: list[Floats], hand: int, most: float) -> None:
    """Draw two petals a direction, ours before theirs, their areas the shares."""
    found, human = shares
    petals = (
        (found, _PETAL / 2, _HANDS[hand][1], "found"),
        (human, -_PETAL / 2, _HUMAN, "human map"),
    )
    for share, aside, color, name in petals:
        at, wide = _WAYS + np.deg2rad(aside), np.deg2rad(_PETAL - 1)
        axes.bar(at, np.sqrt(share[:-1]), wide, color=color, label=name)
    names = zip(DIRECTION_NAMES[:-1], found[:-1], human[:-1], strict=True)
    axes.set_xticks(_WAYS, [f"{n}\n{100 * f:.0f} / {100 * h:.0f} %" for n, f, h in names])
    axes.set_ylim(0, 1.05 * np.sqrt(max(most, 0.01)))
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, colors=INK, pad=10)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines["polar"].set_color(GRID)
    told = f"any direction {100 * found[-1]:.0f} / {100 * human[-1]:.0f} %"
    axes.set_xlabel(told, color=INK, fontsize=SMALL)


def _draw_cells(axes: Axes, shares: list[Floats], hand: int, counts: list[int]) -> None:
    """Draw how much more or less of its notes a hand has in a cell, with both shares."""
    found, human = shares
    name, color = _HANDS[hand]
    shades = LinearSegmentedColormap.from_list("more or less", [_HUMAN, PAPER, color])
    limit = max(float(np.abs(found - human).max()), 0.05)
    axes.pcolormesh(found - human, cmap=shades, vmin=-limit, vmax=limit, edgecolors=GRID)
    for layer in range(LAYERS):
        for lane in range(LANES):
            told = f"{100 * found[layer, lane]:.1f} %\n{100 * human[layer, lane]:.1f} %"
            axes.text(
                lane + 0.5, layer + 0.5, told, ha="center", va="center", fontsize=SMALL, color=INK
            )
    axes.set_xticks(np.arange(LANES) + 0.5, [f"lane {lane}" for lane in range(LANES)])
    axes.set_yticks(np.arange(LAYERS) + 0.5, ["bottom", "middle", "top"])
    axes.tick_params(length=0)
    title = f"{name}: {counts[0]:,} notes found, above; {counts[1]:,} of the human map, below"
    axes.set_title(title, loc="left", color=color, fontsize=SMALL)
    quiet(axes)
    for side in axes.spines.values():
        side.set_visible(False)


def _share(counts: Ints) -> Floats:
    share: Floats = counts / max(int(counts.sum()), 1)
    return share
