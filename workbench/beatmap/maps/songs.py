"""One map, read and made ready to be stored, by whichever worker; or told why it was not."""

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from workbench.beatmap.maps.level import Beatmap, Level, MapFiles
from workbench.beatmap.maps.manifest import Skip, StoredBeatmap, StoredSong, few_of_each
from workbench.beatmap.maps.objects import Fault
from workbench.beatmap.maps.places import Origin, Place, opened_audio
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.tables import KINDS, song_rows
from workbench.errors import BeatmapError

logger = logging.getLogger(__name__)

NO_BEATMAPS, MISSING_AUDIO, CRASH = "no_beatmaps", "missing_audio", "crash"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMap:
    """What reading one map gave.

    Attributes:
        song: The song, without its row groups; None where the map was left out.
        rows: Kind of object: the song's rows.
        skips: What was left out.
    """

    song: StoredSong | None = None
    rows: Mapping[str, pa.RecordBatch]
    skips: tuple[Skip, ...]


def read_map(place: Place) -> ReadMap:
    """Read one map; whatever is wrong with it is told and not raised.

    Args:
        place: Where it is.
    """
    try:
        with place.open() as files:
            level = read_level(files)
            return _read(level, place, _audio(files, level.audio))
    except BeatmapError as error:
        return _left_out(place, error.kind, str(error))
    except OSError as error:
        return _left_out(place, "io_error", str(error))
    except Exception as error:  # a mistake of ours must not cost the rest of a corpus
        logger.exception("%s: left out", place.name)
        return _left_out(place, CRASH, f"{type(error).__name__}: {error}")


def _read(level: Level, place: Place, audio: "_Audio") -> ReadMap:
    """Return what of a level is stored."""
    good = [beatmap for beatmap in level.beatmaps if beatmap.is_readable]
    skips = tuple(_skip(place, beatmap) for beatmap in level.beatmaps if not beatmap.is_readable)
    if not good:
        return ReadMap(rows={}, skips=skips or (_empty(level, place),))
    origin = place.origin()
    song = _song(level, place, origin, audio, good)
    rows = song_rows(level.level_hash, origin.source, level.bpm, good)
    return ReadMap(song=song, rows=rows, skips=skips)


def _song(
    level: Level, place: Place, origin: Origin, audio: "_Audio", good: Sequence[Beatmap]
) -> StoredSong:
    known = {fault.kind for fault in level.faults}
    missing = () if audio.fault is None or audio.fault.kind in known else (audio.fault,)
    faults, fault_counts = few_of_each((*level.faults, *missing))
    return StoredSong(
        key=level.level_hash,
        audio_digest=audio.digest,
        source=origin.source,
        source_id=origin.source_id,
        place=place.name,
        title=level.title,
        subtitle=level.subtitle,
        artist=level.artist,
        mapper=level.mapper,
        bpm=_number(level.bpm),
        song_time_offset=_number(level.song_time_offset),
        audio=level.audio,
        audio_bytes=audio.size,
        cover=level.cover,
        preview_start=_number(level.preview_start),
        preview_duration=_number(level.preview_duration),
        environment=level.environment,
        version=level.version,
        score=origin.score,
        upvotes=origin.upvotes,
        downvotes=origin.downvotes,
        time_map=level.time_map,
        beatmaps=tuple(_beatmap(beatmap) for beatmap in good),
        fault_counts=fault_counts,
        faults=faults,
    )


def _beatmap(beatmap: Beatmap) -> StoredBeatmap:
    faults, fault_counts = few_of_each(beatmap.faults)
    nps, end_seconds = _pace(beatmap)
    return StoredBeatmap(
        characteristic=beatmap.characteristic,
        difficulty=beatmap.difficulty,
        rank=beatmap.rank,
        label=beatmap.label,
        njs=_number(beatmap.njs),
        offset=_number(beatmap.offset),
        mappers=beatmap.mappers,
        lighters=beatmap.lighters,
        requirements=beatmap.requirements,
        suggestions=beatmap.suggestions,
        file=beatmap.file,
        version=beatmap.version,
        flags=beatmap.flags,
        counts=beatmap.objects.counts(),
        nps=nps,
        end_seconds=end_seconds,
        time_map=beatmap.time_map,
        fault_counts=fault_counts,
        faults=faults,
    )


def _pace(beatmap: Beatmap) -> tuple[float, float]:
    """Return notes a second, and when the last object begins."""
    objects, time_map = beatmap.objects, beatmap.time_map
    notes = time_map.seconds_at(objects.notes.beat)
    notes = notes[np.isfinite(notes)]
    spans = float(notes[-1] - notes[0]) if len(notes) > 1 else 0.0
    beats = np.concatenate([getattr(objects, kind).beat for kind in KINDS])
    seconds = time_map.seconds_at(beats)
    end = float(seconds[np.isfinite(seconds)].max(initial=0.0))
    return (len(notes) / spans if spans > 0 else 0.0), end


def _number(value: float) -> float:
    """Return a number that JSON has; 0 in place of what is none."""
    return value if math.isfinite(value) else 0.0


def _skip(place: Place, beatmap: Beatmap) -> Skip:
    unknown = Fault(kind="unreadable", place=beatmap.file, detail="could not be read")
    fault = next((fault for fault in beatmap.faults if fault.is_fatal), unknown)
    return _skip_for(fault, place, is_map=False)


def _empty(level: Level, place: Place) -> Skip:
    """Return that a level has no beatmap, with what in it could not be read."""
    fatal = next((fault for fault in level.faults if fault.is_fatal), None)
    detail = "lists no difficulty" + (f"; {fatal}" if fatal else "")
    nothing = Fault(kind=NO_BEATMAPS, place=fatal.place if fatal else "Info", detail=detail)
    return _skip_for(nothing, place, is_map=True)


def _skip_for(fault: Fault, place: Place, *, is_map: bool) -> Skip:
    return Skip(
        place=place.name, at=fault.place, reason=fault.kind, detail=fault.detail, is_map=is_map
    )


def _left_out(place: Place, reason: str, detail: str) -> ReadMap:
    skip = Skip(place=place.name, reason=reason, detail=detail, is_map=True)
    return ReadMap(rows={}, skips=(skip,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audio:
    """What is known of a map's audio.

    Attributes:
        digest: SHA-256 of the file, hexadecimal; empty where it could not be read.
        size: Its bytes.
        fault: Why it could not.
    """

    digest: str = ""
    size: int = 0
    fault: Fault | None = None


def _audio(files: MapFiles, name: str) -> _Audio:
    try:
        with opened_audio(files, name) as content:
            digest, size = hashlib.sha256(), 0
            while piece := content.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        return _Audio(digest=digest.hexdigest(), size=size)
    except (BeatmapError, OSError) as error:
        fault = Fault(kind=MISSING_AUDIO, place=name or "Info", detail=str(error))
        return _Audio(fault=fault)
