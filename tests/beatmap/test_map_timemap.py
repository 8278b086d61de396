"""Time maps: beats and seconds both ways, by changes and by regions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

tempi = st.floats(20, 400).map(lambda bpm: round(bpm, 3))
beats = st.floats(-8, 600).map(lambda beat: round(beat, 3))
changes = st.lists(st.tuples(beats, tempi), max_size=8, unique_by=lambda one: one[0])
moments = st.lists(st.floats(-20, 700), min_size=1, max_size=20)


def of(bpm, pairs):
    return TimeMap.of_changes(bpm, [beat for beat, _ in pairs], [own for _, own in pairs])


def walked(bpm, pairs, beat):
    """When a beat sounds, by walking from change to change, as the game does."""
    seconds, at, tempo = 0.0, 0.0, bpm
    if not pairs or beat <= min(pairs)[0]:
        return beat * 60 / bpm
    for change, own in sorted(pairs):
        if change >= beat:
            break
        seconds += (change - at) * 60 / tempo
        at, tempo = change, own
    return seconds + (beat - at) * 60 / tempo


@settings(max_examples=40)
@given(tempi, changes, moments)
def test_beats_sound_when_walking_from_change_to_change_says(bpm, pairs, at):
    found = of(bpm, pairs).seconds_at(at)
    assert found == pytest.approx([walked(bpm, pairs, beat) for beat in at], abs=1e-6)


@settings(max_examples=40)
@given(tempi, changes, moments)
def test_beats_come_back_from_their_seconds(bpm, pairs, at):
    times = of(bpm, pairs)
    assert times.beats_at(times.seconds_at(at)) == pytest.approx(at, abs=1e-6)


@settings(max_examples=40)
@given(tempi, changes, moments)
def test_later_beats_sound_later(bpm, pairs, at):
    rising = np.unique(np.round(at, 6))
    assert (np.diff(of(bpm, pairs).seconds_at(rising)) > 0).all()


@settings(max_examples=30)
@given(tempi, changes)
def test_changes_may_come_in_any_order_and_repeat(bpm, pairs):
    times = of(bpm, pairs)
    assert of(bpm, pairs[::-1]) == times
    assert of(bpm, [*pairs, *pairs]) == times
    assert of(bpm, pairs).fingerprint() == times.fingerprint()


@settings(max_examples=30)
@given(tempi, changes)
def test_a_map_of_times_survives_json(bpm, pairs):
    times = of(bpm, pairs)
    assert TimeMap.from_json(times.as_json()) == times


@settings(max_examples=40)
@given(tempi, st.lists(st.tuples(st.integers(1, 10**6), tempi), min_size=1, max_size=6))
def test_regions_that_meet_are_the_changes_they_stand_for(_, pieces):
    """Regions of whole samples against the chain of their tempi."""
    samples = np.concatenate(([0], np.cumsum([count for count, _ in pieces])))
    spans = [count / 44100 * bpm / 60 for count, bpm in pieces]
    edges = np.concatenate(([0.0], np.cumsum(spans)))
    times = TimeMap.of_regions(samples[:-1], samples[1:], edges[:-1], edges[1:], 44100)
    assert times.seconds_at(edges) == pytest.approx(samples / 44100, abs=1e-9)
    assert times.bpm == pytest.approx([bpm for _, bpm in pieces])


def test_one_tempo_is_a_line_through_the_origin():
    times = TimeMap.steady(92.49)
    assert times.seconds_at([-1.0, 0.0, 92.49]) == pytest.approx([-60 / 92.49, 0.0, 60.0])
    assert times.beats_at(60.0).shape == ()


def test_a_gap_between_regions_is_filled_evenly():
    times = TimeMap.of_regions([0, 88200], [44100, 132300], [0, 6], [2, 8], 44100)
    assert times.seconds_at([0, 2, 4, 6, 8]).tolist() == [0, 1, 1.5, 2, 3]
    assert times.bpm.tolist() == [120, 240, 120]


@pytest.mark.parametrize(
    "make",
    [
        lambda: TimeMap.steady(0),
        lambda: TimeMap.steady(float("nan")),
        lambda: TimeMap.of_changes(120, [1], [-5]),
        lambda: TimeMap.of_changes(120, [float("inf")], [5]),
        lambda: TimeMap.of_regions([], [], [], [], 44100),
        lambda: TimeMap.of_regions([0], [0], [0], [1], 44100),
        lambda: TimeMap.of_regions([0], [10], [1], [1], 44100),
        lambda: TimeMap.of_regions([0], [10], [0], [1], 0),
        lambda: TimeMap.of_regions([0, 44100], [88200, 132300], [0, 2], [4, 6], 44100),
        lambda: TimeMap.of_regions([0, 44100], [44100, 88200], [0, 3], [2, 5], 44100),
        lambda: TimeMap.from_json({"beat": [0], "seconds": [0]}),
        lambda: TimeMap.from_json({"beat": [0], "seconds": [0], "bpm": ["x"]}),
        lambda: TimeMap(beat=np.zeros(2), seconds=np.zeros(2), bpm=np.ones(2)),
        lambda: TimeMap(beat=np.zeros(0), seconds=np.zeros(0), bpm=np.zeros(0)),
        lambda: TimeMap(beat=np.zeros(1), seconds=np.zeros(2), bpm=np.ones(1)),
    ],
)
def test_what_is_no_tempo_is_refused(make):
    with pytest.raises(BeatmapError) as refused:
        make()
    assert refused.value.kind == "bad_tempo"


def test_maps_differ_when_a_number_does():
    assert TimeMap.steady(120) != TimeMap.steady(120.001)
    assert len({TimeMap.steady(120), TimeMap.steady(120), TimeMap.steady(121)}) == 2
    assert TimeMap.steady(120).__eq__(120) is NotImplemented


@settings(max_examples=60)
@given(
    tempi,
    st.lists(st.tuples(st.floats(-1e5, 1e5), tempi), min_size=1, max_size=6),
    st.lists(st.floats(0, 1e-8), min_size=1, max_size=6),
)
def test_of_changes_too_near_to_sound_apart_the_later_holds(bpm, pairs, steps):
    pairs = [(beat + step, tempo) for beat, tempo in pairs for step in np.cumsum(steps)]
    times = of(bpm, pairs)
    assert times.bpm[-1] == max(pairs, key=lambda pair: pair[0])[1] or len(pairs) > len(times.bpm)
    at = np.sort([beat for beat, _ in pairs])
    assert (np.diff(times.seconds_at(at)) >= 0).all()


@pytest.mark.parametrize("apart", [0.0, 1e-300, 1e-11, 1e-9])
def test_two_changes_at_nearly_one_beat_are_the_later_one(apart):
    times = TimeMap.of_changes(120, [0.0, apart], [100, 50])
    assert times.bpm.tolist()[-1] == 50
    assert times.seconds_at([2.0])[0] == pytest.approx(2.4, abs=1e-6)
