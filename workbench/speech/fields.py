"""How the columns of a source become clips: by names a person gives, or by the usual ones."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import SourceError
from workbench.options import did_you_mean
from workbench.speech.source import CLIPS
from workbench.speech.transcripts import Lookup, Transcripts

# The usual names of each field, the most telling first.
USUAL = {
    "audio": ("audio",),
    "transcript": ("sentence", "text", "transcript", "transcription"),
    "speaker": ("client_id", "speaker_id", "speaker"),
    "language": ("locale", "language", "lang"),
}
# Of a table, whose audio is the name of a file. Source: github.com/common-voice/cv-dataset.
USUAL_OF_TABLES = {**USUAL, "audio": ("path", "file_name", "filename", "file", "audio")}

NO_FILE = "no_file"  # reasons why rows are left out
NOT_LISTED = "not_listed"

_ENDINGS = (".wav", ".mp3", ".flac", ".ogg", ".opus")
_MOST_BYTES = (1 << 31) - 1  # of all values of one Arrow array


def column_names(
    columns: Mapping[str, pa.DataType],
    named: Mapping[str, str],
    usual: Mapping[str, tuple[str, ...]],
    place: str,
) -> dict[str, str]:
    """Return which column each field is in; a field without one is left out.

    Args:
        columns: Name of each column there is, and its kind.
        named: Field: column, where a person said so; empty where there is none.
        usual: Field: usual names, also in other cases.
        place: What errors call the source.

    Raises:
        SourceError: A column that was named is not there, none is sound, or one is of a kind that
            cannot be.
    """
    lower = {name.lower(): name for name in columns}
    found = {}
    for told, names in usual.items():
        if told in named:
            if named[told] and named[told] not in columns:
                near = did_you_mean(named[told], columns)
                raise SourceError(
                    f"{place}: has no column {named[told]!r}{near}; it has {', '.join(columns)}"
                )
            column = named[told]
        else:
            column = next((lower[name] for name in names if name in lower), "")
        if column:
            found[told] = column
    if "audio" not in found:
        raise SourceError(
            f"{place}: no column is named {' or '.join(usual['audio'])}; it has "
            f"{', '.join(columns)}; name one with ?audio=COLUMN"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Makes clips of batches whose sound stands in a column.

    Attributes:
        place: What errors call the source.
        named: Field: column, where a person said so; empty where there is none.
    """

    place: str
    named: Mapping[str, str] = field(default_factory=dict)

    def read(self, schema: pa.Schema) -> tuple[str, ...]:
        """Return which columns must be read, as Parquet names them.

        Raises:
            SourceError: A column is not there, or of a kind that cannot be.
        """
        found = self._found(schema)
        is_struct = pa.types.is_struct(schema.field(found["audio"]).type)
        audio = found["audio"] + ".bytes" if is_struct else found["audio"]
        return tuple(dict.fromkeys([audio, *list(found.values())[1:]]))

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the schema CLIPS.

        Raises:
            SourceError: A column is not there, or of a kind that cannot be.
        """
        found = {name: batch[column] for name, column in self._found(batch.schema).items()}
        if pa.types.is_struct(found["audio"].type):
            found["audio"] = pc.struct_field(found["audio"], "bytes")
        return clips(batch.num_rows, self.place, **found)

    def _found(self, schema: pa.Schema) -> dict[str, str]:
        kinds = dict(zip(schema.names, schema.types, strict=True))
        found = column_names(kinds, self.named, USUAL, self.place)
        for name, column in list(found.items()):
            if not (_is_sound if name == "audio" else _is_text)(kinds[column], name):
                if name != "audio" and name not in self.named:
                    del found[name]  # a usual name for something else, as a class's number
                    continue
                want = "bytes, or a struct with bytes" if name == "audio" else "text"
                raise SourceError(
                    f"{self.place}: column {column!r} holds {kinds[column]}, want {want}; name "
                    f"another with ?{name}=COLUMN; it has {', '.join(kinds)}"
                )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderClips:
    """Makes clips of the lines of a table that names files; those are read as they are used.

    A line whose file is missing, or lies outside the folder, is left out.

    Attributes:
        place: What errors call the source.
        folder: Where the files are.
        columns: Field: column of the table; `audio` is the one with the names of files.
    """

    place: str
    folder: Path
    columns: Mapping[str, str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the schema CLIPS.

        Raises:
            SourceError: Its sound is too much for one batch.
        """
        found = {name: batch[column] for name, column in self.columns.items()}
        paths = [self._path(name) for name in found["audio"].to_pylist()]
        sounds, size = [], 0
        for path in paths:
            sounds.append(_content(path))
            size += len(sounds[-1] or b"")
            if size > _MOST_BYTES:
                raise _too_much(self.place)
        found["audio"] = pa.array(sounds, pa.binary())
        found["left_out"] = _reasons(found["audio"].is_null(), NO_FILE)
        return clips(batch.num_rows, self.place, **found)

    def _path(self, name: str | None) -> Path | None:
        """Return the file of a name, by another ending where there is only that."""
        inner = PurePath(os.path.normpath(name or "."))
        if inner.is_absolute() or inner.parts[:1] in ((), ("..",)) or "\0" in str(inner):
            return None
        path = self.folder / inner
        has_ending = path.suffix.lower() in ("", *_ENDINGS)
        others = [path.with_suffix(ending) for ending in _ENDINGS] if has_ending else []
        return next((p for p in (path, *others) if _is_file(p)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClips:
    """Makes clips of the members of archives, joined with their lists by the names of files.

    A member that no list has is left out.

    Attributes:
        place: What errors call the source.
        transcripts: What the lists say; a `Lookup` may be sent to other processes.
        language: Of all clips, where lists do not tell; empty where nobody does.
    """

    place: str
    transcripts: Transcripts | Lookup
    language: str = ""

    def prepared(self) -> "ListedClips":
        """Return it with the lists on disk, so that it may be sent to other processes.

        Raises:
            SourceError: The lists cannot be fetched or read.
            StreamingError: There is no room for them.
        """
        if isinstance(self.transcripts, Lookup):
            return self
        return replace(self, transcripts=self.transcripts.here())

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the schema CLIPS, of one of the schema MEMBERS.

        Raises:
            SourceError: The lists cannot be fetched or read.
            StreamingError: There is no room for them.
        """
        keys = [PurePosixPath(name).stem for name in batch["name"].to_pylist()]
        found = self.transcripts.find(keys)
        is_listed = pa.array([key in found for key in keys], pa.bool_())
        told = {
            name: pa.array([found.get(key, {}).get(name) for key in keys], pa.string())
            for name in ("transcript", "speaker", "language")
        }
        if self.language:
            told["language"] = pc.fill_null(told["language"], self.language)
        audio = pc.if_else(is_listed, batch["content"], pa.scalar(None, pa.binary()))
        left_out = _reasons(pc.invert(is_listed), NOT_LISTED)
        return clips(batch.num_rows, self.place, audio=audio, left_out=left_out, **told)


def clips(count: int, place: str, **columns: pa.Array) -> pa.RecordBatch:
    """Return a batch of the schema CLIPS; fields that are not given are null.

    Args:
        count: Rows of the batch.
        place: What errors call the source.
        columns: Field: its values.

    Raises:
        SourceError: They are too much for one batch.
    """
    try:
        arrays = [
            columns[name].cast(kind) if name in columns else pa.nulls(count, kind)
            for name, kind in zip(CLIPS.names, CLIPS.types, strict=True)
        ]
    except pa.ArrowInvalid as error:
        raise _too_much(place) from error
    return pa.RecordBatch.from_arrays(arrays, schema=CLIPS)


def _is_sound(kind: pa.DataType, name: str) -> bool:
    if pa.types.is_struct(kind):
        return any(part.name == "bytes" and _is_sound(part.type, name) for part in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType, name: str) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type, name)
    is_number = pa.types.is_integer(kind) and name == "speaker"  # numbers tell people apart too
    return bool(is_number or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the disk knows, or a folder that is locked
        return False


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError:
        return None


def _reasons(is_left_out: pa.Array, reason: str) -> pa.Array:
    return pc.if_else(is_left_out, reason, pa.scalar(None, pa.string()))


def _too_much(place: str) -> SourceError:
    return SourceError(
        f"{place}: the sound of one batch is over 2 GiB; give a smaller --streaming-batch-size"
    )
