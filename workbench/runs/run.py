"""Runs: notebooks executed headless, each result a folder that appears whole or not at all.

`outputs/NAME/RUN/` holds the executed notebook, `manifest.json` and the files that the notebook
wrote into its `output_dir`. RUN is the yaml's stem and the first digits of a fingerprint of the
code cells, the parameters and the workbench sources: the same run has the same name, and is done
once. Data that a notebook reads is not in the fingerprint. A notebook that fails leaves
`RUN.failed/` instead, and is not tried again before somebody asks for it. A runner may be killed
at any moment: the same command goes on, what was left half-done is removed, and no kernel lives
on. `outputs/runs.jsonl` lists what became of each run (workbench.runs.journal).
"""

import dataclasses
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from workbench import options as option_rules
from workbench.caching.files import replacing_folder
from workbench.errors import RunsError, WorkbenchError
from workbench.progress import Show, silent
from workbench.runs import journal
from workbench.runs.batch import PlannedRun, plan
from workbench.runs.execution import Execution, Failure, Hold, KernelStoppedError
from workbench.runs.manifest import MANIFEST, git_state, installed_versions, manifest, read_manifest
from workbench.runs.notebooks import tidied
from workbench.runs.occupying import alone, occupied
from workbench.runs.parameters import OUTPUT_DIR
from workbench.runs.places import PACKAGE, root
from workbench.runs.record import Recorded
from workbench.runs.redaction import Redaction, environment_secrets
from workbench.runs.schedule import BatchProgress, Engine, Interrupts, side_by_side

FAILED = ".failed"
MEGABYTE = 1_000_000

Status = Literal["done", "already done", "failed", "failed before", "stopped", "not begun"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is run, how, and where its results go.

    Attributes:
        params: The yaml file: values for the notebook that its folder is named after, with
            `matrix`, `include` and `exclude` for a sweep, or a list `runs:` of several notebooks.
        outputs: The folder for results, as NAME/RUN; the project's outputs/ when not given.
        again: Whether a run that is done or failed already is done again and replaced; without
            it, it is reported and skipped.
        jobs: How many runs are at work at once [1..256].
        engine: What runs them: threads, each of which waits for a kernel.
        retry_failed: Whether a run that an earlier command left as failed is tried again.
        retries: How often a run that fails is tried again at once [0..].
        max_failures: Begin no more runs when this many failed, 0 is never [0..].
        timeout_seconds: How long one run may take before it has failed, 0 is for ever [0..].
        min_free_mb: Begin no run with less free disk than this, MB [0..].
    """

    params: Path = field(kw_only=False)  # the one word of the command line without a flag
    outputs: Path | None = None
    again: bool = False
    jobs: Annotated[int, Parameter(alias="-j")] = 1
    engine: Engine = "threads"
    retry_failed: bool = False
    retries: int = 0
    max_failures: int = 0
    timeout_seconds: float = 0.0
    min_free_mb: int = 200

    def __post_init__(self) -> None:
        option_rules.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What became of one run.

    Attributes:
        notebook: The notebook's name.
        run: The run's name.
        status: `done`, `already done` (by an earlier command, and left alone), `failed`, `failed
            before` (likewise), `stopped` (by Ctrl-C; nothing is left of it) or `not begun`.
        folder: Where everything lies; that of the failed run when it failed.
        seconds: Wall-clock seconds of the notebook.
        results: What it recorded.
        error: Type, message and cell of the failure, or None.
    """

    notebook: str
    run: str
    status: Status
    folder: Path
    seconds: float = 0.0
    results: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    @property
    def is_done(self) -> bool:
        """Whether its results are there."""
        return self.status in ("done", "already done")

    @property
    def is_failed(self) -> bool:
        """Whether it was tried and failed."""
        return self.status in ("failed", "failed before")

    def line(self) -> str:
        """Return the report as one line of text."""
        if self.status in ("stopped", "not begun"):
            return f"{self.status}: {self.folder}"
        line = f"{self.status}: {self.folder}, {self.seconds:.1f} s"
        if self.error is not None:
            cell = f"cell {self.error['cell']}: " if self.error["cell"] else ""
            return f"{line}; {cell}{self.error['type']}: {self.error['message']}"
        return f"{line}; {Recorded(values=self.results)!r}" if self.results else line


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What became of all runs of a params file, in its order.

    Attributes:
        runs: One report a run.
        is_interrupted: Whether Ctrl-C was pressed before all were at their end.
    """

    runs: tuple[RunReport, ...]
    is_interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every run is done, 130 after Ctrl-C, else 1."""
        if all(report.is_done for report in self.runs):
            return 0
        return 130 if self.is_interrupted else 1

    def lines(self) -> list[str]:
        """Return one line of text a run, and what to do about those that are not done."""
        lines = [report.line() for report in self.runs]
        if any(report.status in ("stopped", "not begun") for report in self.runs):
            lines.append("the same command goes on with what was stopped or not begun")
        if any(report.status == "failed before" for report in self.runs):
            lines.append("--retry-failed tries again what failed before")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's kinds."""
        runs = [dataclasses.asdict(r) | {"folder": r.folder.as_posix()} for r in self.runs]
        return {"runs": runs, "is_interrupted": self.is_interrupted}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What all runs of a batch share."""

    top: Path
    outputs: Path
    options: RunOptions
    secrets: tuple[str, ...]
    versions: dict[str, str]
    git: dict[str, Any] | None
    progress: BatchProgress
    interrupts: Interrupts
    holds: list[Hold] = field(default_factory=list)

    def folder(self, planned: PlannedRun) -> Path:
        return self.outputs / planned.notebook / planned.name


def run(options: RunOptions, show: Show = silent) -> BatchReport:
    """Do the runs that a params file asks for, several at once when asked.

    Everything is checked before the first kernel starts, and every run is tried though one
    before it failed. Ctrl-C lets the runs at work come to their end and begins no more; pressed
    again, it kills their kernels, and nothing is left of them. The same call goes on.

    Args:
        options: What is run.
        show: Told each code cell as it is done, or with several jobs how many runs are; one
            thread at a time calls it.

    Raises:
        OptionsError: With every mistake of the params file; nothing was started.
        RunsError: There is no project around the params file, another runner is at work on it,
            or the disk is full.
    """
    top = root(options.params.parent)
    planned = plan(options.params, top)
    setting = _Setting(
        top=top,
        outputs=(options.outputs or top / "outputs").resolve(),
        options=options,
        secrets=environment_secrets(os.environ),
        versions=installed_versions(),
        git=git_state(top),
        progress=BatchProgress(
            show, stage=options.params.stem, total=len(planned), jobs=options.jobs
        ),
        interrupts=Interrupts(),
    )
    names = [f"{item.notebook}.{item.name.rpartition('-')[0]}" for item in planned]
    with alone(setting.outputs, names):
        _check_disk(setting)
        return _work_through(planned, setting)


def _work_through(planned: Sequence[PlannedRun], setting: _Setting) -> BatchReport:
    """Do what is to be done, and complete the index with what is done already."""
    for notebook in {item.notebook for item in planned}:
        with suppress(OSError), occupied(setting.outputs / notebook):
            pass  # whoever is alone there sweeps; a folder that cannot be fails its own runs
    reports = [_found(item, setting) for item in planned]
    _index_found(planned, reports, setting)
    for report in reports:
        if report.status != "not begun":
            setting.progress.ended(is_fresh=False, is_failed=report.is_failed)
    places = [place for place, report in enumerate(reports) if report.status == "not begun"]
    limit = setting.options.max_failures

    def goes_on() -> bool:
        failures = sum(report.status == "failed" for report in reports)
        return not setting.interrupts.count and not (limit and failures >= limit)

    with setting.interrupts.heard():
        for number, report in side_by_side(
            lambda place: _settle(planned[place], setting),
            places,
            engine=setting.options.engine,
            jobs=setting.options.jobs,
            goes_on=goes_on,
            tick=_Tick(setting),
        ):
            reports[places[number]] = report
            setting.progress.ended(is_fresh=True, is_failed=report.is_failed)
    return BatchReport(runs=tuple(reports), is_interrupted=setting.interrupts.count > 0)


class _Tick:
    """Does what Ctrl-C asks for: says once what goes on, and at the second kills the kernels."""

    def __init__(self, setting: _Setting) -> None:
        self._setting = setting
        self._is_told = False

    def __call__(self) -> None:
        count = self._setting.interrupts.count
        if count and not self._is_told:
            self._is_told = True
            logger.warning("the runs at work come to their end; Ctrl-C again stops them at once")
        if count > 1:
            for hold in list(self._setting.holds):
                hold.end("stopped")


def _found(planned: PlannedRun, setting: _Setting) -> RunReport:
    """Return what an earlier command left of a run; it is `not begun` when it is to be done."""
    folder, options = setting.folder(planned), setting.options
    failed = folder.with_name(folder.name + FAILED)
    statuses: tuple[tuple[Path, Status, bool], ...] = (
        (folder, "already done", options.again),
        (failed, "failed before", options.again or options.retry_failed),
    )
    for place, status, is_redone in statuses:
        found = read_manifest(place)
        if found is not None and found["fingerprint"] == planned.fingerprint and not is_redone:
            return _report(planned, place, found, status=status)
    return RunReport(notebook=planned.notebook, run=planned.name, status="not begun", folder=folder)


def _index_found(
    planned: Sequence[PlannedRun], reports: Sequence[RunReport], setting: _Setting
) -> None:
    """Add the records that a kill kept from being written beside their runs."""
    path = setting.outputs / journal.JOURNAL
    known = {(r["notebook"], r["run"], r["status"]) for r in journal.read(path)}
    for item, report in zip(planned, reports, strict=True):
        status: Status = "done" if report.is_done else "failed"
        is_found = report.status != "not begun"
        if is_found and (item.notebook, item.name, status) not in known:
            _index(item, dataclasses.replace(report, status=status), setting, attempt=1)


def _index(planned: PlannedRun, report: RunReport, setting: _Setting, *, attempt: int) -> None:
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "notebook": planned.notebook,
        "run": planned.name,
        "fingerprint": planned.fingerprint,
        "status": report.status,
        "attempt": attempt,
        "seconds": report.seconds,
        "parameters": dict(planned.values),
        "results": dict(report.results),
        "error": report.error,
    }
    journal.append(setting.outputs / journal.JOURNAL, record)


def _settle(planned: PlannedRun, setting: _Setting) -> RunReport:
    """Do one run, and again where it fails and may be tried again."""
    setting.progress.begun()
    for attempt in range(1, setting.options.retries + 2):
        report = _attempt(planned, setting, attempt)
        if report.status != "failed" or setting.interrupts.count:
            break
    return report


def _attempt(planned: PlannedRun, setting: _Setting, attempt: int) -> RunReport:
    """Try one run, and put what came of it into the index."""
    folder = setting.folder(planned)
    try:
        with occupied(folder.parent):
            _check_disk(setting)
            report = _run_one(planned, folder, setting)
            _index(planned, report, setting, attempt=attempt)
            return report
    except KernelStoppedError:
        return RunReport(
            notebook=planned.notebook, run=planned.name, status="stopped", folder=folder
        )
    except (WorkbenchError, OSError) as error:
        told = {"type": type(error).__name__, "message": str(error), "cell": None}
        return RunReport(
            notebook=planned.notebook, run=planned.name, status="failed", folder=folder, error=told
        )


def _check_disk(setting: _Setting) -> None:
    """Refuse to begin on a disk that is nearly full.

    Raises:
        RunsError: There is less free than was asked for.
    """
    free = shutil.disk_usage(setting.outputs).free
    if free < setting.options.min_free_mb * MEGABYTE:
        raise RunsError(
            f"{setting.outputs}: {free // MEGABYTE} MB free, want {setting.options.min_free_mb}; "
            "make room, or ask for less by --min-free-mb"
        )


def _run_one(planned: PlannedRun, folder: Path, setting: _Setting) -> RunReport:
    """Execute one notebook and put its folder in place.

    Raises:
        KernelStoppedError: Its kernel was killed by Ctrl-C.
    """
    # papermill takes 2 s to import, which a refused params file need not wait for.
    from workbench.runs.kernel import execute  # noqa: PLC0415

    scratch = tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{planned.name}.", suffix=".part"
    )
    with scratch as name, _held(setting) as hold:
        work = Path(name)
        values = {**planned.values, **({OUTPUT_DIR: name} if planned.has_output_dir else {})}
        execution = execute(
            planned.content,
            values,
            stage=f"{planned.notebook} {planned.name}",
            show=setting.progress.cell,
            timeout_seconds=setting.options.timeout_seconds,
            hold=hold,
        )
        execution = _checked(execution, planned, work)
        return _put(planned, execution, work, folder, setting)


@contextmanager
def _held(setting: _Setting) -> Iterator[Hold]:
    """Give a hold on a kernel, which the second Ctrl-C ends."""
    hold = Hold()
    setting.holds.append(hold)
    try:
        yield hold
    finally:
        setting.holds.remove(hold)


def _put(
    planned: PlannedRun, execution: Execution, work: Path, folder: Path, setting: _Setting
) -> RunReport:
    """Write an executed run to its folder, or to the one of the failed run."""
    from workbench.runs.kernel import file_text  # noqa: PLC0415

    redaction = Redaction(secrets=setting.secrets, places=_places(work, setting.top))
    told = redaction.tree(
        manifest(planned, execution, versions=setting.versions, git=setting.git)
    ) | {"parameters": dict(planned.values)}
    failed = folder.with_name(folder.name + FAILED)
    target = folder if execution.failure is None else failed
    with replacing_folder(target) as scratch:
        for child in list(work.iterdir()):
            child.rename(scratch / child.name)
        _clean_files(scratch, redaction)
        text = file_text(redaction.tree(tidied(execution.notebook)))
        (scratch / f"{planned.notebook}.ipynb").write_text(text, encoding="utf-8")
        text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        (scratch / MANIFEST).write_text(text, encoding="utf-8")
    if target == folder:
        shutil.rmtree(failed, ignore_errors=True)
    return _report(planned, target, told, status="done" if target == folder else "failed")


def _report(
    planned: PlannedRun,
    folder: Path,
    told: Mapping[str, Any],
    *,
    status: Status,
) -> RunReport:
    return RunReport(
        notebook=planned.notebook,
        run=planned.name,
        status=status,
        folder=folder,
        seconds=told["seconds"],
        results=told["results"],
        error=told["error"],
    )


def _checked(execution: Execution, planned: PlannedRun, work: Path) -> Execution:
    """Return the execution, failed when the notebook wrote under the run's own names."""
    own = (MANIFEST, f"{planned.notebook}.ipynb")
    taken = [name for name in own if (work / name).exists()]
    if execution.failure is not None or not taken:
        return execution
    message = f"the notebook wrote {' and '.join(taken)}, which the run itself writes; rename it"
    failure = Failure(type=RunsError.__name__, message=message, cell=None)
    return dataclasses.replace(execution, failure=failure)


def _clean_files(folder: Path, redaction: Redaction) -> None:
    """Drop links that lead nowhere and blot secrets out of what the notebook wrote."""
    for path in list(folder.rglob("*")):
        if path.is_symlink() and not path.exists():
            logger.warning("%s: a link to nowhere is left out", path.name)
            path.unlink()
    for name in redaction.folder(folder):
        logger.warning("%s: a secret in it was blotted out", name)


def _places(work: Path, top: Path) -> tuple[tuple[str, str], ...]:
    """Return what stands for the absolute paths of this computer in a run's texts."""
    stand_ins = {
        Path.cwd(): "HERE",
        PACKAGE.parent: "WORKBENCH",
        Path(tempfile.gettempdir()): "TMP",
        Path.home(): "~",
        Path(sys.prefix): "PYTHON",
        top: "PROJECT",
    }
    both = {str(form): word for path, word in stand_ins.items() for form in (path, path.resolve())}
    both.pop("/", None)
    return (*both.items(), (f"{work}/", ""), (str(work), "."))
