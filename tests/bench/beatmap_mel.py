"""Features of songs beside a pipeline of librosa, and read back beside a file a song.

    python tests/bench/beatmap_mel.py [--json] [--seconds N]

The set: songs of stereo Vorbis at 44.1 kHz, tones and noise. Both sides take the same bytes in
one process and one thread, turn by turn; the processor's seconds count, the least of five turns.

- Features: decoded, mono, 22,050 Hz, 80 bands and onsets, columns at 16 a beat. librosa's side is
  soundfile, librosa.resample, melspectrogram, power_to_db, onset_strength, one interp a band.
- Warming: the same, of files, to what is kept: shards here, with digests and sums; a `.npy` of
  float32 a song there.
- A warm item: here a window of 512 columns and its tokens, copied out of the packed shard; there
  the song's `.npy` is loaded and cut to 4,096 columns, and its tokens are filled up.
"""

import io
import tempfile
import warnings
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from rows import Row, in_turn, parser_of, row, tell, times
from threadpoolctl import threadpool_limits

from workbench.beatmap.maps.objects import Notes
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.audio import audio_digest, decoded, song_samples
from workbench.beatmap.writer.cache import FeatureCache, SongSound, warm
from workbench.beatmap.writer.mel import mel
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions, MelSpec
from workbench.beatmap.writer.tokens import EXTENDED, encode_many
from workbench.beatmap.writer.windows import window_columns, windows_of
from workbench.runs.measurements import TIMES

RATE, BPM, SONGS, TURNS, LOADS = 44_100, 128.0, 3, 5, 300
SPEC = MelSpec()
STEADY = TimeMap.steady(BPM)


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each song")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
        sounds = made_songs(Path(scratch), arguments.seconds)
        rows = [
            *feature_rows((sounds[0].path / "song.ogg").read_bytes(), arguments.seconds),
            *warming_rows(Path(scratch), sounds),
            *item_rows(Path(scratch), sounds),
        ]
    tell("beatmap", rows, as_json=arguments.json)


def feature_rows(content: bytes, seconds: float) -> list[Row]:
    """Return how fast features are made, and how far they are from librosa's."""
    spent = in_turn(
        TURNS,
        {
            "ours": lambda: mel(song_samples([content], SPEC.sample_rate), SPEC, STEADY),
            "librosa": lambda: by_librosa(content),
            "decoding": lambda: decoded(content),
        },
        warms=True,
    )
    columns = mel(song_samples([content], SPEC.sample_rate), SPEC, STEADY).T.astype(np.float64)
    expected = by_librosa(content)
    common = min(columns.shape[1], expected.shape[1])
    difference = np.abs(columns[:, :common] - expected[:, :common])
    decoding = min(spent["decoding"])
    without = {side: [each - decoding for each in spent[side]] for side in ("ours", "librosa")}
    told = {
        side: row(f"{side}: an audio minute", 60 * min(spent[side]) / seconds, unit="s")
        for side in spent
    }
    return [
        times("features of a song", spent["librosa"], spent["ours"], ">= 1.6", against="librosa"),
        row("features: largest difference in a band", difference[:80].max(), "<= 0.05", unit="dB"),
        row("features: largest difference in the onsets", difference[80].max(), "<= 0.05"),
        times("features, decoded before", without["librosa"], without["ours"], against="librosa"),
        *told.values(),
    ]


def warming_rows(scratch: Path, sounds: list[SongSound]) -> list[Row]:
    """Return how fast files become what is kept, and what a second run does."""
    folders = (scratch / f"cache{number}" for number in range(TURNS))
    spent = in_turn(
        TURNS,
        {
            "ours": lambda: warm(next(folders), sounds, CacheOptions(progress=False)),
            "librosa": lambda: [keep_by_librosa(scratch, sound) for sound in sounds],
        },
    )
    again = warm(scratch / "cache0", sounds, CacheOptions(progress=False))
    size = sum((scratch / f"{sound.path.name}.npy").stat().st_size for sound in sounds)
    return [
        times("features kept", spent["librosa"], spent["ours"], ">= 1.6", against="librosa"),
        row("songs that a second run computes", again.computed, "<= 0"),
        row(
            "kept features, as many times as small",
            size / again.size,
            ">= 1.9",
            unit=TIMES,
            against="a file a song",
        ),
    ]


def item_rows(scratch: Path, sounds: list[SongSound]) -> list[Row]:
    """Return how fast one item is read that was read before."""
    cache = FeatureCache(scratch / "cache0", SPEC)
    keys = [sound.key for sound in sounds]
    windows = windows_of(
        encoded_charts(cache.columns(keys[0]) / 16),
        np.array([cache.columns(key) for key in keys]),
        16,
        ChartWindowOptions(),
    )
    fill = cache.statistics(keys).mean

    def item(number: int) -> tuple[object, object]:
        chosen = number % len(windows)
        features = cache.features(keys[windows.chart[chosen]])
        first = int(windows.first_column[chosen])
        return window_columns(features, first, windows.columns, fill), windows.tokens_of(chosen)

    paths = [scratch / f"{sound.path.name}.npy" for sound in sounds]
    tokens = list(range(900))

    def older_item(number: int) -> tuple[object, object]:
        columns = np.load(paths[number % len(paths)])[:, :4096]
        return torch.from_numpy(columns), torch.tensor(tokens + [0] * (1024 - len(tokens)))

    spent = in_turn(
        TURNS,
        {
            "ours": lambda: [item(number) for number in range(LOADS)],
            "older": lambda: [older_item(number) for number in range(LOADS)],
        },
    )
    each = [1e6 * seconds / LOADS for seconds in spent["ours"]]
    return [
        row("a warm item", min(each), "<= 25", unit="µs", turns=each),
        times("a warm item", spent["older"], spent["ours"], ">= 20", against="a file a song"),
    ]


def by_librosa(content: bytes) -> np.ndarray:
    """Return mel and onsets in columns, (81, columns) float32."""
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    samples = librosa.to_mono(samples.T)
    samples = librosa.resample(samples, orig_sr=rate, target_sr=22_050)
    power = librosa.feature.melspectrogram(
        y=samples, sr=22_050, n_fft=2048, hop_length=512, n_mels=80
    )
    bands = librosa.power_to_db(power, ref=np.max)
    onsets = librosa.onset.onset_strength(y=samples, sr=22_050, hop_length=512)
    frames = np.vstack([bands, onsets])
    count = int(len(samples) / 22_050 * BPM / 60 * 16)
    place = np.arange(count) * 60 / (16 * BPM) * 22_050 / 512
    grid = np.arange(frames.shape[1])
    aligned = np.empty((81, count), np.float32)
    for band in range(81):
        aligned[band] = np.interp(place, grid, frames[band])
    return aligned


def keep_by_librosa(scratch: Path, sound: SongSound) -> None:
    """Write the features of a song into a file of its own."""
    columns = by_librosa((sound.path / "song.ogg").read_bytes())
    np.save(scratch / f"{sound.path.name}.npy", columns)


def made_songs(folder: Path, seconds: float) -> list[SongSound]:
    """Write songs of tones that decay, over noise, and return them."""
    sounds = []
    for number in range(SONGS):
        place = folder / f"song{number}"
        place.mkdir()
        samples = stereo(np.random.default_rng(number), seconds)
        with soundfile.SoundFile(
            place / "song.ogg", "w", RATE, 2, format="OGG", subtype="VORBIS"
        ) as file:
            for start in range(0, len(samples), RATE):  # larger writes crash libsndfile
                file.write(samples[start : start + RATE])
        digest = audio_digest([(place / "song.ogg").read_bytes()])
        sounds.append(SongSound(path=place, names=("song.ogg",), digest=digest, time_map=STEADY))
    return sounds


def stereo(random: np.random.Generator, seconds: float) -> np.ndarray:
    """Return a song, (n, 2) float32."""
    count = int(seconds * RATE)
    tones = np.zeros(count)
    for start in range(0, count, RATE // 8):
        at = np.arange(min(RATE // 2, count - start)) / RATE
        pitch = 55 * 2 ** (random.integers(0, 60) / 12)
        tones[start : start + len(at)] += np.exp(-9 * at) * np.sin(2 * np.pi * pitch * at)
    noise = random.standard_normal((count, 2))
    return (0.2 * tones[:, None] + 0.01 * noise).astype(np.float32)


def encoded_charts(beats: float) -> object:
    """Return a chart a song, of two notes a beat."""
    slots = np.arange(0, beats, 0.5)
    cells = np.arange(SONGS * len(slots), dtype=np.int32)
    notes = Notes(
        beat=np.tile(slots, SONGS),
        lane=cells % 4,
        layer=cells % 3,
        color=cells % 2,
        direction=cells % 9,
        angle=np.zeros(len(cells)),
    )
    return encode_many(notes, np.arange(SONGS + 1) * len(slots), ["Expert"] * SONGS, EXTENDED)


if __name__ == "__main__":
    main()
