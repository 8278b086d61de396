"""Pages that open offline: one file of HTML with its style, its pictures and nothing from outside.

The page follows the light or dark look of its reader, and a notebook shows its content in the
colours that are around it. All texts come in by the functions here, which escape them, drop what
only a terminal understands, and blot out what has the form of a secret.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.caching.files import replacing
from workbench.errors import OptionsError
from workbench.runs.page_look import SCRIPT, STYLE
from workbench.runs.redaction import Redaction
from workbench.runs.telling import plain, value_text

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #22313f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #15191e; --ink: #dde3e9; }} }}
body {{ margin: 0; padding: clamp(0.8rem, 3vw, 2.5rem); background: var(--paper);
  color: var(--ink); }}
{style}</style>
</head>
<body>
{body}
<script>
{script}</script>
</body>
</html>
"""
_REDACTION = Redaction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page, to be kept as a file or shown in a notebook.

    Attributes:
        title: What it is about.
        body: Its content as HTML, all texts in it escaped.
    """

    title: str
    body: str

    def document(self) -> str:
        """Return the whole file."""
        title = text(self.title)
        return _FRAME.format(title=title, style=STYLE, body=self._framed(), script=SCRIPT)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            OptionsError: Its name does not end in `.html`, so that it may be a slip.
            CachingError: It cannot be written there.
        """
        if path.suffix.lower() not in (".html", ".htm"):
            raise OptionsError(f"{path}: a page's name ends in .html; write {path.name}.html")
        with replacing(path) as scratch:
            # Half a character, as a manifest may hold, has no bytes in UTF-8.
            scratch.write_text(self.document(), encoding="utf-8", errors="backslashreplace")

    def __repr__(self) -> str:
        return self.title

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self._framed()}"

    def _framed(self) -> str:
        return f'<main class="runs-page">{self.body}</main>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        markup: What it shows, escaped.
        value: What the table is sorted by; the shown text when None.
        kind: Its class in the page's style.
    """

    markup: str
    value: str | None = None
    kind: str = ""


def text(words: str) -> str:
    """Return a text as HTML."""
    return html.escape(_REDACTION.text(plain(words)))


def value_cell(values: Mapping[str, Any], name: str) -> Cell:
    """Return the cell of one value of JSON's kinds, empty where there is none."""
    if name not in values:
        return Cell(markup="", value="")
    value = values[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    told = text(value_text(value))
    return Cell(markup=told, value=told if is_number else None, kind="number" * is_number)


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *, is_sortable: bool = False) -> str:
    """Return a table that scrolls by itself where it is wider than the page.

    Args:
        head: Names of the columns.
        rows: A cell a column.
        is_sortable: Whether a click on a name sorts by it.
    """
    in_rows = [list(row) for row in rows]
    kinds = [{row[column].kind for row in in_rows} for column in range(len(head))]
    names = "".join(
        f'<th scope="col"{_class("number" * (kind <= {"number", ""} and "number" in kind))}>'
        f"{text(name)}</th>"
        for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join("<tr>" + "".join(map(_td, row)) + "</tr>\n" for row in in_rows)
    sortable = ' class="sortable"' if is_sortable else ""
    return (
        f'<div class="wide"><table{sortable}><thead><tr>{names}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def pairs_table(values: Mapping[str, Any]) -> str:
    """Return a table of names and values."""
    return table(["name", "value"], [[Cell(markup=text(n)), value_cell(values, n)] for n in values])


def code(lines: Iterable[str], *, is_difference: bool = False) -> str:
    """Return lines of code.

    Args:
        lines: Without line ends.
        is_difference: Whether they are a unified difference, whose lines are coloured.
    """
    kinds = {"-": "gone", "+": "come", "@": "place"} if is_difference else {}
    spans = "".join(f"<span{_class(kinds.get(e[:1], ''))}>{text(e) or ' '}</span>" for e in lines)
    return f"<pre>{spans}</pre>\n"


def folded(summary: str, body: str) -> str:
    """Return what is seen when somebody opens it.

    Args:
        summary: What is seen before, a text.
        body: HTML.
    """
    return f"<details><summary>{text(summary)}</summary>{body}</details>\n"


def _td(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value}"'
    return f"<td{_class(cell.kind)}{value}>{cell.markup}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
