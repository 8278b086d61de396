"""Changed copies of pieces, to learn more from few: drums change places, labels are left out.

Every class stays within its family: toms change places among themselves, and so do cymbals. As
many classes sound at each step as before, and a step is silent after it where it was before. A
sample's change is a pure function of (seed, epoch, place): no generator is shared, so that it is
the same after an interruption, in any worker and on any rank.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from workbench.groove.drums import CLASS_COUNT, CLASSES
from workbench.groove.inputs import BEFORE, HIDDEN
from workbench.groove.streams import MASKS, Ints

FAMILIES = (("low_tom", "mid_tom", "high_tom"), ("crash", "ride"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What is changed in some samples.

    Attributes:
        table: Which of `class_tables` each sample's masks go through, int64 (n,); 0 is none.
        kept: Which labels stay, bool (n, kinds).
    """

    table: Ints
    kept: NDArray[np.bool_]


def changes_of(
    seed: int, epoch: int, places: Ints, *, kinds: int, augment: float, label_dropout: float
) -> Changes:
    """Return what is changed in some samples of an epoch.

    Args:
        seed: Of the training.
        epoch: Of the samples.
        places: Of each sample in its epoch, shape (n,).
        kinds: How many kinds of labels there are.
        augment: Share of the samples whose classes change places.
        label_dropout: Share of the samples that lose all labels; of the others, each label goes
            in half as many cases.
    """
    draws = np.stack([_draws(seed, epoch, place, 3 + kinds) for place in places.tolist()])
    tables = len(class_tables())
    chosen = 1 + np.minimum((draws[:, 1] * (tables - 1)).astype(np.int64), tables - 2)
    has_labels = draws[:, 2] >= label_dropout
    return Changes(
        table=np.where(draws[:, 0] < augment, chosen, 0),
        kept=has_labels[:, None] & (draws[:, 3:] >= label_dropout / 2),
    )


@cache
def class_tables() -> Ints:
    """Return where each input goes when classes change places, int64 (tables, masks + 2).

    The first table changes nothing; no two are equal. The last two inputs are no masks and stay.
    """
    numbers = [[CLASSES.index(name) for name in family] for family in FAMILIES]
    tables = []
    for orders in product(*(permutations(family) for family in numbers)):
        goes_to = list(range(CLASS_COUNT))
        for family, order in zip(numbers, orders, strict=True):
            for one, other in zip(family, order, strict=True):
                goes_to[one] = other
        tables.append(_table(goes_to))
    return np.array(tables, np.int64)


def _table(goes_to: list[int]) -> Ints:
    masks = np.arange(MASKS)
    changed = np.zeros(MASKS, np.int64)
    for one, other in enumerate(goes_to):
        changed |= (masks >> one & 1) << other
    return np.concatenate((changed, [BEFORE, HIDDEN]))


def _draws(seed: int, epoch: int, place: int, count: int) -> NDArray[np.float64]:
    """Return numbers 0..1 of a key; the generator's bits are fixed by its definition."""
    bits = np.random.Philox(np.random.SeedSequence((seed, epoch, place))).random_raw(count)
    return np.asarray(bits >> np.uint64(11)) * 2.0**-53
