"""A small project to sweep over: how much a groove model learns from more files and more context.

The project has one notebook, which learns from drum files that the program makes, and two params
files: `night`, whose matrix has one run that fails, and `morning`, one run that is done again
after a line of the notebook was changed.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from workbench.caching.files import replacing_folder
from workbench.runs.notebooks import read_notebook

NOTEBOOK = "groove_context"

_FEWEST = 8  # files of the smallest corpus; each next one has three times as many
_CELLS = (
    "# How much context a groove model needs",
    """n: int = 3  # Length of the event n-grams, tokens [1..8]
files: int = 24  # Files that it learns from [8..1000]
output_dir: str = ""  # where files go; a scratch folder when empty""",
    """from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.files import midi_files
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.pictures import drum_grid
from workbench.groove.sample import sample
from workbench.groove.score import score_files
from workbench.groove.train import train
from workbench.runs import output_folder, record""",
    """out = output_folder(output_dir)
made = DrumCorpusOptions(files=files, styles="rock, funk")
corpus = make_drum_corpus(out / "corpus", made).folder
unseen = make_drum_corpus(out / "unseen", DrumCorpusOptions(files=8, seed=1, styles=made.styles))
len(midi_files(corpus))""",
    """options = TrainOptions(n=n, labels=corpus / "labels.csv", smoothing="concentration")
model = train(midi_files(corpus), out / "model", options).model
score = score_files(model, unseen.folder)""",
    """new = sample(model, SampleOptions(bars=16, style="funk", seed=3))
drum_grid(new)""",
    """levels = model.description["streams"]["events"]["levels"]
record(
    bits_per_event=round(score.bits_per_event, 3),
    ngrams=sum(level["rows"] for level in levels),
)""",
)
_CHANGE = ('smoothing="concentration"', 'smoothing="modified_kneser_ney"')


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoProject:
    """A project that can be swept.

    Attributes:
        top: Its folder.
        night: The params file of the sweep.
        morning: The params file of one run of it, to be done again.
    """

    top: Path
    night: Path
    morning: Path

    @property
    def outputs(self) -> Path:
        """The folder of its results."""
        return self.top / "outputs"

    def change(self) -> None:
        """Change one line of its notebook, as somebody does who has seen the results.

        Raises:
            RunsError: The notebook cannot be read.
        """
        path = self.top / "notebooks" / f"{NOTEBOOK}.ipynb"
        notebook = read_notebook(path)
        for cell in notebook["cells"]:
            cell["source"] = cell["source"].replace(*_CHANGE)
        path.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


def make_demo_project(folder: Path, *, sizes: int = 2) -> DemoProject:
    """Write the project; what lies at its place is replaced.

    Args:
        folder: Its place.
        sizes: How many sizes of corpus are tried, each with n of 1, 2 and 4.

    Raises:
        CachingError: It cannot be written there.
    """
    counts = [_FEWEST * 3**size for size in range(sizes)]
    texts = {
        "pyproject.toml": "",
        f"notebooks/{NOTEBOOK}.ipynb": _notebook(),
        f"params/{NOTEBOOK}/night.yaml": (
            f"matrix: {{n: [1, 2, 4], files: {counts}}}\n"
            f"include: [{{n: 5, files: {counts[-1]}}}]  # which the model refuses\n"
        ),
        f"params/{NOTEBOOK}/morning.yaml": f"n: 4\nfiles: {counts[-1]}\n",
    }
    with replacing_folder(folder) as scratch:
        for name, content in texts.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(content, encoding="utf-8")
    params = folder / "params" / NOTEBOOK
    return DemoProject(top=folder, night=params / "night.yaml", morning=params / "morning.yaml")


def _notebook() -> str:
    title, parameters, *sources = _CELLS
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": title},
        *(
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"code-{number}",
                "metadata": {"tags": ["parameters"]} if source is parameters else {},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate((parameters, *sources))
        ),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1) + "\n"
