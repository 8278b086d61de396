"""What the fingers could play of a song at each position of the cart.

A finger has two keys and plays one note at a time; it is home for a while before it presses
again. Of onsets that lie too close for one finger the heaviest are chosen, exactly, and of equal
ones the longest note; a note gives way to the next onset of its finger, as onsets are worth more
than ends. Worths are whole numbers, in millionths of what the options say.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.playback.folding import fitted
from workbench.playback.keyboard import NO_FINGER, PITCHES, Reach, folded_reach, reach_of
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.song import Song
from workbench.playback.viterbi import Chances, chosen_onsets

WORTH = 1_000_000  # units of worth in 1

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A song on the keyboard: what begins together at one pitch is one press of a key.

    Attributes:
        time: Onset of each group, milliseconds, rising, int64 (groups,).
        group: Group of each press, not falling, int64 (presses,).
        onset_ms: int64 (presses,).
        end_ms: The last end of its notes, int64 (presses,).
        pitch: int64 (presses,), rising within a group.
        velocity: The greatest of its notes, int64 (presses,).
        worth: Of the onset in its own octave, int64 (presses,).
        press: The press of each note of the song, int64 (notes,), -1 of those that have no key.
        is_folded: Whether a note's key is in another octave, bool (notes,).
    """

    time: _Ints
    group: _Ints
    onset_ms: _Ints
    end_ms: _Ints
    pitch: _Ints
    velocity: _Ints
    worth: _Ints
    press: _Ints
    is_folded: NDArray[np.bool_]


def part_of(song: Song, robot: RobotOptions, options: PlanOptions, shift: int) -> Part:
    """Return the song on the keyboard, all of it shifted by some semitones."""
    folds = options.fold != "none"
    pitch, is_folded = fitted(song.pitch, reach_of(robot).reachable, shift=shift, folds=folds)
    has_key = np.flatnonzero(pitch >= 0)
    worth = np.full(len(song), round(options.note_weight * WORTH), np.int64)
    worth[_highest(song)] += round(options.melody_weight * WORTH)
    worth[is_folded] = np.rint(worth[is_folded] * options.fold_share).astype(np.int64)
    keys = song.onset_ms[has_key] * PITCHES + pitch[has_key]
    distinct, which = np.unique(keys, return_inverse=True)
    press = np.full(len(song), -1, np.int64)
    press[has_key] = which
    onset_ms = distinct // PITCHES
    time, group = np.unique(onset_ms, return_inverse=True)
    columns = np.zeros((3, len(distinct)), np.int64)  # end, velocity, worth
    np.maximum.at(columns[0], which, song.end_ms[has_key])
    np.maximum.at(columns[1], which, song.velocity[has_key])
    np.add.at(columns[2], which, worth[has_key])
    return Part(
        time=time,
        group=group.astype(np.int64),
        onset_ms=onset_ms,
        end_ms=columns[0],
        pitch=distinct % PITCHES,
        velocity=columns[1],
        worth=columns[2],
        press=press,
        is_folded=is_folded,
    )


def chances_of(part: Part, robot: RobotOptions, options: PlanOptions) -> Chances:
    """Return what could be played at each position if the cart had always stood there."""
    reach = folded_reach(robot) if options.fold == "reach" else reach_of(robot)
    found = [_at_position(part, reach, place, robot, options) for place in range(robot.positions)]
    lengths = [len(event[0]) for event in found]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    group, finger, side, note, stop, worth = columns
    return Chances(
        first=np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))).astype(np.int64),
        group=group.astype(np.int32),
        finger=finger.astype(np.int8),
        side=side.astype(np.uint8),
        note=note.astype(np.int32),
        stop=stop,
        worth=worth,
    )


def _highest(song: Song) -> _Ints:
    """Return the highest note of each onset; the song is in the order of onsets and pitches."""
    is_last = np.append(np.diff(song.onset_ms) > 0, True)
    return np.flatnonzero(is_last[: len(song)])


def _at_position(
    part: Part, reach: Reach, place: int, robot: RobotOptions, options: PlanOptions
) -> tuple[_Ints, ...]:
    """Return group, finger, side, note, stop and worth of what is played at one position."""
    note = np.flatnonzero(reach.finger[place, part.pitch] != NO_FINGER)
    finger = reach.finger[place, part.pitch[note]].astype(np.int64)
    worth = part.worth[note]
    other = reach.is_folded[place, part.pitch[note]]
    worth[other] = np.rint(worth[other] * options.fold_share).astype(np.int64)
    order = np.lexsort((-part.end_ms[note], part.onset_ms[note], finger))
    note, finger, worth = note[order], finger[order], worth[order]
    # One finger after another, so far apart that none of them meets the next
    apart = int(part.onset_ms.max(initial=0)) + robot.hold_ms + robot.lift_ms
    onset = part.onset_ms[note] + finger * apart
    chosen = chosen_onsets(onset, worth, robot.hold_ms + robot.lift_ms)
    note, finger, worth = note[chosen], finger[chosen], worth[chosen]
    least = part.onset_ms[note] + robot.hold_ms
    stop = np.maximum(part.end_ms[note], least)
    stop = np.minimum(stop, part.onset_ms[note] + robot.longest_hold_ms)
    held = (stop - part.onset_ms[note]) * round(options.hold_weight * WORTH / 1000)
    back = np.lexsort((finger, part.group[note]))
    side = reach.side[place, part.pitch[note]].astype(np.int64)
    columns = (part.group[note], finger, side, note, stop, worth + held)
    return tuple(column[back] for column in columns)
