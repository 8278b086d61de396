r"""Standard MIDI Files, read into columns of numbers or refused with a reason; nothing is raised.

symusic reads the notes; what it takes without a word and should not is found here, by looking
at the bytes. Most files need no more than a look; where something seems odd, every event is
walked over, so that no byte that merely resembles a fault refuses a file.
Units: `tick` and `duration` in ticks (`ppq` a quarter note); pitch and velocity as MIDI has
them, 0..127. Source: Standard MIDI Files 1.0, RP-001.

What is odd and read all the same:
    - Bytes behind the last chunk, or a second file there: passed over.
    - Chunks of other kinds, a header longer than 6 bytes: passed over.
    - A number of tracks that is not so, a file of format 0 with several: the tracks there are.
    - A track without its end-of-track event: ends with its bytes. What follows the event: not
      read.
    - A note that nothing ends: no note. A note ends the oldest one sounding of its channel and
      pitch in its track. A note of no length: a note.
    - A RIFF wrapper (`.rmi`): the file within.
    - System exclusive events and escapes: passed over, and no running status goes past them.
      Other system messages, which a file should not hold: passed over at their length on a wire.
    - Data above 127 in pressure and in the lower byte of a pitch bend, which no column shows.
    - Metres such as 33/64, denominators to 128; no tempo, no time signature: their defaults.

What is refused, by its reason:
    - `io_error`: the path is no file that can be read. `empty`: no bytes. `too_large`: more than
      `max_bytes`, or ticks of 2^31 and more.
    - `magic`: neither `MThd` nor a RIFF wrapper. `header`: a header shorter than 6 bytes, a
      wrapper without data, more than 65,535 tracks. `format2`: any format but 0 and 1. `smpte`,
      `div0`: a division in frames a second, or of 0 ticks.
    - `truncated`: a chunk or an event goes on past the end. `varlen`: a variable length of five
      bytes and more. `running_status`: data where no status holds. `data_byte`: above 127 in a
      note, controller or program, or a status that MIDI has not.
    - `tempo0`: a tempo of 0 or not of three bytes. `metre0`: a metre of 0 beats, of beats
      shorter than 1/128, or not of four bytes.
    - `no_notes`: all that, and no note.
"""

import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from symusic import Score

from workbench.music.timebase import Events, MetreMap, TempoMap

Reason = Literal[
    "empty",
    "magic",
    "header",
    "format2",
    "smpte",
    "div0",
    "truncated",
    "varlen",
    "running_status",
    "data_byte",
    "tempo0",
    "metre0",
    "no_notes",
    "too_large",
    "io_error",
]

Columns = dict[str, NDArray[np.signedinteger]]

MAX_BYTES = 32 * 2**20
MAX_TICK = 2**31 - 1  # symusic counts in int32

_MAX_TRACKS = 2**16 - 1
_END_OF_TRACK, _TEMPO, _METRE = 0x2F, 0x51, 0x58
# symusic reads a little past a track whose last event is cut; zeros make that the same each time
_PADDING = bytes(16)
# What resembles an unsound tempo or metre event, as each that is unsound does
_UNSOUND_TIME = re.compile(rb"\xff(?:\x51(?!\x03(?!\0\0\0))|\x58(?!\x04[^\0][\0-\x07]))")
# Bytes that follow each status
_DATA_BYTES = {
    **dict.fromkeys(range(0x80, 0xC0), 2),
    **dict.fromkeys(range(0xC0, 0xE0), 1),
    **dict.fromkeys(range(0xE0, 0xF0), 2),
    **{0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0},
}
# The upper half of those whose data symusic wants below 128; of a bend, the last byte only
_SHOWN = (0x8, 0x9, 0xB, 0xC, 0xE)


def _channel_messages(following: bytes) -> re.Pattern[bytes]:
    """Return what matches any channel messages with deltas to 3 bytes, as many as there are.

    They may begin with some in running status, whose form is `following`; group 1 is the last
    status byte. D stands for a delta, L for a byte below 128.
    """
    pattern = rb"""(?:D(?=([\x80-\xef]))(?: [\x80-\x9f\xb0-\xbf]LL(?:DLL)*+
        | [\xc0-\xcf]L(?:DL)*+ | [\xd0-\xdf].(?:DL)*+ | [\xe0-\xef].L(?:DLL)*+
        | [\xa0-\xaf]..(?:DL.)*+ ))*+"""
    if following:
        pattern = b"(?:D" + following + b")*+" + pattern
    pattern = pattern.replace(b"D", rb"[\x80-\xff]{0,2}+L").replace(b"L", rb"[\0-\x7f]")
    return re.compile(pattern, re.DOTALL | re.VERBOSE)


# By the upper half of the running status; system messages are looked at one by one
_RUNS = {
    **dict.fromkeys((0x8, 0x9, 0xB, 0xE), _channel_messages(b"LL")),
    **dict.fromkeys((0xC, 0xD), _channel_messages(b"L")),
    0xA: _channel_messages(b"L."),
    **dict.fromkeys((0x0, 0xF), _channel_messages(b"")),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Midi:
    """The notes of a MIDI file, sorted by tick, then pitch, then track, channel and program.

    Attributes:
        ppq: Ticks a quarter note, 1..32767.
        tick: Where each note begins, int64 (n,), 0..2^31-1.
        duration: Its length in ticks, int64 (n,), not negative.
        pitch: uint8 (n,), 0..127.
        velocity: uint8 (n,), 1..127.
        is_drum: Whether it is on channel 10, bool (n,).
        tempos: The tempo map.
        metres: The metre map.
    """

    ppq: int
    tick: NDArray[np.int64]
    duration: NDArray[np.int64]
    pitch: NDArray[np.uint8]
    velocity: NDArray[np.uint8]
    is_drum: NDArray[np.bool_]
    tempos: TempoMap
    metres: MetreMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a file is not read.

    Attributes:
        reason: One code, to count by.
        detail: What was found and where, for people.
    """

    reason: Reason
    detail: str


class _FaultError(Exception):
    """A fault in the bytes, on its way to becoming a Refusal."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_midi_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Midi | Refusal:
    """Return what a file holds, or why not; the file is only read, and nothing is raised."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Refusal(reason="io_error", detail="not a file")
        if status.st_size > max_bytes:
            return _too_large(status.st_size, max_bytes)
        data = path.read_bytes()
    except OSError as error:  # told without its path, which differs from machine to machine
        return Refusal(reason="io_error", detail=f"[Errno {error.errno}] {error.strerror}")
    except (ValueError, MemoryError) as error:  # ValueError: a path with a zero byte
        return Refusal(reason="io_error", detail=str(error))
    return read_midi(data, max_bytes=max_bytes)


def read_midi(data: bytes, *, max_bytes: int = MAX_BYTES) -> Midi | Refusal:
    """Return what the bytes of a file hold, or why not; nothing is raised."""
    if len(data) > max_bytes:
        return _too_large(len(data), max_bytes)
    try:
        return _midi(_score(_unwrapped(data)))
    except _FaultError as fault:
        return Refusal(reason=fault.reason, detail=str(fault))
    except MemoryError:
        return Refusal(reason="too_large", detail=f"{len(data)} bytes need more memory than is")


def _too_large(size: int, max_bytes: int) -> Refusal:
    return Refusal(reason="too_large", detail=f"{size} bytes, more than {max_bytes}")


def _unwrapped(data: bytes) -> bytes:
    """Return the bytes from `MThd` on, out of a RIFF wrapper if there is one."""
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = _wrapped(data)
    if not data:
        raise _FaultError("empty", "no bytes")
    if data[:4] != b"MThd":
        raise _FaultError("magic", f"begins with {data[:4]!r}, not with b'MThd'")
    return data


def _wrapped(data: bytes) -> bytes:
    """Return the content of a RIFF wrapper's data chunk."""
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if at + size > len(data):
                raise _FaultError("truncated", f"data of {size} bytes at {at}, {len(data)} in all")
            return data[at : at + size]
        at += size + size % 2
    raise _FaultError("header", "a RIFF wrapper without a data chunk")


def _score(data: bytes) -> Score:
    """Return symusic's reading of a file, after the look at its bytes."""
    if len(data) < 14:
        raise _FaultError("truncated", f"{len(data)} bytes, and the header alone has 14")
    length, form, declared, division = struct.unpack_from(">IHHH", data, 4)
    _check_header(length, form, division)
    tracks = _tracks(data, 8 + length, declared)
    if _seems_odd(data):
        return _parsed(_file(form, division, _walked(data, tracks)))
    try:
        if length == 6 and declared == len(tracks):
            return _parsed(data + _PADDING)
        return _parsed(_file(form, division, [data[start:end] for start, end in tracks]))
    except _FaultError:
        _walked(data, tracks)  # says more exactly what it is
        raise


def _parsed(data: bytes) -> Score:
    try:
        return Score.from_midi(data)
    except (RuntimeError, ValueError, LookupError, ArithmeticError) as error:
        raise _FaultError("data_byte", str(error)) from error


def _check_header(length: int, form: int, division: int) -> None:
    if length < 6:
        raise _FaultError("header", f"a header of {length} bytes, not 6")
    if form > 1:
        raise _FaultError("format2", f"format {form}; formats 0 and 1 are read")
    if division & 0x8000:
        raise _FaultError("smpte", f"a division in frames a second ({division:#06x})")
    if division == 0:
        raise _FaultError("div0", "a division of 0 ticks a quarter note")


def _tracks(data: bytes, at: int, declared: int) -> list[tuple[int, int]]:
    """Return where the content of each track begins and ends."""
    tracks: list[tuple[int, int]] = []
    while at + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, at)
        at += 8
        if name == b"MThd":
            break
        if at + size > len(data):
            if name != b"MTrk" and len(tracks) >= declared:
                break
            raise _FaultError("truncated", f"a chunk of {size} bytes at {at}, {len(data)} in all")
        if name == b"MTrk":
            tracks.append((at, at + size))
        if len(tracks) > _MAX_TRACKS:
            raise _FaultError("header", f"more than {_MAX_TRACKS} tracks at byte {at}")
        at += size
    return tracks


def _file(form: int, division: int, tracks: list[bytes]) -> bytes:
    """Return a file of some tracks, padded."""
    parts = [struct.pack(">4sIHHH", b"MThd", 6, form, len(tracks), division)]
    for track in tracks:
        parts += (b"MTrk", struct.pack(">I", len(track)), track)
    return b"".join((*parts, _PADDING))


def _seems_odd(data: bytes) -> bool:
    """Whether there may be what symusic takes and should not, or takes wrongly.

    That is an unsound tempo or metre, sysex, a length of 5 bytes, or enough deltas of 4 bytes to
    run over 31 bits.
    """
    if b"\xf0" in data or b"\xf7" in data or _UNSOUND_TIME.search(data):
        return True
    pairs = np.frombuffer(data, np.uint16, len(data) // 2) & 0x8080
    if pairs.max() < 0x8080:  # three bytes of 128 and more in a row would show as such a pair
        return False
    byte = np.frombuffer(data, np.uint8)
    two = byte[1:] & byte[:-1]
    is_long = (two[1:] & byte[:-2]) > 127
    return bool(np.count_nonzero(is_long) > 7 or (is_long[1:] & is_long[:-1]).any())


def _walked(data: bytes, tracks: list[tuple[int, int]]) -> list[bytes]:
    """Look at every event; return the tracks with sysex as meta events, which symusic skips."""
    return [_walked_track(data, start, end) for start, end in tracks]


def _walked_track(data: bytes, at: int, end: int) -> bytes:
    parts: list[bytes] = []
    kept, running, ticks = at, 0, 0
    while at < end:
        run = _RUNS[running >> 4].match(data, at, end)
        if run and run.end() > at:
            at, running = run.end(), run[1][0] if run[1] else running
            continue
        delta, at = _variable_length(data, at, end)
        # Without the channel messages' own, but for long ones: those run over unseen only in a
        # silence of 2^32 ticks, and `_check_rising` sees the rest
        ticks += delta
        if ticks > MAX_TICK:
            raise _FaultError("too_large", f"ticks of 2^31 and more at byte {at}")
        status = _byte(data, at, end)
        if status in (0xF0, 0xF7):
            parts += (data[kept:at], b"\xff\x7f")
            kept, running = at + 1, 0
            _, at = _payload(data, at + 1, end)
        elif status == 0xFF:
            kind = _byte(data, at + 1, end)
            start, at = _payload(data, at + 2, end)
            if kind == _END_OF_TRACK:
                break
            _check_time_event(kind, data[start:at], start)
        else:
            at, running = _message(data, at, end, running)
    return b"".join((*parts, data[kept:at]))


def _byte(data: bytes, at: int, end: int) -> int:
    if at >= end:
        raise _FaultError("truncated", f"an event goes on past its track's end at byte {end}")
    return data[at]


def _variable_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of 1 to 4 bytes, and where it ends."""
    value = 0
    for place in range(at, at + 4):
        byte = _byte(data, place, end)
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    raise _FaultError("varlen", f"a length of more than 4 bytes at byte {at}")


def _payload(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the content after a length begins and ends."""
    length, at = _variable_length(data, at, end)
    if at + length > end:
        raise _FaultError("truncated", f"{length} bytes at {at}, and the track ends at {end}")
    return at, at + length


def _check_time_event(kind: int, content: bytes, at: int) -> None:
    if kind == _TEMPO and (len(content) != 3 or not any(content)):
        raise _FaultError("tempo0", f"tempo {content.hex()!r} at byte {at}")
    if kind == _METRE and (len(content) != 4 or content[0] == 0 or content[1] > 7):
        raise _FaultError("metre0", f"time signature {content.hex()!r} at byte {at}")


def _message(data: bytes, at: int, end: int, running: int) -> tuple[int, int]:
    """Return where a message other than sysex and meta ends, and its status."""
    status = data[at]
    if status >= 0x80:
        at += 1
    elif not running:
        raise _FaultError("running_status", f"data {status:#04x} with no status at byte {at}")
    else:
        status = running
    count = _DATA_BYTES.get(status)
    if count is None:
        raise _FaultError("data_byte", f"no such status as {status:#04x} at byte {at - 1}")
    if at + count > end:
        raise _FaultError("truncated", f"a message at byte {at}, and the track ends at {end}")
    shown = data[at + (status >= 0xE0) : at + count] if status >> 4 in _SHOWN else b""
    if shown and max(shown) > 127:
        raise _FaultError("data_byte", f"{max(shown)} as data of {status:#04x} at byte {at}")
    return at + count, status


def _midi(score: Score) -> Midi:
    """Return symusic's reading as sorted columns."""
    notes, is_drum = _joined([(track.notes.numpy(), track.is_drum) for track in score.tracks])
    if not len(is_drum):
        raise _FaultError("no_notes", "no note that ends")
    tick, duration = notes["time"].astype(np.int64), notes["duration"].astype(np.int64)
    pitch, velocity = notes["pitch"].view(np.uint8), notes["velocity"].view(np.uint8)
    key = tick << 7 | pitch
    if tick[0] < 0 or np.count_nonzero(key[1:] < key[:-1]):
        _check_rising(score)
        order = np.argsort(key, kind="stable")
        tick, duration, pitch = tick[order], duration[order], pitch[order]
        velocity, is_drum = velocity[order], is_drum[order]
    tempos = _columns(score.tempos, "time", "mspq")
    metres = _columns(score.time_signatures, "time", "numerator", "denominator")
    return Midi(
        ppq=score.tpq,
        tick=tick,
        duration=duration,
        pitch=pitch,
        velocity=velocity,
        is_drum=is_drum,
        tempos=TempoMap.from_events(score.tpq, *tempos),
        metres=MetreMap.from_events(score.tpq, *metres),
    )


def _columns(events: Any, *names: str) -> list[Events]:
    """Return columns of symusic's tempos or time signatures; one alone is read faster so."""
    if len(events) == 1:
        event = events[0]
        return [[getattr(event, name)] for name in names]
    columns = events.numpy()
    return [columns[name] for name in names]


def _joined(tracks: list[tuple[Columns, bool]]) -> tuple[Columns, NDArray[np.bool_]]:
    """Return the columns of all tracks, one behind the other, and which notes are drums."""
    drums = [np.full(len(notes["time"]), is_drum) for notes, is_drum in tracks]
    if len(tracks) == 1:
        return tracks[0][0], drums[0]
    if not tracks:
        return {}, np.zeros(0, bool)
    names = tracks[0][0]
    joined = {name: np.concatenate([notes[name] for notes, _ in tracks]) for name in names}
    return joined, np.concatenate(drums)


def _check_rising(score: Score) -> None:
    """Refuse ticks that ran over the 31 bits symusic counts in: they fall below earlier ones."""
    for track in score.tracks:
        tick = track.notes.numpy()["time"]
        if (tick[:1] < 0).any() or (tick[1:] < tick[:-1]).any():
            raise _FaultError("too_large", "ticks of 2^31 and more")
