"""A board that knows batches and no queue, in MicroPython: it plays one when it is told to.

A line of JSON each, loaded as the older program did: parsed, measured by writing it again, made
into objects. `load_duty_batch`, `play_duty_batch`, and `tell`, which tells the microsecond at which
each duty was executed.
"""

import gc
import json
import sys
import time


class Duty:
    """One duty as the older program held it."""

    def __init__(self, duty):
        self.start_ms, self.duration_ms = duty["start_ms"], duty["duration_ms"]
        self.chord = set(duty["chord"].split("_")) if duty["chord"] else None
        self.volume_percent, self.skid = duty["volume_percent"], duty["skid"]


def load(message):
    """Return the duties of a message."""
    gc.collect()
    if len(json.dumps(message["duties"])) > gc.mem_free():
        raise MemoryError("insufficient memory")
    return [Duty(duty) for duty in message["duties"]]


def play(batch, begun, played):
    """Play a batch from now on."""
    first, since = batch[0].start_ms, time.ticks_us()
    for duty in batch:
        wait = (duty.start_ms - first) * 1000 - time.ticks_diff(time.ticks_us(), since)
        if wait > 0:
            time.sleep_us(wait)
        played.append(time.ticks_diff(time.ticks_us(), begun))
    last = (batch[-1].start_ms + batch[-1].duration_ms - first) * 1000
    time.sleep_us(max(0, last - time.ticks_diff(time.ticks_us(), since)))


def main():
    """Answer lines until there are no more."""
    batch, played, begun = [], [], time.ticks_us()
    while line := sys.stdin.readline():
        message = json.loads(line)
        if message["type"] == "load_duty_batch":
            batch = load(message)
            message = line = None
            print("{}")
        elif message["type"] == "play_duty_batch":
            play(batch, begun, played)
            print("{}")
        else:
            print(json.dumps(played))
            played.clear()


main()
