"""Frames out of a stream of bytes, on machines with memory to spare.

The same frames as `wire.Inbox` takes byte by byte, by whole-buffer operations: some ten times as
fast on CPython. A frame that is damaged, too long or holds a BREAK is dropped and counted.
"""

from binascii import crc32

from workbench.device import wire

_UNMASKED = bytes(byte ^ wire.MASK for byte in range(256))
_MOST = 2 * (wire.BODY_MOST + 4)  # bytes that a frame takes before its END
_END, _ESCAPE = bytes([wire.END]), bytes([wire.ESCAPE])


def unframed(frame: bytes) -> bytes | None:
    """Return the body of a frame without its CRC, or None where it is damaged.

    Args:
        frame: As on the wire, without END.
    """
    if wire.BREAK in frame:
        return None
    first, *escaped = frame.split(_ESCAPE)
    if not all(escaped):  # two in a row, or one at the end
        return None
    if escaped:
        first += b"".join(bytes([piece[0] ^ wire.STUFF]) + piece[1:] for piece in escaped)
    if not wire.LEAST_BYTES <= len(first) <= wire.BODY_MOST + 4:
        return None
    body = first.translate(_UNMASKED)
    crc = int.from_bytes(body[-4:], "little")
    return body[:-4] if crc32(body[:-4]) == crc else None


class Frames:
    """Takes bytes as they come and gives whole bodies.

    Attributes:
        broken: Frames that were dropped.
    """

    def __init__(self) -> None:
        self.broken = 0
        self._begun = b""

    def bodies(self, received: bytes) -> list[bytes]:
        """Return the bodies, without CRC, of the frames that end in some bytes."""
        *whole, begun = (self._begun + received).split(_END)
        self._begun = begun[: _MOST + 1]  # what is longer is damaged, and stays so
        found = [unframed(frame) for frame in whole if frame]
        self.broken += found.count(None)
        return [body for body in found if body is not None]
