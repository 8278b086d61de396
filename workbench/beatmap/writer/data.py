"""What a writer of maps is trained on: windows of charts and their sound, in batches.

    data = ChartData(Store.open(store), FeatureCache(cache, spec), vocabulary...)

Tokens are made once, at the start, and stay in memory; sound is read from the cache's memory map
as it is used. Which windows make a step is a pure function of (seed, epoch, step), and so is what
is hidden of them, so that a training that was stopped goes on with the very batch.

A batch is a dictionary:
    mel: `(B, columns, channels)`, float16 in decibels; on the device, float32 with mean 0 and
        deviation 1 of the songs that are trained on.
    sound: How many of its columns are sound, int64 `(B,)`; the others hold the mean.
    tokens: `(B, T)` int64, PAD behind the end.
    lengths: How many of them there are, int64 `(B,)`.
    learnt_from: The first that is to be learnt, int64 `(B,)`.
    window: Which windows they are, int64 `(B,)`.
    density: Notes a second of the whole chart, float32 `(B,)`.
    style: Number of its mapper among `ChartData.styles`, from 1; 0 is another, int64 `(B,)`.
    counted: Whether a window is there for itself, or fills the batch of a rank, bool `(B,)`.
    draw: What the random numbers of the batch are drawn by: seed, epoch, step, rank.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.augment import hidden, normalised
from workbench.beatmap.writer.cache import FeatureCache, Statistics
from workbench.beatmap.writer.corpus import (
    OFFICIAL,
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    VOCABULARIES,
    ChosenChart,
    chosen_charts,
    encoded_charts,
    song_weights,
    style_of,
    styles_of,
)
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.options import ChartWindowOptions
from workbench.beatmap.writer.sampling import Indices, Sampling, window_weights
from workbench.beatmap.writer.tokens import PAD, Encoded, Vocabulary
from workbench.beatmap.writer.windows import Windows, window_columns, windows_of
from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError
from workbench.streaming.ahead import ahead

Batch = dict[str, Any]

FORMAT = 2  # of a state; raised whenever the same windows come in another order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corpus:
    """The charts that have sound, and their windows.

    Attributes:
        charts: Which charts, in the order of the store.
        left_out: Reason: charts that were left out for it.
        encoded: The charts as tokens, with what was lost of them.
        windows: Of all charts.
        part: Part: its windows, int64 `(n,)`, rising.
    """

    charts: tuple[ChosenChart, ...]
    left_out: Mapping[str, int]
    encoded: Encoded
    windows: Windows
    part: Mapping[str, Indices]


def build_corpus(
    store: Store,
    cache: FeatureCache,
    options: DataOptions,
    cut: ChartWindowOptions | None = None,
) -> Corpus:
    """Return the charts of a store that have features, as windows of tokens.

    Args:
        store: The charts.
        cache: The features.
        options: Which charts, in which parts.
        cut: How they are cut into windows.

    Raises:
        BeatmapError: The store cannot be read, or no chart is left.
    """
    chosen, left_out = chosen_charts(store.songs, options)
    charts = [chart for chart in chosen if chart.feature_key in cache]
    if len(charts) < len(chosen):
        left_out["not_cached"] = len(chosen) - len(charts)
    if not charts:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none"
        raise BeatmapError(
            f"{store.folder}: no chart is left to learn from (left out: {told}); take other "
            f"filters, or warm the cache {cache.folder}",
            "no_charts",
        )
    encoded = encoded_charts(store, charts, VOCABULARIES[options.vocabulary])
    columns = np.array([cache.columns(chart.feature_key) for chart in charts], np.int64)
    windows = windows_of(encoded, columns, cache.spec.columns_a_beat, cut or ChartWindowOptions())
    names = np.array([PARTS.index(chart.part) for chart in charts])[windows.chart]
    return Corpus(
        charts=tuple(charts),
        left_out=left_out,
        encoded=encoded,
        windows=windows,
        part={part: np.flatnonzero(names == number) for number, part in enumerate(PARTS)},
    )


class WindowBatches:
    """Makes batches of windows.

    Attributes:
        fill: What stands where a song has ended, `(channels,)`.
    """

    def __init__(
        self,
        corpus: Corpus,
        cache: FeatureCache,
        fill: NDArray[np.float32],
        pad_to: int,
        styles: tuple[str, ...] = (),
    ) -> None:
        """Make ready.

        Args:
            corpus: The windows.
            cache: Their sound.
            fill: What stands where a song has ended, `(channels,)`.
            pad_to: Tokens are padded to a multiple of this.
            styles: Mappers that are told apart.
        """
        self.fill = fill
        self._windows = corpus.windows
        self._lengths = corpus.windows.lengths
        self._features = [cache.features(chart.feature_key) for chart in corpus.charts]
        self._pad_to = pad_to
        numbers = {name: number for number, name in enumerate(styles, 1)}
        found = [numbers.get(style_of(chart), 0) for chart in corpus.charts]
        self._styles = torch.tensor(found, dtype=torch.int64)
        self._densities = torch.tensor([chart.beatmap.nps for chart in corpus.charts])

    def __call__(self, chosen: Indices) -> Batch:
        """Return the batch of some windows, `(B,)`."""
        of_charts = self._windows.chart[chosen]
        charts = of_charts.tolist()
        firsts = self._windows.first_column[chosen].tolist()
        found = [
            window_columns(self._features[chart], first, self._windows.columns, self.fill)
            for chart, first in zip(charts, firsts, strict=True)
        ]
        return {
            "mel": torch.from_numpy(np.stack([columns for columns, _ in found])),
            "sound": torch.tensor([there for _, there in found], dtype=torch.int64),
            **self._tokens(chosen),
            "window": torch.from_numpy(chosen.astype(np.int64)),
            "density": self._densities[of_charts],
            "style": self._styles[of_charts],
        }

    def _tokens(self, chosen: Indices) -> dict[str, Tensor]:
        windows = self._windows
        begins = windows.offsets[chosen].tolist()
        lengths = self._lengths[chosen]
        longest = -(-int(lengths.max()) // self._pad_to) * self._pad_to
        tokens = np.full((len(chosen), longest), PAD, np.int64)
        for place, (begin, length) in enumerate(zip(begins, lengths.tolist(), strict=True)):
            tokens[place, :length] = windows.tokens[begin : begin + length]
        return {
            "tokens": torch.from_numpy(tokens),
            "lengths": torch.from_numpy(lengths),
            "learnt_from": torch.from_numpy(windows.learnt_from[chosen]),
        }


class TrainLoader:
    """Batches to train on, one epoch an iteration, gone back to at the very batch.

    Lightning takes it for a loader with a length and a state, and saves that in its checkpoints.
    An iteration gives what is left of the epoch, or the next one where nothing is. The next batch
    is made while one is used; what counts is what was delivered.

    Attributes:
        epoch: The epoch.
        step: How many of its steps were delivered.
    """

    def __init__(
        self,
        batches: WindowBatches,
        chosen: Indices,
        sampling: Sampling,
        ranks: tuple[int, int] = (0, 1),
        most_steps: int | None = None,
    ) -> None:
        """Stand at the beginning of the first epoch.

        Args:
            batches: Makes them.
            chosen: The windows of the part, `(n,)`; the sampling counts in these.
            sampling: Which of them make a step.
            ranks: Which rank this is; how many there are.
            most_steps: An epoch is over after so many steps, at least 1; after all, if None.
        """
        self.epoch = 0
        self.step = 0
        self._batches = batches
        self._chosen = chosen
        self._sampling = sampling
        self._rank, self._world = ranks
        self._most_steps = len(self) if most_steps is None else most_steps

    def __len__(self) -> int:
        """Return the steps of an epoch: those that were delivered and those that are left."""
        return self._sampling.steps

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches that are left of the epoch, or those of the next one."""
        # here and not behind the last batch, as who knows how many there are goes no further
        if self.step >= self._most_steps:
            self.epoch, self.step = self.epoch + 1, 0
        numbered = partial(self._numbered, self.epoch)
        for number, batch in ahead(numbered, range(self.step, len(self))):
            self.step = number + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return which batch is next, as plain numbers and text."""
        return {
            "format": FORMAT,
            "sampling": self._sampling.fingerprint,
            "epoch": self.epoch,
            "step": self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where a loader stood.

        Args:
            state: What `state_dict` returned, also with other ranks of batches that are together
                as large.

        Raises:
            BeatmapError: It is of other windows, weights, steps or another seed.
        """
        mine = self.state_dict()
        for name in ("format", "sampling"):
            if state.get(name) != mine[name]:
                raise BeatmapError(
                    f"the state is of {name} {state.get(name)!r}, this training has "
                    f"{mine[name]!r}; give it the same charts, weights, steps and seed, or begin "
                    "anew",
                    "other_sampling",
                )
        self.epoch, self.step = int(state["epoch"]), int(state["step"])

    def _numbered(self, epoch: int, number: int) -> tuple[int, Batch]:
        step = self._sampling.step(epoch, number)
        batch = self._batches(self._chosen[step[self._rank :: self._world]])
        batch["counted"] = torch.ones(len(batch["window"]), dtype=torch.bool)
        batch["draw"] = (self._sampling.seed, epoch, number, self._rank)
        return number, batch


class HeldLoader:
    """Batches that are held out: each window once, and as many batches for each rank."""

    def __init__(
        self, batches: WindowBatches, chosen: Indices, lengths: Indices, deal: tuple[int, int, int]
    ) -> None:
        """Deal windows.

        Args:
            batches: Makes them.
            chosen: The windows of the part, `(n,)`.
            lengths: Tokens of each, `(n,)`; windows of about one length stand together.
            deal: Windows of a batch; which rank this is; how many there are.
        """
        self._batches = batches
        size, rank, world = deal
        ordered = chosen[np.argsort(lengths, kind="stable")]
        own = np.arange(rank, -(-len(ordered) // world) * world, world)
        self._counted = own < len(ordered)
        self._own = ordered[np.minimum(own, len(ordered) - 1)] if len(ordered) else ordered
        self._size = size

    def __len__(self) -> int:
        """Return how many batches there are."""
        return math.ceil(len(self._own) / self._size)

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches."""
        for _, batch in ahead(self._numbered, range(len(self))):
            yield batch

    def _numbered(self, number: int) -> tuple[int, Batch]:
        some = slice(number * self._size, (number + 1) * self._size)
        batch = self._batches(self._own[some])
        batch["counted"] = torch.from_numpy(self._counted[some])
        return number, batch


class ChartData(pl.LightningDataModule):
    """The charts of a store with their sound, for a trainer.

    The trainer's checkpoints hold where the training stands among the batches.

    Attributes:
        corpus: The charts and their windows.
        cache: Their sound.
        statistics: Mean and deviation of the sound that is trained on.
        styles: Mappers of songs that are trained on whose style is told apart, by name.
    """

    def __init__(
        self,
        store: Store,
        cache: FeatureCache,
        options: DataOptions | None = None,
        cut: ChartWindowOptions | None = None,
    ) -> None:
        """Read the charts.

        Args:
            store: The charts.
            cache: Their features.
            options: Which charts, in which parts, and how they are dealt.
            cut: How they are cut into windows.

        Raises:
            BeatmapError: The store cannot be read, or no chart is left to train on.
        """
        super().__init__()
        self.options = options or DataOptions()
        self._cut = cut or ChartWindowOptions()
        self.corpus = build_corpus(store, cache, self.options, self._cut)
        trained = {c.feature_key for c in self.corpus.charts if c.part == TRAIN}
        if not trained:
            raise BeatmapError(
                f"{store.folder}: all charts are held out, none is left to train on; take smaller "
                "shares for validation and test",
                "no_charts",
            )
        self.statistics: Statistics = cache.statistics(sorted(trained))
        self.cache = cache
        self.styles = styles_of(self.corpus.charts, self.options.style_songs)
        self._batches = WindowBatches(
            self.corpus, cache, self.statistics.mean, self.options.pad_to, self.styles
        )
        self._loader: TrainLoader | None = None
        self._stopped_at: Mapping[str, Any] | None = None

    def train_dataloader(self) -> TrainLoader:
        """Return the batches of this rank to train on.

        Raises:
            BeatmapError: The state that was loaded is of other windows, weights, steps or another
                seed.
        """
        ranks = self._ranks()
        chosen = self.corpus.part[TRAIN]
        sampling = self._sampling(chosen, ranks[1])
        loader = TrainLoader(self._batches, chosen, sampling, ranks, self._steps(sampling.steps))
        if self._stopped_at is not None:
            loader.load_state_dict(self._stopped_at)
            self._stopped_at = None
        self._loader = loader
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return where the training stands; nothing before it has begun.

        It is that of the loader, which a trainer forgets where a checkpoint ends an epoch.
        """
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next training begin where another stood, where one is about to begin."""
        if self.trainer is None or self.trainer.training:
            self._stopped_at = state_dict

    def val_dataloader(self) -> HeldLoader:
        """Return the batches of this rank to look at while training."""
        return self._held(VALIDATION)

    def test_dataloader(self) -> HeldLoader:
        """Return the batches of this rank that are kept for the end."""
        return self._held(TEST)

    def part_dataloader(self, part: str) -> HeldLoader:
        """Return the batches of this rank of any part, each window once."""
        return self._held(part)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Normalise a batch where it is, and hide parts of one that is trained on."""
        mel = normalised(batch["mel"], self.statistics)
        if "draw" in batch and (self.trainer is None or self.trainer.training):
            mel = hidden(mel, batch["draw"], self.options, self.cache.spec.n_mels)
        return batch | {"mel": mel}

    def _ranks(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _steps(self, steps: int) -> int:
        """Return how many of the steps of an epoch the trainer takes."""
        limit = 1.0 if self.trainer is None else self.trainer.limit_train_batches
        return max(int(steps * limit) if isinstance(limit, float) else min(steps, limit), 1)

    def _sampling(self, chosen: Indices, world: int) -> Sampling:
        charts = self.corpus.windows.chart[chosen]
        official = np.array([c.song.source == OFFICIAL for c in self.corpus.charts])
        weights = song_weights(self.corpus.charts, self.options)
        return Sampling(
            weights=window_weights(weights[charts], official[charts], self.options.official_share),
            lengths=self.corpus.windows.lengths[chosen],
            step_windows=self.options.batch_size * world,
            bucket_steps=self.options.bucket_steps,
            seed=self.options.seed,
            identity=self.fingerprint(),
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens."""
        return VOCABULARIES[self.options.vocabulary]

    def fingerprint(self) -> str:
        """Return what tells the windows of this training from others."""
        charts = [[chart.song.key, chart.number] for chart in self.corpus.charts]
        spec = self.cache.spec.fingerprint()
        return fingerprint([charts, self.options.vocabulary, asdict(self._cut), spec])

    def _held(self, part: str) -> HeldLoader:
        chosen = self.corpus.part[part]
        deal = (self.options.batch_size, *self._ranks())
        return HeldLoader(self._batches, chosen, self.corpus.windows.lengths[chosen], deal)
