"""Which token may follow: all that charts are made of, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import NAMES, shape_of

from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.writer.grammar import allowed, table
from workbench.beatmap.writer.network import places_of
from workbench.beatmap.writer.tokens import (
    BAR,
    END,
    EXTENDED,
    FIRST_DIFFICULTY,
    FIRST_POS,
    PAD,
    START,
    VOCABULARY_291,
    decode,
    encode,
)
from workbench.demo.choreography import choreograph
from workbench.demo.tunes import SLOTS, compose

names = st.sampled_from(list(NAMES))
rows = st.tuples(
    st.integers(0, 600).map(lambda slot: slot / 48),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, 8),
)


def notes_of(found):
    columns = zip(*found, strict=True) if found else [[]] * 5
    return Notes.of(*columns, [0.0] * len(found))


def may_follow(tokens, name):
    """Return what may follow each token of a sequence, bool (T, V)."""
    tokens = torch.as_tensor(tokens, dtype=torch.int64)[None]
    places = places_of(tokens, torch.tensor([2]), shape_of(name))
    return allowed(tokens, places.slot, NAMES[name])[0]


def is_allowed(tokens, name):
    """Return whether each token but END may follow those before it; where END is, BAR may."""
    *tokens, last = tokens.tolist()
    assert last == END
    following = torch.tensor([*tokens[1:], BAR])
    return bool(may_follow(tokens, name)[torch.arange(len(tokens)), following].all())


def strolled(seed, name, most):
    """Return a chart by steps that are each drawn from what may follow, to the end of a slot."""
    random = np.random.default_rng(seed)
    tokens = [START]
    slots = range(FIRST_POS, FIRST_POS + NAMES[name].bar_slots)
    while True:
        may = may_follow(tokens, name)[-1].nonzero()[:, 0].numpy()
        if len(tokens) >= most and BAR in may:
            break
        is_slot = np.isin(may, slots)
        kinds = [kind for kind in (may[is_slot], may[~is_slot]) if len(kind)]
        tokens.append(int(random.choice(kinds[random.integers(len(kinds))])))
    while tokens[-1] == BAR:
        tokens.pop()
    return np.array([*tokens, END], np.int16)


# --- laws


@settings(max_examples=60)
@given(name=names, found=st.lists(rows, max_size=30), difficulty=st.sampled_from(DIFFICULTIES))
def test_every_chart_is_allowed(name, found, difficulty):
    assert is_allowed(encode(notes_of(found), difficulty, NAMES[name]), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_every_chart_of_the_demo_is_allowed(name, seed):
    random = np.random.default_rng(seed)
    tune = compose(bpm=150, kind="steady", metre=4, seconds=30, generator=random)
    for difficulty in DIFFICULTIES:
        chart = choreograph(tune, "Standard", difficulty, random)
        found = [(n.slot / SLOTS, n.lane, n.layer, n.color, n.direction) for n in chart.notes]
        tokens = encode(notes_of(found), difficulty, NAMES[name])
        assert len(tokens) > 50
        assert is_allowed(tokens, name)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), name=names, most=st.integers(2, 50))
def test_whatever_is_allowed_is_the_chart_of_its_own_notes(seed, name, most):
    tokens = strolled(seed, name, most)
    notes, difficulty = decode(tokens, NAMES[name])
    assert encode(notes, difficulty, NAMES[name]).tolist() == tokens.tolist()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), name=names)
def test_something_may_always_follow(seed, name):
    tokens = strolled(seed, name, 40)[:-1]
    assert may_follow(tokens, name).any(-1).all()


# --- examples


@pytest.mark.parametrize("name", NAMES)
def test_asking_of_one_token_leaves_the_table_as_it_is(name):
    before = table(NAMES[name]).clone()
    may = allowed(torch.tensor(BAR), torch.tensor(40), NAMES[name])
    assert may.shape == (NAMES[name].size,)
    assert may[FIRST_POS + 41]
    assert not may[FIRST_POS + 40]
    assert torch.equal(table(NAMES[name]), before)


def names_of(tokens, name):
    return {NAMES[name].name(int(t)) for t in may_follow(tokens, name)[-1].nonzero()[:, 0]}


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_begins_with_its_difficulty_and_a_bar(name):
    assert names_of([START], name) == set(DIFFICULTIES)
    assert names_of([START, FIRST_DIFFICULTY + 2], name) == {"BAR"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_followed_by_the_end_and_the_end_by_nothing(name):
    may = table(NAMES[name])
    assert not may[:, [PAD, START, END]].any()
    assert not may[[PAD, END]].any()


def test_slots_rise_and_begin_anew_with_a_bar():
    tokens = [START, 3, BAR, FIRST_POS + 189, EXTENDED.right + 107]
    assert names_of(tokens, "extended") == {"POS 190", "POS 191", "BAR"}
    assert len(names_of([*tokens, BAR], "extended")) == 192 + 1


def test_stacked_notes_rise_and_there_is_at_least_one():
    pos = [START, 3, BAR, FIRST_POS + 191]
    assert len(names_of(pos, "extended")) == 216
    assert "BAR" not in names_of(pos, "extended")
    assert names_of([*pos, EXTENDED.right + 105], "extended") == {
        "RIGHT 3,2 down-right",
        "RIGHT 3,2 any",
        "BAR",
    }


def test_a_slot_of_one_note_a_hand_is_never_empty():
    pos = [START, 3, BAR, FIRST_POS + 63]
    assert "LEFT empty" in names_of(pos, "291")
    assert len(names_of(pos, "291")) == 109
    assert len(names_of([*pos, VOCABULARY_291.left], "291")) == 109
    after_none = names_of([*pos, VOCABULARY_291.empty_left], "291")
    assert len(after_none) == 108
    assert "RIGHT empty" not in after_none
    assert names_of([*pos, VOCABULARY_291.left, VOCABULARY_291.empty_right], "291") == {"BAR"}
