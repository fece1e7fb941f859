"""A kernel that is a sum of few products of 1-d kernels: one pass along each axis.

Both passes of a picture by compiled loops go strip by strip (`strips`). Others go slab by slab, and every pass is
planned as the problem that it is; so do those of strips while no loop is compiled, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fftconv.core.cells import Span, boxes
from fftconv.core.methods import strips
from fftconv.core.methods.blocks import Scratch, correlation_kernel
from fftconv.core.methods.rows import is_plain
from fftconv.core.methods.warmth import warmth
from fftconv.core.passes import (
    LINE_BYTES,
    SHORT_SLAB_BYTES,
    SLAB_BYTES,
    extents,
    passes,
    slab,
    slab_lengths,
    spread,
)
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem
from fftconv.core.separability import REMEMBERED_BYTES, terms_of
from fftconv.core.support import signs_restorer
from fftconv.core.workers import for_each
from fftconv.core.zeros import clearer

if TYPE_CHECKING:
    from fftconv.core.run import Runner

# Of a slab's own: nobody need look at its kernels again, and its siblings have the other threads.
PASS = Request(workers=1, terms=0)
LOOPS = Request("jit", workers=1, terms=0)


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    p, factors = plan.problem, _factors(plan.problem, w, plan.chosen.terms)
    loops = warmth.loops.get(p.dtype.char) if plan.chosen.by_strips else None
    if loops is not None and x.dtype == p.dtype and is_plain(x) and is_plain(out):
        rows, columns = factors.turned
        strips.fill(strips.Passes(p, factors.terms, loops), x, (rows, columns), (out, plan.workers))
    else:
        _by_slabs(plan, x, factors, out)
    if factors.terms > 1:
        _each_slab(plan, x, out, partial(_look, w))


class _Factors(NamedTuple):
    """The kernels of the passes, from the last axis to the first, all terms side by side; the same for correlations."""

    terms: int
    lines: tuple[np.ndarray, ...]
    turned: tuple[np.ndarray, ...]


def _factors(p: ConvProblem, w: np.ndarray, most: int) -> _Factors:
    """Those of a kernel; of one seen a moment ago they are still there."""
    if w.nbytes > REMEMBERED_BYTES or not w.dtype.isnative:
        return _found(p, w, most)
    return _remembered(p, w.tobytes(), w.dtype.char, most)


@lru_cache(maxsize=32)
def _remembered(p: ConvProblem, values: bytes, char: str, most: int) -> _Factors:
    return _found(p, np.frombuffer(values, char).reshape(p.w_shape), most)


def _found(p: ConvProblem, w: np.ndarray, most: int) -> _Factors:
    terms = terms_of(p, w, most)
    assert terms is not None, "plans by this method are for kernels that were looked at"
    steps = passes(p, len(terms))
    axes = reversed([np.stack(each, 1) for each in zip(*terms, strict=True)])
    lines = tuple(each.reshape(q.w_shape) for q, each in zip(steps, axes, strict=True))
    turned = (np.ascontiguousarray(correlation_kernel(q, a)) for q, a in zip(steps, lines, strict=True))
    return _Factors(len(terms), lines, tuple(turned))


def _each_slab(
    plan: ConvPlan, x: np.ndarray, out: np.ndarray, do: Callable[[ConvProblem, np.ndarray, np.ndarray], None]
) -> None:
    """Call ``do(problem, samples, outputs)`` for every slab; those of strips hold no more than strips would."""
    p = plan.problem
    lengths = slab_lengths(p, SHORT_SLAB_BYTES if plan.chosen.by_strips else SLAB_BYTES)

    def work(box: tuple[Span, ...]) -> None:
        batch, *spans = (slice(*span) for span in box)
        part, kept = slab(p, box)
        do(part, x[(batch, slice(None), *kept)], out[(batch, slice(None), *spans)])

    # what overflows is in the result to be seen
    with np.errstate(all="ignore"):
        for_each(boxes((p.batch, *p.output_size), lengths), work, plan.workers)


def _by_slabs(plan: ConvPlan, x: np.ndarray, factors: _Factors, out: np.ndarray) -> None:
    """One pass after the other with the kernels of each; what lies between stays in the cache."""
    scratch = Scratch()
    request = LOOPS if plan.chosen.by_strips else PASS

    def do(part: ConvProblem, samples: np.ndarray, target: np.ndarray) -> None:
        if samples.size == 0:
            target[...] = 0
        else:
            steps = passes(part, factors.terms)
            runners = [_runner(q, request) for q in steps]
            one_after_the_other(part, samples, (factors.lines, runners), (target, scratch))

    _each_slab(plan, x, out, do)


def one_after_the_other(
    p: ConvProblem,
    x: np.ndarray,
    by: tuple[tuple[np.ndarray, ...], list[Runner]],
    to: tuple[np.ndarray, Scratch],
) -> None:
    """The passes of a slab; each puts its result where the next one reads, amid zeros for padding."""
    (out, scratch), (_, runners), axes = to, by, extents(p)[::-1]
    after = [*(run.problem for run in runners[1:]), None]
    for line, run, q, axis in zip(*by, after, (*axes[1:], 0), strict=True):
        read = out if q is None else _spread(scratch, q)
        run(x, line, read if q is None else _amid_zeros(read, 2 + axis, p.pads[axis]))
        x = read


@lru_cache(maxsize=256)
def _runner(p: ConvProblem, request: Request) -> Runner:
    """What runs one pass; slabs and calls have most of their passes in common."""
    from fftconv.core.run import Runner

    return Runner(p, request)


def _spread(scratch: Scratch, p: ConvProblem) -> np.ndarray:
    """Where a pass reads: neighbours down a column must not fall on the same lines of the cache.

    Rows begin where lines do.
    """
    wide, line = spread(p), LINE_BYTES // p.dtype.itemsize
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


def _look(w: np.ndarray, p: ConvProblem, x: np.ndarray, out: np.ndarray) -> None:
    """Put right what several terms do to each other: infinities that cancel, signs and zeros lost in rounding."""
    from fftconv.core.run import run

    if x.size == 0:
        return
    if np.isfinite(np.add.reduce(out, axis=None)):
        for restore in (signs_restorer(p), clearer(p)):
            restore(x, w, out)
    else:
        run(p, x, w, out, PASS)
