"""A level from its files, whatever their versions; what cannot be read is a fault with its place.

The Info decides which files there are; each says its own version by what it holds. Nothing that
stands in a file raises: a difficulty that cannot be read is an empty beatmap with a fatal fault,
an object that cannot is left out with one, and the rest goes on. Only a level without a readable
Info is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workbench.beatmap.maps import tempos
from workbench.beatmap.maps.decoding import UNDECODABLE, Found, SchemaDecoder, broken
from workbench.beatmap.maps.documents import Document, document_of, plain
from workbench.beatmap.maps.identity import level_hash
from workbench.beatmap.maps.infos import (
    Entry,
    Info,
    canonical_characteristic,
    canonical_difficulty,
    label_of,
    rank_of,
    read_info,
    requirements_of,
    suggestions_of,
)
from workbench.beatmap.maps.level import Beatmap, Level, MapFiles
from workbench.beatmap.maps.names import folded, info_name, matching
from workbench.beatmap.maps.objects import CHARACTERISTICS, DIFFICULTIES, Fault, Objects
from workbench.beatmap.maps.parsed import Numbers, Parsed
from workbench.beatmap.maps.read_v2 import read_v2
from workbench.beatmap.maps.read_v3 import read_v3
from workbench.beatmap.maps.read_v4 import check_lightshow, read_v4
from workbench.beatmap.maps.schemas import v2, v3, v4
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

AUDIO_DATA_NAMES = ("bpminfo.dat", "audiodata.dat")
MOST_DIFFICULTIES = 200  # of an Info; 8 characteristics of 5 are 40
_MODS = {
    "mapping extensions": "mapping_extensions",
    "noodle extensions": "noodle",
    "chroma": "chroma",
}
_V2 = SchemaDecoder(v2.Difficulty)
_V3 = SchemaDecoder(v3.Difficulty)
_V4 = SchemaDecoder(v4.Difficulty)
_LIGHTS = SchemaDecoder(v4.Lightshow)
_DECODERS = {1: _V2, 2: _V2, 3: _V3, 4: _V4}


def read_level(files: MapFiles) -> Level:
    """Return the level of some files, with all that is wrong with it as faults.

    Raises:
        BeatmapError: There is no Info, or it cannot be read; `kind` is the reason.
    """
    names = files.names()
    name = info_name(names)
    if name is None:
        raise BeatmapError(f"{files.place}: no Info.dat; a level has one", "no_info")
    return _Reading(files, name, names).level()


def read_difficulty(
    data: bytes, *, file: str = "difficulty", bpm: float = 120.0, njs: float = 0.0
) -> Beatmap:
    """Return one difficulty that stands for itself, without an Info.

    Args:
        data: The file's bytes.
        file: Its name, for faults.
        bpm: What holds where the file says no tempo, beats a minute.
        njs: Metres a second.
    """
    found = Found(file)
    document = _document(data, found)
    parsed = parsed_of(document, njs, found) if document else None
    times = TimeMap.steady(bpm)
    if parsed:
        times = tempos.of_changes(bpm, parsed.tempo_beats, parsed.tempo_bpms, found)
    return Beatmap(
        characteristic="Standard",
        difficulty="ExpertPlus",
        rank=9,
        label="",
        njs=njs,
        offset=0.0,
        mappers=(),
        lighters=(),
        requirements=(),
        suggestions=(),
        file=file,
        version=document.version if document else "",
        objects=parsed.objects if parsed else Objects.none(),
        time_map=times,
        flags=tuple(sorted(parsed.flags)) if parsed else (),
        faults=found.faults(),
        document=document if parsed else None,
    )


def parsed_of(document: Document, njs: float, found: Found) -> Parsed | None:
    """Return what a difficulty holds, or None if it is no JSON object.

    Args:
        document: Of any format.
        njs: Of the Info, metres a second.
        found: Is told what is wrong or odd.
    """
    decoder = _DECODERS[document.format]
    file, scanned = _scanned(document, decoder)
    if file is None:
        scanned = {}
        file = decoder.decode(document.body(), found)
    if file is None:
        return None
    if not scanned and not decoder.has_lists(file):
        known = ", ".join(decoder.lists[:3])
        found.add("no_lists", "$", f"none of {known} and so on: is it another file?")
    if document.format == 4:
        return read_v4(file, njs, found)
    if document.format == 3:
        return read_v3(file, found, scanned)
    return read_v2(file, document.version, found, scanned)


@dataclass
class _Scanning:
    """When lists are scanned by machine code: loading it costs a second or two.

    Attributes:
        after: Bytes of difficulties that a process reads without it.
        least: Bytes of a difficulty that is worth it.
        seen: Bytes read.
    """

    after: int = 32 * 2**20
    least: int = 16 * 2**10
    seen: int = 0

    def is_worth(self, size: int) -> bool:
        self.seen += size
        return size >= self.least and self.seen >= self.after


SCANNING = _Scanning()


def _scanned(document: Document, decoder: SchemaDecoder) -> tuple[Any, dict[str, Numbers]]:
    """Return a difficulty without its long lists, and these as columns.

    None where it is not worth it, or where anything is odd: then the schema alone reads the file,
    and tells what.
    """
    if document.format == 4 or not SCANNING.is_worth(len(document.data)):
        return None, {}
    from workbench.beatmap.maps import scanning  # noqa: PLC0415  numba is slow to import

    lists = scanning.V3 if document.format == 3 else scanning.V2
    text, columns = scanning.lifted(document.data, lists)
    odd = Found("")
    file = decoder.decode(text, odd) if columns else None
    if file is None or odd.faults():
        return None, {}
    for wanted in lists:
        if wanted.name in columns:
            if not wanted.is_marker(getattr(file, wanted.name)):
                return None, {}
            setattr(file, wanted.name, None)
    return file, columns


@dataclass
class _Reading:
    """One level while it is read.

    Attributes:
        files: Where from.
        info_file: The Info's name.
    """

    files: MapFiles
    info_file: str
    _names: list[str]
    _bytes: dict[str, bytes | BeatmapError] = field(default_factory=dict)
    _lights: dict[str, tuple[Document | None, tuple[Fault, ...]]] = field(default_factory=dict)

    def level(self) -> Level:
        found = Found(self.info_file)
        document, info = self._info(found)
        audio = self._audio(info, document.format, found)
        times = tempos.steady(info.bpm, found, info.bpm_path)
        if audio.regions is not None and document.format == 4:
            times = audio.regions
        self._check_entries(info, found)
        beatmaps = tuple(self._beatmap(entry, info, audio) for entry in info.entries)
        return Level(
            title=info.title,
            subtitle=info.subtitle,
            artist=info.artist,
            mapper=info.mapper,
            bpm=info.bpm,
            song_time_offset=info.song_time_offset,
            audio=info.audio,
            cover=info.cover,
            duration=audio.seconds,
            preview_start=info.preview_start,
            preview_duration=info.preview_duration,
            environment=info.environment,
            version=document.version,
            level_hash=level_hash(self._hashed(info, document.format)),
            time_map=times,
            beatmaps=beatmaps,
            faults=found.faults() + audio.faults,
            place=self.files.place,
            info=document,
            info_file=self.info_file,
            audio_data=audio.document,
            audio_data_file=audio.file,
        )

    def _info(self, found: Found) -> tuple[Document, Info]:
        """Return the Info, or raise what is wrong with it."""
        data = self._read(self.info_file)
        if isinstance(data, BeatmapError):
            raise data
        document = _document(data, found)
        info = read_info(document, found) if document else None
        if document is None or info is None:
            fault = next(fault for fault in found.faults() if fault.is_fatal)
            raise BeatmapError(f"{self.files.place}: {fault}", fault.kind)
        if len(info.entries) > MOST_DIFFICULTIES:
            detail = f"{len(info.entries):,} difficulties, over {MOST_DIFFICULTIES}"
            raise BeatmapError(f"{self.files.place}: {detail}", "too_many_difficulties")
        if not info.entries:
            found.add("no_difficulties", "$", "the Info lists no difficulty")
        listed = {self.info_file, info.audio_data}
        listed.update(name for entry in info.entries for name in (entry.file, entry.lightshow))
        known = {*map(folded, listed), *AUDIO_DATA_NAMES}
        for name in self._names:
            if name.lower().endswith(".dat") and folded(name) not in known:
                found.add("unlisted_file", "", f"{name} is not listed and not read")
        if info.song_time_offset:
            detail = f"{info.song_time_offset:g} s; it drifts at other speeds than 1"
            found.add("song_time_offset", "$._songTimeOffset", detail)
        return document, info

    def _audio(self, info: Info, format_: int, found: Found) -> "_Audio":
        """Return what the file beside the audio says; v4's Info names it, others lie beside."""
        lower = {name.lower(): name for name in self._names}
        name = info.audio_data
        if not name and format_ != 4:
            name = next((lower[one] for one in AUDIO_DATA_NAMES if one in lower), "")
        if not name:
            return _Audio(seconds=info.duration)
        data = self._read(name)
        if isinstance(data, BeatmapError):
            found.add(data.kind, "$.audio.audioDataFilename", str(data))
            return _Audio(seconds=info.duration)
        own = Found(name)
        document = _document(data, own)
        regions, seconds = tempos.of_audio(document, own) if document else (None, 0.0)
        if regions is not None and format_ == 4 and tempos.is_tempo(info.bpm):
            first, end = regions.first()  # an Info of v4 has no place for what follows
            maps = (first, TimeMap.steady(info.bpm))
            tempos.tell_difference(own, "$", (name, self.info_file), maps, end or seconds)
        return _Audio(
            file=name,
            document=document,
            regions=regions,
            seconds=info.duration or seconds,
            faults=own.faults(),
        )

    def _check_entries(self, info: Info, found: Found) -> None:
        """Tell of words that the game does not know, and of difficulties listed twice."""
        seen = set()
        for entry in info.entries:
            word = canonical_characteristic(entry.characteristic)
            difficulty = canonical_difficulty(entry.difficulty)
            if word not in CHARACTERISTICS:
                found.add("unknown_characteristic", entry.path, repr(entry.characteristic))
            if difficulty not in DIFFICULTIES:
                found.add("unknown_difficulty", entry.path, repr(entry.difficulty))
            elif difficulty != entry.difficulty:
                detail = f"{entry.difficulty!r} for {difficulty}"
                found.add("difficulty_alias", entry.path, detail)
            if (word, difficulty) in seen:
                found.add("listed_twice", entry.path, f"{word} {difficulty}")
            seen.add((word, difficulty))

    def _beatmap(self, entry: Entry, info: Info, audio: "_Audio") -> Beatmap:
        found = Found(entry.file or self.info_file)
        document = self._listed(entry, found)
        parsed = parsed_of(document, entry.njs, found) if document else None
        own = self._tempo(document, parsed, info, audio, found)
        if parsed:
            _check_end(parsed.objects, own, audio.seconds, found)
        own_njs, own_offset = (parsed.njs, parsed.offset) if parsed else (None, None)
        lights, light_faults = self._lightshow(entry)
        difficulty = canonical_difficulty(entry.difficulty)
        requirements = requirements_of(entry.custom)
        suggestions = suggestions_of(entry.custom)
        flags = {_MODS.get(mod.lower(), "") for mod in requirements + suggestions}
        flags |= parsed.flags if parsed else set()
        return Beatmap(
            characteristic=canonical_characteristic(entry.characteristic),
            difficulty=difficulty,
            rank=rank_of(difficulty, entry.rank),
            label=label_of(entry.custom),
            njs=entry.njs if own_njs is None else own_njs,
            offset=entry.offset if own_offset is None else own_offset,
            mappers=entry.mappers,
            lighters=entry.lighters,
            requirements=requirements,
            suggestions=suggestions,
            file=entry.file,
            version=document.version if document else "",
            objects=parsed.objects if parsed else Objects.none(),
            time_map=own,
            flags=tuple(sorted(flags - {""})),
            faults=found.faults() + light_faults,
            document=document if parsed else None,
            lightshow_file=entry.lightshow,
            lightshow=lights,
        )

    def _listed(self, entry: Entry, found: Found) -> Document | None:
        """Return the file of a difficulty, or None with what is wrong as a fault."""
        if not entry.file:
            found.add("missing_file", entry.path, "no file is named", fatal=True)
            return None
        data = self._read(entry.file)
        if isinstance(data, BeatmapError):
            found.add(data.kind, "", str(data), fatal=True)
            return None
        return _document(data, found)

    def _tempo(
        self,
        document: Document | None,
        parsed: Parsed | None,
        info: Info,
        audio: "_Audio",
        found: Found,
    ) -> TimeMap:
        """Return the time map of a difficulty: v4 has it of the audio, others of their events."""
        bpm = info.bpm if tempos.is_tempo(info.bpm) else tempos.FALLBACK_BPM
        if document is None or parsed is None or document.format == 4:
            return audio.regions or TimeMap.steady(bpm)
        own = tempos.of_changes(bpm, parsed.tempo_beats, parsed.tempo_bpms, found)
        if parsed.bpm is not None and parsed.bpm != info.bpm:
            detail = (
                f"{self.info_file} ({info.bpm:g} bpm) and the file ({parsed.bpm:g}); the Info holds"
            )
            found.add("tempo_disagreement", "$._beatsPerMinute", detail)
        if audio.regions is not None:
            names = ("the difficulty", audio.file)
            tempos.tell_difference(found, "$", names, (own, audio.regions), audio.seconds)
        return own

    def _lightshow(self, entry: Entry) -> tuple[Document | None, tuple[Fault, ...]]:
        """Return a file of lights and its faults; several difficulties may share one."""
        name = entry.lightshow
        if not name:
            return None, ()
        if name not in self._lights:
            self._lights[name] = self._read_lightshow(name)
        return self._lights[name]

    def _read_lightshow(self, name: str) -> tuple[Document | None, tuple[Fault, ...]]:
        found = Found(name)
        data = self._read(name)
        if isinstance(data, BeatmapError):
            found.add(data.kind, "", str(data))
            return None, found.faults()
        document = _document(data, found)
        if document is not None and document.format == 4:
            file = _LIGHTS.decode(document.body(), found)
            if file is not None:
                check_lightshow(file, found)
        elif document is not None:
            (_V3 if document.format == 3 else _V2).decode(document.body(), found)
        return document, found.faults()

    def _read(self, name: str) -> bytes | BeatmapError:
        """Return a file's bytes, read once, or why they cannot be had.

        Only files that the place lists are read, so that no name leads elsewhere; one that is
        spelt otherwise is found, as the game finds it on the computers that it runs on.
        """
        if name not in self._bytes:
            try:
                there = matching(name, self._names, self.files.place)
                self._bytes[name] = self.files.read(there)
            except BeatmapError as error:
                self._bytes[name] = error
        return self._bytes[name]

    def _hashed(self, info: Info, format_: int) -> Iterator[bytes]:
        """Yield the bytes that the level's hash is of; a file that is missing has none."""
        names = [self.info_file]
        if format_ == 4:
            names.append(info.audio_data)
        for entry in info.entries:
            names.append(entry.file)
            if format_ == 4:
                names.append(entry.lightshow)
        for name in names:
            data = self._read(name) if name else b""
            if isinstance(data, bytes):
                yield data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audio:
    """What is known of the audio without hearing it.

    Attributes:
        file: Of the audio data, or none.
        document: That file.
        regions: What it says of the tempo.
        seconds: How long the audio is, or 0.
        faults: Of that file.
    """

    file: str = ""
    document: Document | None = None
    regions: TimeMap | None = None
    seconds: float = 0.0
    faults: tuple[Fault, ...] = ()


def _document(data: bytes, found: Found) -> Document | None:
    """Return the document of a file's bytes, or None with what is wrong as a fault."""
    try:
        document = document_of(
            plain(data, found.file, lambda kind, text: found.add(kind, "$", text))
        )
    except BeatmapError as error:
        found.add(error.kind, "", str(error), fatal=True)
        return None
    except UNDECODABLE as error:
        found.add(*broken(error, "$"), fatal=True)
        return None
    if document is None:
        found.add("unknown_format", "$", "neither a version nor a key of any", fatal=True)
    return document


def _check_end(objects: Objects, times: TimeMap, seconds: float, found: Found) -> None:
    """Tell of objects behind the end of the audio, where its length is known."""
    if seconds <= 0:
        return
    for kind in (objects.notes, objects.bombs, objects.arcs, objects.chains):
        if not len(kind):
            continue
        last = float(times.seconds_at(kind.beat[-1]))
        if last > seconds + 0.001:  # lengths are written in milliseconds
            detail = f"beat {kind.beat[-1]:g} is at {last:.3f} s of {seconds:.3f}"
            found.add("after_audio", "$", detail)
