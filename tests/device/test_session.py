"""Sessions: a thread that plays in real time, over memory and over a socket."""

import threading
import time

import pytest
from played_songs import song

from workbench.device.clock import RealTime
from workbench.device.link import SerialLink
from workbench.device.listening import listening
from workbench.device.options import LinkOptions, SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.errors import DeviceError, PlaybackError
from workbench.playback.session import PRESETS, Session, preset_gain

QUICK = SimulatorOptions(homing_ms=50.0, boot_ms=50.0)


@pytest.fixture
def link():
    return SimulatorLink(SimulatedBoard(QUICK), time=RealTime())


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def test_a_song_is_played_paused_sought_and_stopped_by_commands_that_return_at_once(link):
    told = []
    with Session(lambda: link, tell=lambda event: told.append(event.text)) as session:
        start = time.monotonic()
        session.load(song(2000, 10))
        session.play()
        assert time.monotonic() - start < 0.5
        session.wait_for("playing")
        wait_until(lambda: session.view.index > 20)
        session.pause()
        paused = session.wait_for("paused")
        wait_until(lambda: session.log.now.logged == link.board.executed)
        count = len(link.board.executions)
        time.sleep(0.1)
        assert len(link.board.executions) == count
        assert paused.state == "paused"
        session.play()
        wait_until(lambda: len(link.board.executions) > count + 5)
        assert link.board.executions[count].index == link.board.executions[count - 1].index + 1
        session.seek(1500)
        wait_until(lambda: link.board.executed > 1520)
        session.seek_ms(19_000)
        session.wait_for("idle")
        view = session.view
        assert view.index in (0, 2000)
        assert view.heap_min > 0
        report = session.report()
        assert (report.lost, report.doubled, report.wrong) == (0, 0, 0)
        session.play()
        session.wait_for("playing")
        session.stop()
        session.wait_for("stopped")
    assert told == [event.text for event in session.events]
    assert [text for text in told if text in ("playing", "paused", "idle", "stopped")][:2] == [
        "playing",
        "paused",
    ]
    assert not [thread for thread in threading.enumerate() if thread.name == "session"]


def test_an_emergency_stop_is_out_before_the_call_returns(link):
    with Session(lambda: link) as session:
        session.load(song(5000, 5))
        session.play()
        wait_until(lambda: link.board.executed > 50)
        session.emergency_stop()
        pose = link.board.pose()
        assert (pose.fingers, pose.volume) == (0, 0)
        session.wait_for("alarm")
        with pytest.raises(PlaybackError, match="home the robot first"):
            session.play().result(5)
        session.home()
        session.wait_for("idle", "stopped")


def test_a_view_tells_what_is_buffered_and_how_the_robot_stands(link):
    with Session(lambda: link) as session:
        session.load(song(3000, 10))
        session.play()
        session.wait_for("playing")
        wait_until(lambda: session.view.index > 10)
        view = session.view
        assert view.position_ms <= view.buffered_ms <= view.duration_ms
        assert 0 < view.held <= view.ring == 256
        assert view.cart == 3
        assert view.is_up
        assert view.round_trip_ms < 1000
        session.preset("whisper").result(5)
        wait_until(lambda: session.view.gain == 20)


def test_errors_of_commands_come_by_their_futures(link):
    with Session(lambda: link) as session:
        with pytest.raises(PlaybackError, match="load one first"):
            session.play().result(5)
        with pytest.raises(PlaybackError, match="none of silence, whisper"):
            session.preset("deafening")
        with pytest.raises(PlaybackError, match="did not come to alarm"):
            session.wait_for("alarm", seconds=0.1)
        session.move_cart(4)
        wait_until(lambda: session.view.cart == 255 or session.view.cart == 4)
        session.load(song(1000, 10))
        session.play()
        session.wait_for("playing")
        with pytest.raises(PlaybackError, match="music plays"):
            session.press(1, 2).result(5)


def test_presets_are_as_loud_as_they_say():
    assert {name: preset_gain(name) for name in PRESETS} == {
        "silence": 0,
        "whisper": 20,
        "quiet": 40,
        "soft": 60,
        "normal": 100,
        "medium": 140,
        "loud": 170,
        "forte": 190,
        "maximum": 200,
    }


def test_a_board_behind_a_socket_plays_and_a_lost_connection_comes_back():
    duties = song(300, 10)
    with listening(QUICK) as server:
        calls = LinkOptions(first_wait_seconds=0.01)
        with Session(lambda: SerialLink(server.url), link=calls) as session:
            session.load(duties)
            session.play()
            wait_until(lambda: server.board.executed > 50)
            session._link._link._port._socket.shutdown(2)  # as a cable that is pulled
            session.wait_for("idle", seconds=30)
            assert session._link.losses == 1
            report = session.report()
        assert [each.index for each in server.board.executions] == list(range(300))
        assert report.is_whole
        assert report.proved == 300


def test_a_port_in_use_is_told():
    with listening(QUICK) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(DeviceError, match="cannot be listened at"), listening(port=port):
            pass


def test_a_silent_board_ends_the_music_not_the_session():
    silent = SimulatorLink(SimulatedBoard(SimulatorOptions(boot_ms=50.0)), time=RealTime())
    silent.write = lambda data: None
    with Session(lambda: silent, link=LinkOptions(silence_seconds=0.3)) as session:
        session.load(song(10))
        session.play()
        wait_until(lambda: session.error is not None)
        assert "was silent" in str(session.error)
        assert session.view.state == "stopped"
