"""A table of runs to look through: columns are chosen, rows sorted and filtered, two compared.

A record is a mapping with `name`, `state`, `at`, `seconds`, `parameters`, `results` and `error`,
as the index of runs gives it. Units: seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets

from workbench.errors import WorkbenchError
from workbench.panels.look import failed, framed
from workbench.panels.table import Table

Record = Mapping[str, Any]

DIGITS = 6  # significant ones of a number
_OWN = ("name", "state", "at", "seconds")
_PART = "part"  # the state of a run of which nothing is known yet
_MOST_CHOSEN = 8  # columns that are there at first, beside name and state
_WIDEST = 40  # characters of a value
_SNUG = {"description_width": "initial"}
_SCROLL = '<div style="overflow-x:auto;max-width:100%">{}</div>'


class RunTable:
    """Runs as a table whose rows and columns a person chooses; the same is done by its methods.

    Attributes:
        widget: What a cell displays.
        columns: Names of all columns: what every run has, then parameters, then results; of a
            parameter and a result that have one name, the result is `NAME (result)`.
    """

    def __init__(
        self,
        records: Iterable[Record],
        *,
        columns: Sequence[str] = (),
        compare: Callable[[str, str], Any] | None = None,
    ) -> None:
        """Show all runs, as they come, with the parameters that vary and all results.

        Args:
            records: One a run.
            columns: The columns that are there at first, where they are not chosen by themselves.
            compare: Takes the names of two runs and gives something that a notebook shows as
                HTML; without it no two runs can be chosen.
        """
        self._records = list(records)
        self._getters = _getters(self._records)
        self.columns = tuple(self._getters)
        chosen = tuple(columns) or self._chosen_at_first()
        states = Counter(str(record["state"]) for record in self._records)
        self._columns = {
            name: ipywidgets.Checkbox(
                value=name in chosen, description=name, indent=False, layout={"width": "auto"}
            )
            for name in self.columns
        }
        self._states = {
            state: ipywidgets.ToggleButton(
                value=True,
                description=f"{state} {count}",
                tooltip=f"show runs that are {state}",
                layout={"width": "auto"},
            )
            for state, count in sorted(states.items())
        }
        self._sort = ipywidgets.Dropdown(
            options=[("as they ended", ""), *((name, name) for name in self.columns)],
            description="sort by",
            style=_SNUG,
            layout={"width": "16em"},
        )
        self._descending = ipywidgets.ToggleButton(
            description="greatest first", layout={"width": "auto"}
        )
        self._page = ipywidgets.HTML()
        self._compare = compare
        self._comparison = ipywidgets.HTML()
        self.widget: Any = ipywidgets.VBox([self._controls(), self._page, *self._chooser()])
        controls = (*self._columns.values(), *self._states.values(), self._sort, self._descending)
        for control in controls:
            control.observe(self._draw, "value")
        self._draw()

    def sort(self, column: str, *, descending: bool = False) -> None:
        """Sort by a column, equal ones by their parameters; by none when it is empty.

        Runs that have nothing there come last.

        Args:
            column: Its name.
            descending: Whether the greatest comes first.
        """
        self._sort.value = column
        self._descending.value = descending

    def filter(self, *states: str) -> None:
        """Show the runs of some states alone."""
        for state, button in self._states.items():
            button.value = state in states

    def choose(self, *columns: str) -> None:
        """Show some columns, in the order in which the table has them."""
        for name, box in self._columns.items():
            box.value = name in columns

    def compare(self, a: str, b: str) -> None:
        """Show below the table what differs from one run to another.

        Args:
            a: The name of the one.
            b: The name of the other.
        """
        self._a.value, self._b.value = a, b
        self._compare_now()

    @property
    def records(self) -> list[Record]:
        """The runs that are shown, in order."""
        shown = [run for run in self._records if self._states[str(run["state"])].value]
        if not self._sort.value:
            return shown
        get = self._getters[self._sort.value]
        there = [run for run in shown if get(run) is not None]
        there.sort(key=lambda run: tuple(map(_rank, run["parameters"].values())))
        there.sort(key=lambda run: _rank(get(run)), reverse=self._descending.value)
        return there + [run for run in shown if get(run) is None]

    def still(self) -> Table:
        """Return the table as it is shown now, for a saved notebook whose widgets open empty."""
        names = [name for name, box in self._columns.items() if box.value]
        rows = [tuple(_told(self._getters[name](run)) for name in names) for run in self.records]
        return Table(tuple(names), rows, digits=DIGITS)

    def _chosen_at_first(self) -> tuple[str, ...]:
        others = [name for name in self.columns if name not in _OWN]
        whole = [run for run in self._records if run["state"] != _PART]
        values = [{name: self._getters[name](run) for name in others} for run in whole]
        return ("name", "state", *(varying_names(values) or others)[:_MOST_CHOSEN])

    def _controls(self) -> Any:
        rows = {"flex_flow": "row wrap"}
        looks = ipywidgets.HBox([*self._states.values(), self._sort, self._descending], layout=rows)
        names = ipywidgets.HBox(list(self._columns.values()), layout={**rows, "grid_gap": "0 14px"})
        folded = ipywidgets.Accordion([names], titles=("columns",), selected_index=None)
        return ipywidgets.VBox([looks, folded])

    def _chooser(self) -> list[Any]:
        """Return what two runs are chosen by, where there is something to compare them."""
        names = [
            (self._label(run), str(run["name"])) for run in self._records if run["state"] != _PART
        ]
        done = [str(run["name"]) for run in self._records if run["state"] == "done"]
        looks = {"style": _SNUG, "layout": {"width": "25em", "max_width": "100%"}}
        self._a = ipywidgets.Dropdown(options=names, description="compare", **looks)
        self._b = ipywidgets.Dropdown(options=names, description="with", **looks)
        if len(done) > 1:
            self._a.value, self._b.value = done[-2:]
        button = ipywidgets.Button(description="Compare", tooltip="tell what differs between them")
        button.on_click(self._compare_now)
        if self._compare is None or len(names) < 2:
            return []
        chooser = ipywidgets.HBox([self._a, self._b, button], layout={"flex_flow": "row wrap"})
        return [chooser, self._comparison]

    def _label(self, run: Record) -> str:
        """Return what a run is known by: the parameters that vary, and its name."""
        varying = _varying_parameters(self._records)
        parameters = run["parameters"]
        asked = [f"{name} {_told(parameters[name])}" for name in varying if name in parameters]
        return " · ".join([*asked, str(run["name"])])

    def _compare_now(self, *_: Any) -> None:
        assert self._compare is not None, "the table was made without `compare`"
        try:
            shown = self._compare(self._a.value, self._b.value)._repr_html_()
        except WorkbenchError as error:  # a run was cleared away meanwhile
            shown = failed(str(error))
        self._comparison.value = shown

    def _draw(self, *_: Any) -> None:
        told = f"{len(self.records)} of {len(self._records)} runs"
        page = f"{_SCROLL.format(self.still()._repr_html_())}<div>{told}</div>"
        self._page.value = framed(page)


def failures_table(records: Iterable[Record]) -> Table:
    """Return the runs that failed, with the parameters that vary, the cell and the error."""
    every = list(records)
    failed = [run for run in every if run["state"] == "failed"]
    varying = _varying_parameters(every)
    rows = []
    for run in failed:
        error = run["error"] or {"type": "", "message": "", "cell": None}
        asked = (_told(run["parameters"].get(name)) for name in varying)
        rows.append((*asked, error["cell"] or "-", f"{error['type']}: {error['message']}"))
    return Table((*varying, "cell", "error"), rows, digits=DIGITS)


def differences_table(differences: Iterable[Mapping[str, Any]]) -> Table:
    """Return what differs between two runs.

    Args:
        differences: Each with `name`, and `a`, `b` and `change` where there are such.
    """
    rows = [
        tuple(_told(each.get(key)) for key in ("name", "a", "b", "change")) for each in differences
    ]
    return Table(("name", "a", "b", "change"), rows, digits=DIGITS)


def varying_names(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names whose values are not the same in all of some mappings, in their order."""
    names = dict.fromkeys(name for each in values for name in each)
    return [name for name in names if len({repr(each.get(name, ...)) for each in values}) > 1]


def _varying_parameters(records: Iterable[Record]) -> list[str]:
    return varying_names([run["parameters"] for run in records if run["state"] != _PART])


def _getters(records: Sequence[Record]) -> dict[str, Callable[[Record], Any]]:
    """Return the columns there are, and how a run's value is found in each."""
    found: dict[str, Callable[[Record], Any]] = {name: partial(_own, name) for name in _OWN}
    for kind in ("parameters", "results"):
        for name in dict.fromkeys(name for run in records for name in run[kind]):
            column = f"{name} ({kind[:-1]})" if name in found else name
            found[column] = partial(_inner, kind, name)
    return found


def _own(name: str, run: Record) -> Any:
    return run.get(name)


def _inner(kind: str, name: str, run: Record) -> Any:
    return run[kind].get(name)


def _rank(value: Any) -> tuple[bool, float, str]:
    """Return what values are sorted by: numbers, then everything else as text."""
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else 0.0, "" if is_number else str(value))


def _told(value: Any) -> object:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
    return value
