"""Ahead and behind: order, one at a time, errors where they are waited for, no hang."""

import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.streaming.ahead import Behind, ahead

PATIENCE_SECONDS = 10


def wait_until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.001)


class Log:
    """Calls, as they begin and end; one at a time or it fails."""

    def __init__(self):
        self.begun, self.ended, self.threads = [], [], set()

    def __call__(self, item):
        assert len(self.begun) == len(self.ended), "two calls at once"
        self.begun.append(item)
        self.threads.add(threading.get_ident())
        time.sleep(0.0005)
        self.ended.append(item)
        return -item


class Gate:
    """A call that ends when it may; every call of a failed test may, too."""

    def __init__(self):
        self._may = threading.Event()
        self.is_begun = threading.Event()

    def __call__(self, item=None):
        self.is_begun.set()
        assert self._may.wait(PATIENCE_SECONDS)
        return item

    def open(self):
        self._may.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def fails_at(number, error):
    """Return a function that gives its item back, but raises at one, and what it was called with.

    Args:
        number: The item.
        error: What is raised there.
    """
    called = []

    def function(item):
        called.append(item)
        if item == number:
            raise error
        return item

    return function, called


# --- ahead: order and bounds


@settings(max_examples=25)
@given(st.lists(st.integers(), max_size=12))
def test_results_come_in_the_order_of_the_items(items):
    log = Log()
    assert list(ahead(log, items)) == [-item for item in items]
    assert log.begun == items


def test_the_next_is_made_while_one_is_used_and_no_further():
    log = Log()
    results = ahead(log, range(6))
    for taken in range(1, 7):
        next(results)
        made = min(taken + 1, 6)
        wait_until(lambda: len(log.ended) == made)  # noqa: B023 - called at once
        time.sleep(0.005)
        assert len(log.begun) == made
    assert list(results) == []
    assert threading.get_ident() not in log.threads


def test_nothing_keeps_a_result_that_is_used_no_more():
    class Result:
        pass

    made = []

    def function(_):
        result = Result()
        made.append(weakref.ref(result))
        return result

    for result in ahead(function, range(6)):
        number = next(i for i, each in enumerate(made) if each() is result)
        wait_until(lambda: len(made) == min(number + 2, 6))  # noqa: B023 - called at once
        assert all(each() is None for each in made[:number])


def test_items_are_taken_one_by_one_and_endless_ones_are_no_trouble():
    taken = []
    results = ahead(lambda item: item, (taken.append(n) or n for n in iter(int, 1)))
    assert taken == []
    assert [next(results) for _ in range(20)] == [0] * 20
    assert len(taken) == 21
    results.close()


def test_nothing_is_begun_before_the_first_is_asked_for():
    log = Log()
    results = ahead(log, [1, 2])
    time.sleep(0.02)
    assert log.begun == []
    assert next(results) == -1


# --- ahead: failures


@pytest.mark.parametrize("number", [0, 1, 3])
def test_an_error_comes_where_its_result_is_waited_for(number):
    error = LookupError("here")
    function, called = fails_at(number, error)
    results = ahead(function, range(10))
    assert [next(results) for _ in range(number)] == list(range(number))
    with pytest.raises(LookupError) as caught:
        next(results)
    assert caught.value is error
    assert called == list(range(number + 1))
    assert list(results) == []


def test_a_second_way_is_gone_by_who_waits_before_the_next_is_begun():
    function, called = fails_at(2, LookupError("here"))
    told = []

    def otherwise(item, error):
        time.sleep(0.01)
        told.append((item, str(error), threading.get_ident(), list(called)))
        return "another"

    assert list(ahead(function, range(5), otherwise)) == [0, 1, "another", 3, 4]
    assert told == [(2, "here", threading.get_ident(), [0, 1, 2])]


def test_a_second_way_may_fail_too():
    function, called = fails_at(2, LookupError("here"))

    def otherwise(item, error):
        raise KeyError(item) from error

    results = ahead(function, range(5), otherwise)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError) as caught:
        next(results)
    assert isinstance(caught.value.__cause__, LookupError)
    assert called == [0, 1, 2]


# --- ahead: ends


def test_leaving_early_waits_for_nothing(gate):
    results = ahead(lambda item: gate(item) if item else item, [0, 1, 2])
    assert next(results) == 0
    assert gate.is_begun.wait(PATIENCE_SECONDS)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 1
    gate.open()
    assert list(results) == []


# --- behind


@settings(max_examples=15)
@given(st.lists(st.integers(), max_size=8))
def test_calls_are_finished_in_order_and_one_at_a_time(items):
    log = Log()
    with Behind() as behind:
        for item in items:
            behind.submit(lambda item=item: log(item))
    assert log.ended == items
    assert threading.get_ident() not in log.threads


def test_a_call_is_not_waited_for_where_it_is_submitted_but_at_the_end(gate):
    ended = []
    with Behind() as behind:
        behind.submit(lambda: ended.append(gate(1)))
        assert gate.is_begun.wait(PATIENCE_SECONDS)
        assert ended == []
        gate.open()
    assert ended == [1]


def test_a_second_call_waits_for_the_first(gate):
    log = []
    with Behind() as behind:
        behind.submit(lambda: log.append(gate(1)))
        threading.Timer(0.05, gate.open).start()
        behind.submit(lambda: log.append(2))
        assert log[0] == 1
    assert log == [1, 2]


def test_an_error_comes_at_the_next_call_which_is_not_begun():
    error, begun = LookupError("here"), []

    def fails():
        raise error

    behind = Behind()
    behind.submit(fails)
    with pytest.raises(LookupError) as caught:
        behind.submit(lambda: begun.append(1))
    assert caught.value is error
    behind.wait()
    assert begun == []
    behind.submit(lambda: begun.append(2))  # it was told once
    behind.wait()
    assert begun == [2]


def test_an_error_of_the_last_call_comes_at_the_end():
    def fails():
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"), Behind() as behind:
        behind.submit(fails)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_a_block_that_ends_by_an_exception_waits_too_and_keeps_it(error):
    ended = threading.Event()

    def slow():
        time.sleep(0.05)
        ended.set()

    with pytest.raises(error), Behind() as behind:
        behind.submit(slow)
        raise error
    assert ended.is_set()

    def fails():
        raise LookupError("hidden")

    with pytest.raises(KeyError), Behind() as behind:
        behind.submit(fails)
        raise KeyError


def test_waiting_for_nothing_is_nothing():
    with Behind() as behind:
        behind.wait()
    Behind().wait()


# --- interrupts

SCRIPT = """
import sys, time
from workbench.streaming.ahead import Behind, ahead
def slow(*_):
    print("begun", flush=True)
    time.sleep(60)
if sys.argv[1] == "ahead":
    next(ahead(slow, [1]))
with Behind() as behind:
    behind.submit(slow)
"""


def started(way):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, way],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("way", ["ahead", "behind"])
def test_ctrl_c_ends_a_wait_and_the_program(way):
    with started(way) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(0.1)  # it waits by now
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=2) == -signal.SIGINT
            assert "KeyboardInterrupt" in process.stderr.read()
        finally:
            process.kill()
