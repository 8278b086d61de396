"""The robot's player, its buttons clicked without a browser, on boards behind sockets."""

import dataclasses
import json
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.device import wire
from workbench.device.listening import listening
from workbench.device.options import SimulatorOptions
from workbench.errors import DeviceError, PlaybackError
from workbench.panels import playback as panel
from workbench.panels.robot_view import song_told, view_told
from workbench.playback.demo_song import write_demo_song
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.performance import Performance
from workbench.playback.planner import plan_song
from workbench.playback.session import PRESETS
from workbench.playback.song import song_of

SONG = song_of(
    seconds=np.arange(200) * 0.05,
    end_seconds=np.arange(200) * 0.05 + 0.04,
    pitch=60 + np.arange(200) % 3 * 2,
    name="steps",
)


@pytest.fixture
def server():
    with listening(SimulatorOptions(homing_ms=20, boot_ms=10)) as server:
        yield server


@pytest.fixture
def player(server):
    player = panel.Player({"steps": SONG}, port=server.url)
    yield player
    player.close()


@pytest.fixture
def connected(player):
    player.choose("steps").result(20)
    player.connect().result(10)
    return player


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def shown(player):
    return player.view.view.get("state")


# --- what the browser is told


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(1, 900), st.integers(20, 110)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["none", "range", "reach"]),
)
def test_the_browser_is_told_every_note_once_and_as_it_is_played(notes, fold):
    onset, length, pitch = (np.array(column) for column in zip(*notes, strict=True))
    song = song_of(seconds=onset / 1000, end_seconds=(onset + length) / 1000, pitch=pitch)
    try:
        plan = plan_song(song, RobotOptions(), PlanOptions(fold=fold))
    except PlaybackError:
        return
    told = json.loads(json.dumps(song_told(plan)))
    kinds = [kind for *_, kind in told["notes"]]
    report = plan.report
    assert len(kinds) == len(notes)
    assert kinds.count(2) == report.notes_dropped
    assert kinds.count(1) == report.notes_folded
    assert [begin - report.lead_ms for begin, *_ in told["notes"]] == song.onset_ms.tolist()
    assert all(told["low"] <= each[2] <= told["high"] for each in told["notes"])
    at = np.array([ms for ms, _ in told["cart"]])
    where = np.searchsorted(at, plan.duties.start_ms, side="right") - 1
    assert [told["cart"][n][1] for n in where] == plan.duties.cart.tolist()


def test_of_a_long_song_the_browser_is_told_no_more_than_it_can_draw():
    times = np.arange(24_000) * 0.1
    plan = plan_song(song_of(seconds=times, end_seconds=times + 0.09, pitch=60))
    told = song_told(plan)
    assert 10_000 < len(told["notes"]) <= 20_000
    assert told["notes"][-1][0] > 0.99 * plan.duties.end_ms


def test_every_pitch_has_its_key():
    told = song_told(plan_song(SONG))
    names = told["names"]
    assert len(names) == told["keys"]
    assert (names[0], names[-1]) == ("F3", "C6")
    assert len([name for name in names if name]) == 84 - 53 + 1
    assert all("#" not in name for name in names[::2])
    assert all("#" in name or name == "" for name in names[1::2])


def test_a_look_is_told_in_jsons_kinds_before_any_answer_came(server):
    from workbench.device.link import SerialLink

    link = SerialLink(server.url)
    json.dumps(view_told(Performance(link).view()), allow_nan=False)
    link.close()


# --- its buttons


def test_a_song_is_played_paused_sought_and_stopped_by_clicks(connected, server):
    player = connected
    assert player._connect_button.description == "Disconnect"
    begun = time.monotonic()
    player._play.click()
    assert time.monotonic() - begun < 0.3
    until(lambda: shown(player) == "playing" and player._play.disabled)
    until(lambda: server.board.executed > 5)
    player._pause.click()
    until(lambda: shown(player) == "paused")
    held = server.board.executed
    player.view._handle_custom_msg({"kind": "seek", "ms": 6000}, [])
    player._play.click()
    until(lambda: server.board.executed > held + 5 and shown(player) == "playing")
    bases = [each.base for each in player.session.log.passes]
    assert bases[0] == 0
    assert player.plan.duties.start_ms[bases[-1]] <= 6000
    assert player.plan.duties.start_ms[bases[-1] + 1] > 6000
    player._stop.click()
    until(lambda: shown(player) == "stopped" and player._stop.disabled)
    assert not player._home.disabled


def test_an_emergency_stop_is_an_alarm_until_home_is_clicked(connected, server):
    player = connected
    player._play.click()
    until(lambda: server.board.executed > 2)
    player._emergency.click()
    until(lambda: server.board.told().state == wire.ALARMED, 1.0)
    assert server.board.pose().fingers == 0
    until(lambda: shown(player) == "alarm" and player._play.disabled)
    assert "alarm" in player._state.value
    player._home.click()
    until(lambda: shown(player) == "idle" and not player._play.disabled)
    player._play.click()
    until(lambda: shown(player) == "playing")


def test_keys_and_cart_are_moved_by_hand(connected, server):
    player = connected
    player._home.click()
    until(lambda: server.board.told().state == wire.READY)
    until(lambda: shown(player) == "idle" and player.view.view["cart"] == 0)
    player._right.click()
    until(lambda: server.board.pose().cart == 1.0)
    player.view._handle_custom_msg({"kind": "press", "finger": 2, "side": 1}, [])
    until(lambda: server.board.pose().fingers == 1 << 4)
    player.view._handle_custom_msg({"kind": "press", "finger": 2, "side": 0}, [])
    until(lambda: server.board.pose().fingers == 0)


def test_loudness_and_presets_reach_the_board(connected, server):
    until(lambda: server.board.told().gain == 100)
    connected._gain.value = 120
    until(lambda: server.board.told().gain == 120)
    for name, percent in PRESETS.items():
        connected._preset.value = name
        until(lambda percent=percent: server.board.told().gain == 2 * percent)


def test_another_tempo_is_another_plan_and_back_is_the_same(player):
    plan = player.choose("steps").result(20)
    player._tempo.value = 50
    until(lambda: player.plan is not plan)
    slow = player.plan
    assert slow.song.onset_ms.tolist() == (2 * plan.song.onset_ms).tolist()
    player._tempo.value = 100
    until(lambda: player.plan is not slow)
    assert player.plan.duties == plan.duties
    assert player._song.value == "steps"


def test_a_midi_file_is_uploaded(player, tmp_path):
    content = write_demo_song(tmp_path / "demo.mid", seconds=8).read_bytes()
    file = {"name": "mine.mid", "content": memoryview(content), "type": "audio/midi"}
    now = datetime.now(UTC)
    player._upload.value = ({**file, "size": len(content), "last_modified": now},)
    until(lambda: player.plan is not None)
    assert player.plan.song.name == "mine.mid"
    assert player.view.song["name"] == "mine.mid"
    assert player._song.value is None


def test_what_cannot_be_is_told_in_the_log(player):
    with pytest.raises(PlaybackError):
        player.upload("mine.mid", b"no MIDI").result(20)
    assert "mine.mid" in player.said[-1]
    player._play.click()
    assert player.said[-1] == "no board is connected"
    with pytest.raises(DeviceError):
        player.connect("/dev/ttyNOT_THERE").result(10)
    assert "is the board plugged in" in player.said[-1]
    assert player.session is None
    player._emergency.click()
    assert "no board" in player.said[-1]
    player.upload("<b>bold</b>.mid", b"no MIDI").exception(20)
    assert "<b>bold" not in player._log.value


def test_another_board_takes_the_place_of_the_first_which_is_stopped(connected, server):
    connected._play.click()
    until(lambda: server.board.executed > 2)
    with listening(SimulatorOptions(homing_ms=20)) as other:
        connected.connect(other.url).result(10)
        until(lambda: server.board.told().state != wire.PLAYING)
        connected._play.click()
        until(lambda: other.board.executed > 2)
        connected.disconnect().result(10)
        assert other.board.told().state != wire.PLAYING
    assert connected.session is None
    assert connected._play.disabled


def test_a_cell_that_is_run_again_takes_its_port_from_the_player_before(connected, server):
    again = panel.Player({"steps": SONG}, port=server.url)
    again.connect().result(10)
    assert connected.session is None
    assert "let go" in connected.said
    again.choose("steps").result(20)
    again._play.click()
    until(lambda: server.board.executed > 2)
    again.close()


# --- without a click


def test_a_whole_song_is_performed_on_the_simulator_as_fast_as_it_goes(tmp_path):
    player = panel.Player({"steps": SONG})
    with pytest.raises(PlaybackError, match="choose one"):
        player.perform()
    player.choose("steps").result(20)
    report = player.perform(tmp_path / "played.parquet")
    assert (report.executed, report.lost, report.doubled) == (report.duties, 0, 0)
    assert pq.read_metadata(tmp_path / "played.parquet").num_rows == report.duties
    assert player.looks[-1].view.state == "playing"
    assert f"{report.duties} of {report.duties} duties" in player.still()
    picture = player.picture()
    assert len(picture._repr_png_()) > 5000
    again = panel.Player({"steps": SONG})
    assert again.still() == "nothing was played"
    assert again.picture().digest != picture.digest
    for each in (player, again):
        each.close()


def test_on_another_port_it_is_performed_with_all_buttons_alive(player, server, tmp_path):
    player.take(plan_song(SONG.only(SONG.seconds < 1)))
    report = player.perform(tmp_path / "played.parquet")
    assert report.executed == report.duties == len(server.board.executions)
    assert player.session is not None
    until(lambda: shown(player) == "idle")


def test_tables_say_what_a_plan_plays_and_what_a_board_did():
    plan = plan_song(SONG)
    told = dict(panel.plan_table(plan).rows)
    assert told["notes of the song"] == 200
    assert told["moves that cannot be"] == 0
    player = panel.Player({"steps": SONG})
    player.take(plan)
    told = dict(panel.report_table(player.perform()).rows)
    assert told["executed"] == told["duties asked for"] == len(plan.duties)
    player.close()


def test_songs_of_other_notebooks_are_found(tmp_path):
    write_demo_song(tmp_path / "groove_sample" / "run" / "new.mid", seconds=8)
    (tmp_path / "groove_sample" / "notes.txt").write_text("no song")
    found = panel.found_songs(tmp_path, tmp_path / "not there")
    assert list(found) == ["groove_sample/run/new.mid"]
    player = panel.Player(found)
    assert player.choose("groove_sample/run/new.mid").result(20).report.notes_played > 0
    player.close()


def test_a_beat_saber_map_is_a_song_with_every_note_where_it_is_cut(tmp_path):
    corpus = make_song_corpus(tmp_path, SongCorpusOptions(songs=3, broken=2, seconds=10))
    found = panel.found_maps(corpus.maps, tmp_path / "not there")
    assert len(found) >= 3
    assert len(panel.found_maps(corpus.maps, most=1)) == 1
    place = next(each for each in map_places(corpus.maps) if each.name in found)
    with place.open() as files:
        level = read_level(files)
    beatmap = max(level.beatmaps, key=lambda each: len(each.objects.notes.beat))
    notes = beatmap.objects.notes
    song = found[place.name]
    assert np.allclose(np.sort(song.seconds), np.sort(beatmap.time_map.seconds_at(notes.beat)))
    assert 2 <= len(set(song.pitch.tolist())) <= 24
    plan = plan_song(song)
    assert plan.report.notes_played > 0.5 * len(notes.beat)
    with pytest.raises(PlaybackError, match="without notes"):
        panel.map_song(dataclasses.replace(level, beatmaps=()))
