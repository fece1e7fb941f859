"""Dropping samples and taps that no output can see.

Per axis, output y and tap u read sample ``y*s + u*d - lo``. With m outputs, samples outside
``[-lo, (m-1)*s + (k-1)*d - lo]`` are never read, and taps outside ``[lo - (m-1)*s, n - 1 + lo] / d`` only ever
meet padding. After trimming no pad is negative, and the last output reads up to the last padded sample.

Where something other than zeros lies outside, every tap meets it and every sample may stand anywhere. Only an axis
whose windows all lie inside is trimmed there, and what is outside of it is forgotten. Other pads may stay negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fftconv.core.boundary import Boundary, Outside
from fftconv.core.problem import ConvProblem, at


@dataclass(frozen=True)
class Trimmed:
    """A problem without unreachable parts, and the views of the caller's arrays that it works on."""

    problem: ConvProblem
    samples: tuple[slice, ...]
    taps: tuple[slice, ...]

    def views(self, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[at(*self.samples)], w[at(*self.taps)]


@lru_cache(maxsize=4096)
def trim(p: ConvProblem) -> Trimmed | None:
    """The trimmed problem, or None where there is nothing to drop."""
    outside = tuple(b if _is_seen(p, a) else Boundary.ZERO for a, b in enumerate(p.boundary))
    axes = [
        _trim_axis(n, k, m, (s, lo, d), p.flip)
        if b == 1 and not extended
        else (slice(0, n), slice(0, k), (lo, (m - 1) * s + (k - 1) * d + 1 - n - lo if extended else hi))
        for n, k, m, s, (lo, hi), b, d, extended in zip(
            p.input_size,
            p.kernel_size,
            p.output_size,
            p.stride,
            p.pads,
            p.lhs_dilation,
            p.rhs_dilation,
            outside,
            strict=True,
        )
    ]
    samples, taps, pads = (tuple(column) for column in zip(*axes, strict=True)) if axes else ((), (), ())
    trimmed = p.with_(
        input_size=tuple(s.stop - s.start for s in samples),
        kernel_size=tuple(t.stop - t.start for t in taps),
        pads=pads,
        outside=Outside.of(outside, p.outside.fill),
    )
    return None if trimmed == p else Trimmed(trimmed, samples, taps)


def _is_seen(p: ConvProblem, a: int) -> bool:
    """Whether any tap of any output reads outside of axis `a`."""
    n, lo = p.input_size[a], p.pads[a][0]
    last = (p.output_size[a] - 1) * p.stride[a] + p.dilated_kernel[a] - 1 - lo
    return min(n, p.kernel_size[a]) > 0 and (lo > 0 or last >= n)


def _trim_axis(
    n: int, k: int, m: int, geometry: tuple[int, int, int], flip: bool
) -> tuple[slice, slice, tuple[int, int]]:
    s, lo, d = geometry
    reach = (m - 1) * s
    u0 = max(0, -((reach - lo) // d))
    u1 = min(k - 1, (n - 1 + lo) // d)
    lo -= u0 * d
    taps = u1 - u0 + 1
    first = max(0, -lo)
    last = min(n - 1, reach + (taps - 1) * d - lo)
    if taps <= 0 or last < first:
        return slice(0, 0), slice(0, 0), (0, 0)
    lo += first
    samples = last - first + 1
    hi = reach + (taps - 1) * d + 1 - samples - lo
    kept = slice(k - 1 - u1, k - u0) if flip else slice(u0, u1 + 1)
    return slice(first, last + 1), kept, (lo, hi)
