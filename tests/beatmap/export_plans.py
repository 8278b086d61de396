"""Plans of levels for tests of the export, and faults put into the files of sound ones."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.beatmap.maps.export import AUDIO, ChartPlan, MapPlan
from workbench.beatmap.maps.objects import (
    Arcs,
    Bombs,
    Chains,
    Notes,
    Objects,
    Rotations,
    SpeedChanges,
    Walls,
)
from workbench.music.vorbis import vorbis_bytes

Files = dict[str, bytes]

SECONDS = 30
CHART = "ExpertStandard.dat"


@functools.cache
def audio(seconds: float = SECONDS, rate: int = 8000) -> bytes:
    """Return silence."""
    return vorbis_bytes(np.zeros(round(seconds * rate)), rate)


def stream(count: int = 64, first: float = 4.0, step: float = 0.5) -> Notes:
    """Return notes of both hands by turns, each down and up by turns."""
    at = np.arange(count)
    still = np.zeros(count)
    return Notes.of(
        first + step * at, 1 + at % 2, still.astype(int), at % 2, 1 - (at // 2) % 2, still
    )


def plan(notes: Notes | None = None, **changed: Any) -> MapPlan:
    """Return a plan of one difficulty."""
    objects = replace(Objects.none(), notes=stream() if notes is None else notes)
    chart = ChartPlan(difficulty="Expert", objects=objects)
    return replace(
        MapPlan(title="A Song", artist="Nobody", bpm=120.0, audio=audio(), charts=(chart,)),
        **changed,
    )


def full_plan(format_: int) -> MapPlan:
    """Return a plan with all that a format can hold, in two difficulties and characteristics."""
    notes = stream()
    objects = replace(
        Objects.none(),
        notes=notes,
        bombs=Bombs.of([40, 41], [0, 3], [2, 2]),
        walls=Walls.of([44, 45], [2, 1.5], [0, 2], [0, 2], [1, 2], [5, 3]),
        arcs=Arcs.of([4], [0], [1], [0], [1], [1], [5], [1], [0], [0], [1.5], [1]),
    )
    if format_ > 2:
        chains = Chains.of([42], [0], [1], [1], [1], [42.5], [0], [0], [4], [0.75])
        head = Notes.of([42], [1], [1], [0], [1], [15])
        both = Notes.of(*(np.append(getattr(notes, n), getattr(head, n)) for n in Notes.DTYPES))
        objects = replace(objects, chains=chains, notes=both)
    if format_ < 4:
        objects = replace(objects, rotations=Rotations.of([6, 12], [30, -15], [True, False]))
    else:
        objects = replace(objects, speeds=SpeedChanges.of([8], [2.5], [1], [False]))
    easy = replace(Objects.none(), notes=stream(12, 8.0, 2.0))
    charts = (
        ChartPlan(difficulty="Easy", objects=easy),
        ChartPlan(difficulty="ExpertPlus", objects=objects, njs=17.5, offset=-0.25),
        ChartPlan(difficulty="Expert", characteristic="OneSaber", objects=easy),
    )
    return replace(
        plan(),
        subtitle="(short)",
        title="Später 曲",
        mapper="Mapper",
        bpm=137.977,
        environment="BigMirrorEnvironment",
        charts=charts,
    )


def edited(files: Files, name: str, change: Callable[[Any], Any]) -> Files:
    """Return files of which one JSON file is changed."""
    tree = json.loads(files[name])
    return {**files, name: json.dumps(change(tree) or tree).encode()}


def note_list(tree: Any, format_: int) -> list[Any]:
    """Return the notes of a difficulty's file, or in version 4 what their data are."""
    return tree[{2: "_notes", 3: "colorNotes", 4: "colorNotesData"}[format_]]


def _note(format_: int, change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], None]:
    return lambda tree: change(note_list(tree, format_)[0]) and None


def _set(format_: int, field: int, value: Any) -> Callable[[Files], Files]:
    """Return what sets lane (0) or direction (1) of the first note."""
    key = {2: ("_lineIndex", "_cutDirection"), 3: ("x", "d"), 4: ("x", "d")}[format_][field]
    return lambda files: edited(files, CHART, _note(format_, lambda n: n.update({key: value})))


def _late(tree: Any, format_: int) -> None:
    key, beat = {2: ("_notes", "_time"), 3: ("colorNotes", "b"), 4: ("colorNotes", "b")}[format_]
    tree[key][0][beat] = "4"


def _bpm(tree: Any, format_: int) -> None:
    if format_ == 4:
        tree["audio"]["bpm"] = "120"
    else:
        tree["_beatsPerMinute"] = "120"


def _stacked(tree: Any, format_: int) -> None:
    key = {2: "_notes", 3: "colorNotes", 4: "colorNotes"}[format_]
    tree[key].insert(1, dict(tree[key][0]))


def _one_way(tree: Any, format_: int) -> None:
    for note in note_list(tree, format_):
        note["_cutDirection" if format_ == 2 else "d"] = 1


def _alias(tree: Any, format_: int) -> None:
    if format_ == 4:
        tree["difficultyBeatmaps"][0]["difficulty"] = "Expert+"
    else:
        tree["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"][0]["_difficulty"] = "Expert+"


def _without(name: str) -> Callable[[Files], Files]:
    return lambda files: {other: files[other] for other in files if other != name}


def injected(fault: str, files: Files, format_: int) -> Files:
    """Return files with one of the eleven `FAULTS` in them."""
    key = "_cutDirection" if format_ == 2 else "d"
    changes: dict[str, Callable[[Files], Files]] = {
        "lane 5": _set(format_, 0, 5),
        "lane 2000": _set(format_, 0, 2000),
        "time as string": lambda f: edited(f, CHART, lambda tree: _late(tree, format_)),
        "bpm as string": lambda f: edited(f, "Info.dat", lambda tree: _bpm(tree, format_)),
        "missing file": _without(CHART),
        "stacked note": lambda f: edited(f, CHART, lambda tree: _stacked(tree, format_)),
        "same-direction stream": lambda f: edited(f, CHART, lambda t: _one_way(t, format_)),
        "no direction": lambda f: edited(f, CHART, _note(format_, lambda n: n.pop(key))),
        "direction 99": _set(format_, 1, 99),
        "difficulty Expert+": lambda f: edited(f, "Info.dat", lambda tree: _alias(tree, format_)),
        "mp3 audio": lambda f: {**f, AUDIO: b"ID3\x04\x00" + bytes(2000)},
    }
    return changes[fault](files)


FAULTS = {
    "lane 5": "outside_grid",
    "lane 2000": "outside_grid",
    "time as string": "wrong_type",
    "bpm as string": "wrong_type",
    "missing file": "missing_file",
    "stacked note": "stacked_note",
    "same-direction stream": "same_direction_stream",
    "no direction": "missing_key",
    "direction 99": "bad_direction",
    "difficulty Expert+": "difficulty_alias",
    "mp3 audio": "audio_kind",
}
