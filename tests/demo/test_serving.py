"""A folder on a slow line: what is asked for is what comes, and no faster than it may."""

import hashlib
import threading
import time

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import Table, parquet

from workbench.demo.serving import Pace, range_of, served
from workbench.errors import SourceError
from workbench.streaming.listing import folder_source, open_source
from workbench.streaming.options import RetryOptions
from workbench.streaming.transfer import Transfer

CONTENT = hashlib.shake_128(b"served").digest(10_000)
ONCE = RetryOptions(attempts=1, timeout_seconds=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    (place / "sub").mkdir()
    (place / "bytes.bin").write_bytes(CONTENT)
    (place / "empty").write_bytes(b"")
    (place.parent / "outside.bin").write_bytes(b"not served")
    for number, name in enumerate(("b.parquet", "a.parquet", "sub/name of c.parquet")):
        rows = {"number": list(range(number, number + 50))}
        parquet.write_table(Table.from_pydict(rows), place / name)
    return place


@pytest.fixture(scope="module")
def url(folder):
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def session():
    with requests.Session() as opened:
        yield opened


# --- ranges


@settings(max_examples=300)
@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_slicing_gives(size, first, last):
    content = bytes(range(size))
    begin, stop = range_of(f"bytes={first}-", size)
    assert content[begin:stop] == content[first:]
    begin, stop = range_of(f"bytes=-{last}", size)
    assert content[begin:stop] == (content[-last:] if last else b"")
    found = range_of(f"bytes={first}-{last}", size)
    if last < first:
        assert found is None
    else:
        assert content[slice(*found)] == content[first : last + 1]


@given(st.text(alphabet="bytes=-,0123456789 ²", max_size=12))
def test_any_header_gives_a_range_within_the_file_or_none(text):
    found = range_of(text, 40)
    if found is not None:
        assert text.startswith("bytes") and "," not in text
        assert 0 <= found[0] <= found[1] <= 40


@settings(max_examples=40)
@given(st.integers(0, 11_000), st.integers(0, 11_000))
def test_the_server_gives_the_bytes_of_a_range(url, session, first, last):
    answer = session.get(f"{url}/bytes.bin", headers={"Range": f"bytes={first}-{last}"}, timeout=5)
    if last < first:
        assert (answer.status_code, answer.content) == (200, CONTENT)
    elif first >= len(CONTENT):
        assert (answer.status_code, answer.content) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
    else:
        want = CONTENT[first : last + 1]
        assert (answer.status_code, answer.content) == (206, want)
        told = f"bytes {first}-{first + len(want) - 1}/{len(CONTENT)}"
        assert answer.headers["Content-Range"] == told


def test_a_range_of_a_file_that_has_changed_since_is_answered_with_all_of_it(tmp_path, session):
    (tmp_path / "a").write_bytes(b"first")
    with served(tmp_path) as url:
        etag = session.head(f"{url}/a", timeout=5).headers["ETag"]
        asked = {"Range": "bytes=2-", "If-Range": etag}
        assert session.get(f"{url}/a", headers=asked, timeout=5).content == b"rst"
        (tmp_path / "a").write_bytes(b"second")
        answer = session.get(f"{url}/a", headers=asked, timeout=5)
        assert (answer.status_code, answer.content) == (200, b"second")
        assert answer.headers["ETag"] != etag


# --- requests


def test_head_tells_what_get_gives(url, session):
    for name, content in (("bytes.bin", CONTENT), ("empty", b"")):
        head = session.head(f"{url}/{name}", timeout=5)
        answer = session.get(f"{url}/{name}", timeout=5)
        assert (answer.status_code, answer.content) == (200, content)
        assert head.headers["Content-Length"] == str(len(content))
        assert head.headers["ETag"] == answer.headers["ETag"]
        assert head.content == b""


@pytest.mark.parametrize("name", ["none", "", "sub", "..%2Foutside.bin", "%2E%2E/outside.bin"])
def test_what_is_no_file_of_the_folder_is_not_found(url, session, name):
    answer = session.get(f"{url}/{name}", timeout=5)
    assert answer.status_code == 404
    assert b"not served" not in answer.content


def test_a_link_out_of_the_folder_leads_nowhere(tmp_path, folder, session):
    (tmp_path / "link").symlink_to(folder / "bytes.bin")
    with served(tmp_path) as url:
        assert session.get(f"{url}/link", timeout=5).status_code == 404


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="is no folder"), served(tmp_path / "none"):
        pass


# --- with the streaming room


def test_the_list_of_shards_opens_as_a_source(url, folder, tmp_path):
    source = open_source(f"{url}/shards.txt", options=ONCE)
    names = [file.name for file in source.files]
    assert names == ["/a.parquet", "/b.parquet", "/sub/name of c.parquet"]
    with Transfer(tmp_path, ONCE) as transfer:
        for file in source.files:
            want = (folder / file.name.lstrip("/")).read_bytes()
            assert (file.size, transfer.fetch(file).read_bytes()) == (len(want), want)


def test_a_list_that_the_folder_has_is_served_as_it_is(tmp_path, folder):
    (tmp_path / "shards.txt").write_text("b.parquet\n")
    (tmp_path / "b.parquet").write_bytes((folder / "b.parquet").read_bytes())
    (tmp_path / "a.parquet").write_bytes((folder / "a.parquet").read_bytes())
    with served(tmp_path) as url:
        files = open_source(f"{url}/shards.txt", options=ONCE).files
        assert [file.name for file in files] == ["/b.parquet"]


def test_a_part_is_gone_on_with_where_it_was_cut_off(url, folder, tmp_path):
    (file,) = [f for f in open_source(f"{url}/shards.txt").files if f.name == "/a.parquet"]
    arrived = []
    with Transfer(tmp_path, ONCE, arrived=arrived.append) as transfer:
        want = (folder / "a.parquet").read_bytes()
        path = transfer.place(file)
        path.with_name(path.name + ".part").write_bytes(want[:300])
        assert transfer.fetch(file).read_bytes() == want
    assert sum(arrived) == len(want) - 300


def test_a_source_at_a_server_is_the_same_source(url, folder, tmp_path):
    local = folder_source(folder)
    remote = local.at(url)
    assert remote.fingerprint == local.fingerprint
    with Transfer(tmp_path, ONCE) as transfer:
        for here, there in zip(local.files, remote.files, strict=True):
            assert there.url.startswith("http://")
            assert transfer.fetch(there).read_bytes() == (folder / here.name).read_bytes()


# --- the rate


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@given(
    st.floats(1, 1e9),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 10**6)), min_size=1, max_size=40),
)
def test_no_more_than_the_rate_was_ever_sent_and_no_less_while_there_is_work(rate, turns):
    clock = Clock()
    pace = Pace(rate, clock)
    sent, due, busy_since, busy = 0, 0.0, 0.0, 0
    for passed, count in turns:
        clock.now += passed
        if clock.now > due:
            busy_since, busy = clock.now, 0
        due = clock.now + pace.wait_for(count)
        sent += count
        busy += count
        assert sent <= rate * due * (1 + 1e-9)
        assert busy == pytest.approx(rate * (due - busy_since), rel=1e-6)


def test_no_limit_is_no_wait():
    assert Pace(0).wait_for(10**12) == 0.0


def seconds_for(url, count=1):
    """Return how long it takes so many connections to get the file at the same time."""

    def get():
        assert requests.get(f"{url}/bytes.bin", timeout=20).content == CONTENT

    threads = [threading.Thread(target=get) for _ in range(count)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("limits", "connections", "least"),
    [
        ({"rate": 50_000}, 1, 0.2),
        ({"rate": 100_000}, 3, 0.3),
        ({"rate_each": 50_000}, 3, 0.2),
        ({"rate": 1e9, "rate_each": 50_000}, 1, 0.2),
    ],
)
def test_bytes_come_no_faster_than_they_may(folder, limits, connections, least):
    with served(folder, **limits) as url:
        took = seconds_for(url, connections)
    assert least <= took < least + 5  # the lower bound is exact; a busy machine only adds


def test_a_limit_of_each_connection_leaves_the_others_their_own(folder):
    with served(folder, rate_each=20_000) as url:
        together = seconds_for(url, 4)
    assert together < 4 * len(CONTENT) / 20_000  # one after the other they would take longer


def test_the_end_of_the_block_ends_what_is_being_sent(folder):
    with served(folder, rate=100) as url:
        answer = requests.get(f"{url}/bytes.bin", stream=True, timeout=20)
        assert answer.status_code == 200
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    with pytest.raises(requests.RequestException):
        _ = answer.content
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/bytes.bin", timeout=5)
