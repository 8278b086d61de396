"""Drum MIDI corpora made by the program itself: invented drummers play 16 styles.

Units: a `level` is a written loudness from 1 (ghost) to 9 (accent); a `cell` is 1/24 of a
quarter note, which holds thirty-seconds and triplets alike; `bpm` is quarter notes a minute, also
in 6/8; `swing` is where the off-beat stands in its pair, 0.5 straight, 0.67 a triplet. Files are
480 ticks a quarter note with General MIDI and Roland TD-11 pitches, and are named as those of the
Groove MIDI Dataset (Gillick et al., ICML 2019), whose densities they were measured against.

A style is a few grooves in drum tablature. A piece takes two of them, decides once which of the
optional hits are its own, and repeats that in phrases of 4 or 8 bars with answers, small
variations and fills. Only uniform random numbers, sums, products and rounding are used, so a seed
gives the same bytes on every platform; every file has its own generator, so a large corpus begins
with the files of a small one.
"""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.caching.files import replacing_folder
from workbench.caching.fingerprint import source_fingerprint
from workbench.demo.malformed import DEFECTS, malformed_bytes
from workbench.demo.styles import CELLS, DRUMMERS, STYLES, Drummer, DrumStyle
from workbench.errors import MusicError
from workbench.music.writer import MidiTrack, midi_bytes
from workbench.options import check, did_you_mean, refuse
from workbench.progress import Progress, Show, silent

PPQ = 480
FILES_A_FOLDER = 1000

_CELL_TICKS = PPQ // CELLS
_NOTE_TICKS = 60  # a pad knows no length; the writer cuts what overlaps
_GRACE_MS = 26.0  # how long before its hit the grace note of a flam sounds
_OPTIONAL = 16  # added to the level of an optional hit in a tab
_FLAM = 32  # added to the level of a hit with a grace note
_VELOCITIES = (0, 11, 21, 32, 44, 58, 73, 89, 106, 121)  # of the levels, before the drummer
_VOICES = "KSXHOPRBCTMF"
_K, _S, _X, _H, _O, _P, _R, _B, _C = range(9)
_TIMEKEEPERS = [_H, _O, _R, _B]
_FORMS = ((0, 0, 1, 0), (0, 1), (0, 0, 1, 1), (0, 0, 0, 1))  # phrases of first and second groove

_LEVELS = ".123456789      .abcdefghi"  # the place of a character is its level, optional or not
_SWUNG_CELLS = {"straight": 24, "eighths": 24, "sixteenths": 12}

# The rhythm of a beat of a fill, in cells; a felt beat of 6/8 has 36.
_STRAIGHT_RHYTHMS = (
    (0, 6, 12, 18),
    (0, 6, 12, 18),
    (0, 12, 18),
    (0, 6, 12),
    (0, 6, 18),
    (0, 12),
    (0, 3, 6, 12, 18),
    (0, 6, 12, 15, 18, 21),
)
_TRIPLET_RHYTHMS = ((0, 8, 16), (0, 8, 16), (0, 16), (0, 4, 8, 12, 16, 20), (0, 4, 8, 16))
_COMPOUND_RHYTHMS = (
    (0, 12, 24),
    (0, 6, 12, 18, 24, 30),
    (0, 12, 24, 30),
    (0, 12, 18, 24),
    (0, 24),
)
_FILL_PATHS = ("STMF", "STMF", "SSTF", "SSSS", "SSSM", "STTF", "SFSF", "SSMF", "TTMF", "SSSS")

_Levels = NDArray[np.uint8]
_Floats = NDArray[np.float64]
_Choice = TypeVar("_Choice")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumCorpusOptions:
    """What a corpus of drum files shall hold.

    Attributes:
        files: Number of files [1..1000000].
        seed: Decides every note [0..4294967295].
        least_bars: Bars of the shortest beat [1..512].
        most_bars: Bars of the longest beat [1..512].
        styles: Names of styles with commas between, or all.
        fills: Share of files that are fills of one or two bars instead of beats [0..1].
        duplicates: Share of files that are exact copies of earlier ones [0..0.9].
        broken: Share of files with a known defect [0..0.9].
    """

    files: int = 300
    seed: int = 0
    least_bars: int = 8
    most_bars: int = 32
    styles: str = "all"
    fills: float = 0.35
    duplicates: float = 0.0
    broken: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        check(self)
        found = []
        if self.least_bars > self.most_bars:
            found.append(f"least_bars {self.least_bars} is above most_bars {self.most_bars}")
        if self.duplicates + self.broken > 0.95:
            found.append("duplicates and broken together leave under 5 % of the files whole")
        for name in self.style_names:
            if name not in STYLES:
                near = did_you_mean(name, STYLES)
                found.append(f"styles: {name!r} is none of {', '.join(STYLES)}{near}")
        refuse(found)

    @property
    def style_names(self) -> tuple[str, ...]:
        """The styles by name, each once."""
        if self.styles.strip() == "all":
            return tuple(STYLES)
        return tuple(dict.fromkeys(name.strip() for name in self.styles.split(",")))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumPiece:
    """What one file plays.

    Attributes:
        style: A name in `STYLES`.
        drummer: A name in `DRUMMERS`.
        section: `beat` or `fill`.
        bpm: Quarter notes a minute.
        bars: Its length.
        seed: Whole numbers that decide the rest; in a corpus its seed and the file's index.
    """

    style: str
    drummer: str
    section: str
    bpm: int
    bars: int
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumLabel:
    """One row of labels.csv.

    Attributes:
        file: Path relative to the folder of the corpus, with `/` between.
        style: A name in `STYLES`.
        drummer: A name in `DRUMMERS`.
        section: `beat` or `fill`.
        bpm: Quarter notes a minute.
        metre: As in file names: `4-4`, `6-8`.
    """

    file: str
    style: str
    drummer: str
    section: str
    bpm: int
    metre: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumCorpus:
    """A corpus as it lies on the disk.

    Attributes:
        folder: Where filelist.txt, labels.csv and corpus.json lie.
        paths: Every MIDI file, in the order of filelist.txt.
        labels: One of each path.
        copies: Files that are copies, and of which; paths as in `labels`.
        defects: Files that are broken, and how: a kind of `demo.malformed.KINDS`.
    """

    folder: Path
    paths: tuple[Path, ...]
    labels: tuple[DrumLabel, ...]
    copies: Mapping[str, str]
    defects: Mapping[str, str]


def make_drum_corpus(folder: Path, options: DrumCorpusOptions, show: Show = silent) -> DrumCorpus:
    """Fill a folder with drum files, unless these very files are there already.

    It appears whole or not at all and holds MIDI files in subfolders of at most 1,000,
    `labels.csv` (the fields of `DrumLabel`), `filelist.txt` (a path a line, relative to the
    folder) and `corpus.json` (what made it). Another corpus at this place gives way to it.

    Raises:
        MusicError: Something else lies at this place.
        CachingError: The folder cannot be written.
    """
    plans = [_plan(options, index) for index in range(options.files)]
    corpus = DrumCorpus(
        folder=folder,
        paths=tuple(folder / plan.label.file for plan in plans),
        labels=tuple(plan.label for plan in plans),
        copies={plan.label.file: plan.copy_of for plan in plans if plan.copy_of},
        defects={plan.label.file: plan.defect for plan in plans if plan.defect},
    )
    made_by = json.dumps({"options": asdict(options), "source": _source()}, indent=1) + "\n"
    if not _is_there(corpus, made_by):
        with replacing_folder(folder) as scratch:
            _write_pieces(scratch, plans, show)
            _write_lists(scratch, corpus.labels)
            _write_text(scratch / "corpus.json", made_by)
    return corpus


def piece_track(piece: DrumPiece) -> MidiTrack:
    """Return the notes of one piece with its tempo and metre.

    Raises:
        MusicError: There is no such style or drummer.
    """
    if piece.style not in STYLES or piece.drummer not in DRUMMERS:
        raise MusicError(
            f"{piece.style!r} by {piece.drummer!r}: the styles are {', '.join(STYLES)}, "
            f"the drummers {', '.join(DRUMMERS)}"
        )
    style, drummer = STYLES[piece.style], DRUMMERS[piece.drummer]
    generator = _generator(*piece.seed, 1)
    compose = _fill_bars if piece.section == "fill" else _beat_bars
    levels, swing = compose(style, drummer, piece.bars, generator)
    tick, pitch, velocity = _played(levels, swing, drummer, piece.bpm, generator)
    return MidiTrack(
        tick=tick,
        duration=np.full(len(tick), _NOTE_TICKS),
        pitch=pitch,
        velocity=velocity,
        ppq=PPQ,
        tempos=((0, round(60_000_000 / piece.bpm)),),
        metres=((0, *style.metre),),
        name=f"{piece.style} {piece.section}",
        end_tick=piece.bars * style.bar_cells * _CELL_TICKS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What becomes of one file of a corpus; `copy_of` and `defect` are empty for most."""

    index: int
    piece: DrumPiece
    label: DrumLabel
    copy_of: str
    defect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tab:
    """A style's tab as arrays.

    Attributes:
        levels: `(grooves, 2, voices, cells)` uint8, levels of the two bars, 0 where silent.
        optional: The same shape, bool.
        swing: `(grooves, 2)`, the least and greatest swing.
        swung_cells: `(grooves,)`, cells of the pair that is swung.
    """

    levels: _Levels
    optional: NDArray[np.bool_]
    swing: _Floats
    swung_cells: NDArray[np.int64]


def _plan(options: DrumCorpusOptions, index: int) -> _Plan:
    special = _special(options, index)
    source = index
    if special == "copy":
        source = int(_generator(options.seed, index, 3).random() * index)
        while _special(options, source):
            source -= 1
    piece = _piece(options, source)
    defect = ""
    if special == "defect":
        defect = _pick(DEFECTS, _generator(options.seed, index, 4))
    copy_of = _label(piece, source).file if source != index else ""
    return _Plan(
        index=index, piece=piece, label=_label(piece, index), copy_of=copy_of, defect=defect
    )


def _special(options: DrumCorpusOptions, index: int) -> str:
    """Return copy, defect or nothing for a file; spread evenly, the first file is never special."""
    copies, defects = (round(1e6 * share) for share in (options.duplicates, options.broken))
    before, after = (count * (copies + defects) // 1_000_000 for count in (index, index + 1))
    if before == after:
        return ""
    earlier, with_this = (count * defects // (copies + defects) for count in (before, after))
    return "copy" if earlier == with_this else "defect"


def _piece(options: DrumCorpusOptions, index: int) -> DrumPiece:
    """Return what a file plays; each run of as many files as there are styles has them all."""
    names = options.style_names
    turn, place = divmod(index, len(names))
    order = np.argsort(_generator(options.seed, turn, 2).random(len(names)), kind="stable")
    name = names[order[place]]
    generator = _generator(options.seed, index, 0)
    drummer = _pick(tuple(DRUMMERS), generator)
    slowest, fastest = STYLES[name].bpm
    bpm = slowest + int(generator.random() * (fastest - slowest + 1))
    if generator.random() < options.fills:
        section, bars = "fill", 1 + (generator.random() < 0.25)
    else:  # whole groups of four bars above the least
        groups = (options.most_bars - options.least_bars) // 4 + 1
        section, bars = "beat", options.least_bars + 4 * int(generator.random() * groups)
    return DrumPiece(
        style=name,
        drummer=drummer,
        section=section,
        bpm=bpm,
        bars=bars,
        seed=(options.seed, index),
    )


def _label(piece: DrumPiece, index: int) -> DrumLabel:
    metre = "{}-{}".format(*STYLES[piece.style].metre)
    session, number = divmod(index, 100)
    stem = f"{piece.drummer}__session{session + 1}__{number + 1}"
    name = f"{stem}_{piece.style}_{piece.bpm}_{piece.section}_{metre}.mid"
    return DrumLabel(
        file=f"{index // FILES_A_FOLDER:04d}/{name}",
        style=piece.style,
        drummer=piece.drummer,
        section=piece.section,
        bpm=piece.bpm,
        metre=metre,
    )


def _is_there(corpus: DrumCorpus, made_by: str) -> bool:
    """Return whether a folder holds this corpus, refusing a folder that holds anything else."""
    folder = corpus.folder
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise MusicError(f"{folder}: is no folder; name another place for the corpus")
    present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    own = {"labels.csv", "filelist.txt", "corpus.json"}
    if strangers := present - own - _listed(folder):
        raise MusicError(
            f"{folder}: holds {min(strangers)!r}, which no corpus put there; "
            "move it away or name another folder"
        )
    wanted = own.union(label.file for label in corpus.labels)
    return wanted == present and (folder / "corpus.json").read_text("utf-8") == made_by


def _listed(folder: Path) -> set[str]:
    file_list = folder / "filelist.txt"
    return set(file_list.read_text("utf-8").splitlines()) if file_list.is_file() else set()


def _write_pieces(folder: Path, plans: Sequence[_Plan], show: Show) -> None:
    began = time.monotonic()
    for done, plan in enumerate(plans, start=1):
        path = folder / plan.label.file
        if plan.index % FILES_A_FOLDER == 0:
            path.parent.mkdir()
        path.write_bytes(_content(folder, plan))
        if done % 100 == 0 or done == len(plans):
            show(
                Progress(
                    stage="drum corpus",
                    done=done,
                    total=len(plans),
                    unit="files",
                    seconds=time.monotonic() - began,
                    fresh=done,
                )
            )


def _content(folder: Path, plan: _Plan) -> bytes:
    if plan.copy_of:
        return (folder / plan.copy_of).read_bytes()
    whole = midi_bytes(piece_track(plan.piece))
    return malformed_bytes(plan.defect, seed=plan.index, whole=whole) if plan.defect else whole


def _write_lists(folder: Path, labels: Sequence[DrumLabel]) -> None:
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, [f.name for f in fields(DrumLabel)], lineterminator="\n")
        rows.writeheader()
        rows.writerows(asdict(label) for label in labels)
    _write_text(folder / "filelist.txt", "".join(f"{label.file}\n" for label in labels))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _source() -> str:
    """Return the fingerprint of the code that decides the bytes of a corpus."""
    here = Path(__file__)
    writer = here.parents[1] / "music" / "writer.py"
    own = [here, here.with_name("styles.py"), here.with_name("malformed.py")]
    return source_fingerprint([*own, writer])


def _beat_bars(
    style: DrumStyle, drummer: Drummer, bars: int, generator: np.random.Generator
) -> tuple[_Levels, _Floats]:
    """Return levels `(bars, voices, cells)` of a beat and its swing `(bars, cells)`."""
    tab = _tab(style)
    order = np.argsort(generator.random(len(tab.levels)), kind="stable")
    own = order[[0, -1]]  # the two grooves of this piece, the same where a style has but one
    bar = np.arange(bars)
    phrase, answer = _pick(((4, 4), (4, 2), (4, 4), (8, 4), (8, 2)), generator)
    form = np.array(_pick(_FORMS, generator))
    groove = form[bar // phrase % len(form)]
    is_answer = (bar % answer == answer - 1).astype(int)
    optional = tab.optional[own]
    habit = generator.random(optional.shape) < drummer.busy
    answers = habit ^ (generator.random(optional.shape) < 0.35)
    played = np.stack([habit, answers])[is_answer, groove, bar % 2]
    played ^= generator.random(played.shape) < style.looseness
    played |= ~optional[groove, bar % 2]
    levels = np.where(played, tab.levels[own][groove, bar % 2], 0)
    swing = _swing(tab, own, generator.random())[groove]
    _add_fills(levels, phrase, style, drummer, generator)
    if bars > 4 and generator.random() < 0.5:
        levels[-1] = 0
        levels[-1, [_K, _C], 0] = 8, 7
    return _settled(levels), swing


def _fill_bars(
    style: DrumStyle, drummer: Drummer, bars: int, generator: np.random.Generator
) -> tuple[_Levels, _Floats]:
    """Return levels and swing of a file that is a fill, as `_beat_bars`; some lead into it."""
    tab = _tab(style)
    own = np.argsort(generator.random(len(tab.levels)), kind="stable")[:1]
    swing = _swing(tab, own, generator.random()).repeat(bars, axis=0)
    silenced = tab.optional[own[0]] & (generator.random(tab.levels[0].shape) >= drummer.busy)
    levels = np.where(silenced, 0, tab.levels[own[0]])[:bars]
    for bar in range(bars):
        is_last = bar == bars - 1
        if is_last or generator.random() < 0.5:
            start, fill = _fill(style, _pick((0, 0, style.beats // 2), generator), generator)
            levels[bar, :, start:] = fill[:, start:]
    return _settled(levels), swing


def _swing(tab: _Tab, grooves: NDArray[np.int64], amount: float) -> _Floats:
    """Return how many cells later each cell of a bar sounds, `(len(grooves), cells)`.

    Triplets stay where they are; everything else moves with the off-beat of its pair.
    """
    cell = np.arange(tab.levels.shape[-1])
    pair = tab.swung_cells[grooves, None]
    low, high = tab.swing[grooves].T[..., None]
    place = cell % pair * 2 / pair
    nearness = 1 - np.abs(1 - place)  # 0 on the first of a pair, 1 on its off-beat
    shift = (low + (high - low) * amount - 0.5) * pair * nearness
    return np.where(cell % 3 == 0, shift, 0.0)


def _add_fills(
    levels: _Levels, phrase: int, style: DrumStyle, drummer: Drummer, generator: np.random.Generator
) -> None:
    """Play one of the piece's two fills at the end of some phrases, and a crash after it."""
    bars = len(levels)
    firsts = (style.beats - 1, style.beats - 2, style.beats - 2, 0)
    own = [_fill(style, _pick(firsts, generator), generator) for _ in range(2)]
    liking = style.crashes * drummer.crashes
    crashes = [0] if generator.random() < 0.5 * liking else []
    for bar in range(phrase - 1, bars, phrase):
        if generator.random() >= drummer.fills:
            continue
        start, fill = _pick(own, generator)
        levels[bar, :, start:] = fill[:, start:]
        if bar + 1 < bars and generator.random() < liking:
            crashes.append(bar + 1)
    levels[np.ix_(crashes, _TIMEKEEPERS, [0])] = 0
    levels[crashes, _C, 0] = 8
    levels[crashes, _K, 0] = np.maximum(levels[crashes, _K, 0], 7)


def _fill(style: DrumStyle, first: int, generator: np.random.Generator) -> tuple[int, _Levels]:
    """Return the cell where a fill starts and its bar `(voices, cells)`.

    It begins on a felt beat, has a rhythm for every beat, and is led over the drums.
    """
    levels = np.zeros((len(_VOICES), style.bar_cells), dtype=np.uint8)
    path = _pick(_FILL_PATHS, generator)
    linear, flams, feet = generator.random(3) < (0.25, 0.25, 0.5)
    usual = _pick(_rhythms(style, generator), generator)
    for beat in range(first, style.beats):
        way = (beat - first) / (style.beats - first)
        own = _pick(_rhythms(style, generator), generator)
        rhythm = usual if generator.random() < 0.5 else own
        cells = beat * style.beat_cells + np.array(rhythm)
        voice = _VOICES.index(path[int(way * len(path))])
        levels[voice, cells] = 5 + round(2 * way)
        levels[voice, cells[0]] += 2 + _FLAM * flams
        if linear and len(cells) > 2:
            levels[voice, cells[-1]] = 0
            levels[_K, cells[-1]] = 6
        if feet:
            levels[_K, beat * style.beat_cells] = 6
    return first * style.beat_cells, levels


def _rhythms(style: DrumStyle, generator: np.random.Generator) -> Sequence[tuple[int, ...]]:
    if style.metre[1] == 8:
        return _COMPOUND_RHYTHMS
    return _TRIPLET_RHYTHMS if generator.random() < style.triplets else _STRAIGHT_RHYTHMS


def _settled(levels: _Levels) -> _Levels:
    """Return levels that one pair of hats, one snare drum and two hands can sound."""
    for stays, goes in ((_O, _H), (_O, _P), (_H, _P), (_S, _X)):
        levels[:, goes][levels[:, stays] > 0] = 0
    hands = np.delete(levels, (_K, _P), axis=1)
    levels[:, _H][(hands > 0).sum(axis=1) > 2] = 0
    return levels


def _played(
    levels: _Levels,
    swing: _Floats,
    drummer: Drummer,
    bpm: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return tick, pitch and velocity of every hit as a drummer plays what is written."""
    bar, voice, cell = np.nonzero(levels)
    level = levels[bar, voice, cell]
    late, kit = _hands(drummer)
    loud = 64 + (np.array(_VELOCITIES)[level % _OPTIONAL] - 64) * drummer.contrast
    loud += drummer.loudness + 6 * _bell(generator, 1)  # how loud the whole piece is meant
    loud += np.where(cell % CELLS == 0, drummer.accent, 0) + 7 * _bell(generator, len(bar))
    velocity = np.clip(np.rint(loud), 1, 127).astype(np.int64)
    place = bar * levels.shape[2] + cell
    ms = late[voice] + drummer.spread_ms * _bell(generator, len(bar))
    ms += _drift(generator, levels.shape[0] * levels.shape[2])[place // CELLS]
    ticks_a_ms = bpm * PPQ / 60_000
    tick = np.rint((place + swing[bar, cell]) * _CELL_TICKS + ms * ticks_a_ms).astype(np.int64)
    pitch = kit[voice, (velocity >= 98).astype(int)]
    flam = level >= _FLAM
    grace = tick[flam] - round(_GRACE_MS * ticks_a_ms)
    tick = np.maximum(np.concatenate([tick, grace]), 0)
    pitch = np.concatenate([pitch, pitch[flam]])
    return tick, pitch, np.concatenate([velocity, velocity[flam] * 2 // 5 + 1])


def _drift(generator: np.random.Generator, cells: int) -> _Floats:
    """Return how many ms the whole kit is late in every beat: a slow, bounded wander."""
    steps = _bell(generator, cells // CELLS + 9)
    walk: _Floats = np.cumsum(steps)
    return walk[8:] - walk[:-8]


def _bell(generator: np.random.Generator, count: int) -> _Floats:
    """Return draws of mean 0 and deviation 1, of sums only: the same on every platform."""
    draws = generator.random((3, count))
    bell: _Floats = (draws[0] + draws[1] + draws[2] - 1.5) * 2
    return bell


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _pick(choices: Sequence[_Choice], generator: np.random.Generator) -> _Choice:
    return choices[int(generator.random() * len(choices))]


def _hands(drummer: Drummer) -> tuple[_Floats, NDArray[np.int64]]:
    """Return how late each voice is in ms `(voices,)` and its pitches `(voices, 2)`."""
    late = [drummer.late_ms + drummer.voice_late_ms.get(voice, 0.0) for voice in _VOICES]
    return np.array(late), np.array([drummer.kit[voice] for voice in _VOICES])


@cache
def _tab(style: DrumStyle) -> _Tab:
    """Return a style's tab as arrays.

    Raises:
        ValueError: A bar's characters do not divide it.
    """
    grooves: list[_Levels] = []
    swings = []
    for line in style.tab.split("\n"):
        word, *rest = line.split()
        if word in _SWUNG_CELLS:
            low, high = (float(number) for number in rest) if rest else (0.5, 0.5)
            swings.append((_SWUNG_CELLS[word], low, high))
            grooves.append(np.zeros((2, len(_VOICES), style.bar_cells), dtype=np.uint8))
            continue
        first, _, second = rest[0].partition("|")
        for bar, text in enumerate((first, second or first)):
            step, left = divmod(style.bar_cells, len(text))
            if left:
                raise ValueError(f"{line!r} does not divide a bar of {style.bar_cells} cells")
            written = [_LEVELS.index(character) for character in text]
            grooves[-1][bar, _VOICES.index(word), ::step] = written
    levels = np.stack(grooves)
    swung, low, high = np.array(swings).T
    return _Tab(
        levels=levels % _OPTIONAL,
        optional=levels >= _OPTIONAL,
        swing=np.stack([low, high], axis=1),
        swung_cells=swung.astype(np.int64),
    )
