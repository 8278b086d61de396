"""Parquet shards as a stream of batches for PyTorch that is gone back to at the very batch.

    stream = ParquetStream(source, folder, collate, batch_rows=32, seed=1)
    loader = stream.loader(workers=2)
    for batch in loader:  # one epoch; the next loop is the next one
        ...
    state = loader.state_dict()

What counts is what was delivered, not what was read ahead. The state is a place in an epoch, over
all ranks; it goes on with any number of workers and ranks.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch.utils.data
from torch.utils.data import DataLoader, IterableDataset

from workbench.errors import OptionsError, StreamingError
from workbench.streaming.course import shard_sequence
from workbench.streaming.options import WindowOptions
from workbench.streaming.order import Order
from workbench.streaming.samples import Deal, Epoch, Samples
from workbench.streaming.source import Source
from workbench.streaming.window import ShardWindow, WindowStatus

FORMAT = 1
_TELL_SECONDS = 0.2  # between reports of a worker on its window

Collate = Callable[[Samples], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How a stream is dealt.

    Attributes:
        batch_rows: Samples of one rank in a step, at most.
        seed: Of the order.
        shuffled: Whether the order differs from that of the source at all.
        mix: How many row groups have their rows permuted together.
        columns: Which columns are read; all when None.
        rank: Which rank this is.
        world: How many there are.
    """

    batch_rows: int = 32
    seed: int = 0
    shuffled: bool = True
    mix: int = 8
    columns: tuple[str, ...] | None = None
    rank: int = 0
    world: int = 1

    @property
    def deal(self) -> Deal:
        """Which samples are this rank's."""
        return Deal(batch_rows=self.batch_rows, rank=self.rank, world=self.world)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a stream was delivered.

    Attributes:
        epoch: The epoch.
        sample: How many of its samples were delivered, to all ranks together.
        steps: In how many steps.
    """

    epoch: int = 0
    sample: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A step: a batch, and where the stream stands behind it.

    Attributes:
        batch: What `collate` made; None where skipped shards left nothing of the step.
        place: Behind it.
        status: Of the window it came through, where there is news.
        failure: What ended the stream of a worker in place of a batch.
    """

    batch: Any
    place: Place
    status: WindowStatus | None = None
    failure: StreamingError | OptionsError | None = None


class ParquetStream(IterableDataset[Delivered]):
    """Batches of samples, one epoch at a time, from where the stream stands.

    Iterated over by itself it stands, at any time, behind the batch that was given last. A
    DataLoader iterates over copies of it; `loader` makes one that counts what it delivers.

    Attributes:
        place: How far it was delivered.
        status: Of the window, as far as it was told.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        collate: Collate,
        options: StreamSettings | None = None,
        window: WindowOptions | None = None,
    ) -> None:
        """Stand at the beginning of the first epoch; nothing is read.

        Args:
            source: The shards; each tells how many rows it has.
            folder: Where they come to; streams may share it.
            collate: Makes a batch of samples; for workers it stands at the top of a module.
            options: How it is dealt.
            window: How much of the source is here at a time.

        Raises:
            OptionsError: The options cannot be, or a shard does not tell its rows, or some rank
                would have no sample in the last step.
        """
        super().__init__()
        self._source = source
        self._folder = folder
        self._collate = collate
        self._options = options or StreamSettings()
        self._window = window or WindowOptions()
        self._deal = self._options.deal
        self.place = Place()
        self.status: WindowStatus | None = None
        rows = self._epoch(0).rows
        if rows < self._deal.world or (self._deal.batch_rows == 1 and rows % self._deal.world):
            raise OptionsError(
                f"{source.name}: {rows} samples for {self._deal.world} ranks in batches of "
                f"{self._deal.batch_rows}: some rank has none in the last step; take larger batches"
            )

    def __iter__(self) -> Iterator[Delivered]:
        """Give the batches that are left of the epoch; of a worker's own steps in a worker.

        Raises:
            SourceError: A shard cannot be fetched or read.
            StreamingError: There is no room for it, or it does not come in time.
        """
        self.turn_over()
        epoch = self.place.epoch
        for delivered in self._steps(*_turn()):
            self.delivered(delivered)
            if delivered.batch is not None:
                yield delivered
        self.place = Place(epoch=epoch + 1)

    def __len__(self) -> int:
        """Return the steps of the epoch: those that were delivered and those that are left."""
        place = self.place
        rows = self._epoch(place.epoch).rows
        return place.steps + self._deal.steps(place.sample, rows)

    def turn_over(self) -> None:
        """Move to the next epoch if nothing is left of this one.

        Who knows how many batches there are, as Lightning, stops asking after the last.
        """
        place = self.place
        if place.sample and not self._deal.steps(place.sample, self._epoch(place.epoch).rows):
            self.place = Place(epoch=place.epoch + 1)

    def delivered(self, delivered: Delivered) -> None:
        """Move behind a batch."""
        self.place = delivered.place
        self.status = delivered.status or self.status

    def loader(self, workers: int = 0, **settings: Any) -> "StreamLoader":
        """Return what training iterates over.

        Args:
            workers: Processes that read and collate.
            settings: More for the DataLoader, as `prefetch_factor`.
        """
        return StreamLoader(self, workers, settings)

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands, as plain numbers and text."""
        options = self._options
        return {
            "format": FORMAT,
            "source": self._source.fingerprint,
            "seed": options.seed,
            "shuffled": options.shuffled,
            "mix": options.mix,
            "epoch": self.place.epoch,
            "sample": self.place.sample,
            "steps": self.place.steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where a stream stood.

        Args:
            state: What `state_dict` returned, also with other ranks, workers or batches.

        Raises:
            StreamingError: It is of another source or order, or no such state.
        """
        mine = self.state_dict()
        for name in ("format", "source", "seed", "shuffled", "mix"):
            if state.get(name) != mine[name]:
                raise StreamingError(
                    f"the state is of a stream with {name} {state.get(name)!r}, this one has "
                    f"{mine[name]!r}; give it the same source and order, or begin anew"
                )
        self.place = Place(epoch=state["epoch"], sample=state["sample"], steps=state["steps"])

    def _epoch(self, epoch: int) -> Epoch:
        options = self._options
        order = Order(seed=options.seed, epoch=epoch, shuffled=options.shuffled)
        return Epoch(self._source, order, mix=options.mix, columns=options.columns)

    def _steps(self, first: int, every: int) -> Generator[Delivered, None, None]:
        """Give the steps that are left of the epoch, or every so many of them from a first on."""
        begun = self.place
        epoch = self._epoch(begun.epoch)
        numbered = enumerate(self._deal.spans(begun.sample, epoch.rows), begun.steps + 1)
        steps = list(islice(numbered, first, None, every))
        if not steps:
            return
        spans = [span for _, span in steps]
        told = 0.0
        with (
            ShardWindow(
                self._source, self._folder, self._sequence(epoch, spans[0].start), self._window
            ) as window,
            closing(epoch.read(window, spans, self._deal)) as found,
        ):
            for (number, span), samples in zip(steps, found, strict=True):
                status = None
                if time.monotonic() - told > _TELL_SECONDS or number == steps[-1][0]:
                    told, status = time.monotonic(), window.status()
                batch = None if samples is None else self._collate(samples)
                place = Place(epoch=begun.epoch, sample=span.stop, steps=number)
                yield Delivered(batch=batch, place=place, status=status)

    def _sequence(self, epoch: Epoch, start: int) -> Iterator[int]:
        """Return the shards from a place of the epoch on, through all epochs after it.

        Those without a row are left out, as nobody waits for them.
        """
        options = self._options
        shards = shard_sequence(
            len(self._source.files),
            seed=options.seed,
            shuffled=options.shuffled,
            epoch=self.place.epoch,
            start=epoch.shards_before(start),
        )
        return (shard for shard in shards if self._source.files[shard].rows)


class _OfWorker(IterableDataset[Delivered]):
    """The steps of one worker, each of them one, so that they come in turn whatever is skipped."""

    def __init__(self, stream: ParquetStream) -> None:
        super().__init__()
        self._stream = stream

    def __iter__(self) -> Iterator[Delivered]:
        try:
            yield from self._stream._steps(*_turn())
        except (
            StreamingError,
            OptionsError,
        ) as error:  # raised here it would be wrapped in a worker's traceback
            yield Delivered(batch=None, place=self._stream.place, failure=error)


def _turn() -> tuple[int, int]:
    """Return which steps are this process's: the first, and every so many from it on."""
    worker = torch.utils.data.get_worker_info()
    return (worker.id, worker.num_workers) if worker else (0, 1)


class StreamLoader:
    """The batches of a stream, one epoch an iteration, counted as they are delivered.

    Lightning takes it for a loader with a length and a state, and saves that in its checkpoints.

    Attributes:
        stream: The stream.
        wait_seconds: How long batches were waited for, in all.
        busy_seconds: How long was spent with batches, between two of them, in all.
    """

    def __init__(self, stream: ParquetStream, workers: int, settings: Mapping[str, Any]) -> None:
        """See `ParquetStream.loader`."""
        self.stream = stream
        self.wait_seconds = 0.0
        self.busy_seconds = 0.0
        self._workers = workers
        self._settings = dict(settings)

    def __iter__(self) -> Iterator[Any]:
        """Give the batches that are left of the epoch.

        Raises:
            SourceError: A shard cannot be fetched or read.
            StreamingError: There is no room for it, or it does not come in time.
        """
        self.stream.turn_over()
        epoch = self.stream.place.epoch
        with closing(self._coming()) as coming:
            while True:
                begun = time.perf_counter()
                delivered = next(coming, None)
                got = time.perf_counter()
                self.wait_seconds += got - begun
                if delivered is None:
                    break
                self.stream.delivered(delivered)
                if delivered.batch is not None:
                    yield delivered.batch
                    self.busy_seconds += time.perf_counter() - got
        self.stream.place = Place(epoch=epoch + 1)

    def _coming(self) -> Generator[Delivered, None, None]:
        if not self._workers:
            yield from self.stream._steps(0, 1)
            return
        for delivered in DataLoader(
            _OfWorker(self.stream), batch_size=None, num_workers=self._workers, **self._settings
        ):
            if delivered.failure is not None:
                raise delivered.failure
            yield delivered

    def __len__(self) -> int:
        """Return the steps of the epoch: those that were delivered and those that are left."""
        return len(self.stream)

    @property
    def wait_share(self) -> float:
        """Return which part of the time was spent waiting for batches, 0 to 1."""
        spent = self.wait_seconds + self.busy_seconds
        return self.wait_seconds / spent if spent else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where a stream stood.

        Raises:
            StreamingError: It is of another source or order, or no such state.
        """
        self.stream.load_state_dict(state)
