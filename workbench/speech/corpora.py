"""Speech datasets that have names of their own: where they are published, and how they lie there.

- GigaSpeech2: `data/{language}/train/*.tar.gz`, and beside them lists without a header. Both
  training lists are of the same archives; the refined one, which is read, has less of them.
  Source: huggingface.co/datasets/speechcolab/gigaspeech2; lhotse/recipes/gigaspeech2.py.
- MozillaCommonVoice: `audio/{language}/{split}/*.tar` and `transcript/{language}/{split}.tsv`.
  Mozilla's own repositories left the hub in October 2025 for datacollective.mozillafoundation.org;
  read is a public copy of release 22, or what is downloaded there and unpacked.
  Source: the loading scripts of mozilla-foundation/common_voice_11_0 to 17_0.
- VISTECCommonVoiceTH: lists alone, of a Common Voice that everybody downloads themselves.
  Source: github.com/vistec-AI/commonvoice-th.
"""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from workbench.errors import SourceError
from workbench.options import did_you_mean
from workbench.speech.asked import Asked
from workbench.speech.fields import ListedClips
from workbench.speech.folders import CLIPS_FOLDER, holds_tables, open_folder, open_tables
from workbench.speech.options import GatherOptions
from workbench.speech.source import SpeechSource
from workbench.speech.transcripts import Transcripts
from workbench.streaming import hub, listing
from workbench.streaming.archive import ArchiveRows, local_archive
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.table import TableRows
from workbench.streaming.transfer import is_local

LISTS = "lists"  # folder of lists within the work folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a dataset of archives and lists lies in its repository.

    Attributes:
        parts: Name of a list: pattern of its path, pattern of the paths of its archives.
        default: The lists that are read where nobody says which, by commas.
        rows_of: How lists are read.
        columns: Field: column of a list.
        language: What is read where all languages are asked for.
        tells_language: Whether lists tell the language of a clip.
    """

    parts: Mapping[str, tuple[str, str]]
    default: str
    rows_of: TableRows
    columns: Mapping[str, str]
    language: str
    tells_language: bool


_GIGASPEECH2_TRAIN = "data/{language}/train/*.tar.gz"
GIGASPEECH2 = Layout(
    parts={
        "train_refined": ("data/{language}/train_refined.tsv", _GIGASPEECH2_TRAIN),
        "train_raw": ("data/{language}/train_raw.tsv", _GIGASPEECH2_TRAIN),
        "dev": ("data/{language}/dev.tsv", "data/{language}/dev.tar.gz"),
        "test": ("data/{language}/test.tsv", "data/{language}/test.tar.gz"),
    },
    default="train_refined",
    rows_of=TableRows(names=("segment", "text")),
    columns={"audio": "segment", "transcript": "text"},
    language="th",
    tells_language=False,
)
COMMON_VOICE = Layout(
    parts={
        split: (f"transcript/{{language}}/{split}.tsv", f"audio/{{language}}/{split}/*.tar")
        for split in ("train", "dev", "test", "validated", "other", "invalidated")
    },
    default="train,dev,test",
    rows_of=TableRows(),
    columns={
        "audio": "path",
        "transcript": "sentence",
        "speaker": "client_id",
        "language": "locale",
    },
    language="*",
    tells_language=True,
)


def open_gigaspeech2(asked: Asked, work: Path, options: GatherOptions) -> SpeechSource:
    """Return GigaSpeech2, or a copy of it; Thai, unless the options name another language."""
    return open_archives(asked, GIGASPEECH2, work, options)


def open_common_voice(asked: Asked, work: Path, options: GatherOptions) -> SpeechSource:
    """Return Common Voice: a repository of archives, or a folder that was downloaded.

    Raises:
        SourceError: There is none of both.
    """
    if is_local(asked.place) and not (Path(asked.place) / "transcript").is_dir():
        return open_folder(asked, _release(asked, options.language))
    return open_archives(asked, COMMON_VOICE, work, options)


def open_vistec(asked: Asked, work: Path, options: GatherOptions) -> SpeechSource:
    """Return the clips that lists of VISTEC name, of a Common Voice in the same folder.

    Raises:
        SourceError: There are no lists, or not one folder of clips.
    """
    if not is_local(asked.place):
        raise SourceError(f"{asked.said}: lies on no hub and no server; give a folder")
    folder = _folder(Path(asked.place))
    names = asked.parts("train,dev,test")
    for home, ending in _VISTEC:
        tables = [next(iter(sorted(folder.glob(f"{home}{n}{ending}"))), None) for n in names]
        if found := [table for table in tables if table]:
            break
    else:
        raise SourceError(
            f"{folder}: has no labels/*.tsv and no CSV named {' or '.join(names)}; clone "
            "github.com/vistec-AI/commonvoice-th there, or choose lists with ?tsv=NAME"
        )
    if "tsv" in asked.told and None in tables:
        missing = names[tables.index(None)]
        there = ", ".join(sorted(p.stem for p in found[0].parent.glob(f"*{ending}")))
        raise SourceError(f"{folder}: has no list {missing}; choose of {there} with ?tsv=NAME")
    return open_tables(asked, folder, found, _clips_folder(asked, folder))


# Where its lists are looked for: the repository, the same within a folder, and CSV.
_VISTEC = (
    ("labels/", ".tsv"),
    ("*/labels/", ".tsv"),
    ("validated/", ".csv"),
    ("labels/", ".csv"),
    ("", ".csv"),
    ("", ".tsv"),
)
_DEPTHS = (CLIPS_FOLDER, f"*/{CLIPS_FOLDER}", f"*/*/{CLIPS_FOLDER}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What lies at a place.

    Attributes:
        names: Of all files, from there, in order.
        file: Returns the file of a name.
        revision: What they are pinned to, where the place tells.
        headers: What a server wants to be told.
    """

    names: Sequence[str]
    file: Callable[[str], SourceFile]
    revision: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def open_archives(asked: Asked, layout: Layout, work: Path, options: GatherOptions) -> SpeechSource:
    """Return the clips of archives, with what lists say of them.

    Args:
        asked: What was asked for; `tsv` names the lists.
        layout: How archives and lists lie.
        work: Folder for the lists.
        options: How it is gathered.

    Raises:
        SourceError: The place cannot be reached, has no such archives or lists, or other lists
            than it had.
        OptionsError: Something is told that tells nothing.
    """
    asked.refuse_others(("tsv",))
    place = _place(asked, options)
    lists, archives = _parts(asked, layout, place, options.language)
    tables = Source(name=asked.said, files=tuple(map(place.file, lists)), headers=place.headers)
    revision = place.revision or f"lists:{tables.fingerprint}"
    if asked.revision not in (None, revision):
        raise SourceError(
            f"{asked.said}: its lists are others than those that were gathered; bring those back, "
            "or start over with --fresh"
        )
    clips_of = ListedClips(
        place=asked.said,
        transcripts=Transcripts(
            tables, layout.rows_of, layout.columns, work / LISTS, options.retries
        ),
        language="" if layout.tells_language else options.language or layout.language,
    )
    return SpeechSource(
        said=asked.said,
        name=asked.name,
        list=Source(
            name=asked.said,
            revision=revision,
            files=tuple(map(place.file, archives)),
            headers=place.headers,
        ),
        rows_of=ArchiveRows(),
        clips_of=clips_of,
        prepared=clips_of.prepared,
    )


def _parts(
    asked: Asked, layout: Layout, place: _Place, language: str
) -> tuple[list[str], list[str]]:
    """Return the names of lists and of archives that are asked for.

    Raises:
        SourceError: There are none.
    """
    chosen = glob.escape(language) or layout.language
    lists: list[str] = []
    archives: list[str] = []
    for part in asked.parts(layout.default):
        if part not in layout.parts:
            raise SourceError(
                f"{asked.said}: has no list {part!r}{did_you_mean(part, layout.parts)}; choose of "
                f"{', '.join(layout.parts)} with ?tsv=NAME"
            )
        patterns = [pattern.replace("{language}", chosen) for pattern in layout.parts[part]]
        of_lists, of_archives = (_matching(place.names, pattern) for pattern in patterns)
        if of_archives and not of_lists:
            raise SourceError(f"{asked.said}: has archives of {part}, but no {patterns[0]}")
        lists += of_lists
        archives += of_archives
    if not archives:
        raise _nothing(asked, layout, place, chosen)
    return lists, list(dict.fromkeys(archives))


def _nothing(asked: Asked, layout: Layout, place: _Place, language: str) -> SourceError:
    """Return what a person is told where no archive is what was asked for."""
    patterns = [layout.parts[part][1] for part in asked.parts(layout.default)]
    anywhere = [pattern.replace("{language}", "*") for pattern in patterns]
    found = [name for pattern in anywhere for name in _matching(place.names, pattern)]
    languages = ", ".join(sorted({name.split("/")[1] for name in found}))
    if languages:
        return SourceError(
            f"{asked.said}: has nothing in {language!r}; choose of {languages} with --language"
        )
    return SourceError(
        f"{asked.said}: none of its {len(place.names)} files is {' or '.join(patterns)}; give "
        "another place"
    )


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that match a pattern, in their order."""
    return [name for name in names if fnmatch(name, pattern)]


def _place(asked: Asked, options: GatherOptions) -> _Place:
    if asked.place.startswith(hub.PREFIX):
        source = hub.hub_source(asked.place, "*", revision=asked.revision, options=options.retries)
        folder = hub.repository(asked.place)[2].rstrip("/")
        files = {file.name.removeprefix(folder).lstrip("/"): file for file in source.files}
        return _Place(
            names=list(files),
            file=files.__getitem__,
            revision=source.revision,
            headers=source.headers,
        )
    if not is_local(asked.place):
        raise SourceError(f"{asked.said}: is no repository and no folder; give hf://… or a folder")
    root = _folder(Path(asked.place))
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    return _Place(names=names, file=partial(_local_file, root))


def _local_file(root: Path, name: str) -> SourceFile:
    if name.endswith(".tsv"):
        return replace(listing.folder_source(root / name).files[0], name=name)
    return local_archive(root / name, name)


def _release(asked: Asked, language: str) -> Path:
    """Return the folder of a language in what was downloaded and unpacked.

    Raises:
        SourceError: There is none, or more than one.
    """
    root = _folder(Path(asked.place))
    inner = glob.escape(language) or "*"
    for depth in ("", inner, f"*/{inner}"):
        places = sorted(root.glob(depth)) if depth else [root]
        found = [place for place in places if holds_tables(asked, place)]
        if len(found) == 1:
            return found[0]
        if found:
            raise SourceError(f"{root}: holds {', '.join(map(str, found))}; give one of them")
    raise SourceError(
        f"{root}: holds no Common Voice{language and ' in '}{language}; give the folder with "
        "validated.tsv and clips"
    )


def _clips_folder(asked: Asked, folder: Path) -> Path:
    """Return where the clips are.

    Raises:
        SourceError: There is no folder of clips, or more than one.
    """
    if told := asked.told.get("clips"):
        return _folder(Path(told))
    for depth in _DEPTHS:
        found = sorted(path for path in folder.glob(depth) if path.is_dir())
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(str(path) for path in found)
            raise SourceError(f"{folder}: has {names}; choose one with ?clips=FOLDER")
    raise SourceError(
        f"{folder}: has no folder of clips; unpack Common Voice 7.0 there, or name its folder with "
        "?clips=FOLDER"
    )


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise SourceError(f"{path}: is no folder; check the name")
    return path
