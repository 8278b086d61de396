"""What the tests of the workers run, in a module of its own so that processes can find it."""

import os
import signal
import time
from pathlib import Path


class AwkwardError(Exception):
    """An error that goes into pickle and not out of it."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def doubled(number):
    return 2 * number


def doubled_slowly(number):
    time.sleep(0.002 * (number * 7 % 5))
    return 2 * number


def process_of(_):
    time.sleep(0.05)
    return os.getpid()


def failed_at_three(number):
    if number == 3:
        raise LookupError("three")
    time.sleep(0.01 if number else 0)
    return number


def failed_awkwardly(number):
    raise AwkwardError(number, number)


def asleep(seconds):
    time.sleep(seconds)
    return seconds


def killed(shard):
    """Leave a mark for each run, in a folder; kill the own process in the first `deaths` runs."""
    folder, number, deaths = shard
    runs = len(list(Path(folder).glob(f"{number}-*")))
    Path(folder, f"{number}-{runs}").touch()
    if runs < deaths:
        time.sleep(0.05)  # others are in flight by then
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def killed_among_slow(shard):
    """Be `killed`, or still in flight when another shard is."""
    if not shard[-1]:
        time.sleep(0.3)
    return killed(shard)


def pinned(shard):
    """Tell the own process's number in a folder, and stay for some seconds."""
    folder, seconds = shard
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)
