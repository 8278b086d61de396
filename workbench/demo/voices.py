"""Voices for demo speech: a formant synthesiser that speaks syllables, and espeak-ng.

Units: seconds, Hz, samples from -1 to 1. `poles` are those of resonators, decay and angle per
second. The synthesiser is parallel: every glottal pulse rings once through the resonances that the
mouth has at that moment, as the sum of damped waves that the cascade of those resonators would
give (Klatt, JASA 67, 1980; d'Alessandro and Rodet, FOF, 1989); noise is a pulse a sample
with random strength. Only uniform random numbers, sums, products, quotients, square roots and
comparisons of separate numpy calls are used; none differs between processors, so a seed gives
the same samples everywhere. What espeak-ng says is the same wherever its version is the same.
"""

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.demo.syllables import CODAS, ONSETS, TONES, VOWELS, Bands, Formants, Syllable
from workbench.errors import SpeechError

Samples = NDArray[np.float64]
Phrases = Sequence[Sequence[Syllable]]

ESPEAK_RATE = 22_050

_Complex = tuple[Samples, Samples]  # real and imaginary part

_TAU = 6.283185307179586
_RING_SECONDS = 0.013  # after which little is left of a pulse
_HISS_SECONDS = 0.002
_BREATH_STEP = 32  # samples
_GLIDE_SECONDS = 0.04
_FIXED_FORMANTS = ((3500.0, 220.0), (4500.0, 300.0))  # hardly move with what is said
_WIDTHS = (75.0, 95.0, 140.0)
_OPEN = 9e5  # how loud a vowel at 115 Hz is before it is called 1
_BRIGHT = _TAU * 900.0  # above this a voice falls by 6 dB an octave less


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How somebody speaks.

    Attributes:
        pitch: Of a mid tone, Hz; a man's is about 115, a woman's 205.
        mouth: How far the formants lie above those of a man, 0.9 to 1.25.
        breath: How much air sounds beside the voice, 0 to 1.
        pace: How long everything takes beside the calm pace, 0.7 to 1.3.
    """

    pitch: float
    mouth: float
    breath: float
    pace: float


def speak(
    phrases: Phrases, voice: Voice, sample_rate: int, generator: np.random.Generator
) -> Samples:
    """Return syllables as speech, with a pause after every phrase but the last.

    Args:
        phrases: What is said; a phrase is some syllables in one breath.
        voice: Who says it.
        sample_rate: Hz, 16000 or more; nothing sounds above 11 kHz.
        generator: Decides noise, pauses and small variations.

    Returns:
        `(n,)`, mono, the loudest sample at 1.
    """
    doubled = sample_rate > 32_000
    rate = sample_rate // 2 if doubled else sample_rate
    score = _Score(voice)
    for number, phrase in enumerate(phrases):
        if number:
            score.move(0.12 + 0.16 * generator.random(), 0.0, VOWELS["oe"].formants)
        _write_phrase(score, phrase, generator)
    length = int((score.now + _RING_SECONDS) * rate)
    moves = np.array(score.moves)
    speech = _voiced(moves, np.array(score.pitches), voice, (rate, length), generator)
    speech += _noises(score, moves, (rate, length), generator)
    return _at_full_scale(_doubled(speech) if doubled else speech)


def speak_espeak(
    text: str, *, language: str, variant: str, words_a_minute: int, pitch: int
) -> Samples:
    """Return a text as espeak-ng says it, mono at `ESPEAK_RATE`, the loudest sample at 1.

    Args:
        text: What is said.
        language: The name of a voice of espeak-ng, such as th.
        variant: Who says it: f1 to f5, m1 to m8.
        words_a_minute: 80 to 450.
        pitch: 0 to 99.

    Raises:
        SpeechError: espeak-ng is not installed or does not speak.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise SpeechError(
            "espeak-ng: is not installed; install it (apt-get install espeak-ng, "
            "brew install espeak-ng) or choose the voice 'synthesiser'"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        flags = ["-v", f"{language}+{variant}", "-s", str(words_a_minute), "-p", str(pitch)]
        done = subprocess.run(
            [program, "-b", "1", *flags, "-w", str(path), "--stdin"],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        speech = _read(path)
    if done.returncode or not speech.any():
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise SpeechError(
            f"espeak-ng: said nothing of {text!r} ({said}); "
            f"see that `espeak-ng --voices={language}` lists a voice"
        )
    return _at_full_scale(speech)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noise:
    """A hiss: when it begins and how long it takes, how loud, of which bands."""

    start: float
    seconds: float
    loudness: float
    bands: Bands


class _Score:
    """The movements of a mouth, written from left to right.

    `moves` are rows of time, loudness of the voice and three formants, `pitches` rows of time and
    Hz; between rows everything moves in straight lines.
    """

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.now = 0.0
        self.moves: list[tuple[float, ...]] = []
        self.pitches: list[tuple[float, float]] = []
        self.noises: list[_Noise] = []

    def move(self, seconds: float, loudness: float, formants: Formants) -> None:
        """Reach a loudness and formants in some time."""
        self.now += seconds * self.voice.pace
        self.moves.append((self.now, loudness, *(self.voice.mouth * f for f in formants)))

    def hiss(self, seconds: float, loudness: float, bands: Bands) -> None:
        """Begin a noise here; time stays where it is."""
        lasting = seconds * self.voice.pace
        own = tuple((self.voice.mouth * centre, width) for centre, width in bands)
        noise = _Noise(start=self.now, seconds=lasting, loudness=loudness, bands=own)
        self.noises.append(noise)

    def pitch(self, seconds: float, factor: float) -> None:
        """Say how high the voice is some time from here."""
        self.pitches.append((self.now + seconds * self.voice.pace, self.voice.pitch * factor))


def _write_phrase(
    score: _Score, phrase: Sequence[Syllable], generator: np.random.Generator
) -> None:
    """Add a phrase to the score: it sinks in pitch, and its last syllable is long."""
    for place, syllable in enumerate(phrase):
        height = 1.05 - 0.17 * place / len(phrase) + 0.04 * (generator.random() - 0.5)
        stretch = 0.85 + 0.3 * generator.random() + (0.6 if place == len(phrase) - 1 else 0.0)
        _write(score, syllable, height, stretch, 0.8 + 0.2 * generator.random())
    score.move(0.03, 0.0, VOWELS["oe"].formants)


def _write(
    score: _Score, syllable: Syllable, height: float, stretch: float, loudness: float
) -> None:
    """Add a syllable to the score.

    Args:
        score: Where it goes.
        syllable: What is said.
        height: Pitch beside the voice's own.
        stretch: How long the vowel is beside the calm pace.
        loudness: Beside a stressed syllable.
    """
    onset, vowel = ONSETS[syllable.onset], VOWELS[syllable.vowel]
    full = loudness * vowel.loudness
    place = onset.formants or vowel.formants
    score.move(0.01, onset.murmur * loudness, place)
    score.move(onset.closure, onset.murmur * loudness, place)
    if onset.noise:
        first, second, third = vowel.formants
        own = onset.bands or ((first, 500), (second, 450), (third, 500))
        score.hiss(onset.noise, onset.hiss * loudness, own)
        if not onset.bands and onset.closure > 0.01:  # the burst of an aspirated stop
            score.hiss(0.012, 0.1, ((place[1], 500), (place[2], 700)))
        score.move(onset.noise, 0.0, _between(place, vowel.formants))
    begins = 0.0 if onset.murmur else 0.01
    middle, end = begins + 0.03 + 0.04 * stretch, begins + 0.06 + 0.08 * stretch
    for seconds, tone in zip((begins, middle, end), TONES[syllable.tone], strict=True):
        score.pitch(seconds, height * tone)
    half_way = _between(place, vowel.formants)
    score.move(0.012, 0.7 * full, half_way)
    score.move(_GLIDE_SECONDS, full, vowel.formants)
    score.move(0.08 * stretch, 0.85 * full, vowel.formants)
    _write_end(score, syllable, full)


def _write_end(score: _Score, syllable: Syllable, full: float) -> None:
    vowel = VOWELS[syllable.vowel]
    if not syllable.coda:
        score.move(0.035, 0.25 * full, vowel.formants)
        return
    coda = CODAS[syllable.coda]
    murmur = coda.murmur * full
    score.move(_GLIDE_SECONDS, murmur or 0.4 * full, _between(coda.formants, vowel.formants))
    score.move(0.008, murmur, coda.formants)
    score.move(0.05, murmur * 0.7, coda.formants)


def _between(one: Formants, other: Formants) -> Formants:
    first, second, third = ((a + b) / 2 for a, b in zip(one, other, strict=True))
    return first, second, third


def _voiced(
    moves: Samples,
    pitches: Samples,
    voice: Voice,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> Samples:
    """Return the voice: a pulse a period, each through its resonances."""
    rate, length = shape
    times, hertz = _pulses(pitches, moves[-1, 0], generator)
    state = _lines(moves, times)
    loud = state[0] * (0.94 + 0.12 * generator.random(len(times)))
    sounding = loud > 0.002
    times, hertz, loud, formants = (
        times[sounding],
        hertz[sounding],
        loud[sounding],
        state[1:, sounding],
    )
    decay, angle = _poles(formants, hertz, voice, rate)
    first = np.ceil(times * rate).astype(np.int64)
    taps = int(_RING_SECONDS * rate)
    waves = _rings(decay, angle, first / rate - times, rate, taps)
    waves *= (loud * 115.0 / hertz).astype(np.float32)
    return _added(waves, first, length)


def _pulses(
    pitches: Samples, seconds: float, generator: np.random.Generator
) -> tuple[Samples, Samples]:
    """Return when the glottis closes, `(n,)` seconds, and how high the voice is then, `(n,)` Hz."""
    grid = np.arange(int(seconds * 1000) + 1) / 1000
    hertz = _lines(pitches, grid)[0]
    periods = np.cumsum(hertz * 0.001)
    whole = np.arange(1, int(periods[-1]))
    after = np.searchsorted(periods, whole)
    before = periods[after - 1]
    times = (after + (whole - before) / (periods[after] - before)) / 1000
    own = hertz[after]
    return times + (generator.random(len(times)) - 0.5) * 0.012 / own, own


def _poles(formants: Samples, hertz: Samples, voice: Voice, rate: int) -> tuple[Samples, Samples]:
    """Return decay and angle a second of every resonance, each `(resonances, pulses)`.

    The first is that of the glottis: wide, at the pitch, it tilts all above it by 12 dB an octave.
    """
    fixed = [(f * voice.mouth, width) for f, width in _FIXED_FORMANTS]
    fixed = [(f, width) for f, width in fixed if f < 0.47 * rate]
    pulses = len(hertz)
    centre = np.concatenate([hertz[None], formants, *(np.full((1, pulses), f) for f, _ in fixed)])
    glottis = 180.0 + 160.0 * voice.breath
    width = np.array([glottis, *_WIDTHS, *(width for _, width in fixed)])
    decay = np.repeat(width[:, None] * (_TAU / 2), pulses, axis=1)
    return decay, centre * _TAU


def _rings(
    decay: Samples, angle: Samples, late: Samples, rate: int, taps: int
) -> NDArray[np.float32]:
    """Return how each pulse rings, `(taps, pulses)` float32.

    Args:
        decay: Of each resonance, a second, `(resonances, pulses)`.
        angle: The same of its angle.
        late: How long after the pulse the first sample is, in seconds, `(pulses,)`.
        rate: Samples a second.
        taps: How many samples; only the first two formants ring for more than half of them.
    """
    times = np.stack([late, np.full_like(late, 1 / rate)])[:, None]  # to the first, to the next
    turned = _turned(decay * times, angle * times)
    start = _product(*_residues(decay, angle), *(part[0] for part in turned))
    total = np.zeros((taps, decay.shape[1]), dtype=np.float32)
    for which, count in (([0, *range(3, len(decay))], taps // 2), ([1, 2], taps)):
        first, step = (
            tuple(part[which].ravel() for part in pair)
            for pair in (start, tuple(part[1] for part in turned))
        )
        rung = _powers(first, step, count).reshape(count, len(which), -1)
        total[:count] += rung.sum(axis=1) * _faded(count)[:, None]
    return total


def _faded(count: int) -> NDArray[np.float32]:
    """Return 1 falling to 0 in the last third, so that nothing ends with a click."""
    return np.minimum(1.0, (count - np.arange(count)) / (count // 3)).astype(np.float32)


def _residues(decay: Samples, angle: Samples) -> _Complex:
    """Return real and imaginary part of the weight of each pole in the cascade of all.

    Each resonator passes steady air unchanged; the lips pass on its change alone, which is the
    pole as a factor. Scaled so that an open vowel is about 1 loud.
    """
    square = decay * decay + angle * angle
    lips = _product(-decay, angle, 1.0 - decay / _BRIGHT, angle / _BRIGHT)
    real, imaginary = lips[1] * square / (angle * _OPEN), -lips[0] * square / (angle * _OPEN)
    for other in range(len(decay)):
        apart = decay[other] - decay
        below = apart * apart - angle * angle + angle[other] * angle[other]
        beside = 2 * apart * angle
        size = below * below + beside * beside
        size[other] = 1.0
        share = square[other] / size
        one, two = _product(real, imaginary, below * share, -beside * share)
        one[other], two[other] = real[other], imaginary[other]
        real, imaginary = one, two
    return real, imaginary


def _turned(decay: Samples, angle: Samples) -> _Complex:
    """Return e to the power of -decay + i angle, by its series and three squarings.

    The C library's own functions differ in the last bit from one to the next; these do not.
    """
    small, turn = -decay / 8, angle / 8
    real, imaginary = np.ones_like(decay), np.zeros_like(decay)
    for order in range(7, 0, -1):
        real, imaginary = _product(real, imaginary, small / order, turn / order)
        real += 1.0
    for _ in range(3):
        real, imaginary = _product(real, imaginary, real, imaginary)
    return real, imaginary


def _powers(first: _Complex, step: _Complex, count: int) -> NDArray[np.float32]:
    """Return the real part of x, x step, x step² …, `(count, n)` float32, by doubling."""
    real, imaginary = np.empty((2, count, len(first[0])), dtype=np.float32)
    real[0], imaginary[0] = first
    done = 1
    while done < count:
        more = min(done, count - done)
        one, two = (part.astype(np.float32) for part in step)
        new = slice(done, done + more)
        np.subtract(real[:more] * one, imaginary[:more] * two, out=real[new])
        if done + more < count:
            np.add(real[:more] * two, imaginary[:more] * one, out=imaginary[new])
        step = _product(*step, *step)
        done += more
    return real


def _product(real: Samples, imaginary: Samples, other: Samples, another: Samples) -> _Complex:
    """Return the product of two complex columns, rounded after every step as all processors do.

    numpy's own complex product is fused on some of them.
    """
    return real * other - imaginary * another, real * another + imaginary * other


def _noises(
    score: _Score, moves: Samples, shape: tuple[int, int], generator: np.random.Generator
) -> Samples:
    """Return what hisses: the noises, and the breath in the voice."""
    rate, length = shape
    loud = _lines(moves, np.arange(0, length, _BREATH_STEP) / rate)[0]
    air = np.diff(generator.random(length), prepend=0.5)
    total: Samples = (
        air * np.repeat(loud, _BREATH_STEP)[:length] * (0.005 + 0.03 * score.voice.breath)
    )
    for noise, colour in zip(score.noises, _colours(score.noises, rate), strict=True):
        first, count = int(noise.start * rate), int(noise.seconds * rate)
        white = (generator.random(count) - 0.5) * noise.loudness
        place = np.arange(count) / count
        white *= np.minimum(1.0, np.minimum(place * 6 + 0.2, (1 - place) * 3))
        for tap, strength in enumerate(colour.tolist()):
            total[first + tap : first + tap + count] += white * strength
    return total


def _colours(noises: Sequence[_Noise], rate: int) -> list[Samples]:
    """Return how each noise rings, `(taps,)`: every band through two equal resonators."""
    centre, width = np.array([band for noise in noises for band in noise.bands]).reshape(-1, 2).T
    decay = width * (_TAU / 2 / rate)
    gain = np.sqrt(96.0 * decay * decay * decay)  # so that each band is 1 loud of uniform noise
    gain = np.where(centre < 0.46 * rate, gain, 0.0)
    taps = int(_HISS_SECONDS * rate)
    rung = _powers((gain, np.zeros_like(gain)), _turned(decay, centre * (_TAU / rate)), taps)
    colours = []
    for noise in noises:
        own, rung = rung[:, : len(noise.bands)], rung[:, len(noise.bands) :]
        lasting = min(taps, int(rate / min(width for _, width in noise.bands)))
        place = np.arange(lasting)
        colour: Samples = own[:lasting].sum(axis=1) * place * (1 - place / lasting)
        colours.append(colour)
    return colours


def _lines(rows: Samples, times: Samples) -> Samples:
    """Return the columns behind the first, which is time, at some times, `(columns - 1, times)`.

    As `numpy.interp`, which fuses products and sums on some processors.
    """
    after = np.clip(np.searchsorted(rows[:, 0], times), 1, len(rows) - 1)
    start, end = rows[after - 1].T, rows[after].T
    share = np.clip((times - start[0]) / (end[0] - start[0]), 0.0, 1.0)
    lines: Samples = start[1:] + (end[1:] - start[1:]) * share
    return lines


def _added(waves: NDArray[np.float32], first: NDArray[np.int64], length: int) -> Samples:
    """Return `(length,)` with each column of waves added from its first sample on."""
    place = first + np.arange(len(waves))[:, None]
    flat = np.bincount(place.ravel(), weights=waves.ravel(), minlength=length)
    return flat[:length].astype(np.float64, copy=False)


def _doubled(samples: Samples) -> Samples:
    """Return samples at twice the rate, each new one on the cubic through its four neighbours."""
    padded = np.pad(samples, (1, 2))
    middle = (9.0 * (padded[1:-2] + padded[2:-1]) - (padded[:-3] + padded[3:])) / 16.0
    return np.stack([samples, middle], axis=1).ravel()


def _at_full_scale(samples: Samples) -> Samples:
    loudest: np.float64 = np.abs(samples).max()
    return samples / loudest


def _read(path: Path) -> Samples:
    """Return the samples of a WAV file of 16-bit PCM, none where there is no such file."""
    try:
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_768
    except (OSError, EOFError, wave.Error):
        return np.zeros(0)
