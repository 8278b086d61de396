"""Songs for boards, and playing them on a simulated one in virtual time."""

import numpy as np

from workbench.device.duties import Duties
from workbench.device.link import FaultyLink
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.playback.performance import Performance


def song(count, ms=50, *, seed=0, cart=3):
    """Return duties whose every record differs, at one place of the cart."""
    rng = np.random.default_rng(seed)
    fingers = np.zeros(count, np.int64)
    for finger in range(7):
        fingers |= rng.choice([0, 0, 1, 2], count) << 2 * finger
    return Duties.of(
        start_ms=np.arange(count) * ms,
        duration_ms=ms,
        fingers=fingers,
        cart=cart,
        volume=rng.integers(30, 99, count),
    )


def simulated(options=None, *, faults=None, **performance):
    """Return a performance and its simulated board."""
    link = SimulatorLink(SimulatedBoard(options))
    faulty = FaultyLink(link, **faults) if faults else link
    return Performance(faulty, **performance), link.board


def until(performance, condition, *, seconds=600.0, step=0.02):
    """Step until something is so, in the link's time."""
    end = performance.now() + seconds
    while not condition():
        assert performance.now() < end, f"it did not come about: {performance.view()}"
        performance.step(step)


def played(duties, options=None, *, seconds=600.0, **more):
    """Play a song to its end; return the performance and the board."""
    performance, board = simulated(options, **more)
    performance.load(duties)
    performance.play()
    until(performance, lambda: performance.is_over, seconds=seconds, step=0.1)
    return performance, board
