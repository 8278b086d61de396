"""Look-ups: what was put in is found, the first of a key; nothing else is."""

import sqlite3
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import StreamingError
from workbench.streaming.lookup import look_up, make_lookup

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(st.tuples(st.none() | TEXT, st.none() | TEXT, TEXT), max_size=30)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("lookup")


@given(ROWS, st.lists(TEXT, max_size=5))
def test_the_first_row_of_every_key_is_found_and_no_other_key(scratch, rows, others):
    path = scratch / f"{uuid.uuid4().hex} ?#.sqlite"
    make_lookup(path, rows, ["key", "text", "speaker"])
    want = {}
    for key, *values in rows:
        if key:
            want.setdefault(key, tuple(values))
    keys = [*want, *others]
    assert look_up(path, keys) == {key: want[key] for key in keys if key in want}


def test_thousands_of_keys_are_found_at_once(tmp_path):
    path = tmp_path / "many.sqlite"
    make_lookup(path, ((f"k{n}", str(n)) for n in range(3000)), ["key", "number"])
    assert look_up(path, [f"k{n}" for n in range(3000)])["k2999"] == ("2999",)


def test_a_failure_on_the_way_leaves_nothing(tmp_path):
    def rows():
        yield "a", "1"
        raise ValueError("the table broke off")

    with pytest.raises(ValueError, match="broke off"):
        make_lookup(tmp_path / "x.sqlite", rows(), ["key", "text"])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "x.sqlite").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(StreamingError, match=r"cannot be read .*; delete it"):
        look_up(tmp_path / "x.sqlite", ["a"])


def test_many_rows_take_little_memory(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from workbench.streaming.lookup import look_up, make_lookup
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = ((f"{n // 1000}-{n % 1000}-{n}", "some words that were said " * 2) for n in range(300_000))
make_lookup(path, rows, ["key", "text"])
assert len(look_up(path, ["7-7-7007", "299-999-299999", "no"])) == 2
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "x.sqlite")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    with sqlite3.connect(tmp_path / "x.sqlite") as base:
        assert base.execute("SELECT COUNT(*) FROM found").fetchone() == (300_000,)
    assert (tmp_path / "x.sqlite").stat().st_size > 20e6
    assert grown < 15  # MiB
