"""The nine drum classes and what belongs to them.

Source: the pitch groups of the Groove MIDI Dataset (Gillick et al., ICML 2019), which cover the
Roland TD-11's pitches; other General MIDI percussion is put where a drummer would play it, or in
no class. A mask is a set of classes as nine bits, bit c for class c.
"""

import numpy as np

from workbench.errors import OptionsError
from workbench.options import did_you_mean

CLASSES = (
    "kick",
    "snare",
    "closed_hat",
    "open_hat",
    "low_tom",
    "mid_tom",
    "high_tom",
    "crash",
    "ride",
)
CLASS_COUNT = len(CLASSES)
NO_CLASS = CLASS_COUNT
CLOSED_HAT = CLASSES.index("closed_hat")
OPEN_HAT = CLASSES.index("open_hat")

_PITCHES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "closed_hat": (22, 42, 44, 54, 69, 70, 82),
    "open_hat": (26, 46),
    "low_tom": (41, 43, 58, 61, 64, 66),
    "mid_tom": (45, 47, 63),
    "high_tom": (48, 50, 60, 62, 65),
    "crash": (49, 52, 55, 57),
    "ride": (51, 53, 56, 59),
}

CLASS_OF_PITCH = np.full(128, NO_CLASS, np.int64)
for _number, _name in enumerate(CLASSES):
    CLASS_OF_PITCH[list(_PITCHES[_name])] = _number
CLASS_OF_PITCH.setflags(write=False)


def classes_named(names: str) -> tuple[int, ...]:
    """Return the classes that a list such as `kick, snare` names.

    Raises:
        OptionsError: A name is none of the nine.
    """
    words = [word.strip() for word in names.split(",") if word.strip()]
    for word in words:
        if word not in CLASSES:
            near = did_you_mean(word, CLASSES)
            raise OptionsError(f"{word!r} is no drum class{near}; there are {', '.join(CLASSES)}")
    return tuple(CLASSES.index(word) for word in words)
