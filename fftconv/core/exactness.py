"""Which methods are allowed to answer, where rounding would show: integers and booleans.

A spectral method computes in float64 and rounds. With u the unit roundoff, a transform of N points errs by at
most ``c u log2(N) ||x||`` in the 2-norm (Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2);
forward, kernel and inverse transform together give, by Cauchy and Schwarz, at every output

    |error| <= 3 c u log2(N) ||x|| ||w||

(`core.accuracy`, derived in ``docs/accuracy.md``). Rounding recovers the exact sum when that is below one half.
``c = 8`` covers the constants of mixed radices with room to spare: measured errors are a thirtieth of it and less.

Integers beyond that bound are split into limbs, the digits of ``x = sum_i x_i 2^(bi)`` in ``[-2^(b-1), 2^(b-1))``.
The limbs of x are input channels of a problem in float64, one output channel per power of two:

    y = sum_s 2^s y_s,     y_s = sum of x_i * w_j over the pairs of limbs with shifts that add up to s,

so each limb is transformed once, and what is to be added is added before the inverse transform. Sums are wanted
modulo the 2^bits of the result's dtype: digits and powers from there on are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import frexp, prod, sqrt

import numpy as np

from fftconv.core.accuracy import transform_error, whole_points
from fftconv.core.excerpt import padded
from fftconv.core.limbs import Limbs
from fftconv.core.plan import ConvPlan, Tiling
from fftconv.core.problem import ConvProblem


def rounding_recovers(plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> bool:
    """Whether rounding the spectral plan's output gives the exact sums of these integers."""
    return recovers(plan.problem, plan.chosen.tiling, peak(x, plan.problem.outside.fill) * peak(w))


def recovers(p: ConvProblem, tiling: Tiling | None, peaks: float) -> bool:
    """The same for operands the product of whose largest magnitudes is `peaks`."""
    p = padded(p)
    points = prod(tiling.nfft) if tiling else whole_points(p)
    samples = min(prod(p.x_shape[1:]), 2 * points * p.group_inputs)
    norm = sqrt(samples) * sqrt(prod(p.w_shape[1:])) * peaks
    return transform_error(p, tiling) * norm < 0.5


def peak(a: np.ndarray, outside: float = 0.0) -> float:
    """Largest magnitude of `a` and what lies outside, without the overflow of ``abs(int8(-128))``."""
    if a.size == 0:
        return 0.0
    return max(abs(float(a.max())), abs(float(a.min())), abs(float(outside)))


def peak_bits(a: np.ndarray, outside: float = 0.0) -> int:
    """Bits of the largest magnitude."""
    return frexp(peak(a, outside))[1]


def splits(p: ConvProblem, operands: tuple[int, int], tiling: Tiling | None) -> Iterator[Limbs]:
    """Ways to split operands of so many bits such that rounding recovers what `tiling` gives, the cheapest first."""
    bits = 8 * p.dtype.itemsize if p.dtype.kind in "iu" else 64
    ways = sorted(_ways(operands, bits), key=lambda limbs: (limbs.transforms, limbs.peaks))
    return (limbs for limbs in ways if recovers(limbs.problem(p), tiling, limbs.peaks))


def _ways(operands: tuple[int, int], bits: int) -> Iterator[Limbs]:
    """An operand stays whole, or is split into digits as wide as those of the other."""
    # one bit for the sign; digits reach less far up than down, and none is needed beyond the bits of the result
    x, w = (min(each + 1, bits) for each in operands)
    for width in range(2, max(x, w) + 2):
        n, m = (-(-min(each + 2, bits) // width) for each in operands)
        yield from (
            Limbs((width, width), (n, m), bits),
            Limbs((width, w), (n, 1), bits),
            Limbs((x, width), (1, m), bits),
        )


def split(a: np.ndarray, width: int, count: int) -> Iterator[np.ndarray]:
    """The digits of `a` modulo ``2^(width * count)``, the lowest first."""
    rest = a.astype(np.int64)
    half = 1 << (width - 1)
    for _ in range(count):
        digit = ((rest + half) & (2 * half - 1)) - half
        yield digit
        rest = (rest - digit) >> width
