"""Non-finite values stay where the direct sum has them.

A transform spreads one NaN over its whole tile, and so gives itself away: every output of a tile contains the
tile's mean, in which every sample of it has a part. One output per tile therefore tells whether anything in it was
not finite, and the look costs nothing beside the transforms. Finite operands whose transform overflows
leave the same trace.

What is found is repaired in the box of those tiles only: their finite part is computed again with zeros for
what is not finite, and the outputs which the direct sum would give as NaN or infinite are told from counts. Of the
terms x*w of one output let

* ``total`` be those where an operand is not finite,
* ``infinite`` those that are infinite (no NaN, and not 0 times infinity),
* ``signed`` the positive ones of these less the negative ones.

Then the sum is untouched where total is 0, infinite where ``total == infinite == abs(signed)``, else NaN. Padding
with zeros is no operand: where taps fall on it there is no term. What else lies outside is. Counts are convolutions
of indicators, below 2**53 and rounded. Complex numbers are multiplied part by part, as ``(ac - bd) + (ad + bc)i``, so
an infinite part may turn into NaN exactly as in such a sum.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.cost_direct import cheapest, patches
from fftconv.core.excerpt import Box, excerpt
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import in_force
from fftconv.core.support import bounding_box, signs_restorer, window_counts
from fftconv.core.tiling import phased_axis, transformed_axes
from fftconv.core.zeros import clearer

Execute = Callable[[ConvPlan, np.ndarray, np.ndarray, np.ndarray], None]
Run = Callable[[ConvProblem, np.ndarray, np.ndarray, np.ndarray | None, Request], np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]


# Outputs that are added up one by one, sooner than by NumPy without warnings.
FEW = 16


class SpoiltError(Exception):
    """Under `alarm`, instead of a repair: something that was summed may not be finite."""


_alarm = threading.local()


@contextmanager
def alarm() -> Iterator[None]:
    """Raise `SpoiltError` where a result would have to be repaired; what it was to fill is lost then.

    Only in this thread, so that only what a plan does as a whole is sure to be heard of (see `betrays`).
    """
    _alarm.on = True
    try:
        yield
    finally:
        _alarm.on = False


def betrays(plan: ConvPlan) -> bool:
    """Whether no sample that is not finite could escape the look at the result."""
    chosen = plan.chosen
    if plan.problem.dtype.kind not in "fc" or chosen.by_phases:
        return False
    return chosen.tiling is not None or plan.method == "band"


def watched(
    plan: ConvPlan, execute: Execute, run: Run, kernel: np.ndarray | None = None, zeros: bool = True
) -> Execute:
    """`execute`, with a look at its result afterwards where values that are not finite could have spread.

    The problems of a repair are answered by `run`. `kernel` is the w of all calls, where it stays the same; without
    `zeros`, outputs that see nothing else stay as rounding leaves them. Phases are problems of their own, each watched.
    """
    p = plan.problem
    if p.dtype.kind not in "fc" or plan.chosen.by_phases or _keeps_in_place(plan):
        return execute
    axes = [Probes(m, *every) for m, every in zip(p.output_size, _probes(plan), strict=True)]
    regular: tuple[Any, ...] = (..., *(slice(None, None, axis.step) for axis in axes))
    others = [(i, axis.positions()) for i, axis in enumerate(axes, 2) if not axis.regular]
    limit = suspicious(p.dtype.char)
    kept = p.group_inputs == 1 and getattr(execute, "keeps_signs", False)
    restorers = []
    if plan.chosen.tiling is not None:
        restorers += [] if kept else [signs_restorer(p, kernel)]
        restorers += [clearer(p, kernel, plan.workers)] if zeros else []

    looks = p.batch * p.out_channels * prod(axis.looks for axis in axes)
    # few are added up in Python, which warns of nothing; but long doubles stay NumPy's
    few = looks <= FEW and p.dtype.char not in "gG"
    quiet = few and (getattr(execute, "quiet", False) or plan.method in ("direct", "jit"))

    def look(out: np.ndarray) -> np.ndarray:
        seen: np.ndarray = out[regular]
        for axis, positions in others:
            seen = seen.take(positions, axis)
        return seen

    def execute_and_look(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        execute(plan, x, w, out)
        # one sum shows whether there is anything to look for
        if looks == 1:
            total = out.item(0)
        elif quiet:
            total = sum(look(out).ravel().tolist())
        else:
            total = np.add.reduce(look(out), axis=None).item()
        if not (-limit <= total.real <= limit and -limit <= total.imag <= limit):
            if getattr(_alarm, "on", False):
                raise SpoiltError
            quietly(_repair)(plan, (x, w), out, (axes, look(out)), run)
        for restore in restorers:
            restore(x, w, out)

    sums = getattr(execute, "sums", None)
    if looks == 1 and quiet and sums is not None:

        def sums_and_look(x: np.ndarray, w: np.ndarray) -> np.ndarray:
            out: np.ndarray = sums(x, w)
            if not -limit <= out.item(0) <= limit:
                execute_and_look(plan, x[None, None], w[None, None], out[None, None])
            return out

        execute_and_look.sums = sums_and_look  # type: ignore[attr-defined]
    return execute_and_look if quiet else quietly(execute_and_look)


def quietly(f: Callable[..., None]) -> Callable[..., None]:
    """`f` without warnings of what it computes."""

    def call(*args: Any) -> None:
        with np.errstate(all="ignore"):
            f(*args)

    return call


def _keeps_in_place(plan: ConvPlan) -> bool:
    """Whether the method meets nothing but the samples of an output's window. Zeros for padding are none of them.

    What else may lie outside counts as samples.
    """
    p = plan.problem
    lines = plan.method == "direct" and cheapest(p, in_force().direct) == "lines"
    if lines or plan.method == "separable":
        return True
    zeros = (any(pads) and not b for pads, b in zip(p.pads, p.boundary, strict=True))
    return plan.method in ("direct", "jit") and not any(zeros)


class Probes(NamedTuple):
    """The outputs to look at along one axis: the first `width` of every `span`."""

    size: int
    span: int
    width: int

    @property
    def regular(self) -> bool:
        return self.width == 1 or self.width >= self.span

    @property
    def step(self) -> int:
        """Distance of neighbours where all of them are equal."""
        return self.span if self.width == 1 else 1

    @property
    def looks(self) -> int:
        """How many outputs there are to look at."""
        spans, rest = divmod(self.size, self.span)
        return spans * min(self.width, self.span) + min(rest, self.width)

    def positions(self) -> np.ndarray:
        """Where they are, read-only: worked out once, as it may take longer than the transforms."""
        return _positions(self)


@lru_cache(maxsize=64)
def _positions(axis: Probes) -> np.ndarray:
    at = np.arange(0, axis.size, axis.step)
    if not axis.regular:
        at = at[at % axis.span < axis.width]
    at.flags.writeable = False
    return at


def _probes(plan: ConvPlan) -> Iterator[tuple[int, int]]:
    """Per axis a span and a width such that no stray value escapes the first `width` outputs of every `span`.

    A spectral block fills ``step`` outputs, one per phase. In a band, all rows of a cell meet all samples of its
    patch. In a direct sum with padding it is a tap that is stray, in all outputs that it has a part in.
    """
    p = plan.problem
    for a, (m, s, b) in enumerate(zip(p.output_size, p.stride, p.lhs_dilation, strict=True)):
        if plan.chosen.tiling is not None:
            phases = phased_axis(p, a).output_step
            yield (plan.tiling.step[a] * phases, phases) if a in transformed_axes(p) else (1, 1)
        elif plan.method == "band":
            cells = patches(p, plan.method, in_force().direct).cells[a]
            yield (cells.rows, 1) if cells.turns == b == 1 else (1, 1)
        else:
            yield m, b // gcd(b, s)


def _outputs(axes: list[Probes], found: Box) -> Box:
    """The whole spans that hold what was found among the probes (N, O, \\*probes)."""
    batch, _, *spans = found
    box = [batch]
    for axis, (a, b) in zip(axes, spans, strict=True):
        begin, end = (int(at) // axis.span for at in axis.positions()[[a, b - 1]])
        box.append((begin * axis.span, min(axis.size, (end + 1) * axis.span)))
    return tuple(box)


@cache
def suspicious(char: str) -> Any:
    """Where the rounding noise of a tile lies in which something overflowed, or above."""
    info = np.finfo(char)
    # a number of Python's where there is one: beside NumPy's, sums in double precision would be rounded to single
    return (info.max * info.eps / 256).item()


def _repair(
    plan: ConvPlan, operands: Pair, out: np.ndarray, found: tuple[list[Probes], np.ndarray], run: Run
) -> None:
    """Compute the outputs around what was found again, with regard to what is not finite in what they see."""
    axes, seen = found
    where = bounding_box(~(np.abs(seen) <= suspicious(plan.problem.dtype.char)))
    if where is None:
        return
    box = _outputs(axes, where)
    batch, *spans = (slice(*span) for span in box)
    target = out[(batch, slice(None), *spans)]
    p, x, w = excerpt(plan.problem, box, operands)
    x, w = x.astype(p.dtype, copy=False), w.astype(p.dtype, copy=False)
    p = p.with_(x_dtype=p.dtype, w_dtype=p.dtype)
    # of the other sums not all answer any part of their problem
    method = plan.method if plan.chosen.is_spectral else "direct"
    machine = Machine(p, Request(method, plan.workers), run)
    spoilt_w = not np.isfinite(w).all()
    if plan.method in ("direct", "jit") and not spoilt_w:
        return
    if spoilt_w or not np.isfinite(x).all():
        _replace(machine, x, w, target)
    elif not np.isfinite(target).all():
        _rescale(machine, x, w, target)


@dataclass(frozen=True)
class Machine:
    """A problem whose operands have its dtype, and how it is computed."""

    problem: ConvProblem
    request: Request
    answer: Run

    def run(self, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        self.answer(self.problem, x, w, out, self.request)

    def count(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The convolution of -1, 0 and 1."""
        x, w = x.astype(np.int8, copy=False), w.astype(np.int8, copy=False)
        p = self.problem.with_(x_dtype=x.dtype, w_dtype=w.dtype, dtype=np.dtype(np.float64))
        y = self.answer(p, x, w, None, Request(workers=self.request.workers))
        np.rint(y, out=y)
        return y


# --- overflow


def _rescale(machine: Machine, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Finite operands whose transform overflows, brought to a magnitude of one by powers of two, and back."""
    up, down = zip(*map(_scales, (x, w)), strict=True)
    machine.run(x * down[0], w * down[1], out)
    # the factor itself may not be representable where its effect is
    for factor in sorted(up):
        out *= factor


def _scales(a: np.ndarray) -> tuple[Any, Any]:
    """A power of two near the peak of `a`, and its inverse."""
    info = np.finfo(a.dtype)
    peak = max(np.abs(part).max() for part in _parts(a))
    exponent = int(np.clip(np.frexp(peak)[1], info.minexp + 2, info.maxexp - 2))
    one = info.dtype.type(1)
    return np.ldexp(one, exponent), np.ldexp(one, -exponent)


# --- footprints


def _replace(machine: Machine, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """The direct sum of operands that are not all finite."""
    marks = [_mark(machine, pairs) for pairs in _products(x, w)]
    if not all(hit.all() for hit, _ in marks):
        clean_x, clean_w = (np.where(np.isfinite(a), a, a.dtype.type(0)) for a in (x, w))
        machine.run(clean_x, clean_w, out)
    for part, (hit, values) in zip(_parts(out), marks, strict=True):
        np.copyto(part, values, where=hit)


def _parts(a: np.ndarray) -> tuple[np.ndarray, ...]:
    return (a.real, a.imag) if a.dtype.kind == "c" else (a,)


def _products(x: np.ndarray, w: np.ndarray) -> list[list[Pair]]:
    """For each part of a product, the real products that it is the sum of."""
    if x.dtype.kind != "c":
        return [[(x, w)]]
    return [[(x.real, w.real), (-x.imag, w.imag)], [(x.real, w.imag), (x.imag, w.real)]]


def _mark(machine: Machine, pairs: list[Pair]) -> tuple[np.ndarray, Any]:
    """Where the sum over `pairs` is not finite, and its values there."""
    total = sum(_total(machine, x, w) for x, w in pairs)
    hit = total > 0
    if not any(np.isinf(a).any() for pair in pairs for a in pair):
        return hit, np.nan
    infinite = sum(_infinite(machine, x, w, np.abs) for x, w in pairs)
    signed = sum(_infinite(machine, x, w, np.positive) for x, w in pairs)
    values = np.where(infinite == total, np.where(signed == total, np.inf, np.nan), np.nan)
    values[(infinite == total) & (signed == -total)] = -np.inf
    return hit, values


def _total(machine: Machine, x: np.ndarray, w: np.ndarray) -> Any:
    """The terms with an operand that is not finite."""
    p = machine.problem
    bad_x, bad_w = ~np.isfinite(x), ~np.isfinite(w)
    found: Any = np.zeros((1,) * len(p.out_shape))
    if bad_x.any():
        if all(b == 1 for b in p.lhs_dilation):
            found = np.repeat(window_counts(p, bad_x), p.group_outputs, 1)
        else:
            found = machine.count(bad_x, np.ones(p.w_shape, np.int8))
    if bad_w.any():
        found = found + machine.count(~bad_x, bad_w)
    return np.broadcast_to(found, p.out_shape)


def _infinite(machine: Machine, x: np.ndarray, w: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The infinite terms, each counted as `of` its sign."""
    found: Any = np.zeros(machine.problem.out_shape)
    signs = [of(np.where(np.isnan(a), 0, np.sign(a)).astype(np.int8)) for a in (x, w)]
    if np.isinf(x).any():
        found += machine.count(np.where(np.isinf(x), signs[0], 0), signs[1])
    if np.isinf(w).any():
        found += machine.count(np.where(np.isinf(x), 0, signs[0]), np.where(np.isinf(w), signs[1], 0))
    return found
