"""Info files of v1, v2 and v4; there is no v3, whose difficulties lie under a v2 Info."""

from msgspec import Raw, Struct, field

from workbench.beatmap.maps.schemas.values import ByParts, Int, Record


class OldLevel(ByParts):
    """A difficulty of v1."""

    difficulty: str = ""
    difficultyRank: Int | None = None
    audioPath: str = ""
    jsonPath: str = ""
    characteristic: str = ""


class OldInfo(Record):
    """The file of v1, `info.json`."""

    songName: str = ""
    songSubName: str = ""
    authorName: str = ""
    beatsPerMinute: float = 0.0
    previewStartTime: float = 0.0
    previewDuration: float = 0.0
    coverImagePath: str = ""
    environmentName: str = ""
    oneSaber: bool = False
    difficultyLevels: list[OldLevel] | None = None


class Custom(ByParts):
    """What mods and editors say of a difficulty, in either version's words."""

    requirements: list[str] | None = None
    suggestions: list[str] | None = None
    difficultyLabel: str | None = None
    _requirements: list[str] | None = None
    _suggestions: list[str] | None = None
    _difficultyLabel: str | None = None


class SetDifficulty(ByParts):
    """A difficulty of v2."""

    _difficulty: str = ""
    _difficultyRank: Int | None = None
    _beatmapFilename: str = ""
    _noteJumpMovementSpeed: float = 0.0
    _noteJumpStartBeatOffset: float = 0.0
    _customData: Raw = Raw()


class DifficultySet(Record):
    """The difficulties of v2 that share a characteristic."""

    _beatmapCharacteristicName: str = ""
    _difficultyBeatmaps: list[SetDifficulty] | None = None


class SetInfo(Record):
    """The file of v2."""

    _version: str | None = None
    _songName: str = ""
    _songSubName: str = ""
    _songAuthorName: str = ""
    _levelAuthorName: str = ""
    _beatsPerMinute: float = 0.0
    _songTimeOffset: float = 0.0
    _previewStartTime: float = 0.0
    _previewDuration: float = 0.0
    _songFilename: str = ""
    _coverImageFilename: str = ""
    _environmentName: str = ""
    _difficultyBeatmapSets: list[DifficultySet] | None = None


class Song(ByParts):
    """Who made it."""

    title: str = ""
    subTitle: str = ""
    author: str = ""


class Audio(ByParts):
    """The song's file."""

    songFilename: str = ""
    songDuration: float = 0.0
    audioDataFilename: str = ""
    bpm: float = 0.0
    previewStartTime: float = 0.0
    previewDuration: float = 0.0


class Authors(ByParts):
    """Who made a difficulty."""

    mappers: list[str] | None = None
    lighters: list[str] | None = None


class FlatDifficulty(ByParts):
    """A difficulty of v4."""

    characteristic: str = ""
    difficulty: str = ""
    beatmapAuthors: Authors | None = None
    noteJumpMovementSpeed: float = 0.0
    noteJumpStartBeatOffset: float = 0.0
    beatmapDataFilename: str = ""
    lightshowDataFilename: str = ""
    customData: Raw = Raw()


class FlatInfo(Struct):
    """The file of v4."""

    version: str | None = None
    song: Song = field(default_factory=Song)
    audio: Audio = field(default_factory=Audio)
    coverImageFilename: str = ""
    environmentNames: list[str] | None = None
    difficultyBeatmaps: list[FlatDifficulty] | None = None
