"""Without Dask: everything but a cluster works, and who asks for one hears what to install.

Dask is hidden from every process that a command starts, kernels and workers too.
"""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus

HIDDEN = ("dask", "distributed")
HIDES = 'raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)\n'
CLUSTER = "dask:tcp://127.0.0.1:1"
PARAMETERS = "bars: int = 2  # how long it is [1..8]"
MAPS = """
from workbench.runs import record
from workbench.streaming.workers import map_ordered
try:
    import distributed
except ModuleNotFoundError as error:
    record(missing=error.name)
record(doubled=list(map_ordered(str, range(bars), engine="threads", workers=2)))
""".strip()


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A project with a corpus and a notebook, beside what hides Dask."""
    top = tmp_path_factory.mktemp("without")
    for name in HIDDEN:
        (top / f"{name}.py").write_text(HIDES)
    (top / "pyproject.toml").touch()
    make_drum_corpus(top / "corpus", DrumCorpusOptions(files=6, most_bars=8))
    first, second = (nbformat.v4.new_code_cell(source) for source in (PARAMETERS, MAPS))
    first.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[first, second])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "name": "python3"}
    (top / "notebooks").mkdir()
    nbformat.write(notebook, top / "notebooks" / "maps.ipynb")
    (top / "params" / "maps").mkdir(parents=True)
    (top / "params" / "maps" / "three.yaml").write_text("bars: 3\n")
    return top


@pytest.fixture
def told_by(top):
    """Runs a command in a process of its own; gives what it told."""

    def told(*tokens, code=0):
        path = os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-c", "from workbench.cli import main; main()", *tokens],
            env=os.environ | {"PYTHONPATH": path},
            cwd=top,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    return told


def counted(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_help_needs_no_dask(told_by):
    assert "groove" in told_by("--help")


def test_two_processes_count_as_one_does_without_dask(told_by, top):
    train = ["groove", "train", "corpus", "--no-progress", "--json", "-o"]
    assert json.loads(told_by(*train, "two", "--jobs", "2"))["kept"] == 6
    told_by(*train, "one")
    assert counted(top / "two") == counted(top / "one")


def test_a_notebook_runs_without_dask(told_by, top):
    (run,) = json.loads(told_by("run", "params/maps/three.yaml", "--json"))["runs"]
    assert run["status"] == "done"
    assert run["results"] == {"missing": "distributed", "doubled": ["0", "1", "2"]}


def test_who_asks_for_a_cluster_hears_which_extra_it_needs(told_by, top):
    train = ["groove", "train", "corpus", "--no-progress", "-o", "cluster"]
    error = told_by(*train, "--engine", CLUSTER, code=1)
    assert error.count("\n") == 1
    assert "workbench[cluster]" in error
    assert not (top / "cluster").exists()
