"""The step sequences of a corpus, from which a mixture is counted and fitted.

A piece is the steps of one performance. Training counts each of its steps as one key: the
performance's number in the list, the step's number, the bar it lies in, and what sounds. So
pieces are tallied, resumed and merged as n-grams are, and come out in the order of the list.
A mixture takes pieces in the order of their contents' digests, equal ones once, so that neither
shards nor the order of the list change what it learns.

Units: a `step` is a cell of the grid, `resolution` of them a quarter note.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from workbench.groove.streams import (
    MASK_BITS,
    PIECES,
    Columns,
    Ints,
    Keys,
    beat_codes,
    place_codes,
)

MOST_PIECES = 1 << PIECES.fields[0][1]
_CONTENT_BITS = MASK_BITS + sum(bits for _, bits in PIECES.fields[2:])
_NUMBER_SHIFT = np.uint64(_CONTENT_BITS + PIECES.fields[1][1])


class Piece(NamedTuple):
    """The steps of one performance.

    Attributes:
        masks: What sounds at each step, int64 (n,).
        metre: Place code, beat code, steps of the bar and steps of the beat, int64 (n, 4).
    """

    masks: Ints
    metre: Ints


def piece_keys(columns: Columns, numbers: Sequence[int], resolution: int) -> Keys:
    """Return the keys of all steps of some performances, shape (s,).

    Args:
        columns: The performances.
        numbers: Number in the list of each.
        resolution: Steps a quarter note.
    """
    bar_steps, compound = _bars(columns, resolution)
    opens = np.zeros(len(bar_steps), np.int64)
    opens[columns.bar_start[:-1]] = 1
    return PIECES.keys(
        {
            "piece": np.array(numbers, np.int64)[columns.step_file],
            "step": np.arange(len(bar_steps)) - _first_steps(columns)[columns.step_file],
            "opens": opens,
            "compound": compound,
            "bar": bar_steps - 1,
            "target": columns.steps["target_steps"],
        }
    )


def pieces_of(columns: Columns, resolution: int) -> list[Piece]:
    """Return the pieces of some performances, in their order."""
    bar_steps = _bars(columns, resolution)[0]
    steps = columns.steps
    beat_steps = beat_steps_of(steps["place"], resolution)
    metre = np.stack((steps["place"], steps["beat"], bar_steps, beat_steps), axis=1)
    cuts = _first_steps(columns)[1:]
    pairs = zip(np.split(steps["target_steps"], cuts), np.split(metre, cuts), strict=True)
    return [Piece(masks=masks, metre=metre) for masks, metre in pairs]


def beat_steps_of(place: Ints, resolution: int) -> Ints:
    """Return the steps of the beats that place codes are of, of the same shape."""
    return np.where(place >= resolution, resolution * 3 // 2, resolution)


def piece_from_keys(keys: Keys, resolution: int) -> Piece:
    """Return the piece whose keys these are, step by step, shape (n,)."""
    fields = PIECES.unpacked(keys)
    steps = np.arange(len(keys))
    step = steps - np.maximum.accumulate(np.where(fields["opens"] > 0, steps, 0))
    bar_steps = fields["bar"] + 1
    beat_steps = np.where(fields["compound"] > 0, resolution * 3 // 2, resolution)
    place = place_codes(step, beat_steps, resolution)
    beat = beat_codes(step, beat_steps, bar_steps)
    return Piece(
        masks=fields["target"], metre=np.stack((place, beat, bar_steps, beat_steps), axis=1)
    )


def canonical_pieces(keys: Keys, resolution: int) -> Iterator[Piece]:
    """Give the pieces of a corpus in canonical order.

    Args:
        keys: As in `canonical_bounds`, shape (s,).
        resolution: Steps a quarter note.
    """
    for first, stop in canonical_bounds(keys):
        yield piece_from_keys(np.asarray(keys[first:stop]), resolution)


def canonical_bounds(keys: Keys) -> list[tuple[int, int]]:
    """Return first row and row behind the last of each piece, in the order of their digests.

    Equal pieces are told once.

    Args:
        keys: The keys of all steps of a corpus, rising, shape (s,); they may lie on disk.
    """
    starts = _starts(keys)
    content = np.uint64((1 << _CONTENT_BITS) - 1)
    first_of: dict[bytes, tuple[int, int]] = {}
    for first, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        told = (keys[first:stop] & content).astype("<u4").tobytes()
        first_of.setdefault(hashlib.blake2b(told, digest_size=16).digest(), (first, stop))
    return [bounds for _, bounds in sorted(first_of.items())]


def _starts(keys: Keys, block: int = 1 << 16) -> list[int]:
    """Return the first row of each piece, reading block by block."""
    starts: list[int] = []
    before = None
    for first in range(0, len(keys), block):
        numbers = keys[first : first + block] >> _NUMBER_SHIFT
        is_start = np.concatenate(([numbers[0] != before], numbers[1:] != numbers[:-1]))
        starts.extend((np.flatnonzero(is_start) + first).tolist())
        before = numbers[-1]
    return starts


def _bars(columns: Columns, resolution: int) -> tuple[Ints, Ints]:
    """Return the steps of each step's bar, and whether its beats are of three eighths."""
    lengths = np.diff(columns.bar_start)
    is_compound = columns.steps["place"][columns.bar_start[:-1]] >= resolution
    return np.repeat(lengths, lengths), np.repeat(is_compound.astype(np.int64), lengths)


def _first_steps(columns: Columns) -> Ints:
    """Return the first step of each performance."""
    return np.flatnonzero(np.diff(columns.step_file, prepend=-1))
