"""Fingerprints: equal for equal values, different for different ones, the same for all time."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.caching.fingerprint import canonical_json, fingerprint, source_fingerprint

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@dataclass(frozen=True, slots=True)
class Point:
    """A dataclass that fingerprints meet."""

    x: int
    where: Path
    near: tuple["Point", ...] = ()


def told_apart(value):
    """Return a value with every scalar's type beside it, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: told_apart(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [told_apart(inner) for inner in value]
    return (type(value).__name__, repr(value))


@given(VALUES)
def test_the_canonical_text_is_json_that_means_the_value(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(VALUES, VALUES)
def test_values_have_one_fingerprint_exactly_when_they_are_equal(one, other):
    is_same = told_apart(one) == told_apart(other)
    assert (fingerprint(one) == fingerprint(other)) == is_same


@given(st.dictionaries(TEXT, st.integers(), min_size=2, max_size=6))
def test_the_order_of_keys_does_not_matter(values):
    turned = dict(reversed(values.items()))
    assert fingerprint(turned) == fingerprint(values)
    swapped = dict(zip(values, reversed(values.values()), strict=True))
    assert (fingerprint(swapped) == fingerprint(values)) == (swapped == values)


def test_fingerprints_never_change():
    value = {"b": [1, 2.5, None, True], "a": "Ü", "where": Path("x/y")}
    text = '{"a":"Ü","b":[1,2.5,null,true],"where":"x/y"}'
    assert canonical_json(value) == text
    assert fingerprint(value) == hashlib.sha256(text.encode()).hexdigest()


def test_dataclasses_are_their_fields_and_paths_their_text():
    point = Point(1, Path("a"), (Point(2, Path("b")),))
    plain = {"x": 1, "where": "a", "near": [{"x": 2, "where": "b", "near": []}]}
    assert fingerprint(point) == fingerprint(plain)
    assert fingerprint(Point(1, Path("a"))) != fingerprint(Point(1, Path("b")))


def test_names_that_are_no_utf_8_have_fingerprints_too():
    one, other = (b"\xfe.mid".decode(errors="surrogateescape"), "\udcff.mid")
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint([one]) == fingerprint((one,))


@pytest.mark.parametrize("value", [{1, 2}, Point, float("nan"), float("inf"), PurePosixPath("a")])
def test_what_has_no_canonical_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        fingerprint({"value": value})


def test_another_process_finds_the_same():
    code = (
        "from workbench.caching.fingerprint import *; print(fingerprint({'b': {'y': 1}, 'a': 2}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == fingerprint({"a": 2, "b": {"y": 1}})


@pytest.fixture
def sources(tmp_path):
    """Return three source files, two of one name and content."""
    for name in ("a/__init__.py", "b/__init__.py", "a/code.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"" if "init" in name else b"x = 1\ny = 2\n")
    return sorted(tmp_path.rglob("*.py"))


def test_sources_have_one_fingerprint_in_any_order_and_with_any_line_ends(sources):
    whole = source_fingerprint(sources)
    assert source_fingerprint(reversed(sources)) == whole
    sources[1].write_bytes(b"x = 1\r\ny = 2\r\n")
    assert source_fingerprint(sources) == whole


def test_any_change_to_the_sources_changes_their_fingerprint(sources):
    found = [source_fingerprint(sources)]
    found.append(source_fingerprint(sources[:2]))  # one of the two empty files is gone
    (code,) = [file for file in sources if file.name == "code.py"]
    code.write_bytes(b"x = 1\ny = 3\n")
    found.append(source_fingerprint(sources))
    code.rename(code.with_name("other.py"))
    found.append(source_fingerprint([*sources[:1], code.with_name("other.py"), sources[2]]))
    assert len(set(found)) == len(found)


def test_a_source_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="gone"):
        source_fingerprint([tmp_path / "gone.py"])
