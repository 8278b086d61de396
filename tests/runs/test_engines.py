"""The same sweep by threads, by processes and by a cluster; workers that die; Ctrl-C."""

import json
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Writer
from sweeping import OUTPUT_DIR, TELL_PID, kernels_of, lives, press_ctrl_c, start, wait_for

from workbench.errors import OptionsError
from workbench.runs.attempt import Assignment, carry_out
from workbench.runs.batch import PlannedRun, plan
from workbench.runs.journal import read
from workbench.runs.occupying import alone
from workbench.runs.run import BatchReport, RunOptions, run

PARAMETERS = f"seed: int = 0  # the dice\n{OUTPUT_DIR}"
# Kills the worker that waits for it, the first time or every time; never the tests' own process.
DEADLY = (
    "import os, signal, time\nfrom pathlib import Path\nfrom workbench.runs import record",
    "tries = Path(output_dir).parents[2] / f'tries-{seed}'\n"
    "with tries.open('a') as file:\n    file.write(f'{os.getpid()} {os.getppid()}\\n')\n"
    "count = len(tries.read_text().splitlines())\n"
    "if seed < 0 or (seed == 2 and count == 1):\n"
    "    own = (Path(output_dir).parents[2] / 'own').read_text().split()\n"
    "    assert str(os.getppid()) not in own\n"
    "    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)",
    "(Path(output_dir) / 'square.txt').write_text(str(seed**2))\nrecord(square=seed**2)",
)
# Everything that could differ: texts, files, pictures, results, a failure, where it stands.
MANY_SIDED = (
    "import os, sys\nfrom pathlib import Path\nfrom workbench.runs import record\n"
    "import matplotlib.pyplot as plt",
    "print(Path.cwd().name, Path.cwd(), output_dir, seed, file=sys.stderr)\n"
    "os.environ['WORKBENCH_HEADLESS']",
    "(Path(output_dir) / 'deep').mkdir()\n"
    "(Path(output_dir) / 'deep' / 'bytes.bin').write_bytes(bytes(range(seed)))",
    "plt.plot([0, seed])\nplt.show()",
    "record(square=seed**2, word='ü', nothing=None, half=seed / 2)",
    "assert seed != 3, 'three is too much'",
)


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    from cluster_hosts import local_cluster

    with local_cluster(workers=2) as engine:
        yield engine


@pytest.fixture
def cluster_alone() -> Iterator[str]:
    """A cluster of this test's own, whose workers may be killed."""
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    from cluster_hosts import local_cluster

    with local_cluster(workers=2) as engine:
        yield engine


def tries(project: Path, seed: int) -> list[list[int]]:
    """Return the numbers of the kernel and of its parent, for each try of a deadly run."""
    lines = (project / f"tries-{seed}").read_text().splitlines()
    return [[int(number) for number in line.split()] for line in lines]


def write_deadly(project: Path, write_notebook: Writer) -> None:
    write_notebook("deadly", *DEADLY, parameters=PARAMETERS)
    (project / "own").write_text(f"{os.getpid()} {os.getppid()}")
    for path in project.glob("tries-*"):
        path.unlink()


def statuses(report: BatchReport) -> list[str]:
    return [each.status for each in report.runs]


def index(project: Path, params: Path) -> dict[int, Any]:
    records = read(project / "outputs" / "runs.jsonl")
    return {
        r["parameters"]["seed"]: r
        for r in records
        if r["notebook"] == params.parent.name and r["run"].startswith(f"{params.stem}-")
    }


@pytest.mark.soak
def test_a_worker_that_is_killed_loses_its_run_alone_which_is_done_again(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_deadly(project, write_notebook)
    params = write_params("deadly/once.yaml", "matrix: {seed: [2, 1]}\n")
    report = run(RunOptions(params=params, jobs=2, engine="processes"))
    assert statuses(report) == ["done", "done"]
    assert [each.results for each in report.runs] == [{"square": 4}, {"square": 1}]
    assert (report.runs[0].folder / "square.txt").read_text() == "4"
    assert [len(tries(project, seed)) for seed in (2, 1)] == [2, 1]
    assert not any(lives(pid) for line in tries(project, 2) for pid in line)
    assert len({parent for seed in (1, 2) for _, parent in tries(project, seed)}) > 1
    assert {seed: record["status"] for seed, record in index(project, params).items()} == {
        1: "done",
        2: "done",
    }
    left = {path.name for path in (project / "outputs" / "deadly").iterdir()}
    assert left == {".lock", *(each.run for each in report.runs)}
    assert kernels_of(project) == []


def check_a_sure_death(project: Path, params: Path, engine: str) -> None:
    """Check what becomes of a run that always kills its worker, and of those beside it."""
    report = run(RunOptions(params=params, jobs=2, engine=engine))
    assert statuses(report) == ["done", "failed", "done", "done"]
    failed = report.runs[1]
    assert failed.error is not None and failed.error["type"] == "LostWorkerError"
    assert "the worker died in every attempt" in failed.line()
    manifest = json.loads((failed.folder / "manifest.json").read_text())
    assert (manifest["error"], manifest["results"]) == (failed.error, {})
    assert index(project, params)[-1]["error"] == failed.error
    assert kernels_of(project) == []
    again = run(RunOptions(params=params, jobs=2, engine=engine))
    assert statuses(again) == ["already done", "failed before", "already done", "already done"]


@pytest.mark.soak
def test_a_run_that_always_kills_its_worker_has_failed_after_three_attempts(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_deadly(project, write_notebook)
    params = write_params("deadly/always.yaml", "matrix: {seed: [1, -1, 2, 3]}\n")
    check_a_sure_death(project, params, "processes")
    assert [len(tries(project, seed)) for seed in (1, -1, 2, 3)] == [1, 3, 2, 1]


@pytest.mark.soak
def test_a_run_that_always_kills_its_worker_has_failed_on_a_cluster_too(
    project: Path, write_notebook: Writer, write_params: Writer, cluster_alone: str
) -> None:
    write_deadly(project, write_notebook)
    params = write_params("deadly/remote.yaml", "matrix: {seed: [1, -1, 2, 3]}\n")
    check_a_sure_death(project, params, cluster_alone)


def told(folder: Path) -> dict[str, Any]:
    """Return all that lies below a folder, without what may differ: host and seconds."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            found[name] = {key: manifest[key] for key in manifest if key not in ("seconds", "host")}
        elif path.is_file() and not path.name.startswith("."):
            found[name] = path.read_bytes()
    return found


def indexed(outputs: Path) -> list[dict[str, Any]]:
    records = [
        {key: record[key] for key in record if key not in ("seconds", "host", "at")}
        for record in read(outputs / "runs.jsonl")
    ]
    return sorted(records, key=lambda record: (record["run"], record["attempt"]))


@pytest.mark.soak
def test_threads_processes_and_a_cluster_give_equal_results(
    project: Path, write_notebook: Writer, write_params: Writer, cluster: str, tmp_path: Path
) -> None:
    write_notebook("sided", *MANY_SIDED, parameters=PARAMETERS)
    params = write_params("sided/all.yaml", "matrix: {seed: [1, 2, 3, 4]}\n")
    results = {}
    for engine in ("threads", "processes", cluster):
        outputs = tmp_path / "outputs"
        options = RunOptions(params=params, outputs=outputs, jobs=2, engine=engine, retries=1)
        report = run(options)
        assert statuses(report) == ["done", "done", "failed", "done"]
        assert [each.results.get("square") for each in report.runs] == [1, 4, 9, 16]
        found = {name: c for name, c in told(outputs).items() if name != "runs.jsonl"}
        results[engine] = (found, indexed(outputs), [each.error for each in report.runs])
        shutil.rmtree(outputs)
    assert len(results["threads"][0]) == 4 * 3
    assert [record["attempt"] for record in results["threads"][1]].count(2) == 1
    assert results["processes"] == results["threads"]
    assert results[cluster] == results["threads"]


WAITING = (TELL_PID, "while not Path('go').exists():\n    time.sleep(0.02)\nprint(seed)")


def begun(project: Path, write_notebook: Writer, params: Path, engine: str) -> Any:
    """Start a sweep whose first two runs wait, and return its runner."""
    write_notebook("patient", *WAITING)
    (project / "go").unlink(missing_ok=True)
    shutil.rmtree(project / "pids", ignore_errors=True)
    runner = start(project, str(params), "-j", "2", "--engine", engine, "--json")
    wait_for(lambda: len(list((project / "pids").iterdir())) == 2, seconds=60)
    return runner


@pytest.mark.soak
def test_ctrl_c_lets_the_processes_at_work_come_to_their_end_and_the_second_kills_them(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    params = write_params("patient/all.yaml", "matrix: {seed: [1, 2, 3, 4]}\n")
    runner = begun(project, write_notebook, params, "processes")
    press_ctrl_c(runner)
    assert runner.stdout.readline().startswith(b"the runs at work come to their end")
    assert runner.poll() is None and len(kernels_of(project)) == 2
    press_ctrl_c(runner)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130, output
    runs = json.loads(output.splitlines()[-1])["runs"]
    assert [each["status"] for each in runs] == ["stopped"] * 2 + ["not begun"] * 2
    wait_for(lambda: not kernels_of(project), seconds=5)
    assert [path.name for path in (project / "outputs" / "patient").iterdir()] == [".lock"]

    runner = begun(project, write_notebook, params, "processes")
    press_ctrl_c(runner)
    assert runner.stdout.readline().startswith(b"the runs at work come to their end")
    (project / "go").touch()
    output, _ = runner.communicate(timeout=60)
    runs = json.loads(output.splitlines()[-1])["runs"]
    assert [each["status"] for each in runs] == ["done"] * 2 + ["not begun"] * 2
    assert set(index(project, params)) == {1, 2}
    assert statuses(run(RunOptions(params=params, jobs=2, engine="processes"))) == [
        *["already done"] * 2,
        *["done"] * 2,
    ]


@pytest.mark.soak
def test_what_a_cluster_is_at_work_on_ends_there_after_ctrl_c_and_is_found_later(
    project: Path, write_notebook: Writer, write_params: Writer, cluster: str
) -> None:
    params = write_params("patient/remote.yaml", "matrix: {seed: [1, 2, 3]}\n")
    runner = begun(project, write_notebook, params, cluster)
    press_ctrl_c(runner)
    assert runner.stdout.readline().startswith(b"the runs at work come to their end")
    press_ctrl_c(runner)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    assert b"what the cluster is at work on cannot be stopped" in output
    (project / "go").touch()
    wait_for(lambda: len(list((project / "outputs" / "patient").glob("remote-*"))) == 2)
    report = run(RunOptions(params=params, engine=cluster))
    assert statuses(report) == ["already done", "already done", "done"]
    assert set(index(project, params)) == {1, 2, 3}


@pytest.mark.soak
def test_a_runner_killed_over_processes_leaves_no_kernel_and_is_resumed(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    params = write_params("patient/killed.yaml", "matrix: {seed: [1, 2, 3]}\n")
    runner = begun(project, write_notebook, params, "processes")
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=30)
    wait_for(lambda: not kernels_of(project), seconds=10)
    (project / "go").touch()
    report = run(RunOptions(params=params, jobs=2, engine="processes"))
    assert statuses(report) == ["done"] * 3


def test_a_worker_that_sees_other_files_says_what_to_mount_and_writes_nothing(
    tmp_path: Path, project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    write_notebook("far", "x = 1")
    (planned,) = plan(write_params("far/x.yaml", ""), project)
    here, copied = tmp_path / "here", tmp_path / "copied"
    with alone(here, ["far.x"]):
        shutil.copytree(here, copied)
    with alone(here, ["far.x"]) as mark:
        for outputs, folder, words in (
            (copied, project, f"{copied} on "),
            (tmp_path / "absent", project, "mount the same file system at that path"),
            (here, tmp_path / "gone", f"{tmp_path / 'gone'}, where notebooks run, is not there"),
        ):
            (report,) = carry_out(assignment(planned, outputs=outputs, here=folder, mark=mark))
            assert (report.status, report.is_kept) == ("failed", False)
            assert words in report.line()
    assert not list(tmp_path.rglob("far")) and not (tmp_path / "absent").exists()


def assignment(planned: PlannedRun, **given: Any) -> Assignment:
    more: dict[str, Any] = {"runner": "runner", "lock": "far.x", "git": None, "retries": 0}
    more |= {"timeout_seconds": 0.0, "min_free_mb": 0, "top": given["here"]}
    return Assignment(planned=planned, **more, **given)


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("proceses", "is none of 'threads', 'processes', 'dask:ADDRESS'"),
        ("dask:tcp://10.0.0.7:8786", "tls://"),
        ("dask:", "engine: "),
    ],
)
def test_an_engine_that_is_none_is_refused(engine: str, told: str) -> None:
    with pytest.raises(OptionsError, match=r"^engine: ") as refusal:
        RunOptions(params=Path("x.yaml"), engine=engine)
    assert told in str(refusal.value)


def test_a_run_that_is_handed_on_carries_no_secret_of_the_runner(
    project: Path, write_notebook: Writer, write_params: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2hunter2")
    write_notebook("handed", "x = 1")
    (planned,) = plan(write_params("handed/x.yaml", ""), project)
    given = assignment(planned, outputs=project, here=project, mark="m")
    assert b"hunter2" not in pickle.dumps(given)
    assert pickle.loads(pickle.dumps(given)) == given
    assert str(given) == f"handed/{planned.name}"
