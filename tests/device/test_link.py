"""Links: real ports on this machine, their errors in clear text, losses and faults."""

import os
import socket
import threading
import time
import tty
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.device.clock import VirtualTime
from workbench.device.link import (
    FaultyLink,
    LastingLink,
    LinkLostError,
    SerialLink,
    port_problem,
    waits,
)
from workbench.device.options import LinkOptions
from workbench.errors import DeviceError


@pytest.fixture
def pty():
    """A pseudo-terminal: the end of the board, and the name of the host's."""
    board, host = os.openpty()
    tty.setraw(host)
    yield board, os.ttyname(host)
    for handle in (board, host):
        with suppress(OSError):
            os.close(handle)


def read_all(link, count, seconds=5.0):
    found, end = b"", link.now() + seconds
    while len(found) < count and link.now() < end:
        found += link.read(0.05)
    return found


# --- open ports


def test_all_byte_values_go_both_ways_over_a_pseudo_terminal(pty):
    board, name = pty
    every = bytes(range(256))
    link = SerialLink(name)
    link.write(every)
    assert os.read(board, 1000) == every
    os.write(board, every)
    assert read_all(link, 256) == every
    assert link.read(0) == b""
    link.close()
    link.close()


def test_a_socket_and_a_loop_are_ports_too():
    loop = SerialLink("loop://")
    loop.write(b"abc")
    assert read_all(loop, 3) == b"abc"
    loop.close()
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = SerialLink(f"socket://127.0.0.1:{server.getsockname()[1]}")
        other, _ = server.accept()
        other.sendall(b"x" * 5000)
        assert read_all(link, 5000) == b"x" * 5000
        link.write(b"hello")
        assert other.recv(10) == b"hello"
        other.close()
        with pytest.raises(LinkLostError):
            read_all(link, 1)
        link.close()


def test_a_read_waits_for_the_first_byte_and_no_longer_than_told(pty):
    board, name = pty
    link = SerialLink(name)
    start = time.monotonic()
    assert link.read(0.1) == b""
    assert 0.09 < time.monotonic() - start < 2
    timer = threading.Timer(0.1, os.write, (board, b"z"))
    timer.start()
    start = time.monotonic()
    assert link.read(30) == b"z"
    assert time.monotonic() - start < 10
    timer.join()
    link.close()


def test_a_port_in_use_is_told(pty):
    _, name = pty
    link = SerialLink(name)
    with pytest.raises(DeviceError, match="in use by another program"):
        SerialLink(name)
    link.close()
    SerialLink(name).close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("/dev/no-such-port", "no such port; is the board plugged in"),
        ("nonsense://x", "is no port; give"),
        ("socket://127.0.0.1:1", "could not be opened"),
    ],
)
def test_a_port_that_cannot_be_opened_is_told(url, told):
    with pytest.raises(DeviceError, match=told):
        SerialLink(url)


def test_a_missing_right_names_the_group():
    assert "dialout" in port_problem("/dev/ttyACM0", PermissionError(13, "Permission denied"))


def test_a_port_whose_other_end_goes_is_lost(pty):
    board, name = pty
    link = SerialLink(name)
    os.close(board)
    with pytest.raises(LinkLostError, match="was lost"):
        for _ in range(50):
            link.read(0.05)
            link.write(b"x")
    link.close()


def test_a_port_that_takes_no_bytes_does_not_hang(pty):
    _, name = pty
    link = SerialLink(name)
    start = time.monotonic()
    link.write(bytes(1_000_000))  # nobody reads
    assert time.monotonic() - start < 5
    link.close()


# --- dialled again


class Pipe:
    """A link of this test's own, that loses its end when told to."""

    def __init__(self, time):
        self.name = "pipe"
        self.time = time
        self.is_cut = self.is_closed = False
        self.written = b""

    def now(self):
        return self.time.now()

    def read(self, seconds):
        if self.is_cut:
            raise LinkLostError("pipe: was lost")
        self.time.wait(seconds)
        return b"r"

    def write(self, data):
        if self.is_cut:
            raise LinkLostError("pipe: was lost")
        self.written += data

    def close(self):
        self.is_closed = True


@given(st.integers(0, 1000), st.floats(0, 1))
def test_waits_double_up_to_the_longest_within_their_jitter(seed, jitter):
    options = LinkOptions(jitter=jitter)
    found = [wait for wait, _ in zip(waits(options, seed), range(9), strict=False)]
    most = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0])
    assert np.all(found <= most)
    assert np.all(found >= most * (1 - jitter))


def test_without_jitter_the_waits_are_exact():
    found = [wait for wait, _ in zip(waits(LinkOptions(jitter=0)), range(7), strict=False)]
    assert found == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_a_lost_link_is_dialled_again_at_growing_waits():
    clock = VirtualTime()
    pipes, tries = [], []

    def dial():
        tries.append(clock.now())
        if 2 <= len(tries) <= 5:
            raise DeviceError("not there yet")
        pipes.append(Pipe(clock))
        return pipes[-1]

    link = LastingLink(dial, LinkOptions(jitter=0), time=clock)
    assert link.read(0.5) == b"r"
    pipes[0].is_cut = True
    cut = clock.now()
    assert link.read(0.5) == b""
    assert not link.is_up
    assert pipes[0].is_closed
    link.write(b"into nothing")
    while not link.is_up:
        assert link.read(10.0) == b"" or link.is_up
    found = np.diff([cut, *tries[1:]])
    assert found == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert link.losses == 1
    assert link.down_since is None
    link.write(b"heard")
    assert pipes[1].written == b"heard"
    link.close()
    assert pipes[1].is_closed
    assert link.read(1.0) == b""
    assert len(tries) == 6


def test_a_write_that_finds_the_link_gone_raises_nothing():
    clock = VirtualTime()
    pipe = Pipe(clock)
    link = LastingLink(lambda: pipe, time=clock)
    pipe.is_cut = True
    link.write(b"x")
    assert not link.is_up


def test_the_first_dial_tells_its_error():
    def dial():
        raise DeviceError("no such port")

    with pytest.raises(DeviceError, match="no such port"):
        LastingLink(dial)


# --- faults


class Echo:
    """What is written comes back at once, on a time of its own."""

    def __init__(self):
        self.name = "echo"
        self.time = VirtualTime()
        self.held = b""

    def now(self):
        return self.time.now()

    def read(self, seconds):
        if not self.held:
            self.time.wait(seconds)
        found, self.held = self.held, b""
        return found

    def write(self, data):
        self.held += data

    def close(self):
        pass


def test_no_faults_are_a_plain_link():
    link = FaultyLink(Echo())
    link.write(bytes(range(256)) * 10)
    assert read_all(link, 2560) == bytes(range(256)) * 10


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_drops_and_flips_are_as_many_as_asked_for_and_drawn_by_the_seed(seed):
    def through():
        link = FaultyLink(Echo(), seed=seed, drop=0.01, flip=0.02)
        link.write(bytes(50_000))
        return read_all(link, 50_000, seconds=1), link

    found, link = through()
    assert len(found) == 50_000 - link.dropped
    assert 700 < link.dropped < 1300  # both ways
    assert 1500 < link.flipped < 2500
    assert through()[0] == found


def test_a_slow_link_takes_its_time_each_way():
    link = FaultyLink(Echo(), rate=1000)
    link.write(bytes(500))
    assert read_all(link, 500) == bytes(500)
    assert 0.5 <= link.now() <= 0.55 + 0.05


def test_in_a_silence_nothing_goes_through_and_after_it_all_does():
    echo = Echo()
    link = FaultyLink(echo, silences=[(1.0, 3.0)])
    link.write(b"before")
    assert read_all(link, 6) == b"before"
    echo.time.wait(1.5)
    link.write(b"within")
    assert read_all(link, 6, seconds=1.0) == b""
    echo.time.wait(1.0)
    link.write(b"after")
    assert read_all(link, 5) == b"after"


def test_lost_writes_are_lost_whole():
    link = FaultyLink(Echo(), lose=0.5, seed=3)
    for _ in range(100):
        link.write(b"12345678")
    found = read_all(link, 800, seconds=1)
    assert len(found) % 8 == 0
    assert 200 < len(found) < 600
