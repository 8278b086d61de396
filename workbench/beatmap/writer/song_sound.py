"""A song made ready to be written a map for: decoded, timed, and padded so that it needs no offset.

Notes are counted in beats from the start of the audio, so bars have to begin there too. An offset
in the map would say where they do, but it drifts when a song is played at another speed, and the
map service refuses it; so silence is put in front instead, as much as brings the first beat to a
bar line. And at least as much that no sound comes before 2 seconds: notes are seen a second or two
before they are hit, and who is given less is hit by the first ones unprepared.

Read is whatever libsndfile reads, by content; in blocks, so that what is too long costs no memory.
What goes into the map is Ogg Vorbis at 44.1 or 48 kHz without tags.

Units: seconds, Hz, `bpm` beats a minute; samples from -1 to 1.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.audio import mono
from workbench.beatmap.writer.options import MelSpec
from workbench.beatmap.writer.tempo import BAR_BEATS, BPM_RANGE, Tempo, estimate_tempo
from workbench.errors import BeatmapError, MusicError
from workbench.music.sound_files import LARGEST, RATES, ForwardFile, Samples
from workbench.music.vorbis import vorbis_bytes

logger = logging.getLogger(__name__)

LEAST_LEAD = 2.0  # s before the first sound
LEAST_SECONDS = 2.0
MOST_SECONDS = 3600.0

_BLOCK = 2**18  # samples of all channels that are read at a time, 1 MiB
_SILENT = 1e-4  # the peak of what nobody hears
_QUIET = 1e-3  # of the peak: what is below has not begun
_ROOM = LEAST_LEAD + BAR_BEATS * 60.0 / BPM_RANGE[0]  # s, the most silence that is put in front
_UNKNOWN = 2**62  # libsndfile's word for frames that a header does not tell is above
_MP3_BYTES = 8000  # a second: 64 kbit/s, the least that music comes in
_LOST = 1.0  # s that a file may be shorter than its header tells
_ENCODED = (44_100, 48_000)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedSong:
    """A song that beats are counted in from the start of its audio, bar lines at every fourth.

    Attributes:
        samples: Its sound with the silence in front, mono, at the rate of the spec, `(n,)`
            float32.
        egg: The same sound in full as an Ogg Vorbis file without tags.
        sample_rate: Of the egg, Hz.
        seconds: Of the egg.
        lead_silence: Silence that was put in front, s.
        tempo: The song's, as it was estimated or given; its first beat in the sound as it is now.
        time_map: Which beat sounds when.
        title: By the file's tags, else by its name.
        artist: Likewise; empty if neither tells.
    """

    samples: Samples
    egg: bytes
    sample_rate: int
    seconds: float
    lead_silence: float
    tempo: Tempo
    time_map: TimeMap
    title: str
    artist: str

    @property
    def bpm(self) -> float:
        """Beats a minute."""
        return self.tempo.bpm


def prepare_song(
    path: Path, spec: MelSpec, *, bpm: float | None = None, first_beat: float | None = None
) -> PreparedSong:
    """Return a song ready to be written a map for.

    Args:
        path: An audio file.
        spec: Its rate is that of the samples.
        bpm: The song's tempo; None estimates it.
        first_beat: When a bar of it begins, s from the start of the file; None estimates it.

    Raises:
        BeatmapError: It cannot be read, is silent, too short, too long, or has no beat; `kind`
            says which.
    """
    sound = _read(path, spec.sample_rate)
    try:
        tempo = estimate_tempo(sound.mono, spec.sample_rate, bpm=bpm, first_beat=first_beat)
    except BeatmapError as error:
        raise BeatmapError(f"{path}: {error}", error.kind) from error
    beats = sound.seconds * tempo.bpm / 60.0
    if beats < BAR_BEATS:
        raise BeatmapError(
            f"{path}: {beats:.1f} beats at {tempo.bpm:g} bpm; a map wants a bar of {BAR_BEATS} at "
            "least",
            "too_short_audio",
        )
    if not abs(tempo.first_beat) <= sound.seconds:
        raise BeatmapError(
            f"{path}: first_beat {tempo.first_beat:g} is not within its {sound.seconds:.1f} s",
            "bad_tempo",
        )
    return _padded(path, sound, tempo, spec.sample_rate)


def lead_silence(tempo: Tempo, begins: float) -> float:
    """Return how much silence brings the first beat to a bar line, s.

    Args:
        tempo: Of the song.
        begins: When its sound begins, s; it will not begin before 2 s.
    """
    bar = BAR_BEATS * 60.0 / tempo.bpm
    least = max(LEAST_LEAD - begins, 0.0)
    bars = np.ceil((least + tempo.first_beat) / bar - 1e-9)
    return max(float(bars * bar - tempo.first_beat), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sound:
    """A song as it was decoded.

    Attributes:
        columns: With room for silence in front, `(room + n, channels)` float32.
        room: Samples of it.
        sample_rate: Hz, one that is encoded.
        mono: The mean of the channels at the rate that was asked for, `(m,)` float32.
        begins: When the first sound comes, s.
        title: By its tags.
        artist: Likewise.
    """

    columns: NDArray[np.float32]
    room: int
    sample_rate: int
    mono: Samples
    begins: float
    title: str
    artist: str

    @property
    def seconds(self) -> float:
        return (len(self.columns) - self.room) / self.sample_rate


def _padded(path: Path, sound: _Sound, tempo: Tempo, mono_rate: int) -> PreparedSong:
    silent = round(lead_silence(tempo, sound.begins) * sound.sample_rate)
    lead = silent / sound.sample_rate
    columns = sound.columns[sound.room - silent :]
    try:
        egg = vorbis_bytes(columns, sound.sample_rate)
    except MusicError as error:
        raise BeatmapError(f"{path}: {error}", "odd_audio") from error
    named = path.stem.partition(" - ")
    by_name = (named[0], named[2]) if named[1] else ("", path.stem)
    return PreparedSong(
        samples=np.pad(sound.mono, (round(lead * mono_rate), 0)),
        egg=egg,
        sample_rate=sound.sample_rate,
        seconds=len(columns) / sound.sample_rate,
        lead_silence=lead,
        tempo=Tempo(bpm=tempo.bpm, first_beat=tempo.first_beat + lead, confidence=tempo.confidence),
        time_map=TimeMap.steady(tempo.bpm),
        title=sound.title or by_name[1].strip(),
        artist=sound.artist or by_name[0].strip(),
    )


# --- reading


def _read(path: Path, mono_rate: int) -> _Sound:
    """Return a song, of a length and a loudness that can be.

    Raises:
        BeatmapError: It has none, or cannot be read.
    """
    with _opened(path) as file:
        tags, kind = file.copy_metadata(), file.format
        reading = _Reading(file, mono_rate, _told_frames(path, file))
        frames = None if reading.read() else _counted(path, file, reading.frames)
    if frames is not None:
        with _opened(path) as file:
            reading = _Reading(file, mono_rate, frames)
            reading.read()
    _check_length(path, reading, is_guess=kind == "MP3")
    return _levelled(path, reading, tags)


def _check_length(path: Path, reading: "_Reading", *, is_guess: bool) -> None:
    """Refuse what ends before its header tells, unless that may be a guess, and what is short."""
    seconds, told = reading.frames / reading.rate, reading.told / reading.rate
    if told - seconds > _LOST:
        found = f"{path}: breaks off after {seconds:.1f} of the {told:.1f} s that its header tells"
        if not is_guess:
            raise BeatmapError(f"{found}; get it whole", "undecodable_audio")
        logger.warning("%s", found)
    if seconds < LEAST_SECONDS:
        raise BeatmapError(
            f"{path}: {seconds:.2f} s of audio; a map wants {LEAST_SECONDS:g} s at least",
            "too_short_audio",
        )


def _levelled(path: Path, reading: "_Reading", tags: dict[str, str]) -> _Sound:
    """Return what was read with a peak of 1 at most."""
    columns, mono = reading.columns(), reading.mono()
    loud = np.maximum(columns.max(axis=1), -columns.min(axis=1))
    peak = float(loud.max())
    if not peak <= LARGEST:  # NaN is not
        raise BeatmapError(
            f"{path}: samples that are no numbers, or beyond {LARGEST:.0f}; export it anew",
            "odd_audio",
        )
    if peak < _SILENT:
        raise BeatmapError(f"{path}: silent throughout; take a song that sounds", "silent_audio")
    if peak > 1.0:
        columns /= np.float32(peak)
        mono /= np.float32(peak)
    return _Sound(
        columns=columns,
        room=reading.room,
        sample_rate=reading.encoded_rate,
        mono=mono,
        begins=(int(np.argmax(loud > _QUIET * peak)) - reading.room) / reading.encoded_rate,
        title=_tag(tags, "title"),
        artist=_tag(tags, "artist"),
    )


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Give an audio file to be read on and on; what cannot be decoded is told with its reason."""
    try:
        if not path.is_file():
            raise BeatmapError(f"{path}: is no file; name an audio file", "no_audio")
        with _Content(io.FileIO(path)) as content, ForwardFile(content) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise BeatmapError(
                    f"{path}: a sample rate of {file.samplerate} Hz; its header is damaged",
                    "undecodable_audio",
                )
            yield file
    except soundfile.SoundFileError as error:
        what = str(getattr(error, "error_string", type(error).__name__)).rstrip(".")
        with path.open("rb") as opened:
            first = opened.read(8)
        raise BeatmapError(
            f"{path}: {what}; its first bytes are {first!r}, want WAV, FLAC, Ogg or MP3",
            "undecodable_audio",
        ) from error
    except OSError as error:
        raise BeatmapError(f"{path}: {error.strerror or error}", "no_audio") from error


class _Content(io.BufferedReader):
    """A file whose name tells nothing, and in which damage cannot seek to before the start.

    By a name that ends in .mp3 libsndfile takes a text for music that it cannot find. What a
    callback of its raises is printed by cffi and goes no further.
    """

    name = ""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(offset, 0) if whence == io.SEEK_SET else offset, whence)


def _told_frames(path: Path, file: soundfile.SoundFile) -> int:
    """Return how many frames the header tells, 0 where it does not.

    That of an MP3 file may be a guess by its first frame, and far too long where the song begins
    in silence; what its size allows is read.

    Raises:
        BeatmapError: They are more than a song has.
    """
    frames: int = file.frames
    if frames >= _UNKNOWN:
        return 0
    if frames <= MOST_SECONDS * file.samplerate:
        return frames
    if file.format == "MP3" and path.stat().st_size < MOST_SECONDS * _MP3_BYTES:
        return 0
    raise _too_long(path, f"{frames / file.samplerate:.0f} s of audio by its header")


def _counted(path: Path, file: soundfile.SoundFile, frames: int) -> int:
    """Return how many frames a file has of which some are read, keeping none.

    Raises:
        BeatmapError: They are more than a song has.
    """
    block = np.empty((max(_BLOCK // file.channels, 1), file.channels), np.float32)
    while read := len(file.read(out=block)):
        frames += read
        if frames > MOST_SECONDS * file.samplerate:
            raise _too_long(path, f"{frames / file.samplerate:.0f} s of audio, and maybe more")
    return frames


def _too_long(path: Path, found: str) -> BeatmapError:
    return BeatmapError(
        f"{path}: {found}, over {MOST_SECONDS / 60:g} minutes; cut it to one song",
        "too_long_audio",
    )


class _Reading:
    """A file that is being read: its columns at a rate that is encoded, and its mean.

    Attributes:
        rate: Of the file, Hz.
        encoded_rate: Of the columns, Hz.
        room: Samples of silence in front of the columns.
        told: Frames that there should be.
        frames: Frames that were read.
    """

    def __init__(self, file: soundfile.SoundFile, mono_rate: int, told: int) -> None:
        self._file = file
        self.rate: int = file.samplerate
        self.encoded_rate = _encoded_rate(self.rate)
        self.room = int(np.ceil(_ROOM * self.encoded_rate))
        self.told = told
        self.frames = 0
        self._channels: int = file.channels if file.channels <= 2 else 1
        most = int(np.ceil(self.told * self.encoded_rate / self.rate)) + 1
        self._columns = np.zeros((self.room + most, self._channels), np.float32)
        self._end = self.room
        self._means: list[Samples] = []
        self._to_columns = _stream(self.rate, self.encoded_rate, self._channels)
        self._to_mean = _stream(self.rate, mono_rate, 1)

    def read(self) -> bool:
        """Read all; return False at once where more comes than there should be."""
        size = max(_BLOCK // self._file.channels, 1)
        block = np.empty((size, self._file.channels), np.float32)
        while True:
            read = len(self._file.read(out=block))
            self.frames += read
            if self.frames > self.told:
                return False
            self._take(block[:read], is_last=read < size)
            if read < size:
                return True

    def columns(self) -> NDArray[np.float32]:
        """Return the room in front and what was read, `(room + n, channels)`."""
        return self._columns[: self._end]

    def mono(self) -> Samples:
        """Return the mean of the channels, `(m,)`."""
        return np.concatenate(self._means)

    def _take(self, block: NDArray[np.float32], *, is_last: bool) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = mono(block)
        columns = block if self._channels == block.shape[1] else mean[:, None]
        if self._to_columns is not None:
            columns = self._to_columns.resample_chunk(columns, last=is_last)
            columns = columns.reshape(-1, self._channels)[: len(self._columns) - self._end]
        self._columns[self._end : self._end + len(columns)] = columns
        self._end += len(columns)
        if self._to_mean is not None:
            mean = self._to_mean.resample_chunk(mean, last=is_last)
        self._means.append(mean)


def _stream(rate: int, wanted: int, channels: int) -> soxr.ResampleStream | None:
    """Return what brings blocks to another rate, of the quality that `resampled` has."""
    if rate == wanted:
        return None
    return soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="HQ")


def _encoded_rate(rate: int) -> int:
    """Return the rate that a map's audio has: the file's, or one that is a simple ratio of it."""
    return next((each for each in _ENCODED if each % rate == 0 or rate % each == 0), _ENCODED[1])


def _tag(tags: dict[str, str], name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in tags.get(name, "")).split())
