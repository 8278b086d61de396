"""An Info of version 2 or 4 from what `infos` reads of one; whatever is written is read back so."""

from collections.abc import Mapping
from typing import Any

import msgspec

from workbench.beatmap.maps.infos import Entry, Info, rank_of
from workbench.errors import BeatmapError

VERSIONS = {2: "2.1.0", 4: "4.0.1"}
ENVIRONMENT = "DefaultEnvironment"

Json = dict[str, Any]

_ALL_DIRECTIONS = "GlassDesertEnvironment"


def write_info(info: Info, format_: int, *, custom: Mapping[str, Any] | None = None) -> bytes:
    """Return the file of an Info, indented as people read it.

    Args:
        info: What it says; where things stand (`path`) is not used. Of its `mapper` version 4
            knows nothing, as each entry has its own there.
        format_: 2, under which difficulties of 2 and 3 lie, or 4.
        custom: What programs say of the level, or None.

    Raises:
        BeatmapError: The format is neither.
    """
    if format_ not in VERSIONS:
        raise BeatmapError(f"no Info of format {format_} is written; take 2 or 4", "unknown_format")
    return json_file(_v2(info, custom) if format_ == 2 else _v4(info, custom))


def json_file(value: object) -> bytes:
    """Return JSON as people read it, in UTF-8; what is no number becomes null."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _v2(info: Info, custom: Mapping[str, Any] | None) -> Json:
    environment = info.environment or ENVIRONMENT
    characteristics = dict.fromkeys(entry.characteristic for entry in info.entries)
    sets = [
        {
            "_beatmapCharacteristicName": name,
            "_difficultyBeatmaps": [
                _entry_v2(entry) for entry in info.entries if entry.characteristic == name
            ],
        }
        for name in characteristics
    ]
    return {
        "_version": VERSIONS[2],
        "_songName": info.title,
        "_songSubName": info.subtitle,
        "_songAuthorName": info.artist,
        "_levelAuthorName": info.mapper,
        "_beatsPerMinute": info.bpm,
        "_songTimeOffset": info.song_time_offset,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": info.preview_start,
        "_previewDuration": info.preview_duration,
        "_songFilename": info.audio,
        "_coverImageFilename": info.cover,
        "_environmentName": environment,
        "_allDirectionsEnvironmentName": _ALL_DIRECTIONS,
        "_environmentNames": [environment],
        "_colorSchemes": [],
        **({"_customData": custom} if custom else {}),
        "_difficultyBeatmapSets": sets,
    }


def _entry_v2(entry: Entry) -> Json:
    return {
        "_difficulty": entry.difficulty,
        "_difficultyRank": rank_of(entry.difficulty, entry.rank),
        "_beatmapFilename": entry.file,
        "_noteJumpMovementSpeed": entry.njs,
        "_noteJumpStartBeatOffset": entry.offset,
        "_beatmapColorSchemeIdx": -1,
        "_environmentNameIdx": 0,
    }


def _v4(info: Info, custom: Mapping[str, Any] | None) -> Json:
    return {
        "version": VERSIONS[4],
        "song": {"title": info.title, "subTitle": info.subtitle, "author": info.artist},
        "audio": {
            "songFilename": info.audio,
            "songDuration": info.duration,
            "audioDataFilename": info.audio_data,
            "bpm": info.bpm,
            "lufs": 0,
            "previewStartTime": info.preview_start,
            "previewDuration": info.preview_duration,
        },
        "songPreviewFilename": info.audio,
        "coverImageFilename": info.cover,
        "environmentNames": [info.environment or ENVIRONMENT],
        "colorSchemes": [],
        "difficultyBeatmaps": [_entry_v4(entry) for entry in info.entries],
        **({"customData": custom} if custom else {}),
    }


def _entry_v4(entry: Entry) -> Json:
    return {
        "characteristic": entry.characteristic,
        "difficulty": entry.difficulty,
        "beatmapAuthors": {"mappers": list(entry.mappers), "lighters": list(entry.lighters)},
        "environmentNameIdx": 0,
        "beatmapColorSchemeIdx": -1,
        "noteJumpMovementSpeed": entry.njs,
        "noteJumpStartBeatOffset": entry.offset,
        "beatmapDataFilename": entry.file,
        "lightshowDataFilename": entry.lightshow,
    }
