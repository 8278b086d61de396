"""The network: never from the future, the same with and without a cache, able to learn."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.groove.inputs import BEFORE, HIDDEN, LOOKBACKS, Repeats, repeats_of
from workbench.groove.network import Cache, NetworkShape, StepNetwork, earlier_masks
from workbench.groove.streams import MASKS

SHAPE = NetworkShape(
    window=32,
    lookbacks=(1, 2, 3, 16),
    repeats=(),
    labels={"style": 3, "drummer": 2},
    width=16,
    layers=2,
    heads=2,
    mask_width=4,
)
HISTORY = 16
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = StepNetwork(SHAPE)
        for parameter in made.parameters():  # far from the beginning, so that all of it matters
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval().requires_grad_(False)


def pieces(seed, size=2, steps=32):
    """Return masks with their history, where steps lie, and labels."""
    generator = np.random.default_rng(seed)
    masks = torch.from_numpy(generator.integers(0, MASKS, (size, HISTORY + steps)))
    where = torch.from_numpy(generator.integers(0, 20, (size, steps, 3)))
    return masks, where, torch.from_numpy(generator.integers(0, 3, (size, 2)))


def told(network, masks, where, labels=None, cache=None):
    earlier = earlier_masks(masks, masks.shape[1] - where.shape[1], SHAPE.lookbacks)
    return network(earlier, where, labels, cache)


@given(seed=st.integers(0, 999), step=st.integers(0, 31))
@settings(max_examples=15)
def test_no_logit_depends_on_its_own_step_or_a_later_one(network, seed, step) -> None:
    masks, where, labels = pieces(seed)
    before = told(network, masks, where, labels)
    changed, elsewhere = masks.clone(), where.clone()
    changed[:, HISTORY + step :] = torch.randint(0, MASKS, changed[:, HISTORY + step :].shape)
    elsewhere[:, step + 1 :] = 1
    after = told(network, changed, elsewhere, labels)
    assert torch.equal(after[:, : step + 1], before[:, : step + 1])
    if step < 30:
        assert not torch.equal(after[:, step + 1 :], before[:, step + 1 :])


def test_every_lookback_and_every_step_of_the_window_matters(network) -> None:
    masks, where, labels = pieces(1, size=1)
    before = told(network, masks, where, labels)[0, -1]
    for step in range(HISTORY, HISTORY + 31):
        changed = masks.clone()
        changed[:, step] ^= 1
        assert not torch.equal(told(network, changed, where, labels)[0, -1], before)


@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(1, 31), max_size=4))
@settings(max_examples=15)
def test_going_on_from_a_cache_gives_the_logits_of_one_pass(network, seed, cuts) -> None:
    masks, where, labels = pieces(seed)
    whole = told(network, masks, where, labels)
    earlier = earlier_masks(masks, HISTORY, SHAPE.lookbacks)
    cache = Cache(SHAPE, 2, whole)
    bounds = sorted({0, 32, *cuts})
    parts = [network(earlier[:, a:b], where[:, a:b], labels, cache) for a, b in pairwise(bounds)]
    assert cache.length == 32
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)


def test_a_piece_is_told_the_same_alone_and_among_others(network) -> None:
    masks, where, labels = pieces(3, size=5)
    together = told(network, masks, where, labels)
    for index in range(5):
        alone = told(network, *(x[index : index + 1] for x in (masks, where, labels)))
        torch.testing.assert_close(alone[0], together[index], **CLOSE)


def test_only_distances_count_for_attention(network) -> None:
    attention, rotary = network.layers[0]._attention, network.rotary
    x = torch.randn(1, 8, SHAPE.width, generator=torch.Generator().manual_seed(1))
    here, there = (attention(x, rotary[:, at : at + 8], 0, None) for at in (0, 9))
    torch.testing.assert_close(here, there, **CLOSE)
    stretched = attention(x, rotary[:, 0:24:3], 0, None)
    assert not torch.allclose(here, stretched, **CLOSE)


def test_labels_tell_something_and_number_zero_is_as_good_as_none(network) -> None:
    masks, where, labels = pieces(6)
    assert not torch.equal(told(network, masks, where, labels), told(network, masks, where))
    with torch.no_grad():
        for embedding in network.labels.values():
            embedding.weight[0] = 0
    torch.testing.assert_close(
        told(network, masks, where, labels * 0), told(network, masks, where), **CLOSE
    )


@given(seed=st.integers(0, 99), history=st.integers(0, 200), steps=st.integers(1, 20))
def test_earlier_masks_are_those_so_many_steps_ago(seed, history, steps) -> None:
    generator = np.random.default_rng(seed)
    masks = torch.from_numpy(generator.integers(0, MASKS, (1, history + steps)))
    found = earlier_masks(masks, history, LOOKBACKS)
    assert found.shape == (1, steps, len(LOOKBACKS))
    for step in range(steps):
        for index, ago in enumerate(LOOKBACKS):
            at = history + step - ago
            assert found[0, step, index] == (masks[0, at] if at >= 0 else BEFORE)


@given(
    masks=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    starts=st.lists(st.integers(0, 60), max_size=3),
    beats=st.integers(1, 3),
)
def test_repeats_are_what_came_when_the_piece_last_was_like_now(masks, starts, beats) -> None:
    steps, lengths = np.arange(len(masks)), (1, 2, 3, 5, 8, 16)
    piece = np.searchsorted(np.sort(starts), steps, side="right")
    where = steps % beats
    found = repeats_of(np.array(masks), where, piece, lengths)
    going = None
    for step in steps.tolist():
        first = int(np.searchsorted(piece, piece[step]))
        going = Repeats(lengths) if step == first else going
        for column, length in enumerate(lengths):
            alike = [
                masks[at]
                for at in range(first + length, step)
                if masks[at - length : at] == masks[step - length : step]
                and where[at] == where[step]
            ]
            has_past = step - first >= length
            assert found[step, column] == (alike[-1] if alike and has_past else BEFORE)
        assert going.next(int(where[step])) == found[step].tolist()
        going.take(int(where[step]), masks[step])


def test_a_network_learns_one_bar_by_heart() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = StepNetwork(SHAPE)
    bar = torch.randint(0, MASKS, (1, 16), generator=torch.Generator().manual_seed(2))
    masks = torch.cat((torch.full((1, HISTORY), BEFORE), bar), 1)
    where = torch.zeros(1, 16, 3, dtype=torch.int64)
    where[0, :, 0], where[0, :, 1] = torch.arange(16) % 4, torch.arange(16) // 4
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(told(network, masks, where)[0], bar[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 < np.log(MASKS)


def test_hidden_and_missing_steps_are_inputs_of_their_own(network) -> None:
    where = torch.zeros(1, 1, 3, dtype=torch.int64)
    inputs = [torch.full((1, 1, 4), value) for value in (0, BEFORE, HIDDEN)]
    silent, before, hidden = (network(earlier, where) for earlier in inputs)
    assert not torch.equal(silent, before)
    assert not torch.equal(before, hidden)
    assert not torch.equal(silent, hidden)
