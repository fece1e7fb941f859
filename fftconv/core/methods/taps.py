"""One kernel tap after the other over blocks of the output that stay in the cache. Any dtype, any geometry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fftconv.core.cells import Span, boxes, cut
from fftconv.core.cost_direct import tap_lengths, taps_together
from fftconv.core.methods.blocks import Scratch, by_group, correlation_kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import Ints
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Sum over input channels, then over taps in memory order: the order that fixes the rounding."""
    p = plan.problem
    weights = correlation_kernel(p, w).reshape(p.groups, p.group_outputs, -1)
    inputs, outputs = by_group(p, x, out)
    scratch, single, together = Scratch(), cut(p, (1,) * p.ndim), taps_together(p)

    def work(box: tuple[Span, ...]) -> None:
        desk = scratch.desk(p, single, box)
        desk.load(inputs, box)
        (group, _), batch, *cells = box
        terms = desk.columns[0]
        total = scratch.take("total", terms.shape[1 + p.ndim :], p.dtype)
        products = scratch.take("products", (1 + together, *total.shape), p.dtype)
        place: tuple[Any, ...] = (slice(*batch), group, slice(None), *(slice(*span) for span in cells))
        region = outputs[place]
        for o, row in enumerate(weights[group]):
            accumulate(terms, row, total, products)
            region[:, o] = total

    # sums that wrap are the integers' contract, and what overflows in floating point is in the result to be seen
    with np.errstate(all="ignore"):
        for_each(boxes((p.groups, p.batch, *p.output_size), tap_lengths(p)), work, plan.workers)


def accumulate(terms: np.ndarray, weights: np.ndarray, total: np.ndarray, products: np.ndarray) -> None:
    """``total = sum of terms[tap] * weights[tap]``: the first product stored, each other one added.

    As many taps are multiplied at once as `products` has places for beside the sum of those before.
    """
    shape = terms.shape[: terms.ndim - total.ndim]
    if len(products) > 2 and total.size > 1:
        _several(terms, weights.reshape(*shape, *(1,) * total.ndim), total, products)
        return
    term = products[0]
    taps = np.ndindex(shape)
    np.multiply(terms[next(taps)], weights[0], out=total)
    for tap, weight in zip(taps, weights[1:], strict=True):
        np.multiply(terms[tap], weight, out=term)
        np.add(total, term, out=total)


def _several(terms: np.ndarray, weights: np.ndarray, total: np.ndarray, products: np.ndarray) -> None:
    # along the first of several axes NumPy adds one after the other; of zeros only -0 leaves both their sign
    zero = total.dtype.type(-0.0)
    first = 1
    for taps in _runs(terms.shape[: terms.ndim - total.ndim], len(products) - 1):
        found = terms[taps]
        end = 1 + found.size // total.size
        np.multiply(found, weights[taps], out=products[1:end].reshape(found.shape))
        if not first:
            products[0] = total
        np.add.reduce(products[first:end], axis=0, dtype=total.dtype, out=total, initial=zero)
        first = 0


def _runs(shape: Ints, most: int) -> Iterator[tuple[int | slice, ...]]:
    """Indices that together take every element of an array in its order, at most so many at a time."""
    axis, inner = len(shape), 1
    while axis and inner * shape[axis - 1] <= most:
        axis -= 1
        inner *= shape[axis]
    if axis == 0:
        yield ()
        return
    step = most // inner
    for outer in np.ndindex(shape[: axis - 1]):
        for a in range(0, shape[axis - 1], step):
            yield (*outer, slice(a, a + step))
