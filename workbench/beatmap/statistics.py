"""What a corpus of maps is like: density, cells, directions, tempi, what was left out or is lost.

Units: `nps` is notes a second from a beatmap's first note to its last; `bpm` is beats a minute;
shares are 0 to 1. Notes are read some songs at a time, so that a corpus of any size fits. A hand
goes back and forth; a swing that goes the way of the one before it, within less than 90 degrees,
makes the hand return for nothing: such swings are `repeats`. Notes of a hand that stand within
0.01 beats are one swing, a note that may be cut in any direction repeats none.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workbench.beatmap.maps.manifest import Skip, StoredBeatmap, StoredSong
from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache
from workbench.beatmap.writer.corpus import VOCABULARIES, ChosenChart, encoded_charts
from workbench.beatmap.writer.tokens import rounding_ms
from workbench.progress import Progress, Show, silent

LANES, LAYERS, DIRECTIONS, HANDS = 4, 3, 9, 2
DEGREES = (90, 270, 180, 0, 135, 45, 225, 315)  # of the directions, counter-clockwise from right

_SONGS_AT_ONCE = 500
_COLUMNS = ("song_hash", "beatmap", "difficulty", "beat", "lane", "layer", "color", "direction")
_ONE_SWING = 0.01  # beats
_ANY = 8

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyStatistics:
    """The beatmaps of one difficulty.

    Attributes:
        name: One of `DIFFICULTIES`, or `other`.
        nps: Notes a second of each beatmap that has two notes or more, float64 (n,).
        njs: Note jump speed of each beatmap that tells one, metres a second, float64 (m,).
        beatmaps: How many there are.
        notes: In all of them.
        swings: Swings that have one before them.
        repeats: Those of them that go the same way as that.
    """

    name: str
    nps: _Floats
    njs: _Floats
    beatmaps: int
    notes: int
    swings: int
    repeats: int

    @property
    def repeated_share(self) -> float:
        """Share of swings that repeat, 0 where there are none."""
        return self.repeats / self.swings if self.swings else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusStatistics:
    """A corpus in numbers.

    Attributes:
        songs: How many.
        counts: Kind of object: how many.
        difficulties: Those that occur, from the easiest.
        bpm: First tempo of each song, float64 (songs,).
        is_changing: Whether it changes, bool (songs,).
        cells: Notes of each hand, red first, in each layer and lane, int64 (2, 3, 4).
        directions: Notes of each hand in each direction, int64 (2, 9).
        off_grid: Notes outside the cells or with other directions, which are in neither.
        versions: Format of the difficulty files, as `3`: how many beatmaps.
        characteristics: As `Standard`: how many beatmaps.
    """

    songs: int
    counts: Mapping[str, int]
    difficulties: tuple[DifficultyStatistics, ...]
    bpm: _Floats
    is_changing: NDArray[np.bool_]
    cells: _Ints
    directions: _Ints
    off_grid: int
    versions: Mapping[str, int]
    characteristics: Mapping[str, int]

    @property
    def beatmaps(self) -> int:
        """How many beatmaps there are."""
        return sum(difficulty.beatmaps for difficulty in self.difficulties)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What a store left out, or found odd, for one reason.

    Attributes:
        reason: In a word.
        maps: Whole maps that are not in the store for it.
        difficulties: Single difficulties likewise.
        odd: Times that it was found in what is in the store.
        example: What was found where, once.
    """

    reason: str
    maps: int
    difficulties: int
    odd: int
    example: str


def corpus_statistics(store: Store, show: Show = silent) -> CorpusStatistics:
    """Return the statistics of a store.

    Args:
        store: The maps.
        show: Told about the songs whose notes were counted.

    Raises:
        BeatmapError: A file of the store cannot be read.
    """
    beatmaps = [beatmap for song in store.songs for beatmap in song.beatmaps]
    tally = _Tally()
    for table in _tables(store, show):
        tally.add(table)
    total: Counter[str] = Counter()
    for beatmap in beatmaps:
        total.update(beatmap.counts)
    return CorpusStatistics(
        songs=len(store.songs),
        counts=dict(total),
        difficulties=tuple(_difficulties(beatmaps, tally)),
        bpm=np.array([song.time_map.bpm[0] for song in store.songs], np.float64),
        is_changing=np.array([_changes(song) for song in store.songs], np.bool_),
        cells=tally.cells,
        directions=tally.directions,
        off_grid=tally.off_grid,
        versions=_shares(beatmap.version.partition(".")[0] or "none" for beatmap in beatmaps),
        characteristics=_shares(beatmap.characteristic for beatmap in beatmaps),
    )


def left_out(store: Store) -> tuple[LeftOut, ...]:
    """Return why maps and difficulties are not in a store, and what is odd in it, by reason.

    Those that cost whole maps stand first, then those that cost difficulties, the most frequent of
    each before the others.
    """
    skips: dict[str, list[Skip]] = {}
    for skip in store.skipped():
        skips.setdefault(skip.reason, []).append(skip)
    odd, examples = _oddities(store.songs)
    found = []
    for reason in skips.keys() | odd.keys():
        lost = skips.get(reason, [])
        maps = sum(skip.is_map for skip in lost)
        found.append(
            LeftOut(
                reason=reason,
                maps=maps,
                difficulties=len(lost) - maps,
                odd=odd[reason],
                example=_told(lost[0]) if lost else examples[reason],
            )
        )
    return tuple(sorted(found, key=lambda r: (-r.maps, -r.difficulties, -r.odd, r.reason)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLosses:
    """What tokens keep of charts.

    Attributes:
        vocabulary: Its name, one of `corpus.VOCABULARIES`.
        size: How many tokens it has.
        charts: How many charts.
        tokens: Of all of them.
        kept: Notes that became tokens.
        lost: Reason: notes that did not.
        mean_ms: By how much the others are moved in time on average, milliseconds.
        p99_ms: 99 of 100 notes by no more than that.
        max_ms: The farthest.
    """

    vocabulary: str
    size: int
    charts: int
    tokens: int
    kept: int
    lost: Mapping[str, int]
    mean_ms: float
    p99_ms: float
    max_ms: float

    @property
    def lost_share(self) -> float:
        """Share of all notes that are lost, 0 where there are none."""
        lost = sum(self.lost.values())
        return lost / (lost + self.kept) if lost + self.kept else 0.0


def token_losses(store: Store) -> tuple[TokenLosses, ...]:
    """Return what each vocabulary keeps of all charts whose difficulty it knows.

    Raises:
        BeatmapError: The store cannot be read.
    """
    charts = [
        ChosenChart(song=song, number=number, part="")
        for song in store.songs
        for number, beatmap in enumerate(song.beatmaps)
        if beatmap.difficulty in DIFFICULTIES
    ]
    return tuple(_losses(store, charts, name) for name in VOCABULARIES) if charts else ()


def chart_notes(store: Store, song: StoredSong, number: int) -> Notes:
    """Return the notes of one beatmap.

    Args:
        store: Where the song is.
        song: Which.
        number: Which of its beatmaps.

    Raises:
        BeatmapError: The store cannot be read.
    """
    charts = [ChosenChart(song=song, number=number, part="")]
    return next(notes for _, notes in _chart_notes(store, charts))


def densest_charts(store: Store, cache: FeatureCache) -> list[ChosenChart]:
    """Return of each song the chart with the most notes; songs without features are left out.

    Args:
        store: The songs.
        cache: The features of their sound.
    """
    found = []
    for song in store.songs:
        charts = [ChosenChart(song=song, number=n, part="") for n in range(len(song.beatmaps))]
        keys = {chart.feature_key for chart in charts} if song.audio_digest else set()
        heard = {key for key in keys if key in cache and cache.columns(key)}
        charts = [chart for chart in charts if chart.feature_key in heard]
        if charts:
            found.append(max(charts, key=lambda chart: chart.beatmap.counts["notes"]))
    return found


def repeated_swings(
    chart: NDArray[Any], beat: NDArray[Any], color: NDArray[Any], direction: NDArray[Any]
) -> tuple[NDArray[np.bool_], _Ints]:
    """Return which swings go the way of the one before them.

    Args:
        chart: Which chart each note is of, whole numbers (n,).
        beat: When, float (n,).
        color: Whose hand, (n,).
        direction: Which way, (n,); others than 0 to 8 count as any.

    Returns:
        Of each swing that has one before it of the same hand and chart: whether it repeats that,
        bool (m,); and its chart, int64 (m,).
    """
    order = np.lexsort((beat, color, chart))
    who, when = (chart * HANDS + color)[order], beat[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (np.diff(who) != 0) | (np.diff(when) > _ONE_SWING)
    first = order[starts]
    is_known = (direction[first] >= 0) & (direction[first] < _ANY)
    way = np.deg2rad(np.array(DEGREES))[np.where(is_known, direction[first], 0)]
    follows = np.diff((chart * HANDS + color)[first]) == 0
    is_same = np.cos(np.diff(way)) > 1e-9
    repeats = is_same & is_known[1:] & is_known[:-1]
    return repeats[follows], chart[first][1:][follows].astype(np.int64)


def _losses(store: Store, charts: Sequence[ChosenChart], name: str) -> TokenLosses:
    vocabulary = VOCABULARIES[name]
    encoded = encoded_charts(store, charts, vocabulary)
    moved = [
        rounding_ms(notes, vocabulary, chart.beatmap.time_map).astype(np.float32)
        for chart, notes in _chart_notes(store, charts)
    ]
    errors = np.concatenate(moved)
    if not len(errors):
        errors = np.zeros(1, np.float32)
    return TokenLosses(
        vocabulary=name,
        size=vocabulary.size,
        charts=len(encoded),
        tokens=len(encoded.tokens),
        kept=int(encoded.kept.sum()),
        lost={reason: int(counts.sum()) for reason, counts in encoded.lost.items()},
        mean_ms=float(errors.mean()),
        p99_ms=float(np.percentile(errors, 99)),
        max_ms=float(errors.max()),
    )


class _Tally:
    """Counts of notes that grow table by table."""

    def __init__(self) -> None:
        self.cells = np.zeros((HANDS, LAYERS, LANES), np.int64)
        self.directions = np.zeros((HANDS, DIRECTIONS), np.int64)
        self.off_grid = 0
        self.swings: Counter[str] = Counter()
        self.repeats: Counter[str] = Counter()

    def add(self, table: pa.Table) -> None:
        """Add the notes of some songs, all of each."""
        note = {
            name: table[name].to_numpy().astype(np.int64)
            for name in ("lane", "layer", "color", "direction", "beatmap")
        }
        is_on = np.ones(table.num_rows, np.bool_)
        limits = {"lane": LANES, "layer": LAYERS, "color": HANDS, "direction": DIRECTIONS}
        for name, limit in limits.items():
            is_on &= (note[name] >= 0) & (note[name] < limit)
        self.off_grid += int((~is_on).sum())
        on = {name: column[is_on] for name, column in note.items()}
        self.cells += _counted(self.cells.shape, on["color"], on["layer"], on["lane"])
        self.directions += _counted(self.directions.shape, on["color"], on["direction"])
        self._add_swings(table, note)

    def _add_swings(self, table: pa.Table, note: Mapping[str, _Ints]) -> None:
        song, _ = _codes(table["song_hash"])
        difficulty, names = _codes(table["difficulty"])
        most = int(note["beatmap"].max(initial=0)) + 1
        is_hand = (note["color"] >= 0) & (note["color"] < HANDS)
        chart = song * most + note["beatmap"]
        numbers, first = np.unique(chart, return_index=True)
        name_of = dict(zip(numbers.tolist(), (names[n] for n in difficulty[first]), strict=True))
        repeats, charts = repeated_swings(
            chart[is_hand],
            table["beat"].to_numpy()[is_hand],
            note["color"][is_hand],
            note["direction"][is_hand],
        )
        for number, total, again in _by_chart(charts, repeats):
            self.swings[name_of[number]] += total
            self.repeats[name_of[number]] += again


def _counted(shape: tuple[int, ...], *places: _Ints) -> _Ints:
    """Return how often each place of an array occurs."""
    flat = np.ravel_multi_index(places, shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)


def _by_chart(charts: _Ints, repeats: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield each chart with its swings and those that repeat."""
    numbers, places = np.unique(charts, return_inverse=True)
    totals = np.bincount(places, minlength=len(numbers))
    again = np.bincount(places, weights=repeats, minlength=len(numbers))
    yield from zip(numbers.tolist(), totals.tolist(), again.astype(int).tolist(), strict=True)


def _codes(column: pa.ChunkedArray) -> tuple[_Ints, list[str]]:
    """Return a number for each word of a column, and the words."""
    words = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(words, pa.ChunkedArray):
        words = pa.concat_arrays(words.unify_dictionaries().chunks)
    if not isinstance(words, pa.DictionaryArray):
        words = words.dictionary_encode()
    return words.indices.to_numpy().astype(np.int64), words.dictionary.to_pylist()


def _tables(store: Store, show: Show) -> Iterator[pa.Table]:
    """Yield the notes of some songs at a time."""
    began, total = time.monotonic(), len(store.songs)
    for start in range(0, total, _SONGS_AT_ONCE):
        songs = store.songs[start : start + _SONGS_AT_ONCE]
        table = store.table("notes", songs, _COLUMNS).unify_dictionaries()
        if table.num_rows:
            yield table.combine_chunks()
        done = start + len(songs)
        show(
            Progress(
                stage="counting notes",
                done=done,
                total=total,
                unit="songs",
                seconds=time.monotonic() - began,
                fresh=done,
            )
        )


def _chart_notes(
    store: Store, charts: Sequence[ChosenChart]
) -> Iterator[tuple[ChosenChart, Notes]]:
    """Yield charts with their notes, reading those of some songs at a time."""
    by_song: dict[str, list[ChosenChart]] = {}
    for chart in charts:
        by_song.setdefault(chart.song.key, []).append(chart)
    groups = list(by_song.values())
    for start in range(0, len(groups), _SONGS_AT_ONCE):
        some = groups[start : start + _SONGS_AT_ONCE]
        table = store.table("notes", [group[0].song for group in some], tuple(Notes.DTYPES))
        columns = {name: table[name].to_numpy() for name in Notes.DTYPES}
        row = 0
        for group in some:
            ends = row + np.cumsum([b.counts["notes"] for b in group[0].song.beatmaps])
            for chart in group:
                rows = slice(*np.append(row, ends)[chart.number : chart.number + 2])
                yield chart, Notes(**{name: column[rows] for name, column in columns.items()})
            row = int(ends[-1])


def _difficulties(
    beatmaps: Sequence[StoredBeatmap], tally: _Tally
) -> Iterator[DifficultyStatistics]:
    for name in (*DIFFICULTIES, "other"):
        here = [beatmap for beatmap in beatmaps if _named(beatmap.difficulty) == name]
        words = {beatmap.difficulty for beatmap in here}
        if here:
            yield DifficultyStatistics(
                name=name,
                nps=np.array([beatmap.nps for beatmap in here if beatmap.nps > 0], np.float64),
                njs=np.array([beatmap.njs for beatmap in here if beatmap.njs], np.float64),
                beatmaps=len(here),
                notes=sum(beatmap.counts.get("notes", 0) for beatmap in here),
                swings=sum(tally.swings[word] for word in words),
                repeats=sum(tally.repeats[word] for word in words),
            )


def _named(difficulty: str) -> str:
    return difficulty if difficulty in DIFFICULTIES else "other"


def _changes(song: StoredSong) -> bool:
    """Return whether a song's tempo changes, by itself or in any of its beatmaps."""
    return any(len(each.bpm) > 1 for each in _time_maps(song))


def _time_maps(song: StoredSong) -> Iterator[Any]:
    yield song.time_map
    yield from (beatmap.time_map for beatmap in song.beatmaps)


def _shares(words: Iterator[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _oddities(songs: Sequence[StoredSong]) -> tuple[Counter[str], dict[str, str]]:
    """Return how often each kind of fault is in stored songs, and an example of each."""
    odd: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for song in songs:
        each: tuple[StoredSong | StoredBeatmap, ...] = (song, *song.beatmaps)
        for told in each:
            odd.update(told.fault_counts)
            for fault in told.faults:
                examples.setdefault(fault.kind, f"{song.place}: {fault.place}, {fault.detail}")
    return odd, examples


def _told(skip: Skip) -> str:
    if skip.at:
        return f"{skip.place}: {skip.at}, {skip.detail}"
    is_named = skip.detail.startswith(skip.place)
    return skip.detail if is_named else f"{skip.place}: {skip.detail}"
