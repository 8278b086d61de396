"""Maps for what no public map shows, each a level of one difficulty: its files by name.

`MADE` says what each shows. Texts are written by hand, so that no writer of ours stands between
what a file says and what the reader makes of it.
"""

import gzip
import json
from typing import Any

from workbench.beatmap.maps.level import HeldFiles

Json = dict[str, Any]


def text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def info_v2(file: str = "Expert.dat", difficulty: str = "Expert", bpm: float = 120) -> bytes:
    listed = {
        "_difficulty": difficulty,
        "_difficultyRank": 7,
        "_beatmapFilename": file,
        "_noteJumpMovementSpeed": 16,
        "_noteJumpStartBeatOffset": -0.5,
        "_customData": {
            "_difficultyLabel": "Hand made",
            "_requirements": [],
            "_suggestions": ["Chroma"],
        },
    }
    return text(
        {
            "_version": "2.0.0",
            "_songName": "Song",
            "_songSubName": "(short)",
            "_songAuthorName": "Artist",
            "_levelAuthorName": "Mapper",
            "_beatsPerMinute": bpm,
            "_songTimeOffset": 0,
            "_previewStartTime": 12,
            "_previewDuration": 10,
            "_songFilename": "song.ogg",
            "_coverImageFilename": "cover.png",
            "_environmentName": "DefaultEnvironment",
            "_difficultyBeatmapSets": [
                {"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [listed]}
            ],
        }
    )


def info_v4(bpm: float = 120, audio_data: str = "") -> bytes:
    listed = {
        "characteristic": "Standard",
        "difficulty": "Expert",
        "beatmapAuthors": {"mappers": ["One", "Two"], "lighters": ["Three"]},
        "environmentNameIdx": 0,
        "noteJumpMovementSpeed": 16,
        "noteJumpStartBeatOffset": 0,
        "beatmapDataFilename": "Expert.dat",
        "lightshowDataFilename": "Lightshow.dat",
        "customData": {"requirements": ["Noodle Extensions"]},
    }
    audio = {"songFilename": "song.ogg", "songDuration": 60, "bpm": bpm}
    return text(
        {
            "version": "4.0.1",
            "song": {"title": "Song", "subTitle": "", "author": "Artist"},
            "audio": {**audio, "audioDataFilename": audio_data},
            "coverImageFilename": "cover.png",
            "environmentNames": ["WeaveEnvironment"],
            "difficultyBeatmaps": [listed],
        }
    )


def info_v1() -> bytes:
    listed = {
        "difficulty": "Expert",
        "difficultyRank": 4,
        "audioPath": "song.ogg",
        "jsonPath": "Expert.dat",
    }
    return text(
        {
            "songName": "Song",
            "songSubName": "",
            "authorName": "Artist",
            "beatsPerMinute": 120,
            "previewStartTime": 1,
            "previewDuration": 2,
            "coverImagePath": "cover.png",
            "environmentName": "NiceEnvironment",
            "difficultyLevels": [listed],
            "oneSaber": False,
        }
    )


def note(beat: float, lane: int = 1, layer: int = 0, kind: int = 0, cut: int = 1) -> Json:
    return {
        "_time": beat,
        "_lineIndex": lane,
        "_lineLayer": layer,
        "_type": kind,
        "_cutDirection": cut,
    }


def event(beat: float, kind: int, value: int = 0, **more: Any) -> Json:
    return {"_time": beat, "_type": kind, "_value": value, **more}


NOTES = [note(1), note(2, 2, 0, 1), note(3, 3, 1, 3, 0), note(64.5, 0, 2, 0, 8)]
WALLS = [
    {"_time": 4, "_lineIndex": 0, "_type": 0, "_duration": 1.5, "_width": 1},
    {"_time": 8, "_lineIndex": 2, "_type": 1, "_duration": -3, "_width": 2},
]
PLAIN_2 = {"_version": "2.0.0", "_notes": NOTES, "_obstacles": WALLS, "_events": []}
COMPACT = {
    "version": "3.3.0",
    "colorNotes": [{"b": 4}, {"b": 5, "x": 3, "c": 1, "d": 8}, {}],
    "bombNotes": [{"x": 2}],
    "obstacles": [{"b": 6, "d": 2}, {"b": 7, "w": 1, "h": 5}],
    "sliders": [{"b": 4, "tb": 5, "mu": 1}],
    "burstSliders": [{"b": 5, "c": 1, "x": 3, "tb": 5.5, "sc": 3}],
    "bpmEvents": [{"b": 0, "m": 120}, {"b": 8}, {"b": 10, "m": 240}, {"b": 20, "m": 90.5}],
    "rotationEvents": [{"b": 3, "r": 15}, {"b": 9, "e": 1, "r": -30}],
}
V4 = {
    "version": "4.1.0",
    "colorNotes": [{"b": 1}, {"b": 2, "i": 1}, {"b": 3, "i": 1}, {"b": -0.5, "i": 2}],
    "colorNotesData": [{"x": 1, "d": 1}, {"x": 2, "c": 1, "d": 1, "a": 15}, {"y": 2, "d": 8}],
    "bombNotes": [{"b": 5}],
    "bombNotesData": [{}],
    "obstacles": [{"b": 6}],
    "obstaclesData": [{"d": 1, "w": 1, "h": 5}],
    "arcs": [{"hb": 1, "tb": 2, "ti": 1}],
    "arcsData": [{"m": 1, "tm": 0.5, "a": 2}],
    "chains": [{"hb": 2, "i": 1, "tb": 2.25}],
    "chainsData": [{"tx": 2, "ty": 2, "c": 4, "s": 0.75}],
    "njsEvents": [{"b": 1}, {"b": 9, "i": 1}],
    "njsEventData": [{"d": 2, "e": 1}, {"p": 1}],
}
LIGHTS = {
    "version": "4.0.0",
    "basicEvents": [{"b": 1}, {"b": 2, "i": 1}],
    "basicEventsData": [{"t": 1, "i": 3, "f": 1}, {"t": 8}],
    "eventBoxGroups": [
        {"b": 1, "g": 2, "t": 1, "e": [{"e": 0, "l": [{"b": 0, "i": 0}, {"b": 0.5, "i": 1}]}]},
        {"b": 2, "t": 2, "e": [{"f": 0, "e": 0, "l": [{"i": 0}]}]},
    ],
    "indexFilters": [{"c": 1, "f": 1}],
    "lightColorEventBoxes": [{"w": 1, "d": 1}],
    "lightColorEvents": [{"c": 1, "b": 1}, {"p": 1}],
    "lightRotationEventBoxes": [{"w": 1}],
    "lightRotationEvents": [{"r": 90}],
}
AUDIO_DATA = {
    "version": "4.0.0",
    "songSampleCount": 60 * 44100,
    "songFrequency": 44100,
    "bpmData": [
        {"si": 0, "ei": 10 * 44100, "sb": 0, "eb": 20},
        {"si": 10 * 44100, "ei": 60 * 44100, "sb": 20, "eb": 220},
    ],
}


def _of_v2(parts: Json, **info: Any) -> dict[str, bytes]:
    return {"Info.dat": info_v2(**info), "Expert.dat": text(parts)}


def _of_v4(difficulty: Json, **others: bytes) -> dict[str, bytes]:
    files = {"Info.dat": info_v4(), "Expert.dat": text(difficulty), "Lightshow.dat": text(LIGHTS)}
    return files | {f"{name}.dat": data for name, data in others.items()}


MADE: dict[str, dict[str, bytes]] = {
    "gzip": {"Info.dat": info_v2(), "Expert.dat": gzip.compress(text(COMPACT), mtime=0)},
    "mark": {
        "info.dat": b"\xef\xbb\xbf" + info_v2(),
        "Expert.dat": b"\xef\xbb\xbf" + text(PLAIN_2),
    },
    "first_version": {
        "info.json": info_v1(),
        "Expert.dat": text(
            {
                **PLAIN_2,
                "_version": "1.5.0",
                "_beatsPerMinute": 120,
                "_noteJumpSpeed": 13,
                "_noteJumpStartBeatOffset": 0.25,
                "_BPMChanges": [
                    {"_BPM": 240, "_time": 8, "_beatsPerBar": 4, "_metronomeOffset": 4}
                ],
            }
        ),
    },
    "no_version": _of_v2({k: v for k, v in PLAIN_2.items() if k != "_version"}),
    "tempo_events": _of_v2(
        {
            **PLAIN_2,
            "_version": "2.6.0",
            "_events": [
                event(0, 0, 1, _floatValue=1),
                event(2, 100, 0, _floatValue=60),
                event(40, 100, 0, _floatValue=174.3),
                event(10, 10, 240, _floatValue=1),
                event(1, 14, 0),
                event(7, 15, 5),
            ],
        }
    ),
    "old_tempo_events": _of_v2({**PLAIN_2, "_events": [event(1.5, 10, 90), event(30, 10, 200)]}),
    "compact_v3": _of_v2(COMPACT),
    "tempo_from_below": _of_v2(
        {**COMPACT, "bpmEvents": [{"b": -2, "m": 60}, {"b": 4.5, "m": 180}]}, bpm=100
    ),
    "negative_time": _of_v2({**PLAIN_2, "_notes": [note(-2), note(-0.25, 2), *NOTES]}),
    "extended_v2": _of_v2(
        {
            **PLAIN_2,
            "_notes": [note(1, 1500), note(2, -2500, 1), note(3, 1, 3000), note(4, 1, 0, 0, 1090)],
            "_obstacles": [
                {"_time": 1, "_lineIndex": 3500, "_type": 2500, "_duration": 1, "_width": 1250},
                {"_time": 2, "_lineIndex": 0, "_type": 1004251, "_duration": 1, "_width": 1},
            ],
        }
    ),
    "extended_v3": _of_v2(
        {
            "version": "3.2.0",
            "colorNotes": [{"b": 1, "x": 1000, "y": 3000, "d": 1}, {"b": 2, "x": -1500, "d": 2045}],
            "obstacles": [{"b": 3, "x": 2500, "y": 1000, "d": 1, "w": 1500, "h": 6000}],
        }
    ),
    "nulls": _of_v2(
        {
            "version": "3.3.0",
            "colorNotes": [{"b": 1, "x": None, "y": 1, "c": 0, "d": 1}, {"b": 2, "x": 2.0, "c": 1}],
            "bombNotes": None,
            "customData": None,
        }
    ),
    "parts_of_lanes": _of_v2(
        {
            "version": "3.3.0",
            "colorNotes": [{"b": 1, "x": 1.5}, {"b": 2, "x": "2"}, {"b": 3, "x": 3}],
        }
    ),
    "unsorted": _of_v2(
        {**PLAIN_2, "_notes": NOTES[::-1], "_obstacles": WALLS[::-1], "_version": "2.5.0"}
    ),
    "tail_before_head": _of_v2(
        {
            "version": "3.3.0",
            "sliders": [{"b": 8, "c": 1, "x": 1, "tb": 6, "tx": 2, "mu": 1, "tmu": 1}],
            "burstSliders": [{"b": 9, "c": 1, "x": 1, "d": 1, "tb": 8.5, "tx": 1, "sc": 4, "s": 1}],
        }
    ),
    "fakes_v2": _of_v2(
        {**PLAIN_2, "_notes": [*NOTES, {**note(9), "_customData": {"_fake": True}}]}
    ),
    "fakes_v3": _of_v2({**COMPACT, "customData": {"fakeColorNotes": [{"b": 3}, {"b": 4}]}}),
    "v4": _of_v4(V4),
    "v4_audio": {
        **_of_v4(V4),
        "Info.dat": info_v4(audio_data="Sound.dat"),
        "Sound.dat": text(AUDIO_DATA),
    },
    "v4_index": _of_v4(
        {
            **V4,
            "colorNotes": [{"b": 1}, {"b": 2, "i": 7}, {"b": 3, "i": -1}],
            "arcs": [{"hb": 1, "tb": 2, "ti": 99}],
        },
        Lightshow=text({**LIGHTS, "basicEvents": [{"b": 1, "i": 2}]}),
    ),
    "v4_wrapped": _of_v4(
        {
            "version": "4.0.0",
            "contentChecksum": "",
            "content": {key: value for key, value in V4.items() if key != "version"},
        }
    ),
    "alias": _of_v2(PLAIN_2, difficulty="Expert+"),
    "bare_v3": _of_v2({"version": "3.0.0", "colorNotes": [{"b": 1}]}),
    "free_walls": _of_v2(
        {
            **PLAIN_2,
            "_version": "2.6.0",
            "_sliders": [
                {
                    "_colorType": 1,
                    "_headTime": 1,
                    "_headLineIndex": 1,
                    "_headCutDirection": 1,
                    "_headControlPointLengthMultiplier": 0.5,
                    "_tailTime": 2,
                    "_tailLineIndex": 2,
                    "_tailLineLayer": 2,
                    "_tailCutDirection": 0,
                    "_tailControlPointLengthMultiplier": 1,
                    "_sliderMidAnchorMode": 2,
                }
            ],
            "_obstacles": [*WALLS, {"_time": 20, "_type": 77, "_duration": 1, "_width": 1}],
        }
    ),
}


def files_of(name: str) -> HeldFiles:
    return HeldFiles(MADE[name], place=name)
