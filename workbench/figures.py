"""What all pictures have in common: their look, and a figure that a notebook can compare.

Drawn by matplotlib, without its global state; made small enough for a notebook that is kept.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK, GRID, PAPER = "#22313f", "#d5dbe1", "#ffffff"
GREY, ORANGE, BLUE = "#7f8c9a", "#d9622b", "#3b7dbf"
SMALL, LARGE = 10, 12  # points


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A figure that a notebook shows, and words that stand for it where pictures are not compared.

    Attributes:
        figure: The figure.
        caption: What it shows.
        digest: Of the numbers behind it, to six digits; see `digest_of`.
    """

    figure: Figure
    caption: str
    digest: str

    def save(self, path: Path) -> None:
        """Write it as a PNG file."""
        path.write_bytes(self._repr_png_())

    def __repr__(self) -> str:
        return f"{self.caption} (numbers {self.digest})"

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()


def digest_of(*numbers: ArrayLike) -> str:
    """Return eight digits that stand for numbers; equal to six places of theirs, equal digits."""
    whole = hashlib.sha256()
    for array in numbers:
        whole.update(np.round(np.asarray(array, np.float64), 6).tobytes())
    return whole.hexdigest()[:8]


def new_figure(*, height: float, width: float = 10.5) -> Figure:
    """Return an empty figure of so many inches."""
    return Figure(figsize=(width, height), dpi=72, layout="constrained", facecolor=PAPER)


def quiet(axes: Axes, size: int = SMALL) -> None:
    """Leave the frame out, and write the numbers of the axes small.

    Args:
        axes: What is changed.
        size: Of the numbers, points.
    """
    axes.tick_params(labelsize=size, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
