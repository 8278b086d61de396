"""Where a corpus's MIDI files are: a folder, or a text file that lists them."""

from pathlib import Path

from workbench.streaming.filelist import FileList, listed, walked

MIDI_SUFFIXES = (".mid", ".midi", ".rmi")


def midi_files(corpus: Path) -> FileList:
    """Return the MIDI files of a folder at any depth, or those that a text file lists.

    Raises:
        StreamingError: There is neither, or nothing in it.
    """
    return listed(corpus) if corpus.is_file() else walked(corpus, MIDI_SUFFIXES)
