"""Sweeps in real kernels: what is done, kept, tried again, stopped and told."""

import json
import logging
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Writer
from sweeping import OUTPUT_DIR, TELL_PID, kernels, kernels_of, lives, start, wait_for

from workbench.errors import OptionsError, RunsError
from workbench.progress import Progress
from workbench.runs.journal import read
from workbench.runs.run import BatchReport, RunOptions, run

# Fails for seed 2 as long as there is no file `mended`.
PICKY = (
    "from pathlib import Path\nfrom workbench.runs import record",
    "assert seed != 2 or Path('mended').exists(), 'two is too much'\nrecord(square=seed**2)",
)


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def statuses(report: BatchReport) -> list[str]:
    return [r.status for r in report.runs]


def index(project: Path, notebook: str) -> list[dict[str, Any]]:
    return [r for r in read(project / "outputs" / "runs.jsonl") if r["notebook"] == notebook]


def test_a_sweep_side_by_side_keeps_failures_and_tries_them_again_only_when_asked(
    project: Path, write_notebook: Writer, write_params: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    write_notebook("picky", *PICKY)
    params = write_params("picky/all.yaml", "matrix: {seed: [1, 2, 3]}\n")
    shown: list[Progress] = []
    report = run(RunOptions(params=params, jobs=2), shown.append)
    assert statuses(report) == ["done", "failed", "done"]
    assert [r.results for r in report.runs] == [{"square": 1}, {}, {"square": 9}]
    assert report.exit_code == 1
    assert [p.done for p in shown] == sorted(p.done for p in shown)
    assert shown[-1].is_last and shown[-1].numbers == {"at work": 0, "failed": 1}
    assert {(p.stage, p.total, p.unit) for p in shown} == {("all", 3, "runs")}
    assert max(p.numbers["at work"] for p in shown) == 2
    assert any(p.eta_seconds for p in shown)

    records = index(project, "picky")
    assert {r["parameters"]["seed"]: r["status"] for r in records} == {
        1: "done",
        2: "failed",
        3: "done",
    }
    assert [r["error"]["message"] for r in records if r["error"]] == ["two is too much"]

    path = project / "outputs" / "runs.jsonl"
    *kept, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept) + b'{"format": 1, "notebook": "pi')
    with caplog.at_level(logging.WARNING):
        again = run(RunOptions(params=params, jobs=2))
    assert statuses(again) == ["already done", "failed before", "already done"]
    assert "--retry-failed" in again.lines()[-1] and again.exit_code == 1
    assert "its last record is torn" in caplog.text
    records = index(project, "picky")
    assert sorted(r["parameters"]["seed"] for r in records) == [1, 2, 3]  # none lost, none twice

    (project / "mended").touch()
    mended = run(RunOptions(params=params, retry_failed=True))
    assert statuses(mended) == ["already done", "done", "already done"]
    assert mended.exit_code == 0
    assert {r["run"]: r["status"] for r in index(project, "picky")} == {
        r.run: "done" for r in mended.runs
    }


def test_a_run_is_tried_again_at_once_and_no_more_are_begun_after_too_many_failures(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    cell = (
        "from pathlib import Path\ntries = Path(f'tries-{seed}')\n"
        "tries.write_text(tries.read_text() + 'x' if tries.exists() else 'x')\n"
        "assert len(tries.read_text()) >= 2 and seed < 2, 'not yet'"
    )
    write_notebook("tries", cell)
    params = write_params("tries/all.yaml", "matrix: {seed: [1, 2, 3]}\n")
    report = run(RunOptions(params=params, retries=1, max_failures=1))
    assert statuses(report) == ["done", "failed", "not begun"]
    assert [len((project / f"tries-{n}").read_text()) for n in (1, 2)] == [2, 2]
    assert not (project / "tries-3").exists()
    attempts = [(r["attempt"], r["status"]) for r in index(project, "tries")]
    assert attempts == [(1, "failed"), (2, "done"), (1, "failed"), (2, "failed")]
    assert "goes on" in "\n".join(report.lines()) and report.exit_code == 1


def test_a_run_that_takes_too_long_has_failed(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("longer", "import time\ntime.sleep(600)")
    params = write_params("longer/x.yaml", "")
    (told,) = run(RunOptions(params=params, timeout_seconds=0.5)).runs
    assert told.error is not None and told.error["type"] == "TimeoutError"
    assert "not at its end after 0.5 s" in told.error["message"]
    assert kernels_of(project) == []


@pytest.mark.soak
def test_a_run_that_takes_too_long_leaves_neither_kernel_nor_children(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    child = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
    tell = "(Path(output_dir) / 'child').write_text(str(child.pid))"
    write_notebook("long", TELL_PID, child + tell, "time.sleep(600)", parameters=OUTPUT_DIR)
    (project / "pids").mkdir(exist_ok=True)
    report = run(RunOptions(params=write_params("long/x.yaml", ""), timeout_seconds=6))
    (told,) = report.runs
    assert told.status == "failed" and told.error is not None
    assert (told.error["type"], told.error["cell"]) == ("TimeoutError", 5)
    assert "after 6 s" in told.error["message"]
    assert kernels(project) == []
    wait_for(lambda: not lives(int((told.folder / "child").read_text())), seconds=5)


def test_ctrl_c_lets_the_runs_at_work_end_begins_no_more_and_the_next_command_goes_on(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    wait = "while not Path('go').exists():\n    time.sleep(0.02)"
    write_notebook("patient", TELL_PID, wait, "from workbench.runs import record\nrecord(s=seed)")
    params = write_params("patient/all.yaml", "matrix: {seed: [1, 2, 3]}\n")
    runner = start(project, str(params), "-j", "2", "--json")
    wait_for(lambda: len(kernels(project)) == 2)
    runner.send_signal(signal.SIGINT)
    with pytest.raises(RunsError, match=r"at work on patient\.all; wait for its end or stop it"):
        run(RunOptions(params=params))
    assert len(kernels(project)) == 2
    (project / "go").touch()
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    assert b"come to their end; Ctrl-C again stops them" in output
    told = json.loads(output.splitlines()[-1])["runs"]
    assert [r["status"] for r in told] == ["done", "done", "not begun"]
    assert len(index(project, "patient")) == 2
    assert kernels_of(project) == []
    rest = run(RunOptions(params=params, jobs=2))
    assert statuses(rest) == ["already done", "already done", "done"]
    assert [r.results for r in rest.runs] == [{"s": n} for n in (1, 2, 3)]


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc").exists(), reason="the system's own signal is Linux's")
def test_no_kernel_outlives_a_killed_runner_even_one_that_hears_nothing(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    # PyDLL holds the interpreter's lock: no thread of the kernel can look for its parent.
    deaf = "import ctypes\nPath('deaf').touch()\nctypes.PyDLL(None).sleep(600)"
    write_notebook("deaf", TELL_PID, deaf)
    with start(project, str(write_params("deaf/x.yaml", ""))) as runner:
        wait_for((project / "deaf").exists)
        (kernel,) = kernels(project)
        os.kill(runner.pid, signal.SIGKILL)
    left = psutil.wait_procs([kernel], timeout=5)[1]
    for process in left:
        process.kill()
    assert left == []


@pytest.mark.soak
def test_a_kernel_that_is_starting_ends_with_its_runner(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("early", TELL_PID)
    with start(project, str(write_params("early/x.yaml", ""))) as runner:
        wait_for(lambda: kernels_of(project))
        os.kill(runner.pid, signal.SIGKILL)
    wait_for(lambda: not kernels_of(project), seconds=5)


def test_a_full_disk_is_told_before_a_kernel_starts(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("small", "x = 1")
    params = write_params("small/x.yaml", "")
    with pytest.raises(RunsError, match=r"MB free, want 1000000000; make room"):
        run(RunOptions(params=params, min_free_mb=10**9))
    assert not list((project / "outputs" / "small").glob("x-*"))


def test_runs_may_be_done_from_a_thread_that_hears_no_ctrl_c(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("threaded", "x = 1")
    options = RunOptions(params=write_params("threaded/x.yaml", ""))
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(options).exit_code))
    thread.start()
    thread.join()
    assert codes == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "given", [{"jobs": 0}, {"engine": "dask"}, {"retries": -1}, {"timeout_seconds": -1.0}]
)
def test_options_of_a_sweep_outside_their_notes_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=re.escape(next(iter(given)))):
        RunOptions(params=Path("x.yaml"), **given)
