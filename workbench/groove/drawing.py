"""Drawing from distributions, with the same result on every platform.

Sums run in one order (`cumsum`), and powers are made of IEEE operations alone, since the `pow`
of two C libraries may differ in its last bit and a draw near a border with it. The generator is
NumPy's PCG64, whose doubles are fixed by its definition.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LN2 = 0.6931471805599453
_HALF_ROOT = 0.7071067811865476


def drawn(
    weights: Floats,
    generator: np.random.Generator,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> int:
    """Return the index of one draw.

    Args:
        weights: Shape (v,), not negative, at least one above 0; they need not sum to 1.
        generator: Gives one double.
        temperature: Above 0; weights are raised to 1 / temperature.
        top_k: Only the k greatest weights take part; all when 0.
        top_p: Only the fewest greatest weights whose share reaches this take part: a nucleus
            holds the weight that crosses it.
    """
    order = None
    if temperature != 1.0:
        weights = power(weights / weights.max(), 1.0 / temperature)
    if 0 < top_k < len(weights) or top_p < 1.0:
        order = np.argsort(-weights, kind="stable")
        weights = weights[order]
        sums = np.cumsum(weights)
        size = int(np.searchsorted(sums, top_p * sums[-1])) + 1
        weights = weights[: min(size, top_k or size, len(weights))]
    sums = weights.cumsum()
    chosen = int(sums.searchsorted(generator.random() * sums[-1], side="right"))
    if chosen == len(sums):  # a draw may round up to the last sum
        chosen = int(np.flatnonzero(weights)[-1])
    return chosen if order is None else int(order[chosen])


def power(base: Floats, exponent: float) -> Floats:
    """Return `base ** exponent` for bases 0..1 of any shape and a positive exponent, portably.

    The relative error is below 1e-13 for results above 1e-300; smaller ones become 0.
    """
    result = np.zeros_like(base)
    positive = base > 0
    mantissa, twos = np.frexp(base[positive])
    is_low = mantissa < _HALF_ROOT
    mantissa = np.where(is_low, mantissa * 2, mantissa)
    twos = twos - is_low
    t = (mantissa - 1.0) / (mantissa + 1.0)  # ln m = 2 atanh t, |t| < 0.172
    series = np.zeros_like(t)
    for k in range(21, 0, -2):
        series = series * (t * t) + 1.0 / k
    logarithm = (twos * _LN2 + 2.0 * t * series) * exponent
    whole = np.rint(logarithm / _LN2)
    rest = logarithm - whole * _LN2
    exponential = np.ones_like(rest)
    for k in range(16, 0, -1):
        exponential = exponential * rest / k + 1.0
    result[positive] = np.ldexp(exponential, np.maximum(whole, -1100).astype(np.int32))
    return result
