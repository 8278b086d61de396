"""Runs side by side: what is begun when, what Ctrl-C does, and how far all of it is.

Each run waits in a thread for a kernel, which is a process already. Units: seconds are wall-clock
seconds.
"""

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import Literal, TypeVar

from workbench.progress import Progress, Show
from workbench.streaming.workers import executor

Engine = Literal["threads"]

POLL_SECONDS = 0.2  # how long Ctrl-C may go unheard

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Interrupts:
    """Counts how often Ctrl-C was pressed.

    Attributes:
        count: How often so far.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Count instead of raising KeyboardInterrupt, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


def side_by_side(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    engine: Engine,
    jobs: int,
    goes_on: Callable[[], bool],
    tick: Callable[[], None],
) -> Iterator[tuple[int, Result]]:
    """Yield the place and the result of each item as it comes to an end.

    Args:
        work: What is done with an item; it raises nothing that it can foresee.
        items: They are begun in their order.
        engine: What runs them.
        jobs: How many at once, at least 1.
        goes_on: Whether a further item may be begun; those at work are always waited for.
        tick: Called about five times a second.
    """
    waiting = deque(enumerate(items))
    running: dict[Future[Result], int] = {}
    with executor(engine, jobs) as pool:
        while True:
            while waiting and len(running) < jobs and goes_on():
                place, item = waiting.popleft()
                running[pool.submit(work, item)] = place
            if not running:
                return
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            tick()
            for future in done:
                yield running.pop(future), future.result()


class BatchProgress:
    """Makes one state of a batch from what its runs tell in their threads.

    A single job shows the cells of its run; several jobs show how many runs are at their end.
    """

    def __init__(self, show: Show, *, stage: str, total: int, jobs: int) -> None:
        """Begin.

        Args:
            show: Called by one thread at a time.
            stage: What the batch is called.
            total: Runs in all.
            jobs: How many are at work at once.
        """
        self._show = show
        self._stage = stage
        self._total = total
        self._shows_cells = jobs == 1
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._done = self._fresh = self._failed = self._at_work = 0

    def cell(self, progress: Progress) -> None:
        """Take the state of one run."""
        with self._lock:
            if self._shows_cells:
                self._show(progress)
            else:
                self._tell()

    def begun(self) -> None:
        """Take that a run was begun."""
        with self._lock:
            self._at_work += 1

    def ended(self, *, is_fresh: bool, is_failed: bool) -> None:
        """Take that a run is at its end.

        Args:
            is_fresh: Whether a kernel ran for it just now.
            is_failed: Whether it failed.
        """
        with self._lock:
            self._at_work -= is_fresh
            self._done += 1
            self._fresh += is_fresh
            self._failed += is_failed
            if not self._shows_cells or self._total > 1:
                self._tell()

    def _tell(self) -> None:
        self._show(
            Progress(
                stage=self._stage,
                done=self._done,
                total=self._total,
                unit="runs",
                seconds=time.monotonic() - self._began,
                fresh=self._fresh,
                numbers={"at work": self._at_work, "failed": self._failed},
            )
        )
