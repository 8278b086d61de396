"""Folders of speech on this machine: tables that name files, and those files beside them.

The layout is that of Common Voice as it is downloaded: `validated.tsv`, `train.tsv` and others
with the columns path, sentence, client_id and locale, and `clips`.
Source: datasets/scripted-speech/README.md of github.com/common-voice/cv-dataset.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.errors import SourceError
from workbench.options import did_you_mean
from workbench.speech.asked import FIELDS, Asked
from workbench.speech.fields import USUAL_OF_TABLES, FolderClips, column_names
from workbench.speech.source import SpeechSource
from workbench.streaming.listing import folder_source
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.table import TableRows

CLIPS_FOLDER = "clips"

_TABLES = (".tsv", ".csv")


def clips_folder(asked: Asked, folder: Path) -> Path:
    """Return where the clips are that tables of a folder name."""
    return Path(asked.told.get("clips") or folder / CLIPS_FOLDER)


def holds_tables(asked: Asked, folder: Path) -> bool:
    """Return whether a folder has tables, and clips beside them or where it was told."""
    is_one = folder.is_dir() and clips_folder(asked, folder).is_dir()
    return is_one and bool(_tables(folder))


def open_folder(asked: Asked, folder: Path) -> SpeechSource:
    """Return the clips of a folder, those that some of its tables list.

    Args:
        asked: What was asked for; `tsv` names the tables, else `validated` is read.
        folder: It holds tables and clips.

    Raises:
        SourceError: It has no such table, or the table no such column.
        OptionsError: Something is told that tells nothing.
    """
    there = {table.stem: table for table in _tables(folder)}
    wanted = asked.parts("validated")
    for name in wanted:
        if name not in there:
            raise SourceError(
                f"{folder}: has no table {name}{did_you_mean(name, there)}; choose of "
                f"{', '.join(there)} with ?tsv=NAME"
            )
    tables = [there[name] for name in wanted]
    return open_tables(asked, folder, tables, clips_folder(asked, folder))


def open_tables(asked: Asked, folder: Path, tables: Sequence[Path], clips: Path) -> SpeechSource:
    """Return the clips that tables list, in their order.

    Args:
        asked: What was asked for.
        folder: What the names of tables begin at.
        tables: The tables, with a line of column names.
        clips: What the names of clips begin at.

    Raises:
        SourceError: A table cannot be read, or has no such column.
        OptionsError: Something is told that tells nothing.
    """
    asked.refuse_others((*FIELDS, "tsv", "clips"))
    rows_of = TableRows()
    columns = [
        column_names(dict.fromkeys(rows_of.columns(t)), asked.columns, USUAL_OF_TABLES, str(t))
        for t in tables
    ]
    if any(found != columns[0] for found in columns):
        raise SourceError(
            f"{folder}: {tables[0].name} and others of its tables have other columns; give them "
            "one by one with ?tsv=NAME"
        )
    return SpeechSource(
        said=asked.said,
        name=asked.name,
        list=Source(name=asked.said, files=tuple(_file(table, folder) for table in tables)),
        rows_of=rows_of,
        clips_of=FolderClips(place=asked.said, folder=clips.absolute(), columns=columns[0]),
    )


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES)


def _file(table: Path, folder: Path) -> SourceFile:
    found = folder_source(table).files[0]
    return replace(found, name=table.relative_to(folder).as_posix(), rows=TableRows().count(table))
