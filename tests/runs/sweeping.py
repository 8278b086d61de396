"""Runs `workbench run` in a process of its own, and finds the kernels that it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

OUTPUT_DIR = 'output_dir: str = ""  # where files go'
# Each kernel writes its process number into the folder that the runner stands in.
TELL_PID = "import os, time\nfrom pathlib import Path\n(Path('pids') / str(os.getpid())).touch()"


def start(project: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start a runner, the first of a process group of its own, as a terminal does."""
    (project / "pids").mkdir(exist_ok=True)
    program = "from workbench.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", *words],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def press_ctrl_c(runner: "subprocess.Popen[bytes]") -> None:
    """Interrupt a runner and the processes beside it, as a terminal does."""
    os.killpg(runner.pid, signal.SIGINT)


def lives(pid: int) -> bool:
    """Return whether a process is there and not only waits for its parent to look."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kernels(project: Path) -> list[psutil.Process]:
    """Return the kernels that live among those that told their numbers."""
    told = {path.name for path in (project / "pids").iterdir()}
    return [process for process in kernels_of(project) if str(process.pid) in told]


def kernels_of(project: Path) -> list[psutil.Process]:
    """Return every kernel on this computer that stands in a project, told or not."""
    found = []
    for process in psutil.process_iter():
        try:
            is_here = Path(process.cwd()) == project and lives(process.pid)
            if is_here and any("ipykernel" in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    return found


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)
