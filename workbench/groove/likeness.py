"""Drawn pieces beside played ones: chords, classes, repetition, and what was learned by heart.

All is told of masks on the grid, the first so many bars of each piece, so that pieces of any
length and models of any kind are held against each other. Copies are told of bars with a hit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.drums import CLASS_COUNT, CLASS_OF_PITCH
from workbench.groove.grid import Grid
from workbench.groove.model import Model
from workbench.groove.sample import Sample
from workbench.groove.score import is_in_four
from workbench.groove.streams import Ints, bar_neighbours, masks_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likeness:
    """Some pieces in numbers.

    Attributes:
        pieces: How many.
        bars: Their bars.
        hits_per_bar: Classes that sound, a bar.
        polyphony: Share of the sounding steps with two or more classes.
        class_share: Share of each drum class in the hits, float64 (9,).
        repeated: Share of the bars that are an earlier bar of their piece.
        varied: Share of the bars that are within one hit of an earlier bar, those counted in.
        near_copies: Share of the bars that are within one hit of a bar that the model learned from.
    """

    pieces: int
    bars: int
    hits_per_bar: float
    polyphony: float
    class_share: NDArray[np.float64]
    repeated: float
    varied: float
    near_copies: float


def drawn_masks(samples: Sequence[Sample]) -> list[Ints]:
    """Return what sounds at each step of some drawn pieces, int64 (bars, steps a bar) each."""
    return [sample.masks.reshape(sample.bars, sample.bar_steps) for sample in samples]


def played_masks(grids: Sequence[Grid], bars: int) -> list[Ints]:
    """Return what sounds at each step of the first bars of performances, (bars, steps a bar) each.

    Args:
        grids: Performances; those that are not wholly in 4/4, or are shorter, are left out.
        bars: How many of each.
    """
    found = []
    for grid in grids:
        if is_in_four(grid) and len(grid.bar_steps) >= bars:
            size = int(grid.bar_steps[0])
            at = grid.bar * size + grid.step
            here = at < bars * size
            masks = masks_of(at[here], CLASS_OF_PITCH[grid.pitch[here]], bars * size)
            found.append(masks.reshape(bars, size))
    return found


def likeness(model: Model, pieces: Sequence[Ints]) -> Likeness:
    """Return the numbers of some pieces.

    Args:
        model: What near copies are told of.
        pieces: Masks of each, int64 (bars, steps a bar).

    Raises:
        GrooveError: There are none, or they are silent.
    """
    masks = np.concatenate([piece.ravel() for piece in pieces]) if pieces else np.zeros(0, np.int64)
    hits = (masks[:, None] >> np.arange(CLASS_COUNT)) & 1
    sounding = hits.sum(axis=1)
    if not sounding.any():
        raise GrooveError(
            f"{len(pieces)} pieces without a hit cannot be described; give pieces in 4/4 that are "
            "long enough, or draw more of them"
        )
    bars = sum(len(piece) for piece in pieces)
    told = np.array([row for piece in pieces for row in _bars_told(model, piece)])
    repeated, varied, near = told.mean(axis=0)
    return Likeness(
        pieces=len(pieces),
        bars=bars,
        hits_per_bar=float(sounding.sum() / bars),
        polyphony=float((sounding > 1).sum() / (sounding > 0).sum()),
        class_share=hits.sum(axis=0) / sounding.sum(),
        repeated=float(repeated),
        varied=float(varied),
        near_copies=float(near),
    )


def _bars_told(model: Model, piece: Ints) -> list[tuple[bool, bool, bool]]:
    """Return of each bar with a hit whether it is, or is near, an earlier one, or a learned one."""
    starts = np.arange(0, piece.size + 1, piece.shape[1])
    earlier: set[int] = set()
    has_learned = "bars" in model.streams
    rows = []
    for digests in bar_neighbours(piece.ravel(), starts):
        own, *near = digests.tolist()
        rows.append(
            (
                own in earlier,
                own in earlier or not earlier.isdisjoint(near),
                has_learned and bool(model.knows_bars(digests).any()),
            )
        )
        earlier.add(own)
    return rows
