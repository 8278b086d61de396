"""Measure the MIDI reader beside pretty_midi and symusic: `python tests/bench/reader.py [--json]`.

All three read the same bytes from memory in one process, in turn: one round of pretty_midi, three
of the others. The files are GMD's train files; where they are absent, 100 files of about the same
kind are written with mido. Printed are microseconds a file (the median round) and ratios.
"""

import argparse
import io
import json
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import pretty_midi
from symusic import Score

from workbench.music.midi import Midi, read_midi

GMD = Path(__file__).parents[2].parent / "shared" / "data" / "gmd" / "train"
ROUNDS = 3


def made_files(number: int = 100) -> list[bytes]:
    """Return drum files written with mido: 400 hits each, as GMD has on average."""
    rng = random.Random(1)
    files = []
    for _ in range(number):
        track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=rng.randint(3, 9) * 10**5)])
        for _ in range(400):
            pitch = rng.choice([36, 38, 42, 46, 51])
            velocity = rng.randint(1, 127)
            track.append(
                mido.Message(
                    "note_on", channel=9, note=pitch, velocity=velocity, time=rng.randint(0, 240)
                )
            )
            track.append(mido.Message("note_off", channel=9, note=pitch, time=rng.randint(0, 60)))
        data = io.BytesIO()
        mido.MidiFile(tracks=[track]).save(file=data)
        files.append(data.getvalue())
    return files


def with_pretty_midi(data: bytes) -> int:
    """Return the number of notes that pretty_midi reads."""
    return sum(len(i.notes) for i in pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments)


def with_symusic(data: bytes) -> int:
    """Return the number of notes that symusic reads, brought into arrays."""
    return sum(len(track.notes.numpy()["time"]) for track in Score.from_midi(data).tracks)


def with_reader(data: bytes) -> int:
    """Return the number of notes that our reader reads."""
    outcome = read_midi(data)
    return len(outcome.tick) if isinstance(outcome, Midi) else 0


def measured(read: Callable[[bytes], int], files: Sequence[bytes]) -> tuple[float, int]:
    """Return microseconds a file and the notes read."""
    start = time.perf_counter()
    notes = sum(read(data) for data in files)
    return (time.perf_counter() - start) / len(files) * 1e6, notes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    warnings.simplefilter("ignore")
    files = [path.read_bytes() for path in sorted(GMD.glob("*.mid"))] or made_files()
    rounds: dict[str, list[float]] = {"symusic": [], "reader": []}
    notes = {}
    pretty, notes["pretty_midi"] = measured(with_pretty_midi, files)
    for _ in range(ROUNDS):
        for name, read in (("symusic", with_symusic), ("reader", with_reader)):
            microseconds, notes[name] = measured(read, files)
            rounds[name].append(microseconds)
    symusic, reader = (statistics.median(rounds[name]) for name in ("symusic", "reader"))
    result = {
        "files": len(files),
        "notes": notes,
        "microseconds": {"pretty_midi": pretty, "symusic": symusic, "reader": reader},
        "times_as_fast_as_pretty_midi": pretty / reader,
        "times_as_slow_as_symusic": reader / symusic,
    }
    if as_json:
        print(json.dumps(result))
        return
    print(f"{len(files)} files, {notes['reader']} notes")
    for name, value in (("pretty_midi", pretty), ("symusic", symusic), ("reader", reader)):
        print(f"{name:12} {value:9.1f} µs a file  {notes[name]:7} notes")
    print(f"the reader is {pretty / reader:.0f} times as fast as pretty_midi")
    print(f"and takes {reader / symusic:.2f} times as long as symusic alone")


if __name__ == "__main__":
    main()
