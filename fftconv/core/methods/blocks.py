"""What the direct methods share: the output in blocks, and a worker's private copy of what one block reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.boundary import read
from fftconv.core.cells import Cells, Span
from fftconv.core.lazy import lazy
from fftconv.core.problem import ConvProblem, Ints, at


def correlation_kernel(p: ConvProblem, w: np.ndarray) -> np.ndarray:
    """`w` in the result's dtype, turned round where the problem is a convolution."""
    if p.flip:
        w = w[at(*[slice(None, None, -1)] * p.ndim)]
    return w.astype(p.dtype, copy=False)


def by_group(p: ConvProblem, x: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views (N, G, I, *S) and (N, G, O, *M)."""
    return (
        x.reshape(p.batch, p.groups, p.group_inputs, *p.input_size),
        out.reshape(p.batch, p.groups, p.group_outputs, *p.output_size),
    )


class Desk:
    """Where a worker lays out the input of one block: `columns` shows it as the cells of the block meet it.

    A block has `extent` (groups, batch, *counts of cells). The view `columns` is (G, I, *patch, N, *counts), so that
    ``columns[:, :, *place]`` is what that place of the patch holds for every cell; each count is followed by an axis
    of turns if any axis has more than one.
    """

    def __init__(self, p: ConvProblem, cells: tuple[Cells, ...], extent: Ints, scratch: Scratch) -> None:
        groups, batch, *counts = extent
        self.cells, self.outside = cells, p.outside
        self.counts = counts
        self.reach = tuple(c.reach(n) for c, n in zip(cells, counts, strict=True))
        self.window = scratch.take("window", (batch, groups, p.group_inputs, *self.reach), p.dtype)

    @lazy
    def columns(self) -> np.ndarray:
        batch, groups, inputs = self.window.shape[:3]
        per_batch, per_group, per_channel, *steps = self.window.strides
        turning = any(c.turns > 1 for c in self.cells)
        grid = [
            pair
            for n, c, step in zip(self.counts, self.cells, steps, strict=True)
            for pair in ((n, c.step * step), (c.turns, c.shift * step))[: 1 + turning]
        ]
        return as_strided(
            self.window,
            (groups, inputs, *(c.patch for c in self.cells), batch, *(n for n, _ in grid)),
            (
                per_group,
                per_channel,
                *(step * c.spacing for step, c in zip(steps, self.cells, strict=True)),
                per_batch,
                *(step for _, step in grid),
            ),
        )

    def load(self, x: np.ndarray, box: Sequence[Span]) -> None:
        """Copy what `box` reads of `x` (N, G, I, *S), and what lies outside."""
        (g0, g1), (n0, n1), *spans = box
        window = [
            (a * c.step + c.first, length, 1)
            for (a, _), c, length in zip(spans, self.cells, self.reach, strict=True)
        ]
        read(x[n0:n1, g0:g1], window, self.outside, self.window)


class Scratch(threading.local):
    """A worker's arrays, kept from one job to the next."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}
        self.desks: dict[Ints, Desk] = {}

    def take(self, name: str, shape: Ints, dtype: np.dtype) -> np.ndarray:
        """An array of arbitrary content, in the memory of the last one of that name."""
        size = prod(shape)
        flat = self.kept.get(name)
        if flat is None or flat.size < size:
            # blocks differ by a row or two, and what was handed out before stays alive only where it is in use
            del flat
            self.kept.pop(name, None)
            flat = self.kept[name] = np.empty(size + size // 16, dtype)
        return flat[:size].reshape(shape)

    def desk(self, p: ConvProblem, cells: tuple[Cells, ...], box: Sequence[Span]) -> Desk:
        """The desk for blocks as large as `box`."""
        extent = tuple(b - a for a, b in box)
        found = self.desks.get(extent)
        if found is None:
            found = self.desks[extent] = Desk(p, cells, extent, self)
        return found
