"""Maps arrive whole or not at all, once each, through every fault of the service and every stop."""

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from map_archives import hash_of, map_files, with_entry, zipped
from map_service import PAGE, MapServiceServer, served_map

from workbench.beatmap.maps import mapservice
from workbench.beatmap.maps.archives import read_through
from workbench.beatmap.maps.download import STATE_NAME, Downloaded, download, read_state
from workbench.beatmap.maps.level import Level, MapFiles
from workbench.beatmap.maps.mapservice import Offer, judged
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.sources_options import DownloadOptions
from workbench.cli import run
from workbench.errors import BeatmapError, OptionsError, SourceError
from workbench.progress import Progress

TESTED: set[str] = set()
FIELDS = {field.name for field in dataclasses.fields(DownloadOptions)}
COUNT = 2 * PAGE + 3
ONCE = Path(__file__).with_name("download_once.py")


def flag(*names: str) -> Callable[[Any], Any]:
    """Say which options a test is the test of."""
    assert set(names) <= FIELDS
    TESTED.update(names)
    return lambda test: test


def options(service: MapServiceServer, **changes: Any) -> DownloadOptions:
    """Return options of little patience."""
    quick: dict[str, Any] = {
        "interval": 0.0,
        "workers": 3,
        "attempts": 4,
        "retry_wait": 0.02,
        "timeout": 0.5,
    }
    return DownloadOptions(base_url=service.url, **(quick | changes))


@pytest.fixture
def service() -> Iterator[MapServiceServer]:
    """Maps on three pages."""
    with MapServiceServer([served_map(number) for number in range(COUNT)]) as served:
        yield served


def zips(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.glob("*.zip")}


def wanted(service: MapServiceServer, count: int | None = None) -> dict[str, bytes]:
    return {each.level_hash: each.content for each in service.maps[:count]}


def assert_sound(folder: Path) -> None:
    """Nothing that has its name is anything but whole, and nothing else is there."""
    for path in folder.iterdir():
        if path.suffix == ".zip":
            read_through(path)
            assert json.loads(path.with_suffix(".json").read_text())["id"]
        else:
            assert path.name == STATE_NAME or path.suffix == ".json" or path.name.startswith(".")


class StopError(Exception):
    """What ends a download from within, as Ctrl-C does."""


def stop_after(count: int) -> Callable[[Progress], None]:
    calls = Counter[str]()

    def show(progress: Progress) -> None:
        calls["show"] += 1
        if calls["show"] == count:
            raise StopError

    return show


# --- all of them


def test_every_option_has_its_test() -> None:
    assert FIELDS == TESTED


def test_all_mistakes_of_options_are_told_at_once() -> None:
    with pytest.raises(OptionsError) as error:
        DownloadOptions(min_score=1.5, min_upvotes=-1, workers=0, interval=-1, max_bytes=3)
    assert len(str(error.value).splitlines()) == 5


@flag("base_url")
@pytest.mark.parametrize("url", ["ftp://a", "/etc", "file:///etc", "http://", "http://[", "x", ""])
def test_a_base_url_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(OptionsError, match="no web address"):
        DownloadOptions(base_url=url)


@pytest.mark.parametrize("workers", [1, 4])
@flag("workers")
def test_every_map_of_the_search_arrives_with_what_the_service_says_of_it(
    service: MapServiceServer, tmp_path: Path, workers: int
) -> None:
    seen: list[Progress] = []
    done = download(tmp_path, options(service, workers=workers), seen.append)
    assert zips(tmp_path) == wanted(service)
    assert (done.maps, done.fetched, done.is_done) == (COUNT, COUNT, True)
    assert done.bytes == sum(len(each.content) for each in service.maps)
    assert json.loads(json.dumps(dataclasses.asdict(done))) == dataclasses.asdict(done)
    assert_sound(tmp_path)
    places = map_places(tmp_path)
    assert len(places) == COUNT
    by_hash = {each.level_hash: each for each in service.maps}
    for place in places:
        origin = place.origin()
        assert origin.source_id == by_hash[place.path.stem].id
        assert origin.score == by_hash[place.path.stem].score
        assert (origin.source, origin.upvotes, origin.downvotes) == ("service", 100, 3)
    assert [progress.done for progress in seen][-1] == COUNT
    assert len(service.paths(".zip")) == COUNT


def test_each_request_names_the_client_and_the_search_is_by_rating(
    service: MapServiceServer, tmp_path: Path
) -> None:
    download(tmp_path, options(service, max_maps=3))
    assert all(agent.startswith("workbench/") for *_, agent in service.log)
    queries = [query for _, path, query, _ in service.log if "/search/" in path]
    assert queries == [{"sortOrder": ["Rating"]}]


@flag("interval")
def test_requests_begin_no_more_often_than_the_interval_pages_and_maps_together(
    tmp_path: Path,
) -> None:
    with MapServiceServer([served_map(number) for number in range(COUNT)]) as service:
        download(tmp_path, options(service, interval=0.05, workers=8))
        moments = sorted(moment for moment, *_ in service.log)
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == COUNT + 4
    assert moments[-1] - moments[0] > 0.05 * (COUNT + 3) * 0.95
    assert min(gaps) > 0.02  # the line to the server has a jitter of its own
    assert DownloadOptions().interval == 1.0


def test_the_command_brings_maps_and_prints_what_it_came_to(
    service: MapServiceServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--base-url", service.url, "--interval", "0", "--max-maps", "3", "--json"]
    assert run(["beatmap", "download", "-o", str(tmp_path), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["maps"], told["fetched"], told["is_done"]) == (3, 3, False)
    assert zips(tmp_path) == wanted(service, 3)


def test_the_command_says_that_something_is_missing(
    service: MapServiceServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults.add(match=service.maps[2].level_hash, kind="500", times=None)
    flags = ["--base-url", service.url, "--interval", "0", "--retry-wait", "0", "--json"]
    assert run(["beatmap", "download", "-o", str(tmp_path), *flags]) == 4
    assert json.loads(capsys.readouterr().out)["postponed"] == 1


# --- which maps


@flag("min_score", "min_upvotes", "automapper")
def test_each_filter_leaves_out_what_it_should_and_counts_it(tmp_path: Path) -> None:
    maps = [
        served_map(0),
        served_map(1, score=0.749),
        served_map(2, upvotes=4),
        served_map(3, score=None),
        served_map(4, document={"declaredAi": "SageScore"}),
        served_map(5, automapper=True),
        served_map(6, document={"versions": []}),
        served_map(7, document={"versions": "none"}),
        served_map(8, score=0.75, upvotes=5),
    ]
    with MapServiceServer(maps) as service:
        done = download(tmp_path / "a", options(service))
        assert set(zips(tmp_path / "a")) == {maps[0].level_hash, maps[8].level_hash}
        # the service itself leaves out the map that a program made
        assert done.left_out == {
            "score": 1,
            "upvotes": 1,
            "unrated": 1,
            "automapper": 1,
            "unpublished": 1,
            "bad_document": 1,
        }
        done = download(tmp_path / "b", options(service, automapper=True))
        assert {maps[4].level_hash, maps[5].level_hash} <= set(zips(tmp_path / "b"))
        assert "automapper" not in done.left_out
        done = download(tmp_path / "c", options(service, min_score=0, min_upvotes=0))
        assert {maps[1].level_hash, maps[2].level_hash, maps[3].level_hash} <= set(
            zips(tmp_path / "c")
        )
    unrated = next(
        place for place in map_places(tmp_path / "c") if place.path.stem == maps[3].level_hash
    )
    assert unrated.origin().score is None


def test_the_search_ends_after_a_full_page_below_the_score(tmp_path: Path) -> None:
    maps = [served_map(number, score=0.9 if number < 8 else 0.5) for number in range(40)]
    with MapServiceServer(maps) as service:
        done = download(tmp_path, options(service))
        assert service.paths("/search/") == [f"/search/text/{page}" for page in range(3)]
    assert done.maps == 8
    assert done.left_out == {"score": 3 * PAGE - 8}
    assert done.is_done


@flag("max_maps")
@pytest.mark.parametrize("workers", [1, 8])
def test_a_download_stops_at_its_most_maps_and_a_later_one_goes_on(
    service: MapServiceServer, tmp_path: Path, workers: int
) -> None:
    for most in (4, 4, 8, 0):
        done = download(tmp_path, options(service, max_maps=most, workers=workers))
        count = most or COUNT
        assert zips(tmp_path) == wanted(service, count)
        assert done.maps == count
    assert len(service.paths(".zip")) == COUNT


@flag("fresh")
def test_a_fresh_search_begins_at_the_first_page_and_fetches_only_what_is_new(
    service: MapServiceServer, tmp_path: Path
) -> None:
    download(tmp_path, options(service))
    service.maps.append(served_map(50, score=0.9999))
    assert download(tmp_path, options(service)).fetched == 0
    done = download(tmp_path, options(service, fresh=True))
    assert (done.fetched, done.maps) == (1, COUNT + 1)
    assert zips(tmp_path) == wanted(service)
    assert len(service.paths(".zip")) == COUNT + 1


def test_another_search_in_one_folder_begins_anew_and_keeps_the_maps(
    service: MapServiceServer, tmp_path: Path
) -> None:
    download(tmp_path, options(service, max_maps=5))
    done = download(tmp_path, options(service, min_score=0.99))
    assert done.maps == 10
    assert len(service.paths(".zip")) == 10


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "stats", "score", "versions", "hash", "downloadURL", "x"]),
                inner,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_a_document_holds_it_is_a_sound_offer_or_a_reason(document: Any) -> None:
    found = judged(document, DownloadOptions(min_score=0, min_upvotes=0))
    if isinstance(found, Offer):
        assert len(found.level_hash) == 40
        assert found.url.startswith(("http://", "https://"))
    else:
        assert found


@pytest.mark.parametrize(
    "version",
    [
        {"hash": "../../../../etc/passwd"},
        {"hash": "A" * 39 + "/"},
        {"hash": None},
        {"downloadURL": "file:///etc/passwd"},
        {"downloadURL": "ftp://127.0.0.1/x"},
        {"downloadURL": "http://["},
        {"downloadURL": 7},
        {"hash": "0" * 40, "coverURL": "\ud800"},
        {"hash": "0" * 40, "size": float("inf")},
    ],
)
def test_a_document_that_leads_elsewhere_is_left_out(
    version: dict[str, Any], tmp_path: Path
) -> None:
    good = {"hash": "0" * 40, "downloadURL": "https://cdn.example/x.zip", "state": "Published"}
    document = {"id": "1", "stats": {"score": 0.9, "upvotes": 9}, "versions": [good]}
    assert isinstance(judged(document, DownloadOptions()), Offer)
    document["versions"] = [good | version]
    assert judged(document, DownloadOptions()) == "bad_document"


def test_a_path_as_url_is_one_of_the_service_and_no_file_of_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "secret.zip"
    secret.write_bytes(zipped(map_files()))
    version = {"hash": hash_of(map_files()), "downloadURL": str(secret)}
    with MapServiceServer([served_map(0, document={"versions": [version]})]) as service:
        done = download(tmp_path / "maps", options(service))
        assert service.paths("secret") == [str(secret)]
    assert done.refused == {"0": "http_404"}
    assert not zips(tmp_path / "maps")


def test_the_published_version_is_taken(service: MapServiceServer, tmp_path: Path) -> None:
    url = f"{service.url}/{service.maps[0].level_hash}.zip"
    versions = [
        {"hash": "1" * 40, "state": "Feedback", "downloadURL": f"{service.url}/no.zip"},
        {"hash": service.maps[0].level_hash.upper(), "state": "Published", "downloadURL": url},
    ]
    service.maps[:] = [dataclasses.replace(service.maps[0], document={"versions": versions})]
    download(tmp_path, options(service))
    assert zips(tmp_path) == wanted(service)


# --- stops


def test_stopped_after_any_map_the_same_call_goes_on_and_asks_for_nothing_that_came(
    tmp_path: Path,
) -> None:
    maps = [served_map(number, upvotes=1 if number % 5 == 3 else 50) for number in range(14)]
    for count in (1, 4, 5, 6, 11):
        with MapServiceServer(maps) as service:
            folder = tmp_path / str(count)
            with pytest.raises(StopError):
                download(folder, options(service, workers=1), stop_after(count))
            assert_sound(folder)
            pages, came = len(service.paths("/search/")), set(zips(folder))
            asked, page = len(service.paths(".zip")), read_state(folder / STATE_NAME).page
            done = download(folder, options(service, workers=1))
            assert zips(folder) == {m.level_hash: m.content for m in maps if m.upvotes > 1}
            later = {path[1:-4] for path in service.paths(".zip")[asked:]}
            assert later == set(zips(folder)) - came
            assert done.left_out == {"upvotes": 3}
            assert done.maps == 11
            assert service.paths("/search/")[pages] == f"/search/text/{page}"


def test_the_state_names_the_exact_page_and_map(service: MapServiceServer, tmp_path: Path) -> None:
    for most, place in ((3, (0, 3)), (6, (0, 6)), (7, (1, 1)), (14, (2, 2))):
        done = download(tmp_path, options(service, max_maps=most))
        assert (done.page, done.index) == place
        state = read_state(tmp_path / STATE_NAME)
        assert (state.page, state.index, state.kept) == (*place, most)


@pytest.mark.parametrize("moved", [1, 3, PAGE - 1])
def test_maps_that_wander_between_pages_meanwhile_are_neither_missed_nor_fetched_twice(
    service: MapServiceServer, tmp_path: Path, moved: int
) -> None:
    before = list(service.maps)
    download(tmp_path / "up", options(service, max_maps=PAGE + 2))
    service.maps += [served_map(100 + n, score=0.9999) for n in range(moved)]
    done = download(tmp_path / "up", options(service))
    assert {each.level_hash for each in before} <= set(zips(tmp_path / "up"))
    assert done.maps == len(zips(tmp_path / "up"))
    service.maps[:] = before
    download(tmp_path / "down", options(service, max_maps=PAGE + 2))
    del service.maps[:moved]
    done = download(tmp_path / "down", options(service))
    assert {each.level_hash for each in before} == set(zips(tmp_path / "down"))
    assert done.maps == COUNT
    assert set(Counter(service.paths(".zip")).values()) <= {1, 2}  # once for each folder


def test_a_service_that_knows_one_page_only_does_not_hold_one_forever(
    service: MapServiceServer, tmp_path: Path
) -> None:
    first = service.page(0, {"sortOrder": ["Rating"]})
    service.page = lambda number, query: first  # type: ignore[method-assign]
    done = download(tmp_path, options(service))
    assert (done.maps, done.is_done) == (PAGE, True)


def begun(folder: Path, service: MapServiceServer, workers: int = 4) -> subprocess.Popen[str]:
    command = [sys.executable, str(ONCE), str(folder), service.url, str(workers), "0.01"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_ctrl_c_ends_soon_and_leaves_what_the_same_call_goes_on_with(
    service: MapServiceServer, tmp_path: Path, workers: int
) -> None:
    service.rate = 4000  # bytes a second: a map takes more than half a second
    process = begun(tmp_path, service, workers)
    assert process.stdout is not None
    process.stdout.readline()
    service.rate = 10  # now one takes minutes, and waiting for it does not end soon
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    since = time.monotonic()
    _, told = process.communicate(timeout=20)
    assert time.monotonic() - since < 5
    assert "KeyboardInterrupt" in told
    assert_sound(tmp_path)
    assert 1 <= read_state(tmp_path / STATE_NAME).kept < COUNT
    service.rate = 0
    done = download(tmp_path, options(service))
    assert zips(tmp_path) == wanted(service)
    assert done.maps == COUNT


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_any_moment_the_same_call_comes_to_the_same_folder(
    tmp_path: Path, kills: int
) -> None:
    chance = random.Random(kills)
    maps = [served_map(number) for number in range(12 * kills)]
    with MapServiceServer(maps, rate=8000) as service:  # slow enough for a busy machine
        for _ in range(kills):
            process = begun(tmp_path, service)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2 * chance.random())
            process.kill()
            process.communicate()
            assert_sound(tmp_path)
        assert 0 < len(zips(tmp_path)) < len(maps)
        service.rate = 0
        done = download(tmp_path, options(service))
        assert zips(tmp_path) == wanted(service)
        assert (done.maps, done.is_done, done.refused, done.left_out) == (len(maps), True, {}, {})
        assert len(service.paths(".zip")) < len(maps) + 8 * (kills + 1)


def test_two_downloads_into_one_folder_are_refused(
    service: MapServiceServer, tmp_path: Path
) -> None:
    def again(progress: Progress) -> None:
        with pytest.raises(BeatmapError, match="another download"):
            download(tmp_path, options(service))

    download(tmp_path, options(service, max_maps=2), again)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', "{1", "null"])
def test_a_state_that_is_none_is_told_with_its_path(
    service: MapServiceServer, tmp_path: Path, content: str
) -> None:
    (tmp_path / STATE_NAME).write_text(content)
    with pytest.raises(BeatmapError, match=STATE_NAME):
        download(tmp_path, options(service))


def test_a_state_that_someone_bent_writes_nowhere_else(
    service: MapServiceServer, tmp_path: Path
) -> None:
    download(tmp_path / "maps", options(service, max_maps=1))
    path = tmp_path / "maps" / STATE_NAME
    state = json.loads(path.read_text())
    offer = {"id": "1", "level_hash": "../../x", "url": service.url, "document": {}}
    for bent in ({"postponed": [offer]}, {"page": -1}, {"index": "1"}, {"kept": None}):
        path.write_text(json.dumps(state | bent))
        with pytest.raises(BeatmapError, match="no state"):
            download(tmp_path / "maps", options(service))


# --- faults that pass


FAULTS = [
    ("500", {}),
    ("503", {"retry_after": 0}),
    ("429", {}),
    ("408", {}),
    ("stall", {"seconds": 3}),
    ("drop", {}),
    ("truncate", {}),
    ("wrong_bytes", {}),
]


@flag("attempts", "retry_wait", "timeout")
@pytest.mark.parametrize("match", [r"\.zip$", "/search/"])
@pytest.mark.parametrize(("kind", "how"), FAULTS, ids=[kind for kind, _ in FAULTS])
def test_maps_arrive_whole_through_a_fault_that_passes(
    service: MapServiceServer, tmp_path: Path, match: str, kind: str, how: dict[str, Any]
) -> None:
    service.faults.add(match=match, kind=kind, times=2, **how)
    begun_at = time.monotonic()
    done = download(tmp_path, options(service, max_maps=4, workers=2))
    assert time.monotonic() - begun_at < 10
    assert zips(tmp_path) == wanted(service, 4)
    assert (done.refused, done.postponed) == ({}, 0)
    assert not service.faults.waiting()


@pytest.mark.parametrize("match", [r"\.zip$", "/search/"])
def test_a_retry_after_is_waited_for(service: MapServiceServer, tmp_path: Path, match: str) -> None:
    service.faults.add(match=match, kind="429", times=1, retry_after=1)
    download(tmp_path, options(service, max_maps=1))
    moments = [moment for moment, path, *_ in service.log if (".zip" in path) == (".zip" in match)]
    moments = moments if ".zip" in match else moments[:2]
    assert moments[1] - moments[0] >= 1.0
    assert zips(tmp_path) == wanted(service, 1)


def test_while_the_service_asks_to_wait_nobody_asks_for_anything(
    service: MapServiceServer, tmp_path: Path
) -> None:
    told = service.maps[5].level_hash
    service.faults.add(match=told, kind="429", times=1, retry_after=1)
    download(tmp_path, options(service, workers=2, interval=0.05))
    moments = [moment for moment, *_ in service.log]
    asked = [moment for moment, path, *_ in service.log if told in path]
    assert asked[1] - asked[0] >= 1.0
    # what had its turn already when the answer came
    assert [moment for moment in moments if asked[0] + 0.2 < moment < asked[0] + 1.0] == []
    assert zips(tmp_path) == wanted(service)


@pytest.mark.parametrize("match", [r"\.zip$", "/search/"])
def test_further_attempts_wait_for_their_turn_too(
    service: MapServiceServer, tmp_path: Path, match: str
) -> None:
    service.faults.add(match=match, kind="500", times=3)
    download(tmp_path, options(service, max_maps=2, interval=0.1, retry_wait=0.0))
    gaps = [after - before for (before, *_), (after, *_) in pairwise(service.log)]
    assert len(gaps) == 5
    assert min(gaps) > 0.05
    assert sum(gaps) > 0.1 * 5 * 0.95


def test_a_map_goes_on_where_it_was_cut_off(service: MapServiceServer, tmp_path: Path) -> None:
    service.faults.add(match=r"\.zip$", kind="truncate", times=1, after_bytes=700)
    answered: list[int] = []
    zip_of = service.zip_of
    service.zip_of = lambda name: (answered.append(1), zip_of(name))[1]  # type: ignore[method-assign]
    download(tmp_path, options(service, max_maps=1))
    assert zips(tmp_path) == wanted(service, 1)
    assert len(answered) == 2


# --- faults that stay


@pytest.mark.parametrize("kind", ["500", "drop", "truncate", "wrong_bytes", "404", "403"])
def test_a_search_that_fails_for_good_is_told_and_the_next_call_goes_on(
    service: MapServiceServer, tmp_path: Path, kind: str
) -> None:
    service.faults.add(match="/search/text/1", kind=kind, times=None)
    with pytest.raises(SourceError, match="/search/text/1") as error:
        download(tmp_path, options(service))
    assert error.value.exit_code == 4
    assert_sound(tmp_path)
    service.faults.clear()
    assert download(tmp_path, options(service)).maps == COUNT
    assert zips(tmp_path) == wanted(service)


def test_a_map_that_does_not_come_is_postponed_and_comes_with_the_next_call(
    service: MapServiceServer, tmp_path: Path
) -> None:
    lost = service.maps[2].level_hash
    service.faults.add(match=lost, kind="500", times=None)
    done = download(tmp_path, options(service))
    assert (done.maps, done.postponed, done.is_done) == (COUNT - 1, 1, True)
    assert lost not in zips(tmp_path)
    service.faults.clear()
    done = download(tmp_path, options(service))
    assert (done.maps, done.postponed, done.fetched) == (COUNT, 0, 1)
    assert zips(tmp_path) == wanted(service)


def test_when_no_map_comes_the_download_stops_and_loses_none(
    service: MapServiceServer, tmp_path: Path
) -> None:
    service.faults.add(match=r"\.zip$", kind="500", times=None)
    with pytest.raises(SourceError, match="nor did the 2 maps before"):
        download(tmp_path, options(service, attempts=1))
    service.faults.clear()
    for lost in service.maps[:3]:
        service.faults.add(match=lost.level_hash, kind="500", times=None)
    for _ in range(2):  # what stays away does not keep the others away
        done = download(tmp_path, options(service, attempts=1))
        assert (done.maps, done.postponed, done.is_done) == (COUNT - 3, 3, True)
    service.faults.clear()
    assert download(tmp_path, options(service)).maps == COUNT
    assert zips(tmp_path) == wanted(service)


def test_zips_that_lie_damaged_at_the_service_are_refused_and_the_others_come(
    service: MapServiceServer, tmp_path: Path
) -> None:
    for number in range(4):
        each = service.maps[number]
        service.maps[number] = dataclasses.replace(each, content=each.content[:-9])
    done = download(tmp_path, options(service, attempts=2))
    assert done.refused == {each.id: "bad_zip" for each in service.maps[:4]}
    assert (done.maps, done.postponed, done.is_done) == (COUNT - 4, 0, True)
    assert not list((tmp_path / ".work").glob("*.zip*"))


def test_a_mistake_in_reading_costs_one_map_of_a_download(
    service: MapServiceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(files: MapFiles) -> Level:
        if service.maps[1].level_hash in files.place:
            raise ZeroDivisionError("a mistake")
        return read_level(files)

    monkeypatch.setattr(mapservice, "read_level", fails)
    done = download(tmp_path, options(service))
    assert done.refused == {service.maps[1].id: "crash"}
    assert done.maps == COUNT - 1


@pytest.mark.parametrize(("kind", "reason"), [("404", "http_404"), ("403", "http_403")])
def test_a_map_that_the_service_does_not_give_is_refused_at_once(
    service: MapServiceServer, tmp_path: Path, kind: str, reason: str
) -> None:
    service.faults.add(match=service.maps[1].level_hash, kind=kind, times=None)
    done = download(tmp_path, options(service))
    assert done.refused == {service.maps[1].id: reason}
    assert done.maps == COUNT - 1
    assert len(service.paths(service.maps[1].level_hash)) == 1


OTHER = zipped(map_files(99))
HOSTILE = [
    (with_entry("../evil.dat"), "parent_path"),
    (with_entry("/etc/evil.dat"), "absolute_path"),
    (with_entry("bomb.dat", bytes(20_000_000)), "bad_ratio"),
    (with_entry("link", b"/etc/passwd", external_attr=0o120777 << 16), "link"),
    (OTHER, "wrong_hash"),
    (zipped({"readme.txt": b""}), "no_info"),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE, ids=[reason for _, reason in HOSTILE])
def test_a_zip_that_is_not_the_map_never_appears(
    service: MapServiceServer, tmp_path: Path, content: bytes, reason: str
) -> None:
    service.maps[1] = dataclasses.replace(service.maps[1], content=content)
    done = download(tmp_path / "maps", options(service))
    assert done.refused == {service.maps[1].id: reason}
    assert service.maps[1].level_hash not in zips(tmp_path / "maps")
    assert len(zips(tmp_path / "maps")) == COUNT - 1
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    assert not list((tmp_path / "maps" / ".work").glob("*.zip*"))


@flag("max_bytes")
def test_a_map_that_is_too_large_is_refused_before_it_has_come(
    service: MapServiceServer, tmp_path: Path
) -> None:
    huge = zipped({**map_files(1), "song.ogg": random.Random(0).randbytes(30_000_000)}, method=0)
    service.maps[1] = dataclasses.replace(service.maps[1], content=huge)
    done = download(tmp_path, options(service, max_bytes=3_000_000, max_maps=4))
    assert done.refused == {service.maps[1].id: "too_large"}
    assert done.maps == 4
    assert done.bytes < 1_000_000
    assert not list((tmp_path / ".work").glob("*.zip*"))


def test_one_map_under_two_names_comes_once(service: MapServiceServer, tmp_path: Path) -> None:
    service.maps.insert(1, dataclasses.replace(service.maps[0], id="twin"))
    done = download(tmp_path, options(service, workers=8))
    assert done.left_out == {"repeated": 1}
    assert zips(tmp_path) == wanted(service)


def test_the_result_is_of_the_kinds_of_json() -> None:
    kinds = {field.name: field.type for field in dataclasses.fields(Downloaded)}
    assert set(map(str, kinds.values())) <= {
        "<class 'str'>",
        "<class 'int'>",
        "<class 'float'>",
        "<class 'bool'>",
        "dict[str, int]",
        "dict[str, str]",
    }
