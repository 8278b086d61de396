"""Runs the command line in processes of their own, which begin at once and can be killed.

Whoever starts this script gives one line of JSON for each, its `tokens` and a file for what it
`says`. Two lines come back: the process id, and the exit code once it has ended, negative where a
signal ended it. It is forked from a process that has imported everything, which takes longer than
the work; until the next line comes the id is nobody else's.
"""

import gc
import json
import os
import sys

from workbench import cli
from workbench.beatmap import commands  # noqa: F401 (imported here, once, and not by each)
from workbench.beatmap.maps import process  # noqa: F401 (likewise)


def main() -> None:
    gc.freeze()  # else each process looks through all that was imported, at its end
    pid = 0
    for line in iter(sys.stdin.readline, ""):
        if pid:
            os.waitpid(pid, 0)
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            says = os.open(told["says"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(says, 1)
            os.dup2(says, 2)
            sys.exit(cli.run(told["tokens"]))
        _say(pid)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _say(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def _say(value: int) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
