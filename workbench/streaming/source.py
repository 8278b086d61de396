"""Sources: ordered lists of files, pinned to a revision, and positions in them.

A position is (file, row): the index of a file in its list and the number of the next row in that
file. Rows that were kept and rows that were skipped both advance it. It means something only
together with the fingerprint of its list. Units: sizes in bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import quote

from workbench.caching.fingerprint import fingerprint

UNKNOWN = -1  # a size that nobody told


class Position(NamedTuple):
    """Where a reader stands.

    Attributes:
        file: Index of the file in its list.
        row: Index of the next row in that file.
    """

    file: int = 0
    row: int = 0


BEGINNING = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of a source.

    Attributes:
        name: Its name within the source; with size and digest, what it is known by.
        url: Where its bytes are: a path, or `http(s)://`, or any URL that fsspec knows.
        size: Bytes, or UNKNOWN.
        digest: `sha256:…`, `md5:…` or `git:…` (a blob's name) of the content, `etag:…` of the
            server's naming, `footer:…` of a Parquet file's footer; empty where nobody tells one.
        rows: How many records it holds, or None where that is not known beforehand.
    """

    name: str
    url: str
    size: int
    digest: str = ""
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An ordered, pinned list of files.

    Attributes:
        name: What a person calls it.
        revision: What the list is pinned to, as a commit; empty where there is no such thing.
        files: The files, in their order.
        headers: What a server wants to be told with each request; no part of the fingerprint.
    """

    name: str
    revision: str = ""
    files: tuple[SourceFile, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of the names, sizes, digests and rows of all files, in order."""
        return fingerprint([(f.name, f.size, f.digest, f.rows) for f in self.files])

    def first(self, count: int) -> "Source":
        """Return the list that ends after some of its files."""
        return replace(self, files=self.files[:count])

    def at(self, url: str) -> "Source":
        """Return the list as a server has it, with the same names, digests, rows and fingerprint.

        Args:
            url: Address of the folder that the names are relative to.
        """
        place = url.rstrip("/")
        files = (replace(file, url=f"{place}/{quote(file.name)}") for file in self.files)
        return replace(self, name=url, files=tuple(files))

    @property
    def size(self) -> int | None:
        """Bytes of all files, or None where one is not known."""
        sizes = [f.size for f in self.files]
        return None if UNKNOWN in sizes else sum(sizes)

    @property
    def rows(self) -> int | None:
        """Records of all files, or None where one is not known."""
        rows = [f.rows for f in self.files if f.rows is not None]
        return sum(rows) if len(rows) == len(self.files) else None
