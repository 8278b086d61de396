"""Zips of maps, read without trusting them; nothing is ever unpacked onto the disk.

What the list of a zip says is checked before anything is read; sizes and ratios are checked again
while bytes are decompressed, since a list may lie. Units: sizes in bytes; a ratio is bytes out by
bytes in. Source: APPNOTE.TXT 6.3.10 (PKWARE).

What is refused, by the `kind` of the error:
    - `bad_zip`: no zip, cut off, a wrong checksum, bytes missing, or entries that share bytes.
    - `absolute_path`, `parent_path`, `drive_letter`, `bad_name`: names that lead elsewhere.
    - `link`: what is neither a file nor a folder. `duplicate_name`: two files of one name.
    - `encrypted`; `bad_method`: neither stored nor deflated, as games read no other.
    - `too_many_files`, `too_large`, `bad_ratio`: more than the limits allow.
    - `no_info`, `several_maps`: no Info, or more than one at the same depth.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.beatmap.maps.names import INFO_NAMES, folded, matching
from workbench.errors import BeatmapError

_PIECE = 1 << 20
_END = struct.Struct("<4s4H2LH")  # what ends a zip: signature, disks, counts, size, place, comment
_TAIL = _END.size + 2**16  # bytes from the end in which it stands
_ENTRY = 2**10  # bytes of an entry of the list on average, at most
_UTF8 = 0x800  # flag: the name is UTF-8, and not the old code page
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a map may hold at most.

    Attributes:
        files: Files of a zip, folders counted in.
        file_size: Bytes of one file.
        total_size: Bytes of all files of a zip together.
        ratio: Of a file of a zip that is larger than `free_size`; JSON of no notes comes to 100.
        free_size: Bytes up to which any ratio is harmless.
    """

    files: int = 2000
    file_size: int = 512 * 2**20
    total_size: int = 1024 * 2**20
    ratio: float = 250.0
    free_size: int = 2**20


LIMITS = ReadLimits()


class ZipFiles:
    """The files of the one map in a zip, as `MapFiles`; a context manager makes it: `open_zip`."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        members: Mapping[str, zipfile.ZipInfo],
        place: str,
        limits: ReadLimits,
    ) -> None:
        self.place = place
        self._archive = archive
        self._members = members
        self._limits = limits

    def names(self) -> list[str]:
        """Return the names of all files beside the Info, sorted."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            BeatmapError: There is none of that name, or it is damaged or too large.
        """
        found = matching(name, self._members, self.place)
        return b"".join(_pieces(self._archive, self._members[found], self.place, self._limits))


@contextmanager
def open_zip(path: Path, *, place: str = "", limits: ReadLimits = LIMITS) -> Iterator[ZipFiles]:
    """Give the files of the map in a zip; it lies at the root, or in the one folder that has it.

    Args:
        path: The zip.
        place: What messages call it; its path when empty.
        limits: What it may hold.

    Raises:
        BeatmapError: It cannot be read, or is refused; `kind` says why.
    """
    place = place or str(path)
    with _opened(path, place, limits) as archive:
        members = _checked(archive, path.stat().st_size, place, limits)
        yield ZipFiles(archive, _of_the_map(members, place), place, limits)


def read_through(path: Path, *, limits: ReadLimits = LIMITS) -> int:
    """Decompress all of a zip and compare its checksums.

    Returns:
        The bytes of all its files.

    Raises:
        BeatmapError: It cannot be read, or is refused; `kind` says why.
    """
    place, size = str(path), 0
    with _opened(path, place, limits) as archive:
        for member in _checked(archive, path.stat().st_size, place, limits).values():
            for piece in _pieces(archive, member, place, limits):
                size += len(piece)
                if size > limits.total_size:
                    raise _too_large(f"{place}: its files", limits.total_size)
    return size


@contextmanager
def _opened(path: Path, place: str, limits: ReadLimits) -> Iterator[zipfile.ZipFile]:
    try:
        _check_list(path, place, limits)
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise BeatmapError(f"{place}: {error.strerror or error}", "io_error") from error
    # zipfile meets odd bytes with any of these
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise BeatmapError(f"{place}: is no whole zip ({error})", "bad_zip") from error
    with archive:
        yield archive


def _check_list(path: Path, place: str, limits: ReadLimits) -> None:
    """Refuse a zip whose list alone would fill the memory; `ZipFile` reads all of it at once."""
    size = path.stat().st_size
    if size > limits.total_size:
        raise _too_large(place, limits.total_size)
    with path.open("rb") as content:
        content.seek(max(size - _TAIL, 0))
        tail = content.read()
    at = len(tail) - _END.size
    if not (tail[at:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise BeatmapError(f"{place}: is no whole zip (its list is missing)", "bad_zip")
    *_, count, list_size, _, _ = _END.unpack_from(tail, at)
    if tail[max(at - 20, 0) :].startswith(b"PK\6\7"):
        raise BeatmapError(
            f"{place}: is a zip of the 64-bit kind, for more than maps hold", "too_large"
        )
    if count > limits.files or list_size > limits.files * _ENTRY:
        raise BeatmapError(f"{place}: {count} files, over {limits.files}", "too_many_files")


def _checked(
    archive: zipfile.ZipFile, size: int, place: str, limits: ReadLimits
) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by their full names, if its list is sound."""
    entries = archive.infolist()
    if len(entries) > limits.files:
        raise BeatmapError(f"{place}: {len(entries)} files, over {limits.files}", "too_many_files")
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for entry in entries:
        name = _name(entry, place)
        _check_entry(entry, f"{place}: {name!r}", limits)
        if name.endswith("/"):
            continue
        if folded(name) in seen:
            raise BeatmapError(f"{place}: holds {name!r} twice", "duplicate_name")
        seen.add(folded(name))
        members[name] = entry
    if sum(entry.file_size for entry in entries) > limits.total_size:
        raise _too_large(f"{place}: its files", limits.total_size)
    if sum(entry.compress_size for entry in entries) > size:
        raise BeatmapError(f"{place}: its entries share bytes", "bad_zip")
    return members


def _name(entry: zipfile.ZipInfo, place: str) -> str:
    """Return the full name of an entry, with slashes, if it leads nowhere else."""
    name = entry.orig_filename
    if not entry.flag_bits & _UTF8 and not name.isascii():
        with suppress(UnicodeError):  # many programs write UTF-8 without saying so
            name = name.encode("cp437").decode("utf-8")
    name = name.replace("\\", "/")
    told = f"{place}: the name {name!r}"
    if not name or _CONTROL.search(name):
        raise BeatmapError(f"{told} has signs that no name has", "bad_name")
    if name.startswith("/"):
        raise BeatmapError(f"{told} is absolute", "absolute_path")
    if _DRIVE.match(name):
        raise BeatmapError(f"{told} begins with a drive", "drive_letter")
    if ".." in name.split("/"):
        raise BeatmapError(f"{told} leads out of the zip", "parent_path")
    return name


def _check_entry(entry: zipfile.ZipInfo, told: str, limits: ReadLimits) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BeatmapError(f"{told} is a link or no file", "link")
    if entry.flag_bits & _ENCRYPTED:
        raise BeatmapError(f"{told} is encrypted", "encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BeatmapError(f"{told} is packed by method {entry.compress_type}", "bad_method")
    if entry.file_size > limits.file_size:
        raise _too_large(told, limits.file_size)
    _check_ratio(entry.file_size, entry, told, limits)


def _check_ratio(size: int, entry: zipfile.ZipInfo, told: str, limits: ReadLimits) -> None:
    most = max(limits.free_size, limits.ratio * entry.compress_size)
    if size > most:
        raise BeatmapError(
            f"{told} is {size:,} bytes and more of {entry.compress_size:,}", "bad_ratio"
        )


def _pieces(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: str, limits: ReadLimits
) -> Iterator[bytes]:
    """Give the bytes of a file piece by piece; what is too much is refused as it comes."""
    told, size = f"{place}: {entry.filename!r}", 0
    try:
        with archive.open(entry) as content:
            while piece := content.read(_PIECE):
                size += len(piece)
                if size > limits.file_size:
                    raise _too_large(told, limits.file_size)
                _check_ratio(size, entry, told, limits)
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise BeatmapError(f"{told} is damaged ({error})", "bad_zip") from error
    except RuntimeError as error:  # what zipfile says where a password is wanted
        raise BeatmapError(f"{told} is encrypted ({error})", "encrypted") from error
    except OSError as error:
        raise BeatmapError(f"{told}: {error.strerror or error}", "io_error") from error
    if size != entry.file_size:
        raise BeatmapError(f"{told} is {size:,} bytes, not {entry.file_size:,}", "bad_zip")


def _of_the_map(members: Mapping[str, zipfile.ZipInfo], place: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files that lie beside the Info nearest to the root, by their own names."""
    for wanted in INFO_NAMES:
        infos = [name for name in members if name.rpartition("/")[2].casefold() == wanted]
        if infos:
            break
    else:
        raise BeatmapError(f"{place}: holds no Info.dat", "no_info")
    least = min(name.count("/") for name in infos)
    nearest = [name for name in infos if name.count("/") == least]
    if len(nearest) > 1:
        raise BeatmapError(
            f"{place}: holds {len(nearest)} maps; unpack it, or put each into a zip of its own",
            "several_maps",
        )
    folder = nearest[0].rpartition("/")[0]
    return {
        name.rpartition("/")[2]: member
        for name, member in members.items()
        if name.rpartition("/")[0] == folder
    }


def _too_large(told: str, most: int) -> BeatmapError:
    return BeatmapError(f"{told}: more than {most:,} bytes", "too_large")
