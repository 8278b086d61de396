"""What a gathered dataset knows about itself: the only checkpoint, kept beside the shards.

Its length grows with the number of sources alone, not with rows or shards.
"""

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workbench.caching.fingerprint import canonical_json
from workbench.errors import SpeechError
from workbench.streaming.source import Position

STATE_NAME = "_state/state.json"
FORMAT = 1
DATA, LOGS = "data", "_skipped"  # folders of the shards, and of what was left out
_NUMBER = "[0-9]" * 5
_Part = TypeVar("_Part", "SourceState", "GatherState")
# A shard of another program, as train-00000-of-00002.parquet, is not ours to sweep away.
OURS = (f"{DATA}/train-{_NUMBER}.parquet", f"{LOGS}/train-{_NUMBER}.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How far one source is.

    Attributes:
        said: What a person named it by.
        name: Its name in the rows.
        revision: What its list is pinned to; empty where there is no such thing.
        fingerprint: Of its list.
        file: Index of the file that is next.
        row: Index of the row that is next.
        token: What the source needs to begin there; None where the position is all.
        kept: Rows that arrived.
        skipped: Reason: rows that were left out for it.
        microseconds: Sound that arrived; whole, so that sums do not depend on their order.
        transcribed: Rows whose transcript was written by speech-to-text.
        unheard: Rows that speech-to-text was asked for and failed on.
        to_pass: Rows to leave out since an older program has gathered them.
        is_done: Whether all of it was read.
    """

    said: str
    name: str
    revision: str
    fingerprint: str
    file: int = 0
    row: int = 0
    token: Any = None
    kept: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    microseconds: int = 0
    transcribed: int = 0
    unheard: int = 0
    to_pass: int = 0
    is_done: bool = False

    @property
    def position(self) -> Position:
        """Where reading goes on."""
        return Position(self.file, self.row)

    @property
    def seconds(self) -> float:
        """Seconds of sound that arrived."""
        return self.microseconds / 1e6

    @property
    def read(self) -> int:
        """Rows that were read, kept or not."""
        return self.kept + sum(self.skipped.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherState:
    """How far a dataset is.

    Attributes:
        generation: How many times it was begun.
        settings: What its rows are made of.
        shards: How many shards there are.
        rows: Rows in them, without those of an older program.
        size: Bytes of them.
        logs: How many lists of rows that were left out there are.
        next_id: Number of the next row's id.
        older_rows: Name of a source: rows of it that an older program has gathered.
        sources: The sources, in the order of their gathering.
    """

    generation: int = 1
    settings: Mapping[str, Any]
    shards: int = 0
    rows: int = 0
    size: int = 0
    logs: int = 0
    next_id: int = 1
    older_rows: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[SourceState, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the one text of the state."""
        return (canonical_json({"format": FORMAT, **dataclasses.asdict(self)}) + "\n").encode()

    def names(self) -> set[str]:
        """Return the names of all shards and lists of skipped rows there are."""
        shards = {shard_name(number) for number in range(self.shards)}
        return shards | {log_name(number) for number in range(self.logs)}


def shard_name(number: int) -> str:
    """Return the name of a shard."""
    return f"{DATA}/train-{number:05d}.parquet"


def log_name(number: int) -> str:
    """Return the name of a list of rows that were left out."""
    return f"{LOGS}/train-{number:05d}.jsonl"


def read_state(content: bytes, place: str) -> GatherState:
    """Return the state that some bytes hold.

    Args:
        content: What `to_bytes` made.
        place: Where they are from, for the error.

    Raises:
        SpeechError: They are no state, or one of a newer format.
    """
    try:
        values = json.loads(content)
        if values.pop("format") != FORMAT:
            raise ValueError("its format is another")
        sources = tuple(_checked(SourceState(**source)) for source in values.pop("sources"))
        return _checked(GatherState(sources=sources, **values))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SpeechError(
            f"{place}: {STATE_NAME} is no state of this version ({error}); gather with the version "
            "that wrote it, or start over with --fresh"
        ) from error


def _checked(part: _Part) -> _Part:
    """Return a part of a state whose values are of their kinds.

    Raises:
        TypeError: One is not.
    """
    for told in dataclasses.fields(part):
        value = getattr(part, told.name)
        if not _fits(value, told.type):
            raise TypeError(f"{told.name}: {value!r}")
    return part


def _fits(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is int:  # all of them count something
        return type(value) is int and value >= 0
    if kind == Mapping[str, int]:
        return isinstance(value, Mapping) and all(_fits(count, int) for count in value.values())
    return isinstance(value, typing.get_origin(kind) or kind)
