"""What the runner costs over bare papermill, and two workers over one: ratios, not times.

    python tests/bench/runner.py [--json] [--pairs 7] [--runs 3] [--files 3000]

A pair is a sweep of some runs by `workbench.runs` and the same notebook with the same values by
`papermill.execute_notebook`, one after the other in this warm process, with the kernels on the same
transport; who is first changes from pair to pair. The median of the pairs' ratios counts. Counting
of drum n-grams, which works the processor alone, is measured in turn with one worker and with two.
"""

import itertools
import json
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path

import papermill
from rows import Row, parser_of, row, seconds_of, tell
from traitlets.config import Config

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.counting import count_batches
from workbench.groove.files import midi_files
from workbench.groove.options import TrainOptions
from workbench.groove.train import Corpus, read_corpus
from workbench.runs import measurements
from workbench.runs.run import RunOptions, run

ROUNDS = 7
TIMES = 20  # a second copy of a file is as much work as the first
PARAMETERS = 'seed: int = 0  # the dice [0..1000]\noutput_dir: str = ""  # where files go'
CELLS = (
    "from pathlib import Path\nimport matplotlib.pyplot as plt\nimport numpy as np\n"
    "from workbench.runs import record",
    "dice = np.random.default_rng(seed)\nwalk = dice.normal(size=200_000).cumsum()",
    "plt.plot(walk[::100])\nplt.show()",
    "(Path(output_dir) / 'walk.txt').write_text(str(round(walk[-1], 6)))",
    "record(end=round(float(walk[-1]), 6))",
)


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--runs", type=int, default=3, help="runs of a sweep")
    parser.add_argument("--files", type=int, default=3_000, help=f"counted {TIMES} times each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            overhead_row(Path(scratch), arguments.pairs, arguments.runs),
            workers_row(Path(scratch) / "drums", arguments.files),
        ]
    tell("runs", rows, as_json=arguments.json)


def overhead_row(scratch: Path, pairs: int, runs: int) -> Row:
    """Compare sweeps with as many calls of papermill."""
    project = make_project(scratch / "project", runs)
    os.chdir(project)

    def sweep() -> None:
        report = run(RunOptions(params=Path("params/walk/all.yaml"), again=True))
        assert report.exit_code == 0, report.lines()

    def bare() -> None:
        for seed in range(runs):
            by_papermill(project, seed)

    sweep()
    bare()
    ratios = []
    for number in range(pairs):
        order = [sweep, bare] if number % 2 else [bare, sweep]
        seconds = {work: seconds_of(work) for work in order}
        ratios.append(seconds[sweep] / seconds[bare])
    os.chdir("/")
    return row(
        f"a sweep of {runs} runs, as many times as long",
        statistics.median(ratios),
        "<= 1.05",
        unit=measurements.TIMES,
        turns=ratios,
        against="papermill alone",
    )


def make_project(top: Path, runs: int) -> Path:
    """Write a project of one notebook and a sweep over its seed."""
    for folder in ("notebooks", "params/walk", "bare"):
        (top / folder).mkdir(parents=True)
    (top / "pyproject.toml").touch()
    code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [code | {"id": f"c{n}", "source": text} for n, text in enumerate([PARAMETERS, *CELLS])]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (top / "notebooks" / "walk.ipynb").write_text(json.dumps(book))
    (top / "params" / "walk" / "all.yaml").write_text(f"matrix: {{seed: {list(range(runs))}}}\n")
    return top


def by_papermill(project: Path, seed: int) -> None:
    """Execute the notebook as who has no runner does, but on the runner's transport."""
    folder = project / "bare" / str(seed)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as sockets:
        manager = {
            "transport": "ipc",
            "ip": f"{sockets}/socket",
            "connection_file": f"{sockets}/kernel.json",
        }
        papermill.execute_notebook(
            project / "notebooks" / "walk.ipynb",
            folder / "walk.ipynb",
            parameters={"seed": seed, "output_dir": str(folder)},
            progress_bar=False,
            kernel_name="python3",
            config=Config({"KernelManager": manager}),
        )


def workers_row(folder: Path, files: int) -> Row:
    """Compare counting by two processes with counting by one."""
    make_drum_corpus(folder, DrumCorpusOptions(files=files))
    corpus = read_corpus(midi_files(folder), TrainOptions())
    ratios = []
    for number in range(ROUNDS):
        order = (1, 2) if number % 2 else (2, 1)
        seconds = {workers: seconds_of(partial(count, corpus, workers)) for workers in order}
        ratios.append(seconds[1] / seconds[2])
    return row(
        f"drum n-grams of {TIMES * files} files, two workers",
        statistics.median(ratios),
        ">= 1.6",
        unit=measurements.TIMES,
        turns=ratios,
        against="one worker",
    )


def count(corpus: Corpus, workers: int) -> None:
    """Count a corpus with no store; one worker is this process."""
    batches = itertools.chain.from_iterable(corpus.batches(0) for _ in range(TIMES))
    for _ in count_batches(batches, engine="processes", workers=workers):
        pass


if __name__ == "__main__":
    main()
