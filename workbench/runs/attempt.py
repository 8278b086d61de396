"""One run as it is handed to whoever does it, and what comes of it.

It is the same in a thread of the runner, in a process beside it and on another machine: the
notebook comes along, its kernel stands in the runner's folder, and the run's folder is put in
place under the path that the runner knows. So all of them must see the same files. No secret comes
along: whoever does a run blots out those of its own environment, which are all that the kernel has.
"""

import dataclasses
import functools
import itertools
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench.caching.files import replacing_folder
from workbench.errors import RunsError, WorkbenchError
from workbench.progress import Show, silent
from workbench.runs.batch import PlannedRun
from workbench.runs.execution import Execution, Failure, Hold, KernelStoppedError
from workbench.runs.manifest import FAILED, MANIFEST, installed_versions, manifest
from workbench.runs.notebooks import tidied
from workbench.runs.occupying import is_marked, occupied
from workbench.runs.parameters import OUTPUT_DIR
from workbench.runs.places import PACKAGE
from workbench.runs.record import Recorded
from workbench.runs.redaction import Redaction, environment_secrets

MEGABYTE = 1_000_000

Status = Literal["done", "already done", "failed", "failed before", "stopped", "not begun"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A run that is to be done.

    Attributes:
        planned: Which, with its notebook.
        outputs: The folder of all results.
        top: The project's top folder.
        here: The folder that the kernel stands in.
        runner: Name of the computer that hands it out.
        lock: What the runner holds below `outputs`.
        mark: What stands in that lock.
        git: State of the project's checkout, or None.
        retries: How often it is tried again when it fails.
        timeout_seconds: How long it may take before it has failed, 0 is for ever.
        min_free_mb: How much disk must be free before it begins, MB.
    """

    planned: PlannedRun
    outputs: Path
    top: Path
    here: Path
    runner: str
    lock: str
    mark: str
    git: Mapping[str, Any] | None
    retries: int
    timeout_seconds: float
    min_free_mb: int

    def __str__(self) -> str:
        return f"{self.planned.notebook}/{self.planned.name}"

    @property
    def folder(self) -> Path:
        """Where the run's folder goes when it is done."""
        return self.outputs / self.planned.notebook / self.planned.name


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
        host: Name of the computer that did it; empty where none did.
    """

    notebook: str
    run: str
    status: Status
    folder: Path
    seconds: float = 0.0
    results: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    host: str = ""

    @property
    def is_done(self) -> bool:
        """Whether its results are there."""
        return self.status in ("done", "already done")

    @property
    def is_failed(self) -> bool:
        """Whether it was tried and failed."""
        return self.status in ("failed", "failed before")

    @property
    def is_kept(self) -> bool:
        """Whether it came to an end just now, and its folder is there."""
        is_tried = self.status in ("done", "failed")
        return is_tried and (self.status == "done") != self.folder.name.endswith(FAILED)

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
class Watch:
    """How a runner keeps in touch with a run that one of its own threads does.

    Attributes:
        show: Told each code cell as it is done.
        holds: Where the hold on the kernel is while it runs.
        is_left: Whether a run that failed is not tried again any more.
    """

    show: Show
    holds: list[Hold]
    is_left: Callable[[], bool]


def carry_out(assignment: Assignment) -> tuple[RunReport, ...]:
    """Do a run where nobody watches it: in another process, or on another machine.

    Returns:
        A report on each attempt.
    """
    watch = Watch(show=silent, holds=[], is_left=lambda: False)
    if mistake := _unseen(assignment):
        return (_untried(assignment, RunsError(mistake)),)
    return attempts(assignment, watch)


def attempts(assignment: Assignment, watch: Watch) -> tuple[RunReport, ...]:
    """Do a run, and again where it fails and may be tried again; return a report on each."""
    reports = [_attempt(assignment, watch)]
    while reports[-1].status == "failed" and len(reports) <= assignment.retries:
        if watch.is_left():
            break
        reports.append(_attempt(assignment, watch))
    return tuple(reports)


def give_up(assignment: Assignment, failure: Failure) -> RunReport:
    """Leave a run as failed of which no attempt came to an end."""
    execution = Execution(notebook=assignment.planned.content, seconds=0.0, failure=failure)
    try:
        with occupied(assignment.folder.parent, sweeps=False), _scratch(assignment) as name:
            return _put(assignment, execution, Path(name))
    except (WorkbenchError, OSError) as error:
        return _untried(assignment, error)


def report_of(
    planned: PlannedRun, folder: Path, told: Mapping[str, Any], status: Status
) -> RunReport:
    """Return what the manifest in a run's folder tells."""
    return RunReport(
        notebook=planned.notebook,
        run=planned.name,
        status=status,
        folder=folder,
        seconds=told["seconds"],
        results=told["results"],
        error=told["error"],
        host=told.get("host", ""),
    )


def check_disk(outputs: Path, min_free_mb: int) -> None:
    """Refuse to begin on a disk that is nearly full.

    Raises:
        RunsError: There is less free than was asked for.
    """
    free = shutil.disk_usage(outputs).free
    if free < min_free_mb * MEGABYTE:
        raise RunsError(
            f"{outputs}: {free // MEGABYTE} MB free, want {min_free_mb}; "
            "make room, or ask for less by --min-free-mb"
        )


def clean_files(folder: Path, redaction: Redaction) -> None:
    """Drop links that lead nowhere and blot secrets out of what the notebook wrote, and names."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder before the folder
        name = redaction.text(path.name)
        if path.is_symlink() and not path.exists():
            logger.warning("%s: a link to nowhere is left out", name)
            path.unlink()
        elif name != path.name:
            logger.warning("%s: a secret in its name was blotted out", name)
            path.rename(_free_name(path.with_name(name)))
    for name in redaction.folder(folder):
        logger.warning("%s: a secret in it was blotted out", name)


def _unseen(assignment: Assignment) -> str | None:
    """Return what this computer does not see of the runner's files, or None."""
    host, runner = socket.gethostname(), assignment.runner
    if not is_marked(assignment.outputs, assignment.lock, assignment.mark):
        return (
            f"{assignment.outputs} on {host} is not the folder that {runner} writes to, so nothing "
            "was run; mount the same file system at that path on every worker, or name another "
            "folder by --outputs"
        )
    if not assignment.here.is_dir():
        return (
            f"{assignment.here}, where notebooks run, is not there on {host}; mount it as it is on "
            f"{runner}, or start from a folder that every worker sees"
        )
    return None


def _attempt(assignment: Assignment, watch: Watch) -> RunReport:
    """Try a run once."""
    try:
        with occupied(assignment.folder.parent, sweeps=False):
            check_disk(assignment.outputs, assignment.min_free_mb)
            return _run_one(assignment, watch)
    except KernelStoppedError:
        return dataclasses.replace(_untried(assignment), status="stopped")
    except (WorkbenchError, OSError) as error:
        return _untried(assignment, error)


def _untried(assignment: Assignment, error: Exception | None = None) -> RunReport:
    """Return the report on a run that left nothing."""
    told = {"type": type(error).__name__, "message": str(error), "cell": None}
    return RunReport(
        notebook=assignment.planned.notebook,
        run=assignment.planned.name,
        status="failed",
        folder=assignment.folder,
        error=told if error else None,
        host=socket.gethostname(),
    )


def _run_one(assignment: Assignment, watch: Watch) -> RunReport:
    """Execute a notebook and put its folder in place.

    Raises:
        KernelStoppedError: Its kernel was killed by Ctrl-C.
    """
    # papermill takes 2 s to import, which a refused params file need not wait for.
    from workbench.runs.kernel import execute  # noqa: PLC0415

    planned = assignment.planned
    hold = Hold()
    watch.holds.append(hold)
    try:
        with _scratch(assignment) as name:
            execution = execute(
                planned.content,
                {**planned.values, **({OUTPUT_DIR: name} if planned.has_output_dir else {})},
                stage=f"{planned.notebook} {planned.name}",
                show=watch.show,
                timeout_seconds=assignment.timeout_seconds,
                hold=hold,
                here=assignment.here,
            )
            return _put(assignment, _checked(execution, planned, Path(name)), Path(name))
    finally:
        watch.holds.remove(hold)


def _scratch(assignment: Assignment) -> "tempfile.TemporaryDirectory[str]":
    """Return the folder that a run writes into while it is at work."""
    return tempfile.TemporaryDirectory(
        dir=assignment.folder.parent, prefix=f".{assignment.planned.name}.", suffix=".part"
    )


def _put(assignment: Assignment, execution: Execution, work: Path) -> RunReport:
    """Write an executed run to its folder, or to the one of the failed run."""
    from workbench.runs.kernel import file_text  # noqa: PLC0415

    planned, folder = assignment.planned, assignment.folder
    secrets = environment_secrets(os.environ)
    redaction = Redaction(secrets=secrets, places=_places(work, assignment))
    git = None if assignment.git is None else dict(assignment.git)
    told = redaction.tree(manifest(planned, execution, versions=_versions(), git=git)) | {
        "parameters": dict(planned.values)
    }
    failed = folder.with_name(folder.name + FAILED)
    target = folder if execution.failure is None else failed
    with replacing_folder(target) as scratch:
        for child in list(work.iterdir()):
            child.rename(scratch / child.name)
        clean_files(scratch, redaction)
        text = file_text(redaction.tree(tidied(execution.notebook)))
        (scratch / f"{planned.notebook}.ipynb").write_text(text, encoding="utf-8")
        text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        (scratch / MANIFEST).write_text(text, encoding="utf-8")
    if target == folder:
        shutil.rmtree(failed, ignore_errors=True)
    return report_of(planned, target, told, "done" if target == folder else "failed")


@functools.cache
def _versions() -> dict[str, str]:
    return installed_versions()


def _checked(execution: Execution, planned: PlannedRun, work: Path) -> Execution:
    """Return the execution, failed when the notebook wrote under the run's own names."""
    own = (MANIFEST, f"{planned.notebook}.ipynb")
    taken = [name for name in own if (work / name).exists()]
    if execution.failure is not None or not taken:
        return execution
    message = f"the notebook wrote {' and '.join(taken)}, which the run itself writes; rename it"
    failure = Failure(type=RunsError.__name__, message=message, cell=None)
    return dataclasses.replace(execution, failure=failure)


def _free_name(path: Path) -> Path:
    """Return a path, or the first numbered one beside it that is not there yet."""
    others = (path.with_name(f"{path.name}.{n}") for n in itertools.count(2))
    return next(p for p in itertools.chain([path], others) if not p.exists())


def _places(work: Path, assignment: Assignment) -> tuple[tuple[str, str], ...]:
    """Return what stands for the absolute paths of this computer in a run's texts."""
    stand_ins = {
        assignment.here: "HERE",
        PACKAGE.parent: "WORKBENCH",
        Path(tempfile.gettempdir()): "TMP",
        Path.home(): "~",
        Path(sys.prefix): "PYTHON",
        assignment.top: "PROJECT",
    }
    both = {str(form): word for path, word in stand_ins.items() for form in (path, path.resolve())}
    both.pop("/", None)
    return (*both.items(), (f"{work}/", ""), (str(work), "."))
