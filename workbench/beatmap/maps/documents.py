"""Map files as text: unpacked, told apart by what they hold, kept whole for writing them back.

A file may be packed by gzip, may begin with a byte order mark, and may wrap all that it holds in
`content`, as the official editor's newer layout does. Its format is told by `version` or
`_version`, else by its keys.
"""

import codecs
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from workbench.beatmap.maps.decoding import PARTS
from workbench.errors import BeatmapError

MAX_BYTES = 64 * 2**20
MAX_OBJECTS = 2_000_000  # each costs some 150 bytes of memory, and 3 of the text
MAX_VALUES = 10_000_000  # told by the commas; a list of bare numbers fills the memory, too

_GZIP = b"\x1f\x8b"
_VERSION = re.compile(rb'"_?version"\s*:\s*"([0-9][0-9.]{0,15})"')
# An escaped backslash, a whole sign beyond 16 bits, or half of one
_ESCAPE = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_TEXT = msgspec.json.Decoder(str)
# Keys that only one format has; the first that a file holds decides
_KEYS = {
    "_regions": 2,
    "_difficultyBeatmapSets": 2,
    "difficultyLevels": 1,
    "difficultyBeatmaps": 4,
    "bpmData": 4,
    "_beatsPerMinute": 1,
    "_notes": 2,
    "_events": 2,
    "_obstacles": 2,
    "colorNotesData": 4,
    "bombNotesData": 4,
    "obstaclesData": 4,
    "basicEvents": 4,
    "eventBoxGroups": 4,
    "colorNotes": 3,
    "bombNotes": 3,
    "obstacles": 3,
    "sliders": 3,
    "burstSliders": 3,
    "bpmEvents": 3,
    "rotationEvents": 3,
    "basicBeatmapEvents": 3,
    "colorBoostBeatmapEvents": 3,
    "lightColorEventBoxGroups": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """A map file, whole; equal when the JSON is.

    Attributes:
        format: 1 to 4.
        version: As the file says, or none.
        data: The JSON text, unpacked, in UTF-8.
        is_wrapped: Whether what it holds lies in `content`.
    """

    format: int
    version: str
    data: bytes
    is_wrapped: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Document):
            return NotImplemented
        return self.format == other.format and self.tree() == other.tree()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Document(format={self.format}, version={self.version!r}, {len(self.data)} bytes)"

    def tree(self) -> Any:
        """Return the JSON as Python's values."""
        return msgspec.json.decode(self.data)

    def outer(self) -> dict[str, msgspec.Raw]:
        """Return the text of each key of the file."""
        return PARTS.decode(self.data)

    def parts(self) -> dict[str, msgspec.Raw]:
        """Return the text of each key, of the content if it is wrapped."""
        outer = self.outer()
        return PARTS.decode(outer["content"]) if self.is_wrapped else outer

    def body(self) -> bytes | msgspec.Raw:
        """Return the text that the schema is of."""
        return self.outer()["content"] if self.is_wrapped else self.data

    def with_parts(self, changed: Mapping[str, Any]) -> "Document":
        """Return the same file with some keys written anew; None takes a key away.

        Args:
            changed: Values that msgspec writes; a key that the file has not is appended.
        """
        parts: dict[str, Any] = {**self.parts(), **changed}
        parts = {key: value for key, value in parts.items() if value is not None}
        if self.is_wrapped:
            parts = {**self.outer(), "content": parts}
        return Document(
            format=self.format,
            version=self.version,
            data=msgspec.json.encode(parts),
            is_wrapped=self.is_wrapped,
        )


def plain(data: bytes, place: str, odd: Callable[[str, str], None] | None = None) -> bytes:
    """Return the JSON text of a file's bytes, unpacked, in UTF-8 and without its mark.

    Args:
        data: The file.
        place: Its name, for messages.
        odd: Is told the kind and detail of what was mended: bytes that are no UTF-8, escapes of
            half a sign.

    Raises:
        BeatmapError: It is empty or damaged, or its text is more than `MAX_BYTES` or holds more
            than `MAX_OBJECTS`.
    """
    if data.startswith(_GZIP):
        data = _unpacked(data, place)
    _check_size(data, place)
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    if not data.strip(b" \t\r\n\0"):
        raise BeatmapError(f"{place}: nothing in it; take it from its source again", "empty_file")
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if odd is not None:
                odd("bad_utf8", f"byte {error.start}: {error.reason}; read as U+FFFD")
            data = data.decode(errors="replace").encode()
    # One byte is looked for ten times as fast as two
    has_escapes = b"\\" in data and b"\\u" in data
    return _without_half_signs(data, odd) if has_escapes else data


def document_of(data: bytes) -> Document | None:
    """Return the document of a JSON text, or None if nothing in it tells the format.

    Raises:
        msgspec.DecodeError: It is no JSON, or no object.
        RecursionError: It is nested too deeply.
    """
    said = _VERSION.search(data, 0, 256)
    if said and b"{" not in data[: said.start()].lstrip()[1:]:
        version = said[1].decode()
        format_ = _format_of_version(version, lambda key: f'"{key}"'.encode() in data)
        if format_ and not (format_ == 4 and b'"content"' in data):
            return Document(format=format_, version=version, data=data)
    return _document_by_keys(data, PARTS.decode(data))


def _document_by_keys(data: bytes, outer: dict[str, msgspec.Raw]) -> Document | None:
    """Return the document of a text whose first bytes do not tell, or None."""
    version = next((_text(outer[key]) for key in ("version", "_version") if key in outer), "")
    content = bytes(outer.get("content", b"")).lstrip()
    is_wrapped = content.startswith(b"{")
    parts = PARTS.decode(content) if is_wrapped else outer
    format_ = _format_of_version(version, parts.__contains__)
    if not format_:
        format_ = next((told for key, told in _KEYS.items() if key in parts), 0)
    if not format_:
        return None
    return Document(format=format_, version=version, data=data, is_wrapped=is_wrapped)


def _format_of_version(version: str, has: Callable[[str], bool]) -> int:
    """Return 1 to 4, or 0 if a version tells nothing; a v1 Info says no version."""
    first = version[:2].rstrip(".")
    if first not in ("1", "2", "3", "4"):
        return 0
    if first in ("1", "2") and not has("_notes") and has("colorNotes"):
        return 3  # written by a tool that raised the keys and not the version
    return int(first)


def _text(raw: msgspec.Raw) -> str:
    try:
        return _TEXT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _without_half_signs(data: bytes, odd: Callable[[str, str], None] | None) -> bytes:
    """Return a JSON text with U+FFFD for each escape of half a sign, which no text can hold."""
    first = 0

    def mended(found: re.Match[bytes]) -> bytes:
        nonlocal first
        if found.lastgroup != "half":
            return found[0]
        first = first or found.start()
        return rb"\ufffd"

    text = _ESCAPE.sub(mended, data)
    if first and odd is not None:
        odd("bad_utf8", f"byte {first}: an escape of half a sign; read as U+FFFD")
    return text


def _check_size(data: bytes, place: str) -> None:
    """Refuse a text that would fill the memory; a pair of braces is two bytes at least."""
    if len(data) > MAX_BYTES:
        raise BeatmapError(f"{place}: more than {MAX_BYTES:,} bytes of text", "too_large")
    if len(data) > 2 * MAX_OBJECTS and data.count(b"{") > MAX_OBJECTS:
        raise BeatmapError(f"{place}: more than {MAX_OBJECTS:,} objects", "too_large")
    if len(data) > MAX_VALUES and data.count(b",") > MAX_VALUES:
        raise BeatmapError(f"{place}: more than {MAX_VALUES:,} values", "too_large")


def _unpacked(data: bytes, place: str) -> bytes:
    """Return what is packed by gzip, no more than `MAX_BYTES`."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BeatmapError(f"{place}: packed by gzip and damaged ({error})", "bad_gzip") from error
    if unpacker.unconsumed_tail:
        raise BeatmapError(f"{place}: unpacks to more than {MAX_BYTES:,} bytes", "too_large")
    if not unpacker.eof:
        raise BeatmapError(f"{place}: packed by gzip and cut short", "bad_gzip")
    return text
