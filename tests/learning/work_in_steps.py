"""Work that tells its steps, for a test that kills its process; light to import."""

import atexit
import signal
import sys
from pathlib import Path

from workbench.progress import Progress, Show


def work(place: Path, steps: int, *, show: Show) -> None:
    """Go through some steps, each with a file; leave a file of its own at an orderly end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    atexit.register((place / "ended").touch)
    try:
        for step in range(1, steps + 1):
            (place / f"step {step}").touch()
            show(Progress(stage="work", done=step, total=steps, unit="", seconds=0.0, fresh=step))
            while step == 3:  # until it is killed
                pass
    finally:
        (place / "cleaned up").touch()
