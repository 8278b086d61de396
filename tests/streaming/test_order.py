"""Orders: permutations, the same for ever, apart from each other, fair."""

import hashlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.streaming.order import IN_ORDER, Order

SEEDS = st.integers() | st.sampled_from([0, -1, 2**63, 2**64 - 1, -(2**63), 10**30])
EPOCHS = st.integers(0, 10**6)
COUNTS = st.integers(0, 300)
INDICES = st.integers(0, 10**6)


def all_of(order, count, *, files=3, groups=3):
    """Return every permutation of an order over some files and groups, each a tuple."""
    found = [order.files(count)]
    found += [order.groups(file, count) for file in range(files)]
    found += [order.rows(file, group, count) for file in range(files) for group in range(groups)]
    return [tuple(each.tolist()) for each in found]


# --- permutations


@settings(max_examples=50)
@given(SEEDS, EPOCHS, COUNTS, INDICES, INDICES)
def test_each_index_comes_once(seed, epoch, count, file, group):
    order = Order(seed=seed, epoch=epoch)
    for found in (order.files(count), order.groups(file, count), order.rows(file, group, count)):
        assert found.dtype == np.int64
        assert found.shape == (count,)
        assert sorted(found.tolist()) == list(range(count))


@settings(max_examples=50)
@given(COUNTS, INDICES, INDICES)
def test_without_shuffling_all_stays_where_it_is(count, file, group):
    for order in (IN_ORDER, Order(seed=file, epoch=group, shuffled=False)):
        assert order.files(count).tolist() == list(range(count))
        assert order.groups(file, count).tolist() == list(range(count))
        assert order.rows(file, group, count).tolist() == list(range(count))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_thing_have_one_order(count):
    assert set(all_of(Order(seed=7), count)) == {tuple(range(count))}


# --- the same for ever


@settings(max_examples=25)
@given(SEEDS, EPOCHS, COUNTS)
def test_an_order_is_the_same_whenever_and_by_whomever_it_is_made(seed, epoch, count):
    order = Order(seed=seed, epoch=epoch)
    before = all_of(order, count)
    assert order.rows(2, 2, count).tolist() == list(before[-1])
    assert all_of(Order(seed=seed, epoch=epoch), count) == before


@settings(max_examples=50)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 1000), st.integers(0, 1000))
def test_numbers_of_numpy_make_the_same_order(seed, file, group):
    plain = Order(seed=seed).rows(file, group, 20)
    found = Order(seed=np.int64(seed)).rows(np.int64(file), np.int64(group), 20)
    assert found.tolist() == plain.tolist()


GOLDEN = [
    (Order(), [1, 5, 2, 4, 7, 6, 0, 3], [1, 5, 4, 7, 6, 2, 0, 3], [3, 0, 1, 5, 6, 2, 4, 7]),
    (
        Order(seed=42, epoch=1),
        [6, 2, 3, 5, 1, 0, 7, 4],
        [0, 1, 7, 6, 3, 2, 5, 4],
        [0, 7, 6, 4, 2, 1, 3, 5],
    ),
    (
        Order(seed=-1, epoch=10**30),
        [2, 3, 5, 0, 4, 7, 1, 6],
        [2, 7, 0, 3, 4, 5, 6, 1],
        [5, 1, 2, 4, 0, 7, 6, 3],
    ),
]


@pytest.mark.parametrize(("order", "files", "groups", "rows"), GOLDEN)
def test_orders_of_eight_are_what_they_have_always_been(order, files, groups, rows):
    assert order.files(8).tolist() == files
    assert order.groups(3, 8).tolist() == groups
    assert order.rows(3, 2, 8).tolist() == rows


def test_many_orders_are_what_they_have_always_been():
    digest = hashlib.sha256()
    for seed in (0, 1, -1, 2**64 + 5, 10**30):
        for epoch in range(3):
            for count in (2, 10, 1000):
                for found in all_of(Order(seed=seed, epoch=epoch), count):
                    digest.update(np.array(found, "<i8").tobytes())
    assert digest.hexdigest() == (
        "63905e226fa689c71f3de786614923a907a26f1df730367f322b6908d4d233f7"
    )


# --- apart from each other


@settings(max_examples=25)
@given(SEEDS, SEEDS, EPOCHS)
def test_seeds_make_orders_of_their_own(seed, other, epoch):
    assume((seed - other) % 2**64)
    one = all_of(Order(seed=seed, epoch=epoch), 30)
    assert not set(one) & set(all_of(Order(seed=other, epoch=epoch), 30))


@settings(max_examples=25)
@given(SEEDS, EPOCHS, EPOCHS)
def test_epochs_make_orders_of_their_own(seed, epoch, other):
    assume(epoch != other)
    one = all_of(Order(seed=seed, epoch=epoch), 30)
    assert not set(one) & set(all_of(Order(seed=seed, epoch=other), 30))


@settings(max_examples=10)
@given(SEEDS, EPOCHS)
def test_files_and_groups_and_rows_have_orders_of_their_own(seed, epoch):
    found = all_of(Order(seed=seed, epoch=epoch), 30, files=8, groups=8)
    assert len(set(found)) == len(found) == 1 + 8 + 8 * 8


# --- fair


def test_things_go_as_far_as_by_chance():
    count = 400
    for seed in range(20):
        moved = np.abs(Order(seed=seed).files(count) - np.arange(count)).mean()
        assert 0.28 * count < moved < 0.39 * count  # a third by chance, 6 deviations around it


def test_every_thing_is_as_often_in_every_place():
    trials, count = 1500, 5
    places = np.zeros((count, count), int)
    for epoch in range(trials):
        places[np.arange(count), Order(epoch=epoch).files(count)] += 1
    expected = trials / count
    assert (np.abs(places - expected) < 6 * np.sqrt(expected * 0.8)).all()


def test_neighbours_are_parted_in_every_epoch():
    count = 1000
    for epoch in range(20):
        steps = np.diff(Order(seed=3, epoch=epoch).rows(0, 0, count))
        assert (steps == 1).sum() < 10  # one by chance
        assert 440 < (steps > 0).sum() < 560
