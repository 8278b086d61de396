"""Features of a song's sound, one column a part of a beat: a mel spectrogram and its onsets.

The mel spectrogram is librosa's, in decibels under the loudest of the song, from -80 to 0; a song
of silence, which librosa calls loudest, is -80. The onset channel behind it is librosa's
`onset_strength`: how much louder 128 bands become from one frame to the next, decibels on
average. Both come from one Fourier transform, frames in blocks that stay in the processor's
cache. Frames are then brought to columns through the time map: column k is what sounds at beat
`k / columns_a_beat`, between two frames by a straight line; before the audio it is silent.

Units: a `frame` is `hop_length` samples; a `column` is a part of a beat; arrays are time-major.
Sources: librosa 0.11; Slaney's Auditory Toolbox (1998) for the bands.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.options import MelSpec
from workbench.errors import BeatmapError
from workbench.music.sound_files import Samples

Features = NDArray[np.float16]
Floats = NDArray[np.float32]

FLOOR_DB = -80.0
MOST_COLUMNS = 1 << 22  # a day at 180 bpm; a damaged tempo must not cost all memory

_ONSET_MELS = 128  # librosa's melspectrogram, which its onset_strength takes
_LEAST_POWER = 1e-10
_BLOCK = 256  # frames that are transformed at a time
_COLUMN_BLOCK = 1 << 14  # columns that are made at a time, those of most songs
_BAND_BLOCK = 128  # bins that are summed to bands at a time, into the few bands that hold them


def mel(samples: Samples, spec: MelSpec, time_map: TimeMap) -> Features:
    """Return the features of a song in columns.

    Args:
        samples: `(n,)`, at the rate of the spec.
        spec: What is computed.
        time_map: Which beat sounds when.

    Returns:
        `(columns, channels)` float16, as many columns as begin before the song ends.

    Raises:
        BeatmapError: The tempo makes more columns than any song has.
    """
    return aligned(frames_of(samples, spec), len(samples), spec, time_map)


def frames_of(samples: Samples, spec: MelSpec) -> Floats:
    """Return the features of each frame, `(1 + (n - n_fft % 2) // hop_length, channels)` float32.

    Args:
        samples: `(n,)`, at the rate of the spec, n at least 1.
        spec: What is computed.
    """
    power = _band_powers(samples, spec)
    features = np.empty((len(power), spec.channels), np.float32)
    loudest = max(float(power[:, : spec.n_mels].max()), _LEAST_POWER)
    decibels = _decibels(power[:, : spec.n_mels], loudest)
    torch.clamp(decibels, min=FLOOR_DB, out=torch.from_numpy(features)[:, : spec.n_mels])
    if loudest == _LEAST_POWER:  # nothing but silence
        features[:, : spec.n_mels] = FLOOR_DB
    if spec.onset:
        features[:, -1] = _onsets(power[:, spec.n_mels :], spec)
    return features


def aligned(frames: Floats, samples: int, spec: MelSpec, time_map: TimeMap) -> Features:
    """Return frames brought to columns.

    Args:
        frames: `(frames, channels)` float32.
        samples: How many samples the song has.
        spec: Rate, hop and columns a beat.
        time_map: Which beat sounds when.

    Returns:
        `(columns, channels)` float16.

    Raises:
        BeatmapError: The tempo makes more columns than any song has.
    """
    beats = float(time_map.beats_at(samples / spec.sample_rate))
    count = int(np.clip(np.ceil(beats * spec.columns_a_beat), 0, MOST_COLUMNS + 1))
    if count > MOST_COLUMNS:
        raise BeatmapError(f"{beats:.0f} beats in the song; its tempo is wrong", "bad_tempo")
    columns = np.empty((count, frames.shape[1]), np.float16)
    for start in range(0, count, _COLUMN_BLOCK):
        block = columns[start : start + _COLUMN_BLOCK]
        seconds = time_map.seconds_at(np.arange(start, start + len(block)) / spec.columns_a_beat)
        block[:] = _between(frames, seconds * (spec.sample_rate / spec.hop_length), spec)
    return columns


def _between(frames: Floats, place: NDArray[np.float64], spec: MelSpec) -> Floats:
    """Return what lies at places among the frames, `(places, channels)`; before them is silence."""
    within = np.clip(place, 0, len(frames) - 1)
    before = np.minimum(within.astype(np.int64), max(len(frames) - 2, 0))
    after = np.minimum(before + 1, len(frames) - 1)
    share = (within - before).astype(np.float32)[:, None]
    columns: Floats = frames[after]
    columns -= frames[before]
    columns *= share
    columns += frames[before]
    early = np.flatnonzero(place < 0)
    silence = np.zeros(frames.shape[1], np.float32)
    silence[: spec.n_mels] = FLOOR_DB
    columns[early] += (silence - frames[0]) * np.minimum(-place[early], 1)[:, None]
    return columns


def mel_bands(sample_rate: int, n_fft: int, n_mels: int) -> Floats:
    """Return the weights of each bin in each band, `(n_mels, 1 + n_fft // 2)` float32.

    Bands are triangles of one area, from 0 Hz to half the rate, evenly spaced on Slaney's scale:
    straight up to 1 kHz, logarithmic above.
    """
    edges = _hertz(np.linspace(0.0, _mels(sample_rate / 2), n_mels + 2))
    bins = np.arange(1 + n_fft // 2) * (sample_rate / n_fft)
    slopes = (bins - edges[:, None])[:-1] / np.diff(edges)[:, None]
    weights = np.maximum(0, np.minimum(slopes[:-1], 1 - slopes[1:]))
    bands: Floats = (weights * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    return bands


_STEP = 200.0 / 3.0  # Hz a mel below 1 kHz
_BEND = 1000.0 / _STEP  # mels at 1 kHz
_LOG_STEP = np.log(6.4) / 27.0  # above


def _mels(hertz: float) -> float:
    if hertz < 1000.0:
        return hertz / _STEP
    return float(_BEND + np.log(hertz / 1000.0) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 1000.0 * np.exp(_LOG_STEP * (np.maximum(mels, _BEND) - _BEND))
    return np.where(mels < _BEND, _STEP * mels, above)


@lru_cache(maxsize=8)
def _blocks_of_bands(spec: MelSpec) -> list[tuple[slice, slice, torch.Tensor]]:
    """Return the bins of each block, the bands that reach into them, and their weights.

    The bands of the mel spectrogram come first, then those of the onsets; of each kind a block's
    bands are neighbours, so that nothing is multiplied by the zeros that bands are else made of.
    """
    kinds = [mel_bands(spec.sample_rate, spec.n_fft, spec.n_mels)]
    if spec.onset:
        kinds.append(mel_bands(spec.sample_rate, spec.n_fft, _ONSET_MELS))
    blocks = []
    first = 0
    for bands in kinds:
        for start in range(0, bands.shape[1], _BAND_BLOCK):
            bins = slice(start, min(start + _BAND_BLOCK, bands.shape[1]))
            reaching = np.flatnonzero(bands[:, bins].any(axis=1))
            if len(reaching):
                near = slice(int(reaching[0]), int(reaching[-1]) + 1)
                weights = torch.from_numpy(np.ascontiguousarray(bands[near, bins].T))
                blocks.append((bins, slice(first + near.start, first + near.stop), weights))
        first += len(bands)
    return blocks


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> torch.Tensor:
    return torch.hann_window(n_fft, dtype=torch.float32)


def _band_powers(samples: Samples, spec: MelSpec) -> Floats:
    """Return the power of each frame in each band, those of the onsets behind."""
    half = spec.n_fft // 2
    padded = np.zeros(len(samples) + 2 * half, np.float32)
    padded[half : half + len(samples)] = samples
    sound = torch.from_numpy(padded)
    count = 1 + (len(padded) - spec.n_fft) // spec.hop_length
    blocks = _blocks_of_bands(spec)
    power = torch.zeros(count, max(bands.stop for _, bands, _ in blocks), dtype=torch.float32)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        ends = (stop - 1) * spec.hop_length + spec.n_fft
        spectrum = torch.stft(
            sound[start * spec.hop_length : ends],
            spec.n_fft,
            spec.hop_length,
            window=_hann(spec.n_fft),
            center=False,
            return_complex=True,
        )
        squares = torch.view_as_real(spectrum.T).square()  # time-major, as it was computed
        bins = squares[..., 0] + squares[..., 1]  # five times as fast as a sum of pairs
        for of_bins, of_bands, weights in blocks:
            power[start:stop, of_bands].addmm_(bins[:, of_bins], weights)
    return power.numpy()


def _decibels(power: NDArray[Any], reference: float) -> torch.Tensor:
    decibels = torch.from_numpy(power).clamp(min=_LEAST_POWER).log10_().mul_(10.0)
    return decibels.sub_(10.0 * float(np.log10(reference)))


def _onsets(power: Floats, spec: MelSpec) -> Floats:
    """Return the onset strength of each frame, `(frames,)`."""
    decibels = _decibels(power, 1.0)
    decibels.clamp_(min=float(decibels.max()) + FLOOR_DB)
    rises = torch.diff(decibels, dim=0).clamp_(min=0.0).mean(dim=1)
    late = 1 + spec.n_fft // (2 * spec.hop_length)  # as far as a frame looks ahead
    onsets = np.zeros(len(power), np.float32)
    kept = max(len(power) - late, 0)
    onsets[len(power) - kept :] = rises[:kept].numpy()
    return onsets
