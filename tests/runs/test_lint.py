import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FAKE_TOKEN, notebook

from workbench.errors import OptionsError
from workbench.runs.lint import lint
from workbench.runs.notebooks import read_notebook, tidied, with_ids

Content = dict[str, Any]


def clean() -> Content:
    """Return a notebook that nothing is wrong with: three code cells, executed."""
    content = notebook("import math", "total = sum(range(5))\ntotal")
    for count, cell in enumerate(content["cells"][1:], start=1):
        cell["execution_count"] = count
    content["cells"][3]["outputs"] = [
        {
            "data": {"text/plain": ["10"]},
            "execution_count": 3,
            "metadata": {},
            "output_type": "execute_result",
        }
    ]
    return content


def show(content: Content, data: dict[str, Any]) -> None:
    content["cells"][3]["outputs"][0]["data"] = data


def findings(path: Path, content: Content) -> list[str]:
    path.write_text(json.dumps(content))
    return [line.removeprefix(f"{path}: ") for line in lint([path]).lines()[:-1]]


def source(text: str) -> Callable[[Content], None]:
    return lambda content: content["cells"][3].update(source=text)


def output(text: str) -> Callable[[Content], None]:
    return lambda content: show(content, {"text/plain": text})


PLANTED: list[tuple[str, Callable[[Content], Any], str]] = [
    ("stripped", lambda c: c["cells"][3].update(execution_count=None), "cell 4: was never exec"),
    (
        "out of order",
        lambda c: c["cells"][2].update(execution_count=7),
        "cell 3: execution count 7",
    ),
    ("semicolon", source("x = 1\nx;  # quiet\n"), "cell 4: ends with `;`"),
    ("home path", output("/home/zoe/midi"), "cell 4: the path '/home/zoe/midi' in the output"),
    ("tmp path in the source", source("open('/tmp/x')"), "cell 4: the path '/tmp/x' in the source"),
    ("own home", output(f"in {Path.home()}/x"), "cell 4: the path"),
    ("secret in the output", output(FAKE_TOKEN), "cell 4: a secret in the output"),
    ("secret in the source", source(f"t = '{FAKE_TOKEN}'"), "cell 4: a secret in the source"),
    ("secret in words", lambda c: c["cells"][0].update(source=FAKE_TOKEN), "cell 1: a secret"),
    ("no id", lambda c: c["cells"][2].pop("id"), "cell 3: cell id 'None' is none"),
    ("bad id", lambda c: c["cells"][2].update(id="a b"), "cell 3: cell id 'a b' is none"),
    ("double id", lambda c: c["cells"][2].update(id="title"), "cell 3: cell id 'title' stands"),
    ("old format", lambda c: c.update(nbformat_minor=4), "a format without cell ids"),
    ("no parameters", lambda c: c["cells"][1].update(metadata={}), "cell 2: 0 cells tagged"),
    (
        "parameters third",
        lambda c: c["cells"].insert(1, {**c["cells"][0], "id": "more"}),
        "cell 2: is not the parameters cell; put it second",
    ),
    ("malformed parameters", lambda c: c["cells"][1].update(source="n = 1"), "cell 2: parameters"),
    ("cell metadata", lambda c: c["cells"][2].update(metadata={"x": 1}), "cell 3: metadata 'x'"),
    ("metadata", lambda c: c["metadata"].update(papermill={}), "metadata 'papermill'"),
    (
        "a version in the metadata",
        lambda c: c["metadata"].update(language_info={"name": "python", "version": "3"}),
        "metadata language_info.version",
    ),
    ("widget state", lambda c: c["metadata"].update(widgets={}), "widget state is saved"),
    (
        "widget view",
        lambda c: show(c, {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}),
        "cell 4: a widget's view",
    ),
    ("long def", source("def f():\n    a = 1\n    b = 2\n    return a"), "cell 4: f is 4 lines"),
    ("for", source("for x in []:\n    print(x)"), "cell 4: a loop at line 1"),
    ("while", source("if total:\n    while False:\n        pass"), "cell 4: a loop at line 2"),
    ("long cell", source("\n".join(f"x{n} = {n}" for n in range(13))), "cell 4: 13 lines"),
    ("magic", source("%matplotlib inline"), "cell 4: is not plain Python"),
    ("empty cell", source(" \n"), "cell 4: an empty code cell"),
    ("large", lambda c: show(c, {"image/png": "x" * 200_000}), "cell 4: 201 kB, 200 kB of them"),
    (
        "error",
        lambda c: c["cells"][2].update(
            outputs=[{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
        ),
        "cell 3: ended with an error",
    ),
]


@pytest.mark.parametrize(("flaw", "told"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED])
def test_a_planted_flaw_is_the_one_finding(
    tmp_path: Path, flaw: Callable[[Content], Any], told: str
) -> None:
    path = tmp_path / "groove.ipynb"
    assert findings(path, clean()) == []
    content = clean()
    flaw(content)
    (found,) = findings(path, content)
    assert found.startswith(told)
    assert "; " in found, "a finding says what to do"
    assert FAKE_TOKEN not in found
    assert lint([path]).exit_code == 1


def test_what_is_allowed_is_no_finding(tmp_path: Path) -> None:
    content = clean()
    content["cells"][3]["source"] = (
        "def double(x):\n    # twice\n    return 2 * x\nasync def one(): return 1\n"
        "[double(n) for n in range(3)]\nawait one()\nurl = 'https://x.org/home/a;'  # ok;"
    )
    content["cells"][1]["source"] = "\n".join(f"n{n}: int = {n}  # songs" for n in range(20))
    show(content, {"image/png": FAKE_TOKEN, "text/plain": "4 files in notebooks/x"})
    assert findings(tmp_path / "groove.ipynb", content) == []


def test_every_finding_of_every_notebook_is_told_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        content = clean()
        content["cells"][3].update(execution_count=None, source="for x in []: pass")
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(content))
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a-checkpoint.ipynb").write_text("")
    (tmp_path / "c.ipynb").write_text("no json")
    report = lint([tmp_path, tmp_path / "a.ipynb"])
    assert [(f.path.name, f.cell) for f in report.findings] == [
        ("a.ipynb", 4),
        ("a.ipynb", 4),
        ("b.ipynb", 4),
        ("b.ipynb", 4),
        ("c.ipynb", None),
    ]
    assert report.lines()[-1] == "3 notebooks, 5 findings"
    assert len(json.loads(json.dumps(report.as_json()))["findings"]) == 5


def test_a_clean_notebook_is_all_right(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps(clean()))
    report = lint([tmp_path])
    assert (report.exit_code, report.lines()) == (0, ["1 notebooks, 0 findings"])


def test_paths_without_notebooks_are_refused_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as refusal:
        lint([tmp_path, tmp_path / "absent.ipynb"])
    assert len(str(refusal.value).splitlines()) == 2
    with pytest.raises(OptionsError, match="no path given"):
        lint([])


def test_ids_are_made_from_the_source_where_they_are_missing(tmp_path: Path) -> None:
    content = clean()
    content["nbformat_minor"] = 2
    for cell in content["cells"]:
        cell["source"] = "x = 1"
        del cell["id"]
    content["cells"][2]["id"] = content["cells"][3]["id"] = "mine"
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content))
    first, again = with_ids(read_notebook(path)), with_ids(read_notebook(path))
    assert first == again == with_ids(first)
    ids = [cell["id"] for cell in first["cells"]]
    assert len(set(ids)) == 4 and ids[2] == "mine"
    assert first["nbformat_minor"] == 5


def test_tidying_twice_is_tidying_once(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    content = clean()
    content["metadata"] |= {"papermill": {}, "widgets": {}, "language_info": {"version": "3"}}
    content["cells"][3] |= {"execution_count": 9, "metadata": {"tags": [], "execution": {}}}
    path.write_text(json.dumps(content))
    once = tidied(read_notebook(path))
    assert tidied(once) == once
    assert once["metadata"] == {**clean()["metadata"], "language_info": {}}
    assert once["cells"][3]["metadata"] == {}
    assert once["cells"][3]["outputs"][0]["execution_count"] == 3
