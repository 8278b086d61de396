"""Small copies of the layouts in which public speech datasets are published.

Each function writes a dataset into a folder as its publisher lays it out, with the clips that it is
given, and returns under which name a reader meets every clip: a segment id, a path, a row. Where a
fact about a layout comes from stands in the function. The bytes depend on the clips alone.
"""

import csv
import gzip
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

COMMON_VOICE_COLUMNS = (
    "client_id",
    "path",
    "sentence_id",
    "sentence",
    "sentence_domain",
    "up_votes",
    "down_votes",
    "age",
    "gender",
    "accents",
    "variant",
    "locale",
    "segment",
)
COMMON_VOICE_SPLITS = ("train", "dev", "test", "other", "invalidated")
COMMON_VOICE_RELEASE = "cv-corpus-17.0-2024-03-15"
VISTEC_RELEASE = "cv-corpus-7.0-2021-07-21"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip to be published.

    Attributes:
        id: A name of its own, by which a test knows it.
        speaker: Who speaks.
        text: The transcript; may be empty.
        wav: The bytes of its file; need not be whole.
        locale: Its language.
        split: train, dev, test, and for Common Voice also other, invalidated.
    """

    id: str
    speaker: str
    text: str
    wav: bytes
    locale: str = "th"
    split: str = "train"


def clips_of(corpus_folder: Path) -> list[Clip]:
    """Return the rows of a demo corpus in Parquet files; a clip without audio has no bytes."""
    clips = []
    for path in sorted((corpus_folder / "data").glob("*.parquet")):
        clips += [
            Clip(
                id=f"{path.stem}-{number}",
                speaker=row["client_id"],
                text=row["sentence"] or "",
                wav=(row["audio"] or {}).get("bytes") or b"",
                locale=row["locale"],
            )
            for number, row in enumerate(pq.read_table(path).to_pylist())
        ]
    return clips


def write_gigaspeech2(
    folder: Path, clips: Sequence[Clip], *, tars: int = 2, raw_only: Iterable[str] = ()
) -> dict[str, str]:
    """Write clips as speechcolab/gigaspeech2 on the hub; return the segment id of each.

    - `data/{language}/train/{n}.tar.gz`, n from 0 (193 of them for Thai), `dev.tar.gz`,
      `test.tar.gz`, and beside the folder `train_raw.tsv`, `train_refined.tsv`, `dev.tsv`,
      `test.tsv` (loading script of doof-ferb/gigaspeech2_vie; the maintainers' answer to issue 3 of
      github.com/SpeechColab/GigaSpeech2). There is no train.tsv: the audio of both training lists
      is in the same archives, and `train_refined.tsv` lists less of it.
    - A list has no header and two columns, segment id and text. A training segment is named
      shard-video-number and lies at shard/video/id.wav below `train`, a dev or test segment is
      video-number at video/id.wav (`_parse_utterance` in lhotse/recipes/gigaspeech2.py). Audio is
      WAV, 16 kHz, mono.
    - Whether a training archive begins with `train/` or with the shard is told nowhere, so readers
      go by the name of the file; dev and test begin with the split. Folders are members too.

    Args:
        folder: The repository.
        clips: Each goes to the folder of its locale, and into train, dev or test.
        tars: Number of training archives of each language.
        raw_only: Ids of training clips that only `train_raw.tsv` lists.
    """
    names: dict[str, str] = {}
    for (locale, split), own in _groups(clips).items():
        home = folder / "data" / locale
        segments = _segments(own, tars if split == "train" else 0)
        names |= {clip.id: segment for clip, segment in zip(own, segments, strict=True)}
        archives = defaultdict(list)
        for clip, segment in zip(own, segments, strict=True):
            *parents, _ = segment.split("-")
            archive = f"train/{parents[0]}" if split == "train" else split
            above = [] if split == "train" else [split]
            member = "/".join([*above, *parents, f"{segment}.wav"])
            archives[archive].append((member, clip.wav))
        for archive, members in archives.items():
            _write(home / f"{archive}.tar.gz", gzip.compress(_tar(members), 1, mtime=0))
        lines = {segment: clip for clip, segment in zip(own, segments, strict=True)}
        refined = {s: c for s, c in lines.items() if c.id not in set(raw_only)}
        lists = {"train_raw": lines, "train_refined": refined}
        for name, listed in lists.items() if split == "train" else ((split, lines),):
            text = "".join(f"{segment}\t{listed[segment].text}\n" for segment in sorted(listed))
            _write(home / f"{name}.tsv", text.encode())
    return names


def write_common_voice_hub(
    folder: Path, clips: Sequence[Clip], *, clips_a_tar: int = 40_000
) -> dict[str, str]:
    """Write clips as mozilla-foundation/common_voice_17_0; return the file name of each.

    - `audio/{locale}/{split}/{locale}_{split}_{n}.tar`, `transcript/{locale}/{split}.tsv` and
      `n_shards.json`, {locale: {split: number of archives}}; splits train, dev, test, other,
      invalidated (loading scripts of common_voice_11_0 to 13_0, kept by the mirrors of 17, such as
      fsicoli/common_voice_17_0).
    - A member is `{locale}_{split}_{n}/common_voice_{locale}_{number}.mp3`: the paths of rows such
      as `en_train_0/common_voice_en_19121553.mp3` in the documentation of transformers. A script
      reads them by file name.
    - The list has a header, the 13 columns of release 17, and no quoting (`csv.QUOTE_NONE`).

    Args:
        folder: The repository.
        clips: Each goes to its locale and split, as MP3; broken bytes stay as they are.
        clips_a_tar: How many an archive holds.
    """
    names = _common_voice_names(clips)
    shards: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COMMON_VOICE_SPLITS, 0))
    groups = _groups(clips)
    for locale in dict.fromkeys(clip.locale for clip in clips):
        for split in COMMON_VOICE_SPLITS:
            own = groups.get((locale, split), [])
            _write_common_voice_list(folder / "transcript" / locale / f"{split}.tsv", own, names)
            for number, start in enumerate(range(0, len(own), clips_a_tar)):
                stem = f"{locale}_{split}_{number}"
                members = [
                    (f"{stem}/{names[clip.id]}", _mp3(clip.wav))
                    for clip in own[start : start + clips_a_tar]
                ]
                _write(folder / "audio" / locale / split / f"{stem}.tar", _tar(members))
                shards[locale][split] = number + 1
    _write(folder / "n_shards.json", json.dumps(shards, indent=1).encode())
    return names


def write_common_voice_download(
    folder: Path, clips: Sequence[Clip], *, release: str = COMMON_VOICE_RELEASE
) -> dict[str, str]:
    """Write clips as Common Voice is downloaded and unpacked; return the file name of each.

    `{release}/{locale}/clips/*.mp3` with train, dev, test, validated, other, invalidated and
    reported.tsv, clip_durations.tsv, validated_sentences.tsv, unvalidated_sentences.tsv, and their
    columns: datasets/scripted-speech/README.md of github.com/common-voice/cv-dataset. `validated`
    lists train, dev and test as well.

    Args:
        folder: Where the archive was unpacked.
        clips: Each goes to the folder of its locale, as MP3; broken bytes stay as they are.
        release: Name of the release.
    """
    names = _common_voice_names(clips)
    for locale in dict.fromkeys(clip.locale for clip in clips):
        home = folder / release / locale
        own = [clip for clip in clips if clip.locale == locale]
        lists = {split: [c for c in own if c.split == split] for split in COMMON_VOICE_SPLITS}
        lists["validated"] = [c for c in own if c.split in ("train", "dev", "test")]
        for name, listed in lists.items():
            _write_common_voice_list(home / f"{name}.tsv", listed, names)
        for clip in own:
            _write(home / "clips" / names[clip.id], _mp3(clip.wav))
        _write_common_voice_extras(home, own, names)
    return names


def write_processed_voice_th(
    folder: Path, clips: Sequence[Clip], *, shards: int = 2
) -> dict[str, str]:
    """Write clips as Porameht/processed-voice-th-169k on the hub; return file and row of each.

    Parquet files with `audio` and `sentence`: three scripts on GitHub read these two of a row and
    nothing else (AudioPreprocessor of a Thai StyleTTS2; the maker of Thanarit/TH-Speech-Enhanced; a
    catalogue with `text_field="sentence"`), from a train split, and dev or test where present. No
    speaker and no language is published. There is no column `text`, which an earlier gatherer asked
    for. File names are those of `Dataset.push_to_hub`.

    Args:
        folder: The repository.
        clips: All go to train.
        shards: Number of files.
    """
    features = {"audio": {"sampling_rate": 16_000, "_type": "Audio"}, "sentence": _STRING}
    columns = {
        "audio": [{"bytes": clip.wav, "path": f"{clip.id}.wav"} for clip in clips],
        "sentence": [clip.text for clip in clips],
    }
    return _write_parquet(folder, clips, columns, features, shards)


def write_vistec(folder: Path, clips: Sequence[Clip]) -> dict[str, str]:
    """Write clips as github.com/vistec-AI/commonvoice-th goes by; return the file name of each.

    The repository holds lists without audio: `labels/{train,dev,dev-unique,test,test-unique}.tsv`
    with a header and the columns path, sentence, set, tabs between. Audio is looked for in a local
    Common Voice 7.0 at `{root}/th/clips/{path}`, and no speaker is used (labels/dev.tsv,
    s5/local/prepare_cv.py, README.md). The `unique` lists are those rows of dev and test whose
    sentence train does not have.

    Args:
        folder: Gets `commonvoice-th`, the repository, and the unpacked download beside it.
        clips: Those in Thai, as MP3; broken bytes stay as they are.
    """
    own = [clip for clip in clips if clip.locale == "th"]
    names = write_common_voice_download(folder, own, release=VISTEC_RELEASE)
    trained = {clip.text for clip in own if clip.split == "train"}
    for split in ("train", "dev", "test"):
        rows = [clip for clip in own if clip.split == split]
        unique = [clip for clip in rows if clip.text not in trained]
        for name, listed in ((split, rows), (f"{split}-unique", unique)):
            if name == "train-unique":
                continue
            lines = [f"{names[clip.id]}\t{clip.text}\t{split}\n" for clip in listed]
            text = "path\tsentence\tset\n" + "".join(lines)
            _write(folder / "commonvoice-th" / "labels" / f"{name}.tsv", text.encode())
    return names


def write_plain_parquet(
    folder: Path,
    clips: Sequence[Clip],
    *,
    audio: str = "speech",
    text: str = "transcription",
    speaker: str = "spk",
    language: str = "lang",
    bare_bytes: bool = False,
    shards: int = 1,
) -> dict[str, str]:
    """Write clips as some dataset in Parquet files; return file and row of each.

    Columns have names of their own and nothing says which one is audio: a file that pandas or Spark
    wrote has no metadata of `datasets`.

    Args:
        folder: The repository.
        clips: All go to train.
        audio: Name of the column.
        text: Name of the column.
        speaker: Name of the column.
        language: Name of the column.
        bare_bytes: Whether the audio column holds bytes instead of bytes and path.
        shards: Number of files.
    """
    columns = {
        "id": [clip.id for clip in clips],
        audio: [c.wav if bare_bytes else {"bytes": c.wav, "path": f"{c.id}.wav"} for c in clips],
        text: [clip.text for clip in clips],
        speaker: [clip.speaker for clip in clips],
        language: [clip.locale for clip in clips],
    }
    return _write_parquet(folder, clips, columns, None, shards)


_STRING = {"dtype": "string", "_type": "Value"}


def _groups(clips: Sequence[Clip]) -> dict[tuple[str, str], list[Clip]]:
    groups = defaultdict(list)
    for clip in clips:
        groups[clip.locale, clip.split].append(clip)
    return groups


def _segments(clips: Sequence[Clip], tars: int) -> list[str]:
    """Return segment ids: a speaker is a video, and with tars a shard of neighbours comes first."""
    counts: dict[str, int] = defaultdict(int)
    speakers = list(dict.fromkeys(clip.speaker for clip in clips))
    segments = []
    for place, clip in enumerate(clips):
        video = str(speakers.index(clip.speaker))
        if tars:
            shard = place * tars // len(clips)
            video = f"{shard}-{1000 * shard + int(video)}"
        segments.append(f"{video}-{counts[video]}")
        counts[video] += 1
    return segments


def _common_voice_names(clips: Sequence[Clip]) -> dict[str, str]:
    return {
        clip.id: f"common_voice_{clip.locale}_{25_600_000 + place}.mp3"
        for place, clip in enumerate(clips)
    }


def _write_common_voice_list(path: Path, clips: Sequence[Clip], names: Mapping[str, str]) -> None:
    content = io.StringIO()
    rows = csv.DictWriter(
        content,
        COMMON_VOICE_COLUMNS,
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
        quotechar=None,
        lineterminator="\n",
        restval="",
    )
    rows.writeheader()
    for clip in clips:
        row = {"client_id": clip.speaker, "path": names[clip.id], "sentence": clip.text}
        votes = {"up_votes": 2, "down_votes": 3 if clip.split == "invalidated" else 0}
        rows.writerow(row | votes | {"sentence_id": clip.id, "locale": clip.locale})
    _write(path, content.getvalue().encode())


def _write_common_voice_extras(home: Path, clips: Sequence[Clip], names: Mapping[str, str]) -> None:
    durations = ["filename\tduration[ms]"]
    durations += [f"{names[clip.id]}\t{_milliseconds(clip.wav)}" for clip in clips]
    sentences = ["sentence_id\tsentence\tsentence_domain\tsource\tis_used\tclips_count"]
    sentences += [f"{clip.id}\t{clip.text}\t\tdemo\t1\t1" for clip in clips]
    tables = {
        "clip_durations": durations,
        "validated_sentences": sentences,
        "unvalidated_sentences": ["sentence_id\tsentence\tsentence_domain\tsource"],
        "reported": ["sentence_id\tsentence\tlocale\treason"],
    }
    for name, lines in tables.items():
        _write(home / f"{name}.tsv", "".join(f"{line}\n" for line in lines).encode())


def _write_parquet(
    folder: Path,
    clips: Sequence[Clip],
    columns: Mapping[str, list],
    features: Mapping[str, object] | None,
    shards: int,
) -> dict[str, str]:
    table = pa.table(dict(columns))
    if features:
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    names = {}
    for shard in range(shards):
        first, last = (len(clips) * n // shards for n in (shard, shard + 1))
        name = f"data/train-{shard:05d}-of-{shards:05d}.parquet"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(first, last - first), folder / name, row_group_size=100)
        names |= {clip.id: f"{name}:{row}" for row, clip in enumerate(clips[first:last])}
    return names


def _tar(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return an archive of files and the folders above them, dated to the epoch."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        parents = {str(p) for name, _ in members for p in Path(name).parents if p.name}
        for parent in sorted(parents):
            entry = tarfile.TarInfo(parent)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def _mp3(wav: bytes) -> bytes:
    """Return a WAV file as MP3, or the same bytes where they are none."""
    try:
        samples, rate = soundfile.read(io.BytesIO(wav))
    except soundfile.LibsndfileError:
        return wav
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="MP3")
    return content.getvalue()


def _milliseconds(wav: bytes) -> int:
    try:
        return round(1000 * soundfile.info(io.BytesIO(wav)).duration)
    except soundfile.LibsndfileError:
        return 0


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
