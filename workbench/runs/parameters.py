"""The parameters cell of a notebook is the schema of its yaml files.

Each line of the cell tagged `parameters` is `name: type = default  # meaning, unit [low..high]
{a, b}`; a type is bool, int, float or str, `| None` may follow, and the range and the choices
are there where they apply (notation of workbench.options). One name belongs to the run itself:
`output_dir: str = ""  # where files go; a scratch folder when empty`.
"""

import ast
import io
import math
import re
import tokenize
from collections.abc import Mapping
from pathlib import Path

from workbench.errors import OptionsError
from workbench.options import Parameter, parse_note, problems, refuse
from workbench.runs.notebooks import PARAMETERS_TAG, Notebook, tags
from workbench.runs.redaction import is_secret, is_secret_name

OUTPUT_DIR = "output_dir"
FORM = "`name: type = default  # meaning, unit [low..high] {a, b}`"

Schema = Mapping[str, Parameter]
Value = bool | int | float | str | None

_TYPE = re.compile(r"(bool|int|float|str)( \| None)?")
_KINDS: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


def read_schema(notebook: Notebook, path: Path) -> dict[str, Parameter]:
    """Return what the parameters of a notebook may be.

    Args:
        notebook: Its content.
        path: Its file, named in the mistakes.

    Raises:
        OptionsError: There is not exactly one parameters cell, or lines of it are malformed; all
            of them are told, by line.
    """
    cells = [cell for cell in notebook["cells"] if PARAMETERS_TAG in tags(cell)]
    if len(cells) != 1 or cells[0]["cell_type"] != "code":
        raise OptionsError(
            f"{path}: {len(cells)} cells tagged `parameters`, want one code cell; "
            "tag the second cell of the notebook and no other"
        )
    return parse_schema(cells[0]["source"], f"{path}: parameters cell")


def parse_schema(source: str, where: str) -> dict[str, Parameter]:
    """Return what the parameters in the source of a parameters cell may be.

    Args:
        source: The cell's text.
        where: What the mistakes begin with.

    Raises:
        OptionsError: Lines are malformed; all of them are told.
    """
    try:
        statements = ast.parse(source).body
        lines = io.StringIO(source).readline
        comments = {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(lines)
            if token.type == tokenize.COMMENT
        }
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None) or 1
        raise OptionsError(f"{where}, line {line}: is no Python; each line is {FORM}") from error
    schema: dict[str, Parameter] = {}
    mistakes = []
    for statement in statements:
        try:
            parameter = _parameter(statement, comments.get(statement.end_lineno or 0, ""))
            if parameter.name in schema:
                raise OptionsError(f"{parameter.name} stands there twice; keep one")
            schema[parameter.name] = parameter
        except OptionsError as error:
            mistakes.append(f"{where}, line {statement.lineno}: {error}")
    refuse(mistakes)
    return schema


def check_values(schema: Schema, values: Mapping[str, object]) -> None:
    """Refuse values that a notebook does not take, and secrets.

    Raises:
        OptionsError: With every mistake, one a line; a secret's value is never told.
    """
    mistakes = []
    for name, value in values.items():
        if problem := _forbidden(schema, name, value):
            mistakes.append(problem)
        else:
            mistakes += problems(_settable(schema), {name: value})
    refuse(mistakes)


def filled(schema: Schema, values: Mapping[str, object]) -> dict[str, Value]:
    """Return the value of every parameter, defaults included, without `output_dir`.

    Whole numbers given for floats become floats, so that equal runs have equal values.
    """
    return {
        name: _as_kind(values.get(name, parameter.default), parameter.kind)
        for name, parameter in _settable(schema).items()
    }


def _settable(schema: Schema) -> dict[str, Parameter]:
    return {name: schema[name] for name in schema if name != OUTPUT_DIR}


def _as_kind(value: object, kind: type) -> Value:
    if kind is float and isinstance(value, int):
        return float(value)
    assert value is None or isinstance(value, bool | int | float | str)  # checked by check_values
    return value


def _parameter(statement: ast.stmt, comment: str) -> Parameter:
    """Return the parameter of one line.

    Raises:
        OptionsError: It has not the form.
    """
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise OptionsError(f"`{ast.unparse(statement).splitlines()[0][:60]}`; write {FORM}")
    name = statement.target.id
    kind = _TYPE.fullmatch(ast.unparse(statement.annotation))
    if kind is None:
        raise OptionsError(f"{name}: its type is none of bool, int, float, str, `… | None`")
    note = parse_note(comment.removeprefix("#").strip())
    if statement.value is None or not note["meaning"]:
        missing = "default" if statement.value is None else "meaning in a comment"
        raise OptionsError(f"{name} has no {missing}; write {FORM}")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError, SyntaxError) as error:
        raise OptionsError(f"{name}: its default is no plain value; write it out") from error
    parameter = Parameter(
        name=name, kind=_KINDS[kind[1]], default=default, optional=bool(kind[2]), **note
    )
    if name == OUTPUT_DIR and (parameter.kind is not str or default != ""):
        raise OptionsError(f'{OUTPUT_DIR} belongs to the run; write `{OUTPUT_DIR}: str = ""`')
    own = {} if name == OUTPUT_DIR else {name: parameter}
    check_values(own, dict.fromkeys(own, default))
    return parameter


def _forbidden(schema: Schema, name: object, value: object) -> str | None:
    """Return why a value may not be a parameter of any notebook, or None."""
    if not isinstance(name, str):
        return f"{name!r} is {type(name).__name__}; names of parameters are words"
    if is_secret(name) or _carries_secret(schema, name, value):
        shown = "a name" if is_secret(name) else name
        return f"{shown}: looks like a secret; give it by the environment, never as a parameter"
    if name == OUTPUT_DIR:
        return f"{OUTPUT_DIR}: is set by the run itself; leave it out"
    if not isinstance(value, bool | int | float | str | None):
        kind = schema[name].kind.__name__ if name in schema else "a single value"
        return f"{name}: is a {type(value).__name__}, want {kind}"
    return _unwritable(name, value, wants_float=name in schema and schema[name].kind is float)


def _unwritable(name: str, value: Value, *, wants_float: bool) -> str | None:
    """Return why a value has no JSON, or None."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{name}: holds half a character (a lone surrogate); write it out"
    elif isinstance(value, float) or (wants_float and isinstance(value, int)):
        try:
            is_finite = math.isfinite(value)
        except OverflowError:
            is_finite = False
        if not is_finite:
            return f"{name}: is no finite number"
    return None


def _carries_secret(schema: Schema, name: str, value: object) -> bool:
    if isinstance(value, str) and is_secret(value):
        return True
    is_number = name in schema and schema[name].kind is not str
    return is_secret_name(name) and not is_number and value not in ("", None, False, True)
