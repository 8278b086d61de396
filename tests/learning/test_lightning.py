"""Lightning over a stream: a killed training goes on at the very batch, with other ranks too."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.streaming.order import Order

SCRIPT = Path(__file__).with_name("training.py")
ROWS, STEPS = 203, 60  # 26 steps an epoch, so more than two epochs


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "shards"
    folder.mkdir()
    for shard, first in enumerate(range(0, ROWS, 29)):
        table = pa.table({"number": pa.array(range(first, first + 29), pa.int64())})
        pq.write_table(table, folder / f"{shard}.parquet", row_group_size=5)
    return folder


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """The lines of a training that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole")
    run(shards, out)
    return lines_of(out)


def told_of(shards, out, **more):
    told = {"source": str(shards), "folder": str(out / "window"), "out": str(out), "steps": STEPS}
    return json.dumps({**told, **more})


def run(shards, out, **more):
    command = [sys.executable, str(SCRIPT), told_of(shards, out, **more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def lines_of(out):
    """Return loss and samples of each step and rank; what was trained again must be the same."""
    found = {}
    for line in (out / "log.txt").read_text().splitlines():
        step, rank, loss, samples = line.split(" ")
        found.setdefault((int(step), int(rank)), []).append((loss, samples))
    assert all(len(set(lines)) == 1 for lines in found.values())
    return {key: lines[0] for key, lines in sorted(found.items())}


def killed(shards, out, chance, **more):
    """Kill a training after some steps; return the checkpoint to go on from, or None."""
    log = out / "log.txt"
    before = log.read_text().count("\n") if log.exists() else 0
    wanted = before + chance.randint(1, 10)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), told_of(shards, out, **more)], stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if log.exists() and log.read_text().count("\n") >= wanted:
            break
        time.sleep(0.002)
    process.kill()
    process.wait()
    return newest(out)


def newest(out):
    saved = sorted(out.glob("step=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    return str(saved[-1]) if saved else None


@pytest.mark.soak
@pytest.mark.parametrize(("kills", "workers"), [(3, 0), (10, 2)])
def test_a_training_killed_again_and_again_goes_on_with_the_same_batches_and_losses(
    shards, whole, tmp_path, kills, workers
):
    chance = random.Random(kills + workers)
    checkpoint = None
    for _ in range(kills):
        checkpoint = killed(shards, tmp_path, chance, workers=workers, checkpoint=checkpoint)
    run(shards, tmp_path, workers=workers, checkpoint=checkpoint)
    assert lines_of(tmp_path) == whole
    assert len(whole) == STEPS


def samples_of(lines):
    return [int(number) for _, samples in lines.values() for number in samples.split(",")]


@pytest.mark.soak
def test_two_ranks_train_on_each_sample_once_and_one_goes_on_for_them(shards, tmp_path):
    run(shards, tmp_path / "two", ranks=2, steps=9)
    lines = lines_of(tmp_path / "two")
    assert sorted({rank for _, rank in lines}) == [0, 1]
    run(shards, tmp_path / "one", steps=9 + 8, checkpoint=newest(tmp_path / "two"))
    both = samples_of(lines) + samples_of(lines_of(tmp_path / "one"))
    assert len(samples_of(lines)) == 9 * 2 * 8
    assert sorted(both) == list(range(ROWS))


@pytest.mark.soak
def test_two_ranks_train_through_a_whole_epoch(shards, tmp_path):
    run(shards, tmp_path / "two", ranks=2, steps=13, saves=False)
    assert sorted(samples_of(lines_of(tmp_path / "two"))) == list(range(ROWS))


@pytest.mark.soak
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_together_fetch_each_shard_of_a_server_once_an_epoch(shards, hub, tmp_path, ranks):
    names = [path.name for path in sorted(shards.iterdir())]
    for name in names:
        hub.publish(name, (shards / name).read_bytes())
    hub.publish("list.txt", "\n".join(names).encode())
    steps = -(-ROWS // (8 * ranks))
    run(f"{hub.url}/files/list.txt", tmp_path, ranks=ranks, steps=steps, saves=False)
    lines = lines_of(tmp_path)
    assert sorted({rank for _, rank in lines}) == list(range(ranks))
    assert sorted(samples_of(lines)) == list(range(ROWS))
    gets = (path.rpartition("/")[2] for method, path in hub.endpoint_log if method == "GET")
    asked = Counter(gets)
    fetched = [asked[name] - ranks for name in names]  # each rank asks for each footer once
    of_next = Order(seed=3, epoch=1).files(len(names)).tolist()
    ahead = sum(fetched) - len(names)
    assert 0 <= ahead <= 2  # what was wanted ahead when it ended
    assert [number for number, times in enumerate(fetched) if times > 1] == sorted(of_next[:ahead])


@pytest.mark.soak
def test_as_many_epochs_are_trained_as_were_asked_for(shards, whole, tmp_path):
    run(shards, tmp_path / "three", epochs=3, steps=-1, saves=False)
    lines = lines_of(tmp_path / "three")
    assert len(lines) == 3 * 26
    for epoch in range(3):
        steps = {key: lines[key] for key in lines if key[0] // 26 == epoch}
        assert sorted(samples_of(steps)) == list(range(ROWS))
    assert {key: lines[key] for key in whole} == whole


@pytest.mark.soak
@pytest.mark.parametrize("every_epoch", [False, True])
def test_a_training_goes_on_from_the_end_of_an_epoch(shards, whole, tmp_path, every_epoch):
    run(shards, tmp_path, steps=26, every_epoch=every_epoch)
    run(shards, tmp_path, steps=40, checkpoint=newest(tmp_path))
    assert lines_of(tmp_path) == {key: whole[key] for key in whole if key[0] < 40}
