"""Songs of MIDI files: every note, when the tempo map says, as long as the pedal holds it."""

import io

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_bytes import END, HIT, meta, mutations, riff, smf, tempo

from workbench.errors import PlaybackError
from workbench.music.midi import Midi, read_midi
from workbench.playback.channels import channel_notes
from workbench.playback.options import PlanOptions
from workbench.playback.song import midi_song, read_song, song_of

ALL = PlanOptions(drums="yes")


def file_of(*tracks, ppq=480):
    """Return the bytes of a file; a track is mido messages with absolute ticks."""
    made = mido.MidiFile(ticks_per_beat=ppq)
    for messages in tracks:
        at, track = 0, mido.MidiTrack()
        for tick, message in sorted(messages, key=lambda pair: pair[0]):
            track.append(message.copy(time=tick - at))
            at = tick
        made.tracks.append(track)
    buffer = io.BytesIO()
    made.save(file=buffer)
    return buffer.getvalue()


def note(tick, length, pitch, *, channel=1, velocity=80):
    """Return the messages of a note."""
    told = {"channel": channel - 1, "note": pitch}
    return [
        (tick, mido.Message("note_on", velocity=velocity, **told)),
        (tick + length, mido.Message("note_off", **told)),
    ]


def pedal(tick, value, *, channel=1):
    return tick, mido.Message("control_change", channel=channel - 1, control=64, value=value)


def tempo_at(tick, bpm):
    return tick, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))


def lengths(data, options=ALL):
    song = midi_song(data, options)
    return (song.end_ms - song.onset_ms).tolist()


def same_notes(data):
    """Whether the channels' notes are those that the reader gives; None if it refuses."""
    midi = read_midi(data)
    if not isinstance(midi, Midi):
        return None
    found = channel_notes(data)
    mine = [found.tick, found.end - found.tick, found.pitch, found.velocity, found.channel == 10]
    theirs = [midi.tick, midi.duration, midi.pitch, midi.velocity, midi.is_drum]
    return sorted(zip(*map(np.ndarray.tolist, mine), strict=True)) == sorted(
        zip(*map(np.ndarray.tolist, theirs), strict=True)
    )


# --- the bytes


def test_the_notes_are_the_readers_whatever_the_file():
    seeds = [
        smf(HIT * 3 + END),
        smf(tempo(400_000) + END, HIT + b"\x10\x99\x26\x50\x10\x26\x00" + END),
        smf(b"\0\xf0\x03\x01\x02\xf7" + HIT + b"\0\xb9\x40\x7f" + HIT + END, form=0),
        riff(smf(HIT + meta(1, b"text") + END)),
        file_of(note(0, 100, 60) + note(50, 100, 60) + note(50, 0, 62, channel=3)),
    ]
    found = [same_notes(data) for data in [*seeds, *mutations(seeds, 6000, seed=11)]]
    assert all(each is not False for each in found)
    assert found.count(True) > 400


@pytest.mark.malformed
def test_odd_files_of_people_are_read_alike(malformed):
    found = [same_notes(path.read_bytes()) for path in sorted(malformed.iterdir())]
    assert found.count(False) == 0
    assert found.count(True) >= 8


# --- time


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(20, 400)), max_size=6),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 4000)), min_size=1, max_size=12),
    st.sampled_from([24, 96, 480, 960]),
)
@settings(max_examples=60)
def test_onsets_are_where_mido_plays_them(tempos, notes, ppq):
    rows = [row for n, (tick, length) in enumerate(notes) for row in note(tick, length, 40 + n)]
    changes = {tick: tempo_at(tick, bpm) for tick, bpm in tempos}
    data = file_of(list(changes.values()), rows, ppq=ppq)
    at, expected = 0.0, {}
    for message in mido.MidiFile(file=io.BytesIO(data)):
        at += message.time
        if message.type == "note_on" and message.velocity:
            expected[message.note] = at
    song = midi_song(data, ALL)
    assert dict(zip(song.pitch.tolist(), song.seconds.tolist(), strict=True)) == pytest.approx(
        expected, abs=1e-6
    )
    assert np.abs(song.onset_ms - song.seconds * 1000).max() <= 0.5 + 1e-9


def test_every_tempo_counts_where_it_stands():
    """16 beats, 120 and from beat 8 on 240 a minute, which the original took for 240 all along."""
    beats = [row for beat in range(16) for row in note(480 * beat, 100, 60)]
    song = midi_song(file_of([tempo_at(0, 120), tempo_at(480 * 8, 240)], beats), ALL)
    expected = [500 * beat for beat in range(8)] + [4000 + 250 * beat for beat in range(8)]
    assert song.onset_ms.tolist() == expected
    assert expected[-1] == 5750


# --- the pedal


def test_a_pedal_holds_the_notes_of_its_channel_until_it_comes_up():
    held = [*note(0, 100, 60), pedal(50, 127), pedal(960, 0), *note(0, 100, 62, channel=2)]
    assert lengths(file_of(held)) == [1000, 104]
    assert lengths(file_of(held), PlanOptions(pedal=False)) == [104, 104]


def test_a_pedal_changed_with_the_chord_lets_the_old_chord_go():
    rows = [pedal(0, 127), *note(0, 480, 60), pedal(480, 0), pedal(480, 127), *note(480, 480, 64)]
    assert lengths(file_of([*rows, pedal(1920, 0)])) == [500, 1500]


def test_a_pedal_that_goes_down_as_a_key_comes_up_is_too_late_for_it():
    rows = [*note(0, 480, 60), pedal(480, 127), pedal(960, 0)]
    assert lengths(file_of(rows)) == [500]


def test_a_key_struck_again_ends_what_the_pedal_holds():
    rows = [pedal(0, 127), *note(0, 100, 60), *note(480, 100, 60), pedal(960, 63)]
    assert lengths(file_of(rows)) == [500, 500]


def test_a_pedal_that_never_comes_up_holds_to_the_end_of_the_song():
    rows = [pedal(0, 64), *note(0, 100, 60), *note(900, 60, 72)]
    assert lengths(file_of(rows)) == [1000, 62]


def test_a_pedal_of_another_track_is_a_pedal_of_its_channel():
    assert lengths(file_of(note(0, 96, 60), [pedal(0, 127), pedal(960, 0)])) == [1000]


# --- channels


def test_one_pitch_of_two_channels_is_two_notes():
    song = midi_song(file_of(note(0, 960, 60) + note(480, 96, 60, channel=3)), ALL)
    assert song.channel.tolist() == [1, 3]
    assert song.end_ms.tolist() == [1000, 600]


def test_channels_are_chosen():
    data = file_of(note(0, 96, 60), note(0, 96, 62, channel=4), note(0, 96, 36, channel=10))
    chosen = {
        "all": PlanOptions(),
        "four": PlanOptions(channels="4"),
        "drums": PlanOptions(channels="4, 10", drums="yes"),
        "alone": PlanOptions(channels="10"),
    }
    found = {name: midi_song(data, options).pitch.tolist() for name, options in chosen.items()}
    assert found == {"all": [60, 62], "four": [62], "drums": [36, 62], "alone": [36]}
    with pytest.raises(PlaybackError, match="its channels: 1, 4, 10"):
        midi_song(data, PlanOptions(channels="5"))
    with pytest.raises(PlaybackError, match="drums='no'"):
        midi_song(data, PlanOptions(channels="10", drums="no"))


# --- what is refused


def test_what_is_no_midi_file_is_refused_with_its_name(tmp_path):
    path = tmp_path / "song.mid"
    path.write_bytes(b"RIFFxxxx")
    with pytest.raises(PlaybackError, match=r"song\.mid: magic"):
        read_song(path, ALL)
    with pytest.raises(PlaybackError, match="cannot be read"):
        read_song(tmp_path / "none.mid", ALL)
    with pytest.raises(PlaybackError, match="cannot be read"):
        read_song(tmp_path, ALL)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seconds": [0, -1]}, "note 1 has second -1"),
        ({"seconds": [0, np.nan]}, "note 1 has second nan"),
        ({"seconds": [0, 1e9]}, "note 1 has second 1000000000"),
        ({"end_seconds": 1e9}, "note 0 has second"),
        ({"pitch": [60, 128]}, "note 1 has pitch 128"),
        ({"velocity": 0}, "note 0 has velocity 0"),
        ({"channel": 17}, "note 0 has channel 17"),
    ],
)
def test_notes_that_cannot_be_are_refused(wrong, told):
    with pytest.raises(PlaybackError, match=told):
        song_of(**({"seconds": [0, 1], "end_seconds": 2, "pitch": 60} | wrong))


def test_notes_in_any_order_become_a_song_in_time():
    song = song_of(seconds=[1, 0, 0], end_seconds=[1, 0.5, 0.2], pitch=[60, 64, 55])
    assert song.onset_ms.tolist() == [0, 0, 1000]
    assert song.pitch.tolist() == [55, 64, 60]
    assert song.end_ms.tolist() == [200, 500, 1001]
    assert (len(song), song.duration_ms) == (3, 1001)
