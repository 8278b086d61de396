"""What a store says about itself: its manifest, which is also its checkpoint, and its songs.

`manifest.json` is short, however many songs there are: which files belong to the store, what is
in them, and how far it is. The songs stand in `songs_0000.jsonl` and so on, one a line, each with
the row group that its rows are in, by kind; what was left out stands in `skipped_0000.jsonl`.
Units: `njs` is metres a second, `offset` is beats, `nps` is notes a second.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from workbench.beatmap.maps.objects import Fault
from workbench.beatmap.maps.tables import KINDS
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

MANIFEST = "manifest.json"
ROOTS = "roots.json"  # where the maps lie on this machine; nothing else depends on it
FORMAT = 1
SONGS, SKIPPED = "songs", "skipped"
FAULTS_TOLD = 5  # of each kind, for each beatmap; a modded map may have thousands


class Group(NamedTuple):
    """Where the rows of a song are.

    Attributes:
        file: Number of the file of its kind.
        group: Which row group of it.
        rows: How many rows.
    """

    file: int
    group: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBeatmap:
    """One difficulty of a stored song.

    Attributes:
        characteristic: As `Standard`.
        difficulty: As `ExpertPlus`.
        rank: As 9.
        label: The mapper's own name for it.
        njs: Note jump speed; 0 leaves it to the game; None where an older store forgot it.
        offset: Of a jump's start; None likewise.
        mappers: Who placed the objects.
        lighters: Who placed the lights.
        requirements: Mods without which it cannot be played.
        suggestions: Mods that it can use.
        file: The difficulty's file.
        version: Its format's.
        flags: What it shows of mods.
        counts: Kind of object: how many.
        nps: Notes a second from its first note to its last, 0 where it has no two.
        end_seconds: When its last note or other object begins.
        time_map: Which beat sounds when.
        fault_counts: Kind of fault: how many.
        faults: The first few of each kind.
    """

    characteristic: str
    difficulty: str
    rank: int = 0
    label: str = ""
    njs: float | None = None
    offset: float | None = None
    mappers: tuple[str, ...] = ()
    lighters: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    file: str = ""
    version: str = ""
    flags: tuple[str, ...] = ()
    counts: Mapping[str, int]
    nps: float
    end_seconds: float = 0.0
    time_map: TimeMap
    fault_counts: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSong:
    """A stored song.

    Attributes:
        key: What it is known by: the map service's own hash of the level.
        audio_digest: SHA-256 of the audio file, hexadecimal; empty where there is none.
        source: `folder`, `zip`, `service`, `official` or `chart`, or what an older store says.
        source_id: The source's own name for it.
        place: Where its files lay, below the folder that was processed.
        title: Of the song.
        subtitle: Of the song.
        artist: Of the song.
        mapper: Of the level.
        bpm: Of the Info.
        song_time_offset: By how much the audio is shifted, seconds.
        audio: The audio's file name.
        audio_bytes: Its size.
        cover: The cover's file name.
        preview_start: Seconds.
        preview_duration: Seconds.
        environment: The first or only one.
        version: The Info's.
        score: 0 to 1, of the service; None where nobody rated it.
        upvotes: Of the service, or None.
        downvotes: Of the service, or None.
        time_map: Of the audio data, else the steady tempo of the Info.
        beatmaps: Those that could be read.
        fault_counts: Kind of fault of the level itself: how many.
        faults: The first few of each kind.
        groups: Kind of object: where its rows are.
    """

    key: str
    audio_digest: str = ""
    source: str
    source_id: str = ""
    place: str = ""
    title: str
    subtitle: str = ""
    artist: str
    mapper: str
    bpm: float
    song_time_offset: float = 0.0
    audio: str = ""
    audio_bytes: int = 0
    cover: str = ""
    preview_start: float = 0.0
    preview_duration: float = 0.0
    environment: str = ""
    version: str = ""
    score: float | None = None
    upvotes: int | None = None
    downvotes: int | None = None
    time_map: TimeMap
    beatmaps: tuple[StoredBeatmap, ...]
    fault_counts: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)

    @property
    def audio_key(self) -> str:
        """What the song's sound is known by: its digest; the level's where there is no audio."""
        return self.audio_digest or self.key

    def line(self) -> bytes:
        """Return the song as a line; each of its time maps stands there once."""
        maps: dict[bytes, int] = {}
        told: list[dict[str, Any]] = []

        def number(time_map: TimeMap) -> int:
            key = b"|".join(c.tobytes() for c in (time_map.beat, time_map.seconds, time_map.bpm))
            if key not in maps:
                maps[key] = len(told)
                told.append(time_map.as_json())
            return maps[key]

        values: dict[str, Any] = {name: getattr(self, name) for name in _SONG}
        values["time_map"] = number(self.time_map)
        values["beatmaps"] = [
            {name: getattr(beatmap, name) for name in _BEATMAP}
            | {"time_map": number(beatmap.time_map)}
            for beatmap in self.beatmaps
        ]
        values["time_maps"] = told
        return _line(values)

    @staticmethod
    def of_line(line: bytes | str) -> "StoredSong":
        """Return the song of a line.

        Raises:
            ValueError, KeyError, TypeError: It is none.
        """
        values = json.loads(line)
        maps = [TimeMap.from_json(columns) for columns in values.pop("time_maps")]
        beatmaps = [
            StoredBeatmap(**_restored(told) | {"time_map": maps[told["time_map"]]})
            for told in values.pop("beatmaps")
        ]
        groups = {kind: Group(*where) for kind, where in values.pop("groups").items()}
        own = _restored(values) | {"time_map": maps[values["time_map"]]}
        return StoredSong(**own, beatmaps=tuple(beatmaps), groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A map, or one difficulty of one, that was left out.

    Attributes:
        place: The map, below the folder that was processed.
        at: File and position in it; empty where it is the whole map.
        reason: One word of it.
        detail: What was found.
        is_map: Whether the whole map was left out.
    """

    place: str
    at: str = ""
    reason: str
    detail: str
    is_map: bool

    def line(self) -> bytes:
        """Return it as a line."""
        return _line(asdict(self))

    @staticmethod
    def of_line(line: bytes | str) -> "Skip":
        """Return what a line tells.

        Raises:
            ValueError, TypeError: It tells none.
        """
        return Skip(**json.loads(line))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a store.

    Attributes:
        name: Its name.
        rows: Rows, or lines, in it.
        size: Bytes.
        sha256: Of its content, hexadecimal.
    """

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """How far a store is, and what belongs to it.

    Attributes:
        fingerprint: Of the list of maps that it is made from.
        settings: What else its bytes depend on.
        listed: Maps of that list.
        position: How many of them were gone through.
        files: Kind of object, `songs` or `skipped`: its files, in order.
        counts: Maps, difficulties and objects of each kind in it.
        duplicates: Maps that were there already, by their hash.
        refused_maps: Maps that were left out for what they are.
        refused: Reason: maps and single difficulties that were left out for it.
        faults: Kind of fault: how many the songs have that are in it.
    """

    fingerprint: str
    settings: Mapping[str, Any]
    listed: int
    position: int = 0
    files: Mapping[str, tuple[StoredFile, ...]] = field(default_factory=dict)
    counts: Mapping[str, int]
    duplicates: int = 0
    refused_maps: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether all maps were gone through."""
        return self.position == self.listed

    def names(self) -> set[str]:
        """Return the names of all files that belong to the store, without its manifest."""
        return {file.name for files in self.files.values() for file in files}

    def to_bytes(self) -> bytes:
        """Return the one text of the manifest."""
        values = {"format": FORMAT, **asdict(self)}
        return (json.dumps(values, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def no_counts() -> dict[str, int]:
    """Return the counts of an empty store."""
    return dict.fromkeys(("maps", "difficulties", *KINDS), 0)


def file_name(kind: str, number: int) -> str:
    """Return the name of a file of a store."""
    suffix = "jsonl" if kind in (SONGS, SKIPPED) else "parquet"
    return f"{kind}_{number:04d}.{suffix}"


def read_manifest(content: bytes, place: str) -> Manifest:
    """Return the manifest that some bytes hold.

    Args:
        content: What `to_bytes` made.
        place: Where they are from, for the error.

    Raises:
        BeatmapError: They are none, or of a newer format.
    """
    try:
        values = json.loads(content)
        if values.pop("format") != FORMAT:
            raise ValueError("its format is another")
        files = {
            kind: tuple(StoredFile(**file) for file in told)
            for kind, told in values.pop("files").items()
        }
        return Manifest(files=files, **values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BeatmapError(
            f"{place}: {MANIFEST} is none of this version ({error}); read it with the version that "
            "wrote it, or process the maps again with --fresh",
            "bad_store",
        ) from error


def few_of_each(faults: Iterable[Fault]) -> tuple[tuple[Fault, ...], dict[str, int]]:
    """Return the first few faults of each kind, and how many of each there are.

    A fault that stands for several counts as so many.
    """
    counts: Counter[str] = Counter()
    told: Counter[str] = Counter()
    kept = []
    for fault in faults:
        counts[fault.kind] += fault.count
        told[fault.kind] += 1
        if told[fault.kind] <= FAULTS_TOLD:
            kept.append(fault)
    return tuple(kept), dict(sorted(counts.items()))


_SONG = tuple(told.name for told in fields(StoredSong))
_BEATMAP = tuple(told.name for told in fields(StoredBeatmap))


def _restored(values: Mapping[str, Any]) -> dict[str, Any]:
    faults = tuple(Fault(**fault) for fault in values["faults"])
    made = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return made | {"faults": faults}


def _line(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(
        values, sort_keys=True, separators=(",", ":"), allow_nan=False, default=asdict
    )
    return (text + "\n").encode()  # in ASCII: file names need not be Unicode
