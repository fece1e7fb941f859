"""One kernel tap after the other over blocks of the output that stay in the cache. Any dtype, any geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from fftconv.core.cells import Span, boxes, cut
from fftconv.core.cost_direct import tap_lengths
from fftconv.core.methods.blocks import Scratch, by_group, correlation_kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Sum over input channels, then over taps in memory order: the order that fixes the rounding."""
    p = plan.problem
    weights = correlation_kernel(p, w).reshape(p.groups, p.group_outputs, -1)
    inputs, outputs = by_group(p, x, out)
    scratch, single = Scratch(), cut(p, (1,) * p.ndim)

    def work(box: tuple[Span, ...]) -> None:
        desk = scratch.desk(p, single, box)
        desk.load(inputs, box)
        (group, _), batch, *cells = box
        terms = desk.columns[0]
        total = scratch.take("total", terms.shape[1 + p.ndim :], p.dtype)
        term = scratch.take("term", total.shape, p.dtype)
        place: tuple[Any, ...] = (slice(*batch), group, slice(None), *(slice(*span) for span in cells))
        region = outputs[place]
        for o, row in enumerate(weights[group]):
            accumulate(terms, row, total, term)
            region[:, o] = total

    # sums that wrap are the integers' contract, and what overflows in floating point is in the result to be seen
    with np.errstate(all="ignore"):
        for_each(boxes((p.groups, p.batch, *p.output_size), tap_lengths(p)), work, plan.workers)


def accumulate(terms: np.ndarray, weights: np.ndarray, total: np.ndarray, term: np.ndarray) -> None:
    """``total = sum of terms[tap] * weights[tap]``: the first product stored, each other one added."""
    taps = np.ndindex(terms.shape[: terms.ndim - total.ndim])
    np.multiply(terms[next(taps)], weights[0], out=total)
    for tap, weight in zip(taps, weights[1:], strict=True):
        np.multiply(terms[tap], weight, out=term)
        np.add(total, term, out=total)
