"""Arrays written piece by piece: NumPy's own bytes, and NumPy's own reading."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.caching.arrays import ArrayWriter, opened_array
from workbench.errors import CachingError

DTYPES = ["<u4", "<u8", "<i8", "<f8", "|u1", "<u2"]
PIECES = st.lists(st.lists(st.integers(0, 255), max_size=30), max_size=6)


def written(path, dtype, pieces):
    with ArrayWriter(path, dtype) as writer:
        for number, piece in enumerate(pieces):
            writer.append(np.array(piece, dtype))
            assert writer.length == sum(map(len, pieces[: number + 1]))
    return path


@settings(max_examples=60, deadline=None)
@given(PIECES, st.sampled_from(DTYPES))
def test_what_is_written_in_pieces_has_the_bytes_that_numpy_saves(tmp_path_factory, pieces, dtype):
    path = written(tmp_path_factory.mktemp("arrays") / "a.npy", dtype, pieces)
    whole = np.array([value for piece in pieces for value in piece], dtype)
    saved = io.BytesIO()
    np.save(saved, whole)
    assert path.read_bytes() == saved.getvalue()
    for array in (opened_array(path), np.load(path, allow_pickle=False)):
        assert array.dtype == np.dtype(dtype)
        assert np.array_equal(array, whole)


def test_pieces_of_other_types_and_strides_are_written_as_the_arrays_type(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", "<u8") as writer:
        writer.append(np.arange(6, dtype=np.uint32)[::2])
        writer.append(np.arange(3, dtype=">u8"))
    assert opened_array(tmp_path / "a.npy").tolist() == [0, 2, 4, 0, 1, 2]


def test_an_array_is_mapped_and_not_read(tmp_path):
    path = tmp_path / "a.npy"
    with ArrayWriter(path, "<u8") as writer:
        writer.append(np.arange(1000))
    array = opened_array(path)
    assert isinstance(array.base, np.memmap)
    assert not array.flags.writeable
    with path.open("r+b") as file:
        file.seek(128 + 8 * 500)
        file.write((7).to_bytes(8, "little"))
    assert array[500] == 7


def test_a_header_has_room_for_any_length(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", "<u8") as writer:
        writer.length = 10**15
    header = (tmp_path / "a.npy").read_bytes()
    assert len(header) == 128
    assert b"'shape': (1000000000000000,)" in header


def npz(path):
    np.savez(path.open("wb"), a=np.arange(300))


def objects(path):
    np.save(path.open("wb"), np.array([{}] * 100, object), allow_pickle=True)


def cut(path):
    written(path, "<u8", [range(100)])
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_the_header(path):
    written(path, "<u8", [range(100)])
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"text" * 100),
        lambda path: path.mkdir(),
        lambda path: zipfile.ZipFile(path, "w").close(),
        npz,
        objects,
        cut,
        cut_in_the_header,
    ],
    ids=["none", "empty", "text", "folder", "zip", "npz", "objects", "cut", "header"],
)
def test_what_is_no_whole_array_is_refused_by_name(tmp_path, spoil):
    spoil(tmp_path / "a.npy")
    with pytest.raises(CachingError, match=r"a\.npy: no readable array"):
        opened_array(tmp_path / "a.npy")
