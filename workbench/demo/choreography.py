"""Beat Saber charts made by the program itself, laid over a tune as people lay them.

Units: a `slot` is 1/48 of a beat; `lane` 0 to 3 goes from left to right and `layer` 0 to 2 upwards;
`color` 0 is red and the left hand, 1 is blue and the right; `direction` 0 to 8 is up, down, left,
right, up-left, up-right, down-left, down-right, any; `njs` is metres a second.

Kicks go to the left hand and snares to the right, the rest to the hand that rested longer, accents
to both. Each hand swings forehand and backhand in turn, and a swing continues the one before it. No
note stands where it hides the next, in the two middle cells. Where hands rest there are arcs, bombs
and walls; on some accents a hand has several notes at once. Chances are read from one generator.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import TypeVar

import numpy as np

from workbench.demo.tunes import CRASH, HAT, KICK, OPEN_HAT, PARTS, SLOTS, SNARE, Tune

DIFFICULTIES = ("Easy", "Normal", "Hard", "Expert", "ExpertPlus")

_Choice = TypeVar("_Choice")

_LEFT, _RIGHT, _BOTH = 0, 1, 2
_UP, _DOWN, _TO_LEFT, _TO_RIGHT, _UP_LEFT, _UP_RIGHT, _DOWN_LEFT, _DOWN_RIGHT, _ANY = range(9)
_MIRROR = (0, 1, 3, 2, 5, 4, 7, 6, 8)
_FOREHAND = {_DOWN, _DOWN_LEFT, _DOWN_RIGHT}
# What may follow a swing of the left hand, likely ones more often; the right hand's are mirrored.
_NEXT: Mapping[int, tuple[int, ...]] = {
    _DOWN: (_UP, _UP, _UP, _UP, _UP_LEFT, _UP_RIGHT),
    _DOWN_LEFT: (_UP_RIGHT, _UP, _UP),
    _DOWN_RIGHT: (_UP_LEFT, _UP, _UP, _TO_LEFT),
    _UP: (_DOWN, _DOWN, _DOWN, _DOWN, _DOWN_RIGHT, _DOWN_LEFT),
    _UP_LEFT: (_DOWN_RIGHT, _DOWN, _DOWN, _TO_RIGHT),
    _UP_RIGHT: (_DOWN_LEFT, _DOWN, _DOWN),
    _TO_RIGHT: (_TO_LEFT, _UP_LEFT, _UP),
    _TO_LEFT: (_TO_RIGHT, _DOWN_RIGHT, _DOWN),
}
_WEIGHTS = {KICK: 3.0, SNARE: 3.2, CRASH: 3.0, OPEN_HAT: 1.5, HAT: 0.9}
_TOM_WEIGHT, _BASS_WEIGHT, _CHORD_WEIGHT = 2.6, 1.2, 1.6
_SHARES = (0.0, 0.7, 1.0, 1.3)  # of the density, by intensity
_FIRST_SECONDS = 1.5  # nothing comes sooner after the start
_LONG = 99.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """What makes a difficulty difficult.

    Attributes:
        nps: About how many swings a second.
        gap_seconds: Between two swings, at least.
        hand_seconds: Between two swings of one hand, at least.
        doubles: Chance that an accent takes both hands.
        stacks: Chance that an accent is several notes of one hand.
        crossing: Chance that a hand reaches over into the other's half.
        njs: Note jump speed, metres a second.
        offset: Of the jump, beats.
    """

    nps: float
    gap_seconds: float
    hand_seconds: float
    doubles: float
    stacks: float
    crossing: float
    njs: float
    offset: float = 0.0


DENSITIES: Mapping[str, Density] = {
    "Easy": Density(
        nps=1.5, gap_seconds=0.5, hand_seconds=0.6, doubles=0.1, stacks=0, crossing=0, njs=10
    ),
    "Normal": Density(
        nps=2.4, gap_seconds=0.3, hand_seconds=0.4, doubles=0.2, stacks=0, crossing=0, njs=10
    ),
    "Hard": Density(
        nps=3.4, gap_seconds=0.2, hand_seconds=0.3, doubles=0.3, stacks=0.05, crossing=0.06, njs=12
    ),
    "Expert": Density(
        nps=4.8,
        gap_seconds=0.13,
        hand_seconds=0.22,
        doubles=0.4,
        stacks=0.2,
        crossing=0.1,
        njs=14,
        offset=-0.25,
    ),
    "ExpertPlus": Density(
        nps=6.5,
        gap_seconds=0.08,
        hand_seconds=0.16,
        doubles=0.45,
        stacks=0.3,
        crossing=0.14,
        njs=16,
        offset=-0.5,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartNote:
    """A note."""

    slot: int
    lane: int
    layer: int
    color: int
    direction: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartBomb:
    """A bomb."""

    slot: int
    lane: int
    layer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartWall:
    """A wall, `length` slots long, `width` lanes and `height` wall layers."""

    slot: int
    length: int
    lane: int
    layer: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartArc:
    """A guide line between two notes of a hand."""

    head: ChartNote
    tail: ChartNote
    anchor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartChain:
    """A head note and the links that follow it to a tail."""

    head: ChartNote
    tail_slot: int
    tail_lane: int
    tail_layer: int
    slices: int
    squish: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One difficulty of one characteristic.

    Attributes:
        characteristic: `Standard`, `OneSaber` or `NoArrows`.
        difficulty: One of `DIFFICULTIES`.
        density: What it was made by.
        notes: By slot.
        bombs: By slot.
        walls: By slot.
        arcs: By slot of the head.
        chains: By slot of the head.
        rushes: Slots from which notes come faster, and back, in turn.
    """

    characteristic: str
    difficulty: str
    density: Density
    notes: tuple[ChartNote, ...]
    bombs: tuple[ChartBomb, ...] = ()
    walls: tuple[ChartWall, ...] = ()
    arcs: tuple[ChartArc, ...] = ()
    chains: tuple[ChartChain, ...] = ()
    rushes: tuple[int, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        kinds = ("notes", "bombs", "walls", "arcs", "chains")
        return {kind: len(getattr(self, kind)) for kind in kinds}


def choreograph(
    tune: Tune,
    characteristic: str,
    difficulty: str,
    generator: np.random.Generator,
    *,
    has_arcs: bool = True,
    has_chains: bool = True,
) -> Chart:
    """Return a chart of a tune.

    Args:
        tune: What is danced to.
        characteristic: `OneSaber` is the right hand alone, in `NoArrows` any cut will do.
        difficulty: One of `DIFFICULTIES`.
        generator: Decides the rest.
        has_arcs: Whether the format knows arcs.
        has_chains: Whether it knows chains.
    """
    density = DENSITIES[difficulty]
    moments = _moments(tune, density, generator)
    swings = _swings(moments, density, characteristic, generator)
    is_hard = difficulty in DIFFICULTIES[2:]
    notes = [note for swing in swings for note in _notes(swing, density, generator)]
    if characteristic == "NoArrows":
        notes = [replace(note, direction=_ANY) for note in notes]
    flows = characteristic != "NoArrows" and is_hard
    slots = sorted({note.slot for note in notes})
    return Chart(
        characteristic=characteristic,
        difficulty=difficulty,
        density=density,
        notes=tuple(notes),
        bombs=tuple(_bombs(slots, generator)) if is_hard else (),
        walls=tuple(_walls(slots, generator)),
        arcs=tuple(_arcs(swings, generator)) if flows and has_arcs else (),
        chains=tuple(_chains(swings, generator)) if flows and has_chains else (),
        rushes=tuple(_rushes(tune)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """A slot that is mapped: whose hand it is by its drum, and whether it is an accent."""

    slot: int
    seconds: float
    hand: int | None
    is_accent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swing:
    """A swing of one hand, by its first note."""

    note: ChartNote
    is_accent: bool
    rest: int = 0  # slots until the same hand swings again


def _moments(tune: Tune, density: Density, generator: np.random.Generator) -> list[_Moment]:
    """Choose slots to map, bar by bar: the weightiest first, none too near another."""
    weights, pitches = _weights(tune)
    slots = sorted(weights)
    jitter = dict(zip(slots, (0.5 * generator.random(len(slots))).tolist(), strict=True))
    seconds = dict(zip(slots, tune.tempo.seconds_at(np.array(slots) / SLOTS).tolist(), strict=True))
    bar_slots = tune.metre * SLOTS
    chosen: list[float] = []
    kept: list[int] = []
    for bar, level in enumerate(tune.intensity):
        first, last = bar * bar_slots, (bar + 1) * bar_slots
        ends = tune.tempo.seconds_at([first / SLOTS, last / SLOTS])
        wanted = density.nps * _SHARES[level] * float(ends[1] - ends[0])
        room = int(wanted + float(generator.random()))
        here = [slot for slot in slots if first <= slot < last]
        for slot in sorted(here, key=lambda s: -weights[s] - jitter[s]):
            is_late = seconds[slot] >= _FIRST_SECONDS
            if room and is_late and _is_far(chosen, seconds[slot], density.gap_seconds):
                insort(chosen, seconds[slot])
                kept.append(slot)
                room -= 1
    return [
        _Moment(
            slot=slot,
            seconds=seconds[slot],
            hand=_drum_hand(pitches[slot]),
            is_accent=CRASH in pitches[slot] or (slot % bar_slots == 0 and weights[slot] > 4),
        )
        for slot in sorted(kept)
    ]


def _is_far(chosen: Sequence[float], seconds: float, gap: float) -> bool:
    place = bisect_left(chosen, seconds)
    return all(abs(seconds - near) >= gap - 1e-9 for near in chosen[max(place - 1, 0) : place + 1])


def _weights(tune: Tune) -> tuple[dict[int, float], dict[int, set[int]]]:
    """Return how much each slot asks for a note, and the drums on it."""
    weights: dict[int, float] = {}
    pitches: dict[int, set[int]] = {}
    hits = tune.hits
    for slot, part, pitch in zip(
        hits.slot.tolist(), hits.part.tolist(), hits.pitch.tolist(), strict=True
    ):
        drums = pitches.setdefault(slot, set())
        if PARTS[part] == "drum":
            drums.add(pitch)
            weight = _WEIGHTS.get(pitch, _TOM_WEIGHT)
        else:  # a chord is three onsets
            weight = _BASS_WEIGHT if PARTS[part] == "bass" else _CHORD_WEIGHT / 3
        on_beat = 0.6 if slot % SLOTS == 0 else 0.2 * (slot % (SLOTS // 2) == 0)
        weights[slot] = weights.get(slot, on_beat) + weight
    return weights, pitches


def _drum_hand(drums: set[int]) -> int | None:
    """Return whose hand a slot is by its drums, or None."""
    if KICK in drums and SNARE in drums:
        return _BOTH
    return _LEFT if KICK in drums else _RIGHT if SNARE in drums else None


def _swings(
    moments: Sequence[_Moment],
    density: Density,
    characteristic: str,
    generator: np.random.Generator,
) -> list[_Swing]:
    """Give every moment to a hand, or both, and let hands go forth and back."""
    hands = (_RIGHT,) if characteristic == "OneSaber" else (_LEFT, _RIGHT)
    latest: dict[int, ChartNote | None] = dict.fromkeys(hands)
    swung = dict.fromkeys(hands, -_LONG)
    made: list[tuple[_Moment, ChartNote]] = []
    for moment in moments:
        rested = {hand: moment.seconds - at for hand, at in swung.items()}
        chosen = _chosen_hands(moment, rested, density, generator)
        crossing = density.crossing if len(chosen) == 1 else 0.0
        for hand in chosen:
            note = _placed(moment.slot, hand, latest[hand], generator, crossing)
            latest[hand], swung[hand] = note, moment.seconds
            made.append((moment, note))
    swings = []
    after: dict[int, int] = {}
    for moment, note in reversed(made):
        rest = after.get(note.color, note.slot) - note.slot
        swings.append(_Swing(note=note, is_accent=moment.is_accent, rest=rest))
        after[note.color] = note.slot
    return swings[::-1]


def _chosen_hands(
    moment: _Moment,
    rested: Mapping[int, float],
    density: Density,
    generator: np.random.Generator,
) -> tuple[int, ...]:
    """Return the hands that swing at a moment, none where all just did."""
    draw = float(generator.random())
    free = [hand for hand, seconds in rested.items() if seconds >= density.hand_seconds - 1e-9]
    wants_both = moment.hand == _BOTH or moment.is_accent
    if len(free) == 2 and wants_both and draw < density.doubles:
        return (_LEFT, _RIGHT)
    if moment.hand in free:
        return (moment.hand,)
    return tuple(sorted(free, key=lambda hand: -rested[hand])[:1])


def _placed(
    slot: int,
    hand: int,
    before: ChartNote | None,
    generator: np.random.Generator,
    crossing: float,
) -> ChartNote:
    """Return the next note of a hand: the other way round than the one before, near to it."""
    direction = _DOWN
    if before is not None:
        previous = before.direction if hand == _LEFT else _MIRROR[before.direction]
        direction = _pick(_NEXT[previous], generator)
    draw = float(generator.random())
    if direction in _FOREHAND:
        layer = 0 if draw < 0.78 else 1 if draw < 0.9 else 2
    elif direction in (_TO_LEFT, _TO_RIGHT):
        layer = 0 if draw < 0.6 else 1
    else:
        layer = 2 if draw < 0.4 else 1 if draw < 0.6 else 0
    lane = 0
    if layer != 1:  # the middle cells hide what comes
        draw = float(generator.random())
        lane = 2 if draw < crossing else int(draw < 0.55)
    if hand == _RIGHT:
        lane, direction = 3 - lane, _MIRROR[direction]
    return ChartNote(slot=slot, lane=lane, layer=layer, color=hand, direction=direction)


def _notes(swing: _Swing, density: Density, generator: np.random.Generator) -> Iterator[ChartNote]:
    """Yield the notes of a swing: one; on some accents a stack, a tower or a window."""
    draw, sort = generator.random(2).tolist()
    note = swing.note
    if not swing.is_accent or draw >= density.stacks or note.direction not in (_UP, _DOWN):
        yield note
        return
    layers = (0, 1) if sort < 0.5 else (0, 1, 2) if sort < 0.8 else (0, 2)
    for layer in layers if note.lane in (0, 3) else (0, 2):
        yield replace(note, layer=layer)


def _arcs(swings: Sequence[_Swing], generator: np.random.Generator) -> Iterator[ChartArc]:
    """Yield guide lines over rests of one to four beats."""
    following: dict[int, _Swing] = {}
    pairs = []
    for swing in reversed(swings):
        if swing.note.color in following:
            pairs.append((swing, following[swing.note.color]))
        following[swing.note.color] = swing
    for head, tail in reversed(pairs):
        draw, anchor = generator.random(2).tolist()
        is_single = not (head.is_accent or tail.is_accent)
        if SLOTS <= head.rest <= 4 * SLOTS and is_single and draw < 0.35:
            yield ChartArc(head=head.note, tail=tail.note, anchor=int(anchor * 3))


def _chains(swings: Sequence[_Swing], generator: np.random.Generator) -> Iterator[ChartChain]:
    """Yield chains that follow straight swings through the whole height."""
    for swing in swings:
        note = swing.note
        draw = float(generator.random())
        start = {_DOWN: 2, _UP: 0}.get(note.direction)
        if note.layer != start or swing.rest < SLOTS // 2 or swing.is_accent or draw >= 0.4:
            continue
        yield ChartChain(
            head=note,
            tail_slot=note.slot + SLOTS // 4,
            tail_lane=note.lane,
            tail_layer=2 - note.layer,
            slices=3 + int(10 * draw),
            squish=1.0 if draw < 0.3 else 0.75,
        )


def _rests(slots: Sequence[int], *, beats: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of so many beats and more in which there is no note."""
    for before, after in pairwise(slots):
        if after - before >= beats * SLOTS:
            yield before, after


def _bombs(slots: Sequence[int], generator: np.random.Generator) -> Iterator[ChartBomb]:
    """Yield bombs half-way through some rests, in the middle or at the edges."""
    for before, after in _rests(slots, beats=1):
        draw = float(generator.random())
        lanes = (1, 2) if draw < 0.15 else (0, 3) if draw < 0.3 else ()
        for lane, layer in product(lanes, (0, 1)):
            yield ChartBomb(slot=(before + after) // 2, lane=lane, layer=layer)


def _walls(slots: Sequence[int], generator: np.random.Generator) -> Iterator[ChartWall]:
    """Yield walls in some longer rests: at a side, to crouch under, or beside the grid."""
    for before, after in _rests(slots, beats=2):
        sort, side = generator.random(2).tolist()
        wall = ChartWall(
            slot=before + SLOTS // 2,
            length=after - before - SLOTS,
            lane=0 if side < 0.5 else 3,
            layer=0,
            width=1,
            height=5,
        )
        if sort < 0.4:
            yield wall
        elif sort < 0.6:
            yield replace(wall, length=SLOTS, lane=0, layer=2, width=4, height=3)
        elif sort < 0.8:
            yield replace(wall, lane=-1)
            yield replace(wall, lane=4)


def _rushes(tune: Tune) -> Iterator[int]:
    """Yield where loud phrases begin and end."""
    levels = tune.intensity
    for bar in range(1, len(levels)):
        if (levels[bar] == 3) != (levels[bar - 1] == 3):
            yield bar * tune.metre * SLOTS


def _pick(choices: Sequence[_Choice], generator: np.random.Generator) -> _Choice:
    return choices[int(generator.random() * len(choices))]
