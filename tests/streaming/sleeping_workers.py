"""Workers that only sleep: an executor of any number of them that takes one thread."""

import heapq
import itertools
import threading
import time
from collections import deque
from concurrent.futures import BrokenExecutor, Executor, Future


class SleepingWorkers(Executor):
    """Works on each shard for as many seconds as `seconds_of` says, and only then calls.

    Attributes:
        most_held: The most shards that were here at once.
        most_busy: The most workers that were at work at once.
    """

    def __init__(self, workers, seconds_of=float, kills=lambda shard: False):
        """Begin.

        Args:
            workers: How many.
            seconds_of: How long a shard takes, seconds.
            kills: Whether a shard kills its worker, whose place another takes at once.
        """
        self.most_held = self.most_busy = 0
        self._workers = workers
        self._seconds_of, self._kills = seconds_of, kills
        self._at_work = []  # a heap: end, number, future, function, shard
        self._waiting = deque()
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, function, shard, /):
        future = Future()
        with self._changed:
            assert not self._is_over
            self._waiting.append((future, function, shard))
            self._begin(time.monotonic())
            self.most_held = max(self.most_held, len(self._at_work) + len(self._waiting))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def _begin(self, now):
        while self._waiting and len(self._at_work) < self._workers:
            task = self._waiting.popleft()
            end = now + self._seconds_of(task[-1])
            heapq.heappush(self._at_work, (end, next(self._numbers), *task))
            if self._at_work[0][0] == end:
                self._changed.notify()
        self.most_busy = max(self.most_busy, len(self._at_work))

    def _run(self):
        while task := self._ended():
            future, function, shard = task
            if self._kills(shard):
                future.set_exception(BrokenExecutor("the worker died"))
            else:
                future.set_result(function(shard))

    def _ended(self):
        """Wait for the next task that is at its end; return None when there will be none."""
        with self._changed:
            while not self._is_over:
                now = time.monotonic()
                if self._at_work and self._at_work[0][0] <= now:
                    end, _, *task = heapq.heappop(self._at_work)
                    self._begin(end)  # the next began when this ended, however late that is seen
                    return task
                self._changed.wait(self._at_work[0][0] - now if self._at_work else None)
        return None
