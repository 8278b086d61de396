"""Thai syllables: how each is written, and the movements of a mouth that says it.

Units: formants and bands of noise in Hz, of a man's mouth; seconds at a calm pace; loudness from
0 to 1, of an open vowel. All vowels are long. A syllable is written the way Thai spelling derives
the tone: from the class of the first letter, the tone mark, and whether the syllable ends in a
stop (Haas, The Thai System of Writing, 1956). Formants after Abramson, The Vowels and Tones of
Standard Thai (1962), noises after Klatt (JASA 67, 1980), rounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

Formants = tuple[float, float, float]
Bands = tuple[tuple[float, float], ...]  # centre and width of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Vowel:
    """A long vowel.

    Attributes:
        open: How it is written at the end of a syllable; `{c}` is the first letter, `{t}` the mark.
        closed: How it is written before a final letter.
        formants: The first three.
        loudness: Of the voice, beside what an open vowel takes to be as loud.
    """

    open: str
    closed: str
    formants: Formants
    loudness: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """What a syllable begins with.

    Attributes:
        letters: Its letters, each with its class: mid, high or low.
        closure: How long the mouth is closed or narrow, in seconds.
        murmur: How loud the voice sounds meanwhile.
        formants: Where the mouth comes from, or None where it does what the vowel does.
        noise: How long it hisses before the voice begins, in seconds.
        hiss: How loud that is.
        bands: Of which bands the noise is; of the vowel's formants when empty.
    """

    letters: Mapping[str, str]
    closure: float = 0.055
    murmur: float = 0.0
    formants: Formants | None = None
    noise: float = 0.0
    hiss: float = 0.0
    bands: Bands = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coda:
    """What a syllable ends with.

    Attributes:
        letter: How it is written.
        formants: Where the mouth goes.
        murmur: How loud the voice goes on; a stop is silent.
    """

    letter: str
    formants: Formants
    murmur: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Syllable:
    """One syllable.

    Attributes:
        onset: A name in `ONSETS`.
        vowel: A name in `VOWELS`.
        coda: A name in `CODAS`, or empty.
        tone: A name in `TONES`.
        thai: How it is written in Thai; no other syllable is written so.
    """

    onset: str
    vowel: str
    coda: str
    tone: str
    thai: str

    @property
    def roman(self) -> str:
        """How it is written in Latin letters, without its tone."""
        return self.onset.replace("'", "") + self.vowel + self.coda


_P, _T, _K = (250, 850, 2200), (250, 1750, 2700), (250, 1900, 2350)
_PALATAL = (250, 2050, 2850)
_P_BURST, _T_BURST, _K_BURST = ((800, 500),), ((3900, 1100),), ((1800, 450),)
_C_BURST = ((3000, 700), (4400, 1200))

# The pitch at start, middle and end of a vowel, beside the voice's own.
TONES: Mapping[str, tuple[float, float, float]] = {
    "mid": (1.0, 0.98, 0.95),
    "low": (0.95, 0.86, 0.80),
    "falling": (1.12, 1.16, 0.84),
    "high": (1.02, 1.08, 1.19),
    "rising": (0.90, 0.82, 1.08),
}

VOWELS: Mapping[str, Vowel] = {
    "aa": Vowel(open="{c}{t}า", closed="{c}{t}า", formants=(820, 1350, 2500)),
    "ii": Vowel(open="{c}ี{t}", closed="{c}ี{t}", formants=(300, 2250, 3000), loudness=1.7),
    "ue": Vowel(open="{c}ื{t}อ", closed="{c}ื{t}", formants=(340, 1400, 2400), loudness=1.5),
    "uu": Vowel(open="{c}ู{t}", closed="{c}ู{t}", formants=(330, 760, 2350), loudness=1.3),
    "ee": Vowel(open="เ{c}{t}", closed="เ{c}{t}", formants=(440, 2050, 2650), loudness=1.3),
    "ae": Vowel(open="แ{c}{t}", closed="แ{c}{t}", formants=(680, 1800, 2500)),
    "oo": Vowel(open="โ{c}{t}", closed="โ{c}{t}", formants=(460, 850, 2450), loudness=1.2),
    "aw": Vowel(open="{c}{t}อ", closed="{c}{t}อ", formants=(640, 1000, 2500)),
    "oe": Vowel(open="เ{c}{t}อ", closed="เ{c}ิ{t}", formants=(490, 1350, 2450), loudness=1.2),
}

ONSETS: Mapping[str, Onset] = {
    "p": Onset(letters={"ป": "mid"}, formants=_P, noise=0.012, hiss=0.1, bands=_P_BURST),
    "t": Onset(letters={"ต": "mid"}, formants=_T, noise=0.014, hiss=0.12, bands=_T_BURST),
    "k": Onset(letters={"ก": "mid"}, formants=_K, noise=0.022, hiss=0.12, bands=_K_BURST),
    "c": Onset(letters={"จ": "mid"}, formants=_PALATAL, noise=0.04, hiss=0.15, bands=_C_BURST),
    "ph": Onset(letters={"ผ": "high", "พ": "low"}, formants=_P, noise=0.065, hiss=0.08),
    "th": Onset(letters={"ถ": "high", "ท": "low"}, formants=_T, noise=0.065, hiss=0.09),
    "kh": Onset(letters={"ข": "high", "ค": "low"}, formants=_K, noise=0.075, hiss=0.1),
    "ch": Onset(
        letters={"ฉ": "high", "ช": "low"}, formants=_PALATAL, noise=0.1, hiss=0.2, bands=_C_BURST
    ),
    "b": Onset(letters={"บ": "mid"}, formants=_P, murmur=0.1),
    "d": Onset(letters={"ด": "mid"}, formants=_T, murmur=0.1),
    "'": Onset(letters={"อ": "mid"}, closure=0.03),
    "f": Onset(
        letters={"ฝ": "high", "ฟ": "low"},
        closure=0.005,
        formants=_P,
        noise=0.1,
        hiss=0.04,
        bands=((1500, 1500), (5500, 2000)),
    ),
    "s": Onset(
        letters={"ส": "high", "ซ": "low"},
        closure=0.005,
        formants=_T,
        noise=0.115,
        hiss=0.25,
        bands=((5200, 1000), (6900, 1500)),
    ),
    "h": Onset(letters={"ห": "high", "ฮ": "low"}, closure=0.005, noise=0.07, hiss=0.1),
    "m": Onset(letters={"ม": "low"}, closure=0.065, murmur=0.3, formants=(250, 1050, 2200)),
    "n": Onset(letters={"น": "low"}, closure=0.065, murmur=0.3, formants=(250, 1500, 2550)),
    "ng": Onset(letters={"ง": "low"}, closure=0.065, murmur=0.3, formants=(250, 2000, 2600)),
    "y": Onset(letters={"ย": "low"}, murmur=0.5, formants=(280, 2150, 2900)),
    "r": Onset(letters={"ร": "low"}, closure=0.04, murmur=0.4, formants=(350, 1250, 1700)),
    "l": Onset(letters={"ล": "low"}, murmur=0.45, formants=(350, 1250, 2700)),
    "w": Onset(letters={"ว": "low"}, murmur=0.5, formants=(300, 700, 2200)),
}

CODAS: Mapping[str, Coda] = {
    "m": Coda(letter="ม", formants=(250, 1050, 2200), murmur=0.3),
    "n": Coda(letter="น", formants=(250, 1500, 2550), murmur=0.3),
    "ng": Coda(letter="ง", formants=(250, 2000, 2600), murmur=0.3),
    "p": Coda(letter="บ", formants=_P),
    "t": Coda(letter="ด", formants=_T),
    "k": Coda(letter="ก", formants=_K),
}

_MARKS = {
    "mid": {"mid": "", "low": "่", "falling": "้", "high": "๊", "rising": "๋"},
    "high": {"rising": "", "low": "่", "falling": "้"},
    "low": {"mid": "", "falling": "่", "high": "้"},
}
_STOPPED_TONES = {"mid": "low", "high": "low", "low": "falling"}  # long vowel, no mark


@cache
def all_syllables() -> tuple[Syllable, ...]:
    """Return every syllable that the tables can spell, always in the same order."""
    return tuple(
        Syllable(
            onset=onset,
            vowel=vowel,
            coda=coda,
            tone=tone,
            thai=_spelled(letter, mark, vowel, coda),
        )
        for onset, known in ONSETS.items()
        for letter, letter_class in known.letters.items()
        for vowel in VOWELS
        for coda in ("", *CODAS)
        for tone, mark in _tones(letter_class, coda).items()
    )


def draw_phrases(count: int, generator: np.random.Generator) -> tuple[tuple[Syllable, ...], ...]:
    """Return some syllables in phrases of 3 to 7.

    Args:
        count: How many syllables, at least one.
        generator: Decides which, and where one takes breath.
    """
    known = all_syllables()
    drawn = [known[int(draw * len(known))] for draw in generator.random(count)]
    phrases = []
    while drawn:
        size = 3 + int(generator.random() * 5)
        size = size if len(drawn) - size > 1 else len(drawn)
        phrases.append(tuple(drawn[:size]))
        del drawn[:size]
    return tuple(phrases)


def written(phrases: tuple[tuple[Syllable, ...], ...], *, in_thai: bool) -> str:
    """Return a transcript: Thai has blanks between phrases only, Latin script between syllables."""
    if in_thai:
        return " ".join("".join(syllable.thai for syllable in phrase) for phrase in phrases)
    return ", ".join(" ".join(syllable.roman for syllable in phrase) for phrase in phrases)


def _tones(letter_class: str, coda: str) -> Mapping[str, str]:
    """Return the tones that can be written, and the mark of each."""
    if coda and not CODAS[coda].murmur:
        return {_STOPPED_TONES[letter_class]: ""}
    return _MARKS[letter_class]


def _spelled(letter: str, mark: str, vowel: str, coda: str) -> str:
    frame = VOWELS[vowel].closed if coda else VOWELS[vowel].open
    return frame.format(c=letter, t=mark) + (CODAS[coda].letter if coda else "")
