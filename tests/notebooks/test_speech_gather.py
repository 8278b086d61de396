"""The notebook that gathers speech: Thai sentences, run twice, give one dataset."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from workbench.demo.sentences import SENTENCES
from workbench.progress import silent
from workbench.runs.batch import plan
from workbench.runs.kernel import execute
from workbench.runs.places import root
from workbench.runs.record import RESULT_MIME
from workbench.speech.published import published_rows

TOP = root(Path(__file__).parent)


@pytest.fixture(scope="module")
def needs_espeak() -> None:
    if shutil.which("espeak-ng") is None:
        text = "espeak-ng is missing: this test needs it"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


def test_no_list_of_runs_wants_espeak() -> None:
    lists = list((TOP / "params").glob("*.yaml"))
    assert lists
    for path in lists:
        assert all(run.values.get("voice") != "espeak" for run in plan(path, TOP))


@pytest.mark.soak
@pytest.mark.espeak
@pytest.mark.usefixtures("needs_espeak")
def test_thai_sentences_gathered_twice_are_one_dataset(tmp_path: Path) -> None:
    (run,) = plan(TOP / "params" / "speech_gather" / "thai.yaml", TOP)
    results = []
    for name in ("one", "two"):
        values = {**run.values, "output_dir": str(tmp_path / name)}
        executed = execute(run.content, values, stage=name, show=silent)
        assert executed.failure is None, executed.failure
        results.append(recorded(executed.notebook))
    one, two = (digests(tmp_path / name / "dataset") for name in ("one", "two"))
    assert one == two
    assert len([name for name in one if name.startswith("data/")]) == results[0]["shards"] == 4
    assert results[0] == results[1]
    assert results[0]["rows"] + results[0]["skipped"] == 200
    said = {row["transcript"] for row in published_rows(str(tmp_path / "one" / "dataset"))}
    assert said - {"[NO_TRANSCRIPT]"} <= set(SENTENCES["th"])


def recorded(notebook):
    """Return what a notebook recorded."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    (found,) = [o["data"][RESULT_MIME] for o in outputs if RESULT_MIME in o.get("data", {})]
    return found


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a dataset."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names.items()}
