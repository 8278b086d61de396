"""The worked example of a sixth pillar, put together from its page, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

TOP = Path(__file__).parents[1]
MOST_LINES = 60
TEXT = (TOP / "docs" / "pillar.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|toml)\n(.*?)```", TEXT, re.DOTALL)


def code_lines(block):
    return [line for line in block.splitlines() if line.strip()]


def test_the_example_is_short():
    assert len(BLOCKS) == 6
    assert sum(len(code_lines(block)) for block in BLOCKS) <= MOST_LINES


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the example in it; the copy goes before what is installed."""
    top = tmp_path_factory.mktemp("project")
    shutil.copytree(TOP / "workbench", top / "workbench", ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copytree(TOP / "tests" / "deadly", top / "tests")
    (top / "notebooks").mkdir()
    (top / "params" / "metres").mkdir(parents=True)
    room, counting, command, line, word, notebook = BLOCKS
    (top / "workbench" / "metres").mkdir()
    for name, block in (("__init__", room), ("counting", counting), ("commands", command)):
        (top / "workbench" / "metres" / f"{name}.py").write_text(block)
    cli = top / "workbench" / "cli.py"
    cli.write_text(cli.read_text().replace("@app.meta.default", f"{line}\n\n@app.meta.default", 1))
    contract = (TOP / "pyproject.toml").read_text()
    before = '  "groove | beatmap | playback | speech",\n'
    assert contract.count(before) == 1
    (top / "pyproject.toml").write_text(contract.replace(before, word))
    cells = [nbformat.v4.new_markdown_cell("# Metres")]
    cells += [nbformat.v4.new_code_cell(c.strip()) for c in notebook.split("# %%\n")]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    written = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(written, top / "notebooks" / "metres.ipynb")
    (top / "params" / "metres" / "few.yaml").write_text("files: 12\n")
    return top


def run(project, *start):
    """Run Python in the project."""
    return subprocess.run(
        [sys.executable, *map(str, start)],
        check=False,
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def command(project, *tokens):
    """Run the command line in the project."""
    return run(project, "-c", "from workbench.cli import main; main()", *tokens)


@pytest.mark.soak
def test_it_keeps_the_contracts(project):
    pytest.importorskip("importlinter", reason="needs the extra 'dev'")
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run(project, "-c", lint, "--no-cache")
    assert "Contracts: 4 kept, 0 broken" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_its_command_counts_by_any_engine(project, tmp_path, engine):
    assert command(project, "demo", "drums", tmp_path / "corpus", "--files", "30").returncode == 0
    done = command(
        project, "metres", tmp_path / "corpus", "--engine", engine, "--workers", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["4/4"] > 10


@pytest.mark.soak
def test_its_notebook_runs_from_its_parameters(project):
    done = command(project, "run", "params/metres/few.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    [told] = json.loads(done.stdout)["runs"]
    assert told["results"]["4/4"] > 3
