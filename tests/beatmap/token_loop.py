"""The 291 tokens by a plain loop over notes, as the writer before this one makes them."""

from dataclasses import dataclass

DIFFICULTY_TOKENS = {"Easy": 3, "Normal": 4, "Hard": 5, "Expert": 6, "ExpertPlus": 7}
LEFT_EMPTY, RIGHT_EMPTY = 73, 182


@dataclass
class LoopNote:
    beat: float
    lane: int
    layer: int
    color: int
    direction: int


def loop_encoded(notes, difficulty, looks_up=False):
    """Return the tokens of one chart.

    Notes off the 4 by 3 grid, of odd directions or colors are left out first, as the older
    dataset does; what rounds to before the start is never met by the loop over bars. Each bar
    goes over all slots of the chart, which is what the older writer's time grows by; or, to
    compare, it looks its own ones up.
    """
    usable = [
        note
        for note in notes
        if 0 <= note.lane < 4
        and 0 <= note.layer < 3
        and 0 <= note.direction < 9
        and note.color in (0, 1)
    ]
    slots = {}
    for note in sorted(usable, key=lambda note: note.beat):
        hands = slots.setdefault(round(note.beat * 16), {})
        hands.setdefault(note.color, note)
    tokens = [1, DIFFICULTY_TOKENS[difficulty]]
    last_bar = max((slot // 64 for slot in slots), default=-1)
    in_bar = {}
    for slot in slots if looks_up else ():
        in_bar.setdefault(slot // 64, []).append(slot)
    for bar in range(last_bar + 1):
        tokens.append(8)
        own = in_bar.get(bar, ()) if looks_up else (s for s in slots if s // 64 == bar)
        for slot in sorted(own):
            tokens.append(9 + slot % 64)
            tokens.append(hand_token(slots[slot].get(0), LEFT_EMPTY))
            tokens.append(hand_token(slots[slot].get(1), RIGHT_EMPTY))
    tokens.append(2)
    return tokens


def hand_token(note, empty):
    if note is None:
        return empty
    return empty + 1 + 27 * note.lane + 9 * note.layer + note.direction


def loop_decoded(tokens):
    """Return the notes of one chart: what follows a POS is swallowed, whatever it is."""
    notes, bar, at = [], -1, 0
    while at < len(tokens):
        token = tokens[at]
        if token == 8:
            bar += 1
        elif 9 <= token <= 72:
            beat = (64 * bar + token - 9) / 16
            for hand, empty in ((0, LEFT_EMPTY), (1, RIGHT_EMPTY)):
                at += 1
                if at < len(tokens) and empty < tokens[at] <= empty + 108:
                    cell, direction = divmod(tokens[at] - empty - 1, 9)
                    notes.append(LoopNote(beat, cell // 3, cell % 3, hand, direction))
        at += 1
    return notes
