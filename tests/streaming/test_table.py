"""Tables: what was written is read, from any line on; what is no table is told with its line."""

import csv
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SourceError
from workbench.streaming.table import TableRows

# Names of the columns of a line, and what csv cannot tell from nothing, are kept out.
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0\ufeff"))
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))
FIRST = st.text(st.characters(categories=["L", "N"]), min_size=1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


def tsv(folder, lines, ending="\n"):
    path = folder / f"{uuid.uuid4().hex}.tsv"
    path.write_bytes("".join("\t".join(line) + ending for line in lines).encode())
    return path


def read(path, rows_of, row, batch_rows):
    batches = rows_of(path, file=0, row=row, batch_rows=batch_rows)
    return [(first, batch.to_pylist()) for first, batch in batches]


def flat(batches):
    return [(first + at, row) for first, rows in batches for at, row in enumerate(rows)]


def none_for_empty(lines, names):
    return [dict(zip(names, (value or None for value in line), strict=True)) for line in lines]


@settings(max_examples=50)
@given(st.data())
def test_reading_from_any_line_agrees_with_reading_all(scratch, data):
    has_names, ending = data.draw(st.booleans()), data.draw(st.sampled_from(["\n", "\r\n"]))
    lines = data.draw(st.lists(st.tuples(FIRST, PLAIN, PLAIN), max_size=12))
    batch_rows, row = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 13))
    names = ("path", "sentence", "locale")
    path = tsv(scratch, [names, *lines] if has_names else lines, ending)
    rows_of = TableRows() if has_names else TableRows(names=names)
    whole = read(path, rows_of, 0, batch_rows)
    assert [row for _, row in flat(whole)] == none_for_empty(lines, names)
    assert all(first % batch_rows == 0 for first, _ in whole)
    begun = row - row % batch_rows
    assert read(path, rows_of, row, batch_rows) == [part for part in whole if part[0] >= begun]
    assert rows_of.count(path) == len(lines)
    assert rows_of.columns(path) == names


@settings(max_examples=50)
@given(st.lists(st.tuples(FIRST, ANY), max_size=8), st.integers(0, 9))
def test_commas_quotes_and_line_ends_within_values_of_csv_come_back(scratch, lines, row):
    path = scratch / f"{uuid.uuid4().hex}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "sentence"), *lines])
    want = list(enumerate(none_for_empty(lines, ("path", "sentence"))))
    assert flat(read(path, TableRows(), row, 3)) == want[row - row % 3 :]


def test_quotes_in_a_tsv_are_signs_like_others(tmp_path):
    lines = [("a.mp3", '"He said'), ("b.mp3", "nothing"), ("c.mp3", 'more"')]
    path = tsv(tmp_path, [("path", "sentence"), *lines])
    assert [row["sentence"] for _, row in flat(read(path, TableRows(), 0, 10))] == [
        '"He said',
        "nothing",
        'more"',
    ]


def test_short_lines_have_nulls_long_ones_lose_their_end_and_blank_ones_are_none(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b"\xef\xbb\xbfpath\tsentence\n\na\nb\tc\td\n\n")
    assert flat(read(path, TableRows(), 0, 10)) == [
        (0, {"path": "a", "sentence": None}),
        (1, {"path": "b", "sentence": "c"}),
    ]
    assert TableRows().count(path) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"", "is empty; want a first line"),
        ("a.tsv", b"path\tpath\n", "names a column twice"),
        ("a.tsv", b"path\tsentence\na\t\xff\xfe\n", "is no line of a table"),
        ("a.csv", b'path,sentence\na,b\nc,"never closed\nd,e\n', "line 3 is no line of a table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read(path, TableRows(), 0, 10)
