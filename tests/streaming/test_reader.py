"""The reader: from any position on as if never stopped; files here while they are needed alone."""

import io
import itertools
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import SCHEMA, data_pages, flipped, parquet_of, record, small_disk

from workbench.errors import SourceError, StreamingError
from workbench.streaming.listing import folder_source
from workbench.streaming.options import RetryOptions
from workbench.streaming.order import IN_ORDER, Order
from workbench.streaming.reader import ParquetRows, read
from workbench.streaming.source import UNKNOWN, Position, Source, SourceFile
from workbench.streaming.transfer import Transfer

PATIENCE_SECONDS = 10
LAYOUTS = st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=4)
ORDERS = st.just(IN_ORDER) | st.builds(Order, seed=st.integers(0, 9), epoch=st.integers(0, 2))
BATCHES = st.integers(1, 7)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder that examples share; each makes one of its own in it."""
    return tmp_path_factory.mktemp("reader")


def folder_of(layout, scratch):
    """Write files with row groups of so many records, numbered throughout; return their source."""
    folder = scratch / uuid.uuid4().hex
    folder.mkdir()
    first = 0
    for number, groups in enumerate(layout):
        (folder / f"{number}.parquet").write_bytes(parquet_of(groups, first=first))
        first += sum(groups)
    return folder_source(folder) if layout else Source(name="empty", files=())


def read_all(source, scratch, *, order=IN_ORDER, batch_rows=3, columns=None, **options):
    """Return everything that is read, as batches."""
    rows_of = ParquetRows(order=order, columns=columns)
    options = {"order": order, "batch_rows": batch_rows, **options}
    with Transfer(scratch / "work") as transfer:
        return list(read(source, transfer, rows_of, **options))


def numbers_in(batches):
    """Return position and number of each record that is to be used."""
    found = []
    for rows in batches:
        numbers = rows.batch["number"].to_pylist()
        file, first = rows.position
        places = [Position(file, first + index) for index in range(len(numbers))]
        found += list(zip(places, numbers, strict=True))[rows.start :]
    return found


def expected(layout, order):
    """Return position and number of each record of a layout, as its order has them."""
    sizes = [sum(groups) for groups in layout]
    found = []
    for at, file in enumerate(order.files(len(layout)).tolist()):
        row = 0
        for group in order.groups(file, len(layout[file])).tolist():
            count = layout[file][group]
            first = sum(sizes[:file]) + sum(layout[file][:group])
            for index in order.rows(file, group, count).tolist():
                found.append((Position(at, row), first + index))
                row += 1
    return found


# --- every position


@settings(max_examples=40)
@given(LAYOUTS, ORDERS, BATCHES)
def test_each_record_comes_once_in_the_order_asked_for(scratch, layout, order, batch_rows):
    source = folder_of(layout, scratch)
    found = read_all(source, scratch, order=order, batch_rows=batch_rows)
    assert numbers_in(found) == expected(layout, order)
    assert sorted(n for _, n in numbers_in(found)) == list(range(sum(map(sum, layout))))
    for rows in found:
        assert rows.start == 0
        assert rows.token is None
        assert 0 < rows.batch.num_rows <= batch_rows
        records = [record(number) for number in rows.batch["number"].to_pylist()]
        assert rows.batch.to_pylist() == records


@settings(max_examples=40)
@given(LAYOUTS, ORDERS, BATCHES, st.data())
def test_from_any_position_comes_what_was_left(scratch, layout, order, batch_rows, data):
    source = folder_of(layout, scratch)
    whole = read_all(source, scratch, order=order, batch_rows=batch_rows)
    most = max(map(sum, layout), default=0)
    file = data.draw(st.integers(0, len(layout) + 1), label="file")
    start = Position(file, data.draw(st.integers(0, most + 2), label="row"))
    rest = read_all(source, scratch, order=order, batch_rows=batch_rows, start=start)
    assert numbers_in(rest) == [each for each in numbers_in(whole) if each[0] >= start]
    # the batches are cut the same: the last ones of the whole, the first of them begun earlier
    tail = whole[len(whole) - len(rest) :]
    assert [(r.position, r.batch) for r in rest] == [(r.position, r.batch) for r in tail]
    assert all(rows.start == 0 for rows in rest[1:])
    assert all(rows.start < rows.batch.num_rows for rows in rest)


@settings(max_examples=15)
@given(LAYOUTS, ORDERS, BATCHES, st.data())
def test_stopping_again_and_again_loses_and_repeats_nothing(
    scratch, layout, order, batch_rows, data
):
    source = folder_of(layout, scratch)
    used, start, is_done = [], Position(), False
    while not is_done:
        patience = data.draw(st.integers(1, 9), label="records before the stop")
        for rows in read_all(source, scratch, order=order, batch_rows=batch_rows, start=start):
            numbers = rows.batch["number"].to_pylist()
            for index in range(rows.start, len(numbers)):
                if patience == 0:
                    break
                used.append(numbers[index])
                start = Position(rows.position.file, rows.position.row + index + 1)
                patience -= 1
        is_done = patience > 0
    assert used == [number for _, number in expected(layout, order)]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), BATCHES)
def test_batches_end_with_their_row_groups(scratch, groups, batch_rows):
    found = read_all(folder_of([groups], scratch), scratch, batch_rows=batch_rows)
    ends = set(itertools.accumulate(groups))
    begins = sorted(
        row
        for end, size in zip(sorted(ends), groups, strict=True)
        for row in range(end - size, end, batch_rows)
    )
    assert [rows.position.row for rows in found] == begins


def test_the_same_order_is_read_again_and_another_epoch_is_another(tmp_path):
    source = folder_of([[5, 5], [5, 5], [5, 5]], tmp_path)
    first = numbers_in(read_all(source, tmp_path, order=Order(seed=1)))
    assert numbers_in(read_all(source, tmp_path, order=Order(seed=1))) == first
    assert numbers_in(read_all(source, tmp_path, order=Order(seed=1, epoch=1))) != first


# --- columns


@pytest.mark.parametrize("order", [IN_ORDER, Order(seed=2)])
def test_only_the_columns_that_were_asked_for_come(tmp_path, order):
    source = folder_of([[4, 3]], tmp_path)
    for columns, names in [
        (("number",), {"number": None}),
        (("number", "audio.bytes"), {"number": None, "audio": {"bytes"}}),
    ]:
        found = read_all(source, tmp_path, order=order, columns=columns)
        for rows in found:
            assert set(rows.batch.schema.names) == set(names)
            if "audio" in names:
                assert rows.batch["audio"].type.get_field_index("path") == -1
        assert numbers_in(found) == expected([[4, 3]], order)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    source = folder_of([[4]], tmp_path)
    for column in ("speaker", "audio.rate", "num"):
        with pytest.raises(SourceError) as told:
            read_all(source, tmp_path, columns=("number", column))
        said = str(told.value)
        assert said.startswith(f"{source.files[0].url}: has no column {column}; name some of ")
        assert said.endswith(", ".join(SCHEMA.names))


# --- files: fetched, dropped, kept


@pytest.fixture
def elsewhere():
    """A folder of fsspec's memory, which is another place than this disk."""
    system = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    yield folder
    if system.exists(folder):
        system.rm(folder, recursive=True)


def remote(folder, contents, *, is_size_known=True):
    """Put files into fsspec's memory and return their source."""
    system = fsspec.filesystem("memory")
    files = []
    for number, content in enumerate(contents):
        system.pipe(f"{folder}/{number}.parquet", content)
        size = len(content) if is_size_known else UNKNOWN
        files.append(
            SourceFile(
                name=f"{number}.parquet", url=f"memory:/{folder}/{number}.parquet", size=size
            )
        )
    return Source(name=folder, files=tuple(files))


def contents_of(layout, size=40):
    firsts = itertools.accumulate(map(sum, layout), initial=0)
    return [parquet_of(g, first=f, size=size) for g, f in zip(layout, firsts, strict=False)]


class Watch:
    """Looks at a folder all the time while its block lasts; tells the most files there were."""

    def __init__(self, folder):
        self._folder, self._is_over, self.most = folder, threading.Event(), 0
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        while not self._is_over.wait(0.001):
            self.most = max(self.most, len(list(self._folder.glob("*"))))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()


@pytest.mark.parametrize("order", [IN_ORDER, Order(seed=4)])
def test_no_more_than_two_fetched_files_are_here_and_none_at_the_end(tmp_path, elsewhere, order):
    layout = [[3, 2], [4], [], [1, 1], [6], [2]]
    source = remote(elsewhere, contents_of(layout))
    work = tmp_path / "work"
    found, here = [], []
    with Transfer(work) as transfer, Watch(work) as watch:
        for rows in read(source, transfer, ParquetRows(order=order), order=order):
            time.sleep(0.01)  # the next one has arrived by then
            here.append(len(list(work.iterdir())))
            found.append(rows)
    assert numbers_in(found) == expected(layout, order)
    assert max(here) == watch.most == 2
    assert list(work.iterdir()) == []


def test_the_next_file_is_fetched_while_one_is_read(tmp_path, elsewhere):
    source = remote(elsewhere, contents_of([[3], [3], [3]]))
    with Transfer(tmp_path) as transfer:
        rows = read(source, transfer, ParquetRows())
        next(rows)
        end = time.monotonic() + PATIENCE_SECONDS
        while not transfer.place(source.files[1]).exists():
            assert time.monotonic() < end
        time.sleep(0.01)
        assert not transfer.place(source.files[2]).exists()
        rows.close()
    assert transfer.place(source.files[0]).exists()  # it was not read to its end


def test_files_before_the_start_are_not_fetched_and_each_is_told_before_it_is_read(
    tmp_path, elsewhere
):
    source = remote(elsewhere, contents_of([[3], [3], [0], [3]]))
    fsspec.filesystem("memory").rm(f"{elsewhere}/0.parquet")
    log = []

    def fetched(file, path):
        log.append(file.name)
        assert pq.read_metadata(path).num_columns == 4

    with Transfer(tmp_path) as transfer:
        start = Position(1, 3)  # the end of file 1
        for rows in read(source, transfer, ParquetRows(), start=start, fetched=fetched):
            log.append(rows.position)
    assert log == ["1.parquet", "2.parquet", "3.parquet", Position(3, 0)]


def test_a_users_own_file_is_read_where_it_lies_and_stays(tmp_path):
    source = folder_of([[3], [2]], tmp_path)
    before = {file.url: Path(file.url).read_bytes() for file in source.files}
    paths = []
    read_all(source, tmp_path, fetched=lambda file, path: paths.append((file.url, str(path))))
    assert paths == [(file.url, file.url) for file in source.files]
    assert {file.url: Path(file.url).read_bytes() for file in source.files} == before
    assert not (tmp_path / "work").exists()


def test_a_users_own_file_stays_though_it_is_named_by_a_url_or_damaged(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    whole, damaged = folder / "0.parquet", folder / "1.parquet"
    whole.write_bytes(parquet_of([3]))
    content = parquet_of([3])
    damaged.write_bytes(flipped(content, data_pages(content, "number")[0][-1]))
    files = (
        SourceFile(name="0.parquet", url=f"file://{whole}", size=UNKNOWN),
        SourceFile(name="1.parquet", url=str(damaged), size=UNKNOWN),
    )
    with pytest.raises(SourceError):
        read_all(Source(name="mine", files=files), tmp_path)
    assert whole.exists()
    assert damaged.exists()
    assert list((tmp_path / "work").iterdir()) == []


# --- little room


@pytest.mark.parametrize("is_size_known", [True, False])
def test_a_disk_with_room_for_one_file_is_enough(tmp_path, elsewhere, is_size_known):
    layout = [[10], [10], [10], [10], [10]]
    contents = contents_of(layout, size=30_000)
    source = remote(elsewhere, contents, is_size_known=is_size_known)
    size = len(contents[0])
    with small_disk(tmp_path / "disk", size * 3 // 2) as disk, Transfer(disk) as transfer:
        found = []
        for rows in read(source, transfer, ParquetRows()):
            time.sleep(0.01)  # the next one has tried and failed by then
            found.append(rows)
        assert numbers_in(found) == expected(layout, IN_ORDER)
        assert list(disk.iterdir()) == []


def test_a_disk_with_room_for_none_is_told_and_nothing_is_delivered(tmp_path, elsewhere):
    source = remote(elsewhere, contents_of([[10]], size=30_000))
    with small_disk(tmp_path / "disk", 100_000) as disk, Transfer(disk) as transfer:
        with pytest.raises(StreamingError, match="make room") as told:
            next(read(source, transfer, ParquetRows()))
        assert not isinstance(told.value, SourceError)
        assert str(disk) in str(told.value)


# --- damage


def read_of(content, scratch, order, batch_rows=2):
    """Return the records of a file and the SourceError that ended them, or None."""
    path = scratch / "damaged.parquet"
    path.write_bytes(content)
    source = Source(name="one", files=(SourceFile(name="a", url=str(path), size=UNKNOWN),))
    found = []
    with Transfer(scratch / "work") as transfer:
        try:
            for rows in read(
                source, transfer, ParquetRows(order=order), order=order, batch_rows=batch_rows
            ):
                found += rows.batch.to_pylist()
        except SourceError as error:
            assert str(error).startswith(f"{path}: cannot be read (")
            assert str(error).endswith("the same command goes on where it stopped")
            return found, error
    return found, None


@pytest.mark.parametrize("order", [IN_ORDER, Order(seed=1)])
@pytest.mark.parametrize("column", ["number", "text", "audio.bytes"])
def test_a_damaged_page_ends_the_reading_before_its_records(scratch, column, order):
    content = parquet_of([4, 5, 3])
    truth, _ = read_of(content, scratch, order)
    for group, page in enumerate(data_pages(content, column)):
        found, error = read_of(flipped(content, page[-1]), scratch, order)
        assert error is not None
        at = order.groups(0, 3).tolist().index(group)
        before = sum([4, 5, 3][g] for g in order.groups(0, 3).tolist()[:at])
        assert found == truth[:before]


def test_one_wrong_bit_anywhere_before_the_footer_never_gives_a_wrong_record(scratch):
    out = io.BytesIO()
    table = pa.table({"number": [5, 6, 7]})
    pq.write_table(table, out, write_page_checksum=True, compression="none")
    content = out.getvalue()
    truth = table.to_pylist()
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    refused = 0
    for at, bit in itertools.product(range(4, end), (0, 2, 4, 7)):
        damaged = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        found, error = read_of(damaged, scratch, IN_ORDER)
        assert found == truth[: len(found)]
        assert error is not None or len(found) == len(truth)
        refused += error is not None
    assert refused > (end - 4) * 2  # most of them; the others tell nothing that matters


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all" * 10, parquet_of([3])[:-9]])
def test_what_is_no_parquet_is_named(scratch, content):
    found, error = read_of(content, scratch, IN_ORDER)
    assert (found, error is None) == ([], False)


def test_damage_is_told_behind_all_that_came_before_it(tmp_path):
    source = folder_of([[3], [3]], tmp_path)
    Path(source.files[1].url).write_bytes(b"no Parquet any more")
    found = []
    with Transfer(tmp_path / "work") as transfer, pytest.raises(SourceError, match=r"1\.parquet"):
        found.extend(read(source, transfer, ParquetRows()))
    assert numbers_in(found) == expected([[3]], IN_ORDER)


def test_a_file_that_cannot_be_fetched_is_told_behind_all_that_came_before_it(tmp_path, elsewhere):
    source = remote(elsewhere, contents_of([[3], [3]]))
    fsspec.filesystem("memory").rm(f"{elsewhere}/1.parquet")
    found = []
    options = RetryOptions(attempts=1)
    with Transfer(tmp_path, options) as transfer, pytest.raises(SourceError, match=r"1\.parquet"):
        for rows in read(source, transfer, ParquetRows()):
            found.append(rows)
    assert numbers_in(found) == expected([[3]], IN_ORDER)


def test_a_fetched_file_that_was_damaged_here_is_fetched_anew_by_the_next_run(tmp_path, elsewhere):
    source = remote(elsewhere, contents_of([[3], [3]]))

    def damage(file, path):
        content = path.read_bytes()
        path.write_bytes(flipped(content, data_pages(content, "number")[0][-1]))

    with Transfer(tmp_path) as transfer:
        with pytest.raises(SourceError, match=f"{elsewhere}/0.parquet: cannot be read"):
            list(read(source, transfer, ParquetRows(), fetched=damage))
        found = list(read(source, transfer, ParquetRows()))
    assert numbers_in(found) == expected([[3], [3]], IN_ORDER)
