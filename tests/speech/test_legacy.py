"""Going on behind a dataset of the older program: what is there is believed, nothing else."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_clients import client_environment, clients_at
from hub_server import HubServer
from huggingface_hub import HfApi
from tiny_speech import files_of, gathered_by, rows_of, write_older, write_speech

from workbench.errors import SpeechError
from workbench.speech.legacy import OlderCheckpoint, read_checkpoint

COMMIT = r"POST .*/commit/"
SMALL = ["--upload-batch-size", 3, "--streaming-batch-size", 4]

# As the older program writes them; `rows` is put in place of the number.
CHECKPOINTS = {
    "regular": '{"processed_count": rows, "current_index": 7, "processed_ids": ["S1", "S2"]}',
    "regular in chunks": '{"processed_count": rows, "current_chunk": 0, "metadata": {}}',
    "streaming": (
        '{"mode": "streaming", "shard_num": 2, "samples_processed": rows, "last_sample_id": null, '
        '"dataset_specific": {}, "timestamp": 1717171717.5, "processor": "source"}'
    ),
    "unified": (
        '{"mode": "unified", "samples_processed": rows, "current_split": "train", "split_index": '
        '4, "shard_num": 0, "last_sample_id": null, "processed_ids": ["S1"], "dataset_specific": '
        '{"total_samples_yielded": 4, "completed": false}, "timestamp": 1.5, "processor": "source"}'
    ),
    "upload": (
        '{"shard_index": 2, "samples_uploaded": rows, "uploaded_ids": ["S1", "S2", "S3"], '
        '"split": "train", "dataset_name": "source"}'
    ),
}


def kind_of(name):
    return name.partition(" ")[0]


class CountingHub(HubServer):
    """A hub that knows how many bytes of files it has served.

    Attributes:
        served: Path of a file: bytes of it.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.served = Counter()

    def answer(self, request):
        answer = super().answer(request)
        if request.method == "GET" and "/resolve/" in request.path:
            self.served[request.path.rpartition("/")[2]] += answer.length
        return answer


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("legacy") / "source")


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """The rows of the source where no older program has been, without their ids."""
    out = tmp_path_factory.mktemp("legacy") / "whole"
    gathered_by(source, "--to", out)
    return [anonymous(row) for row in rows_of(out)]


@pytest.fixture(scope="module")
def behind(source, tmp_path_factory):
    """A dataset behind four rows of the older program, in two shards."""
    out = write_older(tmp_path_factory.mktemp("legacy") / "behind", [3, 1])
    gathered_by(source, "--to", out, "--accept-legacy")
    return out


@pytest.fixture
def counting_hub(tmp_path):
    with CountingHub(tmp_path / "hub") as server, clients_at(server, tmp_path / "hub-home"):
        yield server


def anonymous(row):
    """Return a row without what its id makes of it."""
    return row | {"ID": None, "audio": row["audio"]["bytes"]}


def published(folder, repo):
    HfApi().create_repo(repo, repo_type="dataset")
    HfApi().upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
    return f"hf://{repo}"


def wrote(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


# --- checkpoints


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_of_each_kind_tells_its_rows(name, tmp_path):
    path = tmp_path / "checkpoint.json"
    path.write_text(CHECKPOINTS[name].replace("rows", "2535"))
    told = "source" if name == "unified" else ""
    want = OlderCheckpoint(kind=kind_of(name), rows=2535, source=told)
    assert read_checkpoint(path) == want


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_changes_nothing_but_what_is_told(name, source, behind, tmp_path, caplog):
    path = tmp_path / "checkpoint.json"
    path.write_text(CHECKPOINTS[name].replace("rows", "9"))
    out = write_older(tmp_path / "out", [3, 1])
    gathered_by(source, "--to", out, "--accept-legacy", "--checkpoint", path)
    assert f"the {kind_of(name)} checkpoint tells of 9 rows" in caplog.text
    assert files_of(out / "_state") == files_of(behind / "_state")
    assert files_of(out / "data") == files_of(behind / "data")


def test_a_checkpoint_that_tells_the_same_is_passed_over_in_silence(source, tmp_path, caplog):
    path = tmp_path / "checkpoint.json"
    path.write_text(CHECKPOINTS["unified"].replace("rows", "4"))
    out = write_older(tmp_path / "out", [3, 1])
    gathered_by(source, "--to", out, "--accept-legacy", "--checkpoint", path, "--dry-run")
    assert "4 in 2 shards" in caplog.text
    assert "is believed" not in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
        (b'{"mode": "unif', "cannot be read as JSON"),
        (b"\xff\xfe\xfa", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[1, 2]", "it holds list"),
        (b"{}", "it holds nothing"),
        (b"7", "it holds int"),
        (b'{"mode": "unified", "current_split": "train"}', "it holds mode, current_split"),
        (b'{"mode": "streaming", "samples_processed": -1}', "neither regular, streaming, unified"),
        (b'{"mode": "streaming", "samples_processed": true}', "neither regular"),
        (b'{"shard_index": 1, "samples_uploaded": "7"}', "neither regular"),
        (b'{"processed_count": 7}', "neither regular"),
    ],
)
def test_what_is_no_checkpoint_is_told_by_its_name(content, said, tmp_path):
    path = tmp_path / "checkpoint.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpeechError, match=rf"checkpoint\.json: .*{said}"):
        read_checkpoint(path)


def test_a_checkpoint_that_cannot_be_read_leaves_the_target_as_it_is(source, tmp_path):
    write_older(tmp_path / "out", [3])
    (tmp_path / "checkpoint.json").write_text("{")
    flags = ["--accept-legacy", "--checkpoint", tmp_path / "checkpoint.json"]
    told = gathered_by(source, "--to", tmp_path / "out", *flags, code=5)
    assert "checkpoint.json" in told.error
    assert [name for name in files_of(tmp_path / "out") if name[0] != "."] == [
        "data/train/shard_00000.parquet"
    ]


# --- the recount


@pytest.mark.parametrize("counts", [[1], [3, 1], [4, 5], [10], [8, 4]])
def test_as_many_rows_as_are_there_are_passed_over_and_no_more(counts, source, whole, tmp_path):
    write_older(tmp_path / "out", counts)
    gathered_by(source, "--to", tmp_path / "out", "--accept-legacy", *SMALL)
    rows, held = rows_of(tmp_path / "out"), sum(counts)
    assert [anonymous(row) for row in rows] == whole[held:]
    assert [row["ID"] for row in rows] == [f"S{held + n}" for n in range(1, len(rows) + 1)]


def test_each_source_passes_over_its_own_rows_and_ids_go_on_behind_the_greatest(
    source, whole, tmp_path, caplog
):
    out = tmp_path / "out"
    write_speech(tmp_path / "other", plain=True)
    wrote(
        out / "data" / "train" / "shard_00000.parquet",
        ID=["S2", "S41", "temp_7", "S1x", "S9"],
        dataset_name=pa.array(["other", "source", "gone", "source", "other"]).dictionary_encode(),
    )
    wrote(out / "data" / "test" / "shard_00000.parquet", ID=["S3"], dataset_name=["source"])
    gathered_by(source, tmp_path / "other", "--to", out, "--accept-legacy")
    assert "6 in 2 shards (gone: 1, other: 2, source: 3)" in caplog.text
    rows = rows_of(out)
    assert [row["ID"] for row in rows] == [f"S{n}" for n in range(42, 42 + 7 + 10)]
    assert [anonymous(row) for row in rows[:7]] == whole[3:]
    assert [row["source_ref"]["row"] for row in rows[7:]] == [2, 3, 4, 5, 0, 1, 2, 3, 4, 5]


def test_once_behind_it_the_same_command_and_further_sources_need_nothing_more(source, tmp_path):
    out = write_older(tmp_path / "out", [3, 1])
    write_speech(tmp_path / "other", plain=True)
    gathered_by(source, "--to", out, "--accept-legacy")
    before = files_of(out)
    for more in ((), ("--accept-legacy",)):
        assert gathered_by(source, "--to", out, *more).told["added"] == 0
        assert files_of(out) == before
    told = gathered_by(tmp_path / "other", "--to", out, "--append").told
    assert told["added"] == 12
    assert [row["ID"] for row in rows_of(out)] == [f"S{n}" for n in range(5, 23)]


def test_fresh_deletes_what_the_older_program_left(source, tmp_path):
    out = write_older(tmp_path / "out", [3, 1])
    gathered_by(source, "--to", out, "--fresh")
    assert [name for name in files_of(out) if name.startswith("data/")] == [
        "data/train-00000.parquet"
    ]
    assert rows_of(out)[0]["ID"] == "S1"
    assert "older program" not in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("train/shard_00000", {"ID": ["S1"]}, "has no column dataset_name"),
        ("train/shard_00000", {"x": [1]}, "has no column ID and dataset_name"),
        ("train-00000", {"ID": ["S1"], "dataset_name": ["x"]}, "has a name that this program"),
    ],
)
def test_shards_that_tell_nothing_are_refused(source, tmp_path, name, columns, said):
    out = tmp_path / "out"
    wrote(out / "data" / f"{name}.parquet", **columns)
    before = files_of(out / "data")
    assert said in gathered_by(source, "--to", out, "--accept-legacy", code=5).error
    assert files_of(out / "data") == before


def test_a_damaged_shard_is_told_by_its_name(source, tmp_path):
    out = write_older(tmp_path / "out", [3, 1])
    shard = out / "data" / "train" / "shard_00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    error = gathered_by(source, "--to", out, "--accept-legacy", code=5).error
    assert "shard_00001.parquet: cannot be read" in error


def test_the_recount_reads_two_columns_and_not_the_sound(source, tmp_path, counting_hub):
    older = write_older(tmp_path / "older", [100, 60], seconds=1.0)
    to = published(older, "user/older")
    size = sum(len(content) for content in files_of(older).values())
    flags = ["--work-dir", tmp_path / "work", "--accept-legacy", "--dry-run"]
    gathered_by(source, "--to", to, *flags)
    assert set(counting_hub.served) == {
        "shard_00000.parquet",
        "shard_00001.parquet",
        "state.json",
    }
    assert size > 5_000_000
    assert counting_hub.served.total() < 0.05 * size


# --- killed


def test_killed_between_two_shards_and_given_again_it_ends_in_the_same_bytes(source, tmp_path, hub):
    older = write_older(tmp_path / "older", [3, 1])
    places = [published(older, f"user/{name}") for name in ("whole", "killed")]
    flags = ["--accept-legacy", "--work-dir", tmp_path / "work", *SMALL]
    gathered_by(source, "--to", places[0], *flags)
    hub.faults.add(match=COMMIT, kind="stall", skip=1, after_bytes=0)
    tokens = ["speech", "gather", source, "--to", places[1], *flags]
    process = subprocess.Popen(
        [sys.executable, "-c", "from workbench.cli import main; main()", *map(str, tokens)],
        env=os.environ | client_environment(hub, tmp_path / "home"),
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while "data/train-00000.parquet" not in hub.files("user/killed"):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert json.loads(hub.read("user/killed", "_state/state.json"))["shards"] == 1
    again = gathered_by(source, "--to", places[1], *flags).told
    assert (again["added"], again["shards"]) == (3, 2)
    for part in ("data/", "_skipped/", "_state/"):
        assert hub.digest("user/killed", part) == hub.digest("user/whole", part)
