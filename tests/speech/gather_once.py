"""Runs the command line in processes of their own, which begin at once and can be killed.

Whoever starts this script gives one line of JSON for each: its `tokens`, a file for what it `says`
and, where there is one, the `url` and `token` of a hub and the `home` of its clients. Two lines
come back: the process id, and the exit code once it has ended, negative where a signal ended it.
It is forked from a process that has imported everything, which takes longer than the work; until
the next line comes the id is nobody else's.
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hub_clients import clients_at
from huggingface_hub import hf_api  # noqa: F401 (imported here, once, and not by each)

from workbench import cli
from workbench.speech import commands  # noqa: F401 (likewise)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who pressed it ends this by its input
    gc.freeze()  # else each process looks through all that was imported, at its end
    pid = 0
    for line in iter(sys.stdin.readline, ""):
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.exit(_run(json.loads(line)))
        _say(pid)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _say(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def _run(told: dict[str, Any]) -> int:
    nothing = os.open(os.devnull, os.O_RDONLY)
    says = os.open(told["says"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for target, source in ((0, nothing), (1, says), (2, says)):
        os.dup2(source, target)
    if "url" not in told:
        return cli.run(told["tokens"])
    hub = SimpleNamespace(url=told["url"], token=told["token"])
    with clients_at(hub, Path(told["home"])):
        return cli.run(told["tokens"])


def _say(value: int) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
