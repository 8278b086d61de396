"""Notes made into tokens, beside a loop over notes as the older writer has it.

    python tests/bench/beatmap_tokens.py [--json] [--notes N]

The set: 200 charts of 640 beats, 290,000 notes in all, on the quarter-beat grid. Both sides make
the 291 tokens of all charts in one process and one thread, turn by turn, each from what it reads
notes as: columns here, an object a note there. The processor's seconds count, the least of seven
turns of ours and of three of the loop. The tokens must be the same, one by one. The loop goes
over all slots of a chart in each bar, as the older writer's does; beside it stands one that looks
the slots of a bar up.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rows import Row, in_turn, parser_of, rate, row, tell, times

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

CHARTS, BEATS, TURNS, LOOP_TURNS = 200, 640, 7, 3


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--notes", type=int, default=290_000)
    arguments = parser.parse_args()
    tell("beatmap", measured(arguments.notes // CHARTS), as_json=arguments.json)


def measured(a_chart: int) -> list[Row]:
    """Return one row a measurement."""
    notes, offsets, names = made_charts(a_chart)
    objects = objects_of(notes, offsets)
    made: dict[str, object] = {}
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: encode_many(notes, offsets, names, VOCABULARY_291),
        "extended": lambda: encode_many(notes, offsets, names, EXTENDED),
        "loop": lambda: looped(objects, names, looks_up=False),
        "lookup": lambda: looped(objects, names, looks_up=True),
    }
    sides = {name: lambda n=name, w=work: made.update({n: w()}) for name, work in works.items()}
    spent = in_turn(LOOP_TURNS, sides, warms=True)
    more = in_turn(TURNS - LOOP_TURNS, {name: sides[name] for name in ("ours", "extended")})
    encoded = made["extended"]
    assert isinstance(encoded, Encoded)
    back = {"decode": lambda: decode_many(encoded.tokens, encoded.offsets, EXTENDED)}
    spent |= in_turn(TURNS, back)
    rates = {name: seconds + more.get(name, []) for name, seconds in spent.items()}
    count, unit = len(notes), "notes/s"
    loop, lookup = "a loop over notes", "a loop that looks up"
    return [
        rate("291 tokens made", count, rates["ours"], ">= 2e6", unit=unit),
        times("291 tokens made", spent["loop"], spent["ours"], ">= 25", against=loop),
        row("share of charts whose 291 tokens are the loop's", same_share(made), ">= 1"),
        rate("extended tokens made", count, rates["extended"], ">= 2e6", unit=unit),
        rate("extended tokens decoded", count, rates["decode"], ">= 2e6", unit=unit),
        times("291 tokens made", spent["lookup"], spent["ours"], against=lookup),
        rate("the loop", count, rates["loop"], unit=unit),
    ]


def looped(charts: list[list[LoopNote]], names: list[str], *, looks_up: bool) -> list[list[int]]:
    """Return the tokens of each chart by the loop."""
    return [loop_encoded(c, name, looks_up) for c, name in zip(charts, names, strict=True)]


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


if __name__ == "__main__":
    main()
