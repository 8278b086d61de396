"""How runs, their values and their times are told in a line: in tables, on pages, in messages."""

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.runs.listing import StoredRun

TIME = "%Y-%m-%d %H:%M"

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of a terminal, which tracebacks have


def value_text(value: Any) -> str:
    """Return a value of JSON's kinds as people read it, a float to six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def exact_text(values: Mapping[str, Any], name: str) -> str:
    """Return a value with all its digits, as what differs must not look alike; `-` for none."""
    return json.dumps(values[name], ensure_ascii=False) if name in values else "-"


def change_text(change: float | None) -> str:
    """Return by how much a number changed, with its sign; nothing for what is no number."""
    return "" if change is None else f"{change:+.6g}"


def headline(run: StoredRun) -> str:
    """Return which run it is, how and when it ended, and how long it took."""
    return f"{run.name}, {run.state}, {run.at.strftime(TIME)} UTC, {run.told['seconds']:.1f} s"


def error_text(error: Mapping[str, Any]) -> str:
    """Return a failure in a line: its cell where one is known, type and message."""
    cell = f"cell {error['cell']}: " if error["cell"] else ""
    return f"{cell}{error['type']}: {error['message']}"


def places_text(cells: Mapping[str, int]) -> str:
    """Return which cell is told of, by its place in either run."""
    if len(cells) == 1:
        return "".join(f"cell {place} of {side} alone" for side, place in cells.items())
    same = cells["a"] == cells["b"]
    return f"cell {cells['a']}" if same else f"cell {cells['a']} of a, {cells['b']} of b"


def line(text: str) -> str:
    """Return a text that takes one line and nothing else of a terminal."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def plain(text: str) -> str:
    """Return a text of several lines without a terminal's colours and other control characters."""
    kept = _COLOURS.sub("", text)
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in kept)
