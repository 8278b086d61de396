"""The steady tempo of a song, and when its first beat sounds.

What begins in the sound is heard as rises in the bands of a mel spectrogram. How far apart beats
are is chosen from what repeats within a few seconds, which bears a tempo that drifts; the exact
tempo then is the one whose beats, halves and quarters of beats gather the most of all rises of
the song, which tells a tempo as finely as the song is long. Beats are where rises gather within
the span of one; of four beats, bars begin with the one that low sounds begin on and harmony
changes at.

The same music may be counted at half or at twice its tempo, and ears do not agree either: what
is chosen is nearer to 125 bpm. A song whose tempo changes has no such tempo; its `confidence` is
low.

Units: `bpm` is beats a minute, a `beat` a quarter note; times in seconds; a `frame` is 1/86 s.
Sources: Peeters (EURASIP 2007), autocorrelation and spectrum of the onsets as one; Ellis (JNMR
2007), the preferred tempo as a bell over its logarithm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.writer.mel import frames_of
from workbench.beatmap.writer.options import MelSpec
from workbench.errors import BeatmapError
from workbench.music.sound_files import Samples, resampled

BAR_BEATS = 4
BPM_RANGE = (10.0, 1000.0)  # of a tempo that is given

_Floats = NDArray[np.float64]

_SPEC = MelSpec(sample_rate=22_050, n_fft=1024, hop_length=256, n_mels=40, onset=False)
_FRAMES = _SPEC.sample_rate / _SPEC.hop_length  # a second
_QUIETEST_DB = -70.0  # rises out of what is quieter are not heard
_LOW_BANDS = 6  # up to 500 Hz: kicks and basses
_LATE = 0.0052  # s from where a rise is largest to where sound begins, measured on clicks and drums

_AROUND = 0.5  # s whose mean a rise is above
_LEAST_RISE = 0.5  # dB, the mean of all bands, where something begins
_LEAST_ONSETS = 4
_SPAN = 8.0  # s within which a tempo hardly drifts
_COMB = (1, 2, 3, 4)  # beats after which rises repeat
_SPECTRUM_SHARE = 0.25  # of the spectrum beside the autocorrelation, in logarithms
_MIDDLE_BPM, _OCTAVES = 125.0, 0.6  # the bell; of 30 songs of known tempo 28 are told by these
_TEMPI = 600  # that are tried
_NEAR = 0.02  # as far from the tried tempo the exact one may be
_HARMONICS = (1, 2, 3, 4)  # of a beat's frequency
_WHOLE_SECONDS = 0.005  # a whole tempo is meant where it is apart so little at a song's end
_PARTS = 96  # of a beat, in which rises are gathered
_BLUR = 0.012  # s
_AROUND_BEAT = 2  # frames beside a beat that are still on it
_EARLY_BEATS = 0.125  # sound may begin so long before the first beat


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """A steady tempo.

    Attributes:
        bpm: Beats a minute.
        first_beat: When the first bar begins that does not begin before the sound does, s; a
            little below 0 where the first beat is cut off.
        confidence: How much of what begins does so on one steady grid, 0 to 1: music played to a
            click has above 0.3, noise 0.15 or less.
    """

    bpm: float
    first_beat: float
    confidence: float


def estimate_tempo(
    samples: Samples,
    sample_rate: int,
    *,
    bpm: float | None = None,
    first_beat: float | None = None,
    least: float = 60.0,
    most: float = 240.0,
) -> Tempo:
    """Return the tempo of a song.

    Args:
        samples: `(n,)`, mono.
        sample_rate: Hz.
        bpm: The tempo, where it is known; it is not changed.
        first_beat: Likewise, s.
        least: The slowest that is looked for, bpm.
        most: The fastest that is looked for, bpm.

    Raises:
        BeatmapError: Too little begins in the sound for a tempo (`no_onset`), or what is given is
            none (`bad_tempo`).
    """
    _check(bpm, first_beat, least, most)
    sound = _heard(resampled(samples, sample_rate, _SPEC.sample_rate))
    wanted = _LEAST_ONSETS if bpm is None else 1
    if len(sound.onsets) < wanted:
        raise BeatmapError(
            f"{len(sound.onsets)} onsets in {len(samples) / sample_rate:.1f} s of sound, and a "
            f"tempo wants {wanted} at least; take a song with a beat",
            "no_onset",
        )
    if bpm is None:
        bpm = _exact(sound.curve, _rough(sound.curve, least, most), least, most)
    if first_beat is None:
        first_beat = _first_beat(sound, bpm)
    return Tempo(bpm=bpm, first_beat=first_beat, confidence=_gathered(sound.curve, bpm))


def _check(bpm: float | None, first_beat: float | None, least: float, most: float) -> None:
    low, high = BPM_RANGE
    if bpm is not None and not low <= bpm <= high:
        raise BeatmapError(f"bpm {bpm}: want {low:g} to {high:g} beats a minute", "bad_tempo")
    if first_beat is not None and not np.isfinite(first_beat):
        raise BeatmapError(f"first_beat {first_beat}: want seconds", "bad_tempo")
    if not low <= least < most <= high:
        raise BeatmapError(
            f"least {least} and most {most}: want {low:g} <= least < most <= {high:g}", "bad_tempo"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """What is heard of a song: decibels `(frames, bands)`, and what begins in each frame."""

    decibels: _Floats
    curve: _Floats
    low: _Floats
    onsets: NDArray[np.int64]


def _heard(samples: Samples) -> _Sound:
    decibels = np.maximum(frames_of(samples, _SPEC), _QUIETEST_DB).astype(np.float64)
    # what is there in the first frame has begun with it
    before = np.vstack((np.full((1, decibels.shape[1]), _QUIETEST_DB), decibels[:-1]))
    rises = np.maximum(decibels - before, 0.0)
    curve = _peaks(rises.mean(axis=1))
    return _Sound(
        decibels=decibels,
        curve=curve,
        low=_peaks(rises[:, :_LOW_BANDS].mean(axis=1)),
        onsets=_onset_frames(curve),
    )


def _peaks(curve: _Floats) -> _Floats:
    """Return by how much a curve is above its mean around, and 0 where it is below."""
    width = min(round(_AROUND * _FRAMES), len(curve))
    around = np.convolve(curve, np.full(width, 1 / width), "same")
    return np.maximum(curve - around, 0.0)


def _onset_frames(curve: _Floats) -> NDArray[np.int64]:
    """Return the frames at which something begins, `(onsets,)`."""
    padded = np.pad(curve, 1)
    is_top = (curve >= padded[:-2]) & (curve > padded[2:])
    return np.flatnonzero(is_top & (curve >= _LEAST_RISE))


def _rough(curve: _Floats, least: float, most: float) -> float:
    """Return the tempo that repeats most within some seconds, bpm."""
    width = min(round(_SPAN * _FRAMES), len(curve))
    window = np.hanning(width)
    repeats = np.zeros(width)
    spectrum = np.zeros(4 * width + 1)
    last = len(curve) - width
    for start in (*range(0, last, max(width // 2, 1)), last):
        piece = curve[start : start + width]
        tapered = (piece - piece.mean()) * window
        found = np.abs(np.fft.rfft(tapered, 8 * width))
        spectrum += found
        repeats += np.fft.irfft(found[::4] ** 2, 2 * width)[:width]
    taper = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * width)) ** 2)[:width]
    repeats /= np.maximum(taper / taper[0], 0.05) * repeats[0]
    bpms = np.geomspace(least, most, _TEMPI)
    frames = 60.0 / bpms * _FRAMES
    again = sum(np.interp(n * frames, np.arange(width), repeats, right=0.0) for n in _COMB)
    strength = np.interp(8 * width / frames, np.arange(len(spectrum)), spectrum)
    bell = -0.5 * (np.log2(bpms / _MIDDLE_BPM) / _OCTAVES) ** 2
    score = np.log(np.maximum(again / len(_COMB), 0.01)) + bell
    score += _SPECTRUM_SHARE * np.log(np.maximum(strength, 1e-9))
    return float(bpms[np.argmax(score)])


def _exact(curve: _Floats, rough: float, least: float, most: float) -> float:
    """Return the tempo near a rough one whose grid gathers the most of all rises, bpm."""
    size = 1 << int(np.ceil(np.log2(8 * len(curve))))
    spectrum = np.abs(np.fft.rfft(curve - curve.mean(), size))
    step = _FRAMES / size * 60.0 / max(_HARMONICS)
    low, high = max(rough * (1 - _NEAR), least), min(rough * (1 + _NEAR), most)
    bpms = np.append(np.arange(low, high, step), high)
    places = bpms / 60.0 * (size / _FRAMES)
    gathered = sum(
        np.interp(n * places, np.arange(len(spectrum)), spectrum) ** 2 for n in _HARMONICS
    )
    best = float(bpms[np.argmax(gathered)])
    for finer in (step, step / 8, step / 64):
        near = np.clip(best + finer * np.linspace(-1, 1, 17), least, most)
        best = float(near[np.argmax([_grid_power(curve, each) for each in near])])
    whole = float(round(best))
    heard = np.flatnonzero(curve)
    apart = abs(whole - best) / best * (heard[-1] - heard[0]) / _FRAMES
    return whole if apart < _WHOLE_SECONDS and least <= whole <= most else best


def _grid_power(curve: _Floats, bpm: float) -> float:
    return sum(abs(_turned(curve, n * bpm)) ** 2 for n in _HARMONICS)


def _gathered(curve: _Floats, bpm: float) -> float:
    """Return how much of all rises lies on the beats or on the halves of beats, 0 to 1."""
    return max(abs(_turned(curve, n * bpm)) for n in (1, 2)) / float(curve.sum())


def _turned(curve: _Floats, bpm: float) -> complex:
    """Return the sum of a curve on a circle that is gone round once a beat."""
    at = np.flatnonzero(curve)
    turn = np.exp(-2j * np.pi * (bpm / 60.0 / _FRAMES) * at)
    return complex(turn @ curve[at])


def _first_beat(sound: _Sound, bpm: float) -> float:
    """Return when the first bar begins that does not begin before the sound, s."""
    beat = 60.0 / bpm
    low = sound.low / max(float(sound.low.std()), 1e-9)
    offset = _offset(sound.curve / sound.curve.std() + low, beat)
    bar = BAR_BEATS * beat
    first = offset + _bar_start(sound, low, beat, offset) + _LATE
    earliest = sound.onsets[0] / _FRAMES + _LATE - _EARLY_BEATS * beat
    return float(first + np.ceil((earliest - first) / bar) * bar)


def _offset(curve: _Floats, beat: float) -> float:
    """Return where within the span of a beat the most rises gather, s."""
    turns = np.arange(len(curve)) / _FRAMES / beat % 1.0 * _PARTS
    whole = turns.astype(np.int64)
    share = turns - whole
    gathered = np.bincount(whole, curve * (1 - share), _PARTS + 1)
    gathered += np.bincount(whole + 1, curve * share, _PARTS + 1)[: _PARTS + 1]
    gathered[0] += gathered[_PARTS]
    distance = np.minimum(np.arange(_PARTS), _PARTS - np.arange(_PARTS)) * (beat / _PARTS)
    blur = np.exp(-0.5 * (distance / _BLUR) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(gathered[:_PARTS]) * np.fft.rfft(blur), _PARTS)
    top = int(np.argmax(smooth))
    left, peak, right = smooth[[top - 1, top, (top + 1) % _PARTS]]
    bend = left - 2 * peak + right
    return float((top + (0.5 * (left - right) / bend if bend < 0 else 0.0)) * beat / _PARTS)


def _bar_start(sound: _Sound, low: _Floats, beat: float, offset: float) -> float:
    """Return how long after an offset bars begin, s: a whole number of halves of a beat.

    A bar begins on a half of a beat only where snares or guitars between the beats are louder than
    what is on them.
    """
    halves = int((len(low) / _FRAMES - offset) / beat * 2)
    if halves < 2 * 2 * BAR_BEATS:
        return 0.0
    at = np.rint((offset + np.arange(halves) * (beat / 2)) * _FRAMES).astype(np.int64)
    near = np.clip(at[:, None] + np.arange(-_AROUND_BEAT, _AROUND_BEAT + 1), 0, len(low) - 1)
    struck = low[near].max(axis=1)
    changed = _changes(sound.decibels, at)
    places = 2 * BAR_BEATS
    score = np.empty(places)
    for place in range(places):
        score[place] = struck[place::places].mean() / max(float(struck.std()), 1e-9)
        score[place] += changed[place::places].mean() / max(float(changed.std()), 1e-9)
    return float(np.argmax(score)) * beat / 2


def _changes(decibels: _Floats, at: NDArray[np.int64]) -> _Floats:
    """Return how unlike the beats before and after each half of a beat sound, `(halves,)`."""
    sums = np.vstack((np.zeros((1, decibels.shape[1])), np.cumsum(decibels, axis=0)))
    last = len(decibels)
    width = max(int(at[2] - at[0]), 2)
    before, here, after = (np.clip(at + shift, 0, last) for shift in (-width, 0, width))
    rests = np.maximum(after - here, 1)[:, None]
    earlier = np.maximum(here - before, 1)[:, None]
    unlike = (sums[after] - sums[here]) / rests - (sums[here] - sums[before]) / earlier
    change: _Floats = np.abs(unlike).mean(axis=1)
    return change
