"""The neural model: the same step by step and at once, kept as it was, scored and sampled from."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from corpora import names_in, trained, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from performances import GRIDS, columns_and_streams
from safetensors.torch import load_file
from tiny_networks import TINY, tokens_of

from workbench.cli import run
from workbench.demo.serving import served
from workbench.errors import CachingError, GrooveError
from workbench.groove.blend import (
    SPANS,
    Blend,
    blend_model,
    fitted_weights,
    open_blend,
    span_of,
    write_blend,
)
from workbench.groove.files import midi_files
from workbench.groove.labels import TEMPOS
from workbench.groove.learn import learn_model
from workbench.groove.model import open_model
from workbench.groove.network import NetworkShape, StepNetwork
from workbench.groove.neural import (
    NETWORK,
    WEIGHTS,
    NetworkDescription,
    NeuralModel,
    bars_of,
    open_neural,
    write_neural,
)
from workbench.groove.options import LearnOptions, SampleOptions, TrainOptions
from workbench.groove.pieces import Piece, pieces_of
from workbench.groove.sample import sample
from workbench.groove.score import score_files
from workbench.groove.streams import MASKS, place_codes
from workbench.groove.tokenize import open_tokens, pieces_in
from workbench.groove.train import train

SHAPE = NetworkShape(
    window=32,
    lookbacks=(1, 2, 3, 16),
    repeats=(1, 2),
    labels={"style": 2, "tempo": 3},
    width=16,
    heads=2,
    layers=2,
)
LABELS = {"style": ["funk", "rock"], "tempo": ["0", "66", "73"]}
EVERY_MASK = np.arange(MASKS)
CLOSE = {"rtol": 1e-3, "atol": 1e-7}


def network_of(shape=SHAPE, labels=LABELS, seed=3):
    """Return an invented network, far from where learning begins."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = StepNetwork(shape)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        for embedding in network.labels.values():
            torch.nn.init.normal_(embedding.weight, std=2.0)
        torch.nn.init.normal_(network.out.weight, std=1.0)
    described = NetworkDescription(shape=shape, resolution=4, labels=labels, learning={})
    return described, dict(network.state_dict())


@pytest.fixture(scope="module")
def neural():
    return NeuralModel(*network_of())


@pytest.fixture(scope="module")
def model(corpus, plain, tmp_path_factory):
    """A model that learned a little, beside its counts."""
    folder = tmp_path_factory.mktemp("neural")
    options = LearnOptions(**TINY | {"steps": 30, "width": 16, "learning_rate": 0.03})
    tokens = tokens_of(corpus, folder / "shards")
    learn_model(tokens, plain, folder / "model", options)
    return open_model(folder / "model")


def piece_of(length, seed=0, bar_steps=16):
    step = np.arange(length) % bar_steps
    place = place_codes(step, np.array(4), 4)
    metre = np.stack((place, step // 4, np.full(length, bar_steps), np.full(length, 4)), axis=1)
    masks = np.random.default_rng(seed).choice([0, 1, 5, 6, 260, 511], length)
    return Piece(masks=masks, metre=metre)


@given(length=st.integers(1, 120), seed=st.integers(0, 99), bar_steps=st.sampled_from((12, 16, 7)))
@settings(max_examples=10)
def test_step_by_step_and_at_once_give_the_same(neural, length, seed, bar_steps) -> None:
    piece = piece_of(length, seed, bar_steps)
    labels = {"style": "rock"} if seed % 2 else {}
    whole = neural.probabilities(piece, labels)
    going = neural.begun(EVERY_MASK, labels)
    for step, mask in enumerate(piece.masks.tolist()):
        where = tuple(piece.metre[step].tolist())
        if step % 3:  # a step may be taken without having been asked for
            told = going.probabilities(where)
            assert told.sum() == pytest.approx(1.0)
            np.testing.assert_allclose(told[mask], whole[step], **CLOSE)
        going.take(where, mask)


@given(length=st.integers(2, 120), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=20)
def test_no_probability_depends_on_a_later_step(neural, length, seed, data) -> None:
    piece = piece_of(length, seed)
    step = data.draw(st.integers(0, length - 1))
    changed = Piece(masks=piece.masks.copy(), metre=piece.metre)
    changed.masks[step + 1 :] = MASKS - 1 - changed.masks[step + 1 :]
    one, other = neural.probabilities(piece), neural.probabilities(changed)
    assert one[: step + 1].tolist() == other[: step + 1].tolist()
    assert (one > 0).all()
    if step < length - 1:
        assert one[step + 1] != other[step + 1]
    cut = Piece(masks=piece.masks[: step + 1], metre=piece.metre[: step + 1])
    np.testing.assert_allclose(neural.probabilities(cut), one[: step + 1], **CLOSE)


def test_labels_are_known_by_name_and_others_are_as_none(neural) -> None:
    piece = piece_of(40)
    plain = neural.probabilities(piece).tolist()
    assert neural.probabilities(piece, {"style": "polka", "mood": "sad"}).tolist() == plain
    assert neural.probabilities(piece, {"style": "funk"}).tolist() != plain


@given(grid=GRIDS)
@settings(max_examples=20)
def test_bars_count_from_the_start_whatever_the_metre(grid) -> None:
    columns, _ = columns_and_streams([grid])
    (piece,) = pieces_of(columns, 4)
    expected = np.repeat(np.arange(len(grid.bar_steps)), grid.bar_steps)
    assert bars_of(piece).tolist() == expected.tolist()


def test_a_model_opens_as_it_was_written(plain, tmp_path) -> None:
    shape = NetworkShape(labels=SHAPE.labels, width=16, heads=2, layers=1)
    described, weights = network_of(shape)
    write_neural(tmp_path / "model", plain, described, weights)
    assert names_in(tmp_path / "model") == sorted([*names_in(plain.folder), NETWORK, WEIGHTS])
    opened = open_neural(tmp_path / "model")
    assert opened.description == described
    piece = piece_of(300)
    before = NeuralModel(described, weights).probabilities(piece, {"style": "funk"})
    assert opened.probabilities(piece, {"style": "funk"}).tolist() == before.tolist()
    first = tree(tmp_path / "model")
    write_neural(tmp_path / "model", plain, described, weights)
    assert tree(tmp_path / "model") == first


def test_it_predicts_in_one_thread_whatever_is_set(neural) -> None:
    seen, before = [], torch.get_num_threads()
    hook = neural._network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    neural.probabilities(piece_of(40))
    neural.begun(EVERY_MASK).probabilities((0, 6, 16, 4))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    hook.remove()
    assert set(seen) == {1}


def test_damaged_networks_are_refused_by_name(plain, tmp_path) -> None:
    described, weights = network_of()
    folder = write_neural(tmp_path / "model", plain, described, weights).folder
    whole = json.loads((folder / NETWORK).read_text())
    for change in ({"format": 99}, {"shape": {}}, {"shape": whole["shape"] | {"width": 32}}):
        (folder / NETWORK).write_text(json.dumps(whole | change))
        with pytest.raises(GrooveError, match="network"):
            open_neural(folder)
    (folder / NETWORK).write_text(json.dumps(whole))
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:200])
    with pytest.raises(GrooveError, match="workbench groove learn"):
        open_neural(folder)


def test_a_network_stands_beside_counts_of_the_same_grid_only(corpus, tmp_path) -> None:
    fine = trained(corpus.folder, tmp_path / "fine", resolution=12).model
    with pytest.raises(GrooveError, match="12 steps a quarter"):
        write_neural(tmp_path / "model", fine, *network_of())
    assert not (tmp_path / "model").exists()


def test_what_is_at_the_place_of_the_model_stays(plain, tmp_path) -> None:
    (tmp_path / "poem.txt").write_text("ride")
    with pytest.raises(CachingError, match="holds something else"):
        write_neural(tmp_path, plain, *network_of())


def test_learning_ends_in_a_model_and_leaves_no_checkpoint(model) -> None:
    assert names_in(model.folder.parent) == ["model", "shards"]
    said = json.loads((model.folder / NETWORK).read_text())
    assert said["learning"]["steps"] == 30
    best = min(look["bits_per_bar"] for look in said["learning"]["history"])
    assert said["learning"]["best"]["bits_per_bar"] == best
    assert all(w.dtype == torch.float32 for w in load_file(model.folder / WEIGHTS).values())


def test_a_neural_model_is_scored_as_another_one_is(model, plain, corpus) -> None:
    mine = score_files(model, corpus.folder, corpus.folder / "labels.csv")
    counted = score_files(plain, corpus.folder, corpus.folder / "labels.csv")
    assert mine.bits_per_event == counted.bits_per_event
    assert mine.bits_per_bar_corpus == counted.bits_per_bar_corpus
    assert mine.bits_per_bar != counted.bits_per_bar
    assert 0 < mine.bits_per_bar < 0.6 * 16 * np.log2(MASKS)
    assert mine.bits_per_bar != score_files(model, corpus.folder).bits_per_bar  # labels tell


def test_samples_of_a_neural_model_are_its_own_and_of_their_seed(model, plain) -> None:
    drawn = [sample(model, SampleOptions(bars=4, seed=seed)).midi for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != sample(plain, SampleOptions(bars=4, seed=1)).midi
    unadapted = SampleOptions(bars=4, seed=1, adapt=False)
    assert sample(model, unadapted).midi == sample(plain, unadapted).midi


def test_a_sample_knows_its_labels_and_its_tempo(plain, tmp_path) -> None:
    labels = plain.labels | {"tempo": TEMPOS}
    shape = NetworkShape(labels={kind: len(known) for kind, known in labels.items()}, width=16)
    told = write_neural(tmp_path / "model", plain, *network_of(shape, labels))
    asked = {"bars": 2, "seed": 4, "bpm": 60.0}
    slow = sample(told, SampleOptions(**asked)).masks.tolist()
    assert sample(told, SampleOptions(**asked | {"bpm": 62.0})).masks.tolist() == slow
    assert sample(told, SampleOptions(**asked | {"bpm": 220.0})).masks.tolist() != slow
    styled = SampleOptions(**asked, style=plain.labels["style"][0])
    assert sample(told, styled).masks.tolist() != slow


@given(data=st.data(), length=st.integers(1, 60))
@settings(max_examples=6)
def test_a_blend_lies_between_its_parts(neural, data, length) -> None:
    other = NeuralModel(*network_of(seed=9))
    weights = data.draw(st.tuples(*[st.floats(0, 1)] * len(SPANS)))
    blend = Blend(network=neural, mixture=other, weights=weights)
    piece = piece_of(length, bar_steps=4)
    one, two = neural.probabilities(piece), other.probabilities(piece)
    found = blend.probabilities(piece)
    share = np.array(weights)[span_of(bars_of(piece))]
    np.testing.assert_allclose(found, share * one + (1 - share) * two)
    going = blend.begun(EVERY_MASK)
    for step, mask in enumerate(piece.masks.tolist()):
        where = tuple(piece.metre[step].tolist())
        np.testing.assert_allclose(going.probabilities(where)[mask], found[step], **CLOSE)
        going.take(where, mask)


def test_weights_are_those_that_make_the_pieces_likeliest() -> None:
    generator = np.random.default_rng(5)
    n = 20_000
    bars = generator.integers(0, 20, n)
    one, other = generator.uniform(0.01, 1, n), generator.uniform(0.01, 1, n)
    weights = fitted_weights(one, other, bars)
    for span, weight in enumerate(weights):
        here = span_of(bars) == span

        def bits(share, here=here):
            return -np.log2(share * one[here] + (1 - share) * other[here]).sum()

        assert 0.2 < weight < 0.8
        assert bits(weight) < min(bits(weight - 0.05), bits(weight + 0.05))
    better = fitted_weights(np.full(500, 0.9), np.full(500, 0.1), np.zeros(500, int))
    assert better[0] > 0.95
    assert better[1:] == (0.5,) * (len(SPANS) - 1)  # nothing is known of later bars


def test_weights_are_kept_and_damaged_ones_refused(neural, tmp_path) -> None:
    weights = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    write_blend(tmp_path, weights)
    assert open_blend(tmp_path, neural, neural).weights == weights
    said = json.loads((tmp_path / "blend.json").read_text())
    for change in ({"format": 2}, {"weights": [0.5]}, {"weights": [2.0] * 6}, {"spans": [0]}):
        (tmp_path / "blend.json").write_text(json.dumps(said | change))
        with pytest.raises(GrooveError, match="blend the model again"):
            open_blend(tmp_path, neural, neural)


def test_a_network_of_another_shape_is_refused(plain, tmp_path) -> None:
    described, weights = network_of()
    folder = write_neural(tmp_path / "model", plain, described, weights).folder
    other, their_weights = network_of(NetworkShape(width=8, heads=2, layers=1), {})
    shutil.rmtree(tmp_path / "other", ignore_errors=True)
    shutil.copy(
        write_neural(tmp_path / "other", plain, other, their_weights).folder / WEIGHTS, folder
    )
    with pytest.raises(GrooveError, match="another network"):
        open_neural(folder)


@pytest.fixture(scope="module")
def blended(corpus, model, tmp_path_factory):
    """A model whose network and mixture are weighed, what it was made of, and its shards."""
    folder = tmp_path_factory.mktemp("blend")
    tokens = open_tokens(model.folder.with_name("shards"))
    labels = corpus.folder / "labels.csv"
    counted = trained(corpus.folder, folder / "mixture", labels=labels, model="mixture").model
    network = open_neural(model.folder)
    weights = load_file(model.folder / WEIGHTS)
    both = write_neural(folder / "both", counted, network.description, weights)
    return blend_model(both, tokens, folder / "blended"), counted, tokens


def test_a_blend_leans_on_what_predicts_better(blended) -> None:
    told = blended[0].bits_per_bar
    # the doubt counts for something, with so few steps and so poor a network
    assert told["blend"] <= min(told["network"], told["mixture"]) + 0.5
    assert told["network"] > told["mixture"]
    assert max(blended[0].weights) < 0.6
    assert blended[0].pieces == blended[2].description["pieces"]["held"]
    assert isinstance(blended[0].model.predictor, Blend)
    assert blended[0].model.predictor.weights == blended[0].weights


def test_pieces_are_weighed_as_if_the_mixture_had_not_counted_them(
    blended, corpus, tmp_path
) -> None:
    counted, tokens = blended[1], blended[2]
    pieces = list(pieces_in(tokens, "held"))
    known = np.concatenate([counted.mixture.probabilities(piece) for piece in pieces])
    told = blended[0].bits_per_bar["mixture"]
    assert -np.log2(known).mean() * 16 < told
    others = tmp_path / "others.txt"
    shards = [pq.read_table(file.url).to_pylist() for file in tokens.source("train").files]
    paths = {str(corpus.folder / row["file"]) for rows in shards for row in rows}
    others.write_text("\n".join(sorted(paths)))
    options = TrainOptions(model="mixture", progress=False)
    apart = train(midi_files(others), tmp_path / "apart", options).model
    unknown = np.concatenate([apart.mixture.probabilities(piece) for piece in pieces])
    assert told == pytest.approx(-np.log2(unknown).mean() * 16)


def test_a_blend_is_scored_and_sampled_from(blended, corpus) -> None:
    model, counted = blended[0].model, blended[1]
    mine, theirs = (score_files(each, corpus.folder).bits_per_bar for each in (model, counted))
    assert 0 < mine != theirs
    drawn = [sample(model, SampleOptions(bars=2, seed=seed)).midi for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_blend_needs_both_and_pieces_held_out(blended, model, corpus, tmp_path) -> None:
    done, counted, tokens = blended
    with pytest.raises(GrooveError, match="has no network"):
        blend_model(counted, tokens, tmp_path / "model")
    with pytest.raises(GrooveError, match="has no mixture"):
        blend_model(model, tokens, tmp_path / "model")
    with pytest.raises(GrooveError, match="--held-out"):
        none = tokens_of(corpus, tmp_path / "shards", held_out=0)
        blend_model(done.model, none, tmp_path / "model")
    assert names_in(tmp_path) == ["shards"]


def test_the_command_line_leads_from_files_to_a_model(corpus, plain, tmp_path, capsys) -> None:
    labels, output = str(corpus.folder / "labels.csv"), str(tmp_path / "model")
    shards = str(tmp_path / "shards")
    tokenize = ["--labels", labels, "--held-out", "0.2"]
    assert run(["groove", "tokenize", str(corpus.folder), "-o", shards, *tokenize]) == 0
    flags = ["--steps", "4", "--width", "8", "--layers", "1", "--heads", "2", "--batch-rows", "4"]
    flags += ["--validate-every", "2", "--threads", "1", "--no-progress", "--json"]
    capsys.readouterr()
    learn = ["groove", "learn", shards, "--counted", str(plain.folder), "-o", output]
    assert run([*learn, *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["steps"], len(told["history"])) == (4, 2)
    assert isinstance(open_model(tmp_path / "model").predictor, NeuralModel)
    assert run(["groove", "blend", output, shards, "-o", str(tmp_path / "both")]) == 1
    assert "has no mixture" in capsys.readouterr().err
    assert names_in(tmp_path) == ["model", "shards"]


def test_a_model_learned_from_a_servers_shards_is_that_of_the_folder(
    corpus, plain, tmp_path, capsys, caplog
) -> None:
    caplog.set_level("INFO", "workbench.groove.learn")
    tokens = tokens_of(corpus, tmp_path / "shards", shard_rows=64)
    lines = ["groove", "learn", str(tokens.folder), "--counted", str(plain.folder), "--json"]
    lines += ["--steps", "4", "--width", "8", "--layers", "1", "--heads", "2", "--threads", "1"]
    lines += ["--batch-rows", "16", "--validate-every", "2", "--no-progress"]
    assert run([*lines, "-o", str(tmp_path / "here")]) == 0
    shutil.copytree(tokens.folder, tmp_path / "far")
    with served(tmp_path / "far") as url:
        for path in tokens.folder.glob("train*.parquet"):
            path.unlink()
        flags = ["--shards-at", url, "--streaming-buffer-size", "1", "--streaming-min-free-mb", "0"]
        caplog.clear()
        assert run([*lines, *flags, "--log-every", "2", "-o", str(tmp_path / "there")]) == 0
        told = [r.getMessage() for r in caplog.records if "batches" in r.getMessage()]
        assert len(told) == 2
        assert re.search(r"steps/s \d+, wait [\d.e-]+, fetched \d, buffer \d, shard \d", told[0])
        assert run([*lines, *flags, "--streaming-total-shards", "99", "-o", "no"]) == 2
    assert "has 2 shards" in capsys.readouterr().err
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_only_what_learns_or_predicts_imports_torch() -> None:
    code = "import sys, workbench.groove.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
