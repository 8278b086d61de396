"""What predicts the steps of a groove model, where more than one chain of n-grams does.

A mixture counts, a network has learned, a blend weighs the two; all of them tell each step's
probability from the steps before it, at once for a piece that is there, or step by step for one
that is drawn. Labels are told by their names; who does not know them goes without.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.groove.pieces import Piece
from workbench.groove.streams import Ints

if TYPE_CHECKING:
    from workbench.groove.mixture import Mixture

Floats = NDArray[np.float64]
Where = tuple[int, int, int, int]  # place code, beat code, steps of the bar and of the beat
LabelNames = Mapping[str, str]

NETWORK = "network.json"
BLEND = "blend.json"
NO_LABELS: LabelNames = {}


class PieceInHand(Protocol):
    """A piece that goes on step by step."""

    def probabilities(self, where: Where) -> Floats:
        """Return the probability of each target at the next step, shape (targets,)."""

    def take(self, where: Where, mask: int) -> None:
        """Go on by one step."""


class StepPredictor(Protocol):
    """Tells what sounds next."""

    def probabilities(self, piece: Piece, labels: LabelNames = NO_LABELS) -> Floats:
        """Return the probability of each step's mask, given the steps before it, shape (n,)."""

    def begun(self, targets: Ints, labels: LabelNames = NO_LABELS) -> PieceInHand:
        """Begin a piece of which some masks are of interest, shape (targets,)."""


class Unlabelled:
    """A mixture as a predictor; it knows no labels."""

    def __init__(self, mixture: "Mixture"):
        """Take a mixture."""
        self._mixture = mixture

    def probabilities(self, piece: Piece, labels: LabelNames = NO_LABELS) -> Floats:
        """Return the probability of each step's mask, given the steps before it, shape (n,)."""
        return self._mixture.probabilities(piece)

    def begun(self, targets: Ints, labels: LabelNames = NO_LABELS) -> PieceInHand:
        """Begin a piece of which some masks are of interest, shape (targets,)."""
        return self._mixture.begun(targets)


def predictor_in(folder: Path, mixture: "Mixture | None") -> StepPredictor | None:
    """Return what predicts the steps of a model, or None where its n-grams do.

    Args:
        folder: The model.
        mixture: Its mixture, if it has one.

    Raises:
        GrooveError: What lies there cannot be read.
    """
    if not (folder / NETWORK).exists():
        return None if mixture is None else Unlabelled(mixture)
    from workbench.groove.neural import open_neural  # noqa: PLC0415  torch is slow to import

    network = open_neural(folder)
    if mixture is None or not (folder / BLEND).exists():
        return network
    from workbench.groove.blend import open_blend  # noqa: PLC0415  likewise

    return open_blend(folder, network, Unlabelled(mixture))
