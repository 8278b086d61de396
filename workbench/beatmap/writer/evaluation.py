"""How good a map is, beside one that people made of the same song.

Onsets are compared moment by moment (`metrics_onsets`). All else is compared as a whole, each
number beside the human map's own (`metrics`): none has a right value by itself. Charts are judged
each by itself, all together as one long chart (micro), and on average (mean).

Units: seconds; rates are a second or per 1,000 swings or notes; divergences are nats.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.beatmap.maps.objects import Objects
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.metrics import (
    ChartProfile,
    Histograms,
    hand_divergence,
    pooled_profile,
    profile_of,
)
from workbench.beatmap.writer.metrics_onsets import (
    WINDOWS,
    Floats,
    OnsetScore,
    distinct_onsets,
    onset_agreement,
    pooled_onsets,
)
from workbench.errors import BeatmapError

ALL = "all"  # the name of the charts together


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPair:
    """A chart that is judged, and the one that it is judged by.

    Attributes:
        name: Of both, as `Standard Expert`.
        found: What is judged.
        wanted: What it is judged by.
        found_times: When the beats of the first are.
        wanted_times: When those of the other are.
        shift: By how much the song begins later for the first, seconds, as silence in front of it
            makes it.
    """

    name: str
    found: Objects
    wanted: Objects
    found_times: TimeMap
    wanted_times: TimeMap
    shift: float = 0.0

    def found_seconds(self) -> Floats:
        """Return when the notes of the first are, by the song of the other."""
        return self.found_times.seconds_at(self.found.notes.beat) - self.shift

    def wanted_seconds(self) -> Floats:
        """Return when the notes of the other are."""
        return self.wanted_times.seconds_at(self.wanted.notes.beat)

    def found_onsets(self) -> Floats:
        """Return the distinct onsets of the first, by the song of the other."""
        return distinct_onsets(self.found_seconds())

    def wanted_onsets(self) -> Floats:
        """Return the distinct onsets of the other."""
        return distinct_onsets(self.wanted_seconds())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChartScores:
    """How good a chart is, or several together.

    Attributes:
        name: Of the chart.
        onsets: A score a window.
        found: What the chart is like.
        wanted: What the human one is like.
        direction_kl: From the directions of the reference: left hand, right hand, both.
        cell_kl: Likewise of the cells.
    """

    name: str
    onsets: tuple[OnsetScore, ...]
    found: ChartProfile
    wanted: ChartProfile
    direction_kl: tuple[float, float, float]
    cell_kl: tuple[float, float, float]

    @property
    def nps_error(self) -> float:
        """By how many notes a second the chart is too dense or too thin, 0 or more."""
        return abs(self.found.nps - self.wanted.nps)

    def numbers(self) -> dict[str, float]:
        """Return all scores by name; those of the human chart end in `_wanted`."""
        found, wanted = self.found.numbers(), self.wanted.numbers()
        values: dict[str, float] = {}
        for score in self.onsets:
            values |= score.numbers()
        values["nps_error"] = self.nps_error
        for name, (left, right, both) in (
            ("direction_kl", self.direction_kl),
            ("cell_kl", self.cell_kl),
        ):
            values |= {name: both, f"{name}_left": left, f"{name}_right": right}
        for name, value in found.items():
            values |= {name: value, f"{name}_wanted": wanted[name]}
        return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """How good charts are.

    Attributes:
        charts: Each by itself.
        micro: All as one long chart.
        extra: What else is known of them, by name, as nats a note of the model that wrote them.
    """

    charts: tuple[ChartScores, ...]
    micro: ChartScores
    extra: Mapping[str, float] = field(default_factory=dict)

    def mean(self) -> dict[str, float]:
        """Return the mean of each number over the charts, every chart counting the same."""
        every = [chart.numbers() for chart in self.charts]
        return {name: float(np.mean([numbers[name] for numbers in every])) for name in every[0]}

    def as_json(self) -> dict[str, Any]:
        """Return all numbers, of JSON's kinds."""
        return {
            **self.extra,
            "micro": self.micro.numbers(),
            "mean": self.mean(),
            "charts": {chart.name: chart.numbers() for chart in self.charts},
        }


def evaluate_chart(
    found: Objects,
    wanted: Objects,
    found_times: TimeMap,
    wanted_times: TimeMap,
    *,
    name: str = "",
    shift: float = 0.0,
    windows: Sequence[float] = WINDOWS,
    reference: Histograms | None = None,
) -> ChartScores:
    """Return how good a chart is.

    Args:
        found: The chart.
        wanted: A human one of the same song.
        found_times: When its beats are.
        wanted_times: When the human one's are.
        name: What it is called.
        shift: By how much its song begins later, seconds.
        windows: In which onsets agree, seconds.
        reference: What directions and cells are compared with, as `CorpusStatistics`; the human
            chart if none is given.
    """
    pair = ChartPair(
        name=name,
        found=found,
        wanted=wanted,
        found_times=found_times,
        wanted_times=wanted_times,
        shift=shift,
    )
    return _scores(pair, windows, reference)


def evaluate_charts(
    pairs: Iterable[ChartPair],
    *,
    extra: Mapping[str, float] | None = None,
    windows: Sequence[float] = WINDOWS,
    reference: Histograms | None = None,
) -> Evaluation:
    """Return how good charts are, each and together.

    Args:
        pairs: At least one.
        extra: What else is known of them, by name.
        windows: In which onsets agree, seconds.
        reference: What directions and cells are compared with; the human charts if none is given.

    Raises:
        BeatmapError: There is no pair, or two are of one name.
    """
    charts = tuple(_scores(pair, windows, reference) for pair in pairs)
    if not charts:
        raise BeatmapError("no charts to compare; give at least one pair", "no_charts")
    names = [chart.name for chart in charts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BeatmapError(f"two charts are called {twice!r}; name each otherwise", "named_twice")
    return Evaluation(charts=charts, micro=_pooled(charts, reference), extra=dict(extra or {}))


def _scores(pair: ChartPair, windows: Sequence[float], reference: Histograms | None) -> ChartScores:
    onsets = onset_agreement(pair.wanted_seconds(), pair.found_seconds(), windows)
    found = profile_of(pair.found, pair.found_times)
    wanted = profile_of(pair.wanted, pair.wanted_times)
    return _compared(pair.name, onsets, found, wanted, reference)


def _pooled(charts: Sequence[ChartScores], reference: Histograms | None) -> ChartScores:
    onsets = pooled_onsets(chart.onsets for chart in charts)
    found = pooled_profile([chart.found for chart in charts])
    wanted = pooled_profile([chart.wanted for chart in charts])
    return _compared(ALL, onsets, found, wanted, reference)


def _compared(
    name: str,
    onsets: tuple[OnsetScore, ...],
    found: ChartProfile,
    wanted: ChartProfile,
    reference: Histograms | None,
) -> ChartScores:
    held: Histograms = wanted if reference is None else reference
    return ChartScores(
        name=name,
        onsets=onsets,
        found=found,
        wanted=wanted,
        direction_kl=hand_divergence(found.directions, held.directions),
        cell_kl=hand_divergence(found.cells, held.cells),
    )
