"""The board's own program on the real MicroPython, at the end of a pseudo-terminal."""

import math
import os
import random
import signal
import struct
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from pico_board import (
    FEED,
    HEAP,
    LEAVE,
    MICROPYTHON,
    PACE,
    PIN,
    QUICK,
    SERVO,
    SHIM,
    STEPS,
    Answer,
    Board,
    duty,
    flash,
)

from workbench.device import deploy, wire

HERE = Path(__file__).parent
HOMES = dict.fromkeys(range(7), 3350) | {7: 1500}  # pulses of fingers and pump in the safe state


@pytest.fixture(scope="module")
def shared(flashed, tmp_path_factory):
    with Board(flashed, tmp_path_factory.mktemp("shim")) as board:
        board.home()
        yield board
    assert not board.stderr, board.stderr


@pytest.fixture
def board(shared):
    """A board that is homed and has no song."""
    state = shared.ask(wire.STOP)
    if state.alarm:
        shared.home()
    shared.until(lambda state: state.state == wire.READY and not state.flags & wire.IS_MOVING)
    shared.ask(wire.VOLUME, 100, 0)
    shared.events.clear()
    (shared.shim / "trace").write_bytes(b"")
    return shared


@pytest.fixture
def fresh(flashed, tmp_path):
    """A board that has just been switched on."""
    with Board(flashed, tmp_path / "shim") as board:
        yield board
    assert not board.stderr, board.stderr


def song(count, step=20, cart=0, seed=0):
    """Return gap-free duties of drawn fingers and volumes."""
    draw = random.Random(seed)
    duties = []
    for i in range(count):
        fingers = sum(draw.choice([0, 0, 1, 2]) << 2 * f for f in range(7))
        volume = draw.choice([wire.KEEP, draw.randrange(101)])
        duties.append(duty(i * step, step, fingers, cart, volume))
    return b"".join(duties)


def start(board, song_ms=0, after=100):
    state = board.ask(wire.STATUS)
    answer = board.ask(wire.START, state.millis + after & wire.LIMIT, song_ms)
    assert answer.result == wire.OK, answer
    return state.millis + after


def play(board, duties, first=0, until=None):
    """Feed duties as the board takes them; return its log, and the state at the end."""
    end = len(duties) // wire.DUTY_BYTES
    log = []
    deadline = time.monotonic() + 60
    while True:
        state = board.feed(duties, 0)
        begin, entries = board.log(first + len(log))
        assert begin == first + len(log), "the log was overwritten before it was read"
        log += entries
        if state.next == end and not state.flags & wire.HAS_END:
            assert board.ask_body(wire.data(0, end, b"")).result == wire.OK
        if first + len(log) == end or (until and until(state)):
            return log, state
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def last_pulses(trace):
    """Return pin: the last pulse that each servo got."""
    return {number: value for _, kind, number, value in trace if kind == SERVO and value}


def assert_safe(board):
    trace = board.trace()
    assert last_pulses(trace) == HOMES
    powered = [value for _, kind, number, value in trace if (kind, number) == (PIN, 12)]
    assert powered[-1:] in ([], [1])  # the driver's enable input, active low


def run_script(flashed, code, *, heap=HEAP, shim=None):
    """Run code in MicroPython with the board's modules; return what it printed."""
    environment = {"MICROPYPATH": f"{flashed / 'lib'}:{SHIM}", "SHIM": str(shim or "")}
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={heap}", "-c", code],
        env=os.environ | environment,
        cwd=flashed,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(errors="replace")


# --- boot and safety


def test_a_board_boots_into_the_safe_state_and_plays_nothing_before_it_is_homed(fresh):
    hello = fresh.ask(wire.HELLO, wire.PROTOCOL)
    protocol, most, ring, config, heap, kept, resume, uncertain, cause, log = struct.unpack(
        wire.HELLO_MORE, hello.more
    )
    assert (protocol, most, ring, log) == (wire.PROTOCOL, wire.DATA_MOST, 256, 128)
    assert (kept, resume, uncertain, cause) == (0, 0, 0, 0)
    assert config == deploy.config_hash(QUICK)
    assert heap > 90_000
    assert hello.state == wire.SAFE
    assert hello.cart == wire.KEEP
    assert last_pulses(fresh.trace()) == HOMES
    assert fresh.ask(wire.BEGIN, 1, 0, 0).result == wire.NOT_HOMED
    assert fresh.ask(wire.MANUAL, wire.CART, 3, 0).result == wire.NOT_HOMED
    assert fresh.ask_body(wire.data(0, 0, duty(0, 10))).result == wire.NOT_HOMED
    assert fresh.home().cart == 0
    assert fresh.ask(wire.BEGIN, 1, 0, config ^ 1).result == wire.CONFIG
    assert fresh.ask(wire.BEGIN, 1, 0, config).result == wire.OK


@pytest.mark.parametrize("way", ["frame", "ctrl-c", "ctrl-c in a torn frame", "shout"])
def test_an_emergency_stop_is_safe_at_once_and_latched_until_homed(board, way):
    duties = song(400, step=10)
    board.load(duties, is_all=False)
    start(board)
    board.until(lambda state: state.executed > 20, every=0.01)
    board.write(wire.framed(wire.data(0, 256, duties[2560:3060]))[:300])  # in mid-stream
    if way != "ctrl-c in a torn frame":
        board.write(b"\0")
    (board.shim / "trace").write_bytes(b"")
    sent = time.monotonic()
    if way == "frame":
        assert board.ask(wire.ESTOP).state == wire.ALARMED
    else:
        board.write({"ctrl-c": b"\3", "shout": b"\0\3\3"}.get(way, b"\3\3"))
        while not board.events or board.events[-1].state != wire.ALARMED:
            board.events += board.receive(1)
            assert time.monotonic() < sent + 2
    assert time.monotonic() - sent < 0.5  # 50 ms where nobody else wants the processor
    time.sleep(0.1)
    assert_safe(board)  # each servo is sent home, also those that should be there
    moved = len(board.trace())
    state = board.ask(wire.STATUS)
    assert (state.alarm, state.cart, state.fingers, state.volume) == (1, wire.KEEP, 0, 0)
    assert board.ask(wire.BEGIN, 1, 0, 0).result == wire.ALARM
    assert board.ask(wire.START, state.millis, 0).result == wire.ALARM
    assert board.ask(wire.MANUAL, wire.FINGER, 1, 1).result == wire.ALARM
    assert board.ask(wire.MANUAL, wire.CART, 1, 0).result == wire.ALARM
    assert board.ask(wire.VOLUME, 100, 50).result == wire.ALARM
    assert board.ask(wire.STOP).state == wire.ALARMED
    assert [entry for entry in board.trace()[moved:] if entry[1] == SERVO and entry[3]] == []
    assert board.home().alarm == 0


def test_one_damaged_byte_in_a_frame_is_no_emergency_stop(board):
    frame = wire.framed(wire.request(wire.STATUS, 1))
    for i in range(1, len(frame) - 1):
        board.write(frame[:i] + b"\3" + frame[i + 1 :])
    state = board.ask(wire.STATUS)
    assert state.state == wire.READY
    assert state.broken >= len(frame) - 2


def test_a_silent_host_pauses_the_music_and_the_song_goes_on_where_it_stood(board):
    duties = song(100, step=30)
    board.load(duties)
    start(board)
    begun = time.monotonic()
    while not board.events:  # nothing is sent
        board.events += board.receive(4)
    assert 2.2 < time.monotonic() - begun < 3.5  # 2.3 s and what a busy machine adds
    event = board.events[-1]
    assert event.state == wire.PAUSED
    assert event.flags & wire.SILENT
    time.sleep(0.05)
    assert_safe(board)
    state = board.ask(wire.STATUS)
    assert (state.executed, state.next) == (event.executed, 100)
    start(board, state.song)
    _, state = play(board, duties, first=state.executed)
    assert not state.flags & wire.SILENT
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.digest == wire.order_digest(0, duties) & wire.LIMIT


def test_an_error_in_the_program_is_safe_an_alarm_and_kept_in_a_file(flashed, tmp_path):
    program = str(HERE / "failing_main.py")
    with Board(flashed, tmp_path / "shim", program=program) as board:
        board.home()
        board.load(song(50))
        start(board)
        state = board.until(lambda state: state.state == wire.ALARMED)
        assert state.alarm == wire.BY_PROGRAM
        assert_safe(board)
        assert "planted" in (flashed / "error.txt").read_text()
        board.home()
    assert "planted" in board.stderr


def test_ctrl_c_that_reaches_the_program_is_safe_and_leaves_it_without_a_watchdog(fresh):
    fresh.home()
    fresh.load(song(250))
    start(fresh)
    fresh.until(lambda state: state.executed > 10)
    (fresh.shim / "trace").write_bytes(b"")
    fresh.process.send_signal(signal.SIGINT)  # as a board's USB does with the byte
    assert fresh.process.wait(10) == 0
    assert_safe(fresh)
    assert [entry for entry in fresh.trace() if entry[1] == LEAVE]


def test_a_program_whose_host_is_gone_ends_in_the_safe_state(flashed, tmp_path):
    with Board(flashed, tmp_path / "shim") as board:
        board.home()
        board.load(song(250))
        start(board)
        board.until(lambda state: state.executed > 10)
        for end in (board.slave, board.master):
            os.close(end)
        assert board.process.wait(10) == 0
        assert_safe(board)
        board.master, board.slave = os.openpty()
    assert not board.stderr, board.stderr


def test_the_watchdog_is_fed_by_the_loop(fresh):
    fresh.ask(wire.STATUS)
    time.sleep(1.2)
    assert len([entry for entry in fresh.trace() if entry[1] == FEED]) >= 1
    sources = [*HERE.parents[1].glob("pico/lib/robot/*.py"), HERE.parents[1] / "pico" / "main.py"]
    assert sum(source.read_text().count(".feed()") for source in sources) == 1
    assert sum(source.read_text().count("print(") for source in sources) == 0


# --- the cart


def flight_ms(positions):
    """The original's table: a trapezoid of 250,000 steps/s2 and 35,000 steps/s."""
    steps = positions * 1880
    if steps <= 4900:
        return 2000 * math.sqrt(steps / 250_000)
    return 1000 * (steps / 35_000 + 35_000 / 250_000)


def test_the_cart_makes_every_step_of_every_move_in_the_time_of_a_trapezoid(board):
    at = 0
    for goal in [11, 10, 7, 9, 0]:
        (board.shim / "trace").write_bytes(b"")
        board.ask(wire.MANUAL, wire.CART, goal, 0)
        state = board.until(lambda state: not state.flags & wire.IS_MOVING, every=0.01)
        assert (state.cart, state.alarm) == (goal, 0)
        runs = [entry for entry in board.trace() if entry[1] == STEPS]
        assert {direction for _, _, direction, _ in runs} == {int(goal > at)}
        assert sum(count for _, _, _, count in runs) == abs(goal - at) * 1880
        paces = [20 + delay for _, kind, _, delay in board.trace() if kind == PACE]
        took = sum(run[3] * pace for run, pace in zip(runs, paces, strict=True)) / 2000
        assert abs(took - flight_ms(abs(goal - at))) < 3
        speeds = [0, *(2_000_000 / pace for pace in paces), 0]
        assert max(abs(a - b) for a, b in pairwise(speeds)) < 2.1 * 250_000 * 0.004
        assert max(speeds) < 35_100
        at = goal


def test_a_limit_switch_stops_a_move_by_an_alarm(flashed, tmp_path):
    with Board(flashed, tmp_path / "shim", SHIM_FAR="12000") as board:
        board.home()
        board.ask(wire.MANUAL, wire.CART, 11, 0)
        state = board.until(lambda state: state.state == wire.ALARMED)
        assert state.alarm == wire.BY_LIMIT
        assert not state.flags & wire.HAS_HOMED
        assert_safe(board)


def test_a_cart_that_slips_is_found_by_the_encoder(flashed, tmp_path):
    with Board(flashed, tmp_path / "shim", SHIM_SLIP="30") as board:
        board.home()
        for position in (11, 0, 11):
            board.ask(wire.MANUAL, wire.CART, position, 0)
            state = board.until(
                lambda state: state.alarm or not state.flags & wire.IS_MOVING, every=0.02
            )
        assert state.alarm == wire.BY_ENCODER
        assert_safe(board)


def test_homing_without_a_switch_ends_in_an_alarm(flashed, tmp_path):
    with Board(flashed, tmp_path / "shim", SHIM_NEAR="none") as board:
        board.ask(wire.MANUAL, wire.HOME, 0, 0)
        state = board.until(lambda state: state.state == wire.ALARMED)
        assert state.alarm == wire.BY_HOMING
        assert_safe(board)


# --- music


def test_every_duty_is_executed_once_in_order_and_as_it_was_sent(board):
    duties = song(300, step=6, cart=4)
    board.load(duties, song=7, is_all=False)
    start(board)
    log, _ = play(board, duties)
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.digest == wire.order_digest(0, duties) & wire.LIMIT
    assert state.executed == 300
    for i, (_, outcome, cart, fingers, digest) in enumerate(log):
        record = duties[i * 10 : i * 10 + 10]
        assert digest == wire.record_digest(record)
        assert cart == 4
        if outcome == wire.PLAYED:
            assert fingers == struct.unpack(wire.DUTY, record)[2]
        else:
            assert (outcome, fingers) == (wire.WAS_LATE, 0)
    late = sorted(entry[0] for entry in log)
    assert late[len(late) // 2] < 500  # 5 ms in the middle even where others want the processor
    assert state.skipped == sum(entry[1] != wire.PLAYED for entry in log)
    assert (state.state, state.fingers, state.volume) == (wire.READY, 0, 0)


def test_servos_do_what_the_duties_say(board):
    duties = duty(0, 100, 0b10_01, 0, 40) + duty(100, 100, 0b00_01, 0, 100) + duty(200, 50, 0, 0, 0)
    board.load(duties)
    start(board)
    board.until(lambda state: state.flags & wire.FINISHED)
    pulses = [
        (number, value) for _, kind, number, value in board.trace() if kind == SERVO and value
    ]
    volume = [1500 + 7100 * share // 1000 for share in (360, 600, 0)]
    assert pulses == [
        (0, 2000),
        (1, 4700),
        (7, volume[0]),
        (1, 3350),
        (7, volume[1]),
        (0, 3350),
        (7, volume[2]),
    ]
    time.sleep(0.5)
    silent = {number for _, kind, number, value in board.trace() if kind == SERVO and not value}
    assert silent >= {0, 1, 7}  # no pulses once they have arrived


def test_the_gain_acts_on_what_sounds_and_will_sound(board):
    board.load(b"".join(duty(i * 100, 100, 1, 0, 50) for i in range(20)))
    start(board)
    board.until(lambda state: state.volume == 50)
    assert board.ask(wire.VOLUME, 50, wire.KEEP).volume == 25
    assert board.ask(wire.VOLUME, 200, wire.KEEP).volume == 100
    assert board.ask(wire.VOLUME, 201, wire.KEEP).result == wire.FIELD
    state = board.ask(wire.STATUS)
    board.until(lambda now: now.executed > state.executed + 2)
    assert board.ask(wire.STATUS).volume == 100


def test_a_pause_goes_on_with_the_very_duty_it_interrupted(board):
    duties = b"".join(duty(i * 250, 250, 1 + i % 2, 0, 60) for i in range(6))
    board.load(duties)
    start(board)
    board.until(lambda state: state.executed >= 3, every=0.01)
    paused = board.ask(wire.PAUSE)
    assert (paused.state, paused.fingers, paused.volume) == (wire.PAUSED, 0, 0)
    assert 0 <= paused.song - 250 * (paused.executed - 1) < 250
    assert board.ask(wire.PAUSE).song == paused.song  # once more does no harm
    time.sleep(0.3)
    at = start(board, paused.song)
    state = board.until(lambda state: state.fingers, every=0.01)
    assert (state.executed, state.fingers) == (paused.executed, 1 + (paused.executed - 1) % 2)
    assert state.volume == 60
    assert state.millis >= at
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.digest == wire.order_digest(0, duties) & wire.LIMIT
    assert abs(state.song - 1500) < 500
    presses = [e[3] for e in board.trace() if e[1:3] == (SERVO, 0) and e[3] in (2000, 4700)]
    assert len(presses) == 7  # each once, and the interrupted one again


def test_a_seek_lands_on_the_very_duty(board):
    duties = song(250, step=20)
    board.load(duties)
    start(board)
    board.until(lambda state: state.executed > 5)
    state = board.ask(wire.SEEK, 200)
    assert (state.state, state.next, state.executed, state.credits) == (wire.FILLING, 200, 200, 256)
    assert (state.fingers, state.volume, state.digest) == (0, 0, 0)
    rest = duties[2000:]
    assert board.ask_body(wire.data(0, 200, rest)).next == 250
    assert board.ask_body(wire.data(0, 250, b"")).flags & wire.HAS_END
    start(board, 4000)
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.digest == wire.order_digest(200, rest) & wire.LIMIT
    assert board.log(0)[0] == 200
    state = board.ask(wire.SEEK, 0)  # also after the end
    assert (state.result, state.next) == (wire.OK, 0)


def test_a_song_clock_that_runs_is_moved_a_little_and_no_more(board):
    board.load(song(250, step=20))
    at = start(board)
    board.until(lambda state: state.executed > 3)
    assert board.ask(wire.START, at + 200, 0).result == wire.OK
    assert board.ask(wire.START, at + 600, 0).result == wire.REFUSED
    assert board.ask(wire.START, at + 700, 400).result == wire.OK
    assert board.ask(wire.BEGIN, 2, 0, 0).result == wire.REFUSED
    assert board.ask(wire.MANUAL, wire.FINGER, 0, 1).result == wire.REFUSED
    assert board.ask(wire.MANUAL, wire.HOME, 0, 0).result == wire.REFUSED


def test_a_late_duty_keeps_time_and_is_not_pressed(board):
    board.load(b"".join(duty(i * 10, 10, 1, 0, 30) for i in range(60)))
    state = board.ask(wire.STATUS)
    assert board.ask(wire.START, state.millis - 400, 0).result == wire.OK
    state = board.until(lambda state: state.flags & wire.FINISHED)
    _, entries = board.log(0)
    assert entries[0][1] == wire.WAS_LATE
    assert entries[0][0] >= 40_000
    assert state.late >= 40_000
    assert 20 <= state.skipped <= 60
    assert state.executed == 60


def test_a_ring_that_runs_empty_is_told_and_filled_again(board):
    duties = song(20, step=10)
    board.load(duties[:100], is_all=False)
    start(board)
    state = board.until(lambda state: state.flags & wire.UNDERRUN)
    assert (state.executed, state.fingers) == (10, 0)
    assert [event for event in board.events if event.flags & wire.UNDERRUN]
    assert board.ask_body(wire.data(0, 10, duties[100:])).result == wire.OK
    board.ask_body(wire.data(0, 20, b""))
    state = board.until(lambda state: state.flags & wire.FINISHED)
    assert state.digest == wire.order_digest(0, duties) & wire.LIMIT


def test_the_cart_travels_in_silent_duties_and_fingers_wait_for_it(board):
    travel = 100 + math.ceil(flight_ms(5))
    duties = [
        duty(0, 200, 1, 2, 50),
        duty(200, travel, 0, 7),
        duty(200 + travel, 200, 2, 7),  # just in time
        duty(400 + travel, 100, 1, 9),  # no travel at all
        duty(500 + travel, 100, 1, 9),
        duty(600 + travel, 600, 0, 9),
        duty(1200 + travel, 100, 1, 9),
    ]
    board.load(b"".join(duties))
    start(board, after=300)
    board.until(lambda state: state.flags & wire.FINISHED)
    _, entries = board.log(0)
    played, cart = wire.PLAYED, wire.NO_CART
    assert [entry[1] for entry in entries] == [played, played, played, cart, cart, played, played]
    assert [entry[3] for entry in entries] == [1, 0, 2, 0, 0, 0, 1]
    trace = board.trace()
    lifted = max(e[0] for e in trace if e[1:] == (SERVO, 0, 3350) and e[0] < trace[-1][0] - 1500)
    runs = [e[0] for e in trace if e[1] == STEPS and e[0] > lifted]
    assert runs[0] - lifted >= 99


def test_a_finger_is_not_pressed_more_often_or_longer_than_its_budget(tmp_path):
    options = deploy.BoardOptions(homing_speed=35_000, presses=20, hold_ms=1000)
    flashed = flash(tmp_path / "flash", options)
    with Board(flashed, tmp_path / "shim") as board:
        board.home()
        board.load(b"".join(duty(i * 10, 10, i % 2, 0, 30) for i in range(80)))
        start(board)
        board.until(lambda state: state.flags & wire.FINISHED)
        entries = [*board.log(0)[1], *board.log(22)[1], *board.log(44)[1], *board.log(66)[1]]
        outcomes = [outcome for _, outcome, _, _, _ in entries]
        assert outcomes.count(wire.NO_BUDGET) in (18, 19, 20)  # 40 presses, one more in 0.5 s
        assert wire.NO_BUDGET not in outcomes[:39]
        assert board.ask(wire.MANUAL, wire.FINGER, 3, 1).fingers == 1 << 6
        pressed = time.monotonic()
        board.until(lambda state: not state.fingers)
        assert 0.9 < time.monotonic() - pressed < 2


# --- the ring


def test_data_is_addressed_by_index_so_that_sending_again_is_harmless(board):
    duties = song(300)
    board.ask(wire.BEGIN, 3, 1000, 0)

    def send(first, count, at=None):
        at = first if at is None else at
        return board.ask_body(wire.data(0, 1000 + first, duties[at * 10 : (at + count) * 10]))

    assert send(0, 20).next == 1020
    assert (send(0, 20).result, send(0, 20).next) == (wire.OK, 1020)
    assert send(10, 30).next == 1040
    answer = send(50, 10)
    assert (answer.result, answer.next) == (wire.GAP, 1040)
    assert board.ask_body(wire.data(0, 1041, b"")).result == wire.GAP
    for first in range(40, 240, 50):
        send(first, 50)
    answer = send(240, 50)
    assert (answer.result, answer.next, answer.credits) == (wire.FULL, 1256, 0)
    board.ask(wire.SEEK, 1000)
    assert send(0, 10).next == 1010
    assert board.ask_body(wire.data(0, 1010, b"")).result == wire.OK
    assert board.ask_body(wire.data(0, 1010, b"")).result == wire.OK
    assert send(0, 10).result == wire.OK
    assert send(10, 10).result == wire.ENDED


@pytest.mark.parametrize(
    "bad",
    [
        duty(99, 10),  # before the one before it
        duty(100, 0),
        duty(100, 10, 3),
        duty(100, 10, 1 << 14),
        duty(100, 10, 0b11 << 12),
        duty(100, 10, 0, 12),
        duty(100, 10, 0, 0, 101),
        duty(100, 10, 0, 0, 254),
        duty(1 << 30, 10),
        duty(0xFFFFFFFF, 10),
    ],
)
def test_a_duty_out_of_bounds_is_refused_and_those_before_it_are_kept(board, bad):
    board.ask(wire.BEGIN, 1, 0, 0)
    answer = board.ask_body(wire.data(0, 0, duty(100, 10) + bad + duty(200, 10)))
    assert (answer.result, answer.next) == (wire.FIELD, 1)


def test_requests_that_are_none_are_refused(board):
    assert board.ask_body(bytes([0, 0])).result == wire.KIND
    assert board.ask_body(bytes([99, 0])).result == wire.KIND
    assert board.ask_body(bytes([wire.BEGIN, 0, 1])).result == wire.LENGTH
    assert board.ask_body(bytes([wire.STATUS, 0, 1])).result == wire.LENGTH
    board.ask(wire.BEGIN, 1, 0, 0)
    assert board.ask_body(wire.data(0, 0, b"123456789")).result == wire.LENGTH
    assert board.ask(wire.BEGIN, 0, 0, 0).result == wire.FIELD
    assert board.ask(wire.BEGIN, 1 << 31, 0, 0).result == wire.FIELD
    assert board.ask(wire.SEEK, 0xFFFFFFFF).result == wire.FIELD
    assert board.ask(wire.LOG, 1 << 30).result == wire.FIELD
    assert board.ask(wire.START, 0, 0).result == wire.REFUSED  # no duty
    assert board.ask(wire.MANUAL, 9, 0, 0).result == wire.FIELD
    assert board.ask(wire.MANUAL, wire.FINGER, 7, 0).result == wire.FIELD
    assert board.ask(wire.MANUAL, wire.CART, 12, 0).result == wire.FIELD
    before = board.ask(wire.STATUS).refused
    board.ask(wire.PAUSE)
    assert board.ask(wire.STATUS).refused == before + 1


def test_the_clock_is_told_with_the_times_of_question_and_answer(board):
    answers = [board.ask(wire.SYNC, bytes(range(8))) for _ in range(20)]
    for answer in answers:
        echo, millis, micros = struct.unpack(wire.SYNC_MORE, answer.more)
        assert echo == bytes(range(8))
        assert micros < 1000
        took = (answer.millis - millis) * 1000 + answer.micros - micros
        assert 0 <= took < 100_000
    times = [answer.millis * 1000 + answer.micros for answer in answers]
    assert times == sorted(times)


# --- reboots


def test_a_reboot_resumes_at_the_next_duty_and_at_most_one_is_uncertain(fresh):
    step = 12  # ms; the board's log is to outlast a busy host that reads it late
    duties = song(250, step=step)
    executed = {}
    fresh.home()
    base = 0
    for reboot in range(3):
        if reboot:
            fresh.process.kill()
            fresh.process.wait()
            fresh.process.stderr.close()
            fresh.boot()
            hello = fresh.ask(wire.HELLO, 1)
            kept = struct.unpack(wire.HELLO_MORE, hello.more)
            assert kept[5] == 77
            base, uncertain, cause = kept[6], kept[7], kept[8]
            assert base >= max(executed, default=0) + 1
            assert uncertain in (0, 1)
            assert cause == 1
            assert hello.state == wire.SAFE
            fresh.home()
        fresh.load(duties[base * 10 :], song=77, base=base, is_all=False)
        start(fresh, song_ms=base * step, after=50)
        stop = base + random.Random(reboot).randrange(30, 60)
        log, _ = play(fresh, duties, base, until=lambda s, stop=stop: s.executed > stop)
        for i, entry in enumerate(log, base):
            assert i not in executed, "a duty was executed twice"
            executed[i] = entry
            assert entry[4] == wire.record_digest(duties[i * 10 : i * 10 + 10])
    assert len(executed) >= 90


def test_a_song_that_ended_is_not_resumed(fresh):
    fresh.home()
    fresh.load(song(5))
    start(fresh)
    fresh.until(lambda state: state.flags & wire.FINISHED)
    fresh.process.kill()
    fresh.process.wait()
    fresh.process.stderr.close()
    fresh.boot()
    kept = struct.unpack(wire.HELLO_MORE, fresh.ask(wire.HELLO, 1).more)
    assert kept[5:8] == (0, 0, 0)


# --- memory


def test_nothing_is_allocated_while_music_plays(flashed, tmp_path):
    shim = tmp_path / "shim"
    with Board(flashed, shim, program=str(HERE / "frugal_main.py")) as board:
        board.home()
        duties = song(400, step=5)
        board.load(duties, is_all=False)
        start(board)
        while board.feed(duties, 0, most=7).next < 400:
            board.ask(wire.SYNC, bytes(8))
            board.ask(wire.VOLUME, 90, wire.KEEP)
            board.ask(wire.LOG, 0)
            board.ask(wire.HELLO, 1)
            board.write(b"\0garbage\1\3\0")
        board.ask_body(wire.data(0, 400, b""))
        state = board.until(lambda state: state.flags & wire.FINISHED)
        assert state.digest == wire.order_digest(0, duties) & wire.LIMIT
        while not (shim / "frugal").exists():
            time.sleep(0.02)
        most, turns, failures = map(int, (shim / "frugal").read_text().split())
    assert failures == 0
    assert turns > 400
    assert most <= 1024  # a frame that is loaded before the music


BUFFERS = """
import gc, sys
gc.threshold(1024)
from array import array
from robot import config
from robot.board import Board
gc.collect()
board = Board(config, 0)
seen = []
def size(thing):
    if id(thing) in seen:
        return 0
    seen.append(id(thing))
    if isinstance(thing, bytearray):
        return len(thing)
    if isinstance(thing, array):
        return len(thing) * 4
    total = 0
    for name in dir(thing):
        if not name.startswith("__"):
            one = getattr(thing, name)
            if isinstance(one, (bytearray, array)):
                total += size(one)
    return total
parts = [board, board.player, board.link, board.link.inbox, board.cart, board.fingers]
print("size", sum(size(part) for part in parts))
gc.collect()
print("free", gc.mem_free())
"""


def test_ring_and_buffers_take_less_than_6_kb_and_the_program_leaves_a_quarter_of_the_heap(flashed):
    told = run_script(flashed, BUFFERS)
    size = int(told.split("size ")[1].split()[0])
    free = int(told.split("free ")[1].split()[0])
    assert 2560 + 1024 + 510 < size <= 6 * 1024
    assert free > 24_000  # of 97,000


def test_memory_stays_flat_while_duties_run_through(board):
    assert_flat(board, 700, early=0)


@pytest.mark.soak
def test_memory_stays_flat_over_100000_duties_and_all_are_executed_in_order(board):
    assert_flat(board, 100_000, early=1000)


def assert_flat(board, count, early):
    """Play duties, and compare the heap with what it was after the first of them."""
    duties = song(count, step=1)
    board.load(duties, is_all=False)
    start(board)
    free = 0
    while (state := board.feed(duties, 0)).next < count:
        if state.executed >= early and not free:
            free = board.until(lambda state: state.free != wire.LIMIT).free
    assert board.ask_body(wire.data(0, count, b"")).result == wire.OK
    state = board.until(lambda state: state.flags & wire.FINISHED, seconds=60)
    time.sleep(1.1)  # until it has looked at the heap again
    assert abs(board.ask(wire.STATUS).free - free) < 1024
    assert state.digest == wire.order_digest(0, duties) & wire.LIMIT
    assert state.executed == count


def test_a_duty_takes_less_than_11_and_a_half_bytes_on_the_wire():
    for cart in range(12):
        for seed in range(10):
            duties = song(500, step=197, cart=cart, seed=seed)
            frames = [
                wire.framed(wire.data(i, i, duties[i : i + 500])) for i in range(0, 5000, 500)
            ]
            assert sum(map(len, frames)) / 500 < 10.6


SAME = """
import os
from robot import fast, wire
seed = {seed}
def draw(n):
    global seed
    out = bytearray(n)
    for i in range(n):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = (seed >> 16) & 255
        if seed & 0x700 == 0:
            out[i] = b"\\xd8\\xda\\xdb\\x00"[seed >> 20 & 3]
    return out
from array import array
for i in range(600):
    body = draw(2 + i % 253 * 2)
    n = len(body)
    a, b = bytearray(wire.stuffed_most(n)), bytearray(wire.stuffed_most(n))
    m = wire.stuff(body, n, a)
    assert fast.stuff(body, n, b) == m and a == b
    assert bytes(a[:m]) == wire.framed(bytes(body))
    inbox = wire.Inbox()
    assert inbox.bodies(a[:m]) == [bytes(body)]
    assert fast.is_whole(inbox.body, inbox.length)
    for at in (0, n // 2, n + 3):
        inbox.body[at] ^= 1 << i % 8
        assert not fast.is_whole(inbox.body, inbox.length)
        assert not wire.is_whole(inbox.body, inbox.length)
        inbox.body[at] ^= 1 << i % 8
    record = draw(10)
    record[3] &= 0x3F if i % 4 else 0xFF
    assert fast.record_digest(record, 0) == wire.record_digest(record)
    import struct
    start, duration, fingers, cart, volume = struct.unpack(wire.DUTY, record)
    for cart in (cart, 3, 12):
        for fingers in (fingers, fingers & 0x1555, fingers & 0x2AAA):
            for volume in (volume, 100, 101, 255):
                struct.pack_into(wire.DUTY, record, 0, start, duration, fingers, cart, volume)
                good = start <= wire.LIMIT and wire.is_duty(duration, fingers, cart, volume)
                assert fast.duty_start(record, 0) == (start if good else -1)
    assert fast.u32(record, 0) == (start if start <= wire.LIMIT else -1)
crc = array("H", (0xFFFF, 0xFFFF))
digest = 0
for i in range(300):
    record = draw(10)
    digest = wire.order_digest(i * 70001, record, digest)
    fast.add_crc(crc, (i * 70001).to_bytes(4, "little"), 0, 4)
    fast.add_crc(crc, record, 0, 10)
    assert digest == (crc[1] ^ 0xFFFF) << 16 | crc[0] ^ 0xFFFF
print("same")
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_machine_code_and_plain_python_make_the_same(flashed, seed):
    assert run_script(flashed, SAME.replace("{seed}", str(seed)), heap="512wK").strip() == "same"


def test_an_answer_is_read_back_as_it_stands_in_the_specification():
    names = wire.STATE_NAMES.split()
    values = range(len(names))
    answer = Answer(bytes([wire.STATUS | wire.ANSWER, 7]) + struct.pack(wire.STATE, *values) + b"x")
    assert [getattr(answer, name) for name in names] == list(values)
    assert answer.more == b"x"
    assert struct.calcsize(wire.STATE) == wire.MORE_AT - wire.STATE_AT
    for line in wire.__doc__.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[1] in ("u8", "u16", "u32") and cells[2] in names:
            before = wire.STATE[1 : 1 + names.index(cells[2])]
            assert wire.STATE_AT + struct.calcsize("<" + before) == int(cells[0]), line
