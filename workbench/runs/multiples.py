"""Small multiples of a sweep: each recorded number over a parameter that varies.

A pane is one number over one parameter, with a line for each value of a second parameter. Only
runs that are done have points, and of runs with the same parameters the latest one. Where further
parameters vary, several runs stand at one place: each has its point, and the line goes through
their means. Records are what `StoredRun.as_json` gives.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from workbench.errors import OptionsError
from workbench.options import did_you_mean
from workbench.runs.listing import differing
from workbench.runs.telling import value_text

MOST_LINES = 8  # that people can tell apart in a small plot
_LOGARITHMIC = 20.0  # the greatest value over the least from which on an axis is logarithmic

Record = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The runs that have one value of the second parameter.

    Attributes:
        name: That value as text; empty where there is no second parameter.
        points: Place and number of each run, places rising.
    """

    name: str
    points: tuple[Point, ...]

    @property
    def means(self) -> tuple[Point, ...]:
        """The mean of the numbers at each place, places rising."""
        numbers: dict[float, list[float]] = {}
        for place, number in self.points:
            numbers.setdefault(place, []).append(number)
        return tuple((place, fmean(all_here)) for place, all_here in numbers.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One recorded number over one parameter.

    Attributes:
        result: The number's name.
        x: The parameter's name.
        by: The second parameter's name; empty if there is none.
        ticks: Text of each place where the parameter is no number, the first at 0; else empty.
        is_logarithmic: Whether the parameter is better seen on a logarithmic axis.
        lines: One a value of the second parameter, all panes of a sweep in the same order.
        others: Names of further parameters that vary, over which the lines are means.
    """

    result: str
    x: str
    by: str
    ticks: tuple[str, ...]
    is_logarithmic: bool
    lines: tuple[Line, ...]
    others: tuple[str, ...]


def panes(records: Sequence[Record], *, x: str = "", by: str = "") -> tuple[Pane, ...]:
    """Return a pane for each recorded number, in the order in which they were recorded.

    Args:
        records: Runs of one notebook.
        x: The parameter that they are seen over; when empty the number that varies most.
        by: The parameter whose values are told apart; when empty the one that varies least, of
            those that vary and have at most eight values.

    Returns:
        None where no parameter varies, or nothing is recorded that is a number.

    Raises:
        OptionsError: A parameter is named that does not vary.
    """
    runs = latest(records)
    varying = differing([run["parameters"] for run in runs])
    for name in filter(None, (x, by)):
        if name not in varying:
            near = did_you_mean(name, varying) or f"; {', '.join(varying) or 'nothing'} does"
            raise OptionsError(f"{name!r} does not vary among {len(runs)} runs{near}")
    chosen = x or _x_of(runs, [name for name in varying if name != by])
    if not chosen:
        return ()
    rest = [name for name in varying if name != chosen]
    split = by if by != chosen else ""
    split = split or _by_of(runs, rest)
    others = tuple(name for name in rest if name != split)
    names = dict.fromkeys(n for run in runs for n, v in run["results"].items() if _is_number(v))
    return tuple(_pane(runs, name, chosen, split, others) for name in names)


def all_panes(records: Sequence[Record]) -> tuple[tuple[Pane, ...], ...]:
    """Return rows of panes: one over the parameter that varies most, one over each further one.

    The parameter whose values are told apart in the first row has no row of its own.
    """
    first = panes(records)
    if not first:
        return ()
    pane = first[0]
    return (first, *(panes(records, x=name, by=pane.by) for name in pane.others))


def latest(records: Sequence[Record]) -> list[Record]:
    """Return the runs that are done, of those with the same parameters the latest, in order."""
    done = [run for run in records if run["state"] == "done"]
    kept = {repr(sorted(run["parameters"].items())): run for run in sorted(done, key=_ended)}
    own = {id(run) for run in kept.values()}
    return [run for run in done if id(run) in own]


def _ended(run: Record) -> str:
    return str(run["at"])


def _pane(runs: Sequence[Record], result: str, x: str, by: str, others: tuple[str, ...]) -> Pane:
    values = [run["parameters"].get(x) for run in runs]
    is_scale = all(_is_number(value) for value in values)
    texts = [] if is_scale else list(dict.fromkeys(map(value_text, values)))
    groups: dict[str, list[Point]] = {}
    # A number comes before the next greater one, and words in the order of the runs.
    in_order = sorted(runs, key=lambda run: _rank(run["parameters"].get(by))) if by else runs
    for run in in_order:
        name = value_text(run["parameters"].get(by)) if by else ""
        points = groups.setdefault(name, [])
        number, value = run["results"].get(result), run["parameters"].get(x)
        if _is_number(number):
            points.append((value if is_scale else texts.index(value_text(value)), number))
    lines = tuple(Line(name=name, points=tuple(sorted(at))) for name, at in groups.items())
    return Pane(
        result=result,
        x=x,
        by=by,
        ticks=tuple(texts),
        is_logarithmic=is_scale and _is_wide(values),
        lines=lines,
        others=others,
    )


def _x_of(runs: Sequence[Record], names: Sequence[str]) -> str:
    """Return the number that has the most values, else the word that has, else nothing."""

    def rank(name: str) -> tuple[bool, int]:
        values = [run["parameters"].get(name) for run in runs]
        return all(map(_is_number, values)), _count(runs, name)

    return max(names, key=rank, default="")


def _by_of(runs: Sequence[Record], names: Sequence[str]) -> str:
    few = [name for name in names if _count(runs, name) <= MOST_LINES]
    return min(few, key=lambda name: _count(runs, name), default="")


def _count(runs: Sequence[Record], name: str) -> int:
    return len({value_text(run["parameters"].get(name)) for run in runs})


def _rank(value: Any) -> tuple[bool, float]:
    return (False, value) if _is_number(value) else (True, 0.0)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits, which no axis has
        return False


def _is_wide(values: Sequence[float]) -> bool:
    least, most = min(values), max(values)
    return len(set(values)) > 2 and least > 0 and most / least >= _LOGARITHMIC
