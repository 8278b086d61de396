"""Pictures of what was run: small multiples of a sweep, for a notebook and for a page.

On a page the words have the colour of what is around them, light or dark, and the points have
colours that are seen on either.
"""

import io
import itertools
import math
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.errors import RunsError
from workbench.figures import GRID, INK, LARGE, SMALL, Picture, digest_of, new_figure, quiet
from workbench.runs.multiples import Line, Pane, Record, panes
from workbench.runs.telling import value_text

# Told apart with any kind of colour vision, and in grey by their markers.
COLOURS = ("#3b7dbf", "#d9622b", "#0c9c64", "#a05fb5", "#b08a00", "#c23b62", "#4aa3a8", "#7f8c9a")
MARKERS = "os^DvPX*"
SIGNS = "●■▲◆▼✚✖★"  # the markers as letters

_WIDE, _HIGH = 3.4, 2.5  # inches of a pane
_MOST_COLUMNS = 3
_MOST_TICKS = 12
_MOST_PLACES = 8  # of a number, to have a tick each
_LONGEST_TICK = 14
_LINE = 24  # characters of ticks that stand side by side


def small_multiples(
    records: Sequence[Record], *, x: str = "", by: str = "", results: Sequence[str] = ()
) -> Picture:
    """Draw each recorded number over a parameter that varies, in a small plot of its own.

    Args:
        records: Runs of one notebook, as `StoredRun.as_json` gives them.
        x: The parameter that they are seen over; chosen by itself when empty.
        by: The parameter whose values have a line each; chosen by itself when empty.
        results: The only numbers that are drawn, where it is not empty.

    Raises:
        OptionsError: A parameter is named that does not vary.
        RunsError: There is nothing to draw.
    """
    found = [p for p in panes(records, x=x, by=by) if not results or p.result in results]
    if not found:
        raise RunsError(
            f"nothing to draw of {len(records)} runs; at least two that are done, with a parameter "
            "that varies and a recorded number, can be drawn"
        )
    columns = min(len(found), _MOST_COLUMNS)
    rows = -(-len(found) // columns)
    figure = new_figure(width=_WIDE * columns + 1.0, height=_HIGH * rows)
    for number, pane in enumerate(found, start=1):
        _draw(figure.add_subplot(rows, columns, number), pane)
    _draw_legend(figure, found[0])
    numbers = [point for pane in found for line in pane.lines for point in line.points]
    told = f"{', '.join(pane.result for pane in found)} over {found[0].x}"
    return Picture(figure, told + (f" by {found[0].by}" if found[0].by else ""), digest_of(numbers))


def pane_svg(pane: Pane) -> str:
    """Return one pane as an element of a page, without a legend."""
    figure = Figure(figsize=(_WIDE, _HIGH), layout="constrained")
    _draw(figure.add_subplot(), pane)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": pane.result}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 role="img"', drawn, count=1)
    drawn = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn, count=1)
    return drawn.replace(INK, "currentColor").replace(GRID, "rgba(127, 140, 154, 0.35)")


def _draw(axes: Axes, pane: Pane) -> None:
    axes.set_title(pane.result, loc="left", color=INK, fontsize=LARGE, parse_math=False)
    axes.set_xlabel(pane.x, color=INK, fontsize=SMALL, parse_math=False)
    if pane.is_logarithmic:
        axes.set_xscale("log")
    for number, line in enumerate(pane.lines):
        _draw_line(axes, line, number)
    if pane.ticks:
        every = -(-len(pane.ticks) // _MOST_TICKS)
        names = [_short(name) for name in pane.ticks[::every]]
        is_long = sum(map(len, names)) > _LINE
        axes.set_xticks(range(0, len(pane.ticks), every), names, parse_math=False)
        axes.tick_params(axis="x", rotation=30 * is_long)
        axes.set_xlim(-0.5, len(pane.ticks) - 0.5)
    elif places := _clear_ticks(pane):
        axes.set_xticks(places, [value_text(place) for place in places], minor=False)
        axes.set_xticks([], minor=True)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.spines[["left", "bottom"]].set_color(GRID)
    quiet(axes)
    axes.tick_params(which="both", color=GRID)


def _draw_line(axes: Axes, line: Line, number: int) -> None:
    colour, marker = _look(number)
    if not line.points:
        return
    axes.plot(*zip(*line.means, strict=True), color=colour, linewidth=1.4)
    axes.plot(*zip(*line.points, strict=True), color=colour, marker=marker, markersize=5, lw=0)


def _draw_legend(figure: Figure, pane: Pane) -> None:
    if not pane.by:
        return
    handles = []
    for number in range(len(pane.lines)):
        colour, marker = _look(number)
        handles.append(mpl.lines.Line2D([], [], color=colour, marker=marker, markersize=5))
    # A name that begins with an underscore would be left out.
    names = [f" {_short(line.name)}" for line in pane.lines]
    legend = figure.legend(
        handles, names, title=pane.by, loc="outside right upper", frameon=False, fontsize=SMALL
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
        text.set_color(INK)


def _clear_ticks(pane: Pane) -> list[float]:
    """Return the places of a pane where they are few and far enough apart to have a tick each."""
    found = sorted({place for line in pane.lines for place, _ in line.points})
    at = [math.log(place) for place in found] if pane.is_logarithmic else found
    gaps = [after - before for before, after in itertools.pairwise(at)]
    is_clear = len(found) <= _MOST_PLACES and all(gap >= 0.1 * (at[-1] - at[0]) for gap in gaps)
    return found if is_clear else []


def _look(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TICK else f"{text[: _LONGEST_TICK - 1]}…"
