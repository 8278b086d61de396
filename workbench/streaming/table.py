"""Tables of text, CSV or TSV, read line by line as Arrow batches of strings."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from workbench.errors import SourceError

_LONGEST_FIELD = 1 << 24  # characters; the csv module allows 128 kB by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """How a table with a line of column names is read; every value is a string, empty ones null.

    Attributes:
        delimiter: What stands between columns; a tab also means that nothing is quoted.
    """

    delimiter: str = "\t"

    def __call__(
        self, path: Path, *, file: int, row: int, batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give batches from the one that holds a row on, as RowFormat says.

        Raises:
            SourceError: The table is no UTF-8, or has no line of names.
        """
        csv.field_size_limit(_LONGEST_FIELD)
        with path.open(encoding="utf-8-sig", newline="") as text:
            if self.delimiter == "\t":
                lines = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                lines = csv.reader(text, delimiter=self.delimiter)
            try:
                names = next(lines, None)
                if not names:
                    raise SourceError(f"{path}: is empty; want a first line of column names")
                first = row - row % batch_rows
                rest = islice(lines, first, None)
                while part := list(islice(rest, batch_rows)):
                    yield first, _batch(names, part)
                    first += len(part)
            except (csv.Error, UnicodeDecodeError) as error:
                raise SourceError(f"{path}: is no table of text ({error})") from error


def _batch(names: list[str], lines: list[list[str]]) -> pa.RecordBatch:
    columns = [
        pa.array([(line[at] or None) if at < len(line) else None for line in lines], pa.string())
        for at in range(len(names))
    ]
    return pa.RecordBatch.from_arrays(columns, names=names)
