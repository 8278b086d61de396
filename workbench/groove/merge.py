"""Shards of one corpus, merged into the model that a single run would have made, byte by byte."""

import heapq
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.caching.files import refuse_other
from workbench.errors import GrooveError
from workbench.groove.model import DESCRIPTION, Model, open_model, write_model
from workbench.groove.options import TrainOptions
from workbench.streaming.tally import merged

_SUMMED = ("processed", "kept", "skipped", "notes", "steps", "bars")
_AGREED = {
    "counting": "were counted with different options",
    "list": "are of different lists of files",
    "labels_fingerprint": "have different tables of labels",
    "num_shards": "are of different numbers of shards",
}


def merge(
    shards: Sequence[Path],
    output: Path,
    *,
    min_count: int | None = None,
    smoothing: str | None = None,
    ram_budget_mb: int = 64,
) -> Model:
    """Merge all shards of a corpus, given in any order.

    Args:
        shards: Models that `train` wrote with `--shard-index`, all of them.
        output: The merged model.
        min_count: As in training; what the shards were trained with when None.
        smoothing: As in training; what the shards were trained with when None.
        ram_budget_mb: RAM for summing up, MB.

    Raises:
        GrooveError: Shards are missing, given twice, or of different corpora or options.
        OptionsError: A number is out of its range.
        CachingError: The model cannot be written, or something else is at its place.
    """
    refuse_other(output, DESCRIPTION)
    models = sorted((open_model(path) for path in shards), key=_first_shard)
    _refuse_mismatch(models, output)
    first = models[0].description
    finish = _finish(models, {"min_count": min_count, "smoothing": smoothing})
    TrainOptions(**finish, ram_budget_mb=ram_budget_mb)  # refuses what is out of range
    reasons: Counter[str] = Counter()
    for model in models:
        reasons.update(model.description["reasons"])
    description: dict[str, Any] = {
        name: value for name, value in first.items() if name not in ("format", "streams")
    }
    description |= {name: sum(m.description[name] for m in models) for name in _SUMMED}
    description |= {
        **finish,
        "finish": finish,
        "num_shards": 1,
        "shards": [0],
        "reasons": dict(sorted(reasons.items())),
        "stopped": next((s for m in models if (s := m.description["stopped"])), None),
    }
    return write_model(
        output,
        description,
        lambda stream: merged(model.counts(stream) for model in models),
        heapq.merge(*(model.skipped() for model in models), key=lambda entry: entry["index"]),
        budget_bytes=ram_budget_mb << 20,
    )


def _finish(models: list[Model], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return how the merged model is finished: as wanted, else as all its shards were told."""
    finish = {}
    for name, value in wanted.items():
        told = sorted({model.description["finish"][name] for model in models})
        if value is None and len(told) > 1:
            raise GrooveError(
                f"the shards were trained with different --{name.replace('_', '-')} "
                f"({', '.join(map(str, told))}); say which by giving it to merge"
            )
        finish[name] = told[0] if value is None else value
    return finish


def _first_shard(model: Model) -> int:
    return int(model.description["shards"][0])


def _refuse_mismatch(models: list[Model], output: Path) -> None:
    if not models:
        raise GrooveError("no shards to merge; give the folders that `groove train` wrote")
    first = models[0]
    if output.resolve() in [model.folder.resolve() for model in models]:
        raise GrooveError(f"{output}: is one of the shards, which stay; name another place")
    for model in models[1:]:
        for name, trouble in _AGREED.items():
            if model.description[name] != first.description[name]:
                raise GrooveError(f"{first.folder} and {model.folder} {trouble}; train them alike")
    if pruned := [m for m in models if m.description["min_count"] > 1]:
        raise GrooveError(
            f"{pruned[0].folder}: its rare n-grams were left out already (--min-count "
            f"{pruned[0].description['min_count']}); train it with --min-count 1 and merge again"
        )
    there: dict[int, Path] = {}
    for model in models:
        index = _first_shard(model)
        if index in there:
            raise GrooveError(
                f"shard {index} is given twice: {there[index]} and {model.folder}; give it once"
            )
        there[index] = model.folder
    of = int(first.description["num_shards"])
    if missing := [str(index) for index in range(of) if index not in there]:
        raise GrooveError(f"without shard {', '.join(missing)} of 0 to {of - 1}; give all of them")
    if not any(model.description["kept"] for model in models):
        raise GrooveError(f"{first.folder}: no shard has counted any file; there is no model")
