"""Two predictors of steps as one: their probabilities, weighed by the bar from the start.

    blend.json    the network's weight in each span of bars

A network knows more from the first bar on; counts of the piece itself catch up as it goes on.
The weights are those under which the pieces held out from learning are likeliest, found by
expectation and maximisation (Dempster, Laird and Rubin, 1977): each step gives the network the
share of its probability that it had in it. A few steps' worth of doubt keeps weights off 0 and 1.
"""

import json
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.caching.files import refuse_other, replacing, replacing_folder, sweep
from workbench.errors import GrooveError
from workbench.groove.compare import SPANS
from workbench.groove.mixed import open_mixture, write_mixture
from workbench.groove.mixture import Mixture
from workbench.groove.model import DESCRIPTION, Model, open_model
from workbench.groove.neural import bars_of, open_neural
from workbench.groove.pieces import Piece, canonical_bounds, piece_from_keys
from workbench.groove.predictor import (
    BLEND,
    NETWORK,
    NO_LABELS,
    LabelNames,
    PieceInHand,
    StepPredictor,
    Where,
)
from workbench.groove.streams import PIECES, Ints
from workbench.groove.tokenize import Tokens, pieces_in
from workbench.progress import Show, silent

Floats = NDArray[np.float64]

FORMAT = 1
_DOUBT = 2.0  # steps, half of them for either
_ROUNDS = 200
_BUDGET = 64 << 20  # bytes, for summing up the counts of another mixture


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """A network and a mixture, weighed.

    Attributes:
        network: The one.
        mixture: The other.
        weights: Of the network in each of SPANS, 0..1.
    """

    network: StepPredictor
    mixture: StepPredictor
    weights: tuple[float, ...]

    def probabilities(self, piece: Piece, labels: LabelNames = NO_LABELS) -> Floats:
        """Return the probability of each step's mask, given the steps before it, shape (n,)."""
        share = np.array(self.weights)[span_of(bars_of(piece))]
        one = self.network.probabilities(piece, labels)
        other = self.mixture.probabilities(piece, labels)
        return np.asarray(share * one + (1.0 - share) * other)

    def begun(self, targets: Ints, labels: LabelNames = NO_LABELS) -> "PieceInBlend":
        """Begin a piece of which some masks are of interest, shape (targets,)."""
        parts = self.network.begun(targets, labels), self.mixture.begun(targets, labels)
        return PieceInBlend(*parts, self.weights)


class PieceInBlend:
    """A piece that goes on step by step."""

    def __init__(self, network: PieceInHand, mixture: PieceInHand, weights: Sequence[float]):
        """Begin a piece."""
        self._network = network
        self._mixture = mixture
        self._weights = weights
        self._bar = 0
        self._left_in_bar = 0

    def probabilities(self, where: Where) -> Floats:
        """Return the probability of each target at the next step, shape (targets,)."""
        share = self._weights[bisect_right(SPANS, self._bar) - 1]
        one = self._network.probabilities(where)
        return np.asarray(share * one + (1.0 - share) * self._mixture.probabilities(where))

    def take(self, where: Where, mask: int) -> None:
        """Go on by one step."""
        self._network.take(where, mask)
        self._mixture.take(where, mask)
        self._left_in_bar = (self._left_in_bar or where[2]) - 1
        self._bar += self._left_in_bar == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blended:
    """What blending gave.

    Attributes:
        model: The model, with its weights.
        weights: Of the network in each of SPANS.
        pieces: Pieces held out that they were fitted to.
        bits_per_bar: Of `network`, `mixture` and `blend` on them, for a bar of 4/4.
    """

    model: Model
    weights: tuple[float, ...]
    pieces: int
    bits_per_bar: dict[str, float]


def blend_model(model: Model, tokens: Tokens, output: Path, show: Show = silent) -> Blended:
    """Weigh the network and the mixture of a model on the pieces that were held out.

    A mixture that has counted them would be trusted too much; then another one, of all other
    pieces, takes its place while they are weighed.

    Args:
        model: A model with both.
        tokens: The shards that the network learned from.
        output: The model with its weights, a folder; it appears whole at the end.
        show: Told about the fitting of the other mixture.

    Raises:
        GrooveError: The model lacks one of both, or nothing was held out.
        CachingError: It cannot be written, or something else is at its place.
    """
    mixture = model.mixture
    if mixture is None or not (model.folder / NETWORK).exists():
        lacking = "mixture" if mixture is None else "network"
        raise GrooveError(
            f"{model.folder}: has no {lacking}; `train --model mixture`, then `learn --counted` it"
        )
    refuse_other(output, DESCRIPTION)
    pieces = list(pieces_in(tokens, "held"))
    if not pieces:
        raise GrooveError(f"{tokens.folder}: no piece is held out; tokenize with --held-out")
    network = open_neural(model.folder)
    one = np.concatenate([network.probabilities(piece) for piece in pieces])
    bars = np.concatenate([bars_of(piece) for piece in pieces])
    sweep(output)
    with replacing_folder(output) as scratch:
        with tempfile.TemporaryDirectory(dir=scratch) as others:
            mixture = _fitted_without(model, mixture, pieces, Path(others), show)
            other = np.concatenate([mixture.probabilities(piece) for piece in pieces])
        weights = fitted_weights(one, other, bars)
        shutil.copytree(model.folder, scratch, dirs_exist_ok=True)
        write_blend(scratch, weights)
    share = np.array(weights)[span_of(bars)]
    each = {"network": one, "mixture": other, "blend": share * one + (1.0 - share) * other}
    bar_steps = 4 * tokens.resolution
    return Blended(
        model=open_model(output),
        weights=weights,
        pieces=len(pieces),
        bits_per_bar={name: float(-np.log2(p).mean() * bar_steps) for name, p in each.items()},
    )


def _fitted_without(
    model: Model, mixture: Mixture, held: Sequence[Piece], folder: Path, show: Show
) -> Mixture:
    """Return a mixture of all of a model's pieces but some, its own where it has none of them.

    Raises:
        GrooveError: It has no other pieces.
    """
    name, resolution = f"{PIECES.name}.keys.npy", model.resolution
    keys = opened_array(model.folder / name)
    left_out = {_content(piece) for piece in held}
    bounds = canonical_bounds(keys)
    kept = [
        (first, stop)
        for first, stop in sorted(bounds)
        if _content(piece_from_keys(np.asarray(keys[first:stop]), resolution)) not in left_out
    ]
    if len(kept) == len(bounds):
        return mixture
    if not kept:
        raise GrooveError(f"{model.folder}: counts no piece but those held out; hold out fewer")
    with ArrayWriter(folder / name, "<u8") as writer:
        for first, stop in kept:
            writer.append(np.asarray(keys[first:stop]))
    return open_mixture(folder, write_mixture(folder, resolution, budget_bytes=_BUDGET, show=show))


def _content(piece: Piece) -> bytes:
    return np.column_stack((piece.masks, piece.metre)).astype("<i8").tobytes()


def span_of(bars: Ints) -> Ints:
    """Return the index of the span that each bar lies in, of the same shape."""
    return np.asarray(np.searchsorted(SPANS, bars, side="right") - 1)


def fitted_weights(one: Floats, other: Floats, bars: Ints) -> tuple[float, ...]:
    """Return the weight of the one in each span under which some steps are likeliest.

    Args:
        one: Its probability of each step, above 0, shape (n,).
        other: The other's.
        bars: Bar of each step, from the start of its piece.
    """
    span = span_of(bars)
    return tuple(_fitted(one[span == s], other[span == s]) for s in range(len(SPANS)))


def _fitted(one: Floats, other: Floats) -> float:
    weight = 0.5
    for _ in range(_ROUNDS):
        share = weight * one / (weight * one + (1.0 - weight) * other)
        weight = (float(share.sum()) + _DOUBT / 2) / (len(one) + _DOUBT)
    return weight


def write_blend(folder: Path, weights: Sequence[float]) -> None:
    """Write the weights into a model's folder.

    Raises:
        CachingError: They cannot be written.
    """
    said = {"format": FORMAT, "spans": list(SPANS), "weights": list(weights)}
    with replacing(folder / BLEND) as scratch:
        scratch.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def open_blend(folder: Path, network: StepPredictor, mixture: StepPredictor) -> Blend:
    """Open the weights in a model's folder.

    Raises:
        GrooveError: They cannot be read, or are of another format.
    """
    try:
        said = json.loads((folder / BLEND).read_text(encoding="utf-8"))
        weights = tuple(float(weight) for weight in said["weights"])
        if said["format"] != FORMAT or tuple(said["spans"]) != SPANS:
            raise ValueError(f"format {said['format']}, spans {said['spans']}")
        if len(weights) != len(SPANS) or not all(0.0 <= weight <= 1.0 for weight in weights):
            raise ValueError(f"weights {weights}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise GrooveError(
            f"{folder / BLEND}: no readable weights ({type(error).__name__}: {error}); blend the "
            "model again"
        ) from error
    return Blend(network=network, mixture=mixture, weights=weights)
