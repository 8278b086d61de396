import csv
import io
import os
import struct
from collections import Counter
from pathlib import Path

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.demo.malformed import DEFECTS, KINDS, make_malformed_midi, malformed_bytes
from workbench.errors import MusicError
from workbench.music.writer import MidiTrack, midi_bytes

GIVEN = Path(__file__).parents[3] / "shared/data/midi_malformed"
CHANNEL_DATA = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


class RefusedError(Exception):
    pass


def refuse_unless(condition, said):
    if not condition:
        raise RefusedError(said)


class Reading:
    """A plain walk over a Standard MIDI File that refuses what the standard or the house does."""

    def __init__(self, content: bytes) -> None:
        if content[:4] == b"RIFF" and content[8:16] == b"RMIDdata":
            content = content[20:]
        refuse_unless(content[:4] == b"MThd" and len(content) >= 14, "header")
        self.form, self.declared, self.division = struct.unpack(">HHH", content[8:14])
        refuse_unless(self.form < 2, "format")
        refuse_unless(0 < self.division < 0x8000, "division")
        self.tempos, self.metres, self.notes, self.tracks = [], [], [], 0
        self._read_chunks(content, 14)

    def _read_chunks(self, content: bytes, at: int) -> None:
        while at + 8 <= len(content):
            name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "big")
            at += 8
            if name == b"MTrk":
                refuse_unless(at + size <= len(content), "truncated")
                self.tracks += 1
                self._read_track(content[at : at + size])
            elif at + size > len(content):
                break
            at += size
        refuse_unless(self.tracks, "no track")

    def _take(self, track: bytes, at: int, count: int) -> bytes:
        refuse_unless(at + count <= len(track), "truncated")
        return track[at : at + count]

    def _quantity(self, track: bytes, at: int) -> tuple[int, int]:
        value = 0
        for place in range(4):
            (byte,) = self._take(track, at + place, 1)
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, at + place + 1
        raise RefusedError("varlen")

    def _read_track(self, track: bytes) -> None:
        at = tick = running = 0
        sounding: dict[int, int] = {}
        refuse_unless(track, "a track of no bytes")
        while at < len(track):
            delta, at = self._quantity(track, at)
            tick += delta
            (status,) = self._take(track, at, 1)
            if status >= 0xF0:
                refuse_unless(status in (0xF0, 0xF7, 0xFF), "status")
                kind = self._take(track, at + 1, 1)[0] if status == 0xFF else None
                size, at = self._quantity(track, at + (2 if status == 0xFF else 1))
                self._meta(kind, self._take(track, at, size))
                at, running = at + size, 0
                continue
            if status >= 0x80:
                at, running = at + 1, status
            refuse_unless(running, "running status")
            data = self._take(track, at, CHANNEL_DATA[running >> 4])
            at += len(data)
            refuse_unless(max(data) < 0x80, "data byte")
            self._note(running, data, tick, sounding)

    def _meta(self, kind: int | None, content: bytes) -> None:
        if kind == 0x51:
            refuse_unless(len(content) == 3 and any(content), "tempo")
            self.tempos.append(int.from_bytes(content, "big"))
        if kind == 0x58:
            refuse_unless(len(content) == 4 and content[0] and content[1] < 8, "metre")
            self.metres.append((content[0], 2 ** content[1]))

    def _note(self, status: int, data: bytes, tick: int, sounding: dict[int, int]) -> None:
        if status >> 4 == 0x9 and data[1]:
            sounding[data[0]] = tick
        elif status >> 4 in (0x8, 0x9) and data[0] in sounding:
            self.notes.append((sounding.pop(data[0]), data[0]))


def outcome(content: bytes) -> str:
    try:
        Reading(content)
    except RefusedError:
        return "broken"
    return "odd"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_strict_reader_takes_the_odd_and_refuses_the_broken(kind, seed):
    content = malformed_bytes(kind, seed=seed)
    assert content == malformed_bytes(kind, seed=seed)
    assert outcome(content) == KINDS[kind].outcome
    if KINDS[kind].outcome == "odd":
        assert bool(Reading(content).notes) == KINDS[kind].has_notes


def test_there_are_the_36_made_kinds_and_the_34_real_ones():
    assert Counter(kind.partition("_")[0] for kind in KINDS) == {"made": 36, "real": 34}


@pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith("real") and k != "real_empty"])
def test_mido_reads_what_was_found_in_the_wild_with_the_same_notes(kind):
    content = malformed_bytes(kind)
    if kind == "real_track_count_mismatch":  # mido counts on the header
        with pytest.raises(EOFError):
            mido.MidiFile(file=io.BytesIO(content))
        return
    file = mido.MidiFile(file=io.BytesIO(content))
    reading = Reading(content)
    ons = [m for track in file.tracks for m in track if m.type == "note_on" and m.velocity]
    tempos = [m.tempo for track in file.tracks for m in track if m.type == "set_tempo"]
    assert len(ons) == len(reading.notes)
    assert tempos == reading.tempos
    assert file.ticks_per_beat == reading.division


def test_the_kinds_are_what_their_names_say():
    def read(kind):
        return Reading(malformed_bytes(kind))

    for division in (192, 256, 1024, 1920, 10_080):
        assert read(f"real_division_{division}").division == division
    for numerator in range(1, 7):
        assert read(f"real_metre_{numerator}_8").metres == [(numerator, 8)]
    for kind in KINDS:
        if kind.startswith("real_tempos"):
            assert len(read(kind).tempos) == int(kind.rpartition("_")[2])
        if kind.startswith("real_no_tempo"):
            assert not read(kind).tempos
        if kind.startswith("real_no_metre"):
            assert read(kind).tempos
            assert not read(kind).metres
    assert 60e6 / read("real_bpm_17_5").tempos[0] == pytest.approx(17.5, abs=1e-4)
    assert malformed_bytes("real_empty") == b""
    mismatched = read("real_track_count_mismatch")
    assert (mismatched.declared, mismatched.tracks) == (3, 2)


@pytest.mark.parametrize("defect", DEFECTS)
def test_any_file_can_get_the_defects_of_a_corpus(defect):
    tick = list(range(0, 4800, 120))
    whole = midi_bytes(
        MidiTrack(
            tick=tick,
            duration=[60] * len(tick),
            pitch=[36, 38] * (len(tick) // 2),
            velocity=[99] * len(tick),
            name="a name before the first note",
        )
    )
    spoilt = malformed_bytes(defect, whole=whole)
    assert outcome(whole) == "odd"
    assert outcome(spoilt) == "broken" or not Reading(spoilt).notes


def test_a_folder_of_all_kinds_says_what_they_are(tmp_path):
    files = make_malformed_midi(tmp_path / "kinds", seed=5)
    with (tmp_path / "kinds/kinds.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert {file.kind for file in files} == set(KINDS)
    assert set(rows) == {file.path.name for file in files}
    assert sorted(tmp_path.rglob("*.mid")) == sorted(file.path for file in files)
    for file in files:
        assert file.path.read_bytes() == malformed_bytes(file.kind, seed=5)
        assert rows[file.path.name]["outcome"] == file.outcome == outcome(file.path.read_bytes())


def test_a_kind_that_is_not_known_is_refused():
    with pytest.raises(MusicError, match="made_nothing"):
        malformed_bytes("made_nothing")


@pytest.mark.malformed
@pytest.mark.skipif(
    not GIVEN.is_dir() and not os.environ.get("CI"), reason=f"{GIVEN} is not beside the checkout"
)
def test_each_given_malformed_file_has_a_kind_with_the_same_outcome():
    given_files = {file.stem: file.read_bytes() for file in GIVEN.glob("*.mid")}
    assert set(given_files) == {kind for kind in KINDS if kind.startswith("made")}
    for kind, content in given_files.items():
        if not kind.startswith("made_fuzz"):  # random bytes may happen to be legal
            assert outcome(content) == KINDS[kind].outcome, kind
