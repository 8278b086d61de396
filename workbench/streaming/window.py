"""Shards that arrive just ahead of their consumer and leave behind it, within a bounded folder.

    with ShardWindow(source, folder, shard_sequence(len(source.files)), options) as window:
        for index, path in window.shards():
            ...

Several connections bring the shards in the background; a place is taken before a shard begins to
come, so that files and parts together never exceed the limits, over all windows of all processes
that share the folder. Each shard is fetched once for all of them. A consumer leases a shard, and
nobody deletes it meanwhile; a file that is the user's own is used where it lies. What a process
held is free when it dies. A window belongs to the process that opened it: others, as the workers
of a loader, open their own on the same folder. Units: bytes; seconds.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from workbench.errors import OptionsError, SourceError, StreamingError
from workbench.streaming.course import Course
from workbench.streaming.feed import Feed, Wants
from workbench.streaming.options import WindowOptions
from workbench.streaming.pace import Pace
from workbench.streaming.retention import NO_LIMIT
from workbench.streaming.source import UNKNOWN, Source, SourceFile
from workbench.streaming.transfer import Transfer, is_local

logger = logging.getLogger(__name__)

ShardState = Literal["absent", "fetching", "ready", "in use", "gone", "skipped", "broken"]

_HORIZON = 64  # shards looked ahead where their number has no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowStatus:
    """What a window is at.

    Attributes:
        states: Of each shard of the source.
        position: Entries of the sequence that the consumer has taken.
        current: Index of the shard it took last, or None.
        window: Shards that are to be ahead now.
        buffer: Shards ahead that are ready.
        fetched: Shards that this window brought.
        fetched_bytes: Bytes that arrived for it.
        files: Files in the folder, unfinished ones counted in.
        size: Their bytes.
        free_bytes: Free space of the disk.
        consume_rate: Shards the consumer uses a second when it does not wait; 0 is not known.
        fetch_rate: Shards one connection brings a second; 0 is not known.
        load_seconds: How long the slowest shards take to come, seconds.
        wait_seconds: How long the consumer has waited, in all.
        skipped: Shards that were skipped, and why.
    """

    states: tuple[ShardState, ...]
    position: int = 0
    current: int | None = None
    window: int = 0
    buffer: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    files: int = 0
    size: int = 0
    free_bytes: int = 0
    consume_rate: float = 0.0
    fetch_rate: float = 0.0
    load_seconds: float = 0.0
    wait_seconds: float = 0.0
    skipped: Mapping[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        at = "" if self.current is None else f", at shard {self.current}"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return (
            f"{self.fetched} shards fetched, {self.buffer} of {self.window} ahead ready{at}, "
            f"{self.files} files of {self.size:,} bytes, waited {self.wait_seconds:.1f} s{skipped}"
        )


class ShardWindow:
    """The shards around a consumer's place in its sequence; a context manager.

    Attributes:
        options: How much is here at a time.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        sequence: Iterable[int] | None = None,
        options: WindowOptions | None = None,
    ) -> None:
        """Make ready; nothing is fetched before the block begins.

        Args:
            source: The shards.
            folder: Where they come to; nothing else may be there. Windows may share it.
            sequence: Indices of shards as the consumer will want them, beginning anywhere, through
                any number of epochs, also without end; the order of the source, once, when None.
            options: How much is here at a time.

        Raises:
            OptionsError: One shard is larger than the folder may be, or its size is not known.
        """
        self.options = options or WindowOptions()
        self._files = source.files
        place = Transfer(folder).place
        self._names = [None if is_local(f.url) else place(f).name for f in self._files]
        named = zip(self._names, self._files, strict=True)
        remote = {name: file for name, file in named if name is not None}
        limits = self.options.limits
        _refuse_too_large(remote.values(), limits.size)
        shards = len(self._files)
        self._course = Course(
            range(shards) if sequence is None else sequence,
            shards,
            horizon=max(min(limits.shards, _HORIZON), self.options.ahead),
            behind=self.options.behind,
        )
        self._pace = Pace(self.options.ahead, adapts=self.options.adapt)
        self._feed = Feed(remote, folder, source.headers, self.options, self._pace.loaded)
        self._has_remote = bool(remote)
        self._in_use: dict[int, int] = {}
        self._used: set[int] = set()
        self._lost: dict[int, str] = {}
        self._granted: float | None = None
        self._waited = 0.0

    def __enter__(self) -> Self:
        """Begin to fetch, and wait for the first shards.

        Raises:
            AccessError: The server wants another token.
            CachingError: The folder holds something else.
            SourceError: A shard stays broken.
            StreamingError: There is no room, or the shards do not come in time.
        """
        if self._has_remote:
            self._feed.begin()
        try:
            self._want()
            initial = min(self.options.initial, self.options.limits.shards)
            for index in self._course.ahead()[:initial]:
                self._await_initial(index)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop fetching; what has come stays, also in part."""
        self.close()

    def close(self) -> None:
        """Stop fetching, wake who waits, and give the place up; may be called again."""
        self._feed.close()

    @contextmanager
    def lease(self, index: int) -> Iterator[Path | None]:
        """Give the path of a shard, waited for; while the block lasts it does not leave.

        The consumer's place in its sequence moves behind this shard. One that is not among the
        next in the sequence is fetched all the same, only not ahead.

        Args:
            index: Of the shard in the source.

        Yields:
            The path; None where the shard stays broken and the policy is to skip it.

        Raises:
            AccessError: The server wants another token.
            SourceError: The shard stays broken, or another does and no more is fetched.
            StreamingError: There is no room, it did not come in time, or the window is not open.
        """
        self._feed.check_process()
        begun = time.monotonic()
        with self._feed.changed:
            self._take(index, begun)
        try:
            path = self._awaited(index, begun + self.options.wait_seconds)
            with self._feed.changed:
                self._granted = time.monotonic()
                self._waited += self._granted - begun
            yield path
        finally:
            with self._feed.changed:
                self._give_back(index)

    def shards(self) -> Iterator[tuple[int, Path]]:
        """Give index and path of each shard of the sequence, leased until the next is asked for.

        For one thread; several share a window by `lease`.

        Raises:
            StreamingError: As `lease` does.
        """
        while (index := self._course.coming()) is not None:
            with self.lease(index) as path:
                if path is not None:
                    yield index, path

    def status(self) -> WindowStatus:
        """Return what the window is at."""
        self._feed.check_process()
        with self._feed.changed:
            self._feed.look()
            states = tuple(self._state(index) for index in range(len(self._files)))
            ahead = self._course.ahead()[: self._pace.window]
            held = self._feed.view.files.values()
            return WindowStatus(
                states=states,
                position=self._course.position,
                current=self._course.current,
                window=self._pace.window,
                buffer=sum(states[index] == "ready" for index in ahead),
                fetched=self._feed.fetched,
                fetched_bytes=self._feed.fetched_bytes,
                files=len(held),
                size=sum(file.size for file in held),
                free_bytes=self._feed.view.free,
                consume_rate=self._pace.consume_rate,
                fetch_rate=self._pace.fetch_rate,
                load_seconds=self._pace.load_seconds,
                wait_seconds=self._waited,
                skipped=dict(self._lost),
            )

    def _take(self, index: int, now: float) -> None:
        """Move to a shard and hold it.

        Raises:
            StreamingError: There is no such shard, or the window is not open.
        """
        if not 0 <= index < len(self._files):
            raise StreamingError(f"shard {index}: there are {len(self._files)}, counted from 0")
        name = self._names[index]
        if name is not None:
            self._feed.check()
        if self._granted is not None:
            self._pace.used(now - self._granted)
            self._granted = None
        if not self._course.take(index):
            logger.debug("shard %d is not among the next of the sequence", index)
        self._in_use[index] = self._in_use.get(index, 0) + 1
        self._want()
        if name is not None:
            self._feed.hold(name)

    def _give_back(self, index: int) -> None:
        self._in_use[index] -= 1
        if not self._in_use[index]:
            del self._in_use[index]
        self._used.add(index)
        name = self._names[index]
        if name is not None:
            self._feed.let_go(name)

    def _want(self) -> None:
        """Tell the feed where the consumer stands."""
        files = self._feed.view.files  # what has left already need not leave
        self._course.passed = {i for i in self._course.passed if self._names[i] in files}
        self._feed.want(
            Wants(
                coming=self._named(self._course.ahead()),
                window=self._pace.window,
                behind=self._named(self._course.behind()),
                passed=frozenset(self._named(self._course.passed)),
            )
        )

    def _named(self, indices: Iterable[int]) -> tuple[str, ...]:
        names = (self._names[index] for index in indices)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def _awaited(self, index: int, end: float) -> Path | None:
        """Return where a shard that is held is once it is here, or None where it is skipped.

        Raises:
            StreamingError: It cannot come, or does not in time.
        """
        name, file = self._names[index], self._files[index]
        if name is None:
            path = Path(file.url)
            if path.exists():
                return path
            error = f"{file.url}: is not there any more; put it back or give the source again"
            if self.options.policy == "raise":
                raise SourceError(error)
            logger.warning("%s; the shard is skipped", error)
            self._lost[index] = error
            return None
        path_or_none = self._feed.awaited(name, end)
        if path_or_none is None:
            self._lost[index] = str(self._feed.failed[name])
        return path_or_none

    def _await_initial(self, index: int) -> None:
        name = self._names[index]
        if name is not None:
            self._feed.hold(name)
            try:
                self._awaited(index, time.monotonic() + self.options.wait_seconds)
            finally:
                self._feed.let_go(name)

    def _state(self, index: int) -> ShardState:
        name = self._names[index]
        if index in self._lost or name in self._feed.failed:
            return "skipped" if self.options.policy == "skip" else "broken"
        if name is not None and not self._feed.is_here(name):
            if self._feed.is_coming(name):
                return "fetching"
            return "gone" if index in self._used else "absent"
        return "in use" if index in self._in_use else "ready"


def _refuse_too_large(files: Iterable[SourceFile], limit: int) -> None:
    """Refuse a limit that one shard would exceed.

    Raises:
        OptionsError: One does, or tells no size.
    """
    for file in files if limit < NO_LIMIT else ():
        if file.size == UNKNOWN:
            raise OptionsError(f"max_bytes: {file.url} tells no size; limit by max_shards instead")
        if file.size > limit:
            raise OptionsError(
                f"max_bytes: {limit:,} is less than the {file.size:,} of {file.url}; raise it"
            )
