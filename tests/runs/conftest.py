"""A small project with notebooks of its own, made anew for each module of tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SANITIZE = Path(__file__).parents[1] / "sanitize.cfg"
FAKE_TOKEN = "hf_" + "Fake0Token1For2The3Tests4"

Writer = Callable[..., Path]


def notebook(*cells: str, parameters: str = "seed: int = 0  # the dice") -> dict[str, Any]:
    """Return a notebook: a title, the parameters cell, then code cells."""
    sources = [parameters, *cells]
    code = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"code-{number}",
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    code[0]["metadata"] = {"tags": ["parameters"]}
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A notebook"}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [title, *code],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the top folder of an empty project."""
    top = tmp_path_factory.mktemp("project")
    (top / "pyproject.toml").write_text("")
    (top / "tests").mkdir()
    (top / "tests" / "sanitize.cfg").write_bytes(SANITIZE.read_bytes())
    (top / "notebooks").mkdir()
    return top


@pytest.fixture(scope="module")
def write_notebook(project: Path) -> Writer:
    """Return a function that writes a notebook of some code cells and gives its path."""

    def write(name: str, *cells: str, **more: str) -> Path:
        path = project / "notebooks" / f"{name}.ipynb"
        path.write_text(json.dumps(notebook(*cells, **more)))
        return path

    return write


@pytest.fixture(scope="module")
def write_params(project: Path) -> Writer:
    """Return a function that writes a file below params/ and gives its path."""

    def write(name: str, text: str) -> Path:
        path = project / "params" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write
