"""A batch of runs at work: how many are done, at work and failed, how long it takes, what failed.

It is fed with the same `Progress` values as a terminal's line. Units: seconds.
"""

import html
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from workbench.panels.look import GREEN, RED, failed, framed
from workbench.progress import Progress

_SHOW_SECONDS = 0.2  # between two pictures of a live panel
_RUNS = "runs"  # the unit of a batch; its runs tell cells
_MOST_FAILURES = 3

_TRACK = (
    "display:flex;height:14px;margin:4px 0;border-radius:4px;overflow:hidden;"
    "background:rgba(127,140,154,0.25)"
)
_DONE, _FAILED = f"background:{GREEN}", f"background:{RED}"
_AT_WORK = "background:repeating-linear-gradient(135deg,#3b7dbf 0 5px,#6ba1d6 5px 10px)"


class BatchPanel:
    """Shows how far a batch of runs is; give its `show` to the batch.

    Attributes:
        widget: What a cell displays.
        last: The last state of the batch that was shown, or None.
        run: The last state of a run that is at work alone, or None.
    """

    def __init__(
        self,
        failures: Callable[[], Sequence[str]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty panel.

        Args:
            failures: Gives the latest failures, a line each, the latest first; asked when there
                are more than before.
            clock: Seconds from any time on.
        """
        self.last: Progress | None = None
        self.run: Progress | None = None
        self.widget: Any = ipywidgets.HTML(value="no runs yet")
        self._failures, self._clock = failures, clock
        self._told: Sequence[str] = ()
        self._drawn_at = -math.inf

    def show(self, progress: Progress) -> None:
        """Take a state of the batch, or of a run of it; drawn five times a second at most."""
        if progress.unit == _RUNS:
            failed = self._count("failed")
            self.last = progress
            if self._count("failed") > failed:
                self._told = tuple(self._failures())[:_MOST_FAILURES]
        else:
            self.run = None if progress.is_last else progress
        if progress.is_last or self._clock() - self._drawn_at >= _SHOW_SECONDS:
            self._drawn_at = self._clock()
            self.widget.value = framed(f'<div style="max-width:44em">{self._page()}</div>')

    def still(self) -> str:
        """Return the last state as text, for a saved notebook whose widgets open empty."""
        if self.last is None:
            return "nothing was shown"
        told = f"{self.last.stage}: {self.last.done} of {self.last.total} {self.last.unit}"
        return f"{told}, {self._count('failed')} failed"

    def _counts(self) -> dict[str, int]:
        """Return how many runs are in which state; failed ones are at their end as well."""
        assert self.last is not None
        failed, at_work = self._count("failed"), self._count("at work")
        waiting = max((self.last.total or 0) - self.last.done - at_work, 0)
        done = self.last.done - failed
        return {"done": done, "failed": failed, "at work": at_work, "waiting": waiting}

    def _count(self, name: str) -> int:
        return 0 if self.last is None else int(self.last.numbers.get(name, 0))

    def _page(self) -> str:
        lines = [self._bar()] if self.last is not None else []
        if self.run is not None:
            lines.append(f"<div>{html.escape(self.run.line())}</div>")
        lines += [failed(line) for line in self._told]
        return "".join(lines)

    def _bar(self) -> str:
        """Return the bar, a part for each kind of run, and the words below it."""
        state, counts = self.last, self._counts()
        assert state is not None
        total = max(sum(counts.values()), 1)
        looks = {"done": _DONE, "failed": _FAILED, "at work": _AT_WORK}
        parts = "".join(
            f'<div style="width:{100 * counts[name] / total:.2f}%;{look}"></div>'
            for name, look in looks.items()
        )
        words = [f"{counts['done']} of {total} runs done"]
        words += [f"{counts[name]} {name}" for name in ("failed", "at work") if counts[name]]
        if state.eta_seconds is not None and not state.is_last:
            words.append(f"about {duration(state.eta_seconds)} left")
        if state.is_last:
            words.append(f"{duration(state.seconds)} in all")
        head, told = html.escape(state.stage), html.escape(", ".join(words))
        return (
            f"<div><b>{head}</b></div>"
            f'<div role="progressbar" aria-label="{head}" aria-valuemin="0" aria-valuemax="{total}"'
            f' aria-valuenow="{state.done}" aria-valuetext="{told}" style="{_TRACK}">{parts}</div>'
            f"<div>{told}</div>"
        )


def duration(seconds: float) -> str:
    """Return a time as people say it: seconds, then minutes, then hours and minutes."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
