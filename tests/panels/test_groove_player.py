"""What the groove player gives to its page, and what it leaves where no page runs it."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from workbench.groove.drums import CLASSES
from workbench.groove.sample import PPQ, Sample
from workbench.music.writer import MidiTrack
from workbench.panels.groove_player import GroovePlayer

PITCHES = {"kick": 36, "snare": 38, "closed_hat": 42, "ride": 51}
HITS = st.dictionaries(
    st.tuples(st.integers(0, 31), st.sampled_from(sorted(PITCHES))), st.integers(1, 127), min_size=1
)


def sample_of(hits, *, bars=2, bpm=120.0):
    """Return two bars of 4/4 in steps of a 16th, with a velocity by step and class."""
    steps, names = zip(*sorted(hits), strict=True)
    at = np.array(steps)
    track = MidiTrack(
        tick=at * PPQ // 4,
        duration=np.full(len(at), 60),
        pitch=np.array([PITCHES[name] for name in names]),
        velocity=np.array([hits[key] for key in sorted(hits)]),
        ppq=PPQ,
    )
    return Sample(
        track=track,
        bar=at // 16,
        step=at % 16,
        masks=np.zeros(16 * bars, np.int64),
        bar_steps=16,
        resolution=4,
        bpm=bpm,
        near_copies=0,
        copies=0,
    )


def velocities(player):
    """Return what a page draws: a row a name, a column a step."""
    rows = player.grid["rows"]
    return dict(
        zip(rows, np.frombuffer(player.velocities, np.uint8).reshape(len(rows), -1), strict=True)
    )


@given(HITS)
def test_every_hit_stands_at_its_step_with_its_velocity_and_nothing_else_does(hits):
    player = GroovePlayer(sample_of(hits))
    found = {
        (step, name.replace(" ", "_")): int(row[step])
        for name, row in velocities(player).items()
        for step in np.flatnonzero(row)
    }
    assert found == hits


def test_only_drums_that_sound_have_a_row_high_ones_above():
    player = GroovePlayer(sample_of({(0, "kick"): 90, (4, "ride"): 80, (8, "snare"): 70}))
    rows = player.grid["rows"]
    assert rows == ["ride", "snare", "kick"]
    assert [name for name in CLASSES if name in rows] == rows[::-1]


@pytest.mark.parametrize("bpm", [60.0, 120.0])
def test_the_sound_is_as_long_as_the_bars(bpm):
    player = GroovePlayer(sample_of({(0, "kick"): 90}, bpm=bpm))
    with soundfile.SoundFile(io.BytesIO(player.audio)) as file:
        assert file.frames / file.samplerate == pytest.approx(8 * 60 / bpm, abs=0.01)
    assert player.grid["seconds"] == pytest.approx(8 * 60 / bpm)
    assert player.grid["step_seconds"] == pytest.approx(15 / bpm)


def test_of_a_very_long_groove_a_page_gets_ten_minutes():
    player = GroovePlayer(sample_of({(0, "kick"): 90}, bars=1000))
    assert (player.grid["title"], player.grid["bars"]) == ("1000 bars, 120 bpm", 300)
    assert player.grid["seconds"] == pytest.approx(600)


def test_what_stays_in_a_saved_notebook_is_the_beginning_and_the_words():
    player = GroovePlayer(sample_of({(0, "kick"): 90, (4, "snare"): 80}), kept_seconds=0.5)
    assert repr(player) == player.still() == "2 bars, 120 bpm, 2 notes"
    with soundfile.SoundFile(io.BytesIO(player.kept().data)) as file:
        assert file.frames / file.samplerate == pytest.approx(0.5, abs=0.01)
    assert repr(player.picture()).startswith("2 of 2 bars, 120 bpm")
