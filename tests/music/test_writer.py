import io
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import CachingError, MusicError
from workbench.music.writer import MidiTrack, midi_bytes, write_midi

Note = tuple[int, int, int, int]

pitches = st.one_of(st.sampled_from([36, 38, 42]), st.integers(0, 127))
ticks = st.one_of(st.integers(0, 12), st.integers(0, 100_000))
notes_of = st.lists(st.tuples(ticks, st.integers(1, 2000), pitches, st.integers(1, 127)))
tempos_of = st.lists(st.tuples(ticks, st.integers(1, 0xFFFFFF)), unique_by=lambda t: t[0])
metres_of = st.lists(
    st.tuples(ticks, st.integers(1, 255), st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128])),
    unique_by=lambda m: m[0],
)


def track_of(notes: list[Note], **settings: object) -> MidiTrack:
    tick, duration, pitch, velocity = np.array(notes, dtype=np.int64).reshape(-1, 4).T
    return MidiTrack(tick=tick, duration=duration, pitch=pitch, velocity=velocity, **settings)  # type: ignore[arg-type]


def cut(notes: list[Note]) -> list[Note]:
    """The stated policy, said once more without arrays."""
    kept: dict[tuple[int, int], Note] = {}
    for note in sorted(notes, key=lambda n: (n[3], n[1])):
        kept[note[2], note[0]] = note
    result = []
    for (pitch, tick), note in kept.items():
        later = [t for p, t in kept if p == pitch and t > tick]
        duration = min([note[1], *(t - tick for t in later)])
        result.append((tick, duration, pitch, note[3]))
    return sorted(result)


def notes_by_mido(content: bytes) -> list[Note]:
    open_notes, notes, now = {}, [], 0
    for message in mido.MidiFile(file=io.BytesIO(content)).tracks[0]:
        now += message.time
        if message.type == "note_on":
            assert message.note not in open_notes, "a note begins while its pitch sounds"
            open_notes[message.note] = (now, message.velocity)
        elif message.type == "note_off":
            tick, velocity = open_notes.pop(message.note)
            notes.append((tick, now - tick, message.note, velocity))
    assert not open_notes
    return sorted(notes)


def notes_by_symusic(content: bytes) -> list[Note]:
    score = symusic.Score.from_midi(content)
    notes = [note for track in score.tracks for note in track.notes]
    return sorted((n.time, n.duration, n.pitch, n.velocity) for n in notes)


def notes_by_pretty_midi(content: bytes) -> list[Note]:
    midi = pretty_midi.PrettyMIDI(io.BytesIO(content))
    notes = [note for instrument in midi.instruments for note in instrument.notes]
    ticks = [(midi.time_to_tick(n.start), midi.time_to_tick(n.end)) for n in notes]
    columns = zip(ticks, notes, strict=True)
    return sorted((on, off - on, n.pitch, n.velocity) for (on, off), n in columns)


@settings(max_examples=150, deadline=None)
@given(notes=notes_of, ppq=st.integers(1, 0x7FFF), channel=st.integers(1, 16))
def test_mido_and_symusic_read_back_exactly_the_notes_written(notes, ppq, channel):
    content = midi_bytes(track_of(notes, ppq=ppq, channel=channel))
    assert notes_by_mido(content) == notes_by_symusic(content) == cut(notes)
    assert mido.MidiFile(file=io.BytesIO(content)).ticks_per_beat == ppq


@settings(max_examples=60, deadline=None)
@given(notes=notes_of, ppq=st.sampled_from([24, 96, 480, 960]))
def test_pretty_midi_reads_back_exactly_the_notes_written(notes, ppq):
    assert notes_by_pretty_midi(midi_bytes(track_of(notes, ppq=ppq))) == cut(notes)


@settings(max_examples=80, deadline=None)
@given(notes=notes_of, tempos=tempos_of, metres=metres_of, name=st.text(max_size=200))
def test_mido_reads_back_tempos_metres_and_name(notes, tempos, metres, name):
    name = name.replace("\x00", "")
    content = midi_bytes(track_of(notes, tempos=tempos, metres=metres, name=name))
    track = mido.MidiFile(file=io.BytesIO(content), charset="utf-8").tracks[0]
    at = np.cumsum([message.time for message in track]).tolist()
    found = list(zip(at, track, strict=True))
    assert [(t, m.tempo) for t, m in found if m.type == "set_tempo"] == sorted(tempos)
    signatures = [(t, m.numerator, m.denominator) for t, m in found if m.type == "time_signature"]
    assert signatures == sorted(metres)
    assert track.name == name
    assert [m.type for m in track].count("end_of_track") == 1


@given(notes=notes_of, data=st.data())
def test_the_order_of_the_notes_does_not_change_a_byte(notes, data):
    shuffled = data.draw(st.permutations(notes))
    assert midi_bytes(track_of(notes)) == midi_bytes(track_of(shuffled))


@given(notes=notes_of)
def test_what_was_cut_once_is_written_unchanged(notes):
    content = midi_bytes(track_of(notes))
    assert midi_bytes(track_of(cut(notes))) == content


def test_the_bytes_of_one_note_are_those_of_the_standard():
    content = midi_bytes(track_of([(480, 240, 36, 100)], name="kit", end_tick=960))
    assert content == bytes.fromhex(
        "4d546864 00000006 0000 0001 01e0"
        "4d54726b 00000025"
        "00 ff03 03 6b6974"
        "00 ff5103 07a120"
        "00 ff5804 04021808"
        "8360 992464"
        "8170 892400"
        "8170 ff2f00"
    )


@pytest.mark.parametrize(
    ("notes", "settings", "said"),
    [
        ([(-1, 1, 36, 1)], {}, "tick[0] is -1"),
        ([(0, 1, 36, 1), (0, 0, 38, 1)], {}, "duration[1] is 0"),
        ([(0, 1, 128, 1)], {}, "pitch[0] is 128"),
        ([(0, 1, 36, 0)], {}, "velocity[0] is 0"),
        ([(2**28, 1, 36, 1)], {}, "ticks between two events"),
        ([], {"ppq": 0}, "ppq 0"),
        ([], {"ppq": 0x8000}, "ppq 32768"),
        ([], {"channel": 0}, "channel 0"),
        ([], {"tempos": [(0, 0)]}, "tempo 0 at tick 0"),
        ([], {"tempos": [(0, 1 << 24)]}, "tempo 16777216"),
        ([], {"metres": [(0, 4, 3)]}, "metre 4/3"),
        ([], {"metres": [(0, 0, 4)]}, "metre 0/4"),
        ([], {"end_tick": -1}, "end_tick -1"),
        ([], {"name": "x" * 16_384}, "name of 16384 bytes"),
    ],
)
def test_what_no_midi_file_can_hold_is_refused_by_name(notes, settings, said):
    with pytest.raises(MusicError) as refused:
        midi_bytes(track_of(notes, **settings))
    assert said in str(refused.value)


def test_fractions_and_unequal_columns_are_refused():
    with pytest.raises(MusicError, match="whole numbers"):
        midi_bytes(MidiTrack(tick=[0.5], duration=[1], pitch=[36], velocity=[1]))
    with pytest.raises(MusicError, match="equally many"):
        midi_bytes(MidiTrack(tick=[0, 1], duration=[1], pitch=[36], velocity=[1]))


def test_all_mistakes_of_the_settings_are_told_at_once():
    with pytest.raises(MusicError, match=r"(?s)ppq 0.*channel 17.*metre 4/5"):
        midi_bytes(track_of([], ppq=0, channel=17, metres=[(0, 4, 5)]))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "new" / "beat.mid"
    track = track_of([(0, 60, 36, 100)])
    write_midi(path, track)
    assert path.read_bytes() == midi_bytes(track)
    with pytest.raises(MusicError):
        write_midi(path, track_of([(0, 60, 36, 0)]))
    assert path.read_bytes() == midi_bytes(track)
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(CachingError):
        write_midi(path.parent, track)
