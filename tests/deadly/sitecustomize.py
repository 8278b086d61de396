"""A machine that kills whoever opens a file with `kills_its_reader` in its path.

Python imports this as it starts, where this folder is on PYTHONPATH: in the worker processes that
a test starts, and not in the test's own.
"""

import os
import signal
import sys

NAME = "kills_its_reader"


def _watch(event: str, given: tuple[object, ...]) -> None:
    if event == "open" and isinstance(given[0], str | bytes) and NAME in os.fsdecode(given[0]):
        os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(_watch)
