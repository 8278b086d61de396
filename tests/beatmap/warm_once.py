"""Warms caches in processes that are killed: `python warm_once.py SONGS PLACE KILLS SEED`.

Written is one line of JSON: the shards of an uninterrupted run, and of each killed one that was
begun again. Processes are forked from one that has imported everything, which takes longer than
the work.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from sounds import shards_of, songs

from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.options import CacheOptions

BPMS = [174.3, 92.49, 120.0, 137.977, 60.0] * 6
OPTIONS = CacheOptions(shard_mb=0.01)


def main():
    music, place, kills, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
    sounds = songs(music, BPMS, 0.6)
    begun = time.monotonic()
    killed_after(sounds, place / "whole", None)
    length = time.monotonic() - begun
    chance = random.Random(seed)
    told = {"whole": shards_of(place / "whole"), "killed": [], "torn": 0}
    for number in range(kills):
        folder = place / f"killed{number}"
        killed_after(sounds, folder, chance.uniform(0.02, 1.0) * length)
        told["torn"] += not is_whole(folder, sounds)
        there = FeatureCache(folder, OPTIONS.spec)
        for sound in sounds:
            if sound.key in there:
                assert len(there.features(sound.key)), sound
        warm(folder, sounds, OPTIONS)
        told["killed"].append(shards_of(folder))
    sys.stdout.write(json.dumps(told))


def is_whole(folder, sounds):
    return len(FeatureCache(folder, OPTIONS.spec)) == len(sounds)


def killed_after(sounds, folder, seconds):
    """Warm a cache in a process of its own; kill it after so long."""
    pid = os.fork()
    if pid == 0:
        warm(folder, sounds, OPTIONS)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
