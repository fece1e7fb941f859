"""Channels by matrix products: patches of the input become columns, the kernel becomes the matrix.

With ``R`` rows of the output taken together along one axis the kernel's matrix becomes banded::

    R = 3, K = 2:   w0 w1  .  .
                     . w0 w1  .
                     .  . w0 w1

The product then does ``(R - 1 + K) / K`` times the needed work, but each patch is gathered once for R outputs, and
the matrix has R times as many rows. For few channels that is worth far more than it costs, because BLAS needs
a dozen rows to reach its speed. Input dilation needs no phases here: the outputs that differ in residue are such
rows too, and read the same samples. The zeros of the band meet samples outside an output's window, so a
banded product is for finite input only.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from fftconv.core.cells import Cells, Span, boxes
from fftconv.core.cost_direct import patches
from fftconv.core.methods import blas
from fftconv.core.methods.blocks import Scratch, by_group, correlation_kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import in_force
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p = plan.problem
    layout = patches(p, plan.method, in_force().direct)
    matrix = banded(p, layout.cells, w)
    inputs, outputs = by_group(p, x, out)
    scratch = Scratch()

    def work(box: tuple[Span, ...]) -> None:
        desk = scratch.desk(p, layout.cells, box)
        desk.load(inputs, box)
        groups, batch, *spans = box
        y = multiply(matrix[slice(*groups)], desk.columns, layout.channels, scratch)
        store(y, layout.cells, spans, outputs[slice(*batch), slice(*groups)])

    # what overflows is in the result to be seen
    with np.errstate(all="ignore"), blas.one_thread():
        for_each(boxes((p.groups, p.batch, *layout.counts), layout.lengths), work, plan.workers)


def banded(p: ConvProblem, cells: tuple[Cells, ...], w: np.ndarray) -> np.ndarray:
    """The kernel as (G, O x R, I, patch)."""
    kernel = correlation_kernel(p, w)
    kernel = kernel.reshape(p.groups, p.group_outputs, p.group_inputs, *p.kernel_size)
    height, patch = prod(c.rows for c in cells), tuple(c.patch for c in cells)
    found = np.zeros((p.groups, p.group_outputs, height, p.group_inputs, *patch), p.dtype)
    for i, weights in enumerate(product(*(c.weights for c in cells))):
        taps: tuple[Any, ...] = (..., *(taps for taps, _ in weights))
        places: tuple[Any, ...] = (slice(None), slice(None), i, slice(None), *(place for _, place in weights))
        found[places] = kernel[taps]
    return found.reshape(p.groups, p.group_outputs * height, p.group_inputs, prod(patch))


def multiply(matrix: np.ndarray, columns: np.ndarray, channels: int, scratch: Scratch) -> np.ndarray:
    """[O R x I patch] * [I patch x cells] per group, `channels` of the I at a time: (G, O R, cells)."""
    groups, height, inputs, patch = matrix.shape
    y = scratch.take("y", (groups, height, columns.size // (groups * inputs * patch)), matrix.dtype)
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
    return y


def store(y: np.ndarray, cells: tuple[Cells, ...], spans: list[Span], out: np.ndarray) -> None:
    """Put (G, O x R, N x cells) where it belongs in `out` (N, G, O, *M); the last cells may reach past it."""
    axes = len(cells)
    batch, groups, channels = out.shape[:3]
    counts = [n for (a, b), c in zip(spans, cells, strict=True) for n in (b - a, c.turns)]
    y = y.reshape(groups, channels, *(c.rows for c in cells), batch, *counts)
    # to (N, G, O, then per axis its cells, their rows and turns)
    triples = [axis for i in range(axes) for axis in (3 + axes + 2 * i, 2 + i, 4 + axes + 2 * i)]
    y = y.transpose(2 + axes, 0, 1, *triples)
    ends = [(a * c.outputs, b * c.outputs) for (a, b), c in zip(spans, cells, strict=True)]
    place: tuple[Any, ...] = (..., *(slice(a, b) for a, b in ends))
    region = out[place]
    whole = (batch, groups, channels, *(b - a for a, b in ends))
    target = region if region.shape == whole else np.empty(whole, y.dtype)
    grid = target.reshape(y.shape)
    # row by row of the last axis: together they would make runs too short to copy fast
    for row in range(cells[-1].rows):
        grid[..., row, :] = y[..., row, :]
    if target is not region:
        region[...] = target[tuple(slice(n) for n in region.shape)]
