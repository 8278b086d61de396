"""From counts to probabilities: back-off levels, discounts and concentrations.

A stream's full keys are its highest level. The level below drops the most specific context
field, and its count of (context, target) is the number of distinct fields that were dropped:
the continuation counts of Kneser and Ney (1995). Discounts for counts of 1, 2 and 3 or more come
from the counts of counts (Chen and Goodman, 1999); a concentration on top of them gives the
two-parameter form of Teh (2006):

    p_j(x | c) = (count - D(count) + (a + sum of D) p_{j-1}(x | c')) / (n + a)

where n is the sum of the context's counts, a the concentration, and c' the context without its
last field. Streams with `backoff` counts keep plain counts at every level, take no discount, and
back off by concentration alone, as their targets are quantities rather than symbols. The
probabilities of a level sum to 1 because those of the level below do; below level 0 all targets
are equally likely. Everything is sums, differences, products and quotients of IEEE doubles in a
fixed order, so models are equal on every platform.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.caching.arrays import ArrayWriter
from workbench.groove.streams import Stream
from workbench.streaming.tally import Rows, TallyStore, counted

_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)  # where there are too few rows to estimate any
_LEAST, _MOST = 0.1, 0.95  # of a count, that a discount may take

# Tuned on the validation split of the Groove MIDI Dataset. Events gain 0.04 bits each over
# Kneser-Ney, steps 0.15 bits a bar; between 0.5 and 1 nothing changes by more than 0.01. Labels
# know little that the bars before do not tell, so they weigh little.
_CONCENTRATIONS = {
    "events": (1.0, 0.5, 4.0, 4.5),
    "steps.style": (500.0,),
    "steps.drummer": (500.0,),
    "steps.section": (1500.0,),
}
_USUAL_CONCENTRATION = {"continuation": 0.75, "counts": 20.0}


@dataclass(slots=True)
class Level:
    """One back-off level of a stream, as it stands in the model's description.

    Attributes:
        start: Its first row in the stream's arrays.
        rows: Its rows.
        discounts: What is taken from counts of 1, 2, 3 and more.
        concentration: Of the level's back-off.
        counts_of_counts: Rows with count 1, 2, 3, 4.
    """

    start: int
    rows: int = 0
    discounts: tuple[float, float, float] = (0.0, 0.0, 0.0)
    concentration: float = 0.0
    counts_of_counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def add(self, counts: NDArray[np.uint64]) -> None:
        """Take notice of some rows by their counts, shape (n,)."""
        self.rows += len(counts)
        for count in range(1, 5):
            self.counts_of_counts[count - 1] += int(np.count_nonzero(counts == count))


def write_levels(
    stream: Stream,
    rows: Iterator[Rows],
    arrays: tuple[ArrayWriter, ArrayWriter],
    scratch: TallyStore,
    *,
    smoothing: str,
    min_count: int,
) -> list[Level]:
    """Write all levels of a stream, the highest first, in bounded memory.

    Args:
        stream: The stream.
        rows: Its full keys and counts, in blocks, rising.
        arrays: Where keys and counts are appended.
        scratch: Holds the lower levels while they are summed up.
        smoothing: `concentration` or `modified_kneser_ney`.
        min_count: Rows with a context and a lesser count are left out of the model; discounts
            and lower levels are still made from all.

    Returns:
        The levels, the lowest first.
    """
    levels: list[Level] = []
    for number in range(stream.depth, stream.lowest - 1, -1):
        level = Level(start=arrays[0].length)
        seen = Level(start=0)
        name = f"{stream.name}.{number}"
        for keys, counts in rows:
            seen.add(counts)
            if number > stream.lowest:
                weights = None if stream.backoff == "continuation" else counts
                shorter = counted(_shortened(stream, number, keys), weights)
                scratch.add(f"{stream.name}.{number - 1}", shorter)
                if scratch.is_full:
                    scratch.commit({"at": name})
            kept = (counts >= min_count) if number else slice(None)
            arrays[0].append(keys[kept])
            arrays[1].append(counts[kept])
            level.add(counts[kept])
        if stream.backoff == "continuation":
            level.discounts = discounts_of(seen.counts_of_counts)
        if stream.backoff == "counts" or smoothing == "concentration":
            level.concentration = _concentration(stream, number)
        levels.append(level)
        if number > stream.lowest:
            scratch.commit({"at": name})
            rows = scratch.rows(f"{stream.name}.{number - 1}")
    return levels[::-1]


def discounts_of(counts_of_counts: list[int]) -> tuple[float, float, float]:
    """Return what modified Kneser-Ney takes from counts of 1, 2, and 3 or more.

    Args:
        counts_of_counts: Rows with count 1, 2, 3, 4.
    """
    n1, n2, n3, n4 = counts_of_counts
    if min(counts_of_counts) == 0:
        return _USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    raw = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    first, second, third = (
        min(max(value, _LEAST * count), _MOST * count) for count, value in enumerate(raw, 1)
    )
    return first, second, third


def taken(counts: NDArray[np.uint64], discounts: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the discount of each count, shape (n,)."""
    table = np.array((0.0, *discounts))
    return table[np.minimum(counts, 3).astype(np.int64)]


def _concentration(stream: Stream, level: int) -> float:
    of_stream = _CONCENTRATIONS.get(stream.name, ())
    if level - stream.lowest < len(of_stream):
        return of_stream[level - stream.lowest]
    return _USUAL_CONCENTRATION[stream.backoff]


def _shortened(stream: Stream, level: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the keys of a level without that level's own context field."""
    dropped = stream.fields[level - 1][1]
    target = keys & np.uint64((1 << stream.target_bits) - 1)
    context = keys >> np.uint64(stream.target_bits + dropped)
    return (context << np.uint64(stream.target_bits)) | target
