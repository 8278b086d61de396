"""Threads and processes that work through shards; their results come in the order of the shards.

Processes are spawned, not forked, and do not run the `__main__` of their parent, so a notebook or
a script without a guard may use them; what they run must therefore stand in a module. A worker
process that dies (killed, out of memory) costs each shard in flight one attempt: those are then
run one at a time, so that only the shard at fault can be blamed. Worker processes end with
whoever started them, however that ends. Threads cannot be stopped: leaving early waits for the
shards that run.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal, TypeVar

from workbench.errors import StreamingError

Engine = Literal["threads", "processes"]

Shard = TypeVar("Shard")
Result = TypeVar("Result")


@contextmanager
def executor(engine: Engine, workers: int) -> Iterator[Executor]:
    """Give an executor of some threads or processes.

    A block that ends well waits for what was submitted; one that ends by an exception drops what
    has not begun, and kills its processes.

    Args:
        engine: Threads, or processes for work that holds the interpreter's lock.
        workers: How many, at least 1.

    Raises:
        StreamingError: There is no such engine, or less than one worker.
    """
    _check(engine, workers)
    pool = _pool(engine, workers)
    try:
        yield pool
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()


def map_ordered(
    function: Callable[[Shard], Result],
    shards: Iterable[Shard],
    *,
    engine: Engine,
    workers: int,
    attempts: int = 3,
) -> Iterator[Result]:
    """Return an iterator over what a function makes of each shard, in the order of the shards.

    At most twice as many shards as there are workers are taken ahead of the results. One worker
    of the engine `threads` is the caller's own thread. Closing the iterator early stops all.

    Args:
        function: Takes one shard. For processes it stands at the top of a module, not in a
            notebook or script; shards and results go through pickle.
        shards: Any number; their `str` names them in errors.
        engine: Threads or processes.
        workers: How many, at least 1.
        attempts: How many times at most a shard is run, when worker processes die.

    Raises:
        StreamingError: At the call: an argument that cannot be used. From the iterator: a shard
            whose worker process dies in every attempt, or that cannot go to one; it is named.
        Exception: Whatever the function raises comes out of the iterator at once, with a note
            that names the shard; all else is dropped.
    """
    _check(engine, workers)
    if attempts < 1:
        raise StreamingError(f"{attempts} attempts for each shard; at least 1 is needed")
    if engine == "threads" and workers == 1:
        return _in_line(function, shards)
    if engine == "processes" and getattr(function, "__module__", None) == "__main__":
        raise StreamingError(
            f"{function} stands in a notebook or script, where worker processes cannot find it;"
            " move it to a module, or take threads"
        )
    return _side_by_side(function, shards, _Crew(engine, workers), attempts)


def _check(engine: str, workers: int) -> None:
    if engine not in ("threads", "processes"):
        raise StreamingError(f"engine {engine!r} is none of 'threads', 'processes'")
    if workers < 1:
        raise StreamingError(f"{workers} workers; at least 1 is needed")


def _in_line(function: Callable[[Shard], Result], shards: Iterable[Shard]) -> Iterator[Result]:
    for shard in shards:
        try:
            result = function(shard)
        except Exception as error:
            error.add_note(_note(shard))
            raise
        yield result


def _note(shard: object) -> str:
    return f"while working on shard {shard}"


@dataclass(slots=True, eq=False)
class _Task:
    """A shard that was taken.

    Attributes:
        shard: What the function takes.
        runs: How many times it was begun.
        future: Its present run; None before it begins, and again when its process was lost.
    """

    shard: Any
    runs: int = 0
    future: Future[Any] | None = None


def _side_by_side(
    function: Callable[[Shard], Result], shards: Iterable[Shard], crew: "_Crew", attempts: int
) -> Iterator[Result]:
    source = iter(shards)
    tasks: deque[_Task] = deque()
    with crew:
        while True:
            if not _lost(tasks):
                tasks.extend(_Task(shard) for shard in islice(source, crew.ahead - len(tasks)))
            if not tasks:
                return
            _begin(tasks, function, crew, attempts)
            if future := _first_done(tasks):
                tasks.popleft()
                yield future.result()
            else:
                crew.replace()
                for task in tasks:
                    if task.future and _is_lost(task.future):
                        task.future = None


def _lost(tasks: Iterable[_Task]) -> list[_Task]:
    """Return the tasks whose process died: each may be the one that killed it."""
    return [task for task in tasks if task.runs and task.future is None]


def _begin(
    tasks: deque[_Task], function: Callable[[Any], Any], crew: "_Crew", attempts: int
) -> None:
    """Begin what waits to; while there are lost tasks, the first alone, with no other in flight.

    Raises:
        StreamingError: The first has used up its attempts.
    """
    lost = _lost(tasks)
    spent = [str(task.shard) for task in lost if task.runs >= attempts]
    if spent and tasks[0].future is None:
        raise StreamingError(
            f"shard {' or '.join(spent)}: the worker process died in each of {attempts} attempts"
            " (killed, or out of memory); leave the shard out or give it more memory"
        )
    for task in [tasks[0]] if lost else tasks:
        if task.future is None:
            task.future = crew.begin(function, task.shard)
            task.runs += task.future is not None


def _first_done(tasks: deque[_Task]) -> Future[Any] | None:
    """Wait for the first task; return its run, or None as soon as the pool is broken.

    Raises:
        Exception: What any of the tasks raised, with the name of its shard.
    """
    while tasks[0].future:
        begun = [(task, task.future) for task in tasks if task.future]
        done = [(task, future) for task, future in begun if future.done()]
        for task, future in done:
            if _is_lost(future):
                return None
            if error := future.exception():
                error.add_note(_note(task.shard))
                raise error
        if tasks[0].future.done():
            return tasks[0].future
        wait([future for _, future in begun if not future.done()], return_when=FIRST_COMPLETED)
    return None


def _is_lost(future: Future[Any]) -> bool:
    return future.cancelled() or isinstance(future.exception(), BrokenExecutor)


class _Crew:
    """A pool of workers whose place another takes when it breaks."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self._engine = engine
        self._workers = workers
        self.ahead = 2 * workers

    def __enter__(self) -> None:
        self._pool = _pool(self._engine, self._workers)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._pool.shutdown()
        else:
            _stop(self._pool)

    def begin(self, function: Callable[[Any], Any], shard: object) -> Future[Any] | None:
        """Return a run of a function with a shard; None where the pool is broken.

        Raises:
            StreamingError: Function or shard cannot be sent to a process.
        """
        try:
            if self._engine == "threads":
                return self._pool.submit(function, shard)
            return self._pool.submit(_call, _packed(function, shard))
        except BrokenExecutor:
            return None

    def replace(self) -> None:
        """Stop the pool, which settles what was in flight, and take another."""
        _stop(self._pool)
        self._pool = _pool(self._engine, self._workers)


def _packed(function: Callable[[Any], Any], shard: object) -> bytes:
    """Return what `_call` takes: what cannot be sent is known here, in the caller's thread.

    Raises:
        StreamingError: Function or shard cannot be sent to a process.
    """
    try:
        return bytes(ForkingPickler.dumps((function, shard)))
    except Exception as error:  # as many kinds as there are objects
        raise StreamingError(
            f"shard {shard}: cannot go to a worker process ({error}); the function must stand at"
            " the top of a module, and the shard be made of plain values"
        ) from error


def _call(packed: bytes) -> object:
    """Work in a worker process; an error that cannot go back as it is goes back as text.

    What is unpacked here, and not by the pool, cannot end the process by failing.
    """
    function, shard = ForkingPickler.loads(packed)
    try:
        return function(shard)
    except Exception as error:
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:
            raise StreamingError(f"{type(error).__name__}: {error}") from None
        raise


def _pool(engine: Engine, workers: int) -> Executor:
    if engine == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="worker")
    return ProcessPoolExecutor(workers, _Context(), _settle_in)


def _stop(pool: Executor) -> None:
    """End a pool now: drop what has not begun, kill processes, wait for threads."""
    if isinstance(pool, ProcessPoolExecutor):
        for process in list(pool._processes.values()):  # no public way to them before 3.14
            process.kill()
    pool.shutdown(cancel_futures=True)


def _settle_in() -> None:
    """Make a new worker process deaf to Ctrl-C, which its parent hears, and end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_main_lock = threading.Lock()


class _Process(SpawnProcess):
    """A spawned process that does not run its parent's `__main__`."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 (multiprocessing's name)
        main = sys.modules["__main__"]
        with _main_lock:
            # spawn tells the child to run what these two name
            hidden: dict[str, Any] = {
                name: main.__dict__.pop(name)
                for name in ("__file__", "__spec__")
                if name in main.__dict__
            }
            main.__spec__ = None
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                main.__dict__.update(hidden)


class _Context(SpawnContext):
    Process = _Process
