"""Notes made into tokens, beside a loop over notes as the older writer has it.

    python tests/bench/beatmap_tokens.py [--json] [--notes N]

The set: 200 charts of 640 beats, 290,000 notes in all, on the quarter-beat grid. Both sides make
the 291 tokens of all charts in one process and one thread, turn by turn, each from what it reads
notes as: columns here, an object a note there. The processor's seconds count, the least of seven
turns of ours and of three of the loop. The tokens must be the same, one by one. The loop goes
over all slots of a chart in each bar, as the older writer's does; beside it stands one that looks
the slots of a bar up.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.writer.tokens import (
    EXTENDED,
    VOCABULARY_291,
    Encoded,
    decode_many,
    encode_many,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "beatmap"))
from token_loop import LoopNote, loop_encoded

CHARTS, BEATS, TURNS = 200, 640, 7


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--notes", type=int, default=290_000)
    arguments = parser.parse_args()
    rows = measured(arguments.notes // CHARTS)
    if arguments.json:
        print(json.dumps(rows))
    else:
        for each in rows:
            told = f"{each['value']:>12.4g}  {each['reach']:<8}"
            print(f"{told} {'reached' if each['reached'] else 'MISSED ':<8} {each['what']}")
    sys.exit(not all(each["reached"] for each in rows))


def measured(a_chart: int) -> list[dict[str, object]]:
    """Return one row a measurement."""
    notes, offsets, names = made_charts(a_chart)
    objects = objects_of(notes, offsets)
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: encode_many(notes, offsets, names, VOCABULARY_291),
        "extended": lambda: encode_many(notes, offsets, names, EXTENDED),
        "loop": lambda: looped(objects, names, looks_up=False),
        "lookup": lambda: looped(objects, names, looks_up=True),
    }
    least = dict.fromkeys([*sides, "decode"], float("inf"))
    made: dict[str, object] = {}
    for turn in range(TURNS):
        for name, side in sides.items():
            if name in ("ours", "extended") or turn < 3:
                least[name] = min(least[name], seconds_of(side, made, name))
    encoded = made["extended"]
    assert isinstance(encoded, Encoded)
    back = lambda: decode_many(encoded.tokens, encoded.offsets, EXTENDED)  # noqa: E731
    least["decode"] = min(seconds_of(back, made, "decode") for _ in range(TURNS))
    return [
        row("291 tokens: notes a second", len(notes) / least["ours"], ">= 2e6"),
        row(
            "291 tokens: as many times as fast as the loop", least["loop"] / least["ours"], ">= 25"
        ),
        row("charts whose 291 tokens are the loop's, part", same_share(made), ">= 1"),
        row("extended tokens: notes a second", len(notes) / least["extended"], ">= 2e6"),
        row("extended tokens decoded: notes a second", len(notes) / least["decode"], ">= 2e6"),
        row(
            "291 tokens: as many times as fast as a loop that looks up",
            least["lookup"] / least["ours"],
            ">= 0",
        ),
        row("the loop: notes a second", len(notes) / least["loop"], ">= 0"),
    ]


def looped(charts: list[list[LoopNote]], names: list[str], *, looks_up: bool) -> list[list[int]]:
    """Return the tokens of each chart by the loop."""
    return [loop_encoded(c, name, looks_up) for c, name in zip(charts, names, strict=True)]


def row(what: str, value: float, reach: str) -> dict[str, object]:
    """Return a measurement and whether it reaches what it should."""
    reached = bool(value >= float(reach[3:]))
    return {"what": what, "value": float(value), "reach": reach, "reached": reached}


def made_charts(a_chart: int) -> tuple[Notes, np.ndarray, list[str]]:
    """Return notes on the quarter-beat grid, where charts begin, and their difficulties."""
    random = np.random.default_rng(1)
    count = CHARTS * a_chart
    slots = np.sort(random.integers(0, 4 * BEATS, (CHARTS, a_chart)), axis=1)
    whole = {"lane": 4, "layer": 3, "color": 2, "direction": 9}
    columns = {name: random.integers(0, most, count).astype("i4") for name, most in whole.items()}
    notes = Notes(beat=slots.ravel() / 4, angle=np.zeros(count), **columns)
    names = [DIFFICULTIES[number % 5] for number in range(CHARTS)]
    return notes, np.arange(0, count + 1, a_chart), names


def objects_of(notes: Notes, offsets: np.ndarray) -> list[list[LoopNote]]:
    """Return the notes of each chart as objects."""
    names = ("beat", "lane", "layer", "color", "direction")
    rows = list(zip(*(getattr(notes, name).tolist() for name in names), strict=True))
    return [
        [LoopNote(*each) for each in rows[start:stop]]
        for start, stop in itertools.pairwise(offsets)
    ]


def same_share(made: dict[str, object]) -> float:
    """Return the part of the charts whose tokens are the same on both sides."""
    ours, loop = made["ours"], made["loop"]
    assert isinstance(ours, Encoded)
    assert isinstance(loop, list)
    return float(np.mean([ours.chart(n).tolist() == tokens for n, tokens in enumerate(loop)]))


def seconds_of(work: Callable[[], object], made: dict[str, object], name: str) -> float:
    """Return the processor's seconds of some work; keep what it makes."""
    began = time.process_time()
    made[name] = work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
