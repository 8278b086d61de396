"""What differs between two runs: parameters, code, results, pictures, versions, state of git.

What differs from A to B differs from B to A in mirror image, and no run differs from itself.
Code is compared cell by cell, cells being paired by their ids; the cell in which papermill
writes the parameters is none of the code. A picture differs where its file does, byte by byte. A
number's change is B's less A's.
"""

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from workbench.errors import OptionsError, RunsError
from workbench.runs.listing import StoredRun
from workbench.runs.shown import ShownPicture, own_cells, shown_pictures

_CONTEXT = 3  # lines around a change, as diff -u has them
_SHORT = 10  # digits of a fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that is not the same in both runs.

    Attributes:
        name: What it is.
        values: The value by run, `a` and `b`; a run that has none is not there.
        change: B's less A's, of two numbers whose change is finite; else None.
    """

    name: str
    values: Mapping[str, Any]
    change: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON's kinds."""
        changed = {} if self.change is None else {"change": self.change}
        return {"name": self.name, **self.values, **changed}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDifference:
    """One code cell that is not the same in both notebooks.

    Attributes:
        cells: Its place by run, counted from 1 among all cells of the notebook as it is edited;
            a run that has no such cell is not there.
        lines: The unified difference of its sources; empty of a cell that only moved.
    """

    cells: Mapping[str, int]
    lines: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON's kinds."""
        return {**self.cells, "diff": list(self.lines)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePair:
    """One picture as either run has it.

    Attributes:
        a: That of A, or None.
        b: That of B, or None.
    """

    a: ShownPicture | None
    b: ShownPicture | None

    @property
    def is_same(self) -> bool:
        """Whether both runs have it, and no byte of it differs."""
        return self.a is not None and self.b is not None and self.a.content == self.b.content

    @property
    def name(self) -> str:
        """The file's name, or the number among the pictures of its cell."""
        one = self.a or self.b
        assert one is not None  # a pair has at least one
        return one.name if one.cell is None else f"picture {one.number}"

    @property
    def cells(self) -> dict[str, int]:
        """The place of its cell by run; a file has none."""
        sides = {"a": self.a, "b": self.b}
        return {side: p.cell for side, p in sides.items() if p is not None and p.cell is not None}

    def as_json(self) -> dict[str, Any]:
        """Return which picture it is, and whose; without its bytes."""
        sides = {"a": self.a, "b": self.b}
        whose = [side for side, picture in sides.items() if picture is not None]
        return {"name": self.name, "of": whose, "cells": self.cells}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that differs from run A to run B.

    Attributes:
        a: The one run.
        b: The other.
        parameters: What was asked.
        results: What was recorded.
        code: By place in either notebook.
        versions: Of Python, packages, and the sources of the workbench: a fingerprint each room
            that the notebook imports, or one of all.
        git: Of `commit` and `dirty`.
        pictures: Every picture of either run, the same ones too.
        notes: A line for each notebook that could not be read; then no code is compared.
    """

    a: StoredRun
    b: StoredRun
    parameters: tuple[Difference, ...]
    results: tuple[Difference, ...]
    code: tuple[CellDifference, ...]
    versions: tuple[Difference, ...]
    git: tuple[Difference, ...]
    pictures: tuple[PicturePair, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def other_pictures(self) -> tuple[PicturePair, ...]:
        """The pictures that are not the same in both runs."""
        return tuple(pair for pair in self.pictures if not pair.is_same)

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        values = self.parameters or self.results or self.versions or self.git
        return not (values or self.code or self.other_pictures)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON's kinds."""
        return {
            "a": self.a.name,
            "b": self.b.name,
            "parameters": [each.as_json() for each in self.parameters],
            "results": [each.as_json() for each in self.results],
            "code": [each.as_json() for each in self.code],
            "versions": [each.as_json() for each in self.versions],
            "git": [each.as_json() for each in self.git],
            "pictures": [each.as_json() for each in self.other_pictures],
            "notes": list(self.notes),
        }


def compare(a: StoredRun, b: StoredRun) -> Comparison:
    """Return what differs from one run to another; both have come to their end."""
    code, notes = _code_differences(a, b)
    return Comparison(
        a=a,
        b=b,
        parameters=differences(a.parameters, b.parameters),
        results=differences(a.results, b.results),
        code=code,
        versions=differences(*_versions(a, b)),
        git=differences(a.told.get("git") or {}, b.told.get("git") or {}),
        pictures=picture_pairs(shown_pictures(a), shown_pictures(b)),
        notes=notes,
    )


def nearest(run: StoredRun, others: Iterable[StoredRun]) -> StoredRun:
    """Return the run whose parameters differ least from those of a run, of equals the latest.

    Args:
        run: It is not compared with itself.
        others: Only runs of its notebook that are done are looked at.

    Raises:
        OptionsError: There is none.
    """
    found = [
        other
        for other in others
        if other.state == "done" and other.notebook == run.notebook and other.folder != run.folder
    ]
    if not found:
        raise OptionsError(f"{run.name}: no other run of its notebook is done")
    found.sort(key=lambda other: (other.at, other.name), reverse=True)
    return min(found, key=lambda other: len(differences(run.parameters, other.parameters)))


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs between two mappings of JSON's kinds, by name."""
    found = []
    for name in sorted(a.keys() | b.keys()):
        sides: tuple[tuple[str, Mapping[str, Any]], ...] = (("a", a), ("b", b))
        values: dict[str, Any] = {side: told[name] for side, told in sides if name in told}
        if len(values) == 2 and _is_same(values["a"], values["b"]):
            continue
        change = _change(values["a"], values["b"]) if len(values) == 2 else None
        found.append(Difference(name=name, values=values, change=change))
    return tuple(found)


def source_difference(a: str, b: str) -> tuple[str, ...]:
    """Return the unified difference of two texts without its head; from B to A it is mirrored."""
    # Which lines a matcher pairs depends on the order of the texts, so theirs is always the same.
    is_swapped = b < a
    lines = tuple(text.split("\n") if text else [] for text in (a, b))
    first, second = lines[::-1] if is_swapped else lines
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    told: list[str] = []
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        spans = [
            (j1, j2, i1, i2) if is_swapped else (i1, i2, j1, j2) for _, i1, i2, j1, j2 in group
        ]
        told.append(
            f"@@ -{_span(spans[0][0], spans[-1][1])} +{_span(spans[0][2], spans[-1][3])} @@"
        )
        for (tag, *_), (a1, a2, b1, b2) in zip(group, spans, strict=True):
            if tag == "equal":
                told += [f" {line}" for line in lines[0][a1:a2]]
            else:
                told += [f"-{line}" for line in lines[0][a1:a2]]
                told += [f"+{line}" for line in lines[1][b1:b2]]
    return tuple(told)


def picture_pairs(a: Sequence[ShownPicture], b: Sequence[ShownPicture]) -> tuple[PicturePair, ...]:
    """Return each picture of two runs once, in an order that is the same from either side."""
    sides = [{picture.key: picture for picture in one} for one in (a, b)]
    keys = {key: _place_in_both(key, sides) for one in sides for key in one}
    in_order = sorted(keys, key=lambda key: (keys[key], key))
    return tuple(PicturePair(a=sides[0].get(key), b=sides[1].get(key)) for key in in_order)


def _place_in_both(
    key: tuple[str, int], sides: Sequence[Mapping[tuple[str, int], ShownPicture]]
) -> list[float]:
    """Return where a picture's cell stands in either run; files come after all cells."""
    cells = [side[key].cell for side in sides if key in side]
    return sorted(math.inf if cell is None else cell for cell in cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    place: int
    source: str


def _code_differences(
    a: StoredRun, b: StoredRun
) -> tuple[tuple[CellDifference, ...], tuple[str, ...]]:
    """Return the code cells that differ, and why none could be compared."""
    sides: dict[str, dict[str, _Cell]] = {}
    notes: dict[str, None] = {}
    pair: tuple[tuple[str, StoredRun], ...] = (("a", a), ("b", b))
    for side, run in pair:
        try:
            sides[side] = _code(run)
        except (RunsError, KeyError, TypeError, AttributeError) as error:
            notes[f"code is not compared: {error}"] = None
    return (() if notes else tuple(_cell_differences(sides))), tuple(notes)


def _code(run: StoredRun) -> dict[str, _Cell]:
    """Return the code cells of a run by their ids, in order.

    Raises:
        RunsError: Its notebook cannot be read.
    """
    return {
        cell["id"]: _Cell(place=place, source=cell["source"])
        for place, cell in own_cells(run)
        if cell["cell_type"] == "code"
    }


def _cell_differences(sides: Mapping[str, Mapping[str, _Cell]]) -> Iterator[CellDifference]:
    """Yield the cells that differ, in an order that is the same from either side."""
    a, b = sides["a"], sides["b"]
    ranks = [
        {name: rank for rank, name in enumerate(n for n in one if n in a and n in b)}
        for one in (a, b)
    ]
    places = {
        name: sorted(cells[name].place for cells in (a, b) if name in cells) for name in {**a, **b}
    }
    for name in sorted(places, key=lambda name: (places[name], name)):
        sources = [cells[name].source if name in cells else "" for cells in (a, b)]
        is_moved = ranks[0].get(name) != ranks[1].get(name)
        if name in a and name in b and sources[0] == sources[1] and not is_moved:
            continue
        yield CellDifference(
            cells={side: cells[name].place for side, cells in sides.items() if name in cells},
            lines=source_difference(*sources),
        )


def _versions(a: StoredRun, b: StoredRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what made two runs, their sources by room where both tell them so."""
    has_rooms = "rooms" in a.told and "rooms" in b.told
    first, second = (
        {**run.told.get("versions", {}), **_sources(run, by_room=has_rooms)} for run in (a, b)
    )
    return first, second


def _sources(run: StoredRun, *, by_room: bool) -> dict[str, str]:
    if by_room:
        rooms = run.told["rooms"]
        return {f"workbench.{room}": digest[:_SHORT] for room, digest in rooms.items()}
    return {"workbench sources": run.told.get("sources", "")[:_SHORT]}


def _is_same(a: Any, b: Any) -> bool:
    """Return whether two values of JSON's kinds are equal, where true is not 1."""
    if _is_number(a) and _is_number(b):
        return bool(a == b)
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _change(a: Any, b: Any) -> float | None:
    if not (_is_number(a) and _is_number(b)):
        return None
    try:
        # A large integer less a float would lose its last digits.
        change = b - a if isinstance(a, type(b)) else float(Fraction(b) - Fraction(a))
        return change if math.isfinite(change) else None
    except OverflowError:  # an integer that no float can hold
        return None


def _span(start: int, end: int) -> str:
    """Return lines as diff -u counts them: the first and how many."""
    count = end - start
    first = start + 1 if count else start
    return str(first) if count == 1 else f"{first},{count}"
