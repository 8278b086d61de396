"""The tempo of songs whose tempo is known: made by the program, and charted by people."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import clicks, music

from workbench.beatmap.maps.charts import chart_places, read_charts
from workbench.beatmap.writer.audio import song_samples
from workbench.beatmap.writer.tempo import estimate_tempo
from workbench.demo.tunes import compose
from workbench.errors import BeatmapError
from workbench.music.sound_files import resampled

RATE = 22_050
LEVELS = (0.5, 2 / 3, 1.0, 1.5, 2.0)  # at which the same music may be counted


def tune(bpm, seed=0, seconds=24.0, metre=4, kind="steady"):
    """Return music that begins with the first beat of a bar, float32 (n,)."""
    generator = np.random.default_rng(seed)
    made = compose(bpm=bpm, kind=kind, metre=metre, seconds=seconds, generator=generator)
    return made.samples(RATE)


def level_of(found, bpm):
    """Return at which of the levels a tempo was found, and its error there, a share."""
    level = min(LEVELS, key=lambda each: abs(np.log(found / bpm / each)))
    return level, found / bpm / level - 1


def from_beat(seconds, bpm):
    """Return how far a moment is from the next beat of a grid that begins at 0, s."""
    beat = 60 / bpm
    return (seconds + beat / 2) % beat - beat / 2


# --- what is known


@settings(max_examples=12)
@given(
    bpm=st.sampled_from([174.3, 92.49]) | st.floats(85, 175),
    seed=st.integers(0, 1000),
    silence=st.floats(0, 5),
    loudness=st.sampled_from([0.02, 1.0]),
)
def test_a_made_song_has_its_tempo_its_beats_and_its_bars(bpm, seed, silence, loudness):
    samples = loudness * np.pad(tune(bpm, seed), (round(silence * RATE), 0))
    tempo = estimate_tempo(samples, RATE)
    level, error = level_of(tempo.bpm, bpm)
    assert level in (0.5, 1.0, 2.0)
    assert abs(error) * len(samples) / RATE < 0.010  # s of drift at the end
    known = estimate_tempo(samples, RATE, bpm=bpm)
    assert abs(from_beat(known.first_beat - silence, bpm)) < 0.010
    assert abs(from_beat(known.first_beat - silence, bpm / 4)) < 0.010  # the bar's
    assert tempo.confidence > 0.3


def test_made_songs_are_mostly_counted_as_they_were_written():
    drawn = np.random.default_rng(3).uniform(90, 175, 5)
    levels = [
        level_of(estimate_tempo(tune(bpm, seed, seconds=16), RATE).bpm, bpm)[0]
        for seed, bpm in enumerate([174.3, 92.49, *drawn])
    ]
    assert levels.count(1.0) >= 6


@pytest.mark.parametrize("bpm", [92.49, 174.3])
def test_a_waltz_has_its_tempo_and_beats(bpm):
    samples = tune(bpm, metre=3)
    tempo = estimate_tempo(samples, RATE)
    level, error = level_of(tempo.bpm, bpm)
    assert level == 1.0 and abs(error) * len(samples) / RATE < 0.010
    assert abs(from_beat(tempo.first_beat, bpm)) < 0.010


@settings(max_examples=8)
@given(bpm=st.floats(85, 175), first=st.floats(0, 3), seconds=st.floats(8, 30))
def test_clicks_are_found_where_they_are(bpm, first, seconds):
    samples = clicks(np.arange(first, seconds - 0.05, 60 / bpm), seconds)
    tempo = estimate_tempo(samples, RATE)
    assert abs(tempo.bpm / bpm - 1) * seconds < 0.006
    assert abs(from_beat(tempo.first_beat - first, bpm)) < 0.015
    assert -0.1 < tempo.first_beat < first + 4 * 60 / bpm


@pytest.mark.parametrize("bpm", [133.33, 149.21])
def test_a_tempo_is_told_to_a_millisecond_at_the_end(bpm):
    tempo = estimate_tempo(clicks(np.arange(0.2, 29.9, 60 / bpm), 30.0), RATE)
    assert abs(tempo.bpm / bpm - 1) * 30 < 0.001


@pytest.mark.soak
@pytest.mark.charts
def test_charted_songs_have_the_tempo_and_the_beats_of_their_charts(charts):
    right, steady, on_beat = 0, 0, 0
    for place in chart_places(charts):
        with place.open() as files:
            chart = read_charts(files)
            samples = song_samples([files.read("song.ogg")], RATE)
        bpm = float(chart.time_map.bpm[0])
        tempo = estimate_tempo(samples, RATE)
        level, error = level_of(tempo.bpm, bpm)
        right += level == 1.0 and abs(error) < 2e-4
        steady += abs(error) * len(samples) / RATE < 0.010
        # of three the chart itself is 20 to 40 ms before the sound
        on_beat += abs(from_beat(tempo.first_beat, bpm)) < 0.045
    assert right >= 5
    assert steady >= 5  # one was not played to a click
    assert on_beat == 6


def test_a_bar_begins_where_harmony_changes_and_not_where_the_kick_is():
    seconds = np.arange(16 * RATE) / RATE
    chord = np.array([110.0, 146.8, 164.8, 98.0])[(seconds / 2).astype(int) % 4]
    since_kick = (seconds - 1.0) % 2.0  # on the third beat of every bar
    samples = clicks(np.arange(0, 15.9, 0.5), 16.0) + 0.1 * np.sin(2 * np.pi * chord * seconds)
    samples += np.exp(-20 * since_kick) * np.sin(2 * np.pi * 60 * since_kick)
    for late in (0.0, 0.5, 1.0, 1.5):
        heard = samples[round(late * RATE) :].astype(np.float32)
        first_beat = estimate_tempo(heard, RATE, bpm=120.0).first_beat
        assert abs(from_beat(first_beat + late, 120.0 / 4)) < 0.015


def test_what_sounds_only_at_the_end_of_a_long_silence_is_heard():
    samples = np.pad(clicks(np.arange(0, 3, 0.5), 3.2), (round(12.7 * RATE), 0))
    tempo = estimate_tempo(samples, RATE)
    assert tempo.bpm == 120.0
    assert abs(from_beat(tempo.first_beat - 12.7, 120.0)) < 0.015


# --- laws


@settings(max_examples=6)
@given(silence=st.floats(0.5, 10))
def test_silence_in_front_moves_the_first_beat_by_as_much(silence):
    samples = tune(131.0, seed=5)
    silent = round(silence * RATE)
    tempo = estimate_tempo(samples, RATE)
    later = estimate_tempo(np.pad(samples, (silent, 0)), RATE)
    assert later.bpm == pytest.approx(tempo.bpm, rel=1e-4)
    assert later.first_beat - silent / RATE == pytest.approx(tempo.first_beat, abs=0.005)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 96_000])
def test_another_rate_is_the_same_tempo(rate):
    samples = tune(128.0, seed=2, seconds=16)
    here, there = (estimate_tempo(resampled(samples, RATE, each), each) for each in (RATE, rate))
    assert there.bpm == pytest.approx(here.bpm, rel=1e-4)
    assert there.first_beat == pytest.approx(here.first_beat, abs=0.005)


@settings(max_examples=10)
@given(bpm=st.floats(10, 1000), first_beat=st.floats(-2, 30))
def test_what_is_given_is_used_as_it_is(bpm, first_beat):
    samples = music(4.0)
    both = estimate_tempo(samples, RATE, bpm=bpm, first_beat=first_beat)
    assert (both.bpm, both.first_beat) == (bpm, first_beat)
    assert estimate_tempo(samples, RATE, bpm=bpm).bpm == bpm
    assert estimate_tempo(samples, RATE, first_beat=first_beat).first_beat == first_beat
    assert 0 <= both.confidence <= 1


@settings(max_examples=10)
@given(least=st.floats(20, 300), octaves=st.floats(0.01, 3), seconds=st.floats(2, 9))
def test_a_tempo_is_within_what_is_looked_for(least, octaves, seconds):
    most = least * 2**octaves
    tempo = estimate_tempo(music(seconds), RATE, least=least, most=min(most, 1000))
    assert least <= tempo.bpm <= most


def test_equal_sound_has_equal_tempo():
    samples = tune(140.0, seconds=12)
    assert estimate_tempo(samples, RATE) == estimate_tempo(samples.copy(), RATE)


def test_a_steady_song_is_more_confident_than_a_changing_one_and_than_noise():
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * RATE).astype(np.float32)
    steady, stepping, none = (
        estimate_tempo(samples, RATE).confidence
        for samples in (tune(110.0), tune(110.0, kind="stepping"), noise)
    )
    assert steady > 0.3 > none
    assert steady > stepping


# --- what has no tempo


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        (np.zeros(5 * RATE, np.float32), 0),
        (clicks([1.0], 5.0), 1),
        (clicks([1.0, 2.0, 3.0], 5.0), 3),
        (np.ones(1, np.float32), 0),
    ],
)
def test_too_few_onsets_are_no_tempo(samples, count):
    with pytest.raises(BeatmapError, match=f"^{count} onsets in .* wants 4 at least") as error:
        estimate_tempo(samples, RATE)
    assert error.value.kind == "no_onset"


def test_a_given_tempo_wants_but_one_onset():
    assert estimate_tempo(clicks([1.0], 5.0), RATE, bpm=120.0).first_beat == pytest.approx(
        1.0, abs=0.015
    )
    with pytest.raises(BeatmapError, match="0 onsets"):
        estimate_tempo(np.zeros(RATE, np.float32), RATE, bpm=120.0)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"bpm": 0.0}, "bpm 0.0: want 10 to 1000"),
        ({"bpm": float("nan")}, "bpm nan"),
        ({"bpm": 1e9}, "bpm 1000000000.0"),
        ({"first_beat": float("inf")}, "first_beat inf: want seconds"),
        ({"least": 200.0, "most": 100.0}, "least 200.0 and most 100.0"),
        ({"least": 1.0}, "least 1.0"),
    ],
)
def test_what_cannot_be_a_tempo_is_refused(given_, message):
    with pytest.raises(BeatmapError, match=message) as error:
        estimate_tempo(music(3.0), RATE, **given_)
    assert error.value.kind == "bad_tempo"
