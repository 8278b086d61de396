"""Deleting runs that are no longer wanted, and never one that somebody is at work on.

A runner holds a lock on each notebook and params file (workbench.runs.occupying); what such a
lock covers is left alone, parts as well as runs that are at their end. A run is moved aside
before it is deleted, so that a kill leaves it whole or a part. Units: sizes are bytes; a day is
24 hours.
"""

import fcntl
import itertools
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from workbench import options as option_rules
from workbench.errors import OptionsError, RunsError
from workbench.runs.attempt import MEGABYTE
from workbench.runs.listing import Records, StoredRun, ended_at, read_run, stored_runs
from workbench.runs.occupying import LOCK, alone

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanOptions:
    """Which runs are deleted: failed ones, parts, or both; all kinds when only an age is given.

    Attributes:
        failed: Delete failed runs.
        parts: Delete what killed runners left.
        older_than: Delete only what is older than so many days [0..].
        dry_run: Tell what would be deleted, and touch nothing.
    """

    failed: bool = False
    parts: bool = False
    older_than: float | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        option_rules.check(self)
        if not (self.failed or self.parts or self.older_than is not None):
            raise OptionsError("nothing selected; give --failed, --parts or --older-than DAYS")

    def selects(self, run: StoredRun, now: datetime) -> bool:
        """Return whether a run is to be deleted.

        Args:
            run: The run.
            now: The time that its age is counted to.
        """
        asked = {"failed": self.failed, "part": self.parts}
        is_asked = asked.get(run.state, False) or not any(asked.values())
        is_old = self.older_than is None or (now - run.at) / timedelta(days=1) > self.older_than
        return is_old and is_asked


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanReport:
    """What was deleted, or would be.

    Attributes:
        runs: Each run and its bytes.
        kept: A line for each that was selected and could not be deleted.
        is_dry: Whether nothing was touched.
    """

    runs: tuple[tuple[StoredRun, int], ...]
    kept: tuple[str, ...] = ()
    is_dry: bool = False

    @property
    def exit_code(self) -> int:
        """0 when all that was selected is deleted, or would be."""
        return 1 if self.kept else 0

    def lines(self) -> list[str]:
        """Return one line of text a run, the sum, and what was kept."""
        verb = "would delete" if self.is_dry else "deleted"
        lines = [
            f"{verb} {run.name}, {run.state}, {size / MEGABYTE:.1f} MB" for run, size in self.runs
        ]
        total = sum(size for _, size in self.runs)
        lines.append(f"{verb} {len(self.runs)} of the runs, {total / MEGABYTE:.1f} MB in all")
        return lines + [f"kept: {reason}" for reason in self.kept]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's kinds."""
        deleted = [
            {"name": run.name, "state": run.state, "folder": run.folder.as_posix(), "bytes": size}
            for run, size in self.runs
        ]
        return {"deleted": deleted, "kept": list(self.kept), "is_dry": self.is_dry}


def clean(options: CleanOptions, outputs: Path, now: datetime) -> CleanReport:
    """Delete the runs that are selected.

    Args:
        options: Which.
        outputs: The folder of all results.
        now: The time that ages are counted to.
    """
    records = ended_at(outputs)
    selected = [run for run in stored_runs(outputs).runs if options.selects(run, now)]
    deleted: list[tuple[StoredRun, int]] = []
    kept: list[str] = []
    selected.sort(key=_held_by)
    for held_by, runs in itertools.groupby(selected, key=_held_by):
        try:
            with alone(outputs, [held_by]):
                for run in runs:
                    fresh = _still_selected(run, records, options, now)
                    if fresh is not None:
                        _take(fresh, deleted, kept, is_dry=options.dry_run)
        except (RunsError, OSError) as error:
            kept.append(str(error))
    return CleanReport(runs=tuple(deleted), kept=tuple(kept), is_dry=options.dry_run)


def _held_by(run: StoredRun) -> str:
    """Return the name that a runner holds while it is at work on such a run."""
    return f"{run.notebook}.{run.stem}"


def _still_selected(
    run: StoredRun, records: Records, options: CleanOptions, now: datetime
) -> StoredRun | None:
    """Return a run as it is now that nobody changes it, if it is there and selected still."""
    found = read_run(run.folder, records)
    is_selected = isinstance(found, StoredRun) and options.selects(found, now)
    return found if isinstance(found, StoredRun) and is_selected else None


def _take(
    run: StoredRun, deleted: list[tuple[StoredRun, int]], kept: list[str], *, is_dry: bool
) -> None:
    size = _bytes(run.folder)
    try:
        if not is_dry:
            with _not_swept(run.folder.parent):
                _delete(run)
    except OSError as error:
        kept.append(f"{run.folder}: could not be deleted ({error.strerror})")
    else:
        deleted.append((run, size))


def _delete(run: StoredRun) -> None:
    folder = run.folder
    if run.state != "part":
        folder = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
        run.folder.rename(folder)
    shutil.rmtree(folder)


@contextmanager
def _not_swept(parent: Path) -> Iterator[None]:
    """Keep runners of other params files from sweeping a notebook's folder meanwhile."""
    with (parent / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder; links count for themselves."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError as error:
                logger.debug("%s: its size is not known (%s)", name, error)
    return total
