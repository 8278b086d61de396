"""One gather in a process of its own, so that it can be killed; what it says goes to a file."""

import json
import sys
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.speech.commands import target
from workbench.speech.gather import gather
from workbench.speech.options import GatherOptions


def main() -> None:
    told = json.loads(sys.argv[1])
    work = told.pop("work")
    options = GatherOptions(**told.pop("options"), work_dir=Path(work))
    sink, place = target(told["to"], options)
    try:
        done = gather(told["said"], sink, place, options)
    except WorkbenchError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit(2 if done.failed else 0)


if __name__ == "__main__":
    main()
