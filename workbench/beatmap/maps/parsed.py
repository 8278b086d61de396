"""What the reader of each format gives: objects, tempo changes and flags."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.decoding import Gapped
from workbench.beatmap.maps.objects import Columns, Floats, Ints, Objects

Numbers = NDArray[np.float64]
Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=Columns)

NOTHING = Objects.none()  # its empty columns are shared by all that hold none


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A difficulty without its place in a level.

    Attributes:
        objects: What is played.
        tempo_beats: Where its tempo changes.
        tempo_bpms: To what; 0 is the Info's tempo.
        flags: What its objects show of mods.
        bpm: The tempo that a v1 file says itself, or None.
        njs: Metres a second, of a v1 file, or None.
        offset: Beats, of a v1 file, or None.
    """

    objects: Objects
    tempo_beats: list[float] = field(default_factory=list)
    tempo_bpms: list[float] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    bpm: float | None = None
    njs: float | None = None
    offset: float | None = None


def floats(values: list[float]) -> Floats:
    """Return a column of floats; packing is twice as fast as `np.array` of a list."""
    return np.frombuffer(bytearray(struct.pack(f"{len(values)}d", *values)), np.float64)


def ints(values: list[int]) -> Ints:
    """Return a column of numbers that a schema has found to fit into 32 bits."""
    return np.frombuffer(bytearray(struct.pack(f"{len(values)}i", *values)), np.int32)


def present(items: list[Item] | None) -> tuple[list[Item], Sequence[int]]:
    """Return the objects that could be read, and their indices in the file."""
    if not items:
        return [], range(0)
    if type(items) is not Gapped:
        return items, range(len(items))
    kept = [i for i, item in enumerate(items) if item is not None]
    return [items[i] for i in kept], kept


def place_at(name: str, at: Sequence[int]) -> Callable[[int], str]:
    """Return what says where an object stands, given the indices of a list's objects."""
    return lambda i: f"$.{name}[{at[i]}]"


def sorted_columns(kind: type[Kind], *columns: Floats | Ints, is_sorted: bool) -> Kind:
    """Return objects of columns that have their dtypes, sorted by beat if they are not yet."""
    if not is_sorted:
        return kind.of(*columns)
    return kind(**dict(zip(kind.DTYPES, columns, strict=True)))
