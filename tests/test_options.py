"""Options: the docstring is the schema, and all mistakes are told at once."""

import dataclasses
import importlib
import importlib.util
import math
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench
from workbench.errors import OptionsError
from workbench.options import (
    Parameter,
    check,
    did_you_mean,
    parameters_of,
    parse_note,
    problems,
    refuse,
)

WORDS = st.text(st.sampled_from("abcdefgh ,;0123456789"), max_size=30).map(str.strip)
CHOICES = st.lists(st.text(st.sampled_from("abcxyz_"), min_size=1, max_size=5), max_size=4)
BOUND = st.one_of(
    st.none(), st.integers(-(10**6), 10**6), st.sampled_from([0.5, -0.25, 1.5e-3, 2e9, math.inf])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrewOptions:
    """How tea is made.

    Attributes:
        leaves: Grams of tea, which is the
            better the more [0.5..20].
        minutes: How long it draws, minutes [1..].
        kind: Which tea.
        pot: Where it is made, or none.
        sugar: Whether there is sugar.
        name: For whom {ann, bob}.
    """

    leaves: float
    minutes: int = 3
    kind: Literal["green", "black"] = "green"
    pot: Path | None = None
    sugar: bool = False
    name: str = "ann"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check(self)


# --- the notation


def number_text(value):
    return "" if value is None else f"{value!r}"


@given(WORDS.filter(lambda text: not text.endswith(".")), BOUND, BOUND, CHOICES)
def test_a_note_written_by_the_notation_is_read_again(meaning, low, high, choices):
    note = meaning
    if low is not None or high is not None:
        note += f" [{number_text(low)}..{number_text(high)}]"
    if choices:
        note += " {" + ", ".join(choices) + "}"
    for written in (note, note + "."):
        found = parse_note(written)
        assert found["meaning"] == meaning
        assert found.get("low") == low
        assert found.get("high") == high
        assert found.get("choices", ()) == tuple(choices)


@pytest.mark.parametrize("note", ["tokens [1, 2]", "a [low] b", "{} and (1..2)", "3..4 of it"])
def test_brackets_that_are_no_range_belong_to_the_meaning(note):
    found = parse_note(note)
    assert "low" not in found
    assert not found.get("choices")


def test_a_class_tells_its_parameters():
    found = parameters_of(BrewOptions)
    assert list(found) == ["leaves", "minutes", "kind", "pot", "sugar", "name"]
    assert found["leaves"] == Parameter(
        name="leaves",
        kind=float,
        meaning="Grams of tea, which is the better the more",
        low=0.5,
        high=20,
        required=True,
    )
    assert found["minutes"].low == 1
    assert found["minutes"].high is None
    assert found["minutes"].default == 3
    assert found["kind"].choices == ("green", "black")
    assert (found["pot"].kind, found["pot"].optional) == (str, True)
    assert found["name"].choices == ("ann", "bob")


@pytest.mark.parametrize(
    ("hint", "said"),
    [("list[int]", "is no type of an option"), ("int | str", "is more than one type")],
)
def test_a_field_of_a_type_that_no_option_has_is_refused(hint, said):
    fields = [("x", eval(hint))]
    odd = dataclasses.make_dataclass("Odd", fields)
    odd.__doc__ = "Odd.\n\nAttributes:\n    x: What it is.\n"
    with pytest.raises(TypeError, match=said):
        parameters_of(odd)


def test_a_field_that_is_not_described_is_refused():
    bare = dataclasses.make_dataclass("Bare", [("x", int)])
    with pytest.raises(TypeError, match=r"Bare\.x is not described"):
        parameters_of(bare)


# --- values


@given(st.integers(-5, 40) | st.floats(-5, 40), BOUND, BOUND)
def test_a_range_includes_its_ends_and_nothing_beyond(value, low, high):
    parameter = Parameter(name="x", kind=float, low=low, high=high)
    is_within = (low is None or value >= low) and (high is None or value <= high)
    assert (parameter.problem(value) is None) == is_within
    for end in (low, high):
        if end is not None and (low is None or high is None or low <= high):
            assert parameter.problem(float(end)) is None


def test_nothing_is_no_number_within_a_range():
    assert "outside [1..]" in Parameter(name="x", kind=float, low=1).problem(math.nan)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (bool, [True, False], [0, 1, "yes", None]),
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0.5, 3], [True, "1", None]),
        (str, ["", "a"], [1, True, None]),
    ],
)
def test_values_are_of_their_kind(kind, good, bad):
    parameter = Parameter(name="x", kind=kind)
    assert [parameter.problem(value) for value in good] == [None] * len(good)
    for value in bad:
        said = f"x: {value!r} is {type(value).__name__}, want {kind.__name__}"
        assert parameter.problem(value) == said
    assert Parameter(name="x", kind=kind, optional=True).problem(None) is None


def test_a_choice_that_is_none_is_told_with_the_nearest():
    parameter = Parameter(name="x", kind=str, choices=("green", "black"))
    assert parameter.problem("black") is None
    assert parameter.problem("grene") == (
        "x: 'grene' is none of green, black, did you mean 'green'?"
    )
    assert parameter.problem("coffee") == "x: 'coffee' is none of green, black"


def test_all_mistakes_are_told_at_once():
    values = {"minuts": 3, "kind": "grene", "sugar": 1, "minutes": 0}
    assert problems(parameters_of(BrewOptions), values) == [
        "unknown parameter 'minuts', did you mean 'minutes'?",
        "kind: 'grene' is none of green, black, did you mean 'green'?",
        "sugar: 1 is int, want bool",
        "minutes: 0 is outside [1..]",
        "leaves: is missing",
    ]


def test_an_options_value_is_checked_when_it_is_made():
    assert BrewOptions(leaves=2, pot=Path("kitchen")).minutes == 3
    with pytest.raises(OptionsError) as caught:
        BrewOptions(leaves=0, minutes=-1, name="eve")
    assert str(caught.value).splitlines() == [
        "leaves: 0 is outside [0.5..20]",
        "minutes: -1 is outside [1..]",
        "name: 'eve' is none of ann, bob",
    ]
    assert caught.value.exit_code == 2


def test_no_mistakes_are_not_refused():
    refuse([])
    with pytest.raises(OptionsError) as caught:
        refuse(["one", "two"])
    assert str(caught.value) == "one\ntwo"


def test_a_word_unlike_all_others_has_no_nearest():
    assert did_you_mean("minuts", ["minutes", "leaves"]) == ", did you mean 'minutes'?"
    assert did_you_mean("zzz", ["minutes", "leaves"]) == ""


# --- the Options of all rooms


# Modules of an extra, and what they cannot be imported without.
OF_EXTRAS = {"workbench.streaming.cluster": "distributed"}


def all_options():
    """Return every Options class of the package."""
    found = {}
    for module in pkgutil.walk_packages(workbench.__path__, "workbench."):
        wanted = OF_EXTRAS.get(module.name)
        if ".panels" in module.name or (wanted and not importlib.util.find_spec(wanted)):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.endswith("Options") and dataclasses.is_dataclass(value):
                found[f"{value.__module__}.{name}"] = value
    return sorted(found.items())


@pytest.mark.parametrize(("name", "options"), all_options())
def test_every_options_class_describes_itself_and_its_defaults_are_allowed(name, options):
    found = parameters_of(options)
    assert list(found) == [field.name for field in dataclasses.fields(options)]
    for parameter in found.values():
        assert parameter.meaning[:1].isupper(), parameter.name
        if not parameter.required and not isinstance(parameter.default, Path):
            assert parameter.problem(parameter.default) is None
    assert options.__dataclass_params__.frozen
    assert "__slots__" in vars(options)


def test_the_groove_options_are_among_them():
    names = [name for name, _ in all_options()]
    assert "workbench.groove.options.TrainOptions" in names
    assert "workbench.demo.drums.DrumCorpusOptions" in names
