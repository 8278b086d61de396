"""Difficulties of v1 (1.5.0) and v2 (2.0 to 2.6), which share their objects.

Events carry what later versions split: light, tempo (type 100; before 2.5 type 10) and rotation
of the lane (14 early, 15 late).
"""

from msgspec import Raw

from workbench.beatmap.maps.schemas.values import NONE, Custom, Int, Record

BOMB = 3
TEMPO, OLD_TEMPO = 100, 10
EARLY, LATE = 14, 15
DEGREES = (-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0)


class Note(Record):
    """A note, or by its type a bomb."""

    _time: float = 0.0
    _lineIndex: Int = 0
    _lineLayer: Int = 0
    _type: Int = 0
    _cutDirection: Int = 0
    _customData: Custom = NONE


class Obstacle(Record):
    """A wall, whose height and lower edge lie in its type."""

    _time: float = 0.0
    _lineIndex: Int = 0
    _type: Int = 0
    _duration: float = 0.0
    _width: Int = 0
    _lineLayer: Int = 0
    _height: Int = 0
    _customData: Custom = NONE


class Slider(Record):
    """An arc."""

    _colorType: Int = 0
    _headTime: float = 0.0
    _headLineIndex: Int = 0
    _headLineLayer: Int = 0
    _headCutDirection: Int = 0
    _headControlPointLengthMultiplier: float = 0.0
    _tailTime: float = 0.0
    _tailLineIndex: Int = 0
    _tailLineLayer: Int = 0
    _tailCutDirection: Int = 0
    _tailControlPointLengthMultiplier: float = 0.0
    _sliderMidAnchorMode: Int = 0
    _customData: Custom = NONE


class Event(Record):
    """A light, a tempo or a rotation of the lane, by its type."""

    _time: float = 0.0
    _type: Int = 0
    _value: Int = 0
    _floatValue: float = 0.0


class Difficulty(Record):
    """The file, of v1 and v2."""

    _version: str | None = None
    _notes: list[Note] | None = None
    _obstacles: list[Obstacle] | None = None
    _sliders: list[Slider] | None = None
    _events: list[Event] | None = None
    _beatsPerMinute: float | None = None
    _noteJumpSpeed: float | None = None
    _noteJumpStartBeatOffset: float | None = None
    _customData: Raw = Raw()
    _BPMChanges: Raw = Raw()
