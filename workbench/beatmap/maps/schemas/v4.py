"""Difficulties and light shows of v4 (4.0.0, 4.1.0): objects that point into tables of data.

`r` is a rotation of the lane in degrees, `i` an index; several objects may share one entry.
"""

from typing import Any

from msgspec import UNSET, Raw, UnsetType

from workbench.beatmap.maps.schemas.values import NONE, Custom, Int, Record


class Placed(Record):
    """A note, a bomb, a wall, a waypoint or an event."""

    b: float = 0.0
    r: float = 0.0
    i: Int = 0
    customData: Custom = NONE


class Arc(Record):
    """An arc: its ends are entries of notes."""

    hb: float = 0.0
    hr: float = 0.0
    hi: Int = 0
    tb: float = 0.0
    tr: float = 0.0
    ti: Int = 0
    ai: Int = 0
    customData: Custom = NONE


class Chain(Record):
    """A chain: its head is an entry of notes."""

    hb: float = 0.0
    hr: float = 0.0
    i: Int = 0
    tb: float = 0.0
    tr: float = 0.0
    ci: Int = 0
    customData: Custom = NONE


class NoteData(Record):
    """Lane, layer, colour, direction, angle."""

    x: Int = 0
    y: Int = 0
    c: Int = 0
    d: Int = 0
    a: float = 0.0
    customData: Custom = NONE


class BombData(Record):
    """Lane, layer."""

    x: Int = 0
    y: Int = 0
    customData: Custom = NONE


class ObstacleData(Record):
    """Duration, lane, layer, width, height."""

    d: float = 0.0
    x: Int = 0
    y: Int = 0
    w: Int = 0
    h: Int = 0
    customData: Custom = NONE


class ArcData(Record):
    """Lengths of the control points, anchor."""

    m: float = 0.0
    tm: float = 0.0
    a: Int = 0
    customData: Custom = NONE


class ChainData(Record):
    """Lane and layer of the tail, slices, squish."""

    tx: Int = 0
    ty: Int = 0
    c: Int = 0
    s: float = 0.0
    customData: Custom = NONE


class RotationData(Record):
    """0 early or 1 late, under either of two keys, and degrees."""

    e: Int | UnsetType = UNSET
    t: Int | UnsetType = UNSET
    r: float = 0.0


class SpeedData(Record):
    """Change of the note jump speed, easing, whether the one before is kept."""

    d: float = 0.0
    e: Int = 0
    p: Int = 0


class Difficulty(Record):
    """The file, or in the editor's layout its content."""

    version: str | None = None
    colorNotes: list[Placed] | None = None
    colorNotesData: list[NoteData] | None = None
    bombNotes: list[Placed] | None = None
    bombNotesData: list[BombData] | None = None
    obstacles: list[Placed] | None = None
    obstaclesData: list[ObstacleData] | None = None
    arcs: list[Arc] | None = None
    arcsData: list[ArcData] | None = None
    chains: list[Chain] | None = None
    chainsData: list[ChainData] | None = None
    spawnRotations: list[Placed] | None = None
    spawnRotationsData: list[RotationData] | None = None
    njsEvents: list[Placed] | None = None
    njsEventData: list[SpeedData] | None = None
    customData: Raw = Raw()


class LightData(Record):
    """Type, value, brightness."""

    t: Int = 0
    i: Int = 0
    f: float = 0.0


class BoostData(Record):
    """1 or true: boost colours from here on."""

    b: bool | Int = 0


class WaypointData(Record):
    """Lane, layer, direction."""

    x: Int = 0
    y: Int = 0
    d: Int = 0


class BoxEvent(Record):
    """When, after the group's beat, and which event."""

    b: float = 0.0
    i: Int = 0


class Box(Record):
    """Which filter, which box, which events."""

    f: Int = 0
    e: Int = 0
    l: list[BoxEvent] | None = None  # noqa: E741


class EventBoxGroup(Record):
    """1 colour, 2 rotation, 3 translation, 4 fx; beat; group; boxes."""

    t: Int = 0
    b: float = 0.0
    g: Int = 0
    e: list[Box] | None = None


Table = list[dict[str, Any]] | None


class Lightshow(Record):
    """The file of lights, or in the editor's layout its content."""

    version: str | None = None
    basicEvents: list[Placed] | None = None
    basicEventsData: list[LightData] | None = None
    colorBoostEvents: list[Placed] | None = None
    colorBoostEventsData: list[BoostData] | None = None
    waypoints: list[Placed] | None = None
    waypointsData: list[WaypointData] | None = None
    eventBoxGroups: list[EventBoxGroup] | None = None
    indexFilters: Table = None
    lightColorEventBoxes: Table = None
    lightColorEvents: Table = None
    lightRotationEventBoxes: Table = None
    lightRotationEvents: Table = None
    lightTranslationEventBoxes: Table = None
    lightTranslationEvents: Table = None
    fxEventBoxes: Table = None
    floatFxEvents: Table = None


# By the type of a group: where its boxes and where their events are
GROUPS = {
    1: ("lightColorEventBoxes", "lightColorEvents"),
    2: ("lightRotationEventBoxes", "lightRotationEvents"),
    3: ("lightTranslationEventBoxes", "lightTranslationEvents"),
    4: ("fxEventBoxes", "floatFxEvents"),
}
