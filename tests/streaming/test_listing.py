"""Lists of files: of folders, web servers and what fsspec knows; pinned, in order, or told."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import parquet_of

from workbench.errors import AccessError, SourceError
from workbench.streaming.listing import (
    folder_source,
    fsspec_source,
    http_source,
    open_source,
)
from workbench.streaming.options import RetryOptions
from workbench.streaming.reader import ParquetRows, read
from workbench.streaming.source import UNKNOWN
from workbench.streaming.transfer import Transfer

ONCE = RetryOptions(attempts=1, timeout_seconds=5)
QUICKLY = RetryOptions(attempts=4, first_wait_seconds=0.01, timeout_seconds=5)


def fill(folder, **groups):
    """Write Parquet files with so many records, below a folder."""
    for number, (name, count) in enumerate(groups.items()):
        path = folder / (name.replace("__", "/") + ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parquet_of([count], first=100 * number))
    return folder


def names_of(source):
    return [file.name for file in source.files]


def numbers_of(source, work):
    """Return what is read when a source is read."""
    with Transfer(work, ONCE, source.headers) as transfer:
        batches = [rows.batch for rows in read(source, transfer, ParquetRows())]
    return [number for batch in batches for number in batch["number"].to_pylist()]


# --- folders


def test_a_folder_is_listed_in_the_order_of_names_with_rows_and_sizes(tmp_path):
    folder = fill(tmp_path / "in", b=3, a=2, sub__c=4, a10=1, a9=0)
    source = open_source(str(folder))
    assert source.name == str(folder)
    assert names_of(source) == [
        "a.parquet",
        "a10.parquet",
        "a9.parquet",
        "b.parquet",
        "sub/c.parquet",
    ]
    assert [file.rows for file in source.files] == [2, 1, 0, 3, 4]
    assert source.rows == 10
    for file in source.files:
        path = folder / file.name
        assert file.url == str(path)
        content = path.read_bytes()
        assert file.size == len(content)
        footer = content[-8 - int.from_bytes(content[-8:-4], "little") :]
        assert file.digest == "footer:" + hashlib.sha256(footer).hexdigest()
    assert numbers_of(source, tmp_path / "work") == [100, 101, 300, 0, 1, 2, 200, 201, 202, 203]


def test_hidden_files_and_other_kinds_are_left_out(tmp_path):
    folder = fill(
        tmp_path / ".in", a=1, _b=1, **{".c": 1, "_d__e": 1, ".f__g": 1, "h__.i": 1, "h__j_k": 1}
    )
    (folder / "notes.txt").write_text("no Parquet")
    (folder / "x.parquet.part").write_text("not whole")
    (folder / "empty.parquet").mkdir()
    assert names_of(folder_source(folder)) == ["a.parquet", "h/j_k.parquet"]


def test_a_pattern_chooses_and_other_kinds_are_known_by_their_content(tmp_path):
    folder = fill(tmp_path / "in", a=1, b__c=1)
    (folder / "x.tsv").write_text("path\tsentence\n")
    assert names_of(folder_source(folder, "b/*")) == ["b/c.parquet"]
    table = folder_source(folder, "*.tsv").files[0]
    digest = hashlib.sha256(b"path\tsentence\n").hexdigest()
    assert (table.name, table.digest, table.rows) == ("x.tsv", f"sha256:{digest}", None)


def test_one_file_is_a_list_of_one(tmp_path):
    folder = fill(tmp_path, a=3, b=2)
    source = open_source(str(folder / "a.parquet"))
    assert source.files == folder_source(folder).files[:1]
    assert source.name == str(folder / "a.parquet")


@settings(max_examples=20)
@given(st.sets(st.text("ab1_.-ก", min_size=1, max_size=5).filter(lambda n: n[0] not in "._")))
def test_every_other_name_is_listed_once_and_in_order(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("in")
    content = parquet_of([1])
    for name in names:
        (folder / f"{name}.parquet").write_bytes(content)
    found = names_of(folder_source(folder)) if names else []
    assert found == sorted(f"{name}.parquet" for name in names)


def test_a_folder_elsewhere_has_the_same_fingerprint(tmp_path):
    folder = fill(tmp_path / "here", a=2, b__c=3)
    before = folder_source(folder)
    moved = folder.rename(tmp_path / "there")
    after = folder_source(moved)
    assert after.fingerprint == before.fingerprint
    assert after.files[0].url != before.files[0].url


def longer(folder):
    (folder / "a.parquet").write_bytes(parquet_of([3]))


def other_records(folder):
    (folder / "a.parquet").write_bytes(parquet_of([2], first=50))


def renamed(folder):
    (folder / "a.parquet").rename(folder / "aa.parquet")


def one_more(folder):
    fill(folder, c=1)


def one_less(folder):
    (folder / "b.parquet").unlink()


@pytest.mark.parametrize("change", [longer, other_records, renamed, one_more, one_less])
def test_each_change_of_a_folder_changes_its_fingerprint(tmp_path, change):
    folder = fill(tmp_path, a=2, b=2)
    before = folder_source(folder)
    assert folder_source(folder).fingerprint == before.fingerprint
    change(folder)
    after = folder_source(folder)
    assert after.fingerprint != before.fingerprint
    if change is other_records:
        assert (after.rows, names_of(after)) == (before.rows, names_of(before))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet" * 9, parquet_of([2])[:-30]])
def test_one_broken_file_is_named(tmp_path, content):
    folder = fill(tmp_path, a=1, c=1)
    (folder / "b.parquet").write_bytes(content)
    with pytest.raises(SourceError) as told:
        open_source(str(folder))
    assert str(told.value).startswith(f"{folder / 'b.parquet'}: cannot be read as Parquet (")
    assert str(told.value).endswith("take it away")


@pytest.mark.parametrize("name", ["nowhere", "empty", "other"])
def test_nothing_found_is_told_with_the_place(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("text")
    with pytest.raises(SourceError) as told:
        open_source(str(tmp_path / name))
    what = "is no folder and no file" if name == "nowhere" else r"no file matches *.parquet"
    assert str(told.value).startswith(f"{tmp_path / name}: {what}")


# --- web servers


class Site:
    """A web server of files; ETags are of the content, if there are to be any."""

    def __init__(self):
        self.files, self.log, self.failing = {}, [], {}
        self.tells = ("ETag", "Content-Length", "Content-Type")
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def do_HEAD(self):
                site.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler):
        self.log.append((handler.command, handler.path))
        statuses = self.failing.get(handler.path.partition("?")[0], [])
        content = self.files.get(handler.path.partition("?")[0])
        status = statuses.pop(0) if statuses else 200 if content is not None else 404
        body = content if status == 200 else b"no"
        handler.send_response(status)
        told = {
            "ETag": f'"{hashlib.md5(body).hexdigest()}"',
            "Content-Length": str(len(body)),
            "Content-Type": "text/plain",
        }
        for name in self.tells:
            handler.send_header(name, told[name])
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(body)


@pytest.fixture
def site():
    with Site() as site:
        for number in range(12):
            site.files[f"/data/shard_{number:05d}.parquet"] = parquet_of([2], first=10 * number)
        yield site


def test_a_numbered_series_is_listed_with_sizes_and_etags(site, tmp_path):
    text = f"{site.url}/data/shard_{{00002..00011}}.parquet"
    source = open_source(text, options=ONCE)
    assert source.name == text
    assert names_of(source) == [f"/data/shard_{number:05d}.parquet" for number in range(2, 12)]
    for file in source.files:
        content = site.files[file.name]
        assert file.url == site.url + file.name
        assert file.size == len(content)
        assert file.digest == f'etag:"{hashlib.md5(content).hexdigest()}"'
        assert file.rows is None
    assert {command for command, _ in site.log} == {"HEAD"}
    numbers = [10 * number + row for number in range(2, 12) for row in range(2)]
    assert numbers_of(source, tmp_path) == numbers


def test_a_number_is_as_wide_as_it_is_written(site):
    for number in range(8, 12):
        site.files[f"/{number}.parquet"] = b"x" * number
    source = http_source(f"{site.url}/{{8..11}}.parquet", ONCE)
    assert [(file.name, file.size) for file in source.files] == [
        (f"/{number}.parquet", number) for number in range(8, 12)
    ]


@pytest.mark.parametrize("name", ["/data/list.txt", "/data/list"])
def test_a_list_of_addresses_is_relative_to_itself_and_keeps_its_order(site, name, tmp_path):
    third = f"{site.url}/data/shard_00003.parquet"
    site.files[name] = f"shard_00005.parquet\n\n  /data/shard_00001.parquet \r\n{third}".encode()
    source = open_source(site.url + name, options=ONCE)
    assert names_of(source) == [f"/data/shard_0000{number}.parquet" for number in (5, 1, 3)]
    assert numbers_of(source, tmp_path) == [50, 51, 10, 11, 30, 31]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_of_names_in_thai_is_read_as_utf_8(site, tmp_path, mark):
    names = ["/data/เสียง ๑.parquet", "/data/คำพูด\u0e45.parquet"]
    for number, name in enumerate(names):
        site.files[quote(name)] = parquet_of([1], first=number)
    site.files["/data/list.txt"] = (mark + "\n".join(names)).encode()
    source = open_source(f"{site.url}/data/list.txt", options=ONCE)
    assert names_of(source) == names
    assert numbers_of(source, tmp_path) == [0, 1]


def test_a_list_of_another_encoding_is_told(site):
    site.files["/list.txt"] = "เสียง.parquet".encode("cp874")
    with pytest.raises(SourceError, match=r"list\.txt: is no text in UTF-8 .*byte 0"):
        http_source(f"{site.url}/list.txt", ONCE)


def test_one_address_is_a_list_of_one(site, tmp_path):
    url = f"{site.url}/data/shard_00004.parquet?download=true"
    source = open_source(url, options=ONCE)
    assert [(file.name, file.url) for file in source.files] == [("/data/shard_00004.parquet", url)]
    assert numbers_of(source, tmp_path) == [40, 41]


def test_a_change_on_the_server_changes_the_fingerprint(site):
    text = f"{site.url}/{{0..2}}.parquet"
    site.files |= {f"/{number}.parquet": b"old" for number in range(3)}
    before = http_source(text, ONCE).fingerprint
    assert http_source(text, ONCE).fingerprint == before
    for content in (b"new", b"longer"):
        site.files["/1.parquet"] = content
        assert http_source(text, ONCE).fingerprint != before
    site.files["/1.parquet"] = b"old"
    assert http_source(text, ONCE).fingerprint == before


def test_a_server_that_tells_neither_size_nor_etag_is_taken_as_it_is(site, tmp_path):
    site.tells = ()
    source = http_source(f"{site.url}/data/shard_00001.parquet", ONCE)
    assert (source.files[0].size, source.files[0].digest) == (UNKNOWN, "")
    assert source.size is None
    assert numbers_of(source, tmp_path) == [10, 11]


def test_what_is_not_there_is_told_at_once_with_its_address(site):
    patient = RetryOptions(attempts=8, first_wait_seconds=60)
    for text, missing in [
        (f"{site.url}/data/shard_{{00010..00014}}.parquet", "/data/shard_0001"),
        (f"{site.url}/nowhere.parquet", "/nowhere.parquet"),
        (f"{site.url}/nowhere.txt", "/nowhere.txt"),
    ]:
        site.log.clear()
        begun = time.monotonic()
        with pytest.raises(SourceError) as told:
            open_source(text, options=patient)
        assert time.monotonic() - begun < 5
        assert str(told.value).startswith(site.url + missing)
        assert "is not there (HTTP 404)" in str(told.value)
        asked = [path for _, path in site.log]
        assert len(asked) == len(set(asked))  # each once


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_told_as_that(site, status):
    site.failing["/data/shard_00001.parquet"] = [status] * 9
    with pytest.raises(AccessError, match=f"HTTP {status}"):
        http_source(f"{site.url}/data/shard_{{00000..00003}}.parquet", QUICKLY)


def test_what_passes_by_itself_is_asked_again(site):
    site.failing["/data/shard_00001.parquet"] = [503, 429]
    site.failing["/data/list.txt"] = [500]
    site.files["/data/list.txt"] = b"shard_00000.parquet\nshard_00001.parquet"
    source = http_source(f"{site.url}/data/list.txt", QUICKLY)
    assert source.files[1].size == len(site.files["/data/shard_00001.parquet"])


def test_what_does_not_pass_is_told(site):
    site.failing["/data/shard_00001.parquet"] = [503] * 99
    with pytest.raises(SourceError, match=r"shard_00001\.parquet: HTTP 503"):
        http_source(f"{site.url}/data/shard_{{00000..00003}}.parquet", QUICKLY)
    assert site.log.count(("HEAD", "/data/shard_00001.parquet")) == QUICKLY.attempts


def test_a_list_without_an_address_and_an_empty_series_are_told(site):
    site.files["/list.txt"] = b" \n\n"
    for text in (f"{site.url}/list.txt", f"{site.url}/{{5..3}}.parquet"):
        with pytest.raises(SourceError, match="the list is empty; write one address a line"):
            http_source(text, ONCE)


def test_a_server_that_is_not_there_is_told():
    with Site() as site:
        gone = site.url
    with pytest.raises(SourceError, match=gone):
        http_source(f"{gone}/a.parquet", ONCE)


# --- what fsspec knows


@pytest.fixture
def memory():
    """A folder of fsspec's memory with three files in it."""
    system = fsspec.filesystem("memory")
    for number in (1, 0, 2):
        system.pipe(f"/listing/{number}.parquet", parquet_of([2], first=10 * number))
    system.pipe("/listing/sub/3.parquet", parquet_of([1]))
    yield system
    system.rm("/listing", recursive=True)


def test_a_pattern_in_memory_is_listed_in_order(memory, tmp_path):
    source = open_source("memory://listing/*.parquet")
    assert names_of(source) == [f"/listing/{number}.parquet" for number in range(3)]
    assert [file.size for file in source.files] == [
        memory.size(f"/listing/{number}.parquet") for number in range(3)
    ]
    assert source.rows is None
    assert numbers_of(source, tmp_path) == [0, 1, 10, 11, 20, 21]


def test_folders_that_match_are_no_files(memory):
    assert names_of(fsspec_source("memory://listing/*")) == [
        f"/listing/{number}.parquet" for number in range(3)
    ]


def test_one_file_in_memory_is_a_list_of_one_and_its_size_counts(memory, tmp_path):
    source = fsspec_source("memory://listing/1.parquet")
    assert numbers_of(source, tmp_path) == [10, 11]
    memory.pipe("/listing/1.parquet", parquet_of([3]))
    assert fsspec_source("memory://listing/1.parquet").fingerprint != source.fingerprint


def test_an_empty_file_has_a_size(memory):
    memory.pipe("/listing/empty", b"")
    assert fsspec_source("memory://listing/empty").files[0].size == 0


def test_a_url_of_this_machines_files_is_one_of_fsspec(tmp_path):
    folder = fill(tmp_path / "in", b=2, a=1)
    source = open_source(f"file://{folder}/*.parquet")
    assert [file.url for file in source.files] == [
        f"file://{folder}/{name}.parquet" for name in "ab"
    ]
    assert numbers_of(source, tmp_path / "work") == [100, 0, 1]
    assert sorted(path.name for path in folder.iterdir()) == ["a.parquet", "b.parquet"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("memory://nowhere/*.parquet", "no file matches"),
        ("memory://nowhere/a.parquet", "cannot be listed"),
        ("file:///nowhere/a.parquet", "cannot be listed"),
        ("nosuch://a/b", "cannot be listed"),
    ],
)
def test_what_fsspec_does_not_find_is_told(text, what):
    with pytest.raises(SourceError) as told:
        open_source(text)
    assert str(told.value).startswith(f"{text}: {what}")
