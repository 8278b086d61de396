"""A song with its maps, as values; and where its files come from.

A level is an Info, the audio that it names and a difficulty file for each beatmap, whatever their
versions; `reading.read_level` makes one of files. Units: `njs` is metres a second, `offset` (of a
jump) is beats, times of the audio are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.objects import Fault, Objects
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError


class MapFiles(Protocol):
    """The files of one level, by name, wherever they lie.

    Attributes:
        place: Where that is, for messages.
    """

    place: str

    def names(self) -> list[str]:
        """Return the names of all files, sorted, without folders."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            BeatmapError: It is missing or cannot be read; `kind` says which.
        """


class HeldFiles:
    """Files that are held in memory, as those that a writer has made."""

    def __init__(self, files: Mapping[str, bytes], place: str = "memory") -> None:
        self.place = place
        self._files = dict(files)

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            BeatmapError: There is none of that name.
        """
        try:
            return self._files[name]
        except KeyError:
            raise BeatmapError(f"{self.place}: {name} is missing", "missing_file") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beatmap:
    """One difficulty of a level.

    Attributes:
        characteristic: One of `objects.CHARACTERISTICS`, or the file's own word.
        difficulty: One of `objects.DIFFICULTIES`, or the file's own word.
        rank: 1, 3, 5, 7, 9 for Easy to ExpertPlus; what an old file carries.
        label: The mapper's own name for it, or none.
        njs: Note jump speed, metres a second; 0 leaves it to the game.
        offset: Of a jump's start, beats.
        mappers: Who placed the objects.
        lighters: Who placed the lights.
        requirements: Mods without which it cannot be played.
        suggestions: Mods that it can use.
        file: The difficulty's file.
        version: Its format's, as `3.3.0`, or none.
        objects: What is played.
        time_map: When.
        flags: What the objects or the requirements show: `mapping_extensions`, `noodle`,
            `chroma`, `fakes` (left out), `lane_rotation` (of v4's objects themselves),
            `editor_tempo` (changes of an editor's grid, which move nothing).
        faults: What is wrong with it or odd.
        document: The whole file with what is not played, or None if it could not be read.
        lightshow_file: The lights' file in v4, or none.
        lightshow: That file whole, or None.
    """

    characteristic: str
    difficulty: str
    rank: int
    label: str
    njs: float
    offset: float
    mappers: tuple[str, ...]
    lighters: tuple[str, ...]
    requirements: tuple[str, ...]
    suggestions: tuple[str, ...]
    file: str
    version: str
    objects: Objects
    time_map: TimeMap
    flags: tuple[str, ...]
    faults: tuple[Fault, ...]
    document: Document | None = field(default=None, repr=False)
    lightshow_file: str = ""
    lightshow: Document | None = field(default=None, repr=False)

    @property
    def is_readable(self) -> bool:
        """Whether the difficulty's file could be read at all."""
        return self.document is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A song and its beatmaps.

    Attributes:
        title: Of the song.
        subtitle: Of the song.
        artist: Of the song.
        mapper: Of the level; where the Info names none, its beatmaps' mappers.
        bpm: The Info's tempo.
        song_time_offset: By how much the audio is shifted, seconds; 0 in nearly all levels.
        audio: The audio's file name.
        cover: The cover's file name.
        duration: Of the audio as the files say, seconds; 0 if they do not.
        preview_start: Seconds.
        preview_duration: Seconds.
        environment: The first or only one.
        version: The Info's, or none.
        level_hash: The map service's own hash of the level, hexadecimal in lower case.
        time_map: Of the audio data where it says one, else the steady tempo of the Info.
        beatmaps: In the order of the Info, also those that could not be read.
        faults: Of the level; those of a beatmap lie with it.
        info: The whole Info.
        info_file: Its name, `Info.dat` in nearly all levels.
        audio_data: The whole AudioData or BPMInfo file, or None.
        audio_data_file: Its name, or none.
        place: Where the files lay.
    """

    title: str
    subtitle: str
    artist: str
    mapper: str
    bpm: float
    song_time_offset: float
    audio: str
    cover: str
    preview_start: float
    preview_duration: float
    environment: str
    version: str
    level_hash: str
    time_map: TimeMap
    beatmaps: tuple[Beatmap, ...]
    faults: tuple[Fault, ...]
    place: str
    duration: float = 0.0
    info: Document | None = field(default=None, repr=False)
    info_file: str = "Info.dat"
    audio_data: Document | None = field(default=None, repr=False)
    audio_data_file: str = ""

    def all_faults(self) -> tuple[Fault, ...]:
        """Return the faults of the level, then those of its beatmaps."""
        return self.faults + tuple(fault for beatmap in self.beatmaps for fault in beatmap.faults)
