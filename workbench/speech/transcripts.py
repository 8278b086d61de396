"""What the lists of a source say of its clips, found by the names of the clips' files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from workbench.caching.fingerprint import fingerprint
from workbench.errors import SourceError
from workbench.streaming.lookup import Values, look_up, make_lookup
from workbench.streaming.options import RetryOptions
from workbench.streaming.source import Source
from workbench.streaming.table import TableRows
from workbench.streaming.transfer import Transfer

_FORMAT = 1  # of the file that lists become
_AT_ONCE = 10_000  # lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What lists say, on disk; it may be sent to other processes.

    Attributes:
        path: A file that `make_lookup` made.
        fields: What it says of each clip, in order.
    """

    path: Path
    fields: tuple[str, ...]

    def find(self, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return what lists say, field by field, of those of some clips that they have.

        Args:
            names: Names of the clips' files, without folder and ending.

        Raises:
            StreamingError: The file cannot be read.
        """
        found = look_up(self.path, names)
        return {key: dict(zip(self.fields, row, strict=True)) for key, row in found.items()}


class Transcripts:
    """Lists that are fetched when first asked, and then kept as one file in which names are found.

    Attributes:
        lists: The tables.
    """

    def __init__(
        self,
        lists: Source,
        rows_of: TableRows,
        columns: Mapping[str, str],
        folder: Path,
        options: RetryOptions,
    ) -> None:
        """Make ready; nothing is fetched yet.

        Args:
            lists: The tables; the first that names a clip counts.
            rows_of: How they are read.
            columns: Field: column; `audio` is the one with the names of files.
            folder: Where lists are kept.
            options: How patient to be.
        """
        self.lists = lists
        self._rows_of = rows_of
        self._columns = dict(sorted(columns.items()))
        self._folder = folder
        self._options = options

    def find(self, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return what lists say, field by field, of those of some clips that they have.

        Args:
            names: Names of the clips' files, without folder and ending.

        Raises:
            AccessError: The server wants another token.
            SourceError: A list cannot be fetched or read.
            StreamingError: There is no room.
        """
        return self.here().find(names)

    def here(self) -> Lookup:
        """Return the file in which names are found, made of the lists where it is not there.

        Raises:
            AccessError: The server wants another token.
            SourceError: A list cannot be fetched or read.
            StreamingError: There is no room.
        """
        path = self._path().absolute()
        if not path.exists():
            self._make(path)
        return Lookup(path=path, fields=self._fields)

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(name for name in self._columns if name != "audio")

    def _path(self) -> Path:
        made_by = [_FORMAT, self.lists.fingerprint, self._columns]
        return self._folder / f"{fingerprint(made_by)[:16]}.sqlite"

    def _make(self, path: Path) -> None:
        with Transfer(self._folder, self._options, self.lists.headers) as transfer:
            here = [transfer.fetch(file) for file in self.lists.files]
            fields = self._fields
            make_lookup(path, self._rows(here, ["audio", *fields]), ["key", *fields])
            for file in self.lists.files:
                transfer.drop(file)

    def _rows(self, tables: Sequence[Path], fields: Sequence[str]) -> Iterator[Values]:
        for number, table in enumerate(tables):
            for _, batch in self._rows_of(table, file=number, row=0, batch_rows=_AT_ONCE):
                values = [self._values(batch, name, number) for name in fields]
                for name, *rest in zip(*values, strict=True):
                    yield (name and PurePosixPath(name).stem, *rest)

    def _values(self, batch: pa.RecordBatch, name: str, number: int) -> list[str | None]:
        column, there = self._columns[name], batch.schema.names
        if column in there:
            values: list[str | None] = batch[column].to_pylist()
            return values
        if name in ("audio", "transcript"):
            raise SourceError(
                f"{self.lists.files[number].url}: has no column {column!r}; it has "
                f"{', '.join(there)}"
            )
        return [None] * batch.num_rows
