import io
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import MusicError
from workbench.music import vorbis
from workbench.music.vorbis import vorbis_bytes


def tone(seconds, rate, channels=1):
    at = np.arange(round(seconds * rate)) / rate
    columns = [0.5 * np.sin(2 * np.pi * (220 + 110 * n) * at) for n in range(channels)]
    return columns[0] if channels == 1 else np.stack(columns, axis=1)


@settings(max_examples=15, deadline=None)
@given(
    seconds=st.floats(0.05, 3.5),
    rate=st.sampled_from([22_050, 44_100, 48_000]),
    channels=st.integers(1, 2),
)
def test_what_is_written_plays_as_long_and_sounds_alike(seconds, rate, channels):
    samples = tone(seconds, rate, channels)
    played, found = soundfile.read(io.BytesIO(vorbis_bytes(samples, rate)))
    assert (found, played.shape) == (rate, samples.shape)
    assert np.sqrt(np.mean((played - samples) ** 2)) < 0.06


def test_equal_samples_are_equal_bytes_at_another_time():
    first = vorbis_bytes(tone(1.5, 22_050), 22_050)
    time.sleep(1.1)  # libsndfile seeds the number of a stream by the clock
    assert vorbis_bytes(tone(1.5, 22_050), 22_050) == first


def test_a_page_keeps_the_checksum_that_libsndfile_gave_it_where_nothing_changes():
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", 22_050, 1, format="OGG", subtype="VORBIS") as file:
        file.write(tone(0.5, 22_050))
    page = content.getvalue()
    segments = page[26]
    page = bytearray(page[: 27 + segments + sum(page[27 : 27 + segments])])
    told = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    assert vorbis._checksum(bytes(page)) == told


@settings(max_examples=10, deadline=None)
@given(seconds=st.floats(0.05, 2.5), channels=st.integers(1, 2), quality=st.floats(0, 1))
def test_taking_the_tag_off_changes_no_sample_and_no_length(seconds, channels, quality):
    written = io.BytesIO()
    form = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}
    with soundfile.SoundFile(written, "w", 22_050, channels, **form) as file:
        for start in range(0, round(seconds * 22_050), 22_050):
            file.write(np.float32(tone(seconds, 22_050, channels)[start : start + 22_050]))
    content = vorbis_bytes(tone(seconds, 22_050, channels), 22_050, quality=quality)
    assert len(content) == len(written.getvalue())
    before, after = (soundfile.read(io.BytesIO(each))[0] for each in (written.getvalue(), content))
    assert np.array_equal(before, after)


def test_the_comment_header_counts_no_tag_and_names_its_encoder():
    content = vorbis_bytes(tone(0.5, 22_050), 22_050)
    at = content.index(b"\x03vorbis") + 7
    length = int.from_bytes(content[at : at + 4], "little")
    vendor = content[at + 4 : at + 4 + length]
    assert vendor.decode().startswith("Xiph.Org") and vendor.endswith(b" ")
    assert content[at + 4 + length : at + 9 + length] == bytes(4) + b"\x01"  # no tag, and the end
    assert b"ENCODER" not in content and b"libsndfile" not in content


def test_a_file_has_no_tags_and_better_quality_is_larger():
    small = vorbis_bytes(tone(2, 44_100), 44_100, quality=0.1)
    large = vorbis_bytes(np.random.default_rng(0).normal(0, 0.1, 88_200), 44_100, quality=0.9)
    with soundfile.SoundFile(io.BytesIO(small)) as file:
        assert not file.copy_metadata()
    assert len(small) < len(large)


@pytest.mark.parametrize("samples", [[], [[[0.0]]], [np.nan], [np.inf, 0]])
def test_what_is_no_sound_is_refused(samples):
    with pytest.raises(MusicError, match="columns of finite numbers"):
        vorbis_bytes(samples, 22_050)


def test_a_rate_that_vorbis_has_not_is_refused():
    with pytest.raises(MusicError, match="sample_rate 0 is outside"):
        vorbis_bytes([0.0], 0)


def test_more_channels_than_vorbis_has_are_refused():
    with pytest.raises(MusicError, match="2000 channels at 22050 Hz: cannot be written as Vorbis"):
        vorbis_bytes(np.zeros((10, 2000)), 22_050)
