"""The writer: shards that depend on rows alone, within their limits, whole or not at all."""

import itertools
import os
import subprocess
import sys
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import data_pages, flipped, small_disk

from workbench.errors import SinkError
from workbench.streaming.writer import Coding, ShardLimits, ShardWriter, row_sizes

RAW = ("audio.bytes",)
SCHEMA = pa.schema(
    [
        ("ID", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("transcript", pa.string()),
        ("length", pa.float32()),
        ("source_ref", pa.struct([("file", pa.string()), ("row", pa.int64())])),
    ]
)
FIXED = 4 + 8  # bytes of a row's numbers
GOOD = ShardLimits()

TEXTS = st.none() | st.text(st.sampled_from("aกี🎵"), max_size=6)
RECORDS = st.fixed_dictionaries(
    {
        "ID": TEXTS,
        "audio": st.none()
        | st.fixed_dictionaries(
            {"bytes": st.none() | st.binary(max_size=60), "path": st.none() | st.just("p.wav")}
        ),
        "transcript": TEXTS,
        "length": st.none() | st.floats(width=32, allow_nan=False),
        "source_ref": st.none()
        | st.fixed_dictionaries({"file": TEXTS, "row": st.none() | st.integers(0, 2**40)}),
    }
)
ROWS = st.lists(RECORDS, max_size=25)
LIMITS = st.builds(
    ShardLimits,
    rows=st.integers(1, 12),
    size=st.integers(1, 600),
    group_rows=st.integers(1, 6),
    group_size=st.integers(1, 250),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder that examples share; each makes one of its own in it."""
    return tmp_path_factory.mktemp("writer")


def batch_of(rows):
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def cut(batch, places):
    """Return a batch in pieces that end at some places, some of them empty."""
    ends = [0, *sorted(place % (batch.num_rows + 1) for place in places), batch.num_rows]
    return [batch.slice(begin, end - begin) for begin, end in itertools.pairwise(ends)]


def write_all(batches, folder, limits, raw_columns=RAW):
    """Write batches to as many shards as they need, and return those, each with its writer."""
    found = []
    folder.mkdir(parents=True)

    def begun():
        path = folder / f"{len(found):05d}.parquet"
        found.append((path, ShardWriter(path, SCHEMA, limits, raw_columns)))
        return found[-1][1]

    writer = begun()
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            taken = writer.append(batch.slice(at))
            assert 0 <= taken <= batch.num_rows - at
            at += taken
            if at < batch.num_rows:
                assert writer.append(batch.slice(at)) == 0  # it is full and stays so
                writer.close()
                writer = begun()
                assert writer.append(batch.slice(at, 1)) == 1  # one row always has a place
                at += 1
    writer.close()
    return found


def size_of(record):
    """Return the bytes of a record's values, counted by hand."""
    audio, reference = record["audio"] or {}, record["source_ref"] or {}
    texts = [record["ID"], audio.get("path"), record["transcript"], reference.get("file")]
    return FIXED + len(audio.get("bytes") or b"") + sum(len((t or "").encode()) for t in texts)


# --- where shards and row groups end


@settings(max_examples=25)
@given(ROWS, LIMITS, st.lists(st.integers(0, 25), max_size=5), st.lists(st.integers(0, 25)))
def test_shards_are_the_same_bytes_however_the_rows_come_in(scratch, rows, limits, one, other):
    batch = batch_of(rows)
    folders = [scratch / uuid.uuid4().hex for _ in range(3)]
    ways = [cut(batch, one), cut(batch, other), [batch_of([row]) for row in rows]]
    found = []
    for folder, batches in zip(folders, ways, strict=True):
        found.append([path.read_bytes() for path, _ in write_all(batches, folder, limits)])
    assert found[0] == found[1] == found[2]


@settings(max_examples=40)
@given(ROWS, LIMITS, st.lists(st.integers(0, 25), max_size=3))
def test_every_row_is_there_in_order_and_no_limit_is_passed(scratch, rows, limits, places):
    found = write_all(cut(batch_of(rows), places), scratch / uuid.uuid4().hex, limits)
    at = 0
    for path, writer in found:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            groups = [
                parquet.read_row_group(number).to_pylist()
                for number in range(parquet.num_row_groups)
            ]
        held = [row for group in groups for row in group]
        assert held == batch_of(rows[at : at + len(held)]).to_pylist()
        at += len(held)
        sizes = [size_of(row) for row in held]
        assert (writer.rows, writer.size) == (len(held), sum(sizes))
        assert len(held) <= limits.rows
        assert sum(sizes) <= limits.size or len(held) == 1
        for group in groups:
            assert 0 < len(group) <= limits.group_rows
            assert sum(map(size_of, group)) <= limits.group_size or len(group) == 1
        for before, after in itertools.pairwise(groups):  # none ends too early
            size = sum(map(size_of, before)) + size_of(after[0])
            assert len(before) == limits.group_rows or size > limits.group_size
        if at < len(rows):
            is_full = sum(sizes) + size_of(rows[at]) > limits.size
            assert len(held) == limits.rows or is_full
    assert at == len(rows)


@settings(max_examples=40)
@given(ROWS, st.integers(0, 25), st.integers(0, 25))
def test_sizes_are_those_of_the_values(rows, begin, count):
    sizes = row_sizes(batch_of(rows))
    assert sizes.dtype == np.int64
    assert sizes.tolist() == [size_of(row) for row in rows]
    part = row_sizes(batch_of(rows).slice(begin, count))
    assert part.tolist() == sizes[begin : begin + count].tolist()


def test_sizes_of_lists_and_of_structs_in_structs_are_those_of_their_values():
    inner = pa.struct([("deep", pa.large_string())])
    schema = pa.schema(
        [("list", pa.list_(pa.float32())), ("in", pa.struct([("in", inner)])), ("is", pa.bool_())]
    )
    rows = [
        {"list": [1, 2], "in": {"in": {"deep": "กa"}}, "is": True},
        {"list": None, "in": None, "is": None},
        {"list": [], "in": {"in": None}, "is": False},
        {"list": [3], "in": {"in": {"deep": None}}, "is": None},
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    assert row_sizes(batch).tolist() == [8 + 4 + 1, 1, 1, 4 + 1]
    assert row_sizes(batch.slice(2)).tolist() == [1, 4 + 1]


def test_such_columns_are_written_and_read_again(tmp_path):
    inner = pa.struct([("deep", pa.binary()), ("numbers", pa.list_(pa.int32()))])
    schema = pa.schema([("outer", pa.struct([("inner", inner)]))])
    rows = [{"outer": {"inner": {"deep": b"a" * 50, "numbers": [1, 2]}}}, {"outer": None}]
    raw = ["outer.inner.deep"]
    with ShardWriter(tmp_path / "a.parquet", schema, GOOD, raw) as writer:
        assert writer.append(pa.RecordBatch.from_pylist(rows, schema=schema)) == 2
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    packed = {group.column(i).path_in_schema: group.column(i).compression for i in range(2)}
    assert packed == {
        "outer.inner.deep": "UNCOMPRESSED",
        "outer.inner.numbers.list.element": "ZSTD",
    }


def test_a_row_larger_than_all_limits_has_a_shard_to_itself(tmp_path):
    sounds = [10, 5000, 20, 30]
    rows = [{"ID": f"{n}", "audio": {"bytes": b"x" * n}} for n in sounds]
    limits = ShardLimits(size=1000, group_size=100)
    found = write_all([batch_of(rows)], tmp_path / "a", limits)
    assert [writer.rows for _, writer in found] == [1, 1, 2]


def test_a_batch_without_rows_changes_nothing(tmp_path):
    path = tmp_path / "a.parquet"
    with ShardWriter(path, SCHEMA, GOOD, RAW) as writer:
        assert writer.append(batch_of([])) == 0
        assert (writer.rows, writer.size) == (0, 0)
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path) == SCHEMA


# --- how columns are written


@pytest.fixture
def shard(tmp_path):
    """A shard of two row groups, with sentences and silence, which shrinks well."""
    path = tmp_path / "shard.parquet"
    rows = [
        {
            "ID": f"S{number}",
            "audio": {"bytes": bytes([number]) * 2000, "path": f"S{number}.wav"},
            "transcript": "the same words every time",
            "length": 1.0,
            "source_ref": {"file": "a.parquet", "row": number},
        }
        for number in range(20)
    ]
    with ShardWriter(path, SCHEMA, ShardLimits(group_rows=10), RAW) as writer:
        assert writer.append(batch_of(rows)) == 20
    return path


def test_raw_columns_are_written_as_they_are_and_others_small(shard):
    metadata = pq.read_metadata(shard)
    assert metadata.num_row_groups == 2
    for group in map(metadata.row_group, range(2)):
        columns = {c.path_in_schema: c for c in map(group.column, range(metadata.num_columns))}
        raw = columns.pop("audio.bytes")
        assert raw.compression == "UNCOMPRESSED"
        assert raw.statistics is None
        assert not any("DICTIONARY" in encoding for encoding in raw.encodings)
        assert raw.total_compressed_size >= 10 * 2000
        for column in columns.values():
            assert column.compression == "ZSTD"
            assert column.statistics is not None
        assert any("DICTIONARY" in encoding for encoding in columns["transcript"].encodings)


def test_all_columns_may_be_raw_or_none(tmp_path):
    schema = pa.schema([("a", pa.binary()), ("b", pa.binary())])
    batch = pa.record_batch([[b"x" * 100] * 5, [b"y"] * 5], schema=schema)
    for raw in (["a", "b"], []):
        path = tmp_path / f"{len(raw)}.parquet"
        with ShardWriter(path, schema, GOOD, raw) as writer:
            writer.append(batch)
        chunk = pq.read_metadata(path).row_group(0).column(0)
        assert chunk.compression == ("UNCOMPRESSED" if raw else "ZSTD")
        assert pq.read_table(path).to_batches() == [batch]


@pytest.mark.parametrize("column", ["ID", "audio.bytes", "audio.path", "transcript", "length"])
def test_pages_of_every_column_carry_checksums(shard, column):
    content = shard.read_bytes()
    for page in data_pages(content, column):
        shard.write_bytes(flipped(content, page[-1]))
        with pytest.raises(OSError, match="CRC"):
            pq.read_table(shard, columns=[column], page_checksum_verification=True)


def test_another_process_writes_the_same_bytes(shard, tmp_path):
    code = """
import sys, pyarrow.parquet as pq
from pathlib import Path
from workbench.streaming.writer import ShardLimits, ShardWriter
source, target = map(Path, sys.argv[1:])
with ShardWriter(target, pq.read_schema(source), ShardLimits(group_rows=10), ["audio.bytes"]) as w:
    for batch in pq.ParquetFile(source).iter_batches(7):
        w.append(batch)
"""
    other = tmp_path / "other.parquet"
    tokens = [sys.executable, "-c", code, str(shard), str(other)]
    subprocess.run(tokens, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert other.read_bytes() == shard.read_bytes()


# --- whole or not at all


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_shard_whose_block_ends_by_an_exception_leaves_nothing(tmp_path, error):
    with (
        pytest.raises(error),
        ShardWriter(tmp_path / "new" / "a.parquet", SCHEMA, ShardLimits(group_rows=1)) as writer,
    ):
        writer.append(batch_of([{"ID": "a"}, {"ID": "b"}]))
        raise error
    assert list((tmp_path / "new").iterdir()) == []


def test_what_was_at_its_place_is_replaced(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"something else" * 1000)
    with ShardWriter(path, SCHEMA, GOOD) as writer:
        writer.append(batch_of([{"ID": "a"}]))
    assert pq.read_table(path)["ID"].to_pylist() == ["a"]


def test_it_may_be_closed_within_its_block(tmp_path):
    with ShardWriter(tmp_path / "a.parquet", SCHEMA, GOOD) as writer:
        writer.append(batch_of([{"ID": "a"}]))
        writer.close()
        before = writer.path.read_bytes()
    assert writer.path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "file" / "a.parquet"
    with pytest.raises(SinkError, match="could not be written") as told:
        ShardWriter(path, SCHEMA, GOOD)
    assert str(told.value).startswith(f"{path}: ")
    assert (tmp_path / "file").read_text() == "mine"


def noise(count, size=20_000):
    sound = np.random.default_rng(count).bytes(count * size)
    return batch_of([{"audio": {"bytes": sound[n * size :][:size]}} for n in range(count)])


def refused(told, path):
    assert str(told.value).startswith(f"{path}: could not be written (")
    assert "o space left on device" in str(told.value)
    assert "make room there" in str(told.value)
    assert told.value.exit_code == 6


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path):
    with small_disk(tmp_path / "disk", 200_000) as disk:
        path = disk / "data" / "a.parquet"
        with (
            pytest.raises(SinkError) as told,
            ShardWriter(path, SCHEMA, ShardLimits(group_rows=2), RAW) as writer,
        ):
            assert writer.append(noise(5)) == 5
            writer.append(noise(30))
        refused(told, path)
        assert list(path.parent.iterdir()) == []
        (disk / "room").write_bytes(bytes(150_000))  # what was written is given back


def test_a_disk_that_is_full_at_the_end_is_told_and_nothing_is_left(tmp_path):
    with small_disk(tmp_path / "disk", 200_000) as disk:
        path = disk / "a.parquet"
        writer = ShardWriter(path, SCHEMA, GOOD, RAW)
        assert writer.append(noise(30)) == 30  # it all waits in memory
        with pytest.raises(SinkError) as told:
            writer.close()
        refused(told, path)
        assert list(disk.iterdir()) == []
        (disk / "room").write_bytes(bytes(150_000))


def test_a_disk_that_is_full_at_the_beginning_is_told_and_nothing_is_left(tmp_path):
    with small_disk(tmp_path / "disk", 100_000) as disk:
        (disk / "mine").write_bytes(bytes(100_000 // 4096 * 4096 + 4096))
        path = disk / "a.parquet"
        with pytest.raises(SinkError) as told, ShardWriter(path, SCHEMA, GOOD) as writer:
            writer.append(noise(1))
        refused(told, path)
        assert [file.name for file in disk.iterdir()] == ["mine"]


# --- row groups of one's own, and how columns are written


def test_a_group_of_its_own_ends_what_waits_and_stays_whole_whatever_the_limits(tmp_path):
    limits = ShardLimits(rows=3, group_rows=2)
    with ShardWriter(tmp_path / "a.parquet", SCHEMA, limits, RAW) as writer:
        assert writer.append(noise(1)) == 1
        writer.append_group(noise(5))
        writer.append_group(noise(4))
        assert (writer.rows, writer.append(noise(1))) == (10, 0)
    with pq.ParquetFile(tmp_path / "a.parquet") as parquet:
        groups = [parquet.read_row_group(number) for number in range(parquet.num_row_groups)]
    assert [len(group) for group in groups] == [1, 5, 4]
    assert groups[1].to_pylist() == noise(5).to_pylist()


def test_a_full_disk_is_told_by_groups_of_their_own_too(tmp_path):
    with small_disk(tmp_path / "disk", 200_000) as disk:
        path = disk / "a.parquet"
        with pytest.raises(SinkError) as told, ShardWriter(path, SCHEMA, GOOD, RAW) as writer:
            for _ in range(100):
                writer.append_group(noise(5))
        refused(told, path)
        assert list(disk.iterdir()) == []


def test_columns_are_written_as_they_are_asked_for(tmp_path):
    schema = pa.schema([(name, pa.int64()) for name in ("usual", "raw", "plain", "short")])
    coding = Coding(raw=["raw"], plain=["plain"], short=["short"], statistics=["short"])
    batch = pa.record_batch([[7] * 1000] * 4, schema=schema)
    with ShardWriter(tmp_path / "a.parquet", schema, GOOD, coding=coding) as writer:
        writer.append_group(batch)
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    told = {
        column.path_in_schema: (
            column.compression,
            column.has_dictionary_page,
            column.is_stats_set,
        )
        for column in map(group.column, range(4))
    }
    assert told == {
        "usual": ("ZSTD", True, False),
        "raw": ("UNCOMPRESSED", False, False),
        "plain": ("ZSTD", False, False),
        "short": ("UNCOMPRESSED", True, True),
    }


# --- memory

MEMORY = """
import sys
import pyarrow as pa
from pathlib import Path
from workbench.streaming.writer import ShardLimits, ShardWriter
schema = pa.schema([("audio", pa.binary())])
batch = pa.record_batch([[bytes(64_000)] * 50], schema=schema)  # 3.2 MB
limits = ShardLimits(group_rows=10**6, group_size=8_000_000)
pool = pa.default_memory_pool()
with ShardWriter(Path(sys.argv[1]), schema, limits, ["audio"]) as writer:
    for _ in range(int(sys.argv[2])):
        writer.append(batch)
print(writer.size, pool.max_memory())
"""


def test_memory_is_that_of_a_few_row_groups_however_many_are_written(tmp_path):
    tokens = [sys.executable, "-c", MEMORY, str(tmp_path / "a.parquet"), "40"]
    told = subprocess.run(tokens, check=True, stdout=subprocess.PIPE, text=True).stdout
    size, most = map(int, told.split())
    assert size == 40 * 3_200_000
    assert most < 48_000_000  # six row groups of 8 MB
