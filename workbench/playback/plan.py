"""A plan: the duties of a song, what they play of it, and whether a robot can do them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.device.duties import Duties
from workbench.playback.flight import move_milliseconds
from workbench.playback.options import RobotOptions
from workbench.playback.song import Song


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What a plan plays of a song.

    Attributes:
        notes: Notes of the song.
        notes_played: Those that are played: begun when they should, each on its key.
        notes_folded: Those of them that are played in another octave.
        notes_merged: Those of them that another note's key plays too, as it is struck then.
        notes_dropped: Those that are not played; with the played ones, all.
        moves: How often the cart moves.
        infeasible_moves: Moves with a finger on a key, or with too little time.
        onset_error_ms_max: Greatest distance of a played note's duty from the tempo map.
        shift: Semitones by which the song was shifted.
        lead_ms: How much later than in the song all is.
        duties: How many there are.
        duration_ms: How long they last.
    """

    notes: int
    notes_played: int
    notes_folded: int
    notes_merged: int
    notes_dropped: int
    moves: int
    infeasible_moves: int
    onset_error_ms_max: float
    shift: int
    lead_ms: int
    duties: int
    duration_ms: int

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """The duties of a song.

    Attributes:
        song: The song.
        robot: The robot that they are for.
        duties: They themselves, from 0 on, without gaps; the first takes the cart to its place
            in silence, the last ends in silence.
        pitch: What each note of the song is played as, int64 (n,), -1 if it is not.
        report: What they play.
    """

    song: Song
    robot: RobotOptions
    duties: Duties
    pitch: NDArray[np.int64]
    report: PlanReport

    @property
    def is_played(self) -> NDArray[np.bool_]:
        """Which notes of the song are played, (n,)."""
        return self.pitch >= 0


def moves_of(duties: Duties) -> NDArray[np.int64]:
    """Return the duties on which the cart sets out; the first one, from home, is none."""
    return np.flatnonzero(np.diff(duties.cart.astype(np.int64))) + 1


def infeasible_moves(duties: Duties, robot: RobotOptions) -> int:
    """Return how many moves drag a finger over keys, or arrive after the next finger is due."""
    moves = moves_of(duties)
    cart = duties.cart.astype(np.int64)
    distance = np.abs(cart[moves] - cart[moves - 1])
    need = move_milliseconds(robot)[np.minimum(distance, robot.positions - 1)]
    # The silence of a move goes on until a finger is due, or the cart sets out again
    sounding = np.flatnonzero(duties.sounding)
    ends = np.concatenate((sounding, moves, [len(duties)]))
    ends.sort()
    until = ends[np.searchsorted(ends, moves, side="right")]
    stop_ms = np.append(duties.start_ms, duties.end_ms)[until]
    is_late = stop_ms - duties.start_ms[moves] < need
    is_beyond = cart[moves] >= robot.positions
    return int(np.count_nonzero(is_late | is_beyond | duties.sounding[moves]))
