"""The best way of the cart through a song, exactly: a dynamic program over arrivals.

All kernels are in this one module, since a compiled kernel that is kept on disk is renewed when
its own file changes, not when another one does. All times are whole milliseconds and all worths
whole numbers, so that sums are exact and plans are equal on every platform.

An onset that the song has, of one note or of several, is a `group`. A cart that moves arrives
just in time for a group, and leaves where it was as late as it can; so a way is a chain of
arrivals (group, position), and between two of them the cart stays and its fingers play what
`fingering` says. What a stay is worth depends on its arrival only by the notes that sounded
already then: fingers that were elsewhere do not hold them, so leaving early costs nothing of
them. Of arrivals that hold the same notes one suffices, the best, and so there are never more of
them at a position than fingers and one. They are called `labels`.

The distance decides when the cart must leave, so each position has labels for each distance, and
those have seen the song up to just before that moment.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Smalls = NDArray[np.int32]
Work = TypeVar("Work", bound=Callable[..., Any])

NOWHERE = -(2**62)  # worth of what cannot be
LONG_AGO = -(2**40)  # milliseconds
_MOST_LABELS = 10  # fingers, one that holds nothing, one that is new; rounded up


class Chances(NamedTuple):
    """What could be played at each position if the cart had always stood there.

    Attributes:
        first: Where the events of each position begin in the other columns, int64 (positions + 1,).
        group: The group of each event, rising within a position, int32 (e,).
        finger: int8 (e,).
        side: 1 or 2, uint8 (e,).
        note: Index of the note, int32 (e,).
        stop: When it is let go, unless the finger is due again or the cart leaves, int64 (e,).
        worth: Of its onset and of holding it to its stop, int64 (e,).
    """

    first: Ints
    group: Smalls
    finger: NDArray[np.int8]
    side: NDArray[np.uint8]
    note: Smalls
    stop: Ints
    worth: Ints


class Costs(NamedTuple):
    """What moving needs and costs.

    Attributes:
        need: Milliseconds with no finger on a key for each distance, int64 (positions,).
        cost: Worth that each distance takes away, int64 (positions,).
        hold: Milliseconds that a key is held at least.
        lift: Milliseconds that a finger is home before it presses again.
        hold_worth: Of holding a key for a millisecond.
    """

    need: Ints
    cost: Ints
    hold: int
    lift: int
    hold_worth: int


class Labels(NamedTuple):
    """The labels of each (position, distance), and what they have seen.

    Attributes:
        number: How many there are, int64 (p, d).
        arrival: Group of the arrival, int64 (p, d, 10), rising.
        base: Worth of the way there, less the gain at that time, int64 (p, d, 10), falling; what
            is added to it is the worth of what the gain tells of notes that it does not hold.
        gain: Worth of all events seen, int64 (p, d).
        seen: How many groups have been seen, int64 (p, d).
        event: The next event, int64 (p, d).
        held: When each finger lets go of its latest note, int64 (p, d, fingers).
        held_group: The group of that note, int64 (p, d, fingers).
    """

    number: Ints
    arrival: Ints
    base: Ints
    gain: Ints
    seen: Ints
    event: Ints
    held: Ints
    held_group: Ints


class Arrivals(NamedTuple):
    """The best way to be at each position just in time for each group of a block.

    Attributes:
        worth: int64 (n, positions), `NOWHERE` where there is no way.
        from_position: Where the cart came from, int8 (n, positions), -1 at the very start.
        from_group: Its arrival there, int64 (n, positions).
    """

    worth: Ints
    from_position: NDArray[np.int8]
    from_group: Ints


def new_labels(positions: int, fingers: int, first: Ints) -> Labels:
    """Return labels that have seen nothing.

    Args:
        positions: Of the cart.
        fingers: How many there are.
        first: As of `Chances`, shape (positions + 1,).
    """
    shape = (positions, positions)
    return Labels(
        number=np.zeros(shape, np.int64),
        arrival=np.zeros((*shape, _MOST_LABELS), np.int64),
        base=np.zeros((*shape, _MOST_LABELS), np.int64),
        gain=np.zeros(shape, np.int64),
        seen=np.zeros(shape, np.int64),
        event=np.repeat(first[:-1, None], positions, axis=1),
        held=np.full((*shape, fingers), LONG_AGO, np.int64),
        held_group=np.full((*shape, fingers), -1, np.int64),
    )


def new_arrivals(groups: int, positions: int) -> Arrivals:
    """Return arrivals of which none can be yet."""
    return Arrivals(
        worth=np.full((groups, positions), NOWHERE, np.int64),
        from_position=np.full((groups, positions), -1, np.int8),
        from_group=np.zeros((groups, positions), np.int64),
    )


def _kernel(function: Work) -> Work:
    """Return a function compiled, and kept compiled on disk."""
    compiled: Any = njit(cache=True)(function)
    return cast(Work, compiled)


_WITHIN: dict[str, Any] = {
    "cache": True,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def _part(function: Work) -> Work:
    """Compile a function that only kernels call, into them: there is no way in from Python."""
    compiled: Any = njit(**_WITHIN)(function)
    return cast(Work, compiled)


@_kernel
def chosen_onsets(onset: Ints, weight: Ints, gap: int) -> NDArray[np.bool_]:
    """Return which of some onsets one finger plays: the heaviest ones that lie a gap apart.

    Args:
        onset: Milliseconds, not falling, (n,).
        weight: Of each, (n,).
        gap: Least milliseconds between two that are played, at least 1.
    """
    count = len(onset)
    best = np.zeros(count + 1, np.int64)
    before = np.zeros(count, np.int64)
    end = 0
    for at in range(count):
        while onset[end] + gap <= onset[at]:
            end += 1
        before[at] = end
        best[at + 1] = max(best[at], weight[at] + best[end])
    chosen = np.zeros(count, np.bool_)
    at = count
    while at > 0:
        if best[at] == best[at - 1]:
            at -= 1
        else:
            chosen[at - 1] = True
            at = before[at - 1]
    return chosen


@_part
def _fewer(labels: Labels, count: int, past: int, place: int, distance: int) -> int:
    """Leave out labels that others make useless; return how many are left.

    Of two that hold the same the better stays. One that holds more than a later one, and is worth
    no more, goes: what it holds is paid for already, and leaving may only cost it. What ended in
    the past makes no difference any more.
    """
    kept = 0
    for label in range(count):
        arrival, base = labels.arrival[place, distance, label], labels.base[place, distance, label]
        differs = kept == 0
        for finger in range(labels.held.shape[2]):
            held_group = labels.held_group[place, distance, finger]
            if differs or labels.held[place, distance, finger] <= past:
                continue
            differs = labels.arrival[place, distance, kept - 1] <= held_group < arrival
        while kept and labels.base[place, distance, kept - 1] <= base:
            kept -= 1
            differs = True
        if differs:
            labels.arrival[place, distance, kept] = arrival
            labels.base[place, distance, kept] = base
            kept += 1
    return kept


@_part
def _see(  # noqa: PLR0917  kernels take no keywords
    time: Ints,
    chances: Chances,
    costs: Costs,
    labels: Labels,
    arrived: int,
    place: int,
    distance: int,
) -> None:
    """Let the labels of one (position, distance) see one more group.

    Args:
        time: Onset of each group.
        chances: What could be played.
        costs: What lifting needs, and takes away.
        labels: Changed.
        arrived: Worth of the best way that arrives for that group.
        place: The position.
        distance: The distance.
    """
    group = labels.seen[place, distance]
    count = labels.number[place, distance]
    gain = labels.gain[place, distance]
    if arrived > NOWHERE:
        labels.arrival[place, distance, count] = group
        labels.base[place, distance, count] = arrived - gain
        count += 1
    event, last = labels.event[place, distance], chances.first[place + 1]
    while event < last and chances.group[event] == group:
        finger = chances.finger[event]
        early = labels.held[place, distance, finger] - (time[group] - costs.lift)
        if early > 0:  # who holds a note there lets it go for this one
            gain -= early * costs.hold_worth
            for label in range(count):
                if (
                    labels.arrival[place, distance, label]
                    > labels.held_group[place, distance, finger]
                ):
                    labels.base[place, distance, label] += early * costs.hold_worth
        labels.held[place, distance, finger] = chances.stop[event]
        labels.held_group[place, distance, finger] = group
        gain += chances.worth[event]
        event += 1
    if count > 1:
        count = _fewer(labels, count, time[group] - costs.lift, place, distance)
    labels.number[place, distance] = count
    labels.gain[place, distance] = gain
    labels.event[place, distance] = event
    labels.seen[place, distance] = group + 1


@_part
def _leave(labels: Labels, hold_worth: int, place: int, distance: int, at: int) -> tuple[int, int]:
    """Return the worth of the best way that leaves a position at a time, and its arrival."""
    best, best_arrival = NOWHERE, -1
    for label in range(labels.number[place, distance]):
        arrival = labels.arrival[place, distance, label]
        worth = labels.base[place, distance, label] + labels.gain[place, distance]
        if worth <= best:  # and those after it are worth no more
            break
        for finger in range(labels.held.shape[2]):
            rest = labels.held[place, distance, finger] - at
            if rest > 0 and labels.held_group[place, distance, finger] >= arrival:
                worth -= hold_worth * rest
        if worth > best:
            best, best_arrival = worth, arrival
    return best, best_arrival


@_kernel
def advance(  # noqa: PLR0917  kernels take no keywords
    time: Ints,
    chances: Chances,
    costs: Costs,
    labels: Labels,
    arrivals: Arrivals,
    base: int,
    begin: int,
    end: int,
) -> None:
    """Find the best arrivals for some groups, after those before them.

    Args:
        time: Onset of each group of the song, milliseconds, rising, shape (groups,).
        chances: What could be played.
        costs: What moving needs.
        labels: Changed as they see the song.
        arrivals: Rows of the groups from `base` on, at least up to `end`; those from `begin` on
            are found here. Group 0 is arrived at from nowhere, at no cost.
        base: Group of their first row.
        begin: The first group.
        end: The last group and one.
    """
    positions = len(costs.need)
    for group in range(begin, end):
        row = group - base
        if group == 0:
            arrivals.worth[row, :] = 0
        for place in range(positions):
            for distance in range(1, positions):
                if place < distance and place + distance >= positions:
                    continue
                at = time[group] - costs.need[distance]
                while (
                    labels.seen[place, distance] < group
                    and time[labels.seen[place, distance]] + costs.hold <= at
                ):
                    arrived = arrivals.worth[labels.seen[place, distance] - base, place]
                    _see(time, chances, costs, labels, arrived, place, distance)
                worth, arrival = _leave(labels, costs.hold_worth, place, distance, at)
                worth -= costs.cost[distance]
                if arrival < 0:
                    continue
                for target in (place - distance, place + distance):
                    if 0 <= target < positions and worth > arrivals.worth[row, target]:
                        arrivals.worth[row, target] = worth
                        arrivals.from_position[row, target] = place
                        arrivals.from_group[row, target] = arrival
        for place in range(positions):  # those that stay
            while labels.seen[place, 0] <= group:
                _see(time, chances, costs, labels, arrivals.worth[row, place], place, 0)
