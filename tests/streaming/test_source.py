"""Sources: what their fingerprints cover, and what is known of them as a whole."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.streaming.source import BEGINNING, UNKNOWN, Position, Source, SourceFile

FILES = st.builds(
    SourceFile,
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    url=st.sampled_from(["/here/a", "https://there/b?c"]),
    size=st.integers(0, 2**50) | st.just(UNKNOWN),
    digest=st.sampled_from(["", "sha256:00", "etag:00"]),
    rows=st.none() | st.integers(0, 2**40),
)
LISTS = st.lists(FILES, max_size=5).map(tuple)


def known_by(files):
    return [(file.name, file.size, file.digest, file.rows) for file in files]


@settings(max_examples=40)
@given(LISTS, LISTS)
def test_lists_have_one_fingerprint_where_names_sizes_digests_and_rows_are_the_same(one, other):
    found = Source(name="a", files=one).fingerprint
    assert (Source(name="b", files=other).fingerprint == found) == (
        known_by(one) == known_by(other)
    )


@settings(max_examples=40)
@given(FILES, st.sampled_from(["name", "size", "digest", "rows"]))
def test_each_of_these_changes_the_fingerprint(file, field):
    other = {"name": file.name + "x", "size": 2**51, "digest": "md5:1", "rows": 2**41}[field]
    changed = dataclasses.replace(file, **{field: other})
    assert (
        Source(name="a", files=(file,)).fingerprint
        != Source(name="a", files=(changed,)).fingerprint
    )


@settings(max_examples=40)
@given(LISTS)
def test_where_the_files_are_and_what_the_server_is_told_is_no_part_of_it(files):
    moved = tuple(dataclasses.replace(file, url="/elsewhere") for file in files)
    plain = Source(name="a", files=files)
    other = Source(name="b", revision="abc", files=moved, headers={"authorization": "secret"})
    assert other.fingerprint == plain.fingerprint


def test_a_fingerprint_is_what_it_has_always_been():
    files = (
        SourceFile(name="a.parquet", url="/a", size=10, digest="footer:00", rows=3),
        SourceFile(name="บี.parquet", url="/b", size=UNKNOWN),
    )
    assert Source(name="any", files=files).fingerprint == (
        "f026110944ae342ead373becd94dbeac8b5a21070fd71a47bbaee8064ca3fbeb"
    )


@settings(max_examples=40)
@given(LISTS)
def test_sizes_and_rows_are_added_where_all_are_known(files):
    source = Source(name="a", files=files)
    sizes, rows = [file.size for file in files], [file.rows for file in files]
    assert source.size == (None if UNKNOWN in sizes else sum(sizes))
    assert source.rows == (None if None in rows else sum(rows))


def test_what_a_server_is_told_is_not_shown():
    assert "secret" not in repr(Source(name="a", files=(), headers={"authorization": "secret"}))


def test_positions_are_in_the_order_of_reading():
    assert Position() == BEGINNING == (0, 0)
    assert BEGINNING < Position(0, 5) < Position(1, 0) < Position(1, 1)


def test_a_source_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Source(name="a", files=()).files = ()
