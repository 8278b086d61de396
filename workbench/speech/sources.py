"""The sources of speech, by the names that people give them.

`demo`; `hf://user/name[@revision][/folder]`, a folder, a web list or any fsspec URL of Parquet; a
folder in Common Voice's layout. Behind the name, `?audio=COLUMN&transcript=COLUMN&…&name=NAME`
says which columns are meant and what the rows call the source.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus
from workbench.errors import OptionsError
from workbench.options import did_you_mean
from workbench.speech.fields import USUAL, Columns, FolderClips
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.streaming import listing
from workbench.streaming.hub import PREFIX, repository
from workbench.streaming.reader import ParquetRows
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.table import TableRows
from workbench.streaming.transfer import is_local

# Sources that have names of their own, and where they are.
NAMED: Mapping[str, str] = {
    "ProcessedVoiceTH": "hf://Porameht/processed-voice-th-169k",
}
DEMO = "demo"

# Source: the corpus releases of Common Voice, validated.tsv.
_COMMON_VOICE = {
    "audio": "path",
    "transcript": "sentence",
    "speaker": "client_id",
    "language": "locale",
}


def open_speech_source(
    said: str, work: Path, options: GatherOptions, revision: str | None = None
) -> SpeechSource:
    """Return the source that a name stands for, its list pinned.

    Args:
        said: The name; see the top of the module.
        work: Folder for what the source needs on disk.
        options: How it is gathered.
        revision: What to pin to, in place of the newest.

    Raises:
        OptionsError: The name is none.
        SourceError: It cannot be reached, or holds nothing.
        AccessError: It wants another token.
    """
    place, _, query = said.partition("?")
    told = _told(said, query)
    if place == DEMO:
        return _demo(said, work)
    name = told.pop("name", "") or (place if place in NAMED else _name(place))
    place = NAMED.get(place, place)
    if is_local(place):
        _refuse_nothing(place)
        if table := _table(Path(place), told.pop("tsv", "validated")):
            return _common_voice(said, name, table)
    told.pop("tsv", None)
    files = listing.open_source(place, revision=revision, options=options.retries)
    columns = Columns(place=place, named=told)
    return SpeechSource(said=said, name=name, list=files, rows_of=ParquetRows(), clips_of=columns)


def iterable_speech_source(
    dataset: Any, name: str, columns: Mapping[str, str] | None = None
) -> SpeechSource:
    """Return a `datasets.IterableDataset` as a source.

    Args:
        dataset: The dataset; its column of sound with `decode=False`.
        name: What the rows and the state call it.
        columns: Field: column, where they have not the usual names.
    """
    features = str(getattr(dataset, "features", None))
    rows = SourceFile(name="rows", url="rows", size=UNKNOWN, digest=f"features:{features}")
    return SpeechSource(
        said=name,
        name=name,
        list=Source(name=name, files=(rows,)),
        rows_of=ParquetRows(),
        clips_of=Columns(place=name, named=dict(columns or {})),
        dataset=dataset,
    )


def _told(said: str, query: str) -> dict[str, str]:
    told = dict(parse_qsl(query, keep_blank_values=True))
    known = [*USUAL, "name", "tsv"]
    for key, value in told.items():
        if key not in known or not value:
            near = did_you_mean(key, known)
            raise OptionsError(
                f"{said}: {key!r} is none of {', '.join(known)}{near}"
                if key not in known
                else f"{said}: {key} is empty; name a column"
            )
    return told


def _demo(said: str, work: Path) -> SpeechSource:
    """Return the corpus that the program makes itself, known by names within it alone."""
    corpus = make_speech_corpus(work / DEMO, SpeechCorpusOptions())
    files = replace(listing.folder_source(corpus.folder), name=DEMO)
    columns = Columns(place=DEMO)
    return SpeechSource(said=said, name=DEMO, list=files, rows_of=ParquetRows(), clips_of=columns)


def _table(folder: Path, tsv: str) -> Path | None:
    """Return the table of a folder in Common Voice's layout, or None where it is none."""
    path = folder / f"{tsv}.tsv"
    return path if path.is_file() and (folder / "clips").is_dir() else None


def _common_voice(said: str, name: str, table: Path) -> SpeechSource:
    return SpeechSource(
        said=said,
        name=name,
        list=listing.folder_source(table),
        rows_of=TableRows(),
        clips_of=FolderClips(folder=table.parent / "clips", columns=_COMMON_VOICE),
    )


def _name(place: str) -> str:
    if place.startswith(PREFIX):
        return repository(place)[0].partition("/")[2]
    return Path(place.rstrip("/")).name


def _refuse_nothing(place: str) -> None:
    if not Path(place).exists():
        near = did_you_mean(place, [DEMO, *NAMED])
        raise OptionsError(
            f"{place}: is no folder or file here, and none of {', '.join([DEMO, *NAMED])}{near}"
        )
