"""What goes over the wire between host and board: the one module that both ends run.

Plain Python that MicroPython runs too; it imports nothing of the workbench. All numbers are
little-endian. No number on the wire is above `LIMIT` (2**30 - 1), so that a 32-bit board holds each
in a small integer and allocates nothing: times are milliseconds (12.4 days), indices are of duties.

# Bytes

A frame is a body and its CRC-32 (zlib's, u32), each byte XOR `MASK`, stuffed, then `END`:

| byte on the wire | meaning |
|---|---|
| 00 `END` | end of a frame; one more between frames means nothing |
| 01 `ESCAPE` | the next byte XOR 20 stands here: 20, 21, 23 for 00, 01, 03 |
| 03 `BREAK` | never part of a frame: Ctrl-C, an emergency stop, see below |
| 7b `{` as a frame's first | no frame but a line of JSON up to 0a, see `pico/lib/robot/lines` |

MASK moves the bytes that need an escape to values that duties hardly hold (d8, da, db), so that
a duty takes 10.3 bytes in full frames. A body is at most `BODY_MOST` bytes without its CRC.
BREAK stops where a frame may begin: after END, after boot, after another BREAK. In the middle of a
frame it is damage, as one flipped bit makes it: it ends that frame, which counts as broken. A host
that shouts sends `END BREAK BREAK` and an ESTOP frame. On a board's own USB every BREAK stops, and
ends the program at MicroPython's prompt, where 04 (Ctrl-D) starts it again.
A frame whose CRC or length is wrong is dropped without an answer and counted by who received it.

# Bodies

| offset | size | of a request | of an answer |
|---|---|---|---|
| 0 | u8 | kind | kind OR 80; an event, which nobody asked for, is c0 |
| 1 | u8 | sequence, chosen by the host | the request's sequence; of an event 0 |
| 2 | | payload of the kind | `STATE` |
| 56 | | | what the kind adds |

Every valid request is answered once, in order. An answer that does not come within a time that
the host chooses means: send the same request again. All may be sent twice without harm. Each
valid frame is also the host's heartbeat: after `silence_ms` (2300) without any, a board that plays
pauses by itself (flag SILENT), and its ring stays as it is.

| kind | payload | does |
|---|---|---|
| 1 HELLO | u8 `PROTOCOL` | tells who the board is; answer + `HELLO_MORE` |
| 2 BEGIN | u32 song 1.., u32 base, u32 config | empties the ring; the next duty is `base` |
| 3 DATA | u32 first index, 0..50 duties of 10 B | puts duties into the ring; none: the song ends |
| 4 START | u32 at, u32 song | song position `song` sounds when the board's clock shows `at`, ms |
| 5 PAUSE | - | at once fingers home, air off, song clock stands; START goes on |
| 6 SEEK | u32 base | as BEGIN for the same song, also while playing |
| 7 STOP | - | safe state, ring emptied, song forgotten; homed it stays |
| 8 ESTOP | - | safe state, ring emptied, alarm until homed |
| 9 VOLUME | u8 gain 0..200 %, u8 volume 0..100, 255 keeps | gain is live on all volumes |
| 10 MANUAL | u8 action, u8 a, u8 b | see below; refused while playing |
| 11 SYNC | 8 B of the host's choice | answer + `SYNC_MORE` |
| 12 STATUS | - | nothing but the answer: the heartbeat |
| 13 LOG | u32 from index | answer + u32 first, then up to 22 `LOG_ENTRY` |

BEGIN is refused while playing, not homed or in alarm; CONFIG if `config` is neither 0 nor the
board's. START wants a duty in the ring, or the end marked; `at` may be past; while playing it moves
the song clock, by at most 250 ms. A pause is gone on with exactly when START's `song` is the
STATE's: the duty that was interrupted sounds on, and is not executed again.
LOG entries are of the duties first, first + 1, ..; first is above what was asked for when older
ones were overwritten (`log` slots are kept) and never above `executed`.
MANUAL actions: 1 HOME (ends an alarm, finds the rail's end), 2 FINGER (a: finger 0..6, b: 0 home,
1 left, 2 right), 3 CART (a: position 0..11), 4 RELEASE (all fingers home).

# Duties

`DUTY` = `<IHHBB`: start_ms u32, duration_ms u16 (1..65535), fingers u16, cart u8 (0..11), volume
u8 (0..100, 255 = keep). Fingers are 7 times 2 bits, finger 0 lowest: 0 home, 1 left, 2 right.
Starts never fall. At its start a duty sets volume, fingers and cart; at its end, or when the next
starts if that is sooner, its fingers go home unless the next holds them too. A duty whose cart
differs from the one before it has all fingers home: the cart sets off as soon as fingers pressed
before have lifted, and a duty that presses fingers before the cart stands at its position is
kept in time but not pressed (outcome CART). The first duty after BEGIN or SEEK may stand at any
cart: the board takes it there as soon as it is in the ring (flag MOVING; START is BUSY until then).

Data is addressed by index, so that sending again is harmless: duties below `next` are passed over;
a first index above `next` puts nothing in (GAP: go back to `next`); what finds no room is not
taken (FULL); a duty that is not allowed ends the taking before it (FIELD). In all cases `next`
says where to go on and `credits` how many duties have room. After the end is marked, DATA is ENDED
until SEEK or BEGIN.

# STATE, 54 bytes at offset 2 of each answer

| offset | | name | meaning |
|---|---|---|---|
| 2 | u8 | result | table below |
| 3 | u8 | state | table below |
| 4 | u8 | alarm | why, table below |
| 5 | u8 | cart | position 0..11 where it stands or goes, 255 not known |
| 6 | u8 | volume | of the air now, 0..100 |
| 7 | u8 | gain | % |
| 8 | u16 | flags | below |
| 10 | u16 | fingers | now, as in a duty |
| 12 | u32 | boot | another number after each boot |
| 16 | u32 | next | index of the first duty not received |
| 20 | u32 | executed | index of the first duty not begun |
| 24 | u16 | credits | free places of the ring |
| 26 | u16 | micros | 0..999, beside millis |
| 28 | u32 | millis | the board's clock as the answer was built; wraps at 2**30, see `ticks_gap` |
| 32 | u32 | song | song position, ms; 0 while before it or without one |
| 36 | u32 | free | bytes of heap free at the last look |
| 40 | u32 | least | least free since boot |
| 44 | u16 | late | most lateness since BEGIN, 10 us, at most 65535 |
| 46 | u16 | broken | frames dropped for CRC or length since boot, modulo 65536 |
| 48 | u16 | refused | requests answered with another result than OK, likewise |
| 50 | u16 | skipped | duties of this song kept in time but not pressed, likewise |
| 52 | u32 | digest | `order_digest` of the duties executed since BEGIN or SEEK; 0 before |

States: 0 SAFE (not homed), 1 HOMING, 2 READY (homed, no song), 3 FILLING (a song, its clock never
started), 4 PLAYING, 5 PAUSED, 6 ALARM. Alarms: 0 none, 1 ESTOP, 2 LIMIT switch, 3 ENCODER differs,
4 HOMING failed, 5 PROGRAM error.
Results: 0 OK, 1 GAP, 2 FULL, 3 FIELD (a value out of bounds), 4 LENGTH, 5 KIND (unknown), 6 REFUSED
(not in this state), 7 ALARM (home first), 8 HOME (not homed), 9 MEMORY (send less at a time),
10 ENDED, 11 CONFIG (deploy first), 12 BUSY (the cart moves).
Flags: 1 HOMED, 2 MOVING (cart), 4 ENDED (the end is marked), 8 UNDERRUN (ring ran empty while
playing), 16 SILENT (paused because the host was silent), 32 FINISHED (all duties up to the end
executed), 64 UNCERTAIN (as in HELLO_MORE), 128 REBOOTED (by watchdog or crash).
Events are sent at boot and whenever state, alarm or one of ENDED, UNDERRUN, SILENT, FINISHED
changes without a request; none to a host whose last word was a line of JSON.

`HELLO_MORE` = `<BBHIIIIBBH`: protocol, most duties a DATA frame, ring size, config, heap bytes,
song and resume index kept over a reboot (song 0: none), uncertain (1: duty resume - 1 was begun
and its end is not known), cause (0 power, 1 reboot), log slots.
`SYNC_MORE` = `<8sIH`: the host's 8 B, millis and micros when the request came.
`LOG_ENTRY` = `<HBBHH`: late (10 us, at most 65535), outcome, cart and fingers as they then were,
digest (`record_digest` of the duty as it was executed).
Outcomes: 0 PLAYED, 1 LATE (over the late limit: kept in time, not pressed), 2 CART (not there yet),
3 BUDGET (a finger was pressed too often or too long).
"""

import struct
from binascii import crc32

PROTOCOL = 1
LIMIT = 0x3FFFFFFF
END, ESCAPE, BREAK, MASK, STUFF = 0x00, 0x01, 0x03, 0xDB, 0x20
LINE_START, LINE_END = 0x7B, 0x0A

HELLO, BEGIN, DATA, START, PAUSE, SEEK, STOP, ESTOP = 1, 2, 3, 4, 5, 6, 7, 8
VOLUME, MANUAL, SYNC, STATUS, LOG = 9, 10, 11, 12, 13
ANSWER, EVENT = 0x80, 0xC0
HOME, FINGER, CART, RELEASE = 1, 2, 3, 4  # MANUAL actions

DUTY, DUTY_BYTES = "<IHHBB", 10
FINGERS, POSITIONS, KEEP = 7, 12, 255
DATA_MOST = 50  # duties a frame
DATA_HEAD = 6  # kind, sequence, first index
LOG_MOST = 22  # entries a frame
BODY_MOST = DATA_HEAD + DATA_MOST * DUTY_BYTES
LEAST_BYTES = 6  # kind, sequence, CRC

STATE = "<BBBBBBHHIIIHHIIIIHHHHI"
STATE_NAMES = (
    "result state alarm cart volume gain flags fingers boot next executed credits micros millis "
    "song free least late broken refused skipped digest"
)
STATE_AT, MORE_AT = 2, 56
HELLO_MORE = "<BBHIIIIBBH"
SYNC_MORE = "<8sIH"
LOG_ENTRY, LOG_BYTES = "<HBBHH", 8

OK, GAP, FULL, FIELD, LENGTH, KIND, REFUSED, ALARM = 0, 1, 2, 3, 4, 5, 6, 7
NOT_HOMED, MEMORY, ENDED, CONFIG, BUSY = 8, 9, 10, 11, 12
SAFE, HOMING, READY, FILLING, PLAYING, PAUSED, ALARMED = 0, 1, 2, 3, 4, 5, 6
BY_NONE, BY_ESTOP, BY_LIMIT, BY_ENCODER, BY_HOMING, BY_PROGRAM = 0, 1, 2, 3, 4, 5
HAS_HOMED, IS_MOVING, HAS_END, UNDERRUN, SILENT, FINISHED = 1, 2, 4, 8, 16, 32
UNCERTAIN, REBOOTED = 64, 128
PLAYED, WAS_LATE, NO_CART, NO_BUDGET = 0, 1, 2, 3

# Payload of each request; DATA is this and duties.
PAYLOADS = {
    HELLO: "<B",
    BEGIN: "<III",
    DATA: "<I",
    START: "<II",
    PAUSE: "<",
    SEEK: "<I",
    STOP: "<",
    ESTOP: "<",
    VOLUME: "<BB",
    MANUAL: "<BBB",
    SYNC: "<8s",
    STATUS: "<",
    LOG: "<I",
}


def request(kind: int, sequence: int, *values: int | bytes) -> bytes:
    """Return the body of a request; DATA's duties are added to it by `data`."""
    return struct.pack("<BB", kind, sequence & 255) + struct.pack(PAYLOADS[kind], *values)


def data(sequence: int, first: int, duties: bytes) -> bytes:
    """Return the body of a DATA request.

    Args:
        sequence: Any number; its low byte is taken.
        first: Index of the first duty.
        duties: 0..`DATA_MOST` duties of 10 bytes; none marks the end of the song.
    """
    return request(DATA, sequence, first) + duties


def framed(body: bytes) -> bytes:
    """Return a body as bytes for the wire; `stuff` for ends that have no memory to spare."""
    whole = body + struct.pack("<I", crc32(body))
    masks = int.from_bytes(bytes((MASK,)) * len(whole), "little")
    masked = (int.from_bytes(whole, "little") ^ masks).to_bytes(len(whole), "little")
    for byte in (ESCAPE, END, BREAK):  # the first first, as the others bring more of it
        masked = masked.replace(bytes((byte,)), bytes((ESCAPE, byte ^ STUFF)))
    return masked + bytes((END,))


def stuffed_most(length: int) -> int:
    """Return how many bytes a body of some length takes on the wire at most."""
    return 2 * (length + 4) + 1


def stuff(body: bytes | bytearray, length: int, out: bytearray) -> int:
    """Write the frame of the first `length` bytes of a body.

    Args:
        body: What is sent.
        length: How many bytes of it.
        out: Where to, at least `stuffed_most(length)` bytes.

    Returns:
        How many bytes were written, `END` included.
    """
    crc = crc32(memoryview(body)[:length])
    at = 0
    for i in range(length + 4):
        byte = (body[i] if i < length else (crc >> 8 * (i - length)) & 255) ^ MASK
        if byte in (END, ESCAPE, BREAK):
            out[at] = ESCAPE
            at += 1
            byte ^= STUFF
        out[at] = byte
        at += 1
    out[at] = END
    return at + 1


def is_whole(body: bytes | bytearray, length: int) -> bool:
    """Return whether the last 4 of the first `length` bytes are the CRC of those before."""
    if length < LEAST_BYTES:
        return False
    crc = crc32(memoryview(body)[: length - 4])
    return all(body[length - 4 + i] == (crc >> 8 * i) & 255 for i in range(4))


class Inbox:
    """Takes bytes as they come and knows where a body ends; holds one body, never more.

    Attributes:
        body: The bytes of the body that is being received or was, with its CRC.
        length: How many there are.
        broken: Frames dropped for their CRC or length.
        breaks: BREAK bytes that came where a frame may begin.
    """

    def __init__(self, most: int = BODY_MOST) -> None:
        self.body = bytearray(most + 4)
        self.is_whole = is_whole  # a board puts a faster one here
        self.length = self.broken = self.breaks = 0
        self._escaped = self._is_over = self._has_ended = False

    def bodies(self, received: bytes) -> list[bytes]:
        """Return the whole bodies, without CRC, that end in some bytes."""
        return [bytes(self.body[: self.length - 4]) for byte in received if self.take(byte)]

    def take(self, byte: int) -> bool:
        """Take one byte; return whether a whole body stands in `body` now, until the next byte."""
        if self._has_ended:
            self.length = 0
            self._escaped = self._is_over = self._has_ended = False
        if byte == END:
            return self._ended()
        if byte == BREAK:
            if self.length or self._escaped:
                self.broken += 1
                self._has_ended = True
            else:
                self.breaks += 1
        elif byte == ESCAPE:
            self._is_over |= self._escaped
            self._escaped = True
        elif self.length == len(self.body):
            self._is_over = True
        else:
            self.body[self.length] = byte ^ MASK ^ (STUFF if self._escaped else 0)
            self.length += 1
            self._escaped = False
        return False

    def reset(self) -> None:
        """Forget the body that is being received."""
        self._has_ended = True

    def _ended(self) -> bool:
        self._has_ended = True
        if not (self._is_over or self._escaped) and self.is_whole(self.body, self.length):
            return True
        if self.length or self._escaped:
            self.broken += 1
        return False


def record_digest(record: bytes) -> int:
    """Return the 16 bits by which the log tells what duty was executed."""
    return crc32(record) & 0xFFFF


def order_digest(first: int, duties: bytes, before: int = 0) -> int:
    """Return a number that tells which duties were executed, and in which order.

    It is the CRC-32 of every duty's index (u32) and 10 bytes, one after another; STATE has its
    lower 30 bits.

    Args:
        first: Index of the first duty.
        duties: Whole duties.
        before: What this function returned for the duties before them.
    """
    for i in range(0, len(duties), DUTY_BYTES):
        before = crc32(struct.pack("<I", first + i // DUTY_BYTES), before)
        before = crc32(duties[i : i + DUTY_BYTES], before)
    return before


def is_duty(duration: int, fingers: int, cart: int, volume: int) -> bool:
    """Return whether the fields of a duty are within their bounds; its start is another matter."""
    if not duration or fingers >> 2 * FINGERS or fingers & (fingers >> 1) & 0x1555:
        return False
    return cart < POSITIONS and (volume <= 100 or volume == KEEP)


def ticks_gap(later: int, earlier: int) -> int:
    """Return how many milliseconds lie between two times of the board's clock, which wraps."""
    return ((later - earlier + 0x20000000) & LIMIT) - 0x20000000
