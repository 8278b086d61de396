"""The tempo of a level by all that its files say of it.

Five sources: the Info's bpm; tempo events of a v2 difficulty; those of v3; the regions of v4's
AudioData, for v4 difficulties the only source of changes; the regions of v2's BPMInfo, a record
of the editor, which is compared with the events. Changes of an editor's grid in custom data move
nothing in the game.
"""

import numpy as np

from workbench.beatmap.maps.decoding import Found, SchemaDecoder
from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.schemas import audio
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

FALLBACK_BPM = 120.0
# Regions are cut at whole samples and written in single precision: what differs less is the same
SAME_SECONDS = 0.010
# What lies outside leads to times that no number holds
_LEAST_BPM, _MOST_BPM = 1e-3, 1e6

_NEW = SchemaDecoder(audio.AudioData)
_OLD = SchemaDecoder(audio.BpmInfo)


def is_tempo(bpm: float) -> bool:
    """Return whether a number can be a song's beats a minute."""
    return _LEAST_BPM <= bpm <= _MOST_BPM


def steady(bpm: float, found: Found, path: str) -> TimeMap:
    """Return the map of the Info's tempo, or of 120 bpm with a fault if that is none."""
    if is_tempo(bpm):
        return TimeMap.steady(bpm)
    detail = f"{bpm:g} bpm; counted as {FALLBACK_BPM:g}, so that no time is right"
    found.add("bad_tempo", path, detail, fatal=True)
    return TimeMap.steady(FALLBACK_BPM)


def of_audio(document: Document, found: Found) -> tuple[TimeMap | None, float]:
    """Return what an AudioData or BPMInfo file says, and how long the audio is in seconds.

    Returns:
        None if it has no region that can be used; 0 seconds if it does not say.
    """
    if document.format == 4:
        file = _NEW.decode(document.body(), found)
        count, frequency = (file.songSampleCount, file.songFrequency) if file else (0.0, 0.0)
        regions = [(r.si, r.ei, r.sb, r.eb) for r in (file and file.bpmData) or () if r]
        path = "$.bpmData"
    else:
        file = _OLD.decode(document.body(), found)
        count, frequency = (file._songSampleCount, file._songFrequency) if file else (0.0, 0.0)
        regions = [
            (r._startSampleIndex, r._endSampleIndex, r._startBeat, r._endBeat)
            for r in (file and file._regions) or ()
            if r
        ]
        path = "$._regions"
    seconds = count / frequency if frequency > 0 else 0.0
    if not regions:
        return None, seconds
    try:
        starts, ends, first, last = zip(*regions, strict=True)
        times = TimeMap.of_regions(starts, ends, first, last, frequency)
        if not all(map(is_tempo, times.bpm.tolist())):
            raise BeatmapError(f"regions of {times.bpm.min():g} to {times.bpm.max():g} bpm")
        return times, seconds
    except BeatmapError as error:
        found.add("bad_tempo", path, str(error))
        return None, seconds


def of_changes(bpm: float, beats: list[float], bpms: list[float], found: Found) -> TimeMap:
    """Return the map of a difficulty's own tempo events; a tempo of 0 is the Info's."""
    changes = [(beat, own or bpm) for beat, own in zip(beats, bpms, strict=True)]
    bad = [own for _, own in changes if not is_tempo(own)]
    if bad:
        found.add("bad_tempo", "$", f"{bad[0]:g} bpm; passed over", count=len(bad))
        changes = [(beat, own) for beat, own in changes if is_tempo(own)]
    try:
        return TimeMap.of_changes(bpm, *zip(*changes, strict=True) if changes else ((), ()))
    except BeatmapError as error:
        found.add("bad_tempo", "$", str(error))
        return TimeMap.steady(bpm)


def difference(ours: TimeMap, theirs: TimeMap, seconds: float) -> tuple[float, float]:
    """Return the beat where two maps of one song differ most, and by how many seconds.

    Args:
        ours: A map.
        theirs: Another.
        seconds: How long the song is; 0 if unknown, and then a minute behind the last change.
    """
    last = max(ours.seconds[-1], theirs.seconds[-1])
    ends = ours.beats_at([0.0, seconds if seconds > last else last + 60.0])
    at = np.concatenate((ours.beat, theirs.beat, ends))
    at = at[at >= 0]
    apart = np.abs(ours.seconds_at(at) - theirs.seconds_at(at))
    worst = int(np.argmax(apart))
    return float(at[worst]), float(apart[worst])


def tell_difference(
    found: Found, path: str, names: tuple[str, str], maps: tuple[TimeMap, TimeMap], seconds: float
) -> None:
    """Tell if two sources of the tempo do not say the same."""
    beat, apart = difference(*maps, seconds)
    if apart > SAME_SECONDS:
        detail = (
            f"{names[0]} ({_said(maps[0])}) and {names[1]} ({_said(maps[1])}) are {apart:.3f} s "
            f"apart at beat {beat:g}; {names[0]} holds"
        )
        found.add("tempo_disagreement", path, detail)


def _said(times: TimeMap) -> str:
    more = len(times.bpm) - 1
    return f"{times.bpm[0]:.6g} bpm" + (f" and {more} changes" if more else "")
