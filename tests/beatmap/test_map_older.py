"""Stores of the layout before: several files or one, and all that they tell is found again."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.tables import SCHEMAS
from workbench.errors import BeatmapError

TEXT, FLOAT, BYTE = pa.string(), pa.float32(), pa.int8()
COMMON = [
    *((name, TEXT) for name in ("song_hash", "source", "difficulty", "characteristic")),
    *((name, FLOAT) for name in ("bpm", "beat", "time_seconds")),
]
OLDER = {
    "notes": pa.schema(
        [
            *COMMON,
            *((name, BYTE) for name in ("x", "y", "color", "cut_direction")),
            ("angle_offset", pa.int16()),
        ]
    ),
    "bombs": pa.schema([*COMMON, ("x", BYTE), ("y", BYTE)]),
    "obstacles": pa.schema(
        [
            *COMMON,
            ("duration_beats", FLOAT),
            *((name, BYTE) for name in ("x", "y", "width", "height")),
        ]
    ),
}
TEMPI = {"aa": 174.3, "bb": 92.49, "cc": 120.0}


def rows_of(kind, key, seed):
    """Return rows of two charts of a song."""
    rng = np.random.default_rng(seed)
    own = OLDER[kind].names[7:]
    return [
        {
            "song_hash": key,
            "source": "beatsaver",
            "difficulty": difficulty,
            "characteristic": "Standard",
            "bpm": TEMPI[key],
            "beat": number / 4,
            "time_seconds": number / 4 * 60 / TEMPI[key],
            **{name: int(rng.integers(0, 3)) for name in own},
        }
        for difficulty in ("Hard", "ExpertPlus")
        for number in range(6)
    ]


def write_older(folder, layout):
    """Write a store; return its rows by kind."""
    folder.mkdir()
    rows = {
        kind: {key: rows_of(kind, key, seed) for seed, key in enumerate(TEMPI)} for kind in OLDER
    }
    for kind, songs in rows.items():
        names = iter(f"{kind}_{number:04d}" for number in itertools.count())
        if layout == "one":
            tables = {kind: list(songs.values())}
        elif layout == "several":  # and an empty one behind them, as it left
            tables = {next(names): [some] for some in songs.values()}
            tables[next(names)] = []
        else:
            tables = {next(names): [[row for some in songs.values() for row in some]]}
        for name, groups in tables.items():
            with pq.ParquetWriter(folder / f"{name}.parquet", OLDER[kind]) as writer:
                for group in groups:
                    writer.write_table(pa.Table.from_pylist(group, OLDER[kind]))
    songs = [
        {
            "hash": key,
            "source": "beatsaver",
            "source_id": f"id {key}",
            "song_name": f"song {key}",
            "song_author": "someone",
            "mapper_name": "a mapper",
            "bpm": TEMPI[key],
            "score": 0.9 if key == "aa" else None,
            "difficulties": [
                {"characteristic": "Standard", "difficulty": d, "note_count": 6, "nps": 1.0}
                for d in ("ExpertPlus", "Hard")
            ],
        }
        for key in ("aa", "cc")
    ]
    (folder / "metadata.json").write_text(json.dumps(songs))
    return rows


@pytest.mark.parametrize("layout", ["one", "several", "one group"])
def test_all_rows_of_the_older_layout_are_found_under_the_names_of_today(tmp_path, layout):
    rows = write_older(tmp_path / "s", layout)
    store = Store.open(tmp_path / "s")
    assert [song.key for song in store.songs] == ["aa", "cc", "bb"]
    for kind, theirs in (("notes", "notes"), ("bombs", "bombs"), ("walls", "obstacles")):
        whole = store.table(kind)
        assert whole.schema == SCHEMAS[kind]
        for song in store.songs:
            table = store.table(kind, [song])
            assert table.to_pylist() == [r for r in whole.to_pylist() if r["song_hash"] == song.key]
            for number, beatmap in enumerate(song.beatmaps):
                own = table.filter(table["beatmap"].to_numpy() == number).to_pylist()
                expected = [
                    row for row in rows[theirs][song.key] if row["difficulty"] == beatmap.difficulty
                ]
                assert [(row["beat"], row["lane"], row["layer"]) for row in own] == [
                    (row["beat"], row["x"], row["y"]) for row in expected
                ]
                if kind == "notes":
                    assert [(row["direction"], row["angle"]) for row in own] == [
                        (row["cut_direction"], row["angle_offset"]) for row in expected
                    ]
                if kind == "walls":
                    assert [row["duration"] for row in own] == [
                        row["duration_beats"] for row in expected
                    ]
    assert len(store.table("arcs")) == len(store.table("chains")) == 0


def test_a_tempo_is_the_whole_one_of_the_metadata_and_not_the_narrowed_one(tmp_path):
    write_older(tmp_path / "s", "several")
    store = Store.open(tmp_path / "s")
    song = store.song("aa")
    assert song.bpm == 174.3
    assert song.time_map.bpm.tolist() == [174.3]
    assert set(store.table("notes", [song])["bpm"].to_pylist()) == {174.3}


def test_a_song_has_what_its_metadata_tells_and_none_of_what_was_forgotten(tmp_path):
    write_older(tmp_path / "s", "one")
    store = Store.open(tmp_path / "s")
    song = store.song("aa")
    assert (song.title, song.artist, song.mapper) == ("song aa", "someone", "a mapper")
    assert (song.source, song.source_id, song.score) == ("beatsaver", "id aa", 0.9)
    assert [(b.difficulty, b.njs, b.counts["notes"]) for b in song.beatmaps] == [
        ("ExpertPlus", None, 6),
        ("Hard", None, 6),
    ]
    assert song.beatmaps[0].nps == pytest.approx(6 / (5 / 4 * 60 / 174.3), rel=1e-5)
    assert (song.audio_digest, song.audio_key) == ("", "aa")
    unknown = store.song("bb")  # its notes are there, and nothing else
    assert (unknown.title, unknown.score, len(unknown.beatmaps)) == ("", None, 2)
    assert store.song("cc").score is None
    assert store.manifest is None
    assert store.skipped() == []


def test_an_older_store_that_is_damaged_is_told(tmp_path):
    write_older(tmp_path / "s", "several")
    (tmp_path / "s" / "metadata.json").write_text("{}")
    with pytest.raises(BeatmapError, match=r"cannot be read as a store of the older layout"):
        Store.open(tmp_path / "s")
    (tmp_path / "s" / "metadata.json").write_text("[]")
    (tmp_path / "s" / "notes_0001.parquet").write_bytes(b"PAR1")
    with pytest.raises(BeatmapError, match=r"cannot be read as a store of the older layout"):
        Store.open(tmp_path / "s")
