"""Pictures of gathered speech: how long and how loud clips are, before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

_INK, _GRID = "#22313f", "#d5dbe1"
_BEFORE, _AFTER = "#7f8c9a", "#d9622b"


def before_and_after(
    columns: Mapping[str, tuple[ArrayLike, ArrayLike]], *, bins: int = 24
) -> Figure:
    """Return one histogram a quantity, of all clips before and after cleaning.

    Args:
        columns: Quantity with its unit: (before, after), shape (clips,) each.
        bins: Bars of a histogram.
    """
    figure = Figure(figsize=(4.6 * len(columns), 2.8), layout="constrained")
    for axes, (name, (before, after)) in zip(
        np.ravel(figure.subplots(1, len(columns), squeeze=False)), columns.items(), strict=True
    ):
        values = np.concatenate([np.asarray(before, float), np.asarray(after, float)])
        edges = np.linspace(values.min(), values.max() + 1e-9, bins + 1)
        axes.hist(before, edges, color=_BEFORE, alpha=0.75, label="before")
        axes.hist(after, edges, color=_AFTER, alpha=0.75, label="after")
        axes.set_xlabel(name, color=_INK)
        axes.set_ylabel("clips", color=_INK)
        axes.grid(axis="y", color=_GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    return figure


def quartiles(values: Sequence[float]) -> list[float]:
    """Return least, lower quartile, median, upper quartile and greatest, to 2 digits."""
    return [round(float(v), 2) for v in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
