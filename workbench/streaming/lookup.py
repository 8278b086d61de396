"""Rows of tables found by a key, in a file of SQLite: millions of them in little memory.

The file appears whole or not at all, and never changes.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from workbench.caching.files import replacing
from workbench.errors import StreamingError

Values = tuple[str | None, ...]

_AT_ONCE = 500  # keys of one query


def make_lookup(path: Path, rows: Iterable[Values], columns: Sequence[str]) -> None:
    """Write a file in which rows are found.

    Args:
        path: The file; what is there is replaced.
        rows: The values of each; the first is its key. The first row of a key counts, and rows
            without a key do not.
        columns: A name of each value.

    Raises:
        StreamingError: The file cannot be written.
        CachingError: Likewise.
    """
    names = ", ".join(f'"{name}" TEXT' for name in columns[1:])
    marks = ", ".join("?" * len(columns))
    with replacing(path) as scratch:
        try:
            with closing(sqlite3.connect(scratch, isolation_level=None)) as base:
                # the file is moved to its place when it is whole, so it needs no journal
                base.execute("PRAGMA journal_mode = OFF")
                base.execute("PRAGMA synchronous = OFF")
                base.execute(f"CREATE TABLE found (key TEXT PRIMARY KEY, {names}) WITHOUT ROWID")
                base.execute("BEGIN")
                keyed = (row for row in rows if row[0])
                base.executemany(f"INSERT OR IGNORE INTO found VALUES ({marks})", keyed)
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise StreamingError(
                f"{path}: could not be written ({error}); make room there, then the same command "
                "goes on where it stopped"
            ) from error


def look_up(path: Path, keys: Sequence[str]) -> dict[str, Values]:
    """Return the rows of some keys; those that are not there are left out.

    Args:
        path: A file that `make_lookup` made.
        keys: The keys.

    Raises:
        StreamingError: The file cannot be read.
    """
    found: dict[str, Values] = {}
    try:
        place = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(place, uri=True)) as base:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                answers = base.execute(f"SELECT * FROM found WHERE key IN ({marks})", some)
                found.update((row[0], row[1:]) for row in answers)
    except sqlite3.Error as error:
        raise StreamingError(f"{path}: cannot be read ({error}); delete it") from error
    return found
