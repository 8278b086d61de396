"""Processes that take calls, and how a call goes to another process and back.

Processes are spawned, not forked, and do not run the `__main__` of their parent, so a notebook or
a script without a guard may use them; what they run must therefore stand in a module. They end
with whoever started them, however that ends.

Each process has a pool of its own, so that a process that dies takes its own call with it and no
other: that call is begun again in a new process, until its attempts are used up.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from workbench.errors import StreamingError


class LostWorkerError(Exception):
    """The worker of a call died in every attempt."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call that was taken.

    Attributes:
        packed: Function and shard, as `packed` made them.
        future: What the caller waits for.
        attempts: How often its process died.
    """

    packed: bytes
    future: Future[Any] = field(default_factory=Future)
    attempts: int = 0


class ProcessPool(Executor):
    """Worker processes; a call whose process dies is tried again, and harms no other.

    `submit` takes a function and one value. It sets LostWorkerError where every attempt's process
    died.
    """

    def __init__(self, workers: int, attempts: int) -> None:
        """Begin; processes start as calls come.

        Args:
            workers: How many processes at most, at least 1.
            attempts: How often a call is begun whose process dies, at least 1.
        """
        self._attempts = attempts
        self._lock = threading.RLock()
        self._waiting: deque[_Call] = deque()
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[ProcessPoolExecutor, _Call] = {}
        self._broken: list[ProcessPoolExecutor] = []  # which may still be tidying up
        self._free = workers
        self._open = 0
        self._is_over = False
        self._is_quiet = threading.Condition(self._lock)

    def submit(  # type: ignore[override]  # one value, as shards have it
        self, function: Callable[[Any], Any], value: object, /
    ) -> Future[Any]:
        """Begin a call, or let it wait for a process.

        Raises:
            StreamingError: Function or value cannot be sent to a process.
            RuntimeError: The pool is shut down.
        """
        called = _Call(packed(function, value))
        with self._lock:
            if self._is_over:
                raise RuntimeError("the pool is shut down")
            self._open += 1
            self._waiting.append(called)
            self._begin()
        return called.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; end the processes when they have done what they have."""
        with self._lock:
            self._is_over = True
            dropped = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
        for called in dropped:
            self._drop(called)
        if not wait:
            return  # the processes end with this object, when nothing is left to do
        with self._lock:
            self._is_quiet.wait_for(lambda: self._open == 0)
            pools = [*self._idle, *self._broken]
            self._idle.clear()
        for pool in pools:
            pool.shutdown()

    def kill(self) -> None:
        """End the processes now; what they do and what waits is dropped."""
        with self._lock:
            self._is_over = True
            calls = [*self._busy.values(), *self._waiting]
            pools = [*self._idle, *self._busy, *self._broken]
            self._waiting.clear()
            self._busy.clear()
            self._idle.clear()
        for pool in pools:
            for process in list((pool._processes or {}).values()):  # not public before 3.14
                process.kill()
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        for called in calls:
            self._drop(called)

    def _begin(self) -> None:
        """Begin what waits, as far as there are processes. The lock is held."""
        while self._waiting and (self._idle or self._free):
            called = self._waiting.popleft()
            if not called.future.running() and not called.future.set_running_or_notify_cancel():
                self._open -= 1
                continue
            pool = self._taken()
            try:
                inner = pool.submit(call, called.packed)
            except BrokenExecutor:  # its process died while it was idle
                self._broken.append(pool)
                self._free += 1
                self._waiting.appendleft(called)
                continue
            self._busy[pool] = called
            inner.add_done_callback(partial(self._settle, pool))

    def _taken(self) -> ProcessPoolExecutor:
        """Take a process that is idle, or a new one."""
        if self._idle:
            return self._idle.pop()
        self._free -= 1
        return ProcessPoolExecutor(1, _Context(), _settle_in)

    def _settle(self, pool: ProcessPoolExecutor, inner: Future[Any]) -> None:
        """Hand on what came of a call, or try it again, and begin another; in a pool's thread."""
        error = inner.exception()
        is_lost = isinstance(error, BrokenExecutor)
        with self._lock:
            called = self._busy.pop(pool, None)
            if called is None:
                return  # it was killed
            called.attempts += is_lost
            is_tried_again = is_lost and called.attempts < self._attempts
            if is_tried_again:
                self._waiting.appendleft(called)
            if is_lost:
                self._broken.append(pool)
                self._free += 1
            else:
                self._idle.append(pool)
            self._begin()
        if is_tried_again:
            return
        if error is not None:
            called.future.set_exception(LostWorkerError() if is_lost else error)
        else:
            called.future.set_result(inner.result())
        self._count_off()

    def _drop(self, called: _Call) -> None:
        """End a call that nobody works on any more."""
        if not called.future.cancel():
            called.future.set_exception(LostWorkerError())
        self._count_off()

    def _count_off(self) -> None:
        """Take that a call is at its end."""
        with self._lock:
            self._open -= 1
            self._is_quiet.notify_all()


def packed(function: Callable[[Any], Any], shard: object) -> bytes:
    """Return what `call` takes: what cannot be sent is known here, in the caller's thread.

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


def call(packed: bytes) -> object:
    """Work in a worker process; an error that cannot go back as it is goes back as text.

    What is unpacked here, and not by the pool, cannot end the process by failing.

    Raises:
        StreamingError: In place of an error that cannot be packed or unpacked.
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
