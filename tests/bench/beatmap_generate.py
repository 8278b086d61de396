"""Maps written token by token, beside a writer that reads all it has written anew at each step.

    python tests/bench/beatmap_generate.py [--json] [--tokens N] [--song-bars N]

The network is `small`, untrained: equal weights cost equal time whatever they have learnt. Both
sides write by the likeliest token allowed, in one process. Ours keeps keys and values, and looks at
the sound of its 8 bars, 512 columns. The other is the scheme of the writer before this one: at each
step the decoder goes over the whole prefix, and looks at 2,048 columns; its encoder runs once.
Slots are kept apart so that windows of 1, 2, 4 and 8 bars have about 300 to 2,600 tokens; the least
of three turns counts, and of the slow side the one that there is. Seconds are the processor's, of
all threads. The song is 3 minutes at 120 bpm,
written in four strands, with draws as the command has them.
"""

import math
import time

import numpy as np
import torch
from rows import Row, parser_of, rate, row, seconds_of, tell, times
from torch import Tensor

from workbench.beatmap.writer.drawing import Manner
from workbench.beatmap.writer.generating import Request, Sheet, write_song, write_windows
from workbench.beatmap.writer.grammar import NEVER, allowed
from workbench.beatmap.writer.model import MapWriter, WriterCard, make_writer
from workbench.beatmap.writer.network import Heard, MapNetwork, NetworkShape, Wish, places_of
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.beatmap.writer.tokens import BAR, FIRST_DIFFICULTY, START, decode
from workbench.runs.measurements import TIMES

OLD_COLUMNS = 2048
BARS = (1, 2, 4, 8)
DENSE = 8.0  # logits that make every slot likely
SPACING = 3  # slots; so a bar has about as many tokens as the windows want
STRANDS = 4
TURNS = 3
SMALL = NetworkShape()
CUT = ChartWindowOptions(bars=8, context=1)
SEED = 1


def main() -> None:
    """Measure, print a table, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--tokens", type=int, default=512, help="where the two are compared")
    parser.add_argument("--song-bars", type=int, default=90, help="3 minutes at 120 bpm")
    arguments = parser.parse_args()
    writer = made_writer()
    rows = [*length_rows(writer.network, arguments.tokens), *song_rows(writer, arguments.song_bars)]
    tell("beatmap", rows, as_json=arguments.json)


def made_writer() -> MapWriter:
    """Return an untrained writer."""
    torch.manual_seed(SEED)
    spec = MelSpec()
    card = WriterCard(
        shape=SMALL,
        spec=spec,
        cut=CUT,
        mean=(0.0,) * spec.channels,
        deviation=(1.0,) * spec.channels,
    )
    return make_writer(card, MapNetwork(SMALL).state_dict())


def length_rows(network: MapNetwork, tokens: int) -> list[Row]:
    """Compare the two schemes, and ours at several lengths."""
    manner = Manner(temperature=0.0, spacing=SPACING)
    ours = heard_of(network, CUT.bars * SMALL.bar_columns)
    sheets = [Sheet(head=head(), bars=bars, seed=(SEED,)) for bars in BARS]
    spent: list[list[float]] = [[] for _ in sheets]
    lengths = [0] * len(sheets)
    for _ in range(TURNS):
        for number, sheet in enumerate(sheets):
            began = time.process_time()
            (written,) = write_windows(network, ours, [sheet], manner)
            spent[number].append(time.process_time() - began)
            lengths[number] = len(written)
    old = heard_of(network, OLD_COLUMNS)
    slow = seconds_of(lambda: recomputed(network, old, tokens), time.process_time)
    at = next(number for number, length in enumerate(lengths) if length >= tokens)
    each = [[s / length for s in seconds] for seconds, length in zip(spent, lengths, strict=True)]
    return [
        times(
            f"a window of {lengths[at]} tokens, time a token",
            [slow / tokens],
            each[at],
            ">= 12",
            against=f"{tokens} tokens, each from all before it",
        ),
        rate(f"{lengths[at]} tokens written", 1, each[at], unit="tokens/s"),
        row(f"{tokens} tokens written all anew", tokens / slow, unit="tokens/s"),
        row(
            f"time a token, {lengths[-1]:,} tokens as a share of {lengths[0]}",
            min(each[-1]) / min(each[0]),
            "<= 1.5",
            unit=TIMES,
        ),
    ]


def song_rows(writer: MapWriter, bars: int) -> list[Row]:
    """Measure how long a song takes."""
    columns = bars * SMALL.bar_columns
    generator = np.random.default_rng(SEED)
    features = generator.normal(size=(columns, SMALL.channels)).astype(np.float16)
    manner = Manner(temperature=0.9, top_p=0.95, parity=4.0)
    request = Request(difficulty=3, density=5.0, seed=SEED, manner=manner)
    began = time.process_time()
    (tokens,) = write_song(writer, features, [request], strands=STRANDS)
    seconds = time.process_time() - began
    notes = len(decode(tokens, SMALL.tokens)[0])
    return [
        row(
            f"a song of {2 * bars} s written, {len(tokens):,} tokens, {notes:,} notes",
            seconds,
            "<= 20",
            unit="s",
        ),
        row("tokens of the song", len(tokens) / seconds, unit="tokens/s"),
    ]


def heard_of(network: MapNetwork, columns: int) -> Heard:
    """Return what a network makes of noise."""
    generator = torch.Generator().manual_seed(SEED)
    mel = torch.randn(1, columns, SMALL.channels, generator=generator)
    zero = torch.zeros(1, dtype=torch.int64)
    wish = Wish(difficulty=zero, density=torch.tensor([math.nan]), style=zero)
    with torch.inference_mode():
        return network.listen(mel, wish, DENSE)


def head() -> Tensor:
    """Return what stands before the bars of a window."""
    return torch.tensor([START, FIRST_DIFFICULTY])


def recomputed(network: MapNetwork, heard: Heard, count: int) -> Tensor:
    """Return so many of the likeliest tokens, each from all before it."""
    tokens = torch.cat((head(), torch.tensor([BAR])))[None]
    with torch.inference_mode():
        for _ in range(count):
            places = places_of(tokens, torch.tensor([2]), SMALL)
            logits = network(heard, tokens, places)[:, -1]
            may = allowed(tokens[:, -1], places.slot[:, -1], SMALL.tokens)
            following = logits.masked_fill(~may, NEVER).argmax(-1, keepdim=True)
            tokens = torch.cat((tokens, following), dim=1)
    return tokens


if __name__ == "__main__":
    main()
