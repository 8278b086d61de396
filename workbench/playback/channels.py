"""The notes and pedals of a MIDI file with the channels they are on.

`workbench.music.midi` decides whether a file is read at all, and its tempo map; its columns know
no channels and no controllers, so the bytes it found sound are gone over once more here.
Units: ticks; `channel` counts from 1; a pedal is a change of controller 64. Source: Standard
MIDI Files 1.0, RP-001.
"""

import struct
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Row = tuple[int, int, int, int, int]  # tick, end, channel, pitch, velocity
_Ints = NDArray[np.int64]

_PEDAL = 64
_IS_DOWN = 64  # values from here on
_END_OF_TRACK = 0x2F
# Data bytes of the system messages that a file should not hold
_SYSTEM_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelNotes:
    """Notes in the order of their ticks, then pitches; and the pedals.

    Attributes:
        tick: int64 (n,).
        end: Where the key is let go, ticks, int64 (n,).
        channel: 1 to 16, int64 (n,).
        pitch: int64 (n,).
        velocity: int64 (n,).
        pedals: Of each channel that has any, (tick, whether it is down) in time.
    """

    tick: _Ints
    end: _Ints
    channel: _Ints
    pitch: _Ints
    velocity: _Ints
    pedals: dict[int, list[tuple[int, bool]]]

    def sustained(self) -> _Ints:
        """Return where each note ends when pedals hold it, ticks, int64 (n,).

        A note let go while the pedal is down sounds until the pedal comes up, or its key is
        struck again; where it never comes up, until the last key is let go.
        """
        ends = self.end.copy()
        last = int(self.end.max(initial=0))
        for channel, changes in self.pedals.items():
            mine = np.flatnonzero(self.channel == channel)
            ends[mine] = _held(self.end[mine], changes, last)
        key = self.channel * 128 + self.pitch
        order = np.lexsort((self.tick, key))
        same = np.flatnonzero(np.diff(key[order]) == 0)
        before, after = order[same], order[same + 1]
        again = np.maximum(self.tick[after], self.end[before])
        is_held = ends[before] > self.end[before]
        ends[before] = np.where(is_held, np.minimum(ends[before], again), ends[before])
        return ends


def channel_notes(data: bytes) -> ChannelNotes:
    """Return the notes and pedals of a file's bytes, which `read_midi` has found sound."""
    notes: list[_Row] = []
    pedals: list[tuple[int, int, bool]] = []
    for start, end in _tracks(data):
        _walk(data, start, end, notes, pedals)
    columns = np.array(notes, np.int64).reshape(-1, 5).T
    tick, ends, channel, pitch, velocity = columns[:, np.lexsort((columns[3], columns[0]))]
    by_channel: dict[int, list[tuple[int, bool]]] = {}
    for at, of_channel, is_down in sorted(pedals, key=lambda pedal: pedal[0]):
        by_channel.setdefault(of_channel, []).append((at, is_down))
    return ChannelNotes(
        tick=tick, end=ends, channel=channel, pitch=pitch, velocity=velocity, pedals=by_channel
    )


def _held(ends: _Ints, changes: list[tuple[int, bool]], last: int) -> _Ints:
    """Return where notes of one channel end under its pedal."""
    ticks = np.array([tick for tick, _ in changes], np.int64)
    is_down = np.array([down for _, down in changes])
    before = np.searchsorted(ticks, ends, side="left") - 1
    is_held = (before >= 0) & is_down[np.maximum(before, 0)]
    ups = np.append(ticks[~is_down], max(last, int(ticks[-1])))
    released = ups[np.minimum(np.searchsorted(ups, ends, side="left"), len(ups) - 1)]
    return np.where(is_held, np.maximum(released, ends), ends)


def _tracks(data: bytes) -> list[tuple[int, int]]:
    """Return where the content of each track begins and ends."""
    at = data.find(b"MThd") if data[:4] == b"RIFF" else 0
    at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    tracks = []
    while at + 8 <= len(data) and data[at : at + 4] != b"MThd":
        name, size = struct.unpack_from(">4sI", data, at)
        at += 8
        if at + size > len(data):
            break
        if name == b"MTrk":
            tracks.append((at, at + size))
        at += size
    return tracks


def _walk(
    data: bytes, at: int, end: int, notes: list[_Row], pedals: list[tuple[int, int, bool]]
) -> None:
    """Go over the events of one track; a note-off ends the oldest note of its key.

    Running status that goes past a system message is none, and the reader has refused it.
    """
    tick = running = 0
    sounding: dict[int, deque[tuple[int, int]]] = {}
    while at < end:
        delta, at = _variable_length(data, at)
        tick += delta
        if at >= end:
            return
        status = data[at]
        if status in (0xF0, 0xF7, 0xFF):
            kind = data[at + 1] if status == 0xFF else 0
            length, at = _variable_length(data, at + (2 if status == 0xFF else 1))
            if kind == _END_OF_TRACK:
                return
            at += length
            continue
        if status >= 0x80:
            running, at = status, at + 1
        kind, channel = running & 0xF0, (running & 0x0F) + 1
        first = data[at] if at < end else 0
        second = data[at + 1] if at + 1 < end else 0
        at += _SYSTEM_BYTES.get(running, 0) if kind == 0xF0 else 2 - (kind in (0xC0, 0xD0))
        if kind == 0x90 and second:
            sounding.setdefault(channel << 7 | first, deque()).append((tick, second))
        elif kind in (0x80, 0x90):
            if waiting := sounding.get(channel << 7 | first):
                start, velocity = waiting.popleft()
                notes.append((start, tick, channel, first, velocity))
        elif kind == 0xB0 and first == _PEDAL:
            pedals.append((tick, channel, second >= _IS_DOWN))


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at
