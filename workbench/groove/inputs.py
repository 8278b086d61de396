"""What a network is told of the steps before: those some steps ago, and those that are like now.

A lookback is what sounded so many steps ago. A repeat is what sounded the last time that so many
steps before were the same, at the same step of the bar: a piece that goes on as it went before
does just that. An input is a mask, BEFORE or HIDDEN.

Units: a `step` is a cell of the grid.
"""

from collections.abc import Sequence

import numpy as np

from workbench.groove.streams import MASKS, IntOrInts, Ints

BEFORE = MASKS  # a step before the piece, and where there is no repeat
HIDDEN = MASKS + 1  # a step that is kept from a network while it learns
LOOKBACKS = (1, 2, 3, 4, 8, 12, 15, 16, 17, 32, 48, 64, 128)
REPEATS = (1, 2, 3, 5, 8, 16, 32)
_CODES = 32  # more than there are codes of a beat


def repeats_of(masks: Ints, where: Ints, piece: Ints, lengths: Sequence[int] = REPEATS) -> Ints:
    """Return what sounded the last time that the steps before were the same.

    Args:
        masks: What sounds at each step of some pieces in a row, shape (n,).
        where: One number for where in the bar each step lies, not negative, shape (n,).
        piece: Which piece each step is of, shape (n,).
        lengths: How many steps before must be the same.

    Returns:
        Int64 (n, lengths), BEFORE where nothing in the piece is alike.
    """
    found = np.full((len(masks), len(lengths)), BEFORE, np.int64)
    in_piece = np.arange(len(masks)) - np.searchsorted(piece, piece)
    for column, length in enumerate(lengths):
        steps = np.flatnonzero(in_piece >= length)
        alike = _numbered(_runs(masks, length)[steps - length], where[steps], piece[steps])
        order = np.argsort(alike, kind="stable")
        same = alike[order[1:]] == alike[order[:-1]]
        found[steps[order[1:][same]], column] = masks[steps[order[:-1][same]]]
    return found


def where_number(place: IntOrInts, beat: IntOrInts) -> IntOrInts:
    """Return one number for where in the bar steps lie, from their codes."""
    return place * _CODES + beat


class Repeats:
    """The same of one piece, step by step."""

    def __init__(self, lengths: Sequence[int] = REPEATS):
        """Begin a piece.

        Args:
            lengths: How many steps before must be the same.
        """
        self._lengths = lengths
        self._past: list[int] = []
        self._after: list[dict[tuple[int, ...], int]] = [{} for _ in lengths]

    def next(self, where: int) -> list[int]:
        """Return what sounded the last time it was like now; BEFORE where it never was."""
        keys = self._keys(where)
        return [after.get(key, BEFORE) for after, key in zip(self._after, keys, strict=True)]

    def take(self, where: int, mask: int) -> None:
        """Go on by one step."""
        for after, key in zip(self._after, self._keys(where), strict=True):
            after[key] = mask
        self._past.append(mask)

    def _keys(self, where: int) -> list[tuple[int, ...]]:
        # keys of the first steps are shorter than all later ones, and so never met again
        return [(where, *self._past[-length:]) for length in self._lengths]


def _runs(masks: Ints, length: int) -> Ints:
    """Return a number for the run of so many steps that begins at each; equal runs, equal ones."""
    if length == 1:
        return masks
    if length % 2:
        one, other = _runs(masks, length - 1), masks[length - 1 :]
    else:
        half = _runs(masks, length // 2)
        one, other = half, half[length // 2 :]
    return _numbered(one[: len(other)], other)


def _numbered(*columns: Ints) -> Ints:
    """Return one number for each distinct row of some columns."""
    numbers = columns[0]
    for column in columns[1:]:
        pairs = numbers * (int(column.max(initial=0)) + 1) + column
        numbers = np.unique(pairs, return_inverse=True)[1].reshape(-1)
    return numbers
