"""Going on behind a dataset that the older program has gathered.

Its checkpoints (regular, streaming, unified 2.0) count rows that never arrived and rows that
arrived twice, so none of their positions can be trusted. What the target holds can: its rows are
counted a source, by reading nothing but the two columns that tell.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import OptionsError, SpeechError
from workbench.speech.options import GatherOptions
from workbench.speech.state import GatherState
from workbench.streaming.sink import Sink

logger = logging.getLogger(__name__)

_COUNTS = ("samples_processed", "processed_count", "samples_uploaded")


def imported(sink: Sink, shards: Sequence[str], options: GatherOptions) -> GatherState:
    """Return the state behind the rows that an older program has gathered.

    Args:
        sink: The target.
        shards: Names of the shards it holds.
        options: With `accept_legacy`, and a checkpoint to compare with where there is one.

    Raises:
        OptionsError: It was not asked for.
        SpeechError: The shards have not the columns, or the checkpoint is none.
    """
    if not options.accept_legacy:
        raise OptionsError(
            f"{sink.name}: holds {len(shards)} shards and no state of this program; go on behind "
            "them with --accept-legacy, or start over with --fresh"
        )
    counts: Counter[str] = Counter()
    greatest = 0
    for shard in shards:
        try:
            for batch in sink.columns(shard, ["ID", "dataset_name"]):
                counts.update(batch["dataset_name"].to_pylist())
                greatest = max(greatest, _greatest_id(batch["ID"]))
        except (KeyError, pa.ArrowException) as error:
            raise SpeechError(
                f"{sink.name}: {shard} has no columns ID and dataset_name ({error}); start over "
                "with --fresh"
            ) from error
    held = {str(name): count for name, count in sorted(counts.items())}
    logger.warning(
        "%s: older checkpoints cannot be trusted to say what arrived; counted %s rows (%s), "
        "ids go on behind S%d",
        sink.name,
        counts.total(),
        held,
        greatest,
    )
    if options.checkpoint is not None:
        told = checkpoint_rows(options.checkpoint)
        if told != counts.total():
            logger.warning(
                "%s: tells %d rows, the dataset holds %d; the dataset is believed",
                options.checkpoint,
                told,
                counts.total(),
            )
    return GatherState(settings=options.settings(), next_id=greatest + 1, older_rows=held)


def checkpoint_rows(path: Path) -> int:
    """Return how many rows a checkpoint of the older program says it has passed.

    Args:
        path: A regular, streaming, unified 2.0 or upload checkpoint, JSON.

    Raises:
        SpeechError: It is none of these.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return next(int(values[name]) for name in _COUNTS if name in values)
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise SpeechError(
            f"{path}: is no checkpoint of the older program ({type(error).__name__}: {error}); "
            f"want JSON with one of {', '.join(_COUNTS)}"
        ) from error


def _greatest_id(ids: pa.Array) -> int:
    numbers = pc.extract_regex(ids, r"^S(?P<number>\d+)$").field("number")
    return pc.max(numbers.cast(pa.int64())).as_py() or 0
