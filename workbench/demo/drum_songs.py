"""Drum songs with maps that follow them exactly: a task whose every answer is in the sound.

At each quarter of a beat there may be a kick, which the left hand cuts, or a hat, which the right
hand cuts, and nothing else sounds but a little noise. Who hears the drums can write the map; who
does not can only guess. Onsets are the same in sound and map, and no two songs are alike.

Units: tempi in beats a minute. A song's numbers come from (seed, its number) alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench import options
from workbench.caching.files import refuse_other, replacing_folder
from workbench.demo.mapfiles import json_bytes
from workbench.music.synthesiser import render_drums
from workbench.music.vorbis import vorbis_bytes

MADE_BY = "made_by.json"
MAPS = "maps"

_FORMAT = 1
_RATE = 22_050
_KICK, _HAT = 36, 42
_QUARTER = 4  # places a beat
_NOISE = 0.002
_DOWN, _UP = 1, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumSongOptions:
    """How many drum songs are made, and what they are like.

    Attributes:
        songs: How many [1..].
        beats: Length of each [8..].
        min_bpm: Least tempo, whole beats a minute [30..].
        max_bpm: Greatest tempo [30..400].
        kicks: Share of the places with a kick [0..1].
        hats: Share with a hat [0..1].
        seed: Of all of it [0..].
    """

    songs: int = 68
    beats: int = 64
    min_bpm: int = 90
    max_bpm: int = 179
    kicks: float = 0.25
    hats: float = 0.20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        if self.min_bpm > self.max_bpm:
            found.append(f"min_bpm: {self.min_bpm} is above max_bpm {self.max_bpm}")
        if self.kicks + self.hats > 1:
            found.append(f"kicks {self.kicks:g} and hats {self.hats:g} are more than all places")
        options.refuse(found)


def make_drum_songs(folder: Path, options: DrumSongOptions) -> Path:
    """Fill a folder with drum songs and their maps, unless these very songs are there already.

    Returns:
        The folder of maps within it.

    Raises:
        CachingError: Something else lies at this place, or it cannot be written.
    """
    refuse_other(folder, known_by=MADE_BY)
    made_by = json.dumps({"format": _FORMAT, **asdict(options)}, indent=1) + "\n"
    told = folder / MADE_BY
    if not told.exists() or told.read_text(encoding="utf-8") != made_by:
        with replacing_folder(folder) as scratch:
            for number in range(options.songs):
                _write_song(scratch / MAPS / f"song_{number:03d}", options, number)
            (scratch / MADE_BY).write_text(made_by, encoding="utf-8", newline="\n")
    return folder / MAPS


def _write_song(folder: Path, options: DrumSongOptions, number: int) -> None:
    generator = np.random.default_rng((options.seed, number))
    bpm = int(generator.integers(options.min_bpm, options.max_bpm + 1))
    chances = generator.random(options.beats * _QUARTER)
    is_kick = chances < options.kicks
    is_hat = ~is_kick & (chances < options.kicks + options.hats)
    place = np.flatnonzero(is_kick | is_hat)
    drum = np.where(is_kick[place], _KICK, _HAT)
    seconds = options.beats * 60 / bpm
    sound = render_drums(
        place / _QUARTER * 60 / bpm,
        drum,
        np.full(len(place), 100),
        sample_rate=_RATE,
        seconds=seconds,
        seed=number,
    )
    sound = sound + generator.normal(0, _NOISE, len(sound)).astype(np.float32)
    folder.mkdir(parents=True)
    (folder / "song.egg").write_bytes(vorbis_bytes(sound, _RATE))
    (folder / "Info.dat").write_bytes(json_bytes(_info(bpm, number)))
    (folder / "Expert.dat").write_bytes(json_bytes(_difficulty(place, is_hat[place])))


def _difficulty(place: np.ndarray, is_hat: np.ndarray) -> dict[str, object]:
    """Return a difficulty in format 2; each hand goes down and up in turn."""
    notes, turns = [], [0, 0]
    for at, hand in zip(place.tolist(), is_hat.astype(int).tolist(), strict=True):
        way = _UP if turns[hand] % 2 else _DOWN
        turns[hand] += 1
        note = {"_time": at / _QUARTER, "_lineIndex": 1 + hand, "_lineLayer": 0}
        notes.append(note | {"_type": hand, "_cutDirection": way})
    return {"_version": "2.0.0", "_notes": notes, "_obstacles": [], "_events": []}


def _info(bpm: int, number: int) -> dict[str, object]:
    chart = {
        "_difficulty": "Expert",
        "_difficultyRank": 7,
        "_beatmapFilename": "Expert.dat",
        "_noteJumpMovementSpeed": 14,
        "_noteJumpStartBeatOffset": 0,
    }
    return {
        "_version": "2.0.0",
        "_songName": f"Drum song {number}",
        "_songSubName": "",
        "_songAuthorName": "demo",
        "_levelAuthorName": "demo",
        "_beatsPerMinute": bpm,
        "_songTimeOffset": 0,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": 4,
        "_previewDuration": 8,
        "_songFilename": "song.egg",
        "_coverImageFilename": "",
        "_environmentName": "DefaultEnvironment",
        "_difficultyBeatmapSets": [
            {"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [chart]}
        ],
    }
