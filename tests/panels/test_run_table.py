"""A table of runs to look through, by its controls as a person uses them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import OptionsError
from workbench.panels.look import failed
from workbench.panels.run_table import RunTable, differences_table, failures_table
from workbench.panels.table import Table

VALUES = st.integers(-2, 2) | st.sampled_from([0.5, True, None, "funk", "<b>", [1, 2]])
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["done", "failed", "part"]),
            "parameters": st.dictionaries(st.sampled_from(["n", "style", "name"]), VALUES),
            "results": st.dictionaries(st.sampled_from(["loss", "n"]), VALUES),
        }
    ),
    max_size=6,
)


def run(name: str, state: str = "done", **more: Any) -> dict[str, Any]:
    """Return a record as the index of runs gives it."""
    own = {"at": "2026-01-31", "seconds": 2.5, "parameters": {}, "results": {}, "error": None}
    return {"name": name, "state": state, **own, **more}


def named(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [run(f"run-{number}") | record for number, record in enumerate(records)]


NIGHT = [
    run("beats/a", parameters={"n": 2, "seed": 0}, results={"loss": 0.00012}),
    run("beats/b", parameters={"n": 1, "seed": 0}, results={"loss": 0.5}),
    run("beats/c", parameters={"n": 4, "seed": 0}, results={"loss": 0.25}),
    run(
        "beats/d.failed",
        "failed",
        parameters={"n": 5, "seed": 0},
        error={"type": "ValueError", "message": "<n>", "cell": 3},
    ),
    run(".d.part", "part"),
]


@settings(max_examples=30)
@given(RECORDS, st.data())
def test_sorting_and_filtering_lose_no_run_and_double_none(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    table = RunTable(named(records))
    assert len(table.still().rows) == len(records)
    states = data.draw(st.sets(st.sampled_from(["done", "failed", "part"])))
    table.filter(*states)
    column = data.draw(st.sampled_from(table.columns))
    orders = []
    for descending in (False, True):
        table.sort(column, descending=descending)
        orders.append([record["name"] for record in table.records])
    kept = [f"run-{n}" for n, record in enumerate(records) if record["state"] in states]
    assert all(sorted(order) == kept for order in orders)
    table.sort("")
    assert [record["name"] for record in table.records] == kept


def test_a_click_on_a_control_does_what_it_says() -> None:
    table = RunTable(NIGHT)
    looks, folded = table.widget.children[0].children
    done, failed, part, sort, descending = looks.children
    assert [each.description for each in (done, failed, part)] == ["done 3", "failed 1", "part 1"]
    assert [row[0] for row in table.still().rows] == [record["name"] for record in NIGHT]
    sort.value = "loss"
    assert [row[0] for row in table.still().rows][:3] == ["beats/a", "beats/c", "beats/b"]
    descending.value = True
    failed.value = part.value = False
    assert [row[0] for row in table.still().rows] == ["beats/b", "beats/c", "beats/a"]
    boxes = {box.description: box for box in folded.children[0].children}
    boxes["name"].value = boxes["state"].value = False
    boxes["seed"].value = True
    assert table.still().head == ("n", "seed", "loss")
    assert repr(table.still()).splitlines()[-1].split() == ["2", "0", "0.00012"]
    assert "3 of 5 runs" in table.widget.children[1].value
    assert "0.00012" in table.widget.children[1].value


def test_what_varies_is_there_at_first_and_a_name_that_stands_twice_is_told_apart() -> None:
    table = RunTable([run("a", parameters={"n": 1}, results={"n": 7}), run("b")])
    assert table.columns == ("name", "state", "at", "seconds", "n", "n (result)")
    assert table.still().head == ("name", "state", "n", "n (result)")
    assert table.still().rows == [("a", "done", 1, 7), ("b", "done", "-", "-")]
    asked = RunTable(NIGHT, columns=("name", "seconds"))
    assert asked.still().head == ("name", "seconds")


def test_two_runs_are_compared_by_what_the_table_was_given() -> None:
    def compare(a: str, b: str) -> Table:
        if a == b:
            raise OptionsError("the same <run>")
        return Table(("a", "b"), [(a, b)])

    table = RunTable(NIGHT, compare=compare)
    chooser, comparison = table.widget.children[2:]
    first, second, button = chooser.children
    assert (first.value, second.value) == ("beats/b", "beats/c")
    assert first.options[0] == ("n 2 · beats/a", "beats/a")
    assert len(first.options) == 4
    button.click()
    assert "beats/b" in comparison.value
    assert "beats/c" in comparison.value
    table.compare("beats/d.failed", "beats/a")
    assert (first.value, second.value) == ("beats/d.failed", "beats/a")
    assert "beats/d.failed" in comparison.value
    table.compare("beats/a", "beats/a")
    assert comparison.value == failed("the same <run>")
    assert "the same &lt;run&gt;" in comparison.value
    assert len(RunTable(NIGHT).widget.children) == 2


def test_markup_in_a_value_is_shown_and_not_obeyed() -> None:
    table = RunTable([run("<script>", parameters={"<n>": "<b>"}), run("b")])
    page = table.widget.children[1].value
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<b>" not in page


def test_failures_are_a_row_each_with_cell_and_reason() -> None:
    table = failures_table(NIGHT[:4])
    assert table.head == ("n", "cell", "error")
    assert table.rows == [(5, 3, "ValueError: <n>")]
    assert failures_table([run("x", "failed")]).rows == [("-", ": ")]


def test_differences_are_a_row_each() -> None:
    told = [{"name": "loss", "a": 0.5, "b": 0.25, "change": -0.25}, {"name": "seed", "b": 1}]
    assert differences_table(told).rows == [("loss", 0.5, 0.25, -0.25), ("seed", "-", 1, "-")]


@pytest.mark.parametrize(("digits", "told"), [(None, "0"), (6, "0.000123457")])
def test_a_table_tells_as_many_digits_as_it_was_asked_for(digits: int | None, told: str) -> None:
    assert repr(Table(("loss",), [(0.000123456789,)], digits)).splitlines()[1] == told
