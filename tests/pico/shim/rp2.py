"""The state machine that makes steps, and the rail that they move a cart on.

The cart stands 5000 steps from the home switch at first. Its limit switches and its encoder are
the pins of the board's config. `SHIM_SLIP` in the environment: this share of the steps, percent,
moves nothing once 30,000 were made; `SHIM_NEAR` none: the home switch does not work; `SHIM_FAR`:
steps from it to the far switch. The rail ends 20 steps behind the home switch.
"""

import os
import time
from array import array

import machine
from robot import config

_HZ, _PASS, _DEEP = 2000000, 20, 4
_slip = int(os.getenv("SHIM_SLIP") or 0)
_has_near = os.getenv("SHIM_NEAR") != "none"
_far = int(os.getenv("SHIM_FAR") or config.RAIL_STEPS + 2 * config.MARGIN)


class PIO:
    """Names that the program's decorator wants."""

    OUT_LOW = JOIN_TX = 0


def asm_pio(**_):
    """The program itself is for the chip alone."""
    return lambda program: program


def asm_pio_encode(text, sides):
    """Only one instruction is ever made."""
    assert text == "pull(noblock)"
    return 1


class StateMachine:
    """Runs of steps, done as time passes."""

    def __init__(self, number, program, freq, set_base):
        assert freq == _HZ
        self._counts, self._delays = array("i", [0] * 8), array("i", [0] * 8)
        self._first = self._last = 0  # runs taken out and put in
        self._word = self._half = 0
        self._began = time.ticks_us()
        self._place = 5000  # from the home switch
        self._done = 0  # steps of the first run that were made
        self._is_active = False
        self._direction = machine.Pin(config.DIRECTION_PIN)
        self._near, self._far = (machine.Pin(pin) for pin in config.LIMIT_PINS)
        self._a, self._b = (machine.Pin(pin) for pin in config.ENCODER_PINS)
        self._moved = 0
        self._units = self._unit()

    def active(self, is_active):
        """Start or stop."""
        self._run()
        self._is_active = bool(is_active)
        self._began = time.ticks_us()

    def restart(self):
        """Forget the run that was stopped."""
        self._last = self._first
        self._half = self._done = 0

    def exec(self, instruction):
        """Throw a word away."""
        if self._last > self._first + 1:
            self._last -= 1
        else:
            self.restart()

    def put(self, word):
        """Take a count less one, then a delay."""
        self._run()
        if self._half:
            assert self._last - self._first <= _DEEP
            if self._last == self._first:
                self._began, self._done = time.ticks_us(), 0
            self._counts[self._last % 8] = self._word + 1
            self._delays[self._last % 8] = word
            self._last += 1
            machine.trace(machine.STEPS, self._direction.level, self._word + 1)
            machine.trace(machine.PACE, self._direction.level, min(word, 65535))
        self._word = word
        self._half ^= 1

    def tx_fifo(self):
        """Return how many words wait."""
        self._run()
        return 2 * max(self._last - self._first - 1, 0)

    def _run(self):
        now = time.ticks_us()
        while self._is_active and self._last > self._first:
            k = self._first % 8
            cycles = self._delays[k] + _PASS
            gone = time.ticks_diff(now, self._began)
            steps = min(gone * 2 // cycles, self._counts[k])
            self._move(steps - self._done)
            self._done = steps
            if steps < self._counts[k]:
                return
            self._began = time.ticks_add(self._began, steps * cycles // 2)
            self._first += 1
            self._done = 0

    def _move(self, steps):
        self._moved += steps
        if _slip and self._moved > 30000:  # after homing
            steps -= steps * _slip // 100
        self._place = max(self._place + (steps if self._direction.level else -steps), -20)
        self._near.drive(0 if self._place <= 0 and _has_near else 1)
        self._far.drive(0 if self._place >= _far else 1)
        unit = self._unit()
        while self._units != unit:
            step = 1 if unit > self._units else -1
            self._units += step
            level = 1 - self._a.level
            self._b.level = 1 - level if step > 0 else level
            self._a.drive(level)

    def _unit(self):
        return self._place * config.ENCODER_UNITS // config.RAIL_STEPS
