"""Throws bytes at the board's own parser and requests, in MicroPython; prints what came through.

`SEED`, `STRINGS`, `FRAMES` and `REQUESTS` in the environment say what and how many.
"""

import gc

gc.threshold(1024)

import os  # noqa: E402
import random  # noqa: E402
import struct  # noqa: E402

from robot import config, wire  # noqa: E402
from robot import link as links  # noqa: E402
from robot.board import Board  # noqa: E402

random.seed(int(os.getenv("SEED")))
draw = random.getrandbits
board = Board(config, 0)
link, player, cart = board.link, board.player, board.cart
gc.threshold(8192)


class Out:
    """Where answers go: nobody reads them."""

    def write(self, *_):
        """Take an answer."""


link._out = Out()


def record(index):
    """Return the duty that the song has at an index."""
    sides = index * 40503 & 0x1555
    return struct.pack(wire.DUTY, index * 3, 1 + index % 999, sides, 0, index % 101)


def feed(data):
    """Give bytes to the link as they would come; return how many bodies came through."""
    bodies = 0
    for byte in data:
        came = link._take(byte)
        if came == links.BODY:
            bodies += 1
            board._act()
        elif came == links.LINE and link.line:
            link.line.answer()
    return bodies


def at_rest():
    """Bring the board to where a song may be loaded, whatever was asked of it before."""
    board.stop()
    board.alarm = 0
    cart.is_homed, cart.goal, cart._phase = True, 0, 0


def strings(count):
    """Feed strings of random bytes; none may come through, as a CRC of 32 bits sees to it."""
    through = 0
    for _ in range(count):
        through += feed(bytes(draw(8) for _ in range(draw(4) + draw(3))))
    return through


def mutated(count):
    """Feed damaged frames of a song; whatever gets in must be the song's duties."""
    through = wrong = 0
    at_rest()
    board.begin(1, 0, 0)
    for _ in range(count):
        first = max(player.next - draw(2), 0)
        duties = b"".join(record(first + i) for i in range(1 + draw(2)))
        frame = bytearray(wire.framed(wire.data(1, first, duties)))
        for _ in range(1 + draw(1)):
            at = random.randrange(len(frame))
            kind = draw(2)
            if kind == 0:
                frame[at] ^= 1 << draw(3)
            elif kind == 1:
                frame[at : at + 1] = b""
            elif kind == 2:
                frame[at:at] = bytes([draw(8)])
            else:
                frame = frame[at:]
            if not frame:
                break
        before = player.next
        if draw(5) == 0:  # a whole one, so that the song goes on
            frame = b"\0" + wire.framed(wire.data(1, first, duties))
        through += feed(frame)
        for index in range(before, player.next):
            at = index % player.size * 10
            wrong += bytes(player.ring[at : at + 10]) != record(index)
        player.executed = player.next  # there is always room
        if board.alarm:
            at_rest()
            board.begin(1, player.next, 0)
    return through, wrong, player.next


def requests(count):
    """Act on whole bodies of random kinds and payloads: nothing may be raised."""
    for _ in range(count):
        kind = draw(4)
        if draw(4) == 0:
            at_rest()
        if kind in wire.PAYLOADS and draw(3):
            size = struct.calcsize(wire.PAYLOADS[kind])
            if kind == wire.DATA:
                size += 10 * draw(2)
        else:
            size = draw(4)
        body = bytes([kind, draw(8)]) + bytes(
            draw(8) & (255 if draw(1) else 1) for _ in range(size)
        )
        link.inbox.body[: len(body)] = body
        link.inbox.length = len(body) + 4
        board._act()
        board.clock.tick()
        player.tick()
        assert 0 <= player.next - player.executed <= player.size
        assert board.air.volume <= 100
        assert board.fingers.now >> 14 == 0


print("strings", strings(int(os.getenv("STRINGS"))))
print("mutated", *mutated(int(os.getenv("FRAMES"))))
requests(int(os.getenv("REQUESTS")))
at_rest()
board.begin(1, 0, 0)
link._take(wire.END)
print("alive", feed(wire.framed(wire.data(1, 0, record(0) + record(1)))), player.next)
