"""A mixture's probabilities: a distribution, of the past alone, and what its definition says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_mixture import CORPORA, PIECES, SlowMixture, piece_from

from workbench.groove.contexts import CORPUS_CONTEXTS, LOOKBACKS, PIECE_CONTEXTS, context_tables
from workbench.groove.mixture import (
    WINDOW,
    Counts,
    Mixture,
    context_keys,
    fitted_to,
    unfitted,
)
from workbench.groove.pieces import Piece
from workbench.groove.streams import MASKS

FEW = settings(max_examples=12, deadline=None)


def counts_of(pieces):
    keys = np.concatenate([context_keys(piece) for piece in pieces], axis=1)
    rows = [np.unique(of_context, return_counts=True) for of_context in keys]
    starts = np.cumsum([0, *(len(found) for found, _ in rows)])
    counts = np.concatenate([times for _, times in rows]).astype(np.uint32)
    return Counts(np.concatenate([found for found, _ in rows]), counts, starts)


def mixture_of(pieces):
    counts = counts_of(pieces)
    fitted = unfitted()
    for so_far in fitted_to(counts, pieces):
        fitted = so_far
    return Mixture(counts, fitted)


def where(piece, step):
    return tuple(piece.metre[step].tolist())


@pytest.fixture(scope="module")
def known():
    """A mixture of four pieces, and a piece that is like them."""
    generator = np.random.default_rng(3)
    bars = [generator.choice([0, 0, 1, 4, 5, 6, 12, 300], 16) for _ in range(3)]
    order = generator.integers(0, 3, (5, 6))
    pieces = [piece_from(["4/4"] * 6, np.concatenate([bars[b] for b in row])) for row in order]
    return mixture_of(pieces[:4]), pieces[4]


@settings(max_examples=5, deadline=None)
@given(corpus=CORPORA, piece=PIECES)
def test_kernels_tell_what_the_definition_tells(corpus, piece) -> None:
    found = mixture_of(corpus).probabilities(piece)
    np.testing.assert_allclose(found, SlowMixture(corpus).probabilities(piece), rtol=1e-8)


@FEW
@given(corpus=CORPORA, piece=PIECES)
def test_the_masks_of_a_step_sum_to_one_and_each_is_told_as_when_it_is_read(corpus, piece) -> None:
    mixture = mixture_of(corpus)
    read = mixture.probabilities(piece)
    drawn = mixture.begun(np.arange(MASKS))
    for step, mask in enumerate(piece.masks.tolist()):
        found = drawn.probabilities(where(piece, step))
        assert found.min() > 0
        assert found.sum() == pytest.approx(1.0, abs=1e-12)
        assert found[mask] == read[step]
        drawn.take(where(piece, step), mask)


def test_a_few_targets_are_told_as_among_all(known) -> None:
    mixture, piece = known
    few = np.array([0, 5, 12, 300])
    some, every = mixture.begun(few), mixture.begun(np.arange(MASKS))
    for step, mask in enumerate(piece.masks[:40].tolist()):
        found = every.probabilities(where(piece, step))[few]
        assert some.probabilities(where(piece, step)).tolist() == found.tolist()
        some.take(where(piece, step), mask)
        every.take(where(piece, step), mask)


@FEW
@given(corpus=CORPORA, piece=PIECES, data=st.data())
def test_a_later_step_changes_nothing_before_it(corpus, piece, data) -> None:
    mixture = mixture_of(corpus)
    step = data.draw(st.integers(0, len(piece.masks) - 1))
    masks = piece.masks.copy()
    masks[step] ^= data.draw(st.integers(1, MASKS - 1))
    changed = mixture.probabilities(Piece(masks, piece.metre))
    assert changed[:step].tolist() == mixture.probabilities(piece)[:step].tolist()


@FEW
@given(corpus=CORPORA, pieces=st.lists(PIECES, min_size=2, max_size=3))
def test_what_is_learned_in_a_piece_is_forgotten_after_it(corpus, pieces) -> None:
    mixture = mixture_of(corpus)
    alone = [mixture_of(corpus).probabilities(piece).tolist() for piece in pieces]
    assert [mixture.probabilities(piece).tolist() for piece in pieces] == alone
    drawn = mixture.begun(np.arange(MASKS))
    for step, mask in enumerate(pieces[0].masks.tolist()):
        drawn.take(where(pieces[0], step), mask)
    assert mixture.probabilities(pieces[1]).tolist() == alone[1]


def test_a_piece_that_repeats_itself_is_told_ever_better(known) -> None:
    mixture, _ = known
    piece = piece_from(["4/4"] * 8, [257, 0, 2, 0, 130, 2, 0, 64, 1, 0, 2, 2, 128, 0, 0, 16])
    bits = -np.log2(mixture.probabilities(piece)).reshape(8, 16).sum(axis=1)
    assert bits[0] > 60
    assert bits[-1] < 10


def test_what_the_corpus_does_is_expected(known) -> None:
    mixture, piece = known
    of_nothing = Mixture(counts_of([piece_from(["1/4"], [0])]), unfitted())
    bits = -np.log2(mixture.probabilities(piece)).sum()
    assert bits < 0.6 * -np.log2(of_nothing.probabilities(piece)).sum()


@FEW
@given(corpus=CORPORA)
def test_fitting_puts_the_counts_back_and_gives_the_same_every_time(corpus) -> None:
    counts = counts_of(corpus)
    before = counts.counts.copy()
    for _ in range(2):
        *_, fitted = fitted_to(counts, corpus)
        assert counts.counts.tolist() == before.tolist()
    *_, again = fitted_to(counts_of(corpus), corpus)
    assert all((one == other).all() for one, other in zip(fitted, again, strict=True))


def test_the_own_steps_of_a_piece_do_not_help_it_while_fitting() -> None:
    # one piece alone: with its own counts in, the map would learn to believe every count
    piece = piece_from(["4/4"] * 4, np.random.default_rng(0).integers(0, MASKS, 64))
    *_, fitted = fitted_to(counts_of([piece]), [piece])
    assert (fitted.corpus_map == unfitted().corpus_map).all()
    assert (fitted.piece_map != unfitted().piece_map).any()


def test_a_piece_longer_than_the_window_is_read_and_drawn_alike(known) -> None:
    mixture, piece = known
    bars = 2 * WINDOW // 16 + 3
    long = piece_from(["4/4"] * bars, piece.masks)
    read = mixture.probabilities(long)
    drawn = mixture.begun(np.arange(MASKS))
    for step, mask in enumerate(long.masks.tolist()):
        if step % 97 == 0:
            assert drawn.probabilities(where(long, step))[mask] == read[step]
        drawn.take(where(long, step), mask)


def test_a_piece_is_remembered_over_the_window_and_no_further(known) -> None:
    mixture, _ = known
    figure = [33, 77, 140, 9, 66, 200]  # nothing like it is in the corpus

    def told(bars_between):
        filler = [1, 0, 4, 0] * (4 * bars_between)
        masks = [*figure, *[0] * 10, *filler, *figure, *[0] * 10]
        found = mixture.probabilities(piece_from(["4/4"] * (bars_between + 2), masks))
        return found[16 * (bars_between + 1) + 5]

    assert told(WINDOW // 16 - 4) > 20 * told(WINDOW // 16 + 4)


def test_contexts_fit_their_keys_and_no_two_are_the_same() -> None:
    tables = context_tables()
    for contexts, numbers, most in (
        (CORPUS_CONTEXTS, tables.corpus, 64 - 9),
        (PIECE_CONTEXTS, tables.piece, 64),
    ):
        assert len({frozenset(context) for context in contexts}) == len(contexts)
        for context, row in zip(contexts, numbers, strict=True):
            assert len(set(context)) == len(context) == (row >= 0).sum()
            assert tables.bits[row[row >= 0]].sum() <= most
    assert len({(b.steps, b.beats, b.half_bars, b.bars) for b in LOOKBACKS}) == len(LOOKBACKS)
