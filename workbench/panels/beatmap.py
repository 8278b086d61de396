"""Tables and pictures of a corpus of maps, as a notebook shows them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from PIL.Image import Dither, Quantize

from workbench.beatmap.maps.manifest import Manifest
from workbench.beatmap.statistics import (
    CorpusStatistics,
    DifficultyStatistics,
    LeftOut,
    TokenLosses,
)
from workbench.beatmap.writer.cache import Warmed
from workbench.figures import Picture
from workbench.panels.table import Table


def store_table(manifest: Manifest) -> Table:
    """Return what a store was made of, and what is in it."""
    counts = manifest.counts
    objects = [(kind, count) for kind, count in counts.items() if kind != "maps"]
    return Table(
        ("what", "count"),
        [
            ("maps found", manifest.listed),
            ("maps in the store", counts["maps"]),
            ("maps left out", manifest.refused_maps),
            ("copies of another map", manifest.duplicates),
            *objects,
        ],
    )


def reasons_table(reasons: Sequence[LeftOut]) -> Table:
    """Return why maps and difficulties were left out or are odd, with an example of each."""
    head = ("reason", "maps", "difficulties", "odd", "for example")
    return Table(
        head,
        [
            (reason.reason, reason.maps, reason.difficulties, reason.odd, reason.example)
            for reason in reasons
        ],
    )


def difficulties_table(statistics: CorpusStatistics) -> Table:
    """Return a row a difficulty: how many beatmaps, how dense and fast, how they flow."""
    head = (
        "difficulty",
        "beatmaps",
        "notes",
        "notes a second, lower quartile",
        "median",
        "upper quartile",
        "NJS, median, m/s",
        "swings that repeat, %",
    )
    return Table(head, [_difficulty(difficulty) for difficulty in statistics.difficulties])


def losses_table(vocabularies: Sequence[TokenLosses]) -> Table:
    """Return what each vocabulary keeps of the charts."""
    head = (
        "vocabulary",
        "ids",
        "charts",
        "tokens",
        "tokens a note",
        "notes lost, %",
        "for which reason",
        "moved in time, mean ms",
        "99 % within, ms",
        "at most, ms",
    )
    return Table(head, [_losses(losses) for losses in vocabularies])


def warmed_table(runs: Mapping[str, Warmed]) -> Table:
    """Return what runs over a feature cache did.

    Args:
        runs: By the name that a row has.
    """
    head = ("run", "computed", "there already", "cannot be read", "dropped for room")
    rows = [
        (name, run.computed, run.found, len(run.refused), run.dropped) for name, run in runs.items()
    ]
    return Table(head, rows)


@dataclass(frozen=True, slots=True, eq=False)
class SmallPicture:
    """A picture in few colours, so that a notebook can keep many.

    Attributes:
        picture: The whole one.
        colors: How many, at most 256.
    """

    picture: Picture
    colors: int = 128

    def __repr__(self) -> str:
        return repr(self.picture)

    def _repr_png_(self) -> bytes:
        drawn, small = io.BytesIO(), io.BytesIO()
        self.picture.figure.savefig(drawn, format="png")
        with PIL.Image.open(drawn) as image:
            whole = image.convert("RGB")
        few = whole.quantize(self.colors, Quantize.FASTOCTREE, dither=Dither.NONE)
        few.save(small, format="png", optimize=True)
        return small.getvalue()


def _losses(losses: TokenLosses) -> tuple[object, ...]:
    return (
        losses.vocabulary,
        losses.size,
        losses.charts,
        losses.tokens,
        round(losses.tokens / max(losses.kept, 1), 2),
        round(100 * losses.lost_share, 2),
        ", ".join(f"{reason} {count:,}" for reason, count in losses.lost.items()) or "-",
        round(losses.mean_ms, 2),
        round(losses.p99_ms, 2),
        round(losses.max_ms, 2),
    )


def _difficulty(difficulty: DifficultyStatistics) -> tuple[object, ...]:
    quartiles: tuple[object, ...] = ("-",) * 3
    if len(difficulty.nps):
        found = np.quantile(difficulty.nps, (0.25, 0.5, 0.75))
        quartiles = tuple(round(float(quartile), 2) for quartile in found)
    return (
        difficulty.name,
        difficulty.beatmaps,
        difficulty.notes,
        *quartiles,
        round(float(np.median(difficulty.njs)), 1) if len(difficulty.njs) else "-",
        round(100 * difficulty.repeated_share, 2),
    )
