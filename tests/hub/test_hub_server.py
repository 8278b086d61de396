"""The local hub itself: faults, ranges, commits that race, what it keeps, how it ends."""

import hashlib
import http.client
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import hub_server
import pytest
import requests
from hub_faults import WRONG, CutError, Fault
from hub_server import HubServer
from hub_store import Change, HubStore
from huggingface_hub import CommitOperationAdd, HfApi, HfFileSystem, get_token
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import given, settings
from hypothesis import strategies as st

REPO = "lab/voices"
CONTENT = bytes(range(256)) * 400  # 102,400 bytes
NOTES = "".join(f"{number:03d}" for number in range(100))  # 300 bytes


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """A hub for many small questions, with `notes.bin` of 300 bytes in a repository."""
    with HubServer(tmp_path_factory.mktemp("lasting")) as hub:
        HfApi(endpoint=hub.url, token=hub.token).create_repo(REPO, repo_type="dataset")
        assert commit(hub, [added("notes.bin", NOTES)]).ok
        yield hub


@pytest.fixture
def api(hub):
    """A client, and a repository to work on."""
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo(REPO, repo_type="dataset")
    return api


def commit(hub, changes, *, parent=None, token=None, **options):
    """Send a commit of plain files; return the answer."""
    header = {"key": "header", "value": {"summary": "A change", "parentCommit": parent}}
    lines = [header, *changes]
    return requests.post(
        f"{hub.url}/api/datasets/{REPO}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {token or hub.token}"},
        **options,
    )


def added(path, content="text"):
    value = {"path": path, "content": b64encode(content.encode()).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def place_for(hub, content):
    """Return where the hub wants an object to be put, or None if it has it."""
    entry = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    answer = requests.post(
        f"{hub.url}/datasets/{REPO}.git/info/lfs/objects/batch",
        json={"operation": "upload", "transfers": ["basic"], "objects": [entry]},
        headers={"Authorization": f"Bearer {hub.token}"},
    )
    actions = answer.json()["objects"][0].get("actions")
    return actions and actions["upload"]["href"]


def received(url, **options):
    """Return what came of a body, and the error that ended it or None."""
    got = b""
    try:
        with requests.get(url, stream=True, **options) as answer:
            for piece in answer.iter_content(1000):
                got += piece
    except requests.RequestException as error:
        return got, error
    return got, None


def wait_until(condition, *, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


# --- ranges


def asked(draw_first, draw_last):
    return (
        f"bytes={'' if draw_first is None else draw_first}-{'' if draw_last is None else draw_last}"
    )


number = st.none() | st.integers(0, 40)


@settings(max_examples=150)
@given(size=st.integers(0, 30), first=number, last=number)
def test_a_range_gives_the_bytes_that_it_names(lasting, size, first, last):
    content = CONTENT[:size]
    url = lasting.publish(f"{size}.bin", content)
    first_and_last = "-".join("" if each is None else str(each) for each in (first, last))
    answer = requests.get(url, headers={"Range": f"bytes={first_and_last}"})
    means_nothing = first is None and last is None
    is_reversed = first is not None and last is not None and last < first
    if means_nothing or is_reversed:
        assert (answer.status_code, answer.content) == (200, content)
        return
    if first is None:
        wanted = content[-last:] if last else b""
    else:
        wanted = content[first:] if last is None else content[first : last + 1]
    if not wanted:
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{size}"
        return
    start = content.index(wanted)  # all bytes are different
    assert (answer.status_code, answer.content) == (206, wanted)
    stop = start + len(wanted) - 1
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop}/{size}"


@settings(max_examples=30)
@given(st.lists(st.integers(1, 299), unique=True).map(sorted))
def test_parts_of_a_file_of_a_repository_make_the_whole(lasting, cuts):
    url = f"{lasting.url}/datasets/{REPO}/resolve/main/notes.bin"
    edges = [0, *cuts, 300]
    parts = [
        requests.get(url, headers={"Range": f"bytes={start}-{stop - 1}"}).content
        for start, stop in itertools.pairwise(edges)
    ]
    assert b"".join(parts) == NOTES.encode()


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes"])
def test_a_range_that_is_none_gives_the_whole(lasting, header):
    url = lasting.publish("whole.bin", CONTENT)
    answer = requests.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_of_a_file_that_changed_gives_the_whole(lasting):
    url = lasting.publish("changing.bin", b"old")
    etag = requests.head(url).headers["ETag"]
    asks = {"Range": "bytes=1-", "If-Range": etag}
    assert requests.get(url, headers=asks).status_code == 206
    lasting.publish("changing.bin", b"newer")
    answer = requests.get(url, headers=asks)
    assert (answer.status_code, answer.content) == (200, b"newer")
    assert answer.headers["ETag"] != etag


# --- faults


@settings(max_examples=200)
@given(
    pieces=st.lists(st.binary(max_size=30), max_size=6),
    after=st.none() | st.integers(0, 100),
    kind=st.sampled_from(["stall", "truncate", "drop", "wrong_bytes", "slow"]),
)
def test_a_fault_lets_exactly_so_many_bytes_pass(pieces, after, kind):
    whole, parts, bites, waits = b"".join(pieces), [], [], []
    fault = Fault(match="", kind=kind, after_bytes=after, seconds=7, rate=1e9)
    at = (0 if kind == "drop" else len(whole) // 2) if after is None else after

    def bite():
        bites.append(len(b"".join(parts)))

    is_cut = False
    try:
        for piece in fault.bent(iter(pieces), len(whole), wait=waits.append, bite=bite):
            parts.append(piece)
    except CutError:
        is_cut = True
    got = b"".join(parts)
    assert is_cut == (kind in ("truncate", "drop"))
    assert bites == ([0] if kind == "slow" else [min(at, len(whole))])
    assert waits == ([7] if kind == "stall" else [])
    if kind == "wrong_bytes":
        assert got[:at] == whole[:at]
        assert got[at + WRONG :] == whole[at + WRONG :]
        assert all(a == b ^ 0xFF for a, b in zip(got[at : at + WRONG], whole[at:], strict=False))
        assert len(got) == len(whole)
    else:
        assert got == (whole[:at] if is_cut else whole)


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_status_is_answered_so_many_times_and_then_all_is_well(hub, status):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(match="GET /files/a", kind=status, times=2)
    assert [requests.get(url).status_code for _ in range(3)] == [status, status, 200]
    assert hub.faults.taken == [("GET /files/a.bin", str(status))] * 2


def test_a_429_says_when_to_come_again(hub):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="429", retry_after=1)
    assert requests.get(url).headers["Retry-After"] == "1"


def test_a_404_says_what_is_missing_as_the_hub_does(hub):
    hub.faults.add(kind=404, times=2)
    codes = [
        requests.get(hub.url + path).headers["X-Error-Code"]
        for path in (f"/datasets/{REPO}/resolve/main/a", f"/api/datasets/{REPO}")
    ]
    assert codes == ["EntryNotFound", "RepoNotFound"]


def test_faults_meet_only_what_they_match_after_those_they_skip(hub):
    urls = [hub.publish(name, name.encode()) for name in ("a", "b")]
    hub.faults.add(match="/b$", kind=500, skip=1)
    found = [requests.get(url).status_code for url in [*urls, *urls, *urls]]
    assert found == [200, 200, 200, 500, 200, 200]


def test_cleared_faults_meet_nothing(hub):
    url = hub.publish("a", b"a")
    hub.faults.add(kind=500, times=None)
    assert [requests.get(url).status_code for _ in range(3)] == [500] * 3
    hub.faults.clear()
    assert requests.get(url).status_code == 200


@pytest.mark.parametrize("kind", ["explode", "200", ""])
def test_a_fault_of_no_kind_is_refused(hub, kind):
    with pytest.raises(ValueError, match="no kind of fault"):
        hub.faults.add(kind=kind)


def test_a_dropped_request_gets_no_answer(hub):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="drop")
    got, error = received(url)
    assert got == b""
    assert isinstance(error, requests.ConnectionError)
    assert received(url) == (CONTENT, None)


def test_a_dropped_commit_is_not_made(hub, api):
    head = hub.head(REPO)
    hub.faults.add(match="POST .*/commit/", kind="drop")
    with pytest.raises(requests.ConnectionError):
        commit(hub, [added("a.txt")])
    assert hub.head(REPO) == head


def test_a_commit_whose_answer_is_dropped_is_made(hub, api):
    head = hub.head(REPO)
    hub.faults.add(match="POST .*/commit/", kind="drop_after")
    with pytest.raises(requests.ConnectionError):
        commit(hub, [added("a.txt")], parent=head)
    assert "a.txt" in hub.files(REPO)
    assert hub.commits(REPO)[1].oid == head


@pytest.mark.parametrize("place", ["plain", "repo"])
def test_a_truncated_body_ends_early_under_its_whole_length(hub, api, place):
    url = hub.publish("a.bin", CONTENT)
    if place == "repo":
        api.upload_file(
            path_or_fileobj=CONTENT, path_in_repo="a.bin", repo_id=REPO, repo_type="dataset"
        )
        url = f"{hub.url}/datasets/{REPO}/resolve/main/a.bin"
    hub.faults.add(match="GET .*a.bin", kind="truncate", after_bytes=5000)
    assert int(requests.head(url).headers["Content-Length"]) == len(CONTENT)
    got, error = received(url)
    assert got == CONTENT[:5000]
    assert isinstance(error, requests.exceptions.ChunkedEncodingError)
    assert received(url, headers={"Range": "bytes=5000-"}) == (CONTENT[5000:], None)


def test_wrong_bytes_keep_length_head_and_tail(hub):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="wrong_bytes")
    got, error = received(url)
    wrong = [i for i, (a, b) in enumerate(zip(got, CONTENT, strict=True)) if a != b]
    assert error is None
    assert wrong == list(range(len(CONTENT) // 2, len(CONTENT) // 2 + WRONG))


def test_a_stall_longer_than_the_clients_patience_breaks_the_body(hub):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="stall", after_bytes=3000, seconds=60)
    start = time.monotonic()
    got, error = received(url, timeout=0.2)
    assert got == CONTENT[:3000]
    assert isinstance(error, requests.ConnectionError)  # how requests calls it in a body
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_short_stall_is_survived(hub, method):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="stall", seconds=0.15)
    start = time.monotonic()
    answer = requests.request(method, url, timeout=5)
    assert time.monotonic() - start >= 0.15
    assert answer.content == (CONTENT if method == "GET" else b"")


def test_slow_connections_are_slow_each_by_itself(hub):
    url = hub.publish("a.bin", CONTENT)
    hub.faults.add(kind="slow", rate=4 * len(CONTENT), times=4)
    start = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(received, [url] * 4)) == [(CONTENT, None)] * 4
    assert 0.24 <= time.monotonic() - start < 0.9  # a quarter of a second, not four of them
    start = time.monotonic()
    received(url)
    assert time.monotonic() - start < 0.2


# --- uploads


def test_an_upload_dropped_midway_is_not_kept(hub, api):
    url = place_for(hub, CONTENT)
    hub.faults.add(match="PUT", kind="drop", after_bytes=50_000)
    with pytest.raises(requests.ConnectionError):
        requests.put(url, data=CONTENT)
    assert place_for(hub, CONTENT) is not None
    assert requests.put(url, data=CONTENT).status_code == 200
    assert place_for(hub, CONTENT) is None


def test_an_upload_whose_client_dies_leaves_nothing(hub, api, tmp_path):
    url = place_for(hub, CONTENT)
    client = http.client.HTTPConnection(hub.url.removeprefix("http://"))
    client.putrequest("PUT", url.removeprefix(hub.url))
    client.putheader("Content-Length", str(len(CONTENT)))
    client.endheaders(CONTENT[:50_000])
    wait_until(lambda: list(tmp_path.rglob("incoming-*")))
    client.close()
    wait_until(lambda: not list(tmp_path.rglob("incoming-*")))
    assert place_for(hub, CONTENT) is not None


def test_an_upload_can_be_watched_and_left_while_it_stalls(hub, api):
    url = place_for(hub, CONTENT)
    hub.faults.add(match="PUT", kind="stall", after_bytes=50_000, seconds=60)
    with pytest.raises(requests.Timeout):
        requests.put(url, data=CONTENT, timeout=0.2)
    assert [kind for _, kind in hub.faults.taken] == ["stall"]
    assert place_for(hub, CONTENT) is not None


@pytest.mark.parametrize("sent", [CONTENT[:-1], CONTENT[:-1] + b"x", b""])
def test_an_upload_of_other_bytes_than_announced_is_refused(hub, api, sent):
    assert requests.put(place_for(hub, CONTENT), data=sent).status_code == 400
    assert place_for(hub, CONTENT) is not None


def test_an_upload_without_the_hubs_seal_is_refused(hub, api):
    url = place_for(hub, CONTENT)
    assert requests.put(url[:-1] + "-", data=CONTENT).status_code == 403


def test_an_upload_may_come_in_chunks(hub, api):
    answer = requests.put(place_for(hub, CONTENT), data=iter([CONTENT[:7], CONTENT[7:]]))
    assert answer.status_code == 200
    assert place_for(hub, CONTENT) is None


def test_an_object_that_was_never_uploaded_cannot_be_committed(hub, api):
    head, oid = hub.head(REPO), hashlib.sha256(CONTENT).hexdigest()
    value = {"path": "a.bin", "algo": "sha256", "oid": oid, "size": len(CONTENT)}
    answer = commit(hub, [added("b.txt"), {"key": "lfsFile", "value": value}])
    assert answer.status_code == 400
    assert hub.head(REPO) == head


def test_forgotten_objects_are_sent_again_and_used_ones_stay(hub, api):
    upload = {"repo_id": REPO, "repo_type": "dataset"}
    api.upload_file(path_or_fileobj=CONTENT, path_in_repo="a.bin", **upload)
    unused = CommitOperationAdd("never.bin", b"\0unused")
    api.preupload_lfs_files(REPO, [unused], repo_type="dataset")
    assert place_for(hub, CONTENT) is None
    before = hub.digest(REPO)
    hub.forget_objects()
    assert hub.digest(REPO) == before
    assert hub.read(REPO, "a.bin") == CONTENT
    with pytest.raises(HfHubHTTPError, match="does not exist"):
        api.create_commit(REPO, [unused], commit_message="Too late", repo_type="dataset")
    hub.endpoint_log.clear()
    api.upload_file(path_or_fileobj=CONTENT, path_in_repo="b.bin", **upload)
    assert [method for method, _ in hub.endpoint_log].count("PUT") == 1


def test_the_client_uploads_through_faults(hub, api, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.faults.add(match="PUT", kind=503)
    hub.faults.add(match="PUT", kind="drop", after_bytes=1000)
    hub.faults.add(match="objects/batch", kind=500)
    hub.faults.add(match="preupload", kind=429, retry_after=0)
    api.upload_file(
        path_or_fileobj=CONTENT, path_in_repo="a.bin", repo_id=REPO, repo_type="dataset"
    )
    assert hub.read(REPO, "a.bin") == CONTENT
    assert sorted(kind for _, kind in hub.faults.taken) == ["429", "500", "503", "drop"]


# --- commits


paths = st.sampled_from(["a", "b", "x/a", "x/b", "x/y/a", "z/a"])
change = st.one_of(
    st.builds(Change, kind=st.just("file"), path=paths, content=st.binary(max_size=3)),
    st.builds(Change, kind=st.just("deletedFile"), path=paths),
    st.builds(Change, kind=st.just("deletedFolder"), path=st.sampled_from(["x", "x/y", "z/"])),
)


def applied(files, changes):
    """Return the files after all changes, or None where one cannot be made."""
    files = dict(files)
    for each in changes:
        if each.kind == "file":
            files[each.path] = each.content
            continue
        folder = each.path.rstrip("/") + "/"
        gone = [
            path
            for path in files
            if (path == each.path if each.kind == "deletedFile" else path.startswith(folder))
        ]
        if not gone:
            return None
        files = {path: content for path, content in files.items() if path not in gone}
    return files


@settings(max_examples=60)
@given(commits=st.lists(st.lists(change, min_size=1, max_size=4), max_size=5))
def test_a_commit_does_all_its_changes_or_none(tmp_path_factory, commits):
    store = HubStore(tmp_path_factory.mktemp("store"))
    repo = f"datasets/{REPO}"
    store.create(repo, private=False, author="tester")
    states = [{}]
    for changes in commits:
        after = applied(states[-1], changes)
        if after is None:
            with pytest.raises(hub_server.RefusedError):
                store.commit(repo, "main", changes, title="t", author="tester")
        else:
            store.commit(repo, "main", changes, title="t", author="tester")
            states.append(after)
    found = [
        {
            path: store.content(repo, file).read_bytes()
            for path, file in each.files.items()
            if path != ".gitattributes"
        }
        for each in store.history(repo, "main")
    ]
    assert found[::-1] == states


def test_of_two_commits_on_one_parent_exactly_one_is_made(hub, api):
    for turn in range(10):
        parent, barrier = hub.head(REPO), threading.Barrier(4)

        def race(name, parent=parent, barrier=barrier, turn=turn):
            barrier.wait()
            return commit(hub, [added(f"{turn}/{name}"), added("last", name)], parent=parent)

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(race, ["a", "b", "c", "d"]))
        codes = [answer.status_code for answer in answers]
        assert sorted(codes) == [200, 412, 412, 412]
        winner = answers[codes.index(200)]
        assert winner.json()["commitOid"] == hub.head(REPO)
        assert hub.commits(REPO)[1].oid == parent
        assert sum(path.startswith(f"{turn}/") for path in hub.files(REPO)) == 1


def test_racing_commits_without_a_parent_are_all_made(hub, api):
    with ThreadPoolExecutor(4) as pool:
        names = [f"{i}.txt" for i in range(20)]
        answers = list(pool.map(lambda name: commit(hub, [added(name)]), names))
    assert {answer.status_code for answer in answers} == {200}
    assert hub.files(REPO).keys() >= set(names)
    assert len(hub.commits(REPO)) == 21


def test_a_commit_that_cannot_be_read_is_refused(hub, api):
    head = hub.head(REPO)
    no_base64 = {"key": "file", "value": {"path": "a", "content": "?", "encoding": "base64"}}
    no_content = {"key": "file", "value": {"path": "a"}}
    for line in (no_base64, no_content, ["no object"], added("../a"), added("a//b")):
        assert commit(hub, [added("b"), line]).status_code == 400
    assert hub.head(REPO) == head


def test_the_digest_follows_paths_and_contents_and_nothing_else(hub, api):
    assert commit(hub, [added("x/a", "AAAA"), added("y/b", "BBBB")]).ok
    first, only_x = hub.digest(REPO), hub.digest(REPO, "x/")
    assert commit(hub, [added("y/b", "CCCC")]).ok
    assert hub.digest(REPO) != first
    assert hub.digest(REPO, "x/") == only_x
    assert commit(hub, [{"key": "deletedFile", "value": {"path": "y/b"}}]).ok
    assert commit(hub, [added("y/c", "BBBB")]).ok
    assert hub.digest(REPO) != first
    assert commit(hub, [{"key": "deletedFile", "value": {"path": "y/c"}}]).ok
    assert commit(hub, [added("y/b", "BBBB")]).ok
    assert hub.digest(REPO) == first


def test_long_listings_come_in_pages(hub, api):
    assert commit(hub, [added(f"many/{i:04d}") for i in range(1100)]).ok
    names = api.list_repo_files(REPO, repo_type="dataset")
    assert names == [".gitattributes", *(f"many/{i:04d}" for i in range(1100))]
    pages = [path for _, path in hub.endpoint_log if path.endswith("/tree/main")]
    assert len(pages) == 2


# --- the server's life


def test_the_clients_of_this_process_find_the_hub_by_themselves(hub):
    api = HfApi()
    assert (api.endpoint, get_token()) == (hub.url, hub.token)
    api.create_repo(REPO, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"\0a", path_in_repo="a", repo_id=REPO, repo_type="dataset")
    assert HfFileSystem().read_bytes(f"datasets/{REPO}/a") == b"\0a"


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_hub_of_its_own(hub, turn):
    assert hub.endpoint_log == []
    HfApi().create_repo(REPO, repo_type="dataset")  # it would be there already


def test_a_connection_serves_on_after_a_refusal(hub, api):
    line = http.client.HTTPConnection(hub.url.removeprefix("http://"))
    hub.faults.add(match="PUT", kind=500)
    found = []
    for method, path, body in (
        ("PUT", "/objects/x", CONTENT),
        ("PUT", f"/objects/datasets/{REPO}/x?seal=-", CONTENT),
        ("POST", "/nowhere", CONTENT),
        ("GET", "/files/../hub", None),
        ("GET", f"/api/datasets/{REPO}", None),
    ):
        line.request(method, path, body)
        answer = line.getresponse()
        answer.read()
        found.append(answer.status)
    line.close()
    assert found == [500, 403, 404, 404, 200]
    assert hub.unserved == [("PUT", "/objects/x"), ("POST", "/nowhere")]


def test_a_withdrawn_file_is_gone(hub):
    url = hub.publish("deep/a.bin", CONTENT)
    assert requests.get(url).content == CONTENT
    hub.withdraw("deep/a.bin")
    assert requests.get(url).status_code == 404


def test_a_file_is_published_from_disk(hub, tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    assert requests.get(hub.publish("a b.bin", tmp_path / "source")).content == CONTENT


def test_closing_ends_connections_and_threads_however_silent(tmp_path):
    before = set(threading.enumerate())
    with HubServer(tmp_path) as hub:
        url = hub.publish("a.bin", CONTENT)
        hub.faults.add(match="/files/", kind="stall", seconds=60)
        session = requests.Session()
        session.get(f"{hub.url}/api/whoami-v2")
        client = threading.Thread(target=received, args=(url,))
        client.start()
        wait_until(lambda: hub.faults.taken)
        start = time.monotonic()
    assert time.monotonic() - start < 2
    client.join(5)
    session.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(requests.ConnectionError):
        requests.get(url)


def serving(folder):
    """Start a server as a process; return it, its address and its token."""
    command = [sys.executable, hub_server.__file__, str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = json.loads(process.stdout.readline())
    return process, said["url"], said["token"]


def test_a_killed_server_leaves_all_to_the_next(tmp_path):
    process, url, token = serving(tmp_path)
    api = HfApi(endpoint=url, token=token)
    try:
        api.create_repo(REPO, repo_type="dataset")
        api.create_branch(REPO, branch="trial", repo_type="dataset")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with HubServer(tmp_path) as hub:
        assert hub.head(REPO) == hub.head(REPO, branch="trial")
        assert list(hub.files(REPO)) == [".gitattributes"]
        assert commit(hub, [added("a.txt")], parent=hub.head(REPO)).ok


def test_a_server_of_its_own_takes_faults_and_tells_its_log(tmp_path):
    process, url, token = serving(tmp_path)
    try:
        ask, control = f"{url}/api/whoami-v2", f"{url}/__faults__"
        headers = {"Authorization": f"Bearer {token}"}
        fault = {"match": "whoami", "kind": "503", "times": 3}
        assert requests.post(control, json={"add": fault}).json()["waiting"][0]["times"] == 3
        assert requests.get(ask, headers=headers).status_code == 503
        assert requests.post(control, json={"clear": True}).json() == {"waiting": []}
        assert requests.get(ask, headers=headers).json()["name"] == "tester"
        assert requests.post(control, json={"add": {"kind": "explode"}}).status_code == 400
        log = requests.get(f"{url}/__log__").json()
        assert log["requests"] == [["GET", "/api/whoami-v2"]] * 2
        assert log["faults"] == [["GET /api/whoami-v2", "503"]]
        assert (log["endpoints"], log["unserved"]) == (["GET /api/whoami-v2"], [])
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
