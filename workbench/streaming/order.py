"""The order in which files, row groups and rows are read: a pure function of seed and epoch.

There is no shuffle buffer, whose content no checkpoint keeps: any part of the order is made when
it is needed, and again after an interruption. Only 64-bit integer arithmetic is used, so an order
is the same with every version of NumPy. Source of the mixing: SplitMix64 (Steele, Lea and Flood,
OOPSLA 2014).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_FILES, _GROUPS, _ROWS = 1, 2, 3  # which permutation a key is for

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of everything in a source.

    Attributes:
        seed: Chooses among the orders; its lower 64 bits count.
        epoch: How many times the source was read before; each time has another order.
        shuffled: Whether the order differs from that of the source at all.
    """

    seed: int = 0
    epoch: int = 0
    shuffled: bool = True

    def files(self, count: int) -> Indices:
        """Return the index of each file, in the order of reading; shape (count,)."""
        return self._permutation(count, _FILES)

    def groups(self, file: int, count: int) -> Indices:
        """Return the index of each row group of a file, in the order of reading; (count,)."""
        return self._permutation(count, _GROUPS, file)

    def rows(self, file: int, group: int, count: int) -> Indices:
        """Return the index of each row of a row group, in the order of reading; (count,)."""
        return self._permutation(count, _ROWS, file, group)

    def _permutation(self, count: int, *key: int) -> Indices:
        if not self.shuffled:
            return np.arange(count)
        state = np.zeros(1, np.uint64)
        for word in (self.seed, self.epoch, *key):
            state = _mixed(state ^ np.uint64(int(word) % 2**64))
        weights = _mixed(state + np.arange(count, dtype=np.uint64) * _GOLDEN)
        return np.argsort(weights, kind="stable")


IN_ORDER = Order(shuffled=False)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
