"""How well a model predicts performances it has not seen: bits, errors, and copies.

Bits are -log2 of the probability that the model gives to what was played, so fewer are better.
`bits_per_bar` is over performances wholly in 4/4 and 9 classes; an event is a note. Each is told
by the corpus alone and with the piece's own counts so far mixed in, which is the model that
samples. Timing errors are mean absolute milliseconds, velocity errors mean absolute MIDI steps,
of the median that the model predicts from the grid and the pitches alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.adaptive import EVENT_LEVELS, STEP_LEVELS, adapted
from workbench.groove.counting import Batch, Performances, labelled_columns, read_performances
from workbench.groove.files import midi_files
from workbench.groove.grid import Grid
from workbench.groove.labels import Labels, read_labels
from workbench.groove.model import Model, StreamModel
from workbench.groove.options import TrainOptions
from workbench.groove.pieces import pieces_of
from workbench.groove.streams import (
    LABEL_KINDS,
    Columns,
    Ints,
    bar_neighbours,
    offset_of,
    velocity_of,
)
from workbench.streaming.filelist import FileList

Floats = NDArray[np.float64]

_BATCH_FILES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a model is worth on some performances.

    Attributes:
        files: Performances scored.
        skipped: Files not scored, by reason.
        events: Notes.
        bits_per_event: With the piece's own counts.
        bits_per_event_corpus: By the corpus alone.
        zero_probability_events: Events of probability 0; there are none.
        bars: Bars of performances in 4/4.
        bits_per_bar: With the piece's own counts, 4/4.
        bits_per_bar_corpus: By the corpus alone, 4/4.
        bits_per_bar_all_metres: With the piece's own counts, whatever the metre.
        timing_mae_ms: Error of the predicted timing.
        quantised_mae_ms: Error of the bare grid.
        velocity_mae: Error of the predicted velocity.
        constant_velocity_mae: Error of the corpus's median velocity.
        polyphony: Share of sounding steps with two or more classes.
        near_copies: Share of bars with a hit that are within one hit of a training bar.
        styles: By style, its events, bars, bits_per_event and bits_per_bar, which is None where
            it has no bar in 4/4.
    """

    files: int
    skipped: dict[str, int]
    events: int
    bits_per_event: float
    bits_per_event_corpus: float
    zero_probability_events: int
    bars: int
    bits_per_bar: float
    bits_per_bar_corpus: float
    bits_per_bar_all_metres: float
    timing_mae_ms: float
    quantised_mae_ms: float
    velocity_mae: float
    constant_velocity_mae: float
    polyphony: float
    near_copies: float
    styles: dict[str, dict[str, float | None]]


@dataclass(slots=True)
class _Sums:
    """Sums over performances, by what is summed; a style's own sums stand in `styles`."""

    of: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    styles: dict[str, dict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )
    skipped: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def mean(self, what: str, of: str) -> float:
        return self.of[what] / self.of[of] if self.of[of] else 0.0


def score_files(model: Model, corpus: Path, labels: Path | None = None) -> Score:
    """Score a model on a folder of MIDI files, or on a text file that lists them.

    Args:
        model: The model.
        corpus: Where the performances are.
        labels: A table of labels; the model is then conditioned on those it knows.

    Raises:
        StreamingError: There are no files.
        GrooveError: The labels table cannot be read, or no file could be scored.
    """
    files = midi_files(corpus)
    table = read_labels(labels)
    sums = _Sums()
    for batch in batches_of(files, table, model):
        found = read_performances(batch)
        for skip in found.skips.values():
            sums.skipped[skip.reason] += 1
        if found.grids:
            _add(sums, model, batch, found)
    if not sums.of["files"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(sums.skipped.items()))
        raise GrooveError(f"{corpus}: none of {len(files)} files could be scored: {reasons}")
    return _score(sums)


def step_probabilities(model: Model, columns: Columns) -> tuple[Floats, Floats]:
    """Return each step's probability by the corpus alone, and with the piece mixed in.

    A mixture, which knows no labels, a network or a blend of them tells the second, if there is
    one.
    """
    stream = model.stream("steps")
    values = columns.of(stream.stream)
    found = stream.probabilities(values)
    for kind in LABEL_KINDS:
        if kind in values and f"steps.{kind}" in model.streams:
            is_labelled = values[kind] > 0
            told = model.stream(f"steps.{kind}").probabilities(values, base=found)
            found = np.where(is_labelled, told, found)
    if model.predictor is None:
        return found, adapted(found, values, columns.step_file, STEP_LEVELS)
    pieces = zip(pieces_of(columns, model.resolution), _label_names(model, columns), strict=True)
    return found, np.concatenate([model.predictor.probabilities(*piece) for piece in pieces])


def event_probabilities(model: Model, columns: Columns) -> tuple[Floats, Floats]:
    """Return each event's probability by the corpus alone, and with the piece mixed in."""
    stream = model.stream("events")
    values = columns.of(stream.stream)
    found = stream.probabilities(values)
    return found, adapted(found, values, columns.note_file, EVENT_LEVELS)


def predicted_velocity(model: Model, columns: Columns) -> Floats:
    """Return the median velocity of each note, from the grid and the pitch alone."""
    return velocity_of(_medians(model.stream("velocity"), columns)).astype(np.float64)


def predicted_offset(model: Model, columns: Columns) -> Floats:
    """Return the median offset of each note in steps, from the grid and the pitch alone."""
    return offset_of(_medians(model.stream("timing"), columns))


def is_in_four(grid: Grid) -> bool:
    """Return whether a performance is wholly in 4/4."""
    quarters = grid.bar_steps / grid.resolution
    return bool((quarters == 4).all() and (grid.beat_steps == grid.resolution).all())


def _label_names(model: Model, columns: Columns) -> list[dict[str, str]]:
    """Return the labels of each performance by kind, as far as it has any."""
    firsts = np.flatnonzero(np.diff(columns.step_file, prepend=-1))
    names: list[dict[str, str]] = [{} for _ in firsts]
    for kind, known in model.labels.items():
        for said, number in zip(names, columns.steps[kind][firsts].tolist(), strict=True):
            if number:
                said[kind] = known[number - 1]
    return names


def _medians(stream: StreamModel, columns: Columns) -> Ints:
    """Return the median target of each note's context, without what was played before."""
    fields = [name for name, _ in stream.stream.fields[:-1]]
    table = np.stack([columns.notes[name] for name in fields], axis=1)
    contexts, which = np.unique(table, axis=0, return_inverse=True)
    medians = [_median(stream, tuple(row)) for row in contexts.tolist()]
    return np.array(medians, np.int64)[which.reshape(-1)]


def _median(stream: StreamModel, context: tuple[int, ...]) -> int:
    seen = np.cumsum(stream.distribution(context).seen)
    return int(stream.targets[np.searchsorted(seen, seen[-1] / 2)])


def batches_of(files: FileList, labels: Labels, model: Model) -> Iterator[Batch]:
    """Give the files of a list, to be read as a model counts them.

    Args:
        files: The list.
        labels: The labels table; only labels that the model knows are told.
        model: The model.
    """
    options = TrainOptions(**model.description["counting"])
    known = Labels(vocabulary=model.labels, of_file=labels.of_file)
    for first in range(0, len(files), _BATCH_FILES):
        indices = tuple(range(first, min(first + _BATCH_FILES, len(files))))
        yield Batch(
            first=first,
            indices=indices,
            names=tuple(files.name(index) for index in indices),
            root=files.root,
            sizes=tuple(int(files.sizes[index]) for index in indices),
            is_first=(True,) * len(indices),
            labels=known,
            options=options,
        )


def _add(sums: _Sums, model: Model, batch: Batch, found: Performances) -> None:
    names = [batch.names[place] for place in found.places]
    columns = labelled_columns(found.grids, batch.labels, names, batch.options)
    styles = [batch.labels.style(name) or "unknown" for name in names]
    sums.of["files"] += len(names)
    _add_events(sums, model, columns, styles)
    _add_errors(sums, model, columns, found.grids)
    if "steps" in model.streams:
        _add_steps(sums, model, columns, found.grids, styles)
        _add_bars(sums, model, columns)


def _add_events(sums: _Sums, model: Model, columns: Columns, styles: Sequence[str]) -> None:
    corpus, piece = event_probabilities(model, columns)
    sums.of["events"] += len(piece)
    sums.of["zero_probability_events"] += int((corpus <= 0).sum() + (piece <= 0).sum())
    sums.of["event_bits_corpus"] += float(-np.log2(corpus).sum())
    by_file = np.bincount(columns.note_file, -np.log2(piece), len(styles))
    sums.of["event_bits"] += float(by_file.sum())
    for style, bits, notes in zip(
        styles, by_file, np.bincount(columns.note_file, minlength=len(styles)), strict=True
    ):
        sums.styles[style]["event_bits"] += float(bits)
        sums.styles[style]["events"] += int(notes)


def _add_steps(
    sums: _Sums, model: Model, columns: Columns, grids: Sequence[Grid], styles: Sequence[str]
) -> None:
    corpus, piece = step_probabilities(model, columns)
    by_corpus = np.bincount(columns.step_file, -np.log2(corpus), len(grids))
    by_piece = np.bincount(columns.step_file, -np.log2(piece), len(grids))
    for grid, style, told, bits in zip(grids, styles, by_corpus, by_piece, strict=True):
        bars = len(grid.bar_steps)
        sums.of["all_bars"] += bars
        sums.of["all_bits"] += float(bits)
        if is_in_four(grid):
            sums.of["bars"] += bars
            sums.of["bar_bits"] += float(bits)
            sums.of["bar_bits_corpus"] += float(told)
            sums.styles[style]["bars"] += bars
            sums.styles[style]["bar_bits"] += float(bits)
    mask = columns.steps["target_steps"]
    sums.of["sounding_steps"] += int((mask > 0).sum())
    sums.of["polyphonic_steps"] += int((mask & (mask - 1) > 0).sum())


def _add_bars(sums: _Sums, model: Model, columns: Columns) -> None:
    for digests in bar_neighbours(columns.steps["target_steps"], columns.bar_start):
        sums.of["sounding_bars"] += 1
        sums.of["near_copies"] += bool(model.knows_bars(digests).any())


def _add_errors(sums: _Sums, model: Model, columns: Columns, grids: Sequence[Grid]) -> None:
    offset = np.concatenate([grid.offset for grid in grids])
    milliseconds = np.concatenate([grid.step_seconds for grid in grids]) * 1000
    velocity = np.concatenate([grid.velocity for grid in grids]).astype(np.float64)
    error = np.abs(predicted_offset(model, columns) - offset) * milliseconds
    constant = _median(model.stream("velocity"), ())
    sums.of["timing_error"] += float(error.sum())
    sums.of["quantised_error"] += float((np.abs(offset) * milliseconds).sum())
    sums.of["velocity_error"] += float(np.abs(predicted_velocity(model, columns) - velocity).sum())
    usual = float(velocity_of(np.array(constant)))
    sums.of["constant_velocity_error"] += float(np.abs(usual - velocity).sum())


def _score(sums: _Sums) -> Score:
    return Score(
        files=int(sums.of["files"]),
        skipped=dict(sorted(sums.skipped.items())),
        events=int(sums.of["events"]),
        bits_per_event=sums.mean("event_bits", "events"),
        bits_per_event_corpus=sums.mean("event_bits_corpus", "events"),
        zero_probability_events=int(sums.of["zero_probability_events"]),
        bars=int(sums.of["bars"]),
        bits_per_bar=sums.mean("bar_bits", "bars"),
        bits_per_bar_corpus=sums.mean("bar_bits_corpus", "bars"),
        bits_per_bar_all_metres=sums.mean("all_bits", "all_bars"),
        timing_mae_ms=sums.mean("timing_error", "events"),
        quantised_mae_ms=sums.mean("quantised_error", "events"),
        velocity_mae=sums.mean("velocity_error", "events"),
        constant_velocity_mae=sums.mean("constant_velocity_error", "events"),
        polyphony=sums.mean("polyphonic_steps", "sounding_steps"),
        near_copies=sums.mean("near_copies", "sounding_bars"),
        styles={style: _style_row(values) for style, values in sorted(sums.styles.items())},
    )


def _style_row(values: dict[str, float]) -> dict[str, float | None]:
    events, bars = int(values["events"]), int(values["bars"])
    return {
        "events": events,
        "bars": bars,
        "bits_per_event": values["event_bits"] / events,
        "bits_per_bar": values["bar_bits"] / bars if bars else None,
    }
