"""Measure what a stream costs a training, beside the same batches in memory, in one run.

`python tests/bench/feed.py [--json] [--steps N]` makes Parquet shards of token rows in a scratch
folder and trains a small network on them, one thread, a step at a time, in turn: on batches that
all lie in memory, on a stream of shards of the same disk (shuffled, the same batches), and on a
stream from a server that gives 20 % more bytes a second than the training uses. Printed are the
share of a step that the stream adds (the median round), and which part of the time the training
on the server's shards waited for data.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from workbench.demo.serving import served
from workbench.learning.stream import ParquetStream, StreamSettings
from workbench.streaming.footer import with_rows
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.options import WindowOptions

TOKENS, VOCABULARY, BATCH, SHARD_ROWS, SPARE, ROUNDS = 128, 512, 32, 128, 1.2, 3


def make_shards(folder: Path, steps: int) -> None:
    """Write random tokens, 128 a row, in row groups of 64 rows."""
    rng = np.random.default_rng(1)
    for shard in range(-(-steps * BATCH // SHARD_ROWS)):
        tokens = rng.integers(0, VOCABULARY, (SHARD_ROWS, TOKENS)).astype(np.uint16)
        column = pa.FixedSizeListArray.from_arrays(tokens.ravel(), TOKENS)
        path = folder / f"{shard:05}.parquet"
        pq.write_table(pa.table({"tokens": column}), path, row_group_size=64, compression="none")


def collated(samples):
    """Return the tokens of some samples, int64 (rows, 128)."""
    tokens = samples.rows["tokens"].combine_chunks().flatten().to_numpy()
    return torch.from_numpy(tokens.astype(np.int64).reshape(-1, TOKENS))


class Training:
    """A small network that learns."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.network = torch.nn.Sequential(
            torch.nn.Embedding(VOCABULARY, 64),
            torch.nn.Linear(64, 256),
            torch.nn.GELU(),
            torch.nn.Linear(256, VOCABULARY),
        )
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)

    def seconds(self, batches: Iterable[torch.Tensor]) -> float:
        """Return how long it takes to learn from some batches."""
        begun = time.perf_counter()
        for tokens in batches:
            logits = self.network(tokens[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return time.perf_counter() - begun


def loader_of(source, folder: Path, window: WindowOptions | None = None):
    """Return a loader of a source's batches."""
    window = window or WindowOptions(min_free_bytes=0)
    return ParquetStream(
        source, folder, collated, StreamSettings(batch_rows=BATCH, seed=1), window
    ).loader()


def added(folder: Path, scratch: Path) -> tuple[float, float]:
    """Return the seconds of all steps in memory, and which share of them a stream adds."""
    source = folder_source(folder)
    batches = list(loader_of(source, scratch / "first"))
    training = Training()
    training.seconds(batches[:5])
    shares, bare = [], 0.0
    for number in range(ROUNDS):
        bare = training.seconds(batches)
        streamed = training.seconds(loader_of(source, scratch / f"w{number}"))
        shares.append(streamed / bare - 1)
    return bare, statistics.median(shares)


def waited(folder: Path, scratch: Path, seconds: float) -> float:
    """Return which part of its time a training waits for a server with some spare bandwidth."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    with served(folder, rate=SPARE * size / seconds) as url:
        source = with_rows(open_source(f"{url}/shards.txt"))
        window = WindowOptions(ahead=5, min_free_bytes=0)
        loader = loader_of(source, scratch / "served", window)
        Training().seconds(loader)
        return loader.wait_share


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--steps", type=int, default=400, help="steps of a training")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        scratch, folder = Path(place), Path(place, "shards")
        folder.mkdir()
        make_shards(folder, options.steps)
        seconds, share = added(folder, scratch)
        wait = waited(folder, scratch, seconds * (1 + max(share, 0)))
    result = {
        "steps": options.steps,
        "milliseconds_a_step": seconds / options.steps * 1000,
        "share_added_by_the_stream": share,
        "wait_share_with_spare_bandwidth": wait,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.steps} steps of {result['milliseconds_a_step']:.1f} ms in memory")
    print(f"a stream adds {share:.1%} to a step")
    print(f"with {SPARE - 1:.0%} spare bandwidth {wait:.2%} of the time is spent waiting")


if __name__ == "__main__":
    main()
