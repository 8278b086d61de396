"""Sound decoded and made into columns, beside soundfile and librosa."""

import hashlib
import io
import tracemalloc
import warnings

import librosa
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import clicks, file_of, music

from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer import audio as audio_module
from workbench.beatmap.writer import mel as mel_module
from workbench.beatmap.writer.audio import audio_digest, decoded, song_samples
from workbench.beatmap.writer.mel import FLOOR_DB, aligned, frames_of, mel, mel_bands
from workbench.beatmap.writer.options import MelSpec
from workbench.errors import BeatmapError, OptionsError
from workbench.music.sound_files import resampled

SPEC = MelSpec()


def mel_of_librosa(samples, spec):
    """Return the frames as librosa makes them, (frames, channels)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=spec.sample_rate,
            n_fft=spec.n_fft,
            hop_length=spec.hop_length,
            n_mels=spec.n_mels,
        )
        channels = librosa.power_to_db(power, ref=np.max).T
        if not spec.onset:
            return channels
        onsets = librosa.onset.onset_strength(
            y=samples, sr=spec.sample_rate, n_fft=spec.n_fft, hop_length=spec.hop_length
        )
    return np.column_stack([channels, onsets])


def columns_by_interp(frames, count, spec, time_map):
    seconds = time_map.seconds_at(np.arange(count) / spec.columns_a_beat)
    place = seconds * spec.sample_rate / spec.hop_length
    silence = [FLOOR_DB] * spec.n_mels + [0.0] * spec.onset
    at = np.arange(-1, len(frames))
    known = np.vstack([silence[: frames.shape[1]], frames]).T
    return np.column_stack([np.interp(place, at, each) for each in known])


# --- features


@settings(max_examples=12)
@given(
    seconds=st.floats(0.01, 1.5),
    seed=st.integers(0, 1000),
    loudness=st.sampled_from([0.01, 0.1, 1.0, 30.0]),
    spec=st.builds(
        MelSpec,
        sample_rate=st.sampled_from([16_000, 22_050, 44_100]),
        n_fft=st.sampled_from([512, 2000, 2001, 2047, 2048]),
        hop_length=st.sampled_from([160, 512]),
        n_mels=st.sampled_from([40, 80, 128]),
        onset=st.booleans(),
    ),
)
def test_frames_are_those_of_librosa(seconds, seed, loudness, spec):
    samples = loudness * music(seconds, spec.sample_rate, seed) + np.float32(1e-7)
    frames = frames_of(samples, spec)
    expected = mel_of_librosa(samples, spec)
    hops = (len(samples) - spec.n_fft % 2) // spec.hop_length
    assert frames.shape == expected.shape == (1 + hops, spec.channels)
    assert np.abs(frames - expected)[:, : spec.n_mels].max() < 0.02
    if spec.onset:
        assert np.abs(frames[:, -1] - expected[:, -1]).max() < 0.01


def test_columns_are_within_a_twentieth_decibel_of_a_pipeline_of_librosa():
    stereo = np.column_stack([music(20, 44_100, 1), music(20, 44_100, 2)])
    content = file_of(stereo, 44_100, "OGG", "VORBIS")
    time_map = TimeMap.of_changes(174.3, [8.0, 20.5], [92.49, 203.0])
    columns = mel(song_samples([content], SPEC.sample_rate), SPEC, time_map)
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    samples = librosa.resample(librosa.to_mono(samples.T), orig_sr=rate, target_sr=22_050)
    frames = mel_of_librosa(samples, SPEC)
    expected = columns_by_interp(frames, len(columns), SPEC, time_map)
    assert columns.dtype == np.float16
    assert columns.shape == (int(np.ceil(time_map.beats_at(20.0) * 16)), 81)
    difference = np.abs(columns.astype(np.float64) - expected)
    assert difference[:, :80].max() < 0.05
    assert difference[:, 80].max() < 0.01
    assert expected[:, 80].max() > 1


@settings(max_examples=50)
@given(
    bpm=st.sampled_from([60.0, 92.49, 174.3, 300.0]),
    changes=st.lists(
        st.tuples(st.integers(-20, 400).map(lambda tenth: tenth / 10), st.floats(40, 400)),
        max_size=3,
        unique_by=lambda c: c[0],
    ),
    columns_a_beat=st.integers(1, 48),
    samples=st.integers(1, 30_000),
)
def test_columns_are_between_frames_by_a_straight_line(bpm, changes, columns_a_beat, samples):
    spec = MelSpec(columns_a_beat=columns_a_beat)
    time_map = TimeMap.of_changes(bpm, [beat for beat, _ in changes], [b for _, b in changes])
    frames = np.random.default_rng(0).uniform(-80, 0, (1 + samples // 512, 5)).astype(np.float32)
    columns = aligned(frames, samples, spec, time_map)
    seconds = time_map.seconds_at(np.arange(len(columns) + 1) / columns_a_beat)
    assert (seconds[:-1] < samples / spec.sample_rate + 1e-9).all()
    assert seconds[-1] > samples / spec.sample_rate - 1e-9
    expected = columns_by_interp(frames, len(columns), spec, time_map)
    np.testing.assert_allclose(columns, expected, atol=0.035)


def test_what_sounds_on_a_beat_stands_in_its_column():
    time_map = TimeMap.of_changes(120.0, [8.0, 16.0], [174.3, 92.49])
    beats = np.arange(1, 28)
    sound = clicks(time_map.seconds_at(beats), float(time_map.seconds_at(29.0)))
    onsets = mel(sound, SPEC, time_map)[:, -1]
    for beat in beats:
        around = onsets[16 * beat - 6 : 16 * beat + 7]
        assert abs(int(around.argmax()) - 6) <= 2, beat


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("n_fft", [256, 2048])
@pytest.mark.parametrize("n_mels", [8, 80, 128])
def test_bands_are_those_of_librosa(rate, n_fft, n_mels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels)
    bands = mel_bands(rate, n_fft, n_mels)
    assert bands.dtype == expected.dtype
    np.testing.assert_allclose(bands, expected, rtol=1e-5, atol=1e-8)


def test_blocks_do_not_show(monkeypatch):
    samples = music(3.0)
    whole = frames_of(samples, SPEC)
    monkeypatch.setattr(mel_module, "_BLOCK", 7)
    assert np.abs(frames_of(samples, SPEC) - whole).max() < 1e-3


@pytest.mark.parametrize("samples", [511, 512, 513, 5120, 5121])
def test_an_odd_window_has_the_frames_of_librosa(samples):
    spec = MelSpec(n_fft=2047)
    sound = music(0.5)[:samples]
    frames = frames_of(sound, spec)
    np.testing.assert_allclose(frames, mel_of_librosa(sound, spec), atol=0.02)
    assert len(mel(sound, spec, TimeMap.steady(120.0))) == -(-samples * 32 // 22_050)


def test_columns_before_the_audio_are_silent():
    time_map = TimeMap(beat=np.zeros(1), seconds=np.array([-1.0]), bpm=np.array([60.0]))
    columns = mel(music(1.0) + np.float32(0.1), SPEC, time_map)
    assert columns.shape == (32, 81)
    assert (columns[:15, :80] == FLOOR_DB).all()
    assert (columns[:15, 80] == 0).all()
    assert (columns[16:, 0] > -40).all()


def test_columns_of_a_damaged_tempo_are_made_in_little_memory(monkeypatch):
    frames = np.random.default_rng(0).uniform(-80, 0, (50, 81)).astype(np.float32)
    time_map = TimeMap.steady(80_000.0)
    whole = aligned(frames, 50 * 512, SPEC, time_map)
    monkeypatch.setattr(mel_module, "_COLUMN_BLOCK", 999)
    assert (aligned(frames, 50 * 512, SPEC, time_map) == whole).all()
    monkeypatch.undo()
    tracemalloc.start()
    many = aligned(frames, 10 * 22_050, SPEC, time_map)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(many) == 213_334
    assert peak < 1.5 * many.nbytes


def test_silence_is_the_floor_and_not_the_loudest():
    columns = mel(np.zeros(22_050, np.float32), SPEC, TimeMap.steady(120.0))
    assert columns.shape == (32, 81)
    assert (columns[:, :80] == FLOOR_DB).all()
    assert (columns[:, 80] == 0).all()


def test_a_part_that_is_silent_is_the_floor():
    samples = np.concatenate([music(1.0), np.zeros(22_050, np.float32)])
    columns = mel(samples, SPEC, TimeMap.steady(120.0))
    assert columns[:, :80].max() > -1  # the loudest frame may lie between two columns
    assert (columns[40:, :80] == FLOOR_DB).all()


def test_one_sample_has_one_column():
    assert mel(np.ones(1, np.float32), SPEC, TimeMap.steady(120.0)).shape == (1, 81)


def test_a_tempo_that_makes_too_many_columns_is_refused():
    with pytest.raises(BeatmapError, match="beats in the song; its tempo is wrong") as caught:
        mel(np.zeros(22_050, np.float32), SPEC, TimeMap.steady(1e9))
    assert caught.value.kind == "bad_tempo"


def test_a_song_that_is_over_before_its_first_beat_has_no_columns():
    late = TimeMap(beat=np.zeros(1), seconds=np.array([2.0]), bpm=np.array([120.0]))
    assert mel(music(1.0), SPEC, late).shape == (0, 81)


def test_the_fingerprint_of_a_spec_is_that_of_its_values():
    others = [
        MelSpec(sample_rate=44_100),
        MelSpec(n_fft=1024),
        MelSpec(hop_length=256),
        MelSpec(n_mels=81),
        MelSpec(onset=False),
        MelSpec(columns_a_beat=48),
    ]
    assert MelSpec().fingerprint() == SPEC.fingerprint()
    assert len({spec.fingerprint() for spec in (SPEC, *others)}) == 7
    assert [spec.channels for spec in (SPEC, others[3], others[4])] == [81, 82, 80]
    with pytest.raises(OptionsError, match="hop_length: 4096 is above n_fft 2048"):
        MelSpec(hop_length=4096)


# --- sound


@pytest.mark.parametrize(
    ("kind", "subtype", "channels"),
    [
        ("WAV", "PCM_16", 1),
        ("WAV", "FLOAT", 3),
        ("FLAC", None, 2),
        ("OGG", "VORBIS", 1),
        ("OGG", "VORBIS", 2),
        ("OGG", "VORBIS", 3),
        ("MP3", None, 2),
    ],
)
def test_every_kind_is_decoded_as_soundfile_decodes_it(kind, subtype, channels):
    parts = np.column_stack([music(1.3, 44_100, seed) for seed in range(channels)])
    content = file_of(parts, 44_100, kind, subtype)
    samples, rate = decoded(content)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    assert rate == 44_100
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, expected.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_a_file_of_many_blocks_is_the_one_read_at_once(kind, monkeypatch):
    content = file_of(np.column_stack([music(1.0), music(1.0, seed=2)]), kind=kind)
    whole, _ = decoded(content)
    monkeypatch.setattr(audio_module, "_BLOCK", 999)
    parts, _ = decoded(content)
    np.testing.assert_array_equal(parts, whole)


def test_files_that_sound_together_are_summed():
    song, guitar = music(1.0, 44_100, 1), music(1.5, 44_100, 2)
    slow = music(0.7, 22_050, 3)
    contents = [
        file_of(song, 44_100, subtype="FLOAT"),
        file_of(guitar, 44_100, subtype="FLOAT"),
        file_of(slow, 22_050, subtype="FLOAT"),
    ]
    expected = guitar.copy()
    expected[: len(song)] += song
    expected = resampled(expected, 44_100, 22_050)
    expected[: len(slow)] += slow
    np.testing.assert_allclose(song_samples(contents, 22_050), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"", "undecodable_audio", "its first bytes are b''"),
        (b"<html>not found</html>", "undecodable_audio", "its first bytes are b'<html>no'"),
        (file_of(music(1.0))[:30], "undecodable_audio", "b'RIFF"),
        (file_of(music(0.0)), "empty_audio", "without a sample"),
        (file_of(np.full(99, np.nan), subtype="FLOAT"), "odd_audio", "no numbers"),
        (file_of(np.full(99, np.inf), subtype="FLOAT"), "odd_audio", "no numbers"),
        (file_of(np.ones(1), 48_000), "empty_audio", "too short for one sample at 22050 Hz"),
        (file_of(music(0.1), 999), "undecodable_audio", "a sample rate of 999 Hz"),
    ],
)
def test_what_is_no_sound_is_refused(content, kind, told):
    with pytest.raises(BeatmapError, match=told) as caught:
        song_samples([content], 22_050)
    assert caught.value.kind == kind


def test_sound_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(audio_module, "MOST_SECONDS", 0.5)
    with pytest.raises(BeatmapError, match="hours of audio"):
        decoded(file_of(music(0.6)))


def test_no_file_is_no_sound():
    with pytest.raises(BeatmapError, match="no audio file is named"):
        song_samples([], 22_050)


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_is_a_reason_or_is_heard(data):
    whole = file_of(music(0.2), kind=data.draw(st.sampled_from(["WAV", "FLAC", "OGG", "MP3"])))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        samples = song_samples([bytes(content[:cut])], 22_050)
    except BeatmapError as error:
        assert error.kind.endswith("_audio")
    else:
        assert len(samples)
        assert np.isfinite(samples).all()


def test_the_digest_of_one_file_is_its_own():
    assert audio_digest([b"abc"]) == hashlib.sha256(b"abc").hexdigest()
    assert audio_digest([b"a", b"b"]) != audio_digest([b"b", b"a"]) != audio_digest([b"ab"])


def test_features_are_the_same_with_any_number_of_threads():
    samples = music(2.0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = mel(samples, SPEC, TimeMap.steady(128.0))
        torch.set_num_threads(2)
        two = mel(samples, SPEC, TimeMap.steady(128.0))
    finally:
        torch.set_num_threads(threads)
    assert np.abs(one.astype(np.float32) - two).max() < 0.07
