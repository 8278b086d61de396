"""What a notebook shows of a corpus of maps, held against what is true of one made for it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.pictures import chart_with_notes
from workbench.beatmap.statistics import (
    DifficultyStatistics,
    chart_notes,
    corpus_statistics,
    densest_charts,
    left_out,
    token_losses,
)
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import VOCABULARIES, sounds_of
from workbench.beatmap.writer.options import CacheOptions
from workbench.beatmap.writer.tokens import rounding_ms
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.figures import Picture, digest_of, new_figure
from workbench.panels import beatmap as panel


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    options = SongCorpusOptions(songs=4, seconds=8, seed=9, broken=5)
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "songs", options)


@pytest.fixture(scope="module")
def processed(corpus):
    folder = corpus.folder.with_name("store")
    return process([corpus.maps], folder, ProcessOptions(progress=False))


@pytest.fixture(scope="module")
def store(corpus, processed):
    assert processed.manifest.is_done
    return Store.open(corpus.folder.with_name("store"))


def kept(corpus):
    return [song for song in corpus.songs if song.outcome in ("read", "part")]


def test_a_store_is_told_by_its_counts(corpus, processed):
    told = dict(panel.store_table(processed.manifest).rows)
    assert told["maps found"] == len(corpus.songs) == 9
    assert told["maps in the store"] == len(kept(corpus))
    assert told["maps left out"] == sum(song.outcome == "refused" for song in corpus.songs) == 1
    charts = [b for song in kept(corpus) for b in song.beatmaps if b.is_readable]
    assert told["difficulties"] == len(charts)
    for kind in ("notes", "bombs", "walls", "arcs", "chains"):
        assert told[kind] == sum(getattr(chart, kind) for chart in charts)


def test_every_reason_has_its_place(corpus, store):
    rows = {row[0]: row for row in panel.reasons_table(left_out(store)).rows}
    for song in corpus.songs:
        if song.outcome != "read":
            assert song.place in rows[song.says][4]


def test_difficulties_are_told_from_the_easiest(corpus, store):
    rows = panel.difficulties_table(corpus_statistics(store)).rows
    assert [row[0] for row in rows] == ["Easy", "Normal", "Hard", "Expert", "ExpertPlus"]
    charts = [b for song in kept(corpus) for b in song.beatmaps if b.is_readable]
    for name, beatmaps, notes, low, middle, high, njs, _ in rows:
        here = [chart for chart in charts if chart.difficulty == name]
        assert (beatmaps, notes) == (len(here), sum(chart.notes for chart in here))
        assert low <= middle <= high
        assert njs == here[0].njs


def test_a_difficulty_without_numbers_has_dashes():
    nothing = DifficultyStatistics(
        name="other", nps=np.zeros(0), njs=np.zeros(0), beatmaps=1, notes=0, swings=0, repeats=0
    )
    assert panel._difficulty(nothing) == ("other", 1, 0, "-", "-", "-", "-", 0.0)


def test_vocabularies_lose_what_they_cannot_say(corpus, store):
    rows = {row[0]: row for row in panel.losses_table(token_losses(store)).rows}
    notes = corpus_statistics(store).counts["notes"]
    for losses in token_losses(store):
        lost = sum(losses.lost.values())
        assert losses.kept + lost == notes
        assert rows[losses.vocabulary][5] == round(100 * lost / notes, 2)
        assert losses.mean_ms <= losses.p99_ms <= losses.max_ms
    assert rows["extended"][5] < rows["291"][5]
    assert "second_of_hand" in rows["291"][6]


def test_notes_are_moved_as_far_as_those_of_each_chart(store):
    for losses in token_losses(store):
        moved = np.concatenate(
            [
                rounding_ms(
                    chart_notes(store, song, number),
                    VOCABULARIES[losses.vocabulary],
                    beatmap.time_map,
                )
                for song in store.songs
                for number, beatmap in enumerate(song.beatmaps)
            ]
        )
        assert losses.mean_ms == pytest.approx(moved.mean(), abs=1e-4)
        assert losses.p99_ms == pytest.approx(np.percentile(moved, 99), abs=1e-3)
        assert losses.max_ms == pytest.approx(moved.max(), abs=1e-3)


def test_the_notes_of_a_chart_are_its_own(corpus, store):
    notes = corpus.notes().to_pandas()
    for song in store.songs:
        for number, beatmap in enumerate(song.beatmaps):
            rows = notes[
                (notes.place == song.place)
                & (notes.difficulty == beatmap.difficulty)
                & (notes.characteristic == beatmap.characteristic)
            ]
            found = chart_notes(store, song, number)
            np.testing.assert_array_equal(np.sort(rows.beat), found.beat)


def test_a_song_that_can_be_drawn_has_features(store, tmp_path):
    folder, options = tmp_path / "features", CacheOptions(progress=False)
    cache = FeatureCache(folder, options.spec)
    assert densest_charts(store, cache) == []
    without, *others = store.songs
    warm(folder, sounds_of(others, store.places()), options)
    cache = FeatureCache(folder, options.spec)
    charts = densest_charts(store, cache)
    assert [chart.song for chart in charts] == [s for s in others if s.audio_digest]
    for chart in charts:
        assert chart.beatmap.counts["notes"] == max(b.counts["notes"] for b in chart.song.beatmaps)
    picture = chart_with_notes(store, cache, charts[0])
    assert " with 0 notes" not in picture.caption
    silent = Store.open(store.folder)
    silent.songs = (replace(without, audio_digest=""),)
    assert densest_charts(silent, cache) == []


def test_a_second_run_of_features_finds_all(corpus, store, tmp_path):
    sounds = sounds_of(store.songs, store.places())
    options = CacheOptions(progress=False)
    runs = {name: warm(tmp_path / "features", sounds, options) for name in ("first", "again")}
    first, again = panel.warmed_table(runs).rows
    assert first == ("first", len(sounds), 0, 0, 0)
    assert again == ("again", 0, len(sounds), 0, 0)


def test_a_picture_keeps_the_look_of_its_figure_in_few_colours():
    figure = new_figure(width=4, height=3)
    figure.subplots().imshow(np.arange(12).reshape(3, 4), cmap="Oranges")
    whole = Picture(figure, "twelve cells", digest_of(np.arange(12)))
    shown = panel.SmallPicture(whole)
    one, other = (Pillow.open(io.BytesIO(each._repr_png_())) for each in (whole, shown))
    assert other.mode == "P" and one.size == other.size
    before, after = (np.asarray(image.convert("RGB"), float) for image in (one, other))
    assert np.abs(before - after).mean() < 8  # of 255
    assert len(shown._repr_png_()) < len(whole._repr_png_())
    assert repr(shown) == repr(whole)
