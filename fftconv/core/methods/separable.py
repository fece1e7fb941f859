"""A kernel that is a sum of few products of 1-d kernels: one pass along each axis, slab by slab.

Every pass is planned as the problem that it is.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fftconv.core.cells import Span, boxes
from fftconv.core.methods.blocks import Scratch
from fftconv.core.passes import extents, passes, slab, slab_lengths
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem
from fftconv.core.separability import Term, terms_of
from fftconv.core.support import signs_restorer
from fftconv.core.workers import for_each
from fftconv.core.zeros import clearer

if TYPE_CHECKING:
    from fftconv.core.run import Runner

LINE_BYTES = 64
# Of a slab's own: nobody need look at its kernels again, and its siblings have the other threads.
PASS = Request(workers=1, terms=0)


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p = plan.problem
    terms = terms_of(p, w, plan.chosen.terms)
    assert terms is not None, "plans by this method are for kernels that were looked at"
    scratch = Scratch()

    def work(box: tuple[Span, ...]) -> None:
        batch, *spans = (slice(*span) for span in box)
        place: Any = (batch, slice(None), *spans)
        part, kept = slab(p, box)
        samples = x[(batch, slice(None), *kept)]
        if samples.size == 0:
            out[place] = 0
            return
        add_up(part, samples, terms, (out[place], scratch))
        if len(terms) > 1:
            _look(part, samples, w, out[place])

    # what overflows is in the result to be seen
    with np.errstate(all="ignore"):
        for_each(boxes((p.batch, *p.output_size), slab_lengths(p)), work, plan.workers)


def add_up(p: ConvProblem, x: np.ndarray, terms: list[Term], to: tuple[np.ndarray, Scratch]) -> None:
    """The sum over `terms` of what their passes give."""
    out, scratch = to
    for i, term in enumerate(terms):
        total = out if i == 0 else scratch.take("term", p.out_shape, p.dtype)
        one_after_the_other(p, x, term, (total, scratch))
        if i:
            np.add(out, total, out=out)


def one_after_the_other(p: ConvProblem, x: np.ndarray, term: Term, to: tuple[np.ndarray, Scratch]) -> None:
    """The passes of one product; each puts its result where the next one reads, amid zeros for padding."""
    out, scratch = to
    steps = passes(p)
    axes = extents(p)[::-1]
    for q, line, after, axis in zip(steps, reversed(term), (*steps[1:], None), (*axes[1:], 0), strict=True):
        target = out if after is None else _amid_zeros(_spread(scratch, after), 2 + axis, p.pads[axis])
        _runner(q)(x, line.reshape(q.w_shape), target)
        if after is not None:
            x = _spread(scratch, after)


@lru_cache(maxsize=256)
def _runner(p: ConvProblem) -> Runner:
    """What runs one pass; slabs and calls have most of their passes in common."""
    from fftconv.core.run import Runner

    return Runner(p, PASS)


def _spread(scratch: Scratch, p: ConvProblem) -> np.ndarray:
    """Where a pass reads: neighbours down a column must not fall on the same lines of the cache.

    Rows begin where lines do.
    """
    *others, last = p.x_shape
    line = LINE_BYTES // p.dtype.itemsize
    wide = (*others[:2], *(n + 1 for n in others[2:]), -(-last // line) * line + line)
    flat = scratch.take(f"pass {p.kernel_size}", (prod(wide) + line,), p.dtype)
    first = -(flat.ctypes.data // p.dtype.itemsize) % line
    return flat[first : first + prod(wide)].reshape(wide)[tuple(slice(n) for n in p.x_shape)]


def _amid_zeros(a: np.ndarray, axis: int, pads: tuple[int, int]) -> np.ndarray:
    """The part of `a` between its padding, which is set to zero."""
    lo, hi = pads
    along: tuple[Any, ...] = (slice(None),) * axis
    a[(*along, slice(lo))] = 0
    a[(*along, slice(a.shape[axis] - hi, None))] = 0
    return a[(*along, slice(lo, a.shape[axis] - hi))]


def _look(p: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Put right what several terms do to each other: infinities that cancel, signs and zeros lost in rounding."""
    from fftconv.core.run import run

    if np.isfinite(np.add.reduce(out, axis=None)):
        for restore in (signs_restorer(p), clearer(p)):
            restore(x, w, out)
    else:
        run(p, x, w, out, PASS)
