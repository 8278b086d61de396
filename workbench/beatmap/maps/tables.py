"""Objects of a song as rows: one table a kind, the same columns first in each.

Rows of a song stand together, those of one beatmap after those of the one before, each sorted by
beat. Numbers are as found; none is clamped. `time_seconds` is where the beat falls by the
beatmap's own time map, to the nearest 2^-18 of a second (3.8 microseconds, a sixth of a sample of
audio), so that it packs well; the time map itself tells it exactly. Units are those of `objects`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workbench.beatmap.maps.level import Beatmap
from workbench.beatmap.maps.objects import Arcs, Bombs, Chains, Columns, Notes, Walls
from workbench.streaming.writer import Coding

KINDS: Mapping[str, type[Columns]] = {
    "notes": Notes,
    "bombs": Bombs,
    "walls": Walls,
    "arcs": Arcs,
    "chains": Chains,
}

_GRAIN = 2.0**18  # parts of a second
_WORD = pa.dictionary(pa.int32(), pa.string())
_COMMON = (
    ("song_hash", _WORD),
    ("source", _WORD),
    ("difficulty", _WORD),
    ("characteristic", _WORD),
    ("beatmap", pa.int32()),  # which of the song's, as two may have one difficulty
    ("bpm", pa.float64()),  # of the Info
    ("beat", pa.float64()),
    ("time_seconds", pa.float64()),
)
_TYPES = {"f8": pa.float64(), "i4": pa.int32()}


def _schema(kind: type[Columns]) -> pa.Schema:
    own = [(name, _TYPES[dtype]) for name, dtype in kind.DTYPES.items() if name != "beat"]
    return pa.schema([*_COMMON, *own])


SCHEMAS: Mapping[str, pa.Schema] = {name: _schema(kind) for name, kind in KINDS.items()}

# A dictionary of times would be longer than the times. What is one value in a whole song, or takes
# a bit or two, gains nothing from being compressed, which takes a third of the time.
CODING = Coding(
    plain=("beat", "time_seconds", "tail_beat"),
    short=(
        *(name for name, _ in _COMMON if name not in ("beat", "time_seconds")),
        *("lane", "layer", "color", "angle"),
    ),
    statistics=("song_hash",),
)


def song_rows(
    key: str, source: str, bpm: float, beatmaps: Sequence[Beatmap]
) -> dict[str, pa.RecordBatch]:
    """Return the rows of a song.

    Args:
        key: What the song is known by.
        source: Where it is from.
        bpm: Of its Info.
        beatmaps: Those that could be read, in order.

    Returns:
        Kind: its rows; only kinds that occur.
    """
    found = {}
    for name, kind in KINDS.items():
        parts = [getattr(beatmap.objects, name) for beatmap in beatmaps]
        counts = [len(part) for part in parts]
        if not sum(counts):
            continue
        seconds = [
            beatmap.time_map.seconds_at(part.beat)
            for beatmap, part in zip(beatmaps, parts, strict=True)
        ]
        columns: dict[str, Any] = {
            "song_hash": _words([key], [sum(counts)]),
            "source": _words([source], [sum(counts)]),
            "difficulty": _words([beatmap.difficulty for beatmap in beatmaps], counts),
            "characteristic": _words([beatmap.characteristic for beatmap in beatmaps], counts),
            "beatmap": np.repeat(np.arange(len(parts), dtype=np.int32), counts),
            "bpm": np.full(sum(counts), bpm),
            "time_seconds": grained(np.concatenate(seconds)),
        }
        for column in kind.DTYPES:
            columns[column] = np.concatenate([getattr(part, column) for part in parts])
        schema = SCHEMAS[name]
        found[name] = pa.record_batch([pa.array(columns[n]) for n in schema.names], schema=schema)
    return found


def grained(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return moments as they are stored.

    Args:
        seconds: Any shape.

    Returns:
        The same shape, each by less than 2 microseconds off.
    """
    return np.asarray(np.rint(seconds * _GRAIN) / _GRAIN)


def objects_of(kind: str, table: pa.Table) -> Columns:
    """Return the objects that some rows of one beatmap hold.

    Args:
        kind: One of `KINDS`.
        table: Its rows.
    """
    wanted = KINDS[kind]
    return wanted.of(*(table[name].to_numpy() for name in wanted.DTYPES))


def told(words: Iterable[str]) -> list[str]:
    """Return texts that any file takes: what is no Unicode is told as a question mark."""
    return [word.encode("utf-8", "replace").decode() for word in words]


def _words(words: Sequence[str], counts: Sequence[int]) -> pa.Array:
    """Return words, each so many times."""
    known = list(dict.fromkeys(words))
    code = np.repeat(np.array([known.index(word) for word in words], np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(code), pa.array(told(known), pa.string()))
