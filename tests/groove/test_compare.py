"""Comparisons: the bits of a score, file by file, and intervals that hold what they promise."""

import dataclasses

import numpy as np
import pytest

from workbench.errors import GrooveError
from workbench.groove.compare import SPANS, FileBits, file_bits, paired_bootstrap
from workbench.groove.pictures import where_bits_go
from workbench.groove.score import score_files


@pytest.fixture(scope="module")
def bits(plain, corpus):
    return file_bits(plain, corpus.folder, corpus.folder / "labels.csv")


def invented(costs, bars=4):
    """Return files of some bits, all of the same number of bars."""
    spread = np.zeros((len(costs), len(SPANS)))
    spread[:, 0] = costs
    counted = np.zeros((len(costs), len(SPANS)), np.int64)
    counted[:, 0] = bars
    names = tuple(str(index) for index in range(len(costs)))
    return FileBits(names=names, styles=("rock",) * len(costs), bits=spread, bars=counted)


def test_files_add_up_to_the_score(bits, plain, corpus) -> None:
    score = score_files(plain, corpus.folder, corpus.folder / "labels.csv")
    assert bits.bars.sum() == score.bars
    assert bits.bits_per_bar == pytest.approx(score.bits_per_bar)
    told = {style: row["bits_per_bar"] for style, row in score.styles.items()}
    for style, found in bits.by_style().items():
        assert found == pytest.approx(told[style])


def test_spans_hold_each_bar_once(bits) -> None:
    lengths = np.diff([*SPANS, 10**6])
    assert (bits.bars <= lengths).all()
    assert (bits.bars[:, 0] == 1).all()
    weighed = np.nansum(np.array(bits.by_span()) * bits.bars.sum(axis=0))
    assert weighed == pytest.approx(bits.bits.sum())


def test_a_model_is_as_good_as_itself(bits) -> None:
    same = paired_bootstrap(bits, bits, draws=100)
    assert (same.bits_per_bar, same.low, same.high) == (0.0, 0.0, 0.0)


def test_a_gain_in_every_file_is_sure_however_files_differ() -> None:
    generator = np.random.default_rng(1)
    costs = generator.uniform(40, 400, 50)
    found = paired_bootstrap(invented(costs - generator.uniform(1, 3, 50)), invented(costs))
    assert -0.75 < found.low < found.bits_per_bar < found.high < -0.25


def test_intervals_hold_the_truth_in_about_ninety_five_of_a_hundred_corpora() -> None:
    generator = np.random.default_rng(2)
    holds = 0
    for _ in range(200):
        costs = generator.uniform(40, 400, 60)
        gains = generator.normal(2.0, 6.0, 60)
        found = paired_bootstrap(invented(costs - gains), invented(costs), draws=400)
        holds += found.low <= -2.0 / 4 <= found.high
    assert 180 <= holds <= 199


def test_models_are_compared_on_the_same_files_only(bits) -> None:
    fewer = dataclasses.replace(bits, names=bits.names[1:], bits=bits.bits[1:], bars=bits.bars[1:])
    with pytest.raises(GrooveError, match="score both on one list"):
        paired_bootstrap(bits, fewer)


def test_the_seed_alone_decides_the_interval(bits) -> None:
    other = dataclasses.replace(
        bits, bits=bits.bits * np.linspace(0.9, 1.2, len(bits.names))[:, None]
    )
    one, again, third = (paired_bootstrap(bits, other, draws=300, seed=s) for s in (1, 1, 2))
    assert one == again != third


def test_the_picture_shows_each_models_bits_where_they_go(bits) -> None:
    worse = dataclasses.replace(bits, bits=bits.bits * 1.5)
    picture = where_bits_go({"n-grams": bits, "worse": worse})
    spans, styles = picture.figure.axes
    for line, told in zip(spans.lines, (bits, worse), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), told.by_span())
    assert list(styles.lines[1].get_ydata()) == list(worse.by_style().values())
    assert [label.get_text() for label in spans.get_xticklabels()][-2:] == ["8-15", "16+"]
    assert picture.digest != where_bits_go({"n-grams": bits, "worse": bits}).digest
