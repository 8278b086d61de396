"""Groove counting, storing and sampling, measured side by side in one run: ratios, not times.

    python tests/bench/groove.py [--json] [--files 3000] [--generated]

Pairs are measured in turn, three rounds each, and their medians compared; pretty_midi, which is
slow and steady, once. Memory is the peak of a process of its own, above a process that has
imported the same modules and counted one small file. The Groove MIDI Dataset beside the checkout
is used where it is there, generated files elsewhere, or where `--generated` says so.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rows import GMD, Row, parser_of, rate, row, seconds_of, tell, times

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.counting import count_batch
from workbench.groove.files import midi_files
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.train import Corpus, read_corpus, train
from workbench.runs.measurements import TIMES

ROUNDS = 3
BUDGET_MB = 16  # of the scale rows; small, so that every corpus there reaches it


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, default=3000, help="small corpus; the large has 10x")
    parser.add_argument("--generated", action="store_true", help="use no dataset")
    parser.add_argument("--count", nargs=3, metavar=("FOLDER", "OUTPUT", "JOBS"))
    arguments = parser.parse_args()
    if arguments.count:
        folder, output, jobs = arguments.count
        print(json.dumps(counted(Path(folder), Path(output), int(jobs))))
        return
    rows = measured(arguments.files, has_dataset=GMD.is_dir() and not arguments.generated)
    tell("groove", rows, as_json=arguments.json)


def measured(files: int, *, has_dataset: bool) -> list[Row]:
    """Return one row a measurement."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small_folder = folder / "small"
        make_drum_corpus(small_folder, DrumCorpusOptions(files=files))
        source = GMD if has_dataset else small_folder
        return [
            *speed_rows(source, folder),
            *size_rows(source, folder),
            *scale_rows(small_folder, files, folder),
        ]


def speed_rows(source: Path, scratch: Path) -> list[Row]:
    """Compare counting, and training into the store, with merely parsing by pretty_midi."""
    files = midi_files(source)
    corpus = read_corpus(files, TrainOptions())
    count_all(corpus)
    counting = rounds(lambda: count_all(corpus))
    training = rounds(lambda: train(files, scratch / "model", TrainOptions(progress=False)))
    parsing = [seconds_of(lambda: parse_by_pretty_midi(list(files)))]
    beside = {"against": "pretty_midi, which only parses", "best": False}
    return [
        times("counting n-grams", parsing, counting, ">= 25", **beside),
        times("list, store and model of n-grams", parsing, training, ">= 5", **beside),
        rate("counting n-grams", len(files), counting, unit="files/s"),
    ]


def size_rows(source: Path, scratch: Path) -> list[Row]:
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
        row("model for 268,000 n-grams", size / ngrams * 0.268, "<= 6", unit="MB"),
        row(
            "store for 268,000 n-grams",
            store.stat().st_size / ngrams * 0.268,
            "<= 6",
            unit="MB",
        ),
        middle("open and first bar", rounds(opened), "<= 0.2", unit="s"),
        middle("16 bars warm, another seed each", [1e3 * d for d in draws], "<= 20", unit="ms"),
    ]


def middle(what: str, turns: list[float], reach: str, *, unit: str) -> Row:
    """Return the median of some turns."""
    return row(what, statistics.median(turns), reach, unit=unit, turns=turns)


def scale_rows(small: Path, files: int, scratch: Path) -> list[Row]:
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
            unit=TIMES,
        ),
        row(
            f"{10 * files} files: peak RAM above the imports",
            large_run["peak_mb"] - base["peak_mb"],
            f"<= {64 + 1.5 * BUDGET_MB}",
            unit="MB",
        ),
        row(
            f"{2 * files} files: peak RAM as a share of {files} files'",
            double_run["peak_mb"] / small_run["peak_mb"],
            "<= 1.05",
            unit=TIMES,
        ),
        row(
            "training with two jobs",
            large_run["seconds"] / pair["seconds"],
            ">= 1.6",
            unit=TIMES,
            against="one job",
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


def rounds(work: Callable[[], object]) -> list[float]:
    """Return the seconds of some rounds."""
    return [seconds_of(work) for _ in range(ROUNDS)]


if __name__ == "__main__":
    main()
