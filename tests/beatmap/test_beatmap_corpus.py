"""Which charts are learnt from, in which part, and their tokens."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from map_folders import write_map, write_maps
from token_loop import LoopNote, loop_encoded

from workbench.beatmap.maps.manifest import StoredBeatmap, StoredSong
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer import corpus
from workbench.beatmap.writer.corpus import (
    chosen_charts,
    encoded_charts,
    part_of,
    song_weights,
    sounds_of,
)
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.tokens import EXTENDED, VOCABULARY_291
from workbench.errors import OptionsError

ALL = DataOptions(characteristics="", validation=0.3, test=0.2)
KEYS = st.text("0123456789abcdef", min_size=1, max_size=8)
SHARES = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5))


def song_of(key="00", beatmaps=None, **more):
    told = {"source": "service", "title": "", "artist": "", "mapper": "", "bpm": 120.0}
    told |= {"audio_digest": key, "time_map": TimeMap.steady(120.0), "score": 0.8}
    return StoredSong(key=key, beatmaps=tuple(beatmaps or [beatmap_of()]), **told | more)


def beatmap_of(difficulty="Expert", characteristic="Standard", notes=9, **more):
    return StoredBeatmap(
        difficulty=difficulty,
        characteristic=characteristic,
        counts={"notes": notes},
        nps=1.0,
        time_map=TimeMap.steady(120.0),
        **more,
    )


# --- parts


@given(KEYS, SHARES, SHARES)
def test_shares_that_grow_take_songs_from_training_alone(key, shares, more):
    before = part_of(key, *shares)
    after = part_of(key, max(shares[0], more[0]), max(shares[1], more[1]))
    assert after == before or before == "train"


@given(st.lists(KEYS, unique=True, max_size=20), st.lists(KEYS, unique=True, max_size=20))
def test_songs_that_are_added_move_no_other(some, more):
    def parts(keys):
        songs = [song_of(key) for key in keys]
        return {chart.song.key: chart.part for chart in chosen_charts(songs, ALL)[0]}

    assert parts(some).items() <= parts(list(dict.fromkeys([*more, *some]))).items()


def test_parts_have_their_shares():
    parts = Counter(part_of(f"{number}", 0.1, 0.2) for number in range(20_000))
    assert parts["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert parts["test"] / 20_000 == pytest.approx(0.2, abs=0.01)
    assert {part_of(str(n), 0.0, 0.0) for n in range(100)} == {"train"}
    assert {part_of(str(n), 1.0, 0.0) for n in range(100)} == {"validation"}
    assert {part_of(str(n), 0.0, 1.0) for n in range(100)} == {"test"}


def test_parts_stay_what_they_are_in_every_version():
    parts = [part_of(f"{number:064x}", 0.25, 0.25) for number in range(12)]
    assert parts == PINNED


PINNED = [
    "test",
    "train",
    "train",
    "test",
    "train",
    "train",
    "test",
    "test",
    "validation",
    "train",
    "train",
    "test",
]


def test_all_maps_of_one_sound_are_in_one_part():
    songs = [song_of(f"{n:02}", audio_digest=f"{n // 3}") for n in range(60)]
    charts, _ = chosen_charts(songs, ALL)
    parts = {chart.song.audio_digest: set() for chart in charts}
    for chart in charts:
        parts[chart.song.audio_digest].add(chart.part)
    assert all(len(some) == 1 for some in parts.values())
    assert len({part for some in parts.values() for part in some}) == 3


# --- filters


@pytest.mark.parametrize(
    ("song", "options", "reason"),
    [
        ({"audio_digest": ""}, {}, "no_audio"),
        ({"song_time_offset": -0.5}, {}, "song_time_offset"),
        ({"bpm": 99.9}, {"min_bpm": 100.0}, "bpm"),
        ({"bpm": 200.1}, {"max_bpm": 200.0}, "bpm"),
        ({"score": 0.69}, {"min_score": 0.7}, "score"),
        ({"score": None}, {"unrated": False}, "unrated"),
        ({"score": None}, {"min_score": 0.7}, None),
        ({"beatmaps": [beatmap_of("Hard")]}, {"min_difficulty": "Expert"}, "difficulty"),
        ({"beatmaps": [beatmap_of("Hard")]}, {"max_difficulty": "Normal"}, "difficulty"),
        ({"beatmaps": [beatmap_of("Nightmare")]}, {}, "odd_difficulty"),
        ({"beatmaps": [beatmap_of(characteristic="OneSaber")]}, {}, "characteristic"),
        (
            {"beatmaps": [beatmap_of(characteristic="OneSaber")]},
            {"characteristics": "Standard, OneSaber"},
            None,
        ),
        ({"beatmaps": [beatmap_of(characteristic="Own")]}, {"characteristics": ""}, None),
        ({"beatmaps": [beatmap_of(notes=3)]}, {"min_notes": 4}, "few_notes"),
        ({"beatmaps": [beatmap_of(flags=("noodle",))]}, {}, "modded"),
        ({"beatmaps": [beatmap_of(flags=("mapping_extensions",))]}, {"modded": True}, None),
        ({"beatmaps": [beatmap_of(flags=("chroma",))]}, {}, None),
        ({}, {}, None),
    ],
)
def test_a_chart_is_left_out_for_a_reason_that_is_told(song, options, reason):
    charts, left_out = chosen_charts([song_of(**song)], DataOptions(**options))
    assert (len(charts), left_out) == ((0, {reason: 1}) if reason else (1, {}))


def test_filters_act_on_each_chart_of_a_song():
    beatmaps = [beatmap_of("Easy"), beatmap_of("Expert"), beatmap_of("Expert", notes=0)]
    charts, left_out = chosen_charts(
        [song_of(beatmaps=beatmaps)], DataOptions(min_difficulty="Hard")
    )
    assert [chart.number for chart in charts] == [1]
    assert left_out == {"difficulty": 1, "few_notes": 1}


def test_options_that_contradict_each_other_are_all_told():
    with pytest.raises(OptionsError) as failed:
        DataOptions(
            validation=0.6,
            test=0.5,
            min_bpm=2.0,
            max_bpm=1.0,
            min_difficulty="Expert",
            max_difficulty="Easy",
        )
    assert str(failed.value).splitlines() == [
        "validation 0.6 and test 0.5 are more than all",
        "min_bpm: 2 is above max_bpm 1",
        "min_difficulty: Expert is above max_difficulty Easy",
    ]


# --- weights


def test_a_song_counts_by_its_score_and_an_unrated_one_not_as_the_best():
    songs = [song_of("a", score=0.9), song_of("b", score=0.3), song_of("c", score=None)]
    songs.append(song_of("d", score=None, source="official"))
    charts, _ = chosen_charts(songs, DataOptions())
    assert song_weights(charts, DataOptions()).tolist() == [0.9, 0.3, 0.5, 1.0]
    squared = song_weights(charts, DataOptions(score_power=2.0, unrated_score=0.1))
    assert squared == pytest.approx([0.81, 0.09, 0.01, 1.0])
    assert song_weights(charts, DataOptions(score_power=0.0)).tolist() == [1.0] * 4


# --- tokens


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of seven songs, and what they hold."""
    root = tmp_path_factory.mktemp("corpus")
    maps = write_maps(root / "maps", 6, seed=4)
    maps.append(write_map(root / "maps", "z one", seed=9, difficulties=("Easy",), notes=3))
    process([root / "maps"], root / "store", ProcessOptions(part_songs=3))
    return Store.open(root / "store"), {each.name: each for each in maps}


def loop_tokens(notes, difficulty):
    return loop_encoded([LoopNote(*note) for note in notes], difficulty)


@pytest.mark.parametrize("rows", [1, 100, 10_000])
def test_charts_become_the_tokens_that_a_plain_loop_makes_of_their_notes(made, monkeypatch, rows):
    monkeypatch.setattr(corpus, "_ROWS", rows)
    store, maps = made
    charts, _ = chosen_charts(store.songs, ALL)
    assert len(charts) == 13
    encoded = encoded_charts(store, charts, VOCABULARY_291)
    assert len(encoded) == 13
    for number, chart in enumerate(charts):
        difficulty = chart.beatmap.difficulty
        expected = loop_tokens(maps[chart.song.place].notes[difficulty], difficulty)
        assert encoded.chart(number).tolist() == expected
    assert encoded.kept.sum() + sum(c.sum() for c in encoded.lost.values()) == sum(
        chart.beatmap.counts["notes"] for chart in charts
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=13, max_size=13), st.sampled_from([1, 90, 10_000]))
def test_some_charts_are_the_same_tokens_as_among_all(made, wanted, rows):
    store, _ = made
    charts, _ = chosen_charts(store.songs, ALL)
    before = corpus._ROWS
    corpus._ROWS = rows
    try:
        whole = encoded_charts(store, charts, EXTENDED)
        some = encoded_charts(
            store, [c for c, w in zip(charts, wanted, strict=True) if w], EXTENDED
        )
    finally:
        corpus._ROWS = before
    chosen = np.flatnonzero(wanted)
    assert len(some) == len(chosen)
    for place, number in enumerate(chosen.tolist()):
        assert some.chart(place).tolist() == whole.chart(number).tolist()
        bars = some.bars[some.bar_offsets[place] : some.bar_offsets[place + 1]]
        all_bars = whole.bars[whole.bar_offsets[number] : whole.bar_offsets[number + 1]]
        assert (bars - some.offsets[place] == all_bars - whole.offsets[number]).all()
    assert some.kept.tolist() == whole.kept[chosen].tolist()
    for reason, counts in some.lost.items():
        assert counts.tolist() == whole.lost[reason][chosen].tolist()


# --- sounds


def test_each_sound_comes_once_for_each_of_its_time_maps(made):
    store, _ = made
    places = store.places()
    sounds = sounds_of(store.songs, places)
    charts, _ = chosen_charts(store.songs, ALL)
    assert {sound.key for sound in sounds} == {chart.feature_key for chart in charts}
    assert len(sounds) == 7  # both charts of a song have one time map
    silent = [replace(store.songs[0], audio_digest=""), *store.songs[1:]]
    gone = {key: place for key, place in places.items() if key != store.songs[1].key}
    assert len(sounds_of(silent, gone)) == 5
