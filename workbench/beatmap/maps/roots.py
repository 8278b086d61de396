"""The folders of maps that a store is made from, and the one list of maps that they are."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from workbench.beatmap.maps.manifest import ROOTS
from workbench.beatmap.maps.places import Place, map_places, printable
from workbench.caching.files import replacing, sweep
from workbench.caching.fingerprint import fingerprint
from workbench.errors import BeatmapError, OptionsError


def places_of(folders: Sequence[Path]) -> list[Place]:
    """Return the maps of one or several folders, in an order that does not depend on theirs.

    Args:
        folders: Folders of maps, or zips. Names of maps begin with that of their folder, where
            there are several.

    Raises:
        OptionsError: None is given, or two have the same name.
        SourceError: One is not there.
    """
    roots = _roots(folders)
    found = []
    for name, folder in sorted(roots.items()):
        before = f"{name}/" * bool(name)
        found += [replace(place, name=before + place.name) for place in map_places(folder)]
    return found


def list_fingerprint(places: Sequence[Place]) -> str:
    """Return what tells lists of maps apart: their names, and the names and sizes of their files.

    What is known of a zip stands beside it, and goes into the store: that file's content counts.

    Args:
        places: The maps, in order.
    """
    return fingerprint([[place.name, place.kind, _files_of(place)] for place in places])


def tell_roots(folder: Path, folders: Sequence[Path]) -> None:
    """Keep where the maps lie, for who looks for their audio; nobody else may write there."""
    roots = {name: str(root.resolve()) for name, root in _roots(folders).items()}
    sweep(folder / ROOTS)
    with replacing(folder / ROOTS) as scratch:
        scratch.write_text(json.dumps(roots, sort_keys=True) + "\n", encoding="ascii")


def told_roots(folder: Path) -> list[Path]:
    """Return the folders of maps that a store was made from.

    Args:
        folder: The store.

    Raises:
        BeatmapError: It does not tell.
    """
    try:
        told = json.loads((folder / ROOTS).read_bytes())
        return [Path(root) for root in told.values()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BeatmapError(
            f"{folder}: does not know where its maps lie ({error}); name their folders"
        ) from error


def _roots(folders: Sequence[Path]) -> dict[str, Path]:
    """Return folders by what the names of their maps begin with.

    Raises:
        OptionsError: None is given, or two have the same name.
    """
    if not folders:
        raise OptionsError("no folder of maps is given; give one, or several")
    if len(folders) == 1:
        return {"": folders[0]}
    roots = {printable(folder.resolve().name): folder for folder in folders}
    if len(roots) < len(folders):
        names = [folder.resolve().name for folder in folders]
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionsError(f"two folders are called {twice}; their maps could not be told apart")
    return roots


def _files_of(place: Place) -> list[tuple[str, int | str]]:
    """Return the names and sizes of a map's files; what cannot be read has none."""
    with suppress(OSError):
        if place.kind == "zip":
            return [("", place.path.stat().st_size), *_beside(place.path.with_suffix(".json"))]
        with os.scandir(place.path) as entries:
            files = [entry for entry in entries if entry.is_file()]
            return sorted((entry.name, entry.stat().st_size) for entry in files)
    return []


def _beside(path: Path) -> list[tuple[str, int | str]]:
    """Return the digest of what is said of a zip, or nothing: times differ among machines."""
    with suppress(OSError):
        return [(path.suffix, hashlib.sha256(path.read_bytes()).hexdigest())]
    return []
