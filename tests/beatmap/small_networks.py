"""Small networks with weights wide apart, and what they are to write, for tests of the writer."""

import math

import numpy as np
import torch

from workbench.beatmap.writer.model import WriterCard, make_writer
from workbench.beatmap.writer.network import MapNetwork, NetworkShape, Wish
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.beatmap.writer.tokens import BAR, EXTENDED, FIRST_POS, START, VOCABULARY_291

torch.set_num_threads(1)

NAMES = {"extended": EXTENDED, "291": VOCABULARY_291}
KINDS = [(name, kernel) for name in NAMES for kernel in (0, 5)]
SPEC = MelSpec(n_mels=8, onset=False)


def shape_of(vocabulary="extended", kernel=0, **more):
    small = {"channels": SPEC.channels, "width": 16, "heads": 2, "hidden": 32}
    return NetworkShape(**({"vocabulary": vocabulary, "kernel": kernel} | small | more))


def made_network(seed, vocabulary="extended", kernel=0, *, odds=-3.0, **more):
    """Return a network whose tokens are far from equally likely."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MapNetwork(shape_of(vocabulary, kernel, **more))
        torch.nn.init.normal_(network.out.weight, std=0.5)
        torch.nn.init.normal_(network.odds.weight, std=0.3)
        torch.nn.init.constant_(network.odds.bias, odds)
        torch.nn.init.normal_(network.style.weight, std=0.5)
    return network.eval().requires_grad_(requires_grad=False)


def made_writer(network, cut):
    """Return a writer of a network."""
    channels = network.shape.channels
    card = WriterCard(
        shape=network.shape,
        spec=SPEC,
        cut=cut,
        mean=tuple(0.25 * number for number in range(channels)),
        deviation=(2.0,) * channels,
    )
    return make_writer(card, network.state_dict())


def quiet_writer(seed=0, vocabulary="291", cut=None, *, odds=-3.5):
    """Return a writer of a few notes a bar."""
    return made_writer(
        made_network(seed, vocabulary, odds=odds), cut or ChartWindowOptions(bars=2, context=1)
    )


def made_mel(network, rows, bars, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, bars * network.shape.bar_columns, network.shape.channels)
    return torch.randn(shape, generator=generator)


def made_wish(rows, styles=0):
    number = torch.arange(rows)
    density = torch.where(number % 2 == 0, math.nan, 3.0 + number)
    return Wish(difficulty=number % 5, density=density, style=number % (styles + 1))


def heard_of(network, rows, bars, seed=0, leaning=0.0):
    wish = made_wish(rows, network.shape.styles)
    return network.listen(made_mel(network, rows, bars, seed), wish, leaning)


def made_features(bars, seed=0, more=0):
    """Return a song of some bars and columns."""
    columns = bars * shape_of().bar_columns + more
    return np.random.default_rng(seed).normal(size=(columns, SPEC.channels)).astype(np.float16)


def walk(seed, vocabulary, bars, slots=4, most=3, *, closed=True):
    """Return a chart: random bars, of so many slots and notes at most; the last has a note."""
    random = np.random.default_rng(seed)
    tokens = [START, 3 + int(random.integers(5))]
    for bar in range(bars):
        tokens.append(BAR)
        least = closed and bar == bars - 1
        count = int(random.integers(least, slots + 1))
        for slot in sorted(random.choice(vocabulary.bar_slots, count, replace=False).tolist()):
            tokens += [FIRST_POS + slot, *_filling(random, vocabulary, most)]
    return tokens


def _filling(random, vocabulary, most):
    hand = vocabulary.size - vocabulary.right
    if vocabulary.is_stacked:
        count = int(random.integers(1, most + 1))
        found = random.choice(2 * hand, count, replace=False) + vocabulary.left
        return sorted(found.tolist())
    left = int(random.integers(-1, hand))
    right = int(random.integers(-1 if left >= 0 else 0, hand))
    return [vocabulary.left + left, vocabulary.right + right]


def padded(rows):
    """Return rows of tokens beside each other, PAD behind them, and their lengths."""
    longest = max(len(row) for row in rows)
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return tokens, torch.tensor([len(row) for row in rows])
