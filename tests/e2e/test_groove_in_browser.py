"""A drawn groove in a real browser: all cells run, its sound is there and plays."""

import pytest
from lab import NOTEBOOKS, code_cells, until

pytestmark = pytest.mark.e2e

NAME = "groove_sample.ipynb"


def test_a_drawn_groove_is_seen_and_heard(page):
    page.open(NAME)
    page.run_all(code_cells(NOTEBOOKS / NAME))
    sound = page.page.locator("audio").first
    sound.scroll_into_view_if_needed()
    assert 2.0 < until(lambda: sound.evaluate("a => a.duration"), 10, "the sound") < 3.0
    sound.evaluate("a => a.play()")
    until(lambda: sound.evaluate("a => a.currentTime") > 0.5, 10, "half a second of it")
    pictures = page.page.locator(".jp-OutputArea img")
    assert pictures.count() >= 2
