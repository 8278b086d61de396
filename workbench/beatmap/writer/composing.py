"""From a song's file to a map that the game plays.

The song's beats are found, silence is put in front so that bars begin where the grid's do, the
writer writes, and what it wrote goes into a zip that has passed the strict check. Where notes a
second are asked for, the writer is leaned toward more or fewer until it comes close.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from workbench import __version__
from workbench.beatmap.maps.checks import SAME_BEAT
from workbench.beatmap.maps.export import ChartPlan, MapPlan, notes_a_second, write_map
from workbench.beatmap.maps.objects import DIFFICULTIES, Notes, Objects
from workbench.beatmap.maps.patterns import HOT_START
from workbench.beatmap.maps.strict import INFO
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.generating import Request, write_song
from workbench.beatmap.writer.mel import Features, mel
from workbench.beatmap.writer.model import MapWriter
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.beatmap.writer.song_sound import PreparedSong, prepare_song
from workbench.beatmap.writer.tokens import decode
from workbench.caching.files import refuse_other
from workbench.errors import BeatmapError, CachingError
from workbench.progress import Progress, Show, silent

logger = logging.getLogger(__name__)

FORMATS = {"v2": 2, "v3": 3, "v4": 4}

_CLOSE = 0.05  # nats, of the notes a second that are asked for
_MOST_ROUNDS = 7
_LEAST_SHARE = 1 / 16  # of what is asked for, that an empty map counts for
_FIRST_SLOPE = 0.5  # nats of density a logit of leaning; a writer that is sure bends less than 1
_LEAST_SLOPE = 0.1
_LONGEST_STEP = 4.0  # logits
_EARLY = 0.1  # seconds that a note may come before what it belongs to is heard
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
    show(_progress(0, begun))
    song = prepare_song(
        path,
        writer.card.spec,
        bpm=options.bpm or None,
        first_beat=None if options.first_beat < 0 else options.first_beat,
    )
    features = mel(song.samples, writer.card.spec, song.time_map)
    show(_progress(1, begun))

    def write(asked: Sequence[Request], rounds: int) -> dict[str, Notes]:
        told = _of_round(show, rounds)
        found = write_song(writer, features, asked, strands=options.strands, show=told)
        return {
            DIFFICULTIES[request.difficulty]: playable(
                decode(tokens, writer.card.shape.tokens)[0], song, options.spacing
            )
            for request, tokens in zip(asked, found, strict=True)
        }

    charts, rounds = as_dense(write, requests, options.nps, song.time_map)
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


def refuse_place(path: Path) -> None:
    """Refuse a place where no map can go, before anything is written for it.

    Raises:
        CachingError: Something else is there.
    """
    if path.suffix.lower() != ".zip":
        refuse_other(path, INFO)
    elif path.is_dir():
        raise CachingError(f"{path}: is a folder, and a zip was to go there; name another place")


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


@dataclass(slots=True, kw_only=True)
class _Aim:
    """How a writer is leaned until a map is as dense as is asked for.

    Attributes:
        nps: What is asked for.
        tried: What came of each leaning, nats: the logarithm of the share of what is asked for.
        best: The nearest map.
    """

    nps: float
    tried: dict[float, float] = field(default_factory=dict)
    best: Notes = field(default_factory=Notes.none)

    def take(self, leaning: float, nps: float, notes: Notes) -> None:
        """Take what came of a leaning: notes, and how many a second they are."""
        off = math.log(max(nps / self.nps, _LEAST_SHARE))
        if abs(off) < min(map(abs, self.tried.values()), default=math.inf):
            self.best = notes
        self.tried[leaning] = off

    @property
    def is_met(self) -> bool:
        """Whether the nearest map is near enough."""
        return any(abs(off) < _CLOSE for off in self.tried.values())

    def leaning(self) -> float:
        """Return what is to be tried next.

        Between one that brings too little and one that brings too much, it is where a straight
        line would have it, and not too near either; where all bring too little, or too much, as
        far on as their own slope tells.
        """
        if not self.tried:
            return 0.0
        less = [leaning for leaning, off in self.tried.items() if off < 0]
        more = [leaning for leaning, off in self.tried.items() if off >= 0]
        if less and more:
            low, high = max(less), min(more)
            lack, excess = -self.tried[low], self.tried[high]
            before, last = list(self.tried.values())[-2:]
            if before < 0 and last < 0:  # the Illinois rule: an end that stays counts for half
                excess /= 2
            elif before >= 0 and last >= 0:
                lack /= 2
            share = lack / (lack + excess)
            return low + min(max(share, 0.1), 0.9) * (high - low)
        nearest = sorted(self.tried, key=lambda leaning: abs(self.tried[leaning]))
        last, slope = nearest[0], _FIRST_SLOPE
        if len(nearest) > 1:
            slope = (self.tried[last] - self.tried[nearest[1]]) / (last - nearest[1])
        step = -self.tried[last] / max(slope, _LEAST_SLOPE)
        return last + min(max(step, -_LONGEST_STEP), _LONGEST_STEP)


def as_dense(
    write: Callable[[Sequence[Request], int], dict[str, Notes]],
    requests: Sequence[Request],
    nps: float,
    times: TimeMap,
) -> tuple[dict[str, Notes], int]:
    """Return maps as dense as is asked for, the nearest of some rounds, and how many there were.

    Each round leans the writer toward more or fewer slots with notes, where that is still missing.

    Args:
        write: Writes the maps of some requests, given which round it is.
        requests: What is asked for, one for each difficulty.
        nps: Notes a second; 0 takes them as they come.
        times: Which beat sounds when.
    """
    if not nps:
        return write(requests, 1), 1
    names = [DIFFICULTIES[request.difficulty] for request in requests]
    aims = {name: _Aim(nps=nps) for name in names}
    rounds = 0
    while rounds < _MOST_ROUNDS and any(not aim.is_met for aim in aims.values()):
        rounds += 1
        asked = {
            name: replace(request, leaning=aims[name].leaning())
            for name, request in zip(names, requests, strict=True)
            if not aims[name].is_met
        }
        for name, notes in write(list(asked.values()), rounds).items():
            aims[name].take(asked[name].leaning, notes_a_second(notes, times), notes)
    for name, aim in aims.items():
        if not aim.is_met:
            logger.warning(
                "%s: %.3g notes a second are the nearest to %.3g in %d rounds",
                name,
                notes_a_second(aim.best, times),
                nps,
                rounds,
            )
    return {name: aim.best for name, aim in aims.items()}, rounds


def _of_round(show: Show, rounds: int) -> Show:
    """Return who is told in which round it is."""
    if rounds == 1:
        return show
    return lambda progress: show(replace(progress, stage=f"{progress.stage}, round {rounds}"))


def playable(notes: Notes, song: PreparedSong, spacing: float = 0.0) -> Notes:
    """Return notes but those that come while nothing sounds, or nobody is ready.

    Args:
        notes: By time.
        song: What they are of.
        spacing: Beats between two slots with notes at least; parts of a song that were written
            side by side do not see each other's ends.
    """
    seconds = song.time_map.seconds_at(notes.beat)
    begins = max(song.lead_silence - _EARLY, HOT_START)
    notes = notes.take((seconds >= begins) & (seconds < song.seconds - _LAST_NOTE))
    kept, last = [], -math.inf
    for beat in np.unique(notes.beat).tolist():
        if beat - last >= spacing - SAME_BEAT:
            kept.append(beat)
            last = beat
    return notes.take(np.isin(notes.beat, kept))


def _progress(done: int, begun: float) -> Progress:
    seconds = time.monotonic() - begun
    return Progress(
        stage="listening", done=done, total=1, unit="songs", seconds=seconds, fresh=done
    )
