"""A live progress bar in a notebook, with a last line that stays in the saved one."""

from typing import Any

import ipywidgets

from workbench.progress import Progress

_WIDTH = "28em"


class ProgressPanel:
    """Shows how far work is; give its `show` to the work.

    Attributes:
        widget: What a cell displays.
        last: The last state that was shown, or None.
    """

    def __init__(self, unit: str = ""):
        """Make an empty bar.

        Args:
            unit: What is counted, told until the first state arrives.
        """
        self.last: Progress | None = None
        self._bar = ipywidgets.IntProgress(layout=ipywidgets.Layout(width=_WIDTH))
        self._text = ipywidgets.Label(value=f"no {unit or 'work'} yet")
        self.widget: Any = ipywidgets.VBox([self._bar, self._text])

    def show(self, progress: Progress) -> None:
        """Take a state."""
        self.last = progress
        self._bar.max = max(progress.total or progress.done, 1)
        self._bar.value = progress.done
        self._bar.bar_style = "success" if progress.is_last else "info"
        self._text.value = progress.line()

    def still(self) -> str:
        """Return the last state as text, for a saved notebook whose widgets open empty."""
        if self.last is None:
            return "nothing was shown"
        of_total = "" if self.last.total is None else f" of {self.last.total}"
        return f"{self.last.stage}: {self.last.done}{of_total} {self.last.unit}"
