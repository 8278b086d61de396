"""A gather that is killed, or stopped by Ctrl-C, at any moment ends as one that never was."""

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from gather_trials import LONGEST, SMALL, Gathers, HoldingHub, Places, small_corpus, until
from hub_clients import clients_at
from hub_server import HubServer

from workbench.demo.speech import SpeechCorpus
from workbench.errors import SinkError
from workbench.speech.commands import target
from workbench.speech.gather import Gathered, gather
from workbench.speech.options import GatherOptions
from workbench.speech.state import STATE_NAME

PROMPTLY = 3.0  # seconds from Ctrl-C to the end


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    return small_corpus(tmp_path_factory.mktemp("corpus") / "speech")


@pytest.fixture(scope="module")
def gathers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gathers]:
    with Gathers(tmp_path_factory.mktemp("says")) as gathers:
        yield gathers


@pytest.fixture(scope="module")
def holding_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HoldingHub]:
    with HoldingHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def trials_at(
    gathers: Gathers,
    corpus: SpeechCorpus,
    holding_hub: HoldingHub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], "Trials"]:
    """Trials at a folder, by two workers or at a hub; each kind is begun once, by a whole one."""

    @cache
    def trials(kind: str) -> Trials:
        places = Places(tmp_path_factory.mktemp("places"), holding_hub if kind == "hub" else None)
        options: dict[str, object] = {"workers": 2} if kind == "two workers" else {}
        return Trials(gathers, corpus, places, len(kind), **options)

    return trials


@pytest.fixture
def at_folder(trials_at: Callable[[str], "Trials"]) -> "Trials":
    return trials_at("folder")


@pytest.fixture
def at_hub(trials_at: Callable[[str], "Trials"]) -> "Trials":
    return trials_at("hub")


class Trials:
    """Gathers of one corpus to places of one kind, and one of them that nobody interrupts.

    Attributes:
        met: How many shards there were at each kill.
    """

    def __init__(
        self,
        gathers: Gathers,
        corpus: SpeechCorpus,
        places: Places,
        seed: int,
        *,
        name: str = "whole",
        **options: object,
    ):
        self.places, self.chance = places, random.Random(seed)
        self.met: list[int] = []
        self._gathers, self._said, self._options = gathers, str(corpus.folder), options
        self.seconds = self.finish(name)
        self.whole = places.content(name)
        self.shards = sum(name.startswith("data/") for name in self.whole)
        assert self.shards > 3

    def finish(self, name: str, **options: object) -> float:
        to, work = self.places.to(name), self.places.work(name)
        options = {**self._options, **options}
        return self._gathers.finish(self._said, to, work, self.places.hub, **options)

    def begin(self, name: str, **options: object):
        to, work = self.places.to(name), self.places.work(name)
        options = {**self._options, **options}
        return self._gathers.begin(self._said, to, work, self.places.hub, **options)

    def is_killed(self, name: str, share: tuple[float, float] = (0.0, 1.0), **options) -> bool:
        """Kill a gather within a share of the time that a whole one takes, unless it has ended."""
        running = self.begin(name, **options)
        wait = self.chance.uniform(*share) * self.seconds
        if running.ended_within(wait) is None and running.killed() == -signal.SIGKILL:
            self.met.append(self.places.state(name).get("shards", 0))
            return True
        assert running.code == 0, running.says.read_text()
        return False

    def kill_one(self, name: str, **options) -> str:
        """Kill a gather that was not at its end, one of this name or a later; return which."""
        for number in count():
            tried = f"{name}-{number}"
            if self.is_killed(tried, **options):
                return tried
        raise AssertionError

    def check(self, name: str) -> None:
        self.finish(name)
        assert self.places.content(name) == self.whole
        assert not list(self.places.work(name).glob("*"))  # the rest of it is gone


def kill_separately(trials: Trials, kills: int) -> None:
    for number in range(kills):
        trials.check(trials.kill_one(f"killed-{number}"))


# --- kills at random moments


def test_a_gather_to_a_folder_that_is_killed_ends_in_the_same_bytes_and_exactly_the_good_rows(
    at_folder, corpus
):
    kill_separately(at_folder, 1)
    holds_the_good_rows(corpus, Path(at_folder.places.to("whole")))


@pytest.mark.soak
def test_a_gather_by_two_workers_that_is_killed_ends_in_the_same_bytes(trials_at, at_folder):
    trials = trials_at("two workers")
    assert trials.whole == at_folder.whole
    kill_separately(trials, 1)


def test_a_gather_to_a_hub_that_is_killed_ends_in_the_same_bytes(at_hub, holding_hub):
    kill_separately(at_hub, 1)
    kill_in_an_upload(at_hub, holding_hub, "put")
    kill_in_a_commit(at_hub, holding_hub, "held", "refused")


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "kills"), [("folder", 25), ("two workers", 5), ("hub", 25)])
def test_gathers_each_killed_once(trials_at, kind, kills):
    trials = trials_at(kind)
    trials.met.clear()
    kill_separately(trials, kills)
    assert len(set(trials.met)) > kills // 10, trials.met


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["folder", "two workers", "hub"])
def test_twenty_kills_of_one_gather(gathers, corpus, tmp_path, holding_hub, kind):
    places = Places(tmp_path, holding_hub if kind == "hub" else None)
    workers = 2 if kind == "two workers" else 1
    trials = Trials(gathers, corpus, places, 20, name="many", workers=workers, **MANY)
    kill_again_and_again(trials, "one-of-many", 20)


def holds_the_good_rows(corpus: SpeechCorpus, folder: Path) -> None:
    """Check that every valid row is there once and in order, and every other one is named."""
    shards = sorted(folder.glob("data/*.parquet"))
    refs = [ref for shard in shards for ref in pq.read_table(shard)["source_ref"].to_pylist()]
    logs = sorted(folder.glob("_skipped/*.jsonl"))
    told = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    good = [(row.file, row.row) for row in corpus.rows if row.is_valid]
    bad = [(row.file, row.row) for row in corpus.rows if not row.is_valid]
    assert len(bad) == len(corpus.rows) // 20
    assert [(ref["file"], ref["row"]) for ref in refs] == good
    assert [(line["file"], line["row"]) for line in told] == bad


MANY = {"upload_batch_size": 2}  # shards, so that one gather can be killed often


def kill_again_and_again(trials: Trials, name: str, kills: int) -> None:
    """Kill a gather at any moment of its start, or soon after it has said that it works."""
    while len(trials.met) < kills:
        running = trials.begin(name)
        if len(trials.met) % 2:
            until(running.has_said_anything, "it has begun")
            running.ended_within(trials.chance.uniform(0, 0.1))
        else:
            running.ended_within(trials.chance.uniform(0, 0.3))
        assert running.killed() == -signal.SIGKILL, f"ended after kills at {trials.met} shards"
        trials.met.append(trials.places.state(name).get("shards", 0))
    assert len(set(trials.met)) > kills // 10, trials.met
    assert trials.met[-1] < trials.shards
    trials.check(name)


# --- kills within an upload and a commit


@pytest.mark.soak
def test_ten_gathers_killed_inside_the_bytes_of_an_upload(at_hub, holding_hub):
    for number in range(10):
        kill_in_an_upload(at_hub, holding_hub, f"put-{number}")


@pytest.mark.soak
def test_ten_gathers_killed_inside_a_commit(at_hub, holding_hub):
    for number in range(10):
        fate = ("refused", "applied_at_once", "applied_meanwhile", "applied_before")[number % 4]
        kill_in_a_commit(at_hub, holding_hub, f"held-{number}", fate)


def kill_in_an_upload(trials: Trials, hub: HubServer, name: str) -> None:
    """Kill a gather while the hub has a part of a shard; nothing of it may be taken for whole."""
    hub.forget_objects()
    part = trials.chance.randrange(1, 100_000)
    skip = trials.chance.randrange(trials.shards)
    hub.faults.taken.clear()
    hub.faults.add(
        match="PUT /objects/", kind="stall", skip=skip, after_bytes=part, seconds=LONGEST
    )
    running = trials.begin(name, timeout=LONGEST)
    until(lambda: hub.faults.taken or running.ended_within(0), "an upload is on its way")
    assert running.killed() == -signal.SIGKILL
    assert trials.places.state(name)["shards"] == skip
    hub.forget_objects()
    before = len(hub.endpoint_log)
    trials.check(name)
    method, _, path = hub.faults.taken[0][0].partition(" ")
    assert (method, path) in hub.endpoint_log[before:], "the shard was not sent again"


def kill_in_a_commit(trials: Trials, hub: HoldingHub, name: str, fate: str) -> None:
    """Kill a gather while the hub has its commit.

    Args:
        trials: The gathers.
        hub: Where to.
        name: Which.
        fate: When the hub applies the commit: before the kill; at once after it; while the same
            command runs again; or so late that it is refused.
    """
    skip = trials.chance.randrange(trials.shards + 1)
    hub.faults.taken.clear()
    if fate == "applied_before":
        hub.faults.add(match="POST .*/commit/", kind="stall", skip=skip, after_bytes=0)
    else:
        hub.hold(skip)
    running = trials.begin(name, timeout=LONGEST)
    is_there = hub.arrived.is_set
    until(lambda: is_there() or hub.faults.taken or running.ended_within(0), "a commit came")
    assert running.killed() == -signal.SIGKILL
    if fate == "applied_at_once":
        hub.let_go.set()
        assert hub.settled.wait(LONGEST)
    if fate == "applied_meanwhile":
        running = trials.begin(name)
        running.ended_within(trials.chance.uniform(0, 0.5) * trials.seconds)
        hub.let_go.set()
        assert running.ended_within(LONGEST) == 0, running.says.read_text()
    trials.check(name)
    if fate == "refused":
        hub.let_go.set()
        assert hub.settled.wait(LONGEST)
        assert trials.places.content(name) == trials.whole
    assert len(trials.places.hub.commits(f"{name}/speech")) == trials.shards + 2, "one too many"


# --- fresh starts, scratch files


def test_fresh_twice_is_fresh_once_also_when_it_is_killed(at_folder):
    start_afresh(at_folder, "again", 1)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["folder", "hub"])
def test_fresh_starts_killed_at_three_moments(trials_at, kind):
    start_afresh(trials_at(kind), "again-and-again", 3)


def start_afresh(trials: Trials, name: str, kills: int) -> None:
    trials.check(name)
    once = trials.places.state(name)
    generation = once.pop("generation")
    for number in range(kills):
        while not trials.is_killed(name, fresh=True):
            pass  # it was at its end: begin another
        trials.finish(name, **({} if number % 2 else {"fresh": True}))
        content, state = trials.places.content(name), trials.places.state(name)
        assert state.pop("generation") > generation  # all that tells one from the other
        assert state == once
        assert content | {STATE_NAME: trials.whole[STATE_NAME]} == trials.whole


def test_what_a_killed_gather_left_half_written_is_gone_after_the_next(at_folder):
    at_folder.check("left")
    folder = Path(at_folder.places.to("left"))
    for name in ("README.md", "_skipped/train-00000.jsonl", STATE_NAME):
        place = folder / name
        place.with_name(f".{place.name}.0123abcd.part").write_bytes(b"half")
    (folder / "data" / "train-00099.parquet").write_bytes(b"moved, and not listed")
    at_folder.check("left")


# --- Ctrl-C


def test_ctrl_c_ends_promptly_and_the_same_command_ends_in_the_same_bytes(at_folder):
    stop_once(at_folder)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["folder", "two workers", "hub"])
def test_ctrl_c_at_two_moments(trials_at, kind):
    for _ in range(2):
        stop_once(trials_at(kind))


def stop_once(trials: Trials) -> None:
    for number in count():
        name = f"stopped-{number}-{trials.chance.random()}"
        running = trials.begin(name)
        until(running.has_said_anything, "it has begun")
        running.ended_within(trials.chance.uniform(0, 0.5) * trials.seconds)
        if running.code is None and stopped(running):
            trials.check(name)
            return


def test_ctrl_c_does_not_wait_for_a_hub_that_is_silent_in_a_commit(at_hub, holding_hub):
    stop_at_silence(at_hub, holding_hub, "POST .*/commit/")


@pytest.mark.soak
def test_ctrl_c_does_not_wait_for_a_hub_that_is_silent_in_an_upload(at_hub, holding_hub):
    stop_at_silence(at_hub, holding_hub, "PUT /objects/")


def stop_at_silence(trials: Trials, hub: HubServer, where: str) -> None:
    name = where.partition(" ")[0].lower()
    hub.faults.taken.clear()
    hub.faults.add(match=where, kind="stall", skip=2, after_bytes=0, seconds=LONGEST)
    running = trials.begin(name, timeout=LONGEST)
    until(lambda: hub.faults.taken, "the hub is silent")
    time.sleep(0.2)  # until the next shard waits for this one
    assert stopped(running)
    trials.check(name)


def stopped(running) -> bool:
    """Stop a gather as Ctrl-C does; return whether it was under way."""
    asked = time.monotonic()
    code = running.killed(signal.SIGINT)
    seconds = time.monotonic() - asked
    says = running.says.read_text()
    if " of them now, in " in says:
        return False
    assert (code, "goes on where it was" in says) == (130, True), says
    assert "Traceback" not in says
    assert seconds < PROMPTLY
    return True


def test_after_ctrl_c_nobody_writes_there_before_the_commit_that_was_left_has_ended(
    corpus, tmp_path, holding_hub
):
    """In a notebook the process goes on, and with it the commit."""
    options = GatherOptions(**{**SMALL, "timeout": LONGEST, "work_dir": tmp_path / "work"})
    holding_hub.hold(1)

    def press() -> None:
        holding_hub.arrived.wait(LONGEST)
        time.sleep(0.3)  # until the next shard waits for the one that is held
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def gathered() -> Gathered:
        sink, work = target("hf://notebook/speech", options)
        return gather([str(corpus.folder)], sink, work, options)

    with clients_at(holding_hub, tmp_path / "home"):
        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            gathered()
        with pytest.raises(SinkError, match="another gather is at work there; wait for it"):
            gathered()
        holding_hub.let_go.set()
        for _ in range(100):
            time.sleep(0.05)  # the thread that was left has still to hear of its end
            with suppress(SinkError):
                assert all(source.is_done for source in gathered().state.sources)
                break
        else:
            pytest.fail("nobody is let in")
    assert len(holding_hub.commits("notebook/speech")) > 3
