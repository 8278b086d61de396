"""Tables of text, CSV or TSV, read line by line as Arrow batches of strings.

What ends in `.csv` has commas and quotes (RFC 4180); all else has tabs and no quotes, as Common
Voice and most speech corpora publish their lists. Text is UTF-8. Blank lines are no rows.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from workbench.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """How a table is read; every value is a string, empty and missing ones are null.

    Attributes:
        names: Names of the columns; those in the first line when there are none here.
    """

    names: tuple[str, ...] = ()

    def __call__(
        self, path: Path, *, file: int, row: int, batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give batches from the one that holds a row on, as RowFormat says.

        Raises:
            SourceError: The file is no such table.
        """
        lines = _lines(path)
        names = self._columns(path, lines)
        first = row - row % batch_rows
        rest = islice(lines, first, None)
        while part := list(islice(rest, batch_rows)):
            yield first, _batch(names, part)
            first += len(part)

    def count(self, path: Path) -> int:
        """Return how many rows a table has.

        Raises:
            SourceError: The file is no such table.
        """
        lines = _lines(path)
        self._columns(path, lines)
        return sum(1 for _ in lines)

    def columns(self, path: Path) -> tuple[str, ...]:
        """Return the names of the columns of a table.

        Raises:
            SourceError: The file is no such table.
        """
        return self._columns(path, _lines(path))

    def _columns(self, path: Path, lines: Iterator[list[str]]) -> tuple[str, ...]:
        names = self.names or tuple(next(lines, ()))
        if not names:
            raise SourceError(f"{path}: is empty; want a first line of column names")
        if len(set(names)) < len(names):
            raise SourceError(f"{path}: names a column twice: {', '.join(names)}")
        return names


def _lines(path: Path) -> Iterator[list[str]]:
    """Give the values of each line that has any."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="" if _has_commas(path) else "\n") as text:
            for line in _split(text, has_commas=_has_commas(path)):
                number += 1
                if line not in ([], [""]):
                    yield line
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: line {number + 1} is no line of a table ({error})") from error


def _split(text: Iterable[str], *, has_commas: bool) -> Iterator[list[str]]:
    if has_commas:  # strict, not to take the rest of the file for a value whose quote never closes
        yield from csv.reader(text, strict=True)
    else:
        for line in text:
            yield line.rstrip("\r\n").split("\t")


def _has_commas(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _batch(names: tuple[str, ...], lines: list[list[str]]) -> pa.RecordBatch:
    columns = [
        pa.array([(line[at] or None) if at < len(line) else None for line in lines], pa.string())
        for at in range(len(names))
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(names))
