"""A writer of maps as a folder: round trips, and what is refused by name."""

import json
import os
import pickle
import random
from dataclasses import replace

import pytest
import torch
from small_networks import KINDS, heard_of, made_features, made_network, made_writer

from workbench.beatmap.writer.generating import Request, write_song
from workbench.beatmap.writer.model import (
    CARD,
    WEIGHTS,
    make_writer,
    open_writer,
    read_card,
    write_writer,
)
from workbench.beatmap.writer.options import ChartWindowOptions
from workbench.errors import BeatmapError, CachingError

CUT = ChartWindowOptions(bars=2, context=1)


def written(folder, seed=0, name="extended", kernel=0, **more):
    """Return a writer, and write it to a folder."""
    network = made_network(seed, name, kernel, styles=2, odds=-4.0)
    writer = made_writer(network, CUT)
    card = replace(writer.card, styles=("Ada", "Bo"), learning={"songs": 3, "looks": [0.5]}, **more)
    write_writer(folder, card, network.state_dict())
    return replace(writer, card=card)


def changed(folder, change):
    """Change what the card of a model says."""
    said = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(change(said) or said))


# --- round trips


@pytest.mark.parametrize(("name", "kernel"), KINDS)
def test_a_model_that_is_opened_is_the_one_that_was_written(tmp_path, name, kernel):
    writer = written(tmp_path / "model", 3, name, kernel)
    again = open_writer(tmp_path / "model")
    assert again.card == writer.card == read_card(tmp_path / "model")
    mine, its = writer.network.state_dict(), again.network.state_dict()
    assert list(mine) == list(its)
    assert all(torch.equal(mine[key], its[key]) for key in mine)
    assert not again.network.training
    assert not any(weight.requires_grad for weight in again.network.parameters())
    request, features = Request(difficulty=2, seed=5), made_features(4)
    maps = [write_song(each, features, [request])[0].tolist() for each in (writer, again)]
    assert maps[0] == maps[1]


def test_a_model_is_a_card_and_safetensors_and_the_same_twice(tmp_path):
    for name in ("one", "two"):
        written(tmp_path / name)
    files = [{f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("one", "two")]
    assert set(files[0]) == {CARD, WEIGHTS}
    assert files[0] == files[1]
    assert json.loads(files[0][CARD])["learning"] == {"songs": 3, "looks": [0.5]}


def test_weights_are_kept_in_32_bits_whatever_they_were(tmp_path):
    writer = written(tmp_path / "model")
    halves = {key: weight.bfloat16() for key, weight in writer.network.state_dict().items()}
    opened = make_writer(writer.card, halves)
    assert {weight.dtype for weight in opened.network.state_dict().values()} == {torch.float32}


def test_a_writer_has_weights_of_its_own_and_draws_none():
    writer = made_writer(made_network(1), CUT)
    weights = writer.network.state_dict()
    states = torch.get_rng_state(), random.getstate()
    other = make_writer(writer.card, weights)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    before = heard_of(other.network, 1, 1).quiet
    for weight in weights.values():
        weight.zero_()
    assert torch.equal(heard_of(other.network, 1, 1).quiet, before)


def test_styles_are_known_by_name(tmp_path):
    card = written(tmp_path / "model").card
    assert [card.style(name) for name in ("", "Ada", "Bo")] == [0, 1, 2]
    with pytest.raises(BeatmapError, match=r"'Adda' is none that the model knows \(Ada, Bo\).*Ada"):
        card.style("Adda")


# --- whole or not at all


def test_a_model_takes_the_place_of_another_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    first = written(folder, 1)
    weights = first.network.state_dict()
    with pytest.raises((ValueError, AttributeError)):
        write_writer(folder, first.card, weights | {"out.bias": None})
    assert open_writer(folder).card == first.card
    second = written(folder, 2)
    assert torch.equal(open_writer(folder).network.out.weight, second.network.out.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_no_model_is_never_written_over(tmp_path):
    writer = made_writer(made_network(0), CUT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CachingError, match="mine"):
        write_writer(tmp_path / "mine", writer.card, writer.network.state_dict())
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


# --- what is refused


def test_a_folder_without_a_card_is_no_model(tmp_path):
    with pytest.raises(BeatmapError, match=f"nothing: holds no {CARD}.*workbench beatmap train"):
        open_writer(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda said: said.update(format=99), "is of version 99 and features"),
        (lambda said: said.update(features=1), "and features 1, this program's"),
        (lambda said: said["shape"].update(vocabulary="292"), "vocabulary '292' is none"),
        (lambda said: said["shape"].update(width=30), "no multiple of four times"),
        (lambda said: said["shape"].update(heads=0), "at least 1"),
        (lambda said: said["shape"].update(width="wide"), CARD),
        (lambda said: said["shape"].update(depth=3), "depth"),
        (lambda said: said["spec"].update(n_mels=80), "numbers for other channels"),
        (lambda said: said["cut"].update(bars=0), "bars"),
        (lambda said: said.update(mean=["loud"]), "loud"),
        (lambda said: said.update(mean=said["mean"][:-1]), "mean has 7 numbers"),
        (lambda said: said.pop("styles") and None, "styles"),
        (lambda said: said.update(more=1), "more"),
        (lambda said: [said], CARD),
    ],
)
def test_a_card_that_is_damaged_or_of_another_version_is_refused(tmp_path, change, told):
    folder = tmp_path / "model"
    written(folder)
    changed(folder, change)
    with pytest.raises(BeatmapError, match=told) as caught:
        open_writer(folder)
    assert str(folder) in str(caught.value)
    assert "train again" in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"null", b"3"])
def test_a_card_that_is_no_json_is_refused(tmp_path, text):
    written(tmp_path / "model")
    (tmp_path / "model" / CARD).write_bytes(text)
    with pytest.raises(BeatmapError, match=f"{CARD}: cannot be used"):
        read_card(tmp_path / "model")


@pytest.mark.parametrize(
    "changes", [{"width": 32}, {"vocabulary": "291"}, {"kernel": 5}, {"styles": 7}, {"hidden": 8}]
)
def test_weights_of_another_network_than_the_card_are_refused(tmp_path, changes):
    folder = tmp_path / "model"
    written(folder)
    changed(folder, lambda said: said["shape"].update(changes))
    with pytest.raises(BeatmapError, match=r"of another network than the card.*train again"):
        open_writer(folder)


def test_a_card_of_a_network_too_large_to_be_is_refused_at_once(tmp_path):
    folder = tmp_path / "model"
    written(folder)
    changed(folder, lambda said: said["shape"].update(width=8_000_000))
    with pytest.raises(BeatmapError, match="of another network"):
        open_writer(folder)


class _Burglar:
    def __reduce__(self):
        return os.mkdir, ("burgled",)


@pytest.mark.parametrize("kind", ["missing", "short", "pickle", "torch", "text"])
def test_weights_that_cannot_be_read_are_refused_and_nothing_is_run(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    written(folder)
    path = folder / WEIGHTS
    whole = path.read_bytes()
    path.unlink()
    if kind == "torch":
        torch.save({"out.bias": _Burglar()}, path)
    elif kind != "missing":
        texts = {"short": whole[:-100], "pickle": pickle.dumps(_Burglar()), "text": b"weights"}
        path.write_bytes(texts[kind])
    with pytest.raises(BeatmapError, match=f"{WEIGHTS}: cannot be read.*train again"):
        open_writer(folder)
    assert not (tmp_path / "burgled").exists()
