"""Rows written to Parquet shards of limited size, the same bytes for the same rows.

Where a shard and its row groups end depends on the rows alone, never on the batches they came
in. Pages carry checksums; large binary columns are neither dictionary-coded nor compressed, as
sound does not shrink. Units: sizes in bytes, of the values before encoding.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.streaming.ahead import Behind
from workbench.streaming.sink import unwritten


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """Where shards and row groups end.

    Attributes:
        rows: Rows of a shard at most [1..].
        size: Bytes of a shard at most, but at least one row [1..].
        group_rows: Rows of a row group at most [1..].
        group_size: Bytes of a row group at most, but at least one row [1..].
    """

    rows: int = 10_000
    size: int = 5_000_000_000
    group_rows: int = 100
    group_size: int = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How columns are written; names are those of Parquet, with dots.

    Attributes:
        raw: As they are: neither dictionary nor compression nor statistics, as sound.
        plain: Compressed without a dictionary, as numbers that hardly repeat.
        short: With a dictionary and not compressed, as what is the same in a whole row group.
        statistics: Those whose least and greatest value are told; all but the raw ones when None.
    """

    raw: Sequence[str] = ()
    plain: Sequence[str] = ()
    short: Sequence[str] = ()
    statistics: Sequence[str] | None = None


_BUFFER = 1 << 20  # bytes that are written at once; a small row group has many small pieces
_OF_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_string,
    pa.types.is_large_string,
)


class ShardWriter:
    """One shard that rows are added to; a context manager.

    Attributes:
        path: The file.
        rows: Rows added so far.
        size: Bytes added so far.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        limits: ShardLimits,
        raw_columns: Sequence[str] = (),
        coding: Coding | None = None,
    ):
        """Begin a shard; what is at its path is replaced.

        Args:
            path: The file.
            schema: Of the rows: numbers, strings, bytes, and structs and lists of them;
                dictionary-coded strings count as long as their codes.
            limits: Where the shard and its row groups end.
            raw_columns: Columns of bytes that are written as they are, as `audio.bytes`.
            coding: How all columns are written, in place of the raw ones alone.

        Raises:
            SinkError: The file cannot be written.
        """
        self.path = path
        self.rows = 0
        self.size = 0
        self._limits = limits
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_size = 0
        self._behind = Behind()  # a row group is written while the next one is made
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # one who was interrupted may still end a file of its own
            self._out = pa.output_stream(str(path), compression=None, buffer_size=_BUFFER)
            self._writer = self._begun(coding or Coding(raw=raw_columns))
        except OSError as error:
            raise unwritten(path, error) from error

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file, or delete it where something went wrong."""
        if kind is None:
            self.close()
        else:
            self.abandon()

    def append(self, batch: pa.RecordBatch) -> int:
        """Add rows until the shard is full.

        Returns:
            How many of the rows were taken, from the first; fewer than all where it is full.

        Raises:
            SinkError: The file cannot be written.
        """
        sizes = row_sizes(batch)
        taken = 0
        while taken < batch.num_rows:
            fitting = self._fitting(sizes[taken:])
            if fitting == 0:
                if self._waiting_rows == 0 or self._is_full(int(sizes[taken])):
                    break
                self._write_group()
                continue
            self._waiting.append(batch.slice(taken, fitting))
            added = int(sizes[taken : taken + fitting].sum())
            self._waiting_rows += fitting
            self._waiting_size += added
            self.rows += fitting
            self.size += added
            taken += fitting
        return taken

    def append_group(self, batch: pa.RecordBatch) -> None:
        """Add rows as a row group of their own, whatever the limits; it is written at once.

        Args:
            batch: At least one row. Its size counts as Arrow holds it.

        Raises:
            SinkError: The file cannot be written.
        """
        self._write_group()
        try:
            self._behind.wait()
            self._writer.write_batch(batch, row_group_size=batch.num_rows)
        except OSError as error:
            raise unwritten(self.path, error) from error
        self.rows += batch.num_rows
        self.size += batch.nbytes

    def close(self) -> None:
        """Write what waits and finish the file.

        Raises:
            SinkError: The file cannot be written.
        """
        try:
            self._write_group()
            self._behind.wait()
            self._writer.close()
            self._out.close()
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError):
                raise unwritten(self.path, error) from error
            raise

    def abandon(self) -> None:
        """Delete the unfinished file."""
        with contextlib.suppress(Exception):  # what it wrote is deleted
            self._behind.wait()
        self._writer.is_open = False  # else it writes its end where the file was
        self._delete()

    def _begun(self, coding: Coding) -> pq.ParquetWriter:
        leaves = _leaves(self._schema)
        bare = {*coding.raw, *coding.short}
        coded = [leaf for leaf in leaves if leaf not in coding.raw]
        told = coded if coding.statistics is None else list(coding.statistics)
        try:
            return pq.ParquetWriter(
                self._out,
                self._schema,
                compression={leaf: "none" if leaf in bare else "zstd" for leaf in leaves},
                use_dictionary=[leaf for leaf in coded if leaf not in coding.plain],
                write_statistics=told,
                write_page_checksum=True,
            )
        except BaseException:
            self._delete()
            raise

    def _is_full(self, size: int) -> bool:
        """Return whether a row of a size has no place in the shard."""
        is_over = self.rows > 0 and self.size + size > self._limits.size
        return self.rows >= self._limits.rows or is_over

    def _fitting(self, sizes: NDArray[np.int64]) -> int:
        """Return how many of the next rows belong to the present row group."""
        limits = self._limits
        rows = min(limits.rows - self.rows, limits.group_rows - self._waiting_rows, len(sizes))
        if rows <= 0:
            return 0
        upto = np.cumsum(sizes[:rows])
        fits = int(np.searchsorted(upto, limits.group_size - self._waiting_size, side="right"))
        if fits == 0 and self._waiting_rows == 0:
            fits = 1  # a row larger than a row group has one to itself
        in_shard = int(np.searchsorted(upto, limits.size - self.size, side="right"))
        if in_shard == 0 and self.rows == 0:
            in_shard = 1
        return min(fits, in_shard)

    def _write_group(self) -> None:
        if self._waiting_rows:
            table = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
            self._waiting, self._waiting_rows, self._waiting_size = [], 0, 0
            write = partial(self._writer.write_table, table, row_group_size=len(table))
            try:
                self._behind.submit(write)
            except OSError as error:
                raise unwritten(self.path, error) from error

    def _delete(self) -> None:
        with contextlib.suppress(OSError):  # it is deleted anyway
            self._out.close()
        self.path.unlink(missing_ok=True)


def row_sizes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the bytes of each row's values; shape (rows,)."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _sizes(column)
    return sizes


def _sizes(column: pa.Array) -> NDArray[np.int64]:
    kind = column.type
    if pa.types.is_struct(kind):
        total = np.zeros(len(column), np.int64)
        for child in column.flatten():
            total += _sizes(child)
        return total
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        upto = np.concatenate([[0], np.cumsum(_sizes(column.values))])
        ends = upto[np.asarray(column.offsets)]
        return np.where(np.asarray(column.is_valid()), np.diff(ends), 0)
    if any(is_one(kind) for is_one in _OF_BYTES):
        lengths = pc.fill_null(pc.binary_length(column), 0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)
    width = (kind.bit_width + 7) // 8
    return np.full(len(column), width, np.int64)


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the names of the columns as Parquet has them, with dots."""
    out = pa.BufferOutputStream()
    pq.write_metadata(schema, out)
    columns = pq.read_metadata(pa.BufferReader(out.getvalue())).schema
    return [columns.column(index).path for index in range(len(columns))]
