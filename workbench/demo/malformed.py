"""Odd and broken MIDI files made by the program itself, one of every kind known to occur.

70 kinds: 36 defects made on purpose (`made_...`), and 34 rebuilt after real finds in a corpus of
29,844 distinct files (`real_...`). An `odd` file is legal, however rare, or off in a way that loses
nothing: a reader takes it, though it may hold no note. A `broken` one is damaged, or of a sort
that has no place among beats (SMPTE time, format 2): a reader refuses it with a reason. Units:
ticks; `division` is the header's word for ticks a quarter note. Source: Standard MIDI Files 1.0,
RP-001.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.caching.files import replacing
from workbench.errors import MusicError
from workbench.music.writer import MidiTrack, midi_bytes

Outcome = Literal["odd", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedKind:
    """One kind of odd or broken file.

    Attributes:
        outcome: What a reader makes of it.
        meaning: What is odd or broken about it.
        build: Makes its bytes from a whole file of one track, as `music.writer` writes it, and a
            generator.
        has_notes: Whether an odd file holds a note that begins and ends.
    """

    outcome: Outcome
    meaning: str
    build: Callable[[bytes, np.random.Generator], bytes]
    has_notes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedFile:
    """One row of kinds.csv.

    Attributes:
        path: Where the file lies.
        kind: A name in `KINDS`.
        outcome: What a reader makes of it.
    """

    path: Path
    kind: str
    outcome: Outcome


def malformed_bytes(kind: str, *, seed: int = 0, whole: bytes | None = None) -> bytes:
    """Return a file of one kind.

    Args:
        kind: A name in `KINDS`.
        seed: Decides what is random in it.
        whole: A file as `music.writer` makes it, to be spoilt; two bars of rock when None. Kinds
            that are a certain file, such as `made_stuck_note`, do not look at it.

    Raises:
        MusicError: There is no such kind.
    """
    if kind not in KINDS:
        raise MusicError(f"{kind!r} is no kind of malformed file; see workbench.demo.malformed")
    generator = np.random.Generator(np.random.PCG64(seed))
    return KINDS[kind].build(_rock(generator) if whole is None else whole, generator)


def make_malformed_midi(folder: Path, seed: int = 0) -> tuple[MalformedFile, ...]:
    """Write one file of every kind as `KIND.mid`, and kinds.csv, which says what they are.

    Raises:
        CachingError: A file cannot be written.
    """
    made = []
    for kind, known in KINDS.items():
        path = folder / f"{kind}.mid"
        with replacing(path) as scratch:
            scratch.write_bytes(malformed_bytes(kind, seed=seed))
        made.append(MalformedFile(path=path, kind=kind, outcome=known.outcome))
    with (
        replacing(folder / "kinds.csv") as scratch,
        scratch.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file", "kind", "outcome", "meaning"))
        rows.writerows((f"{kind}.mid", kind, k.outcome, k.meaning) for kind, k in KINDS.items())
    return tuple(made)


_TRACK = 14  # the MTrk of a file of one track begins there
_EVENTS = 22  # and its first event there
_NOTE = bytes.fromhex("00 992464 60 892400")  # a kick of 96 ticks
_END = bytes.fromhex("00 ff2f00")
_TEMPO = bytes.fromhex("00 ff5103 07a120")
_METRE = bytes.fromhex("00 ff5804 04021808")
_NAME = bytes.fromhex("00 ff0304 6b697420")


def _rock(generator: np.random.Generator) -> bytes:
    """Return two bars of eighths with kick and snare."""
    velocity = 60 + (generator.random(16) * 60).astype(np.int64)
    tick, duration = np.arange(16) * 240, np.full(16, 60)
    pitch = np.array([36, 42, 38, 42] * 4)
    return midi_bytes(MidiTrack(tick=tick, duration=duration, pitch=pitch, velocity=velocity))


def _chunk(body: bytes, name: bytes = b"MTrk") -> bytes:
    return name + len(body).to_bytes(4, "big") + body


def _file(
    *tracks: bytes, form: int | None = None, declared: int | None = None, division: int = 480
) -> bytes:
    """Return a file of some tracks; its header is true unless told otherwise."""
    words = (
        min(len(tracks) - 1, 1) if form is None else form,
        len(tracks) if declared is None else declared,
        division,
    )
    header = b"".join(word.to_bytes(2, "big") for word in words)
    return _chunk(header, b"MThd") + b"".join(_chunk(track) for track in tracks)


def _quantity(value: int) -> bytes:
    """Return a variable-length quantity of one or two bytes."""
    return bytes([value >> 7 | 0x80, value & 0x7F]) if value > 0x7F else bytes([value])


def _fixed(content: bytes, whole: bytes, generator: np.random.Generator) -> bytes:
    return content


def _patched(at: int, content: bytes, whole: bytes, generator: np.random.Generator) -> bytes:
    return whole[:at] + content + whole[at + len(content) :]


def _extended(content: bytes, whole: bytes, generator: np.random.Generator) -> bytes:
    return whole + content


def _cut(keep: float, less: int, whole: bytes, generator: np.random.Generator) -> bytes:
    return whole[: int(len(whole) * keep) - less]


def _head(size: int, whole: bytes, generator: np.random.Generator) -> bytes:
    return whole[:size]


def _with_alien_chunk(whole: bytes, generator: np.random.Generator) -> bytes:
    return whole[:_TRACK] + _chunk(b"abcd", b"XFIH") + whole[_TRACK:]


def _in_riff(whole: bytes, generator: np.random.Generator) -> bytes:
    """Return the file in a RIFF wrapper, whose lengths are little-endian."""
    data = b"RMIDdata" + len(whole).to_bytes(4, "little") + whole
    return b"RIFF" + len(data).to_bytes(4, "little") + data


def _fuzzed(share: float, whole: bytes, generator: np.random.Generator) -> bytes:
    """Return the file with a bad pitch in its first note, and a share of what follows random."""
    content = bytearray(whole)
    pitch = whole.index(b"\x99", _EVENTS) + 1
    content[pitch] |= 0x80
    for at in range(pitch + 1, len(content)):
        if generator.random() < share:
            content[at] = int(generator.random() * 256)
    return bytes(content)


def _many_tempos(count: int, whole: bytes, generator: np.random.Generator) -> bytes:
    """Return sixteenths, each under a tempo of its own around 120 BPM."""
    body = _METRE
    for _ in range(count):
        tempo = 470_000 + int(generator.random() * 60_000)
        body += b"\x00\xff\x51\x03" + tempo.to_bytes(3, "big") + bytes.fromhex("00992650 78892600")
    return _file(body + _END)


def _eighths(division: int, numerator: int) -> bytes:
    """Return four bars of snare eighths in a metre of some eighths, at a division."""
    metre = bytes([0, 0xFF, 0x58, 4, numerator, 3, 24, 8])
    note = bytes.fromhex("00992650") + _quantity(division // 2) + bytes.fromhex("892600")
    return _file(_TEMPO + metre + note * (4 * numerator) + _END, division=division)


def _odd(meaning: str, content: bytes, *, has_notes: bool = True) -> MalformedKind:
    """Return a kind that is a certain file, or a way to make one."""
    build = partial(_fixed, content)
    return MalformedKind(outcome="odd", meaning=meaning, build=build, has_notes=has_notes)


def _broken(meaning: str, content: bytes) -> MalformedKind:
    return MalformedKind(outcome="broken", meaning=meaning, build=partial(_fixed, content))


def _spoilt(
    meaning: str, build: Callable[[bytes, np.random.Generator], bytes], outcome: Outcome = "broken"
) -> MalformedKind:
    return MalformedKind(outcome=outcome, meaning=meaning, build=build)


def _word(at: int, value: int) -> Callable[[bytes, np.random.Generator], bytes]:
    return partial(_patched, at, value.to_bytes(2, "big"))


def _with_metre(numerator: int, exponent: int) -> bytes:
    return _file(bytes([0, 0xFF, 0x58, 4, numerator, exponent, 24, 8]) + _NOTE + _END)


_MADE = {
    "alien_chunk": _spoilt("a chunk of an unknown name before the track", _with_alien_chunk, "odd"),
    "bad_magic": _spoilt("RIFF in place of MThd", partial(_patched, 0, b"RIFF")),
    "delta_max": _odd(
        "the greatest delta time twice",
        _file(bytes.fromhex("ffffff7f 992464 ffffff7f 892400") + _END),
    ),
    "div_one": _spoilt("1 tick a quarter note", _word(12, 1), "odd"),
    "div_zero": _spoilt("0 ticks a quarter note", _word(12, 0)),
    "format2": _spoilt("format 2: independent patterns", _word(8, 2)),
    "format9": _spoilt("format 9, which there is not", _word(8, 9)),
    **{
        f"fuzz{number}": _spoilt("a bad pitch, then random bytes", partial(_fuzzed, share))
        for number, share in enumerate((0.0, 0.01, 0.03, 0.1, 0.3, 0.9))
    },
    "header_only": _broken("1 track declared and none there", _file(declared=1, form=0)),
    "no_end_of_track": _odd("the track ends without saying so", _file(_NOTE)),
    "note_data_gt127": _broken(
        "a pitch and a velocity above 127",
        _file(bytes.fromhex("00 99a4ff 60 892400") + _END),
    ),
    "ntracks_0": _spoilt("0 tracks declared, 1 there", _word(10, 0), "odd"),
    "ntracks_65535": _spoilt("65535 tracks declared, 1 there", _word(10, 65_535), "odd"),
    "riff_wrapped": _spoilt("within a RIFF wrapper (.rmi)", _in_riff, "odd"),
    "running_status_first": _broken(
        "data before any status", _file(bytes.fromhex("00 2464 00 ff2f00"))
    ),
    "smpte_25x40": _spoilt("25 frames a second of 40 ticks", _word(12, 0xE728)),
    "smpte_30drop": _spoilt("29.97 frames a second of 80 ticks", _word(12, 0xE250)),
    "stuck_note": _odd("a note that never ends", _file(_NOTE[:4] + _END), has_notes=False),
    "sysex_unterminated": _broken(
        "a system exclusive message that swallows the next status",
        _file(bytes.fromhex("00 f005 7e7f0900 99 2464")),
    ),
    "tempo_bad_len": _broken(
        "a tempo of two bytes", _file(bytes.fromhex("00 ff5102 07a1") + _NOTE + _END)
    ),
    "tempo_zero": _broken(
        "a tempo of 0 µs a quarter note", _file(bytes.fromhex("00 ff5103 000000") + _NOTE + _END)
    ),
    "timesig_0_4": _broken("metre 0/4", _with_metre(0, 2)),
    "timesig_33_64": _odd("metre 33/64", _with_metre(33, 6)),
    "timesig_den_2e31": _broken("metre 4/2147483648", _with_metre(4, 31)),
    "track_len_huge": _spoilt(
        "a track of 4294967295 bytes", partial(_patched, _TRACK + 4, b"\xff" * 4)
    ),
    "track_len_zero": _spoilt(
        "a track of 0 bytes, its events behind it", partial(_patched, _TRACK + 4, bytes(4))
    ),
    "trailing_garbage": _spoilt(
        "100 zeros and JUNK behind the track", partial(_extended, bytes(100) + b"JUNK"), "odd"
    ),
    "trunc_half": _spoilt("the second half is lost", partial(_cut, 0.5, 0)),
    "trunc_in_header": _spoilt("9 bytes of a header", partial(_head, 9)),
    "trunc_minus1": _spoilt("the last byte is lost", partial(_cut, 1.0, 1)),
    "varlen_5bytes": _broken(
        "a delta time of five bytes", _file(bytes.fromhex("ffffffff7f 992464") + _END)
    ),
}

_PEDAL = bytes.fromhex("00 b9045a 60 b90400")  # the hi-hat pedal as GMD's drum module tells it
_REAL = {
    "empty": _broken("no byte", b""),
    "track_count_mismatch": _odd(
        "3 tracks declared, 2 there", _file(_TEMPO + _METRE + _END, _NOTE + _END, declared=3)
    ),
    "no_tempo_format0": _odd("a metre and no tempo", _file(_METRE + _NOTE + _END)),
    "no_tempo_format1": _odd("no tempo in two tracks", _file(_METRE + _END, _NOTE * 2 + _END)),
    "no_tempo_named": _odd("a name and no tempo", _file(_NAME + _METRE + _NOTE + _END)),
    "no_tempo_nor_metre": _odd("neither tempo nor metre", _file(_NOTE * 4 + _END)),
    "no_tempo_running_status": _odd(
        "no tempo; notes end by velocity 0 in running status",
        _file(_METRE + bytes.fromhex("00 992464 60 2400 00 2650 60 2600") + _END),
    ),
    "no_tempo_pedal": _odd("no tempo; pedal positions", _file(_METRE + _PEDAL + _NOTE + _END)),
    "no_metre_format0": _odd("a tempo and no metre", _file(_TEMPO + _NOTE + _END)),
    "no_metre_format1": _odd("no metre in two tracks", _file(_TEMPO + _END, _NOTE + _END)),
    "no_metre_late_tempo": _odd("no metre; a late tempo", _file(_NOTE + _TEMPO + _NOTE + _END)),
    "no_metre_two_tempos": _odd(
        "no metre; two tempos", _file(_TEMPO + _NOTE + bytes.fromhex("60 ff5103 061a80") + _END)
    ),
    "zero_notes_clock": _odd(
        "tempo and metre alone", _file(_TEMPO + _METRE + _END), has_notes=False
    ),
    "zero_notes_end": _odd("an end of track alone", _file(_END), has_notes=False),
    "zero_notes_pedal": _odd(
        "pedal positions alone", _file(_TEMPO + _PEDAL + _END), has_notes=False
    ),
    "zero_notes_format1": _odd(
        "two tracks, no note", _file(_TEMPO + _END, _NAME + _END), has_notes=False
    ),
    **{
        f"division_{division}": _odd(f"{division} ticks a quarter note", _eighths(division, 8))
        for division in (192, 256, 1024, 1920, 10_080)
    },
    **{
        f"metre_{numerator}_8": _odd(f"metre {numerator}/8", _eighths(480, numerator))
        for numerator in range(1, 7)
    },
    "bpm_17_5": _odd(
        "17.5 BPM", _file(bytes.fromhex("00 ff5103 3450db") + _METRE + _NOTE * 4 + _END)
    ),
    **{
        f"tempos_{count}": _spoilt(f"{count} tempo events", partial(_many_tempos, count), "odd")
        for count in (284, 288, 292, 297, 301, 305)
    },
}

KINDS: Mapping[str, MalformedKind] = {
    **{f"made_{name}": kind for name, kind in _MADE.items()},
    **{f"real_{name}": kind for name, kind in _REAL.items()},
}

# Kinds that any file can become: what `demo.drums` puts into a corpus.
DEFECTS = (
    "made_trunc_half",
    "made_trunc_minus1",
    "made_trunc_in_header",
    "made_header_only",
    "made_bad_magic",
    "made_smpte_25x40",
    "made_div_zero",
    "made_format2",
    "made_track_len_huge",
    "made_fuzz3",
    "real_empty",
    "real_zero_notes_clock",
)
