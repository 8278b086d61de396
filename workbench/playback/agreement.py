"""Whether a plan's robot and a board's program are about the same machine.

The planner needs keys, fingers and times, the board pins and pulses; what both say must agree, or
the board will refuse or delay what was planned.
"""

from workbench.device.deploy import BoardOptions
from workbench.playback.options import RobotOptions

_BUDGET_MS = 10_000  # in which the board counts a finger's presses


def disagreements(robot: RobotOptions, board: BoardOptions) -> list[str]:
    """Return what a board would not do as planned, a line each; none when the two agree."""
    rail = robot.position_steps * (robot.positions - 1)
    most_presses = -(-_BUDGET_MS // (robot.hold_ms + robot.lift_ms))
    checks = (
        (rail <= board.rail_steps, f"rail of {rail} steps", f"rail_steps {board.rail_steps}"),
        (
            robot.acceleration <= board.acceleration,
            f"acceleration {robot.acceleration:g}",
            f"{board.acceleration}",
        ),
        (robot.cruise <= board.speed, f"cruise {robot.cruise:g}", f"speed {board.speed}"),
        (robot.clear_ms >= board.clear_ms, f"clear_ms {robot.clear_ms}", f"{board.clear_ms}"),
        (
            robot.longest_hold_ms <= board.hold_ms,
            f"longest_hold_ms {robot.longest_hold_ms}",
            f"hold_ms {board.hold_ms}",
        ),
        (most_presses <= board.presses, f"{most_presses} presses in 10 s", f"{board.presses}"),
        (
            robot.lowest_pitch == board.lowest_note,
            f"lowest_pitch {robot.lowest_pitch}",
            f"lowest_note {board.lowest_note}",
        ),
    )
    return [
        f"plans have {mine}, the board {theirs}" for agrees, mine, theirs in checks if not agrees
    ]
