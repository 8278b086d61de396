"""A performance on its grid: bars, steps, and what the grid leaves over.

Units: a `step` is a grid cell, `resolution` of them a quarter note; an `offset` is how far a note
lies behind its step, in steps, -0.5..0.5; a `bar` is as long as the metre map says. Onsets go to
the nearest step, ties to the even one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from workbench.groove.options import TrainOptions
from workbench.music.midi import Midi
from workbench.music.timebase import MetreMap

Ints = NDArray[np.int64]

MAX_BAR_STEPS = 128  # a step of a bar has seven bits in an event's token
MAX_STEPS = 1 << 20  # a performance of 18 hours at 16 steps a second; beyond it a file is broken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The notes of one performance, in playing order.

    Attributes:
        resolution: Steps a quarter note.
        bar: Bar of each note, int64 (n,), rising.
        step: Step in its bar, int64 (n,).
        offset: Steps behind its step, float64 (n,).
        pitch: uint8 (n,), 0..127.
        velocity: uint8 (n,), 1..127.
        step_seconds: Seconds of a step at the tempo in force, float64 (n,).
        bar_steps: Steps of each bar, int64 (bars,).
        beat_steps: Steps of a beat in each bar, int64 (bars,); three eighths in compound metres.
        bpm: Tempo at the first note, quarter notes a minute.
    """

    resolution: int
    bar: Ints
    step: Ints
    offset: NDArray[np.float64]
    pitch: NDArray[np.uint8]
    velocity: NDArray[np.uint8]
    step_seconds: NDArray[np.float64]
    bar_steps: Ints
    beat_steps: Ints
    bpm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Why a performance is not counted.

    Attributes:
        reason: One code, to count by.
        detail: What was found, for people.
    """

    reason: str
    detail: str


def grid_of(midi: Midi, options: TrainOptions) -> Grid | Skip:
    """Return a file's notes on the grid, or why they are not counted.

    Args:
        midi: A file that was read.
        options: Which notes count, how the grid is laid, and which files are too small.
    """
    chosen = _chosen_part(midi, options.part)
    ticks = midi.tick[chosen]
    if len(ticks) < max(options.min_notes, 1):
        return Skip(reason="few_notes", detail=f"{len(ticks)} notes")
    bpm = 6e7 / int(midi.tempos.tempo_at(ticks[:1])[0])
    tempo_scale = _tempo_scale(bpm, options)
    if isinstance(tempo_scale, Skip):
        return tempo_scale
    metres = midi.metres
    if options.beats_per_bar:
        metres = MetreMap.from_events(midi.ppq, [0], [options.beats_per_bar], [4])
    placed = _placed(ticks, metres, options.resolution)
    if isinstance(placed, Skip):
        return placed
    bar, step, offset, bar_steps, beat_steps = placed
    if len(bar_steps) < options.min_bars:
        return Skip(reason="few_bars", detail=f"{len(bar_steps)} bars")
    tempos = midi.tempos.tempo_at(ticks)
    return Grid(
        resolution=options.resolution,
        bar=bar,
        step=step,
        offset=offset,
        pitch=midi.pitch[chosen],
        velocity=midi.velocity[chosen],
        step_seconds=np.asarray(tempos * (tempo_scale / (1e6 * options.resolution)), np.float64),
        bar_steps=bar_steps,
        beat_steps=beat_steps,
        bpm=bpm / tempo_scale,
    )


def best_resolution(performances: Sequence[Midi], part: str = "drums") -> int:
    """Return the coarsest grid that the onsets of some performances lie on, steps a quarter.

    Without any onset it is 4.

    The error of a grid is the mean squared distance to it over that of onsets strewn at random
    (1/12 of a cell squared): a grid that onsets do not gather on scores about 1, one they do
    scores low. A finer grid is chosen only when it is better by a tenth.
    """
    best, least = 4, np.inf
    for resolution in (1, 2, 3, 4, 6, 8, 12):
        cells = [m.tick[_chosen_part(m, part)] * resolution / m.ppq for m in performances]
        onsets = np.concatenate(cells) if cells else np.zeros(0)
        if len(onsets) == 0:
            break
        error = 12 * float(np.mean((onsets - np.rint(onsets)) ** 2))
        if error < 0.9 * least - 1e-9:
            best, least = resolution, error
    return best


def _chosen_part(midi: Midi, part: str) -> NDArray[np.bool_] | slice:
    if part == "all" or (part == "drums" and midi.is_drum.all()):
        return slice(None)
    return midi.is_drum if part == "drums" else ~midi.is_drum


def _tempo_scale(bpm: float, options: TrainOptions) -> float | Skip:
    """Return the factor on a file's tempo in µs, 1 where its bpm is within the bounds."""
    folded = bpm
    while options.fold_halves and folded < options.min_bpm:
        folded *= 2
    while options.fold_halves and folded > options.max_bpm:
        folded /= 2
    if options.min_bpm <= folded <= options.max_bpm:
        return bpm / folded
    if options.tempo_policy == "skip":
        bounds = f"{options.min_bpm:g}..{options.max_bpm:g}"
        return Skip(reason="tempo", detail=f"{bpm:.4g} bpm is outside {bounds}")
    return bpm / options.fallback_bpm if options.tempo_policy == "fallback" else 1.0


def _placed(
    ticks: Ints, metres: MetreMap, resolution: int
) -> tuple[Ints, Ints, NDArray[np.float64], Ints, Ints] | Skip:
    """Return bar, step and offset of each note, and the steps of every bar and beat."""
    written = zip(metres.numerator.tolist(), metres.denominator.tolist(), strict=True)
    layouts = [_layout(upper, lower, resolution) for upper, lower in written]
    if None in layouts:
        worst = layouts.index(None)
        metre = f"{metres.numerator[worst]}/{metres.denominator[worst]}"
        return Skip(
            reason="metre_off_grid", detail=f"a bar of {metre} is no 1..{MAX_BAR_STEPS} whole steps"
        )
    steps, beat_steps = np.array(layouts, np.int64).T
    bar, tick_in_bar, segment = metres.bars_at(ticks)
    exact = tick_in_bar * resolution / metres.ppq  # one rounding, so that ties are ties
    nearest = np.rint(exact)
    step = nearest.astype(np.int64)
    carried = step >= (steps[0] if len(steps) == 1 else steps[segment])
    bar, step = bar + carried, np.where(carried, 0, step)  # a late half step is the next bar's
    bars = int(bar[-1]) + 1
    if bars * int(steps.max()) > MAX_STEPS:
        return Skip(reason="too_long", detail=f"{bars} bars")
    segment_of_bar = _segments(metres, bars)
    return bar, step, exact - nearest, steps[segment_of_bar], beat_steps[segment_of_bar]


@cache
def _layout(numerator: int, denominator: int, resolution: int) -> tuple[int, int] | None:
    """Return the steps of a bar and of a beat, or None where a bar does not fit the grid.

    A beat is a quarter, or three eighths in 6/8, 9/8 and 12/8.
    """
    steps, rest = divmod(4 * resolution * numerator, denominator)
    if rest or not 1 <= steps <= MAX_BAR_STEPS:
        return None
    is_compound = denominator == 8 and numerator % 3 == 0 and numerator > 3 and resolution % 2 == 0
    return steps, resolution * 3 // 2 if is_compound else resolution


def _segments(metres: MetreMap, bars: int) -> Ints:
    if len(metres.tick) == 1:
        return np.zeros(bars, np.int64)
    first_bar = metres.bars_at(metres.tick)[0]
    return np.asarray(np.searchsorted(first_bar, np.arange(bars), side="right") - 1)
