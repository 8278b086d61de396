"""Options of the groove tasks; the command line and the notebooks' parameters follow them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from workbench import options
from workbench.streaming.workers import engine_mistakes

# What changes the counts; shards, stores and merges must agree in all of these.
COUNTING_FIELDS = (
    "model",
    "n",
    "resolution",
    "coarse",
    "beats_per_bar",
    "onset_order",
    "part",
    "fills",
    "tempo_policy",
    "min_bpm",
    "max_bpm",
    "fallback_bpm",
    "fold_halves",
    "min_bytes",
    "max_bytes",
    "min_notes",
    "min_bars",
    "dedup",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How a groove model is counted from MIDI files.

    Attributes:
        shard_index: Which shard this is; files are dealt round robin [0..].
        num_shards: How many shards there are; more than 1 gives a part for `merge` [1..].
        min_bytes: Files smaller than this are skipped, bytes [0..].
        max_bytes: Files larger than this are skipped, bytes [14..].
        min_notes: Performances with fewer notes are skipped [0..].
        min_bars: Performances with fewer bars are skipped [0..].
        max_files: Stop after this many files were kept; a later run with more goes on, 0 is all
            [0..].
        progress: Show a progress line on the terminal.
        log_every: Log one line every this many files, 0 is never [0..].
        save_every: Commit counts and position at least every this many kept files, 0 is when the
            budget is full [0..].
        checkpoint_dir: Folder of the store of counts and position; beside the model when not given.
        resume_from: A store of counts, or its folder, that must exist and is continued.
        gc_every: Collect Python's garbage every this many files, 0 is never; little effect, as
            counting leaves none [0..].
        mem_stats: Tell resident memory with the progress, MB.
        fail_fast: Stop at the first file that cannot be read, with its path and reason.
        ram_budget_mb: RAM that waiting counts may take before they are written out, MB [1..].
        flush_every: Write waiting counts out after this many n-grams, 0 is when the budget is full
            [0..].
        min_count: Leave n-grams that occur less often out of the finished model; acts after merge
            [1..].
        max_ngrams: Stop at the file where this many n-grams were counted, 0 is never [0..].
        hash_buckets: Kept from older versions; keys are exact here and nothing is hashed, so it
            only sets how many rows a block of the store holds [256..].
        sqlite_path: The store's own file, kept when the model is finished.
        model: What predicts steps: `ngrams` of one chain of contexts, or a `mixture` of many,
            which needs a third fewer bits and is fitted after counting, 3 seconds an hour of music.
        n: Length of the event n-grams, tokens [1..4].
        resolution: Grid steps a quarter note; 0 is the coarsest that fits the onsets [0..12].
        coarse: Events know the beat instead of the step.
        beats_per_bar: Quarter notes a bar; 0 takes the metre map of each file [0..10].
        onset_order: Order of simultaneous events; `sorted` compares grid steps before pitch.
        part: Which notes count; `drums` is MIDI channel 10.
        fills: What is done with performances whose section, or file name, says fill.
        tempo_policy: What is done with tempos out of bounds.
        min_bpm: Least tempo accepted, quarter notes a minute [1..].
        max_bpm: Greatest tempo accepted, quarter notes a minute [1..].
        fallback_bpm: Tempo used by the policy `fallback`, quarter notes a minute [1..].
        fold_halves: Double or halve a tempo out of bounds before the policy acts.
        labels: CSV table with a column `file` and any of `style`, `drummer`, `section`.
        dedup: Count files of equal content once.
        smoothing: Estimator of the finished model.
        validation: Folder of MIDI files scored while training, at every `validate_every` files.
        validate_every: Files between two validation scores, 0 is never [0..].
        jobs: Workers; 1 counts in this process, but for a cluster [1..].
        engine: What the workers are: `threads`, `processes` or `dask:ADDRESS`, the scheduler of a
            cluster whose machines see the same files; counts are the same with any.
    """

    shard_index: int = 0
    num_shards: int = 1
    min_bytes: int = 0
    max_bytes: int = 32_000_000
    min_notes: int = 8
    min_bars: int = 0
    max_files: int = 0
    progress: bool = True
    log_every: int = 200
    save_every: int = 0
    checkpoint_dir: Path | None = None
    resume_from: Path | None = None
    gc_every: int = 0
    mem_stats: bool = False
    fail_fast: bool = False
    ram_budget_mb: int = 64
    flush_every: int = 0
    min_count: int = 1
    max_ngrams: int = 0
    hash_buckets: int = 65536
    sqlite_path: Path | None = None
    model: Literal["ngrams", "mixture"] = "ngrams"
    n: int = 4
    resolution: int = 4
    coarse: bool = False
    beats_per_bar: int = 0
    onset_order: Literal["played", "sorted"] = "played"
    part: Literal["drums", "pitched", "all"] = "drums"
    fills: Literal["count", "skip", "only"] = "count"
    tempo_policy: Literal["accept", "skip", "fallback"] = "accept"
    min_bpm: float = 20.0
    max_bpm: float = 400.0
    fallback_bpm: float = 120.0
    fold_halves: bool = False
    labels: Path | None = None
    dedup: bool = True
    smoothing: Literal["concentration", "modified_kneser_ney"] = "concentration"
    validation: Path | None = None
    validate_every: int = 0
    jobs: int = 1
    engine: str = "processes"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = engine_mistakes("engine", self.engine)
        if self.shard_index >= self.num_shards:
            found.append(
                f"shard_index: {self.shard_index} is not below num_shards {self.num_shards}; "
                "shards are counted from 0"
            )
        if self.min_bpm > self.max_bpm:
            found.append(f"min_bpm: {self.min_bpm:g} is above max_bpm {self.max_bpm:g}")
        if self.model == "mixture" and self.part != "drums":
            found.append("model: a mixture is of drum classes; leave --part out")
        if self.validate_every and self.validation is None:
            found.append("validate_every: needs --validation, a folder of MIDI files")
        if self.resume_from is not None and self.sqlite_path is not None:
            found.append("resume_from: names the store already; leave --sqlite-path out")
        options.refuse(found)

    def counting(self) -> dict[str, Any]:
        """Return the options that change the counts."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in COUNTING_FIELDS}

    def store_path(self, output: Path) -> Path:
        """Return the SQLite file that holds counts and position while a model is trained."""
        if self.sqlite_path is not None:
            return self.sqlite_path
        name = f"{output.name}.counts.sqlite"
        if self.resume_from is not None:
            return self.resume_from / name if self.resume_from.is_dir() else self.resume_from
        return (self.checkpoint_dir or output.parent) / name

    @property
    def keeps_store(self) -> bool:
        """Whether the user named a place for the store, so that it stays."""
        return any(p is not None for p in (self.sqlite_path, self.checkpoint_dir, self.resume_from))


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """How new bars are drawn from a model.

    Attributes:
        bars: Bars to write [1..4096].
        bpm: Tempo, quarter notes a minute [10..1000].
        metre: Time signature, as 4/4.
        stream: What is drawn; `steps` are polyphonic, `events` one note after another.
        temperature: Above 1 is more daring, below 1 more typical [0.05..20].
        temperature_end: Temperature of the last bar, reached in a straight line; 0 is none
            [0..20].
        top_k: Draw from this many likeliest choices only, 0 is all [0..].
        top_p: Draw from the fewest choices whose probabilities reach this sum [0.01..1].
        seed: Equal seeds give equal bytes [0..].
        style: Style to condition on, or empty.
        drummer: Drummer to condition on, or empty.
        section: Section to condition on, as beat or fill, or empty.
        lead_in: Bars drawn and left out before the first, since recordings begin sparsely; for
            steps, and not after a prime [0..16].
        prime: MIDI file whose bars are continued.
        lock: Drum classes that repeat the prime as it is, as `kick,snare`.
        adapt: Let the piece's own bars so far weigh in, as real grooves repeat themselves; a
            mixture does nothing else, so without it steps are drawn from n-grams.
        choke: A closed or pedalled hi-hat ends the open one.
        timing: Amount of micro-timing, 0 is on the grid [0..1].
        velocity: Amount of dynamics, 0 is one velocity [0..1].
    """

    bars: int = 4
    bpm: float = 120.0
    metre: str = "4/4"
    stream: Literal["steps", "events"] = "steps"
    temperature: float = 1.0
    temperature_end: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    style: str = ""
    drummer: str = ""
    section: str = ""
    lead_in: int = 2
    prime: Path | None = None
    lock: str = ""
    adapt: bool = True
    choke: bool = True
    timing: float = 1.0
    velocity: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        if metre_problem := _metre_problem(self.metre):
            found.append(metre_problem)
        if self.lock and self.prime is None:
            found.append("lock: needs --prime, the bars whose classes are kept")
        if self.stream == "events" and self.lock:
            found.append("lock: works on steps only; leave --stream events out")
        options.refuse(found)

    @property
    def numerator(self) -> int:
        """Upper number of the metre."""
        return int(self.metre.split("/")[0])

    @property
    def denominator(self) -> int:
        """Lower number of the metre."""
        return int(self.metre.split("/")[1])


def _metre_problem(metre: str) -> str | None:
    upper, slash, lower = metre.partition("/")
    if not (slash and upper.isdecimal() and lower.isdecimal()):
        return f"metre: {metre!r} is none; write it as 4/4"
    if int(lower) not in (1, 2, 4, 8, 16, 32) or not 1 <= int(upper) <= 32:
        return f"metre: {metre!r} has no length; the upper number is 1..32, the lower 1, 2, 4..32"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeelOptions:
    """How the feel of one performance is put on another.

    Attributes:
        timing: Share of the feel's timing that is applied [0..1].
        velocity: Share of the feel's velocity that is applied [0..1].
        resolution: Grid steps a quarter note [1..12].
        bars: Length of the extracted pattern, bars; longer performances are averaged [1..64].
    """

    timing: float = 1.0
    velocity: float = 1.0
    resolution: int = 4
    bars: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeOptions:
    """How a corpus becomes shards that a neural model learns from.

    Attributes:
        resolution: Grid steps a quarter note [1..12].
        min_notes: Performances with fewer notes are skipped [0..].
        min_bars: Performances with fewer bars are skipped [0..].
        max_bytes: Files larger than this are skipped, bytes [14..].
        fills: What is done with performances whose section, or file name, says fill.
        labels: CSV table with a column `file` and any of `style`, `drummer`, `section`.
        held_out: Share of the pieces kept back, to stop and to weigh models by [0..0.5].
        shard_rows: Rows of a shard at most [64..].
        jobs: Workers; 1 reads in this process, but for a cluster [1..].
        engine: What the workers are: `threads`, `processes` or `dask:ADDRESS`, the scheduler of a
            cluster whose machines see the same files; shards are the same with any.
    """

    resolution: int = 4
    min_notes: int = 8
    min_bars: int = 0
    max_bytes: int = 32_000_000
    fills: Literal["count", "skip", "only"] = "count"
    labels: Path | None = None
    held_out: float = 0.05
    shard_rows: int = 2048
    jobs: int = 1
    engine: str = "processes"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        options.refuse(engine_mistakes("engine", self.engine))

    @property
    def counting(self) -> TrainOptions:
        """How performances are laid on the grid, as counting has it."""
        return TrainOptions(
            resolution=self.resolution,
            min_notes=self.min_notes,
            min_bars=self.min_bars,
            max_bytes=self.max_bytes,
            fills=self.fills,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnOptions:
    """How a neural groove model learns from shards.

    Attributes:
        steps: Optimiser steps at most [1..].
        batch_rows: Windows of a step, of each process [1..].
        learning_rate: The greatest [1e-6..1].
        warm_up: Steps over which it rises; then it falls as a cosine until the last [0..].
        weight_decay: Of matrices [0..10].
        dropout: Share of what a layer adds that is left out [0..0.9].
        hidden: Share of the earlier steps that are hidden from the network [0..0.9].
        augment: Share of the windows whose toms or cymbals change places [0..1].
        label_dropout: Share of the windows that lose their labels, so that the network also
            knows grooves without any [0..1].
        averaging: Memory of the running average of weights, which is kept [0..0.99999].
        validate_every: Steps between two looks at what is held out [1..].
        patience: Looks without a better one before it stops; 0 is never [0..].
        save_every: Steps between two checkpoints [1..].
        checkpoint_dir: Folder of the checkpoint; beside the model when not given.
        width: Of the network's layers, a multiple of twice the heads [8..4096].
        layers: Of the network [1..64].
        heads: Of its attention [1..64].
        seed: Of weights, order, changes and dropout [0..].
        precision: Of the arithmetic; `auto` is bf16 on a GPU and 32 bits on a processor, where
            equal seeds give equal bits.
        accelerator: Where it runs; `auto` takes a GPU if there is one.
        devices: GPUs, or processes on the processor [1..].
        threads: Of one process on the processor; 0 is as many as it has [0..].
        workers: Processes that read shards; 0 reads in this process [0..].
        log_every: Log one line every this many steps, 0 is never [0..].
        progress: Show a progress line on the terminal.
    """

    steps: int = 2600
    batch_rows: int = 16
    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.1
    dropout: float = 0.2
    hidden: float = 0.1
    augment: float = 0.3
    label_dropout: float = 0.7
    averaging: float = 0.998
    validate_every: int = 100
    patience: int = 10
    save_every: int = 100
    checkpoint_dir: Path | None = None
    width: int = 128
    layers: int = 3
    heads: int = 4
    seed: int = 0
    precision: Literal["auto", "32", "bf16"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    threads: int = 0
    workers: int = 0
    log_every: int = 50
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        if self.width % (2 * self.heads):
            options.refuse([f"width: {self.width} is no multiple of twice {self.heads} heads"])

    def checkpoint_folder(self, output: Path) -> Path:
        """Return where the checkpoint lies while a model learns."""
        return self.checkpoint_dir or output.with_name(f"{output.name}.learning")
