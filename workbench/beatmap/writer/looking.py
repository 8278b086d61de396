"""Looks at what a writer makes of windows that are held out: it writes them, and onsets are told.

Written are windows of a few charts, by the likeliest token; they are compared with the human's by
onset F1, and once more where each is written to another song's sound, which must fail: else the
writer does not listen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.beatmap.writer.data import Batch, ChartData
from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.generating import Sheet, write_windows
from workbench.beatmap.writer.metrics_onsets import OnsetScore, onset_agreement, pooled_onsets
from workbench.beatmap.writer.network import MapNetwork, Wish
from workbench.beatmap.writer.tokens import BAR, BAR_BEATS, END, FIRST_DIFFICULTY, decode

LIKELIEST = Manner(temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listened:
    """How well written windows agree with the human's.

    Attributes:
        own: To their own sound, a score a window of time.
        other: To other songs' sound; nothing where there is no other song.
    """

    own: tuple[OnsetScore, ...]
    other: tuple[OnsetScore, ...]

    def numbers(self) -> dict[str, float]:
        """Return the scores by name."""
        told = {name: value for score in self.own for name, value in score.numbers().items()}
        for score in self.other[:1]:
            told |= {
                name.replace("f1", "f1_shuffled"): value
                for name, value in score.numbers().items()
                if "f1" in name
            }
        return told


def listened(network: MapNetwork, data: ChartData, batch: Batch) -> Listened:
    """Return how well windows are written.

    Args:
        network: The writer.
        data: Whose windows they are.
        batch: Windows as they come to a network, on its device.
    """
    with torch.inference_mode():
        own = _scores(network, data, batch, torch.arange(len(batch["window"])))
        turn = _turned(data, batch["window"])
        other = () if turn is None else _scores(network, data, batch, turn)
    return Listened(own=own, other=other)


def _turned(data: ChartData, windows: Tensor) -> Tensor | None:
    """Return for each window one of another song, or None where there is one song alone."""
    charts = data.corpus.windows.chart[windows.cpu().numpy()]
    songs = np.array([data.corpus.charts[chart].song.audio_key for chart in charts.tolist()])
    order = np.argsort(songs, kind="stable")
    _, counts = np.unique(songs, return_counts=True)
    if len(counts) < 2 or 2 * counts.max() > len(songs):
        return None
    turned = np.empty(len(order), np.int64)
    turned[order] = np.roll(order, counts.max())  # farther than any song's windows go
    return torch.from_numpy(turned)


def _scores(
    network: MapNetwork, data: ChartData, batch: Batch, sound: Tensor
) -> tuple[OnsetScore, ...]:
    wish = wish_of_batch(batch)
    heard = network.listen(batch["mel"][sound.to(batch["mel"].device)], wish)
    sheets, wanted = sheets_of(batch)
    found = write_windows(network, heard, sheets, LIKELIEST)
    seconds = [_Seconds(data, int(window)) for window in batch["window"]]
    return pooled_onsets(
        [
            onset_agreement(when(human), when(written.numpy()))
            for when, human, written in zip(seconds, wanted, found, strict=True)
        ]
    )


def wish_of_batch(batch: Mapping[str, Tensor]) -> Wish:
    """Return what the charts of a batch are like."""
    return Wish(
        difficulty=batch["tokens"][:, 1] - FIRST_DIFFICULTY,
        density=batch["density"],
        style=batch["style"],
    )


def sheets_of(batch: Batch) -> tuple[list[Sheet], list[NDArray[np.int64]]]:
    """Return what is to be written, and what the human wrote."""
    sheets, wanted = [], []
    lengths, firsts = batch["lengths"].tolist(), batch["learnt_from"].tolist()
    for number, tokens in enumerate(batch["tokens"].cpu()):
        first = firsts[number]
        own = tokens[first : lengths[number]].numpy()
        own = own[own != END]
        wanted.append(own)
        bars = int((own == BAR).sum())
        sheets.append(Sheet(head=tokens[:first], bars=bars, seed=(number,)))
    return sheets, wanted


class _Seconds:
    """When the notes of a window's bars are struck."""

    def __init__(self, data: ChartData, window: int):
        windows = data.corpus.windows
        chart = data.corpus.charts[int(windows.chart[window])]
        self._first = float(windows.bar[window]) * BAR_BEATS
        self._times = chart.beatmap.time_map
        self._vocabulary = data.vocabulary

    def __call__(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        notes, _ = decode(tokens.astype(np.int16), self._vocabulary)
        return self._times.seconds_at(notes.beat + self._first)
