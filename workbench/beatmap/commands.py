"""The `workbench beatmap …` commands over stores: flags in, one call of the room, a reply out."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.writer.options import CacheOptions
from workbench.progress import silent, terminal
from workbench.reply import Reply

Output = Annotated[Path, Parameter(alias="-o")]
Flat = Parameter(name="*")


def process(
    *folders: Path, output: Output, options: Annotated[ProcessOptions | None, Flat] = None
) -> Reply:
    """Read folders and zips of maps into a store, from which training reads.

    Stopped or killed, the same command goes on where it was and ends in the same bytes. A map
    that cannot be read is left out by name, in skipped_0000.jsonl and so on, and costs no other.

    Args:
        folders: Folders of maps, searched at any depth; or zips.
        output: The store, a folder.
        options: How it is done.
    """
    from workbench.beatmap.maps.process import process as processed  # noqa: PLC0415  slow

    options = options or ProcessOptions()
    show = terminal() if options.progress else silent
    done = processed(folders, output, options, show)
    manifest = done.manifest
    values: dict[str, Any] = {
        "output": str(output),
        "listed": manifest.listed,
        **manifest.counts,
        "duplicates": manifest.duplicates,
        "refused_maps": manifest.refused_maps,
        "refused": dict(manifest.refused),
        "faults": dict(manifest.faults),
        "resumed_at": done.resumed_at,
        "seconds": round(done.seconds, 3),
        "maps_per_second": round(done.maps_read / done.seconds, 1),
    }
    return Reply(values=values)


def cache(
    store: Path,
    *,
    output: Output,
    maps: list[Path] | None = None,
    options: Annotated[CacheOptions | None, Flat] = None,
) -> Reply:
    """Compute the features of a store's songs, each once; a second run finds them all.

    Args:
        store: What `process` wrote.
        output: The features, a folder; those of several specs may be in one.
        maps: The folders of maps, where they moved since the store was made.
        options: What is computed, and how.
    """
    from workbench.beatmap.maps.store import Store  # noqa: PLC0415  slow to import
    from workbench.beatmap.writer.cache import warm  # noqa: PLC0415
    from workbench.beatmap.writer.corpus import sounds_of  # noqa: PLC0415

    options = options or CacheOptions()
    show = terminal() if options.progress else silent
    held = Store.open(store)
    places = held.places(maps)
    sounds = sounds_of(held.songs, places)
    done = warm(output, sounds, options, show)
    values: dict[str, Any] = {
        "output": str(output),
        "songs": len(held.songs),
        "without_audio": sum(not song.audio_digest for song in held.songs),
        "gone": sum(bool(song.audio_digest) and song.key not in places for song in held.songs),
        "features": len(sounds),
        "found": done.found,
        "computed": done.computed,
        "refused": {sound: list(reason) for sound, reason in done.refused.items()},
        "dropped": done.dropped,
        "bytes": done.size,
        "seconds": round(done.seconds, 3),
    }
    return Reply(values=values, code=1 if values["gone"] else 0)
