"""Stores of maps, opened to be read: songs with all that is known of them, and their objects.

A store is a folder that `process` wrote, or one of the older layout (`older`). Which rows belong
to a song stands in its manifest, so that some songs are read without touching the others.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.beatmap.maps.manifest import (
    MANIFEST,
    SKIPPED,
    SONGS,
    Manifest,
    Skip,
    StoredSong,
    read_manifest,
)
from workbench.beatmap.maps.older import METADATA, OlderLayout
from workbench.beatmap.maps.places import Place
from workbench.beatmap.maps.roots import places_of, told_roots
from workbench.beatmap.maps.tables import KINDS, SCHEMAS
from workbench.errors import BeatmapError


class _Layout(Protocol):
    """How a store lies on the disk."""

    songs: tuple[StoredSong, ...]

    def table(
        self, kind: str, songs: Sequence[StoredSong] | None, columns: Sequence[str]
    ) -> pa.Table:
        """Return the rows of some songs, or of all, in the order of the store."""


class Store:
    """Maps that were processed.

    Attributes:
        folder: Where they are.
        songs: The songs, in order.
    """

    def __init__(self, folder: Path, layout: _Layout) -> None:
        self.folder = folder
        self.songs = layout.songs
        self._layout = layout

    @staticmethod
    def open(folder: Path) -> "Store":
        """Return the store in a folder.

        Raises:
            BeatmapError: There is none, or it was not finished, or cannot be read.
        """
        if (folder / MANIFEST).exists():
            return Store(folder, _OurLayout(folder))
        if (folder / METADATA).exists():
            return Store(folder, OlderLayout(folder))
        raise BeatmapError(
            f"{folder}: holds neither {MANIFEST} nor {METADATA}, so it is no store of maps; make "
            "one by `workbench beatmap process`",
            "no_store",
        )

    def table(
        self,
        kind: str,
        songs: Iterable[StoredSong] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return objects of some songs.

        Args:
            kind: One of `tables.KINDS`.
            songs: Which; all when None.
            columns: Which columns; all when None.

        Returns:
            Rows of a song stand together, and those of one beatmap in it, in order; the songs are
            in the order of the store, whatever order was given.

        Raises:
            BeatmapError: There is no such kind or column, or a file cannot be read.
        """
        if kind not in KINDS:
            raise BeatmapError(f"{kind!r} is none of {', '.join(KINDS)}")
        names = list(SCHEMAS[kind].names if columns is None else columns)
        if unknown := [name for name in names if name not in SCHEMAS[kind].names]:
            raise BeatmapError(
                f"{kind} have no column {unknown[0]!r}, only {', '.join(SCHEMAS[kind].names)}"
            )
        try:
            return self._layout.table(kind, None if songs is None else list(songs), names)
        except (OSError, pa.ArrowException) as error:
            raise BeatmapError(
                f"{self.folder}: {kind} cannot be read ({error}); process the maps again "
                "with --fresh",
                "bad_store",
            ) from error

    def song(self, key: str) -> StoredSong:
        """Return a song.

        Raises:
            BeatmapError: There is none of that key.
        """
        if key not in self._by_key:
            raise BeatmapError(f"{self.folder}: holds no song {key}")
        return self._by_key[key]

    def places(self, folders: Sequence[Path] | None = None) -> dict[str, Place]:
        """Return where the files of the songs are, by their keys; without those that are gone.

        Args:
            folders: The folders of maps; where they lay when the store was made, if None.

        Raises:
            BeatmapError: It does not know where they lay.
            SourceError: A folder is not there.
        """
        roots = told_roots(self.folder) if folders is None else list(folders)
        found = {place.name: place for place in places_of(roots)}
        return {song.key: found[song.place] for song in self.songs if song.place in found}

    @property
    def manifest(self) -> Manifest | None:
        """What was listed, stored and left out; None for an older layout, which does not tell."""
        return self._layout.manifest if isinstance(self._layout, _OurLayout) else None

    def skipped(self) -> list[Skip]:
        """Return what was left out, in order; nothing for an older layout, which does not tell."""
        return self._layout.skipped() if isinstance(self._layout, _OurLayout) else []

    @cached_property
    def _by_key(self) -> dict[str, StoredSong]:
        return {song.key: song for song in self.songs}


class _OurLayout:
    """What `process` wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder))
        if not self.manifest.is_done:
            raise BeatmapError(
                f"{folder}: is not finished, {self.manifest.position} of {self.manifest.listed} "
                "maps are in; give the same command of `workbench beatmap process` again",
                "unfinished",
            )
        try:
            self.songs = tuple(StoredSong.of_line(line) for line in self._lines(SONGS))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BeatmapError(
                f"{folder}: its songs cannot be read ({error}); process the maps again with "
                "--fresh",
                "bad_store",
            ) from error

    def table(
        self, kind: str, songs: Sequence[StoredSong] | None, columns: Sequence[str]
    ) -> pa.Table:
        files = self.manifest.files.get(kind, ())
        if songs is None:
            found = [pq.read_table(self._folder / file.name, columns=columns) for file in files]
        else:
            wanted = sorted(song.groups[kind] for song in songs if kind in song.groups)
            found = []
            for number in sorted({group.file for group in wanted}):
                groups = [group.group for group in wanted if group.file == number]
                with pq.ParquetFile(self._folder / files[number].name) as parquet:
                    found.append(parquet.read_row_groups(groups, columns=columns))
        schema = pa.schema([SCHEMAS[kind].field(name) for name in columns])
        return pa.concat_tables([schema.empty_table(), *(table.select(columns) for table in found)])

    def skipped(self) -> list[Skip]:
        return [Skip.of_line(line) for line in self._lines(SKIPPED)]

    def _lines(self, kind: str) -> Iterable[bytes]:
        for file in self.manifest.files.get(kind, ()):
            yield from (self._folder / file.name).read_bytes().splitlines()
