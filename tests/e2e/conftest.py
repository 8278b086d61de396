"""A JupyterLab of its own, and a page in a headless Chromium that may speak to nobody else."""

import shutil

import pytest
from lab import NOTEBOOKS, Lab, Page
from playwright.sync_api import sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab"), NOTEBOOKS) as lab:
        yield lab


@pytest.fixture(scope="session")
def browser():
    programs = [found for name in CHROMIUM if (found := shutil.which(name))]
    if not programs:
        pytest.fail("there is no Chromium on this machine; install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=programs[0], args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(lab, browser):
    """A page whose errors and requests are kept, and looked at when the test is over."""
    context = browser.new_context(viewport={"width": 1500, "height": 1300})
    page = Page(context.new_page(), lab)
    yield page
    errors, abroad = page.errors, page.abroad
    context.close()
    page.close_kernel()
    assert not errors
    assert not abroad
