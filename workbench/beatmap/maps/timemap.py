"""Beats of a map as seconds of its audio, whatever the format says its tempo by.

Units: a `beat` is 0 at the start of the audio and may be below; `bpm` is beats a minute. A map of
times is a chain of straight pieces; the first goes on below, the last beyond its end. Tempo
changes follow the game: from each change on its tempo holds, and where the first stands follows
from the tempo of the Info. Sources: bsmap 2.2.9, `TimeProcessor`; the official editor's regions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError

Floats = NDArray[np.float64]

_SAME_BEAT = 1e-9  # beats: changes nearer than this are one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeMap:
    """Which beat sounds when; equal when all numbers are.

    Attributes:
        beat: Where each piece begins, float64 (k,), k at least 1, rising.
        seconds: When it begins, float64 (k,), rising.
        bpm: Its tempo, float64 (k,), above 0.
    """

    beat: Floats
    seconds: Floats
    bpm: Floats

    def __post_init__(self) -> None:
        for column in (self.beat, self.seconds, self.bpm):
            if column.dtype != np.float64 or column.shape != (len(self.beat),):
                raise BeatmapError("a time map has columns of unlike lengths or kinds", "bad_tempo")
            if not np.isfinite(column).all():
                raise BeatmapError(f"a time map holds {column}; give it numbers", "bad_tempo")
        if not len(self.beat):
            raise BeatmapError("a time map without a tempo; give it one", "bad_tempo")
        if not (self.bpm > 0).all():
            raise BeatmapError(f"a tempo of {self.bpm.min()} bpm; it is above 0", "bad_tempo")
        if (np.diff(self.beat) <= 0).any() or (np.diff(self.seconds) <= 0).any():
            raise BeatmapError("a time map's beats or seconds do not rise", "bad_tempo")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeMap):
            return NotImplemented
        pairs = zip(self._columns(), other._columns(), strict=True)
        return all(np.array_equal(ours, theirs) for ours, theirs in pairs)

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    @staticmethod
    def steady(bpm: float) -> "TimeMap":
        """Return the map of one tempo.

        Raises:
            BeatmapError: The tempo is not a number above 0.
        """
        return TimeMap(beat=np.zeros(1), seconds=np.zeros(1), bpm=np.array([bpm], np.float64))

    @staticmethod
    def of_changes(bpm: float, beats: ArrayLike, bpms: ArrayLike) -> "TimeMap":
        """Return the map of tempo changes, as v2 and v3 hold them.

        Args:
            bpm: What holds until the first change.
            beats: (m,), where changes stand, in any order, also below 0; of two at one beat, or
                too near to sound apart, the later holds.
            bpms: (m,), beats a minute from there on.

        Raises:
            BeatmapError: A tempo is not a number above 0, or a beat is no number.
        """
        at, tempo = np.asarray(beats, np.float64), np.asarray(bpms, np.float64)
        order = np.argsort(at, kind="stable")
        at, tempo = at[order], tempo[order]
        is_last = np.append(np.diff(at) > _SAME_BEAT, True)[: len(at)]
        at, tempo = at[is_last], tempo[is_last]
        # Below the first change, wherever it is, the Info's tempo holds
        start = 0.0 if not len(at) or at[0] > 0 else at[0] - 1.0
        beat = np.concatenate(([start], at))
        every = np.concatenate(([bpm], tempo)).astype(np.float64)
        if len(at) and at[0] <= 0 and every[0] == every[1]:
            beat, every, start = beat[1:], every[1:], at[0]
        is_change = np.append(True, np.diff(every) != 0)
        beat, every = beat[is_change], every[is_change]
        with np.errstate(divide="ignore", invalid="ignore"):
            spans = np.diff(beat) * 60.0 / every[:-1]
            first = start * 60.0 / np.float64(bpm)
            seconds = np.concatenate(([first], first + np.cumsum(spans)))
            lasts = ~((np.diff(beat) == 0) | (np.diff(seconds) == 0))
        is_piece = np.append(lasts, True)
        return TimeMap(beat=beat[is_piece], seconds=seconds[is_piece], bpm=every[is_piece])

    @staticmethod
    def of_regions(
        start_sample: ArrayLike,
        end_sample: ArrayLike,
        start_beat: ArrayLike,
        end_beat: ArrayLike,
        frequency: float,
    ) -> "TimeMap":
        """Return the map of regions of the audio, as v4's AudioData and BPMInfo hold them.

        What lies between two regions that do not meet is filled evenly; the last goes on.

        Args:
            start_sample: (m,), m at least 1, in any order.
            end_sample: (m,), above the start.
            start_beat: (m,).
            end_beat: (m,), above the start.
            frequency: Samples a second.

        Raises:
            BeatmapError: There is no region, one is empty, they overlap, or beats lie between two
                that meet.
        """
        ends = np.array([start_sample, end_sample, start_beat, end_beat], np.float64)
        if ends.ndim != 2 or not ends.shape[1] or not frequency > 0:
            raise BeatmapError("no region of a tempo, or no sample rate", "bad_tempo")
        ends = ends[:, np.argsort(ends[0], kind="stable")]
        begin, end = ends[0] / frequency, ends[1] / frequency
        if not ((end > begin) & (ends[3] > ends[2])).all():
            raise BeatmapError("a region of a tempo has no length", "bad_tempo")
        bpm = (ends[3] - ends[2]) * 60.0 / (end - begin)
        gap_beats, gap_seconds = ends[2][1:] - ends[3][:-1], begin[1:] - end[:-1]
        # Editors write the last sample of one region and the first of the next a little apart
        if (gap_beats < -1e-3).any() or (gap_seconds < -1e-3).any():
            raise BeatmapError("two regions of a tempo overlap", "bad_tempo")
        if ((gap_beats > 1e-3) & (gap_seconds <= 1e-3)).any():
            raise BeatmapError("beats between two regions of a tempo take no time", "bad_tempo")
        is_gap = (gap_beats > 1e-3) & (gap_seconds > 1e-3)
        at = np.flatnonzero(is_gap) + 1
        beat = np.insert(ends[2], at, ends[3][:-1][is_gap])
        seconds = np.insert(begin, at, end[:-1][is_gap])
        bpm = np.insert(bpm, at, gap_beats[is_gap] * 60.0 / gap_seconds[is_gap])
        return TimeMap(beat=beat, seconds=seconds, bpm=bpm)

    def first(self) -> tuple["TimeMap", float]:
        """Return the map of the first tempo alone, and when it ends, seconds; 0 if never."""
        end = float(self.seconds[1]) if len(self.seconds) > 1 else 0.0
        return TimeMap(beat=self.beat[:1], seconds=self.seconds[:1], bpm=self.bpm[:1]), end

    def seconds_at(self, beats: ArrayLike) -> Floats:
        """Return when each beat sounds.

        Args:
            beats: Any shape, also below 0.

        Returns:
            The same shape, float64, in seconds from the start of the audio.
        """
        at = np.asarray(beats, np.float64)
        piece = np.maximum(np.searchsorted(self.beat, at, side="right") - 1, 0)
        return np.asarray(self.seconds[piece] + (at - self.beat[piece]) * (60.0 / self.bpm[piece]))

    def beats_at(self, seconds: ArrayLike) -> Floats:
        """Return the beat of each moment.

        Args:
            seconds: Any shape, from the start of the audio, also below 0.

        Returns:
            The same shape, float64.
        """
        at = np.asarray(seconds, np.float64)
        piece = np.maximum(np.searchsorted(self.seconds, at, side="right") - 1, 0)
        return np.asarray(self.beat[piece] + (at - self.seconds[piece]) * (self.bpm[piece] / 60.0))

    def fingerprint(self) -> str:
        """Return what names this map among others: equal maps have equal fingerprints."""
        return fingerprint(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the columns as lists, which `from_json` reads again without loss."""
        return {
            "beat": self.beat.tolist(),
            "seconds": self.seconds.tolist(),
            "bpm": self.bpm.tolist(),
        }

    @staticmethod
    def from_json(columns: dict[str, Any]) -> "TimeMap":
        """Return the map of `as_json`.

        Raises:
            BeatmapError: The columns are no time map.
        """
        try:
            arrays = {
                name: np.asarray(columns[name], np.float64) for name in ("beat", "seconds", "bpm")
            }
        except (KeyError, TypeError, ValueError) as error:
            raise BeatmapError(f"no time map ({error})", "bad_tempo") from error
        return TimeMap(**arrays)

    def _columns(self) -> tuple[Floats, Floats, Floats]:
        return self.beat, self.seconds, self.bpm
