"""Difficulties and light shows of v3 (3.0 to 3.3)."""

from typing import Any

from msgspec import Raw

from workbench.beatmap.maps.schemas.values import NONE, Custom, Int, Record


class Note(Record):
    """A note: beat, lane, layer, colour, direction, angle."""

    b: float = 0.0
    x: Int = 0
    y: Int = 0
    c: Int = 0
    d: Int = 0
    a: float = 0.0
    customData: Custom = NONE


class Bomb(Record):
    """A bomb: beat, lane, layer."""

    b: float = 0.0
    x: Int = 0
    y: Int = 0
    customData: Custom = NONE


class Obstacle(Record):
    """A wall: beat, lane, layer, duration, width, height."""

    b: float = 0.0
    x: Int = 0
    y: Int = 0
    d: float = 0.0
    w: Int = 0
    h: Int = 0
    customData: Custom = NONE


class Slider(Record):
    """An arc: head, its control point, tail, its control point, anchor."""

    b: float = 0.0
    c: Int = 0
    x: Int = 0
    y: Int = 0
    d: Int = 0
    mu: float = 0.0
    tb: float = 0.0
    tx: Int = 0
    ty: Int = 0
    tc: Int = 0
    tmu: float = 0.0
    m: Int = 0
    customData: Custom = NONE


class BurstSlider(Record):
    """A chain: head, tail, slices, squish."""

    b: float = 0.0
    c: Int = 0
    x: Int = 0
    y: Int = 0
    d: Int = 0
    tb: float = 0.0
    tx: Int = 0
    ty: Int = 0
    sc: Int = 0
    s: float = 0.0
    customData: Custom = NONE


class BpmEvent(Record):
    """A tempo; 0 is the Info's."""

    b: float = 0.0
    m: float = 0.0


class RotationEvent(Record):
    """A turn of the lane: beat, 0 early or 1 late, degrees."""

    b: float = 0.0
    e: Int = 0
    r: float = 0.0


class BasicEvent(Record):
    """A light: beat, type, value, brightness."""

    b: float = 0.0
    et: Int = 0
    i: Int = 0
    f: float = 0.0


class BoostEvent(Record):
    """Boost colours from here on, or no longer."""

    b: float = 0.0
    o: bool = False


class Waypoint(Record):
    """Where a background figure goes."""

    b: float = 0.0
    x: Int = 0
    y: Int = 0
    d: Int = 0


class EventBoxGroup(Record):
    """Lights of a group; a box holds a filter and events."""

    b: float = 0.0
    g: Int = 0
    e: list[dict[str, Any]] | None = None


class Difficulty(Record):
    """The file, also one with lights only."""

    version: str | None = None
    colorNotes: list[Note] | None = None
    bombNotes: list[Bomb] | None = None
    obstacles: list[Obstacle] | None = None
    sliders: list[Slider] | None = None
    burstSliders: list[BurstSlider] | None = None
    bpmEvents: list[BpmEvent] | None = None
    rotationEvents: list[RotationEvent] | None = None
    basicBeatmapEvents: list[BasicEvent] | None = None
    colorBoostBeatmapEvents: list[BoostEvent] | None = None
    waypoints: list[Waypoint] | None = None
    lightColorEventBoxGroups: list[EventBoxGroup] | None = None
    lightRotationEventBoxGroups: list[EventBoxGroup] | None = None
    lightTranslationEventBoxGroups: list[EventBoxGroup] | None = None
    vfxEventBoxGroups: list[EventBoxGroup] | None = None
    customData: Raw = Raw()
