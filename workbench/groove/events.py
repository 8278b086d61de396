"""Drawing events: notes one after another, each from the notes before it.

An event's token tells the parity of its bar, its step and its pitch; so it tells a moment, which
is the next one in time that the token can mean.

The lowest level of the events knows no moment: what is backed off to it goes to any token of two
bars, and a draw from there leaps, half a bar on the mean, into contexts that no one knows and
that back off again. Drawn as scored, 4.5 % of the events of the Groove MIDI Dataset's model are
more than a beat after the one before, and 0.1 % of the corpus's, so that bars have 12 hits
instead of 19. What is drawn therefore goes by the gaps that the corpus leaves between events:
the lowest level's share of a gap is the gap's, and within it every token has its own.
"""

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from workbench.errors import GrooveError
from workbench.groove.adaptive import EVENT_LEVELS, PieceCounts
from workbench.groove.drawing import drawn
from workbench.groove.drums import CLASS_OF_PITCH, CLOSED_HAT, OPEN_HAT
from workbench.groove.frame import Frame, Prime
from workbench.groove.model import Model, StreamModel
from workbench.groove.options import SampleOptions
from workbench.groove.streams import LABEL_KINDS, NO_TOKEN, Ints, event_tokens

Floats = NDArray[np.float64]

_MAX_EVENTS_A_STEP = 8
_CONTEXT = (1, 2, 3, 4)  # notes ago
_BLOCK_ROWS = 1 << 16
_OPEN = tuple(np.flatnonzero(CLASS_OF_PITCH == OPEN_HAT).tolist())
_CLOSED = tuple(np.flatnonzero(CLASS_OF_PITCH == CLOSED_HAT).tolist())
# What the choke rule forbids beside a pitch: a hi-hat is not open and closed at once
_RIVALS = dict.fromkeys(_OPEN, _CLOSED) | dict.fromkeys(_CLOSED, _OPEN)


def drawn_events(
    model: Model, options: SampleOptions, frame: Frame, generator: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return step and pitch of each new event, in playing order.

    Raises:
        GrooveError: A label is asked for, which events do not know.
    """
    for kind in LABEL_KINDS:
        if getattr(options, kind):
            raise GrooveError(f"{kind}: labels work on steps only; leave --stream events out")
    events = _EventModel(model, options, frame)
    at: list[int] = []
    pitches: list[int] = []
    while events.bar < frame.bars:
        context = events.context()
        weights = events.weights(context)
        if not weights.any():
            events.skip_bar()
            continue
        chosen = drawn(
            weights,
            generator,
            temperature=frame.temperatures[max(events.at, 0)],
            top_k=options.top_k,
            top_p=options.top_p,
        )
        pitch = events.take(context, events.stream.target_list[chosen])
        if events.bar < frame.bars:
            at.append(events.at)
            pitches.append(pitch)
    return np.array(at, np.int64), np.array(pitches, np.int64)


class _EventModel:
    """The distribution of the next event, and the moment of the one before.

    Attributes:
        stream: The events' distributions.
        bar: Bar of the moment, counted from the first new one.
        cell: Cell in the bar of the moment; a cell is a step, or a beat where events are coarse.
    """

    def __init__(self, model: Model, options: SampleOptions, frame: Frame):
        counting = model.description["counting"]
        self.stream = model.stream("events")
        self.bar = self.cell = 0
        self._fields = [name for name, _ in self.stream.stream.fields]
        self._piece = PieceCounts(EVENT_LEVELS if options.adapt else ())
        self._tokens = [NO_TOKEN] * max(_CONTEXT)
        self._bar_steps = frame.metre.bar_steps
        self._cell_steps = frame.metre.resolution if counting["coarse"] else 1
        self._moments = _moments(self.stream, -(-self._bar_steps // self._cell_steps))
        self._rivals = _RIVALS if options.choke and frame.part == "drums" else {}
        self._sounding = 0  # notes of this moment
        self._barred: set[int] = set()  # pitches that cannot sound beside them
        self._bars_before = 0
        if frame.prime is not None:
            self._bars_before = frame.prime.bars
            for token in self._primed(frame.prime, is_sorted=counting["onset_order"] == "sorted"):
                self._go_on(self.context(), token)

    @property
    def at(self) -> int:
        """Step of the moment, counted from the first new bar."""
        return self.bar * self._bar_steps + self.cell * self._cell_steps

    def context(self) -> dict[str, int]:
        """Return the columns of the next event."""
        return {f"note_{k}": self._tokens[-k] for k in _CONTEXT}

    def weights(self, context: dict[str, int]) -> Floats:
        """Return the weight of each of the stream's targets; 0 of what cannot be played now."""
        moment = self._parity, self.cell
        found = self.stream.distribution(tuple([context[name] for name in self._fields]))
        seen = self._moments.shaped(found.seen, found.unseen, *moment)
        weights = self._piece.adapt(seen, self.stream.index_of_target, context)
        weights = np.where(self._moments.playable(*moment), weights, 0.0)
        if self._sounding >= _MAX_EVENTS_A_STEP:
            weights[self._moments.are_now(*moment)] = 0.0
        for pitch in self._barred:
            token = self._parity << 14 | self.cell << 7 | pitch
            if token in self.stream.index_of_target:
                weights[self.stream.index_of_target[token]] = 0.0
        return weights

    def take(self, context: dict[str, int], token: int) -> int:
        """Go on to an event, and return its pitch."""
        parity, cell, pitch = token >> 14 & 1, token >> 7 & 127, token & 127
        if (parity, cell) != (self._parity, self.cell):
            self._leave()
        if parity != self._parity:
            self.bar += 1
        self.cell = cell
        self._sounding += 1
        self._barred |= {pitch, *self._rivals.get(pitch, ())}
        self._go_on(context, token)
        return pitch

    def skip_bar(self) -> None:
        """Go on to the next bar without an event."""
        self.bar, self.cell = self.bar + 1, 0
        self._leave()

    @property
    def _parity(self) -> int:
        return self._bars_before + self.bar & 1

    def _primed(self, prime: Prime, *, is_sorted: bool) -> list[int]:
        """Return the tokens of a prime, in the order in which the model counts them."""
        pitch = prime.grid.pitch.astype(np.int64)
        tokens = event_tokens(prime.grid.bar, prime.grid.step // self._cell_steps, pitch)
        order = np.lexsort((pitch, prime.at)) if is_sorted else slice(None)
        return list(tokens[order].tolist())

    def _go_on(self, context: dict[str, int], token: int) -> None:
        self._piece.add(context, token)
        self._tokens.append(token)

    def _leave(self) -> None:
        """Go on to a moment at which nothing sounds yet."""
        self._sounding = 0
        self._barred = set()


class _Moments:
    """Which events can follow a moment, and after which gaps the corpus lets them."""

    def __init__(self, stream: StreamModel, bar_cells: int):
        targets = stream.targets
        self._parity, self._cell = targets >> 14 & 1, targets >> 7 & 127
        self._bar_cells = bar_cells
        self._lowest = stream.distribution(())
        self._gap_share = _gap_shares(stream, bar_cells)
        self._playable: dict[tuple[int, int], NDArray[np.bool_]] = {}
        self._change: dict[tuple[int, int], Floats] = {}

    def playable(self, parity: int, cell: int) -> NDArray[np.bool_]:
        """Return which targets can follow: at most a bar ahead, and within the metre."""
        if (parity, cell) not in self._playable:
            gap = self._gaps(parity, cell)
            is_next = np.where(self._parity == parity, gap >= 0, gap <= self._bar_cells)
            self._playable[parity, cell] = np.asarray(is_next & (self._cell < self._bar_cells))
        return self._playable[parity, cell]

    def are_now(self, parity: int, cell: int) -> NDArray[np.bool_]:
        """Return which targets mean this moment."""
        return np.asarray((self._parity == parity) & (self._cell == cell))

    def shaped(self, seen: Floats, unseen: float, parity: int, cell: int) -> Floats:
        """Return a distribution whose lowest level goes by the corpus's gaps.

        Args:
            seen: Probability of each target, shape (v,).
            unseen: Of a target that never occurs: it tells how much goes to the lowest level.
            parity: Of the bar of the moment.
            cell: Of the moment.
        """
        if self._gap_share is None:
            return seen
        if (parity, cell) not in self._change:
            base = self._shaped_base(self._gap_share, parity, cell)
            self._change[parity, cell] = base - self._lowest.seen
        change = self._change[parity, cell] * (unseen / self._lowest.unseen)
        # a difference of nearly equal numbers may come out below 0
        shaped: Floats = np.maximum(seen + change, 0.0)
        return shaped

    def _shaped_base(self, gap_share: Floats, parity: int, cell: int) -> Floats:
        """Return the lowest level at a moment: a gap of the corpus, then any token behind it."""
        weights = np.where(self.playable(parity, cell), self._lowest.seen, 0.0)
        gap = np.clip(self._gaps(parity, cell), 0, self._bar_cells)
        of_gap = np.bincount(gap, weights, self._bar_cells + 1)
        share = np.where(of_gap > 0, gap_share, 0.0)
        if not share.any():
            return self._lowest.seen
        factor = share / np.where(of_gap > 0, of_gap, 1.0) / np.cumsum(share)[-1]
        return np.asarray(weights * factor[gap])

    def _gaps(self, parity: int, cell: int) -> Ints:
        """Return how many cells each target lies after a moment."""
        return self._cell - cell + np.where(self._parity == parity, 0, self._bar_cells)


_MOMENTS: WeakKeyDictionary[StreamModel, dict[int, _Moments]] = WeakKeyDictionary()


def _moments(stream: StreamModel, bar_cells: int) -> _Moments:
    """Return what is known of a model's moments in a metre; it is made once."""
    known = _MOMENTS.setdefault(stream, {})
    if bar_cells not in known:
        known[bar_cells] = _Moments(stream, bar_cells)
    return known[bar_cells]


def _gap_shares(stream: StreamModel, bar_cells: int) -> Floats | None:
    """Return the share of each gap between two events of the corpus, 0..bar_cells, in cells.

    None where the model does not know it: its n-grams are single events.
    """
    layout = stream.stream
    if layout.depth == 0:
        return None
    level = stream.levels[layout.depth]
    gaps = np.zeros(bar_cells + 1)
    for start in range(0, len(level.keys), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        columns = layout.unpacked(np.asarray(level.keys[rows]))
        before, target = columns["note_1"], columns["target"]
        is_next_bar = (before ^ target) >> 14 & 1
        gap = (target >> 7 & 127) - (before >> 7 & 127) + bar_cells * is_next_bar
        is_one = (before < NO_TOKEN) & (gap >= 0) & (gap <= bar_cells)
        gaps += np.bincount(gap[is_one], level.counts[rows][is_one], bar_cells + 1)
    return gaps / gaps.sum() if gaps.any() else None
