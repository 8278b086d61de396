"""Reading, writing and gathering of sound beside pyarrow and datasets, in one run.

    python tests/bench/streaming.py [--json] [--rows N] [--rounds N]

It makes two Parquet files of one-second clips
(16 kHz, PCM, in row groups of 100) in a scratch folder, then brings them to shards of half the
rows by five ways, in turn, each in a process of its own:

- bare pyarrow: `iter_batches(100)` to a `ParquetWriter`, neither dictionaries nor compression nor
  checksums;
- our reader and writer: all checksums verified and written;
- `IterableDataset.batch(100)` of datasets to a `ParquetWriter`;
- a whole gather that passes every clip as it is, but decodes it to see that it is sound;
- a whole gather with all of the standardization, two threads cleaning.

Printed are rows a second (the median round), the most memory that the process held, and ratios.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from rows import Row, parser_of, row, tell, times

from workbench.speech.commands import target as speech_target
from workbench.speech.gather import gather
from workbench.speech.options import GatherOptions
from workbench.streaming.listing import folder_source
from workbench.streaming.reader import ParquetRows, read
from workbench.streaming.transfer import Transfer
from workbench.streaming.writer import ShardLimits, ShardWriter

OURS = {
    "ours": "clips through our reader and writer, checksums verified and written",
    "gathered": "a gather that decodes every clip and passes it as it is",
    "standardized": "a gather with all of the standardization",
}
REACH = {"gathered": ">= 0.25"}  # of bare pyarrow
FILES, GROUP, SAMPLE_RATE = 2, 100, 16_000
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema([("audio", AUDIO), ("transcript", pa.string()), ("speaker_id", pa.string())])


def make_files(folder: Path, rows: int) -> None:
    """Write noise, each clip with a sentence and a speaker."""
    rng = np.random.default_rng(1)
    for number in range(FILES):
        with pq.ParquetWriter(folder / f"{number}.parquet", SCHEMA, compression="none") as writer:
            for begin in range(0, rows // FILES, GROUP):
                audio = [{"bytes": clip(rng), "path": f"{begin + i}.wav"} for i in range(GROUP)]
                said = [f"sentence {begin + i} of file {number}" for i in range(GROUP)]
                speakers = [f"speaker {rng.integers(50)}" for _ in range(GROUP)]
                writer.write_batch(pa.record_batch([audio_of(audio), said, speakers], SCHEMA.names))


def audio_of(values: list[dict[str, object]]) -> pa.Array:
    """Return clips as a column."""
    return pa.array(values, AUDIO)


def clip(rng: np.random.Generator) -> bytes:
    """Return one second of noise as a WAV file."""
    out = io.BytesIO()
    sound = rng.normal(0, 0.1, SAMPLE_RATE)
    soundfile.write(out, sound, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()


def with_pyarrow(source: Path, target: Path) -> int:
    """Copy with nothing but pyarrow; return the rows."""
    rows = 0
    for path in sorted(source.iterdir()):
        with (
            pq.ParquetFile(path) as parquet,
            pq.ParquetWriter(
                target / path.name, SCHEMA, compression="none", use_dictionary=False
            ) as writer,
        ):
            for batch in parquet.iter_batches(GROUP):
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


def with_ours(source: Path, target: Path) -> int:
    """Copy with our reader and writer; return the rows."""
    listed = folder_source(source)
    limits = ShardLimits(rows=(listed.rows or 0) // FILES, group_rows=GROUP)
    rows, shards = 0, 0
    writer = ShardWriter(target / "0.parquet", SCHEMA, limits, ["audio.bytes"])
    with Transfer(target / "work") as transfer:
        for some in read(listed, transfer, ParquetRows(), batch_rows=GROUP):
            taken = 0
            while taken < some.batch.num_rows:
                added = writer.append(some.batch.slice(taken))
                taken += added
                if taken < some.batch.num_rows:
                    writer.close()
                    shards += 1
                    path = target / f"{shards}.parquet"
                    writer = ShardWriter(path, SCHEMA, limits, ["audio.bytes"])
            rows += taken
    writer.close()
    return rows


def with_datasets(source: Path, target: Path) -> int:
    """Copy with an IterableDataset in batches; return the rows."""
    import datasets  # this process alone is to bear it

    files = [str(path) for path in sorted(source.iterdir())]
    columns = datasets.Features.from_arrow_schema(SCHEMA)
    dataset = datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=True, features=columns
    )
    rows = 0
    with pq.ParquetWriter(target / "0.parquet", SCHEMA, compression="none") as writer:
        for columns in dataset.batch(GROUP):
            batch = pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def with_gather(source: Path, target: Path, **options: object) -> int:
    """Gather clips into a dataset, as `workbench speech gather` does; return the rows."""
    chosen = GatherOptions(upload_batch_size=(folder_source(source).rows or 0) // FILES, **options)
    sink, work = speech_target(str(target / "dataset"), chosen)
    return gather([str(source)], sink, work, chosen).rows


WAYS = {
    "pyarrow": with_pyarrow,
    "ours": with_ours,
    "datasets": with_datasets,
    "gathered": partial(with_gather, standardization=False),
    "standardized": partial(with_gather, workers=2),
}


def copied(way: str, source: Path, target: Path) -> dict[str, float]:
    """Return the rows copied by a way, seconds and the peak of memory in bytes."""
    start = time.perf_counter()
    rows = WAYS[way](source, target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rows": rows, "seconds": seconds, "peak": peak}


def measured(*tokens: str | Path) -> dict[str, float]:
    """Return what this script tells in a process of its own."""
    command = [sys.executable, __file__, *map(str, tokens)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def rounds_of(rows: int, turns: int) -> dict[str, list[dict[str, float]]]:
    """Return the measurements of all ways, in turn."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        measured("--make", source, "--rows", str(rows))
        for _ in range(turns):
            for way, rounds in found.items():
                with tempfile.TemporaryDirectory(dir=scratch) as target:
                    rounds.append(measured("--way", way, source, target))
    return found


def rows_of(clips: int, turns: int) -> list[Row]:
    """Return one row a measurement."""
    found = rounds_of(clips, turns)
    assert all(each["rows"] == clips for rounds in found.values() for each in rounds)
    spent = {way: [each["seconds"] for each in rounds] for way, rounds in found.items()}
    rows = []
    for way, what in OURS.items():
        rows += [
            times(what, spent[peer], spent[way], reach, against=peer, best=False)
            for peer, reach in (("pyarrow", REACH.get(way, "")), ("datasets", ""))
        ]
    for way, seconds in spent.items():
        rates = [clips / each for each in seconds]
        peak = max(each["peak"] for each in found[way]) / 2**20
        rows.append(row(f"{way}: clips", statistics.median(rates), unit="rows/s", turns=rates))
        rows.append(row(f"{way}: the most memory", peak, unit="MiB"))
    return rows


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="clips, in hundreds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_files(options.make, options.rows)
        print("{}")
    elif options.way:
        way, source, target = options.way
        print(json.dumps(copied(way, Path(source), Path(target))))
    else:
        tell("speech", rows_of(options.rows, options.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
