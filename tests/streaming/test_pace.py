"""The window's size: within its limits, by one a shard, at what the rates ask for."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.streaming.pace import PATIENCE, RECENT, Pace

SECONDS = st.floats(0, 1e4)


def fed(pace, events):
    """Give a window after each shard: (seconds to load it, seconds of work on it)."""
    for load, use in events:
        pace.loaded(load)
        pace.used(use)
        yield pace.window


@given(st.integers(1, 50), st.lists(st.tuples(SECONDS, SECONDS), max_size=60))
def test_the_window_stays_within_its_limit_and_moves_by_one_a_shard_at_most(limit, events):
    pace = Pace(limit)
    windows = [pace.window, *fed(pace, events)]
    assert windows[0] == limit
    assert all(1 <= window <= limit for window in windows)
    assert all(abs(a - b) <= 1 for a, b in pairwise(windows))


@given(st.integers(1, 30), st.floats(0.01, 100), st.floats(0.01, 100))
def test_steady_rates_lead_to_what_the_formula_says_and_stay_there(limit, load, use):
    pace = Pace(limit)
    windows = list(fed(pace, [(load, use)] * (PATIENCE * (limit + 1) + 20)))
    want = max(1, min(math.ceil(load / use * 1.5) + 1, limit))
    assert abs(windows[-1] - want) <= (0 if abs(load / use * 1.5 % 1) > 1e-6 else 1)
    assert len(set(windows[-20:])) == 1


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), max_size=40),
    st.sampled_from([0.25, 2.0, 8.0]),
)
def test_only_the_ratio_of_the_rates_counts(events, factor):
    scaled = [(load * factor, use * factor) for load, use in events]
    assert list(fed(Pace(9), events)) == list(fed(Pace(9), scaled))


def test_it_grows_at_once_and_shrinks_only_after_some_shards():
    pace = Pace(8)
    assert list(fed(pace, [(0.0, 1.0)] * 40))[-1] == 1
    assert list(fed(pace, [(4.0, 1.0)] * 4)) == [1, 2, 3, 4]  # one slow shard is no rule
    pace = Pace(8)
    assert list(fed(pace, [(0.0, 1.0)] * 4)) == [8, 8, 7, 6]


def test_one_slow_shard_among_many_counts_as_long_as_it_is_recent():
    pace = Pace(100)
    for _ in range(RECENT - 2):
        pace.loaded(1.0)
    pace.loaded(9.0)
    pace.loaded(9.0)
    assert pace.load_seconds == 9.0
    for _ in range(RECENT):
        pace.loaded(1.0)
    assert pace.load_seconds == 1.0


def test_nothing_is_known_at_first_and_a_fixed_window_stays():
    pace = Pace(4, adapts=False)
    assert (pace.consume_rate, pace.fetch_rate, pace.load_seconds, pace.needed) == (0, 0, 0, 4)
    assert set(fed(pace, [(0.0, 5.0)] * 20)) == {4}
    assert pace.needed == 1
    assert pace.consume_rate == pytest.approx(0.2)
