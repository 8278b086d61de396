"""The MIDI reader beside pretty_midi, mido and symusic: microseconds a file and ratios.

    python tests/bench/reader.py [--json] [--files N]

All read the same bytes from memory in one process, in turn: one round of pretty_midi and of mido,
which are slow and steady, three of the others, whose median round counts. The files are GMD's train
files; where they are absent, 100 files of about the same kind are written with mido. symusic alone
checks nothing: that loses nothing to a sound file, and everything to some broken ones.
"""

import io
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import mido
import pretty_midi
from rows import GMD, Row, in_turn, parser_of, row, tell, times
from symusic import Score

from workbench.music.midi import Midi, read_midi

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


def with_mido(data: bytes) -> int:
    """Return the number of messages that begin a note, as mido reads them."""
    file = mido.MidiFile(file=io.BytesIO(data))
    return sum(m.type == "note_on" and m.velocity > 0 for track in file.tracks for m in track)


def measured(files: Sequence[bytes]) -> list[Row]:
    """Return one row a measurement."""
    notes = {}

    def read_all(name: str, read: Callable[[bytes], int]) -> None:
        notes[name] = sum(map(read, files))

    slow = {"pretty_midi": with_pretty_midi, "mido": with_mido}
    quick = {"symusic": with_symusic, "reader": with_reader}
    sides = {name: partial(read_all, name, read) for name, read in (slow | quick).items()}
    spent = in_turn(1, {name: sides[name] for name in slow}, time.perf_counter)
    spent |= in_turn(ROUNDS, {name: sides[name] for name in quick}, time.perf_counter)
    of = f"{len(files)} files, {notes['reader']:,} notes"
    rows = [
        times("reading MIDI", spent[name], spent["reader"], against=name, best=False, note=of)
        for name in (*slow, "symusic")
    ]
    for name, seconds in spent.items():
        turns = [1e6 * each / len(files) for each in seconds]
        what = f"{name}: a file of {notes[name] / len(files):.0f} notes"
        rows.append(row(what, statistics.median(turns), unit="µs", turns=turns))
    return rows


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, help="that are read at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    files = [path.read_bytes() for path in sorted(GMD.glob("*.mid"))] or made_files()
    tell("groove", measured(files[: arguments.files]), as_json=arguments.json)


if __name__ == "__main__":
    main()
