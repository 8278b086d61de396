"""Threads that fetch the files they are given, each over a connection of its own."""

import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from workbench.errors import StreamingError
from workbench.streaming.options import WindowOptions
from workbench.streaming.source import UNKNOWN, SourceFile
from workbench.streaming.transfer import StoppedError, Transfer

_STOP_SECONDS = 2.0  # that the end waits for a server that is silent

Came = Callable[[SourceFile, float, StreamingError | None], None]


class Connections:
    """Threads that fetch files to a folder, and a further one beside them."""

    def __init__(
        self,
        folder: Path,
        headers: Mapping[str, str],
        options: WindowOptions,
        *,
        came: Came,
        broke: Callable[[BaseException, SourceFile | None], None],
        ended: Callable[[], None],
    ) -> None:
        """Make ready; nothing runs yet.

        Args:
            folder: Where the files come to.
            headers: What the server wants to be told with each request.
            options: How many connections, and how patient they are.
            came: Called in a thread of these with each file, how long it took in seconds, and the
                error where it did not come; not for one that was stopped.
            broke: Called with what ends a thread before its time, and the file it was at.
            ended: Called when the last thread ends.
        """
        self._folder = folder
        self._min_free = options.min_free_bytes
        self._came = came
        self._broke = broke
        self._ended = ended
        self._bytes = [0] * options.connections
        self._transfers = [
            Transfer(
                folder,
                options.retries,
                headers,
                partial(self._arrived, number),
                is_lasting=False,
            )
            for number in range(options.connections)
        ]
        self._present: list[SourceFile | None] = [None] * options.connections
        self._claims: queue.SimpleQueue[SourceFile | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._at_work = 0

    @property
    def fetched_bytes(self) -> int:
        """Bytes that arrived."""
        return sum(self._bytes)

    @property
    def at_work(self) -> int:
        """How many threads have not ended."""
        return self._at_work

    def begin(self, beside: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            beside: What the further thread runs.
        """
        numbers = range(len(self._transfers))
        works = [beside, *(partial(self._connect, number) for number in numbers)]
        self._at_work = len(works)
        for work, number in zip(works, (None, *numbers), strict=True):
            name = "window" if number is None else f"window-{number}"
            thread = threading.Thread(target=self._run, args=(work, number), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def fetch(self, file: SourceFile) -> None:
        """Let a file come, as soon as a connection is free."""
        self._claims.put(file)

    def stop(self) -> None:
        """End what is being fetched; a server that is silent is waited for a little only."""
        for transfer in self._transfers:
            transfer.stop()
            self._claims.put(None)
        end = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0.0))

    def _run(self, work: Callable[[], None], number: int | None) -> None:
        try:
            work()
        except BaseException as error:  # whatever it is, who waits must know
            self._broke(error, None if number is None else self._present[number])
        finally:
            with self._lock:
                self._at_work -= 1
                is_last = self._at_work == 0
            if is_last:
                self._ended()

    def _connect(self, number: int) -> None:
        with self._transfers[number] as transfer:
            while (file := self._claims.get()) is not None:
                self._present[number] = file
                begun, error = time.monotonic(), None
                try:
                    transfer.fetch(file)
                except StoppedError:
                    return
                except StreamingError as caught:
                    error = caught
                self._present[number] = None
                self._came(file, time.monotonic() - begun, error)

    def _arrived(self, number: int, count: int) -> None:
        """Count what arrived; where nobody knew how much it will be, guard the disk."""
        self._bytes[number] += count
        file = self._present[number]
        if file is not None and file.size == UNKNOWN:
            free = shutil.disk_usage(self._folder).free
            if free < self._min_free:
                raise StreamingError(
                    f"{self._folder}: {free:,} bytes of the disk are free and {self._min_free:,} "
                    "are to stay so (min_free_bytes); make room"
                )
