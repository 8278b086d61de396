"""The morning's page: what became of the runs below a folder, in tables, small plots and errors."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from workbench.errors import RunsError
from workbench.runs import page
from workbench.runs.listing import Listing, State, StoredRun, differing
from workbench.runs.multiples import Pane, all_panes, latest
from workbench.runs.page import Cell, Page
from workbench.runs.pictures import COLOURS, SIGNS, pane_svg
from workbench.runs.shown import own_cells
from workbench.runs.telling import TIME, error_text, value_text

MOST_PANES = 12  # in a row of small plots
MOST_FAILURES = 50  # told with their code

_TRACEBACK_LINES = 40


def index_report(listing: Listing) -> Page:
    """Return the page of some runs: a part for each params file of each notebook.

    Each part has a table, in which the parameters stand that vary, small multiples of what was
    recorded, and the failed runs with error, cell and traceback.
    """
    groups: dict[str, list[StoredRun]] = {}
    for run in listing.runs:
        groups.setdefault(f"{run.notebook}/{run.stem}", []).append(run)
    head = f"<h1>Runs</h1>\n<p>{page.text(_counts(listing.runs))}</p>\n"
    body = head + _contents(groups) * (len(groups) > 1)
    for number, (name, runs) in enumerate(groups.items()):
        body += f'<section id="part-{number}"><h2>{page.text(name)}</h2>\n'
        body += "".join(_part(runs)) + "</section>\n"
    if listing.notes:
        # A page goes to other people, whom the folders of this computer do not concern.
        short = [note.replace(f"{listing.outputs}/", "") for note in listing.notes]
        notes = "".join(f"<li>{page.text(note)}</li>" for note in short)
        body += f"<h2>Left out</h2><ul>{notes}</ul>"
    return Page(title=f"Runs: {_counts(listing.runs)}", body=body)


def runs_table(runs: Sequence[StoredRun]) -> str:
    """Return the table of some runs of one notebook, with the parameters that vary."""
    whole = [run for run in runs if run.state != "part"]
    parameters = differing([run.parameters for run in whole])
    results = list(dict.fromkeys(name for run in whole for name in run.results))
    has_codes = len({run.code for run in whole}) > 1
    head = ["run", "state", "ended (UTC)", "seconds", *["code"] * has_codes]
    rows = [
        [
            Cell(markup=page.text(run.folder.name), kind="name"),
            Cell(markup=run.state, kind=f"state {run.state}"),
            Cell(markup=run.at.strftime(TIME), value=run.at.isoformat(), kind="name"),
            _seconds(run),
            *[Cell(markup=page.text(run.code), kind="name")] * has_codes,
            *(page.value_cell(run.parameters, name) for name in parameters),
            *(page.value_cell(run.results, name) for name in results),
        ]
        for run in runs
    ]
    return page.table([*head, *parameters, *results], rows, is_sortable=True)


def multiples(rows: Iterable[Sequence[Pane]]) -> str:
    """Return rows of small plots, each with its legend."""
    body = ""
    for panes in rows:
        one = panes[0]
        split = f" by {one.by}" if one.by else ""
        body += f"<h3>Over {page.text(one.x)}{page.text(split)}</h3>\n"
        if one.others:
            others = ", ".join(one.others)
            body += f'<p class="quiet">Lines are means over {page.text(others)}.</p>\n'
        body += _legend(one) * bool(one.by)
        drawn = "".join(map(pane_svg, panes[:MOST_PANES]))
        body += f'<div class="panes">{drawn}</div>\n'
        if len(panes) > MOST_PANES:
            left = ", ".join(pane.result for pane in panes[MOST_PANES:])
            body += f'<p class="quiet">Not drawn: {page.text(left)}</p>\n'
    return body


def _part(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Yield what is told of the runs of one params file."""
    yield f"<p>{page.text(_counts(runs))}</p>\n"
    yield runs_table(runs)
    whole = [run for run in runs if run.state != "part"]
    varying = differing([run.parameters for run in whole])
    if len(whole) > 1:
        common = {n: v for n, v in whole[0].parameters.items() if n not in varying}
        if common:
            yield page.folded("Parameters that all have in common", page.pairs_table(common))
    records = [run.as_json() for run in runs]
    yield multiples(all_panes(records))
    older = sum(run.state == "done" for run in runs) - len(latest(records))
    if older:
        told = f"{older} older runs with the same parameters as later ones are not drawn."
        yield f'<p class="quiet">{told}</p>\n'
    failed = [run for run in runs if run.state == "failed"]
    if failed:
        yield f"<h3>Failed: {len(failed)}</h3>\n"
        yield from (_failure(run, varying) for run in failed[:MOST_FAILURES])
    if len(failed) > MOST_FAILURES:
        yield f'<p class="quiet">{len(failed) - MOST_FAILURES} more are in the table.</p>\n'


def _failure(run: StoredRun, varying: Sequence[str]) -> str:
    """Return one failed run: its error, and folded its cell and the traceback."""
    asked = ", ".join(
        f"{name} {value_text(run.parameters[name])}" for name in varying if name in run.parameters
    )
    error = run.told["error"]
    told = error_text(error) if error else "no error was kept"
    head = f"<b>{page.text(run.folder.name)}</b>" + f", {page.text(asked)}" * bool(asked)
    body = f'<div class="failure"><p>{head}</p>\n<p>{page.text(told)}</p>\n'
    if error and isinstance(error["cell"], int):
        body += _failed_cell(run, error["cell"])
    return body + "</div>\n"


def _failed_cell(run: StoredRun, place: int) -> str:
    try:
        cell = dict(own_cells(run)).get(place)
    except RunsError as error:
        return f'<p class="quiet">{page.text(str(error))}</p>'
    if cell is None:
        return ""
    body = page.code(cell["source"].splitlines())
    for output in cell.get("outputs", []):
        lines = output.get("traceback")
        if output.get("output_type") == "error" and isinstance(lines, list):
            told = "\n".join(map(str, lines)).splitlines()
            body += page.code(told[-_TRACEBACK_LINES:])
    return page.folded(f"cell {place} and its traceback", body)


def _contents(groups: Iterable[str]) -> str:
    links = "".join(
        f'<li><a href="#part-{number}">{page.text(name)}</a></li>'
        for number, name in enumerate(groups)
    )
    return f"<nav><ul>{links}</ul></nav>\n"


def _legend(pane: Pane) -> str:
    entries = "".join(
        f'<li><span style="color: {COLOURS[number % len(COLOURS)]}" aria-hidden="true">'
        f"{SIGNS[number % len(SIGNS)]}</span> {page.text(f'{pane.by} {line.name}')}</li>"
        for number, line in enumerate(pane.lines)
    )
    return f'<ul class="legend">{entries}</ul>\n'


def _counts(runs: Sequence[StoredRun]) -> str:
    counts = Counter(run.state for run in runs)
    words: Mapping[State, str] = {"done": "done", "failed": "failed", "part": "not at their end"}
    return ", ".join(f"{counts[s]} {word}" for s, word in words.items() if counts[s]) or "none"


def _seconds(run: StoredRun) -> Cell:
    seconds = run.told.get("seconds")
    told = "" if seconds is None else f"{seconds:.1f}"
    return Cell(markup=told, value=told, kind="number")
