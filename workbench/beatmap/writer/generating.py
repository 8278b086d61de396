"""Maps are written: windows of a song side by side, each token by token.

A song is cut into its windows, as it was when the writer learnt. Windows that follow each other
in one strand see the last bars that were written before them; strands, and maps that are asked
for together, are written side by side. Keys and values of what was written stay in place, those
of the sound are computed once, and windows that are done make room.

Shapes: B windows that are written together, C columns, T tokens.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from workbench.beatmap.writer.augment import normalised
from workbench.beatmap.writer.drawing import Draws, Hands, Manner, draw, too_near
from workbench.beatmap.writer.grammar import NEVER, allowed
from workbench.beatmap.writer.mel import Features
from workbench.beatmap.writer.model import MapWriter
from workbench.beatmap.writer.network import Heard, KeyValues, MapNetwork, Places, Wish
from workbench.beatmap.writer.tokens import (
    BAR,
    END,
    FIRST_DIFFICULTY,
    FIRST_POS,
    START,
    Tokens,
)
from workbench.beatmap.writer.windows import window_columns
from workbench.learning.training import torch_threads
from workbench.progress import Progress, Show, silent

_BAR_TOKENS = 64  # room for a bar at first; more is made where it is not enough
_ONE_THREAD = 8192  # rows times width; for fewer, threads wait for each other longer than they work
_LONG_AGO = -(1 << 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A map that is asked for.

    Attributes:
        difficulty: From 0, Easy.
        density: Notes a second; NaN where it does not matter.
        style: Number of a style; 0 is none.
        seed: Of its draws.
        leaning: How much denser than the writer would have it, logits.
        manner: How its tokens are drawn.
    """

    difficulty: int
    density: float = math.nan
    style: int = 0
    seed: int = 0
    leaning: float = 0.0
    manner: Manner = field(default_factory=Manner)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """A window that is to be written.

    Attributes:
        head: START, difficulty, and the bars before it that are to be read, int64 (h,).
        bars: How many bars it has.
        seed: What names its draws.
    """

    head: Tensor
    bars: int
    seed: tuple[int, ...]


def write_windows(
    network: MapNetwork, heard: Heard, sheets: Sequence[Sheet], manner: Manner
) -> list[Tensor]:
    """Return the tokens of windows that are written side by side.

    Args:
        network: Writes them.
        heard: What it made of their sound.
        sheets: What is to be written, one for each.
        manner: How tokens are drawn.

    Returns:
        Of each its own bars, from the first BAR to before the end of the last, int64 (n,).
    """
    is_small = len(sheets) * network.shape.width <= _ONE_THREAD
    with torch.inference_mode(), torch_threads(1 if is_small else 0):
        writing = _Writing(network, heard, sheets, manner)
        while writing.goes_on:
            writing.step()
        return writing.written


class _Writing:
    """Windows in the middle of being written.

    Attributes:
        written: The tokens of each window that is done; nothing of others.
    """

    def __init__(
        self, network: MapNetwork, heard: Heard, sheets: Sequence[Sheet], manner: Manner
    ) -> None:
        self.written = [torch.empty(0, dtype=torch.int64) for _ in sheets]
        self._network, self._heard, self._manner = network, heard, manner
        self._vocabulary = network.shape.tokens
        device = heard.memory.device
        # what comes after a head is its first BAR, whatever else the grammar lets follow its notes
        heads = [functional.pad(sheet.head, (0, 1), value=BAR) for sheet in sheets]
        self._rows = list(range(len(sheets)))
        self._heads = torch.tensor([len(head) for head in heads], device=device)
        self._bars = torch.tensor([sheet.bars for sheet in sheets], device=device)
        longest = max(len(head) for head in heads)
        most = longest + _BAR_TOKENS * max(sheet.bars for sheet in sheets)
        self._tokens = torch.zeros(len(sheets), most, dtype=torch.int64, device=device)
        for row, head in enumerate(heads):
            self._tokens[row, : len(head)] = head.to(device)
        bars = torch.tensor([int((head == BAR).sum()) for head in heads], device=device)
        self._bar, self._slot = -bars, torch.full_like(bars, -1)
        self._last = torch.full_like(bars, _LONG_AGO)
        self._at = 0  # the token that is read next
        self._cache = KeyValues(network.shape, len(sheets), most, heard.memory)
        self._draws = Draws([sheet.seed for sheet in sheets])
        self._hands = Hands(len(sheets), self._vocabulary, device)

    @property
    def goes_on(self) -> bool:
        """Whether a window is not done."""
        return bool(self._rows)

    def step(self) -> None:
        """Read one token of each window, and draw the next where its head has none."""
        if self._at + 1 == self._tokens.shape[1]:
            self._make_room()
        tokens = self._tokens[:, self._at]
        self._follow(tokens)
        logits = self._network(
            self._heard,
            tokens[:, None],
            Places(self._bar[:, None], self._slot[:, None]),
            self._cache,
        )[:, 0]
        free = self._at + 1 >= self._heads
        drawn = draw(self._bounded(logits, tokens), self._draws.at(self._at), self._manner)
        is_done = free & (drawn == BAR) & (self._bar == self._bars - 1)
        self._at += 1
        known = self._tokens[:, self._at]
        self._tokens[:, self._at] = torch.where(free, drawn, known)
        if is_done.any():
            self._end(is_done)

    def _follow(self, tokens: Tensor) -> None:
        """Take where windows stand with the tokens that are read now."""
        number = tokens - FIRST_POS
        is_slot = (number >= 0) & (number < self._vocabulary.bar_slots)
        is_bar = tokens == BAR
        self._bar = self._bar + is_bar
        self._slot = torch.where(is_bar, -1, torch.where(is_slot, number, self._slot))
        placed = self._bar * self._vocabulary.bar_slots + number
        self._last = torch.where(is_slot, placed, self._last)
        self._hands.follow(tokens)

    def _bounded(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits of what may follow and is wished for."""
        manner = self._manner
        never = ~allowed(tokens, self._slot, self._vocabulary) | self._hands.impossible()
        if manner.spacing > 1:
            never |= too_near(self._last, self._bar, manner.spacing, self._vocabulary)
        if manner.parity:
            logits = logits - self._hands.put_off(manner.parity)
        return logits.masked_fill(never, NEVER)

    def _end(self, is_done: Tensor) -> None:
        """Put aside what is done, and go on with the others."""
        for place in is_done.nonzero()[:, 0].tolist():
            own = self._tokens[place, int(self._heads[place]) - 1 : self._at]
            self.written[self._rows[place]] = own.cpu().clone()
        kept = (~is_done).nonzero()[:, 0]
        rows = kept.tolist()
        self._rows = [self._rows[row] for row in rows]
        for name in ("_heads", "_bars", "_tokens", "_bar", "_slot", "_last"):
            setattr(self, name, getattr(self, name)[kept])
        self._heard = self._heard.rows(kept)
        self._cache.keep(kept)
        self._hands.keep(kept)
        self._draws.keep(rows)

    def _make_room(self) -> None:
        """Double the room for tokens."""
        more = torch.zeros_like(self._tokens)
        self._tokens = torch.cat((self._tokens, more), dim=1)
        self._cache.make_room(self._tokens.shape[1])


@dataclass(slots=True, kw_only=True)
class _Strand:
    """Windows that follow each other.

    Attributes:
        request: Which map they are of.
        ahead: Numbers of the windows that are still to be written.
        bars: Tokens of each bar that was written.
    """

    request: int
    ahead: list[int]
    bars: list[list[int]] = field(default_factory=list)


def write_song(
    writer: MapWriter,
    features: Features,
    requests: Sequence[Request],
    *,
    strands: int = 1,
    show: Show = silent,
) -> list[Tokens]:
    """Return a map of a song for each request, as tokens from START to END.

    Args:
        writer: Writes them.
        features: Of the song, as its card says, `(columns, channels)` float16.
        requests: What is asked for; all are drawn in the manner of the first.
        strands: Parts of the song that are written side by side.
        show: Told about the windows.
    """
    song = _Song(writer, features)
    bounds = np.linspace(0, song.windows, min(strands, song.windows) + 1).round().astype(int)
    going = [
        _Strand(request=number, ahead=list(range(first, last)))
        for number in range(len(requests))
        for first, last in pairwise(bounds.tolist())
    ]
    begun, done, total = time.monotonic(), 0, song.windows * len(requests)
    while rest := [strand for strand in going if strand.ahead]:
        for strand, bars in zip(rest, song.written(rest, requests), strict=True):
            strand.ahead.pop(0)
            strand.bars += bars
        done += len(rest)
        seconds = time.monotonic() - begun
        show(
            Progress(
                stage="writing",
                done=done,
                total=total,
                unit="windows",
                seconds=seconds,
                fresh=done,
                numbers={},
            )
        )
    return [
        song.tokens(request.difficulty, [s for s in going if s.request == number])
        for number, request in enumerate(requests)
    ]


class _Song:
    """A song that is written about.

    Attributes:
        windows: How many windows it has.
    """

    def __init__(self, writer: MapWriter, features: Features):
        card = writer.card
        self._writer, self._features = writer, features
        self._bars = max(-(-len(features) // card.shape.bar_columns), 1)
        self.windows = -(-self._bars // card.cut.bars)

    def written(
        self, strands: Sequence[_Strand], requests: Sequence[Request]
    ) -> list[list[list[int]]]:
        """Return the bars of the next window of each strand, as their tokens."""
        asked = [requests[strand.request] for strand in strands]
        numbers = [strand.ahead[0] for strand in strands]
        cut = self._writer.card.cut
        sheets = [
            Sheet(
                head=torch.tensor(
                    _head(request, strand.bars[-cut.context :] if cut.context else [])
                ),
                bars=min(cut.bars, self._bars - number * cut.bars),
                seed=(request.seed, number),
            )
            for request, strand, number in zip(asked, strands, numbers, strict=True)
        ]
        with torch.inference_mode():
            heard = self._heard(numbers, asked)
        manner = asked[0].manner
        found = write_windows(self._writer.network, heard, sheets, manner)
        return [_bars(tokens.tolist()) for tokens in found]

    def tokens(self, difficulty: int, strands: Sequence[_Strand]) -> Tokens:
        """Return a whole map."""
        body = [token for strand in strands for bar in strand.bars for token in bar]
        return np.array([START, FIRST_DIFFICULTY + difficulty, *body, END], np.int16)

    def _heard(self, numbers: Sequence[int], asked: Sequence[Request]) -> Heard:
        card, device = self._writer.card, self._writer.device
        columns = card.cut.bars * card.shape.bar_columns
        statistics = card.statistics
        found = [
            window_columns(self._features, number * columns, columns, statistics.mean)[0]
            for number in numbers
        ]
        mel = torch.from_numpy(np.stack(found)).to(device)
        leaning = torch.tensor([[request.leaning] for request in asked], device=device)
        return self._writer.network.listen(
            normalised(mel, statistics), wish_of(asked, device), leaning
        )


def wish_of(requests: Sequence[Request], device: torch.device) -> Wish:
    """Return what is asked for as a network takes it."""
    return Wish(
        difficulty=torch.tensor([request.difficulty for request in requests], device=device),
        density=torch.tensor([request.density for request in requests], device=device),
        style=torch.tensor([request.style for request in requests], device=device),
    )


def _head(request: Request, before: Sequence[Sequence[int]]) -> list[int]:
    return [START, FIRST_DIFFICULTY + request.difficulty, *(t for bar in before for t in bar)]


def _bars(tokens: Sequence[int]) -> list[list[int]]:
    """Return tokens by their bars."""
    bars: list[list[int]] = []
    for token in tokens:
        if token == BAR:
            bars.append([])
        bars[-1].append(token)
    return bars
