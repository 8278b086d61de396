"""Charts of Frets on Fire and Clone Hero: the same notes from either file, at the right second."""

import dataclasses
import io
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.charts import (
    DIFFICULTIES,
    LANES,
    OPEN,
    Chart,
    ChartedSong,
    Frets,
    chart_places,
    read_charts,
)
from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.places import opened_audio
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

INI = b"[song]\r\nname = A = B\r\nartist=\xc3\x84\r\n"
BASES = {"Easy": 60, "Normal": 72, "Hard": 84, "Expert": 96}
SECTIONS = {"Easy": "Easy", "Normal": "Medium", "Hard": "Hard", "Expert": "Expert"}
INSTRUMENTS = {"guitar": "Single", "bass": "DoubleBass", "drums": "Drums", "keys": "Keyboard"}

# tick, lane, length of notes of each difficulty
Played = dict[str, list[tuple[int, int, int]]]
PLAYED = st.dictionaries(
    st.sampled_from(DIFFICULTIES),
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 4), st.integers(1, 500)),
        min_size=1,
        max_size=30,
        unique_by=lambda note: note[:2],
    ),
    min_size=1,
)
# tempos that both files can say: whole thousandths of a bpm, whole microseconds
TEMPOS = st.lists(
    st.tuples(st.integers(1, 6000), st.sampled_from([60.0, 75.0, 96.0, 120.0, 125.0, 150.0])),
    max_size=5,
    unique_by=lambda change: change[0],
)


def song(**files: bytes) -> ChartedSong:
    """Return what files hold; their names are written with two underscores for a dot."""
    named = {name.replace("__", "."): content for name, content in files.items()}
    return read_charts(HeldFiles({"song.ini": INI, "song.ogg": b""} | named))


def track(name: str, events: Iterable[tuple[int, Any]]) -> mido.MidiTrack:
    """Return a track of messages at absolute ticks."""
    messages, at = mido.MidiTrack(), 0
    if name:
        messages.append(mido.MetaMessage("track_name", name=name, time=0))
    for tick, message in sorted(events, key=lambda event: event[0]):
        messages.append(message.copy(time=tick - at))
        at = tick
    return messages


def notes_of(played: Played) -> list[tuple[int, Any]]:
    """Return the messages of notes, those of one pitch shortened so that none overlaps."""
    events: list[tuple[int, Any]] = []
    for difficulty, notes in played.items():
        for tick, lane, length in notes:
            pitch = BASES[difficulty] + lane
            events.append((tick + length, mido.Message("note_off", note=pitch)))
            events.append((tick, mido.Message("note_on", note=pitch, velocity=100)))
    return events


def mid(*tracks: mido.MidiTrack, ppq: int = 192, form: int = 1) -> bytes:
    out = io.BytesIO()
    file = mido.MidiFile(type=form, ticks_per_beat=ppq)
    file.tracks.extend(tracks)
    file.save(file=out)
    return out.getvalue()


def tempo_events(tempos: list[tuple[int, float]]) -> list[tuple[int, Any]]:
    return [
        (tick, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))) for tick, bpm in tempos
    ]


def chart_text(
    parts: dict[tuple[str, str], list[tuple[int, int, int]]],
    tempos: Iterable[tuple[int, float]],
    ppq: int = 192,
    song: str = "",
) -> bytes:
    """Return a .chart of notes (tick, lane or 7 for open, length)."""
    lines = ["[Song]", "{", f"  Resolution = {ppq}", song, "}", "[SyncTrack]", "{", "  0 = TS 4"]
    lines += [f"  {tick} = B {round(bpm * 1000)}" for tick, bpm in tempos]
    lines += ["}", "[Events]", "{", '  0 = E "section [a] = b"', "}"]
    for (part, difficulty), notes in parts.items():
        lines += [f"[{SECTIONS[difficulty]}{INSTRUMENTS[part]}]", "{"]
        lines += [f"  {tick} = N {lane} {length}" for tick, lane, length in sorted(notes)]
        lines += ["  99999 = S 2 100", "  99999 = E solo", "}"]
    return "\r\n".join(lines).encode()


def apart(played: Played) -> Played:
    """Cut notes of one lane so that none sounds into the next, which a MIDI file cannot say."""
    cut: Played = {}
    for difficulty, notes in played.items():
        cut[difficulty] = []
        for tick, lane, length in notes:
            later = [other - tick for other, where, _ in notes if where == lane and other > tick]
            cut[difficulty].append((tick, lane, min([length, *later])))
    return cut


def seconds_by_hand(tick: int, tempos: list[tuple[int, float]], ppq: int) -> float:
    """Return when a tick sounds, one tick after the other."""
    bpm, seconds = 120.0, 0.0
    changes = dict(tempos)
    for at in range(tick):
        bpm = changes.get(at, bpm)
        seconds += 60.0 / bpm / ppq
    return seconds


def same(one: ChartedSong, other: ChartedSong) -> None:
    """The charts are equal, and so is every second to a microsecond."""
    assert [(c.part, c.difficulty) for c in one.charts] == [
        (c.part, c.difficulty) for c in other.charts
    ]
    for left, right in zip(one.charts, other.charts, strict=True):
        assert left.frets == right.frets
        np.testing.assert_allclose(left.seconds(), right.seconds(), atol=1e-6)


# --- laws


@settings(max_examples=40)
@given(PLAYED, TEMPOS, st.sampled_from([96, 192, 480]))
def test_the_same_chart_as_mid_and_as_chart_is_the_same(
    played: Played, tempos: list[tuple[int, float]], ppq: int
) -> None:
    played, tempos = apart(played), [(0, 100.0), *tempos]
    one = song(notes__mid=mid(track("", tempo_events(tempos) + notes_of(played)), ppq=ppq, form=0))
    parts = {("guitar", name): played[name] for name in DIFFICULTIES if name in played}
    other = song(notes__chart=chart_text(parts, tempos, ppq))
    same(one, other)
    assert one.faults == other.faults == ()
    for chart in one.charts:
        notes = sorted(played[chart.difficulty])
        assert chart.frets.beat.tolist() == [tick / ppq for tick, _, _ in notes]
        assert chart.frets.lane.tolist() == [lane for _, lane, _ in notes]
        assert chart.frets.sustain.tolist() == [length / ppq for _, _, length in notes]
        by_hand = [seconds_by_hand(tick, tempos, ppq) for tick in sorted({n[0] for n in notes})]
        np.testing.assert_allclose(chart.seconds(), by_hand, atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(OPEN, 4), st.floats(0, 9)), max_size=40))
def test_onsets_are_the_distinct_beats_with_all_their_lanes(
    notes: list[tuple[int, int, float]],
) -> None:
    columns = list(zip(*sorted(notes), strict=True)) or [(), (), ()]
    chart = Chart(
        part="guitar",
        difficulty="Expert",
        frets=Frets.of(*columns),
        time_map=TimeMap.steady(60.0),
        delay_seconds=0.25,
    )
    beats = sorted({beat for beat, _, _ in notes})
    assert chart.onsets().tolist() == beats
    assert chart.seconds().tolist() == [beat + 0.25 for beat in beats]
    assert chart.lanes().tolist() == [
        sum({1 << lane for beat, lane, _ in notes if beat == at and lane >= 0}) for at in beats
    ]


@given(st.randoms(use_true_random=False), st.integers(0, 2))
def test_whatever_the_files_hold_there_is_a_song_or_a_reason(
    chance: random.Random, which: int
) -> None:
    played: Played = {"Expert": [(0, 0, 10), (96, 1, 10), (192, 4, 100)]}
    files = {
        "song.ini": INI + b"delay = 30\n",
        "notes.mid": mid(track("PART GUITAR", tempo_events([(0, 90.0)]) + notes_of(played))),
        "notes.chart": chart_text({("guitar", "Expert"): played["Expert"]}, [(0, 90.0)]),
    }
    name = sorted(files)[which]
    content = bytearray(files[name])
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content))
        content[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    if chance.random() < 0.2:
        del files["notes.mid" if name == "notes.chart" else "notes.chart"]
    try:
        read = read_charts(HeldFiles(files | {name: bytes(content)}))
    except BeatmapError as error:
        assert error.kind
    else:
        for chart in read.charts:
            assert np.isfinite(chart.seconds()).all()
            assert ((chart.frets.lane >= OPEN) & (chart.frets.lane < LANES)).all()


# --- the given songs

# From independent counts: distinct onsets of the Amazing chart, and the tempo
GIVEN = {
    "muldjord/armygeddon": (1524, 170),
    "muldjord/chaos_god": (713, 170),
    "muldjord/internal_degeneration": (1115, 190),
    "sectoid/escape_from_chaosland": (806, 135),
    "sectoid/feelings": (591, 95),
    "sectoid/metal_madness": (483, 150),
}


@pytest.mark.charts
def test_the_six_songs_have_the_onsets_and_tempos_that_were_counted(charts: Path) -> None:
    found = {}
    for place in chart_places(charts):
        with place.open() as files:
            read = read_charts(files)
            expert = read.chart("Expert")
            found[place.name] = (len(expert.onsets()), round(float(read.time_map.bpm[0])))
            assert read.audio == ("song.ogg", "guitar.ogg")
            assert (read.delay_seconds, read.faults, len(read.time_map.bpm)) == (0.0, (), 1)
            assert read.title.casefold().replace(" ", "_") in place.name
            with opened_audio(files, "song.ogg") as audio:
                sound = soundfile.info(audio)
            assert sound.samplerate == 44_100
            assert expert.seconds().max() < sound.duration
    assert found == GIVEN


@pytest.mark.charts
def test_the_onsets_are_where_mido_hears_them(charts: Path) -> None:
    for place in chart_places(charts):
        with place.open() as files:
            expert = read_charts(files).chart("Expert")
        now, struck = 0.0, set()
        for message in mido.MidiFile(place.path / "notes.mid"):
            now += message.time
            if message.type == "note_on" and message.velocity and 96 <= message.note <= 100:
                struck.add(round(now, 4))
        np.testing.assert_allclose(expert.seconds(), sorted(struck), atol=1e-3)


@pytest.mark.charts
def test_the_six_songs_written_as_chart_are_the_same_songs(charts: Path) -> None:
    for place in chart_places(charts):
        with place.open() as files:
            read = read_charts(files)
        ppq = 480 if "muldjord" in place.name else 96
        parts = {
            (chart.part, chart.difficulty): [
                (round(beat * ppq), int(lane), round(sustain * ppq))
                for beat, lane, sustain in zip(
                    chart.frets.beat, chart.frets.lane, chart.frets.sustain, strict=True
                )
            ]
            for chart in read.charts
        }
        text = chart_text(parts, [(0, float(read.time_map.bpm[0]))], ppq)
        other = song(notes__chart=text)
        for left, right in zip(read.charts, other.charts, strict=True):
            assert (left.part, left.difficulty) == (right.part, right.difficulty)
            assert left.frets == right.frets
            # a .chart says thousandths of a bpm
            np.testing.assert_allclose(left.seconds(), right.seconds(), atol=2e-3)


# --- parts and lanes


def test_tracks_named_as_parts_are_parts_and_others_of_them_are_left_out() -> None:
    read = song(
        notes__mid=mid(
            track("tempo", tempo_events([(0, 150.0)]) + notes_of({"Expert": [(5, 0, 9)]})),
            track("PART GUITAR", notes_of({"Expert": [(0, 0, 10)], "Easy": [(0, 1, 10)]})),
            track("PART BASS", notes_of({"Expert": [(192, 2, 10)]})),
            track("PART VOCALS", notes_of({"Hard": [(0, 0, 10)]})),
            track("PART GUITAR COOP", notes_of({"Hard": [(0, 0, 10)]})),
            track("EVENTS", notes_of({"Hard": [(0, 0, 10)]})),
        )
    )
    assert [(chart.part, chart.difficulty) for chart in read.charts] == [
        ("guitar", "Easy"),
        ("guitar", "Expert"),
        ("bass", "Expert"),
        ("guitar_coop", "Hard"),
    ]
    assert read.chart("Expert", "bass").seconds().tolist() == [0.4]
    with pytest.raises(BeatmapError, match="it has guitar Easy, guitar Expert, bass Expert"):
        read.chart("Expert", "keys")


def test_tracks_without_parts_are_one_guitar_together() -> None:
    tracks = [
        track("a", notes_of({"Expert": [(0, 0, 10)]})),
        track("b", notes_of({"Expert": [(0, 1, 10), (0, 0, 30)]})),
    ]
    (chart,) = song(notes__mid=mid(*tracks)).charts
    assert (chart.part, chart.frets.lane.tolist()) == ("guitar", [0, 1])
    assert chart.frets.sustain.tolist() == [30 / 192, 10 / 192]


@pytest.mark.parametrize(("says", "lanes"), [(True, [OPEN, 0]), (False, [0])])
def test_a_pitch_below_the_lowest_is_an_open_note_where_the_track_says_so(
    says: bool, lanes: list[int]
) -> None:
    events = notes_of({"Expert": [(0, -1, 10), (10, 0, 10)]})
    if says:
        events.append((0, mido.MetaMessage("text", text="[ENHANCED_OPENS]")))
    (chart,) = song(notes__mid=mid(track("PART GUITAR", events))).charts
    assert chart.frets.lane.tolist() == lanes


def test_an_open_note_is_an_onset_with_no_lane_and_how_notes_are_struck_is_none() -> None:
    notes = [(0, 7, 96), (192, 0, 0), (192, 5, 0), (192, 6, 0), (192, 3, 0), (384, 8, 0)]
    (chart,) = song(notes__chart=chart_text({("guitar", "Expert"): notes}, [(0, 120.0)])).charts
    assert chart.onsets().tolist() == [0.0, 1.0]
    assert chart.lanes().tolist() == [0, 0b1001]
    assert chart.frets.sustain.tolist() == [0.5, 0.0, 0.0]


def test_notes_out_of_order_or_twice_are_put_right() -> None:
    lines = b"[ExpertSingle]\n{\n 192 = N 1 5\n 0 = N 2 0\n 192 = N 1 9\n}\n"
    (chart,) = song(notes__chart=chart_text({}, [(0, 120.0)]) + b"\n" + lines).charts
    assert chart.frets == Frets.of([0.0, 1.0], [2, 1], [0.0, 9 / 192])


# --- song.ini, delay, audio


@pytest.mark.parametrize(
    ("said", "offset", "delay"),
    [
        ("delay = 250", "", 0.25),
        ("Delay=-40", "", -0.04),
        ("delay = 250", "Offset = 3.5", 0.25),
        ("delay = 0", "Offset = 3.5", 3.5),
        ("", "Offset = -0.5", -0.5),
        ("", "", 0.0),
        ("delay = ", "Offset = 1", 1.0),
    ],
)
def test_a_delay_makes_every_onset_later_in_the_audio(said: str, offset: str, delay: float) -> None:
    text = chart_text({("guitar", "Expert"): [(192, 0, 0)]}, [(0, 60.0)], song=offset)
    read = song(song__ini=b"[song]\n" + said.encode(), notes__chart=text)
    assert read.delay_seconds == delay
    assert read.chart("Expert").seconds().tolist() == [1.0 + delay]


@pytest.mark.parametrize("said", ["soon", "nan", "inf", "1e300", "1,5"])
def test_a_delay_that_is_no_number_is_told(said: str) -> None:
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)])
    read = song(song__ini=f"delay = {said}".encode(), notes__chart=text)
    assert [fault.kind for fault in read.faults] == ["bad_delay"]
    assert read.delay_seconds == 0.0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_texts_are_read_in_whatever_writing(encoding: str) -> None:
    ini = "[SONG]\nName = Ärger = 100 %\n; artist = no\nartist = Björk\ncharter = me\nname = 2\n"
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)]).decode()
    read = song(song__ini=ini.encode(encoding), notes__chart=text.encode(encoding))
    assert (read.title, read.artist, read.charter) == ("Ärger = 100 %", "Björk", "me")
    assert len(read.charts) == 1


def test_a_song_without_song_ini_takes_what_the_chart_says() -> None:
    said = 'Name = "A Song"\nArtist = "Me"\nCharter = "You"'
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)], song=said)
    read = read_charts(HeldFiles({"notes.chart": text, "song.ogg": b""}))
    assert (read.title, read.artist, read.charter) == ("A Song", "Me", "You")
    assert [fault.kind for fault in read.faults] == ["missing_file"]


def test_all_audio_that_sounds_together_is_named_and_numbered_stems_replace_the_one() -> None:
    names = ["Song.OGG", "guitar.mp3", "drums.ogg", "drums_2.ogg", "drums_1.opus", "preview.ogg"]
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)])
    files = dict.fromkeys(names, b"") | {"notes.chart": text, "song.ini": INI}
    read = read_charts(HeldFiles(files))
    assert read.audio == ("Song.OGG", "guitar.mp3", "drums_1.opus", "drums_2.ogg")
    silent = read_charts(HeldFiles({"notes.chart": text, "song.ini": INI}))
    assert [fault.kind for fault in silent.faults] == ["missing_file"]


# --- what cannot be read


def test_a_folder_without_charts_is_a_reason() -> None:
    with pytest.raises(BeatmapError, match="neither") as error:
        song()
    assert error.value.kind == "no_chart"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "magic"),
        (b"[Song]\n{\n}\n", "magic"),
        (b"[Song]\n{\nResolution = 0\n}\n[SyncTrack]\n{\n}", "div0"),
        (b"[Song]\n{\nResolution = x\n}\n[SyncTrack]\n{\n}", "div0"),
    ],
)
def test_a_chart_that_is_none_is_a_reason(text: bytes, kind: str) -> None:
    with pytest.raises(BeatmapError, match=r"notes\.chart") as error:
        song(notes__chart=text)
    assert error.value.kind == kind


def test_a_mid_that_is_none_is_a_reason_and_a_chart_beside_it_is_read() -> None:
    with pytest.raises(BeatmapError, match=r"notes\.mid") as error:
        song(notes__mid=b"MThd")
    assert error.value.kind == "truncated"
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)])
    read = song(notes__mid=b"MThd", notes__chart=text)
    assert (read.file, len(read.charts)) == ("notes.chart", 1)
    assert [(fault.kind, fault.is_fatal) for fault in read.faults] == [("truncated", True)]


def test_lines_that_are_none_are_told_once_a_section_and_the_others_are_read() -> None:
    text = chart_text({("guitar", "Expert"): [(192, 0, 0)]}, [(0, 60.0)])
    text = text.replace(
        b"[ExpertSingle]\r\n{", b"[ExpertSingle]\n{\n-5 = N 0 0\n x = N 0\n7 = N a 0"
    )
    text = text.replace(b"0 = B 60000", b"0 = B 60000\n96 = B 0\n96 = B 9999999999999999999999")
    read = song(notes__chart=text)
    assert read.chart("Expert").seconds().tolist() == [1.0]
    assert sorted(fault.kind for fault in read.faults) == ["bad_line", "bad_line", "bad_tempo"]


def test_a_song_with_no_note_is_told() -> None:
    read = song(notes__chart=chart_text({}, [(0, 60.0)]))
    assert read.charts == ()
    assert [fault.kind for fault in read.faults] == ["no_notes"]


def test_before_the_first_tempo_120_bpm_hold() -> None:
    parts = {("guitar", "Expert"): [(192, 0, 0), (384, 0, 0), (576, 0, 0)]}
    read = song(notes__chart=chart_text(parts, [(384, 60.0)]))
    assert read.chart("Expert").seconds().tolist() == [0.5, 1.0, 2.0]
    assert song(notes__chart=chart_text(parts, [])).time_map == TimeMap.steady(120.0)


def test_a_charted_song_is_a_plain_value() -> None:
    text = chart_text({("guitar", "Expert"): [(0, 0, 0)]}, [(0, 60.0)])
    read = song(notes__chart=text)
    assert dataclasses.replace(read, title="x").charts == read.charts


def test_a_line_of_blanks_costs_no_time() -> None:
    blanks = b" " * 60_000
    content = b"[Song]\n" + b"\n".join([b"a = b" + blanks + b"c", b"a" + blanks + b"c", blanks])
    begun = time.process_time()
    with pytest.raises(BeatmapError, match="no section SyncTrack"):
        song(**{"notes.chart": content})
    assert time.process_time() - begun < 2
