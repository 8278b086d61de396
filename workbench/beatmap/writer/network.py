"""The network that writes maps: a window of sound goes in, and what each next token may be.

An encoder looks at all columns of a window: two convolutions, then layers of attention with rotary
positions (Su et al., 2021), of Conformer blocks (Gulati et al., 2020) with LayerNorm in place of
BatchNorm, or plain ones. A decoder goes over the tokens and looks at the window through
cross-attention. Both know the time of a token in columns: the decoder's positions turn by it, as
the encoder's do by their columns, so that what counts is how far off a sound is; and each token is
given what the encoder made of the column it stands in. Nothing outside the window is looked at, so
that a song costs as much as it has windows. Each window is brought to its own mean and loudness.

When the next note comes is what sound tells best, so the encoder says it itself: for each slot
the odds that something stands there if nothing did since the last one, a hazard. The chance of a
POS is then that of its own slot times that nothing comes before it, and the chance that the bar
ends is that nothing comes any more (Cox, 1972); the decoder adds its own opinion to the logits.

Shapes: B windows, C columns, T tokens, W the width, V ids, S slots of a bar, N slots of a window.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.beatmap.writer.corpus import VOCABULARIES
from workbench.beatmap.writer.tokens import (
    BAR,
    BAR_BEATS,
    FIRST_DIFFICULTY,
    FIRST_POS,
    Vocabulary,
)
from workbench.errors import BeatmapError

DIFFICULTY_COUNT = BAR - FIRST_DIFFICULTY

_ROTARY_BASE = 10_000.0
_COLUMN_BASE = 1_000.0  # a window has hundreds of columns, and neighbours are told apart
_FRONT_KERNEL = 5
_LEAST_LEVEL = 0.1  # of a window; what is below is next to silence
_FIRST_ODDS = -3.0  # logit of a slot before anything is learnt: about one in twenty


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """How a network is built.

    Attributes:
        vocabulary: Name of the tokens, of `VOCABULARIES`.
        channels: Numbers a column.
        columns_a_beat: Columns a beat.
        styles: How many styles are told apart, beside none.
        width: Of the layers; a multiple of four times the heads.
        encoder_layers: How many layers look at the sound.
        decoder_layers: How many go over the tokens.
        heads: Of attention.
        hidden: Width inside the dense layers.
        kernel: Columns that a Conformer's convolution spans, odd; 0 leaves convolutions out.
    """

    vocabulary: str = "extended"
    channels: int = 81
    columns_a_beat: int = 16
    styles: int = 0
    width: int = 128
    encoder_layers: int = 2
    decoder_layers: int = 2
    heads: int = 4
    hidden: int = 512
    kernel: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.vocabulary not in VOCABULARIES:
            known = ", ".join(VOCABULARIES)
            raise BeatmapError(f"vocabulary {self.vocabulary!r} is none of those known ({known})")
        if min(self.channels, self.columns_a_beat, self.width, self.heads, self.hidden) < 1:
            raise BeatmapError("channels, columns, width, heads and hidden are at least 1")
        if self.width % (4 * self.heads):
            told = f"width {self.width} is no multiple of four times {self.heads} heads"
            raise BeatmapError(told)
        if self.kernel and self.kernel % 2 == 0:
            raise BeatmapError(f"kernel {self.kernel} is even; it has a middle, so take an odd one")
        if self.tokens.slots % self.columns_a_beat:
            raise BeatmapError(
                f"{self.tokens.slots} slots a beat are not divided by {self.columns_a_beat} columns"
            )

    @property
    def tokens(self) -> Vocabulary:
        """The ids."""
        return VOCABULARIES[self.vocabulary]

    @property
    def slots_a_column(self) -> int:
        """Slots that begin in one column."""
        return self.tokens.slots // self.columns_a_beat

    @property
    def bar_columns(self) -> int:
        """Columns of a bar."""
        return BAR_BEATS * self.columns_a_beat


class Wish(NamedTuple):
    """What a map is to be like.

    Attributes:
        difficulty: From 0, Easy, int64 (B,).
        density: Notes a second, float32 (B,); NaN where it does not matter.
        style: From 1; 0 is none, int64 (B,).
    """

    difficulty: Tensor
    density: Tensor
    style: Tensor


class Places(NamedTuple):
    """Where tokens stand in a window.

    Attributes:
        bar: From 0, the window's first; below 0 is before it, int64 (B, T).
        slot: Of the last POS in its bar; -1 before any, int64 (B, T).
    """

    bar: Tensor
    slot: Tensor


class Heard(NamedTuple):
    """What an encoder made of windows.

    Attributes:
        memory: Float (B, C, W).
        reach: Log of the chance that each slot is the first with a note, float32 (B, N).
        quiet: Log of the chance that none before a slot has one, float32 (B, N + 1).
        about: What the map is to be like, float (B, 1, W).
    """

    memory: Tensor
    reach: Tensor
    quiet: Tensor
    about: Tensor

    def rows(self, kept: Tensor) -> "Heard":
        """Return some windows, int64 (b,)."""
        return Heard(*(each[kept] for each in self))


def places_of(tokens: Tensor, own_from: Tensor, shape: NetworkShape) -> Places:
    """Return where each token stands.

    Args:
        tokens: Int64 (B, T).
        own_from: The first of each that is of the window's own bars, int64 (B,).
        shape: Of the network.
    """
    index = torch.arange(tokens.shape[1], device=tokens.device)
    is_bar = tokens == BAR
    is_pos = (tokens >= FIRST_POS) & (tokens < FIRST_POS + shape.tokens.bar_slots)
    before = (is_bar & (index < own_from[:, None])).sum(1, keepdim=True)
    last = torch.where(is_bar | is_pos, index, 0).cummax(1).values
    mark = tokens.gather(1, last)
    is_placed = (mark >= FIRST_POS) & (mark < FIRST_POS + shape.tokens.bar_slots)
    return Places(
        bar=is_bar.cumsum(1) - 1 - before,
        slot=torch.where(is_placed, mark - FIRST_POS, -1),
    )


class KeyValues:
    """Keys and values of a decoder's tokens so far, of every layer, and those of the sound.

    Attributes:
        length: Tokens so far.
    """

    def __init__(self, shape: NetworkShape, rows: int, most: int, like: Tensor):
        """Make room.

        Args:
            shape: Of the network.
            rows: Windows that go on together.
            most: Tokens at most.
            like: A tensor of the network's device and kind.
        """
        self.length = 0
        size = (shape.decoder_layers, 2, rows, shape.heads, most, shape.width // shape.heads)
        self._own = torch.zeros(size, device=like.device, dtype=like.dtype)
        self._heard: list[tuple[Tensor, Tensor]] = []

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of new tokens, (B, heads, T, width of a head); return all so far."""
        stop = self.length + keys.shape[2]
        own = self._own[layer, :, :, :, :stop]
        own[0, :, :, self.length :] = keys
        own[1, :, :, self.length :] = values
        return own[0], own[1]

    def heard(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Return keys and values of the sound, where they are there."""
        return self._heard[layer] if layer < len(self._heard) else None

    def hear(self, keys: Tensor, values: Tensor) -> None:
        """Keep keys and values of the sound for the next layer, (B, heads, C, width of a head)."""
        self._heard.append((keys, values))

    def make_room(self, most: int) -> None:
        """Make room for more tokens."""
        missing = most - self._own.shape[4]
        self._own = functional.pad(self._own, (0, 0, 0, missing))

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the windows, int64 (b,)."""
        self._own = self._own[:, :, rows]
        self._heard = [(keys[rows], values[rows]) for keys, values in self._heard]


class MapNetwork(nn.Module):
    """The network.

    Attributes:
        shape: How it is built.
    """

    def __init__(self, shape: NetworkShape, *, dropout: float = 0.0):
        """Make one with weights drawn from PyTorch's generator.

        Args:
            shape: How it is built.
            dropout: Share of what a layer adds that is left out while it learns.
        """
        super().__init__()
        self.shape = shape
        width = shape.width
        self.difficulty = nn.Embedding(DIFFICULTY_COUNT, width)
        self.density = nn.Linear(2, width, bias=False)
        self.style = nn.Embedding(shape.styles + 1, width)
        self.front = _Front(shape)
        encoder = _ConformerLayer if shape.kernel else _EncoderLayer
        self.encoder = nn.ModuleList(encoder(shape, dropout) for _ in range(shape.encoder_layers))
        self.encoded = nn.LayerNorm(width)
        self.odds = nn.Linear(width, shape.slots_a_column)
        self.embedding = nn.Embedding(shape.tokens.size, width)
        self.here = nn.Linear(width, width, bias=False)
        self.decoder = nn.ModuleList(
            _DecoderLayer(shape, dropout) for _ in range(shape.decoder_layers)
        )
        self.decoded = nn.LayerNorm(width)
        self.out = nn.Linear(width, shape.tokens.size)
        self.dropout = nn.Dropout(dropout)
        self._begin()

    def listen(self, mel: Tensor, wish: Wish, leaning: Tensor | float = 0.0) -> Heard:
        """Return what the encoder makes of windows.

        Args:
            mel: Normalised, float32 (B, C, channels), C in whole bars.
            wish: What the maps are to be like.
            leaning: Added to the logit of every slot: how much denser, () or (B, 1).
        """
        about = self._about(wish)[:, None]
        x = self.dropout(self.front(_levelled(mel)) + about)
        rotary = _rotary(_steps(x), self.shape.width // self.shape.heads, _COLUMN_BASE)
        for layer in self.encoder:
            x = layer(x, rotary)
        memory = self.encoded(x)
        logits = self.odds(memory).float().flatten(1) + leaning
        none_yet = functional.logsigmoid(-logits).cumsum(1)
        quiet = functional.pad(none_yet, (1, 0))
        reach = functional.logsigmoid(logits) + quiet[:, :-1]
        return Heard(memory=memory, reach=reach, quiet=quiet, about=about)

    def forward(
        self, heard: Heard, tokens: Tensor, places: Places, cache: KeyValues | None = None
    ) -> Tensor:
        """Return the logits of what comes after each token; not all of it may, see `grammar`.

        Args:
            heard: What the encoder made of the windows.
            tokens: Int64 (B, T).
            places: Where they stand.
            cache: What the T tokens go on from; it is moved on by them.

        Returns:
            Float32 (B, T, V).
        """
        column = self._column(places)
        x = self.embedding(tokens) + self._here(heard.memory, column) + heard.about
        x = self.dropout(x)
        rotaries = self._rotaries(column, cache.length if cache is not None else 0)
        for number, layer in enumerate(self.decoder):
            x = layer(x, heard.memory, rotaries, (number, cache))
        if cache is not None:
            cache.length += x.shape[1]
        logits: Tensor = self.out(self.decoded(x)).float()
        return self._timed(logits, heard, places)

    def parameter_count(self) -> int:
        """Return how many numbers it learns."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _about(self, wish: Wish) -> Tensor:
        """Return what a map is to be like as vectors, (B, W)."""
        is_told = ~torch.isnan(wish.density)
        told = torch.stack((torch.log1p(wish.density.nan_to_num()), torch.ones_like(wish.density)))
        density = self.density(told.T * is_told[:, None])
        about: Tensor = self.difficulty(wish.difficulty) + self.style(wish.style) + density
        return about

    def _column(self, places: Places) -> Tensor:
        """Return the time of tokens, in columns of the window, float32 (B, T)."""
        slots = places.bar * self.shape.tokens.bar_slots + places.slot.clamp(min=0)
        return slots / self.shape.slots_a_column

    def _here(self, memory: Tensor, column: Tensor) -> Tensor:
        """Return what the encoder made of each token's own column; nothing outside the window."""
        number = column.floor().long()
        is_inside = (number >= 0) & (number < memory.shape[1])
        index = number.clamp(0, memory.shape[1] - 1)[..., None].expand(-1, -1, memory.shape[2])
        found: Tensor = self.here(memory.gather(1, index)) * is_inside[..., None]
        return found

    def _rotaries(self, column: Tensor, begin: int) -> tuple[Tensor, Tensor]:
        """Return the turns of tokens among themselves, by index and time, and toward sound."""
        head = self.shape.width // self.shape.heads
        index = torch.arange(begin, begin + column.shape[1], device=column.device)
        of_index, of_time = _token_speeds(head, column.device)
        own, toward = _turns(index[:, None] * of_index + column[..., None] * of_time).chunk(2, -1)
        return own, toward

    def _timed(self, logits: Tensor, heard: Heard, places: Places) -> Tensor:
        """Return logits to which those of the slots and of the end of the bar are added."""
        slots = self.shape.tokens.bar_slots
        size = heard.reach.shape[0]
        bars = heard.reach.shape[1] // slots
        bar = places.bar.clamp(0, bars - 1)
        of_bar = heard.reach.view(size, bars, slots)
        reach = of_bar.gather(1, bar[..., None].expand(-1, -1, slots))
        since = heard.quiet.gather(1, bar * slots + places.slot + 1)
        end = heard.quiet.gather(1, (bar + 1) * slots) - since
        added = functional.pad(
            reach - since[..., None], (FIRST_POS, logits.shape[2] - FIRST_POS - slots)
        )
        added[..., BAR] = end
        return logits + added

    def _begin(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.5)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.normal_(self.odds.weight, std=0.02)
        nn.init.constant_(self.odds.bias, _FIRST_ODDS)
        nn.init.zeros_(self.style.weight)


class _Front(nn.Module):
    """Two convolutions over columns."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        pad = _FRONT_KERNEL // 2
        self.first = nn.Conv1d(shape.channels, shape.width, _FRONT_KERNEL, padding=pad)
        self.second = nn.Conv1d(shape.width, shape.width, _FRONT_KERNEL, padding=pad)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.first(mel.transpose(1, 2))
        x = x + self.second(functional.gelu(x))
        changed: Tensor = x.transpose(1, 2)
        return changed


class _Attention(nn.Module):
    """Attention of a sequence to itself, with rotary positions."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self._heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.queries_keys_values = nn.Linear(shape.width, 3 * shape.width)
        self.attended = nn.Linear(shape.width, shape.width)

    def forward(
        self,
        x: Tensor,
        rotary: Tensor,
        *,
        is_causal: bool = False,
        cache: tuple[int, KeyValues | None] = (0, None),
    ) -> Tensor:
        number, kept = cache
        parts = self.queries_keys_values(self.norm(x)).unflatten(2, (3, self._heads, -1))
        parts = parts.permute(2, 0, 3, 1, 4)
        queries, keys = _turned(parts[:2], rotary)
        values = parts[2]
        seen = None
        if kept is not None:
            begin = kept.length
            keys, values = kept.put(number, keys, values)
            if begin and queries.shape[2] > 1:
                place = torch.arange(keys.shape[2], device=x.device)
                seen = place <= place[begin:, None]
            is_causal = begin == 0
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=seen, is_causal=is_causal
        )
        attended: Tensor = self.attended(mixed.transpose(1, 2).flatten(2))
        return attended


class _CrossAttention(nn.Module):
    """Attention of tokens to sound, with rotary positions in columns."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self._heads = shape.heads
        self.norm = nn.LayerNorm(shape.width)
        self.queries = nn.Linear(shape.width, shape.width)
        self.keys_values = nn.Linear(shape.width, 2 * shape.width)
        self.attended = nn.Linear(shape.width, shape.width)

    def forward(
        self, x: Tensor, memory: Tensor, toward: Tensor, cache: tuple[int, KeyValues | None]
    ) -> Tensor:
        number, kept = cache
        queries = self.queries(self.norm(x)).unflatten(2, (self._heads, -1)).transpose(1, 2)
        heard = kept.heard(number) if kept is not None else None
        if heard is None:
            heard = self._heard(memory)
            if kept is not None:
                kept.hear(*heard)
        mixed = functional.scaled_dot_product_attention(_turned(queries, toward), *heard)
        attended: Tensor = self.attended(mixed.transpose(1, 2).flatten(2))
        return attended

    def _heard(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.keys_values(memory).unflatten(2, (2, self._heads, -1))
        keys, values = parts.permute(2, 0, 3, 1, 4)
        return _turned(keys, _rotary(_steps(memory), keys.shape[3], _COLUMN_BASE)), values


class _Dense(nn.Sequential):
    """Two dense layers."""

    def __init__(self, shape: NetworkShape):
        super().__init__(
            nn.LayerNorm(shape.width),
            nn.Linear(shape.width, shape.hidden),
            nn.GELU(),
            nn.Linear(shape.hidden, shape.width),
        )


class _EncoderLayer(nn.Module):
    """Attention and two dense layers, each added to its input."""

    def __init__(self, shape: NetworkShape, dropout: float):
        super().__init__()
        self.attention = _Attention(shape)
        self.dense = _Dense(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(x, rotary))
        changed: Tensor = x + self.dropout(self.dense(x))
        return changed


class _ConformerLayer(nn.Module):
    """Half a dense step, attention, a convolution, and half a dense step."""

    def __init__(self, shape: NetworkShape, dropout: float):
        super().__init__()
        self.before = _Dense(shape)
        self.attention = _Attention(shape)
        self.convolution = _Convolution(shape)
        self.after = _Dense(shape)
        self.norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: Tensor) -> Tensor:
        x = x + 0.5 * self.dropout(self.before(x))
        x = x + self.dropout(self.attention(x, rotary))
        x = x + self.dropout(self.convolution(x))
        x = x + 0.5 * self.dropout(self.after(x))
        changed: Tensor = self.norm(x)
        return changed


class _Convolution(nn.Module):
    """A gate, a convolution of each channel over columns, and a dense layer."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        width, kernel = shape.width, shape.kernel
        self.norm = nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * width)
        self.spread = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.middle = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.glu(self.gated(self.norm(x)), dim=-1)
        x = self.spread(x.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.mixed(functional.silu(self.middle(x)))
        return mixed


class _DecoderLayer(nn.Module):
    """Attention to the tokens so far, to the sound, and two dense layers."""

    def __init__(self, shape: NetworkShape, dropout: float):
        super().__init__()
        self.attention = _Attention(shape)
        self.sound = _CrossAttention(shape)
        self.dense = _Dense(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        rotaries: tuple[Tensor, Tensor],
        cache: tuple[int, KeyValues | None],
    ) -> Tensor:
        own, toward = rotaries
        x = x + self.dropout(self.attention(x, own, is_causal=True, cache=cache))
        x = x + self.dropout(self.sound(x, memory, toward, cache))
        changed: Tensor = x + self.dropout(self.dense(x))
        return changed


def _levelled(mel: Tensor) -> Tensor:
    """Return windows with mean 0 in each channel and about one loudness, (B, C, channels).

    What is quiet throughout is heard as what is loud, so that one song tells of another.
    """
    mel = mel - mel.mean(1, keepdim=True)
    return mel / (mel.square().mean((1, 2), keepdim=True).sqrt() + _LEAST_LEVEL)


def _steps(x: Tensor) -> Tensor:
    """Return 0, 1, 2 … for the second dimension, (1, T)."""
    return torch.arange(x.shape[1], device=x.device)[None]


def _rotary(position: Tensor, size: int, base: float) -> Tensor:
    """Return the turns of positions.

    Args:
        position: (B, T).
        size: Numbers that are turned, in pairs.
        base: The slowest pair turns as many times slower than the fastest.

    Returns:
        Cosines and sines as `_turned` takes them, float32 (2, B, 1, T, size).
    """
    return _turns(position[..., None] * _speeds(size, base, position.device))


def _turns(angles: Tensor) -> Tensor:
    """Return cosines and sines of angles, (B, T, W), for every head, (2, B, 1, T, W)."""
    return torch.stack((angles.cos(), angles.sin()))[:, :, None]


@lru_cache(maxsize=16)
def _speeds(size: int, base: float, device: torch.device) -> Tensor:
    """Return how fast numbers turn with position, (size,); of a pair, one against the other.

    They are kept for whoever asks next, so PyTorch's default type has no say in them.
    """
    half = size // 2
    speeds = base ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    return torch.cat((-speeds, speeds))


@lru_cache(maxsize=16)
def _token_speeds(size: int, device: torch.device) -> Tensor:
    """Return how fast tokens turn with index and with time, (2, 2 size).

    Among themselves half of the pairs turn by one and half by the other; toward sound, all by time.
    """
    of_index, of_time = (
        _speeds(size // 2, base, device).view(2, -1) for base in (_ROTARY_BASE, _COLUMN_BASE)
    )
    none = torch.zeros_like(of_index)
    own = torch.stack((torch.cat((of_index, none), 1), torch.cat((none, of_time), 1)))
    toward = _speeds(size, _COLUMN_BASE, device)
    return torch.cat((own.flatten(1), torch.stack((torch.zeros_like(toward), toward))), dim=1)


def _turned(x: Tensor, rotary: Tensor) -> Tensor:
    """Return vectors turned by the angles of their positions; of a head's pairs, each by its own.

    Args:
        x: (..., B, heads, T, width of a head).
        rotary: Cosines, and sines with the sign that they have in the sum, (2, B or 1, 1, T,
            width of a head).
    """
    cosine, sine = rotary.to(x.dtype)
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine)
