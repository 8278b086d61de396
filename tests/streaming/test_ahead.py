"""Work one step ahead, and one step behind."""

import threading

import pytest

from workbench.streaming.ahead import Behind, ahead


def test_results_come_in_order_and_never_more_than_two_exist() -> None:
    made: list[int] = []
    used = 0
    for result in ahead(lambda n: made.append(n) or n, range(20)):
        assert result == used
        used += 1
        assert len(made) <= used + 1
    assert used == 20


def test_nothing_is_begun_before_it_is_asked_for() -> None:
    made: list[int] = []
    results = ahead(made.append, range(3))
    assert made == []
    next(results)


def test_an_error_comes_where_its_result_is_waited_for() -> None:
    results = ahead(lambda n: 6 // n, [1, 2, 0, 3])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_calls_behind_the_work_are_made_one_at_a_time_in_order() -> None:
    made: list[int] = []
    running = threading.Semaphore(1)

    def call(number: int) -> None:
        assert running.acquire(blocking=False)
        made.append(number)
        running.release()

    with Behind() as behind:
        for number in range(10):
            behind.submit(lambda number=number: call(number))
    assert made == list(range(10))


def test_an_error_behind_the_work_comes_with_the_next_call_or_at_the_end() -> None:
    behind = Behind()
    behind.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        behind.submit(lambda: None)
    with pytest.raises(ZeroDivisionError), Behind() as behind:
        behind.submit(lambda: 1 // 0)
