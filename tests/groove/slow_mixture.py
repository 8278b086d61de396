"""A mixture written down as it is told, in dictionaries and `math`, to hold the kernels to.

Nothing here is shared with `workbench.groove.mixture` but its numbers and the lists of contexts.
"""

import math
from collections import Counter, defaultdict

import numpy as np
from hypothesis import strategies as st

from workbench.groove import mixture as m
from workbench.groove.contexts import (
    CORPUS_CONTEXTS,
    ECHOES,
    FAMILIAR_BY_BARS,
    FAMILIAR_BY_STEPS,
    LOOKBACKS,
    PIECE_CONTEXTS,
)
from workbench.groove.pieces import Piece
from workbench.groove.streams import beat_codes, place_codes

RESOLUTION = 4
METRES = {"4/4": (16, 4), "3/4": (12, 4), "6/8": (12, 6), "1/4": (4, 4), "1/16": (1, 4)}


def piece_from(metres, masks):
    """Return a piece of whole bars whose steps sound as some masks do, over and over."""
    rows = []
    for metre in metres:
        bar, beat = METRES[metre]
        step = np.arange(bar)
        place = place_codes(step, np.array(beat), RESOLUTION)
        code = beat_codes(step, np.array(beat), np.array(bar))
        rows.append(np.stack((place, code, np.full(bar, bar), np.full(bar, beat)), axis=1))
    metre = np.concatenate(rows)
    return Piece(np.resize(np.array(masks, np.int64), len(metre)), metre)


MASKS = st.sampled_from([0, 0, 1, 2, 4, 5, 6, 12, 130, 257, 511])
PIECES = st.builds(
    piece_from,
    st.lists(st.sampled_from(sorted(METRES)), min_size=1, max_size=4),
    st.lists(MASKS, min_size=1, max_size=24),
)
CORPORA = st.lists(PIECES, min_size=1, max_size=4)


class SlowMixture:
    """Maps and weights, fitted to some pieces and ready for another."""

    def __init__(self, pieces):
        self.chance = {}
        self.met = Counter()
        self.weights = {}
        self.last = defaultdict(lambda: 1 / 5)
        tables = [_counted(piece) for piece in pieces]
        step = 0
        for piece, own in zip(pieces, tables, strict=True):
            others = _summed(tables)
            for context, masks in own.items():
                others[context].subtract(masks)
            for t in range(len(piece.masks)):
                rate = max(m.FIRST_RATE / math.sqrt(1 + m.RATE_FALL * step), m.LAST_RATE)
                self._step(others, piece, t, int(piece.masks[t]), rate, fits=True)
                step += 1
        self.corpus = _summed(tables)

    def probabilities(self, piece):
        """Return the probability of each step of a piece; what is learned in it is forgotten."""
        weights, last = dict(self.weights), self.last.copy()
        found = [
            self._step(self.corpus, piece, t, int(mask), m.PIECE_RATE, fits=False)
            for t, mask in enumerate(piece.masks)
        ]
        self.weights, self.last = weights, last
        return np.array(found)

    def _step(self, corpus, piece, t, mask, rate, *, fits):
        fields = _fields(piece, t)
        history = _matches(piece, t)
        product = 1.0
        for depth in range(9):
            bit = mask >> depth & 1
            inputs, cells = self._inputs(corpus, fields, history, mask, depth)
            choices = _choices(piece, t, fields, history, mask, depth)
            logits = []
            for choice in choices:
                logit = sum(self._weight(choice, name) * value for name, value in inputs.items())
                logits.append(min(max(logit, -15.0), 15.0))
            chance = _chance(sum(self.last[depth, s] * logit for s, logit in enumerate(logits)))
            product *= chance if bit else 1 - chance
            for s, (choice, logit) in enumerate(zip(choices, logits, strict=True)):
                self.last[depth, s] += m.LAST_MIXER_RATE * rate * (bit - chance) * logit
                for name, value in inputs.items():
                    moved = rate * (bit - _chance(logit)) * value
                    self.weights[choice, name] = self._weight(choice, name) + moved
            for cell in cells if fits else ():
                self.met[cell] += 1
                memory = min(self.met[cell] + 1.5, m.MAP_MEMORY)
                told = self._told(cell)
                self.chance[cell] = min(max(told + (bit - told) / memory, 1e-5), 1 - 1e-5)
        return product

    def _inputs(self, corpus, fields, history, mask, depth):
        """Return the inputs by name, and the cells of the maps they come from."""
        inputs, cells = {}, []
        for kind, contexts, bins, spare in (
            ("corpus", CORPUS_CONTEXTS, m.CORPUS_BINS, 1.5),
            ("piece", PIECE_CONTEXTS, m.PIECE_BINS, 0.5),
        ):
            for c, context in enumerate(contexts):
                if kind == "corpus":
                    masks = corpus.get((c, *(fields[name] for name in context)), {}).items()
                else:
                    masks = [(earlier, 1) for earlier in history[c]]
                alike = [(o, n) for o, n in masks if _low(o, depth) == _low(mask, depth)]
                with_it = sum(n for o, n in alike if o >> depth & 1)
                without = sum(n for o, n in alike if not o >> depth & 1)
                if with_it + without == 0:
                    continue
                cell = (kind, c, depth, _bin(bins, without), _bin(bins, with_it))
                if kind == "piece":
                    cell += (alike[0][0] >> depth & 1,)  # the latest
                told = self._told(cell)
                inputs[kind, c, "logit"] = math.log(told / (1 - told))
                balance = (with_it - without) / (with_it + without + spare)
                inputs[kind, c, "balance"] = balance
                cells.append(cell)
        inputs["bias"] = 0.4
        return inputs, cells

    def _told(self, cell):
        bins = m.CORPUS_BINS if cell[0] == "corpus" else m.PIECE_BINS
        without, with_it = bins[cell[3]] + 0.4, bins[cell[4]] + 0.4
        return self.chance.get(cell, with_it / (without + with_it))

    def _weight(self, choice, name):
        return self.weights.get((choice, name), 0.15 if "logit" in name else 0.0)


def _fields(piece, t):
    place, beat, bar_steps, beat_steps = piece.metre[t].tolist()
    fields = {"place": place, "beat": beat}
    for back in LOOKBACKS:
        ago = back.steps + back.beats * beat_steps + back.half_bars * (bar_steps // 2)
        ago += back.bars * bar_steps
        fields[back.name] = int(piece.masks[t - ago]) if 1 <= ago <= t else 511
    return fields


def _counted(piece):
    """Return how often each mask came, by context of the corpus."""
    table = defaultdict(Counter)
    for t, mask in enumerate(piece.masks.tolist()):
        fields = _fields(piece, t)
        for c, context in enumerate(CORPUS_CONTEXTS):
            table[(c, *(fields[name] for name in context))][mask] += 1
    return table


def _summed(tables):
    total = defaultdict(Counter)
    for table in tables:
        for context, masks in table.items():
            total[context].update(masks)
    return total


def _matches(piece, t):
    """Return, for each context of the piece, the masks it came with, the latest first."""
    now, found = _fields(piece, t), []
    before = [(int(piece.masks[j]), _fields(piece, j)) for j in range(max(t - 1023, 0), t)][::-1]
    for context in PIECE_CONTEXTS:
        alike = [mask for mask, then in before if all(then[n] == now[n] for n in context)]
        found.append(alike[:32])
    return found


def _choices(piece, t, fields, history, mask, depth):
    bars = t // int(piece.metre[t, 2])
    age = sum(bars >= bound for bound in (1, 2, 3, 4, 6, 8, 12, 16, 32))
    familiar = tuple(
        sum(bool(history[c]) for c in contexts)
        for contexts in (FAMILIAR_BY_STEPS, FAMILIAR_BY_BARS)
    )
    echoes = tuple(fields[name] != 511 and fields[name] >> depth & 1 for name in ECHOES)
    node = (depth, _low(mask, depth))
    choices = (node, (age, depth), (fields["place"], depth), (familiar, depth), (echoes, depth))
    return list(enumerate(choices))


def _low(mask, depth):
    return mask & ((1 << depth) - 1)


def _bin(bins, count):
    return int(sum(bins <= count)) - 1


def _chance(logit):
    return min(max(1 / (1 + math.exp(-logit)), 1e-5), 1 - 1e-5)
