"""Curves of a training: the loss of each step, and how well it does what is held out.

Units: losses in nats a token, what is held out in nats a note and as a part of 1; seconds since
the first step that was shown.
"""

import html
import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from workbench.figures import (
    BLUE,
    GRID,
    INK,
    LARGE,
    ORANGE,
    SMALL,
    Picture,
    digest_of,
    new_figure,
    quiet,
)
from workbench.panels.curves import curve, thinned
from workbench.panels.look import GREEN, framed
from workbench.progress import Progress

_SHOW_SECONDS = 0.2  # between two pictures of a live panel
_SMOOTHED = 40  # parts of the steps that the mean in a picture is taken over
_LOSS, _NATS, _F1 = "loss, nats a token", "held out, nats a note", "held out, onset F1 at 50 ms"

_Points = list[tuple[float, float]]


class TrainingCurves:
    """Draws a training while it runs, by single numbers or by `Progress` values.

    Steps that come again, as after a return to a checkpoint, take the place of those before; a
    number that is not finite has no point, and is counted.

    Attributes:
        widget: What a cell displays.
        last: The last state that was shown, or None.
        odd: How many numbers were not finite.
    """

    def __init__(
        self, steps: int | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make empty curves.

        Args:
            steps: How many there will be in all, or None where nobody knows.
            clock: Seconds from any time on.
        """
        self.last: Progress | None = None
        self.odd = 0
        self.widget: Any = ipywidgets.HTML(value="no steps yet")
        self._steps, self._clock = steps, clock
        self._losses: _Points = []
        self._nats: _Points = []
        self._f1: _Points = []
        self._began: tuple[int, float] | None = None  # the first step, and when
        self._drawn_at = -math.inf

    def add(self, step: int, loss: float) -> None:
        """Take the loss of a step, counted from 1; drawn five times a second at most."""
        now = self._clock()
        if self._began is None or (self.last is not None and step <= self.last.done):
            self._began = (step, now)
        first, began = self._began
        state = Progress(
            stage="learning",
            done=step,
            total=self._steps,
            unit="steps",
            seconds=now - began,
            fresh=step - first,
            numbers={"loss": loss},
        )
        self.show(state)

    def look(self, step: int, nats: float, f1: float | None = None) -> None:
        """Take how what is held out is done after a step; drawn at once.

        Args:
            step: After which, counted from 1.
            nats: Nats a note.
            f1: Of the onsets at 50 ms, 0 to 1, where it was measured.
        """
        self._take(self._nats, step, nats)
        if f1 is not None:
            self._take(self._f1, step, f1)
        self._draw()

    def show(self, progress: Progress) -> None:
        """Take a state whose numbers hold `loss`, and from the first look on `nats` and `f1`."""
        self.last = progress
        for points in (self._losses, self._nats, self._f1):
            while points and points[-1][0] > progress.done:
                points.pop()
        if (loss := progress.numbers.get("loss")) is not None:
            self._take(self._losses, progress.done, loss)
        for name, points in (("nats", self._nats), ("f1", self._f1)):
            value = progress.numbers.get(name, math.nan)
            # States tell the last look again and again, and none before the first
            if math.isfinite(value) and not (points and points[-1][1] == value):
                self._take(points, progress.done, value)
        if progress.is_last or self._clock() - self._drawn_at >= _SHOW_SECONDS:
            self._draw()

    def still(self) -> str:
        """Return the last state as text, for a saved notebook whose widgets open empty."""
        if self.last is None:
            return "nothing was shown"
        of_total = "" if self.last.total is None else f" of {self.last.total:,}"
        parts = [f"{self.last.stage}: {self.last.done:,}{of_total} {self.last.unit}"]
        parts += [
            f"{name} {points[-1][1]:.4g}"
            for name, points in ((_LOSS, self._losses), (_NATS, self._nats), (_F1, self._f1))
            if points
        ]
        return "; ".join([*parts, *self._odd_told()])

    def picture(self) -> Picture:
        """Draw the loss of each step with its running mean, and every look."""
        looks = [(name, points) for name, points in self._looks() if points]
        figure = new_figure(height=3.0)
        panes = figure.subplots(1, 1 + len(looks), squeeze=False)[0]
        _draw_losses(panes[0], self._losses)
        for axes, (name, points) in zip(panes[1:], looks, strict=True):
            _draw_looks(axes, name, points)
        last = max((points[-1][0] for points in self._all() if points), default=1)
        for axes in panes:
            axes.set_xlabel("optimiser step", color=INK, fontsize=SMALL)
            axes.set_xlim(0, last + 1)
            axes.grid(axis="y", color=GRID, linewidth=0.6)
            quiet(axes)
        caption = f"losses of {len(self._losses):,} steps, {len(self._nats)} looks"
        return Picture(figure, caption, digest_of(*(np.ravel(points) for points in self._all())))

    def _take(self, points: _Points, step: int, value: float) -> None:
        while points and points[-1][0] >= step:
            points.pop()
        if math.isfinite(value):
            points.append((step, float(value)))
        else:
            self.odd += 1

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        last = max((points[-1][0] for points in self._all() if points), default=0)
        total = (self.last.total if self.last else self._steps) or last
        curves = [curve(_LOSS, thinned(self._losses), total, BLUE)]
        for name, points in self._looks():
            limits = (0.0, 1.0) if points is self._f1 else None
            curves.append(
                curve(name, points, total, ORANGE if limits is None else GREEN, limits=limits)
            )
        line = "; ".join([*([self.last.line()] if self.last else []), *self._odd_told()])
        page = f'<div style="display: flex; flex-wrap: wrap">{"".join(curves)}</div>'
        self.widget.value = framed(f"{page}<div>{html.escape(line)}</div>")

    def _all(self) -> tuple[_Points, _Points, _Points]:
        return self._losses, self._nats, self._f1

    def _looks(self) -> tuple[tuple[str, _Points], ...]:
        return (_NATS, self._nats), (_F1, self._f1)

    def _odd_told(self) -> list[str]:
        return [f"{self.odd} not finite"] if self.odd else []


def smoothed(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the mean around each value, of those that there are.

    Args:
        values: `(n,)`.
        width: Over how many, at least 1; an even one counts one more.

    Returns:
        `(n,)`.
    """
    half = width // 2
    sums = np.concatenate(([0.0], np.cumsum(values)))
    first = np.maximum(np.arange(len(values)) - half, 0)
    behind = np.minimum(np.arange(len(values)) + half + 1, len(values))
    means: NDArray[np.float64] = (sums[behind] - sums[first]) / (behind - first)
    return means


def _draw_losses(axes: Axes, points: _Points) -> None:
    """Draw every loss thinly, and over them their mean."""
    axes.set_title(_LOSS, loc="left", color=INK, fontsize=LARGE)
    if not points:
        return
    steps, losses = np.array(points).T
    axes.plot(steps, losses, color=BLUE, linewidth=0.8, alpha=0.35)
    axes.plot(steps, smoothed(losses, max(len(losses) // _SMOOTHED, 1)), color=BLUE, linewidth=1.6)


def _draw_looks(axes: Axes, name: str, points: _Points) -> None:
    axes.set_title(name, loc="left", color=INK, fontsize=LARGE)
    axes.set_title(f"{points[-1][1]:.3g}", loc="right", color=INK, fontsize=LARGE)
    color = GREEN if name == _F1 else ORANGE
    axes.plot(*np.array(points).T, color=color, marker="o", markersize=4, linewidth=1.4)
    if name == _F1:
        axes.set_ylim(0, 1.02)
