"""A mixture on disk: counted from a model's pieces, fitted to them, and opened.

    mixture.keys.npy    uint64: context and mask, the contexts of the corpus one after another
    mixture.counts.npy  uint32: how often each came, equal pieces counted once
    mixture.fitted.npy  float64: the arrays of `Fitted`, one after another

A model keeps its pieces, and a mixture is made of nothing else, in an order that is theirs: so
models merged of any shards are the model of a single run, byte by byte. Counting and fitting
take bounded memory: counts are summed up in a scratch store and mapped from their file.
"""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.errors import CachingError, GrooveError
from workbench.groove.contexts import CORPUS_CONTEXTS
from workbench.groove.mixture import (
    Counts,
    Fitted,
    Mixture,
    context_keys,
    fitted_to,
    unfitted,
)
from workbench.groove.pieces import Piece, canonical_bounds, canonical_pieces
from workbench.groove.streams import PIECES
from workbench.progress import Progress, Show, silent
from workbench.streaming.tally import TallyStore, counted

MIXTURE_FORMAT = 1  # of contexts, maps and weights; another one is no mixture of this program
_KEYS, _COUNTS, _FITTED = "mixture.keys.npy", "mixture.counts.npy", "mixture.fitted.npy"
_BLOCK_STEPS = 1 << 15
_SHOWN_EVERY = 64  # pieces


def write_mixture(
    folder: Path, resolution: int, *, budget_bytes: int, show: Show = silent
) -> dict[str, Any]:
    """Count and fit the mixture of the pieces in a folder, beside them.

    Args:
        folder: A model's, with its pieces.
        resolution: Steps a quarter note.
        budget_bytes: RAM for summing up the counts.
        show: Told about the progress.

    Returns:
        What the model's description says of it.
    """
    keys = opened_array(folder / f"{PIECES.name}.keys.npy")
    total = len(canonical_bounds(keys))
    starts = _write_counts(folder, canonical_pieces(keys, resolution), budget_bytes)
    counts = _counts(folder, starts, "r+")
    fitted, began = unfitted(), time.monotonic()
    for number, so_far in enumerate(fitted_to(counts, canonical_pieces(keys, resolution)), 1):
        fitted = so_far
        if number % _SHOWN_EVERY == 0 or number == total:
            show(
                Progress(
                    stage="fitting",
                    done=number,
                    total=total,
                    unit="pieces",
                    seconds=time.monotonic() - began,
                    fresh=number,
                )
            )
    with ArrayWriter(folder / _FITTED, "<f8") as writer:
        for values in fitted:
            writer.append(values.ravel())
    return {"format": MIXTURE_FORMAT, "pieces": total, "starts": starts}


def open_mixture(folder: Path, told: Mapping[str, Any]) -> Mixture:
    """Open the mixture of a model.

    Args:
        folder: The model.
        told: What its description says of the mixture.

    Raises:
        GrooveError: It is of another format, or its arrays are not as long as they should be.
        CachingError: An array is missing or no array.
    """
    if told["format"] != MIXTURE_FORMAT:
        raise GrooveError(
            f"{folder}: a mixture of format {told['format']}; this program reads "
            f"{MIXTURE_FORMAT}: train or merge the model again"
        )
    counts = _counts(folder, told["starts"], "c")
    values = np.asarray(opened_array(folder / _FITTED))
    shapes = [array.shape for array in unfitted()]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    rows = told["starts"][-1]
    if (
        len(told["starts"]) != len(CORPUS_CONTEXTS) + 1
        or not len(counts.keys) == len(counts.counts) == rows
        or (counts.keys.dtype.str, counts.counts.dtype.str) != ("<u8", "<u4")
        or (len(values), values.dtype.str) != (ends[-1], "<f8")
    ):
        raise GrooveError(
            f"{folder}: damaged: the mixture's arrays are not of {rows} rows and {ends[-1]} "
            "numbers; train or merge the model again"
        )
    parts = np.split(values, ends[:-1])
    pairs = zip(parts, shapes, strict=True)
    return Mixture(counts, Fitted(*(part.reshape(shape).copy() for part, shape in pairs)))


def _write_counts(folder: Path, pieces: Iterator[Piece], budget_bytes: int) -> list[int]:
    """Write the counts of all contexts; return each one's first row, and their number."""
    spill = folder / "mixture.sqlite"
    names = [f"{number:02}" for number in range(len(CORPUS_CONTEXTS))]
    with (
        TallyStore(spill, budget_bytes=budget_bytes, is_durable=False) as store,
        ArrayWriter(folder / _KEYS, "<u8") as keys,
        ArrayWriter(folder / _COUNTS, "<u4") as counts,
    ):
        for block in _blocks(pieces):
            of_block = np.concatenate([context_keys(piece) for piece in block], axis=1)
            for name, of_context in zip(names, of_block, strict=True):
                store.add(name, counted(of_context))
                if store.is_full:
                    store.commit({"at": name})
        store.commit({"at": "end"})
        starts = [0]
        for name in names:
            for rows in store.rows(name):
                keys.append(rows[0])
                counts.append(rows[1])
            starts.append(keys.length)
    spill.unlink()
    return starts


def _blocks(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Give pieces in lists of about equally many steps."""
    block: list[Piece] = []
    steps = 0
    for piece in pieces:
        block.append(piece)
        steps += len(piece.masks)
        if steps >= _BLOCK_STEPS:
            yield block
            block, steps = [], 0
    if block:
        yield block


def _counts(folder: Path, starts: list[int], mode: str) -> Counts:
    """Map the counts: with `r+` what is written goes to the file, with `c` nowhere."""
    arrays = []
    for path in (folder / _KEYS, folder / _COUNTS):
        array = opened_array(path)  # also where it is empty, and cannot be mapped to write
        if len(array):
            try:
                array = np.asarray(np.lib.format.open_memmap(path, mode=mode))
            except (OSError, ValueError) as error:
                raise CachingError(f"{path}: no readable array ({error})") from error
        arrays.append(array)
    return Counts(keys=arrays[0], counts=arrays[1], starts=np.array(starts, np.int64))
