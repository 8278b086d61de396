"""Faults that a local hub commits when it is told to: refusals, silence, cut and bent bytes.

| kind | what the client meets |
|---|---|
| "403", "404", "429", "500", "503" … | this status; the act is not done; 429 with `Retry-After` |
| "drop" | the connection closes without an answer; the act is not done |
| "drop_after" | the act is done, then the connection closes without an answer |
| "stall" | a part, then silence for `seconds`, then the rest |
| "slow" | `rate` bytes a second |
| "truncate" | `Content-Length` is whole, the body ends after `after_bytes` |
| "wrong_bytes" | the length is right, some bytes in the middle are not |

On a PUT, "stall" and "slow" bear on the bytes that are read; on all else, on the answer. "drop"
reads `after_bytes` of the request's body before it closes.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

KINDS = {"drop", "drop_after", "stall", "slow", "truncate", "wrong_bytes"}
WRONG = 16  # bytes bent by "wrong_bytes"
TICK = 0.02  # seconds between the pieces of "slow"


class CutError(Exception):
    """The connection is to be closed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which requests go wrong.

    Attributes:
        match: Regular expression, searched in "METHOD path" (no query, not quoted).
        kind: One of the table above.
        times: How many requests it meets; None is all.
        skip: How many matching requests pass before the first.
        after_bytes: How many bytes go well; None is half of them, or none for "drop".
        seconds: How long "stall" is silent.
        rate: Bytes a second of "slow".
        retry_after: Seconds that a "429" or "503" asks for; None says nothing.
    """

    match: str
    kind: str
    times: int | None = 1
    skip: int = 0
    after_bytes: int | None = None
    seconds: float = 60.0
    rate: float = 1e6
    retry_after: int | None = None

    @property
    def status(self) -> int | None:
        """The status it answers with, or None where it is no refusal."""
        return int(self.kind) if self.kind.isdigit() else None

    def bears_on_upload(self, method: str) -> bool:
        """Return whether it bends what is read and not what is answered."""
        return self.kind == "drop" or (method == "PUT" and self.kind in ("stall", "slow"))

    def bent(
        self,
        pieces: Iterator[bytes],
        length: int,
        *,
        wait: Callable[[float], object],
        bite: Callable[[], object],
    ) -> Iterator[bytes]:
        """Give the pieces as this fault lets them through.

        Args:
            pieces: Bytes in order.
            length: How many in all.
            wait: Sleeps for so many seconds.
            bite: Called when the first byte goes wrong.

        Raises:
            CutError: The connection is to be closed where the pieces have come to.
        """
        whole = 0 if self.kind == "drop" else length // 2
        before, after = _split(pieces, whole if self.after_bytes is None else self.after_bytes)
        if self.kind == "slow":
            bite()
            yield from _slowly(pieces, self.rate, wait)
            return
        yield from before
        bite()
        if self.kind == "wrong_bytes":
            wrong, after = _split(after, WRONG)
            yield from (bytes(sign ^ 0xFF for sign in piece) for piece in wrong)
        elif self.kind == "stall":
            wait(self.seconds)
        else:
            raise CutError
        yield from after


@dataclass(slots=True)
class _Waiting:
    fault: Fault
    skip: int
    left: float  # infinity is all


@dataclass(slots=True)
class Faults:
    """The faults that are to come, in the order they were added; safe among threads.

    Attributes:
        taken: "METHOD path" and kind of each fault at the moment it bit.
    """

    taken: list[tuple[str, str]] = field(default_factory=list)
    _waiting: list[_Waiting] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def add(self, *, match: str = "", kind: str | int, **options: Any) -> None:
        """Let the next requests that match go wrong; options are those of a `Fault`.

        Raises:
            ValueError: There is no such kind.
        """
        fault = Fault(match=match, kind=str(kind), **options)
        if fault.kind not in KINDS and not re.fullmatch("[45][0-9]{2}", fault.kind):
            raise ValueError(f"{kind!r}: no kind of fault; use a status or one of {sorted(KINDS)}")
        re.compile(match)
        left = float("inf") if fault.times is None else fault.times
        with self._lock:
            self._waiting.append(_Waiting(fault, fault.skip, left))

    def clear(self) -> None:
        """Let all go well from now on."""
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[Fault]:
        """Return the faults that have not met all of their requests."""
        with self._lock:
            return [
                replace(each.fault, times=None if each.left == float("inf") else int(each.left))
                for each in self._waiting
            ]

    def take(self, line: str) -> Fault | None:
        """Return the fault that the request "METHOD path" meets, and count it."""
        with self._lock:
            for each in self._waiting:
                if re.search(each.fault.match, line) is None:
                    continue
                if each.skip:
                    each.skip -= 1
                    continue
                each.left -= 1
                if each.left <= 0:
                    self._waiting.remove(each)
                return each.fault
        return None


def _split(pieces: Iterator[bytes], at: int) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Return what comes before a place and what comes from there on; read the first first."""
    rest: list[bytes] = []

    def before() -> Iterator[bytes]:
        left = at
        while left > 0 and (piece := next(pieces, None)) is not None:
            if len(piece) > left:
                rest.append(piece[left:])
            yield piece[:left]
            left -= len(piece)

    def after() -> Iterator[bytes]:
        yield from rest
        yield from pieces

    return before(), after()


def _slowly(
    pieces: Iterator[bytes], rate: float, wait: Callable[[float], object]
) -> Iterator[bytes]:
    start, sent, step = time.monotonic(), 0, max(1, int(rate * TICK))
    for piece in pieces:
        for begin in range(0, len(piece), step):
            part = piece[begin : begin + step]
            yield part
            sent += len(part)
            ahead = start + sent / rate - time.monotonic()
            if ahead > 0:
                wait(ahead)
