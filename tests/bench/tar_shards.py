"""Samples out of Parquet shards through our stream, beside tar shards through webdataset.

    python tests/bench/tar_shards.py [--json] [--samples N]

Both read the same samples in one process, shuffled, in batches of 32 that a training would take, in
turn; samples a second of the middle turn of five. Sound is a clip of 32 kB as bytes, tokens are 128
numbers of two bytes. They do not do the same: ours shuffles as seed and epoch say, and goes on at
the very batch after a stop; the other draws from a buffer of 1,000 samples, which nothing keeps. A
tar file is read through where a Parquet page has a checksum, which is not asked for here.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rows import Row, in_turn, missing, parser_of, row, skipped, tell, times

from workbench.learning.stream import ParquetStream, StreamSettings
from workbench.runs.measurements import TIMES
from workbench.streaming.listing import folder_source
from workbench.streaming.options import WindowOptions

BATCH, SHARDS, TURNS, BUFFER = 32, 8, 5, 1000
SIZES = {"sound": 32_000, "tokens": 256}  # bytes of a sample
SCALE = {"sound": 1, "tokens": 8}  # small samples are more, so that turns last as long


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--samples", type=int, default=4000, help="of sound; of tokens 8 times")
    arguments = parser.parse_args()
    lacking = missing("webdataset")
    rows = [skipped("samples beside webdataset", lacking)] if lacking else []
    for kind in () if lacking else SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            rows += measured(kind, SCALE[kind] * arguments.samples, Path(scratch))
    tell("shards", rows, as_json=arguments.json)


def measured(kind: str, samples: int, scratch: Path) -> list[Row]:
    """Return the rows of one kind of samples."""
    for form in ("parquet", "tar"):
        (scratch / form).mkdir()
    a_shard = samples // SHARDS
    drawn = np.random.default_rng(1).bytes(SIZES[kind] * a_shard)
    content = [drawn[n * SIZES[kind] :][: SIZES[kind]] for n in range(a_shard)]
    for shard in range(SHARDS):
        write_parquet(scratch / "parquet" / f"{shard:05}.parquet", content)
        write_tar(scratch / "tar" / f"{shard:05}.tar", content, shard)
    counts = set()
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: counts.add(sum(through_ours(scratch))),
        "theirs": lambda: counts.add(sum(through_tar(scratch / "tar"))),
    }
    spent = in_turn(TURNS, sides, time.perf_counter)
    assert counts == {SHARDS * a_shard * SIZES[kind]}, "the sides read as much"
    ours, theirs = (
        sum(file.stat().st_size for file in (scratch / form).iterdir())
        for form in ("parquet", "tar")
    )
    what = f"{kind}, samples of {SIZES[kind]:,} bytes, out of shards"
    rates = [SHARDS * a_shard / seconds for seconds in spent["ours"]]
    return [
        times(what, spent["theirs"], spent["ours"], against="webdataset", best=False),
        row(what, float(np.median(rates)), unit="samples/s", turns=rates),
        row(
            f"{kind}: shards as many times as small",
            theirs / ours,
            unit=TIMES,
            against="tar files",
        ),
    ]


def write_parquet(path: Path, content: list[bytes]) -> None:
    """Write samples as a shard of ours."""
    table = pa.table({"sample": pa.array(content, pa.binary())})
    pq.write_table(table, path, row_group_size=64, compression="none", use_dictionary=False)


def write_tar(path: Path, content: list[bytes], shard: int) -> None:
    """Write samples as a shard of tar."""
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        for number, sample in enumerate(content):
            writer.write({"__key__": f"{shard:05}_{number:06}", "bin": sample})


def through_ours(scratch: Path) -> Iterator[int]:
    """Read all samples; give the bytes of each batch."""
    settings = StreamSettings(batch_rows=BATCH, seed=1)
    window = WindowOptions(min_free_bytes=0)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        source = folder_source(scratch / "parquet")
        stream = ParquetStream(source, Path(folder), samples_of, settings, window)
        for batch in stream.loader():
            yield sum(map(len, batch))


def samples_of(samples: object) -> list[bytes]:
    """Return the samples of a batch."""
    return samples.rows["sample"].to_pylist()


def through_tar(folder: Path) -> Iterator[int]:
    """Read all samples; give the bytes of each batch."""
    import webdataset

    places = [str(path) for path in sorted(folder.iterdir())]
    shards = webdataset.WebDataset(places, shardshuffle=len(places), seed=1)
    for (batch,) in shards.shuffle(BUFFER).to_tuple("bin").batched(BATCH, collation_fn=list_of):
        yield sum(map(len, batch))


def list_of(samples: list[tuple[bytes]]) -> tuple[list[bytes]]:
    """Return the samples of a batch."""
    return ([sample for (sample,) in samples],)


if __name__ == "__main__":
    main()
