"""Options of what feeds a training; the command line and the notebooks' parameters follow them."""

from dataclasses import dataclass
from typing import Literal

from workbench import options
from workbench.errors import OptionsError
from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source

ALL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """How shards come to a consumer.

    Attributes:
        streaming_mode: Fetch shards just ahead of the consumer and let them go behind it; when
            off, all of them are fetched and stay.
        streaming_buffer_size: Shards ahead of the consumer at most, and how many at first [1..].
        streaming_total_shards: How many shards of the source are used, from the first; -1 is as
            many as the budget of rows needs, or all [-1..].
        streaming_rows: Rows that are wanted, the budget; 0 is all [0..].
        streaming_keep: Shards kept behind the consumer, as far as there is room [0..].
        streaming_max_shards: Files in the folder at most, unfinished ones counted in; 0 is the
            buffer, those kept and one [0..].
        streaming_max_bytes: Bytes in the folder at most; 0 is no limit [0..].
        streaming_min_free_mb: Free space that must stay on the disk, MB [0..].
        streaming_warn_free_mb: Free space below which a warning is logged, MB [0..].
        streaming_connections: Shards fetched at the same time [1..64].
        streaming_policy: What is done about a shard that stays broken.
        streaming_adapt: Follow the rates of consumption and fetching with the shards ahead.
        streaming_wait: How long the consumer waits for a shard at most, seconds [0.01..].
        streaming_attempts: How many times a request is made at most [1..].
        streaming_retry_wait: About how long to wait before the second, seconds; doubles [0..].
        streaming_timeout: How long a connection may stay silent, seconds [0.01..].
    """

    streaming_mode: bool = True
    streaming_buffer_size: int = 5
    streaming_total_shards: int = ALL
    streaming_rows: int = 0
    streaming_keep: int = 0
    streaming_max_shards: int = 0
    streaming_max_bytes: int = 0
    streaming_min_free_mb: int = 1000
    streaming_warn_free_mb: int = 5000
    streaming_connections: int = 4
    streaming_policy: Literal["raise", "skip"] = "raise"
    streaming_adapt: bool = True
    streaming_wait: float = 300.0
    streaming_attempts: int = 8
    streaming_retry_wait: float = 1.0
    streaming_timeout: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)

    def window(self, shards: int) -> WindowOptions:
        """Return how much of a source is here at a time.

        Args:
            shards: How many it has.
        """
        keeps_all = not self.streaming_mode
        return WindowOptions(
            ahead=max(shards, 1) if keeps_all else self.streaming_buffer_size,
            behind=shards if keeps_all else self.streaming_keep,
            max_shards=0 if keeps_all else self.streaming_max_shards,
            max_bytes=self.streaming_max_bytes,
            min_free_bytes=self.streaming_min_free_mb * 1_000_000,
            warn_free_bytes=self.streaming_warn_free_mb * 1_000_000,
            connections=self.streaming_connections,
            policy=self.streaming_policy,
            adapt=self.streaming_adapt and self.streaming_mode,
            wait_seconds=self.streaming_wait,
            attempts=self.streaming_attempts,
            first_wait_seconds=self.streaming_retry_wait,
            timeout_seconds=self.streaming_timeout,
        )

    def shards_of(self, source: Source) -> int:
        """Return how many shards of a source are used.

        Raises:
            OptionsError: More are asked for than there are, or a budget of rows is given and the
                source does not tell how many a shard has.
        """
        there = len(source.files)
        if self.streaming_total_shards != ALL:
            if not 0 < self.streaming_total_shards <= there:
                raise OptionsError(
                    f"streaming_total_shards: {self.streaming_total_shards}, and {source.name} has "
                    f"{there} shards; give -1 for all"
                )
            return self.streaming_total_shards
        if not self.streaming_rows:
            return there
        rows = 0
        for number, file in enumerate(source.files, 1):
            if file.rows is None:
                raise OptionsError(
                    f"streaming_rows: {source.name} does not tell the rows of {file.name}; give "
                    "streaming_total_shards"
                )
            rows += file.rows
            if rows >= self.streaming_rows:
                return number
        raise OptionsError(
            f"streaming_rows: {self.streaming_rows}, and {source.name} has {rows} in {there} shards"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions(FeedOptions):
    """How a window is shown at work.

    Attributes:
        seconds_a_shard: How long the consumer is at work with a shard, seconds [0..].
        epochs: How many times it goes through the source [1..].
        shuffle: Take the shards in another order each time.
        seed: Of the order.
        progress: Show a progress line on the terminal.
    """

    seconds_a_shard: float = 0.0
    epochs: int = 1
    shuffle: bool = False
    seed: int = 0
    progress: bool = True
