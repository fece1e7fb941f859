"""What rounding must not blur: which samples an output sees, and the signs and zeros that follow from it.

Sums of products of non-negative numbers are not negative, and a window of zeros sums to zero. A transform gives
them to within rounding, on either side of zero; `restorer` puts them right. It finds out in steps whether there is
anything to do, each dearer than the one before and reached by fewer data: a few elements, a sparse sample, one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import inf, prod, sqrt
from typing import Any

import numpy as np

from fftconv.core.accuracy import transform_error
from fftconv.core.boundary import Boundary
from fftconv.core.exactness import peak
from fftconv.core.excerpt import Box, excerpt, padded
from fftconv.core.problem import ConvProblem

FEW = 1024


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
            counts = _moving_sum(counts, 2 + a, np.arange(m) * s - pads[0], (k, d))
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


def _moving_sum(a: np.ndarray, axis: int, first: np.ndarray, taps: tuple[int, int]) -> np.ndarray:
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


# --- signs and zeros


def restorer(
    p: ConvProblem, kernel: np.ndarray | None = None, signs: bool = True
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """What puts the output of a transform right: a function of x, w and out; `kernel` is the w of all calls, if one is.

    It makes 0 what sees nothing but zeros, and non-negative what cannot be negative, unless `signs` are right already.
    """
    real, parts = signs and p.dtype.kind == "f" and not p.outside.fill < 0, _sparse_samples(p)
    blind = list(_blind(p))
    if real and kernel is not None:
        real = _least(kernel) >= 0
    looks = _looks(p.x_shape), _looks(p.w_shape)

    def restore(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        # most data that have a sign end at their first or last element
        positive = real and x.item(0) >= 0 and x.item(-1) >= 0 and x[looks[0]].min() >= 0
        positive = positive and (kernel is not None or w[looks[1]].min() >= 0)
        empty = False
        for part in parts:
            empty = empty or not _all_set(x[part])
        if (positive or empty) and np.isfinite(w).all():
            _restore(p, (x, w), out, (positive and _least(w) >= 0 and _least(x) >= 0, empty))
        for part in blind:
            out[part] = 0

    return restore


def _blind(p: ConvProblem) -> Iterator[tuple[Any, ...]]:
    """The outputs whose window holds no sample, but padding with zeros alone: of a problem without input dilation."""
    axes = zip(p.input_size, p.kernel_size, p.output_size, p.stride, p.pads, p.rhs_dilation, strict=True)
    for a, (n, k, m, s, (lo, _), d) in enumerate(axes):
        # a window that begins before the end and ends after the start misses all samples only between two taps
        sees = lo <= (k - 1) * d and (m - 1) * s - lo < n and d <= n
        if not sees and not p.boundary[a]:
            counts = _moving_sum(np.ones(n, np.int32), 0, np.arange(m) * s - lo, (k, d))
            yield (*(slice(None),) * (2 + a), np.flatnonzero(counts == 0))


def _all_set(a: np.ndarray) -> bool:
    """Whether no element is zero; of few elements this is the faster question."""
    return np.count_nonzero(a) == a.size if a.size <= FEW else bool(a.all())


def _sparse_samples(p: ConvProblem) -> list[tuple[Any, ...]]:
    """Samples so dense that every window holds some of them, windows at the edges included."""
    every = (
        _every(n, k if d == 1 else 1)
        for n, k, d in zip(p.input_size, p.kernel_size, p.rhs_dilation, strict=True)
    )
    return list(product((...,), *every))


def _every(n: int, k: int) -> tuple[slice, ...]:
    """Of n samples the first, the last, and some of any k neighbours: in one slice where a step leads to the last."""
    for step in range(k, k // 2, -1):
        if (n - 1) % step == 0:
            return (slice(None, None, step),)
    return slice(None, None, k), slice(-1, None)


def _restore(
    p: ConvProblem, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray, facts: tuple[bool, bool]
) -> None:
    x, w = operands
    positive, empty = facts
    noise = _noise(p, x, w) if empty else 0.0
    if (positive or (p.dtype.kind == "f" and out.item(0) > noise)) and out.min() > noise:
        return
    if empty:
        _clear(p, operands, out, noise)
    if positive:
        np.maximum(out, 0, out=out)


def _looks(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A few elements along every axis."""
    return tuple(slice(n // 16, None, max(1, n // 8)) for n in shape)


def _least(a: np.ndarray) -> float:
    """The least element, NaN aside."""
    least = a.min()
    return float(least if least == least else np.fmin.reduce(a, axis=None))


def _noise(p: ConvProblem, x: np.ndarray, w: np.ndarray) -> float:
    """Bound of the rounding error of any output, whatever the tiles."""
    wide = padded(p)
    energy = _energy(x) * prod(map(_repeats, p.input_size, wide.input_size, p.boundary))
    energy += float(abs(p.outside.fill)) ** 2 * prod(wide.x_shape)
    bound = transform_error(wide, None) * sqrt(energy * _energy(w))
    return bound if bound < inf else inf


def _energy(a: np.ndarray) -> float:
    """The sum of squares; of integers, which would wrap, a bound of it."""
    return float(abs(np.vdot(a, a))) if a.dtype.kind in "fc" else a.size * peak(a) ** 2


def _repeats(n: int, extended: int, boundary: Boundary) -> int:
    """How often at most one of n samples stands in its extension."""
    if n == extended or not boundary:
        return 1
    return extended if boundary == Boundary.EDGE or n == 1 else 2 * (extended // n + 1)


def _clear(p: ConvProblem, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray, noise: float) -> None:
    """Set to 0 the outputs that see nothing but zeros, to be found among those below `noise`."""
    box = bounding_box(np.abs(out) <= noise)
    if box is None:
        return
    batch, _, *spans = box
    small, x, _ = excerpt(p, (batch, *spans), operands)
    target = out[(slice(*batch), slice(None), *(slice(*span) for span in spans))]
    if x.size:
        seen = np.repeat(window_counts(small, x != 0), p.group_outputs, 1)
        np.copyto(target, 0, where=seen == 0)
    else:
        target[...] = 0


def bounding_box(flags: np.ndarray) -> Box | None:
    """The smallest box that holds all flags, if there are any."""
    box = []
    for axis in range(flags.ndim):
        found = np.flatnonzero(flags.any(tuple(a for a in range(flags.ndim) if a != axis)))
        if not found.size:
            return None
        box.append((int(found[0]), int(found[-1]) + 1))
    return tuple(box)
