"""Counts that add: exact 64-bit keys counted in bounded memory, spilled to SQLite, merged.

A tally is a multiset of unsigned 64-bit keys. Keys are gathered in RAM; when the budget is
reached they are written as a sorted run, cut into blocks, and the position of the reader is
written in the same transaction: after a kill at any instant the store holds exactly the counts
of the stream up to that position. Adding is commutative, so the merged rows do not depend on
the order, the number of runs, or which store a key was counted in.

Units: a row is one distinct key with its count; a run is rows in rising order of their keys; a
block is a piece of a run that is read at once. Runs of one level are merged into one run of the
next when there are `FAN_IN` of them, so that a store of R rows has O(log R) runs (the
log-structured merge tree of O'Neil et al., 1996).
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workbench.errors import StreamingError

Keys = NDArray[np.uint64]
Counts = NDArray[np.uint64]
Rows = tuple[Keys, Counts]

FORMAT = 1
FAN_IN = 8
BLOCK_ROWS = 1 << 16
_BYTES_A_KEY = 16  # a key and its count, as they wait in RAM
_SORT_SHARE = 0.4  # of the budget may wait; sorting it needs about as much again
_APPLICATION = 0x54616C79  # "Taly", by which a store is told from other SQLite files
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), json TEXT NOT NULL);
CREATE TABLE journal (id INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE block (
    tally TEXT NOT NULL, level INTEGER NOT NULL, run INTEGER NOT NULL, block INTEGER NOT NULL,
    keys BLOB NOT NULL, counts BLOB NOT NULL,
    PRIMARY KEY (tally, level, run, block)) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORMAT};
COMMIT;
"""


def counted(keys: Keys, counts: Counts | None = None) -> Rows:
    """Return the distinct keys in rising order and how often each occurs.

    Args:
        keys: Shape (n,), any order.
        counts: Shape (n,), how often each key counts; once each when None.
    """
    if counts is None:
        distinct, times = np.unique(keys, return_counts=True)
        return distinct, times.astype(np.uint64)
    if len(keys) == 0:
        return keys, counts.astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    return _summed(keys[order], counts[order])


def merged(runs: Iterable[Iterator[Rows]]) -> Iterator[Rows]:
    """Merge runs into one, block by block; equal keys are added.

    Args:
        runs: Each gives blocks of rows whose keys rise within and between blocks.

    Yields:
        Blocks of rows, rising; memory holds one block of each run.
    """
    heads = [(run, block) for run in runs if (block := next(run, None)) is not None]
    while heads:
        bound = min(block[0][-1] for _, block in heads)
        keys, counts, waiting = [], [], []
        for run, (block_keys, block_counts) in heads:
            cut = int(np.searchsorted(block_keys, bound, side="right"))
            keys.append(block_keys[:cut])
            counts.append(block_counts[:cut])
            rest: Rows | None = (block_keys[cut:], block_counts[cut:])
            if cut == len(block_keys):
                rest = next(run, None)
            if rest is not None:
                waiting.append((run, rest))
        heads = waiting
        yield counted(np.concatenate(keys), np.concatenate(counts))


def keys_within(budget_bytes: int) -> int:
    """Return how many keys may wait in a RAM budget, so that there is room to sort them."""
    return int(budget_bytes * _SORT_SHARE / _BYTES_A_KEY)


class TallyStore:
    """Tallies by name, and the state of the reader that fills them, in one SQLite file.

    A context manager: leaving it closes the file; what was not committed is gone, as it should.

    Attributes:
        state: The reader's state at the last commit; None in a new store.
        budget_bytes: RAM that the waiting keys and their sorting may take.
        block_rows: Rows a block holds at most.
    """

    def __init__(
        self,
        path: Path,
        *,
        budget_bytes: int,
        block_rows: int = BLOCK_ROWS,
        is_durable: bool = True,
    ):
        """Open or create a store.

        Args:
            path: The SQLite file.
            budget_bytes: RAM that the waiting keys and their sorting may take.
            block_rows: Rows a block holds at most.
            is_durable: Whether commits are synced, which scratch stores need not.

        Raises:
            StreamingError: The file is no such store, damaged or in use, or cannot be made.
        """
        self.path = path
        self.budget_bytes = budget_bytes
        self.block_rows = block_rows
        self._waiting: dict[str, list[Rows]] = {}
        self._waiting_keys = 0
        with self._told():
            self._database = _opened(path, is_durable)
            row = self._database.execute("SELECT json FROM state").fetchone()
            self.state: dict[str, Any] | None = json.loads(row[0]) if row else None

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._database.close()

    @property
    def waiting_keys(self) -> int:
        """Keys that wait in RAM for the next commit."""
        return self._waiting_keys

    @property
    def is_full(self) -> bool:
        """Whether the budget is reached, so that a commit is due."""
        return self._waiting_keys > keys_within(self.budget_bytes)

    def add(self, tally: str, rows: Rows) -> None:
        """Count some rows in a tally; they wait in RAM until the next commit."""
        if len(rows[0]):
            self._waiting.setdefault(tally, []).append(rows)
            self._waiting_keys += len(rows[0])

    def commit(self, state: Mapping[str, Any], journal: Iterable[Mapping[str, Any]] = ()) -> None:
        """Write all waiting keys, the reader's state and journal entries in one transaction.

        Args:
            state: Replaces the state of the last commit.
            journal: Entries that are appended to the journal.

        Raises:
            StreamingError: The store cannot be written; the file stays as it was, and what
                waits goes on waiting.
        """
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for tally in sorted(self._waiting):
                    self._spill(tally)
                entries = ((json.dumps(entry, sort_keys=True),) for entry in journal)
                self._database.executemany("INSERT INTO journal (json) VALUES (?)", entries)
                text = json.dumps(state, sort_keys=True)
                self._database.execute("REPLACE INTO state VALUES (0, ?)", (text,))
        except sqlite3.Error as error:
            raise StreamingError(
                f"{self.path}: the counts could not be written ({error}); what was committed "
                f"before is intact; {_cure(error)}"
            ) from error
        self._waiting.clear()
        self._waiting_keys = 0
        self.state = dict(state)

    def journal(self) -> Iterator[dict[str, Any]]:
        """Return the committed journal, oldest entry first."""
        with self._told():
            for (text,) in self._database.execute("SELECT json FROM journal ORDER BY id"):
                yield json.loads(text)

    def tallies(self) -> list[str]:
        """Return the names of all committed tallies, sorted."""
        with self._told():
            rows = self._database.execute("SELECT DISTINCT tally FROM block ORDER BY tally")
            return [name for (name,) in rows]

    def rows(self, tally: str) -> Iterator[Rows]:
        """Return the committed rows of a tally: blocks with rising keys, all runs merged."""
        return merged(self._run(tally, level, run) for level, run in self._runs(tally))

    def blocks(self, tally: str) -> int:
        """Return how many blocks a tally has in the file."""
        query = "SELECT count(*) FROM block WHERE tally = ?"
        with self._told():
            return int(self._database.execute(query, (tally,)).fetchone()[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what is wrong with the file in this room's words."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise StreamingError(
                f"{self.path}: no usable store of counts ({error}); {_cure(error)}"
            ) from error

    def _spill(self, tally: str) -> None:
        waiting = self._waiting[tally]
        keys, counts = _joined(waiting)
        waiting.clear()
        rows = counted(keys, counts)
        waiting.append(rows)  # until the transaction is through
        self._waiting_keys += len(rows[0]) - len(keys)
        del keys, counts
        self._write(tally, 0, iter([rows]))
        level = 0
        while len(full := self._runs(tally, level)) >= FAN_IN:
            self._write(tally, level + 1, merged(self._run(tally, *run) for run in full))
            place = (tally, level)
            self._database.execute("DELETE FROM block WHERE tally = ? AND level = ?", place)
            level += 1

    def _write(self, tally: str, level: int, rows: Iterator[Rows]) -> None:
        newest = self._database.execute(
            "SELECT coalesce(max(run), -1) FROM block WHERE tally = ? AND level = ?",
            (tally, level),
        ).fetchone()[0]
        for number, (keys, counts) in enumerate(_cut(rows, self.block_rows)):
            width = "<u4" if counts.max() < 1 << 32 else "<u8"
            self._database.execute(
                "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?)",
                (tally, level, newest + 1, number, keys.tobytes(), counts.astype(width).tobytes()),
            )

    def _runs(self, tally: str, level: int | None = None) -> list[tuple[int, int]]:
        query = "SELECT DISTINCT level, run FROM block WHERE tally = ? AND level = ifnull(?, level)"
        with self._told():
            return list(self._database.execute(query + " ORDER BY level, run", (tally, level)))

    def _run(self, tally: str, level: int, run: int) -> Iterator[Rows]:
        number = 0
        while (block := self._block(tally, level, run, number)) is not None:
            yield block
            number += 1

    def _block(self, *place: str | int) -> Rows | None:
        query = "SELECT keys, counts FROM block WHERE (tally, level, run, block) = (?, ?, ?, ?)"
        with self._told():
            row = self._database.execute(query, place).fetchone()
            if row is None:
                return None
            keys = np.frombuffer(row[0], "<u8")
            width = "<u4" if len(row[1]) == 4 * len(keys) else "<u8"
            return keys, np.frombuffer(row[1], width).astype(np.uint64)


def _opened(path: Path, is_durable: bool) -> sqlite3.Connection:
    """Return the database with its tables, for one writer that commits by hand."""
    database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")  # a second trainer is refused at once
        database.execute("BEGIN IMMEDIATE")
        database.execute("COMMIT")
        is_new = _refuse_foreign(database)
        database.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'OFF'}")
        database.execute("PRAGMA cache_size = -4096")  # 4 MB: blocks are read once, in order
        if is_new:
            database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _refuse_foreign(database: sqlite3.Connection) -> bool:
    """Return whether a database is empty yet.

    Raises:
        sqlite3.DatabaseError: It is another program's, or of another format.
    """
    application, version, tables = (
        database.execute(query).fetchone()[0]
        for query in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_master",
        )
    )
    if application == version == tables == 0:
        return True
    if application != _APPLICATION:
        raise sqlite3.DatabaseError("a database of another program")
    if version != FORMAT:
        raise sqlite3.DatabaseError(f"format {version}, this program reads format {FORMAT}")
    return False


def _cure(error: Exception) -> str:
    """Return what to do about an error of SQLite."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process uses it: wait for that, or name another file"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return "make room and run the same command again"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return "name a file in a folder that can be written"
    return "name another file, or delete this one and start over"


def _summed(keys: Keys, counts: Counts) -> Rows:
    """Add the counts of equal neighbours."""
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return keys[starts], np.add.reduceat(counts, starts)


def _cut(rows: Iterator[Rows], size: int) -> Iterator[Rows]:
    """Give the same rows in blocks of `size`, the last one of what is left."""
    waiting: list[Rows] = []
    room = size
    for keys, counts in rows:
        start = 0
        while len(keys) - start >= room:
            waiting.append((keys[start : start + room], counts[start : start + room]))
            yield _joined(waiting)
            waiting, start, room = [], start + room, size
        if start < len(keys):
            waiting.append((keys[start:], counts[start:]))
            room -= len(keys) - start
    if waiting:
        yield _joined(waiting)


def _joined(blocks: list[Rows]) -> Rows:
    return (
        np.concatenate([keys for keys, _ in blocks]),
        np.concatenate([counts for _, counts in blocks]),
    )
