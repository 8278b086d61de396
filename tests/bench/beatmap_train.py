"""Training of writers of maps: what a second of audio costs, what waits, and what is made use of.

    python tests/bench/beatmap_train.py [--json] [--songs N]

All in one process and one thread. Costs and utilisation are of the processor's seconds, the least
of some turns that alternate, so that others on the machine count little; a step is forward,
backward and the optimiser's, as the training takes it.

- The same network takes the same 64 bars of drum songs as 8 windows of 8 bars, and as one window of
  4,096 columns with all tokens. The older writer learnt so, with masks made by hand, which left it
  without a fused kernel of attention; beside it stands the whole song with that kernel.
- The share of time in which a training of `medium` waits for its batches, by the clock.
- How long the smallest size of the notebook's params learns.
- Operations a second of `small` and `medium`, as a share of what large products of matrices reach
  between their steps.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from rows import Row, in_turn, parser_of, row, seconds_of, tell, times
from torch.nn.attention import SDPBackend, sdpa_kernel

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import sounds_of
from workbench.beatmap.writer.data import Batch, ChartData
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.drum_charts import drum_charts
from workbench.beatmap.writer.looking import wish_of_batch
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.network import MapNetwork
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions
from workbench.beatmap.writer.training import shape_of, told, train
from workbench.demo.drum_songs import DrumSongOptions, make_drum_songs
from workbench.learning.throughput import flops_of
from workbench.runs.notebooks import read_notebook
from workbench.runs.parameters import read_schema
from workbench.runs.places import root

Options = TypeVar("Options")

SPEC = CacheOptions(progress=False)
SMALL = TrainOptions(threads=1, accelerator="cpu", progress=False, look_windows=0)
MEDIUM = replace(SMALL, width=256, encoder_layers=4, decoder_layers=3, heads=8, hidden=1024)
BARS, SONG_BARS, TURNS, BATCH, PEAK_SIZE = 8, 64, 2, 16, 1024


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--songs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), arguments.songs)
    tell("beatmap", rows, as_json=arguments.json)


def measured(folder: Path, songs: int) -> list[Row]:
    """Return one row a measurement."""
    place(folder, songs)
    windows, whole = opened(folder, BARS), opened(folder, SONG_BARS)
    spent = costs(windows, whole)
    own = spent["windows"]
    fused = "whole songs with fused attention"
    rows = [
        times("64 bars learnt in windows", spent["before"], own, ">= 4", against="whole songs"),
        times("64 bars learnt in windows", spent["whole"], own, against=fused),
        row("small, windows: 64 bars learnt, of the processor", min(own), unit="s", turns=own),
    ]
    for name, options, least in (("small", SMALL, ""), ("medium", MEDIUM, ">= 0.5")):
        share, peak = utilisation(windows, options)
        rows.append(row(f"{name}: share of the peak", share, least))
        rows.append(row(f"{name}: the peak beside", peak / 1e9, unit="billion operations/s"))
    options = replace(MEDIUM, steps=4, validate_every=100, save_every=100)
    speed = train(windows, SPEC.spec, folder / "run", options).speed
    rows.append(row("medium: share of the time that waits", speed["data_wait_share"], "<= 0.01"))
    seconds = smallest(folder)
    return [*rows, row("the smallest size of the params learns", seconds, "<= 60", unit="s")]


def smallest(folder: Path) -> float:
    """Return the seconds of a training as `params/beatmap_train/tiny.yaml` has it, of 36 songs."""
    top = root(Path(__file__).parent)
    notebook, name = top / "notebooks" / "beatmap_train.ipynb", "params/beatmap_train/tiny.yaml"
    schema = read_schema(read_notebook(notebook), notebook)
    values = {parameter: told.default for parameter, told in schema.items()}
    values |= yaml.safe_load((top / name).read_text(encoding="utf-8"))
    charts = drum_charts(folder / "tiny", DrumSongOptions(songs=values["songs"]), SPEC.spec)
    cut = options_of(ChartWindowOptions, values)
    data = ChartData(*charts, options_of(DataOptions, values), cut)
    options = replace(options_of(TrainOptions, values), progress=False)
    return seconds_of(lambda: train(data, SPEC.spec, folder / "writer", options, cut=cut))


def options_of(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Return the options that are named among a notebook's values."""
    return kind(**{each.name: values[each.name] for each in fields(kind) if each.name in values})


def place(folder: Path, songs: int) -> None:
    """Make drum songs of 64 bars, their store and their features."""
    made = DrumSongOptions(songs=songs, beats=4 * SONG_BARS)
    maps = make_drum_songs(folder / "songs", made)
    process([maps], folder / "store", ProcessOptions(progress=False))
    store = Store.open(folder / "store")
    warm(folder / "cache", sounds_of(store.songs, store.places()), SPEC)


def opened(folder: Path, bars: int) -> ChartData:
    """Return the songs as windows of some bars."""
    store, cache = Store.open(folder / "store"), FeatureCache(folder / "cache", SPEC.spec)
    options = DataOptions(validation=0.0, test=0.0, batch_size=BATCH)
    return ChartData(store, cache, options, ChartWindowOptions(bars=bars))


def batch_of(data: ChartData, windows: int) -> Batch:
    """Return the first windows, all of the first song where they are as many."""
    chosen = data.corpus.part["train"][:windows]
    batch = data._batches(chosen)
    return data.on_after_batch_transfer(batch, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learning:
    """A network, its optimiser, and a batch."""

    network: MapNetwork
    optimizer: torch.optim.Optimizer
    batch: Batch

    def step(self) -> None:
        """Learn from the batch."""
        self.optimizer.zero_grad()
        lesson, spent = told(self.network, self.batch, wish_of_batch(self.batch))
        loss = (spent.nats.sum() + 0.05 * spent.spread.sum()) / lesson.is_taught.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()


def learning(data: ChartData, options: TrainOptions, windows: int) -> Learning:
    """Return a network that learns from some windows."""
    network = MapNetwork(shape_of(data, SPEC.spec, options), dropout=options.dropout)
    optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate)
    return Learning(network=network, optimizer=optimizer, batch=batch_of(data, windows))


def costs(windows: ChartData, whole: ChartData) -> dict[str, list[float]]:
    """Return the processor's seconds of a song in windows, whole, and whole as it was before."""
    parts, one = learning(windows, SMALL, SONG_BARS // BARS), learning(whole, SMALL, 1)
    assert parts.batch["mel"].shape[:2].numel() == one.batch["mel"].shape[:2].numel() == 4096

    def before() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            one.step()

    return in_turn(TURNS, {"windows": parts.step, "whole": one.step, "before": before})


def utilisation(data: ChartData, options: TrainOptions) -> tuple[float, float]:
    """Return the share of the peak that a step reaches, and the peak."""
    learns = learning(data, options, BATCH)
    flops = flops_of(learns.step)
    matrix = torch.ones(PEAK_SIZE, PEAK_SIZE)
    products = lambda: [torch.mm(matrix, matrix) for _ in range(16)]  # noqa: E731
    spent = in_turn(TURNS, {"step": learns.step, "products": products})
    peak = 16 * 2 * PEAK_SIZE**3 / min(spent["products"])
    return flops / min(spent["step"]) / peak, peak


if __name__ == "__main__":
    main()
