"""What a map is, whatever version of the format it came from: columns of objects, and their song.

Units: a `beat` is a quarter of the song's tempo, 0 at the start of the audio; `lane` 0 to 3 goes
from left to right and `layer` 0 to 2 upwards, as found, also outside the grid; `color` 0 is red
and the left hand, 1 is blue and the right; `direction` 0 to 8 is up, down, left, right, up-left,
up-right, down-left, down-right, any; `angle` turns a note counter-clockwise, degrees. Objects are
sorted by beat, and those of one beat stand as the file has them. Nothing is clamped.
Source: the schemas of bsmap 2.2.9.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Beats = NDArray[np.float64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

CHARACTERISTICS = (
    "Standard",
    "OneSaber",
    "NoArrows",
    "360Degree",
    "90Degree",
    "Legacy",
    "Lawless",
    "Lightshow",
)
DIFFICULTIES = ("Easy", "Normal", "Hard", "Expert", "ExpertPlus")
RANKS = {"Easy": 1, "Normal": 3, "Hard": 5, "Expert": 7, "ExpertPlus": 9}


class Columns:
    """Objects of one kind, a NumPy column each; equal when all columns are."""

    DTYPES: ClassVar[dict[str, str]]

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.DTYPES))))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in self.DTYPES)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, *columns: Iterable[Any]) -> Self:
        """Return objects of columns in the order of the fields, sorted by their first, the beat.

        Args:
            columns: As many as there are fields, all of one length; any iterable of numbers.

        Raises:
            OverflowError: A number is too large for its column.
        """
        arrays = {
            name: np.asarray(
                column if isinstance(column, np.ndarray) else list(column), dtype=dtype
            )
            for (name, dtype), column in zip(cls.DTYPES.items(), columns, strict=True)
        }
        beat = next(iter(arrays.values()))
        if len(beat) > 1 and (np.diff(beat) < 0).any():
            order = np.argsort(beat, kind="stable")
            arrays = {name: column[order] for name, column in arrays.items()}
        return cls(**arrays)

    @classmethod
    def none(cls) -> Self:
        """Return no objects."""
        return cls.of(*([] for _ in cls.DTYPES))

    def take(self, chosen: NDArray[Any]) -> Self:
        """Return some of the objects, by a mask, `(n,)`, or by rising indices, `(m,)`."""
        return type(self)(**{name: getattr(self, name)[chosen] for name in self.DTYPES})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Notes(Columns):
    """Notes, all columns `(n,)`.

    Attributes:
        beat: When.
        lane: Where.
        layer: Where.
        color: Whose hand.
        direction: Which way to cut, also 1000 and more of Mapping Extensions.
        angle: Turned so much, degrees.
    """

    beat: Beats
    lane: Ints
    layer: Ints
    color: Ints
    direction: Ints
    angle: Floats

    DTYPES: ClassVar[dict[str, str]] = {
        "beat": "f8",
        "lane": "i4",
        "layer": "i4",
        "color": "i4",
        "direction": "i4",
        "angle": "f8",
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bombs(Columns):
    """Bombs, all columns `(n,)`."""

    beat: Beats
    lane: Ints
    layer: Ints

    DTYPES: ClassVar[dict[str, str]] = {"beat": "f8", "lane": "i4", "layer": "i4"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walls(Columns):
    """Walls, all columns `(n,)`.

    Attributes:
        beat: When.
        duration: How long, beats, also negative.
        lane: Left edge.
        layer: Lower edge.
        width: In lanes.
        height: In layers of a wall, 1 to 5.
    """

    beat: Beats
    duration: Floats
    lane: Ints
    layer: Ints
    width: Ints
    height: Ints

    DTYPES: ClassVar[dict[str, str]] = {
        "beat": "f8",
        "duration": "f8",
        "lane": "i4",
        "layer": "i4",
        "width": "i4",
        "height": "i4",
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arcs(Columns):
    """Guide lines from a head to a tail, all columns `(n,)`.

    Attributes:
        beat: Of the head.
        color: Whose hand.
        lane: Of the head.
        layer: Of the head.
        direction: Of the head.
        length: Of the head's control point, a multiplier.
        tail_beat: Of the tail.
        tail_lane: Of the tail.
        tail_layer: Of the tail.
        tail_direction: Of the tail.
        tail_length: Of the tail's control point, a multiplier.
        anchor: 0 straight, 1 clockwise, 2 counter-clockwise.
    """

    beat: Beats
    color: Ints
    lane: Ints
    layer: Ints
    direction: Ints
    length: Floats
    tail_beat: Beats
    tail_lane: Ints
    tail_layer: Ints
    tail_direction: Ints
    tail_length: Floats
    anchor: Ints

    DTYPES: ClassVar[dict[str, str]] = {
        "beat": "f8",
        "color": "i4",
        "lane": "i4",
        "layer": "i4",
        "direction": "i4",
        "length": "f8",
        "tail_beat": "f8",
        "tail_lane": "i4",
        "tail_layer": "i4",
        "tail_direction": "i4",
        "tail_length": "f8",
        "anchor": "i4",
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chains(Columns):
    """A head note and links to a tail, all columns `(n,)`.

    Attributes:
        beat: Of the head.
        color: Whose hand.
        lane: Of the head.
        layer: Of the head.
        direction: Of the head.
        tail_beat: Of the tail.
        tail_lane: Of the tail.
        tail_layer: Of the tail.
        slices: How many, the head counted in.
        squish: Part of the way that the links fill.
    """

    beat: Beats
    color: Ints
    lane: Ints
    layer: Ints
    direction: Ints
    tail_beat: Beats
    tail_lane: Ints
    tail_layer: Ints
    slices: Ints
    squish: Floats

    DTYPES: ClassVar[dict[str, str]] = {
        "beat": "f8",
        "color": "i4",
        "lane": "i4",
        "layer": "i4",
        "direction": "i4",
        "tail_beat": "f8",
        "tail_lane": "i4",
        "tail_layer": "i4",
        "slices": "i4",
        "squish": "f8",
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotations(Columns):
    """Turns of the lane, all columns `(n,)`.

    Attributes:
        beat: When.
        degrees: By how much, clockwise.
        is_early: Whether objects of the same beat are turned too.
    """

    beat: Beats
    degrees: Floats
    is_early: Flags

    DTYPES: ClassVar[dict[str, str]] = {"beat": "f8", "degrees": "f8", "is_early": "?"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpeedChanges(Columns):
    """NJS events, all columns `(n,)`.

    Attributes:
        beat: When.
        change: To the base NJS, metres a second.
        easing: How it is reached.
        keeps: Whether the change before is kept.
    """

    beat: Beats
    change: Floats
    easing: Ints
    keeps: Flags

    DTYPES: ClassVar[dict[str, str]] = {"beat": "f8", "change": "f8", "easing": "i4", "keeps": "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a map, or odd about it.

    Attributes:
        kind: Which of the known kinds, as `bad_json` or `stacked_note`.
        place: File and position in it, as `Expert.dat: $.colorNotes[3].x`.
        detail: What was found.
        is_fatal: Whether what is at the place could not be read.
        count: How many of the kind it stands for, as the first of them.
    """

    kind: str
    place: str
    detail: str
    is_fatal: bool = False
    count: int = 1

    def __str__(self) -> str:
        return f"{self.place}: {self.kind.replace('_', ' ')} ({self.detail})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """What is in a difficulty."""

    notes: Notes
    bombs: Bombs
    walls: Walls
    arcs: Arcs
    chains: Chains
    rotations: Rotations
    speeds: SpeedChanges

    @classmethod
    def none(cls) -> "Objects":
        """Return an empty difficulty."""
        return cls(
            notes=Notes.none(),
            bombs=Bombs.none(),
            walls=Walls.none(),
            arcs=Arcs.none(),
            chains=Chains.none(),
            rotations=Rotations.none(),
            speeds=SpeedChanges.none(),
        )

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {field.name: len(getattr(self, field.name)) for field in fields(self)}
