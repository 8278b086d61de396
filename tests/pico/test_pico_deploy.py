"""Deployment by the real mpremote, to a real MicroPython that shows a board's raw prompt."""

import os
import pty
import subprocess
import termios
import time
import tty
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from pico_board import MICROPYTHON

from workbench.device import deploy, wire
from workbench.device.deploy import BoardOptions
from workbench.errors import DeviceError, OptionsError

HERE = Path(__file__).parent


@contextmanager
def prompt(flash, **env):
    """Start a board's prompt; give the name of its port."""
    flash.mkdir(exist_ok=True)
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    process = subprocess.Popen(
        [MICROPYTHON, str(HERE / "raw_prompt.py")],
        cwd=flash,
        env=os.environ | env,
        stdin=master,
        stdout=master,
        stderr=subprocess.PIPE,
    )
    try:
        yield os.ttyname(slave)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        os.close(master)
        os.close(slave)


def assert_same(flash, options, folder):
    names = deploy.built(options, folder)
    for name in names:
        assert (flash / name).read_bytes() == (folder / name).read_bytes()
    return names


def assert_resets(flash, count):
    """See that the board was reset so often; mpremote does not wait for it."""
    end = time.monotonic() + 5
    while (flash / "resets").read_text() != "r" * count:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_differs_is_copied_what_is_in_the_way_removed_and_all_verified(tmp_path):
    flash = tmp_path / "flash"
    options = BoardOptions(ring=128)
    deploy.built(BoardOptions(), flash)
    (flash / "lib/robot/clock.mpy").unlink()
    (flash / "lib/robot/link.py").write_text("what is loaded before link.mpy")
    with prompt(flash) as port:
        dry = deploy.deploy(port, options, dry_run=True)
        assert dry.is_dry
        assert dry.copied == ("lib/robot/config.mpy", "lib/robot/clock.mpy")
        assert dry.removed == ("lib/robot/link.py",)
        assert (flash / "lib/robot/link.py").exists()
        assert not (flash / "lib/robot/clock.mpy").exists()
        done = deploy.deploy(port, options)
        assert (done.copied, done.removed) == (dry.copied, dry.removed)
        assert done.config == deploy.config_hash(options)
        names = assert_same(flash, options, tmp_path / "here")
        assert len(done.kept) == len(names) - 2
        assert not (flash / "lib/robot/link.py").exists()
        assert_resets(flash, 2)


@pytest.mark.soak
def test_an_empty_board_gets_the_whole_program_and_then_nothing_more(tmp_path):
    flash = tmp_path / "flash"
    with prompt(flash) as port:
        done = deploy.deploy(port, BoardOptions())
        names = assert_same(flash, BoardOptions(), tmp_path / "here")
        assert (done.copied, done.removed, done.kept) == (tuple(names), (), ())
        again = deploy.deploy(port, BoardOptions())
        assert (again.copied, again.removed, again.kept) == ((), (), tuple(names))
        assert_resets(flash, 2)


@pytest.mark.soak
def test_a_file_that_is_read_back_otherwise_is_named(tmp_path):
    flash = tmp_path / "flash"
    options = BoardOptions()
    deploy.built(options, flash)
    (flash / "lib/robot/clock.mpy").write_bytes(b"")
    with (
        prompt(flash, WORN="lib/robot/clock.mpy") as port,
        pytest.raises(DeviceError, match=r"clock\.mpy read back"),
    ):
        deploy.deploy(port, options)


def test_a_port_that_is_not_there_or_busy_is_told_in_clear_text(tmp_path):
    with pytest.raises(DeviceError, match="no_such_port"):
        deploy.deploy("/dev/no_such_port", BoardOptions())
    master, slave = pty.openpty()
    port = os.ttyname(slave)
    with serial.Serial(port, exclusive=True), pytest.raises(DeviceError, match="another program"):
        deploy.deploy(port, BoardOptions())
    os.close(master)
    os.close(slave)


def test_the_boards_own_kind_of_machine_code_is_made(tmp_path):
    for board, march in (("pico", 4), ("pico2", 5)):  # MP_NATIVE_ARCH_ARMV6M and ARMV7M
        names = deploy.built(BoardOptions(board=board), tmp_path / board)
        assert names[-1] == "main.py"
        head = (tmp_path / board / "lib/robot/fast.mpy").read_bytes()[:3]
        assert (head[0], head[1]) == (ord("M"), 6)
        assert head[2] >> 2 == march
        assert head[2] & 3 == 3


def test_the_configuration_is_a_module_with_a_hash_of_its_own(tmp_path):
    text = deploy.config_text(BoardOptions(finger_left="1 2 3 4 5 6 7"))
    module = {}
    exec(text, module)
    assert module["FINGER_LEFT"] == (1, 2, 3, 4, 5, 6, 7)
    assert module["FINGER_HOME"] == (3350,) * 7
    assert module["LIMIT_PINS"] == (17, 16)
    assert module["SCRATCH"] == 0x4005800C
    assert module["HASH"] == deploy.config_hash(BoardOptions(finger_left="1 2 3 4 5 6 7"))
    assert 0 < module["HASH"] <= wire.LIMIT
    assert module["HASH"] != deploy.config_hash(BoardOptions())
    pico2 = {}
    exec(deploy.config_text(BoardOptions(board="pico2")), pico2)
    assert pico2["SCRATCH"] == 0x400D800C


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"finger_pins": "0 1 2"}, "finger_pins: wants 7"),
        ({"finger_home": "70000"}, "finger_home"),
        ({"finger_home": "a b"}, "finger_home"),
        ({"step_pin": 3}, "GPIO 3 is taken by finger_pins"),
        ({"limit_pins": "17 17"}, "GPIO 17 is taken by limit_pins"),
        ({"pump_least": 9000}, "pump_most: 8600 is not above"),
        ({"ring": 257}, "ring"),
        ({"watchdog_ms": 9000}, "watchdog_ms"),
    ],
)
def test_a_board_that_cannot_be_is_refused(wrong, match):
    with pytest.raises(OptionsError, match=match):
        BoardOptions(**wrong)
