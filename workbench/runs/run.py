"""Runs: notebooks executed headless, each result a folder that appears whole or not at all.

`outputs/NAME/RUN/` holds the executed notebook, `manifest.json` and the files that the notebook
wrote into its `output_dir`. RUN is the yaml's stem and the first digits of a fingerprint of the
code cells, the parameters and the workbench sources that the notebook imports
(workbench.runs.sources): the same run has the same name, and is done once. Data that a notebook
reads is not in the fingerprint. A notebook that fails leaves `RUN.failed/` instead, and is not
tried again before somebody asks for it. A runner may be killed at any moment: the same command
goes on, what was left half-done is removed, and no kernel lives on. `outputs/runs.jsonl` lists
what became of each run (workbench.runs.journal).

Runs are done by threads, by processes or by a cluster, with the same results
(workbench.runs.attempt); the runner alone keeps the index and tells the progress.
"""

import dataclasses
import functools
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from workbench import options as option_rules
from workbench.progress import Show, silent
from workbench.runs import journal
from workbench.runs.attempt import (
    Assignment,
    RunReport,
    Status,
    Watch,
    attempts,
    carry_out,
    check_disk,
    clean_files,
    give_up,
    report_of,
)
from workbench.runs.batch import PlannedRun, plan
from workbench.runs.execution import Failure, Hold
from workbench.runs.manifest import FAILED, git_state, read_manifest
from workbench.runs.occupying import alone, occupied
from workbench.runs.places import root
from workbench.runs.redaction import Redaction, environment_secrets
from workbench.runs.schedule import BatchProgress, Interrupts, side_by_side
from workbench.streaming.pools import LostWorkerError
from workbench.streaming.workers import DASK, engine_mistakes

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
        engine: What runs them: `threads`, each of which waits for a kernel; `processes`, of which
            one that dies is replaced; or `dask:ADDRESS`, the scheduler of a cluster whose machines
            see the same files. The results are the same with any.
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
    engine: str = "threads"
    retry_failed: bool = False
    retries: int = 0
    max_failures: int = 0
    timeout_seconds: float = 0.0
    min_free_mb: int = 200

    def __post_init__(self) -> None:
        option_rules.check(self)
        option_rules.refuse(engine_mistakes("engine", self.engine))


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
    git: dict[str, Any] | None
    progress: BatchProgress
    interrupts: Interrupts
    holds: list[Hold] = field(default_factory=list)

    def folder(self, planned: PlannedRun) -> Path:
        return self.outputs / planned.notebook / planned.name


class _StoppedError(Exception):
    """Ctrl-C was pressed again, and nobody waits for the runs at work."""


def run(options: RunOptions, show: Show = silent) -> BatchReport:
    """Do the runs that a params file asks for, several at once when asked.

    Everything is checked before the first kernel starts, and every run is tried though one
    before it failed. Ctrl-C lets the runs at work come to their end and begins no more; pressed
    again, it kills their kernels, and nothing is left of them; but what another machine is at work
    on comes to its end there. The same call goes on.

    Args:
        options: What is run.
        show: Told each code cell as it is done, or with several jobs or processes how many runs
            are; one thread at a time calls it.

    Raises:
        OptionsError: With every mistake of the params file; nothing was started.
        RunsError: There is no project around the params file, another runner is at work on it,
            or the disk is full.
        StreamingError: There is no cluster at the address, or it is lost.
    """
    top = root(options.params.parent)
    planned = plan(options.params, top)
    setting = _Setting(
        top=top,
        outputs=(options.outputs or top / "outputs").resolve(),
        options=options,
        git=git_state(top),
        progress=BatchProgress(
            show,
            stage=options.params.stem,
            total=len(planned),
            shows_cells=options.jobs == 1 and options.engine == "threads",
        ),
        interrupts=Interrupts(),
    )
    with alone(setting.outputs, map(_lock, planned)) as mark:
        check_disk(setting.outputs, options.min_free_mb)
        return _work_through(planned, setting, mark)


def _lock(planned: PlannedRun) -> str:
    """Return what is held while a run's params file is at work: the notebook and the stem."""
    return f"{planned.notebook}.{planned.name.rpartition('-')[0]}"


def _work_through(planned: Sequence[PlannedRun], setting: _Setting, mark: str) -> BatchReport:
    """Do what is to be done, and complete the index with what is done already."""
    notebooks = {item.notebook for item in planned}
    _sweep(notebooks, setting)
    reports = [_found(item, setting) for item in planned]
    _index_found(planned, reports, setting)
    for report in reports:
        if report.status != "not begun":
            setting.progress.ended(is_fresh=False, is_failed=report.is_failed)
    _Batch(planned, reports, setting).work(mark)
    if setting.options.engine == "processes":  # one that died left what it was at work on
        _sweep(notebooks, setting)
    return BatchReport(runs=tuple(reports), is_interrupted=setting.interrupts.count > 0)


def _sweep(notebooks: Iterable[str], setting: _Setting) -> None:
    for notebook in notebooks:
        with suppress(OSError), occupied(setting.outputs / notebook):
            pass  # whoever is alone there sweeps; a folder that cannot be fails its own runs


class _Batch:
    """Runs that are begun, told and put into the index as each comes to its end."""

    def __init__(
        self, planned: Sequence[PlannedRun], reports: list[RunReport], setting: _Setting
    ) -> None:
        self._planned = planned
        self._reports = reports
        self._setting = setting
        self._places = [n for n, report in enumerate(reports) if report.status == "not begun"]
        self._at_work: set[str] = set()
        self._is_told = False

    def work(self, mark: str) -> None:
        """Do the runs that are not begun, and put what became of them among the reports.

        Args:
            mark: What stands in the runner's lock.
        """
        options = self._setting.options
        assignments = [self._assignment(self._planned[place], mark) for place in self._places]
        settled = side_by_side(
            carry_out if options.engine != "threads" else self._watched(),
            assignments,
            engine=options.engine,
            jobs=options.jobs,
            goes_on=self._begins,
            lost=_lost,
            tick=self._tick,
        )
        with self._setting.interrupts.heard(), closing(settled):
            try:
                for number, reports in settled:
                    self._take(self._places[number], reports)
            except _StoppedError:
                self._leave(assignments)

    def _assignment(self, planned: PlannedRun, mark: str) -> Assignment:
        setting = self._setting
        return Assignment(
            planned=planned,
            outputs=setting.outputs,
            top=setting.top,
            here=Path.cwd(),
            runner=socket.gethostname(),
            lock=_lock(planned),
            mark=mark,
            git=setting.git,
            retries=setting.options.retries,
            timeout_seconds=setting.options.timeout_seconds,
            min_free_mb=setting.options.min_free_mb,
        )

    def _watched(self) -> Callable[[Assignment], tuple[RunReport, ...]]:
        """Return what does a run in a thread of this process."""
        setting = self._setting
        watch = Watch(
            show=setting.progress.cell,
            holds=setting.holds,
            is_left=lambda: setting.interrupts.count > 0,
        )
        return functools.partial(attempts, watch=watch)

    def _begins(self, assignment: Assignment) -> bool:
        """Begin a run, unless Ctrl-C was pressed or too many have failed."""
        limit = self._setting.options.max_failures
        failures = sum(report.status == "failed" for report in self._reports)
        if self._setting.interrupts.count or (limit and failures >= limit):
            return False
        self._at_work.add(str(assignment))
        self._setting.progress.begun()
        return True

    def _take(self, place: int, reports: Sequence[RunReport]) -> None:
        """Take the reports on all attempts at a run."""
        planned = self._planned[place]
        if self._setting.options.engine.startswith(DASK):
            reports = [_blotted(report) for report in reports]
        for attempt, report in enumerate(reports, start=1):
            if report.is_kept:
                _index(planned, report, self._setting, attempt=attempt)
        self._reports[place] = reports[-1]
        self._at_work.discard(f"{planned.notebook}/{planned.name}")
        self._setting.progress.ended(is_fresh=True, is_failed=reports[-1].is_failed)

    def _leave(self, assignments: Sequence[Assignment]) -> None:
        """Tell of the runs at work what they left, if they came to an end unheard."""
        endings: dict[Status, Status] = {"already done": "done", "failed before": "failed"}
        for place, assignment in zip(self._places, assignments, strict=True):
            if str(assignment) in self._at_work:
                found = _found(assignment.planned, self._setting)
                status = endings.get(found.status, "stopped")
                self._take(place, [dataclasses.replace(found, status=status)])

    def _tick(self) -> None:
        """Do what Ctrl-C asks for: say once what goes on, and at the second stop it.

        Raises:
            _StoppedError: Other processes do the runs; those on this computer are killed for it.
        """
        count, engine = self._setting.interrupts.count, self._setting.options.engine
        if count and not self._is_told:
            self._is_told = True
            logger.warning("the runs at work come to their end; Ctrl-C again stops them at once")
        if count > 1 and engine.startswith(DASK):
            logger.warning("what the cluster is at work on cannot be stopped; it ends there")
        if count > 1 and engine != "threads":
            raise _StoppedError
        if count > 1:
            for hold in list(self._setting.holds):
                hold.end("stopped")


def _lost(assignment: Assignment) -> tuple[RunReport, ...]:
    """Leave a run as failed whose worker died whenever it was at work on it."""
    message = (
        "the worker died in every attempt (killed, or out of memory); give it more memory, or "
        "leave the run out"
    )
    failure = Failure(type=LostWorkerError.__name__, message=message, cell=None)
    return (give_up(assignment, failure),)


def _blotted(report: RunReport) -> RunReport:
    """Return a report from another machine without the secrets that only this one knows of.

    Whoever did the run has blotted out its own, which its kernel could read.
    """
    redaction = Redaction(secrets=environment_secrets(os.environ))
    if report.is_kept:
        clean_files(report.folder, redaction)
    results, error = redaction.tree(report.results), redaction.tree(report.error)
    return dataclasses.replace(report, results=results, error=error)


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
            return report_of(planned, place, found, status)
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
        "host": report.host or socket.gethostname(),
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
