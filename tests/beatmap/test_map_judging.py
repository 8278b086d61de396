"""Judging: every held-out chart is written whole and held against the human's."""

import json
import math
from dataclasses import replace

import pytest
import torch

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import sounds_of
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.judging import judge
from workbench.beatmap.writer.looking import wish_of_batch
from workbench.beatmap.writer.model import WriterCard, make_writer, write_writer
from workbench.beatmap.writer.model_options import JudgeOptions
from workbench.beatmap.writer.network import MapNetwork, NetworkShape
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions, MelSpec
from workbench.beatmap.writer.tokens import VOCABULARY_291
from workbench.beatmap.writer.training import told
from workbench.cli import run
from workbench.demo.drum_songs import DrumSongOptions, make_drum_songs
from workbench.errors import BeatmapError

SPEC = MelSpec(n_mels=16)
CUT = ChartWindowOptions(bars=2)
HELD = {
    **{"vocabulary": "291", "validation": 0.0, "test": 0.0, "style_songs": 0},
    "hold_out": "Drum song 1, Drum song 4",
}
PART = {"part": "validation"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A store of six drum songs and their features."""
    folder = tmp_path_factory.mktemp("judging")
    maps = make_drum_songs(folder / "songs", DrumSongOptions(songs=6, beats=16, min_bpm=120))
    process([maps], folder / "store", ProcessOptions())
    store = Store.open(folder / "store")
    warm(folder / "cache", sounds_of(store.songs, store.places()), CacheOptions(n_mels=16))
    return folder


def data_of(place, **changes):
    options = DataOptions(**HELD | changes)
    return ChartData(Store.open(place / "store"), FeatureCache(place / "cache", SPEC), options, CUT)


@pytest.fixture(scope="module")
def writer(place):
    """A writer that has learnt nothing, of equal weights every time."""
    shape = NetworkShape(vocabulary="291", channels=SPEC.channels, width=16, heads=2, hidden=32)
    statistics = data_of(place).statistics
    card = WriterCard(
        shape=shape,
        spec=SPEC,
        cut=CUT,
        mean=tuple(statistics.mean.tolist()),
        deviation=tuple(statistics.deviation.tolist()),
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make_writer(card, MapNetwork(shape).state_dict())


def judged(place, writer, data=None, **changes):
    data = data or data_of(place)
    return judge(writer, data, Store.open(place / "store"), JudgeOptions(**PART | changes))


def test_each_chart_of_the_part_is_judged_once_and_no_other(place, writer):
    evaluation = judged(place, writer)
    assert [chart.name.partition(" [")[0] for chart in evaluation.charts] == [
        "Drum song 1",
        "Drum song 4",
    ]
    assert evaluation.micro.wanted.notes == sum(chart.wanted.notes for chart in evaluation.charts)


def test_nats_are_those_of_the_windows_taken_one_by_one(place, writer):
    data = data_of(place)
    nats = notes = 0.0
    for window in data.corpus.part["validation"].tolist():
        batch = next(
            {name: values[row : row + 1] for name, values in each.items()}
            for each in data.val_dataloader()
            for row in range(len(each["window"]))
            if int(each["window"][row]) == window
        )
        batch = data.on_after_batch_transfer(batch, 0)
        lesson, costs = told(writer.network, batch, wish_of_batch(batch))
        nats += float(costs.nats.sum())
        names = [VOCABULARY_291.name(t) for t in lesson.targets[lesson.is_taught].tolist()]
        notes += sum(n.startswith(("LEFT", "RIGHT")) and "empty" not in n for n in names)
    assert judged(place, writer).extra["nats_per_note"] == pytest.approx(nats / notes, rel=1e-5)


def test_a_style_that_the_writer_does_not_know_is_none(place, writer):
    data = data_of(place, style_songs=1)
    assert data.styles == ("demo",)
    assert judged(place, writer, data).extra == judged(place, writer).extra


def test_shuffled_sound_is_that_of_another_song_and_none_where_there_is_no_other(place, writer):
    both = judged(place, writer)
    assert 0.0 <= both.extra["onset_f1_shuffled"] <= 1.0
    assert "onset_f1_shuffled" not in judged(place, writer, shuffled=False).extra
    alone = judged(place, writer, data_of(place, hold_out="Drum song 1"))
    assert "onset_f1_shuffled" not in alone.extra


def test_charts_are_fewer_where_so_many_are_asked_for(place, writer):
    assert len(judged(place, writer, most_charts=1).charts) == 1
    assert len(judged(place, writer, most_charts=5).charts) == 2


def test_draws_and_told_density_change_what_is_written(place, writer):
    def found(**changes):
        return [c.found.notes for c in judged(place, writer, temperature=1.0, **changes).charts]

    assert found() == found()
    assert found() != found(draws=1)
    with torch.no_grad():
        weights = {name: w.clone() for name, w in writer.network.state_dict().items()}
        weights["density.weight"] *= 100.0
    loud = make_writer(writer.card, weights)
    told_it = [judged(place, loud, told_density=told).charts for told in (True, False)]
    assert told_it[0] != told_it[1]


def test_a_part_without_a_chart_is_refused(place, writer):
    with pytest.raises(BeatmapError, match="no chart is in the part 'test'"):
        judged(place, writer, part="test")


def test_a_writer_of_other_tokens_is_refused_by_both_names(place, writer):
    with pytest.raises(BeatmapError, match=r"'291' tokens, the charts are 'extended'"):
        judged(place, writer, data_of(place, vocabulary="extended"))


def test_songs_that_were_learnt_from_are_not_judged_by(place, writer):
    card = replace(writer.card, learning={"data": {"validation": 0.0, "hold_out": "Drum song 1"}})
    learnt = make_writer(card, writer.network.state_dict())
    with pytest.raises(BeatmapError, match="learnt with hold_out 'Drum song 1'; give the same"):
        judged(place, learnt)


def test_a_song_to_hold_out_that_is_not_there_is_refused_with_the_nearest(place):
    with pytest.raises(
        BeatmapError, match=r"'Drum sung 1' is no title .* did you mean 'Drum song 1'"
    ):
        data_of(place, hold_out="Drum song 4, Drum sung 1")


def test_the_command_tells_all_numbers(place, writer, tmp_path, capsys):
    write_writer(tmp_path / "model", writer.card, writer.network.state_dict())
    tokens = ["beatmap", "judge", str(place / "store"), str(place / "cache"), "--json"]
    tokens += ["--model", str(tmp_path / "model"), "--part", "validation"]
    for name, value in HELD.items():
        tokens += [f"--{name.replace('_', '-')}", str(value)]
    assert run(tokens) == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["charts"]) == 2
    assert math.isfinite(values["nats_per_note"])
    assert values["nats_per_note"] == judged(place, writer).extra["nats_per_note"]
