"""Files and folders that appear whole or not at all.

The new content is written beside its final place under a scratch name, synced, then renamed:
on POSIX a rename within one folder is atomic, so a reader sees the old or the new, never a part.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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
        _sync(scratch)
        scratch.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise CachingError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a scratch folder to fill; it takes the place of `path` when the block ends well.

    An older folder at `path` is moved away first and deleted afterwards, so that a kill in
    between leaves either of the two whole, though a kill between the two renames leaves the
    older one under its `.old` name.

    Raises:
        CachingError: The folder cannot be written there; nothing is left behind.
    """
    scratch = _scratch(path)
    old = path.with_name(scratch.name + ".old")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        for file in sorted(scratch.rglob("*")):
            _sync(file)
        _sync(scratch)
        if path.exists():
            path.rename(old)
        scratch.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise CachingError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
