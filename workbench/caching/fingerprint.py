"""Fingerprints: the SHA-256, in hexadecimal, of values and of source files.

Equal values have equal fingerprints on every platform: values are written as canonical JSON
(sorted keys, no blanks), source files by their bytes with line ends as line feeds.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value; dataclasses become objects, paths become strings."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_plain,
    )


def fingerprint(value: Any) -> str:
    """Return the fingerprint of a value made of JSON's kinds, dataclasses and paths."""
    text = canonical_json(value)  # surrogates: file names that are no UTF-8
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def source_fingerprint(files: Iterable[Path]) -> str:
    """Return the fingerprint of some source files; their order does not matter.

    Raises:
        OSError: A file cannot be read.
    """
    digests = [
        file.name + ":" + hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        for file in files
    ]
    return fingerprint(sorted(digests))


def tree_fingerprint(top: Path, files: Iterable[Path]) -> str:
    """Return the fingerprint of some source files that are known by their places below a folder.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not below the folder.
    """
    return fingerprint(
        {file.relative_to(top).as_posix(): source_fingerprint([file]) for file in files}
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no canonical JSON")
