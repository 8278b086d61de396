"""Objects of difficulties of v4, and what points to nothing in its files of lights."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET

from workbench.beatmap.maps import checks
from workbench.beatmap.maps.decoding import Found
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
from workbench.beatmap.maps.parsed import (
    NOTHING,
    Parsed,
    floats,
    ints,
    place_at,
    present,
    sorted_columns,
)
from workbench.beatmap.maps.schemas import v4


def read_v4(file: v4.Difficulty, njs: float, found: Found) -> Parsed:
    """Return what a difficulty of v4 holds; its tempo lies in another file.

    Args:
        file: As decoded.
        njs: Of the Info, metres a second.
        found: Is told what is odd.
    """
    flags: set[str] = set()
    objects = Objects(
        notes=_notes(file, found, flags),
        bombs=_bombs(file, found, flags),
        walls=_walls(file, found, flags),
        arcs=_arcs(file, found, flags),
        chains=_chains(file, found, flags),
        rotations=_rotations(file, found),
        speeds=_speeds(file, njs, found),
    )
    _flag_lanes_turned(file, flags)
    return Parsed(objects=objects, flags=flags)


def check_lightshow(file: v4.Lightshow, found: Found) -> None:
    """Tell of lights that point to nothing, and of types and values that no light has."""
    for events, table in (
        ("basicEvents", "basicEventsData"),
        ("colorBoostEvents", "colorBoostEventsData"),
        ("waypoints", "waypointsData"),
    ):
        _joined(getattr(file, events), [("i", getattr(file, table), table)], events, found)
    data, at = present(file.basicEventsData)
    for i, light in zip(at, data, strict=True):
        if light.t < 0 or light.i < 0:
            detail = f"type {light.t}, value {light.i}"
            found.add("bad_event", f"$.basicEventsData[{i}]", detail)
    groups, at = present(file.eventBoxGroups)
    for i, group in zip(at, groups, strict=True):
        _check_group(file, group, f"$.eventBoxGroups[{i}]", found)


def _check_group(file: v4.Lightshow, group: v4.EventBoxGroup, path: str, found: Found) -> None:
    if group.t not in v4.GROUPS:
        found.add("bad_event", path, f"a group of type {group.t}")
        return
    boxes, events = (getattr(file, name) for name in v4.GROUPS[group.t])
    for j, box in enumerate(group.e or ()):
        if box is None:
            continue
        _check_index(box.f, file.indexFilters, f"{path}.e[{j}].f", "indexFilters", found)
        _check_index(box.e, boxes, f"{path}.e[{j}].e", v4.GROUPS[group.t][0], found)
        for k, event in enumerate(box.l or ()):
            if event is not None:
                where = f"{path}.e[{j}].l[{k}].i"
                _check_index(event.i, events, where, v4.GROUPS[group.t][1], found)


def _check_index(
    index: int, table: Sequence[Any] | None, path: str, name: str, found: Found
) -> None:
    if not 0 <= index < len(table or ()):
        found.add("bad_index", path, _out_of(index, table, name), fatal=True)


def _out_of(index: int, table: Sequence[Any] | None, name: str) -> str:
    return f"index {index} of {name}, which holds {len(table or ())}"


def _joined(
    objects: list[Any] | None,
    tables: list[tuple[str, list[Any] | None, str]],
    name: str,
    found: Found,
) -> tuple[list[Any], list[list[Any]], Callable[[int], str]]:
    """Return the objects whose indices hold, and for each table the entry of each object.

    Args:
        objects: Of the file.
        tables: For each: the key of the index, the table, its name.
        name: Of the list of objects.
        found: Is told of indices that point to nothing.
    """
    items, at = present(objects)
    indices = [ints([getattr(item, key) for item in items]) for key, _, _ in tables]
    is_good = np.ones(len(items), bool)
    for index, (key, table, table_name) in zip(indices, tables, strict=True):
        is_held = (index >= 0) & (index < len(table or ()))
        for i in np.flatnonzero(~is_held).tolist():
            detail = _out_of(int(index[i]), table, table_name)
            found.add("bad_index", f"$.{name}[{at[i]}].{key}", detail, fatal=True)
        if table is not None and None in table:
            is_read = [
                good and table[k] is not None for good, k in zip(is_held, index, strict=True)
            ]
            for i in np.flatnonzero(is_held & ~np.array(is_read, bool)).tolist():
                detail = f"entry {index[i]} of {table_name} could not be read"
                found.add("bad_entry", f"$.{name}[{at[i]}].{key}", detail, fatal=True)
            is_held = np.array(is_read, bool)
        is_good &= is_held
    kept = np.flatnonzero(is_good).tolist()
    entries = [
        [(table or ())[k] for k in index[kept].tolist()]
        for index, (_, table, _) in zip(indices, tables, strict=True)
    ]
    return [items[i] for i in kept], entries, place_at(name, [at[i] for i in kept])


def _notes(file: v4.Difficulty, found: Found, flags: set[str]) -> Notes:
    tables = [("i", file.colorNotesData, "colorNotesData")]
    items, (data,), place = _joined(file.colorNotes, tables, "colorNotes", found)
    if not items:
        return NOTHING.notes
    columns: dict[str, Any] = {
        "beat": floats([n.b for n in items]),
        "lane": ints([n.x for n in data]),
        "layer": ints([n.y for n in data]),
        "color": ints([n.c for n in data]),
        "direction": ints([n.d for n in data]),
    }
    is_sorted = checks.check_notes(found, flags, place, **columns)
    angle = floats([n.a for n in data])
    return sorted_columns(Notes, *columns.values(), angle, is_sorted=is_sorted)


def _bombs(file: v4.Difficulty, found: Found, flags: set[str]) -> Bombs:
    tables = [("i", file.bombNotesData, "bombNotesData")]
    items, (data,), place = _joined(file.bombNotes, tables, "bombNotes", found)
    if not items:
        return NOTHING.bombs
    beat = floats([b.b for b in items])
    lane, layer = ints([b.x for b in data]), ints([b.y for b in data])
    checks.check_beats(found, beat, place)
    checks.check_grid(found, flags, lane, layer, place)
    return Bombs.of(beat, lane, layer)


def _walls(file: v4.Difficulty, found: Found, flags: set[str]) -> Walls:
    tables = [("i", file.obstaclesData, "obstaclesData")]
    items, (data,), place = _joined(file.obstacles, tables, "obstacles", found)
    if not items:
        return NOTHING.walls
    columns: dict[str, Any] = {
        "beat": floats([w.b for w in items]),
        "duration": floats([w.d for w in data]),
        "lane": ints([w.x for w in data]),
        "layer": ints([w.y for w in data]),
        "width": ints([w.w for w in data]),
        "height": ints([w.h for w in data]),
    }
    checks.check_walls(found, flags, place, **columns)
    return Walls.of(*columns.values())


def _arcs(file: v4.Difficulty, found: Found, flags: set[str]) -> Arcs:
    tables: list[tuple[str, list[Any] | None, str]] = [
        ("hi", file.colorNotesData, "colorNotesData"),
        ("ti", file.colorNotesData, "colorNotesData"),
        ("ai", file.arcsData, "arcsData"),
    ]
    items, (heads, tails, data), place = _joined(file.arcs, tables, "arcs", found)
    if not items:
        return NOTHING.arcs
    columns: dict[str, Any] = {
        "beat": floats([a.hb for a in items]),
        "color": ints([h.c for h in heads]),
        "lane": ints([h.x for h in heads]),
        "layer": ints([h.y for h in heads]),
        "direction": ints([h.d for h in heads]),
        "length": floats([d.m for d in data]),
        "tail_beat": floats([a.tb for a in items]),
        "tail_lane": ints([t.x for t in tails]),
        "tail_layer": ints([t.y for t in tails]),
        "tail_direction": ints([t.d for t in tails]),
        "tail_length": floats([d.tm for d in data]),
        "anchor": ints([d.a for d in data]),
    }
    checks.check_arcs(found, flags, place, **columns)
    return Arcs.of(*columns.values())


def _chains(file: v4.Difficulty, found: Found, flags: set[str]) -> Chains:
    tables: list[tuple[str, list[Any] | None, str]] = [
        ("i", file.colorNotesData, "colorNotesData"),
        ("ci", file.chainsData, "chainsData"),
    ]
    items, (heads, data), place = _joined(file.chains, tables, "chains", found)
    if not items:
        return NOTHING.chains
    columns: dict[str, Any] = {
        "beat": floats([c.hb for c in items]),
        "color": ints([h.c for h in heads]),
        "lane": ints([h.x for h in heads]),
        "layer": ints([h.y for h in heads]),
        "direction": ints([h.d for h in heads]),
        "tail_beat": floats([c.tb for c in items]),
        "tail_lane": ints([d.tx for d in data]),
        "tail_layer": ints([d.ty for d in data]),
        "slices": ints([d.c for d in data]),
        "squish": floats([d.s for d in data]),
    }
    checks.check_chains(found, flags, place, **columns)
    return Chains.of(*columns.values())


def _rotations(file: v4.Difficulty, found: Found) -> Rotations:
    tables = [("i", file.spawnRotationsData, "spawnRotationsData")]
    items, (data,), _ = _joined(file.spawnRotations, tables, "spawnRotations", found)
    if not items:
        return NOTHING.rotations
    # The one key or the other, as the tool that wrote the file spells it
    when = [d.e if d.e is not UNSET else d.t if d.t is not UNSET else 0 for d in data]
    return Rotations.of(
        floats([event.b for event in items]),
        floats([d.r for d in data]),
        np.array([not late for late in when], bool),
    )


def _speeds(file: v4.Difficulty, njs: float, found: Found) -> SpeedChanges:
    tables = [("i", file.njsEventData, "njsEventData")]
    items, (data,), place = _joined(file.njsEvents, tables, "njsEvents", found)
    if not items:
        return NOTHING.speeds
    change = floats([d.d for d in data])
    checks.check_speeds(found, njs, change, place)
    return SpeedChanges.of(
        floats([event.b for event in items]),
        change,
        ints([d.e for d in data]),
        np.array([bool(d.p) for d in data], bool),
    )


def _flag_lanes_turned(file: v4.Difficulty, flags: set[str]) -> None:
    """Flag a map whose objects carry their lane's rotation themselves."""
    placed = [file.colorNotes, file.bombNotes, file.obstacles]
    is_turned = any(item is not None and item.r for items in placed for item in items or ())
    ends: list[v4.Arc | v4.Chain] = [*(file.arcs or ()), *(file.chains or ())]
    if is_turned or any(end is not None and (end.hr or end.tr) for end in ends):
        flags.add("lane_rotation")
