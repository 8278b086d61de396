"""Tokens are drawn: each window by its own numbers, and hands as a plain loop follows them."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import NAMES, walk

from workbench.beatmap.writer.drawing import MOST_ALIKE, Draws, Hands, Manner, draw, too_near
from workbench.beatmap.writer.grammar import NEVER
from workbench.beatmap.writer.tokens import BAR, EXTENDED, FIRST_POS, VOCABULARY_291

CPU = torch.device("cpu")
UP, DOWN, LEFT, ANY = 0, 1, 2, 8
WAYS = {0: -1, 4: -1, 5: -1, 1: 1, 6: 1, 7: 1}  # up and down, however slanting


def rows_of_logits(seed, rows=3, size=12, *, holes=True):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, size, generator=generator)
    if holes:
        logits[:, torch.randperm(size, generator=generator)[: size // 3]] = NEVER
    return logits


def loop_drawn(logits, number, manner):
    """Return a token drawn by a loop over tokens from the likeliest on."""
    order = sorted(range(len(logits)), key=lambda token: -logits[token])
    if manner.top_k:
        order = order[: manner.top_k]
    powers = [np.exp(float(logits[token]) / manner.temperature) for token in order]
    chances = [power / sum(powers) for power in powers]
    kept, upto = [], 0.0
    for token, chance in zip(order, chances, strict=True):
        if upto < manner.top_p and chance > 0:
            kept.append((token, chance))
        upto += chance
    left = number * sum(chance for _, chance in kept)
    for token, chance in kept:
        left -= chance
        if left < 0:
            return token
    return kept[-1][0]


class LoopHands:
    """Hands as a loop over slots tells them."""

    def __init__(self, vocabulary):
        self.vocabulary, self.slots = vocabulary, []

    def note(self, token):
        """Return hand, cell and direction of a note, or nothing."""
        for hand, base in enumerate((self.vocabulary.left, self.vocabulary.right)):
            if base <= token < base + 108:
                return hand, (token - base) // 9, (token - base) % 9
        return None

    def follow(self, token):
        if FIRST_POS <= token < FIRST_POS + self.vocabulary.bar_slots:
            self.slots.append([])
        elif (note := self.note(token)) is not None:
            self.slots[-1].append(note)

    def way(self, hand):
        """Return which way a hand swung in the last slot but this in which it did."""
        way = 0
        for slot in self.slots[:-1]:
            cuts = [direction for which, _, direction in slot if which == hand]
            ways = [WAYS[direction] for direction in cuts if direction in WAYS]
            way = ways[-1] if ways else -way if cuts else way  # one of no way goes on to and fro
        return way

    def alike(self, hand):
        """Return the last cut of a hand, and how often it was made in a row, at most."""
        cut, count = None, 0
        for slot in self.slots:
            mine = [direction for which, _, direction in slot if which == hand]
            for place, direction in enumerate(mine):
                if cut is None:
                    count = MOST_ALIKE  # what stood before nobody knows
                elif direction != cut:
                    count = 1
                elif place == 0:
                    count += 1
                cut = direction
        return cut, count

    def puts_off(self, token):
        note = self.note(token)
        return bool(note and note[2] in WAYS and WAYS[note[2]] == self.way(note[0]))

    def is_impossible(self, token):
        note = self.note(token)
        if note is None:
            return False
        hand, cell, direction = note
        now = self.slots[-1] if self.slots else []
        if cell in [taken for _, taken, _ in now]:
            return True
        if direction == ANY or any(which == hand for which, _, _ in now):
            return False
        cut, count = self.alike(hand)
        return cut == direction and count >= MOST_ALIKE


# --- laws


@settings(max_examples=50)
@given(
    seed=st.integers(0, 1000),
    number=st.floats(0, 1, exclude_max=True),
    manner=st.builds(
        Manner,
        temperature=st.sampled_from([0.3, 1.0, 2.5]),
        top_k=st.sampled_from([0, 1, 3, 8, 40]),
        top_p=st.sampled_from([1.0, 0.9, 0.5, 0.01]),
    ),
)
def test_tokens_are_drawn_as_by_a_loop(seed, number, manner):
    logits = rows_of_logits(seed)
    found = draw(logits, torch.full((3,), number, dtype=torch.float64), manner)
    assert found.tolist() == [loop_drawn(row.tolist(), number, manner) for row in logits]


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.5, 1.0, 2.0]))
def test_draws_are_as_frequent_as_their_chances(seed, temperature):
    logits = rows_of_logits(seed, rows=1)
    numbers = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    found = draw(logits.expand(len(numbers), -1), numbers, Manner(temperature=temperature))
    shares = torch.bincount(found, minlength=logits.shape[1]) / len(numbers)
    wanted = (logits[0].double() / temperature).softmax(-1)
    assert (shares - wanted).abs().max() < 2e-4


@settings(max_examples=20)
@given(
    seeds=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=4),
    data=st.data(),
)
def test_a_windows_numbers_are_its_own(seeds, data):
    together = Draws(seeds)
    rows = data.draw(st.permutations(range(len(seeds))))[: data.draw(st.integers(1, len(seeds)))]
    steps = [0, 1, 255, 256, 700]
    before = {step: together.at(step) for step in steps[:3]}
    together.keep(list(rows))
    for place, row in enumerate(rows):
        alone = Draws([seeds[row]])
        assert all(alone.at(step)[0] == before[step][row] for step in steps[:3])
        assert all(alone.at(step)[0] == together.at(step)[place] for step in steps[::-1])


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), name=st.sampled_from(list(NAMES)), few=st.booleans())
def test_hands_are_followed_as_by_a_loop(seed, name, few):
    vocabulary = NAMES[name]
    rows = [walk(seed + row, vocabulary, 2, slots=9)[2:] for row in range(2)]
    until = min(len(row) for row in rows)
    rows = [row[:until] for row in rows]
    if few:  # down, and down again, in any cell
        rows = [[_turned_down(token, vocabulary) for token in row] for row in rows]
    hands, loops = Hands(2, vocabulary, CPU), [LoopHands(vocabulary) for _ in rows]
    every = range(0, vocabulary.size, 3 if few else 11)
    for tokens in zip(*rows, strict=True):
        hands.follow(torch.tensor(tokens))
        for loop, token in zip(loops, tokens, strict=True):
            loop.follow(token)
        off, never = hands.put_off(2.5), hands.impossible()
        for row, loop in enumerate(loops):
            assert [off[row, t] == 2.5 for t in every] == [loop.puts_off(t) for t in every]
            assert [bool(never[row, t]) for t in every] == [loop.is_impossible(t) for t in every]


def _turned_down(token, vocabulary):
    for base in (vocabulary.left, vocabulary.right):
        if base <= token < base + 108:
            return token - (token - base) % 9 + DOWN
    return token


@settings(max_examples=30)
@given(
    last=st.integers(-500, 500),
    bar=st.integers(-1, 3),
    spacing=st.integers(2, 250),
    name=st.sampled_from(list(NAMES)),
)
def test_slots_too_near_are_those_of_a_loop(last, bar, spacing, name):
    vocabulary = NAMES[name]
    near = too_near(torch.tensor([last]), torch.tensor([bar]), spacing, vocabulary)[0]
    wanted = {
        FIRST_POS + slot
        for slot in range(vocabulary.bar_slots)
        if bar * vocabulary.bar_slots + slot - last < spacing
    }
    assert set(near.nonzero()[:, 0].tolist()) == wanted


# --- examples


def test_at_no_temperature_the_likeliest_is_taken():
    logits = rows_of_logits(5)
    found = draw(logits, torch.full((3,), 0.99, dtype=torch.float64), Manner(temperature=0.0))
    assert found.tolist() == logits.argmax(-1).tolist()


def test_a_number_next_to_one_draws_what_has_a_chance():
    logits = torch.tensor([[NEVER, 0.0, NEVER, -60.0]])
    most = torch.tensor([np.nextafter(1.0, 0.0)])
    assert draw(logits, most, Manner()).tolist() in ([1], [3])
    assert draw(torch.tensor([[NEVER, 3.0]]), most, Manner()).tolist() == [1]


def test_draws_leave_other_generators_alone():
    states = torch.get_rng_state(), random.getstate()
    draws = Draws([(1, 2), (3, 4)])
    draw(rows_of_logits(1, rows=2), draws.at(300), Manner(top_k=3, top_p=0.9))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def followed(tokens, vocabulary=EXTENDED):
    hands = Hands(1, vocabulary, CPU)
    for token in tokens:
        hands.follow(torch.tensor([token]))
    return hands


def cuts(direction, count, each=1):
    """Return slots of the left hand's cuts, with so many notes each, behind one cut upwards."""
    notes = [EXTENDED.left + 9 * cell + direction for cell in range(each)]
    slots = [token for slot in range(count) for token in (FIRST_POS + 5 + 5 * slot, *notes)]
    return [FIRST_POS, EXTENDED.left + UP, *slots]


@pytest.mark.parametrize("each", [1, 3])
def test_a_cut_that_was_made_so_often_in_a_row_is_impossible(each):
    fewer = followed([BAR, *cuts(DOWN, MOST_ALIKE - 1, each), FIRST_POS + 100])
    assert not fewer.impossible().any()
    never = followed([BAR, *cuts(DOWN, MOST_ALIKE, each), FIRST_POS + 100]).impossible()[0]
    assert never.nonzero()[:, 0].tolist() == [EXTENDED.left + 9 * c + DOWN for c in range(12)]


def test_the_first_cut_of_a_window_is_not_made_again_as_none_knows_what_stood_before():
    never = followed([BAR, FIRST_POS, EXTENDED.left + DOWN, FIRST_POS + 9]).impossible()[0]
    assert never.nonzero()[:, 0].tolist() == [EXTENDED.left + 9 * c + DOWN for c in range(12)]


def test_a_hand_goes_on_to_and_fro_through_cuts_of_no_way():
    def off(*directions):
        slots = [(FIRST_POS + 5 * n, EXTENDED.left + d) for n, d in enumerate(directions)]
        tokens = [token for slot in slots for token in slot]
        found = followed([BAR, *tokens, FIRST_POS + 99]).put_off(1.0)[0]
        return [name for name in (UP, DOWN) if found[EXTENDED.left + name]]

    assert off(DOWN) == [DOWN] and off(DOWN, LEFT) == [UP] and off(DOWN, ANY, LEFT) == [DOWN]
    assert off(LEFT) == []


def test_cuts_in_any_direction_go_on():
    assert not followed([BAR, *cuts(ANY, 9), FIRST_POS + 100]).impossible().any()


def test_a_cell_holds_one_note_of_a_slot():
    never = followed([BAR, FIRST_POS, VOCABULARY_291.left + 9 * 5 + LEFT], VOCABULARY_291)
    bases = (VOCABULARY_291.left, VOCABULARY_291.right)
    assert never.impossible()[0].nonzero()[:, 0].tolist() == [
        base + 9 * 5 + direction for base in bases for direction in range(9)
    ]


def test_hands_go_on_with_some_windows():
    hands = Hands(3, EXTENDED, CPU)
    for tokens in ([FIRST_POS] * 3, [EXTENDED.left + way for way in (UP, DOWN, ANY)]):
        hands.follow(torch.tensor(tokens))
    hands.keep(torch.tensor([1]))
    hands.follow(torch.tensor([FIRST_POS + 9]))
    off = hands.put_off(1.0)[0]
    assert off[EXTENDED.left + DOWN] == 1
    assert off[EXTENDED.left + UP] == 0
