"""The real program on a real MicroPython with 48 KB of heap, behind a pseudo-terminal."""

import time

import numpy as np
import pytest
from played_songs import song, until

from workbench.device import deploy, wire
from workbench.device.board import MicroPythonBoard
from workbench.device.caller import Caller
from workbench.device.link import FaultyLink
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.playback.performance import Performance
from workbench.playback.session import Session, perform_together

# Homing as fast as a move, and presses without end, so that a test is short.
QUICK = deploy.BoardOptions(homing_speed=35_000, presses=10_000)


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flash")
    deploy.built(QUICK, folder, march="x64")
    return folder


@pytest.fixture
def board(flash, tmp_path):
    with MicroPythonBoard(flash=flash, folder=tmp_path) as board:
        yield board


def later(duties, ms):
    """Return a song that begins later, so that the cart is there."""
    return type(duties).of(
        start_ms=duties.start_ms + ms,
        duration_ms=duties.duration_ms,
        fingers=duties.fingers,
        cart=duties.cart,
        volume=duties.volume,
    )


def play_all(board, duties, *, kills=(), seconds=60.0, **faults):
    link = FaultyLink(board.link(), **faults) if faults else board.link()
    performance = Performance(link)
    performance.load(duties)
    performance.play()
    for index in kills:
        until(
            performance,
            lambda index=index: performance.log.now and performance.log.now.executed >= index,
            seconds=seconds,
        )
        board.reboot()
    until(performance, lambda: performance.is_over, seconds=seconds)
    return performance


def assert_is_whole(performance, duties, reboots=0):
    report = performance.log.report()
    assert (report.lost, report.doubled, report.reordered, report.wrong) == (0, 0, 0, 0)
    assert report.executed == len(duties)
    assert report.reboots == reboots
    assert report.uncertain <= reboots
    # what the board's digest does not prove, a reboot fell behind
    assert report.proved >= len(duties) - 60 * reboots
    return report


def test_a_clean_song_is_proved_duty_for_duty(board):
    duties = later(song(200, 10), 100)
    performance = play_all(board, duties)
    report = assert_is_whole(performance, duties)
    assert report.proved == 200
    assert report.unlogged == 0
    assert report.not_pressed["cart"] == report.not_pressed["budget"] == 0
    assert performance.caller.traffic.data_bytes / 200 <= 11.5
    assert report.late_p50_ms < 50  # this machine is shared
    assert abs(performance.caller.clock.drift) < 500e-6


def test_drops_flips_a_silence_and_a_reboot_leave_the_song_whole(board):
    duties = later(song(200, 15), 100)
    begun = time.monotonic()
    performance = play_all(
        board,
        duties,
        kills=[80],
        drop=0.0005,
        flip=0.0005,
        lose=0.01,
        silences=[(begun + 1.5, begun + 2.5)],
        seed=11,
    )
    assert_is_whole(performance, duties, reboots=1)


def test_a_board_that_loses_power_plays_on_where_it_was_heard_last(board):
    duties = later(song(120, 15), 100)
    performance = Performance(board.link())
    performance.load(duties)
    performance.play()
    until(performance, lambda: performance.log.now and performance.log.now.executed >= 50)
    heard = performance.log.now.executed
    board.lose_power()
    until(performance, lambda: performance.is_over)
    passes = performance.log.passes
    assert passes[1].base == passes[0].executed >= heard
    assert passes[1].executed == 120
    assert performance.log.report().lost == 0


def test_pause_seek_and_emergency_stop_by_a_session(board):
    duties = later(song(3000, 10), 100)
    with Session(board.link) as session:
        session.load(duties)
        session.play()
        session.wait_for("playing", seconds=20)
        while session.view.index < 30:
            time.sleep(0.01)
        session.pause()
        session.wait_for("paused")
        held = session.view.index
        time.sleep(0.3)
        assert session.view.index == held
        session.play()
        session.wait_for("playing")
        session.seek(2000)
        while session.view.index < 2010:
            time.sleep(0.01)
        passes = session.log.passes
        assert [each.base for each in passes] == [0, 2000]
        assert not any(each.is_wrong for each in passes)
        sent = time.monotonic()
        session.emergency_stop()
        view = session.wait_for("alarm", seconds=5)
        assert time.monotonic() - sent < 2.0  # measured by the bench, not by a shared machine
        assert (view.fingers, view.volume) == (0, 0)
        report = session.report()
        assert (report.lost, report.doubled, report.wrong) == (0, 0, 0)


def test_two_boards_begin_together_and_each_plays_its_own_song(board, flash, tmp_path):
    parts = [later(song(150, 20, seed=seed, cart=cart), 100) for seed, cart in ((1, 2), (2, 5))]
    (tmp_path / "other").mkdir()
    with MicroPythonBoard(flash=flash, folder=tmp_path / "other") as other:
        performances = [Performance(each.link()) for each in (board, other)]
        for performance, duties in zip(performances, parts, strict=True):
            performance.load(duties)
        perform_together(performances)
        for performance, duties in zip(performances, parts, strict=True):
            report = assert_is_whole(performance, duties)
            assert report.proved == 150
        begun = [performance._started[0] for performance in performances]
        assert begun[0] == begun[1]
        assert all(p.caller.clock.round_trip < 0.05 for p in performances)


def test_the_simulator_answers_as_the_board_does(board):
    """The same requests to both: the same results, states, indices and log."""
    records = song(60, 20, cart=2).to_bytes()
    script = [
        (wire.DATA, (0, records[:100])),
        (wire.BEGIN, (1, 0, 0)),
        (wire.START, (0, 0)),
        (wire.MANUAL, (wire.FINGER, 1, 1)),
        (wire.MANUAL, (wire.HOME, 0, 0)),
        ("wait", lambda state: state.state == wire.READY),
        (wire.BEGIN, (0, 0, 0)),
        (wire.BEGIN, (9, 5, 0)),
        (wire.START, (0, 0)),
        (wire.DATA, (6, records[60:160])),
        (wire.DATA, (5, records[50:150])),
        (wire.DATA, (9, records[90:250])),
        (wire.DATA, (25, b"\xff" * 10)),
        (wire.DATA, (25, records[:10])),
        (wire.DATA, (30, b"")),
        (wire.DATA, (25, records[250:])),
        (wire.DATA, (60, b"")),
        (wire.DATA, (60, records[:10])),
        (wire.VOLUME, (201, 255)),
        (wire.VOLUME, (80, 101)),
        (wire.VOLUME, (80, 255)),
        (wire.PAUSE, ()),
        ("wait", lambda state: not state.flags & wire.IS_MOVING),
        (wire.SEEK, (10,)),
        (wire.DATA, (10, records[100:600])),
        (wire.DATA, (60, b"")),
        ("wait", lambda state: not state.flags & wire.IS_MOVING),
        ("start", 200),
        (wire.BEGIN, (2, 0, 0)),
        (wire.MANUAL, (wire.CART, 4, 0)),
        ("wait", lambda state: state.flags & wire.FINISHED),
        (wire.LOG, (10,)),
        (wire.LOG, (55,)),
        (wire.PAUSE, ()),
        (wire.STOP, ()),
        (wire.SEEK, (0,)),
        (wire.ESTOP, ()),
        (wire.BEGIN, (3, 0, 0)),
        (wire.MANUAL, (wire.CART, 3, 0)),
        (99, ()),
    ]
    real = answers(board.link(), script)
    made = answers(SimulatorLink(SimulatedBoard()), script)
    assert made == real


def answers(link, script):
    caller = Caller(link)
    found = []
    for kind, values in script:
        if kind == "wait":
            end = link.now() + 20
            while not values(caller.call(wire.STATUS).state):
                assert link.now() < end, caller.state
                caller.poll(0.02)
            continue
        if kind == "start":
            at = round(caller.board_seconds * 1000) + 300
            answer = caller.call(wire.START, at, values)
        elif kind == wire.DATA:
            ask = caller.ask(wire.DATA, values[0], duties=values[1])
            while ask.is_open:
                caller.poll(0.1)
            answer = ask.answer
        elif kind not in wire.PAYLOADS:
            continue
        else:
            answer = caller.call(kind, *values)
        state = answer.state
        log = ()
        if kind == wire.LOG and answer.is_ok:
            first, entries = answer.log()
            log = (first, entries["digest"].tolist(), entries["outcome"].tolist())
        told = (kind, state.result, state.state, state.next, state.executed, state.alarm)
        found.append((*told, state.digest, bool(state.has(wire.HAS_END)), log))
    return found


# --- at full number


@pytest.mark.soak
@pytest.mark.parametrize(("count", "ms", "faulty"), [(1076, 197, False), (100_000, 4, True)])
def test_long_songs_are_whole(board, count, ms, faulty):
    duties = later(song(count, ms), 100)
    faults, kills = {}, ()
    if faulty:
        begun = time.monotonic()
        faults = {"drop": 0.0005, "flip": 0.0005, "lose": 0.01, "seed": 2}
        faults["silences"] = [(begun + 20.0, begun + 22.0)]
        kills = (count // 3, 2 * count // 3)
    performance = play_all(board, duties, kills=kills, seconds=1200, **faults)
    report = assert_is_whole(performance, duties, reboots=len(kills))
    assert np.isfinite(report.late_p99_ms)
