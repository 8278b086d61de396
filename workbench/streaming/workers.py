"""Workers that take shards: threads, processes, or a Dask cluster of many machines.

The engine is a text: `threads`, `processes` or `dask:ADDRESS`, the address being that of a
scheduler, as `tcp://127.0.0.1:8786` or `tls://host:8786`. Each is an executor of
`concurrent.futures`, and the same shards give the same results on all of them.

A worker that dies (killed, out of memory, cut off) costs the shard that it had one attempt. What a
shard leaves that always kills its worker is for the caller to say: an error, or a result that
stands for it. Threads cannot be stopped: leaving early waits for the shards that run.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from workbench.errors import StreamingError
from workbench.streaming.pools import LostWorkerError, ProcessPool

Engine = str

LOCAL = ("threads", "processes")
DASK = "dask:"
KILLED_WORKER = "killed_worker"  # the reason of what was left out as its worker died of it
POLL_SECONDS = 0.2

_LOST = (LostWorkerError, BrokenExecutor)

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def engine_mistakes(name: str, engine: str) -> list[str]:
    """Return what is wrong with an engine, for an option of some name.

    No cluster is called, and nothing of Dask's imported.
    """
    if engine in LOCAL:
        return []
    if not engine.startswith(DASK):
        return [f"{name}: {engine!r} is none of 'threads', 'processes', 'dask:ADDRESS'"]
    scheme, host = _scheme_and_host(engine.removeprefix(DASK))
    if scheme not in ("tcp", "tls") or not host:
        return [f"{name}: {engine!r} has no address such as dask:tls://host:8786"]
    if scheme == "tcp" and not _is_loopback(host):
        return [
            f"{name}: {engine!r} leaves this machine, where tcp would let anybody run programs on "
            "the workers; give a tls:// address"
        ]
    return []


def cheapest(engine: Engine, workers: int) -> Engine:
    """Return the engine, or threads where it is one process: this one does as well."""
    return "threads" if engine == "processes" and workers == 1 else engine


def _scheme_and_host(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
        return (parts.scheme, parts.hostname or "") if parts.port else ("", "")
    except ValueError:  # as of a port that is no number
        return "", ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def executor(engine: Engine, workers: int, attempts: int = 3) -> Iterator[Executor]:
    """Give an executor of some threads or processes, or of a cluster.

    A block that ends well waits for what was submitted; one that ends by an exception drops what
    has not begun, and kills its processes.

    Args:
        engine: Threads, processes for work that holds the interpreter's lock, or a cluster.
        workers: How many, at least 1; a cluster has its own.
        attempts: How often what is submitted is begun, when worker processes die.

    Raises:
        StreamingError: There is no such engine, or less than one worker.
    """
    _check(engine, workers)
    with _working(engine, workers, attempts) as pool:
        yield pool


def map_ordered(
    function: Callable[[Shard], Result],
    shards: Iterable[Shard],
    *,
    engine: Engine | Executor,
    workers: int,
    attempts: int = 3,
    lost: Callable[[Shard], Result] | None = None,
) -> Iterator[Result]:
    """Return an iterator over what a function makes of each shard, in the order of the shards.

    At most twice as many shards as there are workers are taken ahead of the results. One worker
    of the engine `threads` is the caller's own thread. Closing the iterator early stops all.

    Args:
        function: Takes one shard. For other engines than threads it stands at the top of a
            module, not in a notebook or script; shards and results go through pickle.
        shards: Any number; their `str` names them in errors.
        engine: Threads, processes, a cluster, or an executor that somebody else ends.
        workers: How many, at least 1; a cluster that has more is given work for all of them.
        attempts: How often a shard is run whose process dies; a cluster counts as it is set up to.
        lost: Makes what stands for a shard whose worker died in every attempt, in the caller's
            thread and in its turn; without it that is an error.

    Raises:
        StreamingError: At the call: an argument that cannot be used. From the iterator: a shard
            whose worker dies in every attempt, or that cannot go to one; it is named. Or a cluster
            that does not answer.
        Exception: Whatever the function raises comes out of the iterator at once, with a note
            that names the shard; all else is dropped.
    """
    _check_work(function, engine, workers, attempts)
    if engine == "threads" and workers == 1:
        return _in_line(function, shards)
    return _in_order(_Course(function, shards, lost), engine, workers, attempts)


def map_settled(
    function: Callable[[Shard], Result],
    shards: Iterable[Shard],
    *,
    engine: Engine | Executor,
    workers: int,
    attempts: int = 3,
    lost: Callable[[Shard], Result] | None = None,
    tick: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Return an iterator over the place and the result of each shard, as each is settled.

    At most as many shards as there are workers are begun and not settled. The next is drawn when
    it may begin, so that shards which end there begin no more.

    Args:
        function: As `map_ordered` has it.
        shards: Any number; their `str` names them in errors.
        engine: As `map_ordered` has it.
        workers: How many shards at once, at least 1; also on a cluster.
        attempts: As `map_ordered` has it.
        lost: As `map_ordered` has it.
        tick: Called about five times a second while it waits, in the caller's thread.

    Raises:
        StreamingError: As from `map_ordered`.
        Exception: Whatever the function raises, as from `map_ordered`.
    """
    _check_work(function, engine, workers, attempts)
    return _as_settled(_Course(function, shards, lost), engine, workers, attempts, tick)


def _check(engine: Engine | Executor, workers: int) -> None:
    mistakes = [] if isinstance(engine, Executor) else engine_mistakes("engine", engine)
    if workers < 1:
        mistakes.append(f"{workers} workers; at least 1 is needed")
    if mistakes:
        raise StreamingError("; ".join(mistakes))


def _check_work(function: object, engine: Engine | Executor, workers: int, attempts: int) -> None:
    _check(engine, workers)
    if attempts < 1:
        raise StreamingError(f"{attempts} attempts for each shard; at least 1 is needed")
    is_sent = isinstance(engine, str) and engine != "threads"
    if is_sent and getattr(function, "__module__", None) == "__main__":
        raise StreamingError(
            f"{function} stands in a notebook or script, where worker processes cannot find it;"
            " move it to a module, or take threads"
        )


@contextmanager
def _working(engine: Engine | Executor, workers: int, attempts: int) -> Iterator[Executor]:
    """Give an executor, and end it unless it is another's: at once where the block fails."""
    if isinstance(engine, Executor):
        yield engine
    elif engine == "threads":
        with ThreadPoolExecutor(workers, thread_name_prefix="worker") as threads:
            try:
                yield threads
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
    elif engine == "processes":
        processes = ProcessPool(workers, attempts)
        try:
            yield processes
        except BaseException:
            processes.kill()
            raise
        processes.shutdown()
    else:
        with _cluster(engine.removeprefix(DASK)) as calls:
            yield calls


def _cluster(address: str) -> AbstractContextManager[Executor]:
    try:
        from workbench.streaming.cluster import cluster  # noqa: PLC0415  an extra, slow to import
    except ModuleNotFoundError as error:
        raise StreamingError(
            f"dask:{address}: Dask is not installed ({error.name}); install the extra by "
            "`pip install 'workbench[cluster]'`"
        ) from error
    return cluster(address)


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
        place: Its place among the shards.
        shard: What the function takes.
        run: What comes of it.
    """

    place: int
    shard: Any
    run: Future[Any]


class _Course(Generic[Shard, Result]):
    """Shards that are begun and settled, while their results are used elsewhere.

    What it costs to wait for one does not depend on how many are at work.

    Attributes:
        held: How many shards were taken and not given out.
    """

    def __init__(
        self,
        function: Callable[[Shard], Result],
        shards: Iterable[Shard],
        lost: Callable[[Shard], Result] | None,
    ) -> None:
        self.held = 0
        self._function = function
        self._source = enumerate(shards)
        self._lost = lost
        self._ended: SimpleQueue[_Task] = SimpleQueue()

    def begin(self, pool: Executor, most: int) -> list[_Task]:
        """Begin shards until as many are held as may be; return their tasks."""
        begun = []
        for place, shard in islice(self._source, max(most - self.held, 0)):
            begun.append(_Task(place, shard, pool.submit(self._function, shard)))
            begun[-1].run.add_done_callback(partial(_put, self._ended, begun[-1]))
            self.held += 1
        return begun

    def ended(self, seconds: float | None) -> list[_Task]:
        """Return the tasks that are done and were not told of, as soon as there is one.

        Args:
            seconds: How long it waits for one; None is until there is one.

        Raises:
            Exception: What any of them raised, with the name of its shard.
        """
        found = []
        with suppress(Empty):
            found.append(self._ended.get(timeout=seconds))
            while True:
                found.append(self._ended.get_nowait())
        for task in found:
            _refuse_failed(task)
        return found

    def given(self, task: _Task) -> Result:
        """Give out what came of a task that is done.

        Raises:
            StreamingError: Its worker died in every attempt, and nothing may stand for that.
            Exception: What it raised.
        """
        self.held -= 1
        _refuse_failed(task)
        if task.run.exception() is None:
            result: Result = task.run.result()
            return result
        if self._lost is None:
            raise StreamingError(
                f"shard {task.shard}: the worker died in every attempt (killed, or out of memory);"
                " leave the shard out or give it more memory"
            )
        return self._lost(task.shard)


def _put(ended: "SimpleQueue[_Task]", task: _Task, run: Future[Any]) -> None:
    ended.put(task)


def _refuse_failed(task: _Task) -> None:
    """Raise what a task that is done has raised."""
    error = task.run.exception()
    if error is not None and not isinstance(error, _LOST):
        error.add_note(_note(task.shard))
        raise error


def _in_order(
    course: _Course[Shard, Result], engine: Engine | Executor, workers: int, attempts: int
) -> Generator[Result, None, None]:
    tasks: deque[_Task] = deque()
    with _working(engine, workers, attempts) as pool:
        while True:
            tasks.extend(course.begin(pool, _ahead(pool, workers)))
            if not tasks:
                return
            course.ended(0)  # a failure is told at once, and nothing is kept that was given out
            while not tasks[0].run.done():
                course.ended(None)
            yield course.given(tasks.popleft())


def _ahead(pool: Executor, workers: int) -> int:
    """Return how many shards may be taken before their results are, so that no worker waits."""
    return 2 * max(workers, getattr(pool, "workers", 0))  # a cluster knows how many it has


def _as_settled(
    course: _Course[Shard, Result],
    engine: Engine | Executor,
    workers: int,
    attempts: int,
    tick: Callable[[], None] | None,
) -> Generator[tuple[int, Result], None, None]:
    with _working(engine, workers, attempts) as pool:
        while True:
            course.begin(pool, workers)
            if not course.held:
                return
            ended = course.ended(POLL_SECONDS if tick else None)
            if tick:
                tick()
            for task in ended:
                yield task.place, course.given(task)
