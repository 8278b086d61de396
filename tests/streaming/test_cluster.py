"""Shards on a Dask cluster of this machine: order, deaths, what is refused; a real scheduler."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import shard_functions as work
from cluster_hosts import environment, local_cluster

from workbench.errors import StreamingError
from workbench.streaming.workers import engine_mistakes, executor, map_ordered, map_settled


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    with local_cluster(workers=2) as engine:
        yield engine


def runs_of(folder, number):
    return len(list(folder.glob(f"{number}-*")))


def test_results_come_in_the_order_of_the_shards_from_other_processes(engine):
    results = map_ordered(work.doubled_slowly, range(40), engine=engine, workers=1)
    assert list(results) == [2 * number for number in range(40)]
    processes = set(map_ordered(work.process_of, range(12), engine=engine, workers=1))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_no_more_than_twice_the_clusters_workers_are_taken_ahead(engine):
    taken = 0

    def source():
        nonlocal taken
        for number in range(30):
            taken += 1
            yield number

    results = map_ordered(work.doubled, source(), engine=engine, workers=1)
    for given_out, _ in enumerate(results, 1):
        assert taken <= given_out - 1 + 2 * 2
    assert taken == 30


def test_shards_come_as_they_are_settled_and_no_more_than_were_asked_for_at_once(engine):
    found = list(map_settled(work.asleep, [0.6, *[0.0] * 5], engine=engine, workers=2))
    assert sorted(found) == list(enumerate([0.6, *[0.0] * 5]))
    assert found[-1][0] == 0


def test_an_exception_comes_out_as_it_is_and_names_its_shard(engine):
    with pytest.raises(LookupError, match="three") as caught:
        list(map_ordered(work.failed_at_three, range(20), engine=engine, workers=1))
    assert caught.value.__notes__ == ["while working on shard 3"]


def test_a_shard_that_kills_its_worker_once_is_done_again(engine, tmp_path):
    shards = [(str(tmp_path), number, int(number == 4)) for number in range(12)]
    assert list(map_ordered(work.killed, shards, engine=engine, workers=1)) == list(range(12))
    assert runs_of(tmp_path, 4) == 2


@pytest.mark.soak
def test_a_shard_that_always_kills_its_worker_is_set_aside_and_no_other(engine, tmp_path):
    shards = [(str(tmp_path), number, 99 * int(number in (3, 7))) for number in range(12)]
    aside = []

    def lost(shard):
        aside.append(shard)
        return -1

    found = list(map_ordered(work.killed, shards, engine=engine, workers=1, lost=lost))
    assert aside == [shards[3], shards[7]]
    assert found == [-1 if number in (3, 7) else number for number in range(12)]


@pytest.mark.soak
def test_and_it_is_named_where_nothing_stands_for_it(engine, tmp_path):
    shards = [(str(tmp_path), 0, 99)]
    with pytest.raises(StreamingError, match="died in every attempt") as caught:
        list(map_ordered(work.killed, shards, engine=engine, workers=1))
    assert str(shards[0]) in str(caught.value)


def test_an_executor_waits_for_what_was_submitted(engine):
    with executor(engine, 1) as pool:
        futures = [pool.submit(work.doubled, number) for number in range(5)]
    assert [future.result(timeout=0) for future in futures] == [0, 2, 4, 6, 8]


def test_leaving_early_drops_what_is_left(engine):
    results = map_ordered(work.asleep, [0, 6, 6], engine=engine, workers=1)
    assert next(results) == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 4


@pytest.mark.soak
def test_a_worker_with_another_program_is_refused(engine, tmp_path):
    """The client runs a copy of the workbench with one more line."""
    package = Path(sys.modules["workbench"].__file__).parent
    copy = tmp_path / "workbench"
    subprocess.run(["cp", "-r", str(package), str(copy)], check=True)
    with (copy / "errors.py").open("a") as file:
        file.write("# another\n")
    program = (
        "import shard_functions as work\n"
        "from workbench.streaming.workers import map_ordered\n"
        f"list(map_ordered(work.doubled, [1], engine={engine!r}, workers=1))\n"
    )
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, check=False, env=env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "has other sources of the workbench" in done.stderr


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    cluster = pytest.importorskip("workbench.streaming.cluster")
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(StreamingError, match="no scheduler answers"):
        list(map_ordered(work.doubled, [1], engine="dask:tcp://127.0.0.1:9", workers=1))


@pytest.mark.soak
def test_a_scheduler_that_dies_is_told_and_its_client_does_not_hang(tmp_path):
    pytest.importorskip("distributed", reason="needs the extra 'cluster'")
    with local_cluster(workers=1) as engine:
        port = int(engine.rpartition(":")[2])
        results = map_ordered(work.asleep, [0, 0, 0, 600], engine=engine, workers=1)
        assert [next(results) for _ in range(3)] == [0, 0, 0]
        os.kill(process_at(port), signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(StreamingError, match="scheduler is gone"):
            next(results)
        assert time.monotonic() - start < 60


def process_at(port):
    return next(
        found.pid
        for found in psutil.net_connections("tcp")
        if found.status == "LISTEN" and found.laddr.port == port
    )


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("fibres", "none of 'threads', 'processes', 'dask:ADDRESS'"),
        ("dask", "none of"),
        ("dask:", "has no address"),
        ("dask:8786", "has no address"),
        ("dask:tcp://127.0.0.1", "has no address"),
        ("dask:tcp://127.0.0.1:port", "has no address"),
        ("dask:http://127.0.0.1:80", "has no address"),
        ("dask:tcp://[::1", "has no address"),
        ("dask:tcp://10.0.0.1:8786", "give a tls:// address"),
        ("dask:tcp://host:8786", "give a tls:// address"),
    ],
)
def test_engines_that_mean_nothing_or_leave_the_machine_unguarded_are_refused(engine, words):
    [mistake] = engine_mistakes("engine", engine)
    assert mistake.startswith("engine: ")
    assert words in mistake
    with pytest.raises(StreamingError):
        map_ordered(work.doubled, [1], engine=engine, workers=1)


@pytest.mark.parametrize(
    "engine",
    [
        "threads",
        "processes",
        "dask:tcp://127.0.0.1:8786",
        "dask:tcp://localhost:8786",
        "dask:tcp://[::1]:8786",
        "dask:tls://10.0.0.1:8786",
    ],
)
def test_engines_that_may_be(engine):
    assert engine_mistakes("engine", engine) == []
