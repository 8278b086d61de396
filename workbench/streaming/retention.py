"""Which shards come to a shared folder, and which leave it for them: a pure decision.

Every window that shares a folder tells the others what its consumer holds, what it wants next and
what it fetches (`Seat`). Each decides for itself, in turn, from all of that. The limits hold for
the whole folder: a shard counts in full from the moment when it is decided that it comes. The one
who waits longest is served first. What leaves for others, in this order: shards that nobody asks
for; shards behind a consumer; for a consumer that waits, also shards ahead of itself, and, once
it has waited long enough, shards ahead of others, the farthest first. A shard that is held or
fetched never leaves. Units: bytes; seconds of the monotonic clock, which processes share.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from workbench.streaming.source import UNKNOWN

NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A shard that a consumer holds or waits for.

    Attributes:
        since: When it was asked for, seconds of the monotonic clock.
        size: Bytes, or UNKNOWN.
    """

    since: float
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What one window tells the others that share its folder.

    Attributes:
        coming: Shards that its consumer will want, the soonest first.
        behind: Shards to be kept behind its consumer, the newest first.
        leases: Shards that its consumer holds or waits for.
        loading: Shards that it fetches, and their bytes or UNKNOWN.
        failed: Shards that it could not get, and why.
    """

    coming: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    leases: Mapping[str, Lease] = field(default_factory=dict)
    loading: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A file of the folder.

    Attributes:
        size: Bytes on disk.
        is_part: Whether it has not come whole.
        touched: When it was written last, in any clock.
    """

    size: int
    is_part: bool = False
    touched: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that is known of the folder at one moment.

    Attributes:
        files: What lies there; a part under the name it will have.
        others: The seats of the other windows.
        free: Free bytes of the disk.
    """

    files: Mapping[str, Held]
    others: Sequence[Seat] = ()
    free: int = NO_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the folder may hold.

    Attributes:
        shards: The most shards, parts among them.
        size: The most bytes.
        min_free: Bytes of the disk that stay free.
        grace: How long a waiting consumer lets others keep what they have ahead, seconds.
    """

    shards: int = NO_LIMIT
    size: int = NO_LIMIT
    min_free: int = 0
    grace: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A shard that is to come.

    Attributes:
        name: Its name.
        size: Bytes, or UNKNOWN.
        since: Since when a consumer waits for it, or None where it is only ahead.
    """

    name: str
    size: int
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done.

    Attributes:
        leave: Shards to delete, first.
        come: Shards to fetch.
        hopeless: A shard that a consumer waits for and that the disk has no room for, whatever
            leaves; or None.
    """

    leave: tuple[str, ...] = ()
    come: tuple[str, ...] = ()
    hopeless: str | None = None


def decide(
    view: View,
    mine: Seat,
    demands: Sequence[Demand],
    limits: Limits,
    *,
    passed: Set[str] = frozenset(),
    now: float = 0.0,
) -> Decision:
    """Return which shards leave and which come.

    Args:
        view: What is there, and what others ask for.
        mine: What is asked for here; of what is coming, only what is to be kept.
        demands: What is to come and is not there, the most urgent first.
        limits: What the folder may hold.
        passed: Shards that the consumer here has behind it; they leave if nobody asks for them.
        now: The time of the clock that leases are told in.
    """
    folder = _Folder(view, mine, limits)
    leave = [name for name in folder.unasked() if name in passed]
    for name in leave:
        folder.remove(name)
    over = folder.victims(_NOTHING, folder.candidates(None, now))
    for name in over or ():  # an older run was allowed more
        folder.remove(name)
    leave += over or ()
    come: list[str] = []
    for demand in demands:
        found = folder.victims(
            folder.cost(demand) + folder.promised(demand), folder.candidates(demand, now)
        )
        if found is None:
            hopeless = demand.since is not None and folder.is_hopeless(demand)
            return Decision(
                leave=tuple(leave),
                come=tuple(come),
                hopeless=demand.name if hopeless else None,
            )
        for name in found:
            folder.remove(name)
        folder.add(demand)
        leave += found
        come.append(demand.name)
    return Decision(leave=tuple(leave), come=tuple(come))


@dataclass(frozen=True, slots=True)
class _Room:
    """Places, bytes within the limit and bytes of the disk: what there is, or what it takes."""

    shards: int
    size: int
    disk: int

    def __add__(self, other: "_Room") -> "_Room":
        return _Room(self.shards + other.shards, self.size + other.size, self.disk + other.disk)

    def __sub__(self, other: "_Room") -> "_Room":
        return _Room(self.shards - other.shards, self.size - other.size, self.disk - other.disk)

    def is_enough(self) -> bool:
        return min(self.shards, self.size, self.disk) >= 0


_NOTHING = _Room(0, 0, 0)


class _Folder:
    """The folder as it will be, while it is decided upon."""

    def __init__(self, view: View, mine: Seat, limits: Limits) -> None:
        self._limits = limits
        self._others = view.others
        self._mine = mine
        seats = [mine, *view.others]
        self._files = dict(view.files)
        self._sizes = {name: held.size for name, held in view.files.items()}
        self._all_here = sum(self._sizes.values())
        self._free = view.free
        self._loading = {name: size for seat in seats for name, size in seat.loading.items()}
        self._fixed = {name for seat in seats for name in (*seat.leases, *seat.loading)}
        self._coming = {name for seat in view.others for name in seat.coming}
        self._behind = {name for seat in seats for name in seat.behind}
        room = _Room(limits.shards, limits.size, view.free - limits.min_free)
        for name in {*self._files, *self._loading}:
            room -= self._taken(name)
        self.room = room

    def _taken(self, name: str) -> _Room:
        """Return what a shard takes that is here or comes; the disk knows of what is here."""
        here = self._files[name].size if name in self._files else 0
        whole = max(self._loading.get(name, 0), here)
        return _Room(1, whole, whole - here)

    def cost(self, demand: Demand) -> _Room:
        """Return what it takes that a shard comes, beside a part of it that is here."""
        part = self._files.get(demand.name)
        more = max(demand.size, 0) - (part.size if part else 0)
        return _Room(0 if part else 1, max(more, 0), max(more, 0))

    def promised(self, demand: Demand) -> _Room:
        """Return what belongs to consumers elsewhere who wait, and wait longer."""
        total = _NOTHING
        named = {demand.name}
        for seat in self._others:
            for name, lease in seat.leases.items():
                is_here = name in self._loading or (
                    name in self._files and not self._files[name].is_part
                )
                is_first = demand.since is None or lease.since < demand.since
                if is_first and not is_here and name not in named and name not in seat.failed:
                    named.add(name)
                    total += self.cost(Demand(name=name, size=lease.size))
        return total

    def unasked(self) -> list[str]:
        """Return the shards that nobody holds, fetches, wants or keeps; the oldest first."""
        asked = self._fixed | self._coming | self._behind | {*self._mine.coming}
        found = [name for name in self._files if name not in asked]
        return sorted(found, key=lambda name: (self._files[name].touched, name))

    def candidates(self, demand: Demand | None, now: float) -> Iterator[str]:
        """Give what may leave for a demand, or for none, the least wanted first."""
        yield from self.unasked()
        wanted = self._fixed | self._coming | {*self._mine.coming}
        behind = [name for seat in (*self._others, self._mine) for name in reversed(seat.behind)]
        yield from (name for name in dict.fromkeys(behind) if name not in wanted)
        if demand is None or demand.since is None:
            return
        mine = [name for name in reversed(self._mine.coming) if name not in self._coming]
        yield from (name for name in mine if name not in self._fixed)
        if now - demand.since >= self._limits.grace:
            yield from self._farthest_of_others()

    def _farthest_of_others(self) -> list[str]:
        distance: dict[str, int] = {}
        for seat in self._others:
            for at, name in enumerate(seat.coming):
                distance[name] = min(at, distance.get(name, at))
        names = (name for name in distance if name not in self._fixed)
        return sorted(names, key=lambda name: (-distance[name], name))

    def victims(self, cost: _Room, candidates: Iterator[str]) -> list[str] | None:
        """Return the first candidates whose places are enough for a cost, or None."""
        room, found = self.room - cost, []
        while not room.is_enough():
            name = next((name for name in candidates if name in self._files), None)
            if name is None:
                return None
            size = self._files[name].size
            room += _Room(1, size, size)
            found.append(name)
        return found

    def remove(self, name: str) -> None:
        size = self._files.pop(name).size
        self.room += _Room(1, size, size)

    def add(self, demand: Demand) -> None:
        """Count a shard as being fetched."""
        self.room -= self.cost(demand)
        self._loading[demand.name] = demand.size if demand.size != UNKNOWN else 0
        self._fixed.add(demand.name)

    def is_hopeless(self, demand: Demand) -> bool:
        """Return whether the disk has no room for a shard even if all others were gone."""
        others = self._all_here - (self._sizes.get(demand.name, 0))
        return self._free + others - self._limits.min_free < self.cost(demand).disk
