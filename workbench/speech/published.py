"""Gathered datasets as anyone reads them: by the `datasets` library, as a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import SpeechError
from workbench.speech.audio import Refusal, decode, level_db
from workbench.streaming.hub import PREFIX, repository


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One clip of a dataset.

    Attributes:
        id: Its id.
        transcript: What is said.
        confidence: How sure that is, 0 to 1.
        samples: Shape (n,), float32.
        sample_rate: Hz.
    """

    id: str
    transcript: str
    confidence: float
    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.sample_rate

    @property
    def level_db(self) -> float:
        """Its level, dBFS RMS."""
        return level_db(self.samples)


def published_rows(place: str) -> Iterator[dict[str, Any]]:
    """Give the rows of a published dataset, sound as bytes, fetched as they are used.

    Args:
        place: `hf://user/name`, or a folder.
    """
    # datasets takes 2 s to import and is needed here alone
    from datasets import Audio, load_dataset  # noqa: PLC0415

    name = repository(place)[0] if place.startswith(PREFIX) else place
    dataset = load_dataset(name, split="train", streaming=True)
    yield from dataset.cast_column("audio", Audio(decode=False))


def published_clips(place: str, count: int | None = None) -> list[Clip]:
    """Return the first clips of a published dataset.

    Args:
        place: `hf://user/name`, or a folder.
        count: How many at most; all when None.

    Raises:
        SpeechError: One cannot be decoded.
    """
    return [_clip(row) for row in islice(published_rows(place), count)]


def _clip(row: dict[str, Any]) -> Clip:
    found = decode(row["audio"]["bytes"])
    if isinstance(found, Refusal):
        raise SpeechError(f"{row['ID']}: cannot be decoded ({found.detail}); gather it again")
    samples, sample_rate = found
    return Clip(
        id=row["ID"],
        transcript=row["transcript"],
        confidence=row["confidence_score"],
        samples=samples,
        sample_rate=sample_rate,
    )
