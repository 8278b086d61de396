"""The game's own levels come out of real bundles, which UnityPy wrote, as maps that are read."""

import dataclasses
import gzip
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from unity_bundles import behaviour, fsb5, level_bundle, pointer, write_pack

from workbench.beatmap.maps import bundles
from workbench.beatmap.maps.bundles import (
    LEVELS,
    PACKS,
    BundleBeatmap,
    BundleLevel,
    PackLevel,
    Speeds,
    extract,
    level_bundles,
    level_files,
    pack_level,
    read_bundle,
    read_packs,
)
from workbench.beatmap.maps.level import HeldFiles, Level
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.sources_options import ExtractOptions
from workbench.errors import BeatmapError, OptionsError, SourceError
from workbench.progress import Progress

TESTED: set[str] = set()
FIELDS = {field.name for field in dataclasses.fields(ExtractOptions)}
RATE = 44_100
SOUND = (np.sin(np.arange(RATE)[:, None] * np.array([0.05, 0.1])) * 20_000).astype(np.int16)
LIGHTS = gzip.compress(b'{"version": "4.0.0", "basicEvents": []}')


def flag(*names: str) -> Callable[[Any], Any]:
    """Say which options a test is the test of."""
    assert set(names) <= FIELDS
    TESTED.update(names)
    return lambda test: test


def difficulty(notes: int) -> bytes:
    """Return a difficulty of version 4 as the game packs it."""
    document = {
        "version": "4.1.0",
        "colorNotes": [{"b": float(at), "i": at % 2} for at in range(notes)],
        "colorNotesData": [{"x": 1, "d": 1}, {"x": 2, "c": 1, "d": 1}],
    }
    return gzip.compress(json.dumps(document).encode())


def audio_data(*regions: tuple[int, int, float, float]) -> bytes:
    """Return the audio data of regions (first sample, last sample, first beat, last beat)."""
    values = {
        "version": "4.0.0",
        "songSampleCount": regions[-1][1],
        "songFrequency": RATE,
        "bpmData": [dict(zip(("si", "ei", "sb", "eb"), region, strict=True)) for region in regions],
        "lufsData": [],
    }
    return gzip.compress(json.dumps(values).encode())


TWO_TEMPOS = audio_data((0, RATE * 10, 0, 20), (RATE * 10, RATE * 20, 20, 60))


def preview(of: dict[int, float], characteristic: int = 0) -> dict[str, Any]:
    return {
        "_beatmapCharacteristic": pointer(characteristic),
        "_previewDifficultyBeatmaps": [
            {
                "_difficulty": number,
                "_noteJumpMovementSpeed": njs,
                "_noteJumpStartBeatOffset": -0.5,
            }
            for number, njs in of.items()
        ],
    }


def level_of_pack(number: int, level_id: str, previews: list[dict[str, Any]]) -> Any:
    fields = {
        "_levelID": level_id,
        "_songName": f"The {level_id}",
        "_songSubName": "feat. 曲",
        "_songAuthorName": "Composer",
        "_levelAuthorName": "Mapper",
        "_beatsPerMinute": 174.25,
        "_songTimeOffset": 0.0,
        "_songDuration": 20.0,
        "_previewStartTime": 3.5,
        "_previewDuration": 10.0,
        "_previewDifficultyBeatmapSets": previews,
    }
    return behaviour(number, f"{level_id}BeatmapLevel", fields)


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation of three levels, one of them of the extra content, and one that is broken."""
    root = tmp_path_factory.mktemp("game")
    levels, extra = (root / below for below in LEVELS)
    levels.mkdir(parents=True)
    (extra / "Bonus").mkdir(parents=True)
    sets = {
        "Standard": {1: difficulty(4), 3: difficulty(8)},
        "OneSaber": {3: difficulty(5)},
    }
    sound = fsb5(SOUND, RATE)
    (levels / "magic").write_bytes(
        level_bundle(sets=sets, lights=LIGHTS, audio_data=TWO_TEMPOS, sound=sound)
    )
    (levels / "untold").write_bytes(
        level_bundle(sets={"Standard": {4: difficulty(3)}}, audio_data=TWO_TEMPOS, sound=sound)
    )
    (levels / "readme.txt").write_text("no bundle")
    vorbis = io.BytesIO()
    soundfile.write(vorbis, SOUND, RATE, format="OGG", subtype="VORBIS")
    (extra / "Bonus" / "bonus").write_bytes(
        level_bundle(sets={"Standard": {0: difficulty(2)}}, sound=vorbis.getvalue())
    )
    whole = (levels / "magic").read_bytes()
    (levels / "broken").write_bytes(whole[: len(whole) // 2])
    write_pack(
        root / PACKS,
        "ostvol1",
        [
            behaviour(50, "StandardCharacteristic", {"_serializedName": "Standard"}),
            behaviour(51, "OneSaberCharacteristic", {"_serializedName": "OneSaber"}),
            # in another order than the level's own
            level_of_pack(
                1, "Magic", [preview({3: 14.0}, 51), preview({1: 10.0, 3: 16.0, 9: 1.0}, 50)]
            ),
            behaviour(2, "OstBeatmapLevelPack", {"_levelID": "pack"}),
            behaviour(3, "Nothing", {"_levelID": ""}),
        ],
    )
    write_pack(root / PACKS, "extras", [level_of_pack(1, "Bonus", [preview({0: 9.0})])])
    (root / PACKS / "bad_pack_assets_all_0.bundle").write_bytes(b"UnityFS\0 cut off")
    return root


def levels_in(folder: Path) -> dict[str, Level]:
    read = {}
    for place in map_places(folder):
        with place.open() as files:
            read[place.name] = read_level(files)
    return read


# --- all of them


def test_every_option_has_its_test() -> None:
    assert FIELDS == TESTED


def test_all_mistakes_of_options_are_told_at_once() -> None:
    with pytest.raises(OptionsError) as error:
        ExtractOptions(workers=0, audio="mp3")  # type: ignore[arg-type]
    assert len(str(error.value).splitlines()) == 2


def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, game: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "UnityPy", None)
    with pytest.raises(BeatmapError, match=r"workbench\[bundles\]") as error:
        extract(game, tmp_path)
    assert error.value.kind == "no_extra"


def test_the_extra_is_imported_only_where_it_is_used() -> None:
    code = f"import sys, {bundles.__name__}; sys.exit('UnityPy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_levels_are_extracted_as_maps_that_are_read(game: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    done = extract(game, tmp_path, show=seen.append)
    assert (done.levels, done.written, done.here) == (4, 3, 0)
    assert list(done.refused) == ["broken"]
    assert json.loads(json.dumps(dataclasses.asdict(done))) == dataclasses.asdict(done)
    assert [progress.done for progress in seen] == [1, 2, 3, 4]
    read = levels_in(tmp_path)
    assert sorted(read) == ["bonus", "magic", "untold"]
    magic = read["magic"]
    assert (magic.title, magic.subtitle, magic.artist) == ("The Magic", "feat. 曲", "Composer")
    assert (magic.mapper, magic.bpm, magic.preview_start) == ("Mapper", 174.25, 3.5)
    assert [
        (each.characteristic, each.difficulty, each.njs, each.offset, len(each.objects.notes))
        for each in magic.beatmaps
    ] == [
        ("Standard", "Normal", 10.0, -0.5, 4),
        ("Standard", "Expert", 16.0, -0.5, 8),
        ("OneSaber", "Expert", 14.0, -0.5, 5),
    ]
    # 20 beats in the first ten seconds, 40 in the next
    for beatmap in magic.beatmaps:
        assert beatmap.time_map.seconds_at([0, 20, 40]).tolist() == [0.0, 10.0, 15.0]
    fatal = [fault for level in read.values() for fault in level.all_faults() if fault.is_fatal]
    assert fatal == []
    for place in map_places(tmp_path):
        assert place.origin().source == "official"
        assert place.origin().score is None


def test_a_level_that_no_pack_knows_has_its_own_name_and_the_tempo_of_its_audio(
    game: Path, tmp_path: Path
) -> None:
    extract(game, tmp_path)
    untold = levels_in(tmp_path)["untold"]
    assert untold.title == "untold"
    assert untold.bpm == pytest.approx(60 / 20 * 60)  # 60 beats in 20 seconds
    assert untold.beatmaps[0].njs == 0.0


@flag("audio")
@pytest.mark.parametrize("kind", ["flac", "wav"])
def test_the_audio_is_the_samples_of_the_bundle(game: Path, tmp_path: Path, kind: str) -> None:
    extract(game, tmp_path, ExtractOptions(audio=kind))  # type: ignore[arg-type]
    read = levels_in(tmp_path)
    assert read["magic"].audio == f"song.{kind}"
    samples, rate = soundfile.read(tmp_path / "magic" / f"song.{kind}", dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples[: len(SOUND)], SOUND)
    assert not samples[len(SOUND) :].any()
    # an Ogg file within the bundle stays as it is
    assert read["bonus"].audio == "song.ogg"
    assert soundfile.info(tmp_path / "bonus" / "song.ogg").frames == len(SOUND)


def test_difficulties_lights_and_audio_data_keep_their_bytes(game: Path, tmp_path: Path) -> None:
    extract(game, tmp_path)
    files = {path.name: path.read_bytes() for path in (tmp_path / "magic").iterdir()}
    assert json.loads(gzip.decompress(files["ExpertStandard.dat"])) == json.loads(
        gzip.decompress(difficulty(8))
    )
    assert gzip.decompress(files["Lightshow.dat"]) == gzip.decompress(LIGHTS)
    assert gzip.decompress(files["AudioData.dat"]) == gzip.decompress(TWO_TEMPOS)
    assert len([name for name in files if name.startswith("Lightshow")]) == 1


@flag("again")
def test_a_second_extraction_writes_only_what_is_not_there(game: Path, tmp_path: Path) -> None:
    extract(game, tmp_path)
    (tmp_path / "magic" / "Info.dat").write_bytes(b"mine")
    (tmp_path / "bonus").rename(tmp_path / "elsewhere")
    done = extract(game, tmp_path)
    assert (done.written, done.here) == (1, 2)
    assert (tmp_path / "magic" / "Info.dat").read_bytes() == b"mine"
    done = extract(game, tmp_path, ExtractOptions(again=True))
    assert (done.written, done.here) == (3, 0)
    assert (tmp_path / "magic" / "Info.dat").read_bytes() != b"mine"


@flag("workers", "engine")
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_workers_write_the_same_folders(game: Path, tmp_path: Path, engine: str) -> None:
    one = extract(game, tmp_path / "one")
    two = extract(game, tmp_path / "two", ExtractOptions(workers=2, engine=engine))
    assert one.refused == two.refused

    def held(folder: Path) -> dict[str, bytes]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    assert held(tmp_path / "one") == held(tmp_path / "two")


# --- what is not there, or not right


def test_a_folder_that_is_no_game_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="BeatmapLevelsData"):
        level_bundles(tmp_path)


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.95])
def test_a_bundle_that_was_cut_off_is_a_reason(game: Path, tmp_path: Path, keep: float) -> None:
    whole = (game / LEVELS[0] / "magic").read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(BeatmapError) as error:
        read_bundle(path)
    assert error.value.kind in ("bad_bundle", "no_info", "missing_file", "bad_audio")


def test_a_wrong_byte_is_a_reason_or_changes_what_it_is_in(game: Path, tmp_path: Path) -> None:
    whole = (game / LEVELS[0] / "untold").read_bytes()
    kinds = set()
    for at in range(8, len(whole), len(whole) // 40):
        path = tmp_path / "bent"
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_bundle(path)
        except BeatmapError as error:
            kinds.add(error.kind)
    assert kinds


def test_audio_that_is_none_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "level"
    path.write_bytes(level_bundle(sets={"Standard": {0: difficulty(1)}}, sound=b"FSB5" * 100))
    with pytest.raises(BeatmapError) as error:
        read_bundle(path)
    assert error.value.kind == "bad_audio"


def test_a_level_whose_difficulties_cannot_be_read_is_refused(tmp_path: Path) -> None:
    levels = tmp_path / "game" / LEVELS[0]
    levels.mkdir(parents=True)
    (levels / "bad").write_bytes(
        level_bundle(sets={"Standard": {0: b"{no"}}, sound=fsb5(SOUND[:100], RATE))
    )
    done = extract(tmp_path / "game", tmp_path / "maps")
    assert done.refused == {"bad": "unreadable"}
    assert not (tmp_path / "maps" / "bad").exists()


def test_packs_know_levels_by_their_names_in_any_case(game: Path) -> None:
    packs = read_packs(game / PACKS)
    assert sorted(packs) == ["bonus", "magic"]
    assert packs["magic"].pack == "ostvol1"
    assert packs["magic"].speeds[1] == Speeds(
        characteristic="Standard", of={"Normal": (10.0, -0.5), "Expert": (16.0, -0.5)}
    )


# --- the pure parts


def held_level(*beatmaps: tuple[str, str], sound: bytes = b"RIFF") -> BundleLevel:
    return BundleLevel(
        id="level",
        beatmaps=tuple(
            BundleBeatmap(characteristic=one, difficulty=other, content=difficulty(2), lights=b"")
            for one, other in beatmaps
        ),
        audio_data=b"",
        audio=sound,
    )


def speeds_of(level: BundleLevel, *speeds: Speeds) -> list[float]:
    files = level_files(level, PackLevel(id="level", bpm=100.0, speeds=speeds))
    return [beatmap.njs for beatmap in read_level(HeldFiles(files)).beatmaps]


def test_a_pack_without_previews_still_knows_its_level() -> None:
    tree = {"_levelID": "One", "m_Name": "OneBeatmapLevel", "_previewDifficultyBeatmapSets": None}
    level = pack_level(tree, "pack", {})
    assert level is not None and level.speeds == ()
    sets = [{"_previewDifficultyBeatmaps": None}]
    level = pack_level(tree | {"_previewDifficultyBeatmapSets": sets}, "pack", {})
    assert level is not None and level.speeds[0].of == {}


def test_a_mistake_in_reading_costs_one_level(
    game: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract(game, tmp_path / "whole", ExtractOptions())
    read = bundles.read_bundle
    first = level_bundles(game)[0]

    def fails(path: Path) -> BundleLevel:
        if path == first:
            raise ZeroDivisionError("a mistake")
        return read(path)

    monkeypatch.setattr(bundles, "read_bundle", fails)
    done = extract(game, tmp_path / "maps", ExtractOptions())
    assert done.refused == {**whole.refused, first.stem: "crash"}


@pytest.mark.soak
def test_a_level_that_kills_its_worker_costs_itself(
    game: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = Path(__file__).parents[1] / "deadly"  # it kills whoever opens a file of some name
    monkeypatch.setenv("PYTHONPATH", str(deadly), prepend=":")
    levels = tmp_path / "game" / LEVELS[0]
    levels.mkdir(parents=True)
    for name in ("magic", "kills_its_reader"):
        shutil.copy(game / LEVELS[0] / "magic", levels / name)
    done = extract(tmp_path / "game", tmp_path / "maps", ExtractOptions(workers=2))
    assert done.refused == {"kills_its_reader": "killed_worker"}
    assert (done.levels, done.written) == (2, 1)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["magic"]


def test_speeds_of_characteristics_do_not_overwrite_each_other() -> None:
    level = held_level(("Standard", "Expert"), ("OneSaber", "Expert"))
    fast, slow = {"Expert": (18.0, 0.0)}, {"Expert": (11.0, 0.0)}
    named = (Speeds(characteristic="OneSaber", of=slow), Speeds(characteristic="Standard", of=fast))
    assert speeds_of(level, *named) == [18.0, 11.0]
    in_order = (Speeds(characteristic="", of=fast), Speeds(characteristic="", of=slow))
    assert speeds_of(level, *in_order) == [18.0, 11.0]
    one_named = (Speeds(characteristic="", of=fast), Speeds(characteristic="OneSaber", of=slow))
    assert speeds_of(level, *one_named) == [18.0, 11.0]
    assert speeds_of(level, in_order[0]) == [0.0, 0.0]  # nobody knows whose they are
    assert speeds_of(level) == [0.0, 0.0]


NAMES = st.sampled_from(["Standard", "OneSaber", "90Degree", "360Degree", "NoArrows"])
RANKS = st.sampled_from(["Easy", "Normal", "Hard", "Expert", "ExpertPlus"])


@settings(max_examples=25)
@given(st.lists(st.tuples(NAMES, RANKS), min_size=1, unique=True), st.text(max_size=5))
def test_every_beatmap_of_a_level_is_in_the_folder_and_is_read(
    beatmaps: list[tuple[str, str]], title: str
) -> None:
    level = held_level(*beatmaps)
    files = level_files(level, PackLevel(id="level", title=title, bpm=100.0))
    read = read_level(HeldFiles(files))
    assert [(each.characteristic, each.difficulty) for each in read.beatmaps] == beatmaps
    assert all(each.is_readable for each in read.beatmaps)
    assert read.title == title
