import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import leave

from workbench.cli import run
from workbench.runs.comparing import compare, differences, source_difference
from workbench.runs.listing import StoredRun, stored_runs

NAMES = st.sampled_from(["seed", "bpm", "style", "drums"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.just(10**400)
    | st.sampled_from(["", "1", "true"])
)
VALUES = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=4)
LINES = st.lists(st.sampled_from(["a = 1", "b = a", "", "record(a=a)", "x\r"]), max_size=12)
SOURCES = LINES.map("\n".join)
RUNS = st.fixed_dictionaries(
    {
        "cells": st.lists(SOURCES, min_size=1, max_size=4),
        "parameters": VALUES.filter(bool),
        "results": VALUES,
        "versions": st.dictionaries(NAMES, st.sampled_from(["1.0", "2.0"]), max_size=2),
        "git": st.none() | st.fixed_dictionaries({"commit": NAMES, "dirty": st.booleans()}),
    }
)


def two(outputs: Path, *asked: dict[str, Any]) -> list[StoredRun]:
    """Leave runs of a notebook each in a folder of its own, and return them as they are listed."""
    for number, each in enumerate(asked):
        told = dict(each)
        leave(outputs / str(number), "tiny-0", *told.pop("cells", []), **told)
    return [stored_runs(outputs / str(number)).runs[0] for number in range(len(asked))]


def mirrored(told: Any) -> Any:
    """Return what a comparison in JSON's kinds is from the other side."""
    if isinstance(told, list):
        return [mirrored(each) for each in told]
    if not isinstance(told, dict):
        return told
    swapped = {{"a": "b", "b": "a"}.get(key, key): value for key, value in told.items()}
    if "change" in swapped:
        swapped["change"] = -swapped["change"]
    if "diff" in swapped:
        swapped["diff"] = mirrored_lines(swapped["diff"])
    groups = ("parameters", "results", "versions", "git", "code")
    return swapped | {name: mirrored(swapped[name]) for name in groups if name in swapped}


def mirrored_lines(lines: list[str]) -> list[str]:
    """Return a unified difference read the other way, what goes before what comes."""
    told: list[str] = []
    gone: list[str] = []
    come: list[str] = []
    for line in [*lines, " end"]:
        if line[0] == "-":
            come.append(f"+{line[1:]}")
        elif line[0] == "+":
            gone.append(f"-{line[1:]}")
        else:
            told += gone + come + [re.sub(r"^@@ -(\S+) \+(\S+) @@$", r"@@ -\2 +\1 @@", line)]
            gone, come = [], []
    return told[:-1]


def patched(text: str, lines: tuple[str, ...]) -> str:
    """Return a text with a unified difference put on it."""
    old = text.split("\n") if text else []
    made: list[str] = []
    place = 0
    for line in lines:
        if line.startswith("@@"):
            first, _, count = line.split()[1][1:].partition(",")
            start = int(first) - (count != "0")
            made += old[place:start]
            place = start
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert old[place] == line[1:]
            place += 1
            made += [line[1:]] if line[0] == " " else []
    return "\n".join(made + old[place:])


@settings(max_examples=30, deadline=None)
@given(RUNS, RUNS)
def test_no_run_differs_from_itself_and_two_differ_in_mirror_image(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a, b = two(Path(folder), one, other)
        assert compare(a, a).is_empty
        assert compare(b, b).is_empty
        there = json.loads(json.dumps(compare(a, b).as_json(), allow_nan=False))
        back = json.loads(json.dumps(compare(b, a).as_json(), allow_nan=False))
        assert mirrored(there) == back
        assert compare(a, b).is_empty == compare(b, a).is_empty
        assert bool(there["code"]) == (one["cells"] != other["cells"])
        assert bool(there["versions"]) == (one["versions"] != other["versions"])
        assert bool(there["git"]) == ((one["git"] or {}) != (other["git"] or {}))


@settings(deadline=None)
@given(SOURCES, SOURCES)
def test_a_difference_of_sources_makes_the_one_of_the_other(a: str, b: str) -> None:
    lines = source_difference(a, b)
    assert patched(a, lines) == b
    assert list(source_difference(b, a)) == mirrored_lines(list(lines))
    assert (lines == ()) == (a == b)


@given(VALUES, VALUES)
def test_what_is_not_named_is_equal_and_a_change_leads_from_one_to_the_other(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    found = {each.name: each for each in differences(a, b)}
    for name in a.keys() | b.keys():
        if name not in found:
            assert a[name] == b[name]
        else:
            assert found[name].values == {
                side: told[name] for side, told in (("a", a), ("b", b)) if name in told
            }
    for each in found.values():
        if each.change is not None:
            one, other = each.values["a"], each.values["b"]
            assert (each.change > 0) == (other > one)
            assert each.change == other - one or type(one) is not type(other)


def test_true_is_not_one_and_one_is_a_number_however_written() -> None:
    one = {"a": True, "b": 1, "c": [1], "d": 1, "e": 2**53 + 1}
    told = differences(one, {"a": 1, "b": 1.0, "c": [True], "d": "1", "e": 2.0**53})
    changes = {each.name: each.change for each in told}
    assert changes == {"a": None, "c": None, "d": None, "e": -1.0}


def test_a_cell_that_was_added_moved_or_edited_is_told_by_its_place(tmp_path: Path) -> None:
    a, b = two(tmp_path, {"cells": ["a = 1", "b = 2", "c = 3"]}, {"cells": ["a = 1"]})
    path = b.notebook_path
    book = json.loads(path.read_text())
    kept = json.loads(a.notebook_path.read_text())["cells"]
    title, parameters, first, second, third = kept
    injected = {**first, "id": "more", "metadata": {"tags": ["injected-parameters"]}}
    edited = {**first, "source": "a = 2"}
    path.write_text(
        json.dumps(book | {"cells": [title, parameters, injected, third, second, edited]})
    )
    told = [each.as_json() for each in compare(a, b).code]
    assert told == [
        {"a": 3, "b": 5, "diff": ["@@ -1 +1 @@", "-a = 1", "+a = 2"]},
        {"a": 5, "b": 3, "diff": []},
    ]
    path.write_text(json.dumps(book | {"cells": kept[:4]}))
    told = [each.as_json() for each in compare(a, b).code]
    assert told == [{"a": 5, "diff": ["@@ -1 +0,0 @@", "-c = 3"]}]


def test_a_comparison_is_told_with_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git = {"commit": "c" * 40, "dirty": False}
    leave(tmp_path, "tiny-a", "x = 1", results={"loss": 0.5}, parameters={"seed": 1}, git=git)
    more = {"loss": 0.25, "notes": 3}
    leave(tmp_path, "tiny-b", "x = 2", results=more, parameters={"seed": "1"}, git=git)
    words = ["--outputs", str(tmp_path)]
    assert run(["runs", "compare", "tiny-a", "tiny-b", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a: beats/tiny-a, done, 2001-09-09 01:46 UTC, 2.5 s",
        "b: beats/tiny-b, done, 2001-09-09 01:46 UTC, 2.5 s",
        "",
        "parameters:",
        "        a    b  change",
        '  seed  1  "1"',
        "",
        "results:",
        "           a     b  change",
        "  loss   0.5  0.25   -0.25",
        "  notes    -     3",
        "",
        "code, cell 3:",
        "  @@ -1 +1 @@",
        "  -x = 1",
        "  +x = 2",
    ]
    assert run(["runs", "compare", "tiny-a", "tiny-a", *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing differs"
    assert run(["runs", "compare", "tiny-a", "tiny-b", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["results"] == [
        {"name": "loss", "a": 0.5, "b": 0.25, "change": -0.25},
        {"name": "notes", "b": 3},
    ]


@pytest.mark.parametrize(
    "content",
    ["{", "[" * 100_000, '{"nbformat": 4, "metadata": {}, "cells": [{}]}', None],
)
def test_a_notebook_that_cannot_be_read_is_told_and_the_rest_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    leave(tmp_path, "tiny-a", parameters={"seed": 1})
    path = leave(tmp_path, "tiny-b", parameters={"seed": 2}) / "beats.ipynb"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert run(["runs", "compare", "tiny-a", "tiny-b", "--outputs", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"code is not compared: {path}")
    assert lines[4:7] == ["parameters:", "        a  b  change", "  seed  1  2      +1"]
