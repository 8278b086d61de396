"""Laws of reading Parquet from any position, and of writing it again."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SourceError
from workbench.streaming.listing import folder_source
from workbench.streaming.order import IN_ORDER, Order
from workbench.streaming.reader import ParquetRows, Rows, read
from workbench.streaming.source import Position
from workbench.streaming.transfer import Transfer
from workbench.streaming.writer import ShardLimits, ShardWriter, row_sizes

SCHEMA = pa.schema([("x", pa.int64()), ("sound", pa.binary()), ("text", pa.string())])


def table_of(first: int, count: int) -> pa.Table:
    rows = range(first, first + count)
    sounds = [bytes([n % 251]) * (n * 37 % 90) if n % 11 else None for n in rows]
    return pa.table([list(rows), sounds, [f"row {n}" for n in rows]], schema=SCHEMA)


def written(folder: Path, counts: list[int], group_rows: int) -> None:
    folder.mkdir(exist_ok=True)
    first = 0
    for number, count in enumerate(counts):
        path = folder / f"{number}.parquet"
        pq.write_table(
            table_of(first, count), path, row_group_size=group_rows, write_page_checksum=True
        )
        first += count


def rows_from(
    folder: Path, start: Position, batch_rows: int, order: Order = IN_ORDER
) -> list[Rows]:
    with Transfer(folder / "fetched") as transfer:
        source = folder_source(folder)
        rows_of = ParquetRows(order=order)
        return list(
            read(source, transfer, rows_of, start=start, batch_rows=batch_rows, order=order)
        )


def values(rows: list[Rows]) -> list[int]:
    return [x for part in rows for x in part.batch["x"].to_pylist()[part.start :]]


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    group_rows=st.integers(1, 40),
    batch_rows=st.integers(1, 30),
    shuffled=st.booleans(),
    at=st.floats(0, 1),
)
def test_reading_from_any_position_is_the_rest_of_reading_all(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    group_rows: int,
    batch_rows: int,
    shuffled: bool,
    at: float,
) -> None:
    folder = tmp_path_factory.mktemp("source")
    written(folder, counts, group_rows)
    order = Order(seed=5, shuffled=shuffled)
    whole = rows_from(folder, Position(), batch_rows, order)
    every = values(whole)
    assert sorted(every) == list(range(sum(counts)))
    if not shuffled:
        assert every == sorted(every)
    places = [part.after(i) for part in whole for i in range(part.batch.num_rows)]
    if places:
        index = int(at * (len(places) - 1))
        rest = rows_from(folder, places[index], batch_rows, order)
        assert values(rest) == every[index + 1 :]
        cuts = {part.position: part.batch.num_rows for part in whole}
        assert all(cuts[part.position] == part.batch.num_rows for part in rest)


def test_a_page_whose_bytes_are_wrong_is_told_by_the_name_of_its_file(tmp_path: Path) -> None:
    written(tmp_path, [300], 50)
    path = tmp_path / "0.parquet"
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"0\.parquet"):
        rows_from(tmp_path, Position(), 10)


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(1, 70), min_size=1, max_size=8),
    rows=st.integers(5, 120),
    size=st.integers(800, 9000),
    group_rows=st.integers(1, 40),
    group_size=st.integers(1, 3000),
)
def test_shards_depend_on_the_rows_alone_and_lose_none(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    rows: int,
    size: int,
    group_rows: int,
    group_size: int,
) -> None:
    limits = ShardLimits(rows=rows, size=size, group_rows=group_rows, group_size=group_size)
    whole = table_of(0, sum(cuts)).combine_chunks()
    folder = tmp_path_factory.mktemp("shards")
    at_once = shards_of([whole.to_batches()[0]], folder / "a", limits)
    batches, first = [], 0
    for cut in cuts:
        batches += whole.slice(first, cut).to_batches()
        first += cut
    in_parts = shards_of(batches, folder / "b", limits)
    digests = [
        [hashlib.sha256(p.read_bytes()).digest() for p in paths] for paths in (at_once, in_parts)
    ]
    assert digests[0] == digests[1]
    tables = [pq.read_table(path, page_checksum_verification=True) for path in at_once]
    assert pa.concat_tables(tables).equals(whole)
    for path, table in zip(at_once, tables, strict=True):
        assert len(table) <= rows
        assert len(table) == 1 or sum(row_sizes(b).sum() for b in table.to_batches()) <= size
        groups = pq.read_metadata(path)
        assert all(groups.row_group(g).num_rows <= group_rows for g in range(groups.num_row_groups))
        sound = groups.row_group(0).column(1)
        assert sound.compression == "UNCOMPRESSED"
        assert not any("DICTIONARY" in encoding for encoding in sound.encodings)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shards_of(batches: list[pa.RecordBatch], folder: Path, limits: ShardLimits) -> list[Path]:
    paths: list[Path] = []
    writer = None
    for batch in batches:
        taken = 0
        while taken < batch.num_rows:
            if writer is None:
                paths.append(folder / f"{len(paths)}.parquet")
                writer = ShardWriter(paths[-1], SCHEMA, limits, ("sound",))
            taken += writer.append(batch.slice(taken))
            if taken < batch.num_rows:
                writer.close()
                writer = None
    if writer is not None:
        writer.close()
    return paths


def test_a_shard_that_is_left_by_an_error_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        ShardWriter(tmp_path / "a.parquet", SCHEMA, ShardLimits()) as writer,
    ):
        writer.append(table_of(0, 5).combine_chunks().to_batches()[0])
        raise RuntimeError
    assert not list(tmp_path.iterdir())
