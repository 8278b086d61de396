"""Steps made by a state machine of the RP2: each pair of words is a count and a delay.

Four pairs wait in its buffer, so that the program may be busy for 12 ms while the cart runs.
"""

import rp2
from machine import Pin
from micropython import const

_HZ = const(2000000)
_PASS = const(20)  # cycles of a step beside its delay


@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW, fifo_join=rp2.PIO.JOIN_TX)
def _program():
    wrap_target()
    pull(block)
    mov(x, osr)
    pull(block)
    label("step")
    mov(y, osr)
    set(pins, 1)[15]
    set(pins, 0)
    label("wait")
    jmp(y_dec, "wait")
    jmp(x_dec, "step")
    wrap()


class Steps:
    """The step and direction wires of the driver."""

    def __init__(self, config):
        self._direction = Pin(config.DIRECTION_PIN, Pin.OUT, value=0)
        self._off = Pin(config.ENABLE_PIN, Pin.OUT, value=1)  # its input is active low
        for pin in config.MICROSTEP_PINS:
            Pin(pin, Pin.OUT, value=1)
        self._machine = rp2.StateMachine(
            config.STATE_MACHINE, _program, freq=_HZ, set_base=Pin(config.STEP_PIN)
        )
        self._machine.active(1)
        self._pull = rp2.asm_pio_encode("pull(noblock)", 0)

    def power(self, is_on):
        """Give the motor current, or none."""
        self._off.value(0 if is_on else 1)

    def turn(self, direction):
        """Choose the way of the next steps, 1 away from home; only while none wait."""
        self._direction.value(1 if direction > 0 else 0)

    def room(self):
        """Return how many runs of steps find room."""
        return 4 - (self._machine.tx_fifo() + 1 >> 1)

    def run(self, count, pace, milliseconds):
        """Add `count` steps at the pace of `pace` steps in some milliseconds."""
        self._machine.put(count - 1)
        self._machine.put(max(_HZ // 1000 * milliseconds // pace - _PASS, 0))

    def freeze(self):
        """Stop at once; for an interrupt, as nothing is allocated."""
        self._machine.active(0)

    def halt(self):
        """Stop at once and forget what waits."""
        self.freeze()
        while self._machine.tx_fifo():
            self._machine.exec(self._pull)
        self._machine.restart()
        self._machine.active(1)
