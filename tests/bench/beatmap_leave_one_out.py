"""Charted songs, each left out once: a writer's onsets, beside those that librosa detects.

    python tests/bench/beatmap_leave_one_out.py [SONGS] [--json] [--only TITLE] [--steps N]

SONGS is a folder of songs that people charted for Frets on Fire or Clone Hero, by default the one
beside the checkout. For each song a
writer is trained on all others, on every difficulty, for as many steps as for any; nothing is
looked at on the way, and the weights are those at the end. It writes the Expert chart of the song
that was left out, by the likeliest token, told neither density nor style, and leaned toward notes
by a constant: what gives the best F1 takes each onset whose chance is above half of that F1 (Lipton
et al., 2014), here 0.3, where the likeliest token alone would want about 0.5. librosa's onsets
(22,050 Hz, hop 256) are shifted by the constant that suits the other songs best. Both are compared
with the human's chart by onset F1 within 50 ms, on the same mix of song and guitar.
"""

import io
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from rows import CHARTS, Row, parser_of, row, skipped, tell

from workbench.beatmap.maps.charted import write_charted_maps
from workbench.beatmap.maps.manifest import StoredSong
from workbench.beatmap.maps.objects import DIFFICULTIES
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import sounds_of
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.generating import Request, write_song
from workbench.beatmap.writer.metrics_onsets import onset_scores
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions, MelSpec
from workbench.beatmap.writer.tokens import decode
from workbench.beatmap.writer.training import train
from workbench.runs.measurements import TIMES

CHART = "Expert"
SPEC = MelSpec()
CUT = ChartWindowOptions(bars=4, stride=2)
DATA = {"validation": 0.0, "test": 0.0, "batch_size": 16, "style_songs": 0}
HIDDEN = {"bands": 2, "band_bins": 16, "spans": 2, "span_columns": 12}
NEVER = 10**9
LEARNT = {
    **{"width": 96, "heads": 4, "hidden": 384, "encoder_layers": 2, "decoder_layers": 2},
    **{"learning_rate": 1e-3, "warm_up": 30, "weight_decay": 0.1, "dropout": 0.2},
    **{"smoothing": 0.02, "averaging": 0.98, "wish_dropout": 0.1, "look_windows": 0},
    **{"validate_every": NEVER, "save_every": NEVER, "log_every": 0, "progress": False},
}
LEANING = math.log(0.7 / 0.3)
SHIFTS = np.arange(-0.1, 0.1001, 0.01)

Floats = NDArray[np.float64]


def main() -> None:
    """Measure and tell; all songs but one are to be won."""
    parser = parser_of(__doc__)
    parser.add_argument("songs", type=Path, nargs="?", default=CHARTS)
    parser.add_argument("--only", default="")
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    if not arguments.songs.is_dir():
        lacking = [skipped("songs left out", f"charted songs in {arguments.songs.name}")]
        tell("beatmap", lacking, as_json=arguments.json)
    torch.set_num_threads(1)
    songs = []
    with tempfile.TemporaryDirectory() as scratch:
        for song in measured(arguments.songs, Path(scratch), arguments.steps, arguments.only):
            songs.append(song)
            told = " ".join(f"{name} {value}" for name, value in song.items())
            print(told, file=sys.stderr, flush=True)
    tell("beatmap", list(rows_of(songs)), as_json=arguments.json)


def rows_of(songs: list[dict[str, str | float]]) -> Iterator[Row]:
    """Give one row a song, and one that counts those that are won."""
    for song in songs:
        yield row(
            f"{song['song']}: onset F1 of a writer that left it out",
            song["writer"] / song["librosa"],
            unit=TIMES,
            against="librosa's onsets",
            note=f"{song['writer']}, not leaned {song['not_leaned']}, librosa {song['librosa']}",
        )
    won = sum(song["writer"] > song["librosa"] for song in songs)
    yield row("songs above librosa's onsets", won, f">= {len(songs) - 1}")


def measured(songs: Path, scratch: Path, steps: int, only: str) -> Iterator[dict[str, str | float]]:
    """Give one row a song."""
    write_charted_maps(songs, scratch / "maps", part="guitar")
    process([scratch / "maps"], scratch / "store", ProcessOptions(progress=False))
    store = Store.open(scratch / "store")
    warm(scratch / "cache", sounds_of(store.songs, store.places(None)), CacheOptions())
    detected = {song.title: detected_onsets(store, song) for song in store.songs}
    wanted = {song.title: human_onsets(store, song) for song in store.songs}
    for song in store.songs:
        if only in {"", song.title}:
            others = [title for title in wanted if title != song.title]
            shift = best_shift([(wanted[title], detected[title]) for title in others])
            (found, plain), seconds = written_onsets(store, scratch, song, steps)
            theirs = detected[song.title] - shift
            yield {
                "song": song.title,
                "writer": f1(wanted[song.title], found),
                "not_leaned": f1(wanted[song.title], plain),
                "librosa": f1(wanted[song.title], theirs),
                "shift_ms": round(shift * 1000),
                "onsets": len(found),
                "wanted": len(np.unique(wanted[song.title])),
                "train_seconds": round(seconds),
            }


def written_onsets(
    store: Store, scratch: Path, song: StoredSong, steps: int
) -> tuple[list[Floats], float]:
    """Return when the notes of a song are struck, by a writer that knows all others.

    Returns:
        Leaned and not leaned; and the seconds that training took.
    """
    cache = FeatureCache(scratch / "cache", SPEC)
    data = ChartData(store, cache, DataOptions(hold_out=song.title, **DATA, **HIDDEN), CUT)
    folder = scratch / f"writer {song.key}"
    trained = train(data, SPEC, folder, TrainOptions(steps=steps, threads=1, **LEARNT), cut=CUT)
    assert not trained.history, "the song that is left out was looked at"
    chart = next(
        chart
        for chart in data.corpus.charts
        if chart.song.key == song.key and chart.beatmap.difficulty == CHART
    )
    features, level = cache.features(chart.feature_key), DIFFICULTIES.index(CHART)
    requests = [
        Request(difficulty=level, leaning=leaning, manner=Manner(temperature=0.0))
        for leaning in (LEANING, 0.0)
    ]
    notes = [
        decode(tokens, data.vocabulary)[0]
        for tokens in write_song(trained.writer(), features, requests)
    ]
    return [chart.beatmap.time_map.seconds_at(each.beat) for each in notes], trained.seconds


def human_onsets(store: Store, song: StoredSong) -> Floats:
    """Return when the notes of the hardest chart are struck."""
    counts = [beatmap.counts["notes"] for beatmap in song.beatmaps]
    names = np.repeat([beatmap.difficulty for beatmap in song.beatmaps], counts)
    beats = store.table("notes", [song], ("beat",))["beat"].to_numpy()[names == CHART]
    chart = next(beatmap for beatmap in song.beatmaps if beatmap.difficulty == CHART)
    return np.sort(chart.time_map.seconds_at(beats))


def detected_onsets(store: Store, song: StoredSong) -> Floats:
    """Return librosa's onsets of a song."""
    folder = store.places(None)[song.key].path
    samples, rate = soundfile.read(io.BytesIO((folder / song.audio).read_bytes()), dtype="float32")
    mono = librosa.resample(samples.mean(axis=1), orig_sr=rate, target_sr=22_050)
    return librosa.onset.onset_detect(y=mono, sr=22_050, hop_length=256, units="time")


def best_shift(pairs: Sequence[tuple[Floats, Floats]]) -> float:
    """Return by how much detected onsets are late, s, so that the mean F1 is the best."""
    means = [np.mean([f1(wanted, found - s) for wanted, found in pairs]) for s in SHIFTS]
    return float(SHIFTS[int(np.argmax(means))])


def f1(wanted: Floats, found: Floats) -> float:
    """Return onset F1 within 50 ms."""
    return round(onset_scores(wanted, found[found >= 0])["onset_f1_50ms"], 4)


if __name__ == "__main__":
    main()
