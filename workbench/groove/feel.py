"""The feel of a performance, timing and dynamics, taken from one and put on another.

A feel says, for each step of a pattern and each drum class, how far behind the step the notes lie
and how loud they are. Applying it moves notes about their steps; it adds none, drops none and
takes none to another step. Units: offsets in steps, -0.5..0.5; velocities 1..127.
"""

import io
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mido
import numpy as np
from numpy.typing import NDArray

from workbench.caching.files import replacing
from workbench.errors import GrooveError
from workbench.groove.drums import CLASS_OF_PITCH, CLASSES
from workbench.groove.grid import Grid, Skip, grid_of
from workbench.groove.options import FeelOptions, TrainOptions
from workbench.music.midi import Midi, Refusal, read_midi_file

Ints = NDArray[np.int64]

FORMAT = 1
_NAMES = (*CLASSES, "other")
_ANY = "any"
_DRUM_CHANNEL = 9  # as mido counts, from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feel:
    """How a pattern is played.

    Attributes:
        resolution: Steps a quarter note.
        bars: Bars of the pattern.
        bar_steps: Steps a bar.
        cells: By (step of the pattern, class name), mean offset, mean velocity and notes; the
            class `any` stands for all classes together.
    """

    resolution: int
    bars: int
    bar_steps: int
    cells: Mapping[tuple[int, str], tuple[float, float, int]]

    def at(self, step: int, name: str) -> tuple[float, float] | None:
        """Return offset and velocity of a class at a step of the pattern, if it says any."""
        cell = self.cells.get((step, name)) or self.cells.get((step, _ANY))
        return None if cell is None else cell[:2]

    def as_json(self) -> dict[str, Any]:
        """Return the feel as plain values."""
        rows = [
            {"step": step, "class": name, "offset": offset, "velocity": velocity, "notes": notes}
            for (step, name), (offset, velocity, notes) in sorted(self.cells.items())
        ]
        head = {"resolution": self.resolution, "bars": self.bars, "bar_steps": self.bar_steps}
        return {"format": FORMAT, "kind": "feel", **head, "cells": rows}


def extract(path: Path, options: FeelOptions) -> Feel:
    """Take the feel from a performance.

    Raises:
        GrooveError: The file cannot be read, or its bars are of different lengths.
    """
    grid, bar_steps = _grid(_midi(path), options, path)
    sums: dict[tuple[int, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    pattern_step = grid.bar % options.bars * bar_steps + grid.step
    for step, drum, offset, velocity in zip(
        pattern_step.tolist(),
        CLASS_OF_PITCH[grid.pitch].tolist(),
        grid.offset.tolist(),
        grid.velocity.tolist(),
        strict=True,
    ):
        for name in (_NAMES[drum], _ANY):
            cell = sums[step, name]
            cell[0] += offset
            cell[1] += velocity
            cell[2] += 1
    cells = {
        key: (round(offset / notes, 6), round(velocity / notes, 3), int(notes))
        for key, (offset, velocity, notes) in sums.items()
    }
    return Feel(resolution=options.resolution, bars=options.bars, bar_steps=bar_steps, cells=cells)


def read_feel(path: Path) -> Feel:
    """Read a feel that was written by `write_feel`.

    Raises:
        GrooveError: It is no feel.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["format"], found["kind"]) != (FORMAT, "feel"):
            raise ValueError(f"format {found['format']} of {found['kind']}")
        for row in found["cells"]:
            if not (-0.5 <= row["offset"] <= 0.5 and 1 <= row["velocity"] <= 127):
                raise ValueError(f"a cell of offset {row['offset']}, velocity {row['velocity']}")
        return Feel(
            resolution=int(found["resolution"]),
            bars=int(found["bars"]),
            bar_steps=int(found["bar_steps"]),
            cells={
                (int(row["step"]), str(row["class"])): (
                    float(row["offset"]),
                    float(row["velocity"]),
                    int(row["notes"]),
                )
                for row in found["cells"]
            },
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GrooveError(
            f"{path}: no readable feel ({error}); make one with `workbench groove extract`"
        ) from error


def write_feel(path: Path, feel: Feel) -> None:
    """Write a feel, whole or not at all.

    Raises:
        CachingError: It cannot be written.
    """
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(feel.as_json(), indent=1) + "\n", encoding="utf-8")


def apply(path: Path, feel: Feel, options: FeelOptions) -> bytes:
    """Return the bytes of a file with a feel put on its drums, or on all notes if it has none.

    Everything else in the file stays. With both amounts 0 these are the file's own bytes.

    Raises:
        GrooveError: The file cannot be read, or its bars are not as long as the feel's.
    """
    midi = _midi(path)
    reading = FeelOptions(
        timing=options.timing,
        velocity=options.velocity,
        resolution=feel.resolution,
        bars=feel.bars,
    )
    grid, bar_steps = _grid(midi, reading, path)
    if bar_steps != feel.bar_steps:
        raise GrooveError(
            f"{path}: has bars of {bar_steps} steps, the feel has {feel.bar_steps}; take a feel "
            "from a performance in the same metre"
        )
    moves = _moves(midi, grid, feel, options)
    if not moves:
        return path.read_bytes()
    return _rewritten(path, moves, only_drums=bool(midi.is_drum.any()))


_Moves = dict[tuple[int, int, int], tuple[int, int]]


def _moves(midi: Midi, grid: Grid, feel: Feel, options: FeelOptions) -> _Moves:
    """Return ticks to move and velocity to add, by (tick, pitch, velocity) of a note."""
    ticks = midi.tick[_chosen(midi)]
    velocity = grid.velocity.astype(np.int64)
    pattern_step = grid.bar % feel.bars * feel.bar_steps + grid.step
    classes = CLASS_OF_PITCH[grid.pitch].tolist()
    said = [
        feel.at(step, _NAMES[drum]) or own
        for step, drum, *own in zip(
            pattern_step.tolist(), classes, grid.offset.tolist(), velocity.tolist(), strict=True
        )
    ]
    wanted = np.array(said, np.float64).reshape(-1, 2)
    step_ticks = midi.ppq / feel.resolution
    later = np.rint(options.timing * (wanted[:, 0] - grid.offset) * step_ticks).astype(np.int64)
    later = _on_their_steps(midi, grid, ticks, np.maximum(later, -ticks))
    louder = np.rint(options.velocity * (wanted[:, 1] - velocity)).astype(np.int64)
    keys = zip(ticks.tolist(), grid.pitch.tolist(), velocity.tolist(), strict=True)
    changes = zip(later.tolist(), louder.tolist(), strict=True)
    return {key: change for key, change in zip(keys, changes, strict=True) if any(change)}


def _on_their_steps(midi: Midi, grid: Grid, ticks: Ints, later: Ints) -> Ints:
    """Return ticks to move, less where a note would come to lie nearest to another step.

    An offset of half a step, or one that is rounded to it, lies between two.
    """
    while True:
        bar, tick_in_bar, _ = midi.metres.bars_at(ticks + later)
        step = np.rint(tick_in_bar * grid.resolution / midi.ppq).astype(np.int64)
        is_carried = step >= grid.bar_steps[grid.bar]
        is_there = (bar + is_carried == grid.bar) & (np.where(is_carried, 0, step) == grid.step)
        if is_there.all():
            return later
        later = np.where(is_there, later, later - np.sign(later))


def _rewritten(path: Path, moves: _Moves, *, only_drums: bool) -> bytes:
    """Return the bytes of a file with its notes moved."""
    buffer = io.BytesIO()
    try:
        file = mido.MidiFile(path)
        for track in file.tracks:
            _move(track, moves, only_drums=only_drums)
        file.save(file=buffer)
    except (OSError, EOFError, ValueError, LookupError, mido.KeySignatureError) as error:
        raise GrooveError(
            f"{path}: can be read but not written again ({error}); save it as a plain MIDI file "
            "in another program first"
        ) from error
    return buffer.getvalue()


def _move(track: mido.MidiTrack, moves: _Moves, *, only_drums: bool) -> None:
    """Move the notes of a track, each with its end; mido keeps the end of the track behind."""
    absolute: list[tuple[int, int, Any]] = []
    sounding: dict[tuple[int, int], list[int]] = defaultdict(list)
    tick = 0
    for order, message in enumerate(track):
        tick += message.time
        at, kept = tick, message
        if message.type in ("note_on", "note_off") and (
            message.channel == _DRUM_CHANNEL or not only_drums
        ):
            voice = (message.channel, message.note)
            if message.type == "note_on" and message.velocity > 0:
                later, louder = moves.get((tick, message.note, message.velocity), (0, 0))
                kept = message.copy(velocity=message.velocity + louder)
                sounding[voice].append(later)
                at = tick + later
            elif sounding[voice]:
                at = tick + sounding[voice].pop(0)
        absolute.append((at, order, kept))
    before = 0
    track.clear()
    for at, _, message in sorted(absolute, key=lambda item: item[:2]):
        track.append(message.copy(time=at - before))
        before = at


def _midi(path: Path) -> Midi:
    midi = read_midi_file(path)
    if isinstance(midi, Refusal):
        raise GrooveError(f"{path}: no readable performance ({midi.reason}: {midi.detail})")
    return midi


def _chosen(midi: Midi) -> NDArray[np.bool_]:
    return midi.is_drum if midi.is_drum.any() else np.ones(len(midi.tick), bool)


def _grid(midi: Midi, options: FeelOptions, path: Path) -> tuple[Grid, int]:
    part: Literal["drums", "all"] = "drums" if midi.is_drum.any() else "all"
    grid = grid_of(midi, TrainOptions(resolution=options.resolution, min_notes=1, part=part))
    if isinstance(grid, Skip):
        raise GrooveError(f"{path}: no usable performance ({grid.reason}: {grid.detail})")
    lengths = set(grid.bar_steps.tolist())
    if len(lengths) > 1:
        raise GrooveError(f"{path}: its bars have {sorted(lengths)} steps; a feel needs one length")
    return grid, lengths.pop()
