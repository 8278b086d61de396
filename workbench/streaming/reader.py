"""Reads the records of a source from any position on, in Arrow batches.

Row groups, not files, are in memory; the next file is fetched while one is read, and a file that
was fetched is deleted when it was read. Batches are cut the same way wherever a reader starts:
from the beginning of each row group, every `batch_rows` rows. What is made of a whole batch is
therefore the same after an interruption, if the reader begins at the batch's own start and what
was used before is left out (`Rows.start`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import SourceError, StreamingError
from workbench.streaming.ahead import ahead
from workbench.streaming.order import IN_ORDER, Order
from workbench.streaming.source import BEGINNING, Position, Source, SourceFile
from workbench.streaming.transfer import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Consecutive records.

    Attributes:
        position: Of the first record.
        batch: The records.
        start: How many of them lie before the position that the reader was given.
        token: What the source needs to begin at this batch again; None where its position is all.
    """

    position: Position
    batch: pa.RecordBatch
    start: int = 0
    token: Any = None

    def __str__(self) -> str:
        """Return what errors call them."""
        return f"rows of file {self.position.file} from row {self.position.row} on"


class RowFormat(Protocol):
    """How the records of one file are read."""

    def __call__(
        self, path: Path, *, file: int, row: int, batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give batches, each with the number of its first row, from the batch that holds `row`.

        Args:
            path: The file.
            file: Its index in the source.
            row: A row of it; the first batch begins there or, where that cuts a batch, before.
            batch_rows: The most rows of a batch.
        """


def read(
    source: Source,
    transfer: Transfer,
    rows_of: RowFormat,
    *,
    start: Position = BEGINNING,
    batch_rows: int = 100,
    order: Order = IN_ORDER,
    fetched: Callable[[SourceFile, Path], None] = lambda file, path: None,
) -> Iterator[Rows]:
    """Return the records of a source from a position on.

    Args:
        source: The list of files.
        transfer: What brings them here.
        rows_of: How a file is read, as `ParquetRows()`.
        start: Where to begin; a position counts in the order of reading.
        batch_rows: The most rows of a batch.
        order: The order of the files; the rows' order is that of `rows_of`.
        fetched: Called with each file that is here, and its path, before it is read.

    Raises:
        SourceError: A file cannot be fetched or read.
        StreamingError: There is no room for a file.
    """
    files = order.files(len(source.files))
    remaining = [source.files[index] for index in files[start.file :]]
    coming = ahead(transfer.fetch, remaining, partial(_fetched_now, transfer))
    for at, (file, path) in enumerate(zip(remaining, coming, strict=True), start.file):
        fetched(file, path)
        row = start.row if at == start.file else 0
        batches = rows_of(path, file=int(files[at]), row=row, batch_rows=batch_rows)
        for first, batch in _told(transfer, file, batches):
            before = min(max(row - first, 0), batch.num_rows)
            yield Rows(position=Position(at, first), batch=batch, start=before)
        transfer.drop(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetRows:
    """How Parquet is read: row group by row group, page checksums verified.

    Attributes:
        columns: Which columns; all when None.
        order: The order of the row groups of a file, and of the rows of a row group.
    """

    columns: tuple[str, ...] | None = None
    order: Order = IN_ORDER

    def __call__(
        self, path: Path, *, file: int, row: int, batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give batches from the one that holds a row on, as RowFormat says."""
        with pq.ParquetFile(path, page_checksum_verification=True, buffer_size=1 << 20) as parquet:
            self._check(path, parquet)
            first = 0
            for group in self.order.groups(file, parquet.num_row_groups).tolist():
                count = parquet.metadata.row_group(group).num_rows
                if first + count > row:
                    at = first
                    for batch in self._batches(parquet, file, group, batch_rows):
                        if at + batch.num_rows > row:
                            yield at, batch
                        at += batch.num_rows
                    if at != first + count:  # a page header may be wrong, whose checksum is none
                        raise OSError(f"row group {group} gave {at - first} of {count} rows")
                first += count

    def _check(self, path: Path, parquet: pq.ParquetFile) -> None:
        leaves = [parquet.schema.column(i).path for i in range(len(parquet.schema.names))]
        for column in self.columns or ():
            if not any(f"{leaf}.".startswith(f"{column}.") for leaf in leaves):
                there = ", ".join(parquet.schema_arrow.names)
                raise SourceError(f"{path}: has no column {column}; name some of {there}")

    def _batches(
        self, parquet: pq.ParquetFile, file: int, group: int, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        if not self.order.shuffled:
            yield from parquet.iter_batches(batch_rows, row_groups=[group], columns=self.columns)
            return
        table = parquet.read_row_group(group, columns=self.columns)
        count = parquet.metadata.row_group(group).num_rows
        yield from table.take(self.order.rows(file, group, count)).to_batches(batch_rows)


def _fetched_now(transfer: Transfer, file: SourceFile, error: Exception) -> Path:
    """Fetch a file that there was no room for while the one before it was here."""
    if type(error) is not StreamingError:  # its children tell of other things than room
        raise error
    return transfer.fetch(file)


def _told(
    transfer: Transfer, file: SourceFile, batches: Iterator[tuple[int, pa.RecordBatch]]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        transfer.drop(file)  # the next run fetches it anew
        raise SourceError(
            f"{file.url}: cannot be read ({error}); if it is damaged, put a whole one in its "
            "place; the same command goes on where it stopped"
        ) from error
