"""The neural groove model: a network beside the counts of a groove model, in one folder.

    network.json         how the network is built, its labels, how it learned
    network.safetensors  its weights, 32 bits each

The rest of the folder is a counted model, which tells pitches, velocities, timing and events.
Opening runs nothing. The network predicts on the processor, in 32 bits and one thread, so that
equal pieces and seeds give equal bytes on one kind of machine.

A piece is read in windows that move on by half their length when they are full: a step is told
from at least half a window before it, or from the start of the piece. Step by step or all at
once gives the same probabilities, but for the rounding of 32 bits.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.caching.files import refuse_other, replacing_folder, sweep
from workbench.errors import GrooveError
from workbench.groove.inputs import BEFORE, Repeats, repeats_of, where_number
from workbench.groove.labels import number_of
from workbench.groove.model import DESCRIPTION, Model, open_model
from workbench.groove.network import Cache, NetworkShape, StepNetwork, earlier_masks
from workbench.groove.pieces import Piece
from workbench.groove.predictor import NETWORK, NO_LABELS, LabelNames, Where
from workbench.groove.streams import Ints

Floats = NDArray[np.float64]

FORMAT = 1
WEIGHTS = "network.safetensors"
_WINDOWS = 16  # that are passed through the network at once


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDescription:
    """What is kept beside the weights.

    Attributes:
        shape: How the network is built.
        resolution: Grid steps a quarter note.
        labels: By kind, the labels it knows; value i has number i + 1, 0 is none.
        learning: How it learned: options, steps, looks.
    """

    shape: NetworkShape
    resolution: int
    labels: dict[str, list[str]]
    learning: dict[str, Any]


class NeuralModel:
    """A network, ready to predict.

    Attributes:
        description: How it is built and what it knows.
    """

    def __init__(self, description: NetworkDescription, weights: Mapping[str, Tensor]):
        """Take weights.

        Raises:
            GrooveError: They are no weights of such a network.
        """
        self.description = description
        self._network = StepNetwork(description.shape)
        try:
            self._network.load_state_dict({name: w.float() for name, w in weights.items()})
        except RuntimeError as error:
            raise GrooveError(
                f"the weights are of another network ({error}); learn the model again"
            ) from error
        self._network.requires_grad_(False)
        self._network.eval()

    def probabilities(self, piece: Piece, labels: LabelNames = NO_LABELS) -> Floats:
        """Return the probability of each step's mask, given the steps before it.

        Args:
            piece: The piece.
            labels: By kind, the label's name; those it does not know are as none.

        Returns:
            Shape (n,), above 0; an element depends on no later step.
        """
        found = np.empty(len(piece.masks))
        for first, distributions in self._distributions(piece, labels):
            steps = np.arange(len(distributions))
            found[first : first + len(steps)] = distributions[
                steps, piece.masks[first : first + len(steps)]
            ]
        return found

    def begun(self, targets: Ints, labels: LabelNames = NO_LABELS) -> "NeuralPiece":
        """Begin a piece that is drawn step by step.

        Args:
            targets: The masks that are of interest, shape (targets,).
            labels: By kind, the label's name; those it does not know are as none.
        """
        return NeuralPiece(self._network, self._told(labels), targets)

    def _told(self, labels: LabelNames) -> Tensor:
        known = self.description.labels
        kinds = self.description.shape.labels
        numbers = [number_of(known[kind], labels.get(kind, "")) for kind in kinds]
        return torch.tensor([numbers], dtype=torch.int64)

    def _distributions(self, piece: Piece, labels: LabelNames) -> Iterator[tuple[int, Floats]]:
        """Give the first step and the distributions of each half window, (steps, MASKS)."""
        shape, length = self.description.shape, len(piece.masks)
        half = shape.half
        padding = -length % half
        masks = np.concatenate((np.full(2 * half, BEFORE), piece.masks, np.full(padding, BEFORE)))
        place, beat = piece.metre[:, 0], piece.metre[:, 1]
        repeats = repeats_of(
            piece.masks, where_number(place, beat), np.zeros(length, np.int64), shape.repeats
        )
        where = np.column_stack((place, beat, bars_of(piece), repeats))
        where = np.pad(where, ((half, padding), (0, 0)))
        told = self._told(labels)
        begins = list(range(half, length, half))
        yield (
            0,
            self._passed(masks[None, half : 3 * half], where[None, half : 2 * half], told)[
                0, :length
            ],
        )
        for at in range(0, len(begins), _WINDOWS):
            some = begins[at : at + _WINDOWS]
            heard = np.stack([masks[b : b + 3 * half] for b in some])
            lies = np.stack([where[b : b + 2 * half] for b in some])
            found = self._passed(heard, lies, told.expand(len(some), -1))
            for begin, distributions in zip(some, found, strict=True):
                yield begin, distributions[half : half + length - begin]

    def _passed(self, masks: Ints, where: Ints, labels: Tensor) -> Floats:
        """Pass windows through the network.

        Args:
            masks: Half a window before, and the steps, int64 (B, half + T).
            where: Place, beat, bar and repeats, int64 (B, T, 3 + R).
            labels: Numbers, int64 (B, K).
        """
        shape = self.description.shape
        with _one_thread():
            earlier = earlier_masks(torch.from_numpy(masks), shape.half, shape.lookbacks)
            told = torch.cat((earlier, torch.from_numpy(where[..., 3:])), dim=2)
            return _chances(self._network(told, torch.from_numpy(where[..., :3]), labels))


class NeuralPiece:
    """A piece that goes on step by step."""

    def __init__(self, network: StepNetwork, labels: Tensor, targets: Ints):
        """Begin a piece."""
        self._network = network
        self._shape = network.shape
        self._labels = labels
        self._targets = targets
        self._cache = Cache(self._shape, 1, network.out.weight)
        self._masks: list[int] = [BEFORE] * max(self._shape.lookbacks)
        self._repeats = Repeats(self._shape.repeats)
        self._where: list[list[int]] = []  # place, beat, bar and repeats
        self._bar = 0
        self._left_in_bar = 0
        self._found: Floats | None = None

    def probabilities(self, where: Where) -> Floats:
        """Return the probability of each target at the next step, shape (targets,).

        Args:
            where: Place code, beat code, steps of the bar and steps of the beat.
        """
        if self._found is None:
            self._found = self._next(where)
        return self._found[self._targets]

    def take(self, where: Where, mask: int) -> None:
        """Go on by one step."""
        if self._found is None:  # its keys and values are looked back at
            self._next(where)
        self._masks.append(mask)
        self._where.append(self._lies(where))
        self._repeats.take(where_number(where[0], where[1]), mask)
        self._left_in_bar = (self._left_in_bar or where[2]) - 1
        self._bar += self._left_in_bar == 0
        self._found = None

    def _next(self, where: Where) -> Floats:
        """Pass the next step through the network."""
        if self._cache.length == self._shape.window:
            self._cache = Cache(self._shape, 1, self._network.out.weight)
            half = self._shape.half
            self._pass(len(self._where) - half, self._where[-half:])
        return np.asarray(self._pass(len(self._where), [self._lies(where)])[-1])

    def _lies(self, where: Where) -> list[int]:
        place, beat = where[:2]
        return [place, beat, self._bar, *self._repeats.next(where_number(place, beat))]

    def _pass(self, first: int, where: list[list[int]]) -> Floats:
        """Pass some steps through the network, on from the cache; shape (steps, MASKS)."""
        reach = max(self._shape.lookbacks)
        masks = self._masks[first : first + reach + len(where)]
        masks += [BEFORE] * (reach + len(where) - len(masks))  # the step itself is not known yet
        with _one_thread():
            lies = torch.tensor([where])
            earlier = earlier_masks(torch.tensor([masks]), reach, self._shape.lookbacks)
            told = torch.cat((earlier, lies[..., 3:]), dim=2)
            logits = self._network(told, lies[..., :3], self._labels, self._cache)
            return np.asarray(_chances(logits)[0])


def bars_of(piece: Piece) -> Ints:
    """Return the bar of each step, from the start of the piece."""
    bars = np.zeros(len(piece.masks), np.int64)
    step = bar = 0
    while step < len(bars):
        stop = step + int(piece.metre[step, 2])
        bars[step:stop] = bar
        step, bar = stop, bar + 1
    return bars


def open_neural(folder: Path) -> NeuralModel:
    """Open the network of a model's folder.

    Raises:
        GrooveError: There is none, or of another format.
    """
    try:
        said = json.loads((folder / NETWORK).read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise GrooveError(
                f"{folder}: a network of format {said['format']}; this program reads {FORMAT}"
            )
        shape = said["shape"]
        shape |= {name: tuple(shape[name]) for name in ("lookbacks", "repeats")}
        description = NetworkDescription(
            shape=NetworkShape(**shape),
            resolution=int(said["resolution"]),
            labels={kind: list(known) for kind, known in said["labels"].items()},
            learning=said["learning"],
        )
        return NeuralModel(description, load_file(folder / WEIGHTS))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise GrooveError(
            f"{folder}: no readable network ({type(error).__name__}: {error}); give the folder "
            "that `workbench groove learn` wrote"
        ) from error


def write_neural(
    folder: Path, counted: Model, description: NetworkDescription, weights: Mapping[str, Tensor]
) -> Model:
    """Write a network beside a counted model, whole or not at all.

    Args:
        folder: Where; a model that is there is replaced.
        counted: The model that tells all but the steps; it is copied.
        description: What is told about the network.
        weights: Its weights.

    Raises:
        GrooveError: The counted model is on another grid.
        CachingError: It cannot be written, or something else is at its place.
    """
    refuse_unlike(counted, description.resolution)
    refuse_other(folder, DESCRIPTION)
    sweep(folder)
    said = {"format": FORMAT, **asdict(description)}
    with replacing_folder(folder) as scratch:
        shutil.copytree(counted.folder, scratch, dirs_exist_ok=True)
        save_file({name: w.contiguous() for name, w in weights.items()}, scratch / WEIGHTS)
        text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / NETWORK).write_text(text + "\n", encoding="utf-8")
    return open_model(folder)


def refuse_unlike(counted: Model, resolution: int) -> None:
    """Refuse a counted model that a network on a grid cannot stand beside.

    Raises:
        GrooveError: It is on another grid, or counts other notes than drums.
    """
    counting = counted.description["counting"]
    if counting["part"] != "drums" or counted.resolution != resolution:
        raise GrooveError(
            f"{counted.folder}: counts {counting['part']} at {counted.resolution} steps a quarter; "
            f"the shards hold drums at {resolution}; train or tokenize the one as the other"
        )


def _chances(logits: Tensor) -> Floats:
    """Return probabilities, float64, that sum to 1 and are above 0."""
    return np.asarray(torch.softmax(logits.double(), dim=-1))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread, without gradients, while a block lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
