"""The board's clock: error within half a round trip, drift found, nothing moves time back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.device.clock import BoardClock, VirtualTime


def fed(clock, *, exchanges, drift, offset, seed, every=0.25, tail=0.004):
    """Exchange as a shared machine does: mostly 0.16 ms, some far slower, on either way."""
    rng = np.random.default_rng(seed)
    host = 1000.0
    for _ in range(exchanges):
        there = 50e-6 + rng.exponential(30e-6) + (rng.random() < 0.05) * rng.exponential(tail)
        back = 50e-6 + rng.exponential(30e-6) + (rng.random() < 0.05) * rng.exponential(tail)
        work = rng.exponential(1e-3)
        board = offset + (host + there) * (1 + drift)
        clock.exchanged(host, host + there + work + back, board, board + work * (1 + drift))
        host += every
    return host


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.floats(-100e-6, 100e-6), st.floats(-1e4, 1e4))
def test_ten_minutes_later_the_clock_is_right_to_a_millisecond(seed, drift, offset):
    clock = BoardClock()
    now = fed(clock, exchanges=2400, drift=drift, offset=offset, seed=seed)
    true = offset + now * (1 + drift)
    assert abs(clock.board_at(now) - true) < 300e-6
    assert abs(clock.board_at(now + 10) - (offset + (now + 10) * (1 + drift))) < 1e-3
    assert abs(clock.drift - drift) < 20e-6


@given(st.floats(-1e4, 1e4), st.floats(1e-5, 1.0), st.floats(0.0, 1.0))
def test_one_exchange_is_wrong_by_half_its_round_trip_at_most(offset, round_trip, share):
    clock = BoardClock()
    board = offset + 5.0 + share * round_trip
    clock.exchanged(5.0, 5.0 + round_trip, board, board)
    assert abs(clock.board_at(5.0) - (offset + 5.0)) <= round_trip / 2 + 1e-9


def test_there_and_back_is_the_same_time():
    clock = BoardClock()
    fed(clock, exchanges=600, drift=40e-6, offset=3.0, seed=1)
    assert clock.drift > 0
    for host in np.linspace(-1e3, 1e3, 50):
        assert clock.host_at(clock.board_at(host)) == pytest.approx(host, abs=1e-6)


def test_the_least_round_trip_of_sixteen_wins():
    clock = BoardClock()
    for number in range(16):
        late = 0.0 if number == 3 else 0.01
        board = number + 1e-4 + late
        clock.exchanged(number, number + 2e-4 + late, board, board)
    assert abs(clock.board_at(20.0) - 20.0) < 1e-9
    assert clock.round_trip == pytest.approx(2e-4)


def test_before_an_exchange_and_after_a_boot_nothing_is_known():
    clock = BoardClock()
    with pytest.raises(ValueError, match="no exchange"):
        clock.board_at(0.0)
    fed(clock, exchanges=3, drift=0, offset=0, seed=0)
    assert clock.is_known
    clock.forget()
    assert not clock.is_known
    with pytest.raises(ValueError, match="no exchange"):
        clock.host_at(0.0)


def test_virtual_time_passes_in_waits_alone():
    time = VirtualTime(5.0)
    assert time.now() == time.now() == 5.0
    time.wait(100.0)
    time.wait(-1.0)
    assert time.now() == 105.0
