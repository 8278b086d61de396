"""The `workbench groove …` commands: flags in, one call of the room, a reply out."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from workbench.caching.files import replacing
from workbench.errors import OptionsError
from workbench.groove import feel as feels
from workbench.groove.files import MIDI_SUFFIXES
from workbench.groove.merge import merge as merged_model
from workbench.groove.model import Model, open_model
from workbench.groove.options import FeelOptions, SampleOptions, TrainOptions
from workbench.groove.sample import sample as drawn_sample
from workbench.groove.score import score_files
from workbench.groove.train import train as trained_model
from workbench.progress import silent, terminal
from workbench.reply import Reply
from workbench.streaming.filelist import listed, walked

Output = Annotated[Path, Parameter(alias="-o")]
Flat = Parameter(name="*")


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
    model: Path, *, output: Output, options: Annotated[SampleOptions | None, Flat] = None
) -> Reply:
    """Draw new bars from a model into a MIDI file.

    Args:
        model: The model.
        output: The MIDI file.
        options: What is drawn, and how.
    """
    options = options or SampleOptions()
    new = drawn_sample(open_model(model), options)
    with replacing(output) as scratch:
        scratch.write_bytes(new.midi)
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
    counts = {"ngrams": sum(map(sum, rows.values())), "bytes": size}
    return {"model": str(model.folder), **told, **counts, "rows": rows}
