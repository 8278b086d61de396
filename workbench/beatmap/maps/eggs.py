"""What an Ogg Vorbis file says of itself, without decoding it.

Pages are walked to the end, so that a file cut short is told from a whole one. Sources: RFC 3533
(Ogg), Vorbis I specification 4.2 and 5.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.errors import BeatmapError

_PAGE = struct.Struct("<4sBBqIIIB")  # mark, version, flags, position, stream, number, sum, segments
_LAST = 4  # flag of the last page
_IDENTITY = struct.Struct("<7sIBI")  # mark, version, channels, sample rate
_MOST_HEADER = 16 * 2**20  # bytes; a picture in the tags may be some


@dataclass(frozen=True, slots=True, kw_only=True)
class Egg:
    """A Vorbis file.

    Attributes:
        channels: At least 1.
        sample_rate: Hz.
        sample_count: Of each channel.
        tags: As the file has them, `TITLE=A Song`; the encoder's own name is none.
    """

    channels: int
    sample_rate: int
    sample_count: int
    tags: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.sample_count / self.sample_rate


def read_egg(content: bytes) -> Egg:
    """Return what a Vorbis file says of itself.

    Raises:
        BeatmapError: It is of another kind (`audio_kind`), or cut short or damaged (`bad_audio`).
    """
    if not content.startswith(b"OggS"):
        what = _kind(content)
        raise BeatmapError(f"{what}; the game plays Ogg Vorbis: encode it anew", "audio_kind")
    head = bytearray()
    packets: list[bytes] = []
    position, is_whole = 0, False
    for at, flags, body, sizes in _pages(content):
        position, is_whole = at, bool(flags & _LAST)  # the last page's is the length
        begin = 0
        for size in sizes if len(packets) < 2 else b"":
            head += body[begin : begin + size]
            begin += size
            if size < 255:
                packets.append(bytes(head))
                head.clear()
        if len(head) > _MOST_HEADER:
            raise BeatmapError(f"tags of more than {_MOST_HEADER:,} bytes", "bad_audio")
    if not packets or not packets[0].startswith(b"\x01vorbis"):
        raise BeatmapError("Ogg that is not Vorbis; encode it anew", "audio_kind")
    if len(packets) < 2 or len(packets[0]) < _IDENTITY.size or not is_whole:
        raise BeatmapError("Ogg Vorbis that is cut short; take it from its source", "bad_audio")
    _, _, channels, rate = _IDENTITY.unpack_from(packets[0])
    if not channels or not rate or position < 1:
        told = f"{channels} channels, {rate} Hz, {position} samples"
        raise BeatmapError(f"Ogg Vorbis of {told}; encode it anew", "bad_audio")
    return Egg(
        channels=channels, sample_rate=rate, sample_count=position, tags=tuple(_tags(packets[1]))
    )


def _pages(content: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Yield position, flags, body and segment sizes of each page.

    Raises:
        BeatmapError: There is something else between, or the last is not whole.
    """
    begin = 0
    while begin < len(content):
        if len(content) < begin + _PAGE.size or content[begin : begin + 4] != b"OggS":
            raise BeatmapError(f"Ogg that is damaged at byte {begin:,}", "bad_audio")
        _, _, flags, position, _, _, _, segments = _PAGE.unpack_from(content, begin)
        sizes = content[begin + _PAGE.size : begin + _PAGE.size + segments]
        start = begin + _PAGE.size + segments
        begin = start + sum(sizes)
        if len(sizes) < segments or begin > len(content):
            raise BeatmapError("Ogg that is cut short; take it from its source", "bad_audio")
        yield position, flags, content[start:begin], sizes


def _tags(packet: bytes) -> Iterator[str]:
    """Yield the tags of a comment header but the encoder's.

    Raises:
        BeatmapError: It is none.
    """
    try:
        if not packet.startswith(b"\x03vorbis"):
            raise struct.error("its mark is missing")
        (length,) = struct.unpack_from("<I", packet, 7)
        (count,) = struct.unpack_from("<I", packet, 11 + length)
        at = 15 + length
        for _ in range(count):
            (size,) = struct.unpack_from("<I", packet, at)
            tag = packet[at + 4 : at + 4 + size].decode("utf-8", "replace")
            at += 4 + size
            if not tag.upper().startswith("ENCODER="):  # libsndfile and ffmpeg sign with it
                yield tag
    except struct.error as error:
        raise BeatmapError(f"Ogg Vorbis whose tags are damaged ({error})", "bad_audio") from error


def _kind(content: bytes) -> str:
    """Return what an audio file seems to be."""
    if content.startswith(b"ID3") or (content[:1] == b"\xff" and content[1:2] >= b"\xe0"):
        return "MP3"
    kinds = {b"RIFF": "WAV", b"fLaC": "FLAC"}
    return kinds.get(content[:4], f"audio that begins with {content[:8]!r}" if content else "empty")
