"""Shards and training curves while a model learns from a stream, live and as pictures.

A gauge has a cell a shard, coloured and marked by where it is. It looks at the folder itself, so
that it moves while the training waits, and what it tells of the disk is what lies there; only
which shards are in use, skipped or broken it is told by the training. Units: seconds since the
training began; bytes; losses in nats a step.
"""

import html
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import ipywidgets
import numpy as np
from lightning.pytorch.callbacks import Callback
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray

from workbench.caching.fingerprint import fingerprint
from workbench.figures import (
    BLUE,
    GRID,
    INK,
    LARGE,
    ORANGE,
    SMALL,
    Picture,
    new_figure,
    quiet,
)
from workbench.groove.learn import Learned
from workbench.learning.stream import StreamLoader
from workbench.panels.curves import curve, thinned
from workbench.panels.look import framed
from workbench.panels.table import Table
from workbench.progress import Progress
from workbench.streaming.source import Source
from workbench.streaming.transfer import Transfer, is_local
from workbench.streaming.window import ShardState, WindowStatus

# Told apart with any kind of colour vision, and in grey by their marks.
COLOURS: Mapping[ShardState, str] = {
    "absent": "#eceff3",
    "fetching": "#f2b134",
    "ready": "#6db8e8",
    "in use": "#0b4a82",
    "gone": "#8b949e",
    "skipped": "#cc3311",
    "broken": "#1c1c1c",
}
MARKS: Mapping[ShardState, str] = {
    "absent": "·",
    "fetching": "↓",
    "ready": "•",
    "in use": "▶",
    "gone": "-",
    "skipped": "!",
    "broken": "x",
}
STATES: tuple[ShardState, ...] = get_args(ShardState)
_DARK = ("in use", "skipped", "broken")  # their marks are white

_WHOLE, _AGAIN = "#9fc9e6", "#a63c06"
_COLUMNS = 600  # moments of a picture
_LOOK_SECONDS = 0.01  # between two looks at the folder
_KEEP_SECONDS = 0.1  # between two moments that are kept, where nothing moved
_SHOW_SECONDS = 0.2  # between two pictures of a live panel
_CELL = (
    "display:inline-block;width:1.5em;height:1.5em;line-height:1.5em;margin:1px;border-radius:3px;"
    "text-align:center;background:{};color:{}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a gauge saw at one time.

    Attributes:
        seconds: Since the training began.
        states: Of each shard.
        files: In the folder, unfinished ones counted in.
        size: Their bytes.
        wait_seconds: How long the training has waited for batches, in all.
        busy_seconds: How long it was at work with them, in all.
    """

    seconds: float
    states: tuple[ShardState, ...]
    files: int = 0
    size: int = 0
    wait_seconds: float = 0.0
    busy_seconds: float = 0.0

    @property
    def wait_share(self) -> float:
        """Return which part of the time was spent waiting for batches, 0 to 1."""
        spent = self.wait_seconds + self.busy_seconds
        return self.wait_seconds / spent if spent else 0.0

    def line(self) -> str:
        """Return it as one line of text."""
        counts = Counter(self.states)
        told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        return (
            f"{told}; {self.files} files, {self.size / 1000:,.0f} kB; "
            f"waited {self.wait_share:.1%} of the time"
        )


class ShardGauge(Callback):
    """Follows the shards of a training; give it to the training as a callback.

    Attributes:
        widget: What a cell displays.
        moments: What it saw, in order; the first is before the training.
        most_files: That ever lay in the folder, unfinished ones counted in.
        most_bytes: That ever did.
    """

    def __init__(self, source: Source, folder: Path):
        """Look for the first time; shards that an earlier run left may lie there.

        Args:
            source: The shards.
            folder: Where they come to; may not be there yet.
        """
        self.moments: list[Moment] = []
        self.most_files = 0
        self.most_bytes = 0
        self.widget: Any = ipywidgets.HTML(value="no shards yet")
        self._folder = folder
        self._names = [file.name for file in source.files]
        places = [
            None if is_local(file.url) else Transfer(folder).place(file).name
            for file in source.files
        ]
        self._index = {name: index for index, name in enumerate(places) if name is not None}
        self._have_been: set[int] = set()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown_at = 0.0
        self._look(None, 0.0)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to look."""
        self._over.clear()
        self._thread = threading.Thread(
            target=self._follow, args=(trainer.datamodule.feed,), name="gauge", daemon=True
        )
        self._thread.start()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Look for the last time."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Look for the last time."""
        self._end()

    @property
    def shards_seen(self) -> int:
        """Return how many shards were here at any time."""
        return len(self._have_been)

    @property
    def wait_share(self) -> float:
        """Return which part of the time the training waited for batches, 0 to 1."""
        return self.moments[-1].wait_share

    def still(self) -> str:
        """Return what it saw as text, for a saved notebook whose widgets open empty."""
        return f"{self.shards_seen} of {len(self._names)} shards came"

    def picture(self) -> Picture:
        """Draw the shards over time, and below them the disk and the wait for batches."""
        rows = 0.14 * min(len(self._names), 40) + 0.6  # inches
        figure = new_figure(height=rows + 3.0)
        heights = [rows, 1.0, 1.0]
        shards, disk, wait = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_shards(shards, self.moments)
        _draw_disk(disk, self.moments, self.most_files)
        _draw_wait(wait, self.moments)
        wait.set_xlabel("seconds of training", color=INK, fontsize=SMALL)
        caption = f"{len(self._names)} shards in {self.moments[-1].seconds:.0f} s"
        seen = sorted(self._have_been)  # when it was, and on how many moments, differs each time
        return Picture(figure, caption, _digest(self._names, seen))

    def _follow(self, loader: StreamLoader) -> None:
        began = looked_at = time.monotonic()
        while not self._over.wait(max(looked_at + _LOOK_SECONDS - time.monotonic(), 0.0)):
            looked_at = time.monotonic()
            self._look(loader, looked_at - began)
        self._look(loader, time.monotonic() - began)

    def _look(self, loader: StreamLoader | None, seconds: float) -> None:
        """Look at the folder and the training, and keep what is new."""
        sizes = _sizes(self._folder)
        self.most_files = max(self.most_files, len(sizes))
        self.most_bytes = max(self.most_bytes, sum(sizes.values()))
        moment = Moment(
            seconds=seconds,
            states=self._states(sizes, loader.stream.status if loader else None),
            files=len(sizes),
            size=sum(sizes.values()),
            wait_seconds=loader.wait_seconds if loader else 0.0,
            busy_seconds=loader.busy_seconds if loader else 0.0,
        )
        last = self.moments[-1] if self.moments else None
        if last and moment.states == last.states and seconds - last.seconds < _KEEP_SECONDS:
            return
        self.moments.append(moment)
        if seconds - self._shown_at >= _SHOW_SECONDS:
            self._shown_at = seconds
            self._show()

    def _states(
        self, present: Mapping[str, int], status: WindowStatus | None
    ) -> tuple[ShardState, ...]:
        """Return where each shard is, by the names in the folder and by what the window told."""
        states: list[ShardState] = ["absent"] * len(self._names)
        told = status.states if status else tuple(states)
        states[:] = told
        for name, index in self._index.items():
            if told[index] in ("skipped", "broken"):
                continue
            if name in present:
                self._have_been.add(index)
                states[index] = "in use" if told[index] == "in use" else "ready"
            elif f"{name}.part" in present:
                states[index] = "fetching"
            else:
                states[index] = "gone" if index in self._have_been else "absent"
        return tuple(states)

    def _end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._show()

    def _show(self) -> None:
        moment = self.moments[-1]
        cells = "".join(map(_cell, self._names, moment.states))
        line = html.escape(moment.line())
        page = f"<div>{cells}</div><div>{_legend()}</div><div>{line}</div>"
        self.widget.value = framed(page)


class LearningCurves:
    """Draws loss and bits a bar while a model learns; give its `show` to the training.

    Attributes:
        widget: What a cell displays.
        last: The last state that was shown, or None.
    """

    def __init__(self) -> None:
        """Make empty curves."""
        self.last: Progress | None = None
        self.widget: Any = ipywidgets.HTML(value="no steps yet")
        self._losses: list[tuple[float, float]] = []
        self._bits: list[tuple[float, float]] = []
        self._shown_at = 0.0

    def show(self, progress: Progress) -> None:
        """Take a state; of a run that went back, what was beyond it is forgotten."""
        self.last = progress
        for points in (self._losses, self._bits):
            while points and points[-1][0] >= progress.done:
                points.pop()
        self._losses.append((progress.done, progress.numbers["loss"]))
        bits = progress.numbers.get("bits_per_bar")
        if bits is not None and (not self._bits or self._bits[-1][1] != bits):
            self._bits.append((progress.done, bits))
        now = time.monotonic()
        if now - self._shown_at >= _SHOW_SECONDS or progress.is_last:
            self._shown_at = now
            total = progress.total or progress.done
            loss = curve("loss, nats a step", thinned(self._losses), total, BLUE)
            bits_curve = curve("held out, bits a bar", self._bits, total, ORANGE)
            line = html.escape(progress.line())
            both = f'<div style="display:flex;flex-wrap:wrap">{loss}{bits_curve}</div>'
            self.widget.value = framed(f"{both}<div>{line}</div>")

    def still(self) -> str:
        """Return the last state as text, for a saved notebook whose widgets open empty."""
        if self.last is None:
            return "nothing was shown"
        return f"{self.last.stage}: {self.last.done} of {self.last.total} {self.last.unit}"


def shards_table(source: Source) -> Table:
    """Return the shards by name, with rows and bytes; only the first few and the last of many."""
    rows: list[tuple[object, ...]] = [(f.name, f.rows, f.size) for f in source.files]
    if len(rows) > 6:
        rows = [*rows[:4], ("…", "…", "…"), rows[-1]]
    return Table(
        ("shard", "windows", "bytes"),
        [*rows, (f"all {len(source.files)}", source.rows, source.size)],
    )


def bits_table(bits: Mapping[str, float]) -> Table:
    """Return the bits a bar of some models by name, and what each saves beside the first."""
    first = next(iter(bits.values()))
    rows = [
        (name, round(value, 2), round(first - value, 2) + 0.0)  # -0.0 becomes 0.0
        for name, value in bits.items()
    ]
    return Table(("model", "bits a bar", "saves"), rows)


def learning_picture(learned: Learned) -> Picture:
    """Draw the loss of each step, and the bits a bar of what was held out."""
    figure = new_figure(height=3.0)
    loss, bits = figure.subplots(1, 2)
    steps = np.arange(1, len(learned.losses) + 1)
    loss.plot(steps, learned.losses, color=COLOURS["in use"], linewidth=1.2)
    looks = [(look.step, look.bits_per_bar) for look in learned.history]
    if looks:
        bits.plot(*zip(*looks, strict=True), color=_AGAIN, marker="o", markersize=4, linewidth=1.2)
    for axes, title in ((loss, "loss, nats a step"), (bits, "held out, bits a bar")):
        axes.set_title(title, loc="left", color=INK, fontsize=LARGE)
        axes.set_xlabel("optimiser step", color=INK, fontsize=SMALL)
        axes.set_xlim(0, len(steps) + 1)
        quiet(axes)
    caption = f"losses of {len(steps)} steps, {len(looks)} looks"
    return Picture(figure, caption, _digest(learned.losses, looks))


def resumed_picture(whole: Learned, resumed: Learned, *, killed_at: int) -> Picture:
    """Draw the losses of a run and of one that was killed and gone on with, and what differs.

    Args:
        whole: The one that nobody stopped.
        resumed: The other; its losses before it was killed are those of its checkpoint.
        killed_at: The step.
    """
    figure = new_figure(height=4.0)
    over, difference = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _draw_losses(over, whole, resumed)
    common = min(len(whole.losses), len(resumed.losses))
    gap = np.subtract(resumed.losses[:common], whole.losses[:common])
    told = f"{np.count_nonzero(gap)} of {common} steps differ"
    difference.plot(np.arange(1, common + 1), gap, color=_AGAIN, linewidth=1.3)
    for axes in (over, difference):
        axes.axvline(killed_at, color=INK, linewidth=1, linestyle="--")
        axes.axvspan(resumed.resumed_at, killed_at, color=COLOURS["absent"], zorder=0)
        quiet(axes)
    over.annotate(
        "killed",
        (killed_at, 0.93),
        xycoords=("data", "axes fraction"),
        xytext=(5, 0),
        textcoords="offset points",
        color=INK,
        fontsize=SMALL,
        va="center",
    )
    over.set_title("loss, nats a step", loc="left", color=INK, fontsize=LARGE)
    difference.set_title("difference", loc="left", color=INK, fontsize=LARGE)
    difference.set_title(told, loc="right", color=INK, fontsize=SMALL)
    difference.set_xlabel("optimiser step", color=INK, fontsize=SMALL)
    difference.set_xlim(0, common + 1)
    return Picture(figure, f"two runs, {told}", _digest(whole.losses, resumed.losses))


def state_at(moments: Sequence[Moment], seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the state of each shard at some times, as its place in STATES.

    Args:
        moments: What a gauge saw, in order; a state lasts until the next moment.
        seconds: The times, shape (t,).

    Returns:
        Shape (shards, t).
    """
    known = np.array([[STATES.index(state) for state in m.states] for m in moments])
    starts = [moment.seconds for moment in moments]
    at = np.searchsorted(starts, seconds, side="right") - 1
    found: NDArray[np.int64] = known[np.maximum(at, 0)].T
    return found


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of a folder by name; none where it is not there."""
    sizes = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if entry.is_file()]:  # all of one time
            sizes[entry.name] = 0
            with suppress(FileNotFoundError):  # it has just left, or has its name now
                sizes[entry.name] = entry.stat().st_size
    return sizes


def _cell(name: str, state: ShardState) -> str:
    style = _CELL.format(COLOURS[state], "#ffffff" if state in _DARK else INK)
    title = html.escape(f"{name}: {state}")
    return f'<span title="{title}" style="{style}">{MARKS[state]}</span>'


def _legend() -> str:
    return " ".join(f"{_cell(state, state)} {state}" for state in STATES)


def _draw_losses(axes: Axes, whole: Learned, resumed: Learned) -> None:
    """Draw the losses of one run, and thinly over them those of another."""
    steps = np.arange(1, len(whole.losses) + 1)
    axes.plot(steps, whole.losses, label="never stopped", color=_WHOLE, linewidth=5)
    steps = np.arange(1, len(resumed.losses) + 1)
    cut = resumed.resumed_at
    for part, style, name in (
        (slice(0, cut), ":", "killed, as far as its checkpoint"),
        (slice(max(cut - 1, 0), None), "-", "gone on with"),
    ):
        (line,) = axes.plot(steps[part], resumed.losses[part], label=name, color=_AGAIN)
        line.set(linewidth=1.3, linestyle=style)
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="upper right")


def _draw_shards(axes: Axes, moments: Sequence[Moment]) -> None:
    seconds = np.linspace(0.0, max(moments[-1].seconds, 1e-3), _COLUMNS)
    states = state_at(moments, seconds)
    axes.imshow(
        states,
        cmap=ListedColormap([COLOURS[state] for state in STATES]),
        vmin=-0.5,
        vmax=len(STATES) - 0.5,
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, float(seconds[-1]), len(states) - 0.5, -0.5),
    )
    for row in np.arange(0.5, len(states) - 1) if len(states) <= 40 else ():
        axes.axhline(row, color="#ffffff", linewidth=1.5)
    axes.locator_params(axis="y", integer=True, nbins=6)
    axes.set_title("shards", loc="left", color=INK, fontsize=LARGE)
    present = [state for state in STATES if any(state in m.states for m in moments)]
    axes.legend(
        handles=[Patch(facecolor=COLOURS[s], edgecolor=GRID, label=s) for s in present],
        ncols=len(present),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        borderaxespad=0.2,
        handlelength=1.2,
    )
    quiet(axes)


def _draw_disk(axes: Axes, moments: Sequence[Moment], most_files: int) -> None:
    seconds = [moment.seconds for moment in moments]
    sizes = [moment.size / 1000 for moment in moments]
    axes.fill_between(seconds, sizes, step="post", color=COLOURS["ready"], linewidth=0)
    axes.set_ylim(0, max(1.15 * max(sizes), 1.0))
    axes.locator_params(axis="y", nbins=4)
    axes.set_title("on the disk, kB", loc="left", color=INK, fontsize=LARGE)
    axes.set_title(f"{most_files} files at most", loc="right", color=INK, fontsize=SMALL)
    quiet(axes)


def _draw_wait(axes: Axes, moments: Sequence[Moment]) -> None:
    seconds = [moment.seconds for moment in moments]
    waited = [moment.wait_seconds for moment in moments]
    axes.plot(seconds, waited, color=_AGAIN, linewidth=1.5, drawstyle="steps-post")
    axes.set_ylim(0, max(1.15 * waited[-1], 0.1))
    axes.locator_params(axis="y", nbins=4)
    axes.set_title("waited for batches so far, s", loc="left", color=INK, fontsize=LARGE)
    share = f"{moments[-1].wait_share:.1%} of the time"
    axes.set_title(share, loc="right", color=INK, fontsize=SMALL)
    quiet(axes)


def _digest(*values: object) -> str:
    return fingerprint([str(value) for value in values])[:8]  # as text, which may be nan
