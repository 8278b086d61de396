import fcntl
import json
import logging
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import RunsError
from workbench.runs.journal import JOURNAL, append, last_failures, read
from workbench.runs.occupying import alone

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
RECORDS = st.fixed_dictionaries(
    {
        "notebook": TEXT,
        "run": TEXT,
        "status": st.sampled_from(["done", "failed"]),
        "results": st.dictionaries(TEXT, st.integers() | TEXT, max_size=3),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
def test_an_index_cut_anywhere_keeps_its_whole_records_and_takes_more(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, object]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("index") / "runs.jsonl"
    for record in records:
        append(path, record)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    told = [{"format": 1, **record} for record in records]
    assert read(path) == told[:whole]
    append(path, records[0])
    assert read(path) == [*told[:whole], told[0]]
    assert path.read_bytes().endswith(b"\n")


def test_what_is_no_record_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "runs.jsonl"
    good = json.dumps({"format": 1, "notebook": "a", "run": "b", "status": "done"})
    path.write_text(f'{good}\nnonsense\n[]\n{{"format": 1}}\n{good}\n{good[:20]}')
    with caplog.at_level(logging.WARNING):
        assert [record["run"] for record in read(path)] == ["b", "b"]
    places = [record.getMessage().removeprefix(str(path)) for record in caplog.records]
    assert places == [f", line {n}: is no record, passed over" for n in (2, 3, 4)] + [
        ": its last record is torn (20 bytes), passed over"
    ]


def test_an_index_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "runs.jsonl") == []


def _append_many(path: Path, writer: int) -> None:
    for number in range(20):
        with path.open("ab") as file:  # what a writer leaves that is killed with the lock
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"{torn")
        append(path, {"notebook": str(writer), "run": str(number), "status": "done"})


def test_many_writers_of_whom_some_are_killed_lose_no_record(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [(record["notebook"], record["run"]) for record in read(path)]
    assert sorted(found) == sorted((str(w), str(n)) for w in range(4) for n in range(20))


def test_a_name_is_held_by_one_and_free_after_its_end(tmp_path: Path) -> None:
    with alone(tmp_path, ["a.tiny", "b.tiny"]):
        with alone(tmp_path, ["c.tiny"]):
            pass
        with (
            pytest.raises(RunsError, match=r"process \d+ on .+ is at work on b\.tiny"),
            alone(tmp_path, ["b.tiny", "c.tiny"]),
        ):
            raise AssertionError
        with alone(tmp_path, ["c.tiny"]):  # what a refused runner held is free
            pass
    with alone(tmp_path, ["b.tiny"]):
        pass


def test_the_last_failures_are_those_of_runs_that_did_not_end_well_since(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    assert last_failures(path) == []
    told = {"type": "ValueError", "message": "no drum", "cell": 3}
    for name, status, error in (
        ("a-1", "failed", told),
        ("a-2", "failed", told | {"cell": None}),
        ("a-3", "failed", None),
        ("a-1", "done", None),
        ("a-4", "failed", told),
        ("a-2", "failed", told),
    ):
        record = {"notebook": "beats", "run": name, "status": status, "error": error}
        append(path, record)
    assert last_failures(path) == [
        "beats/a-2: cell 3: ValueError: no drum",
        "beats/a-4: cell 3: ValueError: no drum",
        "beats/a-3",
    ]
    assert len(last_failures(path, most=1)) == 1
