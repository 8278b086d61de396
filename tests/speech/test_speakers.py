"""Who speaks: a network learns it from shards, wherever they are, however often it stops."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import file_of
from tiny_speech import gathered_by, write_speech

from workbench.demo.serving import served
from workbench.errors import LearningError, OptionsError, SourceError, SpeechError
from workbench.learning.interruption import StopsAt
from workbench.speech.pictures import speakers_picture
from workbench.speech.speakers import (
    BANDS,
    SpeakerNetwork,
    SpeakerOptions,
    held_back,
    learn_speakers,
    loudness,
    speakers_heard,
    speakers_of,
)
from workbench.streaming.listing import folder_source
from workbench.streaming.options import WindowOptions

PITCHES = (160.0, 230.0, 310.0)  # Hz, of three people who hum
FEW = SpeakerOptions(steps=16, batch_rows=6, width=8, warm_up=2, save_every=5, threads=1)
QUICK = WindowOptions(ahead=1, min_free_bytes=0, warn_free_bytes=0, wait_seconds=20)


def hum(pitch, seconds, rate=16_000, seed=0):
    """Return a hum of ten partials with a little noise, (n,) float32."""
    times = np.arange(round(seconds * rate)) / rate
    partials = sum(np.sin(2 * np.pi * pitch * n * times) / n for n in range(1, 11))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(times))
    return (0.2 * partials + noise).astype(np.float32)


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    """A dataset of six shards of six clips; every sixth clip is of nobody knows whom."""
    place = tmp_path_factory.mktemp("speakers")
    sounds = [hum(PITCHES[n % 3], 0.3 + 0.01 * n, seed=n) for n in range(36)]
    rows = [
        {
            "audio": {"bytes": file_of(sound, 16_000), "path": None},
            "sentence": f"hum {number}",
            "client_id": "" if number % 6 == 5 else f"person {number % 3}",
            "locale": "th",
        }
        for number, sound in enumerate(sounds)
    ]
    path = place / "source" / "data" / "train-00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    gathered_by(place / "source", "--to", place / "out", "--upload-batch-size", 6)
    return place / "out"


@pytest.fixture(scope="module")
def shards(gathered):
    """Its shards."""
    return folder_source(gathered)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """What is learned from all but the last by who never stops."""
    source, _ = held_back(shards)
    return learn_speakers(source, tmp_path_factory.mktemp("whole"), speakers_of(shards), FEW)


@settings(max_examples=30, deadline=None)
@given(band=st.integers(3, BANDS - 3), rate=st.sampled_from([8000, 16_000, 22_050, 48_000]))
def test_the_band_of_a_tone_is_the_loudest_at_any_rate(band, rate):
    size = round(0.064 * rate)
    tone = np.sin(2 * np.pi * band * np.arange(rate // 2) / size).astype(np.float32)
    heard = loudness(tone, rate)
    assert heard.shape == (len(tone) // (size // 4) + 1, BANDS)
    assert set(heard[4:-4].argmax(1).tolist()) == {band}


@pytest.mark.parametrize("count", [1, 100, 4000])
def test_silence_of_any_length_is_nothing(count):
    assert not loudness(np.zeros(count, np.float32), 16_000).any()


def test_a_clip_is_heard_alike_beside_a_longer_one():
    torch.manual_seed(0)
    network = SpeakerNetwork(3, 8)
    short, long = (loudness(hum(200, seconds), 16_000) for seconds in (0.2, 0.5))
    both = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True).transpose(1, 2)
    windows = torch.tensor([len(short), len(long)])
    alone = network(short.T[None], windows[:1])
    assert torch.allclose(network(both, windows)[:1], alone, atol=1e-6)


def test_people_who_hum_are_told_apart_in_clips_kept_back(whole, shards, tmp_path):
    _, kept = held_back(shards)
    heard = speakers_heard(whole, kept, tmp_path)
    assert heard.sum() == 5  # of six clips one is of nobody knows whom
    assert heard.trace() == 5
    assert whole.losses[-1] < 0.5 * whole.losses[0]
    assert len(whole.losses) == FEW.steps


def test_the_picture_tells_how_often_each_was_heard_and_how_many_are_right(whole):
    heard = np.array([[3, 0, 1], [0, 2, 0], [0, 0, 4]])
    picture = speakers_picture(heard, whole.speakers)
    (axes,) = picture.figure.axes
    told = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    assert told == {(0, 0): "3", (2, 0): "1", (1, 1): "2", (2, 2): "4"}
    assert picture.caption == "9 of 10 right among 3 speakers"


@pytest.mark.parametrize("step", [1, 7, 15])
def test_stopped_anywhere_it_goes_on_to_the_very_bit(whole, shards, tmp_path, step):
    source, _ = held_back(shards)
    learning = (source, tmp_path, whole.speakers, FEW)
    learn_speakers(*learning, callbacks=[StopsAt(step)])
    resumed = learn_speakers(*learning)
    assert resumed.resumed_at == step // FEW.save_every * FEW.save_every
    assert resumed.losses == whole.losses
    weights = whole.network.state_dict()
    for name, values in resumed.network.state_dict().items():
        assert torch.equal(values, weights[name]), name


def test_shards_far_away_teach_the_same_and_leave_behind_it(whole, gathered, shards, tmp_path):
    source, _ = held_back(shards)
    with served(gathered) as url:
        learned = learn_speakers(source.at(url), tmp_path, whole.speakers, FEW, window=QUICK)
    assert learned.losses == whole.losses
    assert len(list((tmp_path / "train").rglob("*.parquet"))) <= 2


def test_progress_tells_every_step(shards, tmp_path):
    told = []
    learn_speakers(shards, tmp_path, speakers_of(shards), FEW, told.append)
    assert [progress.done for progress in told] == list(range(1, FEW.steps + 1))
    assert told[-1].is_last


def test_nothing_is_learned_of_people_who_are_not_asked_for(shards, tmp_path):
    learned = learn_speakers(shards, tmp_path, ["SPK_nobody", "SPK_else"], FEW)
    assert set(learned.losses) == {0.0}
    assert not speakers_heard(learned, shards, tmp_path / "heard").any()


def test_speakers_are_those_that_are_known(shards, whole):
    assert len(whole.speakers) == 3
    assert list(whole.speakers) == sorted(whole.speakers)
    assert all(speaker.startswith("SPK_") for speaker in whole.speakers)
    assert "SPK_UNKNOWN" not in whole.speakers


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_is_kept_back_and_what_is_not_are_all(shards, count):
    source, kept = held_back(shards, count)
    assert source.files + kept.files == shards.files
    assert len(kept.files) == count


@pytest.mark.parametrize("count", [0, 6, 9])
def test_keeping_back_none_or_all_is_refused(shards, count):
    with pytest.raises(SpeechError, match=f"{count} of 6 shards cannot be kept back"):
        held_back(shards, count)


def test_a_checkpoint_of_other_speakers_is_refused(whole, shards, tmp_path):
    learn_speakers(shards, tmp_path, whole.speakers, FEW)
    with pytest.raises(LearningError, match="other data or other options"):
        learn_speakers(shards, tmp_path, whole.speakers[:2], FEW)


def test_one_speaker_is_refused(shards, tmp_path):
    with pytest.raises(SpeechError, match="1 speakers; two or more"):
        learn_speakers(shards, tmp_path, ["SPK_only"], FEW)


def test_an_option_out_of_its_range_is_refused():
    with pytest.raises(OptionsError, match="width"):
        SpeakerOptions(width=1)


def test_shards_without_speakers_are_refused(tmp_path):
    source = folder_source(write_speech(tmp_path, rows=2, files=1))
    with pytest.raises(SourceError, match="speakers cannot be read"):
        speakers_of(source)
