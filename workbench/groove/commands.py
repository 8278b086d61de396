"""The `workbench groove …` commands: flags in, one call of the room, a reply out."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from workbench.caching.files import replacing
from workbench.errors import OptionsError
from workbench.groove import feel as feels
from workbench.groove.files import MIDI_SUFFIXES, midi_files
from workbench.groove.merge import merge as merged_model
from workbench.groove.model import Model, open_model
from workbench.groove.options import (
    FeelOptions,
    LearnOptions,
    SampleOptions,
    TokenizeOptions,
    TrainOptions,
)
from workbench.groove.sample import Sample
from workbench.groove.sample import sample as drawn_sample
from workbench.groove.score import score_files
from workbench.groove.streams import PIECES
from workbench.groove.train import train as trained_model
from workbench.learning.options import FeedOptions
from workbench.music.wav import wav_bytes
from workbench.progress import silent, terminal
from workbench.reply import Reply
from workbench.streaming.filelist import listed, walked

Output = Annotated[Path, Parameter(alias="-o")]
Flat = Parameter(name="*")
_SOUND_RATE = 22_050  # Hz, the synthesiser's own


def train(
    loop_dir: Path | None = None,
    *,
    output: Output,
    from_filelist: Path | None = None,
    options: Annotated[TrainOptions | None, Flat] = None,
) -> Reply:
    """Count a corpus of MIDI files into a groove model.

    Stopped or killed, the same command goes on where it was and ends in the same bytes.

    Args:
        loop_dir: Folder of MIDI files, searched at any depth, read in the order of their names.
        output: The model, a folder; it appears whole at the end.
        from_filelist: Text file with one MIDI path a line, instead of a folder.
        options: How the corpus is counted.
    """
    if loop_dir is None and from_filelist is not None:
        files = listed(from_filelist)
    elif loop_dir is not None and from_filelist is None:
        files = walked(loop_dir, MIDI_SUFFIXES)
    else:
        raise OptionsError("give either LOOP_DIR or --from-filelist FILE, one of them")
    options = options or TrainOptions()
    show = terminal() if options.progress else silent
    trained = trained_model(files, output, options, show)
    values = model_values(trained.model) | {
        "resumed_at": trained.resumed_at,
        "files_read": trained.files_read,
        "seconds": round(trained.seconds, 3),
        "files_per_second": round(trained.files_read / trained.seconds, 1),
        "history": trained.history,
    }
    return Reply(values=values)


def merge(
    shards: list[Path],
    *,
    output: Output,
    min_count: int | None = None,
    smoothing: Literal["concentration", "modified_kneser_ney"] | None = None,
    ram_budget_mb: int = 64,
) -> Reply:
    """Merge the shards of one corpus, in any order, into the model of a single run.

    Args:
        shards: Folders that `train --shard-index` wrote, all of them.
        output: The model.
        min_count: Leave n-grams that occur less often out; as the shards were trained, if not
            given.
        smoothing: Estimator of the model; as the shards were trained, if not given.
        ram_budget_mb: RAM for summing up, MB.
    """
    model = merged_model(
        shards, output, min_count=min_count, smoothing=smoothing, ram_budget_mb=ram_budget_mb
    )
    return Reply(values=model_values(model))


def info(model: Path) -> Reply:
    """Tell what a model was made of and what it holds.

    Args:
        model: The model.
    """
    return Reply(values=model_values(open_model(model)))


def score(model: Path, corpus: Path, *, labels: Path | None = None) -> Reply:
    """Tell how well a model predicts performances it has not seen.

    Args:
        model: The model.
        corpus: Folder of MIDI files, or a text file that lists them.
        labels: CSV table with a column `file` and any of `style`, `drummer`, `section`; the
            model is conditioned on those it knows.
    """
    return Reply(values=dataclasses.asdict(score_files(open_model(model), corpus, labels)))


def sample(
    model: Path,
    *,
    output: Output,
    sound: Path | None = None,
    options: Annotated[SampleOptions | None, Flat] = None,
) -> Reply:
    """Draw new bars from a model into a MIDI file.

    Args:
        model: The model.
        output: The MIDI file.
        sound: A WAV file of it as well, its drums made by the small synthesiser.
        options: What is drawn, and how.
    """
    options = options or SampleOptions()
    new = drawn_sample(open_model(model), options)
    with replacing(output) as scratch:
        scratch.write_bytes(new.midi)
    if sound is not None:
        with replacing(sound) as scratch:
            scratch.write_bytes(_heard(new))
    values = {
        "output": str(output),
        "bars": new.bars,
        "notes": len(new.bar),
        "polyphony": round(new.polyphony, 4),
        "near_copies": new.near_copies,
        "copies": new.copies,
        "seed": options.seed,
    }
    text = (
        f"{output}: {new.bars} bars, {len(new.bar)} notes; {new.near_copies} bars are near copies "
        f"of training bars, {new.copies} of them exact"
    )
    return Reply(values=values | {"events": new.events()}, text=text)


def _heard(new: Sample) -> bytes:
    """Return a sample as the bytes of a WAV file."""
    from workbench.music.synthesiser import render_drums  # noqa: PLC0415  SciPy is slow to import

    track = new.track
    return wav_bytes(render_drums(new.onset_seconds, track.pitch, track.velocity), _SOUND_RATE)


def tokenize(
    corpus: Path, *, output: Output, options: Annotated[TokenizeOptions | None, Flat] = None
) -> Reply:
    """Write a corpus as Parquet shards of windows, from which a network learns.

    Args:
        corpus: Folder of MIDI files, or a text file that lists them.
        output: The shards, a folder; it appears whole at the end.
        options: Which files count, how the grid is laid, what is held out.
    """
    from workbench.groove.tokenize import tokenize as tokenized  # noqa: PLC0415  slow to import

    tokens = tokenized(midi_files(corpus), output, options or TokenizeOptions())
    rows = {part: tokens.rows(part) for part in tokens.description["shards"]}
    told = {key: tokens.description[key] for key in ("files", "pieces", "steps", "skipped")}
    return Reply(values={"output": str(output), "rows": rows, **told})


def learn(
    shards: Path,
    *,
    counted: Path,
    output: Output,
    shards_at: str = "",
    options: Annotated[LearnOptions | None, Flat] = None,
    feed: Annotated[FeedOptions | None, Flat] = None,
) -> Reply | None:
    """Learn a network that predicts steps from shards, and put it beside a counted model.

    Stopped or killed, the same command goes on from its checkpoint.

    Args:
        shards: The folder that `tokenize` wrote.
        counted: The model that `train` or `merge` wrote; it tells all but the steps.
        output: The model of both, a folder; it appears whole at the end.
        shards_at: Address of a server's copy of that folder; the shards to train on then come
            from there, just ahead of the training, and need not lie in the folder.
        options: How it learns.
        feed: How much of the server's shards is here at a time.
    """
    from workbench.groove.learn import learn_model  # noqa: PLC0415  torch is slow to import
    from workbench.groove.tokenize import open_tokens  # noqa: PLC0415

    options = options or LearnOptions()
    show = terminal() if options.progress else silent
    tokens = open_tokens(shards)
    chosen, train = feed or FeedOptions(), None
    if shards_at:
        train = tokens.source("train").at(shards_at)
        train = train.first(chosen.shards_of(train))
    window = chosen.window(len((train or tokens.source("train")).files))
    learned = learn_model(
        tokens, open_model(counted), output, options, show, train=train, window=window
    )
    if not learned.is_first:  # one of several processes tells
        return None
    values = {
        "output": str(output),
        "resumed_at": learned.resumed_at,
        "steps": learned.steps,
        "seconds": round(learned.seconds, 3),
        "history": [dataclasses.asdict(look) for look in learned.history],
    }
    return Reply(values=values)


def blend(model: Path, shards: Path, *, output: Output) -> Reply:
    """Weigh the network and the mixture of a model, on the pieces that were held out.

    Args:
        model: A model that `learn` put beside one of `train --model mixture`.
        shards: The folder that the network learned from.
        output: The model of both, weighed; it appears whole at the end.
    """
    from workbench.groove.blend import blend_model  # noqa: PLC0415  torch is slow to import
    from workbench.groove.tokenize import open_tokens  # noqa: PLC0415

    blended = blend_model(open_model(model), open_tokens(shards), output)
    values = {
        "output": str(output),
        "weights": blended.weights,
        "pieces": blended.pieces,
        "bits_per_bar": blended.bits_per_bar,
    }
    return Reply(values=values)


def extract(
    performance: Path, *, output: Output, options: Annotated[FeelOptions | None, Flat] = None
) -> Reply:
    """Take timing and dynamics from a performance.

    Args:
        performance: A MIDI file.
        output: The feel, a JSON file.
        options: The grid and the length of the pattern; amounts play no part here.
    """
    feel = feels.extract(performance, options or FeelOptions())
    feels.write_feel(output, feel)
    return Reply(values=feel.as_json(), text=f"{output}: the feel of {len(feel.cells)} cells")


def apply(
    performance: Path,
    feel: Path,
    *,
    output: Output,
    options: Annotated[FeelOptions | None, Flat] = None,
) -> Reply:
    """Put a feel on a performance; notes stay on their steps, and amounts of 0 change nothing.

    Args:
        performance: A MIDI file.
        feel: What `extract` wrote.
        output: The new MIDI file.
        options: The amounts; the grid is the feel's.
    """
    content = feels.apply(performance, feels.read_feel(feel), options or FeelOptions())
    with replacing(output) as scratch:
        scratch.write_bytes(content)
    return Reply(values={"output": str(output), "bytes": len(content)}, text=str(output))


def model_values(model: Model) -> dict[str, object]:
    """Return what a model's description tells, without its levels' numbers."""
    told = {k: v for k, v in model.description.items() if k not in ("streams", "finish")}
    rows = {
        name: [level["rows"] for level in stream["levels"]]
        for name, stream in model.description["streams"].items()
    }
    size = sum(file.stat().st_size for file in model.folder.iterdir())
    ngrams = sum(sum(levels) for name, levels in rows.items() if name != PIECES.name)
    counts = {"ngrams": ngrams, "bytes": size}
    return {"model": str(model.folder), **told, **counts, "rows": rows}
