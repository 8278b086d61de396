"""What one chart is like to play, in numbers that can be put beside those of another.

Units: seconds by the chart's own time; rates are a second, from the first note to the last, and 0
where there are not two moments; hands are 0 left and 1 right. Histograms hold the notes on the
grid, of the eight directions and any, by hand.

A *pattern* is four onsets in a row with all that is struck at each: hands, cells, directions.
Distinct ones over all tell how varied a chart is. A *vision block* is a note in one of the two
middle cells (lane 1 or 2, layer 1) behind which the next to come, 70 to 500 ms later, stands in the
same half of the grid: it is not seen in time. For parity see `metrics_parity`.

Histograms P and Q differ by the divergence of Kullback and Leibler, the sum of p ln(p / q), in
nats: 0 only if they have the same shape. Half a note is added to each bin of both first (Krichevsky
and Trofimov), so that it is finite where one of them has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.swings import ROUNDING, SWING_GAP, Swings, hand_swings
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.metrics_onsets import onset_starts
from workbench.beatmap.writer.metrics_parity import parity_breaks

HANDS, LAYERS, LANES, DIRECTIONS = 2, 3, 4, 9
PEAK_WINDOW = 4.0  # seconds over which the busiest stretch is sought
LAST_SEEN = 0.5  # seconds; what comes later is seen when the note before is gone
PATTERN = 4  # onsets

_SMOOTHING = 0.5  # notes a bin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Histograms(Protocol):
    """What a chart, or a corpus, holds of each kind of note."""

    @property
    def directions(self) -> Ints:
        """Notes by hand and direction, int64 `(2, 9)`."""

    @property
    def cells(self) -> Ints:
        """Notes by hand, layer and lane, int64 `(2, 3, 4)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChartProfile:
    """What one chart, or several together, is like.

    Attributes:
        notes: How many.
        onsets: Moments at which there are some.
        seconds: From the first note to the last.
        swings: Of both hands.
        peak_swings_a_second: In the busiest `PEAK_WINDOW`.
        parity_errors: See `metrics_parity`.
        resets: Likewise.
        patterns: Four onsets in a row.
        kinds: Distinct ones of them; of several charts, distinct within each.
        vision_blocks: Notes that hide the next.
        directions: Notes by hand and direction, int64 `(2, 9)`.
        cells: Notes by hand, layer and lane, int64 `(2, 3, 4)`.
        hands: Notes by hand, on the grid or not, int64 `(2,)`.
    """

    notes: int
    onsets: int
    seconds: float
    swings: int
    peak_swings_a_second: float
    parity_errors: int
    resets: int
    patterns: int
    kinds: int
    vision_blocks: int
    directions: Ints
    cells: Ints
    hands: Ints

    @property
    def nps(self) -> float:
        """Notes a second."""
        return _over(self.notes, self.seconds)

    def numbers(self) -> dict[str, float]:
        """Return what can be compared between charts of any length, by name."""
        return {
            "notes": self.notes,
            "nps": self.nps,
            "swings_a_second": _over(self.swings, self.seconds),
            "peak_swings_a_second": self.peak_swings_a_second,
            "parity_errors_per_1000": 1000 * _over(self.parity_errors, self.swings),
            "resets_per_1000": 1000 * _over(self.resets, self.swings),
            "right_hand_share": _over(self.hands[1], self.hands.sum(), none=0.5),
            "pattern_diversity": _over(self.kinds, self.patterns),
            "vision_blocks_per_1000": 1000 * _over(self.vision_blocks, self.notes),
        }


def profile_of(objects: Objects, time_map: TimeMap) -> ChartProfile:
    """Return what a chart is like.

    Args:
        objects: What is in it; its notes and bombs count.
        time_map: When.
    """
    notes, seconds = objects.notes, time_map.seconds_at(objects.notes.beat)
    bomb_seconds = time_map.seconds_at(objects.bombs.beat)
    swings = [hand_swings(notes, seconds, hand) for hand in range(HANDS)]
    breaks = [parity_breaks(hand, objects.bombs, bomb_seconds) for hand in swings]
    starts = onset_starts(seconds)
    patterns = _patterns(notes, starts)
    return ChartProfile(
        notes=len(notes),
        onsets=int(starts.sum()),
        seconds=float(seconds[-1] - seconds[0]) if len(seconds) else 0.0,
        swings=sum(map(len, swings)),
        peak_swings_a_second=_peak(swings),
        parity_errors=sum(hand.errors for hand in breaks),
        resets=sum(hand.resets for hand in breaks),
        patterns=len(patterns),
        kinds=len(set(patterns)),
        vision_blocks=_vision_blocks(notes, seconds, starts),
        directions=_histogram((DIRECTIONS,), notes.color, notes.direction),
        cells=_histogram((LAYERS, LANES), notes.color, notes.layer, notes.lane),
        hands=_histogram((), notes.color),
    )


def pooled_profile(profiles: Sequence[ChartProfile]) -> ChartProfile:
    """Return charts as one that goes on and on: counts add, the busiest stretch is the busiest.

    Args:
        profiles: At least one.
    """
    added: dict[str, Any] = {
        name: sum(getattr(profile, name) for profile in profiles)
        for name in ChartProfile.__dataclass_fields__
    }
    added["peak_swings_a_second"] = max(p.peak_swings_a_second for p in profiles)
    return ChartProfile(**added)


def divergence(found: ArrayLike, wanted: ArrayLike) -> float:
    """Return how far counts are from others in shape, nats, 0 or more; 0 if they are equal.

    Args:
        found: Of any shape, 0 or more.
        wanted: Of the same shape.
    """
    p, q = (_smoothed(np.asarray(counts, np.float64)) for counts in (found, wanted))
    return max(float((p * np.log(p / q)).sum()), 0.0)


def hand_divergence(found: Ints, wanted: Ints) -> tuple[float, float, float]:
    """Return the divergence of the left hand, of the right, and the mean weighted by their notes.

    Args:
        found: Counts by hand, `(2, …)`.
        wanted: Likewise.
    """
    left, right = (divergence(found[hand], wanted[hand]) for hand in range(HANDS))
    weights = [int(found[hand].sum() + wanted[hand].sum()) for hand in range(HANDS)]
    both = _over(weights[0] * left + weights[1] * right, sum(weights))
    return left, right, both


def _over(part: float, whole: float, none: float = 0.0) -> float:
    return float(part / whole) if whole > 0 else none


def _smoothed(counts: Floats) -> Floats:
    whole: Floats = (counts + _SMOOTHING) / (counts.sum() + _SMOOTHING * counts.size)
    return whole


def _histogram(shape: tuple[int, ...], color: NDArray[np.int32], *of: NDArray[np.int32]) -> Ints:
    """Return the notes of each hand in each place of a shape; those outside are left out."""
    whole = (HANDS, *shape)
    is_inside = np.ones(len(color), np.bool_)
    for column, limit in zip((color, *of), whole, strict=True):
        is_inside &= (column >= 0) & (column < limit)
    places = tuple(column[is_inside].astype(np.int64) for column in (color, *of))
    flat = np.ravel_multi_index(places, whole)
    return np.bincount(flat, minlength=int(np.prod(whole))).reshape(whole).astype(np.int64)


def _peak(swings: Sequence[Swings]) -> float:
    """Return the most swings a second that begin within a window."""
    when = np.sort(np.concatenate([hand.seconds for hand in swings]))
    end = when + PEAK_WINDOW - ROUNDING
    counts = np.searchsorted(when, end, side="left") - np.arange(len(when))
    return float(counts.max(initial=0)) / PEAK_WINDOW


def _patterns(notes: Notes, starts: NDArray[np.bool_]) -> list[tuple[Any, ...]]:
    """Return every pattern of a chart; equal ones are equal whatever the order of their notes."""
    columns = (notes.color, notes.lane, notes.layer, notes.direction)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    edges = np.append(np.flatnonzero(starts), len(rows)).tolist()
    moments = [tuple(sorted(rows[a:b])) for a, b in pairwise(edges)]
    return list(zip(*(moments[i:] for i in range(PATTERN)), strict=False))


def _vision_blocks(notes: Notes, seconds: Floats, starts: NDArray[np.bool_]) -> int:
    """Return how many notes hide the next."""
    first = np.flatnonzero(starts)
    half = notes.lane >= LANES // 2
    onset = np.cumsum(starts) - 1
    is_filled = np.zeros((len(first) + 1, 2), np.bool_)  # the row behind the last stays empty
    is_filled[onset, half.astype(np.int64)] = True
    is_middle = (notes.layer == 1) & ((notes.lane == 1) | (notes.lane == 2))
    struck = seconds[is_middle]
    after = np.searchsorted(seconds[first], struck + SWING_GAP + ROUNDING, side="right")
    when = np.append(seconds[first], np.inf)[after]
    is_soon = when - struck <= LAST_SEEN + ROUNDING
    return int((is_soon & is_filled[after, half[is_middle].astype(np.int64)]).sum())
