"""Groove counting, storing and sampling, measured side by side in one run: ratios, not times.

    python tests/bench/groove.py [--json] [--files 3000]

Pairs are measured in turn, three rounds each, and their medians compared; pretty_midi, which is
slow and steady, once. Memory is the peak of a process of its own, above a process that has
imported the same modules and counted one small file. The Groove MIDI Dataset beside the checkout
is used where it is there, generated files elsewhere.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.counting import count_batch
from workbench.groove.files import midi_files
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.train import Corpus, read_corpus, train

GMD = Path(__file__).parents[3] / "shared" / "data" / "gmd" / "train"
ROUNDS = 3
BUDGET_MB = 16  # of the scale rows; small, so that every corpus there reaches it


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--files", type=int, default=3000, help="small corpus; the large has 10x")
    parser.add_argument("--count", nargs=3, metavar=("FOLDER", "OUTPUT", "JOBS"))
    arguments = parser.parse_args()
    if arguments.count:
        folder, output, jobs = arguments.count
        print(json.dumps(counted(Path(folder), Path(output), int(jobs))))
        return
    rows = measured(arguments.files)
    if arguments.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            told = f"{row['value']:>10.3f}  {row['reach']:<12}"
            print(f"{told} {'reached' if row['reached'] else 'MISSED ':<8} {row['what']}")
    sys.exit(not all(row["reached"] for row in rows))


def measured(files: int) -> list[dict[str, object]]:
    """Return one row a measurement."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small_folder = folder / "small"
        make_drum_corpus(small_folder, DrumCorpusOptions(files=files))
        source = GMD if GMD.is_dir() else small_folder
        return [
            *speed_rows(source, folder),
            *size_rows(source, folder),
            *scale_rows(small_folder, files, folder),
        ]


def row(what: str, value: float, reach: str) -> dict[str, object]:
    """Return a measurement and whether it reaches what it should, `>= x` or `<= x`."""
    sign, bound = reach.split()
    reached = value >= float(bound) if sign == ">=" else value <= float(bound)
    return {"what": what, "value": value, "reach": reach, "reached": reached}


def speed_rows(source: Path, scratch: Path) -> list[dict[str, object]]:
    """Compare counting, and training into the store, with merely parsing by pretty_midi."""
    files = midi_files(source)
    corpus = read_corpus(files, TrainOptions())
    count_all(corpus)
    counting = rounds(lambda: count_all(corpus))
    training = rounds(lambda: train(files, scratch / "model", TrainOptions(progress=False)))
    parsing = seconds_of(lambda: parse_by_pretty_midi(list(files)))
    return [
        row("counting is as many times as fast as pretty_midi parses", parsing / counting, ">= 25"),
        row(
            "list, store, model: as many times as fast as pretty_midi parses",
            parsing / training,
            ">= 5",
        ),
        row("files counted a second", len(files) / counting, ">= 0"),
    ]


def size_rows(source: Path, scratch: Path) -> list[dict[str, object]]:
    """Measure store, model, opening and sampling."""
    store = scratch / "store.sqlite"
    options = TrainOptions(sqlite_path=store, progress=False)
    model = train(midi_files(source), scratch / "sized", options).model
    ngrams = sum(
        level["rows"]
        for stream in model.description["streams"].values()
        for level in stream["levels"]
    )
    size = sum(file.stat().st_size for file in model.folder.iterdir())

    def opened() -> None:
        sample(open_model(model.folder), SampleOptions(bars=1))

    again = open_model(model.folder)
    for seed in range(20):
        sample(again, SampleOptions(bars=16, seed=seed))
    draws = [
        seconds_of(lambda seed=seed: sample(again, SampleOptions(bars=16, seed=seed)))
        for seed in range(20, 60)
    ]
    return [
        row("model, MB for 268,000 n-grams", size / ngrams * 268_000 / 1e6, "<= 6"),
        row(
            "store, MB for 268,000 n-grams",
            store.stat().st_size / ngrams * 268_000 / 1e6,
            "<= 6",
        ),
        row("open and first bar, seconds", rounds(opened), "<= 0.2"),
        row("16 bars warm, another seed each, ms", statistics.median(draws) * 1000, "<= 20"),
    ]


def scale_rows(small: Path, files: int, scratch: Path) -> list[dict[str, object]]:
    """Compare a corpus with one of ten times the files, and one process with two."""
    large, double = scratch / "large", scratch / "double"
    make_drum_corpus(large, DrumCorpusOptions(files=10 * files))
    make_drum_corpus(double, DrumCorpusOptions(files=2 * files))
    one = scratch / "one"
    make_drum_corpus(one, DrumCorpusOptions(files=20))
    base = in_own_process(one, scratch, 1)
    runs = [in_own_process(folder, scratch, 1) for folder in (small, double, large)]
    pair = in_own_process(large, scratch, 2)
    small_run, double_run, large_run = runs
    return [
        row(
            f"files a second, {10 * files} files as a share of {files}",
            large_run["rate"] / small_run["rate"],
            ">= 0.8",
        ),
        row(
            f"{10 * files} files: peak RAM above the imports, MB",
            large_run["peak_mb"] - base["peak_mb"],
            f"<= {64 + 1.5 * BUDGET_MB}",
        ),
        row(
            f"{2 * files} files: peak RAM as a share of {files} files'",
            double_run["peak_mb"] / small_run["peak_mb"],
            "<= 1.05",
        ),
        row(
            "two jobs as many times as fast as one",
            large_run["seconds"] / pair["seconds"],
            ">= 1.6",
        ),
    ]


def counted(folder: Path, output: Path, jobs: int) -> dict[str, float]:
    """Train and return rate, seconds and this process's peak of memory."""
    files = midi_files(folder)
    began = time.perf_counter()
    train(files, output, TrainOptions(jobs=jobs, ram_budget_mb=BUDGET_MB, log_every=0))
    seconds = time.perf_counter() - began
    return {"rate": len(files) / seconds, "seconds": seconds, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the peak of this process's memory since it began its program (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def in_own_process(folder: Path, scratch: Path, jobs: int) -> dict[str, float]:
    """Return what `counted` tells in a fresh process."""
    command = [sys.executable, __file__, "--count", str(folder), str(scratch / "out"), str(jobs)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def count_all(corpus: Corpus) -> None:
    """Count a corpus with no store."""
    for batch in corpus.batches(0):
        count_batch(batch)


def parse_by_pretty_midi(paths: list[Path]) -> None:
    """Parse every file."""
    import pretty_midi

    for path in paths:
        pretty_midi.PrettyMIDI(str(path))


def rounds(work: Callable[[], object]) -> float:
    """Return the median seconds of some rounds."""
    return statistics.median(seconds_of(work) for _ in range(ROUNDS))


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
