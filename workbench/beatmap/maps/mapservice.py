"""The public map service: its search, page by page by rating, and the zips that it names.

Requests begin at most so often, whoever makes them, and name the client; answers that pass (429
with its Retry-After, 5xx, silence, cut or bent bodies) are waited for as `streaming.retry` does.
What an answer holds is not trusted: documents are judged field by field, URLs lead to web servers
only, and a zip is read through and its level hash compared before it counts as there.
Units: scores 0 to 1; sizes in bytes. Source: the service's own description, api.beatsaver.com/docs
(`automapper` there: absent is none, true is both, false is only these).
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urljoin

import requests

from workbench import __version__
from workbench.beatmap.maps.archives import open_zip, read_through
from workbench.beatmap.maps.places import origin_of
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.sources_options import DownloadOptions, is_web
from workbench.caching.fingerprint import canonical_json
from workbench.errors import AccessError, BeatmapError, SourceError
from workbench.streaming.retry import (
    DamagedError,
    is_transient,
    patiently,
    retry_after_seconds,
    status_of,
)
from workbench.streaming.source import UNKNOWN, SourceFile
from workbench.streaming.transfer import StoppedError, Transfer

CLIENT = f"workbench/{__version__} (beatmap research)"

Answer = TypeVar("Answer")

_HASH = re.compile("[0-9a-f]{40}")
_MOST_PAGE = 32 * 2**20  # bytes of a page of the search; a real one has about 100,000
_PIECE = 1 << 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A map that the service offers and that passed the filters.

    Attributes:
        id: The service's own name for it.
        level_hash: What its level hash must be, hexadecimal in lower case.
        url: Where its zip is.
        document: All that the service says of it.
    """

    id: str
    level_hash: str
    url: str
    document: Mapping[str, Any]


def judged(document: object, options: DownloadOptions) -> Offer | str:
    """Return the offer of a document, or the reason why it is none.

    The reasons: `bad_document`, `automapper`, `unpublished`, `unrated` (no score, which is neither
    a high one nor a low one), `score`, `upvotes`.

    Args:
        document: One of the `docs` of a search, whatever it is.
        options: Which maps are wanted.
    """
    if not isinstance(document, Mapping):
        return "bad_document"
    declared = document.get("declaredAi", "None")
    if not options.automapper and (document.get("automapper") or declared not in ("None", None)):
        return "automapper"
    told = origin_of(document)
    if told.score is None and options.min_score > 0:
        return "unrated"
    if told.score is not None and told.score < options.min_score:
        return "score"
    if (told.upvotes or 0) < options.min_upvotes:
        return "upvotes"
    return _offer(document, told.source_id, options.base_url)


def is_below(document: object, least: float) -> bool:
    """Return whether a document has a score and that is less than some."""
    score = origin_of(document).score if isinstance(document, Mapping) else None
    return score is not None and score < least


class MapService:
    """Asks the service; a context manager, safe among threads."""

    def __init__(self, options: DownloadOptions, work: Path) -> None:
        """Make ready; nothing is asked yet.

        Args:
            options: Where the service is, and how patient and quick to be.
            work: Folder for zips on their way.
        """
        self._options = options
        self._work = work
        self._session = requests.Session()
        self._session.headers["User-Agent"] = CLIENT
        self._stopped = threading.Event()
        self._turns = _Turns(options.interval, self._sleep)
        self._live: set[Transfer] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return the service."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what other threads still fetch, and close the connections."""
        self.stop()
        self._session.close()

    def stop(self) -> None:
        """Let what other threads fetch end soon; parts stay, and are gone on with later."""
        self._stopped.set()
        with self._lock:
            for transfer in self._live:
                transfer.stop()

    def page(self, number: int) -> list[Any]:
        """Return the documents of a page of all maps by falling rating; none behind the last.

        Args:
            number: From 0.

        Raises:
            SourceError: It did not come, or is no page, in all attempts.
            StoppedError: The service was stopped.
        """
        url = f"{self._options.base_url.rstrip('/')}/search/text/{number}"
        return self._patiently(partial(self._asked, url), url)

    def fetch(self, offer: Offer) -> Path:
        """Bring the zip of a map, read through and of the right level hash.

        Returns:
            Where it is, within the folder for zips on their way.

        Raises:
            BeatmapError: It is not what it should be, or the service does not give it; `kind`
                says why. Another time would not be better.
            SourceError: It did not come whole in all attempts.
            StreamingError: There is no room for it.
            StoppedError: The service was stopped.
        """
        file = SourceFile(name=f"{offer.level_hash}.zip", url=offer.url, size=UNKNOWN)
        transfer = Transfer(
            self._work,
            replace(self._options.retries, attempts=1),  # each attempt waits for its turn here
            {"User-Agent": CLIENT},
            lambda count: self._check_size(part, offer),
        )
        part = transfer.place(file).with_name(transfer.place(file).name + ".part")
        with self._lock:
            self._live.add(transfer)
        try:
            with transfer:
                return self._patiently(partial(self._brought, transfer, file, offer), offer.url)
        except BeatmapError:
            part.unlink(missing_ok=True)
            raise
        except SourceError as error:
            if isinstance(error.__cause__, DamagedError):  # in all attempts: so it lies there
                part.unlink(missing_ok=True)
                raise BeatmapError(str(error.__cause__), "bad_zip") from error
            raise
        finally:
            with self._lock:
                self._live.discard(transfer)

    def _patiently(self, call: Callable[[], Answer], url: str) -> Answer:
        """Return what a request gives, made again while its failures may pass.

        Where the service asks to wait, all wait, not only the one that was told.

        Raises:
            SourceError: It failed in all attempts, or for good.
        """

        def attempt() -> Answer:
            try:
                return call()
            except Exception as error:
                asked = retry_after_seconds(error) if is_transient(error) else None
                if asked is not None:
                    self._turns.pause(min(asked, self._options.retries.most_wait_seconds))
                raise

        try:
            return patiently(attempt, self._options.retries, url, self._sleep)
        except Exception as error:
            if isinstance(error, requests.RequestException) or is_transient(error):
                raise _not_there(error, url) from error
            raise

    def _asked(self, url: str) -> list[Any]:
        """Ask for a page once.

        Raises:
            DamagedError: The answer is no page.
            Exception: What requests raises.
        """
        self._turns.wait()
        params = {"sortOrder": "Rating"}
        if self._options.automapper:
            params["automapper"] = "true"
        patience = self._options.timeout
        with self._session.get(url, params=params, stream=True, timeout=patience) as answer:
            answer.raise_for_status()
            content = bytearray()
            for piece in answer.iter_content(_PIECE):
                content += piece
                if len(content) > _MOST_PAGE:
                    raise DamagedError(f"a page of more than {_MOST_PAGE:,} bytes")
        try:
            docs = json.loads(content)["docs"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(f"the answer is no page of a search ({error})") from error
        if not isinstance(docs, list):
            raise DamagedError("the answer is no page of a search (its docs are no list)")
        return docs

    def _brought(self, transfer: Transfer, file: SourceFile, offer: Offer) -> Path:
        """Bring a zip once and look through it; a wrong one is deleted.

        Raises:
            DamagedError: It came damaged.
        """
        self._turns.wait()
        try:
            path = transfer.fetch(file)
        except (SourceError, AccessError) as error:
            cause = error.__cause__
            if isinstance(cause, Exception) and is_transient(cause):
                raise cause from None
            if (status := status_of(cause)) is not None:
                raise BeatmapError(f"{offer.url}: HTTP {status}", f"http_{status}") from error
            raise
        try:
            check_zip(path, offer.level_hash)
        except BeatmapError as error:
            path.unlink()
            if error.kind == "bad_zip":
                raise DamagedError(str(error)) from error
            raise
        except Exception as error:  # a mistake of ours must not end the search
            logger.exception("map %s: refused", offer.id)
            path.unlink(missing_ok=True)
            raise BeatmapError(f"{offer.url}: {type(error).__name__}: {error}", "crash") from error
        return path

    def _check_size(self, part: Path, offer: Offer) -> None:
        if part.stat().st_size > self._options.max_bytes:
            raise BeatmapError(
                f"{offer.url}: more than {self._options.max_bytes:,} bytes", "too_large"
            )

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise StoppedError


def check_zip(path: Path, level_hash: str) -> None:
    """Refuse a zip that is damaged, or does not hold the level that it should.

    Args:
        path: The zip.
        level_hash: Hexadecimal in lower case.

    Raises:
        BeatmapError: `bad_zip` where it is damaged, `wrong_hash` where it is another level, or
            what else there is against a zip.
    """
    read_through(path)
    with open_zip(path) as files:
        found = read_level(files).level_hash
    if found != level_hash:
        raise BeatmapError(f"{path}: its level hash is {found}, not {level_hash}", "wrong_hash")


class _Turns:
    """Lets something begin at most so often, in whatever threads; the first at once."""

    def __init__(self, interval: float, sleep: Callable[[float], None]) -> None:
        self._interval = interval
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + self._interval
        self._sleep(begin - now)

    def pause(self, seconds: float) -> None:
        """Let nothing begin for some time."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() + seconds)


def _offer(document: Mapping[str, Any], name: str, base_url: str) -> Offer | str:
    """Return the offer of the published version of a map, or the reason why there is none."""
    versions = document.get("versions")
    if not isinstance(versions, list) or not _is_plain(document):
        return "bad_document"
    known = [version for version in versions if isinstance(version, Mapping)]
    published = [version for version in known if version.get("state", "Published") == "Published"]
    if not published:
        return "unpublished"
    level_hash = str(published[0].get("hash")).lower()
    url = _joined(base_url, published[0].get("downloadURL"))
    if not _HASH.fullmatch(level_hash) or not url:
        return "bad_document"
    return Offer(id=name or level_hash, level_hash=level_hash, url=url, document=document)


def _joined(base_url: str, url: object) -> str:
    """Return a URL that leads to a web server, or nothing: a path would be a file of ours."""
    try:
        whole = urljoin(base_url, url) if isinstance(url, str) else ""
    except ValueError:
        return ""
    return whole if is_web(whole) else ""


def _is_plain(document: Mapping[str, Any]) -> bool:
    """Return whether a document can be written down: text without half signs, finite numbers."""
    try:
        return bool(canonical_json(document).encode())
    except (ValueError, RecursionError):
        return False


def _not_there(error: Exception, url: str) -> SourceError:
    status = status_of(error)
    what = f"HTTP {status}" if status else f"{type(error).__name__}: {error}"
    return SourceError(f"{url}: {what}; the same command goes on where it stopped")
