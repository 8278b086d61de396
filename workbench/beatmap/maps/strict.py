"""What a map must not have before it is given to anybody, told on its raw files.

Reading mends what it can and goes on; here all of that is a fault, and so is what reading lets
pass since people's own maps hold it: keys left out, the units of Mapping Extensions, an offset of
the song, audio that the game cannot play, notes off the beat. Two things are told by `oddities`
alone and refuse nothing: what `patterns` finds in how a map plays, and what is odd but harmless.

Rules of their own, with the words that name them:
    - `missing_key`: any key of an Info or an object that the format has, though it may count as 0;
      a note without a direction is one of them. `editor_layout`, `packed_file`: no plain JSON.
    - `outside_grid`, `bad_direction`: also in units from 1000 on.
    - `stacked_note`: two notes, or a note and a bomb, in a cell within `checks.SAME_BEAT`.
    - `off_grid`: a note, bomb or chain that is `patterns.OFF_GRID` (0.001 beats, half of which is
      the rounding of editors) and more off all of 1/48 and 1/64 of a beat.
    - `same_direction_stream`: a hand that is to cut `LEAST_STREAM` times and more in about one
      direction (under 45 degrees), each within `STREAM_SECONDS` of the one before.
    - `after_audio`: what is played once the audio is over, by the audio itself.
    - `audio_kind`, `bad_audio`, `audio_tags`; `wrong_duration` in version 4; `missing_cover`,
      `odd_cover`: no square PNG or JPEG of 256 pixels and more.
    - `bad_njs`, `bad_rank`, `no_title`, `other_case`: what only some programs take as it is.
Source of what the map service and the game refuse: bsmap 2.2.9 and the service's own rules.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.checks import EXTENDED, check_stacks, tell
from workbench.beatmap.maps.covers import LEAST_SIDE, picture_of
from workbench.beatmap.maps.decoding import UNDECODABLE, Found, broken
from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.eggs import Egg, read_egg
from workbench.beatmap.maps.infos import Entry, Info, read_info
from workbench.beatmap.maps.level import Beatmap, HeldFiles
from workbench.beatmap.maps.names import folded, info_name
from workbench.beatmap.maps.objects import CHARACTERISTICS, RANKS, Fault, Objects
from workbench.beatmap.maps.patterns import GRIDS, OFF_GRID, pattern_faults
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.swings import cosines, hand_swings
from workbench.beatmap.maps.tempos import of_audio
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

INFO = "Info.dat"
LEAST_STREAM = 6  # swings
STREAM_SECONDS = 0.75
SERVICE_BYTES = 15 * 2**20  # of a map, which the map service takes

_SAME_WAY = 0.7072  # cosine of a little under 45 degrees
_SAME_SECONDS = 0.001  # lengths are written in milliseconds
_AUDIO_ENDS = (".egg", ".ogg")
# What reading tells of and people's maps hold on purpose; or what is told here in its own way
_ODD = {
    "unlisted_file",
    "unsorted",
    "njs_change",
    "zero_wall",
    "negative_wall",
    "tempo_disagreement",
}
_HERE = {"stacked_note", "after_audio"}

_Shape = Mapping[str, Any]


def _keys(names: str, **inner: _Shape) -> _Shape:
    return {**dict.fromkeys(names.split()), **inner}


# Keys that are always there, and what is in them
_ENTRY_2 = _keys(
    "_difficulty _difficultyRank _beatmapFilename _noteJumpMovementSpeed _noteJumpStartBeatOffset"
)
_INFO_2 = _keys(
    "_version _songName _songSubName _songAuthorName _levelAuthorName _beatsPerMinute "
    "_songTimeOffset _previewStartTime _previewDuration _songFilename _coverImageFilename "
    "_environmentName",
    _difficultyBeatmapSets=_keys("_beatmapCharacteristicName", _difficultyBeatmaps=_ENTRY_2),
)
_INFO_4 = _keys(
    "version songPreviewFilename coverImageFilename environmentNames colorSchemes",
    song=_keys("title subTitle author"),
    audio=_keys(
        "songFilename songDuration audioDataFilename bpm lufs previewStartTime previewDuration"
    ),
    difficultyBeatmaps=_keys(
        "characteristic difficulty environmentNameIdx beatmapColorSchemeIdx noteJumpMovementSpeed "
        "noteJumpStartBeatOffset beatmapDataFilename lightshowDataFilename",
        beatmapAuthors=_keys("mappers lighters"),
    ),
)
_DIFFICULTY_2 = _keys(
    "_version",
    _notes=_keys("_time _lineIndex _lineLayer _type _cutDirection"),
    _obstacles=_keys("_time _lineIndex _type _duration _width"),
    _events=_keys("_time _type _value"),
)
_DIFFICULTY_3 = _keys(
    "version rotationEvents waypoints",
    bpmEvents=_keys("b m"),
    colorNotes=_keys("b x y c d"),
    bombNotes=_keys("b x y"),
    obstacles=_keys("b d x y w h"),
    sliders=_keys("b c x y d mu tb tx ty tc tmu m"),
    burstSliders=_keys("b c x y d tb tx ty sc s"),
)
_DIFFICULTY_4 = _keys(
    "version",
    colorNotes=_keys("b i"),
    colorNotesData=_keys("x y c d"),
    bombNotes=_keys("b i"),
    bombNotesData=_keys("x y"),
    obstacles=_keys("b i"),
    obstaclesData=_keys("d x y w h"),
    arcs=_keys("hb hi tb ti ai"),
    arcsData=_keys("m tm a"),
    chains=_keys("hb i tb ci"),
    chainsData=_keys("tx ty c s"),
)
_INFOS = {2: _INFO_2, 3: _INFO_2, 4: _INFO_4}
_DIFFICULTIES = {1: _DIFFICULTY_2, 2: _DIFFICULTY_2, 3: _DIFFICULTY_3, 4: _DIFFICULTY_4}


def strict_faults(files: Mapping[str, bytes]) -> tuple[Fault, ...]:
    """Return all that is wrong with a map; nothing if it may be given to anybody.

    Args:
        files: All of its files by name, as they are.
    """
    if INFO not in files:
        other = info_name(list(files))
        detail = f"it is called {other}" if other else "a map has one"
        return (Fault(kind="no_info", place=INFO, detail=detail, is_fatal=True),)
    try:
        level = read_level(HeldFiles(files))
    except BeatmapError as error:
        return (Fault(kind=error.kind, place=INFO, detail=str(error), is_fatal=True),)
    found = Found(INFO)
    if level.info is None or level.info.format == 1:
        found.add("old_format", "$", "version 1; write it anew as 2, 3 or 4", fatal=True)
        return found.faults()
    told = [fault for fault in level.all_faults() if _is_strict(fault)]
    info = read_info(level.info, Found(INFO)) or Info()
    _check_info(found, info, level.info, files)
    _check_cover(found, info.cover, files)
    egg = _audio(found, info.audio, files)
    if egg is not None and level.info.format == 4:
        _check_duration(found, info, level.audio_data, egg)
    for beatmap in level.beatmaps:
        told += _difficulty_faults(beatmap, egg)
    for name in {beatmap.file for beatmap in level.beatmaps} | {INFO, info.audio_data}:
        if files.get(name, b"").startswith(b"\x1f\x8b"):
            found.add("packed_file", "$", f"{name} is packed by gzip; games read plain JSON")
    return tuple(dict.fromkeys((*found.faults(), *told)))


def oddities(files: Mapping[str, bytes]) -> tuple[Fault, ...]:
    """Return what is odd about a map and refuses nothing; nothing if it cannot be read at all.

    Args:
        files: All of its files by name, as they are.
    """
    try:
        level = read_level(HeldFiles(files))
    except BeatmapError:
        return ()
    odd = [f for f in level.all_faults() if not _is_strict(f) and f.kind not in _HERE]
    egg = _audio(Found(INFO), level.audio, files)
    for beatmap in level.beatmaps:
        plays = pattern_faults(beatmap, egg.seconds if egg else level.duration)
        odd += [fault for fault in plays if fault.kind != "off_grid"]  # told by the strict rules
    size = sum(map(len, files.values()))
    if size > SERVICE_BYTES:
        detail = f"{size:,} bytes; the map service takes {SERVICE_BYTES:,}"
        odd.append(Fault(kind="large", place=INFO, detail=detail))
    return tuple(dict.fromkeys(odd))


def _is_strict(fault: Fault) -> bool:
    """Return whether what reading tells of is more than odd; walls may stand beside the grid."""
    is_wall = fault.kind == "outside_grid" and "bstacles" in fault.place
    return fault.kind not in _ODD | _HERE and not is_wall


def _check_info(found: Found, info: Info, document: Document, files: Mapping[str, bytes]) -> None:
    _check_keys(found, document, _INFOS[document.format])
    if not info.title.strip():
        found.add("no_title", "$", "a song without a title")
    if document.format == 4 and not info.audio_data:
        found.add("missing_file", "$.audio.audioDataFilename", "version 4 has audio data")
    _check_case(found, "$.audio.audioDataFilename", info.audio_data, files)
    for entry in info.entries:
        _check_entry(found, entry, document.format)
        _check_case(found, entry.path, entry.file, files)
        _check_case(found, entry.path, entry.lightshow, files)


def _check_entry(found: Found, entry: Entry, format_: int) -> None:
    """Tell of words, ranks and speeds of a listed difficulty that are not quite the game's."""
    if entry.characteristic not in CHARACTERISTICS:
        found.add("unknown_characteristic", entry.path, repr(entry.characteristic))
    rank = RANKS.get(entry.difficulty)
    if entry.rank is not None and rank is not None and entry.rank != rank:
        found.add("bad_rank", entry.path, f"{entry.rank} of {entry.difficulty}, which is {rank}")
    if not entry.njs > 0:
        found.add("bad_njs", entry.path, f"{entry.njs:g} m/s; write the one that is meant")
    if format_ == 4 and not entry.lightshow:
        found.add("missing_file", entry.path, "version 4 has a lightshow, also an empty one")


def _check_case(found: Found, path: str, name: str, files: Mapping[str, bytes]) -> None:
    """Tell of a file that some computers find and others do not."""
    if name and name not in files:
        for other in files:
            if folded(other) == folded(name):
                found.add("other_case", path, f"{name} is there as {other}")


def _check_cover(found: Found, name: str, files: Mapping[str, bytes]) -> None:
    if not name:
        found.add("missing_cover", "$", "the Info names no cover")
        return
    _check_case(found, "$", name, files)
    if name not in files:
        found.add("missing_cover", "$", f"{name} is missing")
        return
    try:
        picture = picture_of(files[name])
    except BeatmapError as error:
        found.add(error.kind, "$", f"{name}: {error}")
        return
    if picture.width != picture.height or picture.width < LEAST_SIDE:
        detail = f"{name}: {picture.width} by {picture.height}; a square of {LEAST_SIDE} and more"
        found.add("odd_cover", "$", detail)


def _audio(found: Found, name: str, files: Mapping[str, bytes]) -> Egg | None:
    """Return what the audio is, or None with what is wrong as a fault."""
    _check_case(found, "$", name, files)
    if name not in files:
        found.add("missing_file", "$", f"{name or 'audio'} is missing")
        return None
    if not name.lower().endswith(_AUDIO_ENDS):
        found.add("audio_kind", "$", f"{name}: Vorbis is called .egg or .ogg")
    try:
        egg = read_egg(files[name])
    except BeatmapError as error:
        found.add(error.kind, "$", f"{name}: {error}")
        return None
    if egg.tags:
        detail = f"{name}: {egg.tags[0][:80]!r}; the game may not play it"
        found.add("audio_tags", "$", detail, count=len(egg.tags))
    return egg


def _check_duration(found: Found, info: Info, audio_data: Document | None, egg: Egg) -> None:
    """Tell if version 4 says another length of the audio than it has."""
    told = {"the Info": info.duration}
    if audio_data is not None:
        told[info.audio_data] = of_audio(audio_data, Found(info.audio_data))[1]
    for name, seconds in told.items():
        if abs(seconds - egg.seconds) > _SAME_SECONDS:
            detail = f"{name} says {seconds:.3f} s; the audio has {egg.seconds:.3f}"
            found.add("wrong_duration", "$", detail)


def _difficulty_faults(beatmap: Beatmap, egg: Egg | None) -> tuple[Fault, ...]:
    if beatmap.document is None:
        return ()
    found = Found(beatmap.file)
    objects, times = beatmap.objects, beatmap.time_map
    _check_keys(found, beatmap.document, _DIFFICULTIES[beatmap.document.format])
    _check_units(found, objects)
    _check_cells(found, objects)
    _check_grid(found, objects)
    if egg is not None:
        _check_end(found, objects, times, egg.seconds)
    _check_streams(found, objects, times)
    return found.faults()


def _check_keys(found: Found, document: Document, shape: _Shape) -> None:
    if document.is_wrapped:
        found.add("editor_layout", "$", "all of it lies in `content`; games read it above")
    try:
        tree = msgspec.json.decode(document.body())
    except UNDECODABLE as error:
        found.add(*broken(error, "$"))  # in what reading passes over
        return
    _tell_missing(found, tree, shape, "$")


def _tell_missing(found: Found, tree: Any, shape: _Shape, at: str) -> None:
    """Tell of the keys that a tree lacks; what is no object where one should be, reading tells."""
    if not isinstance(tree, dict):
        return
    for key, inner in shape.items():
        if key not in tree:
            found.add("missing_key", f"{at}.{key}", "is not there")
        elif inner and isinstance(tree[key], list):
            for i, item in enumerate(tree[key]):
                _tell_missing(found, item, inner, f"{at}.{key}[{i}]")
        elif inner:
            _tell_missing(found, tree[key], inner, f"{at}.{key}")


def _at(beats: NDArray[np.float64], index: int) -> str:
    return f"beat {beats[index]:.6g}"


def _check_units(found: Found, objects: Objects) -> None:
    """Tell of positions and directions in the units of Mapping Extensions, which reading takes."""
    for kind in (objects.notes, objects.bombs, objects.arcs, objects.chains):
        columns = {name: getattr(kind, name) for name in kind.DTYPES}
        for name, values in columns.items():
            word = name.removeprefix("tail_")
            if word in ("lane", "layer", "direction"):
                tell(
                    found,
                    "bad_direction" if word == "direction" else "outside_grid",
                    np.abs(values) >= EXTENDED,
                    lambda i, beats=kind.beat: _at(beats, i),  # type: ignore[misc]
                    lambda i, v=values, n=name: f"{n.replace('_', ' ')} {v[i]}",  # type: ignore[misc]
                )


def _check_cells(found: Found, objects: Objects) -> None:
    beat, lane, layer = (
        np.concatenate((getattr(objects.notes, name), getattr(objects.bombs, name)))
        for name in ("beat", "lane", "layer")
    )
    check_stacks(found, beat, lane, layer, lambda i: _at(beat, i))


def _check_grid(found: Found, objects: Objects) -> None:
    kinds = (objects.notes, objects.bombs, objects.chains)
    beat = np.concatenate([kind.beat for kind in kinds])
    off = np.min([np.abs(beat * grid - np.rint(beat * grid)) / grid for grid in GRIDS], axis=0)
    tell(
        found,
        "off_grid",
        off > OFF_GRID,
        lambda i: _at(beat, i),
        lambda i: f"{off[i]:.4f} beats off the nearest 1/48 and 1/64",
    )


def _check_end(found: Found, objects: Objects, times: TimeMap, seconds: float) -> None:
    """Tell of what is played once the audio is over."""
    for kind in (objects.notes, objects.bombs, objects.walls, objects.arcs, objects.chains):
        beat = np.maximum(kind.beat, getattr(kind, "tail_beat", kind.beat))
        at = times.seconds_at(beat)
        tell(
            found,
            "after_audio",
            at > seconds + _SAME_SECONDS,
            lambda i, beats=beat: _at(beats, i),  # type: ignore[misc]
            lambda i, at=at: f"{at[i]:.3f} s of {seconds:.3f}",  # type: ignore[misc]
        )


def _check_streams(found: Found, objects: Objects, times: TimeMap) -> None:
    """Tell of a hand that is to cut on and on in one direction, without a way back."""
    seconds = times.seconds_at(objects.notes.beat)
    for color in (0, 1):
        swings = hand_swings(objects.notes, seconds, color)
        if len(swings) < LEAST_STREAM:
            continue
        is_quick = swings.seconds[1:] - swings.until[:-1] <= STREAM_SECONDS
        is_again = np.concatenate(([0], (cosines(swings.cut) > _SAME_WAY) & is_quick, [0]))
        edges = np.diff(is_again.astype(int))
        begins, lasts = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
        for begin, size in zip(begins, lasts - begins + 1, strict=True):
            if size >= LEAST_STREAM:
                beat = float(times.beats_at(swings.seconds[begin]))
                detail = f"{size} cuts of one hand in one direction, without a way back"
                found.add("same_direction_stream", f"beat {beat:.6g}", detail)
