"""Measure a window over shards beside plain loops of requests, on loopback, in one run.

`python tests/bench/window.py [--json] [--shards N] [--size MIB]` serves shards from a process of
its own and brings each of them, in turn: by a loop of `requests.get(stream=True)` to files, by the
same loop that then compares the SHA-256, and by a window, whose shards have a digest or have none
(then only their size is compared). All are whole on disk at the end; the window syncs them too.
Then the server lets each connection have so many bytes a second only, and windows with one and
with four connections bring some of the shards. Printed are MiB a second (the best round of the
loops, as others may use the machine; the median of the throttled ones) and ratios.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.window import ShardWindow

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

from hub_store import HubStore

ROUNDS, PIECE, MIB = 5, 1 << 20, 1 << 20
THROTTLED_ROUNDS, THROTTLED_SHARDS, THROTTLED_SECONDS = 3, 8, 0.5


@contextmanager
def serving(folder: Path, shards: int, size: int) -> Iterator[list[SourceFile]]:
    """Serve so many shards from another process; give them, with digests."""
    store, files = HubStore(folder), []
    for index in range(shards):
        content = os.urandom(size)
        store.publish(f"{index}.bin", content)
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        files.append(SourceFile(name=f"{index}.bin", url="", size=size, digest=digest))
    script = Path(__file__).parents[1] / "hub" / "hub_server.py"
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield [
                SourceFile(name=f.name, url=f"{url}/files/{f.name}", size=size, digest=f.digest)
                for f in files
            ]
        finally:
            process.kill()


def by_loop(files: list[SourceFile], folder: Path, *, verified: bool = False) -> None:
    """Bring files one after another with nothing but requests."""
    with requests.Session() as session:
        for file in files:
            path = folder / file.name
            with session.get(file.url, stream=True, timeout=30) as answer, path.open("wb") as out:
                answer.raise_for_status()
                for piece in answer.iter_content(PIECE):
                    out.write(piece)
            if verified:
                with path.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                assert f"sha256:{digest}" == file.digest


def by_window(
    files: list[SourceFile], folder: Path, *, verified: bool = True, connections: int = 4
) -> None:
    """Bring files through a window, and let each go at once."""
    told = [f if verified else SourceFile(name=f.name, url=f.url, size=f.size) for f in files]
    options = WindowOptions(
        ahead=len(files), behind=len(files), connections=connections, min_free_bytes=0
    )
    with ShardWindow(Source(name="bench", files=tuple(told)), folder, None, options) as window:
        assert sum(path.stat().st_size for _, path in window.shards()) == sum(f.size for f in files)


WAYS: dict[str, Callable[[list[SourceFile], Path], None]] = {
    "loop": by_loop,
    "loop_sha256": lambda files, folder: by_loop(files, folder, verified=True),
    "window": lambda files, folder: by_window(files, folder, verified=False),
    "window_sha256": by_window,
}


def seconds_of(way: Callable[[list[SourceFile], Path], None], files: list[SourceFile]) -> float:
    """Return how long a way takes to bring files to an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        way(files, Path(folder))
        return time.perf_counter() - begun


def throttled(files: list[SourceFile], connections: int) -> float:
    """Return how long a window takes with so many connections that are each held back."""
    url = files[0].url.partition("/files/")[0]
    rate = files[0].size / THROTTLED_SECONDS
    fault = {"match": "GET /files/", "kind": "slow", "rate": rate, "times": None}
    requests.post(f"{url}/__faults__", json={"add": fault}, timeout=30).raise_for_status()
    try:
        return statistics.median(
            seconds_of(
                lambda some, folder: by_window(some, folder, connections=connections),
                files[:THROTTLED_SHARDS],
            )
            for _ in range(THROTTLED_ROUNDS)
        )
    finally:
        requests.post(f"{url}/__faults__", json={"clear": True}, timeout=30)


def measured(shards: int, size: int) -> dict[str, float]:
    """Return MiB a second of each way, in turn, and ratios."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), shards, size) as files:
        rounds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, seconds in rounds.items():
                seconds.append(seconds_of(WAYS[way], files))
        one, four = (throttled(files, connections) for connections in (1, 4))
    rate = {way: shards * size / MIB / min(seconds) for way, seconds in rounds.items()}
    return {
        **{f"{way}_mib_a_second": value for way, value in rate.items()},
        "window_to_loop": rate["window"] / rate["loop"],
        "window_to_loop_both_verified": rate["window_sha256"] / rate["loop_sha256"],
        "four_connections_to_one_throttled": one / four,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--size", type=int, default=28, help="of a shard, MiB")
    options = parser.parse_args()
    found = measured(options.shards, options.size * MIB)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.shards} shards of {options.size} MiB on loopback, the best of {ROUNDS} rounds")
    for way in WAYS:
        print(f"{way:14} {found[f'{way}_mib_a_second']:8,.0f} MiB/s")
    print(f"a window is {found['window_to_loop']:.2f} times as fast as a loop, and")
    print(f"{found['window_to_loop_both_verified']:.2f} times where both verify; where the server")
    ratio = found["four_connections_to_one_throttled"]
    print(f"holds each connection back, four are {ratio:.2f} times as fast as one")


if __name__ == "__main__":
    main()
