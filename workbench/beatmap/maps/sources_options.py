"""Options of the sources of maps; the command line follows them."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from workbench import options
from workbench.streaming.options import RetryOptions
from workbench.streaming.workers import engine_mistakes

SERVICE_URL = "https://api.beatsaver.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """Which maps come from the map service, and how.

    Attributes:
        min_score: Least score of a map; above 0, maps that nobody rated are left out [0..1].
        min_upvotes: Least number of upvotes [0..].
        automapper: Take maps that a program made, too.
        max_maps: Stop when this many maps of the search are here; a later run with more goes on,
            0 is all [0..].
        fresh: Begin the search again at its first page; maps that are here stay, and do not come
            again.
        base_url: Where the service is.
        interval: Time between the beginnings of two requests, of pages and maps together, seconds
            [0..3600].
        workers: Maps that may be on their way at once [1..64].
        max_bytes: Maps whose zips are larger are refused, bytes [1000..].
        attempts: How many times a request is made at most [1..].
        retry_wait: Wait before a second attempt, seconds; doubles each time, and a Retry-After is
            obeyed up to an hour, by all requests [0..].
        timeout: How long a connection may stay silent, seconds [0.1..].
    """

    min_score: float = 0.75
    min_upvotes: int = 5
    automapper: bool = False
    max_maps: int = 0
    fresh: bool = False
    base_url: str = SERVICE_URL
    interval: float = 1.0
    workers: int = 8
    max_bytes: int = 500_000_000
    attempts: int = 8
    retry_wait: float = 1.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        options.check(self)
        if not is_web(self.base_url):
            options.refuse([f"base_url: {self.base_url!r} is no web address; want as https://…"])

    @property
    def retries(self) -> RetryOptions:
        """How patient requests are."""
        return RetryOptions(
            attempts=self.attempts,
            first_wait_seconds=self.retry_wait,
            most_wait_seconds=3600.0,
            timeout_seconds=self.timeout,
        )

    def search(self) -> dict[str, Any]:
        """Return what a search is known by; a position means something only within one."""
        return {
            "base_url": self.base_url.rstrip("/"),
            "min_score": float(self.min_score),
            "min_upvotes": self.min_upvotes,
            "automapper": self.automapper,
        }


def is_web(url: str) -> bool:
    """Return whether a URL leads to a web server, and to no file of this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port that is none
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractOptions:
    """How the game's own levels become map folders.

    Attributes:
        audio: What the audio is written as; `flac` is whole and about half of `wav`, which the
            original wrote; both are of 16 bits.
        again: Write levels anew that are here already.
        workers: How many levels are read at the same time; 1 reads them in this process, but for a
            cluster [1..].
        engine: What the workers are: `threads`, `processes` or `dask:ADDRESS`, the scheduler of a
            cluster whose machines see the same files; the maps are the same with any.
    """

    audio: Literal["flac", "wav"] = "flac"
    again: bool = False
    workers: int = 1
    engine: str = "processes"

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OptionsError: With every mistake, one a line.
        """
        options.check(self)
        options.refuse(engine_mistakes("engine", self.engine))
