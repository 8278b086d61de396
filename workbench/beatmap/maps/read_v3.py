"""Objects of difficulties of v3."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from workbench.beatmap.maps import checks
from workbench.beatmap.maps.decoding import PARTS, RAWS, UNDECODABLE, Found
from workbench.beatmap.maps.objects import (
    Arcs,
    Bombs,
    Chains,
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
from workbench.beatmap.maps.schemas import v3

_FAKES = ("fakeColorNotes", "fakeBombNotes", "fakeObstacles", "fakeBurstSliders")

NOTE_KEYS = ("b", "x", "y", "c", "d", "a")
EVENT_KEYS = ("b", "et", "i", "f")


def read_v3(
    file: v3.Difficulty, found: Found, scanned: Mapping[str, Numbers] | None = None
) -> Parsed:
    """Return what a difficulty of v3 holds.

    Args:
        file: As decoded.
        found: Is told what is odd.
        scanned: Lists that are not in `file`, as columns in the order of `NOTE_KEYS`.
    """
    flags: set[str] = set()
    _flag_fakes(file.customData, found, flags)
    tempos, at = present(file.bpmEvents)
    for i, event in zip(at, tempos, strict=True):
        if event.m < 0:
            found.add("bad_tempo", f"$.bpmEvents[{i}]", f"{event.m:g} bpm; passed over")
    tempos = [event for event in tempos if event.m >= 0]
    objects = Objects(
        notes=_notes(file, (scanned or {}).get("colorNotes"), found, flags),
        bombs=_bombs(file, found, flags),
        walls=_walls(file, found, flags),
        arcs=_arcs(file, found, flags),
        chains=_chains(file, found, flags),
        rotations=_rotations(file, found),
        speeds=NOTHING.speeds,
    )
    return Parsed(
        objects=objects,
        tempo_beats=[event.b for event in tempos],
        tempo_bpms=[event.m for event in tempos],
        flags=flags,
    )


def _flag_fakes(custom: msgspec.Raw, found: Found, flags: set[str]) -> None:
    """Flag Noodle's objects that only look like notes; they lie apart from those played."""
    text = bytes(custom)
    if b"fake" not in text:
        return
    try:
        parts = PARTS.decode(text)
        counts = {key: len(RAWS.decode(parts[key])) for key in _FAKES if key in parts}
    except UNDECODABLE:
        return
    for key, count in counts.items():
        if count:
            flags.update(("noodle", "fakes"))
            detail = "a fake of Noodle Extensions is not played"
            found.add("fake_object", f"$.customData.{key}[0]", detail, count=count)


def _notes(file: v3.Difficulty, scanned: Numbers | None, found: Found, flags: set[str]) -> Notes:
    at: Sequence[int]
    if scanned is None:
        items, at = present(file.colorNotes)
        beat, angle = floats([n.b for n in items]), floats([n.a for n in items])
        cells = (
            ints([n.x for n in items]),
            ints([n.y for n in items]),
            ints([n.c for n in items]),
            ints([n.d for n in items]),
        )
    else:
        at = range(len(scanned))
        beat, angle = (np.ascontiguousarray(scanned[:, j]) for j in (0, 5))
        lane, layer, color, direction = (scanned[:, j].astype(np.int32) for j in range(1, 5))
        cells = (lane, layer, color, direction)
    if not len(beat):
        return NOTHING.notes
    columns: dict[str, Any] = dict(
        zip(("lane", "layer", "color", "direction"), cells, strict=True), beat=beat
    )
    is_sorted = checks.check_notes(found, flags, place_at("colorNotes", at), **columns)
    return sorted_columns(Notes, beat, *cells, angle, is_sorted=is_sorted)


def _bombs(file: v3.Difficulty, found: Found, flags: set[str]) -> Bombs:
    items, at = present(file.bombNotes)
    if not items:
        return NOTHING.bombs
    beat = floats([b.b for b in items])
    lane, layer = ints([b.x for b in items]), ints([b.y for b in items])
    checks.check_beats(found, beat, place_at("bombNotes", at))
    checks.check_grid(found, flags, lane, layer, place_at("bombNotes", at))
    return Bombs.of(beat, lane, layer)


def _walls(file: v3.Difficulty, found: Found, flags: set[str]) -> Walls:
    items, at = present(file.obstacles)
    if not items:
        return NOTHING.walls
    columns: dict[str, Any] = {
        "beat": floats([w.b for w in items]),
        "duration": floats([w.d for w in items]),
        "lane": ints([w.x for w in items]),
        "layer": ints([w.y for w in items]),
        "width": ints([w.w for w in items]),
        "height": ints([w.h for w in items]),
    }
    checks.check_walls(found, flags, place_at("obstacles", at), **columns)
    return Walls.of(*columns.values())


def _arcs(file: v3.Difficulty, found: Found, flags: set[str]) -> Arcs:
    items, at = present(file.sliders)
    if not items:
        return NOTHING.arcs
    columns: dict[str, Any] = {
        "beat": floats([a.b for a in items]),
        "color": ints([a.c for a in items]),
        "lane": ints([a.x for a in items]),
        "layer": ints([a.y for a in items]),
        "direction": ints([a.d for a in items]),
        "length": floats([a.mu for a in items]),
        "tail_beat": floats([a.tb for a in items]),
        "tail_lane": ints([a.tx for a in items]),
        "tail_layer": ints([a.ty for a in items]),
        "tail_direction": ints([a.tc for a in items]),
        "tail_length": floats([a.tmu for a in items]),
        "anchor": ints([a.m for a in items]),
    }
    checks.check_arcs(found, flags, place_at("sliders", at), **columns)
    return Arcs.of(*columns.values())


def _chains(file: v3.Difficulty, found: Found, flags: set[str]) -> Chains:
    items, at = present(file.burstSliders)
    if not items:
        return NOTHING.chains
    columns: dict[str, Any] = {
        "beat": floats([c.b for c in items]),
        "color": ints([c.c for c in items]),
        "lane": ints([c.x for c in items]),
        "layer": ints([c.y for c in items]),
        "direction": ints([c.d for c in items]),
        "tail_beat": floats([c.tb for c in items]),
        "tail_lane": ints([c.tx for c in items]),
        "tail_layer": ints([c.ty for c in items]),
        "slices": ints([c.sc for c in items]),
        "squish": floats([c.s for c in items]),
    }
    checks.check_chains(found, flags, place_at("burstSliders", at), **columns)
    return Chains.of(*columns.values())


def _rotations(file: v3.Difficulty, found: Found) -> Rotations:
    items, at = present(file.rotationEvents)
    if not items:
        return NOTHING.rotations
    when = ints([event.e for event in items])
    place = place_at("rotationEvents", at)
    is_bad = (when != 0) & (when != 1)
    checks.tell(found, "bad_rotation", is_bad, place, lambda i: f"executed at {when[i]}")
    beat = floats([event.b for event in items])
    return Rotations.of(beat, floats([event.r for event in items]), np.asarray(when == 0))
