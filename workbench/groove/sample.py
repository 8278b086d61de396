"""New bars from a model: steps or events are drawn, then pitches, velocities and timing.

What is drawn: `steps`, `events`, `hits`; what it is drawn on: `frame`. Equal models, options and
seeds give equal bytes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.groove.drums import CLASS_OF_PITCH, CLASSES, CLOSED_HAT, OPEN_HAT
from workbench.groove.events import drawn_events
from workbench.groove.frame import Frame, frame_of
from workbench.groove.hits import Hits, drawn_hits, drawn_pitches, with_locked
from workbench.groove.model import Model
from workbench.groove.options import SampleOptions
from workbench.groove.steps import drawn_steps
from workbench.groove.streams import Ints, bar_neighbours, masks_of
from workbench.music.writer import DRUM_CHANNEL, MidiTrack, midi_bytes

PPQ = 480
_PITCHED_CHANNEL = 1
_HIT_TICKS = 60  # length of a drum note: a 32nd
_OPEN_HAT_TICKS = PPQ  # an open hi-hat rings a quarter note at most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Drawn bars.

    Attributes:
        track: The notes, ready to be written.
        bar: Bar of each note, int64 (n,).
        step: Step in its bar of each note, int64 (n,).
        masks: Classes that sound at each step of the bars, int64 (bars x steps a bar,).
        bar_steps: Steps a bar.
        resolution: Steps a quarter note.
        bpm: Quarter notes a minute.
        near_copies: Bars within one hit of a bar of the training corpus.
        copies: Bars that are, on the grid, a bar of the training corpus.
    """

    track: MidiTrack
    bar: Ints
    step: Ints
    masks: Ints
    bar_steps: int
    resolution: int
    bpm: float
    near_copies: int
    copies: int

    @property
    def midi(self) -> bytes:
        """The bytes of the MIDI file."""
        return midi_bytes(self.track)

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.masks) // self.bar_steps

    @property
    def polyphony(self) -> float:
        """Share of sounding steps with two or more classes."""
        sounding = int((self.masks > 0).sum())
        return int((self.masks & (self.masks - 1) > 0).sum()) / max(sounding, 1)

    @property
    def onset_seconds(self) -> NDArray[np.float64]:
        """When each note sounds, float64 (n,)."""
        return np.asarray(self.track.tick) * (60.0 / (self.bpm * PPQ))

    def events(self) -> list[dict[str, Any]]:
        """Return each note as plain values: bar, step, tick, seconds, pitch, class, velocity."""
        names = (*CLASSES, "other")
        columns = (self.bar, self.step, self.track.tick, self.track.pitch, self.track.velocity)
        rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
        return [
            {
                "bar": bar,
                "step": step,
                "tick": tick,
                "seconds": round(tick * 60.0 / (self.bpm * PPQ), 6),
                "pitch": pitch,
                "class": names[CLASS_OF_PITCH[pitch]],
                "velocity": velocity,
            }
            for bar, step, tick, pitch, velocity in rows
        ]


def sample(model: Model, options: SampleOptions) -> Sample:
    """Draw new bars.

    Raises:
        GrooveError: The metre does not fit the model's grid, the prime cannot be read or is in
            another metre, a label is unknown, or the model has no such stream.
    """
    generator = np.random.Generator(np.random.PCG64(options.seed))
    frame = frame_of(model, options)
    if options.stream == "events":
        at, pitch = drawn_events(model, options, frame, generator)
        masks = masks_of(at, frame.classes(pitch), frame.steps)
    else:
        masks = drawn_steps(model, options, frame, generator)
        at, pitch = drawn_pitches(model, masks, frame, generator)
    hits = drawn_hits(model, options, frame, (at, pitch, masks), generator)
    hits = with_locked(hits, options, frame)
    near_copies, copies = _copies(model, masks, frame)
    return Sample(
        track=_track(hits, options, frame),
        bar=hits.at // frame.metre.bar_steps,
        step=hits.at % frame.metre.bar_steps,
        masks=masks,
        bar_steps=frame.metre.bar_steps,
        resolution=frame.metre.resolution,
        bpm=options.bpm,
        near_copies=near_copies,
        copies=copies,
    )


def _copies(model: Model, masks: Ints, frame: Frame) -> tuple[int, int]:
    """Return how many bars are near copies of a bar of the corpus, and how many are one."""
    if "bars" not in model.streams:
        return 0, 0
    starts = np.arange(0, len(masks) + 1, frame.metre.bar_steps)
    known = [model.knows_bars(digests) for digests in bar_neighbours(masks, starts)]
    return sum(bool(bar.any()) for bar in known), sum(bool(bar[0]) for bar in known)


def _track(hits: Hits, options: SampleOptions, frame: Frame) -> MidiTrack:
    metre = frame.metre
    tick = np.rint((hits.at + hits.offset) * PPQ / metre.resolution).astype(np.int64)
    tick = np.maximum(tick, 0)  # nothing sounds before the first beat
    return MidiTrack(
        tick=tick,
        duration=_durations(tick, frame.classes(hits.pitch), choke=options.choke),
        pitch=hits.pitch,
        velocity=hits.velocity,
        ppq=PPQ,
        tempos=((0, round(6e7 / options.bpm)),),
        metres=((0, metre.numerator, metre.denominator),),
        channel=_PITCHED_CHANNEL if frame.part == "pitched" else DRUM_CHANNEL,
        end_tick=frame.steps * PPQ // metre.resolution,
    )


def _durations(tick: Ints, drum: Ints, *, choke: bool) -> Ints:
    """Return each note's length; an open hi-hat rings until the next hi-hat, if it is choked."""
    duration = np.full(len(tick), _HIT_TICKS, np.int64)
    is_open = drum == OPEN_HAT
    duration[is_open] = _OPEN_HAT_TICKS
    if choke:
        hats = np.sort(tick[is_open | (drum == CLOSED_HAT)])
        after = np.searchsorted(hats, tick[is_open], side="right")
        following = np.append(hats, np.iinfo(np.int64).max)[after]
        duration[is_open] = np.minimum(_OPEN_HAT_TICKS, following - tick[is_open])
    return duration
