"""What an Info of any version says, in one form."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from workbench.beatmap.maps.decoding import Found, SchemaDecoder
from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.objects import CHARACTERISTICS, DIFFICULTIES, RANKS
from workbench.beatmap.maps.schemas import info

_V1 = SchemaDecoder(info.OldInfo)
_V2 = SchemaDecoder(info.SetInfo)
_V4 = SchemaDecoder(info.FlatInfo)
_CUSTOM = SchemaDecoder(info.Custom)
_CHARACTERISTICS = {name.lower(): name for name in CHARACTERISTICS}
_DIFFICULTIES = {name.lower(): name for name in DIFFICULTIES} | {"expert+": "ExpertPlus"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A difficulty as the Info lists it.

    Attributes:
        path: Where in the Info.
        characteristic: As the Info spells it.
        difficulty: As the Info spells it.
        rank: Or None.
        njs: Metres a second.
        offset: Beats.
        mappers: Who placed objects.
        lighters: Who placed lights.
        file: The difficulty's.
        lightshow: The lights', or none.
        custom: What mods and editors say of it.
    """

    path: str
    characteristic: str
    difficulty: str
    rank: int | None = None
    njs: float = 0.0
    offset: float = 0.0
    mappers: tuple[str, ...] = ()
    lighters: tuple[str, ...] = ()
    file: str
    lightshow: str = ""
    custom: info.Custom = field(default_factory=info.Custom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What is said of a level. Attributes as those of `level.Level`.

    Attributes:
        title: Of the song.
        subtitle: Of the song.
        artist: Of the song.
        mapper: Of the level.
        bpm: As found, also 0.
        bpm_path: Where that stands.
        song_time_offset: Seconds.
        audio: File.
        audio_data: File, or none.
        duration: Of the audio, seconds, or 0.
        cover: File.
        preview_start: Seconds.
        preview_duration: Seconds.
        environment: The first.
        entries: The difficulties.
    """

    title: str = ""
    subtitle: str = ""
    artist: str = ""
    mapper: str = ""
    bpm: float = 0.0
    bpm_path: str = "$"
    song_time_offset: float = 0.0
    audio: str = ""
    audio_data: str = ""
    duration: float = 0.0
    cover: str = ""
    preview_start: float = 0.0
    preview_duration: float = 0.0
    environment: str = ""
    entries: tuple[Entry, ...] = ()


def canonical_characteristic(word: str) -> str:
    """Return a characteristic as the game spells it, or the word itself if it knows none such."""
    return _CHARACTERISTICS.get(word.strip().lower().replace(" ", ""), word)


def canonical_difficulty(word: str) -> str:
    """Return a difficulty as the game spells it, or the word itself if it knows none such."""
    return _DIFFICULTIES.get(word.strip().lower().replace(" ", ""), word)


def rank_of(difficulty: str, found: int | None) -> int:
    """Return the rank that a file carries, else that of its difficulty, else 0."""
    return found if found is not None else RANKS.get(difficulty, 0)


def read_info(document: Document, found: Found) -> Info | None:
    """Return what an Info says, or None if it is no JSON object."""
    if document.format == 1:
        return _of_v1(_V1.decode(document.body(), found), found)
    if document.format == 4:
        return _of_v4(_V4.decode(document.body(), found), found)
    return _of_v2(_V2.decode(document.body(), found), found)


def _of_v1(file: info.OldInfo | None, found: Found) -> Info | None:
    if file is None:
        return None
    levels = [(i, level) for i, level in enumerate(file.difficultyLevels or ()) if level]
    default = "OneSaber" if file.oneSaber else "Standard"
    return Info(
        title=file.songName,
        subtitle=file.songSubName,
        artist=file.authorName,
        bpm=file.beatsPerMinute,
        bpm_path="$.beatsPerMinute",
        audio=next((level.audioPath for _, level in levels), ""),
        cover=file.coverImagePath,
        preview_start=file.previewStartTime,
        preview_duration=file.previewDuration,
        environment=file.environmentName,
        entries=tuple(
            Entry(
                path=f"$.difficultyLevels[{i}]",
                characteristic=level.characteristic or default,
                difficulty=level.difficulty,
                rank=level.difficultyRank,
                file=level.jsonPath,
            )
            for i, level in levels
        ),
    )


def _of_v2(file: info.SetInfo | None, found: Found) -> Info | None:
    if file is None:
        return None
    entries = []
    for i, group in enumerate(file._difficultyBeatmapSets or ()):
        for j, level in enumerate((group and group._difficultyBeatmaps) or ()):
            if level is None:
                continue
            path = f"$._difficultyBeatmapSets[{i}]._difficultyBeatmaps[{j}]"
            entry = Entry(
                path=path,
                characteristic=group._beatmapCharacteristicName,
                difficulty=level._difficulty,
                rank=level._difficultyRank,
                njs=level._noteJumpMovementSpeed,
                offset=level._noteJumpStartBeatOffset,
                mappers=(file._levelAuthorName,) if file._levelAuthorName else (),
                file=level._beatmapFilename,
                custom=_custom(level._customData, found, f"{path}._customData"),
            )
            entries.append(entry)
    return Info(
        title=file._songName,
        subtitle=file._songSubName,
        artist=file._songAuthorName,
        mapper=file._levelAuthorName,
        bpm=file._beatsPerMinute,
        bpm_path="$._beatsPerMinute",
        song_time_offset=file._songTimeOffset,
        audio=file._songFilename,
        cover=file._coverImageFilename,
        preview_start=file._previewStartTime,
        preview_duration=file._previewDuration,
        environment=file._environmentName,
        entries=tuple(entries),
    )


def _of_v4(file: info.FlatInfo | None, found: Found) -> Info | None:
    if file is None:
        return None
    entries = []
    for i, level in enumerate(file.difficultyBeatmaps or ()):
        if level is None:
            continue
        path = f"$.difficultyBeatmaps[{i}]"
        authors = level.beatmapAuthors or info.Authors()
        entry = Entry(
            path=path,
            characteristic=level.characteristic,
            difficulty=level.difficulty,
            njs=level.noteJumpMovementSpeed,
            offset=level.noteJumpStartBeatOffset,
            mappers=_texts(authors.mappers),
            lighters=_texts(authors.lighters),
            file=level.beatmapDataFilename,
            lightshow=level.lightshowDataFilename,
            custom=_custom(level.customData, found, f"{path}.customData"),
        )
        entries.append(entry)
    mappers = dict.fromkeys(name for entry in entries for name in entry.mappers)
    return Info(
        title=file.song.title,
        subtitle=file.song.subTitle,
        artist=file.song.author,
        mapper=", ".join(mappers),
        bpm=file.audio.bpm,
        bpm_path="$.audio.bpm",
        audio=file.audio.songFilename,
        audio_data=file.audio.audioDataFilename,
        duration=file.audio.songDuration,
        cover=file.coverImageFilename,
        preview_start=file.audio.previewStartTime,
        preview_duration=file.audio.previewDuration,
        environment=next(iter(_texts(file.environmentNames)), ""),
        entries=tuple(entries),
    )


def _custom(raw: msgspec.Raw, found: Found, path: str) -> info.Custom:
    """Return what mods say of a difficulty; nothing if that is missing, null or no object."""
    text = bytes(raw)
    if not text or text.strip() == b"null":
        return info.Custom()
    return _CUSTOM.decode(raw, found, path) or info.Custom()


def requirements_of(custom: info.Custom) -> tuple[str, ...]:
    """Return the mods that a difficulty cannot do without."""
    return _texts(custom.requirements) or _texts(custom._requirements)


def suggestions_of(custom: info.Custom) -> tuple[str, ...]:
    """Return the mods that a difficulty can use."""
    return _texts(custom.suggestions) or _texts(custom._suggestions)


def label_of(custom: info.Custom) -> str:
    """Return the mapper's own name of a difficulty, or none."""
    return custom.difficultyLabel or custom._difficultyLabel or ""


def _texts(values: list[Any] | None) -> tuple[str, ...]:
    return tuple(value for value in values or () if value is not None)
