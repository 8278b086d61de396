"""The counting mixture on the Groove MIDI Dataset: bits, seconds, memory, and time to draw.

    python tests/bench/groove_mixture.py [--json]

Training runs in a process of its own, one core, its kernels compiled beforehand, and is measured
whole: reading, counting, writing, fitting. The dataset lies beside the checkout. Bits a bar are
of the validation split: 4/4, nine classes, no labels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from groove import GMD, peak_mb, row, seconds_of

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.files import midi_files
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.score import score_files
from workbench.groove.train import train


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--train", metavar="OUTPUT")
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(trained(Path(arguments.train))))
        return
    if not GMD.is_dir():
        sys.exit(f"{GMD}: is missing; put the Groove MIDI Dataset there")
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(Path(scratch))
    if arguments.json:
        print(json.dumps(rows))
    else:
        for each in rows:
            told = f"{each['value']:>10.3f}  {each['reach']:<12}"
            print(f"{told} {'reached' if each['reached'] else 'MISSED ':<8} {each['what']}")
    sys.exit(not all(each["reached"] for each in rows))


def measured(scratch: Path) -> list[dict[str, object]]:
    """Return one row a measurement."""
    compile_kernels(scratch)
    command = [sys.executable, __file__, "--train", str(scratch / "model")]
    training = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    model = open_model(scratch / "model")
    score = score_files(model, GMD.with_name("validation"))
    opening = seconds_of(lambda: sample(open_model(model.folder), SampleOptions(bars=1, lead_in=0)))
    draws = [
        seconds_of(lambda seed=seed: sample(model, SampleOptions(bars=16, seed=seed)))
        for seed in range(40)
    ]
    return [
        row("bits a bar, validation", score.bits_per_bar, "<= 24.0"),
        row("bits a bar of the n-grams alone", score.bits_per_bar_corpus, "<= 35.6"),
        row("training, seconds", training["seconds"], "<= 60"),
        row("training, seconds of the processor", training["cpu_seconds"], "<= 60"),
        row("training, peak RSS, MB", training["peak_mb"], "<= 400"),
        row("model, MB", sum(f.stat().st_size for f in model.folder.iterdir()) / 1e6, "<= 60"),
        row("open and first bar, seconds", opening, "<= 2"),
        row("16 bars warm, another seed each, ms", statistics.median(draws) * 1000, "<= 100"),
    ]


def compile_kernels(scratch: Path) -> None:
    """Train, score and draw once, so that all kernels are on disk and in this process."""
    corpus = make_drum_corpus(scratch / "small", DrumCorpusOptions(files=10))
    options = TrainOptions(model="mixture", log_every=0)
    model = train(midi_files(corpus.folder), scratch / "tiny", options).model
    score_files(model, corpus.folder)
    sample(model, SampleOptions(bars=1))


def trained(output: Path) -> dict[str, float]:
    """Train and return seconds, and this process's seconds and peak of memory."""
    began = time.perf_counter()
    train(midi_files(GMD), output, TrainOptions(model="mixture", log_every=0))
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time(),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    main()
