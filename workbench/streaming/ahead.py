"""Work that is done one step ahead of who uses it, and work that is finished one step behind.

Both use one thread of their own. What fails in the thread is raised where its result is waited
for. The threads are daemons: they never keep an interrupted program from ending.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

PATIENCE_SECONDS = 1.5  # of who pressed Ctrl-C

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Run:
    """One call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer.put((self._call(), None))
        except BaseException as error:
            self._answer.put((None, error))
        finally:
            self._ended.set()

    def join(self, seconds: float | None = None) -> bool:
        """Wait until the call has ended, or for so long; return whether it has."""
        # a thread's own join, when Ctrl-C ends it, takes the thread for ended
        return self._ended.wait(seconds)

    def result(self) -> Any:
        value, error = self._answer.get()
        if error is not None:
            raise error
        return value


def _raised(item: Any, error: Exception) -> Any:
    raise error


def ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    otherwise: Callable[[Item, Exception], Result] = _raised,
) -> Iterator[Result]:
    """Return what a function makes of each item; the next is made while one is used.

    Never more than two results exist: the one in use and the one that is made. Leaving early
    lets the thread finish what it is at, and drops that.

    Args:
        function: Called in a thread of its own, for one item at a time.
        items: Taken one by one, in the thread that waits.
        otherwise: Called with an item and what the function raised for it, in the thread that
            waits, before the next is begun; it gives a result after all, or raises.

    Raises:
        Exception: Whatever the function raises, when its result is waited for.
    """
    source = iter(items)
    coming = _begun(function, source)
    while coming is not None:
        item, run = coming
        try:
            result = run.result()
        except Exception as error:
            result = otherwise(item, error)
        coming = _begun(function, source)
        yield result


def _begun(function: Callable[[Item], Result], items: Iterator[Item]) -> tuple[Item, _Run] | None:
    for item in items:
        return item, _Run(partial(function, item))
    return None


class Behind:
    """Calls that are finished one at a time, in order, behind the work that makes them.

    A context manager: a block waits at its end for the last call, so that none goes on when others
    take it for over. What it raises is lost where the block itself ends by an exception. Who
    presses Ctrl-C waits for `PATIENCE_SECONDS` at most; `afterwards` tells when the call has ended.
    """

    def __init__(self) -> None:
        self._run: _Run | None = None

    def __enter__(self) -> Self:
        """Return the queue."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last call."""
        if kind is None:
            self.wait()
        elif issubclass(kind, Exception):
            with suppress(Exception):
                self.wait()
        elif self._run is not None:
            self._run.join(PATIENCE_SECONDS)

    def wait(self) -> None:
        """Wait until nothing is under way.

        Raises:
            Exception: What the call under way raised.
        """
        if self._run is not None:
            self._run.join()  # first, as Ctrl-C here must not lose sight of what goes on
            run, self._run = self._run, None
            run.result()

    def afterwards(self, call: Callable[[], Any]) -> None:
        """Call something once nothing is under way: at once, or else from a thread of its own."""
        run = self._run
        if run is None or run.join(0):
            call()
        else:
            threading.Thread(target=lambda: (run.join(), call()), daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> None:
        """Begin a call, once the one before has ended.

        Raises:
            Exception: What the one before raised; this one is not begun then.
        """
        self.wait()
        self._run = _Run(call)
