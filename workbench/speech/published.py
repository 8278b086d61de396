"""Gathered datasets as anyone reads them, by the `datasets` library, and beside their sources."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import SpeechError
from workbench.speech.audio import Refusal, decode, level_db
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.speech.sources import open_speech_source
from workbench.speech.state import STATE_NAME, GatherState, log_name, read_state
from workbench.streaming.hub import PREFIX, HubSink, repository
from workbench.streaming.options import RetryOptions
from workbench.streaming.sink import FolderSink, Sink
from workbench.streaming.source import BEGINNING
from workbench.streaming.transfer import Transfer

_Key = tuple[str, int]  # the file and the row of a source that a clip was made of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One clip of a dataset.

    Attributes:
        id: Its id.
        transcript: What is said.
        confidence: How sure that is, 0 to 1.
        samples: Shape (n,), float32.
        sample_rate: Hz.
    """

    id: str
    transcript: str
    confidence: float
    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.sample_rate

    @property
    def level_db(self) -> float:
        """Its level, dBFS RMS."""
        return level_db(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Published clips beside the recordings that they were made of, in the order of their ids.

    Attributes:
        seconds_before: Length of each recording, shape (clips,), float64.
        seconds_after: Of each clip.
        level_before_db: Level of each recording, dBFS RMS, shape (clips,), float64.
        level_after_db: Of each clip.
        examples: The first recordings, each with its clip.
    """

    seconds_before: NDArray[np.float64]
    seconds_after: NDArray[np.float64]
    level_before_db: NDArray[np.float64]
    level_after_db: NDArray[np.float64]
    examples: tuple[tuple[Clip, Clip], ...]


def published(place: str) -> Any:
    """Open a published dataset as `load_dataset(…, streaming=True)` does, its sound as bytes.

    Args:
        place: `hf://user/name`, or a folder.

    Returns:
        A `datasets.IterableDataset`.
    """
    # datasets takes 2 s to import and is needed here alone
    from datasets import Audio, load_dataset  # noqa: PLC0415

    name = repository(place)[0] if place.startswith(PREFIX) else place
    dataset = load_dataset(name, split="train", streaming=True)
    return dataset.cast_column("audio", Audio(decode=False))


def published_rows(place: str) -> Iterator[dict[str, Any]]:
    """Give the rows of a published dataset, sound as bytes, fetched as they are used.

    Args:
        place: `hf://user/name`, or a folder.
    """
    yield from published(place)


def published_clips(place: str, count: int | None = None) -> list[Clip]:
    """Return the first clips of a published dataset.

    Args:
        place: `hf://user/name`, or a folder.
        count: How many at most; all when None.

    Raises:
        SpeechError: One cannot be decoded.
    """
    return [_published_clip(row) for row in islice(published_rows(place), count)]


def published_skips(sink: Sink, state: GatherState) -> Iterator[dict[str, Any]]:
    """Give what is told of every row that was left out: source, file, row, reason and detail.

    Args:
        sink: Where the dataset is.
        state: What it holds.

    Raises:
        SpeechError: A list is not there.
        SinkError: One cannot be read.
    """
    for number in range(state.logs):
        content = sink.read(log_name(number))
        if content is None:
            raise SpeechError(
                f"{sink.name}: {log_name(number)} is not there, which the state lists; gather anew "
                "with --fresh"
            )
        yield from map(json.loads, content.splitlines())


def compared(
    place: str,
    said: str,
    work: Path,
    options: GatherOptions,
    *,
    count: int = 200,
    examples: int = 3,
) -> Comparison:
    """Measure published clips, and once more in their source the recordings they were made of.

    Clips are found in the source by the file and row that their rows name; it is read from its
    beginning to the last of them, which of a source far away brings its first file or two again.
    The source is opened at the revision that was gathered, whatever has come since.

    Args:
        place: The dataset: `hf://user/name`, or a folder.
        said: The source, as it was gathered.
        work: Folder for files on their way.
        options: How it was gathered.
        count: How many clips at most, the first of that source.
        examples: How many of them are kept with their samples.

    Raises:
        SpeechError: A clip cannot be decoded, or its recording is not in the source any more.
        SourceError: The source cannot be read.
        SinkError: The state of the dataset cannot be read.
    """
    own = work / "compared"
    try:
        revision = _revision(place, said, options.retries)
        source = open_speech_source(said, own, options, revision)
        rows = (row for row in published_rows(place) if row["dataset_name"] == source.name)
        after = {_key(row): _published_clip(row) for row in islice(rows, count)}
        with Transfer(own / "fetched", options.retries, source.list.headers) as transfer:
            before = _originals(source, transfer, after, options.streaming_batch_size)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    pairs = [(before[key], clip) for key, clip in after.items()]
    columns = ([c.seconds, d.seconds, c.level_db, d.level_db] for c, d in pairs)
    measured = np.array(list(columns), np.float64).reshape(-1, 4)
    return Comparison(
        seconds_before=measured[:, 0],
        seconds_after=measured[:, 1],
        level_before_db=measured[:, 2],
        level_after_db=measured[:, 3],
        examples=tuple(pairs[:examples]),
    )


def _revision(place: str, said: str, retries: RetryOptions) -> str | None:
    """Return what a source was pinned to when it was gathered, or None where nothing says so."""
    sink: Sink = FolderSink(Path(place), STATE_NAME)
    if place.startswith(PREFIX):
        sink = HubSink(place, STATE_NAME, options=retries)
    content = sink.open()
    sources = () if content is None else read_state(content, sink.name).sources
    return next((source.revision for source in sources if source.said == said), "") or None


def _originals(
    source: SpeechSource, transfer: Transfer, clips: Mapping[_Key, Clip], batch_rows: int
) -> dict[_Key, Clip]:
    """Return the recordings of some clips; reading ends with the last of them."""
    found: dict[_Key, Clip] = {}
    if not clips:
        return found
    for rows in source.read(transfer, BEGINNING, None, batch_rows, lambda file, path: None):
        file = source.list.files[rows.position.file].name
        sounds = source.clips_of(rows.batch)["audio"]
        for index in range(rows.batch.num_rows):
            key = (file, rows.position.row + index)
            if key in clips:
                found[key] = _original(clips[key], sounds[index].as_py())
        if len(found) == len(clips):
            return found
    missing = next(key for key in clips if key not in found)
    raise SpeechError(
        f"{source.said}: has no row {missing[1]} of {missing[0]} any more, which "
        f"{clips[missing].id} was made of; compare with the source as it was gathered"
    )


def _original(clip: Clip, content: bytes | None) -> Clip:
    samples, sample_rate = _decoded(content or b"", f"the recording of {clip.id}")
    return Clip(
        id=clip.id,
        transcript=clip.transcript,
        confidence=clip.confidence,
        samples=samples,
        sample_rate=sample_rate,
    )


def _key(row: Mapping[str, Any]) -> _Key:
    return row["source_ref"]["file"], row["source_ref"]["row"]


def _published_clip(row: Mapping[str, Any]) -> Clip:
    samples, sample_rate = _decoded(row["audio"]["bytes"], row["ID"])
    return Clip(
        id=row["ID"],
        transcript=row["transcript"],
        confidence=row["confidence_score"],
        samples=samples,
        sample_rate=sample_rate,
    )


def _decoded(content: bytes, what: str) -> tuple[NDArray[np.float32], int]:
    found = decode(content)
    if isinstance(found, Refusal):
        raise SpeechError(f"{what}: cannot be decoded ({found.detail}); gather it again")
    return found
