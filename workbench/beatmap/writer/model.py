"""A writer of maps as a folder: what it is, and its weights.

    writer.json          how the network is built, what it hears, how it learnt: its card
    writer.safetensors   its weights, 32 bits each

Opening runs nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.beatmap.writer.cache import Statistics
from workbench.beatmap.writer.network import MapNetwork, NetworkShape
from workbench.beatmap.writer.options import FORMAT as FEATURES_FORMAT
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.caching.files import refuse_other, replacing_folder, sweep
from workbench.errors import BeatmapError, WorkbenchError
from workbench.options import did_you_mean

FORMAT = 1
CARD = "writer.json"
WEIGHTS = "writer.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterCard:
    """What is kept beside the weights.

    Attributes:
        shape: How the network is built.
        spec: What is computed of a song's sound.
        cut: The windows it learnt from.
        mean: Of each channel of the sound, `(channels,)`.
        deviation: Likewise.
        styles: Mappers whose style it knows, from 1.
        learning: How it learnt: options, songs, looks, speed.
    """

    shape: NetworkShape
    spec: MelSpec
    cut: ChartWindowOptions
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    styles: tuple[str, ...] = ()
    learning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statistics(self) -> Statistics:
        """Mean and deviation of the sound."""
        mean, deviation = (np.array(each, np.float32) for each in (self.mean, self.deviation))
        return Statistics(mean=mean, deviation=deviation, columns=0)

    def style(self, name: str) -> int:
        """Return the number of a style; 0 where none is named.

        Raises:
            BeatmapError: It knows no such style.
        """
        if not name:
            return 0
        if name not in self.styles:
            known = ", ".join(self.styles[:8]) or "none"
            near = did_you_mean(name, self.styles)
            raise BeatmapError(f"style {name!r} is none that the model knows ({known}){near}")
        return 1 + self.styles.index(name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapWriter:
    """A writer of maps, ready to write.

    Attributes:
        card: What it is.
        network: Its network, on its device, not to be trained.
    """

    card: WriterCard
    network: MapNetwork

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.network.out.weight.device


def make_writer(
    card: WriterCard, weights: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> MapWriter:
    """Return a writer of some weights.

    Raises:
        BeatmapError: They are of a network that is built otherwise.
    """
    try:
        with torch.device("meta"):  # draws no first weights, so that nobody's generator moves on
            network = MapNetwork(card.shape)
        own = {name: weight.detach().float().clone() for name, weight in weights.items()}
        network.load_state_dict(own, assign=True)
    except RuntimeError as error:
        told = str(error).splitlines()[-1].strip()
        raise BeatmapError(f"the weights are of another network than the card: {told}") from error
    network.requires_grad_(False)
    return MapWriter(card=card, network=network.eval().to(device))


def write_writer(folder: Path, card: WriterCard, weights: Mapping[str, Tensor]) -> None:
    """Write a model, whole or not at all.

    Args:
        folder: Where; a model that is there is replaced.
        card: What it is.
        weights: Of its network.

    Raises:
        CachingError: It cannot be written, or something else is at its place.
    """
    refuse_other(folder, CARD)
    sweep(folder)
    said = {"format": FORMAT, "features": FEATURES_FORMAT, **asdict(card)}
    with replacing_folder(folder) as scratch:
        save_file({name: w.contiguous() for name, w in weights.items()}, scratch / WEIGHTS)
        text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / CARD).write_text(text + "\n", encoding="utf-8")


def open_writer(folder: Path, device: torch.device | str = "cpu") -> MapWriter:
    """Return a model that was written.

    Raises:
        BeatmapError: There is none, it is damaged, or it is of another version.
    """
    card = read_card(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise BeatmapError(f"{folder / WEIGHTS}: cannot be read ({error}); train again") from error
    try:
        return make_writer(card, weights, device)
    except BeatmapError as error:
        raise BeatmapError(f"{folder}: {error}; train again") from error


def read_card(folder: Path) -> WriterCard:
    """Return what is kept beside a model's weights.

    Raises:
        BeatmapError: There is none, it is damaged, or it is of another version.
    """
    path = folder / CARD
    try:
        said = json.loads(path.read_bytes())
        versions = said.pop("format"), said.pop("features")
        if versions == (FORMAT, FEATURES_FORMAT):
            return _card(said)
    except FileNotFoundError as error:
        raise BeatmapError(
            f"{folder}: holds no {CARD}, so it is no model of maps; name a folder that "
            "`workbench beatmap train` wrote"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, WorkbenchError) as error:
        raise BeatmapError(f"{path}: cannot be used ({error}); train again") from error
    raise BeatmapError(
        f"{path}: is of version {versions[0]} and features {versions[1]}, this program's are "
        f"{FORMAT} and {FEATURES_FORMAT}; train again"
    )


def _card(said: dict[str, Any]) -> WriterCard:
    made: dict[str, Any] = {
        "shape": NetworkShape(**said.pop("shape")),
        "spec": MelSpec(**said.pop("spec")),
        "cut": ChartWindowOptions(**said.pop("cut")),
        "styles": tuple(said.pop("styles")),
    }
    for name in ("mean", "deviation"):
        made[name] = tuple(float(value) for value in said.pop(name))
        if len(made[name]) != made["spec"].channels:
            raise BeatmapError(f"{name} has {len(made[name])} numbers for other channels")
    return WriterCard(**made, **said)
