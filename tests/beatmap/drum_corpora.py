"""Small corpora of drum songs, and the options of the smallest writers that learn from them."""

from dataclasses import replace

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache, warm
from workbench.beatmap.writer.corpus import sounds_of
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions
from workbench.demo.drum_songs import DrumSongOptions, make_drum_songs

SPEC = CacheOptions(n_mels=24, n_fft=1024, hop_length=256, progress=False)
CUT = ChartWindowOptions(bars=2)
DATA = DataOptions(
    vocabulary="291", batch_size=8, bucket_steps=2, validation=0.2, test=0.1, style_songs=0, seed=3
)
TINY = TrainOptions(
    steps=14,
    warm_up=2,
    averaging=0.9,
    validate_every=5,
    look_windows=0,
    save_every=2,
    width=16,
    heads=2,
    hidden=32,
    encoder_layers=1,
    decoder_layers=1,
    accelerator="cpu",
    threads=1,
    log_every=0,
    progress=False,
)


def drum_corpus(root, songs=24, beats=32, spec=SPEC):
    """Fill a folder with drum songs, their store and their features; return it."""
    maps = make_drum_songs(root / "songs", DrumSongOptions(songs=songs, beats=beats))
    process([maps], root / "store", ProcessOptions(workers=1, progress=False))
    store = Store.open(root / "store")
    warm(root / "cache", sounds_of(store.songs, store.places()), spec)
    return root


def data_of(root, cut=CUT, spec=SPEC, **options):
    """Return the windows of a corpus."""
    store, cache = Store.open(root / "store"), FeatureCache(root / "cache", spec.spec)
    return ChartData(store, cache, replace(DATA, **options), cut)
