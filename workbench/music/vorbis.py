"""Ogg Vorbis files: samples written in blocks, without tags, the same bytes every time.

Units: samples from -1 to 1, `sample_rate` in Hz, `quality` from 0 (small) to 1. libsndfile crashes
on one large Vorbis write, so blocks are of a second at most; and it draws the number of the stream
by chance, so that number is set to 1; and it signs with a tag, whose bytes become blanks behind the
encoder's name. Then the checksums of the pages are made anew. Sources: RFC 3533 (Ogg), Vorbis I
specification 5 (its comment header).
"""

import io
import struct
import zlib

import numpy as np
import soundfile
from numpy.typing import ArrayLike

from workbench.errors import MusicError

_SERIAL = slice(14, 18)  # within a page
_CHECKSUM = slice(22, 26)
_HEADER = 27  # bytes of a page before its table of segments
_COMMENTS = b"\x03vorbis"
_NUMBER = struct.Struct("<I")
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF


def vorbis_bytes(samples: ArrayLike, sample_rate: int, *, quality: float = 0.4) -> bytes:
    """Return samples as an Ogg Vorbis file with one stream and no tags.

    Args:
        samples: `(n,)`, or `(n, channels)`.
        sample_rate: Hz, 8000 to 192000.
        quality: 0 to 1.

    Raises:
        MusicError: The samples are no columns of finite numbers, or cannot be encoded.
    """
    columns = np.asarray(samples, dtype=np.float32)
    if columns.ndim not in (1, 2) or not len(columns) or not np.isfinite(columns).all():
        raise MusicError(f"samples: want columns of finite numbers, got shape {columns.shape}")
    channels = 1 if columns.ndim == 1 else columns.shape[1]
    if not 8000 <= sample_rate <= 192_000:  # libsndfile crashes on a rate of 0
        raise MusicError(f"sample_rate {sample_rate} is outside [8000..192000]")
    content = io.BytesIO()
    form = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}
    try:
        with soundfile.SoundFile(content, "w", sample_rate, channels, **form) as file:
            for start in range(0, len(columns), sample_rate):
                file.write(columns[start : start + sample_rate])
    except (soundfile.LibsndfileError, ValueError) as error:
        raise MusicError(
            f"{channels} channels at {sample_rate} Hz: cannot be written as Vorbis ({error})"
        ) from error
    return _renumbered(_untagged(content.getvalue()))


def _untagged(stream: bytes) -> bytes:
    """Return an Ogg file whose tags are blanks at the end of the vendor's name; sums do not fit.

    Nothing moves, so that pages stay as long as they tell.
    """
    content = bytearray(stream)
    vendor = content.index(_COMMENTS) + len(_COMMENTS)
    tags = vendor + _NUMBER.size + _NUMBER.unpack_from(content, vendor)[0]
    end = tags + _NUMBER.size
    for _ in range(_NUMBER.unpack_from(content, tags)[0]):
        end += _NUMBER.size + _NUMBER.unpack_from(content, end)[0]
    count = end - _NUMBER.size
    content[tags:count] = b" " * (count - tags)
    _NUMBER.pack_into(content, vendor, count - vendor - _NUMBER.size)
    _NUMBER.pack_into(content, count, 0)
    return bytes(content)


def _renumbered(stream: bytes) -> bytes:
    """Return an Ogg file of one stream whose number is 1."""
    pages = bytearray(stream)
    start = 0
    while start < len(pages):
        segments = pages[start + _HEADER - 1]
        body = start + _HEADER + segments
        end = body + sum(pages[start + _HEADER : body])
        page = pages[start:end]
        page[_SERIAL] = (1).to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(bytes(page)).to_bytes(4, "little")
        pages[start:end] = page
        start = end
    return bytes(pages)


def _checksum(page: bytes) -> int:
    """Return the CRC-32 of Ogg, which is that of zlib with the bits of each byte turned round."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), _ONES) ^ _ONES  # begins at 0, ends as it is
    return int(f"{mirrored:032b}"[::-1], 2)
