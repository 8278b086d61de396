"""Random bytes and damaged frames, into the board's parser and into the host's."""

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pico_board import HEAP, MICROPYTHON, SHIM

from workbench.device import wire

HERE = Path(__file__).parent


def fuzz_board(flashed, strings, frames, requests, seed):
    """Return what the fuzzing program told."""
    environment = {
        "MICROPYPATH": f"{flashed / 'lib'}:{SHIM}",
        "SHIM": "",
        "SEED": str(seed),
        "STRINGS": str(strings),
        "FRAMES": str(frames),
        "REQUESTS": str(requests),
    }
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={HEAP}", str(HERE / "fuzz_board.py")],
        env=os.environ | environment,
        cwd=flashed,
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert told["strings"] == ["0"]
    through, wrong, received = map(int, told["mutated"])
    assert wrong == 0
    assert through >= frames // 64
    assert received >= frames // 64
    assert told["alive"] == ["1", "2"]


def fuzz_host(strings, frames, seed):
    """Feed the host's inbox: nothing random comes through, of damaged frames only whole ones."""
    draw = random.Random(seed)
    inbox = wire.Inbox()
    for _ in range(strings):
        assert inbox.bodies(draw.randbytes(draw.randrange(24))) == []
    inbox.bodies(b"\0")
    for i in range(frames):
        body = bytes([wire.STATUS | wire.ANSWER, i & 255]) + draw.randbytes(draw.randrange(60))
        frame = bytearray(wire.framed(body))
        at = draw.randrange(len(frame))
        match draw.randrange(4):
            case 0:
                frame[at] ^= 1 << draw.randrange(8)
            case 1:
                del frame[at]
            case 2:
                frame.insert(at, draw.randrange(256))
            case 3:
                del frame[:at]
        assert all(found == body for found in inbox.bodies(bytes(frame)))
        inbox.bodies(b"\0")
        assert inbox.bodies(wire.framed(body)) == [body]


def test_no_bytes_harm_the_boards_parser(flashed):
    fuzz_board(flashed, strings=40_000, frames=2_000, requests=4_000, seed=1)


def test_no_bytes_harm_the_hosts_parser():
    fuzz_host(strings=60_000, frames=5_000, seed=1)


@pytest.mark.soak
def test_a_million_strings_and_100000_damaged_frames_harm_no_parser(flashed):
    for seed in range(2, 6):
        fuzz_board(flashed, strings=250_000, frames=25_000, requests=50_000, seed=seed)
        fuzz_host(strings=250_000, frames=25_000, seed=seed)


@given(st.lists(st.binary(max_size=wire.BODY_MOST - 2), max_size=6), st.randoms())
def test_bodies_come_out_as_they_went_in_however_the_bytes_are_cut(payloads, randoms):
    bodies = [bytes([12, i]) + payload for i, payload in enumerate(payloads)]
    sent = b"".join(wire.framed(body) for body in bodies)
    assert wire.BREAK not in sent
    assert sent.count(wire.END) == len(bodies)
    assert len(sent) <= sum(wire.stuffed_most(len(body)) for body in bodies)
    inbox, found, at = wire.Inbox(), [], 0
    while at < len(sent):
        size = randoms.randrange(1, 40)
        found += inbox.bodies(sent[at : at + size])
        at += size
    assert found == bodies
    assert (inbox.broken, inbox.breaks) == (0, 0)


@given(st.binary(max_size=wire.BODY_MOST))
def test_both_ways_to_make_a_frame_make_the_same(body):
    out = bytearray(wire.stuffed_most(len(body)))
    assert bytes(out[: wire.stuff(body, len(body), out)]) == wire.framed(body)


@given(
    st.binary(min_size=1, max_size=200),
    st.integers(0, 10**6),
    st.binary(min_size=2, max_size=200).filter(lambda body: len(body) >= 2),
)
def test_a_damaged_frame_costs_no_frame_after_it(first, place, second):
    damaged = bytearray(wire.framed(bytes([1, 1]) + first))
    damaged[place % (len(damaged) - 1)] ^= 0x40
    assert wire.Inbox().bodies(bytes(damaged) + b"\0" + wire.framed(second)) == [second]


@given(st.integers(0, wire.LIMIT), st.integers(-(2**29), 2**29 - 1))
def test_gaps_of_the_clock_are_right_over_its_wrap(earlier, gap):
    assert wire.ticks_gap(earlier + gap & wire.LIMIT, earlier) == gap


@given(st.lists(st.binary(min_size=10, max_size=10), max_size=20), st.integers(0, 20))
def test_the_digest_of_an_order_goes_on_where_it_stopped(records, cut):
    whole = wire.order_digest(7, b"".join(records))
    before = wire.order_digest(7, b"".join(records[:cut]))
    assert wire.order_digest(7 + len(records[:cut]), b"".join(records[cut:]), before) == whole
    if len(set(records)) > 1:
        assert wire.order_digest(7, b"".join(sorted(records))) != wire.order_digest(
            7, b"".join(sorted(records, reverse=True))
        )
