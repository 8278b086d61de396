"""Going on behind a dataset that the older program has gathered.

Its checkpoints count rows that never arrived and rows that arrived twice, so none of their
positions can be trusted. What the target holds can: its rows are counted a source, by reading
nothing but the two columns that tell. Formats of its checkpoints, all of them JSON:

- regular: processed_count, current_index or current_chunk, often processed_ids; of one source.
- streaming: mode "streaming", shard_num, samples_processed over all sources.
- unified (2.0): mode "unified", samples_processed of the one source that `processor` names.
- upload: shard_index, samples_uploaded over all sources, uploaded_ids.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import OptionsError, SinkError, SpeechError
from workbench.speech.options import GatherOptions
from workbench.speech.state import OURS, GatherState
from workbench.streaming.retry import patiently, told
from workbench.streaming.sink import Sink

logger = logging.getLogger(__name__)

_COLUMNS = ("ID", "dataset_name")
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderCheckpoint:
    """What a checkpoint of the older program tells.

    Attributes:
        kind: Which of its formats it has.
        rows: How many rows it says were passed.
        source: Of which source; empty for all of them, or where it does not tell.
    """

    kind: str
    rows: int
    source: str = ""


def imported(sink: Sink, shards: Sequence[str], options: GatherOptions) -> GatherState:
    """Return the state behind the rows that an older program has gathered.

    Args:
        sink: The target.
        shards: Names of the shards it holds.
        options: With `accept_legacy`, and a checkpoint to compare with where there is one.

    Raises:
        OptionsError: It was not asked for.
        SpeechError: The shards have not the columns or our own names, or the checkpoint is none.
        SinkError: A shard cannot be read.
        AccessError: The target wants another token.
    """
    if not options.accept_legacy:
        raise OptionsError(
            f"{sink.name}: holds {len(shards)} shards and no state of this program; go on behind "
            "them with --accept-legacy, or start over with --fresh"
        )
    if ours := [shard for shard in shards if any(fnmatch(shard, pattern) for pattern in OURS)]:
        raise SpeechError(
            f"{sink.name}: {ours[0]} has a name that this program gives to its own shards; rename "
            "it, or start over with --fresh"
        )
    checkpoint = None if options.checkpoint is None else read_checkpoint(options.checkpoint)
    held, greatest = _recounted(sink, shards, options)
    logger.warning(
        "%s: positions of older checkpoints cannot be trusted, so the rows there were counted: "
        "%d in %d shards (%s); that many of each source are passed over, and ids go on at S%d",
        sink.name,
        held.total(),
        len(shards),
        ", ".join(f"{name}: {count}" for name, count in sorted(held.items())) or "none",
        greatest + 1,
    )
    if checkpoint is not None:
        _compare(options.checkpoint, checkpoint, held)
    return GatherState(
        settings=options.settings(), next_id=greatest + 1, older_rows=dict(sorted(held.items()))
    )


def read_checkpoint(path: Path) -> OlderCheckpoint:
    """Return what a checkpoint of the older program tells.

    Args:
        path: The file.

    Raises:
        SpeechError: It has none of its formats.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = _checkpoint(values)
    except (OSError, ValueError, RecursionError) as error:
        raise SpeechError(f"{path}: cannot be read as JSON ({error})") from error
    if found is None:
        names = ", ".join(values) if isinstance(values, Mapping) else type(values).__name__
        raise SpeechError(
            f"{path}: is no checkpoint of the older program, neither regular, streaming, unified "
            f"nor of an upload; it holds {names or 'nothing'}"
        )
    return found


def _checkpoint(values: Any) -> OlderCheckpoint | None:
    if not isinstance(values, Mapping):
        return None
    mode, processor = values.get("mode"), values.get("processor")
    if mode == "unified" and (rows := _count(values, "samples_processed")) is not None:
        return OlderCheckpoint(kind="unified", rows=rows, source=str(processor or ""))
    if mode == "streaming" and (rows := _count(values, "samples_processed")) is not None:
        return OlderCheckpoint(kind="streaming", rows=rows)
    if "shard_index" in values and (rows := _count(values, "samples_uploaded")) is not None:
        return OlderCheckpoint(kind="upload", rows=rows)
    is_regular = "current_index" in values or "current_chunk" in values
    if is_regular and (rows := _count(values, "processed_count")) is not None:
        return OlderCheckpoint(kind="regular", rows=rows)
    return None


def _count(values: Mapping[str, Any], name: str) -> int | None:
    count = values.get(name)
    return count if type(count) is int and count >= 0 else None


def _compare(path: Path | None, checkpoint: OlderCheckpoint, held: Counter[str]) -> None:
    rows = held[checkpoint.source] if checkpoint.source else held.total()
    if checkpoint.rows != rows:
        logger.warning(
            "%s: the %s checkpoint tells of %d rows%s, the target holds %d; the target is believed",
            path,
            checkpoint.kind,
            checkpoint.rows,
            f" of {checkpoint.source}" if checkpoint.source else "",
            rows,
        )


def _recounted(
    sink: Sink, shards: Sequence[str], options: GatherOptions
) -> tuple[Counter[str], int]:
    """Return the rows of each source in some shards, and the greatest number of an id."""
    counts: Counter[str] = Counter()
    greatest = 0
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for held, number in pool.map(partial(_of_shard, sink, options), shards):
            counts.update(held)
            greatest = max(greatest, number)
    return counts, greatest


def _of_shard(sink: Sink, options: GatherOptions, shard: str) -> tuple[Counter[str], int]:
    place = f"{sink.name}: {shard}"

    def counted() -> tuple[Counter[str], int]:
        counts: Counter[str] = Counter()
        greatest = 0
        for batch in sink.columns(shard, _COLUMNS):
            if missing := [name for name in _COLUMNS if name not in batch.schema.names]:
                raise SpeechError(
                    f"{place} has no column {' and '.join(missing)}, so nobody can tell what it "
                    "holds; start over with --fresh, or gather to another place"
                )
            for pair in pc.value_counts(batch["dataset_name"].cast(pa.string())).to_pylist():
                counts[pair["values"] or ""] += pair["counts"]
            greatest = max(greatest, _greatest_id(batch["ID"].cast(pa.string())))
        return counts, greatest

    try:
        return patiently(counted, options.retries, place)
    except pa.ArrowException as error:
        raise SpeechError(f"{place}: cannot be read ({error}); take it away") from error
    except (httpx2.HTTPError, OSError) as error:
        raise told(error, place, SinkError) from error


def _greatest_id(ids: pa.Array) -> int:
    """Return the greatest n of ids that are `S{n}`; 0 where there is none."""
    found = pc.extract_regex(ids, r"^S(?P<number>\d{1,18})$")
    numbers = pc.struct_field(found, "number")  # null where there is none, unlike the child's own
    return pc.max(numbers.cast(pa.int64())).as_py() or 0
