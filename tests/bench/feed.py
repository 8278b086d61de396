"""What a stream costs a training, beside the same batches in memory, in one run.

    python tests/bench/feed.py [--json] [--steps N]

It makes Parquet shards of token rows in a scratch
folder and trains a small network on them, one thread, ten steps at a time, in turn: on batches
that all lie in memory, and on a stream of shards of the same disk (shuffled, the same batches).
Then it trains on a stream from a server, a process of its own, that gives 20 % more bytes a second
than the training uses. Printed are the share of a step that the stream adds (the median of all
turns), which part of the time the training on the server's shards waited for data, and how long
it waited for the first of them, which is in that part: it does not grow with the training.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rows import Row, parser_of, row, tell

from workbench.demo.serving import served
from workbench.learning.stream import ParquetStream, StreamSettings
from workbench.runs.measurements import TIMES
from workbench.streaming.footer import with_rows
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.options import WindowOptions

TOKENS, VOCABULARY, BATCH, SHARD_ROWS, SPARE, TURN = 128, 512, 32, 128, 1.2, 10


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


def added(folder: Path, scratch: Path) -> tuple[float, list[float]]:
    """Return the seconds of all steps in memory, and the share that a stream adds in each turn."""
    source = folder_source(folder)
    batches = list(loader_of(source, scratch / "first"))
    training = Training()
    training.seconds(batches[:TURN])
    in_memory, streamed = iter(batches), iter(loader_of(source, scratch / "second"))
    bare, shares = 0.0, []
    for _ in range(len(batches) // TURN):
        seconds = training.seconds(islice(in_memory, TURN))
        shares.append(training.seconds(islice(streamed, TURN)) / seconds - 1)
        bare += seconds
    return bare, shares


@contextmanager
def serving(folder: Path, rate: float) -> Iterator[str]:
    """Serve a folder from another process, so many bytes a second; give the URL."""
    command = [sys.executable, __file__, "--serve", str(folder), "--rate", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(folder: Path, rate: float) -> None:
    """Serve a folder until this process is killed."""
    with served(folder, rate=rate) as url:
        print(url, flush=True)
        while True:
            time.sleep(60)


def waited(folder: Path, scratch: Path, seconds: float) -> tuple[float, float, float]:
    """Return how a training waits for a server with some spare bandwidth.

    That is the part of its time, the seconds before the first batch, and the part without those.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    with serving(folder, SPARE * size / seconds) as url:
        source = with_rows(open_source(f"{url}/shards.txt"))
        window = WindowOptions(ahead=5, min_free_bytes=0)
        loader = loader_of(source, scratch / "served", window)
        batches = iter(loader)
        first = [next(batches)]
        start = loader.wait_seconds
        Training().seconds(chain(first, batches))
        later, busy = loader.wait_seconds - start, loader.busy_seconds
        return loader.wait_share, start, later / (later + busy)


def measured(steps: int) -> list[Row]:
    """Return one row a measurement."""
    with tempfile.TemporaryDirectory() as place:
        scratch, folder = Path(place), Path(place, "shards")
        folder.mkdir()
        make_shards(folder, steps)
        seconds, shares = added(folder, scratch)
        share = statistics.median(shares)
        wait, start, later = waited(folder, scratch, seconds * (1 + max(share, 0)))
    ratios = [1 / (1 + each) for each in shares]
    return [
        row(
            "a training on a stream of shards",
            1 / (1 + share),
            unit=TIMES,
            turns=ratios,
            against="the same batches in memory",
        ),
        row("a step of it in memory", 1000 * seconds / steps, unit="ms"),
        row(f"share that waits, {SPARE - 1:.0%} spare bandwidth", wait),
        row("of that, before the first batch", start, unit="s"),
        row("share that waits after the first batch", later),
    ]


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=400, help="steps of a training")
    parser.add_argument("--serve", type=Path, help="serve a folder and do nothing else")
    parser.add_argument("--rate", type=float, default=0, help="bytes a second to serve at")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.rate)
    torch.set_num_threads(1)
    tell("shards", measured(options.steps), as_json=options.json)


if __name__ == "__main__":
    main()
