"""What new bars are drawn on: a metre on the model's grid, and the bars that are continued.

Units: a `step` is a cell of the model's grid, `resolution` of them a quarter note.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.drums import CLASS_OF_PITCH, NO_CLASS
from workbench.groove.grid import MAX_BAR_STEPS, Grid, Skip, grid_of
from workbench.groove.model import Model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.streams import beat_codes, masks_of, place_codes
from workbench.music.midi import Refusal, read_midi_file

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metre:
    """A metre on the model's grid.

    Attributes:
        numerator: Of the time signature.
        denominator: Of the time signature.
        resolution: Steps a quarter note.
        bar_steps: Steps a bar.
        place: Place code of each step of a bar.
        beat: Beat code of each step of a bar.
    """

    numerator: int
    denominator: int
    resolution: int
    bar_steps: int
    place: tuple[int, ...]
    beat: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prime:
    """The bars that are continued.

    Attributes:
        grid: Its notes.
        at: Step of each note from the start, int64 (n,).
        masks: Classes at each step, a whole number of bars.
    """

    grid: Grid
    at: Ints
    masks: Ints

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.grid.bar_steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What new bars are drawn on.

    Attributes:
        metre: Their metre.
        bars: How many are drawn.
        prime: The bars before them, or None.
        part: Which notes the model counts; only those of `drums` are of a class.
        temperatures: Temperature at each new step.
    """

    metre: Metre
    bars: int
    prime: Prime | None
    part: str
    temperatures: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of new steps."""
        return self.bars * self.metre.bar_steps

    def classes(self, pitch: NDArray[np.integer]) -> Ints:
        """Return the drum class of each pitch, as the model counts it, shape (n,)."""
        return CLASS_OF_PITCH[pitch] if self.part == "drums" else np.full(len(pitch), NO_CLASS)


def frame_of(model: Model, options: SampleOptions) -> Frame:
    """Lay out new bars.

    Raises:
        GrooveError: The metre does not fit the model's grid, or the prime cannot be read or is
            in another metre.
    """
    metre = _metre(options, model.resolution)
    steps = options.bars * metre.bar_steps
    first, last = options.temperature, options.temperature_end or options.temperature
    span = max(steps - 1, 1)
    return Frame(
        metre=metre,
        bars=options.bars,
        prime=_prime(model, options, metre),
        part=model.description["counting"]["part"],
        temperatures=tuple(first + (last - first) * step / span for step in range(steps)),
    )


def _metre(options: SampleOptions, resolution: int) -> Metre:
    whole = 4 * resolution * options.numerator
    bar_steps, rest = divmod(whole, options.denominator)
    if rest or not 1 <= bar_steps <= MAX_BAR_STEPS:
        raise GrooveError(
            f"metre {options.metre}: a bar is {whole / options.denominator:g} steps of the "
            f"model's grid, {resolution} a quarter; it must be 1 to {MAX_BAR_STEPS} whole ones"
        )
    is_compound = options.denominator == 8 and options.numerator % 3 == 0
    is_compound = is_compound and options.numerator > 3 and resolution % 2 == 0
    beat_steps = np.array(resolution * 3 // 2 if is_compound else resolution)
    steps = np.arange(bar_steps)
    return Metre(
        numerator=options.numerator,
        denominator=options.denominator,
        resolution=resolution,
        bar_steps=bar_steps,
        place=tuple(place_codes(steps, beat_steps, resolution).tolist()),
        beat=tuple(beat_codes(steps, beat_steps, np.array(bar_steps)).tolist()),
    )


def _prime(model: Model, options: SampleOptions, metre: Metre) -> Prime | None:
    if options.prime is None:
        return None
    midi = read_midi_file(options.prime)
    if isinstance(midi, Refusal):
        raise GrooveError(f"{options.prime}: no readable prime ({midi.reason}: {midi.detail})")
    counting = model.description["counting"] | {"min_notes": 1, "min_bars": 0}
    grid = grid_of(midi, TrainOptions(**counting))
    if isinstance(grid, Skip):
        raise GrooveError(f"{options.prime}: no usable prime ({grid.reason}: {grid.detail})")
    if (grid.bar_steps != metre.bar_steps).any():
        raise GrooveError(
            f"{options.prime}: has bars of {sorted(set(grid.bar_steps.tolist()))} steps, "
            f"{options.metre} has {metre.bar_steps}; give the prime's metre by --metre"
        )
    at = grid.bar * metre.bar_steps + grid.step
    masks = masks_of(at, CLASS_OF_PITCH[grid.pitch], len(grid.bar_steps) * metre.bar_steps)
    return Prime(grid=grid, at=at, masks=masks)
