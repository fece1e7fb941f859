"""Two passes of a separable kernel in one call of each worker: compiled loops that follow the cut of `core.strips`.

A program is one block of columns in one range of strips: rows of the input into the ring, rows of the ring into the
output, in turns. The loops are those of `loops`, and their rows are in tables as ever; only, to the pass along rows the
place of a row, and to the pass down the columns the place of a line, is one of the ring. So the bits are those of
the two passes one after the other over the whole array.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.cells import Span
from fftconv.core.engine import get_engine
from fftconv.core.methods.addresses import address
from fftconv.core.methods.loops import FIELDS, OUTSIDE, Loop, Loops
from fftconv.core.methods.programs import MOVED, TASK
from fftconv.core.methods.rows import edge_spots, line_pairs, spots
from fftconv.core.passes import passes
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.spare import spare
from fftconv.core.strips import LINE_BYTES, ring_bytes, strips_of
from fftconv.core.tiling import spectral_dtype
from fftconv.core.workers import for_each


class Passes(NamedTuple):
    """A problem, how many terms its kernel has, and the loops for it."""

    problem: ConvProblem
    terms: int
    loops: Loops


def fill(
    what: Passes, x: np.ndarray, kernels: tuple[np.ndarray, np.ndarray], to: tuple[np.ndarray, int]
) -> None:
    """The whole output, on so many workers.

    `kernels` are those of the pass along rows and of that down the columns, turned round for a correlation.
    """
    (out, workers), p, size = to, what.problem, what.problem.dtype.itemsize
    read, rows, columns, write = map(address, (x, *kernels, out))
    phase = write // size % (LINE_BYTES // size)
    programs = _programs(p, what.terms, what.loops, (x.strides, out.strides, phase))
    counter, engine = np.zeros(1, np.int64), get_engine(spectral_dtype(p))
    next_job = address(counter)

    def work(_: int) -> None:
        with spare(engine, (programs.ring,), np.dtype(np.uint8)) as memory:
            # what is aligned in the output is aligned in the ring
            ring = address(memory) + phase * size
            task = programs.task(next_job, ((read, rows, ring), (ring, columns, write)))
            what.loops.programs(address(task))

    for_each(range(workers), work, workers)


class _Programs(NamedTuple):
    """Programs for operands and a result at address 0; see `programs`.

    Attributes
    ----------
    held : ndarray
        What a thread has of its own: its task, its calls, and how far from address 0 the two passes of each job are.
    shared : tuple of int
        Addresses of the begins of programs, of their steps and of the calls.
    calls, ring : int
        Numbers of all calls, and bytes of a ring.
    programs : int
    alive : tuple
        The arrays whose addresses are among that.
    """

    held: np.ndarray
    shared: Ints
    calls: int
    ring: int
    programs: int
    alive: tuple[Any, ...]

    def task(self, next_job: int, addresses: tuple[Ints, Ints]) -> np.ndarray:
        """The task of one thread; the addresses are those of input, kernels and output of either pass."""
        held, calls = self.held.copy(), len(TASK)
        moves, at = held[calls + self.calls :].reshape(-1, 2, len(MOVED)), address(held)
        moves += np.array(addresses)
        own = at + 8 * calls, at + 8 * (calls + self.calls)
        held[:calls] = next_job, *self.shared, *own, len(moves) * self.programs, self.programs
        return held


@lru_cache(maxsize=64)
def _programs(p: ConvProblem, terms: int, loops: Loops, memory: tuple[Ints, Ints, int]) -> _Programs:
    x_steps, out_steps, phase = memory
    size, (k0, k1), each = p.dtype.itemsize, p.kernel_size, p.out_channels // p.groups
    made = _Maker(Passes(p, terms, loops), (x_steps[2] // size, out_steps[2] // size, phase))
    for columns in made.cut.columns:
        block = made.block(columns)
        for strips in made.cut.ranges:
            made.follow(block, strips)
    # of input, kernels and output, in the first pass and in the second
    planes = [(n, o) for n in range(p.batch) for o in range(p.out_channels)]
    into = [(n * x_steps[0] + o // each * x_steps[1], o * terms * k1 * size, 0) for n, o in planes]
    out_of = [(0, o * terms * k0 * size, n * out_steps[0] + o * out_steps[1]) for n, o in planes]
    calls = np.array([[call[field] for field in FIELDS] for call in made.calls], np.int64)
    moves = np.array([into, out_of], np.int64).swapaxes(0, 1)
    shared = made.keep(np.array(made.begins)), made.keep(np.array(made.steps)), made.keep(calls)
    held = np.concatenate([np.zeros(len(TASK), np.int64), calls.reshape(-1), moves.reshape(-1)])
    alive = made.alive, loops
    return _Programs(held, shared, calls.size, ring_bytes(p, terms), len(made.begins) - 1, alive)


class _Block(NamedTuple):
    """The calls of one block of columns, as (function, number): into the ring, and out of it with so many rows each."""

    into: list[tuple[int, int]]
    out_of: tuple[int, int]
    rows: int


class _Maker:
    """Programs as they are made; `memory` is the distance of rows of input and output, and what `Geometry.phase` is."""

    def __init__(self, what: Passes, memory: Ints) -> None:
        self.p, self.terms, self.loops = what
        self.x_row, self.out_row, self.phase = memory
        self.cut = strips_of(self.p, self.terms)
        self.calls: list[dict[str, int]] = []
        self.steps: list[tuple[int, ...]] = []
        self.begins = [0]
        self.alive: list[np.ndarray] = []
        p, cut = self.p, self.cut
        self.line = LINE_BYTES // p.dtype.itemsize
        self.paired = line_pairs(passes(p, self.terms)[1], 1, min(b - a for a, b in cut.strips)) == 1
        rows, taps = np.arange(p.input_size[0]), np.arange(p.kernel_size[1])
        along = self.keep(taps * p.rhs_dilation[1] - p.pads[1][0])
        zeros = self.keep(np.zeros(rows.size))
        self.rows = {
            **{"starts": self.keep(rows * self.x_row), "places": self.keep(rows % cut.ring * cut.pitch)},
            **{"firsts": zeros, "lines": zeros, "outers": zeros, "steps": along, "columns": along},
            **{"rows": rows.size, "each": rows.size, "others": 1, "long": 1, "taps": taps.size, "apart": 0},
        }
        self.columns = {rows: self.down_columns(rows) for rows in (1, 2)[: 1 + self.paired]}

    def keep(self, values: np.ndarray) -> int:
        """The address of a table that stays."""
        self.alive.append(np.ascontiguousarray(values, np.int64))
        return address(self.alive[-1])

    def down_columns(self, abreast: int) -> dict[str, int]:
        """What calls of the second pass have in common, with one or two rows of outputs abreast."""
        p, cut = self.p, self.cut
        (k, s, d), (lo, _), n = (p.kernel_size[0], p.stride[0], p.rhs_dilation[0]), p.pads[0], p.input_size[0]
        # lines of one residue stand next to each other, so that an output finds its own from the first one on
        reach = (p.output_size[0] - 1) * s + (k - 1) * d + 1
        order = [np.arange(r, reach, d) for r in range(d)]
        found = np.concatenate(order) - lo
        lines = np.where((found < 0) | (found >= n), OUTSIDE, found % cut.ring * cut.pitch)
        begins = np.cumsum([0, *(len(each) for each in order)])
        first = np.concatenate([_rows(span, abreast) for span in cut.strips])
        zeros = self.keep(np.zeros(first.size))
        return {
            **{"starts": zeros, "places": self.keep(first * self.out_row), "lines": self.keep(lines)},
            **{"firsts": self.keep(begins[first * s % d] + first * s // d)},
            **{"outers": self.keep(np.arange(self.terms) * cut.ring * cut.pitch)},
            **{"steps": zeros, "columns": zeros, "rows": first.size, "each": first.size},
            **{"others": self.terms, "long": k, "taps": 1, "apart": (abreast - 1) * self.out_row},
        }

    def call(self, loop: Loop, spots: np.ndarray, fields: dict[str, int]) -> tuple[int, int]:
        """A call that takes any rows at once; its function and its number."""
        plain = {"next": 0, "block": 2**32, "x.step": 0, "out.step": 0, "width": self.p.input_size[1]}
        self.calls.append({**plain, **fields, "spots": self.keep(spots), "count": spots.size})
        return _function(loop), len(self.calls) - 1

    def spots(self, span: Span, outputs: int) -> np.ndarray:
        return spots(span, outputs, (self.phase + span[0]) % self.line)

    def block(self, columns: Span) -> _Block:
        p, cut, size, (begin, end) = self.p, self.cut, self.p.dtype.itemsize, columns
        lo, n = p.pads[1][0], p.input_size[1]
        # outputs whose windows lie inside a row
        middle = max(begin, lo), min(end, n + lo - p.dilated_kernel[1] + 1)
        if middle[0] >= middle[1]:
            middle = end, end
        into = []
        for term in range(self.terms):
            ring = term * cut.ring * cut.pitch - begin
            fields = {**self.rows, "x": 0, "weights": term * p.kernel_size[1] * size, "out": ring * size}
            if middle[0] < middle[1]:
                shape, loop = self.loops.of(middle[1] - middle[0], False)
                into.append(self.call(loop, self.spots(middle, shape.outputs), fields))
            if middle != columns:
                shape, loop = self.loops.edge
                inner = middle[0] - begin, middle[1] - begin
                into.append(self.call(loop, begin + edge_spots(end - begin, inner, shape.outputs), fields))
        shape, loop = self.loops.of(end - begin, self.paired, 1)
        fields = {**self.columns[shape.rows], "x": -begin * size, "weights": 0, "out": 0}
        out_of = self.call(loop, self.spots(columns, shape.outputs), fields)
        return _Block(into, out_of, shape.rows)

    def follow(self, block: _Block, strips: Span) -> None:
        """The program of a block in a range of strips."""
        p, cut, call = self.p, self.cut, 8 * len(FIELDS)
        s, (lo, _), n = p.stride[0], p.pads[0], p.input_size[0]
        counts = [0, *np.cumsum([_rows(span, block.rows).size for span in cut.strips])]
        done = 0
        for i in range(*strips):
            a, b = cut.strips[i]
            first, end = max(0, a * s - lo), min(n, (b - 1) * s - lo + p.dilated_kernel[0])
            first = max(first, done)
            if first < end:
                self.steps += [(f, c * call, first, end, 0) for f, c in block.into]
                done = end
            f, c = block.out_of
            self.steps.append((f, c * call, counts[i], counts[i + 1], len(MOVED)))
        self.begins.append(len(self.steps))


def _rows(span: Span, abreast: int) -> np.ndarray:
    """The first rows of outputs of so many abreast that cover a span; the last may begin within those before."""
    return np.unique(np.minimum(np.arange(*span, abreast), span[1] - abreast))


def _function(loop: Loop) -> int:
    found = ctypes.cast(loop, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert found is not None
    return found
