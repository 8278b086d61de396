"""Difficulties as files of v2, v3 and v4, and whole levels written back as they were read.

Not every format holds everything: what one cannot is told by `cannot_hold` and refused, or left
out where that is asked for. Whatever is written is read back as the same objects. Written files
are plain JSON without blanks; a level that was read is written from its documents, so that lights
and custom data stay.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

import msgspec
import numpy as np

from workbench.beatmap.maps.decoding import Found
from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.level import Level
from workbench.beatmap.maps.objects import Columns, Objects, Rotations, Walls
from workbench.beatmap.maps.reading import parsed_of
from workbench.beatmap.maps.schemas import v2
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

VERSIONS = {2: "2.6.0", 3: "3.3.0", 4: "4.1.0"}

Json = dict[str, Any]

_FULL, _TOP = (0, 5), (2, 3)  # layer and height of the walls that v2 has a type for


def cannot_hold(objects: Objects, format_: int) -> dict[str, int]:
    """Return what a format has no way to say: how many objects by what they are.

    Args:
        objects: Of a difficulty.
        format_: 2, 3 or 4.

    Raises:
        BeatmapError: The format is none that is written.
    """
    _check_format(format_)
    counts = {name: int((~mask).sum()) for name, (_, mask) in _held(objects, format_).items()}
    return {name: count for name, count in counts.items() if count}


def holdable(objects: Objects, format_: int) -> Objects:
    """Return the objects that a format can hold, notes without an angle where it has none.

    Raises:
        BeatmapError: The format is none that is written.
    """
    _check_format(format_)
    for kind, mask in _held(objects, format_).values():
        if kind == "angle":
            straight = replace(objects.notes, angle=np.zeros(len(objects.notes)))
            objects = replace(objects, notes=straight)
        elif not mask.all():
            kept = getattr(objects, kind).take(mask)
            objects = replace(objects, **{kind: kept})
    return objects


def write_difficulty(
    objects: Objects,
    format_: int = 2,
    *,
    times: TimeMap | None = None,
    bpm: float | None = None,
    leave_out: bool = False,
) -> bytes:
    """Return the file of a difficulty without lights.

    Args:
        objects: What is played.
        format_: 2, 3 or 4.
        times: Tempo changes to write into v2 and v3; v4 has them in `write_audio_data`.
        bpm: The Info's tempo, which `times` begins from; else its first.
        leave_out: Whether what the format cannot hold is left out instead of refused.

    Raises:
        BeatmapError: The format cannot hold the objects (`cannot_hold`) or the tempo, a number is
            infinite or none, or the format is none that is written.
    """
    lost = cannot_hold(objects, format_)
    if lost and not leave_out:
        what = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in lost.items())
        raise BeatmapError(
            f"v{format_} cannot hold {what}; take another format or leave them out", "cannot_hold"
        )
    objects = holdable(objects, format_)
    _check_finite(objects)
    changes = _changes(times, bpm) if times is not None and format_ != 4 else []
    parts = _PARTS[format_](objects)
    if format_ == 2:
        parts["_events"] = _by_time([*parts["_events"], *(_tempo_event(*one) for one in changes)])
        parts = {"_version": VERSIONS[2], **parts, "_waypoints": []}
    elif format_ == 3:
        tempo = [{"b": beat, "m": own} for beat, own in changes]
        parts = {"version": VERSIONS[3], "bpmEvents": tempo, **parts, **_NO_LIGHTS_3}
    else:
        del parts["spawnRotations"], parts["spawnRotationsData"]
        parts = {"version": VERSIONS[4], **parts}
    return msgspec.json.encode(parts)


def write_audio_data(times: TimeMap, sample_count: int, frequency: int, format_: int = 4) -> bytes:
    """Return v4's AudioData or v2's BPMInfo of a tempo.

    Args:
        times: The tempo; beats before the audio are left out.
        sample_count: Of the audio.
        frequency: Samples a second.
        format_: 2 or 4.

    Raises:
        BeatmapError: The audio or a piece of the tempo has no length in samples.
    """
    if sample_count < 1 or frequency < 1:
        raise BeatmapError("audio without samples has no tempo", "bad_tempo")
    end = sample_count / frequency
    starts = [s for s in times.seconds.tolist() if 0 < s < end]
    edges = np.rint(np.array([0.0, *starts, end]) * frequency).astype(np.int64)
    if (np.diff(edges) < 1).any():
        raise BeatmapError("a piece of the tempo is shorter than a sample", "bad_tempo")
    beats = times.beats_at(edges / frequency).tolist()
    regions = zip(edges[:-1].tolist(), edges[1:].tolist(), beats[:-1], beats[1:], strict=True)
    if format_ == 4:
        return msgspec.json.encode(
            {
                "version": "4.0.0",
                "songChecksum": "",
                "songSampleCount": sample_count,
                "songFrequency": frequency,
                "bpmData": [dict(zip(("si", "ei", "sb", "eb"), r, strict=True)) for r in regions],
                "lufsData": [],
            }
        )
    keys = ("_startSampleIndex", "_endSampleIndex", "_startBeat", "_endBeat")
    return msgspec.json.encode(
        {
            "_version": "2.0.0",
            "_songSampleCount": sample_count,
            "_songFrequency": frequency,
            "_regions": [dict(zip(keys, region, strict=True)) for region in regions],
        }
    )


def rewritten(document: Document, objects: Objects) -> Document:
    """Return a difficulty's document with other objects in it, and all the rest as it was.

    What has not changed keeps its own text with its custom data. In v4, notes, arcs and chains
    share a table and are written together.

    Args:
        document: As it was read; of any format.
        objects: What is to be in it.

    Raises:
        BeatmapError: The format cannot hold the objects, or a number is infinite or none.
    """
    before = parsed_of(document, 0.0, Found(""))
    held = before.objects if before else Objects.none()
    changed = {f.name for f in fields(Objects) if getattr(held, f.name) != getattr(objects, f.name)}
    format_ = max(document.format, 2)
    _check_finite(objects)
    for kind, mask in _held(objects, format_).values():
        if ("notes" if kind == "angle" else kind) in changed and not mask.all():
            raise BeatmapError(f"v{format_} cannot hold all of the {kind}", "cannot_hold")
    parts = _PARTS[format_](holdable(objects, format_))
    wanted = {key for kind in changed for key in _KEYS[format_].get(kind, ())}
    chosen = {key: parts[key] for key in parts if key in wanted}
    if "_events" in chosen:
        chosen["_events"] = _by_time([*_other_events(document), *chosen["_events"]])
    return document.with_parts(chosen)


def level_files(level: Level) -> dict[str, bytes]:
    """Return the files of a level that was read, by name, without audio and cover."""
    documents: dict[str, Document | None] = {}
    for beatmap in level.beatmaps:
        documents[beatmap.file] = beatmap.document
        documents[beatmap.lightshow_file] = beatmap.lightshow
    files = {name: document.data for name, document in documents.items() if document and name}
    if level.audio_data is not None:
        files[level.audio_data_file] = level.audio_data.data
    if level.info is not None:
        files[level.info_file] = level.info.data
    return files


def _check_format(format_: int) -> None:
    if format_ not in VERSIONS:
        raise BeatmapError(f"format {format_} is not written; take 2, 3 or 4", "unknown_format")


def _check_finite(objects: Objects) -> None:
    for kind in fields(objects):
        columns: Columns = getattr(objects, kind.name)
        for name in columns.DTYPES:
            if not np.isfinite(getattr(columns, name)).all():
                detail = f"{kind.name}: a {name} that is no number; JSON has none such"
                raise BeatmapError(detail, "not_a_number")


def _held(objects: Objects, format_: int) -> dict[str, tuple[str, Any]]:
    """Return, by what a format may lack, the kind of object and which of them it holds."""
    notes = objects.notes
    if format_ == 4:
        return {"rotation_events": ("rotations", np.zeros(len(objects.rotations), bool))}
    held: dict[str, tuple[str, Any]] = {
        "njs_events": ("speeds", np.zeros(len(objects.speeds), bool))
    }
    if format_ == 2:
        held |= {
            "notes_of_no_hand": ("notes", (notes.color == 0) | (notes.color == 1)),
            "angles_of_notes": ("angle", notes.angle == 0),
            "walls_of_other_shapes": ("walls", _wall_types(objects.walls) >= 0),
            "chains": ("chains", np.zeros(len(objects.chains), bool)),
            "rotations_of_other_degrees": (
                "rotations",
                np.isin(objects.rotations.degrees, v2.DEGREES),
            ),
        }
    return held


def _wall_types(walls: Walls) -> Any:
    """Return v2's type of each wall, -1 where it has none.

    Of walls in Mapping Extensions' units: 1000 times the height plus the lower edge, from 4001.
    """
    layer, height = walls.layer.astype(np.int64), walls.height.astype(np.int64)
    types = np.full(len(walls), -1, np.int64)
    types[(layer == _FULL[0]) & (height == _FULL[1])] = 0
    types[(layer == _TOP[0]) & (height == _TOP[1])] = 1
    edge, rest = np.divmod(layer - 1000, 5)
    tall, left = np.divmod(height - 1000, 5)
    is_extended = (rest == 0) & (left == 0) & (edge >= 0) & (edge < 1000) & (tall >= 0)
    extended = tall * 1000 + edge + 4001
    is_extended &= extended <= 4_005_000
    types[is_extended] = extended[is_extended]
    return types


def _changes(times: TimeMap, bpm: float | None) -> list[tuple[float, float]]:
    """Return the tempo events that make a time map, begun from the Info's tempo."""
    start = float(times.bpm[0]) if bpm is None else bpm
    pairs = list(zip(times.beat.tolist(), times.bpm.tolist(), strict=True))
    if pairs[0][1] == start:
        pairs = pairs[1:]
    made = TimeMap.of_changes(start, [beat for beat, _ in pairs], [own for _, own in pairs])
    at = np.append(times.beat, times.beat[-1] + 1.0)
    if not np.allclose(made.seconds_at(at), times.seconds_at(at), rtol=0, atol=1e-6):
        raise BeatmapError("tempo events cannot hold a tempo that begins elsewhere", "cannot_hold")
    return pairs


def _tempo_event(beat: float, bpm: float) -> Json:
    return {"_time": beat, "_type": v2.TEMPO, "_value": 0, "_floatValue": bpm}


def _by_time(items: list[Any]) -> list[Any]:
    return sorted(items, key=_event_time)


def _event_time(item: Any) -> float:
    time = item.get("_time", 0) if isinstance(item, dict) else 0
    return time if isinstance(time, int | float) else 0


def _other_events(document: Document) -> list[Any]:
    """Return the events of a v2 difficulty that turn no lane."""
    events = msgspec.json.decode(document.parts().get("_events", msgspec.Raw(b"[]"))) or []
    turns = (v2.EARLY, v2.LATE)
    return [e for e in events if not (isinstance(e, dict) and e.get("_type") in turns)]


def _rows(columns: Columns, keys: Iterable[str]) -> list[Json]:
    """Return objects as JSON, their columns under the keys given."""
    lists = [getattr(columns, name).tolist() for name in columns.DTYPES]
    names = tuple(keys)
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _degrees(value: float) -> int | float:
    """Return an angle as the formats spell it, whole where it is."""
    return int(value) if value.is_integer() else value


def _v2(objects: Objects) -> Json:
    keys = ("_time", "_lineIndex", "_lineLayer", "_type", "_cutDirection")
    notes = [
        dict(zip(keys, row, strict=True))
        for row in zip(
            *(getattr(objects.notes, n).tolist() for n in ("beat", "lane", "layer", "color")),
            objects.notes.direction.tolist(),
            strict=True,
        )
    ]
    bombs = [
        {**row, "_type": v2.BOMB, "_cutDirection": 0} for row in _rows(objects.bombs, keys[:3])
    ]
    walls = objects.walls
    types = _wall_types(walls).tolist()
    obstacles = [
        {"_time": b, "_lineIndex": x, "_type": t, "_duration": d, "_width": w}
        for b, x, t, d, w in zip(
            walls.beat.tolist(),
            walls.lane.tolist(),
            types,
            walls.duration.tolist(),
            walls.width.tolist(),
            strict=True,
        )
    ]
    return {
        "_notes": _by_time([*notes, *bombs]),
        "_obstacles": obstacles,
        "_sliders": _rows(objects.arcs, _ARC_KEYS_2),
        "_events": _rotation_events(objects.rotations),
    }


_ARC_KEYS_2 = (
    "_headTime",
    "_colorType",
    "_headLineIndex",
    "_headLineLayer",
    "_headCutDirection",
    "_headControlPointLengthMultiplier",
    "_tailTime",
    "_tailLineIndex",
    "_tailLineLayer",
    "_tailCutDirection",
    "_tailControlPointLengthMultiplier",
    "_sliderMidAnchorMode",
)


def _rotation_events(rotations: Rotations) -> list[Json]:
    return [
        {
            "_time": beat,
            "_type": v2.EARLY if is_early else v2.LATE,
            "_value": v2.DEGREES.index(degrees),
            "_floatValue": 0.0,
        }
        for beat, degrees, is_early in zip(
            rotations.beat.tolist(),
            rotations.degrees.tolist(),
            rotations.is_early.tolist(),
            strict=True,
        )
    ]


def _v3(objects: Objects) -> Json:
    notes = _rows(objects.notes, "bxycda")
    for note in notes:
        note["a"] = _degrees(note["a"])
    rotations = [
        {"b": row["b"], "e": 0 if row["e"] else 1, "r": row["r"]}
        for row in _rows(objects.rotations, "bre")
    ]
    chain_keys = ("b", "c", "x", "y", "d", "tb", "tx", "ty", "sc", "s")
    arc_keys = ("b", "c", "x", "y", "d", "mu", "tb", "tx", "ty", "tc", "tmu", "m")
    return {
        "rotationEvents": rotations,
        "colorNotes": notes,
        "bombNotes": _rows(objects.bombs, "bxy"),
        "obstacles": _rows(objects.walls, "bdxywh"),
        "sliders": _rows(objects.arcs, arc_keys),
        "burstSliders": _rows(objects.chains, chain_keys),
    }


_NO_LIGHTS_3: Json = {
    "waypoints": [],
    "basicBeatmapEvents": [],
    "colorBoostBeatmapEvents": [],
    "lightColorEventBoxGroups": [],
    "lightRotationEventBoxGroups": [],
    "lightTranslationEventBoxGroups": [],
    "vfxEventBoxGroups": [],
    "basicEventTypesWithKeywords": {"d": []},
    "_fxEventsCollection": {"_fl": [], "_il": []},
    "useNormalEventsAsCompatibleEvents": True,
}


class _Table:
    """Entries of data, each once."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._rows: dict[tuple[Any, ...], int] = {}

    def index(self, *row: Any) -> int:
        return self._rows.setdefault(row, len(self._rows))

    def entries(self) -> list[Json]:
        return [dict(zip(self._keys, row, strict=True)) for row in self._rows]


def _v4(objects: Objects) -> Json:
    # In one piece: the rows of notes, arcs and chains fill the tables that are written after them
    notes, bombs = _Table("x", "y", "c", "d", "a"), _Table("x", "y")
    walls, arcs = _Table("d", "x", "y", "w", "h"), _Table("m", "tm", "a")
    chains, speeds = _Table("tx", "ty", "c", "s"), _Table("d", "e", "p")
    color_notes = [
        {"b": b, "r": 0, "i": notes.index(x, y, c, d, _degrees(a))}
        for b, x, y, c, d, a in _tuples(objects.notes)
    ]
    arc_rows = [
        {
            "hb": b,
            "hr": 0,
            "hi": notes.index(x, y, c, d, 0),
            "tb": tb,
            "tr": 0,
            "ti": notes.index(tx, ty, c, td, 0),
            "ai": arcs.index(m, tm, anchor),
        }
        for b, c, x, y, d, m, tb, tx, ty, td, tm, anchor in _tuples(objects.arcs)
    ]
    chain_rows = [
        {
            "hb": b,
            "hr": 0,
            "i": notes.index(x, y, c, d, 0),
            "tb": tb,
            "tr": 0,
            "ci": chains.index(tx, ty, slices, squish),
        }
        for b, c, x, y, d, tb, tx, ty, slices, squish in _tuples(objects.chains)
    ]
    return {
        "colorNotes": color_notes,
        "bombNotes": [
            {"b": b, "r": 0, "i": bombs.index(x, y)} for b, x, y in _tuples(objects.bombs)
        ],
        "obstacles": [
            {"b": b, "r": 0, "i": walls.index(d, x, y, w, h)}
            for b, d, x, y, w, h in _tuples(objects.walls)
        ],
        "arcs": arc_rows,
        "chains": chain_rows,
        "njsEvents": [
            {"b": b, "i": speeds.index(change, easing, int(keeps))}
            for b, change, easing, keeps in _tuples(objects.speeds)
        ],
        "colorNotesData": notes.entries(),
        "bombNotesData": bombs.entries(),
        "obstaclesData": walls.entries(),
        "arcsData": arcs.entries(),
        "chainsData": chains.entries(),
        "njsEventData": speeds.entries(),
        "spawnRotations": [],  # of 4.0.0 only; written to take old ones away
        "spawnRotationsData": [],
    }


def _tuples(columns: Columns) -> Iterable[tuple[Any, ...]]:
    return zip(*(getattr(columns, name).tolist() for name in columns.DTYPES), strict=True)


_PARTS: dict[int, Callable[[Objects], Json]] = {2: _v2, 3: _v3, 4: _v4}
_SHARED_4 = ("colorNotes", "arcs", "chains", "colorNotesData", "arcsData", "chainsData")
# Which keys of a file are written anew when a kind of object has changed
_KEYS: dict[int, dict[str, tuple[str, ...]]] = {
    2: {
        "notes": ("_notes",),
        "bombs": ("_notes",),
        "walls": ("_obstacles",),
        "arcs": ("_sliders",),
        "rotations": ("_events",),
    },
    3: {
        "notes": ("colorNotes",),
        "bombs": ("bombNotes",),
        "walls": ("obstacles",),
        "arcs": ("sliders",),
        "chains": ("burstSliders",),
        "rotations": ("rotationEvents",),
    },
    4: {
        "notes": _SHARED_4,
        "arcs": _SHARED_4,
        "chains": _SHARED_4,
        "bombs": ("bombNotes", "bombNotesData"),
        "walls": ("obstacles", "obstaclesData"),
        "rotations": ("spawnRotations", "spawnRotationsData"),
        "speeds": ("njsEvents", "njsEventData"),
    },
}
