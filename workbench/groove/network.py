"""A small causal transformer over step masks.

At each step the network is told what sounded some steps before (the lookbacks, among them a bar
ago), what came when the piece last was like now (the repeats), where in beat, bar and piece the
step lies, and the labels of the piece; it tells the logarithm of each mask's odds. Layers are
pre-normed; attention is over the steps of the window so far, with rotary positions (Su et al.,
2021), so that only distances count. An input never holds the step itself or a later one.

Units: a `step` is a cell of the grid. Shapes: B pieces, T steps, L lookbacks, R repeats, K kinds
of labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.groove.inputs import BEFORE, LOOKBACKS, REPEATS
from workbench.groove.streams import MASK_BITS, MASKS

BARS = 64  # bars from the start that are told apart
_CODES = 32  # of place, and of beat
_ROTARY_BASE = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """How a network is built.

    Attributes:
        window: Steps that attention reaches back over at most, this one among them.
        lookbacks: Steps ago whose masks are inputs, rising.
        repeats: Steps that must be the same for what came then to be an input.
        labels: By kind, how many labels there are, beside none.
        width: Of the layers; a multiple of twice the heads.
        layers: How many.
        heads: Of attention.
        mask_width: Of a lookback's part of the input.
    """

    window: int = 256
    lookbacks: tuple[int, ...] = LOOKBACKS
    repeats: tuple[int, ...] = REPEATS
    labels: dict[str, int] = field(default_factory=dict)
    width: int = 128
    layers: int = 3
    heads: int = 4
    mask_width: int = 32

    @property
    def inputs(self) -> int:
        """How many masks a step is told."""
        return len(self.lookbacks) + len(self.repeats)

    @property
    def half(self) -> int:
        """Steps by which a full window moves on, and the steps before it that are known."""
        return self.window // 2


class Cache:
    """Keys and values of the steps of a window so far, of every layer.

    Attributes:
        length: Steps so far.
    """

    def __init__(self, shape: NetworkShape, pieces: int, like: Tensor):
        """Make room for a window.

        Args:
            shape: Of the network.
            pieces: How many go on together.
            like: A tensor of the network's device and kind.
        """
        self.length = 0
        size = (shape.layers, 2, pieces, shape.heads, shape.window, shape.width // shape.heads)
        self._kept = torch.zeros(size, device=like.device, dtype=like.dtype)

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new steps to a layer; return all of them so far.

        Args:
            layer: Which layer.
            keys: Shape (B, heads, new steps, width of a head).
            values: The same shape.
        """
        stop = self.length + keys.shape[2]
        kept = self._kept[layer, :, :, :, :stop]
        kept[0, :, :, self.length :] = keys
        kept[1, :, :, self.length :] = values
        return kept[0], kept[1]


class StepNetwork(nn.Module):
    """The network.

    Attributes:
        shape: How it is built.
    """

    bit_table: Tensor
    rotary: Tensor

    def __init__(self, shape: NetworkShape, *, dropout: float = 0.0):
        """Make one with weights drawn from PyTorch's generator.

        Args:
            shape: How it is built.
            dropout: Share of what a layer adds that is left out while it learns.
        """
        super().__init__()
        self.shape = shape
        width = shape.width
        self.masks = nn.Embedding(MASKS + 2, shape.mask_width)
        self.bits = nn.Linear(MASK_BITS, shape.mask_width, bias=False)
        self.earlier = nn.Linear(shape.mask_width * shape.inputs, width)
        self.place = nn.Embedding(_CODES, width)
        self.beat = nn.Embedding(_CODES, width)
        self.bar = nn.Embedding(BARS, width)
        self.labels = nn.ModuleDict(
            {kind: nn.Embedding(count + 1, width) for kind, count in shape.labels.items()}
        )
        self.layers = nn.ModuleList(_Layer(shape, dropout) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, MASKS)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("bit_table", _bit_table(), persistent=False)
        self.register_buffer("rotary", _rotary(shape), persistent=False)
        self._begin()

    def forward(
        self,
        earlier: Tensor,
        where: Tensor,
        labels: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return the logits of each step's mask.

        Args:
            earlier: What sounded at each lookback, then at each repeat, int64 (B, T, L + R); a
                mask, BEFORE or HIDDEN.
            where: Place code, beat code and bar from the start, int64 (B, T, 3).
            labels: Number of each kind of label, 0 for none, int64 (B, K); none when None.
            cache: What the T steps go on from; it is moved on by them.

        Returns:
            Shape (B, T, MASKS).
        """
        table = self.masks.weight + self.bits(self.bit_table)
        found = functional.embedding(earlier, table).flatten(2)
        x = self.earlier(found) + self.place(where[..., 0]) + self.beat(where[..., 1])
        x = x + self.bar(where[..., 2].clamp(max=BARS - 1))
        if labels is not None:
            for number, kind in enumerate(self.labels):
                x = x + self.labels[kind](labels[:, number])[:, None]
        x = self.dropout(x)
        begin = cache.length if cache is not None else 0
        rotary = self.rotary.narrow(1, begin, x.shape[1])
        for number, layer in enumerate(self.layers):
            x = layer(x, rotary, number, cache)
        if cache is not None:
            cache.length += x.shape[1]
        logits: Tensor = self.out(self.norm(x))
        return logits

    def _begin(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.masks.weight, std=0.3)  # inputs are of about unit size at once
        nn.init.normal_(self.bits.weight, std=0.3)
        nn.init.normal_(self.earlier.weight, std=self.earlier.in_features**-0.5)


class _Layer(nn.Module):
    """Attention and two dense layers, each added to its input."""

    def __init__(self, shape: NetworkShape, dropout: float):
        super().__init__()
        self._heads = shape.heads
        self.before_attention = nn.LayerNorm(shape.width)
        self.queries_keys_values = nn.Linear(shape.width, 3 * shape.width)
        self.attended = nn.Linear(shape.width, shape.width)
        self.before_dense = nn.LayerNorm(shape.width)
        self.dense = nn.Sequential(
            nn.Linear(shape.width, 4 * shape.width),
            nn.GELU(),
            nn.Linear(4 * shape.width, shape.width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: Tensor, number: int, cache: Cache | None) -> Tensor:
        x = x + self.dropout(self._attention(self.before_attention(x), rotary, number, cache))
        changed: Tensor = self.dropout(self.dense(self.before_dense(x)))
        return x + changed

    def _attention(self, x: Tensor, rotary: Tensor, number: int, cache: Cache | None) -> Tensor:
        size, steps, width = x.shape
        parts = self.queries_keys_values(x).view(size, steps, 3, self._heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        queries, keys = _turned(queries, rotary), _turned(keys, rotary)
        seen = None
        if cache is not None:
            begin = cache.length
            keys, values = cache.put(number, keys, values)
            if begin:
                place = torch.arange(begin + steps, device=x.device)
                seen = place <= place[begin:, None]
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=seen, is_causal=seen is None
        )
        attended: Tensor = self.attended(mixed.transpose(1, 2).reshape(size, steps, width))
        return attended


def earlier_masks(masks: Tensor, history: int, lookbacks: Sequence[int]) -> Tensor:
    """Return what sounded at each lookback of each step behind a history.

    Args:
        masks: Masks, or BEFORE, int64 (B, H + T).
        history: H; lookbacks that reach further find BEFORE.
        lookbacks: Steps ago.

    Returns:
        Int64 (B, T, L).
    """
    missing = max(max(lookbacks) - history, 0)
    padded = functional.pad(masks, (missing, 0), value=BEFORE) if missing else masks
    start, steps = history + missing, masks.shape[1] - history
    return torch.stack([padded[:, start - k : start - k + steps] for k in lookbacks], dim=2)


def _turned(x: Tensor, rotary: Tensor) -> Tensor:
    """Return vectors turned by the angles of their positions.

    Args:
        x: Shape (B, heads, T, width of a head).
        rotary: Cosines and sines, (2, T, half a head's width).
    """
    cosine, sine = rotary[0].to(x.dtype), rotary[1].to(x.dtype)
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)


def _rotary(shape: NetworkShape) -> Tensor:
    half = shape.width // shape.heads // 2
    speeds = _ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(shape.window, dtype=torch.float64)[:, None] * speeds
    return torch.stack((angles.cos(), angles.sin())).float()


def _bit_table() -> Tensor:
    """Return the classes of each input, float32 (MASKS + 2, MASK_BITS); none of the last two."""
    masks = torch.arange(MASKS)
    bits = (masks[:, None] >> torch.arange(MASK_BITS) & 1).float()
    return torch.cat((bits, torch.zeros(2, MASK_BITS)))
