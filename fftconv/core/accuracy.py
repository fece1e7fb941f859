"""How far a result may be from the exact sums: coefficients of the bound that `docs/accuracy.md` derives.

Sizes only. The bound of a sum is a multiple of the same sum with magnitudes, output by output. That of a transform is a
multiple of the 2-norms of what one tile holds, because every sample of a tile leaves its rounding errors in all
outputs of it. `core.certificate` puts values to them.
"""

from __future__ import annotations

from math import log2, prod

import numpy as np

from fftconv.core.excerpt import padded
from fftconv.core.plan import Tiling
from fftconv.core.problem import ConvProblem

# Three transforms, each of at most 8 unit roundoffs per halving.
CONSTANT = 3 * 8
# Of float64.
UNIT_ROUNDOFF = 2.0**-53


def roundoff(p: ConvProblem) -> float:
    """Unit roundoff of the dtype in which `p` is summed; integers are transformed in float64."""
    return float(np.finfo(p.dtype if p.dtype.kind in "fc" else np.float64).eps) / 2


def sum_error(p: ConvProblem) -> float:
    """The error of a sum of products, in whatever order, over the same sum with magnitudes."""
    if p.dtype.kind not in "fc":
        return 0.0
    return 2 * roundoff(p) * (p.group_inputs * prod(p.kernel_size) + 2)


def transform_error(p: ConvProblem, tiling: Tiling | None) -> float:
    """The error of an output of a spectral tile, over the 2-norms of its samples and of its kernel.

    Without a tiling, that of one tile that holds everything.
    """
    points = prod(tiling.nfft) if tiling else whole_points(p)
    return roundoff(p) * (CONSTANT * log2(max(2, points)) + 2 * p.group_inputs)


def whole_points(p: ConvProblem) -> int:
    """More points than any transform of the whole problem has."""
    return prod(2 * (n + k) for n, k in zip(padded(p).input_size, p.kernel_size, strict=True))
