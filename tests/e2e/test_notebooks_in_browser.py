"""Every notebook in a real browser: all its cells run, and what can be used is used.

Pictures of each page, light and dark, are kept under outputs/e2e.
"""

import pytest
from lab import NOTEBOOKS, code_cells, until

pytestmark = pytest.mark.e2e

ARTEFACTS = NOTEBOOKS.parent / "outputs" / "e2e"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
TALLEST = 16_000  # pixels of a picture


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_its_panels_can_be_used(page, name):
    notebook = f"{name}.ipynb"
    page.open(notebook)
    page.run_all(code_cells(NOTEBOOKS / notebook), seconds=240)
    failed = page.page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert failed.all_inner_texts() == []
    for number in range(page.page.locator("audio[controls]").count()):
        plays(page.page.locator("audio[controls]").nth(number))
    for number in range(page.page.locator(".wb-map").count()):
        use_map(page, page.page.locator(".wb-map").nth(number))
    for theme in ("Light", "Dark"):
        page.look(theme)
        page.keep(ARTEFACTS / f"{name}-{theme.lower()}.png", TALLEST)


def plays(sound):
    """Hear a tenth of a second of a sound."""
    sound.scroll_into_view_if_needed()
    until(lambda: sound.evaluate("a => a.duration") > 0.5, 10, "the sound")
    sound.evaluate("a => a.play()")
    until(lambda: sound.evaluate("a => a.currentTime") > 0.1, 10, "a tenth of a second of it")
    sound.evaluate("a => a.pause()")


def use_map(page, viewer):
    """Play a map, zoom, go to its end by the keyboard, and choose each of its charts."""
    viewer.scroll_into_view_if_needed()
    canvas = viewer.locator("canvas").first

    def head():
        return float(canvas.get_attribute("aria-valuenow"))

    play = viewer.locator("[data-action=play]")
    if play.is_enabled():
        play.click()
        until(lambda: head() > 0.1, 10, "the play head")
        play.click()
    viewer.locator("[data-action=zoom-in]").click()
    canvas.focus()
    canvas.press("End")
    until(lambda: head() > 1, 10, "the end of the song")
    canvas.press("Home")
    until(lambda: head() == 0, 10, "its beginning")
    charts = viewer.locator("[data-action=chart]")
    for name in charts.locator("option").all_inner_texts():
        charts.select_option(name)
        until(lambda name=name: viewer.get_attribute("data-chart") == name, 10, name)
