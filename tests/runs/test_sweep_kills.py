"""Sweeps whose runner is killed again and again, and many short runs at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Writer
from sweeping import OUTPUT_DIR, TELL_PID, kernels, kernels_of, start, wait_for

from workbench.runs.journal import read

RUNS = 12
WORK = (
    "from workbench.runs import record\n"
    "(Path(output_dir) / 'half.txt').write_text('half')\ntime.sleep(0.3)",
    "(Path(output_dir) / 'half.txt').write_text('whole' * seed)\nrecord(square=seed**2)",
)


def told(project: Path, params: Path) -> list[dict[str, Any]]:
    """Run a sweep to its end and return what its runs gave, without places and times."""
    runner = start(project, str(params), "-j", "3", "--json")
    output, _ = runner.communicate(timeout=200)
    assert runner.returncode == 0, output
    runs = json.loads(output.splitlines()[-1])["runs"]
    return [{name: r[name] for name in ("notebook", "run", "results", "error")} for r in runs]


def files(project: Path) -> dict[str, str]:
    """Return what lies in the folders of all runs, but for seconds."""
    return {
        str(path.relative_to(project)): (
            path.read_text() if path.suffix == ".txt" else str(path.exists())
        )
        for path in sorted((project / "outputs" / "killed").rglob("*"))
        if path.is_file()
    }


def whole_runs(project: Path) -> dict[str, int]:
    """Return the runs that are in their place, and when they came there."""
    manifests = (project / "outputs" / "killed").glob("all-*/manifest.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in manifests}


def kill_at_random(project: Path, params: Path, seconds: float) -> None:
    with start(project, str(params), "-j", "3") as runner:
        try:
            runner.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(runner.pid, signal.SIGKILL)
    assert psutil.wait_procs(kernels(project), timeout=5)[1] == []
    wait_for(lambda: not kernels_of(project), seconds=5)


@pytest.mark.soak
def test_a_sweep_killed_at_random_times_and_resumed_is_the_undisturbed_sweep(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("killed", TELL_PID, *WORK, parameters=f"seed: int = 0  # the dice\n{OUTPUT_DIR}")
    params = write_params("killed/all.yaml", f"matrix: {{seed: {list(range(1, RUNS + 1))}}}\n")
    began = time.monotonic()
    wanted = told(project, params)
    seconds = time.monotonic() - began
    wanted_files = files(project)
    shutil.rmtree(project / "outputs")
    chance = random.Random(8)
    done: dict[str, int] = {}
    for _ in range(5):
        kill_at_random(project, params, chance.uniform(1, 0.6 * seconds))
        now = whole_runs(project)
        assert done.items() <= now.items()  # what is done is not done again
        done = now
    index = project / "outputs" / "runs.jsonl"
    with index.open("ab") as file:
        file.write(b'{"format": 1, "noteb')
    assert told(project, params) == wanted
    assert files(project) == wanted_files
    assert done.items() <= whole_runs(project).items()
    records = [record["run"] for record in read(index)]
    assert sorted(records) == sorted(run["run"] for run in wanted)
    assert len(records) == RUNS
    assert kernels_of(project) == []


@pytest.mark.soak
def test_twenty_short_runs_four_at_once_meet_no_error_of_a_port(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("short", "from workbench.runs import record\nrecord(square=seed**2)")
    params = write_params("short/all.yaml", f"matrix: {{seed: {list(range(20))}}}\n")
    runner = start(project, str(params), "-j", "4", "--json")
    output, _ = runner.communicate(timeout=300)
    assert runner.returncode == 0, output
    runs = json.loads(output.splitlines()[-1])["runs"]
    assert [r["results"] for r in runs] == [{"square": n**2} for n in range(20)]
    assert not list(project.glob("kernel-ipc*"))
    assert b"Address already in use" not in output and b"rror" not in output.replace(
        b'"error"', b""
    )
