"""Pitches that the keyboard has not, brought to an octave that it has.

Units: pitches and shifts are in semitones; a pitch that nothing can play is -1.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.playback.keyboard import OCTAVE, PITCHES

NO_PITCH = -1
MOST_SHIFT = 36  # of a search, up and down

_Ints = NDArray[np.int64]


def fitted(
    pitch: _Ints, reachable: NDArray[np.bool_], *, shift: int, folds: bool
) -> tuple[_Ints, NDArray[np.bool_]]:
    """Return the pitches that are played for those of a song.

    Args:
        pitch: (n,), 0..127.
        reachable: Which pitches there are, (128,).
        shift: Added to each first.
        folds: Whether one that there is not goes to the nearest octave that there is; of two
            equally near, the upper.

    Returns:
        The pitches, `NO_PITCH` where there is none; and which of them were folded, bool (n,).
    """
    wanted = pitch + shift
    played = np.where(_has(reachable, wanted), wanted, NO_PITCH)
    if folds:
        for octaves in range(1, 2 * PITCHES // OCTAVE):
            for other in (wanted + octaves * OCTAVE, wanted - octaves * OCTAVE):
                played = np.where((played < 0) & _has(reachable, other), other, played)
    return played, (played >= 0) & (played != wanted)


def shifts_to_try(
    pitch: _Ints,
    reachable: NDArray[np.bool_],
    *,
    search: Literal["none", "octaves", "semitones"],
    most: int = 12,
) -> list[int]:
    """Return the shifts that bring most notes onto the keyboard, no shift always among them.

    Args:
        pitch: (n,), 0..127.
        reachable: Which pitches there are, (128,).
        search: Which shifts count.
        most: How many there may be.
    """
    step = {"none": MOST_SHIFT + 1, "octaves": OCTAVE, "semitones": 1}[search]
    shifts = [s for s in range(-MOST_SHIFT, MOST_SHIFT + 1) if s % step == 0]
    counts = np.bincount(pitch, minlength=PITCHES)
    fits = {s: int(counts[_has(reachable, np.arange(PITCHES) + s)].sum()) for s in shifts}
    ranked = sorted(shifts, key=lambda s: (-fits[s], abs(s), s))[: most - 1]
    return sorted({0, *(s for s in ranked if fits[s])}, key=lambda s: (abs(s), s))


def _has(reachable: NDArray[np.bool_], pitch: _Ints) -> NDArray[np.bool_]:
    inside = (pitch >= 0) & (pitch < PITCHES)
    return np.asarray(inside & reachable[np.where(inside, pitch, 0)])
