"""Connections that bring what is wanted to a shared folder, and wake those who wait for it.

Whoever changes something (asks for a shard, lets one go, has brought one) looks at the folder,
under its lock, and decides what leaves and what comes; who waits looks again and again, since
other processes cannot wake it. Nobody waits for what cannot come: a shard that stays broken, a
full disk, or a thread that ended wakes them with the cause. Units: bytes; seconds.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.connections import Connections
from workbench.streaming.options import WindowOptions
from workbench.streaming.retention import Decision, Demand, Lease, Seat, View, decide
from workbench.streaming.shelf import PART, Shelf
from workbench.streaming.source import UNKNOWN, SourceFile
from workbench.streaming.transfer import has_digest

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.02  # between looks of one who waits
_KEEP_SECONDS = 0.25  # between looks where nobody waits
_RECOVERED = 1.1  # times the warning level must be free before it warns again


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a consumer wants, beside what it leases.

    Attributes:
        coming: Shards it will want, the soonest first.
        window: How many of them are to be here.
        behind: Shards to be kept behind it, the newest first.
        passed: Shards it has used and that are not to be kept for it.
    """

    coming: tuple[str, ...] = ()
    window: int = 0
    behind: tuple[str, ...] = ()
    passed: frozenset[str] = frozenset()


class Feed:
    """Brings shards to a folder for one consumer; from `begin` to `close`.

    Attributes:
        changed: Held while anything here is read or changed; notified of what changes.
        view: The folder at the last look.
        loading: Shards being fetched here, and their bytes or UNKNOWN.
        failed: Shards that stay broken, and the error of each.
        fetched: How many were brought.
    """

    def __init__(
        self,
        files: Mapping[str, SourceFile],
        folder: Path,
        headers: Mapping[str, str],
        options: WindowOptions,
        loaded: Callable[[float], None],
    ) -> None:
        """Make ready; nothing is fetched yet.

        Args:
            files: The shards, by the names they have in the folder.
            folder: Where they come to.
            headers: What the server wants to be told with each request.
            options: How much is here at a time.
            loaded: Called with how long each shard took to come, seconds.
        """
        self.changed = threading.Condition(threading.RLock())
        self.view = View(files={})
        self.loading: dict[str, int] = {}
        self.failed: dict[str, StreamingError] = {}
        self.fetched = 0
        self._files = files
        self._folder = folder
        self._options = options
        self._limits = options.limits
        self._loaded = loaded
        self._wants = Wants()
        self._leases: dict[str, Lease] = {}
        self._holders: dict[str, int] = {}
        self._put_off: set[str] = set()  # came to a full disk before anybody waited for them
        self._least: dict[str, int] = {}  # bytes that a shard is known to need
        self._refusals: dict[str, int] = {}  # how often the disk had no room, though waited for
        self._hopeless: str | None = None
        self._fault: StreamingError | None = None  # nothing more is begun
        self._broken: StreamingError | None = None  # nothing more comes
        self._closing = threading.Event()
        self._has_warned = False
        self._pid = os.getpid()
        self._shelf: Shelf | None = None
        self._names = {file: name for name, file in files.items()}
        self._connections = Connections(
            folder, headers, options, came=self._came, broke=self._break, ended=self._leave
        )

    @property
    def fetched_bytes(self) -> int:
        """Bytes that arrived."""
        return self._connections.fetched_bytes

    def begin(self) -> None:
        """Take a place at the folder and begin to work.

        Raises:
            CachingError: The folder holds something else.
            StreamingError: It cannot be written, or this was open before.
        """
        if self._closing.is_set():
            self.check()
        verifiable = {name for name, file in self._files.items() if has_digest(file)}
        self._shelf = Shelf(self._folder, verifiable, patience=self._options.wait_seconds)
        self._connections.begin(self._keep)

    def close(self) -> None:
        """Stop, wake who waits, and give the place up; what has come stays, also in part.

        A connection that its server keeps waiting is left behind; until it ends, other windows
        see that it may still write its part.
        """
        if os.getpid() != self._pid:  # a forked child has neither the threads nor the place
            return
        with self.changed:
            self._closing.set()
            self.changed.notify_all()
        self._connections.stop()
        with self.changed:
            if self._shelf and self._connections.at_work:
                with self._shelf.locked():
                    self._shelf.tell(Seat(loading=self.loading))

    def check(self) -> None:
        """Refuse to be used where nothing would ever come.

        Raises:
            StreamingError: Not begun, closed, or begun in another process.
        """
        self.check_process()
        if self._shelf is None or self._closing.is_set():
            raise StreamingError(
                f"{self._folder}: the window is not open; use one within its own `with`"
            )

    def check_process(self) -> None:
        """Refuse another process, where a lock may be held for ever by a thread that is not there.

        Raises:
            StreamingError: This is a forked child.
        """
        if os.getpid() != self._pid:
            raise StreamingError(
                f"{self._folder}: this window was opened by process {self._pid}; open another on "
                "the same folder in each process"
            )

    def want(self, wants: Wants) -> None:
        """Set what is wanted from now on; seen at the next look."""
        with self.changed:
            self._wants = wants
            self._put_off.clear()

    def hold(self, name: str) -> None:
        """Keep a shard from leaving, and have it come if it is not here."""
        with self.changed:
            self._holders[name] = self._holders.get(name, 0) + 1
            size = self._files[name].size
            self._leases.setdefault(name, Lease(since=time.monotonic(), size=size))
            self._try_look()

    def let_go(self, name: str) -> None:
        """Take back one `hold`."""
        with self.changed:
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._holders[name], self._leases[name]
            self._put_off.clear()
            self._try_look()

    def awaited(self, name: str, end: float) -> Path | None:
        """Return where a shard is, once it is here; it must be held.

        Args:
            name: Of the shard.
            end: When to wait no longer, in the monotonic clock.

        Returns:
            Its path, or None where it stays broken and such shards are skipped.

        Raises:
            StreamingError: It cannot come, or does not in time.
        """
        with self.changed:
            while not self.is_here(name):
                self.check()
                if self._is_skipped(name):
                    return None
                left = end - time.monotonic()
                if left <= 0:
                    raise self._late(name)
                if not self.changed.wait(min(left, _POLL_SECONDS)):
                    self._try_look()
        return self._folder / name

    def is_here(self, name: str) -> bool:
        """Return whether a shard was here, whole, at the last look."""
        return name in self.view.files and not self.view.files[name].is_part

    def is_coming(self, name: str) -> bool:
        """Return whether somebody fetched a shard at the last look."""
        return name in self.loading or any(name in seat.loading for seat in self.view.others)

    def look(self) -> None:
        """Look at the folder, delete what leaves it, begin what comes, and wake who waits.

        Raises:
            StreamingError: The folder cannot be used.
        """
        with self.changed:
            if self._shelf is None or self._closing.is_set():
                return
            with self._shelf.locked():
                view = self._shelf.view()
                self._adopt_failures(view)
                decision = self._decided(view)
                for name in decision.leave:
                    self._shelf.remove(name)
                for name in decision.come:
                    self.loading[name] = self._size(name)
                self._shelf.tell(self._seat())
            left = {name: held for name, held in view.files.items() if name not in decision.leave}
            self.view = replace(view, files=left)
            self._hopeless = decision.hopeless
            for name in decision.come:
                self._connections.fetch(self._files[name])
            self._warn(view.free)
            self.changed.notify_all()

    def _try_look(self) -> None:
        try:
            self.look()
        except StreamingError as error:
            self._break(error)

    def _seat(self) -> Seat:
        failed = {n: str(e) for n, e in self.failed.items() if isinstance(e, SourceError)}
        coming = tuple(name for name in self._wants.coming if name not in self.failed)
        return Seat(
            coming=coming,
            behind=self._wants.behind,
            leases=self._leases,
            loading=self.loading,
            failed=failed,
        )

    def _decided(self, view: View) -> Decision:
        seat = self._seat()
        mine = replace(seat, coming=seat.coming[: self._wants.window])
        return decide(
            view,
            mine,
            self._demands(view, mine),
            self._limits,
            passed=self._wants.passed,
            now=time.monotonic(),
        )

    def _demands(self, view: View, seat: Seat) -> Sequence[Demand]:
        """Return what is to come here, the most urgent first; no more than can begin."""
        if self._fault or self._broken:
            return []
        there = {name for name, held in view.files.items() if not held.is_part}
        there.update(self.loading, *(other.loading for other in view.others), self.failed)
        waiting = sorted((lease.since, name) for name, lease in seat.leases.items())
        demands = [
            Demand(name=name, size=self._size(name), since=since)
            for since, name in waiting
            if name not in there
        ]
        there.update(seat.leases, self._put_off)
        demands += [
            Demand(name=name, size=self._size(name)) for name in seat.coming if name not in there
        ]
        return demands[: self._options.connections - len(self.loading)]

    def _adopt_failures(self, view: View) -> None:
        """Take over what others could not get, rather than try it again, when it is its turn."""
        failed = {name: why for seat in view.others for name, why in seat.failed.items()}
        coming = self._wants.coming[: self._wants.window] if failed else ()
        for name in (*self._leases, *coming):
            if name in failed and name not in self.failed:
                self._fail(name, SourceError(failed[name]))
            elif name not in self._leases and name not in view.files:
                return

    def _keep(self) -> None:
        while not self._closing.wait(_KEEP_SECONDS):
            self.look()

    def _came(self, file: SourceFile, seconds: float, error: StreamingError | None) -> None:
        name = self._names[file]
        with self.changed:
            if error is None:
                self.fetched += 1
                self._loaded(seconds)
            elif not self._closing.is_set():
                self._fail(name, error)
            del self.loading[name]
            self.look()

    def _fail(self, name: str, error: StreamingError) -> None:
        is_of_shard = isinstance(error, SourceError)
        if not is_of_shard and not isinstance(error, AccessError) and self._may_fit(name):
            return
        self.failed[name] = error
        if is_of_shard and self._options.policy == "skip":
            logger.warning("%s; the shard is skipped", error)
            self._drop_part(name)
            return
        logger.error("%s", error)
        self._fault = self._fault or error

    def _may_fit(self, name: str) -> bool:
        """Take back a shard that the disk had no room for, and return whether to try it again.

        It is known now to need more than has come of it, so that others leave for it.
        """
        came = self._came_so_far(name)
        self._least[name] = max(self._least.get(name, 0), came + 1)
        self._drop_part(name)
        if name not in self._leases:
            self._put_off.add(name)
            return True
        self._refusals[name] = self._refusals.get(name, 0) + 1
        return self._refusals[name] < self._options.attempts

    def _came_so_far(self, name: str) -> int:
        part = self._folder / (name + PART)
        return part.stat().st_size if part.exists() else 0

    def _size(self, name: str) -> int:
        """Return what a shard needs, as far as that is known."""
        return max(self._files[name].size, self._least.get(name, UNKNOWN))

    def _drop_part(self, name: str) -> None:
        if self._shelf and name in self.loading:
            self._shelf.remove(name)

    def _is_skipped(self, name: str) -> bool:
        """Return whether a shard stays broken and is skipped.

        Raises:
            StreamingError: It cannot come, or nothing can.
        """
        error = self.failed.get(name)
        if isinstance(error, SourceError) and self._options.policy == "skip":
            return True
        error = error or self._broken
        if error is None and not self.is_coming(name):
            error = self._fault or self._no_room(name)
        if error is not None:
            raise type(error)(str(error)) from error
        return False

    def _no_room(self, name: str) -> StreamingError | None:
        if name != self._hopeless:
            return None
        return StreamingError(
            f"{self._folder}: {self.view.free:,} bytes of the disk are free, "
            f"{self._limits.min_free:,} are to stay so (min_free_bytes), and "
            f"{self._files[name].url} needs {self._size(name):,}; make room, then "
            "the same command goes on where it stopped"
        )

    def _late(self, name: str) -> StreamingError:
        if name in self.loading:
            why = "it is being fetched; wait longer (wait_seconds)"
        elif self.is_coming(name):
            why = "another process fetches it; see whether that goes on"
        else:
            why = (
                f"the {len(self.view.files)} files in {self._folder} are all in use; end a lease "
                "before the next begins, or allow more (max_shards, max_bytes)"
            )
        return StreamingError(f"{self._files[name].url}: did not come in time: {why}")

    def _leave(self) -> None:
        with self.changed:
            if self._shelf:
                self._shelf.leave()

    def _break(self, error: BaseException, file: SourceFile | None = None) -> None:
        """Let everybody know that nothing more will come here, nor a file that was under way."""
        if not isinstance(error, StreamingError):
            told = StreamingError(
                f"{self._folder}: a thread of the window ended ({type(error).__name__}: {error}); "
                "the same command goes on where it stopped"
            )
            told.__cause__ = error
            error = told
        with self.changed:
            logger.error("%s", error)
            self._broken = self._broken or error
            self.changed.notify_all()
            if file is not None:
                self.loading.pop(self._names[file], None)
                with suppress(StreamingError):  # it is told already
                    self.look()

    def _warn(self, free: int) -> None:
        level = self._options.warn_free_bytes
        if free < level and not self._has_warned:
            logger.warning(
                "%s: %s bytes of the disk are free; make room before it is %s",
                self._folder,
                f"{free:,}",
                f"{self._limits.min_free:,}",
            )
        self._has_warned = free < level * (_RECOVERED if self._has_warned else 1)
