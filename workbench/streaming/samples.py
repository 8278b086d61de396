"""Samples of Parquet shards in the order of an epoch, from any place on, dealt among ranks.

A sample is a row. The samples of an epoch have places 0 to rows - 1, whatever shards, row groups
and processes bring them, as a pure function of seed and epoch: shards are permuted, then the row
groups of a shard, then the rows of every few row groups together. Rank r of w takes the places
that leave r when they are divided by w, so that a run that goes on with another number of ranks
loses no sample and repeats none.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.errors import OptionsError, SourceError
from workbench.streaming.ahead import ahead
from workbench.streaming.order import Order
from workbench.streaming.source import Source
from workbench.streaming.window import ShardWindow


class Span(NamedTuple):
    """The places of one step: those of all ranks together.

    Attributes:
        start: The first.
        stop: Behind the last.
    """

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One rank's samples of a step.

    Attributes:
        rows: The samples, `(n,)`.
        epoch: Of which epoch.
        places: Their places in it, int64 `(n,)`; with seed and epoch, a key for random numbers
            that are the same after an interruption.
    """

    rows: pa.Table
    epoch: int
    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """How samples are dealt in steps.

    Attributes:
        batch_rows: Samples of one rank in a step, at most.
        rank: Which rank this is.
        world: How many there are.
    """

    batch_rows: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OptionsError: A number is out of its range.
        """
        if self.batch_rows < 1 or not 0 <= self.rank < self.world:
            raise OptionsError(
                f"rank {self.rank} of {self.world} in batches of {self.batch_rows}: want a rank "
                "from 0 to ranks - 1, and at least one sample in a batch"
            )

    def spans(self, start: int, rows: int) -> Iterator[Span]:
        """Give the spans of an epoch from a place on; every rank has a sample in each.

        The last step but one is smaller where else the last had too few for all ranks.

        Raises:
            OptionsError: Some rank would have no sample in the last step.
        """
        left = max(rows - start, 0)
        if 0 < left < self.world or (self.batch_rows == 1 and left % self.world):
            remedy = f"take {left} ranks or fewer"
            if left > self.world:
                remedy = "take batches of 2 or more samples"
            raise OptionsError(
                f"{left} samples from place {start} on for {self.world} ranks in batches of "
                f"{self.batch_rows}: some rank has none in the last step; {remedy}"
            )
        return self._spans(start, rows)

    def _spans(self, start: int, rows: int) -> Iterator[Span]:
        whole = self.batch_rows * self.world
        while start < rows:
            left = rows - start
            is_last_short = whole < left < whole + self.world and self.batch_rows > 1
            stop = rows - self.world if is_last_short else start + min(whole, left)
            yield Span(start, stop)
            start = stop

    def steps(self, start: int, rows: int) -> int:
        """Return how many spans there are from a place on, where it can be dealt."""
        return -(-max(rows - start, 0) // (self.batch_rows * self.world))

    def places(self, span: Span) -> NDArray[np.int64]:
        """Return the places of a span that are this rank's; int64 (n,)."""
        first = span.start + (self.rank - span.start) % self.world
        return np.arange(first, span.stop, self.world)


class Epoch:
    """One epoch over a source.

    Attributes:
        rows: How many samples it has.
    """

    def __init__(self, source: Source, order: Order, *, mix: int, columns: tuple[str, ...] | None):
        """Plan an epoch; nothing is read.

        Args:
            source: The shards.
            order: Of the epoch.
            mix: How many row groups have their rows permuted together, at least 1.
            columns: Which columns are read; all when None.

        Raises:
            OptionsError: A shard does not tell how many rows it has.
        """
        unknown = [file.name for file in source.files if file.rows is None]
        if unknown:
            raise OptionsError(
                f"{source.name}: does not tell how many rows {unknown[0]} has, so that no place in "
                "it can be gone back to; read the footers first (with_rows)"
            )
        self._source = source
        self._order = order
        self._mix = mix
        self._columns = None if columns is None else list(columns)
        self._shards = order.files(len(source.files))
        counts = [source.files[shard].rows or 0 for shard in self._shards.tolist()]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.rows = int(self._starts[-1])

    def shards_before(self, place: int) -> int:
        """Return how many shards of the epoch lie wholly before a place."""
        return int(np.searchsorted(self._starts[1:], place, side="right"))

    def read(
        self, window: ShardWindow, spans: Iterable[Span], deal: Deal
    ) -> Generator[Samples | None, None, None]:
        """Give a rank's samples of each of some spans, in order.

        Where a shard was skipped, a span may have nothing left for some rank: that is None for all
        of them.

        Args:
            window: What the shards come through.
            spans: Of this epoch, rising; not all need be there.
            deal: Which samples are this rank's.

        Raises:
            SourceError: A shard cannot be fetched or read, or has other rows than it told.
            StreamingError: There is no room for it, or it does not come in time.
        """
        spans = iter(spans)
        span = next(spans, None)
        if span is None:
            return
        with closing(_one_ahead(self._parts(window, span.start))) as parts:
            part = next(parts)
            while span is not None:
                pieces: list[pa.Table] = []
                places: list[NDArray[np.int64]] = []
                served, start = np.zeros(deal.world, bool), span.start
                while start < span.stop:
                    while part.stop <= start:
                        part = next(parts)
                    upto = min(span.stop, part.stop)
                    if part.table is not None:
                        found = deal.places(Span(start, upto))
                        served[np.arange(start, min(upto, start + deal.world)) % deal.world] = True
                        places.append(found)
                        pieces.append(_picked(part.table, found - part.start, deal.world))
                    start = upto
                if not served.all():
                    yield None
                else:
                    rows = pa.concat_tables(pieces) if len(pieces) > 1 else pieces[0]
                    found = np.concatenate(places) if len(places) > 1 else places[0]
                    yield Samples(rows=rows, epoch=self._order.epoch, places=found)
                span = next(spans, None)

    def _parts(self, window: ShardWindow, start: int) -> Generator["_Part", None, None]:
        """Give what is in memory at a time, from the part that holds a place on."""
        for at in range(self.shards_before(start), len(self._shards)):
            first, stop = int(self._starts[at]), int(self._starts[at + 1])
            shard = int(self._shards[at])
            if first == stop:
                continue
            with window.lease(shard) as path:
                if path is None:
                    yield _Part(first, stop, None)
                else:
                    yield from self._parts_of(path, shard, first, start)

    def _parts_of(
        self, path: Path, shard: int, first: int, start: int
    ) -> Generator["_Part", None, None]:
        want = self._source.files[shard].rows
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
                if parquet.metadata.num_rows != want:
                    raise SourceError(f"{path}: has {parquet.metadata.num_rows} rows, not {want}")
                groups = self._order.groups(shard, parquet.num_row_groups)
                for number in range(-(-len(groups) // self._mix)):
                    some = groups[number * self._mix : (number + 1) * self._mix].tolist()
                    count = sum(parquet.metadata.row_group(group).num_rows for group in some)
                    if first + count > start:
                        table = parquet.read_row_groups(some, columns=self._columns)
                        yield _Part(first, first + count, self._shuffled(table, shard, number))
                    first += count
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{self._source.files[shard].url}: cannot be read ({error}); if it is damaged, put "
                "a whole one in its place"
            ) from error

    def _shuffled(self, table: pa.Table, shard: int, number: int) -> pa.Table:
        if not self._order.shuffled:
            return table
        return table.take(self._order.rows(shard, number, table.num_rows))


class _Part(NamedTuple):
    """Samples in memory; no table where their shard was skipped."""

    start: int
    stop: int
    table: pa.Table | None


def _picked(table: pa.Table, at: NDArray[np.int64], world: int) -> pa.Table:
    if world == 1:
        return table.slice(int(at[0]), len(at))
    return table.take(at)


def _one_ahead(parts: Iterator[_Part]) -> Generator[_Part, None, None]:
    """Give the parts, each read while the one before is used."""

    def coming(_: None) -> _Part | None:
        return next(parts, None)

    for part in ahead(coming, repeat(None)):
        if part is None:
            return
        yield part
