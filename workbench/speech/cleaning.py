"""Batches of clips with their sound cleaned, and why some were left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import SourceError
from workbench.speech.audio import AudioOptions, Cleaned, Refusal, clean_batch

LONGEST_TRANSCRIPT = 10_000  # characters
MOST_BYTES = (1 << 31) - 1  # of all values of one Arrow array

# Rows that were kept: their index in the batch, what was made of the sound, and the rest.
CLEANED = pa.schema(
    [
        ("index", pa.int32()),
        ("audio", pa.binary()),
        ("seconds", pa.float64()),
        ("transcript", pa.string()),
        ("speaker", pa.string()),
        ("language", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A row that was left out.

    Attributes:
        index: Its index in the batch.
        reason: Why, in a word that is counted.
        detail: Why, in full.
    """

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedBatch:
    """What became of a batch.

    Attributes:
        rows: Of the schema CLEANED.
        skips: The rows that were left out, in order.
    """

    rows: pa.RecordBatch
    skips: tuple[Skip, ...]


def cleaned(
    clips: pa.RecordBatch, language: str, options: AudioOptions, *, most_bytes: int = MOST_BYTES
) -> CleanedBatch:
    """Return clips with their sound cleaned, and which were left out, and why.

    Args:
        clips: Of the schema CLIPS.
        language: Rows of other languages are left out; empty keeps all.
        options: How sound is cleaned.
        most_bytes: Bytes of all cleaned sound at most.

    Raises:
        SourceError: There is more of it.
    """
    skips = _unwanted(clips, language)
    wanted = [index for index in range(clips.num_rows) if index not in skips]
    results = _results(clips["audio"], wanted, options, most_bytes)
    kept, contents, seconds = [], [], []
    for index, result in zip(wanted, results, strict=True):
        if isinstance(result, Refusal):
            skips[index] = Skip(index=index, reason=result.reason, detail=result.detail)
        else:
            kept.append(index)
            contents.append(result.content)
            seconds.append(result.seconds)
    rest = clips.select(["transcript", "speaker", "language"]).take(pa.array(kept, pa.int32()))
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array(kept, pa.int32()),
            pa.array(contents, pa.binary()),
            pa.array(seconds, pa.float64()),
            *rest.columns,
        ],
        schema=CLEANED,
    )
    return CleanedBatch(rows=rows, skips=tuple(skips[index] for index in sorted(skips)))


def _results(
    audio: pa.Array, wanted: Sequence[int], options: AudioOptions, most_bytes: int
) -> Iterator[Cleaned | Refusal]:
    """Give what became of each sound that is wanted; end before there is more than may be."""
    size = 0
    for index in wanted:
        [result] = clean_batch([audio[index].as_py()], options)
        if not isinstance(result, Refusal):
            size += len(result.content)
        if size > most_bytes:
            raise SourceError(
                f"the sound of one batch is over {most_bytes:,} bytes once it is cleaned; give a "
                "smaller --streaming-batch-size"
            )
        yield result


def _unwanted(clips: pa.RecordBatch, language: str) -> dict[int, Skip]:
    """Return the rows that are left out for another reason than their sound."""
    told = enumerate(clips["left_out"].to_pylist())
    skips = {at: Skip(index=at, reason=why, detail="") for at, why in told if why is not None}
    if language:
        for index, other in enumerate(clips["language"].to_pylist()):
            if other is not None and other != language and index not in skips:
                skips[index] = Skip(index=index, reason="other_language", detail=str(other))
    lengths = pc.utf8_length(clips["transcript"]).to_pylist()
    for index, length in enumerate(lengths):
        if length is not None and length > LONGEST_TRANSCRIPT and index not in skips:
            detail = f"{length} characters, {LONGEST_TRANSCRIPT} at most"
            skips[index] = Skip(index=index, reason="transcript_too_long", detail=detail)
    return skips
