"""A drawn groove in a real browser: all cells run, its sound is there and plays."""

import pytest
from lab import NOTEBOOKS, code_cells, until

pytestmark = pytest.mark.e2e

NAME = "groove_sample.ipynb"


def test_a_drawn_groove_is_seen_and_heard(page):
    page.open(NAME)
    page.run_all(code_cells(NOTEBOOKS / NAME))
    player = page.page.locator(".wb-groove")
    player.scroll_into_view_if_needed()
    sound = player.locator("audio")
    # Eight bars at 100 quarter notes a minute
    assert 19.1 < until(lambda: sound.evaluate("a => a.duration"), 10, "the sound") < 19.3
    before = player.locator("canvas").screenshot()
    player.locator("[data-action=play]").click()
    until(lambda: sound.evaluate("a => a.currentTime") > 0.5, 10, "half a second of it")
    assert player.locator("canvas").screenshot() != before
    pictures = page.page.locator(".jp-OutputArea img")
    assert pictures.count() >= 2
