"""The `workbench beatmap check` command: paths in, the rules of the room over each map, a reply."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import BeatmapError, OptionsError
from workbench.reply import Reply


def check(*maps: Path) -> Reply:
    """Tell what is wrong with maps by the strict rules that an export keeps, and what is odd.

    Exits 0 if no map has a fault; what is only odd is a warning. Any version is read; maps of
    other people may well have faults here and be fine to play.

    Args:
        maps: Folders and zips of maps, searched at any depth.
    """
    from workbench.beatmap.maps.places import map_places  # noqa: PLC0415  slow to import

    if not maps:
        raise OptionsError("no map is given; name a folder or a zip")
    places = [(path, place) for path in maps for place in map_places(path)]
    if not places:
        raise OptionsError(f"{', '.join(map(str, maps))}: no map in it; check the path")
    told = [
        _told(str(path if place.name in (".", path.name) else path / place.name), place)
        for path, place in places
    ]
    faulty = sum(bool(each["faults"]) for each in told)
    values = {"checked": len(told), "faulty": faulty, "maps": told}
    return Reply(values=values, text=_text(values), code=1 if faulty else 0)


def _told(name: str, place: Any) -> dict[str, Any]:
    """Return what is said of one map."""
    from workbench.beatmap.maps.objects import Fault  # noqa: PLC0415
    from workbench.beatmap.maps.strict import oddities, strict_faults  # noqa: PLC0415

    try:
        with place.open() as found:
            files = {file: found.read(file) for file in found.names()}
    except BeatmapError as error:
        fault = Fault(kind=error.kind, place=name, detail=str(error), is_fatal=True)
        return {"map": name, "faults": [asdict(fault)], "warnings": []}
    faults, warnings = strict_faults(files), oddities(files)
    return {
        "map": name,
        "faults": [asdict(fault) for fault in faults],
        "warnings": [asdict(fault) for fault in warnings],
    }


def _text(values: dict[str, Any]) -> str:
    lines = []
    for each in values["maps"]:
        lines.append(f"{each['map']}: {len(each['faults'])} faults, {len(each['warnings'])} odd")
        for mark, key in (("fault", "faults"), ("odd", "warnings")):
            lines += [
                f"  {mark}: {f['place']}: {f['kind'].replace('_', ' ')} ({f['detail']})"
                for f in each[key]
            ]
    lines.append(f"{values['checked']} checked, {values['faulty']} with faults")
    return "\n".join(lines)
