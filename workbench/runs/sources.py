"""Which files of the workbench a notebook's results may depend on, found without running any.

A file counts when the notebook's code cells import its module, also inside a function, or when a
module that counts imports it; so do the packages that it stands in. Files that are no Python count
with the package whose folder holds them. A module's name written as a text counts as an import of
it. Where what is imported cannot be known (a cell that is no plain Python, or that names the
command `workbench`), every file counts.

A *room* is what stands at the top of the package: a folder, or a module by its name.
"""

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.caching.fingerprint import fingerprint, tree_fingerprint

# Parsing every module takes a second; nearly all imports stand on lines that a pattern can read.
_IMPORT_LINE = re.compile(r"^.*\bimport\b", re.MULTILINE)
_NAMES = r"\w+(?:[ \t]+as[ \t]+\w+)?"
_PLAIN_IMPORT = re.compile(
    r"[ \t]*(?:from[ \t]+(?P<origin>[\w.]+)[ \t]+import[ \t]+"
    rf"(?P<names>\*|{_NAMES}(?:[ \t]*,[ \t]*{_NAMES})*|\([^()]*\))"
    r"|import[ \t]+(?P<module>[\w.]+)(?:[ \t]+as[ \t]+\w+)?)[ \t]*(?:#.*)?$",
    re.MULTILINE,
)
_CONTINUED = re.compile(r"\\\n.*\bimport\b")
_COMMENT = re.compile(r"#.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files of the package that a notebook's results may depend on.

    Attributes:
        files: In the order of their places.
        rooms: The fingerprint of the files of each room, known by their places in the package.
    """

    files: tuple[Path, ...]
    rooms: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of all files."""
        return fingerprint(dict(self.rooms))


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a statement imports.

    Attributes:
        module: Where from; a relative one begins with its dots.
        name: What is taken from it; `*` for all; empty where the module itself is imported.
    """

    module: str
    name: str = ""


class SourceTree:
    """The files of a package and who imports whom; each is read once, when it is asked for."""

    def __init__(self, package: Path) -> None:
        """Look what files there are.

        Args:
            package: The package's folder.
        """
        self._package = package
        files = list(_files(package))
        self._modules = {_name(path, package): path for path in files if path.suffix == ".py"}
        packages = {path.parent for path in files if path.name == "__init__.py"}
        self._data = {
            path: next(folder for folder in path.parents if folder in {*packages, package})
            for path in files
            if path.suffix != ".py"
        }
        self._imported: dict[str, frozenset[str]] = {}
        self._sources: dict[tuple[str, ...], Sources] = {}

    def sources(self, cells: Sequence[str]) -> Sources:
        """Return what some code cells depend on.

        Raises:
            OSError: A file cannot be read.
        """
        key = tuple(cells)
        if key not in self._sources:
            own = {self._modules[name] for name in self._closure(self._named_in(key))}
            folders = {path.parent for path in own}
            data = {path for path, folder in self._data.items() if folder in folders}
            self._sources[key] = self._told(sorted(own | data))
        return self._sources[key]

    def _told(self, files: Sequence[Path]) -> Sources:
        rooms: dict[str, list[Path]] = {}
        for path in files:
            first = path.relative_to(self._package).parts[0]
            rooms.setdefault(first.removesuffix(".py"), []).append(path)
        told = {room: tree_fingerprint(self._package, paths) for room, paths in rooms.items()}
        return Sources(files=tuple(files), rooms=told)

    def _named_in(self, cells: Iterable[str]) -> set[str]:
        """Return the modules that code cells name; all of them where that cannot be known."""
        named: set[str] = set()
        for cell in cells:
            try:
                tree = ast.parse(cell)
            except (SyntaxError, ValueError):  # a magic, a line for the shell, a mistake
                return set(self._modules)
            for text in _texts(tree):
                if text.split()[:1] == [self._package.name]:
                    return set(self._modules)
                named |= self._with_packages(text.partition(":")[0])
            for each in parsed_imports(tree):
                named |= self._resolved(each)
        return named

    def _closure(self, modules: set[str]) -> set[str]:
        """Return some modules and all that they import in turn."""
        found: set[str] = set()
        waiting = set(modules)
        while waiting:
            name = waiting.pop()
            found.add(name)
            waiting |= self._imported_by(name) - found
        return found

    def _imported_by(self, name: str) -> frozenset[str]:
        """Return the modules that one module names."""
        if name not in self._imported:
            text = self._modules[name].read_text(encoding="utf-8", errors="replace")
            named: set[str] = set()
            for each in imports(text):
                named |= self._resolved(each, importer=name)
            for word in re.findall(rf"[\"']({self._package.name}(?:\.\w+)+)[\"':]", text):
                named |= self._with_packages(word)
            self._imported[name] = frozenset(named)
        return self._imported[name]

    def _resolved(self, each: Import, importer: str = "") -> set[str]:
        """Return the modules of the package that an import loads itself."""
        module = each.module.lstrip(".")
        if level := len(each.module) - len(module):
            parts = importer.split(".")
            is_package = bool(importer) and self._modules[importer].name == "__init__.py"
            base = parts[: len(parts) - level + is_package]
            module = ".".join([*base, module] if module else base)
        if each.name == "*":
            inside = re.compile(rf"{re.escape(module)}\.\w+")
            return self._with_packages(module) | set(filter(inside.fullmatch, self._modules))
        return self._with_packages(f"{module}.{each.name}" if each.name else module)

    def _with_packages(self, name: str) -> set[str]:
        """Return those of a dotted name and its beginnings that are modules of the package."""
        parts = name.split(".") if name.startswith(self._package.name) else []
        names = {".".join(parts[: n + 1]) for n in range(len(parts))}
        return names & self._modules.keys()


def imports(text: str) -> Iterable[Import]:
    """Return what a module imports anywhere in it, and perhaps what a docstring says to import.

    Of a module that is no Python the plain lines count: whoever loads it is told by Python.
    """
    found = []
    for line in _IMPORT_LINE.finditer(text):
        plain = _PLAIN_IMPORT.match(text, line.start())
        if plain is None:
            break
        found += _plain_imports(plain)
    else:
        if not _CONTINUED.search(text):
            return found
    try:
        return list(parsed_imports(ast.parse(text)))
    except (SyntaxError, ValueError):
        return found


def parsed_imports(tree: ast.AST) -> Iterator[Import]:
    """Yield what the statements of a syntax tree import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import("." * node.level + (node.module or ""), alias.name)


def _plain_imports(plain: "re.Match[str]") -> list[Import]:
    if plain["module"]:
        return [Import(plain["module"])]
    names = _COMMENT.sub("", plain["names"]).strip("()").split(",")
    return [Import(plain["origin"], name.split()[0]) for name in names if name.strip()]


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _files(package: Path) -> Iterator[Path]:
    """Yield the files of a package, without what Python and editors leave beside them."""
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in names:
            if name[0] != "." and not name.endswith((".pyc", "~")):
                yield Path(folder, name)


def _name(path: Path, package: Path) -> str:
    """Return a module's dotted name."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
