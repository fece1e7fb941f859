"""Outputs in rows, as the loops of `loops` want them: positions instead of geometry, and one call per kernel.

A row runs along one axis of the outputs, in which neighbours must read neighbours of the input. Tables of positions
depend on sizes and strides only, and are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.cost_direct import LOOP_MACS, row_outputs
from fftconv.core.methods.blocks import Scratch, Span
from fftconv.core.methods.loops import FIELDS, Loop, Loops
from fftconv.core.problem import ConvProblem, Ints

# Numbers after which the place of an output in the lines of the cache repeats, whatever its dtype.
LINE = 256


def whole_steps(a: np.ndarray) -> bool:
    """Whether neighbours along every axis are a whole number of elements apart."""
    return not any(step % a.itemsize for step in a.strides)


def line_up(window: np.ndarray, along: tuple[int, int], scratch: Scratch) -> np.ndarray:
    """`window` (N, G, I, \\*reach) such that neighbouring outputs along an axis read neighbours in memory.

    With stride s along that axis, sample ``q*s + r`` goes to place q of phase r: the axis is as long as before, phases
    and all, or a little longer.
    """
    axis, s = along
    if axis == window.ndim - 4 and s == 1:
        return window
    turned = last(window, axis)
    length = -(-turned.shape[-1] // s)
    found = scratch.take("turned", (*turned.shape[:-1], s, length), window.dtype)
    for r in range(s):
        phase = turned[..., r::s]
        found[..., r, : phase.shape[-1]] = phase
    return put_back(found.reshape(*turned.shape[:-1], s * length), axis)


def last(a: np.ndarray, axis: int) -> np.ndarray:
    """(N, G, C, \\*S) with a spatial axis moved to the end."""
    rest = [i for i in range(a.ndim) if i != 3 + axis]
    return a.transpose(*rest, 3 + axis)


def put_back(a: np.ndarray, axis: int) -> np.ndarray:
    """The inverse of `_last`."""
    return a.transpose(*range(3 + axis), a.ndim - 1, *range(3 + axis, a.ndim - 1))


Memory = tuple[Ints, Ints]
"""Shape and strides in bytes."""


def tables(p: ConvProblem, along: tuple[int, int], x: Memory, out: Memory) -> tuple[np.ndarray, ...]:
    """Starts, offsets, columns and places of `loops`: of one group, in rows of outputs along an axis.

    `along` is (axis, lo): the first window begins where `x` (N, G, I, \\*reach) does, along that axis lo samples
    before.
    """
    axis, lo = along
    lengths, counts = x[0][3:], out[0][3:]
    steps, targets = ([step // p.dtype.itemsize for step in strides] for _, strides in (x, out))
    offsets, columns = np.arange(p.group_inputs) * steps[2], np.zeros(p.group_inputs, np.int64)
    starts, places = (np.arange(out[0][0]) * step[0] for step in (steps, targets))
    for i, (k, s, d) in enumerate(zip(p.kernel_size, p.stride, p.rhs_dilation, strict=True)):
        taps = np.arange(k) * d
        if i == axis:
            # as `line_up` lays samples out
            offsets = _outer(offsets, taps // s + taps % s * (lengths[i] // s) - lo)
            columns = _outer(columns, taps - lo)
        else:
            offsets = _outer(offsets, taps * steps[3 + i])
            columns = _outer(columns, 0 * taps)
            starts = _outer(starts, np.arange(counts[i]) * (s * steps[3 + i]))
            places = _outer(places, np.arange(counts[i]) * targets[3 + i])
    return starts, offsets, columns, places


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every sum of one of each, those of the last operand next to each other."""
    found: np.ndarray = (a[:, None] + b).reshape(-1)
    return found


def spots(span: Span, outputs: int, phase: int = 0) -> np.ndarray:
    """Where to begin, so many outputs at a time, to cover a span at least as long; all but the first on whole lines.

    `phase` says how far beyond such a line the span begins.
    """
    begin, end = span
    return np.unique(np.clip(np.arange(begin - phase, end, outputs), begin, end - outputs))


def edge_spots(m: int, middle: Span, outputs: int) -> np.ndarray:
    """The same for what a span in the middle leaves of a row of m outputs."""
    begin, end = middle
    before, after = np.arange(0, begin, outputs), np.arange(m - outputs, end - outputs, -outputs)
    return np.unique(np.clip(np.concatenate([before, after]), 0, m - outputs))


@dataclass(frozen=True)
class Geometry:
    """What a set of calls depends on beside the problem and three addresses.

    Attributes
    ----------
    axis : int
        The spatial axis that rows run along.
    middle : (int, int)
        Outputs of a row whose windows lie inside it. Where there are others, the input has its rows as they are.
        Where there are none, a row begins with what the first output reads.
    x, out : (shape, strides)
        Of (N, G, I, \\*reach) and (N, G, O, \\*counts), in bytes.
    weights : tuple of int
        Strides of the kernels (G, O, taps).
    phase : int
        How far the first output lies beyond a multiple of `LINE` numbers.
    """

    axis: int
    middle: Span
    x: Memory
    out: Memory
    weights: Ints
    phase: int


@lru_cache(maxsize=128)
def calls(
    p: ConvProblem, loops: Loops, at: Geometry
) -> tuple[list[Loop], np.ndarray, tuple[np.ndarray, ...]]:
    """Loops, what each is called with but for three addresses, and the tables that this refers to.

    Rows are cut so short that those which one output sees fit into the cache together.
    """
    (begin, end), m = at.middle, at.out[0][3 + at.axis]
    lo = p.pads[at.axis][0] if end - begin < m else 0
    starts, offsets, columns, places = found = tables(p, (at.axis, lo), at.x, at.out)
    parts = -(-(end - begin) // row_outputs(p))
    length = -(-(end - begin) // parts)
    outputs, loop = loops.of(length)
    each = [
        (loop, outputs, spots((a, min(a + length, end)), outputs, (at.phase + a) % outputs))
        for a in range(begin, end, length)
    ]
    if end - begin < m:
        outputs, loop = loops.edge
        each.append((loop, outputs, edge_spots(m, at.middle, outputs)))
    rows, taps = starts.size, offsets.size
    numbers = [
        {
            "next": 0,
            "x": g * at.x[1][1],
            "starts": starts.ctypes.data,
            "offsets": offsets.ctypes.data,
            "columns": columns.ctypes.data,
            "weights": g * at.weights[0] + o * at.weights[1],
            "out": g * at.out[1][1] + o * at.out[1][2],
            "places": places.ctypes.data,
            "spots": begins.ctypes.data,
            "block": max(1, min(rows // 8, LOOP_MACS // (taps * begins.size * outputs))),
            "rows": rows,
            "taps": taps,
            "count": begins.size,
            "width": p.input_size[at.axis],
        }
        for g in range(at.out[0][1])
        for o in range(at.out[0][2])
        for _, outputs, begins in each
    ]
    table = np.array([[row[field] for field in FIELDS] for row in numbers], np.int64)
    kernels = at.out[0][1] * at.out[0][2]
    return [loop for loop, _, _ in each] * kernels, table, (*found, *(begins for _, _, begins in each))


_X, _WEIGHTS, _OUT = map(FIELDS.index, ("x", "weights", "out"))


class Calls(NamedTuple):
    """Loops, what each is called with, and the arrays whose addresses are among that."""

    loops: list[Loop]
    numbers: np.ndarray
    alive: tuple[Any, ...]

    def make(self) -> None:
        """Every sum that no other thread has claimed."""
        at, step = self.numbers.ctypes.data, self.numbers.strides[0]
        for i, loop in enumerate(self.loops):
            loop(at + i * step)


class Sums(NamedTuple):
    """The kernels (G, O, taps) of some groups of a problem, and the loops that add up their terms."""

    loops: Loops
    problem: ConvProblem
    weights: np.ndarray

    def calls(self, axis: int, x: np.ndarray, out: np.ndarray, middle: Span) -> Calls:
        """What gives outputs (N, G, O, \\*counts) in rows along an axis, from what the first of them read on in `x`.

        Of `middle` see `Geometry`.
        """
        w, to = self.weights, out.ctypes.data
        phase = to // out.itemsize % LINE
        at = Geometry(axis, middle, (x.shape, x.strides), (out.shape, out.strides), w.strides, phase)
        loops, numbers, tables = calls(self.problem, self.loops, at)
        numbers = numbers.copy()
        numbers[:, _X] += x.ctypes.data
        numbers[:, _WEIGHTS] += w.ctypes.data
        numbers[:, _OUT] += to
        return Calls(loops, numbers, (tables, x, w, out))
