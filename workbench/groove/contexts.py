"""What a mixture looks back at: the contexts in which steps are counted.

A context is a choice of fields: where in the bar a step lies, and what sounded some steps, beats
or bars before it. In a context of the corpus, the steps of all other pieces are counted; in one
of the piece, its own steps so far. Nothing is hashed: a context's values are packed into one
number, with the step's own mask behind them in a key of the corpus.

The contexts were chosen on the validation split of the Groove MIDI Dataset. A mask of all nine
classes stands for "before the start".

Units: a `step` is a cell of the grid; a lookback is so many steps, beats, half bars and bars of
the metre in force.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.groove.streams import MASK_BITS

Ints = NDArray[np.int64]

_WHERE_BITS = 5  # of a place or beat code


@dataclass(frozen=True, slots=True)
class Lookback:
    """A step before the one in hand; what sounded there is a field.

    Attributes:
        name: Of the field.
        steps: Steps before; a negative number is later, with a bar to spare.
        beats: Beats before, on top.
        half_bars: Half bars before, on top; a half bar is whole steps, rounded down.
        bars: Bars before, on top.
    """

    name: str
    steps: int = 0
    beats: int = 0
    half_bars: int = 0
    bars: int = 0


PLACES = ("place", "beat")
LOOKBACKS = (
    Lookback("step_1", steps=1),
    Lookback("step_2", steps=2),
    Lookback("step_3", steps=3),
    Lookback("step_4", steps=4),
    Lookback("step_5", steps=5),
    Lookback("beat_1", beats=1),
    Lookback("half_bar_1", half_bars=1),
    Lookback("bar_1", bars=1),
    Lookback("before_bar_1", bars=1, steps=1),
    Lookback("second_before_bar_1", bars=1, steps=2),
    Lookback("after_bar_1", bars=1, steps=-1),
    Lookback("bar_2", bars=2),
    Lookback("before_bar_2", bars=2, steps=1),
    Lookback("bar_3", bars=3),
    Lookback("bar_4", bars=4),
    Lookback("before_bar_4", bars=4, steps=1),
)
_STEPS = ("step_1", "step_2", "step_3", "step_4", "step_5")

CORPUS_CONTEXTS: tuple[tuple[str, ...], ...] = (
    ("place", "beat"),
    ("place", *_STEPS[:1]),
    ("place", *_STEPS[:2]),
    ("place", "beat", *_STEPS[:3]),
    ("place", "beat", *_STEPS[:4]),
    ("place", *_STEPS[:5]),
    ("place", "beat", "bar_1"),
    ("place", "bar_1", "step_1"),
    ("place", "bar_1", "bar_2"),
    ("place", "bar_1", "before_bar_1", "step_1"),
    ("place", "bar_1", "after_bar_1", "step_1"),
    ("place", "bar_1", "before_bar_1", "after_bar_1", "step_1"),
    ("place", "bar_1", "before_bar_1", "second_before_bar_1", "step_1", "step_2"),
    ("place", "bar_1", "bar_2", "step_1"),
    ("place", "bar_1", "bar_2", "bar_3", "bar_4"),
    ("place", "bar_1", "bar_2", "before_bar_1", "before_bar_2", "step_1"),
    ("place", "beat", "bar_2", "before_bar_2", "step_1"),
    ("place", "bar_4", "before_bar_4", "step_1"),
    ("place", "bar_1", "half_bar_1", "beat_1"),
    ("place", "half_bar_1", "beat_1", "step_1"),
)
PIECE_CONTEXTS: tuple[tuple[str, ...], ...] = (
    ("place",),
    ("place", "beat"),
    ("place", *_STEPS[:1]),
    ("place", "beat", *_STEPS[:1]),
    _STEPS[:3],
    ("place", *_STEPS[:3]),
    ("place", *_STEPS[:4]),
    ("place", "beat", *_STEPS[:4]),
    ("place", *_STEPS[:5]),
    ("place", "beat", "bar_1"),
    ("place", "beat", "bar_1", "step_1"),
    ("place", "bar_1", "before_bar_1", "step_1", "step_2"),
    ("place", "beat", "bar_1", "bar_2"),
    ("place", "bar_1", "after_bar_1", "step_1"),
    ("place", "beat_1", "step_1"),
    ("place", "beat", "bar_2", "step_1"),
)
# Of these three by the steps before and three by the bar before, a mixture asks how many have
# come up in the piece already; and of these lookbacks, whether the class in hand sounded there.
FAMILIAR_BY_STEPS = (6, 7, 8)
FAMILIAR_BY_BARS = (9, 10, 11)
ECHOES = ("bar_1", "bar_2", "step_2", "step_4")


class ContextTables(NamedTuple):
    """The contexts as numbers, for the kernels.

    Attributes:
        lookbacks: Steps, beats, half bars and bars of each, int64 (lookbacks, 4).
        bits: Of each field, int64 (fields,); fields are place, beat, then the lookbacks.
        corpus: Fields of each context of the corpus, -1 behind the last, int64 (contexts, most).
        piece: The same of the piece.
        familiar: Contexts of the piece that are asked for, by steps and by bars, int64 (2, 3).
        echoes: Fields that are asked for, int64 (4,).
    """

    lookbacks: Ints
    bits: Ints
    corpus: Ints
    piece: Ints
    familiar: Ints
    echoes: Ints


def context_tables() -> ContextTables:
    """Return the contexts as numbers."""
    names = [*PLACES, *(lookback.name for lookback in LOOKBACKS)]
    bits = [_WHERE_BITS] * len(PLACES) + [MASK_BITS] * len(LOOKBACKS)
    number = {name: index for index, name in enumerate(names)}
    lookbacks = [(back.steps, back.beats, back.half_bars, back.bars) for back in LOOKBACKS]
    return ContextTables(
        lookbacks=np.array(lookbacks, np.int64),
        bits=np.array(bits, np.int64),
        corpus=_numbered(CORPUS_CONTEXTS, number),
        piece=_numbered(PIECE_CONTEXTS, number),
        familiar=np.array([FAMILIAR_BY_STEPS, FAMILIAR_BY_BARS], np.int64),
        echoes=np.array([number[name] for name in ECHOES], np.int64),
    )


def _numbered(contexts: tuple[tuple[str, ...], ...], number: dict[str, int]) -> Ints:
    most = max(map(len, contexts))
    rows = [[number[name] for name in context] for context in contexts]
    return np.array([row + [-1] * (most - len(row)) for row in rows], np.int64)
