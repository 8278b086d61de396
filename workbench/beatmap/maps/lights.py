"""How much light a difficulty has, and when, of any format; colours and effects are passed over."""

from dataclasses import dataclass

import msgspec

from workbench.beatmap.maps.decoding import Found, SchemaDecoder
from workbench.beatmap.maps.documents import Document
from workbench.beatmap.maps.level import Beatmap
from workbench.beatmap.maps.parsed import present
from workbench.beatmap.maps.schemas import v2, v3, v4

LAMPS = (0, 1, 2, 3, 4, 6, 7, 10, 11)  # types of basic events that light something
_FADES = (3, 7, 11)
_V2 = SchemaDecoder(v2.Difficulty)
_V3 = SchemaDecoder(v3.Difficulty)
_V4 = SchemaDecoder(v4.Lightshow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lights:
    """Lights of a difficulty.

    Attributes:
        events: Beat, type and value of each that lights a lamp or puts it out, sorted.
        groups: How many groups of event boxes there are, which newer environments use.
    """

    events: tuple[tuple[float, int, int], ...]
    groups: int

    def lit_at(self, beat: float) -> bool:
        """Return whether any lamp is on at a beat; one that fades is out."""
        values = {kind: value for at, kind, value in self.events if at <= beat}
        return any(value and value not in _FADES for value in values.values())


def lights_of(beatmap: Beatmap) -> Lights:
    """Return the lights of a difficulty, of its own file or of the one beside it."""
    document = beatmap.lightshow or beatmap.document
    if document is None or (document.format == 4 and beatmap.lightshow is None):
        return Lights(events=(), groups=0)
    events, groups = _read(document)
    return Lights(events=tuple(sorted(e for e in events if e[1] in LAMPS)), groups=groups)


def _read(document: Document) -> tuple[list[tuple[float, int, int]], int]:
    found = Found("")
    if document.format == 4:
        file = _V4.decode(document.body(), found) or v4.Lightshow()
        data = file.basicEventsData or []
        placed, _ = present(file.basicEvents)
        pairs = [(e.b, data[e.i]) for e in placed if 0 <= e.i < len(data) and data[e.i]]
        return [(b, d.t, d.i) for b, d in pairs], len(file.eventBoxGroups or ())
    if document.format == 3:
        show: v3.Difficulty = _V3.decode(document.body(), found) or v3.Difficulty()
        basic, _ = present(show.basicBeatmapEvents)
        groups = sum(
            len(getattr(show, name) or ())
            for name in msgspec.structs.asdict(show)
            if name.endswith("EventBoxGroups")
        )
        return [(e.b, e.et, e.i) for e in basic], groups
    old: v2.Difficulty = _V2.decode(document.body(), found) or v2.Difficulty()
    events, _ = present(old._events)
    return [(e._time, e._type, e._value) for e in events], 0
