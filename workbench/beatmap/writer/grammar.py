"""Which token may follow which, as a table.

After START comes the difficulty, after it the first BAR. In a bar, slots rise; in a slot of a
stacked vocabulary, so do its notes, of which there is at least one; in a slot of the other, LEFT
is before RIGHT, and one of both hands is not empty. BAR also stands for the end of the last bar:
whether END follows or a further bar is the song's to tell and nobody's to learn.
"""

from functools import lru_cache

import torch
from torch import Tensor

from workbench.beatmap.writer.tokens import BAR, FIRST_DIFFICULTY, FIRST_POS, START, Vocabulary

NEVER = float("-inf")


@lru_cache(maxsize=4)
def table(vocabulary: Vocabulary) -> Tensor:
    """Return which token may follow which, but for the order of slots, bool (V, V)."""
    notes = slice(vocabulary.left, vocabulary.size)
    slots = slice(FIRST_POS, FIRST_POS + vocabulary.bar_slots)
    may = torch.zeros(vocabulary.size, vocabulary.size, dtype=torch.bool)
    may[START, FIRST_DIFFICULTY:BAR] = True
    may[FIRST_DIFFICULTY:BAR, BAR] = True
    may[BAR, slots] = may[BAR, BAR] = True
    if vocabulary.is_stacked:
        may[slots, notes] = True
        may[notes, slots] = may[notes, BAR] = True
        may[notes, notes] = torch.ones(notes.stop - notes.start, notes.stop - notes.start).triu(1)
        return may
    left = slice(vocabulary.empty_left, vocabulary.empty_right)
    right = slice(vocabulary.empty_right, vocabulary.size)
    may[slots, left] = True
    may[left, right] = True
    may[vocabulary.empty_left, vocabulary.empty_right] = False
    may[right, slots] = may[right, BAR] = True
    return may


def allowed(tokens: Tensor, slot: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return what may follow each token, bool (..., V).

    Args:
        tokens: Int64 (...).
        slot: Of the last POS in the bar of each; -1 before any, int64 (...).
        vocabulary: The ids.
    """
    rows = table(vocabulary).to(tokens.device).index_select(0, tokens.flatten())  # never a view
    may = rows.view(*tokens.shape, -1)
    slots = may[..., FIRST_POS : FIRST_POS + vocabulary.bar_slots]
    slots &= torch.arange(vocabulary.bar_slots, device=tokens.device) > slot[..., None]
    return may
