"""Swings: notes of one hand that one movement cuts, and which way it goes.

Notes of a hand are one swing while each follows the one before it within `SWING_GAP` and is cut in
about its direction, no more than 90 degrees off; a dot goes with any. So stacks, towers, windows
and sliders are one swing, and a stream to and fro, however fast, is as many as it has notes.
Units: seconds by the map's own time; a cut is a vector (x, y), x to the right and y upwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.objects import Notes

SWING_GAP = 0.070  # seconds between two notes of one swing, at most
ROUNDING = 1e-6  # seconds; by so little a time may be off what it is compared with

_VECTORS = np.array(
    [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0)], np.float64
)
_ANY = 8
_RIGHT_ANGLE = -1e-9  # cosine; an angle of 90 degrees, and what rounding makes of it, is within

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swings:
    """The swings of one hand, by time; all columns `(n,)` but the cuts.

    Attributes:
        seconds: When the first note of each is struck, float64.
        until: When its last is, float64.
        cut: Which way it goes, of length 1, or 0 where any will do, float64 `(n, 2)`.
        lane: Of its first note.
        last_lane: Of its last.
    """

    seconds: Floats
    until: Floats
    cut: Floats
    lane: NDArray[np.int32]
    last_lane: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.seconds)


def cuts(direction: NDArray[np.int32], angle: Floats) -> Floats:
    """Return which way notes are cut, turned counter-clockwise by their angles.

    Args:
        direction: `(n,)`; others than 0 to 7 are dots.
        angle: `(n,)`, degrees.

    Returns:
        Vectors of length 1, or 0 for a dot, float64 `(n, 2)`.
    """
    is_arrow = (direction >= 0) & (direction < _ANY)
    way = _VECTORS[np.where(is_arrow, direction, _ANY)]
    return _turned(_unit(way), np.deg2rad(angle))


def swing_starts(seconds: Floats, cut: Floats) -> NDArray[np.bool_]:
    """Return which notes of a hand begin a swing.

    Args:
        seconds: When each is struck, rising, `(n,)`.
        cut: Which way, `(n, 2)`, as `cuts` gives it.

    Returns:
        Bool `(n,)`.
    """
    starts = np.ones(len(seconds), np.bool_)
    is_near = np.diff(seconds) <= SWING_GAP + ROUNDING
    starts[1:] = ~(is_near & (cosines(cut) >= _RIGHT_ANGLE))
    return starts


def cosines(cut: Floats) -> Floats:
    """Return the cosine between each cut and the next, 0 beside a dot, float64 `(n - 1,)`."""
    between: Floats = (cut[1:] * cut[:-1]).sum(axis=1)
    return between


def hand_swings(notes: Notes, seconds: Floats, color: int) -> Swings:
    """Return the swings of one hand; one of several notes goes the way that they go on average.

    Args:
        notes: Of a difficulty, both hands'.
        seconds: When each of them is struck, rising, `(n,)`.
        color: Whose hand.
    """
    is_hand = notes.color == color
    when, lane = seconds[is_hand], notes.lane[is_hand]
    cut = cuts(notes.direction[is_hand], notes.angle[is_hand])
    first = np.flatnonzero(swing_starts(when, cut))
    last = np.append(first[1:], len(when))[: len(first)] - 1
    whole = np.add.reduceat(cut, first, axis=0) if len(first) else cut
    return Swings(
        seconds=when[first],
        until=when[last],
        cut=_unit(whole),
        lane=lane[first],
        last_lane=lane[last],
    )


def _unit(vectors: Floats) -> Floats:
    """Return vectors of length 1; those of no length stay so."""
    size = np.hypot(vectors[:, 0], vectors[:, 1])[:, None]
    unit: Floats = np.divide(vectors, size, out=np.zeros_like(vectors), where=size > 1e-9)
    return unit


def _turned(vectors: Floats, turn: Floats) -> Floats:
    x, y, cosine, sine = vectors[:, 0], vectors[:, 1], np.cos(turn), np.sin(turn)
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)
