"""Draws: portable powers, temperature, top-k, the nucleus, and what is never drawn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.groove.drawing import drawn, power

WEIGHTS = np.array([0.5, 0.25, 0.125, 0.0, 0.125])


class Fixed:
    """A generator whose next double is known."""

    def __init__(self, value: float):
        self.value = value

    def random(self) -> float:
        return self.value


@given(
    st.lists(st.floats(1e-30, 1.0), min_size=1, max_size=20),
    st.floats(0.05, 20.0),
)
@settings(deadline=None)
def test_powers_agree_with_the_platform_s_own(bases: list[float], exponent: float) -> None:
    expected = [math.pow(base, exponent) for base in bases]
    found = power(np.array(bases), exponent)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_powers_of_nothing_and_of_one_are_exact() -> None:
    assert power(np.array([0.0, 1.0]), 0.37).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("double", "chosen"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.74, 1), (0.76, 2), (0.88, 4), (1.0, 4)]
)
def test_a_double_picks_the_weight_it_falls_into(double: float, chosen: int) -> None:
    assert drawn(WEIGHTS, Fixed(double)) == chosen


def test_draws_follow_the_weights_and_never_take_a_zero() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    counts = np.bincount([drawn(WEIGHTS, generator) for _ in range(20_000)], minlength=5)
    assert counts / 20_000 == pytest.approx(WEIGHTS, abs=0.015)
    assert counts[3] == 0


def test_weights_need_not_sum_to_one() -> None:
    for double in (0.1, 0.6, 0.9):
        assert drawn(WEIGHTS * 7, Fixed(double)) == drawn(WEIGHTS, Fixed(double))


def test_low_temperature_takes_the_likeliest_and_high_makes_all_alike() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    assert {drawn(WEIGHTS, generator, temperature=0.05) for _ in range(200)} == {0}
    hot = [drawn(WEIGHTS, generator, temperature=20.0) for _ in range(20_000)]
    assert np.bincount(hot, minlength=5)[[0, 1, 2, 4]] / 20_000 == pytest.approx(0.25, abs=0.03)


def test_top_k_leaves_all_but_the_k_likeliest_out() -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    assert {drawn(WEIGHTS, generator, top_k=2) for _ in range(500)} == {0, 1}
    assert {drawn(WEIGHTS, generator, top_k=1) for _ in range(50)} == {0}


def test_the_nucleus_holds_the_weight_that_crosses_its_share() -> None:
    generator = np.random.Generator(np.random.PCG64(4))
    assert {drawn(WEIGHTS, generator, top_p=0.6) for _ in range(500)} == {0, 1}
    assert {drawn(WEIGHTS, generator, top_p=0.4) for _ in range(100)} == {0}
    assert {drawn(WEIGHTS, generator, top_p=0.5) for _ in range(100)} == {0}


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=12).filter(lambda w: sum(w) > 0.01),
    st.floats(0, 1),
    st.integers(0, 13),
    st.floats(0.01, 1),
    st.sampled_from([0.3, 1.0, 2.5]),
)
@settings(deadline=None)
def test_whatever_is_asked_a_positive_weight_is_drawn(
    weights: list[float], double: float, top_k: int, top_p: float, temperature: float
) -> None:
    found = drawn(
        np.array(weights), Fixed(double), temperature=temperature, top_k=top_k, top_p=top_p
    )
    assert weights[found] > 0
    if top_k > 0:
        assert sum(weight > weights[found] for weight in weights) < top_k
