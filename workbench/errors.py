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


class MusicError(WorkbenchError):
    """A MIDI or audio file that cannot be read or written."""


class GrooveError(WorkbenchError):
    """A groove corpus, model or prime that cannot be used."""


class RunsError(WorkbenchError):
    """A notebook or a params file that cannot be run."""
