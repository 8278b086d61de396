"""What the board says: its answers and events, as values.

The bytes are those of `workbench.device.wire`. Units are those of the wire: milliseconds, percent,
bytes; `late` is in units of 10 microseconds.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.device import wire

_STATE = struct.Struct(wire.STATE)
_HELLO = struct.Struct(wire.HELLO_MORE)
_SYNC = struct.Struct(wire.SYNC_MORE)
_LOG_FIRST = struct.Struct("<I")
LATE_UNIT_MS = 0.01
LOG_ENTRY = np.dtype(
    [("late", "<u2"), ("outcome", "u1"), ("cart", "u1"), ("fingers", "<u2"), ("digest", "<u2")]
)
RESULTS = {
    wire.OK: "done",
    wire.GAP: "a duty before is missing",
    wire.FULL: "the ring is full",
    wire.FIELD: "a value is out of bounds",
    wire.LENGTH: "the length is wrong",
    wire.KIND: "the request is not known; deploy the board's program again",
    wire.REFUSED: "not in this state",
    wire.ALARM: "in alarm; home it first",
    wire.NOT_HOMED: "not homed; home it first",
    wire.MEMORY: "short of memory",
    wire.ENDED: "the song has ended",
    wire.CONFIG: "the board's configuration is another; deploy it again",
    wire.BUSY: "the cart moves",
}
ALARMS = {
    wire.BY_NONE: "none",
    wire.BY_ESTOP: "emergency stop",
    wire.BY_LIMIT: "limit switch",
    wire.BY_ENCODER: "the encoder differs from the steps",
    wire.BY_HOMING: "homing failed",
    wire.BY_PROGRAM: "error in the board's program",
}


@dataclass(frozen=True, slots=True)
class BoardState:
    """How the board is, as each of its answers tells; the fields of `wire.STATE`.

    Attributes:
        result: Of the request, one of `RESULTS`.
        state: One of wire's SAFE .. ALARMED.
        alarm: Why there is an alarm, one of `ALARMS`.
        cart: Position 0..11 where it stands or goes, 255 not known.
        volume: Of the air now, percent.
        gain: On every duty's volume, percent.
        flags: Bits of wire's HAS_HOMED .. REBOOTED.
        fingers: Two bits a finger.
        boot: Another number after each boot.
        next: Index of the first duty not received.
        executed: Index of the first duty not begun.
        credits: Free places of the ring.
        micros: Beside millis, 0..999.
        millis: The board's clock; wraps at 2**30.
        song: Song position, milliseconds.
        free: Bytes of heap free at the last look.
        least: The least since boot.
        late: Most lateness since BEGIN, 10 microseconds.
        broken: Frames dropped since boot, modulo 65536.
        refused: Requests answered with another result than OK, likewise.
        skipped: Duties of this song kept in time but not pressed, likewise.
        digest: Of the duties executed since BEGIN or SEEK, the lower 30 bits.
    """

    result: int
    state: int
    alarm: int
    cart: int
    volume: int
    gain: int
    flags: int
    fingers: int
    boot: int
    next: int
    executed: int
    credits: int
    micros: int
    millis: int
    song: int
    free: int
    least: int
    late: int
    broken: int
    refused: int
    skipped: int
    digest: int

    def has(self, flag: int) -> bool:
        """Return whether a flag is set."""
        return bool(self.flags & flag)


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who the board is; the fields of `wire.HELLO_MORE`.

    Attributes:
        protocol: Version of the protocol.
        data_most: Most duties a DATA frame.
        ring: Duties that the ring holds.
        config: Hash of the board's configuration.
        heap: Bytes of heap in all.
        song: Kept over a reboot; 0 is none.
        resume: Index of the first duty that was not begun before the reboot.
        uncertain: 1 where the end of duty resume - 1 is not known.
        cause: Of the boot: 0 power, 1 reboot.
        log: Duties that the board's log holds.
    """

    protocol: int
    data_most: int
    ring: int
    config: int
    heap: int
    song: int
    resume: int
    uncertain: int
    cause: int
    log: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One body that came from the board.

    Attributes:
        kind: Of the request; `wire.EVENT` where nobody asked.
        sequence: Of the request.
        state: How the board is.
        more: What the kind adds, bytes.
    """

    kind: int
    sequence: int
    state: BoardState
    more: bytes

    @property
    def result(self) -> int:
        """Result of the request."""
        return self.state.result

    @property
    def is_ok(self) -> bool:
        """Whether the board did what was asked."""
        return self.state.result == wire.OK

    def greeting(self) -> Greeting:
        """Return what a HELLO was answered with."""
        return Greeting(*_HELLO.unpack_from(self.more))

    def came(self) -> tuple[int, int]:
        """Return millis and micros of when a SYNC came."""
        _, millis, micros = _SYNC.unpack_from(self.more)
        return millis, micros

    def log(self) -> tuple[int, NDArray[np.void]]:
        """Return the index of the first entry and the entries that a LOG was answered with."""
        (first,) = _LOG_FIRST.unpack_from(self.more)
        return first, np.frombuffer(self.more, LOG_ENTRY, offset=_LOG_FIRST.size)


_MORE = {
    wire.HELLO: lambda length: length == _HELLO.size,
    wire.SYNC: lambda length: length == _SYNC.size,
    wire.LOG: lambda length: length >= 4 and (length - 4) % LOG_ENTRY.itemsize == 0,
}


def parsed(body: bytes) -> Answer | None:
    """Return what a body says, or None where it is no answer of this protocol.

    Args:
        body: Of a whole frame, without its CRC.
    """
    if len(body) < wire.MORE_AT or not body[0] & wire.ANSWER:
        return None
    is_event = body[0] == wire.EVENT
    kind = wire.EVENT if is_event else body[0] & ~wire.ANSWER
    state = BoardState(*_STATE.unpack_from(body, wire.STATE_AT))
    more = body[wire.MORE_AT :]
    if state.result == wire.OK and kind in _MORE and not _MORE[kind](len(more)):
        return None
    return Answer(kind, body[1], state, more)
