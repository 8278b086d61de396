"""How a map plays: each rule by the least that breaks it and the least that does not.

At 120 bpm a beat is half a second. Notes are (beat, lane, layer, color, direction).
"""

from dataclasses import replace

import pytest
from made_maps import text

from workbench.beatmap.maps.documents import document_of
from workbench.beatmap.maps.lights import lights_of
from workbench.beatmap.maps.objects import Arcs, Bombs, Chains, Notes, Objects, Walls
from workbench.beatmap.maps.patterns import pattern_faults
from workbench.beatmap.maps.reading import read_difficulty
from workbench.beatmap.maps.writing import write_difficulty

RED, BLUE = 0, 1
UP, DOWN, LEFT, RIGHT, ANY = 0, 1, 2, 3, 8


def notes(*rows, angle=0.0):
    columns = list(zip(*rows, strict=True))
    return replace(Objects.none(), notes=Notes.of(*columns, [angle] * len(rows)))


def kinds(objects, duration=0.0):
    beatmap = read_difficulty(write_difficulty(objects, 4))
    return {fault.kind for fault in pattern_faults(beatmap, duration)} - {"insufficient_light"}


def wall(*row):
    return replace(Objects.none(), walls=Walls.of(*([value] for value in row)))


def with_bomb(objects, *row):
    return replace(objects, bombs=Bombs.of(*([value] for value in row)))


def with_chain(objects, *row):
    return replace(objects, chains=Chains.of(*([value] for value in row)))


def with_arc(objects, *row):
    return replace(objects, arcs=Arcs.of(*([value] for value in row)))


HEAD = notes((4, 1, 0, BLUE, DOWN))
TAILED = notes((4, 1, 2, BLUE, DOWN), (6, 1, 0, BLUE, UP))

CASES = {
    "hot_start": (notes((2.9, 1, 0, 0, 1)), notes((3, 1, 0, 0, 1))),
    "off_grid": (notes((4.01, 1, 0, 0, 1)), notes((4 + 1 / 48, 1, 0, 0, 1), (6.5156, 1, 0, 1, 1))),
    "odd_angle": (notes((4, 1, 0, 0, 1), angle=60.0), notes((4, 1, 0, 0, 1), angle=45.0)),
    "short_wall": (wall(4, 0.02, 0, 0, 1, 5), wall(4, 0.04, 0, 0, 1, 5)),
    "odd_wall": (wall(4, 1, 0, 1, 1, 4), wall(4, 1, 0, 2, 1, 3)),
    "center_wall": (wall(4, 1, 1, 0, 2, 5), wall(4, 1, 1, 2, 2, 3)),
    "fast_swing": (
        notes((4, 2, 0, BLUE, DOWN), (4.125, 2, 0, BLUE, UP)),
        notes((4, 2, 0, BLUE, DOWN), (4.25, 2, 0, BLUE, UP)),
    ),
    "double_directional": (
        notes((4, 2, 0, BLUE, DOWN), (5, 2, 0, BLUE, DOWN)),
        notes((4, 2, 0, BLUE, DOWN), (5, 2, 0, BLUE, ANY), (6, 2, 0, BLUE, DOWN)),
    ),
    "slow_slider": (
        notes((4, 2, 1, BLUE, DOWN), (4.0625, 2, 0, BLUE, DOWN)),
        notes((4, 2, 1, BLUE, DOWN), (4.03125, 2, 0, BLUE, DOWN)),
    ),
    "uneven_swing": (
        notes((4, 2, 2, 1, 1), (4.03125, 2, 1, 1, 1), (4.046875, 2, 0, 1, 1)),
        notes((4, 2, 2, 1, 1), (4.03125, 2, 1, 1, 1), (4.0625, 2, 0, 1, 1)),
    ),
    "speed_pause": (
        notes((4, 1, 0, 0, 1), (4.25, 2, 0, 1, 1), (4.75, 1, 0, 0, 0), (5, 2, 0, 1, 0)),
        notes((4, 1, 0, 0, 1), (4.25, 2, 0, 1, 1), (4.5, 1, 0, 0, 0), (4.75, 2, 0, 1, 0)),
    ),
    "parallel_notes": (
        notes((4, 1, 0, BLUE, DOWN), (4, 2, 0, BLUE, DOWN)),
        notes((4, 1, 0, BLUE, DOWN), (4, 1, 1, BLUE, DOWN)),
    ),
    "improper_window": (
        notes((4, 0, 0, BLUE, 6), (4, 3, 2, BLUE, 6)),
        notes((4, 0, 0, BLUE, 6), (4, 2, 2, BLUE, 6)),
    ),
    "handclap": (
        notes((4, 1, 0, RED, RIGHT), (4, 2, 0, BLUE, LEFT)),
        notes((4, 1, 0, RED, LEFT), (4, 2, 0, BLUE, RIGHT)),
    ),
    "hitbox_path": (
        notes((4, 1, 0, RED, LEFT), (4, 2, 0, BLUE, RIGHT)),
        notes((4, 1, 0, RED, DOWN), (4, 2, 0, BLUE, DOWN)),
    ),
    "hitbox_inline": (
        notes((4, 1, 0, RED, DOWN), (4.25, 2, 0, BLUE, DOWN)),
        notes((4, 1, 0, RED, DOWN), (4.5, 2, 0, BLUE, DOWN)),
    ),
    "hitbox_staircase": (
        notes((4, 1, 0, RED, UP), (4.25, 1, 1, BLUE, UP)),
        notes((4, 1, 0, RED, UP), (4.25, 3, 1, BLUE, UP)),
    ),
    "hitbox_reverse_staircase": (
        notes((4, 1, 1, RED, UP), (4.25, 1, 0, BLUE, UP)),
        notes((4, 1, 0, RED, UP), (4.25, 1, 1, BLUE, UP)),
    ),
    "excessive_doubles": (
        notes(*((beat, lane, 0, lane - 1, 1) for beat in range(4, 10) for lane in (1, 2))),
        notes(*((beat, 1 + beat % 2, 0, beat % 2, 1) for beat in range(4, 10))),
    ),
    "hammer_hit": (with_bomb(HEAD, 4.2, 1, 1), with_bomb(HEAD, 4.5, 1, 1)),
    "improper_chain": (
        with_chain(HEAD, 4, RED, 1, 0, DOWN, 4.25, 2, 0, 4, 1),
        with_chain(HEAD, 4, BLUE, 1, 0, DOWN, 4.25, 2, 0, 4, 1),
    ),
    "improper_arc": (
        with_arc(TAILED, 4, BLUE, 1, 2, UP, 1, 6, 1, 0, UP, 1, 0),
        with_arc(TAILED, 4, BLUE, 1, 2, DOWN, 1, 6, 1, 0, UP, 1, 0),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_rule_tells_what_breaks_it_and_nothing_that_keeps_it(kind):
    bad, good = CASES[kind]
    assert kind in kinds(bad)
    assert kind not in kinds(good)


@pytest.mark.parametrize(
    ("row", "is_bad"),
    [
        ((4, BLUE, 1, 0, DOWN, 4.25, 2, 0, 4, 1), False),
        ((5, BLUE, 1, 0, DOWN, 5.25, 2, 0, 4, 1), True),  # no head
        ((4, BLUE, 1, 0, LEFT, 4.25, 0, 0, 4, 1), True),  # cut otherwise than its head
        ((4, BLUE, 1, 0, DOWN, 4, 2, 0, 4, 1), True),
        ((4, BLUE, 1, 0, DOWN, 4.25, 1, 2, 4, 1), True),  # upwards
        ((4, BLUE, 1, 0, DOWN, 4.25, 1, 0, 4, 1), True),  # in one cell
        ((4, BLUE, 1, 0, DOWN, 4.25, 2, 0, 1, 1), True),
        ((4, BLUE, 1, 0, DOWN, 4.25, 2, 0, 4, 0), True),
    ],
)
def test_chains_are_improper_in_each_of_these_ways(row, is_bad):
    assert ("improper_chain" in kinds(with_chain(HEAD, *row))) == is_bad


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0.0, set()), (5.0, set()), (3.5, {"quick_end"}), (14.0, {"long_end"}), (2.0, set())],
)
def test_the_end_is_neither_too_near_nor_too_far(duration, expected):
    found = kinds(notes((6, 1, 0, 0, 1)), duration)  # at 3 s
    assert found & {"quick_end", "long_end"} == expected


def lit(**parts):
    return read_difficulty(text({"version": "3.3.0", "bombNotes": [{"b": 8}], **parts}))


def test_bombs_in_the_dark_are_told_where_there_is_light_at_all():
    on, off = {"b": 4, "et": 1, "i": 1}, {"b": 7, "et": 1, "i": 0}
    faults = [
        {f.kind for f in pattern_faults(lit(basicBeatmapEvents=e))} for e in ([on], [on, off])
    ]
    assert ["unlit_bomb" in found for found in faults] == [False, True]
    assert "unlit_bomb" not in {f.kind for f in pattern_faults(lit())}


def test_lights_of_every_format_are_counted():
    events = [{"_time": i, "_type": 1, "_value": 1} for i in range(10)]
    second = read_difficulty(text({"_version": "2.0.0", "_events": [*events, {"_type": 8}]}))
    assert len(lights_of(second).events) == 10  # a ring's spin is no light
    assert "insufficient_light" not in {f.kind for f in pattern_faults(second)}
    groups = [{"b": 1, "g": 2, "e": []}] * 10
    assert lights_of(lit(lightRotationEventBoxGroups=groups)).groups == 10
    fourth = read_difficulty(text({"version": "4.0.0", "colorNotes": []}))
    show = {"version": "4.0.0", "basicEvents": [{"b": 1}], "basicEventsData": [{"i": 1}]}
    shown = replace(fourth, lightshow=document_of(text({**show, "eventBoxGroups": groups})))
    assert (len(lights_of(shown).events), lights_of(shown).groups) == (1, 10)
    assert lights_of(fourth).events == ()


def test_a_difficulty_that_cannot_be_read_has_no_patterns():
    broken = read_difficulty(b"{")
    assert not broken.is_readable and pattern_faults(broken) == ()
