"""How the columns of a source become clips: by names a person gives, or by the usual ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from workbench.errors import SourceError
from workbench.options import did_you_mean
from workbench.speech.source import CLIPS

# The usual names of each field, the most telling first.
USUAL = {
    "audio": ("audio",),
    "transcript": ("transcript", "transcription", "sentence", "text"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "language": ("language", "locale", "lang", "Language"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Makes clips of batches whose sound stands in a column.

    Attributes:
        place: What errors call the source.
        named: Field: column, where a person said so.
    """

    place: str
    named: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the schema CLIPS.

        Raises:
            SourceError: A column is not there, or there is no sound.
        """
        column = {name: self._column(batch, name) for name in USUAL}
        audio = column["audio"]
        if audio is None:
            raise SourceError(
                f"{self.place}: no column is named audio; it has {', '.join(batch.schema.names)}; "
                "name one with ?audio=COLUMN"
            )
        if pa.types.is_struct(audio.type):
            audio = pa.array(
                [sound and sound.get("bytes") for sound in audio.to_pylist()], pa.binary()
            )
        return clips(batch.num_rows, **{**column, "audio": audio})

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array | None:
        names = batch.schema.names
        if told := self.named.get(name):
            if told not in names:
                near = did_you_mean(told, names)
                raise SourceError(
                    f"{self.place}: has no column {told!r}{near}; it has {', '.join(names)}"
                )
            return batch[told]
        found = next((usual for usual in USUAL[name] if usual in names), None)
        return None if found is None else batch[found]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderClips:
    """Makes clips of the lines of a table that names files; those are read as they are used.

    A file that is missing, or lies outside the folder, is a clip without sound.

    Attributes:
        folder: Where the files are.
        columns: Field: column of the table; `audio` is the one with the names of files.
    """

    folder: Path
    columns: Mapping[str, str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the schema CLIPS.

        Raises:
            SourceError: The table has no such column.
        """
        names = batch.schema.names
        if self.columns["audio"] not in names:
            raise SourceError(
                f"{self.folder.parent}: its table has no column {self.columns['audio']!r}; it "
                f"has {', '.join(names)}"
            )
        found = {name: batch[told] for name, told in self.columns.items() if told in names}
        sounds = [self._content(name) for name in found["audio"].to_pylist()]
        return clips(batch.num_rows, **{**found, "audio": pa.array(sounds, pa.binary())})

    def _content(self, name: str | None) -> bytes | None:
        if not name:
            return None
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            return None
        try:
            return path.read_bytes()
        except (OSError, ValueError):
            return None


def clips(count: int, **columns: pa.Array | None) -> pa.RecordBatch:
    """Return a batch of the schema CLIPS; fields that are not given are null.

    Args:
        count: Rows of the batch.
        columns: Field: its values.
    """
    arrays = []
    for name, kind in zip(CLIPS.names, CLIPS.types, strict=True):
        column = columns.get(name)
        arrays.append(pa.nulls(count, kind) if column is None else column.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, schema=CLIPS)
