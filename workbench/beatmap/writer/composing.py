"""From a song's file to a map that the game plays.

The song's beats are found, silence is put in front so that bars begin where the grid's do, the
writer writes, and what it wrote goes into a zip that has passed the strict check. Where notes a
second are asked for, the writer is leaned toward more or fewer until it comes close.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from workbench import __version__
from workbench.beatmap.maps.export import ChartPlan, MapPlan, notes_a_second, write_map
from workbench.beatmap.maps.objects import DIFFICULTIES, Notes, Objects
from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.generating import Request, write_song
from workbench.beatmap.writer.mel import Features, mel
from workbench.beatmap.writer.model import MapWriter
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.beatmap.writer.song_sound import PreparedSong, prepare_song
from workbench.beatmap.writer.tokens import Tokens, Vocabulary, decode
from workbench.errors import BeatmapError
from workbench.progress import Progress, Show, silent

FORMATS = {"v2": 2, "v3": 3, "v4": 4}

_CLOSE = 0.05  # of the notes a second that are asked for
_MOST_ROUNDS = 5
_LAST_NOTE = 0.5  # seconds before the end of the audio


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composed:
    """Maps that were written for a song.

    Attributes:
        song: The song, with silence in front.
        features: What the writer heard of it, `(columns, channels)` float16.
        charts: Difficulty: its notes.
        nps: Difficulty: notes a second.
        rounds: How often they were written until they were as dense as was asked for.
        seconds: How long it took, with the song's preparation.
    """

    song: PreparedSong
    features: Features
    charts: Mapping[str, Notes]
    nps: Mapping[str, float]
    rounds: int
    seconds: float


def compose(
    path: Path, writer: MapWriter, options: GenerateOptions, show: Show = silent
) -> Composed:
    """Write maps for a song.

    Args:
        path: An audio file.
        writer: Writes them.
        options: What is asked for.
        show: Told about the progress.

    Raises:
        BeatmapError: The song cannot be read, or has no beat; or the writer does not know the
            style; or it finds nothing to write.
    """
    begun = time.monotonic()
    requests = requests_of(writer, options)
    show(_progress("listening", begun))
    song = prepare_song(
        path,
        writer.card.spec,
        bpm=options.bpm or None,
        first_beat=None if options.first_beat < 0 else options.first_beat,
    )
    features = mel(song.samples, writer.card.spec, song.time_map)
    write = partial(write_song, writer, features, strands=options.strands, show=show)
    charts, rounds = _as_dense(
        partial(_charts, write, song, writer.card.shape.tokens), requests, options.nps, song
    )
    if empty := [name for name, notes in charts.items() if not len(notes)]:
        raise BeatmapError(
            f"{path}: the writer finds no note for {', '.join(empty)}; train it for longer, ask "
            "for more with --nps, or raise --temperature",
            "no_notes",
        )
    return Composed(
        song=song,
        features=features,
        charts=charts,
        nps={name: notes_a_second(notes, song.time_map) for name, notes in charts.items()},
        rounds=rounds,
        seconds=time.monotonic() - begun,
    )


def plan_of(composed: Composed, mapper: str = "") -> MapPlan:
    """Return what is exported of maps that were written.

    Args:
        composed: The maps.
        mapper: Who is named for them.
    """
    song = composed.song
    return MapPlan(
        title=song.title,
        artist=song.artist,
        mapper=mapper,
        bpm=song.tempo.bpm,
        audio=song.egg,
        preview_start=min(max(song.seconds / 3, song.lead_silence), song.seconds),
        preview_seconds=min(10.0, song.seconds / 3),
        generated=f"workbench {__version__}",
        charts=tuple(
            ChartPlan(difficulty=name, objects=replace(Objects.none(), notes=notes))
            for name, notes in composed.charts.items()
        ),
    )


def export(composed: Composed, path: Path, format_: str) -> None:
    """Write maps as a zip that the game plays, or as a folder where the name says no zip.

    Args:
        composed: The maps.
        path: Where.
        format_: One of `FORMATS`.

    Raises:
        BeatmapError: A strict rule is broken; all that are, are told.
        CachingError: It cannot be written.
    """
    write_map(plan_of(composed), path, FORMATS[format_])


def requests_of(writer: MapWriter, options: GenerateOptions) -> list[Request]:
    """Return what is asked for, a request a difficulty.

    Raises:
        BeatmapError: The writer does not know the style.
    """
    style = writer.card.style(options.style)
    manner = Manner(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        spacing=math.ceil(options.spacing * writer.card.shape.tokens.slots),
        parity=options.parity,
    )
    return [
        Request(
            difficulty=DIFFICULTIES.index(name),
            density=options.nps or math.nan,
            style=style,
            seed=options.seed,
            manner=manner,
        )
        for name in options.difficulties
    ]


def _as_dense(
    write: Callable[[Sequence[Request]], dict[str, Notes]],
    requests: Sequence[Request],
    nps: float,
    song: PreparedSong,
) -> tuple[dict[str, Notes], int]:
    """Return maps as dense as is asked for, the nearest of some rounds, and how many there were.

    Each round leans the writer by the logarithm of what is missing, as a slot's odds go.
    """
    charts = write(requests)
    if not nps:
        return charts, 1
    leanings = [0.0] * len(requests)
    best = dict(charts)
    for rounds in range(1, _MOST_ROUNDS + 1):
        got = [notes_a_second(charts[name], song.time_map) for name in charts]
        for name, notes in charts.items():
            if _off(notes, nps, song) < _off(best[name], nps, song):
                best[name] = notes
        if rounds == _MOST_ROUNDS or all(_off(n, nps, song) < _CLOSE for n in best.values()):
            break
        leanings = [
            lean + math.log(nps / max(found, nps / 16))
            for lean, found in zip(leanings, got, strict=True)
        ]
        charts = write(
            [replace(r, leaning=lean) for r, lean in zip(requests, leanings, strict=True)]
        )
    return best, rounds


def _off(notes: Notes, nps: float, song: PreparedSong) -> float:
    """Return by how much notes a second are off, as a share."""
    return abs(notes_a_second(notes, song.time_map) / nps - 1)


def _charts(
    write: Callable[[Sequence[Request]], list[Tokens]],
    song: PreparedSong,
    vocabulary: Vocabulary,
    requests: Sequence[Request],
) -> dict[str, Notes]:
    """Return the notes of each difficulty."""
    names = [DIFFICULTIES[request.difficulty] for request in requests]
    return {
        name: _playable(tokens, vocabulary, song)
        for name, tokens in zip(names, write(requests), strict=True)
    }


def _playable(tokens: Tokens, vocabulary: Vocabulary, song: PreparedSong) -> Notes:
    """Return the notes of tokens but those that would come when the song is over."""
    notes, _ = decode(tokens, vocabulary)
    in_time = song.time_map.seconds_at(notes.beat) < song.seconds - _LAST_NOTE
    return notes.take(in_time)


def _progress(stage: str, begun: float) -> Progress:
    return Progress(
        stage=stage, done=0, total=1, unit="songs", seconds=time.monotonic() - begun, fresh=0
    )
