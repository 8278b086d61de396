"""MIDI bytes by hand, whole and spoilt, for tests of the reader."""

import random
import struct
from collections.abc import Iterator, Sequence

END = b"\0\xff\x2f\0"
HIT = b"\0\x99\x24\x64\x60\x89\x24\0"  # a bass drum at velocity 100, 96 ticks long
SPOILERS = (
    b"\xff\x51\x03",
    b"\xff\x58\x04",
    b"\xf0",
    b"\xf7",
    b"\xff\xff\xff\x7f",
    b"\xf8",
    b"MTrk",
)


def varlen(number: int) -> bytes:
    """Return a number of less than 2^28 as a variable length."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def header(tracks: int = 1, *, form: int = 1, division: int = 480) -> bytes:
    return struct.pack(">4sIHHH", b"MThd", 6, form, tracks, division)


def chunk(content: bytes, *, name: bytes = b"MTrk") -> bytes:
    return name + struct.pack(">I", len(content)) + content


def smf(*tracks: bytes, form: int = 1, division: int = 480) -> bytes:
    """Return a file of some tracks' contents."""
    parts = [chunk(track) for track in tracks]
    return b"".join((header(len(tracks), form=form, division=division), *parts))


def riff(file: bytes, *, before: bytes = b"") -> bytes:
    """Return a file in a RIFF wrapper, as in `.rmi`, behind some other chunks."""
    return b"RIFF\0\0\0\0RMID" + before + b"data" + struct.pack("<I", len(file)) + file


def meta(kind: int, content: bytes) -> bytes:
    return bytes((0, 0xFF, kind)) + varlen(len(content)) + content


def tempo(value: int) -> bytes:
    return meta(0x51, value.to_bytes(3, "big"))


def metre(numerator: int, power: int) -> bytes:
    return meta(0x58, bytes((numerator, power, 24, 8)))


def mutations(seeds: Sequence[bytes], number: int, *, seed: int) -> Iterator[bytes]:
    """Yield spoilt copies: bits flipped, bytes put in, taken out, cut off, spliced in."""
    rng = random.Random(seed)
    for _ in range(number):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            _spoil(data, rng, seeds)
        if len(data) > 22 and rng.random() < 0.5:  # so that the fault inside is come upon
            data[18:22] = struct.pack(">I", len(data) - 22)
        yield bytes(data)


def _spoil(data: bytearray, rng: random.Random, seeds: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    match rng.choice(("flip", "insert", "delete", "truncate", "splice", "resemble")):
        case "flip" if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case "insert":
            data[at:at] = rng.randbytes(rng.randint(1, 4))
        case "delete":
            del data[at : at + rng.randint(1, 4)]
        case "truncate" if rng.random() < 0.2:
            del data[at:]
        case "splice":
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            data[at:at] = other[start : start + rng.randint(1, 64)]
        case "resemble":
            data[at:at] = rng.choice(SPOILERS)
