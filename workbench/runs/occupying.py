"""Who may write below outputs/: locks that the system releases however their holder ends.

A params file is at work once: its runs are named after its stem, so the lock is on notebook and
stem. Several params files may run one notebook at the same time; whoever is alone there removes
what killed runners left.
"""

import fcntl
import logging
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from workbench.errors import RunsError

LOCK = ".lock"

logger = logging.getLogger(__name__)

_LEFTOVER = re.compile(r"\.(?P<run>.+)\.[a-z0-9_]{8}\.part(?P<old>\.old)?")


@contextmanager
def alone(outputs: Path, names: Iterable[str]) -> Iterator[str]:
    """Hold some names below a folder for this runner, and give the mark that stands there now.

    Args:
        outputs: The folder of all results.
        names: What is held, each a word.

    Raises:
        RunsError: Another runner holds one of them; it is told which.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex
    with ExitStack() as held:
        for name in sorted(set(names)):  # in one order, so that two runners cannot hold half each
            file = held.enter_context((outputs / f".{name}{LOCK}").open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().partition("\n")[0] or "another process"
                raise RunsError(
                    f"{outputs}: {holder} is at work on {name}; wait for its end or stop it"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n{mark}\n")
            file.flush()
            os.fsync(file.fileno())  # another machine looks for the mark
        yield mark


def is_marked(outputs: Path, name: str, mark: str) -> bool:
    """Return whether a folder is, seen from here, the one that a runner holds a name below."""
    try:
        return (outputs / f".{name}{LOCK}").read_text().splitlines()[1:] == [mark]
    except (OSError, ValueError):
        return False


@contextmanager
def occupied(parent: Path, *, sweeps: bool = True) -> Iterator[None]:
    """Hold a notebook's folder together with other runners.

    Args:
        parent: The folder.
        sweeps: Whether what killed runners left is removed first, if nobody else is there. Not
            for a worker: on a file system of several machines it may not see who else is.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / LOCK).open("a+") as lock:  # NFS wants what is locked open for both
        if sweeps:
            _sweep_if_alone(parent, lock)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _sweep_if_alone(parent: Path, lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.debug("%s: another run is at work here", parent)
    else:
        _sweep(parent)


def _sweep(parent: Path) -> None:
    """Remove what killed runners left, but put back a run that was about to be replaced."""
    for path in sorted(parent.iterdir()):
        left = _LEFTOVER.fullmatch(path.name)
        if left is None:
            continue
        replaced = parent / left["run"]
        if left["old"] and not replaced.exists():
            path.rename(replaced)
        else:
            shutil.rmtree(path)
