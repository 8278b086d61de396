"""Charted songs become maps whose onsets, tempo and audio are the charts' own."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps import charted
from workbench.beatmap.maps.charted import AUDIO, charted_map, struck, write_charted_maps
from workbench.beatmap.maps.charts import (
    OPEN,
    Chart,
    ChartedSong,
    Frets,
    chart_places,
    read_charts,
)
from workbench.beatmap.maps.level import HeldFiles, Level, MapFiles
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.timemap import TimeMap
from workbench.cli import run
from workbench.errors import BeatmapError, SourceError
from workbench.music.vorbis import vorbis_bytes
from workbench.progress import Progress

RATE = 8000
FRETS = st.lists(
    st.tuples(st.integers(0, 400).map(lambda at: at / 4), st.integers(OPEN, 4)),
    min_size=1,
    max_size=60,
    unique=True,
)


def chart_of(frets: list[tuple[float, int]]) -> Chart:
    beats, lanes = zip(*sorted(frets), strict=True)
    return Chart(
        part="guitar",
        difficulty="Expert",
        frets=Frets.of(beats, lanes, np.zeros(len(frets))),
        time_map=TimeMap.steady(120.0),
        delay_seconds=0.0,
    )


def clicks(*seconds: float, loud: float = 0.5, channels: int = 1) -> bytes:
    """Return two seconds of silence with clicks in it."""
    samples = np.zeros((2 * RATE, channels))
    for at in seconds:
        samples[round(at * RATE) : round(at * RATE) + 40] = loud
    return vorbis_bytes(samples, RATE, quality=0.9)


def notes_text(delay_ms: int = 0) -> dict[str, bytes]:
    """Return a song at 120 bpm, then 60, struck at the beats 1 and 2, which is 0.5 and 1 s."""
    lines = "[Song]\n{\nResolution = 192\n}\n[SyncTrack]\n{\n0 = B 120000\n384 = B 60000\n}\n"
    lines += "[ExpertSingle]\n{\n192 = N 0 0\n384 = N 3 0\n480 = N 4 0\n}\n"
    lines += "[MediumDoubleBass]\n{\n0 = N 0 0\n}\n"
    ini = f"[song]\nname = A Song\nartist = Me\ncharter = You\ndelay = {delay_ms}\n"
    return {"notes.chart": lines.encode(), "song.ini": ini.encode()}


def level_of(files: dict[str, bytes]) -> Level:
    return read_level(HeldFiles(files))


# --- notes


@given(FRETS)
def test_a_map_strikes_at_every_onset_of_the_chart_and_at_no_other(
    frets: list[tuple[float, int]],
) -> None:
    chart = chart_of(frets)
    notes = struck(chart)
    assert np.unique(notes.beat).tolist() == chart.onsets().tolist()
    assert set(notes.layer.tolist()) == {0}
    assert ((notes.lane >= 0) & (notes.lane <= 3)).all()


@given(FRETS)
def test_each_hand_strikes_once_at_a_time_down_and_up_by_turns_and_hands_do_not_cross(
    frets: list[tuple[float, int]],
) -> None:
    notes = struck(chart_of(frets))
    for hand in (0, 1):
        mine = notes.take(notes.color == hand)
        assert (np.diff(mine.beat) > 0).all()
        assert mine.direction.tolist() == [1 - at % 2 for at in range(len(mine))]
        assert (mine.lane <= 1).all() if hand == 0 else (mine.lane >= 2).all()
    chords = {beat for beat, _ in frets if sum(1 for at, lane in frets if at == beat) > 1}
    for beat in chords:
        lanes = [lane for at, lane in frets if at == beat and lane != OPEN]
        assert (notes.beat == beat).sum() == min(len(lanes), 2)


def test_what_neither_hand_owns_goes_to_the_hand_that_rested() -> None:
    notes = struck(chart_of([(0.0, 0), (1.0, 2), (2.0, 2), (3.0, OPEN), (4.0, 4), (5.0, OPEN)]))
    assert notes.color.tolist() == [0, 1, 0, 1, 1, 0]
    assert notes.lane.tolist() == [0, 2, 1, 2, 3, 1]


@pytest.mark.charts
def test_the_six_songs_keep_their_onsets_as_maps(charts: Path) -> None:
    counts = []
    for place in chart_places(charts):
        with place.open() as files:
            for chart in read_charts(files).charts:
                notes = struck(chart)
                np.testing.assert_array_equal(np.unique(notes.beat), chart.onsets())
                counts.append(len(chart.onsets()))
    assert len(counts) == 20


# --- maps


@pytest.mark.parametrize("delay_ms", [0, 250, -250])
def test_beat_and_sound_meet_in_the_map_whatever_the_delay(delay_ms: int) -> None:
    delay = delay_ms / 1000
    audio = clicks(0.5 + delay, 1.0 + delay, channels=2)
    files = charted_map(HeldFiles({**notes_text(delay_ms), "song.ogg": audio}), "a")
    level = level_of(files)
    (beatmap,) = level.beatmaps
    seconds = beatmap.time_map.seconds_at(beatmap.objects.notes.beat)
    assert seconds.tolist() == [0.5, 1.0, 1.5]
    samples, rate = soundfile.read(io.BytesIO(files[AUDIO]))
    assert rate == RATE
    for at in seconds[:2]:
        near = np.abs(samples[round((at - 0.1) * rate) : round((at + 0.1) * rate)]).max(axis=1)
        assert np.flatnonzero(near > 0.2)[0] / rate == pytest.approx(0.1, abs=0.002)
    assert level.song_time_offset == 0.0
    assert len(samples) == pytest.approx((2 - delay) * RATE, abs=64)


def test_a_map_says_what_the_song_says() -> None:
    level = level_of(charted_map(HeldFiles({**notes_text(), "song.ogg": clicks(1.0)}), "a"))
    assert (level.title, level.artist, level.mapper, level.bpm) == ("A Song", "Me", "You", 120.0)
    assert [(each.characteristic, each.difficulty) for each in level.beatmaps] == [
        ("Standard", "Expert")
    ]
    assert [str(fault) for fault in level.all_faults() if fault.is_fatal] == []


def test_another_part_is_another_map() -> None:
    files = HeldFiles({**notes_text(), "song.ogg": clicks(1.0)})
    (beatmap,) = level_of(charted_map(files, "a", part="bass")).beatmaps
    assert (beatmap.difficulty, beatmap.objects.notes.beat.tolist()) == ("Normal", [0.0])
    with pytest.raises(BeatmapError, match="no chart of keys"):
        charted_map(files, "a", part="keys")


def test_stems_of_unlike_rates_and_lengths_sound_together_and_do_not_clip() -> None:
    other = vorbis_bytes(np.full(4 * 16_000, 0.0), 16_000)
    stems = {"song.ogg": clicks(0.5, loud=0.9), "guitar.ogg": clicks(0.5, 1.0, loud=0.9)}
    files = charted_map(HeldFiles({**notes_text(), **stems, "bass.ogg": other}), "a")
    samples, rate = soundfile.read(io.BytesIO(files[AUDIO]))
    assert (rate, samples.shape[1]) == (RATE, 2)
    assert len(samples) == pytest.approx(4 * RATE, abs=64)
    first, second = (np.abs(samples[round(at * rate) :][:40]).max() for at in (0.5, 1.0))
    assert 0.8 < first < 1.1
    assert second == pytest.approx(first / 2, rel=0.2)


@pytest.mark.parametrize(
    ("audio", "kind"),
    [({}, "missing_file"), ({"song.ogg": b"no sound"}, "bad_audio")],
)
def test_a_song_without_sound_is_a_reason(audio: dict[str, bytes], kind: str) -> None:
    with pytest.raises(BeatmapError) as error:
        charted_map(HeldFiles({**notes_text(), **audio}), "a")
    assert error.value.kind == kind


# --- folders


def write_song(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("delay_ms", [-900_000_000, 900_000_000])
def test_a_delay_longer_than_any_song_is_a_reason(delay_ms: int) -> None:
    files = notes_text(delay_ms) | {"song.ogg": clicks(0.5)}
    with pytest.raises(BeatmapError, match="a delay of") as refused:
        charted_map(HeldFiles(files), "song")
    assert refused.value.kind == "bad_delay"


@pytest.mark.parametrize("rate", [2**31 - 1, 500_000, 999])
def test_audio_of_a_rate_that_none_has_is_a_reason(rate: int) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.ones((1000, 1)) / 2, 8000, format="WAV")
    content = bytearray(sound.getvalue())
    content[24:28] = rate.to_bytes(4, "little")
    files = notes_text() | {"song.wav": bytes(content)}
    with pytest.raises(BeatmapError, match="samples a second") as refused:
        charted_map(HeldFiles(files), "song")
    assert refused.value.kind == "bad_audio"


def test_another_part_does_not_pass_for_what_is_there(tmp_path: Path) -> None:
    for name in ("one", "a song!"):
        write_song(tmp_path / "songs" / name, notes_text() | {"song.ogg": clicks(0.5, 1.0)})
    guitar = write_charted_maps(tmp_path / "songs", tmp_path / "maps")
    bass = write_charted_maps(tmp_path / "songs", tmp_path / "maps", part="bass")
    again = write_charted_maps(tmp_path / "songs", tmp_path / "maps", part="bass")
    assert (guitar.written, bass.written, bass.here, again.here) == (2, 2, 0, 2)
    parts = [json.loads(path.read_bytes())["part"] for path in tmp_path.rglob("_origin.json")]
    assert sorted(parts) == ["bass", "bass", "guitar", "guitar"]


def test_a_mistake_in_reading_costs_one_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        write_song(tmp_path / "songs" / name, notes_text() | {"song.ogg": clicks(0.5, 1.0)})

    def fails(files: MapFiles) -> ChartedSong:
        if files.place == "one":
            raise MemoryError
        return read_charts(files)

    monkeypatch.setattr(charted, "read_charts", fails)
    done = write_charted_maps(tmp_path / "songs", tmp_path / "maps")
    assert (done.written, done.refused) == (1, {"one": "crash"})


def test_songs_are_written_as_maps_once_and_a_bad_one_costs_itself(tmp_path: Path) -> None:
    sound = {"song.ogg": clicks(1.0)}
    write_song(tmp_path / "songs" / "a" / "one", {**notes_text(), **sound})
    write_song(tmp_path / "songs" / "a_one", {**notes_text(), **sound})
    write_song(tmp_path / "songs" / "bad", {"notes.mid": b"MThd", **sound})
    seen: list[Progress] = []
    done = write_charted_maps(tmp_path / "songs", tmp_path / "maps", show=seen.append)
    assert (done.songs, done.written, done.here, done.refused) == (3, 2, 0, {"bad": "truncated"})
    assert [progress.done for progress in seen] == [1, 2, 3]
    assert json.loads(json.dumps(dataclasses.asdict(done))) == dataclasses.asdict(done)
    places = map_places(tmp_path / "maps")
    assert sorted(place.origin().source_id for place in places) == ["a/one", "a_one"]
    assert {place.origin().source for place in places} == {"chart"}
    again = write_charted_maps(tmp_path / "songs", tmp_path / "maps")
    assert (again.written, again.here) == (0, 2)


def test_the_command_tells_which_songs_could_not_be_turned_into_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_song(tmp_path / "songs" / "one", {**notes_text(), "song.ogg": clicks(1.0)})
    command = ["beatmap", "charts", str(tmp_path / "songs"), "-o", str(tmp_path / "m"), "--json"]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1
    write_song(tmp_path / "songs" / "bad", {"notes.mid": b"MThd", "song.ogg": clicks(1.0)})
    assert run(command) == 1
    assert json.loads(capsys.readouterr().out)["refused"] == {"bad": "truncated"}


def test_a_folder_without_songs_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="notes"):
        write_charted_maps(tmp_path, tmp_path / "maps")


@settings(max_examples=20)
@given(st.binary(max_size=200))
def test_whatever_the_audio_is_there_is_a_map_or_a_reason(content: bytes) -> None:
    try:
        charted_map(HeldFiles({**notes_text(), "song.ogg": content}), "a")
    except BeatmapError as error:
        assert error.kind == "bad_audio"
