"""The `workbench beatmap …` commands over writers of maps: flags in, one call, a reply out."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model_options import GenerateOptions, TrainOptions
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.progress import silent, terminal
from workbench.reply import Reply

Output = Annotated[Path, Parameter(alias="-o")]
Flat = Parameter(name="*")


def train(
    store: Path,
    cache: Path,
    *,
    output: Output,
    options: Annotated[TrainOptions | None, Flat] = None,
    data: Annotated[DataOptions | None, Flat] = None,
    cut: Annotated[ChartWindowOptions | None, Flat] = None,
    spec: Annotated[MelSpec | None, Flat] = None,
) -> Reply:
    """Train a writer of maps on a store and the features of its songs.

    Stopped or killed, the same command goes on from the checkpoint as if it never had been.

    Args:
        store: What `process` wrote.
        cache: What `cache` wrote.
        output: The model, a folder.
        options: How it is built and trained.
        data: Which charts it learns from.
        cut: How they are cut into windows.
        spec: Which features of the cache.
    """
    from workbench.beatmap.maps.store import Store  # noqa: PLC0415  slow to import
    from workbench.beatmap.writer.cache import FeatureCache  # noqa: PLC0415
    from workbench.beatmap.writer.data import ChartData  # noqa: PLC0415
    from workbench.beatmap.writer.training import train_model  # noqa: PLC0415

    options, spec = options or TrainOptions(), spec or MelSpec()
    cut = cut or ChartWindowOptions()
    show = terminal() if options.progress else silent
    charts = ChartData(Store.open(store), FeatureCache(cache, spec), data, cut)
    trained = train_model(charts, spec, output, options, show, cut=cut)
    best = trained.best
    values: dict[str, Any] = {
        "output": str(output),
        "parameters": trained.card.learning["parameters"],
        "songs": trained.card.learning["songs"],
        "windows": trained.card.learning["windows"],
        "left_out": dict(charts.corpus.left_out),
        "steps": trained.steps,
        "resumed_at": trained.resumed_at,
        "nats_per_note": None if best is None else round(best.nats_per_note, 4),
        "token_accuracy": None if best is None else round(best.token_accuracy, 4),
        **({} if best is None else {name: round(v, 4) for name, v in best.listened.items()}),
        "seconds": round(trained.seconds, 3),
        **{name: float(f"{value:.4g}") for name, value in trained.speed.items()},
    }
    return Reply(values=values)


def generate(
    song: Path,
    *,
    output: Output,
    model: Path,
    options: Annotated[GenerateOptions | None, Flat] = None,
) -> Reply:
    """Write a map for a song, as a zip that the game plays.

    The song's tempo and first beat are found out where they are not given; silence is put in
    front of it so that bars begin where the game's do.

    Args:
        song: An audio file.
        output: The map: a zip, or a folder where its name does not end in .zip.
        model: What `train` wrote.
        options: What is asked for.
    """
    from workbench.beatmap.writer.composing import (  # noqa: PLC0415  slow
        compose,
        export,
        refuse_place,
    )
    from workbench.beatmap.writer.model import open_writer  # noqa: PLC0415
    from workbench.learning.training import device_of  # noqa: PLC0415

    options = options or GenerateOptions()
    refuse_place(output)
    writer = open_writer(model, device_of(options.accelerator))
    show = terminal() if options.progress else silent
    composed = compose(song, writer, options, show)
    export(composed, output, options.format)
    prepared = composed.song
    values: dict[str, Any] = {
        "output": str(output),
        "title": prepared.title,
        "bpm": round(prepared.tempo.bpm, 4),
        "lead_silence": round(prepared.lead_silence, 4),
        "song_seconds": round(prepared.seconds, 3),
        "notes": {name: len(notes) for name, notes in composed.charts.items()},
        "nps": {name: round(value, 3) for name, value in composed.nps.items()},
        "rounds": composed.rounds,
        "format": options.format,
        "seconds": round(composed.seconds, 3),
    }
    return Reply(values=values)
