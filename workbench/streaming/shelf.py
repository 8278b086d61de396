"""A folder of shards that several windows share, in one process or in many of one host.

Beside the shards lies a folder `.window`: a lock that is held for each change, and for each
window a seat, which is a file that tells what it asks for and a lock that it holds as long as it
lives. The system lets go of a lock when its process ends, however that ends; the seat of a dead
window is swept away, unread, by the next who looks. A seat has its space on the disk from the
beginning, so that a window can still tell what it does on a disk that is full. Files whose names
do not begin as those of fetched shards do are never touched. Shards are not synced to the disk,
which takes longer than fetching them over a fast network; instead the folder tells during which
run of the system it was filled, and what is there after another one is doubted. Units: bytes;
seconds.
"""

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from workbench.caching.files import refuse_other, replacing
from workbench.errors import CachingError, StreamingError
from workbench.streaming.retention import Held, Lease, Seat, View

PART = ".part"
_INNER = ".window"
_SHARD = re.compile(r"[0-9a-f]{16}-.+")
_POLL_SECONDS = 0.002
_SEAT_BYTES = 1 << 14
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux


class Shelf:
    """One window's place at a shared folder.

    Attributes:
        folder: Where the shards lie.
    """

    def __init__(self, folder: Path, verifiable: Set[str], *, patience: float) -> None:
        """Take a seat.

        Args:
            folder: Where the shards lie; made when it is missing.
            verifiable: Names of shards that a digest is known of.
            patience: How long to wait for others to let go of the lock, seconds.

        Raises:
            CachingError: Something else is there.
            StreamingError: It cannot be written, or another machine uses it.
        """
        self.folder = folder
        self._inner = folder / _INNER
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._refuse_other()
            self._inner.mkdir(exist_ok=True)
        self._lock = _lock(self._inner / "lock")
        self._patience = patience
        name = uuid.uuid4().hex
        self._seat_path = self._inner / f"{name}.json"
        self._alive = _lock(self._inner / f"{name}.lock")
        self._said = " " * _SEAT_BYTES
        with self.locked():
            self._doubt(verifiable)
            self._alive.acquire(blocking=False)
            self._seat_path.write_text(self._said, encoding="ascii")
            self.tell(Seat())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other windows of the folder from changing it while the block lasts.

        Raises:
            StreamingError: Another holds the lock for too long, or the folder cannot be written.
        """
        with _told(self.folder):
            try:
                self._lock.acquire(timeout=self._patience, poll_interval=_POLL_SECONDS)
            except Timeout as error:
                raise StreamingError(
                    f"{self._inner / 'lock'}: another process has held it for "
                    f"{self._patience:g} s; end that process"
                ) from error
            try:
                yield
            finally:
                self._lock.release()

    def view(self) -> View:
        """Return what lies there and what others ask for; sweep the seats of the dead away."""
        return View(
            files=dict(self._files()),
            others=tuple(self._others()),
            free=shutil.disk_usage(self.folder).free,
        )

    def tell(self, seat: Seat) -> None:
        """Let the other windows know what this one asks for."""
        said = json.dumps(asdict(seat))
        if said != self._said.rstrip():
            with self._seat_path.open("r+b") as place:  # over what is there, under the lock
                place.write(said.encode().ljust(len(self._said)))
            self._said = said.ljust(len(self._said))

    def remove(self, name: str) -> None:
        """Delete a shard, or the part of one."""
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / (name + PART)).unlink(missing_ok=True)

    def leave(self) -> None:
        """Give the seat up; the shards stay."""
        with suppress(StreamingError), self.locked():
            self._forget(self._seat_path)
        self._alive.release()

    def _doubt(self, verifiable: Set[str]) -> None:
        """Take what came before the system last started for unfinished: power may have failed.

        What has a digest is verified before it is used again; all else is deleted.

        Raises:
            StreamingError: Windows of another machine use the folder.
        """
        place, now = self._inner / "boot", _boot()
        if place.exists():
            if place.read_text(encoding="ascii") == now:
                return
            if any(self._others()):
                raise StreamingError(
                    f"{self.folder}: another machine uses it; give each machine its own folder"
                )
        for name, held in dict(self._files()).items():
            if name not in verifiable:
                self.remove(name)
            elif not held.is_part:
                (self.folder / name).rename(self.folder / (name + PART))
        with replacing(place) as scratch:
            scratch.write_text(now, encoding="ascii")

    def _refuse_other(self) -> None:
        try:
            refuse_other(self.folder, _INNER)
        except CachingError:
            if not self._inner.exists():  # another window may have made it while this one looked
                raise

    def _files(self) -> Iterator[tuple[str, Held]]:
        for path in self.folder.iterdir():
            if _SHARD.fullmatch(path.name):
                with suppress(FileNotFoundError):  # a part may be renamed at any moment
                    stat = path.stat()
                    is_part = path.name.endswith(PART)
                    name = path.name.removesuffix(PART)
                    yield name, Held(size=stat.st_size, is_part=is_part, touched=stat.st_mtime)

    def _others(self) -> Iterator[Seat]:
        for path in sorted(self._inner.glob("*.lock")):
            seat = path.with_suffix(".json")
            if seat == self._seat_path:
                continue
            lock = _lock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                yield _seat(json.loads(seat.read_text(encoding="utf-8")))
            else:
                self._forget(seat)
                lock.release()

    def _forget(self, seat: Path) -> None:
        for suffix in (".json", ".lock"):
            seat.with_suffix(suffix).unlink(missing_ok=True)


def _boot() -> str:
    """Return a name of this run of the system."""
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return str(round(psutil.boot_time()))


def _lock(path: Path) -> FileLock:
    """Return a lock that any thread may let go of."""
    return FileLock(path, thread_local=False)


def _seat(said: dict[str, Any]) -> Seat:
    leases = {name: Lease(**lease) for name, lease in said["leases"].items()}
    return Seat(
        coming=tuple(said["coming"]),
        behind=tuple(said["behind"]),
        leases=leases,
        loading=said["loading"],
        failed=said["failed"],
    )


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StreamingError(
            f"{folder}: cannot be used ({error.strerror or error}); make it writable, make room, "
            "or name another place"
        ) from error
