"""Grooves to listen to in a notebook."""

import io

import numpy as np
import pytest
import soundfile

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.files import midi_files
from workbench.groove.options import SampleOptions, TrainOptions
from workbench.groove.sample import sample
from workbench.groove.train import train
from workbench.panels.groove import sound


@pytest.fixture(scope="module")
def groove(tmp_path_factory):
    """Two bars of a model of twenty files."""
    place = tmp_path_factory.mktemp("groove")
    corpus = make_drum_corpus(place / "corpus", DrumCorpusOptions(files=20)).folder
    model = train(midi_files(corpus), place / "model", TrainOptions()).model
    return sample(model, SampleOptions(bars=2, seed=1))


@pytest.mark.parametrize(
    ("is_small", "kind", "mime"), [(False, "WAV", "wav"), (True, "OGG", "ogg")]
)
def test_a_player_says_what_kind_of_file_it_holds(groove, is_small, kind, mime):
    player = sound(groove, seconds=2.0, is_small=is_small)
    with soundfile.SoundFile(io.BytesIO(player.data)) as file:
        assert (file.format, file.samplerate) == (kind, 11_025)
        assert file.frames == pytest.approx(2 * 11_025, abs=64)
    assert f'src="data:audio/{mime};base64,' in player._repr_html_()


def test_a_small_player_sounds_like_the_other_and_is_a_third_of_it_at_most(groove):
    large, small = (sound(groove, is_small=is_small).data for is_small in (False, True))
    wanted, heard = (soundfile.read(io.BytesIO(data))[0] for data in (large, small))
    count = min(len(wanted), len(heard))
    assert abs(len(wanted) - len(heard)) < 64
    assert np.corrcoef(wanted[:count], heard[:count])[0, 1] > 0.9
    assert len(small) < len(large) / 3
