"""A small demo corpus, made once a session, and models trained on it."""

import pytest
from corpora import trained

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """60 drum files of all styles in 4/4, 3/4, 6/8 and 5/4; a tenth are copies, a tenth broken."""
    options = DrumCorpusOptions(
        files=60, seed=5, least_bars=4, most_bars=12, duplicates=0.1, broken=0.1
    )
    return make_drum_corpus(tmp_path_factory.mktemp("demo") / "corpus", options)


@pytest.fixture(scope="session")
def plain(corpus):
    """The model of the whole corpus, trained in one go, with its labels."""
    labels = corpus.folder / "labels.csv"
    return trained(corpus.folder, corpus.folder.with_name("plain"), labels=labels).model
