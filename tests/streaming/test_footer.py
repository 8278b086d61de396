"""Columns of a file far away, by its footer alone."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.errors import SourceError
from workbench.streaming.footer import first_schema
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.options import RetryOptions

QUICK = RetryOptions(attempts=2, first_wait_seconds=0.01, timeout_seconds=2.0)


def written(path, columns=2, size=300_000):
    table = pa.table({f"column_{n:04}": pa.array([b"x" * size]) for n in range(columns)})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    return table.schema


def asked_of(hub, monkeypatch):
    """Return what answers the hub has given: their bytes."""
    seen = []
    real = hub.answer

    def answer(request):
        given = real(request)
        seen.append(given.length if request.method == "GET" else 0)
        return given

    monkeypatch.setattr(hub, "answer", answer)
    return seen


def test_columns_are_told_wherever_the_file_lies(hub, tmp_path):
    schema = written(tmp_path / "a.parquet")
    url = hub.publish("a.parquet", tmp_path / "a.parquet")
    with fsspec.open("memory://footer/a.parquet", "wb") as file:
        file.write((tmp_path / "a.parquet").read_bytes())
    for place in (str(tmp_path), url, "memory://footer/a.parquet"):
        assert first_schema(open_source(place), QUICK).equals(schema), place


@pytest.mark.parametrize("columns", [2, 1500])
def test_only_the_footer_of_a_file_is_fetched(hub, tmp_path, monkeypatch, columns):
    size = 300_000 if columns == 2 else 3_000
    schema = written(tmp_path / "a.parquet", columns, size)
    source = open_source(hub.publish("a.parquet", tmp_path / "a.parquet"))
    seen = asked_of(hub, monkeypatch)
    hub.faults.add(match="GET", kind="503")
    assert first_schema(source, QUICK).equals(schema)
    assert len(seen) == (2 if columns == 1500 else 1)  # a long footer is asked for again
    assert sum(seen) < (tmp_path / "a.parquet").stat().st_size / 4


def test_a_server_of_whole_files_tells_nothing(hub, tmp_path, monkeypatch):
    written(tmp_path / "a.parquet")
    source = open_source(hub.publish("a.parquet", tmp_path / "a.parquet"))
    monkeypatch.setattr("hub_interface.part_of", lambda size, asked: None)
    assert first_schema(source, QUICK) is None


def test_what_is_no_parquet_or_is_gone_is_told_by_its_address(hub, tmp_path):
    source = open_source(hub.publish("b.parquet", b"no footer" * 1000))
    with pytest.raises(SourceError, match=r"b\.parquet: cannot be read as Parquet"):
        first_schema(source, QUICK)
    hub.withdraw("b.parquet")
    with pytest.raises(SourceError, match=r"b\.parquet.*404"):
        first_schema(source, QUICK)
    written(tmp_path / "c.parquet")
    there = folder_source(tmp_path)
    (tmp_path / "c.parquet").write_bytes(b"gone")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        first_schema(there)
