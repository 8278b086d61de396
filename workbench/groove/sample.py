"""New bars from a model: steps or events are drawn, then pitches, velocities and timing.

A step's classes are drawn at once, so that what sounds together was learned together. The corpus
predicts from the bars before; labels and the piece's own counts are mixed in; locks and the
choke rule leave out what they forbid. Equal models, options and seeds give equal bytes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.adaptive import EVENT_LEVELS, STEP_LEVELS, PieceCounts
from workbench.groove.drawing import drawn
from workbench.groove.drums import (
    CLASS_OF_PITCH,
    CLASSES,
    CLOSED_HAT,
    NO_CLASS,
    OPEN_HAT,
    classes_named,
)
from workbench.groove.grid import Grid, Skip, grid_of
from workbench.groove.labels import number_of
from workbench.groove.model import Model, StreamModel
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.streams import (
    LABEL_KINDS,
    NO_MASK,
    NO_PITCH,
    NO_TOKEN,
    NOTHING_BEFORE,
    bar_neighbours,
    beat_codes,
    event_tokens,
    masks_of,
    near_codes,
    offset_of,
    place_codes,
    velocity_of,
)
from workbench.music.midi import Refusal, read_midi_file
from workbench.music.writer import MidiTrack, midi_bytes
from workbench.options import did_you_mean

Ints = NDArray[np.int64]

PPQ = 480
_HIT_TICKS = 60  # length of a drum note: a 32nd
_OPEN_HAT_TICKS = PPQ  # an open hi-hat rings a quarter note at most
_LABEL_PULL = 25.0  # how much more a wished label weighs than one that is merely known
_MAX_EVENTS_A_STEP = 8


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
    metre = _Metre.of(options, model.resolution)
    prime = _Prime.read(model, options, metre)
    if options.stream == "events":
        at, pitch = _drawn_events(model, options, metre, prime, generator)
        masks = masks_of(at, CLASS_OF_PITCH[pitch], options.bars * metre.bar_steps)
    else:
        masks = _drawn_steps(model, options, metre, prime, generator)
        at, pitch = _drawn_pitches(model.stream("pitch"), masks, metre, generator)
    velocity, offset = _drawn_feel(model, options, metre, (at, pitch, masks), generator)
    if prime is not None and options.lock:
        at, pitch, velocity, offset = _with_locked(
            prime, options, metre, (at, pitch, velocity, offset)
        )
    return _finished(model, options, metre, masks, (at, pitch, velocity, offset))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metre:
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

    @staticmethod
    def of(options: SampleOptions, resolution: int) -> "_Metre":
        whole = 4 * resolution * options.numerator
        bar_steps, rest = divmod(whole, options.denominator)
        if rest or not 1 <= bar_steps <= 128:
            raise GrooveError(
                f"metre {options.metre}: a bar is {whole / options.denominator:g} steps of the "
                f"model's grid, {resolution} a quarter; it must be 1 to 128 whole ones"
            )
        is_compound = options.denominator == 8 and options.numerator % 3 == 0
        is_compound = is_compound and options.numerator > 3 and resolution % 2 == 0
        beat_steps = np.array(resolution * 3 // 2 if is_compound else resolution)
        steps = np.arange(bar_steps)
        return _Metre(
            numerator=options.numerator,
            denominator=options.denominator,
            resolution=resolution,
            bar_steps=bar_steps,
            place=tuple(place_codes(steps, beat_steps, resolution).tolist()),
            beat=tuple(beat_codes(steps, beat_steps, np.array(bar_steps)).tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prime:
    """The bars that are continued.

    Attributes:
        grid: Its notes.
        at: Step of each note from the start, int64 (n,).
        masks: Classes at each step, a whole number of bars.
    """

    grid: Grid
    at: Ints
    masks: Ints

    @staticmethod
    def read(model: Model, options: SampleOptions, metre: _Metre) -> "_Prime | None":
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
        drum = CLASS_OF_PITCH[grid.pitch]
        masks = masks_of(at, drum, len(grid.bar_steps) * metre.bar_steps)
        return _Prime(grid=grid, at=at, masks=masks)


class _StepModel:
    """The distribution of a step's classes, given the steps so far."""

    def __init__(self, model: Model, options: SampleOptions, metre: _Metre):
        self.stream = model.stream("steps")
        self.metre = metre
        self.labels = _wished_labels(model, options)
        self.piece = PieceCounts(STEP_LEVELS if options.adapt else ())

    def context(self, masks: Sequence[int]) -> dict[str, int]:
        """Return the columns of the step after some steps."""
        at, bar = len(masks), self.metre.bar_steps
        ago = {f"bar_{k}": k * bar for k in (1, 2, 4)} | {f"step_{k}": k for k in (1, 2, 3, 4)}
        context = {name: masks[at - k] if k <= at else NO_MASK for name, k in ago.items()}
        step = at % bar
        return context | {"place": self.metre.place[step], "beat": self.metre.beat[step]}

    def weights(self, context: dict[str, int]) -> NDArray[np.float64]:
        """Return the weight of each of the stream's targets, a new array."""
        key = tuple(context[name] for name, _ in self.stream.stream.fields)
        seen = self.stream.distribution(key).seen
        for stream, number in self.labels:
            fields = [name for name, _ in stream.stream.fields[1:]]
            told = (number, *(context[name] for name in fields))
            seen = stream.corrected(seen, self.stream.targets, told, _LABEL_PULL)
        return self.piece.adapt(seen, self.stream.index_of_target, context)


def _wished_labels(model: Model, options: SampleOptions) -> list[tuple[StreamModel, int]]:
    """Return the stream and the number of each label that was asked for."""
    wished = []
    for kind in LABEL_KINDS:
        value = getattr(options, kind)
        if not value:
            continue
        known = model.labels.get(kind, [])
        number = number_of(known, value)
        if number == 0:
            near = did_you_mean(value, known)
            there = f"the model knows {', '.join(known)}" if known else "the model has none"
            raise GrooveError(f"{kind} {value!r} is unknown{near}; {there}")
        wished.append((model.stream(f"steps.{kind}"), number))
    return wished


def _drawn_steps(
    model: Model,
    options: SampleOptions,
    metre: _Metre,
    prime: _Prime | None,
    generator: np.random.Generator,
) -> Ints:
    """Return the classes of each new step."""
    steps = _StepModel(model, options, metre)
    masks = [] if prime is None else prime.masks.tolist()
    for at in range(len(masks)):
        steps.piece.add(steps.context(masks[:at]), masks[at])
    before = len(masks)
    targets = steps.stream.targets
    allowed = _allowed(targets, options)
    locked = _locked_bits(options)
    total = options.bars * metre.bar_steps
    temperatures = _temperatures(options, total)
    for number in range(total):
        context = steps.context(masks)
        weights = steps.weights(context)
        usable = allowed
        if locked and prime is not None:
            wanted = int(prime.masks[number % len(prime.masks)]) & locked
            usable = allowed & ((targets & locked) == wanted)
        weights = np.where(usable, weights, 0.0)
        if not weights.any():  # a locked set that the corpus never has: it sounds alone
            masks.append(wanted)
            continue
        chosen = drawn(
            weights,
            generator,
            temperature=temperatures[number],
            top_k=options.top_k,
            top_p=options.top_p,
        )
        masks.append(int(targets[chosen]))
        steps.piece.add(context, masks[-1])
    return np.array(masks[before:], np.int64)


def _allowed(targets: Ints, options: SampleOptions) -> NDArray[np.bool_]:
    """Return which targets the choke rule allows: a hi-hat is not open and closed at once."""
    if not options.choke:
        return np.ones(len(targets), bool)
    both = 1 << OPEN_HAT | 1 << CLOSED_HAT
    return np.asarray((targets & both) != both)


def _locked_bits(options: SampleOptions) -> int:
    return sum(1 << drum for drum in classes_named(options.lock))


def _temperatures(options: SampleOptions, total: int) -> list[float]:
    """Return the temperature of each of `total` draws."""
    end = options.temperature_end or options.temperature
    span = max(total - 1, 1)
    return [options.temperature + (end - options.temperature) * i / span for i in range(total)]


def _drawn_pitches(
    stream: StreamModel, masks: Ints, metre: _Metre, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return step and pitch of each hit, in playing order."""
    before = [NO_PITCH] * NO_CLASS
    at, pitches = [], []
    for step in np.flatnonzero(masks).tolist():
        in_bar = step % metre.bar_steps
        hits = []
        for drum in range(NO_CLASS):
            if masks[step] >> drum & 1:
                context = (drum, before[drum], metre.place[in_bar], metre.beat[in_bar])
                before[drum] = _one(stream, context, generator)
                hits.append(before[drum])
        at += [step] * len(hits)
        pitches += sorted(hits)
    return np.array(at, np.int64), np.array(pitches, np.int64)


def _one(stream: StreamModel, context: tuple[int, ...], generator: np.random.Generator) -> int:
    """Draw one target of a stream."""
    sums = stream.running_sums(context)
    chosen = bisect_right(sums, generator.random() * sums[-1])
    return stream.target_list[min(chosen, len(sums) - 1)]


def _drawn_feel(
    model: Model,
    options: SampleOptions,
    metre: _Metre,
    hits: tuple[Ints, Ints, Ints],
    generator: np.random.Generator,
) -> tuple[Ints, NDArray[np.float64]]:
    """Return velocity and offset in steps of each hit."""
    at, pitch, masks = hits
    velocities, timing = model.stream("velocity"), model.stream("timing")
    drum = CLASS_OF_PITCH[pitch]
    near = near_codes(masks, np.zeros(len(masks), np.int64), at, drum).tolist()
    velocity_before = [NOTHING_BEFORE] * (NO_CLASS + 1)
    offset_before = NOTHING_BEFORE
    velocity_codes, offset_codes = [], []
    for number, (step, note, of_class) in enumerate(
        zip(at.tolist(), pitch.tolist(), drum.tolist(), strict=True)
    ):
        in_bar = step % metre.bar_steps
        on_grid = (note, near[number], metre.place[in_bar], metre.beat[in_bar])
        velocity_codes.append(_one(velocities, (*on_grid, velocity_before[of_class]), generator))
        offset_codes.append(_one(timing, (*on_grid, offset_before), generator))
        velocity_before[of_class] = velocity_codes[-1] >> 3
        offset_before = offset_codes[-1] >> 2
    usual = _usual_velocity(velocities)
    played = velocity_of(np.array(velocity_codes, np.int64))
    velocity = np.rint(usual + options.velocity * (played - usual)).astype(np.int64)
    offset = options.timing * offset_of(np.array(offset_codes, np.int64))
    return np.clip(velocity, 1, 127), offset


def _usual_velocity(stream: StreamModel) -> int:
    """Return the corpus's median velocity."""
    sums = stream.running_sums(())
    return int(velocity_of(stream.targets[bisect_left(sums, sums[-1] / 2)]))


def _drawn_events(
    model: Model,
    options: SampleOptions,
    metre: _Metre,
    prime: _Prime | None,
    generator: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Return step and pitch of each event, drawn one after another."""
    stream = model.stream("events")
    piece = PieceCounts(EVENT_LEVELS if options.adapt else ())
    tokens = [NO_TOKEN] * 4
    first_bar = 0
    if prime is not None:
        first_bar = len(prime.grid.bar_steps)
        for token in event_tokens(
            prime.grid.bar, prime.grid.step, prime.grid.pitch.astype(np.int64)
        ).tolist():
            piece.add(_note_context(tokens), token)
            tokens.append(token)
    depth = stream.stream.depth
    targets = stream.targets
    bar, step, pitches = first_bar, 0, set[int]()
    at: list[int] = []
    found: list[int] = []
    total = options.bars * metre.bar_steps
    temperatures = _temperatures(options, total)
    while True:
        context = _note_context(tokens)
        key = tuple(context[f"note_{k}"] for k in range(1, depth + 1))
        weights = piece.adapt(stream.distribution(key).seen, stream.index_of_target, context)
        weights = np.where(_playable(targets, metre, bar, step, pitches), weights, 0.0)
        place = min(max((bar - first_bar) * metre.bar_steps + step, 0), total - 1)
        if not weights.any():
            bar, step, pitches = bar + 1, 0, set()
            if bar - first_bar >= options.bars:
                break
            continue
        token = int(
            targets[
                drawn(
                    weights,
                    generator,
                    temperature=temperatures[place],
                    top_k=options.top_k,
                    top_p=options.top_p,
                )
            ]
        )
        next_bar, next_step = _moment(token, bar, step)
        if (next_bar, next_step) != (bar, step):
            pitches = set()
        bar, step = next_bar, next_step
        if bar - first_bar >= options.bars:
            break
        pitches.add(token & 127)
        piece.add(context, token)
        tokens.append(token)
        at.append((bar - first_bar) * metre.bar_steps + step)
        found.append(token & 127)
    return np.array(at, np.int64), np.array(found, np.int64)


def _note_context(tokens: list[int]) -> dict[str, int]:
    return {f"note_{k}": tokens[-k] for k in (1, 2, 3, 4)}


def _moment(token: int, bar: int, step: int) -> tuple[int, int]:
    """Return bar and step of a token that follows an event: the next moment it can mean."""
    parity, token_step = token >> 14 & 1, token >> 7 & 127
    if parity != bar & 1:
        return bar + 1, token_step
    return (bar, token_step) if token_step >= step else (bar + 2, token_step)


def _playable(
    targets: Ints, metre: _Metre, bar: int, step: int, pitches: set[int]
) -> NDArray[np.bool_]:
    """Return which tokens can follow: at most a bar ahead, and no pitch twice a step."""
    token_step, pitch = targets >> 7 & 127, targets & 127
    is_same_bar = targets >> 14 & 1 == bar & 1
    is_ahead = np.where(is_same_bar, token_step >= step, token_step <= step)
    is_now = is_same_bar & (token_step == step)
    is_taken = is_now & np.isin(pitch, list(pitches))
    if len(pitches) >= _MAX_EVENTS_A_STEP:
        is_taken = is_now
    return np.asarray(is_ahead & (token_step < metre.bar_steps) & ~is_taken)


def _with_locked(
    prime: _Prime,
    options: SampleOptions,
    metre: _Metre,
    hits: tuple[Ints, Ints, Ints, NDArray[np.float64]],
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Return the hits with those of locked classes as the prime played them, over and over."""
    locked = list(classes_named(options.lock))
    at, pitch, velocity, offset = hits
    free = ~np.isin(CLASS_OF_PITCH[pitch], locked)
    total = options.bars * metre.bar_steps
    is_kept = np.isin(CLASS_OF_PITCH[prime.grid.pitch], locked)
    parts = [(at[free], pitch[free], velocity[free], offset[free])]
    for start in range(0, total, len(prime.masks)):
        chosen = is_kept & (prime.at + start < total)
        parts.append(
            (
                prime.at[chosen] + start,
                prime.grid.pitch[chosen].astype(np.int64),
                prime.grid.velocity[chosen].astype(np.int64),
                prime.grid.offset[chosen],
            )
        )
    at, pitch, velocity = (np.concatenate([part[column] for part in parts]) for column in range(3))
    offset = np.concatenate([part[3] for part in parts])
    order = np.lexsort((pitch, at))
    return at[order], pitch[order], velocity[order], offset[order]


def _finished(
    model: Model,
    options: SampleOptions,
    metre: _Metre,
    masks: Ints,
    hits: tuple[Ints, Ints, Ints, NDArray[np.float64]],
) -> Sample:
    at, pitch, velocity, offset = hits
    tick = np.rint((at + offset) * PPQ / metre.resolution).astype(np.int64)
    tick = np.maximum(tick, 0)  # nothing sounds before the first beat
    end = len(masks) * PPQ // metre.resolution
    track = MidiTrack(
        tick=tick,
        duration=_durations(tick, pitch, choke=options.choke),
        pitch=pitch,
        velocity=velocity,
        ppq=PPQ,
        tempos=((0, round(6e7 / options.bpm)),),
        metres=((0, metre.numerator, metre.denominator),),
        end_tick=end,
    )
    copies = near_copies = 0
    if "bars" in model.streams:
        starts = np.arange(0, len(masks) + 1, metre.bar_steps)
        for digests in bar_neighbours(masks, starts):
            known = model.knows_bars(digests)
            copies += bool(known[0])
            near_copies += bool(known.any())
    return Sample(
        track=track,
        bar=at // metre.bar_steps,
        step=at % metre.bar_steps,
        masks=masks,
        bar_steps=metre.bar_steps,
        resolution=metre.resolution,
        bpm=options.bpm,
        near_copies=near_copies,
        copies=copies,
    )


def _durations(tick: Ints, pitch: Ints, *, choke: bool) -> Ints:
    """Return each note's length; an open hi-hat rings until the next hi-hat, if it is choked."""
    drum = CLASS_OF_PITCH[pitch]
    duration = np.full(len(tick), _HIT_TICKS, np.int64)
    is_open = drum == OPEN_HAT
    duration[is_open] = _OPEN_HAT_TICKS
    if choke:
        hats = np.sort(tick[is_open | (drum == CLOSED_HAT)])
        after = np.searchsorted(hats, tick[is_open], side="right")
        following = np.append(hats, np.iinfo(np.int64).max)[after]
        duration[is_open] = np.minimum(_OPEN_HAT_TICKS, following - tick[is_open])
    return duration
