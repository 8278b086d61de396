"""A thousand workers that only sleep, of one caller: order, bounds, stragglers, losses."""

import random

import pytest
from sleeping_workers import SleepingWorkers

from workbench.errors import StreamingError
from workbench.streaming.workers import map_ordered, map_settled

WORKERS = 1000
SHARDS = 3000


def seconds_of(shards, most=0.2):
    """Return how long each shard takes; the work of the second fifth takes none."""
    rng = random.Random(shards)
    return [0 if 1 <= 5 * n // shards < 2 else rng.uniform(0, most) for n in range(shards)]


@pytest.fixture
def crew():
    """Makes executors of a thousand workers, which sleep as long as a shard says."""
    made = []

    def make(seconds, **options):
        made.append(SleepingWorkers(WORKERS, seconds.__getitem__, **options))
        return made[-1]

    yield make
    for each in made:
        each.shutdown()


def test_a_thousand_workers_are_all_at_work_and_the_order_is_kept(crew):
    sleeping, taken = crew(seconds_of(SHARDS)), 0

    def shards():
        nonlocal taken
        for number in range(SHARDS):
            taken += 1
            yield number

    results = map_ordered(str, shards(), engine=sleeping, workers=WORKERS)
    for number, result in enumerate(results):
        assert result == str(number)
        assert taken <= number + 2 * WORKERS
    assert taken == SHARDS
    assert sleeping.most_busy == WORKERS
    assert WORKERS < sleeping.most_held <= 2 * WORKERS


def test_a_thousand_workers_settle_each_shard_once_and_hold_no_more_than_their_number(crew):
    sleeping = crew(seconds_of(SHARDS))
    found = dict(map_settled(str, range(SHARDS), engine=sleeping, workers=WORKERS))
    assert found == {number: str(number) for number in range(SHARDS)}
    assert list(found) != sorted(found)
    assert sleeping.most_busy == sleeping.most_held == WORKERS


def test_one_slow_shard_holds_up_only_those_that_may_not_pass_it(crew):
    seconds = [0.6] + [0.001] * (SHARDS - 1)
    settled = map_settled(str, range(SHARDS), engine=crew(seconds), workers=WORKERS)
    assert [place for place, _ in settled][-1] == 0
    sleeping = crew(seconds)
    ordered = map_ordered(str, range(SHARDS), engine=sleeping, workers=WORKERS)
    assert next(ordered) == "0"
    assert sleeping.most_held <= 2 * WORKERS
    assert list(ordered) == [str(number) for number in range(1, SHARDS)]


def test_of_a_thousand_workers_those_that_die_cost_their_own_shards_alone(crew):
    sleeping = crew(seconds_of(SHARDS), kills=lambda shard: shard % 97 == 5)
    results = map_ordered(
        str, range(SHARDS), engine=sleeping, workers=WORKERS, lost=lambda shard: f"lost {shard}"
    )
    expected = [f"lost {n}" if n % 97 == 5 else str(n) for n in range(SHARDS)]
    assert list(results) == expected


def test_a_shard_that_kills_its_worker_is_named_where_nothing_stands_for_it(crew):
    sleeping = crew([0.01] * SHARDS, kills=lambda shard: shard == 1234)
    results = map_ordered(str, range(SHARDS), engine=sleeping, workers=WORKERS)
    for number in range(1234):
        assert next(results) == str(number)
    with pytest.raises(StreamingError, match="shard 1234"):
        next(results)
