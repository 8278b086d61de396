"""How far a gather is: rows that were met, and rows to come as far as anybody can know."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.progress import Progress
from workbench.speech.outlook import Outlook
from workbench.speech.plan import Plan
from workbench.speech.source import SpeechSource
from workbench.speech.state import GatherState, SourceState
from workbench.streaming.reader import ParquetRows
from workbench.streaming.source import UNKNOWN, Source, SourceFile

FILES = st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**6)), min_size=1, max_size=5)


def outlook_of(*lists, state=None, shown=None):
    """Return the outlook on sources `s0`, `s1`, …, each with (size, rows or None) of its files."""
    sources = {}
    for number, files in enumerate(lists):
        told = tuple(
            SourceFile(name=f"{n}", url=f"/s{number}/{n}", size=size, rows=rows)
            for n, (size, rows) in enumerate(files)
        )
        sources[f"s{number}"] = SpeechSource(
            said=f"s{number}",
            name=f"s{number}",
            list=Source(name=f"s{number}", files=told),
            rows_of=ParquetRows(),
            clips_of=lambda batch: batch,
        )
    state = state or state_of(*(source(said) for said in sources))
    plan = Plan(state=state, sources=sources, failed={}, begins=True, resets=False)
    return Outlook(plan, (shown if shown is not None else []).append), plan


def state_of(*sources, **more):
    return GatherState(settings={}, sources=sources, **more)


def source(name, **more):
    return SourceState(said=name, name=name, revision="", fingerprint="", **more)


def fetch(outlook, plan, said, index, path):
    outlook.fetched(plan.sources[said].list.files[index], path)


@given(FILES, FILES)
def test_rows_that_are_known_of_every_file_are_the_total(one, two):
    outlook, _ = outlook_of(one, two)
    assert outlook.total() == sum(rows for _, rows in one + two)


@given(FILES, st.data())
def test_rows_that_are_not_known_are_estimated_from_bytes(files, data):
    known = data.draw(st.integers(1, len(files)))
    outlook, _ = outlook_of(
        [(size, rows if n < known else None) for n, (size, rows) in enumerate(files)]
    )
    rows = sum(rows for _, rows in files[:known])
    share = sum(size for size, _ in files[:known]) / sum(size for size, _ in files)
    assert outlook.total() == pytest.approx(rows / share, abs=1)
    assert outlook.total() >= rows


@pytest.mark.parametrize(
    "files", [[(10, None)], [(UNKNOWN, None)], [(10, 5), (UNKNOWN, None)], [(0, 0), (10, None)]]
)
def test_where_nothing_tells_the_rows_there_is_no_total(files):
    assert outlook_of(files)[0].total() is None


def test_a_file_that_arrives_tells_its_rows_by_its_footer(tmp_path):
    outlook, plan = outlook_of([(100, None), (300, None)])
    pq.write_table(pa.table({"x": range(7)}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"damaged")
    (tmp_path / "c.tar").write_bytes(b"")
    for name in ("b.parquet", "c.tar", "gone.parquet"):
        fetch(outlook, plan, "s0", 1, tmp_path / name)
        assert outlook.total() is None
    fetch(outlook, plan, "s0", 0, tmp_path / "a.parquet")
    assert outlook.total() == 28
    fetch(outlook, plan, "s0", 1, tmp_path / "a.parquet")
    assert outlook.total() == 14


def test_rows_kept_and_left_out_are_told_with_hours_and_bytes():
    shown: list[Progress] = []
    begun = state_of(source("s0", kept=2, skipped={"empty": 1}), rows=2)
    outlook, _ = outlook_of([(100, 10)], state=begun, shown=shown)
    outlook.arrived(1_500_000)
    outlook.arrived(1_000_000)
    held = source("s0", kept=6, skipped={"empty": 1, "too_long": 2}, microseconds=7_200_000_000)
    outlook.tell(state_of(held, rows=6, shards=3))
    (told,) = shown
    assert (told.stage, told.unit) == ("gather", "rows")
    assert (told.done, told.total, told.fresh) == (9, 10, 6)
    assert told.numbers == {"kept": 6, "skipped": 3, "shards": 3, "hours": 2.0, "MB fetched": 2.5}
    assert not told.is_last


def test_sources_of_earlier_runs_count_as_done_and_in_the_total():
    shown: list[Progress] = []
    earlier = source("before", kept=40, skipped={"empty": 2}, is_done=True)
    outlook, _ = outlook_of(
        [(100, 10)], state=state_of(earlier, source("s0"), rows=40), shown=shown
    )
    outlook.tell(state_of(earlier, source("s0", kept=3), rows=43))
    assert (shown[0].done, shown[0].total, shown[0].fresh) == (45, 52, 3)


def test_rows_of_an_older_program_count_as_they_are_passed_over():
    shown: list[Progress] = []
    older = {"s0": 4}
    outlook, _ = outlook_of(
        [(100, 10)], state=state_of(source("s0", to_pass=4), older_rows=older), shown=shown
    )
    outlook.tell(state_of(source("s0", to_pass=1), older_rows=older))
    outlook.tell(state_of(source("s0", kept=5, skipped={"empty": 1}), rows=5, older_rows=older))
    assert [(told.done, told.total, told.fresh) for told in shown] == [(3, 10, 3), (10, 10, 10)]
    assert [told.numbers["skipped"] for told in shown] == [0, 1]


@given(st.integers(0, 100), st.integers(0, 100))
def test_more_is_never_done_than_there_is_and_the_end_is_told(rows, kept):
    shown: list[Progress] = []
    outlook, _ = outlook_of([(100, rows)], shown=shown)
    state = state_of(source("s0", kept=kept), rows=kept)
    outlook.tell(state)
    outlook.tell(state, is_last=True)
    assert shown[0].total == (rows if kept <= rows else None)
    assert shown[1].total == shown[1].done == kept
    assert shown[1].is_last
