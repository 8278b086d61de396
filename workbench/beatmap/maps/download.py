"""Maps of the map service, downloaded into a folder that may be gone on with at any time.

    HASH.zip   a map, whole and right from the moment that it has its name
    HASH.json  what the service says of it, there before the zip is
    _download.json  how far the search is: page and map, counts and reasons

Stopped or killed, the same call goes on at the exact page and map. Ratings change while one
searches, so maps wander between pages: what was the last map before is looked for again, a page
earlier if need be, and what was met lately is passed.
"""

import dataclasses
import json
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.beatmap.maps.mapservice import MapService, Offer, is_below, judged
from workbench.beatmap.maps.places import printable
from workbench.beatmap.maps.sources_options import DownloadOptions, is_web
from workbench.caching.alone import alone
from workbench.caching.files import replacing, settle, sweep
from workbench.caching.fingerprint import canonical_json, fingerprint
from workbench.errors import BeatmapError, SourceError, WorkbenchError
from workbench.progress import Progress, Show, silent
from workbench.streaming.workers import executor

STATE_NAME = "_download.json"
FORMAT = 1

_WORK = ".work"
_LATELY = 200  # maps that are remembered, so that none is met twice: ten pages
_MOST_STALE = 3  # pages in a row with nothing new, after which there is no more
_MOST_LOST = 3  # maps in a row that did not come in all attempts: the service is away

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """How far a search is.

    Attributes:
        search: What the search is known by.
        page: Of the next map, from 0.
        index: Of the next map on its page, from 0.
        lately: Names of the last maps before it, in order.
        kept: Maps of the search that are here.
        left_out: Reason: maps that the filters left out.
        refused: Map: reason; what the service gave for it is not right and never will be.
        postponed: Maps that did not come; the next run begins with them.
        is_done: Whether the search has come to its end.
    """

    search: Mapping[str, Any]
    page: int = 0
    index: int = 0
    lately: tuple[str, ...] = ()
    kept: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    postponed: tuple[Offer, ...] = ()
    is_done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """What a download came to; made of JSON's kinds by `dataclasses.asdict`.

    Attributes:
        folder: Where the maps are.
        maps: Maps of the search that are here.
        fetched: How many of them came now.
        bytes: Of those that came now.
        left_out: Reason: maps that the filters left out, in all runs.
        refused: Map: reason, in all runs.
        postponed: Maps that did not come; the same call tries them again.
        page: Of the next map, from 0.
        index: Of the next map on its page, from 0.
        is_done: Whether the search has come to its end.
        seconds: It took.
    """

    folder: str
    maps: int
    fetched: int
    bytes: int
    left_out: dict[str, int]
    refused: dict[str, str]
    postponed: int
    page: int
    index: int
    is_done: bool
    seconds: float


def download(
    folder: Path, options: DownloadOptions | None = None, show: Show = silent
) -> Downloaded:
    """Bring the maps of a search into a folder, from where an earlier run of it stopped.

    Ctrl-C ends it within the wait for an answer; nothing that came is lost.

    Args:
        folder: Made if need be; what else is there stays.
        options: Which maps, and how.
        show: Is told after each map.

    Raises:
        BeatmapError: Another download is at work there, or its state is of another version.
        SourceError: The service is away; the same call goes on.
        StreamingError: There is no room.
        CachingError: The folder cannot be written.
    """
    options = options or DownloadOptions()
    with alone(folder / _WORK / "lock", folder, "download", BeatmapError):
        sweep(folder / STATE_NAME)
        state = _begun(folder, options)
        with MapService(options, folder / _WORK) as service:
            run = _Run(folder, options, service, state, show)
            run.all()
        _tidy(folder / _WORK)
        return run.result()


@dataclass(frozen=True, slots=True)
class _Step:
    """One map of the search: where the search stands behind it, and what was found about it."""

    page: int
    index: int
    id: str
    found: Offer | str
    is_last: bool = False
    is_postponed: bool = False


@dataclass(frozen=True, slots=True)
class _Came:
    """What became of an offer: bytes that came, or why none did."""

    size: int = 0
    refused: str = ""
    lost: str = ""


class _Run:
    """One call of `download`; work is done by threads, the state is changed by one, in order."""

    def __init__(
        self,
        folder: Path,
        options: DownloadOptions,
        service: MapService,
        state: SearchState,
        show: Show,
    ) -> None:
        self._folder = folder
        self._options = options
        self._service = service
        self._state = state
        self._show = show
        self._begun_at = time.monotonic()
        self._fetched = 0
        self._bytes = 0
        self._lost = 0

    def all(self) -> None:
        """Bring maps until there are enough, or no more."""
        with executor("threads", self._options.workers) as pool:
            try:
                self._work(pool)
            except BaseException:  # also Ctrl-C: the pool waits for what is on its way
                self._service.stop()
                with suppress(WorkbenchError):  # what ended it is what is told
                    self._write()
                raise
        self._write()

    def result(self) -> Downloaded:
        """Return what it came to."""
        state = self._state
        return Downloaded(
            folder=str(self._folder),
            maps=state.kept,
            fetched=self._fetched,
            bytes=self._bytes,
            left_out=dict(state.left_out),
            refused=dict(state.refused),
            postponed=len(state.postponed),
            page=state.page,
            index=state.index,
            is_done=state.is_done,
            seconds=self._seconds(),
        )

    def _work(self, pool: Executor) -> None:
        """Keep some maps on their way, and take in what became of them in the search's order."""
        ahead = 2 * self._options.workers
        waiting: deque[tuple[_Step, Future[_Came] | None]] = deque()
        steps = self._steps()
        is_over = False
        while not is_over or waiting:
            offers = sum(future is not None for _, future in waiting)
            if not is_over and len(waiting) < ahead and self._room(offers):
                step = next(steps, None)
                if step is None:
                    is_over = True
                elif isinstance(step.found, Offer):
                    waiting.append((step, pool.submit(self._bring, step.found)))
                else:
                    waiting.append((step, None))
            elif waiting:
                step, future = waiting.popleft()
                self._take_in(step, future.result() if future else None)
            else:
                is_over = True

    def _room(self, on_their_way: int) -> bool:
        """Return whether another map may be asked for."""
        most = self._options.max_maps
        return not most or self._state.kept + on_their_way < most

    def _steps(self) -> Iterator[_Step]:
        """Give what was postponed, then every further map of the search, each one once."""
        state = self._state
        hashes = deque((offer.level_hash for offer in state.postponed), _LATELY)
        for offer in state.postponed:
            yield _Step(state.page, state.index, "", offer, is_postponed=True)
        if state.is_done:
            return
        lately = deque(state.lately, _LATELY)
        page, index, docs = self._found_again()
        stale = 0
        while docs and stale < _MOST_STALE:
            stale += 1
            for at, document in enumerate(docs[index:], index):
                step = _Step(page, at + 1, _name(document), judged(document, self._options))
                if step.id in lately:
                    continue
                stale = 0
                lately.append(step.id)
                yield _once(step, hashes)
            if all(is_below(document, self._options.min_score) for document in docs):
                break
            page, index = page + 1, 0
            docs = self._service.page(page)
        yield _Step(page, index, "", "", is_last=True)

    def _found_again(self) -> tuple[int, int, list[Any]]:
        """Return the page where the search goes on, from which map of it, and what is on it."""
        page, index, lately = self._state.page, self._state.index, self._state.lately
        docs = self._service.page(page)
        names = [_name(document) for document in docs]
        if not index or not lately:
            return page, index, docs
        if lately[-1] in names:
            return page, names.index(lately[-1]) + 1, docs
        page = max(page - 1, 0)  # maps moved meanwhile
        return page, 0, self._service.page(page)

    def _bring(self, offer: Offer) -> _Came:
        """Bring a map into the folder, if it is not there; in a thread of the pool."""
        path = self._folder / f"{offer.level_hash}.zip"
        if path.exists():
            return _Came()
        try:
            scratch = self._service.fetch(offer)
        except BeatmapError as error:
            logger.warning("map %s: refused (%s)", offer.id, error)
            return _Came(refused=error.kind)
        except SourceError as error:
            logger.warning("map %s: did not come (%s)", offer.id, error)
            return _Came(lost=str(error))
        size = scratch.stat().st_size
        with replacing(path.with_suffix(".json")) as beside:
            beside.write_text(canonical_json(offer.document) + "\n", encoding="utf-8")
        settle(scratch, path)
        return _Came(size=size)

    def _take_in(self, step: _Step, came: _Came | None) -> None:
        """Change the state by what became of one map, and write it down."""
        state = self._state
        if not step.is_postponed:
            lately = state.lately if step.is_last else (*state.lately, step.id)[-_LATELY:]
            state = replace(state, page=step.page, index=step.index, lately=lately)
        if step.is_last:
            state = replace(state, is_done=True)
        elif isinstance(step.found, str):
            left_out = Counter(state.left_out) + Counter([step.found])
            state = replace(state, left_out=dict(left_out))
        elif came is not None:
            state = self._with_offer(state, step, step.found, came)
        is_worth_writing = came is not None or state.page != self._state.page
        self._state = state
        if is_worth_writing:
            self._write()
            self._show(self._progress())
        if came is not None and self._lost >= _MOST_LOST:
            raise SourceError(f"{came.lost}; nor did the {_MOST_LOST - 1} maps before it come")

    def _with_offer(
        self, state: SearchState, step: _Step, offer: Offer, came: _Came
    ) -> SearchState:
        others = tuple(each for each in state.postponed if each.id != offer.id)
        # What did not come before says nothing of whether the service is there now
        self._lost = self._lost + 1 if came.lost and not step.is_postponed else 0
        if came.lost:
            return replace(state, postponed=(*others, offer))
        state = replace(state, postponed=others)
        if came.refused:
            return replace(state, refused={**state.refused, offer.id: came.refused})
        self._fetched += came.size > 0
        self._bytes += came.size
        return replace(state, kept=state.kept + 1)

    def _progress(self) -> Progress:
        state = self._state
        return Progress(
            stage="download",
            done=state.kept,
            total=self._options.max_maps or None,
            unit="maps",
            seconds=self._seconds(),
            fresh=self._fetched,
            numbers={"page": state.page, "MB": round(self._bytes / 1e6, 1)},
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._begun_at

    def _write(self) -> None:
        values = {"format": FORMAT, **dataclasses.asdict(self._state)}
        with replacing(self._folder / STATE_NAME) as scratch:
            scratch.write_text(canonical_json(values) + "\n", encoding="utf-8")


def read_state(path: Path) -> SearchState:
    """Return the state of a search.

    Raises:
        BeatmapError: It cannot be read, or is of another version.
    """
    try:
        values = json.loads(path.read_bytes())
        if values.pop("format") != FORMAT:
            raise ValueError("its format is another")
        offers = tuple(Offer(**offer) for offer in values.pop("postponed"))
        state = SearchState(
            **{**values, "lately": tuple(values["lately"])},
            postponed=offers,
        )
        _check(state)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BeatmapError(
            f"{path}: no state of a download ({error}); delete it to search from the first page, "
            "maps that are here stay",
            "bad_state",
        ) from error
    return state


def _check(state: SearchState) -> None:
    """Refuse what no run wrote: a name of a file is made of a hash, a request of a URL."""
    numbers = (state.page, state.index, state.kept)
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a number in it is none")
    for offer in state.postponed:
        if not re.fullmatch("[0-9a-f]{40}", offer.level_hash) or not is_web(offer.url):
            raise ValueError("a map in it is none")


def _begun(folder: Path, options: DownloadOptions) -> SearchState:
    """Return where an earlier run of the same search stopped, or its beginning."""
    path = folder / STATE_NAME
    fresh = SearchState(search=options.search())
    if options.fresh or not path.exists():
        return fresh
    state = read_state(path)
    if state.search != fresh.search:
        logger.warning("%s: is of another search; this one begins at its first page", path)
        return fresh
    return state


def _tidy(work: Path) -> None:
    """Delete the parts of maps that are not wanted any more."""
    for left in work.glob("*.zip*"):
        left.unlink(missing_ok=True)


def _once(step: _Step, hashes: deque[str]) -> _Step:
    """Leave a map out that came lately under another name: it may still be on its way."""
    if not isinstance(step.found, Offer):
        return step
    if step.found.level_hash in hashes:
        return replace(step, found="repeated")
    hashes.append(step.found.level_hash)
    return step


def _name(document: object) -> str:
    """Return what a document is known by while pages shift."""
    name = document.get("id") if isinstance(document, Mapping) else None
    if isinstance(name, str) and name:
        return printable(name[:100])
    return fingerprint(repr(document))[:16]
