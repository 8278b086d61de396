"""The cart on its rail: trapezoid moves in slices, two limit switches, an encoder, homing.

A move of `n` steps speeds up over as many slices of 4 ms as find room twice in it, runs at the
speed reached, and slows down by the same slices; the counts are exact. Units: steps away from the
home position, which is `MARGIN` steps from the home switch; ms of the board's clock.
"""

from array import array

from machine import Pin
from micropython import const
from robot.encoder import Encoder
from robot.steps import Steps
from robot.wire import (
    BY_ENCODER,
    BY_HOMING,
    BY_LIMIT,
    BY_NONE,
    KEEP,
    POSITIONS,
    ticks_gap,
)

_SLICE = const(4)  # ms
_IDLE, _CLEARING, _MOVING, _SEEKING, _BACKING = const(0), const(1), const(2), const(3), const(4)
_CHECK = const(25)  # ms between two looks at the encoder
_TRAIL = const(6)  # slices that may not be run yet though they were handed over


class Cart:
    """The cart.

    Attributes:
        goal: Position 0..11 where it stands or goes; `KEEP` when not known.
        is_homed: Whether it knows where it is.
        fault: Why it stopped by itself, an alarm of `wire`.
        is_held: Whether the motor keeps its current while the cart stands.
    """

    def __init__(self, config, fingers):
        self.goal, self.is_homed, self.fault, self.is_held = KEEP, False, BY_NONE, False
        self._config = config
        self._fingers = fingers
        self._steps = Steps(config)
        self._encoder = Encoder(config)
        pins = (Pin(pin, Pin.IN, Pin.PULL_UP) for pin in config.LIMIT_PINS)
        self._near, self._far = pins
        self._is_hit = self._is_armed = False
        self._on_limit = self._limit
        for pin in (self._near, self._far):
            pin.irq(self._on_limit, Pin.IRQ_FALLING, hard=True)
        self._phase = _IDLE
        self._at = self._target = self._direction = 0
        self._rise = self._rest = self._pace = self._fall = self._slices = 0
        self._since = self._until = self._looked = 0
        self._is_powered = False
        self._trail = array("i", [0] * _TRAIL)
        self._ramp = self._ramps(config)

    @property
    def is_moving(self):
        """Whether it moves or is about to."""
        return self._phase != _IDLE

    @property
    def is_homing(self):
        """Whether it looks for the home switch."""
        return self._phase >= _SEEKING or (self._phase == _CLEARING and self._target < 0)

    def left(self, now):
        """Return for how many ms it still moves, as far as known; 0 when it stands."""
        if self._phase == _IDLE:
            return 0
        if self._phase == _MOVING:
            left = ticks_gap(self._until, now)
            return left if left > 0 else 1
        return 30000

    def go(self, position, now):
        """Set off to a position as soon as the fingers are clear of the keys.

        Called while it moves, it goes there afterwards.
        """
        if position != self.goal:
            self.goal = position
            self._set_off(now)

    def home(self, now):
        """Look for the home switch, slowly, as soon as the fingers are clear of the keys."""
        self.halt()
        self.fault = BY_NONE
        self._target = -1
        self._phase = _CLEARING

    def halt(self):
        """Stop at once, without current; where it is, is not known any more."""
        self._is_armed = self.is_homed = False
        self.goal = KEEP
        if self._phase >= _MOVING:
            self._steps.halt()
        self._phase = _IDLE
        self._power(False)

    def tick(self, now):
        """Hand over slices, and look at switches and encoder."""
        if self._is_hit:
            self._is_hit = False
            if self._phase == _MOVING:
                self._fail(BY_LIMIT)
        if self._phase == _MOVING:
            self._move(now)
        elif self._phase == _CLEARING:
            self._clear(now)
        elif self._phase >= _SEEKING:
            self._seek(now)
        elif self._is_powered and not self.is_held:
            self._power(False)
        if self.is_homed and ticks_gap(now, self._looked) >= _CHECK:
            self._looked = now
            self._check()

    def _limit(self, pin):
        """Stop in the interrupt of a switch; `tick` does the rest."""
        if self._is_armed:
            self._steps.freeze()
            self._is_hit = True

    def _fail(self, fault):
        self._steps.halt()
        self._is_armed = self.is_homed = False
        self.goal, self.fault, self._phase = KEEP, fault, _IDLE
        self._power(False)

    def _power(self, is_on):
        self._steps.power(is_on)
        self._is_powered = is_on

    def _steps_to(self, position):
        return position * self._config.RAIL_STEPS // (POSITIONS - 1)

    def _set_off(self, now):
        if self._phase == _IDLE:
            self._target = self._steps_to(self.goal)
            self._phase = _CLEARING
            self._clear(now)

    def _clear(self, now):
        """Wait until the fingers have been home for long enough, then begin."""
        if self._fingers.now or ticks_gap(now, self._fingers.moved) < self._config.CLEAR_MS:
            return
        self._power(True)
        if self._target < 0:
            self._begin_homing(now)
        else:
            self._begin_move(now)

    # --- moves

    def _ramps(self, config):
        """Return the steps of each slice while speeding up: equal gains of speed."""
        gain = config.ACCELERATION * _SLICE * _SLICE  # steps a slice and slice, 1e-6
        slices = max(config.SPEED * _SLICE * 1000 // gain, 1)
        return array("H", [max(gain * (2 * k + 1) // 2000000, 1) for k in range(slices)])

    def _begin_move(self, now):
        length = self._target - self._at
        self._direction = 1 if length > 0 else -1
        length *= self._direction
        rise = ramp = 0
        while rise < len(self._ramp) and 2 * (ramp + self._ramp[rise]) <= length:
            ramp += self._ramp[rise]
            rise += 1
        gain = self._config.ACCELERATION * _SLICE * _SLICE
        self._rise, self._fall, self._slices = rise, rise, 0
        self._pace = max(gain * rise // 1000000, 1)  # steps a slice at the speed reached
        self._rest = length - 2 * ramp
        run = (self._rest * _SLICE + self._pace - 1) // self._pace
        self._since, self._until = now, now + 2 * rise * _SLICE + run
        self._steps.turn(self._direction)
        self._phase = _MOVING
        self._is_armed = True
        self._move(now)

    def _move(self, now):
        steps = self._steps
        while (self._slices < self._rise or self._rest or self._fall) and steps.room() > 0:
            if self._slices < self._rise:
                count = pace = self._ramp[self._slices]
            elif self._rest:
                pace = self._pace
                count = min(pace, self._rest)
                self._rest -= count
            else:
                self._fall -= 1
                count = pace = self._ramp[self._fall]
            self._trail[self._slices % _TRAIL] = self._at
            self._slices += 1
            self._at += count * self._direction
            steps.run(count, pace, _SLICE)
        if ticks_gap(now, self._until) >= 0 and self._at == self._target and steps.room() == 4:
            self._arrive(now)

    def _arrive(self, now):
        self._is_armed = False
        self._phase = _IDLE
        for i in range(_TRAIL):
            self._trail[i] = self._at
        self._looked = now + _CHECK  # the last step has time to be felt
        if self._steps_to(self.goal) != self._at:
            self._set_off(now)

    def _check(self):
        """Compare the encoder with all places that the cart may be at by now."""
        config = self._config
        if not config.ENCODER_UNITS:
            return
        low = high = self._at
        for at in self._trail:
            low, high = min(low, at), max(high, at)
        units = self._encoder.count
        low = low * config.ENCODER_UNITS // config.RAIL_STEPS - config.ENCODER_TOLERANCE
        high = high * config.ENCODER_UNITS // config.RAIL_STEPS + config.ENCODER_TOLERANCE
        if not low <= units <= high:
            self._fail(BY_ENCODER)

    # --- homing

    def _begin_homing(self, now):
        config = self._config
        self.is_homed, self.goal = False, KEEP
        self._pace = max(config.HOMING_SPEED * _SLICE // 1000, 1)
        self._rest = config.RAIL_STEPS + 3 * config.MARGIN
        self._phase = _SEEKING
        self._is_armed = True
        self._steps.turn(-1)
        self._seek(now)

    def _seek(self, now):
        """Go to the switch, then away from it by the margin."""
        if self._phase == _SEEKING and not self._near.value():
            self._is_armed = False
            self._steps.halt()
            self._steps.turn(1)
            self._rest = self._config.MARGIN
            self._phase = _BACKING
        while self._rest > 0 and self._steps.room() > 0:
            count = min(self._pace, self._rest)
            self._rest -= count
            self._steps.run(count, self._pace, _SLICE)
            self._until = now + 6 * _SLICE
        if self._rest or self._steps.room() < 4 or ticks_gap(now, self._until) < 0:
            return
        if self._phase == _SEEKING or not self._near.value():
            self._fail(BY_HOMING)  # no switch all along the rail, or one that never lets go
        else:
            self._found()

    def _found(self):
        self._encoder.reset()
        self._at = self._target = self.goal = 0
        for i in range(_TRAIL):
            self._trail[i] = 0
        self._phase = _IDLE
        self.is_homed = True
