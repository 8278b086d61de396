"""Real notebooks in real kernels; the runs of one batch are shared by the tests that look at it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import FAKE_TOKEN, Writer

from workbench.errors import OptionsError
from workbench.progress import Progress
from workbench.runs.journal import read
from workbench.runs.run import BatchReport, RunOptions, run

ENVIRONMENT_SECRET = "S3cret/with\"quotes' & <signs>"

GOOD_PARAMETERS = (
    "seed: int = 0  # the dice [0..99]\n"
    "swing: float = 0.5  # of a beat [0..1]\n"
    'output_dir: str = ""  # where files go; a scratch folder when empty'
)
GOOD = (
    "import os\nfrom pathlib import Path\nfrom workbench.runs import record\n"
    "import ipywidgets\nfrom IPython.display import HTML",
    "place = Path(output_dir) / 'deep'\nplace.mkdir()\n"
    "(place / 'notes.txt').write_text('x' * seed)\n"
    "print(place / 'notes.txt', output_dir, Path.cwd(), Path.home() / 'x')",
    "secret = os.environ['HF_TOKEN']\nprint(secret, repr(secret))\n"
    "(place / 'log.txt').write_text(secret)\nHTML(secret)",
    "record(headless=os.environ.get('WORKBENCH_HEADLESS'), seed=seed, loss=0.5)",
    "ipywidgets.IntSlider(value=3)",
    "record(loss=0.25, swing=swing)",
)
BAD = (
    "from pathlib import Path\n(Path(output_dir) / 'half.txt').write_text('half')\nprint('begun')",
    "from workbench.runs import record\nrecord(steps=7)",
    f"token = '_'.join(['hf', '{FAKE_TOKEN[3:]}'])",
    "raise ValueError(f'no access with {token}')",
    "(Path(output_dir) / 'after.txt').write_text('never')",
)
# Sleeps for as long as there is no file `go` in the folder that the runner stands in.
SLOW = (
    "import os, time\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))",
    "(Path(output_dir) / 'half.txt').write_text('half')\nPath('begun').touch()",
    "time.sleep(60 if hold and not Path('go').exists() else 0)",
)
OUTPUT_DIR = 'output_dir: str = ""  # where files go'

SLOW_PARAMETERS = OUTPUT_DIR + "\nhold: bool = True  # wait for the file"

PROGRAM = (
    "import sys\n"
    "from pathlib import Path\n"
    "from workbench.runs.run import RunOptions, run\n"
    "try:\n"
    "    sys.exit(run(RunOptions(params=Path(sys.argv[1]))).exit_code)\n"
    "except KeyboardInterrupt:\n"
    "    sys.exit(130)\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one shared batch of a good, a bad and again the good notebook gave."""

    report: BatchReport
    shown: list[Progress]
    outputs: Path

    def folder(self, number: int) -> Path:
        return self.report.runs[number].folder

    def manifest(self, number: int) -> dict[str, object]:
        text = (self.folder(number) / "manifest.json").read_text()
        found: dict[str, object] = json.loads(text)
        return found


@pytest.fixture(scope="module")
def batch(project: Path, write_notebook: Writer, write_params: Writer) -> Batch:
    write_notebook("good", *GOOD, parameters=GOOD_PARAMETERS)
    write_notebook("bad", *BAD, parameters=OUTPUT_DIR)
    write_params("good/tiny.yaml", "seed: 3\nswing: 1\n")
    demo = write_params(
        "demo.yaml",
        "runs:\n- {notebook: bad}\n- {notebook: good, params: tiny}\n"
        "- {notebook: good, params: {seed: 4}}\n",
    )
    for command in ("init -q", "add .", "commit -q -m project"):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *command.split()], cwd=project, check=True)
    (project / "dirt").touch()
    shown: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", ENVIRONMENT_SECRET)
        patch.chdir(project)
        report = run(RunOptions(params=demo), shown.append)
    return Batch(report=report, shown=shown, outputs=project / "outputs")


def test_every_run_of_a_list_is_tried_though_one_failed(batch: Batch) -> None:
    assert [r.status for r in batch.report.runs] == ["failed", "done", "done"]
    assert batch.report.exit_code == 1
    assert BatchReport(runs=batch.report.runs[1:]).exit_code == 0
    assert [r.folder.parent.name for r in batch.report.runs] == ["bad", "good", "good"]
    assert json.loads(json.dumps(batch.report.as_json()))["runs"][1]["results"]["seed"] == 3
    assert "ValueError" in batch.report.lines()[0] and "loss = 0.25" in batch.report.lines()[1]


def test_a_done_run_is_a_folder_of_notebook_manifest_and_files(batch: Batch) -> None:
    found = sorted(str(p.relative_to(batch.folder(1))) for p in batch.folder(1).rglob("*"))
    assert found == ["deep", "deep/log.txt", "deep/notes.txt", "good.ipynb", "manifest.json"]
    assert (batch.folder(1) / "deep" / "notes.txt").read_text() == "xxx"
    assert (batch.folder(2) / "deep" / "notes.txt").read_text() == "xxxx"


def test_a_manifest_says_what_was_asked_what_came_out_and_what_made_it(batch: Batch) -> None:
    manifest = batch.manifest(1)
    assert manifest["format"] == 1
    assert manifest["notebook"] == "good"
    assert manifest["run"] == batch.folder(1).name == f"tiny-{manifest['fingerprint'][:10]}"  # type: ignore[index]
    assert manifest["parameters"] == {"seed": 3, "swing": 1.0}
    assert manifest["error"] is None
    assert manifest["git"]["dirty"] is True  # type: ignore[index]
    assert len(manifest["git"]["commit"]) == 40  # type: ignore[index]
    assert 0 < manifest["seconds"] < 60  # type: ignore[operator]
    assert {"python", "workbench", "papermill"} <= set(manifest["versions"])  # type: ignore[call-overload]


def test_recorded_results_reach_the_manifest_and_the_last_of_a_name_counts(batch: Batch) -> None:
    wanted = {"headless": "1", "seed": 3, "loss": 0.25, "swing": 1.0}
    assert batch.manifest(1)["results"] == wanted
    assert batch.report.runs[1].results == wanted
    assert batch.manifest(2)["results"] == wanted | {"seed": 4, "swing": 0.5}


def test_a_secret_of_the_environment_or_an_exception_is_nowhere_under_outputs(
    batch: Batch,
) -> None:
    files = [path for path in batch.outputs.rglob("*") if path.is_file()]
    assert len(files) >= 10
    for path in files:
        content = path.read_bytes()
        assert b"S3cret" not in content, path
        assert FAKE_TOKEN.encode() not in content, path
    assert (batch.folder(1) / "deep" / "log.txt").read_text() == "*" * len(ENVIRONMENT_SECRET)
    assert batch.manifest(0)["error"]["message"] == "no access with ***"  # type: ignore[index]


def test_a_secret_parameter_is_refused_and_leaves_no_trace(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("told", "x = word", parameters="word: str = ''  # any")
    params = write_params("told/tiny.yaml", f"word: {FAKE_TOKEN}\n")
    with pytest.raises(OptionsError) as refusal:
        run(RunOptions(params=params))
    assert FAKE_TOKEN not in str(refusal.value)
    assert not (project / "outputs" / "told").exists()


def test_no_absolute_path_is_left_and_those_of_the_run_are_relative(
    batch: Batch, project: Path
) -> None:
    for report in batch.report.runs:
        for name in ("manifest.json", f"{report.notebook}.ipynb"):
            text = (report.folder / name).read_text()
            assert str(project) not in text and str(Path.home()) not in text
            assert sys.prefix not in text and ".part" not in text
    executed = (batch.folder(1) / "good.ipynb").read_text()
    assert '"deep/notes.txt . PROJECT ~/x\\n"' in executed
    assert 'output_dir = \\".\\"' in executed


def test_an_executed_notebook_holds_text_in_place_of_widgets_and_no_papermill(
    batch: Batch,
) -> None:
    executed = json.loads((batch.folder(1) / "good.ipynb").read_text())
    assert set(executed["metadata"]) == {"kernelspec", "language_info"}
    assert {key for cell in executed["cells"] for key in cell["metadata"]} == {"tags"}
    (slider,) = executed["cells"][-2]["outputs"]
    assert slider["data"] == {"text/plain": ["IntSlider(value=3)"]}
    counts = [cell["execution_count"] for cell in executed["cells"] if "outputs" in cell]
    assert [cell["id"] for cell in executed["cells"][:4]] == [
        "title",
        "code-0",
        "injected-parameters",
        "code-1",
    ]
    assert counts == list(range(1, 9))


def test_a_failing_notebook_leaves_its_outputs_up_to_the_error_and_no_run(batch: Batch) -> None:
    folder = batch.folder(0)
    assert folder.name.endswith(".failed")
    assert not folder.with_name(folder.name.removesuffix(".failed")).exists()
    assert sorted(p.name for p in folder.iterdir()) == ["bad.ipynb", "half.txt", "manifest.json"]
    manifest = batch.manifest(0)
    error = {"type": "ValueError", "message": "no access with ***", "cell": 6}
    assert manifest["error"] == batch.report.runs[0].error == error
    assert manifest["results"] == {"steps": 7}
    cells = json.loads((folder / "bad.ipynb").read_text())["cells"]
    assert cells[3]["outputs"][0]["text"] == ["begun\n"]
    assert cells[-2]["outputs"][0]["ename"] == "ValueError"
    assert cells[-1]["execution_count"] is None and cells[-1]["outputs"] == []


def test_progress_is_told_cell_by_cell(batch: Batch) -> None:
    of_good = [p for p in batch.shown if p.stage.startswith("good tiny-")]
    assert [p.done for p in of_good] == list(range(9))
    assert {p.total for p in of_good} == {8}
    assert of_good[-1].is_last and of_good[-1].unit == "cells"
    of_bad = [p for p in batch.shown if p.stage.startswith("bad ")]
    assert [p.done for p in of_bad] == [0, 1, 2, 3, 4, 5, 6]
    assert not of_bad[-1].is_last


def test_a_done_run_is_skipped_and_replaced_whole_only_when_asked(
    project: Path, write_notebook: Writer, write_params: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook("quick", "x = 1", parameters=OUTPUT_DIR)
    params = write_params("quick/tiny.yaml", "")
    monkeypatch.chdir(project)
    (first,) = run(RunOptions(params=params)).runs
    (first.folder / "mine.txt").touch()
    shown: list[Progress] = []
    (second,) = run(RunOptions(params=params), shown.append).runs
    assert (second.status, second.folder, shown) == ("already done", first.folder, [])
    assert second.seconds == first.seconds
    (third,) = run(RunOptions(params=params, again=True), shown.append).runs
    assert (third.status, third.folder) == ("done", first.folder)
    assert shown and not (first.folder / "mine.txt").exists()


def test_a_run_that_succeeds_takes_its_failure_away(
    project: Path, write_notebook: Writer, write_params: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = "from pathlib import Path\nassert Path('mended').exists(), 'broken'\nx = 1"
    write_notebook("mended", cell, parameters=OUTPUT_DIR)
    params = write_params("mended/tiny.yaml", "")
    monkeypatch.chdir(project)
    failed = run(RunOptions(params=params)).runs[0].folder
    assert failed.name.endswith(".failed") and failed.exists()
    (project / "mended").touch()
    (kept,) = run(RunOptions(params=params)).runs
    assert (kept.status, kept.folder, kept.error["message"]) == ("failed before", failed, "broken")  # type: ignore[index]
    (report,) = run(RunOptions(params=params, retry_failed=True)).runs
    assert report.status == "done" and report.folder.exists()
    assert not failed.exists()


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("import os\nos._exit(1)", "DeadKernelError", "Kernel died"),
        ("import sys\nsys.exit(0)", "SystemExit", "0"),
        (
            "from pathlib import Path\n(Path(output_dir) / 'manifest.json').touch()",
            "RunsError",
            "the notebook wrote manifest.json, which the run itself writes; rename it",
        ),
    ],
)
def test_a_notebook_that_does_not_come_to_a_good_end_has_failed(
    project: Path,
    write_notebook: Writer,
    write_params: Writer,
    cell: str,
    error: str,
    message: str,
) -> None:
    write_notebook("ends", cell, parameters=OUTPUT_DIR)
    report = run(RunOptions(params=write_params("ends/tiny.yaml", "")))
    told = json.loads((report.runs[0].folder / "manifest.json").read_text())["error"]
    assert (told["type"], told["message"]) == (error, message)
    assert report.exit_code == 1
    assert report.runs[0].folder == project / "outputs" / "ends" / f"{report.runs[0].run}.failed"
    assert not (project / "outputs" / "ends" / report.runs[0].run).exists()


def test_files_that_cannot_be_written_fail_that_run_only(
    project: Path, write_notebook: Writer, write_params: Writer, tmp_path: Path
) -> None:
    write_notebook("blocked", "x = 1")
    write_notebook("free", "x = 1")
    demo = write_params("both.yaml", "runs:\n- {notebook: blocked}\n- {notebook: free}\n")
    (tmp_path / "blocked").write_text("a file where the folder should be")
    report = run(RunOptions(params=demo, outputs=tmp_path))
    assert [r.status for r in report.runs] == ["failed", "done"]
    assert "File exists" in report.lines()[0]
    (record,) = read(tmp_path / "runs.jsonl")  # a run that nothing was left of is in no index
    assert (record["notebook"], record["status"]) == ("free", "done")


def test_options_outside_their_notes_are_refused() -> None:
    with pytest.raises(OptionsError, match="again"):
        RunOptions(params=Path("x.yaml"), again="yes")  # type: ignore[arg-type]


def _begin(project: Path, params: Path) -> tuple["subprocess.Popen[bytes]", psutil.Process]:
    """Start the slow notebook and return its runner and its kernel, in the middle of a cell."""
    for name in ("pid", "begun", "go"):
        (project / name).unlink(missing_ok=True)
    runner = subprocess.Popen([sys.executable, "-c", PROGRAM, str(params)], cwd=project)
    deadline = time.monotonic() + 60
    while not (project / "begun").exists():
        assert runner.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return runner, psutil.Process(int((project / "pid").read_text()))


def _runs_of(project: Path, name: str) -> list[str]:
    folder = project / "outputs" / name
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")


@pytest.mark.parametrize(
    "blow", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.soak)]
)
def test_a_stopped_runner_leaves_no_run_and_no_kernel_and_the_next_run_is_clean(
    project: Path,
    write_notebook: Writer,
    write_params: Writer,
    monkeypatch: pytest.MonkeyPatch,
    blow: signal.Signals,
) -> None:
    monkeypatch.chdir(project)
    write_notebook("slow", *SLOW, parameters=SLOW_PARAMETERS)
    params = write_params(f"slow/{blow.name}.yaml", "")
    before = _runs_of(project, "slow") if (project / "outputs" / "slow").exists() else []
    runner, kernel = _begin(project, params)
    runner.send_signal(blow)
    if blow == signal.SIGINT:  # pressed once, it waits for the run
        time.sleep(0.5)
        assert runner.poll() is None and kernel.is_running()
        runner.send_signal(blow)
    code = runner.wait(timeout=20)
    assert psutil.wait_procs([kernel], timeout=10)[1] == []
    left = set(_runs_of(project, "slow")) - set(before)
    if blow == signal.SIGINT:
        assert (code, left) == (130, set())
    else:
        assert code == -signal.SIGKILL
        (scratch,) = left
        assert scratch.startswith(f".{blow.name}-") and scratch.endswith(".part")
    (project / "go").touch()
    assert run(RunOptions(params=params)).exit_code == 0
    (done,) = set(_runs_of(project, "slow")) - set(before)
    assert done.startswith(f"{blow.name}-")
    names = sorted(p.name for p in (project / "outputs" / "slow" / done).iterdir())
    assert names == ["half.txt", "manifest.json", "slow.ipynb"]


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1, 3.5, 3.9])
def test_a_runner_killed_at_any_moment_leaves_a_whole_run_or_none(
    project: Path, write_notebook: Writer, write_params: Writer, seconds: float
) -> None:
    write_notebook("any", "x = 1", "y = 2", parameters=OUTPUT_DIR)
    params = write_params("any/tiny.yaml", "")
    command = [sys.executable, "-c", PROGRAM, str(params)]
    runner = subprocess.Popen(command, cwd=project)
    try:
        runner.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    for folder in (project / "outputs" / "any").glob("tiny-*"):
        assert sorted(p.name for p in folder.iterdir()) == ["any.ipynb", "manifest.json"]
    assert subprocess.run(command, cwd=project, check=False).returncode == 0
    assert all(name.startswith("tiny-") for name in _runs_of(project, "any"))


def test_a_run_about_to_be_replaced_is_put_back_after_a_kill(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("kept", "x = 1")
    params = write_params("kept/tiny.yaml", "")
    (first,) = run(RunOptions(params=params)).runs
    # The state after a kill between the two renames of replacing_folder.
    folder = first.folder
    folder.rename(folder.with_name(f".{folder.name}.0123abcd.part.old"))
    folder.with_name(f".{folder.name}.0123abcd.part").mkdir()
    (second,) = run(RunOptions(params=params)).runs
    assert (second.status, second.folder) == ("already done", folder)
    assert _runs_of(project, "kept") == [folder.name]


@pytest.mark.soak
def test_two_runners_at_once_do_not_sweep_each_others_work(
    project: Path, write_notebook: Writer, write_params: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    write_notebook("slow", *SLOW, parameters=SLOW_PARAMETERS)
    runner, _ = _begin(project, write_params("slow/first.yaml", ""))
    params = write_params("slow/second.yaml", "hold: false\n")
    assert run(RunOptions(params=params)).exit_code == 0
    scratch = [name for name in _runs_of(project, "slow") if name.endswith(".part")]
    assert len(scratch) == 1 and scratch[0].startswith(".first-")
    runner.kill()
    runner.wait(timeout=20)
