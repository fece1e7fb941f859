"""Small problems in compiled loops, from a private window: all is known beforehand but values and one address.

What is left of a call is to copy the samples into a window amid what lies outside, to turn the kernel round, and to
enter the loops. The memory is each thread's own, and kept while few other problems come by.
"""

from __future__ import annotations

import threading
from ctypes import c_int64
from functools import lru_cache
from typing import Any

import numpy as np

from fftconv.core.boundary import Boundary, reads
from fftconv.core.cells import cut
from fftconv.core.methods.blocks import Scratch, correlation_kernel
from fftconv.core.methods.loops import FIELDS, Loop, Loops
from fftconv.core.methods.rows import Sums, address, last, line_up, put_back
from fftconv.core.problem import ConvProblem

# Problems that each thread keeps the memory of, some `loop_rows.SMALL_BYTES` each.
KEPT = 32


class Bench:
    """All that a small problem needs but its values, for one thread, kept from call to call."""

    def __init__(self, p: ConvProblem) -> None:
        self.problem, self.scratch, self.fill = p, Scratch(), p.outside.fill
        reach = (c.reach(c.count) for c in cut(p, (1,) * p.ndim))
        self.window = np.empty((p.batch, p.groups, p.group_inputs, *reach), p.dtype)
        self.fills, self.samples = self._places()
        weights = np.empty(p.w_shape, p.dtype)
        self.kernel = correlation_kernel(p, weights)
        self.weights = weights.reshape(p.groups, p.group_outputs, -1)
        self.axis = max(range(p.ndim), key=lambda i: (p.output_size[i], i))
        self.in_order = self.axis == p.ndim - 1
        self.turns = not self.in_order or p.stride[self.axis] > 1
        # rows need not run along the last axis, and then neither do the sums in memory
        total = np.empty(p.out_shape, p.dtype)
        sums = np.empty(last(total[:, None], self.axis).shape, p.dtype)
        self.total = put_back(sums, self.axis)[:, 0]
        # of an array that is not contiguous, too
        self.here = address(sums)
        self.loops: Loops | None = None

    def _places(self) -> tuple[list[np.ndarray], list[tuple[np.ndarray, Any]]]:
        """Where in the window the fill value stands, and where samples do, and which; zeros are put there now."""
        p, cells = self.problem, cut(self.problem, (1,) * self.problem.ndim)
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
        """Work out the calls of `loops`."""
        p = self.problem
        lined_up = line_up(self.window, (self.axis, p.stride[self.axis]), self.scratch)
        shape = (p.batch, p.groups, p.group_outputs, *p.output_size)
        calls = Sums(loops, p, self.weights).calls(self.axis, lined_up, self.total.reshape(shape))
        numbers = self.numbers = calls.numbers
        # nobody else claims rows
        numbers[:, _BLOCK] = numbers[:, _ROWS]
        self.fields = (c_int64 * numbers.size).from_address(address(numbers))
        begin, width = address(numbers), len(FIELDS)
        self.steps: list[tuple[Loop, int, int, int]] = [
            (loop, begin + 8 * i * width, i * width, int(numbers[i, _OUT]) - self.here)
            for i, loop in enumerate(calls.loops)
        ]
        self.calls, self.loops = calls, loops

    def sums(self, loops: Loops, x: np.ndarray, w: np.ndarray, at: int) -> None:
        """The result, into memory from an address on that is laid out as `total` is."""
        if self.loops is not loops:
            self._enter(loops)
        self.kernel[...] = w
        for place, source in self.samples:
            place[...] = x[source]
        for place in self.fills:
            place[...] = self.fill
        if self.turns:
            line_up(self.window, (self.axis, self.problem.stride[self.axis]), self.scratch)
        fields = self.fields
        for loop, call, first, beyond in self.steps:
            fields[first] = 0
            fields[first + _OUT] = at + beyond
            loop(call)

    def fill_in(self, loops: Loops, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        """The result in any array."""
        self.sums(loops, x, w, self.here)
        out[...] = self.total

    def new(self, loops: Loops, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The result of one sample of a batch and one channel, as a new array without their axes."""
        out = np.empty(self.problem.output_size, self.problem.dtype)
        if self.in_order:
            self.sums(loops, x, w, address(out))
        else:
            self.fill_in(loops, x, w, out[None, None])
        return out


class Benches(threading.local):
    """Each thread's bench for one problem."""

    def __init__(self, p: ConvProblem) -> None:
        self.own = Bench(p)


@lru_cache(maxsize=KEPT)
def benches(p: ConvProblem) -> Benches:
    """Where `p` is answered. Whoever keeps it beyond a call does so by a weak reference, so that `KEPT` holds."""
    return Benches(p)


_OUT, _BLOCK, _ROWS = (FIELDS.index(name) for name in ("out", "block", "rows"))
