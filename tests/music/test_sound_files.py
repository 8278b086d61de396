"""Sound files that are damaged, and samples at another rate."""

import io

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from workbench.music.sound_files import ForwardFile, SoundBytes, resampled

RATES = st.sampled_from([8000, 16_000, 22_050, 32_000, 44_100, 48_000])


@given(st.integers(1, 4000), RATES, RATES)
def test_samples_at_another_rate_last_as_long(count, rate, wanted):
    samples = np.sin(np.arange(count, dtype=np.float32) / 7)
    found = resampled(samples, rate, wanted)
    assert found.dtype == np.float32
    assert abs(len(found) - count * wanted / rate) <= 1
    assert (found is samples) == (rate == wanted)


@given(st.binary(max_size=20), st.integers(-30, 30))
def test_a_place_before_the_start_is_the_start(content, place):
    assert SoundBytes(content).seek(place) == max(place, 0)


def test_an_mp3_file_that_is_read_in_blocks_is_the_same_as_in_one():
    tone = np.sin(np.arange(30_000) / 20).astype(np.float32) / 2
    file = io.BytesIO()
    soundfile.write(file, tone, 22_050, format="MP3")
    with ForwardFile(SoundBytes(file.getvalue())) as whole:
        expected = whole.read(len(tone) + 10_000, dtype="float32")
    with ForwardFile(SoundBytes(file.getvalue())) as parts:
        blocks = [parts.read(1000, dtype="float32") for _ in range(len(expected) // 1000 + 1)]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
