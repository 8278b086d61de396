"""Whole levels as files that the game takes: Info, difficulties, audio, cover, and their zip.

A plan says what is in a level; `map_files` makes the files of it in version 2, 3 (under an Info of
version 2) or 4, and refuses it if a single strict rule is broken. Beat 0 is the start of the audio
and there is no offset of the song, which the map service refuses: silence goes in front of the
audio instead, before it comes here. A zip is the same bytes every time, and whole or not there.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from workbench import __version__
from workbench.beatmap.maps.covers import cover_name, drawn_cover
from workbench.beatmap.maps.eggs import Egg, read_egg
from workbench.beatmap.maps.infos import Entry, Info
from workbench.beatmap.maps.infos_written import ENVIRONMENT, json_file, write_info
from workbench.beatmap.maps.jumps import usual_njs, usual_offset
from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.strict import INFO, strict_faults
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.maps.writing import VERSIONS, write_audio_data, write_difficulty
from workbench.caching.files import refuse_other, replacing, replacing_folder, sweep
from workbench.errors import BeatmapError

AUDIO = "song.egg"
AUDIO_DATA = "AudioData.dat"
LIGHTSHOW = "Lightshow.dat"

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_LEAST_SECONDS = 1.0  # over which notes a second are counted
_NO_LIGHTS_4 = {
    "version": "4.0.0",
    "waypoints": [],
    "waypointsData": [],
    "basicEvents": [],
    "basicEventsData": [],
    "colorBoostEvents": [],
    "colorBoostEventsData": [],
    "eventBoxGroups": [],
    "indexFilters": [],
    "lightColorEventBoxes": [],
    "lightColorEvents": [],
    "lightRotationEventBoxes": [],
    "lightRotationEvents": [],
    "lightTranslationEventBoxes": [],
    "lightTranslationEvents": [],
    "fxEventBoxes": [],
    "floatFxEvents": [],
    "basicEventTypesWithKeywords": {"d": []},
    "useNormalEventsAsCompatibleEvents": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPlan:
    """One difficulty of a level.

    Attributes:
        difficulty: One of `objects.DIFFICULTIES`.
        characteristic: One of `objects.CHARACTERISTICS`.
        objects: What is played.
        njs: Note jump speed, metres a second, or None for the usual one of the notes' density.
        offset: Of a jump's start, beats, or None for one that makes the reaction time comfortable.
    """

    difficulty: str
    characteristic: str = "Standard"
    objects: Objects
    njs: float | None = None
    offset: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """What a level is made of.

    Attributes:
        title: Of the song.
        subtitle: Of the song.
        artist: Of the song.
        mapper: Of the level; the program that `generated` names if empty.
        bpm: Beats a minute; beat 0 is the start of the audio.
        times: Changes of the tempo, which begin with `bpm`, or None where it is steady.
        audio: A whole Ogg Vorbis file.
        cover: A square PNG or JPEG, or None for one that is drawn.
        preview_start: Seconds.
        preview_seconds: How long the preview is.
        environment: The game's name of it.
        generated: The program that generated the map, which is named in it as the map service
            asks; empty if people made it.
        charts: The difficulties.
    """

    title: str
    subtitle: str = ""
    artist: str = ""
    mapper: str = ""
    bpm: float
    times: TimeMap | None = None
    audio: bytes
    cover: bytes | None = None
    preview_start: float = 12.0
    preview_seconds: float = 10.0
    environment: str = ENVIRONMENT
    generated: str = ""
    charts: tuple[ChartPlan, ...]


def map_files(plan: MapPlan, format_: int = 2) -> dict[str, bytes]:
    """Return the files of a level by name, the Info first.

    Args:
        plan: What is in it.
        format_: 2, 3 or 4.

    Raises:
        BeatmapError: The format is none that is written or cannot hold the plan; or a strict rule
            is broken (kind `refused`), and the message tells all that are.
    """
    if format_ not in VERSIONS:
        raise BeatmapError(f"format {format_} is not written; take 2, 3 or 4", "unknown_format")
    times = TimeMap.steady(plan.bpm) if plan.times is None else plan.times
    egg = _egg(plan)
    cover = drawn_cover(plan.title) if plan.cover is None else plan.cover
    info = _info(plan, times, egg, cover_name(cover))
    if format_ == 4:
        files = {INFO: write_info(_info_4(info, egg), 4, custom=_custom(plan))}
        files[AUDIO_DATA] = write_audio_data(times, egg.sample_count, egg.sample_rate)
        files[LIGHTSHOW] = json_file(_NO_LIGHTS_4)
    else:
        files = {INFO: write_info(info, 2, custom=_custom(plan))}
    for chart, entry in zip(plan.charts, info.entries, strict=True):
        files[entry.file] = write_difficulty(chart.objects, format_, times=times, bpm=plan.bpm)
    files |= {info.audio: plan.audio, info.cover: cover}
    faults = strict_faults(files)
    if faults:
        told = "\n".join(f"  {fault}" for fault in faults)
        raise BeatmapError(f"{plan.title}: not written, as it has faults\n{told}", "refused")
    return files


def write_map(plan: MapPlan, path: Path, format_: int = 2) -> None:
    """Write a level as a zip, or as a folder where the name does not end in `.zip`.

    It appears whole or not at all, and takes the place of an older one.

    Args:
        plan: What is in it.
        path: The zip or folder.
        format_: 2, 3 or 4.

    Raises:
        BeatmapError: As those of `map_files`; nothing is written.
        CachingError: It cannot be written there, or something else is there.
    """
    files = map_files(plan, format_)
    if path.suffix.lower() == ".zip":
        content = zipped(files)
        sweep(path)
        with replacing(path) as scratch:
            scratch.write_bytes(content)
        return
    refuse_other(path, INFO)
    sweep(path)
    with replacing_folder(path) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip in their order: JSON deflated, audio and cover as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3  # whatever this one is
            entry.external_attr = 0o644 << 16
            is_text = name.endswith(".dat")
            entry.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
            archive.writestr(entry, content)
    return out.getvalue()


def notes_a_second(notes: Notes, times: TimeMap) -> float:
    """Return how dense notes are from the first to the last."""
    if len(notes) < 2:
        return 0.0
    first, last = times.seconds_at(notes.beat[[0, -1]]).tolist()
    return (len(notes) - 1) / max(float(last - first), _LEAST_SECONDS)


def _egg(plan: MapPlan) -> Egg:
    try:
        return read_egg(plan.audio)
    except BeatmapError as error:
        raise BeatmapError(f"{plan.title}: the audio is {error}", error.kind) from error


def _info(plan: MapPlan, times: TimeMap, egg: Egg, cover: str) -> Info:
    """Return what the Info of version 2 says."""
    mapper = plan.mapper or plan.generated
    return Info(
        title=plan.title,
        subtitle=plan.subtitle,
        artist=plan.artist,
        mapper=mapper,
        bpm=plan.bpm,
        audio=AUDIO,
        cover=cover,
        preview_start=plan.preview_start if plan.preview_start < egg.seconds else 0.0,
        preview_duration=plan.preview_seconds,
        environment=plan.environment,
        entries=tuple(_entry(chart, times, plan.bpm, mapper) for chart in plan.charts),
    )


def _info_4(info: Info, egg: Egg) -> Info:
    """Return what the Info of version 4 says besides."""
    entries = tuple(replace(entry, lightshow=LIGHTSHOW) for entry in info.entries)
    return replace(info, audio_data=AUDIO_DATA, duration=egg.seconds, entries=entries)


def _entry(chart: ChartPlan, times: TimeMap, bpm: float, mapper: str) -> Entry:
    njs, offset = chart.njs, chart.offset
    if njs is None:
        njs = usual_njs(chart.difficulty, notes_a_second(chart.objects.notes, times))
    if offset is None:
        offset = usual_offset(njs, bpm) if njs > 0 else 0.0
    return Entry(
        path="",
        characteristic=chart.characteristic,
        difficulty=chart.difficulty,
        njs=njs,
        offset=offset,
        mappers=(mapper,) if mapper else (),
        file=f"{chart.difficulty}{chart.characteristic}.dat",
    )


def _custom(plan: MapPlan) -> dict[str, object]:
    """Return what is said of who wrote the level, in the words of editors."""
    if not plan.generated:
        return {}
    by = {"_lastEditedBy": plan.generated, plan.generated: {"version": __version__}}
    return {"_editors": by, "_generatedBy": plan.generated}
