"""What a sweep's file means, as laws over all small sweeps; no kernel starts here."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Writer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.errors import OptionsError
from workbench.runs.batch import plan
from workbench.runs.sweep import LARGEST_SWEEP, Sweep, combinations, read_sweep

NAMES = ("a", "b", "c")
PARAMETERS = (
    "a: int = 0  # a whole number [0..9]\nb: float = 0.5  # a share [0..1]\n"
    "c: str = 'x'  # a word {x, y, z}\nseed: int = 0  # the dice"
)
AXES = {
    "a": st.integers(0, 9),
    "b": st.integers(0, 1) | st.sampled_from([0.25, 0.5, 0.75]),
    "c": st.sampled_from("xyz"),
}


@st.composite
def matrices(draw: st.DrawFn) -> dict[str, tuple[Any, ...]]:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, 3))]
    return {n: tuple(draw(st.lists(AXES[n], min_size=1, max_size=3, unique=True))) for n in names}


@st.composite
def rules_of(draw: st.DrawFn, matrix: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(matrix)), min_size=1, unique=True))
    return {name: draw(st.sampled_from(matrix[name])) for name in names}


def keyed(runs: tuple[dict[Any, Any], ...]) -> list[tuple[tuple[str, Any], ...]]:
    return [tuple(sorted(run.items())) for run in runs]


@given(matrices(), st.integers())
def test_a_matrix_gives_every_combination_once_in_the_order_of_the_file(
    matrix: dict[str, tuple[Any, ...]], seed: int
) -> None:
    runs = combinations(Sweep(base={"seed": seed}, matrix=matrix))
    count = 1
    for axis in matrix.values():
        count *= len(axis)
    assert len(set(keyed(runs))) == len(runs) == count
    assert all(run["seed"] == seed and set(run) == {"seed", *matrix} for run in runs)
    places = [tuple(axis.index(run[name]) for name, axis in matrix.items()) for run in runs]
    assert places == sorted(places)


@given(st.data(), matrices())
def test_a_rule_leaves_out_what_holds_it_and_nothing_else(
    data: st.DataObject, matrix: dict[str, tuple[Any, ...]]
) -> None:
    rule = data.draw(rules_of(matrix))
    everything = combinations(Sweep(matrix=matrix))
    left_out = 1
    for name, axis in matrix.items():
        left_out *= 1 if name in rule else len(axis)
    assume(left_out < len(everything))
    kept = combinations(Sweep(matrix=matrix, exclude=(rule,)))
    assert len(kept) == len(everything) - left_out
    assert [run for run in everything if run in kept] == list(kept)
    assert not any(rule.items() <= run.items() for run in kept)


@given(st.data(), matrices())
def test_what_is_excluded_and_included_again_is_there_last(
    data: st.DataObject, matrix: dict[str, tuple[Any, ...]]
) -> None:
    everything = combinations(Sweep(matrix=matrix))
    point = data.draw(st.sampled_from(everything))
    again = combinations(Sweep(matrix=matrix, exclude=(point,), include=(point,)))
    assert sorted(keyed(again)) == sorted(keyed(everything))
    assert again[-1] == point


@given(st.lists(st.fixed_dictionaries({"a": st.integers(0, 9)}), unique_by=lambda v: v["a"]))
def test_includes_without_a_matrix_are_the_runs_and_go_before_the_base_values(
    include: list[dict[str, int]],
) -> None:
    assume(include)
    runs = combinations(Sweep(base={"a": -1, "seed": 3}, include=tuple(include)))
    assert list(runs) == [{"a": item["a"], "seed": 3} for item in include]


@settings(max_examples=25, deadline=None)
@given(matrix=matrices(), seed=st.integers(0, 99))
def test_a_point_of_a_matrix_is_the_run_that_its_values_alone_would_be(
    project: Path, abc: None, write_params: Writer, matrix: dict[str, tuple[Any, ...]], seed: int
) -> None:
    lists = {name: list(axis) for name, axis in matrix.items()}
    path = write_params("abc/law.yaml", yaml.safe_dump({"seed": seed, "matrix": lists}))
    runs = plan(path, project)
    assert len({run.name for run in runs}) == len(runs)
    last = combinations(Sweep(base={"seed": seed}, matrix=matrix))[-1]
    (single,) = plan(write_params("abc/law.yaml", yaml.safe_dump(last)), project)
    assert single == runs[-1]


@pytest.fixture(scope="module")
def abc(write_notebook: Writer) -> None:
    write_notebook("abc", "x = a", parameters=PARAMETERS)


def test_an_item_of_a_list_may_be_a_sweep(project: Path, abc: None, write_params: Writer) -> None:
    write_params("abc/three.yaml", "matrix: {a: [1, 2, 3]}\n")
    path = write_params(
        "both.yaml",
        "runs:\n- {notebook: abc, params: three}\n"
        "- {notebook: abc, params: {matrix: {c: [x, y]}}}\n",
    )
    runs = plan(path, project)
    assert [run.values["a"] for run in runs] == [1, 2, 3, 0, 0]
    assert [run.name.rpartition("-")[0] for run in runs] == ["three"] * 3 + ["both"] * 2


def test_all_mistakes_of_a_sweep_are_told_at_once_with_their_places(
    project: Path, abc: None, write_params: Writer
) -> None:
    path = write_params(
        "abc/wrong.yaml",
        "sed: 1\nmatrix: {a: [1, 12], b: [0.5, much], d: [1, 2], e: 3}\n"
        "exclude: [{a: -1, q: 1}]\ninclude: [{c: w}, {seed: 'hf_Abcdefgh12345678'}]\n",
    )
    with pytest.raises(OptionsError) as refusal:
        plan(path, project)
    assert str(refusal.value).replace(f"{path}: ", "").splitlines() == [
        "matrix: e: is no list of values; write `e: [value, value]`",
        "exclude 1: 'q' is none of the matrix",
        "unknown parameter 'sed', did you mean 'seed'?",
        "matrix: a: 12 is outside [0..9]",
        "matrix: b: 'much' is str, want float",
        "matrix: unknown parameter 'd'",
        "exclude 1: a: -1 is outside [0..9]",
        "include 1: c: 'w' is none of x, y, z",
        "include 2: seed: looks like a secret; give it by the environment, never as a parameter",
    ]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"matrix": None}, "matrix: is no mapping"),
        ({"matrix": {}}, "matrix: is no mapping"),
        ({"matrix": {"a": 1}}, "matrix: a: is no list of values"),
        ({"matrix": {"a": []}}, "matrix: a: is no list of values"),
        ({"matrix": {"a": [1, 2, 1]}}, "matrix: a: 1 stands there twice"),
        ({"a": 1, "matrix": {"a": [1]}}, "matrix: 'a' stands among the base values"),
        ({"matrix": {"ab": [1]}, "exclude": [{"abc": 1}]}, "of the matrix, did you mean 'ab'"),
        ({"exclude": [{"a": 1}]}, "exclude 1: 'a' is none of the matrix"),
        ({"include": {"a": 1}}, "include: is no list"),
        ({"include": []}, "include: is no list"),
        ({"include": [3]}, "include 1: is no `{name: value}`"),
        ({"matrix": {n: list(range(30)) for n in "abc"}}, f"27000 comb.*most {LARGEST_SWEEP}"),
    ],
)
def test_a_sweep_of_no_form_is_refused(values: dict[str, Any], told: str) -> None:
    _, mistakes = read_sweep(values)
    (mistake,) = mistakes
    assert re.search(told, mistake)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"matrix": {"a": [1]}, "exclude": [{"a": 2}]}, "exclude 1: leaves out nothing"),
        ({"matrix": {"a": [1]}, "exclude": [{"a": 1}]}, "exclude: leaves no run"),
        ({"matrix": {"a": [1]}, "include": [{"a": 1}]}, "include 1: a run with these values"),
    ],
)
def test_a_rule_without_effect_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionsError, match=told):
        combinations(read_sweep(values)[0])


def test_a_value_that_is_the_default_as_well_is_the_same_run(
    project: Path, abc: None, write_params: Writer
) -> None:
    path = write_params("abc/twice.yaml", "matrix: {a: [0, 1]}\ninclude: [{b: 0.5, a: 0}]\n")
    with pytest.raises(OptionsError, match="same values stand there twice"):
        plan(path, project)


def test_a_large_sweep_is_planned_within_two_seconds(
    project: Path, abc: None, write_params: Writer
) -> None:
    path = write_params(
        "abc/large.yaml", f"matrix: {{seed: {list(range(500))}, c: [x, y]}}\nexclude: [{{c: z}}]\n"
    )
    began = time.process_time()
    with pytest.raises(OptionsError, match="leaves out nothing"):
        plan(path, project)
    assert time.process_time() - began < 2
