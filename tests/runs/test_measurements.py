"""The table of measurements: through its file, as a page, and as bars."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from workbench.errors import RunsError
from workbench.figures import BLUE, ORANGE
from workbench.runs.measurements import (
    PAGE,
    PILLARS,
    TABLE,
    TIMES,
    Measurements,
    Row,
    read_measurements,
)
from workbench.runs.measurements_picture import gains_picture

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | numbers
rows = st.builds(
    Row,
    what=words,
    value=maybe,
    unit=st.sampled_from(["", TIMES, "s"]),
    least=maybe,
    most=maybe,
    reach=st.sampled_from(["", ">= 2.5", "<= 1e3"]),
    against=words,
    note=words,
    pillar=st.sampled_from(PILLARS),
    script=words,
)
tables = st.builds(
    Measurements,
    rows=st.lists(rows, max_size=8).map(tuple),
    is_quick=st.booleans(),
    date=words,
    machine=st.dictionaries(words, words, max_size=3),
    versions=st.dictionaries(words, words, max_size=3),
    commit=words,
    absent=st.lists(words, max_size=3).map(tuple),
)


def table_of(*some: Row) -> Measurements:
    return Measurements(rows=some, is_quick=False, date="today", machine={}, versions={})


def ratio(value: float, **more: object) -> Row:
    given = {"what": "work", "unit": TIMES, "against": "others", "pillar": "groove"}
    return Row(value=value, **given | more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


@given(table=tables)
def test_a_table_comes_out_of_its_file_as_it_went_in(folder, table):
    table.save(folder)
    assert read_measurements(folder) == table


@given(table=tables)
def test_every_row_is_one_line_of_its_pillar_on_the_page(table):
    lines = [line for line in table.page().splitlines() if line.startswith("| ")]
    assert len(lines) == len(table.rows) + len(table.pillars)
    assert {line.count("|") - line.count("\\|") for line in lines} <= {6}


@given(table=tables)
def test_every_row_is_counted_once(table):
    states = ("reached", "MISSED", "", "none")
    assert sum(map(table.count, states)) == len(table.rows)
    assert table.count("MISSED") == len(table.missed)


@given(st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3).map(sorted))
def test_a_ratio_that_should_be_small_is_turned_round_with_its_turns(ends):
    least, value, most = ends
    large = ratio(1 / value, least=1 / most, most=1 / least, reach=">= 1")
    small = ratio(value, least=least, most=most, reach="<= 1")
    assert small.gains == pytest.approx(large.gains)
    assert (small.gains[0] < 1) == (value > 1)
    assert small.gains[1] <= small.gains[0] <= small.gains[2]


def test_a_row_reaches_its_bound_and_misses_what_is_beyond():
    assert [ratio(value, reach=">= 2").state for value in (2.0, 1.9)] == ["reached", "MISSED"]
    assert [ratio(value, reach="<= 2").state for value in (2.0, 2.1)] == ["reached", "MISSED"]
    assert ratio(1.0).state == ""
    assert Row(what="x", value=None, reach=">= 1", note="skipped").state == "none"


def test_losing_rows_are_told_on_the_page_and_in_its_head():
    table = table_of(ratio(0.5), ratio(2.0), ratio(3.0, against=""))
    assert table.losing == (table.rows[0],)
    assert "2 stand beside something else; 1 of them lose" in table.page()
    assert "| work (beside others) | 0.5 times |" in table.page()


def test_what_was_small_or_not_measured_is_said_first_and_last():
    quick = Measurements(
        rows=(), is_quick=True, date="", machine={}, versions={}, absent=("window",)
    )
    assert quick.head()[0].startswith("QUICK")
    assert quick.head()[-1] == "not measured yet: window"


@pytest.mark.parametrize("torn", [b"", b"[1]", b'{"format": 1}', b'{"format": 9, "rows": []}'])
def test_a_table_that_cannot_be_read_says_where_and_what_to_do(tmp_path, torn):
    (tmp_path / TABLE).write_bytes(torn)
    with pytest.raises(RunsError, match=f"{TABLE}.*run `make bench`"):
        read_measurements(tmp_path)


def test_a_folder_without_a_table_says_what_to_do(tmp_path):
    with pytest.raises(RunsError, match="no measurements here; run `make bench`"):
        read_measurements(tmp_path)


def test_the_file_and_the_page_stand_side_by_side(tmp_path):
    path = table_of(ratio(2.0)).save(tmp_path)
    assert json.loads(path.read_bytes())["rows"][0]["value"] == 2.0
    assert (tmp_path / PAGE).read_text().startswith("# Measurements")


def test_bars_that_lose_go_to_the_left_in_another_colour():
    table = table_of(
        ratio(0.25, least=0.2, most=0.3),
        ratio(4.0),
        ratio(2.0, reach="<= 1", pillar="runs"),
        ratio(9.0, against=""),
    )
    picture = gains_picture(table)
    bars = picture.figure.axes[0].patches
    found = [(bar.get_x() + bar.get_width(), to_hex(bar.get_facecolor())) for bar in bars]
    assert found == [(0.25, ORANGE), (4.0, BLUE), (0.5, ORANGE)]
    assert repr(picture).startswith("3 ratios, 2 of them lose")


def test_a_table_of_plain_numbers_has_nothing_to_draw():
    with pytest.raises(RunsError, match="no row of the measurements stands beside"):
        gains_picture(table_of(ratio(1.0, against="")))
