"""`workbench nb refresh`: execute notebooks with their defaults and keep what did not change.

An output that differs from the kept one only in what nbval is told to overlook
(`tests/sanitize.cfg`: durations, rates, sizes, paths, addresses, dates) stays as it was, and a
picture stays as long as its pixels are the same: so a second refresh changes no byte, and a
picture that truly changed is replaced. In a cell tagged `nbval-ignore-output` every number is
overlooked, and a picture stays as long as it has the same size; clear such a cell's output to
get a new one.
"""

import base64
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.caching.files import replacing
from workbench.errors import RunsError
from workbench.progress import Show, silent
from workbench.runs.notebooks import (
    IGNORED_TAG,
    Cell,
    Notebook,
    find_notebooks,
    read_notebook,
    tags,
    tidied,
    with_ids,
)
from workbench.runs.places import root
from workbench.runs.redaction import Redaction, environment_secrets

SANITIZE = "tests/sanitize.cfg"

Sanitize = Callable[[str], str]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What became of one notebook.

    Attributes:
        path: Its file.
        status: `unchanged`, `refreshed`, or `failed` (and left as it was).
        error: Why it failed, or None.
    """

    path: Path
    status: Literal["unchanged", "refreshed", "failed"]
    error: str | None = None

    def line(self) -> str:
        """Return the outcome as one line of text."""
        return f"{self.path}: {self.status}" + ("" if self.error is None else f"; {self.error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What became of some notebooks.

    Attributes:
        notebooks: One outcome a notebook, in order.
    """

    notebooks: tuple[Refreshed, ...]

    @property
    def exit_code(self) -> int:
        """0 when every notebook ran to its end, else 1."""
        return int(any(notebook.status == "failed" for notebook in self.notebooks))

    def lines(self) -> list[str]:
        """Return one line of text a notebook."""
        return [notebook.line() for notebook in self.notebooks]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's kinds."""
        return {
            "notebooks": [
                {"path": n.path.as_posix(), "status": n.status, "error": n.error}
                for n in self.notebooks
            ]
        }


def refresh(paths: Sequence[Path], show: Show = silent) -> RefreshReport:
    """Execute some notebooks, or those of folders, and write them where they lie.

    Args:
        paths: Notebooks and folders.
        show: Told each code cell as it is done.

    Raises:
        OptionsError: A path holds no notebook.
        RunsError: There is no project around a notebook, or its `tests/sanitize.cfg` is missing
            or malformed.
    """
    notebooks = find_notebooks(paths)
    patterns = {path: read_patterns(root(path.parent) / SANITIZE) for path in notebooks}
    done = [_refresh_one(path, sanitizer(patterns[path]), show) for path in notebooks]
    return RefreshReport(notebooks=tuple(done))


def read_patterns(path: Path) -> list[tuple[re.Pattern[str], str]]:
    """Return what is overlooked, in nbval's notation: lines `regex: …` then `replace: …`.

    Raises:
        RunsError: It cannot be read, or a pattern is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunsError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    pairs = re.findall(r"^regex: (.*)$\n^replace: (.*)$", text, flags=re.MULTILINE)
    try:
        return [(re.compile(regex), replacement) for regex, replacement in pairs]
    except re.error as error:
        raise RunsError(f"{path}: {error.pattern!r} is no pattern ({error}); mend it") from error


def sanitizer(patterns: Sequence[tuple[re.Pattern[str], str]]) -> Sanitize:
    """Return the function that writes everything overlooked in one way."""

    def sanitize(text: str) -> str:
        for pattern, replacement in patterns:
            text = pattern.sub(replacement, text)
        return text

    return sanitize


def merged(old: Notebook, new: Notebook, sanitize: Sanitize) -> Notebook:
    """Return the new notebook with each old output in it that is no different.

    Args:
        old: As it was kept.
        new: The same cells, executed.
        sanitize: Writes everything overlooked in one way.
    """
    kept = {cell["id"]: cell for cell in old["cells"] if cell["cell_type"] == "code"}
    cells = [
        _merged_cell(kept[cell["id"]], cell, sanitize) if cell["id"] in kept else cell
        for cell in new["cells"]
    ]
    return {**new, "cells": cells}


def _refresh_one(path: Path, sanitize: Sanitize, show: Show) -> Refreshed:
    # papermill takes 2 s to import, which a wrong path need not wait for.
    from workbench.runs.kernel import execute, file_text  # noqa: PLC0415

    try:
        old = with_ids(read_notebook(path))
        execution = execute(old, {}, stage=path.name, show=show)
    except RunsError as error:
        return Refreshed(path=path, status="failed", error=str(error))
    redaction = Redaction(secrets=environment_secrets(os.environ))
    if failure := execution.failure:
        error_line = redaction.text(f"cell {failure.cell}: {failure.type}: {failure.message}")
        return Refreshed(path=path, status="failed", error=error_line)
    text = file_text(merged(old, redaction.tree(tidied(execution.notebook)), sanitize))
    if text == path.read_text(encoding="utf-8"):
        return Refreshed(path=path, status="unchanged")
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
        scratch.chmod(path.stat().st_mode)
    return Refreshed(path=path, status="refreshed")


def _merged_cell(old: Cell, new: Cell, sanitize: Sanitize) -> Cell:
    if new["cell_type"] != "code":
        return new
    is_ignored = IGNORED_TAG in tags(new)
    before, after = old.get("outputs", []), new["outputs"]
    if [_shape(output) for output in before] != [_shape(output) for output in after]:
        return new

    def is_same(mime: str, kept: Any, fresh: Any) -> bool:
        if mime == "image/png":
            return _same_picture(kept, fresh, by_size=is_ignored)
        parts = (kept, fresh)
        texts = [p if isinstance(p, str) else json.dumps(p, sort_keys=True) for p in parts]
        if is_ignored:
            texts = [_NUMBER.sub("N", sanitize(text)) for text in texts]
        elif isinstance(fresh, str):
            texts = [sanitize(text) for text in texts]
        return texts[0] == texts[1]

    pairs = zip(before, after, strict=True)
    return {**new, "outputs": [_merged_output(kept, fresh, is_same) for kept, fresh in pairs]}


def _shape(output: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what must be equal before two outputs are compared at all."""
    return (output.get("output_type"), output.get("name"), sorted(output.get("data", {})))


def _merged_output(
    old: Mapping[str, Any], new: dict[str, Any], is_same: Callable[[str, Any, Any], bool]
) -> dict[str, Any]:
    if "text" in new:
        is_kept = is_same("text/plain", old["text"], new["text"])
        return {**new, "text": old["text"]} if is_kept else new
    data = {
        mime: old["data"][mime] if is_same(mime, old["data"][mime], fresh) else fresh
        for mime, fresh in new.get("data", {}).items()
    }
    return {**new, "data": data} if "data" in new else new


def _same_picture(old: str, new: str, *, by_size: bool) -> bool:
    """Return whether two PNG files, in base64, show the same pixels or have the same size."""
    # matplotlib takes 0.5 s to import, and most notebooks that fail never come here.
    import matplotlib.image as images  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if old == new:
        return True
    try:
        before, after = (images.imread(io.BytesIO(base64.b64decode(p))) for p in (old, new))
    except (ValueError, OSError, SyntaxError):  # SyntaxError is Pillow's word for a broken PNG
        return False
    return before.shape == after.shape and (by_size or np.array_equal(before, after))
