"""Every notebook in a real browser: all its cells run, and what can be used is used.

Pictures of each page, light, dark and narrow, are kept under outputs/e2e.
"""

import pytest
from lab import NOTEBOOKS, code_cells, until

pytestmark = pytest.mark.e2e

ARTEFACTS = NOTEBOOKS.parent / "outputs" / "e2e"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
TALLEST = 16_000  # pixels of a picture
LOOKS = {"light": ("Light", 1200), "narrow": ("Light", 600), "dark": ("Dark", 1200)}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_its_panels_can_be_used(page, name):
    notebook = f"{name}.ipynb"
    page.open(notebook)
    page.run_all(code_cells(NOTEBOOKS / notebook), seconds=240)
    failed = page.page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert failed.all_inner_texts() == []
    for found, use in USES.items():
        for panel in page.page.locator(found).all():
            use(panel)
    stills = page.page.locator("[data-workbench=still]")
    assert not any(still.is_visible() for still in stills.all())
    page.clear()
    for look, (theme, width) in LOOKS.items():
        page.look(theme)
        assert page.keep(ARTEFACTS / f"{name}-{look}.png", width=width, tallest=TALLEST) <= 0


def plays(sound):
    """Hear a tenth of a second of a sound."""
    sound.scroll_into_view_if_needed()
    until(lambda: sound.evaluate("a => a.duration") > 0.5, 10, "the sound")
    sound.evaluate("a => a.play()")
    until(lambda: sound.evaluate("a => a.currentTime") > 0.1, 10, "a tenth of a second of it")
    sound.evaluate("a => a.pause()")


def use_map(viewer):
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


def use_groove(player):
    """Play a groove, and go to its end, on by a beat and to its beginning by the keyboard."""
    player.scroll_into_view_if_needed()
    canvas, play = player.locator("canvas"), player.locator("[data-action=play]")

    def head():
        return float(canvas.get_attribute("aria-valuenow"))

    until(play.is_enabled, 10, "the sound")
    play.click()
    until(lambda: head() > 0.1, 10, "the play head")
    play.click()
    until(lambda: play.get_attribute("data-icon") == "play", 5, "rest")
    player.locator("[data-action=loop]").click()
    canvas.focus()
    canvas.press("End")
    until(lambda: head() > 1, 10, "the end of the groove")
    canvas.press("Home")
    until(lambda: head() == 0, 10, "its beginning")
    canvas.press("ArrowRight")
    until(lambda: canvas.get_attribute("aria-valuetext") == "bar 1, beat 2", 10, "the second beat")


def use_clips(browser):
    """Hear a clip, turn a page by the button and back by the keyboard."""
    browser.scroll_into_view_if_needed()
    clips, told = browser.locator(".wb-clip"), browser.locator("[data-part=told]")
    first = clips.first.inner_text()
    clips.first.locator("button").click()
    until(lambda: float(clips.first.get_attribute("data-played")) > 0, 10, "a part of the clip")
    browser.locator("[data-action=on]").click()
    until(lambda: clips.first.inner_text() != first, 10, "the next page")
    assert told.inner_text().startswith("page 2 of ")
    clips.first.locator("button").press("ArrowLeft")
    until(lambda: clips.first.inner_text() == first, 10, "the first page")
    clips.first.locator("button").press("ArrowDown")
    assert clips.nth(1).locator("button").evaluate("each => each === document.activeElement")


USES = {
    "audio[controls]:visible": plays,
    ".wb-map": use_map,
    ".wb-groove": use_groove,
    ".wb-clips": use_clips,
}
