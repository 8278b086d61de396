"""Which windows make a step: every window as often as it weighs, the same from anywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.beatmap.writer.sampling import Sampling, window_weights
from workbench.errors import OptionsError

COUNTS = st.integers(1, 60)
SETTINGS = {
    "step_windows": st.integers(1, 9),
    "bucket_steps": st.integers(1, 7),
    "seed": st.integers(0, 5),
}


def sampling_of(weights, lengths=None, **settings):
    weights = np.asarray(weights, np.float64)
    told = {"step_windows": 4, "bucket_steps": 3, "seed": 0} | settings
    lengths = np.arange(len(weights)) * 7 % 11 if lengths is None else np.asarray(lengths)
    return Sampling(weights=weights / weights.sum(), lengths=lengths, **told)


def epoch_of(sampling, epoch=0):
    return [sampling.step(epoch, number).tolist() for number in range(sampling.steps)]


@given(COUNTS, st.fixed_dictionaries(SETTINGS), st.integers(0, 3))
def test_windows_of_equal_weight_come_once_in_an_epoch(count, settings, epoch):
    sampling = sampling_of(np.ones(count), **settings)
    seen = [window for step in epoch_of(sampling, epoch) for window in step]
    assert all(len(step) == settings["step_windows"] for step in epoch_of(sampling, epoch))
    if count >= settings["step_windows"]:
        assert len(seen) == len(set(seen)) > count - settings["step_windows"]
    else:
        assert set(seen) == set(range(count))


@given(
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0, 50.0]), min_size=1, max_size=40),
    st.fixed_dictionaries(SETTINGS),
)
def test_a_window_comes_as_often_as_it_weighs_to_the_next_whole_number(weights, settings):
    if not sum(weights):
        weights[0] = 1.0
    sampling = sampling_of(weights, **settings)
    seen = np.bincount(np.ravel(epoch_of(sampling)), minlength=len(weights))
    expected = sampling.weights * sampling.steps * sampling.step_windows
    assert (seen >= np.floor(expected - 1e-6)).all()
    assert (seen <= np.ceil(expected + 1e-6)).all()


def test_every_window_comes_as_often_as_it_weighs_on_average():
    weights = np.array([600.0, 0.3, 300.0, 3.0, 0.7, 200.0, 1.0, 0.0])
    sampling = sampling_of(weights, step_windows=8)
    epochs = 2000
    seen = np.zeros(8)
    for epoch in range(epochs):
        seen += np.bincount(sampling.step(epoch, 0), minlength=8)
    expected = 8 * sampling.weights
    spread = np.sqrt((expected % 1) * (1 - expected % 1) / epochs)
    assert (np.abs(seen / epochs - expected) <= 4 * spread + 1e-9).all()
    assert seen[:7].all()


@given(COUNTS, st.fixed_dictionaries(SETTINGS))
def test_any_step_may_be_asked_for_without_those_before_it(count, settings):
    whole = [epoch_of(sampling_of(np.ones(count), **settings), epoch) for epoch in range(3)]
    for epoch, number in ((2, -1), (0, 0), (1, -1)):
        fresh = sampling_of(np.ones(count), **settings)
        assert fresh.step(epoch, number % fresh.steps).tolist() == whole[epoch][number]


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        str(epoch_of(sampling_of(np.ones(50), seed=seed), epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


@given(COUNTS, st.fixed_dictionaries(SETTINGS))
def test_windows_of_a_step_stand_by_length_and_lengths_of_a_bucket_do_not_mix(count, settings):
    lengths = np.random.default_rng(count).integers(1, 1000, count)
    sampling = sampling_of(np.ones(count), lengths, **settings)
    steps = [lengths[step] for step in epoch_of(sampling)]
    bucket = settings["bucket_steps"]
    for first in range(0, len(steps), bucket):
        some = sorted(steps[first : first + bucket], key=lambda step: (step[0], step[-1]))
        assert (np.diff(np.concatenate(some)) >= 0).all()


def test_buckets_save_padding():
    lengths = np.random.default_rng(0).integers(20, 300, 4000)

    def padded(bucket_steps):
        sampling = sampling_of(np.ones(4000), lengths, step_windows=16, bucket_steps=bucket_steps)
        return sum(16 * lengths[step].max() for step in epoch_of(sampling)) / lengths.sum()

    assert padded(1) > 1.5
    assert padded(32) < 1.1


def test_the_order_of_steps_is_not_that_of_lengths():
    sampling = sampling_of(np.ones(400), np.arange(400), step_windows=4, bucket_steps=100)
    firsts = [step[0] for step in epoch_of(sampling)]
    assert firsts != sorted(firsts)


# --- weights


def test_the_games_own_songs_have_their_share_of_all_windows():
    official = np.array([True, False, False, True, False])
    weights = window_weights(np.array([1.0, 0.9, 0.3, 1.0, 0.6]), official, 0.2)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[official].tolist() == pytest.approx([0.1, 0.1])
    assert weights[~official].tolist() == pytest.approx([0.4, 0.8 / 6, 0.8 / 3])


@pytest.mark.parametrize("official", [True, False])
def test_where_there_is_one_source_alone_the_share_plays_no_part(official):
    weights = window_weights(np.array([1.0, 3.0]), np.array([official] * 2), 0.2)
    assert weights.tolist() == [0.25, 0.75]


def test_songs_that_all_weigh_nothing_count_alike():
    assert window_weights(np.zeros(4), np.zeros(4, bool), 0.2).tolist() == [0.25] * 4


def test_no_window_is_told():
    with pytest.raises(OptionsError, match="no window to learn from"):
        Sampling(
            weights=np.zeros(0), lengths=np.zeros(0, int), step_windows=1, bucket_steps=1, seed=0
        )


def test_samplings_are_told_apart_by_all_that_their_order_depends_on():
    base = {"weights": [1.0, 2.0], "lengths": [3, 4]}
    others = [
        base | {"weights": [1.0, 2.5]},
        base | {"lengths": [3, 5]},
        base | {"step_windows": 5},
        base | {"bucket_steps": 4},
        base | {"seed": 1},
        base | {"identity": "x"},
    ]
    found = {sampling_of(**each).fingerprint for each in (base, *others)}
    assert len(found) == 7
    assert sampling_of(**base).fingerprint in found
