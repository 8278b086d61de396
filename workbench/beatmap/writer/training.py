"""Training: windows of charts and their sound become a writer of maps, resumably.

One Lightning run of so many steps over a `ChartData`. What is kept is a running average of the
weights, as it was when it told the windows held out best. Dropout and hidden wishes of a step are
drawn from what names the step, so that a run which was stopped anywhere goes on from its
checkpoint as if it never had been; on a processor, to the very bit.

Units: costs in nats a token over the tokens that may follow; `nats_per_note` of a chart's notes.
"""

import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from workbench.beatmap.writer.data import Batch, ChartData
from workbench.beatmap.writer.looking import listened, wish_of_batch
from workbench.beatmap.writer.losses import Costs, Lesson, costs_of, imbalance, lesson_of, resets
from workbench.beatmap.writer.model import CARD, MapWriter, WriterCard, make_writer, write_writer
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.network import MapNetwork, NetworkShape, Wish
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.beatmap.writer.swings import is_note_of
from workbench.caching.files import refuse_other
from workbench.caching.fingerprint import fingerprint
from workbench.learning.throughput import Throughput
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
    is_look,
    make_trainer,
    torch_settings,
)
from workbench.progress import Progress, Show, silent

logger = logging.getLogger(__name__)

HELD = "held_nats_per_note"
_BETAS = (0.9, 0.98)
# Options that another run may change and go on
_FREE = (
    *("checkpoint_dir", "log_dir", "save_every", "log_every", "progress", "patience"),
    *("accelerator", "threads"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLook:
    """How well the windows held out were told.

    Attributes:
        step: After which step.
        nats_per_note: Of the averaged weights.
        token_accuracy: How often the likeliest token is the human's.
        loss: Of training since the look before, nats a token.
        listened: Onset F1 of windows that were written, and the like, by name.
    """

    step: int
    nats_per_note: float
    token_accuracy: float
    loss: float
    listened: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training gave.

    Attributes:
        card: What the model is.
        weights: The averaged weights at the best look; at the end, where nothing is held out.
        history: Every look.
        losses: Of every batch from the first, nats a token.
        resumed_at: Step this run began at.
        steps: Step it ended at.
        seconds: How long it took.
        speed: What it came to of the machine, by name.
        is_first: Whether this is the first of all processes, which writes the model.
    """

    card: WriterCard
    weights: dict[str, Tensor]
    history: tuple[MapLook, ...]
    losses: tuple[float, ...]
    resumed_at: int
    steps: int
    seconds: float
    speed: Mapping[str, float]
    is_first: bool = True

    @property
    def best(self) -> MapLook | None:
        """The look whose weights were kept, or None."""
        return min(self.history, key=lambda look: look.nats_per_note, default=None)

    def writer(self) -> MapWriter:
        """Return the model, ready to write."""
        return make_writer(self.card, self.weights)


class MapLearner(pl.LightningModule):
    """The network while it learns.

    Attributes:
        network: What learns.
        average: Its running average, which is what writes.
        losses: Of each batch so far, nats a token, shape () each.
    """

    def __init__(self, shape: NetworkShape, options: TrainOptions, data: ChartData):
        """Begin with weights drawn from the seed.

        Args:
            shape: How the network is built.
            options: How it learns.
            data: What it learns from.
        """
        super().__init__()
        self.losses: list[Tensor] = []
        self._options, self._data = options, data
        with drawn_from(torch.device("cpu"), data.options.seed):
            self.network = MapNetwork(shape, dropout=options.dropout)
            self.average = MapNetwork(shape)
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        self._sums = torch.zeros(4, dtype=torch.float64)
        self._shown: list[Batch] = []

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of a batch, nats a token."""
        o = self._options
        with drawn_from(self.device, *batch["draw"]):
            wish = _hidden(wish_of_batch(batch), o.wish_dropout)
            lesson, costs = told(self.network, batch, wish)
        # of all ranks, so that a token counts as much whoever has it
        count = self._mean_of_ranks(lesson.is_taught.sum()).clamp(min=1)
        nats, spread = costs.nats.sum() / count, costs.spread.sum() / count
        loss = (1 - o.smoothing) * nats + o.smoothing * spread
        vocabulary = self.network.shape.tokens
        if o.color_weight:
            loss = loss + o.color_weight * imbalance(costs, lesson, vocabulary)
        if o.parity_weight:
            loss = loss + o.parity_weight * resets(costs, lesson, batch["tokens"], vocabulary)
        self.losses.append(self._mean_of_ranks(nats.detach()))
        return loss

    def _mean_of_ranks(self, value: Tensor) -> Tensor:
        mean = self.trainer.strategy.reduce(value.float().clone(), reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    def optimizer_step(self, *given: Any, **named: Any) -> None:
        """Take a step, and move the average on by it."""
        super().optimizer_step(*given, **named)
        average_on(self.average, self.network, self._options.averaging, self.global_step + 1)

    def on_validation_start(self) -> None:
        """Begin a look."""
        self._sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        self._shown = []

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add up how well the average tells a batch."""
        lesson, costs = told(self.average, batch, wish_of_batch(batch))
        counts = batch["counted"][:, None] & lesson.is_taught
        is_note = is_note_of(lesson.targets, self.network.shape.tokens)
        sums = (costs.nats * counts, counts, costs.is_right & counts, counts & is_note)
        self._sums += torch.stack([each.sum(dtype=torch.float64) for each in sums])
        self._shown.append(batch)

    def on_validation_epoch_end(self) -> None:
        """Tell the look, over all ranks."""
        nats, tokens, right, notes = self.trainer.strategy.reduce(self._sums, reduce_op="sum")
        numbers = {HELD: nats / notes.clamp(min=1)}
        numbers["held_token_accuracy"] = right / tokens.clamp(min=1)
        if self._options.look_windows and self._shown:
            batch = some_windows(self._shown, self._options.look_windows)
            numbers |= listened(self.average, self._data, batch).numbers()
        self.log_dict(numbers, logger=False, rank_zero_only=True)
        self._shown = []

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW, whose decay is for matrices alone, and the course of its rate."""
        o = self._options
        groups = decayed(self.network, o.weight_decay)
        on_gpu = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(groups, lr=o.learning_rate, betas=_BETAS, fused=on_gpu)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(course, o.warm_up, o.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses so far."""
        checkpoint["losses"] = torch.stack(self.losses) if self.losses else torch.zeros(0)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the losses so far."""
        self.losses = list(checkpoint["losses"])


class _Looks(Callback):
    """Keeps every look and the best weights, and stops when they get no better."""

    def __init__(self, patience: int, learner: MapLearner):
        self.history: list[MapLook] = []
        self.best: dict[str, Tensor] = {}
        self._patience, self._learner = patience, learner
        self._told = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_where_it_gets_no_better(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not is_look(trainer):
            return
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        _log(trainer, numbers)
        losses = self._learner.losses
        recent = losses[self._told :] or losses[-1:]
        self._told = len(losses)
        nats = numbers.pop(HELD)
        if all(nats < look.nats_per_note for look in self.history):
            self.best = copied(self._learner.average)
        self.history.append(
            MapLook(
                step=trainer.global_step,
                nats_per_note=nats,
                token_accuracy=numbers["held_token_accuracy"],
                loss=float(torch.stack(recent).mean()),
                listened={name: v for name, v in numbers.items() if name.startswith("onset")},
            )
        )
        self._stop_where_it_gets_no_better(trainer)
        if trainer.is_global_zero:
            logger.info("step %d: %.3f nats a note held out", trainer.global_step, nats)

    def _stop_where_it_gets_no_better(self, trainer: pl.Trainer) -> None:
        held = [look.nats_per_note for look in self.history]
        if held and self._patience and len(held) - 1 - held.index(min(held)) >= self._patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        looks = [asdict(look) for look in self.history]
        return {"history": looks, "best": self.best, "told": self._told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [MapLook(**look) for look in state_dict["history"]]
        self.best, self._told = state_dict["best"], state_dict["told"]


class _Tells(Callback):
    """Tells the progress of training."""

    def __init__(self, show: Show, options: TrainOptions, looks: _Looks, speed: Throughput):
        self._show, self._options, self._looks, self._speed = show, options, looks, speed
        self._began = time.monotonic()
        self._resumed_at = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()
        self._resumed_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, at: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, MapLearner)
        numbers = {"loss": round(float(pl_module.losses[-1]), 4)}
        numbers |= {"wait": round(self._speed.wait_share, 4)}
        if self._looks.history:
            look = self._looks.history[-1]
            numbers["nats_per_note"] = round(look.nats_per_note, 4)
            if "onset_f1_50ms" in look.listened:
                numbers["onset_f1_50ms"] = round(look.listened["onset_f1_50ms"], 4)
        progress = Progress(
            stage="training",
            done=trainer.global_step,
            total=self._options.steps,
            unit="steps",
            seconds=time.monotonic() - self._began,
            fresh=trainer.global_step - self._resumed_at,
            numbers=numbers,
        )
        self._show(progress)
        if self._options.log_every and trainer.global_step % self._options.log_every == 0:
            logger.info("%s", progress.line())
            _log(trainer, {"nats_per_token": float(pl_module.losses[-1])})


def _loggers(options: TrainOptions, resumed_at: int) -> list[Logger]:
    """Return what writes the log, a further part of it: one that is begun anew is emptied."""
    if options.log_dir is None:
        return []
    begin = f"from_{resumed_at}"
    return [CSVLogger(options.log_dir, name="", version=begin, flush_logs_every_n_steps=1)]


def _log(trainer: pl.Trainer, numbers: dict[str, float]) -> None:
    """Log numbers by the step, which Lightning's own counter is behind once it went on."""
    for each in trainer.loggers:
        each.log_metrics(numbers, step=trainer.global_step)


def train(
    data: ChartData,
    spec: MelSpec,
    folder: Path,
    options: TrainOptions,
    show: Show = silent,
    *,
    cut: ChartWindowOptions | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train until it gets no better, or all steps are done.

    Running the same again after an interruption goes on from the checkpoint.

    Args:
        data: The charts and their sound.
        spec: Of their sound.
        folder: Where the checkpoint lies.
        options: How it learns.
        show: Told about the progress.
        cut: How the charts were cut into windows.
        callbacks: More that Lightning calls.

    Raises:
        BeatmapError: The network cannot be built for such data.
        LearningError: The checkpoint is of other data or options, or cannot be read.
        CachingError: The checkpoint cannot be written, or something else is at its place.
    """
    began = time.monotonic()
    refuse_other(folder, CHECKPOINT)
    shape = shape_of(data, spec, options)
    checkpoints = Checkpoints(folder, _identity(data, shape, options))
    resumed_at = checkpoints.resumed_at()
    learner = MapLearner(shape, options, data)
    looks, speed = _Looks(options.patience, learner), Throughput(told_flops)
    settings = _settings(data, options)
    called = [looks, speed, _Tells(show, options, looks, speed), *callbacks]
    with torch_settings(options.threads):
        called += [Saves(checkpoints, settings), speed.last]
        trainer = make_trainer(settings, folder, called)
        trainer.loggers = _loggers(options, resumed_at)
        fit(trainer, learner, data, checkpoints.path if resumed_at else None)
    learning = _learning(data, options, trainer.global_step, looks.history, learner)
    return Trained(
        card=_card(data, spec, cut or ChartWindowOptions(), shape, learning),
        weights=looks.best or copied(learner.average),
        history=tuple(looks.history),
        losses=tuple(torch.stack(learner.losses).tolist()) if learner.losses else (),
        resumed_at=resumed_at,
        steps=trainer.global_step,
        seconds=time.monotonic() - began,
        speed=speed.numbers(),
        is_first=trainer.is_global_zero,
    )


def train_model(
    data: ChartData,
    spec: MelSpec,
    output: Path,
    options: TrainOptions,
    show: Show = silent,
    *,
    cut: ChartWindowOptions | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train, and write the model; see `train`.

    Args:
        data: The charts and their sound.
        spec: Of their sound.
        output: The model, a folder; it appears whole at the end.
        options: How it learns; the checkpoint goes when the model is there, unless its place was
            named.
        show: Told about the progress.
        cut: How the charts were cut into windows.
        callbacks: More that Lightning calls.
    """
    refuse_other(output, CARD)
    folder = options.checkpoint_folder(output)
    trained = train(data, spec, folder, options, show, cut=cut, callbacks=callbacks)
    if trained.is_first:
        write_writer(output, trained.card, trained.weights)
        if options.checkpoint_dir is None:
            shutil.rmtree(folder)
    return trained


def shape_of(data: ChartData, spec: MelSpec, options: TrainOptions) -> NetworkShape:
    """Return how the network for some charts is built."""
    mine, its = ({each.name for each in fields(kind)} for kind in (TrainOptions, NetworkShape))
    return NetworkShape(
        vocabulary=data.options.vocabulary,
        channels=spec.channels,
        columns_a_beat=spec.columns_a_beat,
        styles=len(data.styles),
        **{name: getattr(options, name) for name in mine & its},
    )


def told(network: MapNetwork, batch: Batch, wish: Wish) -> tuple[Lesson, Costs]:
    """Return what a batch teaches, and what that costs a network.

    Args:
        network: Tells it.
        batch: Windows, as `ChartData` gives them to a network.
        wish: What the maps are to be like.
    """
    lesson = lesson_of(batch["tokens"], batch["lengths"], batch["learnt_from"], network.shape)
    heard = network.listen(batch["mel"], wish)
    return lesson, costs_of(network(heard, batch["tokens"], lesson.places), lesson)


def told_flops(module: pl.LightningModule, batch: Batch) -> None:
    """Do for a batch what a training step does, for who counts it."""
    assert isinstance(module, MapLearner)
    _, costs = told(module.network, batch, wish_of_batch(batch))
    costs.nats.sum().backward()  # type: ignore[no-untyped-call]


def some_windows(batches: Sequence[Batch], most: int) -> Batch:
    """Return windows from all along some batches as one batch."""
    longest = max(batch["tokens"].shape[1] for batch in batches)
    joined = {
        name: torch.cat([_widened(batch[name], name, longest) for batch in batches])
        for name in batches[0]
        if isinstance(batches[0][name], Tensor)
    }
    counted = joined["counted"].nonzero()[:, 0]
    chosen = counted[torch.linspace(0, len(counted) - 1, min(most, len(counted))).long()]
    return {name: values[chosen] for name, values in joined.items()}


def _widened(values: Tensor, name: str, width: int) -> Tensor:
    if name != "tokens":
        return values
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))


def _hidden(wish: Wish, share: float) -> Wish:
    """Return wishes of which some are not told."""
    device = wish.density.device
    no_density, no_style = torch.rand(2, len(wish.density), device=device) < share
    return wish._replace(
        density=wish.density.masked_fill(no_density, torch.nan),
        style=wish.style.masked_fill(no_style, 0),
    )


def _settings(data: ChartData, options: TrainOptions) -> TrainerSettings:
    return TrainerSettings(
        steps=options.steps,
        validate_every=options.validate_every,
        save_every=options.save_every,
        has_held=len(data.val_dataloader()) > 0,
        accelerator=options.accelerator,
        devices=options.devices,
        nodes=options.nodes,
        precision=options.precision,
        accumulate=options.accumulate,
    )


def _card(
    data: ChartData,
    spec: MelSpec,
    cut: ChartWindowOptions,
    shape: NetworkShape,
    learning: Mapping[str, Any],
) -> WriterCard:
    return WriterCard(
        shape=shape,
        spec=spec,
        cut=cut,
        mean=tuple(data.statistics.mean.tolist()),
        deviation=tuple(data.statistics.deviation.tolist()),
        styles=data.styles,
        learning=learning,
    )


def _learning(
    data: ChartData,
    options: TrainOptions,
    steps: int,
    history: Iterable[MapLook],
    learner: MapLearner,
) -> dict[str, Any]:
    """Return how a model learnt, for its card."""
    return {
        "options": _deciding(options),
        "data": asdict(data.options),
        "steps": steps,
        "parameters": learner.network.parameter_count(),
        "songs": {
            part: len({data.corpus.charts[c].song.audio_key for c in charts.tolist()})
            for part, charts in _charts_of_parts(data).items()
        },
        "windows": {part: len(found) for part, found in data.corpus.part.items()},
        "history": [asdict(look) for look in history],
    }


def _charts_of_parts(data: ChartData) -> dict[str, Any]:
    windows = data.corpus.windows
    return {part: windows.chart[found] for part, found in data.corpus.part.items()}


def _identity(data: ChartData, shape: NetworkShape, options: TrainOptions) -> str:
    """Return what a checkpoint must agree in to be gone on from."""
    return fingerprint(
        {
            "windows": data.fingerprint(),
            "data": asdict(data.options),
            "shape": asdict(shape),
            "options": _deciding(options),
        }
    )


def _deciding(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a course of learning is decided by."""
    return {name: value for name, value in asdict(options).items() if name not in _FREE}
