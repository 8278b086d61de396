"""Levels written: what is planned is read again, and what no game or service takes is refused."""

import gzip
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_plans import AUDIO, CHART, FAULTS, audio, edited, full_plan, injected, plan, stream
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.archives import open_zip
from workbench.beatmap.maps.decoding import Found
from workbench.beatmap.maps.documents import document_of
from workbench.beatmap.maps.export import (
    ChartPlan,
    MapPlan,
    map_files,
    notes_a_second,
    write_map,
    zipped,
)
from workbench.beatmap.maps.infos import Entry, Info, read_info
from workbench.beatmap.maps.infos_written import write_info
from workbench.beatmap.maps.jumps import (
    FALLBACK_NJS,
    FASTEST_NJS,
    comfortable_seconds,
    half_jump,
    usual_njs,
    usual_offset,
)
from workbench.beatmap.maps.level import HeldFiles, Level
from workbench.beatmap.maps.objects import (
    CHARACTERISTICS,
    DIFFICULTIES,
    RANKS,
    Arcs,
    Bombs,
    Chains,
    Notes,
    Objects,
    Rotations,
    SpeedChanges,
    Walls,
)
from workbench.beatmap.maps.patterns import checked
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.strict import oddities, strict_faults
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.maps.writing import holdable
from workbench.errors import BeatmapError, CachingError

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "beatmap_export.json").read_text(encoding="utf-8")
)
FORMATS = (2, 3, 4)
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
beats = st.integers(0, 48 * 50).map(lambda at: at / 48) | st.integers(0, 64 * 50).map(
    lambda at: at / 64
)
lanes, layers, hands = st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)
cuts = st.integers(0, 8)
sizes = st.floats(0.125, 4)
cells = st.tuples(beats, lanes, layers)


def columns(kind, rows):
    return kind.of(*zip(*rows, strict=True)) if rows else kind.none()


def rows(kind, *of):
    return st.lists(st.tuples(*of), max_size=5).map(lambda found: columns(kind, found))


@st.composite
def objects(draw):
    """Draw what a strict check has nothing against, but for streams."""
    taken = draw(st.lists(cells, max_size=12, unique_by=lambda cell: (round(cell[0]), *cell[1:])))
    notes = [(*cell, draw(hands), draw(cuts), draw(st.sampled_from([0.0, 15.0]))) for cell in taken]
    split = draw(st.integers(0, len(notes)))
    walls = draw(
        st.lists(
            st.tuples(beats, sizes, lanes, st.sampled_from([(0, 5), (2, 3), (1, 2)])), max_size=4
        )
    )
    arcs = draw(st.lists(st.tuples(beats, hands, lanes, layers, cuts, sizes, cuts), max_size=4))
    chains = draw(st.lists(st.tuples(beats, hands, lanes, layers, cuts, sizes), max_size=4))
    return Objects(
        notes=columns(Notes, notes[:split]),
        bombs=columns(Bombs, [row[:3] for row in notes[split:]]),
        walls=columns(Walls, [(b, d, x, shape[0], 1, shape[1]) for b, d, x, shape in walls]),
        arcs=columns(
            Arcs, [(b, c, x, y, d, m, b + 1, x, y, t, m, 2) for b, c, x, y, d, m, t in arcs]
        ),
        chains=columns(
            Chains, [(b, c, x, y, d, b + 0.5, 3 - x, y, 4, s) for b, c, x, y, d, s in chains]
        ),
        rotations=draw(rows(Rotations, beats, st.sampled_from([-15.0, 60.0, 5.0]), st.booleans())),
        speeds=draw(rows(SpeedChanges, beats, sizes, st.integers(0, 3), st.booleans())),
    )


@st.composite
def plans(draw):
    bpm = draw(st.integers(110, 400) | st.floats(110, 400))
    changes = draw(st.lists(st.tuples(st.integers(1, 40), st.floats(110, 300)), max_size=2))
    listed = draw(
        st.lists(
            st.tuples(st.sampled_from(DIFFICULTIES), st.sampled_from(CHARACTERISTICS)),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    return plan(
        title="T" + draw(words),
        artist=draw(words),
        mapper=draw(words),
        generated=draw(words),
        bpm=float(bpm),
        times=TimeMap.of_changes(bpm, *zip(*changes, strict=True)) if changes else None,
        charts=tuple(
            ChartPlan(
                difficulty=difficulty,
                characteristic=characteristic,
                objects=draw(objects()),
                njs=draw(st.none() | st.floats(1, 30)),
                offset=draw(st.none() | st.floats(-2, 2)),
            )
            for difficulty, characteristic in listed
        ),
    )


def read(files: dict[str, bytes]) -> Level:
    return read_level(HeldFiles(files))


def kinds(files: dict[str, bytes]) -> set[str]:
    return {fault.kind for fault in strict_faults(files)}


# --- what is planned is what is read


@settings(max_examples=40, deadline=None)
@given(plans(), st.sampled_from(FORMATS))
def test_a_plan_is_read_again_from_its_files_and_has_no_fault(made: MapPlan, format_: int) -> None:
    charts = tuple(replace(c, objects=holdable(c.objects, format_)) for c in made.charts)
    made = replace(made, charts=charts)
    try:
        files = map_files(made, format_)
    except BeatmapError as error:
        assume("same direction stream" not in str(error))
        raise
    level = read(files)
    assert strict_faults(files) == ()
    assert (level.title, level.subtitle, level.artist) == (made.title, made.subtitle, made.artist)
    assert (level.bpm, level.environment) == (made.bpm, made.environment)
    assert level.mapper == (made.mapper or made.generated)
    assert level.audio == AUDIO and files[AUDIO] == made.audio
    wanted = TimeMap.steady(made.bpm) if made.times is None else made.times
    by_name = {(b.difficulty, b.characteristic): b for b in level.beatmaps}
    assert len(by_name) == len(made.charts)
    for chart in made.charts:
        beatmap = by_name[chart.difficulty, chart.characteristic]
        assert beatmap.objects == chart.objects
        assert beatmap.rank == RANKS[chart.difficulty]
        if chart.njs is not None:
            assert beatmap.njs == chart.njs
        if chart.offset is not None:
            assert beatmap.offset == chart.offset
        # Version 4 says a change by the sample where it begins
        np.testing.assert_allclose(
            beatmap.time_map.seconds_at(np.arange(50)),
            wanted.seconds_at(np.arange(50)),
            rtol=0,
            atol=1e-3 if format_ == 4 and made.times is not None else 1e-9,
        )


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([2, 4]))
def test_an_info_says_again_what_was_written_into_it(data: st.DataObject, format_: int) -> None:
    number = st.floats(0, 1000)
    mapper = data.draw(words)
    entries = tuple(
        Entry(
            path="",
            characteristic=characteristic,
            difficulty=difficulty,
            rank=RANKS[difficulty] if format_ == 2 else None,
            njs=data.draw(number),
            offset=data.draw(number),
            mappers=(mapper,) if mapper else (),
            lighters=("Light",) if format_ == 4 else (),
            file=data.draw(words),
            lightshow=data.draw(words) if format_ == 4 else "",
        )
        for characteristic in data.draw(st.lists(words, max_size=2, unique=True))
        for difficulty in data.draw(st.lists(st.sampled_from(DIFFICULTIES), max_size=3))
    )
    info = Info(
        title=data.draw(words),
        subtitle=data.draw(words),
        artist=data.draw(words),
        mapper=mapper if format_ == 2 or entries else "",
        bpm=data.draw(number),
        song_time_offset=data.draw(number) if format_ == 2 else 0.0,
        audio=data.draw(words),
        audio_data=data.draw(words) if format_ == 4 else "",
        duration=data.draw(number) if format_ == 4 else 0.0,
        cover=data.draw(words),
        preview_start=data.draw(number),
        preview_duration=data.draw(number),
        environment="WeaveEnvironment",
        entries=entries,
    )
    found = Found("Info.dat")
    document = document_of(write_info(info, format_))
    assert document is not None
    again = read_info(document, found)
    assert again is not None and found.faults() == ()
    bare = tuple(replace(entry, path="") for entry in again.entries)
    assert replace(again, entries=bare, bpm_path="$") == info


def test_no_info_is_written_in_other_formats() -> None:
    with pytest.raises(BeatmapError, match="take 2 or 4"):
        write_info(Info(), 3)
    with pytest.raises(BeatmapError, match="take 2, 3 or 4"):
        map_files(plan(), 1)


# --- other programs


@pytest.mark.parametrize("format_", FORMATS)
def test_bsmap_has_nothing_against_any_file_of_an_export(format_: int) -> None:
    files = map_files(full_plan(format_), format_)
    judged = {name: said for name, said in GOLDEN["files"].items() if name[1] == str(format_)}
    assert judged.pop(f"v{format_}/faulty.dat")["issues"]  # it does look
    digests = {
        f"v{format_}/{name}": hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name.endswith(".dat")
    }
    assert digests == {name: said["sha256"] for name, said in judged.items()}
    assert all(said["issues"] == [] for said in judged.values())


@pytest.mark.parametrize("format_", FORMATS)
def test_nothing_is_wrong_with_how_an_export_plays(format_: int) -> None:
    files = map_files(plan(stream(64, 4.0, 0.75)), format_)
    kinds_found = {fault.kind for fault in checked(read(files)).all_faults()}
    assert kinds_found == {"insufficient_light"}  # none are written
    assert {fault.kind for fault in oddities(files)} - {"long_end"} == kinds_found


@pytest.mark.parametrize("format_", FORMATS)
def test_a_zip_opens_with_other_tools_and_is_the_same_bytes_every_time(
    tmp_path: Path, format_: int
) -> None:
    path = tmp_path / "map.zip"
    write_map(full_plan(format_), path, format_)
    files = map_files(full_plan(format_), format_)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(files)
        assert {name: archive.read(name) for name in archive.namelist()} == files
    with open_zip(path) as held:
        assert {name: held.read(name) for name in held.names()} == files
    if shutil.which("unzip"):
        assert (
            subprocess.run(["unzip", "-tq", path], capture_output=True, check=False).returncode == 0
        )
    first = path.read_bytes()
    write_map(full_plan(format_), path, format_)
    assert path.read_bytes() == first == zipped(files)


def test_a_folder_holds_the_same_files_as_a_zip(tmp_path: Path) -> None:
    write_map(plan(), tmp_path / "map", 3)
    write_map(plan(), tmp_path / "map", 3)  # takes its place
    assert {p.name: p.read_bytes() for p in (tmp_path / "map").iterdir()} == map_files(plan(), 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(CachingError, match="holds something else"):
        write_map(plan(), tmp_path / "mine", 3)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_a_kill_leaves_the_old_level_or_the_new_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "map.zip"
    held = {
        title: zipped(map_files(plan(title=title, audio=audio(seconds)), 4))
        for title, seconds in (("One", 30), ("Two", 60))
    }
    script = Path(__file__).with_name("export_once.py")
    for delay in (0.003, 0.011, 0.017):
        child = subprocess.Popen([sys.executable, script, path], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() and child.stdout.readline()
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert path.read_bytes() in held.values()
    scratch = path.with_name(".map.zip.0123abcd.part")
    scratch.write_bytes(b"half")
    write_map(plan(title="One"), path, 4)
    assert path.read_bytes() == held["One"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_older_level_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "map.zip"
    write_map(plan(title="One"), path, 3)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CachingError, match=r"map\.zip: could not be written"):
            write_map(plan(title="Two"), path, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- what is refused


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_eleven_faults_is_refused_by_name(fault: str, format_: int) -> None:
    files = map_files(plan(), format_)
    assert strict_faults(files) == ()
    assert FAULTS[fault] in kinds(injected(fault, files, format_))


OF_FILES = {
    "offset": ("song_time_offset", lambda t: t.update(_songTimeOffset=0.2)),
    "no njs": ("bad_njs", lambda t: _entry(t).update(_noteJumpMovementSpeed=0)),
    "rank": ("bad_rank", lambda t: _entry(t).update(_difficultyRank=9)),
    "case of a characteristic": (
        "unknown_characteristic",
        lambda t: t["_difficultyBeatmapSets"][0].update(_beatmapCharacteristicName="standard"),
    ),
    "unknown difficulty": ("unknown_difficulty", lambda t: _entry(t).update(_difficulty="Insane")),
    "no cover": ("missing_cover", lambda t: t.update(_coverImageFilename="")),
    "another cover": ("missing_cover", lambda t: t.update(_coverImageFilename="other.png")),
    "audio as cover": ("odd_cover", lambda t: t.update(_coverImageFilename=AUDIO)),
    "no title": ("no_title", lambda t: t.update(_songName=" ")),
    "no audio": ("missing_file", lambda t: t.update(_songFilename="other.egg")),
    "case of a file": ("other_case", lambda t: t.update(_songFilename="Song.egg")),
    "no tempo": ("bad_tempo", lambda t: t.update(_beatsPerMinute=0)),
    "key": ("missing_key", lambda t: t.pop("_previewDuration") and None),
    "null": ("null_value", lambda t: t.update(_songName=None)),
    "no difficulty": ("no_difficulties", lambda t: t.update(_difficultyBeatmapSets=[])),
}


def _entry(tree):
    return tree["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"][0]


@pytest.mark.parametrize("fault", OF_FILES)
def test_faults_of_an_info_are_told_by_name(fault: str) -> None:
    kind, change = OF_FILES[fault]
    assert kind in kinds(edited(map_files(plan()), "Info.dat", change))


def moved(**columns: object) -> Notes:
    """Return a stream whose first note is another."""
    notes = stream(8)
    changed = {name: getattr(notes, name).copy() for name in notes.DTYPES}
    for name, value in columns.items():
        changed[name][0] = value
    return Notes.of(*changed.values())


OF_NOTES = {
    "negative time": moved(beat=-0.5),
    "off grid": moved(beat=4.0119),
    "after audio": Notes.of([60.5], [1], [0], [0], [1], [0]),
    "outside grid": moved(layer=3),
    "bad direction": moved(direction=9),
    "bad color": moved(color=2),
    "stacked note": Notes.of([4, 4.005], [1, 1], [0, 0], [0, 1], [1, 1], [0, 0]),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("fault", OF_NOTES)
def test_a_plan_with_faults_is_refused_with_all_of_them_and_nothing_is_written(
    tmp_path: Path, fault: str, format_: int
) -> None:
    if fault == "bad color" and format_ == 2:
        told, kind = "1 notes of no hand", "cannot_hold"
    else:
        told, kind = fault, "refused"
    bad = plan(OF_NOTES[fault], title="The Song")
    with pytest.raises(BeatmapError, match=told) as error:
        write_map(bad, tmp_path / "map.zip", format_)
    assert error.value.kind == kind
    assert list(tmp_path.iterdir()) == []


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(BeatmapError) as error:
        map_files(plan(moved(beat=-0.49, lane=7), title=""))
    for told in ("negative time", "off grid", "outside grid", "no title"):
        assert told in str(error.value)


def test_a_bomb_in_the_cell_of_a_note_is_refused() -> None:
    bombed = replace(plan().charts[0].objects, bombs=Bombs.of([4], [1], [0]))
    with pytest.raises(BeatmapError, match="stacked note"):
        map_files(replace(plan(), charts=(ChartPlan(difficulty="Expert", objects=bombed),)))


def test_notes_of_one_beat_stand_in_cells_of_their_own() -> None:
    tower = Notes.of([4, 4, 4], [1, 1, 2], [0, 1, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0])
    assert strict_faults(map_files(plan(tower))) == ()


@pytest.mark.parametrize("kind", ["arcs", "chains"])
def test_a_tail_behind_the_audio_is_refused(kind: str) -> None:
    held = {
        "arcs": Arcs.of([59], [0], [1], [0], [1], [1], [60.5], [1], [0], [0], [1], [0]),
        "chains": Chains.of([59], [0], [1], [0], [1], [60.5], [0], [0], [4], [0.5]),
    }
    tailed = replace(Objects.none(), **{kind: held[kind]})
    with pytest.raises(BeatmapError, match=r"after audio \(30\.250 s of 30\.000\)"):
        map_files(plan(charts=(ChartPlan(difficulty="Expert", objects=tailed),)), 3)


@pytest.mark.parametrize("name", ["Info.dat", CHART, "AudioData.dat"])
def test_files_that_are_not_plain_json_are_told(name: str) -> None:
    files = map_files(plan(), 4)
    assert "packed_file" in kinds({**files, name: gzip.compress(files[name])})
    tree = json.loads(files[name])
    wrapped = {"version": tree.pop("version"), "contentChecksum": "", "content": tree}
    if name == CHART:
        assert kinds(edited(files, name, lambda _: wrapped)) >= {"editor_layout"}


def test_the_same_difficulty_twice_is_refused() -> None:
    with pytest.raises(BeatmapError, match="listed twice"):
        map_files(replace(plan(), charts=plan().charts * 2))


@pytest.mark.parametrize(
    ("count", "gap", "is_refused"),
    [(12, 0.7, True), (12, 0.8, False), (10, 0.5, False), (12, 0.3, True)],
)
def test_a_stream_in_one_direction_is_refused_when_it_is_long_and_quick(
    count: int, gap: float, is_refused: bool
) -> None:
    # Two hands by turns at 60 bpm: each strikes every second note
    step = round(gap / 2 * 48) / 48
    notes = stream(count, 4.0, step)
    notes = replace(notes, direction=np.ones_like(notes.direction))
    files = map_files(replace(plan(stream(2)), bpm=60.0))
    again = edited(
        files,
        CHART,
        lambda tree: tree.update(
            _notes=[
                {"_time": b, "_lineIndex": x, "_lineLayer": 0, "_type": c, "_cutDirection": 1}
                for b, x, c in zip(
                    notes.beat.tolist(), notes.lane.tolist(), notes.color.tolist(), strict=True
                )
            ]
        ),
    )
    assert ("same_direction_stream" in kinds(again)) == is_refused


@given(st.sampled_from([48, 64]), st.integers(1, 3000), st.floats(-0.0009, 0.0009))
@settings(max_examples=30, deadline=None)
def test_what_editors_round_is_on_the_grid(grid: int, at: int, off: float) -> None:
    note = Notes.of([max(at / grid + off, 0)], [1], [0], [0], [1], [0])
    assert strict_faults(map_files(plan(note))) == ()


def test_version_4_says_how_long_the_audio_is() -> None:
    files = map_files(plan(), 4)
    longer = edited(files, "Info.dat", lambda t: t["audio"].update(songDuration=31.0))
    assert kinds(longer) == {"wrong_duration"}
    other = edited(files, "AudioData.dat", lambda t: t.update(songSampleCount=8000))
    assert "wrong_duration" in kinds(other)
    for key in ("lightshowDataFilename", "beatmapDataFilename"):
        without = edited(
            files, "Info.dat", lambda t, key=key: t["difficultyBeatmaps"][0].update({key: ""})
        )
        assert "missing_file" in kinds(without)


def test_files_that_hold_no_map_are_faults_too() -> None:
    files = map_files(plan())
    info = files.pop("Info.dat")
    assert kinds(files) == {"no_info"}
    assert kinds({**files, "info.dat": info}) == {"no_info"}
    assert kinds({**files, "Info.dat": b"{"}) == {"bad_json"}
    assert kinds({**files, "Info.dat": b"{}"}) == {"unknown_format"}
    assert "empty_file" in kinds({**files, "Info.dat": info, CHART: b""})
    assert oddities(files) == ()


ODD_VALUES = (
    None,
    True,
    -1,
    99,
    2**31,
    2**70,
    1e300,
    -0.5,
    "x",
    "4",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.randoms(use_true_random=False))
def test_whatever_stands_in_a_file_is_told_and_nothing_raises(format_: int, random) -> None:
    files = map_files(full_plan(format_), format_)
    for _ in range(random.randint(1, 3)):
        name = random.choice([file for file in files if file.endswith(".dat")])
        if random.random() < 0.2:
            content = bytearray(files[name])
            content[random.randrange(len(content))] = random.randrange(256)
            files[name] = bytes(content)
            continue
        try:
            tree = json.loads(files[name])
        except ValueError:
            continue
        spot = tree
        while isinstance(spot, dict | list) and spot:
            key = random.choice(list(spot) if isinstance(spot, dict) else range(len(spot)))
            if random.random() < 0.4 or not isinstance(spot[key], dict | list) or not spot[key]:
                spot[key] = random.choice(ODD_VALUES)
                break
            spot = spot[key]
        files[name] = json.dumps(tree).encode()
    for fault in (*strict_faults(files), *oddities(files)):
        assert fault.kind.isidentifier() and str(fault)


def test_what_reading_passes_over_is_json_all_the_same() -> None:
    files = map_files(plan())
    text = files[CHART]
    for odd in (b'"_customData":1e999}', b'"_customData":' + b"[" * 5000 + b"]" * 5000 + b"}"):
        assert kinds({**files, CHART: text[:-1] + b"," + odd}) & {"wrong_type", "too_deep"}


# --- jumps


@pytest.mark.parametrize("golden", GOLDEN["jumps"], ids=str)
def test_jumps_are_as_bsmap_counts_them(golden: dict) -> None:
    bpm, njs, offset = golden["bpm"], golden["njs"], golden["offset"]
    beats = half_jump(njs, bpm, offset)
    found = (beats, beats * 60 / bpm, *comfortable_seconds(njs))
    np.testing.assert_allclose(found, golden["says"], rtol=1e-12)


@given(st.sampled_from(DIFFICULTIES), st.floats(0, 40), st.floats(40, 400))
def test_a_usual_jump_gives_a_comfortable_time_to_react(
    difficulty: str, nps: float, bpm: float
) -> None:
    njs = usual_njs(difficulty, nps)
    assert FALLBACK_NJS[difficulty] <= njs <= FASTEST_NJS
    least, most = comfortable_seconds(njs)
    # An offset is in hundredths of a beat
    slack = 0.005 * 60 / bpm
    seconds = half_jump(njs, bpm, usual_offset(njs, bpm)) * 60 / bpm
    assert least - slack <= seconds <= most + slack


@given(st.sampled_from(DIFFICULTIES), st.floats(0, 20), st.floats(0, 5))
def test_denser_notes_never_come_slower(difficulty: str, nps: float, more: float) -> None:
    assert usual_njs(difficulty, nps) <= usual_njs(difficulty, nps + more)


@pytest.mark.parametrize(
    ("difficulty", "nps", "njs"),
    [
        ("Easy", 1.5, 10),
        ("Hard", 4, 10),
        ("Expert", 5.75, 12),
        ("Expert", 8, 16),
        ("ExpertPlus", 3, 16),
        ("ExpertPlus", 10, 18),
    ],
)
def test_speeds_of_some_densities(difficulty: str, nps: float, njs: float) -> None:
    assert usual_njs(difficulty, nps) == njs


@pytest.mark.parametrize(
    ("njs", "bpm", "offset"), [(10, 120, 0.0), (16, 120, -0.72), (16, 170, 0.0)]
)
def test_an_offset_is_chosen_only_where_the_games_own_jump_is_uncomfortable(
    njs: float, bpm: float, offset: float
) -> None:
    assert usual_offset(njs, bpm) == offset


def test_a_plan_without_speeds_gets_those_of_its_density() -> None:
    dense = stream(101, 4.0, 0.125)  # at 120 bpm 16 a second
    assert notes_a_second(dense, TimeMap.steady(120.0)) == pytest.approx(16)
    assert notes_a_second(dense.take(np.arange(1)), TimeMap.steady(120.0)) == 0
    (beatmap,) = read(map_files(plan(dense))).beatmaps
    assert beatmap.njs == FASTEST_NJS
    assert beatmap.offset == usual_offset(FASTEST_NJS, 120.0)


@pytest.mark.parametrize("format_", FORMATS)
def test_where_the_tempo_does_not_begin_with_the_infos_its_own_holds(format_: int) -> None:
    times = TimeMap.of_changes(200.0, [16], [150.0])
    level = read(map_files(plan(bpm=120.0, times=times), format_))
    found = level.beatmaps[0].time_map.seconds_at([0, 8, 16, 24])
    np.testing.assert_allclose(found, times.seconds_at([0, 8, 16, 24]), atol=1e-3)


def test_a_preview_begins_within_the_audio() -> None:
    short = plan(stream(4), audio=audio(10))
    assert read(map_files(plan())).preview_start == 12.0
    assert read(map_files(short)).preview_start == 0.0
    assert read(map_files(replace(short, preview_start=9.5))).preview_start == 9.5


def test_a_generated_map_says_so() -> None:
    for format_, key in ((2, "_customData"), (4, "customData")):
        files = map_files(plan(generated="Some Writer"), format_)
        told = json.loads(files["Info.dat"])[key]
        assert told["_generatedBy"] == told["_editors"]["_lastEditedBy"] == "Some Writer"
        assert "Some Writer" in told["_editors"]
        assert read(files).mapper == "Some Writer"
        assert key not in json.loads(map_files(plan(), format_)["Info.dat"])


def test_names_in_a_zip_lie_at_its_root() -> None:
    archive = zipfile.ZipFile(io.BytesIO(zipped(map_files(plan(), 4))))
    for entry in archive.infolist():
        assert "/" not in entry.filename and entry.date_time == (1980, 1, 1, 0, 0, 0)
