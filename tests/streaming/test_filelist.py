"""Lists of files: their order is kept, and their fingerprint tells every change."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import StreamingError
from workbench.streaming.filelist import MISSING, FileList, first_occurrences, listed, walked

NAMES = st.lists(
    st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), min_size=1, max_size=9)
    .filter(lambda name: name.strip())
    .filter(lambda name: len(name.encode()) < 200),
    min_size=1,
    max_size=12,
)
CONTENTS = st.lists(st.sampled_from([b"", b"a", b"b", b"ab", b"ba"]), max_size=12)


def filled(folder, contents):
    """Write files by name; a name may hold folders."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


# --- names and sizes


@given(NAMES)
def test_a_list_gives_its_names_in_their_order(names):
    files = FileList(Path("/nowhere"), names)
    assert len(files) == len(names)
    assert [files.name(index) for index in range(len(files))] == names
    assert list(files) == [Path("/nowhere") / name for name in names]
    assert files.sizes.tolist() == [MISSING] * len(names)


def test_sizes_are_those_of_the_files_and_missing_where_there_is_none(tmp_path):
    filled(tmp_path, {"a.mid": b"12345", "b.mid": b""})
    os.mkfifo(tmp_path / "pipe")
    names = ["a.mid", "b.mid", "gone.mid", ".", "pipe", "z\0ro", str(tmp_path / "a.mid"), "x" * 999]
    sizes = FileList(tmp_path, names).sizes
    assert sizes.dtype == np.int64
    assert sizes.tolist() == [5, 0, MISSING, MISSING, MISSING, MISSING, 5, MISSING]


def test_names_that_are_no_utf_8_are_kept_byte_by_byte(tmp_path):
    (tmp_path / os.fsdecode(b"\xff\xfe.mid")).write_bytes(b"abc")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe.mid\n")
    for files in (listed(tmp_path / "list.txt"), walked(tmp_path, (".mid",))):
        assert os.fsencode(files.name(0)) == b"\xff\xfe.mid"
        assert files.sizes.tolist() == [3]
        assert files[0].read_bytes() == b"abc"
        assert files.fingerprint(files.digests())


# --- fingerprints and contents


@given(NAMES, st.data())
def test_a_fingerprint_tells_every_other_list_of_names(names, data):
    files = FileList(Path("/nowhere"), names)
    assert FileList(Path("/elsewhere"), names).fingerprint() == files.fingerprint()
    other = data.draw(st.one_of(st.permutations(names), NAMES, st.just([*names, "one more"])))
    is_same = FileList(Path("/nowhere"), other).fingerprint() == files.fingerprint()
    assert is_same == (other == names)


def test_names_joined_in_another_way_are_another_list():
    one, other = (FileList(Path("/x"), names).fingerprint() for names in (["ab", "c"], ["a", "bc"]))
    assert one != other


def test_a_fingerprint_tells_changed_sizes_and_with_digests_changed_contents(tmp_path):
    filled(tmp_path, {"a": b"12345", "b": b"1"})
    found = []
    for content in (b"12345", b"12346", b"123456"):
        (tmp_path / "a").write_bytes(content)
        files = FileList(tmp_path, ["a", "b"])
        found.append((files.fingerprint(), files.fingerprint(files.digests())))
    assert found[0][0] == found[1][0] != found[2][0]  # the first two are of one size
    assert len({with_digests for _, with_digests in found}) == 3
    assert not {plain for plain, _ in found} & {with_digests for _, with_digests in found}


@settings(max_examples=40, deadline=None)
@given(CONTENTS)
def test_the_first_of_each_content_is_found(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("contents")
    names = [f"{number}.mid" for number in range(len(contents))]
    filled(folder, dict(zip(names, contents, strict=True)))
    is_first = first_occurrences(FileList(folder, names).digests())
    assert is_first.tolist() == [content not in contents[:i] for i, content in enumerate(contents)]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_equal_digests_are_found_by_both_of_their_halves(values):
    digests = b"".join((v // 2).to_bytes(8, "little") + (v % 2).to_bytes(8, "big") for v in values)
    is_first = first_occurrences(np.frombuffer(digests, "V16"))
    assert is_first.tolist() == [value not in values[:i] for i, value in enumerate(values)]


def test_digests_are_of_contents_and_of_names_where_a_file_is_not_read(tmp_path):
    filled(tmp_path, {"a": b"same", "b": b"same", "big": b"same but larger"})
    ticks = []
    files = FileList(tmp_path, ["a", "gone", "b", "gone", "big", "other"])
    digests = files.digests(max_bytes=10, tick=ticks.append)
    assert ticks == [0, 1, 2, 3, 4, 5]
    assert digests[0].tobytes() == hashlib.blake2b(b"same", digest_size=16).digest()
    assert first_occurrences(digests).tolist() == [True, True, False, False, True, True]
    assert files.digests()[4] != digests[4]


# --- lists in text files


@settings(max_examples=60, deadline=None)
@given(NAMES, st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.booleans())
def test_a_list_written_line_by_line_is_read_again(tmp_path_factory, names, end, has_last, has_bom):
    path = tmp_path_factory.mktemp("list") / "list.txt"
    names = [name.removeprefix("\ufeff") or "x" for name in names]
    text = end.join(names) + (end if has_last else "")
    path.write_bytes((b"\xef\xbb\xbf" if has_bom else b"") + text.encode())
    files = listed(path)
    assert [files.name(index) for index in range(len(files))] == names


def test_names_start_from_the_lists_folder_when_any_file_is_there(tmp_path, monkeypatch):
    filled(tmp_path, {"lists/b.mid": b"beside", "work/a.mid": b"here", "work/b.mid": b"here"})
    monkeypatch.chdir(tmp_path / "work")
    filled(tmp_path, {"lists/list.txt": b"a.mid\nb.mid\n"})
    files = listed(tmp_path / "lists" / "list.txt")
    assert files.root == tmp_path / "lists"
    assert files.sizes.tolist() == [MISSING, 6]


def test_names_start_from_the_current_folder_when_none_is_beside_the_list(tmp_path, monkeypatch):
    filled(tmp_path, {"lists/list.txt": b"a.mid\n", "work/a.mid": b"here"})
    monkeypatch.chdir(tmp_path / "work")
    assert listed(tmp_path / "lists" / "list.txt").sizes.tolist() == [4]


def test_a_relative_list_is_found_beside_itself(tmp_path, monkeypatch):
    filled(tmp_path, {"lists/list.txt": b"a.mid\n", "lists/a.mid": b"beside"})
    monkeypatch.chdir(tmp_path)
    assert listed(Path("lists/list.txt")).sizes.tolist() == [6]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the list is empty"),
        (b"\n \r\n\t\n", "the list is empty"),
        (b"MThd\0\0\0\6", "is no text"),
        (None, "no readable list of files"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(StreamingError, match=said) as caught:
        listed(tmp_path / "list.txt")
    assert str(caught.value).startswith(str(tmp_path / "list.txt"))


def test_a_folder_in_place_of_a_list_is_told_where_it_belongs(tmp_path):
    with pytest.raises(StreamingError, match="is a folder, give it as LOOP_DIR"):
        listed(tmp_path)


# --- folders


def test_a_folder_is_walked_at_any_depth_in_the_order_of_names(tmp_path):
    contents = [
        "b.mid",
        "B/x.MID",
        "a/z.midi",
        "a.mid",
        "a/b/c.mid",
        "readme.txt",
        "mid",
        "x.mid.bak",
    ]
    filled(tmp_path, dict.fromkeys(contents, b""))
    (tmp_path / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    files = walked(tmp_path, (".mid", ".midi"))
    found = [files.name(index) for index in range(len(files))]
    assert found == ["B/x.MID", "a.mid", "a/b/c.mid", "a/z.midi", "b.mid"]
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize(
    ("there", "said"),
    [("no/such", "is no folder"), ("a.txt", "is no folder"), ("empty", "holds no file ending in")],
)
def test_a_folder_without_files_is_refused(tmp_path, there, said):
    filled(tmp_path, {"a.txt": b""})
    (tmp_path / "empty").mkdir()
    with pytest.raises(StreamingError, match=said):
        walked(tmp_path / there, (".mid",))


WALK = """
import logging, sys
from pathlib import Path
from workbench.streaming.filelist import walked
logging.basicConfig(format="%(message)s")
print(len(walked(Path(sys.argv[1]), (".mid",))))
"""


def test_a_folder_that_cannot_be_opened_is_passed_over_by_name(tmp_path, obey_permissions):
    filled(tmp_path, {"a.mid": b"", "locked/b.mid": b""})
    (tmp_path / "locked").chmod(0)
    found = subprocess.run(
        [sys.executable, "-B", "-c", WALK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=obey_permissions,
    )
    (tmp_path / "locked").chmod(0o700)
    assert found.stdout == "1\n"
    assert found.stderr == f"skipped the folder {tmp_path / 'locked'}: Permission denied\n"
