"""The robot's player in a real browser: every click, and what a board behind a socket received."""

import time

import pytest
from lab import NOTEBOOKS, code_cells, until

from workbench.device import wire
from workbench.device.listening import listening

pytestmark = pytest.mark.e2e

NAME = "pico_playback.ipynb"
CLICK_SECONDS = 0.3


@pytest.fixture
def server():
    with listening() as server:
        yield server


def state(server):
    return server.board.told().state


def clicked(page, name, is_so):
    """Click a button and return how long it took until something was so, seconds."""
    button = page.button(name)
    until(button.is_enabled, 10, f"{name} enabled")
    begun = time.monotonic()
    button.click(no_wait_after=True)
    until(is_so, 10, name)
    return time.monotonic() - begun


def test_connect_play_seek_pause_resume_and_emergency_stop(page, server, tmp_path):
    page.open(NAME)
    page.run_all(code_cells(NOTEBOOKS / NAME))
    view = page.page.locator(".robot-view")
    view.scroll_into_view_if_needed()
    port = page.page.get_by_label("port")
    port.fill(server.url)
    port.press("Enter")

    def shown():
        return view.get_attribute("data-state")

    clicked(page, "Connect", lambda: shown() == "idle")
    clicked(page, "Play", lambda: shown() == "playing")
    until(lambda: server.board.executed > 5, 20, "five duties")

    took = []
    at = server.board.told().song
    bar = page.page.locator("canvas.song")
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    bar.click(position={"x": box["width"] * 0.6, "y": 10})
    until(lambda: server.board.told().song > at + 10_000, 10, "the seek")
    sought = server.board.executions[-1].index
    until(lambda: server.board.executions[-1].index > sought, 10, "music behind the seek")

    for _ in range(3):
        took.append(clicked(page, "Pause", lambda: state(server) == wire.PAUSED))
        held = server.board.executed
        time.sleep(0.3)
        assert server.board.executed == held
        until(lambda: shown() == "paused", 5, "paused in the page")
        took.append(clicked(page, "Play", lambda: state(server) == wire.PLAYING))
    took.append(clicked(page, "EMERGENCY STOP", lambda: state(server) == wire.ALARMED))
    pose = server.board.pose()
    assert (pose.fingers, pose.volume) == (0, 0)
    until(lambda: shown() == "alarm", 5, "the alarm in the page")
    assert sorted(took)[len(took) // 2] < CLICK_SECONDS, took

    executed = [each.index for each in server.board.executions]
    jump = next(n for n in range(1, len(executed)) if executed[n] != executed[n - 1] + 1)
    assert executed[:jump] == list(range(jump))
    rest = executed[jump:]
    assert rest == list(range(rest[0], rest[0] + len(rest)))

    clicked(page, "Home", lambda: state(server) == wire.READY)
    until(lambda: shown() == "idle", 10, "homed in the page")
    by_hand(page, server)
    by_loudness(page, server)
    page.page.screenshot(path=tmp_path / "player.png")
    clicked(page, "Disconnect", page.button("Connect").is_visible)


def by_hand(page, server):
    """A key is held as long as the pointer is down on it, and the cart goes where it is sent."""
    keys = page.page.locator("canvas.keys")
    keys.scroll_into_view_if_needed()
    box = keys.bounding_box()
    page.page.mouse.move(box["x"] + 10, box["y"] + 50)  # the lowest white key: finger 0, left
    page.page.mouse.down()
    until(lambda: server.board.pose().fingers == 1, 5, "a finger down")
    page.page.mouse.up()
    until(lambda: server.board.pose().fingers == 0, 5, "a finger up")
    right = page.page.locator("button:has(.fa-arrow-right)").filter(has_text="cart")
    right.click()
    until(lambda: server.board.pose().cart == 1.0, 5, "the cart at 1")


def by_loudness(page, server):
    """The nine presets are loudness of what plays."""
    page.page.get_by_label("preset").select_option("soft")
    until(lambda: server.board.told().gain == 60, 5, "soft")


def test_buttons_are_answered_while_a_cell_runs(page, server):
    page.open(NAME)
    page.run_all(code_cells(NOTEBOOKS / NAME))
    page.page.get_by_label("port").fill(server.url)
    page.page.get_by_label("port").press("Enter")
    view = page.page.locator(".robot-view")
    clicked(page, "Connect", lambda: view.get_attribute("data-state") == "idle")
    clicked(page, "Play", lambda: state(server) == wire.PLAYING)
    last = page.page.locator(".jp-CodeCell .cm-content").last
    last.click()
    page.page.keyboard.press("Control+A")
    page.page.keyboard.type("import time; time.sleep(20)")
    page.page.keyboard.press("Control+Enter")
    prompt = page.page.locator(".jp-CodeCell .jp-InputPrompt").last
    until(lambda: "*" in prompt.text_content(), 10, "a running cell")
    took = clicked(page, "EMERGENCY STOP", lambda: state(server) == wire.ALARMED)
    assert "*" in prompt.text_content(), "the cell was over before the click was answered"
    assert took < 1.0
