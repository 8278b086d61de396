"""Invented performances on the grid, and those of files, for the tests of this folder."""

import numpy as np
from hypothesis import strategies as st

from workbench.groove.grid import Grid, grid_of
from workbench.groove.options import TrainOptions
from workbench.groove.streams import LABEL_KINDS, columns_of, streams_of
from workbench.music.midi import read_midi_file

RESOLUTION = 4
PITCHES = (36, 38, 42, 46, 49, 51, 37, 44, 56, 77)  # the last one is of no class
METRES = {"4/4": (16, 4), "3/4": (12, 4), "6/8": (12, 6), "5/4": (20, 4)}  # steps a bar, a beat


def grid_from(notes, metres):
    """Return a performance of (bar, step, offset, pitch, velocity) notes in playing order."""
    bar_steps = np.array([METRES[metre][0] for metre in metres], np.int64)
    rows = sorted(
        (bar % len(metres), step % int(bar_steps[bar % len(metres)]), *rest)
        for bar, step, *rest in notes
    )
    bar, step, offset, pitch, velocity = zip(*rows, strict=True)
    return Grid(
        resolution=RESOLUTION,
        bar=np.array(bar, np.int64),
        step=np.array(step, np.int64),
        offset=np.array(offset, np.float64),
        pitch=np.array(pitch, np.uint8),
        velocity=np.array(velocity, np.uint8),
        step_seconds=np.full(len(rows), 0.125),
        bar_steps=bar_steps,
        beat_steps=np.array([METRES[metre][1] for metre in metres], np.int64),
        bpm=120.0,
    )


NOTES = st.tuples(
    st.integers(0, 5),
    st.integers(0, 19),
    st.floats(-0.5, 0.5),
    st.sampled_from(PITCHES),
    st.integers(1, 127),
)
GRIDS = st.builds(
    grid_from,
    st.lists(NOTES, min_size=1, max_size=30),
    st.lists(st.sampled_from(sorted(METRES)), min_size=1, max_size=6),
)


def labels_of(grids, seed=0):
    """Return label numbers of some performances, 0 for none."""
    generator = np.random.default_rng(seed)
    return {kind: generator.integers(0, 4, len(grids)) for kind in LABEL_KINDS}


def columns_and_streams(grids, labels=None, **options):
    """Return the columns of some performances and the streams that they are counted in."""
    labels = labels_of(grids) if labels is None else labels
    part, n = options.get("part", "drums"), options.setdefault("n", 4)
    return columns_of(grids, labels, **options), streams_of(n, part, LABEL_KINDS)


def grids_of(paths):
    """Return the performances of those files that can be counted."""
    options = TrainOptions()
    read = [read_midi_file(path) for path in paths]
    grids = [grid_of(midi, options) for midi in read if hasattr(midi, "pitch")]
    return [grid for grid in grids if isinstance(grid, Grid)]
