"""The older commands in JSON, answered by the real program on the real MicroPython."""

import json
import time

import pytest
from pico_board import SERVO, Board, duty

from workbench.device import wire


@pytest.fixture
def board(flashed, tmp_path):
    with Board(flashed, tmp_path / "shim") as board:
        board.receive(5)  # what it says at boot
        yield board
    assert not board.stderr, board.stderr


def tell(board, seconds=5.0, **command):
    return told(board, json.dumps(command), seconds)


def told(board, text, seconds=5.0):
    """Send a line; return what is answered."""
    board.lines = b""
    board.write(text.encode() + b"\n")
    end = time.monotonic() + seconds
    while not board.lines.endswith(b"\n"):
        assert time.monotonic() < end, f"no answer to {text[:80]}: {board.lines[:200]}"
        board.receive(0.05)
    return json.loads(board.lines)  # with nothing before it, no event either


def chords(count, step=100):
    """Return duties as the seed sends them, and a path that stays at one position."""
    names = ["C4_E4", "F3", None, "G3_B3_D4", "C#4_F4"]
    duties = [
        {
            "start_ms": i * step,
            "duration_ms": step,
            "chord": names[i % 5],
            "skid": 0,
            "volume_percent": 0.5 if i % 2 else 60,
        }
        for i in range(count)
    ]
    return duties, [0] * (count + 1)


def test_every_command_of_the_older_way_is_answered_before_and_after_homing(board):
    assert tell(board, type="status")["position"] == -1
    assert "home" in tell(board, type="move_cart", direction=1)["error"]
    assert tell(board, type="list_songs") == {"success": True, "songs": []}
    assert "no song" in tell(board, type="play_performance", song="showcase")["error"]
    assert tell(board, type="home_all")["success"]
    board.until(lambda state: state.state == wire.READY)
    assert tell(board, type="move_cart", direction=1)["position"] == 1
    board.until(lambda state: not state.flags & wire.IS_MOVING)
    assert tell(board, type="key_down", finger=2, position=1)["success"]
    assert tell(board, type="key_down", finger=6, position=0)["success"]
    state = tell(board, type="status")
    assert state["position"] == 1
    assert state["fingers"] == {
        "states": [None, None, 1, None, None, None, 0],
        "all_home": False,
        "active_count": 2,
    }
    assert state["memory"] > 1000
    assert tell(board, type="key_up", finger=2)["success"]
    assert tell(board, type="press_key", finger=0, position=0)["success"]
    board.until(lambda state: state.fingers == 1 << 12, seconds=2)
    pressed, released = [e for e in board.trace() if e[1:3] == (SERVO, 0) and e[3]][-2:]
    assert (pressed[3], released[3]) == (2000, 3350)
    assert 50 <= released[0] - pressed[0] < 1000
    assert tell(board, type="set_volume", volume_percent=70)["volume_percent"] == 70
    assert tell(board, type="set_volume", direction=-1)["volume_percent"] == 60
    assert board.ask(wire.STATUS).volume == 60
    assert tell(board, type="home_all")["success"]
    state = board.ask(wire.STATUS)
    assert (state.fingers, state.volume) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "no_such_thing"}',
        '{"type": "status"',
        '{"type": "status"]}',
        '{"duties": []}',
        '{"type": "key_down", "finger": 7, "position": 0}',
        '{"type": "key_down", "finger": 0, "position": 2}',
        '{"type": "key_down", "finger": -1, "position": -3}',
        '{"type": "set_volume", "volume_percent": 101}',
        '{"type": "play_duty_batch", "batch_id": 4}',
        '{"type": "load_duty_batch", "batch_id": 4, "duties": [{"start_ms": -4}]}',
        "{" + "[" * 100 + "]" * 100 + "}",
        '{"type": "play_performance_with_pathing", "duties": [], "path": [0]}',
    ],
)
def test_what_cannot_be_done_is_said_so_and_the_next_command_is_answered(board, text):
    answer = told(board, text)
    assert answer["success"] is False
    assert answer["error"]
    assert tell(board, type="status")["success"]


def test_a_whole_song_of_200_duties_is_played_as_the_chords_say(board):
    board.home()
    duties, path = chords(200, step=5)
    answer = tell(board, type="play_performance_with_pathing", song="x", duties=duties, path=path)
    assert answer == {"success": True}
    state = board.until(lambda state: state.flags & wire.FINISHED)
    # F3 left of finger 0; C4 left, E4 left of fingers 2, 3; G3 right, B3 right, D4 right;
    # C#4 left of finger 6, F4 right of finger 3.
    fingers = [0b01_01_00_00, 0b01, 0, 0b10_10_10, 1 << 12 | 0b10_00_00_00]
    sent = b"".join(duty(i * 5, 5, fingers[i % 5], 0, 50 if i % 2 else 60) for i in range(200))
    assert state.digest == wire.order_digest(0, sent) & wire.LIMIT
    assert state.executed == 200


def test_the_cart_follows_the_path_in_silent_duties(board):
    board.home()
    duties = [
        {"start_ms": 0, "duration_ms": 100, "chord": "C4", "volume_percent": 50},
        {"start_ms": 100, "duration_ms": 700, "chord": None, "volume_percent": None},
        {"start_ms": 800, "duration_ms": 100, "chord": [60, 62], "volume_percent": 30},
        {"start_ms": 900, "duration_ms": 100, "chord": {"notes": [64]}, "volume_percent": 30},
    ]
    path = [0, 0, 4, 4, 4]
    assert tell(board, type="play_performance_with_pathing", duties=duties, path=path)["success"]
    state = board.until(lambda state: state.flags & wire.FINISHED)
    _, entries = board.log(0)
    assert [entry[1] for entry in entries] == [wire.PLAYED] * 4
    # C4 left of finger 2; from cart 4 C4 left of finger 0 (and D4 on its right), E4 left of 1
    assert [entry[3:0:-1] for entry in entries] == [
        (0b01_00_00, 0, wire.PLAYED),
        (0, 4, wire.PLAYED),
        (0b01, 4, wire.PLAYED),
        (0b01_00, 4, wire.PLAYED),
    ]
    assert state.cart == 4


def test_a_song_of_many_batches_is_streamed(board):
    board.home()
    duties, path = chords(400, step=4)
    assert tell(board, type="start_streaming_performance", song="x", total_batches=10)["success"]
    for batch in range(10):
        load = {
            "batch_id": batch,
            "duties": duties[batch * 40 : batch * 40 + 40],
            "path_segment": path[batch * 40 : batch * 40 + 41],
        }
        while "no room" in (answer := tell(board, type="load_duty_batch", **load)).get("error", ""):
            time.sleep(0.05)
        assert answer == {"success": True}
        if batch == 2:
            assert tell(board, type="play_duty_batch", batch_id=0)["success"]
        if batch == 3:
            state = tell(board, type="streaming_status")
            assert state["streaming_active"] is True
            assert state["total_batches"] == 10
            assert state["loaded_batches"] == [0, 1, 2, 3]
            assert state["memory_free"] > 1000
            assert "still" in tell(board, type="unload_duty_batch", batch_id=3)["error"]
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.executed == 400
    assert tell(board, type="unload_duty_batch", batch_id=9)["success"]
    assert "no such" in tell(board, type="unload_duty_batch", batch_id=9)["error"]


def test_a_line_of_any_length_takes_no_more_memory(board):
    board.home()
    tell(board, type="status")
    free = board.until(lambda state: True, every=0).free
    duties, path = chords(700)  # 65 kB of text on a heap of 48 KB
    answer = tell(
        board,
        type="play_performance_with_pathing",
        duties=duties,
        path=path,
        song="long",
        seconds=20.0,
    )
    assert "no room" in answer["error"]
    time.sleep(1.2)
    assert board.ask(wire.STATUS).least > free - 1024


def test_a_song_by_lines_stops_when_it_is_told_to(board):
    board.home()
    duties, path = chords(200)
    tell(board, type="play_performance_with_pathing", duties=duties, path=path, song="x")
    board.until(lambda state: state.executed > 3)
    again = tell(board, type="play_performance_with_pathing", duties=duties, path=path, song="x")
    assert again["success"] is False
    assert tell(board, type="pause")["success"]
    state = board.ask(wire.STATUS)
    assert (state.state, state.fingers, state.volume) == (wire.PAUSED, 0, 0)
    assert tell(board, type="resume")["success"]
    board.until(lambda now: now.executed > state.executed + 2)
    assert tell(board, type="stop")["success"]
    state = board.ask(wire.STATUS)
    assert (state.state, state.fingers, state.volume) == (wire.READY, 0, 0)
    moved = [entry for entry in board.trace() if entry[1] == SERVO]
    assert moved
