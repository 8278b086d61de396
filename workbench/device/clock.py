"""The board's clock seen from the host, and the time that a link runs on.

Each answer of the board tells its ticks; sent and received on the host's clock they bound when
those ticks were read. Of the last 16 exchanges the one with the least round trip is kept as a
point: its middle is wrong by half that round trip at most. A straight line through the points of
the last minutes gives the drift. Units: seconds; drift is seconds a second.
Source: Cristian, Probabilistic clock synchronization, 1989.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

GROUP = 16  # exchanges that one point is the best of
MOST_DRIFT = 500e-6  # a crystal is within 50 ppm, a resonator within 500
_POINTS = 64  # that the line goes through
_LEAST_SPAN = 20.0  # seconds between first and last point, before the drift can be told


class Time(Protocol):
    """What a link and its waits run on: the machine's time, or one that only passes in waits."""

    def now(self) -> float:
        """Return seconds, never falling."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class RealTime:
    """The time of this machine."""

    def now(self) -> float:
        """Return seconds, never falling."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0:
            time.sleep(seconds)


class VirtualTime:
    """A time that passes at once, and only when somebody waits; for one thread."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return seconds, never falling."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += max(0.0, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    round_trip: float
    host: float
    board: float


class BoardClock:
    """Tells the board's time of any time of the host.

    Attributes:
        exchanges: How many were taken in since the board's last boot.
    """

    def __init__(self) -> None:
        self.exchanges = 0
        self._group: deque[_Point] = deque(maxlen=GROUP)
        self._points: deque[_Point] = deque(maxlen=_POINTS)
        self._line: tuple[float, float, float] | None = None  # host, board, drift
        self._slope = 0.0

    @property
    def is_known(self) -> bool:
        """Whether there was an exchange since the board's last boot."""
        return self._line is not None

    @property
    def drift(self) -> float:
        """How much faster the board's clock runs, seconds a second; 0 while not known."""
        return self._line[2] if self._line else 0.0

    @property
    def round_trip(self) -> float:
        """The least round trip of the last exchanges; infinite before the first."""
        return min((point.round_trip for point in self._group), default=float("inf"))

    def forget(self) -> None:
        """Begin again: the board has booted, and so has its clock."""
        self.__init__()  # type: ignore[misc]

    def exchanged(self, sent: float, received: float, came: float, left: float) -> None:
        """Take in one exchange.

        Args:
            sent: When the request left, on the host's clock.
            received: When its answer had come, likewise.
            came: When the request had come, on the board's clock.
            left: When its answer left, likewise.
        """
        on_the_way = (received - sent) - (left - came)
        point = _Point(round_trip=on_the_way, host=(sent + received) / 2, board=(came + left) / 2)
        self._group.append(point)
        self.exchanges += 1
        best = min(self._group, key=lambda each: each.round_trip)
        if self.exchanges % GROUP == 0:
            self._points.append(best)
            self._slope = self._fitted(best)
        self._line = best.host, best.board, self._slope

    def board_at(self, host: float) -> float:
        """Return the board's time at a time of the host.

        Raises:
            ValueError: There was no exchange yet.
        """
        at, board, drift = self._known()
        return board + (host - at) * (1 + drift)

    def host_at(self, board: float) -> float:
        """Return the host's time at a time of the board.

        Raises:
            ValueError: There was no exchange yet.
        """
        at, known, drift = self._known()
        return at + (board - known) / (1 + drift)

    def _known(self) -> tuple[float, float, float]:
        if self._line is None:
            raise ValueError("no exchange with the board yet; its clock is not known")
        return self._line

    def _fitted(self, best: _Point) -> float:
        """Return the slope of the line through all good points; 0 while they are too close."""
        good = self._points
        if len(good) < 3 or good[-1].host - good[0].host < _LEAST_SPAN:
            return 0.0
        weights = 1 / np.maximum([point.round_trip for point in good], 1e-6)
        host = np.array([point.host - best.host for point in good])
        ahead = np.array([point.board - best.board for point in good]) - host
        host -= np.average(host, weights=weights)
        ahead -= np.average(ahead, weights=weights)
        slope = float((weights * host * ahead).sum() / (weights * host**2).sum())
        return min(max(slope, -MOST_DRIFT), MOST_DRIFT)
