"""Training of writers: they hear, equal seeds give equal bits, killed or not, alone or together."""

import csv
import dataclasses
import json
import logging
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drum_corpora import CUT, SPEC, TINY, data_of, drum_corpus
from lightning.pytorch.callbacks import Callback
from train_maps_once import run

from workbench.beatmap.writer.looking import listened, wish_of_batch
from workbench.beatmap.writer.losses import imbalance, resets
from workbench.beatmap.writer.model import open_writer
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.tokens import VOCABULARY_291
from workbench.beatmap.writer.training import (
    MapLearner,
    shape_of,
    some_windows,
    told,
    train,
    train_model,
)
from workbench.errors import CachingError, LearningError, OptionsError
from workbench.learning.interruption import StopsAt

SCRIPT = Path(__file__).with_name("train_maps_once.py")
FIELDS = {field.name for field in dataclasses.fields(TrainOptions)}
TESTED: set[str] = set()
STEPS = 58  # so that 50 are left after a kill
HEARS = {"dropout": 0.0, "warm_up": 5, "learning_rate": 3e-3, "width": 64, "heads": 4}
HEARS |= {"hidden": 128, "steps": 30, "validate_every": 15, "look_windows": 8}


def flag(*names):
    """Say which options a test is the test of."""
    assert set(names) <= FIELDS
    TESTED.update(names)
    return lambda test: test


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """24 drum songs of 32 beats, their store and their features."""
    return drum_corpus(tmp_path_factory.mktemp("drums"))


@pytest.fixture(scope="module")
def data(root):
    return data_of(root)


def trained(data, folder, *callbacks, **options):
    options = replace(TINY, **options)
    return train(data, SPEC.spec, Path(folder), options, cut=CUT, callbacks=callbacks)


@pytest.fixture
def short(data, tmp_path):
    """Trains some steps, each time in another folder."""
    made = []

    def work(*callbacks, **options):
        made.append(len(made))
        return trained(data, tmp_path / f"run {made[-1]}", *callbacks, **{"steps": 3} | options)

    return work


def straight_of(root, folder, **options):
    told = {"folder": str(folder / "run"), "options": options}
    return run(root, told), lines_of(folder / "run.txt")


@pytest.fixture(scope="module")
def straight(root, tmp_path_factory):
    """A run that nothing interrupts, and what it was given."""
    return straight_of(root, tmp_path_factory.mktemp("straight"), steps=STEPS)


@pytest.fixture(scope="module")
def by_twos(root, tmp_path_factory):
    """Likewise, two batches a step."""
    folder = tmp_path_factory.mktemp("by twos")
    return straight_of(root, folder, steps=STEPS // 2, accumulate=2)


def lines_of(path):
    """Return loss and windows of each batch and rank; what came again must be the same."""
    found = {}
    for line in path.read_text().splitlines():
        number, rank, *rest = line.split(" ")
        found.setdefault((int(number), int(rank)), []).append(rest)
    for lines in found.values():
        assert all(each == lines[0] for each in lines)
    return {key: lines[0] for key, lines in sorted(found.items())}


def assert_same(one, other):
    assert one.losses == other.losses
    assert one.history == other.history
    assert_same_weights(one, other)


def assert_same_weights(one, other):
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def differ(one, other):
    return any(not torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


class StoppedError(Exception):
    """Ends a run from within."""


class RaisesAt(Callback):
    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_start(self, trainer, module, *_):
        if len(module.losses) == self.batch:
            raise StoppedError


# --- what it learns


@flag("look_windows", "learning_rate")
def test_maps_of_unseen_drum_songs_follow_their_sound_and_no_other(root, tmp_path):
    data = data_of(root, validation=0.15, test=0.2)
    run = trained(data, tmp_path / "run", **HEARS)
    assert set(run.best.listened) == set(run.history[0].listened) >= {"onset_f1_shuffled_50ms"}
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]
    numbers = listened(run.writer().network, data, some_windows(batches, 99)).numbers()
    assert numbers["onset_f1_50ms"] >= 0.9
    assert numbers["onset_f1_shuffled_50ms"] <= 0.6
    songs = run.card.learning["songs"]
    assert sum(songs.values()) == 24
    assert min(songs.values()) > 1


def test_what_is_kept_tells_as_the_best_look_said_and_the_card_holds_all_looks(data, tmp_path):
    options = replace(TINY, learning_rate=0.2, steps=30, validate_every=3, patience=2)
    kept = train_model(data, SPEC.spec, tmp_path / "model", options, cut=CUT)
    held = [look.nats_per_note for look in kept.history]
    assert min(held) < held[-1]
    assert len(held) - 1 - held.index(min(held)) == 2
    assert kept.steps == 3 * len(held) < 30
    writer = open_writer(tmp_path / "model")
    assert nats_per_note(writer.network, data) == pytest.approx(min(held), rel=1e-5)
    told = writer.card.learning
    assert [look["nats_per_note"] for look in told["history"]] == held
    assert (told["steps"], told["options"]["learning_rate"]) == (kept.steps, 0.2)
    assert told["data"] == dataclasses.asdict(data.options)
    assert told["windows"] == {part: len(found) for part, found in data.corpus.part.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def nats_per_note(network, data):
    nats = notes = 0
    network = network.eval()
    for raw in data.val_dataloader():
        batch = data.on_after_batch_transfer(raw, 0)
        with torch.no_grad():
            lesson, costs = told(network, batch, wish_of_batch(batch))
        counts = batch["counted"][:, None] & lesson.is_taught
        nats += (costs.nats * counts).sum(dtype=torch.float64)
        names = [VOCABULARY_291.name(token) for token in lesson.targets[counts].tolist()]
        notes += sum(n.startswith(("LEFT", "RIGHT")) and "empty" not in n for n in names)
    return float(nats / notes)


def test_without_songs_held_out_the_last_average_is_kept(root, tmp_path):
    run = trained(data_of(root, validation=0.0), tmp_path / "run", steps=4)
    assert run.history == ()
    assert run.best is None
    assert run.steps == len(run.losses) == 4
    assert all(torch.isfinite(value).all() for value in run.weights.values())


# --- equal bits


def test_equal_seeds_give_equal_bits_and_others_do_not(root, data, tmp_path):
    runs = [trained(data, tmp_path / name, steps=5) for name in "ab"]
    assert_same(*runs)
    other = trained(data_of(root, seed=4), tmp_path / "c", steps=5)
    assert other.losses[0] != runs[0].losses[0]


@pytest.mark.parametrize(
    ("accumulate", "step"),
    [(1, 7), (2, 5), pytest.param(2, 3, marks=pytest.mark.soak)],  # of none, and of a look
)
def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(root, tmp_path, accumulate, step):
    steps = 12 // accumulate
    whole, lines = straight_of(root, tmp_path / "whole", steps=steps, accumulate=accumulate)
    told = {"folder": str(tmp_path / "run"), "options": {"accumulate": accumulate}}
    told["options"]["steps"] = whole.steps
    first = run(root, told, lambda progress: None, StopsAt(step))
    assert (first.steps, len(first.losses)) == (step, accumulate * step)
    again = run(root, told)
    assert again.resumed_at == step
    assert_same(again, whole)
    assert lines_of(tmp_path / "run.txt") == lines
    assert len((tmp_path / "run.txt").read_text().splitlines()) == len(lines)  # none came twice


@flag("save_every")
def test_a_run_that_fails_twice_between_two_batches_of_a_step_takes_whole_steps(data, tmp_path):
    options = {"steps": 6, "accumulate": 2, "save_every": 1, "validate_every": 9}
    whole = trained(data, tmp_path / "whole", **options)
    for batch in (5, 5, 7):
        with pytest.raises(StoppedError):
            trained(data, tmp_path / "run", RaisesAt(batch), **options)
    again = trained(data, tmp_path / "run", **options)
    assert again.resumed_at == 3
    assert_same(again, whole)


@pytest.fixture(scope="module")
def after_kills(root, tmp_path_factory):
    """Two runs that were killed in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("killed")
    runs = [
        {"folder": str(folder / "one"), "options": {"steps": STEPS}, "kills": [3, 7]},
        {"folder": str(folder / "two"), "options": {"steps": STEPS // 2, "accumulate": 2}},
    ]
    runs[1]["kills"] = [3]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps({"root": str(root), "runs": runs})],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return runs


@flag("accumulate")
@pytest.mark.soak
@pytest.mark.parametrize(("number", "runs"), [(0, "straight"), (1, "by_twos")])
def test_a_killed_run_goes_on_with_the_very_windows_and_losses(
    root, after_kills, request, number, runs
):
    whole, lines = request.getfixturevalue(runs)
    again = run(root, after_kills[number])
    accumulate = number + 1
    assert 0 < again.resumed_at <= 8
    assert len(again.losses) - accumulate * again.resumed_at >= 50
    assert_same(again, whole)
    assert lines_of(Path(after_kills[number]["folder"]).with_suffix(".txt")) == lines


@pytest.mark.soak
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_killed_ten_times_ends_in_the_same_bits(root, tmp_path, accumulate):
    options = {"steps": 120, "accumulate": accumulate, "save_every": 3}
    whole, lines = straight_of(root, tmp_path / "whole", **options)
    kills = sorted(random.Random(accumulate).sample(range(4, 116), 10))
    told = {"folder": str(tmp_path / "run"), "options": options, "kills": kills}
    order = [sys.executable, str(SCRIPT), json.dumps({"root": str(root), "runs": [told]})]
    subprocess.run(order, check=True, timeout=600)
    again = run(root, told)
    assert again.resumed_at >= kills[-1] - 3
    assert_same(again, whole)
    assert lines_of(tmp_path / "run.txt") == lines


def test_every_window_of_an_epoch_comes_once_and_epochs_differ(straight, data):
    _, lines = straight
    windows = [lines[number, 0][1].split(",") for number in range(STEPS)]
    a_epoch = len(data.train_dataloader())
    assert 3 * a_epoch <= STEPS
    epochs = [windows[e * a_epoch : (e + 1) * a_epoch] for e in range(3)]
    for epoch in epochs:
        assert max(Counter(window for batch in epoch for window in batch).values()) == 1
    assert epochs[0] != epochs[1] != epochs[2]


@flag("patience")
def test_a_run_that_got_no_better_is_not_gone_on_with(data, tmp_path):
    options = {"learning_rate": 0.5, "steps": 24, "validate_every": 2, "patience": 1}
    ended = trained(data, tmp_path / "run", **options)
    assert 4 <= ended.steps < 24
    again = trained(data, tmp_path / "run", RaisesAt(len(ended.losses)), **options)
    assert again.resumed_at == again.steps == ended.steps
    assert_same(again, ended)
    stopped = trained(data, tmp_path / "parts", StopsAt(ended.steps - 3), **options)
    assert stopped.steps == ended.steps - 3
    assert_same(trained(data, tmp_path / "parts", **options), ended)
    patient = trained(data, tmp_path / "run", **options | {"patience": 0})
    assert (patient.resumed_at, patient.steps) == (ended.steps, 24)


def test_a_finished_run_is_not_run_again(data, tmp_path):
    first = trained(data, tmp_path / "run", steps=6)
    again = trained(data, tmp_path / "run", RaisesAt(6), steps=6)
    assert again.resumed_at == again.steps == 6
    assert_same(again, first)


def test_another_trainings_checkpoint_is_refused_by_name(root, data, tmp_path):
    first = trained(data, tmp_path / "run", steps=2)
    named = r"last\.ckpt: is of other data or other options"
    for options in ({"dropout": 0.3}, {"width": 32}, {"steps": 3}, {"accumulate": 2}):
        with pytest.raises(LearningError, match=named):
            trained(data, tmp_path / "run", **{"steps": 2} | options)
    for changes in ({"seed": 4}, {"validation": 0.3}, {"spans": 1}, {"batch_size": 4}):
        with pytest.raises(LearningError, match=named):
            trained(data_of(root, **changes), tmp_path / "run", steps=2)
    free = {"log_every": 1, "save_every": 9, "patience": 1, "threads": 2}
    assert_same(trained(data, tmp_path / "run", steps=2, **free), first)
    path = tmp_path / "run" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LearningError, match="delete it to start over"):
        trained(data, tmp_path / "run", steps=2)
    (tmp_path / "poem.txt").write_text("snare")
    with pytest.raises(CachingError, match="holds something else"):
        trained(data, tmp_path, steps=2)


def test_a_checkpoint_of_windows_cut_otherwise_is_refused(root, tmp_path):
    cut = replace(CUT, bars=4)
    trained(data_of(root, cut, test=0.3), tmp_path / "run", steps=2)
    other = data_of(root, replace(cut, stride=2), test=0.3)
    with pytest.raises(LearningError, match="is of other data"):
        train(other, SPEC.spec, tmp_path / "run", replace(TINY, steps=2))


def test_training_leaves_generator_and_settings_as_they_were(data, tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_num_threads()
    trained(data, tmp_path / "run", steps=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    assert not torch.are_deterministic_algorithms_enabled()


# --- several processes

TOGETHER = {"steps": 12, "dropout": 0.0, "wish_dropout": 0.0, "look_windows": 4}
PLAIN = {"bands": 0, "spans": 0}


@pytest.fixture(scope="module")
def alone(root, tmp_path_factory):
    """One process, with batches of 16."""
    folder = tmp_path_factory.mktemp("alone")
    told = {"folder": str(folder / "run"), "options": TOGETHER}
    told["data"] = PLAIN | {"batch_size": 16}
    return run(root, told), lines_of(folder / "run.txt")


def together(root, folder, **options):
    """Return what two processes are told, with batches of 8."""
    told = {"folder": str(folder / "run"), "options": TOGETHER | options}
    return json.dumps({"root": str(root), "runs": [told | {"data": PLAIN | {"batch_size": 8}}]})


def assert_learnt_as_one(folder, alone):
    whole, lines = alone
    both = lines_of(folder / "run.txt")
    assert len(both) == 2 * len(lines)
    for (number, _), (loss, windows) in lines.items():
        halves = [both[number, rank] for rank in (0, 1)]
        shared = sorted(w for _, half in halves for w in half.split(","))
        assert shared == sorted(windows.split(","))
        for found, _ in halves:
            assert float.fromhex(found) == pytest.approx(float.fromhex(loss), rel=1e-4)
    held = json.loads((folder / "run.json").read_text())
    assert held == pytest.approx([look.nats_per_note for look in whole.history], rel=1e-4)


@flag("devices")
@pytest.mark.soak
def test_two_processes_learn_from_the_same_windows_as_one_and_alike(root, alone, tmp_path):
    order = [sys.executable, str(SCRIPT), together(root, tmp_path, devices=2)]
    done = subprocess.run(order, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert_learnt_as_one(tmp_path, alone)


@flag("nodes")
@pytest.mark.soak
def test_two_hosts_learn_from_the_same_windows_as_one_and_alike(root, alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    order = [sys.executable, str(SCRIPT), together(root, tmp_path, nodes=2)]
    hosts = [
        subprocess.Popen(order, env=os.environ | place | {"NODE_RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [host.wait(timeout=240) for host in hosts] == [0, 0]
    assert_learnt_as_one(tmp_path, alone)


# --- every option


def test_every_option_has_its_test():
    assert {"progress"} == FIELDS - TESTED  # which the command line follows


@flag("steps", "validate_every")
def test_steps_and_validate_every_say_when_it_ends_and_looks(short):
    run = short(steps=7, validate_every=3)
    assert (run.steps, len(run.losses)) == (7, 7)
    assert [look.step for look in run.history] == [3, 6]
    for look, losses in zip(run.history, (run.losses[:3], run.losses[3:6]), strict=True):
        assert look.loss == pytest.approx(sum(losses) / 3, rel=1e-6)
        assert look.listened == {}


class Watches(Callback):
    """Keeps what it sees of the trainer and the optimiser at each step."""

    def __init__(self):
        self.rates, self.decays, self.threads = [], set(), set()
        self.averages, self.weights = [], []

    def on_train_batch_start(self, trainer, module, *_):
        groups = trainer.optimizers[0].param_groups
        self.rates.append(groups[0]["lr"])
        self.decays |= {(group["weight_decay"], p.ndim > 1) for group in groups
                        for p in group["params"]}  # fmt: skip
        self.threads.add(torch.get_num_threads())

    def on_train_batch_end(self, trainer, module, *_):
        self.averages.append(module.average.out.weight.clone())
        self.weights.append(module.network.out.weight.detach().clone())


@pytest.mark.soak
@flag("warm_up", "weight_decay", "threads")
def test_the_rate_rises_over_the_warm_up_and_falls_and_matrices_alone_decay(short):
    watched = Watches()
    short(
        watched, StopsAt(6), steps=200, warm_up=3, learning_rate=0.01, weight_decay=0.3, threads=2
    )
    assert watched.rates[0] == pytest.approx(0.0025)
    assert watched.rates.index(max(watched.rates)) == 3
    assert watched.rates[3:] == sorted(watched.rates[3:], reverse=True)
    assert watched.decays == {(0.3, True), (0.0, False)}
    assert watched.threads == {2}


@flag("averaging")
def test_the_average_is_of_the_weights_after_each_step(short):
    watched = Watches()
    run = short(watched, steps=14, averaging=0.3, validate_every=14)
    average = None
    for step, (weights, found) in enumerate(
        zip(watched.weights, watched.averages, strict=True), start=1
    ):
        memory = min(0.3, (1 + step) / (10 + step))
        if average is not None:
            average = memory * average + (1 - memory) * weights
            assert torch.allclose(found, average, atol=1e-6)
        average = found
    assert torch.equal(run.weights["out.weight"], watched.averages[-1])
    assert not torch.equal(watched.averages[-1], watched.weights[-1])


@flag("dropout", "smoothing", "color_weight", "parity_weight", "wish_dropout")
@pytest.mark.parametrize(
    "change",
    [
        {"dropout": 0.5},
        {"smoothing": 0.4},
        {"color_weight": 5.0},
        {"parity_weight": 5.0},
        {"wish_dropout": 0.9},
    ],
    ids=str,
)
def test_what_is_added_to_a_lesson_changes_what_is_learnt(short, change):
    bare = {"dropout": 0.0, "smoothing": 0.0, "wish_dropout": 0.0, "steps": 2, "averaging": 0.0}
    plain, changed = short(**bare), short(**bare | change)
    assert differ(plain, changed)
    added = set(change) & {"smoothing", "color_weight", "parity_weight"}
    assert (plain.losses[0] == changed.losses[0]) == bool(added)  # they are no part of the nats


def test_a_network_of_one_hand_is_pulled_to_the_other(data):
    network = MapLearner(shape_of(data, SPEC.spec, TINY), TINY, data).network
    left, hand = data.vocabulary.left, data.vocabulary.size - data.vocabulary.right
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    asked = []
    for lean in (0.0, -12.0):
        with torch.no_grad():
            network.out.bias[left : left + hand] += lean
        lesson, costs = told(network, batch, wish_of_batch(batch))
        asked.append(imbalance(costs, lesson, data.vocabulary))
    assert asked[0] < 0.01 < 0.05 < asked[1]
    asked[1].backward()
    assert network.out.bias.grad[left : left + hand].sum() < 0  # a step against it raises them


@pytest.mark.soak
def test_swings_to_and_fro_are_learnt_where_they_are_asked_for(data, short):
    learns = {"steps": 12, "learning_rate": 0.01, "validate_every": 12}
    network, without = (
        short(**learns, parity_weight=weight).writer().network for weight in (20.0, 0.0)
    )
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)

    def asked(network):
        lesson, costs = told(network, batch, wish_of_batch(batch))
        return resets(costs, lesson, batch["tokens"], data.vocabulary)

    assert asked(network) < 0.8 * asked(without)


def test_a_writer_that_is_not_told_all_wishes_learns_to_do_without(data):
    batch = next(iter(data.train_dataloader()))
    learner = MapLearner(shape_of(data, SPEC.spec, TINY), TINY, data).eval()
    wish = wish_of_batch(data.on_after_batch_transfer(batch, 0))
    assert not torch.isnan(wish.density).any()
    heard = learner.network.listen(torch.zeros(8, 128, SPEC.spec.channels), wish)
    other = learner.network.listen(
        torch.zeros(8, 128, SPEC.spec.channels),
        wish._replace(density=torch.full((8,), torch.nan)),
    )
    assert not torch.equal(heard.memory, other.memory)
    assert torch.equal(other.memory, other.memory[:1].expand_as(other.memory))


@flag("width", "encoder_layers", "decoder_layers", "heads", "hidden", "kernel")
def test_the_network_is_built_as_the_options_say(data, short):
    shape = {"width": 24, "encoder_layers": 2, "decoder_layers": 3, "heads": 3, "hidden": 40}
    run = short(**shape, kernel=5, steps=1)
    card = dataclasses.asdict(run.card.shape)
    assert card | shape | {"kernel": 5, "channels": SPEC.spec.channels} == card
    assert run.card.learning["parameters"] == sum(w.numel() for w in run.weights.values())
    assert {len(n.split(".")) for n in run.weights if "encoder.1.convolution.spread" in n} == {5}
    with pytest.raises(OptionsError, match="no multiple of four times 3 heads"):
        replace(TINY, width=32, heads=3)


@flag("precision", "accelerator")
def test_precision_and_accelerator_say_how_and_where_it_is_computed(short):
    plain, half = short(precision="32", steps=1), short(precision="bf16", steps=1)
    assert_same(plain, short(precision="auto", steps=1))
    assert plain.losses != half.losses
    assert half.losses[0] == pytest.approx(plain.losses[0], rel=0.02)
    assert all(weight.dtype == torch.float32 for weight in half.weights.values())
    if torch.cuda.is_available():
        assert short(accelerator="gpu", steps=1).losses[0] == pytest.approx(plain.losses[0], 0.05)
    else:
        with pytest.raises(LearningError, match="finds none here; take cpu or auto"):
            short(accelerator="gpu", steps=1)


@flag("checkpoint_dir")
def test_a_checkpoint_in_a_named_folder_stays_and_one_beside_the_model_goes(data, tmp_path):
    options = replace(TINY, steps=2, checkpoint_dir=tmp_path / "kept")
    train_model(data, SPEC.spec, tmp_path / "model", options, cut=CUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["last.ckpt"]
    again = train_model(data, SPEC.spec, tmp_path / "model", options, cut=CUT)
    assert again.resumed_at == 2
    assert open_writer(tmp_path / "model").card == again.card
    assert TINY.checkpoint_folder(tmp_path / "model") == tmp_path / "model.learning"


@flag("log_dir", "log_every")
def test_a_log_tells_losses_and_looks_of_all_steps_also_when_it_was_stopped(data, tmp_path, caplog):
    options = {"steps": 10, "validate_every": 4, "log_dir": tmp_path / "log", "log_every": 2}
    with caplog.at_level(logging.INFO, logger="workbench"):
        trained(data, tmp_path / "run", StopsAt(6), **options)
        run = trained(data, tmp_path / "run", **options)
    rows = []
    for path in sorted((tmp_path / "log").glob("**/*.csv")):
        with path.open(newline="") as table:
            rows += list(csv.DictReader(table))
    losses = {int(row["step"]): float(row["nats_per_token"]) for row in rows
              if row.get("nats_per_token")}  # fmt: skip
    assert losses == {step: pytest.approx(run.losses[step - 1]) for step in (2, 4, 6, 8, 10)}
    held = [float(row["held_nats_per_note"]) for row in rows if row.get("held_nats_per_note")]
    looks = [pytest.approx(look.nats_per_note) for look in run.history]
    assert looks == held
    told = [record.message for record in caplog.records if record.message.startswith("training")]
    assert len(told) == 5


# --- what it tells


def test_progress_is_told_at_every_step_with_loss_wait_and_looks(data, tmp_path):
    shown = []
    options = replace(TINY, steps=12, look_windows=4)
    run = train(data, SPEC.spec, tmp_path / "run", options, shown.append, cut=CUT)
    assert [progress.done for progress in shown] == list(range(1, 13))
    assert {progress.total for progress in shown} == {12}
    losses = [progress.numbers["loss"] for progress in shown]
    assert losses == [pytest.approx(loss, abs=1e-4) for loss in run.losses]
    assert "onset_f1_50ms" not in shown[4].numbers
    assert shown[-1].numbers["onset_f1_50ms"] == pytest.approx(
        run.history[-1].listened["onset_f1_50ms"], abs=1e-4
    )


def test_speed_is_told_as_shares_of_time_and_of_the_peak(straight):
    speed = straight[0].speed
    assert 0 < speed["mfu"] < 1.2
    assert 0 <= speed["data_wait_share"] < 0.5
    assert speed["mfu"] == speed["flops_per_second"] / speed["peak_flops_per_second"]
    assert speed["steps_per_second"] > 1
