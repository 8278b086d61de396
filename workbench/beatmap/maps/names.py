"""Names of a map's files, which programs spell in other cases and with other signs for accents."""

import unicodedata
from collections.abc import Iterable

from workbench.errors import BeatmapError

INFO_NAMES = ("info.dat", "info.json")


def info_name(names: list[str]) -> str | None:
    """Return which of some file names is the Info, in any case; `Info.dat` before others."""
    found = [name for name in names if name.lower() in INFO_NAMES]
    return min(found, key=lambda name: (name != "Info.dat", name != "info.dat", name), default=None)


def matching(name: str, names: Iterable[str], place: str) -> str:
    """Return which of some names a map means, since case and the writing of accents may differ.

    Raises:
        BeatmapError: None, or several though none exactly.
    """
    known = list(names)
    if name in known:
        return name
    found = [other for other in known if folded(other) == folded(name)]
    if len(found) == 1:
        return found[0]
    what = f"may be {' or '.join(map(repr, found))}" if found else "is missing"
    raise BeatmapError(f"{place}: {name!r} {what}", "missing_file")


def folded(name: str) -> str:
    """Return what is the same for all spellings of a name."""
    return unicodedata.normalize("NFC", name).casefold()
