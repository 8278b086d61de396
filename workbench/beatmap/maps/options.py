"""Options of reading maps into a store; the command line and the notebooks follow them."""

from dataclasses import dataclass
from typing import Any

from workbench import options
from workbench.streaming.workers import engine_mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """How folders of maps become a store.

    Attributes:
        workers: How many maps are read at the same time; 1 reads them in this process, but for a
            cluster [1..].
        engine: What the workers are: `threads`, though reading holds Python's lock, `processes` or
            `dask:ADDRESS`, the scheduler of a cluster whose machines see the same files; the store
            is the same with any.
        part_songs: Songs after which files end and the store is saved; what is killed loses the
            work since then at most [1..].
        file_mb: Files end before they are longer than this, MB; a song stays whole [1..].
        fresh: Delete what the store holds, and begin anew.
        progress: Show a progress line on the terminal.
    """

    workers: int = 1
    engine: str = "processes"
    part_songs: int = 500
    file_mb: int = 1000
    fresh: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        options.refuse(engine_mistakes("engine", self.engine))

    def settings(self) -> dict[str, Any]:
        """Return what the bytes of a store depend on."""
        return {"part_songs": self.part_songs, "file_mb": self.file_mb}
