"""Work on a folder that one process at a time may do.

The system lets go of a lock when its process ends, however that ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.errors import CachingError, WorkbenchError


def claimed(
    lock: Path, place: object, work: str, error: type[WorkbenchError] = CachingError
) -> FileLock:
    """Return a lock that is held from now on; any thread may release it.

    Args:
        lock: The lock's file; its folder is made when it is missing.
        place: What the work is done on, for messages.
        work: What is done there, as `gather`.
        error: What is raised.

    Raises:
        WorkbenchError: Another process holds it, or it cannot be written.
    """
    held = FileLock(lock, timeout=0, thread_local=False)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout as busy:
        raise error(f"{place}: another {work} is at work there; wait for it") from busy
    except OSError as wrong:
        raise error(f"{lock.parent}: cannot be written ({wrong.strerror})") from wrong
    return held


@contextmanager
def alone(
    lock: Path, place: object, work: str, error: type[WorkbenchError] = CachingError
) -> Iterator[None]:
    """Hold a lock while the block lasts; see `claimed`.

    Raises:
        WorkbenchError: Another process holds it, or it cannot be written.
    """
    held = claimed(lock, place, work, error)
    try:
        yield
    finally:
        held.release()
