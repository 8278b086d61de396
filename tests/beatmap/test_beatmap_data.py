"""The data module: windows and their sound, dealt to ranks, gone back to at the very batch."""

import io
import threading
from dataclasses import replace

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from map_folders import write_map

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.augment import hidden, normalised
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import TEST, TRAIN, VALIDATION, sounds_of
from workbench.beatmap.writer.data import ChartData, build_corpus
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions
from workbench.beatmap.writer.tokens import PAD
from workbench.errors import BeatmapError

SPEC = CacheOptions(n_mels=8, hop_length=512, n_fft=1024, progress=False)
OPTIONS = DataOptions(batch_size=4, bucket_steps=2, pad_to=8, validation=0.25, test=0.2, seed=5)
CUT = ChartWindowOptions(bars=2)
SECONDS, BPM = 16.0, 120.0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store of ten songs of 8 bars, two of them the game's own, and their features."""
    root = tmp_path_factory.mktemp("data")
    for number in range(10):
        origin = {"id": f"{number}", "versions": [], "stats": {"score": 0.5 + number / 40}}
        write_map(
            root / "maps",
            f"song {number}",
            seed=number,
            bpm=BPM,
            notes=32,
            changes=False,
            audio=sound(number),
            service=origin,
        )
        if number in (3, 6):
            (root / "maps" / f"song {number}" / "_beatsaver_meta.json").unlink()
            official = '{"source": "official", "source_id": "x"}'
            (root / "maps" / f"song {number}" / "_origin.json").write_text(official)
    process([root / "maps"], root / "store", ProcessOptions())
    store = Store.open(root / "store")
    assert warm(root / "cache", sounds_of(store.songs, store.places()), SPEC).computed == 10
    return root


def sound(number):
    """Return 16 s of a tone that is no other's, the last second less."""
    rate = 22_050
    time = np.arange(int(rate * (SECONDS - 1.0))) / rate
    out = io.BytesIO()
    samples = np.sin(2 * np.pi * (200 + 100 * number) * time) * np.random.default_rng(
        number
    ).random(len(time))
    soundfile.write(out, samples.astype(np.float32) * 0.5, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def opened(place, **changes):
    store, cache = Store.open(place / "store"), FeatureCache(place / "cache", SPEC.spec)
    return ChartData(store, cache, replace(OPTIONS, **changes), CUT)


@pytest.fixture(scope="module")
def data(place):
    return opened(place)


# --- the corpus


def test_all_windows_of_all_charts_are_in_one_part(data):
    corpus = data.corpus
    assert len(corpus.charts) == 20
    assert sorted(np.concatenate(list(corpus.part.values())).tolist()) == list(
        range(len(corpus.windows))
    )
    for part, windows in corpus.part.items():
        assert {corpus.charts[c].part for c in corpus.windows.chart[windows]} <= {part}
    assert all(len(corpus.part[part]) for part in (TRAIN, VALIDATION, TEST))


def test_charts_without_features_are_left_out_and_told(place):
    store = Store.open(place / "store")
    partly = FeatureCache(place / "cache", SPEC.spec)
    gone = {chart.feature_key for chart in build_corpus(store, partly, OPTIONS, CUT).charts[:4]}
    for key in gone:
        del partly._places[key]
    corpus = build_corpus(store, partly, OPTIONS, CUT)
    assert (len(corpus.charts), corpus.left_out) == (16, {"not_cached": 4})
    nothing = FeatureCache(place / "nowhere", SPEC.spec)
    with pytest.raises(BeatmapError, match=r"no chart is left to learn from .*20 not_cached"):
        build_corpus(store, nothing, OPTIONS, CUT)
    with pytest.raises(BeatmapError, match="all charts are held out"):
        opened(place, validation=0.0, test=1.0)


# --- batches


def test_a_batch_is_the_windows_and_their_sound(data, place):
    corpus = data.corpus
    cache = FeatureCache(place / "cache", SPEC.spec)
    seen = 0
    for batch in data.train_dataloader():
        assert batch["mel"].shape == (4, 128, 9)
        assert batch["mel"].dtype == torch.float16
        assert batch["tokens"].shape[1] % 8 == 0
        for row, window in enumerate(batch["window"].tolist()):
            chart = corpus.charts[corpus.windows.chart[window]]
            tokens = corpus.windows.tokens_of(window)
            length = int(batch["lengths"][row])
            assert batch["tokens"][row, :length].tolist() == tokens.tolist()
            assert (batch["tokens"][row, length:] == PAD).all()
            assert batch["learnt_from"][row] == corpus.windows.learnt_from[window]
            first = corpus.windows.first_column[window]
            whole = cache.features(chart.feature_key)[first : first + 128]
            sound = int(batch["sound"][row])
            assert (batch["mel"][row, :sound].numpy() == whole).all()
            filled = batch["mel"][row, sound:].float().numpy()
            assert np.abs(filled - data.statistics.mean).max(initial=0) < 0.05
            seen += sound < 128
        assert batch["counted"].all()
    assert seen > 0  # songs end within their last window


def test_normalised_sound_has_mean_0_and_deviation_1_over_the_songs_trained_on(data, place):
    cache = FeatureCache(place / "cache", SPEC.spec)
    keys = {c.feature_key for c in data.corpus.charts if c.part == TRAIN}
    columns = np.concatenate([cache.features(key) for key in sorted(keys)])
    mel = normalised(torch.from_numpy(columns)[None], data.statistics)[0]
    assert mel.dtype == torch.float32
    assert mel.mean(0).abs().max() < 1e-3
    assert (mel.std(0, correction=0) - 1).abs().max() < 1e-3


def test_batches_in_training_are_hidden_from_and_held_out_ones_are_not(data):
    batch = next(iter(data.train_dataloader()))
    plain = normalised(batch["mel"], data.statistics)
    shown = data.on_after_batch_transfer(batch, 0)["mel"]
    assert (shown == 0).sum() > (plain == 0).sum()
    assert torch.equal(shown, data.on_after_batch_transfer(batch, 0)["mel"])
    held = next(iter(data.val_dataloader()))
    assert torch.equal(
        data.on_after_batch_transfer(held, 0)["mel"], normalised(held["mel"], data.statistics)
    )


def test_held_out_windows_come_once_each(data):
    for loader, part in ((data.val_dataloader(), VALIDATION), (data.test_dataloader(), TEST)):
        batches = list(loader)
        assert len(batches) == len(loader)
        seen = [
            window for batch in batches for window in batch["window"][batch["counted"]].tolist()
        ]
        assert sorted(seen) == data.corpus.part[part].tolist()


# --- what is hidden


def test_at_most_so_many_bands_and_spans_of_at_most_such_a_width_are_hidden():
    mel = torch.ones(64, 100, 12)
    options = DataOptions(bands=2, band_bins=3, spans=1, span_columns=10)
    covered = hidden(mel, (0, 0, 0, 0), options, 11) == 0
    bands = covered.all(1)
    assert not bands[:, 11].any()  # the onset channel is no bin
    assert bands.sum(1).max() <= 6
    assert bands.any(0)[:11].all()  # each is hidden in some window
    spans = covered.all(2)
    assert spans.sum(1).max() <= 10
    assert (np.diff(spans.int().numpy(), axis=1) == 1).sum(1).max() <= 1
    assert spans.any(0).sum() > 80
    assert torch.equal(covered, bands[:, None, :] | spans[:, :, None])


def test_what_is_hidden_depends_on_seed_epoch_step_and_rank_alone():
    mel = torch.ones(4, 100, 12)
    draws = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    torch.manual_seed(1)
    found = [hidden(mel, draw, DataOptions(), 12) for draw in draws]
    torch.manual_seed(2)
    torch.rand(7)
    assert all(
        torch.equal(hidden(mel, draw, DataOptions(), 12), before)
        for draw, before in zip(draws, found, strict=True)
    )
    assert len({before.numpy().tobytes() for before in found}) == 5


def test_nothing_is_hidden_where_nothing_is_asked_for():
    mel = torch.randn(4, 50, 12)
    for options in (DataOptions(bands=0, spans=0), DataOptions(band_bins=0, span_columns=0)):
        assert torch.equal(hidden(mel, (0, 0, 0, 0), options, 12), mel)


# --- ranks and resuming


def of_rank(data, rank, world):
    data.trainer = Ranked(rank, world)
    try:
        return data.train_dataloader(), data.val_dataloader()
    finally:
        data.trainer = None


class Ranked:
    """What a loader asks of a trainer."""

    training = True
    limit_train_batches = 1.0

    def __init__(self, rank, world):
        self.global_rank, self.world_size = rank, world


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_have_the_windows_of_one_rank_with_as_large_a_step(place, world):
    alone = opened(place, batch_size=2 * world)
    together = opened(place, batch_size=2)
    whole = [sorted(b["window"].tolist()) for b in alone.train_dataloader()]
    ranks = [list(of_rank(together, rank, world)[0]) for rank in range(world)]
    for number, step in enumerate(whole):
        parts = [rank[number]["window"].tolist() for rank in ranks]
        assert sorted(window for part in parts for window in part) == step
    held = [list(of_rank(together, rank, world)[1]) for rank in range(world)]
    assert len({len(batches) for batches in held}) == 1
    seen = [w for rank in held for b in rank for w in b["window"][b["counted"]].tolist()]
    assert sorted(seen) == together.corpus.part[VALIDATION].tolist()


def keys_of(batches):
    return [(batch["draw"], batch["window"].tolist()) for batch in batches]


@pytest.mark.parametrize("stop", [0, 1, 3, 7, 8])
def test_a_loader_that_is_gone_back_to_gives_the_batches_that_were_left(place, stop):
    whole = opened(place).train_dataloader()
    assert len(whole) == 8
    expected = keys_of(batch for _ in range(3) for batch in whole)
    first = opened(place).train_dataloader()
    coming = iter(first)
    seen = keys_of(next(coming) for _ in range(stop))
    state = first.state_dict()
    assert (state["epoch"], state["step"]) == (0, stop)
    second = opened(place).train_dataloader()
    second.load_state_dict(state)
    rest = keys_of(batch for _ in range(3 if stop < 8 else 2) for batch in second)
    assert seen + rest == expected


def test_a_loader_that_was_broken_off_goes_on(place):
    whole = opened(place).train_dataloader()
    expected = keys_of(batch for _ in range(3) for batch in whole)
    loader = opened(place).train_dataloader()
    assert keys_of(next(iter(loader)) for _ in range(24)) == expected


def test_a_batch_that_is_made_ahead_is_of_the_epoch_that_was_begun(place, monkeypatch):
    loader = opened(place).train_dataloader()
    expected = keys_of(opened(place).train_dataloader())
    make, turned = loader._batches, threading.Event()

    def late(chosen):
        turned.wait(5.0)
        return make(chosen)

    coming = iter(loader)
    first = next(coming)
    monkeypatch.setattr(loader, "_batches", late)
    second = next(coming)
    loader.load_state_dict(loader.state_dict() | {"epoch": 1})
    turned.set()
    assert keys_of([first, second, next(coming)]) == expected[:3]


def test_other_ranks_of_as_large_a_step_go_on_with_a_state(place):
    whole = keys_of(opened(place).train_dataloader())
    loader = of_rank(opened(place, batch_size=2), 1, 2)[0]
    first = opened(place).train_dataloader()
    coming = iter(first)
    for _ in range(3):
        next(coming)
    state = first.state_dict()
    loader.load_state_dict(state)
    left = keys_of(loader)
    assert [windows for _, windows in left] == [w[1::2] for _, w in whole[len(whole) - len(left) :]]
    assert len(left) == 5


def test_a_state_of_other_windows_is_refused(place):
    state = opened(place).train_dataloader().state_dict()
    others = [opened(place, **changes) for changes in ({"seed": 6}, {"batch_size": 2})]
    others += [
        opened(place, **changes) for changes in ({"score_power": 2.0}, {"vocabulary": "291"})
    ]
    for other in others:
        with pytest.raises(BeatmapError, match="give it the same charts, weights, steps and seed"):
            other.train_dataloader().load_state_dict(state)


def test_the_official_songs_have_their_share_of_an_epoch(place):
    for share in (0.1, 0.5):
        data = opened(place, official_share=share, validation=0.0, test=0.0, score_power=0.0)
        official = {
            number for number, c in enumerate(data.corpus.charts) if c.song.source == "official"
        }
        seen = [w for batch in data.train_dataloader() for w in batch["window"].tolist()]
        found = np.isin(data.corpus.windows.chart[seen], list(official)).mean()
        assert found == pytest.approx(share, abs=0.05)


# --- Lightning


class Notes(pl.LightningModule):
    """Keeps which windows it was given, and learns one number."""

    def __init__(self):
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append((batch["draw"], batch["window"].tolist(), float(batch["mel"].sum())))
        return (self.number - batch["mel"].mean()) ** 2

    def validation_step(self, batch, index):
        self.log("held", batch["mel"].mean())

    def test_step(self, batch, index):
        self.log("last", batch["mel"].mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(data, checkpoint=None, **told):
    notes = Notes()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(told.get("callbacks")),
        num_sanity_val_steps=0,
        **told,
    )
    trainer.fit(notes, datamodule=data, ckpt_path=checkpoint)
    return notes, trainer


def trained(data, folder, steps, checkpoint=None):
    notes, trainer = fitted(data, checkpoint, max_steps=steps, max_epochs=-1)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return notes


def steps_of(notes):
    """Return epoch and step of each batch."""
    return [draw[1:3] for draw, _, _ in notes.seen]


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_was_stopped_within_an_epoch_goes_on_with_the_very_batch(place, tmp_path):
    whole = trained(opened(place), tmp_path, 19)
    first = trained(opened(place), tmp_path, 11)
    rest = trained(opened(place), tmp_path, 19, tmp_path / "11.ckpt")
    assert len(whole.seen) == 19
    assert first.seen + rest.seen == whole.seen
    assert len({str(windows) for _, windows, _ in whole.seen}) > 10
    assert torch.equal(rest.number, whole.number)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("limit", "steps"), [(None, 8), (0.4, 3), (3, 3), (1, 1), (9, 8)])
def test_every_epoch_of_a_training_has_all_its_steps(place, limit, steps):
    notes, _ = fitted(opened(place), max_epochs=3, limit_train_batches=limit)
    assert steps_of(notes) == [(epoch, step) for epoch in range(3) for step in range(steps)]
    orders = {str([w for draw, w, _ in notes.seen if draw[1] == epoch]) for epoch in range(3)}
    assert len(orders) == 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("when", ["every_n_train_steps", "every_n_epochs"])
def test_a_training_goes_on_from_any_checkpoint_as_if_it_had_not_stopped(
    place, tmp_path, when, limit
):
    keep = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, **{when: 1})
    told = {"max_epochs": 3, "limit_train_batches": limit}
    whole, _ = fitted(opened(place, batch_size=10), callbacks=[keep], **told)
    steps = limit or 3
    assert steps_of(whole) == [(epoch, step) for epoch in range(3) for step in range(steps)]
    kept = sorted(tmp_path.glob("*.ckpt"))
    assert len(kept) == (3 if when == "every_n_epochs" else 3 * steps)
    for checkpoint in kept:
        done = int(checkpoint.stem.removeprefix("step="))
        rest, _ = fitted(opened(place, batch_size=10), checkpoint, **told)
        assert rest.seen == whole.seen[done:]
        assert torch.equal(rest.number, whole.number)


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_that_is_looked_at_does_not_move_the_next_training(place, tmp_path):
    whole, trainer = fitted(opened(place), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    data = opened(place)
    trainer.test(Notes(), data, ckpt_path=tmp_path / "end.ckpt", verbose=False)
    assert fitted(data, max_epochs=1)[0].seen == whole.seen


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_looks_at_what_is_trained_on_too(place):
    data = opened(place)
    _, trainer = fitted(data, max_epochs=1)
    (told,) = trainer.validate(Notes(), data.train_dataloader(), verbose=False)
    assert set(told) == {"held"}
