"""Charted songs as maps, so that a store and a training take them like any other.

When something is struck, how hard a difficulty is, and the tempo are people's. Which hand strikes,
where and in which direction a chart does not say; that follows a rule here: green and red lanes
are the left hand's, blue and orange the right's, yellow and open go to the hand that rested, a
chord to both, and each hand goes down and up by turns. The stems are mixed into one audio file,
which is cut or padded by the delay, as an offset would drift. Units: beats; seconds.
"""

import io
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from workbench.beatmap.maps.charts import OPEN, Chart, ChartedSong, chart_places, read_charts
from workbench.beatmap.maps.infos import Entry, Info
from workbench.beatmap.maps.infos_written import json_file, write_info
from workbench.beatmap.maps.jumps import FALLBACK_NJS
from workbench.beatmap.maps.level import HeldFiles, MapFiles
from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.places import ORIGIN_NAME, Place
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.writing import write_difficulty
from workbench.caching.files import replacing_folder, sweep
from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError, MusicError, SourceError
from workbench.music.vorbis import vorbis_bytes
from workbench.progress import Progress, Show, silent

AUDIO = "song.ogg"

_PLACES = {0: (0, 0), 1: (0, 1), 3: (1, 2), 4: (1, 3)}  # lane of a chart: hand and lane of a map
_RESTED = (1, 2)  # lane of a map for what the left or the right hand takes over
_DOWN, _UP = 1, 0
_LOUDEST = 0.98
_MOST_SECONDS = 3600.0
_LEAST_RATE, _MOST_RATE = 1000, 384_000  # Hz
_USUAL_PART = "guitar"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charted:
    """What writing charted songs as maps came to; made of JSON's kinds by `dataclasses.asdict`.

    Attributes:
        folder: Where the maps are.
        songs: That were found.
        written: Of them, now.
        here: Of them, from before.
        refused: Song: reason.
        seconds: It took.
    """

    folder: str
    songs: int
    written: int
    here: int
    refused: dict[str, str]
    seconds: float


def write_charted_maps(
    root: Path, folder: Path, *, part: str = _USUAL_PART, show: Show = silent
) -> Charted:
    """Write the charted songs below a folder as map folders; a song that cannot be costs itself.

    Stopped, the same call goes on: a song's folder is there whole or not at all.

    Args:
        root: Where the songs are.
        folder: Made if need be; what else is there stays.
        part: Which part's charts.
        show: Is told after each song.

    Raises:
        SourceError: There is no charted song.
        CachingError: The folder cannot be written.
    """
    begun, places = time.monotonic(), chart_places(root)
    if not places:
        raise SourceError(f"{root}: no folder with notes.mid or notes.chart; check the path")
    written, here = 0, 0
    refused: dict[str, str] = {}
    for place in places:
        target = folder / _folder_name(place.name, part)
        if (target / ORIGIN_NAME).exists():
            here += 1
        elif isinstance(made := _made(place, part), str):
            refused[place.name] = made
        else:
            sweep(target)
            with replacing_folder(target) as scratch:
                for file, content in made.items():
                    (scratch / file).write_bytes(content)
            written += 1
        show(
            Progress(
                stage="charts",
                done=written + here + len(refused),
                total=len(places),
                unit="songs",
                seconds=time.monotonic() - begun,
                fresh=written,
            )
        )
    return Charted(
        folder=str(folder),
        songs=len(places),
        written=written,
        here=here,
        refused=refused,
        seconds=time.monotonic() - begun,
    )


def charted_map(files: MapFiles, name: str, *, part: str = _USUAL_PART) -> dict[str, bytes]:
    """Return the files of the map of a charted song.

    Args:
        files: The song's.
        name: What it is known by.
        part: Which part's charts.

    Raises:
        BeatmapError: It cannot be read, has no such part or no audio; `kind` says why.
    """
    song = read_charts(files)
    charts = [chart for chart in song.charts if chart.part == part]
    if not charts:
        raise BeatmapError(f"{song.place}: no chart of {part}", "no_chart")
    made = {
        f"{chart.difficulty}Standard.dat": write_difficulty(
            _objects(chart), 3, times=song.time_map, bpm=float(song.time_map.bpm[0])
        )
        for chart in charts
    }
    made["Info.dat"] = write_info(_info(song, charts), 2)
    made[AUDIO] = mixed(files, song)
    made[ORIGIN_NAME] = json_file({"source": "chart", "source_id": name, "part": part})
    read_level(HeldFiles(made, song.place))  # refuses what nobody could read again
    return made


def struck(chart: Chart) -> Notes:
    """Return the notes of a map that strike at the onsets of a chart, by the rule above."""
    rows: list[tuple[float, int, int, int]] = []
    going, last = [_DOWN, _DOWN], 1
    by_onset: dict[float, list[int]] = {}
    for beat, lane in zip(chart.frets.beat.tolist(), chart.frets.lane.tolist(), strict=True):
        by_onset.setdefault(beat, []).append(lane)
    for beat, lanes in by_onset.items():
        strikes = _strikes([lane for lane in lanes if lane != OPEN], rested=1 - last)
        for hand, lane in strikes:
            rows.append((beat, lane, hand, going[hand]))
            going[hand] = _UP if going[hand] == _DOWN else _DOWN
        last = strikes[-1][0] if len(strikes) == 1 else last
    beats, lanes_, hands, directions = zip(*rows, strict=True) if rows else ((), (), (), ())
    still = np.zeros(len(rows))
    return Notes.of(beats, lanes_, still.astype(int), hands, directions, still)


def mixed(files: MapFiles, song: ChartedSong) -> bytes:
    """Return the audio of a song as one Vorbis file in which beat 0 sounds at once.

    Raises:
        BeatmapError: It has none, it cannot be read, or its delay is longer than any song.
    """
    if abs(song.delay_seconds) > _MOST_SECONDS:
        raise BeatmapError(f"{song.place}: a delay of {song.delay_seconds:g} s", "bad_delay")
    total: NDArray[np.float32] | None = None
    rate = 0
    for name in song.audio:
        samples, own = _samples(files.read(name), f"{song.place}: {name}")
        rate = rate or own
        samples = samples if own == rate else soxr.resample(samples, own, rate)
        total = samples if total is None else _sum(total, samples)
    if total is None:
        raise BeatmapError(f"{song.place}: no audio", "missing_file")
    shift = round(song.delay_seconds * rate)
    total = total[shift:] if shift >= 0 else np.pad(total, ((-shift, 0), (0, 0)))
    loudest = float(np.abs(total).max(initial=0.0))
    total = total * (_LOUDEST / loudest) if loudest > _LOUDEST else total
    try:
        return vorbis_bytes(total, rate)
    except MusicError as error:
        raise BeatmapError(f"{song.place}: {error}", "bad_audio") from error


def _made(place: Place, part: str) -> dict[str, bytes] | str:
    """Return the files of a song's map, or in one word why there is none."""
    try:
        with place.open() as files:
            return charted_map(files, place.name, part=part)
    except BeatmapError as error:
        logger.warning("%s: left out (%s)", place.name, error)
        return error.kind
    except Exception:  # a mistake of ours must not cost the other songs
        logger.exception("%s: left out", place.name)
        return "crash"


def _folder_name(name: str, part: str) -> str:
    """Return what a song's folder is called: its path, and its mark where that cannot be.

    Parts other than the usual one have folders of their own, beside it.
    """
    plain = re.sub(r"[^\w.-]+", "_", name).strip("._")
    if part != _USUAL_PART:
        return f"{plain}-{fingerprint([name, part])[:8]}"
    return plain if plain == name else f"{plain}-{fingerprint(name)[:8]}"


def _strikes(lanes: list[int], *, rested: int) -> list[tuple[int, int]]:
    """Return hand and lane of the notes of one onset."""
    placed = [_PLACES.get(lane, (rested, _RESTED[rested])) for lane in sorted(lanes)]
    if not placed:
        return [(rested, _RESTED[rested])]
    if len(placed) == 1:
        return placed
    left, right = placed[0][1], placed[-1][1]
    left = min(left, 1)  # the hands of a chord do not cross
    return [(0, left), (1, max(right, 2))]


def _objects(chart: Chart) -> Objects:
    none = Objects.none()
    return Objects(
        notes=struck(chart),
        bombs=none.bombs,
        walls=none.walls,
        arcs=none.arcs,
        chains=none.chains,
        rotations=none.rotations,
        speeds=none.speeds,
    )


def _info(song: ChartedSong, charts: list[Chart]) -> Info:
    return Info(
        title=song.title,
        artist=song.artist,
        mapper=song.charter,
        bpm=float(song.time_map.bpm[0]),
        audio=AUDIO,
        preview_duration=10.0,
        entries=tuple(
            Entry(
                path="",
                characteristic="Standard",
                difficulty=chart.difficulty,
                njs=FALLBACK_NJS[chart.difficulty],
                file=f"{chart.difficulty}Standard.dat",
            )
            for chart in charts
        ),
    )


def _samples(content: bytes, told: str) -> tuple[NDArray[np.float32], int]:
    """Return two channels `(n, 2)` and the rate, Hz.

    Raises:
        BeatmapError: They cannot be read, or are too long.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            if not _LEAST_RATE <= sound.samplerate <= _MOST_RATE:
                raise BeatmapError(f"{told}: {sound.samplerate:,} samples a second", "bad_audio")
            if sound.frames > _MOST_SECONDS * sound.samplerate:
                raise BeatmapError(f"{told}: longer than an hour", "too_large")
            samples = sound.read(dtype="float32", always_2d=True)
            rate = int(sound.samplerate)
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise BeatmapError(f"{told}: cannot be decoded ({error})", "bad_audio") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise BeatmapError(f"{told}: has no sound", "bad_audio")
    return np.repeat(samples, 2, axis=1)[:, :2] if samples.shape[1] == 1 else samples[:, :2], rate


def _sum(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
