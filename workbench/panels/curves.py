"""Small curves as SVG, for panels that are drawn anew several times a second."""

import html
from collections.abc import Sequence

from workbench.figures import GRID

WIDTH, HEIGHT = 380, 130  # pixels
LEFT, TOP, RIGHT, BOTTOM = 46, 22, 10, 12  # around the points

_DOTTED = 40  # points that are few enough for a dot each
_MOST = 300


def curve(
    title: str,
    points: Sequence[tuple[float, float]],
    total: float,
    colour: str,
    *,
    limits: tuple[float, float] | None = None,
) -> str:
    """Return a curve from 0 to the right edge, or nothing where there are no points.

    Args:
        title: What it shows, with its unit.
        points: Finite places and values, places rising.
        total: The place of the right edge.
        colour: Of the line; the words have the colour of what is around them.
        limits: Values of the lower and the upper edge; those that there are when None.
    """
    if not points:
        return ""
    values = [value for _, value in points]
    low, high = limits or (min(values), max(values))
    spread = (high - low) or 1.0
    across, down = (WIDTH - LEFT - RIGHT) / max(total, 1), (HEIGHT - TOP - BOTTOM) / spread
    places = [(LEFT + x * across, TOP + (high - y) * down) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
        for x, y in (places if len(places) <= _DOTTED else ())
    )
    name, last = html.escape(title), f"{values[-1]:.4g}"
    text = 'font-size="12" fill="currentColor" font-family="sans-serif"'
    floor = HEIGHT - BOTTOM
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="flex: 0 1 {WIDTH}px; min-width: 0" role="img" aria-label="{name}: {last}">'
        f'<text x="{LEFT}" y="13" {text}>{name}</text>'
        f'<text x="{WIDTH - RIGHT}" y="13" text-anchor="end" {text}>{last}</text>'
        f'<text x="{LEFT - 5}" y="{TOP + 5}" text-anchor="end" {text}>{high:.3g}</text>'
        f'<text x="{LEFT - 5}" y="{floor + 4}" text-anchor="end" {text}>{low:.3g}</text>'
        f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="{GRID}"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>{dots}</svg>'
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return some hundred of many points, the last among them."""
    every = len(points) // _MOST + 1
    return list(points[::-every])[::-1]
