"""Leaves runs below a folder as `workbench run` does, by its own writers and without a kernel."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conftest import notebook

from workbench.runs import journal
from workbench.runs.batch import PlannedRun
from workbench.runs.execution import Execution, Failure
from workbench.runs.manifest import MANIFEST, manifest
from workbench.runs.record import Recorded

FAILURE = Failure(type="ValueError", message="no such drum", cell=3)


def leave(
    outputs: Path,
    name: str = "tiny-0123456789",
    *cells: str,
    book: str = "beats",
    state: str = "done",
    at: float = 1_000_000_000.0,
    parameters: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    git: Mapping[str, Any] | None = None,
) -> Path:
    """Leave one run that ended at a time, seconds since 1970, and return its folder."""
    endings = {"done": name, "failed": f"{name}.failed", "part": f".{name}.abcd_123.part"}
    folder = outputs / book / endings[state]
    folder.mkdir(parents=True)
    (folder / "drums.mid").write_bytes(bytes(1000))
    if state != "part":
        content = notebook(*(cells or ["drum()"]))
        shown = Recorded(values=results or {})._repr_mimebundle_()
        output = {"output_type": "display_data", "data": shown, "metadata": {}}
        content["cells"][-1]["outputs"] = [output] if results else []
        planned = _planned(book, name, content, parameters or {"seed": 1})
        failure = FAILURE if state == "failed" else None
        execution = Execution(notebook=content, seconds=2.5, failure=failure)
        told = manifest(planned, execution, versions=dict(versions or {}), git=git and dict(git))
        (folder / f"{book}.ipynb").write_text(json.dumps(content))
        (folder / MANIFEST).write_text(json.dumps(told))
        os.utime(folder / MANIFEST, (at, at))
    os.utime(folder, (at, at))
    return folder


def index(outputs: Path, folder: Path, at: str) -> None:
    """Add the record of a run that is done to the index."""
    record = {"at": at, "notebook": folder.parent.name, "run": folder.name, "status": "done"}
    journal.append(outputs / journal.JOURNAL, {**record, "fingerprint": f"of {folder.name}"})


def _planned(
    book: str, name: str, content: dict[str, Any], parameters: Mapping[str, Any]
) -> PlannedRun:
    return PlannedRun(
        notebook=book,
        content=content,
        name=name,
        fingerprint=f"of {name}",
        sources="5" * 64,
        values=parameters,
        has_output_dir=False,
    )
