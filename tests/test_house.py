"""What holds of the code and of the tests as a whole."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import workbench.errors

TESTS = Path(__file__).parent
ROOT = TESTS.parent

MOST_LINES = 40
REASON = "# In one piece: "

ARRAYS = {"NDArray", "Tensor", "ArrayLike"}
LENGTH = r"(?:\w+(?: (?:[-+*/]|of a) \w+)?|\.{3}|…)"
SHAPE = re.compile(rf"\((?:{LENGTH},|{LENGTH}(?:, {LENGTH})+|\.{{3}})\)|\bshapes?\b")
OWN_ERRORS = {
    name
    for name, kind in vars(workbench.errors).items()
    if isinstance(kind, type) and issubclass(kind, workbench.errors.WorkbenchError)
}


class Function(NamedTuple):
    """A function of the product, and where it stands."""

    path: Path
    text: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.node.lineno} {self.node.name}"


@cache
def modules(folder: str) -> tuple[tuple[Path, str, ast.Module], ...]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return tuple(zip(paths, texts, map(ast.parse, texts), strict=True))


def functions_of(path: Path, text: str, tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(path, text, node)


def public_functions(path: Path, text: str, tree: ast.Module | ast.ClassDef) -> Iterator[Function]:
    for node in tree.body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public_functions(path, text, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(path, text, node)


# --- length


def statements_of(function: Function) -> list[ast.stmt]:
    """Return what it does, without its docstring."""
    return function.node.body[ast.get_docstring(function.node) is not None :]


def length_of(function: Function) -> int:
    """Return how many lines its statements have, without blank ones and comments."""
    if not (statements := statements_of(function)):
        return 0
    lines = function.text.splitlines()[statements[0].lineno - 1 : function.node.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def has_reason(function: Function) -> bool:
    """Return whether a comment right above it, or above its first statement, tells why."""
    node, lines = function.node, function.text.splitlines()
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    begins = statements_of(function)[0].lineno
    return any(lines[at - 2].strip().startswith(REASON) for at in (first, begins))


def test_a_function_has_forty_lines_of_code_at_most_or_says_why_it_is_in_one_piece():
    long = [
        f"{function}: {length_of(function)} lines"
        for module in modules("workbench") + modules("pico")
        for function in functions_of(*module)
        if function.node.end_lineno - function.node.lineno >= MOST_LINES
        and length_of(function) > MOST_LINES
        and not has_reason(function)
    ]
    assert long == []


# --- what a docstring tells; ruff sees to it that there is one


def array_names(tree: ast.Module, named: dict[str, set[str]]) -> set[str]:
    """Return the names that stand for an array in a module, its own and those it imports."""
    found = ARRAYS | own_array_names(tree)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module in named:
            found |= {each.name for each in node.names} & named[node.module]
    return found


def own_array_names(tree: ast.Module) -> set[str]:
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and is_array(node.value, ARRAYS)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_array(annotation: ast.expr | None, names: set[str]) -> bool:
    """Return whether a type is an array, may be one, or is a tuple with one."""
    match annotation:
        case ast.Name(id=name):
            return name in names
        case ast.BinOp(left=left, right=right):
            return is_array(left, names) or is_array(right, names)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=kinds)):
            return any(is_array(kind, names) for kind in kinds)
        case ast.Subscript(value=value):
            return is_array(value, names)
    return False


def test_a_public_function_that_takes_arrays_tells_their_shape():
    """Or its module tells it of all of them."""
    named = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): own_array_names(tree)
        for path, _, tree in modules("workbench")
    }
    silent = []
    for path, text, tree in modules("workbench"):
        names = array_names(tree, named)
        for function in public_functions(path, text, tree):
            arguments = function.node.args
            taken = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            if any(is_array(each.annotation, names) for each in taken):
                told = ast.get_docstring(function.node) or ""
                tells = SHAPE.search(told) or "of shape (" in (ast.get_docstring(tree) or "")
                silent += [] if tells else [str(function)]
    assert silent == []


def raised_by(body: list[ast.stmt], caught: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the names of the errors that statements raise and do not catch themselves."""
    for node in body:
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name)) | ast.Name(id=name)):
                if name[0].isupper() and not is_caught(name, caught):
                    yield name
            case ast.Try(body=tried, handlers=handlers, orelse=orelse, finalbody=finalbody):
                names = [n.id for h in handlers if h.type for n in ast.walk(h.type) if is_name(n)]
                yield from raised_by(tried, (*caught, *names))
                for part in (*(handler.body for handler in handlers), orelse, finalbody):
                    yield from raised_by(part, caught)
            case ast.FunctionDef() | ast.ClassDef():
                pass
            case ast.Match(cases=cases):
                for case in cases:
                    yield from raised_by(case.body, caught)
            case _:
                for part in ("body", "orelse"):
                    yield from raised_by(getattr(node, part, []), caught)


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def is_caught(name: str, caught: tuple[str, ...]) -> bool:
    if name in caught:
        return True
    kinds = tuple(getattr(builtins, each) for each in caught if hasattr(builtins, each))
    own = getattr(builtins, name, None) or getattr(workbench.errors, name, Exception)
    return bool(kinds) and issubclass(own, kinds)


def test_a_public_function_tells_which_errors_it_raises():
    """But for commands: their docstring is their help, and their errors are an exit code."""
    silent = [
        f"{function}: {name}"
        for path, text, tree in modules("workbench")
        if not path.stem.endswith(("command", "commands"))
        for function in public_functions(path, text, tree)
        for name in sorted(set(raised_by(function.node.body)) & (OWN_ERRORS | set(dir(builtins))))
        if name not in (ast.get_docstring(function.node) or "")
    ]
    assert silent == []


# --- tests


def test_no_two_modules_of_tests_have_one_name():
    """They would be one module to Python, and the second would not be collected."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
