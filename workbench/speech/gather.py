"""Gathers speech from several sources into one dataset of shards, every row exactly once.

Read, clean, transcribe, number, write: batches flow through in the order of the sources, while
the next file arrives and the last shard leaves. A shard and the position behind its last row are
committed in one act, so that an interruption at any moment costs work and never a row; a run that
was interrupted ends in the same bytes as one that was not.
"""

import logging
import shutil
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workbench.caching.alone import claimed
from workbench.errors import SinkError, SpeechError, StreamingError, WorkbenchError
from workbench.progress import Show, silent
from workbench.speech.audio import Refusal, decode
from workbench.speech.card import CARD_NAME
from workbench.speech.cleaning import CleanedBatch, Cleaning, Records, clean_all
from workbench.speech.dataset import Chunk, Dataset
from workbench.speech.options import GatherOptions
from workbench.speech.outlook import Outlook
from workbench.speech.plan import Plan, planned
from workbench.speech.rows import Origin, numbered
from workbench.speech.source import SpeechSource
from workbench.speech.state import OURS, GatherState
from workbench.speech.stt import NO_TRANSCRIPT, STT_ERROR, Engine, load_engines, transcribed
from workbench.streaming.ahead import Behind
from workbench.streaming.reader import Rows
from workbench.streaming.sink import Sink
from workbench.streaming.transfer import Transfer

logger = logging.getLogger(__name__)

FETCHED = "fetched"  # folder of source files within the work folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a gather has done.

    Attributes:
        state: What the target holds now.
        failed: What a source was named by: why it could not be read to its end.
        withheld: Rows before it that did not fill a shard, and arrive when it was read, or when it
            is not asked for any more.
        rows: Rows that this run has added.
        seconds: How long it took.
    """

    state: GatherState
    failed: Mapping[str, WorkbenchError]
    withheld: int
    rows: int
    seconds: float


def gather(
    said: Sequence[str | SpeechSource],
    sink: Sink,
    work: Path,
    options: GatherOptions,
    show: Show = silent,
) -> Gathered:
    """Gather speech into one dataset, going on where an earlier run was stopped.

    Args:
        said: Names of sources, as `open_speech_source` knows them, or sources, as that and
            `iterable_speech_source` return.
        sink: The target.
        work: Folder for files on their way; what is in it is deleted at the end.
        options: How it is gathered.
        show: Told about each batch.

    Raises:
        OptionsError: The target holds something else than what was asked for.
        AccessError: A place wants another token.
        SourceError: No source can be read.
        SinkError: The target did not take a shard; or another gather is at work there.
        SpeechError: Speech-to-text, or the state that the target holds, cannot be used.
    """
    begun = time.monotonic()
    staging = sink.staging(work)
    engines = load_engines(options.stt_engines) if options.enable_stt else ()
    behind = Behind()
    with _only_one(staging, sink.name, behind), behind:
        plan = planned(said, sink.open(), sink, work, options)
        sink.create()
        dataset = Dataset(plan.state, sink, staging, options, behind)
        if plan.begins:
            dataset.begin(resets=plan.resets)
        sink.sweep([*OURS, CARD_NAME], plan.state.names() | {CARD_NAME})
        run = _Run(
            plan,
            dataset,
            fetched=work / FETCHED,
            options=options,
            engines=engines,
            show=show,
        )
        failed = {**plan.failed, **run.read_all()}
        if not failed:  # while nobody else is at work there
            for folder in (work, staging):
                shutil.rmtree(folder, ignore_errors=True)
    return Gathered(
        state=dataset.committed,
        failed=failed,
        withheld=run.withheld,
        rows=dataset.committed.rows - plan.state.rows,
        seconds=time.monotonic() - begun,
    )


class _Run:
    """Sources read one after another into a dataset.

    Attributes:
        withheld: Rows that were read and dropped again, since the source behind them failed.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        *,
        fetched: Path,
        options: GatherOptions,
        engines: Sequence[Engine],
        show: Show,
    ) -> None:
        self._plan = plan
        self._dataset = dataset
        self._fetched = fetched
        self._options = options
        self._engines = engines
        self._outlook = Outlook(plan, show)
        self.withheld = 0

    def read_all(self) -> dict[str, WorkbenchError]:
        """Read every source that is not at its end; return why some did not get there."""
        failed: dict[str, WorkbenchError] = {}
        is_tail_lost = False
        for index in self._plan.waiting:
            source = self._plan.sources[self._plan.state.sources[index].said]
            try:
                self._read(index, source)
                is_tail_lost = False
            except SinkError:
                raise
            except StreamingError as error:
                logger.error("%s: %s", source.said, error)
                failed[source.said] = error
                is_tail_lost = True
        if is_tail_lost:  # as if interrupted there, so that going on ends in the same bytes
            self.withheld = self._dataset.waiting
            self._dataset.abandon()
        else:
            self._dataset.finish()
        self._outlook.tell(self._dataset.committed, is_last=True)
        return failed

    def _read(self, index: int, source: SpeechSource) -> None:
        headers = source.list.headers
        arrived = self._outlook.arrived
        with (
            Transfer(self._fetched, self._options.retries, headers, arrived) as transfer,
            closing(self._batches(index, source, transfer)) as batches,
        ):
            while self._wanted(index) != 0 and (found := next(batches, None)) is not None:
                self._dataset.add(index, self._chunk(index, source, *found))
                self._outlook.tell(self._dataset.state)
        self._dataset.end(index, len(source.list.files))

    def _batches(
        self, index: int, source: SpeechSource, transfer: Transfer
    ) -> Generator[tuple[Rows, CleanedBatch], None, None]:
        """Give the rows of a source, and what cleaning made of them, in order."""
        state, options = self._dataset.state.sources[index], self._options
        clips_of = source.prepared() if source.prepared else source.clips_of
        cleaning = Cleaning(clips_of=clips_of, language=options.language, audio=options.audio)
        found = source.read(
            transfer,
            state.position,
            state.token,
            options.streaming_batch_size,
            self._outlook.fetched,
        )
        waiting: deque[Rows] = deque()  # of which the workers send back only what they made
        batches = _noted(found, waiting)
        results = clean_all(batches, cleaning, engine=options.engine, workers=options.workers)
        with closing(results):
            for result in results:
                yield waiting.popleft(), result

    def _chunk(self, index: int, source: SpeechSource, rows: Rows, result: CleanedBatch) -> Chunk:
        """Return what of a cleaned batch is to be added."""
        kept = result.rows
        at = np.asarray(kept["index"], np.int64)
        first = int(np.searchsorted(at, rows.start))
        passed = min(self._dataset.state.sources[index].to_pass, len(at) - first)
        first += passed
        wanted = self._wanted(index)
        last = len(at) if wanted is None else min(first + wanted, len(at))
        said, is_missing = self._said(kept.slice(0, last if last > first else 0))
        count = rows.batch.num_rows
        if wanted is not None and last == first + wanted:
            count = int(at[last - 1]) + 1  # a sample ends behind its last row
        file = source.list.files[rows.position.file].name
        name = source.name
        is_unheard = np.array([text == STT_ERROR for text, _ in said[first:last]], bool)
        is_unheard &= is_missing[first:last]
        new = numbered(
            kept.slice(first, last - first),
            said[first:last],
            Origin(dataset_name=name, file=file, row=rows.position.row),
            schema=self._dataset.schema,
            first_id=self._dataset.state.next_id,
            language=self._options.language,
            suffix=self._suffix,
        )
        return Chunk(
            position=rows.position,
            count=count,
            token=rows.token,
            file=file,
            rows=new,
            index=at[first:last],
            seconds=np.asarray(kept["seconds"])[first:last],
            is_transcribed=is_missing[first:last] & ~is_unheard,
            is_unheard=is_unheard,
            skips=[skip for skip in result.skips if rows.start <= skip.index < count],
            passed=passed,
        )

    def _said(self, kept: pa.RecordBatch) -> tuple[list[tuple[str, float]], NDArray[np.bool_]]:
        """Return transcript and confidence of each clip, and which were put to speech-to-text."""
        told = [(text or "").strip() for text in kept["transcript"].to_pylist()]
        said = [(text, 1.0) if text else (NO_TRANSCRIPT, 0.0) for text in told]
        is_missing = np.array([not text for text in told], bool)
        if not self._engines or not is_missing.any():
            return said, np.zeros(len(told), bool)
        missing = np.flatnonzero(is_missing).tolist()
        clips = [_decoded(kept["audio"][index].as_py()) for index in missing]
        answers = transcribed(self._engines, clips, batch_size=self._options.stt_batch_size)
        for index, answer in zip(missing, answers, strict=True):
            said[index] = answer
        return said, is_missing

    def _wanted(self, index: int) -> int | None:
        """Return how many rows of a source a sample still wants; None where all are wanted."""
        if not self._options.sample:
            return None
        return self._options.sample_size - self._dataset.state.sources[index].kept

    @property
    def _suffix(self) -> str:
        if not self._options.standardization:
            return ""
        return ".flac" if self._options.flac else ".wav"


def _noted(found: Iterable[Rows], waiting: deque[Rows]) -> Iterator[Records]:
    """Give rows on their way to a worker, and note each on this side."""
    for rows in found:
        waiting.append(rows)
        yield Records(name=str(rows), batch=rows.batch)


def _decoded(content: bytes) -> tuple[NDArray[np.float32], int]:
    """Return the samples of a clip that cleaning has passed, and their rate in Hz."""
    clip = decode(content)
    if isinstance(clip, Refusal):
        raise SpeechError(f"a clip that was read once cannot be read again ({clip.detail})")
    return clip


@contextmanager
def _only_one(staging: Path, place: str, behind: Behind) -> Iterator[None]:
    """Refuse to work where another gather of this machine does, or a commit of one that was left.

    Raises:
        SinkError: One does.
    """
    # released by another thread where Ctrl-C did not wait for a commit
    lock = claimed(staging / "lock", place, "gather", SinkError)
    try:
        yield
    finally:
        behind.afterwards(lock.release)
