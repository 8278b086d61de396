"""Parity: whether the hands can go to and fro through a map.

A hand swings forehand (the neutral one is down) and backhand (up) in turn. The forehand cuts
whatever goes down, however slanting; the backhand whatever goes up; sideways cuts and dots are
taken by either. What is one swing is told by `workbench.beatmap.maps.swings`. Parity breaks

- between two swings in a row of which the second goes the way of the first, less than 90 degrees
  off: the hand is at the wrong end; and
- where, from one swing that takes a certain side of the hand to the next that does, going to and
  fro ends at the wrong side. Players read ahead, so that any of the swings between may be repeated:
  there is one break, at whichever of them has room.

A break is a *reset* where there is room for an empty swing back, which is half a second of rest, or
where a bomb in the lane that the hand leaves or goes to asks for it. All others are *errors*. Both
are told beside those of a human map, as neither number is a fault by itself. The rule is the same
for both hands, mirrored or not, and the number of breaks is the least that any choice of sides has.

Source: the rule of alternation is that of the map service's reviewers, as JoshaParity (MIT) tells
it: forehand down and backhand up are neutral. Other than it, no wrist is modelled here: neither
its turns nor where the notes stand count, and bombs move no hand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.objects import Bombs
from workbench.beatmap.maps.swings import ROUNDING, Swings, cosines

RESET_REST = 0.5  # seconds; at the four swings a second of a hard map, one to and one fro
_SIDEWAYS = np.sin(np.deg2rad(22.5))  # half of the way to a slanting cut
_LANES = 4

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityBreaks:
    """How often a hand cannot go to and fro.

    Attributes:
        errors: Without time to come back.
        resets: With it, or asked for by a bomb.
    """

    errors: int
    resets: int


def parity_breaks(swings: Swings, bombs: Bombs, bomb_seconds: Floats) -> ParityBreaks:
    """Return the breaks of one hand.

    Args:
        swings: The hand's.
        bombs: Of the map.
        bomb_seconds: When each is there, rising, `(bombs,)`.
    """
    if len(swings) < 2:
        return ParityBreaks(errors=0, resets=0)
    has_room = _has_room(swings, bombs, bomb_seconds)
    is_again = cosines(swings.cut) > _SIDEWAYS
    stretches = _broken_stretches(swings.cut[:, 1], is_again)
    roomy = int((_before(has_room)[stretches[:, 1]] > _before(has_room)[stretches[:, 0]]).sum())
    resets = int((is_again & has_room).sum()) + roomy
    breaks = int(is_again.sum()) + len(stretches)
    return ParityBreaks(errors=breaks - resets, resets=resets)


def _broken_stretches(up: Floats, is_again: Flags) -> NDArray[np.int64]:
    """Return first and last swing of each stretch that ends at the wrong side, `(k, 2)`.

    Args:
        up: How far each swing goes up, -1 to 1, `(n,)`.
        is_again: Whether the next one goes the same way, so that the hand begins anew, `(n - 1,)`.
    """
    certain = np.flatnonzero(np.abs(up) > _SIDEWAYS)
    first, last = certain[:-1], certain[1:]
    is_same_side = (up[first] > 0) == (up[last] > 0)
    is_odd = (last - first) % 2 == 1
    is_anew = _before(is_again)[last] > _before(is_again)[first]
    is_broken = (is_same_side == is_odd) & ~is_anew
    return np.stack([first[is_broken], last[is_broken]], axis=1)


def _has_room(swings: Swings, bombs: Bombs, bomb_seconds: Floats) -> Flags:
    """Return whether a hand can come back before the next swing, `(n - 1,)`."""
    begin, end = swings.until[:-1], swings.seconds[1:]
    has_room: Flags = end - begin >= RESET_REST - ROUNDING
    for lane in range(_LANES):
        there = bomb_seconds[bombs.lane == lane]
        before_end = np.searchsorted(there, end, side="left")
        is_between = before_end > np.searchsorted(there, begin, side="right")
        is_near = (swings.last_lane[:-1] == lane) | (swings.lane[1:] == lane)
        has_room |= is_near & is_between
    return has_room


def _before(flags: Flags) -> NDArray[np.int64]:
    """Return how many flags are set before each place, `(n + 1,)`."""
    return np.append(0, np.cumsum(flags))
