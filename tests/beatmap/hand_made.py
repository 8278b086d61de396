"""Charts made of a few numbers, for tests that judge them.

At 120 bpm a beat is half a second. Notes are (beat, lane, layer, color, direction).
"""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from workbench.beatmap.maps.objects import Bombs, Notes, Objects
from workbench.beatmap.maps.timemap import TimeMap

RED, BLUE = 0, 1
UP, DOWN, LEFT, RIGHT, UP_LEFT, UP_RIGHT, DOWN_LEFT, DOWN_RIGHT, ANY = range(9)
TIMES = TimeMap.steady(120)
FLIPPED = np.array([0, 1, 3, 2, 5, 4, 7, 6, 8])


def chart(rows, bombs=(), angle=0.0):
    """Return objects of notes, and of bombs that are (beat, lane, layer)."""
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 5
    there = list(zip(*bombs, strict=True)) if bombs else [[]] * 3
    notes = Notes.of(*columns, [angle] * len(rows))
    return replace(Objects.none(), notes=notes, bombs=Bombs.of(*there))


def at(seconds):
    """Return a chart with a note at each moment."""
    return chart([(2 * second, 1, 0, BLUE, DOWN) for second in seconds])


def mirrored(objects):
    """Return a chart as it is seen in a mirror: the hands change places too."""
    notes, bombs = objects.notes, objects.bombs
    is_usual = (notes.direction >= 0) & (notes.direction <= ANY)
    direction = np.where(is_usual, FLIPPED[np.where(is_usual, notes.direction, 0)], notes.direction)
    flipped = replace(
        notes,
        lane=3 - notes.lane,
        color=1 - notes.color,
        direction=direction.astype(np.int32),
        angle=-notes.angle,
    )
    return replace(objects, notes=flipped, bombs=replace(bombs, lane=3 - bombs.lane))


def charts(*, is_odd=False, most=20):
    """Give charts on a grid of 1/16 beats; odd ones have notes wherever files may put them."""
    lane, layer, way = ((-3, 6), (-2, 5), (0, 1360)) if is_odd else ((0, 3), (0, 2), (0, 8))
    note = st.tuples(
        st.integers(0, 120).map(lambda tick: tick / 16),
        st.integers(*lane),
        st.integers(*layer),
        st.integers(0, 3 if is_odd else 1),
        st.integers(*way),
    )
    bomb = st.tuples(st.integers(0, 120).map(lambda tick: tick / 16), st.integers(0, 3), st.just(0))
    return st.builds(chart, st.lists(note, max_size=most), st.lists(bomb, max_size=6))
