"""Requests and answers: what is lost is known and, where it should be, said again."""

import numpy as np
import pytest
from played_songs import song

from workbench.device import wire
from workbench.device.answers import parsed
from workbench.device.caller import Caller
from workbench.device.frames import Frames
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.playback.playlog import PlayLog


class Sieve:
    """A link that loses the writes whose numbers it is given."""

    def __init__(self, lost=(), options=None):
        self.link = SimulatorLink(SimulatedBoard(options))
        self.name = "sieve"
        self.lost = set(lost)
        self.writes = 0

    def now(self):
        return self.link.now()

    def read(self, seconds):
        return self.link.read(seconds)

    def write(self, data):
        self.writes += 1
        if self.writes not in self.lost:
            self.link.write(data)

    def close(self):
        pass


def test_what_was_asked_before_an_answered_request_is_lost_at_once():
    caller = Caller(Sieve(lost={1}))
    first = caller.ask(wire.STATUS, repeats=False)
    second = caller.ask(wire.STATUS, repeats=False)
    caller.poll(0.1)
    assert second.answer is not None
    assert first.is_lost
    assert caller.now() < 0.01  # long before its time is over


def test_a_lost_request_is_said_again_and_its_answer_is_the_same_ask():
    link = Sieve(lost={1, 2, 3})
    caller = Caller(link)
    answer = caller.call(wire.HELLO, wire.PROTOCOL)
    assert answer.greeting().ring == 256
    assert link.writes == 4
    assert caller.traffic.repeats == 3


def test_a_request_that_is_not_repeated_is_lost_when_its_time_is_over():
    caller = Caller(Sieve(lost={1}))
    ask = caller.ask(wire.STATUS, repeats=False)
    while ask.is_open:
        caller.poll(1.0)
    assert ask.is_lost
    assert 0.1 < caller.now() < 0.5
    assert caller.traffic.sent_frames == 1


def test_an_answer_that_comes_late_still_counts():
    caller = Caller(Sieve(options=SimulatorOptions(latency_ms=400.0)))
    assert caller.call(wire.HELLO, wire.PROTOCOL) is not None
    assert caller.now() < 0.5  # the first try's answer, though it was said again


def test_no_answer_in_time_is_none():
    caller = Caller(Sieve(lost=range(1, 1000)))
    assert caller.call(wire.STATUS, seconds=2.0) is None
    assert 2.0 <= caller.now() < 2.2


def test_a_boot_makes_all_that_waits_lost_and_the_clock_unknown():
    link = Sieve()
    caller = Caller(link)
    caller.call(wire.HELLO, wire.PROTOCOL)
    for _ in range(3):
        caller.call(wire.SYNC, bytes(8))
    assert caller.clock.is_known
    before = caller.state.boot
    link.link.board.reboot()
    ask = caller.ask(wire.STATUS)
    caller.poll(0.01)
    while caller.state.boot == before:
        caller.poll(1.0)
    assert ask.is_lost
    assert not caller.clock.is_known
    assert caller.traffic.boots == 1


def test_the_clock_of_the_board_is_known_to_a_tenth_of_a_millisecond():
    link = SimulatorLink(SimulatedBoard(SimulatorOptions(drift_ppm=50.0)))
    caller = Caller(link)
    for _ in range(200):
        caller.call(wire.SYNC, bytes(8))
        caller.poll(0.5)
    host = link.now()
    true = link.board.now / 1e6
    assert abs(caller.clock.board_at(host) - true) < 1e-4
    assert abs(caller.clock.drift - 50e-6) < 5e-6


def test_bodies_that_are_no_answers_are_nobodys():
    assert parsed(b"") is None
    assert parsed(bytes([wire.STATUS]) + bytes(60)) is None  # a request
    assert parsed(bytes([wire.HELLO | wire.ANSWER]) + bytes(60)) is None  # too short a greeting
    assert parsed(bytes([wire.EVENT]) + bytes(wire.MORE_AT - 1)) is not None


def test_a_digest_that_differs_is_wrong_and_proves_nothing_more():
    duties = song(20)
    log = PlayLog(duties)
    log.begin(5, 1, is_wanted=True)
    records = duties.to_bytes(5, 9)
    log.reached(9, wire.order_digest(5, records) & wire.LIMIT)
    assert log.report().proved == 4
    log.reached(12, 1234)
    log.reached(13, wire.order_digest(5, duties.to_bytes(5, 13)) & wire.LIMIT)
    report = log.report()
    assert (report.proved, report.wrong, report.executed) == (4, 1, 8)
    assert not report.is_whole


@pytest.mark.parametrize("count", [5_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_random_bytes_and_mutated_frames_are_never_an_answer_that_was_not_sent(count):
    answer = bytes([wire.STATUS | wire.ANSWER, 7])
    sent = [answer + bytes([value] * (wire.MORE_AT - 2)) for value in range(0, 256, 5)]
    rng = np.random.default_rng(5)
    frames = Frames()
    for _ in range(count):
        noise = rng.bytes(int(rng.integers(0, 120)))
        assert [parsed(body) for body in frames.bodies(noise)] == []
    frames.bodies(b"\x00")
    for number in range(count // 10):
        data = bytearray(wire.framed(sent[number % len(sent)]))
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
        for body in frames.bodies(bytes(data)):
            assert body in sent
        frames.bodies(b"\x00")
