"""Files and folders that appear whole or not at all.

The new content is written beside its final place under a scratch name, synced, then renamed:
on POSIX a rename within one folder is atomic, so a reader sees the old or the new, never a part.
A writer that is killed leaves its scratch behind; `sweep` deletes it.
"""

import errno
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import CachingError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a scratch path to write; it takes the place of `path` when the block ends well.

    Raises:
        CachingError: The file cannot be written there; nothing is left behind.
    """
    scratch = _scratch(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        settle(scratch, path)
    except OSError as error:
        raise CachingError(f"{path}: could not be written ({_told(error, scratch)})") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def settle(scratch: Path, path: Path) -> None:
    """Move a finished file to its place in one act that a loss of power cannot undo.

    Args:
        scratch: The file, on the same file system.
        path: Its place; what is there is replaced.

    Raises:
        OSError: It cannot be synced or moved.
    """
    _sync(scratch)
    scratch.replace(path)
    _sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a scratch folder to fill; it takes the place of `path` when the block ends well.

    An older folder at `path` is moved away first and deleted afterwards, so that a kill in
    between leaves either of the two whole, though a kill between the two renames leaves the
    older one under its `.old` name; `sweep` puts it back.

    Raises:
        CachingError: The folder cannot be written there, or a file is there; nothing is left
            behind, and an older folder is as it was.
    """
    scratch = _scratch(path)
    old = path.with_name(scratch.name + ".old")
    try:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file is there; name another place")
        scratch.mkdir(parents=True)
        yield scratch
        for file in sorted(scratch.rglob("*")):
            _sync(file)
        _sync(scratch)
        _swap(path, scratch, old)
        _sync(path.parent)
    except OSError as error:
        raise CachingError(f"{path}: could not be written ({_told(error, scratch)})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def refuse_other(path: Path, known_by: str) -> None:
    """Refuse a place for a folder where something else is, which the folder would replace.

    Args:
        path: Where the folder is to go.
        known_by: Name of a file that every such folder holds.

    Raises:
        CachingError: A file is there, or a folder that is neither empty nor holds that file.
    """
    is_one = path.is_dir() and ((path / known_by).exists() or not any(path.iterdir()))
    if path.exists() and not is_one:
        raise CachingError(f"{path}: holds something else, which stays; name another place")


def sweep(path: Path) -> None:
    """Delete what killed writers of a path left beside it, and put an older folder back.

    Only for who knows that nobody else writes there.
    """
    pattern = f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.part*"
    for left in sorted(path.parent.glob(pattern), reverse=True):
        if left.suffix == ".old" and not path.exists():
            left.rename(path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _swap(path: Path, scratch: Path, old: Path) -> None:
    """Move a new folder to its place; what was there goes to `old`, and back if that fails."""
    try:
        if path.exists():
            path.rename(old)
        scratch.rename(path)
    except BaseException:  # also an interrupt between the two
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def _told(error: OSError, scratch: Path) -> str:
    """Return what is wrong, and with which file if that is none of the scratch."""
    what = error.strerror or str(error)
    named = error.filename
    is_other = named is not None and not str(named).startswith(str(scratch))
    return f"{what}: {named}" if is_other else what


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
