"""Maps are found in one order whatever the disk says; a zip is read only if it is harmless."""

import io
import json
import os
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import map_archives
import pytest
from hypothesis import given
from hypothesis import strategies as st
from map_archives import map_files, with_entry, with_list_saying, zipped

from workbench.beatmap.maps.archives import LIMITS, ReadLimits, open_zip, read_through
from workbench.beatmap.maps.places import (
    ORIGIN_NAME,
    SERVICE_NAME,
    FolderFiles,
    Origin,
    map_places,
    opened_audio,
    origin_of,
    printable,
)
from workbench.errors import BeatmapError, SourceError

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:"), min_size=1
).filter(lambda name: name not in (".", ".."))


def write(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files or map_files()).items():
        (folder / name).write_bytes(content)
    return folder


def refusal(content: bytes, tmp_path: Path, limits: ReadLimits = LIMITS) -> str:
    """Return why a zip is refused, whether it is only opened or read through."""
    path = tmp_path / "map.zip"
    path.write_bytes(content)
    with pytest.raises(BeatmapError) as error:
        read_through(path, limits=limits)
    return error.value.kind


# --- where maps are


@pytest.mark.parametrize("info", ["Info.dat", "info.dat", "INFO.DAT", "info.json"])
def test_a_folder_is_a_map_by_its_info_in_any_case(tmp_path: Path, info: str) -> None:
    write(tmp_path / "a" / "b", {info: b"{}"})
    (tmp_path / "a" / "Info.dat.bak").write_bytes(b"")
    assert [place.name for place in map_places(tmp_path)] == ["a/b"]


def test_an_info_json_above_maps_does_not_swallow_them(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "below" / "two")
    (tmp_path / "info.json").write_text('{"title": "my maps"}')
    (tmp_path / "below" / "INFO.json").write_text("")
    assert [place.name for place in map_places(tmp_path)] == ["below/two", "one"]
    (tmp_path / "below" / "INFO.json").write_text('{"difficultyLevels": []}')
    assert [place.name for place in map_places(tmp_path)] == ["below", "one"]


def test_an_info_json_above_nothing_is_a_map_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "info.json").write_text("{")
    assert [place.name for place in map_places(tmp_path)] == ["a"]


def test_maps_come_in_the_order_of_their_names_whatever_was_made_first(tmp_path: Path) -> None:
    names = ["b", "a", "é", "z/y", "z-y", "Z", "日本", "a b"]
    for root, order in (("one", names), ("two", names[::-1])):
        for name in order:
            write(tmp_path / root / name)
            (tmp_path / root / f"{name}.ZIP").write_bytes(zipped(map_files()))
    found = [[place.name for place in map_places(tmp_path / root)] for root in ("one", "two")]
    assert found[0] == found[1]
    assert len(found[0]) == 2 * len(names)
    assert found[0] == sorted(found[0], key=str.encode)


def test_a_root_that_is_a_map_or_a_zip_is_that_map(tmp_path: Path) -> None:
    write(tmp_path / "map")
    (tmp_path / "map.zip").write_bytes(zipped(map_files()))
    assert [place.name for place in map_places(tmp_path / "map")] == ["."]
    assert [place.kind for place in map_places(tmp_path / "map.zip")] == ["zip"]


def test_hidden_folders_and_what_lies_below_a_map_are_passed_over(tmp_path: Path) -> None:
    for name in (".git/a", ".map.0123abcd.part", "map", "map/autosaves/1"):
        write(tmp_path / name)
    (tmp_path / ".half.zip").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [place.name for place in map_places(tmp_path)] == ["map"]


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        map_places(tmp_path / "nowhere")


def test_names_that_are_no_text_are_found_and_can_be_printed(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff")
    write(Path(folder))
    (place,) = map_places(tmp_path)
    assert place.name == r"caf\udce9 \udcff"
    json.dumps(place.name, ensure_ascii=False).encode()
    with place.open() as files:
        assert files.read("song.ogg") == map_archives.AUDIO


@given(st.text())
def test_any_name_can_be_printed(name: str) -> None:
    assert printable(name).encode().decode() == printable(name)


# --- files of a map


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=6))
def test_a_zip_gives_back_the_files_that_were_put_in(
    tmp_path_factory: pytest.TempPathFactory, extra: dict[str, bytes]
) -> None:
    folded: dict[str, bytes] = {name.casefold(): name for name in {**extra, **map_files()}}
    files = {name: {**extra, **map_files()}[name] for name in folded.values()}
    path = tmp_path_factory.mktemp("zip") / "map.zip"
    path.write_bytes(zipped(files))
    try:
        with open_zip(path) as opened:
            assert opened.names() == sorted(files)
            assert {name: opened.read(name) for name in files} == files
    except BeatmapError as error:
        assert error.kind == "duplicate_name"  # two writings of one accent


def test_a_folder_and_its_zip_hold_the_same(tmp_path: Path) -> None:
    write(tmp_path / "map")
    (tmp_path / "map.zip").write_bytes(zipped(map_files()))
    held = []
    for place in map_places(tmp_path):
        with place.open() as files, opened_audio(files, "song.ogg") as audio:
            held.append(({name: files.read(name) for name in files.names()}, audio.read()))
    assert held[0] == held[1] == (map_files(), map_archives.AUDIO)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_file_is_found_in_another_case_or_writing_but_never_elsewhere(
    tmp_path: Path, kind: str
) -> None:
    files = {**map_files(), "Cafe\u0301.ogg": b"decomposed", "a.dat": b"1"}
    write(tmp_path / "map", files)
    (tmp_path / "secret").write_bytes(b"no")
    path = tmp_path / "map.zip"
    path.write_bytes(zipped(files))
    place = next(place for place in map_places(tmp_path) if place.kind == kind)
    with place.open() as opened:
        assert opened.read("CAF\u00c9.OGG") == b"decomposed"
        for name in ("../secret", "/etc/hostname", "", ".", "b.dat", str(tmp_path / "secret")):
            with pytest.raises(BeatmapError) as error:
                opened.read(name)
            assert error.value.kind == "missing_file"


def test_two_files_of_nearly_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    write(tmp_path, {**map_files(), "A.dat": b"1", "a.DAT": b"2"})
    files = FolderFiles(tmp_path)
    assert files.read("A.dat") == b"1"
    with pytest.raises(BeatmapError, match=r"'A.dat' or 'a.DAT'"):
        files.read("a.dat")


def test_a_file_of_a_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BeatmapError) as error:
        FolderFiles(write(tmp_path), limits=ReadLimits(file_size=100)).read("song.ogg")
    assert error.value.kind == "too_large"


def test_a_map_in_the_one_folder_of_a_zip_is_found(tmp_path: Path) -> None:
    path = tmp_path / "map.zip"
    inner = {f"Song/{name}": content for name, content in map_files().items()}
    path.write_bytes(zipped({**inner, "readme.txt": b"", "Song/old/Info.dat": b"{}"}))
    with open_zip(path) as files:
        assert files.names() == sorted(map_files())


@pytest.mark.parametrize(
    ("files", "kind"),
    [({"a.dat": b""}, "no_info"), ({"a/Info.dat": b"", "b/info.dat": b""}, "several_maps")],
)
def test_a_zip_of_no_map_or_several_is_refused_when_opened(
    tmp_path: Path, files: dict[str, bytes], kind: str
) -> None:
    path = tmp_path / "map.zip"
    path.write_bytes(zipped(files))
    with pytest.raises(BeatmapError) as error, open_zip(path):
        pass
    assert error.value.kind == kind


# --- names of zips


def test_names_written_as_utf8_without_saying_so_are_read_as_utf8(tmp_path: Path) -> None:
    named = bytearray(zipped({**map_files(), "曲.ogg": b"sound"}))
    for mark, flags, at in ((b"PK\x03\x04", 6, 30), (b"PK\x01\x02", 8, 46)):
        start = named.find("曲.ogg".encode()) if mark[2] == 3 else named.rfind("曲.ogg".encode())
        struct.pack_into("<H", named, start - at + flags, 0)
    path = tmp_path / "map.zip"
    path.write_bytes(named)
    with open_zip(path) as files:
        assert files.read("曲.ogg") == b"sound"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/etc/passwd", "absolute_path"),
        ("\\windows\\x", "absolute_path"),
        ("//host/share/x", "absolute_path"),
        ("../x", "parent_path"),
        ("a/../../x", "parent_path"),
        ("a\\..\\x", "parent_path"),
        ("..", "parent_path"),
        ("C:\\x", "drive_letter"),
        ("c:x", "drive_letter"),
        ("a\nb", "bad_name"),
        ("SONG.OGG", "duplicate_name"),
        ("song.ogg", "duplicate_name"),
    ],
)
def test_a_name_that_leads_elsewhere_refuses_the_zip(
    tmp_path: Path, name: str, kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    assert refusal(with_entry(name), tmp_path) == kind


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_refuses_the_zip_and_so_does_any_other_thing(tmp_path: Path, kind: int) -> None:
    hostile = with_entry("x", b"/etc/passwd", external_attr=(kind | 0o777) << 16, create_system=3)
    assert refusal(hostile, tmp_path) == "link"
    hostile = with_entry("x", b"/etc/passwd", external_attr=(kind | 0o777) << 16, create_system=0)
    assert refusal(hostile, tmp_path) == "link"


# --- contents of zips


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_zip_is_refused(tmp_path: Path, flag: int) -> None:
    hostile = with_list_saying(zipped(map_files()), "song.ogg", flag=flag)
    assert refusal(hostile, tmp_path) == "encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_without_a_bound_on_memory_is_refused(tmp_path: Path, method: int) -> None:
    assert refusal(zipped(map_files(), method=method), tmp_path) == "bad_method"


def test_a_bomb_is_refused_by_its_list(tmp_path: Path) -> None:
    bomb = with_entry("bomb.dat", bytes(50_000_000))
    assert len(bomb) < 100_000
    assert refusal(bomb, tmp_path) == "bad_ratio"


def test_a_bomb_whose_list_lies_is_refused_while_it_is_read_and_fills_no_memory(
    tmp_path: Path,
) -> None:
    bomb = with_list_saying(with_entry("bomb.dat", bytes(50_000_000)), "bomb.dat", size=1000)
    tracemalloc.start()
    assert refusal(bomb, tmp_path) == "bad_zip"
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_list_that_says_more_than_there_is_is_refused(tmp_path: Path) -> None:
    more = with_list_saying(zipped(map_files()), "song.ogg", size=len(map_archives.AUDIO) + 1)
    assert refusal(more, tmp_path) == "bad_zip"


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (ReadLimits(files=3), "too_many_files"),
        (ReadLimits(file_size=4000), "too_large"),
        (ReadLimits(total_size=4800), "too_large"),
        (ReadLimits(ratio=2.0, free_size=10), "bad_ratio"),
    ],
)
def test_each_limit_refuses_what_is_beyond_it(
    tmp_path: Path, limits: ReadLimits, kind: str
) -> None:
    content = zipped(map_files())
    assert refusal(content, tmp_path, limits) == kind
    path = tmp_path / "map.zip"
    sizes = sum(map(len, map_files().values()))
    assert read_through(path, limits=ReadLimits(files=4, total_size=sizes)) == sizes


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """As the zip of a few megabytes that comes to petabytes."""
    whole = zipped({"Info.dat": b"{}", "a.dat": os.urandom(5000)})
    at = whole.find(b"PK\x01\x02", whole.find(b"PK\x01\x02") + 4)
    end = whole.rfind(b"PK\x05\x06")
    entry = whole[at:end]
    copies = b"".join(entry.replace(b"a.dat", b"%c.dat" % letter) for letter in b"bcdefgh")
    hostile = bytearray(whole[:end] + copies + whole[end:])
    count, size = struct.unpack_from("<HL", whole, end + 10)
    struct.pack_into("<HHL", hostile, end + len(copies) + 8, 9, 9, size + len(copies))
    assert count == 2
    (tmp_path / "map.zip").write_bytes(hostile)
    with pytest.raises(BeatmapError, match="share bytes"), open_zip(tmp_path / "map.zip"):
        pass


def test_a_list_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(30_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    tracemalloc.start()
    assert refusal(out.getvalue(), tmp_path) == "too_many_files"
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_wrong_byte_anywhere_is_a_reason_or_changes_nothing(tmp_path: Path) -> None:
    """Every byte of a small zip in turn: no other error, and never other files in silence."""
    files = {"Info.dat": b'{"a": [1, 2, 3]}' * 4, "a.ogg": zlib.compress(b"sound")}
    whole, path = zipped(files), tmp_path / "map.zip"
    kinds = set()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_through(path)
            with open_zip(path) as opened:
                held = {name: opened.read(name) for name in opened.names()}
            assert list(held.values()) == list(files.values()) or len(held) < 2
        except BeatmapError as error:
            kinds.add(error.kind)
    assert {"bad_zip", "bad_method", "encrypted"} <= kinds


@given(st.binary(max_size=400))
def test_bytes_that_are_no_zip_are_a_reason(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.zip"
    path.write_bytes(content)
    with pytest.raises(BeatmapError) as error:
        read_through(path)
    assert error.value.kind == "bad_zip"


@pytest.mark.parametrize("end", [0, 1, 100, 1000, -1, -10, -100])
def test_a_zip_that_was_cut_off_is_a_reason(tmp_path: Path, end: int) -> None:
    assert refusal(zipped(map_files())[:end], tmp_path) == "bad_zip"


def test_a_zip_that_is_gone_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "map.zip"
    path.write_bytes(zipped(map_files()))
    (place,) = map_places(path)
    path.unlink()
    with pytest.raises(BeatmapError) as error, place.open():
        pass
    assert error.value.kind == "io_error"


def test_thousands_of_folders_are_found_quickly(tmp_path: Path) -> None:
    for number in range(2000):
        write(tmp_path / f"{number:04}", {"info.dat": b"{}"})
    begun = time.process_time()
    assert len(map_places(tmp_path)) == 2000
    assert time.process_time() - begun < 2


# --- where maps came from


def test_a_zip_knows_its_origin_by_the_document_beside_it(tmp_path: Path) -> None:
    document = {"id": "1a2b", "versions": [], "stats": {"score": 0.9, "upvotes": 7}}
    (tmp_path / "a.zip").write_bytes(b"")
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "b.zip").write_bytes(b"")
    write(tmp_path / "c", {"Info.dat": b"{}", SERVICE_NAME: json.dumps(document).encode()})
    official = {"source": "official", "source_id": "Magic"}
    write(tmp_path / "d", {"Info.dat": b"{}", ORIGIN_NAME: json.dumps(official).encode()})
    write(tmp_path / "e", {"Info.dat": b"{}", ORIGIN_NAME: b"[1", SERVICE_NAME: b"[]"})
    served = Origin(source="service", source_id="1a2b", score=0.9, upvotes=7)
    assert [place.origin() for place in map_places(tmp_path)] == [
        served,
        Origin(source="zip"),
        served,
        Origin(source="official", source_id="Magic"),
        Origin(source="folder"),
    ]


@pytest.mark.parametrize(
    ("said", "score"),
    [
        (0.5, 0.5),
        (0, 0.0),
        (1, 1.0),
        (None, None),
        ("0.9", None),
        (True, None),
        (7, None),
        (float("nan"), None),
        (-0.1, None),
    ],
)
def test_a_map_that_nobody_rated_has_no_score_rather_than_the_best(
    said: object, score: float | None
) -> None:
    assert origin_of({"id": "1", "stats": {"score": said}}).score == score


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["id", "stats", "versions"]), JSON))
def test_whatever_a_document_holds_is_an_origin(document: dict[str, object]) -> None:
    assert origin_of(document).source == "service"
