"""A `datasets.IterableDataset` as a stream of Arrow batches that is resumed by its state_dict.

The state of the dataset is taken before each batch and handed out with it (`Rows.token`), so
that reading goes on there without passing over what was read. A shuffle buffer is refused: its
content is in no state (datasets 5.2).
"""

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import httpx2
import pyarrow as pa

from workbench.errors import SourceError
from workbench.streaming.reader import Rows
from workbench.streaming.source import BEGINNING, Position


class ResumableDataset(Protocol):
    """What is needed of a `datasets.IterableDataset`."""

    features: Any

    def with_format(self, type: str | None) -> Any:
        """Return the dataset with plain Python values."""

    def batch(self, batch_size: int) -> Any:
        """Return the dataset in batches."""


def read_iterable(
    dataset: ResumableDataset,
    *,
    start: Position = BEGINNING,
    token: Any = None,
    batch_rows: int = 100,
) -> Iterator[Rows]:
    """Return the records of a dataset from a position on.

    Args:
        dataset: A dataset of the library `datasets`, for one reader at a time; columns of sound
            with `decode=False`.
        start: Where to begin; all records are of file 0.
        token: That of the batch which holds the position; None begins at the first record.
        batch_rows: The rows of a batch; the same as when the token was made.

    Raises:
        SourceError: The dataset has a shuffle buffer, the token is none of its own, or a batch
            cannot be read.
    """
    if _is_shuffled(getattr(dataset, "_ex_iterable", None)):
        raise SourceError(
            "the dataset has a shuffle buffer, which cannot be resumed exactly; give it unshuffled"
        )
    schema = dataset.features.arrow_schema if dataset.features else None
    batches = dataset.with_format(None).batch(batch_rows)
    first = 0
    if token is not None:
        if not _is_state({"row": 0, "state": batches.state_dict()}, token):
            raise SourceError("the token is of another dataset; start over")
        first = token["row"]
        batches.load_state_dict(copy.deepcopy(token["state"]))
    state = token["state"] if token else batches.state_dict()
    for batch in _told(batches, schema):
        before = min(max(start.row - first, 0), batch.num_rows)
        if before < batch.num_rows:
            made_by = {"row": first, "state": state}
            yield Rows(position=Position(0, first), batch=batch, start=before, token=made_by)
        first += batch.num_rows
        state = batches.state_dict()


def _told(batches: Any, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    try:
        for columns in batches:
            yield pa.RecordBatch.from_pydict(columns, schema=schema)
    except (OSError, httpx2.HTTPError, pa.ArrowException) as error:
        raise SourceError(
            f"the dataset cannot be read ({type(error).__name__}: {error}); the same command goes "
            "on where it stopped"
        ) from error


def _is_shuffled(examples: Any) -> bool:
    """Return whether there is a shuffle buffer in a chain of what datasets makes examples by."""
    below = [getattr(examples, "ex_iterable", None), *getattr(examples, "ex_iterables", ())]
    is_buffer = "Buffer" in type(examples).__name__
    return is_buffer or any(_is_shuffled(each) for each in below if each is not None)


def _is_state(fresh: Any, state: Any) -> bool:
    """Return whether a state may have come of a fresh one: of the same make and kinds."""
    if isinstance(fresh, dict) and isinstance(state, dict):
        return fresh.keys() == state.keys() and all(
            _is_state(fresh[key], state[key]) for key in fresh
        )
    if isinstance(fresh, list) and isinstance(state, list):
        return len(fresh) == len(state) and all(map(_is_state, fresh, state))
    if isinstance(fresh, str) and isinstance(state, str):
        return fresh == state
    return fresh is None or state is None or type(fresh) is type(state)
