"""A writer of maps while it learns and at work: a live window, a viewer, tables.

Units: seconds; onset F1 from 0 to 1; errors, resets and blocks per 1,000 swings or notes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.strict import strict_faults
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.pictures import charts_over_sound
from workbench.beatmap.writer.composing import Composed
from workbench.beatmap.writer.corpus import PARTS, VALIDATION
from workbench.beatmap.writer.data import Batch, ChartData
from workbench.beatmap.writer.evaluation import ChartPair, Evaluation
from workbench.beatmap.writer.generating import write_windows
from workbench.beatmap.writer.looking import LIKELIEST, sheets_of, wish_of_batch
from workbench.beatmap.writer.metrics import profile_of
from workbench.beatmap.writer.model import WriterCard
from workbench.beatmap.writer.network import MapNetwork
from workbench.beatmap.writer.options import MelSpec
from workbench.beatmap.writer.tokens import BAR_BEATS, decode
from workbench.beatmap.writer.training import HELD, MapLearner, MapLook
from workbench.figures import Picture
from workbench.learning.training import is_look
from workbench.panels.beatmap import SmallPicture
from workbench.panels.map_viewer import MapViewer, ShownChart
from workbench.panels.table import Table
from workbench.panels.training import TrainingCurves
from workbench.progress import Progress

_NUMBERS = (
    ("onset F1 at 50 ms", "onset_f1_50ms"),
    ("onset F1 at 20 ms", "onset_f1_20ms"),
    ("by another song's sound, at 50 ms", "onset_f1_shuffled_50ms"),
)
_CHART_NUMBERS = (
    ("notes", "notes"),
    ("notes a second", "nps"),
    ("swings a second", "swings_a_second"),
    ("parity errors per 1,000 swings", "parity_errors_per_1000"),
    ("resets per 1,000 swings", "resets_per_1000"),
    ("vision blocks per 1,000 notes", "vision_blocks_per_1000"),
    ("share of the right hand", "right_hand_share"),
    ("different patterns of four, share", "pattern_diversity"),
)
_SCORES = (
    ("onset F1 at 50 ms", "onset_f1_50ms"),
    ("onset F1 at 20 ms", "onset_f1_20ms"),
    ("precision at 50 ms", "onset_precision_50ms"),
    ("recall at 50 ms", "onset_recall_50ms"),
    ("directions, divergence, nats", "direction_kl"),
    ("cells, divergence, nats", "cell_kl"),
)


class LiveTraining(Callback):
    """Curves of a training, and below them a window that is held out, written at every look.

    Give its `show` to the training and itself as a callback.

    Attributes:
        widget: What a cell displays.
        curves: The curves.
        written: Notes of the window as they were written at the last look; None before.
        step: After which step that was.
    """

    def __init__(self, data: ChartData, steps: int | None = None):
        """Choose the window that is held out and has the most notes; it may be that none is.

        Args:
            data: What is learnt from.
            steps: How many there will be.
        """
        self.curves = TrainingCurves(steps)
        self.written: Notes | None = None
        self.step = 0
        self._data = data
        self._batch = _densest(data)
        self._image = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%"))
        self._image.layout.display = "none"
        self.widget: Any = ipywidgets.VBox([self.curves.widget, self._image])

    def show(self, progress: Progress) -> None:
        """Take a state."""
        self.curves.show(progress)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take a look, and write the window."""
        if not (trainer.is_global_zero and is_look(trainer)):
            return
        assert isinstance(pl_module, MapLearner)
        numbers = trainer.callback_metrics
        f1 = numbers.get("onset_f1_50ms")
        self.step = trainer.global_step
        self.curves.look(self.step, float(numbers[HELD]), None if f1 is None else float(f1))
        if self._batch is not None:
            self.written = self._notes(_written(pl_module.average, self._data, self._batch))
            self._image.value = SmallPicture(self.window())._repr_png_()
            self._image.layout.display = None

    def still(self) -> str:
        """Return how far it came as text, for a saved notebook whose widgets open empty."""
        last = self.curves.last
        if last is None:
            return "nothing was shown"
        return f"{last.stage}: {last.done:,} of {last.total:,} {last.unit}"

    def window(self) -> Picture:
        """Return the window's sound with the human's notes, and with those that were written."""
        assert self._batch is not None, "nothing is held out"
        corpus, number = self._data.corpus, int(self._batch["window"][0])
        chart = corpus.charts[int(corpus.windows.chart[number])]
        name = f"{chart.song.title}, {chart.beatmap.difficulty}, as the human has it"
        charts = {name: self._notes(_human(self._batch))}
        if self.written is not None:
            charts[f"as it is written after {self.step:,} steps"] = self.written
        cache, columns = self._data.cache, corpus.windows.columns
        return charts_over_sound(
            cache.features(chart.feature_key),
            cache.spec,
            chart.beatmap.time_map,
            charts,
            first_beat=self._first_beat(),
            beats=columns / cache.spec.columns_a_beat,
        )

    def _first_beat(self) -> float:
        assert self._batch is not None
        return float(self._data.corpus.windows.bar[int(self._batch["window"][0])]) * BAR_BEATS

    def _notes(self, tokens: Tensor) -> Notes:
        """Return the notes of the window's own bars, at the song's beats."""
        notes, _ = decode(tokens.numpy().astype(np.int16), self._data.vocabulary)
        return replace(notes, beat=notes.beat + self._first_beat())


def parts_table(data: ChartData) -> Table:
    """Return how many songs, charts and windows each part of some charts has."""
    corpus = data.corpus
    names = {"train": "learnt from", "validation": "looked at", "test": "kept for the end"}
    rows = []
    for part in PARTS:
        charts = [chart for chart in corpus.charts if chart.part == part]
        songs = len({chart.song.audio_key for chart in charts})
        rows.append((names[part], songs, len(charts), len(corpus.part[part])))
    return Table(("part", "songs", "charts", "windows"), rows)


def looks_table(history: Sequence[MapLook]) -> Table:
    """Return a row a look at what is held out."""
    head = (
        "after step",
        "nats a note",
        "likeliest token right, %",
        *(name for name, _ in _NUMBERS),
    )
    rows = [
        (
            look.step,
            round(look.nats_per_note, 2),
            round(100 * look.token_accuracy, 1),
            *(_rounded(look.listened.get(name)) for _, name in _NUMBERS),
        )
        for look in history
    ]
    return Table(head, rows)


def card_table(card: WriterCard) -> Table:
    """Return what a writer is, and how it learnt."""
    shape, learning = card.shape, card.learning
    kind = f"Conformer, {shape.kernel} columns" if shape.kernel else "Transformer"
    return Table(
        ("what", "of the writer"),
        [
            ("parameters", f"{learning['parameters']:,}"),
            ("encoder", f"{kind}, {shape.encoder_layers} layers"),
            ("decoder", f"{shape.decoder_layers} layers"),
            ("width, heads", f"{shape.width}, {shape.heads}"),
            ("vocabulary", f"{shape.vocabulary}, {shape.tokens.size} ids"),
            ("window", f"{card.cut.bars} bars, {card.cut.context} before them in view"),
            ("songs that it learnt from", f"{learning['songs']['train']:,}"),
            ("styles that it knows", f"{len(card.styles):,}"),
            ("steps", f"{learning['steps']:,}"),
        ],
    )


def song_table(composed: Composed) -> Table:
    """Return what was found out about a song that maps were written for."""
    song = composed.song
    return Table(
        ("what", "of the song"),
        [
            ("title", song.title),
            ("artist", song.artist or "-"),
            ("beats a minute", f"{song.bpm:.2f}"),
            ("silence in front", f"{song.lead_silence:.2f} s"),
            ("length with it", f"{song.seconds:.1f} s"),
            ("rounds of writing", f"{composed.rounds}"),
        ],
    )


def charts_table(composed: Composed, pairs: Sequence[ChartPair] = ()) -> Table:
    """Return what written charts are like, and the human's beside them.

    Args:
        composed: The written ones.
        pairs: Some of them with the human's.
    """
    times = composed.song.time_map
    columns = {
        f"{name}, written": profile_of(_objects(notes), times).numbers()
        for name, notes in composed.charts.items()
    }
    for pair in pairs:
        human = profile_of(pair.wanted, pair.wanted_times).numbers()
        columns[f"{pair.name}, human"] = human
    rows = [
        (told, *(_rounded(numbers[name]) for numbers in columns.values()))
        for told, name in _CHART_NUMBERS
    ]
    return Table(("what", *columns), rows)


def scores_table(evaluation: Evaluation) -> Table:
    """Return how well written charts agree with the human's."""
    charts = {chart.name: chart.numbers() for chart in evaluation.charts}
    rows = [
        (told, *(_rounded(numbers[name]) for numbers in charts.values())) for told, name in _SCORES
    ]
    return Table(("agreement", *charts), rows)


def files_table(path: Path) -> Table:
    """Return the files of a map, a zip or a folder, with their bytes."""
    rows = [(name, len(content)) for name, content in _files(path).items()]
    return Table(("file", "bytes"), rows)


def faults(path: Path) -> int:
    """Return how many strict rules a map breaks, a zip or a folder."""
    return len(strict_faults(_files(path)))


def viewer(
    composed: Composed, spec: MelSpec, pairs: Sequence[ChartPair] = (), offered: Path | None = None
) -> MapViewer:
    """Return written charts over their song, to be played, and the human's to choose too.

    Args:
        composed: The written ones.
        spec: Of what the writer heard.
        pairs: Some of them with the human's.
        offered: A file that can be saved from the page, as the map's zip.
    """
    song = composed.song
    charts = [
        ShownChart(name=f"{name}, written", objects=_objects(notes))
        for name, notes in composed.charts.items()
    ]
    charts += [
        ShownChart(
            name=f"{pair.name}, human",
            objects=pair.wanted,
            time_map=_later(pair.wanted_times, pair.shift),
        )
        for pair in pairs
    ]
    shown = MapViewer(
        charts,
        time_map=song.time_map,
        features=composed.features,
        spec=spec,
        audio=song.egg,
        title=" - ".join(word for word in (song.artist, song.title) if word),
    )
    if offered is not None:
        shown.offer(offered.read_bytes(), offered.name)
    return shown


def _files(path: Path) -> dict[str, bytes]:
    (place,) = map_places(path)
    with place.open() as found:
        return {name: found.read(name) for name in found.names()}


def _densest(data: ChartData) -> Batch | None:
    """Return the window held out that has the most tokens as a batch, or None."""
    chosen = data.corpus.part[VALIDATION]
    if not len(chosen):
        return None
    longest = int(chosen[np.argmax(data.corpus.windows.lengths[chosen])])
    for batch in data.val_dataloader():
        found = (batch["window"] == longest).nonzero()[:, 0]
        if len(found):
            one = {name: v[found] for name, v in batch.items() if isinstance(v, Tensor)}
            return data.on_after_batch_transfer(one, 0)
    return None


def _written(network: MapNetwork, data: ChartData, batch: Batch) -> Tensor:
    """Return the tokens that a network writes for a window."""
    device = network.out.weight.device
    here = {name: values.to(device) for name, values in batch.items()}
    with torch.inference_mode():
        heard = network.listen(here["mel"], wish_of_batch(here))
        sheets, _ = sheets_of(batch)
        return write_windows(network, heard, sheets, LIKELIEST)[0]


def _human(batch: Batch) -> Tensor:
    _, wanted = sheets_of(batch)
    return torch.from_numpy(wanted[0])


def _later(times: TimeMap, seconds: float) -> TimeMap:
    """Return a map of times of a song that begins later."""
    return replace(times, seconds=times.seconds + seconds)


def _objects(notes: Notes) -> Objects:
    return replace(Objects.none(), notes=notes)


def _rounded(value: float | None) -> object:
    if value is None:
        return "-"
    return int(value) if isinstance(value, int) else round(float(value), 3)
