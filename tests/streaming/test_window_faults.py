"""Faults of servers, disks and threads: a right run or a clear error, soon; nobody hangs."""

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hub_server import HubServer
from parquet_files import data_pages, flipped, parquet_of, small_disk
from shard_servers import SIZE, content_of, quick, requests_of, served, shard_files, wait_until

from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.listing import http_source
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.window import ShardWindow

MB = 1 << 20
PASSING = [
    ("500", {}),
    ("503", {}),
    ("429", {"retry_after": 1}),
    ("stall", {"after_bytes": 20_000, "seconds": 3}),
    ("drop", {}),
    ("drop_after", {}),
    ("truncate", {"after_bytes": 40_000}),
    ("wrong_bytes", {}),
]
LASTING = ["404", "500", "429", "drop", "truncate", "wrong_bytes", "stall"]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


class Waiter(threading.Thread):
    """Waits for a shard, and keeps what came of it."""

    def __init__(self, window: ShardWindow, index: int) -> None:
        super().__init__()
        self.window, self.index = window, index
        self.path: Path | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.window.lease(self.index) as path:
                self.path = path
        except Exception as error:
            self.error = error


# --- servers


@pytest.mark.parametrize(("kind", "how"), PASSING)
def test_a_fault_that_passes_delays_a_right_run(
    hub: HubServer, tmp_path: Path, kind: str, how: dict[str, int]
) -> None:
    source = served(hub, 6)
    hub.faults.add(match="shard_0000[2-4]", kind=kind, times=4, **how)
    with at_most(10), ShardWindow(source, tmp_path / "window", None, quick(ahead=2)) as window:
        for index, path in window.shards():
            assert path.read_bytes() == content_of(index)
        assert window.status().position == 6
    assert len(hub.faults.taken) == 4


@pytest.mark.parametrize("kind", LASTING)
def test_a_shard_that_stays_broken_is_an_error_after_those_before_it(
    hub: HubServer, tmp_path: Path, kind: str
) -> None:
    source = served(hub, 8)
    how = {"seconds": 3} if kind == "stall" else {}
    hub.faults.add(match="shard_00004", kind=kind, times=None, **how)
    seen = []
    with (
        at_most(10),
        pytest.raises(SourceError, match="shard_00004") as caught,
        ShardWindow(source, tmp_path / "window", None, quick(ahead=3, attempts=2)) as window,
    ):
        for index, path in window.shards():
            assert path.read_bytes() == content_of(index)
            seen.append(index)
    assert seen == [0, 1, 2, 3]
    assert isinstance(caught.value.__cause__, SourceError)
    hub.faults.clear()  # and a later run goes on there
    with ShardWindow(source, tmp_path / "window", range(4, 8), quick(ahead=3)) as window:
        assert [index for index, _ in window.shards()] == [4, 5, 6, 7]


@pytest.mark.parametrize("kind", LASTING)
def test_a_shard_that_stays_broken_is_skipped_and_recorded_where_that_is_wanted(
    hub: HubServer, tmp_path: Path, kind: str
) -> None:
    source = served(hub, 6)
    how = {"seconds": 3} if kind == "stall" else {}
    hub.faults.add(match="shard_0000[03]", kind=kind, times=None, **how)
    options = quick(ahead=2, policy="skip", attempts=2)
    with at_most(10), ShardWindow(source, tmp_path / "window", None, options) as window:
        seen = [index for index, path in window.shards() if path.read_bytes() == content_of(index)]
        with window.lease(3) as path:
            assert path is None
        status = window.status()
    assert seen == [1, 2, 4, 5]
    assert sorted(status.skipped) == [0, 3]
    assert all(f"shard_0000{index}" in status.skipped[index] for index in (0, 3))
    assert status.states[0] == status.states[3] == "skipped"
    assert not [path for path in shard_files(tmp_path / "window") if "shard_00003" in path.name]


def test_a_missing_shard_is_asked_for_once(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 4)
    hub.faults.add(match="shard_00001", kind="404", times=None)
    options = quick(ahead=2, policy="skip")
    twice = [0, 1, 2, 3, 0, 1, 2, 3]
    with ShardWindow(source, tmp_path / "window", twice, options) as window:
        assert [index for index, _ in window.shards()] == [0, 2, 3, 0, 2, 3]
    assert requests_of(hub)[1] == 1


@pytest.mark.parametrize("policy", ["raise", "skip"])
@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_token_is_an_error_under_either_policy(
    hub: HubServer, tmp_path: Path, policy: str, status: str
) -> None:
    source = served(hub, 4)
    hub.faults.add(match="shard_00001", kind=status, times=None)
    with (
        at_most(5),
        pytest.raises(AccessError, match="hf auth login"),
        ShardWindow(source, tmp_path / "window", None, quick(policy=policy)) as window,
    ):
        assert len(list(window.shards())) == 1


def test_a_first_shard_that_is_missing_is_told_before_work_begins(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 4)
    hub.faults.add(match="shard_00000", kind="404", times=None)
    with (
        at_most(5),
        pytest.raises(SourceError, match=r"shard_00000.*404"),
        ShardWindow(source, tmp_path / "window", None, quick()),
    ):
        pytest.fail("the block began")
    assert not [each for each in threading.enumerate() if each.name.startswith("window-")]


def test_every_waiter_is_woken_by_a_failure_with_its_cause(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 8)
    hub.faults.add(match="shard_00000", kind="slow", rate=SIZE / 0.5, times=None)
    hub.faults.add(match="shard_00001", kind="404", times=None)
    options = quick(ahead=1, behind=4, initial=0, connections=2, wait_seconds=60)
    with at_most(8), ShardWindow(source, tmp_path / "window", None, options) as window:
        waiters = [Waiter(window, 0)]
        time.sleep(0.1)
        waiters += [Waiter(window, index) for index in (1, 2, 5)]
        for waiter in waiters:
            waiter.join(5)
            assert not waiter.is_alive()
        assert waiters[0].path is not None  # it was under way
        for waiter in waiters[1:]:
            assert isinstance(waiter.error, SourceError)
            assert "shard_00001" in str(waiter.error)
            assert isinstance(waiter.error.__cause__, SourceError)
        with window.lease(0) as path:  # what is here is still given
            assert path.read_bytes() == content_of(0)


def test_a_corrupt_body_with_a_good_footer_never_reaches_the_consumer(
    hub: HubServer, tmp_path: Path
) -> None:
    whole = [parquet_of([20, 20], first=40 * number, size=400) for number in range(4)]
    for number, content in enumerate(whole):
        page = data_pages(content, "audio.bytes")[1]
        bent = flipped(content, page[len(page) // 2]) if number == 2 else content
        hub.publish(f"p{number}.parquet", bent)
    source = http_source(hub.url + "/files/p{0..3}.parquet")
    assert not any(file.digest.startswith("sha256") for file in source.files)
    options = quick(ahead=2, policy="skip")
    with at_most(10), ShardWindow(source, tmp_path / "window", None, options) as window:
        numbers = [pq.read_table(path)["number"].to_pylist() for _, path in window.shards()]
        assert [*window.status().skipped] == [2]
    assert numbers == [list(range(40 * n, 40 * n + 40)) for n in (0, 1, 3)]


# --- threads


def end_thread(name: str, error: type[BaseException]) -> None:
    """Let an exception come out of nowhere in a thread."""
    thread = next(each for each in threading.enumerate() if each.name == name)
    assert thread.ident is not None
    set_error = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert set_error(ctypes.c_ulong(thread.ident), ctypes.py_object(error)) == 1


@pytest.mark.parametrize("thread", ["window", "window-0"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_thread_that_dies_wakes_every_waiter_with_the_cause(
    hub: HubServer, tmp_path: Path, thread: str, error: type[BaseException]
) -> None:
    source = served(hub, 4, size=4 * MB)
    hub.faults.add(match="shard_0000[0-2]", kind="slow", rate=3 * MB, times=None)
    options = quick(initial=0, connections=1, wait_seconds=60)
    with at_most(10), ShardWindow(source, tmp_path / "window", None, options) as window:
        waiters = [Waiter(window, index) for index in (0, 1, 2)]
        wait_until(lambda: window.status().fetched_bytes > 0)
        end_thread(thread, error)
        with at_most(1.5):
            for waiter in waiters:
                waiter.join(5)
        for waiter in waiters:
            assert isinstance(waiter.error, StreamingError)
            assert error.__name__ in str(waiter.error)
            assert waiter.error.__cause__ is not None
            assert isinstance(waiter.error.__cause__.__cause__, error)
        with pytest.raises(StreamingError, match=error.__name__), window.lease(3):
            pass
        hub.faults.clear()  # and another window waits for nothing that the dead thread was at
        with ShardWindow(source, tmp_path / "window", None, options) as other:
            assert [index for index, _ in other.shards()] == [0, 1, 2, 3]


# --- disks


def test_a_disk_that_fills_up_during_a_fetch_is_told(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 4, size=2 * MB)
    hub.faults.add(match="shard_00001", kind="slow", rate=1.5 * MB, times=None)
    with small_disk(tmp_path / "disk", 5 * MB) as disk, at_most(8):
        with ShardWindow(source, disk / "window", [0, 1], quick(ahead=1)) as window:
            with window.lease(0):
                pass
            waiter = Waiter(window, 1)
            wait_until(lambda: window.status().fetched_bytes > int(2.2 * MB))
            state = os.statvfs(disk)
            with (disk / "junk").open("wb") as junk:
                os.posix_fallocate(junk.fileno(), 0, state.f_bavail * state.f_frsize)
            waiter.join(5)
            assert isinstance(waiter.error, StreamingError)
            assert "make room" in str(waiter.error)
        (disk / "junk").unlink()
        with ShardWindow(source, disk / "window", range(1, 4), quick(ahead=1)) as window:
            assert [index for index, _ in window.shards()] == [1, 2, 3]


def test_a_shard_ahead_for_which_there_is_no_room_yet_is_no_error(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 5, size=2 * MB)
    with small_disk(tmp_path / "disk", 5 * MB) as disk, at_most(8):
        (disk / "junk").write_bytes(bytes(MB))
        with ShardWindow(source, disk / "window", None, quick(ahead=4)) as window:
            for index, path in window.shards():
                assert path.read_bytes() == content_of(index, 2 * MB)
            assert window.status().position == 5


def test_a_shard_of_unknown_size_is_stopped_by_the_disk_guard(
    hub: HubServer, tmp_path: Path
) -> None:
    known = served(hub, 2, size=3 * MB).files
    files = tuple(SourceFile(name=f.name, url=f.url, size=UNKNOWN, digest=f.digest) for f in known)
    source = Source(name="untold", files=files)
    with small_disk(tmp_path / "disk", 5 * MB) as disk:
        with ShardWindow(source, disk / "window", None, quick(ahead=1)) as window:
            assert [index for index, _ in window.shards()] == [0, 1]
        options = quick(min_free_bytes=4 * MB, policy="skip")
        with (
            at_most(5),
            pytest.raises(StreamingError, match="min_free_bytes"),
            ShardWindow(source, disk / "window", [0], options),
        ):
            pass
