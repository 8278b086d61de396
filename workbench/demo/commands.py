"""The `workbench demo …` commands."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus
from workbench.progress import terminal
from workbench.reply import Reply


def drums(
    folder: Path,
    *,
    options: Annotated[DrumCorpusOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Make a corpus of drum MIDI files, with a list and a table of labels.

    Args:
        folder: Where it goes; one made before by the same options is kept.
        options: What it holds.
    """
    options = options or DrumCorpusOptions()
    corpus = make_drum_corpus(folder, options, terminal())
    values = {
        "folder": str(folder),
        "files": len(corpus.paths),
        "filelist": str(folder / "filelist.txt"),
        "labels": str(folder / "labels.csv"),
    }
    return Reply(values=values)


def speech(
    folder: Path,
    *,
    options: Annotated[SpeechCorpusOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Make a corpus of speech, some of it broken, and tell what is true of every row.

    Args:
        folder: Where it goes; one made before by the same options is kept.
        options: What it holds.
    """
    options = options or SpeechCorpusOptions()
    corpus = make_speech_corpus(folder, options, terminal())
    values = {
        "folder": str(folder),
        "files": len(corpus.files),
        "clips": len(corpus.rows),
        "valid": sum(row.is_valid for row in corpus.rows),
        "seconds": round(sum(row.seconds for row in corpus.rows), 3),
        "truth": str(folder / "truth.jsonl"),
    }
    return Reply(values=values)


def songs(
    folder: Path,
    *,
    options: Annotated[SongCorpusOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Make songs with Beat Saber maps, some of them broken, and tell what is true of every one.

    Args:
        folder: Where they go; those made before by the same options are kept.
        options: What they hold.
    """
    options = options or SongCorpusOptions()
    corpus = make_song_corpus(folder, options, terminal())
    values = {
        "folder": str(folder),
        "maps": str(corpus.maps),
        "songs": sum(not song.defect for song in corpus.songs),
        "broken": sum(bool(song.defect) for song in corpus.songs),
        "beatmaps": sum(len(song.beatmaps) for song in corpus.songs),
        "notes": corpus.notes().num_rows,
        "seconds": round(sum(song.seconds for song in corpus.songs), 3),
        "truth": str(folder / "truth.jsonl"),
    }
    return Reply(values=values)
