"""A song's sound: decoded, mono, at one rate, of one file or of several that sound together.

Units: `sample_rate` in Hz; samples mostly from -1 to 1. Read is whatever libsndfile reads: Ogg
(Vorbis, Opus), WAV, FLAC, MP3 and others, by content and never by name. Files of a song may have
unlike rates and lengths: they begin together, and are summed.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import soundfile

from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError
from workbench.music.sound_files import (
    LARGEST,
    RATES,
    ForwardFile,
    Samples,
    SoundBytes,
    resampled,
)

MOST_SECONDS = 4 * 3600.0

_BLOCK = 2**18  # samples of all channels that are read at a time, 1 MiB


def audio_digest(contents: Sequence[bytes]) -> str:
    """Return what names the sound of a song: the SHA-256 of its file, or of those of its files."""
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return digests[0] if len(digests) == 1 else fingerprint(digests)


def song_samples(contents: Sequence[bytes], sample_rate: int) -> Samples:
    """Return the sound of a song at a rate.

    Args:
        contents: The bytes of its audio files, at least one.
        sample_rate: Hz.

    Returns:
        `(n,)` float32.

    Raises:
        BeatmapError: A file cannot be decoded, or there is no sample; `kind` says why.
    """
    by_rate: dict[int, Samples] = {}
    for content in contents:
        samples, rate = decoded(content)
        by_rate[rate] = _sum(by_rate[rate], samples) if rate in by_rate else samples
    total = np.zeros(0, np.float32)
    for rate, samples in by_rate.items():
        total = _sum(total, resampled(samples, rate, sample_rate))
    if not contents:
        raise BeatmapError("no audio file is named", "no_audio")
    if not len(total):
        raise BeatmapError(f"audio too short for one sample at {sample_rate} Hz", "empty_audio")
    return total


def decoded(content: bytes) -> tuple[Samples, int]:
    """Return the samples and the rate of an audio file.

    Returns:
        `(n,)` float32, n at least 1, the mean of its channels, and Hz.

    Raises:
        BeatmapError: It cannot be decoded, is empty, too long, or holds what is no sound.
    """
    try:
        with ForwardFile(SoundBytes(content)) as file:
            rate: int = file.samplerate
            if not RATES[0] <= rate <= RATES[1]:
                raise BeatmapError(f"a sample rate of {rate} Hz", "undecodable_audio")
            samples = _read_on(file)
    except soundfile.SoundFileError as error:
        # of its text only this is the same in every process: the rest names an address
        what = str(getattr(error, "error_string", type(error).__name__)).rstrip(".")
        raise BeatmapError(
            f"{what}; its first bytes are {content[:8]!r}", "undecodable_audio"
        ) from error
    if not len(samples):
        raise BeatmapError("an audio file without a sample", "empty_audio")
    if not np.abs(samples).max() <= LARGEST:  # NaN is not
        raise BeatmapError(f"samples that are no numbers, or beyond {LARGEST:.0f}", "odd_audio")
    return samples, rate


def _read_on(file: soundfile.SoundFile) -> Samples:
    """Return the mean of the channels; blocks are read until one is not full.

    Raises:
        BeatmapError: There is more than a song has.
    """
    size = max(_BLOCK // file.channels, 1)
    block = np.empty((size, file.channels), np.float32)
    parts: list[Samples] = []
    frames = 0
    while True:
        read = len(file.read(out=block))
        with np.errstate(over="ignore", invalid="ignore"):
            parts.append(mono(block[:read]))
        frames += read
        if frames > MOST_SECONDS * file.samplerate:
            raise BeatmapError(f"over {MOST_SECONDS / 3600:g} hours of audio", "too_long_audio")
        if read < size:
            return np.concatenate(parts)


def mono(frames: Samples) -> Samples:
    """Return the mean of the channels of `(frames, channels)`, as an array of its own."""
    if frames.shape[1] == 1:
        return frames[:, 0].copy()
    if frames.shape[1] == 2:  # by far the most frequent, and 5 times as fast as a mean of pairs
        return (frames[:, 0] + frames[:, 1]) * np.float32(0.5)
    mean: Samples = frames.mean(axis=1, dtype=np.float32)
    return mean


def _sum(left: Samples, right: Samples) -> Samples:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
