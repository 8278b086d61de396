"""What long work tells about itself, and who shows it.

Work takes a `show` argument, calls it with `Progress` values and never prints; the caller picks
one of the showers below, a list's `append`, or a panel. Units: seconds are wall-clock seconds
since the work began.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        stage: What is being done, in a word or two.
        done: Units finished since the very start, also those of an earlier, interrupted run.
        total: Units there will be in all, or None where nobody knows.
        unit: What is counted: files, bars, shards.
        seconds: Seconds this run has taken so far.
        fresh: Units finished by this run alone; rates and the ETA are made from it.
        numbers: Further measurements by name, as they stand now.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    seconds: float
    fresh: int
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Units a second in this run; 0 before the first measurable moment."""
        return self.fresh / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the end at the present rate, or None where it cannot be told."""
        if self.total is None or self.rate <= 0:
            return None
        return (self.total - self.done) / self.rate

    @property
    def is_last(self) -> bool:
        """Whether this is the end of its stage."""
        return self.total is not None and self.done >= self.total

    def line(self) -> str:
        """Return the state as one line of text."""
        of_total = "" if self.total is None else f"/{self.total}"
        is_slow = 0 < self.rate < 1
        rate = f"{60 * self.rate:.2g}/min" if is_slow else f"{self.rate:.0f}/s"
        parts = [f"{self.stage}: {self.done}{of_total} {self.unit}", rate]
        if self.eta_seconds is not None and not self.is_last:
            parts.append(f"{self.eta_seconds:.0f} s left")
        parts += [f"{name} {_told(value)}" for name, value in self.numbers.items()]
        return ", ".join(parts)


Show = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Show nothing."""


def log_lines(progress: Progress) -> None:
    """Write each state as one log line."""
    logger.info("%s", progress.line())


def terminal(stream: TextIO | None = None, *, interval_seconds: float = 0.2) -> Show:
    """Return a shower that rewrites one line of a terminal, or writes lines to anything else.

    Args:
        stream: Where to write; standard error when None.
        interval_seconds: The least time between two states shown, 10 times that when the stream
            is no terminal; a last state is always shown.
    """
    out = sys.stderr if stream is None else stream
    is_terminal = out.isatty()
    interval = interval_seconds if is_terminal else 10 * interval_seconds
    shown_at = -interval
    width = 0

    def show(progress: Progress) -> None:
        nonlocal shown_at, width
        now = time.monotonic()
        if now - shown_at < interval and not progress.is_last:
            return
        shown_at = now
        line = progress.line()
        if is_terminal:
            out.write("\r" + line.ljust(width) + ("\n" if progress.is_last else ""))
            width = 0 if progress.is_last else len(line)
        else:
            out.write(line + "\n")
        out.flush()

    return show


def _told(value: float) -> str:
    """Return a number as people write it: whole ones in full, others to six digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"
