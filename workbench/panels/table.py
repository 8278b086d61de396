"""A small table that looks right in a notebook and reads well as text."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

_CELL = "padding: 0.15em 0.9em; text-align: {align}; font-variant-numeric: tabular-nums"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head.

    Attributes:
        head: Names of the columns.
        rows: One cell a column each; numbers are aligned to the right.
        digits: Significant digits of a number that is not whole; three places when None.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    digits: int | None = None

    def __repr__(self) -> str:
        cells = [self.head, *(tuple(self._told(cell) for cell in row) for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.head))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(_cell("th", name, is_number=False) for name in self.head)
        body = "".join(
            "<tr>"
            + "".join(_cell("td", self._told(c), is_number=_is_number(c)) for c in row)
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _told(self, value: object) -> str:
        if isinstance(value, float):
            places = f"{value:.3f}".rstrip("0").rstrip(".")
            return places if self.digits is None else f"{value:.{self.digits}g}"
        return f"{value:,}" if _is_number(value) else str(value)


def _cell(tag: str, text: str, *, is_number: bool) -> str:
    style = _CELL.format(align="right" if is_number else "left")
    return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
