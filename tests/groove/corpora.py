"""Small drum files, and what trainings of them leave, for the tests of this folder."""

import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np

from workbench.groove.options import TrainOptions
from workbench.groove.train import train
from workbench.music.writer import MidiTrack, write_midi
from workbench.streaming.filelist import walked
from workbench.streaming.tally import TallyStore

PPQ = 480
KICK, SNARE, HAT, CRASH = 36, 38, 42, 49


def write_drums(path, ticks, pitches=HAT, *, velocity=90, bpm=120, **track):
    """Write a file of drum notes; pitches and velocities are one for all or one a note."""
    ticks = np.asarray(ticks, np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    track = {"ppq": PPQ, "tempos": ((0, round(6e7 / bpm)),)} | track
    write_midi(
        path,
        MidiTrack(
            tick=ticks,
            duration=np.ones(len(ticks), np.int64),
            pitch=np.broadcast_to(pitches, ticks.shape),
            velocity=np.broadcast_to(velocity, ticks.shape),
            **track,
        ),
    )
    return path


def write_beat(path, *, bars=2, seed=0, **more):
    """Write bars of 4/4: hats in eighths, kick and snare in turn, ghost notes by the seed."""
    hats = np.arange(8 * bars) * PPQ // 2
    others = np.arange(4 * bars) * PPQ
    ghosts = np.random.default_rng(seed).choice(16 * bars, 3 * bars, replace=False) * PPQ // 4
    ticks = np.concatenate([hats, others, ghosts])
    pitches = np.concatenate(
        [np.full(8 * bars, HAT), np.tile([KICK, SNARE], 2 * bars), np.full(3 * bars, SNARE + 2)]
    )
    return write_drums(path, ticks, pitches, **more)


def tree(folder):
    """Return every path below a folder, and each file's content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def files_of(folder):
    return walked(Path(folder), (".mid",))


def trained(corpus, output, **options):
    """Train on a folder, silently; return what `train` returns."""
    return train(files_of(corpus), Path(output), TrainOptions(**{"progress": False} | options))


def rows_of(store):
    """Return the rows of every tally in a store, as counters by the tallies' names."""
    with TallyStore(Path(store), budget_bytes=1 << 20) as opened:
        return {name: counter_of(opened.rows(name)) for name in opened.tallies()}


def state_of(store):
    with TallyStore(Path(store), budget_bytes=1 << 20) as opened:
        return opened.state


def runs_in(store):
    """Return how many runs each tally was written in, and the rows of its largest block."""
    query = "SELECT count(DISTINCT run), max(length(keys)) / 8 FROM block GROUP BY tally"
    with sqlite3.connect(store) as database:
        return list(database.execute(query))


def model_rows(model, stream):
    """Return a model's exact counts of a stream, as a counter."""
    return counter_of(model.counts(model.streams[stream]))


def counter_of(blocks):
    total = Counter()
    for keys, counts in blocks:
        total.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
    return total
