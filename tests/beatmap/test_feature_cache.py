"""Features kept on disk: found again, resumed, bounded, and told about."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from sounds import file_of, music, shards_of, song, songs

from workbench.beatmap.maps.charts import read_charts
from workbench.beatmap.maps.places import FolderFiles
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer import cache as module
from workbench.beatmap.writer.audio import audio_digest, song_samples
from workbench.beatmap.writer.cache import CACHE_NAME, FeatureCache, SongSound, feature_key, warm
from workbench.beatmap.writer.mel import mel
from workbench.beatmap.writer.options import CacheOptions, MelSpec
from workbench.errors import BeatmapError

BPMS = [120.0, 174.3, 92.49, 137.977]
SPEC = MelSpec()
OPTIONS = CacheOptions()


@pytest.fixture
def sounds(tmp_path):
    return songs(tmp_path / "songs", BPMS, 0.8)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def computed_of(sound, spec=SPEC):
    contents = [(sound.path / name).read_bytes() for name in sound.names]
    return mel(song_samples(contents, spec.sample_rate), spec, sound.time_map)


def assert_holds(cache, sounds, spec=SPEC):
    for sound in sounds:
        expected = computed_of(sound, spec)
        found = cache.features(sound.key)
        assert found.dtype == np.float16
        assert cache.columns(sound.key) == len(expected)
        np.testing.assert_allclose(found, expected, atol=0.07)


# --- found again


def test_features_are_computed_once(sounds, folder, monkeypatch):
    shown = []
    first = warm(folder, sounds, OPTIONS, shown.append)
    assert (first.found, first.computed, dict(first.refused), first.dropped) == (0, 4, {}, 0)
    assert [each.done for each in shown] == [1, 2, 3, 4, 4]
    assert shown[-1].is_last
    cache = FeatureCache(folder, SPEC)
    assert set(cache) == {sound.key for sound in sounds}
    assert len(cache) == 4
    assert_holds(cache, sounds)
    before = shards_of(folder)
    monkeypatch.setattr(module, "mel", None)  # whoever computes fails
    second = warm(folder, sounds, OPTIONS)
    assert (second.found, second.computed, dict(second.refused)) == (4, 0, {})
    assert shards_of(folder) == before
    assert second.size == sum(path.stat().st_size for path in folder.glob("*/*.np[yz]"))


@pytest.mark.parametrize("bpm", [174.3, 92.49, 1 / 3])
def test_a_tempo_is_found_again_after_it_was_written_down(bpm, tmp_path, folder):
    sound = song(tmp_path, "song", file_of(music(0.5)), bpm)
    warm(folder, [sound], OPTIONS)
    written = json.loads(json.dumps(sound.time_map.as_json()))
    key = feature_key(sound.digest, TimeMap.from_json(written))
    assert key in FeatureCache(folder, SPEC)
    assert feature_key(sound.digest, TimeMap.steady(bpm + 0.001)) not in FeatureCache(folder, SPEC)


def test_names_hold_no_tempo(sounds, folder):
    warm(folder, sounds, OPTIONS)
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert sorted(names) == [".lock", "000001.npy", "000001.npz", CACHE_NAME]


def test_new_songs_join_those_that_are_there(sounds, folder):
    warm(folder, sounds[:2], OPTIONS)
    told = warm(folder, sounds, OPTIONS)
    assert (told.found, told.computed) == (2, 2)
    assert_holds(FeatureCache(folder, SPEC), sounds)


def test_one_sound_and_time_map_is_one_song(sounds, folder):
    told = warm(folder, [sounds[0], sounds[1], replace(sounds[0])], OPTIONS)
    assert (told.computed, len(FeatureCache(folder, SPEC))) == (2, 2)


def test_one_sound_of_two_time_maps_is_two(sounds, folder):
    slow = replace(sounds[0], time_map=TimeMap.of_changes(120.0, [1.0], [60.0]))
    told = warm(folder, [sounds[0], slow], OPTIONS)
    assert told.computed == 2
    cache = FeatureCache(folder, SPEC)
    assert cache.columns(slow.key) < cache.columns(sounds[0].key)


def test_two_specs_live_side_by_side(sounds, folder):
    other = MelSpec(n_mels=40, onset=False, columns_a_beat=48)
    warm(folder, sounds, OPTIONS)
    told = warm(folder, sounds, CacheOptions(n_mels=40, onset=False, columns_a_beat=48))
    assert told.computed == 4
    assert_holds(FeatureCache(folder, SPEC), sounds)
    assert_holds(FeatureCache(folder, other), sounds, other)
    assert warm(folder, sounds, OPTIONS).computed == 0
    assert len(FeatureCache(folder, MelSpec(n_mels=41))) == 0


@pytest.mark.soak
def test_workers_make_the_same_shards(sounds, folder, tmp_path):
    warm(folder, sounds, CacheOptions(shard_mb=0.01))
    told = warm(tmp_path / "other", sounds, CacheOptions(shard_mb=0.01, workers=2))
    assert told.computed == 4
    assert shards_of(tmp_path / "other") == shards_of(folder)
    assert len(shards_of(folder)) > 2


def test_songs_in_zips_and_of_several_files_are_read(tmp_path, folder):
    contents = [file_of(music(0.5, seed=seed)) for seed in range(2)]
    for name, content in zip(("song.ogg", "guitar.ogg"), contents, strict=True):
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "map.zip", "w") as archive:
        archive.writestr("Info.dat", "{}")
        archive.writestr("song.egg", contents[0])
    both = SongSound(
        path=tmp_path,
        names=("song.ogg", "guitar.ogg"),
        digest=audio_digest(contents),
        time_map=TimeMap.steady(120.0),
    )
    zipped = SongSound(
        path=tmp_path / "map.zip",
        names=("song.egg",),
        digest=audio_digest(contents[:1]),
        time_map=TimeMap.steady(120.0),
    )
    told = warm(folder, [both, zipped], OPTIONS)
    assert (told.computed, dict(told.refused)) == (2, {})
    assert_holds(FeatureCache(folder, SPEC), [both])
    alone = replace(both, names=("song.ogg",))
    found = FeatureCache(folder, SPEC).features(zipped.key)
    np.testing.assert_allclose(found, computed_of(alone), atol=0.07)


def test_a_cache_that_went_to_another_process_is_mapped_there_anew(sounds, folder):
    warm(folder, sounds, OPTIONS)
    sent = pickle.dumps(FeatureCache(folder, SPEC))
    assert len(sent) < 1000
    assert_holds(pickle.loads(sent), sounds)


def test_a_song_without_a_column_is_kept(tmp_path, folder):
    late = TimeMap(beat=np.zeros(1), seconds=np.array([9.0]), bpm=np.array([120.0]))
    sound = song(tmp_path, "song", file_of(music(0.5)), late)
    assert warm(folder, [sound], OPTIONS).computed == 1
    assert warm(folder, [sound], OPTIONS).computed == 0
    assert FeatureCache(folder, SPEC).features(sound.key).shape == (0, 81)


# --- statistics


def test_mean_and_deviation_are_those_of_all_columns(sounds, folder):
    warm(folder, sounds, CacheOptions(shard_mb=0.01))
    cache = FeatureCache(folder, SPEC)
    chosen = [sounds[2].key, sounds[0].key]
    columns = np.concatenate([cache.features(key) for key in chosen]).astype(np.float64)
    told = cache.statistics(chosen)
    assert told.columns == len(columns)
    np.testing.assert_allclose(told.mean, columns.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(told.deviation, columns.std(axis=0), rtol=1e-4, atol=1e-4)


def test_a_channel_that_never_moves_has_a_deviation_to_divide_by(tmp_path, folder):
    sound = song(tmp_path, "song", file_of(np.zeros(9999, np.float32)))
    warm(folder, [sound], OPTIONS)
    told = FeatureCache(folder, SPEC).statistics([sound.key])
    assert (told.mean[:80] == -80).all()
    assert told.deviation == pytest.approx(np.full(81, 1e-3))


def test_statistics_of_nothing_are_refused(folder):
    with pytest.raises(BeatmapError, match="no columns to take a mean of"):
        FeatureCache(folder, SPEC).statistics([])


# --- what cannot be read


def test_a_bad_file_costs_its_own_song(sounds, tmp_path, folder, monkeypatch):
    bad = song(tmp_path, "bad", b"no sound at all")
    gone = replace(sounds[0], path=tmp_path / "gone", digest="0" * 64)
    nameless = replace(sounds[0], names=(), digest="1" * 64)
    changed = replace(sounds[1], digest="2" * 64)
    told = warm(folder, [bad, sounds[0], gone, nameless, changed, sounds[1]], OPTIONS)
    assert told.computed == 2
    assert {name.rpartition(" [")[0]: kind for name, (kind, _) in told.refused.items()} == {
        f"{tmp_path / 'bad'}: song.egg": "undecodable_audio",
        f"{tmp_path / 'gone'}: song.egg": "io_error",
        f"{sounds[0].path}: no audio": "no_audio",
        f"{sounds[1].path}: song.egg": "changed_audio",
    }
    named = f"{tmp_path / 'bad'}: song.egg [{bad.key[:12]}]"
    assert "first bytes are b'no sound'" in told.refused[named][1]
    assert_holds(FeatureCache(folder, SPEC), sounds[:2])
    read = []
    contents_of = module._contents
    monkeypatch.setattr(module, "_contents", lambda *s: read.append(str(s[0])) or contents_of(*s))
    again = warm(folder, [bad, sounds[0], gone], OPTIONS)
    assert read == [str(gone)]  # what was refused for its bytes is not decoded again
    assert again.refused[named] == told.refused[named]
    assert (again.found, again.computed) == (1, 0)


def test_each_time_map_of_a_song_that_is_refused_is_told(tmp_path, folder):
    bad = song(tmp_path, "bad", b"no sound at all")
    slow = replace(bad, time_map=TimeMap.steady(60.0))
    for _ in range(2):
        assert len(warm(folder, [bad, slow], OPTIONS).refused) == 2


def test_what_was_refused_is_tried_again_by_another_decoder(tmp_path, folder, monkeypatch):
    bad = song(tmp_path, "bad", b"no sound at all")
    warm(folder, [bad], OPTIONS)
    read = []
    contents_of = module._contents
    monkeypatch.setattr(module, "_contents", lambda *s: read.append(str(s[0])) or contents_of(*s))
    warm(folder, [bad], OPTIONS)
    assert read == []
    monkeypatch.setattr(module, "_DECODER", "libsndfile 99")
    for _ in range(2):
        assert len(warm(folder, [bad], OPTIONS).refused) == 1
    assert read == [str(bad)]


def test_a_file_that_was_mended_is_another(tmp_path, folder):
    bad = song(tmp_path, "song", b"no sound at all")
    assert warm(folder, [bad], OPTIONS).computed == 0
    good = song(tmp_path, "song", file_of(music(0.3)))
    assert warm(folder, [good], OPTIONS).computed == 1


def test_what_is_not_there_is_told_by_name(folder):
    with pytest.raises(BeatmapError, match="holds no features of abc; warm the cache") as caught:
        FeatureCache(folder, SPEC).features("abc")
    assert caught.value.kind == "not_cached"


# --- the folder


def test_the_oldest_leave_for_room(sounds, folder):
    def held():
        return [sound.key in FeatureCache(folder, SPEC) for sound in sounds]

    one = warm(folder, sounds[:1], OPTIONS).size
    for number in (1, 2):
        warm(folder, sounds[number : number + 1], OPTIONS)
    warm(folder, sounds[:1], OPTIONS)  # asked for again, so that it is not the oldest
    assert held() == [True, True, True, False]
    told = warm(folder, sounds[3:], CacheOptions(budget_mb=3.6 * one / 1e6))
    assert told.dropped == 1
    assert held() == [True, False, True, True]
    assert told.size <= 3.6 * one
    assert told.size == sum(path.stat().st_size for path in folder.glob("*/*.np[yz]"))


def test_other_specs_leave_for_room_too(sounds, folder):
    size = warm(folder, sounds, CacheOptions(n_mels=40)).size
    told = warm(folder, sounds, CacheOptions(budget_mb=2.3 * size / 1e6))
    assert (told.computed, told.dropped) == (4, 4)
    assert len(FeatureCache(folder, MelSpec(n_mels=40))) == 0
    assert_holds(FeatureCache(folder, SPEC), sounds)


def test_a_budget_that_is_too_small_is_an_error_and_keeps_what_fits(sounds, folder):
    with pytest.raises(BeatmapError, match=r"of 4 songs take .* over the budget of") as caught:
        warm(folder, sounds, CacheOptions(budget_mb=0.02))
    assert caught.value.kind == "over_budget"
    taken = sum(path.stat().st_size for path in folder.glob("*/*.np[yz]"))
    assert 0 < taken <= 20_000
    assert 0 < len(FeatureCache(folder, SPEC)) < 4
    assert not (folder / ".staging").exists()
    assert warm(folder, sounds, OPTIONS).found > 0


@pytest.mark.parametrize("asked", [[0], [3, 1], [1, 2, 3]])
def test_songs_that_share_a_shard_with_those_asked_for_leave_for_room(sounds, folder, asked):
    size = warm(folder, sounds, OPTIONS).size
    cache = FeatureCache(folder, SPEC)
    before = {sounds[n].key: cache.features(sounds[n].key).copy() for n in asked}
    mean = cache.statistics(before).mean
    budget = CacheOptions(budget_mb=0.95 * size / 1e6)
    told = warm(folder, [sounds[n] for n in asked], budget)
    assert (told.found, told.computed, told.dropped) == (len(asked), 0, 4 - len(asked))
    assert told.size < 0.95 * size
    assert told.size == sum(path.stat().st_size for path in folder.glob("*/*.np[yz]"))
    cache = FeatureCache(folder, SPEC)
    assert set(cache) == set(before)
    assert all((cache.features(key) == features).all() for key, features in before.items())
    assert (cache.statistics(before).mean == mean).all()
    again = warm(folder, [sounds[n] for n in asked], budget)
    assert (again.found, again.dropped, again.size) == (len(asked), 0, told.size)


def test_new_songs_and_some_of_a_shard_fit_together(sounds, folder):
    three = warm(folder, sounds[:3], OPTIONS).size
    told = warm(folder, sounds[2:], CacheOptions(budget_mb=three / 1e6))
    assert (told.found, told.computed, told.dropped) == (1, 1, 2)
    assert told.size <= three
    assert_holds(FeatureCache(folder, SPEC), sounds[2:])


def test_two_runs_at_once_are_refused(sounds, folder):
    folder.mkdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(BeatmapError, match="another run is at work there; wait for it"),
    ):
        warm(folder, sounds, OPTIONS)
    assert warm(folder, sounds[:1], OPTIONS).computed == 1
    assert warm(folder, sounds[:1], OPTIONS).found == 1


def test_a_folder_of_other_things_is_left_alone(sounds, folder):
    (folder / ("a" * 16)).mkdir(parents=True)
    mine = folder / ("a" * 16) / "000001.npy"
    mine.write_bytes(b"mine")
    with pytest.raises(BeatmapError, match="holds something else, which stays"):
        warm(folder, sounds, OPTIONS)
    assert mine.read_bytes() == b"mine"


def test_files_that_the_list_does_not_know_go(sounds, folder):
    warm(folder, sounds, OPTIONS)
    shard = next(iter(folder.glob("*/000001.npy")))
    stray = shard.with_name("000009.npy")
    other = shard.with_name("notes.txt")
    for path in (stray, other):
        path.write_bytes(b"left by one who was killed")
    warm(folder, sounds, OPTIONS)
    assert not stray.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1, "shards": 3, "refused": {}}']
)
def test_a_damaged_list_is_told(content, sounds, folder):
    folder.mkdir()
    (folder / CACHE_NAME).write_bytes(content)
    for use in (lambda: FeatureCache(folder, SPEC), lambda: warm(folder, sounds, OPTIONS)):
        with pytest.raises(BeatmapError, match="delete the folder to compute them anew"):
            use()


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_shard_is_told(ending, damage, sounds, folder):
    warm(folder, sounds, OPTIONS)
    path = next(iter(folder.glob(f"*/*.{ending}")))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200] if damage == "cut" else b"something else")
    with pytest.raises(BeatmapError, match="no readable features") as caught:
        FeatureCache(folder, SPEC)
    assert caught.value.kind == "bad_cache"


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.soak, id="many")], ids=str)
def test_runs_that_are_killed_and_go_on_make_the_same_shards(kills, tmp_path):
    script = Path(__file__).with_name("warm_once.py")
    arguments = [str(tmp_path / "songs"), str(tmp_path), str(kills), "7"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert len(told["whole"]) > 6
    assert len(told["killed"]) == kills
    assert all(shards == told["whole"] for shards in told["killed"])
    assert told["torn"] > 0


# --- real songs


@pytest.mark.charts
def test_onsets_of_a_song_are_where_people_charted_them(charts, folder):
    place = charts / "muldjord" / "chaos_god"
    files = FolderFiles(place)
    charted = read_charts(files)
    sound = SongSound(
        path=place,
        names=charted.audio,
        digest=audio_digest([files.read(name) for name in charted.audio]),
        time_map=charted.time_map,
    )
    assert len(sound.names) == 2
    assert warm(folder, [sound], OPTIONS).computed == 1
    onsets = FeatureCache(folder, SPEC).features(sound.key)[:, -1].astype(np.float32)
    chart = max(charted.charts, key=lambda chart: len(chart.onsets()))
    at = np.rint(16 * charted.time_map.beats_at(chart.seconds())).astype(int)
    late = onsets[at + 2]  # librosa tells of an onset some 40 ms after it, here two columns
    assert late.mean() > 1.4 * onsets.mean()


# --- options


def test_every_option_of_the_features_is_used(sounds, folder):
    """Sample rate, window, hop, bands, onsets and columns change what is computed."""
    sound = sounds[0]
    base = computed_of(sound)
    for name, value in {
        "sample_rate": 16_000,
        "n_fft": 1024,
        "hop_length": 256,
        "n_mels": 40,
        "onset": False,
        "columns_a_beat": 8,
    }.items():
        options = CacheOptions(**{name: value})
        assert options.spec == MelSpec(**{name: value})
        assert warm(folder, [sound], options).computed == 1
        found = FeatureCache(folder, options.spec).features(sound.key)
        assert found.shape != base.shape or np.abs(found - base).max() > 0.1
    assert Counter(path.suffix for path in folder.glob("*/*")) == {".npy": 6, ".npz": 6}
