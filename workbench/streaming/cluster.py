"""A Dask cluster as an executor: calls go to workers of many machines, and come back once.

Dask begins a call again whose worker died, as often as the scheduler's `allowed-failures` says,
and blames every call that the worker had been given. So a call that it gives up is begun once more
with no other beside it: only the one at fault is given up. Units: seconds.

Source: the executor of Dask distributed, `Client.get_executor`. Everything about certificates and
time limits is Dask's own configuration.
"""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, KilledWorker, Security

from workbench.caching.fingerprint import source_fingerprint
from workbench.errors import StreamingError
from workbench.streaming.pools import LostWorkerError, call, packed

PATIENCE_SECONDS = 10.0  # for a scheduler, and for its first worker
_COUNTED_SECONDS = 1.0  # how long a number of workers is believed

logger = logging.getLogger(__name__)


@contextmanager
def cluster(address: str) -> Iterator["ClusterExecutor"]:
    """Give the executor of a cluster; what is not at its end when the block is left is dropped.

    Args:
        address: The scheduler's, as `tcp://127.0.0.1:8786`.

    Raises:
        StreamingError: No scheduler answers there, or it has no worker.
    """
    _refuse_unreachable(address)
    try:
        client: Any = Client(  # type: ignore[no-untyped-call]
            address, timeout=PATIENCE_SECONDS, set_as_default=False
        )
    except Exception as error:  # sockets, certificates and versions fail in as many ways
        raise StreamingError(
            f"{address}: no scheduler lets this program in ({type(error).__name__}: {error}); "
            "look at its log, and at the certificates in Dask's configuration"
        ) from error
    with client:
        executor = ClusterExecutor(client)
        _await_worker(executor, address)
        yield executor
        executor.shutdown()


def _refuse_unreachable(address: str) -> None:
    """Refuse what a client would try for long, and then not let go of.

    Raises:
        StreamingError: Nothing listens there, or there are no certificates for it.
    """
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS).close()
    except OSError as error:
        raise StreamingError(
            f"{address}: no scheduler answers ({error}); start one by `dask scheduler`"
        ) from error
    arguments: Any = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    if parts.scheme == "tls" and arguments["ssl_context"] is None:
        raise StreamingError(
            f"{address}: no certificate is set up for it; name it in Dask's configuration, as "
            "distributed.comm.tls.ca-file, and client.cert and client.key there"
        )


def _await_worker(executor: "ClusterExecutor", address: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not executor.count_workers():
        if time.monotonic() > end:
            raise StreamingError(
                f"{address}: the scheduler has no worker; start some by `dask worker {address}`"
            )
        time.sleep(0.2)


@dataclass(slots=True, eq=False)
class _Call:
    """A call that was taken.

    Attributes:
        packed: Function and shard, as `packed` made them.
        future: What the caller waits for.
        is_suspect: Whether it was given up once, beside others.
    """

    packed: bytes
    future: Future[Any] = field(default_factory=Future)
    is_suspect: bool = False


class ClusterExecutor(Executor):
    """Calls for a cluster; `submit` takes a function and one value.

    It sets LostWorkerError where every attempt's worker died, and StreamingError where the
    scheduler is gone.
    """

    def __init__(self, client: Any) -> None:
        """Begin.

        Args:
            client: Dask's, connected; it is closed by who made it.
        """
        self._client = client
        self._pool = client.get_executor(pure=False)
        self._sources = _sources()
        self._lock = threading.RLock()
        self._waiting: deque[_Call] = deque()
        self._suspects: deque[_Call] = deque()
        self._at_work: set[_Call] = set()
        self._counted = (0.0, 0)

    @property
    def workers(self) -> int:
        """Threads of all workers, as of a second ago."""
        when, count = self._counted
        return count if time.monotonic() < when + _COUNTED_SECONDS else self.count_workers()

    def count_workers(self) -> int:
        """Return how many threads all workers have now."""
        self._counted = (time.monotonic(), sum(self._client.nthreads().values()))
        return self._counted[1]

    def submit(  # type: ignore[override]  # one value, as shards have it
        self, function: Callable[[Any], Any], value: object, /
    ) -> Future[Any]:
        """Send a call to the cluster.

        Raises:
            StreamingError: Function or value cannot be sent.
        """
        called = _Call(packed(function, value))
        called.future.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append(called)
            self._begin()
        return called.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was submitted; closing the client drops it instead."""
        with self._lock:
            calls = [*self._at_work, *self._suspects, *self._waiting]
        if wait:
            wait_for([called.future for called in calls])

    def _begin(self) -> None:
        """Send what may be sent: a suspect goes when no other is at work, and goes alone."""
        while self._suspects and not self._at_work:
            self._send(self._suspects.popleft())
        is_lone = len(self._at_work) == 1 and next(iter(self._at_work)).is_suspect
        while self._waiting and not self._suspects and not is_lone:
            self._send(self._waiting.popleft())

    def _send(self, called: _Call) -> None:
        self._at_work.add(called)
        run = self._pool.submit(_checked_call, self._sources, called.packed)
        run.add_done_callback(partial(self._settle, called))

    def _settle(self, called: _Call, run: Future[Any]) -> None:
        """Hand on what came of a call, or suspect it; in the client's thread."""
        error = None if run.cancelled() else run.exception()
        is_lost = isinstance(error, KilledWorker)
        with self._lock:
            is_sure = called.is_suspect
            self._at_work.discard(called)
            if is_lost and not is_sure:
                called.is_suspect = True
                self._suspects.append(called)
            self._begin()
        if run.cancelled():
            called.future.set_exception(StreamingError(_GONE))
        elif error is None:
            called.future.set_result(run.result())
        elif not is_lost:
            called.future.set_exception(error)
        elif is_sure:
            called.future.set_exception(LostWorkerError())


_GONE = (
    "the cluster's scheduler is gone; start it and its workers, and give the same command again: "
    "it goes on where it stands"
)


def _checked_call(sources: str, packed_call: bytes) -> object:
    """Work in a worker, provided that it runs this very program.

    Raises:
        StreamingError: It runs another.
    """
    if sources != _sources():
        raise StreamingError(
            f"the worker on {socket.gethostname()} has other sources of the workbench; install "
            "the same version there, and start it again"
        )
    return call(packed_call)


@cache
def _sources() -> str:
    """Return the fingerprint of this program."""
    return source_fingerprint(Path(__file__).parents[1].rglob("*.py"))
