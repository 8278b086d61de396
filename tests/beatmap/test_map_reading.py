"""Levels of every version read: counts and seconds as bsmap has them, and faults by name."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_maps import (
    AUDIO_DATA,
    COMPACT,
    LIGHTS,
    MADE,
    NOTES,
    PLAIN_2,
    V4,
    files_of,
    info_v2,
    info_v4,
    note,
    text,
)

from workbench.beatmap.maps.identity import level_hash
from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.patterns import checked
from workbench.beatmap.maps.reading import info_name, read_difficulty, read_level
from workbench.errors import BeatmapError

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "beatmap_bsmap.json").read_text(encoding="utf-8")
)
KINDS = ("notes", "bombs", "walls", "arcs", "chains", "rotations", "speeds")
# What bsmap counts and we leave out, each told as a fault: what cannot be read, and a fake; below
# 0 what it passes over: bsmap 2.2.9 reads no arcs of v2
LEFT_OUT = {
    "free_walls": {"arcs": -1},
    "v4_index": {"notes": 2, "arcs": 1},
    "parts_of_lanes": {"notes": 2},
    "fakes_v2": {"notes": 1},
}
# v4's tempo lies in another file, which bsmap's difficulty does not know
OWN_TIMES = ("v4_audio", "v4_index", "parts_of_lanes", "fakes_v2")


def held(folder: Path) -> HeldFiles:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return HeldFiles(files, place=folder.name)


def only(name: str):
    (beatmap,) = read_level(files_of(name)).beatmaps
    return beatmap


def kinds(faults) -> set[str]:
    return {fault.kind for fault in faults}


def of_text(difficulty, **info):
    files = {"Info.dat": info_v2(**info), "Expert.dat": difficulty}
    (beatmap,) = read_level(HeldFiles(files)).beatmaps
    return beatmap


@pytest.mark.parametrize("name", MADE)
def test_made_maps_count_as_bsmap_counts_them(name):
    counts = only(name).objects.counts()
    left_out = LEFT_OUT.get(name, {})
    whole = {kind: counts[kind] + left_out.get(kind, 0) for kind in KINDS}
    assert whole == {kind: GOLDEN[f"made/{name}"][kind] for kind in KINDS}
    assert counts == {kind: whole[kind] - left_out.get(kind, 0) for kind in KINDS}


@pytest.mark.parametrize("name", [name for name in MADE if name not in OWN_TIMES])
def test_made_maps_sound_when_bsmap_says(name):
    beatmap = only(name)
    found = beatmap.time_map.seconds_at(beatmap.objects.notes.beat)
    assert found == pytest.approx(sorted(GOLDEN[f"made/{name}"]["seconds"]), abs=1e-3)


@pytest.mark.beatsaber
def test_given_maps_are_read_as_bsmap_reads_them(beatsaber):
    seen = 0
    levels = {name: read_level(held(beatsaber / name)) for name in ("v4_sample", "v4_test_track")}
    for name, expected in GOLDEN.items():
        place, _, file = name.partition("/")
        if place == "made":
            continue
        if place in levels:
            beatmap = next(b for b in levels[place].beatmaps if b.file == file)
        else:
            beatmap = read_difficulty((beatsaber / "filled_v1_to_v4" / place / file).read_bytes())
        assert beatmap.objects.counts() == {kind: expected[kind] for kind in KINDS}, name
        if place != "v4_sample":  # whose audio data says another tempo than its Info
            found = beatmap.time_map.seconds_at(beatmap.objects.notes.beat)
            assert found == pytest.approx(expected["seconds"], abs=1e-3), name
        seen += 1
    assert seen == 49


@pytest.mark.beatsaber
def test_audio_data_is_found_under_another_name_and_its_tempo_holds(beatsaber):
    level = read_level(held(beatsaber / "v4_sample"))
    assert level.audio_data_file == "BPMInfo.dat" and level.audio_data.format == 4
    assert level.bpm == 208
    assert level.time_map.bpm == pytest.approx([59.8635], abs=1e-4)
    assert all(beatmap.time_map == level.time_map for beatmap in level.beatmaps)
    assert "tempo_disagreement" in kinds(level.faults)
    assert level.beatmaps[0].objects.rotations.is_early.tolist() == [True, False]


# By the label of the difficulty: the fault that its mapper planted, as this program calls it
PLANTED = {
    "Stacked Note": "stacked_note",
    "Vary Swing": "uneven_swing",
    "Slow Slider": "slow_slider",
    "Speed Pause": "speed_pause",
    "EBPM": "fast_swing",
    "Zero Obstacle": "zero_wall",
    "Short Obstacle": "short_wall",
    "Rankable Obstacle": "odd_wall",
    "Center Obstacle": "center_wall",
    "Outside Playable": "negative_time",
    "Outro (Empty)": "long_end",
    "Outro (Quick)": "quick_end",
    "Hot Start": "hot_start",
    "VNJS": "njs_change",
    "Unlit Bomb": "unlit_bomb",
    "Insufficient Light (v3 env)": "insufficient_light",
    "Insufficient Light (pre-v3 env)": "insufficient_light",
    "Invalid Object (Event)": "bad_event",
    "Invalid Object (Obstacle)": "outside_grid",
    "Invalid Object (Chain/Arc)": "bad_anchor",
    "Invalid Object (Note/Bomb)": "bad_direction",
    "Hammer Hit": "hammer_hit",
    "Angle Offset": "odd_angle",
    "Improper Window": "improper_window",
    "Improper Chain": "improper_chain",
    "Improper Arc": "improper_arc",
    "Parallel Notes": "parallel_notes",
    "Excessive Double": "excessive_doubles",
    "Double Directional": "double_directional",
    "Acceptable Precision": "off_grid",
    "Hitbox Reverse Staircase": "hitbox_reverse_staircase",
    "Hitbox Staircase": "hitbox_staircase",
    "Hitbox Path": "hitbox_path",
    "Hitbox Inline": "hitbox_inline",
    "Handclap": "handclap",
}
# Labels whose difficulties and light shows hold nothing at all, so that nothing can be seen
EMPTY = {"Vision Block", "Reserved", "Invalid Event Box", "Invalid Object (GLS)", "Parity"}


@pytest.fixture(scope="module")
def test_track(beatsaber):
    return checked(read_level(held(beatsaber / "v4_test_track")))


@pytest.mark.beatsaber
def test_each_planted_fault_is_told_by_name(test_track):
    by_label = {beatmap.label: beatmap for beatmap in test_track.beatmaps}
    assert set(by_label) == set(PLANTED) | EMPTY
    for label, kind in PLANTED.items():
        faults = by_label[label].faults
        assert kind in kinds(faults), label
        assert all(re.match(r"[\w.]+: (\$|beat )", f.place) for f in faults), label
    for label in EMPTY:
        assert not any(by_label[label].objects.counts().values()), label
        assert kinds(by_label[label].faults) == {"insufficient_light"}, label


@pytest.mark.beatsaber
def test_each_kind_that_marks_one_planted_fault_marks_few_others(test_track):
    """A rule that fires everywhere would name each planted fault and say nothing."""
    rare = {"uneven_swing", "speed_pause", "short_wall", "unlit_bomb", "hammer_hit", "quick_end"}
    rare |= {"excessive_doubles", "improper_chain", "improper_arc", "bad_anchor", "njs_change"}
    rare |= {"center_wall", "fast_swing", "stacked_note", "hitbox_reverse_staircase", "bad_event"}
    for kind in rare:
        told = [b.label for b in test_track.beatmaps if kind in kinds(b.faults)]
        assert 1 <= len(told) <= 3, (kind, told)


@pytest.mark.beatsaber
def test_faults_stand_where_they_were_planted(test_track):
    told = {(fault.kind, fault.place): fault.detail for fault in test_track.all_faults()}
    assert "lane 2, layer 0" in told["stacked_note", "Easy360Degree.dat: $.colorNotes[3]"]
    assert told["negative_time", "NormalLawless.dat: $.colorNotes[0]"] == "beat -1"
    assert "32.500 s of 32.000" in told["after_audio", "NormalLawless.dat: $"]
    assert "-9 m/s to 10" in told["njs_change", "EasyLegacy.dat: $.njsEvents[1]"]


@pytest.mark.beatsaber
def test_every_given_file_is_read_without_a_fatal_fault(beatsaber):
    for info in sorted(beatsaber.glob("**/Info.dat")):
        level = read_level(held(info.parent))
        fatal = [fault for fault in level.all_faults() if fault.is_fatal]
        assert [f.kind for f in fatal] == (["bad_tempo"] if level.bpm == 0 else [])
    for path in sorted(beatsaber.glob("filled*/**/Difficulty.dat")):
        beatmap = read_difficulty(path.read_bytes())
        assert beatmap.is_readable and beatmap.version.startswith(path.parent.name[1])


def test_info_of_the_first_version_takes_njs_from_the_difficulty():
    level = read_level(files_of("first_version"))
    (beatmap,) = level.beatmaps
    assert (level.title, level.artist, level.audio, level.cover) == (
        "Song",
        "Artist",
        "song.ogg",
        "cover.png",
    )
    assert (beatmap.njs, beatmap.offset, beatmap.rank, beatmap.version) == (13, 0.25, 4, "1.5.0")
    assert (beatmap.characteristic, beatmap.flags) == ("Standard", ("editor_tempo",))
    assert beatmap.time_map.bpm.tolist() == [120]  # an editor's grid moves nothing


def test_info_of_the_second_version_says_all_of_the_level():
    level = read_level(files_of("mark"))
    (beatmap,) = level.beatmaps
    assert (level.title, level.subtitle, level.artist, level.mapper, level.bpm) == (
        "Song",
        "(short)",
        "Artist",
        "Mapper",
        120,
    )
    assert (level.preview_start, level.preview_duration, level.environment, level.version) == (
        12,
        10,
        "DefaultEnvironment",
        "2.0.0",
    )
    assert (beatmap.njs, beatmap.offset, beatmap.label) == (16, -0.5, "Hand made")
    assert (beatmap.suggestions, beatmap.flags) == (("Chroma",), ("chroma",))
    assert beatmap.mappers == ("Mapper",)


def test_info_of_the_fourth_version_says_who_made_what():
    level = read_level(files_of("v4"))
    (beatmap,) = level.beatmaps
    assert (beatmap.mappers, beatmap.lighters) == (("One", "Two"), ("Three",))
    assert (level.mapper, level.environment, level.duration) == ("One, Two", "WeaveEnvironment", 60)
    assert beatmap.requirements == ("Noodle Extensions",) and beatmap.flags == ("noodle",)
    assert beatmap.lightshow.format == 4 and beatmap.lightshow_file == "Lightshow.dat"


def test_v4_objects_take_their_data_by_index():
    objects = only("v4").objects
    assert objects.notes.beat.tolist() == [-0.5, 1, 2, 3]
    assert objects.notes.lane.tolist() == [0, 1, 2, 2]
    assert objects.notes.layer.tolist() == [2, 0, 0, 0]
    assert objects.notes.angle.tolist() == [0, 0, 15, 15]
    assert objects.arcs.anchor.tolist() == [2] and objects.arcs.tail_lane.tolist() == [2]
    assert objects.chains.slices.tolist() == [4] and objects.chains.color.tolist() == [1]
    assert objects.speeds.change.tolist() == [2, 0] and objects.speeds.keeps.tolist() == [
        False,
        True,
    ]


def test_the_editors_layout_holds_the_same_objects():
    assert only("v4_wrapped").objects == only("v4").objects
    assert only("v4_wrapped").version == "4.0.0"


def test_an_index_out_of_range_is_told_by_its_place_and_costs_that_object():
    beatmap = only("v4_index")
    places = [(f.place, f.is_fatal) for f in beatmap.faults if f.kind == "bad_index"]
    assert places == [
        ("Expert.dat: $.colorNotes[1].i", True),
        ("Expert.dat: $.arcs[0].ti", True),
        ("Lightshow.dat: $.basicEvents[0].i", True),
    ]
    assert "the first of 2" in beatmap.faults[0].detail
    assert beatmap.objects.notes.beat.tolist() == [1]


def test_a_missing_key_is_zero():
    objects = only("compact_v3").objects
    assert objects.notes.direction.tolist() == [0, 0, 8]  # up, and never any
    assert objects.notes.beat.tolist() == [0, 4, 5]
    assert objects.walls.height.tolist() == [0, 5] and objects.walls.width.tolist() == [0, 1]
    assert objects.rotations.is_early.tolist() == [True, False]


def test_tempo_changes_of_each_version_are_one_time_map():
    assert only("tempo_events").time_map.bpm.tolist() == [120, 60, 174.3]
    assert only("old_tempo_events").time_map.beat.tolist() == [0, 1.5, 30]
    assert only("compact_v3").time_map.bpm.tolist() == [120, 240, 90.5]
    beatmap = only("v4_audio")
    assert beatmap.time_map.beat.tolist() == [0, 20]
    assert beatmap.time_map.bpm == pytest.approx([120, 240])


def test_type_ten_is_a_light_since_the_version_that_brought_type_hundred():
    assert 240 not in only("tempo_events").time_map.bpm


@pytest.mark.parametrize("missing", [b"", b'{"version":"4.0.0","bpmData":[]}'])
def test_v4_without_regions_keeps_the_infos_tempo(missing):
    files = {**MADE["v4_audio"], "Sound.dat": missing} if missing else dict(MADE["v4_audio"])
    if not missing:
        del files["Sound.dat"]
    level = read_level(HeldFiles(files))
    assert level.time_map.bpm.tolist() == [120]
    assert ("missing_file" in kinds(level.faults)) == (not missing)


def test_a_companion_of_v2_is_compared_and_does_not_win():
    regions = [
        {"_startSampleIndex": a, "_endSampleIndex": b, "_startBeat": c, "_endBeat": d}
        for a, b, c, d in ((0, 441000, 0, 20), (441000, 882000, 20, 60))
    ]
    companion = {"_version": "2.0.0", "_songSampleCount": 882000, "_songFrequency": 44100}
    files = {**MADE["mark"], "BPMInfo.dat": text({**companion, "_regions": regions})}
    (beatmap,) = read_level(HeldFiles(files)).beatmaps
    assert beatmap.time_map.bpm.tolist() == [120]
    (fault,) = [f for f in beatmap.faults if f.kind == "tempo_disagreement"]
    assert "BPMInfo.dat" in fault.detail and "beat 64.5" not in fault.detail
    whole = [{**regions[0], "_endSampleIndex": 882000, "_endBeat": 40}]
    files["BPMInfo.dat"] = text({**companion, "_regions": whole})
    (beatmap,) = read_level(HeldFiles(files)).beatmaps
    assert "tempo_disagreement" not in kinds(beatmap.faults)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("Expert+", "ExpertPlus"),
        ("expertplus", "ExpertPlus"),
        ("EXPERT", "Expert"),
        ("Expert Plus", "ExpertPlus"),
        ("easy", "Easy"),
    ],
)
def test_aliases_of_difficulties_are_mapped_and_told(word, known):
    level = read_level(
        HeldFiles({"Info.dat": info_v2(difficulty=word), "Expert.dat": text(PLAIN_2)})
    )
    assert level.beatmaps[0].difficulty == known
    assert kinds(level.faults) == {"difficulty_alias"}


def test_unknown_words_stay_and_are_told():
    info = info_v2(difficulty="Insane").replace(b'"Standard"', b'"Sideways"')
    level = read_level(HeldFiles({"Info.dat": info, "Expert.dat": text(PLAIN_2)}))
    assert (level.beatmaps[0].characteristic, level.beatmaps[0].difficulty) == (
        "Sideways",
        "Insane",
    )
    assert kinds(level.faults) == {"unknown_characteristic", "unknown_difficulty"}


def test_positions_of_mapping_extensions_are_flagged_and_kept():
    for name in ("extended_v2", "extended_v3"):
        beatmap = only(name)
        assert beatmap.flags[-1] == "mapping_extensions"
        assert not {"outside_grid", "bad_direction"} & kinds(beatmap.faults)
    objects = only("extended_v2").objects
    assert objects.notes.lane.tolist() == [1500, -2500, 1, 1]
    assert objects.notes.direction.tolist() == [1, 1, 1, 1090]
    assert objects.walls.layer.tolist() == [1000, 2250]
    assert objects.walls.height.tolist() == [8500, 6000]


def test_fakes_are_not_played_and_are_flagged():
    for name, count in (("fakes_v2", 3), ("fakes_v3", 3)):
        beatmap = only(name)
        assert len(beatmap.objects.notes) == count
        assert {"noodle", "fakes"} <= set(beatmap.flags)
        assert "fake_object" in kinds(beatmap.faults)


def test_null_counts_as_missing_and_a_part_of_a_lane_costs_one_note():
    beatmap = only("nulls")
    assert beatmap.objects.notes.lane.tolist() == [0, 2]
    assert "null_value" in kinds(beatmap.faults) and not any(f.is_fatal for f in beatmap.faults)
    beatmap = only("parts_of_lanes")
    assert beatmap.objects.notes.lane.tolist() == [3]
    (fault,) = beatmap.faults
    assert (fault.kind, fault.place) == ("wrong_type", "Expert.dat: $.colorNotes[0].x")
    assert fault.is_fatal and "2" in fault.detail


def test_objects_are_sorted_and_that_is_told():
    beatmap = only("unsorted")
    assert beatmap.objects.notes.beat.tolist() == [1, 2, 64.5]
    assert "unsorted" in kinds(beatmap.faults)


def test_a_tail_before_its_head_is_told():
    assert "tail_before_head" in kinds(only("tail_before_head").faults)


def test_notes_before_the_audio_are_kept_and_told():
    beatmap = only("negative_time")
    assert beatmap.objects.notes.beat.tolist()[:2] == [-2, -0.25]
    assert "negative_time" in kinds(beatmap.faults)


def test_mixed_versions_lie_in_one_folder():
    info = json.loads(info_v2())
    levels = info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"]
    for number, name in enumerate(("Hard", "Normal", "Easy")):
        levels.append({"_difficulty": name, "_beatmapFilename": f"{number}.dat"})
    files = {"Info.dat": text(info), "Expert.dat": text(PLAIN_2), "0.dat": text(COMPACT)}
    files |= {"1.dat": text(V4), "2.dat": text({"_notes": NOTES})}
    level = read_level(HeldFiles(files))
    assert [b.version for b in level.beatmaps] == ["2.0.0", "3.3.0", "4.1.0", ""]
    assert [len(b.objects.notes) for b in level.beatmaps] == [3, 3, 4, 3]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty_file"),
        (b" \n\x00", "empty_file"),
        (b'{"_version":"2.0.0","_notes":[', "bad_json"),
        (b'{"_version":"2.0.0","_notes":[{"_time":1,}]}', "bad_json"),
        (b"[1,2]", "wrong_type"),
        (b'{"some":1}', "unknown_format"),
        (b"\x1f\x8bnot gzip at all", "bad_gzip"),
        (MADE["gzip"]["Expert.dat"][:-9], "bad_gzip"),
        (b'{"_version":"2.0.0","_notes":' + b"[" * 50000, "too_deep"),
    ],
)
def test_a_broken_difficulty_costs_itself_and_says_why(data, kind):
    info = json.loads(info_v2())
    levels = info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"]
    levels.append({"_difficulty": "Hard", "_beatmapFilename": "Hard.dat"})
    files = {"Info.dat": text(info), "Expert.dat": data, "Hard.dat": text(PLAIN_2)}
    broken, whole = read_level(HeldFiles(files)).beatmaps
    assert not broken.is_readable and not len(broken.objects.notes)
    (fault,) = [f for f in broken.faults if f.is_fatal]
    assert fault.kind == kind and fault.place.startswith("Expert.dat") and fault.detail
    assert whole.is_readable and len(whole.objects.notes) == 3


@pytest.mark.parametrize("data", [text(AUDIO_DATA), b'{"version":"3.0.0"}', info_v2()])
def test_a_file_that_is_no_difficulty_is_not_an_empty_one_in_silence(data):
    beatmap = of_text(data)
    assert kinds(beatmap.faults) == {"no_lists"}
    assert not kinds(of_text(b'{"version":"3.0.0","colorNotes":[]}').faults)


def test_bad_json_is_told_with_its_byte():
    beatmap = of_text(b'{"_version":"2.0.0","_notes":[{"_time":1,}]}')
    assert "byte 41" in beatmap.faults[0].detail


def test_a_missing_file_costs_itself():
    level = read_level(HeldFiles({"Info.dat": info_v2(file="Other.dat"), "Expert.dat": b"{}"}))
    assert kinds(level.beatmaps[0].faults) == {"missing_file"}
    assert kinds(level.faults) == {"unlisted_file"}


WALL = {"b": 4, "x": 1, "y": 0, "d": 1, "w": 1, "h": 5}
ARC = {"b": 4, "x": 1, "d": 1, "mu": 1, "tb": 5, "tx": 1, "tc": 1, "tmu": 1, "m": 1}
CHAIN = {"b": 4, "x": 1, "d": 1, "tb": 5, "tx": 2, "sc": 3, "s": 1}
NOTE = {"b": 4, "x": 1, "y": 1, "c": 1, "d": 1}


@pytest.mark.parametrize(
    ("name", "item", "changed", "kind"),
    [
        ("obstacles", WALL, {"d": 0}, "zero_wall"),
        ("obstacles", WALL, {"w": 0}, "zero_wall"),
        ("obstacles", WALL, {"h": 0}, "zero_wall"),
        ("obstacles", WALL, {"d": -1}, "negative_wall"),
        ("obstacles", WALL, {"w": -2}, "negative_wall"),
        ("obstacles", WALL, {"x": 4}, "outside_grid"),
        ("obstacles", WALL, {"b": -1}, "negative_time"),
        ("colorNotes", NOTE, {"x": -1}, "outside_grid"),
        ("colorNotes", NOTE, {"y": 3}, "outside_grid"),
        ("colorNotes", NOTE, {"d": 9}, "bad_direction"),
        ("colorNotes", NOTE, {"d": -1}, "bad_direction"),
        ("colorNotes", NOTE, {"d": 1361}, "bad_direction"),
        ("colorNotes", NOTE, {"c": 2}, "bad_color"),
        ("bombNotes", NOTE, {"y": -1}, "outside_grid"),
        ("bombNotes", NOTE, {"b": -0.5}, "negative_time"),
        ("sliders", ARC, {"m": 3}, "bad_anchor"),
        ("sliders", ARC, {"tc": 9}, "bad_direction"),
        ("sliders", ARC, {"ty": 3}, "outside_grid"),
        ("sliders", ARC, {"c": -1}, "bad_color"),
        ("sliders", ARC, {"tb": 3}, "tail_before_head"),
        ("burstSliders", CHAIN, {"sc": 0}, "bad_slices"),
        ("burstSliders", CHAIN, {"s": 0}, "zero_squish"),
        ("burstSliders", CHAIN, {"tx": 4}, "outside_grid"),
        ("burstSliders", CHAIN, {"tb": 3}, "tail_before_head"),
        ("rotationEvents", {"b": 1, "e": 1, "r": 15}, {"e": 2}, "bad_rotation"),
        ("bpmEvents", {"b": 1, "m": 100}, {"m": -100}, "bad_tempo"),
    ],
)
def test_each_odd_object_is_told_by_kind_and_place(name, item, changed, kind):
    plain = of_text(text({"version": "3.3.0", name: [item, {**item, "b": 9, "tb": 10}]}))
    odd = of_text(text({"version": "3.3.0", name: [item, {**item, "b": 9, "tb": 10} | changed]}))
    assert not plain.faults
    (fault,) = [f for f in odd.faults if f.kind != "unsorted"]
    assert fault.kind == kind and fault.place.startswith(f"Expert.dat: $.{name}[1]")
    assert odd.objects.counts() == plain.objects.counts() and not fault.is_fatal


@pytest.mark.parametrize(
    ("beats", "again"),
    [([4, 4], 1), ([4, 4.01], 1), ([4, 4.02], None), ([9, 4, 4.005], 2), ([4, 9, 4], 2)],
)
def test_notes_in_one_cell_at_one_time_are_stacked(beats, again):
    beatmap = of_text(text({"version": "3.3.0", "colorNotes": [{**NOTE, "b": b} for b in beats]}))
    places = [f.place for f in beatmap.faults if f.kind == "stacked_note"]
    assert places == ([] if again is None else [f"Expert.dat: $.colorNotes[{again}]"])


class Open:
    """A place that would give whatever it is asked for."""

    place = "open"

    def __init__(self, listed):
        self.listed = listed

    def names(self):
        return ["Info.dat", "EXPERT.dat"]

    def read(self, name):
        return info_v2(file=self.listed) if name == "Info.dat" else text(PLAIN_2)


@pytest.mark.parametrize(
    ("listed", "is_read"),
    [("expert.dat", True), ("EXPERT.dat", True), ("../EXPERT.dat", False), ("/etc/passwd", False)],
)
def test_only_files_that_are_there_are_read_in_any_case(listed, is_read):
    level = read_level(Open(listed))
    assert level.beatmaps[0].is_readable == is_read
    assert ("missing_file" in kinds(level.all_faults())) != is_read
    assert ("unlisted_file" in kinds(level.faults)) != is_read


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"_notes": [note(1), "x", note(2)]}, "$._notes[1]"),
        ({"_notes": [note(1), {**note(3), "_time": "3"}, note(2)]}, "$._notes[1]._time"),
        ({"_notes": [note(1), {**note(3), "_type": 2**40}, note(2)]}, "$._notes[1]._type"),
        ({"_notes": [note(1), note(2)], "_obstacles": {}}, "$._obstacles"),
        ({"_notes": [note(1), note(2)], "_events": 3}, "$._events"),
        ({"_notes": [note(1), note(2)], "_version": 2}, "$._version"),
    ],
)
def test_a_wrong_type_costs_what_it_stands_in(parts, place):
    beatmap = of_text(text({"_version": "2.0.0", **parts}))
    assert beatmap.objects.notes.beat.tolist() == [1, 2]
    (fault,) = [f for f in beatmap.faults if f.kind == "wrong_type"]
    assert fault.place == f"Expert.dat: {place}" and fault.is_fatal


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "no_info"),
        ({"Expert.dat": b"{}"}, "no_info"),
        ({"Info.dat": b"{"}, "bad_json"),
        ({"Info.dat": b""}, "empty_file"),
        ({"Info.dat": b"[]"}, "wrong_type"),
        ({"Info.dat": b'{"x":1}'}, "unknown_format"),
        ({"Info.dat": b"\x1f\x8b\x08"}, "bad_gzip"),
    ],
)
def test_a_level_without_a_readable_info_is_refused_by_its_reason(files, kind):
    with pytest.raises(BeatmapError) as refused:
        read_level(HeldFiles(files, place="songs/one"))
    assert refused.value.kind == kind
    assert "songs/one" in str(refused.value)


def test_one_bad_value_of_a_listed_difficulty_costs_itself():
    info = json.loads(info_v2())
    levels = info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"]
    levels[0]["_noteJumpMovementSpeed"] = "16"
    levels[0]["_customData"] = {"_requirements": 3, "_difficultyLabel": "Mine"}
    levels.insert(0, {"_difficulty": 5, "_beatmapFilename": "Hard.dat"})
    info["_difficultyBeatmapSets"].append(None)
    level = read_level(HeldFiles({"Info.dat": text(info), "Expert.dat": text(PLAIN_2)}))
    bad, good = level.beatmaps
    assert (bad.difficulty, bad.is_readable) == ("", False)
    assert (good.difficulty, good.njs, good.offset, good.label) == ("Expert", 0, -0.5, "Mine")
    assert good.requirements == () and len(good.objects.notes) == 3
    places = [f.place.partition("_difficultyBeatmaps")[2] for f in level.faults if f.is_fatal]
    expected = [
        "[0]._difficulty",
        "[1]._noteJumpMovementSpeed",
        "",
        "[1]._customData._requirements",
    ]
    assert places == expected


def test_one_bad_value_of_the_audio_leaves_its_tempo():
    info = json.loads(info_v4(bpm=90))
    info["audio"]["songDuration"] = "60"
    level = read_level(HeldFiles({"Info.dat": text(info), "Expert.dat": text(V4)}))
    assert (level.bpm, level.audio, level.duration) == (90, "song.ogg", 0)
    assert "wrong_type" in kinds(level.faults)


def test_a_null_in_the_info_counts_as_missing():
    info = json.loads(info_v2()) | {"_songSubName": None}
    level = read_level(HeldFiles({"Info.dat": text(info), "Expert.dat": text(PLAIN_2)}))
    (fault,) = level.faults
    assert (fault.kind, fault.is_fatal, level.subtitle) == ("null_value", False, "")


def test_an_info_of_more_difficulties_than_any_song_has_is_refused():
    info = json.loads(info_v2())
    (each,) = info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"]
    info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"] = [each] * 201
    with pytest.raises(BeatmapError, match="201 difficulties, over 200") as refused:
        read_level(HeldFiles({"Info.dat": text(info)}))
    assert refused.value.kind == "too_many_difficulties"


@pytest.mark.parametrize("box", [None, 3, {"l": [None]}, {"l": [7, {"i": 0}]}, {"l": None}, {}])
def test_a_bad_box_of_lights_costs_itself(box):
    lights = {**LIGHTS, "eventBoxGroups": [{"t": 1, "e": [box, {"l": [{"i": 9}]}]}]}
    files = {"Info.dat": info_v4(), "Expert.dat": text(V4), "Lightshow.dat": text(lights)}
    level = read_level(HeldFiles(files))
    told = [f.place for f in level.all_faults() if f.kind == "bad_index"]
    assert told == ["Lightshow.dat: $.eventBoxGroups[0].e[1].l[0].i"]


def test_a_file_is_found_however_its_accents_are_written():
    composed, apart = (unicodedata.normalize(form, "Expért.dat") for form in ("NFC", "NFD"))
    files = {"Info.dat": info_v2(file=composed), apart: text(PLAIN_2)}
    level = read_level(HeldFiles(files))
    assert level.beatmaps[0].is_readable
    assert not {"missing_file", "unlisted_file"} & kinds(level.all_faults())


def test_an_escape_of_half_a_sign_costs_that_sign():
    whole = text(PLAIN_2)[:-1] + rb',"_customData":{"by":"%s"}}'
    broken = of_text(whole.replace(b"%s", rb"\ud83d"))
    assert broken.is_readable and "bad_utf8" in kinds(broken.faults)
    assert broken.document.tree()["_customData"]["by"] == "\ufffd"
    for said, name in ((rb"\ud83d\ude00", "\U0001f600"), (rb"\\ud83d", r"\ud83d")):
        sound = of_text(whole.replace(b"%s", said))
        assert sound.document.tree()["_customData"]["by"] == name
        assert "bad_utf8" not in kinds(sound.faults)


@pytest.mark.parametrize("bpm", [1e-320, 1e-4, 1e7, -1])
def test_a_tempo_that_no_song_has_is_told_and_times_are_numbers(bpm):
    files = {"Info.dat": info_v2(bpm=bpm), "Expert.dat": text(PLAIN_2)}
    level = read_level(HeldFiles(files))
    (beatmap,) = level.beatmaps
    assert "bad_tempo" in kinds(level.faults) and beatmap.time_map.bpm.tolist() == [120]
    changed = of_text(text({**COMPACT, "bpmEvents": [{"b": 0, "m": 90}, {"b": 8, "m": bpm}]}))
    assert "bad_tempo" in kinds(changed.faults) and changed.time_map.bpm.tolist() == [120, 90]


@pytest.mark.parametrize(("bpm", "disagrees"), [(120, False), (121, True)])
def test_only_the_first_tempo_of_v4_can_disagree_with_the_info(bpm, disagrees):
    files = MADE["v4_audio"] | {"Info.dat": info_v4(bpm=bpm, audio_data="Sound.dat")}
    level = read_level(HeldFiles(files))
    assert ("tempo_disagreement" in kinds(level.faults)) == disagrees


def test_a_tempo_of_zero_is_told_and_time_goes_on():
    level = read_level(HeldFiles({"Info.dat": info_v2(bpm=0), "Expert.dat": text(PLAIN_2)}))
    assert level.bpm == 0 and level.beatmaps[0].time_map.bpm.tolist() == [120]
    assert [f.kind for f in level.faults if f.is_fatal] == ["bad_tempo"]


def test_the_info_is_found_in_any_case():
    assert info_name(["a.dat", "INFO.DAT", "info.dat"]) == "info.dat"
    assert info_name(["info.dat", "Info.dat"]) == "Info.dat"
    assert info_name(["infos.dat"]) is None


def test_the_hash_is_of_info_audio_data_and_each_difficulty_with_its_lights():
    files = MADE["v4_audio"]
    order = ("Info.dat", "Sound.dat", "Expert.dat", "Lightshow.dat")
    assert read_level(HeldFiles(files)).level_hash == level_hash(files[name] for name in order)
    files = {**MADE["mark"], "song.ogg": b"not in it", "BPMInfo.dat": text(AUDIO_DATA)}
    assert read_level(HeldFiles(files)).level_hash == level_hash(
        files[name] for name in ("info.dat", "Expert.dat")
    )
    assert level_hash([b"abc"]) == "a9993e364706816aba3e25717850c26c9cd0d89d"  # FIPS 180


def test_bytes_that_are_no_text_are_replaced_and_told():
    data = text(PLAIN_2)[:-1] + b',"_customData":{"_x":"\xff\xfe"}}'
    beatmap = of_text(data)
    assert len(beatmap.objects.notes) == 3
    assert kinds(beatmap.faults) >= {"bad_utf8"}


def test_columns_are_written_on_without_touching_another_map():
    first, second = only("bare_v3"), only("bare_v3")
    first.objects.notes.lane[:] = 3
    assert second.objects.notes.lane.tolist() == [0]
    assert first.objects.notes.beat.dtype == np.float64
    assert first.objects.notes.lane.dtype == np.int32
