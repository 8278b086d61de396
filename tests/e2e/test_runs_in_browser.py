"""A sweep in a real browser: its progress, its table, and the page that is kept of it."""

from datetime import UTC, datetime

import pytest
from lab import NOTEBOOKS, code_cells, until

from workbench.runs.comparing import compare
from workbench.runs.comparison_report import comparison_report
from workbench.runs.index_report import index_report
from workbench.runs.listing import Listing, StoredRun

pytestmark = pytest.mark.e2e

NAME = "runs_compare.ipynb"


def stored(folder, number, n, state="done", **results):
    """Return a run as its folder would tell it."""
    error = {"type": "ValueError", "message": "<b>" * 40, "cell": 3}
    return StoredRun(
        notebook="beats",
        run=f"night-{number}",
        state=state,
        folder=folder / "beats" / f"night-{number}",
        at=datetime.fromtimestamp(number, UTC),
        told={
            "parameters": {"n": n, "word": "x" * 300},
            "results": results,
            "seconds": 2.5,
            "error": None if state == "done" else error,
        },
    )


def test_runs_are_watched_sorted_filtered_and_compared(page):
    page.open(NAME)
    page.run_all(code_cells(NOTEBOOKS / NAME))
    bar = page.page.get_by_role("progressbar", name="night")
    assert bar.get_attribute("aria-valuetext").startswith("6 of 7 runs done, 1 failed")
    table = page.page.locator(".jupyter-widgets table").first

    def column(place):
        return table.locator(f"tbody td:nth-child({place})").all_inner_texts()

    assert column(1) == ["done"] * 6 + ["failed"]
    page.button("failed 1").click()
    until(lambda: column(1) == ["done"] * 6, 10, "runs that are done alone")
    page.page.get_by_label("sort by").select_option("bits_per_event")
    numbers = until(
        lambda: (told := [float(n) for n in column(4)]) == sorted(told) and told, 10, "the order"
    )
    page.button("greatest first").click()
    until(lambda: [float(n) for n in column(4)] == numbers[::-1], 10, "the other order")
    page.button("Compare").click()
    shown = page.page.locator(".jupyter-widgets .runs-page")
    until(lambda: shown.count() == 1, 20, "what differs between two runs")
    assert "Two runs of groove_context" in shown.inner_text()
    assert shown.locator("img").count() >= 2


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 380])
def test_a_page_of_runs_opens_by_itself_in_any_look_and_width(browser, tmp_path, look, width):
    runs = [stored(tmp_path, number, n, loss=1 / n) for number, n in enumerate((4, 1, 10))]
    runs.append(stored(tmp_path, 9, 5, state="failed"))
    index_report(Listing(runs=tuple(runs))).save(tmp_path / "runs.html")
    comparison_report(compare(*runs[2:])).save(tmp_path / "two.html")
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=look, offline=True
    )
    page = context.new_page()
    asked, heard = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto((tmp_path / "two.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto((tmp_path / "runs.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (look == "light")
    cells = page.locator("table.sortable tbody td:nth-child(5)")
    head = page.get_by_role("button", name="n", exact=True)
    head.click()
    assert cells.all_inner_texts() == ["1", "4", "5", "10"]
    head.click()
    assert cells.all_inner_texts() == ["10", "5", "4", "1"]
    page.get_by_role("button", name="loss").click()
    assert cells.all_inner_texts() == ["10", "4", "1", "5"]
    assert page.locator("svg").count() == 1
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert not heard
    context.close()
