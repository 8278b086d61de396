"""A plan on a board: each duty is done, none too late for the cart nor too often for a finger."""

import numpy as np
import pytest
from every_way import presses_of

from workbench.device import wire
from workbench.device.deploy import BoardOptions
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard
from workbench.playback.options import PlanOptions
from workbench.playback.planner import plan_song
from workbench.playback.song import song_of

BATCH = 50
MS = 1000  # microseconds


def outcomes_of(duties):
    """Return how a board did some duties, all of them at hand from the start."""
    board = SimulatedBoard(SimulatorOptions(ring=65_535, boot_ms=0, homing_ms=0, late_ms=0))
    board.run(1)
    assert board.do(wire.MANUAL, wire.HOME, 0, 0) == wire.OK
    board.run(3000 * MS)
    assert board.do(wire.BEGIN, 1, 0, 0) == wire.OK
    for first in range(0, len(duties), BATCH):
        records = duties.to_bytes(first, min(first + BATCH, len(duties)))
        assert board.do(wire.DATA, first, records) == wire.OK
    assert board.do(wire.DATA, len(duties), b"") == wire.OK
    board.run(6000 * MS)
    assert board.do(wire.START, 7000, 0) == wire.OK
    board.wait_for_host(2 * duties.end_ms)
    board.run((8000 + duties.end_ms) * MS)
    return [done.outcome for done in board.executions]


@pytest.mark.parametrize("fold", ["none", "reach"])
def test_a_board_does_every_duty_of_a_plan(fold):
    generator = np.random.default_rng(8)
    gaps = generator.choice([0.07, 0.13, 0.3, 0.9], 400)
    on = np.cumsum(gaps)
    song = song_of(
        seconds=on,
        end_seconds=on + generator.choice([0.05, 0.4, 2.0], 400),
        pitch=generator.integers(53, 85, 400),
    )
    plan = plan_song(song, options=PlanOptions(fold=fold, search="none"))
    assert plan.report.moves > 10
    assert outcomes_of(plan.duties) == [wire.PLAYED] * len(plan.duties)


def test_a_trill_stays_within_what_a_finger_may_press():
    on = np.arange(300) * 0.065
    song = song_of(seconds=on, end_seconds=on + 0.05, pitch=np.where(np.arange(300) % 2, 53, 55))
    plan = plan_song(song, options=PlanOptions(fold="none", search="none"))
    assert 100 < plan.report.notes_played < 300
    presses = [press for press in presses_of(plan.duties, plan.robot) if press.finger == 0]
    at = np.array([press.on for press in presses])
    within = np.searchsorted(at, at + 10_000) - np.arange(len(at))
    assert 60 < within.max() <= BoardOptions().presses
    assert outcomes_of(plan.duties) == [wire.PLAYED] * len(plan.duties)
