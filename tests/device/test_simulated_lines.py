"""The older way: every command answered, by the simulator and on the host's end."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.device import wire
from workbench.device.duties import Duties
from workbench.device.link import FaultyLink
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.errors import PlaybackError
from workbench.playback.legacy import (
    LineBoard,
    StreamerOptions,
    as_dicts,
    batches,
    path_of,
    play_lines,
    play_somehow,
    speaks,
)

OLD = SimulatorOptions(program="original", ring=2000, heap_bytes=200_000)


def white(count, ms=50, *, seed=0):
    """Return duties of white keys alone, which every place of the cart has; the cart moves once."""
    rng = np.random.default_rng(seed)
    fingers = np.zeros(count, np.int64)
    for finger in range(4):
        fingers |= rng.choice([0, 1, 2], count) << 2 * finger
    cart = np.full(count, 3)
    if count > 60:
        fingers[40:60] = 0
        cart[40:] = 6
    volume = rng.choice([30, 50, 255], count)
    return Duties.of(
        start_ms=np.arange(count) * ms, duration_ms=ms, fingers=fingers, cart=cart, volume=volume
    )


def board_of(options=None):
    link = SimulatorLink(SimulatedBoard(options))
    return link, LineBoard(link)


def homed(options=None):
    link, board = board_of(options)
    board.ask({"type": "home_all"})
    board.wait(2.0)
    return link, board


# --- the commands


def test_every_command_is_answered():
    link, board = board_of()
    status = board.ask({"type": "status"})
    assert (status["success"], status["position"]) == (True, -1)
    assert board.ask({"type": "move_cart", "direction": 1})["success"] is False
    assert board.ask({"type": "home_all"})["success"]
    board.wait(2.0)
    assert board.ask({"type": "status"})["position"] == 0
    assert board.ask({"type": "list_songs"}) == {"success": True, "songs": []}
    assert "no song" in board.ask({"type": "play_performance", "song": "simple"})["error"]
    assert board.ask({"type": "move_cart", "direction": 1}) == {"success": True, "position": 1}
    board.wait(1.0)
    assert board.ask({"type": "move_cart", "direction": -2})["error"] == "the rail ends there"
    assert board.ask({"type": "key_down", "finger": 2, "position": 1})["success"]
    fingers = board.ask({"type": "status"})["fingers"]
    assert fingers["states"] == [None, None, 1, None, None, None, None]
    assert (fingers["all_home"], fingers["active_count"]) == (False, 1)
    assert board.ask({"type": "key_up", "finger": 2})["success"]
    assert board.ask({"type": "status"})["fingers"]["all_home"]
    assert board.ask({"type": "press_key", "finger": 0, "position": 0})["success"]
    assert board.ask({"type": "set_volume", "volume_percent": 70})["volume_percent"] == 70
    assert board.ask({"type": "set_volume", "direction": -1})["volume_percent"] == 60
    assert link.board.pose().volume == 60
    assert board.ask({"type": "home_all"})["success"]
    assert link.board.pose().volume == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "no_such_thing"}',
        b'{"type": "status"',
        b"{}",
        b'{"type": "key_down", "finger": 7, "position": 0}',
        b'{"type": "key_down", "finger": 0, "position": 2}',
        b'{"type": "key_down"}',
        b'{"type": "set_volume", "volume_percent": 101}',
        b'{"type": "play_duty_batch", "batch_id": 4}',
        b'{"type": "unload_duty_batch", "batch_id": 4}',
        b'{"type": "load_duty_batch", "batch_id": 4, "duties": [{"start_ms": -4}]}',
        b'{"type": "play_performance_with_pathing", "duties": [], "path": [0]}',
        b'{"type": "resume"}',
    ],
)
def test_what_cannot_be_done_is_said_so_and_the_next_line_is_answered(line):
    link, board = homed()
    link.write(line + b"\n")
    answer = json.loads(link.read(1.0))
    assert answer["success"] is False
    assert answer["error"]
    assert board.ask({"type": "status"})["success"]


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_bytes_leave_a_board_that_answers(data):
    link, board = homed()
    link.write(data.replace(b"\x03", b""))
    link.write(b"\x00\n")
    board.wait(0.5)  # what they were answered, if anything
    assert board.ask({"type": "status"})["success"]
    assert speaks(link) == "frames"


def test_batches_are_loaded_played_watched_and_unloaded():
    link, board = homed()
    duties = white(150)
    assert board.ask({"type": "start_streaming_performance", "total_batches": 3})["success"]
    for batch in batches(duties, 50):
        assert board.ask(batch.command)["success"]
    status = board.ask({"type": "streaming_status"})
    assert status["loaded_batches"] == [0, 1, 2]
    assert status["total_batches"] == 3
    assert (status["streaming_active"], status["current_batch_id"]) == (False, 0)
    assert "still" in board.ask({"type": "unload_duty_batch", "batch_id": 0})["error"]
    assert board.ask({"type": "play_duty_batch", "batch_id": 0})["success"]
    board.wait(5.0)
    status = board.ask({"type": "streaming_status"})
    assert (status["streaming_active"], status["current_batch_id"]) == (True, 1)
    assert board.ask({"type": "unload_duty_batch", "batch_id": 0})["success"]
    assert board.ask({"type": "pause"})["success"]
    executed = link.board.executed
    board.wait(5.0)
    assert link.board.executed == executed
    assert board.ask({"type": "resume"})["success"]
    board.wait(10.0)
    records = b"".join(each.record for each in link.board.executions)
    assert records == duties.to_bytes()


# --- the host's end


@given(st.integers(1, 400), st.integers(1, 90))
def test_batches_put_together_are_the_song(count, size):
    duties = white(count)
    parts = list(batches(duties, size))
    assert [row for part in parts for row in part.duties] == as_dicts(duties)
    assert [part.batch_id for part in parts] == list(range(-(-count // size)))
    assert all(len(part.path_segment) == len(part.duties) + 1 for part in parts)
    path = path_of(duties)
    assert len(path) == count + 1
    assert [at for part in parts for at in part.path_segment[:-1]] == path[:-1]
    for at, is_sounding in enumerate(duties.sounding):
        assert path[at if is_sounding else at + 1] == duties.cart[at]


def test_the_threshold_is_two_hundred_duties():
    options = StreamerOptions()
    assert not options.is_streamed(white(200))
    assert options.is_streamed(white(201))
    assert not StreamerOptions(use_streaming=False).is_streamed(white(201))
    assert options.feeder.batch_size == 50
    assert options.feeder.buffer_size == 3
    assert options.feeder.lookahead_ms == 5000
    assert options.feeder.safety_margin == 2.0


def test_a_board_of_today_gets_frames():
    link = SimulatorLink(SimulatedBoard())
    ladder, log = play_somehow(lambda: link, white(400))
    assert ladder == "streamed"
    assert log.report().proved == 400


@pytest.mark.parametrize("count", [1, 150, 200])
def test_a_short_song_goes_in_one_piece_to_an_older_board(count):
    link = SimulatorLink(SimulatedBoard(OLD))
    duties = white(count)
    assert play_somehow(lambda: link, duties) == ("whole", None)
    assert b"".join(each.record for each in link.board.executions) == duties.to_bytes()


def test_a_longer_song_is_refused_with_what_to_do():
    link = SimulatorLink(SimulatedBoard(OLD))
    with pytest.raises(PlaybackError, match=r"201 duties are more than.*200; deploy"):
        play_somehow(lambda: link, white(201))
    assert link.board.executions == []


def test_a_song_in_one_piece_fails_on_a_small_heap_as_it_did():
    small = SimulatorOptions(program="original", ring=2000, heap_bytes=60_000)
    link = SimulatorLink(SimulatedBoard(small))
    with pytest.raises(PlaybackError, match="memory allocation failed, allocating"):
        play_somehow(lambda: link, white(190))


def test_a_long_song_is_streamed_by_lines_to_a_board_that_takes_them():
    link, board = board_of()
    duties = white(700)
    assert play_lines(board, duties) == "batches"
    executions = link.board.executions
    assert b"".join(each.record for each in executions) == duties.to_bytes()
    assert max(each.late for each in executions) < 5000
    assert link.board.pose().volume == 0


def test_a_board_that_answers_nothing_is_told():
    link = FaultyLink(SimulatorLink(), silences=[(0.0, 1e9)])
    with pytest.raises(PlaybackError, match="answers neither"):
        speaks(link)
    with pytest.raises(PlaybackError, match="no answer to 'status'"):
        LineBoard(link).ask({"type": "status"})


def test_frames_and_lines_take_turns_on_one_board():
    link, board = homed()
    assert speaks(link) == "frames"
    assert board.ask({"type": "set_volume", "volume_percent": 40})["success"]
    ladder, log = play_somehow(lambda: link, white(50))
    assert ladder == "streamed"
    assert log.report().is_whole
    assert link.board.told().state == wire.READY
