"""Songs made ready for a map: decoded, timed and padded; and files that are no songs."""

import io
import struct
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sounds import clicks, file_of, music

from workbench.beatmap.writer import song_sound
from workbench.beatmap.writer.mel import mel
from workbench.beatmap.writer.options import MelSpec
from workbench.beatmap.writer.song_sound import lead_silence, prepare_song
from workbench.beatmap.writer.tempo import Tempo
from workbench.errors import BeatmapError
from workbench.music.sound_files import resampled

SPEC = MelSpec()
BPM = 120.0
FIRST = 0.3  # s
BAR = 4 * 60 / BPM


def beats(seconds=8.0, rate=44_100):
    """Return clicks at 120 bpm from 0.3 s on, the first of each bar the loudest, float32 (n,)."""
    at = np.arange(FIRST, seconds - 0.05, 60 / BPM)
    return 0.2 * clicks(at, seconds, rate) + 0.6 * clicks(at[::4], seconds, rate)


def written(folder, samples, rate=44_100, kind="WAV", name="song.wav", subtype=None):
    path = folder / name
    path.write_bytes(file_of(samples, rate, kind, subtype))
    return path


def loudness(samples):
    """Return the loudness of each 5 ms, (n,)."""
    size = SPEC.sample_rate // 200
    return np.sqrt((samples[: len(samples) // size * size].reshape(-1, size) ** 2).mean(axis=1))


def refusal(path, **given_):
    """Return the error that a file is refused with."""
    with pytest.raises(BeatmapError) as error:
        prepare_song(path, SPEC, **given_)
    assert str(path) in str(error.value)
    return error.value


# --- what comes out


@pytest.mark.parametrize(
    ("kind", "rate", "channels", "egg_rate"),
    [
        ("WAV", 44_100, 1, 44_100),
        ("WAV", 96_000, 2, 48_000),
        ("WAV", 22_050, 6, 44_100),
        ("FLAC", 48_000, 2, 48_000),
        ("FLAC", 16_000, 1, 48_000),
        ("OGG", 32_000, 2, 48_000),
        ("MP3", 44_100, 2, 44_100),
        ("MP3", 22_050, 1, 44_100),
    ],
)
def test_any_audio_is_padded_to_a_bar_line_and_sounds_on(tmp_path, kind, rate, channels, egg_rate):
    mono = beats(rate=rate)
    samples = mono if channels == 1 else np.stack([mono] * channels, axis=1)
    path = written(tmp_path, samples, rate, kind, name="song")
    song = prepare_song(path, SPEC)
    assert song.bpm == BPM and song.time_map.bpm.tolist() == [BPM]
    bars = song.tempo.first_beat / BAR
    assert abs(bars - round(bars)) * BAR < 0.001
    # MP3 puts some silence of its own in front, and says so to nobody
    assert song.tempo.first_beat - song.lead_silence == pytest.approx(
        FIRST, abs=0.015 + 0.06 * (kind == "MP3")
    )
    assert song.lead_silence + FIRST >= 2.0
    egg, found_rate = soundfile.read(io.BytesIO(song.egg), always_2d=True)
    assert (found_rate, song.sample_rate) == (egg_rate, egg_rate)
    assert egg.shape[1] == (channels if channels <= 2 else 1)
    assert abs(len(egg) - song.seconds * egg_rate) <= 2
    assert song.seconds == pytest.approx(8.0 + song.lead_silence, abs=0.001 + 0.1 * (kind == "MP3"))
    assert len(song.samples) / SPEC.sample_rate == pytest.approx(song.seconds, abs=1e-3)
    again = resampled(egg.mean(axis=1).astype(np.float32), egg_rate, SPEC.sample_rate)
    assert np.corrcoef(loudness(again)[:1000], loudness(song.samples)[:1000])[0, 1] > 0.98


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first_beat=st.floats(-1, 3), bpm=st.floats(50, 250), begins=st.floats(0, 3))
def test_what_sounds_in_a_padded_song_sounds_as_much_later(tmp_path, first_beat, bpm, begins):
    at = begins + np.array([0.0, 0.7, 1.1, 2.6])
    song = prepare_song(
        written(tmp_path, clicks(at, 6.0, 44_100)), SPEC, bpm=bpm, first_beat=first_beat
    )
    egg, rate = soundfile.read(io.BytesIO(song.egg))
    for when in at + song.lead_silence:
        start = round(when * rate)
        assert np.abs(egg[max(start - 2205, 0) : max(start - 220, 0)]).max(initial=0) < 0.03
        assert np.abs(egg[start : start + 220]).max() > 0.1
    assert song.tempo.first_beat == first_beat + song.lead_silence
    bars = song.time_map.beats_at(song.tempo.first_beat) / 4
    assert abs(bars - round(float(bars))) * 240 / bpm < 0.001
    assert at[0] + song.lead_silence > 1.99


@given(first_beat=st.floats(-30, 3600), bpm=st.floats(10, 1000), begins=st.floats(0, 60))
def test_silence_is_the_least_that_there_has_to_be(first_beat, bpm, begins):
    tempo = Tempo(bpm=bpm, first_beat=first_beat, confidence=1.0)
    lead = lead_silence(tempo, begins)
    bars = (first_beat + lead) * bpm / 240
    assert abs(bars - round(bars)) * 240 / bpm < 1e-4
    assert lead >= 0 and lead + begins >= 2.0 - 1e-4
    earlier = lead - 240 / bpm
    assert earlier < 1e-4 or earlier + begins < 2.0 + 1e-4


def test_the_egg_has_no_tags_and_the_song_has_those_of_its_file(tmp_path):
    path = tmp_path / "Someone - Else.flac"
    with soundfile.SoundFile(path, "w", 44_100, 1, format="FLAC") as file:
        file.title, file.artist = " Fjörd\n ドラム", "The Program"
        file.write(beats())
    song = prepare_song(path, SPEC)
    assert (song.title, song.artist) == ("Fjörd ドラム", "The Program")
    with soundfile.SoundFile(io.BytesIO(song.egg)) as file:
        assert not file.copy_metadata()
        assert file.format, file.subtype == ("OGG", "VORBIS")


@pytest.mark.parametrize(
    ("name", "title", "artist"),
    [
        ("Someone - A - Song.wav", "A - Song", "Someone"),
        ("song.wav", "song", ""),
        ("über.mp3", "über", ""),
    ],
)
def test_a_song_without_tags_is_called_by_its_name(tmp_path, name, title, artist):
    song = prepare_song(written(tmp_path, beats(), name=name), SPEC, bpm=BPM)
    assert (song.title, song.artist) == (title, artist)


def test_equal_files_come_to_equal_songs(tmp_path):
    path = written(tmp_path, beats())
    one, two = prepare_song(path, SPEC), prepare_song(path, SPEC)
    assert (one.egg, one.tempo, one.lead_silence) == (two.egg, two.tempo, two.lead_silence)
    assert np.array_equal(one.samples, two.samples)


def test_columns_of_a_song_begin_bars_at_its_bar_lines(tmp_path):
    song = prepare_song(written(tmp_path, beats()), SPEC)
    onsets = mel(song.samples, SPEC, song.time_map)[:, -1].astype(float)
    of_beats = onsets.reshape(-1)[: len(onsets) // 16 * 16].reshape(-1, 16).sum(axis=0)
    assert of_beats.argmax() in (0, 1)  # the first sixteenth of a beat, or what sounds into it


def test_too_loud_samples_are_made_as_loud_as_can_be(tmp_path):
    path = written(tmp_path, 40 * beats(), subtype="FLOAT")
    song = prepare_song(path, SPEC)
    assert 0.9 < np.abs(soundfile.read(io.BytesIO(song.egg))[0]).max() < 1.2
    assert np.abs(song.samples).max() <= 1.1


@pytest.mark.parametrize("frames", [2**17, 2**18, 2**18 + 1, 3 * 2**17])
def test_a_song_that_ends_with_a_block_is_whole(tmp_path, frames):
    samples = np.stack([beats(12.0)[:frames]] * 2, axis=1)
    song = prepare_song(
        written(tmp_path, samples, subtype="FLOAT"), SPEC, bpm=BPM, first_beat=FIRST
    )
    assert song.seconds - song.lead_silence == pytest.approx(frames / 44_100, abs=1e-6)
    expected = resampled(samples[:, 0], 44_100, SPEC.sample_rate)
    assert np.abs(song.samples[-len(expected) :] - expected).max() < 1e-3


# --- what is no song


def text(_):
    return b"This is a text and no music at all.\n" * 200


def noise(_):
    return np.random.default_rng(0).bytes(20_000)


def cut_flac(samples):
    content = file_of(samples, 44_100, "FLAC")
    return content[: len(content) // 3]


def not_numbers(samples):
    samples[1000] = np.nan
    return file_of(samples, 44_100, "WAV", "FLOAT")


def no_rate(samples):
    content = bytearray(file_of(samples, 44_100))
    content[24:28] = struct.pack("<I", 1)
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (text, "undecodable_audio", "Format not recognised; its first bytes are b'This is '"),
        (noise, "undecodable_audio", "want WAV, FLAC, Ogg or MP3"),
        (cut_flac, "undecodable_audio", "flac decoder lost sync"),
        (no_rate, "undecodable_audio", "a sample rate of 1 Hz"),
        (not_numbers, "odd_audio", "no numbers"),
        (lambda _: b"", "undecodable_audio", "its first bytes are b''"),
        (lambda samples: file_of(0 * samples, 44_100), "silent_audio", "silent throughout"),
        (lambda samples: file_of(samples[:80_000], 44_100), "too_short_audio", "1.81 s"),
        (lambda samples: file_of(samples[:0], 44_100), "too_short_audio", "0.00 s"),
        (lambda _: file_of(clicks([1.0], 5.0)), "no_onset", "1 onsets in 5.0 s"),
    ],
)
def test_what_is_no_song_is_refused_with_its_reason(tmp_path, make, kind, message):
    path = tmp_path / "song.mp3"
    path.write_bytes(make(beats()))
    error = refusal(path)
    assert error.kind == kind
    assert message in str(error)


def test_a_song_of_under_four_beats_is_refused(tmp_path):
    error = refusal(written(tmp_path, beats(2.5)), bpm=80.0)
    assert error.kind == "too_short_audio" and "3.3 beats at 80 bpm" in str(error)
    assert prepare_song(written(tmp_path, beats(2.5)), SPEC, bpm=100.0).bpm == 100.0


def test_what_is_no_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.mp3").kind == "no_audio"
    assert refusal(tmp_path).kind == "no_audio"
    named_raw = written(tmp_path, beats(), name="song.raw")  # libsndfile would ask for a rate
    assert prepare_song(named_raw, SPEC).title == "song"


@pytest.mark.parametrize("first_beat", [9.0, -9.0, 1e300])
def test_a_first_beat_outside_the_song_is_refused(tmp_path, first_beat):
    error = refusal(written(tmp_path, beats()), bpm=BPM, first_beat=first_beat)
    assert error.kind == "bad_tempo"


def test_three_hours_are_refused_at_once_and_in_little_memory(tmp_path):
    path = tmp_path / "long.wav"
    size = 3 * 3600 * 44_100 * 4
    header = file_of(np.zeros((1, 2), np.float32), 44_100)[:44]
    with path.open("wb") as file:
        file.write(header[:4] + struct.pack("<I", size + 36) + header[8:40])
        file.write(struct.pack("<I", size))
        file.truncate(44 + size)  # takes no room on the disk
    tracemalloc.start()
    began = time.process_time()
    error = refusal(path)
    took, most = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.kind == "too_long_audio" and "10800 s of audio by its header" in str(error)
    assert took < 2 and most < 20e6


def test_a_file_that_does_not_tell_its_length_is_read_or_counted(tmp_path, monkeypatch):
    content = bytearray(file_of(beats(), 44_100, "FLAC"))
    content[21] &= 0xF0  # the 36 bits of the length in its header, as who writes to a pipe leaves
    content[22:26] = bytes(4)
    path = tmp_path / "song.flac"
    path.write_bytes(content)
    song = prepare_song(path, SPEC)
    assert song.seconds - song.lead_silence == pytest.approx(8.0, abs=1e-3)
    monkeypatch.setattr(song_sound, "MOST_SECONDS", 6.0)
    error = refusal(path)
    assert error.kind == "too_long_audio" and "and maybe more, over 0.1 minutes" in str(error)


def frames_of_mp3(samples, rate, level):
    """Return an MP3 file of one bit rate, high at level 0, without the header of the length."""
    content = io.BytesIO()
    form = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": level}
    with soundfile.SoundFile(content, "w", rate, 1, **form) as file:
        file.write(samples)
    whole = content.getvalue()
    return whole[whole.index(whole[:2], max(whole.find(b"Info"), 1)) :]


def test_an_mp3_that_seems_long_by_its_first_frame_is_read(tmp_path, monkeypatch, caplog):
    quiet, loud = (frames_of_mp3(beats(4.0, 16_000), 16_000, level) for level in (0.99, 0.0))
    path = tmp_path / "song.mp3"
    path.write_bytes(quiet + 3 * loud)
    with soundfile.SoundFile(path) as file:
        assert file.frames / file.samplerate > 200
    monkeypatch.setattr(song_sound, "MOST_SECONDS", 40.0)
    song = prepare_song(path, SPEC, bpm=BPM, first_beat=FIRST)
    assert song.seconds - song.lead_silence == pytest.approx(16.4, abs=0.2)
    monkeypatch.setattr(song_sound, "MOST_SECONDS", 3600.0)
    assert prepare_song(path, SPEC, bpm=BPM, first_beat=FIRST).egg == song.egg
    assert "breaks off after 16.4 of the" in caplog.text
    monkeypatch.setattr(song_sound, "MOST_SECONDS", 40.0)
    path.write_bytes(quiet + 30 * loud)
    assert refusal(path).kind == "too_long_audio"


def test_a_hole_in_a_song_is_told(tmp_path):
    content = file_of(music(20.0), 22_050, "OGG")
    pages = content.split(b"OggS")
    path = tmp_path / "song.ogg"
    path.write_bytes(b"OggS".join(pages[:6] + pages[-3:]))
    error = refusal(path)
    assert error.kind == "undecodable_audio"
    assert "of the 20.0 s that its header tells; get it whole" in str(error)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["WAV", "FLAC", "OGG", "MP3"]),
    seed=st.integers(0, 2**32),
    faults=st.integers(1, 20),
    is_cut=st.booleans(),
)
def test_a_damaged_file_is_a_song_or_an_error_with_a_kind(tmp_path, kind, seed, faults, is_cut):
    random = np.random.default_rng(seed)
    content = np.frombuffer(file_of(music(3.0), 22_050, kind), np.uint8).copy()
    near = len(content) if random.random() < 0.5 else min(200, len(content))
    content[random.integers(0, near, faults)] = random.integers(0, 256, faults)
    path = tmp_path / "song"
    path.write_bytes(content[: random.integers(1, len(content)) if is_cut else None].tobytes())
    try:
        song = prepare_song(path, SPEC)
    except BeatmapError as error:
        assert error.kind != "unusable" and str(path) in str(error)
    else:
        assert np.isfinite(song.samples).all() and song.seconds >= 2
