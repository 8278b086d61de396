"""A map service of one's own on loopback, which answers as the public one does, and with faults.

    with MapServiceServer(maps) as service:
        download(folder, DownloadOptions(base_url=service.url, interval=0))

Faults are those of `hub_faults`, told by `service.faults.add(match=r"GET /search/", kind="429")`.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from hub_faults import CutError, Faults
from map_archives import hash_of, map_files, zipped

PAGE = 6  # maps of a page; the public service has 20
_PIECE = 1 << 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedMap:
    """A map of the service.

    Attributes:
        id: Its name there.
        score: 0 to 1, or None where the service says none.
        upvotes: How many.
        automapper: Whether a program made it.
        content: Its zip.
        level_hash: What the service says its hash is.
        document: What replaces or adds to its document.
    """

    id: str
    score: float | None
    upvotes: int = 100
    automapper: bool = False
    content: bytes = b""
    level_hash: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


def served_map(number: int, **fields: Any) -> ServedMap:
    """Return a sound map; a lower number is rated higher."""
    files = map_files(number)
    values = {
        "id": f"{number:x}",
        "score": round(0.999 - number / 1000, 6),
        "content": zipped(files),
        "level_hash": hash_of(files),
    }
    return ServedMap(**(values | fields))


class MapServiceServer:
    """Serves maps while its block lasts.

    Attributes:
        url: Where it listens.
        maps: What it serves; may be changed at any time.
        faults: What is to go wrong.
        log: Method, path, query and User-Agent of each request, with its moment, in order.
    """

    def __init__(self, maps: Sequence[ServedMap], *, rate: float = 0) -> None:
        self.maps = list(maps)
        self.faults = Faults()
        self.log: list[tuple[float, str, dict[str, list[str]], str]] = []
        self.closing = threading.Event()
        self.rate = rate
        self._listener = _Listener(self)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(5)

    def paths(self, part: str) -> list[str]:
        """Return the paths of the requests that hold some text, in order."""
        return [path for _, path, _, _ in self.log if part in path]

    def page(self, number: int, query: Mapping[str, list[str]]) -> bytes:
        """Return the answer of a search: by falling rating, without a program's maps if not asked.

        The service's own words: automapper true = both, false = only these, absent = none.
        """
        asked = query.get("automapper", [""])[0]
        wanted = {"true": (True, False), "false": (True,)}.get(asked, (False,))
        maps = [each for each in self.maps if each.automapper in wanted]
        if query.get("sortOrder") == ["Rating"]:
            maps.sort(key=lambda each: -(each.score or 0))
        docs = [self._document(each) for each in maps[number * PAGE : (number + 1) * PAGE]]
        info = {"total": len(maps), "pages": -(-len(maps) // PAGE), "duration": 0.01}
        return json.dumps({"docs": docs, "redirect": None, "info": info}).encode()

    def zip_of(self, name: str) -> bytes | None:
        """Return the zip of a hash."""
        return next((each.content for each in self.maps if each.level_hash == name), None)

    def _document(self, each: ServedMap) -> dict[str, Any]:
        stats = {"plays": 0, "downloads": 0, "upvotes": each.upvotes, "downvotes": 3}
        if each.score is not None:
            stats["score"] = each.score
        version = {
            "hash": each.level_hash,
            "state": "Published",
            "createdAt": "2024-01-01T00:00:00Z",
            "sageScore": 1,
            "diffs": [],
            "downloadURL": f"{self.url}/{each.level_hash}.zip",
            "coverURL": f"{self.url}/{each.level_hash}.jpg",
        }
        document = {
            "id": each.id,
            "name": f"Song {each.id}, 曲",
            "uploader": {"id": 1, "name": "Mapper"},
            "metadata": {"bpm": 120, "duration": 60, "songName": f"Song {each.id}"},
            "stats": stats,
            "automapper": each.automapper,
            "declaredAi": "None",
            "ranked": False,
            "versions": [version],
        }
        return document | dict(each.document)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, service: MapServiceServer) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that left is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        service, parts = self.server.service, urlsplit(self.path)
        query = parse_qs(parts.query)
        agent = self.headers.get("User-Agent", "")
        service.log.append((time.monotonic(), parts.path, query, agent))
        fault = service.faults.take(f"GET {parts.path}")
        if fault is not None and fault.status is not None:
            self._head(fault.status, 0, retry_after=fault.retry_after)
            return
        content, first = self._content(parts.path, query)
        if content is None:
            self._head(404, 0)
            return
        body = content[first:]
        pieces: Iterator[bytes] = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        if fault is not None:
            pieces = fault.bent(pieces, len(body), wait=service.closing.wait, bite=lambda: None)
        try:
            if fault is None or fault.kind != "drop":
                self._head(206 if first else 200, len(body), content_range=(first, len(content)))
            for piece in pieces:
                self.wfile.write(piece)
                if service.rate:
                    service.closing.wait(len(piece) / service.rate)
        except (CutError, OSError):
            self.close_connection = True

    def _content(self, path: str, query: Mapping[str, list[str]]) -> tuple[bytes | None, int]:
        """Return what is asked for, and from which byte on."""
        service = self.server.service
        if path.startswith("/search/text/"):
            return service.page(int(path.rpartition("/")[2]), query), 0
        content = service.zip_of(path.strip("/").removesuffix(".zip"))
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        return content, int(first) if content and int(first) < len(content) else 0

    def _head(
        self,
        status: int,
        length: int,
        *,
        retry_after: int | None = None,
        content_range: tuple[int, int] = (0, 0),
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        if status == 206:
            first, size = content_range
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        with suppress(OSError):
            self.end_headers()
