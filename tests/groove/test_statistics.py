"""Statistics and pictures of grooves whose numbers are known beforehand."""

from pathlib import Path

import numpy as np
import pytest

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.errors import GrooveError
from workbench.groove import pictures
from workbench.groove.files import midi_files
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.statistics import (
    corpus_grids,
    likely_bars,
    many_samples,
    sample_grid,
    statistics_of,
)
from workbench.groove.train import train
from workbench.music.writer import MidiTrack, write_midi

KICK, SNARE, HAT = 36, 38, 42


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("statistics")
    corpus = make_drum_corpus(folder / "corpus", DrumCorpusOptions(files=60, seed=3))
    options = TrainOptions(labels=corpus.folder / "labels.csv")
    return train(midi_files(corpus.folder), folder / "model", options).model, corpus


def _groove(path: Path, *, swung: float = 0.0, late_ticks: int = 0) -> Path:
    """Write four bars of eighths on the hat, kick on 1 and 3, snare on 2 and 4, at 120 bpm."""
    eighths = np.arange(32) * 240 + np.where(np.arange(32) % 2, round(swung * 480), 0)
    kicks, snares = np.arange(8) * 960, np.arange(8) * 960 + 480
    tick = np.concatenate((eighths, kicks, snares)) + late_ticks
    pitch = np.repeat([HAT, KICK, SNARE], [32, 8, 8])
    ones = np.ones(48, int)
    write_midi(path, MidiTrack(tick=tick, duration=60 * ones, pitch=pitch, velocity=90 * ones))
    return path


def test_a_plain_groove_has_the_numbers_that_were_written(tmp_path: Path) -> None:
    told = statistics_of(corpus_grids([_groove(tmp_path / "straight.mid")]))
    assert (told.performances, told.bars) == (1, 4)
    assert told.hits_per_bar == pytest.approx(12)
    assert told.polyphony == pytest.approx(0.5)
    assert told.class_share[[0, 1, 2]] == pytest.approx([8 / 48, 8 / 48, 32 / 48])
    assert told.swing == pytest.approx(1.0)
    assert (told.velocity_mean, told.velocity_deviation) == (90, 0)
    assert told.timing_deviation_ms == pytest.approx(0)


def test_triplet_swing_is_a_ratio_of_two(tmp_path: Path) -> None:
    told = statistics_of(corpus_grids([_groove(tmp_path / "swung.mid", swung=1 / 6)]))
    assert told.swing == pytest.approx(2.0, rel=0.01)


def test_files_that_are_refused_are_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"no MIDI")
    assert len(corpus_grids([broken, _groove(tmp_path / "whole.mid")])) == 1
    with pytest.raises(GrooveError, match="no performances"):
        statistics_of(corpus_grids([broken]))


def test_a_sample_reads_back_as_the_notes_that_were_drawn(trained) -> None:
    new = sample(trained[0], SampleOptions(bars=4, seed=5))
    grid = sample_grid(new)
    assert len(grid.pitch) == len(new.bar)
    assert statistics_of([grid]).polyphony == pytest.approx(new.polyphony)


def test_likely_bars_are_the_shares_counted_in_the_corpus(trained) -> None:
    model, corpus = trained
    bars = likely_bars(model)
    assert set(bars) <= set(model.labels["style"])
    for style, bar in bars.items():
        metre = {label.metre for label in corpus.labels if label.style == style}
        quarters = {"4-4": 4, "3-4": 3, "6-8": 3, "5-4": 5}
        assert bar.share.shape in {(9, 4 * quarters[m]) for m in metre}
        assert bar.beat_steps == (6 if metre == {"6-8"} else 4)
        assert ((bar.share >= 0) & (bar.share <= 1)).all()
    style = "rock"
    paths = [
        p for p, label in zip(corpus.paths, corpus.labels, strict=True) if label.style == style
    ]
    grids = corpus_grids(paths)
    on_one = sum(
        len(set(grid.bar[(grid.step == 0) & np.isin(grid.pitch, (35, 36))])) for grid in grids
    )
    assert bars[style].share[0, 0] == pytest.approx(
        on_one / sum(len(grid.bar_steps) for grid in grids)
    )


def test_pictures_are_drawn_and_their_words_follow_their_numbers(trained, tmp_path: Path) -> None:
    model, corpus = trained
    drawn = many_samples(model, 2, bars=2)
    shown = [pictures.drum_grid(one) for one in drawn]
    assert repr(shown[0]) != repr(shown[1])
    assert repr(shown[0]) == repr(pictures.drum_grid(drawn[0]))
    told = statistics_of(corpus_grids(list(corpus.paths)))
    heard = statistics_of([sample_grid(one) for one in drawn])
    history = [{"files": 10, "bits_per_bar": 20.0}, {"files": 20, "bits_per_bar": 15.0}]
    for number, picture in enumerate(
        (
            *shown,
            pictures.likely_bars(likely_bars(model)),
            pictures.comparison(told, heard),
            pictures.learning_curve(history),
        )
    ):
        picture.save(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
