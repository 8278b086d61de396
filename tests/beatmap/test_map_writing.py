"""Maps written and read again: what a format holds comes back, what it does not is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_maps import AUDIO_DATA, MADE, files_of, text

from workbench.beatmap.maps.decoding import Found
from workbench.beatmap.maps.documents import document_of, plain
from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.objects import (
    Arcs,
    Bombs,
    Chains,
    Notes,
    Objects,
    Rotations,
    SpeedChanges,
    Walls,
)
from workbench.beatmap.maps.reading import parsed_of, read_difficulty, read_level
from workbench.beatmap.maps.tempos import of_audio
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.maps.writing import (
    cannot_hold,
    holdable,
    level_files,
    rewritten,
    write_audio_data,
    write_difficulty,
)
from workbench.errors import BeatmapError

beats = st.floats(-4, 700, allow_nan=False)
sizes = st.floats(-5, 50, allow_nan=False)
lanes = st.integers(-3, 4) | st.sampled_from([1000, -1500, 3500, 2**31 - 1])
layers = st.integers(-1, 3)
hands = st.integers(0, 1)
cuts = st.integers(0, 8) | st.sampled_from([9, 1090, 2045])
angles = st.sampled_from([0.0, 0.0, 45.0, -22.5])
degrees = st.sampled_from([-60.0, -15.0, 30.0, 60.0, 10.0])
shapes = st.sampled_from([(0, 5), (2, 3), (0, 0), (1, 4), (1000, 6000), (2250, 8500)])


def rows(kind, *columns):
    """Objects of some kind, of one strategy a column; a strategy of pairs fills two."""

    def made(found):
        flat = [[v for x in row for v in (x if isinstance(x, tuple) else (x,))] for row in found]
        return kind.of(*zip(*flat, strict=True)) if flat else kind.none()

    return st.lists(st.tuples(*columns), max_size=6).map(made)


objects = st.builds(
    Objects,
    notes=rows(Notes, beats, lanes, layers, hands, cuts, angles),
    bombs=rows(Bombs, beats, lanes, layers),
    walls=rows(Walls, beats, sizes, lanes, shapes, lanes).map(
        # columns go duration, lane, layer, width, height; the shape holds layer and height
        lambda w: replace(w, width=w.height, height=w.width) if len(w) else w
    ),
    arcs=rows(
        Arcs, beats, hands, lanes, layers, cuts, sizes, beats, lanes, layers, cuts, sizes, layers
    ),
    chains=rows(Chains, beats, hands, lanes, layers, cuts, beats, lanes, layers, lanes, sizes),
    rotations=rows(Rotations, beats, degrees, st.booleans()),
    speeds=rows(SpeedChanges, beats, sizes, layers, st.booleans()),
)


def read(data: bytes) -> Objects:
    beatmap = read_difficulty(data)
    assert not [fault for fault in beatmap.faults if fault.is_fatal]
    return beatmap.objects


@settings(max_examples=30)
@given(objects, st.sampled_from([2, 3, 4]))
def test_what_a_format_holds_comes_back(found, format_):
    kept = holdable(found, format_)
    assert cannot_hold(kept, format_) == {}
    assert read(write_difficulty(kept, format_)) == kept


@settings(max_examples=30)
@given(objects, st.sampled_from([2, 3, 4]))
def test_what_a_format_cannot_hold_is_refused_and_counted(found, format_):
    lost = cannot_hold(found, format_)
    kept = holdable(found, format_)
    before, after = found.counts(), kept.counts()
    gone = sum(before.values()) - sum(after.values())
    assert gone == sum(lost.values()) - lost.get("angles_of_notes", 0)
    if lost:
        with pytest.raises(BeatmapError) as refused:
            write_difficulty(found, format_)
        assert refused.value.kind == "cannot_hold"
        assert all(name.replace("_", " ") in str(refused.value) for name in lost)
    assert read(write_difficulty(found, format_, leave_out=True)) == kept


@settings(max_examples=20)
@given(objects)
def test_v3_and_v4_hold_each_others_notes_bombs_walls_arcs_and_chains(found):
    third = read(write_difficulty(found, 3, leave_out=True))
    fourth = read(write_difficulty(found, 4, leave_out=True))
    for kind in ("notes", "bombs", "walls", "arcs", "chains"):
        assert getattr(third, kind) == getattr(fourth, kind) == getattr(found, kind)
    assert third.rotations == found.rotations and fourth.speeds == found.speeds


@pytest.mark.parametrize(
    ("kind", "changed", "format_", "name"),
    [
        ("notes", Notes.of([1], [0], [0], [0], [1], [15.0]), 2, "angles_of_notes"),
        ("notes", Notes.of([1], [0], [0], [3], [1], [0]), 2, "notes_of_no_hand"),
        ("walls", Walls.of([1], [1], [0], [0], [1], [4]), 2, "walls_of_other_shapes"),
        ("chains", Chains.of([1], [0], [0], [0], [1], [2], [0], [1], [3], [1]), 2, "chains"),
        ("rotations", Rotations.of([1], [22.5], [True]), 2, "rotations_of_other_degrees"),
        ("rotations", Rotations.of([1], [15.0], [True]), 4, "rotation_events"),
        ("speeds", SpeedChanges.of([1], [2], [0], [False]), 3, "njs_events"),
        ("speeds", SpeedChanges.of([1], [2], [0], [False]), 2, "njs_events"),
    ],
)
def test_each_lack_of_a_format_has_its_name(kind, changed, format_, name):
    assert cannot_hold(replace(Objects.none(), **{kind: changed}), format_) == {name: 1}


def test_numbers_that_json_has_not_are_refused():
    endless = replace(Objects.none(), bombs=Bombs.of([float("inf")], [0], [0]))
    for format_ in (2, 3, 4):
        with pytest.raises(BeatmapError, match="bombs: a beat") as refused:
            write_difficulty(endless, format_)
        assert refused.value.kind == "not_a_number"


@pytest.mark.parametrize("format_", [0, 1, 5])
def test_only_formats_that_are_written_are_taken(format_):
    with pytest.raises(BeatmapError, match="take 2, 3 or 4"):
        write_difficulty(Objects.none(), format_)


@pytest.mark.parametrize("format_", [2, 3])
def test_tempo_changes_come_back(format_):
    times = TimeMap.of_changes(120, [4, 32.5, 100], [174.3, 92.49, 240])
    beatmap = read_difficulty(write_difficulty(Objects.none(), format_, times=times), bpm=120)
    assert beatmap.time_map == times
    steady = read_difficulty(
        write_difficulty(Objects.none(), format_, times=TimeMap.steady(150)), bpm=150
    )
    assert steady.time_map == TimeMap.steady(150)
    other = write_difficulty(Objects.none(), format_, times=TimeMap.steady(150), bpm=100)
    assert read_difficulty(other, bpm=100).time_map.seconds_at(10) == pytest.approx(4)


def test_tempo_that_begins_elsewhere_is_refused():
    late = TimeMap.of_regions([44100], [88200], [0], [2], 44100)
    with pytest.raises(BeatmapError, match="begins elsewhere"):
        write_difficulty(Objects.none(), 3, times=late)


@pytest.mark.parametrize("format_", [2, 4])
def test_tempo_beside_the_audio_comes_back(format_):
    times = TimeMap.of_changes(120, [20, 61], [174.3, 92.49])
    data = write_audio_data(times, 60 * 44100, 44100, format_)
    found = Found("")
    again, seconds = of_audio(document_of(data), found)
    at = np.linspace(0, 100, 50)
    assert again.seconds_at(at) == pytest.approx(times.seconds_at(at), abs=1e-4)
    assert seconds == 60 and not found.faults()
    with pytest.raises(BeatmapError):
        write_audio_data(times, 0, 44100, format_)


def levels(folder: Path):
    for info in sorted(folder.glob("**/Info.dat")):
        files = {p.name: p.read_bytes() for p in info.parent.iterdir() if p.suffix == ".dat"}
        yield HeldFiles(files, place=info.parent.name)


def assert_round_trip(files):
    """A level's files equal those written from its documents, to the last key."""
    level = read_level(files)
    written = level_files(level)
    again = read_level(
        HeldFiles({**{n: files.read(n) for n in files.names()}, **written}, files.place)
    )
    assert again.beatmaps == level.beatmaps and again.time_map == level.time_map
    assert again.faults == level.faults
    for name, data in written.items():
        assert json.loads(data) == json.loads(plain(files.read(name), name)), name
    return level


@pytest.mark.beatsaber
def test_every_given_map_written_back_and_read_again_equals_itself(beatsaber):
    seen = 0
    for files in levels(beatsaber):
        level = assert_round_trip(files)
        assert (
            level.level_hash
            == read_level(
                HeldFiles(
                    {**{n: files.read(n) for n in files.names()}, **level_files(level)}, files.place
                )
            ).level_hash
        )
        for beatmap in level.beatmaps:
            assert_written_anew(beatmap.document, beatmap.objects)
            seen += 1
    for path in sorted(beatsaber.glob("filled*/**/Difficulty.dat")):
        beatmap = read_difficulty(path.read_bytes())
        assert_written_anew(beatmap.document, beatmap.objects)
    assert seen == 45


# A level whose difficulty cannot be written from its columns alone: what was read is not all there
NOT_ANEW = {"free_walls", "v4_index", "parts_of_lanes", "v4_wrapped"}


@pytest.mark.parametrize("name", MADE)
def test_every_made_map_written_back_and_read_again_equals_itself(name):
    assert_round_trip(files_of(name))


@pytest.mark.parametrize("name", sorted(set(MADE) - NOT_ANEW))
def test_every_made_map_is_written_anew_from_its_columns(name):
    (beatmap,) = read_level(files_of(name)).beatmaps
    assert_written_anew(beatmap.document, beatmap.objects)


def assert_written_anew(document, objects):
    """All objects taken away and put back from the columns: they and the rest are as before."""
    turned = replace(Objects.none(), rotations=objects.rotations)  # v4 writes none of them anew
    emptied = rewritten(document, turned if document.format == 4 else Objects.none())
    counts = parsed_of(emptied, 0, Found("")).objects.counts()
    assert not any(count for kind, count in counts.items() if kind != "rotations")
    back = rewritten(emptied, objects)
    assert parsed_of(back, 0, Found("")).objects == objects
    before, after = document.parts(), back.parts()
    changed = {key for key in before if bytes(before[key]) != bytes(after.get(key, b""))}
    assert all(key in OBJECT_KEYS for key in changed), changed
    assert set(before) <= set(after)


OBJECT_KEYS = {
    "_notes",
    "_obstacles",
    "_sliders",
    "_events",
    "colorNotes",
    "bombNotes",
    "obstacles",
    "sliders",
    "burstSliders",
    "rotationEvents",
    "arcs",
    "chains",
    "njsEvents",
    "njsEventData",
    *(f"{kind}Data" for kind in ("colorNotes", "bombNotes", "obstacles", "arcs", "chains")),
}


def test_what_has_not_changed_keeps_its_text_and_custom_data():
    wall = {"b": 4, "x": 1, "d": 1, "w": 1, "h": 5, "customData": {"color": [1, 0, 0]}}
    lights = [{"b": 1, "et": 1, "i": 3, "f": 1, "customData": {"lightID": 4}}]
    document = document_of(
        text(
            {
                "version": "3.3.0",
                "colorNotes": [{"b": 1}],
                "obstacles": [wall],
                "basicBeatmapEvents": lights,
                "customData": {"environment": [1.50]},
                "ofAnotherTool": {"x": 1},
            }
        )
    )
    objects = parsed_of(document, 0, Found("")).objects
    assert rewritten(document, objects).tree() == document.tree()
    moved = replace(objects, notes=Notes.of([2.5], [3], [1], [1], [8], [0]))
    tree = rewritten(document, moved).tree()
    assert tree["colorNotes"] == [{"b": 2.5, "x": 3, "y": 1, "c": 1, "d": 8, "a": 0}]
    assert {key: value for key, value in tree.items() if key != "colorNotes"} == {
        key: value for key, value in document.tree().items() if key != "colorNotes"
    }


def test_lights_and_tempo_of_v2_stay_when_rotations_change():
    beatmap = read_level(files_of("tempo_events")).beatmaps[0]
    turned = replace(beatmap.objects, rotations=Rotations.of([3], [45.0], [False]))
    again = rewritten(beatmap.document, turned)
    found = parsed_of(again, 0, Found(""))
    assert found.objects == turned
    assert found.tempo_bpms == [60, 174.3]
    assert sum(e["_type"] == 0 for e in again.tree()["_events"]) == 1


def test_the_editors_layout_stays_wrapped():
    beatmap = read_level(files_of("v4_wrapped")).beatmaps[0]
    moved = replace(beatmap.objects, bombs=Bombs.of([9], [1], [1]))
    again = rewritten(beatmap.document, moved)
    assert again.is_wrapped and again.tree()["contentChecksum"] == ""
    assert parsed_of(again, 0, Found("")).objects == moved


def test_documents_refuse_what_their_format_cannot_hold():
    beatmap = read_level(files_of("unsorted")).beatmaps[0]
    chained = replace(
        beatmap.objects, chains=Chains.of([1], [0], [0], [0], [1], [2], [0], [1], [3], [1])
    )
    with pytest.raises(BeatmapError, match="v2 cannot hold all of the chains"):
        rewritten(beatmap.document, chained)


def test_written_files_are_what_the_game_takes():
    note = replace(Objects.none(), notes=Notes.of([1, 1.5], [1, 1], [0, 0], [0, 0], [1, 1], [0, 0]))
    fourth = msgspec.json.decode(write_difficulty(note, 4))
    assert fourth["version"] == "4.1.0"
    assert fourth["colorNotesData"] == [{"x": 1, "y": 0, "c": 0, "d": 1, "a": 0}]  # shared
    assert "spawnRotations" not in fourth
    third = msgspec.json.decode(write_difficulty(note, 3))
    assert isinstance(third["colorNotes"][0]["a"], int)
    second = msgspec.json.decode(write_difficulty(note, 2))
    assert second["_version"] == "2.6.0" and second["_notes"][0]["_type"] == 0
    assert {f.name for f in fields(Objects)} == set(note.counts())


def test_audio_data_of_a_level_comes_back_under_its_own_name():
    level = read_level(files_of("v4_audio"))
    assert json.loads(level_files(level)["Sound.dat"]) == AUDIO_DATA
