"""Tables and sounds of gathered speech, as a notebook shows them."""

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from workbench.panels.table import Table
from workbench.progress import Progress, Show
from workbench.speech.published import Clip, Comparison
from workbench.speech.state import GatherState

_DIGITS = re.compile(r"\d+")
_LOOKED_AT = 10_000  # rows that were left out, for examples that differ
_ROW = "display: flex; align-items: center; gap: 1em; margin: 0.3em 0"


def sources_table(state: GatherState) -> Table:
    """Return a row a source: how far it is, what was kept and how many hours that is."""
    rows: list[tuple[object, ...]] = [
        (
            source.name,
            "whole" if source.is_done else f"file {source.file + 1}, row {source.row}",
            source.read,
            source.kept,
            source.read - source.kept,
            round(source.seconds / 3600, 3),
            round(source.seconds / source.kept, 2) if source.kept else "-",
        )
        for source in state.sources
    ]
    head = ("source", "read so far", "rows", "kept", "left out", "hours", "seconds a clip")
    return Table(head, rows)


def reasons_table(
    state: GatherState, skips: Iterable[Mapping[str, Any]], *, examples: int = 3
) -> Table:
    """Return why rows were left out, each reason with its count and examples that differ.

    Args:
        state: What counts the rows.
        skips: What is told of each of them; not read much further once each reason has an example.
        examples: How many of a reason at most; two that differ in their numbers alone are one.
    """
    counts: dict[str, int] = {}
    for source in state.sources:
        for reason, count in source.skipped.items():
            counts[reason] = counts.get(reason, 0) + count
    shown: dict[str, dict[str, Mapping[str, Any]]] = {reason: {} for reason in counts}
    for number, skip in enumerate(skips, 1):
        of_reason = shown[skip["reason"]]
        if len(of_reason) < examples:
            of_reason.setdefault(_DIGITS.sub("0", skip["detail"]), skip)
        if number >= _LOOKED_AT and all(shown.values()):
            break
    rows = [row for reason in sorted(counts) for row in _reason(reason, counts, shown[reason])]
    return Table(("reason", "rows", "for example", "row", "what was found"), rows)


def quartiles_table(comparison: Comparison) -> Table:
    """Return least, quartiles and greatest of lengths and levels, before and after."""
    columns = (
        ("seconds, before", comparison.seconds_before, 2),
        ("seconds, after", comparison.seconds_after, 2),
        ("dBFS RMS, before", comparison.level_before_db, 1),
        ("dBFS RMS, after", comparison.level_after_db, 1),
    )
    head = ("what", "least", "lower quartile", "median", "upper quartile", "greatest")
    return Table(head, [(name, *_quartiles(values, digits)) for name, values, digits in columns])


def rows_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows of a published dataset, all but their sound."""
    head = ("ID", "speaker_id", "Language", "transcript", "length", "confidence_score")
    cells = [
        (*(row[name] for name in head), row["source_ref"]["file"], row["source_ref"]["row"])
        for row in rows
    ]
    return Table((*head, "from", "row"), cells)


@dataclass(frozen=True, slots=True)
class Players:
    """Clips to listen to, as FLAC within the notebook.

    Attributes:
        clips: The clips.
        seconds: How much of each is kept, at most.
    """

    clips: Sequence[Clip]
    seconds: float

    def __repr__(self) -> str:
        return "\n".join(told_clip(clip) for clip in self.clips)

    def _repr_html_(self) -> str:
        return "".join(
            f'<div style="{_ROW}"><audio controls src="{self._address(clip)}"></audio>'
            f"<span>{html.escape(told_clip(clip))}</span></div>"
            for clip in self.clips
        )

    def _address(self, clip: Clip) -> str:
        content = flac_bytes(clip, self.seconds)
        return "data:audio/flac;base64," + base64.b64encode(content).decode()


def flac_bytes(clip: Clip, seconds: float | None = None) -> bytes:
    """Return a clip as a FLAC file of 16 bits.

    Args:
        clip: The clip.
        seconds: How much of it at most, from its beginning; all when None.
    """
    content = io.BytesIO()
    samples = clip.samples if seconds is None else clip.samples[: round(seconds * clip.sample_rate)]
    soundfile.write(content, samples, clip.sample_rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def told_clip(clip: Clip) -> str:
    """Return what is known of a clip, as a line."""
    return f"{clip.id}: {clip.seconds:.2f} s, {clip.level_db:.1f} dBFS, {clip.transcript}"


def interrupted(show: Show, *, rows: int) -> Show:
    """Return a shower that interrupts the work once, as the kernel's stop button does.

    Args:
        show: Told everything before.
        rows: After how many rows; 0 never does.
    """

    def shown(progress: Progress) -> None:
        show(progress)
        if 0 < rows <= progress.fresh and not progress.is_last:
            raise KeyboardInterrupt

    return shown


def _reason(
    reason: str, counts: Mapping[str, int], found: Mapping[str, Mapping[str, Any]]
) -> list[tuple[object, ...]]:
    """Return the rows of one reason; only the first tells it and its count."""
    told = [(skip["file"], skip["row"], skip["detail"] or "-") for skip in found.values()]
    first, *others = told or [("-", "-", "-")]
    return [(reason, counts[reason], *first), *(("", "", *other) for other in others)]


def _quartiles(values: NDArray[np.float64], digits: int) -> list[object]:
    if not len(values):
        return ["-"] * 5
    return [round(float(value), digits) for value in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
