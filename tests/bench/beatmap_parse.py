"""Reading maps with everything checked, beside json.load and a dict for each note.

    python tests/bench/beatmap_parse.py [--json] [--maps N]

The set: 100 v2 maps of two difficulties, 640 beats each, 290,000 notes on the quarter-beat grid,
2,560 light events a difficulty, in JSON without blanks. Two races, turn by turn in one process
and one thread; the processor's seconds count, the least of seven turns. `parse` goes from the
bytes of the difficulties to checked columns with their faults, against json.loads and a dict a
note with its seconds, as the older system built them. `level` goes from folders on disk to whole
levels with the service's SHA-1, against the same with json.load and a SHA-256 over the files, the
older system's own identity.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rows import Row, in_turn, parser_of, rate, tell, times

from workbench.beatmap.maps.reading import read_difficulty, read_level
from workbench.errors import BeatmapError

NOTES, LIGHTS, BEATS, TURNS = 1450, 2560, 640, 7


def main() -> None:
    """Measure, print a table, exit 1 when the ratio is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--maps", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(Path(scratch), arguments.maps)
    tell("beatmap", rows, as_json=arguments.json)


def measured(scratch: Path, maps: int) -> list[Row]:
    """Return one row a measurement of both races."""
    folders = make_maps(scratch, maps)
    texts = [file.read_bytes() for folder in folders for file in sorted(folder.glob("E*.dat"))]
    counts = set()
    races: dict[str, Callable[[], int]] = {
        "parse": lambda: sum(len(read_difficulty(t).objects.notes) for t in texts),
        "parse, theirs": lambda: sum(len(dicts(json.loads(t), 120)) for t in texts),
        "level": lambda: sum(ours(folder) for folder in folders),
        "level, theirs": lambda: sum(theirs(folder) for folder in folders),
    }
    sides = {name: lambda race=race: counts.add(race()) for name, race in races.items()}
    spent = in_turn(TURNS, sides)
    if counts != {NOTES * len(texts)}:
        raise SystemExit(f"the sides count {counts} notes")
    size = sum(map(len, texts)) / 1e6
    return [
        times(
            f"difficulties parsed and checked, {size:.1f} MB",
            spent["parse, theirs"],
            spent["parse"],
            ">= 5",
            against="json and a dict a note",
        ),
        times(
            "levels read and hashed",
            spent["level, theirs"],
            spent["level"],
            against="json, dicts and SHA-256",
        ),
        rate("difficulties parsed", NOTES * len(texts), spent["parse"], unit="notes/s"),
    ]


class Folder:
    """A folder's files, read from disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, str(path)

    def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(file.name for file in self.path.iterdir())

    def read(self, name: str) -> bytes:
        """Return the bytes of one."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BeatmapError(f"{name}: {error}", "missing_file") from error


def ours(folder: Path) -> int:
    """Read a level; return its notes."""
    level = read_level(Folder(folder))
    return sum(len(beatmap.objects.notes) for beatmap in level.beatmaps)


def theirs(folder: Path) -> int:
    """Hash a folder's files, load all JSON, build a dict for each note; return their number."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.dat")):
        digest.update(path.read_bytes())
    with (folder / "Info.dat").open() as file:
        info = json.load(file)
    count = 0
    for group in info["_difficultyBeatmapSets"]:
        for listed in group["_difficultyBeatmaps"]:
            with (folder / listed["_beatmapFilename"]).open() as file:
                count += len(dicts(json.load(file), info["_beatsPerMinute"]))
    return count


def dicts(difficulty: dict[str, list[dict[str, float]]], bpm: float) -> list[dict[str, float]]:
    """Return a dict for each note."""
    seconds = 60.0 / bpm
    return [
        {
            "beat": note["_time"],
            "time_seconds": note["_time"] * seconds,
            "x": note["_lineIndex"],
            "y": note["_lineLayer"],
            "color": note["_type"],
            "cut_direction": note["_cutDirection"],
            "angle_offset": 0,
        }
        for note in difficulty["_notes"]
        if note["_type"] in (0, 1)
    ]


def make_maps(scratch: Path, maps: int) -> list[Path]:
    """Write the set; return its folders."""
    folders = []
    for index in range(maps):
        folder = scratch / f"{index:04d}"
        folder.mkdir()
        random = np.random.default_rng(index)
        names = ("Expert", "ExpertPlus")
        for name in names:
            (folder / f"{name}.dat").write_text(difficulty_text(random))
        listed = [
            {
                "_difficulty": name,
                "_difficultyRank": 7 + 2 * rank,
                "_beatmapFilename": f"{name}.dat",
                "_noteJumpMovementSpeed": 16,
                "_noteJumpStartBeatOffset": 0,
            }
            for rank, name in enumerate(names)
        ]
        info = {
            "_version": "2.0.0",
            "_songName": f"song {index}",
            "_beatsPerMinute": 90 + index,
            "_songFilename": "song.ogg",
            "_difficultyBeatmapSets": [
                {"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": listed}
            ],
        }
        (folder / "Info.dat").write_text(json.dumps(info))
        folders.append(folder)
    return folders


def difficulty_text(random: np.random.Generator) -> str:
    """Return a v2 difficulty: notes on distinct slots of either hand, and lights."""
    slots = np.sort(random.choice(BEATS * 4, NOTES, replace=False)) / 4
    notes = [
        {
            "_time": beat,
            "_lineIndex": lane,
            "_lineLayer": layer,
            "_type": hand,
            "_cutDirection": cut,
        }
        for beat, lane, layer, hand, cut in zip(
            slots.tolist(),
            *(random.integers(0, top, NOTES).tolist() for top in (4, 3, 2, 9)),
            strict=True,
        )
    ]
    lights = [
        {"_time": i / 4, "_type": kind, "_value": value}
        for i, (kind, value) in enumerate(
            zip(
                random.integers(0, 5, LIGHTS).tolist(),
                random.integers(0, 8, LIGHTS).tolist(),
                strict=True,
            )
        )
    ]
    parts = {"_version": "2.0.0", "_notes": notes, "_obstacles": [], "_events": lights}
    return json.dumps(parts, separators=(",", ":"))  # as editors write them


if __name__ == "__main__":
    main()
