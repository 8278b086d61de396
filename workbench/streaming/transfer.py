"""Files brought here from folders, web servers, hubs and whatever fsspec knows.

A file arrives under the name `….part`, goes on by Range where it was cut off, is verified, synced
and only then renamed; so a file that has its name is whole and right. It is verified by its size
and by its digest where the source tells one; a Parquet file without one is read through, with
its page checksums. Local files are used where they lie. Units: sizes in bytes.
"""

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from workbench.caching.files import settle
from workbench.caching.fingerprint import fingerprint
from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.options import RetryOptions
from workbench.streaming.retry import DamagedError, is_transient, patiently, told
from workbench.streaming.source import UNKNOWN, SourceFile

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_DIGESTS = ("sha256", "md5", "git")

Arrived = Callable[[int], None]


def is_local(url: str) -> bool:
    """Return whether a URL is a path of this machine."""
    return "://" not in url


class StoppedError(Exception):
    """A fetch that was ended from outside; its part stays."""


class Transfer:
    """Brings the files of one source to a folder; a context manager, for one thread.

    Attributes:
        folder: Where the files go.
    """

    def __init__(
        self,
        folder: Path,
        options: RetryOptions | None = None,
        headers: Mapping[str, str] | None = None,
        arrived: Arrived = lambda count: None,
        *,
        is_lasting: bool = True,
    ):
        """Make ready; nothing is fetched yet.

        Args:
            folder: Where the files go; made when the first arrives.
            options: How patient to be.
            headers: What the server wants to be told with each request.
            arrived: Called with the number of bytes of each piece that arrives.
            is_lasting: Whether a file that has come survives a loss of power; waiting for the disk
                takes a third of the time where the network is fast.
        """
        self.folder = folder
        self._options = options or RetryOptions()
        self._headers = dict(headers or {})
        self._arrived = arrived
        self._is_lasting = is_lasting
        self._session = requests.Session()
        self._answer: requests.Response | None = None
        self._stopped = threading.Event()
        self._is_left = False

    def __enter__(self) -> Self:
        """Return the transfer; after an earlier block it fetches again, unless it was stopped."""
        if self._is_left:
            self._stopped, self._is_left = threading.Event(), False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what another thread still fetches, and close the connections; what came stays."""
        self._is_left = not self._stopped.is_set()
        self.stop()
        self._session.close()

    def place(self, file: SourceFile) -> Path:
        """Return where a file is once it was fetched."""
        if is_local(file.url):
            return Path(file.url)
        known_by = fingerprint([file.url, file.size, file.digest])[:16]
        return self.folder / f"{known_by}-{Path(file.name).name}"

    def fetch(self, file: SourceFile) -> Path:
        """Bring one file, unless it is here already.

        Returns:
            Where it is.

        Raises:
            AccessError: The server wants another token.
            SourceError: It is not there, or did not come whole in all attempts.
            StreamingError: There is no room for it.
            StoppedError: It was stopped, or the block has been left.
        """
        stopped = self._stopped  # that of this block: another may begin before this has ended
        path = self.place(file)
        if path.exists():
            return path
        if is_local(file.url):
            raise SourceError(f"{file.url}: is not there any more; give the source again")
        part = path.with_name(path.name + ".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            patiently(
                lambda: self._attempt(file, part, stopped),
                self._options,
                file.url,
                partial(_sleep, stopped),
            )
            if self._is_lasting:
                settle(part, path)
            else:
                part.replace(path)
        except requests.HTTPError as error:
            raise told(error, file.url) from error
        except Exception as error:
            if is_transient(error):
                raise told(error, file.url) from error
            if isinstance(error, OSError):
                raise _no_room(part, error) from error
            raise
        return path

    def drop(self, file: SourceFile) -> None:
        """Delete a file that was fetched; one that was never fetched, as the user's own, stays."""
        if not is_local(file.url):
            self.place(file).unlink(missing_ok=True)

    def stop(self) -> None:
        """End what another thread fetches with this, now or soon, and let it fetch no more.

        A wait between attempts and a body that is read end at once; the wait for an answer lasts
        as long as a connection may stay silent.
        """
        self._stopped.set()
        answer = self._answer
        if answer is not None:
            with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
                answer.raw.shutdown()

    def _attempt(self, file: SourceFile, part: Path, stopped: threading.Event) -> None:
        """Bring a file, unless it was stopped: what breaks then is no failure of the source."""
        _sleep(stopped, 0)
        try:
            self._bring(file, part, stopped)
        except Exception as error:
            if stopped.is_set():
                raise StoppedError from error
            raise

    def _bring(self, file: SourceFile, part: Path, stopped: threading.Event) -> None:
        """Add what is missing to a part, and verify it; a wrong one is deleted.

        Raises:
            DamagedError: It is incomplete or wrong.
        """
        have = part.stat().st_size if part.exists() else 0
        summed = None
        if have != file.size:
            start = have if have < file.size or file.size == UNKNOWN else 0
            try:
                summed = self._add(file, part, start, stopped)
            except DamagedError:  # nobody tells whether what is here is whole
                part.unlink(missing_ok=True)
                raise
        try:
            verify(part, file, summed)
        except DamagedError:
            if part.stat().st_size >= file.size:  # else it goes on where it was cut off
                part.unlink()
            raise

    def _add(
        self, file: SourceFile, part: Path, start: int, stopped: threading.Event
    ) -> str | None:
        """Write what is missing; return the digest of all, where one is to be compared.

        It is made while the bytes come, which costs no time where the network is the slower one.

        Raises:
            DamagedError: Nothing comes after what is here.
            StoppedError: It was stopped.
        """
        with closing(self._pieces(file, start)) as pieces:
            start = next(pieces)
            _sleep(stopped, 0)
            if file.size != UNKNOWN:
                _reserve(part, file.size - start)
            digest = _begun(file)
            with part.open("r+b" if start else "wb") as out:
                while digest and out.tell() < start:
                    digest.update(out.read(min(_PIECE, start - out.tell())))
                out.seek(start)
                out.truncate()
                for piece in pieces:
                    out.write(piece)
                    if digest:
                        digest.update(piece)
                    self._arrived(len(piece))
                    _sleep(stopped, 0)
                _sleep(stopped, 0)  # a body that was shut may look as if it had come to its end
        return digest.hexdigest() if digest else None

    def _pieces(self, file: SourceFile, start: int) -> Generator[Any, None, None]:
        """Give where the bytes really start, then the bytes."""
        if urlsplit(file.url).scheme in ("http", "https"):
            return self._http_pieces(file, start)
        return _fsspec_pieces(file, start)

    def _http_pieces(self, file: SourceFile, start: int) -> Generator[Any, None, None]:
        headers = self._headers | {"Accept-Encoding": "identity"}
        etag = file.digest.removeprefix("etag:") if file.digest.startswith("etag:") else ""
        if start:
            headers["Range"] = f"bytes={start}-"
        patience = self._options.timeout_seconds
        with self._session.get(file.url, headers=headers, stream=True, timeout=patience) as answer:
            if answer.status_code == 416:
                raise DamagedError("the server knows no bytes after what is here")
            answer.raise_for_status()
            if etag and answer.headers.get("ETag", etag) != etag:
                raise SourceError(
                    f"{file.url}: has changed since it was listed (ETag {etag} then, "
                    f"{answer.headers['ETag']} now); start over with the new one"
                )
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            self._answer = answer
            yield start if answer.status_code == 206 and goes_on else 0
            while piece := answer.raw.read(_PIECE):
                yield piece
            self._answer = None


def has_digest(file: SourceFile) -> bool:
    """Return whether a source tells a digest that the bytes of a file are compared with."""
    return file.digest.partition(":")[0] in _DIGESTS


def verify(path: Path, file: SourceFile, summed: str | None = None) -> None:
    """Refuse a file that is not what its source tells.

    Args:
        path: Where it is.
        file: What it should be.
        summed: Its digest, of the kind that the source tells, where that is known already.

    Raises:
        DamagedError: Its size or digest is another, or it is Parquet that cannot be read through.
    """
    size = path.stat().st_size
    if file.size not in (UNKNOWN, size):
        raise DamagedError(f"{size} of {file.size} bytes arrived")
    kind, _, want = file.digest.partition(":")
    if has_digest(file):
        have = summed or _digest(path, kind)
        if have != want:
            raise DamagedError(f"its {kind} is {have}, not {want}")
    elif Path(file.name).suffix == ".parquet":
        _read_through(path)


def _begun(file: SourceFile) -> "hashlib._Hash | None":
    """Return a digest to be filled while a file comes, or None where none can be."""
    kind = file.digest.partition(":")[0]
    if not has_digest(file) or (kind == "git" and file.size == UNKNOWN):
        return None
    return _digest_of(kind, file.size)


def _digest_of(kind: str, size: int) -> "hashlib._Hash":
    if kind != "git":
        return hashlib.new(kind)
    return hashlib.sha1(f"blob {size}\0".encode())  # the name of a blob


def _digest(path: Path, kind: str) -> str:
    begun = _digest_of(kind, path.stat().st_size)
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: begun).hexdigest()


def _read_through(path: Path) -> None:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for group in range(parquet.num_row_groups):
                for batch in parquet.iter_batches(1000, row_groups=[group]):
                    del batch
    except (OSError, pa.ArrowException) as error:
        raise DamagedError(f"it cannot be read as Parquet ({error})") from error


def _fsspec_pieces(file: SourceFile, start: int) -> Generator[Any, None, None]:
    try:
        with fsspec.open(file.url, "rb") as content:
            content.seek(start)
            yield start
            while piece := content.read(_PIECE):
                yield piece
    except FileNotFoundError as error:
        raise SourceError(f"{file.url}: is not there; check the name") from error
    except PermissionError as error:
        raise AccessError(
            f"{file.url}: may not be read ({error.strerror or error}); log in there, or ask for "
            "the right to read it"
        ) from error
    except Exception as error:  # each place has errors of its own
        if is_transient(error):
            raise
        raise told(error, file.url) from error


def _sleep(stopped: threading.Event, seconds: float) -> None:
    if stopped.wait(seconds):
        raise StoppedError


def _reserve(part: Path, more: int) -> None:
    """Refuse to begin what cannot fit.

    Raises:
        OSError: There is no room.
    """
    free = shutil.disk_usage(part.parent).free
    if free < more:
        raise StreamingError(
            f"{part.parent}: {free:,} bytes are free and {more:,} more are to come; make room, "
            "then the same command goes on where it stopped"
        )


def _no_room(part: Path, error: OSError) -> StreamingError:
    return StreamingError(
        f"{part}: could not be written ({error.strerror or error}); make room, then the same "
        "command goes on where it stopped"
    )
