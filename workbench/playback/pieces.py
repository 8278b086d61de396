"""Stays of the cart as duties: a duty begins at every press and every release.

Between two stays all fingers are home. The cart sets out at the last release before, not at the
last moment, so that it stands when the next finger is due.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.device.duties import KEEP_VOLUME, MOST_VOLUME, Duties
from workbench.playback.fingering import Part
from workbench.playback.folding import NO_PITCH
from workbench.playback.keyboard import NO_FINGER, Reach, reach_of
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.viterbi import Chances
from workbench.playback.ways import NEVER, Stay

CLOSING_MS = 500  # of silence at the end
_LONGEST_MS = 65_535  # of a duty
_VELOCITIES = 127

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Some duties of a plan, in order.

    Attributes:
        duties: They themselves.
        press: The presses that begin in them, int64 (k,).
        onset_ms: Where they begin, in the time of the duties, int64 (k,).
        pitch: What is heard, int64 (k,).
    """

    duties: Duties
    press: _Ints
    onset_ms: _Ints
    pitch: _Ints


def events_of(stay: Stay, part: Part, robot: RobotOptions, chances: Chances) -> tuple[_Ints, _Ints]:
    """Return the events of a stay, and when their keys are let go."""
    begin, end = chances.first[stay.position], chances.first[stay.position + 1]
    groups = chances.group[begin:end]
    last = len(part.time)
    if stay.leave_ms < NEVER:
        last = int(np.searchsorted(part.time, stay.leave_ms - robot.hold_ms, side="right"))
    low, high = np.searchsorted(groups, [stay.group, last])
    event = np.arange(begin + low, begin + high)
    off = np.minimum(chances.stop[event], stay.leave_ms)
    order = np.lexsort((event, chances.finger[event]))  # as the fingers play one after another
    before, after = order[:-1], order[1:]
    is_same = chances.finger[event[before]] == chances.finger[event[after]]
    due = part.onset_ms[chances.note[event[after]]] - robot.lift_ms
    off[before] = np.where(is_same, np.minimum(off[before], due), off[before])
    return event, off


class PieceWriter:
    """Writes the stays of a song, some after others, as pieces of its plan."""

    def __init__(
        self, part: Part, robot: RobotOptions, options: PlanOptions, chances: Chances
    ) -> None:
        """Begin a song.

        Args:
            part: The song on the keyboard.
            robot: Who plays it.
            options: How much silence goes ahead.
            chances: What could be played.
        """
        self._part, self._robot, self._chances = part, robot, chances
        self._lead_ms = options.lead_ms
        self._later_ms: int | None = None  # than in the song; known with the first press
        self._silent_ms = 0  # when the last finger went home
        self._cart = 0
        self._pitch_of = _pitch_of(reach_of(robot), len(robot.finger_keys))

    def piece(self, stays: list[Stay]) -> Piece:
        """Return the duties from the last release before some stays to the last in them."""
        found = [(stay, *events_of(stay, self._part, self._robot, self._chances)) for stay in stays]
        event = np.concatenate([np.zeros(0, np.int64), *(events for _, events, _ in found)])
        off = np.concatenate([np.zeros(0, np.int64), *(offs for _, _, offs in found)])
        if not len(event):
            none = _duties(event, event, event, event, event)
            return Piece(duties=none, press=event, onset_ms=event, pitch=event)
        place = np.repeat(
            [stay.position for stay in stays], [len(events) for _, events, _ in found]
        )
        press = self._chances.note[event].astype(np.int64)
        on = self._part.onset_ms[press]
        if self._later_ms is None:
            self._later_ms = max(0, self._lead_ms - int(on[0]))
        on, off = on + self._later_ms, off + self._later_ms
        finger = self._chances.finger[event].astype(np.int64)
        side = self._chances.side[event].astype(np.int64)
        duties = self._written(on, off, side << 2 * finger, place, self._part.velocity[press])
        pitch = self._pitch_of[place, finger, side]
        return Piece(duties=duties, press=press, onset_ms=on, pitch=pitch)

    def closing(self) -> Piece:
        """Return the silence at the end, the pump off."""
        nothing = np.zeros(0, np.int64)
        start = np.array([self._silent_ms])
        cart, zero = np.array([self._cart]), np.zeros(1, np.int64)
        duties = _duties(start, start + CLOSING_MS, zero, cart, zero)
        return Piece(duties=duties, press=nothing, onset_ms=nothing, pitch=nothing)

    def _written(self, on: _Ints, off: _Ints, code: _Ints, place: _Ints, velocity: _Ints) -> Duties:
        """Return duties of presses: when, till when, the bits of the finger, where, how hard."""
        moments = np.unique(np.concatenate(([self._silent_ms], on, off)))
        bits = np.zeros(len(moments), np.int64)
        np.add.at(bits, np.searchsorted(moments, on), code)
        np.subtract.at(bits, np.searchsorted(moments, off), code)
        bits = np.cumsum(bits)
        # Where the next press is, or the latest while keys are held
        order = np.argsort(on, kind="stable")
        following = np.searchsorted(on[order], moments, side="left")
        latest = np.searchsorted(on[order], moments, side="right") - 1
        which = np.where(bits > 0, latest, np.minimum(following, len(on) - 1))
        cart = place[order][which]
        loudest = np.zeros(len(moments), np.int64)
        np.maximum.at(loudest, np.searchsorted(moments, on), velocity)
        volume = np.maximum(1, np.rint(loudest * (MOST_VOLUME / _VELOCITIES))).astype(np.int64)
        volume[loudest == 0] = KEEP_VOLUME
        self._silent_ms, self._cart = int(moments[-1]), int(cart[-1])
        return _duties(moments[:-1], moments[1:], bits[:-1], cart[:-1], volume[:-1])


def _duties(start: _Ints, end: _Ints, fingers: _Ints, cart: _Ints, volume: _Ints) -> Duties:
    """Return duties from starts to ends; one that is too long for a duty becomes several."""
    parts = np.maximum(1, -(-(end - start) // _LONGEST_MS))
    row = np.repeat(np.arange(len(start)), parts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = start[row] + number * _LONGEST_MS
    return Duties.of(
        start_ms=begins,
        duration_ms=np.minimum(end[row] - begins, _LONGEST_MS),
        fingers=fingers[row],
        cart=cart[row],
        volume=np.where(number == 0, volume[row], KEEP_VOLUME),
    )


def _pitch_of(reach: Reach, fingers: int) -> _Ints:
    """Return the pitch of each key that a finger has, int64 (positions, fingers, 3)."""
    pitch_of = np.full((len(reach.finger), fingers, 3), NO_PITCH, np.int64)
    place, pitch = np.nonzero(reach.finger != NO_FINGER)
    pitch_of[place, reach.finger[place, pitch], reach.side[place, pitch]] = pitch
    return pitch_of
