"""The groove model on disk: a folder of arrays and one description, read as it is used.

    model.json          what it was made of, by which options; every stream's levels
    STREAM.keys.npy     uint64: keys of all levels of a stream, each level rising
    STREAM.counts.npy   uint32 (uint64 beyond 2^32 notes): their counts
    skipped.jsonl       every file that was not counted: index, file, reason, detail

The highest level of a stream holds its exact counts, which is what merges. Nothing in the folder
tells when, where or in how many pieces it was made; equal corpora give equal bytes. Opening
reads the description only; arrays are mapped when a stream is first asked, and a small cache
keeps the distributions used last.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.caching.files import replacing_folder
from workbench.errors import GrooveError
from workbench.groove.smoothing import taken, write_levels
from workbench.groove.streams import BARS, Ints, Stream, streams_of
from workbench.streaming.tally import Rows, TallyStore

FORMAT = 1
DESCRIPTION = "model.json"
SKIPPED = "skipped.jsonl"
_CACHED_DISTRIBUTIONS = 8192
_CACHED_BLOCK_ROWS = 1 << 16


class Distribution(NamedTuple):
    """Probabilities of the next target in one context.

    Attributes:
        seen: float64 (v,), of each target that occurs in the stream, in rising order of targets.
        unseen: Of each target that never occurs.
        level: The highest level that knew the context.
    """

    seen: NDArray[np.float64]
    unseen: float
    level: int


@dataclass(frozen=True, slots=True)
class LevelRows:
    """One level's rows and how they are discounted.

    Attributes:
        keys: uint64 (rows,), rising.
        counts: (rows,).
        discounts: Of counts 1, 2, and 3 or more.
        concentration: Of its back-off.
    """

    keys: NDArray[np.uint64]
    counts: NDArray[np.uint64]
    discounts: tuple[float, float, float]
    concentration: float


class StreamModel:
    """The distributions of one stream."""

    def __init__(
        self, folder: Path, stream: Stream, levels: list[dict[str, Any]], *, is_pruned: bool
    ):
        """Map a stream's arrays.

        Args:
            folder: The model.
            stream: The stream's layout.
            levels: Start, rows, discounts and concentration of each level, the lowest first.
            is_pruned: Whether rare n-grams were left out, so that a context may be known at a
                level and not at the one below.

        Raises:
            CachingError: An array is missing or damaged.
        """
        self.stream = stream
        self._is_nested = not is_pruned
        keys = opened_array(folder / f"{stream.name}.keys.npy")
        counts = opened_array(folder / f"{stream.name}.counts.npy")
        self.levels = {
            number: LevelRows(
                keys=keys[level["start"] : level["start"] + level["rows"]],
                counts=counts[level["start"] : level["start"] + level["rows"]],
                discounts=tuple(level["discounts"]),
                concentration=level["concentration"],
            )
            for number, level in enumerate(levels, stream.lowest)
        }
        self._cached = lru_cache(maxsize=_CACHED_DISTRIBUTIONS)(self._distribution)
        self.running_sums = lru_cache(maxsize=_CACHED_DISTRIBUTIONS)(self._running_sums_of)

    @cached_property
    def targets(self) -> Ints:
        """Every target that occurs, rising, int64 (v,)."""
        return np.asarray(self.levels[0].keys).astype(np.int64)

    @cached_property
    def target_list(self) -> list[int]:
        """The same as a list."""
        return list(self.targets.tolist())

    @cached_property
    def index_of_target(self) -> dict[int, int]:
        """Place of each target in `targets`."""
        return {target: index for index, target in enumerate(self.targets.tolist())}

    def distribution(self, context: tuple[int, ...]) -> Distribution:
        """Return the probabilities of the next target.

        Args:
            context: Values of the first fields of the stream; all of them, or fewer for a more
                general prediction.
        """
        return self._cached(context)

    def _running_sums_of(self, context: tuple[int, ...]) -> list[float]:
        """Return the running sums of the targets' probabilities, to draw from, v of them."""
        return list(np.cumsum(self._cached(context).seen).tolist())

    def _distribution(self, context: tuple[int, ...]) -> Distribution:
        if context:
            below = self._cached(context[:-1])
        else:
            base = 1.0 / self.stream.targets
            below = Distribution(np.full(len(self.targets), base), base, 0)
        depth = len(context)
        if self._is_nested and below.level < depth - 1:
            return below  # a context that never was has no longer ones
        level = self.levels[depth]
        start, stop, first = self._span(context)
        if start == stop:
            return below
        counts = level.counts[start:stop].tolist()
        discounts = [level.discounts[min(count, 3) - 1] for count in counts]
        total = sum(counts) + level.concentration
        share = (level.concentration + sum(discounts)) / total
        seen = below.seen * share
        places = self.targets.searchsorted((level.keys[start:stop] - first).astype(np.int64))
        for place, count, discount in zip(places.tolist(), counts, discounts, strict=True):
            seen[place] += (count - discount) / total
        return Distribution(seen, below.unseen * share, depth)

    def corrected(
        self, seen: NDArray[np.float64], targets: Ints, context: tuple[int, ...], weight: float
    ) -> NDArray[np.float64]:
        """Return another stream's probabilities with this one's highest level mixed in.

        Args:
            seen: Of each of the other stream's targets, shape (v,).
            targets: The other stream's targets, rising, shape (v,); all of this one's are there.
            context: A full context of this stream.
            weight: 1 as scored; above 1, this stream counts for more.
        """
        level = self.levels[self.stream.depth]
        start, stop, first = self._span(context)
        counts = level.counts[start:stop].astype(np.float64)
        total = counts.sum() + level.concentration / weight
        mixed: NDArray[np.float64] = seen * (level.concentration / weight / total)
        places = np.searchsorted(targets, (level.keys[start:stop] - first).astype(np.int64))
        mixed[places] += counts / total
        return mixed

    def _span(self, context: tuple[int, ...]) -> tuple[int, int, np.uint64]:
        """Return where a context's rows start and stop in its level, and its first key."""
        keys = self.levels[len(context)].keys
        key = 0
        for value, (_, bits) in zip(context, self.stream.fields, strict=False):
            key = key << bits | value
        first = np.uint64(key << self.stream.target_bits)
        last = first | np.uint64((1 << self.stream.target_bits) - 1)
        start = int(keys.searchsorted(first))
        if start == len(keys) or keys[start] > last:
            return start, start, first
        return start, int(keys.searchsorted(last, side="right")), first

    def probabilities(
        self,
        columns: Mapping[str, Ints],
        *,
        depth: int | None = None,
        base: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the probability of each target in its context, all at once.

        Args:
            columns: The stream's fields and `target`, each of shape (n,).
            depth: Highest level used; all when None.
            base: Probability of each target below the lowest level; uniform when None.

        Returns:
            Shape (n,), above 0.
        """
        targets = columns["target"]
        found = np.full(len(targets), 1.0 / self.stream.targets) if base is None else base.copy()
        highest = self.stream.depth if depth is None else depth
        for number in range(self.stream.lowest, highest + 1):
            contexts = self.stream.packed(columns, number)
            distinct, which = np.unique(contexts, return_inverse=True)
            total, back = self._masses(number, distinct)
            own = self._own_masses(number, self.stream.with_target(contexts, targets))
            is_known = total[which] > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                mixed = (own + back[which] * found) / total[which]
            found = np.where(is_known, mixed, found)
        return found

    def _masses(
        self, number: int, contexts: NDArray[np.uint64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each context, its counts' sum and what goes to the level below; 0 if none."""
        level = self.levels[number]
        first = contexts << np.uint64(self.stream.target_bits)
        last = first | np.uint64((1 << self.stream.target_bits) - 1)
        start = np.searchsorted(level.keys, first)
        stop = np.searchsorted(level.keys, last, side="right")
        counts, discounts = self._level_sums(number)
        added = np.where(stop > start, level.concentration, 0.0)
        return (
            counts[stop] - counts[start] + added,
            discounts[stop] - discounts[start] + added,
        )

    def _own_masses(self, number: int, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return each key's count less its discount, 0 where it does not occur."""
        level = self.levels[number]
        if len(level.keys) == 0:
            return np.zeros(len(keys))
        at = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
        counts = np.where(level.keys[at] == keys, level.counts[at], 0).astype(np.uint64)
        return np.asarray(counts - taken(counts, level.discounts))

    def _level_sums(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        level = self.levels[number]
        counts = np.concatenate(([0.0], np.cumsum(level.counts, dtype=np.float64)))
        discounts = np.cumsum(taken(level.counts, level.discounts))
        return counts, np.concatenate(([0.0], discounts))


class Model:
    """A groove model: a description and, once asked, its streams.

    Attributes:
        folder: Where it lies.
        description: What `model.json` says.
        streams: By name, the layout of each stream.
    """

    def __init__(self, folder: Path, description: dict[str, Any]):
        """Take a description that was read; `open_model` reads it."""
        self.folder = folder
        self.description = description
        self.streams = {stream.name: stream for stream in description_streams(description)}
        self._opened: dict[str, StreamModel] = {}

    @property
    def resolution(self) -> int:
        """Grid steps a quarter note."""
        return int(self.description["counting"]["resolution"])

    @property
    def labels(self) -> dict[str, list[str]]:
        """By kind, the labels that the model knows."""
        known: dict[str, list[str]] = self.description["labels"]
        return known

    def stream(self, name: str) -> StreamModel:
        """Return a stream's distributions.

        Raises:
            GrooveError: The model has no such stream.
        """
        if name not in self.streams:
            raise GrooveError(
                f"{self.folder}: has no stream {name!r}; it was trained with "
                f"--part {self.description['counting']['part']} and holds {', '.join(self.streams)}"
            )
        if name not in self._opened:
            levels = self.description["streams"][name]["levels"]
            self._opened[name] = StreamModel(
                self.folder,
                self.streams[name],
                levels,
                is_pruned=self.description["min_count"] > 1,
            )
        return self._opened[name]

    def counts(self, stream: Stream) -> Iterator[Rows]:
        """Return a stream's exact counts in blocks, which is what merges."""
        level = self.stream(stream.name).levels[stream.depth]
        for start in range(0, len(level.keys), _CACHED_BLOCK_ROWS):
            block = slice(start, start + _CACHED_BLOCK_ROWS)
            yield np.asarray(level.keys[block]), level.counts[block].astype(np.uint64)

    def knows_bars(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether the training corpus has each of some bars, note for note on the grid."""
        known = self.stream(BARS.name).levels[0].keys
        at = np.minimum(np.searchsorted(known, digests), max(len(known) - 1, 0))
        return known[at] == digests if len(known) else np.zeros(len(digests), bool)

    def skipped(self) -> Iterator[dict[str, Any]]:
        """Return every file that was not counted, in the order of the list."""
        with (self.folder / SKIPPED).open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def open_model(folder: Path) -> Model:
    """Open a model; nothing in it is run.

    Raises:
        GrooveError: There is no model, or one of another format.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        version = description["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GrooveError(
            f"{folder}: no readable groove model ({error}); give the folder that "
            "`workbench groove train` or `merge` wrote"
        ) from error
    if version != FORMAT:
        raise GrooveError(f"{folder}: a model of format {version}; this program reads {FORMAT}")
    return Model(folder, description)


def description_streams(description: Mapping[str, Any]) -> tuple[Stream, ...]:
    """Return the streams of a description."""
    counting = description["counting"]
    return streams_of(counting["n"], counting["part"], tuple(description["labels"]))


def write_model(
    folder: Path,
    description: Mapping[str, Any],
    counts: Callable[[Stream], Iterator[Rows]],
    skipped: Iterable[Mapping[str, Any]],
    *,
    budget_bytes: int,
) -> Model:
    """Write a model, whole or not at all, in bounded memory.

    Args:
        folder: Where; a model that is there is replaced.
        description: All but the streams' levels.
        counts: Gives a stream's full keys and counts in blocks, rising.
        skipped: Every file that was not counted, in the order of the list.
        budget_bytes: RAM for summing up the lower levels.

    Raises:
        CachingError: It cannot be written; nothing is left behind.
    """
    width = "<u4" if max(description["notes"], description["steps"]) < 1 << 32 else "<u8"
    with replacing_folder(folder) as scratch:
        spill = scratch / "levels.sqlite"
        streams = {}
        for stream in description_streams(description):
            with (
                TallyStore(spill, budget_bytes=budget_bytes, is_durable=False) as store,
                ArrayWriter(scratch / f"{stream.name}.keys.npy", "<u8") as keys,
                ArrayWriter(scratch / f"{stream.name}.counts.npy", width) as numbers,
            ):
                levels = write_levels(
                    stream,
                    counts(stream),
                    (keys, numbers),
                    store,
                    smoothing=description["smoothing"],
                    min_count=description["min_count"],
                )
            spill.unlink()
            streams[stream.name] = {"levels": [_described(level) for level in levels]}
        with (scratch / SKIPPED).open("w", encoding="utf-8") as lines:
            lines.writelines(_line(entry) + "\n" for entry in skipped)
        whole = {"format": FORMAT, **description, "streams": streams}
        text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    return Model(folder, whole)


def _described(level: Any) -> dict[str, Any]:
    return {
        "start": level.start,
        "rows": level.rows,
        "discounts": list(level.discounts),
        "concentration": level.concentration,
    }


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, ensure_ascii=False)
