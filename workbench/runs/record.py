"""Results that a notebook records, so that a run's manifest holds them.

A result is displayed under a MIME type of its own with a line of text beside it; the runner
collects all of them, nbval compares both. Numbers are shown as JSON writes them, so round in
the notebook what should not differ in its last digits.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import RunsError

RESULT_MIME = "application/vnd.workbench.result+json"
LONGEST_LIST = 64


def record(**numbers: Any) -> None:
    """Record results of this run by name and show them.

    Args:
        numbers: Finite numbers, strings, bools, None, lists of at most 64 of these, or scalars
            of numpy and torch. A name recorded again takes the place of the first.

    Raises:
        RunsError: A value is none of these, or nothing is recorded.
    """
    # IPython takes 0.3 s to import and is there already wherever a kernel runs.
    from IPython.display import display  # noqa: PLC0415

    display(Recorded(values=plain_results(numbers)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Results as a notebook displays them.

    Attributes:
        values: JSON's kinds by name.
    """

    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return ", ".join(f"{name} = {_text(value)}" for name, value in self.values.items())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {RESULT_MIME: dict(self.values), "text/plain": repr(self)}


def plain_results(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return results as JSON's kinds.

    Raises:
        RunsError: A value cannot be a result; every such value is named.
    """
    mistakes = []
    values: dict[str, Any] = {}
    for name, given in numbers.items():
        value = _without_scalar_types(given)
        items = value if isinstance(value, list) else [value]
        if len(items) > LONGEST_LIST:
            mistakes.append(f"{name}: {len(items)} items, at most {LONGEST_LIST}; write a file")
        elif bad := [item for item in items if not _is_plain(item)]:
            mistakes.append(
                f"{name}: {str(bad[0])[:80]!r} ({type(bad[0]).__name__}) is no finite number, "
                "string, bool or None"
            )
        values[name] = value
    if not values:
        mistakes.append("nothing to record; write record(name=value)")
    if mistakes:
        raise RunsError("\n".join(mistakes))
    return values


def _without_scalar_types(value: Any) -> Any:
    """Return a numpy or torch scalar as Python's own, lists and tuples as lists of these."""
    if isinstance(value, list | tuple):
        return [_without_scalar_types(item) for item in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
