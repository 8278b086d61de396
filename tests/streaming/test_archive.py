"""Archives: every file once and in order, from any row on; a damaged one never ends early."""

import bz2
import gzip
import io
import lzma
import tarfile
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SourceError
from workbench.streaming.archive import ArchiveRows, local_archive

NAMES = st.text(st.characters(categories=["L", "N"], include_characters="-_. "), min_size=1)
LONG = st.just("folder/" * 30 + "name.wav")  # more than a header of 1988 holds
FILES = st.lists(st.tuples(NAMES | LONG, st.binary(max_size=1500)), max_size=9)
COMPRESSED = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("archive")


def tar_of(files, kind=tarfile.PAX_FORMAT, others=()):
    """Return an archive; before each file whose number is in `others` comes a folder and a link."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as archive:
        for number, (name, data) in enumerate(files):
            for other in (tarfile.DIRTYPE, tarfile.SYMTYPE) if number in others else ():
                entry = tarfile.TarInfo(f"other{number}")
                entry.type, entry.linkname = other, "elsewhere"
                archive.addfile(entry)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def placed(scratch, content):
    path = scratch / uuid.uuid4().hex
    path.write_bytes(content)
    return path


def read(path, row=0, batch_rows=3, **limits):
    batches = ArchiveRows(**limits)(path, file=0, row=row, batch_rows=batch_rows)
    return [(first, batch.to_pylist()) for first, batch in batches]


def flat(batches):
    return [(member["name"], member["content"]) for _, rows in batches for member in rows]


@settings(max_examples=60)
@given(st.data())
def test_reading_from_any_row_agrees_with_reading_all(scratch, data):
    files = data.draw(FILES)
    kind = data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    others = data.draw(st.sets(st.integers(0, 8)))
    compress = COMPRESSED[data.draw(st.sampled_from(sorted(COMPRESSED)))]
    batch_rows, row = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 10))
    most = data.draw(st.sampled_from([1, 700, 3000, 1 << 28]))
    path = placed(scratch, compress(tar_of(files, kind, others)))
    whole = read(path, 0, batch_rows, largest_batch=most)
    assert flat(whole) == [(name.rstrip("/"), content) for name, content in files]
    ends = [first + len(rows) for first, rows in whole]
    assert [first for first, _ in whole] == [0, *ends][: len(whole)]
    assert all(len(rows) <= batch_rows for _, rows in whole)
    wanted = [part for part, end in zip(whole, ends, strict=True) if end > row]
    assert read(path, row, batch_rows, largest_batch=most) == wanted


def test_a_batch_ends_before_it_holds_too_much_and_one_file_too_large_is_null(scratch):
    files = [("a", b"1" * 600), ("b", b"2" * 300), ("c", b"3" * 2000), ("d", b"4")]
    path = placed(scratch, tar_of(files))
    batches = read(path, 0, 100, largest_batch=1000, largest_member=1500)
    assert [first for first, _ in batches] == [0, 2, 3]
    assert flat(batches) == [files[0], files[1], ("c", None), files[3]]


def test_names_that_are_no_text_are_read(scratch):
    content = tar_of([("xxxx", b"1")], tarfile.GNU_FORMAT).replace(b"xxxx", b"\xff\xfe\x80x", 1)
    header = bytearray(content[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = placed(scratch, bytes(header) + content[512:])
    assert flat(read(path)) == [("???x", b"1")]


@pytest.mark.parametrize("compressed", sorted(COMPRESSED))
def test_an_archive_that_was_cut_off_anywhere_is_refused(scratch, compressed):
    files = [(f"{n}.wav", bytes([n]) * 700) for n in range(4)]
    whole = tar_of(files)
    content = COMPRESSED[compressed](whole)
    end = 4 * (512 + 1024) + 512 if not compressed else len(content)  # with its mark of the end
    step = 97 if not compressed else max(len(content) // 40, 1)
    for length in {*range(0, end, step), *range(512, end, 512), end - 1}:
        with pytest.raises(SourceError, match="is no whole archive"):
            read(placed(scratch, content[:length]))
    assert flat(read(placed(scratch, content))) == files


def test_a_damaged_header_is_refused_and_never_taken_for_the_end(scratch):
    files = [(f"{n}.wav", bytes([n]) * 700) for n in range(4)]
    whole = tar_of(files, tarfile.USTAR_FORMAT)
    for header in range(0, 4 * 1536, 1536):
        for at in range(header, header + 500, 7):
            bent = bytearray(whole)
            bent[at] ^= 0x15
            try:
                assert flat(read(placed(scratch, bytes(bent)))) == files
            except SourceError:
                continue
            assert 148 <= at - header < 156, at  # blanks of the sum itself


def test_a_damaged_body_of_a_compressed_archive_is_told(scratch):
    content = bytearray(gzip.compress(tar_of([("a.wav", bytes(range(256)) * 40)]), 1))
    content[-6] ^= 1  # of the check sum
    with pytest.raises(SourceError, match="is no whole archive"):
        read(placed(scratch, bytes(content)))


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100, b"\x1f\x8b\x08"])
def test_what_is_no_archive_is_refused(scratch, content):
    with pytest.raises(SourceError, match="is no whole archive"):
        read(placed(scratch, content))


def test_a_local_archive_is_known_by_its_size_and_both_its_ends(tmp_path):
    path = tmp_path / "a.tar"
    content = bytearray(3 << 20)
    seen = set()
    for change in (None, 0, -1):
        if change is not None:
            content[change] ^= 1
        path.write_bytes(content)
        file = local_archive(path, "a.tar")
        assert file.size == len(content)
        seen.add(file.digest)
    assert len(seen) == 3
    with pytest.raises(SourceError, match="cannot be read"):
        local_archive(tmp_path / "none.tar", "none.tar")
