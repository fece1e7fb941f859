"""The multiply-add of `taps` in compiled loops, with the same bits (optional: needs llvmlite, which numba brings).

Terms are added in the same order, each product rounded before it is added. (Complex numbers are left out: NumPy's
own products of them are fused.) So a call may be answered by `taps` while nothing is compiled yet, and later calls by
compiled code, and no result depends on which.

Loading the compiler and compiling takes some 90 ms, which no call is charged that cannot repay them: a call that
would lose more than that in `taps` has the loop compiled at once. The time that other calls spend in `taps` is
added up, and when compiling would soon have paid for itself a background thread does it. `warm_up` does it
at once.

Windows that lie wholly inside an array are read where they are. Only outputs at the edges, and arrays of another dtype
or in awkward memory, are answered from a private window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.cells import cut
from fftconv.core.cost_direct import tap_lengths
from fftconv.core.loop_rows import (
    Box,
    frame,
    held_outputs,
    inside,
    is_lone,
    is_small,
    line_axis_of,
    open_axes,
    whole_boxes,
)
from fftconv.core.methods import Executor, taps
from fftconv.core.methods.addresses import address
from fftconv.core.methods.bench import bench_of, first_alike
from fftconv.core.methods.blocks import Scratch, by_group, correlation_kernel
from fftconv.core.methods.loops import WRITTEN_OUT, Loops
from fftconv.core.methods.rows import (
    LINE_BYTES,
    Calls,
    Geometry,
    Sums,
    calls,
    is_plain,
    last,
    line_pairs,
    line_up,
    neighbours,
    put_back,
    whole_steps,
)
from fftconv.core.methods.warmth import eagerness, warmth, written
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem, Ints, at
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    char = plan.problem.dtype.char
    loops = warmth.loops.get(char) or warmth.at_once(plan)
    begin = perf_counter()
    if loops is None:
        if is_lone(plan.problem) and tap_lengths(plan.problem) == (1, plan.problem.batch, *out.shape[2:]):
            bench_of(plan.problem).by_taps((x, w), out)
        else:
            taps.execute(plan, x, w, out)
        warmth.spent(char, (perf_counter() - begin) * eagerness(plan.problem))
        return
    key = _written_key(plan.problem)
    run(written.loops.get(key, loops), plan, (x, w), out)
    if key and key not in written.begun:
        written.spent(key, perf_counter() - begin)


@lru_cache(maxsize=1024)
def _written_key(p: ConvProblem) -> str:
    """Which loops are written out for pairs of rows of `p`, an empty string where none are."""
    axis = p.ndim - 1
    long, across = neighbours(p, axis), line_axis_of(p, axis)
    paired = across is not None and line_pairs(p, axis, p.output_size[across]) > 0
    return f"{p.dtype.char}{long}" if paired and long in WRITTEN_OUT and inside(p) is not None else ""


def made_for(plan: ConvPlan) -> Executor:
    """`execute` for this plan alone; see `Small`."""
    return Small(plan) if is_small(plan.problem) else execute


class Small:
    """`execute` for one small problem: nothing is looked up, and next to nothing done, beside its sums.

    Attributes
    ----------
    sums : callable or None
        Where there is one channel and one sample of a batch, what makes a new array of operands without these axes.
    """

    def __init__(self, plan: ConvPlan) -> None:
        p = plan.problem
        self.plan, self.problem = plan, first_alike(p)
        self.char, self.key = p.dtype.char, _written_key(p)
        alone = p.batch == p.in_channels == p.out_channels == 1
        self.sums = self._new if alone else None

    def __call__(self, plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        loops = self._loops()
        if loops is None:
            execute(plan, x, w, out)
            return
        begin = perf_counter()
        bench_of(self.problem).fill_in(loops, (x, w), out, self.plan.workers)
        self._account(begin)

    def _new(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        loops = self._loops()
        if loops is None:
            p = self.plan.problem
            out = np.empty(p.output_size, p.dtype)
            execute(self.plan, x[None, None], w[None, None], out[None, None])
            return out
        begin = perf_counter()
        out = bench_of(self.problem).new(loops, (x, w), self.plan.workers)
        self._account(begin)
        return out

    def _loops(self) -> Loops | None:
        return (self.key and written.loops.get(self.key)) or warmth.loops.get(self.char)

    def _account(self, begin: float) -> None:
        """What the call took, for those who compile."""
        if self.key and self.key not in written.begun:
            written.spent(self.key, perf_counter() - begin)


def warm_up(dtype: np.dtype) -> None:
    """Compile the loop of `dtype` now."""
    warmth.prepare(np.dtype(dtype).char)


# --- the sums


def run(loops: Loops, plan: ConvPlan, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> None:
    """The rows whose windows lie inside `x` where they are, all others box by box from a window of their own."""
    p = plan.problem
    x, w = operands
    if is_small(p):
        bench_of(p).fill_in(loops, operands, out, plan.workers)
        return
    weights = np.ascontiguousarray(correlation_kernel(p, w)).reshape(p.groups, p.group_outputs, -1)
    read, weigh, write = map(address, (x, weights, out))
    phase = (read if p.kernel_size[-1] == 1 else write) % LINE_BYTES
    same = x.dtype == out.dtype == p.dtype
    rows = _in_place(p, loops, (x.strides, out.strides), phase) if same else None
    if rows is None:
        for_each(whole_boxes(p), _from_copies(p, loops, (x, weights), out), plan.workers)
        return
    middle, around = rows.at(read, weigh, write), frame(p)
    if plan.workers == 1 and not around:
        middle.make()
        return
    from_a_copy = _from_copies(p, loops, (x, weights), out) if around else None

    def work(box: Box | None) -> None:
        if box is None or from_a_copy is None:
            middle.make()
        else:
            from_a_copy(box)

    # whoever comes shares the middle; the second to come does the frame first
    for_each([None, *around, *[None] * (plan.workers - 1)], work, plan.workers)


def _from_copies(
    p: ConvProblem, loops: Loops, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray
) -> Callable[[Box], None]:
    """What answers one box, given `x` and kernels (G, O, taps)."""
    x, weights = operands
    inputs, outputs = by_group(p, x, out)
    scratch, single = Scratch(), cut(p, (1,) * p.ndim)

    def work(box: Box) -> None:
        groups, batch, *spans = (slice(*span) for span in box)
        place: Any = (batch, groups, slice(None), *spans)
        desk = scratch.desk(p, single, box)
        desk.load(inputs, box)
        _answer(Sums(loops, p, weights[groups]), desk.window, outputs[place], scratch)

    return work


@lru_cache(maxsize=128)
def _in_place(p: ConvProblem, loops: Loops, strides: tuple[Ints, Ints], phase: int) -> Calls | None:
    """The rows whose windows lie inside `x`, from its address on, or None where they are not read in place.

    Strides are those of `x` and `out`; on `phase`, here in bytes, see `Geometry`.
    """
    middle = inside(p)
    if middle is None or p.stride[-1] != 1:
        return None
    # of these, nothing is used but shapes and distances
    x, out = (
        as_strided(np.empty(1, p.dtype), shape, steps)
        for shape, steps in zip((p.x_shape, p.out_shape), strides, strict=True)
    )
    if not (is_plain(x) and is_plain(out)):
        return None
    inputs, outputs = by_group(p, x, out)
    # along the others rows find what lies outside; where they do not they are cut short
    found, held = open_axes(p), held_outputs(p, middle)
    read = [
        slice(None) if i in found else slice(a * c.step + c.first, None)
        for i, ((a, _), c) in enumerate(zip(held, cut(p, (1,) * p.ndim), strict=True))
    ]
    window, region = inputs[at(*read)], outputs[at(*(slice(*span) for span in held))]
    begin, target = address(window) - address(x), address(region) - address(out)
    phase = (phase + (begin if p.kernel_size[-1] == 1 else target)) % LINE_BYTES // p.dtype.itemsize
    taps = p.dtype.itemsize * p.group_inputs * prod(p.kernel_size)
    geometry = Geometry(
        axis=p.ndim - 1,
        middle=middle[-1] if p.ndim - 1 in found else (0, region.shape[-1]),
        x=(window.shape, window.strides),
        out=(region.shape, region.strides),
        weights=(taps * p.group_outputs, taps),
        beyond=line_axis_of(p, p.ndim - 1) in found,
        phase=phase,
    )
    return calls(p, loops, geometry).at(begin, 0, target)


def _answer(sums: Sums, window: np.ndarray, out: np.ndarray, scratch: Scratch) -> None:
    """The outputs of one box, in rows along its longest axis."""
    p = sums.problem
    axis = max(range(p.ndim), key=lambda i: (out.shape[3 + i], i))
    window = line_up(window, (axis, p.stride[axis]), scratch)
    if out.strides[3 + axis] == out.itemsize and whole_steps(out):
        sums.calls(axis, window, out).make()
        return
    target = last(out, axis)
    total = scratch.take("total", target.shape, p.dtype)
    sums.calls(axis, window, put_back(total, axis)).make()
    target[...] = total
