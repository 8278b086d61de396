"""Learning: shards of windows become a neural groove model, resumably.

One Lightning run over a stream of batches without end. What is kept is a running average of the
weights, as it was when it predicted the pieces held out best. Dropout and hidden inputs of a
step are drawn from (seed, step, rank), changes of a window from (seed, epoch, place), so that a
run which was stopped anywhere goes on from its checkpoint as if it never had been; on a
processor, to the very bit.

Units: losses in nats a step; `bits_per_bar` in bits for a bar of 4/4.
"""

import logging
import math
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional

from workbench.caching.files import refuse_other, replacing, sweep
from workbench.caching.fingerprint import fingerprint
from workbench.errors import CachingError, GrooveError
from workbench.groove.augment import changes_of, class_tables
from workbench.groove.inputs import BEFORE, HIDDEN, REPEATS
from workbench.groove.model import DESCRIPTION, Model
from workbench.groove.network import NetworkShape, StepNetwork, earlier_masks
from workbench.groove.neural import NetworkDescription, refuse_unlike, write_neural
from workbench.groove.options import LearnOptions
from workbench.groove.tokenize import Tokens, window_steps
from workbench.learning.stream import ParquetStream, StreamLoader, StreamSettings
from workbench.progress import Progress, Show, silent
from workbench.streaming.options import WindowOptions
from workbench.streaming.samples import Samples
from workbench.streaming.source import Source

logger = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
HELD = "held_bits_per_bar"
_CALL_STEPS = 512  # what a further pass costs, as steps
_CLIP = 1.0  # greatest norm of a gradient
_BETAS = (0.9, 0.98)
_LEAST_RATE = 0.02  # of the learning rate, at the end
# Options that another run may change and go on
_FREE = (
    *("checkpoint_dir", "save_every", "log_every", "progress", "patience"),
    *("accelerator", "devices", "threads", "workers"),
)

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How well the pieces held out were predicted.

    Attributes:
        step: After which step.
        bits_per_bar: Of the averaged weights.
        loss: Of training since the look before, nats a step.
    """

    step: int
    bits_per_bar: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What learning gave.

    Attributes:
        shape: How the network is built.
        weights: The averaged weights at the best look; at the end, where nothing is held out.
        history: Every look.
        losses: Loss of every step from the first, nats a step.
        resumed_at: Step this run began at.
        steps: Step it ended at.
        seconds: How long it took.
        is_first: Whether this is the first of all processes, which writes the model.
    """

    shape: NetworkShape
    weights: dict[str, Tensor]
    history: tuple[Look, ...]
    losses: tuple[float, ...]
    resumed_at: int
    steps: int
    seconds: float
    is_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBatch:
    """Makes batches of windows; a worker may do so.

    Attributes:
        window: Steps of a window.
        kinds: The labels, in the network's order.
        seed: Of the changes.
        augment: Share of the windows whose classes change places.
        label_dropout: Share of the windows that lose their labels.
    """

    window: int
    kinds: tuple[str, ...]
    seed: int = 0
    augment: float = 0.0
    label_dropout: float = 0.0

    def __call__(self, samples: Samples) -> Batch:
        """Return a batch.

        Returns:
            masks: History and steps, int64 (B, window / 2 + T); BEFORE where there is none.
            repeats: What sounded when it was like now, int64 (B, T, R).
            where: Place, beat and bar, int64 (B, T, 3).
            labels: Int64 (B, kinds).
            lengths: Steps of each window, int64 (B,).
            scored: First step of each that lies in no earlier window's second half, int64 (B,).
        """
        rows = samples.rows.combine_chunks().to_pydict()
        batch = self._padded(rows)
        changes = changes_of(
            self.seed,
            samples.epoch,
            samples.places,
            kinds=len(self.kinds),
            augment=self.augment,
            label_dropout=self.label_dropout,
        )
        tables = torch.from_numpy(class_tables()[changes.table])
        batch["masks"] = torch.gather(tables, 1, batch["masks"])
        batch["repeats"] = torch.gather(tables, 1, batch["repeats"].flatten(1)).view(
            batch["repeats"].shape
        )
        batch["labels"] = batch["labels"] * torch.from_numpy(changes.kept)
        return batch

    def _padded(self, rows: Mapping[str, list[Any]]) -> Batch:
        half = self.window // 2
        lengths = [len(place) for place in rows["place"]]
        size, most = len(lengths), max(lengths)
        masks = np.full((size, half + most), BEFORE, np.int64)
        repeats = np.full((size, most, len(REPEATS)), BEFORE, np.int64)
        where = np.zeros((size, most, 3), np.int64)
        for index, (length, history) in enumerate(zip(lengths, rows["history"], strict=True)):
            masks[index, half - history : half + length] = rows["masks"][index]
            repeats[index, :length] = np.reshape(rows["repeats"][index], (length, -1))
            for column, name in enumerate(("place", "beat", "bar")):
                where[index, :length, column] = rows[name][index]
        begin = np.array(rows["begin"], np.int64)
        labels = [rows[kind] for kind in self.kinds]
        return {
            "masks": torch.from_numpy(masks),
            "repeats": torch.from_numpy(repeats),
            "where": torch.from_numpy(where),
            "labels": torch.tensor(labels, dtype=torch.int64).reshape(len(labels), size).T,
            "lengths": torch.tensor(lengths),
            "scored": torch.from_numpy(np.minimum(begin, 0) + half),
        }


class Windows(pl.LightningDataModule):
    """The batches to train on, without end, and those held out.

    Attributes:
        feed: What brings the batches to train on, once training began; with its state.
    """

    def __init__(
        self,
        tokens: Tokens,
        options: LearnOptions,
        folder: Path,
        *,
        train: Source | None = None,
        held: Source | None = None,
        window: WindowOptions | None = None,
    ):
        """Take shards.

        Args:
            tokens: What the shards hold.
            options: How they are dealt.
            folder: Where shards come to that are not here.
            train: Where the shards to train on are; the tokens' own folder when None.
            held: Likewise those held out.
            window: How much of a source is here at a time.
        """
        super().__init__()
        self.feed: StreamLoader | None = None
        self._options = options
        self._folder = folder
        self._window = window
        self._train = train or tokens.source("train")
        self._held = held or tokens.source("held")
        self._batches = partial(
            WindowBatch, window=window_steps(tokens.resolution), kinds=tuple(tokens.labels)
        )

    @property
    def has_held(self) -> bool:
        """Whether anything is held out."""
        return bool(self._held.rows)

    def train_dataloader(self) -> "_Endless":
        """Return the batches to train on, of this rank."""
        o = self._options
        made = self._batches(seed=o.seed, augment=o.augment, label_dropout=o.label_dropout)
        stream = ParquetStream(
            self._train, self._folder / "train", made, self._dealt(shuffled=True), self._window
        )
        self.feed = stream.loader(o.workers)
        return _Endless(self.feed, o.steps)

    def val_dataloader(self) -> "_Again":
        """Return the batches held out, of this rank, as they are and without labels."""
        made = self._batches(label_dropout=1.0)
        dealt = self._dealt(shuffled=False)
        folder = self._folder / "held"
        return _Again(ParquetStream(self._held, folder, made, dealt, self._window))

    def _dealt(self, *, shuffled: bool) -> StreamSettings:
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        o = self._options
        return StreamSettings(
            batch_rows=o.batch_rows, seed=o.seed, shuffled=shuffled, rank=rank, world=world
        )


class _Endless:
    """Epoch after epoch of a loader as one epoch of so many steps, with the loader's state."""

    def __init__(self, loader: StreamLoader, steps: int):
        self._loader = loader
        self._steps = steps

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._loader

    def __len__(self) -> int:
        return self._steps

    def state_dict(self) -> dict[str, Any]:
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._loader.load_state_dict(state)


class _Again:
    """A stream's first epoch, each time from its beginning."""

    def __init__(self, stream: ParquetStream):
        self._stream = stream
        self._beginning = stream.state_dict()

    def __iter__(self) -> Iterator[Batch]:
        self._stream.load_state_dict(self._beginning)
        yield from self._stream.loader()

    def __len__(self) -> int:
        self._stream.load_state_dict(self._beginning)
        return len(self._stream)


class StepLearner(pl.LightningModule):
    """The network while it learns.

    Attributes:
        network: What learns.
        average: Its running average, which is what predicts.
        losses: Loss of each step so far, nats a step, shape () each.
        bits: What the steps scored in this look cost, in all.
        scored: How many they are.
    """

    def __init__(self, shape: NetworkShape, options: LearnOptions, resolution: int):
        """Begin with weights drawn from the seed.

        Args:
            shape: How the network is built.
            options: How it learns.
            resolution: Steps a quarter note.
        """
        super().__init__()
        self.losses: list[Tensor] = []
        self._options = options
        self._bar_steps = 4 * resolution
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = StepNetwork(shape, dropout=options.dropout)
            self.average = StepNetwork(shape)
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        self.bits = 0.0
        self.scored = 0

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of a batch, nats a step."""
        shape, total = self.network.shape, batch["lengths"].sum()
        devices = [self.device] if self.device.type == "cuda" else []
        sums = []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_word(self._options.seed, self.global_step, self.global_rank))
            for part in parts_by_length(batch):
                earlier = _told(part, shape)
                is_hidden = torch.rand(earlier.shape, device=earlier.device) < self._options.hidden
                earlier = earlier.masked_fill(is_hidden, HIDDEN)
                logits = self.network(earlier, part["where"], part["labels"])
                sums.append(_nats(logits, part, shape.half).sum())
        loss = torch.stack(sums).sum() / total
        self.losses.append(loss.detach())
        return loss

    def optimizer_step(self, *given: Any, **named: Any) -> None:
        """Take a step, and move the average on by it."""
        super().optimizer_step(*given, **named)
        step = self.global_step
        memory = min(self._options.averaging, (1 + step) / (10 + step))  # soon, at first
        with torch.no_grad():
            mine: list[Tensor] = list(self.average.parameters())
            torch._foreach_lerp_(mine, list[Tensor](self.network.parameters()), 1.0 - memory)

    def on_validation_start(self) -> None:
        """Begin a look."""
        self.bits, self.scored = 0.0, 0

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add up how well the average predicts a batch; each step of a piece is scored once."""
        shape = self.network.shape
        for part in parts_by_length(batch):
            logits = self.average(_told(part, shape), part["where"], part["labels"])
            nats = _nats(logits, part, shape.half)
            place = torch.arange(nats.shape[1], device=nats.device)
            is_scored = (place >= part["scored"][:, None]) & (place < part["lengths"][:, None])
            self.bits += float(nats.double()[is_scored].sum()) / math.log(2)
            self.scored += int(is_scored.sum())

    def on_validation_epoch_end(self) -> None:
        """Tell the bits a bar, over all ranks."""
        mine = torch.tensor([self.bits, self.scored], dtype=torch.float64, device=self.device)
        sums = self.trainer.strategy.reduce(mine, reduce_op="sum")
        bits = float(sums[0] / sums[1].clamp(min=1)) * self._bar_steps
        self.log(HELD, bits, rank_zero_only=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW, whose decay is for matrices alone, and the course of its rate."""
        o = self._options
        learning = list(self.network.parameters())
        groups = [
            {"params": [p for p in learning if p.ndim > 1], "weight_decay": o.weight_decay},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=o.learning_rate, betas=_BETAS)
        course = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate, o.warm_up, o.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": course, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses so far."""
        checkpoint["losses"] = torch.tensor(self.losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the losses so far."""
        self.losses = list(checkpoint["losses"])


class _Looks(Callback):
    """Keeps every look and the best weights, and stops when they get no better."""

    def __init__(self, patience: int):
        self.history: list[Look] = []
        self.best: dict[str, Tensor] = {}
        self._patience = patience

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        bits = float(trainer.callback_metrics[HELD])
        assert isinstance(pl_module, StepLearner)
        since = self.history[-1].step if self.history else 0
        recent = pl_module.losses[since - trainer.global_step :]
        loss = float(torch.stack(recent).mean())
        if all(bits < look.bits_per_bar for look in self.history):
            self.best = _copied(pl_module.average)
        self.history.append(Look(step=trainer.global_step, bits_per_bar=bits, loss=loss))
        told = [look.bits_per_bar for look in self.history]
        if self._patience and len(told) - 1 - told.index(min(told)) >= self._patience:
            trainer.should_stop = True
        if trainer.is_global_zero:
            logger.info("step %d: %.3f bits a bar held out", trainer.global_step, bits)

    def state_dict(self) -> dict[str, Any]:
        return {"history": [asdict(look) for look in self.history], "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [Look(**look) for look in state_dict["history"]]
        self.best = state_dict["best"]


class _Saves(Checkpoint):
    """Saves the one checkpoint, after a look where one is due at the same step."""

    def __init__(self, path: Path, identity: str, options: LearnOptions, *, looks: bool):
        self._path = path
        self._identity = identity
        self._every = options.save_every
        self._looks_every = options.validate_every if looks else 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        is_look = self._looks_every > 0 and step % self._looks_every == 0
        if step % self._every == 0 and not is_look:
            trainer.save_checkpoint(self._path)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self._path)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["identity"] = self._identity


class _Tells(Callback):
    """Tells the progress of training."""

    def __init__(self, show: Show, options: LearnOptions, windows: Windows, looks: _Looks):
        self._show = show
        self._options = options
        self._windows = windows
        self._looks = looks
        self._began = time.monotonic()
        self._resumed_at = 0
        self._steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()
        self._resumed_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, at: int
    ) -> None:
        self._steps += int(batch["lengths"].sum())
        if not trainer.is_global_zero:
            return
        progress = self._progress(trainer.global_step, float(outputs["loss"]))
        self._show(progress)
        if self._options.log_every and trainer.global_step % self._options.log_every == 0:
            logger.info("%s", progress.line())

    def _progress(self, step: int, loss: float) -> Progress:
        seconds = time.monotonic() - self._began
        numbers = {"loss": round(loss, 4), "steps/s": round(self._steps / max(seconds, 1e-9))}
        if self._windows.feed is not None:
            numbers["wait"] = round(self._windows.feed.wait_share, 4)
            status = self._windows.feed.stream.status
            if status is not None and status.fetched:
                numbers |= {"fetched": status.fetched, "buffer": status.buffer}
                numbers["shard"] = -1 if status.current is None else status.current
        if self._looks.history:
            numbers["bits_per_bar"] = round(self._looks.history[-1].bits_per_bar, 3)
        return Progress(
            stage="learning",
            done=step,
            total=self._options.steps,
            unit="batches",
            seconds=seconds,
            fresh=step - self._resumed_at,
            numbers=numbers,
        )


class _WholeFiles(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all; reading one runs nothing in it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        with replacing(Path(path)) as scratch:
            torch.save(checkpoint, scratch)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return _read_checkpoint(Path(path))


def learn(
    tokens: Tokens,
    folder: Path,
    options: LearnOptions,
    show: Show = silent,
    *,
    train: Source | None = None,
    held: Source | None = None,
    window: WindowOptions | None = None,
    callbacks: Sequence[Callback] = (),
) -> Learned:
    """Learn from shards until it gets no better, or all steps are done.

    Running the same again after an interruption goes on from the checkpoint.

    Args:
        tokens: What the shards hold.
        folder: Where the checkpoint lies, and shards that are not here come to.
        options: How it learns.
        show: Told about the progress.
        train: Where the shards to train on are; the tokens' own folder when None.
        held: Likewise those held out.
        window: How much of a source is here at a time.
        callbacks: More that Lightning calls.

    Raises:
        GrooveError: The checkpoint is of other shards or options, or cannot be read.
        CachingError: The checkpoint cannot be written, or something else is at its place.
        SourceError: A shard cannot be fetched or read.
    """
    began = time.monotonic()
    refuse_other(folder, CHECKPOINT)
    shape = shape_of(tokens, options)
    windows = Windows(tokens, options, folder, train=train, held=held, window=window)
    path = folder / CHECKPOINT
    identity = _identity(tokens, options)
    _made(folder)
    sweep(path)
    resumed_at = _resumable(path, identity)
    learner = StepLearner(shape, options, tokens.resolution)
    looks = _Looks(options.patience)
    saves = _Saves(path, identity, options, looks=windows.has_held)
    tells = _Tells(show, options, windows, looks)
    with _settings(options.threads):
        trainer = _trainer(options, folder, [looks, tells, *callbacks, saves], windows)
        _fit(trainer, learner, windows, path if resumed_at else None)
    return Learned(
        shape=shape,
        weights=looks.best or _copied(learner.average),
        history=tuple(looks.history),
        losses=tuple(torch.stack(learner.losses).tolist()) if learner.losses else (),
        resumed_at=resumed_at,
        steps=trainer.global_step,
        seconds=time.monotonic() - began,
        is_first=trainer.is_global_zero,
    )


def learn_model(
    tokens: Tokens,
    counted: Model,
    output: Path,
    options: LearnOptions,
    show: Show = silent,
    *,
    train: Source | None = None,
    window: WindowOptions | None = None,
) -> Learned:
    """Learn from shards, and write the network beside a counted model.

    Args:
        tokens: The shards.
        counted: The model that tells all but the steps.
        output: The neural model, a folder; it appears whole at the end.
        options: How it learns; the checkpoint goes when the model is there, unless its place
            was named.
        show: Told about the progress.
        train: Where the shards to train on are; the tokens' own folder when None.
        window: How much of a source is here at a time.

    Raises:
        GrooveError: The counted model is on another grid, or the checkpoint is of something else.
        CachingError: Something cannot be written, or something else is at its place.
        SourceError: A shard cannot be fetched or read.
    """
    refuse_unlike(counted, tokens.resolution)
    refuse_other(output, DESCRIPTION)
    folder = options.checkpoint_folder(output)
    learned = learn(tokens, folder, options, show, train=train, window=window)
    if not learned.is_first:
        return learned
    best = min(learned.history, key=lambda look: look.bits_per_bar, default=None)
    description = NetworkDescription(
        shape=learned.shape,
        resolution=tokens.resolution,
        labels=tokens.labels,
        learning={
            "identity": _identity(tokens, options),
            "options": _deciding(options),
            "steps": learned.steps,
            "best": None if best is None else asdict(best),
            "history": [asdict(look) for look in learned.history],
        },
    )
    write_neural(output, counted, description, learned.weights)
    if options.checkpoint_dir is None:
        shutil.rmtree(folder)
    return learned


def shape_of(tokens: Tokens, options: LearnOptions) -> NetworkShape:
    """Return how the network for some shards is built."""
    return NetworkShape(
        window=window_steps(tokens.resolution),
        labels={kind: len(known) for kind, known in tokens.labels.items()},
        width=options.width,
        layers=options.layers,
        heads=options.heads,
    )


def parts_by_length(batch: Batch) -> list[Batch]:
    """Return a batch as one or two of like lengths, so that little of them is padding."""
    lengths = batch["lengths"].tolist()
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    ranked = [lengths[index] for index in order]
    costs = [len(ranked) * ranked[-1]]
    for cut in range(1, len(ranked)):
        costs.append(cut * ranked[cut - 1] + (len(ranked) - cut) * ranked[-1] + _CALL_STEPS)
    cut = costs.index(min(costs))
    return [_part(batch, part) for part in (order[:cut], order[cut:]) if part]


def _part(batch: Batch, rows: list[int]) -> Batch:
    part = {name: values[rows] for name, values in batch.items()}
    steps = int(part["lengths"].max())
    spare = batch["where"].shape[1] - steps
    part["masks"] = part["masks"][:, : part["masks"].shape[1] - spare]
    part["where"], part["repeats"] = part["where"][:, :steps], part["repeats"][:, :steps]
    return part


def _told(part: Batch, shape: NetworkShape) -> Tensor:
    """Return what a network is told of the earlier steps."""
    earlier = earlier_masks(part["masks"], shape.half, shape.lookbacks)
    return torch.cat((earlier, part["repeats"]), dim=2)


def _nats(logits: Tensor, part: Batch, history: int) -> Tensor:
    """Return what each step costs, nats (B, T); 0 behind the end of a window."""
    targets = part["masks"][:, history:]
    return functional.cross_entropy(
        logits.float().transpose(1, 2), targets, reduction="none", ignore_index=BEFORE
    )


def _rate(warm_up: int, steps: int, step: int) -> float:
    """Return the share of the greatest learning rate at a step."""
    rise = min(1.0, (step + 1) / (warm_up + 1))
    fall = 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
    return rise * (_LEAST_RATE + (1.0 - _LEAST_RATE) * fall)


def _word(*numbers: int) -> int:
    """Return a seed made of some numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _copied(network: StepNetwork) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _identity(tokens: Tokens, options: LearnOptions) -> str:
    """Return what a checkpoint must agree in to be gone on from."""
    return fingerprint({"tokens": tokens.description, "options": _deciding(options)})


def _deciding(options: LearnOptions) -> dict[str, Any]:
    """Return the options that a course of learning is decided by."""
    return {name: value for name, value in asdict(options).items() if name not in _FREE}


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CachingError(f"{folder}: cannot be made ({error.strerror})") from error


def _resumable(path: Path, identity: str) -> int:
    """Return the step of a checkpoint, 0 where there is none; refuse another's."""
    if not path.exists():
        return 0
    checkpoint = _read_checkpoint(path)
    if checkpoint.get("identity") != identity:
        raise GrooveError(
            f"{path}: is of other shards or other options; give the same, or delete it to start "
            "over"
        )
    return int(checkpoint["global_step"])


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its reader raises errors of many kinds, none of its own
        raise GrooveError(
            f"{path}: no readable checkpoint ({error}); delete it to start over"
        ) from error
    return checkpoint


def _trainer(
    options: LearnOptions, folder: Path, callbacks: list[Callback], windows: Windows
) -> pl.Trainer:
    on_gpu = options.accelerator == "gpu" or (
        options.accelerator == "auto" and torch.cuda.is_available()
    )
    is_half = options.precision == "bf16" or (options.precision == "auto" and on_gpu)
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=options.devices,
        strategy="auto" if options.devices == 1 else "ddp",
        precision="bf16-mixed" if is_half else "32-true",
        max_epochs=1,
        val_check_interval=options.validate_every,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if windows.has_held else 0,
        num_sanity_val_steps=0,
        gradient_clip_val=_CLIP,
        deterministic=not on_gpu,
        callbacks=callbacks,
        plugins=[_WholeFiles()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _fit(
    trainer: pl.Trainer, learner: StepLearner, windows: Windows, checkpoint: Path | None
) -> None:
    """Run a trainer; an interruption is raised as one, where Lightning ends the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, datamodule=windows, ckpt_path=checkpoint)
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextmanager
def _settings(threads: int) -> Iterator[None]:
    """Set PyTorch's threads while a block lasts, and quieten Lightning's hints."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lightning_log = logging.getLogger("lightning.pytorch")
    level = lightning_log.level
    lightning_log.setLevel(logging.ERROR)
    torch.set_num_threads(threads or before)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)
        lightning_log.setLevel(level)
