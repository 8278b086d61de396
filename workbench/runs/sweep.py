"""Sweeps: many runs of one notebook from base values, a matrix, and what is taken out and added.

    seed: 3                                   # base values hold for every run
    matrix: {order: [2, 3], swing: [0.5, 1]}  # every combination, the last name varies fastest
    exclude: [{order: 3, swing: 1}]           # combinations left out
    include: [{order: 5, seed: 4}]            # further runs: the base values and these

The words are those of GitHub Actions; an `include` here always adds a run, and never changes one.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.options import did_you_mean, refuse

WORDS = ("matrix", "include", "exclude")
LARGEST_SWEEP = 10_000  # more is a slip in the file, or work for a database

Values = Mapping[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a file asks for: one run when it has neither a matrix nor includes.

    Attributes:
        base: Values that all runs have in common.
        matrix: The values of each name that varies, in the order of the file.
        exclude: What a combination must hold to be left out, one mapping a rule.
        include: Values of further runs, which go before the base values.
    """

    base: Values = field(default_factory=dict)
    matrix: Mapping[Any, tuple[Any, ...]] = field(default_factory=dict)
    exclude: tuple[Values, ...] = ()
    include: tuple[Values, ...] = ()

    def parts(self) -> Iterator[tuple[str, Values]]:
        """Yield where values that a run may have stand in the file, and what they are."""
        yield "", self.base
        for name, axis in self.matrix.items():
            for value in axis:
                yield "matrix: ", {name: value}
        for number, rule in enumerate(self.exclude, start=1):
            yield f"exclude {number}: ", {n: v for n, v in rule.items() if n in self.matrix}
        for number, item in enumerate(self.include, start=1):
            yield f"include {number}: ", item


def read_sweep(values: Values) -> tuple[Sweep, list[str]]:
    """Return the sweep of a params file as far as it has a form, and every mistake of form.

    The values in it are not looked at.
    """
    mistakes: list[str] = []
    sweep = Sweep(
        base={name: value for name, value in values.items() if name not in WORDS},
        matrix=_axes(values, mistakes),
        exclude=_items(values, "exclude", mistakes),
        include=_items(values, "include", mistakes),
    )
    mistakes += [
        f"matrix: {name!r} stands among the base values as well; keep one"
        for name in sweep.matrix
        if name in sweep.base
    ]
    for number, rule in enumerate(sweep.exclude, start=1):
        mistakes += [
            f"exclude {number}: {name!r} is none of the matrix{did_you_mean(str(name), axes)}"
            for axes in [[str(axis) for axis in sweep.matrix]]
            for name in rule
            if name not in sweep.matrix
        ]
    count = math.prod(len(axis) for axis in sweep.matrix.values())
    if count > LARGEST_SWEEP:
        mistakes.append(f"matrix: {count} combinations, at most {LARGEST_SWEEP}; split the file")
    return sweep, mistakes


def combinations(sweep: Sweep) -> tuple[dict[Any, Any], ...]:
    """Return the values of every run: the matrix in its order without what is excluded, then more.

    Values are compared as they stand, so `1` and `1.0` must have been made one kind before.

    Raises:
        OptionsError: A rule leaves out nothing, a run stands there twice, or none is left.
    """
    runs = [
        dict(sweep.base) | dict(zip(sweep.matrix, point, strict=True))
        for point in itertools.product(*sweep.matrix.values())
        if sweep.matrix or not sweep.include
    ]
    mistakes = [
        f"exclude {number}: leaves out nothing; its values are no combination of the matrix"
        for number, rule in enumerate(sweep.exclude, start=1)
        if not any(_holds(run, rule) for run in runs)
    ]
    kept = [run for run in runs if not any(_holds(run, rule) for rule in sweep.exclude)]
    for number, item in enumerate(sweep.include, start=1):
        further = {**sweep.base, **item}
        if further in kept:
            mistakes.append(f"include {number}: a run with these values stands there already")
        kept.append(further)
    if not kept:
        mistakes.append("exclude: leaves no run")
    refuse(mistakes)
    return tuple(kept)


def _axes(values: Values, mistakes: list[str]) -> dict[Any, tuple[Any, ...]]:
    found = values.get("matrix", {})
    if not isinstance(found, dict) or ("matrix" in values and not found):
        mistakes.append("matrix: is no mapping; write `name: [value, value]` lines below it")
        return {}
    axes = {}
    for name, axis in found.items():
        if not isinstance(axis, list) or not axis:
            mistakes.append(f"matrix: {name}: is no list of values; write `{name}: [value, value]`")
        elif twice := [value for place, value in enumerate(axis) if value in axis[:place]]:
            mistakes.append(f"matrix: {name}: {twice[0]!r} stands there twice; keep one")
        else:
            axes[name] = tuple(axis)
    return axes


def _items(values: Values, word: str, mistakes: list[str]) -> tuple[Values, ...]:
    found = values.get(word, [])
    if not isinstance(found, list) or (word in values and not found):
        mistakes.append(f"{word}: is no list; write `- {{name: value}}` items below it")
        return ()
    for number, item in enumerate(found, start=1):
        if not isinstance(item, dict) or not item:
            mistakes.append(f"{word} {number}: is no `{{name: value}}`")
    return tuple(item for item in found if isinstance(item, dict) and item)


def _holds(run: Values, rule: Values) -> bool:
    return all(run[name] == value for name, value in rule.items())
