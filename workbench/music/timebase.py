"""Ticks, bars and seconds of a MIDI file with changes of tempo and metre.

Units: `tick` counts from the start of the file; `ppq` is ticks a quarter note; `tempo` is
microseconds a quarter note (MIDI's own unit); a metre is `numerator`/`denominator`, as written.
Source: Standard MIDI Files 1.0, RP-001: before the first tempo event 500,000 µs (120 bpm) hold,
before the first time signature 4/4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import MusicError

DEFAULT_TEMPO = 500_000
DEFAULT_METRE = (4, 4)

Ints = NDArray[np.int64]
Events = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TempoMap:
    """Which tempo holds where.

    Attributes:
        ppq: Ticks a quarter note, at least 1.
        tick: Where each tempo begins, int64 (m,), rising, the first is 0.
        tempo: Microseconds a quarter note from there on, int64 (m,), at least 1.
    """

    ppq: int
    tick: Ints
    tempo: Ints

    def __post_init__(self) -> None:
        _check_starts(self.ppq, self.tick, self.tempo)

    @staticmethod
    def from_events(ppq: int, tick: Events, tempo: Events) -> "TempoMap":
        """Return the map of some tempo events.

        Args:
            ppq: Ticks a quarter note.
            tick: (m,), not negative, in any order; of two events at one tick the later given
                holds.
            tempo: (m,), microseconds a quarter note.

        Raises:
            MusicError: The ppq or a tempo is less than 1, or a tick is negative.
        """
        if len(tick) == 0:
            return _steady_tempo(ppq, DEFAULT_TEMPO)
        if len(tick) == 1 and tick[0] == 0:
            return _steady_tempo(ppq, int(tempo[0]))
        at, values = _starts(tick, [tempo], (DEFAULT_TEMPO,))
        return TempoMap(ppq=ppq, tick=at, tempo=values[:, 0])

    def tempo_at(self, ticks: ArrayLike) -> Ints:
        """Return the tempo that holds at each tick.

        Args:
            ticks: Any shape, not negative.

        Returns:
            The same shape, int64, in microseconds a quarter note.
        """
        return self.tempo[_segment(self.tick, np.asarray(ticks))]

    def seconds_at(self, ticks: ArrayLike) -> NDArray[np.float64]:
        """Return when each tick sounds.

        Args:
            ticks: Any shape, not negative; whole ticks are counted without rounding.

        Returns:
            The same shape, float64, in seconds from the start of the file.
        """
        at = np.asarray(ticks)
        if len(self.tick) == 1:
            return np.asarray(at * self.tempo[0] / (1e6 * self.ppq))
        segment = _segment(self.tick, at)
        scaled = self._scaled_starts()[segment] + (at - self.tick[segment]) * self.tempo[segment]
        return np.asarray(scaled / (1e6 * self.ppq))

    def ticks_at(self, seconds: ArrayLike) -> Ints:
        """Return the tick nearest to each moment, a moment half-way going to the even tick.

        Args:
            seconds: Any shape, not negative, from the start of the file.

        Returns:
            The same shape, int64.
        """
        scaled = np.asarray(seconds, np.float64) * (1e6 * self.ppq)
        starts = self._scaled_starts()
        segment = _segment(starts, scaled)
        since = np.rint((scaled - starts[segment]) / self.tempo[segment])
        return np.asarray(self.tick[segment] + since.astype(np.int64))

    def _scaled_starts(self) -> Ints:
        """Return when each tempo begins, in microseconds times ppq: whole numbers, exact."""
        spans = np.diff(self.tick) * self.tempo[:-1]
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(spans)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetreMap:
    """Which metre holds where; a segment is a stretch of one metre.

    Attributes:
        ppq: Ticks a quarter note, at least 1.
        tick: Where each segment begins, int64 (m,), rising, the first is 0.
        numerator: Beats a bar, int64 (m,), at least 1.
        denominator: Which part of a whole note a beat is, int64 (m,), at least 1.
    """

    ppq: int
    tick: Ints
    numerator: Ints
    denominator: Ints

    def __post_init__(self) -> None:
        _check_starts(self.ppq, self.tick, self.numerator, self.denominator)

    @staticmethod
    def from_events(ppq: int, tick: Events, numerator: Events, denominator: Events) -> "MetreMap":
        """Return the map of some time signatures.

        A time signature that repeats the metre in force changes nothing and begins no segment.

        Args:
            ppq: Ticks a quarter note.
            tick: (m,), not negative, in any order; of two at one tick the later given holds.
            numerator: (m,), beats a bar.
            denominator: (m,), the beat as a part of a whole note.

        Raises:
            MusicError: The ppq or a number of a metre is less than 1, or a tick is negative.
        """
        if len(tick) == 0:
            return _steady_metre(ppq, *DEFAULT_METRE)
        if len(tick) == 1 and tick[0] == 0:
            return _steady_metre(ppq, int(numerator[0]), int(denominator[0]))
        at, metres = _starts(tick, [numerator, denominator], DEFAULT_METRE)
        return MetreMap(ppq=ppq, tick=at, numerator=metres[:, 0], denominator=metres[:, 1])

    @property
    def bar_ticks(self) -> Ints:
        """Ticks of a bar in each segment, int64 (m,).

        A bar whose length is no whole number of ticks begins at the first tick not before its
        exact place, so that bars do not drift; this is then the length of the longest bar, and
        `tick_in_bar` is always less.
        """
        return -(-self._whole() // self.denominator)

    def bars_at(self, ticks: ArrayLike) -> tuple[Ints, Ints, Ints]:
        """Return bar, tick in the bar and segment of each tick.

        A change of metre begins a new bar where it stands; a bar that it cuts short counts as
        one bar.

        Args:
            ticks: Any shape, whole numbers, not negative.

        Returns:
            Three arrays of the same shape, int64: the bar, counted from 0 at the start of the
            file; ticks since that bar began; index into this map's arrays.
        """
        at = np.asarray(ticks, np.int64)
        whole = self._whole()
        if len(self.tick) == 1 and whole[0] % self.denominator[0] == 0:
            length = whole[0] // self.denominator[0]
            bar = at // length
            return np.asarray(bar), np.asarray(at - bar * length), np.zeros(at.shape, np.int64)
        bars = -(-np.diff(self.tick) * self.denominator[:-1] // whole[:-1])
        first_bar = np.concatenate((np.zeros(1, np.int64), np.cumsum(bars)))
        segment = np.asarray(_segment(self.tick, at))
        whole, beat = whole[segment], self.denominator[segment]
        since = at - self.tick[segment]
        bar = since * beat // whole
        start = -(-bar * whole // beat)
        return np.asarray(first_bar[segment] + bar), np.asarray(since - start), segment

    def _whole(self) -> Ints:
        """Return the ticks of one bar in each segment, times the denominator."""
        return np.asarray(self.ppq * 4 * self.numerator)


def _segment(starts: Ints, values: NDArray[np.generic]) -> Ints:
    """Return the last of some rising starts that is not after each value; the first before it."""
    return np.asarray(np.maximum(np.searchsorted(starts, values, side="right") - 1, 0))


def _starts(
    events: Events, columns: Sequence[Events], default: tuple[int, ...]
) -> tuple[Ints, Ints]:
    """Return where values (m, k) change: the last one a tick, a default first, no repeats."""
    order = np.argsort(events, kind="stable")
    tick = np.asarray(events, np.int64)[order]
    values = np.stack([np.asarray(column, np.int64)[order] for column in columns], axis=1)
    is_last = np.append(np.diff(tick) > 0, True)
    tick, values = tick[is_last], values[is_last]
    if tick[0] > 0:
        tick = np.concatenate((np.zeros(1, np.int64), tick))
        values = np.concatenate((np.array([default], np.int64), values))
    is_change = np.append(True, np.any(np.diff(values, axis=0) != 0, axis=1))
    return tick[is_change], values[is_change]


def _check_starts(ppq: int, tick: Ints, *columns: Ints) -> None:
    """Refuse a map that has no start at 0, does not rise, or holds a number less than 1."""
    if ppq < 1:
        raise MusicError(f"{ppq} ticks a quarter note; at least 1 is needed")
    if any(len(column) != len(tick) for column in columns):
        raise MusicError(f"{len(tick)} ticks, but not as many values; give each tick its value")
    if len(tick) == 0 or tick[0] != 0 or (np.diff(tick) <= 0).any():
        raise MusicError(f"the ticks {tick} do not rise from 0; make the map by from_events")
    for column in columns:
        if (column < 1).any():
            raise MusicError(f"tempo or metre {int(column.min())}; at least 1 is needed")


def _fixed(value: int) -> Ints:
    """Return an array of one number that cannot be changed, since maps share it."""
    array = np.array([value], np.int64)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=1024)
def _steady_tempo(ppq: int, tempo: int) -> TempoMap:
    """Return the map of one tempo; most files have one, and many share it."""
    return TempoMap(ppq=ppq, tick=_fixed(0), tempo=_fixed(tempo))


@lru_cache(maxsize=1024)
def _steady_metre(ppq: int, numerator: int, denominator: int) -> MetreMap:
    """Return the map of one metre; most files have one, and many share it."""
    return MetreMap(
        ppq=ppq, tick=_fixed(0), numerator=_fixed(numerator), denominator=_fixed(denominator)
    )
