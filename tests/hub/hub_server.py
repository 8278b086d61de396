"""A hub of one's own on loopback, for tests: the real clients read and write it as the real one.

    with HubServer(folder) as hub:
        api = HfApi(endpoint=hub.url, token=hub.token)

or as a process of its own, told of faults by `POST /__faults__` (`{"add": {…}}`, `{"clear":
true}`) and asked for what it served by `GET /__log__`; it says its place in one line of JSON:

    python tests/hub/hub_server.py FOLDER --port 0
"""

import argparse
import http
import io
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from hub_faults import CutError, Fault, Faults
from hub_interface import (
    GUEST,
    READER,
    WRITER,
    Answer,
    HubInterface,
    Request,
    endpoint_of,
    refusal,
)
from hub_store import PIECE, Commit, HubStore, RefusedError, StoredFile, digest

FAULTS, LOG = "/__faults__", "/__log__"

logger = logging.getLogger(__name__)


class HubServer:
    """A hub that serves a folder while its block lasts; the folder stays.

    Args:
        folder: Where repositories are kept, from earlier servers too.
        port: Of loopback; 0 takes a free one.

    Attributes:
        url: Where it listens, without a slash at the end.
        token: Lets everything be done. `read_token` only reads; `guest_token` is another
            user's, who owns nothing but the namespace `guest`.
        faults: What is to go wrong.
        endpoint_log: Method and path of each request, in the order they came.
        unserved: Those of them that go nowhere here.
    """

    token, read_token, guest_token = WRITER, READER, GUEST

    def __init__(self, folder: Path, *, port: int = 0):
        self._store = HubStore(folder)
        self._listener = _Listener(self, port)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self.faults = Faults()
        self.endpoint_log: list[tuple[str, str]] = []
        self.unserved: list[tuple[str, str]] = []
        self._templates: dict[str, None] = {}
        self._interface = HubInterface(self._store, self.url)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.01,), name="hub", daemon=True
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
        self._listener.shutdown()
        self._thread.join()
        self._listener.hang_up()
        self._listener.server_close()

    def endpoints(self) -> list[str]:
        """Return each kind of endpoint that was met, in the order they were first."""
        return list(self._templates)

    def head(self, repo_id: str, *, repo_type: str = "dataset", branch: str = "main") -> str:
        """Return the oid of the newest commit of a branch."""
        return self._store.resolve(f"{repo_type}s/{repo_id}", branch).oid

    def commits(self, repo_id: str, *, repo_type: str = "dataset") -> list[Commit]:
        """Return the commits of `main`, newest first."""
        return list(self._store.history(f"{repo_type}s/{repo_id}", "main"))

    def files(
        self, repo_id: str, revision: str | None = None, *, repo_type: str = "dataset"
    ) -> dict[str, StoredFile]:
        """Return every path and what it holds; `.gitattributes` is in each repository."""
        return self._store.resolve(f"{repo_type}s/{repo_id}", revision or "main").files

    def read(
        self, repo_id: str, path: str, revision: str | None = None, *, repo_type: str = "dataset"
    ) -> bytes:
        """Return the bytes of a file."""
        file = self.files(repo_id, revision, repo_type=repo_type)[path]
        return self._store.content(f"{repo_type}s/{repo_id}", file).read_bytes()

    def digest(self, repo_id: str, prefix: str = "", *, repo_type: str = "dataset") -> str:
        """Return one sha256 over all paths that begin so and what they hold."""
        return digest(self.files(repo_id, repo_type=repo_type), prefix)

    def forget_objects(self) -> None:
        """Let every large file be uploaded anew, even one that is there; drop the unused."""
        self._store.forget_objects()

    def publish(self, path: str, content: bytes | Path) -> str:
        """Put a file into the plain area, in place of an older one, and return its address."""
        self._store.publish(path, content)
        return f"{self.url}/files/{path}"

    def withdraw(self, path: str) -> None:
        """Take a file out of the plain area."""
        self._store.published(path).unlink()

    def log(self) -> dict[str, Any]:
        """Return what was served, in values for JSON."""
        return {
            "requests": self.endpoint_log,
            "endpoints": self.endpoints(),
            "unserved": self.unserved,
            "faults": self.faults.taken,
        }

    def note(self, method: str, path: str) -> Fault | None:
        """Keep in mind that a request came, and return the fault that it meets.

        Args:
            method: Of HTTP.
            path: Quoted, without the query.
        """
        line = (method, unquote(path))
        self.endpoint_log.append(line)
        found = endpoint_of(method, path)
        if found is None:
            self.unserved.append(line)
        else:
            self._templates[f"{method} {found[0].template}"] = None
        return self.faults.take(" ".join(line))

    def answer(self, request: Request) -> Answer:
        """Answer a request as a hub without faults."""
        return self._interface.answer(request)


class _Listener(ThreadingHTTPServer):
    """Takes connections, one thread each, and can end them all."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, hub: HubServer, port: int):
        self.hub = hub
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, also where a fault is silent."""
        self.closing.set()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes their answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    headers: Mapping[str, str]  # type: ignore[assignment]  # names in any case

    def handle(self) -> None:
        with suppress(OSError):  # the client is gone
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)

    def _serve(self) -> None:
        pieces, path = _body(self.rfile, self.headers), self.path.partition("?")[0]
        if path in (FAULTS, LOG):
            self._send(_control(self.server.hub, path, b"".join(pieces)), None)
            return
        fault = self.server.hub.note(self.command, path)
        try:
            self._send(self._answer(pieces, fault), fault)
        except (CutError, OSError):
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 (http.server's names)

    def _answer(self, pieces: Iterator[bytes], fault: Fault | None) -> Answer:
        body = pieces
        if fault is not None and fault.bears_on_upload(self.command):
            length = int(self.headers.get("Content-Length") or 0)
            body = self._bent(fault, pieces, length)
            if fault.kind == "drop":
                b"".join(body)  # as far as it comes
        request = Request(method=self.command, target=self.path, headers=self.headers, body=body)
        if fault is not None and fault.status is not None:
            self._bite(fault)
            answer = refusal(_refused(fault, path=request.path))
        else:
            answer = self._tried(request)
        for _ in pieces:  # what is left would be taken for the next request
            pass
        return answer

    def _tried(self, request: Request) -> Answer:
        try:
            return self.server.hub.answer(request)
        except (CutError, OSError):
            raise
        except Exception as error:
            logger.exception("%s %s", request.method, request.path)
            return refusal(RefusedError(500, f"the local hub failed: {error!r}"))

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "drop_after":
            self._bite(fault)
            raise CutError
        if fault is not None and (fault.status or fault.bears_on_upload(self.command)):
            fault = None  # it is over
        if fault is not None and self.command == "HEAD":
            for _ in self._bent(fault, iter(()), 0):
                pass
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        if self.command == "HEAD" or not answer.length:
            return
        if fault is None:
            self._send_whole(answer)
        else:
            for piece in self._bent(fault, _pieces(answer), answer.length):
                self.wfile.write(piece)

    def _send_whole(self, answer: Answer) -> None:
        if isinstance(answer.body, bytes):
            self.wfile.write(answer.body)
            return
        with answer.body.open("rb") as file:
            if self.connection.sendfile(file, answer.part[0], answer.length) < answer.length:
                raise CutError  # it was replaced by a shorter one

    def _bent(self, fault: Fault, pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
        return fault.bent(pieces, length, wait=self._wait, bite=lambda: self._bite(fault))

    def _bite(self, fault: Fault) -> None:
        line = f"{self.command} {unquote(self.path.partition('?')[0])}"
        self.server.hub.faults.taken.append((line, fault.kind))

    def _wait(self, seconds: float) -> None:
        if self.server.closing.wait(seconds):
            raise CutError


def _body(file: io.BufferedIOBase, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Give the bytes of a request's body."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        while length := int(file.readline().partition(b";")[0], 16):
            yield from _exactly(file, length)
            file.readline()
        while file.readline().strip():  # trailers
            pass
    else:
        yield from _exactly(file, int(headers.get("Content-Length") or 0))


def _exactly(file: io.BufferedIOBase, length: int) -> Iterator[bytes]:
    while length:
        piece = file.read1(min(length, PIECE))
        if not piece:
            raise ConnectionError("the client went away")
        yield piece
        length -= len(piece)


def _pieces(answer: Answer) -> Iterator[bytes]:
    if isinstance(answer.body, bytes):
        yield answer.body
        return
    with answer.body.open("rb") as file:
        file.seek(answer.part[0])
        yield from _exactly(file, answer.length)


def _refused(fault: Fault, *, path: str) -> RefusedError:
    status = fault.status or 500
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    code = ""
    if status == 404:
        code = "EntryNotFound" if "/resolve/" in path else "RepoNotFound"
    return RefusedError(status, f"{http.HTTPStatus(status).phrase} (a fault)", code, headers)


def _control(hub: HubServer, path: str, body: bytes) -> Answer:
    """Do what a test in another process asks of the server."""
    asked = json.loads(body or b"{}")
    try:
        if asked.get("clear"):
            hub.faults.clear()
        if "add" in asked:
            hub.faults.add(**asked["add"])
    except (TypeError, ValueError) as error:
        return refusal(RefusedError(400, str(error)))
    value = hub.log() if path == LOG else {"waiting": [asdict(f) for f in hub.faults.waiting()]}
    return Answer(headers={"Content-Type": "application/json"}, body=json.dumps(value).encode())


def main() -> None:
    """Serve a folder until the process is killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where repositories are kept")
    parser.add_argument("--port", type=int, default=0, help="of loopback; 0 takes a free one")
    options = parser.parse_args()
    with HubServer(options.folder, port=options.port) as hub, suppress(KeyboardInterrupt):
        sys.stdout.write(json.dumps({"url": hub.url, "token": hub.token}) + "\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
