"""The ports of this machine and the boards behind them: opened, greeted, stopped.

A port is what pyserial opens, `sim` for a simulated board on virtual time, which is as fast as it
goes, or `micropython` for the board's program on this machine. Units: seconds of the link's time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from workbench.device import wire
from workbench.device.answers import BoardState, Greeting
from workbench.device.board import MicroPythonBoard
from workbench.device.caller import Caller
from workbench.device.clock import RealTime
from workbench.device.link import Dial, LastingLink, Link, SerialLink, port_problem
from workbench.device.options import LinkOptions
from workbench.device.simulator import SimulatorLink
from workbench.errors import DeviceError
from workbench.playback.legacy import LineBoard

STATES = {
    wire.SAFE: "safe",
    wire.HOMING: "homing",
    wire.READY: "ready",
    wire.FILLING: "filling",
    wire.PLAYING: "playing",
    wire.PAUSED: "paused",
    wire.ALARMED: "alarm",
}
_HELLO_SECONDS = 2.0  # that a board may take to say who it is
_CONFIRM_SECONDS = 1.0
_BOOT_SECONDS = 3.0
_AGAIN = bytes([wire.END, wire.BREAK, 0x04])  # at MicroPython's prompt: start the program again


@contextmanager
def opened(port: str, options: LinkOptions | None = None) -> Iterator[Link]:
    """Open a port while the block lasts.

    Args:
        port: `sim`, `micropython`, or what pyserial opens.
        options: How it is opened, and opened again when it is lost.

    Raises:
        DeviceError: It cannot be opened; the text tells why and what to do.
    """
    if port == "sim":
        yield SimulatorLink()
    elif port == "micropython":
        with MicroPythonBoard() as board:
            yield board.link()
    else:
        link = LastingLink(lambda: SerialLink(port, options), options)
        try:
            yield link
        finally:
            link.close()


@contextmanager
def dialled(port: str, options: LinkOptions | None = None) -> Iterator[Dial]:
    """Make ready what opens a port, in real time, for a session; while the block lasts.

    Args:
        port: `sim`, `micropython`, or what pyserial opens.
        options: How it is opened.

    Raises:
        DeviceError: There is no MicroPython on this machine.
    """
    if port == "sim":
        link = SimulatorLink(time=RealTime())
        yield lambda: link
    elif port == "micropython":
        with MicroPythonBoard() as board:
            yield board.link
    else:
        yield lambda: SerialLink(port, options)


def greeted(link: Link) -> tuple[Greeting, BoardState]:
    """Return who the board at the end of a link is, and how it stands.

    Raises:
        DeviceError: It does not answer, or its program is older than frames.
    """
    caller = Caller(link)
    answer = caller.call(wire.HELLO, wire.PROTOCOL, seconds=_HELLO_SECONDS)
    takes_lines = answer is None and LineBoard(link).try_ask({"type": "status"}) is not None
    if takes_lines:  # it may have been booting
        answer = caller.call(wire.HELLO, wire.PROTOCOL, seconds=_CONFIRM_SECONDS)
    if answer is not None:
        return answer.greeting(), answer.state
    if takes_lines:
        raise DeviceError(
            f"{link.name}: the board's program is older than this one and takes lines of JSON"
            f" alone; deploy the program: workbench pico deploy --port {link.name}"
        )
    raise DeviceError(
        f"{link.name}: the board does not answer; is another program playing on it, or is there"
        f" no program on it? then: workbench pico deploy --port {link.name}"
    )


def halted(link: Link) -> BoardState:
    """Stop the robot now; return how the board says it stands then, in alarm or just booted.

    Raises:
        DeviceError: The board did not confirm it.
    """
    caller = Caller(link)
    caller.shout(wire.ESTOP)
    answer = caller.call(wire.ESTOP, seconds=_CONFIRM_SECONDS)
    if answer is None:  # on its own USB the stop has ended its program
        link.write(_AGAIN)
        answer = caller.call(wire.STATUS, seconds=_BOOT_SECONDS)
    if answer is None or answer.state.state not in (wire.ALARMED, wire.SAFE):
        raise DeviceError(
            f"{link.name}: the emergency stop was sent and the board did not confirm it; does"
            " another program play on it? press Ctrl-C there"
        )
    return answer.state


def shouted(port: str, options: LinkOptions | None = None) -> None:
    """Send an emergency stop past another program that has a serial port; nothing is read.

    Raises:
        DeviceError: The port cannot be opened.
    """
    options = options or LinkOptions()
    stop = bytes([wire.END, wire.BREAK, wire.BREAK]) + wire.framed(wire.request(wire.ESTOP, 255))
    try:
        with serial.Serial(port, options.baudrate, write_timeout=_CONFIRM_SECONDS) as way:
            way.write(stop)
    except OSError as error:  # serial's own errors are OSErrors
        raise DeviceError(port_problem(port, error)) from error


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port of this machine.

    Attributes:
        port: Its name.
        description: What is plugged in there, as it says.
        problem: Why it cannot be used and what to do; empty where it can.
    """

    port: str
    description: str
    problem: str


def ports_found() -> list[Port]:
    """Return the serial ports of this machine; each is opened for a moment to know its problem."""
    found = []
    for each in sorted(list_ports.comports(), key=lambda port: port.device):
        problem = ""
        try:
            SerialLink(each.device).close()
        except DeviceError as error:
            problem = str(error)
        found.append(Port(each.device, each.description, problem))
    return found
