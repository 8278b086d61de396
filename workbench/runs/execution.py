"""What running a notebook gave. Units: seconds are wall-clock seconds."""

from dataclasses import dataclass

from workbench.runs.notebooks import Notebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a notebook stopped.

    Attributes:
        type: The exception's name.
        message: Its text.
        cell: The cell, counted from 1 in the notebook as it is edited; None when no cell ran.
    """

    type: str
    message: str
    cell: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A notebook after its run.

    Attributes:
        notebook: With the outputs up to the end or the failure.
        seconds: How long it took.
        failure: Why it stopped before its end, or None.
    """

    notebook: Notebook
    seconds: float
    failure: Failure | None
