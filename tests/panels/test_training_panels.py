"""The curves of a training, and the small curves that panels draw."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.panels import curves as small
from workbench.panels import training as panel
from workbench.progress import Progress

STEP = st.floats(-1e6, 1e6)


def drawn(svg):
    """Return the points of each curve of a page."""
    lines = re.findall(r'points="([^"]*)"', svg)
    return [[tuple(map(float, p.split(","))) for p in line.split()] for line in lines]


class Clock:
    """Time that a test moves."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


# --- small curves


@given(
    st.lists(
        st.tuples(st.integers(0, 900), STEP), min_size=1, max_size=90, unique_by=lambda p: p[0]
    )
)
def test_a_curve_stays_in_its_frame_and_is_well_formed(points):
    points = sorted(points)
    svg = small.curve("a < b, nats", points, 900, "#123456")
    ElementTree.fromstring(svg)
    (line,) = drawn(svg)
    assert len(line) == len(points)
    for x, y in line:
        assert small.LEFT - 0.1 <= x <= small.WIDTH - small.RIGHT + 0.1
        assert small.TOP - 0.1 <= y <= small.HEIGHT - small.BOTTOM + 0.1
    highest, lowest = max(points, key=lambda p: p[1]), min(points, key=lambda p: p[1])
    if highest[1] > lowest[1]:
        assert line[points.index(highest)][1] == pytest.approx(small.TOP, abs=0.1)
        assert line[points.index(lowest)][1] == pytest.approx(small.HEIGHT - small.BOTTOM, abs=0.1)


def test_one_point_is_seen_and_no_point_draws_nothing():
    assert small.curve("f1", [], 10, "#123456") == ""
    svg = small.curve("f1", [(5, 0.5)], 10, "#123456", limits=(0.0, 1.0))
    height = small.HEIGHT - small.TOP - small.BOTTOM
    assert re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg).groups() == (
        f"{(small.LEFT + small.WIDTH - small.RIGHT) / 2:.1f}",
        f"{small.TOP + height / 2:.1f}",
    )
    assert 'aria-label="f1: 0.5"' in svg


@given(st.lists(st.tuples(STEP, STEP), min_size=1, max_size=400))
@example([(float(n), 0.0) for n in range(650)])
def test_thinned_points_are_some_of_them_in_their_order_with_the_last(points):
    some = small.thinned(points)
    assert len(some) <= 300
    assert some[-1] == points[-1]
    every = iter(points)
    assert all(point in every for point in some)  # each found behind the one before


# --- a training


@settings(max_examples=12)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=120))
@example([*range(1, 41), *range(21, 61)])
def test_steps_that_come_again_replace_those_before(steps):
    curves = panel.TrainingCurves(60)
    kept = {}
    for number, step in enumerate(steps):
        curves.add(step, number)
        kept = {s: loss for s, loss in kept.items() if s < step} | {step: number}
    loss = curves.picture().figure.axes[0].lines[0]
    assert dict(zip(loss.get_xdata(), loss.get_ydata(), strict=True)) == kept


@settings(max_examples=20)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=700))
def test_live_curves_end_at_the_last_step_and_have_every_look(losses):
    curves = panel.TrainingCurves(len(losses))
    for step, loss in enumerate(losses, 1):
        if step % 10 == 0:
            curves.look(step, nats=5 - step / 1000, f1=step / 1000)
        curves.add(step, loss)
    loss, *looks = drawn(curves.widget.value)
    assert loss[-1][0] == pytest.approx(small.WIDTH - small.RIGHT, abs=0.2)
    assert [len(line) for line in looks] == ([len(losses) // 10] * 2 if len(losses) >= 10 else [])


def test_looks_beyond_a_step_that_comes_again_are_forgotten():
    curves = panel.TrainingCurves(60)
    for step in (10, 20, 30):
        curves.add(step, 1.0)
        curves.look(step, nats=1 / step)
    curves.add(20, 1.0)
    _, nats = curves.picture().figure.axes
    assert nats.lines[0].get_xdata().tolist() == [10, 20]


def test_pictures_are_drawn_five_times_a_second_and_at_the_end():
    clock = Clock()
    curves = panel.TrainingCurves(100, clock=clock)
    pages = set()
    for step in range(1, 101):
        clock.seconds += 0.01
        curves.add(step, 1 / step)
        pages.add(curves.widget.value)
    assert len(pages) == 6  # the first, one each 0.2 s, the last
    assert "learning: 100/100 steps, 100/s, loss 0.01" in curves.widget.value
    (loss,) = drawn(curves.widget.value)
    assert len(loss) == 100


def test_a_look_is_drawn_at_once():
    clock = Clock()
    curves = panel.TrainingCurves(100, clock=clock)
    curves.add(1, 3.0)
    curves.look(1, nats=2.5, f1=0.25)
    assert [len(line) for line in drawn(curves.widget.value)] == [1, 1, 1]
    assert "held out, onset F1 at 50 ms: 0.25" in curves.widget.value


def test_the_rate_and_what_is_left_are_of_this_run():
    clock = Clock()
    curves = panel.TrainingCurves(1000, clock=clock)
    for step in range(501, 512):
        curves.add(step, 1.0)
        clock.seconds += 0.5
    assert curves.last.rate == pytest.approx(2.0)
    assert curves.last.eta_seconds == pytest.approx((1000 - 511) / 2)


def test_states_of_a_training_are_taken_as_they_are():
    curves = panel.TrainingCurves()
    told = [{"loss": 3.0}, {"loss": 2.0, "nats": 1.5, "f1": math.nan}, {"loss": 1.0, "nats": 1.5}]
    told.append({"loss": 0.5, "nats": 1.0, "f1": 0.75})
    for done, numbers in enumerate(told, 1):
        state = Progress(
            stage="learning", done=done, total=4, unit="steps", seconds=done, fresh=done,
            numbers=numbers,
        )  # fmt: skip
        curves.show(state)
    loss, nats, f1 = curves.picture().figure.axes
    assert loss.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0, 0.5]
    assert nats.lines[0].get_xydata().tolist() == [[2, 1.5], [4, 1.0]]
    assert f1.lines[0].get_xydata().tolist() == [[4, 0.75]]
    assert curves.odd == 0
    assert curves.still() == (
        "learning: 4 of 4 steps; loss, nats a token 0.5; held out, nats a note 1; "
        "held out, onset F1 at 50 ms 0.75"
    )


def test_numbers_that_are_not_finite_are_counted_and_break_no_curve():
    curves = panel.TrainingCurves(4)
    for step, loss in enumerate((1.0, math.nan, math.inf, 2.0), 1):
        curves.add(step, loss)
    curves.look(4, math.nan, math.nan)
    (loss,) = drawn(curves.widget.value)
    assert len(loss) == 2
    assert curves.odd == 4
    assert "4 not finite" in curves.widget.value
    assert curves.still().endswith("4 not finite")


def test_nothing_yet_is_told_as_nothing():
    curves = panel.TrainingCurves(10)
    assert curves.still() == "nothing was shown"
    assert curves.picture()._repr_png_().startswith(b"\x89PNG")
    assert curves.picture().caption == "losses of 0 steps, 0 looks"


def test_equal_trainings_have_equal_digests_and_others_have_others():
    def digest(losses, nats):
        curves = panel.TrainingCurves(len(losses))
        for step, loss in enumerate(losses, 1):
            curves.add(step, loss)
        curves.look(len(losses), nats)
        return curves.picture().digest

    assert digest([3, 2, 1], 1.5) == digest([3, 2, 1], 1.5)
    assert len({digest([3, 2, 1], 1.5), digest([3, 2, 1], 1.4), digest([3, 2, 2], 1.5)}) == 3


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(1, 30))
def test_a_running_mean_is_the_mean_around_each_value(values, width):
    found = panel.smoothed(np.array(values), width)
    half = width // 2
    for place, mean in enumerate(found):
        around = values[max(place - half, 0) : place + half + 1]
        assert mean == pytest.approx(np.mean(around), abs=1e-9)
