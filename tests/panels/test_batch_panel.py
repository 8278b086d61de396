"""How far a batch of runs is, as a notebook shows it."""

import re

import pytest

from workbench.panels.batch import BatchPanel, duration
from workbench.progress import Progress


def state(done: int, *, failed: int = 0, at_work: int = 0, seconds: float = 60.0) -> Progress:
    """Return a state of a batch of ten runs."""
    return Progress(
        stage="night",
        done=done,
        total=10,
        unit="runs",
        seconds=seconds,
        fresh=done,
        numbers={"at work": at_work, "failed": failed},
    )


def cells(done: int) -> Progress:
    """Return a state of one run that has four cells."""
    return Progress(stage="<beats>", done=done, total=4, unit="cells", seconds=1.0, fresh=done)


def parts(panel: BatchPanel) -> list[float]:
    """Return how wide the parts of the bar are: done, failed, at work."""
    return [float(width) for width in re.findall(r"width:([\d.]+)%", panel.widget.value)]


def test_the_bar_has_a_part_for_each_kind_of_run() -> None:
    panel = BatchPanel(clock=iter(range(100)).__next__)
    assert panel.widget.value == "no runs yet"
    assert panel.still() == "nothing was shown"
    panel.show(state(5, failed=1, at_work=2, seconds=300.0))
    assert parts(panel) == [40, 10, 20]
    assert "4 of 10 runs done, 1 failed, 2 at work, about 5 min left" in panel.widget.value
    assert 'aria-valuenow="5"' in panel.widget.value
    panel.show(state(10, failed=2, seconds=3600.0))
    assert parts(panel) == [80, 20, 0]
    assert "8 of 10 runs done, 2 failed, 1 h 0 min in all" in panel.widget.value
    assert panel.still() == "night: 10 of 10 runs, 2 failed"


def test_failures_are_asked_for_when_there_are_more_and_shown_as_text() -> None:
    asked: list[int] = []

    def failures() -> list[str]:
        asked.append(1)
        return ["beats/night-9: cell 3: ValueError: <b>", "older", "old", "too many"]

    panel = BatchPanel(failures, clock=iter(range(100)).__next__)
    for done, failed in ((1, 0), (2, 1), (3, 1), (4, 1), (5, 2)):
        panel.show(state(done, failed=failed))
    assert len(asked) == 2
    assert "ValueError: &lt;b&gt;" in panel.widget.value
    assert "older" in panel.widget.value
    assert "too many" not in panel.widget.value


def test_a_run_that_is_at_work_alone_shows_its_cells_until_it_is_at_its_end() -> None:
    panel = BatchPanel(clock=iter(range(100)).__next__)
    panel.show(cells(1))
    assert "&lt;beats&gt;: 1/4 cells" in panel.widget.value
    assert panel.still() == "nothing was shown"
    panel.show(state(1))
    assert "1/4 cells" in panel.widget.value
    panel.show(cells(4))
    assert "cells" not in panel.widget.value


def test_it_is_drawn_five_times_a_second_and_at_the_end() -> None:
    now = 0.0
    panel = BatchPanel(clock=lambda: now)
    drawn = []
    panel.widget.observe(lambda change: drawn.append(change["new"]), "value")
    for done in range(10):
        panel.show(state(done))
        now += 0.05
    assert len(drawn) == 3
    panel.show(state(10))
    assert len(drawn) == 4
    assert "10 of 10 runs done" in drawn[-1]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (3599, "1 h 0 min"), (9000, "2 h 30 min")],
)
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
