"""One notebook in a fresh kernel, by papermill, held in memory from start to end.

Nothing is written to disk here, so that a killed run leaves no unredacted text behind. Importing
this module imports papermill (2 s): import it where a run really starts. Units: seconds are
wall-clock seconds, kernel start and stop included.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from papermill.engines import papermill_engines
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config

from workbench.errors import RunsError
from workbench.progress import Progress, Show
from workbench.runs.execution import Execution, Failure
from workbench.runs.notebooks import Notebook, tags, with_ids

HEADLESS = "WORKBENCH_HEADLESS"  # panels do not wait for a person when it is set
INJECTED_TAG = "injected-parameters"
KERNEL = "python3"
START_SECONDS = 60
OUTPUT_SECONDS = 60  # a cell's last outputs may come late on a busy computer


def execute(notebook: Notebook, values: Mapping[str, Any], *, stage: str, show: Show) -> Execution:
    """Run a notebook in a fresh kernel and return it with its outputs.

    A notebook that fails is an ordinary result. On Ctrl-C the kernel is stopped before the
    KeyboardInterrupt goes on.

    Args:
        notebook: As read; it is not changed.
        values: What is injected after its parameters cell.
        stage: What the progress is called.
        show: Told each code cell as it is done.

    Raises:
        RunsError: There is no kernel to run it.
    """
    node = load_notebook_node(nbformat.reads(json.dumps(with_ids(notebook)), as_version=4))
    if values:
        node = parameterize_notebook(node, dict(values), kernel_name=KERNEL, language="python")
    began = time.monotonic()
    watch = _Watch(node, stage=stage, show=show, began=began)
    failure = None
    try:
        with _headless():
            papermill_engines.execute_notebook_with_engine(None, node, KERNEL, **_settings(watch))
        failure = _cell_failure(node)
    except NoSuchKernel as error:
        raise RunsError(f"no Jupyter kernel {KERNEL!r}; pip install ipykernel") from error
    except (RuntimeError, TimeoutError) as error:  # the kernel died or did not answer
        failure = Failure(type=type(error).__name__, message=str(error), cell=watch.cell)
    seconds = time.monotonic() - began
    return Execution(notebook=_plain(node), seconds=round(seconds, 3), failure=failure)


def file_text(notebook: Notebook) -> str:
    """Return the text of a notebook's file, as JupyterLab writes it."""
    return str(nbformat.writes(nbformat.from_dict(notebook))) + "\n"


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


def _settings(watch: _Watch) -> dict[str, Any]:
    """Return how papermill and nbclient run a notebook here."""
    return {
        "progress_bar": False,
        "start_timeout": START_SECONDS,
        "iopub_timeout": OUTPUT_SECONDS,
        "store_widget_state": False,
        "coalesce_streams": True,
        # A kernel that is stopped in a cell would write a traceback of its own.
        "extra_arguments": ["--IPKernelApp.log_level=50"],
        "on_cell_start": watch.cell_started,
        "on_cell_executed": watch.cell_executed,
        # Sockets in a folder of this user: no port is open and none can collide.
        "config": Config({"KernelManager": {"transport": "ipc"}}),
    }


@contextmanager
def _headless() -> Iterator[None]:
    """Mark the environment that the kernel inherits; papermill has no way to hand one over."""
    before = os.environ.get(HEADLESS)
    os.environ[HEADLESS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[HEADLESS]
        else:
            os.environ[HEADLESS] = before


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
