"""Small problems in compiled loops, from a private window: all is known beforehand but values and one address.

What is left of a call is to copy the samples into a window amid what lies outside, to turn the kernel round, and to
enter the loops. No row reaches past the end of such a window, so none is masked. Windows are each thread's own, and
kept while few other problems come by.
"""

from __future__ import annotations

import threading
from ctypes import c_int64
from functools import lru_cache
from typing import Any

import numpy as np

from fftconv.core.boundary import Boundary, reads
from fftconv.core.cells import cut
from fftconv.core.cost_direct import taps_together
from fftconv.core.methods.addresses import address
from fftconv.core.methods.blocks import Desk, Scratch, correlation_kernel
from fftconv.core.methods.loops import FIELDS, Loop, Loops
from fftconv.core.methods.rows import Sums, last, line_up, put_back
from fftconv.core.methods.taps import accumulate
from fftconv.core.problem import ConvProblem
from fftconv.core.workers import for_each

# What each thread keeps of windows and kernels.
KEPT_BYTES = 2 * 2**20
_OUT = FIELDS.index("out")


class Bench:
    """All that a small problem needs but its values, for calls of one thread."""

    def __init__(self, p: ConvProblem) -> None:
        self.problem, self.fill, self.scratch = p, p.outside.fill, Scratch()
        cells = cut(p, (1,) * p.ndim)
        self.desk = Desk(p, cells, (p.groups, p.batch, *p.output_size), self.scratch)
        self.window = self.desk.window
        self.fills, self.samples = self._places()
        weights = np.empty(p.w_shape, p.dtype)
        self.kernel = correlation_kernel(p, weights)
        self.weights = weights.reshape(p.groups, p.group_outputs, -1)
        # rows need not run along the last axis, and then neither do the sums in memory
        self.axis = max(range(p.ndim), key=lambda i: (p.output_size[i], i))
        self.in_order = self.axis == p.ndim - 1
        self.turned = not self.in_order or p.stride[self.axis] > 1
        self.loops: Loops | None = None
        self.nbytes = (2 if self.turned else 1) * self.window.nbytes + weights.nbytes

    def _places(self) -> tuple[list[np.ndarray], list[tuple[np.ndarray, Any]]]:
        """Where in the window the fill value stands, and where samples do, and which; zeros are put there now."""
        p, cells = self.problem, self.desk.cells
        window = self.window.reshape(p.batch, p.in_channels, *self.window.shape[3:])
        spans = tuple((c.first, n, 1) for c, n in zip(cells, window.shape[2:], strict=True))
        fills, samples = [], []
        for place, source in reads(spans, p.input_size, p.outside.along):
            if source is None:
                window[place] = 0
            elif source is Boundary.CONSTANT:
                fills.append(window[place])
            else:
                samples.append((window[place], source))
        return fills, samples

    def _enter(self, loops: Loops) -> None:
        """Write down the calls of `loops`."""
        p = self.problem
        total = self._total()
        shape = (p.batch, p.groups, p.group_outputs, *p.output_size)
        calls = Sums(loops, p, self.weights).calls(self.axis, self._lined_up(), total.reshape(shape))
        numbers, here, width = calls.numbers, self._first(total), len(FIELDS)
        self.fields = (c_int64 * numbers.size).from_address(address(numbers))
        self.steps: list[tuple[Loop, int, int, int]] = [
            (loop, address(numbers) + 8 * i * width, i * width, int(numbers[i, _OUT]) - here)
            for i, loop in enumerate(calls.loops)
        ]
        self.calls, self.loops = calls, loops

    def _total(self) -> np.ndarray:
        """An array for the result, whose rows are contiguous."""
        p = self.problem
        turned = last(np.empty((0, 1, 1, *p.output_size), p.dtype), self.axis).shape[3:]
        return put_back(np.empty((p.batch, 1, p.out_channels, *turned), p.dtype), self.axis)[:, 0]

    def _first(self, total: np.ndarray) -> int:
        return address(total if self.in_order else last(total[:, None], self.axis))

    def _lined_up(self) -> np.ndarray:
        return line_up(self.window, (self.axis, self.problem.stride[self.axis]), self.scratch)

    def new(self, loops: Loops, operands: tuple[np.ndarray, np.ndarray], workers: int) -> np.ndarray:
        """The result of one sample of a batch and one channel, as a new array without their axes."""
        out = np.empty(self.problem.output_size, self.problem.dtype)
        if self.in_order:
            self._sums(loops, operands, address(out), workers)
        else:
            self.fill_in(loops, operands, out[None, None], workers)
        return out

    def fill_in(
        self, loops: Loops, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray, workers: int
    ) -> None:
        """The result in any array."""
        if self.in_order and out.flags.c_contiguous and out.dtype == self.problem.dtype:
            self._sums(loops, operands, address(out), workers)
        else:
            total = self._total()
            self._sums(loops, operands, self._first(total), workers)
            out[...] = total

    def _sums(self, loops: Loops, operands: tuple[np.ndarray, np.ndarray], at: int, workers: int) -> None:
        """The result, into memory from an address on."""
        if self.loops is not loops:
            self._enter(loops)
        self._load(operands)
        if self.turned:
            self._lined_up()
        fields, steps = self.fields, self.steps
        for _, _, first, beyond in steps:
            fields[first] = 0
            fields[first + _OUT] = at + beyond
        if workers > 1:
            for_each(range(workers), self._claim, workers)
            return
        for loop, call, _, _ in steps:
            loop(call)

    def _load(self, operands: tuple[np.ndarray, np.ndarray]) -> None:
        x, self.kernel[...] = operands
        for place, source in self.samples:
            place[...] = x[source]
        for place in self.fills:
            place[...] = self.fill

    def by_taps(self, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> None:
        """The result without loops, as `taps` adds it up in one block."""
        p = self.problem
        self._load(operands)
        outputs = out.reshape(p.batch, p.groups, p.group_outputs, *p.output_size)
        total = np.empty((p.batch, *p.output_size), p.dtype)
        products = np.empty((1 + taps_together(p), *total.shape), p.dtype)
        with np.errstate(all="ignore"):
            for g, o in np.ndindex(p.groups, p.group_outputs):
                accumulate(self.desk.columns[g], self.weights[g, o], total, products)
                outputs[:, g, o] = total

    def _claim(self, _: int) -> None:
        for loop, call, _, _ in self.steps:
            loop(call)


class _Kept(threading.local):
    """The benches of a thread, the oldest first."""

    def __init__(self) -> None:
        self.benches: dict[ConvProblem, Bench] = {}


_kept = _Kept()


def bench_of(p: ConvProblem) -> Bench:
    """Where this thread answers `p`."""
    return _kept.benches.get(p) or _made(p)


@lru_cache(maxsize=1024)
def first_alike(p: ConvProblem) -> ConvProblem:
    """The first of equal problems, as which it is found without a comparison."""
    return p


def _made(p: ConvProblem) -> Bench:
    bench, kept = Bench(p), _kept.benches
    while kept and sum(b.nbytes for b in kept.values()) + bench.nbytes > KEPT_BYTES:
        kept.pop(next(iter(kept)))
    kept[p] = bench
    return bench
