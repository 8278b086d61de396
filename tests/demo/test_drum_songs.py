import io
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from workbench.demo.drum_songs import MADE_BY, DrumSongOptions, make_drum_songs
from workbench.errors import CachingError, OptionsError

THREE = DrumSongOptions(songs=3, beats=16, seed=4)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return make_drum_songs(tmp_path_factory.mktemp("demo") / "songs", THREE)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def song(folder):
    """Return the tempo, the notes and the sound of a song."""
    bpm = json.loads((folder / "Info.dat").read_bytes())["_beatsPerMinute"]
    notes = json.loads((folder / "Expert.dat").read_bytes())["_notes"]
    sound, rate = soundfile.read(io.BytesIO((folder / "song.egg").read_bytes()))
    return bpm, notes, sound, rate


def energies(sound, rate, moments):
    """Return the energy in the 15 ms from just before each moment."""
    starts = ((moments - 0.003) * rate).astype(int).clip(0)
    parts = [sound[start : start + int(0.015 * rate)] for start in starts]
    return np.array([np.square(part).mean() for part in parts])


def test_drums_sound_where_the_map_says_and_nowhere_else(maps):
    for folder in sorted(maps.iterdir()):
        bpm, notes, sound, rate = song(folder)
        assert len(sound) / rate == pytest.approx(THREE.beats * 60 / bpm, abs=0.01)
        quarters = np.arange(1, 4 * THREE.beats)  # nothing is before the first
        has_note = np.isin(quarters, [4 * note["_time"] for note in notes])
        at = quarters / 4 * 60 / bpm
        rises = np.zeros(len(at))
        for heard in (sound, np.diff(sound, 3)):  # a hat behind a kick is heard in its heights
            before = energies(heard, rate, at - 0.02) + 4e-5
            rises = np.maximum(rises, energies(heard, rate, at) / before)
        assert rises[has_note].min() > 1.5 * rises[~has_note].max()


def test_each_hand_has_its_drum_and_swings_to_and_fro(maps):
    heights = {0: [], 1: []}
    for folder in maps.iterdir():
        bpm, notes, sound, rate = song(folder)
        for hand in (0, 1):
            own = [note for note in notes if note["_type"] == hand]
            assert [note["_cutDirection"] for note in own] == [1, 0] * (len(own) // 2) + [1] * (
                len(own) % 2
            )
            assert {note["_lineIndex"] for note in own} == {1 + hand}
            for note in own:
                start = int(note["_time"] * 60 / bpm * rate)
                spectrum = np.abs(np.fft.rfft(sound[start : start + 1024]))
                heights[hand].append((spectrum * np.arange(len(spectrum))).sum() / spectrum.sum())
    kick, hat = (np.quantile(heights[hand], q) for hand, q in ((0, 0.9), (1, 0.1)))
    assert kick < hat


def test_as_many_drums_fall_as_were_asked_for(tmp_path):
    options = DrumSongOptions(songs=6, beats=64, kicks=0.6, hats=0.1, min_bpm=100, max_bpm=101)
    hands = []
    for folder in make_drum_songs(tmp_path / "songs", options).iterdir():
        bpm, notes, _, _ = song(folder)
        assert 100 <= bpm <= 101
        hands += [note["_type"] for note in notes]
    assert hands.count(0) / (6 * 256) == pytest.approx(0.6, abs=0.05)
    assert hands.count(1) / (6 * 256) == pytest.approx(0.1, abs=0.04)


def test_equal_options_give_equal_bytes_and_each_song_is_another(maps, tmp_path):
    again = make_drum_songs(tmp_path / "again", THREE)
    assert contents(again) == contents(maps)
    fewer = make_drum_songs(tmp_path / "fewer", replace(THREE, songs=2))
    whole = contents(maps)
    assert contents(fewer) == {n: c for n, c in whole.items() if not n.startswith("song_002")}
    assert len({c for name, c in whole.items() if name.endswith(".egg")}) == 3
    other = contents(make_drum_songs(tmp_path / "other", replace(THREE, seed=5)))
    assert not set(whole.values()) & set(other.values())


def test_songs_that_are_there_stay_and_other_options_replace_them(tmp_path):
    folder = tmp_path / "songs"
    maps = make_drum_songs(folder, THREE)
    before = (maps / "song_000" / "song.egg").stat().st_mtime_ns
    assert make_drum_songs(folder, THREE) == maps
    assert (maps / "song_000" / "song.egg").stat().st_mtime_ns == before
    make_drum_songs(folder, replace(THREE, songs=1))
    assert [path.name for path in maps.iterdir()] == ["song_000"]
    assert json.loads((folder / MADE_BY).read_text())["songs"] == 1
    (tmp_path / "poem.txt").write_text("hat")
    with pytest.raises(CachingError, match="holds something else"):
        make_drum_songs(tmp_path, THREE)


def test_what_cannot_be_is_refused_all_at_once():
    with pytest.raises(OptionsError) as caught:
        DrumSongOptions(min_bpm=120, max_bpm=110, kicks=0.7, hats=0.5)
    assert "min_bpm: 120 is above max_bpm 110" in str(caught.value)
    assert "kicks 0.7 and hats 0.5 are more than all places" in str(caught.value)
