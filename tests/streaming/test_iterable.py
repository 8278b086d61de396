"""Datasets of the library `datasets`: resumed exactly, by their own state, or refused."""

import json

import datasets
import pyarrow as pa
import pytest
from parquet_files import parquet_of, record

from workbench.errors import SourceError
from workbench.streaming.iterable import read_iterable
from workbench.streaming.source import Position

SIZE, BATCH = 19, 4


def examples(shards):
    for shard in shards:
        for number in range(7):
            yield {"number": 100 * shard + number, "text": f"{shard}, {number}"}


def made(shards=3):
    """Return a dataset of a generator in shards of seven."""
    return datasets.IterableDataset.from_generator(
        examples, gen_kwargs={"shards": list(range(shards))}
    )


def held(shards=3):
    """Return a dataset of records that are held as an Arrow table."""
    columns = {"number": list(range(SIZE)), "text": [f"text {n}" for n in range(SIZE)]}
    return datasets.Dataset.from_dict(columns).to_iterable_dataset(num_shards=shards)


def doubled(row):
    return {"twice": 2 * row["number"]}


def repeated(rows):
    return {name: [value for value in values for _ in range(2)] for name, values in rows.items()}


def is_kept(row):
    return row["number"] % 3 != 1


WAYS = {
    "a generator": made,
    "a table": held,
    "a map": lambda: made().map(doubled),
    "a map of batches, which makes more rows": lambda: held().map(
        repeated, batched=True, batch_size=3
    ),
    "a filter": lambda: made().filter(is_kept),
    "a filter over a map over batches": lambda: (
        held().map(repeated, batched=True, batch_size=5).map(doubled).filter(is_kept)
    ),
    "one behind another": lambda: datasets.concatenate_datasets([held(), made()]),
    "one among another": lambda: datasets.interleave_datasets(
        [held(), made()], probabilities=[0.5, 0.5], seed=1
    ),
    "a part": lambda: held().skip(2).take(15),
    "Arrow": lambda: held().with_format("arrow"),
    "NumPy": lambda: held().with_format("numpy").map(repeated, batched=True, batch_size=3),
}
ALL = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def read(dataset, start=Position(), token=None):  # noqa: B008 - it cannot be changed
    return list(read_iterable(dataset, start=start, token=token, batch_rows=BATCH))


def rows_in(batches):
    """Return the position and the values of each record that is to be used."""
    return [
        (Position(0, rows.position.row + index), row)
        for rows in batches
        for index, row in list(enumerate(rows.batch.to_pylist()))[rows.start :]
    ]


def told(token):
    """Return a token as a state file gives it back."""
    return json.loads(json.dumps(token))


# --- exact


@ALL
def test_all_records_come_in_the_order_of_the_dataset(way):
    found = rows_in(read(way()))
    assert [row for _, row in found] == list(way().with_format(None))
    assert [position for position, _ in found] == [Position(0, n) for n in range(len(found))]


@ALL
def test_from_any_position_with_the_token_of_its_batch_comes_what_was_left(way):
    whole = read(way())
    truth = rows_in(whole)
    for rows in whole:
        for index in {0, rows.batch.num_rows - 1}:
            start = Position(0, rows.position.row + index)
            rest = read(way(), start, told(rows.token))
            assert rows_in(rest) == truth[start.row :]
            assert [r.position for r in rest] == [r.position for r in whole][-len(rest) :]
            assert rest[0].start == index


@ALL
@pytest.mark.parametrize("is_same", [True, False])
def test_two_stops_in_a_row_lose_and_repeat_nothing(way, is_same):
    truth = rows_in(read(way()))
    dataset, found, start, token = way(), [], Position(), None
    for stop in (2, 3, 99):
        dataset = dataset if is_same else way()
        reader = read_iterable(dataset, start=start, token=token, batch_rows=BATCH)
        for _, rows in zip(range(stop), reader, strict=False):
            last = rows
            found.append(rows)
        if stop < 99:  # within a batch: its last record is to come again
            start = Position(0, last.position.row + last.batch.num_rows - 1)
            token = told(last.token)
            reader.close()
    used = rows_in(found)
    assert [position for position, _ in used] == sorted(position for position, _ in used)
    assert list(dict(used).items()) == truth
    assert len(used) == len(truth) + 2


def test_behind_the_last_record_comes_nothing():
    last = read(made())[-1]
    end = Position(0, last.position.row + last.batch.num_rows)
    assert read(made(), end, told(last.token)) == []


def test_without_a_token_the_records_before_the_position_are_passed_over():
    truth = rows_in(read(made()))
    for row in (0, 3, 4, 20, 21):
        rest = read(made(), Position(0, row))
        assert rows_in(rest) == truth[row:]
        assert all(rows.start < rows.batch.num_rows for rows in rest)


def test_a_token_goes_on_without_reading_what_was_read():
    seen = []

    def noted(row):
        seen.append(row["number"])
        return row

    whole = read(made().map(noted))
    seen.clear()
    rows = whole[4]
    read(made().map(noted), rows.position, told(rows.token))
    assert len(seen) <= 21 - rows.position.row + BATCH  # datasets goes back by one batch


# --- kinds of columns


def test_sound_comes_as_bytes_with_the_types_of_the_features(tmp_path):
    (tmp_path / "0.parquet").write_bytes(parquet_of([6]))
    file = str(tmp_path / "0.parquet")
    dataset = datasets.load_dataset("parquet", data_files=file, split="train", streaming=True)
    dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    dataset = dataset.cast_column("number", datasets.Value("int16"))
    found = read(dataset)
    assert [rows.batch.schema for rows in found] == [dataset.features.arrow_schema] * 2
    assert found[0].batch.schema.field("number").type == pa.int16()
    assert [row for _, row in rows_in(found)] == [record(number) for number in range(6)]
    rest = read(dataset, Position(0, 5), told(found[1].token))
    assert [row for _, row in rows_in(rest)] == [record(5)]


def test_parquet_is_streamed_and_resumed_within_a_row_group(tmp_path):
    for number in range(2):
        content = parquet_of([5, 6], first=11 * number)
        (tmp_path / f"{number}.parquet").write_bytes(content)

    def opened():
        files = sorted(map(str, tmp_path.glob("*.parquet")))
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)

    whole = read(opened())
    assert [row["number"] for _, row in rows_in(whole)] == list(range(22))
    for rows in whole:
        assert rows_in(read(opened(), rows.position, told(rows.token))) == [
            each for each in rows_in(whole) if each[0] >= rows.position
        ]


# --- refused

SHUFFLED = {
    "itself": lambda: held().shuffle(seed=1),
    "below a map": lambda: held().shuffle(seed=1).map(doubled).take(9),
    "below a concatenation": lambda: datasets.concatenate_datasets(
        [made(), held().shuffle(seed=1).filter(is_kept)]
    ),
    "in batches": lambda: made().shuffle(seed=1, buffer_size=2).batch(2),
}


@pytest.mark.parametrize("way", SHUFFLED.values(), ids=SHUFFLED)
def test_a_shuffle_buffer_is_refused(way):
    with pytest.raises(SourceError, match="has a shuffle buffer"):
        read(way())


TOKENS = {
    "no token": 5,
    "nothing": {},
    "no state": {"row": 4, "state": {}},
    "no row": {"state": made().batch(BATCH).state_dict()},
    "a row that is none": {"row": "4", "state": made().batch(BATCH).state_dict()},
    "another dataset": {"row": 4, "state": held().map(doubled).batch(BATCH).state_dict()},
    "more sources": {
        "row": 4,
        "state": datasets.concatenate_datasets([made()] * 2).batch(BATCH).state_dict(),
    },
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_of_something_else_is_refused(token):
    with pytest.raises(SourceError, match="the token is of another dataset"):
        read(made(), token=token)


# --- failures


@pytest.mark.parametrize(
    "error", [ConnectionError("the line is dead"), pa.ArrowInvalid("no such page")]
)
def test_what_cannot_be_read_is_told_behind_all_that_came_before_it(error):
    def broken():
        yield from examples([0])
        yield from examples([1])
        raise error

    found = []
    dataset = datasets.IterableDataset.from_generator(broken)
    with pytest.raises(SourceError, match=f"cannot be read .*{error}") as caught:
        found.extend(read_iterable(dataset, batch_rows=BATCH))
    assert caught.value.__cause__ is error
    assert rows_in(found) == rows_in(read(made()))[:12]


def test_a_mistake_in_a_map_is_told_as_it_is():
    with pytest.raises(ZeroDivisionError):
        read(made().map(lambda row: {"wrong": 1 // 0}))
