"""Options of writers of maps; the command line and the notebooks' parameters follow them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench import options
from workbench.beatmap.maps.objects import DIFFICULTIES


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How a writer of maps is built and trained.

    Attributes:
        steps: Optimiser steps at most [1..].
        learning_rate: The greatest [1e-6..1].
        warm_up: Steps over which it rises; then it falls as a cosine until the last [0..].
        weight_decay: Of matrices [0..10].
        dropout: Share of what a layer adds that is left out [0..0.9].
        smoothing: Share of a lesson that teaches all that may follow alike [0..0.9].
        color_weight: Of the term that asks for as many notes of each hand [0..100].
        parity_weight: Of the term that asks hands to swing to and fro [0..100].
        wish_dropout: Share of the windows that are not told density and style, so that a map can
            be asked for without [0..1].
        averaging: Memory of the running average of weights, which is kept [0..0.99999].
        accumulate: Batches of an optimiser step [1..].
        validate_every: Steps between two looks at what is held out [1..].
        look_windows: Windows held out that a look writes, to tell onset F1; 0 is none [0..].
        patience: Looks without a better one before it stops; 0 is never [0..].
        save_every: Steps between two checkpoints [1..].
        checkpoint_dir: Folder of the checkpoint; beside the model when not given.
        log_dir: Folder that CSV logs are written to, one from each step that training began or
            went on at; none when not given.
        width: Of the network's layers, a multiple of four times the heads [16..4096].
        encoder_layers: Layers that look at the sound [0..64].
        decoder_layers: Layers that go over the tokens [1..64].
        heads: Of attention [1..64].
        hidden: Width inside the dense layers [16..16384].
        kernel: Columns of a Conformer's convolution, odd; 0 is a plain Transformer [0..127].
        precision: Of the arithmetic; `auto` is bf16 on a GPU, else 32 bits.
        accelerator: Where it runs; `auto` takes a GPU if there is one.
        devices: GPUs, or processes on the processor, of a host [1..].
        nodes: Hosts that train together [1..].
        threads: Of one process on the processor; 0 is as many as it has [0..].
        log_every: Log one line every this many steps, also to the CSV log; 0 is never [0..].
        progress: Show a progress line on the terminal.
    """

    steps: int = 2000
    learning_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 0.05
    dropout: float = 0.1
    smoothing: float = 0.05
    color_weight: float = 0.0
    parity_weight: float = 0.0
    wish_dropout: float = 0.2
    averaging: float = 0.998
    accumulate: int = 1
    validate_every: int = 100
    look_windows: int = 32
    patience: int = 10
    save_every: int = 100
    checkpoint_dir: Path | None = None
    log_dir: Path | None = None
    width: int = 128
    encoder_layers: int = 2
    decoder_layers: int = 2
    heads: int = 4
    hidden: int = 512
    kernel: int = 0
    precision: Literal["auto", "32", "bf16"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    threads: int = 0
    log_every: int = 50
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        if self.width % (4 * self.heads):
            found.append(f"width: {self.width} is no multiple of four times {self.heads} heads")
        if self.kernel and self.kernel % 2 == 0:
            found.append(f"kernel: {self.kernel} is even; take {self.kernel + 1}")
        options.refuse(found)

    def checkpoint_folder(self, output: Path) -> Path:
        """Return where the checkpoint lies while a model learns."""
        return self.checkpoint_dir or output.with_name(f"{output.name}.learning")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """How a map is written for a song.

    Attributes:
        difficulty: Of the map; several with commas between.
        bpm: Tempo of the song, beats a minute; 0 finds it out [0..1000].
        first_beat: When a bar begins in the song, seconds; -1 finds it out [-1..3600].
        nps: Notes a second that the map is to have; 0 is as it comes [0..30].
        style: Mapper whose style it is to have, one that the model knows; none when empty.
        seed: Of the draws [0..].
        temperature: Below 1 is nearer the likeliest, above 1 wider; 0 takes that [0..10].
        top_k: Draw from this many of the likeliest; 0 is all [0..].
        top_p: Draw from the likeliest that have this chance together [0.01..1].
        spacing: Beats between two slots with notes at least [0..4].
        parity: How much a swing the way the same hand swung last is put off, nats [0..20].
        strands: Parts of a song written side by side; bars before are seen within one [1..64].
        format: Of the exported map.
        accelerator: Where the model runs; `auto` takes a GPU if there is one.
        progress: Show a progress line on the terminal.
    """

    difficulty: str = "Expert"
    bpm: float = 0.0
    first_beat: float = -1.0
    nps: float = 0.0
    style: str = ""
    seed: int = 0
    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 0.95
    spacing: float = 0.0
    parity: float = 4.0
    strands: int = 4
    format: Literal["v2", "v3", "v4"] = "v3"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        known = ", ".join(DIFFICULTIES)
        found = [
            f"difficulty: {name!r} is none of {known}{options.did_you_mean(name, DIFFICULTIES)}"
            for name in self.difficulties
            if name not in DIFFICULTIES
        ]
        if -1 < self.first_beat < 0:
            found.append(f"first_beat: {self.first_beat:g} is before the song; -1 finds it out")
        if not self.difficulties:
            found.append(f"difficulty: none is named; name one or more of {known}")
        options.refuse(found)

    @property
    def difficulties(self) -> tuple[str, ...]:
        """Those that are asked for, each once."""
        named = (name.strip() for name in self.difficulty.split(","))
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """How a writer is judged.

    Attributes:
        part: Whose charts it writes.
        most_charts: How many at most, spread over all of them; 0 is all [0..].
        told_density: Tell it the human chart's notes a second.
        shuffled: Write each chart to another song's sound too.
        temperature: Of the draws; 0 takes the likeliest [0..10].
        draws: Seed of them [0..].
    """

    part: Literal["train", "validation", "test"] = "test"
    most_charts: int = 0
    told_density: bool = True
    shuffled: bool = True
    temperature: float = 0.0
    draws: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
