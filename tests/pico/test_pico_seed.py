"""The control: on the heap that streams songs of any length, the older way runs out of memory."""

import json
import os
import random
import subprocess
from pathlib import Path

from pico_board import HEAP, MICROPYTHON

HERE = Path(__file__).parent
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
NOTES = [f"{name}{octave}" for octave in (3, 4, 5) for name in NAMES]


def song(count):
    """Return duties and path as the older host sends them."""
    draw = random.Random(0)
    duties, at = [], 0
    for _ in range(count):
        first = draw.randrange(5, 28)
        chord = "_".join(sorted(draw.sample(NOTES[first : first + 8], draw.randrange(1, 5))))
        duration = draw.randrange(90, 305)
        duties.append(
            {
                "start_ms": at,
                "duration_ms": duration,
                "chord": None if draw.random() < 0.3 else chord,
                "skid": 0,
                "volume_percent": draw.randrange(30, 100),
            }
        )
        at += duration
    return duties, [draw.randrange(12) for _ in range(count + 1)]


def failures(tmp_path, messages):
    path = tmp_path / "song.json"
    path.write_text("".join(json.dumps(message) + "\n" for message in messages))
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={HEAP}", str(HERE / "seed_loading.py")],
        env=os.environ | {"SONG": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout.split()[1]), done.stdout


def test_a_whole_song_in_json_does_not_fit(tmp_path):
    duties, path = song(1076)
    count, told = failures(tmp_path, [{"type": "play", "duties": duties, "path": path}])
    assert count == 1
    assert "memory allocation failed" in told


def test_batches_of_50_in_json_fail_too(tmp_path):
    duties, path = song(1076)
    messages = [
        {"batch_id": at // 50, "duties": duties[at : at + 50], "path": path[at : at + 51]}
        for at in range(0, 1076, 50)
    ]
    count, _ = failures(tmp_path, messages)
    assert 1 <= count < len(messages)
