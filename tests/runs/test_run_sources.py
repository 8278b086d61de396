"""Which files a run's name depends on: laws over made packages, and what Python itself loads."""

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.caching.fingerprint import tree_fingerprint
from workbench.runs import batch
from workbench.runs.places import PACKAGE
from workbench.runs.sources import SourceTree, imports, parsed_imports

NOTEBOOKS = sorted((PACKAGE.parent / "notebooks").glob("*.ipynb"))
ROOMS = ("drums", "maps", "maps.inner", "voice")
MODULES = tuple(f"{room}.{name}" for room in ROOMS for name in ("one", "two", "three"))
# Each way to import the module {room}.{name} of the package from somewhere in it or outside.
FORMS = (
    "import workbench.{room}.{name}",
    "import json, workbench.{room}.{name} as other",
    "from workbench.{room} import {name}",
    "from workbench.{room} import (\n    {name} as other,  # (it is needed)\n)",
    "from workbench.{room}.{name} import value",
    "from workbench.{room}.{name} import value, value as more  # twice",
    "from workbench.{room} import \\\n    {name}",
    "from workbench.{room} \\\n    import {name}",
    "if True: import workbench.{room}.{name}",
    "import json; import workbench.{room}.{name}",
    "import importlib\nimportlib.import_module('workbench.{room}.{name}')",
)
FORM_OF_A_MODULE = "from {dots}{room}.{name} import value"
FORMS_OF_A_CELL = (
    "def late():\n    from workbench.{room}.{name} import value\n    return value",
    "from workbench.{room} import *\nimport workbench.{room}.{name}",
)
GRAPHS = st.dictionaries(
    st.sampled_from(MODULES),
    st.lists(
        st.tuples(st.sampled_from(MODULES), st.sampled_from([*FORMS, FORM_OF_A_MODULE])), max_size=3
    ),
)
CELLS = st.lists(
    st.tuples(st.sampled_from(MODULES), st.sampled_from([*FORMS, *FORMS_OF_A_CELL])), max_size=2
)


def statement(form: str, module: str, inside: str = "") -> str:
    room, _, name = module.rpartition(".")
    dots = "." * (inside.count(".") + 1)
    return form.format(room=room, name=name, dots=dots)


def made_package(top: Path, graph: dict[str, list[tuple[str, str]]]) -> Path:
    """Write a package whose modules import each other, and give its folder."""
    package = top / "workbench"
    for room in ROOMS:
        folder = package.joinpath(*room.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(f'"""Room {room}; it does not import anything."""\n')
        (folder / "look.css").write_text(f"/* {room} */")
    (package / "__init__.py").touch()
    for module in MODULES:
        late = [statement(form, to, module) for to, form in graph.get(module, [])]
        lines = [f"    {line}\n" for text in late for line in text.split("\n")]
        body = f"def work():\n{''.join(lines)}"
        text = f'"""Module {module}."""\nvalue = 1\n{body}    return value\n'
        package.joinpath(*module.split(".")).with_suffix(".py").write_text(text)
    return package


# Calls what the cells import, and what that imports, until nothing more is loaded.
CALLING = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for cell in sys.argv[2:]:
    scope = {}
    exec(cell, scope)
    scope.get("late", int)()
called = set()
while todo := {n for n in sys.modules if n.startswith("workbench")} - called:
    for name in todo:
        called.add(name)
        getattr(sys.modules[name], "work", int)()
print(*sorted(sys.modules[n].__file__ for n in called))
"""


@settings(max_examples=25)
@given(GRAPHS, CELLS)
def test_whatever_python_loads_is_among_the_files_that_are_found_without_running_any(
    tmp_path_factory: pytest.TempPathFactory,
    graph: dict[str, list[tuple[str, str]]],
    cells: list[tuple[str, str]],
) -> None:
    top = tmp_path_factory.mktemp("law")
    package = made_package(top, graph)
    sources = [statement(form, module) for module, form in cells]
    found = {str(path) for path in SourceTree(package).sources(sources).files}
    command = [sys.executable, "-I", "-S", "-c", CALLING, str(top), *sources]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= found
    modules = {path for path in found if path.endswith(".py")}
    if not any("*" in source for source in sources):
        assert modules == set(loaded), "and no other module is"


@pytest.mark.parametrize("form", [*FORMS, FORM_OF_A_MODULE])
def test_every_form_of_an_import_is_followed_from_a_module(tmp_path: Path, form: str) -> None:
    package = made_package(tmp_path, {"drums.one": [("maps.inner.two", form)]})
    found = SourceTree(package).sources(["import workbench.drums.one"]).files
    assert package / "maps" / "inner" / "two.py" in found
    assert package / "voice" / "two.py" not in found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("from .two import value", "maps/two.py"),
        ("from . import two", "maps/two.py"),
        ("from .inner import two", "maps/inner/two.py"),
        ("from ..drums import two", "drums/two.py"),
        ("from .. import voice", "voice/__init__.py"),
        ("from .inner import *", "maps/inner/two.py"),
    ],
)
def test_a_relative_import_of_a_package_starts_at_the_package(
    tmp_path: Path, text: str, wanted: str
) -> None:
    package = made_package(tmp_path, {})
    cells = ["from workbench.maps.one import value"]
    assert package / wanted not in SourceTree(package).sources(cells).files
    (package / "maps" / "__init__.py").write_text(text)
    assert package / wanted in SourceTree(package).sources(cells).files


@settings(max_examples=25)
@given(GRAPHS, CELLS, st.data())
def test_a_change_to_a_file_changes_its_room_if_the_file_counts_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    graph: dict[str, list[tuple[str, str]]],
    cells: list[tuple[str, str]],
    data: st.DataObject,
) -> None:
    package = made_package(tmp_path_factory.mktemp("law"), graph)
    sources = [statement(form, module) for module, form in cells]
    before = SourceTree(package).sources(sources)
    changed = data.draw(st.sampled_from(sorted(package.rglob("*.*"))))
    changed.write_text(changed.read_text() + "\n\n")
    after = SourceTree(package).sources(sources)
    assert after.files == before.files
    rooms = {room for room in before.rooms if before.rooms[room] != after.rooms[room]}
    room = changed.relative_to(package).parts[0].removesuffix(".py")
    assert rooms == ({room} if changed in before.files else set())
    assert (before.fingerprint != after.fingerprint) == (changed in before.files)


def test_a_run_has_another_name_when_a_room_that_it_imports_changed_and_else_the_same(
    project: Path,
    write_notebook: Writer,
    write_params: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = made_package(tmp_path, {"drums.one": [("maps.two", FORM_OF_A_MODULE)]})
    monkeypatch.setattr(batch, "PACKAGE", package)
    write_notebook("sourced", "from workbench.drums.one import value")
    params = write_params("sourced/x.yaml", "")

    def planned() -> batch.PlannedRun:
        (run,) = batch.plan(params, project)
        return run

    first = planned()
    assert set(first.rooms) == {"__init__", "drums", "maps"}
    (package / "voice" / "one.py").write_text("value = 2")
    assert planned() == first
    (package / "maps" / "two.py").write_text("value = 2")
    second = planned()
    assert second.name != first.name and second.sources != first.sources
    assert {r for r in first.rooms if first.rooms[r] != second.rooms[r]} == {"maps"}


def test_files_that_are_no_python_count_with_the_package_that_holds_them(tmp_path: Path) -> None:
    package = made_package(tmp_path, {})
    (package / "maps" / "static").mkdir()
    (package / "maps" / "static" / "view.js").touch()
    (package / "maps" / ".one.py.swp").touch()
    (package / "maps" / "__pycache__").mkdir()
    (package / "maps" / "__pycache__" / "one.cpython-311.pyc").touch()
    found = SourceTree(package).sources(["import workbench.maps.one"]).files
    assert [str(path.relative_to(package)) for path in found] == [
        "__init__.py",
        "maps/__init__.py",
        "maps/look.css",
        "maps/one.py",
        "maps/static/view.js",
    ]


def test_two_files_that_change_places_are_another_room(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "x.py", tmp_path / "b" / "x.py"]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(str(number))
    before = tree_fingerprint(tmp_path, files)
    assert tree_fingerprint(tmp_path, reversed(files)) == before
    files[0].write_text("1")
    files[1].write_text("0")
    assert tree_fingerprint(tmp_path, files) != before


@pytest.mark.parametrize(
    "cell",
    [
        "%run other.py",
        "!workbench groove train x",
        "x = (",
        "import subprocess\nsubprocess.run(['workbench', 'groove'])",
        "import os\nos.system('workbench groove train x')",
    ],
)
def test_every_file_counts_where_what_is_imported_cannot_be_known(
    tmp_path: Path, cell: str
) -> None:
    package = made_package(tmp_path, {})
    found = SourceTree(package).sources(["x = 1", cell])
    assert set(package.rglob("*.py")) <= set(found.files)


@pytest.mark.soak
def test_the_imports_of_every_module_here_are_read_as_python_parses_them() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert set(imports(text)) == set(parsed_imports(ast.parse(text))), path


def cells_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_a_notebook_depends_on_its_own_rooms_and_finding_them_is_fast() -> None:
    seconds = []
    for path in NOTEBOOKS:
        began = time.process_time()
        rooms = SourceTree(PACKAGE).sources(cells_of(path)).rooms
        seconds.append(time.process_time() - began)
        own = path.stem.split("_")[0]
        assert {"runs", own if own in ("groove", "beatmap", "speech") else "runs"} <= set(rooms)
        assert "cli" not in rooms
        if own == "groove":
            assert not {"speech", "beatmap", "playback", "device"} & set(rooms)
    assert len(seconds) >= 8
    assert min(seconds) < 0.15


LOADED = """
import ast, json, sys
for cell in json.loads(sys.argv[1]):
    for node in ast.walk(ast.parse(cell)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), "cell", "exec"), {})
print(*{m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "workbench"})
"""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem == "groove_sample" else [pytest.mark.soak])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_what_a_notebook_here_really_loads_is_among_its_files(path: Path) -> None:
    cells = cells_of(path)
    command = [sys.executable, "-c", LOADED, json.dumps(cells)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(loaded) > 10
    assert set(loaded) <= {str(file) for file in SourceTree(PACKAGE).sources(cells).files}
