"""The program-made songs, written without the map room, as the map room reads them."""

from collections import Counter

import numpy as np
import pytest

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.store import Store
from workbench.demo.defects import DEFECTS
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.errors import BeatmapError

KINDS = ("notes", "bombs", "walls", "arcs", "chains")
COLUMNS = ["beat", "lane", "layer", "color", "direction"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    options = SongCorpusOptions(songs=8, seconds=8, seed=5)
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "songs", options)


@pytest.fixture(scope="module")
def store(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "store"
    process([corpus.maps], folder, ProcessOptions(progress=False))
    return Store.open(folder)


@pytest.fixture(scope="module")
def levels(corpus):
    """What the reader makes of each map: a level, or the error."""
    found = {}
    for place in map_places(corpus.maps):
        try:
            with place.open() as files:
                found[place.name] = read_level(files)
        except BeatmapError as error:
            found[place.name] = error
    return found


def test_a_reader_says_of_every_map_what_is_true_of_it(corpus, levels):
    assert set(levels) == {song.place for song in corpus.songs}
    for song in corpus.songs:
        level = levels[song.place]
        if song.outcome == "refused":
            assert isinstance(level, BeatmapError), song.place
            assert level.kind == song.says
            continue
        assert (level.title, level.artist, level.bpm) == (song.title, song.artist, song.bpm)
        read = [beatmap.is_readable for beatmap in level.beatmaps]
        assert read == [beatmap.is_readable for beatmap in song.beatmaps]
        told = {fault.kind for fault in level.all_faults()}
        told |= {flag for beatmap in level.beatmaps for flag in beatmap.flags}
        if song.says not in ("missing_audio", "duplicate", ""):  # those are the store's
            assert song.says in told, song.place


def test_a_reader_finds_the_objects_of_every_chart(corpus, levels):
    notes = corpus.notes().to_pandas().set_index(["place", "characteristic", "difficulty"])
    for song in corpus.songs:
        if song.outcome == "refused":
            continue
        for told, read in zip(song.beatmaps, levels[song.place].beatmaps, strict=True):
            assert (read.characteristic, read.difficulty) == (told.characteristic, told.difficulty)
            assert (read.njs, read.offset) == (told.njs, told.offset)
            if not told.is_readable:
                continue
            counts = read.objects.counts()
            assert [counts[kind] for kind in KINDS] == [getattr(told, kind) for kind in KINDS]
            rows = notes.loc[[(song.place, told.characteristic, told.difficulty)]]
            here = [getattr(read.objects.notes, name) for name in COLUMNS]
            assert sorted(zip(*here, strict=True)) == sorted(rows[COLUMNS].itertuples(index=False))
            # Format 4 tells tempi in samples, and the truth has no such rounding.
            seconds = read.time_map.seconds_at(read.objects.notes.beat)
            np.testing.assert_allclose(np.sort(seconds), np.sort(rows["seconds"]), atol=1e-4)


def test_a_store_holds_all_that_can_be_read_and_names_the_rest(corpus, store):
    kept = [song for song in corpus.songs if song.outcome in ("read", "part")]
    assert sorted(song.place for song in store.songs) == sorted(song.place for song in kept)
    notes = sum(b.notes for song in kept for b in song.beatmaps if b.is_readable)
    assert store.table("notes").num_rows == notes
    left_out = Counter(s.says for s in corpus.songs if s.outcome not in ("read",))
    assert Counter(skip.reason for skip in store.skipped()) == left_out
    (silent,) = (song for song in store.songs if "missing_audio" in song.place)
    assert silent.fault_counts["missing_audio"] == 1


def test_the_planted_defects_are_all_of_the_kinds_that_a_corpus_names(corpus):
    assert {song.defect for song in corpus.songs if song.defect} == set(DEFECTS)
