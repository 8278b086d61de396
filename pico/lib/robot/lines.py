"""The older way: one line of JSON in, one out, as `{"type": "status"}`; loaded when one comes.

A line of any length takes the same memory: it is read byte by byte, numbers are counted up, names
are hashed, and duties go straight to free places of the ring, where they wait until the line is
whole and wanted. A duty is `start_ms duration_ms chord volume_percent`; its chord is null, a text
as `C4_E4`, or anything that holds MIDI numbers. `path[i]` is where the cart stands in duty i and
`path[i + 1]` where it goes in it, which it does when that duty is silent.

The first line must come before music plays, as this module is loaded then. After a line the host
may be silent for `line_silence_ms`, and gets no events, until it sends a frame.
Commands: status, list_songs, play_performance, play_performance_with_pathing, key_down, key_up,
press_key, move_cart, set_volume, home_all, start_streaming_performance, load_duty_batch,
unload_duty_batch, play_duty_batch, streaming_status, and stop, pause, resume.
"""

import gc
import struct
from array import array

from micropython import const
from robot import wire
from robot.fast import duty_start
from robot.wire import ticks_gap

_TAP = const(50)  # ms that press_key presses for
_START = const(50)  # ms from a command to its first duty
_TRAVEL = const(1200)  # likewise while the cart goes to its first place
_BATCHES = const(16)  # remembered
_DEEP = const(16)
_NO_LETTER = const(-9)
_KEYS = (
    "type command batch_id duties path_segment path start_ms duration_ms chord volume_percent "
    "finger position direction total_batches"
)
_COMMANDS = (
    "status list_songs play_performance play_performance_with_pathing key_down key_up press_key "
    "move_cart set_volume home_all start_streaming_performance load_duty_batch unload_duty_batch "
    "play_duty_batch streaming_status stop pause resume"
)
# Semitones above F of the keys of an octave, black and missing ones among them; -1 is missing.
_SEMITONES = (0, 1, 2, 3, 4, 5, 6, -1, 7, 8, 9, 10, 11, -1)
_REACH = ((0, 2), (4, 6), (8, 10), (12, 14), (1, 3), (5, 7), (9, 11))  # keys of each finger
_OF_LETTER = (9, 11, 0, 2, 4, 5, 7)  # semitones above C of A..G
_WHY = (
    "",
    "a batch is missing",
    "no room for so many duties; send fewer",
    "a value out of bounds",
    "wrong length",
    "unknown",
    "not in this state",
    "in alarm; home_all first",
    "not homed; home_all first",
    "memory",
    "the song is over",
    "another configuration",
    "the cart moves; wait",
)


def _hash(text):
    value = 0
    for letter in text:
        value = value * 31 + ord(letter) & 0xFFFFF
    return value


def _codes(names):
    return {_hash(name): name for name in names.split()}


class Lines:
    """Reads lines and answers them.

    Attributes:
        tapped: The finger that `press_key` presses now, -1 for none.
    """

    def __init__(self, board):
        self.tapped = -1
        self._tapped_at = 0
        self._board = board
        self._keys, self._names = _codes(_KEYS), _codes(_COMMANDS)
        self._notes = array("H", bytes(4 * board.player.size))  # of each waiting duty, 32 bits
        self._path = bytearray(board.player.size + 1)
        self._ids = array("i", [-1] * _BATCHES)
        self._ends = array("i", [0] * _BATCHES)
        self._total = self._loaded = 0
        self._volume = 50
        self._duty = [0, 0, wire.KEEP]  # start, duration, volume
        self._open = bytearray(_DEEP)  # what is open: { or [
        self._numbers = {}
        self.begin()

    # --- reading

    def begin(self):
        """Begin a line, whose `{` was read."""
        self._depth, self._open[0] = 1, 0x7B
        self._is_text = self._is_escaped = self._is_key = self._has_number = False
        self._is_bad = self._is_over = False
        self._hash = self._number = self._scale = self._sign = 0
        self._is_name = True
        self._key = self._inner = self._command = ""
        self._count = self._steps = 0
        self._letter = _NO_LETTER
        self._numbers.clear()

    def take(self, byte):
        """Take the next byte of a line."""
        if self._is_text:
            self._take_text(byte)
        elif byte == 0x22:  # "
            self._is_text, self._hash, self._letter = True, 0, _NO_LETTER
        elif 0x30 <= byte <= 0x39 or byte in b"-.":
            self._take_digit(byte)
        else:
            self._end_number()
            self._take_mark(byte)

    def _take_text(self, byte):
        if self._is_escaped:
            self._is_escaped = False
        elif byte == 0x5C:
            self._is_escaped = True
        elif byte == 0x22:
            self._is_text = False
            self._end_text()
        else:
            self._hash = self._hash * 31 + byte & 0xFFFFF
            if self._inner == "chord" and self._depth >= 3 and not self._is_name:
                self._take_note(byte)

    def _take_note(self, byte):
        """Read a chord as C4_E4, letter by letter."""
        if 0x41 <= byte <= 0x47:
            self._letter = _OF_LETTER[byte - 0x41]
        elif byte == 0x23 or byte == 0x73:  # # or s
            self._letter += 1
        elif byte == 0x62:  # b
            self._letter -= 1
        elif 0x30 <= byte <= 0x39 and self._letter >= -1:
            self._add_note(self._letter + 12 * (byte - 0x2F))
            self._letter = _NO_LETTER

    def _take_digit(self, byte):
        if not self._has_number:
            self._has_number, self._number, self._scale, self._sign = True, 0, 0, 1
        if byte == 0x2D:
            self._sign = -1
        elif byte == 0x2E:
            self._scale = 1
        elif self._scale:
            if self._scale < 1000:
                self._scale *= 10
                self._number = self._number * 10 + byte - 0x30
        elif self._number < 100000000:
            self._number = self._number * 10 + byte - 0x30

    def _take_mark(self, byte):
        if byte == 0x3A:  # :
            self._is_name = False
        elif byte == 0x2C:  # ,
            self._is_name = self._open[self._depth - 1] == 0x7B if self._depth else False
        elif byte == 0x7B or byte == 0x5B:
            if self._depth == _DEEP or not self._depth:
                self._is_bad = True
                return
            if byte == 0x7B and self._depth == 2 and self._key == "duties":
                self._begin_duty()
            self._open[self._depth] = byte
            self._depth += 1
            self._is_name = byte == 0x7B
        elif byte == 0x7D or byte == 0x5D:
            if not self._depth or self._open[self._depth - 1] != byte - 2:
                self._is_bad = True
                return
            self._depth -= 1
            if byte == 0x7D and self._depth == 2 and self._key == "duties":
                self._end_duty()
            self._is_name = False

    def _end_text(self):
        if self._is_name and self._depth == 1:
            self._key, self._inner = self._keys.get(self._hash, ""), ""
        elif self._is_name and self._depth == 3:
            self._inner = self._keys.get(self._hash, "")
        elif self._depth == 1 and (self._key == "type" or self._key == "command"):
            self._command = self._names.get(self._hash, "")

    def _end_number(self):
        if not self._has_number:
            return
        self._has_number = False
        number = self._number * self._sign
        whole = number // (self._scale or 1)
        if self._depth == 1:
            if self._key:
                self._numbers[self._key] = whole
        elif self._key == "duties":
            if self._inner == "chord" and self._depth > 3:
                self._add_note(whole)
            elif self._depth == 3:
                self._set_field(number, whole)
        elif self._depth == 2 and self._key.startswith("path") and self._steps < len(self._path):
            self._path[self._steps] = whole if 0 <= whole < 255 else 255
            self._steps += 1

    # --- duties that wait in the ring

    def _begin_duty(self):
        self._duty[0] = self._duty[1] = 0
        self._duty[2] = wire.KEEP
        self._inner = ""
        if self._count < len(self._notes) // 2:
            self._notes[2 * self._count] = self._notes[2 * self._count + 1] = 0

    def _set_field(self, number, whole):
        if self._inner == "start_ms":
            self._duty[0] = whole
        elif self._inner == "duration_ms":
            self._duty[1] = whole
        elif self._inner == "volume_percent":
            if self._scale and number <= self._scale:  # a share of 1
                whole = number * 100 // self._scale
            self._duty[2] = whole if 0 <= whole <= 100 else 254

    def _add_note(self, note):
        bit = note - self._board.config.LOWEST_NOTE
        if 0 <= bit < 32 and self._count < len(self._notes) // 2:
            self._notes[2 * self._count + (bit >> 4)] |= 1 << (bit & 15)

    def _end_duty(self):
        player = self._board.player
        place = player.waiting(self._count)
        if place < 0:
            self._is_over = True
            return
        start, duration, volume = self._duty
        if 0 <= start <= wire.LIMIT and 0 < duration <= 65535:
            struct.pack_into(wire.DUTY, player.ring, place, start, duration, 0, 0, volume)
        else:
            struct.pack_into(wire.DUTY, player.ring, place, 0, 0, 0, 0, 0)
        self._count += 1

    def _keep(self):
        """Let the duties that wait belong to the song; return a result of `wire`."""
        player = self._board.player
        least = player.last_start
        for i in range(self._count):
            place = player.waiting(i)
            has_notes = self._notes[2 * i] or self._notes[2 * i + 1]
            step = i if has_notes else i + 1
            cart = player.goal() if not self._steps else self._path[min(step, self._steps - 1)]
            if cart >= wire.POSITIONS:
                return wire.FIELD
            fingers = self._fingers(i, cart)
            player.ring[place + 6], player.ring[place + 7] = fingers & 255, fingers >> 8
            player.ring[place + 8] = cart
            start = duty_start(player.ring, place)
            if start < least:
                return wire.FIELD
            least = start
        for _ in range(self._count):
            place = player.waiting(0)
            player.put(player.ring, place, duty_start(player.ring, place))
        return wire.OK

    def _fingers(self, i, cart):
        """Return the fingers that play the notes of a waiting duty; the first reachable wins."""
        fingers = 0
        for finger in range(wire.FINGERS):
            for side in range(2):
                key = 2 * cart + _REACH[finger][side]
                bit = _SEMITONES[key % 14]
                if bit < 0 or fingers >> 2 * finger & 3:
                    continue
                bit += 12 * (key // 14)
                if bit < 32 and self._notes[2 * i + (bit >> 4)] >> (bit & 15) & 1:
                    fingers |= side + 1 << 2 * finger
        return fingers

    # --- answering

    def answer(self):
        """Do what the line asks for; return the answer's text."""
        self._end_number()
        if self._depth or self._is_bad or self._is_text:
            return '{"success": false, "error": "not a line of JSON"}'
        if not self._command:
            return '{"success": false, "error": "unknown command"}'
        told = getattr(self, "_do_" + self._command)()
        if told is None or told == wire.OK:
            return '{"success": true}'
        if isinstance(told, int):
            told = _WHY[told]
        return told if told[0] == "{" else '{"success": false, "error": "%s"}' % told

    def tick(self, now):
        """End a tap whose time is over."""
        if ticks_gap(now, self._tapped_at) >= _TAP:
            self._board.manual(wire.FINGER, self.tapped, 0)
            self.tapped = -1

    def _asked(self, key, otherwise=-1):
        return self._numbers.get(key, otherwise)

    def _do_status(self):
        board = self._board
        sides = [board.fingers.now >> 2 * f & 3 for f in range(wire.FINGERS)]
        states = ", ".join(("null", "0", "1")[side] for side in sides)
        active = sum(1 for side in sides if side)
        return (
            '{"success": true, "position": %d, "volume_percent": %d, "memory": %d, "fingers": '
            '{"states": [%s], "all_home": %s, "active_count": %d}}'
        ) % (
            board.cart.goal if board.cart.is_homed else -1,
            self._volume,
            gc.mem_free(),
            states,
            "false" if active else "true",
            active,
        )

    def _do_list_songs(self):
        return '{"success": true, "songs": []}'

    def _do_play_performance(self):
        return "there is no song on the board; send play_performance_with_pathing"

    def _do_play_performance_with_pathing(self):
        if not self._count:
            return "no duties"
        result = self._open_song(self._board.player.next)
        if result == wire.OK:
            result = wire.FULL if self._is_over else self._keep()
        if result == wire.OK:
            self._board.player.flags |= wire.HAS_END
            return self._go()
        if self._board.player.state == wire.FILLING:
            self._board.stop()
        return result

    def _open_song(self, base):
        result = self._board.begin(1, base, 0)
        if result == wire.OK:
            self._total = self._loaded = 0
            for i in range(_BATCHES):
                self._ids[i] = -1
        return result

    def _go(self):
        """Start the song clock, or go on with it."""
        board = self._board
        player, now = board.player, board.clock.millis
        if player.state == wire.PLAYING:
            return wire.OK
        if player.state == wire.PAUSED:
            return board.start(now + _START, player.position())
        if player.state != wire.FILLING or player.executed == player.next:
            return wire.REFUSED
        wait = _TRAVEL if board.cart.is_moving else _START
        player.start(now + wait, player.first_start())
        return wire.OK

    def _do_start_streaming_performance(self):
        result = self._open_song(self._board.player.next)
        self._total = self._asked("total_batches", 0)
        return result

    def _do_load_duty_batch(self):
        player = self._board.player
        if player.state == wire.READY:
            result = self._open_song(player.next)
            if result:
                return result
        if self._is_over:
            return wire.FULL
        if player.flags & wire.HAS_END:
            return wire.ENDED
        result = self._keep()
        if result == wire.OK:
            slot = self._loaded % _BATCHES
            self._ids[slot], self._ends[slot] = self._asked("batch_id", self._loaded), player.next
            self._loaded += 1
            if self._loaded == self._total:
                player.flags |= wire.HAS_END
        return result

    def _slot(self):
        asked = self._asked("batch_id")
        for slot in range(_BATCHES):
            if asked >= 0 and self._ids[slot] == asked:
                return slot
        return -1

    def _do_unload_duty_batch(self):
        slot = self._slot()
        if slot < 0:
            return "no such batch"
        if self._board.player.executed < self._ends[slot]:
            return "it is still to be played"
        self._ids[slot] = -1
        return wire.OK

    def _do_play_duty_batch(self):
        return self._go() if self._slot() >= 0 else "no such batch"

    def _do_streaming_status(self):
        player = self._board.player
        ids = [str(one) for one in self._ids if one >= 0]
        current = -1
        for slot in range(_BATCHES):
            is_waiting = self._ids[slot] >= 0 and player.executed < self._ends[slot]
            if is_waiting and (current < 0 or self._ends[slot] < self._ends[current]):
                current = slot
        return (
            '{"success": true, "streaming_active": %s, "current_batch_id": %s, '
            '"total_batches": %d, "loaded_batches": [%s], "memory_free": %d}'
        ) % (
            "true" if player.state == wire.PLAYING else "false",
            "null" if current < 0 else str(self._ids[current]),
            self._total,
            ", ".join(ids),
            gc.mem_free(),
        )

    def _do_key_down(self):
        side = self._asked("position")
        if not 0 <= side <= 1:
            return wire.FIELD
        return self._board.manual(wire.FINGER, self._finger(), side + 1)

    def _do_key_up(self):
        return self._board.manual(wire.FINGER, self._finger(), 0)

    def _finger(self):
        finger = self._asked("finger")
        return finger if 0 <= finger < wire.FINGERS else wire.FINGERS

    def _do_press_key(self):
        result = self._do_key_down()
        if result == wire.OK:
            self.tapped, self._tapped_at = self._asked("finger"), self._board.clock.millis
        return result

    def _do_move_cart(self):
        board = self._board
        goal = board.cart.goal + self._asked("direction", 0)
        if board.cart.is_homed and not 0 <= goal < wire.POSITIONS:
            return "the rail ends there"
        result = board.manual(wire.CART, max(goal, 0), 0)
        return '{"success": true, "position": %d}' % goal if result == wire.OK else result

    def _do_set_volume(self):
        volume = self._asked("volume_percent", self._volume + 10 * self._asked("direction", 0))
        if "volume_percent" not in self._numbers:
            volume = min(max(volume, 0), 100)
        if not 0 <= volume <= 100:
            return wire.FIELD
        is_playing = self._board.player.state == wire.PLAYING
        result = self._board.set_volume(2 * volume, wire.KEEP if is_playing else volume)
        if result == wire.OK:
            self._volume = volume
        return '{"success": true, "volume_percent": %d}' % volume if result == 0 else result

    def _do_home_all(self):
        board = self._board
        if board.alarm or not board.cart.is_homed:
            return board.manual(wire.HOME, 0, 0)
        if board.player.state == wire.PLAYING:
            return wire.REFUSED
        board.rest()
        return wire.OK

    def _do_stop(self):
        self._board.stop()

    def _do_pause(self):
        return self._board.pause()

    def _do_resume(self):
        return self._go() if self._board.player.state == wire.PAUSED else wire.REFUSED
