"""Seven finger servos and the pump's; a servo gets no pulses once it has arrived.

Units: `now` is the board's clock, ms; a pulse is a share of 65536 of a servo's period.
"""

from array import array

from machine import PWM, Pin
from micropython import const
from robot.wire import FINGERS, ticks_gap

_FAR = const(500000)  # ms, when nothing is to be done
_BUDGET = const(10000)  # ms that the presses of a finger are counted over


def _servo(pin, hz):
    pwm = PWM(Pin(pin))
    pwm.freq(hz)
    pwm.duty_u16(0)
    return pwm


class Fingers:
    """The fingers, each home, left or right.

    A press that would be more than the budget allows is left out, and one that lasts too long
    ends. Budget: each press adds its share to a level that time brings down.

    Attributes:
        now: How they are, 2 bits each as in a duty.
        moved: When one was moved last.
    """

    def __init__(self, config):
        self.now = self.moved = 0
        self._pwm = [_servo(pin, config.SERVO_HZ) for pin in config.FINGER_PINS]
        self._pulses = (config.FINGER_HOME, config.FINGER_LEFT, config.FINGER_RIGHT)
        self._flight, self._hold = config.FINGER_MS, config.HOLD_MS
        self._share = _BUDGET // config.PRESSES
        self._level = array("i", [0] * FINGERS)
        self._pressed = array("i", [0] * FINGERS)
        self._live = array("i", [0] * FINGERS)  # whether it gets pulses
        self._moved = array("i", [0] * FINGERS)
        self._wake = 0

    def press(self, fingers, now):
        """Bring the fingers to where a duty wants them; return whether the budget allowed all."""
        allowed = True
        for f in range(FINGERS):
            side = fingers >> 2 * f & 3
            if side == self.now >> 2 * f & 3:
                continue
            if side and not self._may_press(f, now):
                allowed = False
                side = 0
            self._move(f, side, now)
        return allowed

    def home(self, now):
        """Bring all fingers home, also those that should be there."""
        for f in range(FINGERS):
            self._move(f, 0, now)

    def tick(self, now):
        """End pulses and presses whose time is over."""
        if ticks_gap(now, self._wake) < 0:
            return
        wake = _FAR
        for f in range(FINGERS):
            if self._live[f]:
                left = self._flight - ticks_gap(now, self._moved[f])
                if left <= 0:
                    self._pwm[f].duty_u16(0)
                    self._live[f] = 0
                elif left < wake:
                    wake = left
            if self.now >> 2 * f & 3:
                left = self._hold - ticks_gap(now, self._pressed[f])
                if left <= 0:
                    self._move(f, 0, now)
                    left = 1
                wake = min(wake, left)
        self._wake = now + wake

    def _may_press(self, f, now):
        level = self._level[f] - ticks_gap(now, self._pressed[f])
        level = self._share + (level if level > 0 else 0)
        if level > _BUDGET:
            return False
        self._level[f] = level
        self._pressed[f] = now
        return True

    def _move(self, f, side, now):
        self._pwm[f].duty_u16(self._pulses[side][f])
        self._live[f] = 1
        self._moved[f] = self._wake = self.moved = now
        self.now = self.now & ~(3 << 2 * f) | side << 2 * f


class Air:
    """The pump.

    Attributes:
        volume: What is blown, percent.
    """

    def __init__(self, config):
        self.volume = 0
        self._pwm = _servo(config.PUMP_PIN, config.SERVO_HZ)
        self._least, self._most = config.PUMP_LEAST, config.PUMP_MOST
        self._flight, self._hold = config.PUMP_MS, config.AIR_MS
        self._moved = self._since = 0
        self._is_live = False

    def set(self, volume, now):
        """Blow at 0..100 percent; the servo goes to 20 + 0.4 percent of it, and to 0 for 0."""
        if not volume or not self.volume:
            self._since = now
        if volume != self.volume:
            self.put(volume, now)

    def put(self, volume, now):
        """Send the servo there even if it should be there."""
        self.volume = volume
        share = 200 + 4 * volume if volume else 0
        self._pwm.duty_u16(self._least + (self._most - self._least) * share // 1000)
        self._moved = now
        self._is_live = True

    def tick(self, now, is_playing):
        """End pulses whose time is over, and a blowing that nobody uses any more."""
        if self._is_live and ticks_gap(now, self._moved) >= self._flight:
            self._pwm.duty_u16(0)
            self._is_live = False
        if is_playing:
            self._since = now
        elif self.volume and ticks_gap(now, self._since) >= self._hold:
            self.put(0, now)
