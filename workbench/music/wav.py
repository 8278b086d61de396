"""WAV files: 16-bit PCM written, and the samples of any found where they lie.

Units: samples from -1 to 1, `sample_rate` in Hz. Sources: Multimedia Programming Interface and Data
Specifications 1.0 (IBM and Microsoft, 1991); WAVE_FORMAT_EXTENSIBLE from Microsoft's mmreg.h.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import MusicError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_EXTENSION = struct.Struct("<HHIH14s")  # size, valid bits, speakers, the format, the rest of a GUID

_PCM = 1
_FLOAT = 3
_EXTENSIBLE = 0xFFFE
_GUID_REST = bytes.fromhex("000000001000800000aa00389b71")
# What encoders that write to a pipe put where the size should be is this or more: SoX and
# espeak-ng 0x7FFFF000, arecord 0x80000000, FFmpeg 0xFFFFFFFF.
_UNKNOWN = 0x7FFFF000
_DTYPES = {
    (_PCM, 8): "|u1",
    (_PCM, 16): "<i2",
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
    (_FLOAT, 64): "<f8",
}


def wav_bytes(samples: ArrayLike, sample_rate: int) -> bytes:
    """Return mono samples as a WAV file of 16-bit PCM; what lies outside -1 to 1 is clipped.

    Args:
        samples: `(n,)`.
        sample_rate: Hz.

    Raises:
        MusicError: The samples are not one column of finite numbers.
    """
    column = np.asarray(samples, dtype=np.float64)
    if column.ndim != 1 or not np.isfinite(column).all():
        raise MusicError(f"samples: want one column of finite numbers, got shape {column.shape}")
    return pcm_wav_bytes(np.rint(np.clip(column, -1, 1) * 32_767).astype(np.int16), sample_rate)


def pcm_wav_bytes(pcm: NDArray[np.int16], sample_rate: int) -> bytes:
    """Return mono samples of 16 bits as a WAV file: a header of 44 bytes, then the samples.

    Args:
        pcm: `(n,)`.
        sample_rate: Hz.

    Raises:
        MusicError: There are more samples than a WAV file can hold, or no such rate.
    """
    size = 2 * len(pcm)
    if size > 0xFFFF_FFFF - 36 or not 0 < sample_rate <= 0x7FFF_FFFF:
        raise MusicError(f"{len(pcm)} samples at {sample_rate} Hz: a WAV file cannot hold these")
    header = _HEADER.pack(
        *(b"RIFF", size + 36, b"WAVE"),
        *(b"fmt ", 16, _PCM, 1, sample_rate, 2 * sample_rate, 2, 16),
        *(b"data", size),
    )
    return header + pcm.astype("<i2", copy=False).tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class WavSamples:
    """Where the samples of a WAV file lie.

    Attributes:
        dtype: Name of the NumPy type of a sample; empty where NumPy has none, as for 24 bits and
            all that is compressed.
        channels: Samples a frame, at least 1 where there is a type.
        sample_rate: Hz, as the file says.
        start: First byte of the first sample.
        size: Bytes of samples that are there.
        missing: Bytes of samples that the file promises besides, and that are not there.
    """

    dtype: str
    channels: int
    sample_rate: int
    start: int
    size: int
    missing: int


def find_samples(content: bytes) -> WavSamples | None:
    """Return where the samples of a WAV file lie, or None where it has no such place.

    The size of the whole file in its header is not trusted. The size of the samples is, but for
    encoders that write to a pipe and never learn it: they put a size of 2 GiB or so, or 0 under a
    file size of 0 or 4 GiB, and mean all that follows.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    at, form = 12, 0
    while at + _CHUNK.size <= len(content):
        name, size = _CHUNK.unpack_from(content, at)
        at += _CHUNK.size
        if name == b"data":
            return _samples_at(content, at, size, form) if form else None
        if name == b"fmt " and size >= _FORMAT.size and at + size <= len(content):
            form = at
        at += size + size % 2
    return None


def _samples_at(content: bytes, start: int, promised: int, form: int) -> WavSamples:
    tag, channels, sample_rate, _, frame_bytes, bits = _FORMAT.unpack_from(content, form)
    (form_size,) = struct.unpack_from("<I", content, form - 4)
    if tag == _EXTENSIBLE and form_size >= _FORMAT.size + _EXTENSION.size:
        _, valid_bits, _, inner, rest = _EXTENSION.unpack_from(content, form + _FORMAT.size)
        tag = inner if valid_bits in (0, bits) and rest == _GUID_REST else 0
    dtype = _DTYPES.get((tag, bits), "")
    if channels == 0 or frame_bytes != channels * bits // 8:
        dtype = ""
    there = len(content) - start
    file_size = int.from_bytes(content[4:8], "little")
    is_unknown = promised >= _UNKNOWN or (promised == 0 and file_size in (0, 0xFFFF_FFFF))
    if is_unknown and (promised == 0 or promised > there):
        promised = there
    return WavSamples(
        dtype=dtype,
        channels=channels,
        sample_rate=sample_rate,
        start=start,
        size=min(promised, there),
        missing=max(promised - there, 0),
    )
