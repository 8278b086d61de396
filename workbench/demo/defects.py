"""What may be wrong with a Beat Saber map, or odd about it, put into a whole one on purpose.

Each defect takes the files of a map, by name, and gives others. Of an odd map every difficulty is
read, though a note may be lost; one that is broken in part loses its last difficulty; the rest are
refused. Of a copy of another map a store keeps the first. `says` is a reader's word for it: a kind
of fault, a reason of refusal, or a flag.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.demo.mapfiles import LevelPlan, MapVersion, difficulty_file, json_bytes

Files = Mapping[str, bytes]
Outcome = Literal["read", "part", "refused", "duplicate"]

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One thing that may be wrong or odd.

    Attributes:
        outcome: What a reader makes of the map.
        says: Its word for it; empty where there is nothing to say.
        meaning: What is wrong or odd.
        apply: Gives the files with the defect.
        version: Of the format that it is put into.
        is_zip: Whether the map is a zip.
        first: What it makes of the first note of the last difficulty, by column.
        lost: How many of the last notes of that difficulty no reader gets.
    """

    outcome: Outcome
    says: str
    meaning: str
    apply: Callable[[Files, LevelPlan], dict[str, bytes]]
    version: MapVersion = 2
    is_zip: bool = False
    first: Mapping[str, float] = field(default_factory=dict)
    lost: int = 0


def _truncated(files: Files, level: LevelPlan) -> dict[str, bytes]:
    last = difficulty_file(level.charts[-1])
    return {**files, last: files[last][: len(files[last]) * 2 // 3]}


def _without_difficulty(files: Files, level: LevelPlan) -> dict[str, bytes]:
    last = difficulty_file(level.charts[-1])
    return {name: content for name, content in files.items() if name != last}


def _without_audio(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != level.audio}


def _hostile(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {**files, "../outside.dat": b"{}"}


def _as_it_is(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return dict(files)


def _broken_info(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {**files, "Info.dat": files["Info.dat"][:-200]}


def _alias(files: Files, level: LevelPlan) -> dict[str, bytes]:
    info = files["Info.dat"].replace(b'"_difficulty":"ExpertPlus"', b'"_difficulty":"Expert+"')
    return {**files, "Info.dat": info}


def _gzipped(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {
        name: gzip.compress(content, mtime=0) if _is_map(name) else content
        for name, content in files.items()
    }


def _with_bom(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {name: _BOM * _is_map(name) + content for name, content in files.items()}


def _lower_case(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return {"info.dat" if name == "Info.dat" else name: files[name] for name in files}


def _is_map(name: str) -> bool:
    return name.endswith(".dat")


def _changed(files: Files, level: LevelPlan, change: Callable[[Any], None]) -> dict[str, bytes]:
    """Return files whose last difficulty was changed."""
    last = difficulty_file(level.charts[-1])
    document = json.loads(files[last])
    change(document)
    return {**files, last: json_bytes(document)}


def _extended(files: Files, level: LevelPlan) -> dict[str, bytes]:
    """Put the first note between two lanes, as Mapping Extensions write it."""
    return _changed(files, level, lambda document: document["_notes"][0].update(_lineIndex=1500))


def _negative(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return _changed(files, level, lambda document: document["colorNotes"][0].update(b=-1.5))


def _text_as_time(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return _changed(files, level, lambda document: document["colorNotes"][-1].update(b="soon"))


def _bad_index(files: Files, level: LevelPlan) -> dict[str, bytes]:
    return _changed(files, level, lambda document: document["colorNotes"][-1].update(i=9999))


def _editor_tempo(files: Files, level: LevelPlan) -> dict[str, bytes]:
    """Add tempo changes of an editor's grid, which move no time."""
    change = {"_time": 4, "_BPM": 60, "_beatsPerBar": 4, "_metronomeOffset": 4}
    return _changed(
        files, level, lambda document: document.update(_customData={"_BPMChanges": [change]})
    )


DEFECTS: Mapping[str, Defect] = {
    "truncated_json": Defect(
        outcome="part", says="bad_json", meaning="A difficulty's file ends early.", apply=_truncated
    ),
    "missing_difficulty": Defect(
        outcome="part",
        says="missing_file",
        meaning="A difficulty's file is not there.",
        apply=_without_difficulty,
        version=3,
    ),
    "hostile_zip": Defect(
        outcome="refused",
        says="parent_path",
        meaning="A zip holds a name that leads out of it.",
        apply=_hostile,
        is_zip=True,
    ),
    "expert_plus_alias": Defect(
        outcome="read", says="difficulty_alias", meaning="The Info writes Expert+.", apply=_alias
    ),
    "mapping_extensions": Defect(
        outcome="read",
        says="mapping_extensions",
        meaning="A note stands at a lane of 1500.",
        apply=_extended,
        first={"lane": 1500},
    ),
    "gzip": Defect(
        outcome="read", says="", meaning="The files are gzip.", apply=_gzipped, version=4
    ),
    "bom": Defect(
        outcome="read",
        says="",
        meaning="The files begin with a mark of UTF-8.",
        apply=_with_bom,
        version=3,
    ),
    "lower_case": Defect(
        outcome="read", says="", meaning="The Info is called info.dat.", apply=_lower_case
    ),
    "broken_info": Defect(
        outcome="refused", says="bad_json", meaning="The Info ends early.", apply=_broken_info
    ),
    "missing_audio": Defect(
        outcome="read",
        says="missing_audio",
        meaning="The audio is not there.",
        apply=_without_audio,
        version=3,
    ),
    "cut_zip": Defect(
        outcome="refused", says="bad_zip", meaning="A zip ends early.", apply=_as_it_is, is_zip=True
    ),
    "negative_time": Defect(
        outcome="read",
        says="negative_time",
        meaning="A note stands before the audio.",
        apply=_negative,
        first={"beat": -1.5},
        version=3,
    ),
    "text_as_time": Defect(
        outcome="read",
        says="wrong_type",
        meaning="The time of a note is text.",
        apply=_text_as_time,
        version=3,
        lost=1,
    ),
    "bad_index": Defect(
        outcome="read",
        says="bad_index",
        meaning="A note names data that is not there.",
        apply=_bad_index,
        lost=1,
        version=4,
    ),
    "editor_tempo": Defect(
        outcome="read",
        says="editor_tempo",
        meaning="An editor's grid changes its tempo, the map does not.",
        apply=_editor_tempo,
    ),
    "duplicate": Defect(
        outcome="duplicate",
        says="duplicate",
        meaning="The files are those of the first song.",
        apply=_as_it_is,
    ),
}
