"""The whole board: it answers the host, and keeps fingers, air and cart safe.

The loop looks at the time first. It reads only when no duty is due within 4 ms, and much or puts
duties into the ring only when none is within 16 ms; it collects garbage only when none is within
40 ms. When music leaves no such time it reads a little every 4 ms all the same, so that a stop is
heard.
"""

import gc
import os
import struct

from micropython import const
from robot import link, wire
from robot.cart import Cart
from robot.clock import Clock
from robot.fast import u32
from robot.fingers import Air, Fingers
from robot.journal import Journal
from robot.player import Player
from robot.wire import ticks_gap

_READ, _ACT, _COLLECT = const(4), const(16), const(40)  # ms of slack that each wants
_DEAF = const(4)  # ms after which it reads without slack
_PATIENT = const(10)  # ms after which it acts without slack
_LITTLE, _MUCH = const(64), const(512)  # bytes read at once; 64 take an RP2040 2 ms
_NAP = const(10)  # ms it waits for bytes at most
_MOVE_NAP = const(2)  # likewise while the cart moves
_LOOK = const(1000)  # ms between two looks at the heap
_SHIFT = const(250)  # ms that a running song clock may be moved by
_TOLD = wire.HAS_END | wire.UNDERRUN | wire.SILENT | wire.FINISHED
_MOST = wire.MORE_AT + 4 + wire.LOG_MOST * wire.LOG_BYTES


class Board:
    """Everything, put together.

    Attributes:
        alarm: Why it is in alarm, 0 when it is not.
        player: The song.
        silence: For how many ms the host may be silent while something sounds.
    """

    def __init__(self, config, cause):
        self.config = config
        self.clock = Clock()
        self.fingers, self.air = Fingers(config), Air(config)
        self.cart = Cart(config, self.fingers)
        self.journal = Journal(config.SCRATCH)
        self.player = Player(config, self.clock, self.fingers, self.air, self.cart, self.journal)
        self.link = link.Link(_MOST)
        self.alarm = wire.BY_NONE
        self.silence = config.SILENCE_MS
        self._cause = cause
        self._boot = int.from_bytes(os.urandom(4), "little") & wire.LIMIT
        self._answer = bytearray(_MOST)
        self._sequence = 0
        self._refused = 0
        self._heard = self._read = self._looked = 0
        self._came_millis = self._came_micros = 0
        self._pending = self._is_by_lines = False
        self._free = self._least = wire.LIMIT
        self._told = -1
        self.rest(True)
        self.look()

    # --- safety

    def rest(self, is_sure=False):
        """Fingers home, air off, motor without current as soon as it stands.

        Args:
            is_sure: Also send the servos that should be there already.
        """
        now = self.clock.millis
        if is_sure:
            self.fingers.home(now)
            self.air.put(0, now)
        self.fingers.press(0, now)
        self.air.set(0, now)
        self.cart.is_held = False

    def stop_at_once(self, alarm):
        """Go to the safe state, and stay there until homed."""
        self.player.stop()
        self.cart.halt()
        self.rest(True)
        self.alarm = alarm

    def state(self):
        """Return the state that the answers tell."""
        if self.alarm:
            return wire.ALARMED
        if self.cart.is_homing:
            return wire.HOMING
        return self.player.state if self.cart.is_homed else wire.SAFE

    def _watch(self):
        """See to faults and to a host that is silent."""
        if self.cart.fault and not self.alarm:
            self.stop_at_once(self.cart.fault)
        if ticks_gap(self.clock.millis, self._heard) < self.silence:
            return
        if self.player.state == wire.PLAYING:
            self.player.pause(wire.SILENT)
        elif self.fingers.now or self.air.volume:
            self.rest()

    def look(self):
        """Collect garbage and see how much memory is free."""
        gc.collect()
        self._free = gc.mem_free()
        self._least = min(self._least, self._free)
        self._looked = self.clock.millis

    # --- the loop

    def turn(self):
        """Go once round the loop."""
        self.clock.tick()
        player = self.player
        player.tick()
        now = self.clock.millis
        self.fingers.tick(now)
        self.air.tick(now, player.state == wire.PLAYING)
        self.cart.tick(now)
        if self.link.line and self.link.line.tapped >= 0:
            self.link.line.tick(now)
        self._watch()
        slack = player.slack()
        if self._pending:
            if self._may_act(now, slack):
                self._pending = False
                self._act()
        elif slack > _READ or ticks_gap(now, self._read) >= _DEAF:
            self._listen(slack)
        elif self.state() << 16 | player.flags & _TOLD != self._told:
            self._tell()
        if slack > _COLLECT and ticks_gap(now, self._looked) >= _LOOK:
            self.look()

    def _may_act(self, now, slack):
        """Return whether it is time for the frame that has come: only duties take long."""
        player = self.player
        if slack > _ACT or self.link.inbox.body[0] != wire.DATA:
            return True
        return player.next - player.executed < 16 or ticks_gap(now, self._read) >= _PATIENT

    def _listen(self, slack):
        wait = min(slack - _READ, _MOVE_NAP if self.cart.is_moving else _NAP)
        if self.state() << 16 | self.player.flags & _TOLD != self._told:
            self._tell()
        came = self.link.read(max(wait, 0), _MUCH if slack > _ACT else _LITTLE)
        self.clock.tick()
        self._read = self.clock.millis
        if came == link.BODY:
            self._came_millis, self._came_micros = self.clock.millis, self.clock.micros
            self._pending = True
        elif came == link.LINE:
            self._heard = self._read
            self._is_by_lines = True
            self.silence = self.config.LINE_SILENCE_MS
            if self.link.line:
                self.link.send_line(self.link.line.answer())
        elif came == link.NEW_LINE and self.player.state != wire.PLAYING:
            self._load_lines()
        elif came == link.BREAK:
            self._heard = self._read
            self.stop_at_once(wire.BY_ESTOP)

    def _load_lines(self):
        """Load who answers lines of JSON: few want it, and it takes memory."""
        gc.collect()
        gc.threshold(1024)
        try:
            from robot.lines import Lines  # noqa: PLC0415

            self.link.line = Lines(self)
        except MemoryError:
            self.link.send_line('{"success": false, "error": "no memory for lines of JSON"}')
        gc.threshold(-1)
        self.look()

    # --- answers

    def _act(self):
        """Do what the frame in the inbox asks for, and answer."""
        inbox = self.link.inbox
        body, length = inbox.body, inbox.length - 4
        self._heard = self.clock.millis
        self._is_by_lines = False
        self.silence = self.config.SILENCE_MS
        more = 0
        try:
            result = self._do(body, length)
            if result == wire.OK:
                more = self._more(body)
        except MemoryError:
            gc.collect()
            result = wire.MEMORY
        if result != wire.OK:
            self._refused = self._refused + 1 & 0xFFFF
        self._sequence = body[1]
        self._send(body[0] | wire.ANSWER, result, more)

    def _tell(self):
        """Send an event, unless the host speaks in lines."""
        if self._is_by_lines:
            self._told = self.state() << 16 | self.player.flags & _TOLD
            return
        self._sequence = 0
        self._send(wire.EVENT, wire.OK, 0)

    def _send(self, kind, result, more):
        player, clock = self.player, self.clock
        clock.tick()
        state = self.state()
        self._told = state << 16 | player.flags & _TOLD
        self._answer[0], self._answer[1] = kind, self._sequence
        struct.pack_into(
            wire.STATE,
            self._answer,
            wire.STATE_AT,
            result,
            state,
            self.alarm,
            self.cart.goal,
            self.air.volume,
            player.gain,
            self._flags(),
            self.fingers.now,
            self._boot,
            player.next,
            player.executed,
            player.size - (player.next - player.executed),
            clock.micros,
            clock.millis,
            player.position(),
            self._free,
            self._least,
            player.late,
            self.link.inbox.broken & 0xFFFF,
            self._refused,
            player.skipped,
            player.digest(),
        )
        self.link.send(self._answer, wire.MORE_AT + more)

    def _flags(self):
        flags = self.player.flags
        if self.cart.is_homed:
            flags |= wire.HAS_HOMED
        if self.cart.is_moving:
            flags |= wire.IS_MOVING
        if self.journal.uncertain:
            flags |= wire.UNCERTAIN
        return flags | wire.REBOOTED if self._cause else flags

    def _more(self, body):
        """Write what a kind adds to its answer; return how many bytes."""
        kind = body[0]
        if kind == wire.HELLO:
            return self._introduce()
        if kind == wire.SYNC:
            for i in range(8):
                self._answer[wire.MORE_AT + i] = body[2 + i]
            at = wire.MORE_AT + 8
            struct.pack_into("<IH", self._answer, at, self._came_millis, self._came_micros)
            return 14
        if kind == wire.LOG:
            return self._log(u32(body, 2))
        return 0

    def _introduce(self):
        journal = self.journal
        struct.pack_into(
            wire.HELLO_MORE,
            self._answer,
            wire.MORE_AT,
            wire.PROTOCOL,
            wire.DATA_MOST,
            self.player.size,
            self.config.HASH,
            gc.mem_free() + gc.mem_alloc(),
            journal.song,
            journal.resume,
            journal.uncertain,
            self._cause,
            self.player.log_size,
        )
        return 24

    def _log(self, asked):
        first = self.player.first_logged(asked)
        count = min(self.player.executed - first, wire.LOG_MOST)
        struct.pack_into("<I", self._answer, wire.MORE_AT, first)
        place = wire.MORE_AT + 4
        for i in range(count):
            self.player.copy_log(first + i, self._answer, place)
            place += wire.LOG_BYTES
        return 4 + count * wire.LOG_BYTES

    # --- requests

    def _do(self, body, length):
        """Do what a request asks for; return its result."""
        kind = body[0]
        if kind == wire.DATA:
            return self._data(body, length)
        payload = wire.PAYLOADS.get(kind)
        if payload is None:
            return wire.KIND
        if struct.calcsize(payload) != length - 2:
            return wire.LENGTH
        if kind == wire.ESTOP:
            self.stop_at_once(wire.BY_ESTOP)
        elif kind == wire.BEGIN:
            return self.begin(u32(body, 2), u32(body, 6), u32(body, 10))
        elif kind == wire.START:
            return self.start(u32(body, 2), u32(body, 6))
        elif kind == wire.PAUSE:
            return self.pause()
        elif kind == wire.SEEK:
            return self.seek(u32(body, 2))
        elif kind == wire.STOP:
            self.stop()
        elif kind == wire.VOLUME:
            return self.set_volume(body[2], body[3])
        elif kind == wire.MANUAL:
            return self.manual(body[2], body[3], body[4])
        elif kind == wire.LOG and u32(body, 2) < 0:
            return wire.FIELD
        return wire.OK

    def _data(self, body, length):
        first = u32(body, 2) if length >= wire.DATA_HEAD else -1
        count = (length - wire.DATA_HEAD) // wire.DUTY_BYTES
        if first < 0 or count * wire.DUTY_BYTES != length - wire.DATA_HEAD:
            return wire.LENGTH
        refusal = self._refusal()
        if refusal:
            return refusal
        if not self.player.song:
            return wire.REFUSED
        return self.player.take(body, wire.DATA_HEAD, first, count)

    def _refusal(self):
        """Return why no song can be played now, or OK."""
        if self.alarm:
            return wire.ALARM
        return wire.OK if self.cart.is_homed else wire.NOT_HOMED

    def begin(self, song, base, config):
        """Empty the ring for a song."""
        refusal = self._refusal()
        if refusal:
            return refusal
        if self.player.state == wire.PLAYING:
            return wire.REFUSED
        if song < 1 or base < 0 or config < 0:
            return wire.FIELD
        if config and config != self.config.HASH:
            return wire.CONFIG
        self.player.begin(song, base)
        return wire.OK

    def seek(self, base):
        """Empty the ring for another place of the song."""
        refusal = self._refusal()
        if refusal:
            return refusal
        if not self.player.song:
            return wire.REFUSED
        if base < 0:
            return wire.FIELD
        self.player.begin(self.player.song, base)
        return wire.OK

    def start(self, at, song):
        """Start the song clock, go on with it, or move it a little."""
        player = self.player
        refusal = self._refusal()
        if refusal:
            return refusal
        if at < 0 or song < 0:
            return wire.FIELD
        if player.state == wire.READY:
            return wire.REFUSED
        if player.executed == player.next and not player.flags & wire.HAS_END:
            return wire.REFUSED
        if player.state == wire.PLAYING and abs(player.shift(at, song)) > _SHIFT:
            return wire.REFUSED
        if player.state == wire.FILLING and self.cart.is_moving:
            return wire.BUSY
        player.start(at, song)
        return wire.OK

    def pause(self):
        """Stop the song clock; once more does no harm."""
        if self.player.state == wire.PLAYING:
            self.player.pause()
        return wire.OK if self.player.state == wire.PAUSED else wire.REFUSED

    def stop(self):
        """Forget the song and rest."""
        self.player.stop()
        self.rest()

    def set_volume(self, gain, volume):
        """Set the gain of the song, and the volume of the air unless it is to be kept."""
        if gain > 200 or (volume > 100 and volume != wire.KEEP):
            return wire.FIELD
        if self.alarm and volume != wire.KEEP:
            return wire.ALARM
        self.player.set_gain(gain)
        if volume != wire.KEEP:
            self.air.set(volume, self.clock.millis)
        return wire.OK

    def manual(self, action, a, b):
        """Move one thing by hand."""
        now = self.clock.millis
        if self.player.state == wire.PLAYING:
            return wire.REFUSED
        if action == wire.HOME:
            self.rest()
            self.alarm = wire.BY_NONE
            if not self.cart.is_homing:
                self.cart.home(now)
            return wire.OK
        if self.alarm:
            return wire.ALARM
        if action == wire.FINGER:
            if a >= wire.FINGERS or b > 2:
                return wire.FIELD
            if self.cart.is_moving and b:
                return wire.BUSY
            keys = self.fingers.now & ~(3 << 2 * a) | b << 2 * a
            return wire.OK if self.fingers.press(keys, now) else wire.REFUSED
        if action == wire.CART:
            if not self.cart.is_homed:
                return wire.NOT_HOMED
            if a >= wire.POSITIONS:
                return wire.FIELD
            self.fingers.press(0, now)
            self.cart.go(a, now)
            return wire.OK
        if action == wire.RELEASE:
            self.fingers.press(0, now)
            return wire.OK
        return wire.FIELD
