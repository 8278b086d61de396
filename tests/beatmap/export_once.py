"""Writes two levels by turns to one place, for a test that kills it: `export_once.py PATH`."""

import sys
from itertools import cycle
from pathlib import Path

from export_plans import audio, plan

from workbench.beatmap.maps.export import write_map

if __name__ == "__main__":
    for title, seconds in cycle((("One", 30), ("Two", 60))):
        write_map(plan(title=title, audio=audio(seconds)), Path(sys.argv[1]), 4)
        sys.stdout.write(f"{title}\n")
        sys.stdout.flush()
