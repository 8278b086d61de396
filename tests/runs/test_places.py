from pathlib import Path

import pytest

from workbench.errors import RunsError
from workbench.runs import places
from workbench.runs.places import root


def test_the_project_is_found_from_any_folder_in_it(project: Path) -> None:
    deep = project / "notebooks" / "deep" / "er"
    deep.mkdir(parents=True)
    assert root(deep) == root(project) == project


def test_the_current_folder_comes_first_and_the_package_last(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "notebooks")
    assert root() == project
    monkeypatch.chdir(tmp_path)
    assert root() == places.PACKAGE.parent


def test_no_project_is_an_error_that_says_what_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "site-packages" / "workbench")
    with pytest.raises(RunsError, match=r"pyproject\.toml and notebooks/"):
        root(tmp_path)
