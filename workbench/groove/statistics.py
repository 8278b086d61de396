"""What a groove is like in a few numbers, to hold samples against their corpus."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.drums import CLASS_COUNT, CLASS_OF_PITCH, NO_CLASS
from workbench.groove.grid import Grid, Skip, grid_of
from workbench.groove.model import Model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import Sample, sample
from workbench.music.midi import Refusal, read_midi, read_midi_file

_SWINGABLE = (0.4, 0.8)  # of a beat: where the second of two swung eighths can lie


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrooveStatistics:
    """Some performances in numbers.

    Attributes:
        performances: How many.
        bars: Their bars.
        hits_per_bar: Notes a bar.
        polyphony: Share of sounding steps with two or more classes.
        class_share: Share of each drum class in the notes, float64 (9,).
        swing: How long the first of two eighths is beside the second: 1 is straight, 2 a
            triplet; 0 where no off-beat eighth is played.
        velocity_mean: Mean MIDI velocity.
        velocity_deviation: Its standard deviation.
        timing_deviation_ms: Standard deviation of the offsets from the grid, milliseconds.
    """

    performances: int
    bars: int
    hits_per_bar: float
    polyphony: float
    class_share: NDArray[np.float64]
    swing: float
    velocity_mean: float
    velocity_deviation: float
    timing_deviation_ms: float


def statistics_of(grids: Sequence[Grid]) -> GrooveStatistics:
    """Return the numbers of some performances.

    Raises:
        GrooveError: There is none.
    """
    if not grids:
        raise GrooveError("no performances to describe")
    bars = sum(len(grid.bar_steps) for grid in grids)
    pitch = np.concatenate([grid.pitch for grid in grids])
    drum = CLASS_OF_PITCH[pitch]
    velocity = np.concatenate([grid.velocity for grid in grids]).astype(np.float64)
    milliseconds = np.concatenate([grid.offset * grid.step_seconds * 1000 for grid in grids])
    known = drum[drum < NO_CLASS]
    share = np.bincount(known, minlength=CLASS_COUNT) / max(len(known), 1)
    several, sounding = np.sum([_sounding(grid) for grid in grids], axis=0)
    return GrooveStatistics(
        performances=len(grids),
        bars=bars,
        hits_per_bar=len(pitch) / bars,
        polyphony=float(several / max(sounding, 1)),
        class_share=share,
        swing=_swing(grids),
        velocity_mean=float(velocity.mean()),
        velocity_deviation=float(velocity.std()),
        timing_deviation_ms=float(milliseconds.std()),
    )


def corpus_grids(paths: Sequence[Path], options: TrainOptions | None = None) -> list[Grid]:
    """Return the performances of some files on the grid; those that are refused are left out."""
    reading = options or TrainOptions()
    midis = [read_midi_file(path) for path in paths]
    grids = [grid_of(midi, reading) for midi in midis if not isinstance(midi, Refusal)]
    return [grid for grid in grids if not isinstance(grid, Skip)]


def many_samples(model: Model, count: int, *, bars: int = 8) -> list[Sample]:
    """Return samples with no wishes, one a seed from 0."""
    return [sample(model, SampleOptions(bars=bars, seed=seed)) for seed in range(count)]


def sample_grid(sample: Sample) -> Grid:
    """Return drawn bars as a performance, read back from their MIDI bytes.

    Raises:
        GrooveError: They hold no note.
    """
    midi = read_midi(sample.midi)
    if not isinstance(midi, Refusal):
        grid = grid_of(midi, TrainOptions(resolution=sample.resolution, min_notes=1))
        if not isinstance(grid, Skip):
            return grid
    raise GrooveError("the sample holds no note; draw more bars or another seed")


def likely_bars(model: Model, *, beats: int = 4) -> dict[str, NDArray[np.float64]]:
    """Return how likely each class is at each step of a bar, by style, from the exact counts.

    Args:
        model: A model of drums; one without styles gives a single bar named `all`.
        beats: Beats of the bar, each a quarter note.

    Returns:
        By style, shape (9, beats * resolution), 0..1; zeros for a style without such bars.

    Raises:
        GrooveError: The model has no steps.
    """
    styles = model.labels.get("style", [])
    stream = model.stream("steps.style" if styles else "steps").stream
    steps = beats * model.resolution
    hits = np.zeros((max(len(styles), 1), steps, CLASS_COUNT))
    bars = np.zeros((max(len(styles), 1), steps))
    first_code = beats * (beats - 1) // 2
    for keys, counts in model.counts(stream):
        fields = stream.unpacked(keys)
        beat = fields["beat"] - first_code
        style = fields["style"] - 1 if styles else np.zeros(len(keys), np.int64)
        here = (beat >= 0) & (beat < beats) & (fields["place"] < model.resolution) & (style >= 0)
        at = (style[here], beat[here] * model.resolution + fields["place"][here])
        np.add.at(bars, at, counts[here].astype(np.float64))
        sounds = fields["target"][here, None] >> np.arange(CLASS_COUNT) & 1
        np.add.at(hits, at, sounds * counts[here, None].astype(np.float64))
    share = hits / np.maximum(bars, 1)[:, :, None]
    return {name: share[number].T for number, name in enumerate(styles or ["all"])}


def _sounding(grid: Grid) -> tuple[int, int]:
    """Return steps with two or more classes, and steps with any."""
    drum = CLASS_OF_PITCH[grid.pitch]
    at = grid.bar * 128 + grid.step
    hits = np.unique(at[drum < NO_CLASS] * 16 + drum[drum < NO_CLASS]) // 16
    _, classes = np.unique(hits, return_counts=True)
    return int((classes > 1).sum()), len(classes)


def _swing(grids: Sequence[Grid]) -> float:
    """Return the median ratio of on-beat to off-beat eighths."""
    ratios = []
    for grid in grids:
        simple = grid.beat_steps[grid.bar] == grid.resolution
        position = (grid.step + grid.offset)[simple] / grid.resolution % 1.0
        late = position[(position > _SWINGABLE[0]) & (position < _SWINGABLE[1])]
        eighths = late[np.abs(late - np.median(late)) < 0.12] if len(late) else late
        ratios.append(eighths / (1.0 - eighths))
    together = np.concatenate(ratios)
    return float(np.median(together)) if len(together) else 0.0
