"""Pictures of plans and of performances: what is played when, how late, and with what memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from workbench.figures import (
    BLUE,
    GREY,
    INK,
    LARGE,
    ORANGE,
    SMALL,
    Picture,
    digest_of,
    new_figure,
    quiet,
)
from workbench.playback.keyboard import pitch_name
from workbench.playback.performance import View
from workbench.playback.plan import Plan

_SHOWN = 4_000  # notes of a picture; a longer song is shown by its beginning
_THICK = 4  # of a note, points
_LEAST_MS = 0.01  # that lateness is told to
_BINS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at a performance.

    Attributes:
        seconds: When, on the link's time.
        view: What was seen.
    """

    seconds: float
    view: View


def plan_timeline(plan: Plan, *, seconds: tuple[float, float] | None = None) -> Picture:
    """Draw the notes of a song, those that are played and those that are not, over the cart.

    Args:
        plan: The plan.
        seconds: From when to when, in the time of the duties; all, or its first 4000 notes,
            when not given.
    """
    begin, end = seconds or (0.0, _end_of(plan))
    figure = new_figure(height=4.2)
    notes, cart = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    onset = (plan.song.onset_ms + plan.report.lead_ms) / 1000
    off = (plan.song.end_ms + plan.report.lead_ms) / 1000
    shown = (onset < end) & (off > begin)
    heard = np.where(plan.is_played, plan.pitch, plan.song.pitch + plan.report.shift)
    is_folded = plan.is_played & (heard != plan.song.pitch + plan.report.shift)
    kinds = (
        ("played", BLUE, plan.is_played & ~is_folded),
        ("in another octave", ORANGE, is_folded),
        ("not played", GREY, ~plan.is_played),
    )
    for name, color, of_kind in kinds:
        chosen = np.flatnonzero(shown & of_kind)
        label = f"{name}: {np.count_nonzero(of_kind)}"
        look = {"colors": color, "linewidth": _THICK, "label": label}
        notes.hlines(heard[chosen], onset[chosen], off[chosen], **look)
    _name_pitches(notes, heard[shown])
    notes.legend(frameon=False, fontsize=SMALL, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.15))
    _draw_cart(cart, plan)
    cart.set_xlim(begin, end)
    for axes in (notes, cart):
        quiet(axes)
    report = plan.report
    caption = f"{plan.song.name}: {report.notes_played} of {report.notes} notes"
    columns = (plan.pitch, plan.duties.start_ms, plan.duties.cart, (begin, end))
    return Picture(figure, caption, digest_of(*columns))


def performance_picture(looks: Sequence[Look]) -> Picture:
    """Draw how far the music was, how far the board held it, and how much memory was free.

    Args:
        looks: At one performance, in order.
    """
    figure = new_figure(height=4.4)
    place, memory = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    views = [look.view for look in looks]
    begun = looks[0].seconds if looks else 0.0
    seconds = [look.seconds - begun for look in looks]
    position = np.array([view.position_ms for view in views]) / 1000
    held = np.array([view.buffered_ms for view in views]) / 1000
    place.fill_between(seconds, position, held, color=BLUE, alpha=0.3, linewidth=0, label="held")
    place.plot(seconds, position, color=INK, linewidth=1.5, label="played")
    place.set_title("seconds of the song", loc="left", color=INK, fontsize=LARGE)
    place.legend(frameon=False, fontsize=SMALL, loc="upper left")
    free = np.array([view.heap_free for view in views]) / 1000
    least = [max(view.heap_min, 0) / 1000 for view in views]
    memory.plot(seconds, free, color=BLUE, linewidth=1, label="free")
    memory.plot(seconds, least, color=ORANGE, linewidth=1, label="least so far")
    memory.set_ylim(0, max(1.2 * max(free, default=1.0), 1.0))
    memory.set_title("memory of the board, kB", loc="left", color=INK, fontsize=LARGE)
    memory.legend(frameon=False, fontsize=SMALL, loc="lower right", ncols=2)
    memory.set_xlabel("seconds", color=INK, fontsize=SMALL)
    for axes in (place, memory):
        quiet(axes)
    caption = f"{len(looks)} looks at a performance"
    return Picture(figure, caption, digest_of(position, held, free))


def lateness_picture(late_ms: dict[str, NDArray[np.float64]]) -> Picture:
    """Draw how many duties were how late, each way of playing in a row of its own.

    Args:
        late_ms: By the name of a way, the lateness of each duty, (n,), milliseconds.
    """
    figure = new_figure(height=0.6 + 1.3 * len(late_ms))
    rows = figure.subplots(len(late_ms), 1, sharex=True, squeeze=False)[:, 0]
    most = max((float(late.max(initial=_LEAST_MS)) for late in late_ms.values()), default=1.0)
    edges = np.geomspace(_LEAST_MS, max(1.1 * most, 1.0), _BINS)
    for axes, (name, late) in zip(rows, late_ms.items(), strict=True):
        axes.hist(np.maximum(late, _LEAST_MS), edges, color=BLUE)
        worst = float(np.percentile(late, 99)) if len(late) else 0.0
        axes.axvline(max(worst, _LEAST_MS), color=ORANGE, linewidth=1.5)
        told = f"99 of 100 within {worst:.2f} ms"
        axes.set_title(name, loc="left", color=INK, fontsize=LARGE)
        axes.set_title(told, loc="right", color=INK, fontsize=SMALL)
        axes.set_xscale("log")
        axes.set_ylabel("duties", color=INK, fontsize=SMALL)
        quiet(axes)
    rows[-1].set_xlabel("milliseconds late, on a scale of tens", color=INK, fontsize=SMALL)
    caption = f"lateness of {', '.join(late_ms)}"
    return Picture(figure, caption, digest_of(*late_ms.values()))


def _end_of(plan: Plan) -> float:
    """Return where the picture ends, seconds."""
    if len(plan.song) <= _SHOWN:
        return plan.duties.end_ms / 1000
    return float(plan.song.onset_ms[_SHOWN] + plan.report.lead_ms) / 1000


def _name_pitches(axes: Axes, pitches: NDArray[np.int64]) -> None:
    """Name the C and F of the pitches that are there."""
    low, high = (int(pitches.min()), int(pitches.max())) if len(pitches) else (60, 72)
    named = [pitch for pitch in range(low, high + 1) if pitch % 12 in (0, 5)] or [low]
    axes.set_yticks(named, [pitch_name(pitch) for pitch in named])
    axes.set_ylim(low - 1, high + 1)


def _draw_cart(axes: Axes, plan: Plan) -> None:
    """Draw where the cart is sent, and mark where fingers are on keys."""
    duties = plan.duties
    seconds = np.append(duties.start_ms, duties.end_ms) / 1000
    cart = duties.cart.astype(float)
    axes.stairs(cart, seconds, color=INK, linewidth=1, baseline=None)
    held = np.where(duties.sounding, cart, np.nan)
    axes.stairs(held, seconds, color=BLUE, linewidth=3, baseline=None)
    axes.set_ylim(-0.7, plan.robot.positions - 0.3)
    axes.set_ylabel("cart", fontsize=SMALL)
    axes.set_xlabel("seconds", fontsize=SMALL)
