"""Shards merged in any order and number are the single run, byte by byte; others are refused."""

import json
import shutil

import pytest
from corpora import model_rows, names_in, trained, tree, write_beat
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cli import run
from workbench.errors import CachingError, GrooveError, OptionsError
from workbench.groove.merge import merge
from workbench.groove.model import open_model


def shards_of(corpus, place, number, **options):
    """Train all shards of a corpus; return their folders."""
    for index in range(number):
        trained(corpus, place / f"part{index}", num_shards=number, shard_index=index, **options)
    return [place / f"part{index}" for index in range(number)]


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_shards_merged_in_two_orders_are_the_single_run(plain, corpus, tmp_path, number):
    shards = shards_of(corpus.folder, tmp_path, number, labels=corpus.folder / "labels.csv")
    seen = [open_model(shard).description["kept"] for shard in shards]
    assert sum(seen) == plain.description["kept"]
    turned = [*shards[number // 2 :][::-1], *shards[: number // 2]]
    for order, budget in ((shards, 1), (turned, 64)):
        merge(order, tmp_path / "whole", ram_budget_mb=budget)
        assert tree(tmp_path / "whole") == tree(plain.folder)
    assert names_in(tmp_path) == [*(shard.name for shard in shards), "whole"]


@settings(max_examples=5, deadline=None)
@given(
    number=st.integers(2, 7),
    seeds=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    data=st.data(),
)
def test_any_corpus_in_any_number_of_shards_is_the_single_run(
    tmp_path_factory, number, seeds, data
):
    # few seeds: many files are copies, and copies of copies, in other shards
    place = tmp_path_factory.mktemp("merge")
    for index, seed in enumerate(seeds):
        if seed == 4:
            (place / "corpus").mkdir(exist_ok=True)
            (place / "corpus" / f"{index}.mid").write_bytes(b"MThd, and no more")
        else:
            write_beat(place / "corpus" / f"{index}.mid", seed=seed, bars=1 + seed)
    shards = shards_of(place / "corpus", place, number)
    order = data.draw(st.permutations(shards))
    if set(seeds) == {4}:
        with pytest.raises(GrooveError, match="no shard has counted any file"):
            merge(order, place / "whole")
        return
    single = trained(place / "corpus", place / "single").model
    merge(order, place / "whole")
    assert tree(place / "whole") == tree(single.folder)


@pytest.mark.parametrize("how", ["trained", "merged"])
def test_min_count_and_smoothing_act_after_the_merge(corpus, tmp_path, how):
    finish = {"min_count": 2, "smoothing": "modified_kneser_ney"}
    trained(corpus.folder, tmp_path / "single", **finish)
    shards = shards_of(corpus.folder, tmp_path, 2, **(finish if how == "trained" else {}))
    for shard in shards:
        assert open_model(shard).description["min_count"] == 1
    merge(shards, tmp_path / "whole", **({} if how == "trained" else finish))
    whole, single = tree(tmp_path / "whole"), tree(tmp_path / "single")
    assert whole == single
    assert min(model_rows(open_model(tmp_path / "whole"), "events").values()) == 2


def test_a_copy_in_another_shard_counts_once(tmp_path):
    for name in "abc":  # a and b go to different shards
        write_beat(tmp_path / "corpus" / f"{name}.mid", seed=ord(name) // ord("c"))
    shards = shards_of(tmp_path / "corpus", tmp_path, 2)
    assert [open_model(shard).description["kept"] for shard in shards] == [2, 0]
    whole = merge(shards, tmp_path / "whole").description
    assert (whole["kept"], whole["reasons"]) == (2, {"duplicate": 1})


def test_a_shard_may_be_trained_again_and_merged_again(corpus, tmp_path):
    shards = shards_of(corpus.folder, tmp_path, 2)
    before = tree(merge(shards, tmp_path / "whole").folder)
    shutil.rmtree(shards[1])
    shards_of(corpus.folder, tmp_path, 2)
    merge(shards, tmp_path / "whole")
    assert tree(tmp_path / "whole") == before


def test_a_stopped_shard_makes_a_stopped_whole(corpus, tmp_path):
    shards = shards_of(corpus.folder, tmp_path, 2, max_files=3)
    whole = merge(shards, tmp_path / "whole").description
    assert (whole["stopped"], whole["kept"]) == ("max_files 3", 6)


# --- what is refused


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A small corpus and its three shards; tests only read them."""
    place = tmp_path_factory.mktemp("three")
    for number in range(6):
        write_beat(place / "corpus" / f"{number}.mid", seed=number)
    shards_of(place / "corpus", place, 3)
    return place


def refused(three, parts, tmp_path, said):
    before, beside = tree(three), names_in(tmp_path)
    with pytest.raises(GrooveError, match=said) as caught:
        merge(parts, tmp_path / "whole")
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == beside
    assert tree(three) == before


def test_the_same_shard_twice_is_refused(three, tmp_path):
    parts = [three / "part0", three / "part1", three / "part1", three / "part2"]
    refused(three, parts, tmp_path, r"shard 1 is given twice: .*part1 and .*part1; give it once")
    shutil.copytree(three / "part0", tmp_path / "copy")
    parts = [three / "part0", tmp_path / "copy", three / "part1", three / "part2"]
    refused(three, parts, tmp_path, "shard 0 is given twice")


@pytest.mark.parametrize(("there", "said"), [([0, 2], "1"), ([1], "0, 2"), ([2, 1], "0")])
def test_missing_shards_are_named(three, tmp_path, there, said):
    parts = [three / f"part{index}" for index in there]
    refused(three, parts, tmp_path, f"without shard {said} of 0 to 2; give all of them")


def test_no_shards_are_refused(three, tmp_path):
    refused(three, [], tmp_path, "no shards to merge")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 3}, "were counted with different options; train them alike"),
        ({"num_shards": 4}, "are of different numbers of shards"),
        ({"labels": "labels.csv"}, "have different tables of labels"),
    ],
)
def test_a_shard_of_other_options_is_refused(three, tmp_path, options, said):
    (tmp_path / "labels.csv").write_text("file,style\n0.mid,rock\n")
    options = {k: tmp_path / v if k == "labels" else v for k, v in options.items()}
    options = {"num_shards": 3, "shard_index": 1} | options
    trained(three / "corpus", tmp_path / "other", **options)
    parts = [three / "part0", tmp_path / "other", three / "part2"]
    refused(three, parts, tmp_path, said)


def test_a_shard_of_another_list_is_refused(three, tmp_path):
    shutil.copytree(three / "corpus", tmp_path / "corpus")
    write_beat(tmp_path / "corpus" / "5.mid", seed=77)
    trained(tmp_path / "corpus", tmp_path / "other", num_shards=3, shard_index=1)
    parts = [three / "part0", tmp_path / "other", three / "part2"]
    refused(three, parts, tmp_path, "are of different lists of files")


def test_shards_told_to_finish_differently_need_a_word(three, tmp_path):
    trained(three / "corpus", tmp_path / "part1", num_shards=3, shard_index=1, min_count=2)
    parts = [three / "part0", tmp_path / "part1", three / "part2"]
    refused(three, parts, tmp_path, r"different --min-count \(1, 2\); say which")
    assert merge(parts, tmp_path / "whole", min_count=2).description["min_count"] == 2


def test_a_model_whose_rare_n_grams_are_gone_is_no_shard(three, tmp_path):
    trained(three / "corpus", tmp_path / "pruned", min_count=2)
    refused(three, [tmp_path / "pruned"], tmp_path, "rare n-grams were left out already")


@pytest.mark.parametrize("numbers", [{"min_count": 0}, {"ram_budget_mb": 0}])
def test_numbers_out_of_range_are_refused(three, tmp_path, numbers):
    parts = [three / f"part{index}" for index in range(3)]
    with pytest.raises(OptionsError, match="is outside"):
        merge(parts, tmp_path / "whole", **numbers)
    assert names_in(tmp_path) == []


def test_a_shard_is_not_replaced_by_the_whole(three, tmp_path):
    parts = [three / f"part{index}" for index in range(3)]
    before = tree(three)
    with pytest.raises(GrooveError, match="is one of the shards, which stay"):
        merge(parts, three / "corpus" / ".." / "part1")
    with pytest.raises(CachingError, match="holds something else, which stays"):
        merge(parts, three / "corpus")
    assert tree(three) == before


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda shard: (shard / "model.json").write_text("{"),
        lambda shard: (shard / "model.json").write_text('{"format": 99}'),
        lambda shard: (shard / "model.json").write_text('{"format": 1}'),
        lambda shard: (shard / "model.json").write_text("[1]"),
        lambda shard: (shard / "steps.keys.npy").unlink(),
        lambda shard: (shard / "steps.keys.npy").write_bytes(b"no array"),
        lambda shard: (shard / "skipped.jsonl").unlink(),
    ],
    ids=["gone", "cut", "format", "bare", "list", "no keys", "bad keys", "no skips"],
)
def test_a_shard_that_cannot_be_read_is_one_clear_line(three, tmp_path, capsys, spoil):
    shutil.copytree(three / "part1", tmp_path / "part1")
    spoil(tmp_path / "part1")
    parts = [three / "part0", tmp_path / "part1", three / "part2"]
    assert run(["groove", "merge", *map(str, parts), "-o", str(tmp_path / "whole")]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("workbench: ")
    assert told.err.count("\n") == 1
    assert "part1" in told.err
    assert set(names_in(tmp_path)) <= {"part1"}


def test_merging_by_the_command_line_tells_what_training_tells(three, tmp_path, capsys):
    parts = [str(three / f"part{index}") for index in (2, 0, 1)]
    assert run(["groove", "merge", *parts, "-o", str(tmp_path / "whole"), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    flags = ["-o", str(tmp_path / "single"), "--json", "--no-progress"]
    assert run(["groove", "train", str(three / "corpus"), *flags]) == 0
    single = json.loads(capsys.readouterr().out)
    assert merged | {"model": 0} == {name: single[name] for name in merged} | {"model": 0}
    assert merged["kept"] == 6
