"""Which windows are learnt from at which step: a pure function of seed, epoch and step.

An epoch has about as many windows as there are. Windows of equal weight come once in it; others
come as often as their weight says, to the next whole number up or down, and over many epochs just
as often. Windows of about one length stand in one step, which costs less padding. Any
step may be asked for without those before it, and all ranks deal one step among them.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workbench.errors import OptionsError
from workbench.streaming.order import Order

Indices = NDArray[np.int64]
Weights = NDArray[np.float64]

_WINDOWS, _PLACES, _STEPS, _OFFSET = 1, 2, 3, 4  # which permutation an order is asked for
_OFFSETS = 1024  # no more: sums of millions of weights round by some ten-thousandths of a step


def window_weights(song_weight: Weights, is_official: NDArray[np.bool_], share: float) -> Weights:
    """Return how often each window is to come, as shares of all.

    Args:
        song_weight: What each counts within its own kind, `(windows,)`, not negative.
        is_official: Whether it is of one of the game's own songs, `(windows,)`.
        share: Of the game's own songs together, where there are others too.

    Returns:
        `(windows,)`, sum 1.
    """
    weights = np.zeros(len(song_weight))
    has_both = is_official.any() and not is_official.all()
    for kind, mass in ((is_official, share), (~is_official, 1 - share)):
        if kind.any():
            own = song_weight[kind]
            own = own if own.sum() > 0 else np.ones(len(own))
            weights[kind] = (mass if has_both else 1.0) * own / own.sum()
    return weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """How windows are dealt in steps.

    Attributes:
        weights: Share of each window, `(windows,)`, sum 1.
        lengths: Tokens of each, `(windows,)`.
        step_windows: Windows of a step, those of all ranks together.
        bucket_steps: Steps whose windows are sorted by length together.
        seed: Of the order.
        identity: What tells windows apart that weigh the same and are as long.
        fingerprint: What tells samplings apart.
    """

    weights: Weights
    lengths: Indices
    step_windows: int
    bucket_steps: int
    seed: int
    identity: str = ""
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be dealt.

        Raises:
            OptionsError: There is no window.
        """
        if not len(self.weights):
            raise OptionsError("no window to learn from; take other filters, or other shares")
        whole = hashlib.sha256(self.weights.astype("<f8").tobytes())
        whole.update(self.lengths.astype("<i8").tobytes())
        whole.update(
            f"{self.step_windows} {self.bucket_steps} {self.seed} {self.identity}".encode()
        )
        object.__setattr__(self, "fingerprint", whole.hexdigest())

    @property
    def steps(self) -> int:
        """How many steps an epoch has; what does not fill one waits for another epoch."""
        return max(len(self.weights) // self.step_windows, 1)

    def step(self, epoch: int, number: int) -> Indices:
        """Return the windows of a step.

        Args:
            epoch: From 0.
            number: Of the step in the epoch, from 0.

        Returns:
            `(step_windows,)`, by rising length; rank r of w has those from r on, every w-th.
        """
        return np.asarray(_epoch(self, epoch)[number])


@lru_cache(maxsize=2)
def _epoch(sampling: Sampling, epoch: int) -> Indices:
    """Return all steps of an epoch, `(steps, step_windows)`."""
    drawn = _drawn(sampling, epoch)
    order = Order(seed=sampling.seed, epoch=epoch)
    whole = sampling.bucket_steps * sampling.step_windows
    parts = []
    for number, first in enumerate(range(0, len(drawn), whole)):
        part = drawn[first : first + whole]
        part = part[np.argsort(sampling.lengths[part], kind="stable")]
        steps = part.reshape(-1, sampling.step_windows)
        parts.append(steps[order.rows(_STEPS, number, len(steps))])
    return np.concatenate(parts)


def _drawn(sampling: Sampling, epoch: int) -> Indices:
    """Return the windows of an epoch, `(steps * step_windows,)`, in an order of its own.

    Points stand evenly along all windows, from any place on, and the windows are laid end to end
    in any order, each as long as it weighs; a window comes as often as points fall on it. Source:
    systematic resampling (Kitagawa, 1996).
    """
    order = Order(seed=sampling.seed, epoch=epoch)
    count = sampling.steps * sampling.step_windows
    windows = order.rows(_WINDOWS, 0, len(sampling.weights))
    upto = np.cumsum(sampling.weights[windows])
    offset = (order.rows(_OFFSET, 0, _OFFSETS)[0] + 0.5) / _OFFSETS
    points = (np.arange(count) + offset) / count * upto[-1]
    drawn = windows[np.searchsorted(upto, points, side="right").clip(max=len(windows) - 1)]
    return np.asarray(drawn[order.rows(_PLACES, 0, count)])
