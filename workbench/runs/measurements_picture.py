"""The ratios of a table of measurements as bars around 1, on an axis of logarithms.

A bar that goes to the right is better than what stands beside it, one to the left is worse; a
whisker goes from the least of its turns to the most. Units: times better.
"""

from itertools import count

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from workbench.errors import RunsError
from workbench.figures import (
    BLUE,
    GRID,
    INK,
    LARGE,
    ORANGE,
    SMALL,
    Picture,
    digest_of,
    new_figure,
    quiet,
)
from workbench.runs.measurements import Measurements, Row, number_text

_BAR = 0.27  # inches
_LONGEST = 62  # characters of a name


def gains_picture(found: Measurements) -> Picture:
    """Draw how much better or worse everything is than what stands beside it, by pillar.

    Raises:
        RunsError: Nothing stands beside anything.
    """
    groups = {pillar: [row for row in found.of(pillar) if row.gains] for pillar in found.pillars}
    groups = {pillar: rows for pillar, rows in groups.items() if rows}
    if not groups:
        raise RunsError("no row of the measurements stands beside something else; run `make bench`")
    drawn = [row.gains for rows in groups.values() for row in rows if row.gains]
    figure = new_figure(height=_BAR * (len(drawn) + len(groups)) + 0.9)
    axes = figure.subplots()
    axes.set_xscale("log")
    places, names = count(), {}
    for pillar, rows in groups.items():
        _write(axes, next(places), pillar)
        for row in rows:
            place = next(places)
            names[place] = _shortened(row.what)
            _draw(axes, place, row)
    _finish(axes, names, next(places))
    caption = f"{len(drawn)} ratios, {len(found.losing)} of them lose"
    return Picture(figure, caption, digest_of(drawn))


def _draw(axes: Axes, place: int, row: Row) -> None:
    """Draw one bar, its whisker, and what it stands beside."""
    assert row.gains is not None  # its caller chose those that have them
    value, least, most = row.gains
    colour = BLUE if value >= 1 else ORANGE
    axes.barh(place, value - 1, left=1, height=0.62, color=colour, alpha=0.85, linewidth=0)
    if least < most:
        axes.hlines(place, least, most, color=INK, linewidth=1.0)
        axes.plot([least, most], [place, place], "|", color=INK, markersize=5)
    axes.annotate(
        f"{number_text(value)}  {row.against}",
        (max(value, most, 1), place),
        xytext=(7, 0),
        textcoords="offset points",
        color=INK,
        fontsize=SMALL - 1,
        va="center",
    )


def _write(axes: Axes, place: int, pillar: str) -> None:
    axes.text(
        -0.005,
        place,
        pillar,
        transform=axes.get_yaxis_transform(),
        color=INK,
        fontsize=LARGE,
        weight="bold",
        ha="right",
        va="center",
    )


def _finish(axes: Axes, names: dict[int, str], rows: int) -> None:
    """Name the bars, and leave room for what is written to their right."""
    axes.set_yticks(list(names), list(names.values()))
    axes.set_ylim(rows - 0.4, -0.6)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.45)
    axes.axvline(1, color=INK, linewidth=1)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("times better than what stands beside it", loc="left", color=INK, fontsize=LARGE)
    quiet(axes, SMALL - 1)
    axes.tick_params(axis="y", length=0)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1].rstrip() + "…"
