"""The board's own program on a real MicroPython at the end of a pseudo-terminal."""

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

from workbench.device import deploy, wire

SHIM = Path(__file__).with_name("shim")
MICROPYTHON = Path(sys.executable).with_name("micropython")
HEAP = "48wK"  # as 48 KB on a board, whose words have 4 bytes

# Homing as fast as a move, so that a test does not wait 5 s for it.
QUICK = deploy.BoardOptions(homing_speed=35_000, presses=10_000)

TRACE = struct.Struct("<IBBH")
PIN, SERVO, STEPS, FEED, LEAVE, PACE = range(6)


def flash(folder: Path, options=QUICK) -> Path:
    """Write the flash of a board for this machine."""
    deploy.built(options, folder, march="x64")
    return folder


class Answer:
    """An answer's fields by name; `more` is what the kind added."""

    def __init__(self, body: bytes) -> None:
        self.kind, self.sequence = body[0], body[1]
        values = struct.unpack_from(wire.STATE, body, wire.STATE_AT)
        for name, value in zip(wire.STATE_NAMES.split(), values, strict=True):
            setattr(self, name, value)
        self.more = body[wire.MORE_AT :]

    def __repr__(self) -> str:
        return f"Answer({vars(self)})"


class Board:
    """A board that runs; a context manager that ends it.

    Attributes:
        traced: Bytes of the trace that were read.
    """

    def __init__(self, flash: Path, shim: Path, *, heap: str = HEAP, program="main.py", **env):
        self.flash, self.shim, self.heap, self.program, self.env = flash, shim, heap, program, env
        shim.mkdir(exist_ok=True)
        (shim / "trace").touch()
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave, termios.TCSANOW)
        self.inbox = wire.Inbox()
        self.sequence = 0
        self.events = []
        self.lines = b""

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.kill()
        os.close(self.master)
        os.close(self.slave)

    def boot(self):
        environment = os.environ | {
            "MICROPYPATH": f"{self.flash / 'lib'}:{SHIM}",
            "SHIM": str(self.shim),
            **self.env,
        }
        self.process = subprocess.Popen(
            [MICROPYTHON, "-X", f"heapsize={self.heap}", self.program],
            cwd=self.flash,
            env=environment,
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
        )

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.stderr = self.process.stderr.read().decode()
        self.process.stderr.close()
        if (error := self.flash / "error.txt").exists():
            self.stderr += error.read_text()
            error.unlink()

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]

    def receive(self, seconds: float):
        """Return the bodies that come within some time, at the first that come."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                return []
            data = os.read(self.master, 65536)
            self.lines += data
            bodies = [Answer(body) for body in self.inbox.bodies(data)]
            if bodies:
                return bodies

    def ask(self, kind: int, *values, seconds: float = 0.5, tries: int = 20) -> Answer:
        """Send a request until it is answered."""
        return self.ask_body(wire.request(kind, 0, *values), seconds=seconds, tries=tries)

    def ask_body(self, body: bytes, *, seconds: float = 0.5, tries: int = 20) -> Answer:
        self.sequence = self.sequence % 255 + 1
        frame = wire.framed(body[:1] + bytes([self.sequence]) + body[2:])
        for _ in range(tries):
            self.write(frame)
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                for answer in self.receive(left):
                    if answer.kind == wire.EVENT:
                        self.events.append(answer)
                    elif answer.sequence == self.sequence:
                        return answer
        self.process.poll()
        raise TimeoutError(f"no answer to {body[:16].hex()}: {self.lines[-500:]}")

    def until(self, condition, seconds: float = 10.0, every: float = 0.05) -> Answer:
        """Ask for the state until it is as wanted."""
        end = time.monotonic() + seconds
        while True:
            answer = self.ask(wire.STATUS)
            if condition(answer):
                return answer
            assert time.monotonic() < end, f"it did not come about: {answer}"
            time.sleep(every)

    def home(self) -> Answer:
        assert self.ask(wire.MANUAL, wire.HOME, 0, 0).result == wire.OK
        return self.until(
            lambda state: state.state == wire.READY and not state.flags & wire.IS_MOVING
        )

    def load(self, duties: bytes, *, song: int = 1, base: int = 0, is_all: bool = True) -> Answer:
        """Begin a song, fill the ring as far as it goes, and wait for the cart."""
        assert self.ask(wire.BEGIN, song, base, 0).result == wire.OK
        self.feed(duties, base)
        if is_all:
            end = base + len(duties) // wire.DUTY_BYTES
            assert self.ask_body(wire.data(0, end, b"")).result == wire.OK
        return self.until(lambda state: not state.flags & wire.IS_MOVING)

    def feed(self, duties: bytes, first: int, most: int = wire.DATA_MOST) -> Answer:
        """Send duties as far as the board has credits for half a frame."""
        state = self.ask(wire.STATUS)
        end = first + len(duties) // wire.DUTY_BYTES
        while state.next < end and state.credits >= min(most // 2 + 1, end - state.next):
            at, count = state.next - first, min(most, state.credits)
            piece = duties[at * wire.DUTY_BYTES : (at + count) * wire.DUTY_BYTES]
            state = self.ask_body(wire.data(0, state.next, piece))
            assert state.result == wire.OK, state
        return state

    def log(self, first: int) -> tuple[int, list[tuple[int, ...]]]:
        """Return the first index logged from some index on, and its entries."""
        more = self.ask(wire.LOG, first).more
        return struct.unpack_from("<I", more)[0], list(struct.iter_unpack(wire.LOG_ENTRY, more[4:]))

    def trace(self):
        """Return what has moved since boot: (ticks_ms, kind, number, value)."""
        data = (self.shim / "trace").read_bytes()
        return list(TRACE.iter_unpack(data[: len(data) // 8 * 8]))


def duty(start: int, duration: int, fingers: int = 0, cart: int = 0, volume: int = wire.KEEP):
    """Return the 10 bytes of a duty."""
    return struct.pack(wire.DUTY, start, duration, fingers, cart, volume)
