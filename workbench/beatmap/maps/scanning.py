"""Long lists of flat objects out of JSON text straight into columns, by machine code.

Notes and light events are nearly all of a map, and nearly all of them are written alike: flat
objects of known keys and plain numbers. Such a list is scanned four times as fast as objects are
made of it; anything else in it (custom data, null, a text, an exponent, more than 15 digits,
blanks in odd places) leaves the whole list to the schema. What is scanned is what the schema
would have read, to the last bit: a number of up to 15 digits over a power of ten of no more is
divided once, which rounds as it should.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workbench.beatmap.maps import read_v2, read_v3
from workbench.beatmap.maps.parsed import Numbers

Work = TypeVar("Work", bound=Callable[..., Any])

_LEAST_OBJECT = 8  # bytes, as `{"b":1},`; a list of less is left to the schema
MOST_DIGITS = 15  # 10^15 < 2^53
_LARGEST = 2**31 - 1
_COMMA, _MINUS, _POINT, _ZERO, _NINE = 44, 45, 46, 48, 57
_BLANK, _CLOSED_LIST, _OPEN, _CLOSED = 32, 93, 123, 125


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatList:
    """A list that may be scanned.

    Attributes:
        name: Its key.
        keys: Of its objects, in the usual order, which are columns.
        whole: Those that hold whole numbers of 32 bits.
    """

    name: str
    keys: tuple[str, ...]
    whole: tuple[str, ...]
    _table: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        texts = [f'"{key}":'.encode() for key in self.keys]
        table = np.zeros((len(texts), max(map(len, texts))), np.uint8)
        for row, text in zip(table, texts, strict=True):
            row[: len(text)] = np.frombuffer(text, np.uint8)
        lengths = np.array([len(text) for text in texts], np.int64)
        is_whole = np.array([key in self.whole for key in self.keys], np.bool_)
        object.__setattr__(self, "_table", (table, lengths, is_whole))

    def marker(self) -> bytes:
        """Return a list of one object that no map holds, to stand where the list was."""
        return f'[{{"{self.whole[0]}":{-(2**31)}}}]'.encode()

    def is_marker(self, items: Any) -> bool:
        """Return whether a decoded list is the marker."""
        return len(items or ()) == 1 and getattr(items[0], self.whole[0], 0) == -(2**31)


V2 = (
    FlatList(
        name="_notes",
        keys=read_v2.NOTE_KEYS,
        whole=("_lineIndex", "_lineLayer", "_type", "_cutDirection"),
    ),
    FlatList(name="_events", keys=read_v2.EVENT_KEYS, whole=("_type", "_value")),
)
V3 = (
    FlatList(name="colorNotes", keys=read_v3.NOTE_KEYS, whole=("x", "y", "c", "d")),
    FlatList(name="basicBeatmapEvents", keys=read_v3.EVENT_KEYS, whole=("et", "i")),
)


def lifted(data: bytes, lists: tuple[FlatList, ...]) -> tuple[bytes, dict[str, Numbers]]:
    """Return a JSON text with markers for the lists that could be scanned, and those lists.

    A list is scanned wherever its name is found first: who decodes the rest finds the marker at
    its place, or that it was another list, and then reads the text itself.

    Args:
        data: JSON in UTF-8; not checked, but for what is scanned.
        lists: What to look for.

    Returns:
        The text, and by name `(n, keys)` float64, the values of each object; a missing one is 0.
    """
    text = np.frombuffer(data, np.uint8)
    columns: dict[str, Numbers] = {}
    pieces, at = [], 0
    for wanted in lists:  # each behind the one before, as all programs write them
        head = f'"{wanted.name}":'.encode()
        found = data.find(head, at)
        start = found + len(head) + 1
        if found >= 0 and data[start - 1 : start] == b" ":
            start += 1
        if found < 0 or data[start - 1 : start] != b"[":
            continue
        values = _room((len(data) - start) // _LEAST_OBJECT + 1, len(wanted.keys))
        rows, end = _scan(text, start, wanted._table, values)
        if rows >= 0:
            columns[wanted.name] = values[:rows].copy()
            pieces += [data[at : start - 1], wanted.marker()]
            at = int(end)
    return b"".join([*pieces, data[at:]]), columns


class _Room(threading.local):
    """A thread's place to scan into, kept: taking a new one costs as much as scanning."""

    numbers: Numbers = np.empty(0)


_ROOM = _Room()


def _room(rows: int, columns: int) -> Numbers:
    if len(_ROOM.numbers) < rows * columns:
        _ROOM.numbers = np.empty(rows * columns)
    return _ROOM.numbers[: rows * columns].reshape(rows, columns)


def _kernel(function: Work) -> Work:
    """Compile a function at its first call; the machine code is kept on disk."""
    compiled: Any = njit(cache=True, error_model="numpy")(function)
    return cast(Work, compiled)


# In one piece: a loop over bytes that shares one place among all it reads, and calls nothing
@_kernel
def _scan(  # noqa: PLR0911, PLR0912, PLR0915
    text: NDArray[np.uint8],
    at: int,
    table: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]],
    values: Numbers,
) -> tuple[int, int]:
    """Read objects from behind `[` to `]`; return how many and where, or -1 and where not.

    No byte is looked at behind the NUL that Python keeps at the end of all bytes: a number, a key
    and a bracket stop there, since none of them goes on with it.
    """
    size = len(text)
    keys, lengths, is_whole = table
    if text[at] == _CLOSED_LIST:
        return 0, at + 1
    row = 0
    while text[at] == _OPEN and row < len(values):
        at += 1
        values[row] = 0.0
        expected = 0
        is_open = text[at] != _CLOSED
        if not is_open:
            at += 1
        while is_open:
            key = -1
            for turn in range(len(lengths)):
                tried = (expected + turn) % len(lengths)
                same = at + lengths[tried] <= size
                for i in range(lengths[tried] if same else 0):
                    if text[at + i] != keys[tried, i]:
                        same = False
                        break
                if same:
                    key = tried
                    break
            if key < 0:
                return -1, at
            at += lengths[key]
            expected = key + 1
            if text[at] == _BLANK:
                at += 1
            is_negative = text[at] == _MINUS
            if is_negative:
                at += 1
            begin = at
            mantissa = 0
            while _ZERO <= text[at] <= _NINE:
                mantissa = mantissa * 10 + (text[at] - _ZERO)
                at += 1
            digits = at - begin
            if digits == 0 or digits > MOST_DIGITS or (text[begin] == _ZERO and digits > 1):
                return -1, at
            value = float(mantissa)
            if text[at] == _POINT:
                at += 1
                begin = at
                scale = 1.0
                while _ZERO <= text[at] <= _NINE and at - begin < MOST_DIGITS:
                    mantissa = mantissa * 10 + (text[at] - _ZERO)
                    scale *= 10.0
                    at += 1
                digits += at - begin
                if is_whole[key] or at == begin or digits > MOST_DIGITS:
                    return -1, at
                value = mantissa / scale
            if is_whole[key] and mantissa > _LARGEST:
                return -1, at
            values[row, key] = -value if is_negative else value
            is_open = text[at] == _COMMA
            if not is_open and text[at] != _CLOSED:
                return -1, at
            at += 1
            if is_open and text[at] == _BLANK:
                at += 1
        row += 1
        if text[at] == _CLOSED_LIST:
            return row, at + 1
        if text[at] != _COMMA:
            return -1, at
        at += 1
        if text[at] == _BLANK:
            at += 1
    return -1, at
