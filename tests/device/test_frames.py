"""Frames: the same bodies as the board's own parser takes, whatever comes and however it is cut."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.device import wire
from workbench.device.frames import Frames

bodies = st.binary(min_size=2, max_size=wire.BODY_MOST)


def cut(data, places):
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(st.lists(bodies, max_size=5), st.lists(st.integers(0, 10**6), max_size=6))
def test_bodies_come_back_however_the_bytes_are_cut(sent, places):
    data = b"".join(wire.framed(body) for body in sent)
    assert wire.BREAK not in data
    frames = Frames()
    assert [body for part in cut(data, places) for body in frames.bodies(part)] == sent
    assert frames.broken == 0


@settings(max_examples=300)
@given(
    st.lists(bodies, min_size=1, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(["flip", "drop", "add", "cut"])),
        max_size=6,
    ),
    st.integers(0, 255),
)
@example([b"\xda" * 40], [(3, "drop")], 1)
def test_damage_leaves_the_same_bodies_as_the_boards_own_parser(sent, damages, value):
    data = bytearray(b"".join(wire.framed(body) for body in sent))
    for place, kind in damages:
        at = place % max(len(data), 1)
        if kind == "flip" and data:
            data[at] ^= 1 << place % 8
        elif kind == "drop":
            del data[at : at + 1]
        elif kind == "add":
            data.insert(at, value)
        else:
            del data[at:]
    plain = bytes(data).replace(b"\x03", b"")  # a BREAK is the board's own business
    frames, inbox = Frames(), wire.Inbox()
    assert frames.bodies(plain) == inbox.bodies(plain)
    assert frames.broken == inbox.broken


@given(st.binary(max_size=4000))
def test_random_bytes_raise_nothing_and_hold_little(data):
    frames, inbox = Frames(), wire.Inbox()
    found = [body for at in range(0, len(data), 7) for body in frames.bodies(data[at : at + 7])]
    assert found == inbox.bodies(data.replace(b"\x03", b"\x02")) or b"\x03" in data
    assert len(frames._begun) <= 2 * (wire.BODY_MOST + 4) + 1


def test_a_frame_without_end_is_dropped_and_the_next_is_taken():
    frames = Frames()
    assert frames.bodies(b"\x55" * 100_000) == []
    assert len(frames._begun) < 2000
    assert frames.bodies(b"\x00" + wire.framed(b"hello")) == [b"hello"]
    assert frames.broken == 1


def test_a_frame_with_a_break_in_it_is_dropped():
    frame = wire.framed(b"hello there")
    frames = Frames()
    assert frames.bodies(frame[:4] + b"\x03" + frame[4:] + frame) == [b"hello there"]
    assert frames.broken == 1
