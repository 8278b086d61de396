"""Counting a batch of files: bytes in, rows of counts out, nothing else touched.

A batch is counted in this process or in a worker; the rows of a corpus are the sum of the rows
of its batches, however it was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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

    def head(self, files: int) -> "Batch":
        """Return a batch of the first files of this one."""
        return Batch(
            first=self.first,
            indices=self.indices[:files],
            names=self.names[:files],
            root=self.root,
            sizes=self.sizes[:files],
            is_first=self.is_first[:files],
            labels=self.labels,
            options=self.options,
        )


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
