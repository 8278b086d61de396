"""Tunes made by the program itself: drums, a bass and chords, every onset of them known.

Units: a `beat` is a quarter note, 0 at the start of the audio; a `slot` is 1/48 of a beat, which
holds thirty-seconds and triplets alike; `metre` is beats a bar; `bpm` is beats a minute; pitches
are MIDI's, and General MIDI's where they are drums; velocities are 1 to 127. A tune is phrases of
four bars, of one intensity each, with a fill at the end; the first bar counts in. Only uniform
random numbers, sums and rounding decide the onsets, so a seed gives the same ones everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.music.synthesiser import render_drums

SLOTS = 48  # a beat
PARTS = ("drum", "bass", "chord")
KICK, SNARE, HAT, OPEN_HAT, CRASH = 36, 38, 42, 46, 49
TAIL_SECONDS = 1.2  # of sound after the last bar

TempoKind = Literal["steady", "stepping", "drifting"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Samples = NDArray[np.float32]
_Choice = TypeVar("_Choice")

_DRUM, _BASS, _CHORD = range(3)
_PHRASE = 4  # bars
_PITCHES = {"K": KICK, "k": KICK, "S": SNARE, "H": HAT, "O": OPEN_HAT}
_VELOCITIES = (0, 20, 32, 44, 56, 70, 84, 98, 112, 124)  # of the levels in a tab
_PEAK = 0.89
_STEPS = (0.75, 1.0, 1.1, 1.25, 4 / 3)  # of the first tempo, where it changes

# A line is a voice and its bar in sixteenths, 1 to 9 a level. `k` and `O` come in loud phrases
# only, `S` stays away from quiet ones.
_GROOVES: Mapping[int, tuple[str, ...]] = {
    4: (
        "K 9.......8.6.....\nk ......6.......6.\nS ....8.......8...\nH 6.4.6.4.6.4.6.4.",
        "K 9...9...9...9...\nk ..............6.\nS ....7.......7..5\nO ..6...6...6...6.",
        "K 8..6....8..6....\nk .........6....6.\nS ....8..3....8...\nH 6.5.6.5.6.5.6.5.",
        "K 9.....7...8.....\nk ..............7.\nS ....8.......8..4\nH 5454545454545454",
        "K 8.6.....8.......\nk ......6...6.....\nS ....8.......8.6.\nO ..5...5...5...5.",
    ),
    3: (
        "K 9...........\nk ......6.....\nS ....7...7...\nH 6.4.6.4.6.4.",
        "K 9.....6.....\nk ..........6.\nS ....6...8...\nO ..5...5...5.",
    ),
}
_STRAIGHT_FILLS = ("SSSSTTMF", "SSTTMMFF", "S.SST.MF", "SSKSSKSF", "STMFSTMF")  # two beats each
_TRIPLET_FILLS = ("SSTTMF", "STMSTF", "SSSTMF", "SKSSKF")
_FILL_PITCHES = {"S": SNARE, "K": KICK, "T": 50, "M": 47, "F": 43}
_TRIPLETS = 0.35  # share of fills

_MAJOR, _MINOR = (0, 4, 7), (0, 3, 7)
_PROGRESSIONS = (
    ((0, _MINOR), (8, _MAJOR), (3, _MAJOR), (10, _MAJOR)),
    ((0, _MAJOR), (7, _MAJOR), (9, _MINOR), (5, _MAJOR)),
    ((0, _MINOR), (5, _MINOR), (10, _MAJOR), (3, _MAJOR)),
    ((0, _MINOR), (10, _MAJOR), (8, _MAJOR), (7, _MAJOR)),
)
_STABS = {4: (0.0, 1.5, 3.0), 3: (0.0, 1.5)}  # beats of a loud bar on which chords are struck


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """A tempo and its changes.

    Attributes:
        beats: Where each begins; the first is 0.
        bpms: How fast each is.
    """

    beats: tuple[float, ...]
    bpms: tuple[float, ...]

    def seconds_at(self, beats: ArrayLike) -> _Floats:
        """Return when beats sound, seconds from the start of the audio, in the same shape."""
        wanted = np.asarray(beats, np.float64)
        starts, bpms = np.array(self.beats), np.array(self.bpms)
        passed = np.append(0.0, np.cumsum(np.diff(starts) * 60 / bpms[:-1]))
        at = np.maximum(np.searchsorted(starts, wanted, side="right") - 1, 0)
        seconds: _Floats = passed[at] + (wanted - starts[at]) * 60 / bpms[at]
        return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """What is played, all columns `(n,)` int64, in time.

    Attributes:
        slot: When.
        part: Who plays it, a place in `PARTS`.
        pitch: What.
        velocity: How loud.
        length: How long, slots; 0 of a drum.
    """

    slot: _Ints
    part: _Ints
    pitch: _Ints
    velocity: _Ints
    length: _Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """A piece of music.

    Attributes:
        tempo: Its tempo and changes.
        metre: Beats a bar, 4 or 3.
        bars: How many.
        intensity: 1 quiet to 3 loud, one number a bar; 0 is the count-in.
        hits: Every onset.
    """

    tempo: Tempo
    metre: int
    bars: int
    intensity: tuple[int, ...]
    hits: Hits

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return float(self.tempo.seconds_at(self.bars * self.metre)) + TAIL_SECONDS

    def samples(self, sample_rate: int) -> _Samples:
        """Return the tune as sound.

        Args:
            sample_rate: Hz, 8000 to 192000.

        Returns:
            `(samples,)` float32, mono, its peak at -1 dB.
        """
        onset = self.tempo.seconds_at(self.hits.slot / SLOTS)
        end = self.tempo.seconds_at((self.hits.slot + self.hits.length) / SLOTS)
        is_drum = self.hits.part == _DRUM
        mix = 0.7 * render_drums(
            onset[is_drum],
            self.hits.pitch[is_drum],
            self.hits.velocity[is_drum],
            sample_rate=sample_rate,
            seconds=self.seconds,
        )
        for hit in np.flatnonzero(~is_drum):
            start = round(onset[hit] * sample_rate)
            held = round((end[hit] - onset[hit]) * sample_rate)
            tone = _tone(int(self.hits.part[hit]), int(self.hits.pitch[hit]), held, sample_rate)
            heard = tone[: len(mix) - start]
            mix[start : start + len(heard)] += heard * np.float32(self.hits.velocity[hit] / 127)
        loudest: _Samples = mix * np.float32(_PEAK / np.abs(mix).max())
        return loudest


def compose(
    *, bpm: float, kind: TempoKind, metre: int, seconds: float, generator: np.random.Generator
) -> Tune:
    """Return a new tune.

    Args:
        bpm: Its first tempo.
        kind: Whether it stays, changes at a few bars, or a little at every bar.
        metre: Beats a bar, 4 or 3.
        seconds: About how long it is.
        generator: Decides the rest.
    """
    bars = max(4, 2 * round(seconds * bpm / 60 / metre / 2))
    tempo = _tempo(bpm, kind, bars, metre, generator)
    intensity = _intensity(bars, generator)
    found = sorted(
        (*_drums(intensity, metre, generator), *_harmony(intensity, metre, generator)),
        key=lambda hit: hit[:3],
    )
    columns = np.array(found, np.int64).T
    hits = Hits(
        slot=columns[0],
        part=columns[1],
        pitch=columns[2],
        velocity=columns[3],
        length=columns[4],
    )
    return Tune(tempo=tempo, metre=metre, bars=bars, intensity=intensity, hits=hits)


_Hit = tuple[int, int, int, int, int]


def _tempo(
    bpm: float, kind: TempoKind, bars: int, metre: int, generator: np.random.Generator
) -> Tempo:
    if kind == "steady":
        return Tempo(beats=(0.0,), bpms=(bpm,))
    if kind == "drifting":
        drift = [bpm] + [
            round(bpm * (0.97 + 0.06 * float(draw)), 3) for draw in generator.random(bars - 1)
        ]
        return Tempo(beats=tuple(float(bar * metre) for bar in range(bars)), bpms=tuple(drift))
    places = sorted({0, bars // 3, 2 * bars // 3})
    factors = [1.0]
    for _ in places[1:]:
        factors.append(_pick([f for f in _STEPS if f != factors[-1]], generator))
    return Tempo(
        beats=tuple(float(bar * metre) for bar in places),
        bpms=tuple(round(bpm * factor, 2) for factor in factors),
    )


def _intensity(bars: int, generator: np.random.Generator) -> tuple[int, ...]:
    phrases = -(-bars // _PHRASE)
    level, levels = 1 + (generator.random() < 0.5), []
    for phrase in range(phrases):
        levels.append(3 if phrase == phrases - 1 and phrases > 1 else level)
        level = _pick([other for other in (1, 2, 3) if other != level], generator)
    return (0, *(levels[bar // _PHRASE] for bar in range(1, bars)))


def _drums(intensity: Sequence[int], metre: int, generator: np.random.Generator) -> Iterator[_Hit]:
    groove = _tab(_pick(_GROOVES[metre], generator))
    bar_slots = metre * SLOTS
    for bar, level in enumerate(intensity):
        start = bar * bar_slots
        if level == 0:
            yield from ((start + beat * SLOTS, _DRUM, HAT, 90, 0) for beat in range(metre))
            continue
        if intensity[bar - 1] != level and level > 1:
            yield start, _DRUM, CRASH, 110, 0
        ends_phrase = bar % _PHRASE == _PHRASE - 1 or bar == len(intensity) - 1
        until = bar_slots - 2 * SLOTS if ends_phrase else bar_slots
        for voice, slot, loudness in groove:
            if slot < until and _sounds(voice, level):
                yield start + slot, _DRUM, _PITCHES[voice], _VELOCITIES[loudness], 0
        if ends_phrase:
            yield from _fill(start + until, generator)


def _sounds(voice: str, level: int) -> bool:
    """Return whether a voice plays in a phrase of some intensity."""
    return {"k": level == 3, "O": level == 3, "S": level > 1}.get(voice, True)


def _fill(start: int, generator: np.random.Generator) -> Iterator[_Hit]:
    is_triplet = generator.random() < _TRIPLETS
    path = _pick(_TRIPLET_FILLS if is_triplet else _STRAIGHT_FILLS, generator)
    step = 2 * SLOTS // len(path)
    for place, voice in enumerate(path):
        if voice in _FILL_PITCHES:
            yield start + place * step, _DRUM, _FILL_PITCHES[voice], 84 + 4 * place, 0


def _harmony(
    intensity: Sequence[int], metre: int, generator: np.random.Generator
) -> Iterator[_Hit]:
    """Yield bass and chords of every bar but the count-in."""
    progression = _pick(_PROGRESSIONS, generator)
    key = int(12 * generator.random())
    pattern = _bass_pattern(metre, generator)
    bar_slots = metre * SLOTS
    for bar, level in enumerate(intensity):
        if level == 0:
            continue
        root, triad = progression[bar % len(progression)]
        struck = [round(beat * SLOTS) for beat in (_STABS[metre] if level == 3 else (0.0,))]
        for slot, length in _lengths(struck, bar_slots):
            for third in triad:
                pitch = 57 + (key + root + third - 57) % 12
                yield bar * bar_slots + slot, _CHORD, pitch, 60 + 10 * level, length
        struck = [slot for slot in pattern if level > 1 or slot % SLOTS == 0]
        for slot, length in _lengths(struck, bar_slots):
            pitch = 33 + (key + root - 33) % 12
            yield bar * bar_slots + slot, _BASS, pitch, 100, min(length, SLOTS)


def _bass_pattern(metre: int, generator: np.random.Generator) -> list[int]:
    eighths = generator.random(2 * metre)
    return [n * SLOTS // 2 for n in range(2 * metre) if n == 0 or eighths[n] < 0.6]


def _lengths(slots: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    """Yield each slot with how long it is until the next, or the end."""
    yield from ((at, after - at) for at, after in zip(slots, [*slots[1:], end], strict=True))


@lru_cache(maxsize=64)
def _tab(text: str) -> tuple[tuple[str, int, int], ...]:
    """Return voice, slot and level of every hit in a tab."""
    sixteenth = SLOTS // 4
    lines = (line.split() for line in text.splitlines())
    return tuple(
        (voice, place * sixteenth, int(level))
        for voice, bar in lines
        for place, level in enumerate(bar)
        if level != "."
    )


@lru_cache(maxsize=512)
def _tone(part: int, pitch: int, length: int, sample_rate: int) -> _Samples:
    """Return a note of bass or chord that fades within 30 ms of its end."""
    release = round(0.03 * sample_rate)
    at = np.arange(length + release, dtype=np.float32) / np.float32(sample_rate)
    turns = np.arange(length + release) * (440 * 2 ** ((pitch - 69) / 12) / sample_rate)
    if part == _BASS:  # its overtones die away first
        wave = _turned(turns, 2) * np.exp(-2 * at) + _turned(turns, 6, least=3) * np.exp(-7 * at)
        attack, loudness = 0.004, 0.3
    else:  # two voices a little apart, so that it moves
        wave = (_turned(turns, 4) + _turned(1.004 * turns, 4)) * np.exp(-1.2 * at)
        attack, loudness = 0.012, 0.05
    envelope = np.minimum(1, at / attack) * np.minimum(1, (at[-1] - at) * sample_rate / release)
    tone: _Samples = (loudness * wave * envelope).astype(np.float32)
    tone.setflags(write=False)
    return tone


def _turned(turns: NDArray[Any], most: int, *, least: int = 1) -> NDArray[Any]:
    """Return a wave of some overtones after so many turns."""
    table = _table(least, most)
    return table[(turns * len(table)).astype(np.int64) % len(table)]


@cache
def _table(least: int, most: int) -> _Samples:
    """Return one turn of a wave whose overtones grow weaker."""
    angle = 2 * np.pi * np.arange(4096) / 4096
    table: _Samples = np.zeros(4096, np.float32)
    for overtone in range(least, most + 1):
        table += np.sin(overtone * angle).astype(np.float32) / np.float32(overtone)
    return table


def _pick(choices: Sequence[_Choice], generator: np.random.Generator) -> _Choice:
    return choices[int(generator.random() * len(choices))]
