"""A MIDI file to try the robot with: the chords and the bass of a tune that the program makes up.

Units: seconds; `bpm` is quarter notes a minute.
"""

from pathlib import Path

import numpy as np

from workbench.demo.tunes import PARTS, SLOTS, compose
from workbench.music.writer import MidiTrack, write_midi

_UP = 24  # semitones, so that the bass lies on the keyboard


def write_demo_song(path: Path, *, seconds: float = 40.0, seed: int = 0) -> Path:
    """Write a tune of the demo corpus as MIDI; equal seeds give equal bytes.

    Args:
        path: Where.
        seconds: About how long it is.
        seed: Decides everything.

    Returns:
        The path.

    Raises:
        CachingError: It cannot be written there.
    """
    tune = compose(
        bpm=112.0,
        kind="stepping",
        metre=4,
        seconds=seconds,
        generator=np.random.default_rng(seed),
    )
    is_pitched = tune.hits.part != PARTS.index("drum")
    tempos = [
        (round(beat * SLOTS), round(60e6 / bpm))
        for beat, bpm in zip(tune.tempo.beats, tune.tempo.bpms, strict=True)
    ]
    track = MidiTrack(
        tick=tune.hits.slot[is_pitched],
        duration=tune.hits.length[is_pitched],
        pitch=tune.hits.pitch[is_pitched] + _UP,
        velocity=tune.hits.velocity[is_pitched],
        ppq=SLOTS,
        tempos=tempos,
        channel=1,
        name="demo",
    )
    write_midi(path, track)
    return path
