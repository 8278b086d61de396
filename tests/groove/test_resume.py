"""Training killed at any instant and gone on with is training that was never killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from corpora import (
    files_of,
    names_in,
    rows_of,
    runs_in,
    state_of,
    trained,
    tree,
    write_beat,
)

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.errors import GrooveError, StreamingError
from workbench.groove.options import TrainOptions
from workbench.groove.train import train
from workbench.streaming.filelist import listed
from workbench.streaming.tally import TallyStore

HOT_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # how SQLite's rollback journal begins
FILES = 240


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A corpus that takes about a second when each file is committed, and its model."""
    place = tmp_path_factory.mktemp("long")
    options = DrumCorpusOptions(files=FILES, seed=9, duplicates=0.05, broken=0.05)
    corpus = make_drum_corpus(place / "corpus", options)
    labels = corpus.folder / "labels.csv"
    model = trained(corpus.folder, place / "model", labels=labels).model
    return SimpleNamespace(folder=corpus.folder, labels=labels, content=tree(model.folder))


def started(long, output, *flags):
    """Start a training in a process of its own; it logs every file that it has counted."""
    code = "from workbench.cli import main; main()"
    tokens = [long.folder, "-o", output, "--labels", long.labels, "--no-progress"]
    each = ["--save-every", 1, "--log-every", 1]
    return subprocess.Popen(
        [sys.executable, "-c", code, "groove", "train", *map(str, [*tokens, *each, *flags])],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(process, files):
    """Wait until a training has counted some files; return where it is, None when it ended."""
    at = None
    for line in process.stderr:
        if line.startswith("counting: "):
            at = int(line.split()[1].partition("/")[0])
            if at >= files:
                return at
    return None


def kill(process, number=signal.SIGKILL):
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


# --- kills


@pytest.mark.parametrize(
    ("kills", "flags"),
    [
        pytest.param(3, (), id="three"),
        pytest.param(20, (), id="twenty", marks=pytest.mark.soak),
        pytest.param(20, ("--flush-every", 300), id="flushing", marks=pytest.mark.soak),
        pytest.param(20, ("--jobs", 2), id="processes", marks=pytest.mark.soak),
    ],
)
def test_training_killed_at_random_instants_ends_in_the_same_bytes(long, tmp_path, kills, flags):
    dice = random.Random(kills)
    output, store = tmp_path / "model", tmp_path / "model.counts.sqlite"
    stood, advances, inside, late = 0, 0, 0, 0
    for number in range(kills):
        is_late = number % 5 == 4  # in the last files, or while the model is written
        process = started(long, output, *flags)
        wanted = FILES if is_late else stood + dice.randint(1, max(FILES * 2 // kills, 2))
        assert until(process, min(wanted, FILES)) is not None
        time.sleep(dice.random() * (0.1 if is_late else 0.01))
        if kill(process) != -signal.SIGKILL:
            assert is_late  # it was through
            late += 1
            shutil.rmtree(output)
            break
        journal = store.with_name(store.name + "-journal")
        inside += journal.exists() and journal.read_bytes()[:8] == HOT_JOURNAL
        position = state_of(store)["position"]
        assert position >= stood
        advances += position > stood
        stood = position
        late += is_late
    assert advances >= min(kills, 3) - (stood == FILES)
    assert kills < 10 or (inside and late)
    process = started(long, output, *flags)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert late or f"continuing at file {stood} of {FILES}" in error
    assert tree(output) == long.content
    assert names_in(tmp_path) == ["model"]
    assert "kept: " in out


def test_a_kill_in_the_middle_of_a_flush_is_undone(long, tmp_path):
    # a commit after every file: most of the time is spent in one, so a few tries meet it
    store = tmp_path / "model.counts.sqlite"
    journal = store.with_name(store.name + "-journal")
    for attempt in range(12):
        process = started(long, tmp_path / "model", "--hash-buckets", 256)
        at = until(process, 10 + 15 * attempt)
        assert at is not None, "the training ended before a kill met a flush"
        time.sleep(0.0007 * attempt)
        assert kill(process) == -signal.SIGKILL
        is_inside = journal.exists() and journal.read_bytes()[:8] == HOT_JOURNAL
        state = state_of(store)
        assert state["position"] >= at - 1
        if is_inside:
            break
    else:
        pytest.fail("no kill met a flush")
    # what is there is the corpus up to the position, and nothing of the flush
    reference = tmp_path / "reference.sqlite"
    options = TrainOptions(labels=long.labels, sqlite_path=reference, max_files=state["kept"])
    train(files_of(long.folder), tmp_path / "reference", options)
    assert rows_of(store) == rows_of(reference)
    assert state["notes"] == state_of(reference)["notes"]
    found = trained(long.folder, tmp_path / "model", labels=long.labels)
    assert found.resumed_at == state["position"]
    assert tree(tmp_path / "model") == long.content


@pytest.mark.parametrize("flags", [(), ("--jobs", "2")], ids=["alone", "processes"])
def test_an_interrupt_ends_with_130_and_the_same_command_goes_on(long, tmp_path, flags):
    process = started(long, tmp_path / "model", *flags)
    assert until(process, 20) is not None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert error.splitlines()[-1] == "workbench: stopped; the same command goes on where it was"
    assert "Traceback" not in error
    assert names_in(tmp_path) == ["model.counts.sqlite"]
    assert state_of(tmp_path / "model.counts.sqlite")["position"] >= 19
    found = trained(long.folder, tmp_path / "model", labels=long.labels)
    assert found.resumed_at >= 19
    assert tree(tmp_path / "model") == long.content


def test_two_trainings_at_once_do_not_write_one_store(long, tmp_path):
    process = started(long, tmp_path / "model")
    assert until(process, 5) is not None
    with pytest.raises(StreamingError, match="another process uses it"):
        trained(long.folder, tmp_path / "model", labels=long.labels)
    assert kill(process) == -signal.SIGKILL
    assert trained(long.folder, tmp_path / "model", labels=long.labels).resumed_at >= 4


# --- what is not continued


@pytest.fixture
def stopped(tmp_path):
    """A corpus of six files of which two are counted: (folder, output)."""
    for number in range(6):
        write_beat(tmp_path / "corpus" / f"{number}.mid", seed=number)
    (tmp_path / "labels.csv").write_text("file,style\n0.mid,rock\n5.mid,jazz\n")
    (tmp_path / "list.txt").write_text("".join(f"corpus/{n}.mid\n" for n in range(6)))
    output = tmp_path / "model"
    options = TrainOptions(max_files=2, labels=tmp_path / "labels.csv")
    train(listed(tmp_path / "list.txt"), output, options)
    return tmp_path


def refused(place, said, *, files=None, **options):
    """Train what was stopped in another way; return the refusal, which has changed nothing."""
    before = {name: content for name, content in tree(place).items() if "sqlite" not in name}
    state = state_of(place / "model.counts.sqlite")
    rows = rows_of(place / "model.counts.sqlite")
    options = TrainOptions(**{"labels": place / "labels.csv"} | options)
    with pytest.raises(GrooveError, match=said) as caught:
        train(files or listed(place / "list.txt"), place / "model", options)
    message = str(caught.value)
    assert message.startswith(f"{place / 'model.counts.sqlite'}: ")
    assert message.endswith(", or delete the store to start over")
    assert "\n" not in message
    assert state_of(place / "model.counts.sqlite") == state
    assert rows_of(place / "model.counts.sqlite") == rows
    after = {name: content for name, content in tree(place).items() if "sqlite" not in name}
    assert after == before
    return message


def change_list(place, change):
    lines = (place / "list.txt").read_text().splitlines(keepends=True)
    (place / "list.txt").write_text("".join(change(lines)))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines, "corpus/0.mid\n"],
        lambda lines: lines[::-1],
        lambda lines: [*lines[:4], lines[5], lines[4]],
        lambda lines: [*lines[:5], "./" + lines[5]],
    ],
    ids=["shorter", "longer", "reversed", "two swapped", "another name"],
)
def test_a_changed_or_re_ordered_list_is_refused(stopped, change):
    change_list(stopped, change)
    refused(stopped, "the list of files has changed in names, order or contents; restore it")


def test_a_changed_content_is_refused_even_at_the_same_size(stopped):
    path = stopped / "corpus" / "4.mid"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    refused(stopped, "the list of files has changed in names, order or contents")


def test_a_file_that_has_gone_is_refused(stopped):
    (stopped / "corpus" / "5.mid").unlink()
    refused(stopped, "the list of files has changed")


def test_changed_options_are_refused_by_name(stopped):
    message = refused(stopped, "counted with other options; give the same", n=2, min_notes=4)
    assert "(n: it has 4, given 2" in message or "n: it has 4, given 2, " in message
    assert "min_notes: it has 8, given 4" in message
    assert "list of files" not in message


def test_options_that_change_how_contents_are_compared_are_not_taken_for_a_changed_list(stopped):
    for options in ({"dedup": False}, {"max_bytes": 100_000}):
        message = refused(stopped, "counted with other options", **options)
        assert "list of files" not in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_shards": 2}, r"another number of shards; give the same \(it has 1, given 2\)"),
        ({"num_shards": 2, "shard_index": 1}, "another shard; give each shard its own output"),
    ],
)
def test_another_shard_is_refused(stopped, options, said):
    refused(stopped, said, **options)


@pytest.mark.parametrize(
    "text", ["file,style\n0.mid,soul\n5.mid,jazz\n", "file,drummer\n0.mid,rock\n", None]
)
def test_changed_labels_are_refused(stopped, text):
    labels = stopped / "labels.csv"
    if text is not None:
        labels.write_text(text)
    labels = labels if text is not None else None
    refused(stopped, "the labels table has changed; restore it", labels=labels)


def test_all_that_has_changed_is_told_at_once(stopped):
    change_list(stopped, lambda lines: lines[::-1])
    message = refused(stopped, "list of files", n=2, num_shards=3, labels=None)
    for said in ("other options", "labels table", "number of shards", "list of files"):
        assert said in message


def test_what_was_restored_goes_on(stopped):
    change_list(stopped, lambda lines: lines[::-1])
    refused(stopped, "the list of files has changed")
    change_list(stopped, lambda lines: lines[::-1])
    options = TrainOptions(labels=stopped / "labels.csv")
    found = train(listed(stopped / "list.txt"), stopped / "model", options)
    assert (found.resumed_at, found.model.description["kept"]) == (2, 6)


def test_a_moved_corpus_goes_on(stopped):
    (stopped / "elsewhere").mkdir()
    for name in ("corpus", "list.txt", "labels.csv"):
        (stopped / name).rename(stopped / "elsewhere" / name)
    options = TrainOptions(labels=stopped / "elsewhere" / "labels.csv")
    files = listed(stopped / "elsewhere" / "list.txt")
    assert train(files, stopped / "model", options).resumed_at == 2


@pytest.mark.parametrize(
    ("options", "is_counting"),
    [({"save_every": 1}, True), ({"jobs": 2}, True), ({"min_count": 2}, True), ({"n": 1}, False)],
)
def test_options_that_do_not_change_the_counts_may_change_on_the_way(stopped, options, is_counting):
    options = TrainOptions(labels=stopped / "labels.csv", **options)
    files = listed(stopped / "list.txt")
    if is_counting:
        assert train(files, stopped / "model", options).resumed_at == 2
    else:
        with pytest.raises(GrooveError):
            train(files, stopped / "model", options)


def test_a_store_of_something_else_is_refused(stopped):
    path = stopped / "other.sqlite"
    with TallyStore(path, budget_bytes=1 << 20) as store:
        store.commit({"at": "events.3"})
    with pytest.raises(GrooveError, match=r"other\.sqlite: is no store of groove training"):
        trained(stopped / "corpus", stopped / "new", sqlite_path=path)
    assert runs_in(path) == []
