"""The sources of speech, by the names that people give them: `[NAME=]PLACE[?KEY=VALUE&…]`.

A place is `hf://user/name[@revision][/folder]`, a folder, a pattern with `*`, a web list or any
URL that fsspec knows, all of Parquet; or a folder in Common Voice's layout (`?tsv=train` chooses
another table than validated, `?clips=FOLDER` other clips). `?audio=COLUMN&transcript=COLUMN&
speaker=COLUMN&language=COLUMN` says which columns are meant, where they are not the usual ones,
and `name=NAME` what the rows call the source.

Sources with names of their own need no place: `demo`, which the program makes itself
(`demo?voice=espeak` by espeak-ng, where it is installed), and those of NAMED; `NAME=PLACE` reads a
copy of one. VISTECCommonVoiceTH, or VISTEC, always needs its folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus
from workbench.errors import OptionsError
from workbench.options import did_you_mean
from workbench.speech.asked import FIELDS, Asked, read_said
from workbench.speech.corpora import open_common_voice, open_gigaspeech2, open_vistec
from workbench.speech.fields import Columns
from workbench.speech.folders import clips_folder, holds_tables, open_folder, open_tables
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.streaming import listing
from workbench.streaming.footer import first_schema
from workbench.streaming.hub import PREFIX
from workbench.streaming.reader import ParquetRows
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.transfer import is_local

# Sources that have names of their own, and where they are.
NAMED: Mapping[str, str] = {
    "GigaSpeech2": "hf://speechcolab/gigaspeech2",
    "MozillaCommonVoice": "hf://fsicoli/common_voice_22_0",
    "ProcessedVoiceTH": "hf://Porameht/processed-voice-th-169k",
}
DEMO = "demo"
SYNTHESISER = "synthesiser"
VOICES: Mapping[str, Literal["synthesiser", "espeak"]] = {
    SYNTHESISER: "synthesiser",
    "espeak": "espeak",
}
VISTEC = "VISTECCommonVoiceTH"

_LABELS = {DEMO: DEMO, VISTEC: VISTEC, "VISTEC": VISTEC, **{name: name for name in NAMED}}


def with_all(said: Sequence[str]) -> list[str]:
    """Return what was said and every source of NAMED that is not among it, in another place or not.

    Args:
        said: Names of sources.
    """
    there = {read_said(name, _LABELS).label for name in said}
    return [*said, *(name for name in NAMED if name not in there)]


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
        OptionsError: The name is none, or tells what says nothing about such a source.
        SourceError: It cannot be reached, or holds nothing that was asked for.
        AccessError: It wants another token.
    """
    found = read_said(said, _LABELS, revision)
    if found.label in NAMED and not found.place:
        found = replace(found, place=NAMED[found.label])
    if found.label == VISTEC and not found.place:
        raise OptionsError(f"{said}: is published nowhere as a whole; give {VISTEC}=FOLDER")
    return _OPENED.get(found.label, _open_place)(found, work, options)


def iterable_speech_source(
    dataset: Any, said: str, columns: Mapping[str, str] | None = None
) -> SpeechSource:
    """Return a `datasets.IterableDataset` as a source.

    Args:
        dataset: The dataset; its column of sound with `decode=False`.
        said: What the rows and the state call it.
        columns: Field: column, where they have not the usual names.

    Raises:
        SourceError: A column is not there, or of a kind that cannot be.
    """
    features = getattr(dataset, "features", None)
    clips_of = Columns(place=said, named=dict(columns or {}))
    if features:
        clips_of.read(features.arrow_schema)
    rows = SourceFile(name="rows", url="rows", size=UNKNOWN, digest=f"features:{features}")
    return SpeechSource(
        said=said,
        name=said,
        list=Source(name=said, files=(rows,)),
        rows_of=ParquetRows(),
        clips_of=clips_of,
        dataset=dataset,
    )


def _open_demo(asked: Asked, work: Path, options: GatherOptions) -> SpeechSource:
    """Return the corpus that the program makes itself, known by names within it alone."""
    if asked.place:
        raise OptionsError(f"{asked.said}: {DEMO} is made by the program; it lies nowhere else")
    asked.refuse_others((*FIELDS, "voice"))
    voice = VOICES.get(asked.told.get("voice", SYNTHESISER))
    if voice is None:
        raise OptionsError(f"{asked.said}: want a voice that is {' or '.join(VOICES)}")
    corpus = make_speech_corpus(work / f"{DEMO}-{voice}", SpeechCorpusOptions(voice=voice))
    files = replace(listing.folder_source(corpus.folder), name=DEMO)
    told = {key: value for key, value in asked.told.items() if key != "voice"}
    return _parquet(replace(asked, told=told), files, options)


def _open_place(asked: Asked, work: Path, options: GatherOptions) -> SpeechSource:
    """Return what lies at a place: Parquet, or a folder in Common Voice's layout."""
    if not is_local(asked.place):
        place = asked.place
        is_folder = not place.startswith((PREFIX, "http://", "https://")) and not _is_one(place)
        place = place.rstrip("/") + "/**/*.parquet" if is_folder else place
        files = listing.open_source(place, revision=asked.revision, options=options.retries)
        return _parquet(asked, files, options)
    path = Path(asked.place)
    if not path.exists() and any(set(part) & set("*[") for part in path.parts):
        at = next(n for n, part in enumerate(path.parts) if set(part) & set("*["))
        root, pattern = Path(*path.parts[:at]), "/".join(path.parts[at:])
        return _parquet(asked, listing.folder_source(root, pattern), options)
    if not path.exists():
        names = [DEMO, *NAMED, VISTEC]
        near = did_you_mean(asked.said.partition("=")[0], names)
        raise OptionsError(
            f"{asked.place}: is no folder or file here, and none of {', '.join(names)}{near}"
        )
    if holds_tables(asked, path):
        return open_folder(asked, path)
    if path.suffix.lower() in (".tsv", ".csv"):
        return open_tables(asked, path.parent, [path], clips_folder(asked, path.parent))
    return _parquet(asked, listing.folder_source(path), options)


def _parquet(asked: Asked, files: Source, options: GatherOptions) -> SpeechSource:
    asked.refuse_others(FIELDS)
    clips_of = Columns(place=asked.said, named=asked.columns)
    schema = first_schema(files, options.retries)
    columns = None if schema is None else clips_of.read(schema)
    return SpeechSource(
        said=asked.said,
        name=asked.name,
        list=files,
        rows_of=ParquetRows(columns=columns),
        clips_of=clips_of,
    )


def _is_one(url: str) -> bool:
    """Return whether a URL is that of a file or a pattern, not of a folder."""
    return "*" in url or bool(Path(urlsplit(url).path).suffix)


_Open = Callable[[Asked, Path, GatherOptions], SpeechSource]
_OPENED: Mapping[str, _Open] = {
    DEMO: _open_demo,
    "GigaSpeech2": open_gigaspeech2,
    "MozillaCommonVoice": open_common_voice,
    VISTEC: open_vistec,
}
