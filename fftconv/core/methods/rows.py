"""Outputs in rows, as the loops of `loops` want them: positions instead of geometry, and one call per kernel.

A row runs along one axis of the outputs, in which neighbours must read neighbours of the input. Tables of positions
depend on sizes and strides only, and are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.boundary import fold
from fftconv.core.cells import Span
from fftconv.core.loop_rows import LOOP_MACS, line_axis_of, row_outputs, samples_a_call
from fftconv.core.methods.addresses import address
from fftconv.core.methods.blocks import Scratch
from fftconv.core.methods.loops import FIELDS, OUTSIDE, Loop, Loops, Shape
from fftconv.core.problem import ConvProblem, Ints

LINE_BYTES = 64
# Rows are cut at multiples of what any loop sums abreast.
ROUND = 128


def whole_steps(a: np.ndarray) -> bool:
    """Whether neighbours along every axis are a whole number of elements apart."""
    return not any(step % a.itemsize for step in a.strides)


def is_plain(a: np.ndarray) -> bool:
    """Whether windows of `a` can be read where they are: along the last axis neighbours are neighbours."""
    return a.strides[-1] == a.itemsize and whole_steps(a)


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


class Tables(NamedTuple):
    """What the fields of that name hold; see `loops`."""

    starts: np.ndarray
    places: np.ndarray
    firsts: np.ndarray
    lines: np.ndarray
    outers: np.ndarray
    steps: np.ndarray
    columns: np.ndarray


def tables(p: ConvProblem, at: Geometry, lo: int, pair: int, parts: Ints = (0,)) -> Tables:
    """The tables of one kernel and one input.

    Along the axis of rows the first window begins lo samples before `x`. Unless `pair` is zero, rows are summed with
    those so many further on. Each of `parts` is a row of its own that begins so many outputs later.
    """
    steps, targets = ([step // p.dtype.itemsize for step in strides] for _, strides in (at.x, at.out))
    lengths, counts, across = at.x[0][3:], at.out[0][3:], line_axis_of(p, at.axis)
    starts, places, firsts = (np.zeros(1, np.int64) for _ in range(3))
    outers, lines = np.arange(p.group_inputs) * steps[2], np.zeros(1, np.int64)
    columns = 0 * outers
    for i, (k, s, d) in enumerate(zip(p.kernel_size, p.stride, p.rhs_dilation, strict=True)):
        taps = np.arange(k) * d
        if i == at.axis:
            # as `line_up` lays samples out
            along, column = taps // s + taps % s * (lengths[i] // s) - lo, taps - lo
            if across is None:
                outers, columns = _outer(outers, along), _outer(columns, column)
            continue
        rows, first = np.arange(counts[i]), np.zeros(counts[i], np.int64)
        from_row = rows * (s * steps[3 + i])
        if i == across:
            rows = _pairs(counts[i], pair) if pair else rows
            long = k + (pair > 0)
            lines = _lines(p, i, at.beyond, rows[:, None] * s + np.arange(long) * d)
            lines = np.where(lines < 0, OUTSIDE, lines * steps[3 + i]).reshape(-1)
            first, from_row = np.arange(rows.size) * long, 0 * rows
        else:
            outers = _outer(outers, taps * steps[3 + i])
            columns = _outer(columns, 0 * taps)
        starts = _outer(starts, from_row)
        places = _outer(places, rows * targets[3 + i])
        firsts = _outer(firsts, first)
    if across is None:
        # one line of all taps, in their order
        along, column, outers = outers, columns, np.zeros(1, np.int64)
    shifts = np.array(parts)
    starts, places, firsts = _outer(shifts, starts), _outer(shifts, places), _outer(0 * shifts, firsts)
    return Tables(starts, places, firsts, np.ascontiguousarray(lines), outers, along, column)


def _pairs(m: int, apart: int) -> np.ndarray:
    """The first rows of pairs that cover m rows; two pairs may meet."""
    begins = np.unique(np.minimum(np.arange(0, m, 2 * apart), m - 2 * apart))
    return np.unique(_outer(begins, np.arange(apart)))


def _lines(p: ConvProblem, axis: int, beyond: bool, positions: np.ndarray) -> np.ndarray:
    """The samples that stand there, -1 for zeros; `beyond` the ends of the input if there the first is the first."""
    if not beyond:
        return positions
    n, boundary = p.input_size[axis], p.boundary[axis]
    positions = positions - p.pads[axis][0]
    if boundary:
        return fold(positions, n, boundary)
    return np.where((positions < 0) | (positions >= n), -1, positions)


def line_pairs(p: ConvProblem, axis: int, rows: int) -> int:
    """How far apart the rows are of which one reads the lines of the other, one further on; 0 where none do."""
    across = line_axis_of(p, axis)
    if across is None or p.kernel_size[across] < 2 or p.rhs_dilation[across] % p.stride[across]:
        return 0
    apart = p.rhs_dilation[across] // p.stride[across]
    return apart if rows >= 2 * apart else 0


def neighbours(p: ConvProblem, axis: int) -> int:
    """Taps of a line whose samples lie next to each other; 0 where they lie apart."""
    taps = p.kernel_size[axis]
    return taps if taps == 1 or p.stride[axis] == p.rhs_dilation[axis] == 1 else 0


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every sum of one of each, those of the last operand next to each other."""
    found: np.ndarray = (a[:, None] + b).reshape(-1)
    return found


def spots(span: Span, outputs: int, phase: int = 0) -> np.ndarray:
    """Where to begin, so many outputs at a time, to cover a span at least as long.

    All but the first begin `phase` numbers earlier than they need, on a line of the cache, unless that takes one more.
    """
    begin, end = span
    if -(-(end - begin + phase) // outputs) > -(-(end - begin) // outputs):
        phase = 0
    return np.unique(np.clip(np.arange(begin - phase, end, outputs), begin, end - outputs))


def edge_spots(m: int, middle: Span, outputs: int) -> np.ndarray:
    """The same for what a span in the middle leaves of a row of m outputs."""
    begin, end = middle
    before, after = np.arange(0, begin, outputs), np.arange(m - outputs, end - outputs, -outputs)
    found = np.unique(np.clip(np.concatenate([before, after]), 0, m - outputs))
    # they are taken two at a time
    return np.append(found, found[-1:]) if found.size % 2 else found


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
    weights : (int, int)
        Bytes from the kernels of one group to those of the next, and from one kernel to the next.
    beyond : bool
        Whether `x` has the whole of the axis of lines, and lines may lie outside.
    phase : int
        How many numbers beyond the begin of a line of the cache the first output lies; or what it reads, where all
        taps are as far beyond.
    """

    axis: int
    middle: Span
    x: Memory
    out: Memory
    weights: Ints
    beyond: bool
    phase: int


@lru_cache(maxsize=128)
def calls(p: ConvProblem, loops: Loops, at: Geometry) -> Calls:
    """The calls for operands and a result at address 0.

    Rows are cut so short that those which one output sees fit into the cache together.
    """
    (begin, end), m = at.middle, at.out[0][3 + at.axis]
    lo = p.pads[at.axis][0] if end - begin < m else 0
    across = line_axis_of(p, at.axis)
    pair = 0 if across is None else line_pairs(p, at.axis, at.out[0][3 + across])
    count = -(-(end - begin) // row_outputs(p))
    length = -(-(end - begin) // count)
    if count > 1:
        length = -(-length // ROUND) * ROUND
    shape, loop = loops.of(length, pair > 0, neighbours(p, at.axis))
    if shape.rows == 1:
        pair = 0
    # the last part may begin within the one before
    parts = tuple(min(a, end - begin - length) for a in range(0, end - begin, length))
    phase = (at.phase + begin) % (LINE_BYTES // p.dtype.itemsize)
    begins = spots((begin, begin + length), shape.outputs, phase)
    passes = [Pass(loop, shape, tables(p, at, lo, pair, parts), begins)]
    if end - begin < m:
        shape, loop = loops.edge
        passes.append(Pass(loop, shape, tables(p, at, lo, 0), edge_spots(m, at.middle, shape.outputs)))
    apart = 0 if across is None else pair * (at.out[1][3 + across] // p.dtype.itemsize)
    taps = prod(p.kernel_size) * p.group_inputs
    each = [(one, {**_fields(p, at, one), "apart": apart}) for one in passes]
    every, samples = at.x[0][0], samples_a_call(p, at.x[0], at.out[0])
    made = [
        (one.loop, [row[field] for field in FIELDS])
        for n in range(0, every, samples)
        for g in range(at.out[0][1])
        for o in range(at.out[0][2])
        for one, fixed in each
        for row in [{**fixed, **_place(at, (n, g, o)), **_rows(one, min(samples, every - n), taps)}]
    ]
    table = np.array([row for _, row in made], np.int64)
    alive = [array for one in passes for array in (*one.tables, one.spots)]
    return Calls([loop for loop, _ in made], table, tuple(alive))


class Pass(NamedTuple):
    """A loop, and the tables and spots of the outputs that are its."""

    loop: Loop
    shape: Shape
    tables: Tables
    spots: np.ndarray


def _fields(p: ConvProblem, at: Geometry, one: Pass) -> dict[str, int]:
    """What all calls of a pass have in common."""
    across = line_axis_of(p, at.axis)
    step, target = (strides[0] // p.dtype.itemsize for _, strides in (at.x, at.out))
    return {
        "next": 0,
        **{field: getattr(one.tables, field).ctypes.data for field in Tables._fields},
        "spots": one.spots.ctypes.data,
        "each": one.tables.starts.size,
        "x.step": step,
        "out.step": target,
        "count": one.spots.size,
        "others": one.tables.outers.size,
        "long": 1 if across is None else p.kernel_size[across],
        "taps": one.tables.steps.size,
        "width": p.input_size[at.axis],
    }


def _place(at: Geometry, of: tuple[int, int, int]) -> dict[str, int]:
    """Where a sample, a group and a kernel of it begin, in bytes."""
    n, g, o = of
    return {
        "x": n * at.x[1][0] + g * at.x[1][1],
        "weights": g * at.weights[0] + o * at.weights[1],
        "out": n * at.out[1][0] + g * at.out[1][1] + o * at.out[1][2],
    }


def _rows(one: Pass, samples: int, taps: int) -> dict[str, int]:
    """The rows of so many samples, and how many of them to claim at a time."""
    rows = samples * one.tables.starts.size
    macs = taps * one.spots.size * one.shape.outputs * one.shape.rows
    return {"rows": rows, "block": max(1, min(rows // 8, LOOP_MACS // macs))}


_ADDRESSES = slice(FIELDS.index("x"), FIELDS.index("out") + 1)


class Calls(NamedTuple):
    """Loops, what each is called with, and the arrays whose addresses are among that."""

    loops: list[Loop]
    numbers: np.ndarray
    alive: tuple[Any, ...]

    def at(self, x: int, weights: int, out: int) -> Calls:
        """The same, so many bytes further on; it begins anew."""
        numbers = self.numbers.copy()
        numbers[:, _ADDRESSES] += np.array((x, weights, out), np.int64)
        return Calls(self.loops, numbers, self.alive)

    def make(self) -> None:
        """Every sum that no other thread has claimed."""
        at, step = address(self.numbers), self.numbers.strides[0]
        for i, loop in enumerate(self.loops):
            loop(at + i * step)


class Sums(NamedTuple):
    """The kernels (G, O, taps) of some groups of a problem, and the loops that add up their terms."""

    loops: Loops
    problem: ConvProblem
    weights: np.ndarray

    def calls(self, axis: int, x: np.ndarray, out: np.ndarray) -> Calls:
        """What gives outputs (N, G, O, \\*counts) in rows along an axis, from what the first of them read on in `x`.

        The arrays have to outlive it.
        """
        read, write = address(x), address(out)
        decides = read if self.problem.kernel_size[axis] == 1 else write
        phase = decides // out.itemsize % (LINE_BYTES // out.itemsize)
        memory = (x.shape, x.strides), (out.shape, out.strides), self.weights.strides[:2]
        at = Geometry(axis, (0, out.shape[3 + axis]), *memory, False, phase)
        return calls(self.problem, self.loops, at).at(read, address(self.weights), write)
