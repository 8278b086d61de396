"""The table of measurements that `make bench` leaves, as a file and as text.

A row is one number. Where the same work was done by something else beside it, its unit is `times`
and `against` says beside what; where it was done in turns, the least and the most of them are
told. Written are one JSON file a script while it is measured, all together as `benchmarks.json`,
and the same as a page of text, `benchmarks.md`.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.caching.files import replacing
from workbench.errors import RunsError

FORMAT = 1
TABLE, PAGE = "benchmarks.json", "benchmarks.md"
TIMES = "times"  # the unit of a ratio
PILLARS = ("groove", "beatmap", "playback", "speech", "shards", "runs")

HEAD = ("what", "value", "turns", "reach", "")

_STATES = {"reached": "reached", "MISSED": "MISSED", "": "only told", "none": "not measured"}
_REMEDY = "run `make bench`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement, or a line that says why there is none.

    Attributes:
        what: What was measured; its name within its script.
        value: The number; None where it could not be measured.
        unit: Of the value, `times` of a ratio; empty for a plain number.
        least: The smallest of the turns; None where there was one.
        most: The largest of them.
        reach: What the value should be, `>= x` or `<= x`; empty where it is only told.
        against: What the same was done by beside it.
        note: More about it, or why it was not measured.
        pillar: One of PILLARS.
        script: Where it was measured.
    """

    what: str
    value: float | None
    unit: str = ""
    least: float | None = None
    most: float | None = None
    reach: str = ""
    against: str = ""
    note: str = ""
    pillar: str = ""
    script: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the value is what it should be; None where nothing is asked or known."""
        if self.value is None or not self.reach:
            return None
        sign, bound = self.reach.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)

    @property
    def state(self) -> str:
        """`reached`, `MISSED`, empty where nothing is asked, or `none` where nothing is known."""
        if self.value is None:
            return "none"
        return {None: "", True: "reached", False: "MISSED"}[self.reached]

    @property
    def gains(self) -> tuple[float, float, float] | None:
        """How many times better than what it stands beside: value, least and most.

        None where it stands beside nothing. A ratio that should be small is turned round, so that
        what loses is below 1 in any case.
        """
        if not self.value or self.unit != TIMES or not self.against:
            return None
        ends = [self.value if end is None else end for end in (self.least, self.most)]
        if self.reach.startswith("<=") and all(ends):
            return 1 / self.value, 1 / ends[1], 1 / ends[0]
        return self.value, ends[0], ends[1]

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return it as text: what, value, spread, reach and state."""
        what = f"{self.what} (beside {self.against})" if self.against else self.what
        if self.value is None:
            return what, "", "", "", self.note
        spread = ""
        if self.least is not None and self.most is not None:
            spread = f"{number_text(self.least)} to {number_text(self.most)}"
        value = f"{number_text(self.value)} {self.unit}".rstrip()
        return what, value, spread, self.reach, self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All rows of a machine.

    Attributes:
        rows: In the order of the pillars.
        is_quick: Whether the sizes were small, so that ratios are only hints.
        date: When the table was made.
        machine: Processor, cores, memory and system, by name.
        versions: Of Python and of packages, by name.
        commit: Of the sources; empty where there is none.
        absent: Scripts that have no rows.
    """

    rows: tuple[Row, ...]
    is_quick: bool
    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    commit: str = ""
    absent: tuple[str, ...] = field(default=())

    def of(self, pillar: str) -> tuple[Row, ...]:
        """Return the rows of a pillar."""
        return tuple(row for row in self.rows if row.pillar == pillar)

    def cells(self, pillar: str) -> list[tuple[str, str, str, str, str]]:
        """Return the rows of a pillar as text, under HEAD."""
        return [row.cells() for row in self.of(pillar)]

    @property
    def losing(self) -> tuple[Row, ...]:
        """The rows that are worse than what stands beside them, by any amount."""
        return tuple(row for row in self.rows if row.gains and row.gains[0] < 1)

    @property
    def missed(self) -> tuple[Row, ...]:
        """The rows that are not what they should be."""
        return tuple(row for row in self.rows if row.state == "MISSED")

    @property
    def pillars(self) -> tuple[str, ...]:
        """The pillars that have rows, in their order."""
        return tuple(pillar for pillar in PILLARS if self.of(pillar))

    def count(self, state: str) -> int:
        """Return how many rows are in a state; see `Row.state`."""
        return sum(row.state == state for row in self.rows)

    def head(self) -> list[str]:
        """Return what it was measured on, by what, and how it went, a line each."""
        told = [f"{self.count(each)} {name}" for each, name in _STATES.items() if self.count(each)]
        beside = sum(row.gains is not None for row in self.rows)
        lines = [
            f"{len(self.rows)} rows: {', '.join(told)}",
            f"{beside} stand beside something else; {len(self.losing)} of them lose",
            f"measured {self.date}" + (f", commit {self.commit}" if self.commit else ""),
            ", ".join(f"{name} {value}" for name, value in self.machine.items()),
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]
        if self.is_quick:
            lines.insert(0, "QUICK: small sizes and few turns; ratios are hints, no more")
        if self.absent:
            lines.append(f"not measured yet: {', '.join(self.absent)}")
        return lines

    def page(self) -> str:
        """Return all of it as a page of Markdown."""
        parts = ["# Measurements", *(f"- {line}" for line in self.head())]
        for pillar in self.pillars:
            parts += ["", f"## {pillar}", "", _barred(HEAD), "|-|-:|-|-|-|"]
            parts += [_barred(cells) for cells in self.cells(pillar)]
        return "\n".join(parts) + "\n"

    def save(self, folder: Path) -> Path:
        """Write table and page into a folder; return the table's path."""
        content = json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)
        for name, text in ((PAGE, self.page()), (TABLE, content)):
            with replacing(folder / name) as scratch:
                scratch.write_text(text, encoding="utf-8")
        return folder / TABLE


def _barred(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rows_of(found: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    """Return rows of what a script printed or a file holds.

    Raises:
        TypeError: Something else was printed.
    """
    return tuple(Row(**each) for each in found)


def read_measurements(folder: Path) -> Measurements:
    """Return the table that lies in a folder.

    Raises:
        RunsError: It is not there, or cannot be read.
    """
    path = folder / TABLE
    try:
        found = json.loads(path.read_bytes())
        if found.pop("format") != FORMAT:
            raise RunsError(f"{path}: is of another format; {_REMEDY} again")
        found |= {"rows": rows_of(found["rows"]), "absent": tuple(found["absent"])}
        return Measurements(**found)
    except FileNotFoundError:
        raise RunsError(f"{path}: no measurements here; {_REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunsError(f"{path}: no readable measurements ({error}); {_REMEDY}") from error


def number_text(value: float) -> str:
    """Return a number as people read it: four digits, thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"
