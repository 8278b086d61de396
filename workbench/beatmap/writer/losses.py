"""What a writer of maps is taught by: what each token costs, and two optional terms.

Costs are over the tokens that may follow alone, so that nothing of the grammar is to be learnt.
A position is to tell the token behind it; the last of a window tells that its last bar ends. That
a window begins with BAR is given, as whoever writes one knows it.

Units: costs in nats. Shapes: B windows, T tokens, V ids.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from workbench.beatmap.writer.grammar import allowed
from workbench.beatmap.writer.network import NetworkShape, Places, places_of
from workbench.beatmap.writer.swings import hands_and_ways
from workbench.beatmap.writer.tokens import BAR, END, FIRST_POS, Vocabulary

_LEAST_MASS = 0.1  # notes of a window whose hands are balanced


class Lesson(NamedTuple):
    """What a batch of windows teaches.

    Attributes:
        places: Where its tokens stand.
        targets: What each is to tell, int64 (B, T).
        is_taught: Whether it is to, bool (B, T).
        may: What may follow it, bool (B, T, V).
    """

    places: Places
    targets: Tensor
    is_taught: Tensor
    may: Tensor


class Costs(NamedTuple):
    """What the tokens of a lesson cost.

    Attributes:
        nats: Of the target of each, float32 (B, T); 0 where nothing is taught.
        spread: Mean cost of all that may follow, likewise; what label smoothing adds.
        is_right: Whether the likeliest is the target, bool (B, T).
        chances: Of each id, float32 (B, T, V).
    """

    nats: Tensor
    spread: Tensor
    is_right: Tensor
    chances: Tensor


def lesson_of(tokens: Tensor, lengths: Tensor, learnt_from: Tensor, shape: NetworkShape) -> Lesson:
    """Return what a batch teaches.

    Args:
        tokens: Int64 (B, T), PAD behind the end.
        lengths: How many of them there are, int64 (B,).
        learnt_from: The first that is to be learnt, int64 (B,).
        shape: Of the network.
    """
    index = torch.arange(tokens.shape[1], device=tokens.device)
    last = (lengths - 1)[:, None]
    is_end = tokens.gather(1, last) == END
    stop = last - is_end.long()  # END is told by who knows where the song ends
    targets = torch.cat((tokens[:, 1:], tokens[:, :1]), dim=1)
    targets = torch.where(index >= stop, BAR, targets)
    is_taught = (index >= learnt_from[:, None]) & (index <= stop)
    places = places_of(tokens, learnt_from, shape)
    may = allowed(tokens, places.slot, shape.tokens)
    may[..., BAR] |= ~is_taught  # so that nothing is divided by no chance at all
    return Lesson(places=places, targets=targets, is_taught=is_taught, may=may)


def costs_of(logits: Tensor, lesson: Lesson) -> Costs:
    """Return what the tokens of a lesson cost.

    Args:
        logits: Float32 (B, T, V).
        lesson: What is taught.
    """
    logs = logits.masked_fill(~lesson.may, float("-inf")).log_softmax(-1)
    nats = -logs.gather(2, lesson.targets[..., None])[..., 0]
    known = torch.where(lesson.may, logs, 0.0)
    spread = -known.sum(-1) / lesson.may.sum(-1)
    is_right = logs.argmax(-1) == lesson.targets
    return Costs(
        nats=torch.where(lesson.is_taught, nats, 0.0),
        spread=torch.where(lesson.is_taught, spread, 0.0),
        is_right=is_right & lesson.is_taught,
        chances=logs.exp(),
    )


def imbalance(costs: Costs, lesson: Lesson, vocabulary: Vocabulary) -> Tensor:
    """Return how far from a half the left hand's share of a window's notes is, squared, ().

    On average over the windows that have notes. The writer before this one asked it of each token,
    which a token whose hand is known cannot follow.
    """
    left = costs.chances[..., vocabulary.left : vocabulary.left + _hand(vocabulary)].sum(-1)
    right = costs.chances[..., vocabulary.right :].sum(-1)
    left, right = ((mass * lesson.is_taught).sum(1) for mass in (left, right))
    counts = left + right > _LEAST_MASS
    share = left / (left + right).clamp(min=_LEAST_MASS)
    return ((share - 0.5).square() * counts).sum() / counts.sum().clamp(min=1)


def resets(costs: Costs, lesson: Lesson, tokens: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return the chance of a swing the way the same hand swung last, on average over notes, ().

    Args:
        costs: Of a lesson.
        lesson: The lesson.
        tokens: Its tokens, int64 (B, T).
        vocabulary: The ids.
    """
    hand, swing = hands_and_ways(vocabulary)
    hand, swing = hand.to(tokens.device), swing.to(tokens.device)
    index = torch.arange(tokens.shape[1], device=tokens.device)
    is_pos = (tokens >= FIRST_POS) & (tokens < FIRST_POS + vocabulary.bar_slots)
    here = torch.where(is_pos, index, 0).cummax(1).values  # what stands in one slot is one swing
    total = torch.zeros_like(costs.nats)
    for number in (0, 1):
        swung = (hand[tokens] == number) & (swing[tokens] != 0)
        last = torch.where(swung, index, 0).cummax(1).values.gather(1, here)
        either = (hand[tokens] == number) & (swing[tokens] == 0)
        since = torch.where(either, index, 0).cummax(1).values.gather(1, here)
        is_known = (last > 0) & (since < last)  # behind a cut of no way nobody can tell
        way = torch.where(is_known, swing[tokens.gather(1, last)], 0)
        of_hand = costs.chances * (hand == number)
        again = (of_hand * (swing == way[..., None])).sum(-1)
        total = total + again * (way != 0)
    is_note = lesson.is_taught & (hand[lesson.targets] >= 0)
    return (total * is_note).sum() / is_note.sum().clamp(min=1)


def _hand(vocabulary: Vocabulary) -> int:
    return vocabulary.size - vocabulary.right
