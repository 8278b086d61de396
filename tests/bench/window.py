"""A window over shards beside plain loops of requests, on loopback, in one run.

    python tests/bench/window.py [--json] [--shards N] [--size MIB] [--held S]

It serves shards from a process of
its own and brings each of them, in turn: by a loop of `requests.get(stream=True)` to files, by the
same loop that then compares the SHA-256, and by a window, whose shards have a digest or have none
(then only their size is compared). All are whole on disk at the end; the window syncs them too.
Then the server lets each connection have so many bytes a second only, and windows with one and
with four connections bring some of the shards. Printed are MiB a second (the best round of the
loops, as others may use the machine; the median of the throttled ones) and ratios.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from rows import Row, parser_of, rate, tell, times

from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.window import ShardWindow

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

from hub_store import HubStore

ROUNDS, PIECE, MIB = 5, 1 << 20, 1 << 20
THROTTLED_ROUNDS, THROTTLED_SHARDS = 3, 8


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


def throttled(files: list[SourceFile], held: float) -> dict[str, list[float]]:
    """Return how long windows of one and of four connections take that are each held back."""
    url = files[0].url.partition("/files/")[0]
    rate = files[0].size / held
    fault = {"match": "GET /files/", "kind": "slow", "rate": rate, "times": None}
    requests.post(f"{url}/__faults__", json={"add": fault}, timeout=30).raise_for_status()

    def brought(connections: int) -> float:
        some = files[:THROTTLED_SHARDS]
        return seconds_of(lambda f, to: by_window(f, to, connections=connections), some)

    try:
        ways = {"one": 1, "four": 4}
        return {way: [brought(n) for _ in range(THROTTLED_ROUNDS)] for way, n in ways.items()}
    finally:
        requests.post(f"{url}/__faults__", json={"clear": True}, timeout=30)


def measured(shards: int, size: int, slow: float) -> list[Row]:
    """Return one row a measurement."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), shards, size) as files:
        rounds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, seconds in rounds.items():
                seconds.append(seconds_of(WAYS[way], files))
        held = throttled(files, slow)
    loop, both = "a loop of requests", "a loop of requests that compares SHA-256 too"
    four = "four connections, each held back by the server"
    return [
        times("shards through a window", rounds["loop"], rounds["window"], ">= 0.9", against=loop),
        times(
            "shards through a window, verified",
            rounds["loop_sha256"],
            rounds["window_sha256"],
            ">= 0.9",
            against=both,
        ),
        times(four, held["one"], held["four"], ">= 3", against="one connection", best=False),
        *(
            rate(f"{way.replace('_', ', ')}: shards", shards * size / MIB, seconds, unit="MiB/s")
            for way, seconds in rounds.items()
        ),
    ]


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--size", type=int, default=28, help="of a shard, MiB")
    parser.add_argument("--held", type=float, default=0.5, help="a shard held back takes, seconds")
    options = parser.parse_args()
    rows = measured(options.shards, options.size * MIB, options.held)
    tell("shards", rows, as_json=options.json)


if __name__ == "__main__":
    main()
