"""Tempo beside the audio: v4's AudioData and v2's BPMInfo."""

from workbench.beatmap.maps.schemas.values import Record


class Region(Record):
    """From a sample to another, from a beat to another."""

    si: float = 0.0
    ei: float = 0.0
    sb: float = 0.0
    eb: float = 0.0


class AudioData(Record):
    """The file of v4."""

    version: str | None = None
    songSampleCount: float = 0.0
    songFrequency: float = 0.0
    bpmData: list[Region] | None = None


class OldRegion(Record):
    """From a sample to another, from a beat to another."""

    _startSampleIndex: float = 0.0
    _endSampleIndex: float = 0.0
    _startBeat: float = 0.0
    _endBeat: float = 0.0


class BpmInfo(Record):
    """The file of v2."""

    _version: str | None = None
    _songSampleCount: float = 0.0
    _songFrequency: float = 0.0
    _regions: list[OldRegion] | None = None
