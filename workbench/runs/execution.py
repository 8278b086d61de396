"""What running a notebook gave, and the hold on a kernel that runs one.

Units: seconds are wall-clock seconds.
"""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from workbench.runs.notebooks import Notebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a notebook stopped.

    Attributes:
        type: The exception's name.
        message: Its text.
        cell: The cell, counted from 1 in the notebook as it is edited; None when no cell ran.
    """

    type: str
    message: str
    cell: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A notebook after its run.

    Attributes:
        notebook: With the outputs up to the end or the failure.
        seconds: How long it took.
        failure: Why it stopped before its end, or None.
    """

    notebook: Notebook
    seconds: float
    failure: Failure | None


class KernelStoppedError(Exception):
    """A kernel was killed because somebody asked for it; its run is neither done nor failed."""


class Hold:
    """Kills the kernel of one run from any thread, also one that is yet to start.

    Attributes:
        ended: Why it was killed; None while it was not.
    """

    def __init__(self) -> None:
        self.ended: Literal["timed out", "stopped"] | None = None
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def take(self, process: "subprocess.Popen[bytes]") -> None:
        """Take hold of a kernel that has started, which leads a process group of its own."""
        with self._lock:
            self._process = process
            if self.ended is not None:
                self._kill()

    def end(self, reason: Literal["timed out", "stopped"]) -> None:
        """Kill the kernel and what it started; the first reason counts."""
        with self._lock:
            if self.ended is None:
                self.ended = reason
                self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
