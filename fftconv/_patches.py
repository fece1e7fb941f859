"""Patches of an array, and the convolution whose kernel differs at every output.

A patch entry is a copy of one sample, so nothing is multiplied: each tap of the window is one strided copy
from the input to the outputs that see it, and no padded or dilated input is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd, prod

import numpy as np

from fftconv.core.problem import ConvProblem, Ints

SCRATCH_BYTES = 16 * 2**20

Box = tuple[slice, ...]


def gather(p: ConvProblem, x: np.ndarray, box: Box, out: np.ndarray) -> None:
    """Write the patches of the outputs in `box` to `out`, shape (N, C, \\*K, \\*box)."""
    out[...] = 0
    for tap in product(*map(range, p.kernel_size)):
        pairs = [_tap_slices(p, axis, u, part) for axis, (u, part) in enumerate(zip(tap, box, strict=True))]
        source = (slice(None), slice(None), *(samples for samples, _ in pairs))
        target: tuple[int | slice, ...] = (slice(None), slice(None), *tap, *(outputs for _, outputs in pairs))
        out[target] = x[source]


def _tap_slices(p: ConvProblem, axis: int, u: int, part: slice) -> tuple[slice, slice]:
    """Which samples tap `u` copies along `axis`, and to which outputs, counted from the start of `part`.

    Output y reads sample q where ``y*s + u*d - lo == q*b``. If any y solves this, so do those ``b / gcd(b, s)``
    further on, and their q advances by ``s / gcd(b, s)``.
    """
    s, b, n = p.stride[axis], p.lhs_dilation[axis], p.input_size[axis]
    shift = u * p.rhs_dilation[axis] - p.pads[axis][0]
    step, advance = b // gcd(b, s), s // gcd(b, s)
    first = next((y for y in range(part.start, part.start + step) if (y * s + shift) % b == 0), None)
    if first is None:
        return slice(0, 0), slice(0, 0)
    q = (first * s + shift) // b
    skip = max(0, -(q // advance))  # outputs whose sample would lie before the array
    first, q = first + skip * step, q + skip * advance
    count = min(len(range(first, part.stop, step)), len(range(q, n, advance)))
    y = first - part.start
    return slice(q, q + count * advance, advance), slice(y, y + count * step, step)


def contract(p: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """The unshared convolution ``out[n, o, y] = sum_r patches[n, r, y] * w[o, r, y]``, box by box.

    `w` is (O, R, \\*M) and `out` (N, O, \\*M). Per output the sum is a matrix product [N x R] * [R x O].
    """
    taps = p.in_channels * prod(p.kernel_size)
    dtype = np.dtype(np.float32) if out.dtype == np.float16 else out.dtype
    per_output = (p.batch * taps + taps * w.shape[0] + p.batch * w.shape[0]) * dtype.itemsize
    for box in boxes(p.output_size, max(1, SCRATCH_BYTES // max(per_output, 1))):
        sizes = [part.stop - part.start for part in box]
        at = (slice(None), slice(None), *box)
        rows = np.empty((*sizes, p.batch, p.in_channels, *p.kernel_size), dtype)
        gather(p, x, box, np.moveaxis(rows, range(p.ndim), range(-p.ndim, 0)))
        columns = np.ascontiguousarray(np.moveaxis(w[at], (1, 0), (-2, -1)), dtype)
        with np.errstate(all="ignore"):
            result = rows.reshape(*sizes, p.batch, taps) @ columns
            out[at] = np.moveaxis(result, (-2, -1), (0, 1))


def boxes(size: Ints, limit: int) -> Iterator[Box]:
    """Boxes of at most `limit` points (but at least one) that cover an array of `size`, in order."""
    steps: list[int] = []
    for n in reversed(size):
        steps.insert(0, max(1, min(n, limit)))
        limit //= max(n, 1)
    ranges = [range(0, n, step) for n, step in zip(size, steps, strict=True)]
    for starts in product(*ranges):
        yield tuple(slice(a, min(a + step, n)) for a, step, n in zip(starts, steps, size, strict=True))
