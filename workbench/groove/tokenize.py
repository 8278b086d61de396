"""Performances as windows of step masks in Parquet shards, ready to be learned from.

A row is a window of a piece, which is one training sample. Windows are `WINDOW_BARS` bars of 4/4
long and begin every half window, from half a window before the piece on, so that every step is
in two rows: in the first half of the one and in the second half of the other. Before its window
a row holds what sounded earlier, half a window at most, which is looked back at only; of each
step it holds the repeats (`inputs`) in the whole piece. Pieces come in the order of their files'
digests, equal files once: the same bytes for the same corpus, whatever its order.

    tokens.json          what it was made of; every shard with its rows, bytes and SHA-256
    train-00000.parquet  rows to train on
    held-00000.parquet   rows of the pieces that are held out, to stop and to weigh by

Units: a `step` is a cell of the grid, `resolution` of them a quarter note; place and beat codes
are those of `streams`; tempo in quarter notes a minute.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.caching.files import refuse_other, replacing_folder, sweep
from workbench.errors import GrooveError
from workbench.groove.counting import (
    Batch,
    labelled_columns,
    read_performances,
)
from workbench.groove.grid import Grid
from workbench.groove.inputs import REPEATS, repeats_of, where_number
from workbench.groove.labels import TEMPOS, Labels, number_of, read_labels, tempo_name
from workbench.groove.options import TokenizeOptions
from workbench.groove.pieces import Piece, beat_steps_of
from workbench.groove.streams import Columns, Ints
from workbench.progress import Progress, Show, silent
from workbench.streaming.filelist import FileList
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.workers import KILLED_WORKER, cheapest, executor, map_ordered
from workbench.streaming.writer import ShardLimits, ShardWriter

logger = logging.getLogger(__name__)

FORMAT = 1
DESCRIPTION = "tokens.json"
WINDOW_BARS = 16
PARTS = ("train", "held")
LABELS = ("style", "drummer", "section", "tempo")

_OF_PIECE = ["begin", "history", "masks", "place", "beat", "bar"]
_BATCH_FILES = 256
_GROUP_ROWS = 64
_HELD_PARTS = 10_000
_MOST_BARS = (1 << 16) - 1
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("digest", pa.binary()),
        ("begin", pa.int32()),
        ("history", pa.int16()),
        ("masks", pa.list_(pa.uint16())),
        ("place", pa.list_(pa.uint8())),
        ("beat", pa.list_(pa.uint8())),
        ("bar", pa.list_(pa.uint16())),
        ("repeats", pa.list_(pa.uint16())),
        *((kind, pa.uint16()) for kind in LABELS),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Shards of windows.

    Attributes:
        folder: Where they lie.
        description: What `tokens.json` says.
    """

    folder: Path
    description: dict[str, Any]

    @property
    def resolution(self) -> int:
        """Grid steps a quarter note."""
        return int(self.description["counting"]["resolution"])

    @property
    def labels(self) -> dict[str, list[str]]:
        """By kind, in the order of LABELS, what there is; value i has number i + 1, 0 is none."""
        known: dict[str, list[str]] = self.description["labels"]
        return {kind: known[kind] for kind in LABELS if kind in known}

    def rows(self, part: str) -> int:
        """Return how many rows `train` or `held` has."""
        return sum(shard["rows"] for shard in self.description["shards"][part])

    def source(self, part: str) -> Source:
        """Return the shards of `train` or `held`, as the description lists them."""
        files = tuple(
            SourceFile(
                name=shard["name"],
                url=str(self.folder / shard["name"]),
                size=shard["bytes"],
                digest=f"sha256:{shard['sha256']}",
                rows=shard["rows"],
            )
            for shard in self.description["shards"][part]
        )
        return Source(name=f"{self.folder} ({part})", files=files)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenPiece:
    """A performance as steps and labels.

    Attributes:
        file: Its name, as the list has it.
        digest: Of its file's content, 16 bytes.
        masks: What sounds at each step, int64 (n,).
        place: Place code of each step.
        beat: Beat code of each step.
        bar: Bar of each step, from the start of the piece.
        repeats: What sounded when it was like now, int64 (n, REPEATS).
        labels: By kind of LABELS, its number, 0 for none.
    """

    file: str
    digest: bytes
    masks: Ints
    place: Ints
    beat: Ints
    bar: Ints
    repeats: Ints
    labels: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """Files to be read together.

    Attributes:
        batch: The files.
        digests: Of their contents.
    """

    batch: Batch
    digests: tuple[bytes, ...]

    def __str__(self) -> str:
        return str(self.batch)

    def singles(self) -> Iterator["_Work"]:
        """Give the work of each file."""
        for batch, digest in zip(self.batch.singles(), self.digests, strict=True):
            yield _Work(batch=batch, digests=(digest,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a batch of files gave.

    Attributes:
        pieces: The performances.
        skipped: Files that gave none, by reason.
    """

    pieces: list[TokenPiece]
    skipped: Mapping[str, int]


def tokenize(
    files: FileList, output: Path, options: TokenizeOptions, show: Show = silent
) -> Tokens:
    """Write a corpus as shards of windows, whole or not at all.

    Args:
        files: The list of MIDI files.
        output: The shards, a folder.
        options: Which files count, how the grid is laid, what is held out.
        show: Told about the progress.

    Raises:
        GrooveError: The labels table cannot be read, or no file has anything to learn from.
        CachingError: The shards cannot be written, or something else is at their place.
    """
    refuse_other(output, DESCRIPTION)
    sweep(output)
    labels = read_labels(options.labels)
    digests = [bytes(digest) for digest in files.digests(max_bytes=options.counting.max_bytes)]
    work = _work(files, digests, labels, options)
    skipped: Counter[str] = Counter()
    with replacing_folder(output) as scratch:
        with _Shards(scratch, options) as shards, closing(_read_all(work, options)) as found:
            began = time.monotonic()
            for number, read in enumerate(found, 1):
                for piece in read.pieces:
                    shards.add("held" if is_held_out(piece.digest, options) else "train", piece)
                skipped.update(read.skipped)
                show(_progress(number * _BATCH_FILES, len(files), time.monotonic() - began))
        if not shards.pieces["train"]:
            raise _nothing_left(files, shards.pieces["held"], skipped)
        description = {
            "format": FORMAT,
            "counting": options.counting.counting(),
            "held_out": options.held_out,
            "labels": labels.vocabulary | {"tempo": TEMPOS},
            "repeats": list(REPEATS),
            "files": len(files),
            "skipped": dict(sorted(skipped.items())),
            "pieces": shards.pieces,
            "steps": shards.steps,
            "shards": shards.written,
        }
        text = json.dumps(description, indent=1, sort_keys=True, ensure_ascii=False)
        (scratch / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    return Tokens(folder=output, description=description)


def open_tokens(folder: Path) -> Tokens:
    """Open shards of windows.

    Raises:
        GrooveError: There are none, or of another format.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise GrooveError(
                f"{folder}: shards of format {description['format']}; this program reads {FORMAT}"
            )
        tokens = Tokens(folder=folder, description=description)
        for part in PARTS:
            tokens.source(part)
        if tuple(description["repeats"]) != REPEATS:
            raise ValueError(f"repeats of {description['repeats']} steps, want {REPEATS}")
        if not {"resolution"} <= description["counting"].keys() or "tempo" not in tokens.labels:
            raise KeyError("counting or labels")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise GrooveError(
            f"{folder}: no readable shards ({type(error).__name__}: {error}); give the folder "
            "that `workbench groove tokenize` wrote"
        ) from error
    return tokens


def window_steps(resolution: int) -> int:
    """Return how long a window is, steps: WINDOW_BARS bars of 4/4."""
    return 4 * WINDOW_BARS * resolution


def pieces_in(tokens: Tokens, part: str) -> Iterator[Piece]:
    """Give the pieces whose windows are in the shards of `train` or `held`.

    Raises:
        GrooveError: A shard cannot be read.
    """
    rows: list[dict[str, Any]] = []
    for shard in tokens.description["shards"][part]:
        path = tokens.folder / shard["name"]
        try:
            found = pq.read_table(path, columns=_OF_PIECE).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise GrooveError(f"{path}: no readable shard ({error}); tokenize again") from error
        for row in found:
            if rows and row["begin"] <= rows[-1]["begin"]:
                yield _piece(rows, tokens.resolution)
                rows = []
            rows.append(row)
    if rows:
        yield _piece(rows, tokens.resolution)


def _piece(rows: list[dict[str, Any]], resolution: int) -> Piece:
    """Return the piece of which these are all windows, in order."""
    columns: dict[str, list[int]] = {name: [] for name in ("masks", "place", "beat", "bar")}
    for row in rows:
        known = len(columns["masks"]) - max(row["begin"], 0)  # steps of the windows before
        columns["masks"] += row["masks"][row["history"] + known :]
        for name in ("place", "beat", "bar"):
            columns[name] += row[name][known:]
    masks, place, beat, bar = (np.array(column, np.int64) for column in columns.values())
    bar_steps = np.bincount(bar)[bar]
    metre = np.stack((place, beat, bar_steps, beat_steps_of(place, resolution)), axis=1)
    return Piece(masks=masks, metre=metre)


def is_held_out(digest: bytes, options: TokenizeOptions) -> bool:
    """Return whether the piece of a digest is held out; a pure function of both."""
    number = int.from_bytes(digest[-8:], "little") % _HELD_PARTS
    return number < round(options.held_out * _HELD_PARTS)


def token_pieces(
    grids: Sequence[Grid],
    columns: Columns,
    names: Sequence[str],
    digests: Sequence[bytes],
) -> list[TokenPiece]:
    """Return some performances as steps and labels.

    Args:
        grids: The performances.
        columns: Their columns, with labels.
        names: Their names.
        digests: Of their files' contents.
    """
    cuts = np.flatnonzero(np.diff(columns.step_file)) + 1
    steps = columns.steps
    bar_of = np.repeat(np.arange(len(columns.bar_start) - 1), np.diff(columns.bar_start))
    repeats = repeats_of(
        steps["target_steps"], where_number(steps["place"], steps["beat"]), columns.step_file
    )
    columns_of = (steps["target_steps"], steps["place"], steps["beat"], bar_of, repeats)
    parts = zip(*(np.split(column, cuts) for column in columns_of), strict=True)
    firsts = np.concatenate(([0], cuts)).tolist()
    pieces = []
    for index, (masks, place, beat, bar, alike) in enumerate(parts):
        labels = {kind: int(steps[kind][firsts[index]]) for kind in LABELS if kind in steps}
        piece = TokenPiece(
            file=names[index],
            digest=digests[index],
            masks=masks,
            place=place,
            beat=beat,
            bar=bar - bar[0],
            repeats=alike,
            labels=dict.fromkeys(LABELS, 0) | labels | {"tempo": _tempo_number(grids[index])},
        )
        pieces.append(piece)
    return pieces


def windows(piece: TokenPiece, steps: int) -> Iterator[dict[str, Any]]:
    """Give the rows of a piece.

    Args:
        piece: The piece.
        steps: How long a window is; even.
    """
    half = steps // 2
    for begin in range(-half, len(piece.masks), half):
        first, stop = max(begin, 0), min(begin + steps, len(piece.masks))
        before = max(first - half, 0)
        yield {
            "file": piece.file.encode("utf-8", "backslashreplace").decode(),
            "digest": piece.digest,
            "begin": begin,
            "history": first - before,
            "masks": piece.masks[before:stop].astype(np.uint16),
            "place": piece.place[first:stop].astype(np.uint8),
            "beat": piece.beat[first:stop].astype(np.uint8),
            "bar": np.minimum(piece.bar[first:stop], _MOST_BARS).astype(np.uint16),
            "repeats": piece.repeats[first:stop].astype(np.uint16).ravel(),
            **piece.labels,
        }


def _work(
    files: FileList, digests: Sequence[bytes], labels: Labels, options: TokenizeOptions
) -> Iterator[_Work]:
    """Give the files in the order of their digests, equal ones in that of names, in batches."""
    order = sorted(range(len(files)), key=lambda index: (digests[index], files.name(index)))
    before = {index: digests[ahead] for ahead, index in pairwise(order)}
    for first in range(0, len(order), _BATCH_FILES):
        indices = order[first : first + _BATCH_FILES]
        names = tuple(files.name(index) for index in indices)
        batch = Batch(
            first=first,
            indices=tuple(indices),
            names=names,
            root=files.root.absolute(),  # whoever reads may stand elsewhere
            sizes=tuple(int(files.sizes[index]) for index in indices),
            is_first=tuple(before.get(index) != digests[index] for index in indices),
            labels=labels.of(names),
            options=options.counting,
        )
        yield _Work(batch=batch, digests=tuple(digests[index] for index in indices))


def _read_all(work: Iterable[_Work], options: TokenizeOptions) -> Generator[_Read, None, None]:
    """Give what batches of files gave, in order."""
    engine, workers = options.engine, options.jobs
    if cheapest(engine, workers) == "threads":  # none dies alone
        yield from map_ordered(_read, work, engine="threads", workers=workers)
        return
    with executor(engine, workers) as pool:
        yield from _read_by(pool, workers, work)


def _read_by(pool: Executor, workers: int, work: Iterable[_Work]) -> Iterator[_Read]:
    lost = partial(_read_singly, pool, workers)
    return map_ordered(_read, work, engine=pool, workers=workers, lost=lost)


def _read_singly(pool: Executor, workers: int, work: _Work) -> _Read:
    """Return what the files of a batch gave that its worker died of; the one at fault nothing."""
    if len(work.digests) == 1:
        logger.warning("skipped %s: its worker died in every attempt", work.batch.names[0])
        return _Read(pieces=[], skipped={KILLED_WORKER: 1})
    pieces: list[TokenPiece] = []
    skipped: Counter[str] = Counter()
    for read in _read_by(pool, workers, work.singles()):
        pieces += read.pieces
        skipped.update(read.skipped)
    return _Read(pieces=pieces, skipped=skipped)


def _read(work: _Work) -> _Read:
    batch = work.batch
    found = read_performances(batch)
    skipped = Counter(skip.reason for skip in found.skips.values())
    if not found.grids:
        return _Read(pieces=[], skipped=skipped)
    names = [batch.names[place] for place in found.places]
    columns = labelled_columns(found.grids, batch.labels, names, batch.options)
    digests = [work.digests[place] for place in found.places]
    return _Read(pieces=token_pieces(found.grids, columns, names, digests), skipped=skipped)


def _progress(done: int, total: int, seconds: float) -> Progress:
    done = min(done, total)
    return Progress(
        stage="reading", done=done, total=total, unit="files", seconds=seconds, fresh=done
    )


def _nothing_left(files: FileList, held: int, skipped: Mapping[str, int]) -> GrooveError:
    reasons = "".join(f", {count} {reason}" for reason, count in sorted(skipped.items()))
    return GrooveError(
        f"{files[0]}: neither this nor any other of {len(files)} files is left to learn from "
        f"({held} held out{reasons}); there are no shards"
    )


def _tempo_number(grid: Grid) -> int:
    return number_of(TEMPOS, tempo_name(grid.bpm))


class _Shards:
    """The shards of both parts while they are written; a context manager.

    Attributes:
        written: By part, name, rows, bytes and SHA-256 of each finished shard.
        pieces: By part, how many pieces there are.
        steps: By part, how many steps they have.
    """

    def __init__(self, folder: Path, options: TokenizeOptions):
        self.written: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
        self.pieces = dict.fromkeys(PARTS, 0)
        self.steps = dict.fromkeys(PARTS, 0)
        self._folder = folder
        self._limits = ShardLimits(rows=options.shard_rows, group_rows=_GROUP_ROWS)
        self._window = window_steps(options.resolution)
        self._open: dict[str, ShardWriter] = {}

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for part in list(self._open):
            if kind is None:
                self._close(part)
            else:
                self._open[part].abandon()

    def add(self, part: str, piece: TokenPiece) -> None:
        """Write the rows of a piece."""
        self.pieces[part] += 1
        self.steps[part] += len(piece.masks)
        rows = list(windows(piece, self._window))
        batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
        while batch.num_rows:
            if part not in self._open:
                name = f"{part}-{len(self.written[part]):05d}.parquet"
                self._open[part] = ShardWriter(self._folder / name, SCHEMA, self._limits)
            taken = self._open[part].append(batch)
            if taken < batch.num_rows:
                self._close(part)
            batch = batch.slice(taken)

    def _close(self, part: str) -> None:
        writer = self._open.pop(part)
        writer.close()
        content = writer.path.read_bytes()
        self.written[part].append(
            {
                "name": writer.path.name,
                "rows": writer.rows,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
