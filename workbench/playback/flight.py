"""How long the cart takes: a trapezoid of speed, up at one rate, on at one speed, down again.

Units: steps of the motor and seconds; a `distance` is a number of positions.
"""

import math

import numpy as np
from numpy.typing import NDArray

from workbench.playback.options import RobotOptions


def flight_seconds(robot: RobotOptions, distance: int) -> float:
    """Return how long the cart is on its way over a distance, seconds; 0 for none."""
    steps = distance * robot.position_steps
    ramps = robot.cruise**2 / robot.acceleration  # steps of speeding up and slowing down
    if steps <= ramps:
        return 2 * math.sqrt(steps / robot.acceleration)
    return steps / robot.cruise + robot.cruise / robot.acceleration


def move_milliseconds(robot: RobotOptions) -> NDArray[np.int64]:
    """Return how long fingers must be off the keys for each distance, whole milliseconds.

    Returns:
        (positions,): 0 for staying; else the time to clear the keys and the flight, rounded up.
    """
    needed = np.zeros(robot.positions, np.int64)
    for distance in range(1, robot.positions):
        flight = math.ceil(1000 * flight_seconds(robot, distance))
        needed[distance] = max(robot.clear_ms + flight, robot.lift_ms)
    return needed
