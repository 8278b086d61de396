import math
import re
from pathlib import Path

import pytest
from conftest import notebook
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import OptionsError
from workbench.options import Parameter
from workbench.runs.notebooks import with_ids
from workbench.runs.parameters import check_values, filled, parse_schema, read_schema

SCHEMA = parse_schema(
    "n_songs: int = 12  # songs to count [1..500]\n"
    "swing: float = 0.5  # of a beat [0..1]\n"
    "style: str = 'rock'  # how it is played {rock, jazz}\n"
    "corpus: str = ''  # folder of MIDI files\n"
    "tempo_bpm: float | None = None  # quarter notes a minute [20..400]\n"
    "is_loud: bool = True  # with accents\n"
    'output_dir: str = ""  # where files go; a scratch folder when empty\n',
    "cell",
)

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name not in {"as", "if", "in", "is", "or", "and", "not", "for", "def", "del"}
        and not re.search("token|passw|secret|credential|key|output_dir", name)
    )
)
words = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,3}", fullmatch=True)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    kind = draw(st.sampled_from([bool, int, float, str]))
    low, high, choices = None, None, ()
    if kind in (int, float):
        low, high = sorted(draw(st.tuples(*[st.integers(-1000, 1000).map(float)] * 2)))
    values = {
        bool: st.booleans(),
        int: st.integers(math.ceil(low or 0), math.floor(high or 0)),
        float: st.floats(low, high),
        str: st.text(st.characters(codec="utf-8"), max_size=12),
    }
    if kind is str and draw(st.booleans()):
        choices = tuple(draw(st.lists(words, min_size=1, max_size=4, unique=True)))
        values[str] = st.sampled_from(choices)
    optional = draw(st.booleans())
    default = draw(st.none() | values[kind]) if optional else draw(values[kind])
    return Parameter(
        name=draw(names),
        kind=kind,
        default=default,
        meaning=draw(words),
        low=low,
        high=high,
        choices=choices,
        optional=optional,
    )


def as_line(parameter: Parameter) -> str:
    note = parameter.meaning
    if parameter.low is not None:
        note += f" [{parameter.low:g}..{parameter.high:g}]"
    if parameter.choices:
        note += " {" + ", ".join(parameter.choices) + "}"
    kind = parameter.kind.__name__ + (" | None" if parameter.optional else "")
    return f"{parameter.name}: {kind} = {parameter.default!r}  # {note}"


@settings(deadline=None)
@given(st.lists(parameters(), max_size=5, unique_by=lambda parameter: parameter.name))
def test_a_cell_written_from_parameters_reads_back_as_them(wanted: list[Parameter]) -> None:
    cell = "\n".join(as_line(parameter) for parameter in wanted)
    assert list(parse_schema(cell, "cell").values()) == wanted


@settings(deadline=None)
@given(st.lists(parameters(), max_size=5, unique_by=lambda parameter: parameter.name))
def test_defaults_pass_their_own_check_and_fill_what_is_not_given(wanted: list[Parameter]) -> None:
    schema = {parameter.name: parameter for parameter in wanted}
    defaults = {name: parameter.default for name, parameter in schema.items()}
    check_values(schema, defaults)
    assert filled(schema, {}) == filled(schema, defaults) == defaults


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("n = 1  # songs", "`n = 1`"),
        ("n: int  # songs", "no default"),
        ("n: int = 1", "no meaning"),
        ("n: list = []  # songs", "none of bool, int, float, str"),
        ("n: int = len('ab')  # songs", "no plain value"),
        ("n: int = 'a'  # songs", "is str, want int"),
        ("n: int = 7  # songs [1..5]", "outside [1..5]"),
        ("n: float = 1e999  # songs", "no finite number"),
        ("import os", "`import os`"),
        ("%matplotlib inline", "is no Python"),
        ("good: int = 2  # again", "stands there twice"),
        ("output_dir: int = 1  # where", "belongs to the run"),
        ("place: str = 'hf_Abc123Abc123Abc123'  # where", "looks like a secret"),
    ],
)
def test_a_malformed_line_is_told_with_its_number_and_what_to_do(line: str, told: str) -> None:
    with pytest.raises(OptionsError) as refusal:
        parse_schema(f"good: int = 1  # fine\n{line}", "groove.ipynb: parameters cell")
    assert str(refusal.value).startswith("groove.ipynb: parameters cell, line 2: ")
    assert told in str(refusal.value)


def test_all_malformed_lines_are_told_at_once() -> None:
    with pytest.raises(OptionsError) as refusal:
        parse_schema("a = 1\nb: int = 2  # fine\nc: set = 3  # no\nd: int = 4", "cell")
    assert re.findall(r"line (\d)", str(refusal.value)) == ["1", "3", "4"]


def test_a_comment_sign_in_a_default_is_no_comment() -> None:
    assert parse_schema("mark: str = 'a # b'  # sign", "cell")["mark"].default == "a # b"


@pytest.mark.parametrize("count", [0, 2])
def test_a_notebook_has_exactly_one_parameters_cell(count: int) -> None:
    content = notebook("x = 1")
    for cell in content["cells"][1:]:
        cell["metadata"] = {"tags": ["parameters"]} if count == 2 else {}
    with pytest.raises(OptionsError, match=rf"groove\.ipynb: {count} cells tagged"):
        read_schema(with_ids(content), Path("groove.ipynb"))


def test_all_mistakes_in_values_are_told_at_once() -> None:
    wrong = {
        "n_sogns": 3,
        "n_songs": "3",
        "swing": 1.5,
        "style": "jaz",
        "is_loud": 1,
        "corpus": ["a"],
        "tempo_bpm": math.inf,
        "output_dir": "here",
        7: 7,
    }
    with pytest.raises(OptionsError) as refusal:
        check_values(SCHEMA, wrong)
    told = str(refusal.value).splitlines()
    assert told == [
        "unknown parameter 'n_sogns', did you mean 'n_songs'?",
        "n_songs: '3' is str, want int",
        "swing: 1.5 is outside [0..1]",
        "style: 'jaz' is none of rock, jazz, did you mean 'jazz'?",
        "is_loud: 1 is int, want bool",
        "corpus: is a list, want str",
        "tempo_bpm: is no finite number",
        "output_dir: is set by the run itself; leave it out",
        "7 is int; names of parameters are words",
    ]
    assert refusal.value.exit_code == 2


def test_a_whole_number_for_a_float_is_the_same_run() -> None:
    given_int, given_float = filled(SCHEMA, {"swing": 1}), filled(SCHEMA, {"swing": 1.0})
    assert given_int == given_float
    assert type(given_int["swing"]) is float


@pytest.mark.parametrize("value", [10**400, -(10**400), math.nan, "\ud800"])
def test_a_value_without_json_is_refused(value: object) -> None:
    name = "corpus" if isinstance(value, str) else "swing"
    with pytest.raises(OptionsError, match=name):
        check_values(SCHEMA, {name: value})


SECRETS = st.one_of(
    st.from_regex(r"hf_[A-Za-z]{10}[0-9][A-Za-z0-9]{10}", fullmatch=True),
    st.from_regex(r"ghp_[A-Za-z0-9]{36}", fullmatch=True),
    st.from_regex(r"github_pat_[A-Za-z0-9_]{40}", fullmatch=True),
    st.from_regex(r"AKIA[0-9A-Z]{16}", fullmatch=True),
    st.from_regex(r"sk-[A-Za-z0-9]{32}", fullmatch=True),
    st.from_regex(r"Bearer [a-z]{6,20}", fullmatch=True),
    st.from_regex(r"eyJ[A-Za-z0-9_-]{20}\.eyJ[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{20}", fullmatch=True),
    st.from_regex(
        r"-----BEGIN RSA PRIVATE KEY-----\n[A-Za-z0-9]{64}\n-----END RSA PRIVATE KEY-----",
        fullmatch=True,
    ),
)


@settings(deadline=None)
@given(SECRETS, st.sampled_from(["corpus", "style", "n_songs", "unheard_of"]))
def test_a_value_of_a_secrets_form_is_refused_and_never_repeated(secret: str, name: str) -> None:
    with pytest.raises(OptionsError, match=f"{name}: looks like a secret") as refusal:
        check_values(SCHEMA, {name: secret})
    assert secret not in str(refusal.value)
    assert secret.rsplit(maxsplit=1)[-1] not in str(refusal.value)


@pytest.mark.parametrize("name", ["token", "hf_token", "PASSWORD", "api_key", "apiKey", "secret"])
@pytest.mark.parametrize("value", ["hunter2", 1234, ["x"]])
def test_a_value_under_a_secrets_name_is_refused_and_never_repeated(
    name: str, value: object
) -> None:
    with pytest.raises(OptionsError, match="looks like a secret") as refusal:
        check_values(SCHEMA, {name: value})
    assert "hunter2" not in str(refusal.value) and "1234" not in str(refusal.value)


def test_a_secret_as_a_name_is_not_repeated() -> None:
    with pytest.raises(OptionsError, match="looks like a secret") as refusal:
        check_values(SCHEMA, {"hf_Abcdefgh12345678": 1})
    assert "Abcdefgh" not in str(refusal.value)


def test_words_of_the_field_are_no_secrets() -> None:
    schema = parse_schema(
        "n_tokens: int = 512  # of a bar\nkey: str = 'C'  # of the song\n"
        "max_token: int = 9  # last number\ntoken: str = ''  # none by default\n"
        "note: str = ''  # any words",
        "cell",
    )
    fine = {"n_tokens": 600, "key": "F sharp minor", "max_token": 5, "token": ""}
    check_values(schema, fine | {"note": "task-oriented-and-very-long-name of hf_transfer"})
