"""Counting batches of files: bytes in, rows of counts out, nothing else touched.

A batch is counted in this process or by a worker; the rows of a corpus are the sum of the rows
of its batches, however it was cut. A batch that its worker dies of is therefore counted file by
file, so that only the file at fault is left out.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.groove.grid import Grid, Skip, grid_of
from workbench.groove.labels import Labels
from workbench.groove.options import TrainOptions
from workbench.groove.pieces import piece_keys
from workbench.groove.streams import LABEL_KINDS, PIECES, Columns, columns_of, streams_of
from workbench.music.midi import Refusal, read_midi_file
from workbench.streaming.tally import Rows, counted
from workbench.streaming.workers import KILLED_WORKER, Engine, cheapest, executor, map_ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some files of a list, to be counted together.

    Attributes:
        first: Position in the shard of the first file.
        indices: Index in the whole list of each file.
        names: Name of each file, as the list has it.
        root: Folder that the names start from.
        sizes: Bytes of each file when the list was made, negative where it could not be read.
        is_first: Whether each file is the first of its content in the whole list.
        labels: What the labels table says of these files.
        options: How files are counted.
    """

    first: int
    indices: tuple[int, ...]
    names: tuple[str, ...]
    root: Path
    sizes: tuple[int, ...]
    is_first: tuple[bool, ...]
    labels: Labels
    options: TrainOptions

    def __str__(self) -> str:
        return f"files {self.indices[0]} to {self.indices[-1]} ({self.names[0]} ...)"

    def part(self, start: int, stop: int) -> "Batch":
        """Return a batch of the files of this one from one place to before another."""
        chosen = slice(start, stop)
        return replace(
            self,
            first=self.first + start,
            indices=self.indices[chosen],
            names=self.names[chosen],
            sizes=self.sizes[chosen],
            is_first=self.is_first[chosen],
        )

    def singles(self) -> Iterator["Batch"]:
        """Give a batch of each file."""
        return (self.part(place, place + 1) for place in range(len(self.names)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchCounts:
    """What a batch counted.

    Attributes:
        batch: The batch.
        rows: By stream, the distinct keys and their counts.
        skips: By place in the batch, why a file was not counted.
        notes_of_file: Notes counted of each file, int64 (files,); an event is a note.
        bars: Bars counted.
    """

    batch: Batch
    rows: dict[str, Rows]
    skips: dict[int, Skip]
    notes_of_file: NDArray[np.int64]
    bars: int = 0


@dataclass(slots=True)
class Performances:
    """Performances that were read, and why the others were not.

    Attributes:
        grids: The performances.
        places: Place of each in what was asked for.
        skips: By place, why there is none.
    """

    grids: list[Grid] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    skips: dict[int, Skip] = field(default_factory=dict)


def count_batch(batch: Batch) -> BatchCounts:
    """Count the files of a batch. No file, however broken, raises; user files are only read."""
    found = read_performances(batch)
    notes = np.zeros(len(batch.names), np.int64)
    if not found.grids:
        return BatchCounts(batch=batch, rows={}, skips=found.skips, notes_of_file=notes)
    names = [batch.names[place] for place in found.places]
    looks_back = max(2, batch.options.n - 1)
    columns = labelled_columns(found.grids, batch.labels, names, batch.options, looks_back)
    kinds = label_kinds(batch.labels)
    options = batch.options
    streams = streams_of(options.n, options.part, kinds, model=options.model)
    keys = {stream.name: columns.keys(stream) for stream in streams if stream is not PIECES}
    if PIECES in streams:
        numbers = [batch.indices[place] for place in found.places]
        keys[PIECES.name] = piece_keys(columns, numbers, options.resolution)
    notes[found.places] = [len(grid.pitch) for grid in found.grids]
    return BatchCounts(
        batch=batch,
        rows={name: counted(of_stream) for name, of_stream in keys.items()},
        skips=found.skips,
        notes_of_file=notes,
        bars=len(columns.bar_digests),
    )


def count_batches(
    batches: Iterable[Batch], *, engine: Engine, workers: int
) -> Generator[BatchCounts, None, None]:
    """Give the counts of batches, in order; a file that its worker dies of is skipped.

    Args:
        batches: The batches.
        engine: What counts them; one process is this one.
        workers: How many, at least 1.

    Raises:
        StreamingError: The engine cannot be used.
    """
    if cheapest(engine, workers) == "threads":  # none dies alone
        yield from map_ordered(count_batch, batches, engine="threads", workers=workers)
        return
    with executor(engine, workers) as pool:
        yield from _counted_by(pool, workers, batches)


def read_performances(batch: Batch) -> Performances:
    """Read the files of a batch onto the grid."""
    found = Performances()
    for place, name in enumerate(batch.names):
        grid = _read(batch, place, name)
        if isinstance(grid, Skip):
            found.skips[place] = grid
        else:
            found.grids.append(grid)
            found.places.append(place)
    return found


def labelled_columns(
    grids: Sequence[Grid],
    labels: Labels,
    names: list[str],
    options: TrainOptions,
    looks_back: int = 4,
) -> Columns:
    """Return the columns of some performances with their labels."""
    return columns_of(
        grids,
        labels.numbers(names),
        n=options.n,
        coarse=options.coarse,
        onset_order=options.onset_order,
        part=options.part,
        looks_back=looks_back,
    )


def label_kinds(labels: Labels) -> tuple[str, ...]:
    """Return the kinds of labels that a table has, in their usual order."""
    return tuple(kind for kind in LABEL_KINDS if kind in labels.vocabulary)


def _counted_by(
    pool: Executor, workers: int, batches: Iterable[Batch]
) -> Generator[BatchCounts, None, None]:
    results: Iterator[BatchCounts | Batch] = map_ordered(
        count_batch, batches, engine=pool, workers=workers, lost=_itself
    )
    for result in results:
        if isinstance(result, BatchCounts):
            yield result
        elif len(result.names) == 1:
            yield _killed(result)
        else:  # by the same workers, so that whose death it is stays known
            yield from _counted_by(pool, workers, result.singles())


def _itself(batch: Batch) -> Batch:
    return batch


def _killed(batch: Batch) -> BatchCounts:
    """Return the counts of a batch of one file, which its worker died of."""
    detail = "its worker died in every attempt (killed, or out of memory)"
    skip = Skip(reason=KILLED_WORKER, detail=detail)
    return BatchCounts(batch=batch, rows={}, skips={0: skip}, notes_of_file=np.zeros(1, np.int64))


def _read(batch: Batch, place: int, name: str) -> Grid | Skip:
    options = batch.options
    if not batch.is_first[place]:
        return Skip(reason="duplicate", detail="an earlier file has the same content")
    is_fill = options.fills != "count" and batch.labels.section(name) == "fill"
    if is_fill != (options.fills == "only") and options.fills != "count":
        return Skip(reason="section", detail=f"--fills {options.fills}")
    if 0 <= batch.sizes[place] < options.min_bytes:
        return Skip(reason="few_bytes", detail=f"{batch.sizes[place]} bytes")
    if batch.sizes[place] > options.max_bytes:
        return Skip(reason="many_bytes", detail=f"{batch.sizes[place]} bytes")
    midi = read_midi_file(batch.root / name, max_bytes=options.max_bytes)
    if isinstance(midi, Refusal):
        return Skip(reason=midi.reason, detail=midi.detail)
    return grid_of(midi, options)
