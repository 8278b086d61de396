"""Pulling shards as a training would, and the options of a feed."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.cli import run
from workbench.errors import OptionsError
from workbench.learning.options import FeedOptions, PullOptions
from workbench.learning.pull import pulled
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.source import Source, SourceFile

QUICK = {
    "streaming_min_free_mb": 0,
    "streaming_attempts": 2,
    "streaming_retry_wait": 0.01,
    "streaming_timeout": 2.0,
    "streaming_wait": 8.0,
}


@pytest.fixture
def series(hub, tmp_path):
    """The address of ten shards of three rows."""
    for number in range(10):
        path = tmp_path / f"shard_{number:05}.parquet"
        pq.write_table(pa.table({"x": [number] * 3}), path, write_page_checksum=True)
        hub.publish(path.name, path.read_bytes())
    return f"{hub.url}/files/shard_{{00000..00009}}.parquet"


def test_every_shard_comes_in_order_and_most_leave(series, tmp_path):
    seen = []
    options = PullOptions(**QUICK, streaming_buffer_size=2)
    status = pulled(open_source(series), tmp_path / "to", options, seen.append)
    assert (status.position, status.fetched, status.skipped) == (10, 10, {})
    assert [progress.done for progress in seen] == list(range(1, 11))
    assert max(progress.numbers["files"] for progress in seen) <= 3
    assert seen[-1].is_last


def test_without_streaming_all_shards_stay(series, tmp_path):
    options = PullOptions(**QUICK, streaming_mode=False)
    status = pulled(open_source(series), tmp_path / "to", options)
    assert status.files == len(list((tmp_path / "to").glob("*.parquet"))) == 10


def test_the_command_tells_what_came_and_what_did_not(series, hub, tmp_path, capsys):
    hub.faults.add(match=r"GET .*shard_00004", kind="404", times=99)
    tokens = ["shards", "pull", series, "--to", str(tmp_path / "to"), "--json", "--no-progress"]
    for name, value in QUICK.items():
        tokens += ["--" + name.replace("_", "-"), str(value)]
    assert run(tokens) == 4
    assert "shard_00004" in capsys.readouterr().err
    assert run([*tokens, "--streaming-policy", "skip", "--epochs", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shards"] == 20
    assert [name.rpartition("/")[2] for name in told["skipped"]] == ["shard_00004.parquet"]


def test_a_budget_of_rows_is_kept_for_shards_of_a_server(series, tmp_path, capsys):
    tokens = ["shards", "pull", series, "--to", str(tmp_path / "to"), "--json", "--no-progress"]
    assert run([*tokens, "--streaming-rows", "7", "--streaming-min-free-mb", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 3


def test_a_folder_of_ones_own_is_used_where_it_lies(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(3):
        pq.write_table(pa.table({"x": [number]}), folder / f"{number}.parquet")
    status = pulled(folder_source(folder), tmp_path / "to", PullOptions(**QUICK))
    assert (status.position, status.fetched) == (3, 0)
    assert len(list(folder.iterdir())) == 3


def source_of(*rows):
    files = (
        SourceFile(name=f"{n}", url=f"/{n}", size=1, rows=count) for n, count in enumerate(rows)
    )
    return Source(name="some", files=tuple(files))


@pytest.mark.parametrize(("rows", "shards"), [(1, 1), (10, 1), (11, 2), (30, 3), (0, 3)])
def test_a_budget_of_rows_says_how_many_shards_are_used(rows, shards):
    assert FeedOptions(streaming_rows=rows).shards_of(source_of(10, 10, 10)) == shards


def test_more_than_there_is_is_refused():
    with pytest.raises(OptionsError, match="some has 30 in 3 shards"):
        FeedOptions(streaming_rows=31).shards_of(source_of(10, 10, 10))
    with pytest.raises(OptionsError, match="4, and some has 3 shards"):
        FeedOptions(streaming_total_shards=4).shards_of(source_of(10, 10, 10))
    with pytest.raises(OptionsError, match="does not tell the rows of 1"):
        FeedOptions(streaming_rows=15).shards_of(source_of(10, None))
    assert FeedOptions(streaming_total_shards=2).shards_of(source_of(10, None, None)) == 2
