"""Pictures of grooves: drum grids, histograms and curves, drawn by matplotlib."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from workbench.figures import (
    BLUE,
    GREY,
    GRID,
    INK,
    ORANGE,
    PAPER,
    Picture,
    digest_of,
    new_figure,
    quiet,
)
from workbench.groove.compare import SPANS, FileBits
from workbench.groove.drums import CLASS_COUNT, CLASS_OF_PITCH, CLASSES, NO_CLASS
from workbench.groove.likeness import Likeness
from workbench.groove.sample import Sample
from workbench.groove.statistics import GrooveStatistics, LikelyBar

_CORPUS, _SAMPLES = GREY, ORANGE
_MODELS = (_CORPUS, BLUE, _SAMPLES, INK)
_TINY = 8  # points
_HITS = LinearSegmentedColormap.from_list("hits", [PAPER, "#f3b08c", _SAMPLES, "#7a2b0a"])
_NAMES = [name.replace("_", " ") for name in CLASSES]


def drum_grid(sample: Sample, *, bars: int = 2) -> Picture:
    """Draw the first bars of a sample: a row a class, a column a step, darker is louder."""
    shown = min(bars, sample.bars)
    figure = new_figure(width=2.2 + 3.6 * shown, height=2.9)
    axes = figure.add_subplot()
    grid = velocities_on_grid(sample, shown)
    _draw_grid(axes, grid, sample.bar_steps, sample.resolution)
    caption = f"{shown} of {sample.bars} bars, {sample.bpm:g} bpm"
    axes.set_title(caption, loc="left", fontsize=10)
    return Picture(figure, caption, digest_of(grid))


def likely_bars(bars: Mapping[str, LikelyBar], *, columns: int = 3) -> Picture:
    """Draw how likely each hit of a bar is, one small grid a style: white never, dark always.

    Args:
        bars: By style.
        columns: Grids side by side.
    """
    rows = -(-len(bars) // columns)
    figure = new_figure(width=3.9 * columns, height=0.4 + 1.7 * rows)
    for number, (style, bar) in enumerate(bars.items(), 1):
        axes = figure.add_subplot(rows, columns, number)
        _draw_grid(axes, bar.share * 127, bar.share.shape[1], bar.beat_steps)
        axes.set_title(style, loc="left", fontsize=9)
        if (number - 1) % columns:
            axes.set_yticklabels([])
    shares = [bar.share for bar in bars.values()]
    return Picture(figure, f"likely bars of {len(bars)} styles", digest_of(*shares))


def comparison(corpus: GrooveStatistics, samples: GrooveStatistics) -> Picture:
    """Draw samples beside their corpus: the share of each class, and five numbers."""
    figure = new_figure(width=10.5, height=3.2)
    classes, numbers = figure.subplots(1, 2, width_ratios=(3, 2))
    place = np.arange(CLASS_COUNT)
    classes.bar(place - 0.2, corpus.class_share * 100, 0.4, color=_CORPUS, label="corpus")
    classes.bar(place + 0.2, samples.class_share * 100, 0.4, color=_SAMPLES, label="samples")
    classes.set_xticks(place, _NAMES, rotation=35, ha="right", fontsize=_TINY)
    classes.set_ylabel("share of notes, %", fontsize=_TINY)
    classes.legend(frameon=False, fontsize=_TINY)
    _draw_numbers(numbers, corpus, samples)
    for axes in (classes, numbers):
        quiet(axes, _TINY)
    shares = digest_of(corpus.class_share, samples.class_share)
    return Picture(figure, "corpus and samples", shares)


def class_shares(pieces: Mapping[str, Likeness]) -> Picture:
    """Draw the share of each drum class in the hits, a bar for people and one a model.

    Args:
        pieces: By the name that the legend has.
    """
    figure = new_figure(width=10.5, height=3.2)
    axes = figure.add_subplot()
    place, width = np.arange(CLASS_COUNT), 0.8 / len(pieces)
    for number, (name, numbers) in enumerate(pieces.items()):
        at = place + (number - (len(pieces) - 1) / 2) * width
        color = _MODELS[number % len(_MODELS)]
        axes.bar(at, numbers.class_share * 100, width, color=color, label=name)
    axes.set_xticks(place, _NAMES, fontsize=_TINY)
    axes.set_ylabel("share of hits, %", fontsize=_TINY)
    axes.legend(frameon=False, fontsize=_TINY)
    quiet(axes, _TINY)
    digest = digest_of(*(numbers.class_share for numbers in pieces.values()))
    return Picture(figure, f"classes of {len(pieces)} sorts of pieces", digest)


def learning_curve(history: Sequence[Mapping[str, float]]) -> Picture:
    """Draw bits a bar on the validation files against files counted."""
    figure = new_figure(width=5.5, height=2.8)
    axes = figure.add_subplot()
    files = [entry["files"] for entry in history]
    bits = [entry["bits_per_bar"] for entry in history]
    axes.plot(files, bits, color=_SAMPLES, marker="o", markersize=4, linewidth=1.5)
    axes.set_xlabel("files counted", fontsize=_TINY)
    axes.set_ylabel("bits a bar, fewer is better", fontsize=_TINY)
    quiet(axes, _TINY)
    return Picture(figure, f"bits a bar at {len(files)} sizes", digest_of(np.array([files, bits])))


def where_bits_go(models: Mapping[str, FileBits]) -> Picture:
    """Draw what a bar costs each model: by the bar from the start of a piece, and by style.

    Args:
        models: By the name that the legend has, what the same files cost.
    """
    figure = new_figure(width=10.5, height=3.6)
    spans, styles = figure.subplots(1, 2, width_ratios=(2, 3))
    for number, (name, bits) in enumerate(models.items()):
        look = {"color": _MODELS[number % len(_MODELS)], "marker": "o", "markersize": 4}
        spans.plot(bits.by_span(), linewidth=1.5, label=f"{name} {bits.bits_per_bar:.2f}", **look)
        by_style = bits.by_style()
        styles.plot(list(by_style), list(by_style.values()), linestyle="none", **look)
    ends = [*(start - 1 for start in SPANS[1:]), None]
    named = [_span_name(start, end) for start, end in zip(SPANS, ends, strict=True)]
    spans.set_xticks(range(len(SPANS)), named, fontsize=_TINY)
    spans.set_xlabel("bars from the start", fontsize=_TINY)
    spans.set_ylabel("bits a bar, fewer is better", fontsize=_TINY)
    spans.legend(frameon=False, fontsize=_TINY)
    styles.tick_params(axis="x", rotation=60)
    for axes in (spans, styles):
        axes.set_ylim(bottom=0)
        quiet(axes, _TINY)
    numbers = [np.nan_to_num(bits.by_span()) for bits in models.values()]
    return Picture(figure, f"where the bits of {len(models)} models go", digest_of(*numbers))


def velocities_on_grid(sample: Sample, bars: int) -> NDArray[np.float64]:
    """Return the velocity of each class at each step of the first bars, 0 where it is silent.

    Returns:
        Shape (9, bars * steps a bar), 0..127.
    """
    grid = np.zeros((CLASS_COUNT, bars * sample.bar_steps))
    drum = CLASS_OF_PITCH[np.asarray(sample.track.pitch)]
    at = sample.bar * sample.bar_steps + sample.step
    shown = (at < grid.shape[1]) & (drum < NO_CLASS)
    velocity = np.asarray(sample.track.velocity, np.float64)
    np.maximum.at(grid, (drum[shown], at[shown]), velocity[shown])
    return grid


def _draw_grid(axes: Axes, grid: NDArray[np.float64], bar_steps: int, beat_steps: int) -> None:
    steps = grid.shape[1]
    axes.pcolormesh(grid, cmap=_HITS, vmin=0, vmax=127, edgecolors=GRID, linewidth=0.4)
    for step in range(0, steps + 1, beat_steps):
        is_bar = step % bar_steps == 0
        axes.axvline(step, color=INK, linewidth=1.1 if is_bar else 0.5)
    axes.set_yticks(np.arange(CLASS_COUNT) + 0.5, _NAMES, fontsize=7)
    beats = np.arange(0, steps, beat_steps)
    axes.set_xticks(beats + 0.5, [str(beat // beat_steps + 1) for beat in beats % bar_steps])
    axes.tick_params(length=0, labelsize=7, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_numbers(axes: Axes, corpus: GrooveStatistics, samples: GrooveStatistics) -> None:
    """Draw each number of the samples as a share of the corpus's own."""
    rows = [
        ("hits a bar", corpus.hits_per_bar, samples.hits_per_bar),
        ("polyphony, %", corpus.polyphony * 100, samples.polyphony * 100),
        ("swing ratio", corpus.swing, samples.swing),
        ("velocity, sd", corpus.velocity_deviation, samples.velocity_deviation),
        ("timing, sd ms", corpus.timing_deviation_ms, samples.timing_deviation_ms),
    ]
    for row, (_, told, drawn) in enumerate(rows[::-1]):
        ratio = drawn / told if told else 0.0
        axes.barh(row, ratio, 0.5, color=_SAMPLES)
        axes.text(ratio + 0.03, row, f"{drawn:.3g} ({told:.3g})", va="center", fontsize=_TINY)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows[::-1]], fontsize=_TINY)
    axes.set_xlim(0, 1.9)
    axes.set_xlabel("samples as a share of the corpus (its value in brackets)", fontsize=_TINY)


def _span_name(first: int, last: int | None) -> str:
    if last is None:
        return f"{first}+"
    return str(first) if first == last else f"{first}-{last}"
