"""The counting mixture on the Groove MIDI Dataset: bits, seconds, memory, and time to draw.

    python tests/bench/groove_mixture.py [--json]

Training runs in a process of its own, one core, its kernels compiled beforehand, and is measured
whole: reading, counting, writing, fitting. The dataset lies beside the checkout. Bits a bar are
of the validation split: 4/4, nine classes, no labels.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from groove import middle, peak_mb
from rows import GMD, Row, parser_of, row, seconds_of, skipped, tell

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.files import midi_files
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.score import score_files
from workbench.groove.train import train


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--train", metavar="OUTPUT")
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(trained(Path(arguments.train))))
        return
    if not GMD.is_dir():
        rows = [skipped("the counting mixture", f"the Groove MIDI Dataset in {GMD.parent.name}")]
        tell("groove", rows, as_json=arguments.json)
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(Path(scratch))
    tell("groove", rows, as_json=arguments.json)


def measured(scratch: Path) -> list[Row]:
    """Return one row a measurement."""
    compile_kernels(scratch)
    command = [sys.executable, __file__, "--train", str(scratch / "model")]
    training = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    model = open_model(scratch / "model")
    score = score_files(model, GMD.with_name("validation"))
    opening = seconds_of(lambda: sample(open_model(model.folder), SampleOptions(bars=1, lead_in=0)))
    draws = [
        1e3 * seconds_of(lambda seed=seed: sample(model, SampleOptions(bars=16, seed=seed)))
        for seed in range(40)
    ]
    size = sum(file.stat().st_size for file in model.folder.iterdir())
    return [
        row("mixture: bits a bar, validation", score.bits_per_bar, "<= 24.0"),
        row("n-grams alone: bits a bar, validation", score.bits_per_bar_corpus, "<= 35.6"),
        row("mixture: training", training["seconds"], "<= 60", unit="s"),
        row("mixture: training, of the processor", training["cpu_seconds"], "<= 60", unit="s"),
        row("mixture: training, peak RSS", training["peak_mb"], "<= 400", unit="MB"),
        row("mixture: model", size / 1e6, "<= 60", unit="MB"),
        row("mixture: open and first bar", opening, "<= 2", unit="s"),
        middle("mixture: 16 bars warm, another seed each", draws, "<= 100", unit="ms"),
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
