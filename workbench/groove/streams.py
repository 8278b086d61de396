"""Token streams: which key every event, step and hit of a performance is counted under.

A key is 64 bits: context fields from the most general to the most specific, then the target. A
context of level j is the first j fields; so one count a full key holds the counts of all its
levels. Nothing is hashed.

    events      a note. Context: the notes 1, 2, 3 before it. Target: bar parity, step, pitch.
    steps       a step. Context: place in the beat; what sounded at the same step 1, 2, 4 bars
                ago; 1 and 2 steps ago; beat in the bar. Target: the classes that sound.
    steps.KIND  a step. Context: its label of that kind (style, drummer, section); place in the
                beat; beat; the same step 1 bar ago; 1 step ago. Target: the classes that sound.
    pitch       a note. Context: class; pitch before in the class; place; beat. Target: pitch.
    velocity    a note. Context: pitch; neighbours in the class; place; beat; velocity before
                in the class, in eighths. Target: velocity, in steps of two.
    timing      a note. Context: as velocity, but the offset of the note before, in eighths of a
                step. Target: offset, in 1/32 of a step.
    bars        a bar. Target: digest of its steps.
    pieces      a step, of a mixture only. Context: where it is: performance, step, its bar.
                Target: the classes that sound. See `pieces`.

The order of the step contexts was chosen on the validation split of the Groove MIDI Dataset
(bits a bar: 33.9 for this chain; 34.5 with the bar and step before the same step in place of four
bars ago; 35.1 with the beat first). `bars` alone is a digest, kept to find copies, never to
predict. A mask of all nine classes at once stands for "before the start" in a context; no target
is changed by that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.groove.drums import CLASS_COUNT, CLASS_OF_PITCH, NO_CLASS
from workbench.groove.grid import Grid

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
IntOrInts = TypeVar("IntOrInts", int, Ints)

MASK_BITS = CLASS_COUNT
MASKS = 1 << MASK_BITS
NO_MASK = MASKS - 1
TOKEN_BITS = 16
NO_TOKEN = 1 << 15
NO_PITCH = 128
OFFSET_CELLS = 32  # offset bins a step
OFFSET_BINS = OFFSET_CELLS + 1
NOTHING_BEFORE = 15  # in the fields velocity_before and timing_before
LABEL_KINDS = ("style", "drummer", "section")
MAX_LABELS = 511
_LABEL_BITS = 9
_PLACE_BITS = 5
_BEAT_BITS = 5
_MANY_BEATS = 28  # codes 28..31 count the beats of metres with more than seven, modulo four


@dataclass(frozen=True, slots=True)
class Stream:
    """The layout of one stream's keys.

    Attributes:
        name: Its name in stores and models.
        fields: Name and bits of each context field, the most general first.
        target_bits: Bits of the target.
        targets: How many values a target can have; the base distribution is uniform over them.
        backoff: What a lower level counts: `continuation`, the distinct contexts that a target
            was seen in, as Kneser and Ney have it; or `counts`, all occurrences.
        lowest: The lowest level there is; above 0 for a stream that only corrects another one.
    """

    name: str
    fields: tuple[tuple[str, int], ...]
    target_bits: int
    targets: int
    backoff: Literal["continuation", "counts"] = "continuation"
    lowest: int = 0

    @property
    def depth(self) -> int:
        """Number of context fields, which is the highest level."""
        return len(self.fields)

    def packed(self, columns: Mapping[str, Ints], level: int | None = None) -> Keys:
        """Return the contexts of a level, without a target.

        Args:
            columns: Each field's values, shape (n,).
            level: How many fields count; all when None.
        """
        names = self.fields[: self.depth if level is None else level]
        keys = np.zeros(len(columns["target"]), np.uint64)
        for name, bits in names:
            keys <<= np.uint64(bits)
            keys |= columns[name].view(np.uint64)  # no column is negative
        return keys

    def keys(self, columns: Mapping[str, Ints]) -> Keys:
        """Return the full keys of some columns, shape (n,)."""
        return self.with_target(self.packed(columns), columns["target"])

    def unpacked(self, keys: Keys) -> dict[str, Ints]:
        """Return the context fields and the target of full keys, by name, each of shape (n,)."""
        columns = {"target": (keys & np.uint64((1 << self.target_bits) - 1)).astype(np.int64)}
        rest = keys >> np.uint64(self.target_bits)
        for name, bits in reversed(self.fields):
            columns[name] = (rest & np.uint64((1 << bits) - 1)).astype(np.int64)
            rest = rest >> np.uint64(bits)
        return columns

    def with_target(self, contexts: Keys, targets: Ints) -> Keys:
        """Return contexts with their targets behind them, all of shape (n,)."""
        return (contexts << np.uint64(self.target_bits)) | targets.astype(np.uint64)


def streams_of(
    n: int, part: str, label_kinds: Sequence[str], *, model: str = "ngrams"
) -> tuple[Stream, ...]:
    """Return the streams that a model of these options has.

    Args:
        n: Length of the event n-grams.
        part: Which notes count; steps, which are of drum classes, need the drums.
        label_kinds: Which kinds of labels there are, of LABEL_KINDS.
        model: `ngrams`, or `mixture`, which needs the pieces themselves.
    """
    before = tuple((f"note_{k}", TOKEN_BITS) for k in range(1, n))
    events = Stream("events", before, TOKEN_BITS, NO_TOKEN)
    if part != "drums":
        return (events, VELOCITY, TIMING)
    labelled = tuple(_labelled(kind) for kind in label_kinds)
    pieces = (PIECES,) if model == "mixture" else ()
    return (events, STEPS, *labelled, PITCH, VELOCITY, TIMING, BARS, *pieces)


STEPS = Stream(
    "steps",
    (
        ("place", _PLACE_BITS),
        ("bar_1", MASK_BITS),
        ("bar_2", MASK_BITS),
        ("bar_4", MASK_BITS),
        ("step_1", MASK_BITS),
        ("step_2", MASK_BITS),
        ("beat", _BEAT_BITS),
    ),
    MASK_BITS,
    1 << MASK_BITS,
)
PITCH = Stream(
    "pitch",
    (("class", 4), ("pitch_before", 8), ("place", _PLACE_BITS), ("beat", _BEAT_BITS)),
    7,
    128,
)
_ON_THE_GRID = (("pitch", 7), ("near", 4), ("place", _PLACE_BITS), ("beat", _BEAT_BITS))
VELOCITY = Stream("velocity", (*_ON_THE_GRID, ("velocity_before", 4)), 6, 64, "counts")
TIMING = Stream("timing", (*_ON_THE_GRID, ("timing_before", 4)), 6, OFFSET_BINS, "counts")
BARS = Stream("bars", (), 64, 1)
PIECES = Stream(
    "pieces",
    (
        ("piece", 26),  # its number in the list
        ("step", 20),  # as many as a performance may have
        ("opens", 1),  # a bar
        ("compound", 1),  # whether beats are of three eighths
        ("bar", 7),  # its steps, less one
    ),
    MASK_BITS,
    1 << MASK_BITS,
    "counts",
    5,
)


def _labelled(kind: str) -> Stream:
    fields = (
        (kind, _LABEL_BITS),
        ("place", _PLACE_BITS),
        ("beat", _BEAT_BITS),
        ("bar_1", MASK_BITS),
        ("step_1", MASK_BITS),
    )
    return Stream(f"steps.{kind}", fields, MASK_BITS, 1 << MASK_BITS, "counts", len(fields))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """The columns that the streams' keys are packed from, of several performances in a row.

    Attributes:
        notes: By name, shape (n,), int64, one value a note.
        steps: By name, shape (s,), int64, one value a step.
        bar_digests: uint64, one a bar.
        note_file: Which performance each note is of, shape (n,).
        step_file: Which performance each step is of, shape (s,).
        bar_start: First step of each bar, and the number of steps behind the last.
    """

    notes: dict[str, Ints]
    steps: dict[str, Ints]
    bar_digests: Keys
    note_file: Ints
    step_file: Ints
    bar_start: Ints

    def of(self, stream: Stream) -> dict[str, Ints]:
        """Return the columns that a stream's keys are made of."""
        source = self.steps if stream.name.startswith("steps") else self.notes
        target = "steps" if stream.name.startswith("steps") else stream.name
        return source | {"target": source[f"target_{target}"]}

    def keys(self, stream: Stream) -> Keys:
        """Return a stream's full keys, one a note, step or bar."""
        return self.bar_digests if stream is BARS else stream.keys(self.of(stream))


def columns_of(
    grids: Sequence[Grid],
    labels: Mapping[str, Ints],
    *,
    n: int,
    coarse: bool = False,
    onset_order: str = "played",
    part: str = "drums",
    looks_back: int = 4,
) -> Columns:
    """Return the columns of some performances.

    Args:
        grids: The performances, at least one, all of one resolution.
        labels: By kind, each performance's label number, 0 for none, shape (len(grids),).
        n: Length of the event n-grams.
        coarse: Whether events know the beat instead of the step.
        onset_order: `played`, or `sorted` by step and pitch.
        part: Which notes count; only those of `drums` are of a class.
        looks_back: Steps and notes ago that have a column; a piece's own counts need 4.
    """
    bars = _Bars.of(grids)
    note_file = np.repeat(np.arange(len(grids)), [len(g.pitch) for g in grids])
    note_bar = np.concatenate([g.bar for g in grids]) + bars.first_of_file[note_file]
    note_step = np.concatenate([g.step for g in grids])
    at = bars.start[note_bar] + note_step
    pitch = np.concatenate([g.pitch for g in grids]).astype(np.int64)
    velocity = np.concatenate([g.velocity for g in grids]).astype(np.int64)
    offset = np.concatenate([g.offset for g in grids])
    drum = CLASS_OF_PITCH[pitch] if part == "drums" else np.full(len(pitch), NO_CLASS)
    mask = masks_of(at, drum, bars.total)
    steps = _step_columns(mask, bars, looks_back)
    step_file = bars.file[bars.of_step]
    for kind, numbers in labels.items():
        steps[kind] = numbers[step_file]
    resolution = grids[0].resolution
    token = event_tokens(bars.in_file[note_bar], note_step // (resolution if coarse else 1), pitch)
    if onset_order == "sorted":
        token = token[np.lexsort((pitch, at))]
    notes = _residual_columns(
        pitch=pitch,
        velocity=velocity,
        offset=offset,
        drum=drum,
        near=near_codes(mask, step_file, at, drum),
        file=note_file,
    )
    notes |= {f"note_{k}": _lagged(token, note_file, k, NO_TOKEN) for k in range(1, looks_back + 1)}
    notes |= {"target_events": token, "place": steps["place"][at], "beat": steps["beat"][at]}
    return Columns(
        notes=notes,
        steps=steps,
        bar_digests=bar_digests(mask, bars.start[:-1], bars.step_in_bar),
        note_file=note_file,
        step_file=step_file,
        bar_start=bars.start,
    )


def event_tokens(bar: Ints, step: Ints, pitch: Ints) -> Ints:
    """Return events' tokens, shape (n,): one bit of bar parity, seven of step, seven of pitch."""
    return ((bar & 1) << 14) | (step << 7) | pitch


def masks_of(at: Ints, drum: Ints, total: int) -> Ints:
    """Return which classes sound at each step.

    Args:
        at: Global step of each note, shape (n,).
        drum: Class of each note, shape (n,).
        total: How many steps there are.

    Returns:
        A bit a class, shape (total,).
    """
    bit = np.where(drum < NO_CLASS, 1 << drum, 0)
    mask = np.zeros(total, np.int64)
    np.bitwise_or.at(mask, at, bit)
    return mask


def place_codes(step: Ints, beat_steps: Ints, resolution: int) -> Ints:
    """Return where in its beat each step is, shape (n,); compound beats have codes of their own."""
    is_compound = beat_steps != resolution
    return step % beat_steps + np.where(is_compound, resolution, 0)


def beat_codes(step: Ints, beat_steps: Ints, bar_steps: Ints) -> Ints:
    """Return one code, shape (n,), for the beat a step is in and how many beats its bar has."""
    beats = -(-bar_steps // beat_steps)
    beat = step // beat_steps
    return np.where(beats <= 7, beats * (beats - 1) // 2 + beat, _MANY_BEATS + beat % 4)


def steps_in_metre(place: Ints, beat: Ints, beats: int, is_compound: int, resolution: int) -> Ints:
    """Return the step in a bar of some beats that codes of place and beat stand for, else -1.

    Args:
        place: Codes as of `place_codes`, shape (n,).
        beat: Codes as of `beat_codes`, shape (n,).
        beats: How many the bar has.
        is_compound: Whether they are of three parts.
        resolution: Steps a quarter note.
    """
    beat_steps = resolution * (3 if is_compound else 2) // 2
    in_bar = beat - beats * (beats - 1) // 2
    in_beat = place - (resolution if is_compound else 0)
    fits = (in_bar >= 0) & (in_bar < beats) & (in_beat >= 0) & (in_beat < beat_steps)
    return np.where(fits, in_bar * beat_steps + in_beat, -1)


def velocity_codes(velocity: Ints) -> Ints:
    """Return the bins of velocities, 0..63, of the same shape."""
    return velocity >> 1


def velocity_of(code: Ints) -> Ints:
    """Return the velocities that bins stand for, of the same shape; the top bin is 127."""
    return 2 * code + 1


def offset_codes(offset: NDArray[np.float64]) -> Ints:
    """Return the bins of offsets of -0.5..0.5 steps, 0..32, of the same shape."""
    return np.rint(offset * OFFSET_CELLS).astype(np.int64) + OFFSET_CELLS // 2


def offset_of(code: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the offsets in steps that bins stand for, of the same shape."""
    return (code - OFFSET_CELLS // 2) / OFFSET_CELLS


def velocity_eighths(code: IntOrInts) -> IntOrInts:
    """Return which eighth of the range a velocity's bin is in: 0..7."""
    return code >> 3


def offset_eighths(code: IntOrInts) -> IntOrInts:
    """Return the eighth of a step that an offset's bin is nearest below: 0..8."""
    return code >> 2


def bar_digests(mask: Ints | Keys, bar_start: Ints, step_in_bar: Ints) -> Keys:
    """Return a digest of what sounds in each bar.

    A sum of masks times odd multipliers, one a step, modulo 2^64: adding or taking away one hit
    changes it by a number known beforehand, so that all bars one hit away can be looked up.

    Args:
        mask: What sounds at each step, shape (n,).
        bar_start: First step of each bar, shape (bars,).
        step_in_bar: Each step's place in its bar, shape (n,).

    Returns:
        Shape (bars,).
    """
    terms = (mask.astype(np.uint64) + np.uint64(1)) * digest_multipliers()[step_in_bar]
    return np.add.reduceat(terms, bar_start)


def bar_neighbours(mask: Ints, bar_start: Ints) -> Iterator[Keys]:
    """Give, for each bar with a hit, the digests of itself and of all bars one hit away.

    Args:
        mask: What sounds at each step, shape (n,).
        bar_start: First step of each bar, and the number of steps behind the last, shape
            (bars + 1,).
    """
    bits = np.uint64(1) << np.arange(CLASS_COUNT, dtype=np.uint64)
    for start, stop in pairwise(bar_start.tolist()):
        bar = mask[start:stop].astype(np.uint64)
        if not bar.any():
            continue
        digest = bar_digests(bar, np.zeros(1, np.int64), np.arange(stop - start))
        change = digest_multipliers()[: stop - start, None] * bits
        is_set = (bar[:, None] & bits) > 0
        away = np.where(is_set, digest - change, digest + change)  # modulo 2^64
        yield np.concatenate((digest, away.ravel()))


@cache
def digest_multipliers() -> Keys:
    """Return the multiplier of each step of a bar: odd, fixed for all time (splitmix64)."""
    state = np.arange(1, 129, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) | np.uint64(1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bars:
    """All bars of some performances in a row; a global step counts through all of them.

    Attributes:
        file: Performance of each bar.
        in_file: Number of each bar within its performance.
        steps: Steps of each bar.
        start: Global step where each bar begins, and the total behind the last.
        of_step: Bar of each global step.
        step_in_bar: Step in its bar of each global step.
        beat_steps: Steps of a beat, for each bar.
        first_of_file: First bar of each performance.
        resolution: Steps a quarter note.
    """

    file: Ints
    in_file: Ints
    steps: Ints
    start: Ints
    of_step: Ints
    step_in_bar: Ints
    beat_steps: Ints
    first_of_file: Ints
    resolution: int

    @staticmethod
    def of(grids: Sequence[Grid]) -> "_Bars":
        counts = np.array([len(g.bar_steps) for g in grids])
        first = np.cumsum(counts) - counts
        file = np.repeat(np.arange(len(grids)), counts)
        steps = np.concatenate([g.bar_steps for g in grids])
        start = np.concatenate(([0], np.cumsum(steps)))
        of_step = np.repeat(np.arange(len(steps)), steps)
        return _Bars(
            file=file,
            in_file=np.arange(len(steps)) - first[file],
            steps=steps,
            start=start,
            of_step=of_step,
            step_in_bar=np.arange(start[-1]) - start[of_step],
            beat_steps=np.concatenate([g.beat_steps for g in grids]),
            first_of_file=first,
            resolution=grids[0].resolution,
        )

    @property
    def total(self) -> int:
        return int(self.start[-1])

    def bars_ago(self, mask: Ints, bars: int) -> Ints:
        """Return what sounded at the same step some bars ago, NO_MASK before the start."""
        earlier = np.maximum(self.of_step - bars, 0)
        is_there = (self.in_file[self.of_step] >= bars) & (self.step_in_bar < self.steps[earlier])
        at = np.where(is_there, self.start[earlier] + self.step_in_bar, 0)
        return np.where(is_there, mask[at], NO_MASK)


def _step_columns(mask: Ints, bars: _Bars, looks_back: int) -> dict[str, Ints]:
    file = bars.file[bars.of_step]
    place, beat = _codes(bars)
    return {
        "place": place,
        "beat": beat,
        "bar_1": bars.bars_ago(mask, 1),
        "bar_2": bars.bars_ago(mask, 2),
        "bar_4": bars.bars_ago(mask, 4),
        "target_steps": mask,
    } | {f"step_{k}": _lagged(mask, file, k, NO_MASK) for k in range(1, looks_back + 1)}


def _codes(bars: _Bars) -> tuple[Ints, Ints]:
    """Return the codes of place and beat of every step, looked up in one table a metre."""
    metres, metre = np.unique(
        np.stack((bars.steps, bars.beat_steps), axis=1), axis=0, return_inverse=True
    )
    bar_steps, beat_steps = metres[:, :1], metres[:, 1:]
    step = np.arange(int(bars.steps.max()))
    row = metre.reshape(-1)[bars.of_step] * len(step) + bars.step_in_bar
    place = place_codes(step, beat_steps, bars.resolution).ravel()
    return place[row], beat_codes(step, beat_steps, bar_steps).ravel()[row]


def _residual_columns(
    *,
    pitch: Ints,
    velocity: Ints,
    offset: NDArray[np.float64],
    drum: Ints,
    near: Ints,
    file: Ints,
) -> dict[str, Ints]:
    place_in_class = np.lexsort((np.arange(len(pitch)), drum, file))
    before = _before_in_group(place_in_class, file * (NO_CLASS + 1) + drum)
    velocities, offsets = velocity_codes(velocity), offset_codes(offset)
    return {
        "class": drum,
        "pitch": pitch,
        "near": near,
        "pitch_before": _taken(pitch, before, NO_PITCH),
        "velocity_before": _taken(velocity_eighths(velocities), before, NOTHING_BEFORE),
        "timing_before": _lagged(offset_eighths(offsets), file, 1, NOTHING_BEFORE),
        "target_pitch": pitch,
        "target_velocity": velocities,
        "target_timing": offsets,
    }


def near_codes(mask: Ints, step_file: Ints, at: Ints, drum: Ints) -> Ints:
    """Return whether the same class sounds 1 step before, 1 after, 2 before, 2 after: four bits.

    Args:
        mask: What sounds at each global step, shape (steps,).
        step_file: Performance of each global step, shape (steps,); neighbours in another one are
            silent.
        at: Global step of each note, shape (n,).
        drum: Class of each note, shape (n,).
    """
    code = np.zeros(len(at), np.int64)
    for weight, step in ((8, -1), (4, 1), (2, -2), (1, 2)):
        near = np.clip(at + step, 0, len(mask) - 1)
        is_there = (near == at + step) & (step_file[near] == step_file[at])
        code += np.where(is_there, weight * (mask[near] >> drum & 1), 0)
    return code


def _lagged(values: Ints, file: Ints, lag: int, before_start: int) -> Ints:
    """Return each value's predecessor in its performance, `before_start` where there is none."""
    result = np.full(len(values), before_start, np.int64)
    same = file[lag:] == file[:-lag]
    result[lag:][same] = values[:-lag][same]
    return result


def _before_in_group(order: Ints, group: Ints) -> Ints:
    """Return the index of each element's predecessor in its group, -1 for the first.

    Args:
        order: All indices, sorted by group, then time.
        group: Group of each element.
    """
    before = np.full(len(order), -1, np.int64)
    same = group[order[1:]] == group[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


def _taken(values: Ints, index: Ints, missing: int) -> Ints:
    return np.where(index >= 0, values[np.maximum(index, 0)], missing)
