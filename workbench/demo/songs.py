"""Corpora of songs with Beat Saber maps made by the program itself, and what is true of them.

Units: seconds, Hz; a `beat` is a quarter note, 0 at the start of the audio; `bpm` is beats a
minute; `njs` is metres a second. Songs are drums, a bass and chords; their maps follow them as
people's do, and are written in format 2, 3 (compact, then in full) and 4 turn by turn, every fifth
song as a zip. Tempi are steady, also 174.3 and 92.49 bpm; every third song changes its own. Behind
the songs come short ones with a defect each, turn by turn as `DEFECTS` lists them.

`truth.jsonl` tells of every map what it holds and what a reader should say of it; `onsets.parquet`
holds every onset of the music, `notes.parquet` every note. The same options give the same bytes
(audio: with the same libsndfile, Parquet: with the same pyarrow), and a large corpus begins with
the songs of a small one.
"""

import io
import json
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.caching.files import refuse_other, replacing_folder
from workbench.caching.fingerprint import source_fingerprint
from workbench.demo.choreography import DIFFICULTIES, Chart, choreograph
from workbench.demo.defects import DEFECTS, Defect
from workbench.demo.mapfiles import (
    LevelPlan,
    MapVersion,
    beat_of,
    difficulty_file,
    level_files,
)
from workbench.demo.tunes import PARTS, SLOTS, TempoKind, Tune, compose
from workbench.music.vorbis import vorbis_bytes
from workbench.options import check
from workbench.progress import Progress, Show, silent

MAPS = "maps"
TRUTH, ONSETS, NOTES, MADE_BY = "truth.jsonl", "onsets.parquet", "notes.parquet", "corpus.json"

_VERSIONS: tuple[tuple[MapVersion, bool], ...] = ((2, False), (3, True), (3, False), (4, False))
_STEADY = (0.0, 174.3, 92.49, 0.01)  # bpm turn by turn; 0 is drawn, whole or to that precision
_RATES = (44_100, 22_050, 22_050, 48_000, 22_050)
_SETS = (DIFFICULTIES, DIFFICULTIES[2:], DIFFICULTIES[:4], DIFFICULTIES[1:])
_EXTRA = ("", "OneSaber", "", "NoArrows", "", "")  # characteristics beside Standard, turn by turn
_WALTZ = 7  # every so many songs have three beats a bar
_SHORT_SECONDS = 8.0  # of a song with a defect
_COVER = 256  # pixels
_ZIP_DATE = (2020, 1, 1, 0, 0, 0)
_FIRST_WORDS = ("Copper", "Silent", "Paper", "Neon", "Winter", "Hollow", "Velvet", "Später", "Über")
_LAST_WORDS = (
    "Engine",
    "River",
    "Circuit",
    "Lantern",
    "Orbit",
    "Garden",
    "Signal",
    "Fjörd",
    "ドラム",
)
_ARTISTS = ("The Program", "Sine & Square", "Noise Floor", "Quarter Note")
_MAPPERS = ("demo", "handmade", "slotwise")


@dataclass(frozen=True, slots=True, kw_only=True)
class SongCorpusOptions:
    """What a corpus of songs with maps shall hold.

    Attributes:
        songs: Number of songs of the demo [1..100000].
        seed: Decides everything in the demo [0..4294967295].
        seconds: About how long a song of the demo is, s [8..600].
        broken: Further maps of the demo, each with a known defect [0..100000].
    """

    songs: int = 12
    seed: int = 0
    seconds: float = 24.0
    broken: int = len(DEFECTS)

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatmapTruth:
    """What is true of one difficulty.

    Attributes:
        characteristic: As a reader should say it.
        difficulty: Likewise.
        file: Its file.
        njs: Note jump speed.
        offset: Of the jump, beats.
        notes: How many.
        bombs: How many.
        walls: How many.
        arcs: How many.
        chains: How many.
        is_readable: Whether a reader gets it.
    """

    characteristic: str
    difficulty: str
    file: str
    njs: float
    offset: float
    notes: int
    bombs: int
    walls: int
    arcs: int
    chains: int
    is_readable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SongTruth:
    """What is true of one map: a line of truth.jsonl.

    Attributes:
        place: The folder or zip, relative to the folder of the maps.
        title: Of the song.
        artist: Of the song.
        mapper: Of the map.
        version: Of the format: 2, 3 or 4.
        bpm: The Info's tempo.
        tempo_beats: Where each tempo begins, the first at 0.
        tempo_bpms: Each tempo.
        metre: Beats a bar.
        seconds: Of the audio.
        audio: Name of the audio file.
        sample_rate: Of the audio.
        beatmaps: Its difficulties.
        defect: A name in `DEFECTS`, or empty.
        outcome: What a reader makes of it: `read`, `part` (its last difficulty is lost), `refused`,
            or `duplicate` (it is read, but a store has the like).
        says: The kind of fault, reason or flag that it names, or empty.
    """

    place: str
    title: str
    artist: str
    mapper: str
    version: int
    bpm: float
    tempo_beats: tuple[float, ...]
    tempo_bpms: tuple[float, ...]
    metre: int
    seconds: float
    audio: str
    sample_rate: int
    beatmaps: tuple[BeatmapTruth, ...]
    defect: str
    outcome: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SongCorpus:
    """A corpus as it lies on the disk.

    Attributes:
        folder: Where truth.jsonl, onsets.parquet, notes.parquet and corpus.json lie.
        maps: The folder of the maps within it.
        songs: What is true of every map, in the order of their names.
    """

    folder: Path
    maps: Path
    songs: tuple[SongTruth, ...]

    def onsets(self) -> pa.Table:
        """Return every onset: place, beat, seconds, part, pitch and velocity."""
        return pq.read_table(self.folder / ONSETS)

    def notes(self) -> pa.Table:
        """Return every note that a reader gets.

        Its columns are place, characteristic, difficulty, beat, lane, layer, color, direction,
        seconds.
        """
        return pq.read_table(self.folder / NOTES)


def make_song_corpus(folder: Path, options: SongCorpusOptions, show: Show = silent) -> SongCorpus:
    """Fill a folder with songs and their maps, unless these very songs are there already.

    It appears whole or not at all; another corpus at this place gives way to it.

    Raises:
        CachingError: Something else lies at this place, or it cannot be written.
    """
    refuse_other(folder, known_by=MADE_BY)
    made_by = json.dumps({"options": asdict(options), "source": _source()}, indent=1) + "\n"
    if not _is_there(folder, made_by):
        with replacing_folder(folder) as scratch:
            _write(scratch, options, show)
            (scratch / MADE_BY).write_text(made_by, encoding="utf-8", newline="\n")
    return SongCorpus(folder=folder, maps=folder / MAPS, songs=_truth(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A map before it is written."""

    truth: SongTruth
    level: LevelPlan
    files: Mapping[str, bytes]
    is_zip: bool
    defect: Defect | None


def _write(folder: Path, options: SongCorpusOptions, show: Show) -> None:
    (folder / MAPS).mkdir()
    began, total = time.monotonic(), options.songs + options.broken
    truths: list[SongTruth] = []
    onsets: list[pa.Table] = []
    notes: list[pa.Table] = []
    for number in range(total):
        made = _made(options, number)
        _write_map(folder / MAPS, made)
        truths.append(made.truth)
        onsets.append(_onset_rows(made))
        notes += _note_rows(made)
        show(
            Progress(
                stage="song corpus",
                done=number + 1,
                total=total,
                unit="maps",
                seconds=time.monotonic() - began,
                fresh=number + 1,
            )
        )
    lines = [json.dumps(asdict(truth), ensure_ascii=False) + "\n" for truth in truths]
    (folder / TRUTH).write_text("".join(lines), encoding="utf-8", newline="\n")
    pq.write_table(pa.concat_tables(onsets), folder / ONSETS)
    pq.write_table(pa.concat_tables(notes), folder / NOTES)


def _made(options: SongCorpusOptions, number: int) -> _Made:
    """Return a song, or behind them all a map with a defect."""
    turn = number - options.songs
    name = list(DEFECTS)[turn % len(DEFECTS)] if turn >= 0 else ""
    if name == "duplicate":
        return _copied(_made(options, 0), f"{number:05d}_{name}", name)
    defect = DEFECTS.get(name)
    # Maps with a defect have numbers of their own, so that more songs do not change them.
    index = turn if defect else number
    generator = _generator(options.seed, int(turn >= 0), index)
    share = 0.7 + 0.6 * float(generator.random())
    tune = _tune(index, _SHORT_SECONDS if defect else options.seconds * share, generator)
    version, is_compact = (defect.version, False) if defect else _VERSIONS[index % 4]
    is_late = (index // 4) % 2 == 1 or (version == 2 and len(tune.tempo.bpms) > 1)
    level, audio = _level(
        index,
        tune,
        _charts(_wanted(index, defect), tune, version, is_late, generator),
        version=version,
        is_compact=is_compact or (version == 4 and is_late),
        is_late=is_late,
    )
    files = level_files(level, audio) | {level.audio: audio, "cover.png": _cover(generator)}
    is_zip = defect.is_zip if defect else index % 5 == 4
    place = f"{number:05d}_{name or f'v{version}'}" + ".zip" * is_zip
    return _Made(
        truth=_told(place, level, name),
        level=level,
        files=defect.apply(files, level) if defect else files,
        is_zip=is_zip,
        defect=defect,
    )


def _copied(first: _Made, place: str, name: str) -> _Made:
    """Return a map once more, at another place."""
    defect = DEFECTS[name]
    truth = replace(first.truth, place=place, defect=name, outcome=defect.outcome, says=defect.says)
    return replace(first, truth=truth, defect=defect)


def _tune(index: int, seconds: float, generator: np.random.Generator) -> Tune:
    """Return the music of a song: every third changes its tempo, in two ways turn by turn."""
    metre = 3 if index % _WALTZ == _WALTZ - 1 else 4
    draw = float(generator.random())
    if index % 3 == 2:
        kind: TempoKind = "drifting" if index % 2 else "stepping"
        return compose(
            bpm=round(100 + 50 * draw, 1),
            kind=kind,
            metre=metre,
            seconds=seconds,
            generator=generator,
        )
    bpm = _STEADY[(index - (index + 1) // 3) % len(_STEADY)]
    if bpm < 1:
        bpm = round(90 + 89 * draw, 2 if bpm else 0)
    return compose(bpm=bpm, kind="steady", metre=metre, seconds=seconds, generator=generator)


def _wanted(index: int, defect: Defect | None) -> list[tuple[str, str]]:
    """Return the characteristics and difficulties of a map, the hardest last."""
    if defect:
        return [("Standard", difficulty) for difficulty in DIFFICULTIES[2:]]
    wanted = [("Standard", difficulty) for difficulty in _SETS[index % len(_SETS)]]
    extra = _EXTRA[index % len(_EXTRA)]
    return [*wanted, (extra, "Hard")] if extra else wanted


def _charts(
    wanted: Sequence[tuple[str, str]],
    tune: Tune,
    version: MapVersion,
    is_late: bool,
    generator: np.random.Generator,
) -> tuple[Chart, ...]:
    return tuple(
        choreograph(
            tune,
            characteristic,
            difficulty,
            generator,
            has_arcs=version > 2 or is_late,
            has_chains=version > 2,
        )
        for characteristic, difficulty in wanted
    )


def _level(
    index: int,
    tune: Tune,
    charts: tuple[Chart, ...],
    *,
    version: MapVersion,
    is_compact: bool,
    is_late: bool,
) -> tuple[LevelPlan, bytes]:
    """Return what a level is made of, and its audio file."""
    rate = _RATES[index % len(_RATES)]
    samples = tune.samples(rate)
    audio = "song.egg" if version == 2 else "song.ogg"
    first, last = index % len(_FIRST_WORDS), (index * 2 + index // 9) % len(_LAST_WORDS)
    level = LevelPlan(
        title=f"{_FIRST_WORDS[first]} {_LAST_WORDS[last]}",
        artist=_ARTISTS[index % len(_ARTISTS)],
        mapper=_MAPPERS[index % len(_MAPPERS)],
        tune=tune,
        charts=charts,
        version=version,
        is_compact=is_compact,
        is_late=is_late,
        audio=audio,
        sample_rate=rate,
        sample_count=len(samples),
    )
    return level, vorbis_bytes(samples, rate)


def _told(place: str, level: LevelPlan, name: str) -> SongTruth:
    defect = DEFECTS.get(name)
    return SongTruth(
        place=place,
        title=level.title,
        artist=level.artist,
        mapper=level.mapper,
        version=level.version,
        bpm=level.bpm,
        tempo_beats=level.tune.tempo.beats,
        tempo_bpms=level.tune.tempo.bpms,
        metre=level.tune.metre,
        seconds=round(level.sample_count / level.sample_rate, 6),
        audio=level.audio,
        sample_rate=level.sample_rate,
        beatmaps=tuple(
            BeatmapTruth(
                characteristic=chart.characteristic,
                difficulty=chart.difficulty,
                file=difficulty_file(chart),
                njs=chart.density.njs,
                offset=chart.density.offset,
                **_counts(chart, level, defect),
                is_readable=_is_readable(chart, level, defect),
            )
            for chart in level.charts
        ),
        defect=name,
        outcome=defect.outcome if defect else "read",
        says=defect.says if defect else "",
    )


def _counts(chart: Chart, level: LevelPlan, defect: Defect | None) -> dict[str, int]:
    counts = chart.counts()
    if defect and chart is level.charts[-1]:
        counts["notes"] -= defect.lost
    return counts


def _is_readable(chart: Chart, level: LevelPlan, defect: Defect | None) -> bool:
    """Return whether a reader gets a chart: of a map in part, all but the last one."""
    if defect is None or defect.outcome in ("read", "duplicate"):
        return True
    return defect.outcome == "part" and chart is not level.charts[-1]


def _write_map(folder: Path, made: _Made) -> None:
    path = folder / made.truth.place
    if made.is_zip:
        content = zip_bytes(made.files)
        path.write_bytes(
            content[: len(content) // 2] if made.truth.defect == "cut_zip" else content
        )
        return
    path.mkdir()
    for name, content in made.files.items():
        (path / name).write_bytes(content)


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip, in their order; audio is stored as it is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            is_packed = name.endswith((".ogg", ".egg", ".png"))
            entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return content.getvalue()


def _onset_rows(made: _Made) -> pa.Table:
    hits = made.level.tune.hits
    beats = hits.slot / SLOTS
    return pa.table(
        {
            "place": _repeated(made.truth.place, len(beats)),
            "beat": beats,
            "seconds": made.level.tune.tempo.seconds_at(beats),
            "part": pa.DictionaryArray.from_arrays(hits.part.astype(np.int8), list(PARTS)),
            "pitch": hits.pitch.astype(np.int16),
            "velocity": hits.velocity.astype(np.int16),
        }
    )


def _note_rows(made: _Made) -> Iterator[pa.Table]:
    for chart, truth in zip(made.level.charts, made.truth.beatmaps, strict=True):
        if not truth.is_readable:
            continue
        columns: dict[str, NDArray[Any]] = {
            "beat": np.array([beat_of(note.slot) for note in chart.notes], np.float64)
        }
        for name in ("lane", "layer", "color", "direction"):
            columns[name] = np.array([getattr(note, name) for note in chart.notes], np.int32)
        if made.defect and chart is made.level.charts[-1]:
            for name, value in made.defect.first.items():
                columns[name][0] = value
        told = {
            "place": _repeated(made.truth.place, truth.notes),
            "characteristic": _repeated(truth.characteristic, truth.notes),
            "difficulty": _repeated(truth.difficulty, truth.notes),
        }
        shown = {name: column[: truth.notes] for name, column in columns.items()}
        seconds = made.level.tune.tempo.seconds_at(shown["beat"])
        yield pa.table({**told, **shown, "seconds": seconds})


def _repeated(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int16), [text])


def _cover(generator: np.random.Generator) -> bytes:
    """Return a square PNG of coloured bars."""
    colors = (255 * generator.random((8, 3))).astype(np.uint8)
    columns = np.repeat(colors, _COVER // len(colors), axis=0)
    shade = np.linspace(0.35, 1, _COVER)[:, None, None]
    pixels = (columns[None] * shade).astype(np.uint8)
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">2I5B", _COVER, _COVER, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in parts)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _is_there(folder: Path, made_by: str) -> bool:
    path = folder / MADE_BY
    return path.is_file() and path.read_text("utf-8") == made_by


def _truth(folder: Path) -> tuple[SongTruth, ...]:
    lines = (folder / TRUTH).read_text("utf-8").splitlines()
    return tuple(_song_truth(json.loads(line)) for line in lines)


def _song_truth(values: dict[str, Any]) -> SongTruth:
    beatmaps = tuple(BeatmapTruth(**beatmap) for beatmap in values.pop("beatmaps"))
    beats, bpms = (_tuple(values.pop(name)) for name in ("tempo_beats", "tempo_bpms"))
    return SongTruth(beatmaps=beatmaps, tempo_beats=beats, tempo_bpms=bpms, **values)


def _tuple(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values)


def _source() -> str:
    """Return the fingerprint of the code that decides the bytes of a corpus."""
    here = Path(__file__)
    own = ("songs.py", "tunes.py", "choreography.py", "mapfiles.py", "defects.py")
    music = ("synthesiser.py", "vorbis.py")
    return source_fingerprint(
        [
            *(here.with_name(name) for name in own),
            *(here.parents[1] / "music" / name for name in music),
        ]
    )


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
