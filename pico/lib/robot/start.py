"""The robot's program: boot, then the loop until Ctrl-C asks for the prompt."""

import gc
import sys

import machine
from robot import config, wire
from robot.board import Board


def _leave():
    """Stop the watchdog, so that who asked for the prompt keeps it."""
    machine.mem32[config.WATCHDOG_CLEAR] = 1 << 30


def _keep(error):
    """Write what went wrong to a file, as nothing may be printed on the line to the host."""
    try:
        with open("error.txt", "w") as file:
            sys.print_exception(error, file)
    except OSError:  # no room, or a file system that is none
        pass


def run():
    """Turn the loop; whatever goes wrong ends in the safe state and an alarm."""
    cause = 1 if machine.reset_cause() == machine.WDT_RESET else 0
    board = Board(config, cause)
    watchdog = machine.WDT(timeout=config.WATCHDOG_MS)
    gc.collect()
    gc.threshold(-1)  # from here on the loop collects, when music leaves time for it
    while True:
        try:
            board.turn()
            watchdog.feed()
        except (KeyboardInterrupt, SystemExit, EOFError):
            board.stop_at_once(wire.BY_ESTOP)
            _leave()
            return
        except Exception as error:  # the robot is to be safe whatever it was, and to tell that
            board.stop_at_once(wire.BY_PROGRAM)
            _keep(error)
