"""What is done for every byte, in machine code; equal to the plain functions of `wire`.

CRC-32 is kept in two halves of 16 bits, since a whole one is no small integer on a 32-bit board.
"""

from array import array

import micropython

# CRC-32 of 0..15, reflected 0xedb88320: lower and upper half of each.
_NIBBLES = array("H", bytes(64))


def _fill():
    for i in range(16):
        low, high = i, 0
        for _ in range(4):
            odd = low & 1
            low = low >> 1 | (high & 1) << 15
            high >>= 1
            if odd:
                low ^= 0x8320
                high ^= 0xEDB8
        _NIBBLES[2 * i], _NIBBLES[2 * i + 1] = low, high


_fill()


@micropython.viper
def add_crc(halves, buffer, at: int, count: int):
    """Take `count` bytes from `at` into a CRC, its two halves; it begins with ffff ffff."""
    state = ptr16(halves)
    data = ptr8(buffer)
    table = ptr16(_NIBBLES)
    low = state[0]
    high = state[1]
    for i in range(at, at + count):
        byte = data[i]
        for _ in range(2):
            k = (low ^ byte) & 15
            byte >>= 4
            low = (low >> 4 | (high & 15) << 12) ^ table[2 * k]
            high = (high >> 4) ^ table[2 * k + 1]
    state[0] = low
    state[1] = high


_crc = array("H", (0, 0))


@micropython.viper
def is_whole(buffer, length: int) -> bool:
    """Return what `wire.is_whole` returns."""
    body = ptr8(buffer)
    if length < 6:
        return False
    crc = ptr16(_crc)
    crc[0] = 0xFFFF
    crc[1] = 0xFFFF
    add_crc(_crc, buffer, 0, length - 4)
    for i in range(4):
        half = crc[i >> 1] ^ 0xFFFF
        if body[length - 4 + i] != half >> 8 * (i & 1) & 255:
            return False
    return True


@micropython.viper
def stuff(buffer, length: int, out: ptr8) -> int:
    """Do what `wire.stuff` does."""
    body = ptr8(buffer)
    crc = ptr16(_crc)
    crc[0] = 0xFFFF
    crc[1] = 0xFFFF
    add_crc(_crc, buffer, 0, length)
    at = 0
    for i in range(length + 4):
        if i < length:
            byte = body[i]
        else:
            byte = (crc[(i - length) >> 1] ^ 0xFFFF) >> 8 * ((i - length) & 1) & 255
        byte ^= 0xDB
        if byte == 0 or byte == 1 or byte == 3:
            out[at] = 1
            at += 1
            byte ^= 0x20
        out[at] = byte
        at += 1
    out[at] = 0
    return at + 1


@micropython.viper
def record_digest(buffer, at: int) -> int:
    """Return what `wire.record_digest` returns of the 10 bytes from `at`."""
    crc = ptr16(_crc)
    crc[0] = 0xFFFF
    crc[1] = 0xFFFF
    add_crc(_crc, buffer, at, 10)
    return crc[0] ^ 0xFFFF


@micropython.viper
def duty_start(data: ptr8, at: int) -> int:
    """Return the start of the duty from `at`, ms; -1 when a field is out of bounds."""
    fingers = data[at + 6] | data[at + 7] << 8
    volume = data[at + 9]
    if data[at + 3] > 0x3F or data[at + 4] | data[at + 5] == 0:
        return -1
    if fingers >> 14 or fingers & fingers >> 1 & 0x1555:
        return -1
    if data[at + 8] >= 12 or (volume > 100 and volume != 255):
        return -1
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


@micropython.viper
def u32(data: ptr8, at: int) -> int:
    """Return a number of 4 bytes; -1 when it is above what may be sent."""
    if data[at + 3] > 0x3F:
        return -1
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24


@micropython.viper
def copy(data: ptr8, at: int, to: ptr8, place: int, count: int):
    """Copy bytes; the ranges are the caller's care."""
    for i in range(count):
        to[place + i] = data[at + i]
