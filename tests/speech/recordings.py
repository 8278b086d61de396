"""Recordings made for the tests of the speech room."""

import io

import numpy as np
import soundfile


def burst(seconds=1.0, *, sample_rate=16_000, idle=0.2, seed=0, loudness=0.1):
    """Return noise that swells and fades, between faint idle ends: `(n,)` float32."""
    generator = np.random.default_rng(seed)
    count = round(seconds * sample_rate)
    ends = round(idle * sample_rate)
    envelope = np.full(count + 2 * ends, 1e-4)
    envelope[ends : ends + count] += np.hanning(count)
    return (loudness * envelope * generator.standard_normal(len(envelope))).astype(np.float32)


def file_of(samples, sample_rate=16_000, kind="WAV", subtype=None, **how):
    """Return samples `(n,)` or `(n, channels)` as a file written by libsndfile."""
    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate, format=kind, subtype=subtype, **how)
    return content.getvalue()


def heard(content):
    """Return what soundfile alone reads: the mean of the channels, float32, and the rate."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        frames = file.read(10**8, dtype="float32", always_2d=True)
        return frames.mean(axis=1), file.samplerate
