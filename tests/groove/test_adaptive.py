"""A piece's own counts: the vectorised form against the step-by-step one, and causality."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.groove.adaptive import PieceCounts, PieceLevel, adapted

TARGETS = 4
LEVELS = (
    PieceLevel(("place",), 3.0, 0.0),
    PieceLevel(("place", "before"), 1.5, 0.4),
)
PIECES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, TARGETS - 1)), max_size=25
    ),
    min_size=1,
    max_size=4,
)


def _columns(pieces):
    rows = [(number, *row) for number, piece in enumerate(pieces) for row in piece]
    table = np.array(rows, np.int64).reshape(-1, 4).T
    columns = {"place": table[1], "before": table[2], "target": table[3]}
    return columns, table[0]


def _corpus(pieces, seed=0):
    """Return a distribution over the targets for each element, shape (n, TARGETS)."""
    total = sum(map(len, pieces))
    return np.random.default_rng(seed).dirichlet(np.ones(TARGETS), total)


@given(PIECES)
@settings(deadline=None)
def test_all_at_once_equals_step_by_step(pieces) -> None:
    columns, piece = _columns(pieces)
    corpus = _corpus(pieces)
    target = columns["target"]
    found = adapted(corpus[np.arange(len(target)), target], columns, piece, LEVELS)
    index = {value: value for value in range(TARGETS)}
    counts = {number: PieceCounts(LEVELS) for number in set(piece.tolist())}
    for at, (number, place, before, value) in enumerate(
        zip(piece, columns["place"], columns["before"], target, strict=True)
    ):
        context = {"place": int(place), "before": int(before)}
        seen = counts[int(number)].adapt(corpus[at], index, context)
        assert seen.sum() == pytest.approx(1, abs=1e-12)
        assert seen[value] == pytest.approx(found[at], abs=1e-12)
        counts[int(number)].add(context, int(value))


@given(PIECES, st.integers(0, 80), st.integers(0, TARGETS - 1))
@settings(deadline=None)
def test_what_comes_later_changes_nothing_before(pieces, at: int, value: int) -> None:
    columns, piece = _columns(pieces)
    total = len(piece)
    if not total:
        return
    at %= total
    corpus = _corpus(pieces)[np.arange(total), columns["target"]]
    before = adapted(corpus, columns, piece, LEVELS)[:at]
    changed = {name: column.copy() for name, column in columns.items()}
    changed["target"][at] = value
    assert adapted(corpus, changed, piece, LEVELS)[:at].tolist() == before.tolist()


@given(PIECES)
@settings(deadline=None)
def test_a_piece_is_the_same_alone_and_among_others(pieces) -> None:
    columns, piece = _columns(pieces)
    corpus = _corpus(pieces)[np.arange(len(piece)), columns["target"]]
    together = adapted(corpus, columns, piece, LEVELS)
    for number in set(piece.tolist()):
        own = piece == number
        alone = adapted(
            corpus[own], {name: c[own] for name, c in columns.items()}, piece[own], LEVELS
        )
        assert alone.tolist() == together[own].tolist()


def test_repetition_is_learned_at_once() -> None:
    columns = {name: np.zeros(6, np.int64) for name in ("place", "before", "target")}
    found = adapted(np.full(6, 0.01), columns, np.zeros(6, np.int64), LEVELS)
    assert found[0] == 0.01
    assert (np.diff(found) > 0).all()
    assert found[5] > 0.7


def test_a_prime_with_something_that_the_corpus_never_has_is_taken() -> None:
    counts = PieceCounts(LEVELS)
    counts.add({"place": 0, "before": 0}, 99)
    seen = counts.adapt(np.array([0.5, 0.5]), {0: 0, 1: 1}, {"place": 0, "before": 0})
    assert (seen > 0).all()
    assert seen[0] == seen[1]
