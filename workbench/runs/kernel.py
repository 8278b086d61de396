"""One notebook in a fresh kernel, by papermill, held in memory from start to end.

Nothing is written to disk here, so that a killed run leaves no unredacted text behind. Importing
this module imports papermill (2 s): import it where a run really starts. Units: seconds are
wall-clock seconds, kernel start and stop included.

A kernel ends with whoever started it, also by SIGKILL. ipykernel looks for its parent once a
second, but not before it has started, nor while a cell holds the interpreter's lock; on Linux the
system itself is therefore asked for a signal (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from workbench.errors import RunsError
from workbench.progress import Progress, Show
from workbench.runs.execution import Execution, Failure, Hold, KernelStoppedError
from workbench.runs.notebooks import INJECTED_TAG, Notebook, tags, with_ids

HEADLESS = "WORKBENCH_HEADLESS"  # panels do not wait for a person when it is set
KERNEL = "python3"
START_SECONDS = 60
OUTPUT_SECONDS = 60  # a cell's last outputs may come late on a busy computer

_QUIET = logging.getLogger(f"{__name__}.papermill")  # a failure is told once, in the run's report
_QUIET.setLevel(logging.CRITICAL)
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_PRCTL: Any = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def execute(
    notebook: Notebook,
    values: Mapping[str, Any],
    *,
    stage: str,
    show: Show,
    timeout_seconds: float = 0.0,
    hold: Hold | None = None,
    here: Path | None = None,
) -> Execution:
    """Run a notebook in a fresh kernel and return it with its outputs.

    A notebook that fails is an ordinary result. On Ctrl-C the kernel is stopped before the
    KeyboardInterrupt goes on. Several threads may do this at once.

    Args:
        notebook: As read; it is not changed.
        values: What is injected after its parameters cell.
        stage: What the progress is called.
        show: Told each code cell as it is done.
        timeout_seconds: How long it may take before it has failed; 0 is for ever.
        hold: Takes hold of the kernel, for who may want to stop it.
        here: The folder that the kernel stands in; that of this process when not given.

    Raises:
        RunsError: There is no kernel to run it.
        KernelStoppedError: It was stopped by its hold.
    """
    hold = hold or Hold()
    node = load_notebook_node(nbformat.reads(json.dumps(with_ids(notebook)), as_version=4))
    if values:
        node = parameterize_notebook(node, dict(values), kernel_name=KERNEL, language="python")
        for cell in node.cells:
            if INJECTED_TAG in tags(cell):
                cell["id"] = INJECTED_TAG  # papermill's is another in each run
    began = time.monotonic()
    watch = _Watch(node, stage=stage, show=show, began=began)
    clock = threading.Timer(timeout_seconds, hold.end, ["timed out"])
    if timeout_seconds > 0:
        clock.start()
    try:
        with tempfile.TemporaryDirectory(prefix="workbench_") as sockets:
            settings = _settings(watch, sockets) | {"hold": hold, "here": here}
            _Engine.execute_notebook(node, KERNEL, progress_bar=False, **settings)
        failure = _cell_failure(node)
    except NoSuchKernel as error:
        raise RunsError(f"no Jupyter kernel {KERNEL!r}; pip install ipykernel") from error
    except (RuntimeError, TimeoutError) as error:  # the kernel died or did not answer
        if hold.ended == "stopped":
            raise KernelStoppedError from error
        failure = Failure(type=type(error).__name__, message=str(error), cell=watch.cell)
        if hold.ended == "timed out":
            message = f"not at its end after {timeout_seconds:g} s; give it a longer time-out"
            failure = Failure(type=TimeoutError.__name__, message=message, cell=watch.cell)
    finally:
        clock.cancel()
    seconds = time.monotonic() - began
    return Execution(notebook=_plain(node), seconds=round(seconds, 3), failure=failure)


def file_text(notebook: Notebook) -> str:
    """Return the text of a notebook's file, as JupyterLab writes it."""
    return str(nbformat.writes(nbformat.from_dict(notebook))) + "\n"


class _Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """papermill's client, whose kernel is held."""

    def __init__(self, nb_man: Any, *, hold: Hold, **settings: Any) -> None:
        super().__init__(nb_man, **settings)
        self._hold = hold

    def start_new_kernel(self, **settings: Any) -> None:
        """Start the kernel and take hold of it."""
        super().start_new_kernel(**settings)
        self._hold.take(self.km.provisioner.process)


class _Engine(Engine):  # type: ignore[misc]  # papermill has no types
    """papermill's own engine but for the client, to whom it hands a kernel's surroundings."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, here: Path | None = None, **settings: Any
    ) -> None:
        """Execute a notebook that papermill keeps the book of."""
        client = _Client(nb_man, kernel_name=kernel_name, **settings)
        client.execute(
            cwd=here, env={**os.environ, HEADLESS: "1"}, preexec_fn=_end_with(os.getpid())
        )


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return what a new kernel calls first, so that the system kills it when its parent dies.

    The signal comes at the end of the thread that started the kernel, which waits for its end.
    """
    if sys.platform != "linux":
        return None

    def ask() -> None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was asked for
            os._exit(1)

    return ask


class _Watch:
    """Follows an execution cell by cell."""

    def __init__(self, node: Any, *, stage: str, show: Show, began: float) -> None:
        self.cell: int | None = None
        self._node = node
        self._stage = stage
        self._show = show
        self._began = began
        self._total = sum(
            cell.cell_type == "code" and bool(cell.source.strip()) for cell in node.cells
        )
        self._done = 0
        self._tell()

    def cell_started(self, *, cell: Any, cell_index: int) -> None:
        self.cell = _source_number(self._node, cell_index)

    def cell_executed(self, *, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        seconds = time.monotonic() - self._began
        self._show(
            Progress(
                stage=self._stage,
                done=self._done,
                total=self._total,
                unit="cells",
                seconds=seconds,
                fresh=self._done,
            )
        )


def _settings(watch: _Watch, sockets: str) -> dict[str, Any]:
    """Return how papermill and nbclient run a notebook here."""
    return {
        "startup_timeout": START_SECONDS,
        "iopub_timeout": OUTPUT_SECONDS,
        "store_widget_state": False,
        "coalesce_streams": True,
        # A kernel that is stopped in a cell would write a traceback of its own.
        "extra_arguments": ["--IPKernelApp.log_level=50"],
        "on_cell_start": watch.cell_started,
        "on_cell_executed": watch.cell_executed,
        "log": _QUIET,
        # Sockets in a folder of this kernel: no port is open, and none can collide as they do in
        # the current folder, where two kernels that start together take the same names.
        "config": Config(
            {
                "KernelManager": {
                    "transport": "ipc",
                    "ip": f"{sockets}/socket",
                    "connection_file": f"{sockets}/kernel.json",
                }
            }
        ),
    }


def _cell_failure(node: Any) -> Failure | None:
    """Return the exception that stopped a notebook, or None."""
    for index, cell in enumerate(node.cells):
        if cell.metadata.get("papermill", {}).get("exception") is True:
            errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
            name, message = (errors[-1].ename, errors[-1].evalue) if errors else ("Error", "")
            return Failure(type=name, message=message, cell=_source_number(node, index))
    return None


def _source_number(node: Any, index: int) -> int:
    before = node.cells[: index + 1]
    return sum(INJECTED_TAG not in tags(cell) for cell in before)


def _plain(node: Any) -> Notebook:
    plain: Notebook = json.loads(json.dumps(node))
    return plain
