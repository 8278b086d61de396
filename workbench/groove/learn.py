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
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional

from workbench.caching.files import refuse_other
from workbench.caching.fingerprint import fingerprint
from workbench.groove.augment import changes_of, class_tables
from workbench.groove.inputs import BEFORE, HIDDEN, REPEATS
from workbench.groove.model import DESCRIPTION, Model
from workbench.groove.network import NetworkShape, StepNetwork, earlier_masks
from workbench.groove.neural import NetworkDescription, refuse_unlike, write_neural
from workbench.groove.options import LearnOptions
from workbench.groove.tokenize import Tokens, window_steps
from workbench.learning.stream import ParquetStream, StreamLoader, StreamSettings
from workbench.learning.training import (
    CHECKPOINT,
    Checkpoints,
    Saves,
    TrainerSettings,
    average_on,
    copied,
    course,
    decayed,
    drawn_from,
    fit,
    make_trainer,
    torch_settings,
)
from workbench.progress import Progress, Show, silent
from workbench.streaming.options import WindowOptions
from workbench.streaming.samples import Samples
from workbench.streaming.source import Source

logger = logging.getLogger(__name__)

HELD = "held_bits_per_bar"
_CALL_STEPS = 512  # what a further pass costs, as steps
_BETAS = (0.9, 0.98)
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
        sums = []
        with drawn_from(self.device, self._options.seed, self.global_step, self.global_rank):
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
        average_on(self.average, self.network, self._options.averaging, self.global_step)

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
        groups = decayed(self.network, o.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=o.learning_rate, betas=_BETAS)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(course, o.warm_up, o.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

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
            self.best = copied(pl_module.average)
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
        LearningError: The checkpoint is of other shards or options, or cannot be read.
        CachingError: The checkpoint cannot be written, or something else is at its place.
        SourceError: A shard cannot be fetched or read.
    """
    began = time.monotonic()
    refuse_other(folder, CHECKPOINT)
    shape = shape_of(tokens, options)
    windows = Windows(tokens, options, folder, train=train, held=held, window=window)
    checkpoints = Checkpoints(folder, _identity(tokens, options))
    resumed_at = checkpoints.resumed_at()
    learner = StepLearner(shape, options, tokens.resolution)
    looks = _Looks(options.patience)
    settings = _settings(options, has_held=windows.has_held)
    tells = _Tells(show, options, windows, looks)
    with torch_settings(options.threads):
        called = [looks, tells, *callbacks, Saves(checkpoints, settings)]
        trainer = make_trainer(settings, folder, called)
        fit(trainer, learner, windows, checkpoints.path if resumed_at else None)
    return Learned(
        shape=shape,
        weights=looks.best or copied(learner.average),
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
        GrooveError: The counted model is on another grid.
        LearningError: The checkpoint is of something else.
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


def _identity(tokens: Tokens, options: LearnOptions) -> str:
    """Return what a checkpoint must agree in to be gone on from."""
    return fingerprint({"tokens": tokens.description, "options": _deciding(options)})


def _settings(options: LearnOptions, *, has_held: bool) -> TrainerSettings:
    return TrainerSettings(
        steps=options.steps,
        validate_every=options.validate_every,
        save_every=options.save_every,
        has_held=has_held,
        accelerator=options.accelerator,
        devices=options.devices,
        precision=options.precision,
    )


def _deciding(options: LearnOptions) -> dict[str, Any]:
    """Return the options that a course of learning is decided by."""
    return {name: value for name, value in asdict(options).items() if name not in _FREE}
