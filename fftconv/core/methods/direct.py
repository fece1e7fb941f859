"""The direct sum, one kernel tap at a time over the whole output."""

from __future__ import annotations

from itertools import product

import numpy as np

from fftconv.core.plan import ConvPlan


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p = plan.problem
    out[...] = 0
    if p.flip:
        w = w[(..., *(slice(None, None, -1),) * p.ndim)]
    g = p.groups
    x = x.reshape(p.batch, g, p.group_inputs, *p.input_size).astype(p.dtype, copy=False)
    w = w.reshape(g, p.group_outputs, p.group_inputs, *p.kernel_size).astype(p.dtype, copy=False)
    y = out.reshape(p.batch, g, p.group_outputs, *p.output_size)
    for tap in product(*map(range, p.kernel_size)):
        src, dst = [], []
        for u, n, m, s, d, (lo, _) in zip(
            tap, p.input_size, p.output_size, p.stride, p.rhs_dilation, p.pads, strict=True
        ):
            # outputs first..last read x[y*s + u*d - lo] inside [0, n)
            first = max(0, -((u * d - lo) // s))
            last = min(m, (n - 1 + lo - u * d) // s + 1)
            dst.append(slice(first, max(first, last)))
            start = first * s + u * d - lo
            src.append(slice(start, start + max(0, last - first - 1) * s + 1 if last > first else start, s))
        wt = w[(..., *tap)]
        xs, ys = x[(..., *src)], y[(..., *dst)]
        if ys.size:
            for i in range(p.group_inputs):
                ys += xs[:, :, i, None] * wt[:, :, i].reshape(1, g, -1, *(1,) * p.ndim)
    if not np.shares_memory(y, out):
        out[...] = y.reshape(out.shape)
