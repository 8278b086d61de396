"""The groove model on disk: a folder of arrays and one description, read as it is used.

    model.json          what it was made of, by which options; every stream's levels
    STREAM.keys.npy     uint64: keys of all levels of a stream, each level rising
    STREAM.counts.npy   uint32 (uint64 beyond 2^32 notes): their counts
    mixture.*.npy       of a mixture: see `mixed`
    skipped.jsonl       every file that was not counted: index, file, reason, detail

The highest level of a stream holds its exact counts, which is what merges. Nothing in the folder
tells when, where or in how many pieces it was made; equal corpora give equal bytes. Opening
reads the description only; arrays are mapped when a stream is first asked, and a small cache
keeps the distributions used last.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.caching.files import replacing_folder
from workbench.errors import GrooveError, OptionsError
from workbench.groove.options import TrainOptions
from workbench.groove.predictor import StepPredictor, predictor_in
from workbench.groove.smoothing import Level, taken, write_levels
from workbench.groove.streams import BARS, PIECES, Ints, Stream, streams_of
from workbench.progress import Show, silent
from workbench.streaming.tally import Rows, TallyStore

if TYPE_CHECKING:
    from workbench.groove.mixture import Mixture

FORMAT = 1
DESCRIPTION = "model.json"
SKIPPED = "skipped.jsonl"
_CACHED_DISTRIBUTIONS = 8192  # at most, of a stream; fewer where there are many targets
_CACHED_BYTES = 32 << 20
_FEW_ROWS = 32  # most contexts have fewer; looking at so many spares a second search
_BLOCK_ROWS = 1 << 16


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
            CachingError: An array is missing or no array.
            GrooveError: The arrays are not as long as the description says.
        """
        self.stream = stream
        self._bits = [bits for _, bits in stream.fields]
        self._is_nested = not is_pruned
        keys = opened_array(folder / f"{stream.name}.keys.npy")
        counts = opened_array(folder / f"{stream.name}.counts.npy")
        rows = levels[0]["start"] + levels[0]["rows"]  # the lowest level is written last
        if not len(keys) == len(counts) == rows or keys.dtype != np.uint64:
            raise GrooveError(
                f"{folder}: damaged: {stream.name} has {len(keys)} keys and {len(counts)} counts, "
                f"the description says {rows}; train or merge the model again"
            )
        self.levels = {
            number: _level_rows(level, keys, counts)
            for number, level in enumerate(levels, stream.lowest)
        }
        kept = _CACHED_BYTES // (8 * max(levels[0]["rows"], 1))
        size = min(max(kept, 64), _CACHED_DISTRIBUTIONS)
        self._cached: Callable[[int, int], Distribution] = lru_cache(size)(self._distribution)
        self.running_sums: Callable[[tuple[int, ...]], list[float]] = lru_cache(size)(
            self._running_sums_of
        )

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

        Raises:
            GrooveError: The arrays are damaged.
        """
        found = self._cached(0, 0)
        packed = 0
        for depth, value in enumerate(context, 1):
            packed = packed << self._bits[depth - 1] | value
            longer = self._cached(depth, packed)
            if longer is found and self._is_nested:
                break  # a context that never was has no longer ones
            found = longer
        return found

    def _running_sums_of(self, context: tuple[int, ...]) -> list[float]:
        """Return the running sums of the targets' probabilities, to draw from, v of them."""
        return list(np.cumsum(self.distribution(context).seen).tolist())

    def _distribution(self, depth: int, context: int) -> Distribution:
        """Return the distribution in a packed context of some fields."""
        if depth:
            below = self._cached(depth - 1, context >> self._bits[depth - 1])
        else:
            base = 1.0 / self.stream.targets
            below = Distribution(np.full(len(self.targets), base), base, 0)
        keys, numbers = self._rows(depth, context)
        if not keys:
            return below
        level = self.levels[depth]
        one, two, more = level.discounts
        ones, twos = numbers.count(1), numbers.count(2)
        given = ones * one + twos * two + (len(numbers) - ones - twos) * more
        total = sum(numbers) + level.concentration
        share = (level.concentration + given) / total
        seen = below.seen * share
        cells: Any = seen.data  # single numbers are several times faster to change so
        first = context << self.stream.target_bits
        place = self.index_of_target
        try:
            for key, count in zip(keys, numbers, strict=True):
                discount = more if count > 2 else two if count > 1 else one
                cells[place[key - first]] += (count - discount) / total
        except KeyError as error:
            raise GrooveError(
                f"damaged model: the stream {self.stream.name} has no target {error} at its lowest "
                "level; train or merge the model again"
            ) from error
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
        packed = self._packed(context)
        keys, numbers = self._rows(self.stream.depth, packed)
        total = sum(numbers) + level.concentration / weight
        mixed: NDArray[np.float64] = seen * (level.concentration / weight / total)
        first = packed << self.stream.target_bits
        places = np.searchsorted(targets, np.array([key - first for key in keys], np.int64))
        mixed[places] += np.array(numbers, np.float64) / total
        return mixed

    def _packed(self, context: Sequence[int]) -> int:
        """Return the values of the first fields as one number."""
        packed = 0
        for value, bits in zip(context, self._bits, strict=False):
            packed = packed << bits | value
        return packed

    def _rows(self, depth: int, context: int) -> tuple[list[int], list[int]]:
        """Return keys and counts of a packed context in its level."""
        level = self.levels[depth]
        first = context << self.stream.target_bits
        last = first | (1 << self.stream.target_bits) - 1
        start = int(level.keys.searchsorted(np.uint64(first)))
        keys: list[int] = level.keys[start : start + _FEW_ROWS].tolist()
        if len(keys) == _FEW_ROWS and keys[-1] <= last:
            stop = int(level.keys.searchsorted(np.uint64(last), side="right"))
            keys = level.keys[start:stop].tolist()
        else:
            del keys[bisect_right(keys, last) :]
        return keys, level.counts[start : start + len(keys)].tolist()

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

    @cached_property
    def mixture(self) -> "Mixture | None":
        """The mixture that predicts steps, or None where n-grams do."""
        told = self.description.get("mixture")
        if told is None:
            return None
        from workbench.groove.mixed import open_mixture  # noqa: PLC0415  numba is slow to import

        return open_mixture(self.folder, told)

    @cached_property
    def predictor(self) -> StepPredictor | None:
        """What predicts steps from all of the piece so far, or None where n-grams do."""
        return predictor_in(self.folder, self.mixture)

    def counts(self, stream: Stream) -> Iterator[Rows]:
        """Return a stream's exact counts in blocks, which is what merges."""
        level = self.stream(stream.name).levels[stream.depth]
        for start in range(0, len(level.keys), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            yield np.asarray(level.keys[block]), level.counts[block].astype(np.uint64)

    def knows_bars(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return whether the training corpus has each of some bars, note for note on the grid.

        Args:
            digests: Of the bars, as `bar_digests` gives them, shape (n,).

        Returns:
            Shape (n,).
        """
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
        if description["format"] != FORMAT:
            raise GrooveError(
                f"{folder}: a model of format {description['format']}; this program reads {FORMAT}"
            )
        _check_description(description)
        return Model(folder, description)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OptionsError) as error:
        raise GrooveError(
            f"{folder}: no readable groove model ({type(error).__name__}: {error}); give the "
            "folder that `workbench groove train` or `merge` wrote"
        ) from error


def _check_description(description: Mapping[str, Any]) -> None:
    """Raise what a look-up would raise later where a description is incomplete or untrue."""
    TrainOptions(**description["counting"])
    int(description["min_count"])
    for kind, values in description["labels"].items():
        if not isinstance(values, list):
            raise TypeError(f"labels of {kind} are no list")
    for stream in description_streams(description):
        levels = description["streams"][stream.name]["levels"]
        if len(levels) != stream.depth - stream.lowest + 1:
            raise ValueError(f"{stream.name} has {len(levels)} levels")
        for level in levels:
            numbers = (level["start"], level["rows"], level["concentration"], *level["discounts"])
            if len(numbers) != 6 or not all(number >= 0 for number in numbers):
                raise ValueError(f"{stream.name} has a level of {numbers}")


def description_streams(description: Mapping[str, Any]) -> tuple[Stream, ...]:
    """Return the streams of a description."""
    counting = description["counting"]
    kinds, model = tuple(description["labels"]), counting.get("model", "ngrams")
    return streams_of(counting["n"], counting["part"], kinds, model=model)


def write_model(
    folder: Path,
    description: Mapping[str, Any],
    counts: Callable[[Stream], Iterator[Rows]],
    skipped: Iterable[Mapping[str, Any]],
    *,
    budget_bytes: int,
    show: Show = silent,
) -> Model:
    """Write a model, whole or not at all, in bounded memory.

    Args:
        folder: Where; a model that is there is replaced.
        description: All but the streams' levels.
        counts: Gives a stream's full keys and counts in blocks, rising.
        skipped: Every file that was not counted, in the order of the list.
        budget_bytes: RAM for summing up the lower levels.
        show: Told about the progress of fitting a mixture.

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
                    min_count=1 if stream is PIECES else description["min_count"],
                )
            spill.unlink()
            streams[stream.name] = {"levels": [_described(level) for level in levels]}
        _write_skipped(scratch / SKIPPED, skipped)
        whole = {"format": FORMAT, **description, "streams": streams}
        if PIECES.name in streams:
            from workbench.groove.mixed import write_mixture  # noqa: PLC0415  as above

            resolution = description["counting"]["resolution"]
            whole["mixture"] = write_mixture(
                scratch, resolution, budget_bytes=budget_bytes, show=show
            )
        text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    return Model(folder, whole)


def _level_rows(level: Mapping[str, Any], keys: NDArray[Any], counts: NDArray[Any]) -> LevelRows:
    rows = slice(level["start"], level["start"] + level["rows"])
    return LevelRows(
        keys=keys[rows],
        counts=counts[rows],
        discounts=tuple(level["discounts"]),
        concentration=level["concentration"],
    )


def _described(level: Level) -> dict[str, Any]:
    return {
        "start": level.start,
        "rows": level.rows,
        "discounts": list(level.discounts),
        "concentration": level.concentration,
    }


def _write_skipped(path: Path, skipped: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for entry in skipped:  # ASCII, as a file's name need not be text
            lines.write(json.dumps(entry, sort_keys=True) + "\n")
