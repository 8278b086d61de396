"""Ordered, pinned, fingerprinted lists of files, and positions in them.

A position is the index of the next file. It means something only together with the list's
fingerprint, which covers every name, in order, and every file's size; with digests, every
file's content too. Names are kept as one byte string, so that a list of 10 million files takes
about as much RAM as its text. Units: sizes in bytes; a digest is 16 bytes of BLAKE2b.
"""

import codecs
import contextlib
import hashlib
import io
import logging
import os
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.errors import StreamingError

logger = logging.getLogger(__name__)

MISSING = -1  # the size of a file that cannot be read
_DIGEST_BYTES = 16


class FileList:
    """Files in a fixed order.

    Attributes:
        root: The folder that relative names start from.
        sizes: Shape (n,), int64, bytes of each file when the list was made; MISSING if unreadable.
    """

    def __init__(self, root: Path, names: Iterable[str]):
        """Pin a list.

        Args:
            root: The folder that relative names start from.
            names: Paths, absolute or relative to the root.
        """
        text, ends = bytearray(), array("q")
        for name in names:
            text += os.fsencode(name)
            ends.append(len(text))
        self.root = root
        self._text = bytes(text)
        self._ends = np.array(ends, np.int64)
        start = os.fsencode(root)  # as bytes: a Path each would take longer than the file system
        paths = (os.path.join(start, name) for name in _cut(self._text, ends))  # noqa: PTH118
        self.sizes = np.fromiter((_size(path) for path in paths), np.int64, len(ends))

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._ends)

    def __iter__(self) -> Iterator[Path]:
        """Give every path in order."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Path:
        """Return the path at a position."""
        return self.root / self.name(index)

    def name(self, index: int) -> str:
        """Return the name at a position, as the list has it."""
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._text[start : int(self._ends[index])])

    def digests(
        self, *, max_bytes: int = sys.maxsize, tick: Callable[[int], None] = lambda index: None
    ) -> NDArray[np.void]:
        """Return every file's content digest; for one that is not read, that of its name.

        Args:
            max_bytes: Larger files are not read.
            tick: Called with the index of each file read.

        Returns:
            Shape (n,), 16 bytes each.
        """
        found = bytearray()
        for index, path in enumerate(self):
            content = b"not read: " + os.fsencode(self.name(index))
            if MISSING < self.sizes[index] <= max_bytes:
                with contextlib.suppress(OSError):
                    content = path.read_bytes()
            found += hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
            tick(index)
        return np.frombuffer(bytes(found), f"V{_DIGEST_BYTES}")

    def fingerprint(self, digests: NDArray[np.void] | None = None) -> str:
        """Return the list's fingerprint: names, order, sizes, and contents where known.

        Args:
            digests: Of the contents, as `digests` gives them, shape (n,).
        """
        whole = hashlib.sha256(self._text)
        for column in (self._ends, self.sizes):
            whole.update(column.astype("<i8").tobytes())
        if digests is not None:
            whole.update(digests.tobytes())
        return whole.hexdigest()


def first_occurrences(digests: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which files are the first of their content.

    Args:
        digests: Shape (n,).

    Returns:
        Shape (n,), True where no earlier digest is equal.
    """
    halves = digests.view("<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal contents stay in order
    ranked = halves[order]
    is_first = np.ones(len(ranked), bool)
    is_first[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    result = np.empty(len(ranked), bool)
    result[order] = is_first
    return result


def listed(list_file: Path) -> FileList:
    """Return the files that a text file names, one a line; empty lines are passed over.

    Relative names start from the list's own folder when any of its files is there, else from
    the current folder.

    Raises:
        StreamingError: The list cannot be read, or names nothing.
    """
    try:
        content = list_file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        what = "is a folder, give it as LOOP_DIR" if list_file.is_dir() else error.strerror
        raise StreamingError(f"{list_file}: no readable list of files ({what})") from error
    if b"\0" in content:
        raise StreamingError(f"{list_file}: is no text; give a list of paths, one a line")
    beside = list_file.resolve().parent
    is_beside = any(_size(beside / name) != MISSING for name in _names_in(content))
    files = FileList(beside if is_beside else Path.cwd(), _names_in(content))
    if not len(files):
        raise StreamingError(f"{list_file}: the list is empty; write one path a line")
    return files


def _names_in(content: bytes) -> Iterator[str]:
    """Give the lines of a text that are not empty, one at a time, as a list may be long."""
    for line in io.BytesIO(content):
        name = os.fsdecode(line.removesuffix(b"\n").rstrip(b"\r"))
        if name.strip():
            yield name


def walked(folder: Path, suffixes: tuple[str, ...]) -> FileList:
    """Return all files below a folder with one of some endings, in the order of their names.

    Args:
        folder: Where to look, at any depth; links to folders are not followed.
        suffixes: Endings in lower case, as ".mid"; compared without case. A folder below that
            cannot be opened is passed over, by name.

    Raises:
        StreamingError: The folder is none, or holds no such file.
    """
    if not folder.is_dir():
        raise StreamingError(f"{folder}: is no folder; give a folder, or a list by --from-filelist")
    names = [
        Path(parent, name).relative_to(folder).as_posix()
        for parent, _, files in os.walk(folder, onerror=_passed_over)
        for name in files
        if name.lower().endswith(suffixes)
    ]
    if not names:
        raise StreamingError(f"{folder}: holds no file ending in {' or '.join(suffixes)}")
    return FileList(folder, sorted(names))


def _cut(text: bytes, ends: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for end in ends:
        yield text[start:end]
        start = end


def _passed_over(error: OSError) -> None:
    logger.warning("skipped the folder %s: %s", error.filename, error.strerror)


def _size(path: Path | bytes) -> int:
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return MISSING
    return status.st_size if stat.S_ISREG(status.st_mode) else MISSING
