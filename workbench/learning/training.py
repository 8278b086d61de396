"""What trainings share: trainer, checkpoint, course of the rate, random numbers.

A checkpoint appears whole or not at all, is of one identity, and is gone on from by running the
same again. Random numbers of a step are drawn from what names the step, so that a training which
was stopped anywhere goes on as if it never had been; on a processor, to the very bit.
"""

import logging
import math
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor, nn

from workbench.caching.files import replacing, sweep
from workbench.errors import CachingError, LearningError

CHECKPOINT = "last.ckpt"

_CLIP = 1.0  # greatest norm of a gradient
_LEAST_RATE = 0.02  # of the learning rate, at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """How a trainer runs.

    Attributes:
        steps: Optimiser steps at most.
        validate_every: Steps between two looks at what is held out.
        save_every: Steps between two checkpoints.
        has_held: Whether anything is held out.
        accelerator: `cpu`, `gpu`, or `auto`, which takes a GPU if there is one.
        devices: GPUs, or processes on the processor, of one host.
        nodes: Hosts.
        precision: `32`, `bf16`, or `auto`, which is bf16 on a GPU.
        accumulate: Batches of an optimiser step.
    """

    steps: int
    validate_every: int
    save_every: int
    has_held: bool
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"
    accumulate: int = 1


class Checkpoints:
    """The one checkpoint of a training.

    Attributes:
        path: Its file.
        identity: What it must agree in to be gone on from.
    """

    def __init__(self, folder: Path, identity: str):
        """Make the folder, and delete what a killed training left half written.

        Raises:
            CachingError: The folder cannot be made.
        """
        self.path = folder / CHECKPOINT
        self.identity = identity
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CachingError(f"{folder}: cannot be made ({error.strerror})") from error
        sweep(self.path)

    def resumed_at(self) -> int:
        """Return the step of the checkpoint, 0 where there is none.

        Raises:
            LearningError: It cannot be read, or is another training's.
        """
        if not self.path.exists():
            return 0
        checkpoint = read_checkpoint(self.path)
        if checkpoint.get("identity") != self.identity:
            raise LearningError(
                f"{self.path}: is of other data or other options; give the same, or delete it to "
                "start over"
            )
        return int(checkpoint["global_step"])


class Saves(Checkpoint):
    """Saves the one checkpoint, after a look where one is due at the same step."""

    def __init__(self, checkpoints: Checkpoints, settings: TrainerSettings):
        """Take where, and how often."""
        self._checkpoints = checkpoints
        self._every = settings.save_every
        self._has_held = settings.has_held
        self._saved_at = self._stepped_at = 0
        self._is_whole = True  # whether no batch of a step to come was taken

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save nothing anew where a checkpoint was gone on from."""
        self._saved_at = self._stepped_at = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save where it is time, once a step."""
        step = trainer.global_step
        self._is_whole, self._stepped_at = step != self._stepped_at, step
        looks = self._has_held and is_look(trainer)
        if step % self._every == 0 and step != self._saved_at and not looks:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save the look too, but for one between two batches of a step."""
        if self._is_whole:
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Name whose it is."""
        checkpoint["identity"] = self._checkpoints.identity

    def _save(self, trainer: pl.Trainer) -> None:
        self._saved_at = trainer.global_step
        trainer.save_checkpoint(self._checkpoints.path)


def is_look(trainer: pl.Trainer) -> bool:
    """Return whether a look at what is held out is due after the batch at hand.

    Lightning looks too where a training is stopped; who goes on from there must not count that.
    """
    assert trainer.val_check_batch is not None
    return (trainer.fit_loop.total_batch_idx + 1) % int(trainer.val_check_batch) == 0


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that appear whole or not at all; reading one runs nothing in it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write one."""
        with replacing(Path(path)) as scratch:
            torch.save(checkpoint, scratch)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what is in a checkpoint.

    Raises:
        LearningError: It is none, or damaged.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its reader raises errors of many kinds, none of its own
        raise LearningError(
            f"{path}: no readable checkpoint ({error}); delete it to start over"
        ) from error
    return checkpoint


def device_of(accelerator: str) -> torch.device:
    """Return the device that `cpu`, `gpu` or `auto` names; `auto` takes a GPU if there is one.

    Raises:
        LearningError: There is no GPU.
    """
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise LearningError("accelerator gpu: PyTorch finds none here; take cpu or auto")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")


def make_trainer(
    settings: TrainerSettings, folder: Path, callbacks: Sequence[Callback]
) -> pl.Trainer:
    """Return a trainer of so many steps, of no epochs of its own.

    Args:
        settings: How it runs.
        folder: Where what it would write lies.
        callbacks: What it calls, in that order.

    Raises:
        LearningError: A GPU is asked for and there is none.
    """
    on_gpu = device_of(settings.accelerator).type == "cuda"
    is_half = settings.precision == "bf16" or (settings.precision == "auto" and on_gpu)
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy="auto" if settings.devices * settings.nodes == 1 else "ddp",
        precision="bf16-mixed" if is_half else "32-true",
        max_epochs=-1,
        max_steps=settings.steps,
        accumulate_grad_batches=settings.accumulate,
        val_check_interval=settings.validate_every * settings.accumulate,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if settings.has_held else 0,
        num_sanity_val_steps=0,
        gradient_clip_val=_CLIP,
        deterministic=not on_gpu,
        callbacks=list(callbacks),
        plugins=[WholeFiles()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def fit(
    trainer: pl.Trainer,
    learner: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path | None,
) -> None:
    """Run a trainer; an interruption is raised as one, where Lightning ends the process.

    Raises:
        KeyboardInterrupt: Somebody asked for it.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, datamodule=data, ckpt_path=checkpoint)
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Set PyTorch's threads while a block lasts, and quieten Lightning's hints.

    Args:
        threads: As many; 0 leaves them.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    lightning_log = logging.getLogger("lightning.pytorch")
    level = lightning_log.level
    lightning_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch_threads(threads):
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        torch.use_deterministic_algorithms(strict)
        lightning_log.setLevel(level)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set PyTorch's threads while a block lasts.

    Args:
        threads: As many; 0 leaves them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def course(warm_up: int, steps: int, step: int) -> float:
    """Return the share of the greatest learning rate at a step: up in a line, down as a cosine."""
    rise = min(1.0, (step + 1) / (warm_up + 1))
    fall = 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
    return rise * (_LEAST_RATE + (1.0 - _LEAST_RATE) * fall)


def decayed(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters for an optimiser, of which matrices alone decay."""
    learning = list(network.parameters())
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def average_on(average: nn.Module, network: nn.Module, memory: float, step: int) -> None:
    """Move a running average of weights on by a step; at first it forgets sooner.

    Args:
        average: What is moved.
        network: Toward it.
        memory: Share of the average that stays, later.
        step: From 1.
    """
    memory = min(memory, (1 + step) / (10 + step))
    with torch.no_grad():
        mine: list[Tensor] = list(average.parameters())
        torch._foreach_lerp_(mine, list[Tensor](network.parameters()), 1.0 - memory)


@contextmanager
def drawn_from(device: torch.device, *numbers: int) -> Iterator[None]:
    """Draw PyTorch's random numbers from some numbers while a block lasts.

    Args:
        device: The device whose generator is drawn from too.
        *numbers: Not negative.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_word(*numbers))
        yield


def copied(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights as they are now, in memory of the host."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _word(*numbers: int) -> int:
    """Return a seed made of some numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
