"""A page of two runs: what was asked, how the code differs, what came out, pictures side by side.

Units: sizes are bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs import page
from workbench.runs.comparing import CellDifference, Comparison, Difference, PicturePair
from workbench.runs.listing import StoredRun
from workbench.runs.page import Cell, Page
from workbench.runs.shown import ShownPicture
from workbench.runs.telling import change_text, error_text, exact_text, headline, places_text

MOST_BYTES = 30_000_000  # of all pictures of a page


def comparison_report(found: Comparison) -> Page:
    """Return the page of two runs."""
    a, b = found.a, found.b
    books = " and ".join(dict.fromkeys((a.notebook, b.notebook)))
    body = f"<h1>Two runs of {page.text(books)}</h1>\n"
    body += "".join(f"<p><b>{side}</b> {_head(run)}</p>\n" for side, run in (("a", a), ("b", b)))
    body += "".join(f"<p>{page.text(note)}</p>\n" for note in found.notes)
    if found.is_empty and not found.notes:
        body += "<p>Nothing differs between them.</p>\n"
    body += _values("Parameters", found.parameters, a.parameters)
    body += _values("Results", found.results, a.results)
    body += code_part(found.code) + pictures_part(found.pictures)
    body += _values("Versions", found.versions, {}) + _values("Git", found.git, {})
    return Page(title=f"{a.name} and {b.name}", body=body)


def differences_table(differences: Sequence[Difference]) -> str:
    """Return the table of values that are not the same, with all their digits."""
    rows = [
        [
            Cell(markup=page.text(each.name)),
            *(_exact(each.values, side) for side in ("a", "b")),
            Cell(markup=page.text(change_text(each.change)), kind="number"),
        ]
        for each in differences
    ]
    return page.table(["name", "a", "b", "change"], rows)


def code_part(code: Sequence[CellDifference]) -> str:
    """Return the code cells that differ, each as a unified difference."""
    body = "<h2>Code</h2>\n" * bool(code)
    for cell in code:
        body += f"<h3>{page.text(places_text(cell.cells))}</h3>\n"
        moved = '<p class="quiet">The same, in another place.</p>\n'
        body += page.code(cell.lines, is_difference=True) if cell.lines else moved
    return body


def pictures_part(pairs: Sequence[PicturePair]) -> str:
    """Return all pictures of two runs side by side, those that are the same once and folded."""
    body = "<h2>Pictures</h2>\n" * bool(pairs)
    room = MOST_BYTES
    left_out = 0
    same = ""
    for pair in pairs:
        size = sum(len(one.content) for one in {pair.a, pair.b} if one is not None)
        if size > room:
            left_out += 1
            continue
        room -= size
        if pair.is_same:
            same += f"<h3>{_name(pair)}</h3>\n{_figure(pair.a, 'a and b')}"
        else:
            sides = _figure(pair.a, "a") + _figure(pair.b, "b")
            body += f'<h3>{_name(pair)}</h3>\n<div class="pair">{sides}</div>\n'
    count = sum(pair.is_same for pair in pairs)
    if same:
        body += page.folded(f"The same in both runs: {count}", same)
    if left_out:
        limit = f"{MOST_BYTES // 1_000_000} MB"
        body += f'<p class="quiet">{left_out} pictures beyond {limit} are left out.</p>\n'
    return body


def _head(run: StoredRun) -> str:
    told = page.text(headline(run))
    error = run.told["error"]
    return told + (f"<br>{page.text(error_text(error))}" if error else "")


def _values(title: str, differences: Sequence[Difference], of_a: Mapping[str, Any]) -> str:
    """Return one kind of values: what differs, and folded what does not."""
    other = {each.name for each in differences}
    same = {name: value for name, value in of_a.items() if name not in other}
    if not differences and not same:
        return ""
    body = f"<h2>{title}</h2>\n"
    body += differences_table(differences) if differences else "<p>Nothing differs.</p>\n"
    return body + (
        page.folded(f"The same in both runs: {len(same)}", page.pairs_table(same)) if same else ""
    )


def _exact(values: Mapping[str, Any], side: str) -> Cell:
    value = values.get(side)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(markup=page.text(exact_text(values, side)), kind="number" * is_number)


def _name(pair: PicturePair) -> str:
    place = f"{places_text(pair.cells)}, " if pair.cells else ""
    return page.text(place + pair.name)


def _figure(picture: ShownPicture | None, side: str) -> str:
    if picture is None:
        return f'<figure><div class="none">{side} has none</div></figure>\n'
    caption = page.text(f"{side}: {picture.name}" if picture.name else side)
    image = f'<img src="{picture.url()}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>\n"
