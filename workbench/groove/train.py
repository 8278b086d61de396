"""Training: a list of MIDI files is counted, resumably, and finished into a model.

The store of counts is the only checkpoint. Its counts, position, numbers and skipped files are
written in one transaction, so that a run killed at any instant goes on exactly where its store
stands, and ends in the same bytes as a run that was never interrupted.
"""

import dataclasses
import gc
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from workbench.caching.files import refuse_other, sweep
from workbench.caching.fingerprint import fingerprint
from workbench.errors import GrooveError, StreamingError
from workbench.groove.counting import Batch, BatchCounts, count_batch, count_batches
from workbench.groove.files import midi_files
from workbench.groove.grid import Skip, best_resolution
from workbench.groove.labels import Labels, read_labels
from workbench.groove.model import DESCRIPTION, Model, write_model
from workbench.groove.options import TrainOptions
from workbench.groove.pieces import MOST_PIECES
from workbench.groove.score import score_files
from workbench.music.midi import Midi, read_midi_file
from workbench.progress import Progress, Show, silent
from workbench.streaming.filelist import FileList, first_occurrences
from workbench.streaming.tally import TallyStore, keys_within

logger = logging.getLogger(__name__)

BATCH_FILES = 256
BATCH_BYTES = 2_000_000  # of MIDI; counting takes about 26 times that in RAM
_BYTES_AN_NGRAM = 6  # of MIDI, for each distinct n-gram of a batch; both of the Groove MIDI Dataset
_SAMPLED_FOR_RESOLUTION = 64
_FILTERS = (
    "duplicate",
    "section",
    "few_bytes",
    "many_bytes",
    "few_notes",
    "few_bars",
    "tempo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What is counted.

    Attributes:
        files: The whole list, of all shards.
        is_first: Which files are the first of their content; all, when contents are not compared.
        labels: The labels table.
        options: The options, with the resolution chosen.
        identity: What a store must agree in to be continued.
    """

    files: FileList
    is_first: NDArray[np.bool_]
    labels: Labels
    options: TrainOptions
    identity: dict[str, Any]

    @property
    def shard_files(self) -> int:
        """Number of files of this shard."""
        options = self.options
        return len(range(options.shard_index, len(self.files), options.num_shards))

    def batches(self, position: int) -> Iterator[Batch]:
        """Give this shard's files from a position on, cut by number and bytes and where due."""
        o = self.options
        dues = [n for n in (o.save_every, o.gc_every, o.log_every, o.validate_every) if n]
        most_bytes = self._most_bytes()
        places: list[int] = []
        waiting_bytes = 0
        for place in range(position, self.shard_files):
            size = max(int(self.files.sizes[self._index(place)]), 0)
            is_full = len(places) == BATCH_FILES or waiting_bytes + size > most_bytes
            if places and (is_full or any(place % due == 0 for due in dues)):
                yield self._batch(places)
                places, waiting_bytes = [], 0
            places.append(place)
            waiting_bytes += size
        if places:
            yield self._batch(places)

    def _most_bytes(self) -> int:
        """Return how large batches may be, so that neither budget nor flushes wait for long."""
        ngrams = keys_within(self.options.ram_budget_mb << 20)
        if self.options.flush_every:
            ngrams = min(ngrams, self.options.flush_every)
        return min(BATCH_BYTES, _BYTES_AN_NGRAM * ngrams)

    def _index(self, place: int) -> int:
        return place * self.options.num_shards + self.options.shard_index

    def _batch(self, places: list[int]) -> Batch:
        indices = tuple(self._index(place) for place in places)
        return Batch(
            first=places[0],
            indices=indices,
            names=tuple(self.files.name(index) for index in indices),
            root=self.files.root.absolute(),  # whoever counts may stand elsewhere
            sizes=tuple(int(self.files.sizes[index]) for index in indices),
            is_first=tuple(bool(self.is_first[index]) for index in indices),
            labels=self.labels.of(self.files.name(index) for index in indices),
            options=self.options,
        )


@dataclass(slots=True, kw_only=True)
class Tallied:
    """Where a run stands; what the store keeps beside the counts.

    Attributes:
        position: The next file of the shard.
        kept: Files counted.
        skipped: Files not counted, by reason.
        notes: Notes counted, which is event n-grams.
        steps: Steps counted.
        bars: Bars counted.
        stopped: Why the run ended before the end of its list, or None.
        history: Files and bits a bar at each validation.
    """

    position: int = 0
    kept: int = 0
    skipped: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: int = 0
    steps: int = 0
    bars: int = 0
    stopped: str | None = None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training run gave.

    Attributes:
        model: The model, finished.
        resumed_at: Position the run began at, 0 for a new one.
        seconds: Seconds this run took.
        files_read: Files this run read.
        history: Files counted and bits a bar, at each validation.
    """

    model: Model
    resumed_at: int
    seconds: float
    files_read: int
    history: list[dict[str, float]]


def train(files: FileList, output: Path, options: TrainOptions, show: Show = silent) -> Trained:
    """Count a corpus and write its model.

    Running the same options again after an interruption goes on where the store stands.

    Args:
        files: The whole list, of all shards.
        output: The model, a folder; it appears whole at the end.
        options: How it is counted.
        show: Told about the progress.

    Raises:
        GrooveError: The store is of another list, other options, or another shard; a file
            cannot be read and `fail_fast` is set; or no file could be counted at all.
        StreamingError: The store cannot be read or written, or there is no validation folder.
        CachingError: The model cannot be written, or something else is at its place.
    """
    began = time.monotonic()
    refuse_other(output, DESCRIPTION)
    if options.validation is not None:
        midi_files(options.validation)
    corpus = read_corpus(files, options, show)
    path = options.store_path(output)
    if options.resume_from is not None and not path.exists():
        raise GrooveError(f"{path}: no store to resume from; leave --resume-from out to begin")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamingError(f"{path.parent}: cannot be made ({error.strerror})") from error
    budget = options.ram_budget_mb << 20
    with TallyStore(path, budget_bytes=budget, block_rows=options.hash_buckets) as store:
        sweep(output)  # the store is held: no other run writes this model
        tallied = _resumed(store, corpus)
        resumed_at = tallied.position
        _Counting(corpus, store, tallied, show, began).run()
        if tallied.kept == 0 and options.num_shards == 1:
            raise _nothing_counted(corpus, tallied, path)
        model = finish(corpus, store, tallied, output, show)
    if not options.keeps_store and tallied.stopped is None:
        path.unlink()
    return Trained(
        model=model,
        resumed_at=resumed_at,
        seconds=time.monotonic() - began,
        files_read=tallied.position - resumed_at,
        history=tallied.history,
    )


def read_corpus(files: FileList, options: TrainOptions, show: Show = silent) -> Corpus:
    """Find equal contents in a list, and settle what is left to be chosen.

    Raises:
        GrooveError: No file of the list is there, the labels table cannot be read, or there
            are more files than a mixture may have.
    """
    if not (files.sizes >= 0).any():
        raise GrooveError(f"{files[0]}: no such file, nor any other of the list's {len(files)}")
    if options.model == "mixture" and len(files) > MOST_PIECES:
        raise GrooveError(
            f"{len(files)} files are more than the {MOST_PIECES} of a mixture; give fewer, or "
            "leave --model out"
        )
    labels = read_labels(options.labels)
    if options.resolution == 0:
        options = dataclasses.replace(options, resolution=_chosen_resolution(files, options))
    digests = None
    is_first = np.ones(len(files), bool)
    if options.dedup:
        tick = _digest_progress(len(files), show)
        digests = files.digests(max_bytes=options.max_bytes, tick=tick)
        is_first = first_occurrences(digests)
    identity = {
        "list": files.fingerprint(digests),
        "counting": options.counting(),
        "labels": fingerprint(labels),
        "shard_index": options.shard_index,
        "num_shards": options.num_shards,
    }
    return Corpus(files=files, is_first=is_first, labels=labels, options=options, identity=identity)


def finish(
    corpus: Corpus, store: TallyStore, tallied: Tallied, folder: Path, show: Show = silent
) -> Model:
    """Write the model of what a store has counted."""
    options = corpus.options
    description = {
        "counting": options.counting(),
        "smoothing": options.smoothing,
        "min_count": options.min_count if options.num_shards == 1 else 1,
        "finish": {"min_count": options.min_count, "smoothing": options.smoothing},
        "list": corpus.identity["list"],
        "files": len(corpus.files),
        "labels": corpus.labels.vocabulary,
        "labels_fingerprint": corpus.identity["labels"],
        "num_shards": options.num_shards,
        "shards": [options.shard_index],
        "processed": tallied.position,
        "kept": tallied.kept,
        "skipped": sum(tallied.skipped.values()),
        "reasons": dict(sorted(tallied.skipped.items())),
        "notes": tallied.notes,
        "steps": tallied.steps,
        "bars": tallied.bars,
        "stopped": tallied.stopped,
    }
    return write_model(
        folder,
        description,
        lambda stream: store.rows(stream.name),
        store.journal(),
        budget_bytes=options.ram_budget_mb << 20,
        show=show,
    )


class _Counting:
    """One run over the batches of a corpus."""

    def __init__(
        self, corpus: Corpus, store: TallyStore, tallied: Tallied, show: Show, began: float
    ):
        self.corpus = corpus
        self.options = corpus.options
        self.store = store
        self.tallied = tallied
        self.show = show
        self.began = began
        self.resumed_at = tallied.position
        self.notes_before = tallied.notes
        self.journal: list[dict[str, Any]] = []

    def run(self) -> None:
        """Count what is left; the store is committed at the end."""
        tallied = self.tallied
        tallied.stopped = self._stop()
        if tallied.stopped is None:
            batches = self.corpus.batches(tallied.position)
            engine, workers = self.options.engine, self.options.jobs
            with closing(count_batches(batches, engine=engine, workers=workers)) as counted:
                for counts in counted:
                    self._take(self._within_limits(counts))
                    tallied.stopped = self._stop()
                    self._attend()
                    if tallied.stopped is not None:
                        break
        self._commit()
        self._tell("counted")

    def _take(self, counts: BatchCounts) -> None:
        """Add a batch's counts to the store's waiting ones."""
        tallied, batch = self.tallied, counts.batch
        for place, skip in sorted(counts.skips.items()):
            self._note_skip(batch.indices[place], batch.names[place], skip)
        for stream, rows in counts.rows.items():
            self.store.add(stream, rows)
        tallied.position = batch.first + len(batch.names)
        tallied.kept += len(batch.names) - len(counts.skips)
        tallied.notes += int(counts.notes_of_file.sum())
        tallied.steps += int(counts.rows["steps"][1].sum()) if "steps" in counts.rows else 0
        tallied.bars += counts.bars

    def _note_skip(self, index: int, name: str, skip: Skip) -> None:
        if self.options.fail_fast and skip.reason not in _FILTERS:
            raise GrooveError(f"{name}: {skip.reason}: {skip.detail}; stopped by --fail-fast")
        self.tallied.skipped[skip.reason] = self.tallied.skipped.get(skip.reason, 0) + 1
        entry = {"index": index, "file": name, "reason": skip.reason, "detail": skip.detail}
        self.journal.append(entry)
        level = logging.DEBUG if skip.reason in _FILTERS else logging.INFO
        logger.log(level, "skipped %s: %s: %s", name, skip.reason, skip.detail)

    def _within_limits(self, counts: BatchCounts) -> BatchCounts:
        """Return a batch's counts, cut at the file where a limit is reached."""
        files = len(counts.batch.names)
        is_kept = np.ones(files, bool)
        is_kept[list(counts.skips)] = False
        for limit, so_far, each in (
            (self.options.max_files, self.tallied.kept, is_kept),
            (self.options.max_ngrams, self.tallied.notes, counts.notes_of_file),
        ):
            reached = np.flatnonzero(so_far + np.cumsum(each) >= limit)
            if limit and len(reached):
                files = min(files, int(reached[0]) + 1)
        return counts if files == len(is_kept) else count_batch(counts.batch.part(0, files))

    def _stop(self) -> str | None:
        if self.tallied.position >= self.corpus.shard_files:
            return None
        if self.options.max_files and self.tallied.kept >= self.options.max_files:
            return f"max_files {self.options.max_files}"
        if self.options.max_ngrams and self.tallied.notes >= self.options.max_ngrams:
            return f"max_ngrams {self.options.max_ngrams}"
        return None

    def _attend(self) -> None:
        """Do what is due after a batch: commit, log, collect garbage, validate, show."""
        options = self.options
        is_flushed = options.flush_every and self.store.waiting_keys >= options.flush_every
        if self.store.is_full or is_flushed or self._is_due(options.save_every):
            self._commit()
        if self._is_due(options.gc_every):
            gc.collect()
        if self._is_due(options.validate_every):
            self._validate()
        self._tell("counting")
        if self._is_due(options.log_every):
            logger.info("%s", self._progress("counting").line())

    def _is_due(self, every: int) -> bool:
        """Whether what comes every so many files comes now; batches end where it does."""
        return every > 0 and self.tallied.position % every == 0

    def _commit(self) -> None:
        state = {"identity": self.corpus.identity, **dataclasses.asdict(self.tallied)}
        self.store.commit(state, self.journal)
        self.journal.clear()

    def _validate(self) -> None:
        """Score the counts so far on the validation folder."""
        assert self.options.validation is not None  # the options see to it
        self._commit()
        folder = self.store.path.with_name(f".{self.store.path.name}.so_far")
        sweep(folder)
        model = finish(self.corpus, self.store, self.tallied, folder)
        score = score_files(model, self.options.validation)
        entry = {"files": self.tallied.kept, "bits_per_bar": score.bits_per_bar}
        self.tallied.history.append(entry)
        shutil.rmtree(folder)

    def _tell(self, stage: str) -> None:
        self.show(self._progress(stage))

    def _progress(self, stage: str) -> Progress:
        tallied = self.tallied
        seconds = time.monotonic() - self.began
        numbers: dict[str, float] = {
            "events": tallied.notes,
            "events/s": round((tallied.notes - self.notes_before) / seconds) if seconds else 0,
            "skipped": sum(tallied.skipped.values()),
        }
        if self.options.mem_stats:
            numbers["rss_mb"] = round(psutil.Process().memory_info().rss / 1e6)
        if tallied.history:
            numbers["bits_per_bar"] = round(tallied.history[-1]["bits_per_bar"], 2)
        return Progress(
            stage=stage,
            done=tallied.position,
            total=self.corpus.shard_files if tallied.stopped is None else tallied.position,
            unit="files",
            seconds=seconds,
            fresh=tallied.position - self.resumed_at,
            numbers=numbers,
        )


def _resumed(store: TallyStore, corpus: Corpus) -> Tallied:
    """Return where a store stands, or the beginning; refuse another run's store."""
    if store.state is None:
        return Tallied()
    state = dict(store.state)
    found, given = state.pop("identity", {}), corpus.identity
    if found.keys() != given.keys():
        raise GrooveError(f"{store.path}: is no store of groove training; name another file")
    troubles = {
        "counting": "it was counted with other options; give the same",
        "labels": "the labels table has changed; restore it",
        "num_shards": "it is of another number of shards; give the same",
        "shard_index": "it is of another shard; give each shard its own output",
    }
    if all(found["counting"][name] == given["counting"][name] for name in ("dedup", "max_bytes")):
        # else contents were compared in another way, and the fingerprints say nothing
        troubles["list"] = "the list of files has changed in names, order or contents; restore it"
    told = [
        f"{trouble} ({_difference(found[what], given[what])})"
        for what, trouble in troubles.items()
        if found[what] != given[what]
    ]
    if told:
        raise GrooveError(f"{store.path}: {'; '.join(told)}, or delete the store to start over")
    tallied = Tallied(**state)
    logger.info("continuing at file %d of %d", tallied.position, corpus.shard_files)
    return tallied


def _difference(found: Any, given: Any) -> str:
    if isinstance(found, dict):
        names = [name for name in given if found.get(name) != given[name]]
        return ", ".join(f"{name}: it has {found.get(name)}, given {given[name]}" for name in names)
    if isinstance(found, str):
        return f"fingerprint {found[:12]} there, {given[:12]} now"
    return f"it has {found}, given {given}"


def _nothing_counted(corpus: Corpus, tallied: Tallied, store: Path) -> GrooveError:
    """Return what is wrong with a corpus; a store that the user did not name goes."""
    if not corpus.options.keeps_store:
        store.unlink()
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(tallied.skipped.items()))
    return GrooveError(
        f"{corpus.files[0]}: neither this nor any other of {len(corpus.files)} files could be "
        f"counted ({reasons}); there is no model"
    )


def _chosen_resolution(files: FileList, options: TrainOptions) -> int:
    """Return the resolution of a list, from some of its files, the same in every shard."""
    step = max(len(files) // _SAMPLED_FOR_RESOLUTION, 1)
    read = [
        read_midi_file(files[index], max_bytes=options.max_bytes)
        for index in range(0, len(files), step)
    ]
    performances = [midi for midi in read if isinstance(midi, Midi)]
    resolution = best_resolution(performances, options.part)
    logger.info("resolution %d steps a quarter note", resolution)
    return resolution


def _digest_progress(total: int, show: Show) -> Callable[[int], None]:
    began = time.monotonic()

    def tick(index: int) -> None:
        if (index + 1) % 1000 and index + 1 != total:
            return
        seconds = time.monotonic() - began
        show(
            Progress(
                stage="comparing contents",
                done=index + 1,
                total=total,
                unit="files",
                seconds=seconds,
                fresh=index + 1,
            )
        )

    return tick
