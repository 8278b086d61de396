"""Short sounds and the files that hold them."""

import hashlib
import io

import numpy as np
import soundfile

from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.audio import audio_digest
from workbench.beatmap.writer.cache import SongSound


def music(seconds, rate=22_050, seed=0):
    """Return tones that begin a few times a second over a little noise, float32 (n,)."""
    random = np.random.default_rng(seed)
    count = int(seconds * rate)
    sound = 0.003 * random.standard_normal(count)
    for start in np.sort(random.integers(0, max(count, 1), int(seconds * 4))):
        length = min(rate // 4, count - start)
        at = np.arange(length) / rate
        pitch = random.integers(60, rate // 3)
        sound[start : start + length] += 0.3 * np.exp(-12 * at) * np.sin(2 * np.pi * pitch * at)
    return sound.astype(np.float32)


def clicks(times, seconds, rate=22_050):
    """Return short bursts at some times, seconds, float32 (n,)."""
    random = np.random.default_rng(1)
    sound = np.zeros(int(seconds * rate), np.float32)
    for when in times:
        start = round(when * rate)
        burst = random.standard_normal(200) * np.exp(-np.arange(200) / 40)
        sound[start : start + 200] += 0.3 * burst[: len(sound) - start]
    return sound


def file_of(samples, rate=22_050, kind="WAV", subtype=None):
    """Return the bytes of an audio file; Vorbis in short blocks, as libsndfile needs it."""
    content = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(content, "w", rate, channels, format=kind, subtype=subtype) as file:
        for start in range(0, max(len(samples), 1), rate):
            file.write(samples[start : start + rate])
    return content.getvalue()


def song(folder, name, content, bpm=120.0):
    """Write a song's only audio file into a folder of its own; return its sound."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "song.egg").write_bytes(content)
    return SongSound(
        path=place, names=("song.egg",), digest=audio_digest([content]), time_map=timed(bpm)
    )


def timed(tempo):
    return tempo if isinstance(tempo, TimeMap) else TimeMap.steady(tempo)


def songs(folder, bpms, seconds=2.0):
    """Write songs of some tempos; return their sounds."""
    return [
        song(folder, f"song{number}", file_of(music(seconds, seed=number)), bpm)
        for number, bpm in enumerate(bpms)
    ]


def shards_of(folder):
    """Return name: SHA-256 of each shard's files."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*.np[yz]"))
    }
