"""Batches of clips with their sound cleaned, and why some were left out.

Batches are cleaned by any workers. One that its worker dies of is cleaned row by row, so that only
the row at fault is left out.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import SourceError
from workbench.speech.audio import AudioOptions, Cleaned, Refusal, clean_batch
from workbench.speech.source import ClipsOf
from workbench.streaming.workers import KILLED_WORKER, Engine, cheapest, executor, map_ordered

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A batch that was read, on its way to a worker.

    Attributes:
        name: What errors call it.
        batch: The records.
    """

    name: str
    batch: pa.RecordBatch

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the records alone: a part of a batch would take the whole with it."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.batch.schema) as stream:
            stream.write_batch(self.batch)
        return _arrived, (self.name, sink.getvalue().to_pybytes())

    def singles(self) -> Iterator["Records"]:
        """Give each record by itself."""
        for row in range(self.batch.num_rows):
            yield Records(name=f"row {row} of {self.name}", batch=self.batch.slice(row, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What is done to the records of a source; it may be sent to other processes.

    Attributes:
        clips_of: Makes clips of records.
        language: Rows of other languages are left out; empty keeps all.
        audio: How sound is cleaned.
    """

    clips_of: ClipsOf
    language: str
    audio: AudioOptions

    def __call__(self, records: Records) -> CleanedBatch:
        """Return what became of records, as `cleaned` does."""
        return cleaned(self.clips_of(records.batch), self.language, self.audio)


def clean_all(
    batches: Iterable[Records], cleaning: Cleaning, *, engine: Engine, workers: int
) -> Generator[CleanedBatch, None, None]:
    """Give what became of batches, in order; a row that its worker dies of is left out.

    Args:
        batches: Any number; at most twice as many as there are workers are taken ahead.
        cleaning: What is done to them.
        engine: What cleans them; one process is this one.
        workers: How many, at least 1.

    Raises:
        SourceError: The clips of a batch cannot be had, or are too much.
        StreamingError: The workers cannot be had.
    """
    if cheapest(engine, workers) == "threads":  # none dies alone
        yield from map_ordered(cleaning, batches, engine="threads", workers=workers)
        return
    with executor(engine, workers) as pool:
        yield from _cleaned_by(pool, workers, cleaning, batches)


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


def joined(parts: Sequence[CleanedBatch], *, most_bytes: int = MOST_BYTES) -> CleanedBatch:
    """Return what became of a batch, of what became of each of its rows.

    Args:
        parts: Of each row by itself, in order; at least one.
        most_bytes: Bytes of all cleaned sound at most.

    Raises:
        SourceError: There is more of it.
    """
    sizes = [pc.sum(pc.binary_length(part.rows["audio"])).as_py() or 0 for part in parts]
    if sum(sizes) > most_bytes:
        raise _too_much(most_bytes)
    columns = [pa.concat_arrays([part.rows[name] for part in parts]) for name in CLEANED.names]
    kept = [row for row, part in enumerate(parts) if part.rows.num_rows]
    columns[0] = pa.array(kept, pa.int32())
    return CleanedBatch(
        rows=pa.RecordBatch.from_arrays(columns, schema=CLEANED),
        skips=tuple(replace(s, index=row) for row, part in enumerate(parts) for s in part.skips),
    )


def _cleaned_by(
    pool: Executor, workers: int, cleaning: Cleaning, batches: Iterable[Records]
) -> Iterator[CleanedBatch]:
    lost = partial(_cleaned_singly, pool, workers, cleaning)
    return map_ordered(cleaning, batches, engine=pool, workers=workers, lost=lost)


def _cleaned_singly(
    pool: Executor, workers: int, cleaning: Cleaning, records: Records
) -> CleanedBatch:
    """Return what became of records that their worker died of; the one at fault is left out."""
    if records.batch.num_rows > 1:
        return joined(list(_cleaned_by(pool, workers, cleaning, records.singles())))
    detail = "its worker died in every attempt (killed, or out of memory)"
    skip = Skip(index=0, reason=KILLED_WORKER, detail=detail)
    return CleanedBatch(rows=pa.RecordBatch.from_pylist([], CLEANED), skips=(skip,))


def _arrived(name: str, content: bytes) -> Records:
    with pa.ipc.open_stream(content) as stream:
        return Records(name=name, batch=stream.read_next_batch())


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
            raise _too_much(most_bytes)
        yield result


def _too_much(most_bytes: int) -> SourceError:
    return SourceError(
        f"the sound of one batch is over {most_bytes:,} bytes once it is cleaned; give a "
        "smaller --streaming-batch-size"
    )


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
