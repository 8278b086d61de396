"""Who speaks: a small network learns the speakers of a gathered dataset while its shards come.

It hears of a clip how loud bands of 15.6 Hz are beside each other, up to 4 kHz, in windows of
64 ms; what it answers is a mean over the clip, so that clips of any level, length and rate are
alike to it. Weights are drawn from the seed and clips come in the stream's order, so that on a
processor the same options give the same weights, also when a training was stopped and gone on with.

Units: losses in nats a clip; sample rates in Hz, 8,000 at least.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workbench import options
from workbench.caching.files import refuse_other
from workbench.caching.fingerprint import fingerprint
from workbench.errors import SourceError, SpeechError
from workbench.learning.stream import ParquetStream, StreamSettings
from workbench.learning.training import (
    CHECKPOINT,
    Checkpoints,
    Saves,
    TrainerSettings,
    course,
    fit,
    make_trainer,
    torch_settings,
)
from workbench.music.sound_files import Samples
from workbench.progress import Progress, Show, silent
from workbench.speech.audio import Refusal, decode
from workbench.speech.rows import NO_SPEAKER
from workbench.streaming import samples as dealt
from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source

BANDS = 256  # of 15.6 Hz

_WINDOW_SECONDS = 0.064
_HOPS = 4  # of a window
_FAINTEST = 1e-6  # power that is told from none
_REACH = 5  # windows that the network looks at together
_UNKNOWN = -100  # what cross_entropy leaves out
_COLUMNS = ("ID", "audio", "speaker_id")

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerOptions:
    """How the speakers of a dataset are learned.

    Attributes:
        steps: Optimiser steps [1..].
        batch_rows: Clips of a step [1..].
        learning_rate: The greatest [1e-6..1].
        warm_up: Steps over which it rises; then it falls as a cosine until the last [0..].
        width: Of the network's layers [4..4096].
        save_every: Steps between two checkpoints [1..].
        seed: Of weights and order [0..].
        threads: Of the processor; 0 is as many as it has [0..].
    """

    steps: int = 100
    batch_rows: int = 16
    learning_rate: float = 5e-3
    warm_up: int = 10
    width: int = 48
    save_every: int = 100
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakersLearned:
    """What learning gave.

    Attributes:
        network: Hears who speaks.
        speakers: The ids it answers with, in its order.
        losses: Of every step from the first, nats a clip.
        resumed_at: Step this run began at.
        seconds: How long it took.
    """

    network: "SpeakerNetwork"
    speakers: tuple[str, ...]
    losses: tuple[float, ...]
    resumed_at: int
    seconds: float


class SpeakerNetwork(nn.Module):
    """Two layers that look at a few windows together, and a mean over the clip."""

    def __init__(self, speakers: int, width: int):
        """Draw weights.

        Args:
            speakers: How many it tells apart.
            width: Of its layers.
        """
        super().__init__()
        self.first = nn.Conv1d(BANDS, width, _REACH, padding=_REACH // 2)
        self.second = nn.Conv1d(width, width, _REACH, padding=_REACH // 2)
        self.out = nn.Linear(width, speakers)

    def forward(self, bands: Tensor, windows: Tensor) -> Tensor:
        """Return how likely each speaker is, logits (B, speakers).

        Args:
            bands: Loudness, (B, BANDS, most windows); what lies behind a clip's end is left out.
            windows: Of each clip, int64 (B,).
        """
        is_there = torch.arange(bands.shape[2], device=bands.device) < windows[:, None]
        inner = functional.gelu(self.first(bands)) * is_there[:, None]
        inner = functional.gelu(self.second(inner)) * is_there[:, None]
        logits: Tensor = self.out(inner.sum(2) / windows[:, None])
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerBatch:
    """Makes batches of clips; a worker may do so.

    Attributes:
        speakers: The ids, in the network's order; a clip of any other teaches nothing.
    """

    speakers: tuple[str, ...]

    def __call__(self, samples: dealt.Samples) -> Batch:
        """Return a batch.

        Returns:
            bands: Loudness, float32 (B, BANDS, most windows), 0 behind a clip's end.
            windows: Of each clip, int64 (B,).
            speaker: Place among the ids, int64 (B,).

        Raises:
            SpeechError: A clip cannot be decoded, or its rate is too low.
        """
        rows = samples.rows.to_pylist()
        heard = [_heard(row) for row in rows]
        place = {speaker: number for number, speaker in enumerate(self.speakers)}
        return {
            "bands": nn.utils.rnn.pad_sequence(heard, batch_first=True).transpose(1, 2),
            "windows": torch.tensor([len(bands) for bands in heard]),
            "speaker": torch.tensor([place.get(row["speaker_id"], _UNKNOWN) for row in rows]),
        }


def loudness(samples: Samples, sample_rate: int) -> Tensor:
    """Return how loud each band is beside the others at the time.

    Args:
        samples: Shape (n,), from -1 to 1.
        sample_rate: Hz, at least 8,000.

    Returns:
        Shape (windows, BANDS), float32; of each window mean 0 and variance 1, or all 0 where it is
        silent. There is a window for every whole 16 ms, and one more.
    """
    size = round(_WINDOW_SECONDS * sample_rate)
    sound = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    spectrum = torch.stft(
        sound,
        size,
        size // _HOPS,
        window=torch.hann_window(size),
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum[:BANDS].abs().square() / size
    return functional.layer_norm(torch.log10(1.0 + power / _FAINTEST).T, (BANDS,))


def speakers_of(source: Source) -> tuple[str, ...]:
    """Return the ids of all speakers of shards that lie in a folder, in order.

    Args:
        source: The shards, of a gathered dataset.

    Raises:
        SourceError: One cannot be read.
    """
    found: set[str] = set()
    for file in source.files:
        try:
            table = pq.read_table(file.url, columns=["speaker_id"])
        except (OSError, pa.ArrowException) as error:
            raise SourceError(
                f"{file.url}: its speakers cannot be read ({error}); give a gathered dataset"
            ) from error
        found |= set(table["speaker_id"].unique().to_pylist())
    return tuple(sorted(found - {NO_SPEAKER}))


def held_back(source: Source, shards: int = 1) -> tuple[Source, Source]:
    """Return the shards to learn from, and the last ones, which are kept back.

    Args:
        source: All of them.
        shards: How many are kept back.

    Raises:
        SpeechError: None would be left on one side.
    """
    count = len(source.files) - shards
    if count < 1 or shards < 1:
        raise SpeechError(
            f"{source.name}: {shards} of {len(source.files)} shards cannot be kept back; gather "
            "smaller ones"
        )
    return source.first(count), replace(source, files=source.files[count:])


def learn_speakers(
    source: Source,
    folder: Path,
    speakers: Sequence[str],
    options: SpeakerOptions,
    show: Show = silent,
    *,
    window: WindowOptions | None = None,
    callbacks: Sequence[Callback] = (),
) -> SpeakersLearned:
    """Learn who speaks from shards wherever they are.

    Running the same again after an interruption goes on from the checkpoint.

    Args:
        source: The shards; each tells its rows.
        folder: Where the checkpoint lies, and in `train` the shards that are not here.
        speakers: The ids to learn.
        options: How.
        show: Told about the progress.
        window: How much of the source is here at a time.
        callbacks: More that Lightning calls.

    Raises:
        SpeechError: There are fewer than two speakers, or a clip cannot be decoded.
        LearningError: The checkpoint is of other shards or options, or cannot be read.
        CachingError: The checkpoint cannot be written, or something else is at its place.
        SourceError: A shard cannot be fetched or read.
    """
    began = time.monotonic()
    if len(speakers) < 2:
        raise SpeechError(f"{source.name}: {len(speakers)} speakers; two or more are told apart")
    refuse_other(folder, CHECKPOINT)
    checkpoints = Checkpoints(folder, _identity(source, speakers, options))
    resumed_at = checkpoints.resumed_at()
    learner = _Learner(len(speakers), options)
    settings = StreamSettings(batch_rows=options.batch_rows, seed=options.seed, columns=_COLUMNS)
    made = SpeakerBatch(speakers=tuple(speakers))
    data = Clips(ParquetStream(source, folder / "train", made, settings, window))
    how = TrainerSettings(
        steps=options.steps,
        validate_every=options.steps,
        save_every=options.save_every,
        has_held=False,
        accelerator="cpu",
    )
    with torch_settings(options.threads):
        called = [_Tells(show, options.steps), *callbacks, Saves(checkpoints, how)]
        trainer = make_trainer(how, folder, called)
        fit(trainer, learner, data, checkpoints.path if resumed_at else None)
    return SpeakersLearned(
        network=learner.network,
        speakers=tuple(speakers),
        losses=tuple(torch.stack(learner.losses).tolist()) if learner.losses else (),
        resumed_at=resumed_at,
        seconds=time.monotonic() - began,
    )


def speakers_heard(learned: SpeakersLearned, source: Source, folder: Path) -> NDArray[np.int64]:
    """Return who was heard in the clips of some shards.

    Args:
        learned: Who hears.
        source: The shards; each tells its rows.
        folder: Where those come to that are not here.

    Returns:
        Shape (speakers, speakers): clips, by who speaks and by who was heard.

    Raises:
        SpeechError: A clip cannot be decoded.
        SourceError: A shard cannot be fetched or read.
    """
    settings = StreamSettings(shuffled=False, columns=_COLUMNS)
    stream = ParquetStream(source, folder, SpeakerBatch(speakers=learned.speakers), settings)
    counts = np.zeros((len(learned.speakers),) * 2, np.int64)
    with torch.inference_mode():
        for delivered in stream:
            batch = delivered.batch
            heard = learned.network(batch["bands"], batch["windows"]).argmax(1)
            is_known = batch["speaker"] != _UNKNOWN
            np.add.at(counts, (batch["speaker"][is_known].numpy(), heard[is_known].numpy()), 1)
    return counts


class Clips(pl.LightningDataModule):
    """The batches to learn from, epoch after epoch.

    Attributes:
        feed: What brings them, with its state.
    """

    def __init__(self, stream: ParquetStream):
        """Take the stream."""
        super().__init__()
        self.feed = stream.loader()

    def train_dataloader(self) -> Any:
        """Return what brings the batches."""
        return self.feed


class _Learner(pl.LightningModule):
    """The network while it learns."""

    def __init__(self, speakers: int, options: SpeakerOptions):
        super().__init__()
        self.losses: list[Tensor] = []
        self._options = options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.network = SpeakerNetwork(speakers, options.width)

    def training_step(self, batch: Batch, *_: Any) -> Tensor:
        logits = self.network(batch["bands"], batch["windows"])
        is_known = batch["speaker"] != _UNKNOWN
        nats = functional.cross_entropy(
            logits, batch["speaker"], ignore_index=_UNKNOWN, reduction="sum"
        )
        loss = nats / is_known.sum().clamp(min=1)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        o = self._options
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=o.learning_rate)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(course, o.warm_up, o.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = torch.tensor(self.losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.losses = list(checkpoint["losses"])


class _Tells(Callback):
    """Tells the progress of learning."""

    def __init__(self, show: Show, steps: int):
        self._show, self._steps = show, steps
        self._began, self._resumed_at = time.monotonic(), 0

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._began, self._resumed_at = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: Any, *given: Any) -> None:
        feed, outputs = trainer.datamodule.feed, given[1]
        numbers = {"loss": round(float(outputs["loss"]), 4), "wait": round(feed.wait_share, 4)}
        progress = Progress(
            stage="learning",
            done=trainer.global_step,
            total=self._steps,
            unit="steps",
            seconds=time.monotonic() - self._began,
            fresh=trainer.global_step - self._resumed_at,
            numbers=numbers,
        )
        self._show(progress)


def _heard(row: dict[str, Any]) -> Tensor:
    sound = decode(row["audio"]["bytes"] or b"")
    if isinstance(sound, Refusal):
        raise SpeechError(f"{row['ID']}: cannot be decoded ({sound.detail}); gather it again")
    samples, sample_rate = sound
    if round(_WINDOW_SECONDS * sample_rate) < 2 * BANDS:
        raise SpeechError(f"{row['ID']}: {sample_rate} Hz; gather clips at 8,000 Hz or more")
    return loudness(samples, sample_rate)


def _identity(source: Source, speakers: Sequence[str], options: SpeakerOptions) -> str:
    """Return what a checkpoint must agree in to be gone on from."""
    told = {name: v for name, v in asdict(options).items() if name not in ("threads", "save_every")}
    return fingerprint({"source": source.fingerprint, "speakers": list(speakers), "options": told})
