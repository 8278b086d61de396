"""What a run leaves beside its notebook: what was asked, what came out, what made it.

`manifest.json`, format 1: notebook, run, parameters, results, seconds (wall clock), host (where
it ran), versions (there), fingerprint (of code cells, parameters and the workbench sources that the
notebook imports), sources (of those alone), rooms (likewise by room), git (commit, dirty) or null,
error (type, message, cell) or null.
"""

import dataclasses
import importlib.metadata
import json
import logging
import platform
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from workbench.errors import RunsError
from workbench.runs.batch import PlannedRun
from workbench.runs.execution import Execution
from workbench.runs.notebooks import Notebook, code_cells
from workbench.runs.record import RESULT_MIME, plain_results

FORMAT = 1
MANIFEST = "manifest.json"
FAILED = ".failed"  # ends the name of a failed run's folder

logger = logging.getLogger(__name__)

_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
_TOOLS = re.compile(r"extra == ['\"](?:dev|test)['\"]")


def manifest(
    planned: PlannedRun,
    execution: Execution,
    *,
    versions: dict[str, str],
    git: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the manifest of one run."""
    failure = execution.failure
    return {
        "format": FORMAT,
        "notebook": planned.notebook,
        "run": planned.name,
        "parameters": dict(planned.values),
        "results": recorded_results(execution.notebook),
        "seconds": execution.seconds,
        "host": socket.gethostname(),
        "versions": versions,
        "fingerprint": planned.fingerprint,
        "sources": planned.sources,
        "rooms": dict(planned.rooms),
        "git": git,
        "error": None if failure is None else dataclasses.asdict(failure),
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest in a run's folder, or None where no whole one lies."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def recorded_results(notebook: Notebook) -> dict[str, Any]:
    """Return everything that a notebook recorded, the last value of each name."""
    results: dict[str, Any] = {}
    for cell in code_cells(notebook):
        for output in cell.get("outputs", []):
            recorded = output.get("data", {}).get(RESULT_MIME)
            if recorded is None:
                continue
            try:
                results |= plain_results(dict(recorded))
            except (RunsError, TypeError, ValueError) as error:
                logger.warning("a result not made by record() is left out: %s", error)
    return results


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, the workbench and the packages that it asks for."""
    found = {"python": platform.python_version()}
    wanted = [
        _REQUIREMENT.match(line)
        for line in importlib.metadata.requires("workbench") or []
        if not _TOOLS.search(line)
    ]
    for name in ["workbench", *sorted({match[0] for match in wanted if match})]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return found


def git_state(top: Path) -> dict[str, Any] | None:
    """Return the commit of a checkout and whether files differ from it; None outside of git."""
    commit = _git(top, "rev-parse", "HEAD")
    changes = _git(top, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(changes.strip())}


def _git(top: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(top), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout
