"""How far a gather is, and what is still to come, told as Progress."""

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.progress import Progress, Show
from workbench.speech.plan import Plan
from workbench.speech.state import GatherState, SourceState
from workbench.streaming.source import SourceFile


class Outlook:
    """Counts rows, bytes and hours, and estimates the rows to come.

    Rows of Parquet files are known from their footers: of local files at once, of others when
    they arrive; the rest is estimated from their bytes.
    """

    def __init__(self, plan: Plan, show: Show):
        """Begin to count.

        Args:
            plan: What is read.
            show: Told how far it is.
        """
        self._show = show
        self._begun = time.monotonic()
        self._bytes = 0
        self._lists = [source.list for source in plan.sources.values()]
        self._rows = {f.url: f.rows for files in self._lists for f in files.files}
        others = [s for s in plan.state.sources if s.said not in plan.sources]
        self._others = sum(_met(source, plan.state) for source in others)
        self._before = sum(_met(source, plan.state) for source in plan.state.sources)

    def arrived(self, count: int) -> None:
        """Count bytes that came over the network."""
        self._bytes += count

    def fetched(self, file: SourceFile, path: Path) -> None:
        """Learn how many rows a file has that is here now."""
        if self._rows.get(file.url) is None and path.suffix == ".parquet":
            try:
                self._rows[file.url] = pq.read_metadata(path).num_rows
            except (OSError, pa.ArrowException):
                return  # reading it tells what is wrong

    def total(self) -> int | None:
        """Return how many rows there are in all, or None where it cannot be guessed."""
        files = [file for files in self._lists for file in files.files]
        known = [(file.size, rows) for file in files if (rows := self._rows[file.url]) is not None]
        rows = sum(rows for _, rows in known)
        if len(known) == len(files):
            return self._others + rows
        size = sum(size for size, _ in known)
        if size <= 0 or any(file.size < 0 for file in files):
            return None
        return self._others + round(rows * sum(file.size for file in files) / size)

    def tell(self, state: GatherState, *, is_last: bool = False) -> None:
        """Show how far a state is.

        Args:
            state: The state.
            is_last: Whether nothing is to come.
        """
        done = sum(_met(source, state) for source in state.sources)
        total = self.total()
        if is_last or (total is not None and total < done):
            total = done if is_last else None
        self._show(
            Progress(
                stage="gather",
                done=done,
                total=total,
                unit="rows",
                seconds=time.monotonic() - self._begun,
                fresh=done - self._before,
                numbers={
                    "kept": state.rows,
                    "skipped": sum(source.read - source.kept for source in state.sources),
                    "shards": state.shards,
                    "hours": round(sum(s.seconds for s in state.sources) / 3600, 3),
                    "MB fetched": round(self._bytes / 1e6, 1),
                },
            )
        )


def _met(source: SourceState, state: GatherState) -> int:
    """Return how many rows were read, with those that an older program had gathered."""
    return source.read + state.older_rows.get(source.name, 0) - source.to_pass
