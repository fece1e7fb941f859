"""Which samples an output sees, and the sign that follows: sums of products of non-negative numbers are not negative.

A transform gives them to within rounding, on either side of zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.excerpt import Box
from fftconv.core.problem import ConvProblem, at


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


def windows_with(p: ConvProblem, samples: np.ndarray) -> np.ndarray:
    """Whether each output sees any sample but zeros, of a problem without input dilation: (N, groups, \\*M)."""
    return windows_of(p, reach_of(p, samples))


def reach_of(p: ConvProblem, samples: np.ndarray) -> np.ndarray:
    """All that windows reach, flagged where a sample is not zero: (N, groups, \\*spatial)."""
    grouped = samples.reshape(p.batch, p.groups, p.group_inputs, *p.input_size)
    sizes = zip(p.output_size, p.stride, p.dilated_kernel, strict=True)
    reach = [(m - 1) * s + k for m, s, k in sizes]
    wide = np.zeros((p.batch, p.groups, *reach), bool)
    source, target = [], []
    for n, length, (lo, _) in zip(p.input_size, reach, p.pads, strict=True):
        first = max(0, -lo)
        end = max(first, min(n, length - lo))
        source.append(slice(first, end))
        target.append(slice(first + lo, end + lo))
    seen = grouped[at(*source)]
    if p.group_inputs == 1:
        np.not_equal(seen[:, :, 0], seen.dtype.type(0), out=wide[at(*target)])
    else:
        np.logical_or.reduce(seen, 2, out=wide[at(*target)])
    return wide


def windows_of(p: ConvProblem, wide: np.ndarray) -> np.ndarray:
    """Which windows hold any flag of `reach_of`, which is contiguous: (N, groups, \\*M).

    Windows of twice the length are pairs of neighbours, so bytes are joined a few times, whatever the kernel's length:
    along every axis as one line of memory. Windows that begin at an end of a row would go on in the next one, and are
    nobody's.
    """
    line = wide.reshape(-1)
    other = np.empty_like(line)
    for pitch, k, d in zip(wide.strides[2:], p.kernel_size, p.rhs_dilation, strict=True):
        joined = 1
        while joined < k:
            step = min(joined, k - joined)
            shift = step * d * pitch
            pairs = other[: line.size - shift]
            np.logical_or(line[:-shift], line[shift:], out=pairs)
            line, other = pairs, line
            joined += step
    steps = (pitch * s for pitch, s in zip(wide.strides[2:], p.stride, strict=True))
    return as_strided(line, (p.batch, p.groups, *p.output_size), (*wide.strides[:2], *steps), writeable=False)


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
