"""Files that arrive whole and right through every fault, or are told to be missing at once."""

import errno
import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from shard_servers import wait_until

from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.listing import http_source
from workbench.streaming.options import RetryOptions
from workbench.streaming.source import UNKNOWN, SourceFile
from workbench.streaming.transfer import StoppedError, Transfer

QUICK = RetryOptions(
    attempts=4, first_wait_seconds=0.02, most_wait_seconds=1.0, timeout_seconds=0.5
)
CONTENT = bytes(range(256)) * 8192  # 2 MiB


def part_of(transfer: Transfer, file: SourceFile) -> Path:
    return transfer.place(file).with_name(transfer.place(file).name + ".part")


def served(hub: HubServer, *, with_digest: bool) -> SourceFile:
    hub.publish("a.bin", CONTENT)
    digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest() if with_digest else ""
    return SourceFile(name="a.bin", url=f"{hub.url}/files/a.bin", size=len(CONTENT), digest=digest)


FAULTS = [
    ("500", {}),
    ("503", {}),
    ("429", {}),
    ("stall", {"after_bytes": 100_000, "seconds": 3}),
    ("drop", {}),
    ("truncate", {"after_bytes": 1_500_000}),
    ("wrong_bytes", {}),
]


@pytest.mark.parametrize(("kind", "how"), FAULTS, ids=[kind for kind, _ in FAULTS])
def test_a_file_arrives_whole_through_a_fault_that_passes(
    hub: HubServer, tmp_path: Path, kind: str, how: dict[str, int]
) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=2, **how)
    begun = time.monotonic()
    with Transfer(tmp_path, QUICK) as transfer:
        assert transfer.fetch(file).read_bytes() == CONTENT
    assert time.monotonic() - begun < 10
    assert (
        len(list(tmp_path.iterdir()))
        == 1 + (tmp_path / "hub").exists() + (tmp_path / "hub-home").exists()
    )


@pytest.mark.parametrize("kind", ["500", "drop", "truncate", "wrong_bytes"])
def test_a_fault_that_stays_is_told_with_the_url(hub: HubServer, tmp_path: Path, kind: str) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=100)
    begun = time.monotonic()
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match=r"a\.bin"):
        transfer.fetch(file)
    assert time.monotonic() - begun < 10
    assert not transfer.place(file).exists()


@pytest.mark.parametrize(("kind", "error"), [("404", SourceError), ("403", AccessError)])
def test_what_is_missing_or_forbidden_is_told_at_once(
    hub: HubServer, tmp_path: Path, kind: str, error: type[StreamingError]
) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match=r"GET /files/", kind=kind, times=100)
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(error, match=r"a\.bin"):
        transfer.fetch(file)
    assert sum(path.endswith("a.bin") for _, path in hub.endpoint_log) == 1


def test_a_part_goes_on_where_it_was_cut_off(hub: HubServer, tmp_path: Path) -> None:
    file = served(hub, with_digest=True)
    arrived: list[int] = []
    with Transfer(tmp_path / "to", QUICK, arrived=arrived.append) as transfer:
        part = part_of(transfer, file)
        part.parent.mkdir()
        part.write_bytes(CONTENT[:2_000_000])
        assert transfer.fetch(file).read_bytes() == CONTENT
    assert sum(arrived) == len(CONTENT) - 2_000_000


@pytest.mark.parametrize("kind", ["sha256", "md5", "git"])
@pytest.mark.parametrize("here", [0, 1_500_000])
@pytest.mark.parametrize("is_right", [True, False])
def test_a_digest_of_any_kind_is_that_of_the_whole_file(
    hub: HubServer, tmp_path: Path, kind: str, here: int, is_right: bool
) -> None:
    file = served(hub, with_digest=False)
    whole = b"blob %d\0" % len(CONTENT) + CONTENT if kind == "git" else CONTENT
    digest = hashlib.new("sha1" if kind == "git" else kind, whole[not is_right :]).hexdigest()
    file = replace(file, digest=f"{kind}:{digest}")
    with Transfer(tmp_path / "to", QUICK) as transfer:
        part = part_of(transfer, file)
        part.parent.mkdir()
        part.write_bytes(CONTENT[:here])
        if is_right:
            assert transfer.fetch(file).read_bytes() == CONTENT
        else:
            with pytest.raises(SourceError, match=f"its {kind} is"):
                transfer.fetch(file)


def test_a_stopped_transfer_ends_at_once_and_keeps_its_part(hub: HubServer, tmp_path: Path) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match="GET /files/", kind="stall", after_bytes=1_500_000, seconds=20)
    patient = RetryOptions(first_wait_seconds=20, timeout_seconds=20)
    with Transfer(tmp_path / "to", patient) as transfer:
        threading.Timer(0.5, transfer.stop).start()
        begun = time.monotonic()
        with pytest.raises(StoppedError):
            transfer.fetch(file)
        assert 0.4 < time.monotonic() - begun < 5
        part = part_of(transfer, file)
        assert CONTENT.startswith(part.read_bytes())
        with pytest.raises(StoppedError):
            transfer.fetch(file)


PIECE = 1 << 20  # bytes that are read at a time; an end between two of them looks like no cut


@pytest.mark.parametrize("came", [PIECE, 1_500_000])
@pytest.mark.parametrize("reuse", [False, True])
def test_leaving_the_block_ends_what_another_thread_fetches(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, reuse: bool, came: int
) -> None:
    file = served(hub, with_digest=True)
    hub.faults.add(match="GET /files/", kind="stall", after_bytes=came, seconds=20)
    arrived: list[int] = []
    patient = RetryOptions(first_wait_seconds=20, timeout_seconds=20)
    with ThreadPoolExecutor(1) as pool:
        with Transfer(tmp_path / "to", patient, arrived=arrived.append) as transfer:
            coming = pool.submit(transfer.fetch, file)
            wait_until(lambda: hub.faults.taken and sum(arrived) == PIECE)
            time.sleep(0.05)  # it waits for the next piece by then
        begun = time.monotonic()
        assert isinstance(coming.exception(timeout=30), StoppedError)
        assert time.monotonic() - begun < 5
    assert "again in" not in caplog.text
    asked = len(hub.endpoint_log)
    if not reuse:
        with pytest.raises(StoppedError):
            transfer.fetch(file)
        assert len(hub.endpoint_log) == asked
    else:
        with transfer:
            assert transfer.fetch(file).read_bytes() == CONTENT
            transfer.stop()
        with transfer, pytest.raises(StoppedError):
            transfer.fetch(replace(file, name="b.bin", url=file.url + "?b"))


@contextmanager
def slow_to_answer(halves: tuple[bytes, bytes]) -> Iterator[tuple[str, threading.Event]]:
    """A server that tells no size and gives half of a body; the rest once the block is over.

    Gives its address, and what is set once the half was sent.
    """
    sent, is_over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(halves[0])
            sent.set()
            is_over.wait(30)
            self.wfile.write(halves[1])

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the client is gone, as it should
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/a.bin", sent
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("half", [CONTENT[:PIECE], b"half"], ids=len)
def test_a_half_that_was_stopped_is_never_taken_for_the_whole(tmp_path: Path, half: bytes) -> None:
    with ThreadPoolExecutor(1) as pool, slow_to_answer((half, b"rest")) as (url, sent):
        file = SourceFile(name="a.bin", url=url, size=UNKNOWN)
        with Transfer(tmp_path, RetryOptions(timeout_seconds=20)) as transfer:
            coming = pool.submit(transfer.fetch, file)
            assert sent.wait(10)
            wait_until(part_of(transfer, file).exists)
            time.sleep(0.05)  # it waits for the next piece by then
        assert isinstance(coming.exception(timeout=10), StoppedError)
        assert not transfer.place(file).exists()


@pytest.mark.parametrize("more", [0, 5])
def test_a_part_of_unknown_size_that_goes_on_nowhere_is_fetched_anew(
    hub: HubServer, tmp_path: Path, more: int
) -> None:
    file = replace(served(hub, with_digest=False), size=UNKNOWN)
    with Transfer(tmp_path / "to", QUICK) as transfer:
        part = part_of(transfer, file)
        part.parent.mkdir()
        part.write_bytes(CONTENT + bytes(more))
        assert transfer.fetch(file).read_bytes() == CONTENT
    assert [path.suffix for path in (tmp_path / "to").iterdir()] == [".bin"]


def test_a_wrong_part_is_thrown_away(hub: HubServer, tmp_path: Path) -> None:
    file = served(hub, with_digest=True)
    with Transfer(tmp_path / "to", QUICK) as transfer:
        part = part_of(transfer, file)
        part.parent.mkdir()
        part.write_bytes(b"x" * 1_000_000)
        assert transfer.fetch(file).read_bytes() == CONTENT


def test_a_corrupt_body_with_a_good_footer_is_caught_without_any_digest(
    hub: HubServer, tmp_path: Path
) -> None:
    good = tmp_path / "good.parquet"
    table = pa.table({"sound": [os.urandom(2000) for _ in range(200)]})
    pq.write_table(table, good, write_page_checksum=True, compression="none")
    content = bytearray(good.read_bytes())
    content[100_000] ^= 1
    hub.publish("s.parquet", bytes(content))
    source = http_source(f"{hub.url}/files/s.parquet", QUICK)
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match="Parquet"):
        transfer.fetch(source.files[0])


def test_a_file_that_has_changed_since_it_was_listed_is_told(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.publish("s.bin", b"one")
    source = http_source(f"{hub.url}/files/s.bin", QUICK)
    hub.publish("s.bin", b"two")
    with Transfer(tmp_path / "to", QUICK) as transfer, pytest.raises(SourceError, match="changed"):
        transfer.fetch(source.files[0])


# --- what fsspec knows


class Failing(fsspec.AbstractFileSystem):
    """A place whose files raise, when they are opened or read, what was put there."""

    protocol = "failing"
    cachable = False
    errors: ClassVar[list[Exception]] = []
    at = "open"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        self.fail("open")
        return FailingFile(CONTENT)

    @classmethod
    def fail(cls, at: str) -> None:
        if cls.errors and cls.at == at:
            raise cls.errors.pop(0)


class FailingFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= len(CONTENT) // 2:
            Failing.fail("read")
        return super().read(size)


@pytest.fixture
def failing() -> Iterator[SourceFile]:
    """A file of such a place."""
    fsspec.register_implementation("failing", Failing, clobber=True)
    yield SourceFile(name="a.bin", url="failing://here/a.bin", size=len(CONTENT))
    Failing.errors, Failing.at = [], "open"


FAILURES: list[tuple[Exception, type[StreamingError], str]] = [
    (PermissionError(errno.EACCES, "Permission denied"), AccessError, "may not be read"),
    (OSError(errno.EIO, "Input/output error"), SourceError, "Input/output error"),
    (FileNotFoundError(errno.ENOENT, "No such file"), SourceError, "is not there"),
    (ValueError("an odd answer"), SourceError, "ValueError: an odd answer"),
    (ImportError("Install s3fs"), SourceError, "Install s3fs"),
    (RuntimeError(), SourceError, "RuntimeError"),
]


@pytest.mark.parametrize("at", ["open", "read"])
@pytest.mark.parametrize(("error", "kind", "what"), FAILURES, ids=str)
def test_what_fsspec_raises_is_told_of_the_source(
    failing: SourceFile,
    tmp_path: Path,
    at: str,
    error: Exception,
    kind: type[StreamingError],
    what: str,
) -> None:
    Failing.errors, Failing.at = [error], at
    with Transfer(tmp_path, QUICK) as transfer, pytest.raises(StreamingError) as told:
        transfer.fetch(failing)
    assert type(told.value) is kind
    assert str(told.value).startswith(f"{failing.url}: ")
    assert what in str(told.value)
    assert "make room" not in str(told.value)


@pytest.mark.parametrize("at", ["open", "read"])
@pytest.mark.parametrize("error", [TimeoutError("silent"), ConnectionResetError()], ids=repr)
def test_what_passes_by_itself_in_fsspec_is_tried_again(
    failing: SourceFile, tmp_path: Path, at: str, error: Exception
) -> None:
    Failing.errors, Failing.at = [error] * 3, at
    with Transfer(tmp_path, QUICK) as transfer:
        assert transfer.fetch(failing).read_bytes() == CONTENT
        transfer.drop(failing)
        Failing.errors = [error] * 4
        with pytest.raises(SourceError, match=r"failing://here/a\.bin: .*goes on"):
            transfer.fetch(failing)
