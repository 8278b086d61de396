"""What a source of speech is: a pinned list of files, and how its records become clips."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.streaming.iterable import ResumableDataset, read_iterable
from workbench.streaming.reader import RowFormat, Rows, read
from workbench.streaming.source import Position, Source, SourceFile
from workbench.streaming.transfer import Transfer

# What every adapter makes of its records; all may be null. `left_out` says, in a word that is
# counted, why a row is left out whatever its sound is.
CLIPS = pa.schema(
    [
        ("audio", pa.binary()),
        ("transcript", pa.string()),
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("left_out", pa.string()),
    ]
)


# Makes a batch of the schema CLIPS of a batch that was read, row by row.
ClipsOf = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSource:
    """A source of speech.

    Attributes:
        said: What a person named it by; the state knows it by that.
        name: Its name in the rows, as `dataset_name`.
        list: Its files.
        rows_of: How one of its files is read.
        clips_of: Makes clips of its records.
        prepared: Returns `clips_of` as it may be sent to other processes, once all that it needs is
            on disk; None where it may go as it is.
        dataset: What is read in place of the files: a `datasets.IterableDataset`, or None.
    """

    said: str
    name: str
    list: Source
    rows_of: RowFormat
    clips_of: ClipsOf
    prepared: Callable[[], ClipsOf] | None = None
    dataset: ResumableDataset | None = None

    def read(
        self,
        transfer: Transfer,
        start: Position,
        token: Any,
        batch_rows: int,
        fetched: Callable[[SourceFile, Path], None],
    ) -> Iterator[Rows]:
        """Return its records from a position on, as `workbench.streaming.reader.read` does."""
        if self.dataset is not None:
            return read_iterable(self.dataset, start=start, token=token, batch_rows=batch_rows)
        return read(
            self.list, transfer, self.rows_of, start=start, batch_rows=batch_rows, fetched=fetched
        )
