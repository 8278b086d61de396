"""The files of a Beat Saber level of the demo, as plain JSON in format 2, 3 or 4.

Written here by hand and not by the map room, so that a reader is held against somebody else's
writing. Units: times are beats, rounded to five decimals as editors do; lengths of audio are
samples. A `compact` file leaves out keys whose value is 0 and arrays that are empty, as the game's
own format 3 allows. Source: the schemas of bsmap 2.2.9.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.demo.choreography import Chart, ChartNote
from workbench.demo.tunes import CRASH, HAT, KICK, SLOTS, SNARE, Tempo, Tune

MapVersion = Literal[2, 3, 4]

RANKS: Mapping[str, int] = {"Easy": 1, "Normal": 3, "Hard": 5, "Expert": 7, "ExpertPlus": 9}
LIGHTSHOW = "Lightshow.dat"

_BEAT_DIGITS = 5
_LIGHTS = {KICK: (4, 5), SNARE: (0, 1), HAT: (1, 2), CRASH: (2, 7)}  # type and value by drum
_RUSH = 2.0  # metres a second
_EMPTY_ARRAYS = (
    "basicEventTypesWithKeywords",
    "lightColorEventBoxGroups",
    "lightRotationEventBoxGroups",
    "lightTranslationEventBoxGroups",
    "vfxEventBoxGroups",
)

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlan:
    """What a level is made of.

    Attributes:
        title: Of the song.
        artist: Of the song.
        mapper: Of the level.
        tune: Its music.
        charts: Its difficulties.
        version: Of the format.
        is_compact: Whether files of format 3 and 4 leave out what is 0 or empty.
        is_late: Whether a late revision of the format is written: 2.6.0, 4.1.0 with 4.0.1, else
            2.2.0, 4.0.0.
        audio: Name of the audio file.
        sample_rate: Of the audio, Hz.
        sample_count: Of the audio.
    """

    title: str
    artist: str
    mapper: str
    tune: Tune
    charts: tuple[Chart, ...]
    version: MapVersion
    is_compact: bool
    is_late: bool
    audio: str
    sample_rate: int
    sample_count: int

    @property
    def bpm(self) -> float:
        """The first tempo."""
        return self.tune.tempo.bpms[0]


def difficulty_file(chart: Chart) -> str:
    """Return the name of a difficulty's file."""
    return f"{chart.difficulty}{chart.characteristic}.dat"


def level_files(level: LevelPlan, audio: bytes) -> dict[str, bytes]:
    """Return the files of a level but audio and cover, by name.

    Args:
        level: What it is made of.
        audio: The bytes of the audio file, whose checksum format 4 tells.
    """
    write = {2: _files_2, 3: _files_3, 4: _files_4}[level.version]
    documents = write(level, audio)
    return {name: json_bytes(document) for name, document in documents.items()}


def json_bytes(document: Any) -> bytes:
    """Return a document as the bytes of a JSON file without blanks."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def beat_of(slot: int) -> float:
    """Return the beat of a slot as it is written."""
    return round(slot / SLOTS, _BEAT_DIGITS)


# --- format 2


def _files_2(level: LevelPlan, audio: bytes) -> dict[str, _Json]:
    files = {"Info.dat": _info_2(level)}
    if len(level.tune.tempo.bpms) > 1:
        files["BPMInfo.dat"] = _bpm_info(level)
    for chart in level.charts:
        files[difficulty_file(chart)] = _difficulty_2(level, chart)
    return files


def _info_2(level: LevelPlan) -> _Json:
    """Return the Info of format 2, under which difficulties of format 3 stand too."""
    sets = [
        {
            "_beatmapCharacteristicName": name,
            "_difficultyBeatmaps": [
                _info_difficulty_2(level, chart)
                for chart in level.charts
                if chart.characteristic == name
            ],
        }
        for name in dict.fromkeys(chart.characteristic for chart in level.charts)
    ]
    info: _Json = {
        "_version": "2.1.0" if level.is_late else "2.0.0",
        "_songName": level.title,
        "_songSubName": "",
        "_songAuthorName": level.artist,
        "_levelAuthorName": level.mapper,
        "_beatsPerMinute": level.bpm,
        "_songTimeOffset": 0,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": 4.0,
        "_previewDuration": 8.0,
        "_songFilename": level.audio,
        "_coverImageFilename": "cover.png",
        "_environmentName": "DefaultEnvironment",
        "_allDirectionsEnvironmentName": "GlassDesertEnvironment",
    }
    if level.is_late:
        info |= {"_environmentNames": ["DefaultEnvironment"], "_colorSchemes": []}
    return info | {"_difficultyBeatmapSets": sets}


def _info_difficulty_2(level: LevelPlan, chart: Chart) -> _Json:
    entry: _Json = {
        "_difficulty": chart.difficulty,
        "_difficultyRank": RANKS[chart.difficulty],
        "_beatmapFilename": difficulty_file(chart),
        "_noteJumpMovementSpeed": chart.density.njs,
        "_noteJumpStartBeatOffset": chart.density.offset,
    }
    if level.is_late:
        entry |= {"_beatmapColorSchemeIdx": 0, "_environmentNameIdx": 0}
    return entry | {"_customData": {"_difficultyLabel": f"Demo {chart.difficulty}"}}


def _difficulty_2(level: LevelPlan, chart: Chart) -> _Json:
    notes = [(note.slot, _note_2(note, note.color, note.direction)) for note in chart.notes]
    notes += [(bomb.slot, _note_2(bomb, 3, 0)) for bomb in chart.bombs]
    document: _Json = {
        "_version": "2.6.0" if level.is_late else "2.2.0",
        "_notes": [note for _, note in sorted(notes, key=lambda pair: pair[0])],
        "_obstacles": [
            {
                "_time": beat_of(wall.slot),
                "_lineIndex": wall.lane,
                "_type": int(wall.layer == 2),
                "_duration": beat_of(wall.length),
                "_width": wall.width,
            }
            for wall in chart.walls
        ],
        "_events": _events_2(level),
        "_waypoints": [],
    }
    if level.is_late:
        document["_sliders"] = _sliders_2(chart)
    return document


def _note_2(placed: Any, kind: int, direction: int) -> _Json:
    return {
        "_time": beat_of(placed.slot),
        "_lineIndex": placed.lane,
        "_lineLayer": placed.layer,
        "_type": kind,
        "_cutDirection": direction,
    }


def _sliders_2(chart: Chart) -> list[_Json]:
    sliders = []
    for arc in chart.arcs:
        slider: _Json = {"_colorType": arc.head.color}
        for end, note in (("head", arc.head), ("tail", arc.tail)):
            slider |= {
                f"_{end}Time": beat_of(note.slot),
                f"_{end}LineIndex": note.lane,
                f"_{end}LineLayer": note.layer,
                f"_{end}ControlPointLengthMultiplier": 1.0,
                f"_{end}CutDirection": note.direction,
            }
        sliders.append(slider | {"_sliderMidAnchorMode": arc.anchor})
    return sliders


def _events_2(level: LevelPlan) -> list[_Json]:
    """Return lights, and tempo changes as events of type 100."""
    events = [
        {"_time": beat_of(slot), "_type": kind, "_value": value}
        for slot, kind, value in _lights(level)
    ]
    if level.is_late:
        events = [event | {"_floatValue": 1.0} for event in events]
        events += [
            {"_time": beat, "_type": 100, "_value": 0, "_floatValue": bpm}
            for beat, bpm in _changes(level.tune.tempo)
        ]
    return sorted(events, key=lambda event: float(event["_time"]))


def _bpm_info(level: LevelPlan) -> _Json:
    regions = [
        {
            "_startSampleIndex": first,
            "_endSampleIndex": last,
            "_startBeat": start,
            "_endBeat": end,
        }
        for first, last, start, end in _regions(level)
    ]
    return {
        "_version": "2.0.0",
        "_songSampleCount": level.sample_count,
        "_songFrequency": level.sample_rate,
        "_regions": regions,
    }


# --- format 3


def _files_3(level: LevelPlan, audio: bytes) -> dict[str, _Json]:
    files = {"Info.dat": _info_2(level)}
    for chart in level.charts:
        document = _difficulty_3(level, chart)
        files[difficulty_file(chart)] = _compact(document) if level.is_compact else document
    return files


def _difficulty_3(level: LevelPlan, chart: Chart) -> _Json:
    changes = [(0.0, level.bpm), *_changes(level.tune.tempo)]
    return {
        "version": "3.3.0",
        "bpmEvents": [{"b": beat, "m": bpm} for beat, bpm in changes],
        "rotationEvents": [],
        "colorNotes": [_note_3(note) | {"a": 0} for note in chart.notes],
        "bombNotes": [{"b": beat_of(b.slot), "x": b.lane, "y": b.layer} for b in chart.bombs],
        "obstacles": [
            {"b": beat_of(w.slot), "d": beat_of(w.length)}
            | {"x": w.lane, "y": w.layer, "w": w.width, "h": w.height}
            for w in chart.walls
        ],
        "sliders": [
            _note_3(arc.head)
            | {"mu": 1.0, "tb": beat_of(arc.tail.slot), "tx": arc.tail.lane, "ty": arc.tail.layer}
            | {"tc": arc.tail.direction, "tmu": 1.0, "m": arc.anchor}
            for arc in chart.arcs
        ],
        "burstSliders": [
            _note_3(chain.head)
            | {"tb": beat_of(chain.tail_slot), "tx": chain.tail_lane, "ty": chain.tail_layer}
            | {"sc": chain.slices, "s": chain.squish}
            for chain in chart.chains
        ],
        "waypoints": [],
        "basicBeatmapEvents": [
            {"b": beat_of(slot), "et": kind, "i": value, "f": 1.0}
            for slot, kind, value in _lights(level)
        ],
        "colorBoostBeatmapEvents": [
            {"b": beat_of(slot), "o": turn % 2 == 0} for turn, slot in enumerate(chart.rushes)
        ],
        **{name: [] for name in _EMPTY_ARRAYS},
        "_fxEventsCollection": {"_fl": [], "_il": []},
        "useNormalEventsAsCompatibleEvents": True,
    }


def _note_3(note: ChartNote) -> _Json:
    return {"b": beat_of(note.slot), "x": note.lane, "y": note.layer, "c": note.color} | {
        "d": note.direction
    }


# --- format 4


def _files_4(level: LevelPlan, audio: bytes) -> dict[str, _Json]:
    files = {
        "Info.dat": _info_4(level),
        "AudioData.dat": _audio_data(level, audio),
        LIGHTSHOW: _lightshow(level),
    }
    for chart in level.charts:
        files[difficulty_file(chart)] = _difficulty_4(level, chart)
    if not level.is_compact:
        return files
    told = ("Info.dat", "AudioData.dat")
    return {name: file if name in told else _compact(file) for name, file in files.items()}


def _info_4(level: LevelPlan) -> _Json:
    return {
        "version": "4.0.1" if level.is_late else "4.0.0",
        "song": {"title": level.title, "subTitle": "", "author": level.artist},
        "audio": {
            "songFilename": level.audio,
            "songDuration": round(level.sample_count / level.sample_rate, 3),
            "audioDataFilename": "AudioData.dat",
            "bpm": level.bpm,
            "lufs": 0,
            "previewStartTime": 4.0,
            "previewDuration": 8.0,
        },
        "songPreviewFilename": level.audio,
        "coverImageFilename": "cover.png",
        "environmentNames": ["DefaultEnvironment"],
        "colorSchemes": [],
        "difficultyBeatmaps": [
            {
                "characteristic": chart.characteristic,
                "difficulty": chart.difficulty,
                "beatmapAuthors": {"mappers": [level.mapper], "lighters": []},
                "environmentNameIdx": 0,
                "beatmapColorSchemeIdx": -1,
                "noteJumpMovementSpeed": chart.density.njs,
                "noteJumpStartBeatOffset": chart.density.offset,
                "beatmapDataFilename": difficulty_file(chart),
                "lightshowDataFilename": LIGHTSHOW,
            }
            for chart in level.charts
        ],
    }


def _audio_data(level: LevelPlan, audio: bytes) -> _Json:
    return {
        "version": "4.0.0",
        "songChecksum": hashlib.sha1(audio, usedforsecurity=False).hexdigest(),
        "songSampleCount": level.sample_count,
        "songFrequency": level.sample_rate,
        "bpmData": [
            {"si": first, "ei": last, "sb": start, "eb": end}
            for first, last, start, end in _regions(level)
        ],
        "lufsData": [],
    }


class _Shared:
    """Data entries of format 4, each once, that objects name by their place."""

    def __init__(self) -> None:
        self.entries: list[_Json] = []
        self._places: dict[tuple[Any, ...], int] = {}

    def place(self, **entry: Any) -> int:
        """Return where an entry is, added unless it is there."""
        key = tuple(entry.items())
        if key not in self._places:
            self._places[key] = len(self.entries)
            self.entries.append(entry)
        return self._places[key]

    def note(self, note: ChartNote) -> int:
        """Return where a note's data is."""
        return self.place(x=note.lane, y=note.layer, c=note.color, d=note.direction, a=0)


def _difficulty_4(level: LevelPlan, chart: Chart) -> _Json:
    notes, bombs, walls, arcs, chains = (_Shared() for _ in range(5))
    document: _Json = {
        "version": "4.1.0" if level.is_late else "4.0.0",
        "colorNotes": [{"b": beat_of(n.slot), "r": 0, "i": notes.note(n)} for n in chart.notes],
        "bombNotes": [
            {"b": beat_of(b.slot), "r": 0, "i": bombs.place(x=b.lane, y=b.layer)}
            for b in chart.bombs
        ],
        "obstacles": [
            {"b": beat_of(w.slot), "r": 0}
            | {"i": walls.place(d=beat_of(w.length), x=w.lane, y=w.layer, w=w.width, h=w.height)}
            for w in chart.walls
        ],
        "arcs": [
            {"hb": beat_of(a.head.slot), "hr": 0, "hi": notes.note(a.head)}
            | {"tb": beat_of(a.tail.slot), "tr": 0, "ti": notes.note(a.tail)}
            | {"ai": arcs.place(m=1.0, tm=1.0, a=a.anchor)}
            for a in chart.arcs
        ],
        "chains": [
            {"hb": beat_of(c.head.slot), "hr": 0, "i": notes.note(c.head)}
            | {"tb": beat_of(c.tail_slot), "tr": 0}
            | {"ci": chains.place(tx=c.tail_lane, ty=c.tail_layer, c=c.slices, s=c.squish)}
            for c in chart.chains
        ],
    }
    document |= {
        "colorNotesData": notes.entries,
        "bombNotesData": bombs.entries,
        "obstaclesData": walls.entries,
        "arcsData": arcs.entries,
        "chainsData": chains.entries,
    }
    return document | (_speeds_4(chart) if level.is_late else _no_turns_4())


def _speeds_4(chart: Chart) -> _Json:
    """Return changes of the note jump speed, which the revision 4.1.0 has."""
    speeds = _Shared()
    events = [
        {"b": beat_of(slot), "i": speeds.place(d=0.0 if turn % 2 else _RUSH, p=0, e=0)}
        for turn, slot in enumerate(chart.rushes)
    ]
    return {"njsEvents": events, "njsEventData": speeds.entries}


def _no_turns_4() -> _Json:
    return {"spawnRotations": [], "spawnRotationsData": []}


def _lightshow(level: LevelPlan) -> _Json:
    lights, boosts = _Shared(), _Shared()
    rushes = level.charts[0].rushes
    return {
        "version": "4.0.0",
        "basicEvents": [
            {"b": beat_of(slot), "i": lights.place(t=kind, i=value, f=1.0)}
            for slot, kind, value in _lights(level)
        ],
        "basicEventsData": lights.entries,
        "colorBoostEvents": [
            {"b": beat_of(slot), "i": boosts.place(b=int(turn % 2 == 0))}
            for turn, slot in enumerate(rushes)
        ],
        "colorBoostEventsData": boosts.entries,
        "waypoints": [],
        "waypointsData": [],
        "basicEventTypesWithKeywords": {"d": []},
        "eventBoxGroups": [],
        "indexFilters": [],
        "useNormalEventsAsCompatibleEvents": True,
    }


# --- all formats


def _changes(tempo: Tempo) -> list[tuple[float, float]]:
    """Return the changes after the first tempo, beats and beats a minute."""
    return list(zip(tempo.beats[1:], tempo.bpms[1:], strict=True))


def _regions(level: LevelPlan) -> list[tuple[int, int, float, float]]:
    """Return first and last sample and beat of every stretch of one tempo, to the audio's end."""
    tempo = level.tune.tempo
    seconds = tempo.seconds_at(tempo.beats).tolist()
    starts = [round(at * level.sample_rate) for at in seconds]
    left = (level.sample_count / level.sample_rate - seconds[-1]) * tempo.bpms[-1] / 60
    ends = [*tempo.beats[1:], round(tempo.beats[-1] + left, 9)]
    lasts = [*starts[1:], level.sample_count]
    return list(zip(starts, lasts, tempo.beats, ends, strict=True))


def _lights(level: LevelPlan) -> list[tuple[int, int, int]]:
    """Return slot, type and value of lights that follow the drums."""
    hits = level.tune.hits
    return [
        (slot, *_LIGHTS[pitch])
        for slot, part, pitch in zip(
            hits.slot.tolist(), hits.part.tolist(), hits.pitch.tolist(), strict=True
        )
        if part == 0 and pitch in _LIGHTS
    ]


def _compact(document: _Json) -> _Json:
    """Return a document without empty arrays, its objects without keys whose value is 0."""
    small: _Json = {}
    for name, value in document.items():
        if isinstance(value, list):
            if value:
                small[name] = [_without_zeros(entry) for entry in value]
        else:
            small[name] = value
    return small


def _without_zeros(entry: Mapping[str, Any]) -> _Json:
    return {name: value for name, value in entry.items() if value or isinstance(value, bool)}
