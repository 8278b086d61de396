"""The pictures of a run: those that its notebook shows, and those that lie beside it.

A picture is known by what two runs have in common: the id of its cell and its number there, or
the name of its file. Units: sizes are bytes of the picture's file.
"""

import base64
import binascii
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import RunsError
from workbench.runs.listing import StoredRun
from workbench.runs.notebooks import INJECTED_TAG, Cell, read_notebook, tags, with_ids

LARGEST = 4_000_000  # a larger picture is no thing for a page of many

logger = logging.getLogger(__name__)

_MIMES = ("image/png", "image/jpeg", "image/svg+xml")
_ENDINGS: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """One picture of a run.

    Attributes:
        key: What it has in common with the same picture of another run.
        cell: The place of its cell, counted from 1 in the notebook as it is edited; None for a
            file.
        number: Which of the cell's pictures it is, counted from 1.
        name: What it is called: the text that the notebook shows for it, or the file's name.
        mime: `image/png`, `image/jpeg` or `image/svg+xml`.
        content: The file's bytes.
    """

    key: tuple[str, int]
    cell: int | None
    number: int
    name: str
    mime: str
    content: bytes

    def url(self) -> str:
        """Return it as a `data:` address, which needs no file; a browser runs no script of it."""
        return f"data:{self.mime};base64,{base64.b64encode(self.content).decode()}"


def own_cells(run: StoredRun) -> list[tuple[int, Cell]]:
    """Return the cells of a run's notebook as it is edited, each with its place from 1.

    The cell in which papermill writes the parameters is none of them.

    Raises:
        RunsError: The notebook cannot be read.
    """
    notebook = read_notebook(run.notebook_path)
    own = [cell for cell in notebook["cells"] if INJECTED_TAG not in tags(cell)]
    return list(enumerate(with_ids({**notebook, "cells": own})["cells"], start=1))


def shown_pictures(run: StoredRun) -> tuple[ShownPicture, ...]:
    """Return the pictures of a run: those of its notebook in order, then files by name.

    A notebook that cannot be read has none; a file that is too large is left out with a log line.
    """
    try:
        cells = own_cells(run)
    except RunsError:
        cells = []
    found = [picture for place, cell in cells for picture in _of_cell(place, cell)]
    return (*found, *_of_folder(run.folder))


def _of_cell(place: int, cell: Cell) -> Iterator[ShownPicture]:
    number = 0
    for output in cell.get("outputs", []):
        data = output.get("data")
        if not isinstance(data, dict):
            continue
        for mime in _MIMES:
            content = _content(mime, data.get(mime))
            if content is None:
                continue
            number += 1
            text = data.get("text/plain")
            yield ShownPicture(
                key=(cell["id"], number),
                cell=place,
                number=number,
                name=text if isinstance(text, str) else "",
                mime=mime,
                content=content,
            )
            break  # a picture in several forms is one picture


def _content(mime: str, given: Any) -> bytes | None:
    if not isinstance(given, str):
        return None
    if mime == "image/svg+xml":
        return given.encode("utf-8", "replace")
    try:
        return base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _of_folder(folder: Path) -> Iterator[ShownPicture]:
    try:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS)
    except OSError as error:
        logger.warning("%s: cannot be read (%s)", folder, error.strerror)
        return
    for path in files:
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
                logger.info("%s: is a link or above %d MB, not shown", path, LARGEST // 1_000_000)
                continue
            content = path.read_bytes()
        except OSError as error:
            logger.warning("%s: cannot be read (%s)", path, error.strerror)
            continue
        name = path.relative_to(folder).as_posix()
        yield ShownPicture(
            key=(f"file {name}", 1),
            cell=None,
            number=1,
            name=name,
            mime=_ENDINGS[path.suffix.lower()],
            content=content,
        )
