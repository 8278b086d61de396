"""Maps in folders and zips become a store, one song at a time.

Each map is read by itself, by any number of workers; their results are written in the order of
the list. A part of the store, its files and the manifest that tells of them, is committed in one
act, so that an interruption at any moment costs the work of one part and never a song; a run that
was interrupted ends in the same bytes as one that was not.
"""

import json
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.beatmap.maps.manifest import (
    MANIFEST,
    Manifest,
    Skip,
    no_counts,
    read_manifest,
)
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.places import Place
from workbench.beatmap.maps.roots import list_fingerprint, places_of, tell_roots
from workbench.beatmap.maps.songs import ReadMap, read_map
from workbench.beatmap.maps.store_writer import OURS, STAGING, StoreWriter
from workbench.caching.alone import alone
from workbench.errors import OptionsError, SinkError, SourceError
from workbench.options import refuse
from workbench.progress import Progress, Show, silent
from workbench.streaming.sink import FolderSink
from workbench.streaming.workers import KILLED_WORKER, cheapest, map_ordered

_LOCK = "lock"
_OF_A_STORE = {"fingerprint", "listed", "files"}  # keys that every manifest of ours has


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """What processing has done.

    Attributes:
        manifest: Of the store now.
        resumed_at: How many maps of the list were gone through before.
        seconds: How long it took.
    """

    manifest: Manifest
    resumed_at: int
    seconds: float

    @property
    def maps_read(self) -> int:
        """Maps that this run has gone through."""
        return self.manifest.position - self.resumed_at


def process(
    folders: Sequence[Path], folder: Path, options: ProcessOptions, show: Show = silent
) -> Processed:
    """Read maps into a store, going on where an earlier run was stopped.

    Args:
        folders: Folders of maps, searched at any depth, or zips; their order does not matter.
        folder: The store.
        options: How it is done.
        show: Told about each map.

    Raises:
        OptionsError: The store was made from other maps, or by other options; or no folder of
            maps is given, or two of one name.
        SourceError: A folder of maps is not there, or there is no map in it.
        BeatmapError: Its manifest cannot be used, or one of its files is gone or damaged.
        SinkError: It cannot be written; or another process writes there.
        StreamingError: The workers cannot be had.
    """
    begun = time.monotonic()
    places = places_of(folders)
    if not places:
        told = ", ".join(str(root) for root in folders)
        raise SourceError(f"{told}: holds no map, neither a folder with an Info.dat nor a zip")
    sink = FolderSink(folder, MANIFEST)
    with _only_one(folder):
        held = sink.open()
        manifest = _begun(held, places, folder, options)
        sink.create()
        if held is None or options.fresh:
            sink.commit("Begin", state=manifest.to_bytes(), files={})
        sink.sweep(OURS, manifest.names())
        tell_roots(folder, folders)
        store = StoreWriter(manifest, sink, folder, options)
        resumed_at = manifest.position
        with store, closing(_read_all(places[resumed_at:], options)) as found:
            for count, read in enumerate(found, 1):
                store.add(read)
                show(_progress(store.manifest, begun, count))
        _clear(folder / STAGING)
    return Processed(
        manifest=store.manifest, resumed_at=resumed_at, seconds=time.monotonic() - begun
    )


def _read_all(places: Sequence[Place], options: ProcessOptions) -> Generator[ReadMap, None, None]:
    engine, workers = options.engine, options.workers
    used = cheapest(engine, workers)
    # whoever reads may stand elsewhere
    anywhere = (replace(place, path=place.path.absolute()) for place in places)
    yield from map_ordered(read_map, anywhere, engine=used, workers=workers, lost=_killed)


def _killed(place: Place) -> ReadMap:
    """Return that a map was left out which its worker died of."""
    detail = "its worker died in every attempt (killed, or out of memory)"
    skip = Skip(place=place.name, reason=KILLED_WORKER, detail=detail, is_map=True)
    return ReadMap(rows={}, skips=(skip,))


def _begun(
    held: bytes | None, places: Sequence[Place], folder: Path, options: ProcessOptions
) -> Manifest:
    """Return the manifest to go on from.

    Raises:
        OptionsError: The store is another's.
    """
    listed = list_fingerprint(places)
    if held is None:
        _refuse_others(folder)
    else:
        _refuse_foreign(held, folder)
    if held is not None and not options.fresh:
        manifest = read_manifest(held, str(folder))
        if manifest.fingerprint != listed:
            raise OptionsError(
                f"{folder}: was made from other maps than those that are given ({manifest.listed}, "
                f"now {len(places)}; or a file's size has changed); give those again, or begin "
                "anew with --fresh"
            )
        refuse(
            [
                f"{name}: {folder} was made with {manifest.settings.get(name)!r}, not {value!r}; "
                "give that again, or begin anew with --fresh"
                for name, value in options.settings().items()
                if manifest.settings.get(name) != value
            ]
        )
        return manifest
    return Manifest(
        fingerprint=listed, settings=options.settings(), listed=len(places), counts=no_counts()
    )


def _refuse_others(folder: Path) -> None:
    """Refuse a folder that holds something else than a store of ours.

    Raises:
        OptionsError: It does.
    """
    left = {STAGING, *(file.name for file in folder.glob(f".{MANIFEST}.*.part"))}
    others = sorted(file.name for file in folder.iterdir() if file.name not in left)
    if others:
        raise OptionsError(
            f"{folder}: holds {others[0]} and no {MANIFEST}, so it is no store of ours; name "
            "another place"
        )


def _refuse_foreign(held: bytes, folder: Path) -> None:
    """Refuse a folder whose manifest another program wrote, whatever is asked for.

    Raises:
        OptionsError: It did.
    """
    try:
        told = json.loads(held)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not told.keys() >= _OF_A_STORE:
        raise OptionsError(
            f"{folder}: its {MANIFEST} is none of a store of maps, so nothing there is touched; "
            "name another place"
        )


def _progress(manifest: Manifest, begun: float, fresh: int) -> Progress:
    refused = sum(manifest.refused.values())
    return Progress(
        stage="reading",
        done=manifest.position,
        total=manifest.listed,
        unit="maps",
        seconds=time.monotonic() - begun,
        fresh=fresh,
        numbers={"notes": manifest.counts["notes"], "refused": refused},
    )


def _clear(staging: Path) -> None:
    """Delete what waits there, but for the lock: without its file another would be let in."""
    for left in staging.iterdir():
        if left.name != _LOCK:
            left.unlink(missing_ok=True)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Work alone; where nothing was begun, leave the place as it was.

    Raises:
        SinkError: Another process is at work there, or the folder cannot be written.
    """
    staging = folder / STAGING
    with alone(staging / _LOCK, folder, "process", SinkError):
        try:
            yield
        finally:
            if not (folder / MANIFEST).exists():
                shutil.rmtree(staging, ignore_errors=True)
                with suppress(OSError):
                    folder.rmdir()
