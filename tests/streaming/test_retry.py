"""Failures that pass are tried again after waits that can be waited; others are told at once."""

import datetime
import email.utils
import math

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.errors import AccessError, SourceError
from workbench.streaming.retry import (
    DamagedError,
    RetryOptions,
    is_transient,
    patiently,
    retry_after_seconds,
    told,
)

MOST = 90.0  # seconds that are waited at most


def refusal(status: int, wait: str | None = None) -> requests.HTTPError:
    """Return what `raise_for_status` raises, with what a server asks to wait."""
    answer = requests.Response()
    answer.status_code = status
    if wait is not None:
        answer.headers["Retry-After"] = wait
    return requests.HTTPError(response=answer)


def waits_of(*errors: Exception, attempts: int = 8, first: float = 1.0) -> list[float]:
    """Return how long is waited for a call that raises these before it returns."""
    waits: list[float] = []
    coming = list(errors)

    def call() -> str:
        if coming:
            raise coming.pop(0)
        return "done"

    options = RetryOptions(attempts=attempts, first_wait_seconds=first, most_wait_seconds=MOST)
    assert patiently(call, options, "it", waits.append) == "done"
    return waits


ODD = ["nan", "-nan", "inf", "-inf", "-1", "-0.5", "1e999", "", " ", "soon", "NaN"]
NUMBERS = st.floats().map(str) | st.integers(-(10**6), 10**6).map(str)
DATES = st.builds(
    "{}, {:02d} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Someday"]),
    st.integers(0, 32),
    st.sampled_from(["Jan", "Feb", "Dec", "13"]),
    st.integers(0, 10**25),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 10**12),
    st.sampled_from(["GMT", "+0700", "-2359", "+9999", "", "-0000"]) | st.text(max_size=6),
)


@settings(max_examples=300)
@given(st.sampled_from(ODD) | NUMBERS | DATES | st.text(max_size=30))
@example("Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("Mon, 01 Jan 0001 00:00:00 +2300")
@example("Fri, 31 Dec 9999 23:59:59 -2300")
def test_whatever_a_server_asks_for_the_wait_is_one_that_can_be_waited(text: str) -> None:
    asked = retry_after_seconds(refusal(503, text))
    assert asked is None or (math.isfinite(asked) and asked >= 0)
    [wait] = waits_of(refusal(503, text))
    assert 0 <= wait <= MOST
    assert asked is None or wait == pytest.approx(min(asked, MOST), abs=2)


@pytest.mark.parametrize("text", [*ODD, "Mon, 99 Jan 2030 00:00:00 GMT", None])
def test_what_is_no_wait_leaves_the_wait_to_us(text: str | None) -> None:
    assert retry_after_seconds(refusal(429, text)) is None
    assert 1 <= waits_of(refusal(429, text))[0] <= 2


@given(st.integers(0, 10**7))
def test_seconds_are_waited_as_they_are_asked_for(seconds: int) -> None:
    assert waits_of(refusal(429, str(seconds))) == [min(seconds, MOST)]


@given(st.integers(-(10**8), 10**8), st.integers(-23, 23))
def test_a_date_is_waited_for_wherever_its_clock_is(seconds: int, hours: int) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    moment = datetime.datetime.now(zone) + datetime.timedelta(seconds=seconds)
    for text in (
        email.utils.format_datetime(moment),
        email.utils.format_datetime(moment.astimezone(datetime.UTC), usegmt=True),
        moment.astimezone(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S"),
    ):
        asked = retry_after_seconds(refusal(503, text))
        assert asked == pytest.approx(max(seconds, 0), abs=2)


def test_waits_double_to_the_most_with_jitter() -> None:
    waits = waits_of(*[ConnectionError()] * 9, attempts=10, first=2.0)
    for number, wait in enumerate(waits):
        assert min(2.0 * 2**number, MOST) <= wait <= min(2.0 * 2**number + 2, MOST)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 410, 416, 429, 500, 502, 503, 599])
def test_statuses_that_may_pass_are_tried_again_and_others_are_not(status: int) -> None:
    if status in (408, 429) or status >= 500:
        assert len(waits_of(*[refusal(status)] * 3)) == 3
    else:
        with pytest.raises(requests.HTTPError):
            waits_of(refusal(status))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (requests.ConnectionError(), True),
        (requests.exceptions.ChunkedEncodingError(), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (DamagedError("half of it"), True),
        (OSError(28, "No space left on device"), False),
        (ValueError(), False),
    ],
)
def test_connections_that_break_may_pass_and_facts_do_not(error: Exception, passes: bool) -> None:
    assert is_transient(error) == passes


def test_the_last_attempt_raises_what_it_met() -> None:
    errors = [ConnectionError(number) for number in range(4)]
    with pytest.raises(ConnectionError, match="2"):
        waits_of(*errors, attempts=3)


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (refusal(401), AccessError, r"wants a token \(HTTP 401\); run `hf auth login`"),
        (refusal(403), AccessError, r"refused the token \(HTTP 403\)"),
        (refusal(404), SourceError, r"is not there \(HTTP 404\); check the name"),
        (refusal(503), SourceError, "HTTP 503; the same command goes on"),
        (TimeoutError("silent"), SourceError, "TimeoutError: silent; the same"),
        (ConnectionError(), SourceError, "ConnectionError; the same"),
    ],
)
def test_a_failure_for_good_is_told_with_the_address(
    error: Exception, kind: type[Exception], what: str
) -> None:
    with pytest.raises(kind, match=f"^hf://a/b: {what}") as found:
        raise told(error, "hf://a/b")
    assert type(found.value) is kind
