"""How far ahead to fetch, from how fast shards are used and how long they take to come.

By Little's law a consumer of `rate` shards a second that never waits needs rate x load time shards
under way; half as many again, and one more, is kept for what is irregular. Rates are means that
forget (EWMA). The number of shards ahead grows as soon as more are needed and shrinks only when
fewer were needed for some shards in a row, by one a shard at most. Units: seconds.
"""

import math
from collections import deque

WEIGHT = 0.3  # of the newest value in a mean
RECENT = 32  # load times that the percentile is taken of
PATIENCE = 3  # shards in a row that need fewer, before there are fewer
_RESERVE = 1.5
_PERCENTILE = 0.95


class Pace:
    """Measures a consumer and what feeds it.

    Attributes:
        window: How many shards to have ahead now.
        limit: The most.
    """

    def __init__(self, limit: int, *, adapts: bool = True) -> None:
        """Begin with the most.

        Args:
            limit: The most shards ahead, at least 1.
            adapts: Whether the window changes at all.
        """
        self.limit = limit
        self.window = limit
        self._adapts = adapts
        self._loads: deque[float] = deque(maxlen=RECENT)
        self._load: float | None = None
        self._use: float | None = None
        self._fewer = 0

    @property
    def consume_rate(self) -> float:
        """Shards that the consumer uses a second when it does not wait; 0 when not known yet."""
        return _rate(self._use)

    @property
    def fetch_rate(self) -> float:
        """Shards that one connection brings a second; 0 when not known yet."""
        return _rate(self._load)

    @property
    def load_seconds(self) -> float:
        """How long the slowest shards take to come: the 95th percentile of recent ones."""
        if not self._loads:
            return 0.0
        return sorted(self._loads)[math.ceil(_PERCENTILE * len(self._loads)) - 1]

    @property
    def needed(self) -> int:
        """Shards ahead that the rates ask for, within the limit; the limit when not known yet."""
        if self._use is None or not self._loads:
            return self.limit
        in_flight = self.load_seconds * _RESERVE / max(self._use, 1e-9)
        return max(1, min(math.ceil(min(in_flight, self.limit)) + 1, self.limit))

    def loaded(self, seconds: float) -> None:
        """Take in how long a shard took to come."""
        self._loads.append(seconds)
        self._load = _mean(self._load, seconds)

    def used(self, seconds: float) -> None:
        """Take in how long the consumer was at a shard; the window follows, by one at most."""
        self._use = _mean(self._use, seconds)
        if not self._adapts:
            return
        self._fewer = self._fewer + 1 if self.needed < self.window else 0
        if self.needed > self.window:
            self.window += 1
        elif self._fewer >= PATIENCE:
            self.window -= 1


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + WEIGHT * (value - mean)


def _rate(seconds: float | None) -> float:
    return 0.0 if seconds is None else 1 / max(seconds, 1e-9)
