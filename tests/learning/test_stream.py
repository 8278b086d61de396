"""A stream of batches: each sample once an epoch, and gone back to at the very batch."""

import itertools
import json
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from workbench.errors import OptionsError, SourceError, StreamingError
from workbench.learning.stream import ParquetStream, Place, StreamSettings
from workbench.streaming.footer import with_rows
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.options import WindowOptions
from workbench.streaming.samples import Deal
from workbench.streaming.source import Source

SHARD_ROWS = [37, 20, 1, 64, 0, 50, 13, 28]
ROWS = sum(SHARD_ROWS)
QUICK = WindowOptions(
    ahead=2,
    attempts=2,
    first_wait_seconds=0.01,
    timeout_seconds=2,
    wait_seconds=8,
    min_free_bytes=0,
)


def write_shards(folder):
    """Write shards whose rows are numbered; return the folder."""
    folder.mkdir(parents=True)
    number = 0
    for shard, rows in enumerate(SHARD_ROWS):
        values = list(range(number, number + rows))
        table = pa.table({"number": pa.array(values, pa.int64()), "text": [str(v) for v in values]})
        path = folder / f"shard_{shard:05}.parquet"
        pq.write_table(table, path, row_group_size=7, write_page_checksum=True)
        number += rows
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return folder_source(write_shards(tmp_path_factory.mktemp("shards") / "s"))


@pytest.fixture
def served(hub, tmp_path):
    """The same shards, served by a web server."""
    folder = write_shards(tmp_path / "served")
    for path in sorted(folder.iterdir()):
        hub.publish(path.name, path.read_bytes())
    names = "\n".join(path.name for path in sorted(folder.iterdir()))
    hub.publish("list.txt", names.encode())
    return with_rows(open_source(f"{hub.url}/files/list.txt"))


def numbers(samples):
    return samples.rows["number"].to_numpy(), samples.places


def stream_of(source, folder, *, window=QUICK, **options):
    return ParquetStream(
        source, folder, numbers, StreamSettings(**{"batch_rows": 10, "seed": 5, **options}), window
    )


def epoch_of(loader):
    return [batch for batch, _ in loader]


def flat(batches):
    return np.concatenate(batches).tolist() if batches else []


def same(got, want):
    return [batch.tolist() for batch in got] == [batch.tolist() for batch in want]


# --- what an epoch is


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_each_sample_once_and_the_next_has_another_order(source, tmp_path, workers):
    loader = stream_of(source, tmp_path / "w").loader(workers)
    first, second = epoch_of(loader), epoch_of(loader)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(ROWS))
    assert flat(first) != flat(second) != list(range(ROWS))
    assert [len(batch) for batch in first] == [10] * 21 + [3]
    assert len(loader) == 22


def test_without_shuffling_the_order_is_that_of_the_source(source, tmp_path):
    loader = stream_of(source, tmp_path / "w", shuffled=False).loader()
    assert flat(epoch_of(loader)) == list(range(ROWS))


def test_places_are_those_of_the_epoch_whatever_the_batches(source, tmp_path):
    by_ten = dict(pairs(stream_of(source, tmp_path / "a").loader()))
    by_seven = dict(pairs(stream_of(source, tmp_path / "b", batch_rows=7).loader(2)))
    assert by_ten == by_seven
    assert sorted(by_ten) == list(range(ROWS))


def pairs(loader):
    for found, places in loader:
        yield from zip(places.tolist(), found.tolist(), strict=True)


def test_rows_of_neighbouring_row_groups_are_mixed(source, tmp_path):
    alone = flat(epoch_of(stream_of(source, tmp_path / "a", mix=1).loader()))
    mixed = flat(epoch_of(stream_of(source, tmp_path / "b", mix=8).loader()))
    near = [sum(abs(a - b) < 7 for a, b in itertools.pairwise(some)) for some in (alone, mixed)]
    assert near[0] > 2 * near[1]


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_any_number_of_workers_gives_the_same_batches(source, tmp_path, workers):
    want = epoch_of(stream_of(source, tmp_path / "a").loader())
    assert same(epoch_of(stream_of(source, tmp_path / "b").loader(workers)), want)


def test_a_stream_in_a_loader_of_torch_gives_each_worker_its_own_steps(source, tmp_path):
    loader = DataLoader(stream_of(source, tmp_path / "w"), batch_size=None, num_workers=2)
    assert sorted(flat([delivered.batch[0] for delivered in loader])) == list(range(ROWS))


def test_only_the_columns_that_are_asked_for_are_read(source, tmp_path):
    stream = ParquetStream(
        source, tmp_path / "w", lambda samples: samples.rows, StreamSettings(columns=("text",))
    )
    assert next(iter(stream.loader())).column_names == ["text"]


# --- going back


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_from_any_step_on_come_the_same_batches(source, tmp_path, workers):
    loader = stream_of(source, tmp_path / "whole").loader()
    want = epoch_of(loader) + epoch_of(loader)
    for step in random.Random(workers).sample(range(1, 43), 4):
        loader = stream_of(source, tmp_path / "parts").loader(workers)
        got = taken(loader, step)
        state = json.loads(json.dumps(loader.state_dict()))
        resumed = stream_of(source, tmp_path / "parts").loader(2 - workers // 2)
        resumed.load_state_dict(state)
        assert same(got + taken(resumed, 44 - step), want)


def taken(loader, steps):
    """Take some steps, through epochs, and leave the loader there."""
    got = []
    while len(got) < steps:
        iterator = iter(loader)
        for batch, _ in iterator:
            got.append(batch)
            if len(got) == steps:
                break
        iterator.close()
    return got


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(1, 5)), max_size=6),
    st.integers(2, 12),
)
def test_other_ranks_go_on_without_loss_or_repeat(source, tmp_path_factory, runs, batch_rows):
    folder = tmp_path_factory.mktemp("ranks")
    state, seen = None, []
    for world, steps in [*runs, (1, 10**6)]:
        states = []
        for rank in range(world):
            options = {"batch_rows": batch_rows, "rank": rank, "world": world}
            loader = stream_of(source, folder, **options).loader()
            if state is not None:
                loader.load_state_dict(state)
            left = len(loader) - loader.stream.place.steps
            seen += flat(taken(loader, min(steps, left)))
            states.append(loader.state_dict())
        assert all(each == states[0] for each in states)
        state = states[0]
        if state["sample"] == ROWS or state["epoch"] == 1:
            break
    assert sorted(seen) == list(range(ROWS))


@given(st.integers(1, 9), st.integers(2, 20), st.integers(0, 300), st.integers(0, 300))
def test_every_rank_has_a_sample_in_every_step(world, batch_rows, start, rows):
    if rows - start < world:
        return
    deals = [Deal(batch_rows=batch_rows, rank=rank, world=world) for rank in range(world)]
    spans = list(deals[0].spans(start, rows))
    assert len(spans) == deals[0].steps(start, rows)
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
    for span in spans:
        places = [deal.places(span) for deal in deals]
        assert all(1 <= len(some) <= batch_rows for some in places)
        assert sorted(np.concatenate(places)) == list(range(*span))


def test_a_length_counts_what_was_delivered(source, tmp_path):
    loader = stream_of(source, tmp_path / "w").loader()
    taken(loader, 5)
    assert (loader.stream.place, len(loader)) == (Place(epoch=0, sample=50, steps=5), 22)
    other = stream_of(source, tmp_path / "w", batch_rows=20).loader()
    other.load_state_dict(loader.state_dict())
    assert len(other) == 5 + 9


@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"shuffled": False}, {"mix": 3}, {"source": 7}], ids=str
)
def test_a_state_of_another_stream_is_refused(source, tmp_path, change):
    name = next(iter(change))
    other = source
    if name == "source":
        change = {}
        other = Source(name="less", files=source.files[:7])
    state = stream_of(source, tmp_path / "w").state_dict()
    with pytest.raises(StreamingError, match=f"stream with {name} "):
        stream_of(other, tmp_path / "w", **change).load_state_dict(state)


def test_what_cannot_be_dealt_is_refused(source, tmp_path):
    with pytest.raises(OptionsError, match="larger batches"):
        stream_of(source, tmp_path / "w", batch_rows=1, world=2)
    with pytest.raises(OptionsError, match="rank 2 of 2"):
        stream_of(source, tmp_path / "w", rank=2, world=2)
    files = tuple(replace(file, rows=None) for file in source.files)
    with pytest.raises(OptionsError, match=r"how many rows shard_00000\.parquet has"):
        stream_of(Source(name="untold", files=files), tmp_path / "w")


# --- from a server


def test_shards_of_a_server_are_fetched_once_an_epoch_and_leave(served, hub, tmp_path):
    window = WindowOptions(ahead=1, max_shards=2, min_free_bytes=0)
    loader = stream_of(served, tmp_path / "w", window=window).loader()
    filled = {file.name for file in served.files if file.rows}
    assert len(filled) == len(SHARD_ROWS) - 1
    for epoch in (1, 2):
        hub.endpoint_log.clear()
        for _ in loader:
            assert len(list((tmp_path / "w").glob("*.parquet*"))) <= 2
        paths = [path for method, path in hub.endpoint_log if method == "GET"]
        fetched = {file.name for file in served.files if any(file.name in path for path in paths)}
        assert fetched <= filled  # nobody waits for a shard without a row
        assert len(fetched) >= len(filled) - 2 * (epoch - 1)
        assert len(paths) <= len(filled) + 2  # and the next epoch's first


def test_a_shard_that_stays_broken_is_an_error_that_names_it(served, hub, tmp_path):
    hub.faults.add(match=r"GET .*shard_00003", kind="404", times=99)
    for workers in (0, 2):
        with pytest.raises(SourceError, match="shard_00003"):
            epoch_of(stream_of(served, tmp_path / f"w{workers}").loader(workers))


def test_a_shard_that_stays_broken_is_skipped_where_that_was_chosen(served, hub, tmp_path):
    hub.faults.add(match=r"GET .*shard_00003", kind="404", times=99)
    window = WindowOptions(
        ahead=2, policy="skip", min_free_bytes=0, attempts=2, first_wait_seconds=0.01
    )
    lost = set(range(58, 58 + 64))
    for workers in (0, 2):
        loader = stream_of(served, tmp_path / f"w{workers}", window=window).loader(workers)
        batches = epoch_of(loader)
        assert sorted(flat(batches)) == sorted(set(range(ROWS)) - lost)
        assert loader.stream.place == Place(epoch=1)
        assert list(loader.stream.status.skipped) == [3]
