"""What duties sound like, and the best way by trying every one: both the plain way, for tests."""

from dataclasses import dataclass

import numpy as np

WORTH = 1_000_000
SLOTS = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12)


def pitch_at(robot, cart, finger, side):
    """Return the pitch of a finger's key: 1 the left one, 2 the right one."""
    lowest = robot.lowest_pitch // 12 * 14 + SLOTS[robot.lowest_pitch % 12]
    pairs = [tuple(map(int, pair.split(","))) for pair in robot.fingers.split()]
    octave, slot = divmod(lowest + pairs[finger][side - 1] + cart * robot.position_keys, 14)
    return octave * 12 + SLOTS.index(slot)


def finger_at(robot, cart, pitch):
    """Return the finger and side that play a pitch, or None."""
    lowest = robot.lowest_pitch // 12 * 14 + SLOTS[robot.lowest_pitch % 12]
    if not robot.lowest_pitch <= pitch <= robot.highest_pitch:
        return None
    key = pitch // 12 * 14 + SLOTS[pitch % 12] - lowest - cart * robot.position_keys
    for finger, pair in enumerate(robot.fingers.split()):
        for side, own in enumerate(pair.split(","), 1):
            if int(own) == key:
                return finger, side
    return None


def need_ms(robot, distance):
    """Return milliseconds without a finger on a key, by adding up small steps of time."""
    if not distance:
        return 0
    steps, ramp = distance * robot.position_steps, robot.cruise**2 / robot.acceleration
    speed = min(robot.cruise, (steps * robot.acceleration) ** 0.5)
    seconds = 2 * speed / robot.acceleration + max(0.0, steps - ramp) / robot.cruise
    return max(robot.clear_ms + int(np.ceil(seconds * 1000)), robot.lift_ms)


@dataclass(frozen=True)
class Press:
    on: int
    off: int
    cart: int
    finger: int
    side: int
    pitch: int


def presses_of(duties, robot):
    """Return every press of some duties, in time; refuse what a robot cannot do."""
    down, found, cart_before, silent_since, at = {}, [], None, 0, 0
    clear_until = 0
    for start, duration, fingers, cart, _ in duties:
        assert start == at, "a gap"
        assert duration > 0
        at = start + duration
        now = {f: fingers >> 2 * f & 3 for f in range(7) if fingers >> 2 * f & 3}
        for finger, (on, side) in list(down.items()):
            if now.get(finger) != side:
                pitch = pitch_at(robot, cart_before, finger, side)
                found.append(Press(on, start, cart_before, finger, side, pitch))
                del down[finger]
                silent_since = start
        if cart_before is not None and cart != cart_before:
            assert not now, "moves with a finger on a key"
            clear_until = start + need_ms(robot, abs(cart - cart_before))
        cart_before = cart
        for finger, side in now.items():
            if finger not in down:
                assert start >= clear_until, "presses before the cart stands"
                down[finger] = (start, side)
    assert not down
    assert silent_since <= at
    found.sort(key=lambda press: (press.on, press.pitch))
    last = {}
    for press in found:
        assert press.off - press.on >= robot.hold_ms, "too short"
        assert press.off - press.on <= robot.longest_hold_ms, "too long"
        if press.finger in last:
            assert press.on - last[press.finger] >= robot.lift_ms, "no time to lift"
        last[press.finger] = press.off
    return found


def worth_of(presses, options, highest):
    """Return what presses are worth; `highest` are the (on, pitch) of melody notes."""
    total, cart = 0, None
    for press in presses:
        total += round(options.note_weight * WORTH)
        total += round(options.melody_weight * WORTH) * ((press.on, press.pitch) in highest)
        total += (press.off - press.on) * round(options.hold_weight * WORTH / 1000)
        if cart is not None:
            total -= round(abs(press.cart - cart) * options.move_weight * WORTH)
        cart = press.cart
    return total


def best_worth(groups, robot, options):
    """Return the worth of the best of all ways, and how many there are.

    Args:
        groups: (time, [(pitch, end), ...]) with different pitches, far enough apart for a finger
            to press in each.
        robot: The robot.
        options: No folding.
    """
    times = [time for time, _ in groups]
    known, count = {}, 0

    def stay(first, cart, leave):
        """Return what the fingers earn from a group on until the cart leaves."""
        if (first, cart, leave) in known:
            return known[first, cart, leave]
        held, total = {}, 0
        hold_worth = round(options.hold_weight * WORTH / 1000)

        def let_go(finger, at):
            on, end = held.pop(finger)
            off = min(max(end, on + robot.hold_ms), on + robot.longest_hold_ms, at)
            return (off - on) * hold_worth

        for time, notes in groups[first:]:
            if leave is not None and time + robot.hold_ms > leave:
                break
            wanted = {}
            for pitch, end in notes:
                if place := finger_at(robot, cart, pitch):
                    worth = round(options.note_weight * WORTH)
                    if pitch == max(other for other, _ in notes):
                        worth += round(options.melody_weight * WORTH)
                    wanted.setdefault(place[0], []).append((worth, end))
            for finger, choices in wanted.items():
                worth, end = max(choices)
                if finger in held:
                    total += let_go(finger, time - robot.lift_ms)
                held[finger] = (time, end)
                total += worth
        for finger in list(held):
            total += let_go(finger, 2**60 if leave is None else leave)
        known[first, cart, leave] = total
        return total

    def onward(first, cart):
        nonlocal count
        count += 1
        best = stay(first, cart, None)
        for later in range(first + 1, len(groups)):
            for target in range(robot.positions):
                leave = times[later] - need_ms(robot, abs(target - cart))
                if target == cart or leave < times[first] + robot.hold_ms:
                    continue
                cost = round(abs(target - cart) * options.move_weight * WORTH)
                earned = stay(first, cart, leave) - cost
                best = max(best, earned + onward(later, target))
        return best

    return max(onward(0, cart) for cart in range(robot.positions)), count
