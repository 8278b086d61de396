from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap import pictures, statistics
from workbench.beatmap.maps.objects import Notes
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.statistics import corpus_statistics, left_out, repeated_swings
from workbench.beatmap.writer.options import MelSpec
from workbench.demo.songs import SongCorpusOptions, make_song_corpus

VECTORS = [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1)]

charts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0.0, 0.005, 0.25, 0.5, 1.0, 1.008, 2.0]),
        st.integers(0, 1),
        st.sampled_from([*range(9), 1090, -1]),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    options = SongCorpusOptions(songs=4, seconds=8, seed=2, broken=7)
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "songs", options)


@pytest.fixture(scope="module")
def store(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "store"
    process([corpus.maps], folder, ProcessOptions(progress=False))
    return Store.open(folder)


@pytest.fixture(scope="module")
def kept(corpus):
    """The notes of the truth that are in the store."""
    notes = corpus.notes().to_pandas()
    places = [song.place for song in corpus.songs if song.outcome in ("read", "part")]
    return notes[notes.place.isin(places)]


# --- numbers


@settings(max_examples=200, deadline=None)
@given(rows=charts)
def test_repeats_are_those_of_a_loop_over_swings(rows):
    chart, beat, color, direction = (
        np.array([row[n] for row in rows]).astype(float if n == 1 else int) for n in range(4)
    )
    repeats, of_chart = repeated_swings(chart, beat, color, direction)
    expected = []
    for number in range(3):
        for hand in range(2):
            here = sorted(
                (row for row in rows if row[0] == number and row[2] == hand), key=lambda r: r[1]
            )
            swings = [r for n, r in enumerate(here) if n == 0 or r[1] - here[n - 1][1] > 0.01]
            for before, after in pairwise(swings):
                expected.append((number, is_same_way(before[3], after[3])))
    assert sorted(zip(of_chart.tolist(), repeats.tolist(), strict=True)) == sorted(expected)


def is_same_way(before, after):
    if not (0 <= before < 8 and 0 <= after < 8):
        return False
    (ax, ay), (bx, by) = VECTORS[before], VECTORS[after]
    return ax * bx + ay * by > 0


def test_cells_and_directions_are_those_of_the_truth(store, kept):
    found = corpus_statistics(store)
    assert found.counts["notes"] == len(kept)
    on = kept[(kept.lane < 4)]
    assert found.off_grid == len(kept) - len(on) == 1
    cells = Counter(zip(on.color, on.layer, on.lane, strict=True))
    ways = Counter(zip(on.color, on.direction, strict=True))
    assert {place: n for place, n in np.ndenumerate(found.cells) if n} == cells
    assert {place: n for place, n in np.ndenumerate(found.directions) if n} == ways


def test_each_difficulty_is_counted_by_itself(store, kept, corpus):
    found = {difficulty.name: difficulty for difficulty in corpus_statistics(store).difficulties}
    notes = kept.groupby("difficulty").size()
    assert {name: d.notes for name, d in found.items()} == notes.to_dict()
    for name, difficulty in found.items():
        charts = kept[kept.difficulty == name].groupby(["place", "characteristic"], observed=True)
        paces = charts.seconds.agg(lambda s: len(s) / (s.max() - s.min()))
        np.testing.assert_allclose(np.sort(difficulty.nps), np.sort(paces), rtol=1e-4)
        assert difficulty.beatmaps == len(paces)
        assert set(difficulty.njs) <= {10, 12, 14, 16}
        assert 0 < difficulty.swings <= difficulty.notes
        assert difficulty.repeated_share < 0.01  # the program's dances flow


def test_songs_tempi_and_versions_are_those_of_the_truth(store, corpus):
    found = corpus_statistics(store)
    kept = [song for song in corpus.songs if song.outcome in ("read", "part")]
    assert found.songs == len(kept)
    assert sorted(found.bpm) == pytest.approx(
        sorted(song.bpm for song in kept), rel=1e-5
    )  # v4 tells it by samples
    assert found.is_changing.sum() == sum(len(song.tempo_bpms) > 1 for song in kept)
    versions = Counter(str(s.version) for s in kept for b in s.beatmaps if b.is_readable)
    assert found.versions == versions
    assert sum(found.characteristics.values()) == found.beatmaps == sum(versions.values())


def test_counting_a_song_at_a_time_gives_the_same(store, monkeypatch):
    whole = corpus_statistics(store)
    monkeypatch.setattr(statistics, "_SONGS_AT_ONCE", 1)
    shown = []
    parts = corpus_statistics(store, shown.append)
    assert np.array_equal(whole.cells, parts.cells)
    assert [(d.swings, d.repeats) for d in whole.difficulties] == [
        (d.swings, d.repeats) for d in parts.difficulties
    ]
    assert len(shown) == len(store.songs) and shown[-1].is_last


def test_reasons_add_up_to_what_the_store_tells(store, corpus):
    reasons = left_out(store)
    manifest = store.manifest
    by_reason = {reason.reason: reason for reason in reasons}
    assert len(by_reason) == len(reasons)
    assert sum(reason.maps for reason in reasons) == manifest.refused_maps + manifest.duplicates
    lost = {r.reason: r.maps + r.difficulties for r in reasons if r.maps + r.difficulties}
    assert lost == manifest.refused
    assert {r.reason: r.odd for r in reasons if r.odd} == manifest.faults
    for song in corpus.songs:
        if song.outcome != "read":
            assert song.place in by_reason[song.says].example
    assert [r.maps for r in reasons] == sorted((r.maps for r in reasons), reverse=True)


# --- pictures


def drawn(picture):
    """Draw a picture, and return its axes; what is not drawable raises."""
    assert picture._repr_png_()[:4] == b"\x89PNG"
    return picture.figure.axes


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_densities_have_a_dot_a_beatmap_and_a_bar_a_song(store):
    found = corpus_statistics(store)
    left, right = drawn(pictures.densities(found))
    dots = sum(len(line.get_xdata()) for line in left.lines if line.get_marker() == ".")
    assert dots == found.beatmaps
    assert left.get_ylabel() == "notes a second"
    assert max(patch.get_y() + patch.get_height() for patch in right.patches) <= found.songs
    assert sum(patch.get_height() for patch in right.patches) == found.songs


def test_a_damaged_tempo_stands_at_the_end_and_is_told(store):
    found = corpus_statistics(store)
    odd = replace(found, bpm=np.append(found.bpm[1:], 200_000.0))
    right = drawn(pictures.densities(odd))[1]
    assert sum(patch.get_height() for patch in right.patches) == found.songs
    assert len(right.patches) < 100
    assert right.get_xlabel() == "tempo, beats a minute; 1 above 400 at the end"
    assert drawn(pictures.densities(found))[1].get_xlabel() == "tempo, beats a minute"


def test_the_tempo_of_a_song_is_the_first_that_holds(store):
    slow = [replace(song, time_map=TimeMap.steady(70.0)) for song in store.songs]
    other = Store.open(store.folder)
    other.songs = tuple(slow)
    assert (corpus_statistics(other).bpm == 70.0).all()


def test_cells_are_labelled_with_their_shares(store):
    found = corpus_statistics(store)
    axes = drawn(pictures.cells_and_directions(found))
    for hand in (0, 1):
        told = [float(text.removesuffix(" %")) for text in texts(axes[hand])]
        share = 100 * found.cells[hand] / found.cells[hand].sum()
        np.testing.assert_allclose(told, share.ravel(), atol=0.051)
    petals = np.array([patch.get_height() for patch in axes[2].patches])
    share = found.directions[0] / found.directions[0].sum()
    np.testing.assert_allclose(petals**2, share[:8])


def test_reasons_stand_beside_their_counts(store):
    reasons = left_out(store)
    _, axes = drawn(pictures.versions_and_reasons(corpus_statistics(store), reasons))
    names = [label.get_text().replace(" ", "_") for label in axes.get_yticklabels()]
    assert names[::-1] == [reason.reason for reason in reasons]
    counts = [r.maps + r.difficulties + r.odd for r in reasons]
    assert [int(text) for text in texts(axes)][::-1] == counts


def test_an_empty_corpus_has_pictures_too(store):
    found = corpus_statistics(store)
    empty = replace(
        found,
        songs=0,
        difficulties=(),
        bpm=np.zeros(0),
        is_changing=np.zeros(0, bool),
        cells=np.zeros_like(found.cells),
        directions=np.zeros_like(found.directions),
        versions={},
    )
    drawn(pictures.densities(empty))
    drawn(pictures.cells_and_directions(empty))
    drawn(pictures.versions_and_reasons(empty, ()))


@pytest.mark.parametrize("onset", [True, False])
def test_a_song_shows_the_notes_of_its_stretch_and_no_others(onset):
    spec = MelSpec(onset=onset)
    features = np.zeros((16 * 64, spec.channels), np.float16)
    rows = [(b / 2, b % 4, b % 3, b % 2, b % 9, 0.0) for b in range(120)]
    notes = Notes.of(*zip(*rows, strict=True))
    time_map = TimeMap.of_changes(120, [16], [90])
    picture = pictures.song_with_notes(features, spec, time_map, notes, first_beat=8, beats=16)
    assert picture.caption == "beats 8 to 24 with 32 notes"
    sound, *_ = drawn(picture)
    marks = [line for line in sound.lines if line.get_linestyle() == "None"]
    beats = np.sort(np.concatenate([line.get_xdata() for line in marks]))
    np.testing.assert_array_equal(beats, np.arange(8, 24, 0.5))
    assert sound.get_xlim() == (8, 24)
    seconds = sound.child_axes[0].get_xlim()
    np.testing.assert_allclose(seconds, time_map.seconds_at([8, 24]))


def test_pictures_of_other_sound_have_other_digests():
    spec, notes, time_map = MelSpec(), Notes.none(), TimeMap.steady(120)
    sound = np.full((16 * 64, spec.channels), -30, np.float16)
    other, behind = sound.copy(), sound.copy()
    other[:100] = -20
    behind[600:] = -20
    pictured = [pictures.song_with_notes(s, spec, time_map, notes) for s in (sound, other, behind)]
    digests = [picture.digest for picture in pictured]
    assert digests[0] == digests[2] != digests[1]


def test_notes_of_mods_are_dots_and_do_not_stretch_the_picture():
    spec = MelSpec()
    notes = Notes.of([1.0, 2.0], [1500, 1], [0, 1], [0, 1], [1090, 8], [0.0, 0.0])
    features = np.zeros((16 * 8, spec.channels), np.float16)
    sound, *_ = drawn(pictures.song_with_notes(features, spec, TimeMap.steady(120), notes))
    assert sound.get_ylim() == (0, spec.n_mels)
    assert sound.get_xlim() == (0, 8)


def test_the_busiest_stretch_begins_on_a_bar():
    beats = [1, 9, 40.5, 41, 41.5, 42, 60]
    notes = Notes.of(beats, *[[0] * len(beats)] * 4, [0.0] * len(beats))
    assert pictures.busiest_beat(notes, beats=4) == 40
    assert pictures.busiest_beat(Notes.none()) == 0
