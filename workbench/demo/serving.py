"""A folder served over loopback at the speed of a slow line, as a far-away corpus would be.

    with served(folder, rate=200_000) as url:
        source = open_source(f"{url}/shards.txt")

Files have strong ETags and sizes, and are gone on with by Range (RFC 9110). Asked for
`shards.txt`, where the folder has no such file, the server lists the folder's Parquet files.
Units: rates in bytes a second.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from workbench.errors import SourceError

LIST = "shards.txt"
_PIECE_SECONDS = 0.02  # what is sent at once comes so often at most
_LEAST_PIECE, _MOST_PIECE = 1 << 10, 1 << 16  # bytes
_END_SECONDS = 5.0  # that a request may take to end once the server closes


@contextmanager
def served(folder: Path, *, rate: float = 0, rate_each: float = 0) -> Iterator[str]:
    """Serve a folder on this machine while the block lasts.

    Args:
        folder: What is served, at any depth.
        rate: Of all connections together at most; 0 is no limit.
        rate_each: Of one connection at most; 0 is no limit.

    Yields:
        The folder's address, without a slash at its end.

    Raises:
        SourceError: There is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: is no folder; give one that holds what is to be served")
    server = _Server(folder.resolve(), rate, rate_each)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="served", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(_END_SECONDS)


class Pace:
    """When bytes may be sent, so that no more than a rate's worth ever were; for any threads."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic):
        """Begin now.

        Args:
            rate: At most; 0 is no limit.
            clock: Seconds, rising.
        """
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def wait_for(self, count: int) -> float:
        """Take a turn of so many bytes; return how long to wait before they are sent, seconds."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now


def range_of(text: str, size: int) -> tuple[int, int] | None:
    """Return which bytes a Range header asks for.

    Args:
        text: The header; several ranges are answered as none, which a server may do.
        size: Of the file.

    Returns:
        The first and behind the last; an empty range where no byte is there; None where the
        whole file is the answer.
    """
    unit, _, rest = text.partition("=")
    first, dash, last = rest.strip().partition("-")
    numbers = [number for number in (first, last) if number]
    if unit.strip() != "bytes" or not dash or not numbers:
        return None
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    stop = min(int(last) + 1, size) if last else size
    return min(int(first), stop), stop


class _Server(ThreadingHTTPServer):
    """Serves one folder; each connection has a thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, folder: Path, rate: float, rate_each: float):
        self.folder = folder
        self.rate_each = rate_each
        rates = [limit for limit in (rate, rate_each) if limit]
        size = int(min(rates) * _PIECE_SECONDS) if rates else _MOST_PIECE
        self.piece = min(max(size, _LEAST_PIECE), _MOST_PIECE)
        self.pace = Pace(rate)
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that left is no news, and whatever else it misses it tells."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD on one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a small body would wait for the head to be acknowledged
    timeout = 60.0  # seconds that a client may be silent, or take nothing
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._pace = Pace(self.server.rate_each)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        path = (self.server.folder / name).resolve()
        is_inside = path.is_relative_to(self.server.folder)
        if is_inside and path.is_file():
            self._answer_file(path, with_body=with_body)
        elif name == LIST:
            self._answer_list(with_body=with_body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer_list(self, *, with_body: bool) -> None:
        folder = self.server.folder
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet"))
        content = "".join(f"{quote(name)}\n" for name in names).encode()
        self._head(HTTPStatus.OK, len(content), f'"{hashlib.sha256(content).hexdigest()}"')
        if with_body:
            self._send(content)

    def _answer_file(self, path: Path, *, with_body: bool) -> None:
        with path.open("rb") as content:
            size = path.stat().st_size
            etag = f'"{path.stat().st_mtime_ns:x}-{size:x}"'
            asked = self.headers.get("Range", "")
            is_same = self.headers.get("If-Range", etag) == etag
            found = range_of(asked, size) if with_body and is_same else None
            if found is None:
                first, stop = 0, size
                self._head(HTTPStatus.OK, size, etag)
            elif found[0] >= found[1]:
                self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, etag, f"bytes */{size}")
                return
            else:
                first, stop = found
                told = f"bytes {first}-{stop - 1}/{size}"
                self._head(HTTPStatus.PARTIAL_CONTENT, stop - first, etag, told)
            content.seek(first)
            while with_body and first < stop:
                piece = content.read(min(self.server.piece, stop - first))
                if not piece or not self._send(piece):
                    self.close_connection = True
                    return
                first += len(piece)

    def _head(self, status: HTTPStatus, length: int, etag: str, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _send(self, content: bytes) -> bool:
        """Send some bytes in their turn; return whether the server goes on."""
        for pace in (self._pace, self.server.pace):  # a turn with all only once it is due here
            if self.server.closing.wait(pace.wait_for(len(content))):
                return False
        self.wfile.write(content)
        return True
