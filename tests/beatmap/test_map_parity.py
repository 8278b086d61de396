"""Swings, and whether hands can go to and fro: against all choices of sides, and by example."""

from itertools import product

import numpy as np
import pytest
from hand_made import (
    ANY,
    BLUE,
    DOWN,
    DOWN_LEFT,
    DOWN_RIGHT,
    LEFT,
    RED,
    RIGHT,
    TIMES,
    UP,
    UP_LEFT,
    UP_RIGHT,
    chart,
    charts,
    mirrored,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.beatmap.maps.objects import Bombs
from workbench.beatmap.maps.swings import Swings, hand_swings
from workbench.beatmap.writer.metrics_parity import RESET_REST, parity_breaks

VECTORS = [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0)]


def swings_of(objects, color=BLUE):
    return hand_swings(objects.notes, TIMES.seconds_at(objects.notes.beat), color)


def breaks_of(objects, color=BLUE):
    seconds = TIMES.seconds_at(objects.bombs.beat)
    found = parity_breaks(swings_of(objects, color), objects.bombs, seconds)
    return found.errors, found.resets


def row_of(*directions, beats=0.5):
    """Return a chart of one hand, a note every so many beats."""
    return chart([(4 + beats * i, 2, 0, BLUE, way) for i, way in enumerate(directions)])


# --- swings


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([(4, 1, 0, BLUE, DOWN), (4, 1, 1, BLUE, DOWN), (4, 1, 2, BLUE, DOWN)], 1),  # a tower
        ([(4, 0, 0, BLUE, DOWN), (4, 2, 0, BLUE, DOWN)], 1),  # a window
        ([(4, 1, 2, BLUE, DOWN), (4.1, 1, 1, BLUE, ANY), (4.2, 1, 0, BLUE, ANY)], 1),  # a slider
        ([(4, 1, 0, BLUE, DOWN), (4.125, 1, 2, BLUE, UP)], 2),  # a stream at 62.5 ms
        ([(4, 1, 0, BLUE, DOWN), (4.2, 1, 0, BLUE, DOWN)], 2),  # at 100 ms
        ([(4, 1, 0, BLUE, DOWN), (4, 2, 0, RED, DOWN)], 1),  # the other is another hand's
        ([(4, 1, 0, BLUE, LEFT), (4, 2, 0, BLUE, UP)], 1),  # 90 degrees
        ([(4, 1, 0, BLUE, LEFT), (4, 2, 0, BLUE, UP_RIGHT)], 2),  # 135
    ],
)
def test_notes_that_one_movement_cuts_are_one_swing(rows, count):
    assert len(swings_of(chart(rows))) == count


def test_a_swing_goes_the_way_of_its_notes_on_average_and_spans_them():
    swings = swings_of(chart([(4, 1, 2, BLUE, DOWN), (4.1, 2, 1, BLUE, RIGHT), (6, 3, 0, BLUE, 8)]))
    assert np.allclose(swings.cut, [[0.5**0.5, -(0.5**0.5)], [0, 0]])
    assert np.allclose(swings.seconds, [2, 3]) and np.allclose(swings.until, [2.05, 3])
    assert swings.lane.tolist() == [1, 3] and swings.last_lane.tolist() == [2, 3]


def test_an_angle_turns_a_cut_counter_clockwise():
    swings = swings_of(chart([(4, 1, 2, BLUE, DOWN), (6, 1, 2, BLUE, ANY)], angle=45.0))
    assert np.allclose(swings.cut, [[0.5**0.5, -(0.5**0.5)], [0, 0]])


@settings(max_examples=50)
@given(charts(is_odd=True))
def test_every_note_of_a_hand_is_in_one_swing(objects):
    for color in (RED, BLUE):
        swings = swings_of(objects, color)
        times = np.unique(TIMES.seconds_at(objects.notes.beat[objects.notes.color == color]))
        assert all(((swings.seconds <= t) & (t <= swings.until)).any() for t in times)
        assert (np.diff(swings.seconds) >= 0).all() and (swings.until >= swings.seconds).all()
        size = np.hypot(*swings.cut.T)
        assert (np.isclose(size, 1) | (size == 0)).all()


# --- parity


def drawn_swings(ways, rests):
    """Return swings of one hand that go these ways, with these rests between, seconds."""
    seconds = np.append(0, np.cumsum(rests))[: len(ways)].astype(np.float64)
    cut = np.array([VECTORS[way] for way in ways], np.float64).reshape(-1, 2)
    size = np.maximum(np.hypot(*cut.T), 1)[:, None]
    lane = np.ones(len(ways), np.int32)
    return Swings(seconds=seconds, until=seconds, cut=cut / size, lane=lane, last_lane=lane)


def least_breaks(ways, rests):
    """Return breaks and errors of the best of all choices of sides for the swings."""

    def may(way, side):
        y = VECTORS[way][1]
        return y == 0 or (y < 0) == (side == 0)

    def is_break(i, sides):
        (x, y), (u, v) = VECTORS[ways[i]], VECTORS[ways[i + 1]]
        return sides[i] == sides[i + 1] or x * u + y * v > 0

    found = []
    for sides in product((0, 1), repeat=len(ways)):
        if all(map(may, ways, sides)):
            broken = [i for i in range(len(ways) - 1) if is_break(i, sides)]
            found.append((len(broken), sum(rests[i] < RESET_REST for i in broken)))
    return min(found)


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from([0.1, 0.25, 0.5, 2.0])),
        min_size=1,
        max_size=9,
    )
)
def test_breaks_are_the_least_that_any_choice_of_sides_has(row):
    ways, rests = [way for way, _ in row], [rest for _, rest in row]
    found = parity_breaks(drawn_swings(ways, rests), Bombs.none(), np.zeros(0))
    breaks, errors = least_breaks(ways, rests)
    assert (found.errors + found.resets, found.errors) == (breaks, errors)


@settings(max_examples=50)
@given(charts())
def test_the_rule_is_the_same_in_a_mirror(objects):
    for color in (RED, BLUE):
        assert breaks_of(mirrored(objects), 1 - color) == breaks_of(objects, color)


@pytest.mark.parametrize(
    ("ways", "errors"),
    [
        ((), 0),
        ((DOWN,), 0),
        ((DOWN, UP, DOWN, UP), 0),
        ((DOWN, UP_LEFT, DOWN_RIGHT, UP), 0),
        ((DOWN_LEFT, UP_RIGHT, DOWN, UP), 0),
        ((DOWN, DOWN), 1),
        ((DOWN, DOWN, DOWN, DOWN), 3),
        ((DOWN, ANY, DOWN), 0),
        ((DOWN, ANY, ANY, DOWN), 1),
        ((ANY, ANY, ANY), 0),
        ((DOWN, LEFT, DOWN), 0),
        ((DOWN, LEFT, RIGHT, DOWN), 1),
        ((LEFT, RIGHT, LEFT, RIGHT), 0),
        ((LEFT, LEFT), 1),  # either side, but not twice the same way
        ((DOWN, DOWN_LEFT), 1),
        ((DOWN_LEFT, DOWN_RIGHT), 1),  # 90 degrees apart, and both forehand
        ((DOWN_LEFT, UP_LEFT), 0),
        ((DOWN, LEFT, LEFT, DOWN), 1),  # the break within pays for the stretch
    ],
)
def test_hands_that_go_to_and_fro_make_no_error_and_others_do(ways, errors):
    assert breaks_of(row_of(*ways)) == (errors, 0)


def test_with_time_to_come_back_a_break_is_a_reset():
    assert breaks_of(row_of(DOWN, DOWN, beats=0.99)) == (1, 0)
    assert breaks_of(row_of(DOWN, DOWN, beats=1)) == (0, 1)  # half a second
    rows = [(4, 2, 0, BLUE, DOWN), (4.5, 2, 0, BLUE, ANY), (6, 2, 0, BLUE, ANY)]
    assert breaks_of(chart([*rows, (6.5, 2, 0, BLUE, DOWN)])) == (0, 1)


@pytest.mark.parametrize(
    ("bomb", "is_reset"),
    [
        ((4.25, 2, 0), True),
        ((4.25, 3, 0), True),  # where the hand goes
        ((4.25, 1, 0), False),  # in neither lane
        ((4, 2, 1), False),  # with the note
        ((4.5, 2, 1), False),
        ((4.75, 2, 0), False),
    ],
)
def test_a_bomb_in_the_way_asks_for_a_reset(bomb, is_reset):
    rows = [(4, 2, 0, BLUE, DOWN), (4.5, 3, 0, BLUE, DOWN)]
    assert breaks_of(chart(rows, [bomb])) == ((0, 1) if is_reset else (1, 0))


def test_a_stack_is_one_swing_and_no_error():
    rows = [(4, 2, layer, BLUE, DOWN) for layer in range(3)] + [(4.5, 2, 0, BLUE, UP)]
    assert breaks_of(chart(rows)) == (0, 0)
