"""Tokens are drawn from logits: the grammar's, and as a person wishes.

Each window draws by numbers of its own, from seed and place, so that nothing changes with what is
written beside it. Sources: top-k (Fan et al., 2018), nucleus sampling (Holtzman et al., 2020).

Shapes: B windows, V ids.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.beatmap.writer.grammar import NEVER
from workbench.beatmap.writer.swings import ANY, CELLS, cells_and_cuts, hands_and_ways
from workbench.beatmap.writer.tokens import FIRST_POS, Vocabulary

MOST_ALIKE = 4  # cuts of a hand in a row; six in a stream and the exporter refuses them

_AHEAD = 256  # numbers that are drawn at a time
_NO_CUT = -2  # not that of any token
_NO_WAY = 2  # ways are -1, 1, and 0 for either


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How tokens are drawn.

    Attributes:
        temperature: Of the draws; 0 takes the likeliest.
        top_k: From how many of the likeliest; 0 is all.
        top_p: From those that have this chance together.
        spacing: Slots from one with notes to the next at least.
        parity: How much a swing the way the same hand swung last is put off, nats.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    spacing: int = 0
    parity: float = 0.0


class Draws:
    """Numbers from 0 to 1 of some windows, each window's its own."""

    def __init__(self, seeds: list[tuple[int, ...]]):
        """Take what names each window's numbers."""
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._drawn: NDArray[np.float64] = np.empty((len(seeds), 0))

    def at(self, step: int) -> Tensor:
        """Return the numbers of a step, float64 (B,)."""
        while step >= self._drawn.shape[1]:
            more = [generator.random(_AHEAD) for generator in self._generators]
            self._drawn = np.concatenate([self._drawn, np.stack(more)], axis=1)
        return torch.from_numpy(self._drawn[:, step].copy())

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the windows."""
        self._generators = [self._generators[row] for row in rows]
        self._drawn = self._drawn[rows]


class Hands:
    """What each hand did last, of some windows: which way it swung, how often alike, and where."""

    def __init__(self, rows: int, vocabulary: Vocabulary, device: torch.device):
        """Begin with hands that may swing any way."""
        self._of = _Moves.of(vocabulary, device)
        self._last = torch.zeros(rows, 2, dtype=torch.int64, device=device)
        self._now = torch.zeros_like(self._last)
        self._cut = torch.full_like(self._last, _NO_CUT)  # of the last swing of each hand
        self._alike = torch.zeros_like(self._last)  # swings in a row with that cut
        self._moved = torch.zeros(rows, 2, dtype=torch.bool, device=device)  # in this slot
        self._taken = torch.zeros(rows, CELLS + 1, dtype=torch.bool, device=device)

    def put_off(self, nats: float) -> Tensor:
        """Return what is taken from the logit of each token, (B, V)."""
        return nats * (self._last[:, self._of.hand] == self._of.way)

    def impossible(self) -> Tensor:
        """Return which tokens no map may have next, bool (B, V).

        Those are notes in a cell that has one in the same slot, and a cut that a hand has made
        `MOST_ALIKE` times in a row, but for notes of the last of those swings.
        """
        is_worn = (self._alike >= MOST_ALIKE) & (self._cut != ANY) & ~self._moved
        worn = torch.where(is_worn, self._cut, -1)
        return self._taken[:, self._of.cell] | (worn[:, self._of.hand] == self._of.cut)

    def follow(self, tokens: Tensor) -> None:
        """Take the tokens that were drawn, (B,); notes of one slot are one swing."""
        is_slot = self._of.is_slot[tokens][:, None]
        turned = torch.where(self._moved, -self._last, self._last)  # a cut of no way goes on
        settled = torch.where(self._now != 0, self._now, turned)
        self._last = torch.where(is_slot, settled, self._last)
        self._taken = self._taken & ~is_slot | self._of.takes[tokens]
        self._moved &= ~is_slot
        moves, ways = self._of.moves[tokens], self._of.ways[tokens]
        self._now = torch.where(ways != 0, ways, torch.where(is_slot, 0, self._now))
        cut = self._of.cut[tokens][:, None]
        # what stood before a window is not known, so that its first cuts may be the last in a row
        first = torch.where(self._cut == _NO_CUT, MOST_ALIKE, 1)
        more = torch.where(self._cut == cut, self._alike + ~self._moved, first)
        self._alike = torch.where(moves, more, self._alike)
        self._cut = torch.where(moves, cut, self._cut)
        self._moved |= moves

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the windows, int64 (b,)."""
        for name in ("_last", "_now", "_cut", "_alike", "_moved", "_taken"):
            setattr(self, name, getattr(self, name)[rows])


class _Moves(NamedTuple):
    """What each id has hands do.

    Attributes:
        is_slot: Whether a slot begins, bool (V,).
        hand: Which, 0 where none, int64 (V,).
        way: Of the swing, a number that is no way where there is none, int64 (V,).
        cut: Its direction, int64 (V,).
        cell: Of the note, `CELLS` where there is none, int64 (V,).
        moves: Whether each hand moves, bool (V, 2).
        ways: Which way each swings, 0 where it may be either, int64 (V, 2).
        takes: Which cells are taken, bool (V, CELLS + 1); never the last.
    """

    is_slot: Tensor
    hand: Tensor
    way: Tensor
    cut: Tensor
    cell: Tensor
    moves: Tensor
    ways: Tensor
    takes: Tensor

    @classmethod
    def of(cls, vocabulary: Vocabulary, device: torch.device) -> "_Moves":
        hand, way = hands_and_ways(vocabulary)
        cell, cut = cells_and_cuts(vocabulary)
        number = torch.arange(vocabulary.size)
        moves = hand[:, None] == torch.arange(2)
        takes = cell[:, None] == torch.arange(CELLS + 1)
        takes[:, CELLS] = False
        made = cls(
            is_slot=(number >= FIRST_POS) & (number < FIRST_POS + vocabulary.bar_slots),
            hand=hand.clamp(min=0),
            way=torch.where(way == 0, _NO_WAY, way),
            cut=cut,
            cell=cell,
            moves=moves,
            ways=way[:, None] * moves,
            takes=takes,
        )
        return cls(*(each.to(device) for each in made))


def draw(logits: Tensor, numbers: Tensor, manner: Manner) -> Tensor:
    """Return a token for each window, int64 (B,).

    Args:
        logits: `NEVER` where a token may not follow, float32 (B, V).
        numbers: From 0 to 1, float64 (B,).
        manner: How they are drawn.
    """
    if manner.temperature == 0:
        return logits.argmax(-1)
    if manner.top_k:
        least = logits.topk(min(manner.top_k, logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, NEVER)
    chances, order = (logits.double() / manner.temperature).softmax(-1).sort(descending=True)
    upto = chances.cumsum(-1)
    if manner.top_p < 1:
        chances = chances * (upto - chances < manner.top_p)  # the likeliest is always there
        upto = chances.cumsum(-1)
    place = (numbers.to(upto.device)[:, None] * upto[:, -1:] >= upto).sum(-1)
    most = (chances > 0).sum(-1) - 1
    found: Tensor = order.gather(1, place.minimum(most)[:, None])[:, 0]
    return found


@lru_cache(maxsize=8)
def _slot_numbers(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device)


def too_near(last: Tensor, bar: Tensor, spacing: int, vocabulary: Vocabulary) -> Tensor:
    """Return which tokens would stand too near the last slot with notes, bool (B, V).

    Args:
        last: That slot, counted through all bars; far below 0 where there is none, int64 (B,).
        bar: Which bar is being written, int64 (B,).
        spacing: Slots from one to the next at least.
        vocabulary: The ids.
    """
    slots = vocabulary.bar_slots
    here = (bar * slots)[:, None] + _slot_numbers(slots, last.device)
    near = torch.zeros(len(last), vocabulary.size, dtype=torch.bool, device=last.device)
    near[:, FIRST_POS : FIRST_POS + slots] = here < (last + spacing)[:, None]
    return near
