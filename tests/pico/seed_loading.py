"""What the older program did with a song, in MicroPython: it loaded JSON into objects.

`SONG` and `WAY` in the environment: a file with a line of JSON a message, `whole` or `batches`.
Batches are kept as the older host keeps them, three ahead. Prints how many went wrong, and why.
"""

import gc
import json
import os


class Duty:
    """One duty as the older program held it."""

    def __init__(self, duty):
        self.start_ms, self.duration_ms = duty["start_ms"], duty["duration_ms"]
        self.chord = Chord(duty["chord"]) if duty["chord"] else None
        self.volume_percent, self.skid = duty["volume_percent"], duty["skid"]


class Chord:
    """A set of notes."""

    def __init__(self, text):
        self.notes = set(text.split("_"))


kept = []
failures = 0
why = ""
file = open(os.getenv("SONG"))  # noqa: SIM115
while True:
    gc.collect()
    try:
        line = file.readline()
        if not line:
            break
        message = json.loads(line)
        if len(json.dumps(message["duties"])) * 2 > gc.mem_free():
            raise MemoryError("insufficient memory")
        kept.append(([Duty(duty) for duty in message["duties"]], message["path"]))
        if len(kept) > 3:
            kept.pop(0)
    except MemoryError as error:
        failures += 1
        why = str(error)
        message = line = None
    except ValueError:  # the rest of a line that was read in part
        pass
print("failures", failures, why)
