"""The multiply-add of `taps` in compiled loops, with the same bits (optional: needs llvmlite, which numba brings).

Terms are added in the same order, each product rounded before it is added. (Complex numbers are left out: NumPy's
own products of them are fused.) So a call may be answered by `taps` while nothing is compiled yet, and later calls by
compiled code, and no result depends on which.

Loading the compiler and compiling takes some 90 ms, which no call is charged that cannot repay them: a call that
would lose more than that in `taps` has the loop compiled at once. The time that other calls spend in `taps` is
added up, and when compiling would have paid for itself a background thread does it. `warm_up` does it at once.

Windows that lie wholly inside an array are read where they are. Only outputs at the edges, and arrays of another dtype
or in awkward memory, are answered from a private window.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.cells import cut
from fftconv.core.loop_rows import Box, frame, held_outputs, inside, line_axis_of, open_axes, whole_boxes
from fftconv.core.methods import taps
from fftconv.core.methods.addresses import address
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
from fftconv.core.methods.warmth import warmth, written
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem, Ints, at
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    char = plan.problem.dtype.char
    loops = warmth.loops.get(char) or warmth.at_once(plan)
    begin = perf_counter()
    if loops is None:
        taps.execute(plan, x, w, out)
        warmth.spent(char, perf_counter() - begin)
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


def warm_up(dtype: np.dtype) -> None:
    """Compile the loop of `dtype` now."""
    warmth.prepare(np.dtype(dtype).char)


# --- the sums


def run(loops: Loops, plan: ConvPlan, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> None:
    """The rows whose windows lie inside `x` where they are, all others box by box from a window of their own."""
    p = plan.problem
    x, w = operands
    bench = _bench(p)
    if bench is not None:
        bench.run(loops, x, w, out)
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


# --- small problems

# Bytes of window and sums that are kept from one call to the next, per problem and thread.
BENCH_BYTES = 128 * 2**10


class Bench(threading.local):
    """All that a problem of one small box needs but its values: each thread's own, kept from call to call."""

    def __init__(self, p: ConvProblem) -> None:
        scratch, box = Scratch(), whole_boxes(p)[0]
        self.problem, self.box, self.scratch = p, box, scratch
        self.desk = scratch.desk(p, cut(p, (1,) * p.ndim), box)
        weights = np.empty(p.w_shape, p.dtype)
        self.kernel = correlation_kernel(p, weights)
        self.total = np.empty(p.out_shape, p.dtype)
        self.axis = max(range(p.ndim), key=lambda i: (p.output_size[i], i))
        # rows need not run along the last axis, and then neither do the sums in memory
        sums = np.empty(last(self.total[:, None], self.axis).shape, p.dtype)
        self.total = put_back(sums, self.axis)[:, 0]
        shape = (p.batch, p.groups, p.group_outputs, *p.output_size)
        self.sums = self.total.reshape(shape)
        self.weights = weights.reshape(p.groups, p.group_outputs, -1)
        self.calls: Calls | None = None

    def run(self, loops: Loops, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        p, window = self.problem, self.desk.window
        self.kernel[...] = w
        self.desk.load(x.reshape(p.batch, p.groups, p.group_inputs, *p.input_size), self.box)
        lined_up = line_up(window, (self.axis, p.stride[self.axis]), self.scratch)
        if self.calls is None:
            self.calls = Sums(loops, p, self.weights).calls(self.axis, lined_up, self.sums)
            self.claims = self.calls.numbers[:, 0]
        self.claims[...] = 0
        self.calls.make()
        out[...] = self.total


@lru_cache(maxsize=16)
def _bench(p: ConvProblem) -> Bench | None:
    """Where `p` is answered if it is small."""
    size = p.dtype.itemsize * (prod(p.out_shape) + prod(p.x_shape) + prod(p.w_shape))
    return Bench(p) if size <= BENCH_BYTES and len(whole_boxes(p)) == 1 else None
