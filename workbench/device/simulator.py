"""A board made of Python: the protocol to the byte, the robot as a model, time as it is given.

`SimulatedBoard` knows no clock of its own: bytes come with the time they came at, and it runs up to
a time. `SimulatorLink` puts it on a `Time`: on a `VirtualTime` hours pass in seconds, on a
`RealTime` it is as fast as a robot. Its cart moves as a trapezoid of speed, its heap as one that
is collected when it runs low. Units inside: microseconds of the board's clock since it was made.
"""

import math
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.device import wire
from workbench.device.answers import BoardState
from workbench.device.clock import Time, VirtualTime
from workbench.device.frames import unframed
from workbench.device.options import SimulatorOptions
from workbench.device.simulated_lines import Lines

_STEPS_A_POSITION = 1880
_ACCELERATION = 250_000.0  # steps/s2
_CRUISE = 35_000.0  # steps/s
_FRAME_GARBAGE = 240  # bytes that a frame leaves on the heap
_LONGEST = 2 * (wire.BODY_MOST + 4) + 1  # bytes of a frame, and one more
_LINE_ENDS = b"\r\n"
_NEVER = 2**62
_UNKNOWN_CART = 255
_MOVE_MOST_MS = 250  # that START may move a running clock
_DUTY = struct.Struct(wire.DUTY)
_STATE = struct.Struct(wire.STATE)
_GRAIN = 0.001  # seconds that real time is waited for at least
_DRAWN = 4096  # latenesses drawn at once


@dataclass(frozen=True, slots=True)
class Execution:
    """One duty that a simulated board executed.

    Attributes:
        boot: Of the board.
        index: Of the duty.
        record: Its 10 bytes.
        at: When, microseconds of the board's clock since it was made.
        late: Microseconds.
        outcome: One of wire's PLAYED .. NO_BUDGET.
    """

    boot: int
    index: int
    record: bytes
    at: int
    late: int
    outcome: int


@dataclass(frozen=True, slots=True)
class Pose:
    """How a simulated robot stands.

    Attributes:
        cart: Place on the rail, in positions 0..11; not whole while it moves.
        fingers: Two bits a finger.
        volume: Percent.
        is_moving: Whether the cart moves.
    """

    cart: float
    fingers: int
    volume: int
    is_moving: bool


def flight_seconds(positions: int) -> float:
    """Return how long the cart takes for some positions, at most speed and acceleration."""
    steps = abs(positions) * _STEPS_A_POSITION
    if steps <= _CRUISE**2 / _ACCELERATION:
        return 2 * math.sqrt(steps / _ACCELERATION)
    return steps / _CRUISE + _CRUISE / _ACCELERATION


class SimulatedBoard:
    """A board and its robot.

    Attributes:
        executions: What was executed, since it was made.
        boots: How often it booted.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        """Switch it on, at time 0.

        Args:
            options: What board it is.
        """
        self.options = options or SimulatorOptions()
        self.executions: list[Execution] = []
        self.boots = 0
        self._rng = np.random.default_rng(self.options.seed)
        self._crashes: deque[tuple[int, bool]] = deque()
        self._kept = (0, 0, 0)  # song, resume, uncertain: what a reboot leaves
        self._lates: list[int] = []
        self._is_original = self.options.program == "original"
        self._now = 0
        self._boot(0, cause=0)

    # --- what the world does to it

    def take(self, data: bytes, at: int) -> None:
        """Receive bytes.

        Args:
            data: As they came.
            at: When, not before the last call.
        """
        self.run(at)
        if at < self._up_at:
            return
        while data:
            data = self._taken(data)

    def run(self, until: int, *, is_to_word: bool = False) -> None:
        """Live up to a time.

        Args:
            until: Not before the last call.
            is_to_word: Whether to stop sooner, when something is said.
        """
        while (at := self.next_change()) <= until:
            if is_to_word and self._out and self._out[0][0] <= at:
                break
            self._now = max(self._now, at)
            self._change()
        if is_to_word and self._out:
            until = min(until, self._out[0][0])
        self._now = max(self._now, until)

    def said(self) -> bytes:
        """Return, once, the bytes it has sent up to now."""
        found = []
        while self._out and self._out[0][0] <= self._now:
            found.append(self._out.popleft()[1])
        return b"".join(found)

    def next_word(self) -> int:
        """Return when it says something next, as far as is known."""
        return self._out[0][0] if self._out else _NEVER

    def reboot(self, *, cause: int = 1, is_torn: bool = False) -> None:
        """Lose all but the scratch registers, and begin anew.

        Args:
            cause: 0 power, which loses the registers too, 1 a crash.
            is_torn: Whether the next duty's index was written, and its end was not.
        """
        song, executed = self._song, self._executed
        if cause == 0:
            self._kept = (0, 0, 0)
        elif song:
            self._kept = (song, executed + is_torn, int(is_torn))
        self._boot(self._now + int(self.options.boot_ms * 1000), cause)

    def reboot_before(self, index: int, *, is_torn: bool = False) -> None:
        """Crash when a duty would be executed.

        Args:
            index: Of the duty.
            is_torn: Whether its index is written first; whether it still sounds is then drawn.
        """
        self._crashes.append((index, is_torn))

    def trip(self, alarm: int = wire.BY_LIMIT) -> None:
        """Let a switch or a sensor stop the robot.

        Args:
            alarm: One of wire's BY_ESTOP .. BY_PROGRAM.
        """
        self._alarmed(alarm)
        self._tell()

    # --- what its lines of JSON ask of it

    def do(self, kind: int, *values: int | bytes) -> int:
        """Do what a request asks for; return its result."""
        result, _ = _DO[kind](self, *values)
        return result

    def told(self) -> BoardState:
        """Return how it is, as every answer tells."""
        return BoardState(*_STATE.unpack_from(self._body(wire.STATUS, 0, wire.OK), wire.STATE_AT))

    def start(self, wait_ms: int, song_ms: int) -> None:
        """Let a song position sound in so many ms, though the cart still moves."""
        self._run_from(self._now + wait_ms * 1000 - song_ms * 1000, song_ms)

    def wait_for_host(self, ms: float) -> None:
        """Play so long without a word of the host, until the next song by frames."""
        self._silence = int(ms * 1000)

    # --- looks

    @property
    def now(self) -> int:
        """The time it has lived up to, microseconds."""
        return self._now

    @property
    def executed(self) -> int:
        """Index of the first duty not begun."""
        return self._executed

    def pose(self) -> Pose:
        """Return how the robot stands now."""
        begun, end = self._move_began, self._cart_there
        moved = 1.0 if self._now >= end else max(0.0, (self._now - begun) / max(end - begun, 1))
        eased = moved * moved * (3 - 2 * moved)
        cart = self._cart_from + (self._cart - self._cart_from) * eased
        known = self._is_homed and self._cart < wire.POSITIONS
        return Pose(cart if known else 0.0, self._fingers_now(), self._volume, self._is_moving())

    # --- its life

    def _boot(self, up_at: int, cause: int) -> None:
        self.boots += 1
        self._boot_number = int(self._rng.integers(1, wire.LIMIT))
        self._cause = cause
        self._up_at = self._heard_at = up_at
        self._zero = up_at
        self._out: deque[tuple[int, bytes]] = deque()
        self._line: bytearray | None = bytearray() if self._is_original else None
        self._lines = Lines(self, is_original=self._is_original)
        self._silence = int(self.options.silence_ms * 1000)
        self._begun = b""
        self._broken = self._refused = 0
        self._garbage = 0
        self._least = self.options.heap_bytes
        self._state, self._alarm = wire.SAFE, wire.BY_NONE
        self._is_homed = False
        self._cart, self._cart_from = _UNKNOWN_CART, 0.0
        self._move_began = self._cart_there = 0
        self._homed_at, self._homed_state = _NEVER, wire.READY
        self._volume, self._gain = 0, 100
        self._fingers, self._fingers_end, self._lifted = 0, 0, 0
        self._executed = self._digest = 0
        self._forget_song()
        if self.boots > 1 and not self._is_original:
            self._say_at(up_at, self._body(wire.EVENT, 0, wire.OK))

    def _forget_song(self) -> None:
        digest, self._song = self._digest, 0
        self._empty(self._executed)
        self._digest = digest

    def _empty(self, base: int) -> None:
        self._ring: deque[tuple[int, int, int, int, int]] = deque()
        self._log: deque[bytes] = deque(maxlen=self.options.log)
        self._log_end = base
        self._next = self._executed = base
        self._last_start = 0
        self._last_cart = -1
        self._origin: int | None = None  # when song position 0 sounds or would have
        self._paused_ms = 0
        self._end: int | None = None
        self._is_finished = self._is_underrun = self._is_silent = False
        self._late_most = self._skipped = self._digest = 0
        self._held = (0, 0, 0, 0)  # song position, fingers, volume, end: what a pause let go

    def next_change(self) -> int:
        """Return when its state changes next by itself."""
        if self._state == wire.HOMING:
            return self._homed_at
        if self._state != wire.PLAYING:
            return _NEVER
        silent = self._heard_at + self._silence
        if self._ring:
            due = (self._origin or 0) + self._ring[0][0] * 1000
            return due if due < silent else silent
        if self._is_underrun:
            return silent
        return min(silent, max(self._fingers_end, self._now))

    def _change(self) -> None:
        if self._state == wire.HOMING:
            self._homed()
        elif self._ring and self._due(self._ring[0][0]) <= self._now:
            self._execute()
        elif self._now >= self._heard_at + self._silence:
            self._pause()
            self._is_silent = True
            self._tell()
        elif self._end is not None and self._executed >= self._end:
            self._paused_ms, self._origin = self._song_ms(), None
            self._release()
            self._state, self._is_finished, self._volume = wire.READY, True, 0
            self._kept = (0, 0, 0)
            self._tell()
        else:
            self._is_underrun = True
            self._tell()

    def _due(self, start_ms: int) -> int:
        return (self._origin or 0) + start_ms * 1000

    def _execute(self) -> None:
        """Execute the first duty of the ring: its index first, then what it does."""
        if self._crashes and self._crashes[0][0] == self._executed:
            _, is_torn = self._crashes.popleft()
            if is_torn and self._rng.random() < 0.5:
                self._act()
                self._executed -= 1  # reboot counts it
            self.reboot(is_torn=is_torn)
            return
        self._act()

    def _act(self) -> None:
        duty = start, duration, fingers, cart, volume = self._ring.popleft()
        due = self._due(start)
        late = max(0, self._now - due) + self._drawn_late()
        self._executed += 1
        if volume != wire.KEEP:
            self._volume = volume * self._gain // 100
        if cart != self._cart:
            self._release()
            self._send_cart(cart)
        outcome = wire.PLAYED
        if fingers and late > self.options.limit_ms * 1000:
            outcome = wire.WAS_LATE
        elif fingers and self._cart_there - self._now > self.options.arrival_ms * 1000:
            outcome = wire.NO_CART
        self._skipped += outcome != wire.PLAYED
        if self._fingers_now() and not fingers:
            self._lifted = self._now
        self._fingers = fingers if outcome == wire.PLAYED else 0
        self._fingers_end = due + duration * 1000
        self._late_most = max(self._late_most, late)
        record = _DUTY.pack(*duty)
        told = (min(late // 10, 65535), outcome, cart, self._fingers, wire.record_digest(record))
        self._log.append(struct.pack(wire.LOG_ENTRY, *told))
        self._log_end = self._executed
        index = self._executed - 1
        self._digest = wire.order_digest(index, record, self._digest)
        self.executions.append(
            Execution(self._boot_number, index, record, self._now, late, outcome)
        )

    def _drawn_late(self) -> int:
        if not self._lates:
            scale = self.options.late_ms * 1000
            self._lates = self._rng.exponential(scale, _DRAWN).astype(int).tolist()
        return self._lates.pop()

    # --- the robot

    def _is_moving(self) -> bool:
        return self._now < self._cart_there

    def _fingers_now(self) -> int:
        is_held = self._state == wire.PLAYING and self._now < self._fingers_end
        return self._fingers if is_held or self._fingers_end == _NEVER else 0

    def _release(self) -> None:
        if self._fingers_now():
            self._lifted = self._now
        elif self._fingers:
            self._lifted = min(self._fingers_end, self._now)
        self._fingers, self._fingers_end = 0, 0

    def _send_cart(self, cart: int) -> None:
        begin = max(self._now, self._lifted + int(self.options.clear_ms * 1000), self._cart_there)
        self._cart_from = float(self._cart if self._cart < wire.POSITIONS else 0)
        self._move_began = begin
        self._cart_there = begin + int(flight_seconds(cart - int(self._cart_from)) * 1e6)
        self._cart = cart

    def _homed(self) -> None:
        self._is_homed, self._homed_at = True, _NEVER
        self._cart, self._cart_from, self._cart_there = 0, 0.0, 0
        self._state = self._homed_state
        self._tell()

    def _safe(self) -> None:
        self._release()
        self._volume = 0
        self._forget_song()

    def _alarmed(self, alarm: int) -> None:
        self._safe()
        self._state, self._alarm = wire.ALARMED, alarm
        self._is_homed, self._homed_at = False, _NEVER

    def _pause(self) -> None:
        self._paused_ms = at = self._song_ms()
        left = self._fingers_end - self._now
        self._held = (at, self._fingers_now(), self._volume, left) if left > 0 else (0, 0, 0, 0)
        self._release()
        self._volume = 0
        self._state, self._origin = wire.PAUSED, None

    def _song_ms(self) -> int:
        if self._origin is None:
            return self._paused_ms
        return max(0, (self._now - self._origin) // 1000)

    # --- its words

    def _taken(self, data: bytes) -> bytes:
        """Take the first frame or line of some bytes, or its part; return the rest."""
        if self._line is not None or self._is_original:
            return self._line_taken(data)
        if not self._begun and data[0] == wire.BREAK:
            self._alarmed(wire.BY_ESTOP)
            self._tell()
            return data[1:]
        if not self._begun and data[0] == wire.LINE_START:
            self._line = bytearray()
            return data
        if not self._begun and data[0] in _LINE_ENDS:
            return data[1:]
        end = data.find(wire.END)
        part = data if end < 0 else data[:end]
        if wire.BREAK in part:  # damage; from here a frame may begin
            self._begun = b""
            self._broken += 1
            return data[data.index(wire.BREAK) + 1 :]
        self._begun += part
        if end >= 0:
            frame, self._begun = self._begun, b""
            self._frame(frame)
        elif len(self._begun) > _LONGEST:
            self._begun = self._begun[:_LONGEST]  # too long already
        return data[len(part) + 1 :]

    def _line_taken(self, data: bytes) -> bytes:
        end = data.find(wire.LINE_END)
        if self._line is None or end < 0:
            self._line = (self._line or bytearray()) + data
            return b""
        line = bytes(self._line + data[:end])
        self._line = bytearray() if self._is_original else None
        if line.strip():
            answer = self._lines.answer(line)
            self._out.append((self._now + int(self.options.latency_ms * 1000), answer))
        return data[end + 1 :]

    def _frame(self, frame: bytes) -> None:
        if not frame:
            return
        body = unframed(frame)
        if body is None:
            self._broken += 1
            return
        self._heard_at = self._now
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self._spend(_FRAME_GARBAGE)
        kind, sequence = body[0], body[1]
        more = b""
        values, result = _payload(kind, body)
        if result == wire.OK:
            result, more = _DO[kind](self, *values)
        self._refused += result != wire.OK
        at = self._now + int(self.options.latency_ms * 1000)
        self._say_at(at, self._body(kind | wire.ANSWER, sequence, result, at) + more)

    def _say_at(self, at: int, body: bytes) -> None:
        after = self._out[-1][0] if self._out else 0
        self._out.append((max(at, after), wire.framed(body)))

    def _tell(self) -> None:
        if self._is_original:
            return
        self._say_at(self._now, self._body(wire.EVENT, 0, wire.OK))

    def _spend(self, count: int) -> None:
        """Take from the heap; collect what is not used any more when a quarter is left."""
        self._garbage += count
        room = self.options.heap_bytes - self.options.program_bytes
        self._least = min(self._least, max(0, room - self._garbage))
        if self._garbage > room * 3 // 4:
            self._garbage = 0

    @property
    def _free(self) -> int:
        return max(0, self.options.heap_bytes - self.options.program_bytes - self._garbage)

    def _flags(self) -> int:
        known = (
            (wire.HAS_HOMED, self._is_homed),
            (wire.IS_MOVING, self._is_moving()),
            (wire.HAS_END, self._end is not None),
            (wire.UNDERRUN, self._is_underrun),
            (wire.SILENT, self._is_silent),
            (wire.FINISHED, self._is_finished),
            (wire.UNCERTAIN, bool(self._kept[2])),
            (wire.REBOOTED, self._cause != 0),
        )
        return sum(bit for bit, is_set in known if is_set)

    def _body(self, kind: int, sequence: int, result: int, at: int | None = None) -> bytes:
        ticks = max(0, (self._now if at is None else at) - self._zero)
        state = _STATE.pack(
            result,
            self._state,
            self._alarm,
            self._cart if self._is_homed else _UNKNOWN_CART,
            self._volume,
            self._gain,
            self._flags(),
            self._fingers_now(),
            self._boot_number,
            self._next,
            self._executed,
            self.options.ring - len(self._ring),
            ticks % 1000,
            ticks // 1000 & wire.LIMIT,
            self._song_ms(),
            self._free,
            self._least,
            min(self._late_most // 10, 65535),
            self._broken & 65535,
            self._refused & 65535,
            self._skipped & 65535,
            self._digest & wire.LIMIT,
        )
        return bytes((kind, sequence)) + state

    # --- what it does when asked; each returns a result and what the answer adds

    def _hello(self, _protocol: int) -> tuple[int, bytes]:
        song, resume, uncertain = self._kept
        options = self.options
        return wire.OK, struct.pack(
            wire.HELLO_MORE,
            wire.PROTOCOL,
            wire.DATA_MOST,
            options.ring,
            options.config,
            options.heap_bytes,
            song,
            resume,
            uncertain,
            self._cause,
            options.log,
        )

    def _refusal(self) -> int:
        """Return why no song can be played now, or OK."""
        if self._state == wire.ALARMED:
            return wire.ALARM
        return wire.OK if self._is_homed else wire.NOT_HOMED

    def _begin(self, song: int, base: int, config: int) -> tuple[int, bytes]:
        result = self._refusal()
        if result == wire.OK and self._state == wire.PLAYING:
            result = wire.REFUSED
        elif result == wire.OK and not song:
            result = wire.FIELD
        elif result == wire.OK and config not in (0, self.options.config):
            result = wire.CONFIG
        if result == wire.OK:
            self._release()
            self._empty(base)
            self._silence = int(self.options.silence_ms * 1000)
            self._song, self._state = song, wire.FILLING
            self._kept = (0, 0, 0)
        return result, b""

    def _seek(self, base: int) -> tuple[int, bytes]:
        result = self._refusal()
        if result == wire.OK and not self._song:
            result = wire.REFUSED
        if result == wire.OK:
            self._release()
            self._empty(base)
            self._state = wire.FILLING
        return result, b""

    def _data(self, first: int, records: bytes) -> tuple[int, bytes]:
        result = self._refusal()
        if result == wire.OK:
            result = self._taken_duties(first, records)
        return result, b""

    def _taken_duties(self, first: int, records: bytes) -> int:
        if not self._song:
            return wire.REFUSED
        if len(records) + _FRAME_GARBAGE > self._free:
            return wire.MEMORY
        if first > self._next:
            return wire.GAP
        if self._end is not None:
            is_known = first + len(records) // wire.DUTY_BYTES <= self._next
            return wire.OK if is_known else wire.ENDED
        if not records and first == self._next:
            self._end = self._next
        return self._put(records[(self._next - first) * wire.DUTY_BYTES :])

    def _put(self, records: bytes) -> int:
        """Put duties into the ring, as far as they are allowed and find room."""
        for duty in _DUTY.iter_unpack(records):
            if len(self._ring) >= self.options.ring:
                return wire.FULL
            start = duty[0]
            if start < self._last_start or start > wire.LIMIT or not wire.is_duty(*duty[1:]):
                return wire.FIELD
            if self._last_cart < 0 and duty[3] != self._cart:
                self._send_cart(duty[3])
            self._ring.append(duty)
            self._last_start, self._last_cart = start, duty[3]
            self._next += 1
            self._is_underrun = False
        return wire.OK

    def _start(self, at: int, song_ms: int) -> tuple[int, bytes]:
        result = self._refusal()
        is_empty = not self._ring and self._end is None
        if result == wire.OK and (self._state == wire.READY or is_empty):
            result = wire.REFUSED
        now_ms = (self._now - self._zero) // 1000
        gap = wire.ticks_gap(at, now_ms & wire.LIMIT)
        origin = self._zero + (now_ms + gap - song_ms) * 1000
        if result == wire.OK and self._state == wire.PLAYING:
            is_far = abs(origin - (self._origin or 0)) > _MOVE_MOST_MS * 1000
            result = wire.REFUSED if is_far else wire.OK
        elif result == wire.OK and self._state == wire.FILLING and self._is_moving():
            result = wire.BUSY
        if result == wire.OK:
            self._run_from(origin, song_ms)
        return result, b""

    def _run_from(self, origin: int, song_ms: int) -> None:
        """Let the song clock run; what a pause interrupted there sounds on."""
        self._origin, self._state = origin, wire.PLAYING
        self._is_silent = self._is_underrun = False
        at_song, fingers, volume, left = self._held
        if left and at_song == song_ms:
            self._fingers, self._volume = fingers, volume
            self._fingers_end = origin + song_ms * 1000 + left
        self._held = (0, 0, 0, 0)

    def _paused(self) -> tuple[int, bytes]:
        if self._state == wire.PLAYING:
            self._pause()
        return (wire.OK if self._state == wire.PAUSED else wire.REFUSED), b""

    def _stop(self) -> tuple[int, bytes]:
        self._safe()
        if self._state not in (wire.ALARMED, wire.HOMING):
            self._state = wire.READY if self._is_homed else wire.SAFE
        return wire.OK, b""

    def _estop(self) -> tuple[int, bytes]:
        self._alarmed(wire.BY_ESTOP)
        return wire.OK, b""

    def _loudness(self, gain: int, volume: int) -> tuple[int, bytes]:
        if gain > 200 or (volume > 100 and volume != wire.KEEP):
            return wire.FIELD, b""
        if self._state == wire.ALARMED and volume != wire.KEEP:
            return wire.ALARM, b""
        self._gain = gain
        if volume != wire.KEEP:
            self._volume = volume
        return wire.OK, b""

    def _manual(self, action: int, a: int, b: int) -> tuple[int, bytes]:
        if self._state == wire.PLAYING:
            return wire.REFUSED, b""
        if action == wire.HOME:
            if self._state != wire.HOMING:
                self._begin_homing()
            return wire.OK, b""
        if self._state == wire.ALARMED:
            return wire.ALARM, b""
        return self._manual_move(action, a, b), b""

    def _begin_homing(self) -> None:
        self._release()
        self._volume, self._alarm, self._is_homed = 0, wire.BY_NONE, False
        is_song = self._state in (wire.FILLING, wire.PAUSED)
        self._homed_state = self._state if is_song else wire.READY
        self._state = wire.HOMING
        self._homed_at = self._now + int(self.options.homing_ms * 1000)

    def _manual_move(self, action: int, a: int, b: int) -> int:
        result = wire.OK
        if action == wire.RELEASE:
            self._release()
        elif action == wire.CART and not self._is_homed:
            result = wire.NOT_HOMED
        elif action == wire.CART and a < wire.POSITIONS:
            self._release()
            self._send_cart(a)
        elif action == wire.FINGER and a < wire.FINGERS and b <= 2:
            result = self._press(a, b)
        else:
            result = wire.FIELD
        return result

    def _press(self, finger: int, side: int) -> int:
        if side and self._is_moving():
            return wire.BUSY
        held = self._fingers if self._fingers_end == _NEVER else 0
        self._fingers = held & ~(3 << 2 * finger) | side << 2 * finger
        self._fingers_end = _NEVER
        return wire.OK

    def _sync(self, chosen: bytes) -> tuple[int, bytes]:
        ticks = max(0, self._now - self._zero)
        millis = ticks // 1000 & wire.LIMIT
        return wire.OK, struct.pack(wire.SYNC_MORE, chosen, millis, ticks % 1000)

    def _status(self) -> tuple[int, bytes]:
        return wire.OK, b""

    def _logged(self, index: int) -> tuple[int, bytes]:
        first = max(index, self._log_end - len(self._log))
        skip = first - (self._log_end - len(self._log))
        entries = [self._log[at] for at in range(skip, min(len(self._log), skip + wire.LOG_MOST))]
        return wire.OK, struct.pack("<I", first) + b"".join(entries)


_DO: dict[int, Callable[..., tuple[int, bytes]]] = {
    wire.HELLO: SimulatedBoard._hello,
    wire.BEGIN: SimulatedBoard._begin,
    wire.DATA: SimulatedBoard._data,
    wire.START: SimulatedBoard._start,
    wire.PAUSE: SimulatedBoard._paused,
    wire.SEEK: SimulatedBoard._seek,
    wire.STOP: SimulatedBoard._stop,
    wire.ESTOP: SimulatedBoard._estop,
    wire.VOLUME: SimulatedBoard._loudness,
    wire.MANUAL: SimulatedBoard._manual,
    wire.SYNC: SimulatedBoard._sync,
    wire.STATUS: SimulatedBoard._status,
    wire.LOG: SimulatedBoard._logged,
}


def _payload(kind: int, body: bytes) -> tuple[tuple[int | bytes, ...], int]:
    """Return the values of a request, and OK or why they cannot be taken."""
    form = wire.PAYLOADS.get(kind)
    if form is None:
        return (), wire.KIND
    length = 2 + struct.calcsize(form)
    duties = len(body) - length
    if duties < 0 or duties % wire.DUTY_BYTES or (duties and kind != wire.DATA):
        return (), wire.LENGTH
    values = struct.unpack_from(form, body, 2)
    if any(isinstance(value, int) and value > wire.LIMIT for value in values):
        return (), wire.FIELD
    return (*values, body[length:]) if kind == wire.DATA else values, wire.OK


class SimulatorLink:
    """The way to a simulated board.

    Attributes:
        name: Of the link.
        board: At its end.
    """

    def __init__(self, board: SimulatedBoard | None = None, *, time: Time | None = None) -> None:
        """Connect a board.

        Args:
            board: A new one, if none is given.
            time: What it runs on; virtual, if none is given.
        """
        self.name = "sim"
        self.board = board or SimulatedBoard()
        self._time = time or VirtualTime()
        self._rate = 1 + self.board.options.drift_ppm * 1e-6
        self._zero = self._time.now() - self.board.now / 1e6 / self._rate
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._time.now()

    def read(self, seconds: float) -> bytes:
        """Return what the board says, waiting at most so long."""
        end = self.now() + seconds
        if isinstance(self._time, VirtualTime):
            return self._run_to(end)
        while True:
            with self._lock:
                self.board.run(self._board_now())
                said = self.board.said()
                change = min(self.board.next_word(), self.board.next_change())
            now = self.now()
            if said or now >= end:
                return said
            due = self._zero + change / 1e6 / self._rate
            self._time.wait(min(end, max(due, now + _GRAIN)) - now)

    def _run_to(self, end: float) -> bytes:
        """Let virtual time pass up to an end, or to the next word of the board."""
        self.board.run(self._board_at(end), is_to_word=True)
        reached = self._zero + (self.board.now + 1) / 1e6 / self._rate
        self._time.wait(min(max(reached, self.now()), end) - self.now())
        return self.board.said()

    def next_word_seconds(self) -> float:
        """Return how long the board has nothing to say and does not change, as far as known."""
        change = min(self.board.next_word(), self.board.next_change())
        return max(0.0, self._zero + change / 1e6 / self._rate - self.now())

    @property
    def time(self) -> Time:
        """What it runs on, for another board to run on too."""
        return self._time

    def host_at(self, board: int) -> float:
        """Return the time of the link at a time of the board, microseconds."""
        return self._zero + board / 1e6 / self._rate

    def write(self, data: bytes) -> None:
        """Let bytes come to the board now; may be called by any thread."""
        with self._lock:
            self.board.take(data, max(self._board_now(), self.board.now))

    def close(self) -> None:
        """End nothing: the board stays as it is."""

    def _board_now(self) -> int:
        return self._board_at(self.now())

    def _board_at(self, host: float) -> int:
        return int((host - self._zero) * self._rate * 1e6)
