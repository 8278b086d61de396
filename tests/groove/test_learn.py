"""Learning: equal seeds give equal bits, stopped or not, and what is kept is the best there was."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Callback
from tiny_networks import TINY, tokens_of

from workbench.errors import CachingError, LearningError
from workbench.groove.augment import FAMILIES, changes_of, class_tables
from workbench.groove.drums import CLASSES
from workbench.groove.inputs import BEFORE, HIDDEN, REPEATS
from workbench.groove.learn import (
    CHECKPOINT,
    StepLearner,
    WindowBatch,
    learn,
    parts_by_length,
    shape_of,
)
from workbench.groove.options import LearnOptions
from workbench.groove.streams import MASKS
from workbench.groove.tokenize import window_steps
from workbench.streaming.samples import Samples

HALF = window_steps(4) // 2


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    return tokens_of(corpus, tmp_path_factory.mktemp("tokens") / "shards")


def learned(tokens, folder, *callbacks, **options):
    return learn(tokens, Path(folder), LearnOptions(**TINY | options), callbacks=callbacks)


@pytest.fixture(scope="module")
def straight(tokens, tmp_path_factory):
    """A run that nothing interrupts."""
    return learned(tokens, tmp_path_factory.mktemp("straight") / "run")


class StoppedError(Exception):
    """Ends a run from within."""


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise StoppedError


def assert_same(one, other):
    assert one.losses == other.losses
    assert one.history == other.history
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def samples_of(tokens, part="train", rows=9, epoch=0):
    table = pq.read_table(tokens.folder / tokens.source(part).files[0].name).slice(0, rows)
    return Samples(rows=table, epoch=epoch, places=np.arange(table.num_rows))


def test_equal_seeds_give_equal_bits_and_others_do_not(tokens, straight, tmp_path) -> None:
    assert_same(learned(tokens, tmp_path / "again"), straight)
    other = learned(tokens, tmp_path / "other", seed=1, steps=2)
    assert other.losses[0] != straight.losses[0]


@pytest.mark.parametrize("step", [1, 5, 8, 11])
def test_an_interrupted_run_goes_on_as_if_it_never_was(tokens, straight, tmp_path, step) -> None:
    with pytest.raises(StoppedError):
        learned(tokens, tmp_path / "run", StopAt(step))
    went_on = learned(tokens, tmp_path / "run")
    assert went_on.resumed_at == (step if step == 5 else step // 2 * 2)
    assert_same(went_on, straight)


def test_a_finished_run_is_not_run_again(tokens, straight, tmp_path) -> None:
    learned(tokens, tmp_path / "run")
    again = learned(tokens, tmp_path / "run", StopAt(12))
    assert again.resumed_at == again.steps == 12
    assert_same(again, straight)


def test_workers_that_read_change_no_bit(tokens, straight, tmp_path) -> None:
    assert_same(learned(tokens, tmp_path / "run", workers=2), straight)


@pytest.mark.soak
def test_a_run_killed_twenty_times_ends_in_the_same_bits(tokens, tmp_path) -> None:
    steps = 200
    whole = learned(tokens, tmp_path / "whole", steps=steps, patience=0)
    generator = np.random.default_rng(7)
    command = [sys.executable, str(Path(__file__).with_name("learn_once.py"))]
    command += [str(tokens.folder), str(tmp_path / "run"), str(steps)]
    kills = 0
    for kill_at in np.sort(generator.choice(np.arange(3, steps - 3), 20, replace=False)).tolist():
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if int(line) >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
        assert process.returncode == -signal.SIGKILL
    assert kills == 20
    assert_same(learned(tokens, tmp_path / "run", steps=steps, patience=0), whole)


def test_a_network_that_learns_predicts_what_is_held_out_better(tokens, tmp_path) -> None:
    options = {"steps": 30, "width": 16, "learning_rate": 0.03, "validate_every": 10}
    run = learned(tokens, tmp_path / "run", **options)
    bits = [look.bits_per_bar for look in run.history]
    assert len(bits) == 3
    assert bits[-1] < 0.6 * 16 * np.log2(MASKS)
    assert np.mean(run.losses[-5:]) < 0.6 * run.losses[0]


@pytest.fixture(scope="module")
def hasty(tokens, tmp_path_factory):
    """A run in steps so large that it soon gets no better."""
    options = {"learning_rate": 0.9, "steps": 60, "validate_every": 2, "patience": 1}
    return learned(tokens, tmp_path_factory.mktemp("hasty") / "run", **options)


def test_what_is_kept_predicts_as_the_best_look_told(tokens, hasty) -> None:
    bits = [look.bits_per_bar for look in hasty.history]
    assert min(bits) < bits[-1]
    shape = shape_of(tokens, LearnOptions(**TINY))
    learner = StepLearner(shape, LearnOptions(**TINY), 4)
    learner.average.load_state_dict(hasty.weights)
    made = WindowBatch(window=2 * HALF, kinds=tuple(tokens.labels), label_dropout=1.0)
    learner.on_validation_start()
    with torch.no_grad():
        learner.validation_step(made(samples_of(tokens, "held", rows=10_000)), 0)
    assert learner.bits / learner.scored * 16 == pytest.approx(min(bits), rel=1e-5)


def test_it_stops_when_it_gets_no_better(hasty) -> None:
    bits = [look.bits_per_bar for look in hasty.history]
    assert hasty.steps < 60
    assert len(bits) - 1 - int(np.argmin(bits)) == 1


def test_without_pieces_held_out_the_last_average_is_kept(corpus, tmp_path) -> None:
    tokens = tokens_of(corpus, tmp_path / "shards", held_out=0)
    run = learned(tokens, tmp_path / "run", steps=4)
    assert run.history == ()
    assert run.steps == len(run.losses) == 4
    assert all(torch.isfinite(value).all() for value in run.weights.values())


def test_another_runs_checkpoint_is_refused_by_name(tokens, tmp_path) -> None:
    learned(tokens, tmp_path / "run", steps=2)
    with pytest.raises(LearningError, match=r"last\.ckpt: is of other data or other options"):
        learned(tokens, tmp_path / "run", steps=2, dropout=0.5)
    learned(tokens, tmp_path / "run", steps=2, log_every=1)  # tells more, learns the same


def test_a_checkpoint_cut_short_is_refused_by_name(tokens, tmp_path) -> None:
    learned(tokens, tmp_path / "run", steps=2)
    path = tmp_path / "run" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LearningError, match="delete it to start over"):
        learned(tokens, tmp_path / "run", steps=2)


def test_what_is_at_the_place_of_the_checkpoint_stays(tokens, tmp_path) -> None:
    (tmp_path / "poem.txt").write_text("snare")
    with pytest.raises(CachingError, match="holds something else"):
        learned(tokens, tmp_path)


def test_learning_leaves_generator_and_settings_as_they_were(tokens, tmp_path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_num_threads()
    learned(tokens, tmp_path / "run", steps=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    assert not torch.are_deterministic_algorithms_enabled()


def test_batches_hold_the_windows_of_their_rows(tokens) -> None:
    samples = samples_of(tokens)
    batch = WindowBatch(window=2 * HALF, kinds=("style", "tempo"))(samples)
    for index, row in enumerate(samples.rows.to_pylist()):
        steps, history = len(row["place"]), row["history"]
        assert int(batch["lengths"][index]) == steps
        assert batch["labels"][index].tolist() == [row["style"], row["tempo"]]
        masks = batch["masks"][index].tolist()
        assert masks[HALF - history : HALF + steps] == row["masks"]
        assert set(masks[: HALF - history]) <= {BEFORE}
        assert set(masks[HALF + steps :]) <= {BEFORE}
        assert batch["where"][index, :steps, 2].tolist() == row["bar"]
        alike = batch["repeats"][index]
        assert alike[:steps].flatten().tolist() == row["repeats"]
        assert set(alike[steps:].flatten().tolist()) <= {BEFORE}


def test_changed_windows_repeat_what_they_repeated(tokens) -> None:
    samples = samples_of(tokens)
    plain = WindowBatch(window=2 * HALF, kinds=())(samples)
    changed = WindowBatch(window=2 * HALF, kinds=(), augment=1.0)(samples)
    assert not torch.equal(changed["masks"], plain["masks"])
    for index in range(len(plain["lengths"])):
        goes_to = dict(
            zip(plain["masks"][index].tolist(), changed["masks"][index].tolist(), strict=True)
        )
        alike = plain["repeats"][index].flatten().tolist()
        expected = [goes_to.get(mask, mask) for mask in alike]
        assert changed["repeats"][index].flatten().tolist() == expected
    assert plain["repeats"].shape[2] == len(REPEATS)


def test_every_step_held_out_is_scored_once(tokens) -> None:
    batch = WindowBatch(window=2 * HALF, kinds=())(samples_of(tokens, "held", rows=10_000))
    scored = (batch["lengths"] - batch["scored"]).clamp(min=0).sum()
    assert int(scored) == tokens.description["steps"]["held"]


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_parts_of_a_batch_are_the_batch(lengths) -> None:
    most, rows = max(lengths), torch.arange(len(lengths))
    batch = {
        "masks": torch.arange(HALF + most) + 1000 * rows[:, None],
        "where": torch.arange(most)[:, None].expand(len(lengths), most, 3) + rows[:, None, None],
        "repeats": torch.arange(most)[:, None].expand(len(lengths), most, 7) - rows[:, None, None],
        "lengths": torch.tensor(lengths),
    }
    parts = parts_by_length(batch)
    found = {}
    for part in parts:
        assert part["where"].shape[1] == int(part["lengths"].max())
        for masks, where, alike, length in zip(*(part[name] for name in batch), strict=True):
            found[int(masks[0]) // 1000] = int(length)
            row = int(masks[0]) // 1000
            assert masks[HALF:][:length].tolist() == batch["masks"][row, HALF:][:length].tolist()
            assert where[:length].tolist() == batch["where"][row][:length].tolist()
            assert alike[:length].tolist() == batch["repeats"][row][:length].tolist()
    assert [found[row] for row in range(len(lengths))] == lengths


def test_a_batch_of_fills_and_long_pieces_is_cut_in_two() -> None:
    lengths = torch.tensor([256, 16, 256, 16, 16, 256, 16, 16])
    batch = {"masks": torch.zeros(8, HALF + 256), "where": torch.zeros(8, 256, 3)}
    batch |= {"repeats": torch.zeros(8, 256, 7), "lengths": lengths}
    parts = parts_by_length(batch)
    assert [part["where"].shape[:2] for part in parts] == [(5, 16), (3, 256)]


def test_classes_change_places_within_their_families_only() -> None:
    families = [{CLASSES.index(name) for name in family} for family in FAMILIES]
    tables = class_tables()
    assert tables[0].tolist() == list(range(MASKS + 2))
    assert len(np.unique(tables, axis=0)) == len(tables) == 12
    for table in tables:
        assert sorted(table.tolist()) == list(range(MASKS + 2))
        assert table[[BEFORE, HIDDEN]].tolist() == [BEFORE, HIDDEN]
        for mask in range(MASKS):
            assert bin(mask).count("1") == bin(table[mask]).count("1")
        for one in range(9):
            other = int(table[1 << one]).bit_length() - 1
            assert other == one or any({one, other} <= family for family in families)


@given(seed=st.integers(0, 9), epoch=st.integers(0, 9), first=st.integers(0, 99))
def test_changes_depend_on_seed_epoch_and_place_alone(seed, epoch, first) -> None:
    asked = {"kinds": 3, "augment": 0.5, "label_dropout": 0.5}
    places = np.arange(first, first + 40)
    whole = changes_of(seed, epoch, places, **asked)
    np.random.seed(0)  # noqa: NPY002  what is global plays no part
    some = changes_of(seed, epoch, places[::-3], **asked)
    assert some.table.tolist() == whole.table[::-3].tolist()
    assert some.kept.tolist() == whole.kept[::-3].tolist()
    other = changes_of(seed, epoch + 1, places, **asked)
    assert other.table.tolist() != whole.table.tolist()


def test_as_many_samples_are_changed_as_was_asked_for() -> None:
    changes = changes_of(1, 2, np.arange(4000), kinds=2, augment=0.3, label_dropout=0.6)
    assert np.mean(changes.table > 0) == pytest.approx(0.3, abs=0.03)
    assert np.mean(~changes.kept.any(axis=1)) == pytest.approx(0.6 + 0.4 * 0.09, abs=0.03)
    assert np.bincount(changes.table, minlength=12)[1:].min() > 50


def test_a_look_keeps_losses_and_bits_as_plain_numbers(straight) -> None:
    assert [look.step for look in straight.history] == [5, 10]
    assert len(straight.losses) == 12
    assert straight.history[0].loss == pytest.approx(np.mean(straight.losses[:5]), rel=1e-6)
    assert straight.history[1].loss == pytest.approx(np.mean(straight.losses[5:10]), rel=1e-6)
    assert json.dumps(straight.history[0].bits_per_bar)
