"""Numbers of one chart and agreement of two: laws, and mir_eval, scipy and all ways tried."""

import math
import warnings
from dataclasses import replace
from itertools import combinations

import mir_eval.onset
import numpy as np
import pytest
from hand_made import ANY, BLUE, DOWN, RED, TIMES, UP, at, chart, charts, mirrored
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.metrics import (
    divergence,
    hand_divergence,
    pooled_profile,
    profile_of,
)
from workbench.beatmap.writer.metrics_onsets import (
    distinct_onsets,
    matched_onsets,
    onset_agreement,
    onset_scores,
)

MOMENTS = st.lists(st.integers(0, 1500).map(lambda tick: tick / 500), max_size=60)
FEW = st.lists(st.integers(0, 60).map(lambda tick: tick * 0.007), max_size=6, unique=True)


# --- onsets


@given(MOMENTS, MOMENTS, st.sampled_from([0.02, 0.05]))
def test_scores_are_those_of_mir_eval(wanted, found, window):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty maps
        onsets = [distinct_onsets(side) for side in (wanted, found)]
        f1, precision, recall = mir_eval.onset.f_measure(*onsets, window=window)
    name = f"{1000 * window:g}ms"
    expected = {"f1": f1, "precision": precision, "recall": recall}
    scores = onset_scores(wanted, found, [window])
    assert scores == pytest.approx({f"onset_{k}_{name}": v for k, v in expected.items()})


def most_pairs(wanted, found, window):
    """Return how many onsets can be paired, by trying all ways."""
    for size in range(min(len(wanted), len(found)), 0, -1):
        for ours in combinations(found, size):
            for theirs in combinations(wanted, size):  # in order: crossing never helps
                if all(abs(a - b) <= window for a, b in zip(ours, theirs, strict=True)):
                    return size
    return 0


@given(FEW, FEW)
def test_as_many_onsets_are_paired_as_can_be(wanted, found):
    wanted, found = distinct_onsets(wanted), distinct_onsets(found)
    ours, theirs = matched_onsets(wanted, found, 0.0205)
    assert len(ours) == most_pairs(wanted, found, 0.0205)
    assert len(set(ours.tolist())) == len(set(theirs.tolist())) == len(ours)
    assert (np.abs(wanted[ours] - found[theirs]) <= 0.0205).all()


@given(MOMENTS.filter(len))
def test_onsets_agree_with_themselves(seconds):
    assert set(onset_scores(seconds, seconds).values()) == {1.0}


@given(MOMENTS.filter(len), st.data())
def test_missing_notes_lower_recall_only(seconds, data):
    whole = sorted(set(seconds))
    some = data.draw(st.lists(st.sampled_from(whole), min_size=1, unique=True))
    wide, narrow = onset_agreement(whole, some)
    for score in (wide, narrow):
        assert score.precision == 1
        assert score.recall == pytest.approx(len(some) / len(whole))


def test_a_shift_of_30_ms_is_within_50_and_not_within_20():
    seconds = np.arange(1, 60, 0.25)
    for shift in (0.03, -0.03):
        wide, narrow = onset_agreement(seconds, seconds + shift)
        assert (wide.f1, narrow.f1) == (1, 0)


def test_thirty_notes_that_miss_in_one_gap_cost_what_they_are():
    seconds = np.arange(400) * 0.25 + 1
    found = np.delete(seconds, np.arange(150, 180))
    wide, narrow = onset_agreement(seconds, found)
    assert wide.f1 == pytest.approx(0.961, abs=0.001) and narrow.f1 == wide.f1
    assert (wide.precision, wide.recall) == (1, 370 / 400)


def test_notes_of_a_moment_are_one_onset():
    assert distinct_onsets([2, 1, 1, 1.0005, 1.0015, 2.2]).tolist() == [1, 1.0015, 2, 2.2]
    assert distinct_onsets([]).tolist() == []
    assert onset_agreement([1, 1, 2], [1, 2, 2])[0].f1 == 1


def test_nothing_agrees_with_nothing():
    for wanted, found in (([], []), ([1], []), ([], [1])):
        assert set(onset_scores(wanted, found).values()) == {0.0}


def test_onsets_hours_away_are_compared_too():
    assert onset_agreement([1e6, 2e6], [1e6 + 0.01])[0].matched == 1


# --- one chart


@settings(max_examples=50)
@given(charts(is_odd=True))
def test_every_number_of_any_chart_is_finite_and_in_its_range(objects):
    numbers = profile_of(objects, TIMES).numbers()
    assert all(math.isfinite(value) and value >= 0 for value in numbers.values())
    assert numbers["right_hand_share"] <= 1 and numbers["pattern_diversity"] <= 1
    assert numbers["parity_errors_per_1000"] + numbers["resets_per_1000"] <= 1000
    assert numbers["vision_blocks_per_1000"] <= 1000


@settings(max_examples=50)
@given(charts())
def test_a_mirror_changes_nothing_but_the_hands(objects):
    ours, theirs = profile_of(objects, TIMES), profile_of(mirrored(objects), TIMES)
    numbers, others = ours.numbers(), theirs.numbers()
    share = numbers.pop("right_hand_share")
    assert others.pop("right_hand_share") == pytest.approx(1 - share)
    assert others == pytest.approx(numbers)
    assert (theirs.cells == ours.cells[::-1, :, ::-1]).all()
    assert (theirs.directions[:, [0, 1, 3, 2, 5, 4, 7, 6, 8]] == ours.directions[::-1]).all()


@settings(max_examples=50)
@given(charts(), st.sampled_from([60, 120, 174.3]), st.integers(1, 999).map(lambda n: n / 7))
def test_silence_in_front_changes_nothing(objects, bpm, beats):
    times = TimeMap.steady(bpm)
    later = replace(
        objects,
        notes=replace(objects.notes, beat=objects.notes.beat + beats),
        bombs=replace(objects.bombs, beat=objects.bombs.beat + beats),
    )
    numbers = profile_of(objects, times).numbers()
    assert profile_of(later, times).numbers() == pytest.approx(numbers)


@settings(max_examples=50)
@given(charts(), charts())
def test_a_mirror_changes_no_divergence(found, wanted):
    def between(*sides):
        ours, theirs = (profile_of(side, TIMES) for side in sides)
        return [
            hand_divergence(getattr(ours, name), getattr(theirs, name))
            for name in ("directions", "cells")
        ]

    for (left, right, both), seen in zip(
        between(found, wanted), between(mirrored(found), mirrored(wanted)), strict=True
    ):
        assert seen == pytest.approx((right, left, both))


def test_rates_are_those_of_the_stretch_from_the_first_note_to_the_last():
    numbers = profile_of(at(np.arange(10, 20.1, 0.5)), TIMES).numbers()
    assert numbers["notes"] == 21
    assert numbers["nps"] == numbers["swings_a_second"] == pytest.approx(2.1)
    assert numbers["peak_swings_a_second"] == 2


def test_tempo_changes_count():
    times = TimeMap.of_changes(120, [8], [240])
    objects = chart([(beat, 1, 0, BLUE, beat % 2) for beat in range(17)])
    assert profile_of(objects, times).seconds == pytest.approx(6)


def test_the_peak_is_that_of_the_busiest_four_seconds():
    calm, busy = np.arange(0, 40, 1.0), 20 + np.arange(0, 2, 0.125)
    numbers = profile_of(at(sorted({*calm, *busy})), TIMES).numbers()
    assert numbers["peak_swings_a_second"] == (16 + 2) / 4


def test_rounding_of_times_does_not_decide_what_is_within_a_peak():
    for first in np.arange(50) / 7:
        numbers = profile_of(at([first, first + 0.7 + 3.3]), TIMES).numbers()
        assert numbers["peak_swings_a_second"] == 1 / 4


def test_stacks_are_notes_but_no_swings():
    rows = [(4 + i, 2, layer, BLUE, i % 2) for i in range(4) for layer in (0, 1)]
    profile = profile_of(chart(rows), TIMES)
    assert (profile.notes, profile.swings, profile.onsets) == (8, 4, 4)


def test_a_chart_that_goes_in_circles_has_few_patterns():
    rows = [(i, 1 + i % 2, 0, i % 2, DOWN) for i in range(40)]
    profile = profile_of(chart(rows), TIMES)
    assert (profile.patterns, profile.kinds) == (37, 2)
    other = [(beat, *rest, ANY if beat == 20 else way) for beat, *rest, way in rows]
    assert profile_of(chart(other), TIMES).kinds == 2 + 4


def test_the_order_of_notes_of_a_moment_makes_no_pattern():
    both = [(0, 1, 0, RED, DOWN), (0, 2, 0, BLUE, DOWN)]
    rows = [(i, *rest) for i in range(12) for _, *rest in (both if i % 3 else reversed(both))]
    assert profile_of(chart(rows), TIMES).kinds == 1


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([(4, 1, 1, RED, DOWN), (4.5, 1, 0, RED, UP)], 1),
        ([(4, 1, 1, RED, DOWN), (4.5, 0, 2, RED, UP)], 1),  # the same half
        ([(4, 1, 1, RED, DOWN), (4.5, 2, 0, BLUE, UP)], 0),  # the other
        ([(4, 2, 1, RED, DOWN), (4.5, 3, 0, BLUE, UP)], 1),
        ([(4, 0, 1, RED, DOWN), (4.5, 0, 0, RED, UP)], 0),  # not in the middle
        ([(4, 1, 0, RED, DOWN), (4.5, 1, 0, RED, UP)], 0),
        ([(4, 1, 1, RED, DOWN), (5.5, 1, 0, RED, UP)], 0),  # long gone
        ([(4, 1, 1, RED, DOWN), (4.1, 1, 0, RED, DOWN)], 0),  # one swing
        ([(4, 1, 1, RED, 1), (4.1, 1, 0, RED, 1), (4.5, 0, 0, RED, 0)], 1),  # behind the swing
        ([(4, 1, 1, RED, 1), (4.5, 2, 0, BLUE, 1), (4.8, 0, 0, RED, 0)], 0),  # not the next
    ],
)
def test_a_note_in_the_middle_hides_the_next_behind_it(rows, count):
    assert profile_of(chart(rows), TIMES).vision_blocks == count


def test_notes_off_the_grid_are_in_no_histogram():
    rows = [(4, 1, 0, RED, 1), (5, -1, 0, RED, 1), (6, 1, 3, BLUE, 1), (7, 1, 0, BLUE, 1045)]
    profile = profile_of(chart(rows), TIMES)
    assert profile.hands.tolist() == [2, 2]
    assert profile.cells.sum(axis=(1, 2)).tolist() == [1, 1]
    assert profile.directions.sum(axis=1).tolist() == [2, 1]
    assert profile.cells[0, 0, 1] == 1 and profile.directions[0, DOWN] == 2


# --- histograms


COUNTS = st.lists(st.integers(0, 500), min_size=9, max_size=9)


@given(COUNTS, COUNTS)
def test_the_divergence_is_that_of_counts_with_half_a_note_more(found, wanted):
    ours = divergence(found, wanted)
    assert ours == pytest.approx(entropy(np.array(found) + 0.5, np.array(wanted) + 0.5), abs=1e-12)
    assert ours >= 0 and divergence(found, found) == 0


def test_many_notes_make_smoothing_small():
    shape = np.array([6, 3, 1])
    assert divergence(shape * 10_000, shape * 40_000) < 1e-8
    truth = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence([9e6, 1e6], [5e6, 5e6]) == pytest.approx(truth, rel=1e-5)


def test_hands_count_by_their_notes():
    found, wanted = np.array([[90, 10], [0, 0]]), np.array([[50, 50], [0, 0]])
    left, right, both = hand_divergence(found, wanted)
    assert left > 0 and right == 0 and both == left
    assert hand_divergence(wanted * 0, wanted * 0) == (0, 0, 0)


# --- several charts


@settings(max_examples=50)
@given(st.lists(charts(most=12), min_size=1, max_size=4))
def test_charts_together_hold_what_each_holds(several):
    profiles = [profile_of(objects, TIMES) for objects in several]
    whole = pooled_profile(profiles)
    for name in ("notes", "swings", "parity_errors", "resets", "vision_blocks", "patterns"):
        assert getattr(whole, name) == sum(getattr(p, name) for p in profiles)
    assert (whole.cells == sum(p.cells for p in profiles)).all()
    assert whole.peak_swings_a_second == max(p.peak_swings_a_second for p in profiles)
    assert pooled_profile(profiles[:1]).numbers() == profiles[0].numbers()


def test_one_note_and_none():
    one, none = profile_of(chart([(4, 1, 0, RED, UP)]), TIMES), profile_of(chart([]), TIMES)
    assert (one.nps, one.swings, one.onsets) == (0, 1, 1)
    assert one.numbers()["right_hand_share"] == 0
    assert none.numbers()["right_hand_share"] == 0.5
    assert none.numbers() | {"right_hand_share": 0} == dict.fromkeys(none.numbers(), 0)
