"""The way of the cart: stays that are certain as soon as they are, and no later.

Blocks of the song go through the dynamic program of `viterbi`. After each, all ways that can
still be the best are followed back; where they are one, that is certain, and given out, and
forgotten. So a song without end needs no more than its last stretch. A stretch of more groups
than `look_back` in which nothing becomes certain goes by the best way so far.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.playback.viterbi import (
    NOWHERE,
    Arrivals,
    Chances,
    Costs,
    Labels,
    advance,
    new_arrivals,
    new_labels,
)

BLOCK = 4096  # groups
LOOK_BACK = 65_536  # groups
NEVER = 2**62  # a moment that does not come

_Node = tuple[int, int]  # group, position


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The cart stands.

    Attributes:
        position: Where.
        group: The group that it is there in time for.
        leave_ms: When its fingers have to be off the keys; `NEVER` at the end of the song.
    """

    position: int
    group: int
    leave_ms: int


def stays_of(
    time: NDArray[np.int64],
    chances: Chances,
    costs: Costs,
    *,
    fingers: int,
    block: int = BLOCK,
    look_back: int = LOOK_BACK,
) -> Iterator[list[Stay]]:
    """Give the stays of the best way, in order, some at a time.

    Args:
        time: Onset of each group, milliseconds, rising, shape (groups,).
        chances: What could be played.
        costs: What moving needs and costs.
        fingers: How many there are.
        block: Groups between two looks at what is certain.
        look_back: Groups after which the best way so far is taken.
    """
    positions = len(costs.need)
    labels = new_labels(positions, fingers, chances.first)
    arrivals, base = new_arrivals(0, positions), 0
    open_node: _Node | None = None  # the stay that is certain but for its end
    for begin in range(0, len(time), block):
        end = min(begin + block, len(time))
        arrivals = _grown(arrivals, end - base, positions)
        advance(time, chances, costs, labels, arrivals, base, begin, end)
        if end == len(time):
            yield _stays(_chain(_best(labels), open_node, arrivals, base), time, costs, NEVER)
            return
        first = _least_seen(labels, end)
        common = _common(labels, arrivals, base, first)
        if common is None and end - base > look_back:
            common = _best(labels)
            _commit(common, labels, arrivals, base)
        if common is None or common == open_node:
            continue
        chain = _chain(common, open_node, arrivals, base)
        yield _stays(chain, time, costs, None)
        open_node = common
        kept = min(first, common[0])
        arrivals, base = _after(arrivals, kept - base), kept


def _grown(arrivals: Arrivals, rows: int, positions: int) -> Arrivals:
    """Return arrivals with room for so many groups."""
    more = new_arrivals(rows - len(arrivals.worth), positions)
    return Arrivals(
        worth=np.concatenate((arrivals.worth, more.worth)),
        from_position=np.concatenate((arrivals.from_position, more.from_position)),
        from_group=np.concatenate((arrivals.from_group, more.from_group)),
    )


def _after(arrivals: Arrivals, rows: int) -> Arrivals:
    """Return arrivals without the first ones; the memory of those is given back."""
    return Arrivals(
        worth=arrivals.worth[rows:].copy(),
        from_position=arrivals.from_position[rows:].copy(),
        from_group=arrivals.from_group[rows:].copy(),
    )


def _before(node: _Node, arrivals: Arrivals, base: int) -> _Node | None:
    """Return the arrival that a way had before another, or None at its start."""
    group, position = node
    came_from = int(arrivals.from_position[group - base, position])
    if came_from < 0:
        return None
    return int(arrivals.from_group[group - base, position]), came_from


def _chain(last: _Node, first: _Node | None, arrivals: Arrivals, base: int) -> list[_Node]:
    """Return the arrivals of a way up to one of them, from a certain one or from the start on."""
    chain = [last]
    while chain[-1] != first:
        before = _before(chain[-1], arrivals, base)
        if before is None:
            break
        chain.append(before)
    return chain[::-1]


def _stays(
    chain: list[_Node], time: NDArray[np.int64], costs: Costs, leave_ms: int | None
) -> list[Stay]:
    """Return the stays of a chain of arrivals; the last one only if it is told when it ends."""
    stays = []
    for (group, position), (after, target) in itertools.pairwise(chain):
        leave = int(time[after] - costs.need[abs(target - position)])
        stays.append(Stay(position=position, group=group, leave_ms=leave))
    if leave_ms is not None:
        stays.append(Stay(position=chain[-1][1], group=chain[-1][0], leave_ms=leave_ms))
    return stays


def _best(labels: Labels) -> _Node:
    """Return the last arrival of the best way, of those that stay where they are."""
    best, node = NOWHERE, (0, 0)
    for position in range(labels.number.shape[0]):
        for label in range(labels.number[position, 0]):
            worth = int(labels.base[position, 0, label] + labels.gain[position, 0])
            if worth > best:
                best, node = worth, (int(labels.arrival[position, 0, label]), position)
    return node


def _common(labels: Labels, arrivals: Arrivals, base: int, first: int) -> _Node | None:
    """Return the last arrival that all ways have which can still be the best, or None."""
    waiting = {(-group, position) for group, position in _live(labels, arrivals, base, first)}
    heap = list(waiting)
    heapq.heapify(heap)
    while len(waiting) > 1:
        newest = heapq.heappop(heap)
        before = _before((-newest[0], newest[1]), arrivals, base)
        if before is None:
            return None
        waiting.discard(newest)
        node = (-before[0], before[1])
        if node not in waiting:
            waiting.add(node)
            heapq.heappush(heap, node)
    (group, position) = waiting.pop()
    return -group, position


def _live(labels: Labels, arrivals: Arrivals, base: int, first: int) -> set[_Node]:
    """Return the last arrivals of all ways that can still be the best."""
    used = labels.number[:, :, None] > np.arange(labels.arrival.shape[2])
    position, distance, label = np.nonzero(used)
    groups = labels.arrival[position, distance, label]
    live = set(zip(groups.tolist(), position.tolist(), strict=True))
    row, position = np.nonzero(arrivals.worth[first - base :] > NOWHERE)
    return live | set(zip((row + first).tolist(), position.tolist(), strict=True))


def _least_seen(labels: Labels, end: int) -> int:
    """Return the first group that the labels of some move have not seen yet."""
    place, distance = np.indices(labels.seen.shape)
    is_way = (distance > 0) & ((distance <= place) | (place + distance < labels.seen.shape[0]))
    return int(labels.seen[is_way].min(initial=end))


def _commit(node: _Node, labels: Labels, arrivals: Arrivals, base: int) -> None:
    """Forget all ways but those through an arrival that is the last one of the best."""
    group, position = node
    kept = arrivals.worth[group - base, position]
    worth = labels.base[position, 0, _label(labels, position, 0, group)]
    for distance in np.flatnonzero(labels.seen[position] > group).tolist():
        at = _label(labels, position, distance, group)
        own = worth if at < 0 else labels.base[position, distance, at]  # nearly the same
        labels.arrival[position, distance, 0], labels.base[position, distance, 0] = group, own
    labels.number[:] = 0
    labels.number[position, labels.seen[position] > group] = 1
    arrivals.worth[:] = NOWHERE
    arrivals.worth[group - base, position] = kept


def _label(labels: Labels, position: int, distance: int, group: int) -> int:
    """Return which label is of an arrival, or -1."""
    arrivals = labels.arrival[position, distance, : labels.number[position, distance]].tolist()
    return arrivals.index(group) if group in arrivals else -1
