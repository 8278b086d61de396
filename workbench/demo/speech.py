"""Speech corpora made by the program itself: invented speakers, a known share of bad rows.

Units: seconds, Hz; `level` is the loudest sample of a clip, full scale 1. Two layouts are written:
Parquet files as `datasets` publishes them, and a folder of Common Voice (its columns since release
17: github.com/common-voice/cv-dataset). Clips are WAV of 16-bit PCM with silence and a little noise
at both ends; speakers differ in pitch, pace, level, sample rate and number of channels.

`truth.jsonl` tells of every row what is said in it and whether its audio can be used, so that a
test knows exactly what must come out of it. Everything follows from the options: the same options
give the same bytes (Parquet files: with the same version of pyarrow; espeak-ng: likewise), and a
large corpus begins with the clips of a small one.
"""

import hashlib
import io
import json
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.caching.files import replacing_folder
from workbench.caching.fingerprint import source_fingerprint
from workbench.demo.sentences import SENTENCES
from workbench.demo.syllables import draw_phrases, written
from workbench.demo.voices import ESPEAK_RATE, Samples, Voice, speak, speak_espeak
from workbench.errors import SpeechError
from workbench.options import check, refuse
from workbench.progress import Progress, Show, silent

CORRUPTIONS = ("truncated", "garbage", "empty", "missing", "overpromising")
ROWS_A_GROUP = 100
COLUMNS = (
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
)  # of Common Voice

_RATES = (16_000, 22_050, 44_100)
_LEVELS = (0.5, 0.08, 0.25, 0.95, 0.12, 0.35, 0.06)
_AGES = ("twenties", "", "thirties", "teens", "fourties", "sixties")  # as Common Voice spells them
_BLOCK = 20  # clips in which each share is kept as nearly as whole clips allow
_SYLLABLE_SECONDS = 0.31  # with its share of a pause
_ENDS_SECONDS = 0.55  # of silence, on average
_HEADER = 44  # bytes of a WAV file before its samples
_ECHO = 5  # samples by which the second channel is late
_AUDIO = {"audio": {"_type": "Audio"}}
_FEATURES = _AUDIO | {
    name: {"dtype": "string", "_type": "Value"} for name in ("sentence", "client_id", "locale")
}
_SCHEMA = pa.schema(
    [
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("sentence", pa.string()),
        ("client_id", pa.string()),
        ("locale", pa.string()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)

_Pcm = NDArray[np.int16]
_Choice = TypeVar("_Choice")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCorpusOptions:
    """What a corpus of speech shall hold.

    Attributes:
        clips: Number of clips [1..1000000].
        speakers: Number of people who speak [1..100000].
        seconds: About how long a clip is, s; espeak-ng reads whole sentences instead [0.5..30].
        corrupt: Share of clips whose audio is broken, in five ways [0..0.85].
        missing_transcripts: Share of clips without a transcript [0..0.85].
        other_languages: Share of clips in other languages, in the layout common_voice [0..0.85].
        seed: Decides everything [0..4294967295].
        voice: Who speaks: the program's own synthesiser, or espeak-ng where it is installed.
        layout: Parquet files, or a folder as Common Voice is downloaded.
        shards: Number of Parquet files [1..10000].
        language: What is spoken.
    """

    clips: int = 200
    speakers: int = 8
    seconds: float = 1.5
    corrupt: float = 0.05
    missing_transcripts: float = 0.05
    other_languages: float = 0.1
    seed: int = 0
    voice: Literal["synthesiser", "espeak"] = "synthesiser"
    layout: Literal["parquet", "common_voice"] = "parquet"
    shards: int = 4
    language: Literal["th", "en", "id", "vi"] = "th"

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        check(self)
        found = []
        if self.corrupt + self.missing_transcripts + self.other_languages > 0.85:
            found.append(
                "corrupt, missing_transcripts and other_languages together leave under 15 % of "
                "the clips as they should be"
            )
        if self.layout == "parquet" and self.shards > self.clips:
            found.append(f"shards {self.shards} are more than the {self.clips} clips")
        refuse(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRow:
    """One row of a corpus, and what is true of it: a line of truth.jsonl.

    Attributes:
        file: The file that holds the row, relative to the folder, with `/` between.
        row: Its place in that file, from 0, a header line not counted.
        clip: Name of the audio: its path in a Parquet row, or a file in `clips`.
        sentence: The transcript as the row has it; empty where it has none.
        spoken: What is said all the same.
        client_id: Who says it.
        locale: In which language.
        is_valid: Whether the audio can be used.
        corruption: What was done to the audio: one of `CORRUPTIONS`, or empty.
        seconds: How long the clip was before that.
        sample_rate: Hz.
        channels: 1 or 2.
    """

    file: str
    row: int
    clip: str
    sentence: str
    spoken: str
    client_id: str
    locale: str
    is_valid: bool
    corruption: str
    seconds: float
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCorpus:
    """A corpus as it lies on the disk.

    Attributes:
        folder: Where truth.jsonl and corpus.json lie.
        files: The files that hold the rows, in order.
        rows: Every row, in order.
    """

    folder: Path
    files: tuple[Path, ...]
    rows: tuple[SpeechRow, ...]


def make_speech_corpus(
    folder: Path, options: SpeechCorpusOptions, show: Show = silent
) -> SpeechCorpus:
    """Fill a folder with speech, unless this very speech is there already.

    It appears whole or not at all and holds `data/train-00000-of-00004.parquet` and so on with the
    columns audio, sentence, client_id and locale, or `validated.tsv` and `clips`; `truth.jsonl`
    (a `SpeechRow` a line) and `corpus.json` (what made it). Another corpus at this place gives way.

    Raises:
        SpeechError: Something else lies at this place, or espeak-ng does not speak.
        CachingError: The folder cannot be written.
    """
    made_by = json.dumps({"options": asdict(options), "source": _source()}, indent=1) + "\n"
    if not _is_there(folder, made_by):
        write = _write_parquet if options.layout == "parquet" else _write_common_voice
        with replacing_folder(folder) as scratch:
            rows = write(scratch, options, show)
            lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows]
            _write_text(scratch / "truth.jsonl", "".join(lines))
            _write_text(scratch / "corpus.json", made_by)
    truth = _truth(folder)
    files = tuple(folder / name for name in dict.fromkeys(row.file for row in truth))
    return SpeechCorpus(folder=folder, files=files, rows=truth)


def corrupt_wav(kind: str, whole: bytes, generator: np.random.Generator) -> bytes | None:
    """Return what becomes of a WAV file of 16-bit PCM, None where there is no audio at all.

    Args:
        kind: One of `CORRUPTIONS`. A `truncated` file lost its end and an `overpromising` one
            claims more samples than it has: both play, and both tell a lie about their length.
        whole: The file, its header of 44 bytes.
        generator: Decides where it is cut and what the garbage is.

    Raises:
        SpeechError: There is no such kind.
    """
    if kind == "missing":
        return None
    if kind == "empty":
        return b""
    if kind == "garbage":
        noise: bytes = (generator.random(2000) * 256).astype(np.uint8).tobytes()
        return b"\x00" + noise  # never the first byte of any audio file
    size = len(whole) - _HEADER
    if kind == "truncated":
        return whole[: _HEADER + 2 * int(size * (0.1 + 0.6 * generator.random()) / 2)]
    if kind == "overpromising":
        claimed = 2 * size + 1_000_000
        riff = (claimed + _HEADER - 8).to_bytes(4, "little")
        return whole[:4] + riff + whole[8:40] + claimed.to_bytes(4, "little") + whole[44:]
    raise SpeechError(f"{kind!r} is no way to corrupt audio; there are {', '.join(CORRUPTIONS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Speaker:
    """Somebody, and what they are recorded with."""

    client_id: str
    age: str
    gender: str
    voice: Voice
    variant: str
    words_a_minute: int
    espeak_pitch: int
    sample_rate: int
    channels: int
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lot:
    """What befalls a clip: which corruption, whether its transcript is lost, its language.

    `ordinal` counts the clips of the same lot before it.
    """

    corruption: str = ""
    is_untold: bool = False
    is_foreign: bool = False
    ordinal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """A clip that was spoken: `audio` is None where there is none, the transcript likewise."""

    index: int
    audio: bytes | None
    transcript: str | None
    spoken: str
    locale: str
    speaker: _Speaker
    corruption: str
    seconds: float
    sample_rate: int

    def row(self, file: str, row: int, clip: str) -> SpeechRow:
        """Return what is true of it, in some row of some file."""
        return SpeechRow(
            file=file,
            row=row,
            clip=clip,
            sentence=self.transcript or "",
            spoken=self.spoken,
            client_id=self.speaker.client_id,
            locale=self.locale,
            is_valid=not self.corruption,
            corruption=self.corruption,
            seconds=self.seconds,
            sample_rate=self.sample_rate,
            channels=self.speaker.channels,
        )


def _write_parquet(folder: Path, options: SpeechCorpusOptions, show: Show) -> list[SpeechRow]:
    (folder / "data").mkdir()
    clips = _clips(options, show)
    rows = []
    for shard in range(options.shards):
        first, last = (options.clips * n // options.shards for n in (shard, shard + 1))
        name = f"data/train-{shard:05d}-of-{options.shards:05d}.parquet"
        with _writer(folder / name) as writer:
            for start in range(first, last, ROWS_A_GROUP):
                group = [next(clips) for _ in range(min(ROWS_A_GROUP, last - start))]
                writer.write_batch(_batch(group))
                rows += [c.row(name, c.index - first, _clip_name(c)) for c in group]
    return rows


def _writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        _SCHEMA,
        compression="none",  # speech hardly shrinks, and no compressor's version matters
        use_dictionary=["client_id", "locale"],
        write_page_checksum=True,
    )


def _batch(clips: Sequence[_Clip]) -> pa.RecordBatch:
    audio = [
        None if clip.audio is None else {"bytes": clip.audio, "path": _clip_name(clip)}
        for clip in clips
    ]
    columns = [
        audio,
        [clip.transcript for clip in clips],
        [clip.speaker.client_id for clip in clips],
        [clip.locale for clip in clips],
    ]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _clip_name(clip: _Clip) -> str:
    return f"clip_{clip.index:06d}.wav"


def _write_common_voice(folder: Path, options: SpeechCorpusOptions, show: Show) -> list[SpeechRow]:
    (folder / "clips").mkdir()
    rows, lines = [], ["\t".join(COLUMNS)]
    for clip in _clips(options, show):
        name = f"common_voice_{clip.locale}_{25_600_000 + clip.index}.wav"
        if clip.audio is not None:
            (folder / "clips" / name).write_bytes(clip.audio)
        lines.append(_common_voice_line(clip, name))
        rows.append(clip.row("validated.tsv", clip.index, name))
    _write_text(folder / "validated.tsv", "\n".join(lines) + "\n")
    return rows


def _common_voice_line(clip: _Clip, name: str) -> str:
    values = {
        "client_id": clip.speaker.client_id,
        "path": name,
        "sentence_id": hashlib.sha256(clip.spoken.encode()).hexdigest(),
        "sentence": clip.transcript or "",
        "up_votes": str(2 + clip.index % 4),
        "down_votes": str(int(clip.index % 7 == 0)),
        "age": clip.speaker.age,
        "gender": clip.speaker.gender,
        "locale": clip.locale,
    }
    return "\t".join(values.get(column, "") for column in COLUMNS)


def _clips(options: SpeechCorpusOptions, show: Show) -> Iterator[_Clip]:
    began = time.monotonic()
    for index, lot in enumerate(_lots(options)):
        yield _spoken(options, index, lot)
        done = index + 1
        if done % 100 == 0 or done == options.clips:
            show(
                Progress(
                    stage="speech corpus",
                    done=done,
                    total=options.clips,
                    unit="clips",
                    seconds=time.monotonic() - began,
                    fresh=done,
                )
            )


def _lots(options: SpeechCorpusOptions) -> Iterator[_Lot]:
    """Draw lots: in every block of 20 clips, as many of each sort as its share asks for by then."""
    others = options.other_languages if options.layout == "common_voice" else 0.0
    shares = (options.corrupt, options.missing_transcripts, others)
    for block in range(-(-options.clips // _BLOCK)):
        lots: list[_Lot] = []
        for sort, share in enumerate(shares):
            before, after = (
                round(share * 1e6) * n * _BLOCK // 1_000_000 for n in (block, block + 1)
            )
            lots += [_lot(sort, ordinal) for ordinal in range(before, after)]
        lots += [_Lot()] * (_BLOCK - len(lots))
        order = np.argsort(_generator(options.seed, block, 3).random(_BLOCK), kind="stable")
        yield from (lots[place] for place in order[: options.clips - block * _BLOCK])


def _lot(sort: int, ordinal: int) -> _Lot:
    corruption = CORRUPTIONS[ordinal % len(CORRUPTIONS)] if sort == 0 else ""
    return _Lot(corruption=corruption, is_untold=sort == 1, is_foreign=sort == 2, ordinal=ordinal)


def _spoken(options: SpeechCorpusOptions, index: int, lot: _Lot) -> _Clip:
    generator = _generator(options.seed, index, 1)
    speaker = _speaker(options.seed, int(generator.random() * options.speakers))
    others = tuple(name for name in SENTENCES if name != options.language)
    language = _pick(others, generator) if lot.is_foreign else options.language
    if options.voice == "espeak":
        spoken, speech = _read_out(speaker, language, generator)
        rate = ESPEAK_RATE
    else:
        spoken, speech = _babbled(options.seconds, speaker, language, generator)
        rate = speaker.sample_rate
    pcm = _recorded(speech, speaker, rate, generator)
    audio: bytes | None = _wav(pcm, rate)
    if lot.corruption:
        audio = corrupt_wav(lot.corruption, _wav(pcm, rate), generator)
    untold = None if lot.ordinal % 2 else ""  # both occur in published data
    return _Clip(
        index=index,
        audio=audio,
        transcript=untold if lot.is_untold else spoken,
        spoken=spoken,
        locale=language,
        speaker=speaker,
        corruption=lot.corruption,
        seconds=round(len(pcm) / rate, 6),
        sample_rate=rate,
    )


def _babbled(
    seconds: float, speaker: _Speaker, language: str, generator: np.random.Generator
) -> tuple[str, Samples]:
    wanted = seconds * (0.75 + 0.5 * generator.random()) - _ENDS_SECONDS
    count = max(1, round(wanted / (_SYLLABLE_SECONDS * speaker.voice.pace)))
    phrases = draw_phrases(count, generator)
    speech = speak(phrases, speaker.voice, speaker.sample_rate, generator)
    return written(phrases, in_thai=language == "th"), speech


def _read_out(
    speaker: _Speaker, language: str, generator: np.random.Generator
) -> tuple[str, Samples]:
    text = _pick(SENTENCES[language], generator)
    speech = speak_espeak(
        text,
        language=language,
        variant=speaker.variant,
        words_a_minute=speaker.words_a_minute + int(20 * generator.random()),
        pitch=speaker.espeak_pitch + int(8 * generator.random()),
    )
    return text, speech


def _recorded(
    speech: Samples, speaker: _Speaker, rate: int, generator: np.random.Generator
) -> _Pcm:
    """Return `(frames, channels)` int16: speech at its level, silence around, noise over all."""
    before, after = (int(rate * (0.15 + 0.25 * draw)) for draw in generator.random(2))
    level = speaker.level * (0.85 + 0.15 * generator.random())
    pcm = np.empty((before + len(speech) + after, speaker.channels), dtype="<i2")
    words = generator.bit_generator.random_raw(pcm.size // 8 + 1).astype("<u8")
    np.subtract(words.view(np.uint8)[: pcm.size].reshape(pcm.shape) & 7, 4, out=pcm, dtype="<i2")
    for side, share in enumerate((1.0, 0.7)[: speaker.channels]):  # the second comes late
        loud = np.rint(speech * (level * share * 32_767)).astype("<i2")
        pcm[before + side * _ECHO :, side][: len(speech)] += loud
    return pcm


def _wav(pcm: _Pcm, rate: int) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return content.getvalue()


@lru_cache(maxsize=1000)
def _speaker(seed: int, number: int) -> _Speaker:
    """Return a speaker; women and men take turns, so do rates and levels."""
    generator = _generator(seed, number, 2)
    draw = generator.random(6).tolist()
    turn = number + seed
    is_woman = turn % 2 == 0
    voice = Voice(
        pitch=(175.0 if is_woman else 95.0) + (70.0 if is_woman else 45.0) * draw[0],
        mouth=(1.1 if is_woman else 0.94) + 0.12 * draw[1],
        breath=0.6 * draw[2],
        pace=0.85 + 0.3 * draw[3],
    )
    gender = "female_feminine" if is_woman else "male_masculine"
    return _Speaker(
        client_id=hashlib.sha512(f"{seed} {number}".encode()).hexdigest(),
        age=_AGES[turn % len(_AGES)],
        gender=gender if _AGES[turn % len(_AGES)] else "",  # who tells one tells the other
        voice=voice,
        variant=f"f{1 + turn % 5}" if is_woman else f"m{1 + turn % 8}",
        words_a_minute=135 + int(40 * draw[4]),
        espeak_pitch=30 + int(40 * draw[5]),
        sample_rate=_RATES[turn % len(_RATES)],
        channels=2 if turn % 4 == 3 else 1,
        level=_LEVELS[turn % len(_LEVELS)],
    )


def _is_there(folder: Path, made_by: str) -> bool:
    """Return whether a folder holds this corpus, refusing a folder that holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise SpeechError(f"{folder}: is no folder; name another place for the corpus")
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    own = {"truth.jsonl", "corpus.json"}
    listed = own.union(*(_files_of(row) for row in _truth(folder)))
    if strangers := present - listed:
        raise SpeechError(
            f"{folder}: holds {min(strangers)!r}, which no corpus put there; "
            "move it away or name another folder"
        )
    return listed == present and (folder / "corpus.json").read_text("utf-8") == made_by


def _files_of(row: SpeechRow) -> set[str]:
    has_own = row.file.endswith(".tsv") and row.corruption != "missing"
    return {row.file, f"clips/{row.clip}"} if has_own else {row.file}


def _truth(folder: Path) -> tuple[SpeechRow, ...]:
    """Return the rows that a folder tells of, none where it is no corpus."""
    path = folder / "truth.jsonl"
    if not path.is_file():
        return ()
    try:
        lines = path.read_text("utf-8").splitlines()
        return tuple(SpeechRow(**json.loads(line)) for line in lines)
    except (ValueError, TypeError) as error:
        raise SpeechError(
            f"{path}: is no list of rows ({error}); move the folder away or name another"
        ) from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _source() -> str:
    """Return the fingerprint of the code that decides the bytes of a corpus."""
    here = Path(__file__)
    parts = ("speech.py", "voices.py", "syllables.py", "sentences.py")
    return source_fingerprint(here.with_name(name) for name in parts)


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _pick(choices: Sequence[_Choice], generator: np.random.Generator) -> _Choice:
    return choices[int(generator.random() * len(choices))]
