"""Where the cart truly is: a quadrature encoder on two pins, counted by interrupts."""

from machine import Pin


class Encoder:
    """Counts every edge of the first wire.

    Attributes:
        count: Units away from home since `reset`.
    """

    def __init__(self, config):
        self.count = 0
        self._a, self._b = (Pin(pin, Pin.IN, Pin.PULL_UP) for pin in config.ENCODER_PINS)
        self._edge = self._on_edge  # bound once, as binding allocates
        self._a.irq(self._edge, Pin.IRQ_RISING | Pin.IRQ_FALLING, hard=True)

    def reset(self):
        """Call this place 0."""
        self.count = 0

    def _on_edge(self, pin):
        self.count += 1 if pin.value() != self._b.value() else -1
