"""Notes as tokens and back, of many charts at once.

A chart is START, its difficulty, its bars from 0 to the last one that has a note, and END. A bar
is BAR and its slots; a slot is POS and what is there. A bar is 4 beats whatever the metre. Ids:

    PAD 0, START 1, END 2, Easy to ExpertPlus 3 to 7, BAR 8, POS from 9, then LEFT, then RIGHT

A note is `base + 27 lane + 9 layer + direction`, its base that of its hand. There are two kinds of
vocabulary. In the first each slot holds LEFT and RIGHT, of which an empty one has an id of its own
before those of the notes: one note a hand, the first in the file. In a stacked one a slot holds
all its notes in the order of their ids, so that stacks, towers and windows stay whole; no id
stands for an empty hand.

Units: a `slot` is a part of a beat, counted from the start of the song, and notes go to the
nearest one, halves to the even one. Colors, lanes, layers and directions are those of
`workbench.beatmap.maps.objects`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError
from workbench.options import did_you_mean

Tokens = NDArray[np.int16]
Counts = NDArray[np.int64]

PAD, START, END = 0, 1, 2
FIRST_DIFFICULTY = 3
BAR = 8
FIRST_POS = 9
BAR_BEATS = 4
MOST_BARS = 1 << 14  # over an hour at 1,000 bpm; a lone note far off must not cost all memory

# Why a note has no place in any vocabulary, in the order in which it is asked.
REASONS = (
    "no_number",
    "before_start",
    "beyond_end",
    "off_grid",
    "odd_direction",
    "odd_color",
)
SECOND_OF_HAND = "second_of_hand"  # one note a hand and slot: the others of that slot
TWICE = "twice"  # stacked: the same hand, cell and direction once more in a slot

DIRECTION_NAMES = (
    "up",
    "down",
    "left",
    "right",
    "up-left",
    "up-right",
    "down-left",
    "down-right",
    "any",
)

_LANES, _LAYERS, _DIRECTIONS = 4, 3, 9
_HAND = _LANES * _LAYERS * _DIRECTIONS  # notes of a hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Which tokens there are.

    Attributes:
        slots: Slots a beat, 1 to 64.
        is_stacked: Whether a slot holds any number of notes of a hand, or one.
    """

    slots: int
    is_stacked: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 1 <= self.slots <= 64:
            raise BeatmapError(f"{self.slots} slots a beat; want 1 to 64, as 16 or 48")

    @property
    def bar_slots(self) -> int:
        """Slots a bar."""
        return BAR_BEATS * self.slots

    @property
    def empty_left(self) -> int:
        """Id of an empty left hand; it is there only where a slot holds one note a hand."""
        return FIRST_POS + self.bar_slots

    @property
    def empty_right(self) -> int:
        """Id of an empty right hand, likewise."""
        return self.left + _HAND

    @property
    def left(self) -> int:
        """Id of the first note of the left hand."""
        return FIRST_POS + self.bar_slots + (not self.is_stacked)

    @property
    def right(self) -> int:
        """Id of the first note of the right hand."""
        return self.left + _HAND + (not self.is_stacked)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.right + _HAND

    def name(self, token: int) -> str:
        """Return what a person calls a token, as `POS 3` or `LEFT 1,0 down`."""
        if 0 <= token < FIRST_POS:
            return ("PAD", "START", "END", *DIFFICULTIES, "BAR")[token]
        if FIRST_POS <= token < FIRST_POS + self.bar_slots:
            return f"POS {token - FIRST_POS}"
        for hand, base in (("LEFT", self.left), ("RIGHT", self.right)):
            if base <= token < base + _HAND:
                cell, direction = divmod(token - base, _DIRECTIONS)
                return f"{hand} {cell // _LAYERS},{cell % _LAYERS} {DIRECTION_NAMES[direction]}"
        if not self.is_stacked and token in (self.empty_left, self.empty_right):
            return "LEFT empty" if token == self.empty_left else "RIGHT empty"
        return f"unknown {token}"


# That of the writer before this one: 16 slots a beat, one note a hand.
VOCABULARY_291 = Vocabulary(slots=16, is_stacked=False)
# 48 slots hold halves to sixteenths of a beat and their triplets.
EXTENDED = Vocabulary(slots=48, is_stacked=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Charts as tokens, one after another.

    Attributes:
        tokens: Of all charts, int16 `(n,)`.
        offsets: Where each chart begins, and the end, int64 `(charts + 1,)`.
        bars: Where each BAR stands in `tokens`, int64 `(bars,)`.
        bar_offsets: Where the bars of each chart begin in `bars`, and the end, int64
            `(charts + 1,)`.
        kept: Notes of each chart that became tokens, int64 `(charts,)`.
        lost: Reason: notes of each chart that did not, int64 `(charts,)`; only reasons that occur.
        turned: Kept notes of each chart whose angle was not kept, int64 `(charts,)`.
    """

    tokens: Tokens
    offsets: Counts
    bars: Counts
    bar_offsets: Counts
    kept: Counts
    lost: Mapping[str, Counts]
    turned: Counts

    def __len__(self) -> int:
        return len(self.kept)

    def chart(self, number: int) -> Tokens:
        """Return the tokens of one chart."""
        return self.tokens[self.offsets[number] : self.offsets[number + 1]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """What tokens stand for.

    Attributes:
        notes: Of all charts, one after another, in the order of the tokens.
        offsets: Where each chart begins, and the end, int64 `(charts + 1,)`.
        difficulties: Of each chart; None where no token tells it.
        stray: Notes of each chart that stand before any POS of their bar, and were left out,
            int64 `(charts,)`.
    """

    notes: Notes
    offsets: Counts
    difficulties: tuple[str | None, ...]
    stray: Counts


def encode(notes: Notes, difficulty: str, vocabulary: Vocabulary) -> Tokens:
    """Return one chart as tokens; `encode_many` tells what is lost too.

    Raises:
        BeatmapError: There is no such difficulty.
    """
    return encode_many(notes, [0, len(notes)], [difficulty], vocabulary).tokens


def encode_many(
    notes: Notes,
    offsets: Sequence[int] | Counts,
    difficulties: Sequence[str],
    vocabulary: Vocabulary,
) -> Encoded:
    """Return charts as tokens, and what is lost of them.

    Args:
        notes: Of all charts, one after another; within a chart in any order, of which only that
            of equal beats matters. The columns may be of any numeric types.
        offsets: Where each chart begins, and the end, `(charts + 1,)`, from 0 to all.
        difficulties: Of each chart.
        vocabulary: Which tokens.

    Raises:
        BeatmapError: There is no such difficulty, or the offsets do not fit the notes.
    """
    bounds = _checked_offsets(offsets, len(notes), len(difficulties))
    marks = np.array([_difficulty_token(name) for name in difficulties], np.int16)
    placed = _placed(notes, bounds, vocabulary)
    fill = _stacked if vocabulary.is_stacked else _one_a_hand
    filling = fill(placed, vocabulary)
    tokens, starts, bars = _laid_out(filling, placed.bar_offsets, marks, vocabulary)
    lost = dict(placed.lost)
    dropped = placed.counts - filling.kept
    if dropped.any():
        lost[TWICE if vocabulary.is_stacked else SECOND_OF_HAND] = dropped
    return Encoded(
        tokens=tokens,
        offsets=starts,
        bars=bars,
        bar_offsets=placed.bar_offsets,
        kept=filling.kept,
        lost=lost,
        turned=filling.turned,
    )


def decode(tokens: Tokens, vocabulary: Vocabulary) -> tuple[Notes, str | None]:
    """Return the notes of one chart's tokens, `(n,)`, sorted by beat, and its difficulty."""
    decoded = decode_many(tokens, [0, len(tokens)], vocabulary)
    columns = (getattr(decoded.notes, name) for name in Notes.DTYPES)
    return Notes.of(*columns), decoded.difficulties[0]


def decode_many(tokens: Tokens, offsets: Sequence[int] | Counts, vocabulary: Vocabulary) -> Decoded:
    """Return the notes of charts; bars are counted from their first BAR.

    Args:
        tokens: Of all charts, one after another, `(n,)`; unknown ids and PAD are passed over.
        offsets: Where each chart begins, and the end, `(charts + 1,)`, from 0 to all.
        vocabulary: Which tokens.

    Raises:
        BeatmapError: The offsets do not fit the tokens.
    """
    bounds = _checked_offsets(offsets, len(tokens), len(offsets) - 1)
    number = np.arange(len(tokens))
    chart = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    is_bar = tokens == BAR
    is_pos = (tokens >= FIRST_POS) & (tokens < FIRST_POS + vocabulary.bar_slots)
    hand, note = _hands(tokens, vocabulary)
    is_note = hand >= 0
    last_bar = _last(is_bar, number)
    last_pos = _last(is_pos, number)
    stands = is_note & (last_pos > last_bar) & (last_bar >= bounds[chart])
    bars_before = np.concatenate([[0], np.cumsum(is_bar)])
    found = np.flatnonzero(stands)
    where, in_chart = note[found], chart[found]
    bar = bars_before[found] - bars_before[bounds[in_chart]] - 1
    slot = bar * vocabulary.bar_slots + tokens[last_pos[found]] - FIRST_POS
    cell = where // _DIRECTIONS
    counts = np.bincount(in_chart, minlength=len(bounds) - 1)
    return Decoded(
        notes=Notes(
            beat=slot / vocabulary.slots,
            lane=(cell // _LAYERS).astype(np.int32),
            layer=(cell % _LAYERS).astype(np.int32),
            color=hand[found].astype(np.int32),
            direction=(where % _DIRECTIONS).astype(np.int32),
            angle=np.zeros(len(found)),
        ),
        offsets=upto(counts),
        difficulties=_difficulties(tokens, chart, len(bounds) - 1),
        stray=np.bincount(chart[is_note & ~stands], minlength=len(bounds) - 1),
    )


def rounding_ms(notes: Notes, vocabulary: Vocabulary, time_map: TimeMap) -> NDArray[np.float64]:
    """Return by how much each note that has a place is moved, milliseconds, not negative, `(n,)`.

    Args:
        notes: Of one chart.
        vocabulary: Whose slots.
        time_map: Of the chart.
    """
    slot, good, _ = _slots(notes, vocabulary)
    beat = np.asarray(notes.beat, np.float64)[good]
    moved = time_map.seconds_at(slot[good] / vocabulary.slots) - time_map.seconds_at(beat)
    return np.abs(moved) * 1000.0


def upto(counts: Sequence[int] | Counts) -> Counts:
    """Return the sums of all before each, and of all: where each begins, and the end.

    Args:
        counts: `(n,)`.

    Returns:
        int64 `(n + 1,)`.
    """
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Placed:
    """Notes that have a place, sorted by chart and beat; `(n,)` each but for the last four.

    Attributes:
        at: Slot, counted through all bars of all charts.
        note: `27 lane + 9 layer + direction`.
        color: Whose hand.
        is_turned: Whether it has an angle.
        bar_offsets: Where the bars of each chart begin, and the end, `(charts + 1,)`.
        counts: How many there are, `(charts,)`.
        lost: Reason: how many were left out, `(charts,)`.
    """

    at: Counts
    note: Counts
    color: Counts
    is_turned: NDArray[np.bool_]
    bar_offsets: Counts
    counts: Counts
    lost: Mapping[str, Counts]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Filling:
    """What is in the slots that are not empty.

    Attributes:
        at: The slots, counted through all bars of all charts, rising, `(slots,)`.
        payload: Tokens after the POS of each, one slot after another.
        starts: Where those of each slot begin, and the end, `(slots + 1,)`.
        kept: Notes among them, `(charts,)`.
        turned: Those with an angle, `(charts,)`.
    """

    at: Counts
    payload: Tokens
    starts: Counts
    kept: Counts
    turned: Counts


def _difficulty_token(name: str) -> int:
    if name not in DIFFICULTIES:
        near = did_you_mean(name, DIFFICULTIES)
        raise BeatmapError(f"difficulty {name!r} is none of {', '.join(DIFFICULTIES)}{near}")
    return FIRST_DIFFICULTY + DIFFICULTIES.index(name)


def _checked_offsets(offsets: Sequence[int] | Counts, rows: int, charts: int) -> Counts:
    bounds = np.asarray(offsets, np.int64)
    fits = len(bounds) == charts + 1 and bounds[0] == 0 and bounds[-1] == rows
    if not fits or (np.diff(bounds) < 0).any():
        raise BeatmapError(
            f"{len(bounds)} offsets do not divide {rows} rows among {charts} charts; want one more "
            "than charts, rising from 0 to the number of rows"
        )
    return bounds


def _slots(
    notes: Notes, vocabulary: Vocabulary
) -> tuple[Counts, NDArray[np.bool_], Mapping[str, NDArray[np.bool_]]]:
    """Return the slot of each note, which have a place, and reason: which have none for it."""
    with np.errstate(invalid="ignore", over="ignore"):
        exact = np.rint(np.asarray(notes.beat, np.float64) * vocabulary.slots)
    tests = {
        "no_number": np.isfinite(exact),
        "before_start": exact >= 0,
        "beyond_end": exact < MOST_BARS * vocabulary.bar_slots,
        "off_grid": (
            (notes.lane >= 0) & (notes.lane < _LANES) & (notes.layer >= 0) & (notes.layer < _LAYERS)
        ),
        "odd_direction": (notes.direction >= 0) & (notes.direction < _DIRECTIONS),
        "odd_color": (notes.color >= 0) & (notes.color < 2),
    }
    good = np.ones(len(exact), np.bool_)
    faults = {}
    for reason in REASONS:
        passed = tests[reason]
        if not passed.all():
            faults[reason] = good & ~passed
            good &= passed
    exact[~good] = 0  # NaN has no integer
    return exact.astype(np.int64), good, faults


def _placed(notes: Notes, bounds: Counts, vocabulary: Vocabulary) -> _Placed:
    slot, good, faults = _slots(notes, vocabulary)
    lost = {reason: _sums(which, bounds) for reason, which in faults.items()}
    chosen = _order(np.asarray(notes.beat), bounds, good)
    if chosen is not None:
        notes, slot, bounds = notes.take(chosen), slot[chosen], upto(_sums(good, bounds))
    counts = np.diff(bounds)
    bars = np.zeros(len(counts), np.int64)
    has_notes = counts > 0
    bars[has_notes] = slot[bounds[1:][has_notes] - 1] // vocabulary.bar_slots + 1
    bar_offsets = upto(bars)
    return _Placed(
        at=np.repeat(bar_offsets[:-1] * vocabulary.bar_slots, counts) + slot,
        note=(27 * notes.lane + 9 * notes.layer + notes.direction).astype(np.int64),
        color=notes.color.astype(np.int64),
        is_turned=np.asarray(notes.angle) != 0,
        bar_offsets=bar_offsets,
        counts=counts,
        lost={reason: sums for reason, sums in lost.items() if sums.any()},
    )


def _order(beat: NDArray[np.floating], bounds: Counts, good: NDArray[np.bool_]) -> Counts | None:
    """Return the good notes sorted by chart and beat, equal ones as they stand; None is as is."""
    found = None
    if not good.all():
        found = np.flatnonzero(good)
        beat, bounds = beat[found], upto(_sums(good, bounds))
    falls = beat[1:] < beat[:-1]
    inner = bounds[(bounds > 0) & (bounds < len(beat))]
    falls[inner - 1] = False
    if not falls.any():
        return found
    order = np.lexsort((beat, np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))))
    return order if found is None else found[order]


def _one_a_hand(placed: _Placed, vocabulary: Vocabulary) -> _Filling:
    """Return the first note of each hand in each slot, or the token for none."""
    begins = np.flatnonzero(_is_new(placed.at))
    at = placed.at[begins]
    row = np.repeat(np.arange(len(at)), np.diff(begins, append=len(placed.at)))
    empty = np.array([vocabulary.empty_left, vocabulary.empty_right], np.int16)
    payload = np.tile(empty, len(at))
    tokens = (placed.note + placed.color * (vocabulary.right - vocabulary.left)).astype(np.int16)
    # of equal places the last one assigned stays: from the end, that is the first note
    place = (2 * row + placed.color)[::-1]
    payload[place] = tokens[::-1] + np.int16(vocabulary.left)
    bounds = np.searchsorted(at, placed.bar_offsets * vocabulary.bar_slots)
    turned = np.zeros(len(payload), np.bool_)
    if placed.is_turned.any():
        turned[place] = placed.is_turned[::-1]
    is_kept = np.empty((len(at), 2), np.bool_)
    for hand, token in enumerate(empty):
        np.not_equal(payload[hand::2], token, out=is_kept[:, hand])
    return _Filling(
        at=at,
        payload=payload,
        starts=np.arange(0, len(payload) + 1, 2),
        kept=_sums(is_kept.ravel(), 2 * bounds),
        turned=_sums(turned, 2 * bounds),
    )


def _stacked(placed: _Placed, vocabulary: Vocabulary) -> _Filling:
    """Return all notes of each slot, in the order of their tokens, equal ones once."""
    key = placed.at * (2 * _HAND) + placed.color * _HAND + placed.note
    if placed.is_turned.any():
        key, first = np.unique(key, return_index=True)
        is_turned = placed.is_turned[first]
    else:
        key = np.sort(key)
        key = key[_is_new(key)]
        is_turned = np.zeros(len(key), np.bool_)
    of_note = key // (2 * _HAND)
    token = key - of_note * (2 * _HAND)
    begins = np.flatnonzero(_is_new(of_note))
    bounds = np.searchsorted(of_note, placed.bar_offsets * vocabulary.bar_slots)
    return _Filling(
        at=of_note[begins],
        payload=(token + vocabulary.left).astype(np.int16),
        starts=np.append(begins, len(key)),
        kept=np.diff(bounds),
        turned=_sums(is_turned, bounds),
    )


def _sums(which: NDArray[np.bool_], bounds: Counts) -> Counts:
    """Return how many are true between each bound and the next."""
    return np.diff(np.searchsorted(np.flatnonzero(which), bounds))


def _is_new(values: Counts) -> NDArray[np.bool_]:
    """Return which of some sorted values are not the one before."""
    is_new = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    return is_new


def _laid_out(
    filling: _Filling, bar_offsets: Counts, marks: Tokens, vocabulary: Vocabulary
) -> tuple[Tokens, Counts, Counts]:
    """Return all tokens, where charts begin and the end, and where each BAR stands."""
    charts, slots = len(marks), len(filling.at)
    fixed = 3 * np.arange(charts + 1)  # START, difficulty and END of the charts before
    bar = np.arange(bar_offsets[-1] + 1)
    slots_before = np.searchsorted(filling.at, bar * vocabulary.bar_slots)
    before_bar = bar + slots_before + filling.starts[slots_before]
    starts = fixed + before_bar[bar_offsets]
    fixed_of_bar = np.repeat(fixed[:-1] + 2, np.diff(bar_offsets))
    bars = fixed_of_bar + before_bar[:-1]
    in_bar = np.diff(slots_before)
    at_pos = np.repeat(fixed_of_bar + bar[1:], in_bar)  # behind all BARs up to its own
    at_pos += np.arange(slots) + filling.starts[:-1]
    pos = filling.at - np.repeat(bar[:-1] * vocabulary.bar_slots, in_bar) + FIRST_POS
    tokens = np.empty(starts[-1], np.int16)
    is_payload = np.ones(len(tokens), np.bool_)
    for where, what in (
        (starts[:-1], START),
        (starts[:-1] + 1, marks),
        (starts[1:] - 1, END),
        (bars, BAR),
        (at_pos, pos),
    ):
        tokens[where] = what
        is_payload[where] = False
    tokens[is_payload] = filling.payload
    return tokens, starts, bars


def _hands(tokens: Tokens, vocabulary: Vocabulary) -> tuple[Counts, Counts]:
    """Return whose hand each token is, -1 for none, and which note."""
    left = tokens.astype(np.int64) - vocabulary.left
    right = tokens.astype(np.int64) - vocabulary.right
    is_left = (left >= 0) & (left < _HAND)
    is_right = (right >= 0) & (right < _HAND)
    hand = np.where(is_left, 0, np.where(is_right, 1, -1))
    return hand, np.where(is_left, left, right)


def _last(is_one: NDArray[np.bool_], number: Counts) -> Counts:
    """Return for each place the last before or at it that is one, or -1."""
    return np.maximum.accumulate(np.where(is_one, number, -1))


def _difficulties(tokens: Tokens, chart: Counts, charts: int) -> tuple[str | None, ...]:
    found: list[str | None] = [None] * charts
    marks = np.flatnonzero((tokens >= FIRST_DIFFICULTY) & (tokens < BAR))
    for at in marks[::-1].tolist():  # from the end, so that the first of a chart stays
        found[chart[at]] = DIFFICULTIES[tokens[at] - FIRST_DIFFICULTY]
    return tuple(found)
