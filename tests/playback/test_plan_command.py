"""`workbench pico plan`, and the picture of a plan."""

import json

import numpy as np
import pytest

from workbench.cli import run
from workbench.music.writer import MidiTrack, write_midi
from workbench.playback.options import PlanOptions
from workbench.playback.pictures import plan_timeline
from workbench.playback.planner import plan_song
from workbench.playback.song import song_of

ASKED = (
    "notes_played notes_folded notes_dropped infeasible_moves onset_error_ms_max duties duration_ms"
)


@pytest.fixture
def song(tmp_path):
    """A scale over five octaves, in a file."""
    count = 60
    track = MidiTrack(
        tick=np.arange(count) * 240,
        duration=np.full(count, 200),
        pitch=36 + np.arange(count),
        velocity=np.full(count, 90),
        channel=1,
    )
    write_midi(tmp_path / "scale.mid", track)
    return tmp_path / "scale.mid"


def test_a_plan_is_told_as_json(capsys, song):
    assert run(["pico", "plan", str(song), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(ASKED.split()) <= set(told)
    assert told["notes_played"] + told["notes_dropped"] == told["notes"] == 60
    assert told["infeasible_moves"] == 0
    assert told["onset_error_ms_max"] <= 1
    assert told["duration_ms"] > 15_000


def test_flags_reach_the_planner(capsys, song, tmp_path):
    robot = tmp_path / "robot.yaml"
    robot.write_text("positions: 1")
    picture = tmp_path / "plan.png"
    flags = ["--fold", "none", "--search", "none", "--transpose", "12", "--robot", str(robot)]
    assert run(["pico", "plan", str(song), *flags, "--picture", str(picture), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shift"], told["notes_folded"], told["moves"]) == (12, 0, 0)
    assert told["notes_played"] == 13  # what stands under the fingers at position 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_people_are_told_in_a_sentence(capsys, song):
    assert run(["pico", "plan", str(song)]) == 0
    assert "of 60 notes are played" in capsys.readouterr().out


def test_what_is_no_song_is_told_in_one_line(capsys, tmp_path):
    path = tmp_path / "x.mid"
    path.write_bytes(b"no music")
    assert run(["pico", "plan", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "x.mid: magic" in told


def test_a_picture_tells_its_numbers_and_changes_with_them():
    notes = {"seconds": np.arange(20) / 2, "end_seconds": np.arange(20) / 2 + 0.4}
    plans = [
        plan_song(song_of(pitch=pitch + np.arange(20), name="tune", **notes))
        for pitch in (60, 60, 62)
    ]
    first, same, other = (repr(plan_timeline(plan)) for plan in plans)
    assert first == same != other
    assert first.startswith(f"tune: {plans[0].report.notes_played} of 20 notes")
    window = plan_timeline(plans[0], seconds=(2.0, 4.0))
    assert window.figure.axes[0].get_xlim() == (2.0, 4.0)


def test_a_long_song_is_drawn_by_its_beginning():
    count = 5000
    seconds = np.arange(count) / 4
    song = song_of(seconds=seconds, end_seconds=seconds + 0.2, pitch=60 + np.arange(count) % 12)
    picture = plan_timeline(plan_song(song, options=PlanOptions(search="none")))
    drawn = sum(len(lines.get_segments()) for lines in picture.figure.axes[0].collections)
    assert 3500 < drawn <= 4001
