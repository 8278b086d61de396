"""MIDI files made into shards of tokens, beside miditok: notes a second of one process.

    python tests/bench/groove_tokenize.py [--json] [--files N]

Both go from the same files on disk to tokens on disk, in turn; the processor's seconds count, the
shortest of three turns. They do not do the same. Ours knows drums alone: steps of a grid with the
classes that sound there, equal files once, with labels, a digest a shard, and a part held out. The
other's `REMI` writes every pitch, velocity and length, with a JSON file a MIDI file; beside it
stands its making of tokens alone, of files that lie in memory, with nothing written.
"""

import tempfile
from pathlib import Path

from rows import GMD, Row, in_turn, missing, parser_of, rate, skipped, tell, times
from symusic import Score

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.groove.files import midi_files
from workbench.groove.options import TokenizeOptions
from workbench.groove.tokenize import tokenize
from workbench.streaming.filelist import FileList

TURNS = 3
MADE = 300  # files, where there is no dataset


def main() -> None:
    """Measure and tell."""
    parser = parser_of(__doc__)
    parser.add_argument("--files", type=int, help="so many generated ones, not the dataset")
    arguments = parser.parse_args()
    lacking = missing("miditok")
    if lacking:
        tell("groove", [skipped("tokens beside miditok", lacking)], as_json=arguments.json)
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        folder = GMD
        if arguments.files or not GMD.is_dir():
            made = DrumCorpusOptions(files=arguments.files or MADE, broken=0)
            folder = make_drum_corpus(scratch / "files", made).folder
        rows = measured(midi_files(folder), scratch)
    tell("groove", rows, as_json=arguments.json)


def measured(files: FileList, scratch: Path) -> list[Row]:
    """Return one row a measurement."""
    from miditok import REMI, TokenizerConfig  # its import takes seconds

    tokenizer = REMI(TokenizerConfig(use_programs=True))
    paths = [path for path in map(Path, files) if is_readable(path)]
    scores = [Score(path) for path in paths]
    notes = sum(len(track.notes) for score in scores for track in score.tracks)
    one = {"verbose": False, "parallel_workers_size": 1}
    sides = {
        "ours": lambda: tokenize(files, scratch / "ours", TokenizeOptions()),
        "theirs": lambda: tokenizer.tokenize_dataset(paths, scratch / "theirs", **one),
        "encoding": lambda: [tokenizer.encode(score) for score in scores],
    }
    spent = in_turn(TURNS, sides, warms=True)
    what, of = "MIDI files made into shards of tokens", f"{len(paths)} files, {notes:,} notes"
    alone = "miditok's REMI, without files"
    return [
        times(what, spent["theirs"], spent["ours"], against="miditok's REMI", note=of),
        times(what, spent["encoding"], spent["ours"], against=alone, note=of),
        rate(what, notes, spent["ours"], unit="notes/s"),
    ]


def is_readable(path: Path) -> bool:
    """Return whether the other side can read a file; ours skips what it cannot."""
    try:
        return bool(Score(path).tracks)
    except RuntimeError:
        return False


if __name__ == "__main__":
    main()
