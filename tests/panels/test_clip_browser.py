"""Clips of a dataset, page by page: what the page gets, and what stays where no page runs."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SpeechError
from workbench.panels.clip_browser import ClipBrowser, peaks
from workbench.speech.published import Clip

RATE = 8000


def clips_of(count, seconds=0.05):
    """Return clips whose sound differs from one to the next."""
    wave = np.sin(np.arange(round(seconds * RATE)))
    return [
        Clip(
            id=f"S{number}",
            transcript=f"word {number}",
            confidence=1.0,
            samples=(wave * (number + 1) / (count + 1)).astype(np.float32),
            sample_rate=RATE,
        )
        for number in range(count)
    ]


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 5))
def test_all_pages_together_are_all_clips_once_and_in_order(count, page_clips):
    browser = ClipBrowser(clips_of(count, 0.01), page_clips=page_clips, kept=0)
    found = []
    for page in range(browser.pages):
        browser.page = page
        assert 1 <= len(browser.clips) <= page_clips
        found += [clip["id"] for clip in browser.clips]
    assert found == [f"S{number}" for number in range(count)]


@pytest.mark.parametrize(("asked", "got"), [(-1, 0), (99, 2)])
def test_a_page_that_is_not_there_is_the_first_or_the_last(asked, got):
    browser = ClipBrowser(clips_of(6), page_clips=2)
    browser.page = asked
    assert browser.page == got
    assert browser.clips[0]["id"] == f"S{2 * got}"


def test_a_clip_is_heard_to_the_last_bit():
    (clip,) = clips_of(1)
    (packed,) = ClipBrowser([clip]).clips
    samples, rate = soundfile.read(io.BytesIO(packed["audio"]), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, clip.samples, atol=2**-15)
    assert packed["seconds"] == clip.seconds
    assert packed["told"].startswith("S0: 0.05 s, ")


@given(st.lists(st.integers(-100, 100), max_size=60), st.integers(1, 20))
def test_a_wave_has_the_greatest_sample_of_each_part(numbers, count):
    found = peaks(np.array(numbers, np.float32), count)
    assert len(found) == min(len(numbers), count)
    if len(found):
        most = max(abs(number) for number in numbers) or 1
        parts = [len(numbers) * part // len(found) for part in range(len(found) + 1)]
        for peak, begin, end in zip(found, parts, parts[1:], strict=False):
            wanted = 255 * max(abs(number) for number in numbers[begin:end]) / most
            assert abs(peak - wanted) <= 0.5 + 1e-9


def test_the_first_clips_stay_in_a_saved_notebook():
    browser = ClipBrowser(clips_of(7), kept=2)
    assert browser.still() == "7 clips, 2 pages"
    assert [clip.id for clip in browser.kept().clips] == ["S0", "S1"]
    assert browser.kept()._repr_html_().count("<audio") == 2


def test_no_clips_are_one_empty_page():
    browser = ClipBrowser([])
    assert (browser.clips, browser.pages, browser.still()) == ([], 1, "0 clips, 1 pages")


def test_pages_without_clips_are_refused():
    with pytest.raises(SpeechError, match="0 clips a page; give 1 or more"):
        ClipBrowser(clips_of(1), page_clips=0)
