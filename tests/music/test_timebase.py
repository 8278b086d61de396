"""Laws of ticks, bars and seconds."""

import io
from fractions import Fraction
from itertools import pairwise

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import MusicError
from workbench.music.timebase import MetreMap, TempoMap

PPQS = st.sampled_from([1, 24, 25, 96, 192, 480, 1024, 10080])
TICKS = st.lists(st.integers(0, 200_000), min_size=1, max_size=40)
TEMPO_EVENTS = st.lists(
    st.tuples(st.integers(0, 100_000), st.integers(1_000, 2**24 - 1)), max_size=8
)
METRE_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 20_000), st.integers(1, 33), st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128])
    ),
    max_size=6,
)


def tempo_map(ppq, events):
    return TempoMap.from_events(ppq, [e[0] for e in events], [e[1] for e in events])


def metre_map(ppq, events):
    return MetreMap.from_events(ppq, *([e[k] for e in events] for k in range(3)))


def tempo_track(events):
    """Return the events as mido's messages, in the order of their ticks."""
    track, at = mido.MidiTrack(), 0
    for tick, value in sorted(events, key=lambda event: event[0]):
        track.append(mido.MetaMessage("set_tempo", tempo=value, time=tick - at))
        at = tick
    return track


@given(PPQS, TEMPO_EVENTS, TICKS)
def test_seconds_agree_with_mido(ppq, events, ticks):
    track, seconds, at = tempo_track(events), [], 0
    for tick in ticks:
        at, tempo, passed = 0, 500_000, 0.0
        for message in track:
            step = min(message.time, tick - at)
            passed += mido.tick2second(step, ppq, tempo)
            at += step
            if step < message.time:
                break
            tempo = message.tempo
        seconds.append(passed + mido.tick2second(tick - at, ppq, tempo))
    np.testing.assert_allclose(tempo_map(ppq, events).seconds_at(ticks), seconds, rtol=1e-12)


@given(TEMPO_EVENTS, TICKS)
def test_seconds_agree_with_pretty_midi(events, ticks):
    file = mido.MidiFile(ticks_per_beat=480, tracks=[tempo_track(events)])
    file.tracks[0].append(mido.Message("note_on", note=36, velocity=1))
    file.tracks[0].append(mido.Message("note_off", note=36, time=200_000))
    data = io.BytesIO()
    file.save(file=data)
    theirs = pretty_midi.PrettyMIDI(io.BytesIO(data.getvalue()))
    expected = [theirs.tick_to_time(tick) for tick in ticks]
    np.testing.assert_allclose(tempo_map(480, events).seconds_at(ticks), expected, rtol=1e-9)


@given(PPQS, TEMPO_EVENTS, TICKS)
def test_a_tick_comes_back_from_its_seconds(ppq, events, ticks):
    tempos = tempo_map(ppq, events)
    assert tempos.ticks_at(tempos.seconds_at(ticks)).tolist() == ticks


@given(PPQS, TEMPO_EVENTS, TICKS)
def test_the_last_event_up_to_a_tick_gives_its_tempo(ppq, events, ticks):
    expected = []
    for tick in ticks:
        before = [event for event in events if event[0] <= tick]
        latest = max((event[0] for event in before), default=None)
        expected.append(([500_000] + [e[1] for e in before if e[0] == latest])[-1])
    assert tempo_map(ppq, events).tempo_at(ticks).tolist() == expected


@given(PPQS, METRE_EVENTS, st.lists(st.integers(0, 30_000), min_size=1, max_size=20))
def test_bars_are_those_counted_one_by_one(ppq, events, ticks):
    metres = metre_map(ppq, events)
    starts = bar_starts(metres, max(ticks))
    expected = [max(k for k, start in enumerate(starts) if start <= tick) for tick in ticks]
    bar, tick_in_bar, segment = metres.bars_at(ticks)
    assert bar.tolist() == expected
    assert tick_in_bar.tolist() == [t - starts[k] for t, k in zip(ticks, expected, strict=True)]
    assert (tick_in_bar < metres.bar_ticks[segment]).all()
    assert (metres.tick[segment] <= ticks).all()


def bar_starts(metres, last):
    """Return the first tick of each bar up to a tick, by walking from bar to bar."""
    starts = []
    bounds = [*metres.tick.tolist(), last + 1]
    for index, (begin, end) in enumerate(pairwise(bounds)):
        beats = Fraction(int(metres.numerator[index]), int(metres.denominator[index]))
        place = Fraction(begin)
        while place < end:
            starts.append(-(-place.numerator // place.denominator))
            place += 4 * metres.ppq * beats
    return starts


@given(PPQS, METRE_EVENTS, st.randoms())
def test_the_order_in_which_events_are_given_does_not_matter(ppq, events, rng):
    events = list({event[0]: event for event in events}.values())
    shuffled = rng.sample(events, len(events))
    one, other = metre_map(ppq, events), metre_map(ppq, shuffled)
    for name in ("tick", "numerator", "denominator"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


@given(st.integers(1, 32767), TICKS)
def test_without_events_bars_are_of_four_quarters_at_120_bpm(ppq, ticks):
    bar, tick_in_bar, segment = metre_map(ppq, []).bars_at(ticks)
    assert (bar * 4 * ppq + tick_in_bar).tolist() == ticks
    assert (tick_in_bar < 4 * ppq).all()
    assert not segment.any()
    np.testing.assert_allclose(tempo_map(ppq, []).seconds_at(ticks), np.array(ticks) / ppq / 2)


def test_a_change_of_metre_in_mid_bar_begins_a_bar_and_the_cut_bar_counts():
    metres = MetreMap.from_events(480, [0, 2400], [4, 3], [4, 4])
    bar, tick_in_bar, segment = metres.bars_at([1919, 1920, 2399, 2400, 3839, 3840])
    assert bar.tolist() == [0, 1, 1, 2, 2, 3]
    assert tick_in_bar.tolist() == [1919, 0, 479, 0, 1439, 0]
    assert segment.tolist() == [0, 0, 0, 1, 1, 1]
    assert metres.bar_ticks.tolist() == [1920, 1440]


def test_a_metre_that_repeats_the_one_in_force_begins_no_bar():
    metres = MetreMap.from_events(480, [0, 100, 1000, 5000], [4, 4, 4, 3], [4, 4, 4, 4])
    assert metres.tick.tolist() == [0, 5000]


def test_bars_of_no_whole_number_of_ticks_do_not_drift():
    metres = MetreMap.from_events(25, [0], [3], [8])
    bar, tick_in_bar, _ = metres.bars_at([0, 37, 38, 74, 75, 3750])
    assert bar.tolist() == [0, 0, 1, 1, 2, 100]
    assert tick_in_bar.tolist() == [0, 37, 0, 36, 0, 0]
    assert metres.bar_ticks.tolist() == [38]


def test_any_shape_comes_back_in_its_shape():
    tempos = TempoMap.from_events(480, [0, 960], [500_000, 400_000])
    metres = MetreMap.from_events(480, [0, 1920], [4, 3], [4, 4])
    for ticks in (7, [[1, 2, 3], [2000, 5, 6]], np.zeros((0,), np.int64)):
        shape = np.shape(ticks)
        assert tempos.seconds_at(ticks).shape == tempos.tempo_at(ticks).shape == shape
        assert tempos.ticks_at(tempos.seconds_at(ticks)).shape == shape
        assert [column.shape for column in metres.bars_at(ticks)] == [shape] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: TempoMap.from_events(0, [], []),
        lambda: TempoMap.from_events(480, [0], [0]),
        lambda: TempoMap.from_events(480, [-1], [500_000]),
        lambda: TempoMap(ppq=480, tick=np.array([5]), tempo=np.array([500_000])),
        lambda: TempoMap(ppq=480, tick=np.array([0]), tempo=np.array([500_000, 1])),
        lambda: MetreMap.from_events(480, [0], [0], [4]),
        lambda: MetreMap.from_events(480, [0, 9], [4, 3], [4, 0]),
    ],
)
def test_a_map_that_means_nothing_is_refused(make):
    with pytest.raises(MusicError):
        make()
