"""The charts of a store that a writer learns from: which they are, in which part, as tokens.

A part is chosen by the sound of a song, so that two maps of one song never stand on both sides,
and by nothing else, so that songs which are added move no other.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.manifest import StoredBeatmap, StoredSong
from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.maps.places import Place
from workbench.beatmap.maps.store import Store
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.cache import SongSound, feature_key
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.tokens import (
    EXTENDED,
    VOCABULARY_291,
    Counts,
    Encoded,
    Vocabulary,
    encode_many,
    upto,
)
from workbench.errors import BeatmapError
from workbench.options import did_you_mean

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")
VOCABULARIES = {"extended": EXTENDED, "291": VOCABULARY_291}
OFFICIAL = "official"
_MODS = {"mapping_extensions", "noodle"}
_BUCKETS = 2**52
_ROWS = 2_000_000  # notes that are in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenChart:
    """One difficulty of one song.

    Attributes:
        song: The song.
        number: Which of its beatmaps.
        part: `train`, `validation` or `test`.
    """

    song: StoredSong
    number: int
    part: str

    @property
    def beatmap(self) -> StoredBeatmap:
        """What is known of it."""
        return self.song.beatmaps[self.number]

    @property
    def feature_key(self) -> str:
        """What the features of its sound are known by, aligned to its own beats."""
        return feature_key(self.song.audio_digest, self.beatmap.time_map)


def part_of(audio_key: str, validation: float, test: float) -> str:
    """Return which part a song belongs to.

    A share that grows takes songs from `train` alone, and gives none of its own away.

    Args:
        audio_key: What its sound is known by.
        validation: Share of the songs in that part.
        test: Likewise.
    """
    digest = hashlib.sha256(f"part of {audio_key}".encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % _BUCKETS / _BUCKETS
    if bucket < test:
        return TEST
    return VALIDATION if bucket >= 1 - validation else TRAIN


def chosen_charts(
    songs: Sequence[StoredSong], options: DataOptions
) -> tuple[list[ChosenChart], dict[str, int]]:
    """Return the charts to learn from, in the order of the store, and why others are none.

    Args:
        songs: Of the store.
        options: Which are taken.

    Returns:
        The charts; and reason: how many charts were left out for it, the first that holds.

    Raises:
        BeatmapError: A song is to be held out that is not there.
    """
    chosen, left_out = [], Counter[str]()
    held = options.named_songs
    _refuse_unknown(held, songs)
    for song in songs:
        is_held = song.key in held or song.title in held
        part = part_of(song.audio_key, options.validation, options.test)
        part = VALIDATION if is_held else part
        of_song = _song_reason(song, options)
        for number, beatmap in enumerate(song.beatmaps):
            if reason := of_song or _chart_reason(beatmap, options):
                left_out[reason] += 1
            else:
                chosen.append(ChosenChart(song=song, number=number, part=part))
    return chosen, dict(sorted(left_out.items()))


def style_of(chart: ChosenChart) -> str:
    """Return whose style a chart is in: its first mapper's, or nothing."""
    return (*chart.beatmap.mappers, chart.song.mapper)[0].strip()


def styles_of(charts: Sequence[ChosenChart], songs: int) -> tuple[str, ...]:
    """Return the mappers of some songs to train on each, by name.

    Args:
        charts: Of all parts.
        songs: How many songs one has at least; 0 is nobody.
    """
    found = {(style_of(chart), chart.song.audio_key) for chart in charts if chart.part == TRAIN}
    counts = Counter(style for style, _ in found if style)
    return tuple(sorted(style for style, count in counts.items() if 0 < songs <= count))


def _refuse_unknown(held: Sequence[str], songs: Sequence[StoredSong]) -> None:
    """Refuse names of songs that are not there, as nothing would be held out for them.

    Raises:
        BeatmapError: There is one.
    """
    known = {name for song in songs for name in (song.key, song.title)}
    for name in held:
        if name not in known:
            near = did_you_mean(name, sorted(known))
            raise BeatmapError(
                f"hold_out: {name!r} is no title or key of a song in the store{near}", "no_song"
            )


def encoded_charts(store: Store, charts: Sequence[ChosenChart], vocabulary: Vocabulary) -> Encoded:
    """Return charts as tokens, read from the store some songs at a time.

    Args:
        store: Where they are.
        charts: Which, in the order of the store.
        vocabulary: Which tokens.

    Raises:
        BeatmapError: The store cannot be read, or a difficulty is none that tokens know.
    """
    return _joined([_encoded(store, some, vocabulary) for some in _portions(charts)])


def sounds_of(songs: Sequence[StoredSong], places: Mapping[str, Place]) -> list[SongSound]:
    """Return the sounds of songs whose files are there, one for each time map of a song.

    Args:
        songs: Of a store.
        places: Where their files are, by their keys.
    """
    found: dict[tuple[str, TimeMap], SongSound] = {}
    for song in songs:
        if not song.audio_digest or song.key not in places:
            continue
        for beatmap in song.beatmaps:
            sound = SongSound(
                path=places[song.key].path,
                names=(song.audio,),
                digest=song.audio_digest,
                time_map=beatmap.time_map,
            )
            found.setdefault((song.audio_digest, beatmap.time_map), sound)
    return list(found.values())


def song_weights(charts: Sequence[ChosenChart], options: DataOptions) -> NDArray[np.float64]:
    """Return how much each chart counts, before the shares of the sources.

    Args:
        charts: Which.
        options: How scores count.

    Returns:
        `(charts,)`; 1 for the game's own songs.
    """
    scores = [
        1.0
        if chart.song.source == OFFICIAL
        else (options.unrated_score if chart.song.score is None else chart.song.score)
        ** options.score_power
        for chart in charts
    ]
    return np.array(scores, np.float64)


def _song_reason(song: StoredSong, options: DataOptions) -> str:
    """Return why none of a song's charts is taken, or nothing."""
    if not song.audio_digest:
        return "no_audio"
    if song.song_time_offset:  # its notes sound elsewhere than their beats say
        return "song_time_offset"
    if not options.min_bpm <= song.bpm <= options.max_bpm:
        return "bpm"
    if song.score is None:
        return "" if options.unrated else "unrated"
    return "score" if song.score < options.min_score else ""


def _chart_reason(beatmap: StoredBeatmap, options: DataOptions) -> str:
    """Return why a chart is not taken, or nothing."""
    names = options.named_characteristics
    if names and beatmap.characteristic not in names:
        return "characteristic"
    if beatmap.difficulty not in options.difficulties:
        return "difficulty" if beatmap.difficulty in DIFFICULTIES else "odd_difficulty"
    if beatmap.counts["notes"] < options.min_notes:
        return "few_notes"
    return "modded" if _MODS & set(beatmap.flags) and not options.modded else ""


def _portions(charts: Sequence[ChosenChart]) -> Iterator[list[list[ChosenChart]]]:
    """Give charts by their songs, as many songs at a time as fit into memory."""
    some: list[list[ChosenChart]] = []
    rows = 0
    for _, group in groupby(charts, key=lambda chart: chart.song.key):
        of_song = list(group)
        some.append(of_song)
        rows += sum(beatmap.counts["notes"] for beatmap in of_song[0].song.beatmaps)
        if rows >= _ROWS:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _encoded(store: Store, songs: list[list[ChosenChart]], vocabulary: Vocabulary) -> Encoded:
    """Return the charts of some songs."""
    counts, wanted = [], []
    for charts in songs:
        numbers = {chart.number for chart in charts}
        for number, beatmap in enumerate(charts[0].song.beatmaps):
            counts.append(beatmap.counts["notes"])
            wanted.append(number in numbers)
    table = store.table("notes", [charts[0].song for charts in songs], tuple(Notes.DTYPES))
    columns = {name: table[name].to_numpy() for name in Notes.DTYPES}
    if not all(wanted):
        rows = np.repeat(wanted, counts)
        columns = {name: column[rows] for name, column in columns.items()}
    lengths = np.array(counts, np.int64)[np.array(wanted, bool)]
    return encode_many(
        Notes(**columns),
        upto(lengths),
        [chart.beatmap.difficulty for charts in songs for chart in charts],
        vocabulary,
    )


def _joined(parts: Sequence[Encoded]) -> Encoded:
    """Return charts one behind another."""
    if len(parts) == 1:
        return parts[0]
    reasons = sorted({reason for part in parts for reason in part.lost})
    tokens = upto([len(part.tokens) for part in parts])
    bars = upto([len(part.bars) for part in parts])
    return Encoded(
        tokens=_concatenated([part.tokens for part in parts], np.int16),
        offsets=_moved([part.offsets for part in parts], tokens),
        bars=_concatenated(
            [part.bars + at for part, at in zip(parts, tokens, strict=False)], np.int64
        ),
        bar_offsets=_moved([part.bar_offsets for part in parts], bars),
        kept=_concatenated([part.kept for part in parts], np.int64),
        lost={
            reason: _concatenated(
                [part.lost.get(reason, np.zeros(len(part), np.int64)) for part in parts], np.int64
            )
            for reason in reasons
        },
        turned=_concatenated([part.turned for part in parts], np.int64),
    )


def _moved(offsets: Sequence[Counts], starts: Counts) -> Counts:
    """Return offsets of parts as those of the whole."""
    inner = [each[:-1] + at for each, at in zip(offsets, starts, strict=False)]
    return np.concatenate([*inner, [starts[-1]]]).astype(np.int64)


def _concatenated(arrays: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)
