"""What a person says to name a source: a name, a place, and what is told about it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_plus, urlsplit

from workbench.errors import OptionsError
from workbench.options import did_you_mean
from workbench.streaming.hub import PREFIX, repository
from workbench.streaming.transfer import is_local

FIELDS = ("audio", "transcript", "speaker", "language")
KEYS = (*FIELDS, "name", "tsv", "clips", "voice")

_FILES = (".parquet", ".txt", ".tsv", ".csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A source that is asked for: `[NAME=]PLACE[?KEY=VALUE&…]`.

    Attributes:
        said: All of it, as it was said.
        label: The name of a source that has one of its own; empty otherwise.
        place: Where it is; empty where only the name was said.
        told: Key: value, of KEYS.
        revision: What its list was pinned to, or None.
    """

    said: str
    label: str = ""
    place: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None

    @property
    def name(self) -> str:
        """What the rows call it."""
        return self.told.get("name") or self.label or _name(self.place)

    @property
    def columns(self) -> dict[str, str]:
        """Field: column, where they were told."""
        return {key: value for key, value in self.told.items() if key in FIELDS}

    def parts(self, default: str) -> list[str]:
        """Return the lists that are asked for.

        Args:
            default: Those where nothing is told, by commas.
        """
        told = self.told.get("tsv") or default
        return list(dict.fromkeys(part.strip() for part in told.split(",") if part.strip()))

    def refuse_others(self, known: Collection[str]) -> None:
        """Refuse what tells nothing about a source of this kind.

        Args:
            known: What does, but for the name.

        Raises:
            OptionsError: Something else is told.
        """
        for key in self.told:
            if key not in (*known, "name"):
                raise OptionsError(
                    f"{self.said}: {key} tells nothing about this source; leave it out"
                    + (f", or give {', '.join(known)}" if known else "")
                )


def read_said(said: str, labels: Mapping[str, str], revision: str | None = None) -> Asked:
    """Return what was said in its parts.

    Args:
        said: The source, as a person names it.
        labels: What a source with a name of its own may be called: its name.
        revision: What its list was pinned to.

    Raises:
        OptionsError: It tells what nobody knows.
    """
    head, _, query = said.partition("?")
    first, sign, rest = head.partition("=")
    label = labels.get(first, "")
    place = (rest if sign else "") if label else head
    told, others = _told(said, query)
    if others and urlsplit(place).scheme in ("http", "https"):
        place = f"{place}?{'&'.join(others.values())}"  # a part of the address
    elif others:
        wrong = next(iter(others))
        raise OptionsError(
            f"{said}: {wrong!r} is none of {', '.join(KEYS)}{did_you_mean(wrong, KEYS)}"
        )
    return Asked(said=said, label=label, place=place, told=told, revision=revision)


def _told(said: str, query: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is told, and what else there is, as it stands."""
    told, others = {}, {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key in KEYS:
            told[key] = unquote_plus(value)
        else:
            others[key] = part
        if told.get(key) == "" and key not in FIELDS[1:]:
            raise OptionsError(f"{said}: {key} is empty; give a value, or leave it out")
    return told, others


def _name(place: str) -> str:
    if place.startswith(PREFIX):
        return repository(place)[0].partition("/")[2]
    path = Path(place) if is_local(place) else Path(urlsplit(place).path.lstrip("/") or place)
    is_pattern = not (is_local(place) and path.exists())
    plain = [part for part in path.parts if not (is_pattern and set(part) & set("*[{"))]
    last = Path(*plain)
    if is_local(place):
        last = Path(last.absolute())
    return last.stem if last.suffix in _FILES else last.name or "speech"
