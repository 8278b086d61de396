"""Which hand a token moves, and which way: forehand, backhand, or either.

A hand swings to and fro; a swing down is forehand, one up backhand, however slanting. Swings to the
side and those of any direction may be either (see `workbench.beatmap.maps.swings`).
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from workbench.beatmap.maps.swings import cuts
from workbench.beatmap.writer.tokens import DIRECTION_NAMES, Vocabulary

ANY = 8  # the direction of a dot
CELLS = 12


def is_note_of(tokens: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return which tokens are notes, and neither places nor empty hands, bool (...)."""
    hand, _ = hands_and_ways(vocabulary)
    return hand.to(tokens.device)[tokens] >= 0


@lru_cache(maxsize=4)
def cells_and_cuts(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Return the cell of each id, `CELLS` where it is no note, and its direction, int64 (V,)."""
    count = vocabulary.size - vocabulary.right
    cell = torch.full((vocabulary.size,), CELLS)
    direction = torch.full_like(cell, ANY)
    number = torch.arange(count)
    for base in (vocabulary.left, vocabulary.right):
        cell[base : base + count] = number // len(DIRECTION_NAMES)
        direction[base : base + count] = number % len(DIRECTION_NAMES)
    return cell, direction


@lru_cache(maxsize=4)
def hands_and_ways(vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Return the hand of each id, 0 left, 1 right, -1 no note, and its way, int64 (V,) each."""
    count = vocabulary.size - vocabulary.right
    direction = np.arange(len(DIRECTION_NAMES), dtype=np.int32)
    ways = torch.from_numpy(-np.sign(cuts(direction, np.zeros(len(direction)))[:, 1])).long()
    hand = torch.full((vocabulary.size,), -1)
    way = torch.zeros(vocabulary.size, dtype=torch.int64)
    for number, base in enumerate((vocabulary.left, vocabulary.right)):
        hand[base : base + count] = number
        way[base : base + count] = ways.repeat(count // len(ways))
    return hand, way
