"""Folders of small maps, written as plain JSON: what they hold is known before they are read."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RANKS = {"Easy": 1, "Normal": 3, "Hard": 5, "Expert": 7, "ExpertPlus": 9}
AUDIO = b"OggS no sound, but bytes that differ: "


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeMap:
    """A map that was written.

    Attributes:
        name: Its folder's or zip's name.
        bpm: Of its Info.
        notes: By difficulty, beat, lane, layer, color, direction of each note.
        counts: Objects of each kind, all difficulties together.
        audio: The bytes of its audio.
    """

    name: str
    bpm: float
    notes: dict[str, list[tuple[float, int, int, int, int]]]
    counts: dict[str, int]
    audio: bytes


def write_maps(root: Path, count: int, *, seed: int = 0, notes: int = 40) -> list[MadeMap]:
    """Write maps, every third of them a zip, the others folders."""
    return [
        write_map(root, f"map {seed}-{number:04d}", seed=seed * 10_000 + number, notes=notes)
        for number in range(count)
    ]


def write_map(
    root: Path,
    name: str,
    *,
    seed: int = 0,
    notes: int = 40,
    bpm: float | None = None,
    audio: bytes | None = None,
    difficulties: tuple[str, ...] = ("Hard", "ExpertPlus"),
    characteristic: str = "Standard",
    zipped: bool | None = None,
    changes: bool = True,
    service: dict[str, object] | None = None,
) -> MadeMap:
    """Write one map; two of one seed and name are the same."""
    rng = np.random.default_rng(seed)
    bpm = float(rng.choice([120, 174.3, 92.49, 128, 150.5])) if bpm is None else bpm
    audio = AUDIO + str(seed).encode() if audio is None else audio
    made: dict[str, list[tuple[float, int, int, int, int]]] = {}
    counts = dict.fromkeys(("notes", "bombs", "walls", "arcs", "chains"), 0)
    files: dict[str, bytes] = {"song.ogg": audio}
    for difficulty in difficulties:
        made[difficulty] = drawn_notes(rng, notes)
        content = v3_difficulty(made[difficulty], rng, changes=changes)
        for kind, theirs in KINDS.items():
            counts[kind] += len(content[theirs])
        files[f"{difficulty}{characteristic}.dat"] = json.dumps(content).encode()
    info = v2_info(name, bpm, difficulties, characteristic)
    files["Info.dat" if seed % 2 else "info.dat"] = json.dumps(info).encode()
    if service is not None:
        files["_beatsaver_meta.json"] = json.dumps(service).encode()
    is_zip = seed % 3 == 2 and service is None if zipped is None else zipped
    put(root, name, files, zipped=is_zip)
    return MadeMap(name=name + ".zip" * is_zip, bpm=bpm, notes=made, counts=counts, audio=audio)


KINDS = {
    "notes": "colorNotes",
    "bombs": "bombNotes",
    "walls": "obstacles",
    "arcs": "sliders",
    "chains": "burstSliders",
}


def drawn_notes(rng: np.random.Generator, count: int) -> list[tuple[float, int, int, int, int]]:
    """Return notes on a grid of quarter beats, sorted."""
    beats = np.sort(rng.choice(count * 4, count, replace=False)) / 4
    limits = ((4, 0), (3, 0), (2, 0), (9, 0))
    columns = [rng.integers(low, high, count).tolist() for high, low in limits]
    return list(zip(beats.tolist(), *columns, strict=True))


def v3_difficulty(
    notes: list[tuple[float, int, int, int, int]], rng: np.random.Generator, *, changes: bool
) -> dict[str, object]:
    """Return a difficulty of version 3 with some of everything."""
    beats = [note[0] for note in notes]
    some = [beat for beat in beats if rng.random() < 0.2]
    return {
        "version": "3.3.0",
        "bpmEvents": [{"b": 0, "m": 100.0}, {"b": 8, "m": 141.3}] if changes else [],
        "rotationEvents": [],
        "colorNotes": [{"b": b, "x": x, "y": y, "c": c, "d": d, "a": 0} for b, x, y, c, d in notes],
        "bombNotes": [{"b": beat + 0.5, "x": 1, "y": 2} for beat in some],
        "obstacles": [{"b": beat, "x": -1, "y": 0, "d": 0.5, "w": 1, "h": 5} for beat in some[::2]],
        "sliders": [
            {"b": beat, "c": 0, "x": 1, "y": 0, "d": 1, "mu": 1, "tb": beat + 1, "tx": 2, "ty": 2}
            | {"tc": 0, "tmu": 1, "m": 0}
            for beat in some[::3]
        ],
        "burstSliders": [
            {"b": beat, "c": 1, "x": 1, "y": 0, "d": 1, "tb": beat + 0.5, "tx": 2, "ty": 0}
            | {"sc": 3, "s": 1}
            for beat in some[::4]
        ],
        "waypoints": [],
        "basicBeatmapEvents": [],
        "colorBoostBeatmapEvents": [],
    }


def v2_info(
    name: str, bpm: float, difficulties: tuple[str, ...], characteristic: str
) -> dict[str, object]:
    """Return an Info of version 2."""
    return {
        "_version": "2.0.0",
        "_songName": name,
        "_songSubName": "",
        "_songAuthorName": "nobody",
        "_levelAuthorName": "a program",
        "_beatsPerMinute": bpm,
        "_songTimeOffset": 0,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": 12,
        "_previewDuration": 10,
        "_songFilename": "song.ogg",
        "_coverImageFilename": "",
        "_environmentName": "DefaultEnvironment",
        "_allDirectionsEnvironmentName": "GlassDesertEnvironment",
        "_difficultyBeatmapSets": [
            {
                "_beatmapCharacteristicName": characteristic,
                "_difficultyBeatmaps": [
                    {
                        "_difficulty": difficulty,
                        "_difficultyRank": RANKS[difficulty],
                        "_beatmapFilename": f"{difficulty}{characteristic}.dat",
                        "_noteJumpMovementSpeed": 10 + RANKS[difficulty],
                        "_noteJumpStartBeatOffset": -0.25,
                        "_customData": {"_difficultyLabel": f"my {difficulty}"},
                    }
                    for difficulty in difficulties
                ],
            }
        ],
    }


def put(root: Path, name: str, files: dict[str, bytes], *, zipped: bool) -> None:
    """Write the files of a map."""
    if zipped:
        root.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in files.items():
                archive.writestr(zipfile.ZipInfo(file), content)
        return
    (root / name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (root / name / file).write_bytes(content)
