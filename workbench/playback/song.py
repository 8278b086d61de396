"""A song as the robot meets it: notes in milliseconds, from a MIDI file or from any notes.

Every tempo of the file counts where it stands. No onset is moved: a millisecond is what a duty
counts in, and an onset goes to the nearest one. Units: milliseconds from the start of the song;
pitch and velocity as MIDI has them; `channel` counts from 1, and 10 is the drums.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.device.duties import MOST_MS
from workbench.errors import PlaybackError
from workbench.music.midi import Refusal, read_midi
from workbench.playback.channels import channel_notes
from workbench.playback.options import PlanOptions

DRUM_CHANNEL = 10
_MOST_MS = MOST_MS - 600_000  # of a song, to leave room for the silence around it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Song:
    """Notes in the order of their onsets, then pitches.

    Attributes:
        name: What it is called.
        seconds: When each note begins, exactly, float64 (n,).
        onset_ms: The same to the millisecond, int64 (n,).
        end_ms: When it ends, at least a millisecond later, int64 (n,).
        pitch: int64 (n,), 0..127.
        velocity: int64 (n,), 1..127.
        channel: int64 (n,), 1..16.
    """

    name: str
    seconds: NDArray[np.float64]
    onset_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    channel: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pitch)

    @property
    def duration_ms(self) -> int:
        """When the last note ends; 0 without any."""
        return int(self.end_ms.max(initial=0))

    def at_speed(self, percent: float) -> "Song":
        """Return the song faster or slower.

        Args:
            percent: Of its own tempo, above 0.

        Raises:
            PlaybackError: It becomes longer than duties count, 12 days.
        """
        if percent == 100:
            return self
        share = 100 / percent
        return song_of(
            seconds=self.seconds * share,
            end_seconds=self.end_ms / 1000 * share,
            pitch=self.pitch,
            velocity=self.velocity,
            channel=self.channel,
            name=self.name,
        )

    def only(self, chosen: NDArray[np.bool_]) -> "Song":
        """Return the song with some of its notes, bool (n,)."""
        return Song(
            name=self.name,
            seconds=self.seconds[chosen],
            onset_ms=self.onset_ms[chosen],
            end_ms=self.end_ms[chosen],
            pitch=self.pitch[chosen],
            velocity=self.velocity[chosen],
            channel=self.channel[chosen],
        )


def song_of(
    *,
    seconds: ArrayLike,
    end_seconds: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike = 64,
    channel: ArrayLike = 1,
    name: str = "song",
) -> Song:
    """Return a song of notes in any order.

    Args:
        seconds: When each begins, (n,), not negative.
        end_seconds: When each ends, (n,).
        pitch: (n,) or one for all, 0..127.
        velocity: (n,) or one for all, 1..127.
        channel: (n,) or one for all, 1..16.
        name: What it is called.

    Raises:
        PlaybackError: A number that no note has, or a note later than duties count, 12 days.
    """
    begins = np.atleast_1d(np.asarray(seconds, np.float64))
    shape = begins.shape
    ends = np.broadcast_to(np.asarray(end_seconds, np.float64), shape)
    whole = {
        word: np.broadcast_to(np.asarray(values).astype(np.int64), shape)
        for word, values in (("pitch", pitch), ("velocity", velocity), ("channel", channel))
    }
    _refuse(name, "second", ~(begins >= 0) | ~(np.maximum(begins, ends) < _MOST_MS / 1000), begins)
    _refuse(name, "pitch", (whole["pitch"] < 0) | (whole["pitch"] > 127), whole["pitch"])
    _refuse(
        name, "velocity", (whole["velocity"] < 1) | (whole["velocity"] > 127), whole["velocity"]
    )
    _refuse(name, "channel", (whole["channel"] < 1) | (whole["channel"] > 16), whole["channel"])
    onset_ms = _milliseconds(begins)
    end_ms = np.maximum(_milliseconds(ends), onset_ms + 1)
    order = np.lexsort((end_ms, whole["channel"], whole["pitch"], onset_ms))
    return Song(
        name=name,
        seconds=begins[order],
        onset_ms=onset_ms[order],
        end_ms=end_ms[order],
        **{word: values[order] for word, values in whole.items()},
    )


def read_song(path: Path, options: PlanOptions) -> Song:
    """Return the notes of a MIDI file that options choose.

    Raises:
        PlaybackError: The file cannot be read, or none of its notes is chosen.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PlaybackError(f"{path}: cannot be read ({error.strerror or error})") from error
    return midi_song(data, options, name=path.name)


def midi_song(data: bytes, options: PlanOptions, *, name: str = "song") -> Song:
    """Return the notes of a MIDI file's bytes that options choose.

    Raises:
        PlaybackError: The bytes are no MIDI file that can be read, or none of their notes is
            chosen.
    """
    midi = read_midi(data)
    if isinstance(midi, Refusal):
        raise PlaybackError(f"{name}: {midi.reason}: {midi.detail}; give another MIDI file")
    notes = channel_notes(data)
    ends = notes.sustained() if options.pedal else notes.end
    song = song_of(
        seconds=midi.tempos.seconds_at(notes.tick),
        end_seconds=midi.tempos.seconds_at(ends),
        pitch=notes.pitch,
        velocity=notes.velocity,
        channel=notes.channel,
        name=name,
    )
    return chosen_channels(song, options)


def chosen_channels(song: Song, options: PlanOptions) -> Song:
    """Return the song without the channels that are not to be played.

    Raises:
        PlaybackError: No note is left.
    """
    is_drum = song.channel == DRUM_CHANNEL
    chosen = np.ones(len(song), bool)
    if options.channel_numbers:
        chosen &= np.isin(song.channel, list(options.channel_numbers))
    if options.drums == "no" or (options.drums == "alone" and (chosen & ~is_drum).any()):
        chosen &= ~is_drum
    if not chosen.any():
        there = ", ".join(str(channel) for channel in np.unique(song.channel)) or "none"
        wanted = f"channels={options.channels!r}, drums={options.drums!r}"
        raise PlaybackError(f"{song.name}: no note by {wanted}; its channels: {there}")
    return song if chosen.all() else song.only(chosen)


def _milliseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * 1000).astype(np.int64)


def _refuse(name: str, word: str, wrong: NDArray[np.bool_], values: NDArray[np.generic]) -> None:
    """Raise for the first note that has a number no note has."""
    if wrong.any():
        at = int(np.argmax(wrong))
        raise PlaybackError(f"{name}: note {at} has {word} {values[at]}; mend the song")
