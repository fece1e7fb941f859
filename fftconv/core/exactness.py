"""Which methods are allowed to answer, where rounding would show: integers.

A spectral method computes in float64 and rounds. With u the unit roundoff, a transform of N points errs by at
most ``c u log2(N) ||x||`` in the 2-norm (Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2);
forward, kernel and inverse transform together give, by Cauchy and Schwarz, at every output

    |error| <= 3 c u log2(N) ||x|| ||w||.

Rounding recovers the exact sum when that is below one half. ``c = 8`` covers the constants of mixed radices with
room to spare; measured errors stay below a hundredth of the bound.
"""

from __future__ import annotations

from math import log2, prod, sqrt

import numpy as np

from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem

UNIT_ROUNDOFF = 2.0**-53
CONSTANT = 3 * 8


def rounding_recovers(plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> bool:
    """Whether rounding the spectral plan's output gives the exact sums of these integers."""
    p = plan.problem
    points = prod(plan.tiling.nfft) if plan.chosen.tiling else _points(p)
    samples = min(x.size // max(1, p.batch), 2 * points * p.group_inputs)
    norm = sqrt(samples) * peak(x) * sqrt(prod(p.w_shape[1:])) * peak(w)
    return CONSTANT * UNIT_ROUNDOFF * log2(max(2, points)) * norm < 0.5


def _points(p: ConvProblem) -> int:
    return prod(2 * (n + k) for n, k in zip(p.input_size, p.kernel_size, strict=True))


def peak(a: np.ndarray) -> float:
    """Largest magnitude, without the overflow of ``abs(int8(-128))``."""
    if a.size == 0:
        return 0.0
    return max(abs(float(a.max())), abs(float(a.min())))
