"""How a difficulty plays: what players and reviewers of maps call faults, told by beat.

These are oddities, not errors: human maps hold many on purpose, and none is fatal. `reading`
tells what is wrong with the files; this tells what a hand, an eye or a review would object to.
Units: seconds by the map's own time; distances are in cells. The thresholds are reviewers' usual
ones; each is named below.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from workbench.beatmap.maps.decoding import Found
from workbench.beatmap.maps.level import Beatmap, Level
from workbench.beatmap.maps.lights import lights_of
from workbench.beatmap.maps.objects import Arcs, Fault, Objects
from workbench.beatmap.maps.swings import cuts, swing_starts
from workbench.beatmap.maps.timemap import TimeMap

HOT_START = 1.5  # seconds before the first object
QUICK_END = 2.0  # seconds behind the last
LONG_END = 10.0
SHORT_WALL = 0.015  # seconds: a frame or so
FAST_SWING = 0.070  # seconds between two swings of a hand
SLOW_SLIDER = 0.025  # seconds a cell
UNEVEN = 1.25  # slowest to fastest part of one swing
SAME_TIME = 0.010  # seconds
NEAR_TIME = 0.150  # seconds in which two hands get in each other's way
BOMB_TIME = 0.130
STREAM = 0.130  # seconds between notes that make a stream
LEAST_LIGHTS = 10
GRIDS = (48, 64)  # parts of a beat that a note may stand on
OFF_GRID = 0.001  # beats

_ANY = 8


@dataclass(frozen=True, slots=True)
class _Note:
    """A note; `x`, `y` is the unit vector of its cut, 0 of a dot."""

    beat: float
    seconds: float
    lane: int
    layer: int
    color: int
    direction: int
    angle: float
    x: float
    y: float

    def away(self, other: "_Note") -> tuple[int, int]:
        return other.lane - self.lane, other.layer - self.layer


def checked(level: Level) -> Level:
    """Return a level whose beatmaps' faults also tell how they play."""
    beatmaps = tuple(
        replace(b, faults=b.faults + pattern_faults(b, level.duration)) for b in level.beatmaps
    )
    return replace(level, beatmaps=beatmaps)


def pattern_faults(beatmap: Beatmap, duration: float = 0.0) -> tuple[Fault, ...]:
    """Return what is odd about how a difficulty plays.

    Args:
        beatmap: As read.
        duration: Of the audio, seconds; 0 if unknown.
    """
    if not beatmap.is_readable:
        return ()
    found = Found(beatmap.file)
    objects, times = beatmap.objects, beatmap.time_map
    notes = list(_notes(objects, times))
    swings = [_swings([n for n in notes if n.color == color]) for color in (0, 1)]
    _check_ends(found, objects, times, duration)
    _check_walls(found, objects, times)
    _check_notes(found, notes)
    for hand in swings:
        _check_swings(found, hand)
    _check_pairs(found, notes)
    _check_doubles(found, notes)
    _check_pauses(found, notes)
    _check_bombs(found, notes, objects, times)
    _check_chains(found, notes, objects)
    _check_arcs(found, notes, objects)
    _check_lights(found, beatmap)
    return found.faults()


def _at(beat: float) -> str:
    return f"beat {beat:g}"


def _notes(objects: Objects, times: TimeMap) -> Iterator[_Note]:
    notes = objects.notes
    seconds = times.seconds_at(notes.beat).tolist()
    way = cuts(notes.direction, notes.angle).tolist()
    columns = (getattr(notes, name).tolist() for name in notes.DTYPES)
    for at, (x, y), (beat, lane, layer, color, direction, angle) in zip(
        seconds, way, zip(*columns, strict=True), strict=True
    ):
        yield _Note(beat, at, lane, layer, color, direction, angle, x, y)


def _between(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return the degrees between two vectors, 0 to 180; 0 if one has no length."""
    size = math.hypot(*first) * math.hypot(*second)
    if not size:
        return 0.0
    cosine = (first[0] * second[0] + first[1] * second[1]) / size
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _swings(notes: list[_Note]) -> list[list[_Note]]:
    """Return the notes of a hand by swing."""
    seconds = np.array([note.seconds for note in notes], np.float64)
    way = np.array([(note.x, note.y) for note in notes], np.float64).reshape(-1, 2)
    starts = [*np.flatnonzero(swing_starts(seconds, way)).tolist(), len(notes)]
    return [notes[first:end] for first, end in pairwise(starts)]


def _check_ends(found: Found, objects: Objects, times: TimeMap, duration: float) -> None:
    """Tell of objects too soon for a player, and of an end too near or too far."""
    kinds = (objects.notes, objects.bombs, objects.walls, objects.chains)
    beats = [float(beat) for kind in kinds if len(kind) for beat in (kind.beat[0], kind.beat[-1])]
    if not beats:
        return
    first, last = times.seconds_at([min(beats), max(beats)]).tolist()
    if first < HOT_START:
        found.add("hot_start", _at(min(beats)), f"the first object comes at {first:.3f} s")
    rest = duration - last
    if duration and 0 <= rest < QUICK_END:
        found.add("quick_end", _at(max(beats)), f"{rest:.3f} s to the end of the audio")
    elif duration and rest > LONG_END:
        found.add("long_end", _at(max(beats)), f"{rest:.3f} s without objects to the end")


def _check_walls(found: Found, objects: Objects, times: TimeMap) -> None:
    walls = objects.walls
    start = times.seconds_at(walls.beat).tolist()
    end = times.seconds_at(walls.beat + walls.duration).tolist()
    columns = (getattr(walls, name).tolist() for name in walls.DTYPES)
    rows = zip(start, end, *columns, strict=True)
    for begin, until, beat, duration, lane, layer, width, height in rows:
        if 0 < until - begin < SHORT_WALL:
            found.add("short_wall", _at(beat), f"{until - begin:.4f} s long")
        if (layer, height) not in ((0, 5), (2, 3)):
            detail = f"layer {layer}, height {height} is neither a full nor a top wall"
            found.add("odd_wall", _at(beat), detail)
        if lane <= 1 and lane + width >= 3 and layer + height > 2 and layer <= 1 and duration > 0:
            found.add("center_wall", _at(beat), f"lanes {lane} to {lane + width - 1} are shut")


def _check_notes(found: Found, notes: list[_Note]) -> None:
    for note in notes:
        off = min(abs(note.beat * grid - round(note.beat * grid)) / grid for grid in GRIDS)
        if off > OFF_GRID:
            detail = f"{off:.4f} beats off the nearest 1/48 and 1/64"
            found.add("off_grid", f"beat {note.beat:.6g}", detail)
        if abs(note.angle) > 45 or (note.direction == _ANY and note.angle % 45):
            found.add("odd_angle", _at(note.beat), f"turned by {note.angle:g} degrees")


def _check_swings(found: Found, swings: list[list[_Note]]) -> None:
    """Tell of swings that come too fast, go on in one direction, or vary within themselves."""
    for before, after in pairwise(swings):
        apart = after[0].seconds - before[-1].seconds
        where = _at(after[0].beat)
        if SAME_TIME < apart < FAST_SWING:
            found.add("fast_swing", where, f"{apart:.3f} s after the swing before")
        last, first = before[-1], after[0]
        is_arrow = (last.x or last.y) and (first.x or first.y)
        if is_arrow and apart > SAME_TIME and _between((last.x, last.y), (first.x, first.y)) < 45:
            detail = "cut as the swing before, without a way back"
            found.add("double_directional", where, detail)
    for swing in swings:
        paces = []
        for one, other in pairwise(swing):
            cells = math.hypot(*one.away(other))
            if cells and other.seconds - one.seconds > 1e-4:
                paces.append((other.seconds - one.seconds) / cells)
        if not paces:
            continue
        if max(paces) > SLOW_SLIDER:
            found.add("slow_slider", _at(swing[0].beat), f"{max(paces):.4f} s a cell")
        if max(paces) > UNEVEN * min(paces):
            detail = f"{min(paces):.4f} to {max(paces):.4f} s a cell in one swing"
            found.add("uneven_swing", _at(swing[0].beat), detail)


def _near(notes: list[_Note], seconds: float) -> Iterator[tuple[_Note, _Note]]:
    """Yield all pairs of notes that are no further apart in time, the earlier first."""
    for i, one in enumerate(notes):
        for other in notes[i + 1 :]:
            if other.seconds - one.seconds > seconds:
                break
            yield one, other


def _check_pairs(found: Found, notes: list[_Note]) -> None:
    for one, other in _near(notes, NEAR_TIME):
        if one.away(other) == (0, 0):
            continue
        apart = other.seconds - one.seconds
        if one.color == other.color:
            if apart <= SAME_TIME:
                _check_window(found, one, other)
        elif apart <= 2 * SAME_TIME:
            _check_hands(found, one, other)
            if apart > 1e-3:
                _check_stairs(found, one, other)
        else:
            _check_stairs(found, one, other)


def _check_window(found: Found, one: _Note, other: _Note) -> None:
    """Tell of two notes that one swing cannot go through in their directions."""
    line = one.away(other)
    cuts = [(note.x, note.y) for note in (one, other) if note.x or note.y]
    if not cuts:
        return
    off = max(min(_between(cut, line), 180 - _between(cut, line)) for cut in cuts)
    is_opposed = len(cuts) == 2 and _between(*cuts) > 90
    if off >= 45 or is_opposed:
        found.add("parallel_notes", _at(one.beat), "one hand, side by side at one time")
    elif off > 5 and max(abs(line[0]), abs(line[1])) >= 2:
        found.add("improper_window", _at(one.beat), f"cut {off:.0f} degrees off their line")


def _check_hands(found: Found, one: _Note, other: _Note) -> None:
    """Tell of hands that meet, or of a swing that goes through the other hand's note."""
    line = one.away(other)
    back = (-line[0], -line[1])
    if one.x * line[0] + one.y * line[1] > 1e-6 and other.x * back[0] + other.y * back[1] > 1e-6:
        found.add("handclap", _at(one.beat), "the hands swing at each other")
    for note, away in ((one, line), (other, back)):
        if not (note.x or note.y):
            continue
        angle = _between((note.x, note.y), away)
        if min(angle, 180 - angle) < 30:
            found.add("hitbox_path", _at(note.beat), "the other hand's note is in a swing's way")
            return


def _check_stairs(found: Found, one: _Note, other: _Note) -> None:
    """Tell of a note beside one that the other hand has just cut."""
    line = one.away(other)
    if max(abs(line[0]), abs(line[1])) > 1 or not (one.x or one.y) or not (other.x or other.y):
        return
    ahead, behind = _between((one.x, one.y), line), _between((other.x, other.y), line)
    if 60 < ahead < 120 and 60 < behind < 120:
        found.add("hitbox_inline", _at(other.beat), "beside the other hand's last note")
    elif behind > 90:
        detail = "the swing begins in the other hand's last note"
        found.add("hitbox_reverse_staircase", _at(other.beat), detail)
    elif ahead < 90:
        detail = "where the other hand's last swing ends"
        found.add("hitbox_staircase", _at(other.beat), detail)


def _check_doubles(found: Found, notes: list[_Note]) -> None:
    """Tell if both hands strike together at most of the moments."""
    hands: dict[int, set[int]] = {}
    for note in notes:
        hands.setdefault(round(note.seconds / SAME_TIME), set()).add(note.color)
    both = sum(len(colors) > 1 for colors in hands.values())
    if len(hands) > 4 and both > len(hands) / 2:
        found.add("excessive_doubles", "$", f"both hands at {both} of {len(hands)} moments")


def _check_pauses(found: Found, notes: list[_Note]) -> None:
    """Tell of a stream that halts for one beat of its own pace and goes on."""
    moments: list[_Note] = []
    for note in notes:
        if not moments or note.seconds - moments[-1].seconds > SAME_TIME:
            moments.append(note)
    gaps = [b.seconds - a.seconds for a, b in pairwise(moments)]
    for i, (before, halt, after) in enumerate(zip(gaps, gaps[1:], gaps[2:], strict=False)):
        pace = max(before, after)
        if pace <= STREAM and 1.75 * pace <= halt <= 2.25 * pace:
            detail = f"{halt:.3f} s in a stream of {pace:.3f}"
            found.add("speed_pause", _at(moments[i + 2].beat), detail)


def _check_bombs(found: Found, notes: list[_Note], objects: Objects, times: TimeMap) -> None:
    """Tell of bombs in the cell that a swing comes from or goes to."""
    bombs = objects.bombs
    at = times.seconds_at(bombs.beat).tolist()
    cells: dict[tuple[int, int], list[float]] = {}
    for second, lane, layer in zip(at, bombs.lane.tolist(), bombs.layer.tolist(), strict=True):
        cells.setdefault((lane, layer), []).append(second)
    if not cells:
        return
    for note in notes:
        dx, dy = round(note.x), round(note.y)
        for lane, layer in ((note.lane + dx, note.layer + dy), (note.lane - dx, note.layer - dy)):
            if any(
                abs(second - note.seconds) < BOMB_TIME for second in cells.get((lane, layer), ())
            ):
                detail = f"a bomb at lane {lane}, layer {layer} is in a swing's way"
                found.add("hammer_hit", _at(note.beat), detail)


def _check_chains(found: Found, notes: list[_Note], objects: Objects) -> None:
    by_place = _by_place(notes)
    chains = objects.chains
    way = cuts(chains.direction, np.zeros(len(chains))).tolist()
    columns = (getattr(chains, name).tolist() for name in chains.DTYPES)
    for (x, y), row in zip(way, zip(*columns, strict=True), strict=True):
        beat, color, lane, layer, direction, tail, tail_lane, tail_layer, slices, squish = row
        head = by_place.get((beat, lane, layer))
        line = (tail_lane - lane, tail_layer - layer)
        wrongs = (
            (head is None, "no note at its head"),
            (head is not None and head.color != color, "a head of the other hand"),
            (head is not None and head.direction != direction, "a head cut in another direction"),
            (tail <= beat, "a tail not behind its head"),
            (slices < 2, f"{slices} slices; the head is one"),
            (squish <= 0, f"a squish of {squish:g}"),
            (line == (0, 0), "a tail in its head's cell"),
            (_between((x, y), line) > 90, "a tail against its direction"),
        )
        _tell_first(found, "improper_chain", beat, wrongs)


def _check_arcs(found: Found, notes: list[_Note], objects: Objects) -> None:
    by_place, by_time = _by_place(notes), _by_time(notes)
    bombs = {
        (beat, lane, layer)
        for beat, lane, layer in zip(
            objects.bombs.beat.tolist(),
            objects.bombs.lane.tolist(),
            objects.bombs.layer.tolist(),
            strict=True,
        )
    }
    for row in _arc_rows(objects.arcs):
        beat, color, ends, tail_beat = row
        wrongs: list[tuple[bool, str]] = [(tail_beat <= beat, "a tail not behind its head")]
        for name, at, lane, layer, direction in ends:
            note = by_place.get((at, lane, layer))
            wrongs += [
                ((at, lane, layer) in bombs, f"a bomb at its {name}"),
                (note is not None and note.color != color, f"a {name} of the other hand"),
                (
                    note is not None
                    and _ANY not in (note.direction, direction)
                    and note.direction != direction,
                    f"a {name} in another direction than its note",
                ),
                (
                    note is None and any(n.color == color for n in by_time.get(at, ())),
                    f"a {name} beside its note",
                ),
            ]
        _tell_first(found, "improper_arc", beat, wrongs)


_End = tuple[str, float, int, int, int]


def _arc_rows(arcs: Arcs) -> Iterator[tuple[float, int, tuple[_End, _End], float]]:
    """Yield beat, colour, both ends and beat of the tail of each arc."""
    for row in zip(*(getattr(arcs, name).tolist() for name in arcs.DTYPES), strict=True):
        beat, color, lane, layer, direction, _, tail, tail_lane, tail_layer, tail_direction = row[
            :10
        ]
        head: _End = ("head", beat, lane, layer, direction)
        yield beat, color, (head, ("tail", tail, tail_lane, tail_layer, tail_direction)), tail


def _tell_first(found: Found, kind: str, beat: float, wrongs: Iterable[tuple[bool, str]]) -> None:
    """Tell the first thing that is wrong with an object, if any is."""
    for is_wrong, detail in wrongs:
        if is_wrong:
            found.add(kind, _at(beat), detail)
            return


def _by_place(notes: list[_Note]) -> dict[tuple[float, int, int], _Note]:
    return {(note.beat, note.lane, note.layer): note for note in notes}


def _by_time(notes: list[_Note]) -> dict[float, list[_Note]]:
    times: dict[float, list[_Note]] = {}
    for note in notes:
        times.setdefault(note.beat, []).append(note)
    return times


def _check_lights(found: Found, beatmap: Beatmap) -> None:
    """Tell of a difficulty in the dark, and of bombs that no light shows."""
    lights = lights_of(beatmap)
    count = len(lights.events) + lights.groups
    if count < LEAST_LIGHTS:
        found.add("insufficient_light", "$", f"{count} lights in all")
    if lights.groups or not lights.events:
        return
    for beat in beatmap.objects.bombs.beat.tolist():
        if not lights.lit_at(beat):
            found.add("unlit_bomb", _at(beat), "no light is on")
