"""Options: frozen dataclasses whose docstring is their schema, and the checks made of it.

One notation says what a value may be, everywhere: `meaning, unit [low..high] {a, b}`. It stands
behind a name in the `Attributes:` of an Options class and in the comment of a notebook's
parameters cell. An end of a range may be left open (`[1..]`); a range includes its ends.
"""

import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import OptionsError

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf)"
_RANGE = re.compile(rf"\s*\[\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*\]")
_CHOICES = re.compile(r"\s*\{([^{}]*)\}")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What one option may be.

    Attributes:
        name: Its name.
        kind: One of bool, int, float, str.
        default: The value it has when nobody says otherwise; None only where it is optional.
        meaning: What it does, with its unit.
        low: The least value, or None.
        high: The greatest value, or None.
        choices: All values there are, or empty.
        optional: Whether None is a value too.
        required: Whether it has no default.
    """

    name: str
    kind: type
    default: object = None
    meaning: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    required: bool = False

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, or None."""
        if value is None and self.optional:
            return None
        is_bool = isinstance(value, bool)
        fits = isinstance(value, self.kind) and is_bool == (self.kind is bool)
        if self.kind is float and isinstance(value, int) and not is_bool:
            fits = True
        if not fits:
            return f"{self.name}: {value!r} is {type(value).__name__}, want {self.kind.__name__}"
        if self.choices and value not in self.choices:
            near = did_you_mean(str(value), self.choices)
            return f"{self.name}: {value!r} is none of {', '.join(self.choices)}{near}"
        return self._range_problem(value)

    def _range_problem(self, value: object) -> str | None:
        if (self.low is None and self.high is None) or not isinstance(value, int | float):
            return None
        above_low = self.low is None or value >= self.low
        below_high = self.high is None or value <= self.high
        if above_low and below_high:  # a NaN is neither, so it is refused
            return None
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f"{self.name}: {value!r} is outside [{low}..{high}]"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the nearest of some words, or nothing."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def parse_note(note: str) -> dict[str, Any]:
    """Return meaning, low, high and choices of one `meaning, unit [low..high] {a, b}`."""
    found: dict[str, Any] = {}
    if bounds := _RANGE.search(note):
        low, high = bounds.groups()
        found |= {"low": float(low) if low else None, "high": float(high) if high else None}
        note = note[: bounds.start()] + note[bounds.end() :]
    if choices := _CHOICES.search(note):
        found["choices"] = tuple(word.strip() for word in choices[1].split(",") if word.strip())
        note = note[: choices.start()] + note[choices.end() :]
    found["meaning"] = note.strip().rstrip(".").rstrip()
    return found


def parameters_of(options: type) -> dict[str, Parameter]:
    """Return what the fields of an Options class may be, read from its types and docstrings.

    A class that builds on others describes its own fields, and they theirs.

    Raises:
        TypeError: A field has a type that no option can have, or stands undescribed.
    """
    notes: dict[str, str] = {}
    for each in reversed(options.__mro__):
        notes |= _attribute_notes(inspect.cleandoc(each.__doc__ or ""))
    hints = typing.get_type_hints(options)
    parameters = {}
    for field in dataclasses.fields(options):
        if field.name not in notes:
            raise TypeError(f"{options.__name__}.{field.name} is not described in Attributes:")
        known = parse_note(notes[field.name]) | _kind_of(hints[field.name], field.name)
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        parameters[field.name] = Parameter(
            name=field.name, default=default, required=required, **known
        )
    return parameters


def problems(parameters: Mapping[str, Parameter], values: Mapping[str, object]) -> list[str]:
    """Return every mistake in some values: unknown names, wrong types, ranges and choices."""
    found = []
    for name, value in values.items():
        if name not in parameters:
            near = did_you_mean(name, parameters)
            found.append(f"unknown parameter {name!r}{near}")
        elif problem := parameters[name].problem(value):
            found.append(problem)
    missing = [p.name for p in parameters.values() if p.required and p.name not in values]
    return found + [f"{name}: is missing" for name in missing]


def check(options: Any) -> None:
    """Refuse an Options value that is outside what its docstring allows.

    Raises:
        OptionsError: With every mistake, one a line.
    """
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
    refuse(problems(parameters_of(type(options)), plain))


def refuse(found: Sequence[str]) -> None:
    """Raise all mistakes as one error, when there are any.

    Raises:
        OptionsError: With every mistake, one a line.
    """
    if found:
        raise OptionsError("\n".join(found))


def _attribute_notes(docstring: str) -> dict[str, str]:
    """Return name: description of the `Attributes:` section, continuation lines joined."""
    _, _, section = docstring.partition("Attributes:\n")
    notes: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if start := _ATTRIBUTE.match(line):
            name, notes[start[1]] = start[1], start[2]
        elif line.startswith("     ") and name:
            notes[name] += " " + line.strip()
        elif line.strip():
            break
    return notes


def _kind_of(hint: Any, name: str) -> dict[str, Any]:
    """Return kind, optional and choices of one type hint."""
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        optional = len(inner) < len(typing.get_args(hint))
        if len(inner) != 1:
            raise TypeError(f"{name}: {hint} is more than one type")
        hint = inner[0]
    if typing.get_origin(hint) is typing.Literal:
        return {"kind": str, "choices": typing.get_args(hint), "optional": optional}
    if hint is Path:
        hint = str
    if hint not in (bool, int, float, str):
        raise TypeError(f"{name}: {hint} is no type of an option")
    return {"kind": hint, "optional": optional}
