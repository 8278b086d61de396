"""What leaves and what comes: limits that hold, nothing taken that is held, everybody served."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.streaming.retention import (
    Decision,
    Demand,
    Held,
    Lease,
    Limits,
    Seat,
    View,
    decide,
)

NAMES = [f"s{number}" for number in range(10)]
SIZES = {name: 10 + 7 * at % 5 * 10 for at, name in enumerate(NAMES)}
names = st.sampled_from(NAMES)


@st.composite
def seats(draw: st.DrawFn) -> Seat:
    leases = draw(st.lists(names, max_size=2))
    loading = draw(st.lists(names, max_size=2))
    return Seat(
        coming=tuple(draw(st.lists(names, max_size=4, unique=True))),
        behind=tuple(draw(st.lists(names, max_size=3, unique=True))),
        leases={n: Lease(since=draw(st.floats(0, 9)), size=SIZES[n]) for n in leases},
        loading={name: SIZES[name] for name in loading},
    )


@st.composite
def folders(draw: st.DrawFn) -> tuple[View, Seat, list[Demand], Limits, float]:
    """Draw a folder, seats, what the first of them asks for, limits and a time."""
    whole = draw(st.lists(names, max_size=6, unique=True))
    mine, *others = draw(st.lists(seats(), min_size=1, max_size=3))
    taken = {name for seat in (mine, *others) for name in seat.loading}
    files = {n: Held(size=SIZES[n], touched=draw(st.floats(0, 9))) for n in whole}
    files |= {n: Held(size=draw(st.integers(0, 10)), is_part=True) for n in taken}
    there = {name for name, held in files.items() if not held.is_part} | taken
    demands = [
        Demand(name=n, size=SIZES[n], since=lease.since)
        for n, lease in sorted(mine.leases.items(), key=lambda item: item[1].since)
        if n not in there
    ]
    ahead = [name for name in mine.coming if name not in there and name not in mine.leases]
    demands += [Demand(name=name, size=SIZES[name]) for name in ahead]
    used = _used(files, [mine, *others])
    limits = Limits(
        shards=draw(st.integers(1, 9)),
        size=draw(st.sampled_from([1 << 40, 50, 100, 200])),
        min_free=draw(st.integers(0, 30)),
        grace=2.0,
    )
    free = draw(st.integers(0, 300))
    rest = used[1] - sum(held.size for held in files.values())
    return View(files=files, others=others, free=rest + free), mine, demands, limits, 10.0


def _used(files, all_seats) -> tuple[int, int]:
    """Return how many shards there are or come, and their bytes."""
    loading = {name: size for seat in all_seats for name, size in seat.loading.items()}
    sizes = {name: held.size for name, held in files.items()}
    whole = {name: max(sizes.get(name, 0), loading.get(name, 0)) for name in {*sizes, *loading}}
    return len(whole), sum(whole.values())


def _after(view: View, mine: Seat, decision: Decision) -> tuple[dict[str, Held], list[Seat]]:
    files = {name: held for name, held in view.files.items() if name not in decision.leave}
    coming = {name: SIZES[name] for name in decision.come}
    return files, [replace(mine, loading={**mine.loading, **coming}), *view.others]


# --- laws of one decision


@settings(max_examples=100)
@given(folders())
def test_what_comes_is_within_the_limits_and_leaves_the_disk_its_room(drawn):
    view, mine, demands, limits, now = drawn
    decision = decide(view, mine, demands, limits, now=now)
    if decision.come:
        files, all_seats = _after(view, mine, decision)
        shards, size = _used(files, all_seats)
        assert shards <= limits.shards
        assert size <= limits.size
        freed = sum(view.files[name].size for name in decision.leave)
        rest = size - sum(held.size for held in files.values())
        assert view.free + freed - rest >= limits.min_free


@settings(max_examples=100)
@given(folders(), st.sets(names))
def test_what_is_held_or_fetched_stays_and_what_leaves_was_there(drawn, passed):
    view, mine, demands, limits, now = drawn
    decision = decide(view, mine, demands, limits, passed=passed, now=now)
    fixed = {n for seat in (mine, *view.others) for n in (*seat.leases, *seat.loading)}
    assert not fixed & {*decision.leave}
    assert {*decision.leave} <= {*view.files}
    assert len({*decision.leave}) == len(decision.leave)


@settings(max_examples=100)
@given(folders())
def test_what_comes_are_the_first_demands(drawn):
    view, mine, demands, limits, now = drawn
    decision = decide(view, mine, demands, limits, now=now)
    assert list(decision.come) == [demand.name for demand in demands][: len(decision.come)]


@settings(max_examples=100)
@given(folders(), st.sets(names))
def test_what_others_want_leaves_only_for_one_who_has_waited_long_enough(drawn, passed):
    view, mine, demands, limits, _ = drawn
    decision = decide(view, mine, demands, limits, passed=passed, now=0.0)
    assert not {n for seat in view.others for n in seat.coming} & {*decision.leave}


@settings(max_examples=100)
@given(folders(), st.sets(names))
def test_what_the_consumer_has_behind_it_leaves_unless_somebody_asks_for_it(drawn, passed):
    view, mine, demands, limits, now = drawn
    decision = decide(view, mine, demands, limits, passed=passed, now=now)
    asked = {
        name
        for seat in (mine, *view.others)
        for name in (*seat.leases, *seat.loading, *seat.coming, *seat.behind)
    }
    assert passed & {*view.files} - asked <= {*decision.leave}


@settings(max_examples=100)
@given(folders())
def test_who_waits_long_is_served_where_nothing_is_held_and_a_shard_fits_alone(drawn):
    view, mine, demands, limits, now = drawn
    others = [replace(seat, leases={}, loading={}) for seat in view.others]
    mine = replace(mine, loading={})
    files = {name: held for name, held in view.files.items() if not held.is_part}
    view = View(files=files, others=others, free=view.free)
    waiting = [each for each in demands if each.since is not None and each.name not in files][:1]
    mine = replace(mine, leases={each.name: mine.leases[each.name] for each in waiting})
    decision = decide(view, mine, waiting, limits, now=now + limits.grace)
    for demand in waiting:
        there = view.free + sum(held.size for held in files.values()) - limits.min_free
        fits = demand.size <= min(limits.size, there)
        assert (demand.name in decision.come) == fits
        assert (decision.hopeless == demand.name) == (demand.size > there)


# --- one decision, by example


def waits(name: str, since: float) -> tuple[Seat, list[Demand]]:
    """Return the seat of one who waits for a shard, and its demand."""
    seat = Seat(leases={name: Lease(since=since, size=SIZES[name])})
    return seat, [Demand(name=name, size=SIZES[name], since=since)]


def test_another_ones_shard_ahead_is_taken_after_the_grace_and_not_before():
    seat, demands = waits("s0", 5.0)
    files = {"s1": Held(size=10), "s2": Held(size=10)}
    view = View(files=files, others=[Seat(coming=("s1", "s2"))])
    limits = Limits(shards=2, grace=2.0)
    assert decide(view, seat, demands, limits, now=6.9) == Decision()
    assert decide(view, seat, demands, limits, now=7.0) == Decision(leave=("s2",), come=("s0",))


def test_a_place_belongs_to_who_waits_longest():
    older, _ = waits("s5", 1.0)
    view = View(files={"s1": Held(size=10)}, others=[older, Seat(coming=("s1",))])
    limits = Limits(shards=2, grace=100.0)
    ahead = [Demand(name="s2", size=SIZES["s2"])]
    assert decide(view, Seat(coming=("s2",)), ahead, limits).come == ()
    seat, demands = waits("s3", 2.0)
    assert decide(view, seat, demands, limits, now=3.0).come == ()
    seat, demands = waits("s3", 0.5)
    assert decide(view, seat, demands, limits, now=3.0).come == ("s3",)
    seat, demands = waits("s5", 2.0)  # both wait for the same
    assert decide(view, seat, demands, limits, now=3.0).come == ("s5",)


def test_what_leaves_first_is_what_nobody_asks_for_then_what_is_behind_then_what_is_ahead():
    seat, demands = waits("s0", 0.0)
    mine = replace(seat, coming=("s1", "s2"), behind=("s3", "s4"))
    files = {f"s{n}": Held(size=10, touched=n) for n in (1, 2, 3, 4, 5, 6)}
    left = []
    for places in range(6, 0, -1):
        decision = decide(View(files=files), mine, demands, Limits(shards=places))
        assert decision.come == ("s0",)
        left.append({*decision.leave})
    order = [*left[0], *(new for a, b in pairwise(left) for new in b - a)]
    assert order == ["s5", "s6", "s4", "s3", "s2", "s1"]


def test_a_part_left_behind_is_gone_on_with_in_its_place():
    seat, demands = waits("s1", 0.0)
    view = View(files={"s1": Held(size=5, is_part=True)}, free=SIZES["s1"] - 5)
    limits = Limits(shards=1, size=SIZES["s1"])
    assert decide(view, seat, demands, limits) == Decision(come=("s1",))
    full = replace(view, free=SIZES["s1"] - 6)
    assert decide(full, seat, demands, limits).hopeless == "s1"


# --- consumers that share a folder, played through


class Consumer:
    """Goes through a sequence: asks for a shard, waits, holds it, lets it go."""

    def __init__(self, sequence: list[int], ahead: int) -> None:
        self.left = [NAMES[index] for index in sequence]
        self.ahead = ahead
        self.seat = Seat()
        self.passed: set[str] = set()

    def step(self, now: float, files: dict[str, Held]) -> None:
        """Do one thing that it can do."""
        if self.seat.leases:
            (name,) = self.seat.leases
            if name in files and not files[name].is_part:
                self.passed.add(name)
                self.seat = replace(self.seat, leases={})
        elif self.left:
            name = self.left.pop(0)
            self.passed.discard(name)
            self.seat = replace(self.seat, leases={name: Lease(since=now, size=SIZES[name])})
        self.seat = replace(self.seat, coming=tuple(dict.fromkeys(self.left[:6])))

    def finish(self, files: dict[str, Held], rng: random.Random) -> None:
        """Let one of the shards that it fetches arrive."""
        if self.seat.loading:
            name = rng.choice(sorted(self.seat.loading))
            files[name] = Held(size=SIZES[name])
            rest = {n: size for n, size in self.seat.loading.items() if n != name}
            self.seat = replace(self.seat, loading=rest)

    def decided(self, now: float, files: dict[str, Held], others: list[Seat], limits: Limits):
        mine = replace(self.seat, coming=self.seat.coming[: self.ahead])
        there = {name for seat in (self.seat, *others) for name in seat.loading} | {*files}
        wanted = [*mine.leases, *mine.coming]
        demands = [
            Demand(
                name=name,
                size=SIZES[name],
                since=mine.leases[name].since if name in mine.leases else None,
            )
            for name in dict.fromkeys(wanted)
            if name not in there
        ]
        view = View(files=dict(files), others=others)
        return decide(view, mine, demands, limits, passed=frozenset(self.passed), now=now)


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([1 << 40, 50, 90]),
    st.integers(0, 2**32),
)
def test_every_consumer_comes_to_its_end_within_the_limits_in_any_order_of_events(
    sequences, shards, ahead, size, seed
):
    rng = random.Random(seed)
    limits = Limits(shards=shards, size=size, grace=3.0)
    consumers = [Consumer(sequence, ahead) for sequence in sequences]
    files: dict[str, Held] = {}
    for now in range(4000):
        unfinished = [each for each in consumers if each.left or each.seat.leases]
        if not unfinished:
            return
        consumer = rng.choice(consumers)
        rng.choice([consumer.step, lambda *_: None])(float(now), files)
        others = [each.seat for each in consumers if each is not consumer]
        decision = consumer.decided(float(now), files, others, limits)
        for name in decision.leave:
            assert all(name not in seat.leases for seat in (consumer.seat, *others))
            del files[name]
        coming = {name: SIZES[name] for name in decision.come}
        consumer.seat = replace(consumer.seat, loading={**consumer.seat.loading, **coming})
        used = _used(files, [each.seat for each in consumers])
        assert used[0] <= shards
        assert used[1] <= size
        rng.choice(consumers).finish(files, rng)
    raise AssertionError("somebody waits for ever")
