"""Where shards go, and with them the state: the only checkpoint there is.

A sink changes shards and state in one act, so that neither is ever ahead of the other. Here is
what every sink does, and the folder as one: files are moved to their places first, then the
state is renamed into its own, which is the act; files that the state does not list are deleted
when the folder is opened again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.caching.files import replacing, settle, sweep
from workbench.errors import CachingError, SinkError

# What a file is to hold: itself, where it lies, or what makes it of the present content.
Content = bytes | Path | Callable[[bytes | None], bytes]

_GOING = ".going"  # beside the state: what the act that began deletes, and the state after it


class Sink(Protocol):
    """A place that shards and state go to."""

    name: str

    def staging(self, work: Path) -> Path:
        """Return where shards wait until they are committed."""

    def open(self) -> bytes | None:
        """Return the present state, or None; commits build on it."""

    def create(self) -> None:
        """Make the place, unless it is there."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None."""

    def names(self, pattern: str) -> list[str]:
        """Return the names of the files that match, in order."""

    def columns(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns of a shard."""

    def commit(
        self,
        message: str,
        *,
        state: bytes,
        files: Mapping[str, Content],
        deletes: Sequence[str] = (),
    ) -> None:
        """Change everything in one act; files given by their paths are moved or copied away."""

    def sweep(self, patterns: Sequence[str], listed: set[str]) -> None:
        """Delete files that match and that the state does not list."""


class FolderSink:
    """A folder as a sink.

    Attributes:
        name: The folder, as a person writes it.
    """

    def __init__(self, folder: Path, state_name: str):
        """Make ready; nothing is read or changed yet.

        Args:
            folder: The folder.
            state_name: Name of the file that holds the state.
        """
        self.name = str(folder)
        self._folder = folder
        self._state_name = state_name
        self._state: bytes | None = None

    def staging(self, work: Path) -> Path:
        """Return where shards wait: within the folder, as moving must be one act."""
        return self._folder / ".staging"

    def open(self) -> bytes | None:
        """Return the present state, or None; commits build on it.

        Raises:
            SinkError: It cannot be read.
        """
        self._state = self.read(self._state_name)
        return self._state

    def create(self) -> None:
        """Make the folder, and delete what an interrupted write left there.

        Raises:
            SinkError: It cannot be made.
        """
        try:
            state = self._folder / self._state_name
            state.parent.mkdir(parents=True, exist_ok=True)
            sweep(state)
            self._delete_what_goes()
        except OSError as error:
            raise unwritten(self._folder, error) from error

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None.

        Raises:
            SinkError: It is there and cannot be read.
        """
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SinkError(f"{self._folder / name}: cannot be read ({error.strerror})") from error

    def names(self, pattern: str) -> list[str]:
        """Return the names of the files that match, in order."""
        files = (file for file in self._folder.rglob("*") if file.is_file())
        names = (file.relative_to(self._folder).as_posix() for file in files)
        return sorted(name for name in names if fnmatch(name, pattern))

    def columns(self, name: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns of a shard."""
        with pq.ParquetFile(self._folder / name) as parquet:
            yield from parquet.iter_batches(columns=list(columns))

    def commit(
        self,
        message: str,
        *,
        state: bytes,
        files: Mapping[str, Content],
        deletes: Sequence[str] = (),
    ) -> None:
        """Change everything in one act: the renaming of the state.

        Args:
            message: What happens; a folder keeps no history of it.
            state: The new state.
            files: Name: content, or the path of a file in the staging folder, which is moved, or
                what makes the content of the present one.
            deletes: Folders that are emptied before; what was not gone when the act was
                interrupted goes when the folder is opened again.

        Raises:
            SinkError: There is no room, or somebody else has written there.
        """
        if self.read(self._state_name) != self._state:
            raise SinkError(
                f"{self.name}: somebody else has written there meanwhile; let one gather write "
                "to a dataset at a time, then give the same command again"
            )
        try:
            if gone := [n for folder in deletes for n in self.names(f"{folder}/*")]:
                self._note_what_goes(state, [name for name in gone if name not in files])
            for name, content in files.items():
                made = content(self.read(name)) if callable(content) else content
                self._place(self._folder / name, made)
            with replacing(self._folder / self._state_name) as scratch:
                scratch.write_bytes(state)
            if gone:
                self._delete_what_goes()
        except (OSError, CachingError) as error:
            raise unwritten(self._folder, error) from error
        self._state = state

    def _note_what_goes(self, state: bytes, names: Sequence[str]) -> None:
        """Keep what an act deletes, so that an interruption does not forget it."""
        told = {"state": hashlib.sha256(state).hexdigest(), "names": names}
        with replacing(self._folder / (self._state_name + _GOING)) as scratch:
            scratch.write_text(json.dumps(told), encoding="utf-8")

    def _delete_what_goes(self) -> None:
        """Delete what the last act was to delete; what was never acted on is forgotten."""
        note = self._folder / (self._state_name + _GOING)
        if not note.exists():
            return
        told = json.loads(note.read_text(encoding="utf-8"))
        state = self.read(self._state_name) or b""
        if hashlib.sha256(state).hexdigest() == told["state"]:
            for name in told["names"]:
                (self._folder / name).unlink(missing_ok=True)
        note.unlink()

    def sweep(self, patterns: Sequence[str], listed: set[str]) -> None:
        """Delete files that match and that the state does not list, and what was half written.

        Args:
            patterns: Which files are the state's to list.
            listed: The names that stay.
        """
        for pattern in patterns:
            for name in self.names(pattern):
                if name not in listed:
                    (self._folder / name).unlink(missing_ok=True)
            place = self._folder / pattern
            for left in place.parent.glob(f".{place.name}.{'[0-9a-f]' * 8}.part"):
                left.unlink(missing_ok=True)

    def _place(self, path: Path, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            with replacing(path) as scratch:
                scratch.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        settle(content, path)


def unwritten(place: Path, error: Exception) -> SinkError:
    """Return what a person is told about a place that could not be written."""
    what = getattr(error, "strerror", None) or error
    return SinkError(
        f"{place}: could not be written ({what}); make room there, then the same command goes "
        "on where it stopped"
    )
