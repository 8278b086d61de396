"""A window over shards: limits, order, retention, resuming, disks, and what is never deleted."""

import dataclasses
import itertools
import logging
import math
import os
import threading
import time
from pathlib import Path

import pytest
from hub_server import HubServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parquet_files import parquet_of, small_disk
from shard_servers import (
    SIZE,
    content_of,
    quick,
    requests_of,
    served,
    shard_files,
    wait_until,
    watched,
)

from workbench.errors import CachingError, OptionsError, SourceError, StreamingError
from workbench.streaming.course import Course, shard_sequence
from workbench.streaming.listing import folder_source
from workbench.streaming.options import WindowOptions
from workbench.streaming.order import Order
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.window import ShardWindow

MB = 1 << 20


def read_all(window: ShardWindow) -> list[int]:
    """Go through a window, and see that each shard holds what it should."""
    seen = []
    for index, path in window.shards():
        content = path.read_bytes()
        assert content == content_of(index, len(content))
        seen.append(index)
    return seen


# --- sequences


@given(st.integers(1, 20), st.integers(0, 5), st.data())
def test_a_sequence_begun_anywhere_is_the_rest_of_the_whole_one(count, seed, data):
    epochs = data.draw(st.integers(1, 3))
    whole = list(shard_sequence(count, seed=seed, epochs=epochs))
    assert len(whole) == count * epochs
    epoch, start = data.draw(st.integers(0, epochs - 1)), data.draw(st.integers(0, count))
    rest = shard_sequence(count, seed=seed, epoch=epoch, start=start, epochs=epochs - epoch)
    assert list(rest) == whole[epoch * count + start :]
    assert whole[:count] == Order(seed=seed).files(count).tolist()


@given(
    st.lists(st.integers(0, 7), max_size=20),
    st.integers(1, 6),
    st.integers(0, 3),
    st.data(),
)
def test_a_course_goes_on_to_what_is_taken_and_keeps_what_is_behind(
    sequence, horizon, behind, data
):
    course = Course(iter(sequence), 8, horizon=horizon, behind=behind)
    left, taken = list(sequence), []
    while left and data.draw(st.booleans()):
        assert course.ahead() == list(dict.fromkeys(left[:horizon]))
        index = data.draw(st.sampled_from([left[0], *range(8)]))
        is_near = index in left[:horizon]
        assert course.take(index) == is_near
        taken.append(index)
        if is_near:
            left = left[left.index(index) + 1 :]
        assert course.position == len(sequence) - len(left)
        recent = list(dict.fromkeys(reversed(taken)))
        assert course.behind() == recent[: behind + 1]
        assert course.passed == {*recent[behind + 1 :]}


# --- laws of the window


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sequence=st.lists(st.integers(0, 5), max_size=10),
    jumps=st.lists(st.integers(0, 5), max_size=3),
    ahead=st.integers(1, 4),
    behind=st.integers(0, 2),
    most=st.integers(0, 4),
)
def test_any_sequence_through_any_window_gives_the_right_shards_within_the_limit(
    hub: HubServer, tmp_path_factory, sequence, jumps, ahead, behind, most
):
    source = served(hub, 6, size=2000)
    folder = tmp_path_factory.mktemp("any") / "window"
    options = quick(ahead=ahead, behind=behind, max_shards=most)
    limit = most or ahead + behind + 1
    taken = []
    with ShardWindow(source, folder, sequence, options) as window:
        for index in [*sequence[:3], *jumps, *sequence[3:]]:
            with window.lease(index) as path:
                assert path.read_bytes() == content_of(index, 2000)
                assert len(shard_files(folder)) <= limit
            taken.append(index)
            if not most:
                kept = list(dict.fromkeys(reversed(taken)))[: behind + 1]
                states = window.status().states
                assert all(states[each] == "ready" for each in kept)
    assert len(shard_files(folder)) <= limit


# --- ahead and behind


def test_forty_shards_through_a_window_of_three_are_never_more_than_three_files(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 40)
    with (
        watched(tmp_path / "window") as watch,
        ShardWindow(source, tmp_path / "window", None, quick(ahead=2)) as window,
    ):
        assert read_all(window) == list(range(40))
    assert watch.most_files == 3
    assert watch.looks > 10
    assert set(requests_of(hub).values()) == {1}


def test_twelve_shards_come_once_an_epoch_and_again_in_the_next(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 12)
    both = shard_sequence(12, seed=3, epochs=2)
    with ShardWindow(source, tmp_path / "window", both, quick(ahead=5)) as window:
        seen = [next(shards)[0] for shards in [window.shards()] for _ in range(12)]
        assert sorted(seen) == list(range(12))
        more = read_all(window)
    assert sorted(more) == list(range(12))
    assert more != seen
    assert len(requests_of(hub)) == 12
    assert sum(requests_of(hub).values()) >= 24 - 5  # what is still here need not come again


def test_an_epoch_far_behind_is_fetched_again_exactly_once(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 12)
    both = shard_sequence(12, shuffled=False, epochs=2)
    with ShardWindow(source, tmp_path / "window", both, quick(ahead=4)) as window:
        assert read_all(window) == [*range(12), *range(12)]
    assert set(requests_of(hub).values()) == {2}


def test_a_sequence_without_end_may_begin_anywhere(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 5, size=1000)
    endless = shard_sequence(5, shuffled=False, epoch=7, start=3)
    with ShardWindow(source, tmp_path / "window", endless, quick(ahead=2)) as window:
        seen = [index for (index, _), _ in zip(window.shards(), range(9), strict=False)]
    assert seen == [3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_the_shards_ahead_are_here_before_they_are_asked_for(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 8)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=3, initial=3)) as window:
        assert window.status().states == ("ready",) * 3 + ("absent",) * 5
        assert set(requests_of(hub)) == {0, 1, 2}
        with window.lease(0):
            wait_until(lambda: window.status().buffer == 3)
            assert window.status().states == ("in use", *["ready"] * 3, *["absent"] * 4)
        assert window.status().wait_seconds < 0.2


def test_so_many_shards_are_kept_behind_and_no_more(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 9)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=1, behind=2)) as window:
        for index in range(7):
            with window.lease(index):
                pass
        assert window.status().states[:7] == ("gone",) * 4 + ("ready",) * 3
        before = requests_of(hub)
        with window.lease(5) as path:
            assert path.read_bytes() == content_of(5)
        assert requests_of(hub)[5] == before[5] == 1
        with window.lease(0) as path:  # far behind: it comes again
            assert path.read_bytes() == content_of(0)
    assert requests_of(hub)[0] == 2


def test_a_leased_shard_stays_whatever_comes_and_goes(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 12)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=2)) as window:
        with window.lease(0) as first:
            for index in range(1, 12):
                with window.lease(index) as path:
                    assert path.read_bytes() == content_of(index)
                    assert len(shard_files(tmp_path / "window")) <= 3
            assert first.read_bytes() == content_of(0)
        assert window.status().states[0] == "gone"


def test_bytes_are_a_limit_too(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 12)
    options = quick(ahead=8, max_bytes=int(2.5 * SIZE))
    with (
        watched(tmp_path / "window") as watch,
        ShardWindow(source, tmp_path / "window", None, options) as window,
    ):
        assert read_all(window) == list(range(12))
    assert 1 <= watch.most_files <= 2  # who looks now and then may miss the second
    assert watch.most_bytes <= 2.5 * SIZE


def test_a_shard_larger_than_the_limit_is_refused_before_anything_is_done(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 2)
    with pytest.raises(OptionsError, match=r"max_bytes: 59,999 .*shard_00000"):
        ShardWindow(source, tmp_path / "window", None, quick(max_bytes=SIZE - 1))
    unknown = Source(name="x", files=(SourceFile(name="a", url=source.files[0].url, size=UNKNOWN),))
    with pytest.raises(OptionsError, match="tells no size"):
        ShardWindow(unknown, tmp_path / "window", None, quick(max_bytes=SIZE))
    assert not (tmp_path / "window").exists()
    assert not requests_of(hub)


def test_several_threads_lease_from_one_window(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 24, size=5000)
    todo, seen, errors = iter(range(24)), [], []
    lock = threading.Lock()

    def consume() -> None:
        try:
            while True:
                with lock:
                    index = next(todo, None)
                if index is None:
                    return
                with window.lease(index) as path:
                    seen.append((index, path.read_bytes()))
        except Exception as error:
            errors.append(error)

    with ShardWindow(source, tmp_path / "window", None, quick(ahead=3, behind=2)) as window:
        threads = [threading.Thread(target=consume) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert sorted(seen) == [(index, content_of(index, 5000)) for index in range(24)]


# --- the window's size


def test_a_slow_consumer_of_a_quick_server_ends_with_a_small_window(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 18, size=1000)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=6)) as window:
        sizes = []
        for _ in window.shards():
            sizes.append(window.status().window)
            time.sleep(0.05)
        status = window.status()
    assert sizes[0] == 6
    assert all(abs(a - b) <= 1 for a, b in itertools.pairwise(sizes))
    needed = math.ceil(status.load_seconds * status.consume_rate * 1.5) + 1
    assert sizes[-1] <= max(3, needed)  # more only where this machine is busy


def test_status_tells_rates_waiting_and_bytes(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 6)
    hub.faults.add(match="GET /files/", kind="slow", rate=SIZE / 0.1, times=None)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=2, connections=2)) as window:
        assert read_all(window) == list(range(6))
        wait_until(lambda: window.status().files == 1)
        status = window.status()
    assert status.fetched == 6
    assert status.fetched_bytes == 6 * SIZE
    assert status.wait_seconds > 0.1
    assert 2 < status.fetch_rate < 15
    assert status.load_seconds > 0.09
    assert status.consume_rate > 20
    assert (status.position, status.current, status.files, status.size) == (6, 5, 1, SIZE)
    assert "6 shards fetched" in str(status)
    assert "at shard 5" in str(status)


# --- beginnings and ends


def test_what_an_earlier_window_left_is_used_again(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 10)
    options = quick(ahead=3, initial=3)
    with ShardWindow(source, tmp_path / "window", None, options) as window, window.lease(0):
        wait_until(lambda: window.status().buffer == 3)
    before = requests_of(hub)
    with ShardWindow(source, tmp_path / "window", range(1, 10), options) as window:
        assert read_all(window) == list(range(1, 10))
    assert requests_of(hub) - before == dict.fromkeys(range(4, 10), 1)


def restarted(folder: Path) -> None:
    """Make a folder look as if the system had been started anew since it was last used."""
    (folder / ".window" / "boot").write_text("another run", encoding="ascii")


def test_after_a_loss_of_power_what_is_whole_is_verified_and_used_and_the_rest_fetched_again(
    hub: HubServer, tmp_path: Path
) -> None:
    source, folder = served(hub, 4), tmp_path / "w"
    options = quick(ahead=4, behind=4)
    with ShardWindow(source, folder, None, options) as window:
        read_all(window)
    first, *_ = sorted(path for path in shard_files(folder) if "shard_00000" in path.name)
    first.write_bytes(bytes(SIZE))  # of the right size, but never written to the disk
    hub.endpoint_log.clear()
    with ShardWindow(source, folder, None, options) as window:
        status = window.status()
    assert status.buffer == 4 and not requests_of(hub)  # else nobody would look at it again
    restarted(folder)
    with ShardWindow(source, folder, None, options) as window:
        assert read_all(window) == [0, 1, 2, 3]
    assert requests_of(hub) == {0: 1}


def test_after_a_loss_of_power_nothing_is_believed_that_has_no_digest(
    hub: HubServer, tmp_path: Path
) -> None:
    source, folder = served(hub, 2), tmp_path / "w"
    files = tuple(dataclasses.replace(file, digest="") for file in source.files)
    source = dataclasses.replace(source, files=files)
    for number in (1, 2, 3):
        with ShardWindow(source, folder, None, quick(ahead=2, behind=2)) as window:
            assert read_all(window) == [0, 1]
        assert requests_of(hub) == dict.fromkeys([0, 1], 1 if number < 3 else 2)
        if number == 2:
            restarted(folder)


def test_a_folder_that_another_machine_uses_is_refused(hub: HubServer, tmp_path: Path) -> None:
    source, folder = served(hub, 2), tmp_path / "w"
    with ShardWindow(source, folder, None, quick(ahead=2, behind=2)) as window:
        assert read_all(window) == [0, 1]
        restarted(folder)
        with (
            pytest.raises(StreamingError, match="another machine"),
            ShardWindow(source, folder, None, quick()),
        ):
            pass


def test_a_smaller_limit_than_that_of_an_earlier_window_holds_at_once(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 10)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=6, initial=6)):
        pass
    assert len(shard_files(tmp_path / "window")) == 6
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=1)) as window:
        assert len(shard_files(tmp_path / "window")) <= 2
        assert read_all(window) == list(range(10))


@pytest.mark.parametrize("fault", ["stall", "503"])
def test_the_end_of_a_block_waits_for_no_silent_server(
    hub: HubServer, tmp_path: Path, fault: str
) -> None:
    source = served(hub, 6)
    how = {"after_bytes": 100, "seconds": 30} if fault == "stall" else {}
    hub.faults.add(match="shard_0000[1-5]", kind=fault, times=None, **how)
    patient = quick(ahead=3, timeout_seconds=30, first_wait_seconds=30, most_wait_seconds=30)
    with ShardWindow(source, tmp_path / "window", None, patient) as window:
        with window.lease(0):
            wait_until(lambda: len(hub.faults.taken) >= 3)
            time.sleep(0.05)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("window-")]
    assert not [*(tmp_path / "window" / ".window").glob("*.json")]
    hub.faults.clear()
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=3)) as window:
        assert read_all(window) == list(range(6))


def test_a_server_that_never_answers_is_left_behind_and_its_part_stays_claimed(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 3)
    hub.faults.add(match="GET .*shard_00001", kind="slow", rate=1e9)  # counts as asked for
    listener = threading.Event()
    answer, hub.answer = hub.answer, lambda request: (listener.wait(20), answer(request))[1]
    patient = quick(timeout_seconds=30, initial=0)
    try:
        with ShardWindow(source, tmp_path / "window", None, patient):
            wait_until(lambda: len(hub.endpoint_log) == 3)
            begun = time.monotonic()
        assert 1 < time.monotonic() - begun < 5
    finally:
        listener.set()
    threads = [each for each in threading.enumerate() if each.name.startswith("window-")]
    for thread in threads:
        thread.join(10)
    assert not [*(tmp_path / "window" / ".window").glob("*.json")]


def test_a_window_that_is_not_open_says_so(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 2)
    window = ShardWindow(source, tmp_path / "window", None, quick())
    with pytest.raises(StreamingError, match="not open"), window.lease(0):
        pass
    with window:
        pass
    with pytest.raises(StreamingError, match="not open"), window.lease(0):
        pass
    with pytest.raises(StreamingError, match="not open"), window:
        pass
    with pytest.raises(StreamingError, match="there are 2"), window.lease(2):
        pass


def test_who_waits_when_the_window_is_closed_is_woken(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 3)
    hub.faults.add(match="shard_00002", kind="stall", seconds=20, times=None)
    told = []

    def wait() -> None:
        with pytest.raises(StreamingError, match="not open") as caught, window.lease(2):
            pass
        told.append(caught.value)

    with ShardWindow(source, tmp_path / "window", None, quick(timeout_seconds=20)) as window:
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
    thread.join(2)
    assert told


def test_a_forked_child_may_not_use_the_window_nor_end_it(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 3)
    with ShardWindow(source, tmp_path / "window", None, quick()) as window:
        child = os.fork()
        if child == 0:
            try:
                with window.lease(1):
                    os._exit(1)
            except StreamingError as error:
                window.close()
                os._exit(0 if "opened by process" in str(error) else 2)
        assert os.waitpid(child, 0)[1] == 0
        assert read_all(window) == [0, 1, 2]


def test_a_lease_within_a_lease_where_there_is_one_place_is_told_what_to_do(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 3)
    options = quick(max_shards=1, wait_seconds=0.3)
    with ShardWindow(source, tmp_path / "window", None, options) as window:
        end_a_lease = pytest.raises(StreamingError, match="all in use; end a lease")
        with window.lease(0), end_a_lease, window.lease(1):
            pass
        with window.lease(1) as path:
            assert path.read_bytes() == content_of(1)


def test_a_slow_shard_is_waited_for_only_so_long(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 3)
    hub.faults.add(match="shard_00001", kind="slow", rate=SIZE / 3, times=None)
    options = quick(wait_seconds=0.3)
    late = pytest.raises(StreamingError, match=r"shard_00001.*being fetched")
    with ShardWindow(source, tmp_path / "window", None, options) as window, late, window.lease(1):
        pass


# --- what is not ours


def test_local_files_are_used_where_they_lie_and_stay(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for number in range(6):
        (own / f"{number}.parquet").write_bytes(parquet_of([5], first=5 * number))
    before = {path: path.read_bytes() for path in own.iterdir()}
    source = folder_source(own)
    options = quick(ahead=1, max_shards=1)
    with ShardWindow(source, tmp_path / "window", [*range(6), *range(6)], options) as window:
        paths = [path for _, path in window.shards()]
        assert window.status().states == ("ready",) * 6
    assert paths == 2 * sorted(own.iterdir())
    assert {path: path.read_bytes() for path in own.iterdir()} == before
    assert not (tmp_path / "window").exists()


def test_local_and_served_shards_go_side_by_side(hub: HubServer, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(content_of(99))
    files = list(served(hub, 4).files)
    files.insert(2, SourceFile(name="own.bin", url=str(own), size=SIZE))
    source = Source(name="mixed", files=tuple(files))
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=1)) as window:
        contents = [path.read_bytes() for _, path in window.shards()]
    assert contents == [content_of(index) for index in (0, 1, 99, 2, 3)]
    assert own.read_bytes() == content_of(99)


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_a_local_file_that_was_taken_away_is_missed_by_name(tmp_path: Path, policy: str) -> None:
    files = tuple(SourceFile(name=str(i), url=str(tmp_path / f"{i}.bin"), size=3) for i in range(3))
    for name in ("0.bin", "2.bin"):
        (tmp_path / name).write_bytes(b"abc")
    window = ShardWindow(Source(name="x", files=files), tmp_path / "w", None, quick(policy=policy))
    with window:
        if policy == "skip":
            assert [index for index, _ in window.shards()] == [0, 2]
            assert "1.bin" in window.status().skipped[1]
        else:
            with pytest.raises(SourceError, match=r"1\.bin"):
                list(window.shards())


def test_a_folder_with_something_else_is_refused_and_kept(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 2)
    (tmp_path / "window").mkdir()
    (tmp_path / "window" / "thesis.txt").write_text("mine")
    with (
        pytest.raises(CachingError, match="something else"),
        ShardWindow(source, tmp_path / "window", None, quick()),
    ):
        pass
    assert (tmp_path / "window" / "thesis.txt").read_text() == "mine"


def test_a_file_that_somebody_put_beside_the_shards_stays(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 8)
    with ShardWindow(source, tmp_path / "window", None, quick(ahead=1)) as window:
        (tmp_path / "window" / "notes.txt").write_text("mine")
        assert read_all(window) == list(range(8))
    assert (tmp_path / "window" / "notes.txt").read_text() == "mine"


# --- disks


def test_a_window_on_a_small_disk_is_as_large_as_the_disk_allows(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 10, size=MB)
    least = []
    over = threading.Event()
    with small_disk(tmp_path / "disk", 5 * MB) as disk:

        def look() -> None:
            while not over.wait(0.005):
                state = os.statvfs(disk)
                least.append(state.f_bavail * state.f_frsize)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            options = quick(ahead=8, min_free_bytes=int(1.5 * MB))
            with ShardWindow(source, disk / "window", None, options) as window:
                assert read_all(window) == list(range(10))
        finally:
            over.set()
            thread.join()
    assert min(least) >= 1.4 * MB  # the lock and the seats take some pages
    assert min(least) < 2.5 * MB


def test_the_disk_guard_raises_and_takes_nothing(hub: HubServer, tmp_path: Path) -> None:
    source = served(hub, 3, size=MB)
    with small_disk(tmp_path / "disk", 5 * MB) as disk:
        options = quick(min_free_bytes=int(4.5 * MB))
        begun = time.monotonic()
        with (
            pytest.raises(StreamingError, match="min_free_bytes"),
            ShardWindow(source, disk / "window", None, options),
        ):
            pass
        assert time.monotonic() - begun < 2
        assert not shard_files(disk / "window")
    assert not requests_of(hub)


def test_a_disk_that_others_fill_is_told_and_goes_on_when_there_is_room(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 6, size=MB)
    with small_disk(tmp_path / "disk", 5 * MB) as disk:
        options = quick(ahead=1, min_free_bytes=MB)
        with ShardWindow(source, disk / "window", None, options) as window:
            with window.lease(0):
                wait_until(lambda: window.status().buffer == 1)
                (disk / "junk").write_bytes(bytes(int(2.5 * MB)))
            with window.lease(1) as path:  # it is here
                assert path.read_bytes() == content_of(1, MB)
                (disk / "more").write_bytes(bytes(int(1.2 * MB)))
            begun = time.monotonic()
            with pytest.raises(StreamingError, match="make room"), window.lease(2):
                pass
            assert time.monotonic() - begun < 2
            (disk / "junk").unlink()
            assert read_all(window) == [3, 4, 5]


def test_a_window_on_a_disk_without_a_byte_left_gives_what_is_here(
    hub: HubServer, tmp_path: Path
) -> None:
    source = served(hub, 40)
    with small_disk(tmp_path / "disk", 4 * MB) as disk:
        options = quick(ahead=30, initial=30, connections=2)
        with ShardWindow(source, disk / "window", range(30), options) as window:
            state = os.statvfs(disk)
            with (disk / "junk").open("wb") as junk:
                os.posix_fallocate(junk.fileno(), 0, state.f_bavail * state.f_frsize)
            assert os.statvfs(disk).f_bavail == 0
            assert read_all(window) == list(range(30))
            with window.lease(39) as path:  # what left has made room
                assert path.read_bytes() == content_of(39)


def test_little_free_space_is_warned_of_once(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = served(hub, 6)
    with (
        caplog.at_level(logging.WARNING),
        ShardWindow(source, tmp_path / "window", None, quick(warn_free_bytes=1 << 60)) as window,
    ):
        assert read_all(window) == list(range(6))
    assert sum("make room" in record.message for record in caplog.records) == 1


# --- options


def test_options_out_of_range_are_refused_all_at_once() -> None:
    with pytest.raises(OptionsError) as caught:
        WindowOptions(ahead=0, policy="ignore", connections=0)
    assert all(name in str(caught.value) for name in ("ahead", "policy", "connections"))
