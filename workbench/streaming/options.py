"""Options of streaming; the command line and the notebooks' parameters follow them."""

from dataclasses import dataclass
from typing import Literal

from workbench import options
from workbench.streaming.retention import NO_LIMIT, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """How patient transfers are.

    Attributes:
        attempts: How many times a request is made at most [1..].
        first_wait_seconds: About how long to wait before the second, seconds; doubles each time
            [0..].
        most_wait_seconds: The longest wait, also when a server asks for more, seconds [0..].
        timeout_seconds: How long a connection may stay silent, seconds [0.01..].
    """

    attempts: int = 8
    first_wait_seconds: float = 1.0
    most_wait_seconds: float = 120.0
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How much of a source is here at a time, and how it is brought.

    Attributes:
        ahead: The most shards ahead of the consumer, and how many at first [1..].
        behind: Shards kept behind the consumer, as far as there is room [0..].
        initial: Shards that are here before work begins [0..].
        max_shards: The most files in the folder, unfinished ones counted in, over all processes;
            0 is ahead + behind + 1 [0..].
        max_bytes: The most bytes in the folder, likewise; 0 is no limit [0..].
        min_free_bytes: Free space that stays on the disk; where a shard needs it, that is an
            error, bytes [0..].
        warn_free_bytes: Free space below which a warning is logged, bytes [0..].
        connections: Shards fetched at the same time [1..64].
        policy: What a shard is that stays broken: an error, or skipped and recorded.
        adapt: Whether the shards ahead follow the rates of consumption and of fetching.
        wait_seconds: How long a consumer waits for a shard at most, seconds [0.01..].
        grace_seconds: How long it lets other processes keep what they have ahead before it takes
            their place, seconds [0..].
        attempts: How many times a request is made at most [1..].
        first_wait_seconds: About how long to wait before the second, seconds; doubles [0..].
        most_wait_seconds: The longest wait between two, seconds [0..].
        timeout_seconds: How long a connection may stay silent, seconds [0.01..].
    """

    ahead: int = 5
    behind: int = 0
    initial: int = 1
    max_shards: int = 0
    max_bytes: int = 0
    min_free_bytes: int = 1 << 30
    warn_free_bytes: int = 5 << 30
    connections: int = 4
    policy: Literal["raise", "skip"] = "raise"
    adapt: bool = True
    wait_seconds: float = 300.0
    grace_seconds: float = 2.0
    attempts: int = 8
    first_wait_seconds: float = 1.0
    most_wait_seconds: float = 120.0
    timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)

    @property
    def retries(self) -> RetryOptions:
        """How patient transfers are."""
        return RetryOptions(
            attempts=self.attempts,
            first_wait_seconds=self.first_wait_seconds,
            most_wait_seconds=self.most_wait_seconds,
            timeout_seconds=self.timeout_seconds,
        )

    @property
    def limits(self) -> Limits:
        """What the folder may hold."""
        return Limits(
            shards=self.max_shards or self.ahead + self.behind + 1,
            size=self.max_bytes or NO_LIMIT,
            min_free=self.min_free_bytes,
            grace=self.grace_seconds,
        )
