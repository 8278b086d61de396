"""The store that grows: songs go in, files come out, each part with the manifest that tells of it.

A part ends after some songs, or before a file would grow too long, and never within a song; where
that is depends on the songs alone. In memory there are the descriptions of its row groups.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from workbench.beatmap.maps.manifest import (
    SKIPPED,
    SONGS,
    Group,
    Manifest,
    Skip,
    StoredFile,
    StoredSong,
    file_name,
)
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.songs import ReadMap
from workbench.beatmap.maps.tables import CODING, KINDS, SCHEMAS
from workbench.errors import BeatmapError
from workbench.streaming.sink import Content, FolderSink
from workbench.streaming.writer import ShardLimits, ShardWriter

STAGING = ".staging"
OURS = [
    *(f"{kind}_{'[0-9]' * 4}.parquet" for kind in KINDS),
    *(f"{kind}_{'[0-9]' * 4}.jsonl" for kind in (SONGS, SKIPPED)),
]
_PASSING = 4  # times its songs: the maps of a part, at most, however few were stored
# What a Parquet file holds beside its values: a description of each row group, and of the columns
_GROUP_BYTES, _FILE_BYTES = 4096, 16_384


class StoreWriter:
    """A store that grows; a context manager, at whose end all is committed.

    Attributes:
        manifest: What the store is with the maps that wait for the next commit.
    """

    def __init__(
        self, manifest: Manifest, sink: FolderSink, folder: Path, options: ProcessOptions
    ) -> None:
        """Go on with a store.

        Args:
            manifest: How far it is.
            sink: Where it is; opened.
            folder: The same, as a folder.
            options: Where its files end.

        Raises:
            BeatmapError: A file of the store is gone or damaged.
        """
        self.manifest = manifest
        self._committed = manifest
        self._sink = sink
        self._staging = folder / STAGING
        self._part_songs = options.part_songs
        self._file_bytes = options.file_mb * 1_000_000
        _check_files(folder, manifest)
        self._known = _known(folder, manifest)
        self._writers: dict[str, ShardWriter] = {}
        self._groups: Counter[str] = Counter()
        self._lines: dict[str, list[bytes]] = {SONGS: [], SKIPPED: []}

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit what waits, or drop it where something went wrong."""
        if kind is None:
            self._commit()
            return
        for writer in self._writers.values():
            writer.abandon()

    def add(self, read: ReadMap) -> None:
        """Add what reading the next map gave.

        Raises:
            SinkError: It cannot be written.
        """
        if not self._has_room(read):
            self._commit()
        skips, song = list(read.skips), read.song
        refused = Counter(self.manifest.refused) + Counter(skip.reason for skip in skips)
        changes: dict[str, Any] = {"refused": dict(sorted(refused.items()))}
        if song is None:
            changes["refused_maps"] = self.manifest.refused_maps + 1
        elif (has_audio := self._known.get(bytes.fromhex(song.key))) is not None:
            changes = {"duplicates": self.manifest.duplicates + 1}
            skips = [_twice(song, is_richer=bool(song.audio_digest) and not has_audio)]
        else:
            changes["counts"] = self._written(song, read.rows)
            changes["faults"] = self._faults(song)
        self._lines[SKIPPED] += [skip.line() for skip in skips]
        self.manifest = replace(self.manifest, position=self.manifest.position + 1, **changes)
        passed = self.manifest.position - self._committed.position
        if len(self._lines[SONGS]) >= self._part_songs or passed >= _PASSING * self._part_songs:
            self._commit()

    def _has_room(self, read: ReadMap) -> bool:
        """Return whether the open files take a song's rows too."""
        for kind, rows in read.rows.items():
            if writer := self._writers.get(kind):
                parts = writer.size + rows.nbytes
                overhead = (self._groups[kind] + 1) * _GROUP_BYTES + _FILE_BYTES
                if parts + overhead > self._file_bytes:
                    return False
        return True

    def _written(self, song: StoredSong, rows: Mapping[str, pa.RecordBatch]) -> dict[str, int]:
        """Write a song; return the counts of the store with it."""
        self._known[bytes.fromhex(song.key)] = bool(song.audio_digest)
        groups = {}
        counts = Counter(self.manifest.counts)
        counts.update({"maps": 1, "difficulties": len(song.beatmaps)})
        for kind, batch in rows.items():
            writer = self._writer(kind)
            writer.append_group(batch)
            number = len(self.manifest.files.get(kind, ()))
            groups[kind] = Group(number, self._groups[kind], batch.num_rows)
            self._groups[kind] += 1
            counts[kind] += batch.num_rows
        self._lines[SONGS].append(replace(song, groups=groups).line())
        return dict(counts)

    def _faults(self, song: StoredSong) -> dict[str, int]:
        """Return the counts of faults of the store with those of a song."""
        counts = Counter(self.manifest.faults)
        for told in (song.fault_counts, *(beatmap.fault_counts for beatmap in song.beatmaps)):
            counts.update(told)
        return dict(sorted(counts.items()))

    def _writer(self, kind: str) -> ShardWriter:
        if kind not in self._writers:
            path = self._staging / file_name(kind, len(self.manifest.files.get(kind, ())))
            self._writers[kind] = ShardWriter(path, SCHEMAS[kind], ShardLimits(), coding=CODING)
        return self._writers[kind]

    def _commit(self) -> None:
        """Put the files of the part into their places, and the manifest with them, in one act."""
        if self.manifest == self._committed:
            return
        content: dict[str, Content] = {}
        files = dict(self.manifest.files)
        for kind, writer in self._writers.items():
            writer.close()
            told = _described(writer.path, writer.rows)
            files[kind] = (*files.get(kind, ()), told)
            content[told.name] = writer.path
        for kind, lines in self._lines.items():
            if lines:
                name, whole = file_name(kind, len(files.get(kind, ()))), b"".join(lines)
                digest = hashlib.sha256(whole).hexdigest()
                told = StoredFile(name=name, rows=len(lines), size=len(whole), sha256=digest)
                files[kind] = (*files.get(kind, ()), told)
                content[name] = whole
        self.manifest = replace(self.manifest, files=files)
        message = f"{self.manifest.position} of {self.manifest.listed} maps"
        self._sink.commit(message, state=self.manifest.to_bytes(), files=content)
        self._committed = self.manifest
        self._writers, self._groups = {}, Counter()
        self._lines = {kind: [] for kind in self._lines}


def _twice(song: StoredSong, *, is_richer: bool) -> Skip:
    """Return that a level is there already; its first copy stays, even without audio."""
    detail = f"the level {song.key} is there already"
    if is_richer:
        detail += ", from a copy without audio; take that away, and begin anew with --fresh"
    reason = "duplicate_with_audio" if is_richer else "duplicate"
    return Skip(place=song.place, reason=reason, detail=detail, is_map=True)


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse to go on with a store that lacks a file, or part of one.

    Raises:
        BeatmapError: It does.
    """
    for file in (file for files in manifest.files.values() for file in files):
        try:
            size = (folder / file.name).stat().st_size
        except OSError as error:
            raise _damaged(folder, f"{file.name} cannot be read ({error.strerror})") from error
        if size != file.size:
            raise _damaged(folder, f"{file.name} is {size:,} bytes, not {file.size:,}")


def _known(folder: Path, manifest: Manifest) -> dict[bytes, bool]:
    """Return the hashes of the levels of a store, and whether each has its audio.

    Raises:
        BeatmapError: Its songs cannot be read.
    """
    known = {}
    try:
        for file in manifest.files.get(SONGS, ()):
            for line in (folder / file.name).read_bytes().splitlines():
                song = StoredSong.of_line(line)
                known[bytes.fromhex(song.key)] = bool(song.audio_digest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"its songs cannot be read ({error})") from error
    return known


def _damaged(folder: Path, what: str) -> BeatmapError:
    return BeatmapError(f"{folder}: {what}; process the maps again with --fresh", "bad_store")


def _described(path: Path, rows: int) -> StoredFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return StoredFile(name=path.name, rows=rows, size=path.stat().st_size, sha256=digest)
