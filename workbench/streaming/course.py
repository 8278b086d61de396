"""The sequence of shards that a consumer goes through, and where it stands in it."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count, islice

from workbench.errors import StreamingError
from workbench.streaming.order import Order


def shard_sequence(
    shards: int,
    *,
    seed: int = 0,
    shuffled: bool = True,
    epoch: int = 0,
    start: int = 0,
    epochs: int | None = None,
) -> Iterator[int]:
    """Return the indices of shards through epochs, a pure function of seed and epoch.

    Args:
        shards: How many there are.
        seed: Chooses among the orders.
        shuffled: Whether the order differs from that of the source at all.
        epoch: The first epoch, as after an interruption.
        start: How many shards of that epoch are left out, as they were used before.
        epochs: How many epochs, the first one counted in; None is without end.
    """
    rounds = count(epoch) if epochs is None else range(epoch, epoch + epochs)
    for each in rounds if shards else ():
        order = Order(seed=seed, epoch=each, shuffled=shuffled).files(shards)
        yield from map(int, order[start if each == epoch else 0 :])


class Course:
    """Where a consumer stands in its sequence.

    Attributes:
        position: How many entries of the sequence lie before the next one.
        current: Index of the shard that was taken last, or None.
        passed: Indices that were taken and are too far behind to be kept.
    """

    def __init__(self, sequence: Iterable[int], shards: int, *, horizon: int, behind: int) -> None:
        """Stand at the beginning of a sequence, which may be without end.

        Args:
            sequence: Indices of shards.
            shards: How many there are.
            horizon: How many entries to look ahead.
            behind: How many shards to keep behind the current one.
        """
        self.position = 0
        self.current: int | None = None
        self.passed: set[int] = set()
        self._shards = shards
        self._entries = iter(sequence)
        self._horizon = horizon
        self._next: deque[int] = deque()
        self._recent: deque[int] = deque()
        self._behind = behind

    def ahead(self) -> list[int]:
        """Return the shards within the horizon, the soonest first, each once.

        Raises:
            StreamingError: The sequence names a shard that is none.
        """
        for index in islice(self._entries, self._horizon - len(self._next)):
            if not 0 <= index < self._shards:
                raise StreamingError(f"shard {index}: there are {self._shards}, counted from 0")
            self._next.append(index)
        return list(dict.fromkeys(self._next))

    def behind(self) -> list[int]:
        """Return the current shard and those kept behind it, the newest first."""
        return list(reversed(self._recent))

    def take(self, index: int) -> bool:
        """Go to a shard; what lies before it in the sequence is passed by.

        Returns:
            Whether it is within the horizon; else the place in the sequence stays.
        """
        is_near = index in self.ahead()
        while is_near and self.coming() != index:
            self._pop()
        if is_near:
            self._pop()
        if index in self._recent:
            self._recent.remove(index)
        self._recent.append(index)
        self.current = index
        while len(self._recent) > self._behind + 1:
            self.passed.add(self._recent.popleft())
        self.passed.discard(index)
        return is_near

    def coming(self) -> int | None:
        """Return the next entry of the sequence, or None at its end."""
        return next(iter(self.ahead()), None)

    def _pop(self) -> None:
        self._next.popleft()
        self.position += 1
