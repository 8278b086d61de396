"""Which charts of some maps are judged by which of others.

Maps are folders or zips. Two single maps are compared whatever they are called; of folders of maps
those of one name are, a zip's without its ending. Charts are compared with those of the same
characteristic and difficulty.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.beatmap.maps.level import Beatmap, Level
from workbench.beatmap.maps.objects import DIFFICULTIES
from workbench.beatmap.maps.places import Place, map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.writer.evaluation import ChartPair
from workbench.errors import BeatmapError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPairs:
    """Charts that can be compared.

    Attributes:
        charts: Pair by pair; of each map from the easiest.
        alone: Names of charts that have nothing to be judged by.
        refused: Map that could not be read: why.
    """

    charts: tuple[ChartPair, ...]
    alone: tuple[str, ...]
    refused: Mapping[str, str]


def map_pairs(found: Path, wanted: Path, *, difficulty: str = "", shift: float = 0.0) -> MapPairs:
    """Return which charts of maps are judged by which of others.

    Args:
        found: A map, or a folder of maps, to be judged.
        wanted: Those that they are judged by.
        difficulty: The only one that is compared, or none for all.
        shift: By how much the songs of the first begin later, seconds.

    Raises:
        SourceError: One of the two is not there.
        BeatmapError: It holds no map, or no chart has one to be judged by.
    """
    refused: dict[str, str] = {}
    ours, theirs = _levels(found, refused), _levels(wanted, refused)
    if len(ours) == len(theirs) == 1 and not refused:
        theirs = dict(zip(ours, theirs.values(), strict=True))
    names, alone, charts = sorted(ours), list[str](), list[ChartPair]()
    for name in names:
        called = f"{name} " if len(names) > 1 else ""
        human = _charts(theirs[name], difficulty) if name in theirs else {}
        for kind, beatmap in _charts(ours[name], difficulty).items():
            if kind in human:
                charts.append(_pair(called + kind, beatmap, human[kind], shift))
            else:
                alone.append(called + kind)
    if not charts:
        raise BeatmapError(_nothing(found, wanted, ours, theirs, refused), "no_charts")
    return MapPairs(charts=tuple(charts), alone=tuple(alone), refused=refused)


def _pair(name: str, found: Beatmap, wanted: Beatmap, shift: float) -> ChartPair:
    return ChartPair(
        name=name,
        found=found.objects,
        wanted=wanted.objects,
        found_times=found.time_map,
        wanted_times=wanted.time_map,
        shift=shift,
    )


def _levels(root: Path, refused: dict[str, str]) -> dict[str, Level]:
    """Return the maps of a place by name; those that cannot be read are told and left out."""
    places = map_places(root)
    if not places:
        raise BeatmapError(f"{root}: holds no map; give a folder with an Info, or a zip", "no_maps")
    levels = {}
    for place in places:
        try:
            with place.open() as files:
                levels[_name(place)] = read_level(files)
        except BeatmapError as error:
            logger.warning("%s: left out (%s)", place.path, error)
            refused[str(place.path)] = str(error)
    return levels


def _name(place: Place) -> str:
    is_zip = place.kind == "zip"
    return place.name[: -len(".zip")] if is_zip else place.name


def _charts(level: Level, difficulty: str) -> dict[str, Beatmap]:
    """Return the charts of a map by what they are, from the easiest; of two alike the first."""
    found: dict[str, Beatmap] = {}
    for beatmap in sorted(level.beatmaps, key=_hardness):
        is_asked = difficulty in ("", beatmap.difficulty)
        if beatmap.is_readable and is_asked:
            found.setdefault(f"{beatmap.characteristic} {beatmap.difficulty}", beatmap)
    return found


def _hardness(beatmap: Beatmap) -> int:
    known = beatmap.difficulty in DIFFICULTIES
    return DIFFICULTIES.index(beatmap.difficulty) if known else len(DIFFICULTIES)


def _nothing(
    found: Path,
    wanted: Path,
    ours: Mapping[str, Level],
    theirs: Mapping[str, Level],
    refused: Mapping[str, str],
) -> str:
    """Return that nothing can be compared, and what there is instead."""
    told = [f"{root}: {_list(levels)}" for root, levels in ((found, ours), (wanted, theirs))]
    left_out = f"; could not be read: {'; '.join(refused.values())}" if refused else ""
    return (
        "no chart has one of the same map, characteristic and difficulty to be judged by; "
        f"compare others ({'; '.join(told)}{left_out})"
    )


def _list(levels: Mapping[str, Level], most: int = 6) -> str:
    kinds = [f"{name} {kind}" for name, kind in _kinds(levels)]
    more = f" and {len(kinds) - most:,} more" if len(kinds) > most else ""
    return (", ".join(kinds[:most]) + more) or "nothing"


def _kinds(levels: Mapping[str, Level]) -> Iterator[tuple[str, str]]:
    for name, level in levels.items():
        for kind in _charts(level, ""):
            yield name, kind
