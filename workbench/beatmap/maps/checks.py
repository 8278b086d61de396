"""What is odd about the objects of one difficulty, told by where it stands in the file.

Columns are of shape (n,) and come in the order of the file, before they are sorted, so that a place
is an index there.
Positions and directions of 1000 and more are Mapping Extensions': they are flagged, not faults.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.beatmap.maps.decoding import Found

Array = NDArray[Any]
Place = Callable[[int], str]
Flags = set[str]

LANES, LAYERS, DIRECTIONS = 4, 3, 9
EXTENDED = 1000
SAME_BEAT = 0.01  # beats: notes nearer than this are struck by one swing


def tell(found: Found, kind: str, is_bad: Array, place: Place, what: Callable[[int], str]) -> None:
    """Tell of the objects that a mask marks, by the first of them."""
    if is_bad.any():
        first = int(np.argmax(is_bad))
        found.add(kind, place(first), what(first), count=int(is_bad.sum()))


def check_beats(found: Found, beat: Array, place: Place) -> float:
    """Tell of objects before the audio begins, and of a list that is not in order.

    Returns:
        The least step from one object to the next, below 0 if they are not in order, beats.
    """
    if not len(beat):
        return math.inf
    steps = beat[1:] - beat[:-1]
    least = float(steps.min()) if len(steps) else math.inf
    if beat[0] < 0 or least < 0:
        tell(found, "negative_time", beat < 0, place, lambda i: f"beat {beat[i]:g}")
    if least < 0:
        back = steps < 0
        first = int(np.argmax(back)) + 1
        detail = f"beat {beat[first]:g} after {beat[first - 1]:g}"
        found.add("unsorted", place(first), detail, count=int(back.sum()))
    return least


def check_grid(found: Found, flags: Flags, lane: Array, layer: Array, place: Place) -> None:
    """Tell of objects outside the 4 by 3 cells; flag those in extended coordinates."""
    if not len(lane):
        return
    # Seen without a sign, a number below 0 is a large one
    if lane.view(np.uint32).max() < LANES and layer.view(np.uint32).max() < LAYERS:
        return
    is_extended = (np.abs(lane) >= EXTENDED) | (np.abs(layer) >= EXTENDED)
    if is_extended.any():
        flags.add("mapping_extensions")
    is_outside = (lane < 0) | (lane >= LANES) | (layer < 0) | (layer >= LAYERS)
    tell(
        found,
        "outside_grid",
        is_outside & ~is_extended,
        place,
        lambda i: f"lane {lane[i]}, layer {layer[i]}",
    )


def check_directions(found: Found, flags: Flags, direction: Array, place: Place) -> None:
    """Tell of directions that the game has not; flag those of Mapping Extensions."""
    if not len(direction) or direction.view(np.uint32).max() < DIRECTIONS:
        return
    is_extended = (direction >= EXTENDED) & (direction <= EXTENDED + 360) | (
        direction >= 2 * EXTENDED
    ) & (direction <= 2 * EXTENDED + 360)
    if is_extended.any():
        flags.add("mapping_extensions")
    is_bad = ((direction < 0) | (direction >= DIRECTIONS)) & ~is_extended
    tell(found, "bad_direction", is_bad, place, lambda i: f"direction {direction[i]}")


def check_colors(found: Found, color: Array, place: Place) -> None:
    """Tell of colours that no hand has."""
    if len(color) and color.view(np.uint32).max() > 1:
        is_bad = (color < 0) | (color > 1)
        tell(found, "bad_color", is_bad, place, lambda i: f"color {color[i]}")


def check_stacks(found: Found, beat: Array, lane: Array, layer: Array, place: Place) -> None:
    """Tell of notes that share a cell at one time."""
    if len(beat) < 2:
        return
    order = np.arange(len(beat))
    if (beat[1:] < beat[:-1]).any():
        order = np.argsort(beat, kind="stable")
    moment = np.cumsum(np.append(0, np.diff(beat[order]) > SAME_BEAT))
    cell = (moment << 24) + (lane[order].astype(np.int64) << 12) + layer[order]
    by_cell = np.argsort(cell, kind="stable")
    is_again = np.zeros(len(beat), bool)
    repeats = cell[by_cell[1:]] == cell[by_cell[:-1]]
    if not repeats.any():
        return
    is_again[order[by_cell[1:][repeats]]] = True
    tell(
        found,
        "stacked_note",
        is_again,
        place,
        lambda i: f"beat {beat[i]:g}, lane {lane[i]}, layer {layer[i]}: a note is there already",
    )


def check_notes(
    found: Found,
    flags: Flags,
    place: Place,
    *,
    beat: Array,
    lane: Array,
    layer: Array,
    color: Array,
    direction: Array,
) -> bool:
    """Tell what is odd about notes; return whether they are in order."""
    least = check_beats(found, beat, place)
    check_grid(found, flags, lane, layer, place)
    check_colors(found, color, place)
    check_directions(found, flags, direction, place)
    if least <= SAME_BEAT:
        check_stacks(found, beat, lane, layer, place)
    return least >= 0


def check_walls(
    found: Found,
    flags: Flags,
    place: Place,
    *,
    beat: Array,
    duration: Array,
    lane: Array,
    layer: Array,
    width: Array,
    height: Array,
) -> None:
    """Tell what is odd about walls: a side of no length hides what is behind it or nothing."""
    if not len(beat):
        return
    check_beats(found, beat, place)
    check_grid(found, flags, lane, layer, place)
    is_flat = (duration == 0) | (width == 0) | (height == 0)
    tell(
        found,
        "zero_wall",
        is_flat,
        place,
        lambda i: f"duration {duration[i]:g}, width {width[i]}, height {height[i]}",
    )
    is_inside_out = ((duration < 0) | (width < 0) | (height < 0)) & ~is_flat
    tell(
        found,
        "negative_wall",
        is_inside_out,
        place,
        lambda i: f"duration {duration[i]:g}, width {width[i]}, height {height[i]}",
    )
    if (np.abs(width) >= EXTENDED).any() or (np.abs(height) >= EXTENDED).any():
        flags.add("mapping_extensions")


def check_tails(found: Found, beat: Array, tail_beat: Array, place: Place) -> None:
    """Tell of tails that stand before their heads."""
    is_before = tail_beat < beat
    tell(
        found,
        "tail_before_head",
        is_before,
        place,
        lambda i: f"head at beat {beat[i]:g}, tail at {tail_beat[i]:g}",
    )


def check_arcs(found: Found, flags: Flags, place: Place, **of: Array) -> None:
    """Tell what is odd about arcs, given the columns of `objects.Arcs`."""
    if not len(of["beat"]):
        return
    check_beats(found, of["beat"], place)
    check_grid(found, flags, of["lane"], of["layer"], place)
    check_grid(found, flags, of["tail_lane"], of["tail_layer"], lambda i: f"{place(i)}.tail")
    check_colors(found, of["color"], place)
    check_directions(found, flags, of["direction"], place)
    check_directions(found, flags, of["tail_direction"], lambda i: f"{place(i)}.tail")
    check_tails(found, of["beat"], of["tail_beat"], place)
    anchor = of["anchor"]
    is_bad = (anchor < 0) | (anchor > 2)
    tell(found, "bad_anchor", is_bad, place, lambda i: f"anchor {anchor[i]}")


def check_chains(found: Found, flags: Flags, place: Place, **of: Array) -> None:
    """Tell what is odd about chains, given the columns of `objects.Chains`."""
    if not len(of["beat"]):
        return
    check_beats(found, of["beat"], place)
    check_grid(found, flags, of["lane"], of["layer"], place)
    check_grid(found, flags, of["tail_lane"], of["tail_layer"], lambda i: f"{place(i)}.tail")
    check_colors(found, of["color"], place)
    check_directions(found, flags, of["direction"], place)
    check_tails(found, of["beat"], of["tail_beat"], place)
    slices, squish = of["slices"], of["squish"]
    tell(found, "bad_slices", slices < 1, place, lambda i: f"{slices[i]} slices; the head is one")
    # The game divides by it
    tell(found, "zero_squish", squish == 0, place, lambda i: "a squish of 0")


def check_speeds(found: Found, njs: float, change: Array, place: Place) -> None:
    """Tell of changes of the note jump speed, and of those that leave none."""
    if not len(change):
        return
    if (change != 0).any():
        tell(
            found,
            "njs_change",
            change != 0,
            place,
            lambda i: f"{change[i]:+g} m/s to {njs:g}",
        )
    if njs > 0:
        is_bad = njs + change <= 0
        tell(found, "bad_njs", is_bad, place, lambda i: f"{change[i]:+g} m/s to {njs:g}")
