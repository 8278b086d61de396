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
from workbench.groove.streams import Ints, steps_in_metre
from workbench.music.midi import Refusal, read_midi, read_midi_file

_METRES = [(beats, compound) for beats in range(1, 8) for compound in (0, 1)]
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LikelyBar:
    """An average bar.

    Attributes:
        share: How likely each class is at each step, float64 (9, steps), 0..1.
        beat_steps: Steps a beat.
    """

    share: NDArray[np.float64]
    beat_steps: int


def likely_bars(model: Model) -> dict[str, LikelyBar]:
    """Return how likely each hit of a bar is, by style, in the style's commonest metre.

    The numbers are the model's exact counts, before any context narrows them down.

    Args:
        model: A model of drums; one without styles gives a single bar named `all`.

    Raises:
        GrooveError: The model has no steps.
    """
    styles = model.labels.get("style", [])
    stream = model.stream("steps.style" if styles else "steps").stream
    bars: dict[tuple[int, int, int], NDArray[np.float64]] = {}
    for keys, counts in model.counts(stream):
        fields = stream.unpacked(keys)
        style = fields["style"] if styles else np.ones(len(keys), np.int64)
        for metre in _METRES:
            here = steps_in_metre(fields["place"], fields["beat"], *metre, model.resolution)
            at = here >= 0
            for number in np.unique(style[at & (style > 0)]).tolist():
                _add_steps(
                    bars.setdefault((number, *metre), np.zeros((128, CLASS_COUNT + 1))),
                    here,
                    fields["target"],
                    np.where(at & (style == number), counts, 0),
                )
    names = styles or ["all"]
    found = {}
    for number in sorted({key[0] for key in bars}):
        of_style = [key for key in bars if key[0] == number]
        _, beats, is_compound = max(of_style, key=lambda key: (bars[key][0, -1], key))
        beat_steps = model.resolution * (3 if is_compound else 2) // 2
        tallied = bars[number, beats, is_compound][: beats * beat_steps]
        share = tallied[:, :-1] / np.maximum(tallied[:, -1:], 1)
        found[names[number - 1]] = LikelyBar(share=share.T, beat_steps=beat_steps)
    return found


def _add_steps(
    tallied: NDArray[np.float64], step: Ints, mask: Ints, counts: NDArray[np.generic]
) -> None:
    """Add each step's classes, and the steps themselves in the last column."""
    chosen = np.flatnonzero(counts)
    weight = counts[chosen, None].astype(np.float64)
    sounds = np.concatenate(
        (mask[chosen, None] >> np.arange(CLASS_COUNT) & 1, np.ones((len(chosen), 1))), axis=1
    )
    np.add.at(tallied, step[chosen], sounds * weight)


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
