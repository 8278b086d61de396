import gzip
import io
import json
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cli import run
from workbench.demo.choreography import DIFFICULTIES, choreograph
from workbench.demo.defects import DEFECTS
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.demo.tunes import SLOTS, compose
from workbench.errors import CachingError, OptionsError

WHOLE = SongCorpusOptions(songs=12, seconds=8, broken=0)
DOWNWARD, UPWARD, SIDEWAYS = {1, 6, 7}, {0, 4, 5}, {2, 3}

seeds = st.integers(0, 2**32 - 1)
tunes = st.builds(
    lambda seed, **kind: compose(generator=generator_of(seed), **kind),
    seed=seeds,
    bpm=st.sampled_from([92.49, 120.0, 174.3]),
    kind=st.sampled_from(["steady", "stepping", "drifting"]),
    metre=st.sampled_from([3, 4]),
    seconds=st.floats(8, 16),
)


def generator_of(seed):
    return np.random.Generator(np.random.PCG64(seed))


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def files_of(corpus, song):
    """Names and bytes of a map's files, from its folder or zip."""
    path = corpus.maps / song.place
    if path.is_dir():
        return contents(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def plain(content):
    """A JSON file, whatever it is wrapped in."""
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return json.loads(content.decode("utf-8-sig"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "songs", WHOLE)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    options = SongCorpusOptions(songs=1, seconds=8, broken=len(DEFECTS))
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "broken", options)


# --- music and dance


@settings(max_examples=15, deadline=None)
@given(tune=tunes)
def test_hits_are_in_time_and_within_the_tune(tune):
    assert (np.diff(tune.hits.slot) >= 0).all()
    assert tune.hits.slot[0] == 0
    assert tune.hits.slot[-1] < tune.bars * tune.metre * SLOTS
    seconds = tune.tempo.seconds_at(tune.hits.slot / SLOTS)
    assert (np.diff(seconds) >= 0).all()
    assert seconds[-1] < tune.seconds


@settings(max_examples=15, deadline=None)
@given(tune=tunes)
def test_every_bar_behind_the_count_in_begins_with_a_kick(tune):
    kicks = set(tune.hits.slot[(tune.hits.part == 0) & (tune.hits.pitch == 36)].tolist())
    starts = {bar * tune.metre * SLOTS for bar in range(1, tune.bars)}
    assert starts <= kicks


@settings(max_examples=15, deadline=None)
@given(tune=tunes, beat=st.floats(-4, 200))
def test_a_tempo_passes_as_many_seconds_as_its_stretches_have(tune, beat):
    ends = [*tune.tempo.beats[1:], np.inf]
    seconds, start = 0.0, 0.0
    for end, bpm in zip(ends, tune.tempo.bpms, strict=True):
        seconds += (min(beat, end) - start) * 60 / bpm
        if beat <= end:
            break
        start = end
    assert tune.tempo.seconds_at(beat) == pytest.approx(seconds, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(tune=tunes, seed=seeds, difficulty=st.sampled_from(DIFFICULTIES))
def test_each_hand_swings_forth_and_back_in_turn(tune, seed, difficulty):
    chart = choreograph(tune, "Standard", difficulty, generator_of(seed))
    for hand in (0, 1):
        swings = {note.slot: note.direction for note in chart.notes if note.color == hand}
        kinds = [is_forehand(direction, hand) for _, direction in sorted(swings.items())]
        assert all(a != b for a, b in pairwise(kinds))


def is_forehand(direction, hand):
    """Down, or sideways towards the body."""
    inward = 3 if hand == 0 else 2
    return direction in DOWNWARD or direction == inward


@settings(max_examples=20, deadline=None)
@given(
    tune=tunes,
    seed=seeds,
    characteristic=st.sampled_from(["Standard", "OneSaber", "NoArrows"]),
    difficulty=st.sampled_from(DIFFICULTIES),
)
def test_a_chart_can_be_played(tune, seed, characteristic, difficulty):
    chart = choreograph(tune, characteristic, difficulty, generator_of(seed))
    onsets = set(tune.hits.slot.tolist())
    cells = [(note.slot, note.lane, note.layer) for note in chart.notes]
    assert chart.notes
    assert len(set(cells)) == len(cells)
    assert [note.slot for note in chart.notes] == sorted(note.slot for note in chart.notes)
    for note in chart.notes:
        assert note.slot in onsets
        assert 0 <= note.lane < 4 and 0 <= note.layer < 3
        assert (note.lane, note.layer) not in {(1, 1), (2, 1)}  # they would hide what comes
        assert note.direction == 8 if characteristic == "NoArrows" else note.direction < 8
    if characteristic == "OneSaber":
        assert {note.color for note in chart.notes} == {1}
    notes = set(chart.notes)
    for arc in chart.arcs:
        assert {arc.head, arc.tail} <= notes and arc.head.color == arc.tail.color
        assert arc.head.slot < arc.tail.slot
    for chain in chart.chains:
        assert chain.head in notes and chain.slices >= 3 and chain.squish > 0
    assert not {bomb.slot for bomb in chart.bombs} & {note.slot for note in chart.notes}


@settings(max_examples=6, deadline=None)
@given(seed=seeds, bpm=st.sampled_from([92.49, 128.0, 174.3]))
def test_a_harder_chart_is_denser_and_spreads_over_both_hands(seed, bpm):
    tune = compose(bpm=bpm, kind="steady", metre=4, seconds=40, generator=generator_of(seed))
    charts = [choreograph(tune, "Standard", d, generator_of(seed)) for d in DIFFICULTIES]
    counts = [len({note.slot for note in chart.notes}) for chart in charts]
    assert counts[0] < counts[2] < counts[4]
    hands = Counter(note.color for note in charts[-1].notes)
    assert 0.25 < hands[0] / hands.total() < 0.75


@settings(max_examples=15, deadline=None)
@given(tune=tunes, seed=seeds, difficulty=st.sampled_from(DIFFICULTIES))
def test_after_a_rest_kicks_go_left_and_snares_right(tune, seed, difficulty):
    chart = choreograph(tune, "Standard", difficulty, generator_of(seed))
    drums, hands = defaultdict(set), defaultdict(set)
    for slot, part, pitch in zip(tune.hits.slot, tune.hits.part, tune.hits.pitch, strict=True):
        if part == 0:
            drums[int(slot)].add(int(pitch))
    for note in chart.notes:
        hands[note.slot].add(note.color)
    slots = sorted(hands)
    seconds = tune.tempo.seconds_at(np.array(slots) / SLOTS)
    for slot, rest in zip(slots[1:], np.diff(seconds), strict=True):
        struck = drums[slot] & {36, 38}
        if rest >= chart.density.hand_seconds and len(struck) == 1:
            assert {0 if struck == {36} else 1} <= hands[slot]


# --- corpora


def test_equal_options_give_equal_bytes(corpus, tmp_path):
    again = make_song_corpus(tmp_path / "again", WHOLE)
    assert again.songs == corpus.songs
    assert contents(again.folder) == contents(corpus.folder)


def test_another_seed_gives_other_maps(corpus, tmp_path):
    other = make_song_corpus(tmp_path / "other", replace(WHOLE, songs=2, seed=1))
    here = contents(corpus.maps)
    there = contents(other.maps)
    same = [name for name, content in there.items() if here.get(name) == content]
    assert [name for name in same if not name.endswith("Info.dat")] == []


def test_a_large_corpus_begins_with_the_songs_of_a_small_one(corpus, tmp_path):
    small = make_song_corpus(tmp_path / "small", replace(WHOLE, songs=4, broken=2))
    assert small.songs[:4] == corpus.songs[:4]
    for song in small.songs[:4]:
        assert files_of(small, song) == files_of(corpus, song)


def test_what_is_there_is_kept_and_strangers_stay(corpus, tmp_path):
    file = corpus.folder / "truth.jsonl"
    made = file.stat().st_mtime_ns
    assert make_song_corpus(corpus.folder, WHOLE).songs == corpus.songs
    assert file.stat().st_mtime_ns == made
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CachingError, match="holds something else"):
        make_song_corpus(tmp_path, WHOLE)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_versions_tempi_and_zips_take_turns(corpus):
    songs = corpus.songs
    assert [song.version for song in songs] == [2, 3, 3, 4] * 3
    assert [song.place.endswith(".zip") for song in songs] == [n % 5 == 4 for n in range(12)]
    assert {174.3, 92.49} <= {song.bpm for song in songs}
    changing = [song for song in songs if len(song.tempo_bpms) > 1]
    assert {song.version for song in changing} == {2, 3, 4}
    assert [song.metre for song in songs].count(3) == 1
    assert {song.sample_rate for song in songs} == {22_050, 44_100, 48_000}
    kinds = {beatmap.characteristic for song in songs for beatmap in song.beatmaps}
    assert kinds == {"Standard", "OneSaber", "NoArrows"}
    assert not any(song.defect or song.says for song in songs)


def test_the_truth_counts_what_the_files_hold(corpus):
    for song in corpus.songs:
        files = files_of(corpus, song)
        for beatmap in song.beatmaps:
            document = plain(files[beatmap.file])
            held = [beatmap.notes, beatmap.bombs, beatmap.walls, beatmap.arcs, beatmap.chains]
            if song.version == 2:
                kinds = Counter(note["_type"] == 3 for note in document["_notes"])
                others = [len(document.get(name, ())) for name in ("_obstacles", "_sliders")]
                assert [kinds[False], kinds[True], *others, 0] == held
                continue
            arcs, chains = ("sliders", "burstSliders") if song.version == 3 else ("arcs", "chains")
            names = ("colorNotes", "bombNotes", "obstacles", arcs, chains)
            assert [len(document.get(name, ())) for name in names] == held
    assert sum(b.notes for song in corpus.songs for b in song.beatmaps) == corpus.notes().num_rows


def test_the_notes_of_the_truth_are_those_of_the_files(corpus):
    rows = corpus.notes().to_pylist()
    keys = ("beat", "lane", "layer", "color", "direction")
    told = defaultdict(list)
    for row in rows:
        chart = (row["place"], row["characteristic"], row["difficulty"])
        told[chart].append(tuple(row[key] for key in keys))
    for song in corpus.songs:
        files = files_of(corpus, song)
        for b in song.beatmaps:
            notes = notes_in(plain(files[b.file]), song.version)
            assert sorted(told[song.place, b.characteristic, b.difficulty]) == sorted(notes)


def notes_in(document, version):
    if version == 2:
        keys = ("_time", "_lineIndex", "_lineLayer", "_type", "_cutDirection")
        return [tuple(n[k] for k in keys) for n in document["_notes"] if n["_type"] != 3]
    if version == 3:
        return [tuple(n.get(k, 0) for k in "bxycd") for n in document["colorNotes"]]
    data = document["colorNotesData"]
    return [
        (n.get("b", 0), *(data[n.get("i", 0)].get(k, 0) for k in "xycd"))
        for n in document["colorNotes"]
    ]


def test_tempo_changes_are_written_as_each_format_has_them(corpus):
    for song in corpus.songs:
        files = files_of(corpus, song)
        document = plain(files[song.beatmaps[0].file])
        changes = list(zip(song.tempo_beats, song.tempo_bpms, strict=True))
        if song.version == 2:
            events = [e for e in document["_events"] if e["_type"] == 100]
            assert [(e["_time"], e["_floatValue"]) for e in events] == changes[1:]
            assert ("BPMInfo.dat" in files) == (len(changes) > 1)
        elif song.version == 3:
            assert [(e.get("b", 0), e["m"]) for e in document["bpmEvents"]] == changes
        else:
            audio = plain(files["AudioData.dat"])
            rate = audio["songFrequency"]
            assert rate == song.sample_rate
            for region, (beat, bpm) in zip(audio["bpmData"], changes, strict=True):
                told = (region["eb"] - region["sb"]) * 60 * rate / (region["ei"] - region["si"])
                assert region["sb"] == beat
                assert told == pytest.approx(bpm, rel=1e-4)
            assert audio["bpmData"][-1]["ei"] == audio["songSampleCount"]


def test_audio_sounds_where_the_onsets_are(corpus):
    rows = corpus.onsets().to_pandas()
    for song in corpus.songs[:4]:
        samples, rate = soundfile.read(io.BytesIO(files_of(corpus, song)[song.audio]))
        assert rate == song.sample_rate
        assert len(samples) / rate == pytest.approx(song.seconds, abs=1e-5)
        here = rows[rows.place == song.place]
        kicks = here[here.pitch.isin([36, 38])].seconds
        on_time, late = (
            np.array([rise(samples, rate, at + shift) for at in kicks]) for shift in (0, 0.05)
        )
        assert (on_time > 1.3).mean() > 0.75
        assert (late > 1.3).mean() < 0.35


def rise(samples, rate, at):
    """Energy of 20 ms behind a moment, as a share of that before it."""
    middle, width = round(at * rate), round(0.02 * rate)
    before, after = samples[max(middle - width, 0) : middle], samples[middle : middle + width]
    return (after**2).mean() / max((before**2).mean() if len(before) else 0, 1e-9)


def test_covers_are_square_png_pictures(corpus):
    for song in corpus.songs[:2]:
        cover = files_of(corpus, song)["cover.png"]
        assert cover[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">2I", cover[16:24])
        assert width == height == 256
        at, kinds, pixels = 8, [], b""
        while at < len(cover):
            length, kind = struct.unpack(">I4s", cover[at : at + 8])
            data = cover[at + 8 : at + 8 + length]
            (told,) = struct.unpack(">I", cover[at + 8 + length : at + 12 + length])
            assert told == zlib.crc32(kind + data)
            kinds.append(kind)
            pixels += data if kind == b"IDAT" else b""
            at += 12 + length
        assert kinds == [b"IHDR", b"IDAT", b"IEND"]
        assert len(zlib.decompress(pixels)) == 256 * (1 + 3 * 256)


# --- defects


def test_every_kind_of_defect_is_planted_and_told(broken):
    planted = [song for song in broken.songs if song.defect]
    assert [song.defect for song in planted] == list(DEFECTS)
    for song in planted:
        defect = DEFECTS[song.defect]
        assert (song.outcome, song.says) == (defect.outcome, defect.says)
        readable = [beatmap.is_readable for beatmap in song.beatmaps]
        lost = {"read": 0, "duplicate": 0, "part": 1, "refused": len(readable)}[song.outcome]
        assert readable.count(False) == lost


def test_defects_are_what_they_are_called(broken):
    paths = {song.defect: broken.maps / song.place for song in broken.songs}
    files = {song.defect: contents(broken.maps / song.place) for song in broken.songs}
    last = "ExpertPlusStandard.dat"
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        plain(files["truncated_json"][last])
    assert last not in files["missing_difficulty"]
    with zipfile.ZipFile(paths["hostile_zip"]) as archive:
        assert "../outside.dat" in archive.namelist()
    assert b'"Expert+"' in files["expert_plus_alias"]["Info.dat"]
    assert plain(files["mapping_extensions"][last])["_notes"][0]["_lineIndex"] == 1500
    assert files["gzip"]["Info.dat"][:2] == b"\x1f\x8b"
    assert files["bom"]["Info.dat"][:3] == b"\xef\xbb\xbf"
    assert "info.dat" in files["lower_case"] and "Info.dat" not in files["lower_case"]
    assert not any(name.endswith((".ogg", ".egg")) for name in files["missing_audio"])
    assert not zipfile.is_zipfile(paths["cut_zip"])
    assert plain(files["negative_time"][last])["colorNotes"][0]["b"] < 0
    assert plain(files["text_as_time"][last])["colorNotes"][-1]["b"] == "soon"
    bad = plain(files["bad_index"][last])
    assert bad["colorNotes"][-1]["i"] >= len(bad["colorNotesData"])
    assert "_BPMChanges" in plain(files["editor_tempo"][last])["_customData"]
    assert files["duplicate"] == files[""]


def test_the_truth_of_a_defect_is_what_a_reader_gets_of_it(broken):
    notes = broken.notes().to_pandas()
    for song in broken.songs:
        here = notes[notes.place == song.place]
        assert len(here) == sum(b.notes for b in song.beatmaps if b.is_readable)
    moved = {song.defect: notes[notes.place == song.place] for song in broken.songs}
    assert moved["negative_time"].beat.min() == -1.5
    assert moved["negative_time"].seconds.min() < 0
    assert moved["mapping_extensions"].lane.max() == 1500
    assert moved["hostile_zip"].empty


# --- options and the command


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"songs": 0}, "songs: 0 is outside"),
        ({"seconds": 3.0}, "seconds: 3.0 is outside"),
        ({"seed": -1}, "seed: -1 is outside"),
        ({"broken": -1}, "broken: -1 is outside"),
    ],
)
def test_what_cannot_be_made_is_refused(values, found):
    with pytest.raises(OptionsError, match=found):
        SongCorpusOptions(**values)


def test_the_command_makes_them_and_tells_how_many(tmp_path, capsys):
    tokens = ["demo", "songs", str(tmp_path / "songs"), "--songs", "2", "--broken", "1"]
    assert run([*tokens, "--seconds", "8", "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["songs"], told["broken"]) == (2, 1)
    assert told["notes"] > 100
    assert len(list((tmp_path / "songs" / "maps").iterdir())) == 3
