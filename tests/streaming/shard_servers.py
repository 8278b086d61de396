"""Shards on a server of one's own, what they hold, and a watch over the folder they come to."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub_server import HubServer

from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source, SourceFile

SIZE = 60_000  # bytes of a shard where nothing else is said


def content_of(index: int, size: int = SIZE) -> bytes:
    """Return what a shard holds: no two hold the same."""
    return hashlib.shake_128(b"shard %d" % index).digest(size)


def served(hub: HubServer, count: int, *, size: int = SIZE) -> Source:
    """Publish so many shards and return their list."""
    files = []
    for index in range(count):
        content = content_of(index, size)
        name = f"shard_{index:05}.bin"
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        url = hub.publish(name, content)
        files.append(SourceFile(name=name, url=url, size=size, digest=digest))
    return Source(name="served", files=tuple(files))


def requests_of(hub: HubServer) -> Counter[int]:
    """Return how many times each shard was asked for."""
    names = (path.rpartition("shard_")[2] for _, path in hub.endpoint_log if "shard_" in path)
    return Counter(int(name.partition(".")[0]) for name in names)


def quick(**options: Any) -> WindowOptions:
    """Return options of little patience, for a disk that is as full as it is."""
    patience: dict[str, Any] = {
        "min_free_bytes": 0,
        "warn_free_bytes": 0,
        "wait_seconds": 10.0,
        "grace_seconds": 0.3,
        "attempts": 4,
        "first_wait_seconds": 0.02,
        "most_wait_seconds": 0.5,
        "timeout_seconds": 0.5,
    }
    return WindowOptions(**(patience | options))


def shard_files(folder: Path) -> list[Path]:
    """Return the files of a window's folder, unfinished ones counted in."""
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


class Watch:
    """What a folder held at most, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.most_files = 0
        self.most_bytes = 0
        self.looks = 0

    def look(self, folder: Path) -> None:
        """Look once."""
        sizes = []
        for path in shard_files(folder):
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:  # it has just left, or has its name now
                sizes.append(0)
        self.most_files = max(self.most_files, len(sizes))
        self.most_bytes = max(self.most_bytes, sum(sizes))
        self.looks += 1


@contextmanager
def watched(folder: Path, *, every: float = 0.005) -> Iterator[Watch]:
    """Watch a folder while the block lasts."""
    watch, over = Watch(), threading.Event()

    def keep_looking() -> None:
        while not over.wait(every):
            watch.look(folder)

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def wait_until(condition: Any, *, seconds: float = 10.0) -> None:
    """Wait for something to come about; fail when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
