"""One kernel tap after the other over blocks of the output that stay in the cache. Any dtype, any geometry."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.cost_direct import chunks, tap_block
from fftconv.core.methods.blocks import Scratch, Span, boxes, correlation_kernel, read_spans, window
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Sum over input channels, then over taps in memory order: the order that fixes the rounding."""
    p = plan.problem
    kernel = correlation_kernel(p, w)
    weights = kernel.reshape(len(kernel), -1)
    scratch = Scratch()

    def work(job: tuple[int, tuple[Span, ...]]) -> None:
        group, (batch, *box) = job
        inputs, outputs = group * p.group_inputs, group * p.group_outputs
        xs = x[slice(*batch), inputs : inputs + p.group_inputs]
        terms = shifted(p, window(xs, read_spans(p, box), p.dtype), box)
        region = (slice(*batch), slice(outputs, outputs + p.group_outputs), *(slice(*span) for span in box))
        term = scratch.take("term", terms.shape[1 + p.ndim :], p.dtype)
        for y, row in zip(out[region].swapaxes(0, 1), weights[outputs:], strict=False):
            accumulate(terms, row, y, term)

    sizes = (p.batch, *p.output_size)
    lengths = chunks(sizes, tap_block(p))
    # sums that wrap are integers' contract, and what overflows in floating point is in the result to be seen
    with np.errstate(all="ignore"):
        for_each(product(range(p.groups), boxes(sizes, lengths)), work, plan.workers)


def shifted(p: ConvProblem, xs: np.ndarray, box: list[Span]) -> np.ndarray:
    """View of a window (N, I, *W) as (I, *K, N, *block): what each tap meets at every output."""
    lengths = tuple(b - a for a, b in box)
    batch, channel, *steps = xs.strides
    return as_strided(
        xs,
        (xs.shape[1], *p.kernel_size, xs.shape[0], *lengths),
        (
            channel,
            *(step * d for step, d in zip(steps, p.rhs_dilation, strict=True)),
            batch,
            *(step * s for step, s in zip(steps, p.stride, strict=True)),
        ),
        writeable=False,
    )


def accumulate(terms: np.ndarray, weights: np.ndarray, y: np.ndarray, term: np.ndarray) -> None:
    """``y = sum of terms[tap] * weights[tap]``, first term stored, each other one added."""
    taps = np.ndindex(terms.shape[: terms.ndim - y.ndim])
    first = next(taps)
    np.multiply(terms[first], weights[0], out=y)
    for tap, weight in zip(taps, weights[1:], strict=True):
        np.multiply(terms[tap], weight, out=term)
        np.add(y, term, out=y)
