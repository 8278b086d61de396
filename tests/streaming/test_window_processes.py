"""Several processes at one folder: each shard once, one limit, and deaths that leave no trace."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from shard_servers import (
    SIZE,
    content_of,
    quick,
    requests_of,
    served,
    shard_files,
    wait_until,
    watched,
)

from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source
from workbench.streaming.window import ShardWindow

SCRIPT = Path(__file__).with_name("window_once.py")


class Runs:
    """Processes of `window_once.py` over one source and folder."""

    def __init__(self, source: Source, folder: Path) -> None:
        self.folder = folder
        self._files = [asdict(file) for file in source.files]
        self._go = folder.with_name("go")
        self._processes: list[subprocess.Popen[str]] = []

    def start(
        self, sequence: Sequence[int], options: WindowOptions, *, seconds: float = 0.0, **more: Any
    ) -> subprocess.Popen[str]:
        """Start one; it waits for `go` with its window open."""
        told = {"files": self._files, "folder": str(self.folder), "sequence": list(sequence)}
        told |= {"options": asdict(options), "seconds": seconds, "go": str(self._go), **more}
        paths = [str(SCRIPT.parent), str(SCRIPT.parents[1] / "hub")]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(told)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def go(self) -> None:
        """Let all begin, once all are ready."""
        marks = [self.folder.with_name(f"ready-{process.pid}") for process in self._processes]
        wait_until(lambda: all(mark.exists() for mark in marks), seconds=30)
        self._go.touch()

    def held(self, process: subprocess.Popen[str]) -> bool:
        """Return whether a process holds what it was to hold."""
        return self.folder.with_name(f"held-{process.pid}").exists()

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a process says at its end."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out)


def right(seen: list[list[Any]], indices: Sequence[int], size: int = SIZE) -> bool:
    want = [[i, hashlib.sha256(content_of(i, size)).hexdigest()] for i in indices]
    return seen == want


@contextmanager
def runs_of(source: Source, folder: Path) -> Iterator[Runs]:
    runs = Runs(source, folder)
    try:
        yield runs
    finally:
        runs.end()


@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_go_the_same_way_fetch_each_shard_once(
    hub: HubServer, tmp_path: Path, count: int
) -> None:
    source = served(hub, 12)
    with runs_of(source, tmp_path / "window") as runs:
        options = quick(ahead=4, grace_seconds=10, wait_seconds=30)
        processes = [runs.start(range(12), options, seconds=0.01 * n) for n in range(count)]
        runs.go()
        results = [said(process) for process in processes]
    assert all(right(result["seen"], range(12)) for result in results)
    assert requests_of(hub) == dict.fromkeys(range(12), 1)
    assert sum(result["fetched"] for result in results) == 12
    assert max(result["most"] for result in results) <= 5


def test_processes_that_go_different_ways_share_one_limit(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 40)
    with runs_of(source, tmp_path / "window") as runs, watched(tmp_path / "window") as watch:
        options = quick(ahead=2, grace_seconds=0.05, wait_seconds=30)
        process = runs.start([*reversed(range(40))], options)
        runs.go()
        with ShardWindow(source, tmp_path / "window", None, options) as window:
            for index, path in window.shards():
                assert path.read_bytes() == content_of(index)
        result = said(process)
    assert right(result["seen"], [*reversed(range(40))])
    assert result["most"] == watch.most_files == 3


def test_what_another_process_holds_does_not_leave(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 12)
    with runs_of(source, tmp_path / "window") as runs:
        options = quick(ahead=1, initial=0, grace_seconds=0, wait_seconds=30)
        holder = runs.start([7], options, seconds=1.0, hold=7)
        runs.go()
        wait_until(lambda: runs.held(holder))
        with ShardWindow(source, tmp_path / "window", None, options) as window:
            for index, path in window.shards():
                assert path.read_bytes() == content_of(index)
                assert any("shard_00007" in each.name for each in shard_files(runs.folder))
                assert len(shard_files(runs.folder)) <= 2
        assert holder.poll() is None
        assert right(said(holder)["seen"], [7])
    assert requests_of(hub)[7] == 1


def test_a_process_killed_while_it_fetches_and_holds_leaves_a_folder_to_go_on_with(
    hub: HubServer, tmp_path: Path
) -> None:
    size = 3 << 20
    source = served(hub, 6, size=size)
    hub.faults.add(match="shard_0000[1-3]", kind="slow", rate=size, times=3)
    with runs_of(source, tmp_path / "window") as runs:
        options = quick(ahead=3)
        process = runs.start(range(6), options, seconds=60, hold=0)
        runs.go()
        wait_until(lambda: runs.held(process))
        wait_until(lambda: sum(p.stat().st_size > 0 for p in runs.folder.glob("*.part")) == 3)
        process.kill()
        process.wait()
        parts = {part.name for part in runs.folder.glob("*.part")}
        assert len(parts) == 3
        with (
            watched(runs.folder) as watch,
            ShardWindow(source, runs.folder, range(6), options) as window,
        ):
            for index, path in window.shards():
                assert path.read_bytes() == content_of(index, size)
            arrived = window.status().fetched_bytes
    assert arrived <= 5 * size - 3 * (1 << 20)  # parts went on where they were
    assert watch.most_files <= 4
    assert not [*(runs.folder / ".window").glob("*.json")]
    assert not [*runs.folder.glob("*.part")]


def test_a_waiter_takes_over_what_a_killed_process_was_fetching(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 2)
    hub.faults.add(match="shard_00001", kind="stall", seconds=60, after_bytes=30_000)
    with runs_of(source, tmp_path / "window") as runs:
        process = runs.start([0, 1], quick(timeout_seconds=60, ahead=2), seconds=60)
        runs.go()
        wait_until(lambda: hub.faults.taken)
        with ShardWindow(source, runs.folder, None, quick()) as window:
            begun = time.monotonic()
            process.kill()
            process.wait()
            with window.lease(1) as path:
                assert path.read_bytes() == content_of(1)
            assert time.monotonic() - begun < 3
    assert requests_of(hub)[1] == 2


def in_threads(windows: Sequence[ShardWindow], *, seconds: float) -> list[list[int]]:
    """Go through windows side by side, with so much work on each shard."""

    def consume(window: ShardWindow) -> list[int]:
        seen = []
        with window:
            for index, path in window.shards():
                time.sleep(seconds)
                assert path.read_bytes() == content_of(index)
                seen.append(index)
        return seen

    with ThreadPoolExecutor(len(windows)) as pool:
        return list(pool.map(consume, windows))


def test_what_one_window_could_not_get_the_others_need_not_try(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 6)
    hub.faults.add(match="shard_00002", kind="500", times=None)
    options = quick(ahead=5, policy="skip", attempts=3)
    windows = [ShardWindow(source, tmp_path / "window", None, options) for _ in range(3)]
    assert in_threads(windows, seconds=0.05) == [[0, 1, 3, 4, 5]] * 3
    assert requests_of(hub)[2] == 3


@pytest.mark.parametrize("most", [1, 2])
def test_more_windows_than_places_take_turns(hub: HubServer, tmp_path: Path, most: int) -> None:
    source = served(hub, 24)
    ways = [range(start, 24, 4) for start in range(4)]
    options = quick(max_shards=most, initial=0, grace_seconds=0.05, wait_seconds=30)
    windows = [ShardWindow(source, tmp_path / "window", way, options) for way in ways]
    with watched(tmp_path / "window") as watch:
        assert in_threads(windows, seconds=0.01) == [[*way] for way in ways]
    assert watch.most_files == most


def test_two_windows_of_one_process_share_a_folder_too(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 10)
    options = quick(ahead=3, grace_seconds=5)
    with (
        watched(tmp_path / "window") as watch,
        ShardWindow(source, tmp_path / "window", None, options) as one,
        ShardWindow(source, tmp_path / "window", None, options) as other,
    ):
        for (index, path), (same, also) in zip(one.shards(), other.shards(), strict=True):
            assert (index, path) == (same, also)
            assert path.read_bytes() == content_of(index)
    assert set(requests_of(hub).values()) == {1}
    assert watch.most_files <= 4


@pytest.mark.soak
def test_processes_killed_at_any_moment_never_harm_the_others(
    hub: HubServer, tmp_path: Path
) -> None:
    rng = random.Random(1)
    source = served(hub, 30)
    for trial in range(20):
        folder = tmp_path / str(trial) / "window"
        folder.parent.mkdir()
        options = quick(ahead=3, grace_seconds=0.2, wait_seconds=30)
        with runs_of(source, folder) as runs, watched(folder) as watch:
            victims = [runs.start(range(30), options, seconds=0.02) for _ in range(2)]
            survivor = runs.start(range(30), options, seconds=0.02)
            runs.go()
            for victim in victims:
                time.sleep(rng.uniform(0, 0.3))
                victim.kill()
            assert right(said(survivor)["seen"], range(30))
        assert watch.most_files <= 4
        with ShardWindow(source, folder, None, options) as window:
            for index, path in window.shards():
                assert path.read_bytes() == content_of(index)
        assert not [*(folder / ".window").glob("*.json")]
