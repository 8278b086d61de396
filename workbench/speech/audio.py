"""Recordings of speech, decoded and brought to one form: mono, one rate, one level, no idle ends.

Units: seconds; `sample_rate` in Hz; samples from -1 to 1; levels in dB under a full-scale square
wave, the RMS of all samples (dBFS), not below -120, which stands for silence.

WAV files of whole bytes are read in place, all else by libsndfile: WAV of any coding, RF64, W64,
AIFF, AU, CAF, FLAC, Ogg (Vorbis, Opus, FLAC) and MP3. A file that has lost its end is refused,
also where nothing is to be done to it: a WAV whose samples are fewer than it promises (but for
streaming encoders, which promise nothing: see `workbench.music.wav`), a FLAC or an MP3 with fewer
frames than it promises, an Ogg cut within a page. RF64, W64, AIFF, AU and CAF are read as far as
they go. On damaged MP3 files libmpg123 writes notes of its own to the standard error stream.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from workbench.music.sound_files import (
    LARGEST,
    RATES,
    ForwardFile,
    Samples,
    SoundBytes,
    resampled,
)
from workbench.music.wav import WavSamples, find_samples, pcm_wav_bytes
from workbench.options import check

Reason = Literal["no_audio", "undecodable", "empty", "too_short", "too_long", "not_finite"]

FLOOR_DB = -120.0
LEAST_SECONDS = 0.01
MOST_SECONDS = 3600.0

_MOST_FRAMES = 2**28  # 1 GiB of float32: an hour at 74 kHz
_BLOCK = 2**20  # samples of all channels that are read at a time, 4 MiB
_HOP = 512  # librosa.effects.trim: frames of 4 hops, centred
_FRAME = 4 * _HOP
_FAINTEST = 1e-10  # power below which librosa tells no difference: amplitude 1e-5
_PEAK = 32_392 / 32_768  # -0.1 dBFS, in steps of 16 bits
_MP3_RATES = (44_100, 48_000, 32_000)
_MP3_KILOBITS = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
_SIGNATURES = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioOptions:
    """How recordings are cleaned.

    Attributes:
        standardization: Bring recordings to one form; when off, their bytes pass as they are, but
            are still decoded to be checked and measured.
        sample_rate: Rate after cleaning, Hz [8000..48000].
        target_db: Level after cleaning, dBFS RMS, less where peaks would pass -0.1 dBFS [-60..0].
        volume_norm: Bring recordings to the target level.
        trim: Cut off the silence before and after, 30 dB and more under the loudest frame.
        flac: Write FLAC, of about half the size and a tenth of the speed, instead of WAV.
    """

    standardization: bool = True
    sample_rate: int = 16_000
    target_db: float = -20.0
    volume_norm: bool = True
    trim: bool = True
    flac: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A recording ready to be stored.

    Attributes:
        content: The bytes of the file.
        seconds: Its length.
        sample_rate: Its rate, Hz.
    """

    content: bytes
    seconds: float
    sample_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a recording cannot be used.

    Attributes:
        reason: A word to count by.
        detail: What was found.
    """

    reason: Reason
    detail: str


def clean(content: bytes, options: AudioOptions) -> Cleaned | Refusal:
    """Return a recording brought to the form that is asked for; equal bytes give equal bytes.

    Args:
        content: Any bytes.
        options: How.

    Returns:
        The recording, or why there is none. Nothing is raised, whatever the bytes are.
    """
    decoded = decode(content)
    if isinstance(decoded, Refusal):
        return decoded
    samples, sample_rate = decoded
    count = len(samples)
    if options.standardization:
        pcm = _standard(samples, sample_rate, options)
        sample_rate, count = options.sample_rate, len(pcm)
        content = _written(pcm, sample_rate, options)
    return Cleaned(content=content, seconds=count / sample_rate, sample_rate=sample_rate)


def clean_batch(contents: Sequence[bytes | None], options: AudioOptions) -> list[Cleaned | Refusal]:
    """Return what `clean` makes of each of some recordings; None is a row without one."""
    none = Refusal(reason="no_audio", detail="the row has no audio")
    return [none if content is None else clean(content, options) for content in contents]


def decode(content: bytes) -> tuple[Samples, int] | Refusal:
    """Return the samples and the rate of a recording of 0.01 s to 1 h.

    Args:
        content: Any bytes.

    Returns:
        `(n,)` float32, the mean of the channels, mostly from -1 to 1, and Hz; or why not.
    """
    wav = find_samples(content)
    if wav is not None and wav.missing:
        return _undecodable(f"WAV: the last {wav.missing} bytes of its samples are missing")
    decoded = _in_place(content, wav) if wav and wav.dtype else _by_libsndfile(content)
    if isinstance(decoded, Refusal):
        return decoded
    samples, sample_rate = decoded
    if len(samples) < LEAST_SECONDS * sample_rate:
        found = f"{len(samples)} samples at {sample_rate} Hz; at least {LEAST_SECONDS} s is needed"
        return Refusal(reason="too_short" if len(samples) else "empty", detail=found)
    return decoded


def level_db(samples: Samples) -> float:
    """Return the RMS level of samples `(n,)` in dBFS, at least -120."""
    return _level_db(_energies(samples), len(samples))


def trimmed(samples: Samples, *, top_db: float = 30.0) -> slice:
    """Return the part of samples between the silence before and the silence after it.

    It is the interval of `librosa.effects.trim` with the same `top_db`, found in one pass: a frame
    is 2048 samples around every 512th, with zeros around the ends.

    Args:
        samples: `(n,)`, finite.
        top_db: How far under the loudest frame silence begins, dB.
    """
    hops = _sounding(_energies(samples), len(samples), top_db)
    return slice(hops.start * _HOP, min(hops.stop * _HOP, len(samples)))


def _sounding(energies: NDArray[np.float64], count: int, top_db: float = 30.0) -> slice:
    """Return the hops of a recording of so many samples that `trimmed` keeps."""
    padded = np.zeros(count // _HOP + 4)
    padded[2 : 2 + len(energies)] = energies
    power = (padded[:-3] + padded[1:-2] + padded[2:-1] + padded[3:]) / _FRAME
    audible = np.maximum(power, _FAINTEST)
    sounding = np.flatnonzero(audible > audible.max() * 10 ** (-top_db / 10))
    return slice(int(sounding[0]), int(sounding[-1]) + 1)


def _level_db(energies: NDArray[np.float64], count: int) -> float:
    power = float(energies.sum()) / max(count, 1)
    return max(10 * float(np.log10(power)), FLOOR_DB) if power > 0 else FLOOR_DB


def _energies(samples: Samples) -> NDArray[np.float64]:
    """Return the sum of squares of every 512 samples, the last of what is left.

    In float64 the sums are exact for samples that were 16-bit integers, so that the order in which
    a processor adds them does not matter.
    """
    starts = range(0, len(samples) or 1, _BLOCK)
    parts = [_energies_of_block(samples[start : start + _BLOCK]) for start in starts]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _energies_of_block(samples: Samples) -> NDArray[np.float64]:
    wide = np.empty(-(-len(samples) // _HOP) * _HOP)
    wide[: len(samples)] = samples
    wide[len(samples) :] = 0
    rows = wide.reshape(-1, _HOP)
    energies: NDArray[np.float64] = np.vecdot(rows, rows)
    return energies


def _standard(samples: Samples, sample_rate: int, options: AudioOptions) -> NDArray[np.int16]:
    """Return samples at the rate, without the idle ends and at the level that are asked for."""
    samples = resampled(samples, sample_rate, options.sample_rate)
    energies = _energies(samples)
    if options.trim:  # at the new rate, so that a frame is as long whatever the old one was
        hops = _sounding(energies, len(samples))
        samples, energies = samples[hops.start * _HOP : hops.stop * _HOP], energies[hops]
    level = _level_db(energies, len(samples))
    gain = _gain(samples, level, options.target_db) if options.volume_norm else 1.0
    steps = samples * np.float32(gain * 32_768)
    np.rint(steps, out=steps)
    np.maximum(steps, -32_768, out=steps)
    pcm: NDArray[np.int16] = np.minimum(steps, 32_767, out=steps).astype(np.int16)
    return pcm


def _gain(samples: Samples, level: float, target_db: float) -> float:
    """Return the factor that brings samples to a level, or their peak to -0.1 dBFS before that."""
    if level == FLOOR_DB:
        return 1.0  # silence stays silence
    peak = max(float(samples.max()), -float(samples.min()))
    return min(float(10 ** ((target_db - level) / 20)), _PEAK / peak)


def _written(pcm: NDArray[np.int16], sample_rate: int, options: AudioOptions) -> bytes:
    if not options.flac:
        return pcm_wav_bytes(pcm, sample_rate)
    content = io.BytesIO()
    soundfile.write(content, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _undecodable(detail: str) -> Refusal:
    return Refusal(reason="undecodable", detail=detail)


def _beyond_bounds(frames: int, sample_rate: int) -> Refusal | None:
    if not RATES[0] <= sample_rate <= RATES[1]:
        return _undecodable(f"sample rate {sample_rate} Hz is outside [{RATES[0]}..{RATES[1]}]")
    if frames > min(MOST_SECONDS * sample_rate, _MOST_FRAMES):
        found = f"{frames} frames or more at {sample_rate} Hz"
        return Refusal(reason="too_long", detail=f"{found}; at most {MOST_SECONDS:g} s is read")
    return None


def _in_place(content: bytes, wav: WavSamples) -> tuple[Samples, int] | Refusal:
    """Return the samples and the rate of a WAV file whose samples NumPy has a type for."""
    dtype = np.dtype(wav.dtype)
    frames = wav.size // (dtype.itemsize * wav.channels)
    if refusal := _beyond_bounds(frames, wav.sample_rate):
        return refusal
    found = np.frombuffer(content, dtype, frames * wav.channels, wav.start)
    with np.errstate(over="ignore", invalid="ignore"):
        mono = _mono(_scaled(found).reshape(frames, wav.channels))
    if dtype.kind == "f" and not _is_sane(mono):
        return _not_finite()
    return mono, wav.sample_rate


def _scaled(found: NDArray[np.generic]) -> Samples:
    """Return samples of any of the types of a WAV file as float32, integers from -1 to 1."""
    samples = found.astype(np.float32)
    if found.dtype.kind == "u":
        samples -= 128
    if found.dtype.kind in "iu":
        samples *= np.float32(2.0 ** (1 - 8 * found.dtype.itemsize))
    return samples


def _mono(frames: Samples) -> Samples:
    """Return the mean of the channels of `(frames, channels)`."""
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0]
    if channels == 2:  # by far the most frequent, and 5 times as fast as a mean of rows of two
        return (frames[:, 0] + frames[:, 1]) * np.float32(0.5)
    mean: Samples = frames.mean(axis=1, dtype=np.float32)
    return mean


def _is_sane(samples: Samples) -> bool:
    return bool(np.abs(samples).max(initial=0.0) <= LARGEST)  # NaN is not


def _not_finite() -> Refusal:
    found = f"samples that are no numbers, or beyond {LARGEST:.0f}"
    return Refusal(reason="not_finite", detail=found)


def _by_libsndfile(content: bytes) -> tuple[Samples, int] | Refusal:
    """Return the samples and the rate of a recording of any kind that libsndfile is asked for."""
    if problem := _container_problem(content):
        return _undecodable(problem)
    try:
        with ForwardFile(SoundBytes(content)) as file:
            decoded = _read_on(file)
            promised = file.frames
    except soundfile.SoundFileError as error:
        # Of its text only this is the same in every process: the rest names an object's address.
        return _undecodable(str(getattr(error, "error_string", type(error).__name__)))
    if isinstance(decoded, Refusal):
        return decoded
    frames = len(decoded[0])
    if frames < promised and _keeps_promises(content):
        return _undecodable(f"only {frames} of {promised} frames are there; the end is missing")
    return decoded


def _read_on(file: soundfile.SoundFile) -> tuple[Samples, int] | Refusal:
    """Return samples and rate; blocks are read until one is not full, whatever the header says."""
    blocks = []
    frames, size = 0, max(_BLOCK // file.channels, 1)
    while True:
        room = min(size, max(file.frames - frames, 0) + 1)
        block = np.empty((room, file.channels), dtype=np.float32)
        read = len(file.read(out=block))
        with np.errstate(over="ignore", invalid="ignore"):
            blocks.append(_mono(block[:read]))
        frames += read
        if refusal := _beyond_bounds(frames, file.samplerate):
            return refusal
        if not _is_sane(blocks[-1]):
            return _not_finite()
        if read < room:
            return np.concatenate(blocks) if len(blocks) > 1 else blocks[0], file.samplerate


def _container_problem(content: bytes) -> str | None:
    """Return what is wrong with a file before it is decoded, or None."""
    start = _start(content)
    if content.startswith(b"OggS", start):
        return _ogg_problem(content, start)
    if content.startswith(_SIGNATURES, start):
        return None
    if _mp3_frame(content, start):
        return _mp3_problem(content, start)
    return f"no audio file begins with {content[:12]!r}" if content else "no bytes"


def _keeps_promises(content: bytes) -> bool:
    """Return whether the number of frames that libsndfile tells is the file's own word."""
    start = _start(content)
    return content.startswith(b"fLaC", start) or _has_length(content, start)


def _start(content: bytes) -> int:
    """Return where a file begins after the ID3v2 tag that may stand before it."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _ogg_problem(content: bytes, start: int) -> str | None:
    while content.startswith(b"OggS", start):
        segments = content[start + 26 : start + 27 + (content[start + 26 : start + 27] or b"\0")[0]]
        end = start + 26 + len(segments) + sum(segments[1:])
        if not segments or len(segments) <= segments[0] or end > len(content):
            return "Ogg: its last page is not whole; the end is missing"
        start = end
    return None


def _mp3_frame(content: bytes, at: int) -> tuple[int, int] | None:
    """Return bit rate (kbit/s) and length (bytes) of the MPEG layer III frame there, if any is."""
    header = content[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, rate, speed = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or rate == 3 or speed in (0, 15):
        return None
    halvings = {3: 0, 2: 1, 0: 2}[version]  # MPEG 1, 2, 2.5
    kilobits = _MP3_KILOBITS[halvings > 0][speed - 1]
    samples_a_byte = 144_000 if halvings == 0 else 72_000
    padding = header[2] >> 1 & 1
    return kilobits, samples_a_byte * kilobits // (_MP3_RATES[rate] >> halvings) + padding


def _has_length(content: bytes, start: int) -> bool:
    """Return whether an MP3 file tells its length, in a Xing tag within its first frame."""
    tag = content[start + 4 : start + 46]
    return _mp3_frame(content, start) is not None and (b"Xing" in tag or b"Info" in tag)


def _mp3_problem(content: bytes, start: int) -> str | None:
    """Return what is wrong where libsndfile would guess a length, and stop there."""
    if _has_length(content, start):
        return None
    speeds = set()
    while frame := _mp3_frame(content, start):
        speeds.add(frame[0])
        start += frame[1]
        if len(speeds) > 1:
            return "MP3: of varying bit rate, and without a Xing tag that tells its length"
    return None
