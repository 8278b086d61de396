"""Tokens are drawn from logits: the grammar's, and as a person wishes.

Each window draws by numbers of its own, from seed and place, so that nothing changes with what is
written beside it. Sources: top-k (Fan et al., 2018), nucleus sampling (Holtzman et al., 2020).

Shapes: B windows, V ids.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.beatmap.writer.grammar import NEVER
from workbench.beatmap.writer.swings import ANY, CELLS, cells_and_cuts, hands_and_ways
from workbench.beatmap.writer.tokens import FIRST_POS, Vocabulary

MOST_ALIKE = 4  # cuts of a hand in a row; six in a stream and the exporter refuses them

_AHEAD = 256  # numbers that are drawn at a time


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
        self._slots = slice(FIRST_POS, FIRST_POS + vocabulary.bar_slots)
        self._hand, self._way = (each.to(device) for each in hands_and_ways(vocabulary))
        self._cell, self._direction = (each.to(device) for each in cells_and_cuts(vocabulary))
        self._last = torch.zeros(rows, 2, dtype=torch.int64, device=device)
        self._now = torch.zeros_like(self._last)
        self._cut = torch.full_like(self._last, ANY)  # of the last swing of each hand
        self._alike = torch.zeros_like(self._last)  # swings in a row with that cut
        self._taken = torch.zeros(rows, CELLS + 1, dtype=torch.bool, device=device)

    def put_off(self, nats: float) -> Tensor:
        """Return what is taken from the logit of each token, (B, V)."""
        is_note = self._hand >= 0
        last = self._last[:, self._hand.clamp(min=0)]
        return nats * (is_note & (last != 0) & (last == self._way))

    def impossible(self) -> Tensor:
        """Return which tokens no map may have next, bool (B, V).

        Those are notes in a cell that has one in the same slot, and a cut that a hand has made
        `MOST_ALIKE` times in a row.
        """
        taken = self._taken[:, self._cell]
        hand = self._hand.clamp(min=0)
        is_again = (self._cut[:, hand] == self._direction) & (self._alike[:, hand] >= MOST_ALIKE)
        return taken | (is_again & (self._hand >= 0) & (self._direction != ANY))

    def follow(self, tokens: Tensor) -> None:
        """Take the tokens that were drawn, (B,); notes of one slot are one swing."""
        is_slot = ((tokens >= self._slots.start) & (tokens < self._slots.stop))[:, None]
        self._last = torch.where(is_slot & (self._now != 0), self._now, self._last)
        self._now = torch.where(is_slot, 0, self._now)
        self._taken &= ~is_slot
        hand, way, direction = self._hand[tokens], self._way[tokens], self._direction[tokens]
        self._taken.scatter_(1, self._cell[tokens][:, None], value=True)
        self._taken[:, CELLS] = False  # what is no note takes none
        for number in (0, 1):
            moves = hand == number
            swings = moves & (way != 0)
            self._now[:, number] = torch.where(swings, way, self._now[:, number])
            alike = torch.where(self._cut[:, number] == direction, self._alike[:, number] + 1, 1)
            self._alike[:, number] = torch.where(moves, alike, self._alike[:, number])
            self._cut[:, number] = torch.where(moves, direction, self._cut[:, number])

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the windows, int64 (b,)."""
        for name in ("_last", "_now", "_cut", "_alike", "_taken"):
            setattr(self, name, getattr(self, name)[rows])


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
