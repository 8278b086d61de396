"""The errors of the workbench: one parent, one child a room.

A message says what was found, where, and what to do about it.
"""


class WorkbenchError(Exception):
    """A mistake or a condition that the person at the keyboard can do something about."""

    exit_code = 1


class OptionsError(WorkbenchError):
    """Options or parameters that cannot be used; all mistakes are told at once."""

    exit_code = 2


class CachingError(WorkbenchError):
    """A file or a folder that could not be written whole."""


class StreamingError(WorkbenchError):
    """A list, a position, a store of counts or a worker that cannot go on."""


class SourceError(StreamingError):
    """A source of records that cannot be reached or read."""

    exit_code = 4


class AccessError(StreamingError):
    """A place that wants a token, or another one."""

    exit_code = 3


class SinkError(StreamingError):
    """A place that results go to and that did not take them."""

    exit_code = 6


class SinkAccessError(SinkError, AccessError):
    """A place that results go to and that wants a token, or another one."""

    exit_code = 3


class MusicError(WorkbenchError):
    """A MIDI or audio file that cannot be read or written."""


class LearningError(WorkbenchError):
    """A training that cannot begin or go on."""


class GrooveError(WorkbenchError):
    """A groove corpus, model or prime that cannot be used."""


class SpeechError(WorkbenchError):
    """Speech that cannot be cleaned, told apart or transcribed."""

    exit_code = 5


class BeatmapError(WorkbenchError):
    """A map, or a corpus of maps, that cannot be read, kept or written.

    Attributes:
        kind: One word of the reason, to count by, as `no_info` or `bad_zip`.
    """

    def __init__(self, message: str, kind: str = "unusable") -> None:
        super().__init__(message)
        self.kind = kind


class DeviceError(WorkbenchError):
    """A board that cannot be reached, or that does not do what it was told."""

    exit_code = 7


class PlaybackError(WorkbenchError):
    """A song that cannot be planned or played by the robot."""


class RunsError(WorkbenchError):
    """A notebook or a params file that cannot be run."""
