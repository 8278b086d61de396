"""From a song to duties: which notes, from where, with which fingers.

The song is brought onto the keyboard, the fingers' chances are found for every position, the
best way of the cart is found exactly, and the stays of that way become duties. A duty begins at
every press and every release, so that no onset waits for another note's end; and while the cart
moves no finger is on a key. Nothing is left out for its size: duties come piece by piece, each
as soon as it is certain.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workbench.device.duties import Duties
from workbench.errors import PlaybackError
from workbench.playback.fingering import WORTH, Part, chances_of, part_of
from workbench.playback.flight import move_milliseconds
from workbench.playback.folding import NO_PITCH, shifts_to_try
from workbench.playback.keyboard import PITCHES, reach_of
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.pieces import Piece, PieceWriter, events_of
from workbench.playback.plan import Plan, PlanReport, infeasible_moves, moves_of
from workbench.playback.song import Song
from workbench.playback.viterbi import Costs
from workbench.playback.ways import BLOCK, LOOK_BACK, stays_of
from workbench.progress import Progress, Show, silent

_SEARCHED_NOTES = 5_000  # of a longer song, evenly spread slices are searched
_SLICES = 10
_NEARLY = 0.99  # of the best; of shifts that good, the least is taken

_Ints = NDArray[np.int64]


def plan_song(
    song: Song,
    robot: RobotOptions | None = None,
    options: PlanOptions | None = None,
    show: Show = silent,
) -> Plan:
    """Return the plan of a song.

    Args:
        song: The song.
        robot: Who plays it; the melodica when not given.
        options: What may be changed, what is worth how much.
        show: Takes the progress, in seconds of music.

    Raises:
        PlaybackError: No note of it can be played.
    """
    robot, options = robot or RobotOptions(), options or PlanOptions()
    song = song.at_speed(options.speed)
    shift = options.transpose + best_shift(song, robot, options)
    part = part_of(song, robot, options, shift)
    pieces = list(_shown(plan_pieces(part, robot, options), song, show))
    if not any(len(piece.press) for piece in pieces):
        raise PlaybackError(
            f"{song.name}: none of its {len(song)} notes is on the keys; try fold or transpose"
        )
    duties = _joined([piece.duties for piece in pieces])
    heard = np.full(len(part.pitch) + 1, NO_PITCH, np.int64)  # the last one is of no press
    begun = np.zeros(len(part.pitch) + 1, np.int64)
    for piece in pieces:
        heard[piece.press], begun[piece.press] = piece.pitch, piece.onset_ms
    pitch = heard[part.press]
    report = _report(
        song=song, pitch=pitch, begun=begun[part.press], duties=duties, robot=robot, shift=shift
    )
    return Plan(song=song, robot=robot, duties=duties, pitch=pitch, report=report)


def plan_pieces(
    part: Part,
    robot: RobotOptions,
    options: PlanOptions,
    *,
    block: int = BLOCK,
    look_back: int = LOOK_BACK,
) -> Iterator[Piece]:
    """Give the duties of a song, each piece as soon as it is certain.

    Args:
        part: The song on the keyboard.
        robot: Who plays it.
        options: What is worth how much.
        block: Onsets between two looks at what is certain.
        look_back: Onsets after which the best way so far is taken, should nothing be certain.
    """
    chances = chances_of(part, robot, options)
    costs = costs_of(robot, options)
    writer = PieceWriter(part, robot, options, chances)
    for stays in stays_of(
        part.time,
        chances,
        costs,
        fingers=len(robot.finger_keys),
        block=block,
        look_back=look_back,
    ):
        piece = writer.piece(stays)
        if len(piece.duties):
            yield piece
    yield writer.closing()


def costs_of(robot: RobotOptions, options: PlanOptions) -> Costs:
    """Return what moving needs and costs."""
    distances = np.arange(robot.positions)
    return Costs(
        need=move_milliseconds(robot),
        cost=np.rint(distances * (options.move_weight * WORTH)).astype(np.int64),
        hold=robot.hold_ms,
        lift=robot.lift_ms,
        hold_worth=round(options.hold_weight * WORTH / 1000),
    )


def best_shift(song: Song, robot: RobotOptions, options: PlanOptions) -> int:
    """Return the shift, beyond `transpose`, by which most of a song can be played, semitones.

    Notes in an octave of their own count nothing here: they would make any shift look good. Of
    shifts that are nearly as good as the best, the least.
    """
    wanted = np.clip(song.pitch + options.transpose, 0, PITCHES - 1)
    shifts = shifts_to_try(wanted, reach_of(robot).reachable, search=options.search)
    if len(shifts) == 1:
        return shifts[0]
    excerpt, plain = _excerpt(song), replace(options, fold="none")
    worths = [_worth(excerpt, robot, plain, options.transpose + shift) for shift in shifts]
    good = _NEARLY * max(worths)
    return next(shift for shift, worth in zip(shifts, worths, strict=True) if worth >= good)


def _excerpt(song: Song) -> Song:
    """Return a song, or slices of one that is long."""
    if len(song) <= _SEARCHED_NOTES:
        return song
    at = np.arange(len(song))
    part = len(song) / _SLICES
    return song.only(at % part < _SEARCHED_NOTES / _SLICES)


def _worth(song: Song, robot: RobotOptions, options: PlanOptions, shift: int) -> int:
    """Return what the best way is worth, of onsets and holding."""
    part = part_of(song, robot, options, shift)
    if not len(part.time):
        return 0
    chances = chances_of(part, robot, options)
    costs = costs_of(robot, options)
    fingers = len(robot.finger_keys)
    worth, before = 0, None
    for stay in (s for some in stays_of(part.time, chances, costs, fingers=fingers) for s in some):
        event, off = events_of(stay, part, robot, chances)
        worth += int(chances.worth[event].sum())
        worth -= int((chances.stop[event] - off).sum()) * costs.hold_worth
        if before is not None:
            worth -= int(costs.cost[abs(stay.position - before.position)])
        before = stay
    return worth


def _shown(pieces: Iterator[Piece], song: Song, show: Show) -> Iterator[Piece]:
    """Give pieces, and show how much of the song they cover."""
    begun, total = time.monotonic(), -(-song.duration_ms // 1000)
    done = 0
    for piece in pieces:
        yield piece
        done = max(done, min(piece.duties.end_ms // 1000, total - 1))
        show(_progress(done, total, time.monotonic() - begun))
    show(_progress(total, total, time.monotonic() - begun))


def _progress(done: int, total: int, seconds: float) -> Progress:
    return Progress(
        stage="planning", done=done, total=total, unit="s of music", seconds=seconds, fresh=done
    )


def _joined(all_duties: Sequence[Duties]) -> Duties:
    columns = {
        name: np.concatenate([getattr(duties, name) for duties in all_duties])
        for name in Duties.__slots__
    }
    return Duties(**columns)


def _report(
    *, song: Song, pitch: _Ints, begun: _Ints, duties: Duties, robot: RobotOptions, shift: int
) -> PlanReport:
    """Return what a plan plays.

    Args:
        song: The song.
        pitch: What each note is heard as, -1 if it is not.
        begun: When each does begin, in the time of the duties.
        duties: All of them.
        robot: Who plays them.
        shift: Semitones that the song was shifted by.
    """
    is_played = pitch != NO_PITCH
    begun, pitch = begun[is_played], pitch[is_played]
    lead = int(begun[0] - song.onset_ms[is_played][0])
    error = np.abs(begun - lead - song.seconds[is_played] * 1000)
    presses = np.unique(begun * PITCHES + pitch)
    return PlanReport(
        notes=len(song),
        notes_played=len(begun),
        notes_folded=int(np.count_nonzero(pitch != song.pitch[is_played] + shift)),
        notes_merged=len(begun) - len(presses),
        notes_dropped=len(song) - len(begun),
        moves=len(moves_of(duties)),
        infeasible_moves=infeasible_moves(duties, robot),
        onset_error_ms_max=round(float(error.max()), 6),
        shift=shift,
        lead_ms=lead,
        duties=len(duties),
        duration_ms=duties.end_ms,
    )
