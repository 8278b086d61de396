"""The `workbench runs …` commands: flags in, one call of the room, a reply out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from workbench.errors import OptionsError
from workbench.reply import Reply
from workbench.runs import cleaning, comparing
from workbench.runs.cleaning import CleanOptions
from workbench.runs.comparison_report import comparison_report
from workbench.runs.listing import StoredRun, differing, stored_runs
from workbench.runs.page import Page
from workbench.runs.places import root
from workbench.runs.telling import (
    TIME,
    change_text,
    error_text,
    exact_text,
    headline,
    line,
    places_text,
    value_text,
)

_PAGE = Parameter(name="--html")

_MOST_COLUMNS = 8  # parameters, and results, in a table
_WIDEST = 24  # characters of a value in a table


def ls(
    notebook: str = "", *, outputs: Path | None = None, page: Annotated[Path | None, _PAGE] = None
) -> Reply:
    """List runs: how they ended, and where their parameters and results differ.

    Args:
        notebook: The only one whose runs are listed, NOTEBOOK or NOTEBOOK/PARAMS; all if empty.
        outputs: The folder of all results; the project's outputs/ when not given.
        page: A file that gets a page of them, which opens offline, with small plots and errors.
    """
    place = _outputs(outputs)
    found = stored_runs(place)
    listing = found.of(notebook) if notebook else found
    names = dict.fromkeys(run.notebook for run in listing.runs)
    tables = [_table_of([run for run in listing.runs if run.notebook == name]) for name in names]
    parts = tables or [f"{place}: no runs"]
    parts += ["\n".join(map(line, listing.notes))] * bool(listing.notes)
    values = {"runs": [run.as_json() for run in listing.runs], "notes": list(listing.notes)}
    reply = Reply(values=values, text="\n\n".join(parts))
    if page is None:
        return reply
    # matplotlib takes 1 s to import, which a table in the terminal need not wait for.
    from workbench.runs.index_report import index_report  # noqa: PLC0415

    return _with_page(reply, index_report(listing), page)


def show(run: str, *, outputs: Path | None = None) -> Reply:
    """Tell all about one run.

    Args:
        run: Its folder, or [NOTEBOOK/]RUN, or as much of that as no other run begins with.
        outputs: The folder of all results; the project's outputs/ when not given.
    """
    found = stored_runs(_outputs(outputs)).find(run)
    values = found.whole_json()
    lines = _pairs({"run": headline(found), "notebook": values["notebook_path"]})
    if error := values["error"]:
        lines.append(f"error: {line(error_text(error))}")
    for name in ("parameters", "results", "versions", "git"):
        if values[name]:
            lines += ["", f"{name}:", *_indented(_pairs(values[name]))]
    return Reply(values=values, text="\n".join(lines))


def compare(
    a: str,
    b: str,
    *,
    outputs: Path | None = None,
    page: Annotated[Path | None, _PAGE] = None,
) -> Reply:
    """Tell what differs from run A to run B: parameters, code, results, pictures, versions, git.

    Args:
        a: The one run, named as in `show`.
        b: The other.
        outputs: The folder of all results; the project's outputs/ when not given.
        page: A file that gets a page of it, which opens offline, with the pictures side by side.
    """
    listing = stored_runs(_outputs(outputs))
    found = comparing.compare(listing.find(a), listing.find(b))
    lines = [f"a: {headline(found.a)}", f"b: {headline(found.b)}", *map(line, found.notes)]
    for name in ("parameters", "results", "versions", "git"):
        rows = [_difference_row(each) for each in getattr(found, name)]
        if rows:
            lines += ["", f"{name}:", *_indented(_table([["", "a", "b", "change"], *rows]))]
    for cell in found.code:
        lines += ["", f"code, {places_text(cell.cells)}:", *_indented(map(line, cell.lines))]
    pictures = [_picture_line(pair) for pair in found.other_pictures]
    lines += ["", "pictures that differ:", *_indented(pictures)] if pictures else []
    if found.is_empty and not found.notes:
        lines += ["", "nothing differs"]
    code = 1 if found.notes else 0
    reply = Reply(values=found.as_json(), text="\n".join(lines), code=code)
    return reply if page is None else _with_page(reply, comparison_report(found), page)


def clean(
    options: Annotated[CleanOptions | None, Parameter(name="*")] = None,
    *,
    outputs: Path | None = None,
) -> Reply:
    """Delete failed runs, parts, or old runs, and none that somebody is at work on.

    --failed and --parts select one kind each, --older-than the old ones of these; by itself it
    selects old runs of every kind. Without any of the three nothing is deleted.

    Args:
        options: Which runs.
        outputs: The folder of all results; the project's outputs/ when not given.
    """
    report = cleaning.clean(options or CleanOptions(), _outputs(outputs), datetime.now(UTC))
    text = "\n".join(map(line, report.lines()))
    return Reply(values=report.as_json(), text=text, code=report.exit_code)


def _with_page(reply: Reply, made: Page, path: Path) -> Reply:
    """Write a page, and return the reply that tells of it."""
    made.save(path)
    values = {**reply.values, "html": path.as_posix()}
    return replace(reply, values=values, text=f"{reply.text}\n\n{path}: a page that opens offline")


def _outputs(given: Path | None) -> Path:
    """Return the folder of all results.

    Raises:
        OptionsError: The one that was given is not there.
    """
    if given is not None and not given.is_dir():
        raise OptionsError(f"{given}: is no folder; --outputs names that of all results")
    return root() / "outputs" if given is None else given.resolve()


def _table_of(runs: Sequence[StoredRun]) -> str:
    """Return the table of one notebook's runs, and how many columns were left out."""
    whole = [run for run in runs if run.state != "part"]
    parameters = differing([run.parameters for run in whole])
    results = list(dict.fromkeys(name for run in whole for name in run.results))
    hidden = sum(max(0, len(names) - _MOST_COLUMNS) for names in (parameters, results))
    del parameters[_MOST_COLUMNS:], results[_MOST_COLUMNS:]
    rows = [["notebook", "run", "state", "when (UTC)", "seconds", *parameters, *results]]
    for run in runs:
        seconds = run.told.get("seconds")
        row = [run.notebook, run.folder.name, run.state, run.at.strftime(TIME)]
        row.append("-" if seconds is None else f"{seconds:.1f}")
        row += [_cell(run.parameters, name) for name in parameters]
        rows.append(row + [_cell(run.results, name) for name in results])
    lines = _table(rows, left=4)
    return "\n".join(lines + [f"{hidden} more columns; --json tells all"] * bool(hidden))


def _table(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return rows as lines, the first columns flush left, the others flush right."""
    told = [[line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place < left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in told
    ]


def _picture_line(pair: comparing.PicturePair) -> str:
    place = f"{places_text(pair.cells)}, " if pair.cells else ""
    is_plain = pair.cells or (pair.a and pair.b)
    whose = "" if is_plain else f" of {'a' if pair.a else 'b'} alone"
    return line(f"{place}{pair.name}{whose}")


def _difference_row(each: comparing.Difference) -> list[str]:
    values = (exact_text(each.values, side) for side in ("a", "b"))
    return [each.name, *values, change_text(each.change)]


def _cell(values: Mapping[str, Any], name: str) -> str:
    text = value_text(values[name]) if name in values else "-"
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{line(name)}: {line(value_text(value))}" for name, value in values.items()]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}".rstrip() for line in lines]
