"""What a params file asks for: one notebook's values, a sweep over them, or a list of runs.

`params/NAME/X.yaml` is a mapping of parameter values for `notebooks/NAME.ipynb`; `matrix`,
`include` and `exclude` beside them make many runs of it (see workbench.runs.sweep). A file may
instead name several notebooks, and each item may be a sweep in turn:

    runs:
      - {notebook: groove, params: tiny}            # the values of params/groove/tiny.yaml
      - {notebook: playback, params: {speed: 2.0}}  # values written here

YAML is read by its core schema (1.2, section 10.3.2): only `true` and `false` are bools, `1e-3`
is a number, `6:8`, `010` and `2026-01-31` are text. No key stands twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workbench.caching.fingerprint import fingerprint
from workbench.errors import OptionsError, RunsError
from workbench.options import did_you_mean, refuse
from workbench.runs.notebooks import Notebook, code_cells, read_notebook
from workbench.runs.parameters import (
    OUTPUT_DIR,
    Schema,
    Value,
    check_values,
    filled,
    read_schema,
)
from workbench.runs.places import PACKAGE
from workbench.runs.redaction import Redaction
from workbench.runs.sources import SourceTree
from workbench.runs.sweep import Sweep, combinations, read_sweep

FINGERPRINT_DIGITS = 10

_WORD = re.compile(r"\w[\w.-]*")
_ITEM_KEYS = ("notebook", "params")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run whose notebook and values are known to be good.

    Attributes:
        notebook: The notebook's name, without folder and ending.
        content: The notebook as it was when the values were checked.
        name: The run's name: the yaml's stem and the first digits of the fingerprint.
        fingerprint: Of code cells, parameters and the workbench sources that it imports.
        sources: Fingerprint of those sources alone.
        values: Every parameter's value.
        has_output_dir: Whether the notebook wants to know its run folder.
        rooms: Fingerprint of those sources by room.
    """

    notebook: str
    content: Notebook
    name: str
    fingerprint: str
    sources: str
    values: Mapping[str, Value]
    has_output_dir: bool
    rooms: Mapping[str, str] = field(default_factory=dict)


def plan(params: Path, top: Path) -> tuple[PlannedRun, ...]:
    """Return the runs that a params file asks for, all of them checked.

    Args:
        params: The yaml file.
        top: The project's top folder.

    Raises:
        OptionsError: With every mistake of every run, one a line.
    """
    project = _Project(top=top, tree=SourceTree(PACKAGE))
    try:
        values = read_yaml(params)
        if "runs" in values:
            return _plan_list(values, params, project)
        return _plan_values(params.absolute().parent.name, params, values, project)
    except OptionsError as error:  # a word in a wrong place may be a secret as well
        raise OptionsError(Redaction().text(str(error))) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Project:
    """What all runs of a params file have in common.

    Attributes:
        top: The project's top folder.
        tree: The workbench's sources.
    """

    top: Path
    tree: SourceTree


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping of a yaml file; an empty file is an empty mapping.

    Raises:
        OptionsError: It cannot be read, or is no mapping; with line and column.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_CoreLoader)
    except OSError as error:
        raise OptionsError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise OptionsError(f"{path}{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OptionsError(f"{path}: is no yaml text ({type(error).__name__})") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise OptionsError(f"{path}: is a {type(value).__name__}, want lines of `name: value`")
    return value


class _CoreLoader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's core scalars, refusing keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"{key!r} stands there twice; keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return mapping


_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_form})\Z"), _first
    )


def _plan_list(
    values: Mapping[Any, Any], params: Path, project: _Project
) -> tuple[PlannedRun, ...]:
    """Return the runs of a list."""
    items = values["runs"]
    mistakes = [f"{params}: {name!r} stands beside `runs:`" for name in values if name != "runs"]
    if not isinstance(items, list) or not items:
        mistakes.append(f"{params}: `runs:` is no list; write `- {{notebook: …, params: …}}` items")
        items = []
    planned: dict[tuple[str, str], PlannedRun] = {}
    for number, item in enumerate(items, start=1):
        try:
            for run in _plan_item(item, params, project):
                if (run.notebook, run.name) in planned:
                    raise OptionsError(f"{run.notebook} with the same values stands there twice")
                planned[run.notebook, run.name] = run
        except OptionsError as error:
            mistakes += [f"{params}: run {number}: {line}" for line in str(error).splitlines()]
    refuse(mistakes)
    return tuple(planned.values())


def _plan_item(item: object, params: Path, project: _Project) -> tuple[PlannedRun, ...]:
    """Return the runs of one item of a list."""
    if not isinstance(item, dict):
        raise OptionsError("is no `{notebook: …, params: …}`")
    unknown = [str(key) for key in item if key not in _ITEM_KEYS]
    refuse([f"unknown word {key!r}{did_you_mean(key, _ITEM_KEYS)}" for key in unknown])
    name, given = item.get("notebook"), item.get("params")
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise OptionsError("`notebook:` is no name of a notebook")
    if given is None or isinstance(given, dict):
        return _plan_values(name, params, given or {}, project)
    if not isinstance(given, str) or not _WORD.fullmatch(given):
        raise OptionsError("`params:` is neither a name nor a mapping of values")
    file = project.top / "params" / name / f"{given}.yaml"
    return _plan_values(name, file, read_yaml(file), project)


def _plan_values(
    name: str, params: Path, values: Mapping[Any, Any], project: _Project
) -> tuple[PlannedRun, ...]:
    """Return the runs of one notebook with some values, or with a sweep over them.

    Args:
        name: The notebook's.
        params: The file that holds the values; its stem names the runs.
        values: As they were read.
        project: What all runs have in common.

    Raises:
        OptionsError: With every mistake, each beginning with the file.
    """
    path, content = _read_named(name, params, project.top)
    schema = read_schema(content, path)
    try:
        sweep, mistakes = read_sweep(values)
        refuse(mistakes + _sweep_mistakes(schema, sweep))
        runs = [filled(schema, run) for run in combinations(sweep)]
    except OptionsError as error:
        raise OptionsError(
            "\n".join(f"{params}: {line}" for line in str(error).splitlines())
        ) from error
    cells = [cell["source"] for cell in code_cells(content)]
    sources = project.tree.sources(cells)
    planned = {}
    for full in runs:
        whole = fingerprint({"cells": cells, "parameters": full, "sources": sources.fingerprint})
        planned[whole] = PlannedRun(
            notebook=name,
            content=content,
            name=f"{params.stem}-{whole[:FINGERPRINT_DIGITS]}",
            fingerprint=whole,
            sources=sources.fingerprint,
            values=full,
            has_output_dir=OUTPUT_DIR in schema,
            rooms=sources.rooms,
        )
    if len(planned) < len(runs):  # a value written out that is the default as well
        raise OptionsError(f"{params}: runs with the same values stand there twice; keep one")
    return tuple(planned.values())


def _sweep_mistakes(schema: Schema, sweep: Sweep) -> list[str]:
    """Return what is wrong with the values of a sweep, each with its place in the file."""
    mistakes: dict[str, None] = {}  # each once, though an unknown name has several values
    for place, values in sweep.parts():
        try:
            check_values(schema, values)
        except OptionsError as error:
            mistakes |= {f"{place}{line}": None for line in str(error).splitlines()}
    return list(mistakes)


def _read_named(name: str, params: Path, top: Path) -> tuple[Path, Notebook]:
    """Return the file and the content of the notebook that a params file is for."""
    path = top / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        known = [file.stem for file in sorted(path.parent.glob("*.ipynb"))]
        raise OptionsError(f"{params}: there is no notebook {name!r}{did_you_mean(name, known)}")
    if not _WORD.fullmatch(params.stem):
        raise OptionsError(f"{params}: its name is no word; rename it")
    try:
        return path, read_notebook(path)
    except RunsError as error:
        raise OptionsError(str(error)) from error
