"""Which samples an output sees, and the sign that follows: sums of products of non-negative numbers are not negative.

A transform gives them to within rounding, on either side of zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fftconv.core.excerpt import Box
from fftconv.core.problem import ConvProblem


def window_counts(p: ConvProblem, flags: np.ndarray) -> np.ndarray:
    """How many flagged samples each output sees, of a problem without input dilation: (N, groups, \\*M).

    A window is a box, so the count is a running sum along one axis after the other: exact, and a few passes
    whatever the kernel's length.
    """
    counts: np.ndarray = flags.reshape(p.batch, p.groups, p.group_inputs, *p.input_size).sum(
        2, dtype=np.int32
    )
    for a, (k, m, s, pads, d) in enumerate(
        zip(p.kernel_size, p.output_size, p.stride, p.pads, p.rhs_dilation, strict=True)
    ):
        if s == d == 1 and min(pads) >= 0 < m:
            counts = _dense_sum(counts, 2 + a, k, pads)
        else:
            counts = moving_sum(counts, 2 + a, np.arange(m) * s - pads[0], (k, d))
    return counts


def _dense_sum(a: np.ndarray, axis: int, k: int, pads: tuple[int, int]) -> np.ndarray:
    """Sums of every k neighbours along `axis`, zeros around them counted as neighbours."""
    n, (lo, hi) = a.shape[axis], pads
    sums = np.empty((*a.shape[:axis], lo + n + hi + 1, *a.shape[axis + 1 :]), a.dtype)
    along = (slice(None),) * axis
    sums[(*along, slice(0, lo + 1))] = 0
    np.cumsum(a, axis, out=sums[(*along, slice(lo + 1, lo + 1 + n))])
    sums[(*along, slice(lo + 1 + n, None))] = sums[(*along, slice(lo + n, lo + n + 1))]
    found: np.ndarray = sums[(*along, slice(k, None))] - sums[(*along, slice(0, -k if k else None))]
    return found


def moving_sum(a: np.ndarray, axis: int, first: np.ndarray, taps: tuple[int, int]) -> np.ndarray:
    """Sums of the k entries ``first, first + d, ...`` along `axis`, as far as they exist; `taps` is (k, d)."""
    k, d = taps
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    rows = -(-a.shape[axis] // d)
    # row q + 1 holds the sums of every d-th entry up to the one in row q
    sums = np.zeros((*before, (rows + 1) * d, *after), a.dtype)
    along = (slice(None),) * axis
    sums[(*along, slice(d, d + a.shape[axis]))] = a
    stacked = sums.reshape(*before, rows + 1, d, *after)
    np.cumsum(stacked, axis, out=stacked)
    q, r = np.divmod(first, d)
    found: np.ndarray = np.take(sums, np.clip(q + k, 0, rows) * d + r, axis)
    found -= np.take(sums, np.clip(q, 0, rows) * d + r, axis)
    return found


def windows_with(p: ConvProblem, flags: np.ndarray) -> np.ndarray:
    """Whether each output sees any flagged sample, of a problem without input dilation: (N, groups, \\*M).

    Windows of twice the length are pairs of neighbours, so bytes are joined a few times, whatever the kernel's length.
    """
    grouped = flags.reshape(p.batch, p.groups, p.group_inputs, *p.input_size)
    found: np.ndarray = grouped[:, :, 0] if p.group_inputs == 1 else np.logical_or.reduce(grouped, 2)
    axes = zip(p.kernel_size, p.output_size, p.stride, p.pads, p.rhs_dilation, strict=True)
    for a, (k, m, s, (lo, _), d) in enumerate(axes, 2):
        n, reach, along = found.shape[a], (m - 1) * s + (k - 1) * d + 1, (slice(None),) * a
        wide = np.zeros((*found.shape[:a], reach, *found.shape[a + 1 :]), bool)
        seen = slice(max(0, -lo), max(0, min(n, reach - lo)))
        wide[(*along, slice(seen.start + lo, seen.stop + lo))] = found[(*along, seen)]
        joined = 1
        while joined < k:
            step = min(joined, k - joined)
            wide = wide[(*along, slice(0, -step * d))] | wide[(*along, slice(step * d, None))]
            joined += step
        found = wide[(*along, slice(None, None, s))]
    return found


# --- signs


def signs_restorer(
    p: ConvProblem, kernel: np.ndarray | None = None
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """What makes non-negative what cannot be negative: a function of x, w and out, for real numbers.

    `kernel` is the w of all calls, if one is. Whether there is anything to do is found out in steps: most data that
    have a sign end at their first or last element, most of the others in a few more.
    """
    possible = p.dtype.kind == "f" and not p.outside.fill < 0 and (kernel is None or _least(kernel) >= 0)
    looks = _looks(p.x_shape), _looks(p.w_shape)

    def restore(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        positive = possible and x.item(0) >= 0 and x.item(-1) >= 0 and x[looks[0]].min() >= 0
        positive = positive and (kernel is not None or w[looks[1]].min() >= 0)
        if positive and not out.min() >= 0 and _least(w) >= 0 and _least(x) >= 0:
            np.maximum(out, 0, out=out)

    return restore


def _looks(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A few elements along every axis."""
    return tuple(slice(n // 16, None, max(1, n // 8)) for n in shape)


def _least(a: np.ndarray) -> float:
    """The least element, NaN aside."""
    least = a.min()
    return float(least if least == least else np.fmin.reduce(a, axis=None))


def bounding_box(flags: np.ndarray) -> Box | None:
    """The smallest box that holds all flags, if there are any."""
    box = []
    for axis in range(flags.ndim):
        found = np.flatnonzero(flags.any(tuple(a for a in range(flags.ndim) if a != axis)))
        if not found.size:
            return None
        box.append((int(found[0]), int(found[-1]) + 1))
    return tuple(box)
