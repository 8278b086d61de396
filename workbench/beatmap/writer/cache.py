"""Features of songs, computed once and read from disk as they are used.

A folder holds the features of any number of specs. The songs of a spec lie one behind another in
shards of float16, which are mapped into memory; beside each shard stands what is in it. A song is
known by the digest of its audio and the fingerprint of its time map, so that no number is ever
rounded into a name. `cache.json` lists the shards and is the only checkpoint: a shard and its
place in the list come in one act, so that a run that is killed loses the work of one shard, and
one that goes on makes the same shards. What was asked for the longest ago leaves first, where a
budget wants room; ages are counted in runs. A shard that is asked for in part is written anew
without the rest before a budget is too small.

With each song stand the sums of its columns and of their squares: the mean and the deviation of
any choice of songs, as those of a training, are a matter of additions.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from workbench.beatmap.maps.places import Place
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.audio import audio_digest, song_samples
from workbench.beatmap.writer.mel import Features, mel
from workbench.beatmap.writer.options import CacheOptions, MelSpec
from workbench.caching.alone import alone
from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError, CachingError
from workbench.progress import Progress, Show, silent
from workbench.streaming.sink import FolderSink
from workbench.streaming.workers import KILLED_WORKER, cheapest, map_ordered

logger = logging.getLogger(__name__)

CACHE_NAME = "cache.json"
FORMAT = 1

_STAGING = ".staging"
_LOCK = ".lock"
_SPEC_DIGITS = 16  # of a fingerprint, in the name of a folder
_SHARD_DIGITS = 6
_TOLD_DIGITS = 12  # of a key, where a person reads it
_OURS = "[0-9a-f]" * _SPEC_DIGITS + "/" + "[0-9]" * _SHARD_DIGITS + ".np[yz]"
_DECODER = f"libsndfile {soundfile.__libsndfile_version__}"
_LEAST_DEVIATION = 1e-3  # of a channel that never moves
# What a song is refused for that it will be refused for again, as long as its bytes are the same
# and the same library reads them.
_LASTING = (
    "undecodable_audio",
    "empty_audio",
    "odd_audio",
    "too_long_audio",
    "bad_tempo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SongSound:
    """A song's sound, and which beat of it sounds when.

    Attributes:
        path: The folder or zip that its audio files are in.
        names: The audio files there; several sound together.
        digest: Of the audio, as `audio_digest` makes it; of one file, its SHA-256.
        time_map: Of the song, or of one of its beatmaps.
    """

    path: Path
    names: tuple[str, ...]
    digest: str
    time_map: TimeMap

    def __str__(self) -> str:
        return f"{self.path}: {' + '.join(self.names) or 'no audio'}"

    @property
    def key(self) -> str:
        """What its features are known by, among those of a spec."""
        return feature_key(self.digest, self.time_map)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Mean and deviation of each channel over all columns of some songs.

    Attributes:
        mean: float32 `(channels,)`.
        deviation: The standard deviation, at least 0.001, float32 `(channels,)`.
        columns: How many columns they are of.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """What a run has done for a cache.

    Attributes:
        found: Songs that were there.
        computed: Songs that were added.
        refused: Song, and in brackets the first digits of its key, as it has one for each of its
            time maps: the kind of the reason, and the reason, in the order in which they came.
        dropped: Songs that left for room, of any spec.
        size: What all shards of the folder take now, bytes.
        seconds: How long it took.
    """

    found: int
    computed: int
    refused: Mapping[str, tuple[str, str]]
    dropped: int
    size: int
    seconds: float


class FeatureCache:
    """The features of one spec in a folder, as they are now; it may be sent to other processes.

    Attributes:
        folder: Where they are.
        spec: What they are.
    """

    def __init__(self, folder: Path, spec: MelSpec):
        """Open what is there; a folder of none is an empty cache.

        Raises:
            BeatmapError: The folder holds something else, or is damaged.
        """
        self.folder = folder
        self.spec = spec
        state = _read_state(FolderSink(folder, CACHE_NAME))
        self._places: dict[str, tuple[int, int, int, int]] = {}
        self._arrays: list[Features] = []
        self._sums: list[NDArray[np.float64]] = []
        for number, shard in enumerate(state.of_spec(spec)):
            arrays, keys, bounds, sums = _opened_shard(folder, shard, spec)
            self._arrays.append(arrays)
            self._sums.append(sums)
            for row, key in enumerate(keys):
                self._places[key] = (number, row, bounds[row], bounds[row + 1])

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureCache, (self.folder, self.spec)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def features(self, key: str) -> Features:
        """Return the features of a song, `(columns, channels)` float16, read as they are used.

        Raises:
            BeatmapError: There are none of that key.
        """
        try:
            number, _, start, stop = self._places[key]
        except KeyError:
            raise BeatmapError(
                f"{self.folder}: holds no features of {key[:_TOLD_DIGITS]}; warm the cache with "
                "that song",
                "not_cached",
            ) from None
        return self._arrays[number][start:stop]

    def columns(self, key: str) -> int:
        """Return how many columns a song has.

        Raises:
            BeatmapError: There are none of that key.
        """
        return len(self.features(key))

    def statistics(self, keys: Iterable[str]) -> Statistics:
        """Return mean and deviation of some songs, each counted as often as it is named.

        Raises:
            BeatmapError: There are no features of one, or no column in all of them.
        """
        total = np.zeros((2, self.spec.channels))
        columns = 0
        for key in keys:
            columns += self.columns(key)
            number, row, _, _ = self._places[key]
            total += self._sums[number][row]
        if not columns:
            raise BeatmapError(f"{self.folder}: no columns to take a mean of", "no_columns")
        mean = total[0] / columns
        variance = np.maximum(total[1] / columns - mean**2, 0.0)
        return Statistics(
            mean=mean.astype(np.float32),
            deviation=np.maximum(np.sqrt(variance), _LEAST_DEVIATION).astype(np.float32),
            columns=columns,
        )


def feature_key(digest: str, time_map: TimeMap) -> str:
    """Return what the features of a song are known by.

    Args:
        digest: Of its audio.
        time_map: Its own.
    """
    return fingerprint([digest, time_map.fingerprint()])


def warm(
    folder: Path, sounds: Iterable[SongSound], options: CacheOptions, show: Show = silent
) -> Warmed:
    """Compute the features of all songs that have none yet.

    A song that cannot be read costs itself alone. What was refused for its content is not tried
    again. Songs of one sound and one time map are one.

    Args:
        folder: The cache; it is made where there is none.
        sounds: The songs.
        options: What is computed, by how many, and how much may stay.
        show: Told about each song.

    Raises:
        BeatmapError: The folder holds something else; or the budget is too small.
        SinkError: A shard could not be written.
        StreamingError: The workers cannot be had.
    """
    _refuse_other(folder)
    with alone(folder / _LOCK, folder, "run", BeatmapError):
        (folder / _STAGING).mkdir(exist_ok=True)
        run = _Run(folder, options, show)
        try:
            run.warm({sound.key: sound for sound in sounds})
        finally:
            shutil.rmtree(folder / _STAGING, ignore_errors=True)
    return run.told()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why a song has no features."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """A shard, as the list has it.

    Attributes:
        name: Of its files, without their endings.
        spec: Fingerprint of its spec.
        songs: How many there are in it.
        columns: How many.
        size: What its files take, bytes.
        asked: The last run that asked for any of its songs.
    """

    name: str
    spec: str
    songs: int
    columns: int
    size: int
    asked: int

    @property
    def files(self) -> tuple[str, str]:
        return f"{self.name}.npy", f"{self.name}.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """The list of shards.

    Attributes:
        runs: How many there were.
        made: Shards that were ever made; the next one's number.
        shards: Those there are, in the order in which they were made.
        specs: Fingerprint: the spec, for people.
        refused: Fingerprint of a spec, and who decodes: key of a song: kind and reason.
    """

    runs: int = 0
    made: int = 0
    shards: tuple[_Shard, ...] = ()
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(shard.size for shard in self.shards)

    def of_spec(self, spec: MelSpec) -> list[_Shard]:
        return [shard for shard in self.shards if shard.spec == spec.fingerprint()]

    def files(self) -> set[str]:
        return {name for shard in self.shards for name in shard.files}

    def content(self) -> bytes:
        return (json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n").encode()


def _read_state(sink: FolderSink) -> _State:
    content = sink.open()
    if content is None:
        return _State()
    try:
        told = json.loads(content)
        if told.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        shards = tuple(_Shard(**shard) for shard in told.pop("shards"))
        refused = {
            spec: {key: (kind, reason) for key, (kind, reason) in songs.items()}
            for spec, songs in told.pop("refused").items()
        }
        return _State(shards=shards, refused=refused, **told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BeatmapError(
            f"{sink.name}: {CACHE_NAME} is no list of features ({error}); delete the folder to "
            "compute them anew",
            "bad_cache",
        ) from error


def _opened_shard(
    folder: Path, shard: _Shard, spec: MelSpec
) -> tuple[Features, list[str], list[int], NDArray[np.float64]]:
    """Return the columns of a shard, and of its songs the keys, where they begin, and their sums.

    Raises:
        BeatmapError: It is damaged.
    """
    packed, index = (folder / name for name in shard.files)
    try:
        columns: Features = opened_array(packed).reshape(-1, spec.channels)
        with np.load(index, allow_pickle=False) as held:
            keys = held["keys"].astype(str).tolist()
            bounds, sums = held["bounds"].tolist(), held["sums"]
        if columns.dtype != np.float16 or not len(columns) == shard.columns == bounds[-1]:
            raise ValueError(f"{len(columns)} columns instead of {shard.columns}")
    except (CachingError, OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BeatmapError(
            f"{packed}: no readable features ({error}); delete the folder to compute them anew",
            "bad_cache",
        ) from error
    return columns, keys, bounds, sums


def _refuse_other(folder: Path) -> None:
    """Refuse a folder of other things, whose files could be taken for shards.

    Raises:
        BeatmapError: It is one.
    """
    is_ours = not folder.exists() or (
        folder.is_dir()
        and (
            (folder / CACHE_NAME).exists()
            or all(entry.name.startswith(".") for entry in folder.iterdir())  # killed at once
        )
    )
    if not is_ours:
        raise BeatmapError(
            f"{folder}: holds something else, which stays; name another place for features",
            "bad_cache",
        )


class _Run:
    """One run over a cache: what is there is found, what is not is computed and added."""

    def __init__(self, folder: Path, options: CacheOptions, show: Show) -> None:
        self._folder, self._options, self._show = folder, options, show
        self._spec = options.spec
        self._name = self._spec.fingerprint()
        self._begun = time.monotonic()
        self._sink = FolderSink(folder, CACHE_NAME)
        state = _read_state(self._sink)
        self._refusing = f"{self._name}, {_DECODER}"
        known = {name: some for name, some in state.refused.items() if name.endswith(_DECODER)}
        self._state = replace(state, runs=state.runs + 1, refused=known)
        self._sink.create()
        self._asked: frozenset[str] = frozenset()
        self._refused: dict[str, tuple[str, str]] = {}
        self._total = self._found = self._computed = self._failed = self._dropped = 0

    def told(self) -> Warmed:
        return Warmed(
            found=self._found,
            computed=self._computed,
            refused=self._refused,
            dropped=self._dropped,
            size=self._state.size,
            seconds=time.monotonic() - self._begun,
        )

    def warm(self, sounds: Mapping[str, SongSound]) -> None:
        """Bring all songs into the cache."""
        self._asked, self._total = frozenset(sounds), len(sounds)
        waiting = self._waiting(sounds)
        self._commit({})
        threads = torch.get_num_threads()
        try:
            self._compute(waiting)
        finally:
            torch.set_num_threads(threads)  # of this thread, and of those to come
        self._tell()

    def _compute(self, waiting: Mapping[str, SongSound]) -> None:
        engine, workers = self._options.engine, self._options.workers
        results = map_ordered(
            partial(_computed, self._spec, Path.cwd()),
            waiting.values(),
            engine=cheapest(engine, workers),
            workers=workers,
            lost=_killed,
        )
        shard = _OpenShard(self._folder / _STAGING, self._spec)
        with closing(results):  # type: ignore[type-var]  # it is a generator
            for (key, sound), result in zip(waiting.items(), results, strict=True):
                self._take(key, sound, result, shard)
                if shard.size >= self._most_bytes():
                    self._add(shard)
                    shard = _OpenShard(self._folder / _STAGING, self._spec)
                self._tell()
        self._add(shard)

    def _take(
        self, key: str, sound: SongSound, result: "Features | _Refusal", shard: "_OpenShard"
    ) -> None:
        if isinstance(result, _Refusal):
            self._refuse(key, sound, result)
        else:
            shard.add(key, result)
            self._computed += 1

    def _waiting(self, sounds: Mapping[str, SongSound]) -> dict[str, SongSound]:
        """Return the songs that are to be computed; take note of those that are not."""
        refused = self._state.refused.get(self._refusing, {})
        there: set[str] = set()
        shards = []
        for shard in self._state.shards:
            asked: list[str] = []
            if shard.spec == self._name:
                keys = _opened_shard(self._folder, shard, self._spec)[1]
                asked = [key for key in keys if key in sounds]
            there.update(asked)
            shards.append(replace(shard, asked=self._state.runs) if asked else shard)
        self._state = replace(self._state, shards=tuple(shards))
        self._found = len(there)
        for key, sound in sounds.items():
            if key in refused:
                self._tell_of(key, sound, refused[key])
        return {
            key: sound for key, sound in sounds.items() if key not in there and key not in refused
        }

    def _refuse(self, key: str, sound: SongSound, refusal: _Refusal) -> None:
        logger.warning("%s: %s", sound, refusal.reason)
        told = (refusal.kind, refusal.reason)
        self._tell_of(key, sound, told)
        if refusal.kind in _LASTING:
            mine = {**self._state.refused.get(self._refusing, {}), key: told}
            refused = {**self._state.refused, self._refusing: mine}
            self._state = replace(self._state, refused=refused)

    def _tell_of(self, key: str, sound: SongSound, reason: tuple[str, str]) -> None:
        self._refused[f"{sound} [{key[:_TOLD_DIGITS]}]"] = reason
        self._failed += 1

    def _most_bytes(self) -> float:
        """Return when a shard is full; a budget has room for several."""
        most = self._options.shard_mb * 10**6
        budget = self._options.budget_mb * 10**6
        return min(most, budget / 8) if budget else most

    def _add(self, open_shard: "_OpenShard") -> None:
        """Bring a shard to its place, and let go of others for it."""
        packed, index = open_shard.close()
        if not len(open_shard):
            self._commit({})  # what was refused is kept
            return
        self._commit(self._listed(open_shard, packed, index))

    def _listed(self, open_shard: "_OpenShard", packed: Path, index: Path) -> dict[str, Path]:
        """Put a shard on the list; return which file is to come where."""
        made = self._state.made + 1
        shard = _Shard(
            name=f"{self._name[:_SPEC_DIGITS]}/{made:0{_SHARD_DIGITS}d}",
            spec=self._name,
            songs=len(open_shard),
            columns=open_shard.columns,
            size=packed.stat().st_size + index.stat().st_size,
            asked=self._state.runs,
        )
        specs = {**self._state.specs, self._name: asdict(self._spec)}
        shards = (*self._state.shards, shard)
        self._state = replace(self._state, made=made, specs=specs, shards=shards)
        return dict(zip(shard.files, (packed, index), strict=True))

    def _commit(self, files: Mapping[str, Path]) -> None:
        """Change the list, and with it the files, in one act."""
        slim = self._make_room(files)
        self._sink.commit("features", state=self._state.content(), files={**files, **slim})
        self._sink.sweep([_OURS], self._state.files())

    def _make_room(self, coming: Mapping[str, Path]) -> dict[str, Path]:
        """Take shards off the list, the ones not asked for the longest first.

        Those asked for in part are written anew without their other songs.

        Args:
            coming: Files of the list that are not at their place yet; all in them was asked for.

        Returns:
            Files that are to come with them.

        Raises:
            BeatmapError: What this run asks for is more than the budget.
        """
        budget = self._options.budget_mb * 10**6 or float("inf")
        files: dict[str, Path] = {}
        for shard in sorted(self._state.shards, key=lambda shard: shard.asked):
            if self._state.size <= budget:
                return files
            if shard.asked < self._state.runs:
                self._drop(shard)
            elif not coming.keys() & set(shard.files):
                files |= self._slimmed(shard)
        if self._state.size > budget:
            raise BeatmapError(
                f"{self._folder}: {self._found + self._computed} of {self._total} songs take "
                f"{self._state.size / 1e6:.1f} MB, over the budget of "
                f"{self._options.budget_mb:g} MB; raise it, or ask for fewer",
                "over_budget",
            )
        return files

    def _drop(self, shard: _Shard) -> None:
        self._dropped += shard.songs
        left = tuple(other for other in self._state.shards if other is not shard)
        self._state = replace(self._state, shards=left)

    def _slimmed(self, shard: _Shard) -> dict[str, Path]:
        """Put what was asked for of a shard on the list in its place; return its files."""
        columns, keys, bounds, _ = _opened_shard(self._folder, shard, self._spec)
        stays = [row for row, key in enumerate(keys) if key in self._asked]
        if len(stays) == len(keys):
            return {}
        slim = _OpenShard(self._folder / _STAGING, self._spec, Path(shard.name).name)
        for row in stays:
            slim.add(keys[row], columns[bounds[row] : bounds[row + 1]])
        self._drop(shard)
        self._dropped -= len(stays)
        return self._listed(slim, *slim.close())

    def _tell(self) -> None:
        done = self._found + self._computed + self._failed
        self._show(
            Progress(
                stage="features",
                done=done,
                total=self._total,
                unit="songs",
                seconds=time.monotonic() - self._begun,
                fresh=self._computed,
                numbers={"refused": self._failed, "MB": round(self._state.size / 1e6, 1)},
            )
        )


class _OpenShard:
    """A shard that songs are added to, in the staging folder.

    Attributes:
        columns: Columns added so far.
        size: Bytes added so far.
    """

    def __init__(self, staging: Path, spec: MelSpec, name: str = "shard") -> None:
        self._packed, self._index = staging / f"{name}.npy", staging / f"{name}.npz"
        self._writer = ArrayWriter(self._packed, "<f2")
        self._keys: list[str] = []
        self._bounds = [0]
        self._sums: list[NDArray[np.float64]] = []
        self._channels = spec.channels
        self.columns = self.size = 0

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, features: Features) -> None:
        self._writer.append(features.ravel())
        self._keys.append(key)
        self.columns += len(features)
        self.size += features.nbytes
        self._bounds.append(self.columns)
        wide = features.astype(np.float64)
        self._sums.append(np.stack([wide.sum(axis=0), np.square(wide).sum(axis=0)]))

    def close(self) -> tuple[Path, Path]:
        """Finish both files; return them."""
        self._writer.__exit__(None, None, None)
        np.savez(
            self._index,
            keys=np.array(self._keys, "S64"),
            bounds=np.array(self._bounds, np.int64),
            sums=np.array(self._sums).reshape(-1, 2, self._channels),
        )
        return self._packed, self._index


def _killed(sound: SongSound) -> Features | _Refusal:
    """Return that a song has no features since its worker died of it; another run tries again."""
    reason = f"{sound}: its worker died in every attempt (killed, or out of memory)"
    return _Refusal(kind=KILLED_WORKER, reason=reason)


def _computed(spec: MelSpec, base: Path, sound: SongSound) -> Features | _Refusal:
    """Return the features of a song, or why it has none; it works in any process.

    Args:
        spec: What is computed.
        base: The folder that paths begin at.
        sound: The song.
    """
    torch.set_num_threads(1)  # as many workers share the machine, and sums are the same
    try:
        contents = _contents(sound, base)
        if audio_digest(contents) != sound.digest:
            raise BeatmapError(
                "the audio is another than when the map was read; read it again", "changed_audio"
            )
        return mel(song_samples(contents, spec.sample_rate), spec, sound.time_map)
    except BeatmapError as error:
        return _Refusal(kind=error.kind, reason=str(error))


def _contents(sound: SongSound, base: Path) -> Sequence[bytes]:
    if not sound.names:
        raise BeatmapError("the song names no audio file", "no_audio")
    path = base / sound.path
    place = Place(name=str(sound.path), path=path, kind="folder" if path.is_dir() else "zip")
    with place.open() as files:
        return [files.read(name) for name in sound.names]
