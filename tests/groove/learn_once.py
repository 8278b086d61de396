"""Learns from shards as a process of its own; killed by its test."""

import sys
from pathlib import Path

from tiny_networks import TINY

from workbench.groove.learn import learn
from workbench.groove.options import LearnOptions
from workbench.groove.tokenize import open_tokens

if __name__ == "__main__":
    learn(
        open_tokens(Path(sys.argv[1])),
        Path(sys.argv[2]),
        LearnOptions(**TINY | {"steps": int(sys.argv[3])}),
        show=lambda progress: sys.stdout.write(f"{progress.done}\n") and sys.stdout.flush(),
    )
