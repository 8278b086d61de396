"""The index of runs: `outputs/runs.jsonl`, one record a line for each run that came to an end.

A record, format 1: at (when it was written, UTC), host, notebook, run, fingerprint, status (`done`
or `failed`), attempt (counted from 1 within one command), seconds, parameters, results, error.
Records are appended under a lock and synced before the next run is told. Whether a run is done is
said by its folder alone; a record that a kill kept from being written is added by the next
command. What stands after the last line end was torn by a kill, and is dropped with a warning.
"""

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

JOURNAL = "runs.jsonl"
FORMAT = 1

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record, and return when it is on the disk.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"format": FORMAT, **record}, ensure_ascii=False, allow_nan=False)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _drop_torn(file, path)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> list[Record]:
    """Return all records, the oldest first; what is none is passed over with a warning."""
    try:
        *lines, torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines, start=1):
        record = _record(line)
        if record is None:
            logger.warning("%s, line %d: is no record, passed over", path, number)
        else:
            records.append(record)
    if torn:
        logger.warning("%s: its last record is torn (%d bytes), passed over", path, len(torn))
    return records


def last_failures(path: Path, *, most: int = 3) -> list[str]:
    """Return the runs whose latest record says failed, a line each, the latest first.

    Args:
        path: The index.
        most: How many at most.
    """
    latest: dict[tuple[str, str], Record] = {}
    for record in read(path):
        name = (record["notebook"], record["run"])
        latest.pop(name, None)
        latest[name] = record
    failed = [record for record in reversed(latest.values()) if record["status"] == "failed"]
    return [_failure_line(record) for record in failed[:most]]


def _failure_line(record: Record) -> str:
    name = f"{record['notebook']}/{record['run']}"
    error = record.get("error")
    if not isinstance(error, dict):
        return name
    cell = f"cell {error['cell']}: " if error.get("cell") else ""
    return f"{name}: {cell}{error.get('type')}: {error.get('message')}"


def _record(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = (
        isinstance(found, dict)
        and found.get("format") == FORMAT
        and all(isinstance(found.get(name), str) for name in ("notebook", "run", "status"))
    )
    return found if is_record else None


def _drop_torn(file: BinaryIO, path: Path) -> None:
    """Cut a file behind its last line end; only for who holds its lock."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read(1) in (b"", b"\n"):
        return
    file.seek(0)
    whole = file.read().rfind(b"\n") + 1
    logger.warning("%s: its last record was torn (%d bytes), dropped", path, size - whole)
    file.truncate(whole)
    file.seek(0, os.SEEK_END)
