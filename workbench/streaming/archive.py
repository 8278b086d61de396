"""Tar archives, compressed or not, read member by member as Arrow batches of names and bytes.

A row is a regular file of the archive, counted from its beginning; folders and links are no rows.
Nothing is unpacked to disk. An archive that does not end as archives do is refused when reading
gets there: tarfile by itself takes a damaged header, or a missing one, for the end.
Source: POSIX.1-1988 (ustar), the end being a block of zeros. Units: sizes in bytes.
"""

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.errors import SourceError
from workbench.streaming.source import SourceFile

MEMBERS = pa.schema([("name", pa.string()), ("content", pa.binary())])

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRows:
    """How an archive is read: batches of the schema MEMBERS.

    Attributes:
        largest_member: Bytes of a file at most; the content of a larger one is null.
        largest_batch: A batch ends before the file that would make it larger, bytes.
    """

    largest_member: int = 1 << 30
    largest_batch: int = 1 << 28

    def __call__(
        self, path: Path, *, file: int, row: int, batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give batches from the one that holds a row on, as RowFormat says.

        Raises:
            SourceError: The file is no archive, or a damaged one.
        """
        names: list[str] = []
        contents: list[bytes | None] = []
        first, size = 0, 0

        def is_wanted(index: int, member: tarfile.TarInfo) -> bool:
            # no batch that begins further before the row can hold it
            return index > row - batch_rows and member.size <= self.largest_member

        for index, (member, content) in enumerate(_members(path, is_wanted)):
            is_larger = size + member.size > self.largest_batch
            if len(names) == batch_rows or (names and is_larger):
                if index > row:
                    yield first, _batch(names, contents)
                first, size, names, contents = index, 0, [], []
            names.append(member.name.encode("utf-8", "replace").decode())
            contents.append(content)
            size += member.size
        if first + len(names) > row:
            yield first, _batch(names, contents)


def local_archive(path: Path, name: str) -> SourceFile:
    """Return an archive of this machine, known by its size and its first and last mebibyte.

    A digest of all of it would take hours for those that fill a disk.

    Args:
        path: Where it is.
        name: Its name in its source.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as content:
            digest = hashlib.sha256(content.read(_PIECE))
            content.seek(max(size - _PIECE, 0))
            digest.update(content.read(_PIECE))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    return SourceFile(name=name, url=str(path), size=size, digest=f"ends:{digest.hexdigest()}")


class _Header(tarfile.TarInfo):
    """A header that is either right or the mark of the end."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_Header":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise tarfile.ReadError(f"a header is damaged or missing: {error}") from error


def _members(
    path: Path, is_wanted: Callable[[int, tarfile.TarInfo], bool]
) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Give the regular files of an archive, with the content of those that are wanted.

    Raises:
        SourceError: It is damaged.
    """
    index = 0
    try:
        with (
            _decompressed(path) as content,
            tarfile.open(fileobj=content, mode="r:", tarinfo=_Header) as archive,
        ):
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else it keeps all of them
                if member.isfile():
                    yield member, _content(archive, member) if is_wanted(index, member) else None
                    index += 1
            while content.read(_PIECE):  # compressed files tell at their end whether they are right
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise SourceError(f"{path}: is no whole archive ({error})") from error


@contextmanager
def _decompressed(path: Path) -> Iterator[Any]:
    with path.open("rb") as raw:
        begin = raw.read(6)
        raw.seek(0)
        if begin.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=raw) as content:
                yield content
        elif begin.startswith(b"BZh"):
            with bz2.BZ2File(raw) as content:
                yield content
        elif begin.startswith(b"\xfd7zXZ\x00"):
            with lzma.LZMAFile(raw) as content:
                yield content
        else:
            yield raw


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    content = b"" if opened is None else opened.read()
    if len(content) < member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")
    return content


def _batch(names: list[str], contents: list[bytes | None]) -> pa.RecordBatch:
    arrays = [pa.array(names, pa.string()), pa.array(contents, pa.binary())]
    return pa.RecordBatch.from_arrays(arrays, schema=MEMBERS)
