"""A `datasets.IterableDataset` as a stream of Arrow batches that is resumed by its state_dict.

The state of the dataset is taken before each batch and handed out with it (`Rows.token`), so
that reading goes on there without passing over what was read. A shuffle buffer is refused: its
content is in no state (datasets 5.2).
"""

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from workbench.errors import SourceError
from workbench.streaming.reader import Rows
from workbench.streaming.source import BEGINNING, Position


class Iterable(Protocol):
    """What is needed of a `datasets.IterableDataset`."""

    features: Any

    def batch(self, batch_size: int) -> Any:
        """Return the dataset in batches."""


def read_iterable(
    dataset: Iterable,
    *,
    start: Position = BEGINNING,
    token: Any = None,
    batch_rows: int = 100,
) -> Iterator[Rows]:
    """Return the records of a dataset from a position on.

    Args:
        dataset: A dataset of the library `datasets`; columns of sound with `decode=False`.
        start: Where to begin; all records are of file 0.
        token: That of the batch which holds the position; None begins at the first record.
        batch_rows: The rows of a batch; the same as when the token was made.

    Raises:
        SourceError: The dataset has a shuffle buffer, or the token is none of its own.
    """
    if _is_shuffled(dataset):
        raise SourceError(
            "the dataset has a shuffle buffer, which cannot be resumed exactly; give it unshuffled"
        )
    schema = dataset.features.arrow_schema if dataset.features else None
    batches = dataset.batch(batch_rows)
    first = 0
    if token is not None:
        first = int(token["row"])
        batches.load_state_dict(copy.deepcopy(token["state"]))
    state = copy.deepcopy(batches.state_dict())
    for columns in batches:
        batch = pa.RecordBatch.from_pydict(columns, schema=schema)
        before = min(max(start.row - first, 0), batch.num_rows)
        if before < batch.num_rows:
            made_by = {"row": first, "state": state}
            yield Rows(position=Position(0, first), batch=batch, start=before, token=made_by)
        first += batch.num_rows
        state = copy.deepcopy(batches.state_dict())


def _is_shuffled(dataset: Any) -> bool:
    examples = getattr(dataset, "_ex_iterable", None)
    while examples is not None:
        if "Buffer" in type(examples).__name__:
            return True
        examples = getattr(examples, "ex_iterable", None)
    return False
