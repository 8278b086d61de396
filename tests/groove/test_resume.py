"""Training that is killed, interrupted or refused goes on to the bytes of an undisturbed run.

The trainer runs in a process of its own and is killed by SIGKILL. Its small `--save-every` and
`--flush-every` make it commit after nearly every file, so that instants within a transaction are
met; what it had committed is read from a copy of its store, as the next run will find it.
"""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid

import psutil
import pytest
from corpora import names_in, rows_of, state_of, trained, tree, write_beat

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.errors import GrooveError, StreamingError
from workbench.groove.options import TrainOptions
from workbench.groove.train import train
from workbench.streaming.filelist import listed
from workbench.streaming.tally import TallyStore

COMMAND = (sys.executable, "-c", "from workbench.cli import main; main()", "groove", "train")
OFTEN = ("--save-every", "1", "--flush-every", "100", "--log-every", "1", "--ram-budget-mb", "1")
_HOT = bytes.fromhex("d9d505f920a163d7")  # how SQLite's journal begins within a transaction
_PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Drum files that take a second or so, committed one by one."""
    options = DrumCorpusOptions(
        files=160, seed=8, least_bars=4, most_bars=12, duplicates=0.1, broken=0.1
    )
    return make_drum_corpus(tmp_path_factory.mktemp("many") / "corpus", options)


@pytest.fixture(scope="module")
def undisturbed(many):
    """Every file of the model of a run that nothing disturbed."""
    labels = many.folder / "labels.csv"
    return tree(trained(many.folder, many.folder.with_name("model"), labels=labels).model.folder)


class Trainer:
    """A training process, which is dead when the block is left; its log goes to a file."""

    def __init__(self, corpus, output, *options):
        labels = ("--labels", str(corpus.folder / "labels.csv"))
        tokens = (*COMMAND, str(corpus.folder), "-o", str(output), "--no-progress", *labels)
        self.log = output.parent.with_name(f"{uuid.uuid4().hex}.log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*tokens, *map(str, options)], stdout=subprocess.DEVNULL, stderr=log
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.kill()

    @property
    def told(self):
        """What it has logged so far, by lines."""
        return self.log.read_text().splitlines()

    @property
    def is_running(self):
        return self.process.poll() is None

    def workers(self):
        """Return the worker processes."""
        if not self.is_running:
            return []
        below = psutil.Process(self.process.pid).children()
        return [child for child in below if "spawn_main" in " ".join(child.cmdline())]

    def is_counting(self, files=1):
        """Wait until some files were counted; return whether the process got there."""
        while self.is_running:
            if sum(line.startswith("counting: ") for line in self.told) >= files:
                return True
            time.sleep(0.001)
        return False

    def kill(self):
        """Kill it by SIGKILL; return whether that hit a running process."""
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL

    def end(self):
        """Wait for its own end; return the exit code and the last line on standard error."""
        code = self.process.wait(timeout=_PATIENCE_SECONDS)
        return code, self.told[-1] if self.told else ""


def store_of(output):
    return output.with_name(f"{output.name}.counts.sqlite")


def journal_of(output):
    return output.with_name(f"{output.name}.counts.sqlite-journal")


def is_within_transaction(output):
    """Return whether the journal of a store is what a half-done transaction leaves."""
    try:
        with journal_of(output).open("rb") as file:
            return file.read(len(_HOT)) == _HOT
    except FileNotFoundError:
        return False


def position_in(output, scratch):
    """Return how many files the next run will find counted; the store itself is not touched."""
    copy = scratch / "copy.sqlite"
    for source, target in (
        (store_of(output), copy),
        (journal_of(output), copy.with_name("copy.sqlite-journal")),
    ):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copy(source, target)
    query = "SELECT json_extract(json, '$.position') FROM state"
    if not copy.exists():
        return 0
    with contextlib.closing(sqlite3.connect(copy)) as database:
        try:
            row = database.execute(query).fetchone()
        except sqlite3.OperationalError:  # killed before the tables were made
            return 0
    return row[0] if row else 0


# --- SIGKILL


def killed_until(many, folder, scratch, *, kills, seed, expected):
    """Kill trainings at random instants and go on, over and over until enough kills have hit.

    Whenever a run comes to its end, its model is compared and training begins anew.

    Returns:
        How many files each killed run had added to the store, and how many kills fell within a
        transaction.
    """
    chance = random.Random(seed)
    output = folder / "model"
    gained, within = [], 0
    stood, is_done = 0, False
    while len(gained) < kills or not is_done:
        is_last = len(gained) >= kills
        with Trainer(many, output, *OFTEN) as trainer:
            if is_last:
                assert trainer.end()[0] == 0, trainer.told
                is_hit = False
            elif chance.random() < 0.15:
                time.sleep(chance.uniform(0, 0.8))  # while it starts and reads the list
                is_hit = trainer.kill()
            else:
                trainer.is_counting()
                time.sleep(chance.uniform(0, 0.25))
                is_hit = trainer.kill()
        if is_hit and (store_of(output).exists() or not output.exists()):
            within += is_within_transaction(output)
            position = position_in(output, scratch)
            assert position >= stood
            gained.append(position - stood)
            stood = position
            assert not output.exists() or tree(output) == expected
        else:  # it was through, or as good as
            assert tree(output) == expected
            assert names_in(folder) == ["model"]
            shutil.rmtree(output)
            stood, is_done = 0, is_last
    return gained, within


@pytest.mark.soak
def test_a_run_killed_at_three_instants_ends_in_the_same_bytes(many, undisturbed, tmp_path):
    (tmp_path / "run").mkdir()
    gained, _ = killed_until(
        many, tmp_path / "run", tmp_path, kills=3, seed=2, expected=undisturbed
    )
    assert len(gained) == 3
    assert sum(files > 0 for files in gained) >= 1
    assert sum(gained) < 3 * len(many.paths)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_twenty_instants_ends_in_the_same_bytes(many, undisturbed, tmp_path, seed):
    (tmp_path / "run").mkdir()
    gained, within = killed_until(
        many, tmp_path / "run", tmp_path, kills=20, seed=seed, expected=undisturbed
    )
    assert len(gained) == 20
    assert sum(files > 0 for files in gained) >= 10
    assert within >= 1


def test_a_run_killed_within_a_transaction_ends_in_the_same_bytes(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    for _ in range(10):
        with Trainer(many, output, *OFTEN) as trainer:
            assert trainer.is_counting(files=10)
            while trainer.is_running and not is_within_transaction(output):
                pass
            assert trainer.kill()
        if is_within_transaction(output):
            break
    else:
        pytest.fail("ten kills, and none fell within a transaction")
    position = position_in(output, tmp_path)
    assert 0 < position < len(many.paths)
    assert_counts_end_at_the_position(many, store_of(output), tmp_path)
    with Trainer(many, output, *OFTEN) as trainer:
        assert trainer.end()[0] == 0
    assert f"continuing at file {position} of {len(many.paths)}" in trainer.told
    assert tree(output) == undisturbed
    assert names_in(output.parent) == ["model"]


def assert_counts_end_at_the_position(many, store, scratch):
    """Compare a store with one of a run that was told to stop at the same file."""
    state = state_of(store)
    reference = scratch / "reference.sqlite"
    options = {"sqlite_path": reference, "max_files": state["kept"]}
    trained(many.folder, scratch / "until", labels=many.folder / "labels.csv", **options)
    assert rows_of(store) == rows_of(reference)
    told = state_of(reference)
    for name in ("kept", "notes", "steps", "bars"):
        assert state[name] == told[name]


def test_a_run_killed_while_it_writes_the_model_ends_in_the_same_bytes(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, "--log-every", 1) as trainer:
        while trainer.is_running and not list(output.parent.glob(".model.*.part")):
            pass
        assert trainer.kill()
    assert not output.exists()
    assert list(output.parent.glob(".model.*.part"))
    assert position_in(output, tmp_path) == len(many.paths)
    with Trainer(many, output) as trainer:
        assert trainer.end()[0] == 0
    assert tree(output) == undisturbed
    assert names_in(output.parent) == ["model"]


def test_a_killed_worker_process_costs_no_count(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, "--jobs", 2, *OFTEN) as trainer:
        assert trainer.is_counting()
        worker = trainer.workers()[0]
        worker.send_signal(signal.SIGKILL)
        assert trainer.is_running
        code, told = trainer.end()
    assert code == 0, told
    done = [line for line in trainer.told if line.startswith("counting: 1/")]
    assert done, "the kill came before the last file"
    assert tree(output) == undisturbed
    assert names_in(output.parent) == ["model"]


def test_the_workers_of_a_killed_run_end_with_it_and_another_goes_on(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, "--jobs", 2, *OFTEN) as trainer:
        assert trainer.is_counting()
        workers = trainer.workers()
        assert len(workers) == 2
        assert trainer.kill()
    _, alive = psutil.wait_procs(workers, timeout=_PATIENCE_SECONDS)
    assert alive == []
    assert 0 < position_in(output, tmp_path) < len(many.paths)
    with Trainer(many, output, *OFTEN) as trainer:  # with another number of jobs
        assert trainer.end()[0] == 0
    assert tree(output) == undisturbed


# --- SIGINT


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(many, undisturbed, tmp_path, jobs):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, "--jobs", jobs, *OFTEN) as trainer:
        assert trainer.is_counting()
        trainer.process.send_signal(signal.SIGINT)
        code, told = trainer.end()
    assert code == 130, told
    assert not any("Traceback" in line for line in trainer.told)
    position = position_in(output, tmp_path)
    assert 0 < position < len(many.paths)
    assert not output.exists()
    with Trainer(many, output, "--jobs", jobs) as trainer:
        assert trainer.end()[0] == 0
    assert f"continuing at file {position} of {len(many.paths)}" in trainer.told
    assert tree(output) == undisturbed
    assert names_in(output.parent) == ["model"]


def test_ctrl_c_tells_what_to_do(many, tmp_path):
    with Trainer(many, tmp_path / "run" / "model", *OFTEN) as trainer:
        assert trainer.is_counting()
        trainer.process.send_signal(signal.SIGINT)
        _, told = trainer.end()
    assert told == "workbench: stopped; the same command goes on where it was"


# --- one store, one run


@pytest.mark.soak
def test_a_store_in_use_by_another_process_is_refused_in_one_line(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, *OFTEN) as first:
        assert first.is_counting()
        first.process.send_signal(signal.SIGSTOP)
        with Trainer(many, output, *OFTEN) as second:
            code, told = second.end()
        assert code == 1
        assert second.told == [told]
        assert told.startswith(f"workbench: {store_of(output)}: no usable store of counts")
        assert told.endswith("another process uses it: wait for that, or name another file")
        first.process.send_signal(signal.SIGCONT)
        assert first.end()[0] == 0
    assert tree(output) == undisturbed


# --- a limit, then more


def test_a_limit_then_more_in_another_process_equals_one_run(many, undisturbed, tmp_path):
    output = tmp_path / "run" / "model"
    with Trainer(many, output, "--max-files", 20) as trainer:
        assert trainer.end()[0] == 0
    stood = state_of(store_of(output))
    assert (stood["kept"], stood["stopped"]) == (20, "max_files 20")
    with Trainer(many, output, "--max-files", 100_000) as trainer:
        assert trainer.end()[0] == 0
    assert f"continuing at file {stood['position']} of {len(many.paths)}" in trainer.told
    assert tree(output) == undisturbed
    assert names_in(output.parent) == ["model"]


# --- refused


@pytest.fixture
def begun(tmp_path):
    """A folder of ten beats, and what a run that stopped after four files has left beside it."""
    for number in range(10):
        write_beat(tmp_path / "corpus" / f"{number}.mid", seed=number)
    names = [f"corpus/{number}.mid\n" for number in range(10)]
    (tmp_path / "list.txt").write_text("".join(names))
    rows = [f"{number}.mid,{'rock' if number % 2 else 'jazz'}\n" for number in range(10)]
    (tmp_path / "labels.csv").write_text("file,style\n" + "".join(rows))
    go_on(tmp_path, max_files=4)
    return tmp_path


def go_on(folder, **options):
    labels = {"labels": folder / "labels.csv"}
    return train(listed(folder / "list.txt"), folder / "model", TrainOptions(**labels | options))


def refused(folder, match, **options):
    before = tree(folder)
    with pytest.raises(GrooveError, match=match) as told:
        go_on(folder, **options)
    assert str(told.value).startswith(str(folder / "model.counts.sqlite"))
    assert str(told.value).endswith("or delete the store to start over")
    assert "\n" not in str(told.value)
    assert tree(folder) == before


def goes_on(folder):
    """Go on with what was restored, to the bytes of a single run."""
    assert go_on(folder).resumed_at == 4
    found = tree(folder / "model")
    shutil.rmtree(folder / "model")
    assert go_on(folder).resumed_at == 0
    assert tree(folder / "model") == found


CHANGED_LIST = "the list of files has changed in names, order or contents; restore it"


def test_a_list_in_another_order_is_refused_until_it_is_restored(begun):
    listing = begun / "list.txt"
    before = listing.read_text()
    listing.write_text("".join(before.splitlines(keepends=True)[::-1]))
    refused(begun, CHANGED_LIST)
    listing.write_text(before)
    goes_on(begun)


@pytest.mark.parametrize("change", ["longer", "shorter", "renamed"])
def test_a_list_of_other_files_is_refused(begun, change):
    names = (begun / "list.txt").read_text().splitlines(keepends=True)
    (begun / "corpus" / "x.mid").write_bytes((begun / "corpus" / "9.mid").read_bytes())
    changed = {
        "longer": [*names, "corpus/x.mid\n"],
        "shorter": names[:-1],
        "renamed": [*names[:-1], "corpus/x.mid\n"],
    }
    (begun / "list.txt").write_text("".join(changed[change]))
    refused(begun, CHANGED_LIST)


@pytest.mark.parametrize("place", [0, 9], ids=["read already", "to be read yet"])
def test_a_file_of_other_content_and_equal_size_is_refused_until_it_is_restored(begun, place):
    file = begun / "corpus" / f"{place}.mid"
    before = file.read_bytes()
    content = before.replace(b"\x2a\x5a", b"\x2a\x5b", 1)  # one velocity
    assert content != before
    file.write_bytes(content)
    refused(begun, CHANGED_LIST)
    file.write_bytes(before)
    goes_on(begun)


def test_a_file_that_is_gone_is_refused(begun):
    (begun / "corpus" / "9.mid").unlink()
    refused(begun, CHANGED_LIST)


@pytest.mark.parametrize(
    "changed",
    [
        {"n": 3},
        {"resolution": 8},
        {"coarse": True},
        {"beats_per_bar": 3},
        {"onset_order": "sorted"},
        {"part": "all"},
        {"fills": "skip"},
        {"tempo_policy": "skip"},
        {"min_bpm": 30.0},
        {"max_bpm": 300.0},
        {"fallback_bpm": 100.0},
        {"fold_halves": True},
        {"min_bytes": 1},
        {"max_bytes": 1000},
        {"min_notes": 9},
        {"min_bars": 1},
        {"dedup": False},
    ],
    ids=str,
)
def test_options_that_change_the_counts_are_refused_by_name(begun, changed):
    ((name, value),) = changed.items()
    usual = getattr(TrainOptions(), name)
    match = rf"it was counted with other options.*\({name}: it has {usual}, given {value}\)"
    refused(begun, match, **changed)


@pytest.mark.parametrize(
    "changed",
    [{"min_count": 2}, {"smoothing": "modified_kneser_ney"}, {"ram_budget_mb": 1}, {"jobs": 2}],
    ids=str,
)
def test_options_that_change_no_count_may_change(begun, changed):
    assert go_on(begun, **changed).resumed_at == 4
    found = tree(begun / "model")
    shutil.rmtree(begun / "model")
    go_on(begun, **changed)
    assert tree(begun / "model") == found


def test_another_table_of_labels_is_refused_until_it_is_restored(begun):
    table = begun / "labels.csv"
    before = table.read_text()
    table.write_text(before.replace("9.mid,rock", "9.mid,jazz"))
    refused(begun, "the labels table has changed; restore it")
    table.write_text(before)
    refused(begun, "the labels table has changed; restore it", labels=None)
    goes_on(begun)


def test_another_shard_is_refused(begun):
    refused(begun, "it is of another number of shards; give the same.*has 1, given 2", num_shards=2)
    shutil.rmtree(begun / "model")
    (begun / "model.counts.sqlite").unlink()
    go_on(begun, num_shards=2, max_files=2)
    refused(
        begun,
        r"it is of another shard; give each shard its own output \(it has 0, given 1\)",
        num_shards=2,
        shard_index=1,
    )


def test_all_that_has_changed_is_told_at_once(begun):
    (begun / "list.txt").write_text("corpus/3.mid\n")
    refused(begun, "other options.*labels table has changed.*list of files", n=2, labels=None)


def test_a_store_that_is_none_is_refused_and_stays(begun):
    (begun / "mine.sqlite").write_bytes(b"no database at all, but a text of mine\n" * 40)
    before = tree(begun)
    with pytest.raises(StreamingError, match="not a database"):
        go_on(begun, sqlite_path=begun / "mine.sqlite")
    assert tree(begun) == before
    with contextlib.closing(sqlite3.connect(begun / "other.sqlite")) as database:
        database.execute("CREATE TABLE mine (a)")
    before = tree(begun)
    with pytest.raises(StreamingError, match="a database of another program"):
        go_on(begun, sqlite_path=begun / "other.sqlite")
    assert tree(begun) == before


def test_a_store_of_other_counts_is_refused(begun):
    with TallyStore(begun / "other.sqlite", budget_bytes=1 << 20) as store:
        store.commit({"at": "events.3"})
    before = tree(begun)
    with pytest.raises(GrooveError, match=r"other\.sqlite: is no store of groove training"):
        go_on(begun, sqlite_path=begun / "other.sqlite")
    assert tree(begun) == before


def test_a_moved_corpus_goes_on(begun):
    (begun / "elsewhere").mkdir()
    for name in ("corpus", "list.txt", "labels.csv"):
        (begun / name).rename(begun / "elsewhere" / name)
    options = TrainOptions(labels=begun / "elsewhere" / "labels.csv")
    found = train(listed(begun / "elsewhere" / "list.txt"), begun / "model", options)
    assert (found.resumed_at, found.model.description["kept"]) == (4, 10)


def test_a_store_to_resume_from_must_be_there(begun):
    before = tree(begun)
    with pytest.raises(GrooveError, match="no store to resume from; leave --resume-from out"):
        go_on(begun, resume_from=begun / "nowhere.sqlite")
    assert tree(begun) == before
