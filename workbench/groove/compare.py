"""Models on the same performances: what each one's steps cost, and how sure a difference is.

A difference is told with the interval that 95 of 100 corpora like this one would give, by the
paired bootstrap (Efron and Tibshirani, 1993): files, not steps, are drawn anew with replacement,
as the steps of a file are alike, and both models are asked about the same files.

Units: bits of a step's mask; bars of 4/4, and only of performances wholly in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.counting import Batch, labelled_columns, read_performances
from workbench.groove.files import midi_files
from workbench.groove.labels import read_labels
from workbench.groove.model import Model
from workbench.groove.score import batches_of, is_in_four, step_probabilities
from workbench.groove.streams import Ints

Floats = NDArray[np.float64]

SPANS = (0, 1, 2, 4, 8, 16)  # first bar of each span, from the start of a piece
_CHUNK = 256  # draws at a time
_OUTSIDE = 0.025  # of the draws, on either side of an interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileBits:
    """What the steps of some performances cost.

    Attributes:
        names: Of the files, as the list has them.
        styles: Of the files, `unknown` where nobody tells.
        bits: In each of SPANS, float64 (files, spans).
        bars: In each of SPANS, int64 (files, spans).
    """

    names: tuple[str, ...]
    styles: tuple[str, ...]
    bits: Floats
    bars: Ints

    @property
    def bits_per_bar(self) -> float:
        """Of all bars."""
        return float(self.bits.sum() / self.bars.sum())

    def by_span(self) -> list[float]:
        """Return the bits a bar in each of SPANS, NaN where there is none."""
        return _ratios(self.bits.sum(axis=0), self.bars.sum(axis=0))

    def by_style(self) -> dict[str, float]:
        """Return the bits a bar of each style."""
        styles = np.array(self.styles)
        return {
            style: float(self.bits[styles == style].sum() / self.bars[styles == style].sum())
            for style in sorted(set(self.styles))
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How many bits a bar one model needs more than another.

    Attributes:
        bits_per_bar: Below 0 where it needs fewer.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    bits_per_bar: float
    low: float
    high: float


def file_bits(
    model: Model, corpus: Path, labels: Path | None = None, *, styles: Path | None = None
) -> FileBits:
    """Return what each performance in 4/4 costs a model, with the piece's own steps so far.

    Args:
        model: The model.
        corpus: Folder of MIDI files, or a text file that lists them.
        labels: A table of labels; the model is then conditioned on those it knows.
        styles: A table that only names the styles of the files; that of the labels when None.

    Raises:
        StreamingError: There are no files.
        GrooveError: The labels table cannot be read, or no file is in 4/4.
    """
    table, naming = read_labels(labels), read_labels(styles or labels)
    names: list[str] = []
    bits: list[Floats] = []
    bars: list[Ints] = []
    for batch in batches_of(midi_files(corpus), table, model):
        for name, file_bits_, file_bars in _costs(model, batch):
            names.append(name)
            bits.append(file_bits_)
            bars.append(file_bars)
    if not names:
        raise GrooveError(f"{corpus}: no file in 4/4 could be scored")
    return FileBits(
        names=tuple(names),
        styles=tuple(naming.style(name) or "unknown" for name in names),
        bits=np.stack(bits),
        bars=np.stack(bars),
    )


def paired_bootstrap(
    one: FileBits, other: FileBits, *, draws: int = 10_000, seed: int = 0
) -> Difference:
    """Return how many bits a bar one model needs more than another, and how sure that is.

    Args:
        one: What the files cost the one.
        other: What the same files cost the other.
        draws: How many times files are drawn anew.
        seed: Equal seeds give equal intervals.

    Raises:
        GrooveError: They are not of the same files.
    """
    if one.names != other.names:
        raise GrooveError(
            f"models are compared on other files: {len(one.names)} and {len(other.names)}, or in "
            "another order; score both on one list"
        )
    more = (one.bits - other.bits).sum(axis=1)
    bars = one.bars.sum(axis=1)
    generator = np.random.Generator(np.random.PCG64(seed))
    found = []
    for begin in range(0, draws, _CHUNK):
        size = (min(_CHUNK, draws - begin), len(bars))
        drawn = generator.integers(0, len(bars), size)
        found.append(more[drawn].sum(axis=1) / bars[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(found), (_OUTSIDE, 1 - _OUTSIDE))
    return Difference(bits_per_bar=float(more.sum() / bars.sum()), low=float(low), high=float(high))


def _costs(model: Model, batch: Batch) -> list[tuple[str, Floats, Ints]]:
    """Return name, bits and bars of each performance of a batch that is in 4/4."""
    found = read_performances(batch)
    if not found.grids:
        return []
    names = [batch.names[place] for place in found.places]
    columns = labelled_columns(found.grids, batch.labels, names, batch.options)
    costs = -np.log2(step_probabilities(model, columns)[1])
    ends = np.flatnonzero(np.diff(columns.step_file)) + 1
    rows: list[tuple[str, Floats, Ints]] = []
    for name, grid, of_file in zip(names, found.grids, np.split(costs, ends), strict=True):
        if is_in_four(grid):
            bars = len(grid.bar_steps)
            span = np.searchsorted(SPANS, np.arange(bars), side="right") - 1
            by_bar = of_file.reshape(bars, -1).sum(axis=1)
            bits = np.bincount(span, by_bar, len(SPANS)).astype(np.float64)
            rows.append((name, bits, np.bincount(span, minlength=len(SPANS))))
    return rows


def _ratios(bits: Floats, bars: Ints) -> list[float]:
    pairs: Sequence[tuple[float, int]] = list(zip(bits.tolist(), bars.tolist(), strict=True))
    return [total / count if count else float("nan") for total, count in pairs]
