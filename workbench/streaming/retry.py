"""Which failures of a network pass by themselves, and how long to wait for that.

Connections that fail or fall silent, and the answers 408, 429 and 5xx are tried again after a
wait that doubles, with jitter, or after what the server's Retry-After asks for. Everything else
is a fact (a wrong name, a missing right, a full disk) and is told at once.
Source: RFC 9110, sections 10.2.3 and 15.
"""

import datetime
import email.utils
import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
import requests
import tenacity
import urllib3

from workbench.errors import AccessError, SourceError, StreamingError
from workbench.streaming.options import RetryOptions

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    httpx2.TransportError,
    ConnectionError,
    TimeoutError,
)


class DamagedError(Exception):
    """A body that came incomplete or wrong; another attempt may bring it whole."""


def patiently(
    call: Callable[[], Answer],
    options: RetryOptions,
    what: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Return what a call returns, made again while its failures may pass.

    Args:
        call: What is attempted.
        options: How patient to be.
        what: What is attempted, for the log.
        sleep: Waits for so many seconds; what it raises ends the attempts.

    Raises:
        Exception: What the last attempt raised, as it is.
    """

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        logger.warning("%s: %s; again in %.1f s", what, _told(error), wait)

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(options.attempts),
        wait=_Wait(options),
        retry=tenacity.retry_if_exception(is_transient),
        before_sleep=tell,
        sleep=sleep,
        reraise=True,
    )
    return attempts(call)


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may go well."""
    status = status_of(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    return isinstance(error, (DamagedError, *_BROKEN))


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status an error came from, or None."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def retry_after_seconds(error: BaseException | None) -> float | None:
    """Return how long a server asked to wait, seconds [0..], or None where that is no time."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text)
    return seconds if 0 <= seconds < math.inf else None  # a NaN is neither


def told(error: Exception, url: str, kind: type[StreamingError] = SourceError) -> StreamingError:
    """Return what a person is told about a request that failed for good.

    Args:
        error: Why it failed.
        url: What was asked for.
        kind: What such a failure is, where it is none of a token.
    """
    status = status_of(error)
    if status in (401, 403):
        what = "refused the token" if status == 403 else "wants a token"
        return AccessError(
            f"{url}: {what} (HTTP {status}); run `hf auth login`, and accept the terms of the "
            "dataset on its page if it has any"
        )
    if status == 404:
        return kind(f"{url}: is not there (HTTP 404); check the name and the revision")
    return kind(f"{url}: {_told(error)}; the same command goes on where it stopped")


def _seconds_until(date: str) -> float | None:
    """Return how far off a date of HTTP is, 0 where it has passed, or None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # the latter of a year with too many digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max((moment - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)


class _Wait(tenacity.wait.wait_base):
    """What the server asks for, else an exponential wait with jitter; never more than the most."""

    def __init__(self, options: RetryOptions) -> None:
        first, most = options.first_wait_seconds, options.most_wait_seconds
        self._most = most
        self._own = tenacity.wait_exponential(first, most) + tenacity.wait_random(0, first)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = retry_after_seconds(error)
        return min(self._own(retry_state) if asked is None else asked, self._most)


def _told(error: BaseException | None) -> str:
    status = status_of(error)
    if status is not None:
        return f"HTTP {status}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
