"""`workbench nb lint`: what a notebook must be before it is shared.

nbval passes silently on a notebook without kept outputs and compares nothing after a trailing
`;`; a reader cannot use another computer's paths; logic in a cell cannot be tested. Each rule
here stands against one of these.
"""

import ast
import io
import json
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import RunsError, WorkbenchError
from workbench.runs.notebooks import (
    CELL_METADATA,
    NOTEBOOK_METADATA,
    PARAMETERS_TAG,
    WIDGET_MIME,
    Cell,
    Notebook,
    find_notebooks,
    is_cell_id,
    read_notebook,
    tags,
    texts,
)
from workbench.runs.parameters import read_schema
from workbench.runs.places import root
from workbench.runs.redaction import absolute_places, is_binary, is_secret

MOST_LINES = 12
LONGEST_DEF = 3
MOST_BYTES = 200_000
REFRESH = "run `workbench nb refresh`"

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a notebook must not be.

    Attributes:
        path: The notebook.
        cell: The cell, counted from 1; None for the whole file.
        what: What was found.
        remedy: What to do about it.
    """

    path: Path
    cell: int | None
    what: str
    remedy: str

    def line(self) -> str:
        """Return the finding as one line of text."""
        place = f"{self.path}: " if self.cell is None else f"{self.path}: cell {self.cell}: "
        return f"{place}{self.what}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """All findings in some notebooks.

    Attributes:
        notebooks: The notebooks that were looked at.
        findings: In the order of the notebooks and their cells.
    """

    notebooks: tuple[Path, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 when nothing was found, else 1."""
        return int(bool(self.findings))

    def lines(self) -> list[str]:
        """Return one line of text a finding, and a last one that counts."""
        count = f"{len(self.notebooks)} notebooks, {len(self.findings)} findings"
        return [*(finding.line() for finding in self.findings), count]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's kinds."""
        return {
            "notebooks": [path.as_posix() for path in self.notebooks],
            "findings": [
                {
                    "path": finding.path.as_posix(),
                    "cell": finding.cell,
                    "what": finding.what,
                    "remedy": finding.remedy,
                }
                for finding in self.findings
            ],
        }


def lint(paths: Sequence[Path]) -> LintReport:
    """Look at some notebooks and folders of notebooks.

    Raises:
        OptionsError: A path holds no notebook.
    """
    notebooks = find_notebooks(paths)
    findings = [finding for path in notebooks for finding in _file_findings(path)]
    return LintReport(notebooks=tuple(notebooks), findings=tuple(findings))


# A rule yields (cell number or None, what, remedy).
_Found = Iterator[tuple[int | None, str, str]]


def _file_findings(path: Path) -> Iterator[Finding]:
    try:
        notebook = read_notebook(path)
    except RunsError as error:
        what, _, remedy = str(error).removeprefix(f"{path}: ").rpartition("; ")
        yield Finding(path=path, cell=None, what=what, remedy=remedy)
        return
    own_places = _own_places(path)
    rules = [_size(path, notebook), _metadata(notebook), _parameters(path, notebook)]
    rules += [_order(notebook), _ids(notebook)]
    for number, cell in enumerate(notebook["cells"], start=1):
        rules.append(_leaks(number, cell, own_places))
        if cell["cell_type"] == "code":
            rules += [_code(number, cell), _outputs(number, cell)]
    found = [finding for rule in rules for finding in rule]
    for place, what, remedy in sorted(found, key=lambda finding: finding[0] or 0):
        yield Finding(path=path, cell=place, what=what, remedy=remedy)


def _own_places(path: Path) -> tuple[str, ...]:
    """Return the folders of this computer that no notebook may name."""
    places = [Path.home(), Path(tempfile.gettempdir())]
    try:
        places.append(root(path.parent))
    except RunsError:
        places.append(path.resolve().parent)
    return tuple(str(place) for place in places if place != Path("/"))


def _size(path: Path, notebook: Notebook) -> _Found:
    size = path.stat().st_size
    if size >= MOST_BYTES:
        sizes = [len(json.dumps(cell)) for cell in notebook["cells"]]
        largest = max(range(len(sizes)), key=sizes.__getitem__, default=0)
        what = f"{size / 1000:.0f} kB, {max(sizes, default=0) / 1000:.0f} kB of them in this cell"
        yield largest + 1, what, f"keep the file under {MOST_BYTES // 1000} kB: show less"


def _metadata(notebook: Notebook) -> _Found:
    for key, value in notebook["metadata"].items():
        allowed = NOTEBOOK_METADATA.get(key)
        if key == "widgets":
            yield None, "widget state is saved", REFRESH
        elif allowed is None:
            yield None, f"metadata {key!r}", REFRESH
        elif extra := sorted(set(value) - allowed):
            yield None, f"metadata {key}.{extra[0]}", REFRESH
    for number, cell in enumerate(notebook["cells"], start=1):
        if extra := sorted(set(cell["metadata"]) - CELL_METADATA):
            yield number, f"metadata {extra[0]!r}", REFRESH


def _parameters(path: Path, notebook: Notebook) -> _Found:
    try:
        read_schema(notebook, path)
    except WorkbenchError as error:
        for line in str(error).splitlines():
            what, _, remedy = line.removeprefix(f"{path}: ").rpartition("; ")
            yield 2, what, remedy
    else:
        if PARAMETERS_TAG not in tags(notebook["cells"][1] if notebook["cells"][1:] else {}):
            yield 2, "is not the parameters cell", "put it second, after the title"


def _order(notebook: Notebook) -> _Found:
    expected = 0
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] != "code":
            continue
        expected += 1
        count = cell.get("execution_count")
        if not cell["source"].strip():
            yield number, "an empty code cell", "delete it"
        elif count is None:
            yield number, "was never executed, so nbval would compare nothing", REFRESH
        elif count != expected:
            yield number, f"execution count {count}, want {expected}", REFRESH


def _ids(notebook: Notebook) -> _Found:
    seen: set[str] = set()
    if notebook.get("nbformat_minor", 0) < 5:
        yield None, "a format without cell ids (below 4.5)", REFRESH
    for number, cell in enumerate(notebook["cells"], start=1):
        name = cell.get("id")
        if not is_cell_id(name):
            yield number, f"cell id {str(name)[:70]!r} is none that nbformat allows", REFRESH
        elif name in seen:
            yield number, f"cell id {name!r} stands there twice", REFRESH
        seen.add(str(name))


def _leaks(number: int, cell: Cell, own_places: Sequence[str]) -> _Found:
    shown = [
        part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
        for output in cell.get("outputs", [])
        for mime, part in texts(output)
        if not is_binary(mime)
    ]
    for place, parts in (("source", [cell["source"]]), ("output", shown)):
        if any(is_secret(text) for text in parts):
            remedy = "revoke it, take it from the environment, and never commit it"
            yield number, f"a secret in the {place}", remedy
        paths = [path for text in parts for path in absolute_places(text, own_places)]
        if paths:
            remedy = "use workbench.runs.places.root() and show relative paths"
            yield number, f"the path {paths[0]!r} in the {place}", remedy


def _code(number: int, cell: Cell) -> _Found:
    source = cell["source"]
    lines = [line for line in source.splitlines() if line.strip()]
    if len(lines) > MOST_LINES and PARAMETERS_TAG not in tags(cell):
        yield number, f"{len(lines)} lines, at most {MOST_LINES}", "move logic into a room"
    try:
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, "cell", "exec", flags)
    except (SyntaxError, ValueError, RecursionError):
        yield number, "is not plain Python", "write Python without magics and shell lines"
        return
    if _ends_with_semicolon(source):
        yield number, "ends with `;`, which nbval does not compare", "end with plt.show() or None"
    for node in ast.walk(tree):
        if isinstance(node, _LOOPS):
            yield number, f"a loop at line {node.lineno}", "move it into a function of a room"
        elif isinstance(node, _DEFINITIONS):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_DEF:
                what = f"{node.name} is {length} lines long, at most {LONGEST_DEF}"
                yield number, what, "move it into a room"


def _ends_with_semicolon(source: str) -> bool:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    last = [token.string for token in tokens if token.type not in _LAYOUT]
    return last[-1:] == [";"]


def _outputs(number: int, cell: Cell) -> _Found:
    outputs = cell.get("outputs", [])
    if any(output.get("output_type") == "error" for output in outputs):
        yield number, "ended with an error", f"mend it, then {REFRESH}"
    if any(mime == WIDGET_MIME for output in outputs for mime, _ in texts(output)):
        yield number, "a widget's view, which opens empty", REFRESH
