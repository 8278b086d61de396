"""What the scripts of this folder share: their arguments, turns, rows, and how they tell them.

Each script runs alone and prints its rows, as JSON with `--json`; it exits with 1 when a number is
not reached. `table.py` runs all of them.
"""

import argparse
import dataclasses
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from workbench.runs.measurements import TIMES, Row

DATA = Path(__file__).parents[3] / "shared" / "data"  # beside the checkout, where it is
GMD = DATA / "gmd" / "train"
CHARTS = DATA / "charts"

Work = Callable[[], object]


def parser_of(documentation: str) -> argparse.ArgumentParser:
    """Return a parser that knows `--json`."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=documentation, formatter_class=plain)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser


def seconds_of(work: Work, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long some work takes, by a clock."""
    began = clock()
    work()
    return clock() - began


def in_turn(
    turns: int,
    sides: Mapping[str, Work],
    clock: Callable[[], float] = time.process_time,
    *,
    warms: bool = False,
) -> dict[str, list[float]]:
    """Return the seconds of each side in each turn; who is first changes from turn to turn.

    Args:
        turns: So many.
        sides: What is done, by name.
        clock: Of the processor, or of the wall.
        warms: Whether all is done once before, as some of it compiles or imports then.
    """
    for side in sides.values() if warms else ():
        side()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            found[name].append(seconds_of(sides[name], clock))
    return found


def row(
    what: str,
    value: float,
    reach: str = "",
    *,
    unit: str = "",
    turns: Sequence[float] = (),
    against: str = "",
    note: str = "",
) -> Row:
    """Return a measurement; of more than one turn, their least and most."""
    ends = (float(min(turns)), float(max(turns))) if len(turns) > 1 else (None, None)
    return Row(
        what=what,
        value=float(value),
        unit=unit,
        least=ends[0],
        most=ends[1],
        reach=reach,
        against=against,
        note=note,
    )


def times(
    what: str,
    theirs: Sequence[float],
    ours: Sequence[float],
    reach: str = "",
    *,
    against: str,
    best: bool = True,
    note: str = "",
) -> Row:
    """Return the seconds of theirs over those of ours.

    Args:
        what: What was done.
        theirs: Of each turn; one, where it was done once.
        ours: Likewise.
        reach: What the ratio should be.
        against: Who they are.
        best: Whether the shortest turns are compared; the middle ones otherwise.
        note: More about it.
    """
    middle = min if best else statistics.median
    longest = max(len(theirs), len(ours))
    pairs = zip(_long(theirs, longest), _long(ours, longest), strict=True)
    return row(
        what,
        middle(theirs) / middle(ours),
        reach,
        unit=TIMES,
        turns=[their / our for their, our in pairs],
        against=against,
        note=note,
    )


def rate(what: str, count: float, seconds: Sequence[float], reach: str = "", *, unit: str) -> Row:
    """Return how much was done a second in the shortest turn."""
    turns = [count / each for each in seconds]
    return row(what, max(turns), reach, unit=unit, turns=turns)


def skipped(what: str, needs: str) -> Row:
    """Return the line of something that cannot be measured here."""
    return Row(what=what, value=None, note=f"skipped: needs {needs}")


def missing(peer: str) -> str:
    """Return what to do where a package is not installed; empty where it is."""
    if importlib.util.find_spec(peer):
        return ""
    return f"{peer}: pip install -e '.[bench]'"


def tell(pillar: str, rows: Iterable[Row], *, as_json: bool) -> NoReturn:
    """Print rows and leave, with 1 when a number is not reached."""
    told = [dataclasses.replace(each, pillar=pillar) for each in rows]
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in told]))
    else:
        print("\n".join(lines(told)))
    sys.exit(any(each.state == "MISSED" for each in told))


def lines(rows: Sequence[Row]) -> list[str]:
    """Return rows as lines of text."""
    return [_line(*each.cells()) for each in rows]


def _line(what: str, value: str, spread: str, reach: str, state: str) -> str:
    if not value:
        return f"{'-':>22}  {what}: {state}"
    return f"{value:>22}  {reach:<9} {state:<8} {what}" + f"  [{spread}]" * bool(spread)


def _long(seconds: Sequence[float], turns: int) -> list[float]:
    return [*seconds] * (turns if len(seconds) == 1 else 1)
