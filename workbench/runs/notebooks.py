"""Notebook files as plain JSON (nbformat 4): reading, finding, and what may stay in them.

Read without the nbformat package, whose import takes longer than a refusal may. Inside, all
sources and texts are single strings; on disk they may be lists of lines.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import OptionsError, RunsError

Notebook = dict[str, Any]
Cell = dict[str, Any]

PARAMETERS_TAG = "parameters"
IGNORED_TAG = "nbval-ignore-output"
INJECTED_TAG = "injected-parameters"  # as papermill names it, which takes 2 s to import
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"

CELL_METADATA = {"tags"}
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name", "language", "name"},
    "language_info": {
        "codemirror_mode",
        "file_extension",
        "mimetype",
        "name",
        "nbconvert_exporter",
        "pygments_lexer",
    },
}

_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def read_notebook(path: Path) -> Notebook:
    """Return a notebook with its multi-line strings joined.

    Raises:
        RunsError: It cannot be read, or it is no notebook of format 4.
    """
    try:
        notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunsError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except (ValueError, RecursionError) as error:
        raise RunsError(f"{path}: is no notebook ({error}); restore it from git") from error
    if not _is_notebook(notebook):
        raise RunsError(f"{path}: is no notebook of format 4; open it in JupyterLab and save it")
    notebook["cells"] = [_joined(cell) for cell in notebook["cells"]]
    return notebook


def find_notebooks(paths: Sequence[Path]) -> list[Path]:
    """Return the notebooks among some files and folders, in order, each once.

    Raises:
        OptionsError: A path does not exist or there is no notebook in it; all such are named.
    """
    found: dict[Path, None] = {}
    mistakes = []
    for path in paths:
        inside = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path] * path.is_file()
        own = [file for file in inside if ".ipynb_checkpoints" not in file.parts]
        if not own:
            mistakes.append(f"{path}: there is no notebook; give .ipynb files or their folder")
        found |= dict.fromkeys(own)
    if mistakes or not paths:
        raise OptionsError("\n".join(mistakes) or "no path given; give notebooks or a folder")
    return list(found)


def code_cells(notebook: Notebook) -> list[Cell]:
    """Return the code cells in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def tags(cell: Cell) -> list[str]:
    """Return the tags of a cell."""
    found = cell.get("metadata", {}).get("tags", [])
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []


def texts(output: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield what one output shows: the stream's or the MIME type's name, and its content."""
    if output.get("output_type") == "stream":
        yield "text/plain", output.get("text", "")
    elif output.get("output_type") == "error":
        yield "text/plain", "\n".join([str(output.get("evalue")), *output.get("traceback", [])])
    else:
        yield from output.get("data", {}).items()


def is_cell_id(value: object) -> bool:
    """Return whether a value is a cell id that nbformat 4.5 allows."""
    return isinstance(value, str) and _CELL_ID.fullmatch(value) is not None


def with_ids(notebook: Notebook) -> Notebook:
    """Return the notebook with an id in every cell.

    A good id stays; a missing, malformed or repeated one is made from the cell's source, so that
    the same notebook gets the same ids again.
    """
    seen: set[str] = set()
    cells = []
    for cell in notebook["cells"]:
        name = cell.get("id")
        if not is_cell_id(name) or name in seen:
            digest = hashlib.sha256(cell["source"].encode()).hexdigest()
            name = next(
                candidate
                for candidate in (digest[:8], *(f"{digest[:8]}-{n}" for n in range(2, 10_000)))
                if candidate not in seen
            )
        seen.add(name)
        cells.append({**cell, "id": name})
    minor = max(5, notebook.get("nbformat_minor", 0))
    return {**notebook, "cells": cells, "nbformat_minor": minor}


def tidied(notebook: Notebook) -> Notebook:
    """Return the notebook with counts 1..n, allowed metadata only and no widget state.

    The text that a widget leaves beside its view stays.
    """
    cells = []
    count = 0
    for cell in notebook["cells"]:
        metadata = {key: cell["metadata"][key] for key in CELL_METADATA & cell["metadata"].keys()}
        if metadata.get("tags") == []:
            del metadata["tags"]
        clean = {**cell, "metadata": metadata}
        if cell["cell_type"] == "code" and cell.get("execution_count") is not None:
            count += 1
            clean["execution_count"] = count
            clean["outputs"] = [_tidied_output(output, count) for output in cell["outputs"]]
        cells.append(clean)
    metadata = {
        key: {name: part for name, part in notebook["metadata"][key].items() if name in allowed}
        for key, allowed in NOTEBOOK_METADATA.items()
        if isinstance(notebook["metadata"].get(key), dict)
    }
    return {**notebook, "cells": cells, "metadata": metadata}


def _tidied_output(output: dict[str, Any], count: int) -> dict[str, Any]:
    clean = dict(output)
    if "data" in clean:
        clean["data"] = {mime: part for mime, part in output["data"].items() if mime != WIDGET_MIME}
    if "execution_count" in clean:
        clean["execution_count"] = count
    return clean


def _is_notebook(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("nbformat") == 4
        and isinstance(value.get("metadata"), dict)
        and isinstance(value.get("cells"), list)
        and all(_is_cell(cell) for cell in value["cells"])
    )


def _is_cell(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("cell_type") in ("code", "markdown", "raw")
        and _is_text(value.get("source"))
        and isinstance(value.get("metadata"), dict)
        and isinstance(value.get("outputs", []), list)
        and all(isinstance(output, dict) for output in value.get("outputs", []))
    )


def _is_text(value: Any) -> bool:
    lines = value if isinstance(value, list) else [value]
    return all(isinstance(line, str) for line in lines)


def _joined(cell: Cell) -> Cell:
    joined = {**cell, "source": "".join(cell["source"])}
    if "outputs" in cell:
        joined["outputs"] = [_joined_output(output) for output in cell["outputs"]]
    return joined


def _joined_output(output: dict[str, Any]) -> dict[str, Any]:
    joined = dict(output)
    if isinstance(output.get("text"), list):
        joined["text"] = "".join(output["text"])
    if isinstance(output.get("data"), dict):
        joined["data"] = {
            mime: "".join(part) if isinstance(part, list) and _is_text(part) else part
            for mime, part in output["data"].items()
        }
    return joined
