"""The store: what goes in comes out, a row group a song, files within their limit, none empty."""

import hashlib
import itertools
import json
import uuid
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.beatmap.maps.level import Beatmap
from workbench.beatmap.maps.manifest import (
    MANIFEST,
    SONGS,
    Manifest,
    Skip,
    StoredBeatmap,
    StoredSong,
    few_of_each,
    no_counts,
    read_manifest,
)
from workbench.beatmap.maps.objects import Fault, Objects
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.songs import ReadMap
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.store_writer import STAGING, StoreWriter
from workbench.beatmap.maps.tables import KINDS, SCHEMAS, grained, objects_of, song_rows
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError
from workbench.streaming.sink import FolderSink

WORDS = st.text(st.sampled_from('aé中"\\\n\ud800'), max_size=5)
BEATS = {"allow_nan": False, "allow_infinity": False, "min_value": -1e6, "max_value": 1e6}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder that examples share; each makes one of its own in it."""
    return tmp_path_factory.mktemp("store")


@st.composite
def columns(draw, kind):
    """Any objects of a kind, sorted by beat, their numbers as wide as columns take."""
    count = draw(st.integers(0, 4))
    found = []
    for dtype in kind.DTYPES.values():
        elements = {"f8": st.floats(**BEATS), "i4": None, "?": None}[dtype]
        found.append(draw(arrays.arrays(dtype, count, elements=elements)))
    return kind.of(*found)


@st.composite
def beatmaps(draw):
    objects = {name: draw(columns(kind)) for name, kind in KINDS.items()}
    return Beatmap(
        characteristic=draw(WORDS),
        difficulty=draw(st.sampled_from(["Easy", "ExpertPlus"]) | WORDS),
        rank=9,
        label="",
        njs=0.0,
        offset=0.0,
        mappers=(),
        lighters=(),
        requirements=(),
        suggestions=(),
        file="E.dat",
        version="3.3.0",
        objects=replace(Objects.none(), **objects),
        time_map=draw(TIME_MAPS),
        flags=(),
        faults=(),
        document={},
    )


TIME_MAPS = st.builds(
    lambda bpm, changes: TimeMap.of_changes(bpm, sorted(changes), list(changes.values())),
    st.floats(1, 1000),
    st.dictionaries(st.integers(-5, 500), st.floats(1, 1000), max_size=3),
)
FAULTS = st.builds(
    Fault, kind=st.sampled_from("ab"), place=WORDS, detail=WORDS, is_fatal=st.booleans()
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.none() | FINITE
STORED_BEATMAPS = st.builds(
    StoredBeatmap,
    label=WORDS,
    njs=NUMBERS,
    requirements=st.lists(WORDS, max_size=2).map(tuple),
    counts=st.just({"notes": 3}),
    nps=FINITE,
    time_map=TIME_MAPS,
    faults=st.lists(FAULTS, max_size=3).map(tuple),
)
STORED_SONGS = st.builds(
    StoredSong,
    key=st.binary(min_size=20, max_size=20).map(bytes.hex),
    place=WORDS,
    bpm=FINITE,
    score=NUMBERS,
    time_map=TIME_MAPS,
    beatmaps=st.lists(STORED_BEATMAPS, max_size=3).map(tuple),
    faults=st.lists(FAULTS, max_size=3).map(tuple),
)


def song_of(beatmaps, number=0):
    """Return a song of some beatmaps, ready to be stored."""
    key = hashlib.sha1(str(number).encode()).hexdigest()
    stored = tuple(
        StoredBeatmap(
            characteristic=beatmap.characteristic,
            difficulty=beatmap.difficulty,
            counts=beatmap.objects.counts(),
            nps=0.0,
            time_map=beatmap.time_map,
        )
        for beatmap in beatmaps
    )
    song = StoredSong(
        key=key,
        source="folder",
        title=f"song {number}",
        artist="",
        mapper="",
        bpm=174.3,
        time_map=TimeMap.steady(174.3),
        beatmaps=stored,
    )
    rows = song_rows(key, "folder", 174.3, beatmaps)
    return ReadMap(song=song, rows=rows, skips=())


def stored(folder, reads, **options):
    """Write what reading gave; return the store."""
    told = {"fingerprint": "", "settings": {}, "listed": len(reads), "counts": no_counts()}
    sink = FolderSink(folder, MANIFEST)
    sink.create()
    with StoreWriter(Manifest(**told), sink, folder, ProcessOptions(**options)) as writer:
        for read in reads:
            writer.add(read)
    return Store.open(folder)


# --- what goes in comes out


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(beatmaps(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_all_objects_of_all_beatmaps_come_out_as_they_went_in(scratch, levels):
    reads = [song_of(level, number) for number, level in enumerate(levels)]
    store = stored(scratch / uuid.uuid4().hex, reads, part_songs=2)
    assert len(store.songs) == len(levels)
    for song, level in zip(store.songs, levels, strict=True):
        for kind in KINDS:
            table = store.table(kind, [song])
            assert table.schema == SCHEMAS[kind]
            assert set(table["song_hash"].to_pylist()) <= {song.key}
            number = table["beatmap"].to_numpy()
            for index, beatmap in enumerate(level):
                own = table.filter(number == index)
                objects = getattr(beatmap.objects, kind)
                assert objects_of(kind, own) == objects
                assert len(own) == song.beatmaps[index].counts[kind]
                seconds = beatmap.time_map.seconds_at(objects.beat)
                assert np.abs(own["time_seconds"].to_numpy() - seconds).max(initial=0) < 2e-6
                assert (own["bpm"].to_numpy() == 174.3).all()


@settings(max_examples=25, deadline=None)
@given(STORED_SONGS)
def test_a_song_comes_out_of_its_line_as_it_went_in(song):
    line = song.line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert StoredSong.of_line(line) == song


def test_times_are_stored_within_two_microseconds():
    seconds = np.random.default_rng(1).uniform(-10, 600, 10_000)
    assert np.abs(grained(seconds) - seconds).max() <= 0.5 / 2**18
    assert (grained(grained(seconds)) == grained(seconds)).all()


def test_positions_far_off_the_grid_are_not_clamped(tmp_path):
    beatmap = beatmap_of(notes=[(0.0, 40_000, -1000, 1, 1360, 2_000_000_000.5)])
    table = stored(tmp_path / "s", [song_of([beatmap])]).table("notes")
    assert objects_of("notes", table) == beatmap.objects.notes


def test_two_beatmaps_of_one_difficulty_stay_two(tmp_path):
    twice = [beatmap_of(notes=[(float(n), 0, 0, 0, 0, 0.0)]) for n in range(2)]
    table = stored(tmp_path / "s", [song_of(twice)]).table("notes")
    assert table["difficulty"].to_pylist() == ["Expert", "Expert"]
    assert table["beatmap"].to_pylist() == [0, 1]


def beatmap_of(count=0, notes=None, bombs=0, difficulty="Expert", seed=0):
    """Return a beatmap of given notes, or of so many drawn ones."""
    rng = np.random.default_rng(seed)
    if notes is None:
        notes = [(n / 4, *rng.integers(0, 3, 2), n % 2, n % 9, 0.0) for n in range(count)]
    made = KINDS["notes"].of(*zip(*notes, strict=True)) if notes else KINDS["notes"].none()
    placed = KINDS["bombs"].of(np.arange(float(bombs)), np.zeros(bombs), np.ones(bombs))
    return Beatmap(
        characteristic="Standard",
        difficulty=difficulty,
        rank=7,
        label="",
        njs=16.0,
        offset=0.5,
        mappers=(),
        lighters=(),
        requirements=(),
        suggestions=(),
        file="E.dat",
        version="2.0.0",
        objects=replace(Objects.none(), notes=made, bombs=placed),
        time_map=TimeMap.steady(174.3),
        flags=(),
        faults=(),
        document={},
    )


# --- files and row groups


def some_songs(count, notes=200, bombs=lambda number: 0):
    return [
        song_of([beatmap_of(notes, bombs=bombs(number), seed=number)], number)
        for number in range(count)
    ]


def test_each_song_has_one_row_group_where_the_manifest_says(tmp_path):
    reads = some_songs(23, bombs=lambda number: number % 3)
    store = stored(tmp_path / "s", reads, part_songs=10)
    for song, read in zip(store.songs, reads, strict=True):
        assert set(song.groups) == set(read.rows)
        for kind, where in song.groups.items():
            with pq.ParquetFile(tmp_path / "s" / f"{kind}_{where.file:04d}.parquet") as parquet:
                assert parquet.metadata.row_group(where.group).num_rows == where.rows
                group = parquet.read_row_group(where.group)
            assert group.to_pydict() == read.rows[kind].to_pydict()
    files = store.manifest.files
    assert [file.name for file in files["notes"]] == [f"notes_{n:04d}.parquet" for n in range(3)]
    groups = [pq.read_metadata(tmp_path / "s" / f.name).num_row_groups for f in files["notes"]]
    assert groups == [10, 10, 3]


def test_no_file_is_empty_and_none_is_there_that_the_manifest_does_not_list(tmp_path):
    reads = some_songs(20, bombs=lambda number: 5 * (number == 12))
    store = stored(tmp_path / "s", reads, part_songs=5)
    files = {file.name: file for files in store.manifest.files.values() for file in files}
    assert len(store.manifest.files["bombs"]) == 1  # not one a part
    assert {p.name for p in (tmp_path / "s").iterdir() if p.name != STAGING} == {*files, MANIFEST}
    for name, file in files.items():
        content = (tmp_path / "s" / name).read_bytes()
        assert file.rows > 0
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_file_ends_before_its_limit_and_a_song_stays_whole(tmp_path, monkeypatch):
    reads = some_songs(9, notes=9000)
    store = stored(tmp_path / "s", reads, file_mb=2)
    sizes = [file.size for file in store.manifest.files["notes"]]
    assert len(sizes) > 1
    assert max(sizes) < 2_000_000
    groups = [song.groups["notes"] for song in store.songs]
    assert [group.file for group in groups] == sorted(group.file for group in groups)
    for before, after in itertools.pairwise(groups):  # each file is filled from its first group on
        assert (after.file, after.group) in ((before.file, before.group + 1), (before.file + 1, 0))
    assert len(store.table("notes")) == 9 * 9000


def test_a_song_longer_than_the_limit_has_a_file_of_its_own(tmp_path):
    reads = [song_of([beatmap_of(n)], number) for number, n in enumerate((10, 30_000, 10))]
    store = stored(tmp_path / "s", reads, file_mb=1)
    assert [song.groups["notes"].file for song in store.songs] == [0, 1, 2]


def test_columns_are_packed_by_zstd_with_dictionaries(tmp_path):
    stored(tmp_path / "s", some_songs(3))
    group = pq.read_metadata(tmp_path / "s" / "notes_0000.parquet").row_group(1)
    told = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    for name in ("beat", "time_seconds", "direction"):
        assert told[name].compression == "ZSTD", name
    for name in ("song_hash", "source", "difficulty", "lane", "layer", "color", "direction"):
        assert told[name].has_dictionary_page, name
    assert told["song_hash"].statistics.min == told["song_hash"].statistics.max
    assert told["bpm"].physical_type == told["beat"].physical_type == "DOUBLE"


# --- reading


def test_some_songs_are_read_without_the_others(tmp_path):
    reads = some_songs(12)
    store = stored(tmp_path / "s", reads, part_songs=5)
    chosen = [store.songs[n] for n in (11, 2, 3, 7)]
    table = store.table("notes", chosen)
    keys = [key for key, _ in itertools.groupby(table["song_hash"].to_pylist())]
    assert keys == [store.songs[n].key for n in (2, 3, 7, 11)]
    (tmp_path / "s" / "notes_0001.parquet").unlink()
    assert len(store.table("notes", [store.songs[n] for n in (0, 4, 10)])) == 3 * 200
    with pytest.raises(BeatmapError, match=r"notes cannot be read .*notes_0001"):
        store.table("notes", chosen)


def test_columns_are_read_alone_and_in_the_order_asked_for(tmp_path):
    store = stored(tmp_path / "s", some_songs(3))
    table = store.table("notes", columns=["lane", "beat"])
    assert table.column_names == ["lane", "beat"]
    assert store.table("arcs", columns=["tail_beat"]).num_rows == 0
    assert store.table("notes", songs=[]).schema == SCHEMAS["notes"]
    with pytest.raises(BeatmapError, match="no column 'x', only song_hash"):
        store.table("notes", columns=["x"])
    with pytest.raises(BeatmapError, match="'stones' is none of notes"):
        store.table("stones")


def test_a_song_is_found_by_its_key(tmp_path):
    store = stored(tmp_path / "s", some_songs(3))
    assert store.song(store.songs[1].key) is store.songs[1]
    with pytest.raises(BeatmapError, match="no song 0123"):
        store.song("0123")


def test_levels_that_are_there_already_are_counted_and_stored_once(tmp_path):
    reads = some_songs(4)
    store = stored(tmp_path / "s", [*reads, reads[2], reads[0]], part_songs=2)
    assert (len(store.songs), store.manifest.duplicates) == (4, 2)
    assert store.manifest.refused == {}
    assert [skip.reason for skip in store.skipped()] == ["duplicate", "duplicate"]
    assert reads[2].song.key in store.skipped()[0].detail


def test_a_copy_with_audio_of_a_level_without_is_told_as_that(tmp_path):
    (read,) = some_songs(1)
    silent = replace(read, song=replace(read.song, audio_digest=""))
    sounding = replace(read, song=replace(read.song, audio_digest="ab" * 32))
    for number, (copies, reasons) in enumerate(
        [
            ([silent, sounding, silent], ["duplicate_with_audio", "duplicate"]),
            ([sounding, silent, sounding], ["duplicate", "duplicate"]),
        ]
    ):
        store = stored(tmp_path / str(number), copies)
        assert [skip.reason for skip in store.skipped()] == reasons
        assert (len(store.songs), store.manifest.duplicates) == (1, 2)


def test_what_is_no_store_or_not_finished_or_damaged_is_told(tmp_path):
    with pytest.raises(BeatmapError, match="no store of maps") as failed:
        Store.open(tmp_path)
    assert failed.value.kind == "no_store"
    store = stored(tmp_path / "s", some_songs(2))
    unfinished = replace(store.manifest, listed=3)
    (tmp_path / "s" / MANIFEST).write_bytes(unfinished.to_bytes())
    with pytest.raises(BeatmapError, match="not finished, 2 of 3 maps"):
        Store.open(tmp_path / "s")
    (tmp_path / "s" / MANIFEST).write_bytes(store.manifest.to_bytes())
    assert Store.open(tmp_path / "s").manifest == store.manifest
    (tmp_path / "s" / "songs_0000.jsonl").write_text("{}\n")
    with pytest.raises(BeatmapError, match=r"its songs cannot be read .* with --fresh"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "files": 3}', b"[" * 100_000]
)
def test_a_manifest_that_is_none_is_told(content):
    with pytest.raises(BeatmapError, match="is none of this version"):
        read_manifest(content, "store")


def test_the_first_few_faults_of_each_kind_are_kept_and_all_are_counted():
    faults = [Fault(kind="ab"[n % 2], place=str(n), detail="") for n in range(100)]
    kept, counts = few_of_each(faults)
    assert counts == {"a": 50, "b": 50}
    assert [fault.place for fault in kept] == [str(n) for n in range(10)]


def test_a_fault_that_stands_for_many_counts_as_many():
    faults = [
        Fault(kind="a", place="1", detail="", count=500),
        Fault(kind="a", place="2", detail=""),
    ]
    assert few_of_each(faults)[1] == {"a": 501}


def test_a_skip_comes_out_of_its_line_as_it_went_in():
    skip = Skip(place="a\udcff", at="E.dat: $.x", reason="bad_json", detail="é", is_map=False)
    assert Skip.of_line(skip.line()) == skip
    assert json.loads(skip.line())["place"] == "a\udcff"


def test_songs_are_one_a_line(tmp_path):
    store = stored(tmp_path / "s", some_songs(7), part_songs=3)
    lines = [
        (tmp_path / "s" / file.name).read_bytes().splitlines()
        for file in store.manifest.files[SONGS]
    ]
    assert [len(some) for some in lines] == [3, 3, 1]
    assert tuple(StoredSong.of_line(line) for some in lines for line in some) == store.songs
