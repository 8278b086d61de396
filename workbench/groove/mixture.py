"""A mixture of contexts: each step's mask, class by class, from many counts at once.

A mask is told bit by bit, the kick first. Each context of `contexts` has seen, where the classes
before were the same, so many steps without and so many with the class in hand. A map that was
fitted tells the chance of such a pair of counts; its logit and the counts' balance are two
inputs of a mixer, which adds them up with learned weights and gives a logit again. Several
mixers, each with weights chosen by something else it knows, are added up by a last one. This is
context mixing as in PAQ (Mahoney, 2005), with exact keys for hashed slots.

Maps and weights are fitted in one pass over the pieces; a piece's own counts are taken out of
the corpus while it is read, so that it is met as a new one will be. Weights go on learning
within a piece and are put back after it.

Everything is sums, differences, products, quotients and roots of IEEE doubles in a fixed order,
with logarithm and exponential made of them, so that models are equal on every platform. All
kernels are in this one module, since a compiled kernel that is kept on disk is renewed when its
own file changes, not when another one does.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workbench.groove.contexts import ContextTables, Ints, context_tables
from workbench.groove.pieces import Piece
from workbench.groove.streams import MASK_BITS, MASKS, NO_MASK, Keys

Floats = NDArray[np.float64]
Number = int | np.int64
Work = TypeVar("Work", bound=Callable[..., Any])

SETS = 5  # of weights: by the classes before, bar, place, familiarity, echoes
_BARS = 10
_PLACES = 32
_FAMILIAR = 16
_ECHOES = 16
SET_STARTS = np.cumsum(
    [0, MASKS, *(MASK_BITS * choices for choices in (_BARS, _PLACES, _FAMILIAR, _ECHOES))]
)
WINDOW = 1024  # steps of a piece that its contexts look back over
MATCHES = 32  # of a context of the piece, the latest that count
MOST_COUNTED = 1 << 14  # greater counts are as good as this

# Chosen on the validation split of the Groove MIDI Dataset
FIRST_WEIGHT = 0.15
BIAS = 0.4
FIRST_RATE, LAST_RATE, RATE_FALL = 0.02, 0.005, 0.002  # while fitting, of the weights
PIECE_RATE = 0.008  # within a piece that is predicted
LAST_MIXER_RATE = 0.05  # of the last mixer's weights, as a share of the others'
MAP_MEMORY = 1000.0  # events that a map's cell remembers
_PRIOR = 0.4  # of a count, in a map that has seen nothing
_LEAST = 1e-5  # chance that a class sounds, or not

_LN2 = 0.6931471805599453
_ATANH = tuple(1.0 / k for k in range(19, 0, -2))  # coefficients of both series, highest first
_EXP = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))


def _bins(number: int, ratio: float) -> Ints:
    """Return the least count of each bin: every small count, then wider bins by a ratio."""
    edges, bound = [0], 1.0
    while len(edges) < number:
        edges.append(max(edges[-1] + 1, int(bound)))
        bound = max(bound * ratio, edges[-1] + 1.0)
    return np.array(edges, np.int64)


CORPUS_BINS = _bins(22, 1.6)
PIECE_BINS = _bins(12, 1.45)
_ASKED = 3  # of the latest match: there is none, it was without, it was with the class


class Counts(NamedTuple):
    """How often each mask came in each context of the corpus.

    Attributes:
        keys: Context and mask, uint64 (rows,), rising within a context.
        counts: uint32 (rows,).
        starts: First row of each context's, and the number of rows, int64 (contexts + 1,).
    """

    keys: Keys
    counts: NDArray[np.uint32]
    starts: Ints


class Fitted(NamedTuple):
    """What is fitted.

    Attributes:
        corpus_map: Chance by context, class, bins of both counts, float64 (g, 9, b, b).
        piece_map: The same of the piece's contexts and what the latest match had,
            float64 (p, 9, b, b, 3).
        weights: Of each set's choices after another, float64 (choices, 2 g + 2 p + 1).
        last: Of the last mixer, float64 (9, SETS).
    """

    corpus_map: Floats
    piece_map: Floats
    weights: Floats
    last: Floats


class Known(NamedTuple):
    """All that a kernel reads but the piece.

    Attributes:
        tables: The contexts.
        counts: Of the corpus.
        corpus_bin: Bin of each count, int64 (MOST_COUNTED + 1,).
        piece_bin: The same for the counts of a piece, int64 (MATCHES + 1,).
        corpus_map: As fitted.
        piece_map: As fitted.
        corpus_logit: Logits of the map.
        piece_logit: Logits of the map.
        corpus_met: How often each cell of the map was met; empty when nothing is fitted.
        piece_met: The same.
    """

    tables: ContextTables
    counts: Counts
    corpus_bin: Ints
    piece_bin: Ints
    corpus_map: Floats
    piece_map: Floats
    corpus_logit: Floats
    piece_logit: Floats
    corpus_met: Floats
    piece_met: Floats


class State(NamedTuple):
    """What a kernel writes while it goes through a piece.

    Attributes:
        weights: As fitted, learning on.
        last: The same.
        fields: Of the step in hand, int64 (fields,).
        rows: First row of each context of the corpus and the row behind its last, int64 (g, 2).
        past: Contexts of the piece at its latest steps, a ring, uint64 (p, WINDOW).
        matched: Masks at the latest matches of each context, the latest first, int64 (p, MATCHES).
        matches: How many there are, int64 (p,).
        told: Contexts that came to each node, int64 (nodes, g + p), rising.
        tellers: How many they are, int64 (nodes,).
        seen: By node and context, steps without and with the class, int64 (nodes, g + p, 2).
        latest: By node and context of the piece, int64 (nodes, p): 0 where there is no match, 1
            where the latest was without the class, 2 where it was with it.
        agreeing: Of one context, steps by the number of first classes that agree, int64 (10,).
        cells: Of each context, where in its map, int64 (g + p, 3).
        at: Inputs that are not 0, int64 (inputs,).
        inputs: Their values.
        case: Bars so far, place and familiarity, in their choices, int64 (3,).
        chosen: Row of weights of each set, int64 (SETS,).
        logits: Of each set's mixer, float64 (SETS,).
        mass: Probability of each node of the tree of masks, float64 (2 * MASKS,).
    """

    weights: Floats
    last: Floats
    fields: Ints
    rows: Ints
    past: Keys
    matched: Ints
    matches: Ints
    told: Ints
    tellers: Ints
    seen: Ints
    latest: Ints
    agreeing: Ints
    cells: Ints
    at: Ints
    inputs: Floats
    case: Ints
    chosen: Ints
    logits: Floats
    mass: Floats


class Mixture:
    """A fitted mixture, ready to predict."""

    def __init__(self, counts: Counts, fitted: Fitted):
        """Take what was counted and fitted."""
        self._fitted = fitted
        self._known = _known(counts, fitted, meets=False)

    def probabilities(self, piece: Piece) -> Floats:
        """Return the probability of each step's mask, given the steps before it.

        Returns:
            Shape (n,), above 0; an element depends on no later step.
        """
        state = new_state(self._fitted, nodes=MASK_BITS)
        found = np.empty(len(piece.masks))
        _read(self._known, state, piece, PIECE_RATE, found)
        return found

    def begun(self, targets: Ints) -> "PieceMixture":
        """Begin a piece that is drawn step by step.

        Args:
            targets: The masks that are of interest, shape (targets,).
        """
        return PieceMixture(self._known, self._fitted, targets)


class PieceMixture:
    """A piece that goes on step by step."""

    def __init__(self, known: Known, fitted: Fitted, targets: Ints):
        """Begin a piece."""
        self._known = known
        self._path = new_state(fitted, nodes=MASK_BITS)
        self._tree = new_state(fitted, nodes=MASKS)._replace(
            weights=self._path.weights,
            last=self._path.last,
            fields=self._path.fields,
            rows=self._path.rows,
            past=self._path.past,
            matched=self._path.matched,
            matches=self._path.matches,
        )
        self._leaves = targets + MASKS
        self._is_wanted = _branches(targets)
        self._piece = Piece(np.zeros(WINDOW, np.int64), np.zeros((WINDOW, 4), np.int64))
        self._length = 0

    def probabilities(self, where: tuple[int, int, int, int]) -> Floats:
        """Return the probability of each target at the next step, shape (targets,).

        Args:
            where: Place code, beat code, steps of the bar and steps of the beat.
        """
        self._stand(where)
        _tree(self._known, self._tree, self._piece, self._length, self._is_wanted)
        return self._tree.mass[self._leaves]

    def take(self, where: tuple[int, int, int, int], mask: int) -> None:
        """Go on by one step and learn from it."""
        self._stand(where)
        self._piece.masks[self._length] = mask
        _path(self._known, self._path, self._piece, self._length, PIECE_RATE)
        self._length += 1

    def _stand(self, where: tuple[int, int, int, int]) -> None:
        masks, metre = self._piece
        if self._length == len(masks):
            self._piece = Piece(
                np.concatenate((masks, np.zeros_like(masks))),
                np.concatenate((metre, np.zeros_like(metre))),
            )
        self._piece.metre[self._length] = where


def context_keys(piece: Piece) -> Keys:
    """Return the keys of a piece in every context of the corpus, shape (contexts, n)."""
    tables = context_tables()
    keys = np.empty((len(tables.corpus), len(piece.masks)), np.uint64)
    _keys(tables, piece, keys)
    return keys


def fitted_to(counts: Counts, pieces: Iterable[Piece]) -> Iterator[Fitted]:
    """Fit a mixture in one pass, giving what is fitted so far after each piece.

    Args:
        counts: Of all these pieces; `counts` is changed while a piece is read, and put back.
        pieces: In canonical order.

    Yields:
        The same arrays every time; the last is the fitted mixture.
    """
    fitted = unfitted()
    known = _known(counts, fitted, meets=True)
    state = new_state(fitted, nodes=MASK_BITS)
    steps = 0
    for piece in pieces:
        _withhold(known, state, piece, -1)
        steps = _fit(known, state, piece, steps)
        _withhold(known, state, piece, 1)
        yield fitted._replace(weights=state.weights, last=state.last)


def unfitted() -> Fitted:
    """Return maps and weights that no piece has changed."""
    tables = context_tables()
    corpus, piece = len(tables.corpus), len(tables.piece)
    of_corpus, of_piece = _guesses(CORPUS_BINS), _guesses(PIECE_BINS)[:, :, None]
    weights = np.zeros((int(SET_STARTS[-1]), 2 * (corpus + piece) + 1))
    weights[:, 0:-1:2] = FIRST_WEIGHT
    return Fitted(
        corpus_map=np.broadcast_to(of_corpus, (corpus, MASK_BITS, *of_corpus.shape)).copy(),
        piece_map=np.broadcast_to(
            of_piece, (piece, MASK_BITS, len(PIECE_BINS), len(PIECE_BINS), _ASKED)
        ).copy(),
        weights=weights,
        last=np.full((MASK_BITS, SETS), 1.0 / SETS),
    )


def new_state(fitted: Fitted, *, nodes: int) -> State:
    """Return the state at the start of a piece.

    Args:
        fitted: The mixture.
        nodes: Nodes that are counted at once: 9 on the path of a known mask, 512 in the tree of
            all masks.
    """
    tables = context_tables()
    corpus, piece = len(tables.corpus), len(tables.piece)
    inputs = fitted.weights.shape[1]
    return State(
        weights=fitted.weights.copy(),
        last=fitted.last.copy(),
        fields=np.zeros(len(tables.bits), np.int64),
        rows=np.zeros((corpus, 2), np.int64),
        past=np.zeros((piece, WINDOW), np.uint64),
        matched=np.zeros((piece, MATCHES), np.int64),
        matches=np.zeros(piece, np.int64),
        told=np.zeros((nodes, corpus + piece), np.int64),
        tellers=np.zeros(nodes, np.int64),
        seen=np.zeros((nodes, corpus + piece, 2), np.int64),
        latest=np.zeros((nodes, piece), np.int64),
        agreeing=np.zeros(MASK_BITS + 1, np.int64),
        cells=np.zeros((corpus + piece, 3), np.int64),
        at=np.zeros(inputs, np.int64),
        inputs=np.zeros(inputs),
        case=np.zeros(3, np.int64),
        chosen=np.zeros(SETS, np.int64),
        logits=np.zeros(SETS),
        mass=np.zeros(2 * MASKS),
    )


def _guesses(bins: Ints) -> Floats:
    """Return the chance that a map tells before it was fitted, by the bins of both counts."""
    without, with_it = bins[:, None] + _PRIOR, bins[None, :] + _PRIOR
    return np.asarray(with_it / (without + with_it))


def _known(counts: Counts, fitted: Fitted, *, meets: bool) -> Known:
    def met(chances: Floats) -> Floats:
        return np.zeros(chances.shape if meets else (0,) * chances.ndim)

    return Known(
        tables=context_tables(),
        counts=counts,
        corpus_bin=np.searchsorted(CORPUS_BINS, np.arange(MOST_COUNTED + 1), side="right") - 1,
        piece_bin=np.searchsorted(PIECE_BINS, np.arange(MATCHES + 1), side="right") - 1,
        corpus_map=fitted.corpus_map,
        piece_map=fitted.piece_map,
        corpus_logit=_logits(fitted.corpus_map.ravel()).reshape(fitted.corpus_map.shape),
        piece_logit=_logits(fitted.piece_map.ravel()).reshape(fitted.piece_map.shape),
        corpus_met=met(fitted.corpus_map),
        piece_met=met(fitted.piece_map),
    )


def _branches(targets: Ints) -> NDArray[np.bool_]:
    """Return which nodes of the tree of masks lead to a target, shape (MASKS,)."""
    is_wanted = np.zeros(MASKS, bool)
    for depth in range(MASK_BITS):
        is_wanted[(1 << depth) | (targets & ((1 << depth) - 1))] = True
    return is_wanted


# --- kernels. A node of the tree of masks is 1, then the classes before as bits: its depth is
# the class in hand. On the path of a known mask, nodes are counted by depth alone.


def _kernel(function: Work) -> Work:
    """Compile a function at its first call; the machine code is kept on disk."""
    compiled: Any = njit(cache=True)(function)
    return cast(Work, compiled)


_WITHIN: dict[str, Any] = {
    "cache": True,
    "forceinline": True,
    "no_cpython_wrapper": True,  # a third of the time of compiling
    "no_cfunc_wrapper": True,
}


def _part(function: Work) -> Work:
    """Compile a function that only kernels call, into them: there is no way in from Python."""
    compiled: Any = njit(**_WITHIN)(function)
    return cast(Work, compiled)


@_part
def _logarithm(x: float) -> float:
    """Return ln x for a positive x; the relative error is below 1e-12."""
    mantissa, twos = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        twos -= 1
    t = (mantissa - 1.0) / (mantissa + 1.0)  # ln m = 2 atanh t, |t| < 0.172
    square, series = t * t, 0.0
    for coefficient in _ATANH:
        series = series * square + coefficient
    return twos * _LN2 + 2.0 * t * series


@_part
def _kept_off(chance: float) -> float:
    """Return a chance that is neither 0 nor 1, which have no logit."""
    return min(max(chance, _LEAST), 1.0 - _LEAST)


@_part
def _chance(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)), kept away from 0 and 1."""
    x = -min(max(logit, -30.0), 30.0)
    whole = math.floor(x / _LN2 + 0.5)
    rest, series = x - whole * _LN2, 0.0
    for coefficient in _EXP:
        series = series * rest + coefficient
    return _kept_off(1.0 / (1.0 + math.ldexp(series, int(whole))))


@_kernel
def _logits(chances: Floats) -> Floats:
    found = np.empty(len(chances))
    for i in range(len(chances)):
        found[i] = _logarithm(chances[i] / (1.0 - chances[i]))
    return found


@_part
def _fields(tables: ContextTables, fields: Ints, piece: Piece, step: int) -> None:
    """Set the fields of a step."""
    fields[0], fields[1] = piece.metre[step, 0], piece.metre[step, 1]
    bar, beat = piece.metre[step, 2], piece.metre[step, 3]
    for back in range(len(tables.lookbacks)):
        ago = tables.lookbacks[back, 0] + tables.lookbacks[back, 1] * beat
        ago += tables.lookbacks[back, 2] * (bar // 2) + tables.lookbacks[back, 3] * bar
        # a bar may be so short that "later, a bar ago" is not in the past
        fields[2 + back] = piece.masks[step - ago] if 1 <= ago <= step else NO_MASK


@_part
def _packed(contexts: Ints, c: int, bits: Ints, fields: Ints) -> np.uint64:
    packed = np.uint64(0)
    for place in range(contexts.shape[1]):
        field = contexts[c, place]
        if field < 0:
            break
        packed = (packed << np.uint64(bits[field])) | np.uint64(fields[field])
    return packed


@_kernel
def _keys(tables: ContextTables, piece: Piece, keys: Keys) -> None:
    fields = np.zeros(len(tables.bits), np.int64)
    for step in range(len(piece.masks)):
        _fields(tables, fields, piece, step)
        for c in range(len(tables.corpus)):
            packed = _packed(tables.corpus, c, tables.bits, fields)
            keys[c, step] = (packed << np.uint64(MASK_BITS)) | np.uint64(piece.masks[step])


@_part
def _first_row(counts: Counts, c: int, key: np.uint64) -> int:
    """Return the first row of a context's whose key is not below a key."""
    low: int = counts.starts[c]
    high: int = counts.starts[c + 1]
    while low < high:
        middle = (low + high) // 2
        if counts.keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@_kernel
def _withhold(known: Known, state: State, piece: Piece, sign: int) -> None:
    """Take a piece out of the counts of the corpus, or put it back."""
    tables, counts = known.tables, known.counts
    for step in range(len(piece.masks)):
        _fields(tables, state.fields, piece, step)
        for c in range(len(tables.corpus)):
            packed = _packed(tables.corpus, c, tables.bits, state.fields)
            key = (packed << np.uint64(MASK_BITS)) | np.uint64(piece.masks[step])
            row = _first_row(counts, c, key)
            counts.counts[row] = np.uint32(np.int64(counts.counts[row]) + sign)


@_part
def _look(known: Known, state: State, piece: Piece, step: int) -> None:
    """Find the rows of the corpus and the earlier steps of the piece that are of a context."""
    tables, counts = known.tables, known.counts
    _fields(tables, state.fields, piece, step)
    for c in range(len(tables.corpus)):
        packed = _packed(tables.corpus, c, tables.bits, state.fields)
        row = _first_row(counts, c, packed << np.uint64(MASK_BITS))
        state.rows[c, 0] = row
        while row < counts.starts[c + 1] and counts.keys[row] >> np.uint64(MASK_BITS) == packed:
            row += 1
        state.rows[c, 1] = row
    for c in range(len(tables.piece)):
        packed = _packed(tables.piece, c, tables.bits, state.fields)
        found = 0
        for earlier in range(step - 1, max(step - WINDOW, -1), -1):
            if state.past[c, earlier & (WINDOW - 1)] == packed:
                state.matched[c, found] = piece.masks[earlier]
                found += 1
                if found == MATCHES:
                    break
        state.matches[c] = found
        state.past[c, step & (WINDOW - 1)] = packed
    _case(known, state, piece, step)


@_part
def _case(known: Known, state: State, piece: Piece, step: int) -> None:
    """Set what the weights of a step are chosen by: bars so far, place, and familiarity."""
    bars = step // piece.metre[step, 2]
    age = bars if bars < 4 else 4 + (bars >= 6) + (bars >= 8) + (bars >= 12)
    state.case[0] = age + (bars >= 16) + (bars >= 32)
    state.case[1] = piece.metre[step, 0]
    familiar = 0
    for kind in range(2):
        familiar *= 4
        for i in range(known.tables.familiar.shape[1]):
            familiar += state.matches[known.tables.familiar[kind, i]] > 0
    state.case[2] = familiar


@_part
def _agreement(one: Number, other: Number) -> int:
    """Return how many classes agree before the first that does not."""
    difference, classes = one ^ other, 0
    while classes < MASK_BITS and not (difference >> classes) & 1:
        classes += 1
    return classes


@_part
def _count_on_path(known: Known, state: State, mask: int) -> None:
    """Count, at each node on the path of a mask, the steps that came as far."""
    counts = known.counts.counts
    keys = known.counts.keys
    corpus = len(state.rows)
    low_bits = np.uint64(MASKS - 1)
    state.tellers[:] = 0
    for c in range(len(state.cells)):
        state.agreeing[:] = 0
        if c < corpus:
            for row in range(state.rows[c, 0], state.rows[c, 1]):
                other = np.int64(keys[row] & low_bits)
                state.agreeing[_agreement(other, mask)] += np.int64(counts[row])
        else:
            p = c - corpus
            reached = -1
            for m in range(state.matches[p]):
                classes = _agreement(state.matched[p, m], mask)
                state.agreeing[classes] += 1
                for depth in range(reached + 1, min(classes, MASK_BITS - 1) + 1):
                    state.latest[depth, p] = 1 + ((state.matched[p, m] >> depth) & 1)
                reached = max(reached, classes)
        further = state.agreeing[MASK_BITS]
        for depth in range(MASK_BITS - 1, -1, -1):
            bit = (mask >> depth) & 1
            state.seen[depth, c, bit] = further
            state.seen[depth, c, 1 - bit] = state.agreeing[depth]
            further += state.agreeing[depth]
            if further > 0:
                state.told[depth, state.tellers[depth]] = c
                state.tellers[depth] += 1


@_part
def _count_in_tree(known: Known, state: State) -> None:
    """Count, at every node, the steps that came there."""
    counts = known.counts.counts
    keys = known.counts.keys
    corpus = len(state.rows)
    low_bits = np.uint64(MASKS - 1)
    state.tellers[:] = 0
    for c in range(corpus):
        for row in range(state.rows[c, 0], state.rows[c, 1]):
            _count_one(state, c, np.int64(keys[row] & low_bits), np.int64(counts[row]))
    for p in range(len(state.matches)):
        for m in range(state.matches[p]):
            _count_one(state, corpus + p, state.matched[p, m], 1)


@_part
def _count_one(state: State, c: int, mask: Number, times: Number) -> None:
    """Count a mask at the nodes on its path; the first of a context is its latest."""
    p = c - len(state.rows)
    for depth in range(MASK_BITS):
        node, bit = (1 << depth) | (mask & ((1 << depth) - 1)), (mask >> depth) & 1
        tellers = state.tellers[node]
        if tellers == 0 or state.told[node, tellers - 1] != c:
            state.told[node, tellers] = c
            state.tellers[node] += 1
            state.seen[node, c, 0] = 0
            state.seen[node, c, 1] = 0
            if p >= 0:
                state.latest[node, p] = 1 + bit
        state.seen[node, c, bit] += times


@_part
def _choose(known: Known, state: State, node: int, depth: int) -> None:
    """Choose each set's row of weights at a node."""
    tables, echoes = known.tables, 0
    for i in range(len(tables.echoes)):
        mask = state.fields[tables.echoes[i]]
        if mask != NO_MASK:
            echoes += ((mask >> depth) & 1) << i
    state.chosen[0] = node
    state.chosen[1] = SET_STARTS[1] + state.case[0] * MASK_BITS + depth
    state.chosen[2] = SET_STARTS[2] + state.case[1] * MASK_BITS + depth
    state.chosen[3] = SET_STARTS[3] + state.case[2] * MASK_BITS + depth
    state.chosen[4] = SET_STARTS[4] + echoes * MASK_BITS + depth


@_part
def _gather(known: Known, state: State, counted: int, depth: int) -> int:
    """Set the inputs of the mixers at a node; return how many are not 0."""
    corpus, found = len(state.rows), 0
    for teller in range(state.tellers[counted]):
        c = state.told[counted, teller]
        without, with_it = state.seen[counted, c, 0], state.seen[counted, c, 1]
        times = without + with_it
        if c < corpus:
            one = known.corpus_bin[min(without, MOST_COUNTED)]
            two = known.corpus_bin[min(with_it, MOST_COUNTED)]
            logit = known.corpus_logit[c, depth, one, two]
            spare = 1.5
        else:
            one, two = known.piece_bin[without], known.piece_bin[with_it]
            latest = state.latest[counted, c - corpus]
            state.cells[c, 2] = latest
            logit = known.piece_logit[c - corpus, depth, one, two, latest]
            spare = 0.5
        state.cells[c, 0], state.cells[c, 1] = one, two
        state.at[found], state.inputs[found] = 2 * c, logit
        state.at[found + 1] = 2 * c + 1
        state.inputs[found + 1] = (with_it - without) / (times + spare)
        found += 2
    state.at[found], state.inputs[found] = 2 * len(state.cells), BIAS
    return found + 1


@_part
def _mix(state: State, inputs: int, depth: int) -> float:
    """Return the chance that a class sounds."""
    total = 0.0
    for s in range(SETS):
        row, logit = state.chosen[s], 0.0
        for i in range(inputs):
            logit += state.weights[row, state.at[i]] * state.inputs[i]
        state.logits[s] = min(max(logit, -15.0), 15.0)
        total += state.last[depth, s] * state.logits[s]
    return _chance(total)


@_part
def _learn(state: State, inputs: int, depth: int, missed: float, rate: float) -> None:
    """Move the weights by what a chance missed: above 0 where the class sounded, else below."""
    bit = 1.0 if missed > 0.0 else 0.0
    for s in range(SETS):
        state.last[depth, s] += LAST_MIXER_RATE * rate * missed * state.logits[s]
        error = rate * (bit - _chance(state.logits[s]))
        row = state.chosen[s]
        for i in range(inputs):
            state.weights[row, state.at[i]] += error * state.inputs[i]


@_part
def _fit_maps(known: Known, state: State, counted: int, depth: int, bit: int) -> None:
    """Move the cells that were looked up towards what sounded."""
    corpus = len(state.rows)
    for teller in range(state.tellers[counted]):
        c = state.told[counted, teller]
        without, with_it, latest = state.cells[c, 0], state.cells[c, 1], state.cells[c, 2]
        if c < corpus:
            known.corpus_met[c, depth, without, with_it] += 1.0
            met = min(known.corpus_met[c, depth, without, with_it] + 1.5, MAP_MEMORY)
            chance = known.corpus_map[c, depth, without, with_it]
            chance = _kept_off(chance + (bit - chance) / met)
            known.corpus_map[c, depth, without, with_it] = chance
            known.corpus_logit[c, depth, without, with_it] = _logarithm(chance / (1.0 - chance))
        else:
            p = c - corpus
            known.piece_met[p, depth, without, with_it, latest] += 1.0
            met = min(known.piece_met[p, depth, without, with_it, latest] + 1.5, MAP_MEMORY)
            chance = known.piece_map[p, depth, without, with_it, latest]
            chance = _kept_off(chance + (bit - chance) / met)
            known.piece_map[p, depth, without, with_it, latest] = chance
            logit = _logarithm(chance / (1.0 - chance))
            known.piece_logit[p, depth, without, with_it, latest] = logit


@_kernel
def _path(known: Known, state: State, piece: Piece, step: int, rate: float) -> float:
    """Return the probability of a step's mask, and learn from it."""
    _look(known, state, piece, step)
    mask = piece.masks[step]
    _count_on_path(known, state, mask)
    fits_maps = known.corpus_met.size > 0
    probability = 1.0
    for depth in range(MASK_BITS):
        bit = (mask >> depth) & 1
        node = (1 << depth) | (mask & ((1 << depth) - 1))
        _choose(known, state, node, depth)
        inputs = _gather(known, state, depth, depth)
        chance = _mix(state, inputs, depth)
        probability *= chance if bit else 1.0 - chance
        _learn(state, inputs, depth, bit - chance, rate)
        if fits_maps:
            _fit_maps(known, state, depth, depth, bit)
    return probability


@_kernel
def _tree(
    known: Known, state: State, piece: Piece, step: int, is_wanted: NDArray[np.bool_]
) -> None:
    """Set the probabilities of all masks that are wanted, at nodes MASKS + mask."""
    _look(known, state, piece, step)
    _count_in_tree(known, state)
    state.mass[:] = 0.0
    state.mass[1] = 1.0
    for depth in range(MASK_BITS):
        for node in range(1 << depth, 2 << depth):
            if not is_wanted[node]:
                continue
            _choose(known, state, node, depth)
            inputs = _gather(known, state, node, depth)
            chance = _mix(state, inputs, depth)
            # the child's leading 1 moves up by one, and the bit takes its place
            state.mass[node + (1 << depth)] = state.mass[node] * (1.0 - chance)
            state.mass[node + (2 << depth)] = state.mass[node] * chance


@_kernel
def _read(known: Known, state: State, piece: Piece, rate: float, found: Floats) -> None:
    for step in range(len(piece.masks)):
        found[step] = _path(known, state, piece, step, rate)


@_kernel
def _fit(known: Known, state: State, piece: Piece, steps: int) -> int:
    """Fit to a piece; return how many steps there were so far."""
    for step in range(len(piece.masks)):
        rate = max(FIRST_RATE / math.sqrt(1.0 + RATE_FALL * steps), LAST_RATE)
        _path(known, state, piece, step, rate)
        steps += 1
    return steps
