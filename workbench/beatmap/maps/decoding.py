"""JSON by a schema, where one bad value costs one object and not the file.

A file that fits its schema is read in one go. In one that does not, each object is read by
itself: null counts as a missing key, a whole number with a point as a whole number, and an object
that still does not fit is None in its list, so that what points at the others still does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from workbench.beatmap.maps.objects import Fault
from workbench.beatmap.maps.schemas.values import ByParts

RAWS = msgspec.json.Decoder(list[msgspec.Raw])
PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what they raise

_INDEX = re.compile(r"\[\d+\]|(?<=^beat ).*")
_MOST_BAD = 20_000  # entries of a list; each takes the time of a hundred good ones

Schema = TypeVar("Schema", bound=msgspec.Struct)


@dataclass
class Found:
    """The faults of one file, those of one kind in one list told once, by the first.

    Attributes:
        file: Its name.
    """

    file: str
    _first: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def add(
        self, kind: str, path: str, detail: str, *, fatal: bool = False, count: int = 1
    ) -> None:
        """Tell of faults.

        Args:
            kind: Of `objects.Fault`.
            path: Of the first, as `$.colorNotes[3].x`.
            detail: What was found there.
            fatal: Whether it could not be read.
            count: How many of them there are.
        """
        entry = self._first.setdefault((kind, _INDEX.sub("[]", path)), [path, detail, fatal, 0])
        entry[2] = entry[2] or fatal
        entry[3] += count

    def faults(self) -> tuple[Fault, ...]:
        """Return them in the order in which they were met."""
        return tuple(
            Fault(
                kind=kind,
                place=f"{self.file}: {path}" if path else self.file,
                detail=detail if count == 1 else f"{detail}; the first of {count:,}",
                is_fatal=fatal,
                count=count,
            )
            for (kind, _), (path, detail, fatal, count) in self._first.items()
        )


class Gapped(list[Any]):
    """A list in which None stands for what could not be read."""


class SchemaDecoder:
    """What reads one schema.

    Attributes:
        schema: The struct.
        lists: The keys of it that hold lists.
    """

    def __init__(self, schema: type[msgspec.Struct]) -> None:
        self.schema = schema
        self._whole = msgspec.json.Decoder(schema)
        self._fields = {f.encode_name: f for f in msgspec.structs.fields(schema)}
        self.lists = tuple(f.name for f in self._fields.values() if _item_type(f.type))

    def has_lists(self, file: msgspec.Struct) -> bool:
        """Return whether a decoded file has any of the lists, also an empty one."""
        return any(getattr(file, name) is not None for name in self.lists)

    def decode(self, text: bytes | msgspec.Raw, found: Found, at: str = "$") -> Any:
        """Return the struct, or None if the text is no JSON object.

        Args:
            text: Of JSON.
            found: Is told what does not fit.
            at: Where the text stands in its file.
        """
        try:
            return self._whole.decode(text)
        except msgspec.ValidationError:
            pass
        except UNDECODABLE as error:
            found.add(*broken(error, at), fatal=True)
            return None
        try:
            parts = PARTS.decode(text)
        except UNDECODABLE as error:
            found.add(*broken(error, at), fatal=True)
            return None
        values = {}
        for key, raw in parts.items():
            if key in self._fields:
                wanted = self._fields[key]
                value = _fitting(raw, wanted.type, found, f"{at}.{key}")
                if value is not _MISSING:
                    values[wanted.name] = value
        return self.schema(**values)


_MISSING = object()
_NULL = "null counts as missing"


def broken(error: Exception, at: str) -> tuple[str, str, str]:
    """Return kind, path and detail of what msgspec says of a text that it cannot read."""
    if isinstance(error, RecursionError):
        return "too_deep", at, "nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        detail, _, where = str(error).partition(" - at ")
        return "wrong_type", at + where.strip("`").removeprefix("$"), detail
    return "bad_json", at, str(error)


def _fitting(raw: msgspec.Raw, wanted: Any, found: Found, at: str) -> Any:
    """Return the value of one key as the schema wants it, or `_MISSING`."""
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        problem = broken(error, at)
    except UNDECODABLE as error:
        found.add(*broken(error, at), fatal=True)
        return _MISSING
    if bytes(raw).strip() == b"null":
        found.add("null_value", at, _NULL)
        return _MISSING
    item = _item_type(wanted)
    if item is not None:
        try:
            raws = RAWS.decode(raw)
        except UNDECODABLE:
            found.add(*problem, fatal=True)
            return _MISSING
        return _mended_list(raws, item, found, at)
    value = _mended(raw, wanted, found, at)
    return _MISSING if value is None else value


def _mended_list(raws: list[msgspec.Raw], item: Any, found: Found, at: str) -> Any:
    """Return a list with None for what does not fit, or `_MISSING` where hardly anything does."""
    values = Gapped()
    bad = 0
    for i, each in enumerate(raws):
        values.append(_mended(each, item, found, f"{at}[{i}]"))
        bad += values[-1] is None
        if bad > _MOST_BAD:
            detail = f"more than {_MOST_BAD:,} that cannot be read; the list is passed over"
            found.add("too_many_bad", at, detail, fatal=True)
            return _MISSING
    return values


def _item_type(wanted: Any) -> Any:
    """Return what a list, or a list that may be null, is a list of; None if it is none."""
    for option in (wanted, *get_args(wanted)):
        if get_origin(option) is list:
            return get_args(option)[0]
    return None


def _mended(raw: msgspec.Raw, wanted: Any, found: Found, at: str) -> Any:
    """Return one value as the schema wants it, nulls and whole floats put right, or None."""
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        problem = broken(error, at)
    except UNDECODABLE as error:
        found.add(*broken(error, at), fatal=True)
        return None
    mends: list[tuple[str, str, str]] = []
    try:
        tree = _put_right(msgspec.json.decode(raw), at, lambda *told: mends.append(told))
        value = msgspec.json.decode(msgspec.json.encode(tree), type=wanted)
    except (msgspec.ValidationError, RecursionError):
        return _by_parts(raw, wanted, found, at, problem)
    for told in mends:
        found.add(*told)
    return value


def _by_parts(
    raw: msgspec.Raw, wanted: Any, found: Found, at: str, problem: tuple[str, str, str]
) -> Any:
    """Return a struct of parts, or one that holds lists, without what does not fit; else None."""
    schema = next((one for one in (wanted, *get_args(wanted)) if _has_parts(one)), None)
    if schema is None or not bytes(raw).lstrip().startswith(b"{"):
        found.add(*problem, fatal=True)
        return None
    return SchemaDecoder(schema).decode(raw, found, at)


def _has_parts(wanted: Any) -> bool:
    """Return whether a type is a struct of parts that stand for themselves."""
    if not isinstance(wanted, type) or not issubclass(wanted, msgspec.Struct):
        return False
    fields = msgspec.structs.fields(wanted)
    return issubclass(wanted, ByParts) or any(_item_type(f.type) is not None for f in fields)


def _put_right(tree: Any, at: str, told: Callable[[str, str, str], None]) -> Any:
    """Return a tree without null values and with whole floats as whole numbers."""
    if isinstance(tree, dict):
        kept = {}
        for key, value in tree.items():
            if value is None:
                told("null_value", f"{at}.{key}", _NULL)
            else:
                kept[key] = _put_right(value, f"{at}.{key}", told)
        return kept
    if isinstance(tree, list):
        return [_put_right(value, f"{at}[{i}]", told) for i, value in enumerate(tree)]
    if isinstance(tree, float) and tree.is_integer() and abs(tree) < 2**53:
        return int(tree)
    return tree
