"""Secrets and absolute places: how they look, and how they are blotted out of what is written.

A secret is known by its value (it stands in the environment under a name such as HF_TOKEN), by
its form (`hf_…`, `ghp_…`, `AKIA…`, `sk-…`, `Bearer …`, a JSON web token, a private key), or by
the name of the parameter that carries it. A compressed file or a picture is not looked into.
"""

import html
import json
import mmap
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

BLOT = "***"
SHORTEST_SECRET = 8  # a shorter value would be blotted out of ordinary text

_FORMS = (
    r"hf_(?:(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}|[a-z]{20,})",  # not the word hf_transfer
    r"gh[pousr]_[A-Za-z0-9]{16,}",
    r"github_pat_[A-Za-z0-9_]{16,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"A(?:KIA|SIA)[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"xox[abprs]-[A-Za-z0-9-]{10,}",
    r"sk-[A-Za-z0-9_-]{16,}",
    r"[Bb]earer\s+(?=[^\s\"']*\d)[A-Za-z0-9._~+/=-]{12,}",  # with a digit: not a word of prose
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<=://)[^\s/:@\"']+:[^\s/:@\"']+(?=@)",
)
_SECRET = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_FORMS)})")
_SECRET_BYTES = re.compile(_SECRET.pattern.encode())
_BEARER = re.compile(r"\s*bearer\s+\S", re.IGNORECASE)
_NAME = re.compile(
    r"(?:^|[_\W])(?:token|passw(?:or)?d|passphrase|secret|credentials?)(?:$|[_\W])"
    r"|(?:api|access|private|auth)_?key",
    re.IGNORECASE,
)
_ENVIRONMENT_NAME = re.compile(r"_(?:KEY|PAT|PASS|PWD)$", re.IGNORECASE)
_NAME_OF_A_PLACE = re.compile(r"_(?:PATH|FILE|DIR|DESCRIPTOR)$", re.IGNORECASE)
_ABSOLUTE = re.compile(
    r"(?<![\w.~:/-])(?:/(?:home|Users|root|tmp|var/folders)/|[A-Z]:\\{1,2}Users\\)[^\s\"'`<>]*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is blotted out of everything a run writes.

    Attributes:
        secrets: Values that must not appear in any spelling.
        places: Absolute paths and what is written in their stead.
    """

    secrets: tuple[str, ...] = ()
    places: tuple[tuple[str, str], ...] = ()

    def text(self, text: str) -> str:
        """Return a text without secrets and places."""
        for spelling in _spellings(self.secrets):
            text = text.replace(spelling, BLOT)
        return self._without_places(_SECRET.sub(BLOT, text))

    def tree(self, value: Any) -> Any:
        """Return a value of JSON's kinds with all its texts redacted, pictures left alone."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                self.text(key): part if is_binary(key) else self.tree(part)
                for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.tree(part) for part in value]
        return value

    def folder(self, folder: Path) -> list[str]:
        """Blot secrets out of the files of a folder, byte for byte.

        The values from the environment are looked for in every file, the forms in text files
        only: in a gigabyte of random numbers a form turns up by chance.

        Returns:
            The changed files, relative to the folder.
        """
        files = [path for path in sorted(folder.rglob("*")) if _is_own_file(path)]
        spellings = _encoded(_spellings(self.secrets))
        return [str(path.relative_to(folder)) for path in files if _blot_file(path, spellings)]

    def _without_places(self, text: str) -> str:
        stand_ins = {s: stand_in for path, stand_in in self.places for s in _spellings([path])}
        if not stand_ins:
            return text
        longest_first = sorted(stand_ins, key=len, reverse=True)
        alternatives = "|".join(
            re.escape(path) + ("" if path.endswith("/") else r"(?![\w-])") for path in longest_first
        )
        # A colour code of a traceback ends in a letter, and is yet no part of a longer path.
        pattern = rf"(^|[^\w.~-]|\x1b\[[\d;]*m)({alternatives})"
        return re.sub(
            pattern, lambda found: found[1] + stand_ins[found[2]], text, flags=re.MULTILINE
        )


def environment_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of an environment that stand under a secret's name."""
    return tuple(
        value
        for name, value in environ.items()
        if (is_secret_name(name) or _ENVIRONMENT_NAME.search(name))
        and not _NAME_OF_A_PLACE.search(name)
        and len(value) >= SHORTEST_SECRET
    )


def is_secret_name(name: str) -> bool:
    """Return whether a name says that its value is a secret; `n_tokens` and `key` do not."""
    return _NAME.search(name) is not None


def is_secret(text: str) -> bool:
    """Return whether a text is or holds something of a secret's form."""
    return _SECRET.search(text) is not None or _BEARER.match(text) is not None


def absolute_places(text: str, own: Iterable[str] = ()) -> list[str]:
    """Return the paths in a text that only this computer has.

    Args:
        text: Any text.
        own: Further folders that must not be named, such as the checkout's.
    """
    found = [match[0] for match in _ABSOLUTE.finditer(text)]
    for path in own:
        is_there = re.search(rf"(?<![\w.~:/-]){re.escape(path)}(?![\w-])", text)
        if is_there and not any(path in place for place in found):
            found.append(path)
    return found


def is_binary(mime: str) -> bool:
    """Return whether a MIME type's content is no text to look into."""
    return mime.startswith(("image/", "audio/", "video/")) and mime != "image/svg+xml"


def _spellings(values: Sequence[str]) -> list[str]:
    """Return some texts as they are and as JSON, Python, HTML and a URL write them."""
    spellings = {
        spelling
        for value in values
        for spelling in (
            value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            repr(value)[1:-1],
            value.encode("unicode_escape").decode(),
            html.escape(value),
            quote(value, safe="/", errors="surrogateescape"),
        )
    }
    return sorted(spellings, key=len, reverse=True)


def _encoded(texts: Iterable[str]) -> list[bytes]:
    """Return some texts as files hold them: in UTF-8, or Latin-1 as in the texts of a picture."""
    found = set()
    for text in texts:
        found.add(text.encode("utf-8", "surrogateescape"))  # as the environment holds them
        with suppress(UnicodeEncodeError):
            found.add(text.encode("latin-1"))
    return sorted(found, key=len, reverse=True)


def _is_own_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 0


def _blot_file(path: Path, spellings: Sequence[bytes]) -> bool:
    """Overwrite the secrets of one file with as many asterisks; return whether there were any."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        spans = [
            match.span() for word in spellings for match in re.finditer(re.escape(word), content)
        ]
        if b"\0" not in content[:8192]:
            spans += [match.span() for match in _SECRET_BYTES.finditer(content)]
    if not spans:
        return False
    path.chmod(path.stat().st_mode | 0o200)
    with path.open("r+b") as secret_file:
        for start, end in spans:
            secret_file.seek(start)
            secret_file.write(b"*" * (end - start))
    return True
