"""Writing maps as Parquet and making tokens of them, beside the way before, in one run.

    python tests/bench/beatmap_store.py [--json] [--songs N] [--rounds N] [--maps N]

It makes songs of two difficulties, each of 640 beats with notes on quarter beats, 290,000 notes
with the default 100 songs, and does in turn, each in CPU time of this one process:

- write: notes as a list of dictionaries, a row group a song, snappy; beside songs through our
  store writer, with its manifest, checksums and digests.
- build: the whole table through pandas, a group a chart, dictionaries, a note object each, a loop
  over bars; beside our store to tokens. The tokens must be equal.
- memory: `process` over some maps, and over ten times as many, each in a process of its own. The
  smaller corpus is past the 32 MiB behind which reading loads its compiled scanner.

Printed are rows a second (the best round), bytes a row, peak memory, and ratios.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rows import Row, in_turn, parser_of, rate, row, tell, times

sys.path.insert(0, str(Path(__file__).parents[1] / "beatmap"))

from map_folders import v2_info
from token_loop import LoopNote, loop_encoded

from workbench.beatmap.maps.level import Beatmap
from workbench.beatmap.maps.manifest import MANIFEST, Manifest, StoredBeatmap, StoredSong, no_counts
from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.songs import ReadMap
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.store_writer import StoreWriter
from workbench.beatmap.maps.tables import song_rows
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.corpus import chosen_charts, encoded_charts
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.tokens import VOCABULARY_291
from workbench.progress import Progress
from workbench.runs.measurements import TIMES
from workbench.streaming.sink import FolderSink

NOTES, SLOTS = 1450, 2560  # of a difficulty; quarter beats of 640 beats
DIFFICULTIES = ("Hard", "Expert")
TEMPI = (128.0, 174.3, 92.49, 175.0, 127.98)
TEXT, FLOAT, BYTE = pa.string(), pa.float32(), pa.int8()
OLDER_SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in ("song_hash", "source", "difficulty", "characteristic")),
        *((name, FLOAT) for name in ("bpm", "beat", "time_seconds")),
        *((name, BYTE) for name in ("x", "y", "color", "cut_direction")),
        ("angle_offset", pa.int16()),
    ]
)


@dataclass
class OlderNote:
    """A note as the program before has it."""

    beat: float
    time_seconds: float
    x: int
    y: int
    color: int
    cut_direction: int
    angle_offset: int


def made_songs(count: int) -> list[tuple[str, float, list[Beatmap]]]:
    """Return songs: key, tempo and beatmaps."""
    rng = np.random.default_rng(1)
    return [
        (f"{number:040x}", TEMPI[number % 5], [beatmap(rng, TEMPI[number % 5], d) for d in (0, 1)])
        for number in range(count)
    ]


def beatmap(rng: np.random.Generator, bpm: float, difficulty: int) -> Beatmap:
    """Return a difficulty."""
    drawn = [rng.integers(0, limit, NOTES) for limit in (4, 3, 2, 9)]
    beats = np.sort(rng.integers(0, SLOTS, NOTES)) / 4
    notes = Notes.of(beats, *drawn, np.zeros(NOTES))
    return Beatmap(
        characteristic="Standard",
        difficulty=DIFFICULTIES[difficulty],
        rank=5,
        label="",
        njs=16.0,
        offset=0.0,
        mappers=(),
        lighters=(),
        requirements=(),
        suggestions=(),
        file="E.dat",
        version="2.0.0",
        objects=replace(Objects.none(), notes=notes),
        time_map=TimeMap.steady(bpm),
        flags=(),
        faults=(),
        document={},
    )


def older_notes(beatmap: Beatmap, bpm: float) -> list[OlderNote]:
    """Return the notes of a difficulty as the program before has them."""
    notes = beatmap.objects.notes
    columns = (notes.beat, notes.lane, notes.layer, notes.color, notes.direction)
    return [
        OlderNote(beat, beat * 60 / bpm, lane, layer, color, direction, 0)
        for beat, lane, layer, color, direction in zip(*(c.tolist() for c in columns), strict=True)
    ]


def write_older(
    songs: list[tuple[str, float, list[tuple[str, list[OlderNote]]]]], path: Path
) -> None:
    """Write notes as the program before does."""
    rows = [
        {
            "song_hash": key,
            "source": "folder",
            "difficulty": difficulty,
            "characteristic": "Standard",
            "bpm": bpm,
            "beat": note.beat,
            "time_seconds": note.time_seconds,
            "x": note.x,
            "y": note.y,
            "color": note.color,
            "cut_direction": note.cut_direction,
            "angle_offset": note.angle_offset,
        }
        for key, bpm, beatmaps in songs
        for difficulty, notes in beatmaps
        for note in notes
    ]
    with pq.ParquetWriter(path, OLDER_SCHEMA, compression="snappy") as writer:
        for _, group in itertools.groupby(rows, key=lambda row: row["song_hash"]):
            writer.write_table(pa.Table.from_pylist(list(group), schema=OLDER_SCHEMA))


def write_ours(
    songs: list[tuple[str, float, list[Beatmap]]], stored: list[StoredSong], folder: Path
) -> None:
    """Write songs through our store writer."""
    sink = FolderSink(folder, MANIFEST)
    sink.create()
    told = Manifest(fingerprint="", settings={}, listed=len(songs), counts=no_counts())
    with StoreWriter(told, sink, folder, ProcessOptions()) as writer:
        for (key, bpm, beatmaps), song in zip(songs, stored, strict=True):
            rows = song_rows(key, "folder", bpm, beatmaps)
            writer.add(ReadMap(song=song, rows=rows, skips=()))


def stored_song(key: str, bpm: float, beatmaps: list[Beatmap]) -> StoredSong:
    """Return what is known of a song."""
    stored = [
        StoredBeatmap(
            characteristic=beatmap.characteristic,
            difficulty=beatmap.difficulty,
            counts=beatmap.objects.counts(),
            nps=0.0,
            time_map=beatmap.time_map,
        )
        for beatmap in beatmaps
    ]
    return StoredSong(
        key=key,
        audio_digest=key,
        source="folder",
        title="a song",
        artist="",
        mapper="",
        bpm=bpm,
        time_map=TimeMap.steady(bpm),
        beatmaps=tuple(stored),
    )


def build_older(path: Path) -> dict[tuple[str, str], list[int]]:
    """Return the tokens of all charts as the program before makes them."""
    table = pq.read_table(path).to_pandas()
    found = {}
    for (key, difficulty, _), group in table.groupby(["song_hash", "difficulty", "characteristic"]):
        columns = ["beat", "time_seconds", "x", "y", "color", "cut_direction", "angle_offset"]
        notes = [
            LoopNote(row["beat"], row["x"], row["y"], row["color"], row["cut_direction"])
            for row in group[columns].to_dict("records")
        ]
        found[key, difficulty] = loop_encoded(notes, difficulty)
    return found


def build_ours(folder: Path) -> dict[tuple[str, str], Any]:
    """Return the tokens of all charts of our store."""
    store = Store.open(folder)
    charts, _ = chosen_charts(store.songs, DataOptions())
    encoded = encoded_charts(store, charts, VOCABULARY_291)
    return {
        (chart.song.key, chart.beatmap.difficulty): encoded.chart(number)
        for number, chart in enumerate(charts)
    }


def write_corpus(root: Path, count: int) -> None:
    """Write maps of 1,450 notes a difficulty; their difficulty files are a few that are linked."""
    rng = np.random.default_rng(2)
    shared = []
    for number in range(8):
        path = root.with_name(f"shared-{number}.dat")
        path.write_text(json.dumps(v2_difficulty(rng)))
        shared.append(path)
    for number in range(count):
        folder = root / f"{number:05d}"
        folder.mkdir(parents=True)
        info = v2_info(f"song {number}", TEMPI[number % 5], DIFFICULTIES, "Standard")
        (folder / "Info.dat").write_text(json.dumps(info))
        (folder / "song.ogg").write_bytes(str(number).encode())
        for place, difficulty in enumerate(DIFFICULTIES):
            shared_file = shared[(number + place) % len(shared)]
            (folder / f"{difficulty}Standard.dat").hardlink_to(shared_file)


def v2_difficulty(rng: np.random.Generator) -> dict[str, Any]:
    """Return a difficulty of version 2."""
    names = ("_time", "_lineIndex", "_lineLayer", "_type", "_cutDirection")
    beats = (np.sort(rng.integers(0, SLOTS, NOTES)) / 4).tolist()
    columns = [rng.integers(0, limit, NOTES).tolist() for limit in (4, 3, 2, 9)]
    notes = [dict(zip(names, row, strict=True)) for row in zip(beats, *columns, strict=True)]
    types, values = rng.integers(0, 5, SLOTS).tolist(), rng.integers(0, 8, SLOTS).tolist()
    events = [
        {"_time": slot / 4, "_type": types[slot], "_value": values[slot]} for slot in range(SLOTS)
    ]
    return {"_version": "2.0.0", "_notes": notes, "_obstacles": [], "_events": events}


def process_peak(scratch: Path, count: int, workers: int) -> tuple[float, float]:
    """Return the peak memory of `process` in a process of its own, MB, and maps a second."""
    places = [str(scratch / f"maps-{count}"), str(scratch / f"store-{count}-{workers}")]
    code = [sys.executable, __file__, "--process", *places, str(workers)]
    told = json.loads(subprocess.run(code, check=True, capture_output=True, text=True).stdout)
    return told["peak_mb"], told["maps_per_second"]


def run_process(root: str, folder: str, workers: int) -> None:
    """Process maps, and print what it took."""
    watch = Watch()
    done = process([Path(root)], Path(folder), ProcessOptions(workers=workers), watch)
    print(json.dumps({"peak_mb": watch.peak, "maps_per_second": done.maps_read / done.seconds}))


class Watch:
    """Looks at the memory of this process and its workers after each map.

    Attributes:
        peak: The most that they held together, MB.
    """

    def __init__(self) -> None:
        self.peak = 0.0

    def __call__(self, progress: Progress) -> None:
        """Look; the high-water marks of `getrusage` would begin with the parent's."""
        me = psutil.Process()
        held = sum(each.memory_info().rss for each in [me, *me.children(recursive=True)])
        self.peak = max(self.peak, held / 1e6)


def measured(scratch: Path, songs: int, rounds: int, maps: int) -> list[Row]:
    """Return one row a measurement."""
    ours = made_songs(songs)
    rows = songs * len(DIFFICULTIES) * NOTES
    path, folders = scratch / "older.parquet", [scratch / f"{n}" for n in range(rounds)]
    pa.set_cpu_count(1)
    writing, building = write_turns(ours, path, folders), build_turns(path, folders[0], rounds)
    before = "the way before"
    size = (folders[0] / "notes_0000.parquet").stat().st_size / rows
    older = path.stat().st_size / rows
    return [
        times("notes written to Parquet", writing["older"], writing["ours"], against=before),
        rate("notes written to Parquet", rows, writing["ours"], unit="rows/s"),
        row("notes in Parquet, as many times as small", older / size, unit=TIMES, against=before),
        row("a note in Parquet", size, unit="bytes"),
        times("tokens from the store", building["older"], building["ours"], against=before),
        rate("tokens from the store", rows, building["ours"], unit="rows/s"),
        *memory_rows(scratch, maps),
    ]


def write_turns(
    songs: list[tuple[str, float, list[Beatmap]]], path: Path, folders: list[Path]
) -> dict[str, list[float]]:
    """Return the processor's seconds of writing, both ways."""
    older = [
        (key, bpm, [(b.difficulty, older_notes(b, bpm)) for b in beatmaps])
        for key, bpm, beatmaps in songs
    ]
    stored = [stored_song(*song) for song in songs]
    coming = iter(folders)
    sides = {
        "older": lambda: write_older(older, path),
        "ours": lambda: write_ours(songs, stored, next(coming)),
    }
    return in_turn(len(folders), sides)


def build_turns(path: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the processor's seconds of making tokens, both ways; they are the same tokens."""
    made: dict[str, Any] = {}
    sides = {
        "older": lambda: made.update(older=build_older(path)),
        "ours": lambda: made.update(ours=build_ours(folder)),
    }
    spent = in_turn(rounds, sides)
    if {key: list(some) for key, some in made["ours"].items()} != made["older"]:
        raise SystemExit("the tokens differ")
    return spent


def memory_rows(scratch: Path, maps: int) -> list[Row]:
    """Return what `process` takes for some maps and for ten times as many."""
    for count in (maps, 10 * maps):
        write_corpus(scratch / f"maps-{count}", count)
    few, many = process_peak(scratch, maps, 1), process_peak(scratch, 10 * maps, 1)
    two = process_peak(scratch, 10 * maps, 2)[1]
    ten = f"process, {10 * maps} maps"
    return [
        row(f"{ten}: peak RAM as a share of {maps} maps'", many[0] / few[0], unit=TIMES),
        row(f"{ten}: peak RAM", many[0], unit="MB"),
        row(ten, many[1], unit="maps/s"),
        row("process with two workers", two / many[1], unit=TIMES, against="one worker"),
    ]


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--songs", type=int, default=100, help="songs that are written")
    parser.add_argument("--rounds", type=int, default=3, help="times each is done")
    parser.add_argument("--maps", type=int, default=100, help="maps of the smaller corpus")
    parser.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.process:
        run_process(asked.process[0], asked.process[1], int(asked.process[2]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(Path(scratch), asked.songs, asked.rounds, asked.maps)
    tell("beatmap", rows, as_json=asked.json)


if __name__ == "__main__":
    main()
