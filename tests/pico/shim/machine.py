"""What a board has and a computer has not, thin: pins, servos, a watchdog, scratch registers.

Nothing here allocates once it was made. `SHIM` in the environment names a folder: `scratch` in it
keeps the registers over a reboot, and `trace`, when it is there, gets 8 bytes for each thing that
moves: ticks_ms, kind, number and value, `<IBBH`.
"""

import os
import struct
import time
from array import array

PWRON_RESET, WDT_RESET = 1, 3
PIN, SERVO, STEPS, FEED, LEAVE, PACE = 0, 1, 2, 3, 4, 5
_SCRATCH = 0x4005800C
_folder = os.getenv("SHIM") or ""


def _opened(name, mode):
    try:
        return open(_folder + "/" + name, mode)
    except OSError:
        return None


_trace = _opened("trace", "ab") if _opened("trace", "rb") else None
_entry = bytearray(8)


def trace(kind, number, value):
    """Note that something moved."""
    if _trace:
        struct.pack_into("<IBBH", _entry, 0, time.ticks_ms() & 0xFFFFFFFF, kind, number, value)
        _trace.write(_entry)


def reset_cause():
    """A board that was running before was reset by its watchdog."""
    return WDT_RESET if _was_running else PWRON_RESET


class _Registers:
    def __init__(self):
        self.was_running = _opened("scratch", "rb") is not None
        self._file = _opened("scratch", "rb+") or _opened("scratch", "wb+")
        self._words = array("I", bytes(32))
        if self._file and self.was_running:
            self._file.readinto(self._words)

    def __getitem__(self, address):
        return self._words[(address - _SCRATCH) // 4]

    def __setitem__(self, address, value):
        if not _SCRATCH <= address < _SCRATCH + 32:
            trace(LEAVE, 0, 0)
            return
        self._words[(address - _SCRATCH) // 4] = value
        if self._file:
            self._file.seek(0)
            self._file.write(self._words)


mem32 = _Registers()
_was_running = mem32.was_running


class Pin:
    """A pin; one of a number, however often it is asked for."""

    IN, OUT, PULL_UP = 0, 1, 1
    IRQ_FALLING, IRQ_RISING = 4, 8
    pins = {}

    def __new__(cls, number, mode=-1, pull=-1, value=None):
        pin = cls.pins.get(number)
        if pin is None:
            pin = cls.pins[number] = object.__new__(cls)
            pin.number = number
            pin.level = 1
            pin.handler = None
            pin.trigger = 0
        if value is not None:
            pin.level = value
        return pin

    def __init__(self, *_, **__):
        pass

    def value(self, level=None):
        """Read or set."""
        if level is None:
            return self.level
        if level != self.level:
            trace(PIN, self.number, level)
        self.level = level

    def irq(self, handler, trigger, hard=False):
        """Keep who is to be called."""
        self.handler, self.trigger = handler, trigger

    def drive(self, level):
        """Set it from outside: what an interrupt is for."""
        if level == self.level:
            return
        self.level = level
        if self.handler and self.trigger & (Pin.IRQ_RISING if level else Pin.IRQ_FALLING):
            self.handler(self)


class PWM:
    """A servo's pulses."""

    def __init__(self, pin):
        self._number = pin.number

    def freq(self, hz):
        """Nothing depends on it here."""

    def duty_u16(self, value):
        """Note the pulse."""
        trace(SERVO, self._number, value)


class WDT:
    """The watchdog: `fed` tells when it was fed last."""

    fed = 0

    def __init__(self, timeout):
        self.timeout = timeout

    def feed(self):
        """Note the time; once a second it is traced."""
        now = time.ticks_ms()
        if now // 1000 != WDT.fed // 1000:
            trace(FEED, 0, 0)
        WDT.fed = now
