"""WAV files written beside the standard library's, and samples found in any."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.errors import MusicError
from workbench.music.wav import find_samples, pcm_wav_bytes, wav_bytes

columns = arrays.arrays(np.int16, st.integers(0, 300))


def chunk(name, body, *, size=None):
    return (
        name + struct.pack("<I", len(body) if size is None else size) + body + len(body) % 2 * b"\0"
    )


def riff(*chunks, size=None):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def form(tag=1, channels=1, rate=16_000, bits=16, rest=b""):
    frame = channels * bits // 8
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + rest
    )


@given(columns, st.integers(1, 768_000))
def test_what_is_written_is_what_the_standard_library_writes(pcm, rate):
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm.astype("<i2").tobytes())
    assert pcm_wav_bytes(pcm, rate) == content.getvalue()


@given(columns, st.integers(1, 768_000))
def test_what_is_written_is_found_again(pcm, rate):
    content = pcm_wav_bytes(pcm, rate)
    found = find_samples(content)
    assert (found.dtype, found.channels, found.sample_rate) == ("<i2", 1, rate)
    assert (found.start, found.size, found.missing) == (44, 2 * len(pcm), 0)


@given(columns.filter(len), st.data())
def test_each_byte_that_is_cut_off_is_missing(pcm, data):
    content = pcm_wav_bytes(pcm, 8000)
    cut = data.draw(st.integers(1, 2 * len(pcm)))
    found = find_samples(content[:-cut])
    assert (found.size, found.missing) == (2 * len(pcm) - cut, cut)


@given(st.lists(st.tuples(st.sampled_from([b"LIST", b"fact", b"bext"]), st.binary(max_size=9))))
def test_chunks_before_and_after_the_samples_are_passed_over(others):
    chunks = [chunk(name, body) for name, body in others]
    content = riff(*chunks, form(), *chunks, chunk(b"data", b"abcd"), *chunks)
    found = find_samples(content)
    assert content[found.start :][: found.size] == b"abcd"
    assert found.missing == 0


@pytest.mark.parametrize(
    ("file_size", "size"),
    [
        (0, 0),
        (0xFFFFFFFF, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (0x80000024, 0x80000000),
    ],
)
def test_the_size_of_a_streaming_encoder_means_all_that_follows(file_size, size):
    content = riff(form(), chunk(b"data", b"abcd", size=size), size=file_size)
    found = find_samples(content)
    assert (found.size, found.missing) == (4, 0)


def test_no_samples_under_a_whole_header_are_none_and_not_what_follows():
    found = find_samples(riff(form(), chunk(b"data", b""), chunk(b"LIST", b"abcd")))
    assert (found.size, found.missing) == (0, 0)


GUID = bytes.fromhex("000000001000800000aa00389b71")


@pytest.mark.parametrize(
    ("made", "dtype"),
    [
        (form(bits=8), "|u1"),
        (form(bits=32), "<i4"),
        (form(tag=3, bits=32), "<f4"),
        (form(tag=3, bits=64), "<f8"),
        (form(tag=0xFFFE, rest=struct.pack("<HHIH", 22, 16, 4, 1) + GUID), "<i2"),
        (form(tag=0xFFFE, rest=struct.pack("<HHIH", 22, 0, 4, 1) + GUID), "<i2"),
        (form(tag=0xFFFE, rest=struct.pack("<HHIH", 22, 12, 4, 1) + GUID), ""),
        (form(tag=0xFFFE, rest=struct.pack("<HHIH", 22, 16, 4, 1) + GUID[::-1]), ""),
        (form(tag=0xFFFE), ""),
        (form(bits=24), ""),
        (form(bits=12), ""),
        (form(tag=2), ""),
        (form(tag=17), ""),
        (form(channels=0), ""),
    ],
)
def test_a_type_is_told_only_where_numpy_has_it(made, dtype):
    assert find_samples(riff(made, chunk(b"data", b"abcdefgh"))).dtype == dtype


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        riff(),
        riff(form()),
        riff(chunk(b"data", b"abcd")),
        riff(chunk(b"data", b"abcd"), form()),
        riff(form())[:30] + chunk(b"data", b""),
        b"RIFX" + riff(form(), chunk(b"data", b"abcd"))[4:],
        riff(form(), chunk(b"data", b"abcd")).replace(b"WAVE", b"AVI "),
    ],
)
def test_a_file_that_is_none_has_no_samples(content):
    assert find_samples(content) is None


@given(st.binary(max_size=80))
def test_any_bytes_after_a_good_start_are_read_without_a_mistake(rest):
    found = find_samples(riff(form()) + rest)
    assert found is None or 0 <= found.size <= len(rest)


def test_floats_become_the_nearest_of_16_bits_and_what_is_outside_is_clipped():
    samples = np.array([0, 0.25, -0.5, 1, -1, 3, -3])
    pcm = np.frombuffer(wav_bytes(samples, 8000)[44:], "<i2")
    assert pcm.tolist() == [0, 8192, -16384, 32767, -32767, 32767, -32767]


@pytest.mark.parametrize("samples", [[np.nan], [np.inf], [[0.0]]])
def test_what_is_no_column_of_numbers_is_refused(samples):
    with pytest.raises(MusicError, match="one column of finite numbers"):
        wav_bytes(samples, 8000)


@pytest.mark.parametrize(("count", "rate"), [(2**31, 8000), (1, 0), (1, 2**31)])
def test_what_a_header_cannot_say_is_refused(count, rate):
    pcm = np.broadcast_to(np.int16(0), count)  # takes no memory
    with pytest.raises(MusicError, match="cannot hold"):
        pcm_wav_bytes(pcm, rate)
