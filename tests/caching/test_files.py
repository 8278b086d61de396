"""Files and folders that appear whole or not at all: under exceptions, interrupts and kills."""

import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from workbench.caching.files import refuse_other, replacing, replacing_folder, sweep
from workbench.errors import CachingError


def tree(folder):
    """Return every path below a folder, and each file's content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(params=["new", "replaced"])
def place(request, tmp_path):
    """Return where a file goes, which is there already or not."""
    path = tmp_path / "result.bin"
    if request.param == "replaced":
        path.write_bytes(b"old")
    return path


@pytest.fixture(params=["new", "replaced"])
def folder_place(request, tmp_path):
    """Return where a folder goes, which is there already or not."""
    path = tmp_path / "result"
    if request.param == "replaced":
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "old.txt").write_bytes(b"old")
    return path


# --- a file


def test_a_file_is_there_when_its_block_ends_and_not_before(place):
    before = tree(place.parent)
    with replacing(place) as scratch:
        scratch.write_bytes(b"new")
        assert scratch.parent == place.parent  # else the rename would be a copy
        assert {name: tree(place.parent).get(name) for name in before} == before
    assert tree(place.parent) == {"result.bin": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_file_whose_block_fails_is_as_before(place, error):
    before = tree(place.parent)
    wanted = CachingError if error is OSError else error
    with pytest.raises(wanted), replacing(place) as scratch:
        scratch.write_bytes(b"half of it")
        raise error("half way")
    assert tree(place.parent) == before


def test_a_file_that_is_never_written_is_told(place):
    before = tree(place.parent)
    with pytest.raises(CachingError, match=r"result\.bin: could not be written"), replacing(place):
        pass
    assert tree(place.parent) == before


def test_a_file_makes_the_folders_above_it(tmp_path):
    with replacing(tmp_path / "a" / "b" / "c.txt") as scratch:
        scratch.write_text("content")
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/c.txt": b"content"}


@pytest.mark.parametrize(
    ("there", "said"), [("dir/c.txt", "Is a directory"), ("file", "Not a directory|exists")]
)
def test_a_place_that_cannot_be_is_told_and_left_alone(tmp_path, there, said):
    (tmp_path / "dir" / "c.txt").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    path = tmp_path / (there if there == "dir/c.txt" else "file/c.txt")
    with pytest.raises(CachingError, match=said), replacing(path) as scratch:
        scratch.write_text("content")
    assert tree(tmp_path) == before


# --- a folder


def test_a_folder_is_there_when_its_block_ends_and_not_before(folder_place):
    before = tree(folder_place.parent)
    with replacing_folder(folder_place) as scratch:
        (scratch / "new").mkdir()
        (scratch / "new" / "a.txt").write_bytes(b"new")
        assert scratch.parent == folder_place.parent
        assert {name: tree(folder_place.parent).get(name) for name in before} == before
    assert tree(folder_place.parent) == {
        "result": None,
        "result/new": None,
        "result/new/a.txt": b"new",
    }


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_folder_whose_block_fails_is_as_before(folder_place, error):
    before = tree(folder_place.parent)
    wanted = CachingError if error is OSError else error
    with pytest.raises(wanted), replacing_folder(folder_place) as scratch:
        (scratch / "a.txt").write_bytes(b"half of it")
        raise error("half way")
    assert tree(folder_place.parent) == before


STOPPED = """
import sys
from pathlib import Path
from workbench.caching.files import replacing_folder
path, wanted = Path(sys.argv[1]), int(sys.argv[2])
renames = 0

def stop(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == wanted:
            raise KeyboardInterrupt

sys.addaudithook(stop)
try:
    with replacing_folder(path) as scratch:
        (scratch / "a.txt").write_text("new")
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("rename", [1, 2])
def test_a_stop_between_the_renames_leaves_the_older_folder(folder_place, rename):
    is_new = not folder_place.exists()
    before = tree(folder_place.parent)
    command = [sys.executable, "-c", STOPPED, str(folder_place), str(rename)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    if is_new and rename == 2:  # there was nothing to move away
        assert tree(folder_place.parent) == {"result": None, "result/a.txt": b"new"}
    else:
        assert found.stdout == "stopped\n"
        assert tree(folder_place.parent) == before


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path):
    (tmp_path / "result").write_text("mine")
    place = tmp_path / "result"
    with pytest.raises(CachingError, match="a file is there"), replacing_folder(place) as scratch:
        (scratch / "a.txt").write_text("new")
    assert tree(tmp_path) == {"result": b"mine"}


FULL = """
import resource, sys
from pathlib import Path
from workbench.caching.files import replacing, replacing_folder
from workbench.errors import CachingError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
top = Path(sys.argv[1])
for kind, name in ((replacing, "file"), (replacing_folder, "folder")):
    try:
        with kind(top / name) as scratch:
            (scratch if name == "file" else scratch / "a.bin").write_bytes(bytes(10_001))
    except CachingError as error:
        print(error)
"""


def test_what_there_is_no_room_for_leaves_nothing_behind(tmp_path):
    found = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.partition(": ")[2] for line in found.stdout.splitlines()] == [
        "could not be written (File too large)"
    ] * 2
    assert tree(tmp_path) == {}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10_000


# --- kills

KILLED = """
import itertools, os, signal, sys, threading
from pathlib import Path
from workbench.caching.files import replacing, replacing_folder
top = Path(sys.argv[1])
threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
for number in itertools.count():
    content = str(number).encode() * 20_000
    with replacing(top / "file") as scratch:
        scratch.write_bytes(content)
    with replacing_folder(top / "folder") as scratch:
        for name in "abc":
            (scratch / name).write_bytes(content)
"""


@pytest.mark.parametrize(
    "kills", [pytest.param(4, id="few"), pytest.param(60, id="many", marks=pytest.mark.soak)]
)
def test_a_kill_at_any_instant_leaves_each_whole(tmp_path, kills):
    rounds = 0
    for kill in range(kills):
        delay = 0.04 + 0.0073 * kill % 0.05
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(delay)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == -signal.SIGKILL, found.stderr
        (content,) = {(tmp_path / "file").read_bytes()}
        number = content[: len(content) // 20_000]
        assert content == number * 20_000
        rounds += int(number) > 0
        sweep(tmp_path / "file")
        sweep(tmp_path / "folder")
        assert {path.name for path in tmp_path.iterdir()} <= {"file", "folder"}
        if (tmp_path / "folder").exists():
            assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == ["a", "b", "c"]
            (content,) = {file.read_bytes() for file in (tmp_path / "folder").iterdir()}
            assert len(content) % 20_000 == 0
    assert rounds > kills // 2
    assert (tmp_path / "folder").is_dir()


def test_sweeping_puts_an_older_folder_back_that_a_kill_left_aside(folder_place):
    if not folder_place.exists():
        folder_place.mkdir()
    before = tree(folder_place)
    folder_place.rename(folder_place.with_name(".result.0123abcd.part.old"))
    folder_place.with_name(".result.0123abcd.part").mkdir()
    (folder_place.with_name(".result.0123abcd.part") / "a.txt").write_bytes(b"half of it")
    sweep(folder_place)
    assert tree(folder_place) == before
    assert [path.name for path in folder_place.parent.iterdir()] == ["result"]


def test_sweeping_keeps_the_newer_folder_and_other_peoples_files(tmp_path):
    (tmp_path / "a[b]").mkdir()
    (tmp_path / "a[b]" / "new.txt").touch()
    for name in (".a[b].0123abcd.part.old", ".a[b].4567abcd.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / ".a[b].89ababcd.part").write_bytes(b"a file's scratch")
    strangers = {".b.0123abcd.part", ".a[b].part", ".a[b].0123abcx.part", "a[b].0123abcd.part"}
    for name in strangers:
        (tmp_path / name).touch()
    sweep(tmp_path / "a[b]")
    assert {path.name for path in tmp_path.iterdir()} == {"a[b]", *strangers}
    assert (tmp_path / "a[b]" / "new.txt").exists()


def test_writers_at_once_each_write_a_whole_file(tmp_path):
    contents = [bytes([65 + number]) * 50_000 for number in range(4)]

    def write(content):
        for _ in range(5):
            with replacing(tmp_path / "file") as scratch:
                scratch.write_bytes(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "file").exists():
            seen.add((tmp_path / "file").read_bytes())
    for thread in threads:
        thread.join()
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


# --- places that are taken


def test_a_folder_that_holds_something_else_is_not_to_be_replaced(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "song.mid").touch()
    (tmp_path / "file").touch()
    for place in ("music", "file"):
        with pytest.raises(CachingError, match=f"{place}: holds something else"):
            refuse_other(tmp_path / place, "model.json")


def test_a_new_place_an_empty_folder_and_an_older_result_may_be_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").touch()
    (tmp_path / "model" / "notes.txt").touch()
    for place in ("new", "empty", "model"):
        refuse_other(tmp_path / place, "model.json")
