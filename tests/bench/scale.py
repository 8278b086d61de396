"""Measure what one caller of 1,000 workers costs with a corpus of 10 million files, in one run.

    python tests/bench/scale.py [--json] [--files 10000000] [--workers 1000]

What workers do is either slept through, by an executor of 1,000 sleeping workers, or measured once
and multiplied; what the caller does is measured for real:

- the list: names of 1,000 real files, read 1,000 times (or as often as `--files` says) from a text
  file, in a process of its own for its memory; contents digested; equal contents found among 10
  million digests;
- the batches: cut by a training's own code, and pickled;
- the seam: shards of random length through `map_ordered`, beside an executor that is bare;
- the counts: of generated drum files, taken into a store that is committed, and merged.

Told is what each comes to for 10 million files, and how many workers one caller keeps at work; then
the cost of a shard that does nothing with threads, processes and, where it is installed, Dask.
"""

import argparse
import importlib.util
import itertools
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rows import Row, parser_of, row, tell

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.counting import count_batch
from workbench.groove.files import midi_files
from workbench.groove.options import TrainOptions
from workbench.groove.train import Corpus, read_corpus
from workbench.runs.measurements import TIMES
from workbench.streaming.filelist import FileList, first_occurrences, listed
from workbench.streaming.tally import TallyStore
from workbench.streaming.workers import map_ordered

sys.path.insert(0, str(Path(__file__).parents[1] / "streaming"))
sys.path.insert(0, str(Path(__file__).parents[1] / "hosts"))
from cluster_hosts import local_cluster
from sleeping_workers import SleepingWorkers

WHOLE = 10_000_000  # files that all is reckoned for
DISTINCT = 1000  # real files that a list names again and again
COUNTED = 4096  # generated drum files that are counted
TRIVIAL = 500  # shards that do nothing
TRIVIAL_NAME = "trivial_seconds_"
BUDGET_MB = 64
ROUNDS = 3


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="of the list that is read")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        print(json.dumps(list_costs(options.list)))
        return
    rows = rows_of(measured(options.files, options.workers))
    tell("runs", rows, as_json=options.json)


def measured(files: int, workers: int) -> dict[str, float]:
    """Return all measurements, by name; seconds and bytes are for one file or one shard."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_drum_corpus(folder / "corpus", DrumCorpusOptions(files=COUNTED))
        corpus = read_corpus(midi_files(folder / "corpus"), TrainOptions(dedup=False))
        found = {"workers": workers, **list_rows(folder, files), **digest_rows(corpus.files)}
        found |= batch_rows(corpus) | count_rows(corpus, folder)
    return found | seam_rows(workers) | engine_rows()


# --- the list


def list_rows(folder: Path, files: int) -> dict[str, float]:
    """Measure a list of many files, in a process of its own."""
    corpus = midi_files(folder / "corpus")
    names = [corpus.name(index) for index in range(DISTINCT)]
    place = folder / "corpus" / "list.txt"
    with place.open("w") as text:
        for _ in range(files // DISTINCT):
            text.write("\n".join(names) + "\n")
    command = [sys.executable, __file__, "--list", str(place)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def list_costs(place: Path) -> dict[str, float]:
    """Return what it costs to read and to hold a list."""
    before = psutil.Process().memory_info().rss
    files, seconds = spent(lambda: listed(place), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    held = psutil.Process().memory_info().rss - before
    assert (files.sizes > 0).all()
    return {
        "listed_files": len(files),
        "list_seconds": seconds / len(files),
        "list_bytes": place.stat().st_size / len(files),
        "list_held_bytes": held / len(files),
        "list_peak_bytes": (peak - before) / len(files),
        "fingerprint_seconds": spent(files.fingerprint)[1] / len(files),
    }


def digest_rows(files: FileList) -> dict[str, float]:
    """Measure the digests of real files, and finding equals among 10 million of them."""
    digests = np.random.default_rng(1).integers(0, 1 << 62, (WHOLE, 2)).view("V16")[:, 0]
    digests[WHOLE // 2 :: 100] = digests[0]
    is_first, seconds = spent(lambda: first_occurrences(digests), 1)
    assert is_first.sum() == WHOLE - WHOLE // 200
    return {
        "digest_seconds": spent(files.digests)[1] / len(files),
        "file_bytes": float(files.sizes.mean()),
        "equals_seconds": seconds / WHOLE,
    }


# --- batches and their counts


def batch_rows(corpus: Corpus) -> dict[str, float]:
    """Measure how the caller cuts and packs batches, of a list of 100 times the corpus."""
    names = [corpus.files.name(index) for index in range(len(corpus.files))]
    files = FileList(corpus.files.root, 100 * names)
    many = replace(corpus, files=files, is_first=np.ones(len(files), bool))
    cut, cutting = spent(lambda: sum(1 for _ in many.batches(0)))
    batches = list(corpus.batches(0))
    packed, packing = spent(lambda: [ForkingPickler.dumps((count_batch, b)) for b in batches])
    return {
        "batch_files": len(files) / cut,
        "batch_seconds": cutting / len(files),
        "pack_seconds": packing / len(corpus.files),
        "packed_bytes": sum(map(len, packed)) / len(packed),
    }


def count_rows(corpus: Corpus, folder: Path) -> dict[str, float]:
    """Measure what a worker does with a batch, and the caller with its counts."""
    batches = list(corpus.batches(0))
    counted, counting = spent(lambda: [count_batch(batch) for batch in batches])
    sent = [bytes(ForkingPickler.dumps(counts)) for counts in counted]
    rows = taken(sent, folder / "store.sqlite")
    number = itertools.count()
    _, taking = spent(lambda: taken(sent, folder / f"store {next(number)}.sqlite"))
    return {
        "count_seconds": counting / len(batches),
        "counts_bytes": sum(map(len, sent)) / len(sent),
        "take_seconds": taking / len(sent),
        "store_bytes": (folder / "store.sqlite").stat().st_size / rows,
        **merge_rows(folder / "store.sqlite", rows),
    }


def taken(sent: list[bytes], path: Path) -> int:
    """Take pickled counts into a store, as a training does; return the distinct keys."""
    with TallyStore(path, budget_bytes=BUDGET_MB << 20) as store:
        for number, counts in enumerate(map(ForkingPickler.loads, sent)):
            for stream, rows in counts.rows.items():
                store.add(stream, rows)
            if store.is_full:
                store.commit({"position": number})
        store.commit({"position": len(sent)})
        return sum(len(keys) for tally in store.tallies() for keys, _ in store.rows(tally))


def merge_rows(path: Path, rows: int) -> dict[str, float]:
    """Measure reading merged rows back, of which a model is made."""
    with TallyStore(path, budget_bytes=BUDGET_MB << 20) as store:
        merged, seconds = spent(
            lambda: sum(len(keys) for tally in store.tallies() for keys, _ in store.rows(tally))
        )
    assert merged == rows
    return {"distinct_keys": rows, "merge_seconds": seconds / rows}


# --- the seam


def seam_rows(workers: int) -> dict[str, float]:
    """Measure the caller of sleeping workers, whose shards last long and short."""
    found = {}
    for mean in (0.5, 2.0):
        rng = random.Random(1)
        seconds = [rng.uniform(0.5, 1.5) * mean for _ in range(5 * workers)]
        ours, cpu = slept(seconds, workers, through_the_seam)
        bare, _ = slept(seconds, workers, through_nothing)
        found |= {f"shard_cpu_seconds_{mean}": cpu / len(seconds), f"of_bare_{mean}": bare / ours}
    return found


def slept(
    seconds: list[float], workers: int, way: Callable[[SleepingWorkers, list[float], int], None]
) -> tuple[float, float]:
    """Return the seconds that shards took by a way, and those of the caller's own thread."""
    sleeping = SleepingWorkers(workers)
    cpu = time.thread_time()
    _, wall = timed(lambda: way(sleeping, seconds, workers))
    cpu = time.thread_time() - cpu
    sleeping.shutdown()
    assert sleeping.most_busy == workers
    return wall, cpu


def through_the_seam(sleeping: SleepingWorkers, seconds: list[float], workers: int) -> None:
    """Map over shards as everything does."""
    assert list(map_ordered(float, seconds, engine=sleeping, workers=workers)) == seconds


def through_nothing(sleeping: SleepingWorkers, seconds: list[float], workers: int) -> None:
    """Submit all shards at once, and wait."""
    runs = [sleeping.submit(float, each) for each in seconds]
    assert [run.result() for run in runs] == seconds


def engine_rows() -> dict[str, float]:
    """Measure a shard that does nothing, with two workers of each engine."""
    found = {f"{TRIVIAL_NAME}{engine}": trivial(engine) for engine in ("threads", "processes")}
    if importlib.util.find_spec("distributed"):
        with local_cluster(2) as engine:
            found[f"{TRIVIAL_NAME}dask"] = trivial(engine)
            found[f"{TRIVIAL_NAME}dask, 200 under way"] = trivial(engine, 100)
    return found


def trivial(engine: str, workers: int = 2) -> float:
    """Return the seconds of a shard that does nothing, where two shards a worker are under way."""
    results = map_ordered(abs, range(TRIVIAL + 1), engine=engine, workers=workers)
    next(results)  # the workers are there
    done, seconds = timed(lambda: sum(1 for _ in results))
    assert done == TRIVIAL
    return seconds / TRIVIAL


# --- what comes of it


def spent(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[Any, float]:
    """Return what a call gave, and the fewest seconds of the processor that a round of it took.

    Others on the machine hold those up less than they do the clock on the wall.
    """
    fewest = math.inf
    for _ in range(rounds):
        start = time.process_time()
        result = work()
        fewest = min(fewest, time.process_time() - start)
    return result, fewest


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gave, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def rows_of(found: dict[str, float]) -> list[Row]:
    """Return what comes of it."""
    shards = WHOLE / found["batch_files"]
    cut = (found["batch_seconds"] + found["pack_seconds"]) * found["batch_files"]
    mapped, taking = found["shard_cpu_seconds_2.0"], found["take_seconds"]
    caller, work = cut + mapped + taking, found["count_seconds"]
    each = {"cut and packed": cut, "mapped over": mapped, "counts taken": taking, "all": caller}
    return [
        *list_told(found),
        row("10 million files in shards", shards, unit="shards"),
        *(
            row(f"the caller's time for a shard: {what}", 1e3 * seconds, unit="ms")
            for what, seconds in each.items()
        ),
        row("the caller's time for 10 million files", caller * shards / 3600, unit="h"),
        row("a worker's time for a shard", 1e3 * work, unit="ms"),
        row("a worker's time for 10 million files", work * shards / 3600, unit="h"),
        row("workers that one caller keeps at work", work / caller),
        row("merging", 1 / found["merge_seconds"], unit="n-grams/s"),
        row(f"store, of {found['distinct_keys']:,.0f} n-grams", found["store_bytes"], unit="bytes"),
        *seam_told(found),
    ]


def list_told(found: dict[str, float]) -> list[Row]:
    """Return what 10 million files cost before the first shard."""
    once = {
        f"list read, {found['listed_files']:,.0f} files measured": "list_seconds",
        f"contents digested, files of {found['file_bytes']:,.0f} bytes, warm": "digest_seconds",
        "equal contents found": "equals_seconds",
        "fingerprint": "fingerprint_seconds",
    }
    held = {"list": "list_bytes", "RAM": "list_held_bytes", "RAM while read": "list_peak_bytes"}
    return [
        *(row(f"10 million files: {w}", found[n] * WHOLE, unit="s") for w, n in once.items()),
        *(
            row(f"10 million files: {w}", found[n] * WHOLE / 1e6, unit="MB")
            for w, n in held.items()
        ),
    ]


def seam_told(found: dict[str, float]) -> list[Row]:
    """Return what a shard costs that sleeps, and one that does nothing."""
    asleep = f"{found['workers']:,.0f} workers asleep, shards of"
    rows = []
    for mean in (0.5, 2.0):
        bare, cost = found[f"of_bare_{mean}"], 1e6 * found[f"shard_cpu_seconds_{mean}"]
        beside = "an executor that is given all at once"
        rows.append(row(f"{asleep} {mean} s", bare, unit=TIMES, against=beside))
        rows.append(row(f"{asleep} {mean} s: the caller's processor a shard", cost, unit="µs"))
    trivial = {name: 1e6 * s for name, s in found.items() if name.startswith(TRIVIAL_NAME)}
    return rows + [
        row(f"a shard that does nothing, {name.removeprefix(TRIVIAL_NAME)}", value, unit="µs")
        for name, value in trivial.items()
    ]


if __name__ == "__main__":
    main()
