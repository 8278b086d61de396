"""Options of what a writer of maps learns from; the notebooks' parameters follow them."""

from dataclasses import dataclass
from typing import Literal

from workbench import options
from workbench.beatmap.maps.objects import DIFFICULTIES

Difficulty = Literal["Easy", "Normal", "Hard", "Expert", "ExpertPlus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Which charts a writer learns from, and how they are dealt.

    Attributes:
        vocabulary: Tokens: `extended` has 48 places a beat, `291` is older.
        min_difficulty: The easiest that is taken.
        max_difficulty: The hardest that is taken.
        characteristics: Those that are taken, with commas between; all when empty.
        min_bpm: Least tempo of a song, of its Info [0..].
        max_bpm: Greatest tempo of a song, of its Info [0..].
        min_score: Least score of a song that was rated [0..1].
        unrated: Take songs that nobody rated, as the game's own.
        modded: Take charts that need Mapping or Noodle Extensions, whose notes lie off the grid.
        min_notes: Charts with fewer notes are left out [0..].
        validation: Share of the songs that are held out to look at while training [0..1].
        test: Share of the songs that are held out for the end [0..1].
        hold_out: Songs held out to look at whatever their share: titles or keys, with commas.
        official_share: Share of the windows of an epoch that are of the game's own songs, where
            there are others too [0..1].
        score_power: Other songs come as often as their score to this power; 0 is all alike
            [0..16].
        unrated_score: Score that an unrated song counts for [0..1].
        style_songs: Mappers of at least as many songs have a style of their own; 0 is none [0..].
        batch_size: Windows of one rank in a step [1..].
        bucket_steps: Steps whose windows are sorted by length together; 1 is none [1..].
        pad_to: Tokens of a batch are padded to a multiple of this, so that shapes are few [1..].
        seed: Of the order and of what is hidden.
        bands: Bands of the spectrogram that are hidden in each window [0..16].
        band_bins: Bins of one at most [0..128].
        spans: Spans of time that are hidden in each window [0..16].
        span_columns: Columns of one at most [0..4096].
    """

    vocabulary: Literal["extended", "291"] = "extended"
    min_difficulty: Difficulty = "Easy"
    max_difficulty: Difficulty = "ExpertPlus"
    characteristics: str = "Standard"
    min_bpm: float = 0.0
    max_bpm: float = 10_000.0
    min_score: float = 0.0
    unrated: bool = True
    modded: bool = False
    min_notes: int = 1
    validation: float = 0.1
    test: float = 0.1
    hold_out: str = ""
    official_share: float = 0.2
    score_power: float = 1.0
    unrated_score: float = 0.5
    style_songs: int = 4
    batch_size: int = 32
    bucket_steps: int = 32
    pad_to: int = 32
    seed: int = 0
    bands: int = 2
    band_bins: int = 10
    spans: int = 2
    span_columns: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        if self.validation + self.test > 1:
            found.append(f"validation {self.validation:g} and test {self.test:g} are more than all")
        if self.min_bpm > self.max_bpm:
            found.append(f"min_bpm: {self.min_bpm:g} is above max_bpm {self.max_bpm:g}")
        if DIFFICULTIES.index(self.min_difficulty) > DIFFICULTIES.index(self.max_difficulty):
            found.append(
                f"min_difficulty: {self.min_difficulty} is above max_difficulty "
                f"{self.max_difficulty}"
            )
        options.refuse(found)

    @property
    def difficulties(self) -> tuple[str, ...]:
        """Those that are taken."""
        first, last = (DIFFICULTIES.index(d) for d in (self.min_difficulty, self.max_difficulty))
        return DIFFICULTIES[first : last + 1]

    @property
    def named_characteristics(self) -> tuple[str, ...]:
        """Those that are taken; none where all are."""
        return _names(self.characteristics)

    @property
    def named_songs(self) -> tuple[str, ...]:
        """Titles and keys of songs that are held out."""
        return _names(self.hold_out)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
