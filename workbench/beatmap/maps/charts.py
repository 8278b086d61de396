"""Charts of Frets on Fire and Clone Hero: real audio with onsets that people placed.

A song is a folder of `notes.mid` or `notes.chart`, `song.ini` and audio files. Five lanes,
0 green to 4 orange. Units: a `beat` is a quarter note, 0 where the chart begins; `sustain` is
beats; `delay_seconds` is how much later than in the chart everything sounds in the audio, which
`seconds` counts in. Nothing is raised for what a chart holds: what cannot be read is a `Fault`.

| Chart.difficulty | notes.mid, lowest pitch | notes.chart | Frets on Fire | Clone Hero |
|---|---|---|---|---|
| Easy | 60 | Easy… | Supaeasy | Easy |
| Normal | 72 | Medium… | Easy | Medium |
| Hard | 84 | Hard… | Medium | Hard |
| Expert | 96 | Expert… | Amazing | Expert |

Where a MIDI file names its tracks `PART …`, each is a part of its own; else all tracks together
are the guitar's, as Frets on Fire wrote them. Sources: GuitarGame_ChartFormats (TheNathannator);
Frets on Fire 1.3, `Song.py` (its position is that of the audio less the delay).
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.level import MapFiles
from workbench.beatmap.maps.objects import Beats, Columns, Fault, Floats, Ints
from workbench.beatmap.maps.places import Place, found_places
from workbench.beatmap.maps.timemap import TimeMap
from workbench.errors import BeatmapError
from workbench.music.midi import Midi, Refusal, read_midi

CHART_NAMES = ("notes.chart", "notes.mid")
LANES = 5
OPEN = -1  # the lane of a note that is struck with no fret held
DIFFICULTIES = ("Easy", "Normal", "Hard", "Expert")
STEMS = ("song", "guitar", "rhythm", "bass", "keys", "drums", "vocals", "crowd")

_BASES = dict(zip(DIFFICULTIES, (60, 72, 84, 96), strict=True))
_SECTIONS = dict(zip(("Easy", "Medium", "Hard", "Expert"), DIFFICULTIES, strict=True))
_INSTRUMENTS = {
    "Single": "guitar",
    "DoubleGuitar": "guitar_coop",
    "DoubleBass": "bass",
    "DoubleRhythm": "rhythm",
    "Drums": "drums",
    "Keyboard": "keys",
}
_FIVE_LANES = ("guitar", "guitar_coop", "bass", "rhythm", "drums", "keys")
_OPEN_TYPE = 7  # of a note in a .chart; 5 and 6 say how others are struck
_WHOLE = re.compile("[0-9]{1,15}")  # exact in float64
_AUDIO = (".ogg", ".opus", ".mp3", ".wav", ".flac")
_PART = re.compile(r"(?:PART|T1) ?(\w.*)", re.IGNORECASE)
_ENTRY = re.compile(r"([^=\s]+)\s*=(.*)")
_SECTION = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frets(Columns):
    """Notes of a chart, all columns `(n,)`, sorted by beat, then lane; none stands twice.

    Attributes:
        beat: When.
        lane: 0 to 4, or OPEN.
        sustain: How long it is held, beats; a note that is not held may still have a little.
    """

    beat: Beats
    lane: Ints
    sustain: Floats

    DTYPES: ClassVar[dict[str, str]] = {"beat": "f8", "lane": "i4", "sustain": "f8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One part of a song at one difficulty.

    Attributes:
        part: `guitar`, `bass`, `drums`…, lower case.
        difficulty: One of `DIFFICULTIES`.
        frets: What is played.
        time_map: When, without the delay.
        delay_seconds: How much later it sounds in the audio.
    """

    part: str
    difficulty: str
    frets: Frets
    time_map: TimeMap
    delay_seconds: float

    def onsets(self) -> Beats:
        """Return the distinct beats at which something is struck, rising, float64 (m,)."""
        return np.unique(self.frets.beat)

    def lanes(self) -> NDArray[np.uint8]:
        """Return which lanes are struck at each onset, uint8 (m,); lane i is bit i, open is 0."""
        _, at = np.unique(self.frets.beat, return_inverse=True)
        bits = np.zeros(at.max(initial=-1) + 1, np.uint8)
        lane = self.frets.lane
        struck = np.where(lane >= 0, 1 << np.maximum(lane, 0), 0).astype(np.uint8)
        np.bitwise_or.at(bits, at, struck)
        return bits

    def seconds(self) -> Floats:
        """Return when each onset sounds in the audio, float64 (m,)."""
        return self.time_map.seconds_at(self.onsets()) + self.delay_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartedSong:
    """A song with its charts.

    Attributes:
        title: Of the song.
        artist: Of the song.
        charter: Who charted it, or none.
        audio: Its audio files, which sound together; `song` first.
        delay_seconds: How much later than in the chart everything sounds in the audio.
        time_map: When a beat is, without the delay.
        charts: By part, then from Easy to Expert; none is empty.
        faults: What is wrong with it or odd.
        file: The file of the charts.
        place: Where the files lie.
    """

    title: str
    artist: str
    charter: str
    audio: tuple[str, ...]
    delay_seconds: float
    time_map: TimeMap
    charts: tuple[Chart, ...]
    faults: tuple[Fault, ...]
    file: str
    place: str

    def chart(self, difficulty: str, part: str = "guitar") -> Chart:
        """Return one chart.

        Raises:
            BeatmapError: There is none such; the message says which there are.
        """
        for chart in self.charts:
            if (chart.part, chart.difficulty) == (part, difficulty):
                return chart
        known = ", ".join(f"{chart.part} {chart.difficulty}" for chart in self.charts) or "none"
        raise BeatmapError(
            f"{self.place}: no chart {part} {difficulty}; it has {known}", "no_chart"
        )


def chart_places(root: Path) -> list[Place]:
    """Return the charted songs of a folder, at any depth, in the order of their names.

    Args:
        root: A folder of songs, or one song's; zips are not looked for, as maps come in them.

    Raises:
        SourceError: It is not there.
    """
    return [place for place in found_places(root, CHART_NAMES) if place.kind == "folder"]


def read_charts(files: MapFiles) -> ChartedSong:
    """Return the charts of a song, of `notes.mid`, or of `notes.chart` where that fails.

    Args:
        files: The song's.

    Raises:
        BeatmapError: It has no charts, or neither can be read; `kind` says why.
    """
    names = {name.casefold(): name for name in reversed(files.names())}
    ini, faults = _read_ini(files, names)
    name, found = _read_either(files, names, faults)
    delay, fault = _delay(ini, found.offset, name)
    audio = _audio(names)
    if not audio:
        faults.append(_fault("missing_file", files.place, "no audio, as song.ogg"))
    if not found.parts:
        faults.append(_fault("no_notes", name, "no note of a difficulty that is known"))
    charts = tuple(
        Chart(
            part=part,
            difficulty=difficulty,
            frets=frets,
            time_map=found.time_map,
            delay_seconds=delay,
        )
        for part, difficulty, frets in found.parts
    )
    return ChartedSong(
        title=ini.get("name") or found.song.get("name", ""),
        artist=ini.get("artist") or found.song.get("artist", ""),
        charter=ini.get("charter") or ini.get("frets") or found.song.get("charter", ""),
        audio=audio,
        delay_seconds=delay,
        time_map=found.time_map,
        charts=charts,
        faults=(*faults, *fault, *found.faults),
        file=name,
        place=files.place,
    )


Part = tuple[str, str, Frets]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a file of charts holds."""

    time_map: TimeMap
    parts: tuple[Part, ...]
    song: Mapping[str, str]
    offset: float
    faults: tuple[Fault, ...]


def _read_either(
    files: MapFiles, names: Mapping[str, str], faults: list[Fault]
) -> tuple[str, _Found]:
    """Return what the first of the two files holds that can be read, and its name."""
    error = BeatmapError(f"{files.place}: has neither notes.mid nor notes.chart", "no_chart")
    for known, read in (("notes.mid", _read_mid), ("notes.chart", _read_chart)):
        if known in names:
            try:
                return names[known], read(files.read(names[known]), f"{files.place}/{known}")
            except BeatmapError as found:
                faults.append(Fault(kind=found.kind, place=known, detail=str(found), is_fatal=True))
                error = found
    raise error


# --- song.ini


def _read_ini(files: MapFiles, names: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """Return the entries of song.ini with their keys in lower case; an absent one is odd."""
    if "song.ini" not in names:
        return {}, [_fault("missing_file", "song.ini", "no title, artist or delay")]
    try:
        text = _text(files.read(names["song.ini"]))
    except BeatmapError as error:
        return {}, [_fault(error.kind, "song.ini", str(error))]
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith((";", "#", "[")):
            entries.setdefault(key.strip().casefold(), value.strip().strip('"'))
    return entries, []


def _delay(ini: Mapping[str, str], offset: float, name: str) -> tuple[float, tuple[Fault, ...]]:
    """Return the delay in seconds: song.ini's, in milliseconds; where that says 0, the chart's."""
    said = ini.get("delay", "")
    if said:
        milliseconds = _number(said)
        if milliseconds is None:
            return offset, (_fault("bad_delay", "song.ini: delay", f"{said!r} is no number"),)
        if milliseconds:
            return milliseconds / 1000.0, ()
    return offset, ()


def _audio(names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the audio files that sound together; numbered stems take the place of the one."""
    found = []
    for stem in STEMS:
        numbered = [f"{stem}_{number}" for number in range(1, 5)]
        files = [file for each in numbered if (file := _audio_file(names, each))]
        whole = _audio_file(names, stem)
        found += files or ([whole] if whole else [])
    return tuple(found)


def _audio_file(names: Mapping[str, str], stem: str) -> str | None:
    return next((names[stem + end] for end in _AUDIO if stem + end in names), None)


def _text(content: bytes) -> str:
    """Return text of whatever writing: UTF-8 or UTF-16 by its mark, else UTF-8, else Latin-1."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


# --- notes.mid


def _read_mid(content: bytes, place: str) -> _Found:
    midi = read_midi(content)
    if isinstance(midi, Refusal):
        raise BeatmapError(f"{place}: {midi.detail}; not a chart that can be read", midi.reason)
    changes = midi.tempos.tick / midi.ppq
    bpms = 60e6 / midi.tempos.tempo
    parts = []
    for part, notes, has_open in _midi_parts(content, midi):
        for difficulty, base in _BASES.items():
            frets = _of_pitches(notes, base, has_open=has_open)
            if len(frets):
                parts.append((part, difficulty, frets))
    return _Found(
        time_map=TimeMap.of_changes(float(bpms[0]), changes[1:], bpms[1:]),
        parts=tuple(parts),
        song={},
        offset=0.0,
        faults=(),
    )


def _midi_parts(content: bytes, whole: Midi) -> Iterator[tuple[str, Midi, bool]]:
    """Give each part with its notes and whether a pitch below the lowest is an open note."""
    named = []
    for track in _tracks(content):
        name = _PART.fullmatch(_track_name(track).strip())
        part = "_".join(name[1].lower().split()) if name else ""
        # GEMS is what the first games called the one guitar there was
        part = "guitar" if part == "gems" else part
        if part in _FIVE_LANES:
            named.append((part, track))
    if not named:
        yield "guitar", whole, b"ENHANCED_OPENS" in content
        return
    for part, track in named:
        header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, whole.ppq)
        alone = read_midi(header + struct.pack(">4sI", b"MTrk", len(track)) + track)
        if isinstance(alone, Midi):  # else it has no note
            yield part, alone, b"ENHANCED_OPENS" in track


def _tracks(content: bytes) -> Iterator[bytes]:
    """Give the content of each track of a file that was read well."""
    at = max(content.find(b"MThd"), 0)  # behind a RIFF wrapper, if there is one
    at += 8 + int.from_bytes(content[at + 4 : at + 8], "big")
    while at + 8 <= len(content):
        name, size = struct.unpack_from(">4sI", content, at)
        if name == b"MTrk":
            yield content[at + 8 : at + 8 + size]
        at += 8 + size


def _track_name(track: bytes) -> str:
    """Return the name of a track: the first one among the meta events at its beginning."""
    at = 0
    while track[at : at + 2] == b"\0\xff" and at + 3 < len(track):
        kind, size = track[at + 2], track[at + 3]
        if size > 0x7F:  # longer than names are
            return ""
        if kind == 3:
            return track[at + 4 : at + 4 + size].decode("latin-1")
        at += 4 + size
    return ""


def _of_pitches(midi: Midi, base: int, *, has_open: bool) -> Frets:
    lane = midi.pitch.astype(np.int32) - base
    is_ours = (lane >= (OPEN if has_open else 0)) & (lane < LANES)
    return _frets(midi.tick[is_ours], lane[is_ours], midi.duration[is_ours], midi.ppq)


def _frets(
    tick: NDArray[np.int64], lane: NDArray[Any], length: NDArray[np.int64], ppq: int
) -> Frets:
    """Return notes in order; of two at one place the longer stays."""
    order = np.lexsort((-length, lane, tick))
    tick, lane, length = tick[order], lane[order], length[order]
    is_first = np.append(True, (np.diff(tick) != 0) | (np.diff(lane) != 0))[: len(tick)]
    return Frets.of(tick[is_first] / ppq, lane[is_first], length[is_first] / ppq)


# --- notes.chart


def _read_chart(content: bytes, place: str) -> _Found:
    """Return what a .chart holds; a line that is none is passed over and told once a section."""
    sections = _sections(_text(content))
    song = {key.casefold(): value.strip('"') for key, value in sections.get("Song", [])}
    ppq = _number(song.get("resolution", "192"))
    if ppq is None or not 1 <= ppq <= 1_000_000 or ppq != int(ppq):
        raise BeatmapError(
            f"{place}: a resolution of {song.get('resolution')!r} ticks a beat", "div0"
        )
    if "SyncTrack" not in sections:
        raise BeatmapError(f"{place}: has no section SyncTrack; not a chart", "magic")
    faults: list[Fault] = []
    time_map = _tempos(sections["SyncTrack"], int(ppq), faults)
    parts = []
    for instrument, part in _INSTRUMENTS.items():
        for prefix, difficulty in _SECTIONS.items():
            lines = sections.get(prefix + instrument, [])
            frets = _of_lines(lines, int(ppq), prefix + instrument, faults)
            if len(frets):
                parts.append((part, difficulty, frets))
    return _Found(
        time_map=time_map,
        parts=tuple(parts),
        song=song,
        offset=_number(song.get("offset", "0")) or 0.0,
        faults=tuple(faults),
    )


def _sections(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return key and value of each line of each section; of two of one name the later goes on."""
    sections: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] = []
    for each in text.splitlines():
        line = each.strip()
        if entry := _ENTRY.fullmatch(line):
            lines.append((entry[1], entry[2].strip()))
        elif section := _SECTION.fullmatch(line):
            lines = sections.setdefault(section[1], [])
    return sections


def _tempos(lines: list[tuple[str, str]], ppq: int, faults: list[Fault]) -> TimeMap:
    """Return the tempos of a SyncTrack; before the first, 120 bpm hold."""
    changes = []
    for tick, (kind, *values) in _events(lines, "SyncTrack", faults):
        if kind != "B":
            continue
        if not values or not 0 < values[0] <= 10**9:
            faults.append(_fault("bad_tempo", f"SyncTrack: {tick}", f"B {values}"))
        else:
            changes.append((tick / ppq, values[0] / 1000.0))
    first = next((bpm for beat, bpm in reversed(changes) if beat == 0), 120.0)
    beats, bpms = zip(*changes, strict=True) if changes else ((), ())
    return TimeMap.of_changes(first, beats, bpms)


def _of_lines(lines: list[tuple[str, str]], ppq: int, section: str, faults: list[Fault]) -> Frets:
    notes = []
    for tick, (kind, *values) in _events(lines, section, faults):
        if kind == "N" and len(values) >= 2:
            lane = OPEN if values[0] == _OPEN_TYPE else values[0]
            if OPEN <= lane < LANES:
                notes.append((tick, lane, values[1]))
    columns = np.array(notes, np.int64).reshape(-1, 3)
    return _frets(columns[:, 0], columns[:, 1], columns[:, 2], ppq)


def _events(
    lines: list[tuple[str, str]], section: str, faults: list[Fault]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Give the tick, the kind and the numbers of each event; other lines are told of once."""
    bad = []
    for key, value in lines:
        kind, *words = value.split() or [""]
        if kind in ("E", "H", "TS", "A", "S"):
            continue  # words and what changes no note
        numbers = [int(word) for word in (key, *words) if _WHOLE.fullmatch(word)]
        if len(numbers) != len(words) + 1:
            bad.append(f"{key} = {value}")
        else:
            yield numbers[0], (kind, *numbers[1:])
    if bad:
        faults.append(_fault("bad_line", section, f"{len(bad)} lines, as {bad[0][:80]!r}"))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def _fault(kind: str, place: str, detail: str) -> Fault:
    return Fault(kind=kind, place=place, detail=detail)
