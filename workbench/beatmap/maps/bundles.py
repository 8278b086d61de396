"""The game's own levels, out of the Unity bundles of an installation, as map folders.

    Beat Saber_Data/StreamingAssets/aa/StandaloneWindows64/*_pack_assets_all_*.bundle   packs
    Beat Saber_Data/StreamingAssets/BeatmapLevelsData/…, DLC/Levels/…                   levels

A pack says title, tempo and jump speeds (`BeatmapLevelSO`), a level holds the difficulties, lights
and audio data as gzip of version 4, and the audio (`BeatmapLevelDataSO`). The map folder keeps
their bytes as they are, below an Info of version 4, so tempo changes and lights stay. Needs the
extra `bundles`. Units: `offset` of a jump is beats, of a song seconds.
"""

import importlib
import io
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile

from workbench.beatmap.maps.decoding import Found
from workbench.beatmap.maps.documents import document_of, plain
from workbench.beatmap.maps.infos import Entry, Info
from workbench.beatmap.maps.infos_written import json_file, write_info
from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.objects import DIFFICULTIES
from workbench.beatmap.maps.places import ORIGIN_NAME
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.sources_options import ExtractOptions
from workbench.beatmap.maps.tempos import of_audio
from workbench.caching.files import replacing_folder, sweep
from workbench.errors import BeatmapError, SourceError
from workbench.progress import Progress, Show, silent
from workbench.streaming.workers import KILLED_WORKER, cheapest, map_ordered

EXTRA = "pip install 'workbench[bundles]'"
PACKS = Path("Beat Saber_Data/StreamingAssets/aa/StandaloneWindows64")
LEVELS = (Path("Beat Saber_Data/StreamingAssets/BeatmapLevelsData"), Path("DLC/Levels"))

logger = logging.getLogger(__name__)

_PACK_NAME = "_pack_assets_all_"
_SPEEDS = "_previewDifficultyBeatmapSets"
_NO_LEVEL = ("Pack", "Product", "Leaderboard", "Promo", "Collection")
_MAGIC = b"UnityFS\0"
_AUDIO_KINDS = ((b"OggS", "ogg"), (b"fLaC", "flac"), (b"RIFF", "wav"))
_BLOCK = 1 << 16  # frames written at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """How fast the notes of one characteristic come.

    Attributes:
        characteristic: Its name, or none where the pack does not say it.
        of: Difficulty: NJS in metres a second, and offset in beats.
    """

    characteristic: str
    of: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLevel:
    """What a pack says of a level.

    Attributes:
        id: The level's.
        pack: The pack's.
        title: Of the song.
        subtitle: Of the song.
        artist: Of the song.
        mapper: Of the level.
        bpm: Beats a minute, or 0 where it is not said.
        duration: Of the song, seconds.
        song_time_offset: Seconds.
        preview_start: Seconds.
        preview_duration: Seconds.
        speeds: One for each characteristic, in the pack's order.
    """

    id: str
    pack: str = ""
    title: str = ""
    subtitle: str = ""
    artist: str = ""
    mapper: str = ""
    bpm: float = 0.0
    duration: float = 0.0
    song_time_offset: float = 0.0
    preview_start: float = 0.0
    preview_duration: float = 0.0
    speeds: tuple[Speeds, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleBeatmap:
    """A difficulty of a level's bundle.

    Attributes:
        characteristic: As the bundle says it.
        difficulty: One of `objects.DIFFICULTIES`.
        content: The difficulty's file, gzip or not.
        lights: The lightshow's file, or nothing.
    """

    characteristic: str
    difficulty: str
    content: bytes
    lights: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLevel:
    """What a level's bundle holds.

    Attributes:
        id: The level's.
        beatmaps: In the bundle's order.
        audio_data: Tempo and length, a file, or nothing.
        audio: A WAV, FLAC or Ogg file.
    """

    id: str
    beatmaps: tuple[BundleBeatmap, ...]
    audio_data: bytes
    audio: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What an extraction came to; made of JSON's kinds by `dataclasses.asdict`.

    Attributes:
        folder: Where the maps are.
        levels: That were found.
        written: Of them, now.
        here: Of them, from before.
        refused: Level: reason.
        seconds: It took.
    """

    folder: str
    levels: int
    written: int
    here: int
    refused: dict[str, str]
    seconds: float


def extract(
    game: Path, folder: Path, options: ExtractOptions | None = None, show: Show = silent
) -> Extracted:
    """Write the levels of an installation as map folders; one that cannot be read costs itself.

    Stopped, the same call goes on: a level's folder is there whole or not at all.

    Args:
        game: The folder of the game.
        folder: Made if need be; what else is there stays.
        options: How.
        show: Is told after each level.

    Raises:
        SourceError: There is no level.
        BeatmapError: The extra is not installed.
        CachingError: The folder cannot be written.
    """
    options, begun = options or ExtractOptions(), time.monotonic()
    _unity()
    bundles = level_bundles(game)
    packs = read_packs(game / PACKS)
    tasks = [
        _Task(
            bundle=path.absolute(),  # whoever reads it may stand elsewhere
            pack=packs.get(path.stem.casefold()),
            folder=folder.absolute(),
            options=options,
        )
        for path in bundles
    ]
    counts, refused = {"written": 0, "here": 0}, {}
    for task, outcome in zip(tasks, _outcomes(tasks, options), strict=True):
        if outcome in counts:
            counts[outcome] += 1
        else:
            refused[task.bundle.stem] = outcome
        show(
            Progress(
                stage="extract",
                done=sum(counts.values()) + len(refused),
                total=len(tasks),
                unit="levels",
                seconds=time.monotonic() - begun,
                fresh=counts["written"],
            )
        )
    return Extracted(
        folder=str(folder),
        levels=len(tasks),
        written=counts["written"],
        here=counts["here"],
        refused=refused,
        seconds=time.monotonic() - begun,
    )


def level_bundles(game: Path) -> list[Path]:
    """Return the bundles of levels of an installation, in the order of their names.

    Raises:
        SourceError: There is none.
    """
    found = {
        path.stem.casefold(): path
        for below in LEVELS
        for path in sorted((game / below).rglob("*"))
        if path.is_file() and _is_bundle(path)
    }
    if not found:
        raise SourceError(
            f"{game}: no level in {' or '.join(below.as_posix() for below in LEVELS)}; give the "
            "folder that the game is installed in"
        )
    return [found[name] for name in sorted(found)]


def read_packs(folder: Path) -> dict[str, PackLevel]:
    """Return what the packs say, by the names of levels in lower case; a bad pack says nothing."""
    packs: list[tuple[str, Any]] = []
    names: dict[int, str] = {}
    for path in sorted(folder.glob(f"*{_PACK_NAME}*.bundle")):
        pack = path.name.partition(_PACK_NAME)[0]
        try:
            for kind, number, tree in _objects(path):
                if kind == "MonoBehaviour":
                    packs.append((pack, tree))
                    names[number] = str(tree.get("_serializedName") or "")
        except BeatmapError as error:
            logger.warning("%s", error)
    return {
        level.id.casefold(): level
        for pack, tree in packs
        if (level := pack_level(tree, pack, names)) is not None
    }


def pack_level(tree: Mapping[str, Any], pack: str, names: Mapping[int, str]) -> PackLevel | None:
    """Return what an object of a pack says of a level, or None if it is of something else.

    Args:
        tree: The object's fields.
        pack: Name of the pack.
        names: Of characteristics, by the numbers of their objects.
    """
    level_id, name = tree.get("_levelID"), str(tree.get("m_Name", ""))
    if not isinstance(level_id, str) or not level_id:
        return None
    if "BeatmapLevel" not in name or any(word in name for word in _NO_LEVEL):
        return None
    return PackLevel(
        id=level_id,
        pack=pack,
        title=str(tree.get("_songName", "")),
        subtitle=str(tree.get("_songSubName", "")),
        artist=str(tree.get("_songAuthorName", "")),
        mapper=str(tree.get("_levelAuthorName", "")),
        bpm=_number(tree.get("_beatsPerMinute")),
        duration=_number(tree.get("_songDuration")),
        song_time_offset=_number(tree.get("_songTimeOffset")),
        preview_start=_number(tree.get("_previewStartTime")),
        preview_duration=_number(tree.get("_previewDuration")),
        speeds=tuple(_speeds(each, names) for each in tree.get(_SPEEDS) or []),
    )


def read_bundle(path: Path) -> BundleLevel:
    """Return what a level's bundle holds.

    Raises:
        BeatmapError: It cannot be read, or lacks difficulties or audio; `kind` says which.
    """
    texts: dict[int, bytes] = {}
    clips: dict[int, Any] = {}
    data: Mapping[str, Any] | None = None
    for kind, number, found in _objects(path):
        if kind == "TextAsset":
            texts[number] = found.m_Script.encode("utf-8", "surrogateescape")
        elif kind == "AudioClip":
            clips[number] = found
        elif "_difficultyBeatmapSets" in found:
            data = found
    if data is None:
        raise BeatmapError(f"{path}: no level in it", "no_info")
    clip = clips.get(_pointed(data, "_audioClip")) or next(iter(clips.values()), None)
    if clip is None:
        raise BeatmapError(f"{path}: no audio in it", "missing_file")
    beatmaps = tuple(_beatmaps(data["_difficultyBeatmapSets"], texts))
    if not beatmaps:
        raise BeatmapError(f"{path}: no difficulty in it", "missing_file")
    return BundleLevel(
        id=path.stem,
        beatmaps=beatmaps,
        audio_data=texts.get(_pointed(data, "_audioDataAsset"), b""),
        audio=_sound(clip, path),
    )


def level_files(level: BundleLevel, pack: PackLevel | None) -> dict[str, bytes]:
    """Return the files of a map folder, without the audio's own change of kind.

    Args:
        level: Of its bundle.
        pack: What a pack says of it, or None; then the title is the level's name.
    """
    pack = pack or PackLevel(id=level.id, title=level.id)
    kind = next((end for magic, end in _AUDIO_KINDS if level.audio.startswith(magic)), "wav")
    files = {f"song.{kind}": level.audio}
    if level.audio_data:
        files["AudioData.dat"] = level.audio_data
    lights: dict[bytes, str] = {}
    entries = []
    for beatmap, (njs, offset) in zip(level.beatmaps, _matched(level, pack), strict=True):
        name = re.sub(r"\W", "", f"{beatmap.difficulty}{beatmap.characteristic}") + ".dat"
        shown = lights.setdefault(beatmap.lights, f"Lightshow{len(lights) or ''}.dat")
        files[name] = beatmap.content
        if beatmap.lights:
            files[shown] = beatmap.lights
        entries.append(
            Entry(
                path="",
                characteristic=beatmap.characteristic,
                difficulty=beatmap.difficulty,
                njs=njs,
                offset=offset,
                mappers=(pack.mapper,) if pack.mapper else (),
                file=name,
                lightshow=shown if beatmap.lights else "",
            )
        )
    files["Info.dat"] = write_info(_info(level, pack, f"song.{kind}", tuple(entries)), 4)
    files[ORIGIN_NAME] = json_file(
        {
            "source": "official",
            "source_id": pack.id,
            "pack": pack.pack,
            "song_time_offset": pack.song_time_offset,
        }
    )
    return files


@dataclass(frozen=True, slots=True)
class _Task:
    bundle: Path
    pack: PackLevel | None
    folder: Path
    options: ExtractOptions

    def __str__(self) -> str:
        return str(self.bundle)


def _outcomes(tasks: Sequence[_Task], options: ExtractOptions) -> Iterator[str]:
    """Give what became of each level."""
    engine, workers = options.engine, options.workers
    used = cheapest(engine, workers)
    return map_ordered(_extracted, tasks, engine=used, workers=workers, lost=_killed)


def _killed(task: _Task) -> str:
    logger.warning("%s: left out; its worker died in every attempt", task.bundle.name)
    sweep(task.folder / task.bundle.stem)
    return KILLED_WORKER


def _extracted(task: _Task) -> str:
    """Write one level; return `written`, `here`, or the reason why not. By a worker."""
    target = task.folder / task.bundle.stem
    if (target / ORIGIN_NAME).exists() and not task.options.again:
        return "here"
    try:
        files = level_files(read_bundle(task.bundle), task.pack)
        files = _with_audio(files, task.options.audio, task.bundle)
        read = read_level(HeldFiles(files, str(task.bundle)))
    except BeatmapError as error:
        return error.kind
    except Exception:  # a mistake of ours must not cost the other levels
        logger.exception("%s: left out", task.bundle.name)
        return "crash"
    if not any(beatmap.is_readable for beatmap in read.beatmaps):
        return "unreadable"
    sweep(target)
    with replacing_folder(target) as scratch:
        for name, content in files.items():
            (scratch / name).write_bytes(content)
    return "written"


def _unity() -> Any:
    try:
        return importlib.import_module("UnityPy")
    except ImportError as error:
        raise BeatmapError(f"UnityPy: is not installed ({error}); {EXTRA}", "no_extra") from error


def _objects(path: Path) -> Iterator[tuple[str, int, Any]]:
    """Give kind, number and content of each object of a bundle that is of use here.

    Raises:
        BeatmapError: The bundle cannot be read.
    """
    unity = _unity()
    try:
        objects = unity.load(str(path)).objects
    except Exception as error:  # as many kinds as there are wrong bytes
        raise BeatmapError(f"{path}: no bundle that can be read ({error})", "bad_bundle") from error
    for found in objects:
        kind = found.type.name
        if kind not in ("MonoBehaviour", "TextAsset", "AudioClip"):
            continue
        try:
            is_tree = kind == "MonoBehaviour"
            content = found.parse_as_dict() if is_tree else found.parse_as_object()
        except Exception as error:  # one that cannot be read costs itself
            logger.warning("%s: object %s passed over (%s)", path, found.path_id, error)
            continue
        yield kind, found.path_id, content


def _speeds(each: Mapping[str, Any], names: Mapping[int, str]) -> Speeds:
    of = {}
    for entry in each.get("_previewDifficultyBeatmaps") or []:
        difficulty = _difficulty(entry.get("_difficulty"))
        if difficulty:
            of[difficulty] = (
                _number(entry.get("_noteJumpMovementSpeed")),
                _number(entry.get("_noteJumpStartBeatOffset")),
            )
    return Speeds(characteristic=names.get(_pointed(each, "_beatmapCharacteristic"), ""), of=of)


def _matched(level: BundleLevel, pack: PackLevel) -> list[tuple[float, float]]:
    """Return NJS and offset of each beatmap; 0 and 0, which is the game's own, where unsure.

    Characteristics differ in speed, so a difficulty's name alone says nothing: sets are matched
    by name where the pack says it, else by order where there are as many.
    """
    characteristics = list(dict.fromkeys(each.characteristic for each in level.beatmaps))
    by_name = {speeds.characteristic: speeds.of for speeds in pack.speeds if speeds.characteristic}
    unnamed = [speeds.of for speeds in pack.speeds if not speeds.characteristic]
    left = [name for name in characteristics if name not in by_name]
    by_order = dict(zip(left, unnamed, strict=True)) if len(left) == len(unnamed) else {}
    chosen = {**by_order, **by_name}
    return [
        chosen.get(each.characteristic, {}).get(each.difficulty, (0.0, 0.0))
        for each in level.beatmaps
    ]


def _beatmaps(
    sets: Sequence[Mapping[str, Any]], texts: Mapping[int, bytes]
) -> Iterator[BundleBeatmap]:
    for each in sets:
        characteristic = str(each.get("_beatmapCharacteristicSerializedName") or "Standard")
        for entry in each.get("_difficultyBeatmaps", []):
            difficulty = _difficulty(entry.get("_difficulty"))
            content = texts.get(_pointed(entry, "_beatmapAsset"))
            if difficulty and content:
                yield BundleBeatmap(
                    characteristic=characteristic,
                    difficulty=difficulty,
                    content=content,
                    lights=texts.get(_pointed(entry, "_lightshowAsset"), b""),
                )


def _info(level: BundleLevel, pack: PackLevel, audio: str, entries: tuple[Entry, ...]) -> Info:
    return Info(
        title=pack.title,
        subtitle=pack.subtitle,
        artist=pack.artist,
        bpm=pack.bpm or _bpm(level.audio_data),
        audio=audio,
        audio_data="AudioData.dat" if level.audio_data else "",
        duration=pack.duration,
        preview_start=pack.preview_start,
        preview_duration=pack.preview_duration,
        entries=entries,
    )


def _bpm(audio_data: bytes) -> float:
    """Return the mean tempo of audio data, or 0 where it says none."""
    try:
        document = document_of(plain(audio_data, "audio data"))
    except (BeatmapError, msgspec.DecodeError, RecursionError):
        return 0.0
    times, seconds = of_audio(document, Found("audio data")) if document else (None, 0.0)
    if times is None or seconds <= 0:
        return 0.0 if times is None else float(times.bpm[0])
    first, last = times.beats_at([0.0, seconds])
    return float((last - first) * 60.0 / seconds)


def _sound(clip: Any, path: Path) -> bytes:
    """Return the audio of a clip: an Ogg file as it is, all else as WAV.

    Raises:
        BeatmapError: It cannot be decoded.
    """
    try:
        samples = clip.samples
    except Exception as error:  # fmod has its own, and it may be missing on a machine
        raise BeatmapError(f"{path}: its audio cannot be decoded ({error})", "bad_audio") from error
    content = bytes(next(iter(samples.values()), b""))
    if not content.startswith((b"OggS", b"RIFF")):
        raise BeatmapError(f"{path}: its audio is of no kind that is read", "bad_audio")
    return content


def _with_audio(files: Mapping[str, bytes], kind: str, path: Path) -> dict[str, bytes]:
    """Return files whose WAV is of another kind, of the same samples.

    Raises:
        BeatmapError: The WAV cannot be read.
    """
    if kind == "wav" or "song.wav" not in files:
        return dict(files)
    out = io.BytesIO()
    try:
        with soundfile.SoundFile(io.BytesIO(files["song.wav"])) as sound:
            shape = {"samplerate": sound.samplerate, "channels": sound.channels}
            with soundfile.SoundFile(out, "w", format="FLAC", subtype="PCM_16", **shape) as written:
                for block in sound.blocks(_BLOCK, dtype="int16"):
                    written.write(block)
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise BeatmapError(f"{path}: its audio cannot be written ({error})", "bad_audio") from error
    changed = {name: content for name, content in files.items() if name != "song.wav"}
    info = changed["Info.dat"].replace(b'"song.wav"', b'"song.flac"')
    return {**changed, "Info.dat": info, "song.flac": out.getvalue()}


def _pointed(tree: Mapping[str, Any], name: str) -> int:
    """Return the number of the object that a field points to; 0 is none."""
    pointer = tree.get(name)
    number = pointer.get("m_PathID") if isinstance(pointer, Mapping) else 0
    return number if isinstance(number, int) else 0


def _difficulty(number: object) -> str:
    is_one = isinstance(number, int) and 0 <= number < len(DIFFICULTIES)
    return DIFFICULTIES[int(str(number))] if is_one else ""


def _number(value: object) -> float:
    is_one = isinstance(value, int | float) and np.isfinite(value)
    return float(value) if is_one else 0.0  # type: ignore[arg-type]  # told one line above


def _is_bundle(path: Path) -> bool:
    try:
        with path.open("rb") as content:
            return content.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
