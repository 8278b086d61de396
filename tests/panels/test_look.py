"""What all panels have in common."""

import re
import tomllib
from pathlib import Path

import pytest

from workbench.panels import look

NAMES = ["groove_player", "clip_browser"]
HERE = Path(look.__file__).parent


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_has_the_common_look_before_its_own(name):
    for told, ending in ((look.sheet(name), "css"), (look.program(name), "js")):
        common, own = ((HERE / f"{each}.{ending}").read_text("utf-8") for each in ("look", name))
        assert told.index(common) < told.index(own)


@pytest.mark.parametrize("name", ["look", *NAMES])
@pytest.mark.parametrize("ending", ["js", "css"])
def test_the_files_of_a_page_are_installed_and_ask_for_no_other(name, ending):
    path = HERE / f"{name}.{ending}"
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["workbench.panels"]
    assert any(path in HERE.glob(pattern) for pattern in patterns)
    text = path.read_text("utf-8")
    assert not re.search(r"https?://|//cdn|@import|\bimport\b.*from|fetch\(", text)


@pytest.mark.parametrize("name", ["look", *NAMES])
def test_a_colour_that_the_theme_decides_has_one_for_pages_without_it(name):
    for variable in re.findall(r"var\((--(?:jp|vscode)-[^)]*)", (HERE / f"{name}.css").read_text()):
        assert "," in variable, variable


def test_what_went_wrong_cannot_write_into_the_page():
    assert "<script>" not in look.failed("<script>&")
    assert "&lt;script&gt;&amp;" in look.failed("<script>&")
