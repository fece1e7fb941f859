"""Channels by matrix products: patches of the input become columns, the kernel becomes the matrix.

With ``R`` rows of the output taken together along one axis the kernel's matrix becomes banded::

    R = 3, K = 2:   w0 w1  .  .
                     . w0 w1  .
                     .  . w0 w1

The product then does ``(R - 1 + K) / K`` times the needed work, but each patch is gathered once for R outputs, and
the matrix has R times as many rows. For few channels that is worth far more than it costs, because BLAS needs
a dozen rows to reach its speed. The zeros of the band meet samples outside an output's window, so a
banded product is for finite input only.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fftconv.core.cost_direct import patch_size, patches
from fftconv.core.methods import blas
from fftconv.core.methods.blocks import Scratch, Span, boxes, by_group, correlation_kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p = plan.problem
    layout = patches(p, plan.method)
    matrix = banded(p, layout.rows, w)
    inputs, outputs = by_group(p, x, out)
    scratch = Scratch()

    def work(box: tuple[Span, ...]) -> None:
        desk = scratch.desk(p, layout.rows, box)
        desk.load(inputs, box)
        groups, batch, *cells = box
        y = multiply(matrix[slice(*groups)], desk.columns, layout.channels, scratch)
        store(y, layout.rows, cells, outputs[slice(*batch), slice(*groups)])

    # what overflows is in the result to be seen
    with np.errstate(all="ignore"), blas.one_thread():
        for_each(boxes((p.groups, p.batch, *layout.cells), layout.lengths), work, plan.workers)


def banded(p: ConvProblem, rows: Ints, w: np.ndarray) -> np.ndarray:
    """The kernel as (G, O x R, I, patch)."""
    kernel = correlation_kernel(p, w)
    kernel = kernel.reshape(p.groups, p.group_outputs, p.group_inputs, *p.kernel_size)
    height, patch = prod(rows), patch_size(p, rows)
    found = np.zeros((p.groups, p.group_outputs, height, p.group_inputs, *patch), p.dtype)
    for i, row in enumerate(np.ndindex(rows)):
        taps = (slice(r * s, r * s + k) for r, s, k in zip(row, p.stride, p.kernel_size, strict=True))
        place: tuple[Any, ...] = (slice(None), slice(None), i, slice(None), *taps)
        found[place] = kernel
    return found.reshape(p.groups, p.group_outputs * height, p.group_inputs, prod(patch))


def multiply(matrix: np.ndarray, columns: np.ndarray, channels: int, scratch: Scratch) -> np.ndarray:
    """[O R x I patch] * [I patch x N cells] per group, `channels` of the I at a time: (G, O R, N, *cells)."""
    groups, height, inputs, _ = matrix.shape
    cells = columns.shape[2 + (columns.ndim - 3) // 2 :]
    y = scratch.take("y", (groups, height, prod(cells)), matrix.dtype)
    for first in range(0, inputs, channels):
        part = columns[:, first : first + channels]
        gathered = scratch.take("columns", part.shape, matrix.dtype)
        gathered[...] = part
        left = matrix[:, :, first : first + channels].reshape(groups, height, -1)
        right = gathered.reshape(groups, left.shape[2], y.shape[2])
        if first == 0:
            np.matmul(left, right, out=y)
        else:
            y += np.matmul(left, right, out=scratch.take("term", y.shape, y.dtype))
    return y.reshape(groups, height, *cells)


def store(y: np.ndarray, rows: Ints, cells: list[Span], out: np.ndarray) -> None:
    """Put (G, O x R, N, *cells) where it belongs in `out` (N, G, O, *M); the last cells may reach past it."""
    axes = len(rows)
    y = y.reshape(y.shape[0], out.shape[2], *rows, *y.shape[2:])
    # to (N, G, O, cells and rows of one axis after the other)
    pairs = [axis for i in range(axes) for axis in (3 + axes + i, 2 + i)]
    y = y.transpose(2 + axes, 0, 1, *pairs)
    ends = [(a * r, b * r) for (a, b), r in zip(cells, rows, strict=True)]
    place: tuple[Any, ...] = (..., *(slice(a, b) for a, b in ends))
    region = out[place]
    whole = (*out.shape[:3], *(b - a for a, b in ends))
    if region.shape == whole:
        region.reshape(y.shape)[...] = y
    else:
        region[...] = y.reshape(whole)[tuple(slice(n) for n in region.shape)]
