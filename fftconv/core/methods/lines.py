"""One channel, one axis: `np.correlate` on every line of the array, long lines in pieces.

np.correlate conjugates its second argument, so kernels come conjugated here; np.convolve is the same loop in a
slower wrapper.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from fftconv.core.boundary import ZEROS, Boundary, pieces
from fftconv.core.cost_direct import line_axis, line_block
from fftconv.core.methods import Executor
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.workers import for_each

correlate: Any
try:
    # without the wrapper that looks for operands of other libraries, which takes as long as a short line
    from numpy._core.multiarray import correlate2 as correlate
except ImportError:  # where NumPy keeps it elsewhere
    correlate = np.correlate

# the modes of np.correlate
INSIDE, CENTRED, ALL = 0, 1, 2

Sums = Callable[[np.ndarray, np.ndarray], np.ndarray]


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p = plan.problem
    if x.dtype is not p.dtype and np.promote_types(x.dtype, p.dtype) != p.dtype:
        x = x.astype(p.dtype)  # np.correlate would sum uint64 and int64 as float64
    if x.ndim == 3 and p.batch == p.in_channels == 1 and out.size <= line_block(p):
        of = line if p.outside is ZEROS else _reader(p, 0)
        of(x[0, 0], conjugate(p, w[0, 0]), p.pads[0][0], out[0, 0])
        return
    axis = line_axis(p)
    rows, targets = lines(p, axis, x, out)
    kernels = conjugate(p, w.reshape(p.out_channels, -1))
    lo, size, length = p.pads[axis][0], p.output_size[axis], line_block(p)
    of = _reader(p, axis) if p.boundary[axis] else line

    def work(job: tuple[tuple[int, ...], int]) -> None:
        row, begin = job
        of(rows[row], kernels[row[1]], lo - begin, targets[row][begin : begin + length])

    for_each(product(np.ndindex(rows.shape[:-1]), range(0, size, length)), work, plan.workers)


def one_line(p: ConvProblem) -> Executor:
    """`execute` for one short line: nothing here that np.correlate does not need.

    Its attribute `sums`, where there is one, makes a new line of a line and a kernel.
    """
    mode = _mode_of(p.input_size[0], p.kernel_size[0], p.output_size[0], p.pads[0][0])
    if mode is None or not p.x_dtype == p.w_dtype == p.dtype:
        return execute
    turned = slice(None, None, -1)
    sums: Sums
    if p.dtype.kind == "c":
        sums = lambda x, w: correlate(x, conjugate(p, w), mode)  # noqa: E731
    elif p.flip:
        sums = lambda x, w: correlate(x, w[turned], mode)  # noqa: E731
    else:
        sums = lambda x, w: correlate(x, w, mode)  # noqa: E731

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        out[0, 0] = sums(x[0, 0], w[0, 0])

    run.sums = sums  # type: ignore[attr-defined]
    return run


def _mode_of(n: int, k: int, m: int, lo: int) -> int | None:
    """Which m outputs of a line of n samples these are, as np.correlate says it, if it does.

    Output y is entry ``y + k - 1 - lo`` of the full correlation, whose first and last ``k - 1`` reach past x.
    """
    if lo == k - 1 and m == n + k - 1:
        return ALL
    if lo == 0 and m == n - k + 1:
        return INSIDE
    if lo == k // 2 and m == n >= k:
        return CENTRED
    return None


def conjugate(p: ConvProblem, w: np.ndarray) -> np.ndarray:
    """Kernels along the last axis, as np.correlate wants them."""
    if p.flip:
        w = w[..., ::-1]
    dtype = p.dtype
    if w.dtype is not dtype:
        w = w.astype(dtype)
    return w.conj() if dtype.kind == "c" else w


def lines(p: ConvProblem, axis: int, x: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of `x` and `out` with `axis` last and every other axis matched; unmatched outputs become 0."""
    source: list[slice] = [slice(None)] * 2
    target: list[slice] = [slice(None)] * 2
    for i, (n, m, s, (lo, _)) in enumerate(zip(p.input_size, p.output_size, p.stride, p.pads, strict=True)):
        if i == axis:
            source.append(slice(None))
            target.append(slice(None))
            continue
        # outputs begin..end read sample y*s - lo, inside [0, n)
        begin = min(m, max(0, -(-lo // s)))
        end = max(begin, min(m, (n - 1 + lo) // s + 1))
        source.append(
            slice(begin * s - lo, max(0, (end - 1) * s - lo + 1) if end > begin else begin * s - lo, s)
        )
        target.append(slice(begin, end))
        if begin > 0 or end < m:
            out[...] = 0
    return np.moveaxis(x[tuple(source)], 2 + axis, -1), np.moveaxis(out[tuple(target)], 2 + axis, -1)


def _reader(p: ConvProblem, axis: int) -> Callable[[np.ndarray, np.ndarray, int, np.ndarray], None]:
    """`line` where something other than zeros lies outside."""
    boundary, fill = p.boundary[axis], p.outside.fill

    def of(x: np.ndarray, w: np.ndarray, lo: int, out: np.ndarray) -> None:
        count = out.size + w.size - 1
        seen = np.empty(count, p.dtype if boundary == Boundary.CONSTANT else x.dtype)
        for target, source in pieces((-lo, count, 1), x.size, boundary):
            seen[target] = fill if source is None else x[source]
        out[...] = correlate(seen, w, INSIDE)

    return of


def line(x: np.ndarray, w: np.ndarray, lo: int, out: np.ndarray) -> None:
    """The outputs of one line: ``out[y] = sum_u w[u].conj() * x[y + u - lo]``."""
    mode = _mode_of(x.size, w.size, out.size, lo)
    if mode is None:
        _any_line(x, w, w.size - 1 - lo, out)
    else:
        out[...] = correlate(x, w, mode)


def _any_line(x: np.ndarray, w: np.ndarray, shift: int, out: np.ndarray) -> None:
    """Entries ``shift..shift + m`` of the full correlation, zeros beyond its ends."""
    n, k, m = x.size, w.size, out.size
    begin, end = max(0, shift), min(n + k - 1, shift + m)
    if begin >= end:
        out[...] = 0
        return
    first, last = max(0, begin - k + 1), min(n, end)
    part, a = x[first:last], begin - first
    complete = a == k - 1 and last == end
    found = correlate(part, w, INSIDE) if complete else correlate(part, w, ALL)[a : a + end - begin]
    out[: begin - shift] = 0
    out[begin - shift : end - shift] = found
    out[end - shift :] = 0
