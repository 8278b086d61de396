"""How well the onsets of one map agree with those of another.

An onset is a moment at which something is struck, by whichever hand and however many notes: notes
nearer than a millisecond to the one before are one. Onsets of two maps agree when they can be
paired, each at most once, no further apart than a window; as many are paired as can be. Precision
is the paired share of what was found, recall that of what was wanted, F1 their harmonic mean; all
are 0 where either map is empty, also where both are. Units: seconds.
Source: mir_eval 0.8, `onset.f_measure`, whose matching this is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mir_eval.util
import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOWS = (0.05, 0.02)  # seconds
SAME_ONSET = 0.001  # seconds

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetScore:
    """How many onsets agree within a window.

    Attributes:
        window: Seconds.
        matched: Pairs.
        found: Onsets of the map that is judged.
        wanted: Onsets of the map that it is judged by.
    """

    window: float
    matched: int
    found: int
    wanted: int

    @property
    def precision(self) -> float:
        """Share of the found onsets that are wanted."""
        return self.matched / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the wanted onsets that are found."""
        return self.matched / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.found + self.wanted
        return 2 * self.matched / both if both else 0.0

    def numbers(self) -> dict[str, float]:
        """Return the three by name, as `onset_f1_50ms`."""
        name = f"{1000 * self.window:g}ms"
        return {
            f"onset_f1_{name}": self.f1,
            f"onset_precision_{name}": self.precision,
            f"onset_recall_{name}": self.recall,
        }


def distinct_onsets(seconds: ArrayLike) -> Floats:
    """Return when something is struck, rising; of notes that are one onset, the first.

    Args:
        seconds: Of notes, in any order, `(n,)`.
    """
    rising = np.sort(np.asarray(seconds, np.float64))
    return rising[onset_starts(rising)]


def onset_starts(seconds: Floats) -> NDArray[np.bool_]:
    """Return which notes begin an onset, bool `(n,)`.

    Args:
        seconds: Of notes, rising, `(n,)`.
    """
    return np.append(True, np.diff(seconds) >= SAME_ONSET)[: len(seconds)]


def matched_onsets(
    wanted: Floats, found: Floats, window: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which onsets agree.

    Args:
        wanted: Rising, `(n,)`.
        found: Rising, `(m,)`.
        window: Seconds.

    Returns:
        Places in the wanted and in the found onsets, int64 `(k,)` each, pair by pair.
    """
    pairs = mir_eval.util.match_events(wanted, found, window)
    places = np.array(pairs, np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]


def onset_agreement(
    wanted: ArrayLike, found: ArrayLike, windows: Sequence[float] = WINDOWS
) -> tuple[OnsetScore, ...]:
    """Return how well onsets agree, a score a window.

    Args:
        wanted: When notes are wanted, seconds, in any order, `(n,)`.
        found: When there are some, seconds, in any order, `(m,)`.
        windows: Seconds.
    """
    ours, theirs = distinct_onsets(found), distinct_onsets(wanted)
    return tuple(
        OnsetScore(
            window=window,
            matched=len(matched_onsets(theirs, ours, window)[0]),
            found=len(ours),
            wanted=len(theirs),
        )
        for window in windows
    )


def onset_scores(
    wanted: ArrayLike, found: ArrayLike, windows: Sequence[float] = WINDOWS
) -> dict[str, float]:
    """Return what `onset_agreement` does, by name as `onset_f1_50ms`; onsets `(n,)` and `(m,)`."""
    scores = onset_agreement(wanted, found, windows)
    return {name: value for score in scores for name, value in score.numbers().items()}


def pooled_onsets(charts: Iterable[Sequence[OnsetScore]]) -> tuple[OnsetScore, ...]:
    """Return the scores of charts as those of one long chart: every onset counts the same.

    Args:
        charts: The scores of each, by the same windows; at least one.
    """
    return tuple(
        OnsetScore(
            window=scores[0].window,
            matched=sum(score.matched for score in scores),
            found=sum(score.found for score in scores),
            wanted=sum(score.wanted for score in scores),
        )
        for scores in zip(*charts, strict=True)
    )
