"""Runs: notebooks executed headless, each result a folder that appears whole or not at all.

`outputs/NAME/RUN/` holds the executed notebook, `manifest.json` and the files that the notebook
wrote into its `output_dir`. RUN is the yaml's stem and the first digits of a fingerprint of the
code cells, the parameters and the workbench sources: the same run has the same name, and is done
once. Data that a notebook reads is not in the fingerprint. A notebook that fails leaves
`RUN.failed/` instead. One runner may be killed at any moment: what it left half-done is removed
by the next run of the same notebook.
"""

import dataclasses
import fcntl
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench import options as option_rules
from workbench.caching.files import replacing_folder
from workbench.errors import RunsError, WorkbenchError
from workbench.progress import Show, silent
from workbench.runs.batch import PlannedRun, plan
from workbench.runs.execution import Execution, Failure
from workbench.runs.manifest import MANIFEST, git_state, installed_versions, manifest, read_manifest
from workbench.runs.notebooks import tidied
from workbench.runs.parameters import OUTPUT_DIR
from workbench.runs.places import PACKAGE, root
from workbench.runs.record import Recorded
from workbench.runs.redaction import Redaction, environment_secrets

LOCK = ".lock"
FAILED = ".failed"

logger = logging.getLogger(__name__)

_LEFTOVER = re.compile(r"\.(?P<run>.+)\.[a-z0-9_]{8}\.part(?P<old>\.old)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is run, and where its results go.

    Attributes:
        params: The yaml file: values for the notebook that its folder is named after, or a list
            `runs:` of several notebooks.
        outputs: The folder for results, as NAME/RUN; the project's outputs/ when not given.
        again: Whether a run that is done already is done again and replaced; without it, it is
            reported as done and skipped.
    """

    params: Path = field(kw_only=False)  # the one word of the command line without a flag
    outputs: Path | None = None
    again: bool = False

    def __post_init__(self) -> None:
        option_rules.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What became of one run.

    Attributes:
        notebook: The notebook's name.
        run: The run's name.
        status: `done`, `already done` (by an earlier command, and left alone) or `failed`.
        folder: Where everything lies; that of the failed run when it failed.
        seconds: Wall-clock seconds of the notebook.
        results: What it recorded.
        error: Type, message and cell of the failure, or None.
    """

    notebook: str
    run: str
    status: Literal["done", "already done", "failed"]
    folder: Path
    seconds: float = 0.0
    results: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    def line(self) -> str:
        """Return the report as one line of text."""
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
    """

    runs: tuple[RunReport, ...]

    @property
    def exit_code(self) -> int:
        """0 when every run is done, else 1."""
        return int(any(report.status == "failed" for report in self.runs))

    def lines(self) -> list[str]:
        """Return one line of text a run."""
        return [report.line() for report in self.runs]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's kinds."""
        runs = [dataclasses.asdict(r) | {"folder": r.folder.as_posix()} for r in self.runs]
        return {"runs": runs}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What all runs of a batch share."""

    top: Path
    outputs: Path
    again: bool
    secrets: tuple[str, ...]
    versions: dict[str, str]
    git: dict[str, Any] | None
    show: Show


def run(options: RunOptions, show: Show = silent) -> BatchReport:
    """Do the runs that a params file asks for, one after the other.

    Everything is checked before the first kernel starts, and every run is tried though one
    before it failed. On Ctrl-C the runs that are done stay, the one at work leaves nothing.

    Args:
        options: What is run.
        show: Told each code cell as it is done.

    Raises:
        OptionsError: With every mistake of the params file; nothing was started.
        RunsError: There is no project around the params file.
    """
    top = root(options.params.parent)
    planned = plan(options.params, top)
    setting = _Setting(
        top=top,
        outputs=(options.outputs or top / "outputs").resolve(),
        again=options.again,
        secrets=environment_secrets(os.environ),
        versions=installed_versions(),
        git=git_state(top),
        show=show,
    )
    return BatchReport(runs=tuple(_settle(item, setting) for item in planned))


def _settle(planned: PlannedRun, setting: _Setting) -> RunReport:
    """Do one run, unless it is done."""
    folder = setting.outputs / planned.notebook / planned.name
    try:
        with _occupied(folder.parent):
            found = read_manifest(folder)
            is_done = found is not None and found["fingerprint"] == planned.fingerprint
            if found is not None and is_done and not setting.again:
                return _report(planned, folder, found, status="already done")
            return _run_one(planned, folder, setting)
    except (WorkbenchError, OSError) as error:
        told = {"type": type(error).__name__, "message": str(error), "cell": None}
        return RunReport(
            notebook=planned.notebook, run=planned.name, status="failed", folder=folder, error=told
        )


def _run_one(planned: PlannedRun, folder: Path, setting: _Setting) -> RunReport:
    """Execute one notebook and put its folder in place."""
    # papermill takes 2 s to import, which a refused params file need not wait for.
    from workbench.runs.kernel import execute  # noqa: PLC0415

    scratch = tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{planned.name}.", suffix=".part"
    )
    with scratch as name:
        work = Path(name)
        values = {**planned.values, **({OUTPUT_DIR: name} if planned.has_output_dir else {})}
        stage = f"{planned.notebook} {planned.name}"
        execution = execute(planned.content, values, stage=stage, show=setting.show)
        execution = _checked(execution, planned, work)
        return _put(planned, execution, work, folder, setting)


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
    status: Literal["done", "already done", "failed"],
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


@contextmanager
def _occupied(parent: Path) -> Iterator[None]:
    """Hold a notebook's folder together with other runners; whoever is alone sweeps it first."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s: another run is at work here", parent)
        else:
            _sweep(parent)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _sweep(parent: Path) -> None:
    """Remove what killed runners left, but put back a run that was about to be replaced."""
    for path in sorted(parent.iterdir()):
        left = _LEFTOVER.fullmatch(path.name)
        if left is None:
            continue
        replaced = parent / left["run"]
        if left["old"] and not replaced.exists():
            path.rename(replaced)
        else:
            shutil.rmtree(path)
