"""Drawing how new steps are played: the pitch of each hit, how loud it is and how late."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from workbench.groove.drums import CLASS_OF_PITCH, NO_CLASS, classes_named
from workbench.groove.frame import Frame
from workbench.groove.model import Model, StreamModel
from workbench.groove.options import SampleOptions
from workbench.groove.streams import (
    NO_PITCH,
    NOTHING_BEFORE,
    Ints,
    near_codes,
    offset_eighths,
    offset_of,
    velocity_eighths,
    velocity_of,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hits:
    """Notes on the grid, in playing order.

    Attributes:
        at: Step of each from the first new bar, int64 (n,).
        pitch: int64 (n,), 0..127.
        velocity: int64 (n,), 1..127.
        offset: Steps behind its step, float64 (n,).
    """

    at: Ints
    pitch: Ints
    velocity: Ints
    offset: NDArray[np.float64]

    def chosen(self, which: NDArray[np.bool_] | Ints) -> "Hits":
        """Return some of the notes, by a mask, shape (n,), or by their indices, shape (m,)."""
        return Hits(
            at=self.at[which],
            pitch=self.pitch[which],
            velocity=self.velocity[which],
            offset=self.offset[which],
        )


def drawn_pitches(
    model: Model, masks: Ints, frame: Frame, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return step and pitch of each hit, in playing order.

    Args:
        model: The model.
        masks: Classes that sound at each new step, shape (steps,).
        frame: What they are drawn on.
        generator: Gives one double a hit.
    """
    stream = model.stream("pitch")
    metre = frame.metre
    sums_in = _PITCH_SUMS.setdefault(stream, {})
    pitches: list[int] = []
    at, drum = np.nonzero(masks[:, None] >> np.arange(NO_CLASS) & 1)
    before = [NO_PITCH] * NO_CLASS
    columns = (at % metre.bar_steps, drum, generator.random(len(at)))
    for step, of_class, draw in zip(*(c.tolist() for c in columns), strict=True):
        context = (of_class, before[of_class], metre.place[step], metre.beat[step])
        if context not in sums_in:
            sums_in[context] = _pitch_sums(stream, context)
        before[of_class] = _target(stream.target_list, sums_in[context], draw)
        pitches.append(before[of_class])
    pitch = np.array(pitches, np.int64)
    return at, pitch[np.lexsort((pitch, at))]


def drawn_hits(
    model: Model,
    options: SampleOptions,
    frame: Frame,
    notes: tuple[Ints, Ints, Ints],
    generator: np.random.Generator,
) -> Hits:
    """Return notes with the velocity and the offset that they are played with.

    Args:
        model: The model.
        options: The amounts.
        frame: What they are drawn on.
        notes: Step and pitch of each note, in playing order, shape (n,) each, and the classes at
            each step, shape (steps,).
        generator: Gives two doubles a note.
    """
    at, pitch, _ = notes
    codes = _drawn_codes(model, frame, notes, generator)
    velocities = model.stream("velocity")
    sums = velocities.running_sums(())
    usual = int(velocity_of(velocities.targets[bisect_left(sums, sums[-1] / 2)]))  # the median
    played = velocity_of(codes[0])
    velocity = np.rint(usual + options.velocity * (played - usual)).astype(np.int64)
    return Hits(
        at=at,
        pitch=pitch,
        velocity=np.clip(velocity, 1, 127),
        offset=options.timing * offset_of(codes[1]),
    )


def with_locked(hits: Hits, options: SampleOptions, frame: Frame) -> Hits:
    """Return the hits with those of locked classes as the prime played them, over and over."""
    if frame.prime is None or not options.lock:
        return hits
    locked = list(classes_named(options.lock))
    grid, length = frame.prime.grid, len(frame.prime.masks)
    primed = Hits(
        at=frame.prime.at,
        pitch=grid.pitch.astype(np.int64),
        velocity=grid.velocity.astype(np.int64),
        offset=grid.offset,
    )
    kept = primed.chosen(np.isin(frame.classes(primed.pitch), locked))
    parts = [hits.chosen(~np.isin(frame.classes(hits.pitch), locked))]
    for start in range(0, frame.steps, length):
        here = kept.chosen(kept.at + start < frame.steps)
        parts.append(
            Hits(at=here.at + start, pitch=here.pitch, velocity=here.velocity, offset=here.offset)
        )
    whole = Hits(
        at=np.concatenate([part.at for part in parts]),
        pitch=np.concatenate([part.pitch for part in parts]),
        velocity=np.concatenate([part.velocity for part in parts]),
        offset=np.concatenate([part.offset for part in parts]),
    )
    return whole.chosen(np.lexsort((whole.pitch, whole.at)))


def _drawn_codes(
    model: Model,
    frame: Frame,
    notes: tuple[Ints, Ints, Ints],
    generator: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Return the bins of velocity and offset of each note, each depending on those before."""
    at, pitch, masks = notes
    velocities, timing, metre = model.stream("velocity"), model.stream("timing"), frame.metre
    drum = frame.classes(pitch)
    near = near_codes(masks, np.zeros(len(masks), np.int64), at, drum)
    velocity_before = [NOTHING_BEFORE] * (NO_CLASS + 1)
    offset_before = NOTHING_BEFORE
    velocity_codes, offset_codes = [], []
    draws = generator.random((len(at), 2)).T
    columns = (at % metre.bar_steps, pitch, near, drum, *draws)
    for step, note, close, of_class, *draw in zip(*(c.tolist() for c in columns), strict=True):
        on_grid = (note, close, metre.place[step], metre.beat[step])
        louder = velocities.running_sums((*on_grid, velocity_before[of_class]))
        later = timing.running_sums((*on_grid, offset_before))
        velocity = _target(velocities.target_list, louder, draw[0])
        offset = _target(timing.target_list, later, draw[1])
        velocity_before[of_class] = velocity_eighths(velocity)
        offset_before = offset_eighths(offset)
        velocity_codes.append(velocity)
        offset_codes.append(offset)
    return np.array(velocity_codes, np.int64), np.array(offset_codes, np.int64)


# By a model's pitch stream, by context; a corpus has some hundreds of contexts
_PITCH_SUMS: WeakKeyDictionary[StreamModel, dict[tuple[int, ...], list[float]]] = (
    WeakKeyDictionary()
)


def _pitch_sums(stream: StreamModel, context: tuple[int, ...]) -> list[float]:
    """Return the running sums of the pitches' probabilities, of those of the context's class.

    Smoothing gives every pitch of the corpus some probability in every class.
    """
    is_of_class = CLASS_OF_PITCH[stream.targets] == context[0]
    if not is_of_class.any():  # a locked class that the corpus never has; the prime says its pitch
        is_of_class = ~is_of_class
    weights = np.where(is_of_class, stream.distribution(context).seen, 0.0)
    return list(np.cumsum(weights).tolist())


def _target(targets: list[int], sums: list[float], draw: float) -> int:
    """Return the target that a draw, 0..1, falls on by its running sum."""
    chosen = bisect_right(sums, draw * sums[-1])
    if chosen == len(sums):  # a draw may round up to the last sum
        chosen = bisect_left(sums, sums[-1])
    return targets[chosen]
