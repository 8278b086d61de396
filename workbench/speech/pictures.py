"""Pictures of gathered speech: how long and how loud it is, and who is heard in it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from workbench.figures import (
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
from workbench.speech.published import Clip, Comparison

_BEFORE, _AFTER = GREY, ORANGE


def before_and_after(comparison: Comparison, *, bins: int = 32) -> Picture:
    """Draw histograms of lengths and levels: recordings above, the clips made of them below.

    Args:
        comparison: What is drawn.
        bins: Bars of a histogram.
    """
    figure = new_figure(height=4.6)
    grid = figure.subplots(2, 2, sharex="col")
    columns = (
        ("length, s", comparison.seconds_before, comparison.seconds_after),
        ("level, dBFS RMS", comparison.level_before_db, comparison.level_after_db),
    )
    for column, (unit, before, after) in enumerate(columns):
        edges = _edges(np.concatenate([before, after]), bins)
        _histogram(grid[0, column], before, edges, _BEFORE)
        _histogram(grid[1, column], after, edges, _AFTER)
        grid[1, column].set_xlabel(unit, color=INK, fontsize=SMALL)
    grid[0, 0].set_ylabel("recordings", color=INK, fontsize=SMALL)
    grid[1, 0].set_ylabel("clips", color=INK, fontsize=SMALL)
    grid[0, 0].set_title("before", loc="left", color=_BEFORE, fontsize=LARGE)
    grid[1, 0].set_title("after", loc="left", color=_AFTER, fontsize=LARGE)
    numbers = [values for _, *both in columns for values in both]
    return Picture(figure, "lengths and levels before and after", digest_of(*numbers))


def waveforms(examples: Sequence[tuple[Clip, Clip]]) -> Picture:
    """Draw recordings above and the clips made of them below, in one scale of time and level.

    Args:
        examples: Each recording with its clip; at least one.
    """
    figure = new_figure(height=3.4)
    grid = figure.subplots(2, len(examples), sharex=True, sharey=True, squeeze=False)
    for column, (before, after) in enumerate(examples):
        _wave(grid[0, column], before, _BEFORE)
        _wave(grid[1, column], after, _AFTER)
        grid[0, column].set_title(after.id, loc="left", color=INK, fontsize=LARGE)
        grid[1, column].set_xlabel("s", color=INK, fontsize=SMALL)
    loudest = max(float(np.abs(clip.samples).max()) for pair in examples for clip in pair)
    grid[0, 0].set_ylim(-1.05 * loudest or -1.0, 1.05 * loudest or 1.0)
    grid[0, 0].set_ylabel("before", color=_BEFORE, fontsize=LARGE)
    grid[1, 0].set_ylabel("after", color=_AFTER, fontsize=LARGE)
    numbers = [clip.samples for pair in examples for clip in pair]
    return Picture(figure, f"{len(examples)} recordings and their clips", digest_of(*numbers))


def speakers_picture(heard: NDArray[np.int64], speakers: Sequence[str]) -> Picture:
    """Draw in how many clips who was heard, a row for each who speaks; on the diagonal is right.

    Args:
        heard: Clips, by who speaks and by who was heard, (speakers, speakers).
        speakers: Their ids, in that order.
    """
    figure = new_figure(height=0.26 * len(speakers) + 1.2, width=7.0)
    axes = figure.subplots()
    some = np.ma.masked_equal(heard, 0)  # where there is none, the paper is seen
    axes.imshow(some, cmap="Blues", vmin=0, vmax=max(int(heard.max()), 1), aspect="auto")
    half = heard.max() / 2
    for row, column in np.argwhere(heard).tolist():
        colour = PAPER if heard[row, column] > half else INK
        text = str(heard[row, column])
        axes.text(column, row, text, color=colour, ha="center", va="center")
    axes.set_yticks(range(len(speakers)), speakers, family="monospace")
    axes.set_xticks(range(len(speakers)), [str(n + 1) for n in range(len(speakers))])
    axes.set_title("clips, by who speaks", loc="left", color=INK, fontsize=LARGE)
    right = f"{heard.trace()} of {heard.sum()} right"
    axes.set_title(right, loc="right", color=INK, fontsize=SMALL)
    axes.set_xlabel("who was heard", color=INK, fontsize=SMALL)
    quiet(axes)
    return Picture(figure, f"{right} among {len(speakers)} speakers", digest_of(heard))


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return the edges of bars that hold all values, also where all are one or there is none."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    room = max(0.02 * (high - low), 0.01)
    edges: NDArray[np.float64] = np.linspace(low - room, high + room, bins + 1)
    return edges


def _histogram(
    axes: Axes, values: NDArray[np.float64], edges: NDArray[np.float64], colour: str
) -> None:
    axes.hist(values, edges.tolist(), color=colour)
    axes.locator_params(axis="y", nbins=4, integer=True)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    if len(values):
        middle = float(np.median(values))
        axes.axvline(middle, color=INK, linewidth=1, linestyle=":")
        axes.set_title(f"median {middle:.2f}", loc="right", color=INK, fontsize=SMALL)
    quiet(axes)


def _wave(axes: Axes, clip: Clip, colour: str, columns: int = 300) -> None:
    """Draw least and greatest sample of each of some hundred moments."""
    count = min(columns, len(clip.samples))
    starts = np.arange(count) * len(clip.samples) // count
    low = np.minimum.reduceat(clip.samples, starts)
    high = np.maximum.reduceat(clip.samples, starts)
    axes.fill_between(starts / clip.sample_rate, low, high, color=colour, linewidth=0.4)
    axes.locator_params(axis="y", nbins=3)
    quiet(axes)
