"""Engines: whoever counts, the bytes are the same, and a file that kills its reader costs itself.

The files of `deadly` are real: the machine that `tests/deadly` makes kills each worker process that
opens one of them, as it would one that takes all memory.
"""

import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from corpora import files_of, rows_of, trained, tree, write_beat
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GrooveError, OptionsError
from workbench.groove.counting import Batch, count_batch
from workbench.groove.labels import Labels
from workbench.groove.options import TokenizeOptions, TrainOptions
from workbench.groove.tokenize import tokenize

KILLERS = ("3 kills_its_reader.mid", "6 kills_its_reader.mid")  # of eight
ENGINES = ("threads", "processes")


def batch_of(count, root=Path("corpus")):
    return Batch(
        first=7,
        indices=tuple(range(20, 20 + 3 * count, 3)),
        names=tuple(f"{number}.mid" for number in range(count)),
        root=root,
        sizes=tuple(range(100, 100 + count)),
        is_first=tuple(number % 4 > 0 for number in range(count)),
        labels=Labels(vocabulary={}, of_file={}),
        options=TrainOptions(min_notes=1),
    )


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Eight files, of which two kill whoever else than this process opens them."""
    folder = tmp_path_factory.mktemp("eight") / "corpus"
    for number in range(8):
        name = {3: KILLERS[0], 6: KILLERS[1]}.get(number, f"{number}.mid")
        write_beat(folder / name, seed=number)
    return folder


@pytest.fixture(scope="module")
def six(eight):
    """The others."""
    folder = eight.with_name("six")
    for path in eight.iterdir():
        if path.name not in KILLERS:
            folder.mkdir(exist_ok=True)
            (folder / path.name).symlink_to(path)
    return folder


# --- the same bytes


@given(st.integers(1, 20), st.data())
def test_a_part_of_a_batch_has_its_files_and_their_places(count, data):
    batch = batch_of(count)
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    part = batch.part(start, stop)
    assert part.first == batch.first + start
    for name in ("indices", "names", "sizes", "is_first"):
        assert getattr(part, name) == getattr(batch, name)[start:stop]
    assert list(part.singles()) == list(batch.singles())[start:stop]


def test_the_counts_of_a_batch_are_those_of_its_files_one_by_one(corpus):
    files = files_of(corpus.folder)
    names = [files.name(index) for index in range(len(files))]
    batch = batch_of(len(names), corpus.folder)
    batch = Batch(**{f: getattr(batch, f) for f in batch.__slots__} | {"names": tuple(names)})
    whole, singly = count_batch(batch), [count_batch(single) for single in batch.singles()]
    assert len(whole.skips) > len(names) / 4
    for stream, (keys, counts) in whole.rows.items():
        summed = Counter()
        for each in singly:
            if stream in each.rows:
                summed.update(dict(zip(*(c.tolist() for c in each.rows[stream]), strict=True)))
        assert summed == dict(zip(keys.tolist(), counts.tolist(), strict=True))
    assert [int(each.notes_of_file[0]) for each in singly] == whole.notes_of_file.tolist()
    assert {n: each.skips[0] for n, each in enumerate(singly) if each.skips} == whole.skips


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_counts_the_same_model(corpus, plain, tmp_path, engine):
    labels = corpus.folder / "labels.csv"
    options = {"labels": labels, "save_every": 9, "jobs": 2, "engine": engine}
    assert tree(trained(corpus.folder, tmp_path / "model", **options).model.folder) == tree(
        plain.folder
    )


def test_a_run_goes_on_under_another_engine(corpus, plain, tmp_path):
    options = {"labels": corpus.folder / "labels.csv", "checkpoint_dir": tmp_path, "jobs": 2}
    begun = trained(corpus.folder, tmp_path / "model", max_files=20, engine="threads", **options)
    ended = trained(corpus.folder, tmp_path / "model", engine="processes", **options)
    assert 20 <= begun.files_read == ended.resumed_at < 60
    assert tree(ended.model.folder) == tree(plain.folder)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_writes_the_same_tokens(corpus, tmp_path, engine):
    files = files_of(corpus.folder)
    tokenize(files, tmp_path / "one", TokenizeOptions())
    tokenize(files, tmp_path / "other", TokenizeOptions(jobs=2, engine=engine))
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_a_cluster_counts_the_same_model_also_of_a_relative_folder_and_with_one_job(
    cluster, corpus, plain, tmp_path, monkeypatch
):
    monkeypatch.chdir(corpus.folder.parent)
    options = {"labels": corpus.folder / "labels.csv", "save_every": 9, "engine": cluster}
    model = trained(corpus.folder.name, tmp_path / "model", **options).model
    assert tree(model.folder) == tree(plain.folder)


@pytest.mark.soak
def test_a_cluster_writes_the_same_tokens(cluster, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(corpus.folder.parent)
    tokenize(files_of(corpus.folder), tmp_path / "one", TokenizeOptions())
    files = files_of(corpus.folder.name)
    tokenize(files, tmp_path / "other", TokenizeOptions(jobs=2, engine=cluster))
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


@pytest.mark.parametrize("options", [TrainOptions, TokenizeOptions])
def test_an_engine_that_is_none_is_refused(options):
    with pytest.raises(OptionsError, match=r"^engine: 'fibres' is none of"):
        options(engine="fibres")


# --- files that kill their reader


def test_files_that_kill_their_worker_are_skipped_by_name_and_the_others_count(
    deadly, eight, six, tmp_path
):
    trained(six, tmp_path / "six", sqlite_path=tmp_path / "six.sqlite")
    store = tmp_path / "eight.sqlite"
    model = trained(eight, tmp_path / "eight", jobs=2, sqlite_path=store).model
    assert model.description["reasons"] == {"killed_worker": 2}
    told = [json.loads(line) for line in (model.folder / "skipped.jsonl").open()]
    assert [(each["index"], each["file"]) for each in told] == list(
        zip((3, 6), KILLERS, strict=True)
    )
    assert (model.description["processed"], model.description["kept"]) == (8, 6)
    assert rows_of(store) == rows_of(tmp_path / "six.sqlite")


@pytest.mark.soak
def test_a_cluster_skips_by_name_what_kills_its_workers(deadly_cluster, eight, six, tmp_path):
    trained(six, tmp_path / "six", sqlite_path=tmp_path / "six.sqlite")
    store = tmp_path / "eight.sqlite"
    options = {"engine": deadly_cluster, "save_every": 2, "sqlite_path": store}
    model = trained(eight, tmp_path / "eight", **options).model
    assert [skip["file"] for skip in model.skipped()] == list(KILLERS)
    assert model.description["reasons"] == {"killed_worker": 2}
    assert rows_of(store) == rows_of(tmp_path / "six.sqlite")


@pytest.mark.soak
def test_fail_fast_stops_at_a_file_that_kills_its_worker(deadly, eight, tmp_path):
    with pytest.raises(GrooveError, match=rf"^{KILLERS[0]}: killed_worker: .*by --fail-fast$"):
        trained(eight, tmp_path / "model", jobs=2, fail_fast=True)
    assert not (tmp_path / "model").exists()


@pytest.mark.soak
def test_limits_and_commits_fall_where_they_would_without_a_death(deadly, eight, tmp_path):
    told = trained(eight, tmp_path / "model", jobs=2, save_every=2, max_files=5)
    assert (told.files_read, told.model.description["kept"]) == (6, 5)
    assert told.model.description["stopped"] == "max_files 5"


@pytest.mark.soak
def test_tokens_are_made_of_all_but_the_files_that_kill_their_worker(
    deadly, eight, six, tmp_path, caplog
):
    caplog.set_level(logging.WARNING)
    alone = tokenize(files_of(six), tmp_path / "six", TokenizeOptions())
    tokens = tokenize(files_of(eight), tmp_path / "eight", TokenizeOptions(jobs=2))
    assert all(killer in caplog.text for killer in KILLERS)
    assert tokens.description["skipped"] == {"killed_worker": 2}
    assert tokens.description["files"] == 8
    made, expected = tree(tmp_path / "eight"), tree(tmp_path / "six")
    for both in (made, expected):
        both.pop("tokens.json")
    assert made == expected
    assert tokens.description["shards"] == alone.description["shards"]
