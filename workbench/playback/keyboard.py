"""Which finger plays which pitch, from where.

A `key` counts half white keys from the lowest; a `side` is 1 for a finger's left key, 2 for its
right one, as duties have them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.playback.options import RobotOptions

NO_FINGER = -1
PITCHES = 128
OCTAVE = 12
_OCTAVE_KEYS = 14
_KEYS_FROM_C = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12)  # 5 and 13 are between white neighbours
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """What the fingers reach, of every pitch that MIDI has.

    Attributes:
        finger: int8 (positions, 128), the finger that plays a pitch with the cart there, or -1.
        side: uint8 (positions, 128), 1 for its left key, 2 for its right one, 0 without a finger.
        is_folded: Whether that key sounds in another octave, bool (positions, 128).
    """

    finger: NDArray[np.int8]
    side: NDArray[np.uint8]
    is_folded: NDArray[np.bool_]

    @property
    def reachable(self) -> NDArray[np.bool_]:
        """Which pitches are played from anywhere, (128,)."""
        return np.asarray((self.finger != NO_FINGER).any(axis=0))


def reach_of(robot: RobotOptions) -> Reach:
    """Return what a robot's fingers reach."""
    finger = np.full((robot.positions, PITCHES), NO_FINGER, np.int8)
    side = np.zeros((robot.positions, PITCHES), np.uint8)
    pitch_of = {
        key_of(robot, pitch): pitch for pitch in range(robot.lowest_pitch, robot.highest_pitch + 1)
    }
    for position in range(robot.positions):
        for number, pair in enumerate(robot.finger_keys):
            for place, key in enumerate(pair, 1):
                pitch = pitch_of.get(key + position * robot.position_keys)
                if pitch is not None:
                    finger[position, pitch], side[position, pitch] = number, place
    return Reach(finger=finger, side=side, is_folded=np.zeros(finger.shape, bool))


def folded_reach(robot: RobotOptions) -> Reach:
    """Return the reach with each pitch out of it taken from the nearest octave that is in it.

    Of two octaves equally near, the upper is taken.
    """
    plain = reach_of(robot)
    finger, side = plain.finger.copy(), plain.side.copy()
    for octaves in range(1, PITCHES // OCTAVE + 1):
        for shift in (octaves * OCTAVE, -octaves * OCTAVE):
            pitches = np.arange(max(0, -shift), min(PITCHES, PITCHES - shift))
            free = finger[:, pitches] == NO_FINGER
            free &= plain.finger[:, pitches + shift] != NO_FINGER
            at, which = np.nonzero(free)
            finger[at, pitches[which]] = plain.finger[at, pitches[which] + shift]
            side[at, pitches[which]] = plain.side[at, pitches[which] + shift]
    is_folded = (finger != NO_FINGER) & (plain.finger == NO_FINGER)
    return Reach(finger=finger, side=side, is_folded=is_folded)


def key_of(robot: RobotOptions, pitch: int) -> int:
    """Return the key of a pitch, 0 the lowest; below it negative."""
    return _key(pitch) - _key(robot.lowest_pitch)


def pitch_name(pitch: int) -> str:
    """Return the name of a pitch, as `C4` for 60."""
    return f"{_NAMES[pitch % OCTAVE]}{pitch // OCTAVE - 1}"


def _key(pitch: int) -> int:
    return pitch // OCTAVE * _OCTAVE_KEYS + _KEYS_FROM_C[pitch % OCTAVE]
