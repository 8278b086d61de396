"""A small drum synthesiser for previews: decaying sines, noise and metal, with numpy alone.

Units: onsets in seconds, pitches as General MIDI and Roland's TD-11 name drums, velocities 1 to
127, samples from -1 to 1 at `sample_rate` Hz, frequencies in Hz, decays in seconds down to 1/e.

A drum is built once, as two layers, and added wherever it is struck. The second layer, its bite,
grows faster with velocity, so that hard hits are brighter as well as louder. Strokes on all but
cymbals take turns between two takes, so that a roll is no machine gun. A hat that is struck or
stepped on chokes the open hat before it. Sources: the voices of the Roland TR-808 (a sine that
falls in pitch; six square waves behind a high-pass), and Gordon Reid's Synth Secrets on drums and
cymbals (Sound on Sound, 2002).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import MusicError
from workbench.music.wav import wav_bytes as wav_bytes  # noqa: PLC0414  who renders wants it

PEAK = 10 ** (-1 / 20)  # -1 dB
HATS = (22, 26, 42, 44, 46)
OPEN_HATS = (26, 46)

_Samples = NDArray[np.float32]
_Wave = NDArray[np.float64]

_CHOKE_SECONDS = 0.012  # what a closing hat takes to silence itself
_TAKES = 2
_CYMBALS = (49, 51, 52, 53, 55, 57, 59)  # two takes of these would not be told apart
_SQUARES = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)  # of the TR-808's cymbals


def render_drums(
    onset_seconds: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike,
    *,
    sample_rate: int = 22_050,
    seconds: float | None = None,
    seed: int = 0,
) -> _Samples:
    """Return drums as sound; the order of the hits does not matter.

    Args:
        onset_seconds: `(n,)`, not negative.
        pitch: `(n,)` whole numbers, 0 to 127; one that is no drum sounds as a wood block.
        velocity: `(n,)`, 1 to 127.
        sample_rate: Hz, 8000 to 192000.
        seconds: Length of the result; when None, until the last hit has died away.
        seed: Decides the noise in the drums.

    Returns:
        `(samples,)` float32, mono, its peak at -1 dB; silence stays silence.

    Raises:
        MusicError: A value lies outside its range, or the columns are of different lengths.
    """
    _refuse_settings(sample_rate, seconds)
    onset, drum, strength = _hits(onset_seconds, pitch, velocity)
    starts = np.rint(onset * sample_rate).astype(np.int64)
    voices = [
        _voice(int(number), int(turn), sample_rate, seed)
        for number, turn in zip(drum, _turns(drum), strict=True)
    ]
    ends = [start + len(voice.body) for start, voice in zip(starts, voices, strict=True)]
    length = max(ends, default=0) if seconds is None else round(seconds * sample_rate)
    lasting = np.minimum(_lasting(starts, drum), length - starts)
    mix = np.zeros(length, dtype=np.float32)
    for start, voice, share, last in zip(starts, voices, strength, lasting, strict=True):
        sound = voice.struck(share, last, fade=round(_CHOKE_SECONDS * sample_rate))
        mix[start : start + len(sound)] += sound
    peak = np.abs(mix).max(initial=0.0)
    return mix if peak == 0 else mix * np.float32(PEAK / peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voice:
    """One take of a drum: `body` and `bite`, float32 of one length."""

    body: _Samples
    bite: _Samples

    def struck(self, strength: np.float32, last: int, fade: int) -> _Samples:
        """Return the sound of a stroke, at most `last` samples of it.

        Args:
            strength: 0 to 1.
            last: Samples until something silences it; where that cuts the sound, it fades.
            fade: Samples it takes to fade.
        """
        body, bite = self.body[: max(last, 0)], self.bite[: max(last, 0)]
        sound = body * strength**1.5 + bite * strength**2.5
        if len(sound) < len(self.body):
            tail = sound[-fade:]
            tail *= np.linspace(1, 0, len(tail), dtype=np.float32)
        return sound


def _refuse_settings(sample_rate: int, seconds: float | None) -> None:
    if not 8000 <= sample_rate <= 192_000:
        raise MusicError(f"sample_rate {sample_rate} is outside [8000..192000]")
    if seconds is not None and not 0 <= seconds < np.inf:
        raise MusicError(f"seconds {seconds} is no length")


def _hits(
    onset_seconds: ArrayLike, pitch: ArrayLike, velocity: ArrayLike
) -> tuple[_Wave, NDArray[np.int64], _Samples]:
    """Return onsets, pitches and strengths of 0 to 1, in time, refusing what is none."""
    onset = np.asarray(onset_seconds, dtype=np.float64)
    drum = np.asarray(pitch)
    strength = np.asarray(velocity, dtype=np.float64) / 127
    shapes = [column.shape for column in (onset, drum, strength)]
    if onset.ndim != 1 or len(set(shapes)) > 1:
        raise MusicError(f"onset_seconds, pitch, velocity: shapes {shapes}; want equal columns")
    if not ((onset >= 0) & (onset < np.inf)).all():
        raise MusicError("onset_seconds: want finite numbers that are not negative")
    if drum.size and (drum.dtype.kind not in "iu" or drum.min() < 0 or drum.max() > 127):
        raise MusicError("pitch: want whole numbers from 0 to 127")
    if not ((strength > 0) & (strength <= 1)).all():
        raise MusicError("velocity: want numbers above 0 and up to 127")
    order = np.lexsort((strength, drum, onset))
    return onset[order], drum[order].astype(np.int64), strength[order].astype(np.float32)


def _lasting(starts: NDArray[np.int64], drum: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return after how many samples each hit is choked; a long time where nothing does."""
    never = np.iinfo(np.int64).max
    lasting = np.full(len(starts), never)
    is_open = np.isin(drum, OPEN_HATS)
    hats = np.append(starts[np.isin(drum, HATS)], never)
    lasting[is_open] = hats[np.searchsorted(hats, starts[is_open], side="right")] - starts[is_open]
    return lasting


def _turns(drum: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which take each hit plays: the takes of a drum in turn, of a cymbal the first."""
    turns = np.zeros(len(drum), dtype=np.int64)
    for number in np.setdiff1d(drum, _CYMBALS):
        same = drum == number
        turns[same] = np.arange(np.count_nonzero(same)) % _TAKES
    return turns


@lru_cache(maxsize=256)
def _voice(pitch: int, take: int, sample_rate: int, seed: int) -> _Voice:
    loudness, seconds, build = _DRUMS.get(pitch, (0.4, 0.25, partial(_block, pitch)))
    generator = np.random.Generator(np.random.PCG64([seed, pitch, take]))
    stuff = _Stuff(
        time=np.arange(round(seconds * sample_rate)) / sample_rate,
        sample_rate=sample_rate,
        generator=generator,
    )
    body, bite = build(stuff)
    end = np.minimum(1, (seconds - stuff.time) / 0.005)  # no click where it ends
    scale = loudness * end / np.abs(body + bite).max()
    layers = [(layer * scale).astype(np.float32) for layer in (body, bite)]
    for layer in layers:
        layer.setflags(write=False)
    return _Voice(body=layers[0], bite=layers[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stuff:
    """What drums are made of, for one sound.

    Attributes:
        time: `(samples,)`, seconds since the stroke.
        sample_rate: Hz.
        generator: Decides noise and phases.
    """

    time: _Wave
    sample_rate: int
    generator: np.random.Generator

    def decay(self, seconds: float) -> _Wave:
        """Return an envelope."""
        envelope: _Wave = np.exp(-self.time / seconds)
        return envelope

    def sine(self, frequency: float, *, from_frequency: float = 0.0, fall: float = 0.03) -> _Wave:
        """Return a sine that falls from one frequency to another, or stays where it is."""
        drop = from_frequency - frequency if from_frequency else 0.0
        turns = frequency * self.time + drop * fall * (1 - np.exp(-self.time / fall))
        tone: _Wave = np.sin(2 * np.pi * turns)
        return tone

    def noise(self, low: float, high: float = 20_000.0) -> _Wave:
        """Return noise between two frequencies, of unit power."""
        return self._from_spectrum(np.ones(self._bins), low, high)

    def metal(self, low: float, *, size: float = 1.0) -> _Wave:
        """Return six square waves above a frequency, of unit power; a greater size is lower."""
        lines = np.zeros(self._bins)
        hertz_a_bin = self.sample_rate / 2 / (self._bins - 1)
        for square in _SQUARES:
            frequency = square / size
            partial_number = np.arange(1, self.sample_rate / 2 / frequency, 2)
            at = np.rint(partial_number * frequency / hertz_a_bin).astype(np.int64)
            lines[at[at < self._bins]] += 1 / partial_number[at < self._bins]
        return self._from_spectrum(lines, low, 20_000.0)

    @property
    def _bins(self) -> int:
        power = max(len(self.time) - 1, 1).bit_length()
        return int(2 ** (power - 1)) + 1

    def _from_spectrum(self, strength: _Wave, low: float, high: float) -> _Wave:
        """Return a sound of random phases, its spectrum cut by slopes of 24 dB an octave."""
        hertz = np.linspace(0, self.sample_rate / 2, self._bins)
        hertz[0] = hertz[1]
        slopes = 1 / np.sqrt((1 + (low / hertz) ** 8) * (1 + (hertz / high) ** 8))
        phase = 2 * np.pi * self.generator.random(self._bins)
        sound: _Wave = np.fft.irfft(strength * slopes * np.exp(1j * phase))[: len(self.time)]
        unit: _Wave = sound / np.sqrt(np.mean(sound**2))
        return unit


_Layers = tuple[_Wave, _Wave]


def _kick(frequency: float, stuff: _Stuff) -> _Layers:
    tone = stuff.sine(frequency, from_frequency=3.4 * frequency, fall=0.026)
    body = np.tanh(2.2 * tone * stuff.decay(0.12))  # its overtones carry over small speakers
    knock = stuff.sine(4 * frequency, from_frequency=9 * frequency, fall=0.01) * stuff.decay(0.018)
    return body, 0.45 * knock + 0.3 * stuff.noise(1800, 7000) * stuff.decay(0.004)


def _snare(rim: float, stuff: _Stuff) -> _Layers:
    skin = stuff.sine(186, from_frequency=290, fall=0.012) * stuff.decay(0.06)
    skin += 0.5 * stuff.sine(331, from_frequency=420, fall=0.01) * stuff.decay(0.04)
    wires = stuff.noise(900, 7500)
    bite = 0.34 * stuff.noise(2500, 9500) * stuff.decay(0.13) + 0.4 * wires * stuff.decay(0.012)
    ring = stuff.sine(523) * stuff.decay(0.09) + 0.6 * stuff.sine(1180) * stuff.decay(0.03)
    return np.tanh(1.1 * skin + 0.45 * wires * stuff.decay(0.085)), bite + rim * ring


def _side_stick(stuff: _Stuff) -> _Layers:
    body = stuff.sine(1720) * stuff.decay(0.013) + 0.8 * stuff.sine(810) * stuff.decay(0.02)
    return body, 0.5 * stuff.noise(1200, 6000) * stuff.decay(0.006)


def _hat(decay: float, low: float, stuff: _Stuff) -> _Layers:
    plate = stuff.metal(low) + 0.6 * stuff.noise(low + 1000)
    body = plate * (0.75 * stuff.decay(decay) + 0.25 * stuff.decay(decay / 4))
    return body, 0.8 * stuff.noise(low + 2000) * stuff.decay(min(decay, 0.03))


def _ride(bell: float, wash: float, stuff: _Stuff) -> _Layers:
    """Return a ride cymbal with more or less of its bell and its wash."""
    tones = ((622, 0.5), (1013, 0.8), (1587, 1.0), (2390, 0.7), (3410, 0.6), (4720, 0.5))
    ping = sum(share * stuff.sine(f) * stuff.decay(0.16 + bell * 0.4) for f, share in tones)
    body = wash * stuff.metal(3500, size=1.3) * stuff.decay(0.7) + (0.12 + bell) * ping
    stick = stuff.noise(5000) * stuff.decay(0.008)
    return body, 0.55 * stick + wash * stuff.noise(4500) * stuff.decay(0.35)


def _crash(size: float, decay: float, low: float, stuff: _Stuff) -> _Layers:
    swell = 1 - stuff.decay(0.003)
    plate = stuff.metal(low, size=size) * stuff.decay(decay)
    spray = stuff.noise(low * 0.7) * (stuff.decay(decay * 0.6) + 0.8 * stuff.decay(0.06))
    return swell * (0.5 * plate + 0.35 * spray), swell * 0.6 * spray


def _tom(frequency: float, stuff: _Stuff) -> _Layers:
    body = stuff.sine(frequency, from_frequency=1.5 * frequency, fall=0.05) * stuff.decay(0.2)
    body += 0.35 * stuff.sine(1.59 * frequency) * stuff.decay(0.08)  # the next mode of a membrane
    return body, 0.16 * stuff.noise(250, 4500) * stuff.decay(0.022)


def _block(pitch: int, stuff: _Stuff) -> _Layers:
    frequency = min(440 * 2 ** ((pitch - 69) / 12), stuff.sample_rate / 4)
    return stuff.sine(frequency) * stuff.decay(0.03), 0.1 * stuff.noise(2000) * stuff.decay(0.004)


# Loudness, seconds, and what builds a drum. 22, 26, 55, 58, 59 are edges and rims on a TD-11.
_DRUMS: Mapping[int, tuple[float, float, Callable[[_Stuff], _Layers]]] = {
    35: (1.0, 0.7, partial(_kick, 50)),
    36: (1.0, 0.65, partial(_kick, 56)),
    37: (0.5, 0.15, _side_stick),
    38: (0.85, 0.6, partial(_snare, 0.0)),
    40: (0.9, 0.6, partial(_snare, 0.3)),
    22: (0.3, 0.35, partial(_hat, 0.05, 5500)),
    42: (0.28, 0.25, partial(_hat, 0.035, 6500)),
    44: (0.2, 0.2, partial(_hat, 0.028, 4500)),
    26: (0.36, 1.6, partial(_hat, 0.3, 5000)),
    46: (0.33, 1.4, partial(_hat, 0.25, 6000)),
    41: (0.85, 1.0, partial(_tom, 78)),
    43: (0.85, 1.0, partial(_tom, 86)),
    58: (0.9, 1.0, partial(_tom, 88)),
    45: (0.8, 0.9, partial(_tom, 112)),
    47: (0.8, 0.9, partial(_tom, 128)),
    48: (0.75, 0.8, partial(_tom, 152)),
    50: (0.75, 0.8, partial(_tom, 174)),
    49: (0.55, 2.4, partial(_crash, 1.0, 0.75, 2600)),
    52: (0.55, 1.6, partial(_crash, 1.7, 0.45, 1500)),
    55: (0.5, 2.0, partial(_crash, 0.85, 0.6, 3200)),
    57: (0.55, 2.4, partial(_crash, 1.15, 0.8, 2300)),
    51: (0.3, 2.0, partial(_ride, 0.0, 0.10)),
    53: (0.34, 2.0, partial(_ride, 0.35, 0.06)),
    59: (0.38, 2.2, partial(_ride, 0.05, 0.3)),
}
