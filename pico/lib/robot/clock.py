"""The board's clock: milliseconds and the microseconds beside them, in small integers."""

import time

from robot.wire import LIMIT


class Clock:
    """Counts time since boot; `millis` wraps at 2**30, `micros` is 0..999.

    It must tick at least every 4 minutes, as the counter below it wraps.
    """

    def __init__(self):
        self.millis = 0
        self.micros = 0
        self._last = time.ticks_us()

    def tick(self):
        """Take in the time that has passed."""
        now = time.ticks_us()
        micros = self.micros + time.ticks_diff(now, self._last)
        self._last = now
        if micros >= 1000:
            self.millis = self.millis + micros // 1000 & LIMIT
            micros %= 1000
        self.micros = micros
