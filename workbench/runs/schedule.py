"""Runs side by side: what is begun when, what Ctrl-C does, and how far all of it is.

A thread is enough for a run, whose kernel is a process already; processes and clusters are for many
of them. Units: seconds are wall-clock seconds.
"""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from workbench.progress import Progress, Show
from workbench.streaming.workers import Engine, map_settled

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
    items: Iterable[Item],
    *,
    engine: Engine,
    jobs: int,
    goes_on: Callable[[Item], bool],
    lost: Callable[[Item], Result],
    tick: Callable[[], None],
) -> Generator[tuple[int, Result], None, None]:
    """Yield the place and the result of each item as it comes to an end.

    Args:
        work: What is done with an item; it raises nothing that it can foresee. For other engines
            than threads it stands at the top of a module.
        items: They are begun in their order.
        engine: What runs them.
        jobs: How many at once, at least 1.
        goes_on: Whether an item, which may begin now, is begun; after the first that is not, none
            is. Those at work are always waited for.
        lost: Makes the result of an item whose worker died in every attempt.
        tick: Called about five times a second.

    Raises:
        StreamingError: There are no workers to be had.
    """
    begun = itertools.takewhile(goes_on, items)
    yield from map_settled(work, begun, engine=engine, workers=jobs, lost=lost, tick=tick)


class BatchProgress:
    """Makes one state of a batch from what its runs tell in their threads.

    It shows the cells of a run that is alone at work, else how many runs are at their end.
    """

    def __init__(self, show: Show, *, stage: str, total: int, shows_cells: bool) -> None:
        """Begin.

        Args:
            show: Called by one thread at a time.
            stage: What the batch is called.
            total: Runs in all.
            shows_cells: Whether one run at a time is at work, and tells its cells.
        """
        self._show = show
        self._stage = stage
        self._total = total
        self._shows_cells = shows_cells
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
