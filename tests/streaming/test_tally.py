"""Tallies: what is added in parts is the whole, and a store is what its last commit made it."""

import resource
import signal
import sqlite3
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import StreamingError
from workbench.streaming.tally import (
    BLOCK_ROWS,
    FAN_IN,
    TallyStore,
    counted,
    keys_within,
    merged,
)

MB = 1 << 20
ANY_KEY = st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1))
KEYS = st.lists(ANY_KEY, max_size=60)


def keys_of(values):
    return np.array(values, np.uint64)


def as_counter(blocks):
    """Return some blocks of rows as a Counter; the keys must rise, within and between blocks."""
    total, last = Counter(), -1
    for keys, counts in blocks:
        assert keys.dtype == counts.dtype == np.uint64
        assert len(keys) == len(counts) > 0
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            assert key > last
            last = key
            total[key] = count
    return total


def opened(folder, name="a.sqlite", **options):
    return TallyStore(folder / name, **{"budget_bytes": MB, "is_durable": False} | options)


def block_lengths(path, level=None):
    """Return the rows of each block, by run, as the file has them."""
    query = "SELECT level, run, length(keys) / 8 FROM block ORDER BY level, run, block"
    runs = {}
    with sqlite3.connect(path) as database:
        for found, run, rows in database.execute(query):
            runs.setdefault((found, run), []).append(rows)
    return {place: rows for place, rows in runs.items() if level in (None, place[0])}


# --- counting and merging


@given(KEYS)
def test_counting_agrees_with_a_counter(values):
    keys, counts = counted(keys_of(values))
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == Counter(values)
    assert keys.tolist() == sorted(set(values))


@given(st.lists(st.tuples(ANY_KEY, st.integers(0, 2**40)), max_size=40))
def test_counting_weighted_keys_adds_their_weights(pairs):
    total = Counter()
    for key, weight in pairs:
        total[key] += weight
    keys, counts = counted(keys_of([k for k, _ in pairs]), keys_of([w for _, w in pairs]))
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == total


@given(st.lists(st.lists(KEYS, max_size=4), max_size=5))
def test_runs_merge_into_the_sum_of_their_rows(runs):
    whole = Counter()
    iterators = []
    for run in runs:
        rows = counted(keys_of([key for block in run for key in block]))
        whole.update(key for block in run for key in block)
        step = max(len(rows[0]) // max(len(run), 1), 1)
        cuts = range(0, len(rows[0]), step)
        iterators.append(iter([(rows[0][c : c + step], rows[1][c : c + step]) for c in cuts]))
    assert as_counter(merged(iterators)) == whole


# A life of a store: keys are added to one of two tallies, committed, or the store is opened anew.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("ab"), KEYS),
        st.just(("commit",)),
        st.just(("reopen",)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, block_rows=st.integers(1, 9))
def test_any_adds_commits_and_openings_keep_what_was_committed(tmp_path_factory, steps, block_rows):
    folder = tmp_path_factory.mktemp("life")
    committed, waiting = {"a": Counter(), "b": Counter()}, {"a": Counter(), "b": Counter()}
    store = opened(folder, block_rows=block_rows)
    commits = waiting_keys = 0
    for step in steps:
        if step[0] == "add":
            waiting_keys += len(set(step[2]))
            store.add(step[1], counted(keys_of(step[2])))
            waiting[step[1]].update(step[2])
        elif step[0] == "commit":
            commits, waiting_keys = commits + 1, 0
            store.commit({"commits": commits}, [{"commit": commits}])
            for name, counter in waiting.items():
                committed[name].update(counter)
                counter.clear()
        else:
            with store:
                pass
            store = opened(folder, block_rows=block_rows)
            waiting_keys = 0
            for counter in waiting.values():
                counter.clear()
        assert {name: as_counter(store.rows(name)) for name in "ab"} == committed
        assert store.tallies() == [name for name in "ab" if committed[name]]
        assert store.waiting_keys == waiting_keys
        assert store.state == ({"commits": commits} if commits else None)
    assert list(store.journal()) == [{"commit": number + 1} for number in range(commits)]
    with store:
        pass


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 2), KEYS), max_size=12),
    block_rows=st.integers(1, 50),
)
def test_stores_merged_in_any_order_are_one_store_of_all(tmp_path_factory, parts, block_rows):
    folder = tmp_path_factory.mktemp("parts")
    stores = [opened(folder, f"{n}.sqlite", block_rows=block_rows) for n in range(3)]
    with opened(folder, "whole.sqlite") as whole:
        for number, (place, values) in enumerate(parts):
            stores[place].add("a", counted(keys_of(values)))
            whole.add("a", counted(keys_of(values)))
            stores[place].commit({"at": number})
        whole.commit({})
        expected = as_counter(whole.rows("a"))
    for order in ((0, 1, 2), (2, 0, 1)):
        assert as_counter(merged(stores[n].rows("a") for n in order)) == expected
    for store in stores:
        with store:
            pass


def test_keys_added_out_of_order_and_twice_are_counted_all_the_same(tmp_path):
    with opened(tmp_path) as store:
        store.add("a", (keys_of([9, 3, 9]), keys_of([1, 2, 3])))
        store.commit({})
        assert as_counter(store.rows("a")) == {3: 2, 9: 4}


def test_counts_beyond_32_bits_are_exact(tmp_path):
    large = 2**32 - 1
    with opened(tmp_path) as store:
        for number, count in enumerate((large, 1, 2**62)):
            store.add("a", (keys_of([2**64 - 1, number]), keys_of([count, large])))
            store.commit({})
        assert as_counter(store.rows("a")) == {
            0: large,
            1: large,
            2: large,
            2**64 - 1: 2**32 + 2**62,
        }


# --- blocks, levels, budget


@pytest.mark.parametrize("block_rows", [1, 7, 256, BLOCK_ROWS])
def test_blocks_hold_as_many_rows_as_asked_for_but_the_last(tmp_path, block_rows):
    with opened(tmp_path, block_rows=block_rows) as store:
        for start in range(FAN_IN + 2):  # so that a merged run is there too
            store.add("a", counted(np.arange(start, 600, 3, dtype=np.uint64)))
            store.commit({})
        blocks = store.blocks("a")
        assert store.blocks("b") == 0
    runs = block_lengths(tmp_path / "a.sqlite")
    assert {level for level, _ in runs} == {0, 1}
    assert sum(map(len, runs.values())) == blocks
    for lengths in runs.values():
        assert set(lengths[:-1]) <= {block_rows}
        assert 0 < lengths[-1] <= block_rows


def test_runs_are_merged_when_a_level_has_as_many_as_the_fan_in(tmp_path):
    with opened(tmp_path) as store:
        for number in range(1, FAN_IN**2 + FAN_IN + 2):
            store.add("a", counted(keys_of([number % 5, number])))
            store.commit({})
            in_digits = [number % FAN_IN, number // FAN_IN % FAN_IN, number // FAN_IN**2]
            runs = [level for level, _ in store._runs("a")]
            assert [runs.count(level) for level in range(3)] == in_digits
    assert set(block_lengths(tmp_path / "a.sqlite")) == {(0, 0), (1, 0), (2, 0)}


def test_the_budget_bounds_the_keys_that_wait(tmp_path):
    generator = np.random.default_rng(3)
    limit = keys_within(MB)
    assert 10_000 < limit < MB // 16
    most = 0
    with opened(tmp_path, budget_bytes=MB) as store:
        for _ in range(200):
            keys = generator.integers(0, 2**63, 999, "u8")
            store.add("ab"[store.waiting_keys % 2], counted(keys))
            assert store.is_full == (store.waiting_keys > limit)
            if store.is_full:
                most = max(most, store.waiting_keys)
                store.commit({})
                assert store.waiting_keys == 0
    assert limit < most <= limit + 999


def test_a_greater_budget_lets_more_keys_wait(tmp_path):
    rows = counted(np.arange(keys_within(MB) + 1, dtype=np.uint64))
    for budget, is_full in ((MB, True), (2 * MB, False)):
        with opened(tmp_path, f"{budget}.sqlite", budget_bytes=budget) as store:
            store.add("a", rows)
            assert store.is_full == is_full


# --- what is refused


def foreign(path, statements):
    with sqlite3.connect(path) as database:
        database.executescript(statements)
    database.close()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ("CREATE TABLE photo (id)", "another program"),
        ("PRAGMA user_version = 1", "another program"),
        ("CREATE TABLE state (json); PRAGMA user_version = 1", "another program"),
        ("PRAGMA application_id = 7; CREATE TABLE photo (id)", "another program"),
    ],
)
def test_another_programs_database_is_refused_and_left_alone(tmp_path, statements, said):
    path = tmp_path / "a.sqlite"
    foreign(path, statements)
    before = path.read_bytes()
    with pytest.raises(StreamingError, match=said) as caught:
        opened(tmp_path)
    assert "name another file" in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_newer_format_is_refused(tmp_path):
    with opened(tmp_path) as store:
        store.commit({})
    foreign(tmp_path / "a.sqlite", "PRAGMA user_version = 99")
    with pytest.raises(StreamingError, match="format 99, this program reads format 1"):
        opened(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    (tmp_path / "a.sqlite").write_bytes(b"my holiday pictures" * 100)
    with pytest.raises(StreamingError, match="not a database"):
        opened(tmp_path)
    assert (tmp_path / "a.sqlite").read_bytes() == b"my holiday pictures" * 100


@pytest.mark.parametrize("place", ["", "a.sqlite/b.sqlite", "no/such/folder.sqlite"])
def test_a_place_where_no_store_can_be_is_refused(tmp_path, place):
    (tmp_path / "a.sqlite").touch()
    with pytest.raises(StreamingError, match="name a file in a folder that can be written"):
        opened(tmp_path, place)


def test_a_second_opener_is_refused_while_one_holds_the_store(tmp_path):
    with opened(tmp_path) as store:
        for _ in range(2):  # before the first commit, and after
            with pytest.raises(StreamingError, match="another process uses it"):
                opened(tmp_path)
            store.add("a", counted(keys_of([1])))
            store.commit({"at": 1})
    with opened(tmp_path) as store:
        assert store.state == {"at": 1}


def test_a_damaged_store_is_told_from_a_good_one(tmp_path):
    path = tmp_path / "a.sqlite"
    with opened(tmp_path) as store:
        store.add("a", counted(np.arange(50_000, dtype=np.uint64)))
        store.commit({"at": 1})
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(StreamingError, match="delete this one"), opened(tmp_path) as store:
        list(store.rows("a"))


def test_rows_that_are_cut_short_are_told(tmp_path):
    with opened(tmp_path) as store:
        store.add("a", counted(keys_of([1, 2])))
        store.commit({"at": 1})
    foreign(tmp_path / "a.sqlite", "UPDATE block SET keys = x'0102030405'")
    with opened(tmp_path) as store, pytest.raises(StreamingError, match="no usable store"):
        list(store.rows("a"))


# --- a commit that fails, and one that is killed


def test_a_state_that_cannot_be_written_changes_nothing(tmp_path):
    with opened(tmp_path) as store:
        store.add("a", counted(keys_of([1])))
        store.commit({"at": 1}, [{"entry": 1}])
        store.add("a", counted(keys_of([1, 2, 2])))
        with pytest.raises(TypeError):
            store.commit({"at": {1, 2}}, [{"entry": 2}])
        assert as_counter(store.rows("a")) == {1: 1}
        assert list(store.journal()) == [{"entry": 1}]
        assert store.state == {"at": 1}
        store.commit({"at": 2})  # what waited is waiting still
        assert as_counter(store.rows("a")) == {1: 2, 2: 2}


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from workbench.errors import StreamingError
from workbench.streaming.tally import TallyStore, counted
path, room = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
with TallyStore(path, budget_bytes=1 << 20) as store:
    at = (store.state or {"at": 0})["at"]
    for number in range(at + 1, at + 100):
        store.add("a", counted(np.arange(2000 * number, 2000 * number + 3000, dtype=np.uint64)))
        try:
            store.commit({"at": number}, [{"at": number}])
        except StreamingError as error:
            print(number, error)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            if len(sys.argv) > 3:
                store.commit({"at": number}, [{"at": number}])
            break
"""


def committed_up_to(number):
    total = Counter()
    for part in range(1, number + 1):
        total.update(range(2000 * part, 2000 * part + 3000))
    return total


def test_a_full_disk_leaves_the_store_as_it_was_and_what_waits_can_be_committed_later(tmp_path):
    reached = 0
    for room, more in ((300_000, []), (600_000, []), (900_000, ["again"])):
        command = [sys.executable, "-c", FULL, str(tmp_path / "a.sqlite"), str(room), *more]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        number, _, message = found.stdout.partition(" ")
        assert "what was committed before is intact; make room" in message
        assert int(number) > reached + 1
        reached = int(number) - 1 + len(more)
        with opened(tmp_path) as store:
            assert store.state == {"at": reached}
            assert [entry["at"] for entry in store.journal()] == list(range(1, reached + 1))
            assert as_counter(store.rows("a")) == committed_up_to(reached)
        assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_store_that_cannot_be_begun_for_want_of_room_says_so(tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    code = FULL.replace("resource.setrlimit(resource.RLIMIT_FSIZE, (room", "() and ((room")
    command = [sys.executable, "-B", "-c", code, str(tmp_path / "a.sqlite"), "0"]
    found = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited, check=False)
    assert found.returncode == 1
    assert "make room and run the same command again" in found.stderr


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import numpy as np
from workbench.streaming.tally import TallyStore, counted
with TallyStore(Path(sys.argv[1]), budget_bytes=1 << 20) as store:
    at = (store.state or {"at": 0})["at"]
    delay = float(sys.argv[2])
    threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    while True:
        at += 1
        store.add("a", counted(np.arange(2000 * at, 2000 * at + 3000, dtype=np.uint64)))
        store.commit({"at": at}, [{"at": at}])
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(4, id="few"), pytest.param(40, id="many", marks=pytest.mark.soak)]
)
def test_a_kill_at_any_instant_leaves_the_last_commit(tmp_path, kills):
    reached = inside = advances = 0
    for kill in range(kills):
        delay = 0.03 + 0.0137 * kill % 0.1
        command = [sys.executable, "-c", KILLED, str(tmp_path / "a.sqlite"), str(delay)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == -signal.SIGKILL, found.stderr
        journal = tmp_path / "a.sqlite-journal"
        inside += journal.exists() and journal.read_bytes()[:8] == bytes.fromhex("d9d505f920a163d7")
        with opened(tmp_path) as store:
            assert store.state["at"] >= reached
            advances += store.state["at"] > reached
            reached = store.state["at"]
            assert [entry["at"] for entry in store.journal()] == list(range(1, reached + 1))
            assert as_counter(store.rows("a")) == committed_up_to(reached)
    assert advances > kills // 2
    assert inside or kills < 10, "no kill fell into a commit"


def test_a_store_left_without_a_commit_is_as_before(tmp_path):
    with opened(tmp_path) as store:
        store.add("a", counted(keys_of([1])))
        store.commit({"at": 1})
        store.add("a", counted(keys_of([2])))
    with opened(tmp_path) as store:
        assert as_counter(store.rows("a")) == {1: 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]
