"""How soon a note is seen before it is cut: half jumps, reaction times, and what is usual.

Units: `njs` is metres a second; a half jump is the beats from a note's appearance to its cut, of
which `offset` is what a difficulty adds to the game's own; `nps` is notes a second. Sources: the
half jump, what stands for a speed of 0, and the range in which a jump is comfortable are bsmap
2.2.9's (`NoteJumpSpeed`); usual densities are those that mapping guides give for each difficulty.
"""

from collections.abc import Mapping

import numpy as np

FALLBACK_NJS: Mapping[str, float] = {
    "Easy": 10.0,
    "Normal": 10.0,
    "Hard": 10.0,
    "Expert": 12.0,
    "ExpertPlus": 16.0,
}
FASTEST_NJS = 20.0  # of what is chosen here; people go further

_START, _LEAST = 4.0, 0.25  # beats of a half jump
_MOST_HALF = 17.999  # metres
# The middle of the usual density of each difficulty and its speed; beyond, a metre for each note
_DENSITIES = (1.5, 2.75, 4.0, 5.75, 8.0, 12.0)
_SPEEDS = (10.0, 10.0, 10.0, 12.0, 16.0, FASTEST_NJS)


def half_jump(njs: float, bpm: float, offset: float = 0.0) -> float:
    """Return the beats from a note's appearance to its cut, as the game counts them.

    Args:
        njs: Above 0.
        bpm: Above 0.
        offset: Beats that the difficulty adds.
    """
    half = _START
    while njs * (60.0 / bpm) * half > _MOST_HALF:
        half /= 2.0
    return max(max(half, 1.0) + offset, _LEAST)


def comfortable_seconds(njs: float) -> tuple[float, float]:
    """Return between which reaction times a jump of some speed is comfortable."""
    least, most = 18.0 - 18.0 / (njs + 1.0), 18.0 * (1.0 / 1.07) ** njs + 18.0  # metres of a jump
    return least / (2.0 * njs), most / (2.0 * njs)


def usual_njs(difficulty: str, nps: float) -> float:
    """Return the speed of a difficulty: its fallback, more where its notes are denser than usual.

    Args:
        difficulty: One of `objects.DIFFICULTIES`; any other counts as Expert.
        nps: Notes a second.

    Returns:
        Metres a second, in halves, at most `FASTEST_NJS`.
    """
    least = FALLBACK_NJS.get(difficulty, FALLBACK_NJS["Expert"])
    dense = float(np.interp(nps, _DENSITIES, _SPEEDS))
    return max(least, round(2.0 * dense) / 2.0)


def usual_offset(njs: float, bpm: float) -> float:
    """Return the offset by which the reaction time is comfortable; 0 where it is so already.

    Args:
        njs: Above 0.
        bpm: Above 0.

    Returns:
        Beats, in hundredths; else it leads to the middle of what is comfortable.
    """
    least, most = comfortable_seconds(njs)
    own = half_jump(njs, bpm)
    if least <= own * 60.0 / bpm <= most:
        return 0.0
    return round((least + most) / 2.0 * bpm / 60.0 - own, 2)
