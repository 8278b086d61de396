"""How good a writer is: it writes charts that were held out, and the human's are held against them.

Each chart is written whole, to the very features that training reads, and told its difficulty; its
tokens, as the human wrote them, tell what a note costs. Beside it every chart may be written to
another song's sound, which shows what could be had without listening.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.beatmap.maps.objects import DIFFICULTIES, Objects
from workbench.beatmap.maps.store import Store
from workbench.beatmap.statistics import chart_notes
from workbench.beatmap.writer.augment import normalised
from workbench.beatmap.writer.corpus import ChosenChart, style_of
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.evaluation import ChartPair, Evaluation, evaluate_charts
from workbench.beatmap.writer.generating import Request, write_song
from workbench.beatmap.writer.looking import wish_of_batch
from workbench.beatmap.writer.mel import Features
from workbench.beatmap.writer.metrics_onsets import onset_agreement, pooled_onsets
from workbench.beatmap.writer.model import MapWriter
from workbench.beatmap.writer.model_options import JudgeOptions
from workbench.beatmap.writer.swings import is_note_of
from workbench.beatmap.writer.tokens import decode
from workbench.beatmap.writer.training import told
from workbench.errors import BeatmapError
from workbench.progress import Progress, Show, silent

_PARTING = ("validation", "test", "hold_out")  # what songs are parted by


def judge(
    writer: MapWriter,
    data: ChartData,
    store: Store,
    options: JudgeOptions,
    show: Show = silent,
) -> Evaluation:
    """Return how good a writer is.

    Args:
        writer: The writer.
        data: The charts, in the parts they were in when it learnt.
        store: Where they are.
        options: How it is judged.
        show: Told about the charts.

    Raises:
        BeatmapError: The part has no chart, or the writer has other tokens or features.
    """
    _refuse_others(writer, data)
    charts = _charts(data, options)
    begun = time.monotonic()
    sounds = [data.cache.features(chart.feature_key) for chart in charts]
    pairs, shuffled = [], []
    for number, (chart, features) in enumerate(zip(charts, sounds, strict=True)):
        asked = _asked(writer, chart, options)
        pair = _pair(writer, features, chart, asked, _human(store, chart))
        pairs.append(pair)
        other = _other(charts, number)
        if options.shuffled and other is not None:
            wrong = _pair(writer, sounds[other], chart, asked, pair.wanted)
            human, found = (_seconds(pair, objects) for objects in (wrong.wanted, wrong.found))
            shuffled.append(onset_agreement(human, found))
        show(
            Progress(
                stage="judging",
                done=number + 1,
                total=len(charts),
                unit="charts",
                seconds=time.monotonic() - begun,
                fresh=number + 1,
            )
        )
    extra = _nats(writer, data, options.part)
    if shuffled:
        extra["onset_f1_shuffled"] = pooled_onsets(shuffled)[0].f1
    return evaluate_charts(pairs, extra=extra)


def _refuse_others(writer: MapWriter, data: ChartData) -> None:
    card = writer.card
    if card.shape.vocabulary != data.options.vocabulary:
        raise BeatmapError(
            f"the model writes {card.shape.vocabulary!r} tokens, the charts are "
            f"{data.options.vocabulary!r}; give --vocabulary {card.shape.vocabulary}",
            "other_vocabulary",
        )
    learnt, mine = card.learning.get("data", {}), asdict(data.options)
    other = [
        f"{name} {learnt[name]!r}"
        for name in _PARTING
        if learnt.get(name, mine[name]) != mine[name]
    ]
    if other:
        raise BeatmapError(
            f"the model learnt with {', '.join(other)}; give the same, else it is judged by songs "
            "that it learnt from",
            "other_parts",
        )
    if card.spec != data.cache.spec:
        raise BeatmapError(
            f"the model hears {card.spec}, the features are {data.cache.spec}; warm the cache for "
            "the model's",
            "other_features",
        )


def _charts(data: ChartData, options: JudgeOptions) -> list[ChosenChart]:
    """Return the charts of a part, some of them where there are too many.

    Raises:
        BeatmapError: There is none.
    """
    found = [chart for chart in data.corpus.charts if chart.part == options.part]
    if not found:
        raise BeatmapError(
            f"no chart is in the part {options.part!r}; judge by another, or hold songs out "
            "(--test, --validation, --hold-out) as they were when the model learnt",
            "no_charts",
        )
    most = options.most_charts or len(found)
    step = max(len(found) / most, 1.0)
    return [found[int(number * step)] for number in range(min(most, len(found)))]


def _asked(writer: MapWriter, chart: ChosenChart, options: JudgeOptions) -> Request:
    density = chart.beatmap.nps if options.told_density else math.nan
    difficulty = DIFFICULTIES.index(chart.beatmap.difficulty)
    return Request(
        difficulty=difficulty,
        density=density,
        style=_style(writer, style_of(chart)),
        seed=options.draws,
        manner=Manner(temperature=options.temperature),
    )


def _style(writer: MapWriter, name: str) -> int:
    """Return the writer's number of a style, 0 where it knows none such."""
    return writer.card.style(name) if name in writer.card.styles else 0


def _human(store: Store, chart: ChosenChart) -> Objects:
    return replace(Objects.none(), notes=chart_notes(store, chart.song, chart.number))


def _pair(
    writer: MapWriter, features: Features, chart: ChosenChart, request: Request, wanted: Objects
) -> ChartPair:
    tokens = write_song(writer, features, [request])[0]
    notes, _ = decode(tokens, writer.card.shape.tokens)
    beatmap = chart.beatmap
    return ChartPair(
        name=f"{chart.song.title} [{chart.song.key[:8]}] {beatmap.characteristic} "
        f"{beatmap.difficulty} {chart.number}",
        found=replace(Objects.none(), notes=notes),
        wanted=wanted,
        found_times=beatmap.time_map,
        wanted_times=beatmap.time_map,
    )


def _seconds(pair: ChartPair, objects: Objects) -> NDArray[np.float64]:
    return pair.found_times.seconds_at(objects.notes.beat)


def _other(charts: Sequence[ChosenChart], number: int) -> int | None:
    """Return the next chart of another song, or None."""
    mine = charts[number].song.audio_key
    after = [*range(number + 1, len(charts)), *range(number)]
    return next((other for other in after if charts[other].song.audio_key != mine), None)


def _nats(writer: MapWriter, data: ChartData, part: str) -> dict[str, float]:
    """Return what the human's tokens cost the writer."""
    loader = data.part_dataloader(part)
    network, device = writer.network, writer.device
    styles = torch.tensor([0, *(_style(writer, name) for name in data.styles)])
    nats = tokens = right = notes = 0.0
    with torch.inference_mode():
        for each in loader:
            held = {name: v.to(device) for name, v in each.items() if isinstance(v, torch.Tensor)}
            batch = held | {"mel": normalised(held["mel"], writer.card.statistics)}
            wish = wish_of_batch(batch)._replace(style=styles[each["style"]].to(device))
            lesson, costs = told(network, batch, wish)
            counts = batch["counted"][:, None] & lesson.is_taught
            nats += float((costs.nats * counts).sum(dtype=torch.float64))
            tokens += int(counts.sum())
            right += int((costs.is_right & counts).sum())
            notes += int((counts & is_note_of(lesson.targets, network.shape.tokens)).sum())
    return {"nats_per_note": nats / max(notes, 1), "token_accuracy": right / max(tokens, 1)}
