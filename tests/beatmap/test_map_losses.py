"""What a writer is taught by: beside loops over tokens, and two terms by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import NAMES, padded, shape_of, walk

from workbench.beatmap.writer.grammar import allowed
from workbench.beatmap.writer.losses import (
    Costs,
    Lesson,
    costs_of,
    imbalance,
    lesson_of,
    resets,
)
from workbench.beatmap.writer.network import places_of
from workbench.beatmap.writer.tokens import BAR, END, EXTENDED, FIRST_POS, PAD, START

UP, DOWN, LEFT, ANY = 0, 1, 2, 8
NOTE = EXTENDED.left
RIGHT_NOTE = EXTENDED.right


def batch_of(rows, contexts):
    """Return windows as they come to a network: tokens, lengths, where their own bars begin."""
    tokens, lengths = padded(rows)
    begins = [
        [at for at, token in enumerate(row) if token == BAR][context]
        for row, context in zip(rows, contexts, strict=True)
    ]
    return tokens, lengths, torch.tensor(begins)


def made_batch(seed, name):
    """Return random windows: some with bars before them, some the last of their chart."""
    contexts = [0, 1, 2]
    rows = [
        walk(seed + row, NAMES[name], 1 + row % 2 + context, closed=False)
        for row, context in enumerate(contexts)
    ]
    rows = [row + [END] * (number % 2) for number, row in enumerate(rows)]
    return batch_of(rows, contexts)


def lesson_for(tokens, lengths, begins, name="extended"):
    return lesson_of(tokens, lengths, begins, shape_of(name))


def made_lesson(tokens, name="extended"):
    """Return the lesson of one window without bars before it."""
    rows = torch.tensor([tokens])
    return lesson_for(rows, torch.tensor([len(tokens)]), torch.tensor([2]), name)


def costs_with(chances):
    """Return costs of which only the chances are of interest."""
    none = torch.zeros(chances.shape[:2])
    return Costs(nats=none, spread=none, is_right=none.bool(), chances=chances)


# --- laws


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(NAMES)))
def test_each_token_of_a_windows_own_bars_is_taught_once_and_that_the_last_ends(seed, name):
    tokens, lengths, begins = made_batch(seed, name)
    lesson = lesson_for(tokens, lengths, begins, name)
    for row in range(len(tokens)):
        own = tokens[row, begins[row] : lengths[row]].tolist()
        wanted = [*[token for token in own if token != END][1:], BAR]
        assert lesson.targets[row][lesson.is_taught[row]].tolist() == wanted
        assert lesson.is_taught[row].nonzero()[0, 0] == begins[row]
    assert not torch.isin(lesson.targets[lesson.is_taught], torch.tensor([PAD, START, END])).any()


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(NAMES)))
def test_costs_are_those_of_a_loop_over_what_may_follow(seed, name):
    tokens, lengths, begins = made_batch(seed, name)
    lesson = lesson_for(tokens, lengths, begins, name)
    generator = torch.Generator().manual_seed(seed)
    size = NAMES[name].size
    logits = 3 * torch.randn(*tokens.shape, size, generator=generator)
    costs = costs_of(logits, lesson)
    places = places_of(tokens, begins, shape_of(name))
    for row, at in [(r, a) for r in range(tokens.shape[0]) for a in range(tokens.shape[1])]:
        if not lesson.is_taught[row, at]:
            assert (costs.nats[row, at], costs.spread[row, at]) == (0, 0)
            assert not costs.is_right[row, at]
            continue
        may = allowed(tokens[row, at], places.slot[row, at], NAMES[name]).nonzero()[:, 0].tolist()
        powers = {token: math.exp(float(logits[row, at, token])) for token in may}
        each = {token: -math.log(power / sum(powers.values())) for token, power in powers.items()}
        target = int(lesson.targets[row, at])
        assert float(costs.nats[row, at]) == pytest.approx(each[target], rel=1e-4, abs=1e-5)
        spread = sum(each.values()) / len(each)
        assert float(costs.spread[row, at]) == pytest.approx(spread, rel=1e-4)
        assert bool(costs.is_right[row, at]) == (min(each, key=each.get) == target)
        assert float(costs.chances[row, at].sum()) == pytest.approx(1, abs=1e-5)
        assert set(costs.chances[row, at].nonzero()[:, 0].tolist()) <= set(may)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(NAMES)))
def test_what_is_not_taught_moves_no_logit(seed, name):
    tokens, lengths, begins = made_batch(seed, name)
    lesson = lesson_for(tokens, lengths, begins, name)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*tokens.shape, NAMES[name].size, generator=generator, requires_grad=True)
    costs = costs_of(logits, lesson)
    (costs.nats.sum() + costs.spread.sum()).backward()
    assert logits.grad.isfinite().all()
    # where one token alone may follow, there is nothing to move
    is_open = lesson.is_taught & (lesson.may.sum(-1) > 1)
    assert torch.equal((logits.grad != 0).any(-1), is_open)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(NAMES)), more=st.integers(1, 5))
def test_more_padding_changes_nothing(seed, name, more):
    tokens, lengths, begins = made_batch(seed, name)
    wide = torch.nn.functional.pad(tokens, (0, more), value=PAD)
    lesson, wider = (lesson_for(each, lengths, begins, name) for each in (tokens, wide))
    until = tokens.shape[1]
    assert not wider.is_taught[:, until:].any()
    assert torch.equal(wider.is_taught[:, :until], lesson.is_taught)
    taught = lesson.is_taught
    assert torch.equal(wider.targets[:, :until][taught], lesson.targets[taught])
    assert torch.equal(wider.may[:, :until][taught], lesson.may[taught])


# --- a lesson by hand


def test_a_lesson_of_two_windows_of_a_chart():
    first = [START, 5, BAR, FIRST_POS, NOTE, BAR]
    last = [START, 5, BAR, BAR, FIRST_POS + 2, NOTE, END]  # one bar before it
    tokens, lengths, begins = batch_of([first, last], [0, 1])
    lesson = lesson_for(tokens, lengths, begins)
    yes, no = True, False
    assert lesson.is_taught.tolist() == [
        [no, no, yes, yes, yes, yes, no],
        [no, no, no, yes, yes, yes, no],
    ]
    assert lesson.targets[0, 2:6].tolist() == [FIRST_POS, NOTE, BAR, BAR]
    assert lesson.targets[1, 3:6].tolist() == [FIRST_POS + 2, NOTE, BAR]
    assert lesson.places.bar[1].tolist() == [-2, -2, -1, 0, 0, 0, 0]


# --- the two terms


def test_windows_of_both_hands_cost_nothing_and_of_one_hand_alone_a_quarter():
    tokens, lengths, begins = batch_of([[START, 5, BAR, FIRST_POS, NOTE]] * 2, [0, 0])
    lesson = lesson_for(tokens, lengths, begins)
    chances = torch.zeros(2, 5, EXTENDED.size)
    chances[..., BAR] = 1.0
    assert imbalance(costs_with(chances), lesson, EXTENDED) == 0
    chances[:, 3, BAR], chances[:, 3, NOTE], chances[:, 3, RIGHT_NOTE + 40] = 0.0, 0.5, 0.5
    assert imbalance(costs_with(chances), lesson, EXTENDED) == 0
    chances[1, 3, NOTE + 3], chances[1, 3, RIGHT_NOTE + 40] = 0.5, 0.0
    chances[:, 1, NOTE] = 1.0  # not taught
    assert float(imbalance(costs_with(chances), lesson, EXTENDED)) == pytest.approx(0.25 / 2)
    chances[1, 4, RIGHT_NOTE] = 0.25  # a fifth of its notes
    assert float(imbalance(costs_with(chances), lesson, EXTENDED)) == pytest.approx(0.3**2 / 2)


def test_where_notes_are_unlikely_hands_are_not_balanced():
    lesson = made_lesson([START, 5, BAR, FIRST_POS, NOTE])
    chances = torch.zeros(1, 5, EXTENDED.size)
    chances[..., BAR], chances[..., NOTE] = 0.97, 0.03
    assert imbalance(costs_with(chances), lesson, EXTENDED) == 0


def swung(directions, base=NOTE):
    """Return a bar of one hand's cuts, a slot each."""
    tokens = [START, 5, BAR]
    for number, direction in enumerate(directions):
        tokens += [FIRST_POS + 10 * number, base + direction]
    return tokens


def resets_of(tokens, direction, base=NOTE):
    """Return the term where a writer would have each note cut one way by one hand."""
    lesson = made_lesson(tokens)
    chances = torch.zeros(1, len(tokens), EXTENDED.size)
    chances[..., base + direction] = 1.0
    return float(resets(costs_with(chances), lesson, torch.tensor([tokens]), EXTENDED))


@pytest.mark.parametrize("base", [NOTE, RIGHT_NOTE])
def test_a_swing_the_way_of_the_last_is_a_reset(base):
    tokens = swung([DOWN, UP, DOWN], base)
    # the first of three notes has none before it; then down after down, then down after up
    assert resets_of(tokens, DOWN, base) == pytest.approx(1 / 3)
    assert resets_of(tokens, UP, base) == pytest.approx(1 / 3)
    assert resets_of(swung([DOWN, DOWN, DOWN], base), DOWN, base) == pytest.approx(2 / 3)
    assert resets_of(swung([DOWN, DOWN, DOWN], base), UP, base) == 0


def test_what_may_swing_either_way_is_no_reset_and_hides_what_was_before():
    assert resets_of(swung([DOWN, LEFT, ANY, DOWN]), DOWN) == pytest.approx(1 / 4)
    assert resets_of(swung([LEFT, ANY, LEFT]), LEFT) == 0


def test_hands_swing_each_for_itself():
    tokens = [START, 5, BAR, FIRST_POS, NOTE + DOWN, FIRST_POS + 9, RIGHT_NOTE + UP]
    assert resets_of(tokens, DOWN, RIGHT_NOTE) == 0
    assert resets_of(tokens, DOWN, NOTE) == pytest.approx(1 / 2)


def test_notes_of_one_slot_are_one_swing():
    tokens = [START, 5, BAR, FIRST_POS, NOTE + DOWN, NOTE + 9 + DOWN]
    assert resets_of(tokens, DOWN) == 0


def test_a_lesson_without_notes_costs_no_reset():
    lesson = made_lesson([START, 5, BAR, BAR])
    assert isinstance(lesson, Lesson)
    costs = costs_with(torch.full((1, 4, EXTENDED.size), 1 / EXTENDED.size))
    assert resets(costs, lesson, torch.tensor([[START, 5, BAR, BAR]]), EXTENDED) == 0
