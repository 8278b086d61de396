"""Models with a mixture: the same bytes of any shards, scored and drawn from as others are."""

import dataclasses
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora import names_in, trained, tree, write_beat
from hypothesis import given, settings
from hypothesis import strategies as st
from performances import GRIDS, columns_and_streams

from workbench.cli import run
from workbench.errors import CachingError, GrooveError, OptionsError
from workbench.groove.merge import merge
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.pieces import canonical_pieces, piece_keys, pieces_of
from workbench.groove.sample import sample
from workbench.groove.score import score_files, step_probabilities
from workbench.groove.train import train
from workbench.streaming.filelist import listed

GOLDEN = Path(__file__).parents[1] / "golden"
OWN = ("mixture.keys.npy", "mixture.counts.npy", "mixture.fitted.npy")


def own_bytes(folder):
    return {name: (folder / name).read_bytes() for name in OWN}


def canonical(keys):
    return list(canonical_pieces(keys, 4))


def mixed(corpus, output, **options):
    return trained(corpus, output, **{"model": "mixture"} | options)


@pytest.fixture(scope="module")
def mixture(corpus, tmp_path_factory):
    """The mixture of the demo corpus, trained in one go."""
    labels = corpus.folder / "labels.csv"
    return mixed(corpus.folder, tmp_path_factory.mktemp("mixed") / "whole", labels=labels).model


@pytest.mark.gmd
@pytest.mark.soak
def test_gmd_is_predicted_in_24_bits_a_bar(gmd, tmp_path) -> None:
    model = mixed(gmd / "train", tmp_path / "model").model
    score = score_files(model, gmd / "validation")
    assert (score.bars, score.zero_probability_events) == (2173, 0)
    assert score.bits_per_bar <= 23.1


# --- the same bytes


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_shards_merged_in_any_order_are_the_single_run(mixture, corpus, tmp_path, number) -> None:
    shards = [tmp_path / f"part{index}" for index in range(number)]
    for index, shard in enumerate(shards):
        labels = corpus.folder / "labels.csv"
        mixed(corpus.folder, shard, num_shards=number, shard_index=index, labels=labels)
    merge(shards[number // 2 :] + shards[: number // 2], tmp_path / "whole", ram_budget_mb=1)
    assert tree(tmp_path / "whole") == tree(mixture.folder)
    assert names_in(tmp_path) == [*(shard.name for shard in shards), "whole"]


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(mixture, corpus, tmp_path) -> None:
    labels = corpus.folder / "labels.csv"
    for files in (5, 17):
        mixed(corpus.folder, tmp_path / "model", labels=labels, max_files=files)
    told = mixed(corpus.folder, tmp_path / "model", labels=labels, jobs=2, ram_budget_mb=1)
    assert told.resumed_at > 5
    assert tree(tmp_path / "model") == tree(mixture.folder)


def test_the_order_of_the_list_and_copies_change_nothing_of_it(mixture, corpus, tmp_path) -> None:
    paths = sorted(corpus.paths)
    for number, order in enumerate((paths[::-1], paths + paths[:9])):
        (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in order))
        options = TrainOptions(model="mixture", dedup=False)
        train(listed(tmp_path / "list.txt"), tmp_path / f"{number}", options)
        assert own_bytes(tmp_path / f"{number}") == own_bytes(mixture.folder)


def test_min_count_leaves_it_alone(mixture, corpus, tmp_path) -> None:
    mixed(corpus.folder, tmp_path / "model", min_count=2, labels=corpus.folder / "labels.csv")
    assert own_bytes(tmp_path / "model") == own_bytes(mixture.folder)


def test_n_grams_are_those_of_a_model_without(mixture, plain) -> None:
    for name, content in tree(plain.folder).items():
        if name != "model.json":
            assert (mixture.folder / name).read_bytes() == content


def test_digests_are_those_of_the_machine_that_made_the_golden_file(tmp_path) -> None:
    made = runpy.run_path(str(GOLDEN / "groove_mixture.py"))["digests"](tmp_path)
    assert made == json.loads((GOLDEN / "groove_mixture.json").read_text())


@settings(max_examples=30, deadline=None)
@given(grids=st.lists(GRIDS, min_size=1, max_size=4), data=st.data())
def test_pieces_come_back_from_their_keys_once_each_whatever_their_numbers(grids, data) -> None:
    columns, _ = columns_and_streams(grids)
    numbers = data.draw(st.permutations(range(70))).copy()[: len(grids)]
    pieces = {repr((p.masks.tolist(), p.metre.tolist())) for p in pieces_of(columns, 4)}
    found = canonical(np.sort(piece_keys(columns, numbers, 4)))
    assert {repr((p.masks.tolist(), p.metre.tolist())) for p in found} == pieces
    assert len(found) == len(pieces)
    other = canonical(np.sort(piece_keys(columns, sorted(numbers), 4)))
    assert [p.masks.tolist() for p in found] == [p.masks.tolist() for p in other]


# --- scored and drawn from


def test_it_tells_more_than_n_grams_and_leaves_events_as_they_are(mixture, plain, corpus) -> None:
    labels = corpus.folder / "labels.csv"
    other = score_files(plain, corpus.folder, labels)
    found = score_files(mixture, corpus.folder, labels)
    assert found.bits_per_bar < 0.8 * other.bits_per_bar
    assert found.bits_per_bar_corpus == other.bits_per_bar_corpus
    assert found.bits_per_event == other.bits_per_event


@settings(max_examples=5, deadline=None)
@given(grids=st.lists(GRIDS, min_size=2, max_size=3))
def test_performances_are_told_together_as_alone(mixture, grids) -> None:
    together = step_probabilities(mixture, columns_and_streams(grids)[0])[1]
    alone = [step_probabilities(mixture, columns_and_streams([grid])[0])[1] for grid in grids]
    assert together.tolist() == np.concatenate(alone).tolist()


@pytest.mark.parametrize(
    "options",
    [{}, {"metre": "6/8"}, {"metre": "3/4", "style": "funk"}, {"temperature": 0.5, "top_k": 4}],
    ids=str,
)
def test_samples_are_whole_bars_and_the_same_for_a_seed(mixture, options) -> None:
    first, again, other = (
        sample(mixture, SampleOptions(bars=8, seed=seed, **options)) for seed in (1, 1, 2)
    )
    assert first.bars == 8
    assert first.midi == again.midi != other.midi
    assert set(first.masks.tolist()) <= set(mixture.stream("steps").targets.tolist())
    assert 0 < first.polyphony <= 1


def test_without_adapting_steps_are_drawn_from_n_grams(mixture, plain) -> None:
    options = SampleOptions(bars=4, seed=3, adapt=False)
    assert sample(mixture, options).midi == sample(plain, options).midi
    adapting = dataclasses.replace(options, adapt=True)
    assert sample(mixture, adapting).midi != sample(plain, adapting).midi


def test_a_prime_is_gone_on_with(mixture, tmp_path) -> None:
    prime = write_beat(tmp_path / "prime.mid", bars=4)
    found = sample(mixture, SampleOptions(bars=8, prime=prime, lock="kick"))
    alone = sample(mixture, SampleOptions(bars=8, lead_in=0))
    assert found.masks.tolist() != alone.masks.tolist()
    assert (found.masks & 1).nonzero()[0].tolist() == list(range(0, 128, 8))


def test_a_style_is_heard(mixture) -> None:
    wished = [sample(mixture, SampleOptions(bars=8, style=s)).midi for s in ("funk", "jazz")]
    assert wished[0] != wished[1]


# --- what is refused, and what is not loaded


@pytest.fixture
def copy(mixture, tmp_path):
    shutil.copytree(mixture.folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", OWN)
def test_a_damaged_array_is_told(copy, name) -> None:
    values = np.load(copy / name)
    np.save(copy / name, values[:-1])
    with pytest.raises(GrooveError, match=r"damaged: the mixture's arrays.*train or merge"):
        _ = open_model(copy).mixture
    np.save(copy / name, values.astype(np.float32))
    with pytest.raises(GrooveError, match="damaged"):
        _ = open_model(copy).mixture
    (copy / name).unlink()
    with pytest.raises(CachingError, match=name):
        _ = open_model(copy).mixture


def test_a_mixture_of_another_format_is_refused(copy) -> None:
    description = json.loads((copy / "model.json").read_text())
    description["mixture"]["format"] = 99
    (copy / "model.json").write_text(json.dumps(description))
    with pytest.raises(GrooveError, match="a mixture of format 99; this program reads"):
        _ = open_model(copy).mixture


def test_a_mixture_of_pitched_notes_is_refused() -> None:
    with pytest.raises(OptionsError, match="a mixture is of drum classes; leave --part out"):
        TrainOptions(model="mixture", part="all")


@pytest.mark.soak
def test_only_a_mixture_loads_the_compiler(plain, mixture, tmp_path) -> None:
    script = (
        "import sys; from workbench.cli import run; code = run(sys.argv[1:]); "
        "sys.exit(10 * code + ('numba' in sys.modules))"
    )
    for model, loads in ((plain, 0), (mixture, 1)):
        words = ["groove", "sample", str(model.folder), "-o", str(tmp_path / "new.mid")]
        command = [sys.executable, "-c", script, *words]
        assert subprocess.run(command, capture_output=True, check=False).returncode == loads


@pytest.mark.soak
def test_its_bytes_are_those_of_a_fresh_process_and_its_command_line(
    mixture, corpus, tmp_path, capsys
) -> None:
    output = tmp_path / "model"
    words = [str(corpus.folder), "-o", str(output), "--model", "mixture", "--no-progress", "--json"]
    labels = ["--labels", str(corpus.folder / "labels.csv")]
    script = "from workbench.cli import main; main()"
    command = [sys.executable, "-c", script, "groove", "train", *words, *labels]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_OPT": "1"}
    told = subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
    assert json.loads(told.stdout)["mixture"]["pieces"] == mixture.description["mixture"]["pieces"]
    assert tree(output) == tree(mixture.folder)
    assert run(["groove", "score", str(output), str(corpus.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_bar"] > 1
