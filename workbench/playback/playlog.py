"""What a board played: every executed duty with how late it was, and the counts of a report.

A pass is an unbroken stretch of duties from one BEGIN or SEEK on. The board's digest of what it
executed proves which duties those were and in which order; its log tells each one's lateness and
outcome, as far as it was fetched before newer entries took its place. Units: `late` is in units of
10 microseconds as on the wire, and milliseconds in reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.caching.files import replacing
from workbench.device import wire
from workbench.device.answers import LATE_UNIT_MS, LOG_ENTRY
from workbench.device.duties import Duties

OUTCOMES = ("played", "late", "cart", "budget")
_LATES = 65_536


@dataclass(slots=True, kw_only=True)
class Pass:
    """One unbroken stretch of duties.

    Attributes:
        base: Index of its first duty.
        boot: Of the board.
        is_wanted: Whether a person asked for this place; else it is where a reboot was recovered.
        executed: Index of the first duty not begun in it.
        proved: Index up to which the board's digest proves what was executed.
        digest: Of the duties from base to proved.
        logged: Index up to which the log was fetched.
        is_wrong: Whether a digest differed: something else was executed.
    """

    base: int
    boot: int
    is_wanted: bool = True
    executed: int = 0
    proved: int = 0
    digest: int = 0
    logged: int = 0
    is_wrong: bool = False

    def __post_init__(self) -> None:
        self.executed = self.proved = self.logged = self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayReport:
    """How a performance went.

    Attributes:
        duties: Of the song.
        executed: Duties that the board executed, each time they were.
        proved: Of these, the ones whose content and order the board's digest proves.
        lost: Duties that were jumped over without anybody asking for it.
        doubled: Duties that were executed twice without anybody asking for it.
        reordered: Logged duties that were another duty of the song.
        wrong: Logged duties that were none of the song, and stretches whose digest differs.
        uncertain: Duties that a reboot fell into.
        passed: Duties jumped over to catch up with the time after a reboot.
        not_pressed: Outcome: duties kept in time but not pressed.
        unlogged: Executed duties whose lateness is not known.
        reboots: Of the board, while music was wanted.
        late_p50_ms: Lateness that half of the logged duties have at most.
        late_p99_ms: Likewise of 99 of 100.
        late_max_ms: The most.
        heap_min_bytes: Least free heap of the board; -1 where it said nothing.
    """

    duties: int
    executed: int
    proved: int
    lost: int
    doubled: int
    reordered: int
    wrong: int
    uncertain: int
    passed: int
    not_pressed: dict[str, int]
    unlogged: int
    reboots: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    heap_min_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether every duty was executed once, in order."""
        return not (self.lost or self.doubled or self.reordered or self.wrong)


@dataclass(slots=True, eq=False)
class PlayLog:
    """Gathers what a board says it executed.

    Attributes:
        duties: Of the song.
        passes: In the order of time; the last is the present one.
        uncertain: Duties that reboots fell into.
        passed: Duties jumped over to catch up.
        reboots: While music was wanted.
        heap_min: Least free heap that the board told, bytes; -1 while it told none.
    """

    duties: Duties
    passes: list[Pass] = field(default_factory=list)
    uncertain: set[int] = field(default_factory=set)
    passed: int = 0
    reboots: int = 0
    heap_min: int = -1
    _lates: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_LATES, np.int64))
    _outcomes: list[int] = field(default_factory=lambda: [0] * len(OUTCOMES))
    _unlogged: int = 0
    _reordered: int = 0
    _wrong: int = 0
    _lost: int = 0
    _doubled: int = 0
    _chunks: list[tuple[int, int, NDArray[np.void], NDArray[np.bool_]]] = field(
        default_factory=list
    )

    @property
    def now(self) -> Pass | None:
        """The present pass, if there is one."""
        return self.passes[-1] if self.passes else None

    def begin(self, base: int, boot: int, *, is_wanted: bool) -> None:
        """Begin a pass.

        Args:
            base: Index of its first duty.
            boot: Of the board.
            is_wanted: Whether a person asked for this place.
        """
        self._close()
        before = self.now
        if before is not None and not is_wanted:
            self._lost += max(0, base - before.executed)
            self._doubled += max(0, before.executed - base)
        self.passes.append(Pass(base=base, boot=boot, is_wanted=is_wanted))

    def jumped(self, count: int) -> None:
        """Take in that duties are left out on purpose, to catch up with the time.

        Args:
            count: How many; the next pass begins behind them.
        """
        self.passed += count
        self._lost -= count

    def reached(self, executed: int, digest: int | None = None) -> None:
        """Take in how far the present pass is.

        Args:
            executed: Index of the first duty not begun.
            digest: Of what was executed, the lower 30 bits; None where it is not known.
        """
        now = self.passes[-1]
        now.executed = max(now.executed, executed)
        if digest is None or now.is_wrong or executed < now.proved:
            return
        records = self.duties.to_bytes(now.proved, executed)
        expected = wire.order_digest(now.proved, records, now.digest)
        if expected & wire.LIMIT == digest:
            now.proved, now.digest = executed, expected
        else:
            now.is_wrong = True
            self._wrong += 1

    def logged(self, first: int, entries: NDArray[np.void]) -> None:
        """Take in entries of the board's log, of the present pass.

        Args:
            first: Index of the first; from `logged` of the pass on.
            entries: As `Answer.log` gives them, shape (n,).
        """
        now = self.passes[-1]
        if first < now.logged:
            entries, first = entries[now.logged - first :], now.logged
        self._unlogged += first - now.logged
        records = self.duties.to_bytes(first, first + len(entries))
        entries = entries[: len(records) // wire.DUTY_BYTES]
        digests = entries["digest"].tolist()
        right = [
            wire.record_digest(records[10 * i : 10 * i + 10]) == digest
            for i, digest in enumerate(digests)
        ]
        if not all(right):
            self._count_wrong([d for d, fits in zip(digests, right, strict=True) if not fits])
        np.add.at(self._lates, entries["late"], 1)
        for outcome in entries["outcome"].tolist():
            self._outcomes[min(outcome, len(OUTCOMES) - 1)] += 1
        self._chunks.append((len(self.passes) - 1, first, entries, np.array(right, bool)))
        now.logged = first + len(entries)
        now.executed = max(now.executed, now.logged)

    def late_ms(self, share: float) -> float:
        """Return the lateness that a share of the logged duties has at most, milliseconds."""
        total = int(self._lates.sum())
        if not total:
            return 0.0
        rank = max(1, int(np.ceil(share * total)))
        return float(np.searchsorted(np.cumsum(self._lates), rank)) * LATE_UNIT_MS

    def report(self) -> PlayReport:
        """Return how it went so far."""
        self._close()
        return PlayReport(
            duties=len(self.duties),
            executed=sum(each.executed - each.base for each in self.passes),
            proved=sum(each.proved - each.base for each in self.passes),
            lost=max(0, self._lost),
            doubled=self._doubled,
            reordered=self._reordered,
            wrong=self._wrong,
            uncertain=len(self.uncertain),
            passed=self.passed,
            not_pressed=dict(zip(OUTCOMES[1:], self._outcomes[1:], strict=True)),
            unlogged=self._unlogged,
            reboots=self.reboots,
            late_p50_ms=self.late_ms(0.5),
            late_p99_ms=self.late_ms(0.99),
            late_max_ms=self.late_ms(1.0),
            heap_min_bytes=self.heap_min,
        )

    def table(self) -> pa.Table:
        """Return every logged duty as a row, in the order of execution."""
        chunks = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0, LOG_ENTRY), np.zeros(0, bool))]
        for at, first, entries, is_right in self._chunks:
            numbers = np.full(len(entries), at, np.int64)
            indices = np.arange(first, first + len(entries), dtype=np.int64)
            chunks.append((numbers, indices, entries, is_right))
        number, index, entry, right = (np.concatenate(part) for part in zip(*chunks, strict=True))
        boots = np.array([each.boot for each in self.passes] or [0], np.int64)
        return pa.table(
            {
                "pass": number,
                "boot": boots[number],
                "index": index,
                "start_ms": self.duties.start_ms[index],
                "late_ms": entry["late"] * LATE_UNIT_MS,
                "outcome": np.array(OUTCOMES)[np.minimum(entry["outcome"], len(OUTCOMES) - 1)],
                "cart": entry["cart"],
                "fingers": entry["fingers"],
                "is_right": right,
            }
        )

    def save(self, path: Path) -> None:
        """Write the table as Parquet.

        Args:
            path: Where; it appears whole.

        Raises:
            CachingError: It cannot be written there.
        """
        with replacing(path) as scratch:
            pq.write_table(self.table(), scratch)

    def _close(self) -> None:
        """Count what the log of the present pass will not tell any more."""
        now = self.now
        if now is not None:
            self._unlogged += now.executed - now.logged
            now.logged = now.executed

    def _count_wrong(self, digests: Sequence[int]) -> None:
        records = self.duties.to_bytes()
        known = {wire.record_digest(records[at : at + 10]) for at in range(0, len(records), 10)}
        others = sum(digest in known for digest in digests)
        self._reordered += others
        self._wrong += len(digests) - others
