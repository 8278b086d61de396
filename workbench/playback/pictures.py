"""Pictures of plans: what is played when, and where the cart stands."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from workbench.figures import BLUE, GREY, INK, ORANGE, SMALL, Picture, digest_of, new_figure, quiet
from workbench.playback.keyboard import pitch_name
from workbench.playback.plan import Plan

_SHOWN = 4_000  # notes of a picture; a longer song is shown by its beginning
_THICK = 4  # of a note, points


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
