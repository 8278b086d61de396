"""The dataset that grows: rows go in, shards come out, each with the state behind its last row."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workbench.speech.card import CARD_NAME, card
from workbench.speech.cleaning import Skip
from workbench.speech.options import GatherOptions
from workbench.speech.rows import RAW_COLUMNS, schema
from workbench.speech.state import DATA, LOGS, GatherState, SourceState, log_name, shard_name
from workbench.streaming.ahead import Behind
from workbench.streaming.sink import Content, Sink
from workbench.streaming.source import Position
from workbench.streaming.writer import ShardWriter

# A shard is closed when this many times its rows were read, however few of them were kept.
_SKIPPING = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows of one batch of one source.

    Attributes:
        position: Of index 0 of the batch.
        count: Rows of the batch, kept or not.
        token: What the source needs to begin at this batch again.
        file: Name of the file.
        rows: Those to add, of the dataset's schema.
        index: Shape (rows,), int64, of each in the batch.
        seconds: Shape (rows,), float64, of each.
        is_transcribed: Shape (rows,), bool, whether speech-to-text wrote its transcript.
        is_unheard: Shape (rows,), bool, whether speech-to-text was asked and failed.
        skips: Those that were left out, in order.
        passed: How many were left out since an older program has gathered them.
    """

    position: Position
    count: int
    token: Any
    file: str
    rows: pa.RecordBatch
    index: NDArray[np.int64]
    seconds: NDArray[np.float64]
    is_transcribed: NDArray[np.bool_]
    is_unheard: NDArray[np.bool_]
    skips: Sequence[Skip]
    passed: int


class Dataset:
    """A dataset at a sink.

    Attributes:
        state: How far it is, with the rows that wait in the open shard.
        committed: How far the sink is.
        schema: Of the rows.
    """

    def __init__(
        self,
        state: GatherState,
        sink: Sink,
        staging: Path,
        options: GatherOptions,
        behind: Behind,
    ) -> None:
        """Go on with a dataset.

        Args:
            state: How far it is.
            sink: Where it is.
            staging: Where the open shard is.
            options: How it is gathered.
            behind: Where commits are under way.
        """
        self.state = state
        self.committed = state
        self._begun = state  # of the last commit that was begun
        self.schema = schema(options.sample_rate if options.standardization else None)
        self._sink = sink
        self._staging = staging
        self._options = options
        self._behind = behind
        self._writer: ShardWriter | None = None
        self._log: list[str] = []
        self._seen_card = (sink.read(CARD_NAME) or b"").decode("utf-8", "replace")

    def begin(self, *, resets: bool) -> None:
        """Say at the sink that the dataset is ours, before its first shard is on the way.

        Args:
            resets: Whether what the sink holds is deleted, in the same act.
        """
        deletes = [DATA, LOGS] if resets else []
        self._commit(f"Begin generation {self.state.generation}", self.state, {}, deletes)
        self._behind.wait()

    def add(self, source: int, chunk: Chunk) -> None:
        """Add the rows of a batch, and move the position behind it.

        Args:
            source: Index of the source in the state.
            chunk: The batch.

        Raises:
            SinkError: A shard cannot be written, or an earlier one was not taken.
        """
        taken, upto = 0, -1
        while taken < chunk.rows.num_rows:
            count = self._open_shard().append(chunk.rows.slice(taken))
            if count:
                last = int(chunk.index[taken + count - 1])
                self._advance(source, chunk, slice(taken, taken + count), (upto, last))
                taken, upto = taken + count, last
            if taken < chunk.rows.num_rows:
                self.close_shard()
        self._advance(source, chunk, slice(taken, taken), (upto, chunk.count - 1))
        waiting = _read(self.state) - _read(self._begun)
        if waiting >= _SKIPPING * self._options.upload_batch_size:
            self.close_shard()

    def end(self, source: int, files: int) -> None:
        """Say that a source was read to its end.

        Args:
            source: Its index in the state.
            files: How many files it has.
        """
        self._replace_source(source, is_done=True, file=files, row=0, token=None)

    def close_shard(self) -> None:
        """Commit the open shard behind the work; nothing happens where nothing is new."""
        files: dict[str, bytes | Path] = {}
        state = self.state
        if self._writer is not None:
            self._writer.close()
            path, self._writer = self._writer.path, None
            files[shard_name(state.shards)] = path
            state = replace(state, shards=state.shards + 1, size=state.size + path.stat().st_size)
        if self._log:
            files[log_name(state.logs)] = "".join(self._log).encode()
            state = replace(state, logs=state.logs + 1)
            self._log = []
        self.state = state
        if state == self._begun:
            self._behind.wait()  # for the card as it is then
        if state != self._begun or self._card(state, self._seen_card) != self._seen_card:
            self._commit(f"{state.rows} rows in {state.shards} shards", state, files)

    def finish(self) -> None:
        """Commit what waits, and wait until it arrived."""
        self.close_shard()
        self._behind.wait()

    def abandon(self) -> None:
        """Drop the rows that wait in the open shard; the sink stays where it is."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        self._behind.wait()
        self.state = self.committed

    @property
    def waiting(self) -> int:
        """How many rows wait in the open shard."""
        return self.state.rows - self._begun.rows

    def _open_shard(self) -> ShardWriter:
        if self._writer is None:
            path = self._staging / Path(shard_name(self.state.shards)).name
            self._writer = ShardWriter(path, self.schema, self._options.limits, RAW_COLUMNS)
        return self._writer

    def _commit(
        self,
        message: str,
        state: GatherState,
        files: dict[str, bytes | Path],
        deletes: Sequence[str] = (),
    ) -> None:
        """Begin a commit, once the one before has ended."""
        complete: dict[str, Content] = {**files, CARD_NAME: partial(self._remade, state)}

        def commit() -> None:
            self._sink.commit(message, state=state.to_bytes(), files=complete, deletes=deletes)
            self.committed = state
            for file in files.values():
                if isinstance(file, Path):
                    file.unlink(missing_ok=True)

        self._behind.submit(commit)
        self._begun = state

    def _remade(self, state: GatherState, present: bytes | None) -> bytes:
        """Return the card of a state, with what people wrote into the present one."""
        self._seen_card = self._card(state, (present or b"").decode("utf-8", "replace"))
        return self._seen_card.encode()

    def _card(self, state: GatherState, older: str) -> str:
        rate = self._options.sample_rate if self._options.standardization else None
        return card(state, self._sink.name, rate, older)

    def _advance(self, source: int, chunk: Chunk, rows: slice, skipped: tuple[int, int]) -> None:
        """Move the position behind some rows, counting them and the skips up to there.

        Args:
            source: Index of the source.
            chunk: The batch.
            rows: Which rows are counted.
            skipped: Skips with an index above the first and up to the second are counted.
        """
        before, upto = skipped
        old = self.state.sources[source]
        skips = [skip for skip in chunk.skips if before < skip.index <= upto]
        self._log += [_line(old, chunk, skip) for skip in skips]
        count = rows.stop - rows.start
        reasons = Counter(skip.reason for skip in skips)
        self._replace_source(
            source,
            file=chunk.position.file,
            row=chunk.position.row + upto + 1,
            token=chunk.token,
            kept=old.kept + count,
            skipped=dict(sorted((Counter(old.skipped) + reasons).items())),
            microseconds=old.microseconds + int(np.rint(chunk.seconds[rows] * 1e6).sum()),
            transcribed=old.transcribed + int(chunk.is_transcribed[rows].sum()),
            unheard=old.unheard + int(chunk.is_unheard[rows].sum()),
            to_pass=old.to_pass - (chunk.passed if before < 0 else 0),
        )
        self.state = replace(
            self.state, rows=self.state.rows + count, next_id=self.state.next_id + count
        )

    def _replace_source(self, index: int, **changes: Any) -> None:
        sources = list(self.state.sources)
        sources[index] = replace(sources[index], **changes)
        self.state = replace(self.state, sources=tuple(sources))


def _read(state: GatherState) -> int:
    return sum(source.read for source in state.sources)


def _line(source: SourceState, chunk: Chunk, skip: Skip) -> str:
    told = {
        "dataset_name": source.name,
        "file": chunk.file,
        "row": chunk.position.row + skip.index,
        "reason": skip.reason,
        "detail": skip.detail,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"
