"""Objects of difficulties of v1 and v2."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from workbench.beatmap.maps import checks
from workbench.beatmap.maps.decoding import UNDECODABLE, Found
from workbench.beatmap.maps.objects import (
    Arcs,
    Bombs,
    Notes,
    Objects,
    Rotations,
    Walls,
)
from workbench.beatmap.maps.parsed import (
    NOTHING,
    Numbers,
    Parsed,
    floats,
    ints,
    place_at,
    present,
    sorted_columns,
)
from workbench.beatmap.maps.schemas import v2

NOTE_KEYS = ("_time", "_lineIndex", "_lineLayer", "_type", "_cutDirection")
EVENT_KEYS = ("_time", "_type", "_value", "_floatValue")

_Played = TypeVar("_Played", v2.Note, v2.Obstacle)

# A wall's type of Mapping Extensions: 1000 to 4000 is a height, from 4001 on a height and an edge
_HEIGHT, _HEIGHT_AND_EDGE, _LAST = 1000, 4001, 4_005_000


class _CustomNote(msgspec.Struct):
    _fake: bool | int | None = None


class _CustomDifficulty(msgspec.Struct):
    _BPMChanges: list[Any] | None = None
    _bpmChanges: list[Any] | None = None  # noqa: N815


def read_v2(
    file: v2.Difficulty, version: str, found: Found, scanned: Mapping[str, Numbers] | None = None
) -> Parsed:
    """Return what a difficulty of v1 or v2 holds.

    Args:
        file: As decoded.
        version: As the file says, or none.
        found: Is told what is odd.
        scanned: Lists that are not in `file`, as columns in the order of `NOTE_KEYS` and
            `EVENT_KEYS`.
    """
    flags: set[str] = set()
    scanned = scanned or {}
    notes, bombs = _notes(*_note_columns(file, scanned.get("_notes"), found, flags), found, flags)
    beats, bpms, rotations = _events(*_timed(file, scanned.get("_events")), version, found)
    objects = Objects(
        notes=notes,
        bombs=bombs,
        walls=_walls(file, found, flags),
        arcs=_arcs(file, found, flags),
        chains=NOTHING.chains,
        rotations=rotations,
        speeds=NOTHING.speeds,
    )
    if _has_editor_tempo(file._customData):
        flags.add("editor_tempo")
    if _has_editor_tempo_at(file._BPMChanges):
        flags.add("editor_tempo")
    return Parsed(
        objects=objects,
        tempo_beats=beats,
        tempo_bpms=bpms,
        flags=flags,
        bpm=file._beatsPerMinute,
        njs=file._noteJumpSpeed,
        offset=file._noteJumpStartBeatOffset,
    )


def _has_editor_tempo(custom: msgspec.Raw) -> bool:
    """Return whether custom data holds changes of an editor's grid, under either name."""
    if not bytes(custom):
        return False
    try:
        held = msgspec.json.decode(custom, type=_CustomDifficulty)
    except UNDECODABLE:
        return False
    return bool(held._BPMChanges or held._bpmChanges)


def _has_editor_tempo_at(changes: msgspec.Raw) -> bool:
    return bytes(changes).strip() not in (b"", b"null", b"[]")


def _note_columns(
    file: v2.Difficulty, scanned: Numbers | None, found: Found, flags: set[str]
) -> tuple[list[Any], Sequence[int]]:
    """Return beat, lane, layer, type and direction of notes and bombs, and their indices."""
    if scanned is not None:
        beat = np.ascontiguousarray(scanned[:, 0])
        return [beat, *(scanned[:, j].astype(np.int32) for j in range(1, 5))], range(len(scanned))
    items, at = present(file._notes)
    items, at = _without_fakes(items, at, "_notes", found, flags)
    columns: list[Any] = [
        floats([n._time for n in items]),
        ints([n._lineIndex for n in items]),
        ints([n._lineLayer for n in items]),
        ints([n._type for n in items]),
        ints([n._cutDirection for n in items]),
    ]
    return columns, at


def _notes(
    columns: list[Any], at: Sequence[int], found: Found, flags: set[str]
) -> tuple[Notes, Bombs]:
    beat, lane, layer, kind, direction = columns
    if not len(beat):
        return NOTHING.notes, NOTHING.bombs
    bombs = NOTHING.bombs
    if (is_bomb := kind == v2.BOMB).any():
        bombs = Bombs.of(beat[is_bomb], lane[is_bomb], layer[is_bomb])
        place = place_at("_notes", np.asarray(at)[is_bomb].tolist())
        checks.check_beats(found, beat[is_bomb], place)
        checks.check_grid(found, flags, lane[is_bomb], layer[is_bomb], place)
        is_note = ~is_bomb
        beat, lane, layer = beat[is_note], lane[is_note], layer[is_note]
        kind, direction = kind[is_note], direction[is_note]
        at = np.asarray(at)[is_note].tolist()
    is_sorted = checks.check_notes(
        found,
        flags,
        place_at("_notes", at),
        beat=beat,
        lane=lane,
        layer=layer,
        color=kind,
        direction=direction,
    )
    angle = np.zeros(len(beat))
    notes = sorted_columns(Notes, beat, lane, layer, kind, direction, angle, is_sorted=is_sorted)
    return notes, bombs


def _without_fakes(
    items: list[_Played],
    at: Sequence[int],
    name: str,
    found: Found,
    flags: set[str],
) -> tuple[list[_Played], Sequence[int]]:
    """Return the objects that are played: Noodle's fakes only look like it."""
    none = msgspec.UNSET
    if not [item for item in items if item._customData is not none]:
        return items, at
    fakes = [i for i, item in enumerate(items) if _is_fake(item)]
    if not fakes:
        return items, at
    flags.update(("noodle", "fakes"))
    detail = "a fake of Noodle Extensions is not played"
    found.add("fake_object", f"$.{name}[{at[fakes[0]]}]", detail, count=len(fakes))
    are = set(fakes)
    kept = [i for i in range(len(items)) if i not in are]
    return [items[i] for i in kept], [at[i] for i in kept]


def _is_fake(item: v2.Note | v2.Obstacle) -> bool:
    if item._customData is msgspec.UNSET or b"_fake" not in bytes(item._customData):
        return False
    try:
        return bool(msgspec.json.decode(item._customData, type=_CustomNote)._fake)
    except UNDECODABLE:
        return False


def _walls(file: v2.Difficulty, found: Found, flags: set[str]) -> Walls:
    items, at = present(file._obstacles)
    items, at = _without_fakes(items, at, "_obstacles", found, flags)
    if not items:
        return NOTHING.walls
    edges = [_edge_and_height(wall) for wall in items]
    known = [wall._type in (0, 1, 2) or _HEIGHT <= wall._type <= _LAST for wall in items]
    place = place_at("_obstacles", at)
    if not all(known):
        checks.tell(
            found, "bad_wall_type", ~np.array(known), place, lambda i: f"type {items[i]._type}"
        )
    columns: dict[str, Any] = {
        "beat": floats([w._time for w in items]),
        "duration": floats([w._duration for w in items]),
        "lane": ints([w._lineIndex for w in items]),
        "layer": ints([edge for edge, _ in edges]),
        "width": ints([w._width for w in items]),
        "height": ints([height for _, height in edges]),
    }
    checks.check_walls(found, flags, place, **columns)
    return Walls.of(*columns.values())


def _edge_and_height(wall: v2.Obstacle) -> tuple[int, int]:
    """Return layer and height; of Mapping Extensions' types in its own units, 1000 and more."""
    kind = wall._type
    if kind == 0:
        return 0, 5
    if kind == 1:
        return 2, 3
    if kind == 2:
        return wall._lineLayer, wall._height
    if _HEIGHT_AND_EDGE <= kind <= _LAST:
        height, edge = divmod(kind - _HEIGHT_AND_EDGE, 1000)
        return edge * 5 + 1000, height * 5 + 1000
    if _HEIGHT <= kind < _HEIGHT_AND_EDGE:
        return 1000, (kind - _HEIGHT) * 5 + 1000
    return 0, 0


def _arcs(file: v2.Difficulty, found: Found, flags: set[str]) -> Arcs:
    items, at = present(file._sliders)
    if not items:
        return NOTHING.arcs
    columns: dict[str, Any] = {
        "beat": floats([a._headTime for a in items]),
        "color": ints([a._colorType for a in items]),
        "lane": ints([a._headLineIndex for a in items]),
        "layer": ints([a._headLineLayer for a in items]),
        "direction": ints([a._headCutDirection for a in items]),
        "length": floats([a._headControlPointLengthMultiplier for a in items]),
        "tail_beat": floats([a._tailTime for a in items]),
        "tail_lane": ints([a._tailLineIndex for a in items]),
        "tail_layer": ints([a._tailLineLayer for a in items]),
        "tail_direction": ints([a._tailCutDirection for a in items]),
        "tail_length": floats([a._tailControlPointLengthMultiplier for a in items]),
        "anchor": ints([a._sliderMidAnchorMode for a in items]),
    }
    checks.check_arcs(found, flags, place_at("_sliders", at), **columns)
    return Arcs.of(*columns.values())


def _timed(file: v2.Difficulty, scanned: Numbers | None) -> tuple[list[v2.Event], Sequence[int]]:
    """Return the events that may be more than light, and their indices: few of thousands."""
    least = v2.OLD_TEMPO
    if scanned is not None:
        at = np.flatnonzero(scanned[:, 1] >= least).tolist()
        rows = scanned[at].tolist()
        return [v2.Event(time, int(kind), int(value), f) for time, kind, value, f in rows], at
    items, indices = present(file._events)
    if not [event for event in items if event._type >= least]:
        return [], []
    found = [i for i, event in enumerate(items) if event._type >= least]
    return [items[i] for i in found], [indices[i] for i in found]


def _events(
    items: list[v2.Event], at: Sequence[int], version: str, found: Found
) -> tuple[list[float], list[float], Rotations]:
    """Return where the tempo changes and to what, and the rotations of the lane."""
    beats, bpms = [], []
    tempos = (v2.TEMPO, v2.OLD_TEMPO) if _is_before_2_5(version) else (v2.TEMPO,)
    for i, event in zip(at, items, strict=True):
        if event._type not in tempos:
            continue
        # Before 2.5 the tempo stood in the value, a whole number
        bpm = event._floatValue if event._type == v2.TEMPO else float(event._value)
        if bpm > 0:
            beats.append(event._time)
            bpms.append(bpm)
        else:
            found.add("bad_tempo", f"$._events[{i}]", f"{bpm:g} bpm; passed over")
    turns = [i for i, event in enumerate(items) if event._type in (v2.EARLY, v2.LATE)]
    return beats, bpms, _rotations([items[i] for i in turns], [at[i] for i in turns], found)


def _rotations(items: list[v2.Event], at: Sequence[int], found: Found) -> Rotations:
    turns = []
    for i, event in zip(at, items, strict=True):
        degrees = _degrees(event)
        if degrees is None:
            detail = f"value {event._value} is no angle"
            found.add("bad_rotation", f"$._events[{i}]", detail, fatal=True)
            continue
        turns.append((event._time, degrees, event._type == v2.EARLY))
    return Rotations.of(*zip(*turns, strict=True)) if turns else NOTHING.rotations


def _degrees(event: v2.Event) -> float | None:
    if 0 <= event._value < len(v2.DEGREES):
        return v2.DEGREES[event._value]
    if checks.EXTENDED <= event._value <= checks.EXTENDED + 720:
        return float(event._value - 1360)
    return None


def _is_before_2_5(version: str) -> bool:
    """Return whether a file is of a time when tempo events were of type 10."""
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    return numbers[:2] < [2, 5]
