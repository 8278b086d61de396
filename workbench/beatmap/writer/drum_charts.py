"""The demo's drum songs as charts to learn from, and a small writer that learns them in seconds.

Whether it has learnt is beyond doubt: every note is in the sound, and nothing but the sound tells
where; see `workbench.demo.drum_songs`.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import sounds_of
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model import MapWriter
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions, MelSpec
from workbench.beatmap.writer.training import train_model
from workbench.demo.drum_songs import DrumSongOptions, make_drum_songs
from workbench.progress import Show, silent

CUT = ChartWindowOptions(bars=2)
DATA = DataOptions(vocabulary="291", validation=0.15, test=0.0, batch_size=16)
TRAINING = TrainOptions(
    steps=30,
    learning_rate=6e-3,
    warm_up=8,
    averaging=0.95,
    dropout=0.0,
    smoothing=0.0,
    validate_every=10,
    look_windows=16,
    patience=0,
    width=96,
    hidden=384,
    accelerator="cpu",
    threads=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumSong:
    """A drum song that no writer learnt from.

    Attributes:
        audio: Its sound, a file.
        human: The map that tells where its drums are, a folder.
        bpm: Its tempo, which random drums do not tell, beats a minute.
    """

    audio: Path
    human: Path
    bpm: float


def drum_charts(
    folder: Path, made: DrumSongOptions, spec: MelSpec, show: Show = silent
) -> tuple[Store, FeatureCache]:
    """Return drum songs as a store and the features of their sound, making what is missing.

    Args:
        folder: Where they go: `songs`, `store` and `features`.
        made: How many there are, and what they are like.
        spec: What is computed of their sound.
        show: Told about the songs.

    Raises:
        CachingError: Something else lies there, or it cannot be written.
        OptionsError: A store of other songs lies there.
    """
    maps = make_drum_songs(folder / "songs", made)
    process([maps], folder / "store", ProcessOptions(), show)
    store = Store.open(folder / "store")
    sounds = sounds_of(store.songs, store.places([maps]))
    warm(folder / "features", sounds, CacheOptions(**asdict(spec)), show)
    return store, FeatureCache(folder / "features", spec)


def drum_writer(
    folder: Path, made: DrumSongOptions, training: TrainOptions = TRAINING, show: Show = silent
) -> MapWriter:
    """Return a small writer that has learnt drum songs.

    Args:
        folder: Where it goes, as `model`, beside what it learns from.
        made: The songs.
        training: How it learns.
        show: Told about the steps.
    """
    spec = MelSpec()
    data = ChartData(*drum_charts(folder, made, spec), DATA, CUT)
    return train_model(data, spec, folder / "model", training, show, cut=CUT).writer()


def drum_song(folder: Path, seed: int, beats: int = 64) -> DrumSong:
    """Return one drum song of its own.

    Args:
        folder: Where it goes.
        seed: Decides everything in it; other than that of the songs that were learnt from.
        beats: Its length.
    """
    maps = make_drum_songs(folder / "songs", DrumSongOptions(songs=1, beats=beats, seed=seed))
    (human,) = maps.iterdir()
    audio = folder / f"workbench - Drums {seed}.ogg"
    shutil.copyfile(human / "song.egg", audio)
    info = json.loads((human / "Info.dat").read_bytes())
    return DrumSong(audio=audio, human=human, bpm=float(info["_beatsPerMinute"]))
