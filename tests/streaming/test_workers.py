"""Workers: order, bounds, failures, deaths and clean ends; real threads and real processes."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
import shard_functions as work
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import StreamingError
from workbench.streaming.workers import executor, map_ordered, map_settled

BOTH = pytest.mark.parametrize(("engine", "workers"), [("threads", 3), ("processes", 2)])


@pytest.fixture(autouse=True)
def no_process_left():
    """After each test none of its worker processes may be there."""
    yield
    assert multiprocessing.active_children() == []


def wait_until(condition, *, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


# --- order and bounds


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=20), st.integers(1, 5))
def test_results_come_in_the_order_of_the_shards(numbers, workers):
    results = map_ordered(work.doubled_slowly, numbers, engine="threads", workers=workers)
    assert list(results) == [2 * number for number in numbers]


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_keep_the_order_too_and_are_others_than_this(workers):
    results = map_ordered(work.doubled_slowly, range(30), engine="processes", workers=workers)
    assert list(results) == [2 * number for number in range(30)]
    processes = set(map_ordered(work.process_of, range(6), engine="processes", workers=workers))
    assert len(processes) == workers
    assert os.getpid() not in processes


@BOTH
def test_no_more_than_twice_the_workers_are_taken_ahead(engine, workers):
    taken = 0

    def source():
        nonlocal taken
        for number in range(40):
            taken += 1
            yield number

    results = map_ordered(work.doubled, source(), engine=engine, workers=workers)
    assert taken == 0
    for given_out, _ in enumerate(results, 1):
        assert taken <= given_out - 1 + 2 * workers
    assert taken == 40


def test_shards_without_end_give_results_as_long_as_they_are_asked_for():
    endless = iter(int, 1)
    results = map_ordered(work.doubled, endless, engine="threads", workers=2)
    assert [next(results) for _ in range(100)] == [0] * 100
    results.close()


def test_one_thread_is_the_callers_own():
    found = map_ordered(lambda _: threading.get_ident(), range(3), engine="threads", workers=1)
    assert set(found) == {threading.get_ident()}


def test_no_shards_give_no_results():
    assert list(map_ordered(work.doubled, [], engine="processes", workers=2)) == []


# --- failures


@pytest.mark.parametrize(("engine", "workers"), [("threads", 1), ("threads", 3), ("processes", 2)])
def test_an_exception_comes_out_as_it_is_and_names_its_shard(engine, workers):
    results = map_ordered(work.failed_at_three, range(100), engine=engine, workers=workers)
    with pytest.raises(LookupError, match="three") as caught:
        list(results)
    assert caught.value.__notes__ == ["while working on shard 3"]


@BOTH
def test_an_exception_does_not_wait_for_the_shards_before_it(engine, workers):
    seconds = [2.0 if engine == "processes" else 0.1, "no number"]
    results = map_ordered(work.asleep, seconds, engine=engine, workers=workers)
    start = time.monotonic()
    with pytest.raises(TypeError):
        next(results)
    if engine == "processes":  # a thread cannot be stopped; a process is
        assert time.monotonic() - start < 1.9


def test_an_exception_that_cannot_be_sent_comes_as_text():
    results = map_ordered(work.failed_awkwardly, [5], engine="processes", workers=1)
    with pytest.raises(StreamingError, match="AwkwardError: 5 and 5"):
        list(results)


@pytest.mark.parametrize("shard", [threading.Lock(), lambda: None])
def test_what_cannot_go_to_a_process_is_named(shard):
    results = map_ordered(work.doubled, [shard], engine="processes", workers=1)
    with pytest.raises(StreamingError, match="cannot go to a worker process"):
        list(results)


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "threads", "workers": 0},
        {"engine": "fibres", "workers": 1},
        {"engine": "threads", "workers": 1, "attempts": 0},
    ],
)
def test_arguments_that_mean_nothing_are_refused_at_the_call(options):
    with pytest.raises(StreamingError):
        map_ordered(work.doubled, [], **options)


def test_a_function_of_the_script_is_refused_for_processes():
    function = functools.partial(work.doubled)
    function.__module__ = "__main__"
    with pytest.raises(StreamingError, match="move it to a module"):
        map_ordered(function, [1], engine="processes", workers=1)


# --- deaths


def runs_of(folder, number):
    return len(list(folder.glob(f"{number}-*")))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_kills_its_process_once_is_done_again(tmp_path, workers):
    shards = [(str(tmp_path), number, int(number == 4)) for number in range(12)]
    results = map_ordered(work.killed, shards, engine="processes", workers=workers)
    assert list(results) == list(range(12))
    assert runs_of(tmp_path, 4) == 2
    assert all(runs_of(tmp_path, number) == 1 for number in range(12) if number != 4)


def test_several_deaths_at_once_are_survived(tmp_path):
    shards = [(str(tmp_path), number, 2 * int(number in (1, 2, 7))) for number in range(9)]
    results = map_ordered(work.killed, shards, engine="processes", workers=2)
    assert list(results) == list(range(9))
    assert [runs_of(tmp_path, number) for number in range(9)] == [1, 3, 3, 1, 1, 1, 1, 3, 1]


def test_a_shard_that_always_kills_its_process_is_named_and_no_other_is_blamed(tmp_path):
    shards = [(str(tmp_path), number, 99 * int(number == 5)) for number in range(12)]
    results = map_ordered(work.killed, shards, engine="processes", workers=2, attempts=3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(StreamingError) as caught:
        next(results)
    assert str(shards[5]) in str(caught.value)
    assert not any(str(shard) in str(caught.value) for shard in shards if shard[1] != 5)
    assert runs_of(tmp_path, 5) == 3
    assert all(runs_of(tmp_path, number) <= 1 for number in range(12) if number != 5)


def test_shards_that_were_in_flight_with_the_one_at_fault_are_not_blamed(tmp_path):
    shards = [(str(tmp_path), number, 99 * int(number == 1)) for number in range(4)]
    results = map_ordered(work.killed_among_slow, shards, engine="processes", workers=2, attempts=3)
    assert next(results) == 0
    with pytest.raises(StreamingError) as caught:
        next(results)
    assert [str(shard) in str(caught.value) for shard in shards] == [False, True, False, False]
    assert runs_of(tmp_path, 1) == 3


def test_with_one_attempt_only_the_one_at_fault_is_named(tmp_path):
    shards = [(str(tmp_path), number, int(number == 1)) for number in range(4)]
    results = map_ordered(work.killed_among_slow, shards, engine="processes", workers=2, attempts=1)
    assert next(results) == 0
    with pytest.raises(StreamingError, match="died in every attempt") as caught:
        list(results)
    assert [str(shard) in str(caught.value) for shard in shards] == [False, True, False, False]


def test_what_stands_for_a_shard_that_always_kills_its_process_comes_in_its_turn(tmp_path):
    shards = [(str(tmp_path), number, 99 * int(number in (0, 5))) for number in range(9)]
    results = map_ordered(
        work.killed, shards, engine="processes", workers=2, lost=lambda shard: -shard[1] - 1
    )
    assert list(results) == [-1, 1, 2, 3, 4, -6, 6, 7, 8]
    assert [runs_of(tmp_path, number) for number in (0, 5)] == [3, 3]


def test_a_process_killed_from_outside_while_idle_is_survived(tmp_path):
    shards = [(str(tmp_path), number, 0) for number in range(6)]
    results = map_ordered(work.killed, shards, engine="processes", workers=1, attempts=2)
    found = [next(results)]
    wait_until(lambda: runs_of(tmp_path, 1) == 1)
    time.sleep(0.2)  # its result is back by now, and nothing runs
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    assert found + list(results) == list(range(6))


# --- as they are settled


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_shards_are_given_out_as_they_are_settled_each_once(engine):
    seconds = [0.5, *[0.0] * 6]
    found = list(map_settled(work.asleep, seconds, engine=engine, workers=2))
    assert sorted(found) == list(enumerate(seconds))
    assert found[-1][0] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 12), st.integers(1, 4))
def test_a_source_that_ends_begins_no_more_and_those_at_work_come_to_their_end(most, workers):
    settled = []

    def source():
        for number in range(100):
            if len(settled) >= most:
                return
            assert number < len(settled) + workers
            yield number

    for place, result in map_settled(work.doubled, source(), engine="threads", workers=workers):
        assert result == 2 * place
        settled.append(place)
    assert most <= len(settled) <= most + workers
    assert sorted(settled) == list(range(len(settled)))


def test_it_ticks_while_it_waits():
    ticks = []
    found = list(
        map_settled(
            work.asleep,
            [0.7],
            engine="threads",
            workers=1,
            tick=lambda: ticks.append(threading.get_ident()),
        )
    )
    assert found == [(0, 0.7)]
    assert 3 <= len(ticks) <= 6
    assert set(ticks) == {threading.get_ident()}


def test_an_executor_of_the_callers_own_is_used_and_not_ended():
    with ThreadPoolExecutor(2) as pool:
        assert list(map_ordered(work.doubled, range(9), engine=pool, workers=2)) == [
            2 * number for number in range(9)
        ]
        assert pool.submit(work.doubled, 4).result() == 8


# --- clean ends


@BOTH
def test_closing_early_ends_all(engine, workers):
    results = map_ordered(work.doubled_slowly, range(10**6), engine=engine, workers=workers)
    assert next(results) == 0
    results.close()
    assert multiprocessing.active_children() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("worker")]


def test_closing_early_does_not_wait_for_a_long_shard():
    results = map_ordered(work.asleep, [0, 600, 600], engine="processes", workers=2)
    assert next(results) == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 10
    assert multiprocessing.active_children() == []


def test_an_executor_does_what_was_submitted_and_ends():
    for engine in ("threads", "processes"):
        with executor(engine, 2) as pool:
            futures = [pool.submit(work.doubled, number) for number in range(5)]
        assert [future.result() for future in futures] == [0, 2, 4, 6, 8]


def test_an_executor_left_by_an_exception_kills_what_runs():
    start = time.monotonic()
    with pytest.raises(KeyError), executor("processes", 1) as pool:
        pool.submit(work.asleep, 600)
        raise KeyError
    assert time.monotonic() - start < 10


def test_worker_processes_leave_ctrl_c_to_their_parent():
    with executor("processes", 1) as pool:
        worker = pool.submit(work.process_of, 0).result()
        os.kill(worker, signal.SIGINT)  # as a terminal sends it to all of its group
        assert pool.submit(work.process_of, 0).result() == worker


SCRIPT = """
import sys
from pathlib import Path
with Path(sys.argv[1], "main").open("a") as file:
    file.write("run\\n")
from workbench.streaming.workers import map_ordered
import shard_functions as work
function, shards = getattr(work, sys.argv[2]), eval(sys.argv[3])
print(list(map_ordered(function, shards, engine="processes", workers=2)), flush=True)
"""


def script(folder, function, shards, **options):
    """Start a script without a guard that maps a function over shards in two processes."""
    path = folder / "script.py"
    path.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(path), str(folder), function, shards]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def workers_in(folder):
    """Return the numbers of the worker processes that told theirs."""
    return [int(file.name) for file in folder.iterdir() if file.name.isdigit()]


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_script_without_a_guard_runs_once(tmp_path):
    out, error = script(tmp_path, "doubled", "range(4)").communicate(timeout=60)
    assert out.decode().strip() == "[0, 2, 4, 6]", error.decode()
    assert (tmp_path / "main").read_text() == "run\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_worker_processes_end_with_an_interrupted_or_killed_parent(tmp_path, number):
    shards = [(str(tmp_path), 600)] * 2
    parent = script(tmp_path, "pinned", repr(shards), start_new_session=True)
    wait_until(lambda: len(workers_in(tmp_path)) == 2)
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does: to the workers too
    else:
        parent.kill()
    parent.communicate(timeout=30)
    wait_until(lambda: not any(is_running(pid) for pid in workers_in(tmp_path)))


def test_it_works_from_a_notebook(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    source = f"""
import sys; sys.path.insert(0, {str(Path(work.__file__).parent)!r})
from workbench.streaming.workers import map_ordered
import shard_functions as work
list(map_ordered(work.doubled, range(5), engine="processes", workers=2))
"""
    cell = nbformat.v4.new_code_cell(source.strip())
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=60).execute(cwd=str(tmp_path))
    assert notebook.cells[0].outputs[-1]["data"]["text/plain"] == "[0, 2, 4, 6, 8]"
