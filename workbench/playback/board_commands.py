"""`workbench pico status, stop, simulate, ports`: flags in, one call of the room, a reply out."""

import logging
import time
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from workbench.device.options import SimulatorOptions
from workbench.errors import DeviceError, OptionsError
from workbench.reply import Reply

logger = logging.getLogger(__name__)

Flat = Parameter(name="*")
_TURN_SECONDS = 0.1  # that Ctrl-C waits at most


def status(*, port: str) -> Reply:
    """Tell how the robot's board is; the music goes on.

    Args:
        port: /dev/ttyACM0, COM3 or socket://HOST:PORT.
    """
    from workbench.device.answers import ALARMS  # noqa: PLC0415  numpy is slow to import
    from workbench.playback.ports import STATES, greeted, opened  # noqa: PLC0415

    with opened(port) as way:
        board, state = greeted(way)
    values = {
        "port": port,
        "state": STATES.get(state.state, str(state.state)),
        "alarm": ALARMS.get(state.alarm, str(state.alarm)),
        "cart": state.cart if state.cart != 255 else None,
        "fingers": [state.fingers >> 2 * finger & 3 for finger in range(7)],
        "volume": state.volume,
        "gain": state.gain,
        "song_ms": state.song,
        "executed": state.executed,
        "received": state.next,
        "ring": board.ring,
        "late_max_ms": state.late / 100,
        "not_pressed": state.skipped,
        "heap_bytes": board.heap,
        "heap_free_bytes": state.free,
        "heap_min_bytes": state.least,
        "broken_frames": state.broken,
        "protocol": board.protocol,
        "config": board.config,
    }
    return Reply(values=values)


def stop(*, port: str) -> Reply:
    """Stop the robot at once: fingers home, air off; it is in alarm until it is homed.

    Args:
        port: /dev/ttyACM0, COM3 or socket://HOST:PORT.
    """
    from workbench.playback.ports import STATES, halted, opened, shouted  # noqa: PLC0415  slow

    told = {
        "safe": "stopped, its program was started again; the next song homes it",
        "alarm": "stopped, and in alarm until it is homed: workbench pico play SONG --home",
        "unconfirmed": "sent the stop past the program that has the port; look there",
    }
    try:
        with opened(port) as way:
            state = STATES[halted(way).state]
    except DeviceError as error:
        if "in use" not in str(error):
            raise DeviceError(f"{error}; if the robot still moves, cut its power") from None
        shouted(port)
        state = "unconfirmed"
    values = {"port": port, "state": state}
    return Reply(values=values, text=f"{port}: {told[state]}", code=int(state == "unconfirmed"))


def simulate(*, listen: str, options: Annotated[SimulatorOptions | None, Flat] = None) -> Reply:
    """Serve a simulated board until Ctrl-C; others play on it with --port socket://HOST:PORT.

    Args:
        listen: Where, HOST:PORT; port 0 takes a free one and tells it.
        options: What board it is.
    """
    from workbench.device.listening import listening  # noqa: PLC0415  numpy is slow to import
    from workbench.playback.playing import interruptions  # noqa: PLC0415

    host, _, number = listen.rpartition(":")
    if not host or not number.isdecimal() or int(number) > 65_535:
        raise OptionsError(f"listen: {listen!r} is not HOST:PORT, as 127.0.0.1:4000")
    with (
        interruptions() as presses,
        listening(options, host=host.strip("[]"), port=int(number)) as server,
    ):
        logger.info("a simulated board is at %s; Ctrl-C ends it", server.url)
        while not presses.count:
            time.sleep(_TURN_SECONDS)
    executed = len(server.board.executions)
    text = f"{server.url}: executed {executed} duties"
    return Reply(values={"url": server.url, "executed": executed}, text=text)


def ports() -> Reply:
    """List the serial ports, and whether they may be used; each is opened for a moment."""
    from workbench.playback.ports import ports_found  # noqa: PLC0415  numpy is slow to import

    found = ports_found()
    lines = [f"{each.port}: {each.description}, can be used" for each in found if not each.problem]
    lines += [each.problem for each in found if each.problem]
    text = "\n".join(lines) or "there is no serial port; is the board plugged in?"
    return Reply(values={"ports": [asdict(each) for each in found]}, text=text)
