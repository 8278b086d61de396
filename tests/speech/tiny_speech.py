"""A tiny source of speech, the command line that gathers it, and what became of it."""

import contextlib
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from recordings import burst, file_of

from workbench.cli import run

RATE = 22_050  # Hz, of the source
SECONDS, IDLE = 0.3, 0.2  # of a clip's sound, and of the silence at each end
BROKEN, ENGLISH, UNTOLD = 3, 5, 7  # rows of `write_speech` that are not as the others

FEATURES = {
    name: {"dtype": kind, "_type": "Value"}
    for name, kind in (
        ("ID", "string"),
        ("speaker_id", "string"),
        ("Language", "string"),
        ("transcript", "string"),
        ("length", "float32"),
        ("dataset_name", "string"),
        ("confidence_score", "float32"),
    )
} | {"audio": {"sampling_rate": 16_000, "_type": "Audio"}}

HEARD: list[tuple[int, int]] = []  # clips of each call of `hear`, and workers there were then


def hear(clips):
    """Say how long each clip is; an engine of speech-to-text."""
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("worker")]
    HEARD.append((len(clips), len(workers)))
    return [(f"{len(samples) / rate:.1f} seconds", 0.75) for samples, rate in clips]


def write_speech(folder: Path, *, rows: int = 12, files: int = 2, plain: bool = False) -> Path:
    """Write clips into Parquet files: noise, quieter than it should be, at 22,050 Hz.

    One row is broken, one English, one without a transcript, unless all are plain: sound, Thai,
    without a transcript.
    """
    table = [_row(number, plain=plain) for number in range(rows)]
    for file in range(files):
        part = table[rows * file // files : rows * (file + 1) // files]
        path = folder / "data" / f"train-{file:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(part), path)
    return folder


def _row(number: int, *, plain: bool) -> dict[str, object]:
    samples = burst(SECONDS, sample_rate=RATE, idle=IDLE, seed=number)
    content = file_of(samples, RATE)
    is_told = not plain and number != UNTOLD
    return {
        "audio": {"bytes": content if plain or number != BROKEN else b"noise", "path": None},
        "sentence": f"sentence {number}" if is_told else "",
        "client_id": f"speaker {number % 2}",
        "locale": "en" if number == ENGLISH and not plain else "th",
    }


def write_older(
    folder: Path, counts: Sequence[int], *, name: str = "source", seconds: float = 0.01
) -> Path:
    """Write shards as the older program did: `data/train/shard_00000.parquet`, ids from S1.

    Args:
        folder: The dataset.
        counts: Rows of each shard.
        name: What the rows call their source.
        seconds: Noise of each row.
    """
    first, chance = 1, np.random.default_rng(0)
    for shard, count in enumerate(counts):
        path = folder / "data" / "train" / f"shard_{shard:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = [f"S{number}" for number in range(first, first + count)]
        sound = [file_of(chance.uniform(-1, 1, round(16_000 * seconds)), 16_000) for _ in ids]
        table = pa.table(
            {
                "ID": ids,
                "speaker_id": ["SPK_00001"] * count,
                "Language": ["th"] * count,
                "audio": [
                    {"bytes": s, "path": f"{i}.wav"} for i, s in zip(ids, sound, strict=True)
                ],
                "transcript": ["said"] * count,
                "length": pa.array([seconds] * count, pa.float32()),
                "dataset_name": [name] * count,
                "confidence_score": pa.array([1.0] * count, pa.float32()),
            }
        )
        told = json.dumps({"info": {"features": FEATURES}})
        table = table.replace_schema_metadata({"huggingface": told})
        pq.write_table(table, path, row_group_size=100)
        first += count
    return folder


def gathered_by(*tokens: object, code: int = 0) -> SimpleNamespace:
    """Gather by the command line, in this process; return its JSON and its standard error."""
    out, error = io.StringIO(), io.StringIO()
    words = ["speech", "gather", "--json", *map(str, tokens)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert run(words) == code, error.getvalue()
    text = out.getvalue()
    return SimpleNamespace(told=json.loads(text) if text else None, error=error.getvalue())


def rows_of(folder: Path) -> list[dict[str, object]]:
    """Return the rows of our own shards, in order."""
    shards = sorted(folder.glob("data/train-*.parquet"))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def sounds_of(folder: Path) -> list[soundfile.SoundFile]:
    """Return the sound of each row, opened."""
    return [soundfile.SoundFile(io.BytesIO(row["audio"]["bytes"])) for row in rows_of(folder)]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
