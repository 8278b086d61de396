"""Stores of the layout before this one: the program that these maps were first processed by.

`metadata.json` is a list of songs; `notes_0000.parquet` and so on, or one `notes.parquet`, hold
notes, `bombs…` and `obstacles…` the rest. Numbers were narrowed there: positions to 8 bits and
times to 32. The tempo of a song is taken from `metadata.json`, where it is whole; speeds, arcs and
chains were never kept. Source: beat-weaver's README and the columns of its files.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.beatmap.maps.manifest import StoredBeatmap, StoredSong
from workbench.beatmap.maps.objects import RANKS
from workbench.beatmap.maps.tables import SCHEMAS
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError

METADATA = "metadata.json"
_FILES = {"notes": "notes", "bombs": "bombs", "walls": "obstacles"}
_THEIRS = {
    "lane": "x",
    "layer": "y",
    "direction": "cut_direction",
    "angle": "angle_offset",
    "duration": "duration_beats",
}
_UNTOLD_BPM = 120.0

_Chart = tuple[str, str, str]  # song, characteristic, difficulty


class OlderLayout:
    """A store of the older layout.

    Attributes:
        songs: Those of its metadata, in order, then those that only its notes know.
    """

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            BeatmapError: It cannot be read.
        """
        try:
            self._files = {kind: _files(folder, name) for kind, name in _FILES.items()}
            charts = _charts(self._files["notes"])
            self.songs = tuple(_songs(_metadata(folder), charts))
            self._groups = {kind: _groups(files) for kind, files in self._files.items()}
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise BeatmapError(
                f"{folder}: cannot be read as a store of the older layout ({error})", "bad_store"
            ) from error
        self._place = {song.key: place for place, song in enumerate(self.songs)}
        self._beatmap = {
            (song.key, beatmap.characteristic, beatmap.difficulty): number
            for song in self.songs
            for number, beatmap in enumerate(song.beatmaps)
        }

    def table(
        self, kind: str, songs: Sequence[StoredSong] | None, columns: Sequence[str]
    ) -> pa.Table:
        """Return the rows of some songs, or of all, as stores of today have them."""
        schema = SCHEMAS[kind]
        keys = None if songs is None else {song.key for song in songs}
        found = []
        for path, groups in self._groups.get(kind, []):
            wanted = [n for n, held in enumerate(groups) if keys is None or held & keys]
            if wanted:
                with pq.ParquetFile(path) as parquet:
                    found.append(parquet.read_row_groups(wanted))
        if not found:
            return pa.schema([schema.field(name) for name in columns]).empty_table()
        table = pa.concat_tables(found)
        if keys is not None:
            table = table.filter(pc.is_in(table["song_hash"], pa.array(sorted(keys), pa.string())))
        return self._renewed(table, schema).select(columns)

    def _renewed(self, table: pa.Table, schema: pa.Schema) -> pa.Table:
        """Return rows with the columns of today, those of a song and beatmap together."""
        charts, chart = _coded(table)
        place = np.array([self._place[key] for key, _, _ in charts], np.int64)[chart]
        beatmap = np.array([self._beatmap[key] for key in charts], np.int32)[chart]
        bpm = np.array([self.songs[self._place[key]].bpm for key, _, _ in charts])[chart]
        own = {"beatmap": pa.array(beatmap), "bpm": pa.array(bpm)}
        columns = [
            own[name] if name in own else table[_THEIRS.get(name, name)].combine_chunks()
            for name in schema.names
        ]
        made = pa.table(
            [_cast(column, field.type) for column, field in zip(columns, schema, strict=True)],
            schema=schema,
        )
        order = np.lexsort((beatmap, place))
        return made if (np.diff(order) == 1).all() else made.take(order)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.cast(kind)


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of a kind: the numbered ones, else the single one."""
    single = folder / f"{name}.parquet"
    return sorted(folder.glob(f"{name}_*.parquet")) or [single] * single.exists()


def _metadata(folder: Path) -> list[dict[str, Any]]:
    told = json.loads((folder / METADATA).read_bytes())
    if not isinstance(told, list):
        raise ValueError(f"{METADATA} is no list")
    return told


def _groups(files: Sequence[Path]) -> list[tuple[Path, list[set[str]]]]:
    """Return the songs of each row group, by its statistics where these tell a single one."""
    found = []
    for path in files:
        with pq.ParquetFile(path) as parquet:
            column = parquet.schema_arrow.get_field_index("song_hash")
            groups = []
            for number in range(parquet.num_row_groups):
                told = parquet.metadata.row_group(number).column(column).statistics
                if told is not None and told.has_min_max and told.min == told.max:
                    groups.append({told.min})
                else:
                    keys = parquet.read_row_group(number, columns=["song_hash"])["song_hash"]
                    groups.append(set(pc.unique(keys).to_pylist()))
        found.append((path, groups))
    return found


def _coded(table: pa.Table) -> tuple[list[_Chart], NDArray[np.int64]]:
    """Return the charts of some rows, and which of them each row is of."""
    codes, words = [], []
    for name in ("song_hash", "characteristic", "difficulty"):
        coded = table[name].combine_chunks().dictionary_encode()
        codes.append(coded.indices.to_numpy().astype(np.int64))
        words.append(coded.dictionary.to_pylist())
    whole = (codes[0] * len(words[1]) + codes[1]) * max(len(words[2]), 1) + codes[2]
    _, first, chart = np.unique(whole, return_index=True, return_inverse=True)
    charts = [tuple(words[k][codes[k][row]] for k in range(3)) for row in first.tolist()]
    return charts, chart


def _charts(files: Sequence[Path]) -> dict[_Chart, tuple[int, float, float]]:
    """Return the notes of each chart, its first and its last moment, in the order of the files."""
    found: dict[_Chart, tuple[int, float, float]] = {}
    for path in files:
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(
                    group, columns=["song_hash", "characteristic", "difficulty", "time_seconds"]
                )
                charts, chart = _coded(table)
                seconds = table["time_seconds"].to_numpy().astype(np.float64)
                for number, key in enumerate(charts):
                    own = seconds[chart == number]
                    count, low, high = found.get(key, (0, np.inf, 0.0))
                    low, high = min(low, float(own.min())), max(high, float(own.max()))
                    found[key] = (count + len(own), low, high)
    return found


def _songs(
    metadata: Sequence[Mapping[str, Any]], charts: Mapping[_Chart, tuple[int, float, float]]
) -> list[StoredSong]:
    by_song: dict[str, list[_Chart]] = defaultdict(list)
    for chart in charts:
        by_song[chart[0]].append(chart)
    told = {str(song["hash"]): song for song in metadata}
    return [
        _song(key, told.get(key, {}), by_song.get(key, []), charts)
        for key in dict.fromkeys([*told, *by_song])
    ]


def _song(
    key: str,
    told: Mapping[str, Any],
    own: Sequence[_Chart],
    charts: Mapping[_Chart, tuple[int, float, float]],
) -> StoredSong:
    bpm = float(told.get("bpm") or _UNTOLD_BPM)
    time_map = TimeMap.steady(bpm)
    listed = [
        (key, str(beatmap["characteristic"]), str(beatmap["difficulty"]))
        for beatmap in told.get("difficulties", [])
    ]
    score = told.get("score")
    return StoredSong(
        key=key,
        source=str(told.get("source") or ""),
        source_id=str(told.get("source_id") or ""),
        title=str(told.get("song_name") or ""),
        artist=str(told.get("song_author") or ""),
        mapper=str(told.get("mapper_name") or ""),
        bpm=bpm,
        score=None if score is None else float(score),
        time_map=time_map,
        beatmaps=tuple(
            _beatmap(chart, charts.get(chart, (0, 0.0, 0.0)), time_map)
            for chart in dict.fromkeys([*listed, *own])
        ),
    )


def _beatmap(chart: _Chart, found: tuple[int, float, float], time_map: TimeMap) -> StoredBeatmap:
    count, low, high = found
    return StoredBeatmap(
        characteristic=chart[1],
        difficulty=chart[2],
        rank=RANKS.get(chart[2], 0),
        counts={"notes": count},
        nps=count / (high - low) if count > 1 and high > low else 0.0,
        end_seconds=high,
        time_map=time_map,
    )
