"""The reader of MIDI files: agreement with mido, a reason for each fault, and no exception."""

import hashlib
import io
import os
import time
from collections import defaultdict

import mido
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from midi_bytes import END, HIT, chunk, header, meta, metre, mutations, riff, smf, tempo, varlen

from workbench.music.midi import MAX_TICK, Midi, Refusal, read_midi, read_midi_file

MESSAGES = st.one_of(
    st.builds(
        mido.Message,
        st.sampled_from(["note_on", "note_on", "note_off"]),
        channel=st.sampled_from([0, 9, 15]),
        note=st.integers(35, 38),
        velocity=st.sampled_from([0, 1, 64, 127]),
        time=st.sampled_from([0, 0, 1, 100, 127, 128, 20_000]),
    ),
    st.builds(mido.Message, st.just("control_change"), value=st.integers(0, 127)),
    st.builds(mido.Message, st.just("program_change"), program=st.integers(0, 2)),
    st.builds(mido.Message, st.just("polytouch"), value=st.integers(0, 127)),
    st.builds(mido.Message, st.just("aftertouch"), value=st.integers(0, 127)),
    st.builds(mido.Message, st.just("pitchwheel"), pitch=st.integers(-8192, 8191)),
    st.builds(mido.Message, st.just("sysex"), data=st.lists(st.integers(0, 127), max_size=4)),
    st.builds(
        mido.MetaMessage, st.just("text"), text=st.sampled_from(["", "ÿQ", "ÿX\4\0", "ð÷", "ÿÿÿÿ"])
    ),
    st.builds(mido.MetaMessage, st.just("set_tempo"), tempo=st.integers(1, 2**24 - 1)),
    st.builds(
        mido.MetaMessage,
        st.just("time_signature"),
        numerator=st.integers(1, 12),
        denominator=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]),
    ),
)
TRACKS = st.lists(st.lists(MESSAGES, max_size=30), max_size=3)


def saved(tracks, *, ppq=480):
    """Return what mido writes."""
    file = mido.MidiFile(ticks_per_beat=ppq, tracks=[mido.MidiTrack(track) for track in tracks])
    data = io.BytesIO()
    file.save(file=data)
    return data.getvalue()


def notes_of(tracks):
    """Return (tick, pitch, duration, velocity, is_drum) of all notes that end, sorted."""
    notes = []
    for track in tracks:
        at, open_notes = 0, defaultdict(list)
        for message in track:
            at += message.time
            if message.type not in ("note_on", "note_off"):
                continue
            waiting = open_notes[message.channel, message.note]
            if message.type == "note_on" and message.velocity:
                waiting.append((at, message.velocity))
            elif waiting:
                start, velocity = waiting.pop(0)
                notes.append((start, message.note, at - start, velocity, message.channel == 9))
    return sorted(notes)


def rows(midi):
    columns = (midi.tick, midi.pitch, midi.duration, midi.velocity, midi.is_drum)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def reason(data, **options):
    outcome = read_midi(data, **options)
    return outcome.reason if isinstance(outcome, Refusal) else "read"


def assert_sound(outcome):
    """Whatever the bytes were: a reason and a text, or columns that keep their bounds."""
    if isinstance(outcome, Refusal):
        assert outcome.reason and outcome.detail
        # symusic's own words would mean that the walk did not find what it stumbled over
        assert not outcome.detail.startswith(("MiniMidi", "Get "))
        return
    n = len(outcome.tick)
    assert n > 0
    assert outcome.tick.dtype == outcome.duration.dtype == np.int64
    assert outcome.pitch.dtype == outcome.velocity.dtype == np.uint8
    assert outcome.is_drum.dtype == np.bool_
    columns = (outcome.duration, outcome.pitch, outcome.velocity, outcome.is_drum)
    assert all(column.shape == (n,) for column in columns)
    assert outcome.tick.min() >= 0 and outcome.tick.max() <= MAX_TICK
    assert outcome.duration.min() >= 0
    assert outcome.pitch.max() <= 127
    assert outcome.velocity.min() >= 1 and outcome.velocity.max() <= 127
    assert (np.diff(outcome.tick << 7 | outcome.pitch) >= 0).all()
    assert 1 <= outcome.ppq <= 32767
    outcome.tempos.seconds_at(outcome.tick)
    outcome.metres.bars_at(outcome.tick)


# --- what is read


@given(TRACKS, st.integers(1, 32767))
def test_notes_are_those_that_mido_reads(tracks, ppq):
    expected = notes_of(tracks)
    outcome = read_midi(saved(tracks, ppq=ppq))
    assert_sound(outcome)
    if expected:
        assert rows(outcome) == expected
        assert outcome.ppq == ppq
    else:
        assert outcome.reason == "no_notes"


@given(TRACKS, st.lists(st.integers(0, 60_000), min_size=1, max_size=10))
def test_tempo_and_metre_are_those_that_mido_reads(tracks, ticks):
    tracks = [[*track, mido.Message("note_on", note=1), mido.Message("note_off", note=1)]
              for track in [*tracks, []]]  # fmt: skip
    tracks[0].insert(0, mido.Message("note_on", note=2, velocity=9))
    tracks[0].append(mido.Message("note_off", note=2, time=1))
    outcome = read_midi(saved(tracks))
    for tick in ticks:
        tempo, metre, at = 500_000, (4, 4), 0
        for message in mido.merge_tracks(mido.MidiTrack(track) for track in tracks):
            at += message.time
            if at > tick:
                break
            if message.type == "set_tempo":
                tempo = message.tempo
            if message.type == "time_signature":
                metre = (message.numerator, message.denominator)
        segment = outcome.metres.bars_at(tick)[2]
        found = (outcome.metres.numerator[segment], outcome.metres.denominator[segment])
        assert outcome.tempos.tempo_at(tick) == tempo
        assert found == metre


def test_notes_are_sorted_by_tick_then_pitch_and_ties_stay_in_track_order():
    first = b"\0\x90\x30\x01\0\x90\x28\x02\x0a\x80\x30\0\0\x80\x28\0" + END
    second = b"\0\x99\x28\x03\x0a\x89\x28\0" + END
    midi = read_midi(smf(first, second))
    assert midi.pitch.tolist() == [0x28, 0x28, 0x30]
    assert midi.velocity.tolist() == [2, 3, 1]
    assert midi.is_drum.tolist() == [False, True, False]
    early = b"\0\x90\x10\x01\0\x80\x10\0" + END
    tracks = [b"\1\x90\x28" + bytes((velocity,)) + b"\1\x80\x28\0" for velocity in range(1, 99)]
    assert read_midi(smf(*tracks, early)).velocity.tolist() == [1, *range(1, 99)]


def test_without_tempo_and_time_signature_the_defaults_hold():
    midi = read_midi(smf(HIT + END))
    assert midi.tempos.tempo.tolist() == [500_000]
    assert (midi.metres.numerator.tolist(), midi.metres.denominator.tolist()) == ([4], [4])


@pytest.mark.parametrize("ppq", [1, 192, 256, 480, 1024, 1920, 10080, 32767])
def test_any_division_in_ticks_is_read(ppq):
    assert read_midi(smf(HIT + END, division=ppq)).ppq == ppq


ODD_BUT_READ = {
    "trailing garbage": smf(HIT + END) + bytes(range(100)),
    "trailing chunk of a length too long": smf(HIT + END) + b"junk\xff\xff\xff\xff..",
    "a second file behind the first": smf(HIT + END) + smf(HIT + END),
    "alien chunk before": header() + chunk(b"?", name=b"XFIH") + chunk(HIT + END),
    "alien chunk behind": smf(HIT + END) + chunk(b"MTrk", name=b"XFKM"),
    "header of 8 bytes": b"MThd\0\0\0\x08\0\1\0\1\1\xe0??" + chunk(HIT + END),
    "0 tracks declared": header(0) + chunk(HIT + END),
    "65535 tracks declared": header(65535) + chunk(HIT + END),
    "format 0 with two tracks": smf(END, HIT + END, form=0),
    "no end of track": smf(HIT),
    "events behind the end of track": smf(HIT + END + b"\0\xff\x51\x03\0\0\0\xff\xff\xff\xff\xff"),
    "wrapped in RIFF": riff(smf(HIT + END)) + b"LIST",
    "RIFF with another chunk first": riff(smf(HIT + END), before=b"DISP\3\0\0\0abc\0"),
    "sysex": smf(b"\0\xf0\x05\x7e\x7f\x09\x01\xf7" + HIT + END),
    "sysex in packets": smf(b"\0\xf0\x02\x43\x12\0\xf7\x02\x01\x02\0\xf7\x02\x03\xf7" + HIT + END),
    "an escape that resembles a note": smf(b"\0\xf7\x03\x90\x30\x40" + HIT + END),
    "a tempo event inside sysex": smf(b"\0\xf0\x06\xff\x51\x03\0\0\0" + HIT + END),
    "a tempo event inside a text": smf(meta(1, b"\xff\x51\x03\0\0\0") + HIT + END),
    "a metre event inside a text": smf(tempo(1) + meta(1, b"\xff\x58\x04\0\0\0\0") + HIT + END),
    "a time signature cut by the end of a text": smf(meta(1, b"\xff\x58") + HIT + END),
    "deltas of five high bytes inside a text": smf(meta(1, b"\xff" * 9) + HIT + END),
    "running status past a meta event": smf(b"\0\x99\x24\x64" + meta(1, b"") + b"\x60\x24\0" + END),
    "a clock, which no file should hold": smf(b"\0\xf8" + HIT + END),
    "pressure above 127": smf(b"\0\xa9\x24\xff" + HIT + END),
    "a length written with a leading zero": smf(b"\0\xff\x51\x80\x03\x07\xa1\x20" + HIT + END),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_BUT_READ)
def test_what_is_odd_but_legal_is_read_as_if_it_were_not_odd(name):
    assert rows(read_midi(ODD_BUT_READ[name])) == [(0, 36, 96, 100, True)]


@pytest.mark.parametrize(
    ("events", "beats"),
    [(metre(33, 6), (33, 64)), (metre(255, 0), (255, 1)), (metre(1, 7), (1, 128))],
)
def test_a_rare_metre_is_a_metre(events, beats):
    metres = read_midi(smf(events + HIT + END)).metres
    assert (metres.numerator[0], metres.denominator[0]) == beats


def test_a_stuck_note_is_no_note_and_a_note_of_no_length_is_one():
    stuck, empty = b"\0\x99\x2a\x64", b"\0\x99\x26\x64\0\x89\x26\0"
    assert reason(smf(stuck + END)) == "no_notes"
    assert rows(read_midi(smf(stuck + empty + END))) == [(0, 0x26, 0, 100, True)]


def test_deltas_of_four_bytes_are_counted_up_to_31_bits():
    longest = varlen(2**28 - 1)
    late = longest + b"\xff\x01\0"
    assert read_midi(smf(late * 7 + HIT + END)).tick.tolist() == [7 * (2**28 - 1)]
    assert reason(smf(late * 8 + HIT + END)) == "read"
    assert reason(smf(late * 9 + HIT + END)) == "too_large"
    assert reason(smf(late * 36 + HIT + END)) == "too_large"  # once around and far again
    late = varlen(2**21 - 1) + b"\xff\x01\0"  # no delta of four bytes, and yet too late
    assert reason(smf(late * 1100 + HIT + END)) == "too_large"
    assert reason(smf(HIT + late * 2000 + HIT + END)) == "too_large"


# --- what is refused


REFUSED = {
    "nothing": (b"", "empty"),
    "another magic": (b"RIFF" + smf(HIT + END)[4:], "magic"),
    "text": (b"MThe quick brown fox", "magic"),
    "cut in its magic": (b"MTh", "magic"),
    "cut in its header": (smf(HIT + END)[:9], "truncated"),
    "header of 5 bytes": (b"MThd\0\0\0\x05\0\1\0\1\1\xe0" + chunk(HIT + END), "header"),
    "wrapper without data": (b"RIFF\0\0\0\0RMIDLIST\0\0\0\0", "header"),
    "wrapper cut by a byte": (riff(smf(HIT + END))[:-1], "truncated"),
    "wrapper of nothing": (riff(b""), "empty"),
    "wrapper of a wrapper": (riff(riff(smf(HIT + END))), "magic"),
    "65,536 tracks": (header(1) + chunk(HIT + END) * 65_536, "header"),
    "format 2": (smf(HIT + END, form=2), "format2"),
    "format 9": (smf(HIT + END, form=9), "format2"),
    "25 frames a second": (smf(HIT + END, division=0xE728), "smpte"),
    "30 frames a second, drop": (smf(HIT + END, division=0xE250), "smpte"),
    "division 0": (smf(HIT + END, division=0), "div0"),
    "header only": (header(), "no_notes"),
    "no event": (smf(b""), "no_notes"),
    "track of length 0": (header() + chunk(b"") + HIT + END, "no_notes"),
    "track cut by a byte": (smf(HIT + END)[:-1], "truncated"),
    "track cut in half": (smf(HIT * 9 + END)[:50], "truncated"),
    "track of 4 GiB": (header() + b"MTrk\xff\xff\xff\xff" + HIT + END, "truncated"),
    "event cut by the end of its track": (smf(HIT[:-1]), "truncated"),
    "delta without an event": (smf(HIT + b"\x81"), "truncated"),
    "meta event longer than its track": (smf(HIT + b"\0\xff\x01\x40"), "truncated"),
    "sysex longer than its track": (smf(HIT + b"\0\xf0\x40"), "truncated"),
    "event cut where another track follows": (smf(HIT[:-1], HIT + END), "truncated"),
    "delta of 5 bytes": (smf(b"\xff\xff\xff\xff\x7f" + HIT[1:] + END), "varlen"),
    "delta of 5 bytes, small": (smf(HIT + b"\x80\x80\x80\x80" + HIT + END), "varlen"),
    "length of 5 bytes": (smf(b"\0\xff\x01\x80\x80\x80\x80\0" + HIT + END), "varlen"),
    "delta of 5 bytes that symusic reads": (
        smf(HIT + b"\0\xd9\x10" + b"\x81\x80\x80\x80\0\xd9\x10" + END), "varlen"
    ),
    "undeclared track cut by a byte": (header(1) + (chunk(HIT + END) * 2)[:-1], "truncated"),
    "data first": (smf(b"\0\x24\x64" + END), "running_status"),
    "data behind sysex": (smf(HIT + b"\0\xf0\x01\xf7\0\x24\x64" + END), "running_status"),
    "sysex unterminated": (smf(b"\0\xf0\x05\x7e\x7f\x09\0\x99\x24\x64" + END), "running_status"),
    "pitch 164": (smf(b"\0\x99\xa4\x64" + END), "data_byte"),
    "velocity 228": (smf(b"\0\x99\x24\xe4" + END), "data_byte"),
    "release 128": (smf(b"\0\x89\x24\x80" + END), "data_byte"),
    "program 217": (smf(b"\0\xc9\xd9" + HIT + END), "data_byte"),
    "controller 200": (smf(b"\0\xb9\xc8\x01" + HIT + END), "data_byte"),
    "bend of 15 bits": (smf(b"\0\xe9\0\x80" + HIT + END), "data_byte"),
    "status f4": (smf(b"\0\xf4" + HIT + END), "data_byte"),
    "tempo 0": (smf(tempo(0) + HIT + END), "tempo0"),
    "tempo 0 behind a sound one": (smf(tempo(9) + HIT + tempo(0) + END), "tempo0"),
    "tempo of 2 bytes": (smf(meta(0x51, b"\x07\xa1") + HIT + END), "tempo0"),
    "tempo of 0 bytes at the very end": (smf(HIT + b"\0\xff\x51\0"), "tempo0"),
    "tempo 0 beside a false one": (smf(tempo(0) + meta(1, b"\xff\x51\3\1\1\1") + HIT), "tempo0"),
    "metre 0/4": (smf(metre(0, 2) + HIT + END), "metre0"),
    "beats of 1/256": (smf(metre(4, 8) + HIT + END), "metre0"),
    "beats of 1/2^31": (smf(metre(4, 31) + HIT + END), "metre0"),
    "beats of 1/2^34": (smf(metre(4, 34) + HIT + END), "metre0"),
    "metre of 2 bytes": (smf(meta(0x58, b"\4\2") + HIT + END), "metre0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_each_fault_has_its_reason(name):
    data, expected = REFUSED[name]
    assert reason(data) == expected


WALKED = [  # the faults of events, in a single track of the right length
    name
    for name, (data, expected) in REFUSED.items()
    if data[10:12] == b"\0\1" and data[14:22] == chunk(data[22:])[:8] and expected != "no_notes"
]


@pytest.mark.parametrize("name", WALKED)
def test_a_fault_has_the_same_reason_where_every_event_is_looked_at(name):
    data, expected = REFUSED[name]
    resembling_sysex = meta(1, b"\xf0")
    assert reason(data[:14] + chunk(resembling_sysex + data[22:])) == expected


def test_more_bytes_than_allowed_are_too_large():
    data = smf(HIT + END)
    assert reason(data, max_bytes=len(data)) == "read"
    assert reason(data, max_bytes=len(data) - 1) == "too_large"


# --- any bytes whatsoever


@given(st.binary(max_size=200))
@example(b"MThd")
def test_no_bytes_raise(data):
    assert_sound(read_midi(data))


@given(st.binary(max_size=100), st.booleans())
def test_no_track_raises(content, is_cut):
    data = smf(HIT + content + END)
    assert_sound(read_midi(data[:-2] if is_cut else data))


@given(TRACKS, st.integers(0, 2**32))
def test_no_mutation_of_a_sound_file_raises(tracks, seed):
    for data in mutations([saved(tracks)], 5, seed=seed):
        assert_sound(read_midi(data))


def test_no_small_mutation_raises():
    for data in mutations([smf(HIT * 20 + END), smf(tempo(1) + END, HIT * 5 + END)], 500, seed=1):
        assert_sound(read_midi(data))


@pytest.mark.soak
@pytest.mark.gmd
def test_ten_thousand_mutations_take_less_than_a_minute_and_raise_nothing(gmd):
    files = [path.read_bytes() for path in sorted((gmd / "train").glob("*.mid"))]
    seeds = [*files, *(data for data in ODD_BUT_READ.values()), smf(HIT * 99 + END)]
    start = time.monotonic()
    outcomes = [read_midi(data) for data in mutations(seeds, 10_000, seed=2)]
    assert time.monotonic() - start < 60
    for outcome in outcomes:
        assert_sound(outcome)
    read = sum(isinstance(outcome, Midi) for outcome in outcomes)
    assert 500 < read < 9_500  # the trial tries both ways


# --- files


def test_a_file_is_read_and_left_as_it_was(tmp_path):
    path = tmp_path / "hit.mid"
    path.write_bytes(smf(HIT + END) + b"trailing")
    before = (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns)
    assert rows(read_midi_file(path)) == [(0, 36, 96, 100, True)]
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_read_is_an_io_error(tmp_path):
    (tmp_path / "locked").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing.mid", "locked", "fifo", "loop", "zero\0byte", "x" * 5000):
        assert read_midi_file(tmp_path / name).reason == "io_error", name


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.mid"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert read_midi_file(path).reason == "too_large"
    path.write_bytes(b"")
    assert read_midi_file(path).reason == "empty"


# --- the data beside the checkout


def notes_of_groove_files(folder, every):
    """Return how many notes mido and we read in every so many of the files."""
    numbers = {}
    for path in sorted(folder.glob("*.mid"))[::every]:
        track = mido.MidiFile(path).tracks[0]
        begun = sum(message.type == "note_on" and message.velocity > 0 for message in track)
        numbers[path.name] = (begun, len(read_midi_file(path).tick))
    return numbers


@pytest.mark.gmd
def test_groove_files_have_the_notes_that_mido_reads(gmd):
    numbers = notes_of_groove_files(gmd / "train", 12)
    assert all(ours == theirs for theirs, ours in numbers.values())
    assert len(numbers) > 50


@pytest.mark.gmd
@pytest.mark.soak
def test_every_groove_file_has_the_notes_that_mido_reads(gmd):
    numbers = notes_of_groove_files(gmd / "train", 1)
    others = {name: pair for name, pair in numbers.items() if pair[0] != pair[1]}
    # there a ride cymbal begins at tick 241274 and nothing ends it: a stuck note
    assert others == {"drummer1__session1__78_jazz-fast_290_beat_4-4.mid": (1497, 1496)}
    assert sum(begun for begun, _ in numbers.values()) == 357_927


MALFORMED = {
    "alien_chunk": "read",
    "bad_magic": "magic",
    "delta_max": "read",
    "div_one": "read",
    "div_zero": "div0",
    "format2": "format2",
    "format9": "format2",
    "fuzz0": "data_byte",
    "fuzz1": "data_byte",
    "fuzz2": "data_byte",
    "fuzz3": "data_byte",
    "fuzz4": "data_byte",
    "fuzz5": "running_status",
    "header_only": "no_notes",
    "no_end_of_track": "read",
    "note_data_gt127": "data_byte",
    "ntracks_0": "read",
    "ntracks_65535": "read",
    "riff_wrapped": "read",
    "running_status_first": "running_status",
    "smpte_25x40": "smpte",
    "smpte_30drop": "smpte",
    "stuck_note": "no_notes",
    "sysex_unterminated": "running_status",
    "tempo_bad_len": "tempo0",
    "tempo_zero": "tempo0",
    "timesig_0_4": "metre0",
    "timesig_33_64": "read",
    "timesig_den_2e31": "metre0",
    "track_len_huge": "truncated",
    "track_len_zero": "no_notes",
    "trailing_garbage": "read",
    "trunc_half": "truncated",
    "trunc_in_header": "truncated",
    "trunc_minus1": "truncated",
    "varlen_5bytes": "varlen",
}


@pytest.mark.malformed
def test_every_malformed_file_is_classified(malformed):
    found = {
        path.stem.removeprefix("made_"): reason(path.read_bytes())
        for path in malformed.glob("*.mid")
    }
    assert found == MALFORMED


@pytest.mark.malformed
def test_the_groove_in_an_odd_file_is_the_groove_of_its_source(malformed):
    odd = ("alien_chunk", "ntracks_0", "ntracks_65535", "riff_wrapped", "trailing_garbage")
    grooves = [rows(read_midi_file(malformed / f"made_{name}.mid")) for name in odd]
    assert len(grooves[0]) == 18
    assert all(groove == grooves[0] for groove in grooves)
