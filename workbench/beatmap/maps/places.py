"""Where maps lie on this machine: folders and zips below a root, in one order.

A folder is a map's when it holds an Info, in any case (`info.dat` is as common as `Info.dat` on
systems where case counts); what lies below it is its own. Names that begin with a dot are passed
over, as are links to folders. A zip is one map; it is not opened before it is read.
"""

import io
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from workbench.beatmap.maps.archives import LIMITS, ReadLimits, open_zip
from workbench.beatmap.maps.level import MapFiles
from workbench.beatmap.maps.names import INFO_NAMES, matching
from workbench.errors import BeatmapError, SourceError

SERVICE_NAME = "_beatsaver_meta.json"  # what the service says of a map that was unpacked
ORIGIN_NAME = "_origin.json"  # what is known of a map of other origin

_COMMON_NAME = "info.json"  # of an Info of v1, and of much else
_OF_OLD_INFO = b'"difficultyLevels"'
_MOST_INFO = 16 * 2**20  # bytes that are looked through for that key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a map came from before it lay here.

    Attributes:
        source: `folder`, `zip`, `service`, `official` or `chart`.
        source_id: The source's own name for it, or none.
        score: 0 to 1, of the service; None where nobody rated it, which is no score at all.
        upvotes: Of the service, or None.
        downvotes: Of the service, or None.
    """

    source: str
    source_id: str = ""
    score: float | None = None
    upvotes: int | None = None
    downvotes: int | None = None


class FolderFiles:
    """The files of a folder, as `MapFiles`."""

    def __init__(self, path: Path, *, place: str = "", limits: ReadLimits = LIMITS) -> None:
        """List them.

        Args:
            path: The folder.
            place: What messages call it; its path when empty.
            limits: What a file may hold.

        Raises:
            BeatmapError: The folder cannot be read.
        """
        self.place = place or printable(str(path))
        self._path = path
        self._limits = limits
        try:
            self._names = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        except OSError as error:
            raise _io_error(self.place, error) from error

    def names(self) -> list[str]:
        """Return the names of all files, sorted, without folders."""
        return list(self._names)

    def path(self, name: str) -> Path:
        """Return where a file is.

        Raises:
            BeatmapError: There is none of that name in this very folder.
        """
        return self._path / matching(name, self._names, self.place)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            BeatmapError: There is none of that name, or it cannot be read or is too large.
        """
        path = self.path(name)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise BeatmapError(f"{self.place}: {name!r} is no file", "missing_file")
            if status.st_size > self._limits.file_size:
                raise BeatmapError(
                    f"{self.place}: {name!r} is {status.st_size:,} bytes, over "
                    f"{self._limits.file_size:,}",
                    "too_large",
                )
            return path.read_bytes()
        except OSError as error:
            raise _io_error(f"{self.place}: {name!r}", error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one map is.

    Attributes:
        name: Its path below the root, with slashes, in signs that can be printed; `.` at the root.
        path: The folder or zip.
        kind: Which of the two it is.
    """

    name: str
    path: Path
    kind: Literal["folder", "zip"]

    @contextmanager
    def open(self, limits: ReadLimits = LIMITS) -> Iterator[MapFiles]:
        """Give the files of the map.

        Raises:
            BeatmapError: They cannot be read, or the zip is refused; `kind` says why.
        """
        if self.kind == "folder":
            yield FolderFiles(self.path, place=self.name, limits=limits)
        else:
            with open_zip(self.path, place=self.name, limits=limits) as files:
                yield files

    def origin(self) -> Origin:
        """Return what is known of where the map came from; it is no error to know nothing."""
        beside = [self.path / SERVICE_NAME, self.path / ORIGIN_NAME]
        for path in [self.path.with_suffix(".json")] if self.kind == "zip" else beside:
            if found := _origin(path):
                return found
        return Origin(source=self.kind)


@contextmanager
def opened_audio(files: MapFiles, name: str) -> Iterator[BinaryIO]:
    """Give the audio of a map as an open file: from a folder as it lies there, else from memory.

    Args:
        files: The map's.
        name: As the level's `audio`.

    Raises:
        BeatmapError: There is none of that name, or it cannot be read.
    """
    if not isinstance(files, FolderFiles):
        yield io.BytesIO(files.read(name))
        return
    try:
        content = files.path(name).open("rb")
    except OSError as error:
        raise _io_error(f"{files.place}: {name!r}", error) from error
    with content:
        yield content


def map_places(root: Path) -> list[Place]:
    """Return the maps of a folder, at any depth, in the order of their names.

    The order is that of the bytes of the names, so it is the same on every machine.

    Args:
        root: A folder of maps, one map's folder, or a zip.

    Raises:
        SourceError: It is not there.
    """
    return found_places(root, INFO_NAMES)


def found_places(root: Path, marks: tuple[str, ...]) -> list[Place]:
    """Return the folders that hold a file of some name, and the zips, in the order of their names.

    Args:
        root: A folder, or a zip.
        marks: The names, in lower case; they are found in any.

    Raises:
        SourceError: It is not there.
    """
    if _is_zip(root.name) and root.is_file():
        return [Place(name=printable(root.name), path=root, kind="zip")]
    if not root.is_dir():
        raise SourceError(f"{root}: is no folder of maps and no zip; check the path")
    found: list[Place] = []
    for folder, below, names in os.walk(root, onerror=_pass_over):
        path = Path(folder)
        if _is_marked(path, names, marks, is_leaf=not below and not any(map(_is_zip, names))):
            below.clear()
            found.append(_place(path, root, "folder"))
            continue
        below[:] = [name for name in below if not name.startswith(".")]
        zips = (name for name in names if _is_zip(name))
        found += (_place(path / name, root, "zip") for name in zips)
    return sorted(found, key=lambda place: os.fsencode(place.path.relative_to(root).as_posix()))


def _is_marked(path: Path, names: list[str], marks: tuple[str, ...], *, is_leaf: bool) -> bool:
    """Return whether a folder is a map's; many programs write an info.json above their maps."""
    found = [name for name in names if name.casefold() in marks]
    if is_leaf or any(name.casefold() != _COMMON_NAME for name in found):
        return bool(found)
    return any(_holds(path / name, _OF_OLD_INFO) for name in found)


def _holds(path: Path, key: bytes) -> bool:
    with suppress(OSError), path.open("rb") as content:
        return key in content.read(_MOST_INFO)
    return True  # it is told where the map is read


def origin_of(document: Mapping[str, Any]) -> Origin:
    """Return what a document of the map service says of a map.

    Args:
        document: One of the `docs` of a search; what is missing or odd in it counts as untold.
    """
    stats = document.get("stats")
    stats = stats if isinstance(stats, Mapping) else {}
    score, name = stats.get("score"), document.get("id")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        score = None  # not 0 nor 1: nobody rated it
    return Origin(
        source="service",
        source_id=name if isinstance(name, str) else "",
        score=score,
        upvotes=_count(stats.get("upvotes")),
        downvotes=_count(stats.get("downvotes")),
    )


def printable(name: str) -> str:
    """Return a name as text that can be written anywhere, what is no text in it spelt out."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _place(path: Path, root: Path, kind: Literal["folder", "zip"]) -> Place:
    return Place(name=printable(path.relative_to(root).as_posix()), path=path, kind=kind)


def _is_zip(name: str) -> bool:
    return name.casefold().endswith(".zip") and not name.startswith(".")


def _origin(path: Path) -> Origin | None:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    if path.name == ORIGIN_NAME:
        source, name = document.get("source"), document.get("source_id")
        if isinstance(source, str) and isinstance(name, str):
            return Origin(source=source, source_id=name)
        return None
    return origin_of(document) if "versions" in document else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pass_over(error: OSError) -> None:
    logger.warning("%s: passed over (%s)", error.filename, error.strerror)


def _io_error(told: str, error: OSError) -> BeatmapError:
    return BeatmapError(f"{told}: {error.strerror or error}", "io_error")
